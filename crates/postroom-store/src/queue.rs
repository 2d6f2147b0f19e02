//! What other changes of a message mean for its place in the queue.

use crate::database::Statement;
use uuid::Uuid;

/// The statement that takes a message out of the queue while it is only due.
pub fn invalidate(message: Uuid) -> Statement {
    let sql = "DELETE FROM \"delivery\" WHERE \"message\" = $1 AND \"phase\" = 'due'";
    Statement::new(sql).bind(message)
}

/// The statement that makes a batch fail when a message is in the queue.
pub fn none_of(message: Uuid) -> Statement {
    let sql = "UPDATE \"meta\" SET \"name\" = \"name\" WHERE \"name\" = 'schema'
        AND NOT EXISTS (SELECT 1 FROM \"delivery\" WHERE \"message\" = $1)";
    Statement::new(sql).bind(message).must_change()
}
