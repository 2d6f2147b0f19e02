//! Who may ask, and what does not need asking.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_api::Limits;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

#[on_both]
async fn everything_but_health_asks_for_a_token() {
    let server = Server::start().await;
    let health = answer(server.anonymous("GET", "/healthz")).await;
    assert_eq!(health.expect(200), json!({"status": "ok"}));
    for path in ["email/Profiles", "email/Nothing", "/rest/v1/design/classes", "/nothing"] {
        let refused = answer(server.anonymous("GET", path)).await;
        let problem = refused.expect(401);
        assert_eq!(problem["error_code"], 1401, "{path}");
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{path}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    for odd in ["Basic YTpi", "Bearer", "Bearer ", TOKEN] {
        let request = server.anonymous("GET", PROFILES).header("authorization", odd);
        assert_eq!(answer(request).await.status, 401, "{odd}");
    }
    let lower =
        server.anonymous("GET", PROFILES).header("authorization", format!("bearer {TOKEN}"));
    assert_eq!(answer(lower).await.status, 200);
}

#[on_both]
async fn five_wrong_tokens_lock_their_source_out() {
    let server = Server::start().await;
    let with = |token: &str| answer(server.anonymous("GET", PROFILES).bearer_auth(token));
    for _ in 0..5 {
        let refused = with("a-wrong-token-that-is-long").await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").contains("invalid_token"));
    }
    let locked = with("another-wrong-token").await;
    assert_eq!(locked.expect(429)["error_code"], 1429);
    assert!(locked.header("retry-after").parse::<u64>().unwrap() <= 181);
    for good in [OTHER_TOKEN, TOKEN] {
        assert_eq!(with(good).await.status, 200, "a good token is not locked out by a wrong one");
    }
    assert_eq!(with("another-wrong-token").await.status, 429);
    assert_eq!(answer(server.anonymous("GET", "/healthz")).await.status, 200);
}

#[on_both]
async fn a_trusted_proxy_says_which_client_sends_wrong_tokens_and_nobody_else_does() {
    let direct = Server::start().await;
    let behind = direct.behind_proxy().await;
    for (server, others_status) in [(&behind, 401), (&direct, 429)] {
        let from = |addresses: &'static str| {
            let request = server.anonymous("GET", PROFILES).bearer_auth("another-wrong-token");
            answer(request.header("x-forwarded-for", addresses))
        };
        for _ in 0..5 {
            assert_eq!(from("203.0.113.5").await.status, 401);
        }
        assert_eq!(from("203.0.113.5").await.status, 429);
        // What the client writes itself does not make it another one.
        assert_eq!(from("203.0.113.6, 203.0.113.5").await.status, 429);
        assert_eq!(from("203.0.113.6").await.status, others_status);
    }
}

#[on_both]
async fn the_rest_of_a_token_is_not_guessed() {
    let server = Server::start().await;
    let with = |token: &str| answer(server.anonymous("GET", PROFILES).bearer_auth(token));
    for guess in 0..5 {
        // They begin as the token does.
        assert_eq!(with(&format!("a-token-{guess}")).await.status, 401);
    }
    let locked = with(TOKEN).await;
    assert_eq!(locked.expect(429)["type"], "urn:postroom:problem:locked-out");
    assert!(locked.header("retry-after").parse::<u64>().unwrap() <= 181);
    // The same token from another process that knows of no guess.
    let other = server.again(Limits::default()).await;
    other.get(PROFILES).await.expect(200);
    // Where it was accepted before, guesses do not lock it out.
    let with = |token: &str| answer(other.anonymous("GET", PROFILES).bearer_auth(token));
    for guess in 0..6 {
        assert!([401, 429].contains(&with(&format!("a-token-{guess}")).await.status));
    }
    assert_eq!(with(TOKEN).await.status, 200);
    assert_eq!(with(OTHER_TOKEN).await.status, 429);
}

