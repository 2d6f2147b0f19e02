//! What a way to a SQLite database does: one has threads, the other has tasks of the runtime.

use crate::database::Answer;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;

/// A way to a SQLite database.
pub(crate) trait Access: Send + Sync + std::fmt::Debug {
    /// Reads.
    fn read(&self, statement: Statement) -> Answer<Vec<Row>>;

    /// Writes all statements or none.
    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>>;

    /// Gives back a little space. The answer says whether there is more.
    fn tidy(&self) -> Answer<bool>;

    /// Ends it with everything in its file, and waits for that.
    fn close(&self);
}
