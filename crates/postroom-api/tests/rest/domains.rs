//! Domains: nothing of one is seen in another.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use crate::walk;
use crate::walk::Leaks;
use crate::walk::Walk;
use crate::walk::Walked;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_store::NewEntity;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// A word that is in every text of the default domain.
const WORD: &str = "quillwort";
/// Another one, which no answer to the other domain may have either.
const ADDRESS: &str = "anna@b.test";

#[on_both]
async fn no_operation_shows_or_changes_anything_of_another_domain() {
    let server = Server::start().await;
    let ids = walk::filled(&server, WORD).await;
    let operations = walk::operations(&server, &ids).await;
    let before = walk::everything(&server).await;
    assert!(before.len() >= ids.len());
    let words = [WORD, ADDRESS];
    let walk = Walk { server: &server, ids: &ids, operations: &operations, words: &words };
    let Leaks { leaks, asked, of_one } = walk.leaks(OTHER_TOKEN, is_refused).await;
    assert_eq!(leaks, Vec::<String>::new());
    assert_eq!(walk::everything(&server).await, before);
    assert!(asked > 300 && of_one > 40, "{asked} {of_one}");
}

#[on_both]
async fn a_domain_is_made_renamed_and_suspended_by_who_administers_all() {
    let server = Server::start().await;
    let acme = json!({"name": "acme", "title": "Acme"});
    let made = server.send("POST", DOMAINS, &acme).await.expect(201);
    server.send("POST", DOMAINS, &acme).await.expect(409);
    let path = format!("{DOMAINS}/{}", made["id"].as_str().unwrap());
    server.send("PATCH", &path, &json!({"name": "other"})).await.expect(422);
    let renamed = server.send("PATCH", &path, &json!({"title": "Acme Ltd"})).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["title"]), (&json!("acme"), &json!("Acme Ltd")));
    let first = json!({"name": "first", "role": "admin"});
    let first = server.send("POST", &format!("{path}/tokens"), &first).await.expect(201);
    let value = first["token"].as_str().unwrap();
    let ask = async |method: &str, path: &str| {
        answer(server.anonymous(method, path).bearer_auth(value).json(&json!({"name": "a"}))).await
    };
    // Its holder is in the new domain, and administers no other.
    assert_eq!(ask("GET", TOKENS).await.expect(200)[0]["id"], first["id"]);
    assert_eq!(server.get(TOKENS).await.expect(200), json!([]));
    assert_eq!(ask("GET", DOMAINS).await.expect(200), json!([]));
    assert_eq!(ask("GET", &path).await.status, 404);
    assert_eq!(ask("POST", &format!("{path}/tokens")).await.status, 404);
    assert_eq!(ask("POST", DOMAINS).await.status, 403);
    assert_eq!(ask("POST", "/rest/v1/sending:resume").await.status, 403);
    // It changes the classes of mail for itself, and no others.
    assert_eq!(ask("PATCH", "/rest/v1/design/classes/iam/Tokens").await.status, 403);
    assert_eq!(ask("POST", "/rest/v1/design/classes").await.status, 403);
    assert_eq!(ask("DELETE", "/rest/v1/design/classes/email/Messages").await.status, 403);
    assert_eq!(ask("POST", PROFILES).await.status, 201);
    assert_eq!(server.get(PROFILES).await.expect(200), json!([]));
    // An admin of `master` administers domains, and another role there does not.
    for (role, status) in [("admin", 200), ("operator", 403)] {
        let domain = Domain::master();
        let class = server.store.builtin(TOKENS).unwrap();
        let value = format!("a token of {role}");
        let values = json!({"name": value, "role": role, "enabled": true, "token": value});
        let values = values.as_object().unwrap().clone();
        let entity = Entity::new(server.store.clock().new_id(), values);
        let new = NewEntity { entity, files: vec![] };
        server.store.entity_create(&domain, &class, vec![new]).await.unwrap();
        let request = server.anonymous("GET", &path).bearer_auth(format!("a token of {role}"));
        assert_eq!(answer(request).await.status, status, "{role}");
    }

    let stream = server.anonymous("GET", "/rest/v1/events?after=now").bearer_auth(value);
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    server.send("PATCH", &path, &json!({"suspended": true})).await.expect(200);
    let refused = ask("GET", PROFILES).await.expect(403);
    assert_eq!(refused["type"], "urn:postroom:problem:suspended");
    while stream.chunk().await.unwrap().is_some() {}
    server.get(PROFILES).await.expect(200);
    server.send("PATCH", &path, &json!({"suspended": false})).await.expect(200);
    assert_eq!(ask("GET", PROFILES).await.expect(200)[0]["name"], "a");

    let in_use = answer(server.request("DELETE", &path)).await.expect(409);
    assert!(in_use["detail"].as_str().unwrap().contains("email/Profiles"), "{in_use}");
    for class in [PROFILES, TOKENS] {
        for entity in ask("GET", class).await.expect(200).as_array().unwrap() {
            let at = format!("{class}/{}", entity["id"].as_str().unwrap());
            answer(server.anonymous("DELETE", &at).bearer_auth(value)).await.expect(204);
        }
    }
    assert_eq!(ask("GET", PROFILES).await.status, 401);
    answer(server.request("DELETE", &path)).await.expect(204);
}

