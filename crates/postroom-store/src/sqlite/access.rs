//! The common interface of the two ways to run SQLite: with threads, or with tasks of the runtime.

use crate::database::Answer;
use crate::database::Row;
use crate::database::Statement;
use crate::sqlite::writing::WriteChannel;

/// A SQLite database that runs in one of these ways.
pub(crate) trait Access: Send + Sync + std::fmt::Debug {
    /// Reads.
    fn read(&self, statement: Statement) -> Answer<Vec<Row>>;

    /// The channel to the writer.
    fn writes(&self) -> &WriteChannel;

    /// Closes the database with everything in its file, and waits for that.
    fn close(&self);
}
