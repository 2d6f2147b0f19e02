//! The only place that changes class tables: each statement with its row of the feed.
//!
//! A caller that changes an entity gives its former state. The statement succeeds only if version
//! and changed values still equal that state. So the replaced values in the feed are right. `cargo
//! xtask tidy` refuses changes of class tables elsewhere.

use crate::columns;
use crate::columns::LEADING;
use crate::columns::column_list;
use crate::columns::kind;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::feed::Operation;
use crate::feed::VERSION;
use crate::poll_times::PollTimes;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::Property;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use std::borrow::Cow;

/// Properties with times only. A change of only these writes no row of the feed. See
/// [`crate::poll_times`].
pub const OF_TIME: [&str; 2] = ["lastPollAt", "lastProofAt"];

/// How often a change is tried again when others change the same entity meanwhile.
pub const ATTEMPTS: usize = 20;

/// The entities of one class in one domain, to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    store: &'a Store,
    domain: &'a Domain,
    class: &'a Class,
}

/// An entity as a row of its class: lists are text, which takes a tenth of their memory.
#[derive(Debug, Clone)]
pub struct EntityRow {
    /// The id of the entity.
    pub id: EntityId,
    version: i64,
    /// The version of the classes that it was built with.
    classes: i64,
    /// Those of the columns, in the order of the class.
    values: Vec<Value>,
}

impl Store {
    /// The row that an entity of a class will be. With large values that is work: do it where such
    /// work belongs.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] names the first property whose value is of another type.
    pub fn entity_row(&self, class: &Class, entity: &Entity) -> Result<EntityRow, Error> {
        let value = |property: &Property| {
            let json = entity.get(&property.name);
            // What Postroom makes has the defaults of clients too.
            let is_own = class.own().contains(property);
            let json = if json.is_null() && is_own { &property.default } else { json };
            columns::to_value(&self.inner.key, class, entity.id, property, json)
        };
        let values = class.columns().map(value).collect::<Result<_, _>>()?;
        let (id, version) = (entity.id, entity.version);
        Ok(EntityRow { id, version, classes: class.version, values })
    }

    /// The entities of a class in a domain, to be changed.
    pub(crate) fn records<'a>(&'a self, domain: &'a Domain, class: &'a Class) -> Records<'a> {
        Records { store: self, domain, class }
    }
}

