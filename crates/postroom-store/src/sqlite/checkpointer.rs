//! Writes the log back on a thread of its own, so that no commit waits for it.
//!
//! ```text
//!   writer:        odd ─► pin ─► even ─► commits … ─► no pin ─► the rest is written back
//!   checkpointer:                └─ writes back what is up to odd ─┘
//! ```
//! The writer commits the numbers of [`wal`]. The pin is a read transaction. It keeps the
//! checkpointer from completing a log, because a new log must begin with a number.

use crate::clock::Clock;
use crate::error::Error;
use crate::sqlite::connection::connect;
use crate::sqlite::statement;
use crate::sqlite::wal;
use crate::sqlite::wal::Checkpoint;
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;

/// The thread, and the pin. The writer has them.
pub(super) struct Checkpointer {
    /// Its read transaction keeps the last commits in the log.
    pin: Connection,
    /// An order begins a checkpoint. The thread ends without this.
    orders: Option<mpsc::Sender<()>>,
    /// The results of the checkpoints.
    results: mpsc::Receiver<Result<(), Error>>,
    thread: Option<JoinHandle<()>>,
    is_running: bool,
}

impl Checkpointer {
    /// Starts the thread for the database in `file`, which exists.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or the thread not be started.
    pub(super) fn start(file: &Path, clock: &Clock) -> Result<Self, Error> {
        let (pin, connection) = (connect(file, clock)?, connect(file, clock)?);
        let (orders, ordered) = mpsc::channel();
        let (ended, results) = mpsc::channel();
        let run = move || {
            for () in ordered {
                let result = wal::run(&connection, Checkpoint::Passive).map(drop);
                if ended.send(result).is_err() {
                    return;
                }
            }
        };
        let name = "postroom-log";
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|source| Error::File { path: name.into(), source })?;
        Ok(Self { pin, orders: Some(orders), results, thread: Some(thread), is_running: false })
    }

    /// Keeps in the log what is committed from now on.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub(super) fn pin(&self) -> Result<(), Error> {
        // A transaction reads from the moment of its first statement.
        let begin = "BEGIN; SELECT 1 FROM \"sqlite_master\" LIMIT 1";
        self.pin.execute_batch(begin).map_err(statement::failed)
    }

    /// Begins to write back what was committed before the pin.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: the thread has ended.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        self.is_running = self.orders.as_ref().is_some_and(|orders| orders.send(()).is_ok());
        if self.is_running { Ok(()) } else { Err(Error::Closed) }
    }

    /// Whether a checkpoint was begun, and its result was not taken yet.
    pub(super) const fn is_running(&self) -> bool {
        self.is_running
    }

    /// The result, if the checkpoint is at its end. The pin stays.
    pub(super) fn result(&mut self) -> Option<Result<(), Error>> {
        let result = match self.results.try_recv() {
            Ok(result) => result,
            Err(mpsc::TryRecvError::Empty) => return None,
            Err(mpsc::TryRecvError::Disconnected) => Err(Error::Closed),
        };
        self.is_running = false;
        Some(result)
    }

    /// Waits for the result of the checkpoint that runs. The pin stays.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        self.is_running = false;
        self.results.recv().unwrap_or(Err(Error::Closed))
    }

    /// Takes the pin out, so that the log can be written back to its end.
    pub(super) fn release(&mut self) {
        if !self.pin.is_autocommit()
            && let Err(error) = self.pin.execute_batch("COMMIT")
        {
            tracing::error!(%error, "the log of the database is kept from being written back");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.orders = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the log failed, which is a fault of Postroom");
        }
    }
}