#[on_both]
async fn a_domain_is_deleted_with_all_that_it_has_and_leaves_a_receipt() {
    let server = Server::start().await;
    let acme = json!({"name": "acme", "title": "Acme"});
    let made = server.send("POST", DOMAINS, &acme).await.expect(201);
    let path = format!("{DOMAINS}/{}", made["id"].as_str().unwrap());
    let first = json!({"name": "first", "role": "admin"});
    let first = server.send("POST", &format!("{path}/tokens"), &first).await.expect(201);
    let value = first["token"].as_str().unwrap();
    let ask = async |method: &str, path: &str| {
        answer(server.anonymous(method, path).bearer_auth(value).json(&json!({"name": "a"}))).await
    };
    for _ in 0..3 {
        ask("POST", PROFILES).await.expect(201);
    }
    answer(server.request("DELETE", &path)).await.expect(409);
    let delete = async |name: &str| {
        answer(server.request("DELETE", &format!("{path}?confirm={name}"))).await
    };
    let other = delete("other").await.expect(409);
    assert_eq!(other["type"], "urn:postroom:problem:unconfirmed");
    assert_eq!(ask("DELETE", &format!("{path}?confirm=acme")).await.status, 404);
    assert_eq!(server.get("/rest/v1/erasures").await.expect(200), json!([]));
    let begun = delete("acme").await.expect(202);
    assert_eq!((&begun["domain"], &begun["id"]), (&json!("acme"), &made["id"]));
    let refused = ask("GET", PROFILES).await.status;
    assert!([401, 403].contains(&refused), "{refused}");
    let receipt = loop {
        let receipt = server.get("/rest/v1/erasures").await.expect(200)[0].clone();
        if !receipt["endedAt"].is_null() {
            break receipt;
        }
        // It is deleted already, or just now.
        let again = delete("acme").await.status;
        assert!([404, 409].contains(&again), "{again}");
    };
    assert_eq!((&receipt["by"], &receipt["title"]), (&json!("admin"), &json!("Acme")));
    let of = |count: u64| json!({"entities": count, "bytes": 0});
    // The audit had the three profiles, the token, and its first use.
    let erased = json!({"email/Profiles": of(3), "iam/Audit": of(5), "iam/Tokens": of(1)});
    assert_eq!(receipt["erased"], erased);
    assert!(receipt["rows"].as_u64() > Some(4), "{receipt}");
    assert_eq!(ask("GET", PROFILES).await.status, 401);
    assert_eq!(server.get(&path).await.status, 404);
    let request = server.anonymous("GET", "/rest/v1/erasures").bearer_auth(OTHER_TOKEN);
    assert_eq!(answer(request).await.expect(200), json!([]));
    server.send("POST", DOMAINS, &acme).await.expect(201);
}

#[on_both]
async fn a_limit_of_a_domain_says_which_it_is_and_what_to_do() {
    let server = Server::start().await;
    let acme = json!({"name": "acme", "tokensMax": 2});
    let made = server.send("POST", DOMAINS, &acme).await.expect(201);
    let path = format!("{DOMAINS}/{}", made["id"].as_str().unwrap());
    let tokens = format!("{path}/tokens");
    let token = |name: &str| json!({"name": name, "role": "admin"});
    for name in ["a", "b"] {
        server.send("POST", &tokens, &token(name)).await.expect(201);
    }
    let refused = server.send("POST", &tokens, &token("c")).await.expect(409);
    assert_eq!(refused["type"], "urn:postroom:problem:limit");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("may have 2 tokens") && detail.contains("`tokensMax`"), "{detail}");
    server.send("PATCH", &path, &json!({"tokensMax": -1})).await.expect(422);
    server.send("PATCH", &path, &json!({"tokensMax": null})).await.expect(200);
    server.send("POST", &tokens, &token("c")).await.expect(201);
}

/// A word that is in all that one domain adds to classes.
const ADDED: &str = "toadflax";
/// The classes to which domains add something.
const EXTENDED: [&str; 4] = ["email/Profiles", "email/Accounts", "email/Folders", "email/Messages"];

