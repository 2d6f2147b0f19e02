//! What requests of clients ask of this process as one of several.

use crate::consent::OAuthConsents;
use crate::device_consent::DeviceConsents;
use crate::pulse::SpoolTrouble;
use crate::server_search::ServerSearch;
use crate::settings::CurrentDialing;
use crate::settings::Redial;
use crate::supervisor::Supervisor;
use crate::verify::AccountVerifier;
use crate::webhooks::WebhookTester;
use postroom_model::InstanceRest;
use postroom_model::MessageEntityId;
use postroom_store::Store;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// What an engine that runs offers to clients.
pub(crate) struct EngineParts {
    health: Box<dyn Fn() -> Option<String> + Send + Sync>,
    spool: Box<dyn Fn() -> Option<SpoolTrouble> + Send + Sync>,
    under_way: Box<dyn Fn() -> Vec<(String, MessageEntityId)> + Send + Sync>,
    webhooks: WebhookTester,
    verifier: AccountVerifier,
    devices: DeviceConsents,
    search: ServerSearch,
}

impl EngineParts {
    pub(crate) fn of(engine: &Supervisor) -> Self {
        Self {
            health: Box::new(engine.watch_health()),
            spool: Box::new(engine.watch_spool()),
            under_way: Box::new(engine.watch_under_way()),
            webhooks: engine.webhook_tester(),
            verifier: engine.account_verifier(),
            devices: engine.device_consents(),
            search: engine.server_search(),
        }
    }
}

/// This process as requests see it. Clones share it.
#[derive(Clone, Default)]
pub struct NodeView(Arc<NodeSeen>);

/// The consents of a node, whether its engine runs or not.
struct NodeConsents {
    consents: OAuthConsents,
    dialing: CurrentDialing,
}

#[derive(Default)]
struct NodeSeen {
    /// Why it rests.
    rest: Mutex<Option<InstanceRest>>,
    engine: Mutex<Option<EngineParts>>,
    consents: OnceLock<NodeConsents>,
    /// The task that waits for the lease and renews it.
    task: Mutex<Option<AbortHandle>>,
}

impl fmt::Debug for NodeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeView").field("is_active", &self.is_active()).finish_non_exhaustive()
    }
}

impl NodeView {
    pub(crate) fn engaged(&self, engine: EngineParts) {
        *self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    /// Lets this node start and finish consents. Providers are asked by `redial`.
    pub(crate) fn consents_of(&self, store: Store, redial: Redial) {
        let dialing = CurrentDialing::new(redial);
        let consents = OAuthConsents::new(store, dialing.clone(), TaskTracker::new());
        self.0.consents.get_or_init(|| NodeConsents { consents, dialing });
    }

    /// Providers are asked in another way from now on.
    pub(crate) fn dial_by(&self, redial: Redial) {
        self.0.consents.get().inspect(|it| it.dialing.set(redial));
    }

    /// Waits until consents that were given are saved, within a limit.
    pub(crate) async fn consents_end(&self, within: Duration) {
        if let Some(it) = self.0.consents.get() {
            it.consents.answered(within).await;
        }
    }

    pub(crate) fn disengaged(&self) {
        *self.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn rests(&self, rest: Option<InstanceRest>) {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }

    pub(crate) fn watch(&self, task: AbortHandle) {
        *self.0.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    fn of_engine<T>(&self, part: impl FnOnce(&EngineParts) -> T) -> Option<T> {
        self.0.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(part)
    }

    /// Why it may not work. `None`: it may.
    #[must_use]
    pub fn rest(&self) -> Option<InstanceRest> {
        *self.0.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its engine runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.of_engine(|_| ()).is_some()
    }

    /// What is wrong with it, for people. `None`: nothing.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(AbortHandle::is_finished) {
            return Some("the engine has stopped: restart Postroom".to_owned());
        }
        drop(task);
        self.of_engine(|engine| (engine.health)()).flatten()
    }

    /// Why large messages that arrive are held up. `None`: they are not.
    #[must_use]
    pub fn spool_trouble(&self) -> Option<SpoolTrouble> {
        self.of_engine(|engine| (engine.spool)()).flatten()
    }

    /// The messages that are being sent now: the address of the account and the id of the message.
    #[must_use]
    pub fn under_way(&self) -> Vec<(String, MessageEntityId)> {
        self.of_engine(|engine| (engine.under_way)()).unwrap_or_default()
    }

    /// What tests webhooks. `None`: no engine runs here.
    #[must_use]
    pub fn webhook_tester(&self) -> Option<WebhookTester> {
        self.of_engine(|engine| engine.webhooks.clone())
    }

    /// What tries the servers of accounts. `None`: no engine runs here.
    #[must_use]
    pub fn account_verifier(&self) -> Option<AccountVerifier> {
        self.of_engine(|engine| engine.verifier.clone())
    }

    /// What looks for the servers of addresses. `None`: no engine runs here.
    #[must_use]
    pub fn server_search(&self) -> Option<ServerSearch> {
        self.of_engine(|engine| engine.search.clone())
    }

    /// What lets the owners of mailboxes consent, whether an engine runs here or not. `None`: there
    /// is no node.
    #[must_use]
    pub fn oauth_consents(&self) -> Option<OAuthConsents> {
        self.0.consents.get().map(|it| it.consents.clone())
    }

    /// What lets them consent on another device. `None`: no engine runs here.
    #[must_use]
    pub fn device_consents(&self) -> Option<DeviceConsents> {
        self.of_engine(|engine| engine.devices.clone())
    }
}
