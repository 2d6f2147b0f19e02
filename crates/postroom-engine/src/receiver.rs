//! The receiver of one account: connects, surveys, polls, and begins again when a connection ends.
//!
//! It owns the account's IMAP connection. Changes of the configuration arrive by a watch channel
//! and take effect within the current step; whatever is dropped in the middle is asked for again,
//! because the ledger knows what is recorded.

use crate::account::Account;
use crate::account::Folder;
use crate::backoff;
use crate::error::Error;
use crate::receive;
use crate::receive::watch::Known;
use crate::report::Reporter;
use crate::report::State;
use crate::report::chain;
use crate::report::needs_a_person;
use crate::shared::Shared;
use crate::survey::survey;
use postroom_imap::Connection;
use postroom_imap::Limits;
use postroom_imap::Options;
use postroom_imap::Verdict;
use postroom_store::FolderReport;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// After so many refusals of the password in a row, it is tried at long intervals only.
const REFUSALS_MAX: u32 = 3;

/// Why attending an account ended without an error.
enum Ended {
    /// Its servers or credentials are others now.
    Reconfigured,
    /// Nothing is monitored; the connection was closed until the next survey.
    Idle(Instant),
}

/// Receives for one account until the sender of `setup` is gone.
pub async fn run(
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    mut setup: watch::Receiver<Arc<Account>>,
) {
    let mut receiver = Receiver {
        reporter,
        shared,
        known: HashMap::new(),
        surveyed: None,
        failures: 0,
        refusals: 0,
    };
    loop {
        let account = Arc::clone(&setup.borrow_and_update());
        let wait = match receiver.attend(&account, &mut setup).await {
            Ok(Ended::Reconfigured) => continue,
            Ok(Ended::Idle(until)) => until,
            Err(error) => receiver.failed(&error).await,
        };
        tokio::select! {
            changed = setup.changed() => match changed {
                Ok(()) => receiver.forgive(),
                Err(_) => return,
            },
            () = tokio::time::sleep_until(wait) => {}
        }
    }
}

struct Receiver {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    known: HashMap<Uuid, Known>,
    surveyed: Option<Instant>,
    failures: u32,
    refusals: u32,
}

impl Receiver {
    /// A new configuration may mend what was wrong: attempts begin anew.
    fn forgive(&mut self) {
        self.failures = 0;
        self.refusals = 0;
    }

    /// Reports an error and says when to try again.
    async fn failed(&mut self, error: &Error) -> Instant {
        self.failures += 1;
        let settings = &self.shared.settings;
        let mut delay =
            backoff::delay(self.failures, settings.reconnect_first, settings.reconnect_longest);
        let mut state = if self.surveyed.is_some() { State::Degraded } else { State::Failed };
        let mut text = chain(error);
        if needs_a_person(error) {
            state = State::Failed;
            text.push_str("; check login and password");
            self.refusals += 1;
            if self.refusals >= REFUSALS_MAX {
                delay = settings.credentials_probe;
                text.push_str("; it is not tried again soon, so that the account is not locked");
            }
        }
        if let Error::Imap(error) = error
            && let Verdict::RetryLater { after: Some(hint) } = error.verdict()
        {
            delay = delay.max(hint);
        }
        self.reporter.receiving(state, &text).await;
        Instant::now() + delay
    }

    async fn attend(
        &mut self,
        account: &Arc<Account>,
        setup: &mut watch::Receiver<Arc<Account>>,
    ) -> Result<Ended, Error> {
        if self.failures == 0 && self.surveyed.is_none() {
            self.reporter.receiving(State::Connecting, "").await;
        }
        let mut connection = self.connect(account).await?;
        self.forgive();
        let mut account = Arc::clone(account);
        let mut polls = Polls::default();
        loop {
            let next_survey = self.survey_if_due(&account, &mut connection).await?;
            let trouble = self.poll_due(&account, &mut connection, &mut polls).await?;
            match trouble {
                None => self.reporter.receiving(State::Ready, "").await,
                Some(text) => self.reporter.receiving(State::Degraded, &text).await,
            }
            if account.monitored().next().is_none() && !setup.has_changed().unwrap_or(true) {
                // Nobody is kept waiting by a goodbye that is not answered.
                let _ = connection.logout().await;
                return Ok(Ended::Idle(next_survey));
            }
            let wait = polls.next(&account).map_or(next_survey, |next| next.min(next_survey));
            tokio::select! {
                changed = setup.changed() => {
                    if changed.is_err() {
                        let _ = connection.logout().await;
                        return Ok(Ended::Idle(next_survey));
                    }
                }
                () = tokio::time::sleep_until(wait) => {}
            }
            let newest = Arc::clone(&setup.borrow_and_update());
            if !newest.connects_like(&account) {
                let _ = connection.logout().await;
                return Ok(Ended::Reconfigured);
            }
            account = newest;
        }
    }

