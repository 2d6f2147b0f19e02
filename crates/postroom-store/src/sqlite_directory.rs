//! A data directory with a SQLite database: its lock, its disk, and the faults found in both.
//!
//! The lock lets only one process use the directory at a time. All stores of this process share
//! what is opened here.

use crate::bell::Bell;
use crate::bell::Listener;
use crate::bell::Topic;
use crate::clock::Clock;
use crate::database::Answer;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database_state::DatabaseState;
use crate::database_state::StateTexts;
use crate::disk;
use crate::error::Error;
use crate::key::DATABASE_FILE;
use crate::sqlite::Access;
use crate::sqlite::Inline;
use crate::sqlite::Sqlite;
use crate::sqlite::SqliteDialect;
use crate::work::Work;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// How much free space the disk must have for the database to be healthy.
const PROBE_BYTES: usize = 256 * 1024;
/// How much it must have after it was full: as much as is received at once.
const PROBE_AFTER_FULL_BYTES: usize = 8 * 1024 * 1024;

const TEXTS: StateTexts = StateTexts {
    no_space: "the disk is full: no mail is stored or sent until there is space; new mail stays at \
               its server, and deletions work as long as they find space",
    damaged: "the database's file is damaged; the damaged data is not served. Check the disk, and \
              restore the data directory from a backup",
};

/// A data directory with a SQLite database.
#[derive(Debug)]
pub struct SqliteDirectory {
    access: Arc<dyn Access>,
    state: Arc<DiskState>,
    clock: Clock,
    work: Work,
    /// It rings in this process only, because no other process has the database.
    bell: Bell,
    /// The lock of the directory. It is held as long as the database is open.
    _lock: File,
}

/// What is known of the directory.
#[derive(Debug)]
struct DiskState {
    path: PathBuf,
    database: DatabaseState,
    /// Whether [`Database::is_first`] was called already.
    was_asked: AtomicBool,
}

impl SqliteDirectory {
    /// Opens the database of an existing directory, or makes it there. `readers` threads read it.
    ///
    /// # Errors
    ///
    /// When another process uses the directory, its database is incomplete, or the disk does not
    /// work.
    pub fn open(
        directory: &Path,
        readers: usize,
        clock: Clock,
    ) -> Result<Arc<dyn Database>, Error> {
        let lock = disk::lock(directory)?;
        let access = Arc::new(Sqlite::open(&directory.join(DATABASE_FILE), readers, &clock)?);
        let (state, bell) = (DiskState::of(directory), Bell::default());
        Ok(Arc::new(Self { access, state, clock, work: Work::Threads, bell, _lock: lock }))
    }

    /// The same without threads, for simulations: tasks of the present runtime read and write.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn open_inline(directory: &Path, clock: Clock) -> Result<Arc<dyn Database>, Error> {
        let lock = disk::lock(directory)?;
        let access = Arc::new(Inline::open(&directory.join(DATABASE_FILE), clock.clone())?);
        let (state, bell) = (DiskState::of(directory), Bell::default());
        Ok(Arc::new(Self { access, state, clock, work: Work::Inline, bell, _lock: lock }))
    }
}

