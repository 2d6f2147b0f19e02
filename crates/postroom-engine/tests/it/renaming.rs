//! A monitored folder follows its mailbox to another name, and never to another mailbox.

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
use postroom_sandbox::Mailbox;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::SandboxState;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

/// How often mailboxes are listed.
const SURVEY_S: u64 = 20;

/// An account that monitors `Work`, in which these messages are. Gives the folder.
async fn working(subjects: &[&str], tells_ids: bool) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    if !tells_ids {
        without_ids(&world);
    }
    for subject in subjects {
        deliver(&world, "Work", subject);
    }
    let options = json!({"survey_interval": SURVEY_S, "after_read_timeout": 5});
    world.account(json!({"address": ANNA, "password": PASSWORD, "options": options})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("Work", json!({})).await;
    world.until_messages(subjects.len()).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    (world, engine, folder)
}

fn without_ids(world: &World) {
    let all = world.sandbox.mailboxes(ANNA);
    let forget = |state: &mut SandboxState, name: &String| {
        state.mailbox_mut(ANNA, name).unwrap().mailbox_id = None;
    };
    world.sandbox.edit(|state| all.iter().for_each(|name| forget(state, name)));
}

fn deliver(world: &World, mailbox: &str, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, mailbox, mail.into_bytes()).unwrap();
}

fn rename(world: &World, from: &str, to: &str) {
    world.sandbox.edit(|state| state.rename_mailbox(ANNA, from, to)).unwrap();
}

fn change(world: &World, mailbox: &str, change: impl FnOnce(&mut Mailbox)) {
    world.sandbox.edit(|state| change(state.mailbox_mut(ANNA, mailbox).unwrap()));
}

/// Some surveys later.
async fn later() {
    tokio::time::sleep(Duration::from_secs(SURVEY_S * 4)).await;
}

/// The folders of this name.
async fn of_name(world: &World, name: &str) -> Vec<EntityId> {
    let folders = world.list(FOLDERS).await;
    folders.iter().filter(|it| it.text("name") == Some(name)).map(|it| it.id).collect()
}

/// Waits until the folder has this name, and receives what comes to that mailbox.
async fn until_follows(world: &World, folder: EntityId, name: &str) {
    world.until(FOLDERS, folder, |it: &Entity| it.text("name") == Some(name)).await;
    assert_eq!(of_name(world, name).await, [folder], "no folder beside it");
    let before = world.list(MESSAGES).await.len();
    deliver(world, name, "after");
    world.until_messages(before + 1).await;
    later().await;
    assert_eq!(world.list(MESSAGES).await.len(), before + 1, "nothing is stored twice");
}

