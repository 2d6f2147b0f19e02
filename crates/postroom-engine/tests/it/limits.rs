//! A domain that has as much as it may have.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_store::EntityPlace;
use postroom_store::NewEntity;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn mail_beyond_a_limit_waits_at_its_server_and_the_account_says_why() {
    let mut world = World::new().await;
    let values = json!({"name": "acme", "bytesMax": 10}).as_object().unwrap().clone();
    let entity = Entity::new(world.store.clock().new_id(), values);
    let (id, class) = (entity.id, world.store.builtin(DOMAINS).unwrap());
    let new = vec![NewEntity { entity, files: vec![] }];
    world.store.entity_create(&Domain::master(), &class, new).await.unwrap();
    world.domain = Domain::new("acme").unwrap();
    world.sandbox.deliver(ANNA, "INBOX", b"Subject: a\r\n\r\nHello.\r\n".to_vec()).unwrap();
    let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({"deleteOnServer": true})).await;
    let says = |it: &Entity| it.text("statusText").is_some_and(|text| text.contains("`bytesMax`"));
    let waits = world.until(ACCOUNTS, account, says).await;
    let text = waits.text("statusText").unwrap();
    assert!(
        text.contains("new mail stays at its server") && text.contains("may have 10"),
        "{text}"
    );
    assert_eq!(world.sandbox.messages(ANNA, "INBOX").len(), 1);
    world.until_messages(0).await;
    let master = Domain::master();
    let place = EntityPlace::new(&master, &class, id);
    let more = json!({"bytesMax": 1_000}).as_object().unwrap().clone();
    world.store.entity_update(place, &more, None).await.unwrap();
    world.until_messages(1).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready") && !says(it)).await;
    world.until(FOLDERS, folder, |it| it.number("storedCount") == Some(1)).await;
    engine.stop().await;
}
