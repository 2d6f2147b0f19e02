//! Access tokens: got by a consent, replaced ahead of their end, and what becomes of mail if there
//! is none.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::World;
use postroom_engine::Dialing;
use postroom_engine::Settings;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::OAUTH_APPS;
use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Network;
use postroom_net::Trust;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::Protocol;
use postroom_sandbox::Sandbox;
use postroom_sandbox::TokenFault;
use postroom_sandbox::TokenServer;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

/// The port of the provider.
const TOKENS: u16 = 8080;

/// Leads to the sandbox and to the provider.
struct Net {
    sandbox: Arc<Sandbox>,
    provider: TokenServer,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Network for Net {
    fn dial(&self, _host: &str, port: u16) -> Dialed {
        let stream = match port {
            TOKENS => {
                let (client, server) = tokio::io::duplex(64 * 1024);
                let provider = self.provider.clone();
                tokio::spawn(async move { provider.serve(server).await });
                client
            }
            143 => self.sandbox.connect(Protocol::Imap),
            _ => self.sandbox.connect(Protocol::Smtp),
        };
        Box::pin(async move { Ok(stream) })
    }
}

/// A world whose servers take tokens alone, and end each after a while.
pub struct OAuthWorld {
    pub world: World,
    pub provider: TokenServer,
    pub app: EntityId,
}

impl OAuthWorld {
    /// `life`: how long the mail servers take a token, whatever the provider says.
    pub async fn new(mechanism: &str, life: Duration) -> Self {
        let world = World::new().await;
        let provider = TokenServer::default();
        world.sandbox.edit(|state| {
            let words = |text: &str| text.split('|').map(str::to_owned).collect();
            state.imap_capabilities = CapabilityChanges {
                without: words("AUTH=PLAIN"),
                with: words(&format!("LOGINDISABLED|AUTH={mechanism}")),
            };
            state.smtp_capabilities = CapabilityChanges {
                without: words("AUTH"),
                with: words(&format!("AUTH {mechanism}")),
            };
        });
        let sandbox = Arc::clone(&world.sandbox);
        let last: Arc<Mutex<String>> = Arc::default();
        provider.on_token(move |user, token| {
            sandbox.edit(|state| state.add_user(user, token));
            token.clone_into(&mut last.lock().unwrap());
            let (sandbox, last) = (Arc::clone(&sandbox), Arc::clone(&last));
            let (user, token) = (user.to_owned(), token.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(life).await;
                if *last.lock().unwrap() == token {
                    sandbox.edit(|state| state.add_user(&user, "ended"));
                }
            });
        });
        let app = json!({
            "name": "ours", "tokenUrl": format!("http://localhost:{TOKENS}/token"),
            "clientId": "client", "clientSecret": "hush", "scopes": ["mail"],
        });
        let app = world.create(OAUTH_APPS, app).await;
        Self { world, provider, app }
    }

    pub fn settings(&self) -> Settings {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let (sandbox, provider) = (Arc::clone(&self.world.sandbox), self.provider.clone());
        let dialer = dialer.over(Arc::new(Net { sandbox, provider }));
        let dialing = Dialing { dialer, ehlo_name: "client.test".to_owned() };
        Settings { dialing, ..self.world.settings() }
    }

    /// An account of ANNA with this refresh token.
    pub async fn account(&self, refresh_token: &str) -> EntityId {
        let account = json!({
            "address": ANNA, "oauthApp_id": self.app.to_string(), "smtpLogin": ANNA,
            "refreshToken": refresh_token, "options": {"after_read_timeout": 1},
        });
        self.world.account(account).await
    }

    pub async fn until(&self, account: EntityId, wanted: impl Fn(&Entity) -> bool) -> Entity {
        self.world.until(ACCOUNTS, account, wanted).await
    }

    pub async fn send(&self, account: EntityId, subject: &str) -> EntityId {
        let message = json!({
            "account_id": account.to_string(), "messageDirection": "out",
            "messageState": "sending", "to": [BEN], "subject": subject, "text": "Hello.\n",
        });
        self.world.create(MESSAGES, message).await
    }

