//! Consents: from the page of a provider to mail that flows, and what is refused on the way.

use crate::oauth::LONG;
use crate::oauth::OAuthWorld;
use crate::oauth::is;
use crate::oauth::says;
use crate::world::ANNA;
use crate::world::BEN;
use postroom_engine::ConsentError;
use postroom_engine::ConsentGiven;
use postroom_engine::GroupNode;
use postroom_engine::NodePlace;
use postroom_engine::NodeTerms;
use postroom_engine::OAuthConsents;
use postroom_engine::Settings;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Instance;
use postroom_model::InstanceRest;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::oauth::TokenSlot;
use postroom_sandbox::TokenFault;
use postroom_sandbox::TokenServer;
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// Where the provider sends people back to.
const CALLBACK: &str = "https://mail.example/rest/v1/oauth/callback";

/// What the provider sends back with the browser.
struct Back {
    state: SecretString,
    code: SecretString,
}

impl Back {
    fn again(&self) -> Self {
        Self { state: self.state.clone(), code: self.code.clone() }
    }
}

/// A world whose app has a page of consent.
async fn consenting() -> OAuthWorld {
    let world = OAuthWorld::new("XOAUTH2", LONG).await;
    let page = json!({
        "authorizeUrl": "http://localhost:8080/authorize", "redirectUri": CALLBACK,
    });
    world.world.change(OAUTH_APPS, world.app, page).await;
    world
}

async fn account(world: &OAuthWorld) -> EntityId {
    let account = json!({"address": ANNA, "oauthApp_id": world.app.to_string()});
    world.world.account(account).await
}

async fn ask(provider: &TokenServer, request: String) -> String {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let provider = provider.clone();
    tokio::spawn(async move { provider.serve(server).await });
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A user opens a page of the provider, and consents there.
async fn consent(provider: &TokenServer, url: &str, user: &str) -> Back {
    let target = url.strip_prefix("http://localhost:8080").unwrap();
    let page = ask(provider, format!("GET {target} HTTP/1.1\r\n\r\n")).await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Allow"), "{page}");
    let (_, query) = target.split_once('?').unwrap();
    let form = format!("{query}&user={user}&answer=allow");
    let length = form.len();
    let request = format!("POST /consent HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{form}");
    let answer = ask(provider, request).await;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let query = location.strip_prefix(CALLBACK).unwrap().strip_prefix('?').unwrap();
    let value = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        SecretString::from(value.unwrap())
    };
    Back { state: value("state"), code: value("code") }
}

/// A consent to an account is begun, and its owner consents.
async fn begun(world: &OAuthWorld, consents: &OAuthConsents, id: EntityId) -> Back {
    let (domain, of) = (Domain::default_domain(), AccountId::of(id));
    let page = consents.start(&domain, of, TokenSlot::Account).await.unwrap();
    consent(&world.provider, &page.url, ANNA).await
}

