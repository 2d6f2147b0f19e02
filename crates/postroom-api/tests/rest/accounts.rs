//! Accounts: one for each login at a server, unless a client asks for two.

use crate::server::Server;
use crate::server::answer;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// Creates a profile with an IMAP host.
async fn profile(server: &Server, host: &str, more: Json) -> String {
    let mut profile = json!({"name": "p", "imapHost": host});
    profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.create(PROFILES, &profile).await
}

#[on_both]
async fn the_same_login_at_the_same_server_is_one_account() {
    let server = Server::start().await;
    let first = profile(&server, "imap.b.test", json!({})).await;
    let account = |profile: &str, more: Json| {
        let mut account = json!({"profile_id": profile, "address": "anna@b.test"});
        account.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        account
    };
    let id = server.create(ACCOUNTS, &account(&first, json!({}))).await;
    let same = profile(&server, "IMAP.b.test.", json!({"imapPort": 993})).await;
    let starttls = profile(&server, "imap.b.test", json!({"imapSecurity": "starttls"})).await;
    let elsewhere = profile(&server, "imap.c.test", json!({})).await;
    let sends = server.create(PROFILES, &json!({"name": "p", "smtpHost": "smtp.b.test"})).await;
    #[rustfmt::skip]
    let table = [
        (account(&first, json!({})),                                                  409),
        (account(&first, json!({"address": "Anna@B.test"})),                          409),
        (account(&same, json!({})),                                                   409),
        (account(&same, json!({"address": "x@y.test", "login": "ANNA@b.test"})),      409),
        (account(&same, json!({"login": "anna"})),                                    201),
        (account(&first, json!({"address": "x@y.test", "login": "anna"})),            409),
        (account(&starttls, json!({})),                                               201),
        (account(&elsewhere, json!({})),                                              201),
        (account(&sends, json!({})),                                                  201),
        (account(&sends, json!({})),                                                  201),
    ];
    for (account, status) in table {
        let answered = server.send("POST", ACCOUNTS, &account).await;
        let shown = answered.expect(status);
        if status == 409 && account["login"] != json!("anna") {
            let detail = shown["detail"].as_str().unwrap();
            assert!(detail.contains(&id) && detail.contains("?duplicate=allow"), "{detail}");
        }
    }
    let allowed = format!("{ACCOUNTS}?duplicate=allow");
    server.send("POST", &allowed, &account(&same, json!({}))).await.expect(201);
    let odd = format!("{ACCOUNTS}?duplicate=yes");
    server.send("POST", &odd, &account(&same, json!({}))).await.expect(422);
    // A list is created whole or not at all, and is compared with itself.
    let two = json!([
        account(&elsewhere, json!({"login": "b"})),
        account(&elsewhere, json!({"login": "B"}))
    ]);
    server.send("POST", ACCOUNTS, &two).await.expect(409);
    let other = server.get(&format!("{ACCOUNTS}?profile_id={elsewhere}")).await.expect(200);
    assert_eq!(other.as_array().unwrap().len(), 1);
}

#[on_both]
async fn a_change_does_not_make_two_accounts_of_one_login() {
    let server = Server::start().await;
    let near = profile(&server, "imap.b.test", json!({})).await;
    let far = profile(&server, "imap.c.test", json!({})).await;
    let anna = json!({"profile_id": near, "address": "anna@b.test"});
    let id = server.create(ACCOUNTS, &anna).await;
    let other = json!({"profile_id": far, "address": "anna@b.test"});
    let other = format!("{ACCOUNTS}/{}", server.create(ACCOUNTS, &other).await);
    let far = format!("{PROFILES}/{far}");
    #[rustfmt::skip]
    let table = [
        ("PATCH", other.as_str(), json!({"profile_id": near}),           409),
        ("PATCH", other.as_str(), json!({"name": "n", "password": "p"}), 200),
        ("PATCH", far.as_str(),   json!({"imapHost": "Imap.B.test"}),    409),
        ("PATCH", far.as_str(),   json!({"name": "q"}),                  200),
        ("PUT",   other.as_str(), anna.clone(),                          409),
        ("PATCH", far.as_str(),   json!({"imapHost": "imap.b.test", "imapPort": 143}), 200),
        ("PATCH", far.as_str(),   json!({"imapPort": 993}),              409),
    ];
    for (method, path, body, status) in table {
        let shown = server.send(method, path, &body).await.expect(status);
        assert!(status != 409 || shown["detail"].as_str().unwrap().contains(&id), "{shown}");
    }
    let allowed = format!("{far}?duplicate=allow");
    server.send("PATCH", &allowed, &json!({"imapPort": 993})).await.expect(200);
}

#[on_both]
async fn many_at_once_make_one_account() {
    let server = Server::start().await;
    let profile = profile(&server, "imap.b.test", json!({})).await;
    let account = json!({"profile_id": profile, "address": "anna@b.test"});
    let posts = (0..20).map(|_| server.send("POST", ACCOUNTS, &account));
    let answers = futures_util::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 19);
}

