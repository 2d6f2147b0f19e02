//! How a change of the classes changes their tables, in the transaction of the change.
//!
//! ```text
//!   new class, property      CREATE TABLE, ADD COLUMN. Existing rows are not rewritten: for them,
//!                            the database returns the default
//!   renamed property         RENAME COLUMN
//!   other type               a new column, filled from the former one
//!   reference to another     the same, if the column has a foreign key
//!   class, or none
//!   deleted class            the table gets a name that no class can have. `class_deleted` empties
//!                            it later, in small steps
//!   removed property         a row of the table `retired` names its column. `retired` renames and
//!                            empties it later
//! ```
//! The columns of removed properties are renamed later, because SQLite reads the whole schema for
//! each renamed column, and a change may remove many properties.
//!
//! Only this file and `record` change rows of class tables. The statements here change no value of
//! an entity, so they write no row of the feed.

use crate::class_index::own_indexes;
use crate::classes::CLASSES;
use crate::columns;
use crate::columns::kind;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::file_property::stored_property;
use crate::schema;
use postroom_model::Class;
use postroom_model::ClassStep;
use postroom_model::DataType;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::RenamedProperty;
use postroom_model::class_steps;

/// The beginning of the names of the columns of removed properties.
pub(crate) const RETIRED: &str = "retired property ";

/// A class before and after a change of the classes.
pub(crate) struct TableChange<'a> {
    /// The class before. `None`: it is new.
    pub before: Option<&'a Class>,
    /// The class after, with what it inherits.
    pub after: &'a Class,
    /// The properties that are renamed.
    pub renamed: &'a [RenamedProperty],
}

