//! Moves everything from one database into another, of the same or of another kind.
//!
//! ```text
//!   from: marked as moved ──► table by table, in the order of its key ──► to: marked as arriving
//!                         both are read again and compared, value by value
//!   from: moved for good                                               ──► to: the mark is gone
//! ```
//! A page of rows is one batch. So an interrupted move continues after the last row that arrived.
//! No store opens either database meanwhile, so nothing is received or sent twice.

use crate::class_begin::Begin;
use crate::class_tables;
use crate::columns;
use crate::database::Database;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::full_text_row::MARKS;
use crate::in_use::unused;
use crate::key::MasterKey;
use crate::moved_table;
use crate::moved_table::CLASS;
use crate::moved_table::COMPUTED;
use crate::moved_table::MovedClass;
use crate::moved_table::MovedTable;
use crate::moved_table::TABLES;
use crate::moved_value::is_equal;
use crate::schema;
use crate::seq;
use crate::set_up;
use crate::shared_column::with_shared;
use postroom_model::Class;

/// The row of `meta` that says that the data is, or will be, elsewhere. Its number is 1 if the move
/// is complete. Its bytes are the time at which the move began, which identifies the move.
const MOVED: &str = "moved";
/// The row of `meta` of a database whose data has not arrived completely. Its bytes say from where,
/// and by which move.
const ARRIVING: &str = "arriving";

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

/// Checks that a database can be used: its data is not elsewhere, and has arrived completely.
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

/// The bytes of [`ARRIVING`]: the identity of the source, and the time at which the move began.
fn arriving(identity: &Value, at: &Value) -> Value {
    let bytes =
        |value: &Value| if let Value::Bytes(bytes) = value { bytes.clone() } else { vec![] };
    Value::Bytes([bytes(identity), bytes(at)].concat())
}

fn unmark(name: &str) -> Statement {
    Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(name)
}

