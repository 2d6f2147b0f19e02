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

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_imap::Refusal;
    use std::time::Duration;

    #[test]
    fn an_error_says_what_the_source_can_still_be_asked() {
        let refused = |code: Option<&str>, text: &str| {
            let (command, refusal, text) = ("FETCH", Refusal::No, text.to_owned());
            let code = code.map(str::to_owned);
            Error::Imap(postroom_imap::Error::Refused { command, refusal, code, text })
        };
        let plain = |is_about_account, is_lasting| {
            Some(SourceFailure::Refused { is_about_account, is_lasting })
        };
        let exchange = "User is authenticated but not connected.";
        let throttled = "Request is throttled. Suggested Backoff Time: 1000 milliseconds";
        let (waited, command) = (Duration::from_secs(1), "FETCH");
        #[rustfmt::skip]
        let table = [
            (refused(None, ""),                                            plain(false, false)),
            (refused(Some("noperm"), ""),                                  plain(false, true)),
            (refused(Some("SERVERBUG"), ""),                               plain(false, false)),
            (refused(None, exchange),                                      plain(true, false)),
            (refused(None, throttled),                                     plain(true, false)),
            (Error::Imap(postroom_imap::Error::Stalled { waited }),          Some(SourceFailure::Silent)),
            (Error::Imap(postroom_imap::Error::Timeout { command, waited }), Some(SourceFailure::Ended)),
            (Error::Imap(postroom_imap::Error::Closed { command }),          Some(SourceFailure::Ended)),
            // What is no error of the source says nothing about messages.
            (Error::FolderGone,                                            None),
            (Error::Unheard,                                               None),
        ];
        for (error, want) in table {
            assert_eq!(SourceFailure::of(&error), want, "{error}");
        }
    }
}
