//! What is not portable in SQL: each database says it in its own words.

use crate::column_kind::ColumnKind;
use crate::full_text_dialect::FullText;

/// The queries that together say where a database is, in numbers that differ for a copy that the
/// tools of its server made.
#[derive(Debug, Clone, Copy)]
pub struct PlaceQueries {
    /// Whether the server tells its number: 1 or 0.
    pub tells_server: &'static str,
    /// The number of the server, as a text.
    pub server: &'static str,
    /// The numbers of the database within the server and of a table within it, as a text.
    pub within: &'static str,
}

/// The SQL fragments that differ between databases. Arguments are column names and placeholders,
/// never values.
pub trait Dialect: Send + Sync {
    /// The type of a column for values of this kind.
    fn column_type(&self, kind: ColumnKind) -> &'static str;

    /// The time of day by the clock of the database, in milliseconds since 1970.
    fn now(&self) -> &'static str;

    /// That time so many milliseconds later.
    fn after_now(&self, ms: u128) -> String;

    /// The definition of a column whose values the database counts up, as the primary key.
    fn serial(&self) -> &'static str;

    /// What keeps the rows of a table in the order of its primary key. May be empty.
    fn clustered(&self) -> &'static str;

    /// How a column is computed from others, without taking space where that is possible.
    fn computed(&self) -> &'static str;

    /// The type of a column that says which transaction made a row, where several run at once.
    fn transaction(&self) -> &'static str;

    /// The statement that keeps the database from compressing a column again whose bytes are
    /// compressed already. Empty where it never does.
    fn incompressible(&self, table: &str, column: &str) -> String;

    /// The number of a change, whose place in its batch is bound at `placeholder`.
    fn seq(&self, placeholder: &str) -> String;

    /// The statement that counts on by as many changes as `$1` says. `None`: the numbers need none.
    fn seq_counted(&self) -> Option<&'static str>;

    /// All smaller numbers are visible, or never will be. `None`: all numbers that are visible.
    fn seq_settled(&self) -> Option<&'static str>;

    /// What `meta` must have at least as `seq` so that the next number is greater than all in the
    /// feed.
    fn seq_raised(&self) -> &'static str;

    /// The query for the names of the columns of the table bound at `$1`.
    fn columns(&self) -> &'static str;

    /// The query for the names of the columns of the table bound at `$1` that refer to another
    /// table, and whose target the database keeps.
    fn references(&self) -> &'static str;

    /// The query for the names of the indexes that begin with the text bound at `$1`, and work.
    fn indexes(&self) -> &'static str;

    /// An id as a constant, by its 32 hexadecimal digits.
    fn id(&self, digits: &str) -> String;

    /// A moment as a constant, in milliseconds since 1970.
    fn moment(&self, ms: i64) -> String;

    /// What orders by a column from the least value on, with NULL before all.
    fn ascending(&self) -> &'static str;

    /// What orders by a column from the greatest value on, with NULL behind all.
    fn descending(&self) -> &'static str;

    /// How a column of an index is ordered so that it serves both.
    fn indexed(&self) -> &'static str;

    /// A placeholder for a value of a kind, where nothing else says of which type it is.
    fn typed(&self, placeholder: &str, kind: ColumnKind) -> String;

    /// The items of JSON, as a table that is named `item`: those of a list, none of null, or what
    /// is no list as the only one.
    fn json_items(&self, json: &str, item: &str) -> String;

    /// Whether a condition holds for one of the items that several steps lead to, each a table that
    /// the ones before it have values for.
    fn any_item(&self, steps: &[String], wanted: String) -> String;

    /// An item as JSON.
    fn json_of_item(&self, item: &str) -> String;

    /// The name of a member as it is bound. It has neither quotes nor backslashes.
    fn json_name(&self, name: &str) -> String;

    /// The member of an item whose name is bound at `placeholder`, as JSON; NULL if there is none.
    fn json_member(&self, item: &str, placeholder: &str) -> String;

    /// The value of an item, NULL if it is not of this kind. Whole numbers are of the kind
    /// `Float` too.
    fn json_item(&self, item: &str, kind: Option<ColumnKind>) -> String;

    /// Whether an item is null.
    fn json_is_null(&self, item: &str) -> String;

    /// An empty list, as a column holds it.
    fn json_empty(&self) -> &'static str;

    /// Whether a JSON list holds the value of a kind that is bound at `placeholder`.
    fn json_contains(&self, column: &str, placeholder: &str, kind: ColumnKind) -> String;

    /// Whether a column is as the pattern bound at `placeholder` says, with `%` for any text and
    /// `_` for one character. This and the next two compare what `postroom_model::fold` makes of
    /// both, are NULL for NULL, and stop when the time of their statement is up.
    fn like(&self, column: &str, placeholder: &str) -> String;

    /// Whether a column has the text bound at `placeholder` somewhere.
    fn has(&self, column: &str, placeholder: &str) -> String;

    /// Whether a column begins with the text bound at `placeholder`.
    fn begins(&self, column: &str, placeholder: &str) -> String;

    /// The query that verifies the pages of the database: texts that say what is damaged, or `ok`.
    /// `None`: the database has none.
    fn structure(&self) -> Option<&'static str>;

    /// The queries for where the database is. `None`: copies of it are recognised otherwise.
    fn place(&self) -> Option<PlaceQueries>;

    /// What stands behind the name of a table to make it read by way of an index. May be empty.
    fn by_index(&self, index: &str) -> String;

    /// A column that no index is chosen for, where a database does not know how many rows have its
    /// value.
    fn unindexed(&self, column: &str) -> String;

    /// The end of a query that locks the rows that it finds, and skips those that others have
    /// locked. Empty where one alone writes.
    fn skipping_locked(&self) -> &'static str;

    /// One of several queries that `UNION ALL` joins and sorts. `end` sorts and limits it alike,
    /// where the database would otherwise read it as a whole.
    fn united(&self, query: &str, end: &str) -> String;

    /// How words are kept and found.
    fn full_text(&self) -> &'static dyn FullText;
}