#[tokio::test(start_paused = true)]
async fn a_consent_makes_an_account_work_and_its_state_is_good_once() {
    let world = consenting().await;
    let id = account(&world).await;
    let engine = world.world.start(world.settings()).await;
    let link = format!("https://mail.example/rest/v1/oauth/start?account={id}");
    let failed = world.until(id, |it| is(it, "failed")).await;
    assert!(
        says(&failed, &link) && says(&failed, &format!("let the owner of {ANNA}")),
        "{failed:?}"
    );

    let consents = engine.oauth_consents();
    let back = begun(&world, &consents, id).await;
    let began = Instant::now();
    let given = consents.finish(back.state.clone(), back.code.clone()).await.unwrap();
    assert_eq!(given, ConsentGiven { address: ANNA.to_owned(), app: "ours".to_owned() });
    let ready = world.until(id, |it| is(it, "ready")).await;
    assert!(began.elapsed() < Duration::from_secs(30), "a consent is tried at once");
    assert!(ready.text("consentedAt").is_some() && ready.text("statusText").is_none());
    let message = world.send(id, "S").await;
    world.until_sent(message).await;

    let asked = world.provider.asked();
    let grants: Vec<_> = asked.iter().map(|one| one.form["grant_type"].as_str()).collect();
    assert_eq!(grants, ["authorization_code", "refresh_token"]);
    assert_eq!(asked[0].form["redirect_uri"], CALLBACK);
    assert_eq!(asked[0].form["client_secret"], "hush");
    let again = consents.finish(back.again().state, back.code).await;
    assert!(matches!(again, Err(ConsentError::Unknown)), "{again:?}");
    assert_eq!(world.provider.asked().len(), 2, "a state that was used asks nobody");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_engine_does_not_run_begins_and_ends_a_consent() {
    let world = consenting().await;
    let id = account(&world).await;
    let engine = world.world.start(world.settings()).await;
    world.until(id, |it| is(it, "failed")).await;
    let mut place = NodePlace::of(Instance::named("balanced".to_owned()));
    place.details.rest = Some(InstanceRest::Disabled);
    let spool = tempfile::tempdir().unwrap();
    let settings = world.settings();
    let settings = Settings { spool_directory: spool.path().join("spool"), ..settings };
    let terms = NodeTerms { settings, place, is_alone: false };
    let node = GroupNode::start(world.world.store.clone(), terms).await.unwrap();
    assert!(!node.view().is_active());
    let consents = node.view().oauth_consents().unwrap();
    let back = begun(&world, &consents, id).await;
    consents.finish(back.state, back.code).await.unwrap();
    world.until(id, |it| is(it, "ready")).await;
    node.stop().await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_the_link_and_the_next_consent_resumes_at_once() {
    let world = consenting().await;
    let id = world.account(&world.provider.consent(ANNA)).await;
    world.provider.withdraw(ANNA);
    let engine = world.world.start(world.settings()).await;
    let failed = world.until(id, |it| is(it, "failed") && says(it, "invalid_grant")).await;
    let link = format!(
        "consent again on the page that GET https://mail.example/rest/v1/oauth/start\
                        ?account={id} leads to"
    );
    assert!(says(&failed, &link), "{failed:?}");
    let message = world.send(id, "S").await;

    let consents = engine.oauth_consents();
    let back = begun(&world, &consents, id).await;
    let began = Instant::now();
    consents.finish(back.state, back.code).await.unwrap();
    world.until(id, |it| is(it, "ready")).await;
    assert!(began.elapsed() < Duration::from_secs(30), "a consent is tried at once");
    world.until_sent(message).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_server_for_sending_has_a_consent_of_its_own() {
    let world = consenting().await;
    let id = world.account(&world.provider.consent(ANNA)).await;
    let own = json!({"smtpOauthApp_id": world.app.to_string(), "smtpLogin": BEN});
    world.world.change(ACCOUNTS, id, own).await;
    let engine = world.world.start(world.settings()).await;
    let link = format!("/rest/v1/oauth/start?account={id}&slot=smtp");
    world.until(id, |it| says(it, &link)).await;
    let consents = engine.oauth_consents();
    let (domain, of) = (Domain::default_domain(), AccountId::of(id));
    let page = consents.start(&domain, of, TokenSlot::Smtp).await.unwrap();
    assert!(page.url.ends_with("login_hint=ben%40demo.test"), "{}", page.url);
    let back = consent(&world.provider, &page.url, BEN).await;
    consents.finish(back.state, back.code).await.unwrap();
    world.until(id, |it| it.text("smtpTokenState") == Some("valid")).await;
    let message = world.send(id, "S").await;
    world.until_sent(message).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_is_late_or_of_another_app_or_not_ours_is_refused() {
    let world = consenting().await;
    let id = account(&world).await;
    let engine = world.world.start(world.settings()).await;
    let consents = engine.oauth_consents();
    let (domain, of, slot) = (Domain::default_domain(), AccountId::of(id), TokenSlot::Account);
    let begin = async || consents.start(&domain, of, slot).await.unwrap().url;

    let late = consent(&world.provider, &begin().await, ANNA).await;
    tokio::time::sleep(Duration::from_secs(15 * 60 + 1)).await;
    let refused = consents.finish(late.state, late.code).await;
    assert!(matches!(refused, Err(ConsentError::Late)), "{refused:?}");

    // One that is begun later takes the place of the former.
    let (first, second) = (begin().await, begin().await);
    let first = consent(&world.provider, &first, ANNA).await;
    let refused = consents.finish(first.state, first.code.clone()).await;
    assert!(matches!(refused, Err(ConsentError::Unknown)), "{refused:?}");
    // A code that came by another challenge is of no use.
    let second = consent(&world.provider, &second, ANNA).await;
    let refused = consents.finish(second.state, first.code).await.unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("the OAuth app `ours` gets no tokens") && told.contains("invalid_grant"));

    let declined = begin().await;
    let state = declined.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let state = SecretString::from(state);
    consents.declined(&state).await.unwrap();
    assert!(matches!(consents.declined(&state).await, Err(ConsentError::Unknown)));

    let other = json!({"name": "other", "tokenUrl": "http://localhost:8080/token"});
    let other = world.world.create(OAUTH_APPS, other).await;
    let moved = consent(&world.provider, &begin().await, ANNA).await;
    world.world.change(ACCOUNTS, id, json!({"oauthApp_id": other.to_string()})).await;
    let asked = world.provider.asked().len();
    let refused = consents.finish(moved.state, moved.code).await;
    assert!(matches!(refused, Err(ConsentError::OtherApp)), "{refused:?}");
    assert_eq!(world.provider.asked().len(), asked, "the other app gets no code of this one");

    let unset = consents.start(&domain, of, slot).await.unwrap_err().to_string();
    assert_eq!(unset, "set `authorizeUrl` of the OAuth app `other` first");
    world.world.change(ACCOUNTS, id, json!({"oauthApp_id": null})).await;
    let unset = consents.start(&domain, of, slot).await.unwrap_err().to_string();
    assert_eq!(unset, "set `oauthApp_id` of the account first");
    let strange = Domain::new("other").unwrap();
    let refused = consents.start(&strange, of, slot).await;
    assert!(matches!(refused, Err(ConsentError::NoAccount)), "{refused:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_gives_is_saved_although_the_browser_has_gone() {
    let world = consenting().await;
    let id = account(&world).await;
    let engine = world.world.start(world.settings()).await;
    let consents = engine.oauth_consents();
    let back = begun(&world, &consents, id).await;
    world.provider.then(&[TokenFault::Slow(Duration::from_secs(10))]);
    let gone = tokio::time::timeout(Duration::from_secs(1), consents.finish(back.state, back.code));
    gone.await.unwrap_err();
    world.until(id, |it| is(it, "ready")).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_consent_while_the_account_changes_is_saved_for_the_same_app_alone() {
    let world = consenting().await;
    let id = account(&world).await;
    let engine = world.world.start(world.settings()).await;
    let consents = engine.oauth_consents();
    let back = begun(&world, &consents, id).await;
    world.provider.then(&[TokenFault::Slow(Duration::from_secs(10))]);
    let (consents, Back { state, code }) = (consents.clone(), back);
    let finishing = tokio::spawn(async move { consents.finish(state, code).await });
    let asks =
        |one: &postroom_sandbox::TokenQuestion| one.form["grant_type"] == "authorization_code";
    while !world.provider.asked().iter().any(asks) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = json!({"name": "other", "tokenUrl": "http://localhost:8080/token"});
    let other = world.world.create(OAUTH_APPS, other).await;
    world.world.change(ACCOUNTS, id, json!({"oauthApp_id": other.to_string()})).await;
    let refused = finishing.await.unwrap();
    assert!(matches!(refused, Err(ConsentError::OtherApp)), "{refused:?}");
    let shown = world.until(id, |_| true).await;
    assert_eq!(shown.text("consentedAt"), None, "{shown:?}");
    engine.stop().await;
}
