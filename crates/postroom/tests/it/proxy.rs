//! Mail servers that are reached through a proxy.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::TokenServer;
use postroom_testkit::on_both;
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

const PASSWORD: &str = "of-the-proxy-d41d8";
/// `anna:of-the-proxy-d41d8` as Basic has it.
const BASIC: &str = "Basic YW5uYTpvZi10aGUtcHJveHktZDQxZDg=";

/// A proxy that speaks CONNECT and demands a login.
struct HttpProxy {
    port: u16,
    connected: Arc<AtomicUsize>,
    /// Where it was asked to connect to.
    targets: Targets,
}

type Targets = Arc<Mutex<Vec<String>>>;

impl HttpProxy {
    async fn start() -> Self {
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

#[on_both(flavor = "multi_thread")]
async fn tokens_are_asked_for_through_the_proxy_of_the_profile() {
    let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let provider = TokenServer::default();
    sandbox.take_tokens_of(&provider);
    let listening = provider.listen().await.unwrap();
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
