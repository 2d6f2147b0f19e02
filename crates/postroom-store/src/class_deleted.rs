//! The deletion of a class with its entities, however many there are.
//!
//! ```text
//!   one batch: the class is gone, its table gets another name,          ──► the client is answered
//!              the feed tells that the first 500 entities are deleted
//!   then, in steps, in the order of the ids:
//!       the feed tells the next deletions, and forgets former values,
//!       the claims, the files and the rows are deleted              ──► others write in between
//!   at the end, when no column refers to the table any more: the keys of clients, the table
//! ```
//! A row of `deleted class` says which table is to be emptied, what it was, who deleted it, and up
//! to which entity the feed tells it (`told`). Each step moves `told` on, and fails if another
//! process has moved it. So a kill loses nothing, and two processes tell no deletion twice. Until
//! the row is gone, no class can have the name or the id.

use crate::bell::Topic;
use crate::chunk::BlobId;
use crate::classes::CLASSES;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::emptying_step::EmptyingStep;
use crate::error::Error;
use crate::failed::Failed;
use crate::foreign_key;
use crate::modifier::Modifier;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::EntityId;
use postroom_model::Operation;

/// How many deletions the feed tells in the batch that deletes the class.
const TOLD_AT_ONCE: u32 = 500;
/// How many keys of clients are deleted at once.
const KEYS_AT_ONCE: u64 = 500;
const DAMAGED: Error = Error::Damaged { what: "a class that is being deleted" };

/// A class that was deleted, and whose table is not empty yet.
#[derive(Debug, Clone)]
pub(crate) struct DeletedClass {
    /// The present name of its table.
    pub table: String,
    /// Its id, as a text.
    id: String,
    /// Its name.
    pub name: String,
    /// Who deleted it.
    modifier: Modifier,
    /// The feed tells the deletion of the entities up to this one. `None`: the table was empty.
    told: Option<EntityId>,
}

impl DeletedClass {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let text = |column| row.text(column).map(str::to_owned).ok_or(DAMAGED);
        Ok(Self {
            table: text(0)?,
            id: text(1)?,
            name: text(2)?,
            modifier: Modifier::from_columns(row.text(3), row.text(4)).ok_or(DAMAGED)?,
            told: row.id(5),
        })
    }

    /// The statement that moves `told` on to an entity. The batch fails if another process did.
    fn told_to(&self, last: EntityId) -> Statement {
        let sql = "UPDATE \"deleted class\" SET \"told\" = $3
            WHERE \"table\" = $1 AND \"told\" IS NOT DISTINCT FROM $2";
        let told = Statement::new(sql).bind(self.table.as_str()).bind_all([self.told_so_far()]);
        told.bind(last).must_change(Failed::Stale)
    }

    /// The statement that forgets the class. The batch fails if another process did.
    fn done(&self) -> Statement {
        let sql = "DELETE FROM \"deleted class\" WHERE \"table\" = $1";
        Statement::new(sql).bind(self.table.as_str()).must_change(Failed::Stale)
    }

    fn told_so_far(&self) -> Value {
        self.told.map_or(Value::Null, Value::Id)
    }

    /// The entities up to `last` whose deletion is not told yet, as SQL with these values, which
    /// are `$1` and `$2`.
    fn untold(&self, last: EntityId) -> Entities {
        let table = quoted(&self.table);
        let from = format!("{table} WHERE \"id\" > $1 AND \"id\" <= $2");
        let behind = Value::Id(self.told.unwrap_or(EntityId::nil()));
        Entities { from, values: vec![behind, Value::Id(last)] }
    }
}

/// How far the rows of a deleted class are deleted.
struct Emptying {
    step: EmptyingStep,
    /// No row is left up to this one. PostgreSQL would read the deleted ones again and again.
    behind: EntityId,
}

/// Some entities of a class: what follows `FROM`, and the values of `$1 …`.
struct Entities {
    from: String,
    values: Vec<Value>,
}

