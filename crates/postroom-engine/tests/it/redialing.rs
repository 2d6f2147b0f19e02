//! Whatever goes wrong, a server is not dialled often.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

/// How many logins five minutes may cost. After failures of the store, the delays grow to 30 s.
const LOGINS_MAX: usize = 20;

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_noted_does_not_bring_a_connection_every_few_seconds() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
    let folder = world.monitor("INBOX", json!({})).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    let logins = || {
        let commands = world.sandbox.transcript();
        commands.iter().filter(|it| matches!(&*it.command, "AUTHENTICATE" | "LOGIN")).count()
    };
    let before = logins();
    world.refuse_receipts();
    let (on, act) = (Point::ImapMessage(None), Action::End(Ending::Close));
    let _ = world.sandbox.script(Rule { on, when: When::Always, act });
    let mail = b"Subject: S\r\n\r\nHello.\r\n".to_vec();
    world.sandbox.deliver(ANNA, "INBOX", mail).unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let logins = logins() - before;
    assert!((3..LOGINS_MAX).contains(&logins), "{logins}");
    engine.stop().await;
}
