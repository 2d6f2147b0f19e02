//! SQLite: one file, one thread that writes, a few that read.
//!
//! The writer takes all batches that wait into one transaction, a savepoint for each, and answers
//! when it is durable (WAL, `synchronous=FULL`): one flush of the disk serves many batches.

mod dialect;
mod folding;
mod patience;
mod statement;

pub use dialect::SqliteDialect;

use crate::database::Answer;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Outcome;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::sqlite::patience::Patience;
use rusqlite::Connection;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use tokio::sync::oneshot;

/// How many batches are committed together at the most.
const GROUP_MAX: usize = 256;
/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 128;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A batch that was run, and who waits for it.
type Ran = (Reply<Vec<Outcome>>, Result<Vec<Outcome>, Error>);

struct Write {
    batch: Vec<Statement>,
    reply: Reply<Vec<Outcome>>,
}

struct Read {
    statement: Statement,
    reply: Reply<Vec<Row>>,
}

/// A SQLite database. Its threads end when the last reference is gone.
#[derive(Debug)]
pub struct Sqlite {
    writes: mpsc::Sender<Write>,
    reads: mpsc::Sender<Read>,
}

impl Sqlite {
    /// Opens the database in `file`, or makes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or is no database.
    pub fn open(file: &Path, readers: usize) -> Result<Self, Error> {
        make(file)?;
        let writer = connect(file)?;
        writer.pragma_update(None, "journal_mode", "WAL").map_err(statement::failed)?;
        writer.pragma_update(None, "wal_autocheckpoint", 4096).map_err(statement::failed)?;
        let (writes, waiting) = mpsc::channel();
        start("postroom-write", move || write_loop(&writer, &waiting))?;
        let (reads, questions) = mpsc::channel();
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..readers.max(1) {
            let mut reader = connect(file)?;
            reader.pragma_update(None, "query_only", true).map_err(statement::failed)?;
            let patience = Patience::of(&mut reader)?;
            let questions = Arc::clone(&questions);
            start("postroom-read", move || read_loop((&reader, &patience), &questions))?;
        }
        Ok(Self { writes, reads })
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|source| Error::File { path: name.into(), source })
}

/// Makes the file, for its owner alone: SQLite gives those beside it the same permissions.
fn make(file: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    made.map(drop).map_err(|source| Error::File { path: file.to_owned(), source })
}

fn connect(file: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(file).map_err(statement::failed)?;
    for (pragma, value) in [
        ("page_size", "16384"),
        ("synchronous", "FULL"),
        ("cache_size", "-8192"),
        ("temp_store", "MEMORY"),
        ("busy_timeout", "10000"),
    ] {
        connection.pragma_update(None, pragma, value).map_err(statement::failed)?;
    }
    folding::teach(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

impl Database for Sqlite {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let (reply, answer) = oneshot::channel();
        // When the threads are gone, so is `reply`, and the answer says that it is closed.
        let _ = self.reads.send(Read { statement, reply });
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn write(&self, batch: Vec<Statement>) -> Answer<Vec<Outcome>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.writes.send(Write { batch, reply });
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &SqliteDialect
    }
}

fn read_loop(
    (connection, patience): (&Connection, &Patience),
    questions: &Mutex<mpsc::Receiver<Read>>,
) {
    loop {
        let next = match questions.lock() {
            Ok(questions) => questions.recv(),
            Err(_) => return,
        };
        let Ok(Read { statement, reply }) = next else {
            return;
        };
        patience.begin(statement.within);
        let answer = statement::run(connection, &statement).map(|outcome| outcome.rows);
        // Nobody may be waiting any more.
        let _ = reply.send(answer);
    }
}

fn write_loop(connection: &Connection, waiting: &mpsc::Receiver<Write>) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match waiting.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        commit_group(connection, group);
    }
}

