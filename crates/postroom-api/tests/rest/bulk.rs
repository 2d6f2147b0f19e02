//! `PATCH` and `DELETE` of a collection, and `CLEAR`, of as many entities as a request does itself.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_store::Content;
use postroom_store::DueAt;
use postroom_store::Modifier;
use postroom_store::PrepareEnd;
use postroom_store::Prepared;
use postroom_testkit::on_both;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

const CLASSES: &str = "/rest/v1/design/classes";

/// Makes so many drafts, whose subjects are s0, s1, ….
pub(crate) async fn drafts(server: &Server, count: usize) {
    for part in (0..count).collect::<Vec<_>>().chunks(500) {
        let draft = |at: &usize| json!({"messageDirection": "out", "subject": format!("s{at}")});
        let drafts: Vec<_> = part.iter().map(draft).collect();
        server.send("POST", MESSAGES, &json!(drafts)).await.expect(201);
    }
}

pub(crate) async fn patch(server: &Server, filter: &Json, body: &Json) -> Answer {
    patch_of(server, MESSAGES, filter, body).await
}

async fn patch_of(server: &Server, class: &str, filter: &Json, body: &Json) -> Answer {
    let request = server.request("PATCH", class).query(&[("filter", filter.to_string())]);
    answer(request.json(body)).await
}

async fn delete(server: &Server, class: &str, filter: &Json) -> Answer {
    answer(server.request("DELETE", class).query(&[("filter", filter.to_string())])).await
}

pub(crate) async fn count(server: &Server, query: &str) -> u64 {
    let path = format!("{MESSAGES}?aggregate=count{query}");
    server.get(&path).await.expect(200)[0]["count"].as_u64().unwrap()
}

fn all() -> Json {
    json!(["and"])
}

/// Lets `messageState` be `handled` too.
async fn handled(server: &Server) {
    let class = server.get(&format!("{CLASSES}/{MESSAGES}")).await.expect(200);
    let properties = class["properties"].as_array().unwrap();
    let state = properties.iter().find(|property| property["name"] == "messageState").unwrap();
    let mut items = state["items"].as_array().unwrap().clone();
    items.push(json!("handled"));
    let change = json!({"properties": [{"name": "messageState", "items": items}]});
    server.send("PATCH", &format!("{CLASSES}/{MESSAGES}"), &change).await.expect(200);
}

#[on_both]
async fn a_change_of_a_collection_changes_what_the_filter_names() {
    let server = Server::start().await;
    drafts(&server, 3).await;
    let filter = json!(["in", ["property", "subject"], ["s0", "s1", "none"]]);
    let body = json!({"replyTo": ["r@b.test"]});
    let changed = patch(&server, &filter, &body).await.expect(200);
    assert_eq!(changed, json!({"done": 2, "changed": 2, "failed": 0}));
    let again = patch(&server, &filter, &body).await.expect(200);
    assert_eq!(again, json!({"done": 2, "changed": 0, "failed": 0}));
    assert_eq!(count(&server, "&replyTo=r@b.test").await, 2);
    let none = json!(["==", ["property", "subject"], "none"]);
    let nothing = json!({"done": 0, "changed": 0, "failed": 0});
    assert_eq!(patch(&server, &none, &body).await.expect(200), nothing);
    assert_eq!(delete(&server, MESSAGES, &none).await.expect(200), nothing);
    assert_eq!(delete(&server, MESSAGES, &filter).await.expect(200)["changed"], 2);
    assert_eq!(count(&server, "").await, 1);
}

