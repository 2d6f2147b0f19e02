//! Who may ask, and what does not need asking.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_api::Limits;
use postroom_model::builtin::PROFILES;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn everything_but_health_asks_for_a_token() {
    let server = Server::start().await;
    let health = answer(server.anonymous("GET", "/healthz")).await;
    assert_eq!(health.expect(200), json!({"status": "ok"}));
    for path in ["email/Profiles", "email/Nothing", "/rest/v1/design/classes", "/", "/nothing"] {
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

#[tokio::test]
async fn five_wrong_tokens_lock_their_source_out() {
    let server = Server::start().await;
    let with = |token: &str| answer(server.anonymous("GET", PROFILES).bearer_auth(token));
    assert_eq!(with(TOKEN).await.status, 200);
    for _ in 0..5 {
        let refused = with("a-wrong-token-that-is-long").await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").contains("invalid_token"));
    }
    let locked = with("another-wrong-token").await;
    assert_eq!(locked.expect(429)["error_code"], 1429);
    assert!(locked.header("retry-after").parse::<u64>().unwrap() <= 181);
    assert_eq!(with(OTHER_TOKEN).await.status, 429, "a token that has not worked here before");
    assert_eq!(with(TOKEN).await.status, 200, "a client that works is not locked out by another");
    assert_eq!(answer(server.anonymous("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
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

#[tokio::test]
async fn classes_are_shown_in_their_own_form() {
    let server = Server::start().await;
    let classes = server.get("/rest/v1/design/classes").await.expect(200);
    let names: Vec<_> =
        classes.as_array().unwrap().iter().map(|c| c["classname"].clone()).collect();
    assert_eq!(names, ["email/Profiles", "email/Accounts", "email/Folders", "email/Messages"]);
    let one = server.get("/rest/v1/design/classes/email/Messages").await.expect(200);
    assert_eq!(one, classes[3]);
    assert!(one["properties"].as_array().unwrap().iter().any(|p| p["data_type"] == "attachment"));
    let by_id = format!("/rest/v1/design/classes/{}", one["id"].as_str().unwrap());
    assert_eq!(server.get(&by_id).await.expect(200), one);
    assert_eq!(server.get("/rest/v1/design/classes/email/Nothing").await.status, 404);
    let refused = server.send("POST", "/rest/v1/design/classes", &json!({})).await;
    assert_eq!(refused.expect(405)["error_code"], 1405);
    assert_eq!(refused.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = Server::start().await;
    let ids = [server.get(PROFILES).await, server.get("email/Nothing").await];
    assert_eq!(ids[0].header("x-request-id").len(), 36);
    assert_ne!(ids[0].header("x-request-id"), ids[1].header("x-request-id"));
}

#[tokio::test]
async fn half_a_request_takes_nothing_from_others() {
    let head_within = Duration::from_millis(300);
    let limits = Limits { connections_max: 2, head_within, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut half = vec![];
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-").await.unwrap();
        half.push(connection);
    }
    // All places are taken until the server gives up on them; then others have their turn.
    server.get("/healthz").await.expect(200);
    for mut connection in half {
        let mut rest = vec![];
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
    }
}
