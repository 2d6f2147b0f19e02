//! Names and forms of values, and of problems.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;

#[on_both]
async fn times_are_in_utc_with_milliseconds() {
    let server = Server::start().await;
    let sent = json!({"messageDirection": "in", "dateTime": "2026-01-02T03:04:05+02:00"});
    let shown = server.send("POST", MESSAGES, &sent).await.expect(201);
    assert_eq!(shown["dateTime"], "2026-01-02T01:04:05.000Z");
}

#[on_both]
async fn an_id_is_a_uuid_of_version_7() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "p"})).await;
    assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
}

#[on_both]
async fn a_client_may_bring_an_id_of_any_version() {
    let server = Server::start().await;
    let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    assert_eq!(server.create(PROFILES, &json!({"id": id, "name": "p"})).await, id);
}

#[on_both]
async fn durations_are_seconds_and_may_have_fractions() {
    let server = Server::start().await;
    let with = |seconds: f64| json!({"name": "p", "options": {"after_read_timeout": seconds}});
    let shown = server.send("POST", PROFILES, &with(30.5)).await.expect(201);
    assert_eq!(shown["options"], json!({"after_read_timeout": 30.5}));
    // Milliseconds are refused instead of obeyed.
    let refused = server.send("POST", PROFILES, &with(30_000.0)).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "options.after_read_timeout");
}

#[on_both]
async fn what_another_domain_owns_is_404() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let owned = [
        format!("{ACCOUNTS}/{account}"),
        format!("{FOLDERS}/{folder}"),
        format!("{MESSAGES}/{message}"),
    ];
    for path in owned {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let request = server.anonymous(method, &path).bearer_auth(OTHER_TOKEN);
            let body = json!({"enabled": true, "messageDirection": "in"});
            let request =
                if ["GET", "DELETE"].contains(&method) { request } else { request.json(&body) };
            let answered = answer(request).await;
            // PUT may create, but not under an id that is taken.
            let want: &[u16] = if method == "PUT" { &[404, 409, 422] } else { &[404] };
            assert!(want.contains(&answered.status), "{method} {path}: {answered:?}");
        }
        server.get(&path).await.expect(200);
    }
    for file in ["attachments", "html", "rawMessage", "inlines", "text"] {
        let path = format!("{MESSAGES}/{message}/{file}");
        answer(server.anonymous("GET", &path).bearer_auth(OTHER_TOKEN)).await.expect(404);
    }
}

#[on_both]
async fn what_is_wrong_is_422_with_property_and_reason() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    #[rustfmt::skip]
    let table = [
        // why                      property            value
        ("an unknown property",     "nope",             json!(1)),
        ("a wrong type",            "subject",          json!(5)),
        ("a value not in items",    "messageDirection", json!("up")),
        ("a reference to nothing",  "folder_id",        json!("018f0000-0000-7000-8000-000000000000")),
    ];
    for (why, property, value) in table {
        let mut sent = json!({"account_id": account, "messageDirection": "in"});
        sent[property] = value;
        let refused = server.send("POST", MESSAGES, &sent).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], property, "{why}");
        assert!(!refused["errors"][0]["reason"].as_str().unwrap().is_empty(), "{why}");
    }
}

#[on_both]
async fn nothing_is_half_written() {
    let server = Server::start().await;
    let path = format!("{PROFILES}/{}", server.create(PROFILES, &json!({"name": "p"})).await);
    let before = server.get(&path).await.expect(200);
    let half_wrong = json!({"name": "q", "imapPort": "many"});
    for method in ["PATCH", "PUT"] {
        server.send(method, &path, &half_wrong).await.expect(422);
        assert_eq!(server.get(&path).await.expect(200), before, "{method}");
    }
}

#[on_both]
async fn what_is_unset_is_null_and_a_list_is_empty() {
    let server = Server::start().await;
    server.create(MESSAGES, &json!({"messageDirection": "in"})).await;
    let list = server.get(MESSAGES).await.expect(200);
    let shown = &list.as_array().expect("a bare array")[0];
    assert_eq!((&shown["subject"], &shown["to"]), (&json!(null), &json!([])));
}

#[on_both]
async fn a_problem_is_of_rfc_9457_and_of_the_form_that_older_clients_know() {
    let server = Server::start().await;
    let refused = server.get(&format!("{PROFILES}/018f0000-0000-7000-8000-000000000000")).await;
    let problem = refused.expect(404);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{member}: {problem}");
    }
    assert_eq!((&problem["status"], &problem["error_code"]), (&json!(404), &json!(1404)));
    assert_eq!(problem["error_message"], problem["detail"]);
}
