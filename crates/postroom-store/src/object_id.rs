//! The id of a database, which is the first part of the names of its objects. A copy gets an id of
//! its own.

use crate::database::Statement;

/// The row of `meta` with the id of the database.
pub(crate) const ID: &str = "objects id";
/// The row of `meta` with the id of the database from which this one was copied.
const FORMER_ID: &str = "objects former id";

/// The statements that let the next start give a copy an id of its own.
pub(crate) fn own_name() -> Vec<Statement> {
    let moved = "UPDATE \"meta\" SET \"name\" = $1 WHERE \"name\" = $2";
    vec![
        Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(FORMER_ID),
        Statement::new(moved).bind(FORMER_ID).bind(ID),
        Statement::new("DELETE FROM \"object gone\""),
    ]
}

/// The statements that let a copy take over the objects of the database from which it was copied.
pub(crate) fn former_name() -> Vec<Statement> {
    let moved = "UPDATE \"meta\" SET \"name\" = $1 WHERE \"name\" = $2
        AND NOT EXISTS (SELECT 1 FROM \"meta\" WHERE \"name\" = $1)";
    vec![Statement::new(moved).bind(ID).bind(FORMER_ID)]
}
