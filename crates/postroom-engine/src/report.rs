//! Reports: what an account's or a folder's row says about how it fares.

use crate::error::Error;
use postroom_imap::Verdict;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_store::AccountReport;
use postroom_store::Store;
use postroom_store::clock;
use uuid::Uuid;

/// How the connection of an account fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first connection is being made.
    Connecting,
    /// All is well.
    Ready,
    /// Something does not work, the rest does; or a connection was lost and is made again.
    Degraded,
    /// Nothing works until a person, or the server, changes something.
    Failed,
    /// Nothing is to be done.
    Disabled,
}

impl State {
    /// The value of the property `state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// Writes the state of an account, once for each change.
#[derive(Debug)]
pub struct Reporter {
    store: Store,
    domain: Domain,
    account: Uuid,
    last: Option<(State, String)>,
}

impl Reporter {
    /// Reports for one account.
    #[must_use]
    pub fn new(store: &Store, domain: &Domain, account: Uuid) -> Self {
        Self { store: store.clone(), domain: domain.clone(), account, last: None }
    }

    /// Reports a state with what a person should know; empty when all is well.
    ///
    /// A report that cannot be written is logged: the next change is reported again.
    pub async fn report(&mut self, state: State, text: &str) {
        if self.last.as_ref().is_some_and(|(last, said)| *last == state && said == text) {
            return;
        }
        tracing::info!(account = %self.account, state = state.as_str(), text, "account");
        let connected = matches!(state, State::Ready).then(|| Timestamp::from_ms(clock::now_ms()));
        let report = AccountReport {
            state: state.as_str(),
            status_text: text.to_owned(),
            last_connected_at: connected,
        };
        match self.store.account_report(&self.domain, self.account, &report).await {
            Ok(()) => self.last = Some((state, text.to_owned())),
            Err(error) => tracing::error!(account = %self.account, %error, "report not written"),
        }
    }
}

/// The error with its causes, for a person.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
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

/// Whether trying the same again soon is of no use: wrong password, no password.
#[must_use]
pub fn needs_a_person(error: &Error) -> bool {
    match error {
        Error::Imap(error) => error.verdict() == Verdict::Credentials,
        Error::Smtp(error) => error.verdict() == postroom_smtp::Verdict::Credentials,
        Error::NoPassword => true,
        Error::Store(_)
        | Error::Spool(_)
        | Error::FolderGone
        | Error::Fault(_)
        | Error::Compose(_) => false,
    }
}
