//! The limits that a domain may have.

use postroom_model::builtin::names;

/// A limit of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainLimit {
    /// How many accounts.
    Accounts,
    /// How many tokens.
    Tokens,
    /// How many messages.
    Messages,
    /// How many bytes the originals and files of its messages have.
    Bytes,
}

impl DomainLimit {
    /// The property of `iam/Domains`.
    #[must_use]
    pub const fn property(self) -> &'static str {
        match self {
            Self::Accounts => names::ACCOUNTS_MAX,
            Self::Tokens => names::TOKENS_MAX,
            Self::Messages => names::MESSAGES_MAX,
            Self::Bytes => names::BYTES_MAX,
        }
    }

    /// What it limits, in words.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Tokens => "tokens",
            Self::Messages => "messages",
            Self::Bytes => "bytes of originals and files",
        }
    }
}
