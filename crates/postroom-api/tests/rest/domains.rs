//! Domains: nothing of one is seen in another.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use crate::walk;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_store::NewEntity;
use postroom_testkit::on_both;
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
    let secret: Vec<String> =
        ids.values().cloned().chain([WORD, ADDRESS].map(str::to_owned)).collect();
    let filter = |id: &str| {
        let filter = format!(
            "[\"or\",[\"==\",[\"property\",\"id\"],\"{id}\"],[\"not\",[\"isnull\",[\"property\",\"id\"]]]]"
        );
        format!("?filter={filter}&count=true").replace('"', "%22").replace(' ', "%20")
    };
    let (mut leaks, mut asked, mut of_one) = (vec![], 0, 0);
    for walked in &operations {
        // The classes belong to all domains, and the other one may not change them.
        let mut queries = vec![String::new()];
        if walked.method == "GET" && !walked.is_of_one() {
            queries.extend(["?after=first".to_owned(), "?limit=1000".to_owned()]);
            queries.push("?aggregate=count,max(id)&group=id".to_owned());
            queries.extend(ids.values().map(|id| filter(id)));
        }
        for query in queries {
            let answered = walked.ask(&server, OTHER_TOKEN, &query).await;
            let text = String::from_utf8_lossy(&answered.bytes);
            let at = format!("{} {}{query}: {}", walked.method, walked.template, answered.status);
            // An answer may repeat the path that it was asked for.
            let own = ids
                .values()
                .find(|id| walked.path.contains(id.as_str()) || query.contains(id.as_str()));
            let shown = secret.iter().filter(|word| Some(*word) != own);
            leaks.extend(
                shown
                    .filter(|word| text.contains(word.as_str()))
                    .map(|word| format!("{at} {word}")),
            );
            asked += 1;
            if walked.is_of_one() {
                of_one += 1;
                // A new entity cannot have an id that exists. Without an engine, nothing is tried.
                let hidden = match walked.method.as_str() {
                    "GET" | "DELETE" => [404].as_slice(),
                    "PUT" if walked.template.contains(DOMAINS) => &[403],
                    _ => &[404, 409, 415, 422, 428],
                };
                if !hidden.contains(&answered.status) {
                    leaks.push(at);
                }
            }
        }
    }
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
    assert_eq!(ask("PATCH", "/rest/v1/design/classes/email/Messages").await.status, 403);
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
