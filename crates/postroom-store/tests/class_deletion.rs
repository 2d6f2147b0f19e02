//! The deletion of a class with many entities: the class is gone at once, its entities in steps.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/config.rs"]
mod opened;
#[path = "opened/stuck.rs"]
mod stuck;

use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::builtin::DOMAINS;
use postroom_model::created;
use postroom_model::patched;
use postroom_store::Error;
use postroom_store::*;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stuck::Stuck;
use tempfile::TempDir;

const TICKETS: &str = "crm/Tickets";
/// How many entities each of the two domains has.
const COUNT: usize = 800;
/// How many deletions the feed tells in the batch that deletes the class.
const AT_ONCE: usize = 500;
/// More steps than any deletion has here.
const ALL: usize = 1_000_000;

fn acme() -> Domain {
    Domain::new("acme").unwrap()
}

fn definition(name: &str, id: u128) -> Class {
    let class = json!({
        "classname": name,
        "properties": [
            {"name": "title", "data_type": "string", "required": true},
            {"name": "scan", "data_type": "attachment"},
            {"name": "number", "data_type": "increment"},
        ],
        "opts": {"indexes": [["title"]]},
    });
    created(&class, ClassId::from_u128(id)).unwrap()
}

fn object(values: &Json) -> serde_json::Map<String, Json> {
    values.as_object().unwrap().clone()
}

/// A class with entities of two domains that was deleted by the client `deleter`.
struct Deletion {
    directory: TempDir,
    database: Arc<dyn Database>,
    /// The process that deleted it, and did so many steps.
    store: Store,
    stuck: Arc<Stuck>,
}

impl Deletion {
    async fn after(steps: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let stuck = Stuck::after(Arc::clone(&database), steps);
        let front: Arc<dyn Database> = Arc::clone(&stuck) as Arc<dyn Database>;
        let store = Store::open(front, &opened::config("a")).await.unwrap();
        let deletion = Self { directory, database, store, stuck };
        deletion.fill().await;
        let (client, count) = (deletion.store.of_client("deleter"), Some(2 * COUNT as u64));
        client.class_delete(&client.classes(), ClassId::from_u128(7), count).await.unwrap();
        if steps < ALL {
            deletion.stuck.reached().await;
        }
        deletion
    }

    async fn fill(&self) {
        let store = &self.store;
        store.class_create(&store.classes(), definition(TICKETS, 7)).await.unwrap();
        self.create(DOMAINS, &Domain::master(), vec![(1, json!({"name": "acme"}))]).await;
        // The ids of the domains alternate, so that each step has some of both.
        for (at, domain) in [Domain::default_domain(), acme()].iter().enumerate() {
            let new = |n: usize| ((1000 + 2 * n + at) as u128, json!({"title": format!("t{n}")}));
            self.create(TICKETS, domain, (0..COUNT).map(new).collect()).await;
            let class = store.class(TICKETS).unwrap();
            for n in [0, 300, COUNT - 1] {
                let id = EntityId::from_u128((1000 + 2 * n + at) as u128);
                let place = EntityPlace::new(domain, &class, id);
                let changes = object(&json!({"title": "u"}));
                let changed = store.entity_update(place, &changes, None).await.unwrap();
                assert!(matches!(changed, Updated::Done(_)));
            }
            let query = Query { limit: 3, ..Query::default() };
            let token = ClaimToken::of(store.clock().new_id());
            let wanted =
                WantedClaim { query: &query, token, by: "w", lease_ms: 3_600_000, once: None };
            assert_eq!(store.work_claim(domain, &class, wanted).await.unwrap().len(), 3);
        }
        // An entity of another class has the id and the file name of one of the deleted class.
        self.create(builtin::MESSAGES, &acme(), vec![(1001, json!({"messageDirection": "out"}))])
            .await;
    }

