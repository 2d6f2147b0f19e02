//! REST over TLS: certificates that change, clients that do not speak it, and streams.

use crate::server::Server;
use crate::server::TOKEN;
use futures_util::SinkExt;
use futures_util::StreamExt;
use postroom_api::Limits;
use postroom_model::builtin::PROFILES;
use postroom_net::Certificates;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::Stream;
use postroom_net::Trust;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use rcgen::CertifiedKey;
use serde_json::Value as Json;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// An interface with TLS, and its files.
struct Secure {
    server: Server,
    address: SocketAddr,
    files: TempDir,
}

/// A certificate of this host, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn made() -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        Self { certificate: cert.pem(), key: signing_key.serialize_pem() }
    }
}

impl Secure {
    async fn start(pair: &Pair, limits: Limits) -> Self {
        let (server, files) = (Server::start().await, tempfile::tempdir().unwrap());
        let path = |name: &str| files.path().join(name);
        std::fs::write(path("cert.pem"), &pair.certificate).unwrap();
        std::fs::write(path("key.pem"), &pair.key).unwrap();
        let certificates = Certificates::open(&path("cert.pem"), &path("key.pem")).unwrap();
        let address = server.secure(limits, certificates).await;
        Self { server, address, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Puts another file in the place of one, as programs that renew certificates do.
    fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// What curl says to a path, when it trusts a certificate.
    async fn curl(&self, trusted: &Pair, path: &str, more: &[&str]) -> Result<String, String> {
        std::fs::write(self.path("ca.pem"), &trusted.certificate).unwrap();
        let ca = self.path("ca.pem").to_str().unwrap().to_owned();
        let url = format!("https://{}{path}", self.address);
        let bearer = format!("Authorization: Bearer {TOKEN}");
        let arguments = ["-sS", "--max-time", "30", "--cacert", &ca, "-H", &bearer, &url];
        curl(&[&arguments, more].concat()).await
    }

    async fn tcp(&self) -> TcpStream {
        connect(self.address).await
    }

    /// A connection with TLS that speaks HTTP/1.1.
    async fn tls(&self, trusted: &Pair) -> Stream {
        let trust = Trust { system: false, extra_ca_pem: trusted.certificate.clone().into_bytes() };
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let endpoint = Endpoint { host, port, security: Security::Tls };
        Dialer::new(&trust).unwrap().connect(&endpoint).await.unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of our own listener")]
async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// What curl prints, or what it complains of.
pub async fn curl(arguments: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::new("curl").args(arguments).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[on_both]
async fn curl_speaks_both_versions_of_http_over_tls() {
    let pair = Pair::made();
    let secure = Secure::start(&pair, Limits::default()).await;
    let file = secure.path("file");
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&file, &bytes).unwrap();
    let format = "\n%{http_version} %{response_code}";
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let with = async |path: &str, more: &[&str]| {
            secure.curl(&pair, path, &[&[flag, "-w", format], more].concat()).await.unwrap()
        };
        let said = with("/healthz", &[]).await;
        assert!(said.starts_with("{\"status\":\"ok\""), "{said}");
        assert!(said.ends_with(&format!("\n{version} 200")), "{said}");
        let message = json!({"messageDirection": "out", "subject": "by curl"});
        let message = secure.server.create("email/Messages", &message).await;
        let path = format!("/rest/v1/model/email/Messages/{message}/file/numbers");
        let whole = format!("@{}", file.display());
        let put = with(&path, &["-X", "PUT", "--data-binary", &whole]).await;
        assert!(put.ends_with(&format!("{version} 201")), "{put}");
        let got = secure.path("got");
        with(&path, &["-o", got.to_str().unwrap()]).await;
        assert!(std::fs::read(&got).unwrap() == bytes, "{flag}");
        // Many requests at once, of which each has its own answer.
        let many = format!("/rest/v1/model/email/Messages/{message}?a=[1-80]");
        let answers = secure.path(version);
        std::fs::create_dir(&answers).unwrap();
        let to = answers.join("#1").to_str().unwrap().to_owned();
        with(&many, &["-o", &to, "--parallel", "--parallel-max", "80"]).await;
        let answers = std::fs::read_dir(&answers).unwrap();
        let answers = answers.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        assert_eq!(answers.filter(|text| text.contains("\"a\"")).count(), 80);
    }
}

#[on_both]
async fn a_renewed_certificate_holds_without_a_restart() {
    let (former, renewed) = (Pair::made(), Pair::made());
    let secure = Secure::start(&former, Limits::default()).await;
    let asks = async |trusted: &Pair| secure.curl(trusted, "/healthz", &[]).await;
    let mut before = secure.tls(&former).await;
    assert!(asks(&renewed).await.unwrap_err().contains("certificate"));
    // While only one of both is new, the former pair holds.
    secure.replace("cert.pem", &renewed.certificate);
    asks(&former).await.unwrap();
    secure.replace("key.pem", &renewed.key);
    let holds = async || Ok(asks(&renewed).await.ok());
    wait_until("the new certificate", PATIENCE, holds).await.unwrap();
    asks(&former).await.unwrap_err();
    // A connection from before is still answered.
    before
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answered = String::new();
    before.read_to_string(&mut answered).await.unwrap();
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
}

#[on_both]
async fn who_does_not_finish_tls_holds_nothing() {
    let pair = Pair::made();
    let limits = Limits { first_head_within: Duration::from_millis(300), ..Limits::default() };
    let secure = Secure::start(&pair, limits).await;
    for begun in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut connection = secure.tcp().await;
        connection.write_all(begun).await.unwrap();
        let mut rest = vec![];
        let ended = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{begun:?}");
    }
    // The same when only TLS has come so far.
    let mut connection = secure.tls(&pair).await;
    let mut rest = vec![];
    let ended = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
    assert!(ended.is_ok());
}

#[on_both]
async fn a_stranger_in_the_middle_of_tls_gives_way() {
    let pair = Pair::made();
    let limits = Limits { connections_max: 2, anonymous_max: 2, ..Limits::default() };
    let secure = Secure::start(&pair, limits).await;
    let mut silent = [secure.tcp().await, secure.tcp().await];
    secure.curl(&pair, "/healthz", &[]).await.unwrap();
    let mut rest = vec![];
    let ended = tokio::time::timeout(PATIENCE, silent[0].read_to_end(&mut rest)).await;
    assert!(ended.is_ok());
}

#[on_both]
async fn http_without_tls_is_told_to_use_it() {
    let secure = Secure::start(&Pair::made(), Limits::default()).await;
    let url = format!("http://{}/healthz", secure.address);
    let said = curl(&["-sS", "-w", "\n%{response_code}", &url]).await.unwrap();
    let (body, code) = said.rsplit_once('\n').unwrap();
    let problem: Json = serde_json::from_str(body).unwrap();
    assert_eq!((code, &problem["type"]), ("400", &json!("urn:postroom:problem:tls-needed")));
    assert!(problem["detail"].as_str().unwrap().contains("https"), "{problem}");
}

#[on_both]
async fn both_streams_work_over_tls() {
    let pair = Pair::made();
    let secure = Secure::start(&pair, Limits::default()).await;
    let mut stream = secure.tls(&pair).await;
    let request = format!(
        "GET /rest/v1/events?after=now HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = vec![];
    let until = async |text: &mut Vec<u8>, stream: &mut Stream, word: &[u8]| {
        while !text.windows(word.len()).any(|window| window == word) {
            assert!(stream.read_buf(text).await.unwrap() > 0);
        }
    };
    until(&mut text, &mut stream, b"\r\n\r\n").await;
    let mut request = "wss://localhost/ws".into_client_request().unwrap();
    let bearer = HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = client_async(request, secure.tls(&pair).await).await.unwrap();
    let follow = json!(["follow", {"id": "a", "after": "now"}]);
    socket.send(Message::text(follow.to_string())).await.unwrap();
    let mut heard = async || loop {
        let message = socket.next().await.unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str::<Json>(&text).unwrap();
        }
    };
    assert_eq!(heard().await[0], "follow");
    let profile = secure.server.create(PROFILES, &json!({"name": "one"})).await;
    assert_eq!(heard().await[1]["event"]["id"], profile.as_str());
    until(&mut text, &mut stream, profile.as_bytes()).await;
    // The same stream by HTTP/2.
    let (file, ca) = (secure.path("events"), secure.path("cert.pem"));
    let url = format!("https://{}/rest/v1/events?after=first", secure.address);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sSN", "--http2", "-H", "Accept: text/event-stream", "-H", &bearer, &url]);
    curl.arg("--cacert").arg(ca).arg("-o").arg(&file).kill_on_drop(true);
    let _curl = curl.spawn().unwrap();
    let told = async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Ok(text.contains(&profile).then_some(()))
    };
    wait_until("the event", PATIENCE, told).await.unwrap();
}