#[on_both]
async fn what_no_entity_may_get_is_refused_before_anything_is_changed() {
    let server = Server::start().await;
    drafts(&server, 3).await;
    for (body, property) in [
        (json!({"subject": "new", "nope": 1}), "nope"),
        (json!({"subject": "new", "dateTime": "x"}), "dateTime"),
        (json!({"subject": "new", "version": 3}), "version"),
        (json!({"subject": "new", "preview": "x"}), "preview"),
        (json!([]), ""),
    ] {
        let refused = patch(&server, &all(), &body).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], property, "{body}");
    }
    let tagged = server.request("PATCH", MESSAGES).query(&[("filter", all().to_string())]);
    let tagged = tagged.header("if-match", "\"1\"").json(&json!({"subject": "new"}));
    assert!(answer(tagged).await.expect(400)["detail"].as_str().unwrap().contains("version"));
    // A secret is changed for one account at a time.
    let secret = json!({"password": "canary-of-many"});
    let refused = patch_of(&server, ACCOUNTS, &all(), &secret).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "password");
    assert_eq!(count(&server, "&subject=new").await, 0);
    assert!(!server.stored_bytes().windows(14).any(|bytes| bytes == b"canary-of-many"));
    for method in ["PATCH", "DELETE"] {
        let refused = server.send(method, MESSAGES, &json!({"subject": "new"})).await.expect(422);
        let reason = refused["errors"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("CLEAR deletes all"), "{refused}");
    }
    assert_eq!(count(&server, "").await, 3);
}

#[on_both]
async fn each_entity_keeps_its_own_rules() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    drafts(&server, 2).await;
    // The subject of a received message cannot be changed; those of drafts can.
    let partly = patch(&server, &all(), &json!({"subject": "new"})).await.expect(409);
    assert!(partly["type"].as_str().unwrap().ends_with("partly-done"), "{partly}");
    assert_eq!(partly["errors"].as_array().unwrap().len(), 1);
    assert_eq!(partly["errors"][0]["property"], received);
    assert!(partly["errors"][0]["reason"].as_str().unwrap().contains("subject"), "{partly}");
    assert!(partly["detail"].as_str().unwrap().contains("2 were changed or deleted, and 1 could"));
    assert_eq!(count(&server, "&subject=new").await, 2);
    // A draft without recipients is not sent, whoever asks.
    let sent = json!({"messageState": "sending", "account_id": account});
    let drafts = json!(["==", ["property", "subject"], "new"]);
    let refused = patch(&server, &drafts, &sent).await.expect(409);
    assert!(refused["errors"][0]["reason"].as_str().unwrap().contains("recipient"), "{refused}");
    assert_eq!(count(&server, "&messageState=sending").await, 0);
    // Two folders of an account cannot have one mailbox.
    server.create(FOLDERS, &json!({"account_id": account, "name": "Sent"})).await;
    let same = patch_of(&server, FOLDERS, &all(), &json!({"name": "Both"})).await.expect(409);
    assert_eq!(same["errors"].as_array().unwrap().len(), 1, "{same}");
    let both = server.get(&format!("{FOLDERS}?name=Both")).await.expect(200);
    assert_eq!(both.as_array().unwrap().len(), 1);
}

#[on_both]
async fn what_others_need_stays() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    server.create(PROFILES, &json!({"name": "unused"})).await;
    // A profile that an account uses stays.
    let partly = delete(&server, PROFILES, &all()).await.expect(409);
    assert!(partly["errors"][0]["reason"].as_str().unwrap().contains("anna@b.test"), "{partly}");
    let left = server.get(PROFILES).await.expect(200);
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["name"], "p");
    let clear = answer(server.request("CLEAR", &format!("{PROFILES}?confirm=1"))).await;
    assert_eq!(clear.expect(409)["errors"][0]["property"], left[0]["id"]);
    // An account goes with its folders, and its messages stay.
    assert_eq!(delete(&server, ACCOUNTS, &all()).await.expect(200)["changed"], 1);
    assert_eq!(server.get(FOLDERS).await.expect(200), json!([]));
    assert_eq!(server.get(MESSAGES).await.expect(200)[0]["id"], received);
    assert_eq!(delete(&server, PROFILES, &all()).await.expect(200)["changed"], 1);
}

