//! `Idempotency-Key`: what is asked for twice is created once.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::WEBHOOKS;
use postroom_testkit::on_both;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::Value as Json;
use serde_json::json;

async fn post(server: &Server, (token, key): (&str, &str), body: &Json) -> Answer {
    let request = server.anonymous("POST", PROFILES).bearer_auth(token);
    answer(request.header("Idempotency-Key", key).json(body)).await
}

#[on_both]
async fn a_key_creates_once() {
    let server = Server::start().await;
    let (one, two) = (json!({"name": "one"}), json!({"name": "two"}));
    let first = post(&server, (TOKEN, "k1"), &one).await.expect(201);
    assert_eq!(post(&server, (TOKEN, "k1"), &one).await.expect(201), first);
    let reused = post(&server, (TOKEN, "k1"), &two).await.expect(422);
    assert!(reused["detail"].as_str().unwrap().contains("another request"), "{reused}");
    // The same in another order, as another run of the same program may write it.
    let turned = r#"{"options":{"retry_for":60,"retry_first":5},"name":"p"}"#;
    let straight = r#"{"name":"p","options":{"retry_first":5,"retry_for":60}}"#;
    let raw = async |body: &'static str| {
        let request = server.request("POST", PROFILES).header("Idempotency-Key", "order");
        answer(request.header("content-type", "application/json").body(body)).await.expect(201)
    };
    let created = raw(turned).await;
    assert_eq!(raw(straight).await, created);
    let path = format!("{PROFILES}/{}", created["id"].as_str().unwrap());
    answer(server.request("DELETE", &path)).await.expect(204);
    let other = post(&server, (OTHER_TOKEN, "k1"), &two).await.expect(201);
    assert_ne!(other["id"], first["id"]);
    let list = post(&server, (TOKEN, "k2"), &json!([one, two])).await.expect(201);
    assert_eq!(post(&server, (TOKEN, "k2"), &json!([one, two])).await.expect(201), list);
    let path = format!("{PROFILES}/{}", first["id"].as_str().unwrap());
    let changed = server.send("PATCH", &path, &json!({"name": "new"})).await.expect(200);
    assert_eq!(post(&server, (TOKEN, "k1"), &one).await.expect(201), changed);
    answer(server.request("DELETE", &path)).await.expect(204);
    post(&server, (TOKEN, "k1"), &one).await.expect(410);
    for bad in ["", &"x".repeat(256)] {
        post(&server, (TOKEN, bad), &one).await.expect(400);
    }
    assert_eq!(server.get(PROFILES).await.expect(200).as_array().unwrap().len(), 2);
}

#[on_both]
async fn a_key_is_for_the_same_files_too() {
    let server = Server::start().await;
    let post = async |content: &'static [u8]| {
        let file = Part::bytes(content).file_name("a.txt");
        let draft = json!({"messageDirection": "out", "subject": "s"}).to_string();
        let form = Form::new().text("message", draft).part("attachments", file);
        let request = server.request("POST", MESSAGES).header("Idempotency-Key", "k");
        answer(request.multipart(form)).await
    };
    let first = post(b"one").await.expect(201);
    assert_eq!(post(b"one").await.expect(201), first);
    post(b"two").await.expect(422);
    assert_eq!(server.get(MESSAGES).await.expect(200).as_array().unwrap().len(), 1);
}

#[on_both]
async fn many_at_once_create_one() {
    let server = Server::start().await;
    let body = json!({"name": "p"});
    let posts = (0..20).map(|_| post(&server, (TOKEN, "same"), &body));
    let answers = futures_util::future::join_all(posts).await;
    let ids: Vec<_> = answers.iter().map(|answer| answer.expect(201)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(server.get(PROFILES).await.expect(200).as_array().unwrap().len(), 1);
}

#[on_both]
async fn a_repeated_request_says_that_only_the_first_answer_had_the_secret() {
    let server = Server::start().await;
    let rights = json!([{"classes": ["email/Profiles"], "actions": ["read"]}]);
    let token = json!({"name": "t", "rights": rights});
    let webhook = json!({"url": "https://h.test/", "classes": ["email/Profiles"]});
    let mut known = webhook.clone();
    known["secret"] = json!("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz");
    for (class, body, again) in
        [(TOKENS, token, 409), (WEBHOOKS, webhook, 409), (WEBHOOKS, known, 201)]
    {
        let post = async || {
            let request = server.request("POST", class).header("Idempotency-Key", body.to_string());
            answer(request.json(&body)).await
        };
        let first = post().await.expect(201);
        let repeated = post().await.expect(again);
        let id = first["id"].as_str().unwrap();
        let names_it = again == 201 || repeated["detail"].as_str().unwrap().contains(id);
        assert!(names_it, "{repeated}");
    }
}

#[on_both]
async fn each_token_has_keys_of_its_own() {
    let server = Server::start().await;
    let rights = json!([{
        "classes": ["email/Profiles"], "actions": ["read", "create"],
        "filter": ["==", ["property", "name"], "mine"],
    }]);
    let made = server.send("POST", TOKENS, &json!({"name": "t", "rights": rights})).await;
    let bounded = made.expect(201)["token"].as_str().unwrap().to_owned();
    let (one, mine) = (json!({"name": "one"}), json!({"name": "mine"}));
    let first = post(&server, (TOKEN, "k"), &one).await.expect(201);
    // The same key is another one, and tells nothing of what others made.
    let created = post(&server, (&bounded, "k"), &mine).await.expect(201);
    assert_ne!(created["id"], first["id"]);
    assert_eq!(post(&server, (&bounded, "k"), &mine).await.expect(201), created);
    assert_eq!(post(&server, (TOKEN, "k"), &one).await.expect(201), first);
    // What its rights no longer reach is not called deleted.
    let path = format!("{PROFILES}/{}", created["id"].as_str().unwrap());
    server.send("PATCH", &path, &json!({"name": "other"})).await.expect(200);
    let gone = post(&server, (&bounded, "k"), &mine).await.expect(410);
    let detail = gone["detail"].as_str().unwrap();
    assert!(detail.contains("may no longer read it") && !detail.contains("01"), "{detail}");
}
