//! The only place that changes entities in class tables. Each change comes with its row of the
//! feed.
//!
//! A caller that changes an entity passes the entity as it was read. The statement succeeds only if
//! the version and the changed values are still the same. So the replaced values in the feed are
//! right. `cargo xtask tidy` refuses changes of class tables elsewhere.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::batch_change::BatchChange;
use crate::claim_row;
use crate::columns;
use crate::columns::LEADING;
use crate::columns::column_list;
use crate::columns::quoted;
use crate::database::Dialect;
use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::entity_row::EntityRow;
use crate::error::Error;
use crate::failed::Failed;
use crate::feed;
use crate::feed::ToldChange;
use crate::feed::VERSION;
use crate::full_text_row;
use crate::keyring::Sealer;
use crate::made::Made;
use crate::poll_times;
use crate::seq::SEQ;
use crate::store::Store;
use crate::whole;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::Property;
use postroom_model::RightAction;
use postroom_model::builtin::MESSAGES;
use serde_json::Map;
use serde_json::Value as Json;

/// How many times a change is tried if others change the same entity meanwhile.
pub(crate) const ATTEMPTS: usize = 20;

/// Builds the statements that change entities of one class in one domain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    pub store: &'a Store,
    pub domain: &'a Domain,
    pub class: &'a Class,
}

/// The statement that changes an entity.
struct Update {
    statement: Statement,
    /// Whether its row of the feed has all former values of the entity, not only the changed ones.
    is_whole: bool,
}

/// A new value of a property.
struct NewValue<'a> {
    property: &'a Property,
    value: Value,
}

impl Store {
    /// What builds the statements for entities of a class in a domain.
    pub(crate) fn records<'a>(&'a self, domain: &'a Domain, class: &'a Class) -> Records<'a> {
        Records { store: self, domain, class }
    }
}

