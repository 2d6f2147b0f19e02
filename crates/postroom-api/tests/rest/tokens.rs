//! Tokens with rights: who may do what, and when that ends.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use crate::walk;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::WEBHOOKS;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// A new token, and its value.
async fn token(server: &Server, values: &Json) -> (String, String) {
    let made = server.send("POST", TOKENS, values).await.expect(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (format!("{TOKENS}/{}", text("id")), text("token"))
}

fn granting(name: &str, actions: &[&str], classes: &[&str]) -> Json {
    json!({"name": name, "rights": [{"actions": actions, "classes": classes}]})
}

async fn status(server: &Server, token: &str, method: &str, path: &str) -> u16 {
    answer(server.anonymous(method, path).bearer_auth(token)).await.status
}

#[on_both]
async fn the_value_of_a_token_is_shown_once_and_only_its_hash_is_stored() {
    let server = Server::start().await;
    let (path, value) = token(&server, &json!({"name": "crm", "role": "operator"})).await;
    assert_eq!(value.len(), 64);
    let shown = server.get(&path).await.expect(200);
    let list = server.get(TOKENS).await.expect(200);
    let events = server.get("/rest/v1/events?after=first").await.expect(200);
    for seen in [&shown, &list, &events] {
        assert!(!seen.to_string().contains(&value), "{seen}");
    }
    assert_eq!(
        (&shown["name"], &shown["role"], &shown["enabled"]),
        (&json!("crm"), &json!("operator"), &json!(true))
    );
    assert_eq!(shown.get("token"), None);
    let stored = server.stored_bytes();
    assert!(!stored.windows(value.len()).any(|bytes| bytes == value.as_bytes()));
    // The feed names its holder.
    let profile = json!({"name": "by the CRM"});
    let request = server.anonymous("POST", PROFILES).bearer_auth(&value).json(&profile);
    let profile = answer(request).await.expect(201);
    let feed = server.feed(shown["seq"].as_i64().unwrap(), 1).await;
    assert_eq!(feed[0].entity.to_string(), profile["id"].as_str().unwrap());
    assert_eq!(feed[0].modifier.as_ref().and_then(|who| who.id()), Some("crm"));
    // Its use is written by the minute, and is no change.
    assert_eq!(shown["lastUsedAt"], Json::Null);
    for wrong in
        [json!({"token": "mine"}), json!({"token": null, "lastUsedAt": "2026-01-01T00:00:00Z"})]
    {
        server.send("PATCH", &path, &wrong).await.expect(422);
    }
    let mine = json!({"name": "mine", "role": "admin", "token": "a value that a client chose"});
    server.send("POST", TOKENS, &mine).await.expect(422);
    let same = json!({"name": "crm", "role": "reader"});
    let refused = server.send("POST", TOKENS, &same).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("a token of this name"), "{refused}");
    let other = server.anonymous("POST", TOKENS).bearer_auth(OTHER_TOKEN).json(&same);
    assert_eq!(answer(other).await.status, 201, "another domain has its own names");
}

