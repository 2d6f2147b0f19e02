//! What the conditions of a batch protect.

use postroom_model::EntityId;
use std::borrow::Cow;

/// What an assert protects until its batch is committed. A database with one writer does so anyway.
/// A database with several locks these rows before the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// The rows that are found: they stay, with their keys. What else is in them may change.
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
    /// A name that many lock at once, and whoever could break the rule locks as [`Self::Name`]. So
    /// they do not wait for each other, and no row is written that all of them look at.
    Shared(&'static str),
}

impl Lock {
    /// One row.
    pub fn row(table: impl Into<Cow<'static, str>>, id: impl Into<EntityId>) -> Self {
        Self::Row { table: table.into(), id: id.into() }
    }
}
