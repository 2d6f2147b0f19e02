//! Mailboxes that exchange their names between two polls: each folder keeps its mail.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::EntityId;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

const NAMES: [&str; 3] = ["One", "Two", "Three"];

/// An account that monitors three mailboxes, each with so many messages. Gives the folders.
async fn working(counts: [usize; 3], tells_ids: bool) -> (World, Supervisor, Vec<EntityId>) {
    let world = World::new().await;
    for (name, count) in NAMES.into_iter().zip(counts) {
        world.sandbox.create_mailbox(ANNA, name).unwrap();
        for number in 1..=count {
            deliver(&world, name, &format!("{name} {number}"));
        }
    }
    if !tells_ids {
        world.sandbox.edit(|state| {
            for name in state.mailboxes(ANNA) {
                state.mailbox_mut(ANNA, &name).unwrap().mailbox_id = None;
            }
        });
    }
    let options = json!({"survey_interval": 60, "after_read_timeout": 5});
    world.account(json!({"address": ANNA, "password": PASSWORD, "options": options})).await;
    let engine = world.start(world.settings()).await;
    let mut folders = vec![];
    for name in NAMES {
        folders.push(world.monitor(name, json!({})).await);
    }
    for folder in &folders {
        world.until(FOLDERS, *folder, |it| it.text("lastProofAt").is_some()).await;
    }
    world.until_messages(counts.into_iter().sum()).await;
    (world, engine, folders)
}

fn deliver(world: &World, mailbox: &str, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, mailbox, mail.into_bytes()).unwrap();
}

/// Renames mailboxes, one after the other.
fn rename(world: &World, steps: &[(&str, &str)]) {
    world.sandbox.edit(|state| {
        for (from, to) in steps {
            state.rename_mailbox(ANNA, from, to).unwrap();
        }
    });
}

/// Waits until each folder has this name. Then mail comes to all, and each folder has that of its
/// own mailbox, once.
async fn assert_kept(world: &World, folders: &[EntityId], now: [&str; 3]) {
    for (folder, name) in folders.iter().zip(now) {
        world.until(FOLDERS, *folder, |it| it.text("name") == Some(name)).await;
    }
    let before = world.list(MESSAGES).await.len();
    for (own, name) in NAMES.into_iter().zip(now) {
        deliver(world, name, &format!("{own} new"));
    }
    world.until_messages(before + 3).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let all = world.list(MESSAGES).await;
    assert_eq!(all.len(), before + 3, "nothing is stored twice: {:?}", world.subjects().await);
    for (folder, own) in folders.iter().zip(NAMES) {
        let of_it = all.iter().filter(|it| it.reference(names::FOLDER_ID) == Some(*folder));
        for message in of_it {
            assert!(message.text("subject").unwrap().starts_with(own), "{own}: {message:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_mailboxes_that_exchange_their_names_keep_their_folders() {
    for tells_ids in [true, false] {
        let (world, engine, folders) = working([5, 2, 1], tells_ids).await;
        rename(&world, &[("One", "x"), ("Two", "One"), ("x", "Two")]);
        assert_kept(&world, &folders, ["Two", "One", "Three"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_server_leaves_out_hides_no_exchange_of_names() {
    for (which, lost) in [(1, 2), (3, 4), (4, 3)] {
        let (world, engine, folders) = working([5, 4, 1], false).await;
        for uid in [which, lost] {
            let act = Action::Message(MessageFault::Omit);
            world.sandbox.script(Rule {
                on: Point::ImapMessage(Some(uid)),
                when: When::Nth(1),
                act,
            });
        }
        rename(&world, &[("One", "x"), ("Two", "One"), ("x", "Two")]);
        assert_kept(&world, &folders, ["Two", "One", "Three"]).await;
        engine.stop().await;
    }
}

/// How a server fails at a message that it does not describe. If it is the first one, nothing else
/// comes before it.
fn failures() -> [(Action, u32); 4] {
    let refused = MessageFault::Refused("Server Unavailable. 15".to_owned());
    [
        (Action::End(Ending::Close), 1),
        (Action::End(Ending::Close), 3),
        (Action::End(Ending::Stall), 3),
        (Action::Message(refused), 1),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_server_does_not_describe_keeps_no_exchange_of_names_waiting() {
    for (act, uid) in failures() {
        let (world, engine, folders) = working([5, 4, 1], false).await;
        let (on, when) = (Point::ImapMessage(Some(uid)), When::Always);
        world.sandbox.script(Rule { on, when, act });
        rename(&world, &[("One", "x"), ("Two", "One"), ("x", "Two")]);
        assert_kept(&world, &folders, ["Two", "One", "Three"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_mailboxes_that_rotate_keep_their_folders_though_one_is_empty() {
    for tells_ids in [true, false] {
        let (world, engine, folders) = working([2, 0, 3], tells_ids).await;
        rename(&world, &[("One", "x"), ("Three", "One"), ("Two", "Three"), ("x", "Two")]);
        assert_kept(&world, &folders, ["Two", "Three", "One"]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_takes_the_name_of_a_deleted_one_keeps_its_folder() {
    let (world, engine, folders) = working([2, 2, 1], false).await;
    world.sandbox.delete_mailbox(ANNA, "Two").unwrap();
    rename(&world, &[("One", "Two")]);
    world.until(FOLDERS, folders[0], |it| it.text("name") == Some("Two")).await;
    deliver(&world, "Two", "One new");
    world.until_messages(6).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.subjects().await, ["One 1", "One 2", "One new", "Three 1", "Two 1", "Two 2"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_mailbox_takes_no_name_from_it() {
    let (world, engine, folders) = working([2, 2, 1], false).await;
    world.sandbox.edit(|state| {
        let copy = state.mailbox(ANNA, "One").unwrap().clone();
        state.mailbox_mut(ANNA, "Two").unwrap().restore(&copy);
    });
    // The messages of the copy are received as those of a mailbox that was renumbered.
    world.until_messages(7).await;
    deliver(&world, "One", "new");
    world.until_messages(8).await;
    for (folder, name) in folders.iter().zip(NAMES) {
        world.until(FOLDERS, *folder, |it| it.text("name") == Some(name)).await;
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_names_of_one_mailbox_exchange_nothing_when_it_is_numbered_anew() {
    let (world, engine, folders) = working([2, 0, 1], true).await;
    let before = world.store.feed_bounds().await.unwrap().newest;
    world.sandbox.edit(|state| {
        let one = state.mailbox(ANNA, "One").unwrap().clone();
        *state.mailbox_mut(ANNA, "Two").unwrap() = one;
    });
    world.until_messages(5).await;
    world.sandbox.edit(|state| {
        for name in ["One", "Two"] {
            state.mailbox_mut(ANNA, name).unwrap().renumber(99, 1);
        }
    });
    for name in ["One", "Two"] {
        deliver(&world, name, "new");
    }
    world.until_messages(7).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let feed = world.store.feed_list(&world.domain, before, 10_000).await.unwrap();
    let renamed = feed.iter().filter(|row| row.class == FOLDERS);
    let renamed = renamed.filter_map(|row| row.replaced.as_ref()?.get(names::NAME));
    assert_eq!(renamed.collect::<Vec<_>>(), Vec::<&Json>::new(), "they change their names again");
    for (folder, name) in folders.iter().zip(NAMES) {
        world.until(FOLDERS, *folder, |it| it.text("name") == Some(name)).await;
    }
    engine.stop().await;
}
