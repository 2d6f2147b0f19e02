//! The store itself: opening, the classes, wake-ups.

use crate::chunk::Abandoned;
use crate::chunk::BlobCounter;
use crate::clock;
use crate::columns::LEADING;
use crate::columns::column_list;
use crate::columns::quoted;
use crate::database::Database;
use crate::database::Outcome;
use crate::database::Row;
use crate::database::Statement;
use crate::disk;
use crate::error::Error;
use crate::feed;
use crate::key::DATABASE_FILE;
use crate::key::MasterKey;
use crate::schema;
use crate::sqlite::Sqlite;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::builtin;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::sync::watch;

/// What is sealed under the key, to know it again.
const KEY_CHECK: &str = "postroom";
/// The time between two looks at what may be thrown away.
const SWEEP: Duration = Duration::from_secs(60);
/// How long the batch that refers to a content may take once nobody holds it any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// How much the disk must take for the store to be well.
const PROBE_BYTES: usize = 256 * 1024;
/// The same after it took no more: as much as is received at once.
const PROBE_AFTER_FULL_BYTES: usize = 8 * 1024 * 1024;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The data directory; it exists.
    pub directory: PathBuf,
    /// The key that secrets are encrypted with.
    pub key: MasterKey,
    /// The classes.
    pub classes: Vec<Class>,
    /// How many threads read.
    pub readers: usize,
}

/// Everything durable. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub database: Box<dyn Database>,
    pub key: MasterKey,
    pub blobs: BlobCounter,
    pub abandoned: Abandoned,
    full: AtomicBool,
    directory: PathBuf,
    /// The domains by the hashes of their tokens; `None` until somebody asks.
    pub tokens: RwLock<Option<HashMap<Vec<u8>, Domain>>>,
    classes: Vec<Arc<Class>>,
    configuration: watch::Sender<u64>,
    outgoing: watch::Sender<u64>,
    pub jobs: watch::Sender<u64>,
    /// Held as long as the store is: one process for one directory.
    _lock: File,
}

impl Store {
    /// Opens the store of a directory, or makes it.
    ///
    /// # Errors
    ///
    /// When another process uses the directory, the key is another, the schema is newer, or the
    /// disk does not work.
    pub async fn open(config: &StoreConfig) -> Result<Self, Error> {
        let lock = lock(&config.directory)?;
        let path = config.directory.join(DATABASE_FILE);
        let database: Box<dyn Database> = Box::new(Sqlite::open(&path, config.readers)?);
        set_up(database.as_ref(), config).await?;
        let last = read_one(database.as_ref(), "SELECT MAX(\"id\") FROM \"chunk\"").await?;
        let last = last.and_then(|row| row.whole(0)).unwrap_or(0);
        let store = Self {
            inner: Arc::new(Inner {
                database,
                key: config.key.clone(),
                blobs: BlobCounter::after(last, clock::now_ms()),
                abandoned: Abandoned::default(),
                full: AtomicBool::new(false),
                directory: config.directory.clone(),
                tokens: RwLock::default(),
                classes: config.classes.iter().cloned().map(Arc::new).collect(),
                configuration: watch::Sender::new(0),
                outgoing: watch::Sender::new(0),
                jobs: watch::Sender::new(0),
                _lock: lock,
            }),
        };
        store.blob_sweep().await?;
        tokio::spawn(sweep(Arc::downgrade(&store.inner)));
        Ok(store)
    }

    /// The classes.
    #[must_use]
    pub fn classes(&self) -> &[Arc<Class>] {
        &self.inner.classes
    }

