//! Entities: create, read, change, replace, delete.

use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;

#[on_both]
async fn an_entity_lives_from_post_to_delete() {
    let server = Server::start().await;
    let created = server.send("POST", PROFILES, &json!({"name": "p", "imapHost": "i.test"})).await;
    let entity = created.expect(201);
    let path = format!("email/Profiles/{}", entity["id"].as_str().unwrap());
    assert_eq!(created.header("location"), format!("/rest/v1/model/{path}"));
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(entity["imapSecurity"], "tls", "defaults are filled in");
    assert_eq!(entity["smtpHost"], json!(null), "what is unset is null");
    assert_eq!(server.get(&path).await.expect(200), entity);

    let patched =
        server.send("PATCH", &path, &json!({"smtpHost": "s.test", "imapHost": null})).await;
    let entity = patched.expect(200);
    assert_eq!((&entity["smtpHost"], &entity["imapHost"]), (&json!("s.test"), &json!(null)));
    assert_eq!((patched.header("etag"), &entity["version"]), ("\"2\"", &json!(2)));
    assert_eq!(server.get(&path).await.expect(200), entity);

    let replaced =
        server.send("PUT", &path, &json!({"name": "q", "auth": "oauth2"})).await.expect(200);
    assert_eq!((&replaced["name"], &replaced["auth"]), (&json!("q"), &json!("oauth2")));
    assert_eq!((&replaced["smtpHost"], &replaced["imapSecurity"]), (&json!(null), &json!("tls")));

    assert_eq!(server.send("DELETE", &path, &json!({})).await.expect(204), json!(null));
    for method in ["GET", "PATCH", "DELETE"] {
        let body = json!({"name": "x"});
        assert_eq!(
            server.send(method, &path, &body).await.expect(404)["error_code"],
            1404,
            "{method}"
        );
    }
}

#[on_both]
async fn what_was_read_can_be_sent_back() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    for path in [format!("email/Accounts/{account}"), format!("email/Folders/{folder}")] {
        let mut shown = server.get(&path).await.expect(200);
        let same = server.send("PUT", &path, &shown).await.expect(200);
        assert_eq!(same["version"], 1, "nothing changed");
        shown["options"] = json!({"after_read_timeout": 60});
        for method in ["PATCH", "PUT"] {
            let kept = server.send(method, &path, &shown).await.expect(200);
            assert_eq!(kept["options"]["after_read_timeout"], 60);
            shown = kept;
        }
    }
}

#[on_both]
async fn secrets_are_taken_and_never_shown() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let path = format!("email/Accounts/{account}");
    let patched = server.send("PATCH", &path, &json!({"password": "canary-two"})).await;
    assert_eq!(patched.expect(200)["version"], 2);
    let put = json!({"profile_id": patched.json()["profile_id"], "address": "new@b.test"});
    let replaced = server.send("PUT", &path, &put).await;
    assert_eq!(replaced.expect(200)["address"], "new@b.test");
    let rows = server.store.account_list().await.unwrap();
    let password = rows[0].secrets.password.as_ref().unwrap().open().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "canary-two", "PUT keeps secrets");
    for query in ["?password=canary-two", "?mask=password", "?order=password"] {
        let refused = server.get(&format!("{ACCOUNTS}{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
    }
    for shown in [patched, replaced, server.get(&path).await, server.get(ACCOUNTS).await] {
        let text = String::from_utf8_lossy(&shown.bytes).into_owned();
        assert!(!text.contains("canary") && !text.contains("assword"), "{text}");
    }
    let stored = server.stored_bytes();
    let lies = |word: &[u8]| stored.windows(word.len()).any(|window| window == word);
    assert!(lies(b"new@b.test"), "all of it was read");
    assert!(!lies(b"canary"), "a secret lies on the disk");
    server.send("PATCH", &path, &json!({"password": null})).await.expect(200);
    assert!(server.store.account_list().await.unwrap()[0].secrets.password.is_none());
}

#[on_both]
async fn versions_guard_against_lost_changes() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "p"})).await;
    let path = format!("email/Profiles/{id}");
    let with = |method: &str, tag: &str, name: &str| {
        let request = server.request(method, &path).header("if-match", tag);
        answer(request.json(&json!({"name": name})))
    };
    assert_eq!(with("PATCH", "\"1\"", "a").await.expect(200)["version"], 2);
    for method in ["PATCH", "PUT", "DELETE"] {
        let stale = with(method, "\"1\"", "b").await.expect(412);
        assert_eq!(stale["error_code"], 1412, "{method}");
        assert!(stale["detail"].as_str().unwrap().contains("\"2\""));
    }
    assert_eq!(with("PATCH", "\"1\", \"2\"", "c").await.expect(200)["name"], "c");
    assert_eq!(with("PUT", "*", "d").await.expect(200)["name"], "d");
    let known = answer(server.request("GET", &path).header("if-none-match", "\"4\"")).await;
    assert_eq!((known.status, known.bytes.len(), known.header("etag")), (304, 0, "\"4\""));
    let news = answer(server.request("GET", &path).header("if-none-match", "\"3\"")).await;
    assert_eq!(news.status, 200);
    assert_eq!(with("DELETE", "\"4\"", "").await.status, 204);
}

