//! Reports: writes `state` and `statusText` of accounts.

use crate::account::Account;
use crate::credentials::CredentialError;
use crate::error::Error;
use crate::journal;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_store::AccountReport;
use postroom_store::Store;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Mutex;

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The first connection is being made.
    Connecting,
    /// All is well.
    Ready,
    /// A part does not work, or a connection was lost and is being made again.
    Degraded,
    /// Nothing works until a person, or the server, changes something.
    Failed,
    /// There is nothing to do.
    Disabled,
}

impl State {
    /// The value of the property `state`.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// Writes the state of an account after each change. Receiver and sender report separately, and the
/// account shows the worse state.
#[derive(Debug)]
pub(crate) struct Reporter {
    store: Store,
    domain: Domain,
    account: AccountId,
    /// Its address, for the log.
    address: std::sync::Mutex<String>,
    said: Mutex<LastReports>,
}

/// Times of tries that differ by less are the same try.
const SAME_TIME_MS: u64 = 500;

/// A text for people, and when the next try is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong, and what to do. Empty: all is well.
    pub text: String,
    /// When it is tried again, in milliseconds since 1970. `None`: nothing is to be tried, or the
    /// text says it.
    pub next_ms: Option<i64>,
}

impl Trouble {
    /// A text that needs no time.
    #[must_use]
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), next_ms: None }
    }

    /// The trouble of an account without any server.
    #[must_use]
    pub(crate) fn of_no_server() -> Self {
        Self::new(
            "the profile has neither imapHost nor smtpHost, so the account neither receives nor \
             sends: set one of them",
        )
    }

    /// Whether this trouble says the same as `former`. The time of a try is computed for each
    /// report, so the same time differs by some milliseconds.
    fn is_like(&self, former: &Self) -> bool {
        let is_same_time = match (self.next_ms, former.next_ms) {
            (Some(next_ms), Some(former_ms)) => next_ms.abs_diff(former_ms) < SAME_TIME_MS,
            (next_ms, former_ms) => next_ms == former_ms,
        };
        self.text == former.text && is_same_time
    }

    /// The text with the time, to the second.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        match self.next_ms {
            None => self.text.clone(),
            Some(next_ms) => format!("{}; {}", self.text, next_try(next_ms)),
        }
    }
}

/// When the next try is, in words.
#[must_use]
pub(crate) fn next_try(next_ms: i64) -> String {
    let at = Timestamp::from_ms(next_ms / 1000 * 1000);
    format!("the next try is at {at}, or when the account is saved")
}

/// The last reports.
#[derive(Debug, Default)]
struct LastReports {
    /// The last report of the receiver. `None`: the account has no receiver.
    receiving: Option<(State, Trouble)>,
    /// The trouble of the sender. `None`: the sender has no trouble.
    sending: Option<Trouble>,
    /// What the account shows now.
    shown: Option<(State, String)>,
    /// What the log said last, without the times.
    logged: Option<(State, String)>,
}

impl Reporter {
    /// Reports for one account.
    #[must_use]
    pub(crate) fn new(store: &Store, account: &Account) -> Self {
        Self {
            store: store.clone(),
            domain: account.domain.clone(),
            account: account.id,
            address: std::sync::Mutex::new(account.address.clone()),
            said: Mutex::new(LastReports::default()),
        }
    }

    /// Takes the present address of the account.
    pub(crate) fn rename(&self, account: &Account) {
        self.address().clone_from(&account.address);
    }

    fn address(&self) -> std::sync::MutexGuard<'_, String> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report of the receiver.
    pub(crate) async fn receiving(&self, state: State, trouble: Trouble) {
        let mut said = self.said.lock().await;
        let trouble = match said.receiving.take() {
            Some((_, former)) if trouble.is_like(&former) => former,
            Some(_) | None => trouble,
        };
        said.receiving = Some((state, trouble));
        self.show(&mut said).await;
    }

    /// Takes the trouble of the sender. `None`: all is well.
    pub(crate) async fn sending(&self, trouble: Option<Trouble>) {
        let mut said = self.said.lock().await;
        said.sending = trouble.map(|trouble| Trouble { text: sent(&trouble.text), ..trouble });
        self.show(&mut said).await;
    }

    /// A report that cannot be written is logged. The next report is written in any case.
    async fn show(&self, said: &mut LastReports) {
        let (state, text) = said.together(Trouble::shown);
        if said.shown.as_ref() == Some(&(state, text.clone())) {
            return;
        }
        // Another time alone is nothing new.
        let news = Some(said.together(|trouble| trouble.text.clone()));
        if said.logged != news {
            tell(&self.address(), state, &text);
            said.logged = news;
        }
        let connected =
            matches!(state, State::Ready).then(|| Timestamp::from_ms(self.store.clock().now_ms()));
        let report = AccountReport {
            state: state.as_str(),
            status_text: text.clone(),
            last_connected_at: connected,
        };
        match self.store.account_report(&self.domain, self.account, &report).await {
            Ok(()) => said.shown = Some((state, text)),
            Err(error) => {
                let account = self.address().clone();
                tracing::error!(account, %error, "the state of the account was not written");
            }
        }
    }
}