impl Records<'_> {
    /// The statements that store a new entity.
    pub(crate) fn create(&self, row: EntityRow) -> Vec<Statement> {
        let id = row.id;
        let counted = self.class.columns().filter(|property| is_counted(property));
        let mut batch: Vec<_> = counted.map(|property| self.count(property)).collect();
        let values = self.class.columns().zip(row.values);
        let values: Vec<_> = values.filter(|(property, _)| !is_counted(property)).collect();
        let audits = self.store.audits(self.class);
        let set = values.iter().filter(|(_, value)| audits && *value != Value::Null);
        let set = set.map(|(property, _)| property.name.clone()).collect();
        let change = BatchChange::new();
        let insert = Statement::new(self.insert())
            .bind(self.domain.as_str())
            .bind(row.id)
            .bind(row.version)
            .bind_all(values.into_iter().map(|(_, value)| value))
            .of_class(row.class)
            .makes(Made::entity(self.domain, self.class))
            .of_change(change);
        batch.extend([insert, self.row(ToldChange::of(change, id, Operation::Create))]);
        batch.extend(self.audited(AuditEvent::Create, change, id, set));
        self.bounded(id, RightAction::Create, batch)
    }

    /// Whether the class has properties of the type `increment`, which the store counts up.
    pub(crate) fn counts(&self) -> bool {
        self.class.columns().any(is_counted)
    }

    /// The statement that counts up an increment. Each domain has a counter of its own.
    fn count(&self, property: &Property) -> Statement {
        let sql = "INSERT INTO \"counter\" (\"domain\", \"class\", \"property\", \"number\")
            VALUES ($1, $2, $3, 1) ON CONFLICT (\"domain\", \"class\", \"property\")
            DO UPDATE SET \"number\" = \"counter\".\"number\" + 1";
        let count = Statement::new(sql).bind(self.domain.as_str());
        count.bind(self.class.id.to_string()).bind(property.name.as_str())
    }

    /// The statements that change an entity and raise its version. Null unsets a property. `files`
    /// has the former files of each property whose files change in the same batch.
    pub(crate) fn change(
        &self,
        current: &Entity,
        changes: &Map<String, Json>,
        files: Map<String, Json>,
    ) -> Result<Vec<Statement>, Error> {
        let values = self.values_of(current.id, changes)?;
        let names = files.keys().chain(values.iter().map(|new| &new.property.name));
        let audits = self.store.audits(self.class);
        let names = names.filter(|_| audits).cloned().collect();
        let mut grown: Vec<_> = self.grow(current, values, files)?.into();
        let change = grown.iter().find_map(|statement| statement.change);
        let audited =
            change.map(|change| self.audited(AuditEvent::Change, change, current.id, names));
        grown.extend(audited.into_iter().flatten());
        Ok(self.bounded(current.id, RightAction::Change, grown))
    }

    /// The statements of an action with an entity, if the rights of the client reach it.
    fn bounded(&self, id: EntityId, action: RightAction, batch: Vec<Statement>) -> Vec<Statement> {
        let place = EntityPlace::new(self.domain, self.class, id);
        self.store.bounded(place, action, batch)
    }

    /// The statements that give an entity those values of `row` that `takes` accepts by name and
    /// value, and raise its version. `files` is as in [`Self::change`].
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`]; [`Failed::OtherClasses`] if the row was made for other classes.
    pub(crate) fn fill(
        &self,
        current: &Entity,
        row: EntityRow,
        files: Map<String, Json>,
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
        self.grow(current, values.filter(is_taken).collect(), files)
    }

    /// The statements that give an entity new values. `files` is as in [`Self::change`].
    fn grow(
        &self,
        current: &Entity,
        values: Vec<NewValue>,
        files: Map<String, Json>,
    ) -> Result<[Statement; 2], Error> {
        let mut replaced = files;
        replaced.insert(VERSION.to_owned(), Json::from(current.version));
        let change = BatchChange::new();
        let update = self.update(current, Some(change), values, &mut replaced)?;
        let told = ToldChange::of(change, current.id, Operation::Change);
        let told = told.replacing(replaced, update.is_whole);
        Ok([update.statement, self.row(told)])
    }

    /// The statements that set properties that only the engine sets. The version stays the same, so
    /// that a client's `If-Match` still matches: no property of the client changed. Unchanged
    /// values are left out. If all are unchanged, there are no statements.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`].
    pub(crate) fn report(
        &self,
        current: &Entity,
        values: &Map<String, Json>,
    ) -> Result<Vec<Statement>, Error> {
        let differing = values.iter().filter(|(name, value)| current.get(name) != *value);
        let changes: Map<_, _> =
            differing.map(|(name, value)| (name.clone(), value.clone())).collect();
        if changes.is_empty() {
            return Ok(vec![]);
        }
        let mut replaced = Map::new();
        let values = self.values_of(current.id, &changes)?;
        let is_told = changes.keys().any(|name| poll_times::is_told(self.class, name));
        let change = is_told.then(BatchChange::new);
        let update = self.update(current, change, values, &mut replaced)?;
        let mut batch = vec![update.statement];
        if let Some(change) = change {
            let told = ToldChange::of(change, current.id, Operation::Change);
            batch.push(self.row(told.replacing(replaced, update.is_whole)));
        }
        Ok(batch)
    }

    /// The statements that delete an entity of this version. The feed keeps only its id.
    pub(crate) fn delete(&self, current: &Entity) -> Vec<Statement> {
        let (change, table) = (BatchChange::new(), quoted(&self.class.table()));
        let in_order = self.in_order("$3");
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"version\" = $2{in_order}");
        let gone = Statement::new(sql).bind(current.id).bind(current.version);
        let gone = gone.of_class(self.class).must_change(Failed::Stale);
        let gone = if in_order.is_empty() { gone } else { gone.of_change(change) };
        let told = ToldChange::of(change, current.id, Operation::Delete);
        let audited = self.audited(AuditEvent::Delete, change, current.id, vec![]);
        let gone = [gone, self.row(told)].into_iter().chain(self.forget(current.id)).chain(audited);
        self.bounded(current.id, RightAction::Delete, gone.collect())
    }

    /// The statements that delete an entity of any version. They do nothing if there is none.
    pub(crate) fn delete_any(&self, id: EntityId) -> Vec<Statement> {
        let (change, table) = (BatchChange::new(), quoted(&self.class.table()));
        let in_order = self.in_order("$2");
        let in_order = (!in_order.is_empty()).then(|| {
            let sql = format!(
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE \"id\" = $1
                 AND NOT (1=1{in_order}))"
            );
            let lock = Lock::row(self.class.table().into_owned(), id);
            Statement::new(sql).bind(id).assert(Failed::Stale, lock).of_change(change)
        });
        let told = ToldChange::of(change, id, Operation::Delete);
        let row = self.store.feed_row_if_there(self.domain, self.class, told);
        let sql = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
        let gone = Statement::new(sql).bind(id).bind(self.domain.as_str()).of_class(self.class);
        let audited = self.audited(AuditEvent::Delete, change, id, vec![]);
        in_order.into_iter().chain([row, gone]).chain(self.forget(id)).chain(audited).collect()
    }

    /// The statements that delete what other tables have about a deleted entity. They come after
    /// its deletion, because that waits for everybody who claims the entity or stores its words.
    fn forget(&self, id: EntityId) -> Vec<Statement> {
        let mut forgotten = vec![claim_row::forget(self.class, id), feed::forget(self.class, id)];
        if self.class.classname == MESSAGES {
            forgotten.extend(full_text_row::forget(self.dialect(), id));
        }
        forgotten
    }

    /// The values of the columns that `changes` names.
    fn values_of(
        &self,
        id: EntityId,
        changes: &Map<String, Json>,
    ) -> Result<Vec<NewValue<'_>>, Error> {
        let sealer = Sealer { keys: &self.store.inner.keys, domain: self.domain };
        let mut values = vec![];
        for property in self.class.columns() {
            if let Some(json) = changes.get(&property.name) {
                let value = columns::to_value(sealer, self.class, id, property, json)?;
                values.push(NewValue { property, value });
            }
        }
        Ok(values)
    }

    /// The one statement that changes an entity. It succeeds only while the entity has this version
    /// and the former values. The former values are added to `replaced`, except secrets. `change`
    /// is `None` if the change has no row in the feed.
    ///
    /// If the row of the feed has the whole entity, the statement succeeds only if the entity did
    /// not change at all, because the row also has the values that stay.
    fn update(
        &self,
        current: &Entity,
        change: Option<BatchChange>,
        new: Vec<NewValue>,
        replaced: &mut Map<String, Json>,
    ) -> Result<Update, Error> {
        let mut values: Vec<Value> = vec![];
        let mut set = vec![];
        let mut is_so = String::new();
        if replaced.contains_key(VERSION) {
            set.push("\"version\" = \"version\" + 1".to_owned());
        }
        for NewValue { property, value } in new {
            let column = quoted(property.column());
            values.push(value);
            set.push(format!("{column} = ${}", values.len() + BOUND));
            if property.write_only() {
                continue;
            }
            let former = current.get(&property.name);
            if columns::is_compared(property) {
                values.push(columns::plain_value(self.class, property, former)?);
                let place = values.len() + BOUND;
                is_so.push_str(&format!(" AND {column} IS NOT DISTINCT FROM ${place}"));
            }
            replaced.insert(property.name.clone(), former.clone());
        }
        let is_whole = change.is_some() && whole::is_next(current) && self.is_of_domain();
        if is_whole {
            whole::complete(self.class, current, replaced);
            values.push(Value::Whole(current.seq));
            is_so.push_str(&format!(" AND {} = ${}", quoted(SEQ), values.len() + BOUND));
        }
        if change.is_some() {
            let place = format!("${}", values.len() + BOUND + 1);
            set.push(format!("{} = {}", quoted(SEQ), self.dialect().seq(&place)));
            is_so.push_str(&self.in_order(&place));
        }
        let sql = format!(
            "UPDATE {} SET {} WHERE \"id\" = $1 AND \"domain\" = $2 AND \"version\" = $3{is_so}",
            quoted(&self.class.table()),
            set.join(", ")
        );
        let update = Statement::new(sql).bind(current.id).bind(self.domain.as_str());
        let update = update.bind(current.version).of_class(self.class).bind_all(values);
        let update = update.must_change(Failed::Stale);
        Ok(Update { statement: change.into_iter().fold(update, Statement::of_change), is_whole })
    }

    /// Whether the class is as the domain has it. Otherwise an entity that was read by it lacks the
    /// values of what the domain added.
    fn is_of_domain(&self) -> bool {
        let class = self.store.class_of(self.domain, &self.class.classname);
        class.is_none_or(|class| class.domain == self.class.domain)
    }

    /// The INSERT of an entity with all columns. Increments are read from their counters.
    fn insert(&self) -> String {
        let mut bound = LEADING - 1;
        let mut places = vec![];
        for property in self.class.columns() {
            places.push(if is_counted(property) {
                // Both are of letters, digits and dashes.
                let (id, name) = (self.class.id, &property.name);
                format!(
                    "(SELECT \"number\" FROM \"counter\" WHERE \"domain\" = $1
                       AND \"class\" = '{id}' AND \"property\" = '{name}')"
                )
            } else {
                bound += 1;
                format!("${bound}")
            });
        }
        let seq = self.dialect().seq(&format!("${}", bound + 1));
        let leading = ["$1".to_owned(), "$2".to_owned(), "$3".to_owned(), seq];
        let places: Vec<_> = leading.into_iter().chain(places).collect();
        let (table, columns) = (quoted(&self.class.table()), column_list(self.class, |_| true));
        format!("INSERT INTO {table} ({columns}) VALUES ({})", places.join(", "))
    }

    /// The condition that the entity has no later change yet. It begins with `AND`. It is empty for
    /// a database that runs one batch after the other, because there it always holds. If it does
    /// not hold, the batch is run again under a later number.
    fn in_order(&self, placeholder: &str) -> String {
        let several = self.dialect().seq_settled().is_some();
        let order = || format!(" AND {} < {}", quoted(SEQ), self.dialect().seq(placeholder));
        several.then(order).unwrap_or_default()
    }

    fn dialect(&self) -> &'static dyn Dialect {
        self.store.inner.database.dialect()
    }

    fn row(&self, told: ToldChange) -> Statement {
        self.store.feed_row(self.domain, self.class, told)
    }

    /// The statements that tell in the audit what a client does with an entity.
    fn audited(
        &self,
        event: AuditEvent,
        change: BatchChange,
        id: EntityId,
        properties: Vec<String>,
    ) -> Vec<Statement> {
        let entry = AuditEntry::of(event).at(&self.class.classname, id);
        let entry = AuditEntry { properties, change, ..entry };
        if self.store.audits(self.class) { self.store.audited(self.domain, &entry) } else { vec![] }
    }
}