impl Records<'_> {
    /// Keeps a new entity.
    pub fn create(&self, row: EntityRow) -> Vec<Statement> {
        let id = row.id;
        let counted = self.class.columns().filter(|property| is_counted(property));
        let mut batch: Vec<_> = counted.map(|property| self.count(property)).collect();
        let values = self.class.columns().zip(row.values);
        let values = values.filter(|(property, _)| !is_counted(property));
        let insert = Statement::new(insert_of(self.class))
            .bind(self.domain.as_str())
            .bind(row.id)
            .bind(row.version)
            .bind_all(values.map(|(_, value)| value))
            .of_classes(row.classes);
        batch.extend([insert, self.row(id, Operation::Create, None)]);
        batch
    }

    /// Whether new entities take numbers that are counted up.
    pub fn counts(&self) -> bool {
        self.class.columns().any(is_counted)
    }

    /// Counts an increment up. Each domain counts by itself.
    fn count(&self, property: &Property) -> Statement {
        let sql = "INSERT INTO \"counter\" (\"domain\", \"class\", \"property\", \"number\")
            VALUES ($1, $2, $3, 1) ON CONFLICT (\"domain\", \"class\", \"property\")
            DO UPDATE SET \"number\" = \"counter\".\"number\" + 1";
        let count = Statement::new(sql).bind(self.domain.as_str());
        count.bind(self.class.id.to_string()).bind(property.name.as_str())
    }

    /// Changes an entity; its version grows. Null unsets. `files` are the former files of each
    /// property whose files change in the same batch.
    pub fn change(
        &self,
        current: &Entity,
        changes: &Map<String, Json>,
        files: Map<String, Json>,
    ) -> Result<[Statement; 2], Error> {
        let set = "\"version\" = \"version\" + 1".to_owned();
        let mut replaced = files;
        replaced.insert(VERSION.to_owned(), Json::from(current.version));
        let update = self.update(current, changes, vec![set], &mut replaced)?;
        Ok([update, self.row(current.id, Operation::Change, Some(replaced))])
    }

    /// Gives an entity those values of `row` that `takes` names, by name and value; its version
    /// grows.
    pub fn fill(
        &self,
        current: &Entity,
        row: EntityRow,
        takes: impl Fn(&str, &Value) -> bool,
    ) -> [Statement; 2] {
        let mut set = vec!["\"version\" = \"version\" + 1".to_owned()];
        let (mut values, mut replaced) = (vec![], Map::new());
        replaced.insert(VERSION.to_owned(), Json::from(current.version));
        let classes = row.classes;
        for (property, value) in self.class.columns().zip(row.values) {
            if !self.class.own().contains(property) && takes(&property.name, &value) {
                values.push(value);
                set.push(format!("{} = ${}", quoted(&property.name), values.len() + BOUND));
                if !property.write_only() {
                    replaced.insert(property.name.clone(), current.get(&property.name).clone());
                }
            }
        }
        let update = self.update_of(current, &set, "").bind_all(values).of_classes(classes);
        let update = update.must_change(Failed::Stale);
        [update, self.row(current.id, Operation::Change, Some(replaced))]
    }

    /// Sets properties that only the engine sets. The version stays the same, so that a client's
    /// `If-Match` still matches, because no property of the client changed. Unchanged values are
    /// left out. If all are unchanged, there is no statement.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`].
    pub fn report(
        &self,
        current: &Entity,
        values: &Map<String, Json>,
    ) -> Result<Vec<Statement>, Error> {
        let differs = |(name, value): &(&String, &Json)| current.get(name) != *value;
        let changes: Map<_, _> = values
            .iter()
            .filter(differs)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if changes.is_empty() {
            return Ok(vec![]);
        }
        let mut replaced = Map::new();
        let mut batch = vec![self.update(current, &changes, vec![], &mut replaced)?];
        if replaced.keys().any(|name| !OF_TIME.contains(&name.as_str())) {
            batch.push(self.row(current.id, Operation::Change, Some(replaced)));
        }
        Ok(batch)
    }

    /// Sets properties that only the engine sets, as [`Self::report`], whoever changes the entity
    /// meanwhile; nothing when there is none.
    ///
    /// # Errors
    ///
    /// When the store fails, or many others change the entity.
    pub async fn tell(&self, id: EntityId, values: &Map<String, Json>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let class = self.store.class(&self.class.classname);
            let class = class.ok_or(Error::Condition(Failed::OtherClasses))?;
            let records = Records { class: &class, ..*self };
            let Some(current) = self.store.entity_get(self.domain, &class, id).await? else {
                return Ok(());
            };
            let batch = records.report(&current, values)?;
            if batch.is_empty() {
                return Ok(());
            }
            // On a full disk the account and the folder must be able to say so.
            let text = values.get(names::STATUS_TEXT);
            let written = if text.is_some_and(|text| text != current.get(names::STATUS_TEXT)) {
                self.store.write_at_need(batch).await
            } else {
                self.store.write(batch).await
            };
            match written {
                Ok(_) => return Ok(()),
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale | Failed::OtherClasses)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Deletes an entity of this version. The feed keeps its id and nothing else.
    pub fn delete(&self, current: &Entity) -> [Statement; 3] {
        let table = quoted(&self.class.table());
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"version\" = $2");
        let gone = Statement::new(sql).bind(current.id).bind(current.version);
        let gone = gone.of_classes(self.class.version);
        let row = self.row(current.id, Operation::Delete, None);
        [gone.must_change(Failed::Stale), forget(self.class, current.id), row]
    }

    /// Deletes an entity, whatever its version, if it is there.
    pub fn delete_any(&self, id: EntityId) -> [Statement; 3] {
        let table = quoted(&self.class.table());
        let values = format!(
            "SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM {table}
             WHERE \"id\" = $3 AND \"domain\" = $1"
        );
        let sql = ROW.replace("VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", &values);
        let row = self.row_of(sql, id, Operation::Delete, None);
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
        let gone = Statement::new(sql).bind(id).bind(self.domain.as_str());
        let gone = gone.of_classes(self.class.version);
        [row, gone, forget(self.class, id)]
    }

    /// The statement that changes what the class has of `changes`; adds the former values to
    /// `replaced`, but no secrets.
    fn update(
        &self,
        current: &Entity,
        changes: &Map<String, Json>,
        mut set: Vec<String>,
        replaced: &mut Map<String, Json>,
    ) -> Result<Statement, Error> {
        let key = &self.store.inner.key;
        let mut values: Vec<Value> = vec![];
        let mut is_so = String::new();
        for property in self.class.columns() {
            let Some(json) = changes.get(&property.name) else {
                continue;
            };
            let column = quoted(&property.name);
            values.push(columns::to_value(key, self.class, current.id, property, json)?);
            set.push(format!("{column} = ${}", values.len() + BOUND));
            if property.write_only() {
                continue;
            }
            let former = current.get(&property.name);
            if is_compared(property) {
                values.push(columns::to_value(key, self.class, current.id, property, former)?);
                let place = values.len() + BOUND;
                is_so.push_str(&format!(" AND {column} IS NOT DISTINCT FROM ${place}"));
            }
            replaced.insert(property.name.clone(), former.clone());
        }
        let update = self.update_of(current, &set, &is_so).bind_all(values);
        Ok(update.must_change(Failed::Stale))
    }

    /// The statement that changes an entity of this version, if `is_so` holds too. Values are bound
    /// from the place after [`BOUND`] on.
    fn update_of(&self, current: &Entity, set: &[String], is_so: &str) -> Statement {
        let sql = format!(
            "UPDATE {} SET {} WHERE \"id\" = $1 AND \"domain\" = $2 AND \"version\" = $3{is_so}",
            quoted(&self.class.table()),
            set.join(", ")
        );
        Statement::new(sql)
            .bind(current.id)
            .bind(self.domain.as_str())
            .bind(current.version)
            .of_classes(self.class.version)
    }

    fn row(
        &self,
        id: EntityId,
        operation: Operation,
        replaced: Option<Map<String, Json>>,
    ) -> Statement {
        let replaced = replaced.map(|replaced| Json::Object(replaced).to_string());
        self.row_of(ROW, id, operation, replaced)
    }

    /// The statement that writes a row of the feed, in these words.
    fn row_of(
        &self,
        sql: impl Into<Cow<'static, str>>,
        id: EntityId,
        operation: Operation,
        replaced: Option<String>,
    ) -> Statement {
        Statement::new(sql)
            .bind(self.domain.as_str())
            .bind(self.class.classname.as_str())
            .bind(id)
            .bind(operation.number())
            .bind(self.store.clock().now_ms())
            .bind(replaced)
            .bind(self.store.modifier.kind())
            .bind(self.store.modifier.id())
    }
}

