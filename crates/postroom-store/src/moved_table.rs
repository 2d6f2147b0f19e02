//! The tables of a move: their keys, their columns, and the order in which they are copied.

use crate::columns::places;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::schema;
use postroom_model::Class;
use postroom_model::Property;
use std::borrow::Cow;

/// How many rows are moved at once.
const AT_ONCE: u64 = 256;
/// How many bytes are moved at once.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// The tables that every database has, with their keys.
pub(crate) const TABLES: &[(&str, &[&str])] = &[
    ("token", &["hash"]),
    ("retired", &["table", "column"]),
    ("deleted class", &["table"]),
    ("counter", &["domain", "class", "property"]),
    ("origin", &["folder"]),
    ("purge", &["account"]),
    ("lease", &["group"]),
    ("configuration", &["number"]),
    ("root key", &["master"]),
    ("data key", &["number"]),
    ("erasure", &["id"]),
    ("usage", &["domain"]),
    ("domain class", &["domain", "name"]),
    ("retired value", &["domain", "table", "column"]),
    ("erased", &["erasure", "class", "part"]),
    ("job", &["id"]),
    ("job entity", &["job", "entity"]),
    ("once", &["domain", "class", "key"]),
    ("work claim", &["class", "entity"]),
    ("consent", &["account", "slot"]),
    ("device consent", &["account", "slot"]),
    // The owners of these blobs have ended, so the first sweep of the target deletes them.
    ("unfinished", &["blob"]),
    ("chunk", &["id"]),
    // The objects stay where they are.
    ("object", &["blob"]),
    ("object gone", &["name"]),
    ("file", &["entity", "property", "name"]),
    ("receipt", &["folder", "epoch", "key"]),
    ("delivery", &["message"]),
    ("delivered", &["message", "address"]),
    ("change", &["seq"]),
];
/// The definitions of classes, which are moved before their tables are made.
pub(crate) const CLASS: (&str, &[&str]) = ("class", &["name"]);
/// The tables that are not in [`TABLES`]. They are about the processes of a database, are moved in
/// another way, or are made again. Users sign in again.
#[cfg(test)]
const LEFT: &[&str] = &["meta", "class", "owner", "full text", "session"];
/// Columns that the database fills in.
pub(crate) const COMPUTED: &[(&str, &str)] = &[("receipt", "uid")];

/// A table with its key and all columns that are moved.
pub(crate) struct MovedTable {
    pub name: String,
    pub key: Vec<String>,
    pub columns: Vec<String>,
    /// The columns that refer to rows which are copied later. They are filled in when all rows are
    /// there.
    pub late: Vec<String>,
}

impl MovedTable {
    /// The table of a class that is being deleted: which entities it has, without their values.
    pub(crate) fn of_deleted(name: String) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { name, key: own(&["id"]), columns: own(&["domain", "id"]), late: vec![] }
    }

    fn list(names: &[String]) -> String {
        names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    /// The key of the last row.
    pub(crate) fn last(&self) -> String {
        let key = Self::list(&self.key);
        let order: Vec<_> = self.key.iter().map(|name| format!("{} DESC", quoted(name))).collect();
        format!("SELECT {key} FROM {} ORDER BY {} LIMIT 1", quoted(&self.name), order.join(", "))
    }

    /// The next rows behind a key.
    pub(crate) fn page(&self, behind: Option<&[Value]>) -> Statement {
        let (key, columns) = (Self::list(&self.key), Self::list(&self.columns));
        let places = places(1, self.key.len());
        let start = behind.map_or_else(String::new, |_| format!(" WHERE ({key}) > ({places})"));
        let sql = format!(
            "SELECT {columns} FROM {}{start} ORDER BY {key} LIMIT {AT_ONCE}",
            quoted(&self.name)
        );
        let values = behind.unwrap_or_default().iter().cloned();
        Statement::new(sql).bind_all(values).at_most(BYTES_AT_ONCE)
    }

    fn insert(&self) -> String {
        let places = places(1, self.columns.len());
        let (table, columns) = (quoted(&self.name), Self::list(&self.columns));
        format!("INSERT INTO {table} ({columns}) VALUES ({places})")
    }

    /// The statements that insert rows, without what is filled in later.
    pub(crate) fn inserts(&self, rows: Vec<Row>) -> Vec<Statement> {
        let insert: Cow<'static, str> = self.insert().into();
        let is_late = |at: usize| self.columns.get(at).is_some_and(|one| self.late.contains(one));
        let early = |(at, value)| if is_late(at) { Value::Null } else { value };
        let row = |row: Row| row.0.into_iter().enumerate().map(early);
        rows.into_iter().map(|one| Statement::new(insert.clone()).bind_all(row(one))).collect()
    }

    /// The statements that fill in what was left out.
    pub(crate) fn fills(&self, rows: &[Row]) -> Vec<Statement> {
        let sets = (1..).zip(&self.late).map(|(at, name)| format!("{} = ${at}", quoted(name)));
        let sets = sets.collect::<Vec<_>>().join(", ");
        let (key, places) = (Self::list(&self.key), places(self.late.len() + 1, self.key.len()));
        let sql = format!("UPDATE {} SET {sets} WHERE ({key}) = ({places})", quoted(&self.name));
        let sql: Cow<'static, str> = sql.into();
        let fill = |row: &Row| {
            let late = self.values(&self.late, row);
            Statement::new(sql.clone()).bind_all(late).bind_all(self.key_of(row))
        };
        rows.iter().map(fill).collect()
    }

    /// The key of a row of [`Self::page`].
    pub(crate) fn key_of(&self, row: &Row) -> Vec<Value> {
        self.values(&self.key, row)
    }

    fn values(&self, names: &[String], row: &Row) -> Vec<Value> {
        let place = |name: &String| self.columns.iter().position(|column| column == name);
        names.iter().filter_map(place).map(|at| row.value(at).clone()).collect()
    }
}