/// Whether the store counts up the values of a property.
fn is_counted(property: &Property) -> bool {
    property.data_type == DataType::Increment
}

/// How many values an update binds before those of properties.
const BOUND: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::feed_settled;
    use crate::fixture::store;
    use postroom_model::builtin::MESSAGES;
    use postroom_model::patched;
    use postroom_testkit::TestDatabase;
    use postroom_testkit::on_both;
    use serde_json::json;

    fn object(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    /// Who reads by the class of all domains does not know what a domain added.
    #[on_both]
    async fn a_row_of_the_feed_has_the_whole_entity_only_as_its_domain_has_it() {
        let (_directory, store) = store().await;
        let (domain, former) = (Domain::new("acme").unwrap(), store.classes());
        let sent = json!({"properties": [{"name": "note", "data_type": "string"}]});
        let change = patched(&former.get(MESSAGES).unwrap().extended(), &sent).unwrap();
        store.class_extend(&domain, &former, change, None).await.unwrap();
        let own = store.builtin_of(&domain, MESSAGES).unwrap();
        let all = store.builtin(MESSAGES).unwrap();
        let values = object(&json!({"messageDirection": "in", "note": "n"}));
        let entity = Entity::new(store.clock().new_id(), values);
        let row = store.entity_row(&domain, &own, &entity).unwrap();
        store.write(store.records(&domain, &own).create(row)).await.unwrap();
        let wholes = async |class: &Class| {
            for number in 0..400 {
                let read = store.entity_get(&domain, class, entity.id).await.unwrap().unwrap();
                let told = object(&json!({"errorText": format!("{number} {}", read.seq)}));
                let report = store.records(&domain, class).report(&read, &told).unwrap();
                store.write(report).await.unwrap();
            }
            let rows = store.feed_of(&domain, &[entity.id], 0).await.unwrap();
            let replaced = rows.into_iter().filter_map(|row| row.replaced);
            replaced.filter(|replaced| replaced.contains_key("messageDirection")).count()
        };
        assert_eq!(wholes(&all).await, 0);
        assert!(wholes(&own).await > 0);
    }

    #[on_both]
    async fn each_change_is_refused_when_a_value_that_it_replaces_is_another_by_now() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let records = store.records(&domain, &class);
        let values = object(&json!({"messageDirection": "in", "errorText": "a"}));
        let entity = Entity::new(store.clock().new_id(), values);
        let row = |entity: &Entity| store.entity_row(&domain, &class, entity).unwrap();
        store.write(records.create(row(&entity))).await.unwrap();
        let get = async || store.entity_get(&domain, &class, entity.id).await.unwrap().unwrap();
        let read = get().await;
        // A report leaves the version as it is.
        let told = object(&json!({"errorText": "b"}));
        store.write(records.report(&read, &told).unwrap()).await.unwrap();
        let filling = Entity::new(entity.id, object(&json!({"subject": "s", "errorText": "c"})));
        let takes = |name: &str, _: &Value| ["subject", "errorText"].contains(&name);
        let fill =
            |read: &Entity| records.fill(read, row(&filling), Map::new(), takes).unwrap().into();
        let changes = object(&json!({"errorText": "c"}));
        let change = |read: &Entity| records.change(read, &changes, Map::new()).unwrap();
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
        let last = feed_settled(&store, 0).await.pop().unwrap();
        // It is not the change that `read` has the number of.
        assert!(last.seq == filled.seq && filled.seq > read.seq);
        let undone = last.undo(filled).unwrap();
        assert_eq!(Entity { seq: read.seq, ..undone }, read);
    }

    /// A new entity. `whole`: whether its next change tells all of it.
    async fn created(store: &Store, class: &Class, whole: bool) -> Entity {
        let domain = Domain::default_domain();
        loop {
            let values = object(&json!({"subject": "s", "preview": "p"}));
            let entity = Entity::new(store.clock().new_id(), values);
            let row = store.entity_row(&domain, class, &entity).unwrap();
            store.write(store.records(&domain, class).create(row)).await.unwrap();
            let read = store.entity_get(&domain, class, entity.id).await.unwrap().unwrap();
            if whole::is_next(&read) == whole {
                return read;
            }
        }
    }

    #[on_both]
    async fn a_change_that_tells_the_whole_entity_is_refused_after_any_other() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let records = store.records(&domain, &class);
        for whole in [true, false] {
            let read = created(&store, &class, whole).await;
            // A report of something else, which leaves the version as it is.
            let told = records.report(&read, &object(&json!({"errorText": "b"}))).unwrap();
            store.write(told).await.unwrap();
            let changes = object(&json!({"subject": "t"}));
            let change = records.change(&read, &changes, Map::new()).unwrap();
            let written = store.write(change).await;
            let is_stale = matches!(written, Err(Error::Condition(Failed::Stale)));
            assert_eq!((is_stale, written.is_ok()), (whole, !whole), "{written:?}");
            // The first change was told as the entity was.
            let first = store.feed_of(&domain, &[read.id], read.seq).await.unwrap().remove(0);
            let replaced = first.replaced.unwrap();
            assert_eq!(first.is_whole, whole);
            assert_eq!(replaced.get("preview"), whole.then_some(&json!("p")));
            assert_eq!(replaced.get("errorText"), Some(&Json::Null));
        }
    }

    // PostgreSQL alone: SQLite runs one batch after the other.
    #[tokio::test]
    async fn a_batch_that_began_first_and_changes_an_entity_last_gets_a_later_number() {
        TestDatabase::Postgres.run(changed_last).await;
    }

    async fn changed_last() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let records = store.records(&domain, &class);
        let read = created(&store, &class, false).await;
        let told = |name: &str, text: &str| records.report(&read, &object(&json!({name: text})));
        let first = told("subject", "first").unwrap();
        let second = told("errorText", "second").unwrap();
        overtaken(&store, first, second).await;
        let rows = store.feed_of(&domain, &[read.id], read.seq).await.unwrap();
        let told: Vec<_> = rows.iter().flat_map(|row| row.replaced.iter().flatten()).collect();
        assert_eq!(
            told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["errorText", "subject"]
        );
        let last = store.entity_get(&domain, &class, read.id).await.unwrap().unwrap();
        assert_eq!(last.seq, rows[1].seq);
    }

    /// Writes two batches. `first` has its transaction first, but waits until `second` is committed.
    async fn overtaken(store: &Store, first: Vec<Statement>, second: Vec<Statement>) {
        // The second waits, with the lock, until the first has its transaction and waits for it.
        let lock = || Statement::new("SELECT pg_advisory_xact_lock(77)");
        let locked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 77
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waits = format!(
            "DO $$ BEGIN WHILE NOT EXISTS ({locked} AND NOT granted)
             LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
        );
        let second = [lock(), Statement::new(waits)].into_iter().chain(second).collect();
        let begun = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('begun', 1)
            ON CONFLICT (\"name\") DO NOTHING";
        let first = [Statement::new(begun), lock()].into_iter().chain(first).collect();
        let second = {
            let store = store.clone();
            tokio::spawn(async move { store.write(second).await })
        };
        while store.read(Statement::new(locked)).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        store.write(first).await.unwrap();
        second.await.unwrap().unwrap();
    }

    // PostgreSQL alone: SQLite runs one batch after the other.
    #[tokio::test]
    async fn an_entity_that_is_made_again_has_a_later_number_than_its_deletion() {
        TestDatabase::Postgres.run(made_again).await;
    }

    async fn made_again() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let records = store.records(&domain, &class);
        let read = created(&store, &class, false).await;
        let row = store.entity_row(&domain, &class, &read).unwrap();
        let is_last = crate::seq::is_last(records.dialect(), read.id);
        let again = records.create(row).into_iter().chain(is_last).collect();
        overtaken(&store, again, records.delete(&read)).await;
        let rows = store.feed_of(&domain, &[read.id], read.seq).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| row.operation).collect();
        assert_eq!(told, [Operation::Delete, Operation::Create]);
        let last = store.entity_get(&domain, &class, read.id).await.unwrap().unwrap();
        assert_eq!(last.seq, rows[1].seq);
    }

    #[on_both]
    async fn a_row_of_other_classes_fills_nothing() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(MESSAGES).unwrap());
        let entity = Entity::new(store.clock().new_id(), Map::new());
        let row = store.entity_row(&domain, &class, &entity).unwrap();
        let later = Class { revision: class.revision + 1, ..class.as_ref().clone() };
        let filled = store.records(&domain, &later).fill(&entity, row, Map::new(), |_, _| true);
        assert!(matches!(filled, Err(Error::Condition(Failed::OtherClasses))));
    }
}
