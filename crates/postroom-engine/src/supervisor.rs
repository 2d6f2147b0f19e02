//! The supervisor: one receiver and one sender for each enabled account, as the data model says.
//!
//! It reads the whole configuration after each change, and each minute, and changes the tasks
//! accordingly. A task that panics is logged, counted and started again, without effect on others.

use crate::account::Account;
use crate::account::SYSTEM_SEND_BOX;
use crate::account_changes::tell_changes;
use crate::device_poll;
use crate::error::Error;
use crate::full_text;
use crate::jobs;
use crate::pulse::SpoolTrouble;
use crate::receiver;
use crate::report::Reporter;
use crate::report::State;
use crate::report::Trouble;
use crate::report::chain;
use crate::retention;
use crate::send::orphaned;
use crate::sender;
use crate::settings::Redial;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::source::imap::connect::ImapConnector;
use crate::webhooks;
use postroom_model::AccountId;
use postroom_store::AccountRow;
use postroom_store::Store;
use postroom_store::Topic;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Changes that come within this time are taken together.
const SETTLE: Duration = Duration::from_millis(20);

/// The running engine.
#[derive(Debug)]
pub struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    dialing: Watched<u64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts the engine on a store.
    ///
    /// # Errors
    ///
    /// The spool directory cannot be made, or the store fails.
    pub async fn start(store: Store, settings: Settings) -> Result<Self, Error> {
        Self::start_on(Shared::new(store, settings).await?).await
    }

    /// Starts the engine on a store that leads. The spool directory exists.
    pub(crate) async fn start_leading(store: Store, settings: Settings) -> Result<Self, Error> {
        Self::start_on(Shared::of_leader(store, settings)).await
    }

    async fn start_on(shared: Arc<Shared>) -> Result<Self, Error> {
        // No sender runs yet, so nothing may stay claimed, even if its account will have no sender.
        shared.store.delivery_recover(None).await?;
        let stop = CancellationToken::new();
        let dialing = Watched::new(0);
        let redialed = dialing.subscribe();
        let task = tokio::spawn(supervise(Arc::clone(&shared), redialed, stop.clone()));
        Ok(Self { shared, dialing, stop, task })
    }

    /// Changes how connections are made, and which addresses may be reached. Open connections are
    /// made again.
    pub fn dial_by(&self, redial: Redial) {
        self.shared.dial_by(redial);
        self.dialing.send_modify(|count| *count += 1);
    }

    /// How long stopping waits at most for messages that are being sent.
    #[must_use]
    pub fn stops_within(&self) -> Duration {
        self.shared.settings.stop_within
    }

    /// A function that says what is wrong with the engine, for people. `None`: nothing. It can be
    /// called at any time.
    pub fn watch_health(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let (shared, task) = (Arc::clone(&self.shared), self.task.abort_handle());
        move || {
            let problem = shared.pulse.problem();
            if task.is_finished() && problem.is_none() {
                return Some("the engine has stopped: restart Postroom".to_owned());
            }
            problem
        }
    }

    /// A function that says why large messages that arrive are held up. `None`: they are not.
    pub fn watch_spool(&self) -> impl Fn() -> Option<SpoolTrouble> + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.pulse.spool_trouble()
    }

    /// Stops the engine. Nothing new begins, and messages after their final dot are finished,
    /// within a limit.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the supervisor failed, which is a fault of Postroom");
        }
    }
}

/// Starts a loop that runs beside the accounts.
type StartLoop = fn(Arc<Shared>, CancellationToken) -> JoinHandle<()>;

/// The loops that run beside the accounts. One that fails is started again.
const BESIDE: [StartLoop; 6] = [
    |shared, stop| tokio::spawn(jobs::run(shared, stop)),
    |shared, stop| tokio::spawn(retention::run(shared, stop)),
    |shared, stop| tokio::spawn(orphaned::run(shared, stop)),
    |shared, stop| tokio::spawn(full_text::run(shared, stop)),
    |shared, stop| tokio::spawn(webhooks::run(shared, stop)),
    |shared, stop| tokio::spawn(device_poll::run(shared, stop)),
];

