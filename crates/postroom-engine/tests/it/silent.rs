//! A server that says nothing is reported while the sender still waits for it.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::World;
use postroom_model::Entity;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const SILENT: &str = "the server is silent: are smtpHost";

fn says(account: &Entity, text: &str) -> bool {
    account.text("statusText").is_some_and(|said| said.contains(text))
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_reported_once_while_it_is_waited_for_and_then_the_message_leaves() {
    let world = World::new().await;
    let rule = Rule { on: Point::SmtpGreeting, when: When::Always, act: Action::Hold };
    let rule = world.sandbox.script(rule);
    let account = world.account(json!({"address": ANNA, "password": "secret"})).await;
    let began = Instant::now();
    let engine = world.start(world.settings()).await;
    let told = world.until(ACCOUNTS, account, |it| says(it, SILENT)).await;
    let took = began.elapsed();
    assert!((30..40).contains(&took.as_secs()), "{took:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let same = world.until(ACCOUNTS, account, |_| true).await;
    assert_eq!(same.version, told.version, "said once");
    let message = json!({
        "account_id": account.to_string(), "messageDirection": "out",
        "messageState": "sending", "to": [BEN], "subject": "S", "text": "Hello.\n",
    });
    let message = world.create(MESSAGES, message).await;
    world.sandbox.unscript(rule);
    world.until(MESSAGES, message, |it| it.text("messageState") == Some("sent")).await;
    world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
    let hellos = world.sandbox.transcript().into_iter().filter(|it| it.command == "EHLO");
    assert_eq!(hellos.count(), 1, "the connection that was waited for is used");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_changed_does_not_wait_for_its_silent_server() {
    let world = World::new().await;
    let rule = Rule { on: Point::SmtpGreeting, when: When::Nth(1), act: Action::Hold };
    let rule = world.sandbox.script(rule);
    let account = world.account(json!({"address": ANNA, "password": "secret"})).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| says(it, SILENT)).await;
    let began = Instant::now();
    world.change(ACCOUNTS, account, json!({"smtpLogin": ANNA})).await;
    world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(world.sandbox.acted_count(rule), 1);
    engine.stop().await;
}
