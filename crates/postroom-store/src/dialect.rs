//! What is not portable in SQL. Each database has its own fragments for it.

use crate::column_kind::ColumnKind;
use crate::full_text_dialect::FullText;

/// The queries whose answers together identify a database. A copy that the tools of the server made
/// gives other answers.
#[derive(Debug, Clone, Copy)]
pub struct PlaceQueries {
    /// Whether the server shows its number to this user: 1 or 0.
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

    /// The moment that is `ms` milliseconds after [`Self::now`].
    fn after_now(&self, ms: u128) -> String;

    /// The definition of a primary key for which the database counts up the values.
    fn serial(&self) -> &'static str;

    /// The end of a table's definition that keeps its rows in the order of the primary key. It may
    /// be empty.
    fn clustered(&self) -> &'static str;

    /// The kind of a column that is computed from others. It takes no space if the database can do
    /// that.
    fn computed(&self) -> &'static str;

    /// The type of a column that says which transaction made a row. Databases in which several
    /// transactions run at once need it.
    fn transaction(&self) -> &'static str;

    /// The statement that keeps the database from compressing the bytes of a column, because they
    /// are compressed already. It is empty if the database never compresses.
    fn incompressible(&self, table: &str, column: &str) -> String;

    /// The number of a change. The place of the change in its batch is bound at `placeholder`.
    fn seq(&self, placeholder: &str) -> String;

    /// The statement that raises the counter by the number of changes that is bound at `$1`.
    /// `None`: the numbers need no such statement.
    fn seq_counted(&self) -> Option<&'static str>;

    /// The query for the bound below which no change can appear any more: each smaller number is
    /// visible already, or is never used. `None`: this is so for all numbers that are visible.
    fn seq_settled(&self) -> Option<&'static str>;

    /// The query for the bound below which all numbers are that were given until now, also to
    /// changes that are not settled. `None`: only settled changes have a number.
    fn seq_given(&self) -> Option<&'static str>;

    /// The least value of `seq` in `meta` with which the next number is greater than `last`, which
    /// is SQL of a number.
    fn seq_raised(&self, last: &str) -> String;

    /// The query for the names of the columns of the table bound at `$1`.
    fn columns(&self) -> &'static str;

    /// The query for the names of the columns of the table bound at `$1` that refer to another
    /// table by a foreign key.
    fn references(&self) -> &'static str;

    /// The query for all foreign keys: the table, the column, and the table to which it refers.
    fn foreign_keys(&self) -> &'static str;

    /// The query for the names of the usable indexes that begin with the text bound at `$1`.
    fn indexes(&self) -> &'static str;

    /// An id as a constant, by its 32 hexadecimal digits.
    fn id(&self, digits: &str) -> String;

    /// A moment as a constant, in milliseconds since 1970.
    fn moment(&self, ms: i64) -> String;

    /// The words that order by a column from the least value on, with NULL first.
    fn ascending(&self) -> &'static str;

    /// The words that order by a column from the greatest value on, with NULL last.
    fn descending(&self) -> &'static str;

    /// The words that order a column of an index so that the index serves both orders.
    fn indexed(&self) -> &'static str;

    /// A placeholder for a value of a kind, for places where nothing else tells its type.
    fn typed(&self, placeholder: &str, kind: ColumnKind) -> String;

    /// The items of JSON, as a table that is named `item`. A list has its items, null has none, and
    /// any other value is its own single item.
    fn json_items(&self, json: &str, item: &str) -> String;

    /// Whether a condition holds for one of the items to which several steps lead. Each step is a
    /// table that may use the values of the steps before it.
    fn any_item(&self, steps: &[String], wanted: String) -> String;

    /// An item as JSON.
    fn json_of_item(&self, item: &str) -> String;

    /// The text that is bound for the name of a member. The name has neither quotes nor
    /// backslashes.
    fn json_name(&self, name: &str) -> String;

    /// The member of an item whose name is bound at `placeholder`, as JSON; NULL if there is none.
    fn json_member(&self, item: &str, placeholder: &str) -> String;

    /// The value of an item, or NULL if it is of another kind. A whole number is also of the kind
    /// `Float`.
    fn json_item(&self, item: &str, kind: Option<ColumnKind>) -> String;

    /// Whether an item is null.
    fn json_is_null(&self, item: &str) -> String;

    /// An empty list in the form that columns have.
    fn json_empty(&self) -> &'static str;

    /// Whether a JSON list contains the value that is bound at `placeholder`, which is of this
    /// kind.
    fn json_contains(&self, column: &str, placeholder: &str, kind: ColumnKind) -> String;

    /// Whether a column matches the pattern bound at `placeholder`, in which `%` stands for any
    /// text and `_` for one character. This comparison and the next two fold both texts as
    /// `postroom_model::fold` does, give NULL for NULL, and stop when the time of their statement
    /// is over.
    fn like(&self, column: &str, placeholder: &str) -> String;

    /// Whether a column contains the text bound at `placeholder`.
    fn has(&self, column: &str, placeholder: &str) -> String;

    /// Whether a column begins with the text bound at `placeholder`.
    fn begins(&self, column: &str, placeholder: &str) -> String;

    /// The query that verifies the pages of the database. It gives texts that say what is damaged,
    /// or `ok`. `None`: the database has no such query.
    fn structure(&self) -> Option<&'static str>;

    /// The queries that identify the database. `None`: its copies are recognised in another way.
    fn place(&self) -> Option<PlaceQueries>;

    /// The words after the name of a table that make the database read it through an index. They
    /// may be empty.
    fn by_index(&self, index: &str) -> String;

    /// The column, written so that a database chooses no index for it if it cannot estimate how
    /// many rows have a value.
    fn unindexed(&self, column: &str) -> String;

    /// The end of a query that locks the rows that it finds, and skips those that others have
    /// locked. It is empty if the database has a single writer.
    fn skipping_locked(&self) -> &'static str;

    /// One of several queries whose rows `UNION ALL` joins before they are sorted. `end` sorts and
    /// limits this query in the same way, if the database would otherwise read all of its rows.
    fn united(&self, query: &str, end: &str) -> String;

    /// The full-text index of the database.
    fn full_text(&self) -> &'static dyn FullText;
}
