//! Why a command failed, and what that means for the next attempt.
//!
//! Standards: RFC 3501 §7.1 (status responses), RFC 5530 (response codes).

use crate::login_advice;
use std::io;
use std::time::Duration;

/// Why a command has no result.
///
/// The variants exist for people, who read them in the log and in `statusText`. Code asks the
/// methods below. Where it matches a variant, it is about what to do, never about the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection: name lookup, TCP, or TLS.
    #[error(transparent)]
    Connect(#[from] postroom_net::Error),
    /// The connection broke.
    #[error("the connection was lost during {command}")]
    Lost {
        /// The command that was running.
        command: &'static str,
        /// What the network said.
        source: io::Error,
    },
    /// The server closed the connection without saying why.
    #[error("the server closed the connection during {command}")]
    Closed {
        /// The command that was running.
        command: &'static str,
    },
    /// The server did not answer in time, or too slowly.
    #[error("the server did not answer {command} within {} seconds", waited.as_secs())]
    Timeout {
        /// The command that was running.
        command: &'static str,
        /// How long we waited for it.
        waited: Duration,
    },
    /// The server was silent although messages of a FETCH were still to come.
    #[error("the server sent no message of a FETCH for {} seconds", waited.as_secs().max(1))]
    Stalled {
        /// How long we waited for it.
        waited: Duration,
    },
    /// The server said BYE (RFC 3501 §7.1.5).
    #[error("the server ended the session{}", reason(text))]
    Bye {
        /// The response code, without its arguments.
        code: Option<String>,
        /// The server's words. If it has none: how it refused the command before.
        text: String,
    },
    /// The other side does not speak IMAP.
    #[error("this is not an IMAP server; it says \"{said}\": check host, port and security")]
    NotImap {
        /// Its first words, made printable.
        said: String,
    },
    /// The server answered a command with NO or BAD.
    #[error("{command} was answered {refusal}: {text}")]
    Refused {
        /// The command that was refused.
        command: &'static str,
        /// NO or BAD.
        refusal: Refusal,
        /// The response code, without its arguments (RFC 5530).
        code: Option<String>,
        /// The server's words.
        text: String,
    },
    /// The server offers no way to log in with our kind of secret. No secret was sent.
    #[error("the server accepts no {secret} on this connection: {advice} (it offers: {offered})")]
    NoMechanism {
        /// What we have: `password` or `OAuth2 token`.
        secret: &'static str,
        /// What to change.
        advice: &'static str,
        /// What it offers, as it says in CAPABILITY.
        offered: String,
    },
    /// We broke the login off.
    #[error(transparent)]
    Login(postroom_net::SaslError),
    /// STARTTLS is required, but is not safely available.
    #[error("the connection cannot be secured by STARTTLS: {reason}")]
    StartTls {
        /// What was wrong.
        reason: &'static str,
    },
    /// The server broke the protocol.
    #[error("the server broke the protocol: {what}")]
    Protocol {
        /// What it did.
        what: &'static str,
    },
    /// The server sent more than a limit allows.
    #[error("the server sent more than {max} {what}")]
    Limit {
        /// What was too large.
        what: &'static str,
        /// How large it may be.
        max: u64,
    },
    /// A search found more messages than the mailbox can have. The whole answer was read, and none
    /// of it is kept.
    #[error("the server found more than {max} messages by {command}, which cannot be")]
    TooManyFound {
        /// The command.
        command: &'static str,
        /// How many it may find.
        max: u64,
    },
    /// The server lacks an extension that the command needs.
    #[error("the server does not support {extension}")]
    Unsupported {
        /// The extension, as CAPABILITY would name it.
        extension: &'static str,
    },
    /// An argument has characters that no IMAP command can carry.
    #[error("{what} cannot be sent: it contains characters that IMAP does not allow")]
    Unsendable {
        /// Which argument.
        what: &'static str,
    },
    /// The server numbered the open mailbox anew. The connection is closed, because the UIDs that
    /// it says from then on mean other messages (RFC 3501 §2.3.1.1).
    #[error("the server changed UIDVALIDITY of the open mailbox from {then} to {now}")]
    Renumbered {
        /// UIDVALIDITY when the mailbox was opened.
        then: u64,
        /// The present one.
        now: u64,
    },
    /// An earlier command ended the connection.
    #[error("the connection has ended")]
    Ended,
    /// The caller gave up a FETCH of which too much was still to come.
    #[error("the connection was closed because a FETCH was given up")]
    Abandoned,
}

/// The two ways to refuse a command (RFC 3501 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The command is valid but was not done.
    No,
    /// The server did not understand the command.
    Bad,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::No => "NO",
            Self::Bad => "BAD",
        })
    }
}

/// What to do after an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImapVerdict {
    /// The connection is gone, or the fault may be temporary: try again with the usual back-off.
    Retry,
    /// The server asks to come back later: too many connections, too much traffic, maintenance.
    RetryLater {
        /// How long, when the server said so.
        after: Option<Duration>,
    },
    /// The server refuses the login: a person has to change something.
    Credentials,
    /// This command was refused. The connection can be used for others.
    Refused,
    /// The server does not speak IMAP as we know it. The connection is closed.
    Protocol,
}

