//! Which database a test runs on, and the databases that it has.
//!
//! ```text
//!   #[on_both] ──► TestDatabase::run ──► the test ──► open a store in a directory
//!                    remembers which      └─► start a Postroom   └──► postgres_url(directory)
//! ```
//! A test knows nothing of it. Whatever opens a store in a directory asks which PostgreSQL database
//! belongs to that directory, and uses SQLite where there is none. All tests of a process share one
//! cluster, and each directory has a database of its own in it, which goes with the test.

use crate::packages::Need;
use crate::packages::require;
use crate::postgres::Administrator;
use crate::postgres::Postgres;
use crate::postgres::PostgresOptions;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::mpsc;
use tokio::runtime::Handle;
use tokio::runtime::Id;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestDatabase {
    /// A file in the data directory.
    Sqlite,
    /// A database in the PostgreSQL of this process.
    Postgres,
}

/// The tests that run on PostgreSQL, by their runtime: each test has one of its own, and whatever a
/// test spawns is in it.
static PRESENT: LazyLock<Mutex<HashMap<Id, Databases>>> = LazyLock::new(Mutex::default);

/// The names of a test's databases, by their directory.
type Databases = BTreeMap<PathBuf, String>;

/// The PostgreSQL of this process. Nobody drops it: its guard ends it when this process has ended.
static CLUSTER: LazyLock<Result<Cluster, String>> =
    LazyLock::new(|| Cluster::start().map_err(|error| format!("{error:#}")));

impl TestDatabase {
    /// Runs a test on this database. Where it is not installed, says so and passes the test over.
    pub async fn run<T: Future<Output = ()>>(self, test: impl FnOnce() -> T) {
        if self == Self::Sqlite {
            return Box::pin(test()).await;
        }
        if !require(&[Need::Postgres]) {
            return;
        }
        let present = Present::enter();
        Box::pin(test()).await;
        drop(present);
    }

    /// That of the present test.
    pub fn present() -> Self {
        let id = Handle::try_current().map(|handle| handle.id());
        let is_postgres = id.is_ok_and(|id| present().contains_key(&id));
        if is_postgres { Self::Postgres } else { Self::Sqlite }
    }

    /// The address of the PostgreSQL database that belongs to a directory in the present test.
    /// It is new at the first time. `None` when the test runs on SQLite.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be started or does not answer.
    pub fn postgres_url(directory: &Path) -> Result<Option<String>> {
        let Ok(id) = Handle::try_current().map(|handle| handle.id()) else {
            return Ok(None);
        };
        let known = present().get(&id).map(|databases| databases.get(directory).cloned());
        let Some(known) = known else {
            return Ok(None);
        };
        let cluster = cluster()?;
        let name = match known {
            Some(name) => name,
            None => {
                let name = cluster.create()?;
                if let Some(databases) = present().get_mut(&id) {
                    databases.insert(directory.to_owned(), name.clone());
                }
                name
            }
        };
        Ok(Some(cluster.postgres.url(&name)))
    }

    /// Every byte that is stored of a data directory, in its files and in its database.
    ///
    /// # Errors
    ///
    /// When something cannot be read.
    pub fn stored_bytes(directory: &Path) -> Result<Vec<u8>> {
        let mut all = bytes_below(directory)?;
        let id = Handle::try_current().map(|handle| handle.id());
        let name = id.ok().and_then(|id| present().get(&id)?.get(directory).cloned());
        if let Some(name) = name {
            all.append(&mut bytes_below(&cluster()?.files(name)?)?);
        }
        Ok(all)
    }
}

fn cluster() -> Result<&'static Cluster> {
    CLUSTER.as_ref().map_err(|error| anyhow!("{error}"))
}

/// The bytes of all files below a directory.
fn bytes_below(directory: &Path) -> Result<Vec<u8>> {
    let mut all = vec![];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            all.append(&mut bytes_below(&path)?);
        } else {
            all.append(&mut fs::read(&path)?);
        }
    }
    Ok(all)
}

fn present() -> MutexGuard<'static, HashMap<Id, Databases>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test that runs on PostgreSQL, until it ends, passed or failed.
struct Present(Id);

impl Present {
    fn enter() -> Self {
        let id = Handle::current().id();
        present().insert(id, Databases::new());
        Self(id)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let databases = present().remove(&self.0).unwrap_or_default();
        if let Ok(cluster) = &*CLUSTER {
            for name in databases.into_values() {
                let _ = cluster.errands.send(Errand::Remove(name));
            }
        }
    }
}

/// What the thread that administers the cluster is asked to do.
enum Errand {
    /// Create a database; answer with its name.
    Create(mpsc::Sender<Result<String>>),
    /// Write a database to its files; answer with the directory of these.
    Flush(String, mpsc::Sender<Result<PathBuf>>),
    /// Remove a database.
    Remove(String),
}

/// A running PostgreSQL, and the thread that creates and removes its databases.
struct Cluster {
    postgres: Postgres,
    errands: mpsc::Sender<Errand>,
}

impl Cluster {
    fn start() -> Result<Self> {
        let postgres = Postgres::start(&PostgresOptions::default())?;
        let (errands, asked) = mpsc::channel();
        let port = postgres.port();
        std::thread::spawn(move || administer(port, &asked));
        Ok(Self { postgres, errands })
    }

    fn create(&self) -> Result<String> {
        self.ask(Errand::Create)
    }

    /// The directory of the files of a database, with all that was committed.
    fn files(&self, name: String) -> Result<PathBuf> {
        self.ask(|answer| Errand::Flush(name, answer))
    }

    fn ask<T>(&self, errand: impl FnOnce(mpsc::Sender<Result<T>>) -> Errand) -> Result<T> {
        let (answer, answered) = mpsc::channel();
        self.errands.send(errand(answer)).ok().context("nobody administers PostgreSQL")?;
        answered.recv().context("nobody administers PostgreSQL")?
    }
}

/// Does what it is asked, until the process ends.
fn administer(port: u16, asked: &mpsc::Receiver<Errand>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let mut count = 0;
        let mut administrator = Administrator::connect(port).await;
        for errand in asked {
            if administrator.is_err() {
                administrator = Administrator::connect(port).await;
            }
            match (errand, &administrator) {
                (Errand::Create(answer), Ok(administrator)) => {
                    count += 1;
                    let name = format!("test_{count}");
                    let created = administrator.create(&name).await;
                    let _ = answer.send(created.map(|()| name));
                }
                (Errand::Create(answer), Err(error)) => {
                    let _ = answer.send(Err(anyhow!("{error:#}")));
                }
                (Errand::Flush(name, answer), Ok(administrator)) => {
                    let _ = answer.send(administrator.flush(&name).await);
                }
                (Errand::Flush(_, answer), Err(error)) => {
                    let _ = answer.send(Err(anyhow!("{error:#}")));
                }
                // It goes with the cluster at the latest.
                (Errand::Remove(name), Ok(administrator)) => {
                    let _ = administrator.remove(&name).await;
                }
                (Errand::Remove(_), Err(_)) => {}
            }
        }
    });
}
