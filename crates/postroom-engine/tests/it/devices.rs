//! Consents on other devices: from a code that is typed there to mail that flows, and how they end
//! otherwise.

use crate::oauth::LONG;
use crate::oauth::OAuthWorld;
use crate::oauth::is;
use crate::oauth::says;
use crate::world::ANNA;
use postroom_engine::ConsentError;
use postroom_engine::DevicePage;
use postroom_engine::Supervisor;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth_device::DeviceState;
use postroom_sandbox::TokenFault;
use postroom_sandbox::TokenQuestion;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const SLOT: TokenSlot = TokenSlot::Account;

/// A world whose app gives codes, an account of it, and an engine.
struct DeviceWorld {
    oauth: OAuthWorld,
    account: EntityId,
    engine: Supervisor,
}

impl DeviceWorld {
    async fn new() -> Self {
        let oauth = OAuthWorld::new("XOAUTH2", LONG).await;
        let device = json!({"deviceUrl": "http://localhost:8080/device"});
        oauth.world.change(OAUTH_APPS, oauth.app, device).await;
        let account = json!({"address": ANNA, "oauthApp_id": oauth.app.to_string()});
        let account = oauth.world.account(account).await;
        let engine = oauth.world.start(oauth.settings()).await;
        Self { oauth, account, engine }
    }

    async fn begin(&self) -> Result<DevicePage, ConsentError> {
        let (domain, of) = (Domain::default_domain(), AccountId::of(self.account));
        self.engine.device_consents().start(&domain, of, SLOT).await
    }

    async fn begun(&self) -> String {
        self.begin().await.unwrap().user_code
    }

    /// How the last one is, and why.
    async fn seen(&self) -> (DeviceState, String) {
        let (domain, of) = (Domain::default_domain(), AccountId::of(self.account));
        let seen = self.oauth.world.store.device_seen(&domain, of, SLOT).await.unwrap().unwrap();
        (seen.state, seen.detail.unwrap_or_default())
    }

