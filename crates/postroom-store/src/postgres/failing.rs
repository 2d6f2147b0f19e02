//! Sorts errors of PostgreSQL by what can be done.

use crate::database::Outcome;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::postgres::config::chain;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::DbError;
use tokio_postgres::error::Severity;
use tokio_postgres::error::SqlState;

/// How a batch or a query failed.
#[derive(Debug)]
pub(crate) enum Failing {
    /// It is refused, and would be refused again.
    Refused(Error),
    /// It collided with another one. Nothing was done, and another attempt may succeed.
    Conflict(Error),
    /// Its prepared statements are for former tables. Nothing was done.
    Outdated(Error),
    /// The connection is lost, and nothing was done.
    Lost(Error),
    /// The server has not answered in time. The connection is given up, and nothing was done.
    StoodStill(Error),
    /// The connection is lost, and the transaction may be committed or not.
    Unknown(UncertainBatch),
}

/// A transaction that may be committed or not.
#[derive(Debug)]
pub(crate) struct UncertainBatch {
    /// Its number.
    pub transaction: Value,
    /// [`PostgresSession::recovered`](crate::postgres::session::PostgresSession::recovered) of its
    /// session.
    pub recovered: String,
    /// The results of its statements, if it was committed.
    pub outcomes: Vec<Outcome>,
    /// How long the server is asked what became of it.
    pub asked_within: Duration,
}

impl Failing {
    /// The error for the caller, if it is not tried again.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(error)
            | Self::Conflict(error)
            | Self::Outdated(error)
            | Self::Lost(error)
            | Self::StoodStill(error) => error,
            Self::Unknown(_) => Error::OutcomeUnknown,
        }
    }
}

/// An error of the server, without its details, because these may have values.
#[derive(Debug)]
struct ServerError {
    code: String,
    message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL says {}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServerError {}

/// Postroom sets no limit to the time of such a statement, so an administrator, or a setting of the
/// server, has ended it. Nothing was done, and another attempt may succeed.
pub(crate) fn canceled(failing: Failing) -> Failing {
    if !matches!(failing, Failing::Refused(Error::TooSlow)) {
        return failing;
    }
    let reason = "its server canceled a statement (pg_cancel_backend, or a statement_timeout that \
                  is too short for Postroom)";
    Failing::Lost(Error::Unreachable { reason: reason.to_owned() })
}

/// Sorts an error of a statement. An error of COMMIT goes to [`says_undone`] first.
pub(crate) fn sorted(error: tokio_postgres::Error) -> Failing {
    let Some(told) = error.as_db_error() else {
        return if error.is_closed() || is_of_connection(&error) {
            Failing::Lost(Error::Unreachable { reason: chain(&error) })
        } else {
            Failing::Refused(Error::Database(Arc::new(error)))
        };
    };
    let other =
        || Error::Database(Arc::new(ServerError { code: code(told), message: message(told) }));
    match *told.code() {
        SqlState::UNIQUE_VIOLATION => Failing::Refused(violated(told)),
        SqlState::FOREIGN_KEY_VIOLATION => Failing::Refused(Error::Condition(Failed::Referred)),
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Failing::Conflict(other()),
        // A transaction that makes an index lets go of the table a moment before it ends.
        SqlState::INTERNAL_ERROR if message(told).starts_with("tuple concurrently ") => {
            Failing::Conflict(other())
        }
        // Another process made the same table, column or index at the same moment.
        SqlState::DUPLICATE_TABLE | SqlState::DUPLICATE_COLUMN => {
            Failing::Refused(Error::Condition(Failed::OtherClasses))
        }
        SqlState::QUERY_CANCELED => Failing::Refused(Error::TooSlow),
        SqlState::DISK_FULL => Failing::Refused(Error::Full),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            Failing::Refused(Error::Damaged { what: "pages" })
        }
        // The message is "cached plan must not change result type". The next arm is for a statement
        // that the server has forgotten.
        SqlState::FEATURE_NOT_SUPPORTED if message(told).contains("cached plan") => {
            Failing::Outdated(other())
        }
        SqlState::INVALID_SQL_STATEMENT_NAME => Failing::Outdated(other()),
        _ if ends_connection(told) => Failing::Lost(Error::Unreachable { reason: message(told) }),
        _ => Failing::Refused(other()),
    }
}

/// Whether an error of COMMIT proves that nothing was done. This is so if the server itself
/// reported the error and left the connection open.
pub(crate) fn says_undone(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|told| !ends_connection(told))
}

/// What to do when the server does not accept the login.
const LOGIN: &str = "; check the user in the address of the database, and its password \
                     (POSTROOM_DATABASE_PASSWORD or --database-password-file)";

/// Why no connection could be made.
pub(crate) fn unreachable(error: &tokio_postgres::Error) -> Error {
    let reason = match error.as_db_error() {
        Some(told) => message(told),
        None => chain(error),
    };
    let advice = match error.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => LOGIN,
        Some(&SqlState::INVALID_CATALOG_NAME) => "; make this database first, or name another",
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => "; let this user connect to the database",
        None if reason.contains("password missing") => LOGIN,
        Some(_) | None => return Error::Unreachable { reason },
    };
    Error::NotLetIn { reason: format!("{reason}{advice}") }
}

fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error);
    cause.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// Whether an error says that the server ends the connection, or accepts no changes.
fn ends_connection(told: &DbError) -> bool {
    let is_fatal = match told.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        None => matches!(told.severity(), "FATAL" | "PANIC"),
    };
    let code = told.code().code();
    is_fatal
        || code.starts_with("08")
        || code.starts_with("57P")
        || matches!(
            *told.code(),
            SqlState::TOO_MANY_CONNECTIONS | SqlState::READ_ONLY_SQL_TRANSACTION
        )
}

fn code(told: &DbError) -> String {
    told.code().code().to_owned()
}

fn message(told: &DbError) -> String {
    told.message().to_owned()
}

/// The failed condition for a violated constraint.
fn violated(told: &DbError) -> Error {
    Error::Condition(Failed::of_constraint(told.constraint().unwrap_or_default()))
}
