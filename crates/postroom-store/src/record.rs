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
use crate::entity_row::EntityRow;
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
pub(crate) const OF_TIME: [&str; 2] = ["lastPollAt", "lastProofAt"];

/// How often a change is tried again when others change the same entity meanwhile.
pub(crate) const ATTEMPTS: usize = 20;

/// The entities of one class in one domain, to be changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    store: &'a Store,
    domain: &'a Domain,
    class: &'a Class,
}

/// A new value of a property.
struct NewValue<'a> {
    property: &'a Property,
    value: Value,
}

impl Store {
    /// The entities of a class in a domain, to be changed.
    pub(crate) fn records<'a>(&'a self, domain: &'a Domain, class: &'a Class) -> Records<'a> {
        Records { store: self, domain, class }
    }
}

impl Records<'_> {
    /// Keeps a new entity.
    pub(crate) fn create(&self, row: EntityRow) -> Vec<Statement> {
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
            .of_class(row.class);
        batch.extend([insert, self.row(id, Operation::Create, None)]);
        batch
    }

    /// Whether new entities take numbers that are counted up.
    pub(crate) fn counts(&self) -> bool {
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

    /// Changes an entity. Its version grows. Null unsets. `files` are the former files of each
    /// property whose files change in the same batch.
    pub(crate) fn change(
        &self,
        current: &Entity,
        changes: &Map<String, Json>,
        files: Map<String, Json>,
    ) -> Result<[Statement; 2], Error> {
        let values = self.values_of(current.id, changes)?;
        self.grow(current, values, files)
    }

    /// Gives an entity those values of `row` that `takes` names, by name and value. Its version
    /// grows.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`].
    pub(crate) fn fill(
        &self,
        current: &Entity,
        row: EntityRow,
        takes: impl Fn(&str, &Value) -> bool,
    ) -> Result<[Statement; 2], Error> {
        if row.class != self.class.into() {
            // Its values may be those of other columns.
            return Err(Error::Condition(Failed::OtherClasses));
        }
        let values = self.class.columns().zip(row.values);
        let values = values.map(|(property, value)| NewValue { property, value });
        let is_taken = |new: &NewValue| {
            !self.class.own().contains(new.property) && takes(&new.property.name, &new.value)
        };
        self.grow(current, values.filter(is_taken).collect(), Map::new())
    }

    /// Gives an entity new values. Its version grows. `files` are as in [`Self::change`].
    fn grow(
        &self,
        current: &Entity,
        values: Vec<NewValue>,
        files: Map<String, Json>,
    ) -> Result<[Statement; 2], Error> {
        let set = "\"version\" = \"version\" + 1".to_owned();
        let mut replaced = files;
        replaced.insert(VERSION.to_owned(), Json::from(current.version));
        let update = self.update(current, values, vec![set], &mut replaced)?;
        Ok([update, self.row(current.id, Operation::Change, Some(replaced))])
    }

    /// Sets properties that only the engine sets. The version stays the same, so that a client's
    /// `If-Match` still matches, because no property of the client changed. Unchanged values are
    /// left out. If all are unchanged, there is no statement.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`].
    pub(crate) fn report(
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
        let values = self.values_of(current.id, &changes)?;
        let mut batch = vec![self.update(current, values, vec![], &mut replaced)?];
        if replaced.keys().any(|name| !OF_TIME.contains(&name.as_str())) {
            batch.push(self.row(current.id, Operation::Change, Some(replaced)));
        }
        Ok(batch)
    }

    /// Sets properties that only the engine sets, as [`Self::report`], whoever changes the entity
    /// meanwhile. Nothing when there is none.
    ///
    /// # Errors
    ///
    /// When the store fails, or many others change the entity.
    pub(crate) async fn tell(&self, id: EntityId, values: &Map<String, Json>) -> Result<(), Error> {
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
    pub(crate) fn delete(&self, current: &Entity) -> [Statement; 3] {
        let table = quoted(&self.class.table());
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"version\" = $2");
        let gone = Statement::new(sql).bind(current.id).bind(current.version);
        let gone = gone.of_class(self.class);
        let row = self.row(current.id, Operation::Delete, None);
        [gone.must_change(Failed::Stale), forget(self.class, current.id), row]
    }

    /// Deletes an entity, whatever its version, if it is there.
    pub(crate) fn delete_any(&self, id: EntityId) -> [Statement; 3] {
        let table = quoted(&self.class.table());
        let values = format!(
            "SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM {table}
             WHERE \"id\" = $3 AND \"domain\" = $1"
        );
        let sql = ROW.replace("VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", &values);
        let row = self.row_of(sql, id, Operation::Delete, None);
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
        let gone = Statement::new(sql).bind(id).bind(self.domain.as_str());
        let gone = gone.of_class(self.class);
        [row, gone, forget(self.class, id)]
    }

    /// The values of the columns that `changes` names.
    fn values_of(
        &self,
        id: EntityId,
        changes: &Map<String, Json>,
    ) -> Result<Vec<NewValue<'_>>, Error> {
        let key = &self.store.inner.key;
        let mut values = vec![];
        for property in self.class.columns() {
            if let Some(json) = changes.get(&property.name) {
                let value = columns::to_value(key, self.class, id, property, json)?;
                values.push(NewValue { property, value });
            }
        }
        Ok(values)
    }

    /// The one statement that changes an entity: it succeeds only while the entity has this version
    /// and the former values. Adds the former values to `replaced`, but no secrets.
    fn update(
        &self,
        current: &Entity,
        new: Vec<NewValue>,
        mut set: Vec<String>,
        replaced: &mut Map<String, Json>,
    ) -> Result<Statement, Error> {
        let key = &self.store.inner.key;
        let mut values: Vec<Value> = vec![];
        let mut is_so = String::new();
        for NewValue { property, value } in new {
            let column = quoted(&property.name);
            values.push(value);
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
        let sql = format!(
            "UPDATE {} SET {} WHERE \"id\" = $1 AND \"domain\" = $2 AND \"version\" = $3{is_so}",
            quoted(&self.class.table()),
            set.join(", ")
        );
        let update = Statement::new(sql).bind(current.id).bind(self.domain.as_str());
        let update = update.bind(current.version).of_class(self.class).bind_all(values);
        Ok(update.must_change(Failed::Stale))
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
pub(crate) fn poll_times(class: &Class, folder: FolderId, times: PollTimes) -> Statement {
    let [poll, proof] = OF_TIME.map(quoted);
    let sql = format!(
        "UPDATE {} SET {poll} = COALESCE($2, {poll}), {proof} = COALESCE($3, {proof})
         WHERE \"id\" = $1",
        quoted(&class.table())
    );
    let moment = |time: Option<Timestamp>| time.map_or(Value::Null, |t| Value::Moment(t.as_ms()));
    let written = Statement::new(sql).bind(folder).bind(moment(times.poll));
    written.bind(moment(times.proof)).of_class(class)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_model::builtin::MESSAGES;
    use postroom_testkit::on_both;
    use serde_json::json;

    fn object(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[on_both]
    async fn each_change_is_refused_when_a_value_that_it_replaces_is_another_by_now() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let records = store.records(&domain, &class);
        let values = object(&json!({"messageDirection": "in", "errorText": "a"}));
        let entity = Entity::new(store.clock().new_id(), values);
        let row = |entity: &Entity| store.entity_row(&class, entity).unwrap();
        store.write(records.create(row(&entity))).await.unwrap();
        let get = async || store.entity_get(&domain, &class, entity.id).await.unwrap().unwrap();
        let read = get().await;
        // A report leaves the version as it is.
        let told = object(&json!({"errorText": "b"}));
        store.write(records.report(&read, &told).unwrap()).await.unwrap();
        let filling = Entity::new(entity.id, object(&json!({"subject": "s", "errorText": "c"})));
        let takes = |name: &str, _: &Value| ["subject", "errorText"].contains(&name);
        let fill = |read: &Entity| records.fill(read, row(&filling), takes).unwrap().into();
        let changes = object(&json!({"errorText": "c"}));
        let change = |read: &Entity| records.change(read, &changes, Map::new()).unwrap().into();
        for batch in [fill(&read), change(&read)] {
            let written = store.write(batch).await;
            assert!(matches!(written, Err(Error::Condition(Failed::Stale))), "{written:?}");
        }
        let read = get().await;
        store.write(fill(&read)).await.unwrap();
        let filled = get().await;
        assert_eq!((filled.text("subject"), filled.text("errorText")), (Some("s"), Some("c")));
        // What was not taken stays, and the feed has what was replaced.
        assert_eq!(filled.text("messageDirection"), Some("in"));
        let last = store.feed_list(&domain, 0, 9).await.unwrap().pop().unwrap();
        assert_eq!(last.undo(filled), Some(read));
    }

    #[on_both]
    async fn a_row_of_other_classes_fills_nothing() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let entity = Entity::new(store.clock().new_id(), Map::new());
        let row = store.entity_row(&class, &entity).unwrap();
        let later = Class { revision: class.revision + 1, ..class.as_ref().clone() };
        let filled = store.records(&domain, &later).fill(&entity, row, |_, _| true);
        assert!(matches!(filled, Err(Error::Condition(Failed::OtherClasses))));
    }
}