/// Codes for temporary refusals (RFC 5530 §3, and codes of providers).
const LATER_CODES: [&str; 6] =
    ["UNAVAILABLE", "INUSE", "LIMIT", "THROTTLED", "OVERLOADED", "SERVERBUG"];
/// Codes for refused logins (RFC 5530 §3).
const CREDENTIAL_CODES: [&str; 5] =
    ["AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN"];
/// Words for a temporary refusal without a code, about traffic and connections.
const TRAFFIC_WORDS: [&str; 7] = [
    "throttl",
    "backoff time",
    "rate limit",
    "bandwidth limit",
    "connections",
    "connection limit",
    "overloaded",
];
/// Words for a temporary refusal, unless the text is about the login.
const LATER_WORDS: [&str; 5] = ["too many", "temporar", "try again", "try later", "unavailable"];
/// Words that blame the login. "Invalid password, please try again" does not ask us to try the same
/// password again.
const BLAME_WORDS: [&str; 6] =
    ["password", "credential", "invalid", "incorrect", "wrong", "failed"];

impl Error {
    /// What to do next.
    #[must_use]
    pub fn verdict(&self) -> ImapVerdict {
        match self {
            Self::Connect(_)
            | Self::Lost { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Renumbered { .. }
            | Self::Ended
            | Self::Abandoned => ImapVerdict::Retry,
            Self::Bye { code, text } if blames_login(code.as_deref(), text) => {
                ImapVerdict::Credentials
            }
            Self::Bye { code, text } => {
                later(code.as_deref(), text, false).unwrap_or(ImapVerdict::Retry)
            }
            Self::Refused { command, code, text, .. } => refused(command, code.as_deref(), text),
            Self::NoMechanism { .. } | Self::Login(_) => ImapVerdict::Credentials,
            Self::TooManyFound { .. } | Self::Unsupported { .. } | Self::Unsendable { .. } => {
                ImapVerdict::Refused
            }
            Self::StartTls { .. }
            | Self::NotImap { .. }
            | Self::Protocol { .. }
            | Self::Limit { .. } => ImapVerdict::Protocol,
        }
    }

    /// Whether the server may have refused only the form of the command, so that a plainer form may
    /// succeed. A refusal because of credentials or load does not count.
    #[must_use]
    pub(crate) fn is_of_the_form(&self) -> bool {
        if matches!(self, Self::TooManyFound { .. }) {
            return true;
        }
        let Self::Refused { code, text, .. } = self else {
            return false;
        };
        let is_of_account = blames_login(code.as_deref(), text) || self.asks_for_id();
        !is_of_account && later(code.as_deref(), text, true).is_none()
    }

    /// Whether a mailbox that was refused may be opened by another command.
    #[must_use]
    pub(crate) fn may_open_otherwise(&self) -> bool {
        // RFC 5530 §3, and RFC 3501 §7.1: there is no such mailbox.
        let says_none = |code: &String| {
            ["NONEXISTENT", "TRYCREATE"].iter().any(|known| known.eq_ignore_ascii_case(code))
        };
        let Self::Refused { code, .. } = self else {
            return false;
        };
        self.is_of_the_form() && !code.as_ref().is_some_and(says_none)
    }

    /// Whether the server refuses a client that has not sent ID.
    ///
    /// QUIRK(NetEase): "Unsafe Login. Please contact .. for help":
    /// https://github.com/mscdex/node-imap/issues/908
    #[must_use]
    pub(crate) fn asks_for_id(&self) -> bool {
        let Self::Refused { text, .. } = self else {
            return false;
        };
        text.to_ascii_lowercase().contains("unsafe login")
    }

    /// The error of a FETCH that ran out of time because none of its messages arrived. Other errors
    /// stay as they are.
    pub(crate) fn of_stall(self, stalls: bool) -> Self {
        if let Self::Timeout { waited, .. } = self
            && stalls
        {
            return Self::Stalled { waited };
        }
        self
    }

    /// What a person can do about a refused login, by the words of the server. `None`: it says
    /// nothing that is known.
    #[must_use]
    pub fn login_advice(&self) -> Option<&'static str> {
        let (Self::Refused { code, text, .. } | Self::Bye { code, text }) = self else {
            return None;
        };
        login_advice::by_words(code.as_deref(), text)
    }

    /// Whether the connection can still be used for other commands.
    #[must_use]
    pub fn leaves_connection_open(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::TooManyFound { .. }
            | Self::Unsupported { .. }
            | Self::Unsendable { .. } => true,
            Self::Connect(_)
            | Self::Lost { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Stalled { .. }
            | Self::Bye { .. }
            | Self::NotImap { .. }
            | Self::NoMechanism { .. }
            | Self::Login(_)
            | Self::StartTls { .. }
            | Self::Protocol { .. }
            | Self::Limit { .. }
            | Self::Renumbered { .. }
            | Self::Ended
            | Self::Abandoned => false,
        }
    }
}

fn reason(text: &str) -> String {
    if text.is_empty() { " without saying why".to_owned() } else { format!(": {text}") }
}

