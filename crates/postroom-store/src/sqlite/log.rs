//! The log of the writer: who writes it back, and when it is emptied.
//!
//! Without a [`Checkpointer`], the writer writes everything back itself, and nobody commits
//! meanwhile. With one, the writer writes back only what was committed while the checkpointer
//! worked.

use crate::error::Error;
use crate::sqlite::checkpointer::Checkpointer;
use crate::sqlite::connection::BUSY;
use crate::sqlite::statement;
use crate::sqlite::wal::Checkpoint;
use crate::sqlite::wal::Wal;
use crate::sqlite::writing::ReplySender;
use rusqlite::Connection;
use std::time::Duration;

/// A log of this many pages is emptied when the writer is idle, because it may contain deleted
/// mail.
const PAGES_KEPT: i32 = 8;
/// A log of more pages is written back by the checkpointer before it is emptied.
const PAGES_AT_ONCE: i32 = 128;

/// The log, and who writes it back.
pub(super) struct Log {
    wal: Wal,
    checkpointer: Option<Checkpointer>,
    /// Who is answered when the log is empty.
    waiting: Vec<ReplySender<bool>>,
}

impl Log {
    pub(super) const fn new(wal: Wal) -> Self {
        Self { wal, checkpointer: None, waiting: vec![] }
    }

    /// From now on `checkpointer` writes back what is long.
    pub(super) fn set_checkpointer(&mut self, checkpointer: Checkpointer) {
        self.checkpointer = Some(checkpointer);
    }

    /// How many bytes its pages have.
    pub(super) fn size_bytes(&self) -> u64 {
        self.wal.size_bytes()
    }

    /// How many free pages are given back at once: on a small disk, a part of the log.
    pub(super) fn step_pages(&self) -> i64 {
        self.wal.step_pages()
    }

    /// Whether the checkpointer works. Then [`Log::go_on`] has more to do soon.
    pub(super) fn is_in_work(&self) -> bool {
        self.checkpointer.as_ref().is_some_and(Checkpointer::is_running)
    }

    /// Writes the log back if it is long, and completes what the checkpointer has done. It waits
    /// for the checkpointer only if the log is too long.
    pub(super) fn go_on(&mut self, connection: &Connection) {
        if let Err(error) = self.try_go_on(connection) {
            self.wal.put_off();
            tracing::warn!(%error, "the log of the database was not written back; tried again");
            self.answer(&Err(error));
        }
    }

