//! What a domain adds to a class is its own: no other domain sees it or is disturbed by it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "opened/config.rs"]
mod opened;

use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Order;
use postroom_model::Query;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::created;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::parse_aggregate;
use postroom_model::patched;
use postroom_store::Error;
use postroom_store::*;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;

fn named(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

/// Two stores on one database, as two processes have them.
async fn stores() -> (TempDir, Store, Store) {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let open = || async { Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap() };
    let (one, other) = (open().await, open().await);
    (directory, one, other)
}

/// A PATCH of a class by a domain.
async fn extend(
    store: &Store,
    domain: &Domain,
    class: &str,
    body: &Json,
    confirm: Option<u64>,
) -> Result<Arc<Class>, Error> {
    let former = store.classes();
    let class = former.of(domain).get(class).unwrap().extended();
    let change = patched(&class, body).unwrap();
    let classes = store.class_extend(domain, &former, change, confirm).await?;
    assert_eq!(classes, store.classes());
    Ok(Arc::clone(classes.of(domain).get(&class.classname).unwrap()))
}

fn one(name: &str, of_type: &str) -> Json {
    json!({"properties": [{"name": name, "data_type": of_type}]})
}

async fn create(store: &Store, domain: &Domain, class: &Class, values: Json) -> EntityId {
    let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
    let id = entity.id;
    let new = vec![NewEntity { entity, files: vec![] }];
    store.entity_create(domain, class, new).await.unwrap();
    id
}

/// The places and reasons of what is refused.
fn refused<T: std::fmt::Debug>(done: Result<T, Error>) -> String {
    match done {
        Err(Error::Condition(Failed::Invalid { problems })) => {
            let all = problems.iter().map(|one| format!("{}: {}", one.property, one.reason));
            all.collect::<Vec<_>>().join("; ")
        }
        done => panic!("{done:?}"),
    }
}

async fn found(store: &Store, domain: &Domain, class: &Class, filter: &Json) -> Vec<EntityId> {
    let classes = store.classes().of(domain);
    let filter = filter::parse(Names::among(class, &classes), filter).unwrap();
    let query = Query::filtered(filter, 100);
    let all = store.entity_list(domain, class, &query).await.unwrap();
    all.iter().map(|entity| entity.id).collect()
}

#[on_both]
async fn two_domains_give_one_name_different_types_and_neither_sees_the_other() {
    let (_directory, store, other) = stores().await;
    let (acme, emca, none) = (named("acme"), named("emca"), named("none"));
    let body = json!({"properties": [
        {"name": "ticketId", "data_type": "string", "default": "t0", "caption": "Ticket"},
        {"name": "labels", "data_type": "string", "multi": true},
    ]});
    let a = extend(&store, &acme, PROFILES, &body, None).await.unwrap();
    let e = extend(&store, &emca, PROFILES, &one("ticketId", "long"), None).await.unwrap();
    let all = store.class(PROFILES).unwrap();
    assert_eq!(store.class_of(&none, PROFILES).unwrap(), all);
    assert!(all.property("ticketId").is_none(), "all domains would see it");
    // Another process has it once it reads the classes again.
    other.classes_refresh().await.unwrap();
    assert_eq!(other.class_of(&emca, PROFILES).unwrap(), e);

    let of_a = json!({"name": "p", "ticketId": "t7", "labels": ["x", "y"]});
    let of_a = create(&store, &acme, &a, of_a).await;
    let later = create(&store, &acme, &a, json!({"name": "q"})).await;
    let of_e = create(&store, &emca, &e, json!({"name": "p", "ticketId": 7})).await;
    let get = async |domain: &Domain, class: &Class, id| {
        store.entity_get(domain, class, id).await.unwrap().unwrap()
    };
    assert_eq!(get(&acme, &a, of_a).await.get("ticketId"), &json!("t7"));
    assert_eq!(get(&acme, &a, later).await.get("ticketId"), &json!("t0"));
    assert_eq!(get(&emca, &e, of_e).await.get("ticketId"), &json!(7));
    assert_eq!(store.entity_get(&emca, &e, of_a).await.unwrap(), None);
    let is = |literal: Json| json!(["==", ["property", "ticketId"], literal]);
    assert_eq!(found(&store, &acme, &a, &is(json!("t7"))).await, [of_a]);
    assert_eq!(found(&store, &emca, &e, &is(json!(7))).await, [of_e]);
    let has = json!(["contains", ["property", "labels"], "y"]);
    assert_eq!(found(&store, &acme, &a, &has).await, [of_a]);
    let order = vec![Order { property: "ticketId".to_owned(), descending: true }];
    let query = Query { order, ..Query::default() };
    let listed = store.entity_list(&acme, &a, &query).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [of_a, later]);
    let aggregate = parse_aggregate(&e, "max(ticketId)", Some("ticketId")).unwrap();
    let wanted = WantedGroups { aggregate: &aggregate, limit: 10 };
    let groups = store.entity_aggregate(&emca, &e, None, wanted).await.unwrap();
    assert_eq!((groups.len(), &groups[0]["ticketId"]), (1, &json!(7)));

    // The feed has the values as the domain gave them.
    let place = EntityPlace::new(&emca, &e, of_e);
    let changes = json!({"ticketId": 8}).as_object().unwrap().clone();
    store.entity_update(place, &changes, None).await.unwrap();
    let last = store.feed_of(&emca, &[of_e], 0).await.unwrap().pop().unwrap();
    assert_eq!(last.replaced.unwrap()["ticketId"], json!(7));
}

