//! Whether a process uses a database that a command is about to use alone.

use crate::columns;
use crate::copied::is_new_copy;
use crate::database::Database;
use crate::database::Statement;
use crate::error::Error;

/// Whether a database has data of Postroom.
///
/// # Errors
///
/// If the database fails.
pub async fn is_filled(database: &dyn Database) -> Result<bool, Error> {
    Ok(!columns::of_table(database, "owner").await?.is_empty())
}

/// Checks that a database has data, and that no process uses it.
///
/// # Errors
///
/// If it has none, a process uses it, or the database fails.
pub async fn nobody_uses(database: &dyn Database) -> Result<(), Error> {
    if !is_filled(database).await? {
        return Err(Error::Moved { reason: "there is no data in this database" });
    }
    unused(database).await
}

/// Checks that no process uses the database. What a fresh copy says about processes is about its
/// original.
pub(crate) async fn unused(database: &dyn Database) -> Result<(), Error> {
    let sql =
        format!("SELECT \"name\" FROM \"owner\" WHERE \"until\" >= {}", database.dialect().now());
    if database.read(Statement::new(sql)).await?.is_empty() || is_new_copy(database).await? {
        return Ok(());
    }
    let reason = "a process uses this database: stop it first. After a crash, or a kill, wait \
                  three minutes";
    Err(Error::Moved { reason })
}