    async fn create(&self, class: &str, domain: &Domain, all: Vec<(u128, Json)>) {
        let class = self.store.class(class).unwrap();
        let with_file = |at: usize| {
            let property = ["file", "scan"][usize::from(class.classname == TICKETS)].to_owned();
            let has = class.classname == builtin::MESSAGES || at.is_multiple_of(100);
            (has && class.classname != DOMAINS).then(|| NewFile {
                property,
                name: "a.txt".to_owned(),
                media_type: "text/plain".to_owned(),
                content_id: None,
                content: NewContent::Own(Content::prepare(b"twelve bytes")),
            })
        };
        let new = |(at, (id, values)): (usize, (u128, Json))| NewEntity {
            entity: Entity::new(EntityId::from_u128(id), object(&values)),
            files: with_file(at).into_iter().collect(),
        };
        let new = all.into_iter().enumerate().map(new).collect();
        let once = Once { key: format!("key of {domain:?}"), request: [7; 32] };
        let terms = Terms { once: Some(&once), ..Terms::default() };
        self.store.entity_create_on(domain, &class, new, terms).await.unwrap().unwrap();
    }

    /// A process that finds what was left.
    async fn next(&self) -> Store {
        Store::open(Arc::clone(&self.database), &opened::config("a")).await.unwrap()
    }

    /// Checks that the work is done as a whole, by whom it may be.
    async fn is_whole(&self) {
        is_whole(self.database.as_ref(), &self.next().await).await;
    }
}

async fn number(database: &dyn Database, sql: &str) -> i64 {
    database.read(Statement::new(sql.to_owned())).await.unwrap()[0].whole(0).unwrap()
}

/// Checks that nothing of the class is left but the feed, which tells each deletion once.
async fn is_whole(database: &dyn Database, store: &Store) {
    for domain in [Domain::default_domain(), acme()] {
        assert_eq!(told(store, &domain).await.len(), COUNT);
    }
    let left = "SELECT COUNT(*) FROM \"change\" WHERE \"replaced\" IS NOT NULL";
    assert_eq!(number(database, left).await, 0, "values of deleted entities");
    let of_class =
        |table: &str| format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"class\" = 'crm/Tickets'");
    for table in ["once", "work claim"] {
        assert_eq!(number(database, &of_class(table)).await, 0, "{table}");
    }
    for (table, want) in
        [("deleted class", 0), ("retired", 0), ("counter", 0), ("file", 1), ("chunk", 1)]
    {
        let count = format!("SELECT COUNT(*) FROM \"{table}\"");
        assert_eq!(number(database, &count).await, want, "{table}");
    }
    let tables = match TestDatabase::present() {
        TestDatabase::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_schema WHERE \"name\" LIKE 'retired t%'"
        }
        TestDatabase::Postgres => {
            "SELECT COUNT(*) FROM pg_tables WHERE tablename LIKE 'retired t%'"
        }
    };
    assert_eq!(number(database, tables).await, 0);
    let mut damaged = vec![];
    store.verify(|what| damaged.push(what.to_owned())).await.unwrap();
    assert_eq!(damaged, Vec::<String>::new());
}

/// The entities whose deletion the feed of a domain tells, from a state that is rebuilt change by
/// change: what is created or changed is there, and what is deleted was there.
async fn told(store: &Store, domain: &Domain) -> BTreeSet<EntityId> {
    let (mut there, mut gone, mut after) = (BTreeSet::new(), BTreeSet::new(), 0);
    loop {
        let rows = store.feed_list(domain, after, 100).await.unwrap();
        let Some(last) = rows.last() else {
            return gone;
        };
        after = last.seq;
        for row in rows.into_iter().filter(|row| row.class == TICKETS) {
            match row.operation {
                Operation::Create => {
                    assert!(there.insert(row.entity) && !gone.contains(&row.entity))
                }
                Operation::Change => assert!(there.contains(&row.entity)),
                Operation::Delete => {
                    assert!(there.remove(&row.entity), "{} is told twice", row.entity);
                    gone.insert(row.entity);
                    assert_eq!(row.modifier, Some(Modifier::Client("deleter".into())));
                }
            }
        }
    }
}

