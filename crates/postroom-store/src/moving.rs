//! Moves everything from one database into another, of the same or of another kind.
//!
//! ```text
//!   from: marked as moved ──► table by table, in the order of its key ──► to: marked as arriving
//!                         both are read again and compared, value by value
//!   from: moved for good                                               ──► to: the mark is gone
//! ```
//! A page of rows is one batch. So a move that was interrupted goes on behind the last row that
//! arrived. No store opens either database meanwhile: nothing is received or sent twice.

use crate::class_begin::Begin;
use crate::columns;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Database;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::key::MasterKey;
use crate::moved_value::is_equal;
use crate::schema;
use crate::set_up;
use postroom_model::Class;
use std::borrow::Cow;

/// The row of `meta` that says that the data is, or will be, elsewhere. Its number says whether the
/// move is complete.
const MOVED: &str = "moved";
/// The row of `meta` of a database whose data has not arrived completely. Its bytes say from where.
const ARRIVING: &str = "arriving";
/// How many rows are moved at once.
const AT_ONCE: u64 = 256;
/// How many bytes are.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// The tables that every database has, with their keys.
const TABLES: &[(&str, &[&str])] = &[
    ("token", &["hash"]),
    ("retired", &["table", "column"]),
    ("counter", &["domain", "class", "property"]),
    ("origin", &["folder"]),
    ("purge", &["account"]),
    ("lease", &["group"]),
    ("job", &["id"]),
    ("once", &["domain", "class", "key"]),
    ("chunk", &["id"]),
    ("file", &["entity", "property", "name"]),
    ("receipt", &["folder", "epoch", "key"]),
    ("delivery", &["message"]),
    ("delivered", &["message", "address"]),
    ("change", &["seq"]),
];
/// The definitions of classes, which are moved before their tables are made.
const CLASS: (&str, &[&str]) = ("class", &["name"]);
/// What is about the processes of a database, or is moved otherwise.
#[cfg(test)]
const LEFT: &[&str] = &["meta", "class", "owner", "unfinished"];
/// Columns that the database fills in.
const COMPUTED: &[(&str, &str)] = &[("receipt", "uid"), ("change", "transaction")];

/// A move that is asked for.
#[derive(Debug)]
pub struct Move<'a> {
    /// Where the data is.
    pub from: &'a dyn Database,
    /// Where it is wanted.
    pub to: &'a dyn Database,
    /// The key of both.
    pub key: &'a MasterKey,
    /// The classes that are built in.
    pub built_in: &'a [Class],
    /// The time of day (RFC 3339).
    pub now: &'a str,
}

/// What was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many tables.
    pub tables: u64,
    /// How many rows, each compared with the one it was made of.
    pub rows: u64,
}

/// A table with its key and all columns that are moved.
struct MovedTable {
    name: String,
    key: Vec<String>,
    columns: Vec<String>,
}

/// Fails for a database whose data is, or will be, elsewhere, or has not arrived completely.
pub(crate) async fn check(database: &dyn Database) -> Result<(), Error> {
    if mark(database, ARRIVING).await?.is_some() {
        return Err(moved(
            "the data of another database is being moved into this one, and is not complete: go \
             on with the same `postroom move`",
        ));
    }
    match mark(database, MOVED).await? {
        None => Ok(()),
        Some(row) if row.whole(0) == Some(1) => Err(moved(
            "its data was moved to another database: use that one. To get it back, move it from \
             there to an empty place",
        )),
        Some(_) => Err(moved(
            "its data is being moved to another database: go on with the same `postroom move`, or \
             give it up with `postroom move --from … --cancel`",
        )),
    }
}

fn moved(reason: &'static str) -> Error {
    Error::Moved { reason }
}

async fn mark(database: &dyn Database, name: &str) -> Result<Option<Row>, Error> {
    let sql = "SELECT \"number\", \"bytes\" FROM \"meta\" WHERE \"name\" = $1";
    Ok(database.read(Statement::new(sql).bind(name)).await?.into_iter().next())
}

fn put(name: &str, number: Value, bytes: Value) -> Statement {
    let sql = "INSERT INTO \"meta\" (\"name\", \"number\", \"bytes\") VALUES ($1, $2, $3)
        ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\",
          \"bytes\" = excluded.\"bytes\"";
    Statement::new(sql).bind(name).bind_all([number, bytes])
}

fn unmark(name: &str) -> Statement {
    Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(name)
}

/// Gives up a move from a database that is not complete, so that it can be used again. What has
/// arrived elsewhere cannot be used.
///
/// # Errors
///
/// When the move is complete, none was begun, or the database fails.
pub async fn move_cancel(from: &dyn Database) -> Result<(), Error> {
    let number = match columns::of_table(from, "meta").await?.is_empty() {
        true => None,
        false => mark(from, MOVED).await?.and_then(|row| row.whole(0)),
    };
    match number {
        Some(0) => from.write(vec![unmark(MOVED)], Room::Reserve).await.map(drop),
        Some(_) => check(from).await,
        None => Err(moved("no move from this database was begun")),
    }
}

