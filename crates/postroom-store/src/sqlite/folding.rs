//! Folding of texts, as a function of SQL: SQLite's own knows the case of ASCII alone.

use crate::error::Error;
use crate::sqlite::dialect::FOLD;
use crate::sqlite::statement;
use postroom_model::fold;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::types::ValueRef;

/// Gives a connection the function. What is no text stays as it is.
///
/// # Errors
///
/// When the database does not take it.
pub fn teach(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let folded = connection.create_scalar_function(FOLD, 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(bytes) => match str::from_utf8(bytes) {
                Ok(text) => Value::Text(fold(text)),
                Err(_) => Value::Null,
            },
            other @ (ValueRef::Null
            | ValueRef::Integer(_)
            | ValueRef::Real(_)
            | ValueRef::Blob(_)) => Value::try_from(other)?,
        })
    });
    folded.map_err(statement::failed)
}