/// Makes the statements of a change of the classes.
pub(crate) struct Tables<'a> {
    database: &'a dyn Database,
    /// All classes after the change, with what they inherit.
    classes: &'a [Class],
    /// The version of the classes after the change.
    version: i64,
    retired: usize,
    /// The statements so far.
    pub batch: Vec<Statement>,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(database: &'a dyn Database, classes: &'a [Class], version: i64) -> Self {
        Self { database, classes, version, retired: 0, batch: vec![] }
    }

    /// Adds the statements for the change of one class.
    pub(crate) async fn change(&mut self, change: &TableChange<'_>) -> Result<(), Error> {
        let TableChange { before, after, renamed } = change;
        // Before the columns are read: a column that is renamed in between is then not present.
        let retired = retired_of(self.database, &after.table()).await?;
        let mut present = columns::of_table(self.database, &after.table()).await?;
        self.make_way(after, &retired, &mut present);
        let Some(before) = before.filter(|_| !present.is_empty()) else {
            self.make(after, &present)?;
            return Ok(());
        };
        let steps = class_steps(before, after, renamed);
        let keys = columns::references(self.database, &after.table()).await?;
        let is_other = |step: &ClassStep<'_>| match step {
            ClassStep::Add(_) => false,
            ClassStep::Remove(_) => true,
            ClassStep::Change { before, after } => {
                before.name != after.name || !keeps_column(before, after, &keys)
            }
        };
        // An index with a column that changes is dropped. It is made again later if a class still
        // asks for it.
        let others = steps.iter().filter(|step| is_other(step));
        let others: Vec<_> = others.filter_map(|step| step.former()).collect();
        for index in own_indexes(self.database.dialect(), before) {
            if others.iter().any(|name| index.columns.iter().any(|column| column == name)) {
                self.run(format!("DROP INDEX IF EXISTS {}", quoted(&index.name)));
            }
        }
        for step in &steps {
            if let ClassStep::Remove(property) = step {
                self.remove(before, property);
                present.retain(|name| *name != property.name);
            }
        }
        for step in &steps {
            if let ClassStep::Change { before: former, after: property } = step {
                self.alter(after, former, property, &keys);
                present.retain(|name| *name != former.name);
                present.push(property.name.clone());
            }
        }
        self.make(after, &present)
    }

    /// Renames columns of removed properties whose names the class needs again.
    fn make_way(&mut self, class: &Class, retired: &[String], present: &mut Vec<String>) {
        for column in retired {
            let is_wanted = class.columns().any(|p| p.name.eq_ignore_ascii_case(column));
            if is_wanted && present.contains(column) {
                present.retain(|name| name != column);
                let to = self.retire("property");
                self.batch.extend(renamed(&class.table(), column, &to));
            }
        }
    }

    /// Adds the statements that retire the table of a deleted class. Returns its new name.
    pub(crate) fn drop(&mut self, class: &Class) -> String {
        let table = class.table();
        for index in own_indexes(self.database.dialect(), class) {
            self.run(format!("DROP INDEX IF EXISTS {}", quoted(&index.name)));
        }
        let gone = "DELETE FROM \"counter\" WHERE \"class\" = $1";
        self.batch.push(Statement::new(gone).bind(class.id.to_string()));
        // The columns of removed properties are deleted with the table.
        let gone = "DELETE FROM \"retired\" WHERE \"table\" = $1";
        self.batch.push(Statement::new(gone).bind(table.as_ref()));
        let name = self.retire("table");
        self.run(format!("ALTER TABLE {} RENAME TO {}", quoted(&table), quoted(&name)));
        name
    }

    /// Adds the statements that make the table of a class, or its missing columns and indexes.
    fn make(&mut self, class: &Class, present: &[String]) -> Result<(), Error> {
        let dialect = self.database.dialect();
        let default = |property: &Property| {
            let value = columns::plain_value(class, property, &property.default)?;
            Ok(constant(dialect, &value))
        };
        let statements = schema::class_table(dialect, self.classes, class, present, default)?;
        self.batch.extend(statements);
        Ok(())
    }

    /// Adds the statements that retire the column, or the files, of a removed property.
    fn remove(&mut self, class: &Class, property: &Property) {
        if property.is_file() {
            let name = self.retire("property");
            self.batch.push(files_are_of(&stored_property(class, &property.name), &name));
            self.batch.push(retired("file", &name));
            return;
        }
        if property.data_type == DataType::Increment {
            let gone = "DELETE FROM \"counter\" WHERE \"class\" = $1 AND \"property\" = $2";
            let gone = Statement::new(gone).bind(class.id.to_string());
            self.batch.push(gone.bind(property.name.as_str()));
        }
        self.batch.push(retired(&class.table(), &property.name));
    }

    /// Adds the statements that give a property its new name and type.
    fn alter(&mut self, class: &Class, before: &Property, after: &Property, keys: &[String]) {
        if after.is_file() {
            if before.name != after.name {
                let [from, to] = [before, after].map(|p| stored_property(class, &p.name));
                self.batch.push(files_are_of(&from, &to));
            }
            return;
        }
        if before.data_type == DataType::Increment && before.name != after.name {
            let count = "UPDATE \"counter\" SET \"property\" = $3
                WHERE \"class\" = $1 AND \"property\" = $2";
            let count = Statement::new(count).bind(class.id.to_string());
            self.batch.push(count.bind(before.name.as_str()).bind(after.name.as_str()));
        }
        if keeps_column(before, after, keys) {
            if before.name != after.name {
                self.rename_column(class, &before.name, &after.name);
            }
            return;
        }
        let former = self.retire("property");
        self.rename_column(class, &before.name, &former);
        let column = schema::column(self.database.dialect(), self.classes, after);
        let table = quoted(&class.table());
        self.run(format!("ALTER TABLE {table} ADD COLUMN {column}"));
        if let Some(value) = converted(&former, kind(before), kind(after)) {
            let (former, name) = (quoted(&former), quoted(&after.name));
            self.run(format!("UPDATE {table} SET {name} = {value} WHERE {former} IS NOT NULL"));
        }
        self.batch.push(retired(&class.table(), &former));
    }

    fn rename_column(&mut self, class: &Class, from: &str, to: &str) {
        let table = quoted(&class.table());
        let (from, to) = (quoted(from), quoted(to));
        self.run(format!("ALTER TABLE {table} RENAME COLUMN {from} TO {to}"));
    }

    /// A new name, which no client can give to a class or property.
    fn retire(&mut self, what: &str) -> String {
        self.retired += 1;
        format!("retired {what} {} {}", self.version, self.retired)
    }

    fn run(&mut self, sql: String) {
        self.batch.push(Statement::new(sql));
    }
}

/// The columns of removed properties of a table that are to be emptied.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn retired_of(database: &dyn Database, table: &str) -> Result<Vec<String>, Error> {
    let all = "SELECT \"column\" FROM \"retired\" WHERE \"table\" = $1 AND \"column\" <> ''";
    let rows = database.read(Statement::new(all).bind(table)).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

/// The statements that give a retired column a name that no property can have, so that a property
/// can have its name. Nobody else may change classes meanwhile.
pub(crate) fn renamed(table: &str, column: &str, to: &str) -> [Statement; 3] {
    let is_retired = is_still_retired(table, column);
    let sql = "UPDATE \"retired\" SET \"column\" = $3 WHERE \"table\" = $1 AND \"column\" = $2";
    let noted = Statement::new(sql).bind(table).bind(column).bind(to);
    let (table, column, to) = (quoted(table), quoted(column), quoted(to));
    let renamed = format!("ALTER TABLE {table} RENAME COLUMN {column} TO {to}");
    [is_retired, noted, Statement::new(renamed)]
}

/// The condition that a column is still to be emptied. It also locks the classes.
fn is_still_retired(table: &str, column: &str) -> Statement {
    let sql = "SELECT 1 FROM \"retired\" WHERE \"table\" = $1 AND \"column\" = $2";
    let is_retired = Statement::new(sql).bind(table).bind(column);
    is_retired.assert(Failed::OtherClasses, Lock::Name(CLASSES))
}

