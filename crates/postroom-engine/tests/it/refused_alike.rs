//! Messages that are refused one after the other: by the account, by their sender, by themselves.

use crate::sending::CARL;
use crate::sending::MAIL;
use crate::sending::RCPT;
use crate::sending::accepted;
use crate::sending::count_of;
use crate::sending::is;
use crate::sending::is_told;
use crate::sending::message;
use crate::sending::running;
use crate::sending::script;
use crate::sending::states;
use crate::sending::until_is;
use crate::sending::until_waits;
use crate::world::BEN;
use crate::world::World;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Ten messages that are due together, each to another recipient of one server.
async fn ten_messages(world: &World, account: EntityId) -> Vec<EntityId> {
    let at = Timestamp::from_ms(world.store.clock().now_ms() + 5_000).to_string();
    let mut ids = vec![];
    for user in 0..10 {
        let values = json!({"to": [format!("u{user}@else.test")], "dateTime": at});
        ids.push(message(world, account, values).await);
    }
    ids
}

/// How many messages have this state.
async fn count_in(world: &World, state: &str) -> usize {
    world.list(MESSAGES).await.iter().filter(|it| is(it, state)).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_in_the_same_unknown_words_again_and_again_waits_until_it_is_taken() {
    let table = [
        (MAIL, "550 5.7.0 Sie haben heute genug versendet"),
        (RCPT, "550 5.7.1 <you@else.test>: Recipient address rejected: limite dépassée"),
        (RCPT, "550 您今天发送了100封邮件"),
        (Point::SmtpDot, "554 5.7.1 Kvote brugt (id kJhGfDs)"),
    ];
    for (on, words) in table {
        let (world, engine, account) = running(json!({"retry_longest": 60})).await;
        let rule = script(&world, on, When::Always, Action::line(words));
        let ids = ten_messages(&world, account).await;
        let told = world.until(ACCOUNTS, account, |it| is_told(it, words)).await;
        assert!(is_told(&told, "one message after the other in the same words"), "{told:?}");
        // The pauses grow, and messages say why they wait.
        until_waits(&world, ids[9], words).await;
        let asked = count_of(&world, "MAIL");
        tokio::time::sleep(Duration::from_secs(1800)).await;
        let probes = count_of(&world, "MAIL") - asked;
        assert!((2..=20).contains(&probes), "{words}: {probes}");
        let refused = count_in(&world, "error").await;
        assert_eq!((refused, count_in(&world, "sending").await), (2, 8), "{words}");
        world.sandbox.unscript(rule);
        for id in ids {
            let ended = world.until(MESSAGES, id, |it| !is(it, "sending")).await;
            // What waited for the account counts no attempt, and was refused to nobody.
            assert_eq!(ended.number("attempts"), Some(1), "{ended:?}");
        }
        assert_eq!((count_in(&world, "sent").await, accepted(&world).len()), (8, 8), "{words}");
        world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn words_that_have_passed_refuse_no_message_any_more() {
    let (world, engine, account) = running(json!({})).await;
    let words = "550 5.7.0 Sie haben genug versendet";
    // Two are refused, and five times those that wait.
    let rule = script(&world, Point::SmtpDot, When::First(7), Action::line(words));
    for id in ten_messages(&world, account).await {
        world.until(MESSAGES, id, |it| !is(it, "sending")).await;
    }
    assert_eq!(world.sandbox.acted_count(rule), 7);
    assert_eq!((count_in(&world, "error").await, count_in(&world, "sent").await), (2, 8));
    // Much later, and after many that were taken.
    for _ in 0..30 {
        let id = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, id, "sent").await;
    }
    script(&world, Point::SmtpDot, When::First(1), Action::line(words));
    let id = message(&world, account, json!({"to": [BEN]})).await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(sent.number("attempts"), Some(1), "{sent:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_at_fault_themselves_are_refused_one_by_one() {
    let table = [
        (RCPT, "550 5.1.1 <you@else.test>: Recipient address rejected: User unknown"),
        (RCPT, "550 No such user here"),
        (RCPT, "550 5.2.1 <you@else.test> closed"),
        (Point::SmtpDot, "554 5.7.1 Message rejected as spam (id 4XyZ)"),
        (Point::SmtpDot, "552 5.3.4 too big"),
        (MAIL, "552 5.3.4 Message size exceeds fixed limit"),
    ];
    for (on, words) in table {
        let (world, engine, account) = running(json!({})).await;
        script(&world, on, When::Always, Action::line(words));
        let ids = ten_messages(&world, account).await;
        let began = Instant::now();
        for id in ids {
            let ended = until_is(&world, id, "error").await;
            assert_eq!(ended.text("errorCode"), Some("refused"), "{words}");
        }
        assert!(began.elapsed() < Duration::from_secs(7), "{words}: {:?}", began.elapsed());
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_guess_holds_up_mail_for_other_servers_for_seconds_only() {
    let (world, engine, account) = running(json!({})).await;
    for user in 0..10 {
        let act = Action::line("550 Benutzer unbekannt");
        script(&world, RCPT, When::For(format!("u{user}@else.test")), act);
    }
    ten_messages(&world, account).await;
    let at = Timestamp::from_ms(world.store.clock().now_ms() + 5_100).to_string();
    let began = Instant::now();
    for to in [BEN, "carl@third.test", BEN, "dora@third.test"] {
        let id = message(&world, account, json!({"to": [to], "dateTime": at})).await;
        until_is(&world, id, "sent").await;
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_demanded_for_one_message_does_not_stop_the_account() {
    let words = ["530 5.7.0 Must issue a STARTTLS command first", "538 Encryption required"];
    for on in [RCPT, Point::SmtpDot] {
        for words in words {
            let (world, engine, account) = running(json!({})).await;
            script(&world, on, When::For(CARL.to_owned()), Action::line(words));
            let carl = message(&world, account, json!({"to": [CARL]})).await;
            let waiting = until_waits(&world, carl, words).await;
            assert!(is(&waiting, "sending"), "{waiting:?}");
            let told = world.until(ACCOUNTS, account, |_| true).await;
            assert_eq!((told.text("state"), told.text("statusText")), (Some("ready"), None));
            let began = Instant::now();
            let ben = message(&world, account, json!({"to": [BEN]})).await;
            until_is(&world, ben, "sent").await;
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            // Each further one for the same server may be about that too.
            for _ in 0..2 {
                let id = message(&world, account, json!({"to": [CARL]})).await;
                until_waits(&world, id, words).await;
            }
            let told = world.until(ACCOUNTS, account, |_| true).await;
            assert_eq!(told.text("statusText"), None, "{told:?}");
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_demanded_for_all_messages_is_demanded_of_the_account() {
    let words = "530 5.7.0 Must issue a STARTTLS command first";
    for on in [MAIL, RCPT, Point::SmtpDot] {
        let (world, engine, account) = running(json!({})).await;
        script(&world, on, When::Always, Action::line(words));
        for to in [BEN, CARL] {
            message(&world, account, json!({"to": [to]})).await;
        }
        let told = world.until(ACCOUNTS, account, |it| is_told(it, words)).await;
        assert!(is_told(&told, "the server demands an encrypted connection"), "{told:?}");
        engine.stop().await;
    }
}

fn replies(message: &Entity) -> Vec<&str> {
    let recipients = message.get("recipients").as_array().unwrap().iter();
    recipients.map(|one| one["reply"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_sender_is_not_told_as_one_of_the_recipients() {
    let words = "553 5.7.1 <boss@else.test>: Sender address rejected: not owned by user anna";
    let table = [(MAIL, "failed"), (RCPT, "refused"), (Point::SmtpDot, "refused")];
    for (on, state) in table {
        let (world, engine, account) = running(json!({})).await;
        script(&world, on, When::For("boss@else.test".to_owned()), Action::line(words));
        if on == RCPT {
            script(&world, on, When::Always, Action::line(words));
        }
        let values = json!({"to": [BEN, CARL], "from": "boss@else.test"});
        let id = message(&world, account, values).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(ended.text("errorCode"), Some("refused"), "{ended:?}");
        let why = ended.text("errorText").unwrap();
        let sender = "the server refuses the sender boss@else.test, not the recipients";
        assert!(why.starts_with(sender) && why.contains(words), "{why}");
        assert_eq!(states(&ended), [state; 2], "{ended:?}");
        let said = replies(&ended);
        // Who was not asked got no answer of its own.
        assert!(on != MAIL || said.iter().all(|it| it.starts_with(sender)), "{said:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn senders_that_are_refused_hold_up_no_other_sender() {
    let (world, engine, account) = running(json!({})).await;
    let words = "553 5.7.1 <boss@else.test>: Sender address rejected: not owned by user anna";
    script(&world, MAIL, When::For("boss@else.test".to_owned()), Action::line(words));
    let began = Instant::now();
    for _ in 0..5 {
        let values = json!({"to": [BEN], "from": "boss@else.test"});
        let id = message(&world, account, values).await;
        until_is(&world, id, "error").await;
    }
    let id = message(&world, account, json!({"to": [BEN]})).await;
    until_is(&world, id, "sent").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    engine.stop().await;
}
