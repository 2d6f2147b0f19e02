//! What the tests inside this crate share: stores, and clocks that they set.
//!
//! A test runs on the database that `postroom_testkit::TestDatabase` names.

use crate::Clock;
use crate::Database;
use crate::FeedRetention;
use crate::FeedRow;
use crate::MasterKey;
use crate::Member;
use crate::Objects;
use crate::ObjectsAccess;
use crate::ObjectsConfig;
use crate::PostgresConfig;
use crate::PostgresDatabase;
use crate::SqliteDirectory;
use crate::StoreConfig;
use crate::Work;
use crate::bell::Bell;
use crate::bell::Listener;
use crate::bell::Topic;
use crate::clock::TimeAndChance;
use crate::database::Room;
use crate::database::Statement;
use crate::database_front::DatabaseFront;
use crate::error::Error;
use crate::key_bytes::KeyBytes;
use crate::keyring::Keyring;
use crate::keyring::OpenedKeys;
use crate::phase::DeliveryPhase;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::MessageEntityId;
use postroom_testkit::S3;
use postroom_testkit::TestDatabase;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// A new store, and its directory, which is removed when it is dropped.
pub(crate) async fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path(), Clock::system(), Work::Threads).await;
    (directory, store)
}

impl DeliveryPhase {
    /// The statements that give a message a delivery in this phase.
    pub(crate) fn row(self, message: MessageEntityId) -> [Statement; 2] {
        let clean = Statement::new("DELETE FROM \"delivery\" WHERE \"message\" = $1");
        let sql = "INSERT INTO \"delivery\" (\"message\", \"domain\", \"account\", \"phase\",
            \"order\", \"due\", \"planned\", \"attempts\", \"reverse_path\", \"smtp_utf8\",
            \"blob\", \"size\")
            VALUES ($1, 'd', $1, $2, $3, $3, FALSE, 0, '', FALSE, 1, 1)";
        let row = Statement::new(sql).bind(message).bind(self.as_str()).bind(0);
        [clean.bind(message), row]
    }

