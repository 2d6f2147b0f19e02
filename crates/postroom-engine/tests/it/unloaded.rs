//! Folders whose older mail is not loaded, at servers that number a mailbox anew.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::FOLDERS;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Mailbox;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

/// The date of each message, whenever it comes.
const LONG_AGO_MS: i64 = 1_600_000_000_000;
const OLD: [&str; 4] = ["old 1", "old 2", "old 3", "old 4"];

fn put(mailbox: &mut Mailbox, subject: &str) {
    let id = subject.replace(' ', ".");
    let mail = format!("Message-ID: <{id}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    mailbox.append(mail.into_bytes().into(), vec![], LONG_AGO_MS);
}

/// Changes the mailbox at the server.
fn edit(world: &World, change: impl FnOnce(&mut Mailbox)) {
    world.sandbox.edit(|state| change(state.mailbox_mut(ANNA, "INBOX").unwrap()));
}

/// A folder that was enabled when the old messages were there.
async fn enabled() -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    edit(&world, |mailbox| OLD.iter().for_each(|subject| put(mailbox, subject)));
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let options = json!({"load_existing": false, "after_read_timeout": 5});
    let folder = world.monitor("INBOX", json!({"options": options})).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    (world, engine, folder)
}

/// From now on the mailbox has these messages, under other UIDs from 1 on.
fn begin_anew(world: &World, uid_validity: Option<u32>, subjects: &[&str]) {
    edit(world, |mailbox| {
        let before = mailbox.uid_next();
        let mut anew = Mailbox::new(uid_validity.unwrap_or(mailbox.uid_validity()));
        subjects.iter().for_each(|subject| put(&mut anew, subject));
        mailbox.restore(&anew);
        mailbox.set_uid_next(before.max(mailbox.uid_next()));
    });
}

fn says(it: &Entity, text: &str) -> bool {
    it.text("statusText").is_some_and(|said| said.contains(text))
}

#[tokio::test(start_paused = true)]
async fn other_mail_at_or_below_the_baseline_is_loaded() {
    // More messages than before, and as many: then UIDNEXT and the count stay as they were.
    for count in [8, 4] {
        let (world, engine, folder) = enabled().await;
        let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
        begin_anew(&world, None, &all[..count]);
        world.until_messages(count).await;
        assert_eq!(world.subjects().await, all[..count]);
        let stored = i64::try_from(count).unwrap();
        let is_proven = |it: &Entity| it.number("storedCount") == Some(stored);
        let told = world.until(FOLDERS, folder, is_proven).await;
        assert!(told.text("statusText").is_none(), "{told:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_uidvalidity_loses_no_mail_whatever_its_date_is_and_loads_no_old_mail() {
    // In the order of before, and in another one, with new mail among the old.
    let ordered = ["old 1", "old 2", "old 3", "old 4", "first", "second"];
    let mixed = ["old 4", "second", "old 1", "first", "old 3", "old 2"];
    for anew in [ordered, mixed] {
        let (world, engine, folder) = enabled().await;
        edit(&world, |mailbox| put(mailbox, "first"));
        world.until_messages(1).await;
        begin_anew(&world, Some(99), &anew);
        world.until_messages(2).await;
        let text = "4 messages of it are not loaded";
        world.until(FOLDERS, folder, |it| says(it, text)).await;
        // In the epoch after the next one too.
        begin_anew(&world, Some(100), &[&anew[..], &["third"]].concat());
        world.until_messages(3).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.subjects().await, ["first", "second", "third"]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_search_by_date_or_describe_messages_loses_no_mail() {
    // No facts are noted, so dates must decide, and the server refuses to search for them.
    let refused = Action::tagged("BAD what is that");
    // The last one answers the sequence number of the new message.
    let finds =
        |found: &str| Action::Reply(format!("* SEARCH{found}\r\n{{tag}} OK done\r\n").into());
    for search in [refused.clone(), finds(""), finds(" 3")] {
        let world = World::new().await;
        edit(&world, |mailbox| OLD.iter().for_each(|subject| put(mailbox, subject)));
        let on = Point::ImapCommand(ImapCommand::Fetch);
        let rule = world.sandbox.script(Rule { on, when: When::Always, act: refused.clone() });
        world.account(json!({"address": ANNA, "password": PASSWORD})).await;
        let engine = world.start(world.settings()).await;
        let options = json!({"load_existing": false, "after_read_timeout": 5});
        let folder = world.monitor("INBOX", json!({"options": options})).await;
        world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
        world.sandbox.unscript(rule);
        begin_anew(&world, Some(99), &OLD);
        edit(&world, |mailbox| [1, 3].iter().for_each(|uid| drop(mailbox.expunge(*uid))));
        let new = b"Subject: new\r\n\r\nHello.\r\n";
        world.sandbox.deliver(ANNA, "INBOX", new.to_vec()).unwrap();
        let on = Point::ImapCommand(ImapCommand::Search);
        // The first one lists all, and what follows asks for dates.
        for nth in [2, 3] {
            let act = search.clone();
            world.sandbox.script(Rule { on, when: When::Nth(nth), act });
        }
        world.until_messages(1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.subjects().await, ["new"]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_an_old_message_that_comes_later_is_loaded() {
    let (world, engine, _) = enabled().await;
    begin_anew(&world, Some(99), &["old 1", "old 2", "old 3", "old 4", "old 2"]);
    world.until_messages(1).await;
    // Nothing tells which of them is the old one, so both are loaded.
    world.until_messages(2).await;
    assert_eq!(world.subjects().await, ["old 2", "old 2"]);
    engine.stop().await;
}
