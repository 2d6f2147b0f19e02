//! What a server says without being asked reaches the account.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two polls, which nothing here waits for.
const INTERVAL_S: u64 = 600;

/// An account whose INBOX was polled once, and has one message.
async fn polled() -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
    let folders = world.list(FOLDERS).await;
    let inbox = folders.iter().find(|folder| folder.text("name") == Some("INBOX")).unwrap().id;
    deliver(&world, "one");
    let enabled = json!({"enabled": true, "options": {"after_read_timeout": INTERVAL_S}});
    world.change(FOLDERS, inbox, enabled).await;
    world.until(FOLDERS, inbox, |it| it.number("storedCount") == Some(1)).await;
    (world, engine, account)
}

fn deliver(world: &World, subject: &str) {
    let mail = format!("Subject: {subject}\r\n\r\nHello.\r\n").into_bytes();
    world.sandbox.deliver(ANNA, "INBOX", mail).unwrap();
}

fn say(world: &World, line: &str) {
    world.sandbox.interrupt(ANNA, line.to_owned().into_bytes());
}

async fn has_messages(world: &World, count: usize) -> Duration {
    let began = Instant::now();
    while world.list(MESSAGES).await.len() < count {
        assert!(began.elapsed() < Duration::from_secs(2 * INTERVAL_S));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_has_grown_is_polled_early() {
    let (world, engine, _) = polled().await;
    for count in 2..6 {
        deliver(&world, "more");
        say(&world, &format!("* {count} EXISTS\r\n"));
        let took = has_messages(&world, count).await;
        assert!(took < Duration::from_secs(10), "{count}: {took:?}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_says_that_a_mailbox_grows_is_believed_ever_less() {
    let (world, engine, _) = polled().await;
    let opens = || {
        let opening = ["SELECT", "EXAMINE"];
        world.sandbox.look(|state| {
            state.transcript().filter(|line| opening.contains(&line.command.as_str())).count()
        })
    };
    let before = opens();
    for count in 2..302 {
        say(&world, &format!("* {count} EXISTS\r\n"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let polls = opens() - before;
    assert!((2..20).contains(&polls), "{polls} polls in five minutes");
    // It is believed again when it was right.
    for count in 303..305 {
        deliver(&world, "true");
        say(&world, &format!("* {count} EXISTS\r\n"));
        has_messages(&world, count - 301).await;
    }
    deliver(&world, "true");
    say(&world, "* 400 EXISTS\r\n");
    let took = has_messages(&world, 4).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_text_for_people_is_shown_while_the_connection_lasts() {
    let (world, engine, account) = polled().await;
    // A server may repeat it with each answer.
    let alert = b"* OK [ALERT] The mailbox is nearly full\r\n".to_vec();
    let on = Point::ImapCommand(ImapCommand::Noop);
    let rule = world.sandbox.script(Rule { on, when: When::Always, act: Action::Before(alert) });
    say(&world, "* OK [ALERT] The mailbox is nearly full\r\n");
    let shown = |text: Option<&str>| {
        text == Some("mail is received; the mail server says: The mailbox is nearly full")
    };
    let told = world.until(ACCOUNTS, account, |it| shown(it.text("statusText"))).await;
    assert_eq!(told.text("state"), Some("ready"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let noops = world.sandbox.acted_count(rule);
    assert!(noops < 20, "{noops}");
    let same = world.until(ACCOUNTS, account, |_| true).await;
    assert_eq!(same.version, told.version, "said once");
    // The next connection does not say it.
    world.sandbox.unscript(rule);
    world.sandbox.hang_up();
    world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_on_the_connection_for_late_messages_reaches_the_account_too() {
    let (world, engine, account) = polled().await;
    let late = Action::Delay(Duration::from_secs(60));
    let rule = |on, when, act| world.sandbox.script(Rule { on, when, act });
    rule(Point::ImapMessage(Some(2)), When::First(1), late);
    // The account connects again, and then once more for the message alone.
    let alert = Action::After(b"* OK [ALERT] Said to the second\r\n".to_vec());
    rule(Point::ImapCommand(ImapCommand::Authenticate), When::Nth(2), alert);
    deliver(&world, "late");
    say(&world, "* 2 EXISTS\r\n");
    let told = |text: Option<&str>| text.is_some_and(|text| text.contains("Said to the second"));
    world.until(ACCOUNTS, account, |it| told(it.text("statusText"))).await;
    has_messages(&world, 2).await;
    engine.stop().await;
}
