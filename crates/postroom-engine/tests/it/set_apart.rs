//! Stored messages that the server does not describe, or does not delete: they keep no other
//! message waiting.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::FOLDERS;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const SHOWS_NOT: &str = "does not show what it has of messages that are stored here (UID 3): ";

/// How a server fails at one message, and what it says.
fn failures() -> [(Action, &'static str); 3] {
    let refused = MessageFault::Refused("Server Unavailable. 15".to_owned());
    [
        (Action::End(Ending::Close), "the server closed the connection during UID FETCH"),
        (Action::End(Ending::Stall), "the server sent no message of a FETCH"),
        (Action::Message(refused), "NO: Server Unavailable. 15"),
    ]
}

/// An account that receives from a server with these messages.
async fn receiving(subjects: &[&str], folder: serde_json::Value) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    deliver(&world, subjects);
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", folder).await;
    (world, engine, folder)
}

/// All at once, so that one poll finds them.
fn deliver(world: &World, subjects: &[&str]) {
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        for subject in subjects {
            let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n.\r\n");
            mailbox.append(mail.into_bytes().into(), vec![], 1_748_736_000_000);
        }
    });
}

fn script(world: &World, on: Point, when: When, act: Action) -> RuleId {
    world.sandbox.script(Rule { on, when, act })
}

fn says(entity: &Entity, text: &str) -> bool {
    entity.text("statusText").is_some_and(|said| said.contains(text))
}

fn is_proven(entity: &Entity, stored: i64) -> bool {
    entity.number("storedCount") == Some(stored) && entity.text("lastProofAt").is_some()
}

async fn until_left(world: &World, want: &[u32]) {
    let left = |state: &postroom_sandbox::SandboxState| {
        state.mailbox(ANNA, "INBOX").unwrap().messages().map(|one| one.uid).eq(want.iter().copied())
    };
    world.sandbox.wait_for(left, Duration::from_secs(7200)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stored_message_that_the_server_does_not_describe_keeps_no_new_mail_waiting() {
    for (act, words) in failures() {
        let (world, engine, folder) = receiving(&["a", "b", "c", "d", "e"], json!({})).await;
        world.until(FOLDERS, folder, |it| is_proven(it, 5)).await;
        let rule = script(&world, Point::ImapMessage(Some(3)), When::Always, act);
        let began = Instant::now();
        deliver(&world, &["f"]);
        world.until_messages(6).await;
        assert!(began.elapsed() < Duration::from_secs(120), "{words}: {:?}", began.elapsed());
        let told = |it: &Entity| says(it, SHOWS_NOT) && says(it, words) && is_proven(it, 6);
        world.until(FOLDERS, folder, told).await;
        let began = Instant::now();
        deliver(&world, &["g"]);
        world.until_messages(7).await;
        assert!(began.elapsed() < Duration::from_secs(60), "{words}: {:?}", began.elapsed());
        world.sandbox.unscript(rule);
        let told = |it: &Entity| it.text("statusText").is_none() && is_proven(it, 7);
        world.until(FOLDERS, folder, told).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_one_message_is_not_described_the_others_show_that_the_mailbox_is_another_one() {
    for (act, _) in failures() {
        let (world, engine, folder) = receiving(&["a", "b", "c", "d", "e"], json!({})).await;
        world.until(FOLDERS, folder, |it| is_proven(it, 5)).await;
        script(&world, Point::ImapMessage(Some(3)), When::Always, act);
        world.until(FOLDERS, folder, |it| says(it, SHOWS_NOT)).await;
        // The same UIDs, and UIDNEXT is the same.
        world.sandbox.edit(|state| {
            let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
            mailbox.expunge(1);
            mailbox.renumber(mailbox.uid_validity(), 1);
        });
        deliver(&world, &["f"]);
        world.until_messages(6).await;
        assert_eq!(world.subjects().await, ["a", "b", "c", "d", "e", "f"]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_that_is_not_described_keeps_no_other_at_the_server() {
    for (act, words) in failures() {
        let (world, engine, folder) = receiving(&[], json!({"deleteOnServer": true})).await;
        world.until(FOLDERS, folder, |it| is_proven(it, 0)).await;
        // It is fetched, and not shown again afterwards.
        let rule = script(&world, Point::ImapMessage(Some(3)), When::From(2), act);
        deliver(&world, &["a", "b", "c", "d", "e"]);
        until_left(&world, &[3]).await;
        let told = |it: &Entity| says(it, SHOWS_NOT) && says(it, words);
        world.until(FOLDERS, folder, told).await;
        let began = Instant::now();
        deliver(&world, &["f"]);
        world.until_messages(6).await;
        until_left(&world, &[3]).await;
        assert!(began.elapsed() < Duration::from_secs(60), "{words}: {:?}", began.elapsed());
        world.sandbox.unscript(rule);
        until_left(&world, &[]).await;
        world.until(FOLDERS, folder, |it| it.text("statusText").is_none()).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_that_ends_the_session_when_it_is_deleted_keeps_no_other_at_the_server() {
    for on in [ImapCommand::Store, ImapCommand::Expunge] {
        for ending in [Ending::Close, Ending::Stall] {
            let (world, engine, folder) = receiving(&[], json!({"deleteOnServer": true})).await;
            world.until(FOLDERS, folder, |it| is_proven(it, 0)).await;
            // UID 4 ends the session, in each set that has it: 1:5, 4:5, 4 and 4.
            for nth in [1, 3, 6, 7] {
                script(&world, Point::ImapCommand(on), When::Nth(nth), Action::End(ending));
            }
            deliver(&world, &["a", "b", "c", "d", "e"]);
            until_left(&world, &[4]).await;
            world.until(FOLDERS, folder, |it| says(it, "stored here (UID 4): ")).await;
            // It is asked for again, and then it goes.
            until_left(&world, &[]).await;
            world.until(FOLDERS, folder, |it| it.text("statusText").is_none()).await;
            engine.stop().await;
        }
    }
}