    async fn connect(&self, account: &Account) -> Result<Connection, Error> {
        // An account without IMAP has no receiver.
        let server = account.imap.as_ref().ok_or(Error::NoPassword)?;
        let credentials = server.credentials.as_ref().ok_or(Error::NoPassword)?;
        let settings = &self.shared.settings;
        let bytes_max = account.options.count("message_bytes_max");
        let limits = Limits {
            literal_bytes_max: bytes_max,
            literal_in_memory_bytes: settings.in_memory_bytes_max,
            ..Limits::default()
        };
        let options = Options { limits, ..Options::default() };
        // The semaphore is never closed.
        let _turn = self.shared.connects.acquire().await;
        let mut connection = Connection::open(&settings.dialer, &server.endpoint, &options).await?;
        connection.login(credentials).await?;
        Ok(connection)
    }

    async fn survey_if_due(
        &mut self,
        account: &Account,
        connection: &mut Connection,
    ) -> Result<Instant, Error> {
        let interval = account.options.duration("survey_interval");
        let due = self.surveyed.map_or_else(Instant::now, |at| at + interval);
        if due > Instant::now() {
            return Ok(due);
        }
        survey(&self.shared, account, connection).await?;
        let now = Instant::now();
        self.surveyed = Some(now);
        Ok(now + interval)
    }

    /// Polls the folders that are due, each in its turn; gives what is wrong with any of them.
    async fn poll_due(
        &mut self,
        account: &Account,
        connection: &mut Connection,
        polls: &mut Polls,
    ) -> Result<Option<String>, Error> {
        for folder in account.monitored() {
            if polls.due(folder) {
                let trouble = self.poll(account, folder, connection).await?;
                polls.done(folder, trouble);
            }
        }
        Ok(polls.trouble(account))
    }

    /// Polls one folder; gives what is wrong with it, when the connection is still good.
    async fn poll(
        &mut self,
        account: &Account,
        folder: &Folder,
        connection: &mut Connection,
    ) -> Result<Option<String>, Error> {
        let known = self.known.entry(folder.id).or_default();
        match receive::receive(&self.shared, account, folder, connection, known).await {
            Ok(committed) => {
                if committed.stored > 0 {
                    tracing::debug!(folder = %folder.id, stored = committed.stored, "received");
                }
                Ok(None)
            }
            Err(Error::FolderGone) => Ok(None),
            Err(Error::Imap(error)) if error.verdict() == Verdict::Refused => {
                let text = chain(&error);
                let report =
                    FolderReport { status_text: Some(text.clone()), ..FolderReport::default() };
                self.shared.store.folder_report(&account.domain, folder.id, &report).await?;
                Ok(Some(format!("{}: {text}", folder.title)))
            }
            Err(error) => Err(error),
        }
    }
}

/// When each folder is polled next, and what is wrong with it.
#[derive(Default)]
struct Polls {
    folders: HashMap<Uuid, (Instant, Option<String>)>,
}

impl Polls {
    fn due(&self, folder: &Folder) -> bool {
        self.folders
            .get(&folder.id)
            .is_none_or(|(last, _)| *last + interval(folder) <= Instant::now())
    }

    fn done(&mut self, folder: &Folder, trouble: Option<String>) {
        self.folders.insert(folder.id, (Instant::now(), trouble));
    }

    fn next(&self, account: &Account) -> Option<Instant> {
        let at = |folder: &Folder| {
            let polled = self.folders.get(&folder.id);
            polled.map_or_else(Instant::now, |(last, _)| *last + interval(folder))
        };
        account.monitored().map(at).min()
    }

    fn trouble(&self, account: &Account) -> Option<String> {
        account.monitored().find_map(|folder| self.folders.get(&folder.id)?.1.clone())
    }
}

fn interval(folder: &Folder) -> Duration {
    folder.options.duration("after_read_timeout")
}
