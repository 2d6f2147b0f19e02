//! `GET` of a class: its parameters.

use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// Messages `a` to `e` of five days, of which `b` and `d` are `in`.
pub(crate) async fn five() -> Server {
    let server = Server::start().await;
    let messages: Vec<_> = ["a", "b", "c", "d", "e"]
        .iter()
        .enumerate()
        .map(|(at, subject)| {
            json!({
                "messageDirection": if at % 2 == 0 { "out" } else { "in" }, "subject": subject,
                "dateTime": format!("2026-11-0{}T10:00:00Z", at + 1), "to": ["all@b.test"],
                "recipients": [{"kind": "to", "name": subject.to_uppercase(), "address": "all@b.test"}],
            })
        })
        .collect();
    server.send("POST", MESSAGES, &json!(messages)).await.expect(201);
    server
}

/// The subjects of a list, in its order.
pub(crate) fn subjects(list: &Json) -> String {
    let list = list.as_array().unwrap().iter();
    list.map(|entity| entity["subject"].as_str().unwrap()).collect()
}

async fn found(server: &Server, parameters: &str) -> String {
    subjects(&server.get(&format!("{MESSAGES}?{parameters}")).await.expect(200))
}

#[on_both]
async fn mask_names_the_properties_that_are_shown() {
    let server = five().await;
    let shown = server.get(&format!("{MESSAGES}?mask=subject,recipients.name&limit=1")).await;
    assert_eq!(shown.expect(200), json!([{"subject": "a", "recipients": [{"name": "A"}]}]));
}

#[on_both]
async fn order_is_by_properties_up_and_down() {
    let server = five().await;
    assert_eq!(found(&server, "order=dateTime").await, "abcde");
    assert_eq!(found(&server, "order=-dateTime").await, "edcba");
    assert_eq!(found(&server, "order=messageDirection,-subject").await, "dbeca");
}

#[on_both]
async fn limit_is_100_unless_it_is_given() {
    let server = Server::start().await;
    let many = vec![json!({"messageDirection": "in", "subject": "x"}); 101];
    server.send("POST", MESSAGES, &json!(many)).await.expect(201);
    assert_eq!(found(&server, "").await.len(), 100);
    assert_eq!(found(&server, "limit=101").await.len(), 101);
}

#[on_both]
async fn limit_is_capped_by_the_class() {
    let server = five().await;
    let capped = json!({"opts": {"max_limit": 3}});
    server.send("PATCH", "/rest/v1/design/classes/email/Messages", &capped).await.expect(200);
    let page = server.get(&format!("{MESSAGES}?limit=5")).await;
    assert_eq!((page.header("x-limit"), subjects(&page.expect(200)).len()), ("3", 3));
}

#[on_both]
async fn offset_passes_over_what_comes_first() {
    let server = five().await;
    assert_eq!(found(&server, "order=subject&offset=3").await, "de");
}

#[on_both]
async fn the_cursor_after_is_in_the_link_to_the_next_page() {
    let server = five().await;
    let page = server.get(&format!("{MESSAGES}?order=-subject&limit=2")).await;
    assert_eq!(subjects(&page.expect(200)), "ed");
    let (next, relation) = page.header("link").split_once(">; ").unwrap();
    assert!(next.contains("after=") && relation == "rel=\"next\"", "{next} {relation}");
    assert_eq!(subjects(&server.get(&next[1..]).await.expect(200)), "cb");
}

#[on_both]
async fn an_interval_is_of_two_dates() {
    let server = five().await;
    assert_eq!(found(&server, "interval=2026-11-02,2026-11-04").await, "bc");
}

#[on_both]
async fn the_count_is_a_header() {
    let server = five().await;
    let page = server.get(&format!("{MESSAGES}?count=true&limit=1")).await;
    assert_eq!(
        (page.header("x-total-count"), page.expect(200).as_array().unwrap().len()),
        ("5", 1)
    );
}

#[on_both]
async fn flat_makes_fields_of_objects() {
    let server = Server::start().await;
    let owner = json!({"properties": [{"name": "owner", "data_type": "any"}]});
    server.send("PATCH", "/rest/v1/design/classes/email/Messages", &owner).await.expect(200);
    let message = json!({"messageDirection": "in", "owner": {"name": "Anna", "seat": 7}});
    server.create(MESSAGES, &message).await;
    let shown = server.get(&format!("{MESSAGES}?flat=true&mask=owner.name&limit=1")).await;
    assert_eq!(shown.expect(200), json!([{"owner.name": "Anna"}]));
}

#[on_both]
async fn a_property_is_a_parameter_too_and_all_must_hold() {
    let server = five().await;
    assert_eq!(found(&server, "messageDirection=in").await, "bd");
    assert_eq!(found(&server, "messageDirection=in&subject=d").await, "d");
    let filter = json!(["!=", ["property", "subject"], "b"]).to_string();
    let both = [("filter", filter.as_str()), ("messageDirection", "in")];
    let list = answer(server.request("GET", MESSAGES).query(&both)).await.expect(200);
    assert_eq!(subjects(&list), "d");
}