#[on_both]
async fn many_changes_at_once_are_all_made() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "p"})).await;
    let path = format!("email/Profiles/{id}");
    let properties = ["imapHost", "smtpHost", "name", "imapPort", "smtpPort"];
    let changes = properties.map(|name| {
        let value = if name.ends_with("Port") { json!(99) } else { json!("x") };
        let mut body = serde_json::Map::new();
        body.insert(name.to_owned(), value);
        let request = server.request("PATCH", &path).json(&body);
        tokio::spawn(answer(request))
    });
    for change in changes {
        assert_eq!(change.await.unwrap().status, 200);
    }
    let entity = server.get(&path).await.expect(200);
    assert_eq!(entity["version"], 6);
    assert!(properties.iter().all(|name| entity[name] == "x" || entity[name] == 99));
}

#[on_both]
async fn a_list_is_created_whole_or_not_at_all() {
    let server = Server::start().await;
    let good = json!([{"name": "a"}, {"name": "b"}]);
    let created = server.send("POST", PROFILES, &good).await.expect(201);
    assert_eq!(created.as_array().unwrap().len(), 2);
    let bad = json!([{"name": "c"}, {"name": 5}, {"nope": 1}]);
    let problem = server.send("POST", PROFILES, &bad).await.expect(422);
    let named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| &e["property"]).collect();
    assert_eq!(named, ["[1].name", "[2].nope", "[2].name"]);
    let id = created[0]["id"].clone();
    let twice = json!([{"name": "d"}, {"name": "e", "id": id}]);
    assert_eq!(server.send("POST", PROFILES, &twice).await.expect(409)["error_code"], 1409);
    assert_eq!(server.get(PROFILES).await.expect(200).as_array().unwrap().len(), 2);
    assert_eq!(server.send("POST", PROFILES, &json!([])).await.expect(201), json!([]));
    let many = json!(vec![json!({"name": "x"}); 1001]);
    assert_eq!(server.send("POST", PROFILES, &many).await.status, 422);
}

#[on_both]
async fn a_client_may_bring_its_own_id() {
    let server = Server::start().await;
    let id = "018f0000-0000-7000-8000-00000000000A".to_lowercase();
    let body = json!({"id": id.to_uppercase(), "name": "p"});
    assert_eq!(server.send("POST", PROFILES, &body).await.expect(201)["id"], id);
    assert_eq!(server.send("POST", PROFILES, &body).await.status, 409);
}

#[on_both]
async fn what_is_used_is_not_deleted() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let entity = server.get(&format!("email/Accounts/{account}")).await.expect(200);
    let profile = format!("email/Profiles/{}", entity["profile_id"].as_str().unwrap());
    assert_eq!(server.send("DELETE", &profile, &json!({})).await.expect(409)["error_code"], 1409);
    let account = format!("email/Accounts/{account}");
    server.send("DELETE", &account, &json!({})).await.expect(204);
    assert_eq!(server.get(&format!("{FOLDERS}/{folder}")).await.status, 404);
    server.send("DELETE", &profile, &json!({})).await.expect(204);
}

#[on_both]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "p"})).await;
    let path = format!("email/Profiles/{id}");
    let (get, head) = (server.get(&path).await, answer(server.request("HEAD", &path)).await);
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["etag", "content-type", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[on_both]
async fn an_account_has_one_folder_for_a_mailbox() {
    let server = Server::start().await;
    let (account, inbox) = server.account().await;
    let folder =
        |name: &str, title: &str| json!({"account_id": account, "name": name, "title": title});
    for (name, title) in [("INBOX", "another title"), ("another", "anna@b.test/INBOX")] {
        let problem = server.send("POST", FOLDERS, &folder(name, title)).await.expect(409);
        assert!(problem["detail"].as_str().unwrap().contains(&inbox), "{problem}");
    }
    let other = server.create(FOLDERS, &folder("Sent", "anna@b.test/Sent")).await;
    let path = format!("{FOLDERS}/{other}");
    server.send("PATCH", &path, &json!({"name": "INBOX"})).await.expect(409);
    server.send("PATCH", &path, &json!({"name": "Sent", "enabled": true})).await.expect(200);
}

#[on_both]
async fn a_list_with_an_id_that_exists_says_where_it_is() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "there"})).await;
    let new = |number: usize| json!({"name": number.to_string()});
    let mut list: Vec<_> = (0..5).map(new).collect();
    list[3]["id"] = json!(id);
    let refused = server.send("POST", PROFILES, &json!(list)).await.expect(409);
    assert_eq!(refused["errors"][0]["property"], "[3].id", "{refused}");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 1);
    assert_eq!(server.get(PROFILES).await.expect(200).as_array().unwrap().len(), 1);
}