#[on_both]
async fn a_message_that_is_being_sent_is_left_alone() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let message = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": ["b@c.test"], "subject": "s", "text": "t",
    });
    let id = server.create(MESSAGES, &message).await;
    drafts(&server, 1).await;
    // Nothing is claimed for an account without a server.
    let profile = server.get(&format!("{ACCOUNTS}/{account}")).await.expect(200);
    let profile = format!("{PROFILES}/{}", profile["profile_id"].as_str().unwrap());
    server.send("PATCH", &profile, &json!({"smtpHost": "smtp.b.test"})).await.expect(200);
    let class = server.store.builtin(MESSAGES).unwrap();
    let (domain, account) = (Domain::default_domain(), account.parse::<EntityId>().unwrap());
    let account = AccountId::of(account);
    let entity = id.parse().unwrap();
    let entity = server.store.entity_get(&domain, &class, entity).await.unwrap().unwrap();
    let prepared = Prepared {
        account,
        due_ms: 0,
        reverse_path: "anna@b.test".to_owned(),
        smtp_utf8: false,
        content: Content::prepare(b"x"),
        changes: Map::new(),
        replaces_claimed: false,
    };
    let engine = server.store.lead().await.unwrap();
    let end = engine.delivery_prepare(&domain, &entity, prepared).await.unwrap();
    assert_eq!(end, PrepareEnd::Queued);
    let due = DueAt { now_ms: i64::MAX, latest_ms: i64::MAX };
    assert_eq!(engine.delivery_claim(account, due, 9).await.unwrap().len(), 1);
    let before = server.get(&format!("{MESSAGES}/{id}")).await.expect(200);
    for refused in [
        patch(&server, &all(), &json!({"subject": "new", "messageState": null})).await,
        delete(&server, MESSAGES, &json!(["==", ["property", "subject"], "s"])).await,
        answer(server.request("CLEAR", &format!("{MESSAGES}?confirm=2"))).await,
    ] {
        let refused = refused.expect(409);
        assert_eq!(refused["errors"].as_array().unwrap().len(), 1, "{refused}");
        assert_eq!(refused["errors"][0]["property"], id);
        assert!(refused["errors"][0]["reason"].as_str().unwrap().contains("being sent"));
    }
    assert_eq!(server.get(&format!("{MESSAGES}/{id}")).await.expect(200), before);
    assert_eq!(count(&server, "").await, 1);
}

#[on_both]
async fn each_changed_entity_has_one_row_in_the_feed() {
    let server = Server::start().await;
    drafts(&server, 3).await;
    let before = server.feed(0, 3).await.last().unwrap().seq;
    let filter = json!(["!=", ["property", "subject"], "s0"]);
    for _ in 0..2 {
        patch(&server, &filter, &json!({"replyTo": ["r@b.test"]})).await.expect(200);
    }
    delete(&server, MESSAGES, &filter).await.expect(200);
    let rows = server.feed(before, 4).await;
    let told: Vec<_> = rows.iter().map(|row| (row.operation, row.entity)).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    let each: HashSet<_> = told.iter().map(|(of, entity)| format!("{of:?} {entity}")).collect();
    assert_eq!(each.len(), 4, "{told:?}");
    assert!(told[..2].iter().all(|(operation, _)| *operation == Operation::Change), "{told:?}");
    assert!(told[2..].iter().all(|(operation, _)| *operation == Operation::Delete), "{told:?}");
    for row in rows {
        assert_eq!(row.modifier, Some(Modifier::Client("admin".into())));
    }
}

#[on_both]
async fn a_collection_is_emptied_by_who_knows_how_much_that_is() {
    let server = Server::start().await;
    drafts(&server, 5).await;
    let filter = json!(["!=", ["property", "subject"], "s0"]).to_string();
    let clear = |confirm: Option<&'static str>| {
        let request = server.request("CLEAR", MESSAGES).query(&[("filter", &filter)]);
        answer(request.query(&confirm.map(|confirm| [("confirm", confirm)])))
    };
    for confirm in [None, Some("0"), Some("3"), Some("5")] {
        let refused = clear(confirm).await.expect(409);
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("4 entities") && detail.contains("confirm=4"), "{detail}");
    }
    for confirm in ["-4", "four", ""] {
        clear(Some(confirm)).await.expect(422);
    }
    assert_eq!(count(&server, "").await, 5);
    let cleared = json!({"done": 4, "changed": 4, "failed": 0});
    assert_eq!(clear(Some("4")).await.expect(200), cleared);
    assert_eq!(count(&server, "").await, 1);
    // The answer was lost, and the client repeats it.
    assert_eq!(clear(Some("4")).await.expect(200)["changed"], 0);
    let all = answer(server.request("POST", "email/Messages:clear?confirm=1")).await;
    assert_eq!(all.expect(200)["changed"], 1);
    assert_eq!(answer(server.request("CLEAR", MESSAGES)).await.expect(200)["changed"], 0);
}

