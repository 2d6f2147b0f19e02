//! What happened at a way to log in to an IMAP server is known to the next connections of an
//! account.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_model::builtin::ACCOUNTS;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;

const AUTHENTICATE: Point = Point::ImapCommand(ImapCommand::Authenticate);
const LOGIN: Point = Point::ImapCommand(ImapCommand::Login);

fn close(said: &str) -> Action {
    Action::ReplyThenEnd(said.into(), Ending::Close)
}

/// The commands by which somebody has logged in, or tried to.
fn logins(world: &World) -> Vec<String> {
    let lines = world.sandbox.transcript();
    let asked = lines.iter().filter(|it| matches!(&*it.command, "AUTHENTICATE" | "LOGIN"));
    asked.map(|line| line.command.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_way_to_log_in_that_ends_the_connection_is_followed_by_the_next_one() {
    for (act, times) in [
        (close("{tag} NO not by this\r\n"), 1),
        (close("{tag} NO not by this\r\n* BYE bye\r\n"), 1),
        (close("* BYE bye\r\n"), 2),
        (Action::End(Ending::Close), 2),
        (Action::End(Ending::Stall), 2),
    ] {
        let world = World::new().await;
        world.sandbox.script(Rule { on: AUTHENTICATE, when: When::Always, act: act.clone() });
        let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
        let engine = world.start(world.settings()).await;
        let is_ready = |it: &postroom_model::Entity| it.text("state") == Some("ready");
        world.until(ACCOUNTS, account, is_ready).await;
        let first = logins(&world);
        let want = [&vec!["AUTHENTICATE"; times][..], &["LOGIN"]].concat();
        assert_eq!(first, want, "{act:?}");
        // The way is remembered: each later connection uses it at once.
        world.sandbox.hang_up();
        world.monitor("INBOX", json!({})).await;
        world.sandbox.deliver(ANNA, "INBOX", b"Subject: a\r\n\r\na".to_vec()).unwrap();
        world.until_messages(1).await;
        let later = logins(&world).split_off(first.len());
        assert!(!later.is_empty() && later.iter().all(|way| way == "LOGIN"), "{act:?}: {later:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_refused_by_all_ways_is_tried_as_rarely_as_by_one() {
    for said in ["NO wrong", "NO [AUTHENTICATIONFAILED] wrong"] {
        let world = World::new().await;
        for on in [AUTHENTICATE, LOGIN] {
            let act = close(&format!("{{tag}} {said}\r\n"));
            world.sandbox.script(Rule { on, when: When::Always, act });
        }
        let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
        let engine = world.start(world.settings()).await;
        let says = |it: &postroom_model::Entity| {
            it.text("statusText").is_some_and(|said| said.contains("is not tried again soon"))
        };
        let told = world.until(ACCOUNTS, account, says).await;
        assert!(told.text("statusText").unwrap().contains("was answered NO: wrong"), "{told:?}");
        tokio::time::sleep(Duration::from_secs(3000)).await;
        assert_eq!(logins(&world), ["AUTHENTICATE", "LOGIN", "AUTHENTICATE"], "{said}");
        // The right password is tried as if there had been no other.
        world.sandbox.unscript_all();
        world.change(ACCOUNTS, account, json!({"password": PASSWORD})).await;
        world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
        assert_eq!(logins(&world)[3], "AUTHENTICATE");
        engine.stop().await;
    }
}
