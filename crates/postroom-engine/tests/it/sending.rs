//! The sender of an account against an SMTP server that answers in all ways.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Somebody at another server.
pub const CARL: &str = "carl@else.test";

/// A transaction begins.
pub const MAIL: Point = Point::SmtpCommand(SmtpCommand::Mail);
/// A recipient is named.
pub const RCPT: Point = Point::SmtpCommand(SmtpCommand::Rcpt);
const DATA: Point = Point::SmtpCommand(SmtpCommand::Data);
const EHLO: Point = Point::SmtpCommand(SmtpCommand::Ehlo);

/// An account with these options, and an engine that runs.
pub async fn running(options: Json) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    let account = json!({"address": ANNA, "password": PASSWORD, "options": options});
    let account = world.account(account).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
    (world, engine, account)
}

/// Adds a rule.
pub fn script(world: &World, on: Point, when: When, act: Action) -> RuleId {
    world.sandbox.script(Rule { on, when, act })
}

/// A message that is to be sent, with these values.
pub async fn message(world: &World, account: EntityId, values: Json) -> EntityId {
    let mut all = json!({
        "account_id": account.to_string(), "messageDirection": "out", "messageState": "sending",
        "subject": "S", "text": "Hello.\n",
    });
    all.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
    world.create(MESSAGES, all).await
}

/// Whether a message has this state.
pub fn is(entity: &Entity, state: &str) -> bool {
    entity.text("messageState") == Some(state)
}

/// Waits until a message has this state.
pub async fn until_is(world: &World, message: EntityId, state: &str) -> Entity {
    world.until(MESSAGES, message, |it| is(it, state)).await
}

/// Waits until a message says why it waits.
pub async fn until_waits(world: &World, message: EntityId, why: &str) -> Entity {
    let waits = |it: &Entity| it.text("errorText").is_some_and(|text| text.contains(why));
    world.until(MESSAGES, message, waits).await
}

/// The states of the recipients.
pub fn states(message: &Entity) -> Vec<&str> {
    let recipients = message.get("recipients").as_array().unwrap().iter();
    recipients.map(|one| one["state"].as_str().unwrap()).collect()
}

/// The recipients of each message that the server took.
pub fn accepted(world: &World) -> Vec<Vec<String>> {
    world.sandbox.accepted().into_iter().map(|mail| mail.forward_paths).collect()
}

/// How many times a command was sent.
pub fn count_of(world: &World, command: &str) -> usize {
    world.sandbox.transcript().iter().filter(|line| line.command == command).count()
}

