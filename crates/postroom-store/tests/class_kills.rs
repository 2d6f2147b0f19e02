//! Changes of classes that end after any number of their statements, as a kill ends them.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/killed.rs"]
mod killed;
#[path = "opened/config.rs"]
mod opened;

use killed::Killed;
use killed::moments;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Query;
use postroom_model::builtin::PROFILES;
use postroom_model::created;
use postroom_model::patched;
use postroom_store::*;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const TICKETS: &str = "crm/Tickets";

/// A change of the classes, from those that are there.
type ChangeOf = fn(&Classes) -> Changed;

/// What is asked of a store, with how many values it takes away.
enum Changed {
    Create(Box<Class>),
    Patch(&'static str, Json, Option<u64>),
    Delete(&'static str, u64),
}

/// The changes, each with a name. Each works on the state of [`fill`].
const CHANGES: [(&str, ChangeOf); 4] = [
    ("a built-in class gets properties and an index", |_| {
        let properties = json!([
            {"name": "seat", "data_type": "long", "default": 7},
            {"name": "paper", "data_type": "attachment"},
            {"name": "name", "caption": "What people call it."},
        ]);
        let indexes = json!({"indexes": [["seat"], ["name", "seat"]]});
        Changed::Patch(PROFILES, json!({"properties": properties, "opts": indexes}), None)
    }),
    ("own properties are renamed, widened and removed", |_| {
        let properties = json!([
            {"name": "subject", "renamed_from": "title", "data_type": "string", "required": true},
            {"name": "points", "data_type": "string"},
            {"name": "note", "removed": true},
            {"name": "scan", "removed": true},
            {"name": "papers", "renamed_from": "file", "data_type": "attachment", "multi": true},
            {"name": "serial", "renamed_from": "number", "data_type": "increment"},
        ]);
        Changed::Patch(
            TICKETS,
            json!({"properties": properties, "opts": {"indexes": [["points"]]}}),
            Some(4),
        )
    }),
    ("a class is made", |classes| {
        let parent = classes.get(TICKETS).unwrap().id;
        let anger = json!({"name": "anger", "data_type": "integer", "default": 1});
        let class =
            json!({"classname": "crm/Complaints", "parent_id": parent, "properties": [anger]});
        let id = "018f0000-0000-7000-8000-0000000000bb".parse().unwrap();
        Changed::Create(Box::new(created(&class, id).unwrap()))
    }),
    ("a class is deleted", |_| Changed::Delete(TICKETS, 2)),
];

async fn change(store: &Store, of: ChangeOf) -> Result<(), Error> {
    let classes = store.classes();
    let done = match of(&classes) {
        Changed::Create(class) => store.class_create(&classes, *class).await,
        Changed::Patch(name, json, lost) => {
            let change = patched(classes.get(name).unwrap(), &json).unwrap();
            store.class_change(&classes, change, lost).await
        }
        Changed::Delete(name, lost) => {
            store.class_delete(&classes, classes.get(name).unwrap().id, Some(lost)).await
        }
    };
    done.map(drop)
}

/// Makes a class, with two entities that have files.
async fn fill(store: &Store) {
    let class = json!({
        "id": "018f0000-0000-7000-8000-0000000000aa",
        "classname": TICKETS,
        "properties": [
            {"name": "title", "data_type": "string", "required": true},
            {"name": "points", "data_type": "long"},
            {"name": "note", "data_type": "string"},
            {"name": "number", "data_type": "increment"},
            {"name": "scan", "data_type": "attachment"},
            {"name": "file", "data_type": "attachment", "multi": true},
        ],
        "opts": {"indexes": [["title", "points"]]},
    });
    let class = created(&class, ClassId::nil()).unwrap();
    store.class_create(&store.classes(), class).await.unwrap();
    let (class, domain) = (store.class(TICKETS).unwrap(), Domain::default_domain());
    for at in ["1", "2"] {
        let id = format!("018f0000-0000-7000-8000-00000000000{at}").parse().unwrap();
        let values = json!({"title": at, "points": 40, "note": "n"});
        let entity = Entity::new(id, values.as_object().unwrap().clone());
        let files = ["scan", "file"].map(|property| NewFile {
            property: property.to_owned(),
            name: "a.txt".to_owned(),
            media_type: "text/plain".to_owned(),
            content_id: None,
            content: NewContent::Own(Content::prepare(at.as_bytes())),
        });
        let new = vec![NewEntity { entity, files: files.into() }];
        store.entity_create(&domain, &class, new).await.unwrap();
    }
    let profiles = store.class(PROFILES).unwrap();
    let id = "018f0000-0000-7000-8000-000000000003".parse().unwrap();
    let values = json!({"name": "p"}).as_object().unwrap().clone();
    let new = vec![NewEntity { entity: Entity::new(id, values), files: vec![] }];
    store.entity_create(&domain, &profiles, new).await.unwrap();
}

/// What a client sees: classes, entities and files, without moments.
async fn seen(store: &Store) -> BTreeMap<String, Json> {
    let (mut all, domain) = (BTreeMap::new(), Domain::default_domain());
    for class in store.classes().iter() {
        let mut definition = class.to_json();
        for moment in ["ext", "version"] {
            definition.as_object_mut().unwrap().remove(moment);
        }
        let mut entities = vec![];
        for entity in store.entity_list(&domain, class, &Query::default()).await.unwrap() {
            let files = store.file_list_all(&domain, entity.id).await.unwrap();
            let files: Vec<_> =
                files.iter().map(|f| format!("{}/{}", f.property, f.name)).collect();
            entities.push(json!([entity.id.to_string(), entity.properties, files]));
        }
        all.insert(class.classname.clone(), json!([definition, entities]));
    }
    all
}

/// What the database has: the columns of each table, the indexes of clients, and each file.
async fn kept(store: &Store, database: &dyn Database) -> BTreeMap<String, BTreeSet<String>> {
    let text =
        |rows: Vec<Row>| rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect();
    let mut all = BTreeMap::new();
    for class in store.classes().iter() {
        let columns = Statement::new(database.dialect().columns()).bind(class.table().as_ref());
        all.insert(class.classname.clone(), text(database.read(columns).await.unwrap()));
    }
    let indexes = Statement::new(database.dialect().indexes()).bind("own %");
    all.insert("indexes".to_owned(), text(database.read(indexes).await.unwrap()));
    let files = Statement::new("SELECT \"property\" FROM \"file\"");
    all.insert("files".to_owned(), text(database.read(files).await.unwrap()));
    let retired = Statement::new("SELECT \"table\" FROM \"retired\"");
    all.insert("retired".to_owned(), text(database.read(retired).await.unwrap()));
    all
}

/// What a process that was killed during a change told its client, and the database beneath.
struct ChangeOutcome {
    /// The client has an answer that says that it is done.
    is_confirmed: bool,
    /// The kill came after everything was done.
    is_whole: bool,
    database: Arc<dyn Database>,
}

/// A store of a directory with the state of [`fill`], whose process does so many statements, of a
/// change and of what it does besides.
async fn change_of(directory: &Path, of: ChangeOf, statements: usize) -> ChangeOutcome {
    let database = opened::database(directory).await.unwrap();
    let killed = Killed::of(Arc::clone(&database));
    let beneath: Arc<dyn Database> = Arc::clone(&killed) as Arc<dyn Database>;
    let store = Store::open(beneath, &opened::config("a")).await.unwrap();
    fill(&store).await;
    settled(&store).await;
    killed.after(statements);
    let is_confirmed = change(&store, of).await.is_ok();
    while !killed.is_dead() && !store.classes_are_settled().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let is_whole = !killed.is_dead();
    killed.after(0);
    ChangeOutcome { is_confirmed, is_whole, database }
}

/// Lets a store finish what changes of classes left to do. The killed process is not waited for.
async fn settle(store: &Store) {
    store.classes_sync(Duration::ZERO).await.unwrap();
    settled(store).await;
}

async fn settled(store: &Store) {
    while !store.classes_are_settled().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The state that the next process finds and leaves.
async fn found(database: &Arc<dyn Database>) -> (BTreeMap<String, Json>, Store) {
    let store = Store::open(Arc::clone(database), &opened::config("a")).await.unwrap();
    (seen(&store).await, store)
}

#[on_both]
async fn a_change_of_a_class_that_a_kill_ends_at_any_statement_is_done_or_not_done() {
    for (name, of) in CHANGES {
        let directory = tempfile::tempdir().unwrap();
        let ChangeOutcome { database, .. } = change_of(directory.path(), of, 0).await;
        let (before, store) = found(&database).await;
        change(&store, of).await.unwrap();
        settle(&store).await;
        let (after, store) = found(&database).await;
        assert_ne!(before, after, "{name}");
        let want = kept(&store, database.as_ref()).await;

        let (mut undone, mut done) = (0, 0);
        for statements in moments(3) {
            let directory = tempfile::tempdir().unwrap();
            let ChangeOutcome { is_confirmed, is_whole, database } =
                change_of(directory.path(), of, statements).await;
            let (seen, store) = found(&database).await;
            if seen == before {
                assert!(!is_confirmed, "{name}: {statements}");
                undone += 1;
                change(&store, of).await.unwrap();
            } else {
                assert_eq!(seen, after, "{name}: {statements}");
                done += 1;
            }
            settle(&store).await;
            assert_eq!(kept(&store, database.as_ref()).await, want, "{name}: {statements}");
            assert_eq!(self::seen(&store).await, after, "{name}: {statements}");
            if is_whole {
                break;
            }
        }
        assert!(undone > 1 && done > 0, "{name}: {undone} {done}");
    }
}