#[on_both]
async fn what_a_domain_takes_away_is_counted_confirmed_and_deleted_before_it_is_used_again() {
    let (_directory, store, _other) = stores().await;
    let (acme, emca) = (named("acme"), named("emca"));
    let a = extend(&store, &acme, PROFILES, &one("note", "string"), None).await.unwrap();
    let e = extend(&store, &emca, PROFILES, &one("memo", "string"), None).await.unwrap();
    assert_eq!(a.property("note").unwrap().column(), e.property("memo").unwrap().column());
    let kept = create(&store, &emca, &e, json!({"name": "p", "memo": "stays"})).await;
    let id = create(&store, &acme, &a, json!({"name": "p", "note": "goes"})).await;

    let renamed = json!({"properties": [
        {"name": "remark", "data_type": "string", "renamed_from": "note"}]});
    let a = extend(&store, &acme, PROFILES, &renamed, None).await.unwrap();
    let got = store.entity_get(&acme, &a, id).await.unwrap().unwrap();
    assert_eq!(got.get("remark"), &json!("goes"));
    let narrower = json!({"properties": [{"name": "remark", "opts": {"max_length": 3}}]});
    let text = refused(extend(&store, &acme, PROFILES, &narrower, None).await);
    assert!(text.contains("longer text than 3") && text.contains(&id.to_string()), "{text}");
    let other = json!({"properties": [{"name": "remark", "data_type": "long"}]});
    let text = refused(extend(&store, &acme, PROFILES, &other, None).await);
    assert!(text.starts_with("properties.remark.data_type: is another kind"), "{text}");

    let removed = json!({"properties": [{"name": "remark", "removed": true}]});
    let unconfirmed = extend(&store, &acme, PROFILES, &removed, None).await;
    let is_one =
        |error: &Error| matches!(error, Error::Condition(Failed::Unconfirmed { count: 1, .. }));
    assert!(unconfirmed.as_ref().is_err_and(is_one), "{unconfirmed:?}");
    let former = store.class_of(&acme, PROFILES).unwrap();
    let a = extend(&store, &acme, PROFILES, &removed, Some(1)).await.unwrap();
    assert!(a.property("remark").is_none());
    // Who still has the former class writes nothing into the column.
    let entity = Entity::new(
        store.clock().new_id(),
        json!({"name": "late", "remark": "x"}).as_object().unwrap().clone(),
    );
    let late = vec![NewEntity { entity, files: vec![] }];
    let late = store.entity_create(&acme, &former, late).await;
    assert!(matches!(late, Err(Error::Condition(Failed::OtherClasses))), "{late:?}");
    store.classes_sync(std::time::Duration::from_secs(60)).await.unwrap();
    let again = extend(&store, &acme, PROFILES, &one("again", "string"), None).await.unwrap();
    assert_eq!(again.property("again").unwrap().column(), "own text 1");
    let got = store.entity_get(&acme, &again, id).await.unwrap().unwrap();
    assert_eq!(got.get("again"), &Json::Null);
    let got = store.entity_get(&emca, &e, kept).await.unwrap().unwrap();
    assert_eq!(got.get("memo"), &json!("stays"));
}

