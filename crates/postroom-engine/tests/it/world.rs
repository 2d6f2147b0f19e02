//! What the tests share: a sandbox in memory, a store, the engine, and waiting for conditions.

use postroom_engine::Dialing;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::validate;
use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Network;
use postroom_net::Trust;
use postroom_sandbox::Protocol;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_store::Clock;
use postroom_store::DATABASE_FILE;
use postroom_store::EntityPlace;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::NewEntity;
use postroom_store::ObjectsAccess;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::TimeAndChance;
use postroom_store::Work;
use rusqlite::Connection;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The port of IMAP in memory.
const IMAP: u16 = 143;
/// The port of SMTP in memory.
const SMTP: u16 = 587;
/// Users of the sandbox.
pub const ANNA: &str = "anna@demo.test";
/// Another one.
pub const BEN: &str = "ben@demo.test";
/// The password of both.
pub const PASSWORD: &str = "secret";
/// How long a condition may take to hold, in paused time.
const PATIENCE: Duration = Duration::from_secs(1200);

/// The time of day follows the paused time, and may be wrong.
#[derive(Debug)]
struct PausedTime {
    began: Instant,
    off_ms: Arc<AtomicI64>,
}

impl TimeAndChance for PausedTime {
    fn now_ms(&self) -> i64 {
        let passed_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        1_748_736_000_000 + passed_ms + self.off_ms.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        u64::MAX / 2
    }
}

/// Leads to the sandbox.
struct Wires(Arc<Sandbox>);

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wires")
    }
}

impl Network for Wires {
    fn dial(&self, _host: &str, port: u16) -> Dialed {
        let protocol = if port == IMAP { Protocol::Imap } else { Protocol::Smtp };
        let stream = self.0.connect(protocol);
        Box::pin(async move { Ok(stream) })
    }
}

/// A sandbox, a store and, once started, an engine.
pub struct World {
    /// The mail server.
    pub sandbox: Arc<Sandbox>,
    /// The store.
    pub store: Store,
    /// The domain of all that is made, changed and listed.
    pub domain: Domain,
    off_ms: Arc<AtomicI64>,
    directory: tempfile::TempDir,
}

impl World {
    /// Without an engine so far.
    pub async fn new() -> Self {
        Self::keeping(FeedRetention::default()).await
    }

    /// The same with a feed that keeps changes otherwise.
    pub async fn keeping(feed: FeedRetention) -> Self {
        let users = [ANNA, BEN].map(|user| (user.to_owned(), PASSWORD.to_owned()));
        let config =
            SandboxConfig { users: users.to_vec(), tls: false, ..SandboxConfig::default() };
        let directory = tempfile::tempdir().unwrap();
        // A reserve that is there is not made: it would take time and nothing else.
        std::fs::write(directory.path().join("reserve"), b".").unwrap();
        let off_ms = Arc::<AtomicI64>::default();
        let time = PausedTime { began: Instant::now(), off_ms: Arc::clone(&off_ms) };
        let clock = Clock::of(Arc::new(time));
        let database = SqliteDirectory::open_inline(directory.path(), clock.clone()).unwrap();
        let config_of_store = StoreConfig {
            key: MasterKey::from_hex(&SecretString::from("5".repeat(64))).unwrap(),
            classes: builtin::classes().unwrap(),
            clock,
            work: Work::Inline,
            member: postroom_store::Member::alone(),
            objects: ObjectsAccess::None,
            feed,
        };
        let store = Store::open(database, &config_of_store).await.unwrap();
        let sandbox = Arc::new(Sandbox::in_memory(&config).unwrap());
        Self { sandbox, store, domain: Domain::default_domain(), off_ms, directory }
    }

