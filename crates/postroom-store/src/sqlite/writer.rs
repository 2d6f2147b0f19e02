//! The writer of SQLite: it commits all waiting batches in one transaction, and answers when that
//! is durable.
//!
//! ```text
//!   group ─► one after the other ─► COMMIT ─► answers
//!                 │ one fails after it changed something
//!                 └─► ROLLBACK, and all again, each in a savepoint ─► COMMIT ─► answers
//! ```
//! Savepoints are not taken at first, because each copies the pages that earlier batches changed.

use crate::clock::Clock;
use crate::database::Must;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::sqlite::checkpointer::Checkpointer;
use crate::sqlite::connection::connect;
use crate::sqlite::connection::make;
use crate::sqlite::log::Log;
use crate::sqlite::reserve::Reserve;
use crate::sqlite::space;
use crate::sqlite::statement;
use crate::sqlite::wal;
use crate::sqlite::wal::Wal;
use crate::sqlite::writing::Ask;
use crate::sqlite::writing::ReplySender;
use crate::sqlite::writing::Write;
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How many batches are committed together at most.
const GROUP_MAX: usize = 256;
/// How long a group waits for one more batch while it is smaller than the group before. Those who
/// wrote then are likely to write again, and each commit costs as much as several batches.
const SIBLING_WITHIN: Duration = Duration::from_micros(150);
/// How often the writer looks for the end of what the checkpointer does while it is idle.
const LOOK: Duration = Duration::from_millis(10);

/// A batch that was run, and its result.
type Ran = (Write, Result<Vec<Outcome>, Error>);

/// The connection that writes. One thread or task has it.
pub(crate) struct Writer {
    connection: Connection,
    log: Log,
    reserve: Reserve,
}

impl Writer {
    /// Opens the database in `file`, or makes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is no database, or is without the log that it had.
    pub(crate) fn open(file: &Path, clock: &Clock) -> Result<Self, Error> {
        make(file)?;
        let number = wal::before_open(file)?;
        space::prepare(file)?;
        let mut connection = connect(file, clock)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(statement::failed)?;
        let reserve = Reserve::beside(file);
        let wal = Wal::of(&mut connection, file, number)?.at_most(reserve.holds());
        Ok(Self { connection, log: Log::new(wal), reserve })
    }

    /// Has a thread of its own write the log back to `file`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the thread not be started.
    pub(crate) fn with_checkpointer(mut self, file: &Path, clock: &Clock) -> Result<Self, Error> {
        self.log.set_checkpointer(Checkpointer::start(file, clock)?);
        Ok(self)
    }

    /// Serves requests until no sender is left.
    pub(crate) fn run(mut self, asked: &mpsc::Receiver<Ask>) {
        let (mut next, mut former) = (asked.recv().ok(), 1);
        while let Some(ask) = next.take() {
            let mut count = 1;
            let left = self.answer(ask, || {
                let more = match asked.try_recv() {
                    Err(mpsc::TryRecvError::Empty) if count < former => {
                        asked.recv_timeout(SIBLING_WITHIN).ok()
                    }
                    more => more.ok(),
                };
                count += usize::from(more.is_some());
                more
            });
            former = count;
            next = left.or_else(|| self.wait(asked));
        }
        self.close();
    }

