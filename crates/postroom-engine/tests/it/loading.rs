//! Mail that comes while a folder with many messages is read for the first time.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::When;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// How many messages are there at first.
const BACKLOG: usize = 200;
const FETCH: Point = Point::ImapCommand(ImapCommand::Fetch);
const SEARCH: Point = Point::ImapCommand(ImapCommand::Search);

fn deliver(world: &World, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
}

/// Waits until a message of this subject is stored. Gives how many messages are stored then.
async fn stored_with(world: &World, subject: &str) -> usize {
    for _ in 0..2_000 {
        let messages = world.list(MESSAGES).await;
        if messages.iter().any(|it| it.text("subject") == Some(subject)) {
            return messages.len();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{subject} does not come");
}

/// Waits until so many messages are stored.
async fn until_stored(world: &World, count: usize) {
    for _ in 0..2_000 {
        if world.list(MESSAGES).await.len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("there are not {count}");
}

/// The subjects of messages that are there at first.
fn backlog() -> Vec<String> {
    (0..BACKLOG).map(|number| format!("old-{number:03}")).collect()
}

fn script(world: &World, on: Point, when: When, act: Action) -> RuleId {
    world.sandbox.script(Rule { on, when, act })
}

/// An account whose INBOX has the backlog, and a server that takes four seconds for each FETCH. The
/// first messages are stored, ten at a time. Gives the folder.
async fn loading(folder: Json) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    backlog().iter().for_each(|name| deliver(&world, name));
    let bodies = When::For("BODY.PEEK[]".to_owned());
    script(&world, FETCH, bodies, Action::Delay(Duration::from_secs(4)));
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let mut folder = folder;
    folder["options"] = json!({"after_read_timeout": 5, "portion_limit": 10, "retry_first": 5});
    let folder = world.monitor("INBOX", folder).await;
    until_stored(&world, 10).await;
    (world, engine, folder)
}

/// Waits until the whole load is proven. Then all messages are there, each once.
async fn until_loaded(world: &World, folder: EntityId, live: &[&str]) {
    let count = BACKLOG + live.len();
    until_stored(world, count).await;
    let proven = |it: &Entity| it.text("lastProofAt").is_some() && it.text("statusText").is_none();
    world.until(FOLDERS, folder, proven).await;
    let live = live.iter().map(|name| (*name).to_owned());
    assert_eq!(world.subjects().await, live.chain(backlog()).collect::<Vec<_>>(), "each once");
}

#[tokio::test(start_paused = true)]
async fn new_mail_does_not_wait_for_the_first_load_of_its_folder_not_even_after_a_start() {
    let (world, engine, folder) = loading(json!({})).await;
    deliver(&world, "live-1");
    let count = stored_with(&world, "live-1").await;
    assert!(count < 100, "after {count}");
    // It arrives while nobody looks.
    engine.stop().await;
    deliver(&world, "live-2");
    let before = world.list(MESSAGES).await.len();
    let engine = world.start(world.settings()).await;
    let count = stored_with(&world, "live-2").await;
    assert!(count < before + 50, "{before}, and after {count}");
    deliver(&world, "live-3");
    let before = count;
    let count = stored_with(&world, "live-3").await;
    assert!(count < before + 50, "{before}, and after {count}");
    let before_all = world.until(FOLDERS, folder, |_| true).await;
    assert_eq!(before_all.text("lastProofAt"), None, "it is not complete yet");
    until_loaded(&world, folder, &["live-1", "live-2", "live-3"]).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn new_mail_that_cannot_be_fetched_at_first_is_asked_for_again_during_the_load() {
    let next = u32::try_from(BACKLOG + 1).unwrap();
    let refused = Action::Message(MessageFault::Refused("not now".to_owned()));
    for (act, times) in [(refused, 8), (Action::End(Ending::Close), 3)] {
        let (world, engine, folder) = loading(json!({})).await;
        script(&world, Point::ImapMessage(Some(next)), When::First(times), act.clone());
        deliver(&world, "live-1");
        let count = stored_with(&world, "live-1").await;
        assert!(count < 150, "{act:?}: after {count}");
        until_loaded(&world, folder, &["live-1"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_cannot_be_listed_again_is_loaded_all_the_same() {
    for act in [
        Action::tagged("NO not now"),
        Action::Reply(b"{tag} OK\r\n".to_vec()),
        Action::End(Ending::Close),
    ] {
        let (world, engine, folder) = loading(json!({})).await;
        let rule = script(&world, SEARCH, When::Always, act.clone());
        let listing = Action::tagged("NO not now");
        let other = script(&world, FETCH, When::For("UID".to_owned()), listing);
        deliver(&world, "live-1");
        until_stored(&world, BACKLOG).await;
        assert!(world.sandbox.acted_count(rule) > 1, "{act:?}");
        world.sandbox.unscript(rule);
        world.sandbox.unscript(other);
        until_loaded(&world, folder, &["live-1"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_is_deleted_at_the_server_during_the_load() {
    let (world, engine, folder) = loading(json!({"deleteOnServer": true})).await;
    deliver(&world, "live-1");
    let left =
        |world: &World| world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().len());
    while left(&world) > 0 {
        let stored = world.list(MESSAGES).await.len();
        let there = left(&world) + stored;
        assert!(there > BACKLOG, "nothing is deleted before it is stored");
        assert!(stored < 150 || there < BACKLOG + 60, "{there}, {stored} of them are stored");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    until_loaded(&world, folder, &["live-1"]).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_numbered_anew_during_its_load_loses_and_repeats_nothing() {
    for goes_on in [true, false] {
        let (world, engine, folder) = loading(json!({})).await;
        deliver(&world, "live-1");
        stored_with(&world, "live-1").await;
        let running = if goes_on {
            Some(engine)
        } else {
            engine.stop().await;
            None
        };
        world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().renumber(99, 7));
        deliver(&world, "live-2");
        let engine = match running {
            Some(engine) => engine,
            None => world.start(world.settings()).await,
        };
        until_loaded(&world, folder, &["live-1", "live-2"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_numbered_anew_while_it_is_listed_during_its_load_repeats_nothing() {
    let (world, engine, folder) = loading(json!({})).await;
    let rule = script(&world, SEARCH, When::Nth(1), Action::Hold);
    deliver(&world, "live-1");
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) == 1;
    world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().renumber(99, 301));
    world.sandbox.unscript(rule);
    until_loaded(&world, folder, &["live-1"]).await;
    engine.stop().await;
}
