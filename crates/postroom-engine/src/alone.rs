//! Fetches late messages on a connection of their own.
//!
//! The server was silent when such a message was due. The main connection of the account goes on
//! with all other messages meanwhile. An account has at most one connection of this kind at a time.

use crate::account::Account;
use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::pool::ConnectionPool;
use crate::pool::Purpose;
use crate::receive::ReceivedAlone;
use crate::receive::identity::Over;
use crate::receive::known::EpochEnd;
use crate::receive::known::Known;
use crate::receive::news::LateMessage;
use crate::receive::plan::FetchedAlone;
use crate::receive::receive_one;
use crate::receive::turn::Turn;
use crate::source::contract::Connector;
use crate::source::contract::Waits;
use crate::source_error::SourceFailure;
use postroom_model::FolderId;
use postroom_store::MailboxEpoch;
use postroom_store::SourceKey;
use postroom_watch::Watcher;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// This connection has nothing else to do, so its turn never has to end for others.
const FAR: Duration = Duration::from_secs(86_400);

/// After so many late messages in a row that arrived on connections of their own, the server counts
/// as slow, and all messages get the longer time.
const LATE_MIN: u32 = 3;

/// How many messages in a row arrived late on connections of their own, or not in time otherwise.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    in_a_row: u32,
}

impl Lateness {
    /// Notes whether one more was late.
    pub(crate) fn note(&mut self, is_late: bool) {
        self.in_a_row = if is_late { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// Notes an error that ended the main connection. `is_blamed`: a message is fetched on a
    /// connection of its own because of it. Otherwise the server was late with facts about recorded
    /// messages. Without them no mail is received at all.
    pub(crate) fn ended(&mut self, error: &Error, is_blamed: bool) {
        if !is_blamed && error.source_failure() == Some(SourceFailure::Silent) {
            self.note(true);
        }
    }

    /// How long the main connection waits for messages. If the server is slow, the messages are
    /// fine.
    pub(crate) fn waits(&self) -> Waits {
        if self.in_a_row >= LATE_MIN { Waits::Long } else { Waits::Briefly }
    }
}

/// The result.
#[derive(Debug)]
pub(crate) struct LateResult {
    /// Its folder.
    pub folder: FolderId,
    /// Its key.
    pub key: SourceKey,
    /// Whether it is recorded.
    pub asked: FetchedAlone,
    /// The epoch of its mailbox, if that turned out to be over.
    pub end: Option<EpochEnd>,
}

impl LateResult {
    /// Notes it in what is known of its mailbox. Gives whether the message came.
    pub(crate) fn note(&mut self, known: &mut Known) -> bool {
        known.plan.back(self.key, self.asked);
        known.looked_elsewhere(self.end.take());
        let came = self.asked == FetchedAlone::Came;
        known.actions.are_open |= came;
        came
    }
}

/// The messages of one account that are fetched alone.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    waiting: VecDeque<LateMessage>,
    running: Option<RunningFetch>,
    pub lateness: Lateness,
}

#[derive(Debug)]
struct RunningFetch {
    folder: FolderId,
    epoch: MailboxEpoch,
    key: SourceKey,
    began: Instant,
    stall: Duration,
    task: JoinHandle<AskedAlone>,
}

/// What a connection of its own gave.
#[derive(Debug)]
struct AskedAlone {
    asked: FetchedAlone,
    over: Option<Over>,
}

impl From<FetchedAlone> for AskedAlone {
    fn from(asked: FetchedAlone) -> Self {
        Self { asked, over: None }
    }
}

impl Drop for RunningFetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Alone {
    /// Takes the late messages of a folder. Removes those of an earlier epoch of its mailbox,
    /// because in the present one they are found again.
    pub(crate) fn take_over(&mut self, known: &mut Known) {
        self.waiting.extend(known.alone.drain(..));
        if let Some(epoch) = known.origin.as_ref().and_then(|origin| origin.epoch) {
            let is_earlier = |of: MailboxEpoch| of.folder == epoch.folder && of != epoch;
            self.waiting.retain(|late| !is_earlier(late.news.epoch));
            self.running.take_if(|running| is_earlier(running.epoch));
        }
    }