impl Move<'_> {
    /// Moves everything, or goes on with it. `tell` gets a line for each step.
    ///
    /// # Errors
    ///
    /// When a process uses one of the databases, the target has other data, a row that arrived is
    /// not the one that was sent, or a database fails. Then the move can be tried again.
    pub async fn run(&self, mut tell: impl FnMut(&str)) -> Result<Moved, Error> {
        if columns::of_table(self.from, "meta").await?.is_empty() {
            return Err(moved("there is no data where it should be moved from"));
        }
        set_up::set_up(self.from, self.key).await?;
        let identity =
            mark(self.from, "key").await?.map_or(Value::Null, |row| row.value(1).clone());
        if mark(self.from, ARRIVING).await?.is_some() {
            return check(self.from).await.map(|()| Moved::default());
        }
        let is_begun = self.is_begun(&identity).await?;
        if !is_begun && mark(self.from, MOVED).await?.is_some_and(|row| row.whole(0) == Some(1)) {
            return check(self.from).await.map(|()| Moved::default());
        }
        // Nobody else can have a data directory that is locked.
        let is_shared = !self.from.is_first();
        if is_shared {
            unused(self.from).await?;
        }
        let classes = self.begin(identity, is_begun).await?;
        let tables = self.tables(&classes).await?;
        let mut result = Moved::default();
        for table in &tables {
            tell(&format!("{}: moving", table.name));
            self.copy(table).await?;
        }
        if let Some(sql) = self.to.dialect().continued("change", "seq") {
            self.to.write(vec![Statement::new(sql)], Room::Free).await?;
        }
        for table in &tables {
            let rows = self.compare(table).await?;
            tell(&format!("{}: {rows} rows, equal in both", table.name));
            result.tables += 1;
            result.rows += rows;
        }
        if is_shared {
            unused(self.from).await?;
        }
        let complete = put(MOVED, Value::Whole(1), Value::Null);
        self.from.write(vec![complete], Room::Reserve).await?;
        self.to.write(vec![unmark(ARRIVING)], Room::Reserve).await?;
        Ok(result)
    }

    /// Whether the target has data of this source already; `false` when it is empty.
    async fn is_begun(&self, identity: &Value) -> Result<bool, Error> {
        if columns::of_table(self.to, "meta").await?.is_empty() {
            return Ok(false);
        }
        match mark(self.to, ARRIVING).await? {
            Some(row) if row.value(1) == identity => Ok(true),
            Some(_) => Err(moved("the data of another database is being moved into the target")),
            None => Err(moved(
                "the target has data of its own, and nothing is overwritten: give an empty one",
            )),
        }
    }

    /// Marks both, and makes the tables of the target. Gives the classes.
    async fn begin(&self, identity: Value, is_begun: bool) -> Result<Vec<Class>, Error> {
        let classes = self.classes(self.from).await?;
        if !is_begun {
            let meta = schema::meta_table(self.to.dialect());
            let arriving = put(ARRIVING, Value::Null, identity);
            self.to.write(vec![meta, arriving], Room::Free).await?;
        }
        if mark(self.from, MOVED).await?.is_none() {
            let begun = put(MOVED, Value::Whole(0), Value::Null);
            self.from.write(vec![begun], Room::Reserve).await?;
        }
        set_up::set_up(self.to, self.key).await?;
        let sql = "SELECT \"name\", \"number\", \"bytes\" FROM \"meta\"
            WHERE \"name\" NOT IN ('schema', 'moved', 'arriving')";
        let known = self.from.read(Statement::new(sql)).await?;
        let known = known.iter().map(|row| {
            put(row.text(0).unwrap_or_default(), row.value(1).clone(), row.value(2).clone())
        });
        self.to.write(known.collect(), Room::Free).await?;
        self.copy(&self.table(CLASS.0, CLASS.1).await?).await?;
        self.classes(self.to).await?;
        Ok(classes)
    }

    /// Brings the tables of classes to those of this version. Gives the classes.
    async fn classes(&self, database: &dyn Database) -> Result<Vec<Class>, Error> {
        let begin = Begin { database, key: self.key, built_in: self.built_in, now: self.now };
        let classes = begin.begin().await?;
        let all: Vec<_> = classes.iter().map(|class| Class::clone(class)).collect();
        set_up::renew(database, &all).await?;
        Ok(all)
    }

    /// All tables, those first that others refer to.
    async fn tables(&self, classes: &[Class]) -> Result<Vec<MovedTable>, Error> {
        let mut tables = vec![];
        let mut left: Vec<&Class> = classes.iter().collect();
        while !left.is_empty() {
            let is_free = |class: &&Class| {
                let targets = class.columns().filter_map(|p| schema::refers_to(classes, p));
                let mut others = targets.filter(|target| target.id != class.id);
                !others.any(|target| left.iter().any(|one| one.id == target.id))
            };
            let (free, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(is_free);
            // Those that refer to one another in a circle come in any order.
            let (now, later) = if free.is_empty() { (rest, vec![]) } else { (free, rest) };
            for class in now {
                tables.push(self.table(&class.table(), &["id"]).await?);
            }
            left = later;
        }
        for (name, key) in TABLES {
            tables.push(self.table(name, key).await?);
        }
        Ok(tables)
    }

    async fn table(&self, name: &str, key: &[&str]) -> Result<MovedTable, Error> {
        let is_moved = |column: &String| !COMPUTED.contains(&(name, column.as_str()));
        let mut from = columns::of_table(self.from, name).await?;
        let mut to = columns::of_table(self.to, name).await?;
        from.retain(is_moved);
        to.retain(is_moved);
        from.sort_unstable();
        to.sort_unstable();
        if from != to || from.is_empty() {
            return Err(Error::Damaged { what: "the columns of a table" });
        }
        let key = key.iter().map(|column| (*column).to_owned()).collect();
        Ok(MovedTable { name: name.to_owned(), key, columns: from })
    }

    /// Moves the rows behind the last one that has arrived.
    async fn copy(&self, table: &MovedTable) -> Result<(), Error> {
        let last = self.to.read(Statement::new(table.last())).await?;
        let mut behind = last.into_iter().next().map(|row| row.0);
        let insert: Cow<'static, str> = table.insert().into();
        loop {
            let rows = self.from.read(table.page(behind.as_deref())).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            behind = Some(table.key_of(last));
            let row = |row: Row| Statement::new(insert.clone()).bind_all(row.0);
            self.to.write(rows.into_iter().map(row).collect(), Room::Free).await?;
        }
    }

    /// Reads a table of both again. Gives the count of its rows.
    async fn compare(&self, table: &MovedTable) -> Result<u64, Error> {
        let (mut behind, mut count): (Option<Vec<Value>>, u64) = (None, 0);
        loop {
            let sent = self.from.read(table.page(behind.as_deref())).await?;
            let arrived = self.to.read(table.page(behind.as_deref())).await?;
            // One of the two may end earlier, because of the bytes.
            let both = sent.len().min(arrived.len());
            if both == 0 {
                let is_same = sent.len() == arrived.len();
                return if is_same { Ok(count) } else { Err(DIFFERS) };
            }
            for (sent, arrived) in sent.iter().zip(&arrived) {
                let mut pairs = sent.0.iter().zip(&arrived.0);
                let is_same = pairs.all(|(sent, arrived)| is_equal(sent, arrived));
                if sent.0.len() != arrived.0.len() || !is_same {
                    return Err(DIFFERS);
                }
                count += 1;
            }
            behind = sent.get(both - 1).map(|row| table.key_of(row));
        }
    }
}