/// The statement that writes the times of a folder. It writes no row of the feed.
pub fn poll_times(class: &Class, folder: FolderId, times: PollTimes) -> Statement {
    let [poll, proof] = OF_TIME.map(quoted);
    let sql = format!(
        "UPDATE {} SET {poll} = COALESCE($2, {poll}), {proof} = COALESCE($3, {proof})
         WHERE \"id\" = $1",
        quoted(&class.table())
    );
    let moment = |time: Option<Timestamp>| time.map_or(Value::Null, |t| Value::Moment(t.as_ms()));
    let written = Statement::new(sql).bind(folder).bind(moment(times.poll));
    written.bind(moment(times.proof)).of_classes(class.version)
}

/// The INSERT of a class with all its columns. Increments are those that were counted up before.
fn insert_of(class: &Class) -> String {
    let mut places: Vec<_> = (1..=LEADING).map(|at| format!("${at}")).collect();
    let mut bound = LEADING;
    for property in class.columns() {
        places.push(if is_counted(property) {
            // Both are of letters, digits and dashes.
            let (id, name) = (class.id, &property.name);
            format!(
                "(SELECT \"number\" FROM \"counter\" WHERE \"domain\" = $1
                   AND \"class\" = '{id}' AND \"property\" = '{name}')"
            )
        } else {
            bound += 1;
            format!("${bound}")
        });
    }
    let (table, columns) = (quoted(&class.table()), column_list(class, |_| true));
    format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "))
}

/// Whether the store counts the values of a property up.
fn is_counted(property: &Property) -> bool {
    property.data_type == DataType::Increment
}

/// Writes one row of the feed.
const ROW: &str = "INSERT INTO \"change\" (\"domain\", \"class\", \"entity\", \"operation\", \
    \"at\", \"replaced\", \"modifier_type\", \"modifier_id\") \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
/// How many values an update binds before those of properties.
const BOUND: usize = 3;

/// Whether equal values are equal in SQL. JSON may be written in more than one way, and floating
/// point numbers are rounded.
fn is_compared(property: &Property) -> bool {
    match kind(property) {
        ColumnKind::Boolean
        | ColumnKind::Whole
        | ColumnKind::Text
        | ColumnKind::Moment
        | ColumnKind::Id => true,
        ColumnKind::Float | ColumnKind::Json | ColumnKind::Bytes => false,
    }
}

/// The statement that forgets what changes of an entity replaced.
fn forget(class: &Class, entity: EntityId) -> Statement {
    let sql = "UPDATE \"change\" SET \"replaced\" = NULL
        WHERE \"entity\" = $1 AND \"class\" = $2 AND \"replaced\" IS NOT NULL";
    Statement::new(sql).bind(entity).bind(class.classname.as_str())
}