#[on_both]
async fn a_token_ends_at_once() {
    let server = Server::start().await;
    let (path, value) = token(&server, &json!({"name": "crm", "role": "operator"})).await;
    let works = async || status(&server, &value, "GET", PROFILES).await;
    let patch = async |values: Json| server.send("PATCH", &path, &values).await.expect(200);
    assert_eq!(works().await, 200);
    patch(json!({"enabled": false})).await;
    assert_eq!(works().await, 401);
    patch(json!({"enabled": true})).await;
    assert_eq!(works().await, 200);
    patch(json!({"expiresAt": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(works().await, 401);
    patch(json!({"expiresAt": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(works().await, 200);
    patch(json!({"role": null, "rights": [{"actions": ["read"], "classes": [ACCOUNTS]}]})).await;
    assert_eq!(works().await, 403);
    answer(server.request("DELETE", &path)).await.expect(204);
    assert_eq!(works().await, 401);
}

#[on_both]
async fn a_stream_ends_with_its_token() {
    let server = Server::start().await;
    for end in ["delete", "disable", "role"] {
        let values = json!({"name": end, "role": "operator"});
        let (path, value) = token(&server, &values).await;
        let stream = server.anonymous("GET", "/rest/v1/events?after=now").bearer_auth(&value);
        let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
        let poll = server.anonymous("GET", "/rest/v1/events?after=now&wait=60&class=email/Folders");
        let poll = tokio::spawn(answer(poll.bearer_auth(&value)));
        server.create(PROFILES, &json!({"name": end})).await;
        let first = stream.chunk().await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&first).contains("profile.created"), "{first:?}");
        match end {
            "delete" => answer(server.request("DELETE", &path)).await.expect(204),
            "disable" => server.send("PATCH", &path, &json!({"enabled": false})).await.expect(200),
            _ => server.send("PATCH", &path, &json!({"role": "reader"})).await.expect(200),
        };
        server.create(PROFILES, &json!({"name": "after the end"})).await;
        let mut rest = vec![];
        while let Some(chunk) = stream.chunk().await.unwrap() {
            rest.extend_from_slice(&chunk);
        }
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("event: problem") && rest.contains("1401"), "{end}: {rest}");
        assert!(!rest.contains("after the end"), "{end}: {rest}");
        assert_eq!(poll.await.unwrap().status, 401, "{end}");
    }
}

#[on_both]
async fn every_operation_asks_for_a_right() {
    let server = Server::start().await;
    let ids = walk::filled(&server, "word").await;
    let (_, value) = token(&server, &granting("nothing", &["create"], &["none/*"])).await;
    // What depends on no entity, and shows the classes at most.
    let of_any = [
        ("GET", "/rest/v1/version"),
        ("GET", "/rest/v1/nodes"),
        ("GET", "/rest/v1/openapi.json"),
        ("GET", "/rest/v1/autoconfig"),
        ("GET", "/rest/v1/model/"),
        ("GET", "/rest/v1/model/{prefix}/"),
        ("GET", "/rest/v1/design/classes"),
        ("POST", "/rest/v1/design/classes:sync"),
        ("GET", "/rest/v1/design/classes/{classname}"),
        ("DELETE", "/rest/v1/iam/sessions"),
        // What is not the session of a user has none.
        ("GET", "/rest/v1/iam/totp"),
        ("POST", "/rest/v1/iam/totp"),
        ("DELETE", "/rest/v1/iam/totp"),
    ];
    let mut open = vec![];
    for walked in walk::operations(&server, &ids).await {
        let at = (walked.method.as_str(), walked.template.as_str());
        let answered = walked.ask(&server, &value, "").await;
        if walked.is_open || of_any.contains(&at) {
            open.push(walked.template.clone());
            assert_ne!(answered.status, 403, "{at:?}");
            continue;
        }
        let problem = answered.expect(403);
        let detail = problem["detail"].as_str().unwrap();
        // Nobody has a right to write the audit.
        let is_audit = at.0 != "GET" && at.1.contains(AUDIT) && detail.contains("is only read");
        assert!(is_audit || detail.contains("lacks the right `"), "{at:?}: {problem}");
    }
    assert!(
        of_any.iter().all(|(_, template)| open.iter().any(|seen| seen == template)),
        "{open:?}"
    );
}

#[on_both]
async fn a_reader_changes_nothing() {
    let server = Server::start().await;
    let ids = walk::filled(&server, "word").await;
    let (_, value) = token(&server, &json!({"name": "reader", "role": "reader"})).await;
    let before = walk::everything(&server).await;
    let reads = ["GET", "POST …:query", "POST …:lookup", "POST …:sync"];
    let mut read = 0;
    // A token that is no session is not ended, and has no second factor.
    let of_sessions = |walked: &walk::Walked| {
        ["/iam/sessions", "/iam/totp"].iter().any(|path| walked.template.contains(path))
    };
    for walked in walk::operations(&server, &ids).await {
        if of_sessions(&walked) {
            continue;
        }
        let twin = walked.path.rsplit_once(':').map(|(_, verb)| format!("POST …:{verb}"));
        let does = twin.unwrap_or_else(|| walked.method.clone());
        let answered = walked.ask(&server, &value, "").await;
        // A consent that is begun changes the account in the end.
        let is_read = !["/iam/", "/oauth/start", "/rest/v1/config", "/rest/v1/erasures"]
            .iter()
            .any(|no| walked.template.contains(no));
        let is_allowed = reads.contains(&does.as_str()) && is_read;
        let at = format!("{does} {}: {:?}", walked.template, answered.bytes);
        assert_eq!(answered.status != 403, is_allowed || walked.is_open, "{at}");
        read += usize::from(answered.status == 200);
    }
    assert!(read > 25, "{read}");
    assert_eq!(walk::everything(&server).await, before);
}

#[on_both]
async fn what_may_not_be_read_is_reached_by_no_way_round() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    server.received(&account, &folder).await;
    let rights = granting("few", &["read", "create", "change"], &[MESSAGES, WEBHOOKS]);
    let (_, value) = token(&server, &rights).await;
    let ask = async |path: &str| answer(server.anonymous("GET", path).bearer_auth(&value)).await;
    ask(MESSAGES).await.expect(200);
    // Neither a mask nor a filter looks through a reference.
    ask(&format!("{MESSAGES}?mask=account_id.address")).await.expect(422);
    let filter = json!(["==", ["property", "account_id.address"], "anna@b.test"]).to_string();
    let request = server.anonymous("GET", MESSAGES).query(&[("filter", &filter)]);
    answer(request.bearer_auth(&value)).await.expect(422);
    answer(server.request("GET", MESSAGES).query(&[("filter", &filter)])).await.expect(200);
    // Events are of these classes alone.
    let events = ask("/rest/v1/events?after=first").await.expect(200);
    let classes: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|e| &e["class"]).collect();
    assert_eq!(classes, [&json!(MESSAGES)]);
    ask(&format!("/rest/v1/events?after=first&class={ACCOUNTS}")).await.expect(403);
    // A webhook would tell everything.
    let hook = json!({"url": "https://elsewhere.example/", "classes": [MESSAGES]});
    let made = server.anonymous("POST", WEBHOOKS).bearer_auth(&value).json(&hook);
    let refused = answer(made).await.expect(403);
    assert!(refused["detail"].as_str().unwrap().contains("webhook"), "{refused}");
    let of_tokens = json!({"url": "https://elsewhere.example/", "classes": [TOKENS]});
    server.send("POST", WEBHOOKS, &of_tokens).await.expect(422);
    // Claims that change entities need that right too.
    let (_, claims) = token(&server, &granting("worker", &["read", "claim"], &["*"])).await;
    let claim =
        |body: Json| answer(server.anonymous("CLAIM", MESSAGES).bearer_auth(&claims).json(&body));
    claim(json!({"lease": 60, "set": {"subject": "mine"}})).await.expect(403);
    claim(json!({"lease": 60})).await.expect(200);
}

#[on_both]
async fn rights_that_can_never_be_used_are_not_given() {
    let server = Server::start().await;
    let read = json!({"actions": ["read"], "classes": [MESSAGES]});
    let (path, _) = token(&server, &json!({"name": "good", "rights": [read]})).await;
    let of = |actions: Json, classes: Json| json!({"actions": actions, "classes": classes});
    for (rights, place) in [
        (json!([of(json!(["change"]), json!([MESSAGES]))]), "rights[0].classes[0]"),
        (json!([read, of(json!(["read"]), json!(["*", "email/Nope"]))]), "rights[1].classes[1]"),
    ] {
        let new = json!({"name": "vain", "rights": rights});
        for (method, path, sent) in
            [("POST", TOKENS, &new), ("PATCH", path.as_str(), &json!({"rights": rights}))]
        {
            let problem = server.send(method, path, sent).await.expect(422);
            assert_eq!(problem["errors"][0]["property"], place, "{method} {problem}");
        }
    }
    let late = json!({"name": "late", "role": "reader", "expiresAt": "2020-01-01T00:00:00Z"});
    let problem = server.send("POST", TOKENS, &late).await.expect(422);
    assert_eq!(problem["errors"][0]["property"], "expiresAt", "{problem}");
    // A token that there is may end at once.
    server.send("PATCH", &path, &json!({"expiresAt": "2020-01-01T00:00:00Z"})).await.expect(200);
}

#[on_both]
async fn a_rotated_token_has_two_values_until_the_overlap_ends() {
    let server = Server::start().await;
    let (path, first) = token(&server, &json!({"name": "crm", "role": "reader"})).await;
    let works = async |value: &str| status(&server, value, "GET", PROFILES).await;
    let rotate = async |body: Json| {
        let request = server.request("ROTATE", &path).json(&body);
        let rotated = answer(request).await.expect(200);
        (rotated["token"].as_str().unwrap().to_owned(), rotated["formerTokenUntil"].clone())
    };
    assert_eq!(works(&first).await, 200);
    let (second, until) = rotate(json!({"overlap": 3600})).await;
    assert!(until.is_string() && second != first);
    assert_eq!((works(&first).await, works(&second).await), (200, 200));
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["formerTokenUntil"], shown.get("token")), (&until, None));
    // The first one ends with the second rotation.
    let (third, _) = rotate(json!({})).await;
    assert_eq!((works(&first).await, works(&second).await, works(&third).await), (401, 200, 200));
    let (fourth, until) = rotate(json!({"overlap": 0})).await;
    assert_eq!((works(&third).await, works(&fourth).await, until), (401, 200, Json::Null));
    // A short overlap ends by itself.
    let (fifth, _) = rotate(json!({"overlap": 0.2})).await;
    while works(&fourth).await != 401 {}
    assert_eq!(works(&fifth).await, 200);
    let stored = server.stored_bytes();
    for secret in [&first, &second, &third, &fourth, &fifth] {
        assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
    }
    for wrong in [json!({"overlap": -1}), json!({"overlap": "a"}), json!({"more": 1}), json!([])] {
        answer(server.request("ROTATE", &path).json(&wrong)).await.expect(422);
    }
    let stale = server.request("ROTATE", &path).header("if-match", "\"1\"").json(&json!({}));
    answer(stale).await.expect(412);
    let rights = json!({"name": "few", "rights": [{"actions": ["read"], "classes": [TOKENS]}]});
    let (_, few) = token(&server, &rights).await;
    assert_eq!(status(&server, &few, "ROTATE", &path).await, 403);
    let missing = format!("{TOKENS}/0192d000-0000-7000-8000-0000000000ff");
    answer(server.request("ROTATE", &missing).json(&json!({}))).await.expect(404);
}
