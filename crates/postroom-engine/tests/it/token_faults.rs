//! Access tokens while something is wrong: a clock, a provider that is away or wants to be left in
//! peace, an answer that was lost.

use crate::oauth::LONG;
use crate::oauth::OAuthWorld;
use crate::oauth::is;
use crate::oauth::says;
use crate::world::ANNA;
use postroom_engine::Settings;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::oauth::TokenSlot;
use postroom_sandbox::TokenFault;
use postroom_store::TokenStep;
use serde_json::json;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

/// Settings by which each poll needs a login.
fn restless(world: &OAuthWorld) -> Settings {
    Settings { connection_longest: Duration::from_secs(10), ..world.settings() }
}

/// A message arrives and one is sent, each minute. No account fails or says anything.
async fn mail_flows(world: &OAuthWorld, account: EntityId, minutes: usize) {
    for _ in 0..minutes {
        let before = world.world.list(MESSAGES).await.len();
        world.world.sandbox.deliver(ANNA, "INBOX", "Subject: in\r\n\r\nx\r\n").unwrap();
        let message = world.send(account, "out").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.until_sent(message).await;
        world.world.until_messages(before + 2).await;
        let shown = world.until(account, |_| true).await;
        assert!(is(&shown, "ready") && shown.text("statusText").is_none(), "{shown:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_by_an_hour_costs_few_questions_and_no_account() {
    let life = Duration::from_secs(600);
    for off_ms in [HOUR_MS, -HOUR_MS] {
        let world = OAuthWorld::new("XOAUTH2", life).await;
        world.provider.live(life);
        world.provider.rotate();
        let account = world.account(&world.provider.consent(ANNA)).await;
        let engine = world.world.start(restless(&world)).await;
        world.until(account, |it| is(it, "ready")).await;
        world.world.monitor("INBOX", json!({})).await;
        mail_flows(&world, account, 2).await;
        assert_eq!(world.provider.asked().len(), 1);

        // It jumps while a token is in use.
        world.world.set_clock_wrong(off_ms);
        mail_flows(&world, account, 20).await;
        let asked = world.provider.asked().len();
        assert!(asked <= 5, "{asked} questions in 22 minutes, {off_ms}");

        // It jumps back while Postroom does not run, which then knows the token's end alone.
        engine.stop().await;
        world.world.set_clock_wrong(0);
        let engine = world.world.start(restless(&world)).await;
        mail_flows(&world, account, 20).await;
        let more = world.provider.asked().len() - asked;
        assert!(more <= 5, "{more} questions in 20 minutes, {off_ms}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_a_provider_cost_no_mail_and_few_questions() {
    for fault in [TokenFault::Status(503), TokenFault::Silent] {
        let life = Duration::from_secs(300);
        let world = OAuthWorld::new("XOAUTH2", life).await;
        world.provider.live(life);
        let account = world.account(&world.provider.consent(ANNA)).await;
        let engine = world.world.start(restless(&world)).await;
        world.until(account, |it| is(it, "ready")).await;
        world.world.monitor("INBOX", json!({})).await;
        world.provider.always(Some(fault));
        let mut sent = vec![];
        for _ in 0..20 {
            world.world.sandbox.deliver(ANNA, "INBOX", "Subject: in\r\n\r\nx\r\n").unwrap();
            sent.push(world.send(account, "out").await);
            tokio::time::sleep(Duration::from_secs(30)).await;
            let shown = world.until(account, |_| true).await;
            assert!(!is(&shown, "failed") && !says(&shown, "check login"), "{shown:?}");
        }
        let down = world.until(account, |it| is(it, "degraded")).await;
        assert!(says(&down, "the OAuth app `ours` gets no access token"), "{down:?}");
        let asked = world.provider.asked().len();
        assert!(asked <= 20, "{fault:?}: {asked} questions in 10 minutes");
        world.provider.always(None);
        world.until(account, |it| is(it, "ready") && it.text("tokenState") == Some("valid")).await;
        world.world.until_messages(40).await;
        for message in sent {
            world.until_sent(message).await;
        }
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn neither_server_asks_a_provider_before_it_wants_to_be_asked() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.always(Some(TokenFault::AsksToWait(500)));
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    world.until(account, |it| says(it, "it answers 429")).await;
    // Whatever makes an account try: messages, and people who ask for it.
    for _ in 0..9 {
        world.send(account, "out").await;
        let domain = Domain::default_domain();
        world.world.store.account_try(&domain, AccountId::of(account)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    let asked = world.provider.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_an_endless_pause_is_asked_within_the_hour() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.then(&[TokenFault::AsksToWait(u64::MAX)]);
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    world.until(account, |it| says(it, "it answers 429")).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.until(account, |it| is(it, "ready")).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn both_servers_that_need_a_token_at_the_same_time_ask_for_one() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.rotate();
    world.provider.always(Some(TokenFault::Slow(Duration::from_secs(5))));
    let account = world.account(&world.provider.consent(ANNA)).await;
    let message = world.send(account, "out").await;
    let engine = world.world.start(world.settings()).await;
    world.until(account, |it| is(it, "ready")).await;
    world.until_sent(message).await;
    assert_eq!((world.provider.asked().len(), world.provider.at_once()), (1, 1));
    engine.stop().await;
}

/// Notes that a process ended in the middle of a question.
async fn interrupt(world: &OAuthWorld, account: EntityId) {
    let store = &world.world.store;
    let row = store.account_find(AccountId::of(account)).await.unwrap().unwrap();
    let step = TokenStep::Asking(Timestamp::from_ms(store.clock().now_ms()));
    assert!(store.token_step(&row, TokenSlot::Account, &step).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_a_kill_interrupted_is_asked_again_at_once() {
    // The provider takes the former token for a short time only, and the access token lives for
    // long.
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    world.until(account, |it| is(it, "ready")).await;
    engine.stop().await;
    interrupt(&world, account).await;
    let engine = world.world.start(world.settings()).await;
    let whole = |it: &Entity| is(it, "ready") && it.text("refreshingSince").is_none();
    world.until(account, whole).await;
    assert_eq!(world.provider.asked().len(), 2);
    engine.stop().await;

    // If it is away, the token that is good is used.
    interrupt(&world, account).await;
    world.provider.always(Some(TokenFault::Status(503)));
    let engine = world.world.start(world.settings()).await;
    world.world.monitor("INBOX", json!({})).await;
    world.world.sandbox.deliver(ANNA, "INBOX", "Subject: in\r\n\r\nx\r\n").unwrap();
    world.world.until_messages(1).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_named_until_somebody_consents_again() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.rotate();
    world.provider.then(&[TokenFault::Cut]);
    let account = world.account(&world.provider.consent(ANNA)).await;
    let message = world.send(account, "out").await;
    let mut asked = None;
    for _ in 0..3 {
        let engine = world.world.start(world.settings()).await;
        world.until(account, |it| is(it, "failed")).await;
        tokio::time::sleep(Duration::from_secs(1_000)).await;
        let failed = world.until(account, |it| is(it, "failed")).await;
        assert!(says(&failed, "its answer is lost"), "{failed:?}");
        engine.stop().await;
        let now = world.provider.asked().len();
        assert_eq!(*asked.get_or_insert(now), now, "a refused token is not tried again");
    }
    let engine = world.world.start(world.settings()).await;
    let again = json!({"refreshToken": world.provider.consent(ANNA)});
    world.world.change(ACCOUNTS, account, again).await;
    let ready = world.until(account, |it| is(it, "ready")).await;
    assert_eq!(ready.text("refreshingSince"), None, "{ready:?}");
    world.until_sent(message).await;
    engine.stop().await;
}