    fn try_go_on(&mut self, connection: &Connection) -> Result<(), Error> {
        let is_too_long = self.wal.is_too_long();
        match &mut self.checkpointer {
            Some(checkpointer) if checkpointer.is_running() => {
                let result = match is_too_long {
                    true => Some(checkpointer.wait()),
                    false => checkpointer.result(),
                };
                match result {
                    Some(result) => {
                        checkpointer.release();
                        result.and_then(|()| self.complete(connection))
                    }
                    None => Ok(()),
                }
            }
            _ if is_too_long => self.wal.checkpoint(connection, Checkpoint::Passive),
            Some(checkpointer) if self.wal.is_long() => {
                begin(connection, &mut self.wal, checkpointer)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes back what was committed while the checkpointer worked.
    fn complete(&mut self, connection: &Connection) -> Result<(), Error> {
        match self.waiting.is_empty() {
            true => self.wal.checkpoint(connection, Checkpoint::Passive),
            false => self.empty(connection),
        }
    }

    /// Empties the log if it may contain deleted mail, and answers then. A long log is written back
    /// by the checkpointer first.
    pub(super) fn tidy(&mut self, connection: &Connection, reply: ReplySender<bool>) {
        self.waiting.push(reply);
        let begun = match &mut self.checkpointer {
            _ if self.wal.longest_pages() <= PAGES_KEPT => {
                self.answer(&Ok(()));
                return;
            }
            Some(checkpointer) if checkpointer.is_running() => Ok(()),
            Some(checkpointer) if self.wal.pages() > PAGES_AT_ONCE => {
                begin(connection, &mut self.wal, checkpointer)
            }
            Some(_) | None => self.empty(connection),
        };
        if begun.is_err() {
            self.answer(&begun);
        }
    }

    /// Answers those who wait for an empty log.
    fn answer(&mut self, result: &Result<(), Error>) {
        for reply in self.waiting.drain(..) {
            // Nobody may be waiting any more.
            let _ = reply.send(match result {
                Ok(()) => Ok(false),
                Err(error) => Err(statement::again(error)),
            });
        }
    }

    /// Empties the log now. It does not wait for readers, because a later attempt will do.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<(), Error> {
        if let Some(checkpointer) = self.checkpointer.as_mut().filter(|one| one.is_running()) {
            if let Err(error) = checkpointer.wait() {
                tracing::debug!(%error, "the log was not written back before it is emptied");
            }
            checkpointer.release();
        }
        connection.busy_timeout(Duration::ZERO).map_err(statement::failed)?;
        let emptied = self.wal.checkpoint(connection, Checkpoint::Truncate);
        connection.busy_timeout(BUSY).map_err(statement::failed)?;
        self.answer(&emptied);
        emptied
    }

    /// Writes the log back, and ends the checkpointer.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub(super) fn close(self, connection: &Connection) -> Result<(), Error> {
        drop(self.checkpointer);
        self.wal.close(connection)
    }
}

/// Has the checkpointer write back what is committed now.
fn begin(
    connection: &Connection,
    wal: &mut Wal,
    checkpointer: &mut Checkpointer,
) -> Result<(), Error> {
    let pinned = wal.mark(connection, || checkpointer.pin().map(|()| false));
    let begun = pinned.and_then(|_| checkpointer.begin());
    if begun.is_err() {
        checkpointer.release();
    }
    begun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sqlite::connection::connect;
    use crate::sqlite::wal;
    use std::path::Path;
    use std::path::PathBuf;
    use tokio::sync::oneshot;

    /// A database with a log that is too long at 512 pages.
    struct World {
        directory: tempfile::TempDir,
        connection: Connection,
        log: Log,
    }

    impl World {
        fn new(has_checkpointer: bool) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (file, clock) = (directory.path().join("a.db"), Clock::system());
            let mut connection = connect(&file, &clock).unwrap();
            let set_up = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                CREATE TABLE \"meta\" (\"name\" TEXT PRIMARY KEY, \"number\" INTEGER);
                CREATE TABLE \"t\" (\"b\" BLOB)";
            connection.execute_batch(set_up).unwrap();
            let wal = Wal::of(&mut connection, &file, None).unwrap();
            let mut log = Log::new(wal.at_most(Some(1024 * (8192 + 24))));
            if has_checkpointer {
                log.set_checkpointer(Checkpointer::start(&file, &clock).unwrap());
            }
            Self { directory, connection, log }
        }

        fn file(&self) -> PathBuf {
            self.directory.path().join("a.db")
        }

        /// How many bytes the file of the log has.
        fn log_bytes(&self) -> u64 {
            std::fs::metadata(self.directory.path().join("a.db-wal")).unwrap().len()
        }

        /// Commits about so many pages.
        fn commit(&self, pages: usize) {
            let insert = "INSERT INTO \"t\" VALUES (?1)";
            self.connection.execute(insert, [vec![7_u8; pages * 8000]]).unwrap();
        }

        fn tidy(&mut self) -> oneshot::Receiver<Result<bool, Error>> {
            let (reply, answer) = oneshot::channel();
            self.log.tidy(&self.connection, reply);
            answer
        }

        /// Waits until the checkpointer is at its end, and completes what it did.
        fn complete(&mut self) {
            while self.log.is_in_work() {
                std::thread::yield_now();
                self.log.go_on(&self.connection);
            }
        }
    }

