//! Where logins come from, when there is one, and what its errors lead to.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::CredentialAnswer;
use postroom_engine::CredentialError;
use postroom_engine::CredentialRequest;
use postroom_engine::CredentialSource;
use postroom_engine::ServerKind;
use postroom_engine::Settings;
use postroom_model::Entity;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_net::Credentials;
use postroom_net::Secret;
use secrecy::SecretString;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// What a scripted source does when it is asked.
#[derive(Debug, Clone, Copy)]
enum Say {
    Password(&'static str),
    NotNow(Option<u64>),
    NeedsPerson,
    Nothing,
}

/// A source that answers as it is told to. The last answer is repeated.
#[derive(Debug)]
struct Scripted {
    /// The user that the script is for. Others get the right password.
    user: &'static str,
    script: Mutex<VecDeque<Say>>,
    asked: Mutex<Vec<(Instant, ServerKind)>>,
}

impl Scripted {
    fn new(user: &'static str, script: &[Say]) -> Arc<Self> {
        let script = Mutex::new(script.iter().copied().collect());
        Arc::new(Self { user, script, asked: Mutex::default() })
    }

    fn say(&self) -> Say {
        let mut script = self.script.lock().unwrap();
        if script.len() > 1 { script.pop_front().unwrap() } else { *script.front().unwrap() }
    }

    fn then(&self, say: Say) {
        *self.script.lock().unwrap() = VecDeque::from([say]);
    }

    /// How long it took from each question about a server to the next.
    fn pauses(&self, server: ServerKind) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        let at: Vec<_> = asked.iter().filter(|(_, of)| *of == server).map(|(at, _)| *at).collect();
        at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl CredentialSource for Scripted {
    fn get<'a>(&'a self, request: &'a CredentialRequest) -> CredentialAnswer<'a> {
        Box::pin(async move {
            let password = |text: &str| Credentials {
                login: request.login.clone(),
                secret: Secret::Password(SecretString::from(text)),
            };
            if request.login != self.user {
                return Ok(password(PASSWORD));
            }
            self.asked.lock().unwrap().push((Instant::now(), request.server));
            match self.say() {
                Say::Password(text) => Ok(password(text)),
                Say::NotNow(after) => {
                    let after = after.map(Duration::from_secs);
                    let reason = "the token server is down".to_owned();
                    Err(CredentialError::Temporary { reason, after })
                }
                Say::NeedsPerson => {
                    let reason = "consent was withdrawn: open the link again".to_owned();
                    Err(CredentialError::NeedsPerson { reason })
                }
                Say::Nothing => std::future::pending().await,
            }
        })
    }
}

fn of(world: &World, source: &Arc<Scripted>) -> Settings {
    let source = Arc::clone(source);
    Settings { credentials: Some(source), ..world.settings() }
}

fn says(account: &Entity, text: &str) -> bool {
    account.text("statusText").is_some_and(|said| said.contains(text))
}

fn is(account: &Entity, state: &str) -> bool {
    account.text("state") == Some(state)
}

#[tokio::test(start_paused = true)]
async fn a_source_says_when_to_ask_again() {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA})).await;
    let source = Scripted::new(ANNA, &[Say::NotNow(Some(1000))]);
    let engine = world.start(of(&world, &source)).await;
    let shown = world.until(ACCOUNTS, account, |it| says(it, "the token server is down")).await;
    assert!(!says(&shown, "check login"), "{shown:?}");
    let logins = ["LOGIN", "AUTHENTICATE", "AUTH"];
    let lines = world.sandbox.transcript();
    assert!(lines.iter().all(|line| !logins.contains(&line.command.as_str())), "{lines:?}");
    source.then(Say::Password(PASSWORD));
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    for server in [ServerKind::Imap, ServerKind::Smtp] {
        let pauses = source.pauses(server);
        let at_least = if server == ServerKind::Imap { 1000 } else { 900 };
        assert!(pauses[0] >= Duration::from_secs(at_least), "{server:?} {pauses:?}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_login_to_be_had_is_no_wrong_login() {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA})).await;
    let mut script = vec![Say::NotNow(None); 10];
    script.push(Say::Password("wrong"));
    script.push(Say::Password(PASSWORD));
    let source = Scripted::new(ANNA, &script);
    let engine = world.start(of(&world, &source)).await;
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    // After three refusals in a row a login is tried once an hour.
    let pauses = source.pauses(ServerKind::Imap);
    assert!(pauses.iter().all(|pause| *pause < Duration::from_secs(600)), "{pauses:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_holds_up_its_own_account_alone() {
    let world = World::new().await;
    let anna = world.account(json!({"address": ANNA})).await;
    let ben = world.account(json!({"address": BEN})).await;
    let source = Scripted::new(ANNA, &[Say::Nothing]);
    let settings = Settings { connects_per_server_max: 1, ..of(&world, &source) };
    let (began, within) = (Instant::now(), settings.credentials_timeout);
    let engine = world.start(settings).await;
    world.until(ACCOUNTS, ben, |it| is(it, "ready")).await;
    assert!(began.elapsed() < within / 2, "{:?}", began.elapsed());
    let shown = world.until(ACCOUNTS, anna, |it| says(it, "did not answer within 60 s")).await;
    assert!(says(&shown, "did not answer"), "{shown:?}");
    source.then(Say::Password(PASSWORD));
    world.until(ACCOUNTS, anna, |it| is(it, "ready")).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_login_and_for_a_person() {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA, "smtpLogin": ANNA})).await;
    let source = Scripted::new(ANNA, &[Say::NeedsPerson]);
    let engine = world.start(of(&world, &source)).await;
    world.until(ACCOUNTS, account, |it| says(it, "consent was withdrawn")).await;
    let message = world
        .create(
            MESSAGES,
            json!({
                "account_id": account.to_string(), "messageDirection": "out",
                "messageState": "sending", "to": [BEN], "subject": "S", "text": "Hello.\n",
            }),
        )
        .await;
    let waits = |it: &Entity| it.text("errorText").is_some_and(|text| text.contains("consent"));
    let waiting = world.until(MESSAGES, message, waits).await;
    assert_eq!(waiting.text("messageState"), Some("sending"));
    assert!(waiting.number("attempts").unwrap_or(0) == 0, "{waiting:?}");
    assert!(is(&world.until(ACCOUNTS, account, |it| is(it, "failed")).await, "failed"));

    source.then(Say::NotNow(None));
    world.change(ACCOUNTS, account, json!({"password": "saved anew"})).await;
    let waits = |it: &Entity| it.text("errorText").is_some_and(|text| text.contains("is down"));
    world.until(MESSAGES, message, waits).await;
    source.then(Say::Password(PASSWORD));
    world.until(MESSAGES, message, |it| it.text("messageState") == Some("sent")).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_saved_is_taken_at_the_next_login() {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA, "password": "old"})).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| says(it, "check login and password")).await;
    world.change(ACCOUNTS, account, json!({"password": PASSWORD})).await;
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_without_a_password_says_so() {
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA})).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| says(it, "has no password: set `password`")).await;
    engine.stop().await;
}