async fn settled(store: &Store) {
    while !store.classes_are_settled().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn each_deletion_is_told_once_whenever_the_work_ends_and_whoever_goes_on() {
    for steps in [0, 1, 2, 5, ALL] {
        let deletion = Deletion::after(steps).await;
        if steps < ALL {
            let mut count = 0;
            for domain in [Domain::default_domain(), acme()] {
                count += told(&deletion.store, &domain).await.len();
            }
            let most = AT_ONCE + steps * AT_ONCE;
            assert!((AT_ONCE..=most).contains(&count) && count < 2 * COUNT, "{steps}: {count}");
        }
        // Two processes find it at the same moment.
        let (one, other) = (deletion.next().await, deletion.next().await);
        let sync =
            |store: Store| tokio::spawn(async move { store.classes_sync(Duration::ZERO).await });
        let both = [sync(one.clone()), sync(other.clone())];
        for synced in both {
            synced.await.unwrap().unwrap();
        }
        settled(&one).await;
        deletion.is_whole().await;
    }
}

#[on_both]
async fn the_batch_that_deletes_a_class_and_each_step_tell_few_deletions() {
    let deletion = Deletion::after(ALL).await;
    settled(&deletion.store).await;
    let told = deletion.stuck.told();
    assert_eq!(told[0], AT_ONCE);
    assert_eq!(told.iter().sum::<usize>(), 2 * COUNT);
    assert!(told.iter().all(|count| *count <= AT_ONCE) && told.len() > 3, "{told:?}");
}

#[on_both]
async fn the_name_and_the_id_are_free_again_when_the_entities_are_gone_and_not_before() {
    let deletion = Deletion::after(1).await;
    let store = deletion.next().await;
    for (name, id) in [(TICKETS, 8), ("CRM/tickets", 8), ("crm/Other", 7)] {
        let made = store.class_create(&store.classes(), definition(name, id)).await;
        let error = made.unwrap_err();
        assert!(matches!(&error, Error::Condition(Failed::BeingDeleted { .. })), "{error:?}");
        assert!(error.to_string().contains("is still being deleted"), "{error}");
    }
    store.class_create(&store.classes(), definition("crm/Others", 9)).await.unwrap();
    store.classes_sync(Duration::ZERO).await.unwrap();
    settled(&store).await;
    deletion.is_whole().await;
    // Nothing of the former one is in its way, such as an index or a key of a client.
    store.class_create(&store.classes(), definition(TICKETS, 7)).await.unwrap();
    settled(&store).await;
    deletion.create(TICKETS, &acme(), vec![(1001, json!({"title": "t"}))]).await;
    let sql = deletion.database.dialect().indexes();
    for index in ["crm/Tickets listed", "crm/Tickets changed"] {
        let index = deletion.database.read(Statement::new(sql).bind(index)).await.unwrap();
        assert_eq!(index.len(), 1);
    }
}

#[on_both]
async fn what_is_left_of_a_class_that_is_deleted_is_no_damage() {
    let deletion = Deletion::after(2).await;
    let mut damaged = vec![];
    let store = deletion.next().await;
    let verified = store.verify(|what| damaged.push(what.to_owned())).await.unwrap();
    assert_eq!(damaged, Vec::<String>::new());
    // One of a message, and those of the entities that are left.
    assert!(verified.files > 10, "{verified:?}");
}

#[on_both]
async fn a_domain_goes_after_its_entities_of_a_class_that_is_deleted() {
    let deletion = Deletion::after(0).await;
    let (store, database) = (deletion.next().await.lead().await.unwrap(), &deletion.database);
    let (master, class) = (Domain::master(), store.class(DOMAINS).unwrap());
    let domain = EntityPlace::new(&master, &class, EntityId::from_u128(1));
    let messages = store.class(builtin::MESSAGES).unwrap();
    let acme = acme();
    let message = EntityPlace::new(&acme, &messages, EntityId::from_u128(1001));
    assert!(matches!(store.entity_delete(message, None).await.unwrap(), Updated::Done(_)));
    // As one that is empty, it is not deleted yet.
    let refused = store.entity_delete(domain, None).await.unwrap_err();
    assert!(refused.to_string().contains("crm/Tickets in this domain, which is being deleted"));

    // Where the work cannot be done, the erasure does not go past it.
    let table = database.read(Statement::new("SELECT \"table\" FROM \"deleted class\"")).await;
    let table = table.unwrap()[0].text(0).unwrap().to_owned();
    let rename = |from: &str, to: &str| {
        let sql = Statement::new(format!("ALTER TABLE \"{from}\" RENAME TO \"{to}\""));
        database.write(vec![sql], Room::Reserve)
    };
    rename(&table, "elsewhere").await.unwrap();
    let of_acme = "SELECT COUNT(*) FROM \"change\" WHERE \"domain\" = 'acme'";
    let before = number(database.as_ref(), of_acme).await;
    let entity = store.entity_get(&master, &class, EntityId::from_u128(1)).await.unwrap().unwrap();
    store.erasure_begin(&entity).await.unwrap();
    store.erase().await.unwrap_err();
    assert!(number(database.as_ref(), of_acme).await >= before, "nobody would take away the rest");
    rename("elsewhere", &table).await.unwrap();
    while store.erasures(None).await.unwrap()[0].ended.is_none() {
        store.erase().await.unwrap();
    }
    settled(&store).await;
    assert_eq!(number(database.as_ref(), of_acme).await, 0);
    assert_eq!(told(&store, &Domain::default_domain()).await.len(), COUNT);
}

#[on_both]
async fn who_moves_the_data_goes_on_with_the_deletion_elsewhere() {
    let Deletion { directory, database, store, stuck } = Deletion::after(2).await;
    let mut before = vec![];
    let next = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    for domain in [Domain::default_domain(), acme()] {
        before.push(told(&next, &domain).await.len());
    }
    for store in [store, next] {
        store.close().await.unwrap();
    }
    drop((stuck, database));
    let elsewhere = tempfile::tempdir().unwrap();
    let from = opened::database(directory.path()).await.unwrap();
    let to = opened::database(elsewhere.path()).await.unwrap();
    let StoreConfig { key, classes, .. } = opened::config("a");
    let now = "2026-01-01T00:00:00Z";
    let moved = Move { from: &*from, to: &*to, key: &key, built_in: &classes, now };
    moved.run(|_| ()).await.unwrap();
    let store = Store::open(Arc::clone(&to), &opened::config("a")).await.unwrap();
    for (domain, before) in [Domain::default_domain(), acme()].iter().zip(before) {
        assert_eq!(told(&store, domain).await.len(), before, "the move deleted some");
    }
    store.classes_sync(Duration::ZERO).await.unwrap();
    settled(&store).await;
    is_whole(to.as_ref(), &store).await;
}

// SQLite alone: a copy of PostgreSQL is made by its own tools.
#[tokio::test]
async fn a_copy_goes_on_with_the_deletion() {
    let deletion = Deletion::after(2).await;
    let copy = tempfile::tempdir().unwrap();
    copy_database(deletion.directory.path(), copy.path()).unwrap();
    let database = opened::database(copy.path()).await.unwrap();
    let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    store.classes_sync(Duration::ZERO).await.unwrap();
    settled(&store).await;
    is_whole(database.as_ref(), &store).await;
}

const CUSTOMERS: &str = "crm/Customers";
const ORDERS: &str = "crm/Orders";
/// How many entities refer to the one customer.
const REFERRING: u128 = 20;
/// The id of the customer.
const CUSTOMER: u128 = 1;
/// So long are the texts of a table that is not written anew for a column that goes.
const LONG_BYTES: usize = 600 << 10;

/// The classes of customers and of orders, each of which needs a customer, with entities.
struct Orders {
    _directory: TempDir,
    database: Arc<dyn Database>,
    /// The process that made them, which deletes neither entities nor values.
    store: Store,
    stuck: Arc<Stuck>,
    text: String,
}

impl Orders {
    async fn new(bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let stuck = Stuck::after(Arc::clone(&database), 0);
        let front: Arc<dyn Database> = Arc::clone(&stuck) as Arc<dyn Database>;
        let store = Store::open(front, &opened::config("a")).await.unwrap();
        let text = "x".repeat(bytes);
        let orders = Self { _directory: directory, database, store, stuck, text };
        orders.define(CUSTOMERS, 1, vec![]).await;
        orders.create(CUSTOMERS, vec![(CUSTOMER, json!({}))]).await.unwrap();
        orders
    }

    async fn define(&self, name: &str, id: u128, properties: Vec<Json>) {
        let class = created(&json!({"classname": name, "properties": properties}), class(id));
        self.store.class_create(&self.store.classes(), class.unwrap()).await.unwrap();
    }

    /// The property that refers to the customer, or to an entity of another class.
    fn refers_to(id: u128) -> Json {
        let idclass = class(id).to_string();
        json!({"name": "customer", "data_type": "entity", "required": true, "idclass": idclass})
    }

    /// Makes the class of orders with these properties beside the text.
    async fn define_orders(&self, properties: Vec<Json>) {
        let text = json!({"name": "text", "data_type": "string"});
        let all = properties.into_iter().chain([text]).collect();
        self.define(ORDERS, 2, all).await;
    }

    async fn fill(&self, values: &Json) {
        let new = |id| {
            let mut all = json!({"text": self.text});
            all.as_object_mut().unwrap().extend(object(values));
            (100 + id, all)
        };
        self.create(ORDERS, (0..REFERRING).map(new).collect()).await.unwrap();
    }

    async fn create(&self, class: &str, all: Vec<(u128, Json)>) -> Result<(), Error> {
        let class = self.store.class(class).unwrap();
        let new = |(id, values)| NewEntity {
            entity: Entity::new(EntityId::from_u128(id), object(&values)),
            files: vec![],
        };
        let all = all.into_iter().map(new).collect();
        self.store.entity_create(&Domain::default_domain(), &class, all).await.map(drop)
    }

    async fn change(&self, name: &str, property: Json, confirm: Option<u64>) {
        let former = self.store.classes();
        let sent = json!({"properties": [property]});
        let change = patched(former.get(name).unwrap(), &sent).unwrap();
        self.store.class_change(&former, change, confirm).await.unwrap();
    }

    async fn delete(&self, id: u128, confirm: Option<u64>) -> Result<(), Error> {
        self.store.class_delete(&self.store.classes(), class(id), confirm).await.map(drop)
    }

    /// Another process does what is left.
    async fn settle(&self) {
        let next = Store::open(Arc::clone(&self.database), &opened::config("a")).await.unwrap();
        next.classes_sync(Duration::ZERO).await.unwrap();
        settled(&next).await;
    }

    /// Orders come and go, and nothing is left of the class of customers.
    async fn is_whole(&self, values: Json) {
        self.create(ORDERS, vec![(200, values)]).await.unwrap();
        let (domain, class) = (Domain::default_domain(), self.store.class(ORDERS).unwrap());
        let place = EntityPlace::new(&domain, &class, EntityId::from_u128(200));
        assert!(matches!(self.store.entity_delete(place, None).await.unwrap(), Updated::Done(_)));
        let all = format!("SELECT COUNT(*) FROM \"{ORDERS}\"");
        assert_eq!(number(self.database.as_ref(), &all).await, REFERRING as i64);
        for table in ["deleted class", "retired"] {
            let count = format!("SELECT COUNT(*) FROM \"{table}\"");
            assert_eq!(number(self.database.as_ref(), &count).await, 0, "{table}");
        }
        self.define(CUSTOMERS, 1, vec![]).await;
        self.run("DROP TABLE \"crm/Customers\"").await;
    }

    /// Adds a column to the table of orders that refers to another table.
    async fn add_column(&self, name: &str, table: &str) {
        let of_type = match TestDatabase::present() {
            TestDatabase::Sqlite => "BLOB",
            TestDatabase::Postgres => "UUID",
        };
        let added = format!(
            "ALTER TABLE \"{ORDERS}\" ADD COLUMN \"{name}\" {of_type}
             REFERENCES \"{table}\" (\"id\")"
        );
        self.run(&added).await;
    }

    async fn run(&self, sql: &str) {
        let sql = Statement::new(sql.to_owned());
        self.database.write(vec![sql], Room::Reserve).await.unwrap();
    }
}

fn class(id: u128) -> ClassId {
    ClassId::from_u128(id)
}

fn customer() -> Json {
    json!({"customer": EntityId::from_u128(CUSTOMER).to_string()})
}

#[on_both]
async fn a_class_goes_after_the_column_of_a_removed_property_that_referred_to_it() {
    for bytes in [1, LONG_BYTES] {
        let orders = Orders::new(bytes).await;
        orders.define_orders(vec![Orders::refers_to(1)]).await;
        orders.fill(&customer()).await;
        let removed = json!({"name": "customer", "removed": true});
        orders.change(ORDERS, removed, Some(REFERRING as u64)).await;
        orders.stuck.reached().await;
        let refused = orders.delete(1, Some(1)).await.unwrap_err();
        assert!(matches!(&refused, Error::Condition(Failed::InUse { .. })), "{refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains("a removed property of crm/Orders, whose values are still"),
            "{text}"
        );
        orders.settle().await;
        orders.delete(1, Some(1)).await.unwrap();
        orders.settle().await;
        orders.is_whole(json!({})).await;
    }
}

#[on_both]
async fn a_class_goes_to_which_a_property_referred_before_it_was_changed() {
    let orders = Orders::new(1).await;
    orders.define_orders(vec![Orders::refers_to(1)]).await;
    orders.fill(&customer()).await;
    orders.define("crm/Empty", 3, vec![Orders::refers_to(1)]).await;
    orders.define("crm/Others", 4, vec![]).await;
    let is_id = json!({"name": "customer", "data_type": "uuid", "idclass": null});
    orders.change(ORDERS, is_id, None).await;
    orders.change("crm/Empty", Orders::refers_to(4), None).await;
    orders.settle().await;
    orders.delete(1, Some(1)).await.unwrap();
    orders.settle().await;

    // The ids are still there, and the other reference is checked as before.
    let kept = format!(
        "SELECT COUNT(*) FROM \"{ORDERS}\" WHERE \"customer\" = {}",
        orders.database.dialect().id(&EntityId::from_u128(CUSTOMER).uuid().simple().to_string())
    );
    assert_eq!(number(orders.database.as_ref(), &kept).await, REFERRING as i64);
    orders.create("crm/Others", vec![(7, json!({}))]).await.unwrap();
    let other = json!({"customer": EntityId::from_u128(7).to_string()});
    orders.create("crm/Empty", vec![(8, other)]).await.unwrap();
    let sql = orders.database.dialect().references();
    let keys = orders.database.read(Statement::new(sql).bind("crm/Empty")).await.unwrap();
    assert_eq!(keys.len(), 1);
    orders.is_whole(customer()).await;
}

#[on_both]
async fn what_an_earlier_version_left_half_deleted_is_done() {
    for is_lost in [false, true] {
        let orders = Orders::new(LONG_BYTES).await;
        orders.define_orders(vec![]).await;
        orders.fill(&json!({})).await;
        orders.delete(1, Some(1)).await.unwrap();
        orders.stuck.reached().await;
        let table = "SELECT \"table\" FROM \"deleted class\"";
        let table = orders.database.read(Statement::new(table)).await.unwrap();
        let table = table[0].text(0).unwrap();
        // It deleted the values of a large table, and kept the column.
        orders.add_column("retired property 0 1", table).await;
        // SQLite let the table go then.
        if is_lost && TestDatabase::present() == TestDatabase::Sqlite {
            orders.run(&format!("DROP TABLE \"{table}\"")).await;
            orders.run("DELETE FROM \"deleted class\"").await;
            orders.create(ORDERS, vec![(200, json!({}))]).await.unwrap_err();
        }
        orders.settle().await;
        orders.is_whole(json!({})).await;
    }
}

#[on_both]
async fn a_column_that_an_earlier_version_kept_for_a_changed_property_keeps_the_class() {
    let orders = Orders::new(1).await;
    orders.define_orders(vec![json!({"name": "customer", "data_type": "uuid"})]).await;
    orders.fill(&json!({})).await;
    orders.run(&format!("ALTER TABLE \"{ORDERS}\" DROP COLUMN \"customer\"")).await;
    orders.add_column("customer", CUSTOMERS).await;
    let refused = orders.delete(1, Some(1)).await.unwrap_err().to_string();
    assert!(refused.contains("the property customer of crm/Orders, which referred"), "{refused}");
    // As it says.
    orders.change(ORDERS, json!({"name": "customer", "removed": true}), None).await;
    orders.settle().await;
    orders.change(ORDERS, json!({"name": "customer", "data_type": "uuid"}), None).await;
    orders.delete(1, Some(1)).await.unwrap();
    orders.settle().await;
    orders.is_whole(customer()).await;
}