    /// Waits for its end.
    async fn end(&self) -> (DeviceState, String) {
        let began = Instant::now();
        loop {
            let seen = self.seen().await;
            if seen.0 != DeviceState::Pending {
                return seen;
            }
            assert!(began.elapsed() < Duration::from_secs(1800), "{seen:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The questions with a device code.
    fn asked(&self) -> Vec<TokenQuestion> {
        let all = self.oauth.provider.asked().into_iter();
        all.filter(|one| one.form.contains_key("device_code")).collect()
    }

    /// Waits until the provider was asked so often.
    async fn asked_times(&self, times: usize) {
        let began = Instant::now();
        while self.asked().len() < times {
            assert!(began.elapsed() < Duration::from_secs(1800), "{}", self.asked().len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The seconds between the questions.
    fn pauses(&self) -> Vec<u64> {
        let asked = self.asked();
        let pair = |pair: &[TokenQuestion]| pair[1].at.duration_since(pair[0].at);
        asked.windows(2).map(|it| (pair(it) + Duration::from_millis(300)).as_secs()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_on_another_device_makes_an_account_work() {
    let world = DeviceWorld::new().await;
    let start = format!("POST /rest/v1/oauth/device?account={} gives", world.account);
    world.oauth.until(world.account, |it| is(it, "failed") && says(it, &start)).await;
    let page = world.begin().await.unwrap();
    assert_eq!(page.verification_uri, "http://localhost:8080/activate");
    let whole = format!("{}?user_code={}", page.verification_uri, page.user_code);
    assert_eq!(page.verification_uri_complete, Some(whole));
    world.asked_times(3).await;
    assert_eq!(world.seen().await.0, DeviceState::Pending);
    assert!(world.oauth.provider.decide(&page.user_code, Some(ANNA)));
    assert_eq!(world.end().await.0, DeviceState::Given);
    let began = Instant::now();
    let ready = world.oauth.until(world.account, |it| is(it, "ready")).await;
    assert!(began.elapsed() < Duration::from_secs(30), "a consent is tried at once");
    assert!(ready.text("consentedAt").is_some());
    let message = world.oauth.send(world.account, "S").await;
    world.oauth.until_sent(message).await;

    let asked = world.asked();
    assert!(world.pauses().iter().all(|seconds| *seconds == 1), "{:?}", world.pauses());
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    assert!(asked.iter().all(|one| one.form["grant_type"] == grant));
    assert!(asked.iter().all(|one| one.form["client_secret"] == "hush"));
    assert!(!asked[0].form.contains_key("scope"), "it was chosen before");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.asked().len(), asked.len(), "a consent that was given asks nobody");
    world.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_wants_it_is_asked_less_often_and_one_that_is_away_too() {
    let world = DeviceWorld::new().await;
    let away = TokenFault::Status(503);
    let faults = [TokenFault::Says("slow_down"), TokenFault::Says("slow_down"), away, away];
    world.oauth.provider.then(&faults);
    let code = world.begun().await;
    world.asked_times(6).await;
    // 5 s more for each `slow_down`, and twice as long without an answer.
    assert_eq!(world.pauses(), [6, 11, 22, 44, 44]);
    assert!(world.oauth.provider.decide(&code, Some(ANNA)));
    assert_eq!(world.end().await.0, DeviceState::Given);
    world.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_end_without_tokens_says_which_it_is() {
    let world = DeviceWorld::new().await;
    let provider = &world.oauth.provider;
    let code = world.begun().await;
    assert!(provider.decide(&code, None));
    let denied = world.end().await;
    assert_eq!(denied, (DeviceState::Denied, "it answers 400: access_denied".to_owned()));

    // The provider says so, or the time is over.
    provider.then(&[TokenFault::Says("expired_token")]);
    world.begun().await;
    let expired = world.end().await;
    assert_eq!(expired, (DeviceState::Expired, "it answers 400: expired_token".to_owned()));
    provider.devices_live(Duration::from_secs(30));
    provider.always(Some(TokenFault::Status(503)));
    world.begun().await;
    let began = Instant::now();
    assert_eq!(
        world.end().await,
        (
            DeviceState::Expired,
            "nobody consented in time; the answer to \
        an earlier question was lost, and if it had the tokens, they are lost too: begin again"
                .to_owned()
        )
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    provider.always(None);

    provider.then(&[TokenFault::Says("invalid_client")]);
    world.begun().await;
    let failed = world.end().await;
    assert_eq!(failed, (DeviceState::Failed, "it answers 400: invalid_client".to_owned()));
    // Any other error ends it as well (RFC 8628 §3.5).
    provider.then(&[TokenFault::Says("out_of_cheese")]);
    world.begun().await;
    let failed = world.end().await;
    assert_eq!(failed, (DeviceState::Failed, "it answers 400: out_of_cheese".to_owned()));
    let shown = world.oauth.until(world.account, |_| true).await;
    assert_eq!(shown.text("consentedAt"), None, "nothing has changed");
    let asked = world.asked().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.asked().len(), asked, "one that has ended asks nobody");

    let other = json!({"deviceUrl": null, "clientId": null});
    world.oauth.world.change(OAUTH_APPS, world.oauth.app, other).await;
    let unset = world.begin().await.unwrap_err().to_string();
    assert_eq!(unset, "set `deviceUrl` of the OAuth app `ours` first");
    let odd = json!({"deviceUrl": "http://localhost:8080/device"});
    world.oauth.world.change(OAUTH_APPS, world.oauth.app, odd).await;
    let unset = world.begin().await.unwrap_err().to_string();
    assert_eq!(unset, "set `clientId` of the OAuth app `ours` first");
    let wrong = json!({"clientId": "client", "deviceUrl": "http://localhost:8080/authorize"});
    world.oauth.world.change(OAUTH_APPS, world.oauth.app, wrong).await;
    let refused = world.begin().await.unwrap_err();
    assert!(matches!(refused, ConsentError::Provider(_)), "{refused:?}");
    let refused = refused.to_string();
    assert!(refused.ends_with("no answer of an endpoint for device codes: check `deviceUrl`"));
    world.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_with_the_tokens_is_named() {
    let world = DeviceWorld::new().await;
    let code = world.begun().await;
    world.asked_times(1).await;
    assert!(world.oauth.provider.decide(&code, Some(ANNA)));
    world.oauth.provider.then(&[TokenFault::Cut]);
    let (state, detail) = world.end().await;
    assert_eq!(state, DeviceState::Failed);
    assert!(detail.contains("invalid_grant") && detail.contains("was lost"), "{detail}");
    // The next one is another matter.
    let code = world.begun().await;
    assert!(world.oauth.provider.decide(&code, Some(ANNA)));
    assert_eq!(world.end().await, (DeviceState::Given, String::new()));
    world.engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_tokens_that_are_being_given() {
    let world = DeviceWorld::new().await;
    let code = world.begun().await;
    assert!(world.oauth.provider.decide(&code, Some(ANNA)));
    world.oauth.provider.then(&[TokenFault::Slow(Duration::from_secs(10))]);
    world.asked_times(1).await;
    let DeviceWorld { oauth, account, engine } = world;
    engine.stop().await;
    let shown = oauth.until(account, |_| true).await;
    assert!(shown.text("consentedAt").is_some(), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_saved_for_the_app_that_asked_and_for_the_last_consent_alone() {
    let world = DeviceWorld::new().await;
    let provider = &world.oauth.provider;
    let slow = TokenFault::Slow(Duration::from_secs(10));
    let (first, asked) = (world.begun().await, world.asked().len());
    assert!(provider.decide(&first, Some(ANNA)));
    provider.then(&[slow]);
    world.asked_times(asked + 1).await;
    let second = world.begun().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let shown = world.oauth.until(world.account, |_| true).await;
    assert_eq!(shown.text("consentedAt"), None, "another one was begun");
    assert_eq!(world.seen().await.0, DeviceState::Pending);

    provider.then(&[slow]);
    let asked = world.asked().len();
    assert!(provider.decide(&second, Some(ANNA)));
    world.asked_times(asked + 1).await;
    let other = json!({"name": "other", "tokenUrl": "http://localhost:8080/token"});
    let other = world.oauth.world.create(OAUTH_APPS, other).await;
    let other = json!({"oauthApp_id": other.to_string()});
    world.oauth.world.change(ACCOUNTS, world.account, other).await;
    let (state, detail) = world.end().await;
    assert!(state == DeviceState::Failed && detail.contains("another OAuth app"), "{detail}");
    let shown = world.oauth.until(world.account, |_| true).await;
    assert_eq!(shown.text("consentedAt"), None);
    let (engine, strange) = (&world.engine, Domain::new("other").unwrap());
    let refused =
        engine.device_consents().start(&strange, AccountId::of(world.account), SLOT).await;
    assert!(matches!(refused, Err(ConsentError::NoAccount)), "{refused:?}");
    world.engine.stop().await;
}