#[on_both]
async fn items_and_texts_are_those_of_the_domain_and_an_item_that_is_used_is_not_removed() {
    let (_directory, store, _other) = stores().await;
    let (acme, none) = (named("acme"), named("none"));
    let body = json!({"name": "Mail of Acme", "properties": [
        {"name": "messageState", "items": ["processed"], "caption": "Where it is"}]});
    let a = extend(&store, &acme, MESSAGES, &body, None).await.unwrap();
    let has = |class: &Class| {
        let items = &class.property("messageState").unwrap().items;
        items.contains(&"processed".to_owned())
    };
    assert!(has(&a) && a.name == "Mail of Acme");
    assert!(!has(&store.class(MESSAGES).unwrap()));
    assert!(!has(&store.class_of(&none, MESSAGES).unwrap()));
    let values = json!({"messageDirection": "out", "messageState": "processed"});
    let id = create(&store, &acme, &a, values).await;
    assert_eq!(
        store.entity_get(&acme, &a, id).await.unwrap().unwrap().get("messageState"),
        &json!("processed")
    );
    let mut without = a.extended();
    let all = store.class(MESSAGES).unwrap();
    let state = without.properties.iter_mut().find(|one| one.name == "messageState").unwrap();
    state.items.clone_from(&all.property("messageState").unwrap().items);
    let change = postroom_model::ClassChange { class: without, renamed: vec![] };
    let text = refused(store.class_extend(&acme, &store.classes(), change, None).await);
    assert!(text.contains("they have one of processed"), "{text}");
    let built_in = json!({"properties": [{"name": "subject", "removed": true}]});
    let text = refused(extend(&store, &acme, MESSAGES, &built_in, None).await);
    assert!(text.starts_with("properties.subject: "), "{text}");
}

#[on_both]
async fn a_name_that_a_domain_uses_is_refused_to_all_without_a_word_about_whose_it_is() {
    let (_directory, store, other) = stores().await;
    let acme = named("acme");
    let stale = other.classes();
    extend(&store, &acme, PROFILES, &one("seat", "string"), None).await.unwrap();
    let of_all = async |store: &Store, former: &Classes, name: &str| {
        let change = patched(former.get(PROFILES).unwrap(), &one(name, "long")).unwrap();
        store.class_change(former, change, None).await
    };
    let text = refused(of_all(&store, &store.classes(), "Seat").await);
    assert_eq!(text, "properties.Seat.name: cannot be used for this property: choose another name");
    // Another process that does not know of it is refused by the batch.
    let late = of_all(&other, &stale, "seat").await;
    assert!(matches!(late, Err(Error::Condition(Failed::OtherClasses))), "{late:?}");
    // What all domains get is there beside what the domain has, and stays after a start.
    of_all(&store, &store.classes(), "floor").await.unwrap();
    let class = store.class_of(&acme, PROFILES).unwrap();
    assert!(class.property("floor").is_some() && class.property("seat").is_some());
    let text = refused(extend(&store, &acme, PROFILES, &one("FLOOR", "long"), None).await);
    assert!(text.contains("another property is called `floor`"), "{text}");
    other.classes_refresh().await.unwrap();
    assert_eq!(other.class_of(&acme, PROFILES).unwrap(), class);

    // A class to which a property of a domain refers is not deleted.
    let tickets = json!({"classname": "crm/Tickets", "properties": []});
    let tickets = created(&tickets, store.clock().new_class_id()).unwrap();
    let id = tickets.id;
    store.class_create(&store.classes(), tickets).await.unwrap();
    let body = json!({"properties": [
        {"name": "ticket", "data_type": "entity", "idclass": id.to_string()}]});
    extend(&store, &acme, PROFILES, &body, None).await.unwrap();
    let deleted = store.class_delete(&store.classes(), id, None).await;
    let Err(Error::Condition(Failed::InUse { by })) = &deleted else { panic!("{deleted:?}") };
    assert_eq!(by, "a property that a domain added for itself");
}

#[on_both]
async fn what_domains_add_is_moved_to_another_database_with_its_values() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (domain, config) = (named("acme"), opened::config("a"));
    let source = opened::database(from.path()).await.unwrap();
    let store = Store::open(source, &config).await.unwrap();
    let class = extend(&store, &domain, PROFILES, &one("note", "string"), None).await.unwrap();
    let id = create(&store, &domain, &class, json!({"name": "p", "note": "n"})).await;
    store.close().await.unwrap();
    let source = opened::database(from.path()).await.unwrap();
    let target = opened::database(to.path()).await.unwrap();
    let all = Move {
        from: source.as_ref(),
        to: target.as_ref(),
        key: &config.key,
        built_in: &config.classes,
        now: "2026-11-30T10:00:00Z",
    };
    all.run(|_| {}).await.unwrap();
    let store = Store::open(target, &config).await.unwrap();
    assert_eq!(*store.class_of(&domain, PROFILES).unwrap(), *class);
    let moved = store.entity_get(&domain, &class, id).await.unwrap().unwrap();
    assert_eq!(moved.get("note"), &json!("n"));
}