/// The tables of the classes that are being deleted.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn deleted(database: &dyn Database) -> Result<Vec<String>, Error> {
    let all = "SELECT \"table\" FROM \"deleted class\" ORDER BY \"table\"";
    let rows = database.read(Statement::new(all)).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

/// Makes the table of a class that is being deleted, for entities without values.
pub(crate) fn deleted_table(dialect: &dyn Dialect, table: &str) -> Statement {
    let [text, id] = [ColumnKind::Text, ColumnKind::Id].map(|kind| dialect.column_type(kind));
    let table = quoted(table);
    Statement::new(format!(
        "CREATE TABLE {table} (\"domain\" {text} NOT NULL, \"id\" {id} PRIMARY KEY)"
    ))
}

/// A class in the order of a move.
pub(crate) struct MovedClass<'a> {
    pub class: &'a Class,
    /// The properties that refer to entities which come later, because classes refer to one another
    /// in a circle, or entities of a class to one another.
    pub late: Vec<&'a Property>,
}

/// All classes, those first that others refer to.
pub(crate) fn in_order(classes: &[Class]) -> Vec<MovedClass<'_>> {
    let targets = |class: &Class, property: &Property| {
        schema::refers_to(classes, property).map(|target| (target.id, target.id == class.id))
    };
    let mut ordered = vec![];
    let mut left: Vec<&Class> = classes.iter().collect();
    while !left.is_empty() {
        let waits = |class: &Class| {
            let mut others = class.columns().filter_map(|property| targets(class, property));
            others.any(|(id, is_own)| !is_own && left.iter().any(|one| one.id == id))
        };
        // In a circle somebody must be first.
        let at = left.iter().position(|class| !waits(class)).unwrap_or(0);
        let class = left.remove(at);
        let is_late = |property: &&Property| {
            let target = targets(class, property);
            target.is_some_and(|(id, is_own)| is_own || left.iter().any(|one| one.id == id))
        };
        ordered.push(MovedClass { class, late: class.columns().filter(is_late).collect() });
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::PostgresDialect;

    #[test]
    fn every_table_of_every_database_is_moved_or_left_on_purpose() {
        let steps = schema::steps_from(&PostgresDialect, 0);
        let mut count = 0;
        for statement in steps.iter().flat_map(|(_, statements)| statements) {
            let sql = statement.sql.replace("IF NOT EXISTS ", "");
            let Some(rest) = sql.strip_prefix("CREATE TABLE \"") else {
                continue;
            };
            let name = rest.split('"').next().unwrap();
            count += 1;
            let is_moved = TABLES.iter().any(|(table, _)| *table == name);
            assert!(is_moved || LEFT.contains(&name), "{name} is neither moved nor left");
        }
        assert!(count >= TABLES.len(), "only {count} tables were found");
    }
}
