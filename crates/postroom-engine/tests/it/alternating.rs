//! A name that stands for two stores, which the server shows by turns.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::builtin::FOLDERS;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Mailbox;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

const INTERVAL_S: u64 = 5;

/// An account whose INBOX has so many messages, all of them received. Gives its folder.
async fn working(count: usize, folder: serde_json::Value) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    for number in 1..=count {
        deliver(&world, &format!("m{number:02}"));
    }
    change(&world, |inbox| inbox.mailbox_id = None);
    let options = json!({"after_read_timeout": INTERVAL_S});
    world.account(json!({"address": ANNA, "password": PASSWORD, "options": options})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", folder).await;
    world.until_messages(count).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    (world, engine, folder)
}

fn deliver(world: &World, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
}

fn change(world: &World, change: impl FnOnce(&mut Mailbox)) {
    world.sandbox.edit(|state| change(state.mailbox_mut(ANNA, "INBOX").unwrap()));
}

/// The server shows the other store. Some polls later.
async fn show_other(world: &World, other: &mut Mailbox) {
    change(world, |inbox| std::mem::swap(inbox, other));
    tokio::time::sleep(Duration::from_secs(INTERVAL_S * 3)).await;
}

/// How often the bodies of messages were asked for.
fn fetches(world: &World) -> usize {
    world
        .sandbox
        .look(|state| state.transcript().filter(|line| line.text.contains("BODY.PEEK[])")).count())
}

#[tokio::test(start_paused = true)]
async fn two_stores_that_are_shown_by_turns_are_each_read_once() {
    let (world, engine, folder) = working(20, json!({})).await;
    let mut other = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().clone());
    other.renumber(8, 101);
    show_other(&world, &mut other).await;
    let read = fetches(&world);
    for _ in 0..7 {
        show_other(&world, &mut other).await;
    }
    assert_eq!(fetches(&world), read, "what is known is not fetched again");
    let said = world.until(FOLDERS, folder, |it| it.text("statusText").is_some()).await;
    assert!(said.text("statusText").unwrap().contains("shows two stores"), "{said:?}");
    // What comes to one of them is received once, whether the other one has it too or not.
    deliver(&world, "n1");
    show_other(&world, &mut other).await;
    deliver(&world, "n1");
    deliver(&world, "n2");
    for _ in 0..4 {
        show_other(&world, &mut other).await;
    }
    world.until_messages(22).await;
    assert_eq!(world.subjects().await.len(), 22, "{:?}", world.subjects().await);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_comes_back_although_the_server_does_not_describe_one_of_its_messages() {
    let refused = MessageFault::Refused("Server Unavailable. 15".to_owned());
    for act in [
        Action::End(Ending::Close),
        Action::End(Ending::Stall),
        Action::Message(refused),
        Action::Message(MessageFault::Omit),
    ] {
        let (world, engine, folder) = working(20, json!({})).await;
        let mut other = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().clone());
        other.renumber(8, 101);
        show_other(&world, &mut other).await;
        let (on, when) = (Point::ImapMessage(Some(3)), When::Always);
        world.sandbox.script(Rule { on, when, act: act.clone() });
        let read = fetches(&world);
        change(&world, |inbox| std::mem::swap(inbox, &mut other));
        deliver(&world, "n1");
        world.until_messages(21).await;
        let said =
            |it: &Entity| it.text("statusText").is_some_and(|said| said.contains("two stores"));
        world.until(FOLDERS, folder, said).await;
        assert_eq!(fetches(&world), read + 1, "{act:?}: what is known is not fetched again");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_another_epoch_knows_under_its_key_of_now_is_not_stored_again() {
    let (world, engine, folder) = working(20, json!({"deleteOnServer": false})).await;
    // Two UIDs are exchanged and a third one is another, so the UIDs say nothing any more.
    change(&world, |inbox| {
        assert!(inbox.swap(19, 20) && inbox.give_uid(3, 40));
    });
    deliver(&world, "n1");
    world.until_messages(21).await;
    let epoch = world.store.origin(FolderId::of(folder)).await.unwrap().epoch;
    assert_eq!(epoch.map(|it| it.number), Some(2));
    tokio::time::sleep(Duration::from_secs(INTERVAL_S * 3)).await;
    // The UIDs are those of the first time again, but for the third.
    change(&world, |inbox| assert!(inbox.swap(19, 20)));
    deliver(&world, "n2");
    world.until_messages(22).await;
    tokio::time::sleep(Duration::from_secs(INTERVAL_S * 3)).await;
    let epoch = world.store.origin(FolderId::of(folder)).await.unwrap().epoch;
    assert_eq!(epoch.map(|it| it.number), Some(3));
    let subjects = world.subjects().await;
    assert_eq!(subjects.len(), 22, "{subjects:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_former_uidvalidity_with_other_messages_is_no_former_mailbox() {
    let (world, engine, _) = working(20, json!({})).await;
    let mut other = Mailbox::new(8);
    other.append("Subject: o\r\n\r\no\r\n".into(), vec![], 0);
    show_other(&world, &mut other).await;
    // The first store is back, and under one of its UIDs is another message.
    other.expunge(5);
    other.append("Subject: new\r\n\r\nnew\r\n".into(), vec![], 86_400_000);
    other.give_uid(21, 5);
    show_other(&world, &mut other).await;
    world.until_messages(22).await;
    assert!(world.subjects().await.contains(&"new".to_owned()));
    assert_eq!(world.subjects().await.len(), 22, "{:?}", world.subjects().await);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_deleted_in_a_store_is_deleted_when_that_is_back() {
    let (world, engine, folder) = working(3, json!({"options": {"keep_unseen": true}})).await;
    let mut other = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().clone());
    other.renumber(8, 101);
    show_other(&world, &mut other).await;
    world.change(FOLDERS, folder, json!({"deleteOnServer": true})).await;
    for subject in ["m04", "m05"] {
        deliver(&world, subject);
        show_other(&world, &mut other).await;
        show_other(&world, &mut other).await;
    }
    assert_eq!(world.subjects().await.len(), 5, "{:?}", world.subjects().await);
    // Those that were stored before the folder asked for it stay.
    let left = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().len());
    assert_eq!((left, other.len()), (3, 3));
    engine.stop().await;
}