#[on_both]
async fn a_new_property_under_the_former_name_of_another_has_values_of_its_own() {
    let (_directory, store, _other) = stores().await;
    let acme = named("acme");
    let a = extend(&store, &acme, PROFILES, &one("note", "string"), None).await.unwrap();
    let id = create(&store, &acme, &a, json!({"name": "p", "note": "first"})).await;
    let body = json!({"properties": [
        {"name": "remark", "data_type": "string", "renamed_from": "note"},
        {"name": "note", "data_type": "string"},
    ]});
    let a = extend(&store, &acme, PROFILES, &body, None).await.unwrap();
    let get = async || store.entity_get(&acme, &a, id).await.unwrap().unwrap();
    let got = get().await;
    assert_eq!((got.get("remark"), got.get("note")), (&json!("first"), &Json::Null));
    let changes = json!({"note": "second"}).as_object().unwrap().clone();
    store.entity_update(EntityPlace::new(&acme, &a, id), &changes, None).await.unwrap();
    let got = get().await;
    assert_eq!((got.get("remark"), got.get("note")), (&json!("first"), &json!("second")));

    // Two properties never have one column, whatever asks for it.
    let mut class = a.extended();
    let column = class.property("remark").unwrap().column.clone();
    class.properties.last_mut().unwrap().column = column;
    let change = postroom_model::ClassChange { class, renamed: vec![] };
    let text = refused(store.class_extend(&acme, &store.classes(), change, None).await);
    assert!(text.starts_with("properties.note: would have the values of `remark` too"), "{text}");
}

#[on_both]
async fn a_property_of_all_under_the_former_name_of_another_is_another_one() {
    let (_directory, store, _other) = stores().await;
    let none = named("none");
    let change = async |body: Json| {
        let former = store.classes();
        let change = patched(former.get(PROFILES).unwrap(), &body).unwrap();
        store.class_change(&former, change, None).await.unwrap();
        store.class(PROFILES).unwrap()
    };
    let class = change(one("note", "string")).await;
    let id = create(&store, &none, &class, json!({"name": "p", "note": "first"})).await;
    let class = change(json!({"properties": [
        {"name": "remark", "data_type": "string", "renamed_from": "note"},
        {"name": "note", "data_type": "long", "default": 7},
    ]}))
    .await;
    let got = store.entity_get(&none, &class, id).await.unwrap().unwrap();
    assert_eq!((got.get("remark"), got.get("note")), (&json!("first"), &json!(7)));
}

#[on_both]
async fn a_domain_that_took_all_back_is_deleted_plainly_and_who_is_late_writes_nothing() {
    let (_directory, store, other) = stores().await;
    let (acme, master) = (named("acme"), Domain::master());
    let domains = store.class(DOMAINS).unwrap();
    let id = create(&store, &master, &domains, json!({"name": "acme"})).await;
    let body = json!({"name": "Own", "properties": [{"name": "note", "data_type": "string"}]});
    extend(&store, &acme, PROFILES, &body, None).await.unwrap();
    // The class of all has changed later than what the domain adds.
    let former = store.classes();
    let change = patched(former.get(PROFILES).unwrap(), &one("floor", "long")).unwrap();
    store.class_change(&former, change, None).await.unwrap();
    let late = store.class_of(&acme, PROFILES).unwrap();
    let delete = async || store.entity_delete(EntityPlace::new(&master, &domains, id), None).await;
    let deleted = delete().await;
    let Err(Error::Condition(Failed::InUse { by })) = &deleted else { panic!("{deleted:?}") };
    assert!(by.starts_with("what this domain adds to classes"), "{by}");

    let name = &store.class(PROFILES).unwrap().name;
    let body = json!({"name": name, "properties": [{"name": "note", "removed": true}]});
    let back = extend(&store, &acme, PROFILES, &body, None).await.unwrap();
    let all = store.class(PROFILES).unwrap();
    assert_eq!((&back.name, &back.properties), (&all.name, &all.properties));
    // Otherwise who has the former one would take it for the present one.
    assert!(back.revision > late.revision, "{} {}", back.revision, late.revision);
    let values = json!({"name": "p", "note": "x"}).as_object().unwrap().clone();
    let new =
        vec![NewEntity { entity: Entity::new(store.clock().new_id(), values), files: vec![] }];
    let written = store.entity_create(&acme, &late, new).await;
    assert!(matches!(written, Err(Error::Condition(Failed::OtherClasses))), "{written:?}");
    other.classes_refresh().await.unwrap();
    assert_eq!(other.class_of(&acme, PROFILES).unwrap(), back);
    let now = create(&store, &acme, &back, json!({"name": "q"})).await;
    let read = store.entity_get(&acme, &late, now).await;
    assert!(matches!(read, Err(Error::Condition(Failed::OtherClasses))), "{read:?}");
    store.entity_delete(EntityPlace::new(&acme, &back, now), None).await.unwrap();
    delete().await.unwrap();
}
