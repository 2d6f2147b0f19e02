//! What an error of IMAP means.

use crate::error::Error;
use crate::source_error::Remedy;
use crate::source_error::SourceError;
use crate::source_error::SourceFailure;
use crate::source_error::SourceMeaning;
use postroom_imap::ImapVerdict;

/// Codes of refusals that do not pass with time (RFC 5530 §3). A mailbox that is refused with one
/// of them cannot be read.
const LASTING: [&str; 3] = ["NOPERM", "NONEXISTENT", "CANNOT"];

impl From<postroom_imap::Error> for Error {
    fn from(error: postroom_imap::Error) -> Self {
        let meaning = meaning(&error);
        Self::Source(SourceError::new(error, meaning))
    }
}

fn meaning(error: &postroom_imap::Error) -> SourceMeaning {
    let (remedy, wait) = match (error, error.verdict()) {
        (postroom_imap::Error::NoMechanism { .. } | postroom_imap::Error::Login(_), _) => {
            (Some(Remedy::LoginMethod), None)
        }
        (_, ImapVerdict::Credentials) => (Some(Remedy::Login), None),
        (_, ImapVerdict::RetryLater { after }) => (None, after),
        (_, ImapVerdict::Retry | ImapVerdict::Refused | ImapVerdict::Protocol) => (None, None),
    };
    let failure = if matches!(error, postroom_imap::Error::Stalled { .. }) {
        SourceFailure::Silent
    } else if error.leaves_connection_open() {
        let is_about_account = remedy.is_some() || wait.is_some();
        SourceFailure::Refused { is_about_account, is_lasting: is_lasting(error) }
    } else {
        SourceFailure::Ended
    };
    let advice = remedy.and_then(|_| error.login_advice());
    SourceMeaning { failure, remedy, advice, wait }
}

/// Whether a refusal will not pass with time.
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
            postroom_imap::Error::Refused { command, refusal, code, text }
        };
        let plain =
            |is_about_account, is_lasting| SourceFailure::Refused { is_about_account, is_lasting };
        let exchange = "User is authenticated but not connected.";
        let throttled = "Request is throttled. Suggested Backoff Time: 1000 milliseconds";
        let (waited, command) = (Duration::from_secs(1), "FETCH");
        #[rustfmt::skip]
        let table = [
            (refused(None, ""),                                plain(false, false)),
            (refused(Some("noperm"), ""),                      plain(false, true)),
            (refused(Some("SERVERBUG"), ""),                   plain(false, false)),
            (refused(None, exchange),                          plain(true, false)),
            (refused(None, throttled),                         plain(true, false)),
            (postroom_imap::Error::Stalled { waited },          SourceFailure::Silent),
            (postroom_imap::Error::Timeout { command, waited }, SourceFailure::Ended),
            (postroom_imap::Error::Closed { command },          SourceFailure::Ended),
        ];
        for (error, want) in table {
            let text = error.to_string();
            let Error::Source(error) = Error::from(error) else { panic!("{text}") };
            assert_eq!(error.meaning.failure, want, "{text}");
            assert_eq!(error.to_string(), text, "its words are those of the server");
        }
    }
}