#[tokio::test(start_paused = true)]
async fn a_folder_follows_the_mailboxid_whatever_the_uids_are() {
    let (world, engine, folder) = working(&["a", "b"], true).await;
    rename(&world, "Work", "Projects");
    change(&world, "Projects", |mailbox| mailbox.renumber(9, 100));
    until_follows(&world, folder, "Projects").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_follows_uids_and_messages_where_no_mailboxid_is_told() {
    let (world, engine, folder) = working(&["a", "b"], false).await;
    rename(&world, "Work", "Projects");
    until_follows(&world, folder, "Projects").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_follows_most_of_its_messages_where_they_are_renumbered() {
    let (world, engine, folder) = working(&["a", "b", "c", "d"], false).await;
    rename(&world, "Work", "Projects");
    change(&world, "Projects", |mailbox| mailbox.renumber(9, 100));
    until_follows(&world, folder, "Projects").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_server_does_not_describe_keeps_no_folder_from_its_mailbox() {
    const ALL: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    // How many messages there are, the UID of the one, and whether they are numbered anew. Two are
    // too few to be recognised by anything but their UIDs.
    const CASES: [(usize, u32, bool); 4] =
        [(2, 1, false), (7, 3, false), (7, 100, true), (7, 102, true)];
    let refused = MessageFault::Refused("Server Unavailable. 15".to_owned());
    for act in [Action::End(Ending::Close), Action::End(Ending::Stall), Action::Message(refused)] {
        for (count, uid, renumbered) in CASES {
            let (world, engine, folder) = working(&ALL[..count], false).await;
            let (on, when) = (Point::ImapMessage(Some(uid)), When::Always);
            let rule = world.sandbox.script(Rule { on, when, act: act.clone() });
            rename(&world, "Work", "Projects");
            if renumbered {
                change(&world, "Projects", |mailbox| mailbox.renumber(9, 100));
            }
            // Another new mailbox is compared before it, and has none of these messages.
            world.sandbox.create_mailbox(ANNA, "Aside").unwrap();
            without_ids(&world);
            for subject in ["x", "y", "z"] {
                deliver(&world, "Aside", subject);
            }
            world.until(FOLDERS, folder, |it| it.text("name") == Some("Projects")).await;
            world.sandbox.unscript(rule);
            until_follows(&world, folder, "Projects").await;
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_does_not_follow_two_mailboxes_that_are_alike() {
    let (world, engine, folder) = working(&["a", "b", "c", "d"], false).await;
    rename(&world, "Work", "One");
    change(&world, "One", |mailbox| mailbox.renumber(9, 100));
    let copy = world.sandbox.look(|state| state.mailbox(ANNA, "One").unwrap().clone());
    world.sandbox.create_mailbox(ANNA, "Two").unwrap();
    change(&world, "Two", |mailbox| {
        mailbox.restore(&copy);
        mailbox.renumber(10, 200);
    });
    without_ids(&world);
    later().await;
    let same = world.until(FOLDERS, folder, |_| true).await;
    assert_eq!(same.text("name"), Some("Work"));
    for name in ["One", "Two"] {
        assert_eq!(of_name(&world, name).await.len(), 1, "{name} has a folder of its own");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_does_not_follow_a_mailbox_with_other_messages() {
    // The new mailbox has the same UIDVALIDITY and UIDs, but other messages.
    let (world, engine, folder) = working(&["a", "b", "c"], false).await;
    let uid_validity =
        world.sandbox.look(|state| state.mailbox(ANNA, "Work").unwrap().uid_validity());
    world.sandbox.delete_mailbox(ANNA, "Work").unwrap();
    world.sandbox.create_mailbox(ANNA, "Other").unwrap();
    without_ids(&world);
    change(&world, "Other", |mailbox| mailbox.set_uid_validity(uid_validity));
    for subject in ["x", "y", "z"] {
        deliver(&world, "Other", subject);
    }
    later().await;
    let same = world.until(FOLDERS, folder, |_| true).await;
    assert_eq!(same.text("name"), Some("Work"));
    let said = same.text("statusText").unwrap_or_default();
    assert!(!said.is_empty(), "it says that its mailbox is gone: {same:?}");
    assert_eq!(world.subjects().await, ["a", "b", "c"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_back_is_received_again() {
    let (world, engine, folder) = working(&["a"], true).await;
    let backup = world.sandbox.look(|state| state.mailbox(ANNA, "Work").unwrap().clone());
    world.sandbox.delete_mailbox(ANNA, "Work").unwrap();
    let is_gone = |it: &Entity| it.text("statusText").is_some_and(|said| !said.is_empty());
    world.until(FOLDERS, folder, is_gone).await;
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    change(&world, "Work", |mailbox| mailbox.restore(&backup));
    deliver(&world, "Work", "b");
    world.until_messages(2).await;
    world.until(FOLDERS, folder, |it| it.text("statusText").is_none()).await;
    assert_eq!(world.subjects().await, ["a", "b"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_of_mailboxes_changes_no_folder() {
    let (world, engine, folder) = working(&["a"], true).await;
    let before = world.list(FOLDERS).await.len();
    let empty = postroom_sandbox::Rule {
        on: postroom_sandbox::Point::ImapCommand(postroom_sandbox::ImapCommand::List),
        when: postroom_sandbox::When::Always,
        act: postroom_sandbox::Action::tagged("OK nothing"),
    };
    let rule = world.sandbox.script(empty);
    let account = world.list(postroom_model::builtin::ACCOUNTS).await.remove(0).id;
    let says = |it: &Entity| {
        it.text("statusText").is_some_and(|said| said.contains("the server lists no mailbox"))
    };
    world.until(postroom_model::builtin::ACCOUNTS, account, says).await;
    // Mail is received meanwhile.
    deliver(&world, "Work", "b");
    world.until_messages(2).await;
    assert_eq!(world.list(FOLDERS).await.len(), before);
    let same = world.until(FOLDERS, folder, |_| true).await;
    assert!(same.text("statusText").is_none(), "{same:?}");
    world.sandbox.unscript(rule);
    let is_well = |it: &Entity| it.text("statusText").is_none();
    world.until(postroom_model::builtin::ACCOUNTS, account, is_well).await;
    engine.stop().await;
}
