//! Copies a database as it is at one moment, even while a process uses it.

use crate::error::Error;
use crate::sqlite::connection::BUSY;
use crate::sqlite::connection::make;
use crate::sqlite::statement;
use crate::sqlite::wal;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::backup::Backup;
use rusqlite::backup::StepResult;
use rusqlite::config::DbConfig;
use std::path::Path;

/// All pages are copied in one step, so that they are of one moment. A writer continues in the log.
const ALL_PAGES: i32 = -1;

/// Copies the database in `file`, with its log, to the new file `to`, which only its owner can
/// read. The log stays as it is.
///
/// # Errors
///
/// When the log is missing, or one of the files cannot be read or written.
pub(crate) fn copy(file: &Path, to: &Path) -> Result<(), Error> {
    wal::before_open(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(file, flags).map_err(statement::failed)?;
    source.busy_timeout(BUSY).map_err(statement::failed)?;
    source
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(statement::failed)?;
    make(to)?;
    let mut target = Connection::open(to).map_err(statement::failed)?;
    let backup = Backup::new(&source, &mut target).map_err(statement::failed)?;
    match backup.step(ALL_PAGES).map_err(statement::failed)? {
        StepResult::Done => Ok(()),
        // Nobody else has the new file, and a reader of the log waits for nobody.
        StepResult::More | StepResult::Busy | StepResult::Locked | _ => {
            Err(Error::Damaged { what: "the copy of the database" })
        }
    }
}
