//! `LOOKUP`: ids by keys.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;

const CLASSES: &str = "/rest/v1/design/classes";

async fn lookup(server: &Server, class: &str, key: &str) -> Answer {
    answer(server.request("LOOKUP", class).query(&[("key", key)])).await
}

#[on_both]
async fn an_entity_is_found_by_its_key() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let found = lookup(&server, ACCOUNTS, "anna@b.test").await.expect(200);
    assert_eq!(found, json!({"id": account, "property": "address"}));
    let twin = server.request("POST", "email/Folders:lookup?key=anna@b.test/INBOX");
    assert_eq!(answer(twin).await.expect(200)["id"], folder);
    let sent = json!({"messageDirection": "out", "messageId": "a+b/c@d.test"});
    let message = server.create(MESSAGES, &sent).await;
    let found = lookup(&server, MESSAGES, "a+b/c@d.test").await.expect(200);
    assert_eq!(found, json!({"id": message, "property": "messageId"}));
    // An unset property is no key.
    let missing = lookup(&server, ACCOUNTS, "null").await.expect(404);
    assert!(missing["detail"].as_str().unwrap().contains("name, address"), "{missing}");
    server.create(PROFILES, &json!({"name": "null"})).await;
    assert_eq!(lookup(&server, PROFILES, "null").await.expect(200)["property"], "name");
}

#[on_both]
async fn a_key_of_several_entities_is_none() {
    let server = Server::start().await;
    for _ in 0..2 {
        server.create(PROFILES, &json!({"name": "office"})).await;
    }
    let several = lookup(&server, PROFILES, "office").await.expect(409);
    assert!(several["type"].as_str().unwrap().ends_with("ambiguous"), "{several}");
}

#[on_both]
async fn a_key_of_another_domain_is_not_found() {
    let server = Server::start().await;
    server.account().await;
    let other = server.anonymous("LOOKUP", &format!("{ACCOUNTS}?key=anna@b.test"));
    answer(other.bearer_auth(OTHER_TOKEN)).await.expect(404);
    answer(server.anonymous("LOOKUP", &format!("{ACCOUNTS}?key=anna@b.test"))).await.expect(401);
}

#[on_both]
async fn keys_are_read_as_the_types_of_own_properties() {
    let server = Server::start().await;
    let class = json!({
        "classname": "crm/Tickets", "name": "Tickets", "storage_mode": "category",
        "properties": [
            {"name": "number", "data_type": "long"},
            {"name": "tags", "data_type": "string", "multi": true},
        ],
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    let ticket = server.create("crm/Tickets", &json!({"number": 17, "tags": ["a", "b"]})).await;
    let nowhere = lookup(&server, "crm/Tickets", "17").await.expect(422);
    let reason = nowhere["errors"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("lookup_properties"), "{nowhere}");
    let by = async |names: &[&str]| {
        let opts = json!({"opts": {"lookup_properties": names}});
        server.send("PATCH", &format!("{CLASSES}/crm/Tickets"), &opts).await.expect(200);
    };
    by(&["number"]).await;
    assert_eq!(lookup(&server, "crm/Tickets", "17").await.expect(200)["id"], ticket);
    lookup(&server, "crm/Tickets", "18").await.expect(404);
    let wrong = lookup(&server, "crm/Tickets", "b").await.expect(422);
    assert!(wrong["errors"][0]["reason"].as_str().unwrap().contains("`number`"), "{wrong}");
    by(&["number", "tags"]).await;
    let found = lookup(&server, "crm/Tickets", "b").await.expect(200);
    assert_eq!(found, json!({"id": ticket, "property": "tags"}));
}

#[on_both]
async fn messages_are_looked_up_by_an_own_property() {
    let server = Server::start().await;
    let change = json!({
        "properties": [{"name": "ticketId", "data_type": "string", "opts": {"max_length": 64}}],
        "opts": {"lookup_properties": ["ticketId", "messageId"], "indexes": [["ticketId"]]},
    });
    server.send("PATCH", &format!("{CLASSES}/{MESSAGES}"), &change).await.expect(200);
    let sent = json!({"messageDirection": "out", "ticketId": "T-7", "messageId": "a@b.test"});
    let message = server.create(MESSAGES, &sent).await;
    for (key, property) in [("T-7", "ticketId"), ("a@b.test", "messageId")] {
        let found = lookup(&server, MESSAGES, key).await.expect(200);
        assert_eq!(found, json!({"id": message, "property": property}));
    }
}
