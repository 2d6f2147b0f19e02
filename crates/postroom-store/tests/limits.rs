//! The limits of domains: exact, whoever makes what at the same time.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
#[expect(dead_code, reason = "only some of it is used here")]
mod queued;
#[path = "opened/received.rs"]
mod received;

use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_store::*;
use postroom_testkit::on_both;
use queued::object;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// How many at once try to make something.
const MAKERS: usize = 4;

fn acme() -> Domain {
    Domain::new("acme").unwrap()
}

struct World {
    _directory: tempfile::TempDir,
    store: Store,
    limited: EntityId,
}

impl World {
    /// A domain without limits.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = opened::database(directory.path()).await.unwrap();
        let store = Store::open(database, &opened::config("a")).await.unwrap();
        let store = store.lead().await.unwrap();
        let limited = make(&store, &Domain::master(), DOMAINS, json!({"name": "acme"})).await;
        Self { _directory: directory, store, limited: limited.unwrap() }
    }

    async fn limit(&self, limits: Json) {
        let (master, class) = (Domain::master(), self.store.class(DOMAINS).unwrap());
        let place = EntityPlace::new(&master, &class, self.limited);
        self.store.entity_update(place, &object(limits), None).await.unwrap();
        self.store.usage_count().await.unwrap();
    }

    /// Makes as many as possible, several at the same time. Gives how many there are then.
    async fn fill(&self, class: &'static str, values: Json) -> usize {
        let mut makers = vec![];
        for maker in 0..MAKERS {
            let (store, mut values) = (self.store.clone(), values.clone());
            makers.push(tokio::spawn(async move {
                for at in 0.. {
                    let mark = json!(format!("{maker}-{at}-{}", store.clock().new_id()));
                    for name in ["address", "name", "token"] {
                        if !values[name].is_null() {
                            values[name] = mark.clone();
                        }
                    }
                    match make(&store, &acme(), class, values.clone()).await {
                        Ok(_) => {}
                        Err(Error::Condition(Failed::Limit { max: Some(_), .. })) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        for maker in makers {
            maker.await.unwrap();
        }
        self.ids(class).await.len()
    }

    async fn ids(&self, class: &str) -> Vec<EntityId> {
        let query = postroom_model::Query { limit: 1000, ..postroom_model::Query::default() };
        let class = self.store.class(class).unwrap();
        let all = self.store.entity_list(&acme(), &class, &query).await.unwrap();
        all.into_iter().map(|entity| entity.id).collect()
    }

    async fn delete(&self, class: &str, id: EntityId) {
        let (domain, class) = (acme(), self.store.class(class).unwrap());
        self.store.entity_delete(EntityPlace::new(&domain, &class, id), None).await.unwrap();
    }
}

async fn make(
    store: &Store,
    domain: &Domain,
    class: &str,
    values: Json,
) -> Result<EntityId, Error> {
    let class = store.class(class).unwrap();
    let entity = Entity::new(store.clock().new_id(), object(values));
    let id = entity.id;
    store.entity_create(domain, &class, vec![NewEntity { entity, files: vec![] }]).await?;
    Ok(id)
}

fn twelve_bytes(name: &str) -> NewFile {
    NewFile {
        property: "file".to_owned(),
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(b"twelve bytes")),
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_domain_has_never_more_accounts_tokens_and_messages_than_it_may_have() {
    let world = World::new().await;
    let profile = make(&world.store, &acme(), PROFILES, json!({"name": "p"})).await.unwrap();
    make(&world.store, &acme(), MESSAGES, json!({"messageDirection": "out"})).await.unwrap();
    world.limit(json!({"accountsMax": 7, "tokensMax": 9, "messagesMax": 11})).await;
    let account = json!({"profile_id": profile, "address": "a"});
    let token = json!({"name": "t", "role": "reader", "token": "t"});
    let message = json!({"messageDirection": "out"});
    for (class, values, max) in
        [(ACCOUNTS, account, 7), (TOKENS, token, 9), (MESSAGES, message, 11)]
    {
        assert_eq!(world.fill(class, values.clone()).await, max, "{class}");
        for id in world.ids(class).await.into_iter().take(3) {
            world.delete(class, id).await;
        }
        assert_eq!(world.fill(class, values.clone()).await, max, "{class} after deletions");
        // Another domain has limits of its own.
        let other = Domain::new("other").unwrap();
        if class == MESSAGES {
            make(&world.store, &other, class, values).await.unwrap();
        }
    }
    // What is there stays when the limit falls, and nothing is added.
    world.limit(json!({"messagesMax": 2})).await;
    let message = || json!({"messageDirection": "out"});
    let refused = make(&world.store, &acme(), MESSAGES, message()).await.unwrap_err();
    let limit = Failed::Limit { limit: DomainLimit::Messages, max: Some(2) };
    assert!(matches!(&refused, Error::Condition(failed) if *failed == limit), "{refused}");
    world.limit(json!({"messagesMax": null})).await;
    make(&world.store, &acme(), MESSAGES, message()).await.unwrap();
}

#[on_both]
async fn the_bytes_of_originals_and_files_are_counted_whatever_happens_to_them() {
    let world = World::new().await;
    let (store, domain) = (&world.store, acme());
    let class = store.class(MESSAGES).unwrap();
    let new = || {
        let values = object(json!({"messageDirection": "out"}));
        NewEntity {
            entity: Entity::new(store.clock().new_id(), values),
            files: vec![twelve_bytes("a"), twelve_bytes("b")],
        }
    };
    let made = store.entity_create(&domain, &class, vec![new()]).await.unwrap().remove(0);
    world.limit(json!({"bytesMax": 36})).await;
    let is_full = |done: Result<(), Error>| {
        let limit = Failed::Limit { limit: DomainLimit::Bytes, max: Some(36) };
        match done {
            Ok(()) => false,
            Err(Error::Condition(failed)) if failed == limit => true,
            Err(error) => panic!("{error}"),
        }
    };
    let create =
        async || is_full(store.entity_create(&domain, &class, vec![new()]).await.map(drop));
    assert!(create().await, "24 bytes are there, and 24 more are 48");
    let place = EntityPlace::new(&domain, &class, made.id);
    let add = async |name: &str| {
        let file = vec![twelve_bytes(name)];
        is_full(store.file_add(place, file, &Replace::Nothing).await.map(drop))
    };
    assert!(!add("c").await && add("d").await);
    store.file_delete(place, "file", "a", None).await.unwrap();
    assert!(!add("d").await && add("e").await);
    world.delete(MESSAGES, made.id).await;
    assert!(!create().await && create().await);
    // Received mail is refused as a whole, and loses nothing.
    let profile = make(store, &domain, PROFILES, json!({"name": "p"})).await.unwrap();
    let account = json!({"profile_id": profile, "address": "a@b.test"});
    let account = AccountId::of(make(store, &domain, ACCOUNTS, account).await.unwrap());
    let folder = json!({"account_id": account.to_string(), "name": "INBOX", "title": "t"});
    let folder = FolderId::of(make(store, &domain, FOLDERS, folder).await.unwrap());
    let mail = || received::received(store, &domain, folder, 1);
    assert!(is_full(store.receive_commit(mail()).await.map(drop)), "14 bytes more are 38");
    assert_eq!(world.ids(MESSAGES).await.len(), 1);
    world.limit(json!({"bytesMax": 38})).await;
    let done = store.receive_commit(mail()).await.unwrap();
    assert_eq!(done, ReceiveOutcome::Done { stored: 1, repeated: 0, held: vec![] });
}

#[on_both(flavor = "multi_thread")]
async fn what_is_made_and_deleted_while_a_limit_is_set_is_counted_once() {
    let world = Arc::new(World::new().await);
    let mut makers = vec![];
    for _ in 0..MAKERS {
        let world = Arc::clone(&world);
        makers.push(tokio::spawn(async move {
            for at in 0..30 {
                let message = json!({"messageDirection": "out"});
                let id = make(&world.store, &acme(), MESSAGES, message).await.unwrap();
                if at % 3 == 0 {
                    world.delete(MESSAGES, id).await;
                }
            }
        }));
    }
    while world.ids(MESSAGES).await.len() < 20 {
        tokio::task::yield_now().await;
    }
    world.limit(json!({"messagesMax": 1000})).await;
    for maker in makers {
        maker.await.unwrap();
    }
    let there = world.ids(MESSAGES).await.len();
    assert_eq!(there, MAKERS * 20);
    world.limit(json!({"messagesMax": there + 5})).await;
    assert_eq!(world.fill(MESSAGES, json!({"messageDirection": "out"})).await, there + 5);
}