    /// The class of that name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<Arc<Class>> {
        self.inner.classes.iter().find(|class| class.classname == name).cloned()
    }

    /// A built-in class.
    ///
    /// # Errors
    ///
    /// When the store was opened without it.
    pub fn builtin(&self, name: &'static str) -> Result<Arc<Class>, Error> {
        self.class(name).ok_or(Error::Damaged { what: name })
    }

    /// Wakes when a profile, an account or a folder was changed by a client.
    #[must_use]
    pub fn watch_configuration(&self) -> watch::Receiver<u64> {
        self.inner.configuration.subscribe()
    }

    /// Wakes when an outgoing message was changed by a client.
    #[must_use]
    pub fn watch_outgoing(&self) -> watch::Receiver<u64> {
        self.inner.outgoing.subscribe()
    }

    /// Wakes when there is a new job.
    #[must_use]
    pub fn watch_jobs(&self) -> watch::Receiver<u64> {
        self.inner.jobs.subscribe()
    }

    /// Whether the database answers both who reads and who writes, and the disk takes more.
    ///
    /// # Errors
    ///
    /// When it does not; [`Error::Full`] when there is no space for what comes next.
    pub async fn check(&self) -> Result<(), Error> {
        self.read(Statement::new("SELECT 1")).await?;
        // Where the last that was to be kept found no space, there must be some for a large part.
        let was_full = self.inner.full.load(Ordering::Relaxed);
        let bytes = if was_full { PROBE_AFTER_FULL_BYTES } else { PROBE_BYTES };
        let directory = self.inner.directory.clone();
        let probed = tokio::task::spawn_blocking(move || disk::probe(&directory, bytes)).await;
        probed.map_err(|_| Error::Closed)??;
        if was_full {
            // Nothing else may be waiting to be written: this says that it can be.
            let probe = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('probe', $1)
                ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
            self.write(vec![Statement::new(probe).bind(clock::now_ms())]).await?;
        } else {
            self.inner.database.write(vec![]).await?;
        }
        Ok(())
    }

    /// Tells those who watch that a client changed something of a class.
    pub(crate) fn changed(&self, class: &Class) {
        let watched = if class.classname == builtin::MESSAGES {
            &self.inner.outgoing
        } else {
            &self.inner.configuration
        };
        watched.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        self.inner.database.read(statement).await
    }

    pub(crate) async fn write(&self, batch: Vec<Statement>) -> Result<Vec<Outcome>, Error> {
        let wrote = self.inner.database.write(batch).await;
        match &wrote {
            Ok(outcomes) if outcomes.iter().any(|outcome| outcome.changed > 0) => {
                if self.inner.full.swap(false, Ordering::Relaxed) {
                    tracing::info!("the disk has space again: mail is stored again");
                }
            }
            Err(Error::Full) => {
                if !self.inner.full.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "the disk is full: no mail is stored or sent until there is space; \
                         mail that waits stays at its server"
                    );
                }
            }
            Ok(_) | Err(_) => {}
        }
        wrote
    }

    /// `SELECT` of all columns of a class, up to and without its `WHERE`.
    pub(crate) fn select(class: &Class) -> String {
        Self::select_some(class, |_| true)
    }

    /// The same with NULL in place of the properties that are not `shown`.
    pub(crate) fn select_some(class: &Class, shown: impl Fn(&str) -> bool) -> String {
        format!("SELECT {} FROM {}", column_list(class, shown), quoted(&class.classname))
    }
}

impl Inner {
    /// The INSERT of a class with all its columns.
    pub fn inserts(&self, class: &Class) -> String {
        let count = class.columns().count() + LEADING;
        let places: Vec<_> = (1..=count).map(|at| format!("${at}")).collect();
        let table = quoted(&class.classname);
        format!(
            "INSERT INTO {table} ({}) VALUES ({})",
            column_list(class, |_| true),
            places.join(", ")
        )
    }
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let failed = |source| Error::File { path: path.clone(), source };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::Locked { directory: directory.to_owned() })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}

async fn read_one(database: &dyn Database, sql: &'static str) -> Result<Option<Row>, Error> {
    Ok(database.read(Statement::new(sql)).await?.into_iter().next())
}

/// Makes the tables, or brings them to the present version, and checks the key.
async fn set_up(database: &dyn Database, config: &StoreConfig) -> Result<(), Error> {
    let dialect = database.dialect();
    database.write(vec![schema::meta_table(dialect)]).await?;
    let version = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'schema'";
    let found = read_one(database, version).await?.and_then(|row| row.whole(0)).unwrap_or(0);
    if found > schema::VERSION {
        return Err(Error::Newer { found, known: schema::VERSION });
    }
    if found > 0 {
        check_key(database, config).await?;
    } else {
        let check = config.key.seal(KEY_CHECK, KEY_CHECK);
        let put = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ('key', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
        database.write(vec![Statement::new(put).bind(check)]).await?;
    }
    for (version, mut step) in schema::steps_from(dialect, found) {
        let put = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('schema', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        step.push(Statement::new(put).bind(version));
        database.write(step).await?;
    }
    for class in &config.classes {
        let columns = Statement::new(dialect.columns()).bind(class.classname.as_str());
        let rows = database.read(columns).await?;
        let present: Vec<_> =
            rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect();
        database.write(schema::class_table(dialect, class, &present)).await?;
    }
    Ok(())
}

async fn check_key(database: &dyn Database, config: &StoreConfig) -> Result<(), Error> {
    let check = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = 'key'";
    let row = read_one(database, check).await?.ok_or(Error::Damaged { what: "a key check" })?;
    let sealed = row.bytes(0).unwrap_or_default();
    config.key.open(KEY_CHECK, sealed).map(drop).map_err(|_| Error::KeyDiffers)
}

/// Throws away, from time to time, what is no longer kept.
async fn sweep(inner: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let store = Store { inner };
        if let Err(error) = store.write(vec![feed::trim()]).await {
            tracing::error!(%error, "the change feed was not trimmed");
        }
        if let Err(error) = store.once_trim().await {
            tracing::error!(%error, "old keys of clients were not thrown away");
        }
        if let Err(error) = store.blob_sweep_abandoned(ABANDONED_AFTER).await {
            tracing::error!(%error, "contents that nothing refers to were not thrown away");
        }
    }
}