    /// Removes the messages of folders that are not monitored.
    pub(crate) fn retain_monitored(&mut self, account: &Account) {
        let is_monitored = |id: FolderId| account.monitored().any(|folder| folder.id == id);
        self.waiting.retain(|late| is_monitored(late.folder));
        self.running.take_if(|running| !is_monitored(running.folder));
    }

    /// Begins with the next one, unless one is running.
    pub(crate) fn start<C: Connector>(
        &mut self,
        pool: &Arc<ConnectionPool<C>>,
        account: &Arc<Account>,
        setup: &Watcher<Arc<Account>>,
    ) {
        if self.running.is_some() {
            return;
        }
        if let Some(late) = self.waiting.pop_front() {
            let (folder, epoch, key) = (late.folder, late.news.epoch, late.key);
            let (pool, account) = (Arc::clone(pool), Arc::clone(account));
            let (began, stall) = (Instant::now(), account.stall());
            let task = tokio::spawn(ask(pool, account, setup.clone(), late));
            self.running = Some(RunningFetch { folder, epoch, key, began, stall, task });
        }
    }

    /// Waits until the running one has ended. Without a running one, it waits forever. Dropping the
    /// future loses nothing.
    pub(crate) async fn ended(&mut self) -> LateResult {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        // A task that panicked has not recorded the message.
        let ended = (&mut running.task).await.unwrap_or(FetchedAlone::Missed.into());
        let AskedAlone { asked, over } = ended;
        let is_late = asked == FetchedAlone::Came && running.began.elapsed() >= running.stall;
        let end = over.map(|over| EpochEnd { epoch: running.epoch, over });
        let ended = LateResult { folder: running.folder, key: running.key, asked, end };
        self.lateness.note(is_late);
        self.running = None;
        ended
    }
}

async fn ask<C: Connector>(
    pool: Arc<ConnectionPool<C>>,
    account: Arc<Account>,
    setup: Watcher<Arc<Account>>,
    late: LateMessage,
) -> AskedAlone {
    let Some(folder) = account.monitored().find(|folder| folder.id == late.folder) else {
        return FetchedAlone::NotAsked.into();
    };
    let mut connection = match pool.open(&account, Purpose::Suspects).await {
        Ok(connection) => connection,
        Err(error) => {
            tell(&account, &late, &error);
            return FetchedAlone::NotAsked.into();
        }
    };
    let far = Instant::now() + FAR;
    let turn = Turn { setup: &setup, others_due: far, looks_again: far };
    let mailbox = MonitoredMailbox { account: &account, folder };
    let received = receive_one(pool.shared(), mailbox, &mut *connection, &late, &turn).await;
    pool.hear(&mut connection);
    match received {
        Ok(ReceivedAlone { is_recorded, over }) => {
            connection.log_out().await;
            let asked = if is_recorded { FetchedAlone::Came } else { FetchedAlone::Missed };
            AskedAlone { asked, over }
        }
        Err(error) => {
            tell(&account, &late, &error);
            FetchedAlone::Missed.into()
        }
    }
}

fn tell(account: &Account, late: &LateMessage, error: &Error) {
    let (address, uid) = (&account.address, late.key.uid());
    tracing::warn!(
        account = address,
        uid,
        "a message that holds up others could not be fetched on a connection of its own; it is \
         tried again later: {}",
        crate::report::chain(error)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_slow_after_several_late_messages_in_a_row() {
        let mut lateness = Lateness::default();
        for (is_late, want) in [
            (true, Waits::Briefly),
            (true, Waits::Briefly),
            (false, Waits::Briefly),
            (true, Waits::Briefly),
            (true, Waits::Briefly),
            (true, Waits::Long),
            (true, Waits::Long),
            (false, Waits::Briefly),
        ] {
            lateness.note(is_late);
            assert_eq!(lateness.waits(), want, "{lateness:?}");
        }
    }
}
