//! The audit: who did what, and when.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const SESSIONS: &str = "/rest/v1/iam/sessions";
const PASSWORD: &str = "correct horse battery";

/// The entries that match all of these, the oldest first.
async fn entries(server: &Server, wanted: &[(&str, &str)]) -> Vec<Json> {
    let is = |(name, value): &(&str, &str)| json!(["==", ["property", name], value]);
    let filter: Vec<_> = [json!("and")].into_iter().chain(wanted.iter().map(is)).collect();
    let filter = Json::Array(filter).to_string().replace('"', "%22").replace(' ', "%20");
    let path = format!("{AUDIT}?filter={filter}&order=at");
    server.get(&path).await.expect(200).as_array().unwrap().clone()
}

async fn one(server: &Server, wanted: &[(&str, &str)]) -> Json {
    let mut found = entries(server, wanted).await;
    assert_eq!(found.len(), 1, "{wanted:?}: {found:?}");
    found.remove(0)
}

async fn ask(server: &Server, method: &str, path: &str, token: &str, body: &Json) -> Answer {
    answer(server.anonymous(method, path).bearer_auth(token).json(body)).await
}

async fn sign_in(server: &Server, login: &str, password: &str) -> Answer {
    let sent = json!({"login": login, "pwd": password});
    answer(server.anonymous("POST", SESSIONS).json(&sent)).await
}

#[on_both]
async fn each_change_of_a_client_is_told_with_who_made_it_and_without_values() {
    let server = Server::start().await;
    let values = json!({"name": "quillwort", "imapHost": "mail.example", "proxyPassword": "hush"});
    let values =
        server.request("POST", PROFILES).header("x-request-id", "order-4711").json(&values);
    let made = answer(values).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("{PROFILES}/{id}");
    let changes = json!({"imapPort": 143, "proxyPassword": "hush hush"});
    let changed = server.send("PATCH", &path, &changes).await.expect(200);
    answer(server.request("DELETE", &path)).await.expect(204);
    let all = entries(&server, &[("entity", id)]).await;
    let events: Vec<_> = all.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["create", "change", "delete"]);
    for entry in &all {
        let who = (&entry["actorType"], &entry["actor"], &entry["actorDomain"], &entry["class"]);
        assert_eq!(who, (&json!("token"), &json!("admin"), &json!("default"), &json!(PROFILES)));
        assert_eq!((&entry["source"], &entry["count"]), (&json!("127.0.0.1"), &json!(1)));
        let text = entry.to_string();
        assert!(!["quillwort", "hush", "mail.example"].iter().any(|word| text.contains(word)));
    }
    assert_eq!(all[0]["request"], "order-4711");
    let set = all[0]["properties"].as_array().unwrap();
    for name in ["name", "imapHost", "proxyPassword", "createdBy"] {
        assert!(set.contains(&json!(name)), "{set:?}");
    }
    assert!(!set.contains(&json!("imapPort")), "{set:?}");
    assert_eq!(all[1]["properties"], json!(["imapPort", "proxyPassword"]));
    // It has the number of the change, by which the feed is found.
    assert_eq!((&all[0]["seq"], &all[1]["seq"]), (&made["seq"], &changed["seq"]));
    // What Postroom does by itself is not told, and what happens to messages is in the feed alone.
    let (account, folder) = server.account().await;
    let draft = json!({"account_id": account, "messageDirection": "out", "subject": "a"});
    let draft = server.send("POST", MESSAGES, &draft).await.expect(201);
    let draft = draft["id"].as_str().unwrap();
    server
        .send("PATCH", &format!("{MESSAGES}/{draft}"), &json!({"subject": "b"}))
        .await
        .expect(200);
    assert_eq!(entries(&server, &[("entity", draft)]).await, Vec::<Json>::new());
    let message = server.received(&account, &folder).await;
    assert_eq!(entries(&server, &[("entity", message.as_str())]).await, Vec::<Json>::new());
}

