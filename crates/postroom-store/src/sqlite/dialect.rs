//! SQLite's way of saying what is not portable.

use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::sqlite::texts;
use crate::sqlite::time;

/// The dialect of SQLite.
pub(crate) struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn column_type(&self, kind: ColumnKind) -> &'static str {
        match kind {
            ColumnKind::Boolean | ColumnKind::Whole | ColumnKind::Moment => "INTEGER",
            ColumnKind::Float => "REAL",
            ColumnKind::Text | ColumnKind::Json => "TEXT",
            ColumnKind::Bytes | ColumnKind::Id => "BLOB",
        }
    }

    fn now(&self) -> &'static str {
        time::NOW
    }

    fn after_now(&self, ms: u128) -> String {
        format!("{} + {ms}", self.now())
    }

    fn serial(&self) -> &'static str {
        "INTEGER PRIMARY KEY AUTOINCREMENT"
    }

    fn clustered(&self) -> &'static str {
        "WITHOUT ROWID"
    }

    fn computed(&self) -> &'static str {
        "VIRTUAL"
    }

    fn transaction(&self) -> &'static str {
        // There is one at a time, so that the rows are numbered in the order of the commits.
        "INTEGER"
    }

    fn incompressible(&self, _: &str, _: &str) -> String {
        String::new()
    }

    fn continued(&self, _: &str, _: &str) -> Option<String> {
        None
    }

    fn columns(&self) -> &'static str {
        "SELECT \"name\" FROM pragma_table_info($1)"
    }

    fn references(&self) -> &'static str {
        "SELECT \"from\" FROM pragma_foreign_key_list($1)"
    }

    fn ascending(&self) -> &'static str {
        "ASC"
    }

    fn descending(&self) -> &'static str {
        "DESC"
    }

    fn indexed(&self) -> &'static str {
        ""
    }

    fn typed(&self, placeholder: &str, _: ColumnKind) -> String {
        placeholder.to_owned()
    }

    fn json_path(&self, names: &[String]) -> String {
        let step = |name: &String| format!(".\"{}\"", name.replace('"', ""));
        format!("${}", names.iter().map(step).collect::<String>())
    }

    fn indexes(&self) -> &'static str {
        "SELECT \"name\" FROM \"sqlite_schema\" WHERE \"type\" = 'index'
           AND substr(\"name\", 1, length($1)) = $1"
    }

    fn id(&self, digits: &str) -> String {
        format!("x'{digits}'")
    }

    fn moment(&self, ms: i64) -> String {
        ms.to_string()
    }

    fn json_item(&self, _: Option<ColumnKind>) -> String {
        "CASE WHEN item.type IN ('object', 'array') THEN json_extract(item.value, path.text) END"
            .to_owned()
    }

    fn json_some(&self, column: &str, path: &str, condition: &str) -> String {
        format!(
            "EXISTS (SELECT 1 FROM (SELECT {path} AS text) AS path, json_each(CASE \
             json_type({column}) WHEN 'array' THEN {column} ELSE json_array(json({column})) END) \
             AS item WHERE {condition})"
        )
    }

    fn json_contains(&self, column: &str, placeholder: &str, _: ColumnKind) -> String {
        format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value = {placeholder})")
    }

    fn like(&self, column: &str, placeholder: &str) -> String {
        compared(texts::LIKE, column, placeholder)
    }

    fn has(&self, column: &str, placeholder: &str) -> String {
        compared(texts::HAS, column, placeholder)
    }

    fn begins(&self, column: &str, placeholder: &str) -> String {
        compared(texts::BEGINS, column, placeholder)
    }

    fn structure(&self) -> Option<&'static str> {
        Some("PRAGMA integrity_check")
    }

    fn by_index(&self, index: &str) -> String {
        // A statement that cannot use it fails to be prepared: the tests see that.
        format!("INDEXED BY \"{index}\"")
    }

    fn unindexed(&self, column: &str) -> String {
        format!("+{column}")
    }

    fn united(&self, query: &str, _end: &str) -> String {
        // It reads them side by side, each in its order.
        query.to_owned()
    }
}

/// Values inside JSON may be numbers.
fn compared(function: &str, column: &str, placeholder: &str) -> String {
    format!("{function}(CAST({column} AS TEXT), CAST({placeholder} AS TEXT))")
}
