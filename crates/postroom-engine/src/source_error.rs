//! An error of the source of an account's mail: what it says, and what that means. The meaning is
//! the same for every kind of source.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What an error of a source means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFailure {
    /// The source refused the request, and still answers other requests.
    Refused {
        /// Whether the reply is about the account, so that no other request helps now.
        is_about_account: bool,
        /// Whether the source refuses this request at any time.
        is_lasting: bool,
    },
    /// The source was silent while it gave messages. The connection is over.
    Silent,
    /// The connection is over for another reason.
    Ended,
}

/// What a person has to correct before a retry helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The login or the password.
    Login,
    /// The way in which the account logs in.
    LoginMethod,
}

/// What an error of a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceMeaning {
    /// The meaning for the request.
    pub failure: SourceFailure,
    /// What a person has to correct. `None`: nothing.
    pub remedy: Option<Remedy>,
    /// What helps, by the words of the source. `None`: it says nothing that is known.
    pub advice: Option<&'static str>,
    /// How long the source asks us to wait.
    pub wait: Option<Duration>,
}

/// An error of the source of an account's mail.
#[derive(Debug)]
pub struct SourceError {
    cause: Box<dyn StdError + Send + Sync>,
    /// What it means.
    pub meaning: SourceMeaning,
}

impl SourceError {
    /// An error of a source, which says `cause`.
    pub(crate) fn new(
        cause: impl StdError + Send + Sync + 'static,
        meaning: SourceMeaning,
    ) -> Self {
        Self { cause: Box::new(cause), meaning }
    }

    /// Whether the account cannot log in as it demands, with any login.
    #[must_use]
    pub(crate) fn lacks_login_method(&self) -> bool {
        self.meaning.remedy == Some(Remedy::LoginMethod)
    }

    /// Whether the source can be asked for something else.
    #[must_use]
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.meaning.failure, SourceFailure::Refused { .. })
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for SourceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}
