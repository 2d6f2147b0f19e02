//! The SQL that only SQLite has.

use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::database::PlaceQueries;
use crate::full_text_dialect::FullText;
use crate::sqlite::full_text::SqliteFullText;
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
        // The numbers of rows are in the order of the commits, because one transaction runs at a
        // time.
        "INTEGER"
    }

    fn incompressible(&self, _: &str, _: &str) -> String {
        String::new()
    }

    fn seq(&self, placeholder: &str) -> String {
        format!("((SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'seq') + {placeholder})")
    }

    fn seq_counted(&self) -> Option<&'static str> {
        Some("UPDATE \"meta\" SET \"number\" = \"number\" + $1 WHERE \"name\" = 'seq'")
    }

    fn seq_settled(&self) -> Option<&'static str> {
        None
    }

    fn seq_given(&self) -> Option<&'static str> {
        None
    }

    fn seq_raised(&self, last: &str) -> String {
        last.to_owned()
    }

    fn columns(&self) -> &'static str {
        "SELECT \"name\" FROM pragma_table_info($1)"
    }

    fn references(&self) -> &'static str {
        "SELECT \"from\" FROM pragma_foreign_key_list($1)"
    }

    fn foreign_keys(&self) -> &'static str {
        "SELECT t.\"name\", f.\"from\", f.\"table\" FROM \"sqlite_schema\" t
           JOIN pragma_foreign_key_list(t.\"name\") f WHERE t.\"type\" = 'table'"
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

    fn json_items(&self, json: &str, item: &str) -> String {
        format!(
            "json_each(CASE COALESCE(json_type({json}), 'null') WHEN 'array' THEN {json} \
             WHEN 'null' THEN '[]' ELSE json_array(json({json})) END) AS {item}"
        )
    }

    fn any_item(&self, steps: &[String], wanted: String) -> String {
        // All steps are in one query, because SQLite limits how deep queries nest. CROSS JOIN makes
        // SQLite read the tables in this order.
        format!("EXISTS (SELECT 1 FROM {} WHERE {wanted})", steps.join(" CROSS JOIN "))
    }

    fn json_of_item(&self, item: &str) -> String {
        format!(
            "CASE {item}.type WHEN 'array' THEN {item}.value WHEN 'object' THEN {item}.value \
             WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE json_quote({item}.value) END"
        )
    }

    fn json_name(&self, name: &str) -> String {
        format!("$.\"{name}\"")
    }

    fn json_member(&self, item: &str, placeholder: &str) -> String {
        format!("CASE {item}.type WHEN 'object' THEN {item}.value -> {placeholder} END")
    }

    fn json_item(&self, item: &str, kind: Option<ColumnKind>) -> String {
        match kind {
            Some(ColumnKind::Boolean) => {
                format!("CASE {item}.type WHEN 'true' THEN 1 WHEN 'false' THEN 0 END")
            }
            Some(ColumnKind::Whole) => {
                format!("CASE WHEN {item}.type IN ('integer', 'real') THEN {item}.value END")
            }
            Some(ColumnKind::Float) => {
                let value = format!("CAST({item}.value AS REAL)");
                format!("CASE WHEN {item}.type IN ('integer', 'real') THEN {value} END")
            }
            Some(ColumnKind::Text) => format!("CASE {item}.type WHEN 'text' THEN {item}.value END"),
            // JSON has no values of these kinds.
            Some(ColumnKind::Json | ColumnKind::Bytes | ColumnKind::Moment | ColumnKind::Id)
            | None => "NULL".to_owned(),
        }
    }

    fn json_is_null(&self, item: &str) -> String {
        format!("{item}.type = 'null'")
    }

    fn json_empty(&self) -> &'static str {
        "'[]'"
    }

    fn json_contains(&self, column: &str, placeholder: &str, _: ColumnKind) -> String {
        // The list gets a name, because a property may have the name of a column of `json_each`.
        format!(
            "EXISTS (SELECT 1 FROM (SELECT {column} AS json) AS list, json_each(list.json) AS item \
             WHERE item.value = {placeholder})"
        )
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

    fn place(&self) -> Option<PlaceQueries> {
        // The log shows whether a file is a copy.
        None
    }

    fn structure(&self) -> Option<&'static str> {
        Some("PRAGMA integrity_check")
    }

    fn by_index(&self, index: &str) -> String {
        // SQLite refuses to prepare a statement that cannot use the index, so the tests would find
        // it.
        format!("INDEXED BY \"{index}\"")
    }

    fn unindexed(&self, column: &str) -> String {
        format!("+{column}")
    }

    fn skipping_locked(&self) -> &'static str {
        ""
    }

    fn united(&self, query: &str, _end: &str) -> String {
        // SQLite reads the queries side by side, each in its order.
        query.to_owned()
    }

    fn full_text(&self) -> &'static dyn FullText {
        &SqliteFullText
    }
}

/// Values inside JSON may be numbers.
fn compared(function: &str, column: &str, placeholder: &str) -> String {
    format!("{function}(CAST({column} AS TEXT), CAST({placeholder} AS TEXT))")
}
