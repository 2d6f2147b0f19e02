//! The codes of `errorCode`: why a message is in state `error` or `raw`, or waits.

use serde::Serialize;
use serde::Serializer;
use std::fmt;

/// Why a message is in state `error` or `raw`, or waits. Clients see it as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The server refused the message or a recipient for good.
    Refused,
    /// The waits between the attempts have reached `retry_for`.
    GaveUp,
    /// No clear answer came after the final dot of an attempt.
    Uncertain,
    /// The message cannot be composed.
    Invalid,
    /// A file of the message cannot be read.
    Damaged,
    /// The account has no SMTP server.
    CannotSend,
    /// The account was deleted.
    AccountDeleted,
    /// The message waits until its account is enabled.
    AccountDisabled,
    /// The message waits for its next attempt.
    Postponed,
    /// The message is larger than `message_bytes_max`, so only its header is stored.
    TooBig,
    /// Only the original is stored, because it could not be decomposed.
    NotDecomposable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::GaveUp,
        Self::Uncertain,
        Self::Invalid,
        Self::Damaged,
        Self::CannotSend,
        Self::AccountDeleted,
        Self::AccountDisabled,
        Self::Postponed,
        Self::TooBig,
        Self::NotDecomposable,
    ];

    /// The word that clients see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
            Self::Uncertain => "uncertain",
            Self::Invalid => "invalid",
            Self::Damaged => "damaged",
            Self::CannotSend => "cannot_send",
            Self::AccountDeleted => "account_deleted",
            Self::AccountDisabled => "account_disabled",
            Self::Postponed => "postponed",
            Self::TooBig => "too_big",
            Self::NotDecomposable => "not_decomposable",
        }
    }

    /// The code of a word. `None`: Postroom did not set the word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_word_of_its_own_and_the_readme_explains_it() {
        let readme = include_str!("../../../README.md");
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(code));
            assert!(readme.contains(&format!("`{code}`")), "README.md does not explain `{code}`");
        }
        assert_eq!(ErrorCode::from_name("something"), None);
    }
}
