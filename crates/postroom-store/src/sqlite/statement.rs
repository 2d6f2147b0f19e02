//! One statement at one SQLite connection.

use crate::database::Outcome;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::ffi;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::sync::Arc;

/// Runs a statement. If it returns rows, `changed` is their number.
pub(super) fn run(connection: &Connection, statement: &Statement) -> Result<Outcome, Error> {
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
    // The parameters of a statement from the cache are NULL.
    let values = statement.values.iter().enumerate().filter(|(_, value)| **value != Value::Null);
    for (at, value) in values {
        // `$3` is a name to SQLite: its index is that of its first place in the text.
        if let Some(index) = prepared.parameter_index(&name(at + 1)).map_err(failed)? {
            prepared.raw_bind_parameter(index, bound(value)).map_err(failed)?;
        }
    }
    let columns = prepared.column_count();
    if columns == 0 {
        let changed = prepared.raw_execute().map_err(failed)?;
        return Ok(Outcome { changed, rows: vec![] });
    }
    let mut found = prepared.raw_query();
    let (mut rows, mut size_bytes) = (vec![], 0);
    while size_bytes <= statement.bytes_max
        && let Some(row) = found.next().map_err(failed)?
    {
        let values: Result<_, _> = (0..columns).map(|at| row.get_ref(at).map(read)).collect();
        let row = Row(values.map_err(failed)?);
        size_bytes += row.size_bytes();
        rows.push(row);
    }
    Ok(Outcome { changed: rows.len(), rows })
}

/// The name of a placeholder, from 1. The usual ones are constants, so that they need no memory.
fn name(number: usize) -> Cow<'static, str> {
    const NAMES: [&str; 80] = [
        "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14",
        "$15", "$16", "$17", "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27",
        "$28", "$29", "$30", "$31", "$32", "$33", "$34", "$35", "$36", "$37", "$38", "$39", "$40",
        "$41", "$42", "$43", "$44", "$45", "$46", "$47", "$48", "$49", "$50", "$51", "$52", "$53",
        "$54", "$55", "$56", "$57", "$58", "$59", "$60", "$61", "$62", "$63", "$64", "$65", "$66",
        "$67", "$68", "$69", "$70", "$71", "$72", "$73", "$74", "$75", "$76", "$77", "$78", "$79",
        "$80",
    ];
    match NAMES.get(number - 1) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(format!("${number}")),
    }
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Boolean(flag) => ValueRef::Integer(i64::from(*flag)),
        Value::Whole(number) | Value::Moment(number) => ValueRef::Integer(*number),
        Value::Float(number) => ValueRef::Real(*number),
        Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        Value::Id(id) => ValueRef::Blob(id.as_bytes()),
    })
}

fn read(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Whole(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// Sorts an error of SQLite by what its caller can do.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::OperationInterrupted) => Error::TooSlow,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { what: "pages" }
        }
        Some(ErrorCode::Unknown) if is_too_deep(&error) => Error::TooDeep,
        // The index of the log is a file too.
        _ if is_log_index_full(&error) => Error::Full,
        Some(ErrorCode::ConstraintViolation) => violated(error),
        _ => Error::Database(Arc::new(error)),
    }
}

/// Whether a filter nests deeper than SQLite allows. Only the text of the error says so.
fn is_too_deep(error: &rusqlite::Error) -> bool {
    error.to_string().contains("Expression tree is too large")
}

/// Whether there was no space for the index of the log, which SQLite calls an error of the disk.
fn is_log_index_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// The failed condition for a violated constraint. If no caller can violate the constraint, it is a
/// fault of Postroom and not a condition.
fn violated(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    match (code, constraint(&error.to_string())) {
        // SQLite does not name the reference. The conditions of batches name it.
        (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, _) => Error::Condition(Failed::Referred),
        (
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_ROWID,
            Some(name),
        ) => Error::Condition(Failed::of_constraint(&name)),
        _ => Error::Database(Arc::new(error)),
    }
}

/// The name of a violated constraint. SQLite has it only in the text of the error. An index is
/// named as `index 'NAME'`. A key is named by its columns, `TABLE.COLUMN, TABLE.COLUMN`, which
/// become `TABLE(COLUMN, COLUMN)`.
fn constraint(text: &str) -> Option<String> {
    let (_, about) = text.rsplit_once("constraint failed: ")?;
    if let Some(index) = about.strip_prefix("index '") {
        return index.strip_suffix('\'').map(str::to_owned);
    }
    let (table, _) = about.split_once('.')?;
    let columns = about.split(", ").filter_map(|column| Some(column.rsplit_once('.')?.1));
    Some(format!("{table}({})", columns.collect::<Vec<_>>().join(", ")))
}

/// The same error once more, for another batch of the same transaction.
pub(super) fn again(error: &Error) -> Error {
    match error {
        Error::Full => Error::Full,
        Error::TooSlow => Error::TooSlow,
        Error::TooDeep => Error::TooDeep,
        Error::Database(source) => Error::Database(Arc::clone(source)),
        Error::Condition(_)
        | Error::Crowded
        | Error::Closed
        | Error::Unreachable { .. }
        | Error::NotLetIn { .. }
        | Error::Objects { .. }
        | Error::ObjectsLeftAlone
        | Error::ObjectsConfig { .. }
        | Error::OtherObjects { .. }
        | Error::OutcomeUnknown
        | Error::DatabaseAddress { .. }
        | Error::Damaged { .. }
        | Error::WalMissing { .. }
        | Error::WalForeign { .. }
        | Error::Locked { .. }
        | Error::File { .. }
        | Error::IllegalStep(_)
        | Error::NotLeading
        | Error::WrongType { .. }
        | Error::KeyForm
        | Error::KeyMissing { .. }
        | Error::KeyDiffers { .. }
        | Error::MasterInUse { .. }
        | Error::SecretKeyGone
        | Error::SecretNewer
        | Error::Moved { .. }
        | Error::Newer { .. } => Error::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violated_constraint_has_its_name() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE \"email/Folders\" (\"id\" BLOB PRIMARY KEY, \"name\" TEXT);
            CREATE UNIQUE INDEX \"email/Folders one each\" ON \"email/Folders\" (UPPER(\"name\"));
            CREATE TABLE \"once\" (\"domain\" TEXT, \"class\" TEXT, \"key\" TEXT NOT NULL,
              PRIMARY KEY (\"domain\", \"class\", \"key\"))";
        connection.execute_batch(tables).unwrap();
        let run = |sql: &'static str| run(&connection, &Statement::new(sql)).unwrap_err();
        #[rustfmt::skip]
        let table = [
            ("INSERT INTO \"email/Folders\" VALUES (x'01', 'a'), (x'01', 'b')",
             Failed::Exists { what: "an entity of this id".to_owned() }),
            ("INSERT INTO \"email/Folders\" VALUES (x'01', 'a'), (x'02', 'A')", Failed::OneFolder),
            ("INSERT INTO \"once\" VALUES ('a', 'b', 'c'), ('a', 'b', 'c')", Failed::KeyUsed),
        ];
        for (sql, want) in table {
            let error = run(sql);
            let found = if let Error::Condition(failed) = &error { Some(failed) } else { None };
            assert_eq!(found, Some(&want), "{error:?} for {sql}");
        }
        let fault = run("INSERT INTO \"once\" VALUES ('a', 'b', NULL)");
        assert!(matches!(fault, Error::Database(_)), "{fault:?}");
    }
}