#[on_both]
async fn put_creates_what_is_not_there() {
    let server = Server::start().await;
    let id = "018f0000-0000-7000-8000-00000000000a";
    let path = format!("{PROFILES}/{id}");
    let body = json!({"name": "p"});
    let put = |field: &str, value: &str, body: &Json| {
        answer(server.request("PUT", &path).header(field.to_owned(), value.to_owned()).json(body))
    };
    put("if-match", "\"1\"", &body).await.expect(412);
    put("if-match", "1", &body).await.expect(400);
    let other = json!({"name": "p", "id": "018f0000-0000-7000-8000-00000000000b"});
    let refused = server.send("PUT", &path, &other).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "id");
    server.send("PUT", &path, &json!({"name": 5})).await.expect(422);
    server.get(&path).await.expect(404);
    let created = put("if-none-match", "*", &body).await;
    assert_eq!(created.header("location"), format!("/rest/v1/model/{path}"));
    assert_eq!(created.header("etag"), "\"1\"");
    let created = created.expect(201);
    assert_eq!((&created["id"], &created["name"]), (&json!(id), &json!("p")));
    put("if-none-match", "*", &body).await.expect(412);
    assert_eq!(server.send("PUT", &path, &created).await.expect(200), created);
    let parallel = format!("{PROFILES}/018f0000-0000-7000-8000-00000000000c");
    let puts = (0..10).map(|_| server.send("PUT", &parallel, &body));
    let answers = futures_util::future::join_all(puts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)));
}

#[on_both]
async fn parameters_that_a_request_does_not_take_are_refused() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let (account, message) = (format!("{ACCOUNTS}/{account}"), format!("email/Messages/{message}"));
    let requests = [
        ("GET", ACCOUNTS.to_owned()),
        ("POST", ACCOUNTS.to_owned()),
        ("POST", "email/Messages".to_owned()),
        ("POST", "email/Messages:redecompose".to_owned()),
        ("GET", account.clone()),
        ("PATCH", account.clone()),
        ("PUT", account.clone()),
        ("DELETE", account.clone()),
        ("GET", format!("{message}/file")),
        ("POST", format!("{message}/file")),
        ("GET", format!("{message}/file/hello.txt")),
        ("PUT", format!("{message}/file/hello.txt")),
        ("DELETE", format!("{message}/file/hello.txt")),
        ("GET", "/rest/v1/jobs".to_owned()),
        ("GET", format!("/rest/v1/jobs/{}", EntityId::nil())),
        ("DELETE", format!("/rest/v1/jobs/{}", EntityId::nil())),
        ("GET", "/rest/v1/design/classes".to_owned()),
        ("GET", "/rest/v1/design/classes/email/Messages".to_owned()),
        ("GET", "/healthz".to_owned()),
    ];
    for (method, path) in requests {
        for query in ["nope=1", "nope"] {
            let request = server.request(method, &format!("{path}?{query}")).json(&json!({}));
            let refused = answer(request).await.expect(422);
            assert_eq!(refused["errors"][0]["property"], "nope", "{method} {path}: {refused}");
        }
    }
    assert_eq!(server.get(&account).await.status, 200);
    for method in ["POST", "PATCH"] {
        let refused = server.send(method, "email/Messages?duplicate=allow", &json!({})).await;
        assert_eq!(refused.expect(422)["errors"][0]["property"], "duplicate", "{method}");
    }
    let of_new = server.send("POST", "email/Profiles?duplicate=allow", &json!({"name": "p"})).await;
    assert_eq!(of_new.expect(422)["errors"][0]["property"], "duplicate");
}

#[on_both]
async fn messages_of_a_deleted_account_stay_or_are_deleted_as_asked() {
    let server = Server::start().await;
    for (query, is_kept) in [("", true), ("?messages=keep", true), ("?messages=delete", false)] {
        let (account, folder) = server.account().await;
        let message = server.received(&account, &folder).await;
        let path = format!("{MESSAGES}/{message}");
        let account = format!("{ACCOUNTS}/{account}");
        for wrong in
            ["?messages=none", "?messages", "?messages=keep&messages=keep", "?cascade=true"]
        {
            let refused = server.send("DELETE", &format!("{account}{wrong}"), &json!({})).await;
            assert_eq!(refused.status, 422, "{wrong}");
        }
        let deleted = server.send("DELETE", &format!("{account}{query}"), &json!({})).await;
        assert_eq!(deleted.status, 204, "{query}");
        // They are deleted in the background, which this call waits for.
        server.store.purge().await.unwrap();
        assert_eq!(server.get(&path).await.status == 200, is_kept, "{query}");
        assert_eq!(server.get(&format!("{path}/rawMessage")).await.status == 200, is_kept);
    }
    let (_, folder) = server.account().await;
    let folder = format!("email/Folders/{folder}?messages=delete");
    assert_eq!(server.send("DELETE", &folder, &json!({})).await.status, 422);
}