    /// The phase of the delivery of a message. `None`: it has none.
    pub(crate) async fn of(store: &Store, message: MessageEntityId) -> Option<Self> {
        let sql = "SELECT \"phase\" FROM \"delivery\" WHERE \"message\" = $1";
        let rows = store.read(Statement::new(sql).bind(message)).await.unwrap();
        let name = rows.first().and_then(|row| row.text(0))?;
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// A store that leads, on a database behind another one that passes requests on.
pub(crate) struct StoreBehind<T> {
    /// Its directory.
    pub directory: TempDir,
    /// The database itself.
    pub database: Arc<dyn Database>,
    /// The store.
    pub store: Store,
    /// The value that belongs to the database in front.
    pub front: T,
}

/// A new store on the database that `front` puts before its own.
pub(crate) async fn open_behind<T>(
    front: impl FnOnce(Arc<dyn Database>) -> (Arc<dyn Database>, T),
    objects: ObjectsAccess,
) -> StoreBehind<T> {
    let directory = tempfile::tempdir().unwrap();
    let config =
        StoreConfig { objects, ..config(directory.path(), Clock::system(), Work::Threads) };
    let database = database(directory.path(), Clock::system(), Work::Threads).await;
    let (behind, front) = front(Arc::clone(&database));
    let store = Store::open(behind, &config).await.unwrap().lead().await.unwrap();
    StoreBehind { directory, database, store, front }
}

/// The changes after a number. Waits until all changes that were written can be read.
pub(crate) async fn feed_settled(store: &Store, after: i64) -> Vec<FeedRow> {
    let newest = Statement::new("SELECT MAX(\"seq\") FROM \"change\"");
    let newest = store.read(newest).await.unwrap()[0].whole(0).unwrap_or(0);
    loop {
        let domain = Domain::default_domain();
        let feed = store.feed_list(&domain, after, 1000).await.unwrap();
        if feed.last().map_or(after, |row| row.seq) >= newest {
            return feed;
        }
    }
}

/// The keys of a database that has none so far.
pub(crate) fn keyring() -> Keyring {
    let master = MasterKey::from_hex(&SecretString::from("a".repeat(64))).unwrap();
    let (root, hash) = (KeyBytes::random(), KeyBytes::random());
    Keyring::new(OpenedKeys { master, root, hash, former_hash: None }, vec![])
}

/// The store of a directory.
pub(crate) async fn store_in(directory: &Path, clock: Clock, work: Work) -> Store {
    let config = config(directory, clock.clone(), work);
    let database = database(directory, clock, work).await;
    Store::open(database, &config).await.unwrap().lead().await.unwrap()
}

/// The store of a directory with this retention of the feed.
pub(crate) async fn store_keeping(directory: &Path, clock: Clock, feed: FeedRetention) -> Store {
    let config = StoreConfig { feed, ..config(directory, clock.clone(), Work::Inline) };
    let database = database(directory, clock, Work::Inline).await;
    Store::open(database, &config).await.unwrap().lead().await.unwrap()
}

/// The store of a directory, or why it cannot be opened.
pub(crate) async fn try_store_in(directory: &Path) -> Result<Store, Error> {
    let (clock, work) = (Clock::system(), Work::Threads);
    let config = config(directory, clock.clone(), work);
    Store::open(database(directory, clock, work).await, &config).await
}

/// A store whose contents of at least 4 KiB are in a bucket.
pub(crate) async fn store_at(directory: &Path, s3: &S3, place: &str) -> Result<Store, Error> {
    let objects = ObjectsAccess::At(objects_at(s3, place, S3::SECRET));
    let (clock, work) = (Clock::system(), Work::Threads);
    let config = StoreConfig { objects, ..config(directory, clock.clone(), work) };
    let database = database(directory, clock, work).await;
    Store::open(database, &config).await?.lead().await
}

/// The same with a short patience for S3.
pub(crate) async fn store_impatient(directory: &Path, s3: &S3, place: &str) -> Store {
    let answer_within = Some(Duration::from_millis(500));
    let objects = ObjectsConfig { answer_within, ..objects_config(s3, place, S3::SECRET) };
    let objects = ObjectsAccess::At(Objects::s3(&objects).unwrap());
    let (clock, work) = (Clock::system(), Work::Threads);
    let config = StoreConfig { objects, ..config(directory, clock.clone(), work) };
    let database = database(directory, clock, work).await;
    Store::open(database, &config).await.unwrap().lead().await.unwrap()
}

/// A place in the bucket of a server.
pub(crate) fn objects_at(s3: &S3, place: &str, secret: &str) -> Objects {
    Objects::s3(&objects_config(s3, place, secret)).unwrap()
}

fn objects_config(s3: &S3, place: &str, secret: &str) -> ObjectsConfig {
    let settings = [("AWS_ACCESS_KEY_ID", S3::KEY), ("AWS_SECRET_ACCESS_KEY", secret)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned().into()));
    ObjectsConfig {
        place: place.to_owned(),
        above_bytes: Some(4096),
        endpoint: Some(s3.endpoint()),
        allow_http: true,
        path_style: true,
        settings: settings.into(),
        ..ObjectsConfig::default()
    }
}

/// Opens the database of a directory once more, as another process would.
async fn database(directory: &Path, clock: Clock, work: Work) -> Arc<dyn Database> {
    if let Some(url) = TestDatabase::postgres_url(directory).unwrap() {
        return PostgresDatabase::open(PostgresConfig::parse(&url).unwrap()).await.unwrap();
    }
    match work {
        Work::Threads => SqliteDirectory::open(directory, 1, clock).unwrap(),
        Work::Inline => SqliteDirectory::open_inline(directory, clock).unwrap(),
    }
}

fn config(directory: &Path, clock: Clock, work: Work) -> StoreConfig {
    let key = MasterKey::in_directory(directory).unwrap();
    let classes = postroom_model::builtin::classes().unwrap();
    let (objects, feed) = (ObjectsAccess::None, FeedRetention::default());
    StoreConfig { key, classes, clock, work, member: Member::alone(), objects, feed }
}

/// A database whose rings do not reach other processes.
#[derive(Debug)]
struct Unheard {
    database: Arc<dyn Database>,
    bell: Bell,
}

impl DatabaseFront for Unheard {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn ring(&self, topic: Topic) {
        self.bell.ring(topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.bell.listen(topic)
    }
}

/// Two stores on one database, as in two processes, and the clock of all three. Neither store
/// leads.
pub(crate) struct Two {
    _directory: TempDir,
    time: Arc<Time>,
    /// The database whose clock is set.
    clock: Arc<dyn Database>,
    pub one: Store,
    pub other: Store,
}

impl Two {
    pub(crate) async fn open() -> Self {
        Self::open_with(Arc::clone, [Member::alone(), Member::alone()]).await
    }

