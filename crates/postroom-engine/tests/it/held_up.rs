//! Large messages that have no place here: they keep no other message waiting.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::Entity;
use postroom_model::builtin::FOLDERS;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// A message of this subject and size.
fn message(subject: &str, size: usize) -> Vec<u8> {
    let head = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n");
    let line = format!("{}\r\n", "x".repeat(70));
    let mut mail = head.into_bytes();
    while mail.len() < size {
        mail.extend_from_slice(line.as_bytes());
    }
    mail
}

#[tokio::test(start_paused = true)]
async fn a_large_message_that_the_spool_directory_does_not_take_keeps_no_other_waiting() {
    let world = World::new().await;
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let settings = world.settings();
    let (spool, whole) = (settings.spool_directory.clone(), settings.in_memory_bytes_max * 2);
    let engine = world.start(settings).await;
    let folder = world.monitor("INBOX", json!({})).await;
    std::fs::remove_dir_all(&spool).unwrap();
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        for (subject, size) in [("a", whole), ("b", 100), ("c", whole), ("d", 100)] {
            mailbox.append(message(subject, size).into(), vec![], 1_748_736_000_000);
        }
    });
    let is_held = |it: &Entity| {
        let text = it.text("statusText").unwrap_or_default();
        it.number("pendingCount") == Some(2) && text.contains("the spool directory cannot")
    };
    let held = world.until(FOLDERS, folder, is_held).await;
    assert_eq!(held.number("storedCount"), Some(2), "{held:?}");
    assert_eq!(world.subjects().await, ["b", "d"]);
    let trouble = engine.watch_spool()().unwrap();
    assert!(!trouble.is_full && trouble.text.contains("writable"), "{trouble:?}");
    // However often it was tried, it is tried soon, and the trouble is known all the time.
    for _ in 0..4 * 60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(engine.watch_spool()().is_some());
    }
    let told = engine.watch_spool()().unwrap();
    assert!(told.lasts >= Duration::from_secs(4 * 3600), "{told:?}");
    std::fs::create_dir(&spool).unwrap();
    let began = Instant::now();
    world.until_messages(4).await;
    assert!(began.elapsed() < Duration::from_secs(6 * 60), "{:?}", began.elapsed());
    assert_eq!(world.subjects().await, ["a", "b", "c", "d"]);
    assert_eq!(engine.watch_spool()(), None);
    engine.stop().await;
}