async fn supervise(shared: Arc<Shared>, mut redialed: Watcher<u64>, stop: CancellationToken) {
    let store = shared.store.clone();
    let mut changes = store.listen(Topic::Configuration);
    let mut beside: Vec<_> =
        BESIDE.iter().map(|run| run(Arc::clone(&shared), stop.clone())).collect();
    let mut fleet =
        Fleet { shared, running: BTreeMap::new(), stopping: BTreeMap::new(), is_ending: false };
    loop {
        for (run, task) in BESIDE.iter().zip(&mut beside) {
            if task.is_finished() && !stop.is_cancelled() {
                let anew = run(Arc::clone(&fleet.shared), stop.clone());
                wait_for(Some(std::mem::replace(task, anew))).await;
            }
        }
        changes.catch_up();
        match fleet.shared.store.account_list_enabled_folders().await {
            Ok(rows) => {
                let dialing = *redialed.borrow_and_update();
                let account =
                    |row: AccountRow| Arc::new(Account { dialing, ..Account::from_row(&row) });
                let accounts = rows.into_iter().map(account).collect();
                fleet.align(accounts).await;
                fleet.shared.pulse.read(None);
                fleet.shared.pulse.all_run();
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "configuration not read");
                fleet.shared.pulse.read(Some(error.to_string()));
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = store.deposed() => {
                // Every batch is refused now, so nothing of it must go on.
                fleet.shared.pulse.depose();
                stop.cancel();
                break;
            }
            () = changes.rung() => tokio::time::sleep(SETTLE).await,
            Ok(()) = redialed.changed() => {}
        }
    }
    fleet.stop_all().await;
    for task in beside {
        wait_for(Some(task)).await;
    }
}

/// The running accounts.
struct Fleet {
    shared: Arc<Shared>,
    running: BTreeMap<AccountId, AccountTasks>,
    /// Accounts whose sender still finishes a message. Only a new sender of the same account waits
    /// for it.
    stopping: BTreeMap<AccountId, JoinHandle<()>>,
    /// Whether the engine stops. Then the next start recovers the queue.
    is_ending: bool,
}

impl Fleet {
    /// Starts, changes and stops accounts, so that the running tasks match the data model.
    async fn align(&mut self, accounts: Vec<Arc<Account>>) {
        self.stopping.retain(|_, stopping| !stopping.is_finished());
        let mut former = std::mem::take(&mut self.running);
        for account in accounts {
            match (former.remove(&account.id), account.enabled) {
                (Some(old), true) => self.keep(old, &account).await,
                (None, true) => {
                    tracing::info!(account = account.address, id = %account.id, "account taken up");
                    self.start(&account).await;
                }
                (old, false) => {
                    if let Some(old) = old {
                        tracing::info!(account = account.address, "account disabled");
                        self.stop(account.id, old);
                    }
                    if account.state != State::Disabled.as_str() {
                        let store = &self.shared.store;
                        let reporter = Reporter::new(store, &account);
                        reporter.receiving(State::Disabled, Trouble::default()).await;
                    }
                }
            }
        }
        for (id, gone) in former {
            tracing::info!(account = gone.setup.borrow().address, %id, "account deleted");
            self.stop(id, gone);
        }
    }

    async fn start(&mut self, account: &Arc<Account>) {
        if account.is_system {
            ensure_send_box(&self.shared, account).await;
        }
        let setup = Watched::new(Arc::clone(account));
        let mut running = AccountTasks {
            reporter: Arc::new(Reporter::new(&self.shared.store, account)),
            setup,
            stop: CancellationToken::new(),
            receiver: None,
            sender: None,
        };
        // Without a server there is no new sender. What stops the former one is kept.
        let former = account.smtp.as_ref().and_then(|_| self.stopping.remove(&account.id));
        if account.imap.is_none() && account.smtp.is_none() {
            running.reporter.receiving(State::Failed, Trouble::of_no_server()).await;
        }
        running.start_tasks(&self.shared, account, former);
        self.running.insert(account.id, running);
    }

    /// Takes a new configuration. An account that lost or got a server is started again.
    async fn keep(&mut self, mut old: AccountTasks, account: &Arc<Account>) {
        let former = Arc::clone(&old.setup.borrow());
        let servers = |account: &Account| (account.imap.is_some(), account.smtp.is_some());
        if servers(&former) != servers(account) {
            tell_changes(&former, account);
            self.stop(account.id, old);
            return self.start(account).await;
        }
        if !account.works_like(&former) {
            if account.is_system && !former.is_system {
                ensure_send_box(&self.shared, account).await;
            }
            tell_changes(&former, account);
            old.reporter.rename(account);
            old.setup.send_replace(Arc::clone(account));
        }
        old.start_tasks(&self.shared, account, None);
        self.running.insert(account.id, old);
    }