    /// Two stores of these processes.
    pub(crate) async fn open_as(members: [Member; 2]) -> Self {
        Self::open_with(Arc::clone, members).await
    }

    /// Two stores that do not hear each other's rings.
    pub(crate) async fn open_unheard() -> Self {
        let unheard = |database: &Arc<dyn Database>| -> Arc<dyn Database> {
            Arc::new(Unheard { database: Arc::clone(database), bell: Bell::default() })
        };
        Self::open_with(unheard, [Member::alone(), Member::alone()]).await
    }

    async fn open_with(
        of: impl Fn(&Arc<dyn Database>) -> Arc<dyn Database>,
        members: [Member; 2],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let config = config(directory.path(), time.clock(), Work::Inline);
        let new = || database(directory.path(), time.clock(), Work::Inline);
        let clock = new().await;
        // Only one process can use a directory, so both stores share its database.
        let databases = match TestDatabase::present() {
            TestDatabase::Sqlite => [Arc::clone(&clock), Arc::clone(&clock)],
            TestDatabase::Postgres => {
                clock.write(SETTABLE_CLOCK.map(Statement::new).into(), Room::Free).await.unwrap();
                [new().await, new().await]
            }
        };
        set_time(&time, &clock, 1_000_000).await;
        let open = async |at: usize| {
            let config = StoreConfig { member: members[at].clone(), ..config.clone() };
            Store::open(of(&databases[at]), &config).await.unwrap()
        };
        let (one, other) = (open(0).await, open(1).await);
        Self { _directory: directory, time, clock, one, other }
    }

    /// Sets the time, in milliseconds since 1970, also for the database.
    pub(crate) async fn set_time(&self, now_ms: i64) {
        set_time(&self.time, &self.clock, now_ms).await;
    }
}

/// Makes new connections take the time of day from a function that a test can replace. For this,
/// they look for names without a schema in `pg_catalog` last.
const SETTABLE_CLOCK: [&str; 3] = [
    "CREATE SCHEMA settable",
    "CREATE FUNCTION settable.search_path() RETURNS VOID LANGUAGE PLPGSQL AS 'BEGIN
       EXECUTE format(''ALTER DATABASE %I SET search_path = public, settable, pg_catalog'',
         current_database()); END'",
    "SELECT settable.search_path()",
];

async fn set_time(time: &Time, clock: &Arc<dyn Database>, now_ms: i64) {
    time.set(now_ms);
    if TestDatabase::present() == TestDatabase::Postgres {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION settable.clock_timestamp() RETURNS TIMESTAMPTZ
               LANGUAGE SQL AS 'SELECT to_timestamp({now_ms} / 1000.0)'"
        );
        clock.write(vec![Statement::new(sql)], Room::Free).await.unwrap();
    }
}

/// Time that passes only when the test says so, even while the test waits for a server.
pub(crate) struct Frozen {
    /// The blocking task that keeps paused time from advancing by itself.
    _held: Option<mpsc::Sender<()>>,
}

impl Frozen {
    /// Freezes the time.
    pub(crate) fn begin() -> Self {
        // With SQLite, paused time must advance by itself, because the database waits by timers.
        let held = (TestDatabase::present() == TestDatabase::Postgres).then(|| {
            let (held, ends) = mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || ends.recv());
            held
        });
        tokio::time::pause();
        Self { _held: held }
    }

    /// Lets so much time pass at once.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

/// A time of day that a test sets.
#[derive(Debug, Default)]
pub(crate) struct Time {
    now_ms: AtomicI64,
    random: AtomicU64,
}

impl Time {
    /// Sets the time, in milliseconds since 1970.
    pub(crate) fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A clock that shows this time.
    pub(crate) fn clock(self: &Arc<Self>) -> Clock {
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