impl Database for SqliteDirectory {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let (answer, state) = (self.access.read(statement), Arc::clone(&self.state));
        Box::pin(async move { state.seen(answer.await) })
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        let (answer, state) = (self.access.writes().write(batch, room), Arc::clone(&self.state));
        Box::pin(async move {
            let wrote = state.seen(answer.await);
            match &wrote {
                Err(Error::Full) => state.database.no_space(),
                Ok(outcomes) if room == Room::Free => state.wrote(outcomes),
                Ok(_) | Err(_) => {}
            }
            wrote
        })
    }

    fn tidy(&self) -> Answer<bool> {
        self.access.writes().tidy()
    }

    fn check(&self) -> Answer<()> {
        let (access, state) = (Arc::clone(&self.access), Arc::clone(&self.state));
        let (work, now_ms) = (self.work, self.clock.now_ms());
        Box::pin(async move {
            access.read(Statement::new("SELECT 1")).await?;
            // If the last batch found no space, there must be some for a large batch now.
            let was_full = state.database.is_full();
            let bytes = if was_full { PROBE_AFTER_FULL_BYTES } else { PROBE_BYTES };
            let probed = Arc::clone(&state);
            let probed = work.spawn(move || disk::probe(&probed.path, bytes)).await;
            let probed = probed.map_err(|_| Error::Closed)?;
            if matches!(probed, Err(Error::Full)) {
                state.database.no_space();
            }
            probed?;
            if !was_full {
                return access.writes().write(vec![], Room::Free).await.map(drop);
            }
            // There may be nothing else to write, so the probe shows whether writing works.
            let probe = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('probe', $1)
                ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
            let probe = vec![Statement::new(probe).bind(now_ms)];
            state.wrote(&access.writes().write(probe, Room::Free).await?);
            Ok(())
        })
    }

    fn is_full(&self) -> bool {
        self.state.database.is_full()
    }

    fn damage(&self) -> Option<&'static str> {
        self.state.database.damage()
    }

    fn found_damaged(&self, error: &Error) {
        self.state.database.damaged(error);
    }

    fn is_first(&self) -> bool {
        // No other process can be the first, because this process has the lock.
        !self.state.was_asked.swap(true, Ordering::Relaxed)
    }

    fn ring(&self, topic: Topic) {
        self.bell.ring(topic);
    }

    fn listen(&self, topic: Topic) -> Listener {
        self.bell.listen(topic)
    }

    fn close(&self) {
        self.access.close();
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &SqliteDialect
    }
}

impl DiskState {
    fn of(directory: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: directory.to_owned(),
            database: DatabaseState::new(TEXTS),
            was_asked: AtomicBool::new(false),
        })
    }

    /// Notes that there is space, if a batch was written and the disk has space for a large one. A
    /// small batch alone does not prove it, because it may find space when a message does not.
    fn wrote(&self, outcomes: &[Outcome]) {
        let has_space = self.database.is_full()
            && outcomes.iter().any(|outcome| outcome.changed > 0)
            && disk::has_space(&self.path, PROBE_AFTER_FULL_BYTES);
        if has_space {
            self.database.has_space();
        }
    }

    /// Notes the damage if an answer shows that the database's file is damaged.
    fn seen<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(error @ Error::Damaged { .. }) = &answer {
            self.database.damaged(error);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_process_has_a_directory_until_its_database_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let database = SqliteDirectory::open(directory.path(), 1, Clock::system()).unwrap();
        let shared = Arc::clone(&database);
        for _ in 0..2 {
            let again = SqliteDirectory::open_inline(directory.path(), Clock::system());
            assert!(matches!(again, Err(Error::Locked { .. })), "{again:?}");
        }
        drop(database);
        assert!(shared.check().await.is_ok());
        drop(shared);
        SqliteDirectory::open(directory.path(), 1, Clock::system()).unwrap().close();
    }

    #[tokio::test]
    async fn a_damaged_page_is_remembered_and_a_damaged_row_is_too() {
        let directory = tempfile::tempdir().unwrap();
        let database = SqliteDirectory::open(directory.path(), 1, Clock::system()).unwrap();
        assert_eq!(database.damage(), None);
        database.found_damaged(&Error::Damaged { what: "an entity" });
        assert_eq!(database.damage(), Some("pages of the database cannot be read"));
    }

    #[tokio::test]
    async fn a_check_needs_the_directory_and_an_open_database() {
        let directory = tempfile::tempdir().unwrap();
        let database = SqliteDirectory::open(directory.path(), 1, Clock::system()).unwrap();
        database.check().await.unwrap();
        assert!(!directory.path().join("probe").exists());
        std::fs::create_dir(directory.path().join("probe")).unwrap();
        let refused = database.check().await;
        assert!(matches!(refused, Err(Error::File { .. })), "{refused:?}");
        std::fs::remove_dir(directory.path().join("probe")).unwrap();
        database.close();
        assert!(matches!(database.check().await, Err(Error::Closed)));
    }

    #[tokio::test]
    async fn after_a_full_disk_only_a_change_that_finds_space_says_that_there_is_some() {
        let directory = tempfile::tempdir().unwrap();
        let state = DiskState::of(directory.path());
        let outcome = |changed| [Outcome { changed, rows: vec![] }];
        state.database.no_space();
        assert!(state.database.is_full());
        state.wrote(&outcome(0));
        assert!(state.database.is_full(), "nothing was written");
        state.wrote(&outcome(1));
        assert!(!state.database.is_full());
    }
}