/// Commits a group: each batch in a savepoint of its own, all in one transaction. An error that
/// takes the whole transaction with it (a full disk) is that of every batch in it so far; the
/// batches behind it begin anew.
fn commit_group(connection: &Connection, group: Vec<Write>) {
    let mut waiting = group.into_iter();
    while waiting.len() > 0 {
        if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
            return refuse_all(waiting.map(|write| write.reply), &error);
        }
        let mut done = vec![];
        let mut lost = None;
        for Write { batch, reply } in waiting.by_ref() {
            let ran = run_batch(connection, &batch);
            if connection.is_autocommit() {
                lost = ran.as_ref().err().map(statement::again);
            }
            done.push((reply, ran));
            if lost.is_some() {
                break;
            }
        }
        let committed = match lost {
            Some(error) => Err(error),
            None => execute(connection, "COMMIT"),
        };
        settle(connection, committed, done);
    }
}

/// Tells those who wait how it went. A batch that was refused hears it no sooner than the others:
/// what refused it may be one of them, and whoever looks must find it there.
fn settle(connection: &Connection, committed: Result<(), Error>, done: Vec<Ran>) {
    let Err(error) = committed else {
        for (reply, ran) in done {
            // Nobody may be waiting any more.
            let _ = reply.send(ran);
        }
        return;
    };
    if !connection.is_autocommit()
        && let Err(error) = execute(connection, "ROLLBACK")
    {
        tracing::error!(%error, "a failed transaction was not rolled back");
    }
    refuse_all(done.into_iter().map(|(reply, _)| reply), &error);
}

fn refuse_all<T>(replies: impl Iterator<Item = Reply<T>>, error: &Error) {
    for reply in replies {
        let _ = reply.send(Err(statement::again(error)));
    }
}

fn run_batch(connection: &Connection, batch: &[Statement]) -> Result<Vec<Outcome>, Error> {
    execute(connection, "SAVEPOINT batch")?;
    let ran = run_all(connection, batch);
    // With the transaction the savepoint is gone too.
    if !connection.is_autocommit() {
        if ran.is_err() {
            execute(connection, "ROLLBACK TO batch")?;
        }
        execute(connection, "RELEASE batch")?;
    }
    ran
}

fn run_all(connection: &Connection, batch: &[Statement]) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for (at, statement) in batch.iter().enumerate() {
        let outcome = statement::run(connection, statement)?;
        if statement.must_change && outcome.changed == 0 {
            return Err(Error::Condition { statement: at });
        }
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

    type Asked = (Write, oneshot::Receiver<Result<Vec<Outcome>, Error>>);

    fn insert(bytes: usize) -> Asked {
        let (reply, answer) = oneshot::channel();
        let sql = "INSERT INTO t VALUES ($1)";
        (Write { batch: vec![Statement::new(sql).bind(vec![7; bytes])], reply }, answer)
    }

    #[test]
    fn a_full_disk_refuses_what_is_lost_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let connection = connect(&directory.path().join("db")).unwrap();
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
    fn who_is_refused_by_another_batch_hears_it_when_that_one_is_kept() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);
            CREATE TABLE c (p INTEGER UNIQUE REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)";
        connection.execute_batch(tables).unwrap();
        let once = || {
            let (reply, answer) = oneshot::channel();
            let sql = "INSERT INTO c VALUES (7) ON CONFLICT DO NOTHING";
            (Write { batch: vec![Statement::new(sql).must_change()], reply }, answer)
        };
        // The first is not kept, for COMMIT fails: then it was no reason to refuse the second.
        let ((first, kept), (second, refused)) = (once(), once());
        commit_group(&connection, vec![first, second]);
        for answer in [kept, refused] {
            let error = answer.blocking_recv().unwrap().unwrap_err();
            assert!(!matches!(error, Error::Condition { .. }), "{error}");
        }
        connection.execute_batch("INSERT INTO p VALUES (7)").unwrap();
        let ((first, kept), (second, refused)) = (once(), once());
        commit_group(&connection, vec![first, second]);
        assert!(kept.blocking_recv().unwrap().is_ok());
        let error = refused.blocking_recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Condition { statement: 0 }), "{error}");
    }
}
