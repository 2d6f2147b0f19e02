//! The foreign keys of the tables, as the database has them.
//!
//! The column of a required property of the type `entity` has one. It stays with the column when
//! the property is removed or refers to another class, until the column is dropped. While it is
//! there, the table to which it refers must be there too: without it, SQLite writes nothing into
//! the table of the key, and PostgreSQL does not drop it.

use crate::database::Database;
use crate::database::Statement;
use crate::error::Error;

/// A column whose values are ids of the rows of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// The table of the column.
    pub table: String,
    /// The column.
    pub column: String,
    /// The table to which it refers. In SQLite, it may be gone.
    pub target: String,
}

impl ForeignKey {
    /// Whether it is the key of this column.
    pub(crate) fn is_of(&self, table: &str, column: &str) -> bool {
        self.table == table && self.column == column
    }
}

/// All foreign keys from one table to another.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn all(database: &dyn Database) -> Result<Vec<ForeignKey>, Error> {
    let mut keys = every(database).await?;
    keys.retain(|key| key.table != key.target);
    Ok(keys)
}

/// The same with those that lead from a table to itself.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn every(database: &dyn Database) -> Result<Vec<ForeignKey>, Error> {
    const DAMAGED: Error = Error::Damaged { what: "a foreign key" };
    let rows = database.read(Statement::new(database.dialect().foreign_keys())).await?;
    let mut keys = vec![];
    for row in rows {
        let text = |column| row.text(column).map(str::to_owned).ok_or(DAMAGED);
        keys.push(ForeignKey { table: text(0)?, column: text(1)?, target: text(2)? });
    }
    Ok(keys)
}