/// Whether an operation is refused in the own domain too. Nobody writes the audit.
fn is_refused(walked: &Walked) -> bool {
    match walked.method.as_str() {
        "PUT" => [DOMAINS, AUDIT].iter().any(|class| walked.template.contains(class)),
        method => method != "GET" && walked.template.contains(AUDIT),
    }
}

/// A new domain, and a token of it that may do everything.
async fn tenant(server: &Server, name: &str) -> String {
    let made = server.send("POST", DOMAINS, &json!({"name": name})).await.expect(201);
    let path = format!("{DOMAINS}/{}/tokens", made["id"].as_str().unwrap());
    let first = json!({"name": "first", "role": "admin"});
    let first = server.send("POST", &path, &first).await.expect(201);
    first["token"].as_str().unwrap().to_owned()
}

#[on_both]
async fn what_domains_add_under_one_name_is_in_no_answer_to_another() {
    let server = Server::start().await;
    let ids = walk::filled(&server, WORD).await;
    let acme = tenant(&server, "acme").await;
    let send = async |token: &str, method: &str, path: &str, body: &Json| {
        answer(server.anonymous(method, path).bearer_auth(token).json(body)).await
    };
    let mut classes = vec![];
    for class in EXTENDED {
        let path = format!("/rest/v1/design/classes/{class}");
        let mut properties = vec![
            json!({"name": "ticketId", "data_type": "string", "caption": ADDED}),
            json!({"name": ADDED, "data_type": "enum", "items": ["a"]}),
        ];
        if class == "email/Messages" {
            properties.push(json!({"name": "messageState", "items": [format!("{ADDED} state")]}));
        }
        let body = json!({"description": ADDED, "properties": properties});
        classes.push((path.clone(), send(&acme, "PATCH", &path, &body).await.expect(200)));
        let body = json!({"properties": [{"name": "ticketId", "data_type": "long"}]});
        send(OTHER_TOKEN, "PATCH", &path, &body).await.expect(200);
    }
    let values = json!({"name": "p", "ticketId": format!("{ADDED} 7"), ADDED: "a"});
    let profile = send(&acme, "POST", PROFILES, &values).await.expect(201);
    let values = json!({"messageDirection": "out", "ticketId": ADDED,
                        "messageState": format!("{ADDED} state")});
    let message = send(&acme, "POST", "email/Messages", &values).await.expect(201);
    let operations = walk::operations(&server, &ids).await;
    let id = |entity: &Json| entity["id"].as_str().unwrap().to_owned();
    let (profile, message) = (id(&profile), id(&message));
    let words = [WORD, ADDRESS, ADDED, &profile, &message];
    let walk = Walk { server: &server, ids: &ids, operations: &operations, words: &words };
    let Leaks { leaks, asked, .. } = walk.leaks(OTHER_TOKEN, is_refused).await;
    assert_eq!(leaks, Vec::<String>::new());
    assert!(asked > 300, "{asked}");
    // Those who administer the classes see nothing of it either.
    for walked in operations.iter().filter(|walked| walked.method == "GET") {
        let answered = walked.ask(&server, crate::server::TOKEN, "").await;
        let text = String::from_utf8_lossy(&answered.bytes);
        let leaked = [ADDED, &profile, &message].iter().any(|word| text.contains(*word));
        assert!(!leaked, "{} {}: {text}", walked.method, walked.template);
    }
    for (path, class) in classes {
        assert_eq!(send(&acme, "GET", &path, &json!(null)).await.expect(200), class, "{path}");
    }
}

