//! The words of messages are indexed, searched, and indexed anew.

use crate::database::Room;
use crate::database::Statement;
use crate::full_text::WordsLeft;
use crate::tests::life::world::World;
use postroom_model::Query;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::filter;
use postroom_model::parse_order;
use serde_json::json;

async fn keep_up(world: &World) {
    while world.engine.words_step().await.unwrap() != WordsLeft::Nothing {}
}

/// The engine indexes words, clients search for them, and options and the feed change.
pub(super) async fn words(world: &World) {
    let (store, domain, class) = (&world.store, &world.domain, world.class(MESSAGES));
    keep_up(world).await;
    let message = world.outgoing("some words").await;
    store.words_lag(domain).await.unwrap();
    keep_up(world).await;
    store.words_lag(domain).await.unwrap();
    let words = filter::parse(&class, &json!(["match", "\"some words\""])).unwrap();
    for order in ["", "-dateTime"] {
        let order = parse_order(&class, order).unwrap();
        let query = Query { order, ..Query::filtered(words.clone(), 9) };
        let found = store.entity_list(domain, &class, &query).await.unwrap();
        assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [message.id]);
    }
    let account = store.account_find(world.account).await.unwrap().unwrap().account;
    world.update(ACCOUNTS, &account, json!({"options": {"full_text": false}})).await;
    keep_up(world).await;
    let account = store.account_find(world.account).await.unwrap().unwrap().account;
    world.update(ACCOUNTS, &account, json!({"options": null})).await;
    keep_up(world).await;
    let trimmed = "INSERT INTO \"meta\" (\"name\", \"number\")
        SELECT 'feed trimmed', MAX(\"seq\") FROM \"change\" WHERE 1=1
        ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
    world.outgoing("other words").await;
    let batch = vec![Statement::new(trimmed)];
    store.inner.database.write(batch, Room::Free).await.unwrap();
    world.engine.words_step().await.unwrap();
}