/// Writes the state of an account to the log.
fn tell(account: &str, state: State, text: &str) {
    let (account, text) = (journal::short(account), journal::short(text));
    let word = state.as_str();
    match state {
        State::Failed => tracing::error!(account, state = word, text, "account failed"),
        State::Degraded => tracing::warn!(account, state = word, text, "account has trouble"),
        State::Connecting | State::Ready | State::Disabled if text.is_empty() => {
            tracing::info!(account, state = word, "account");
        }
        State::Connecting | State::Ready | State::Disabled => {
            tracing::info!(account, state = word, text, "account");
        }
    }
}

impl LastReports {
    /// The state and text of both, as `text` writes them.
    fn together(&self, text: impl Fn(&Trouble) -> String) -> (State, String) {
        match (&self.receiving, &self.sending) {
            (None, None) => (State::Ready, String::new()),
            (None, Some(sending)) => (State::Failed, text(sending)),
            (Some((state, receiving)), None) => (*state, text(receiving)),
            (Some((State::Ready, _)), Some(sending)) => (State::Degraded, text(sending)),
            // The sender begins anew too, as after a consent, and what it said is of before.
            (Some((State::Connecting, _)), Some(sending)) => (State::Connecting, text(sending)),
            (Some((state, receiving)), Some(sending)) if receiving.text.is_empty() => {
                (*state, text(sending))
            }
            (Some((state, receiving)), Some(sending)) if sending.text == sent(&receiving.text) => {
                (*state, format!("receiving and {}", text(sending)))
            }
            (Some((state, receiving)), Some(sending)) => {
                (*state, format!("{}; {}", text(receiving), text(sending)))
            }
        }
    }
}

/// The text of a trouble of the sender.
fn sent(text: &str) -> String {
    format!("sending: {text}")
}

/// The error with its causes, for a person.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = postroom_net::cause(cause);
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether a quick retry is useless: a wrong or missing password, or a server that cannot do what
/// the account demands.
#[must_use]
pub(crate) fn needs_a_person(error: &Error) -> bool {
    match error {
        Error::Source(error) => error.meaning.remedy.is_some(),
        Error::Smtp(postroom_smtp::Error::Unsupported { .. }) => true,
        Error::Smtp(error) => error.verdict() == postroom_smtp::SmtpVerdict::Credentials,
        Error::Credentials(error) => error.needs_a_person(),
        Error::SenderRefused { .. } => true,
        Error::Store(_)
        | Error::Spool(_)
        | Error::FolderGone
        | Error::Superseded
        | Error::OtherClasses
        | Error::Unlisted { .. }
        | Error::NoMailbox
        | Error::Unheard
        | Error::Fault(_)
        | Error::Limited { .. }
        | Error::RefusedAlike { .. }
        | Error::Alike(_)
        | Error::Compose(_) => false,
    }
}

/// Whether the login of the account failed, also for now. Then no message is at fault.
#[must_use]
pub(crate) fn is_of_login(error: &Error) -> bool {
    matches!(error, Error::Credentials(_))
        || matches!(error, Error::Smtp(smtp) if smtp.is_of_login())
}

/// Whether the server refuses the login and password.
#[must_use]
pub(crate) fn is_wrong_login(error: &Error) -> bool {
    let is_method = matches!(error, Error::Source(error) if error.lacks_login_method())
        || matches!(error, Error::Smtp(postroom_smtp::Error::Login(_)));
    let no_login =
        is_method || matches!(error, Error::Credentials(_) | Error::SenderRefused { .. });
    needs_a_person(error) && !no_login
}

impl Error {
    /// The error of a receiver as its account tells it. An account without a password has none to
    /// check.
    #[must_use]
    pub(crate) fn told_by(self, account: &Account) -> Self {
        // QUIRK(Exchange): it takes the token of another mailbox at the login, and refuses what
        // follows.
        let is_token = account.imap.as_ref().is_some_and(|imap| imap.login.is_oauth);
        if is_token && is_wrong_login(&self) {
            return CredentialError::token_refused(&chain(&self)).into();
        }
        self
    }
}

/// What helps against a refused login, by the words of the server. `None`: it says nothing that is
/// known.
#[must_use]
pub(crate) fn advice(error: &Error) -> Option<&'static str> {
    let Error::Source(error) = error else {
        return None;
    };
    error.meaning.advice
}

/// How long the server, or the source of the login, asks us to wait.
#[must_use]
pub(crate) fn hint(error: &Error) -> Duration {
    if let Error::Credentials(error) = error {
        return error.hint();
    }
    if let Error::Source(error) = error {
        return error.meaning.wait.unwrap_or(Duration::ZERO);
    }
    Duration::ZERO
}

