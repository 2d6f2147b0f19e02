//! What a way to a SQLite database does: one has threads, the other has tasks of the runtime.

use crate::database::Answer;
use crate::database::Row;
use crate::database::Statement;
use crate::sqlite::writing::WriteChannel;

/// A way to a SQLite database.
pub(crate) trait Access: Send + Sync + std::fmt::Debug {
    /// Reads.
    fn read(&self, statement: Statement) -> Answer<Vec<Row>>;

    /// The way to the one who writes.
    fn writes(&self) -> &WriteChannel;

    /// Ends it with everything in its file, and waits for that.
    fn close(&self);
}