#[on_both]
async fn nobody_writes_claims_or_changes_the_audit() {
    let server = Server::start().await;
    let entry = server.get(&format!("{AUDIT}?limit=1")).await.expect(200)[0].clone();
    let at = format!("{AUDIT}/{}", entry["id"].as_str().unwrap());
    let class = format!("/rest/v1/design/classes/{AUDIT}");
    let property = json!({"properties": [{"name": "mine", "data_type": "string"}]});
    for (method, path, body) in [
        ("POST", AUDIT, json!({"event": "login"})),
        ("PATCH", AUDIT, json!({"event": "login"})),
        ("CLEAR", AUDIT, json!({})),
        ("DELETE", AUDIT, json!({})),
        ("CLAIM", AUDIT, json!({})),
        ("PUT", &at, json!({"event": "login"})),
        ("PATCH", &at, json!({"event": "login"})),
        ("DELETE", &at, json!({})),
        ("PATCH", &class, property),
        ("DELETE", &class, json!({})),
    ] {
        let refused = server.send(method, path, &body).await.expect(403);
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("Postroom alone writes the audit"), "{method} {path}: {detail}");
    }
    assert_eq!(server.get(&at).await.expect(200), entry);
    let csv = answer(server.request("GET", AUDIT).header("accept", "text/csv")).await;
    assert!(String::from_utf8_lossy(&csv.bytes).contains("token.use"), "{csv:?}");
    // Only who may read `iam/…` reads it, and each domain has its own.
    let reader = json!({"name": "r", "role": "reader"});
    let reader = server.send("POST", TOKENS, &reader).await.expect(201);
    let reader = reader["token"].as_str().unwrap();
    ask(&server, "GET", AUDIT, reader, &Json::Null).await.expect(403);
    let other = ask(&server, "GET", AUDIT, OTHER_TOKEN, &Json::Null).await.expect(200);
    assert_eq!(other, json!([]));
}

#[on_both]
async fn logins_are_told_and_never_their_passwords() {
    let server = Server::start().await;
    let anna = json!({"login": "anna", "role": "admin", "password": PASSWORD});
    let anna = server.create(USERS, &anna).await;
    let begun = sign_in(&server, "anna", PASSWORD).await.expect(201);
    let value = begun["token"].as_str().unwrap();
    let login = one(&server, &[("event", "login")]).await;
    let who = (&login["actorType"], &login["actor"], &login["actorId"], &login["source"]);
    let anna = json!(anna);
    assert_eq!(who, (&json!("user"), &json!("user:anna"), &anna, &json!("127.0.0.1")));
    ask(&server, "DELETE", SESSIONS, value, &json!({})).await.expect(204);
    assert_eq!(one(&server, &[("event", "logout")]).await["actorId"], anna);
    for _ in 0..5 {
        sign_in(&server, "anna", "a wrong password").await.expect(401);
    }
    sign_in(&server, "anna", "a wrong password").await.expect(429);
    let refused = one(&server, &[("event", "login.refused")]).await;
    let who = (&refused["actorType"], &refused["actor"], &refused["actorId"]);
    assert_eq!(who, (&json!("nobody"), &json!("anna"), &Json::Null));
    one(&server, &[("event", "login.locked-out")]).await;
    let long = "x".repeat(5_000);
    sign_in(&server, &long, PASSWORD).await.expect(429);
    let long = [("event", "login.locked-out"), ("actor", &"x".repeat(100))];
    one(&server, &long).await;
    let stored = server.stored_bytes();
    assert!(!stored.windows(16).any(|bytes| bytes == b"a wrong password"));
}

