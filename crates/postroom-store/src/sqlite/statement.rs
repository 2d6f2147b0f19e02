//! One statement at one SQLite connection.

use crate::database::Outcome;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::ffi;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::sync::Arc;

/// Runs a statement. `changed` counts the rows of RETURNING when there is one.
pub fn run(connection: &Connection, statement: &Statement) -> Result<Outcome, Error> {
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
    for (at, value) in statement.values.iter().enumerate() {
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

/// The name of a placeholder, from 1. Those of every day are not made anew.
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
pub fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::OperationInterrupted) => Error::TooSlow,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { what: "pages" }
        }
        // The index of the log is a file too.
        _ if is_log_index_full(&error) => Error::Full,
        Some(ErrorCode::ConstraintViolation) => Error::Exists { what: constraint(&error) },
        _ => Error::Database(Arc::new(error)),
    }
}

/// Whether there was no space for the index of the log, which SQLite calls an error of the disk.
fn is_log_index_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// What a violated constraint is about: `UNIQUE constraint failed: email/Messages.id` and so on.
fn constraint(error: &rusqlite::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_owned()
}

/// The same error once more, for another batch of the same transaction.
pub fn again(error: &Error) -> Error {
    match error {
        Error::Full => Error::Full,
        Error::TooSlow => Error::TooSlow,
        Error::Database(source) => Error::Database(Arc::clone(source)),
        Error::Exists { .. }
        | Error::Reference { .. }
        | Error::InUse { .. }
        | Error::Busy { .. }
        | Error::SameLogin
        | Error::Condition { .. }
        | Error::Rule { .. }
        | Error::Closed
        | Error::Damaged { .. }
        | Error::WalMissing { .. }
        | Error::WalForeign { .. }
        | Error::Locked { .. }
        | Error::File { .. }
        | Error::KeyForm
        | Error::KeyMissing { .. }
        | Error::KeyDiffers
        | Error::Newer { .. } => Error::Closed,
    }
}