    pub async fn until_sent(&self, message: EntityId) {
        let is_sent = |it: &Entity| it.text("messageState") == Some("sent");
        self.world.until(MESSAGES, message, is_sent).await;
    }
}

pub fn is(account: &Entity, state: &str) -> bool {
    account.text("state") == Some(state)
}

pub fn says(account: &Entity, text: &str) -> bool {
    account.text("statusText").is_some_and(|said| said.contains(text))
}

pub const LONG: Duration = Duration::from_secs(1_000_000);

#[tokio::test(start_paused = true)]
async fn a_consent_is_enough_to_receive_and_to_send() {
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let world = OAuthWorld::new(mechanism, LONG).await;
        let account = world.account(&world.provider.consent(ANNA)).await;
        let engine = world.world.start(world.settings()).await;
        let ready = world.until(account, |it| is(it, "ready")).await;
        assert_eq!(ready.text("tokenState"), Some("valid"));
        assert!(ready.text("tokenExpiresAt").is_some() && ready.text("refreshingSince").is_none());
        let message = world.send(account, "S").await;
        world.until_sent(message).await;
        let asked = world.provider.asked();
        assert_eq!(asked.len(), 1, "both servers have one token: {asked:?}");
        let want = [
            ("grant_type", "refresh_token"),
            ("client_id", "client"),
            ("client_secret", "hush"),
            ("scope", "mail"),
        ];
        for (name, value) in want {
            assert_eq!(asked[0].form[name], value, "{name}");
        }
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_live_two_seconds_are_replaced_one_at_a_time_while_mail_flows() {
    let life = Duration::from_secs(2);
    let world = OAuthWorld::new("XOAUTH2", life).await;
    world.provider.live(life);
    world.provider.rotate();
    let account = world.account(&world.provider.consent(ANNA)).await;
    // Each poll and each message needs a login.
    let settings = Settings { connection_longest: Duration::from_millis(500), ..world.settings() };
    let engine = world.world.start(settings).await;
    world.until(account, |it| is(it, "ready")).await;
    world.world.monitor("INBOX", json!({})).await;
    for number in 0..30 {
        let subject = format!("{number:02}");
        let mail = format!("Subject: {subject}\r\n\r\nx\r\n");
        world.world.sandbox.deliver(ANNA, "INBOX", mail).unwrap();
        let message = world.send(account, &format!("out {subject}")).await;
        world.until_sent(message).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let shown = world.until(account, |_| true).await;
        assert!(is(&shown, "ready"), "{shown:?}");
    }
    world.world.until_messages(60).await;
    let asked = world.provider.asked();
    assert!(asked.len() >= 8, "{}", asked.len());
    assert!(asked.iter().all(|one| one.status == Some(200)), "{asked:?}");
    assert_eq!(world.provider.at_once(), 1);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_before_its_time_costs_one_silent_question() {
    // The provider says an hour, and the mail servers take it for a minute.
    let world = OAuthWorld::new("XOAUTH2", Duration::from_secs(60)).await;
    let account = world.account(&world.provider.consent(ANNA)).await;
    let settings = Settings { connection_longest: Duration::from_secs(10), ..world.settings() };
    let engine = world.world.start(settings).await;
    world.until(account, |it| is(it, "ready")).await;
    world.world.monitor("INBOX", json!({})).await;
    for number in 0..5 {
        tokio::time::sleep(Duration::from_secs(61)).await;
        let mail = format!("Subject: {number}\r\n\r\nx\r\n");
        world.world.sandbox.deliver(ANNA, "INBOX", mail).unwrap();
        world.world.until_messages(number + 1).await;
        let shown = world.until(account, |_| true).await;
        assert!(is(&shown, "ready") && shown.text("statusText").is_none(), "{shown:?}");
    }
    assert!(world.provider.asked().len() >= 5);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_consent_names_who_has_to_do_what_and_mail_resumes_with_the_next() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let account = world.account(&world.provider.consent(ANNA)).await;
    world.provider.withdraw(ANNA);
    let engine = world.world.start(world.settings()).await;
    let failed = world.until(account, |it| is(it, "failed") && says(it, "invalid_grant")).await;
    assert!(says(&failed, &format!("let the owner of {ANNA} consent again")), "{failed:?}");
    assert!(!says(&failed, "check login"), "{failed:?}");
    assert_eq!(failed.text("tokenState"), Some("refused"));
    let message = world.send(account, "S").await;
    let waits = |it: &Entity| it.text("errorText").is_some_and(|text| text.contains("consent"));
    let waiting = world.world.until(MESSAGES, message, waits).await;
    assert_eq!(waiting.text("messageState"), Some("sending"));
    assert_eq!(waiting.number("attempts").unwrap_or(0), 0);

    let again = json!({"refreshToken": world.provider.consent(ANNA)});
    world.world.change(ACCOUNTS, account, again).await;
    let began = tokio::time::Instant::now();
    world.until(account, |it| is(it, "ready")).await;
    assert!(began.elapsed() < Duration::from_secs(30), "a consent is tried at once");
    world.until_sent(message).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_refresh_token_whose_answer_was_lost_is_named() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.rotate();
    world.provider.then(&[TokenFault::Cut]);
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    let failed = world.until(account, |it| is(it, "failed") && says(it, "invalid_grant")).await;
    assert!(says(&failed, "its answer is lost"), "{failed:?}");
    engine.stop().await;

    // A provider that takes the old one again loses nothing.
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.then(&[TokenFault::Cut]);
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    let ready = world.until(account, |it| is(it, "ready")).await;
    assert_eq!(ready.text("refreshingSince"), None);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_stops_nothing_before_the_token_ends() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.live(Duration::from_secs(600));
    let account = world.account(&world.provider.consent(ANNA)).await;
    let settings = Settings { connection_longest: Duration::from_secs(5), ..world.settings() };
    let engine = world.world.start(settings).await;
    world.until(account, |it| is(it, "ready")).await;
    world.world.monitor("INBOX", json!({})).await;
    world.provider.always(Some(TokenFault::Status(503)));
    let expiring = world.until(account, |it| it.text("tokenState") == Some("expiring")).await;
    assert!(is(&expiring, "ready"), "{expiring:?}");
    let down = world.until(account, |it| is(it, "degraded")).await;
    assert!(says(&down, "it answers 503") && !says(&down, "check login"), "{down:?}");

    // It is not asked more often than it wants.
    world.provider.always(Some(TokenFault::AsksToWait(500)));
    let count = world.provider.asked().len();
    while world.provider.asked().len() < count + 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = world.provider.asked();
    let pause = asked[count + 1].at - asked[count].at;
    assert!(pause >= Duration::from_secs(500), "{pause:?}");

    world.provider.always(None);
    world.world.sandbox.deliver(ANNA, "INBOX", "Subject: late\r\n\r\nx\r\n").unwrap();
    world.until(account, |it| is(it, "ready") && it.text("tokenState") == Some("valid")).await;
    world.world.until_messages(1).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_mailbox_is_refused_in_the_words_of_the_server() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let account = world.account(&world.provider.consent(BEN)).await;
    let engine = world.world.start(world.settings()).await;
    let failed = world.until(account, |it| is(it, "failed") && says(it, "AUTHENTICATE")).await;
    let words = ["the access token is not valid here", "the scope https://mail.example/"];
    assert!(words.iter().all(|words| says(&failed, words)), "{failed:?}");
    assert!(!says(&failed, "check login"), "{failed:?}");
    let message = world.send(account, "S").await;
    let waits = |it: &Entity| {
        let text = it.text("errorText").unwrap_or_default();
        text.contains("the access token is not valid here") && !text.contains("check login")
    };
    world.world.until(MESSAGES, message, waits).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_answer_of_a_provider() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    world.provider.rotate();
    world.provider.then(&[TokenFault::Slow(Duration::from_secs(10))]);
    let account = world.account(&world.provider.consent(ANNA)).await;
    let engine = world.world.start(world.settings()).await;
    while world.provider.asked().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    engine.stop().await;
    let shown = world.until(account, |_| true).await;
    assert_eq!(shown.text("tokenState"), Some("valid"), "{shown:?}");
    assert_eq!(world.provider.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn both_servers_may_have_tokens_of_their_own() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let account = world.account(&world.provider.consent(ANNA)).await;
    let own = json!({
        "smtpOauthApp_id": world.app.to_string(), "smtpLogin": BEN,
        "smtpRefreshToken": world.provider.consent(BEN),
    });
    world.world.change(ACCOUNTS, account, own).await;
    let engine = world.world.start(world.settings()).await;
    world.until(account, |it| is(it, "ready")).await;
    let message = world.send(account, "S").await;
    world.until_sent(message).await;
    let shown = world.until(account, |it| it.text("smtpTokenState") == Some("valid")).await;
    assert_eq!(shown.text("tokenState"), Some("valid"));
    assert_eq!(world.provider.asked().len(), 2);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_of_an_organisation_needs_no_consent() {
    for grant in ["client_credentials", "external"] {
        let world = OAuthWorld::new("XOAUTH2", LONG).await;
        world.provider.entitle("hush", Some(ANNA));
        world.world.change(OAUTH_APPS, world.app, json!({"grant": grant})).await;
        let account = json!({"address": ANNA, "oauthApp_id": world.app.to_string()});
        let account = world.world.account(account).await;
        let engine = world.world.start(world.settings()).await;
        let ready = world.until(account, |it| is(it, "ready")).await;
        assert_eq!(ready.text("tokenState"), Some("valid"), "{grant}");

        // Another secret that is wrong is the business of the administrator.
        world.provider.entitle("another", Some(ANNA));
        world.provider.live(Duration::from_secs(1));
        world.world.sandbox.edit(|state| state.add_user(ANNA, "ended"));
        world.world.sandbox.hang_up();
        let failed = world.until(account, |it| is(it, "failed")).await;
        assert!(says(&failed, "let its administrator check clientId"), "{grant} {failed:?}");
        world.world.change(OAUTH_APPS, world.app, json!({"clientSecret": "another"})).await;
        world.until(account, |it| is(it, "ready")).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_account_acts_for_a_mailbox_as_long_as_it_is_allowed() {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let key = world.provider.robot_account("robot@a.test");
    let service = json!({"grant": "jwt_bearer", "clientId": "robot@a.test"});
    world.world.change(OAUTH_APPS, world.app, service).await;
    let account =
        json!({"address": "team@demo.test", "login": ANNA, "oauthApp_id": world.app.to_string()});
    let account = world.world.account(account).await;
    let engine = world.world.start(world.settings()).await;
    world
        .until(account, |it| is(it, "failed") && says(it, "`privateKey` of the OAuth app `ours`"))
        .await;
    assert!(world.provider.asked().is_empty());

    world.world.change(OAUTH_APPS, world.app, json!({"privateKey": key})).await;
    world.until(account, |it| is(it, "ready")).await;
    let message = world.send(account, "S").await;
    world.until_sent(message).await;
    let asked = world.provider.asked();
    assert_eq!(asked.len(), 1, "both servers have one token");
    assert!(!asked[0].form.contains_key("client_id") && asked[0].form["scope"] == "mail");

    // Nobody lets it act any more.
    world.provider.delegate(false);
    world.provider.live(Duration::from_secs(1));
    world.world.sandbox.edit(|state| state.add_user(ANNA, "ended"));
    world.world.sandbox.hang_up();
    let failed =
        world.until(account, |it| is(it, "failed") && says(it, "unauthorized_client")).await;
    assert!(says(&failed, &format!("act for {ANNA}")) && says(&failed, "delegation"), "{failed:?}");

    // The key of another account signs, which the provider does not believe.
    let other = postroom_sandbox::TokenServer::default().robot_account("robot@a.test");
    world.provider.delegate(true);
    world.provider.live(LONG);
    world.world.change(OAUTH_APPS, world.app, json!({"privateKey": other})).await;
    world.until(account, |it| is(it, "failed") && says(it, "invalid_grant")).await;
    world.world.change(OAUTH_APPS, world.app, json!({"privateKey": key})).await;
    world.until(account, |it| is(it, "ready")).await;
    engine.stop().await;
}