    /// Waits for the next request. Meanwhile it completes what the checkpointer does.
    fn wait(&mut self, asked: &mpsc::Receiver<Ask>) -> Option<Ask> {
        while self.log.is_in_work() {
            match asked.recv_timeout(LOOK) {
                Ok(ask) => return Some(ask),
                Err(mpsc::RecvTimeoutError::Timeout) => self.log.go_on(&self.connection),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
        asked.recv().ok()
    }

    /// Serves a request, together with the batches that are `waiting` after it. Returns a request
    /// that it took from `waiting` but did not serve.
    pub(crate) fn answer(
        &mut self,
        ask: Ask,
        mut waiting: impl FnMut() -> Option<Ask>,
    ) -> Option<Ask> {
        let first = match ask {
            Ask::Write(first) => first,
            Ask::Tidy(reply) => {
                self.tidy(reply);
                return None;
            }
        };
        let (mut group, mut left) = (vec![first], None);
        while group.len() < GROUP_MAX && left.is_none() {
            match waiting() {
                Some(Ask::Write(write)) => group.push(write),
                Some(other) => left = Some(other),
                None => break,
            }
        }
        self.write(group);
        left
    }

    /// Writes the log back, and closes the connection.
    pub(crate) fn close(self) {
        if let Err(error) = self.log.close(&self.connection) {
            tracing::warn!(%error, "the log of the database was not written back at the end");
        }
    }

    /// Commits a group. If there is no space, it uses the reserve for the batches that may use it.
    fn write(&mut self, group: Vec<Write>) {
        let mut group = group;
        if self.reserve.is_used() {
            let may = |write: &mut Write| write.room == Room::Free && !write.batch.is_empty();
            let refused: Vec<_> = group.extract_if(.., may).collect();
            refuse_all(refused.into_iter().map(|write| write.reply), &Error::Full);
        }
        let unwritten = commit_group(&self.connection, group);
        if !unwritten.is_empty() {
            let is_released = self.reserve.release();
            // What the log has must get into the file before anything else takes the space: until
            // then the log only grows. A part of it in the file would take space for nothing.
            let emptied = if is_released && !self.log_fits() {
                Ok(())
            } else {
                self.log.empty(&self.connection)
            };
            let left = match emptied {
                Err(error) if !is_released => {
                    tracing::debug!(%error, "there is no space to make room in");
                    unwritten
                }
                Ok(()) | Err(_) => commit_group(&self.connection, unwritten),
            };
            refuse_all(left.into_iter().map(|write| write.reply), &Error::Full);
        }
        self.log.go_on(&self.connection);
    }

    /// Gives back some space. If there is none to give back, empties the log. Then answers.
    fn tidy(&mut self, reply: ReplySender<bool>) {
        match self.give_back() {
            Ok(false) if !self.reserve.is_used() => self.log.tidy(&self.connection, reply),
            // Nobody may be waiting any more.
            given => drop(reply.send(given)),
        }
    }

    /// Gives back some space. Returns whether there is more. On a full disk the log is emptied
    /// first, because it also takes what is moved to give space back, and also at the end.
    fn give_back(&mut self) -> Result<bool, Error> {
        let is_full = self.reserve.is_used();
        if is_full && self.log_fits() {
            self.log.empty(&self.connection)?;
        }
        let has_more = space::give_back(&self.connection, self.log.step_pages())?;
        if is_full && !has_more {
            self.log.empty(&self.connection)?;
        }
        Ok(has_more)
    }

    /// Whether the disk has space for all of the log in the file.
    fn log_fits(&self) -> bool {
        self.reserve.free_bytes().is_some_and(|free| free >= self.log.size_bytes())
    }
}

/// Commits a group in one transaction. Returns the batches that found no space and may use the
/// reserve. They are not answered yet.
fn commit_group(connection: &Connection, group: Vec<Write>) -> Vec<Write> {
    match commit_plainly(connection, group) {
        Ok(()) => vec![],
        Err(group) => commit_in_savepoints(connection, group),
    }
}

/// Commits a group without savepoints, and answers it. A batch may fail by a condition before it
/// changes anything. If another one fails, or the group cannot be committed, nothing is done and
/// nobody is answered: returns the group.
fn commit_plainly(connection: &Connection, group: Vec<Write>) -> Result<(), Vec<Write>> {
    let Some(all) = run_plainly(connection, &group) else {
        roll_back(connection);
        return Err(group);
    };
    for (write, ran) in group.into_iter().zip(all) {
        // Nobody may be waiting any more.
        let _ = write.reply.send(ran);
    }
    Ok(())
}

/// Runs and commits a group. `None`: it is not committed.
fn run_plainly(
    connection: &Connection,
    group: &[Write],
) -> Option<Vec<Result<Vec<Outcome>, Error>>> {
    execute(connection, "BEGIN IMMEDIATE").ok()?;
    let mut all = Vec::with_capacity(group.len());
    for write in group {
        match run_all(connection, &write.batch) {
            Ok(outcomes) => all.push(Ok(outcomes)),
            Err(Undone { error: error @ Error::Condition(_), has_changed: false }) => {
                all.push(Err(error));
            }
            Err(_) => return None,
        }
    }
    execute(connection, "COMMIT").ok()?;
    Some(all)
}

/// Rolls the transaction back, unless its error did.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = execute(connection, "ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction was not rolled back");
    }
}