#[on_both]
async fn a_token_that_sends_too_much_waits_and_no_other_does() {
    let requests_per_second = std::num::NonZeroU32::new(3);
    let limits = Limits { requests_per_second, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut refused = None;
    for _ in 0..200 {
        let answered = server.get(PROFILES).await;
        if answered.status == 429 {
            refused = Some(answered);
            break;
        }
        assert_eq!(answered.status, 200);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.json()["type"], "urn:postroom:problem:too-many-requests");
    assert_eq!(refused.header("retry-after"), "1");
    let other = server.anonymous("GET", PROFILES).bearer_auth(OTHER_TOKEN);
    assert_eq!(answer(other).await.status, 200);
    assert_eq!(answer(server.anonymous("GET", "/healthz")).await.status, 200);
    let again = async || Ok((server.get(PROFILES).await.status == 200).then_some(()));
    wait_until("its turn", Duration::from_secs(60), again).await.unwrap();
}

#[on_both]
async fn a_token_sees_only_its_domain() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let other = |method: &str, path: &str| {
        answer(server.anonymous(method, path).bearer_auth(OTHER_TOKEN).json(&json!({})))
    };
    assert_eq!(other("GET", "email/Accounts").await.expect(200), json!([]));
    let message = format!("email/Messages/{message}");
    for path in [format!("email/Accounts/{account}"), message.clone()] {
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(other(method, &path).await.status, 404, "{method} {path}");
        }
    }
    for below in ["file", "html", "rawMessage", "file/hello.txt"] {
        assert_eq!(other("GET", &format!("{message}/{below}")).await.status, 404, "{below}");
    }
    let stolen = json!({"profile_id": account, "address": "x@y.test"});
    let request = server.anonymous("POST", "email/Accounts").bearer_auth(OTHER_TOKEN);
    assert_eq!(
        answer(request.json(&stolen)).await.expect(422)["errors"][0]["property"],
        "profile_id"
    );
    assert_eq!(server.get(&message).await.status, 200);
}

#[on_both]
async fn classes_are_shown_in_their_own_form() {
    let server = Server::start().await;
    let classes = server.get("/rest/v1/design/classes").await.expect(200);
    let names: Vec<_> =
        classes.as_array().unwrap().iter().map(|c| c["classname"].clone()).collect();
    let all = ["Profiles", "Accounts", "Folders", "Messages", "Webhooks", "OAuthApps"];
    let all = all.iter().map(|name| format!("email/{name}"));
    assert_eq!(
        names,
        all.chain(["iam/Tokens", "iam/Domains", "iam/Users", "iam/Audit"].map(str::to_owned))
            .collect::<Vec<_>>()
    );
    let one = server.get("/rest/v1/design/classes/email/Messages").await.expect(200);
    assert_eq!(one, classes[3]);
    assert!(one["properties"].as_array().unwrap().iter().any(|p| p["data_type"] == "attachment"));
    let by_id = format!("/rest/v1/design/classes/{}", one["id"].as_str().unwrap());
    assert_eq!(server.get(&by_id).await.expect(200), one);
    assert_eq!(server.get("/rest/v1/design/classes/email/Nothing").await.status, 404);
    let refused = server.send("POST", "/rest/v1/design/classes", &json!({})).await;
    assert_eq!(refused.expect(422)["error_code"], 1422);
    let refused = server.send("PATCH", "/rest/v1/design/classes", &json!({})).await;
    assert_eq!(refused.expect(405)["error_code"], 1405);
    assert_eq!(refused.header("allow"), "GET, HEAD, POST, SYNC");
}