#[on_both(flavor = "multi_thread")]
async fn no_more_is_deleted_than_was_confirmed_whatever_comes_meanwhile() {
    let server = Server::start().await;
    let is_over = AtomicBool::new(false);
    let post = async || {
        let mut created = 0;
        // Both together make fewer than a request deletes by itself.
        while !is_over.load(Ordering::Relaxed) && created < 480 {
            drafts(&server, 3).await;
            created += 3;
        }
        created
    };
    let clear = async || {
        let mut deleted = 0;
        for _ in 0..30 {
            let path = format!("{MESSAGES}?confirm={}", count(&server, "").await);
            let cleared = answer(server.request("CLEAR", &path)).await;
            if cleared.status == 200 {
                let changed = cleared.json()["changed"].as_u64().unwrap();
                assert!(path.ends_with(&format!("={changed}")) || changed == 0, "{path}");
                deleted += changed;
            } else {
                assert_eq!(cleared.expect(409)["title"], "Conflict");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        deleted
    };
    let (one, two, deleted) = tokio::join!(post(), post(), clear());
    assert_eq!(one + two - deleted, count(&server, "").await);
}

#[on_both(flavor = "multi_thread")]
async fn an_entity_is_taken_by_one_of_several_workers() {
    let server = Server::start().await;
    drafts(&server, 60).await;
    let filter = json!(["isnull", ["property", "replyTo"]]);
    let take = async |worker: usize| {
        let body = json!({"replyTo": [format!("w{worker}@b.test")]});
        let taken = patch(&server, &filter, &body).await.expect(200);
        let mine = count(&server, &format!("&replyTo=w{worker}@b.test")).await;
        assert_eq!(taken["changed"].as_u64(), Some(mine), "{worker}");
        mine
    };
    let (a, b, c, d) = tokio::join!(take(0), take(1), take(2), take(3));
    assert_eq!(a + b + c + d, 60);
}

#[on_both]
async fn a_state_of_the_owner_is_set_on_all_that_were_received() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    handled(&server).await;
    let filter = json!(["==", ["property", "messageState"], "received"]);
    let body = json!({"messageState": "handled"});
    assert_eq!(patch(&server, &filter, &body).await.expect(200)["changed"], 1);
    assert_eq!(patch(&server, &filter, &body).await.expect(200)["done"], 0);
    let filter = json!(["==", ["property", "id"], received]);
    let refused = patch(&server, &filter, &json!({"messageState": "sending"})).await.expect(409);
    assert_eq!(refused["errors"][0]["property"], received);
    // Through a reference, too.
    let of_anna = json!(["==", ["property", "account_id.address"], "anna@b.test"]);
    let back = patch(&server, &of_anna, &json!({"messageState": "received"})).await;
    assert_eq!(back.expect(200)["changed"], 1);
}

#[on_both]
async fn what_another_domain_has_is_never_touched() {
    let server = Server::start().await;
    drafts(&server, 2).await;
    let other = async |method: &str, path: &str| {
        let request = server.anonymous(method, path).bearer_auth(OTHER_TOKEN);
        let body = json!({"subject": "new"});
        answer(if method == "PATCH" { request.json(&body) } else { request }).await
    };
    let path = format!("{MESSAGES}?filter=%5B%22and%22%5D");
    for method in ["PATCH", "DELETE", "CLEAR"] {
        assert_eq!(other(method, &path).await.expect(200)["done"], 0, "{method}");
        assert_eq!(answer(server.anonymous(method, &path)).await.status, 401);
    }
    let left = server.get(&format!("{MESSAGES}?order=subject")).await.expect(200);
    assert_eq!((&left[0]["subject"], &left[1]["version"]), (&json!("s0"), &json!(1)));
}