    /// Stops an account in the background, so that no other account waits for its server.
    fn stop(&mut self, account: AccountId, running: AccountTasks) {
        let former = self.stopping.remove(&account);
        let (shared, is_ending) = (Arc::clone(&self.shared), self.is_ending);
        let stopping = tokio::spawn(async move {
            // The result of a message that is being sent would be refused.
            let is_over = is_ending && shared.store.is_deposed();
            let within = if is_over { Duration::ZERO } else { shared.settings.stop_within };
            running.stop(within).await;
            wait_for(former).await;
            if !is_ending && let Err(error) = orphaned::take_up(&shared, account).await {
                let error = chain(&error);
                tracing::error!(%account, error, "the queue of a stopped account was not checked");
            }
        });
        self.stopping.insert(account, stopping);
    }

    async fn stop_all(mut self) {
        self.is_ending = true;
        for (id, running) in std::mem::take(&mut self.running) {
            self.stop(id, running);
        }
        for (_, stopping) in self.stopping {
            wait_for(Some(stopping)).await;
        }
        self.shared.answered().await;
    }
}

/// Waits for a task, and logs a panic.
async fn wait_for(task: Option<JoinHandle<()>>) {
    if let Some(task) = task
        && let Err(error) = task.await
    {
        tracing::error!(%error, "a task ended by a fault of its own");
    }
}

/// The tasks of one account.
struct AccountTasks {
    reporter: Arc<Reporter>,
    setup: Watched<Arc<Account>>,
    stop: CancellationToken,
    receiver: Option<JoinHandle<()>>,
    sender: Option<JoinHandle<()>>,
}

impl AccountTasks {
    /// Starts the tasks that the account needs and that do not run: at first all, later those that
    /// panicked. A sender begins after the `former` sender of the account has ended.
    fn start_tasks(
        &mut self,
        shared: &Arc<Shared>,
        account: &Account,
        former: Option<JoinHandle<()>>,
    ) {
        if account.imap.is_some() && is_due(self.receiver.as_ref(), account) {
            let (shared, reporter) = (Arc::clone(shared), Arc::clone(&self.reporter));
            let setup = self.setup.subscribe();
            let task =
                receiver::run(ImapConnector::default(), Arc::clone(&shared), reporter, setup);
            self.receiver =
                Some(tokio::spawn(async move { Box::pin(shared.pulse.watch(task)).await }));
        }
        if account.smtp.is_some() && is_due(self.sender.as_ref(), account) {
            let (shared, reporter) = (Arc::clone(shared), Arc::clone(&self.reporter));
            let (setup, stop) = (self.setup.subscribe(), self.stop.clone());
            let task = sender::run(Arc::clone(&shared), reporter, setup, stop);
            self.sender = Some(tokio::spawn(async move {
                wait_for(former).await;
                Box::pin(shared.pulse.watch(task)).await;
            }));
        }
    }

    /// Stops both tasks. A receiver can be dropped at any point. A sender finishes a message after
    /// its final dot.
    async fn stop(self, within: Duration) {
        self.stop.cancel();
        if let Some(receiver) = self.receiver {
            receiver.abort();
        }
        if let Some(mut sender) = self.sender
            && tokio::time::timeout(within, &mut sender).await.is_err()
        {
            tracing::warn!(
                account = self.setup.borrow().address,
                "the server did not answer in time, so the outcome of the message is not known: \
                 the option `uncertain` settles it"
            );
            sender.abort();
        }
    }
}

/// Whether to start a task: it was never started, or it panicked, which is logged.
fn is_due(task: Option<&JoinHandle<()>>, account: &Account) -> bool {
    match task {
        None => true,
        Some(task) if task.is_finished() => {
            tracing::error!(
                account = account.address,
                "a task of the account failed, which is a fault of Postroom; it is started again"
            );
            true
        }
        Some(_) => false,
    }
}

/// Makes the folder for the outgoing mail of a system account.
async fn ensure_send_box(shared: &Shared, account: &Account) {
    let made = shared
        .store
        .send_box_ensure(&account.domain, account.id, &account.address, SYSTEM_SEND_BOX)
        .await;
    if let Err(error) = made {
        tracing::error!(
            account = account.address,
            error = chain(&error),
            "the folder for outgoing mail of a system account could not be made"
        );
    }
}