/// The condition that neither the name nor the id of a class is one of a class that is still being
/// deleted.
pub(crate) fn is_gone(class: &Class) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"deleted class\"
        WHERE LOWER(\"name\") = LOWER($1) OR \"id\" = $2)";
    let gone = Statement::new(sql).bind(class.classname.as_str()).bind(class.id.to_string());
    gone.assert(Failed::BeingDeleted { class: class.classname.clone() }, Lock::Name(CLASSES))
}

/// The condition that no classes are being deleted but these.
pub(crate) fn no_others(but: &[DeletedClass], failed: Failed, lock: Lock) -> Statement {
    let known = match but.len() {
        0 => String::new(),
        count => format!(" WHERE \"table\" NOT IN ({})", places(1, count)),
    };
    let sql = format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"deleted class\"{known})");
    let names = but.iter().map(|class| Value::from(class.table.as_str()));
    Statement::new(sql).bind_all(names).assert(failed, lock)
}

impl Store {
    /// The statements that tell the deletion of the first entities of a class, and note that those
    /// of all are to be told, and that its table will have another name. Nobody changes an entity
    /// at the same time, because the classes are locked.
    pub(crate) fn class_deleted(&self, class: &Class, renamed_to: &str) -> Vec<Statement> {
        let table = quoted(&class.table());
        let first = format!("SELECT \"domain\", \"id\" FROM {table} ORDER BY \"id\"");
        let from = format!("({first} LIMIT {TOLD_AT_ONCE}) AS \"first\"");
        let last = format!("SELECT \"id\" FROM {from} ORDER BY \"id\" DESC LIMIT 1");
        // The numbers of the audit follow in the same batch.
        let counted = format!(
            "UPDATE \"meta\" SET \"number\" = \"number\" + (SELECT COUNT(*) FROM {from})
             WHERE \"name\" = 'seq'"
        );
        let noted = format!(
            "INSERT INTO \"deleted class\" (\"table\", \"id\", \"name\", \"modifier_type\",
               \"modifier_id\", \"told\") VALUES ($1, $2, $3, $4, $5, ({last}))"
        );
        let noted = Statement::new(noted).bind(renamed_to).bind(class.id.to_string());
        let noted = noted.bind(class.classname.as_str()).bind(self.modifier.kind());
        let noted = noted.bind(self.modifier.id());
        let entities = Entities { from, values: vec![] };
        let mut batch = self.told_as_deleted(&class.classname, &self.modifier, &entities);
        batch.insert(1, Statement::new(counted));
        batch.push(noted);
        batch
    }

    /// The statements that tell the deletion of some entities in the feed, and forget their former
    /// values and their claims.
    fn told_as_deleted(
        &self,
        class: &str,
        modifier: &Modifier,
        Entities { from, values }: &Entities,
    ) -> Vec<Statement> {
        let seq = self.inner.database.dialect().seq("ROW_NUMBER() OVER (ORDER BY \"id\")");
        let at = values.len();
        let [name, operation, now, kind, id] = [1, 2, 3, 4, 5].map(|place| at + place);
        let rows = format!(
            "INSERT INTO \"change\" (\"seq\", \"domain\", \"class\", \"entity\", \"operation\",
               \"at\", \"modifier_type\", \"modifier_id\")
             SELECT {seq}, \"domain\", ${name}, \"id\", ${operation}, ${now}, ${kind}, ${id}
             FROM {from}"
        );
        let forgotten = format!(
            "UPDATE \"change\" SET \"replaced\" = NULL WHERE \"class\" = ${name}
               AND \"replaced\" IS NOT NULL AND \"entity\" IN (SELECT \"id\" FROM {from})"
        );
        let unclaimed = format!(
            "DELETE FROM \"work claim\" WHERE \"class\" = ${name}
               AND \"entity\" IN (SELECT \"id\" FROM {from})"
        );
        let [rows, forgotten, unclaimed] = [rows, forgotten, unclaimed]
            .map(|sql| Statement::new(sql).bind_all(values.iter().cloned()).bind(class));
        let rows = rows.bind(Operation::Delete.number()).bind(Value::Moment(self.clock().now_ms()));
        vec![rows.bind(modifier.kind()).bind(modifier.id()), forgotten, unclaimed]
    }