    /// Opens what a kill would leave now, and counts its rows.
    fn rows_after_a_kill(world: &World) -> i64 {
        let copies = tempfile::tempdir().unwrap();
        let (copy, log) = (copies.path().join("b.db"), copies.path().join("b.db-wal"));
        let from_log: &Path = &world.directory.path().join("a.db-wal");
        std::fs::copy(world.file(), &copy).unwrap();
        std::fs::copy(from_log, log).unwrap();
        let in_file = wal::before_open(&copy).unwrap();
        let mut connection = Connection::open(&copy).unwrap();
        Wal::of(&mut connection, &copy, in_file).unwrap();
        connection.query_row("SELECT COUNT(*) FROM \"t\"", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_writer_commits_while_a_long_log_is_written_back_and_begins_the_next_one_itself() {
        let mut world = World::new(true);
        world.commit(300);
        world.log.go_on(&world.connection);
        assert!(!world.log.is_in_work(), "it is not long yet");
        world.commit(100);
        world.log.go_on(&world.connection);
        assert!(world.log.is_in_work());
        // The checkpointer gets to its end. What is committed then must not begin a new log.
        let checkpointer = world.log.checkpointer.as_mut().unwrap();
        checkpointer.wait().unwrap();
        let pages = world.log.wal.pages();
        world.commit(10);
        assert!(world.log.wal.pages() > pages, "a new log has begun without a number");
        assert_eq!(rows_after_a_kill(&world), 3);
        let checkpointer = world.log.checkpointer.as_mut().unwrap();
        checkpointer.release();
        world.log.complete(&world.connection).unwrap();
        world.commit(1);
        assert!(world.log.wal.pages() < 10, "all of it was written back");
        assert_eq!(rows_after_a_kill(&world), 4);
    }

    #[test]
    fn a_log_that_is_too_long_is_written_back_before_anything_else_is_committed() {
        for has_checkpointer in [true, false] {
            let mut world = World::new(has_checkpointer);
            world.commit(400);
            world.log.go_on(&world.connection);
            assert_eq!(world.log.is_in_work(), has_checkpointer);
            world.commit(200);
            assert!(world.log.wal.is_too_long(), "{has_checkpointer}");
            world.log.go_on(&world.connection);
            assert!(!world.log.is_in_work(), "{has_checkpointer}");
            world.commit(1);
            assert!(world.log.wal.pages() < 10, "{has_checkpointer}");
        }
    }

    #[test]
    fn nothing_of_deleted_mail_stays_in_the_log() {
        for (has_checkpointer, pages) in [(true, 300), (true, 20), (false, 300)] {
            let mut world = World::new(has_checkpointer);
            world.commit(pages);
            let answers = [world.tidy(), world.tidy()];
            let is_later = has_checkpointer && pages == 300;
            assert_eq!(world.log.is_in_work(), is_later);
            world.complete();
            for answer in answers {
                assert!(!answer.blocking_recv().unwrap().unwrap());
            }
            assert!(world.log_bytes() < 100_000, "{has_checkpointer}, {pages}");
            // The file of a log that was written back and begun again still has its pages.
            world.commit(600);
            world.log.go_on(&world.connection);
            world.commit(1);
            assert!(world.log.wal.pages() < PAGES_KEPT);
            assert!(world.log_bytes() > 4_000_000);
            let answer = world.tidy();
            world.complete();
            assert!(!answer.blocking_recv().unwrap().unwrap());
            assert!(world.log_bytes() < 100_000, "{has_checkpointer}, {pages}");
        }
    }

    #[test]
    fn a_close_waits_for_the_checkpointer_and_leaves_no_log() {
        let mut world = World::new(true);
        world.commit(400);
        world.log.go_on(&world.connection);
        assert!(world.log.is_in_work());
        let World { directory, connection, log } = world;
        log.close(&connection).unwrap();
        assert_eq!(std::fs::metadata(directory.path().join("a.db-wal")).unwrap().len(), 0);
        drop(connection);
        assert_eq!(wal::before_open(&directory.path().join("a.db")).unwrap(), Some(2));
    }
}
