//! Mail servers that are reached through a proxy.

use crate::world::*;
use postroom_sandbox::ListeningTokenServer;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::TokenServer;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

pub(crate) const PASSWORD: &str = "of-the-proxy-d41d8";
/// `anna:of-the-proxy-d41d8` as Basic has it.
const BASIC: &str = "Basic YW5uYTpvZi10aGUtcHJveHktZDQxZDg=";

/// A proxy that speaks CONNECT and demands a login.
pub(crate) struct HttpProxy {
    pub(crate) port: u16,
    connected: Arc<AtomicUsize>,
    /// Where it was asked to connect to.
    pub(crate) targets: Targets,
}

pub(crate) type Targets = Arc<Mutex<Vec<String>>>;

impl HttpProxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connected = Arc::new(AtomicUsize::new(0));
        let (count, targets) = (Arc::clone(&connected), Targets::default());
        let seen = Arc::clone(&targets);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (count, seen) = (Arc::clone(&count), Arc::clone(&seen));
                // Either side may go away at any time.
                tokio::spawn(async move { drop(serve(stream, &count, &seen).await) });
            }
        });
        Self { port, connected, targets }
    }
}

#[expect(clippy::disallowed_methods, reason = "the proxy is another program")]
async fn serve(stream: TcpStream, count: &AtomicUsize, seen: &Targets) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut target, mut is_let_in) = (String::new(), false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end() {
            "" => break,
            line if line.starts_with("CONNECT ") => {
                target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            line => is_let_in |= line == format!("Proxy-Authorization: {BASIC}"),
        }
    }
    if !is_let_in {
        return stream.write_all(b"HTTP/1.1 407 Who are you?\r\n\r\n").await;
    }
    seen.lock().unwrap().push(target.clone());
    let mut server = TcpStream::connect(target).await?;
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    count.fetch_add(1, Ordering::Relaxed);
    tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
}

fn failed(verified: &Json) -> &Json {
    let steps = verified["steps"].as_array().unwrap();
    steps.iter().find(|step| step["result"] == "failed").unwrap()
}

