//! What a failure of a source means for the receive path.

use crate::error::Error;
use postroom_imap::ImapVerdict;

/// Codes of refusals that do not change with time (RFC 5530 §3): such a mailbox is none that we
/// read.
const LASTING: [&str; 3] = ["NOPERM", "NONEXISTENT", "CANNOT"];

/// What a failure of a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFailure {
    /// It refused what it was asked, and can be asked for something else.
    Refused {
        /// Whether the reply is about the account, so that nothing else is to be asked now.
        is_about_account: bool,
        /// Whether it refuses this whenever it is asked.
        is_lasting: bool,
    },
    /// It was silent in the midst of messages. The connection is over.
    Silent,
    /// The connection is over for another reason.
    Ended,
}

impl SourceFailure {
    /// What an error means. `None`: it is none of the source.
    #[must_use]
    pub(crate) fn of(error: &Error) -> Option<Self> {
        let Error::Imap(error) = error else {
            return None;
        };
        if matches!(error, postroom_imap::Error::Stalled { .. }) {
            return Some(Self::Silent);
        }
        if !error.leaves_connection_open() {
            return Some(Self::Ended);
        }
        let is_about_account = matches!(
            error.verdict(),
            ImapVerdict::Credentials | ImapVerdict::RetryLater { after: Some(_) }
        );
        Some(Self::Refused { is_about_account, is_lasting: is_lasting(error) })
    }
}

/// Whether an error is a refusal, after which the source can be asked for something else.
#[must_use]
pub(crate) fn is_refusal(error: &Error) -> bool {
    matches!(SourceFailure::of(error), Some(SourceFailure::Refused { .. }))
}

/// Whether a refusal is no matter of time.
fn is_lasting(error: &postroom_imap::Error) -> bool {
    matches!(error, postroom_imap::Error::Refused { code: Some(code), .. }
        if LASTING.iter().any(|lasting| code.eq_ignore_ascii_case(lasting)))
}
