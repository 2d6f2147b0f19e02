//! What the store could not do.

use crate::failed::Failed;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A condition of the batch did not hold; nothing of it was done.
    #[error("{0}")]
    Condition(Failed),
    /// Reading took longer than it may.
    #[error("the query takes too long: narrow its filter, or leave out the order or the count")]
    TooSlow,
    /// There is no space left for the database.
    #[error("the disk is full")]
    Full,
    /// The database's file cannot be read or written.
    #[error("the database does not work")]
    Database(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The database has ended.
    #[error("the database is closed")]
    Closed,
    /// What was read is not what was written.
    #[error("the database holds {what} that cannot be read")]
    Damaged {
        /// What it is.
        what: &'static str,
    },
    /// The database is without the log that it had: it was copied without it.
    #[error(
        "{} is not whole: it was copied without `postroom.db-wal`, which held its latest changes. \
         Copy the whole data directory, while Postroom is stopped; or, while it runs, use \
         `sqlite3 postroom.db \".backup COPY\"` and copy `key` beside it",
        .path.display()
    )]
    WalMissing {
        /// The database's file.
        path: PathBuf,
    },
    /// The log beside the database is that of another time.
    #[error(
        "{} and the file `-wal` beside it are not of the same moment: they were copied one after \
         the other while Postroom ran, and mail is missing in them. Copy the data directory while \
         Postroom is stopped; or, while it runs, use `sqlite3 postroom.db \".backup COPY\"`",
        .path.display()
    )]
    WalForeign {
        /// The database's file.
        path: PathBuf,
    },
    /// The data directory is used by another process.
    #[error("the data directory {} is in use by another process", .directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of the data directory cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key is of another form.
    #[error("a key is 64 hexadecimal digits")]
    KeyForm,
    /// There is a database, but no key to it.
    #[error("{} is missing: put it back, or set POSTROOM_MASTER_KEY", .path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The key is not the one that the database was made with.
    #[error("the key is not the one that this data directory was made with")]
    KeyDiffers,
    /// The database was made by a later version.
    #[error("the database has schema {found}; this version knows {known}: use a newer Postroom")]
    Newer {
        /// The version of its schema.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
}
