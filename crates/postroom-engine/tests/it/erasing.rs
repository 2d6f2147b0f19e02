//! A domain is erased while its mail is being sent and received.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_store::NewEntity;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How long an erasure may take, in paused time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Erases a domain when the server has acted on a message of it. Gives how many copies the server
/// has in the end.
async fn copies(on: Point, act: Action) -> usize {
    let mut world = World::new().await;
    let values = json!({"name": "acme"}).as_object().unwrap().clone();
    let entity = Entity::new(world.store.clock().new_id(), values);
    let class = world.store.builtin(DOMAINS).unwrap();
    let new = vec![NewEntity { entity, files: vec![] }];
    let made = world.store.entity_create(&Domain::master(), &class, new).await.unwrap();
    world.domain = Domain::new("acme").unwrap();
    let options = json!({"uncertain": "resend"});
    let account = json!({"address": ANNA, "password": PASSWORD, "options": options});
    let account = world.account(account).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
    let rule = world.sandbox.script(Rule { on, when: When::Nth(1), act });
    let message = json!({
        "account_id": account.to_string(), "messageDirection": "out", "messageState": "sending",
        "subject": "S", "text": "Hello.\n", "to": [BEN],
    });
    world.create(MESSAGES, message).await;
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) > 0;
    world.sandbox.wait_for(acted, PATIENCE).await.unwrap();
    world.store.erasure_begin(&made[0]).await.unwrap();
    let began = Instant::now();
    while world.store.erasures(None).await.unwrap()[0].ended.is_none() {
        assert!(began.elapsed() < PATIENCE, "{:?}", world.list(MESSAGES).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.list(MESSAGES).await, []);
    // Nothing more is sent, however long it takes.
    tokio::time::sleep(PATIENCE).await;
    engine.stop().await;
    world.sandbox.accepted().len()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_being_sent_is_finished_once_and_then_erased() {
    let late = || Action::Delay(Duration::from_secs(10));
    let data = Point::SmtpCommand(SmtpCommand::Data);
    // Before the final dot it is not sent. After it, it is sent once, and not again.
    assert_eq!(copies(data, late()).await, 0);
    assert_eq!(copies(Point::SmtpDot, late()).await, 1);
    assert_eq!(copies(Point::SmtpAccepted, Action::End(Ending::Close)).await, 1);
}
