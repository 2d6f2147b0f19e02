//! Messages of which only the header is stored, at a server that gives their UIDs to others.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::MESSAGE_BYTES_LIMIT;
use postroom_model::MessageEntityId;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Mailbox;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use postroom_store::LoadRequest;
use serde_json::json;
use std::time::Duration;

/// A message of this size in octets.
fn mail(subject: &str, octets: usize) -> Vec<u8> {
    let mut mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n");
    mail.push_str(&"x".repeat(octets - mail.len()));
    mail.into_bytes()
}

/// A server and an account with a large message of which the header is stored. Gives its id too.
async fn with_large(folder: serde_json::Value) -> (World, Supervisor, EntityId, EntityId) {
    let world = World::new().await;
    world.sandbox.deliver(ANNA, "INBOX", mail("large", 5000)).unwrap();
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let mut values = folder;
    values["options"] = json!({"message_bytes_max": 2048, "after_read_timeout": 5});
    let folder = world.monitor("INBOX", values).await;
    world.until_messages(1).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    let large = world.list(MESSAGES).await.first().unwrap().id;
    (world, engine, folder, large)
}

/// From now on the server has these messages, under UIDs from 1 on, and the same UIDVALIDITY.
fn begin_anew(world: &World, mails: &[Vec<u8>]) {
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        let (mut anew, before) = (Mailbox::new(mailbox.uid_validity()), mailbox.uid_next());
        for mail in mails {
            anew.append(mail.clone().into(), vec![], 1_748_736_000_000);
        }
        mailbox.restore(&anew);
        mailbox.set_uid_next(before.max(mailbox.uid_next()));
    });
}

fn is_too_big(large: &Entity) -> bool {
    let is_named = large.text("subject") == Some("large");
    is_named && large.text("errorCode") == Some("too_big")
}

async fn message(world: &World, id: EntityId) -> Entity {
    world.list(MESSAGES).await.into_iter().find(|one| one.id == id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn mail_under_the_uid_of_a_message_that_is_too_large_is_received() {
    // Whatever of it differs: all, or the header alone.
    for (subject, octets) in [("small", 300), ("other", 5000)] {
        let (world, engine, folder, large) = with_large(json!({})).await;
        begin_anew(&world, &[mail(subject, octets), mail("more", 300)]);
        world.until_messages(3).await;
        assert_eq!(world.subjects().await, ["large", "more", subject].map(str::to_owned));
        assert!(is_too_big(&message(&world, large).await));
        world.until(FOLDERS, folder, |it| it.number("serverCount") == Some(2)).await;
        engine.stop().await;
    }
}

/// What is done after the UID of the large message is that of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Ask,
    Raise,
    RestartAndAsk,
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_never_becomes_another_one() {
    for deletes in [false, true] {
        for then in [Then::Ask, Then::Raise, Then::RestartAndAsk] {
            let values = json!({"deleteOnServer": deletes});
            let (world, mut engine, folder, large) = with_large(values).await;
            engine.stop().await;
            begin_anew(&world, &[mail("other", 5000)]);
            if then == Then::Raise {
                let options = json!({"message_bytes_max": 100_000, "after_read_timeout": 5});
                world.change(FOLDERS, folder, json!({"options": options})).await;
            } else {
                let id = MessageEntityId::of(large);
                let asked = world.store.message_request(&world.domain, id, MESSAGE_BYTES_LIMIT);
                assert_eq!(asked.await.unwrap(), LoadRequest::Noted);
            }
            engine = world.start(world.settings()).await;
            world.until_messages(2).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let is = message(&world, large).await;
            assert!(is_too_big(&is), "{deletes} {then:?}: {is:?}");
            if then != Then::Raise {
                let says = is.text("errorText").unwrap();
                assert!(says.contains("another message under its UID"), "{says}");
            }
            assert_eq!(world.subjects().await, ["large", "other"]);
            // The other one is deleted where it is stored, and not on account of the large one.
            let left = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().len());
            let is_stored = then == Then::Raise;
            assert_eq!(left == 0, deletes && is_stored, "{deletes} {then:?}");
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_of_another_message_do_not_complete_a_message_that_is_too_large() {
    let (world, engine, folder, large) = with_large(json!({})).await;
    // The facts are those of the large message, and the bytes are those of another one.
    let act = Action::Message(MessageFault::Body(mail("other", 5000)));
    world.sandbox.script(Rule { on: Point::ImapMessage(Some(1)), when: When::From(2), act });
    let options = json!({"message_bytes_max": 100_000, "after_read_timeout": 5});
    world.change(FOLDERS, folder, json!({"options": options})).await;
    world.until_messages(2).await;
    assert!(is_too_big(&message(&world, large).await));
    assert_eq!(world.subjects().await, ["large", "other"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_size_that_is_told_differently_each_time_ends_no_epoch() {
    let (world, engine, folder, large) = with_large(json!({})).await;
    for off in 1..5 {
        let act = Action::Message(MessageFault::SizeOffBy(off));
        world.sandbox.script(Rule { on: Point::ImapMessage(None), when: When::Nth(1), act });
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    world.sandbox.deliver(ANNA, "INBOX", mail("small", 300)).unwrap();
    world.until_messages(2).await;
    assert!(is_too_big(&message(&world, large).await));
    let fetched = world.sandbox.transcript();
    let fetched = fetched.iter().filter(|line| line.text.contains("BODY.PEEK[])")).count();
    assert_eq!(fetched, 2, "each message once");
    world.until(FOLDERS, folder, |it| it.number("storedCount") == Some(1)).await;
    engine.stop().await;
}