/// Whether the error is about one mailbox or one list only, so that the connection can be used for
/// others.
#[must_use]
pub(crate) fn leaves_others(error: &Error) -> bool {
    match error {
        Error::Source(source) => source.is_refusal() && !needs_a_person(error),
        Error::Unlisted { .. } | Error::NoMailbox => true,
        Error::Store(_)
        | Error::Smtp(_)
        | Error::Spool(_)
        | Error::Credentials(_)
        | Error::FolderGone
        | Error::Superseded
        | Error::OtherClasses
        | Error::Unheard
        | Error::Fault(_)
        | Error::SenderRefused { .. }
        | Error::Limited { .. }
        | Error::RefusedAlike { .. }
        | Error::Alike(_)
        | Error::Compose(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_that_is_refused_is_to_be_checked() {
        let refused = |command, text: &str| {
            let refusal = postroom_imap::Refusal::No;
            let (code, text) = (None, text.to_owned());
            Error::from(postroom_imap::Error::Refused { command, refusal, code, text })
        };
        let no_mechanism = postroom_imap::Error::NoMechanism {
            secret: "password",
            advice: "",
            offered: String::new(),
        };
        let damaged = postroom_store::Error::Damaged { what: "a secret" };
        let unreadable = CredentialError::Unreadable { property: "password", source: damaged };
        let not_now = CredentialError::Temporary { reason: String::new(), after: None };
        let consent = CredentialError::NeedsPerson { reason: String::new() };
        let exchange = "User is authenticated but not connected.";
        #[rustfmt::skip]
        let table = [
            // A person is needed, the login is wrong, other folders go on.
            (refused("LOGIN", "no"),            true,  true,  false),
            (refused("LIST", exchange),         true,  true,  false),
            (refused("SELECT", "no"),           false, false, true),
            (refused("SELECT", "unavailable"),  false, false, true),
            (Error::from(no_mechanism),         true,  false, false),
            (CredentialError::Missing.into(),   true,  false, false),
            (unreadable.into(),                 true,  false, false),
            (not_now.into(),                    false, false, false),
            (consent.into(),                    true,  false, false),
            (CredentialError::Changed.into(),   false, false, false),
            (Error::Unlisted { count: Some(1) },      false, false, true),
            (Error::Unheard,                    false, false, false),
        ];
        for (error, person, login, others) in table {
            let got = (needs_a_person(&error), is_wrong_login(&error), leaves_others(&error));
            assert_eq!(got, (person, login, others), "{error}");
        }
    }

    #[test]
    fn the_worse_of_receiving_and_sending_is_shown() {
        let said = |receiving: Option<(State, &str)>, sending: Option<&str>| {
            let receiving = receiving.map(|(state, text)| (state, Trouble::new(text)));
            let sending = sending.map(Trouble::new);
            LastReports { receiving, sending, ..LastReports::default() }.together(Trouble::shown)
        };
        #[rustfmt::skip]
        let table = [
            (None,                        None,      (State::Ready, "")),
            (None,                        Some("s"), (State::Failed, "s")),
            (Some((State::Ready, "")),    None,      (State::Ready, "")),
            (Some((State::Ready, "")),    Some("s"), (State::Degraded, "s")),
            (Some((State::Connecting, "")), Some("s"), (State::Connecting, "s")),
            (Some((State::Failed, "r")),  Some("s"), (State::Failed, "r; s")),
            (Some((State::Disabled, "")), Some("s"), (State::Disabled, "s")),
            (Some((State::Failed, "s")),  Some("sending: s"), (State::Failed, "receiving and sending: s")),
        ];
        for (receiving, sending, (state, text)) in table {
            assert_eq!(said(receiving, sending), (state, text.to_owned()));
        }
    }

    #[test]
    fn a_trouble_says_when_the_next_try_is() {
        let trouble = |text: &str, next_ms| Trouble { text: text.to_owned(), next_ms };
        let said = LastReports {
            receiving: Some((State::Failed, trouble("r", Some(1_999)))),
            sending: Some(trouble("s", Some(61_000))),
            ..LastReports::default()
        };
        let (state, text) = said.together(Trouble::shown);
        let want = "r; the next try is at 1970-01-01T00:00:01.000Z, or when the account is saved; \
                    s; the next try is at 1970-01-01T00:01:01.000Z, or when the account is saved";
        assert_eq!((state, text.as_str()), (State::Failed, want));
    }

    #[test]
    fn the_same_try_is_no_news_although_its_time_is_computed_anew() {
        let trouble = |text: &str, next_ms| Trouble { text: text.to_owned(), next_ms };
        let former = trouble("r", Some(1_999));
        for (new, want) in [
            (trouble("r", Some(2_001)), true),
            (trouble("r", Some(4_000)), false),
            (trouble("r", None), false),
            (trouble("other", Some(1_999)), false),
        ] {
            assert_eq!(new.is_like(&former), want, "{new:?}");
        }
        assert!(Trouble::default().is_like(&Trouble::default()));
    }
}
