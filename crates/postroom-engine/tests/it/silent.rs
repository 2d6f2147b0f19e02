//! A server that says nothing is reported while the sender still waits for it.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::World;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::SmtpCommand;
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

const NO_ANSWER: &str = "the server has not answered";
const RCPT: Point = Point::SmtpCommand(SmtpCommand::Rcpt);

async fn message(world: &World, account: EntityId, to: &str) -> EntityId {
    let message = json!({
        "account_id": account.to_string(), "messageDirection": "out",
        "messageState": "sending", "to": [to], "subject": "S", "text": "Hello.\n",
    });
    world.create(MESSAGES, message).await
}

async fn until_is(world: &World, message: EntityId, state: &str) -> Entity {
    world.until(MESSAGES, message, |it| it.text("messageState") == Some(state)).await
}

fn sessions(world: &World) -> usize {
    world.sandbox.transcript().iter().filter(|it| it.command == "EHLO").count()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_about_one_message_holds_up_no_other_one() {
    // The state of the message at last, and how many copies the server has of it.
    for (point, state, copies) in [(RCPT, "sent", 1), (Point::SmtpDot, "error", 0)] {
        let world = World::new().await;
        let when = When::For("carl@else.test".to_owned());
        let rule = world.sandbox.script(Rule { on: point, when, act: Action::Hold });
        let account = world.account(json!({"address": ANNA, "password": "secret"})).await;
        let engine = world.start(world.settings()).await;
        let began = Instant::now();
        let stuck = message(&world, account, "carl@else.test").await;
        let others = [message(&world, account, BEN).await, message(&world, account, BEN).await];
        for other in others {
            until_is(&world, other, "sent").await;
        }
        let took = began.elapsed();
        assert!((30..50).contains(&took.as_secs()), "{point:?}: {took:?}");
        // The message and its account say why it waits, also after others were sent.
        let waits = world.until(MESSAGES, stuck, |_| true).await;
        let text = waits.text("errorText").unwrap_or_default();
        assert!(text.contains(NO_ANSWER), "{waits:?}");
        assert_eq!((waits.text("messageState"), sessions(&world)), (Some("sending"), 2));
        let told = world.until(ACCOUNTS, account, |it| says(it, NO_ANSWER)).await;
        assert!(says(&told, &stuck.to_string()), "{told:?}");
        if state == "sent" {
            world.sandbox.unscript(rule);
        }
        let ended = until_is(&world, stuck, state).await;
        let code = ended.text("errorCode");
        assert_eq!(code, (state == "error").then_some("uncertain"), "{ended:?}");
        world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
        let accepted = world.sandbox.accepted();
        let of_stuck = accepted.iter().filter(|it| it.forward_paths == ["carl@else.test"]);
        assert_eq!((of_stuck.count(), accepted.len()), (copies, copies + 2));
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_gets_one_further_connection_and_no_more() {
    let world = World::new().await;
    let rule = Rule { on: RCPT, when: When::Always, act: Action::Hold };
    let rule = world.sandbox.script(rule);
    let account = world.account(json!({"address": ANNA, "password": "secret"})).await;
    let engine = world.start(world.settings()).await;
    let mut messages = vec![];
    for _ in 0..5 {
        messages.push(message(&world, account, BEN).await);
    }
    world.until(ACCOUNTS, account, |it| says(it, NO_ANSWER)).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(sessions(&world), 2);
    world.sandbox.unscript(rule);
    for message in messages {
        until_is(&world, message, "sent").await;
    }
    assert_eq!(world.sandbox.accepted().len(), 5, "each is sent once");
    world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_answer_to_a_message_that_was_overtaken() {
    let world = World::new().await;
    let when = When::For("carl@else.test".to_owned());
    let rule = world.sandbox.script(Rule { on: Point::SmtpAccepted, when, act: Action::Hold });
    let account = world.account(json!({"address": ANNA, "password": "secret"})).await;
    let engine = world.start(world.settings()).await;
    let stuck = message(&world, account, "carl@else.test").await;
    let other = message(&world, account, BEN).await;
    until_is(&world, other, "sent").await;
    let stop = tokio::spawn(engine.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.sandbox.unscript(rule);
    stop.await.unwrap();
    until_is(&world, stuck, "sent").await;
}