/// Waits until a rule has acted.
async fn until_acted(world: &World, rule: RuleId) {
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) > 0;
    world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_refused_costs_no_other_one() {
    let (world, engine, account) = running(json!({})).await;
    let act = Action::line("550 5.1.1 no such user");
    script(&world, RCPT, When::For(CARL.to_owned()), act);
    let id = message(&world, account, json!({"to": [CARL, BEN]})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(ended.text("errorCode"), Some("refused"));
    let why = ended.text("errorText").unwrap();
    assert!(why.contains("carl@else.test: 550 5.1.1 no such user"), "{why}");
    assert_eq!(states(&ended), ["refused", "sent"]);
    assert_eq!(accepted(&world), [[BEN]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_recipient_whose_answer_contradicts_itself_waits_and_the_others_get_the_message_once() {
    for reply in ["250-2.1.5 ok\r\n550 5.1.1 no", "550-5.1.1 no\r\n250 2.1.5 ok"] {
        let (world, engine, account) = running(json!({"retry_for": 300, "retry_first": 10})).await;
        let act = Action::line(reply);
        let rule = script(&world, RCPT, When::For(CARL.to_owned()), act);
        let id = message(&world, account, json!({"to": [BEN, CARL, "dora@else.test"]})).await;
        let waiting = until_waits(&world, id, "lines of this reply contradict each other").await;
        assert!(is(&waiting, "sending"), "{waiting:?}");
        assert_eq!(states(&waiting), ["sent", "deferred", "sent"], "{reply}");
        let reply = waiting.get("recipients")[1]["reply"].as_str().unwrap();
        assert!(reply.contains("contradict each other"), "{reply}");
        world.sandbox.unscript(rule);
        until_is(&world, id, "sent").await;
        assert_eq!(accepted(&world), [vec![BEN, "dora@else.test"], vec![CARL]]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_recipient_whose_refusal_ends_the_session_costs_no_other_one() {
    let refusals =
        ["550 5.1.1 no such user", "550 5.1.1 no such user\r\n421 4.7.0 too many errors"];
    for (pipelining, refusal) in [(true, refusals[0]), (true, refusals[1]), (false, refusals[0])] {
        let (world, engine, account) = running(json!({"retry_first": 1})).await;
        if !pipelining {
            script(&world, EHLO, When::Always, Action::line("250 mx.test"));
        }
        script(&world, RCPT, When::For(CARL.to_owned()), Action::farewell(refusal));
        let to = [BEN, CARL, "dora@else.test"];
        let id = message(&world, account, json!({"to": to})).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(states(&ended), ["sent", "refused", "sent"]);
        assert_eq!(ended.text("errorCode"), Some("refused"));
        assert_eq!(ended.number("attempts"), Some(1), "it is tried again at once");
        let reply = ended.get("recipients")[1]["reply"].as_str().unwrap_or_default().to_owned();
        assert!(reply.starts_with("550 5.1.1"), "{reply}");
        assert_eq!(accepted(&world), [[BEN, "dora@else.test"]]);
        world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
        // Alone, too.
        let id = message(&world, account, json!({"to": [CARL]})).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!((states(&ended), ended.text("errorCode")), (vec!["refused"], Some("refused")));
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_whose_deferral_ends_the_session_cost_no_other_one() {
    for pipelining in [true, false] {
        let (world, engine, account) = running(json!({})).await;
        if !pipelining {
            script(&world, EHLO, When::Always, Action::line("250 mx.test"));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let address = |at: usize| format!("r{at}@else.test");
        for at in [1, 3, 4] {
            let act = Action::farewell("450 4.2.1 not now");
            script(&world, RCPT, When::For(address(at)), act);
        }
        let all: Vec<_> = (0..8).map(address).collect();
        let id = message(&world, account, json!({"to": all})).await;
        let waiting = until_waits(&world, id, "450 4.2.1 not now").await;
        assert_eq!(waiting.number("attempts"), Some(1));
        let (ok, no) = ("sent", "deferred");
        assert_eq!(states(&waiting), [ok, no, ok, no, no, ok, ok, ok], "{waiting:?}");
        let good: Vec<_> = [0, 2, 5, 6, 7].map(address).to_vec();
        assert_eq!(accepted(&world), [good]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_kept_if_the_session_ends_within_the_message() {
    let (world, engine, account) = running(json!({"retry_first": 10})).await;
    script(&world, RCPT, When::NthFor(1, CARL.to_owned()), Action::line("550 5.1.1 no such user"));
    let cut = Point::SmtpContent(1);
    script(&world, cut, When::Nth(1), Action::End(Ending::Close));
    let text = "Hello.\n".repeat(50_000);
    let id = message(&world, account, json!({"to": [CARL, BEN], "text": text})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), ["refused", "sent"]);
    assert_eq!((ended.number("attempts"), accepted(&world)), (Some(2), vec![vec![BEN.to_owned()]]));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_kept_if_the_session_ends_after_a_long_silence() {
    let (world, engine, account) = running(json!({"retry_first": 1})).await;
    let refusal = Action::line("550 5.1.1 no such user");
    script(&world, RCPT, When::NthFor(1, CARL.to_owned()), refusal);
    script(&world, RCPT, When::NthFor(1, BEN.to_owned()), Action::Hold);
    let id = message(&world, account, json!({"to": [CARL, BEN]})).await;
    until_waits(&world, id, "has not answered RCPT").await;
    world.sandbox.hang_up();
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), ["refused", "sent"]);
    assert_eq!(accepted(&world), [[BEN]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_recipient_at_whom_the_session_ends_keeps_the_message_from_nobody() {
    let ends = [
        Action::farewell("421 4.7.0 not this one"),
        Action::farewell("450 4.2.1 not now"),
        Action::End(Ending::Close),
        Action::End(Ending::Stall),
    ];
    for (to, act) in
        ends.into_iter().flat_map(|act| [([BEN, CARL], act.clone()), ([CARL, BEN], act)])
    {
        let (world, engine, account) = running(json!({"retry_for": 60, "retry_first": 10})).await;
        script(&world, RCPT, When::For(CARL.to_owned()), act.clone());
        let id = message(&world, account, json!({"to": to})).await;
        let ben_has_it = |it: &Entity| {
            let all = it.get("recipients").as_array().cloned().unwrap_or_default();
            all.iter().any(|one| one["address"] == BEN && one["state"] == "sent")
        };
        world.until(MESSAGES, id, ben_has_it).await;
        assert_eq!(accepted(&world), [[BEN]], "{act:?}");
        let other = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, other, "sent").await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(ended.text("errorCode"), Some("gave_up"), "{act:?}");
        assert!(ended.text("errorText").unwrap().contains(CARL), "{act:?} {ended:?}");
        assert_eq!(accepted(&world).len(), 2, "{act:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_the_dot_of_a_later_transaction_makes_no_second_copy() {
    let (world, engine, account) = running(json!({})).await;
    let many: Vec<_> = (0..150).map(|at| format!("r{at}@else.test")).collect();
    for address in &many[..100] {
        script(&world, RCPT, When::NthFor(1, address.clone()), Action::line("450 4.2.1 later"));
    }
    script(&world, Point::SmtpAccepted, When::Nth(1), Action::Hold);
    let id = message(&world, account, json!({"to": many})).await;
    let taken = |state: &postroom_sandbox::SandboxState| state.accepted().len() == 1;
    world.sandbox.wait_for(taken, Duration::from_secs(60)).await.unwrap();
    engine.stop().await;
    let engine = world.start(world.settings()).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), [vec!["sent"; 100], vec!["uncertain"; 50]].concat());
    assert_eq!(accepted(&world), [&many[100..], &many[..100]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_has_the_message_is_not_sent_it_again_and_all_get_the_same_bytes() {
    let (world, engine, account) = running(json!({})).await;
    let act = Action::line("450 4.2.1 try again later");
    script(&world, RCPT, When::NthFor(1, CARL.to_owned()), act);
    let id = message(&world, account, json!({"to": [BEN], "cc": [CARL]})).await;
    let waiting = until_waits(&world, id, "450 4.2.1 try again later").await;
    assert_eq!((is(&waiting, "sending"), states(&waiting)), (true, vec!["sent", "deferred"]));
    assert!(waiting.text("nextAttemptAt").is_some(), "{waiting:?}");
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(states(&sent), ["sent", "sent"]);
    assert!(sent.get("errorText").is_null() && sent.get("nextAttemptAt").is_null(), "{sent:?}");
    assert_eq!(accepted(&world), [[BEN], [CARL]]);
    let mail = world.sandbox.accepted();
    assert_eq!(mail[0].bytes, mail[1].bytes);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_answer_is_lost_is_sent_again_only_where_the_account_wants_it() {
    for (options, state, copies) in
        [(json!({}), "error", 1), (json!({"uncertain": "resend"}), "sent", 2)]
    {
        let (world, engine, account) = running(options).await;
        let lost = Action::End(Ending::Close);
        script(&world, Point::SmtpAccepted, When::Nth(1), lost);
        let id = message(&world, account, json!({"to": [BEN]})).await;
        let ended = until_is(&world, id, state).await;
        let is_uncertain = ended.text("errorCode") == Some("uncertain");
        assert_eq!(is_uncertain, state == "error", "{ended:?}");
        // Nothing more is sent, however long it takes.
        tokio::time::sleep(Duration::from_secs(7200)).await;
        let mail = world.sandbox.accepted();
        assert_eq!(mail.len(), copies);
        assert!(mail.iter().all(|one| one.bytes == mail[0].bytes));
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_answer_to_the_final_dot_is_waited_for_whatever_comes_before_it() {
    #[rustfmt::skip]
    let table = [
        // what comes after the dot, 14 bytes each 35 s, state,   why
        ("scanning....\r\n250 ok",                       "sent",  ""),
        ("150 scanning\r\n\r\n\r\n\r\n\r\n250 ok",       "sent",  ""),
        ("scanning....\r\n550 5.7.1 virus",              "error", "550 5.7.1 virus"),
        ("250-checking\r\n250 ok",                       "sent",  ""),
        ("250-checking\r\n550 5.7.1 virus",              "error", "contradict each other"),
    ];
    for (said, state, why) in table {
        let (world, engine, account) = running(json!({})).await;
        let slow = Action::Slow { bytes: 14, every: Duration::from_secs(35) };
        script(&world, DATA, When::Always, slow);
        script(&world, Point::SmtpDot, When::Always, Action::line(said));
        let id = message(&world, account, json!({"to": [BEN]})).await;
        let ended = world.until(MESSAGES, id, |it| !is(it, "sending")).await;
        let text = ended.text("errorText").unwrap_or_default();
        assert!(is(&ended, state) && text.contains(why), "{said}: {ended:?}");
        let code = (state == "error").then_some(if said.starts_with('2') {
            "uncertain"
        } else {
            "refused"
        });
        assert_eq!(ended.text("errorCode"), code, "{said}: {text}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_final_dot_that_has_no_end_is_none() {
    #[rustfmt::skip]
    let table = [
        ("250-checking", "its reply `250 checking` has no end"),
        ("scanning...",  "it said `scanning...`, which is no reply"),
        ("",             "it sent an empty line, which is no reply"),
    ];
    for (said, why) in table {
        for closes in [false, true] {
            let (world, engine, account) = running(json!({})).await;
            let act = if closes { Action::farewell(said) } else { Action::line(said) };
            script(&world, Point::SmtpDot, When::Always, act);
            let id = message(&world, account, json!({"to": [BEN]})).await;
            let ended = until_is(&world, id, "error").await;
            let text = ended.text("errorText").unwrap();
            assert_eq!(ended.text("errorCode"), Some("uncertain"), "{said}");
            let end = if closes { "the other side closed" } else { "did not answer end of data" };
            assert!(text.contains(why) && text.contains(end), "{text}");
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waited_for_too_long_is_given_up() {
    let (world, engine, account) = running(json!({"retry_first": 10, "retry_for": 60})).await;
    let act = Action::line("450 4.2.1 try again later");
    let rule = script(&world, RCPT, When::Always, act);
    let began = Instant::now();
    let id = message(&world, account, json!({"to": [BEN]})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(ended.text("errorCode"), Some("gave_up"));
    let why = ended.text("errorText").unwrap();
    // After 10, 20 and 40 seconds.
    assert!(why.starts_with("given up after 4 attempts: ben@demo.test: 450 4.2.1"), "{why}");
    assert!((60..90).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.sandbox.acted_count(rule), 4);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_server_pauses_the_account_and_counts_no_attempt() {
    let (world, engine, account) = running(json!({})).await;
    let slow = Action::line("451 4.7.1 slow down");
    let rule = script(&world, Point::SmtpDot, When::First(3), slow);
    let began = Instant::now();
    let ids = [
        message(&world, account, json!({"to": [BEN]})).await,
        message(&world, account, json!({"to": [CARL]})).await,
    ];
    let limited = "sending: the server accepts no more mail from this account now";
    let says = |it: &Entity| it.text("statusText").is_some_and(|said| said.contains(limited));
    let told = world.until(ACCOUNTS, account, says).await;
    assert_eq!(told.text("state"), Some("degraded"));
    for id in ids {
        let sent = until_is(&world, id, "sent").await;
        assert_eq!(sent.number("attempts"), Some(1), "{sent:?}");
    }
    assert_eq!(world.sandbox.acted_count(rule), 3);
    // Pauses of one, two and four seconds.
    assert!((7..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_accepted_before_is_tried_again_after_half_a_minute() {
    let (world, engine, account) = running(json!({})).await;
    let first = message(&world, account, json!({"to": [BEN]})).await;
    until_is(&world, first, "sent").await;
    world.sandbox.hang_up();
    let auth = Point::SmtpCommand(SmtpCommand::Auth);
    let rule = script(&world, auth, When::First(1), Action::line("535 5.7.8 not now"));
    let began = Instant::now();
    let second = message(&world, account, json!({"to": [CARL]})).await;
    until_is(&world, second, "sent").await;
    assert_eq!(world.sandbox.acted_count(rule), 1);
    assert!((25..45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_for_now_counts_no_attempt_and_has_an_end() {
    let auth = Point::SmtpCommand(SmtpCommand::Auth);
    for act in [
        Action::line("454 4.7.0 temporary authentication failure"),
        Action::farewell("421 4.3.0 busy"),
        Action::End(Ending::Close),
        Action::End(Ending::Stall),
    ] {
        let (world, engine, account) = running(json!({"retry_first": 10, "retry_for": 60})).await;
        world.sandbox.hang_up();
        script(&world, auth, When::Always, act.clone());
        let id = message(&world, account, json!({"to": [BEN]})).await;
        let waiting = world.until(MESSAGES, id, |it| it.text("errorCode").is_some()).await;
        assert!(is(&waiting, "sending"), "{act:?} {waiting:?}");
        assert_eq!(waiting.number("attempts").unwrap_or(0), 0, "{act:?} {waiting:?}");
        let ended = until_is(&world, id, "error").await;
        let why = ended.text("errorText").unwrap();
        assert!(why.starts_with("given up, because the login did not succeed in time"), "{why}");
        assert_eq!(ended.text("errorCode"), Some("gave_up"), "{act:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_to_log_in_that_ends_the_connection_is_followed_by_the_next_one() {
    for act in [Action::End(Ending::Close), Action::farewell("421 4.3.0 what is that")] {
        let world = World::new().await;
        let auth = Point::SmtpCommand(SmtpCommand::Auth);
        // Both forms of PLAIN end the connection.
        script(&world, auth, When::First(2), act);
        let account = json!({"address": ANNA, "password": PASSWORD});
        let account = world.account(account).await;
        let engine = world.start(world.settings()).await;
        let id = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, id, "sent").await;
        let transcript = world.sandbox.transcript();
        let asked = transcript.iter().filter(|line| line.command == "AUTH");
        let ways: Vec<_> = asked.map(|line| line.text.as_str()).collect();
        // The way is remembered: each later connection uses it at once.
        let (first, later) = ways.split_at(3);
        assert_eq!(first, ["AUTH PLAIN ***", "AUTH PLAIN", "AUTH LOGIN"]);
        assert!(later.iter().all(|way| *way == "AUTH LOGIN"), "{ways:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_mail_on_a_kept_connection_is_believed_on_a_new_one() {
    for words in ["503 5.5.1 send hello first", "550 5.7.0 one message in each session"] {
        let (world, engine, account) = running(json!({})).await;
        let first = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, first, "sent").await;
        let rule = script(&world, MAIL, When::Nth(1), Action::line(words));
        let second = message(&world, account, json!({"to": [CARL]})).await;
        let sent = until_is(&world, second, "sent").await;
        assert_eq!((sent.number("attempts"), world.sandbox.acted_count(rule)), (Some(1), 1));
        engine.stop().await;
    }
}

/// A refusal of two recipients of one domain, in the words of a limit, keeps no mail for others.
#[tokio::test(start_paused = true)]
async fn what_may_be_about_the_recipient_holds_up_no_other_mail() {
    for words in [
        "454 4.7.1 <ben>: Relay access denied",
        "451 4.7.1 Please try again later",
        "450 too many connections from your host",
        "451 4.7.1 Service unavailable",
    ] {
        let (world, engine, account) = running(json!({})).await;
        let began = Instant::now();
        let rule = |user: &str| {
            let when = When::For(format!("{user}@outside.test"));
            script(&world, RCPT, when, Action::line(words))
        };
        let rules = ["x", "y", "z"].map(rule);
        let at = Timestamp::from_ms(world.store.clock().now_ms() + 5_000).to_string();
        for user in ["x", "y", "z"] {
            let to = format!("{user}@outside.test");
            message(&world, account, json!({"to": [to], "dateTime": at})).await;
        }
        let at = Timestamp::from_ms(world.store.clock().now_ms() + 5_100).to_string();
        for to in [BEN, CARL] {
            let id = message(&world, account, json!({"to": [to], "dateTime": at})).await;
            until_is(&world, id, "sent").await;
        }
        assert!(rules.iter().all(|rule| world.sandbox.acted_count(*rule) >= 1), "{words}");
        assert!(began.elapsed().as_secs() < 20, "{words}: {:?}", began.elapsed());
        engine.stop().await;
    }
}

/// While the account is at a limit, messages that were not refused are tried first.
#[tokio::test(start_paused = true)]
async fn a_message_that_looks_like_a_limit_each_time_does_not_hold_up_the_others() {
    let (world, engine, account) = running(json!({})).await;
    let began = Instant::now();
    for user in ["x", "y", "z"] {
        let when = When::For(format!("{user}@outside.test"));
        script(&world, RCPT, when, Action::line("450 4.7.1 hourly sending limit exceeded"));
        message(&world, account, json!({"to": [format!("{user}@outside.test")]})).await;
    }
    for to in [BEN, CARL] {
        let id = message(&world, account, json!({"to": [to]})).await;
        until_is(&world, id, "sent").await;
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_messages_with_the_same_answer_spare_the_third_one() {
    let (world, engine, account) = running(json!({})).await;
    let act = Action::line("451 4.3.0 no sender today");
    let rule = script(&world, MAIL, When::First(3), act);
    // They are due together.
    let at = Timestamp::from_ms(world.store.clock().now_ms() + 60_000).to_string();
    let mut ids = vec![];
    for to in [BEN, CARL, "dora@else.test"] {
        ids.push(message(&world, account, json!({"to": [to], "dateTime": at})).await);
    }
    let says = |it: &Entity| it.text("statusText").is_some_and(|said| said.contains("no sender"));
    world.until(ACCOUNTS, account, says).await;
    // Each was asked for again on a new connection.
    assert_eq!((world.sandbox.acted_count(rule), count_of(&world, "MAIL")), (3, 3));
    for id in ids {
        until_is(&world, id, "sent").await;
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_sender_is_refused_pauses_and_its_messages_wait() {
    for (on, said) in [
        (RCPT, "550 5.1.8 Access denied, bad outbound sender"),
        (Point::SmtpDot, "554 5.7.1 Message rejected: outgoing mail suspended for this account"),
        (MAIL, "550 your account has been blocked"),
    ] {
        let (world, engine, account) = running(json!({})).await;
        let rule = script(&world, on, When::Always, Action::line(said));
        let mut ids = vec![];
        for _ in 0..6 {
            ids.push(message(&world, account, json!({"to": [BEN]})).await);
        }
        // The first one may be about itself. The second one shows that it is the account.
        until_is(&world, ids[0], "error").await;
        for id in &ids[1..] {
            let waiting = until_waits(&world, *id, "refuses all mail from this account").await;
            assert!(is(&waiting, "sending"), "{waiting:?}");
        }
        let says = |it: &Entity| it.text("statusText").is_some_and(|text| text.contains(said));
        world.until(ACCOUNTS, account, says).await;
        let asked = count_of(&world, "MAIL");
        assert!(asked <= 5, "{asked}");
        world.sandbox.unscript(rule);
        for id in &ids[1..] {
            let sent = until_is(&world, *id, "sent").await;
            assert_eq!(sent.number("attempts"), Some(1), "{sent:?}");
        }
        world.until(ACCOUNTS, account, |it| it.text("statusText").is_none()).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_can_be_withdrawn_or_edited_while_it_waits_and_not_while_it_is_sent() {
    let (world, engine, account) = running(json!({})).await;
    let rule = script(&world, DATA, When::Nth(1), Action::Hold);
    let first = message(&world, account, json!({"to": [BEN]})).await;
    until_acted(&world, rule).await;
    let (class, domain) = (world.store.builtin(MESSAGES).unwrap(), Domain::default_domain());
    let place = EntityPlace::new(&domain, &class, first);
    let withdrawn = json!({"messageState": null});
    let refused = world.store.entity_update(place, withdrawn.as_object().unwrap(), None).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::Sending))), "{refused:?}");
    world.sandbox.unscript(rule);
    until_is(&world, first, "sent").await;

    let rule = script(&world, RCPT, When::Always, Action::line("450 4.2.1 not now"));
    let (second, third) = (
        message(&world, account, json!({"to": [CARL]})).await,
        message(&world, account, json!({"to": [ANNA]})).await,
    );
    until_waits(&world, second, "450 4.2.1 not now").await;
    until_waits(&world, third, "450 4.2.1 not now").await;
    world.change(MESSAGES, second, withdrawn).await;
    world.change(MESSAGES, third, json!({"subject": "Another one"})).await;
    world.sandbox.unscript(rule);
    let sent = until_is(&world, third, "sent").await;
    assert!(sent.number("attempts") > Some(1), "the attempts count: {sent:?}");
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(accepted(&world), [[BEN], [ANNA]]);
    let bytes = world.sandbox.accepted().remove(1).bytes;
    assert!(String::from_utf8_lossy(&bytes).contains("Subject: Another one\r\n"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_disabled_before_the_dot_sends_nothing_until_it_is_enabled() {
    let (world, engine, account) = running(json!({})).await;
    let rule = script(&world, DATA, When::Nth(1), Action::Hold);
    let id = message(&world, account, json!({"to": [BEN]})).await;
    until_acted(&world, rule).await;
    world.change(ACCOUNTS, account, json!({"enabled": false})).await;
    world.until(ACCOUNTS, account, |it| it.text("state") == Some("disabled")).await;
    world.sandbox.unscript(rule);
    let waiting = until_waits(&world, id, "the account is disabled").await;
    assert!(is(&waiting, "sending"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(accepted(&world).is_empty());
    world.change(ACCOUNTS, account, json!({"enabled": true})).await;
    until_is(&world, id, "sent").await;
    assert_eq!(accepted(&world), [[BEN]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_midst_of_a_message_loses_it_not_and_sends_it_not_twice() {
    // Before the final dot it is sent by the next engine. After it, nobody knows.
    for (on, state, is_at_server) in [(DATA, "sent", false), (Point::SmtpAccepted, "error", true)] {
        let (world, engine, account) = running(json!({})).await;
        let rule = script(&world, on, When::Nth(1), Action::Hold);
        let id = message(&world, account, json!({"to": [BEN]})).await;
        until_acted(&world, rule).await;
        let under_way = engine.under_way();
        assert_eq!(under_way.len(), 1);
        assert_eq!((under_way[0].0.as_str(), EntityId::from(under_way[0].1)), (ANNA, id));
        let (began, within) = (Instant::now(), engine.stops_within());
        engine.stop().await;
        assert!(began.elapsed() <= within + Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(accepted(&world).len(), usize::from(is_at_server));
        world.sandbox.unscript(rule);
        let next = world.start(world.settings()).await;
        let ended = until_is(&world, id, state).await;
        let is_uncertain = ended.text("errorCode") == Some("uncertain");
        assert_eq!(is_uncertain, is_at_server, "{ended:?}");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(accepted(&world), [[BEN]]);
        next.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_answer_to_a_final_dot() {
    let (world, engine, account) = running(json!({})).await;
    let late = Action::Delay(Duration::from_secs(10));
    let rule = script(&world, Point::SmtpDot, When::Nth(1), late);
    let id = message(&world, account, json!({"to": [BEN]})).await;
    until_acted(&world, rule).await;
    engine.stop().await;
    assert_eq!(accepted(&world), [[BEN]]);
    until_is(&world, id, "sent").await;
}

#[tokio::test(start_paused = true)]
async fn messages_leave_when_they_are_due_and_in_the_order_of_their_times() {
    let (world, engine, account) = running(json!({})).await;
    let now_ms = world.store.clock().now_ms();
    let at = |seconds: i64| Timestamp::from_ms(now_ms + seconds * 1000).to_string();
    let mut ids = vec![];
    let began = Instant::now();
    for (to, seconds) in [(BEN, 300), (CARL, 61), (ANNA, 60)] {
        ids.push(message(&world, account, json!({"to": [to], "dateTime": at(seconds)})).await);
    }
    for (id, due_s) in [(ids[2], 60), (ids[1], 61), (ids[0], 300)] {
        until_is(&world, id, "sent").await;
        let took_s = began.elapsed().as_secs();
        assert!((due_s..due_s + 31).contains(&took_s), "{due_s} {took_s}");
    }
    assert_eq!(accepted(&world), [[ANNA], [CARL], [BEN]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_while_it_was_kept_costs_no_attempt_and_an_idle_one_is_closed() {
    let (world, engine, account) = running(json!({})).await;
    let first = message(&world, account, json!({"to": [BEN]})).await;
    until_is(&world, first, "sent").await;
    let hellos = count_of(&world, "EHLO");
    world.sandbox.hang_up();
    let second = message(&world, account, json!({"to": [BEN]})).await;
    let sent = until_is(&world, second, "sent").await;
    assert_eq!((sent.number("attempts"), count_of(&world, "EHLO")), (Some(1), hellos + 1));
    // The next one finds the connection open, after a few seconds by a NOOP.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let third = message(&world, account, json!({"to": [BEN]})).await;
    until_is(&world, third, "sent").await;
    assert_eq!((count_of(&world, "EHLO"), count_of(&world, "QUIT")), (hellos + 1, 0));
    let quits = |state: &postroom_sandbox::SandboxState| {
        state.transcript().any(|line| line.command == "QUIT")
    };
    let idle = Instant::now();
    world.sandbox.wait_for(quits, Duration::from_secs(60)).await.unwrap();
    assert!((14..17).contains(&idle.elapsed().as_secs()), "{:?}", idle.elapsed());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_on_a_kept_connection_costs_the_next_message_nothing() {
    // It comes three seconds after the answer, or together with the answer to MAIL.
    let accepted_then = |late: &str| Action::Reply(format!("250 2.0.0 ok\r\n{late}\r\n").into());
    let slow = Action::Slow { bytes: "250 2.0.0 ok\r\n".len(), every: Duration::from_secs(3) };
    let cases = [
        vec![(Point::SmtpDot, slow.clone()), (Point::SmtpAccepted, accepted_then("250 late"))],
        vec![(Point::SmtpDot, slow), (Point::SmtpAccepted, accepted_then("450 late"))],
        vec![(MAIL, Action::Reply(b"250 late\r\n250 2.1.0 ok\r\n".to_vec()))],
        vec![(MAIL, Action::Reply(b"550 late\r\n250 2.1.0 ok\r\n".to_vec()))],
    ];
    for case in cases {
        let (world, engine, account) = running(json!({})).await;
        let is_of_first = case.len() > 1;
        for (on, act) in case {
            script(&world, on, When::Nth(if is_of_first { 1 } else { 2 }), act);
        }
        let first = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, first, "sent").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (hellos, began) = (count_of(&world, "EHLO"), Instant::now());
        let second = message(&world, account, json!({"to": [CARL]})).await;
        let sent = until_is(&world, second, "sent").await;
        assert_eq!((sent.number("attempts"), count_of(&world, "EHLO")), (Some(1), hellos + 1));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(accepted(&world), [[BEN], [CARL]]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_recipients_are_named_in_several_transactions_of_one_attempt() {
    let (world, engine, account) = running(json!({})).await;
    let many: Vec<_> = (0..250).map(|at| format!("r{at}@else.test")).collect();
    let id = message(&world, account, json!({"to": many})).await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(sent.number("attempts"), Some(1));
    let named: Vec<_> = accepted(&world).iter().map(Vec::len).collect();
    assert_eq!(named, [100, 100, 50]);
    assert_eq!(accepted(&world).concat(), many);
    engine.stop().await;
}

/// A message to 101, whose first transaction with 100 gets no answer. Gives the addresses too.
async fn to_101(world: &World, account: EntityId, act: Action) -> (EntityId, Vec<String>) {
    script(world, Point::SmtpAccepted, When::Nth(1), act);
    let many: Vec<_> = (0..101).map(|at| format!("r{at}@else.test")).collect();
    (message(world, account, json!({"to": many})).await, many)
}

#[tokio::test(start_paused = true)]
async fn who_was_never_named_gets_the_message_though_the_outcome_for_others_is_unknown() {
    let (world, engine, account) = running(json!({})).await;
    let act = Action::line("550 5.1.1 not today");
    script(&world, RCPT, When::NthFor(1, "r100@else.test".to_owned()), act);
    let (id, many) = to_101(&world, account, Action::End(Ending::Close)).await;
    let waiting = until_waits(&world, id, "Postroom goes on with the other 1").await;
    assert!(is(&waiting, "sending"), "{waiting:?}");
    let ended = until_is(&world, id, "error").await;
    assert_eq!(ended.text("errorCode"), Some("uncertain"), "{ended:?}");
    assert_eq!(states(&ended), [vec!["uncertain"; 100], vec!["refused"]].concat());
    // Those who certainly do not have it come first, and the others get no second copy.
    let again = async || world.change(MESSAGES, id, json!({"messageState": "sending"})).await;
    again().await;
    world.until(MESSAGES, id, |it| is(it, "error") && states(it).contains(&"sent")).await;
    assert_eq!(accepted(&world), [&many[..100], &many[100..]]);
    // If nobody else is left, it is meant.
    again().await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(states(&sent), ["sent"; 101]);
    assert_eq!(accepted(&world), [&many[..100], &many[100..], &many[..100]]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_refused_has_not_the_message_whose_outcome_is_unknown() {
    const GREY: &str = "dora@else.test";
    for (pipelining, stops, resends) in
        [(true, false, false), (false, false, false), (true, true, false), (true, false, true)]
    {
        let uncertain = if resends { "resend" } else { "hold" };
        let options = json!({"uncertain": uncertain, "retry_first": 10});
        let (world, mut engine, account) = running(options).await;
        if !pipelining {
            script(&world, EHLO, When::Always, Action::line("250 mx.test"));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let refusal = Action::line("550 5.1.1 no such user");
        script(&world, RCPT, When::For(CARL.to_owned()), refusal);
        let grey = Action::line("450 4.7.1 greylisted");
        script(&world, RCPT, When::NthFor(1, GREY.to_owned()), grey);
        let act = if stops { Action::Hold } else { Action::End(Ending::Close) };
        script(&world, Point::SmtpAccepted, When::Nth(1), act);
        let id = message(&world, account, json!({"to": [BEN, CARL, GREY]})).await;
        if stops {
            let taken = |state: &postroom_sandbox::SandboxState| state.accepted().len() == 1;
            world.sandbox.wait_for(taken, Duration::from_secs(60)).await.unwrap();
            engine.stop().await;
            engine = world.start(world.settings()).await;
        }
        let ended = until_is(&world, id, "error").await;
        let ben = if resends { "sent" } else { "uncertain" };
        assert_eq!(states(&ended), [ben, "refused", "sent"], "{ended:?}");
        let code = if resends { "refused" } else { "uncertain" };
        assert_eq!(ended.text("errorCode"), Some(code), "{ended:?}");
        let reply = ended.get("recipients")[1]["reply"].as_str().unwrap().to_owned();
        assert_eq!(reply, "550 5.1.1 no such user");
        let second = if resends { vec![BEN, GREY] } else { vec![GREY] };
        assert_eq!(accepted(&world), [vec![BEN], second], "no second copy, and none for nobody");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lost_smtputf8_gets_the_message_for_all_that_have_ascii_addresses() {
    let (world, engine, account) = running(json!({"retry_first": 1, "retry_longest": 2})).await;
    let busy = Action::farewell("451 4.3.0 backend busy");
    let rule = script(&world, Point::SmtpDot, When::Nth(1), busy);
    let id = message(&world, account, json!({"to": ["jürgen@else.test", BEN]})).await;
    until_acted(&world, rule).await;
    world.sandbox.edit(|state| state.smtp_capabilities.without.push("SMTPUTF8".to_owned()));
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), ["refused", "sent"]);
    // A kept connection ends, and the next one is to a server without it.
    world.sandbox.edit(|state| state.smtp_capabilities.without.clear());
    tokio::time::sleep(Duration::from_secs(60)).await;
    until_is(&world, message(&world, account, json!({"to": [BEN]})).await, "sent").await;
    world.sandbox.edit(|state| state.smtp_capabilities.without.push("SMTPUTF8".to_owned()));
    script(&world, MAIL, When::First(1), Action::End(Ending::Close));
    let id = message(&world, account, json!({"to": ["jürgen@else.test", BEN]})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), ["refused", "sent"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_never_named_gets_the_message_after_a_stop_at_the_dot() {
    let (world, engine, account) = running(json!({})).await;
    let (id, many) = to_101(&world, account, Action::Hold).await;
    let taken = |state: &postroom_sandbox::SandboxState| state.accepted().len() == 1;
    world.sandbox.wait_for(taken, Duration::from_secs(60)).await.unwrap();
    engine.stop().await;
    let engine = world.start(world.settings()).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(states(&ended), [vec!["uncertain"; 100], vec!["sent"]].concat());
    assert_eq!(accepted(&world), [&many[..100], &many[100..]]);
    engine.stop().await;
}

/// Ten recipients.
fn ten() -> Vec<String> {
    (0..10).map(|at| format!("r{at}@else.test")).collect()
}

#[tokio::test(start_paused = true)]
async fn those_that_are_too_many_for_a_server_are_named_in_the_next_transaction() {
    for words in [
        "452 4.5.3 too many recipients",
        "550 5.7.1 Too many recipients",
        "552 5.5.3 no more",
        "554 5.7.0 maximum number of recipients reached",
    ] {
        let (world, engine, account) = running(json!({})).await;
        for nth in 7..=10 {
            script(&world, RCPT, When::Nth(nth), Action::line(words));
        }
        let id = message(&world, account, json!({"to": ten()})).await;
        let sent = until_is(&world, id, "sent").await;
        assert_eq!((sent.number("attempts"), count_of(&world, "QUIT")), (Some(1), 0), "{words}");
        assert_eq!(accepted(&world), [&ten()[..6], &ten()[6..]], "{words}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_recipients_is_a_refusal_where_none_was_accepted() {
    let (world, engine, account) = running(json!({})).await;
    script(&world, RCPT, When::Always, Action::line("550 5.7.1 Too many recipients"));
    let id = message(&world, account, json!({"to": [BEN]})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!((ended.text("errorCode"), states(&ended)), (Some("refused"), vec!["refused"]));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_about_its_recipient_alone() {
    #[rustfmt::skip]
    let table = [
        // reply,                           state,     named how often after one that was accepted
        ("552 mailbox full",                "refused",  1),
        ("552 5.0.0 storage exceeded",      "refused",  1),
        ("552 no more",                     "refused",  2),
        ("452 mailbox full",                "deferred", 1),
        ("452 4.0.0 no more",               "deferred", 2),
    ];
    for (reply, state, again) in table {
        for (to, named) in [(vec![CARL], 1), (vec![BEN, CARL], again), (vec![CARL, BEN], 1)] {
            let (world, engine, account) = running(json!({"retry_first": 600})).await;
            script(&world, RCPT, When::For(CARL.to_owned()), Action::line(reply));
            let began = Instant::now();
            let full = message(&world, account, json!({"to": to.clone()})).await;
            let other = message(&world, account, json!({"to": [BEN]})).await;
            until_is(&world, other, "sent").await;
            assert!(began.elapsed() < Duration::from_secs(5), "{reply}: {:?}", began.elapsed());
            let full = world.until(MESSAGES, full, |it| states(it).contains(&state)).await;
            let (waits, code) = (state == "deferred", full.text("errorCode"));
            assert_eq!(is(&full, "sending"), waits, "{reply}: {full:?}");
            assert_eq!(code, Some(if waits { "postponed" } else { "refused" }), "{reply}");
            assert_eq!(full.number("attempts"), Some(1), "{reply}");
            let text = full.text("errorText").unwrap();
            assert!(text.contains(&format!("{CARL}: {reply}")), "{text}");
            let told = world.until(ACCOUNTS, account, |_| true).await;
            assert_eq!((told.text("state"), told.text("statusText")), (Some("ready"), None));
            let named_now = world.sandbox.transcript();
            let of_carl = named_now.iter().filter(|line| line.text.contains(CARL)).count();
            assert_eq!((of_carl, accepted(&world).len()), (named, to.len()), "{reply} {to:?}");
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_are_too_many_for_all_transactions_of_a_session_get_the_message_over_another() {
    let (world, engine, account) = running(json!({})).await;
    // The seventh and all later ones are refused, in that session.
    for nth in 7..=14 {
        script(&world, RCPT, When::Nth(nth), Action::line("550 5.7.1 Too many recipients"));
    }
    let began = Instant::now();
    let id = message(&world, account, json!({"to": ten()})).await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!((sent.number("attempts"), states(&sent)), (Some(1), vec!["sent"; 10]));
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(accepted(&world), [&ten()[..6], &ten()[6..]]);
    let sessions = sessions_of_mail(&world);
    assert_ne!(sessions[1], sessions[2]);
    engine.stop().await;
}

/// The connection of each MAIL.
fn sessions_of_mail(world: &World) -> Vec<u64> {
    let transcript = world.sandbox.transcript().into_iter();
    transcript.filter(|line| line.command == "MAIL").map(|line| line.connection).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_had_its_number_of_recipients_costs_the_next_message_nothing() {
    let table = [
        (RCPT, "550 Too many recipients"),
        (RCPT, "550 5.7.1 Too many recipients"),
        (RCPT, "452 4.5.3 Too many recipients"),
        (RCPT, "451 4.7.1 too many recipients"),
        (Point::SmtpDot, "554 5.7.1 too many recipients"),
    ];
    for (on, words) in table {
        let (world, engine, account) = running(json!({"retry_first": 600})).await;
        script(&world, on, When::Nth(2), Action::line(words));
        let first = message(&world, account, json!({"to": [BEN]})).await;
        until_is(&world, first, "sent").await;
        let began = Instant::now();
        let second = message(&world, account, json!({"to": [CARL]})).await;
        let sent = until_is(&world, second, "sent").await;
        assert_eq!((sent.number("attempts"), accepted(&world).len()), (Some(1), 2), "{words}");
        // A limit of the account would pause it.
        assert!(began.elapsed() < Duration::from_millis(900), "{words}: {:?}", began.elapsed());
        let sessions = sessions_of_mail(&world);
        assert_eq!(sessions.len(), 3, "{words}");
        assert_eq!((sessions[0] == sessions[1], sessions[1] == sessions[2]), (true, false));
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_recipients_without_an_accepted_message_is_a_limit_of_the_account() {
    let (world, engine, account) = running(json!({})).await;
    let words = "452 4.5.3 Too many recipients";
    script(&world, RCPT, When::First(2), Action::line(words));
    let began = Instant::now();
    let id = message(&world, account, json!({"to": [CARL]})).await;
    world.until(ACCOUNTS, account, |it| is_told(it, words)).await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(sent.number("attempts"), Some(1));
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    engine.stop().await;
}

/// Whether the account says these words.
pub fn is_told(account: &Entity, words: &str) -> bool {
    account.text("statusText").is_some_and(|text| text.contains(words))
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_refused_for_the_number_of_its_recipients_goes_to_half_of_them() {
    for (on, words) in
        [(Point::SmtpDot, "554 5.7.1 too many recipients"), (DATA, "550 5.5.3 too many recipients")]
    {
        let (world, engine, account) = running(json!({})).await;
        script(&world, on, When::First(2), Action::line(words));
        let id = message(&world, account, json!({"to": ten()})).await;
        let sent = until_is(&world, id, "sent").await;
        assert_eq!(sent.number("attempts"), Some(1), "{words}");
        let named: Vec<_> = accepted(&world).iter().map(Vec::len).collect();
        assert_eq!((named, accepted(&world).concat()), (vec![2; 5], ten()), "{words}");
        // To one, it is refused.
        script(&world, on, When::Always, Action::line(words));
        let id = message(&world, account, json!({"to": [BEN]})).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(ended.text("errorCode"), Some("refused"), "{words}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limits_that_a_server_announces_are_kept() {
    let (world, engine, account) = running(json!({})).await;
    let limits = "LIMITS RCPTMAX=4 MAILMAX=2".to_owned();
    world.sandbox.edit(|state| state.smtp_capabilities.with.push(limits));
    // The connection that knows nothing of it is closed by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let many: Vec<_> = (0..100).map(|at| format!("r{at}@else.test")).collect();
    let (first, second) = (
        message(&world, account, json!({"to": many})).await,
        message(&world, account, json!({"to": [BEN]})).await,
    );
    for id in [first, second] {
        let sent = until_is(&world, id, "sent").await;
        assert_eq!(sent.number("attempts"), Some(1), "{sent:?}");
    }
    let named = [many.chunks(4).map(<[_]>::to_vec).collect(), vec![vec![BEN.to_owned()]]].concat();
    assert_eq!(accepted(&world), named);
    let mut mails = std::collections::BTreeMap::<_, u32>::new();
    for line in world.sandbox.transcript() {
        let of_connection = mails.entry(line.connection).or_default();
        *of_connection += u32::from(line.command == "MAIL");
    }
    assert_eq!(mails.values().filter(|count| **count == 2).count(), 13);
    assert!(mails.values().all(|count| *count <= 2), "{mails:?}");
    // Each is closed in order.
    assert!(count_of(&world, "QUIT") >= 13);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_one_message_in_each_session_keeps_it_from_nobody() {
    for act in [Action::End(Ending::Close), Action::line("550 5.7.0 one message in each session")] {
        let (world, engine, account) = running(json!({})).await;
        for nth in [2, 4, 6] {
            script(&world, MAIL, When::Nth(nth), act.clone());
        }
        let many: Vec<_> = (0..350).map(|at| format!("r{at}@else.test")).collect();
        let id = message(&world, account, json!({"to": many})).await;
        let sent = until_is(&world, id, "sent").await;
        assert_eq!(sent.number("attempts"), Some(1), "{act:?}");
        assert_eq!(accepted(&world).concat(), many);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_are_too_many_for_a_session_are_named_one_by_one() {
    let (world, engine, account) = running(json!({})).await;
    let many = ten();
    // As a server that ends each session in which more than six go together.
    for address in &many[6..] {
        let act = Action::farewell("421 4.5.3 too many recipients");
        script(&world, RCPT, When::NthFor(1, address.clone()), act);
    }
    let id = message(&world, account, json!({"to": many})).await;
    let sent = until_is(&world, id, "sent").await;
    assert_eq!(states(&sent), ["sent"; 10]);
    let named: Vec<_> = accepted(&world).iter().map(Vec::len).collect();
    assert_eq!(named, [6, 1, 1, 1, 1]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_smtputf8_gets_the_message_for_all_that_have_ascii_addresses() {
    let (world, engine, account) = running(json!({})).await;
    world.sandbox.edit(|state| state.smtp_capabilities.without.push("SMTPUTF8".to_owned()));
    // The connection that knows nothing of it is closed by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let id = message(&world, account, json!({"to": ["jürgen@else.test", BEN]})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(
        (ended.text("errorCode"), states(&ended)),
        (Some("refused"), vec!["refused", "sent"])
    );
    assert_eq!(accepted(&world), [[BEN]]);
    let mail = world.sandbox.accepted().remove(0);
    assert!(mail.bytes.is_ascii() && !mail.parameters.contains(&"SMTPUTF8".to_owned()), "{mail:?}");
    let only = message(&world, account, json!({"to": ["jürgen@else.test"]})).await;
    let ended = until_is(&world, only, "error").await;
    assert_eq!(states(&ended), ["refused"]);
    assert_eq!(world.sandbox.accepted().len(), 1);
    let lines = world.sandbox.transcript();
    assert!(lines.iter().all(|line| !line.text.contains("rgen@")), "the server is not asked");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_whose_address_the_server_cannot_take_is_named_as_the_one_at_fault() {
    let (world, engine, account) = running(json!({})).await;
    world.sandbox.edit(|state| state.smtp_capabilities.without.push("SMTPUTF8".to_owned()));
    // The connection that knows nothing of it is closed by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for to in [vec![BEN], vec![BEN, "jürgen@else.test"], vec!["jürgen@else.test"]] {
        let values = json!({"to": to, "from": "ännä@demo.test"});
        let id = message(&world, account, values).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(ended.text("errorCode"), Some("refused"));
        let recipients = ended.get("recipients").as_array().unwrap();
        let replies = recipients.iter().map(|one| one["reply"].as_str().unwrap());
        for why in replies.chain(ended.text("errorText")) {
            assert!(why.contains("the sender, ännä@demo.test, has letters outside ASCII"), "{why}");
            assert!(why.contains("send from another address"), "{why}");
            assert!(!why.contains("jürgen"), "{why}");
        }
    }
    assert!(accepted(&world).is_empty());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_client_could_send_ends_and_names_the_property() {
    let (world, engine, account) = running(json!({})).await;
    for (values, want) in [
        (json!({"to": ["nobody"]}), "to[0]: has no '@'"),
        (json!({"to": []}), "to: names no recipient"),
        (json!({"to": [BEN], "headers": [["Subject", "x"]]}), "headers[0]: is a field that"),
    ] {
        let id = message(&world, account, values).await;
        let ended = until_is(&world, id, "error").await;
        assert_eq!(ended.text("errorCode"), Some("invalid"), "{ended:?}");
        let why = ended.text("errorText").unwrap();
        assert!(why.contains(want), "{why}");
    }
    assert!(accepted(&world).is_empty());
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_belongs_to_the_thread_of_the_message_that_it_answers() {
    let (world, engine, account) = running(json!({})).await;
    let earlier = json!({
        "account_id": account.to_string(), "messageDirection": "out", "to": [BEN],
        "messageId": "two@demo.test", "references": ["zero@demo.test", "one@demo.test"],
    });
    world.create(MESSAGES, earlier).await;
    let answer = json!({"to": [BEN], "inReplyTo": ["two@demo.test"], "replyTo": [CARL]});
    let id = message(&world, account, answer).await;
    let sent = until_is(&world, id, "sent").await;
    let thread = json!(["zero@demo.test", "one@demo.test", "two@demo.test"]);
    assert_eq!(sent.get("references"), &thread);
    let bytes = world.sandbox.accepted().remove(0).bytes;
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let unfolded = text.replace("\r\n ", " ");
    assert!(unfolded.contains("In-Reply-To: <two@demo.test>\r\n"), "{text}");
    let references = "References: <zero@demo.test> <one@demo.test> <two@demo.test>\r\n";
    assert!(unfolded.contains(references), "{text}");
    assert!(unfolded.contains("Reply-To: carl@else.test\r\n"), "{text}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_an_account_that_only_receives_ends_and_says_what_to_set() {
    let (world, engine, account) = running(json!({})).await;
    let rule = script(&world, MAIL, When::Always, Action::line("451 4.3.0 not now"));
    let id = message(&world, account, json!({"to": [BEN]})).await;
    until_waits(&world, id, "451 4.3.0 not now").await;
    let profile = world.list(postroom_model::builtin::PROFILES).await.remove(0).id;
    world.change(postroom_model::builtin::PROFILES, profile, json!({"smtpHost": null})).await;
    let ended = until_is(&world, id, "error").await;
    assert_eq!(ended.text("errorCode"), Some("cannot_send"), "{ended:?}");
    assert!(ended.text("errorText").unwrap().contains("smtpHost"), "{ended:?}");
    world.sandbox.unscript(rule);
    assert!(accepted(&world).is_empty());
    engine.stop().await;
}