/// Commits a group in one transaction, with a savepoint for each batch. If an error aborts the
/// whole transaction (a full disk), every batch so far fails with it, and the later batches start a
/// new transaction. Returns the batches that found no space and may use the reserve. They are not
/// answered yet.
fn commit_in_savepoints(connection: &Connection, group: Vec<Write>) -> Vec<Write> {
    let mut waiting = group.into_iter();
    let mut unwritten = vec![];
    while waiting.len() > 0 {
        if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
            refuse_all(waiting.map(|write| write.reply), &error);
            return unwritten;
        }
        let mut done = vec![];
        let mut lost = None;
        for write in waiting.by_ref() {
            let ran = run_batch(connection, &write.batch);
            if connection.is_autocommit() {
                lost = ran.as_ref().err().map(statement::again);
            }
            done.push((write, ran));
            if lost.is_some() {
                break;
            }
        }
        let committed = match lost {
            Some(error) => Err(error),
            None => execute(connection, "COMMIT"),
        };
        unwritten.extend(settle(connection, committed, done));
    }
    unwritten
}

/// Answers each waiting batch. A refused batch is answered only after the commit, because the row
/// that refused it may belong to another batch of the group. Returns the batches that found no
/// space and may use the reserve.
fn settle(connection: &Connection, committed: Result<(), Error>, done: Vec<Ran>) -> Vec<Write> {
    let lost = committed.err();
    if lost.is_some() {
        roll_back(connection);
    }
    let mut unwritten = vec![];
    for (write, ran) in done {
        let ran = match &lost {
            Some(error) => Err(statement::again(error)),
            None => ran,
        };
        if matches!(ran, Err(Error::Full)) && write.room == Room::Reserve {
            unwritten.push(write);
        } else {
            // Nobody may be waiting any more.
            let _ = write.reply.send(ran);
        }
    }
    unwritten
}

fn refuse_all<T>(replies: impl Iterator<Item = ReplySender<T>>, error: &Error) {
    for reply in replies {
        let _ = reply.send(Err(statement::again(error)));
    }
}

/// Runs a batch in a savepoint.
fn run_batch(connection: &Connection, batch: &[Statement]) -> Result<Vec<Outcome>, Error> {
    execute(connection, "SAVEPOINT batch")?;
    let ran = run_all(connection, batch).map_err(|undone| undone.error);
    // If the transaction was aborted, the savepoint is gone too.
    if !connection.is_autocommit() {
        if ran.is_err() {
            execute(connection, "ROLLBACK TO batch")?;
        }
        execute(connection, "RELEASE batch")?;
    }
    ran
}

/// Why a batch was not run to its end.
struct Undone {
    error: Error,
    /// Whether a statement before may have changed something.
    has_changed: bool,
}

