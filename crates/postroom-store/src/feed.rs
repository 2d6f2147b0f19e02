//! The change feed: one row for each change of an entity, in the transaction of the change.
//!
//! A row holds only what the change replaced, so a create costs a few bytes: the state after any
//! change is the present row with the later changes undone. Of an entity that was deleted only the
//! id stays. Old rows go after [`RETAINED`] later ones.

use crate::database::Statement;
use postroom_model::Class;
use postroom_model::Domain;
use serde_json::Map;
use serde_json::Value as Json;
use uuid::Uuid;

/// How many rows are kept.
pub const RETAINED: i64 = 1_000_000;

/// What happened to an entity; the numbers are those of the subscription events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is gone.
    Delete,
    /// It is new.
    Create,
    /// It has other values.
    Change,
}

/// The statement that writes one row of the feed, as of `at_ms`.
pub fn row(
    at_ms: i64,
    domain: &Domain,
    class: &Class,
    (id, operation): (Uuid, Operation),
    replaced: Option<&Map<String, Json>>,
) -> Statement {
    let operation = match operation {
        Operation::Delete => 0_i64,
        Operation::Create => 1,
        Operation::Change => 2,
    };
    let replaced = replaced.and_then(|replaced| serde_json::to_string(replaced).ok());
    Statement::new(
        "INSERT INTO \"change\"
           (\"domain\", \"class\", \"entity\", \"operation\", \"at\", \"replaced\")
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(domain.as_str())
    .bind(class.classname.as_str())
    .bind(id)
    .bind(operation)
    .bind(at_ms)
    .bind(replaced)
}

/// The statement that forgets what changes of an entity replaced.
pub fn forget(entity: Uuid) -> Statement {
    let sql = "UPDATE \"change\" SET \"replaced\" = NULL
        WHERE \"entity\" = $1 AND \"replaced\" IS NOT NULL";
    Statement::new(sql).bind(entity)
}

/// The statement that takes away the rows that are no longer kept.
pub fn trim() -> Statement {
    Statement::new(
        "DELETE FROM \"change\"
         WHERE \"seq\" <= (SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\") - $1",
    )
    .bind(RETAINED)
}
