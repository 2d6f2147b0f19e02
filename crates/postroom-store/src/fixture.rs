//! What the tests inside this crate share: a store of its own, and a time of day that they set.

use crate::Clock;
use crate::Database;
use crate::MasterKey;
use crate::Member;
use crate::SqliteDirectory;
use crate::StoreConfig;
use crate::Work;
use crate::bell::Bell;
use crate::bell::Listener;
use crate::bell::Topic;
use crate::clock::TimeAndChance;
use crate::database::Answer;
use crate::database::Dialect;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

/// A new store, and the directory that it is in for as long as it is kept.
pub async fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path(), Clock::system(), Work::Threads).await;
    (directory, store)
}

/// The store of a directory.
pub async fn store_in(directory: &Path, clock: Clock, work: Work) -> Store {
    let config = config(directory, clock.clone(), work);
    let database = match work {
        Work::Threads => SqliteDirectory::open(directory, 1, clock).unwrap(),
        Work::Inline => SqliteDirectory::open_inline(directory, clock).unwrap(),
    };
    Store::open(database, &config).await.unwrap().lead().await.unwrap()
}

fn config(directory: &Path, clock: Clock, work: Work) -> StoreConfig {
    let key = MasterKey::in_directory(directory).unwrap();
    let classes = postroom_model::builtin::classes().unwrap();
    StoreConfig { key, classes, clock, work, member: Member::alone() }
}

/// A database whose rings are not heard by others, as that of a process that nobody can tell.
#[derive(Debug)]
struct Unheard {
    database: Arc<dyn Database>,
    bell: Bell,
}

impl Database for Unheard {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        self.database.read(statement)
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        self.database.write(batch, room)
    }

    fn tidy(&self) -> Answer<bool> {
        self.database.tidy()
    }

    fn check(&self) -> Answer<()> {
        self.database.check()
    }

    fn is_full(&self) -> bool {
        self.database.is_full()
    }

    fn damage(&self) -> Option<&'static str> {
        self.database.damage()
    }

    fn found_damaged(&self, error: &Error) {
        self.database.found_damaged(error);
    }

    fn is_first(&self) -> bool {
        self.database.is_first()
    }

    fn ring(&self, topic: Topic) {
        self.bell.ring(topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.bell.listen(topic)
    }

    fn close(&self) {
        self.database.close();
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.database.dialect()
    }
}

/// Two stores on one database, as two processes have one, and the clock of all. Neither leads.
pub struct Two {
    _directory: TempDir,
    pub time: Arc<Time>,
    pub one: Store,
    pub other: Store,
}

impl Two {
    pub async fn open() -> Self {
        Self::open_with(Arc::clone).await
    }

    /// The same where neither hears the other's rings.
    pub async fn open_unheard() -> Self {
        let unheard = |database: &Arc<dyn Database>| -> Arc<dyn Database> {
            Arc::new(Unheard { database: Arc::clone(database), bell: Bell::default() })
        };
        Self::open_with(unheard).await
    }

    async fn open_with(of: impl Fn(&Arc<dyn Database>) -> Arc<dyn Database>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        time.set(1_000_000);
        let config = config(directory.path(), time.clock(), Work::Inline);
        let database = SqliteDirectory::open_inline(directory.path(), time.clock()).unwrap();
        let open = || async { Store::open(of(&database), &config).await.unwrap() };
        let (one, other) = (open().await, open().await);
        Self { _directory: directory, time, one, other }
    }
}

/// A time of day that a test sets.
#[derive(Debug, Default)]
pub struct Time {
    now_ms: AtomicI64,
    random: AtomicU64,
}

impl Time {
    /// It is now so many milliseconds since 1970.
    pub fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A clock that shows this time.
    pub fn clock(self: &Arc<Self>) -> Clock {
        Clock::of(Arc::<Self>::clone(self))
    }
}

impl TimeAndChance for Time {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}