#[on_both(flavor = "multi_thread")]
async fn an_account_works_through_a_proxy_whose_password_nobody_sees() {
    let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let mut postroom = postroom(sandbox.ca_pem());
    let proxy = HttpProxy::start().await;
    let profile = json!({
        "name": "sandbox", "proxy": format!("http://127.0.0.1:{}", proxy.port),
        "proxyLogin": "anna", "proxyPassword": PASSWORD,
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": "anna@demo.test", "password": "secret", "profile": profile});
    let unsaved = postroom.post("email/Accounts:verify", &account).await.unwrap();
    assert_eq!(unsaved["ok"], true, "{unsaved:#}");
    assert_eq!(proxy.connected.load(Ordering::Relaxed), 2);

    let account = json!({"address": "anna@demo.test", "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let sent = postroom.post("email/Messages", &outgoing(&account, "hello")).await.unwrap();
    assert_eq!(settled(&postroom, &id(&sent)).await["messageState"], "sent");
    assert!(proxy.connected.load(Ordering::Relaxed) > 3);

    let path = format!("email/Accounts/{account}");
    let shown = postroom.get(&format!("/rest/v1/model/{path}")).await.unwrap();
    let at = format!("email/Profiles/{}", shown["profile_id"].as_str().unwrap());
    postroom.patch(&at, &json!({"proxyPassword": "another"})).await.unwrap();
    let refused = postroom.post(&format!("{path}:verify"), &json!({})).await.unwrap();
    let step = failed(&refused);
    assert_eq!(step["step"], "tcp");
    assert!(step["detail"].as_str().unwrap().contains("refuses the login (407)"), "{step}");
    assert!(step["advice"].as_str().unwrap().contains("`proxyPassword`"), "{step}");
    postroom.patch(&at, &json!({"proxyPassword": null})).await.unwrap();
    let missing = postroom.post(&format!("{path}:verify"), &json!({})).await.unwrap();
    assert!(failed(&missing)["detail"].as_str().unwrap().contains("set `proxyPassword`"));
    let wrong = postroom.patch(&at, &json!({"proxy": "http://anna:x@proxy.test:1"})).await;
    assert!(format!("{:#}", wrong.unwrap_err()).contains("has a login"));

    let profiles = postroom.bytes("email/Profiles").await.unwrap();
    postroom.stop().unwrap();
    for (what, bytes) in [("an answer", profiles), ("the log", postroom.log().into_bytes())] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(PASSWORD) && !text.contains(BASIC), "{what} has the password");
    }
}

/// A mail server that takes the tokens of a provider.
async fn with_provider() -> (Sandbox, TokenServer, ListeningTokenServer) {
    let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let provider = TokenServer::default();
    sandbox.take_tokens_of(&provider);
    let listening = provider.listen().await.unwrap();
    (sandbox, provider, listening)
}

#[on_both(flavor = "multi_thread")]
async fn tokens_are_asked_for_through_the_proxy_of_the_profile() {
    let (sandbox, provider, listening) = with_provider().await;
    let postroom = postroom(sandbox.ca_pem());
    let proxy = HttpProxy::start().await;
    let profile = json!({
        "name": "sandbox", "proxy": format!("http://127.0.0.1:{}", proxy.port),
        "proxyLogin": "anna", "proxyPassword": "wrong",
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let app = json!({"name": "a", "tokenUrl": format!("http://{}/token", listening.address)});
    let app = id(&postroom.post("email/OAuthApps", &app).await.unwrap());
    let token = provider.consent("anna@demo.test");
    let account = json!({"address": "anna@demo.test", "oauthApp_id": app, "refreshToken": token});
    let account = format!("email/Accounts/{}", account_of(&postroom, profile, account).await);
    let refused = |account: &Json| account["statusText"].as_str()?.contains("(407)").then_some(());
    until(&postroom, &account, "the refusal of the proxy", refused).await;
    assert!(provider.asked().is_empty(), "nobody asks without the proxy");

    let shown = postroom.get(&account).await.unwrap();
    let at = format!("email/Profiles/{}", shown["profile_id"].as_str().unwrap());
    postroom.patch(&at, &json!({"proxyPassword": PASSWORD})).await.unwrap();
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &account, "a login", is_ready).await;
    assert!(proxy.targets.lock().unwrap().contains(&listening.address.to_string()));
}

const CONFIG: &str = "/rest/v1/config";

async fn set(postroom: &Postroom, outgoing: Json) {
    postroom.patch(CONFIG, &json!({"outgoing": outgoing})).await.unwrap();
}

/// Waits until an account of a profile can be reached, or is refused with these words.
async fn until_tried(postroom: &Postroom, profile: &Json, refusal: Option<&str>) {
    let account = json!({"address": "anna@demo.test", "password": "secret", "profile": profile});
    let mut last = Json::Null;
    let reached = wait_until("another outcome", PATIENCE, async || {
        last = postroom.post("email/Accounts:verify", &account).await?;
        let is_it = match refusal {
            None => last["ok"] == true,
            Some(words) => last["ok"] == false && last.to_string().contains(words),
        };
        Ok(is_it.then_some(()))
    });
    let reached = reached.await;
    assert!(reached.is_ok(), "{refusal:?}: {last:#}");
}

#[on_both(flavor = "multi_thread")]
async fn the_configuration_has_one_proxy_and_says_which_addresses_are_reached() {
    let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let mut postroom = postroom(sandbox.ca_pem());
    let proxy = HttpProxy::start().await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let profile = json!({
        "name": "sandbox", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
    });
    let mut direct = profile.clone();
    direct["proxy"] = json!("direct");
    let count = || proxy.connected.load(Ordering::Relaxed);
    until_tried(&postroom, &profile, None).await;
    assert_eq!(count(), 0);
    let wrong = json!({"proxy": url, "proxyLogin": "anna", "proxyPassword": "wrong"});
    set(&postroom, wrong).await;
    until_tried(&postroom, &profile, Some("refuses the login (407)")).await;
    set(&postroom, json!({"proxyPassword": PASSWORD})).await;
    until_tried(&postroom, &profile, None).await;
    assert!(count() > 0);
    let before = count();
    until_tried(&postroom, &direct, None).await;
    assert_eq!(count(), before, "a profile may have none");
    // The name leads to a denied address, with the proxy and without.
    set(&postroom, json!({"mailDenied": ["127.0.0.0/8", "::1"]})).await;
    until_tried(&postroom, &profile, Some("outgoing.mailDenied")).await;
    let before = count();
    until_tried(&postroom, &profile, Some("outgoing.mailDenied")).await;
    until_tried(&postroom, &direct, Some("outgoing.mailDenied")).await;
    assert_eq!(count(), before);
    // A list of allowed ones counts in place of the flag. The proxy itself may be anywhere.
    let only = json!({
        "mailDenied": null, "mailAllowed": ["127.0.0.1", "::1"], "mailToPublicAddressesOnly": true,
    });
    set(&postroom, only).await;
    until_tried(&postroom, &profile, None).await;
    set(&postroom, json!({"mailAllowed": ["public"]})).await;
    until_tried(&postroom, &profile, Some("outgoing.mailAllowed")).await;
    set(&postroom, json!({"mailAllowed": null, "mailToPublicAddressesOnly": null})).await;
    until_tried(&postroom, &profile, None).await;
    // Its password is there after a restart, and nobody sees it.
    postroom.stop().unwrap();
    postroom.restart().unwrap();
    let before = count();
    until_tried(&postroom, &profile, None).await;
    assert!(count() > before);
    let shown = postroom.get(CONFIG).await.unwrap();
    assert_eq!(shown["outgoing"]["proxyPassword"], "********");
    let trimmed = postroom.get("/rest/v1/config/trimmed").await.unwrap();
    assert!(trimmed["outgoing"].get("proxy").is_none(), "{trimmed}");
    let versions = postroom.get("/rest/v1/config/versions/2").await.unwrap();
    postroom.stop().unwrap();
    for text in [shown.to_string(), versions.to_string(), postroom.log()] {
        assert!(!text.contains(PASSWORD) && !text.contains(BASIC), "{text}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn providers_and_webhooks_are_reached_by_the_rules_and_the_proxy_of_the_configuration() {
    let (sandbox, provider, listening) = with_provider().await;
    let postroom = postroom(sandbox.ca_pem());
    let proxy = HttpProxy::start().await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let closed = json!({
        "oauthDenied": ["127.0.0.0/8"], "webhooksDenied": ["127.0.0.0/8"],
        "webhooksToPrivateAddresses": true,
        "proxy": url, "proxyLogin": "anna", "proxyPassword": PASSWORD,
    });
    set(&postroom, closed).await;
    // What listens there speaks HTTP, so it can be the receiver too.
    let receiver = format!("http://{}/token", listening.address);
    let hook = id(&postroom
        .post("email/Webhooks", &json!({"url": receiver, "enabled": false}))
        .await
        .unwrap());
    let ping = format!("email/Webhooks/{hook}/test");
    let pinged = async |words: &'static str| {
        let found = wait_until(words, PATIENCE, async || {
            let answered = postroom.post(&ping, &json!({})).await?;
            Ok(answered.to_string().contains(words).then_some(answered))
        });
        found.await.unwrap()
    };
    pinged("outgoing.webhooksDenied").await;
    let profile = json!({
        "name": "sandbox", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
    });
    let app = json!({"name": "a", "tokenUrl": receiver});
    let app = id(&postroom.post("email/OAuthApps", &app).await.unwrap());
    let token = provider.consent("anna@demo.test");
    let account = json!({"address": "anna@demo.test", "oauthApp_id": app, "refreshToken": token});
    let account = format!("email/Accounts/{}", account_of(&postroom, profile, account).await);
    let refused = |account: &Json| {
        account["statusText"].as_str()?.contains("outgoing.oauthDenied").then_some(())
    };
    until(&postroom, &account, "the refusal of the address", refused).await;
    assert!(provider.asked().is_empty());
    let open = json!({"oauthDenied": null, "oauthAllowed": ["127.0.0.1"],
        "webhooksDenied": null, "webhooksAllowed": ["127.0.0.1"],
        "webhooksToPrivateAddresses": null});
    set(&postroom, open).await;
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &account, "a login", is_ready).await;
    let target = listening.address.to_string();
    let asked = || proxy.targets.lock().unwrap().iter().filter(|at| **at == target).count();
    assert!(asked() > 0, "the token came through the proxy");
    let before = asked();
    let answered = pinged("status").await;
    assert!(answered["status"].is_number(), "{answered}");
    assert!(asked() > before, "so did the ping");
}
