//! A process: the store and the engine on a runtime of one thread, whose time is paused.
//!
//! The runtime is the process. When it is dropped, all that ran in it ends at the point where it
//! waited, as with SIGKILL: batches that were asked for and not begun are lost, connections break.

use crate::disk::SimulatedDisk;
use crate::servers::Wires;
use crate::time::SimulatedTime;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_engine::Dialing;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::builtin;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Clock;
use postroom_store::DATABASE_FILE;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::ObjectsAccess;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use secrecy::SecretString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

/// Messages above this go through the spool directory.
const IN_MEMORY_BYTES_MAX: usize = 6000;
/// Where directories are made if it is there: no disk is waited for.
const MEMORY: &str = "/dev/shm";

/// A running process.
#[derive(Debug)]
pub struct EngineProcess {
    /// The store.
    pub store: Store,
    engine: Supervisor,
    /// When it began.
    pub began: Duration,
}

/// A runtime whose time passes only when nothing has anything to do.
///
/// # Errors
///
/// When the system has no room for it.
pub fn runtime() -> Result<Runtime> {
    // After each step of a task the one who kills may have its turn.
    let mut builder = Builder::new_current_thread();
    Ok(builder.enable_time().start_paused(true).event_interval(1).build()?)
}

/// A data directory.
#[derive(Debug)]
pub struct Directory(TempDir);

impl Directory {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let root = Path::new(MEMORY);
        let root = if root.is_dir() { root.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("postroom-simulator-").tempdir_in(root)?;
        // A reserve that is there is not made: it would take time and nothing else.
        fs::write(directory.path().join("reserve"), b".")?;
        Ok(Self(directory))
    }

    /// The database as a process leaves it that is killed now.
    ///
    /// # Errors
    ///
    /// When it cannot be copied.
    pub fn as_killed(&self) -> Result<Self> {
        let copy = Self::new()?;
        for suffix in ["", "-wal"] {
            let name = format!("{DATABASE_FILE}{suffix}");
            if self.0.path().join(&name).exists() {
                fs::copy(self.0.path().join(&name), copy.0.path().join(&name))?;
            }
        }
        Ok(copy)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl EngineProcess {
    /// Starts on the present runtime.
    ///
    /// # Errors
    ///
    /// When the store or the engine does not start.
    pub async fn start(
        directory: &Directory,
        World { servers, time, disk, .. }: &World,
    ) -> Result<Self> {
        time.process_begins();
        servers.all().for_each(|server| server.client_began());
        let source: Arc<SimulatedTime> = Arc::clone(time);
        let clock = Clock::of(source);
        let database = SqliteDirectory::open_inline(&directory.path(), clock.clone())?;
        let database = Arc::new(SimulatedDisk { database, state: Arc::clone(disk) });
        let config = StoreConfig {
            key: MasterKey::from_hex(&SecretString::from("5".repeat(64)))?,
            classes: builtin::classes()?,
            clock,
            work: Work::Inline,
            member: Member::alone(),
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        let store = Store::open(database, &config).await.context("the store does not open")?;
        let dialer = Dialer::new(&Trust::default())?.over(Arc::new(Wires(Arc::clone(servers))));
        let dialing = Dialing { dialer, ehlo_name: "client.test".to_owned() };
        let settings = Settings {
            decompositions_max: 2,
            in_memory_bytes_max: IN_MEMORY_BYTES_MAX,
            reconnect_longest: Duration::from_secs(60),
            ..Settings::new(dialing, directory.path().join("spool"))
        };
        let engine = Supervisor::start(store.clone(), settings).await?;
        Ok(Self { store, engine, began: time.passed() })
    }

    /// What does not work of the engine itself; `None` when all does.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.engine.watch_health()()
    }

    /// Verifies all that is stored.
    ///
    /// # Errors
    ///
    /// Says what is damaged.
    async fn verify(store: &Store) -> Result<()> {
        let mut damage = vec![];
        store.verify(|what| damage.push(what.to_owned())).await?;
        ensure!(damage.is_empty(), "what is stored is damaged: {}", damage.join("; "));
        Ok(())
    }

    /// Stops as a process does that is asked to. What it leaves must be sound.
    ///
    /// # Errors
    ///
    /// Says what is damaged, or why the database does not close.
    pub async fn stop(self) -> Result<()> {
        self.engine.stop().await;
        Self::verify(&self.store).await?;
        self.store.close().await?;
        Ok(())
    }
}
