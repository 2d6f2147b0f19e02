//! Classes that are replaced while others work with the former ones.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;

use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::builtin;
use postroom_model::created;
use postroom_model::patched;
use postroom_store::Error;
use postroom_store::*;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Within this time a class is deleted, though its index is not ready for longer.
const WITHIN: Duration = Duration::from_secs(20);

/// Two stores on one database.
async fn stores() -> (TempDir, Store, Store) {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let open = || async { Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap() };
    let (one, other) = (open().await, open().await);
    (directory, one, other)
}

/// Adds a property to a class, as `former` has it.
async fn extend(
    store: &Store,
    former: &Classes,
    class: &str,
    property: Json,
) -> Result<Classes, Error> {
    let sent = json!({"properties": [property]});
    let change = patched(former.get(class).unwrap(), &sent).unwrap();
    store.class_change(former, change, None).await
}

async fn create(store: &Store, class: &Class, values: Json) -> Result<EntityId, Error> {
    let values = values.as_object().unwrap().clone();
    let entity = Entity::new(store.clock().new_id(), values);
    let (id, domain) = (entity.id, Domain::default_domain());
    let new = vec![NewEntity { entity, files: vec![] }];
    store.entity_create(&domain, class, new).await.map(|_| id)
}

fn are_others<T>(done: &Result<T, Error>) -> bool {
    matches!(done, Err(Error::Condition(Failed::OtherClasses)))
}

#[on_both]
async fn a_property_that_is_added_is_there_at_once_and_what_was_built_before_is_refused() {
    let (_directory, one, other) = stores().await;
    let domain = Domain::default_domain();
    let former = one.class(builtin::PROFILES).unwrap();
    let (snapshot, stale) = (one.classes(), other.class(builtin::PROFILES).unwrap());
    let before = create(&one, &former, json!({"name": "before"})).await.unwrap();
    let seat = json!({"name": "seat", "data_type": "long"});
    let replaced = extend(&one, &snapshot, builtin::PROFILES, seat).await.unwrap();
    assert_eq!(replaced.version(), snapshot.version() + 1);
    assert_eq!(one.classes(), replaced);
    assert!(snapshot.get(builtin::PROFILES).unwrap().property("seat").is_none(), "it was taken");

    // Nothing that was built with the former classes is done, whatever it is.
    let place = EntityPlace::new(&domain, &former, before);
    let changes = json!({"name": "x"}).as_object().unwrap().clone();
    assert!(are_others(&create(&one, &former, json!({"name": "late"})).await));
    assert!(are_others(&one.entity_update(place, &changes, None).await));
    assert!(are_others(&one.entity_delete(place, None).await));
    let class = one.class(builtin::PROFILES).unwrap();
    let kept = one.entity_get(&domain, &class, before).await.unwrap().unwrap();
    assert_eq!((kept.text("name"), kept.version), (Some("before"), 1));

    // With the present ones all of it is.
    let new = create(&one, &class, json!({"name": "new", "seat": 7})).await.unwrap();
    let read = one.entity_get(&domain, &class, new).await.unwrap().unwrap();
    assert_eq!(read.get("seat"), 7);

    // Another process learns of it by its first refusal, and repeats its work.
    assert!(are_others(&create(&other, &stale, json!({"name": "there"})).await));
    let class = other.class(builtin::PROFILES).unwrap();
    let there = create(&other, &class, json!({"name": "there", "seat": 8})).await.unwrap();
    let read = one.entity_get(&domain, &class, there).await.unwrap().unwrap();
    assert_eq!(read.get("seat"), 8);
    assert_eq!(other.classes(), one.classes());
}

