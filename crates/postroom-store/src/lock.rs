//! What is locked by the conditions of a batch.

use postroom_model::EntityId;
use std::borrow::Cow;

/// What nobody else may change between an assert and the commit of its batch. A database with one
/// writer needs no locks for this. A database with several writers locks it before the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// The rows that are found. They cannot be deleted, and their keys cannot change. Other columns
    /// may change.
    Found,
    /// One row that every writer that could break the rule locks first, because a missing row
    /// cannot be locked.
    Row {
        /// Its table.
        table: Cow<'static, str>,
        /// The value of its column `id`.
        id: EntityId,
    },
    /// A name that every writer that could break the rule locks first, because the rule is not
    /// about a single row.
    Name(&'static str),
    /// A name that many batches lock at the same time. A writer that could break the rule locks it
    /// as [`Self::Name`], and waits for all of them. They do not wait for each other.
    Shared(&'static str),
}

impl Lock {
    /// One row.
    pub fn row(table: impl Into<Cow<'static, str>>, id: impl Into<EntityId>) -> Self {
        Self::Row { table: table.into(), id: id.into() }
    }
}
