//! The messages that a source lists, compared with its own count.
//!
//! While the source counts more messages than it lists, a missing key does not prove that the
//! message is gone. The `statusText` of the folder then tells people about it.

use crate::counted::counted;
use postroom_store::SourceKey;
use std::fmt::Write;

/// The messages of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MailboxListing {
    /// Their keys, ascending, each once.
    pub keys: Vec<SourceKey>,
    /// How many of the listed numbers cannot be keys.
    pub unusable: u64,
    /// The server's own count of messages. `None`: it gives none.
    pub counted: Option<u64>,
    /// Whether the server contradicts the list otherwise: it has numbers that are not below
    /// UIDNEXT, or for which the server gives no message.
    pub is_contradicted: bool,
}

impl MailboxListing {
    /// Whether the server lists as many messages as it counts, and does not contradict the list.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        let is_counted = self.counted == Some(self.keys.len() as u64);
        self.unusable == 0 && !self.is_contradicted && is_counted
    }

    /// What is wrong with the list, for people. `None`: nothing.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.is_whole() {
            return None;
        }
        let listed = self.keys.len();
        let mut text = match self.counted {
            None => {
                let listed = counted(listed as u64, "message");
                format!("the server lists {listed} but does not say how many there are")
            }
            Some(count) => {
                let count = counted(count, "message");
                format!("the server counts {count} but lists {listed}")
            }
        };
        if self.is_contradicted {
            text.push_str(", and the list has numbers at which there is no message");
        }
        if self.unusable > 0 {
            let _ = write!(text, ", and lists numbers that are not UIDs ({})", self.unusable);
        }
        text.push_str(
            "; the listed messages are received, but there may be more: have the mailbox checked \
             at the server",
        );
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_whole_when_the_server_counts_as_many() {
        let listing = |uids: &[u64], unusable, counted| MailboxListing {
            keys: uids.iter().copied().map(SourceKey::of_uid).collect(),
            unusable,
            counted,
            is_contradicted: false,
        };
        assert!(listing(&[1, 2], 0, Some(2)).trouble().is_none());
        let fewer = listing(&[1, 2, 3], 0, Some(5)).trouble().unwrap();
        assert!(fewer.contains("counts 5 messages but lists 3"), "{fewer}");
        assert!(listing(&[1, 2, 3], 0, Some(2)).trouble().is_some(), "more is no better");
        assert!(listing(&[1], 0, None).trouble().unwrap().contains("does not say"));
        let zero = listing(&[20], 1, Some(2)).trouble().unwrap();
        assert!(zero.contains("not UIDs (1)"), "{zero}");
        assert!(listing(&[20], 1, Some(1)).trouble().is_some());
        let contradicted = MailboxListing { is_contradicted: true, ..listing(&[1, 2], 0, Some(2)) };
        assert!(!contradicted.is_whole());
        let says = contradicted.trouble().unwrap();
        assert!(says.contains("lists 2, and the list has numbers"), "{says}");
    }
}
