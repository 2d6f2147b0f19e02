//! SQLite: one file, one writer thread, a few reader threads.
//!
//! The writer commits all waiting batches in one transaction, and answers when that is durable
//! (WAL, `synchronous=FULL`). So one flush of the disk serves many batches. The log is written back
//! by a thread of its own, while the writer goes on. Deleted data is overwritten (`secure_delete`),
//! and its space is given back.

mod access;

mod statement;

mod texts;

mod time;

mod full_text;

mod dialect;

mod patience;

mod reserve;

mod space;

mod wal;

mod connection;

mod checkpointer;

mod log;

mod backup;

mod lanes;

mod writing;

mod writer;

mod inline;

pub(crate) use access::Access;
pub(crate) use backup::copy;
pub(crate) use dialect::SqliteDialect;
pub(crate) use inline::Inline;

use crate::clock::Clock;
use crate::database::Answer;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::sqlite::lanes::ReadLanes;
use crate::sqlite::reserve::Reserve;
use crate::sqlite::writer::Writer;
use crate::sqlite::writing::WriteChannel;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;

/// A SQLite database. Its threads end when the last reference is gone.
#[derive(Debug)]
pub(crate) struct Sqlite {
    lanes: ReadLanes,
    writes: WriteChannel,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    /// Opens the database in `file`, or makes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is no database, or is without the log that it had.
    pub(crate) fn open(file: &Path, readers: usize, clock: &Clock) -> Result<Self, Error> {
        let opened = match Self::try_open(file, readers, clock) {
            // The index of the log needs space too.
            Err(Error::Full) if Reserve::beside(file).release() => {
                Self::try_open(file, readers, clock)
            }
            opened => opened,
        };
        match opened {
            // The reserve was used before. Without its log, the database needs less space.
            Err(Error::Full) => {
                wal::write_back(file)?;
                Self::try_open(file, readers, clock)
            }
            opened => opened,
        }
    }

    fn try_open(file: &Path, readers: usize, clock: &Clock) -> Result<Self, Error> {
        let writer = Writer::open(file, clock)?;
        // This comes before the thread starts, because nothing else may take space when it fails.
        let lanes = ReadLanes::open(file, readers, clock)?;
        let writer = writer.with_checkpointer(file, clock)?;
        let (writes, asked) = mpsc::channel();
        let thread = thread::Builder::new().name("postroom-write".to_owned());
        let thread = thread.spawn(move || writer.run(&asked));
        let thread =
            thread.map_err(|source| Error::File { path: "postroom-write".into(), source })?;
        let writes = WriteChannel::new(move |ask| drop(writes.send(ask)));
        Ok(Self { lanes, writes, thread: Mutex::new(Some(thread)) })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

impl Access for Sqlite {
    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let answer = self.lanes.ask(statement);
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn writes(&self) -> &WriteChannel {
        &self.writes
    }

    fn close(&self) {
        // The readers end first, because the last connection empties the log, and nothing may read
        // it then.
        self.lanes.close();
        self.writes.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(
                "the writer thread of the database failed, which is a fault of \
                             Postroom"
            );
        }
    }
}
