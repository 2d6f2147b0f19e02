//! SQLite without threads, for simulations: tasks of the runtime read and write.
//!
//! The rules are those of the threads. Batches are written in the order of the requests, waiting
//! batches are committed together, and a request is served even if nobody waits for its answer any
//! more. Each request first waits for a random time of a few milliseconds, so that a simulation
//! sees what happens in between. When the runtime ends, everything ends at once, as when a process
//! ends.

use crate::clock::Clock;
use crate::database::Answer;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::sqlite::access::Access;
use crate::sqlite::connection::connect;
use crate::sqlite::statement;
use crate::sqlite::writer::Writer;
use crate::sqlite::writing::Ask;
use crate::sqlite::writing::WriteChannel;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// How many milliseconds a request waits at most before it is served.
const LATENCY_MS_MAX: usize = 4;

/// A SQLite database without threads.
#[derive(Debug)]
pub(crate) struct Inline {
    clock: Clock,
    reader: Arc<Mutex<Option<Connection>>>,
    writes: WriteChannel,
}

impl Inline {
    /// Opens the database in `file`, or makes it, on a runtime of one thread.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is no database, or is without the log that it had.
    pub(crate) fn open(file: &Path, clock: Clock) -> Result<Self, Error> {
        let writer = Writer::open(file, &clock)?;
        let connection = connect(file, &clock)?;
        connection.pragma_update(None, "query_only", true).map_err(statement::failed)?;
        let (writes, asked) = mpsc::unbounded_channel();
        tokio::spawn(run(writer, asked, clock.clone()));
        let writes = WriteChannel::new(move |ask| drop(writes.send(ask)));
        Ok(Self { clock, reader: Arc::new(Mutex::new(Some(connection))), writes })
    }
}

async fn run(mut writer: Writer, mut asked: mpsc::UnboundedReceiver<Ask>, clock: Clock) {
    let mut next = asked.recv().await;
    while let Some(ask) = next.take() {
        wait(&clock).await;
        next = writer.answer(ask, || asked.try_recv().ok());
        if next.is_none() {
            next = asked.recv().await;
        }
    }
    writer.close();
}

async fn wait(clock: &Clock) {
    let ms = u64::try_from(clock.below(LATENCY_MS_MAX)).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

impl Access for Inline {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let (reply, answer) = oneshot::channel();
        let (reader, clock) = (Arc::clone(&self.reader), self.clock.clone());
        tokio::spawn(async move {
            wait(&clock).await;
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let ran = reader.as_ref().map(|reader| statement::run(reader, &statement));
            // Nobody may be waiting any more.
            let _ = reply.send(ran.unwrap_or(Err(Error::Closed)).map(|outcome| outcome.rows));
        });
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn writes(&self) -> &WriteChannel {
        &self.writes
    }

    fn close(&self) {
        drop(self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.writes.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Room;

    #[tokio::test]
    async fn what_was_asked_is_done_in_its_order_whether_somebody_waits_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("db");
        let database = Inline::open(&file, Clock::system()).unwrap();
        let write =
            |sql: &'static str| database.writes().write(vec![Statement::new(sql)], Room::Free);
        drop(write("CREATE TABLE \"t\" (\"n\" INTEGER)"));
        drop(write("INSERT INTO \"t\" VALUES (1)"));
        write("UPDATE \"t\" SET \"n\" = \"n\" + 1").await.unwrap();
        assert!(write("INSERT INTO \"nothing\" VALUES (1)").await.is_err());
        let rows = database.read(Statement::new("SELECT \"n\" FROM \"t\"")).await.unwrap();
        assert_eq!(rows, [Row(vec![crate::database::Value::Whole(2)])]);
        assert!(!database.writes().tidy().await.unwrap());
        database.close();
        assert!(matches!(database.read(Statement::new("SELECT 1")).await, Err(Error::Closed)));
        assert!(matches!(write("SELECT 1").await, Err(Error::Closed)));
    }
}
