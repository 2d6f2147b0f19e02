//! The id of a database below the place of its objects: the first part of their names. A copy gets
//! an id of its own.

use crate::database::Statement;

/// The row of `meta` with the id of the database below its place.
pub(crate) const ID: &str = "objects id";
/// The row of `meta` with the id of the database that this one was copied from.
const FORMER_ID: &str = "objects former id";

/// What a copy needs so that its objects have names of their own: the next start gives it an id.
pub(crate) fn own_name() -> Vec<Statement> {
    let moved = "UPDATE \"meta\" SET \"name\" = $1 WHERE \"name\" = $2";
    vec![
        Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(FORMER_ID),
        Statement::new(moved).bind(FORMER_ID).bind(ID),
        Statement::new("DELETE FROM \"object gone\""),
    ]
}

/// What a copy needs that takes over the objects of the database that it was copied from.
pub(crate) fn former_name() -> Vec<Statement> {
    let moved = "UPDATE \"meta\" SET \"name\" = $1 WHERE \"name\" = $2
        AND NOT EXISTS (SELECT 1 FROM \"meta\" WHERE \"name\" = $1)";
    vec![Statement::new(moved).bind(ID).bind(FORMER_ID)]
}
