//! Why the store failed.

use crate::failed::Failed;
use postroom_model::state::IllegalStep;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A condition of the batch did not hold. Nothing of the batch was done.
    #[error("{0}")]
    Condition(Failed),
    /// Too many passwords are being checked.
    #[error("too many sign in at this moment; nothing was done: try again")]
    Crowded,
    /// Reading took too long.
    #[error("the query takes too long: use a narrower filter, or leave out the order or the count")]
    TooSlow,
    /// A filter nests deeper than the database takes. Nothing was read.
    #[error(
        "nests deeper than the database takes: use fewer `any`, `all` and references within one \
         another"
    )]
    TooDeep,
    /// There is no space left for the database.
    #[error("the disk is full; free some space, or delete messages")]
    Full,
    /// The database's file cannot be read or written.
    #[error("the database cannot be read or written")]
    Database(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The server of the database cannot be reached. Nothing was done.
    #[error("the database cannot be reached, and nothing was done: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The server of the database answers, and does not let Postroom in. Nothing was done.
    #[error("the server of the database does not let Postroom in, and nothing was done: {reason}")]
    NotLetIn {
        /// Why, and what to do.
        reason: String,
    },
    /// The connection to the database was lost at the end of a change, and the database could not
    /// be asked since.
    #[error(
        "the connection to the database was lost at the end of the change: it may be done or not. \
         Look whether it is before you try again"
    )]
    OutcomeUnknown,
    /// The address of the database cannot be used, or its server cannot.
    #[error("the database cannot be used: {reason}")]
    DatabaseAddress {
        /// Why.
        reason: String,
    },
    /// The object store cannot be used now. Nothing was done.
    #[error("the contents at {place} cannot be reached, and nothing was done: {reason}")]
    Objects {
        /// Where it is.
        place: String,
        /// Why.
        reason: String,
    },
    /// The content is an object, and this process was told to leave objects alone.
    #[error("this content is an object, and objects are not read here")]
    ObjectsLeftAlone,
    /// The settings of the object store cannot be used.
    #[error("{reason}")]
    ObjectsConfig {
        /// Why.
        reason: String,
    },
    /// The database has its contents at another place.
    #[error(
        "the contents of this database are at {known}{}: start it with --blobs {known}",
        .given.as_ref().map(|given| format!(", not at {given}")).unwrap_or_default()
    )]
    OtherObjects {
        /// The place that the database knows.
        known: String,
        /// The place that was given.
        given: Option<String>,
    },
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// This store was not made by [`crate::Store::lead`], so it may not do the engine's work.
    #[error(
        "this process does not lead its group, so it receives and sends no mail: `/rest/v1/nodes` \
         says which one does"
    )]
    NotLeading,
    /// The message cannot take this step from its state. Nothing of it was done.
    #[error("the state of the message was not changed: {0}")]
    IllegalStep(#[from] IllegalStep),
    /// A value is not of the type of its property, so it is not stored.
    #[error("`{property}` of {class} is of another type: it takes {wanted}")]
    WrongType {
        /// The class.
        class: String,
        /// The property.
        property: String,
        /// What its values are.
        wanted: &'static str,
    },
    /// Stored data is damaged.
    #[error("{}", damage(.what))]
    Damaged {
        /// What it is.
        what: &'static str,
    },
    /// The write-ahead log of the database is missing: the database was copied without it.
    #[error(
        "{} is incomplete: it was copied without `postroom.db-wal`, which had its latest changes. \
         Copy the whole data directory while Postroom is stopped. Or, while it runs, use \
         `sqlite3 postroom.db \".backup COPY\"`, and copy `key` beside it",
        .path.display()
    )]
    WalMissing {
        /// The database's file.
        path: PathBuf,
    },
    /// The database and its write-ahead log were copied at different moments.
    #[error(
        "{} and the file `-wal` beside it are from different moments: they were copied one after \
         the other while Postroom ran, and mail is missing in them. Copy the data directory while \
         Postroom is stopped. Or, while it runs, use `sqlite3 postroom.db \".backup COPY\"`",
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
    /// The key does not have the right form.
    #[error(
        "the master key must be 64 hexadecimal digits, as in the file `key` of a data directory"
    )]
    KeyForm,
    /// The data directory has a database, but no key.
    #[error(
        "{} is missing, and nothing else opens the passwords: put it back, or give the key with \
         --master-key-file",
        .path.display()
    )]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The master key is not one that the database accepts.
    #[error(
        "this is not the key of this data: the given one has the mark {given}, and the data takes \
         {known}. Use the file `key` of the data directory with which it was used before, or the \
         key of the last `postroom rotate-key`"
    )]
    KeyDiffers {
        /// The mark of the given key.
        given: String,
        /// The marks of those that are accepted.
        known: String,
    },
    /// A process runs with another master key.
    #[error(
        "still on the other key: {nodes}. After this, it could not start again with that one: give \
         it this key, and start it again. Nothing was done"
    )]
    MasterInUse {
        /// The names of such processes.
        nodes: String,
    },
    /// The key of the domain of a secret is not in the database.
    #[error(
        "a secret cannot be opened, because the key of its domain is not in the database: the \
         domain was deleted"
    )]
    SecretKeyGone,
    /// A secret was sealed by a later version.
    #[error(
        "a later version of Postroom has encrypted a secret, and this one is too old for it: use \
         that version, or save the secret again"
    )]
    SecretNewer,
    /// The data was moved to another database, or is being moved.
    #[error("{reason}")]
    Moved {
        /// What to do.
        reason: &'static str,
    },
    /// The database was made by a later version.
    #[error(
        "the database has schema {found}, and this version knows {known}: it is too old for it, \
         and stops. Use a newer Postroom"
    )]
    Newer {
        /// The version of its schema.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
}

/// What [`Error::Damaged`] says of a content that is an object.
pub const DAMAGED_OBJECT: &str = "an object of the bucket";

fn damage(what: &str) -> String {
    match what {
        DAMAGED_OBJECT => {
            "the object of this content is missing in the bucket, or has other bytes \
                           than were written, so it is not served; bring the object back from the \
                           versions of the bucket, or from a copy of it: the log names both"
                .to_owned()
        }
        _ => format!("the database is damaged: {what} cannot be read"),
    }
}

impl Error {
    /// Whether it is about the one entity that a request was about, so that work on many goes on
    /// with the others. A process that no longer leads records nothing, whatever it was about.
    #[must_use]
    pub fn is_about_one(&self) -> bool {
        matches!(self, Self::Condition(failed) if *failed != Failed::Deposed)
            || matches!(
                self,
                Self::WrongType { .. }
                    | Self::IllegalStep(_)
                    | Self::TooSlow
                    | Self::TooDeep
                    | Self::Damaged { .. }
                    | Self::SecretKeyGone
            )
    }
}