#[on_both]
async fn a_domain_adds_to_a_class_for_itself_alone() {
    let server = Server::start().await;
    let acme = tenant(&server, "acme").await;
    let ask = async |method: &str, path: &str, body: &Json| {
        let request = server.anonymous(method, path).bearer_auth(&acme);
        let request = if body.is_null() { request } else { request.json(body) };
        answer(request).await
    };
    let (none, path) = (Json::Null, "/rest/v1/design/classes/email/Profiles");
    let before = server.get(path).await.expect(200);
    let body = json!({"properties": [
        {"name": "ticketId", "data_type": "string", "opts": {"max_length": 20}}]});
    let changed = ask("PATCH", path, &body).await;
    let (tag, changed) = (changed.headers["etag"].clone(), changed.expect(200));
    let has = |class: &Json| {
        class["properties"].as_array().unwrap().iter().any(|one| one["name"] == "ticketId")
    };
    assert!(has(&changed) && !changed.to_string().contains("own text"), "{changed}");
    assert_eq!(server.get(path).await.expect(200), before);
    assert_eq!(ask("GET", path, &none).await.headers["etag"], tag);
    // What changes nothing is no change.
    assert_eq!(ask("PATCH", path, &body).await.headers["etag"], tag);

    let made = ask("POST", PROFILES, &json!({"name": "p", "ticketId": "t7"})).await.expect(201);
    assert_eq!(made["ticketId"], "t7");
    let refused = json!({"name": "p", "ticketId": "t7"});
    server.send("POST", PROFILES, &refused).await.expect(422);
    ask("POST", PROFILES, &json!({"name": "p", "ticketId": "t".repeat(21)})).await.expect(422);
    let filter = "?filter=[%22==%22,[%22property%22,%22ticketId%22],%22t7%22]&mask=ticketId";
    let found = ask("GET", &format!("{PROFILES}{filter}&order=-ticketId"), &none).await.expect(200);
    assert_eq!(found[0]["ticketId"], "t7", "{found}");
    server.get(&format!("{PROFILES}{filter}")).await.expect(422);
    let events = ask("GET", "/rest/v1/events?after=first&class=email/Profiles", &none).await;
    let events = events.expect(200).to_string();
    assert!(events.contains("\"ticketId\":\"t7\""), "{events}");
    for (document, shows) in [
        (ask("GET", "/rest/v1/openapi.json", &none).await.expect(200), true),
        (server.get("/rest/v1/openapi.json").await.expect(200), false),
    ] {
        assert_eq!(document.to_string().contains("ticketId"), shows);
    }

    // All domains cannot get a property of the name. The answer does not tell whose it is.
    let taken = json!({"properties": [{"name": "ticketID", "data_type": "long"}]});
    let refused = server.send("PATCH", path, &taken).await.expect(422).to_string();
    assert!(refused.contains("choose another name") && !refused.contains("acme"), "{refused}");
    let indexes = json!({"opts": {"indexes": [["ticketId"]]}});
    let refused = ask("PATCH", path, &indexes).await.expect(422).to_string();
    assert!(refused.contains("opts.indexes"), "{refused}");
    let removed = json!({"properties": [{"name": "ticketId", "removed": true}]});
    let unconfirmed = ask("PATCH", path, &removed).await.expect(409);
    assert_eq!(unconfirmed["type"], "urn:postroom:problem:unconfirmed");
    ask("PATCH", &format!("{path}?confirm=1"), &removed).await.expect(200);
    let id = made["id"].as_str().unwrap();
    let profile = ask("GET", &format!("{PROFILES}/{id}"), &none).await.expect(200);
    assert!(profile.get("ticketId").is_none(), "{profile}");
}

#[on_both]
async fn another_domain_of_the_same_name_begins_anew_and_what_one_adds_is_not_lost_unasked() {
    let server = Server::start().await;
    let path = "/rest/v1/design/classes/email/Profiles";
    let before = server.get(path).await.expect(200);
    let acme = tenant(&server, "acme").await;
    let body = json!({"properties": [{"name": "ticketId", "data_type": "string"}]});
    let changed = server.anonymous("PATCH", path).bearer_auth(&acme).json(&body);
    answer(changed).await.expect(200);
    let domains = server.get(DOMAINS).await.expect(200);
    let domain = format!("{DOMAINS}/{}", domains[0]["id"].as_str().unwrap());
    answer(server.request("DELETE", &format!("{domain}?confirm=acme"))).await.expect(202);
    while server.get(&domain).await.status != 404 {}
    let acme = tenant(&server, "acme").await;
    let class = answer(server.anonymous("GET", path).bearer_auth(&acme)).await.expect(200);
    assert_eq!(class, before);
    let body = json!({"name": "Profiles of Acme"});
    let changed = server.anonymous("PATCH", path).bearer_auth(&acme).json(&body);
    answer(changed).await.expect(200);
    // What a domain adds is not lost with a deletion that loses nothing else.
    let of_acme = async |method: &str, path: &str| {
        answer(server.anonymous(method, path).bearer_auth(&acme)).await
    };
    let tokens = of_acme("GET", TOKENS).await.expect(200);
    let token = format!("{TOKENS}/{}", tokens[0]["id"].as_str().unwrap());
    of_acme("DELETE", &token).await.expect(204);
    let domains = server.get(DOMAINS).await.expect(200);
    let domain = format!("{DOMAINS}/{}", domains[0]["id"].as_str().unwrap());
    let refused = answer(server.request("DELETE", &domain)).await.expect(409).to_string();
    assert!(refused.contains("adds to classes"), "{refused}");
    answer(server.request("DELETE", &format!("{domain}?confirm=acme"))).await.expect(202);
}
