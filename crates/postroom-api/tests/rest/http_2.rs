//! HTTP/2 without TLS: what it takes, and when a connection ends.

use crate::server::Server;
use crate::server::TOKEN;
use crate::tls::curl;
use postroom_api::Limits;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client begins with, with no settings of its own (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// A GET of a path without a token, as the first request of a connection.
fn get(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // :method GET, :scheme http, :path, :authority (RFC 7541 §6).
    let block = [b"\x82\x86\x04".to_vec(), text(path), b"\x41".to_vec(), text("x")].concat();
    let length = u8::try_from(block.len()).unwrap();
    // HEADERS with END_STREAM and END_HEADERS.
    [vec![0, 0, length, 1, 5, 0, 0, 0, 1], block].concat()
}

#[on_both]
async fn a_client_may_begin_with_http_2() {
    let server = Server::start().await;
    let (url, bearer) = (server.url(""), format!("Authorization: Bearer {TOKEN}"));
    let with = async |path: &str, more: &[&str]| {
        let url = format!("{url}{path}");
        let format = "\n%{http_version} %{response_code}";
        let arguments = ["-sS", "--http2-prior-knowledge", "-w", format];
        curl(&[&arguments, more, &["-H", &bearer, &url]].concat()).await.unwrap()
    };
    assert!(with("/healthz", &[]).await.ends_with("2 200"));
    let body = json!({"name": "two"}).to_string();
    let json = "Content-Type: application/json";
    let path = format!("/rest/v1/model/{PROFILES}");
    let created = with(&path, &["-d", &body, "-H", json]).await;
    assert!(created.ends_with("2 201"), "{created}");
    // A method of our own, and a refusal.
    let listed = with(&path, &["-X", "QUERY", "-d", "{}", "-H", json]).await;
    assert!(listed.contains("\"two\"") && listed.ends_with("2 200"), "{listed}");
    let refused = with(&path, &["-d", "{", "-H", json]).await;
    assert!(refused.contains("invalid-json") && refused.ends_with("2 400"), "{refused}");
    // A head in several frames.
    let fields: Vec<_> = (0..5).map(|n| format!("X-{n}: {}", "x".repeat(10_000))).collect();
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-H", field]).collect();
    assert!(with("/healthz", &fields).await.ends_with("2 200"));
    let socket = with("/ws", &[]).await;
    assert!(socket.contains("no-web-socket"), "{socket}");
}

#[on_both]
async fn a_connection_of_http_2_that_asks_nothing_ends() {
    let limits = Limits { head_within: Duration::from_millis(400), ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut connection = server.connect().await;
    connection.write_all(&[PREFACE, &get("/healthz")].concat()).await.unwrap();
    let mut answered = vec![];
    let ended = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answered)).await;
    assert!(ended.is_ok());
    let status = br#"{"status":"ok"}"#;
    assert!(answered.windows(status.len()).any(|window| window == status));
}

#[on_both]
async fn who_leaves_an_answer_of_http_2_unread_loses_the_connection() {
    let limits = Limits { read_within: Duration::from_millis(400), ..Limits::default() };
    let server = Server::start_with(limits).await;
    // Its window is 65,535 bytes, and it never gives more.
    let mut connection = server.connect().await;
    connection
        .write_all(&[PREFACE, &get("/rest/v1/docs/files/swagger-ui-bundle.js")].concat())
        .await
        .unwrap();
    let mut answered = vec![];
    let ended = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answered)).await;
    assert!(ended.is_ok(), "{} bytes", answered.len());
    assert!(answered.len() > 65_000, "{} bytes", answered.len());
    // Whoever reads gets all of it.
    let url = server.url("/rest/v1/docs/files/swagger-ui-bundle.js");
    let sizes = ["-w", "%{size_download}", "-o", "/dev/null"];
    let size = curl(&[&["-sS", "--http2-prior-knowledge", &url], sizes.as_slice()].concat()).await;
    assert!(size.unwrap().parse::<u64>().unwrap() > 1_000_000);
}