#[on_both]
async fn every_answer_names_its_request() {
    let server = Server::start().await;
    let ids = [server.get(PROFILES).await, server.get("email/Nothing").await];
    for answer in &ids {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let made = server.send("POST", "iam/Tokens", &json!({"name": "a", "role": "reader"})).await;
    assert!(made.expect(201)["token"].is_string());
    assert_eq!(made.header("cache-control"), "no-store");
    let read = server.get(&format!("iam/Tokens/{}", made.json()["id"].as_str().unwrap())).await;
    assert_eq!((read.status, read.header("cache-control")), (200, "private, no-cache"));
    assert_eq!(ids[0].header("x-request-id").len(), 36);
    assert_ne!(ids[0].header("x-request-id"), ids[1].header("x-request-id"));
    let with = |id: &str| answer(server.request("GET", PROFILES).header("x-request-id", id));
    assert_eq!(with("order-4711").await.header("x-request-id"), "order-4711");
    for odd in ["", "two words", "tab\tbed", "\"quoted\"", &"x".repeat(129)] {
        assert_eq!(with(odd).await.header("x-request-id").len(), 36, "{odd}");
    }
}

#[on_both]
async fn half_a_request_takes_nothing_from_others() {
    let limits = Limits { connections_max: 2, anonymous_max: 2, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut half = vec![];
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-").await.unwrap();
        half.push(connection);
    }
    // All places are taken; the oldest gives way.
    server.get("/healthz").await.expect(200);
    let mut rest = vec![];
    half[0].read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
}

#[on_both]
async fn nothing_follows_a_request_in_chunks_so_that_no_proxy_hides_another_one_in_it() {
    let server = Server::start().await;
    let next = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let table = [
        (
            format!(
                "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}",
                5 + next.len()
            ),
            1,
        ),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{next}"), 1),
        (format!("Content-Length: 0\r\n\r\n{next}"), 2),
    ];
    for (rest, want) in table {
        let mut connection = server.connect().await;
        let sent = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{rest}");
        connection.write_all(sent.as_bytes()).await.unwrap();
        let mut answered = vec![];
        let mut piece = [0; 4096];
        let count =
            |answered: &[u8]| String::from_utf8_lossy(answered).matches("HTTP/1.1 200 OK").count();
        // The server ends the connection, or has answered both.
        while count(&answered) < 2 {
            let read = connection.read(&mut piece).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            answered.extend_from_slice(&piece[..read]);
        }
        assert_eq!(count(&answered), want, "{rest:?}");
    }
}

#[on_both]
async fn a_connection_without_a_request_ends_soon() {
    let first_head_within = Duration::from_millis(200);
    let limits = Limits { first_head_within, ..Limits::default() };
    let server = Server::start_with(limits).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-"] {
        let mut connection = server.connect().await;
        connection.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = vec![];
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
    }
    // One that has asked stays for longer: it is there for the next request.
    let mut connection = server.connect().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut buffer = [0; 4096];
    assert!(connection.read(&mut buffer).await.unwrap() > 0);
    let silent = tokio::time::timeout(3 * first_head_within, connection.read(&mut buffer)).await;
    assert!(silent.is_err(), "{silent:?}");
    connection.write_all(request).await.unwrap();
    assert!(connection.read(&mut buffer).await.unwrap() > 0);
}

