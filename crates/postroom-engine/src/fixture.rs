//! What the tests inside this crate share: an engine without its tasks, on a store of its own.

use crate::account::Account;
use crate::settings::Dialing;
use crate::settings::Settings;
use crate::shared::Shared;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin;
use postroom_model::validate;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::AccountRow;
use postroom_store::Answer;
use postroom_store::Clock;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::NewEntity;
use postroom_store::ObjectsAccess;
use postroom_store::Outcome;
use postroom_store::Room;
use postroom_store::Secrets;
use postroom_store::SqliteDirectory;
use postroom_store::Statement;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// The trouble that a database has.
#[derive(Debug)]
pub(crate) struct DatabaseTrouble {
    /// Whether nobody is told that the next batch is committed.
    pub loses_answer: AtomicBool,
    /// How many batches are committed before the database ends.
    pub batches_left: AtomicU64,
    /// After how many batches one fails.
    pub fails_after: AtomicU64,
    /// Whether it cannot be reached.
    pub is_away: AtomicBool,
    /// The database without trouble.
    database: Arc<dyn Database>,
}

impl DatabaseTrouble {
    /// Damages the row that `sql` changes, which has this id.
    pub(crate) async fn spoil(&self, sql: &'static str, id: impl Into<EntityId>) {
        let spoil = vec![Statement::new(sql).bind(id.into())];
        assert_eq!(self.database.write(spoil, Room::Free).await.unwrap()[0].changed, 1);
    }
}

#[derive(Debug)]
struct TroubledDatabase {
    database: Arc<dyn Database>,
    trouble: Arc<DatabaseTrouble>,
}

impl TroubledDatabase {
    fn away<T: Send + 'static>(&self) -> Option<Answer<T>> {
        let away = || Err(Error::Unreachable { reason: "it is away".to_owned() });
        let is_away = self.trouble.is_away.load(Ordering::Relaxed);
        is_away.then(|| -> Answer<T> { Box::pin(async move { away() }) })
    }
}

impl DatabaseFront for TroubledDatabase {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn check(&self) -> Answer<()> {
        self.away().unwrap_or_else(|| self.database.check())
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        if let Some(away) = self.away() {
            return away;
        }
        let one_less = |left: u64| left.checked_sub(1);
        let fails_after = &self.trouble.fails_after;
        let relaxed = Ordering::Relaxed;
        if fails_after.fetch_update(relaxed, relaxed, one_less).is_err() {
            fails_after.store(u64::MAX, relaxed);
            return Box::pin(async { Err(Error::Closed) });
        }
        let left = &self.trouble.batches_left;
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return Box::pin(async { Err(Error::Closed) });
        }
        let (answer, trouble) = (self.database.write(batch, room), Arc::clone(&self.trouble));
        Box::pin(async move {
            let done = answer.await?;
            if trouble.loses_answer.swap(false, Ordering::Relaxed) {
                return Err(Error::OutcomeUnknown);
            }
            Ok(done)
        })
    }
}

/// What the tasks share, and the directory that its store is in for as long as it is kept.
pub(crate) async fn shared() -> (TempDir, Arc<Shared>) {
    let (directory, shared, _) = shared_with_trouble().await;
    (directory, shared)
}

/// The same, and the trouble that its database can get.
pub(crate) async fn shared_with_trouble() -> (TempDir, Arc<Shared>, Arc<DatabaseTrouble>) {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let key = MasterKey::in_directory(directory.path()).unwrap();
    let database = SqliteDirectory::open(directory.path(), 1, clock.clone()).unwrap();
    let (loses_answer, batches_left) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let itself: Arc<dyn Database> = Arc::clone(&database) as Arc<dyn Database>;
    let is_away = AtomicBool::new(false);
    let trouble = DatabaseTrouble {
        loses_answer,
        batches_left,
        fails_after: AtomicU64::new(u64::MAX),
        is_away,
        database: itself,
    };
    let trouble = Arc::new(trouble);
    let database = Arc::new(TroubledDatabase { database, trouble: Arc::clone(&trouble) });
    let classes = builtin::classes().unwrap();
    let (work, member) = (Work::Threads, Member::alone());
    let (objects, feed) = (ObjectsAccess::None, FeedRetention::default());
    let config = StoreConfig { key, classes, clock, work, member, objects, feed };
    let store = Store::open(database, &config).await.unwrap();
    let dialer = Dialer::new(&Trust::default()).unwrap();
    let dialing = Dialing { dialer, ehlo_name: "x.test".to_owned() };
    let settings = Settings::new(dialing, directory.path().join("spool"));
    let shared = Shared::new(store, settings).await.unwrap();
    (directory, shared, trouble)
}

/// Keeps a new entity, as a client sends it.
pub(crate) async fn create(store: &Store, class: &'static str, values: Json) -> EntityId {
    let class = store.builtin(class).unwrap();
    let checked = validate::create(&class, &values).unwrap();
    let id = store.clock().new_id();
    let new = NewEntity { entity: Entity::new(id, checked.properties), files: vec![] };
    store.entity_create(&Domain::default_domain(), &class, vec![new]).await.unwrap();
    id
}

/// Changes an entity, as a client does.
pub(crate) async fn change(store: &Store, class: &'static str, id: EntityId, values: Json) {
    let (class, domain) = (store.builtin(class).unwrap(), Domain::default_domain());
    let place = EntityPlace::new(&domain, &class, id);
    store.entity_update(place, values.as_object().unwrap(), None).await.unwrap();
}

/// An account of a server, with these monitored mailboxes. The id of the first folder is 1.
pub(crate) fn account(mailboxes: &[&str]) -> Account {
    account_of(json!({"imapHost": "mail.test"}), json!({"address": "anna@a.test"}), mailboxes)
}

/// An account with these values of its profile and its own.
pub(crate) fn account_of(profile: Json, account: Json, mailboxes: &[&str]) -> Account {
    let entity = |id: u128, values: &Json| {
        Entity::new(EntityId::from_u128(id), values.as_object().unwrap().clone())
    };
    let folder = |(at, name): (usize, &&str)| {
        entity(at as u128 + 1, &json!({"name": name, "mailbox": name, "enabled": true}))
    };
    Account::from_row(&AccountRow {
        domain: Domain::default_domain(),
        account: entity(100, &account),
        profile: entity(200, &profile),
        folders: mailboxes.iter().enumerate().map(folder).collect(),
        secrets: Secrets::default(),
        tokens: [None, None],
        saved: [0; 16],
    })
}