/// Cancels an incomplete move from a database, so that the database can be used again. The target
/// cannot be used.
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
    /// Moves everything, or continues an interrupted move. `tell` gets a line for each step.
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
        let begun = mark(self.from, MOVED).await?;
        let at = begun.as_ref().map_or(Value::Null, |row| row.value(1).clone());
        let is_complete = begun.as_ref().is_some_and(|row| row.whole(0) == Some(1));
        let is_begun = self.is_begun(&arriving(&identity, &at), is_complete).await?;
        if !is_begun && is_complete {
            return check(self.from).await.map(|()| Moved::default());
        }
        // A data directory is locked, so no other process can use it.
        let is_shared = !self.from.is_first();
        if is_shared {
            unused(self.from).await?;
        }
        let at = self.begin().await?;
        let classes = self.target(&identity, &at, is_begun).await?;
        let tables = self.tables(&classes).await?;
        let mut result = Moved::default();
        for table in &tables {
            tell(&format!("{}: moving", table.name));
            self.copy(table).await?;
        }
        for table in tables.iter().filter(|table| !table.late.is_empty()) {
            self.fill(table).await?;
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
        seq::go_on(self.from, self.to).await?;
        self.complete(at).await?;
        self.to.write(vec![unmark(ARRIVING)], Room::Reserve).await?;
        Ok(result)
    }

    /// Marks the source as moved, unless the move was cancelled meanwhile.
    async fn complete(&self, at: Value) -> Result<(), Error> {
        let sql = "UPDATE \"meta\" SET \"number\" = 1
            WHERE \"name\" = $1 AND COALESCE(\"bytes\", $3) = COALESCE($2, $3)";
        let none = Value::Bytes(vec![]);
        let complete = Statement::new(sql).bind(MOVED).bind_all([at, none]);
        let complete = complete.must_change(Failed::Stale);
        match self.from.write(vec![complete], Room::Reserve).await {
            Err(Error::Condition(Failed::Stale)) => Err(moved(
                "the move was given up while it ran: the data is used where it was, and the target \
                 cannot be used",
            )),
            written => written.map(drop),
        }
    }

    /// Whether the target has data of this move already. `false`: it is empty, or the move is
    /// complete.
    async fn is_begun(&self, arriving: &Value, is_complete: bool) -> Result<bool, Error> {
        if columns::of_table(self.to, "meta").await?.is_empty() {
            return Ok(false);
        }
        match mark(self.to, ARRIVING).await? {
            Some(row) if row.value(1) == arriving => Ok(true),
            None if is_complete => Ok(false),
            Some(_) => Err(moved(
                "the target has what is left of another move, or of one that was given up: give an \
                 empty one",
            )),
            None => Err(moved(
                "the target has data of its own, and nothing is overwritten: give an empty one",
            )),
        }
    }

    /// Marks the source, so that nothing uses it. Returns the time at which the move began.
    async fn begin(&self) -> Result<Value, Error> {
        if let Some(begun) = mark(self.from, MOVED).await? {
            return Ok(begun.value(1).clone());
        }
        let at = Value::Bytes(self.now.as_bytes().to_vec());
        self.from.write(vec![put(MOVED, Value::Whole(0), at.clone())], Room::Reserve).await?;
        Ok(at)
    }

    /// Marks the target, and makes its tables. Returns the classes.
    async fn target(
        &self,
        identity: &Value,
        at: &Value,
        is_begun: bool,
    ) -> Result<Vec<Class>, Error> {
        let classes = self.classes(self.from).await?;
        if !is_begun {
            let meta = schema::meta_table(self.to.dialect());
            let arriving = put(ARRIVING, Value::Null, arriving(identity, at));
            self.to.write(vec![meta, arriving], Room::Free).await?;
        }
        set_up::set_up(self.to, self.key).await?;
        let sql = "SELECT \"name\", \"number\", \"bytes\" FROM \"meta\"
            WHERE \"name\" NOT IN ('schema', 'moved', 'arriving', 'place')";
        let known = self.from.read(Statement::new(sql)).await?;
        // The words of messages are not moved. The target makes them again.
        let is_known = |row: &&Row| row.text(0).is_none_or(|name| !MARKS.contains(&name));
        let known = known.iter().filter(is_known).map(|row| {
            put(row.text(0).unwrap_or_default(), row.value(1).clone(), row.value(2).clone())
        });
        self.to.write(known.collect(), Room::Free).await?;
        self.copy(&self.table(CLASS.0, CLASS.1).await?).await?;
        self.class_tables(&classes).await?;
        self.deleted_tables().await?;
        self.classes(self.to).await?;
        Ok(classes)
    }

    /// Upgrades the tables of classes to this version. Returns the classes.
    async fn classes(&self, database: &dyn Database) -> Result<Vec<Class>, Error> {
        let begin = Begin { database, built_in: self.built_in, now: self.now };
        let classes = begin.begin().await?;
        let all: Vec<_> = classes.iter().map(|class| Class::clone(class)).collect();
        set_up::renew(database, &all).await?;
        Ok(all)
    }

    /// All tables, in an order in which a table comes after those to which it refers.
    async fn tables(&self, classes: &[Class]) -> Result<Vec<MovedTable>, Error> {
        let mut tables = vec![];
        for MovedClass { class, late } in moved_table::in_order(classes) {
            let table = class.table();
            let kept = columns::references(self.to, &table).await?;
            let mut moved = self.table(&table, &["id"]).await?;
            let late = late.into_iter().map(|property| property.name.clone());
            moved.late = late.filter(|name| kept.contains(name)).collect();
            tables.push(moved);
        }
        for name in moved_table::deleted(self.from).await? {
            tables.push(MovedTable::of_deleted(name));
        }
        for (name, key) in TABLES {
            tables.push(self.table(name, key).await?);
        }
        Ok(tables)
    }

    /// Makes the tables of classes that are being deleted in the target, which goes on with the
    /// deletion. Only what the feed tells of their entities is moved.
    async fn deleted_tables(&self) -> Result<(), Error> {
        for table in moved_table::deleted(self.from).await? {
            if columns::of_table(self.to, &table).await?.is_empty() {
                let made = moved_table::deleted_table(self.to.dialect(), &table);
                self.to.write(vec![made], Room::Free).await?;
            }
        }
        Ok(())
    }

    /// Makes the missing tables of classes in the target, without the columns that refer to other
    /// tables. These columns are added when all tables exist, because classes may refer to each
    /// other in a circle. If the source does not check a reference, because its property became
    /// required later, the target does not check it either.
    async fn class_tables(&self, classes: &[Class]) -> Result<(), Error> {
        for class in classes {
            let table = class.table();
            if !columns::of_table(self.to, &table).await?.is_empty() {
                continue;
            }
            let kept = columns::references(self.from, &table).await?;
            let columns = columns::of_table(self.from, &table).await?;
            let class = with_shared(class, &columns);
            let made = schema::class_table_alone(self.to.dialect(), &class, &kept);
            self.to.write(vec![made], Room::Free).await?;
        }
        Ok(())
    }

    async fn table(&self, name: &str, key: &[&str]) -> Result<MovedTable, Error> {
        let retired = class_tables::retired_of(self.from, name).await?;
        let is_moved = |column: &String| {
            let is_retired = class_tables::is_retired(column) || retired.contains(column);
            !COMPUTED.contains(&(name, column.as_str())) && !is_retired
        };
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
        Ok(MovedTable { name: name.to_owned(), key, columns: from, late: vec![] })
    }

    /// Moves the rows after the last one that has arrived.
    async fn copy(&self, table: &MovedTable) -> Result<(), Error> {
        let last = self.to.read(Statement::new(table.last())).await?;
        let mut behind = last.into_iter().next().map(|row| row.0);
        loop {
            let rows = self.from.read(table.page(behind.as_deref())).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            behind = Some(table.key_of(last));
            self.to.write(table.inserts(rows), Room::Free).await?;
        }
    }

    /// Writes the columns that refer to rows which were copied later.
    async fn fill(&self, table: &MovedTable) -> Result<(), Error> {
        let mut behind: Option<Vec<Value>> = None;
        loop {
            let rows = self.from.read(table.page(behind.as_deref())).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            behind = Some(table.key_of(last));
            self.to.write(table.fills(&rows), Room::Free).await?;
        }
    }

    /// Reads a table of both databases again, and compares the rows. Returns their number.
    async fn compare(&self, table: &MovedTable) -> Result<u64, Error> {
        let (mut behind, mut count): (Option<Vec<Value>>, u64) = (None, 0);
        loop {
            let sent = self.from.read(table.page(behind.as_deref())).await?;
            let arrived = self.to.read(table.page(behind.as_deref())).await?;
            // One of the pages may be shorter, because the size of a page is limited.
            let both = sent.len().min(arrived.len());
            if both == 0 {
                return if sent.len() == arrived.len() { Ok(count) } else { Err(DIFFERS) };
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