const DIFFERS: Error =
    Error::Moved { reason: "a row arrived otherwise than it was sent: the target cannot be used" };

impl MovedTable {
    fn list(names: &[String]) -> String {
        names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    fn last(&self) -> String {
        let key = Self::list(&self.key);
        let order: Vec<_> = self.key.iter().map(|name| format!("{} DESC", quoted(name))).collect();
        format!("SELECT {key} FROM {} ORDER BY {} LIMIT 1", quoted(&self.name), order.join(", "))
    }

    /// The next rows behind a key.
    fn page(&self, behind: Option<&[Value]>) -> Statement {
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

    fn key_of(&self, row: &Row) -> Vec<Value> {
        let place = |name: &String| self.columns.iter().position(|column| column == name);
        self.key.iter().filter_map(place).map(|at| row.value(at).clone()).collect()
    }
}

/// Fails when there is no data, or a process uses it.
///
/// # Errors
///
/// Those, and when the database fails.
pub async fn nobody_uses(database: &dyn Database) -> Result<(), Error> {
    if columns::of_table(database, "owner").await?.is_empty() {
        return Err(moved("there is no data in this database"));
    }
    unused(database).await
}

/// Fails when a process has the database.
async fn unused(database: &dyn Database) -> Result<(), Error> {
    let sql =
        format!("SELECT \"name\" FROM \"owner\" WHERE \"until\" >= {}", database.dialect().now());
    if database.read(Statement::new(sql)).await?.is_empty() {
        return Ok(());
    }
    Err(moved(
        "a process uses this database: stop it first. After a crash, or a kill, wait three minutes",
    ))
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