#[on_both]
async fn uses_of_a_token_and_refusals_have_one_row_each() {
    let server = Server::start().await;
    let reader = json!({"name": "crm", "role": "reader"});
    let reader = server.send("POST", TOKENS, &reader).await.expect(201);
    let value = reader["token"].as_str().unwrap();
    for _ in 0..3 {
        ask(&server, "GET", PROFILES, value, &Json::Null).await.expect(200);
        ask(&server, "POST", PROFILES, value, &json!({"name": "p"})).await.expect(403);
        ask(&server, "GET", TOKENS, value, &Json::Null).await.expect(403);
        ask(&server, "GET", PROFILES, "a wrong token", &Json::Null).await.expect(401);
    }
    for event in ["token.use", "refused"] {
        let told = one(&server, &[("event", event), ("actor", "crm")]).await;
        assert_eq!((&told["actorId"], &told["source"]), (&reader["id"], &json!("127.0.0.1")));
    }
    // Whose the wrong token was is not known, so those who administer all domains see it.
    assert_eq!(entries(&server, &[("event", "token.refused")]).await, Vec::<Json>::new());
}

#[on_both]
async fn what_is_done_to_domains_and_the_configuration_is_told_to_who_administers_them() {
    let server = Server::start().await;
    let acme = json!({"name": "acme", "title": "Acme"});
    let acme = server.send("POST", DOMAINS, &acme).await.expect(201);
    let path = format!("{DOMAINS}/{}", acme["id"].as_str().unwrap());
    let token = json!({"name": "first", "role": "admin"});
    let token = server.send("POST", &format!("{path}/tokens"), &token).await.expect(201);
    let value = token["token"].as_str().unwrap();
    let config = "/rest/v1/config";
    server.send("PATCH", config, &json!({"retention": {"auditDays": 30}})).await.expect(200);
    let ticket = json!({"classname": "crm/Ticket",
        "properties": [{"name": "title", "data_type": "string"}]});
    server.send("POST", "/rest/v1/design/classes", &ticket).await.expect(201);
    server.send("POST", "/rest/v1/sending:resume", &json!({})).await.expect(200);
    let told = one(&server, &[("event", "configure")]).await;
    assert_eq!(told["details"]["version"], 1);
    assert_eq!(told["affectedDomain"], "master");
    let told = one(&server, &[("event", "design")]).await;
    assert_eq!(
        (&told["class"], &told["details"]["operation"]),
        (&json!("crm/Ticket"), &json!("create"))
    );
    one(&server, &[("event", "sending.resume")]).await;
    let id = acme["id"].as_str().unwrap();
    assert_eq!(one(&server, &[("event", "create"), ("entity", id)]).await["class"], DOMAINS);
    // The new domain sees who made its first token, and so does who did it.
    let of_acme = async || {
        let list = ask(&server, "GET", &format!("{AUDIT}?order=at"), value, &Json::Null).await;
        let list = list.expect(200);
        let told = |one: &Json| (one["event"].clone(), one["actorDomain"].clone());
        list.as_array().unwrap().iter().map(told).collect::<Vec<_>>()
    };
    let used = (json!("token.use"), json!("acme"));
    let made = (json!("create"), json!("default"));
    assert_eq!(of_acme().await, [made, used]);
    let made = one(&server, &[("entity", token["id"].as_str().unwrap())]).await;
    assert_eq!(made["affectedDomain"], "acme");
    // The deletion stays, though all that the domain had is gone.
    answer(server.request("DELETE", &format!("{path}?confirm=acme"))).await.expect(202);
    let erased = loop {
        if let Some(erased) = entries(&server, &[("event", "erased")]).await.pop() {
            break erased;
        }
    };
    assert_eq!((&erased["actorType"], &erased["entity"]), (&json!("system"), &acme["id"]));
    let begun = one(&server, &[("event", "erase")]).await;
    assert_eq!((&begun["actor"], &begun["details"]["domain"]), (&json!("admin"), &json!("acme")));
    let receipt = server.get("/rest/v1/erasures").await.expect(200)[0].clone();
    assert_eq!(receipt["erased"][AUDIT]["entities"], 2);
}