    /// From now on the time of day is wrong by so much.
    pub fn set_clock_wrong(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::Relaxed);
    }

    /// Usual settings over the sandbox.
    pub fn settings(&self) -> Settings {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let dialer = dialer.over(Arc::new(Wires(Arc::clone(&self.sandbox))));
        let dialing = Dialing { dialer, ehlo_name: "client.test".to_owned() };
        Settings::new(dialing, self.directory.path().join("spool"))
    }

    /// From now on the database takes no receipt.
    pub fn refuse_receipts(&self) {
        let database = self.directory.path().join(DATABASE_FILE);
        let trigger = "CREATE TRIGGER refused BEFORE INSERT ON receipt
            BEGIN SELECT RAISE(ABORT, 'refused'); END";
        Connection::open(database).unwrap().execute_batch(trigger).unwrap();
    }

    /// Starts the engine.
    pub async fn start(&self, settings: Settings) -> Supervisor {
        Supervisor::start(self.store.clone(), settings).await.unwrap()
    }

    /// A profile of the sandbox and an account of it. Gives the id of the account.
    pub async fn account(&self, account: Json) -> EntityId {
        let profile = json!({
            "name": account["address"],
            "imapHost": "mail.test", "imapPort": IMAP, "imapSecurity": "none",
            "smtpHost": "mail.test", "smtpPort": SMTP, "smtpSecurity": "none",
        });
        let profile = self.create(builtin::PROFILES, profile).await;
        let mut account = account;
        account["profile_id"] = json!(profile.to_string());
        self.create(builtin::ACCOUNTS, account).await
    }

    /// Changes a folder of an account, and monitors it. Gives its id.
    pub async fn monitor(&self, name: &str, mut values: Json) -> EntityId {
        let began = Instant::now();
        let folder = loop {
            let folders = self.list(builtin::FOLDERS).await;
            if let Some(folder) = folders.iter().find(|it| it.text("name") == Some(name)) {
                break folder.id;
            }
            assert!(began.elapsed() < PATIENCE, "{folders:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        values["enabled"] = json!(true);
        self.change(builtin::FOLDERS, folder, values).await;
        folder
    }

    /// The subjects of all received messages, in order.
    pub async fn subjects(&self) -> Vec<String> {
        let messages = self.list(builtin::MESSAGES).await;
        let mut subjects: Vec<_> =
            messages.iter().filter_map(|one| one.text("subject").map(str::to_owned)).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Waits until so many messages are there.
    pub async fn until_messages(&self, count: usize) {
        let began = Instant::now();
        loop {
            let found = self.list(builtin::MESSAGES).await.len();
            if found >= count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{found} of {count}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates an entity.
    pub async fn create(&self, class: &'static str, values: Json) -> EntityId {
        let class = self.store.builtin_of(&self.domain, class).unwrap();
        let checked = validate::create(&class, &values).unwrap();
        let id = checked.id.unwrap_or_else(|| self.store.clock().new_id());
        let new = NewEntity { entity: Entity::new(id, checked.properties), files: vec![] };
        self.store.entity_create(&self.domain, &class, vec![new]).await.unwrap();
        id
    }

    /// Changes an entity.
    pub async fn change(&self, class: &'static str, id: EntityId, values: Json) {
        let class = self.store.builtin_of(&self.domain, class).unwrap();
        let place = EntityPlace::new(&self.domain, &class, id);
        let Json::Object(values) = values else { panic!("no object") };
        self.store.entity_update(place, &values, None).await.unwrap();
    }

    /// Deletes an entity.
    pub async fn delete(&self, class: &'static str, id: EntityId) {
        let class = self.store.builtin_of(&self.domain, class).unwrap();
        let place = EntityPlace::new(&self.domain, &class, id);
        self.store.entity_delete(place, None).await.unwrap();
    }

    /// All entities of a class.
    pub async fn list(&self, class: &'static str) -> Vec<Entity> {
        let class = self.store.builtin_of(&self.domain, class).unwrap();
        let query = Query { limit: 1000, ..Query::default() };
        self.store.entity_list(&self.domain, &class, &query).await.unwrap()
    }

    /// Waits until an entity is as `wanted` says. Gives it.
    pub async fn until(
        &self,
        class: &'static str,
        id: EntityId,
        wanted: impl Fn(&Entity) -> bool,
    ) -> Entity {
        let began = Instant::now();
        loop {
            let entity = self.list(class).await.into_iter().find(|entity| entity.id == id).unwrap();
            if wanted(&entity) {
                return entity;
            }
            assert!(began.elapsed() < PATIENCE, "{entity:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