#[on_both]
async fn of_two_who_replace_the_same_classes_one_does() {
    let (_directory, one, other) = stores().await;
    let (snapshot, same) = (one.classes(), other.classes());
    let version = snapshot.version();
    let property = |name: &str| json!({"name": name, "data_type": "string"});
    let (first, second) = tokio::join!(
        extend(&one, &snapshot, builtin::PROFILES, property("a")),
        extend(&other, &same, builtin::PROFILES, property("b"))
    );
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|done| **done).count(), 1);
    assert!(are_others(&first) || are_others(&second));
    // Whoever was late builds on what is there now.
    assert_eq!(one.classes().version(), version + 1);
    assert_eq!(other.classes(), one.classes());
    extend(&other, &other.classes(), builtin::PROFILES, property("c")).await.unwrap();
    let class = other.class(builtin::PROFILES).unwrap();
    assert!(class.property("c").is_some());
    assert!(class.property("a").is_some() != class.property("b").is_some());
}

#[on_both]
async fn a_bad_definition_changes_nothing_and_is_told_with_its_place() {
    let (_directory, one, _other) = stores().await;
    let before = one.classes();
    let bad = json!({"name": "NAME", "data_type": "string"});
    match extend(&one, &before, builtin::PROFILES, bad).await {
        Err(Error::Condition(Failed::Invalid { problems })) => {
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(problem.property.starts_with("properties["), "{problem}");
        }
        done => panic!("{done:?}"),
    }
    assert_eq!(one.classes(), before);
    let class = one.class(builtin::PROFILES).unwrap();
    create(&one, &class, json!({"name": "p"})).await.unwrap();
}

#[on_both]
async fn the_same_classes_have_the_same_version_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory::open(directory.path(), "a").await.unwrap();
    let before = store.classes();
    assert_eq!(before.version(), 1);
    assert!(before.iter().all(|class| class.version == 1));
    store.close().await.unwrap();
    let store = directory::open(directory.path(), "a").await.unwrap();
    assert_eq!(store.classes(), before);
}

#[on_both]
async fn a_received_message_of_former_classes_is_refused_as_a_whole_and_taken_when_it_is_rebuilt() {
    let (_directory, one, other) = stores().await;
    let domain = Domain::default_domain();
    let engine = one.lead().await.unwrap();
    let class = |name: &str| one.class(name).unwrap();
    let profile = create(&one, &class(builtin::PROFILES), json!({"name": "p"})).await.unwrap();
    let values = json!({"profile_id": profile.to_string(), "address": "a@b.test"});
    let account = create(&one, &class(builtin::ACCOUNTS), values).await.unwrap();
    let values = json!({"account_id": account.to_string(), "name": "f", "title": "f"});
    let folder = create(&one, &class(builtin::FOLDERS), values).await.unwrap();
    let commit = async || {
        let class = engine.builtin(builtin::MESSAGES).unwrap();
        let values = json!({
            "messageDirection": "in", "messageState": "received", "uid": 1,
            "folder_id": folder.to_string(),
        });
        let entity = Entity::new(one.clock().new_id(), values.as_object().unwrap().clone());
        let message = ReceivedMessage {
            key: SourceKey::of_uid(1),
            row: engine.entity_row(&domain, &class, &entity).unwrap(),
            files: vec![],
            original: Some(Content::prepare(b"Subject: s")),
            hash: [7; 16],
            witness: Witness::default(),
            reported: None,
            action: None,
        };
        let epoch = MailboxEpoch { folder: FolderId::of(folder), number: 1 };
        let (domain, messages) = (domain.clone(), vec![message]);
        engine.receive_commit(ReceiveBatch { domain, epoch, messages, relink: false }).await
    };
    let note = json!({"name": "note", "data_type": "string"});
    extend(&other, &other.classes(), builtin::MESSAGES, note).await.unwrap();
    assert!(are_others(&commit().await));
    let messages = other.class(builtin::MESSAGES).unwrap();
    let count = async || {
        other.entity_count(&domain, &messages, &postroom_model::Query::default()).await.unwrap()
    };
    assert_eq!(count().await, 0);
    commit().await.unwrap();
    assert_eq!(count().await, 1);
}

