//! Consents with the whole process: a browser follows the links, and mail flows.

use crate::sandbox_fails::Started;
use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use reqwest::redirect::Policy;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;

/// A sandbox with a provider, and a Postroom with an app of it.
struct Consenting {
    sandbox: Started,
    postroom: Postroom,
    app: String,
}

impl Consenting {
    async fn start(more: &[&str]) -> Self {
        let arguments = [&["--oauth", "--oauth-port", "0"], more].concat();
        let sandbox = Started::by(&arguments);
        let start = PostroomOptions {
            trust_ca_pem: sandbox.ca_pem.clone(),
            environment: vec![("RUST_LOG".to_owned(), "trace".to_owned())],
            keeps_port: true,
            ..PostroomOptions::default()
        };
        let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
        let at = &sandbox.provider;
        let app = json!({
            "name": "Sandbox", "clientId": "sandbox", "clientSecret": "sandbox-secret",
            "authorizeUrl": format!("http://{at}/authorize"),
            "tokenUrl": format!("http://{at}/token"),
            "deviceUrl": format!("http://{at}/device"),
            "redirectUri": format!("{}/rest/v1/oauth/callback", postroom.url()),
        });
        let app = id(&postroom.post("email/OAuthApps", &app).await.unwrap());
        Self { sandbox, postroom, app }
    }

    async fn account(&self, address: &str) -> String {
        let profile = json!({
            "name": "sandbox", "options": {"after_read_timeout": 0.1},
            "imapHost": "localhost", "imapPort": self.sandbox.imaps,
            "smtpHost": "localhost", "smtpPort": self.sandbox.smtps,
        });
        let account = json!({"address": address, "oauthApp_id": self.app});
        account_of(&self.postroom, profile, account).await
    }

    /// The page of the provider for an account, as software asks for it.
    async fn page(&self, account: &str) -> String {
        let page = format!("/rest/v1/oauth/start?account={account}");
        let asked = browser().get(format!("{}{page}", self.postroom.url()));
        let asked = asked.bearer_auth(Postroom::TOKEN).header("Accept", "application/json");
        let page: Json = asked.send().await.unwrap().json().await.unwrap();
        assert!(page["expiresAt"].is_string(), "{page}");
        page["url"].as_str().unwrap().to_owned()
    }

    /// Begins a consent on another device, or asks how it is.
    async fn device(&self, method: &str, account: &str) -> Json {
        let path = format!("/rest/v1/oauth/device?account={account}");
        let method = method.parse().unwrap();
        let asked = browser().request(method, format!("{}{path}", self.postroom.url()));
        let answer = asked.bearer_auth(Postroom::TOKEN).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.json().await.unwrap()
    }

    async fn ready(&self, account: &str) -> Json {
        let is_ready = |account: &Json| (account["state"] == "ready").then(|| account.clone());
        until(&self.postroom, &format!("email/Accounts/{account}"), "a login", is_ready).await
    }
}

/// It follows no link by itself.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).build().unwrap()
}