/// Runs the statements of a batch up to the first that fails.
fn run_all(connection: &Connection, batch: &[Statement]) -> Result<Vec<Outcome>, Undone> {
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut has_changed = false;
    for statement in batch {
        let failed = |error| Undone { error, has_changed };
        let outcome = statement::run(connection, statement).map_err(failed)?;
        if let Some(must) = statement.must.as_ref().filter(|_| outcome.changed == 0) {
            return Err(failed(Error::Condition(must.failed().clone())));
        }
        has_changed |= !matches!(statement.must, Some(Must::Hold { .. }));
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn execute(connection: &Connection, sql: &'static str) -> Result<(), Error> {
    let mut prepared = connection.prepare_cached(sql).map_err(statement::failed)?;
    prepared.raw_execute().map(drop).map_err(statement::failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Lock;
    use crate::failed::Failed;
    use tokio::sync::oneshot;

    type Asked = (Write, oneshot::Receiver<Result<Vec<Outcome>, Error>>);

    fn insert(bytes: usize) -> Asked {
        let (reply, answer) = oneshot::channel();
        let sql = "INSERT INTO t VALUES ($1)";
        (
            Write {
                batch: vec![Statement::new(sql).bind(vec![7; bytes])],
                room: Room::Free,
                reply,
            },
            answer,
        )
    }

    #[test]
    fn a_full_disk_refuses_what_is_lost_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let connection = connect(&directory.path().join("db"), &Clock::system()).unwrap();
        connection.execute_batch("CREATE TABLE t (b BLOB); PRAGMA max_page_count = 20").unwrap();
        let asked = [10, 10_000_000, 20, 30].map(insert);
        let (group, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        commit_group(&connection, group);
        let answers = answers.into_iter().map(|answer| answer.blocking_recv().unwrap());
        let said: Vec<_> = answers.map(|answer| answer.map(drop)).collect();
        assert!(matches!(said.as_slice(), [Err(Error::Full), Err(Error::Full), Ok(()), Ok(())]));
        let sizes = "SELECT GROUP_CONCAT(LENGTH(b)) FROM t";
        let kept: String = connection.query_row(sizes, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "20,30");
    }

    #[test]
    fn a_batch_that_fails_takes_back_what_it_changed_and_nothing_else() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        let insert = |n: i64| Statement::new("INSERT INTO t VALUES ($1)").bind(n);
        let hold = |n: i64| {
            let sql = "SELECT 1 FROM t WHERE n = $1";
            Statement::new(sql).bind(n).assert(Failed::KeyUsed, Lock::Found)
        };
        let none = || Statement::new("UPDATE t SET n = 0 WHERE n = 9").must_change(Failed::Stale);
        let batches = [
            vec![insert(1)],
            vec![hold(1), insert(2), none()],
            vec![hold(2), insert(3)],
            vec![hold(1), insert(4)],
            vec![insert(5), Statement::new("no SQL")],
        ];
        for count in [3, 5] {
            connection.execute_batch("DELETE FROM t").unwrap();
            let asked = batches.iter().take(count).map(|batch| {
                let (reply, answer) = oneshot::channel();
                (Write { batch: batch.clone(), room: Room::Free, reply }, answer)
            });
            let (group, answers): (Vec<_>, Vec<_>) = asked.unzip();
            assert!(commit_group(&connection, group).is_empty());
            let said = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().is_ok());
            let right = [true, false, false, true, false];
            assert!(said.eq(right.into_iter().take(count)));
            let kept = "SELECT GROUP_CONCAT(n) FROM t";
            let kept: String = connection.query_row(kept, [], |row| row.get(0)).unwrap();
            assert_eq!(kept, if count == 3 { "1" } else { "1,4" });
        }
    }

    #[test]
    fn who_is_refused_by_another_batch_hears_it_when_that_one_is_kept() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
            CREATE TABLE c (p INTEGER UNIQUE REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)";
        connection.execute_batch(tables).unwrap();
        let once = || {
            let (reply, answer) = oneshot::channel();
            let sql = "INSERT INTO c VALUES (7) ON CONFLICT DO NOTHING";
            (
                Write {
                    batch: vec![Statement::new(sql).must_change(Failed::KeyUsed)],
                    room: Room::Free,
                    reply,
                },
                answer,
            )
        };
        // The first is not kept, for COMMIT fails: then it was no reason to refuse the second.
        let ((first, kept), (second, refused)) = (once(), once());
        commit_group(&connection, vec![first, second]);
        for answer in [kept, refused] {
            let error = answer.blocking_recv().unwrap().unwrap_err();
            assert!(!matches!(error, Error::Condition(_)), "{error}");
        }
        connection.execute_batch("INSERT INTO p VALUES (7)").unwrap();
        let ((first, kept), (second, refused)) = (once(), once());
        commit_group(&connection, vec![first, second]);
        assert!(kept.blocking_recv().unwrap().is_ok());
        let error = refused.blocking_recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Condition(Failed::KeyUsed)), "{error}");
    }
}
