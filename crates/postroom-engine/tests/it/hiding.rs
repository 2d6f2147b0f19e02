//! A mailbox that the server does not show takes a small part of the time of its account.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::Entity;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How many messages come to the other mailbox, one a minute.
const COUNT: usize = 60;

fn deliver(world: &World, mailbox: &str, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, mailbox, mail.into_bytes()).unwrap();
}

async fn until_stored(world: &World, count: usize) {
    let began = Instant::now();
    while world.list(MESSAGES).await.len() < count {
        assert!(began.elapsed() < Duration::from_secs(3600), "there are not {count}");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_about_which_the_server_is_silent_seldom_keeps_the_other_folders_waiting() {
    let world = World::new().await;
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    let options = json!({"after_read_timeout": 10});
    world.account(json!({"address": ANNA, "password": PASSWORD, "options": options})).await;
    let engine = world.start(world.settings()).await;
    let mut folders = vec![];
    for name in ["INBOX", "Work"] {
        folders.push(world.monitor(name, json!({})).await);
    }
    for folder in &folders {
        world.until(FOLDERS, *folder, |it| it.text("lastProofAt").is_some()).await;
    }
    let rules = [ImapCommand::Examine, ImapCommand::Select].map(|command| {
        let (on, when) = (Point::ImapCommand(command), When::For("Work".to_owned()));
        world.sandbox.script(Rule { on, when, act: Action::End(Ending::Stall) })
    });
    deliver(&world, "Work", "late");
    let mut late = 0;
    for number in 1..=COUNT {
        let began = Instant::now();
        deliver(&world, "INBOX", &format!("m{number}"));
        until_stored(&world, number).await;
        late += usize::from(began.elapsed() > Duration::from_secs(30));
        tokio::time::sleep_until(began + Duration::from_secs(60)).await;
    }
    assert!(late <= COUNT / 6, "{late} of {COUNT} messages were late");
    let says = |it: &Entity| it.text("statusText").is_some_and(|it| it.contains("polled rarely"));
    world.until(FOLDERS, folders[1], says).await;
    for rule in rules {
        world.sandbox.unscript(rule);
    }
    until_stored(&world, COUNT + 1).await;
    world.until(FOLDERS, folders[1], |it| it.text("statusText").is_none()).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn folders_that_all_wait_for_the_server_are_not_polled_rarely() {
    let world = World::new().await;
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    let options = json!({"after_read_timeout": 10});
    world.account(json!({"address": ANNA, "password": PASSWORD, "options": options})).await;
    let engine = world.start(world.settings()).await;
    let mut folders = vec![];
    for name in ["INBOX", "Work"] {
        folders.push(world.monitor(name, json!({})).await);
    }
    for folder in &folders {
        world.until(FOLDERS, *folder, |it| it.text("lastProofAt").is_some()).await;
    }
    let rules = [ImapCommand::Examine, ImapCommand::Select].map(|command| {
        let (on, act) = (Point::ImapCommand(command), Action::End(Ending::Stall));
        world.sandbox.script(Rule { on, when: When::Always, act })
    });
    for folder in &folders {
        world.until(FOLDERS, *folder, |it| it.text("statusText").is_some()).await;
    }
    // The server is to blame, not the mailboxes.
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        for folder in world.list(FOLDERS).await {
            let text = folder.text("statusText").unwrap_or_default();
            assert!(!text.contains("polled rarely"), "{text}");
        }
    }
    for rule in rules {
        world.sandbox.unscript(rule);
    }
    for name in ["INBOX", "Work"] {
        deliver(&world, name, name);
    }
    until_stored(&world, 2).await;
    engine.stop().await;
}
