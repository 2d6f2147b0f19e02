//! The states of a recipient: the member `state` of the entries of `recipients`.

use serde::Serialize;
use serde::Serializer;
use serde_json::Value as Json;
use std::fmt;

/// What is known about one recipient of an outgoing message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecipientState {
    /// No server was asked to take the message for it.
    Waiting,
    /// The server refused it for now. It is tried again.
    Deferred,
    /// The server accepted the message for it.
    Sent,
    /// The server refused it for good.
    Refused,
    /// The server may have the message for it, because no clear answer came.
    Uncertain,
    /// The message ended without being sent to it.
    Failed,
}

impl RecipientState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Deferred, Self::Sent, Self::Refused, Self::Uncertain, Self::Failed];

    /// The word that clients see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Deferred => "deferred",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Uncertain => "uncertain",
            Self::Failed => "failed",
        }
    }

    /// The state in an entry of `recipients`. `None`: Postroom did not set it.
    #[must_use]
    pub fn of(recipient: &Json) -> Option<Self> {
        let word = recipient.get("state")?.as_str()?;
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether an entry of `recipients` has this state.
    #[must_use]
    pub fn is_of(self, recipient: &Json) -> bool {
        Self::of(recipient) == Some(self)
    }

    /// Writes the state into an entry of `recipients`.
    pub fn put(self, recipient: &mut Json) {
        if let Some(entry) = recipient.as_object_mut() {
            entry.insert("state".to_owned(), Json::from(self.as_str()));
        }
    }
}

impl fmt::Display for RecipientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RecipientState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_is_read_as_it_was_written_and_an_unknown_word_is_none() {
        for state in RecipientState::ALL {
            let mut recipient = json!({"address": "a@b.test"});
            assert_eq!(RecipientState::of(&recipient), None);
            state.put(&mut recipient);
            assert!(state.is_of(&recipient), "{recipient}");
        }
        assert_eq!(RecipientState::of(&json!({"state": "bounced"})), None);
    }
}