    /// The classes that are being deleted, in the order in which they were: their names have the
    /// version of the classes. So a class comes before one to which its entities refer.
    pub(crate) async fn deleted_classes(&self) -> Result<Vec<DeletedClass>, Error> {
        let all = format!("{SELECT} ORDER BY LENGTH(\"table\"), \"table\"");
        let rows = self.read(Statement::new(all)).await?;
        rows.iter().map(DeletedClass::from_row).collect()
    }

    /// A class that is being deleted, by its table. `None`: its deletion has ended.
    async fn deleted_class(&self, table: &str) -> Result<Option<DeletedClass>, Error> {
        let one = Statement::new(format!("{SELECT} WHERE \"table\" = $1")).bind(table);
        self.read(one).await?.first().map(DeletedClass::from_row).transpose()
    }

    /// Whether a class that is being deleted still has entities of a domain.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn deleted_has(
        &self,
        class: &DeletedClass,
        domain: &str,
    ) -> Result<bool, Error> {
        let table = quoted(&class.table);
        let sql = format!("SELECT 1 FROM {table} WHERE \"domain\" = $1 LIMIT 1");
        match self.read(Statement::new(sql).bind(domain)).await {
            Ok(rows) => Ok(!rows.is_empty()),
            // The table may have gone meanwhile.
            Err(error) => self.deleted_class(&class.table).await?.map_or(Ok(false), |_| Err(error)),
        }
    }

    /// Deletes the entities of all deleted classes. If this fails for one class, those of the
    /// others are still deleted.
    ///
    /// # Errors
    ///
    /// When the store fails; a later call goes on.
    pub(crate) async fn deleted_empty(&self) -> Result<(), Error> {
        let _one_empties = self.inner.emptying.lock().await;
        let mut emptied = Ok(());
        for class in self.deleted_classes().await? {
            emptied = emptied.and(self.deleted_emptied(&class.table).await);
        }
        emptied
    }

    /// Deletes the entities of a class that was just deleted, if they are few, so that its name is
    /// free when the client is answered. If this fails, the next sweep does it.
    pub(crate) async fn deleted_at_once(&self, class: ClassId, count: u64) {
        if count > u64::from(TOLD_AT_ONCE) {
            return;
        }
        let emptied = async {
            let all = self.deleted_classes().await?;
            match all.into_iter().find(|deleted| deleted.id == class.to_string()) {
                Some(deleted) => self.deleted_emptied(&deleted.table).await,
                None => Ok(()),
            }
        };
        if let Err(error) = emptied.await {
            tracing::warn!(%error, "the entities of a deleted class are deleted later");
        }
    }

    async fn deleted_emptied(&self, table: &str) -> Result<(), Error> {
        let mut emptying = Emptying { step: EmptyingStep::first(), behind: EntityId::nil() };
        while let Some(class) = self.deleted_class(table).await? {
            match self.deleted_step(&class, &mut emptying).await {
                // Another process was faster.
                Ok(()) | Err(Error::Condition(Failed::Stale)) => {}
                // It may have deleted the table.
                Err(error) if self.deleted_class(table).await?.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Deletes some entities of a deleted class, or what is left when it has none.
    async fn deleted_step(
        &self,
        class: &DeletedClass,
        emptying: &mut Emptying,
    ) -> Result<(), Error> {
        let (table, count) = (quoted(&class.table), emptying.step.begin());
        let some = format!("SELECT \"id\" FROM {table} WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2");
        let rows = self.read(Statement::new(some).bind(emptying.behind).bind(count)).await?;
        let ids: Vec<EntityId> = rows.iter().filter_map(|row| row.id(0)).collect();
        let Some(last) = ids.last().copied() else {
            return self.deleted_end(class).await;
        };
        let untold = ids.iter().filter(|id| class.told.is_none_or(|told| **id > told)).count();
        let mut batch = vec![class.told_to(class.told.map_or(last, |told| told.max(last)))];
        if untold > 0 {
            let entities = class.untold(last);
            batch.extend(self.told_as_deleted(&class.name, &class.modifier, &entities));
            let counted = self.inner.database.dialect().seq_counted();
            let untold = i64::try_from(untold).unwrap_or(i64::MAX);
            batch.extend(counted.map(|sql| Statement::new(sql).bind(untold)));
        }
        let files = self.deleted_files(class, [emptying.behind, last], count).await?;
        let are_all = files.len() <= count as usize;
        for DeletedFile { key, blob } in files {
            let gone = "DELETE FROM \"file\" WHERE \"entity\" = $1 AND \"property\" = $2
                AND \"name\" = $3";
            batch.push(Statement::new(gone).bind_all(key));
            batch.extend(self.blob_delete(blob));
        }
        if are_all {
            let gone = format!("DELETE FROM {table} WHERE \"id\" > $1 AND \"id\" <= $2");
            batch.push(Statement::new(gone).bind(emptying.behind).bind(last));
        }
        self.write_at_need(batch).await?;
        emptying.step.end();
        if are_all {
            emptying.behind = last;
        }
        if untold > 0 {
            self.inner.database.ring(Topic::News);
        }
        Ok(())
    }

    /// The files of the entities behind the first id and up to the last: one more than `count` if
    /// there are more.
    async fn deleted_files(
        &self,
        class: &DeletedClass,
        [behind, last]: [EntityId; 2],
        count: u32,
    ) -> Result<Vec<DeletedFile>, Error> {
        // Entities of other classes may have the same ids.
        let of_class = format!("{}/", class.id);
        let sql = format!(
            "SELECT \"entity\", \"property\", \"name\", \"blob\" FROM \"file\"
             WHERE \"entity\" IN (SELECT \"id\" FROM {} WHERE \"id\" > $1 AND \"id\" <= $2)
               AND SUBSTR(\"property\", 1, {}) = $3 LIMIT $4",
            quoted(&class.table),
            of_class.len()
        );
        let some = Statement::new(sql).bind(behind).bind(last).bind(of_class);
        let rows = self.read(some.bind(count.saturating_add(1))).await?;
        rows.iter().map(|row| DeletedFile::from_row(row).ok_or(DAMAGED)).collect()
    }

    /// Deletes what is left of a class without entities: the keys of clients, and its table.
    async fn deleted_end(&self, class: &DeletedClass) -> Result<(), Error> {
        // No class can begin to refer to it any more, so this holds in the batch as well.
        let keys = foreign_key::all(self.inner.database.as_ref()).await?;
        if let Some(key) = keys.into_iter().find(|key| key.target == class.table) {
            let by = format!("the column {} of the table {}", key.column, key.table);
            return Err(Error::Condition(Failed::InUse { by }));
        }
        let some = "SELECT \"domain\", \"key\" FROM \"once\" WHERE \"class\" = $1
            AND (\"domain\", \"key\") > ($2, $3) ORDER BY \"domain\", \"class\", \"key\" LIMIT $4";
        let mut behind = [Value::from(""), Value::from("")];
        loop {
            let page = Statement::new(some).bind(class.name.as_str()).bind_all(behind.clone());
            let rows = self.read(page.bind(KEYS_AT_ONCE).searches(true)).await?;
            let Some(last) = rows.last() else {
                break;
            };
            behind = [last.value(0).clone(), last.value(1).clone()];
            let gone = "DELETE FROM \"once\" WHERE \"class\" = $1 AND \"domain\" = $2
                AND \"key\" = $3";
            let gone = |row: &Row| {
                let key = [row.value(0).clone(), row.value(1).clone()];
                Statement::new(gone).bind(class.name.as_str()).bind_all(key)
            };
            self.write_at_need(rows.iter().map(gone).collect()).await?;
        }
        let dropped = format!("DROP TABLE IF EXISTS {}", quoted(&class.table));
        self.write_at_need(vec![class.done(), Statement::new(dropped)]).await.map(drop)
    }
}

const SELECT: &str = "SELECT \"table\", \"id\", \"name\", \"modifier_type\", \"modifier_id\", \
    \"told\" FROM \"deleted class\"";

/// A file of an entity of a deleted class.
struct DeletedFile {
    key: [Value; 3],
    blob: BlobId,
}

impl DeletedFile {
    fn from_row(row: &Row) -> Option<Self> {
        let key = [0, 1, 2].map(|column| row.value(column).clone());
        Some(Self { key, blob: BlobId(row.whole(3)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Content;
    use crate::entity::NewEntity;
    use crate::file::NewContent;
    use crate::file::NewFile;
    use crate::fixture::store;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::created;
    use postroom_model::patched;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;

    /// How many entities are told in a later step.
    const LATER: usize = 10;
    /// More files than the first step deletes.
    const FILES: usize = 120;

    /// A class whose last entity has many files.
    async fn fill(store: &Store) {
        let class = json!({"classname": "crm/Tickets", "properties": [
            {"name": "title", "data_type": "string"},
            {"name": "papers", "data_type": "attachment", "multi": true},
        ]});
        let class = created(&class, store.clock().new_class_id()).unwrap();
        store.class_create(&store.classes(), class).await.unwrap();
        let count = TOLD_AT_ONCE as usize + LATER;
        let file = |number: usize| NewFile {
            property: "papers".to_owned(),
            name: format!("{number}.txt"),
            media_type: "text/plain".to_owned(),
            content_id: None,
            content: NewContent::Own(Content::prepare(b"x")),
        };
        let new = |number: usize| NewEntity {
            entity: Entity::new(EntityId::from_u128(number as u128), serde_json::Map::new()),
            files: (0..if number == count { FILES } else { 0 }).map(file).collect(),
        };
        let class = store.class("crm/Tickets").unwrap();
        let all = (1..=count).map(new).collect();
        store.entity_create(&Domain::default_domain(), &class, all).await.unwrap();
    }

    async fn count(store: &Store, sql: &str) -> i64 {
        store.read(Statement::new(sql.to_owned())).await.unwrap()[0].whole(0).unwrap()
    }

    #[on_both]
    async fn who_is_late_tells_no_deletion_again() {
        let (_directory, store) = store().await;
        fill(&store).await;
        let held = store.inner.emptying.lock().await;
        let class = store.class("crm/Tickets").unwrap();
        let all = Some(u64::from(TOLD_AT_ONCE) + LATER as u64);
        store.class_delete(&store.classes(), class.id, all).await.unwrap();
        let told = "SELECT COUNT(*) FROM \"change\" WHERE \"operation\" = 0";
        let mut emptying = Emptying { step: EmptyingStep::first(), behind: EntityId::nil() };
        let table = store.deleted_classes().await.unwrap().remove(0).table;
        // The rows of those that are told with the class go in the first steps.
        let late = loop {
            let class = store.deleted_class(&table).await.unwrap().unwrap();
            let before = count(&store, told).await;
            emptying.step = EmptyingStep::first();
            store.deleted_step(&class, &mut emptying).await.unwrap();
            if count(&store, told).await > before {
                break class;
            }
        };
        let all = i64::from(TOLD_AT_ONCE) + LATER as i64;
        assert_eq!(count(&store, told).await, all);
        // Some files are left, and so are the rows, and another process is in the same step.
        assert!(count(&store, "SELECT COUNT(*) FROM \"file\"").await > 0);
        let again = store.deleted_step(&late, &mut emptying).await;
        assert!(matches!(again, Err(Error::Condition(Failed::Stale))), "{again:?}");
        assert_eq!(count(&store, told).await, all);
        drop(held);
        store.classes_settle().await;
        assert_eq!(count(&store, told).await, all);
        assert_eq!(count(&store, "SELECT COUNT(*) FROM \"file\"").await, 0);
        assert!(store.classes_are_settled().await.unwrap());
        // And one that ends what has ended.
        let ended = store.deleted_end(&late).await;
        assert!(matches!(ended, Err(Error::Condition(Failed::Stale))), "{ended:?}");
    }

    async fn made(store: &Store, class: &Json) -> ClassId {
        let class = created(class, store.clock().new_class_id()).unwrap();
        let id = class.id;
        store.class_create(&store.classes(), class).await.unwrap();
        id
    }

    #[on_both]
    async fn entities_go_before_those_to_which_they_refer() {
        let (_directory, store) = store().await;
        let domain = Domain::default_domain();
        let customers =
            made(&store, &json!({"classname": "crm/Customers", "properties": []})).await;
        let customer = json!({"name": "customer", "data_type": "entity", "required": true,
                              "idclass": customers.to_string()});
        let class = json!({"classname": "crm/Tickets", "properties": [customer]});
        let tickets = made(&store, &class).await;
        // So many that they do not go with their class.
        let count = u64::from(TOLD_AT_ONCE) + 1;
        let create = async |class: &str, first: u64, values: Json| {
            let class = store.class(class).unwrap();
            let new = |id: u64| NewEntity {
                entity: Entity::new(
                    EntityId::from_u128(id.into()),
                    values.as_object().unwrap().clone(),
                ),
                files: vec![],
            };
            let new = (first..first + count).map(new).collect();
            store.entity_create(&domain, &class, new).await.unwrap();
        };
        create("crm/Customers", 1, json!({})).await;
        let customer = EntityId::from_u128(1).to_string();
        create("crm/Tickets", 1_000, json!({"customer": customer})).await;
        // The number of the second deletion has one digit more.
        while store.classes().version() < 8 {
            made(&store, &json!({"classname": format!("a/B{}", store.classes().version())})).await;
        }
        let held = store.inner.emptying.lock().await;
        for class in [tickets, customers] {
            store.class_delete(&store.classes(), class, Some(count)).await.unwrap();
        }
        assert_eq!(store.classes().version(), 10);
        for class in store.deleted_classes().await.unwrap() {
            store.deleted_emptied(&class.table).await.unwrap();
        }
        drop(held);
        assert!(store.classes_are_settled().await.unwrap());
    }

    #[on_both]
    async fn a_class_goes_after_the_table_of_a_deleted_one_that_could_refer_to_it() {
        let (_directory, store) = store().await;
        let domain = Domain::default_domain();
        let customers =
            made(&store, &json!({"classname": "crm/Customers", "properties": []})).await;
        let customer = json!({"name": "customer", "data_type": "entity", "required": true,
                              "idclass": customers.to_string()});
        let class = json!({"classname": "crm/Tickets", "properties": [customer]});
        let tickets = made(&store, &class).await;
        // The column stays, with its foreign key.
        let settling = store.inner.settling.lock().await;
        let former = store.classes();
        let removed = json!({"properties": [{"name": "customer", "removed": true}]});
        let removed = patched(former.get("crm/Tickets").unwrap(), &removed).unwrap();
        store.class_change(&former, removed, None).await.unwrap();
        let class = store.class("crm/Tickets").unwrap();
        let count = u128::from(TOLD_AT_ONCE) + LATER as u128;
        let new = |id| {
            let entity = Entity::new(EntityId::from_u128(id), serde_json::Map::new());
            NewEntity { entity, files: vec![] }
        };
        store.entity_create(&domain, &class, (1..=count).map(new).collect()).await.unwrap();
        let held = store.inner.emptying.lock().await;
        for (class, count) in [(tickets, count as u64), (customers, 0)] {
            store.class_delete(&store.classes(), class, Some(count)).await.unwrap();
        }
        assert_eq!(store.deleted_classes().await.unwrap().len(), 2, "the second waits");
        drop((held, settling));
        store.deleted_empty().await.unwrap();
        assert!(store.classes_are_settled().await.unwrap());
    }
}
