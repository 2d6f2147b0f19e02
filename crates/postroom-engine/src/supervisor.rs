//! The supervisor: one receiver and one sender for each enabled account, as the data model says.
//!
//! It reads the whole configuration whenever something in it has changed, and brings what runs in
//! line with it. A task that ends by a fault of its own is started again, and that is logged and
//! counted; no other account notices.

use crate::account::Account;
use crate::account::SYSTEM_SEND_BOX;
use crate::error::Error;
use crate::receiver;
use crate::report::Reporter;
use crate::report::State;
use crate::report::chain;
use crate::sender;
use crate::settings::Settings;
use crate::shared::Shared;
use postroom_store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The configuration is read again at least so often, whatever was or was not announced.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Changes that come within this time are taken together.
const SETTLE: Duration = Duration::from_millis(20);

/// The running engine.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the engine on a store.
    ///
    /// # Errors
    ///
    /// When the spool directory cannot be made, or what was left half done cannot be taken up.
    pub async fn start(store: Store, settings: Settings) -> Result<Self, Error> {
        let spool = &settings.spool_directory;
        if spool.exists() {
            std::fs::remove_dir_all(spool).map_err(Error::Spool)?;
        }
        std::fs::create_dir_all(spool).map_err(Error::Spool)?;
        store.delivery_recover().await?;
        let shared = Arc::new(Shared {
            decompositions: Semaphore::new(settings.decompositions_max.max(1)),
            bytes_in_flight: Arc::new(Semaphore::new(settings.bytes_in_flight_max)),
            connects: Semaphore::new(settings.connects_max.max(1)),
            store,
            settings,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(shared, stop.clone()));
        Ok(Self { stop, task })
    }

    /// Stops: nothing new is begun, what is after its final dot is finished, within a bound.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the supervisor ended by a fault of its own");
        }
    }
}

async fn supervise(shared: Arc<Shared>, stop: CancellationToken) {
    let mut changes = shared.store.watch_configuration();
    let mut running: HashMap<Uuid, Running> = HashMap::new();
    loop {
        changes.borrow_and_update();
        match shared.store.account_list().await {
            Ok(rows) => {
                let accounts = rows.iter().map(Account::from_row).map(Arc::new).collect();
                align(&shared, &mut running, accounts).await;
            }
            Err(error) => tracing::error!(error = chain(&error), "configuration not read"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(READ_AGAIN) => {}
        }
    }
    let all = running.into_values().map(|running| running.stop(shared.settings.stop_within));
    futures_util::future::join_all(all).await;
}

/// Starts, changes and stops accounts until what runs is what the data model says.
async fn align(
    shared: &Arc<Shared>,
    running: &mut HashMap<Uuid, Running>,
    accounts: Vec<Arc<Account>>,
) {
    let mut former = std::mem::take(running);
    for account in accounts {
        match (former.remove(&account.id), account.enabled) {
            (Some(old), true) => {
                running.insert(account.id, old.keep(shared, &account).await);
            }
            (None, true) => {
                running.insert(account.id, Running::start(shared, &account).await);
            }
            (old, false) => {
                if let Some(old) = old {
                    old.stop(shared.settings.stop_within).await;
                }
                if account.state != State::Disabled.as_str() {
                    let mut reporter = Reporter::new(&shared.store, &account.domain, account.id);
                    reporter.report(State::Disabled, "").await;
                }
            }
        }
    }
    for gone in former.into_values() {
        gone.stop(shared.settings.stop_within).await;
    }
}

/// The tasks of one account.
struct Running {
    setup: watch::Sender<Arc<Account>>,
    stop: CancellationToken,
    receiver: Option<JoinHandle<()>>,
    sender: Option<JoinHandle<()>>,
}

impl Running {
    async fn start(shared: &Arc<Shared>, account: &Arc<Account>) -> Self {
        if account.is_system {
            ensure_send_box(shared, account).await;
        }
        let (setup, _) = watch::channel(Arc::clone(account));
        let stop = CancellationToken::new();
        let mut running = Self { setup, stop, receiver: None, sender: None };
        running.start_tasks(shared, account);
        running
    }

    /// Starts the tasks that the account needs and that do not run: all at first, later those that
    /// ended by a fault, or whose server was added.
    fn start_tasks(&mut self, shared: &Arc<Shared>, account: &Account) {
        let ended =
            |task: &Option<JoinHandle<()>>| task.as_ref().is_none_or(JoinHandle::is_finished);
        if account.imap.is_some() && ended(&self.receiver) {
            let task = receiver::run(Arc::clone(shared), self.setup.subscribe());
            self.receiver = Some(tokio::spawn(task));
        }
        if account.smtp.is_some() && ended(&self.sender) {
            let task = sender::run(Arc::clone(shared), self.setup.subscribe(), self.stop.clone());
            self.sender = Some(tokio::spawn(task));
        }
    }

    /// Takes on a configuration. A server that was taken away ends its task.
    async fn keep(mut self, shared: &Arc<Shared>, account: &Arc<Account>) -> Self {
        let former = Arc::clone(&self.setup.borrow());
        if account.imap.is_none()
            && let Some(receiver) = self.receiver.take()
        {
            receiver.abort();
        }
        if account.smtp.is_some() != former.smtp.is_some() {
            self.stop(shared.settings.stop_within).await;
            return Self::start(shared, account).await;
        }
        if !account.works_like(&former) {
            if account.is_system && !former.is_system {
                ensure_send_box(shared, account).await;
            }
            self.setup.send_replace(Arc::clone(account));
        }
        self.start_tasks(shared, account);
        self
    }

    /// Stops both tasks. A receiver may be dropped anywhere; a sender finishes what is after its
    /// final dot.
    async fn stop(self, within: Duration) {
        self.stop.cancel();
        if let Some(receiver) = self.receiver {
            receiver.abort();
        }
        if let Some(mut sender) = self.sender
            && tokio::time::timeout(within, &mut sender).await.is_err()
        {
            tracing::warn!("a sender did not end in time and is cut off");
            sender.abort();
        }
    }
}

/// A system account has a folder for its outgoing mail.
async fn ensure_send_box(shared: &Shared, account: &Account) {
    let owner = (account.id, account.address.as_str());
    let made = shared.store.send_box_ensure(&account.domain, owner, SYSTEM_SEND_BOX).await;
    if let Err(error) = made {
        tracing::error!(account = %account.id, error = chain(&error), "send box not made");
    }
}
