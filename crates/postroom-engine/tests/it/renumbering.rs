//! A mailbox that is numbered anew while it is read.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::builtin::FOLDERS;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Mailbox;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

const FETCH: Point = Point::ImapCommand(ImapCommand::Fetch);

fn append(mailbox: &mut Mailbox, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n.\r\n");
    mailbox.append(mail.into_bytes().into(), vec![], 1_748_736_000_000);
}

/// New messages are in front of all others now, so that each of these has a higher UID.
fn put_in_front(world: &World, count: usize, uid_validity: u32) {
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        let before: Vec<_> = mailbox.messages().map(|one| one.bytes.clone()).collect();
        let mut renumbered = Mailbox::new(uid_validity);
        (0..count).for_each(|number| append(&mut renumbered, &format!("new {number:03}")));
        for bytes in before {
            renumbered.append(bytes, vec![], 1_748_736_000_000);
        }
        *mailbox = renumbered;
    });
}

/// An account that receives from a mailbox with so many messages. Before it fetches for the
/// `nth` time, `count` messages are put in front of them.
async fn renumbered(messages: usize, nth: u32, count: usize, uid_validity: Option<u32>) -> World {
    let world = World::new().await;
    let before = world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        (0..messages).for_each(|number| append(mailbox, &format!("old {number:03}")));
        mailbox.uid_validity()
    });
    let when = When::NthFor(nth, "BODY.PEEK[]".to_owned());
    let rule = world.sandbox.script(Rule { on: FETCH, when, act: Action::Hold });
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({})).await;
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) == 1;
    world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
    put_in_front(&world, count, uid_validity.unwrap_or(before));
    world.sandbox.unscript(rule);
    let all = i64::try_from(messages + count).unwrap();
    let is_proven = |it: &postroom_model::Entity| {
        it.number("storedCount") == Some(all)
            && it.text("lastProofAt").is_some()
            && it.text("statusText").is_none()
    };
    world.until(FOLDERS, folder, is_proven).await;
    engine.stop().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_numbered_anew_between_two_fetches_of_one_portion_is_stored_once() {
    for uid_validity in [None, Some(9)] {
        let world = renumbered(60, 2, 30, uid_validity).await;
        let mut subjects = world.subjects().await;
        assert_eq!(subjects.len(), 90);
        subjects.dedup();
        assert_eq!(subjects.len(), 90, "nothing is stored twice");
    }
}

#[tokio::test(start_paused = true)]
async fn copies_within_one_portion_are_stored_as_often_as_they_are_there() {
    let world = World::new().await;
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        ["a", "b", "a", "a", "c"].into_iter().for_each(|subject| append(mailbox, subject));
    });
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({})).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    assert_eq!(world.subjects().await, ["a", "a", "a", "b", "c"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_uidvalidity_in_the_middle_of_a_session_ends_it() {
    let world = World::new().await;
    let note = Action::Before(b"* OK [UIDVALIDITY 9] numbered anew\r\n".to_vec());
    let on = Point::ImapMessage(Some(3));
    let when = When::Nth(1);
    world.sandbox.script(Rule { on, when, act: note });
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        ["a", "b", "c", "d"].into_iter().for_each(|subject| append(mailbox, subject));
    });
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    world.monitor("INBOX", json!({})).await;
    world.until_messages(2).await;
    assert_eq!(world.subjects().await, ["a", "b"], "what came before it is recorded");
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().set_uid_validity(9));
    world.until_messages(4).await;
    assert_eq!(world.subjects().await, ["a", "b", "c", "d"]);
    let asked = world.sandbox.transcript();
    let asked = asked.iter().filter(|line| line.text.contains("UID FETCH 1:4 (UID FLAGS"));
    assert_eq!(asked.count(), 2, "by a new session");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_numbered_anew_between_its_opening_and_its_listing_is_stored_once() {
    // A poll begins with FETCH where nothing came, and with SEARCH where mail came.
    for (on, comes_before) in [(ImapCommand::Fetch, false), (ImapCommand::Search, true)] {
        for uid_first in [2, 3, 501] {
            let world = World::new().await;
            let inbox = |change: &dyn Fn(&mut Mailbox)| {
                world.sandbox.edit(|state| change(state.mailbox_mut(ANNA, "INBOX").unwrap()));
            };
            inbox(&|mailbox| ["a", "b", "c"].into_iter().for_each(|one| append(mailbox, one)));
            world.account(json!({"address": ANNA, "password": PASSWORD})).await;
            let engine = world.start(world.settings()).await;
            let folder = world.monitor("INBOX", json!({})).await;
            world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
            let (on, when) = (Point::ImapCommand(on), When::Nth(1));
            let rule = world.sandbox.script(Rule { on, when, act: Action::Hold });
            if comes_before {
                inbox(&|mailbox| append(mailbox, "before"));
            }
            let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) == 1;
            world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
            inbox(&|mailbox| mailbox.renumber(9, uid_first));
            inbox(&|mailbox| append(mailbox, "new"));
            world.sandbox.unscript(rule);
            let all = if comes_before { 5 } else { 4 };
            let is_proven = |it: &postroom_model::Entity| {
                it.number("uidValidity") == Some(9) && it.number("storedCount") == Some(all)
            };
            world.until(FOLDERS, folder, is_proven).await;
            let wanted = ["a", "b", "before", "c", "new"];
            let wanted = wanted.into_iter().filter(|one| comes_before || *one != "before");
            assert_eq!(world.subjects().await, wanted.collect::<Vec<_>>(), "{on:?} {uid_first}");
            engine.stop().await;
        }
    }
}
