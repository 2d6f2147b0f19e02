//! Lists the messages of a mailbox, and compares the list with the server's own count.
//!
//! A missing UID proves nothing while the server counts more messages than it lists. If the two
//! differ, the mailbox is listed in a second way. If they still differ, the folder says so.

use crate::counted::counted;
use crate::error::Error;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_imap::Selected;
use std::fmt::Write;

/// The numbers of SELECT that show whether mail came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance {
    /// UIDVALIDITY; 0 where the server has none.
    pub uid_validity: u64,
    /// How many messages it has.
    pub exists: u64,
    /// UIDNEXT.
    pub uid_next: u64,
}

impl Glance {
    /// `None`: the server does not give all numbers.
    #[must_use]
    pub(crate) fn of(selected: &Selected) -> Option<Self> {
        let uid_validity = selected.uid_validity.unwrap_or(0);
        let exists = u64::from(selected.exists?);
        selected.uid_next.map(|uid_next| Self { uid_validity, exists, uid_next })
    }
}

/// The messages of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MailboxListing {
    /// Their UIDs, ascending, each once.
    pub uids: Vec<u64>,
    /// How many listed numbers are not UIDs.
    pub unusable: u64,
    /// The server's own count. `None`: it gives none.
    pub counted: Option<u64>,
}

impl MailboxListing {
    /// Whether the server lists as many messages as it counts.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.unusable == 0 && self.counted == Some(self.uids.len() as u64)
    }

    /// What is wrong with the list, for people. `None`: nothing.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.is_whole() {
            return None;
        }
        let listed = self.uids.len();
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

/// Lists the mailbox that is selected.
///
/// # Errors
///
/// What ended the connection; a refusal of SEARCH, if FETCH lists nothing either.
pub(crate) async fn list(
    connection: &mut ImapConnection,
    selected: &Selected,
) -> Result<MailboxListing, Error> {
    let mut listing =
        MailboxListing { counted: selected.exists.map(u64::from), ..MailboxListing::default() };
    if listing.counted == Some(0) {
        return Ok(listing);
    }
    let refused = match connection.search("ALL").await {
        Ok(found) => {
            listing.counted = found.exists.map(u64::from).or(listing.counted);
            (listing.uids, listing.unusable) = (found.uids, found.unusable);
            None
        }
        Err(error) if error.leaves_connection_open() => Some(error),
        Err(error) => return Err(error.into()),
    };
    if refused.is_some() || !listing.is_whole() {
        match fetched(connection, &mut listing).await {
            Err(error) if !error.leaves_connection_open() => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    match refused {
        Some(error) if listing.uids.is_empty() => Err(error.into()),
        _ if listing.uids.is_empty() && listing.counted != Some(0) && listing.unusable == 0 => {
            Err(Error::Unlisted { count: selected.exists })
        }
        _ => Ok(listing),
    }
}

/// The maximum number of UIDs, whatever the server counts.
const UIDS_COUNT_MAX: u64 = 10_000_000;
/// What the limit is about.
const UIDS: &str = "UIDs";
/// How many more UIDs than the server's count are accepted, because some servers count too few.
const UIDS_BEYOND_COUNT_MAX: u64 = 100_000;

/// Adds the UIDs that FETCH gives. If there are far more than the server's count, none is kept, and
/// dropping the fetch ends the connection if more follow.
async fn fetched(
    connection: &mut ImapConnection,
    listing: &mut MailboxListing,
) -> Result<(), postroom_imap::Error> {
    let max = uids_max(listing);
    let mut more: Vec<u64> = vec![];
    let mut fetch = connection.uid_fetch_all(FetchItems::Uids).await?;
    while let Some(event) = fetch.next().await? {
        if let FetchEvent::Message(message) = event {
            more.extend(message.uid);
        }
        if more.len() as u64 > max {
            return Err(postroom_imap::Error::Limit { what: UIDS, max });
        }
    }
    listing.uids.extend(more);
    listing.uids.sort_unstable();
    listing.uids.dedup();
    Ok(())
}

/// How many UIDs FETCH may give for what was counted or listed before.
fn uids_max(listing: &MailboxListing) -> u64 {
    let known = listing.counted.unwrap_or(0).max(listing.uids.len() as u64);
    known.saturating_add(UIDS_BEYOND_COUNT_MAX).min(UIDS_COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_imap::ImapOptions;
    use tokio::io::AsyncBufReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::io::BufReader;

    /// How many UIDs the server would send.
    const FLOOD: u64 = 500_000;

    #[tokio::test]
    async fn a_flood_of_uids_is_ended_and_none_of_it_is_kept() {
        let (stream, server) = tokio::io::duplex(1 << 16);
        let flood = tokio::spawn(async move {
            let mut server = BufReader::new(server);
            let mut line = String::new();
            let greeting = b"* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n";
            server.get_mut().write_all(greeting).await.unwrap();
            server.read_line(&mut line).await.unwrap();
            for uid in 1..=FLOOD {
                let response = format!("* {uid} FETCH (UID {uid})\r\n");
                if server.get_mut().write_all(response.as_bytes()).await.is_err() {
                    return uid;
                }
            }
            FLOOD
        });
        let mut connection = ImapConnection::over(stream, &ImapOptions::default()).await.unwrap();
        let mut listing = MailboxListing { uids: vec![7], unusable: 0, counted: Some(2) };
        let result = fetched(&mut connection, &mut listing).await;
        assert!(
            matches!(result, Err(postroom_imap::Error::Limit { what: UIDS, max: 100_002 })),
            "{result:?}"
        );
        assert_eq!(listing.uids, [7]);
        let sent = flood.await.unwrap();
        assert!(sent < FLOOD, "the connection ends, after {sent} UIDs");
    }

    #[test]
    fn a_listing_is_whole_when_the_server_counts_as_many() {
        let listing = |uids: &[u64], unusable, counted| MailboxListing {
            uids: uids.to_vec(),
            unusable,
            counted,
        };
        assert!(listing(&[1, 2], 0, Some(2)).trouble().is_none());
        let fewer = listing(&[1, 2, 3], 0, Some(5)).trouble().unwrap();
        assert!(fewer.contains("counts 5 messages but lists 3"), "{fewer}");
        assert!(listing(&[1, 2, 3], 0, Some(2)).trouble().is_some(), "more is no better");
        assert!(listing(&[1], 0, None).trouble().unwrap().contains("does not say"));
        let zero = listing(&[20], 1, Some(2)).trouble().unwrap();
        assert!(zero.contains("not UIDs (1)"), "{zero}");
        assert!(listing(&[20], 1, Some(1)).trouble().is_some());
    }

    #[test]
    fn fetch_may_give_few_more_uids_than_the_server_counts() {
        let max = |counted, listed: usize| {
            let uids = (1..=listed as u64).collect();
            uids_max(&MailboxListing { uids, unusable: 0, counted })
        };
        assert_eq!(max(Some(5), 3), 100_005);
        assert_eq!(max(None, 3), 100_003);
        assert_eq!(max(Some(u64::from(u32::MAX)), 0), UIDS_COUNT_MAX);
    }
}