#[on_both(flavor = "multi_thread")]
async fn a_property_that_is_made_again_has_no_values_of_the_removed_one_and_keeps_its_own() {
    let (_directory, one, _other) = stores().await;
    let domain = Domain::default_domain();
    let sent = json!({"classname": "crm/Again", "properties": []});
    let class = created(&sent, one.clock().new_class_id()).unwrap();
    one.class_create(&one.classes(), class).await.unwrap();
    let class = || one.class("crm/Again").unwrap();
    let patch = async |property: Json, confirm: Option<u64>| {
        // Its removal may be at work at the same moment.
        loop {
            let former = one.classes();
            let sent = json!({"properties": [property]});
            let change = patched(former.get("crm/Again").unwrap(), &sent).unwrap();
            match one.class_change(&former, change, confirm).await {
                Err(Error::Condition(Failed::OtherClasses)) => {}
                done => return done.unwrap(),
            }
        }
    };
    let id = create(&one, &class(), json!({})).await.unwrap();
    let set = async |values: Json| {
        let class = class();
        let place = EntityPlace::new(&domain, &class, id);
        one.entity_update(place, values.as_object().unwrap(), None).await.unwrap();
    };
    let get = async |name: &str| {
        let entity = one.entity_get(&domain, &class(), id).await.unwrap().unwrap();
        entity.get(name).clone()
    };
    #[rustfmt::skip]
    let table = [
        ("p", "string",  json!("former")), ("P", "long",   json!(5)),
        ("p", "boolean", json!(true)),     ("p", "string", json!("again")),
        ("P", "string",  json!("other")),  ("p", "any",    json!({"a": 1})),
    ];
    for round in 0..30 {
        let (name, data_type, value) = &table[round % table.len()];
        patch(json!({"name": name, "data_type": data_type}), None).await;
        assert_eq!(get(name).await, Json::Null, "round {round}");
        set(json!({*name: value})).await;
        if round % 3 == 0 {
            while !one.classes_are_settled().await.unwrap() {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(get(name).await, *value, "round {round}");
        patch(json!({"name": name, "removed": true}), Some(1)).await;
    }
}

/// A class with two properties that have an index each.
async fn indexed(store: &Store) -> ClassId {
    let messages = store.class(builtin::MESSAGES).unwrap().id.to_string();
    let message = |name: &str| json!({"name": name, "data_type": "entity", "idclass": messages});
    let sent = json!({"classname": "crm/Short", "properties": [message("one"), message("two")]});
    let id = store.clock().new_class_id();
    store.class_create(&store.classes(), created(&sent, id).unwrap()).await.unwrap();
    id
}

async fn until_found(database: &Arc<dyn Database>, sql: &'static str) {
    while database.read(Statement::new(sql)).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_class_is_deleted_at_any_moment_while_its_indexes_are_being_made() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let open = || async { Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap() };
    let (one, other) = (open().await, open().await);
    for _ in 0..40 {
        let id = indexed(&one).await;
        one.class_delete(&one.classes(), id, None).await.unwrap();
    }
    // SQLite makes an index in one step.
    if TestDatabase::postgres_url(directory.path()).unwrap().is_none() {
        return;
    }
    // An index is not ready before this statement has ended.
    let older = tokio::spawn(database.read(Statement::new("SELECT pg_sleep(60)")));
    let sleeps = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(6%'
        AND pid <> pg_backend_pid()";
    until_found(&database, sleeps).await;
    let id = indexed(&one).await;
    until_found(&database, "SELECT 1 FROM pg_stat_progress_create_index").await;
    other.classes_refresh().await.unwrap();
    // A change of the class waits no longer than its deletion, and nobody who writes waits for it.
    let classes = other.classes();
    let note = json!({"name": "note", "data_type": "string"});
    let changed = extend(&other, &classes, "crm/Short", note);
    tokio::time::timeout(WITHIN, changed).await.unwrap().unwrap();
    let profiles = other.class(builtin::PROFILES).unwrap();
    create(&other, &profiles, json!({"name": "p"})).await.unwrap();
    until_found(&database, "SELECT 1 FROM pg_stat_progress_create_index").await;
    let classes = other.classes();
    let deleted = other.class_delete(&classes, id, None);
    tokio::time::timeout(WITHIN, deleted).await.unwrap().unwrap();
    assert!(!older.is_finished());
}