/// Whether a column is that of a removed property, whose values are deleted or to be deleted.
pub(crate) fn is_retired(column: &str) -> bool {
    column.starts_with(RETIRED)
}

/// A value as a constant of SQL.
fn constant(dialect: &dyn Dialect, value: &Value) -> String {
    match value {
        // No property has bytes and a default.
        Value::Null | Value::Bytes(_) => "NULL".to_owned(),
        Value::Boolean(flag) => if *flag { "TRUE" } else { "FALSE" }.to_owned(),
        Value::Whole(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) | Value::Json(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Moment(ms) => dialect.moment(*ms),
        Value::Id(id) => dialect.id(&id.uuid().simple().to_string()),
    }
}

/// Whether a changed property keeps its column. A column with a foreign key, which those of `keys`
/// have, cannot refer to another table.
fn keeps_column(before: &Property, after: &Property, keys: &[String]) -> bool {
    let has_key = keys.contains(&before.name);
    kind(before) == kind(after) && (before.idclass == after.idclass || !has_key)
}

/// The SQL that converts the value of a column to another kind. `None`: the column has no value,
/// which [`demands`](postroom_model::demands) asks for with each of these kinds.
fn converted(column: &str, from: ColumnKind, to: ColumnKind) -> Option<String> {
    let column = quoted(column);
    match (from, to) {
        (ColumnKind::Whole, ColumnKind::Float) => Some(column),
        (ColumnKind::Whole, ColumnKind::Text) => Some(format!("CAST({column} AS TEXT)")),
        (from, to) if from == to => Some(column),
        _ => None,
    }
}

/// The statement that records that a table or column is to be emptied.
fn retired(table: &str, column: &str) -> Statement {
    let sql = "INSERT INTO \"retired\" (\"table\", \"column\") VALUES ($1, $2)";
    Statement::new(sql).bind(table).bind(column)
}

/// The statement that moves files to another property.
fn files_are_of(from: &str, to: &str) -> Statement {
    let sql = "UPDATE \"file\" SET \"property\" = $2 WHERE \"property\" = $1
        AND \"property\" NOT IN ('file', 'html', 'inlines', 'rawMessage')";
    Statement::new(sql).bind(from).bind(to)
}

/// The statement that unsets a retired column in the rows behind the first id and up to the last.
pub(crate) fn column_emptied(
    table: &str,
    column: &str,
    [behind, last]: [EntityId; 2],
) -> Statement {
    let (table, column) = (quoted(table), quoted(column));
    let sql = format!(
        "UPDATE {table} SET {column} = NULL
         WHERE \"id\" > $1 AND \"id\" <= $2 AND {column} IS NOT NULL"
    );
    Statement::new(sql).bind(behind).bind(last)
}

/// The same in the rows of a domain.
pub(crate) fn values_unset(
    domain: &str,
    table: &str,
    column: &str,
    [behind, last]: [EntityId; 2],
) -> Statement {
    let (table, column) = (quoted(table), quoted(column));
    let sql = format!(
        "UPDATE {table} SET {column} = NULL WHERE \"domain\" = $1 AND \"id\" > $2
           AND \"id\" <= $3 AND {column} IS NOT NULL"
    );
    Statement::new(sql).bind(domain).bind(behind).bind(last)
}

/// The statement that deletes some rows of a retired table.
pub(crate) fn rows_deleted(table: &str, count: u32) -> Statement {
    let table = quoted(table);
    let sql = format!("DELETE FROM {table} WHERE \"id\" IN (SELECT \"id\" FROM {table} LIMIT $1)");
    Statement::new(sql).bind(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_model::builtin;
    use postroom_model::patched;
    use postroom_testkit::on_both;
    use serde_json::json;

    #[on_both]
    async fn removing_properties_changes_no_table_at_once() {
        let (_directory, store) = store().await;
        let sent = |more: fn(usize) -> serde_json::Value| json!({"properties": (0..100).map(more).collect::<Vec<_>>()});
        let added = sent(|at| json!({"name": format!("p{at}"), "data_type": "string"}));
        let former = store.classes();
        let change = patched(former.get(builtin::PROFILES).unwrap(), &added).unwrap();
        let before = store.class_change(&former, change, None).await.unwrap();
        let before = before.get(builtin::PROFILES).unwrap();
        let removed = sent(|at| json!({"name": format!("p{at}"), "removed": true}));
        let after = patched(before, &removed).unwrap().class;
        let classes = [after.clone()];
        let inner = &store.inner;
        let mut tables = Tables::new(inner.database.as_ref(), &classes, 3);
        let change = TableChange { before: Some(before), after: &after, renamed: &[] };
        tables.change(&change).await.unwrap();
        let altered = tables.batch.iter().filter(|one| one.sql.contains("ALTER TABLE"));
        assert_eq!(altered.count(), 0, "SQLite reads its whole schema for each");
        let noted = tables.batch.iter().filter(|one| one.sql.contains("INTO \"retired\""));
        assert_eq!(noted.count(), 100);
    }
}