/// A page: its status and its text. It loads nothing from elsewhere and is not kept.
async fn opened(url: &str) -> (u16, String) {
    let answer = browser().get(url).send().await.unwrap();
    let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert!(field("content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
    assert_eq!(field("cache-control"), "no-store");
    assert_eq!(field("referrer-policy"), "no-referrer");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Presses the button of a page of the provider. Gives where the browser goes then.
async fn pressed(page: &str, user: &str, answer: &str) -> String {
    let shown = browser().get(page).send().await.unwrap().text().await.unwrap();
    assert_eq!(shown.matches("<button").count(), 1, "{shown}");
    assert!(shown.contains("<form method=\"post\" action=\"/consent\">"), "{shown}");
    let form = format!("user={user}&answer={answer}");
    let sent = browser().post(page.replace("/authorize?", "/consent?")).body(form);
    let back = sent.send().await.unwrap();
    assert_eq!(back.status(), 302);
    back.headers()["location"].to_str().unwrap().to_owned()
}

fn parameter(url: &str, name: &str) -> String {
    let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(of, _)| *of == name).unwrap().1.to_owned()
}

#[on_both(flavor = "multi_thread")]
async fn an_owner_consents_in_a_browser_and_mail_flows() {
    let mut world = Consenting::start(&["--oauth-rotate"]).await;
    let account = world.account(ANNA).await;
    let start = format!("{}/rest/v1/oauth/start?account={account}", world.postroom.url());
    let says = |account: &Json| account["statusText"].as_str()?.contains(&start).then_some(());
    let path = format!("email/Accounts/{account}");
    until(&world.postroom, &path, "the link to consent", says).await;

    // Nobody gets there without a token. With one, a browser is led to the provider.
    assert_eq!(browser().get(&start).send().await.unwrap().status(), 401);
    let led = browser().get(&start).bearer_auth(Postroom::TOKEN).send().await.unwrap();
    assert_eq!(led.status(), 302);
    assert_eq!(led.headers()["cache-control"], "no-store");
    let declined = pressed(led.headers()["location"].to_str().unwrap(), ANNA, "deny").await;
    let (status, page) = opened(&declined).await;
    assert_eq!(status, 403);
    assert!(page.contains("access_denied") && page.contains("nothing has changed"), "{page}");

    let asked = world.page(&account).await;
    let back = pressed(&asked, ANNA, "allow").await;
    let (status, page) = opened(&back).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("send the mail of anna@demo.test") && page.contains("`Sandbox`"));
    let ready = world.ready(&account).await;
    assert_eq!(ready["tokenState"], "valid");
    assert!(ready["consentedAt"].is_string(), "{ready}");
    let folder = enable(&world.postroom, &account, "INBOX", json!({})).await;
    let sent = world.postroom.post("email/Messages", &outgoing(&account, "hello")).await.unwrap();
    assert_eq!(settled(&world.postroom, &id(&sent)).await["messageState"], "sent");
    messages(&world.postroom, &folder, 1).await;

    // The same address again, one that nobody has made, and one that says nothing.
    let callback = back.split('?').next().unwrap();
    for again in [back.clone(), format!("{callback}?state=5d2c&code=7b3a"), callback.to_owned()] {
        let (status, page) = opened(&again).await;
        assert_eq!(status, 410, "{again}");
        assert!(page.contains("nobody asks for this consent"), "{page}");
    }
    let shown = world.postroom.get(&path).await.unwrap();
    assert_eq!(shown["consentedAt"], ready["consentedAt"]);

    world.postroom.stop().unwrap();
    let log = world.postroom.log();
    assert!(log.contains("TRACE") && log.contains("consent given"));
    for (url, names) in
        [(&asked, &["state"][..]), (&back, &["state", "code"]), (&declined, &["state"])]
    {
        for name in names {
            let secret = parameter(url, name);
            assert!(!log.contains(&secret), "the log has the {name} {secret}");
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_consent_that_was_begun_survives_a_restart() {
    let mut world = Consenting::start(&[]).await;
    let account = world.account(ANNA).await;
    let back = pressed(&world.page(&account).await, ANNA, "allow").await;
    world.postroom.kill().unwrap();
    world.postroom.restart().unwrap();
    let (status, page) = opened(&back).await;
    assert_eq!(status, 200, "{page}");
    world.ready(&account).await;
}

#[on_both(flavor = "multi_thread")]
async fn an_app_of_the_sandbox_may_need_no_consent() {
    let world = Consenting::start(&[]).await;
    let app = format!("email/OAuthApps/{}", world.app);
    for (grant, user) in [("client_credentials", ANNA), ("external", "ben@demo.test")] {
        world.postroom.patch(&app, &json!({"grant": grant})).await.unwrap();
        let account = world.account(user).await;
        world.ready(&account).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn an_owner_consents_on_another_device_while_postroom_is_killed() {
    let mut world = Consenting::start(&["--oauth-rotate"]).await;
    let account = world.account(ANNA).await;
    let begun = world.device("POST", &account).await;
    let page = begun["verificationUri"].as_str().unwrap().to_owned();
    let code = begun["userCode"].as_str().unwrap().to_owned();
    assert!(begun["expiresAt"].is_string() && begun["interval"] == 1, "{begun}");
    assert_eq!(world.device("GET", &account).await["state"], "pending");
    world.postroom.kill().unwrap();

    let whole = begun["verificationUriComplete"].as_str().unwrap();
    let shown = browser().get(whole).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains(&code) && shown.contains("action=\"/activate\""), "{shown}");
    let form = format!("user_code={code}&user={ANNA}&answer=allow");
    let sent = browser().post(&page).body(form).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    world.postroom.restart().unwrap();
    let ready = world.ready(&account).await;
    assert!(ready["consentedAt"].is_string(), "{ready}");
    assert_eq!(world.device("GET", &account).await["state"], "given");
    let folder = enable(&world.postroom, &account, "INBOX", json!({})).await;
    let sent = world.postroom.post("email/Messages", &outgoing(&account, "hello")).await.unwrap();
    assert_eq!(settled(&world.postroom, &id(&sent)).await["messageState"], "sent");
    messages(&world.postroom, &folder, 1).await;
    // The tokens are durable, and replaced once more: nobody has to consent again.
    world.postroom.kill().unwrap();
    world.postroom.restart().unwrap();
    world.ready(&account).await;

    let begun = world.device("POST", &account).await;
    let code = begun["userCode"].as_str().unwrap();
    let form = format!("user_code={code}&answer=deny");
    assert_eq!(browser().post(&page).body(form).send().await.unwrap().status(), 200);
    let denied = wait_until("a refusal", PATIENCE, async || {
        let seen = world.device("GET", &account).await;
        Ok((seen["state"] == "denied").then_some(seen))
    });
    assert_eq!(denied.await.unwrap()["detail"], "it answers 400: access_denied");
    world.ready(&account).await;
}
