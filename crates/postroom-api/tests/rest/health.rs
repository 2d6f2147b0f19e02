//! `/healthz`: whether all works, and what there is to do.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

#[on_both]
async fn an_engine_that_does_not_work_is_told_at_once() {
    let store = Server::start().await;
    let is_broken = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_broken);
    let problem = move || asked.load(Ordering::Relaxed).then(|| "2 tasks ended".to_owned());
    let server = store.with_engine(problem).await;
    let anonymous = || answer(server.anonymous("GET", "/healthz"));
    anonymous().await.expect(200);
    is_broken.store(true, Ordering::Relaxed);
    let told = anonymous().await.expect(503);
    assert_eq!(told["detail"], "the engine does not work", "{told}");
    assert_eq!(server.get("/healthz").await.expect(503)["detail"], "2 tasks ended");
    is_broken.store(false, Ordering::Relaxed);
    anonymous().await.expect(200);
}

#[on_both]
async fn a_process_is_alive_also_when_it_is_not_ready() {
    let store = Server::start().await;
    let server = store.with_engine(|| Some("2 tasks ended".to_owned())).await;
    answer(server.anonymous("GET", "/readyz")).await.expect(503);
    let alive = answer(server.anonymous("GET", "/livez")).await;
    assert_eq!(alive.expect(200), json!({"status": "ok"}));
    answer(server.anonymous("GET", "/rest/v1/version")).await.expect(401);
    let version = server.get("/rest/v1/version").await.expect(200);
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION")}));
}

#[on_both]
async fn a_node_says_what_it_can_do_and_which_nodes_there_are() {
    let server = Server::start().await;
    let ready = answer(server.anonymous("GET", "/readyz")).await.expect(200);
    assert_eq!(ready, json!({"status": "ok", "can": ["rest"]}));
    let at = |path: &str| answer(server.anonymous("GET", path));
    at("/readyz?for=rest").await.expect(200);
    let not_active = at("/readyz?for=mail").await.expect(503);
    assert_eq!(not_active["detail"], "this node does not receive and send mail now");
    at("/readyz?for=x").await.expect(422);
    at("/rest/v1/nodes").await.expect(401);
    let nodes = server.get("/rest/v1/nodes").await.expect(200);
    let node = &nodes[0];
    assert_eq!(nodes.as_array().unwrap().len(), 1, "{nodes}");
    assert_eq!((&node["name"], &node["group"]), (&json!("postroom"), &json!(1)));
    assert_eq!((&node["state"], &node["epoch"]), (&json!("waiting"), &json!(null)));
    assert_eq!((&node["role"], &node["self"]), (&json!("email"), &json!(true)));
    let _leader = server.store.lead().await.unwrap();
    let nodes = server.get("/rest/v1/nodes").await.expect(200);
    assert_eq!((&nodes[0]["state"], &nodes[0]["epoch"]), (&json!("active"), &json!(1)));
}

#[on_both]
async fn with_a_token_health_tells_what_there_is_to_do() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let mut message = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": ["b@c.test"], "dateTime": "2020-01-01T00:00:00Z",
    });
    server.create(MESSAGES, &message).await;
    message["dateTime"] = json!("9999-12-31T23:59:59Z");
    server.create(MESSAGES, &message).await;
    let told = server.get("/healthz").await.expect(200);
    assert_eq!((&told["status"], &told["accounts"]), (&json!("ok"), &json!({"new": 1})));
    let pending = json!({"messages": 0, "folders": 0, "oldestProofAt": null});
    assert_eq!(told["pending"], pending);
    assert_eq!(told["queue"]["messages"], 1, "one is due, the other waits for its time");
    assert_eq!(told["queue"]["planned"], 1);
    assert_eq!(told["queue"]["oldest"], "2020-01-01T00:00:00.000Z");
    assert!(told["queue"]["ageSeconds"].as_i64().unwrap() > 100_000_000);
    let other = answer(server.anonymous("GET", "/healthz").bearer_auth(OTHER_TOKEN)).await;
    assert_eq!(other.expect(200)["accounts"], json!({}));
    let wrong = answer(server.anonymous("GET", "/healthz").bearer_auth("wrong")).await;
    wrong.expect(401);
    let anonymous = answer(server.anonymous("GET", "/healthz")).await;
    assert_eq!(anonymous.expect(200), json!({"status": "ok"}));
}
