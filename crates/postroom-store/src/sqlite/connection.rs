//! Connections to the file of a database.

use crate::clock::Clock;
use crate::error::Error;
use crate::sqlite::full_text;
use crate::sqlite::statement;
use crate::sqlite::texts;
use crate::sqlite::texts::IsOver;
use crate::sqlite::time;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection waits for another process that has locked the database.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// How deep conditions may nest, counted as SQLite does: it adds the depth of a query to that of
/// each query within it. SQLite has this maximum unless it is built with another.
const EXPRESSION_DEPTH_MAX: i32 = 1000;
/// The size of the pages of a new database. A commit writes whole pages into the log, so that a
/// creation costs more with larger ones. Smaller ones make the trees of indexes deeper, and take
/// more steps to store a message. A database keeps the size that it was made with.
const PAGE_BYTES: &str = "8192";
/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 128;

/// Makes the file, readable by its owner only. SQLite gives the files beside it the same
/// permissions.
pub(super) fn make(file: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    made.map(drop).map_err(|source| Error::File { path: file.to_owned(), source })
}

/// Opens a connection with the settings that all connections have.
pub(super) fn connect(file: &Path, clock: &Clock) -> Result<Connection, Error> {
    let connection = Connection::open(file).map_err(statement::failed)?;
    connection.busy_timeout(BUSY).map_err(statement::failed)?;
    for (pragma, value) in [
        ("page_size", PAGE_BYTES),
        ("auto_vacuum", "INCREMENTAL"),
        ("synchronous", "FULL"),
        ("secure_delete", "ON"),
        ("foreign_keys", "ON"),
        ("cell_size_check", "ON"),
        ("cache_size", "-8192"),
        ("temp_store", "MEMORY"),
        ("journal_size_limit", "67108864"),
    ] {
        // Some of these return the value that they were set to.
        connection.pragma_update(None, pragma, value).map_err(statement::failed)?;
    }
    // An unknown name in double quotes is an error. SQLite would take it as a text.
    for config in [DbConfig::SQLITE_DBCONFIG_DQS_DML, DbConfig::SQLITE_DBCONFIG_DQS_DDL] {
        connection.set_db_config(config, false).map_err(statement::failed)?;
    }
    // Without this, a statement that compares a parameter with the constant of a partial index is
    // prepared anew each time it gets values, which takes longer than running it.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(statement::failed)?;
    // SQLite may have been built with another limit, and behaviour must not depend on that.
    connection
        .set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH_MAX)
        .map_err(statement::failed)?;
    // A reader replaces these functions by ones that obey its limit of time.
    let never: IsOver = Arc::new(|| false);
    texts::teach(&connection, &never)?;
    time::teach(&connection, clock.clone())?;
    connection.execute_batch(full_text::TERMS).map_err(statement::failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_prepared_once_for_all_values() {
        let directory = tempfile::tempdir().unwrap();
        let connection = connect(&directory.path().join("db"), &Clock::system()).unwrap();
        let table = "CREATE TABLE t (a INTEGER, b TEXT);
            CREATE INDEX sending ON t (a) WHERE b = 'sending';
            CREATE INDEX t_b ON t (b)";
        connection.execute_batch(table).unwrap();
        let mut statement = connection.prepare("SELECT a FROM t WHERE b = $1").unwrap();
        for value in ["sending", "sent", "sending"] {
            assert!(!statement.exists([value]).unwrap());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
