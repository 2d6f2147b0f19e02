//! Reports: writes `state` and `statusText` of accounts.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use postroom_imap::ImapVerdict;
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

/// The last reports.
#[derive(Debug, Default)]
struct LastReports {
    /// That of the receiver. `None`: the account has none.
    receiving: Option<(State, String)>,
    /// The trouble of the sender. `None`: it has none.
    sending: Option<String>,
    /// What the account shows now.
    shown: Option<(State, String)>,
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

    /// The account may have another address now.
    pub(crate) fn rename(&self, account: &Account) {
        self.address().clone_from(&account.address);
    }

    fn address(&self) -> std::sync::MutexGuard<'_, String> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report of the receiver, with a text for people. Empty: all is well.
    pub(crate) async fn receiving(&self, state: State, text: &str) {
        let mut said = self.said.lock().await;
        said.receiving = Some((state, text.to_owned()));
        self.show(&mut said).await;
    }

    /// Takes the trouble of the sender. `None`: all is well.
    pub(crate) async fn sending(&self, trouble: Option<String>) {
        let mut said = self.said.lock().await;
        said.sending = trouble.map(|text| format!("sending: {text}"));
        self.show(&mut said).await;
    }

    /// A report that cannot be written is logged. The next report is written in any case.
    async fn show(&self, said: &mut LastReports) {
        let (state, text) = said.together();
        if said.shown.as_ref() == Some(&(state, text.clone())) {
            return;
        }
        tell(&self.address(), state, &text);
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
                tracing::error!(account, %error, "report not written");
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
    fn together(&self) -> (State, String) {
        match (&self.receiving, &self.sending) {
            (None, None) => (State::Ready, String::new()),
            (None, Some(text)) => (State::Failed, text.clone()),
            (Some((state, text)), None) => (*state, text.clone()),
            (Some((State::Ready | State::Connecting, _)), Some(text)) => {
                (State::Degraded, text.clone())
            }
            (Some((state, text)), Some(sending)) if text.is_empty() => (*state, sending.clone()),
            (Some((state, text)), Some(sending)) => (*state, format!("{text}; {sending}")),
        }
    }
}

/// The error with its causes, for a person.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
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
        Error::Imap(error) => error.verdict() == ImapVerdict::Credentials,
        Error::Smtp(postroom_smtp::Error::Unsupported { .. }) => true,
        Error::Smtp(error) => error.verdict() == postroom_smtp::SmtpVerdict::Credentials,
        Error::Credentials(error) => error.needs_a_person(),
        Error::Store(_)
        | Error::Spool(_)
        | Error::FolderGone
        | Error::Superseded
        | Error::Unlisted { .. }
        | Error::NoMailbox
        | Error::Unheard
        | Error::Fault(_)
        | Error::Limited { .. }
        | Error::Alike(_)
        | Error::Compose(_) => false,
    }
}

/// Whether the server refuses the login and password.
#[must_use]
pub(crate) fn is_wrong_login(error: &Error) -> bool {
    let no_login = matches!(
        error,
        Error::Credentials(_) | Error::Imap(postroom_imap::Error::NoMechanism { .. })
    );
    needs_a_person(error) && !no_login
}

/// How long the server, or the source of the login, asks us to wait.
#[must_use]
pub(crate) fn hint(error: &Error) -> Duration {
    if let Error::Credentials(error) = error {
        return error.hint();
    }
    if let Error::Imap(error) = error
        && let ImapVerdict::RetryLater { after: Some(hint) } = error.verdict()
    {
        return hint;
    }
    Duration::ZERO
}

/// Whether the error is about one mailbox or one list only, so that the connection can be used for
/// others.
#[must_use]
pub(crate) fn leaves_others(error: &Error) -> bool {
    match error {
        Error::Imap(imap) => imap.leaves_connection_open() && !needs_a_person(error),
        Error::Unlisted { .. } | Error::NoMailbox => true,
        Error::Store(_)
        | Error::Smtp(_)
        | Error::Spool(_)
        | Error::Credentials(_)
        | Error::FolderGone
        | Error::Superseded
        | Error::Unheard
        | Error::Fault(_)
        | Error::Limited { .. }
        | Error::Alike(_)
        | Error::Compose(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialError;

    #[test]
    fn only_a_login_that_is_refused_is_to_be_checked() {
        let refused = |command, text: &str| {
            let refusal = postroom_imap::Refusal::No;
            let (code, text) = (None, text.to_owned());
            Error::Imap(postroom_imap::Error::Refused { command, refusal, code, text })
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
            (Error::Imap(no_mechanism),         true,  false, false),
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
            let receiving = receiving.map(|(state, text)| (state, text.to_owned()));
            LastReports { receiving, sending: sending.map(str::to_owned), shown: None }.together()
        };
        #[rustfmt::skip]
        let table = [
            (None,                        None,      (State::Ready, "")),
            (None,                        Some("s"), (State::Failed, "s")),
            (Some((State::Ready, "")),    None,      (State::Ready, "")),
            (Some((State::Ready, "")),    Some("s"), (State::Degraded, "s")),
            (Some((State::Failed, "r")),  Some("s"), (State::Failed, "r; s")),
            (Some((State::Disabled, "")), Some("s"), (State::Disabled, "s")),
        ];
        for (receiving, sending, (state, text)) in table {
            assert_eq!(said(receiving, sending), (state, text.to_owned()));
        }
    }
}