#[on_both]
async fn who_never_reads_keeps_nobody_out() {
    let limits = Limits { connections_max: 8, anonymous_max: 8, ..Limits::default() };
    let server = Server::start_with(limits).await;
    // A client with a good token keeps its connection, whoever else comes.
    let mut known = server.connect().await;
    let request = format!(
        "GET /rest/v1/model/email/Profiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    let mut buffer = [0; 4096];
    known.write_all(request.as_bytes()).await.unwrap();
    assert!(known.read(&mut buffer).await.unwrap() > 0);
    let pipelined = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let mut deaf = vec![];
    for _ in 0..40 {
        let connection = server.connect().await;
        // As much as goes; the server may have ended it already.
        let _ = connection.try_write(&pipelined);
        deaf.push(connection);
        server.get(PROFILES).await.expect(200);
        let mut stranger = server.connect().await;
        stranger.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(stranger.read(&mut buffer).await.unwrap() > 0);
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
    }
    known.write_all(request.as_bytes()).await.unwrap();
    assert!(known.read(&mut buffer).await.unwrap() > 0);
    assert!(buffer.starts_with(b"HTTP/1.1 200"));
}

fn request_of(token: &str) -> String {
    format!(
        "GET /rest/v1/model/{PROFILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
}

// Streams have no end, and bodies may take minutes. So a token that holds all places gives one back
// to whoever comes next.
#[on_both]
async fn who_has_a_token_keeps_nobody_else_out() {
    let limits = Limits { connections_max: 8, anonymous_max: 8, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let stream = format!(
        "GET /rest/v1/events?after=now HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {OTHER_TOKEN}\r\n\r\n"
    );
    let half = format!(
        "POST /rest/v1/model/{PROFILES} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {OTHER_TOKEN}\r\n\r\n{{"
    );
    let socket = format!(
        "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {OTHER_TOKEN}\r\n\r\n"
    );
    let mut own = server.connect().await;
    let mut buffer = [0; 4096];
    own.write_all(request_of(TOKEN).as_bytes()).await.unwrap();
    assert!(own.read(&mut buffer).await.unwrap() > 0);
    for (request, is_answered) in [(&stream, true), (&half, false), (&socket, true)] {
        let mut all = vec![];
        for _ in 0..12 {
            let mut connection = server.connect().await;
            // The server may have given its place to another already.
            let _ = connection.write_all(request.as_bytes()).await;
            if is_answered {
                let _ = connection.read(&mut buffer).await;
            }
            all.push(connection);
        }
        for _ in 0..3 {
            server.get(PROFILES).await.expect(200);
            assert_eq!(answer(server.anonymous("GET", "/livez")).await.status, 200, "{request}");
        }
        own.write_all(request_of(TOKEN).as_bytes()).await.unwrap();
        assert!(own.read(&mut buffer).await.unwrap() > 0, "an idle one of others stays: {request}");
    }
}

#[on_both]
async fn a_request_names_one_host() {
    let server = Server::start().await;
    #[rustfmt::skip]
    let table = [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",            "HTTP/1.1 200"),
        ("GET /healthz HTTP/1.0\r\n\r\n",                                            "HTTP/1.0 200"),
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",                       "HTTP/1.1 400"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", "HTTP/1.1 400"),
    ];
    for (request, want) in table {
        let mut connection = server.connect().await;
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answered = String::new();
        connection.read_to_string(&mut answered).await.unwrap();
        assert!(answered.starts_with(want), "{request}: {answered}");
    }
}

#[on_both]
async fn what_the_server_refuses_by_itself_has_a_body_too() {
    let server = Server::start().await;
    let long = format!("GET /healthz?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    let fields = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(200));
    let before = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (request, status, says) in [
        (long, 414, "65,534"),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(700_000)), 414, "65,534"),
        (fields, 431, "header fields"),
        ("NONSENSE\r\n\r\n".to_owned(), 400, "not HTTP/1.1"),
        ("GET /healthz?a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, "percent-encoded"),
    ] {
        for front in ["", before] {
            let mut connection = server.connect().await;
            let mut buffer = vec![0; 4096];
            if !front.is_empty() {
                connection.write_all(front.as_bytes()).await.unwrap();
                assert!(connection.read(&mut buffer).await.unwrap() > 0);
            }
            // The server may have refused it before all of it is written.
            let _ = connection.write_all(request.as_bytes()).await;
            let mut answered = vec![];
            let _ = connection.read_to_end(&mut answered).await;
            let answered = String::from_utf8(answered).unwrap();
            let (head, body) = answered.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answered}");
            assert!(head.contains("application/problem+json"), "{answered}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["status"], status);
            assert!(body["detail"].as_str().unwrap().contains(says), "{body}");
        }
    }
}
