//! Gives the space of deleted rows back to the disk, a few pages at a time.

use crate::error::Error;
use crate::sqlite::statement;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How many free pages the file keeps, so that its size does not change with every message.
const KEPT_PAGES: i64 = 64;

/// Gives back at most so many free pages. Returns whether there are more.
pub(super) fn give_back(connection: &Connection, step_pages: i64) -> Result<bool, Error> {
    let free = whole(connection, "PRAGMA freelist_count")? - KEPT_PAGES;
    if free <= 0 || whole(connection, "PRAGMA auto_vacuum")? != INCREMENTAL {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({})", free.min(step_pages));
    let mut step = connection.prepare(&sql).map_err(statement::failed)?;
    let mut pages = step.raw_query();
    // Each page is a row.
    while pages.next().map_err(statement::failed)?.is_some() {}
    Ok(free > step_pages)
}

/// The `auto_vacuum` mode in which a database gives back pages when it is asked to.
const INCREMENTAL: i64 = 2;

/// Converts a database of an earlier version so that it can give pages back. This rewrites the file
/// once. If there is no space for that, the file stays as it is.
///
/// # Errors
///
/// When the file cannot be read, or the new one not be put in its place.
pub(super) fn prepare(file: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { path: file.to_owned(), source };
    if !is_of_an_earlier_version(file).map_err(failed)? {
        return Ok(());
    }
    let new = file.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(statement::failed)?;
    let bytes = whole(&connection, "PRAGMA page_count")? * whole(&connection, "PRAGMA page_size")?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let disk = rustix::fs::statvfs(directory).map_err(|errno| failed(errno.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free / 2 < u64::try_from(bytes).unwrap_or(u64::MAX) {
        tracing::warn!(
            bytes,
            free,
            "the database is of an earlier version: the space of deleted mail is reused, but not \
             given back to the disk. If twice its size is free, the next start converts it"
        );
        return Ok(());
    }
    tracing::info!(
        bytes,
        "the database is rewritten once, so that it can give space back to the \
                           disk"
    );
    let replaced = write_anew(&connection, &new).and_then(|()| {
        drop(connection);
        std::fs::rename(&new, file).map_err(failed)
    });
    if replaced.is_err() {
        // What is left of it is removed at the next start.
        let _ = std::fs::remove_file(&new);
    }
    replaced?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Whether the header of the file (SQLite's file format, §1.3) says that it cannot give back pages.
fn is_of_an_earlier_version(file: &Path) -> std::io::Result<bool> {
    let mut header = [0; 68];
    match File::open(file).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {
            let is_set = |at: usize| header.get(at..at + 4).is_some_and(|field| field != [0; 4]);
            Ok(!(is_set(52) && is_set(64)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_anew(connection: &Connection, new: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { path: new.to_owned(), source };
    crate::sqlite::connection::make(new)?;
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL).map_err(statement::failed)?;
    let name = new.to_str().ok_or(Error::Damaged { what: "a path beyond Unicode" })?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(statement::failed)?;
    // The log must be empty before the file takes another's place: it is not that one's log.
    let empty = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let is_busy: i64 = empty.map_err(statement::failed)?;
    if is_busy != 0 {
        return Err(Error::Locked { directory: new.with_file_name("") });
    }
    File::open(new).and_then(|file| file.sync_all()).map_err(failed)
}

fn whole(connection: &Connection, sql: &str) -> Result<i64, Error> {
    connection.query_row(sql, [], |row| row.get(0)).map_err(statement::failed)
}