fn refused(command: &str, code: Option<&str>, text: &str) -> ImapVerdict {
    let login = matches!(command, "LOGIN" | "AUTHENTICATE");
    if blames_login(code.filter(|_| login), text) {
        return ImapVerdict::Credentials;
    }
    match later(code, text, login) {
        Some(verdict) => verdict,
        None if login => ImapVerdict::Credentials,
        None => ImapVerdict::Refused,
    }
}

/// Whether the reply refuses the login.
fn blames_login(code: Option<&str>, text: &str) -> bool {
    let is_known = |code| CREDENTIAL_CODES.iter().any(|known| known.eq_ignore_ascii_case(code));
    // QUIRK(Exchange): LOGIN succeeds, and the next command is answered so, when the account has
    // no licence or no mailbox: https://github.com/jstedfast/MailKit/issues/1494
    code.is_some_and(is_known) || text.contains("authenticated but not connected")
}

fn later(code: Option<&str>, text: &str, login: bool) -> Option<ImapVerdict> {
    let text = text.to_ascii_lowercase();
    let by_code = code.is_some_and(|code| LATER_CODES.iter().any(|l| l.eq_ignore_ascii_case(code)));
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    // "Too many arguments" is about the form of a command.
    let is_of_load = says(&LATER_WORDS) && !text.contains("too many arguments");
    let by_words = says(&TRAFFIC_WORDS) || is_of_load && !(login && says(&BLAME_WORDS));
    (by_code || by_words).then(|| ImapVerdict::RetryLater { after: suggested(&text) })
}

/// QUIRK(Exchange): "Request is throttled. Suggested Backoff Time: 299961 milliseconds",
/// see `imapsync`'s FAQ.Exchange.
fn suggested(text: &str) -> Option<Duration> {
    let (_, after) = text.split_once("backoff time:")?;
    let after = after.trim_start();
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (number, unit) = after.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let longest = Duration::from_secs(24 * 3600);
    let wait = if unit.trim_start().starts_with("sec") {
        Duration::from_secs(number)
    } else {
        Duration::from_millis(number)
    };
    Some(wait.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(command: &'static str, code: Option<&str>, text: &str) -> ImapVerdict {
        let code = code.map(str::to_owned);
        Error::Refused { command, refusal: Refusal::No, code, text: text.to_owned() }.verdict()
    }

    #[test]
    fn refusals_are_sorted_by_code_then_words_then_command() {
        let later = ImapVerdict::RetryLater { after: None };
        let hint = ImapVerdict::RetryLater { after: Some(Duration::from_millis(299_961)) };
        let throttled = "Request is throttled. Suggested Backoff Time: 299961 milliseconds";
        #[rustfmt::skip]
        let table = [
            (no("LOGIN", Some("AUTHENTICATIONFAILED"), "no"), ImapVerdict::Credentials),
            (no("LOGIN", Some("authenticationfailed"), "try again"), ImapVerdict::Credentials),
            (no("LOGIN", None, "wrong"), ImapVerdict::Credentials),
            (no("LOGIN", Some("UNAVAILABLE"), "x"), later),
            (no("LOGIN", None, "Too many simultaneous connections"), later),
            (no("LOGIN", None, "Temporary authentication failure"), later),
            (no("LOGIN", Some("ALERT"), "Account exceeded command or bandwidth limits"), later),
            (no("LOGIN", None, "Invalid password, please try again"), ImapVerdict::Credentials),
            (no("LOGIN", None, "Login failed. Try again later"), ImapVerdict::Credentials),
            (no("LOGIN", Some("UNAVAILABLE"), "Login failed"), later),
            (no("SELECT", None, "failed, try again"), later),
            (no("SELECT", None, "Too many arguments"), ImapVerdict::Refused),
            (no("AUTHENTICATE", Some("LIMIT"), "x"), later),
            (no("SELECT", Some("NONEXISTENT"), "x"), ImapVerdict::Refused),
            (no("SELECT", None, "x"), ImapVerdict::Refused),
            (no("SELECT", Some("INUSE"), "x"), later),
            (no("UID FETCH", None, throttled), hint),
            (no("SELECT", None, "User is authenticated but not connected"), ImapVerdict::Credentials),
        ];
        for (at, (got, want)) in table.into_iter().enumerate() {
            assert_eq!(got, want, "row {at}");
        }
    }

    #[test]
    fn a_farewell_may_be_a_refusal() {
        let bye = |code: Option<&str>, text: &str| {
            Error::Bye { code: code.map(str::to_owned), text: text.to_owned() }.verdict()
        };
        assert_eq!(bye(Some("AUTHENTICATIONFAILED"), "no"), ImapVerdict::Credentials);
        assert_eq!(bye(None, "User is authenticated but not connected"), ImapVerdict::Credentials);
        assert_eq!(bye(Some("UNAVAILABLE"), "x"), ImapVerdict::RetryLater { after: None });
        assert_eq!(bye(None, "bye"), ImapVerdict::Retry);
    }

    #[test]
    fn a_hint_is_bounded() {
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(suggested("backoff time: 99999999999 sec"), day);
        assert_eq!(suggested("backoff time: soon"), None);
    }
}
