//! Filters: their operators, their operands, their bounds.

use crate::contract::lists::five;
use crate::contract::lists::subjects;
use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

async fn filtered(server: &Server, filter: &Json) -> Answer {
    let filter = filter.to_string();
    answer(
        server
            .request("GET", MESSAGES)
            .query(&[("filter", &filter), ("order", &"subject".to_owned())]),
    )
    .await
}

async fn check(server: &Server, filter: Json, want: &str) {
    let answered = filtered(server, &filter).await;
    assert_eq!(subjects(&answered.expect(200)), want, "{filter}");
}

#[on_both]
async fn each_operator_finds_what_it_says() {
    let server = five().await;
    let subject = json!(["property", "subject"]);
    #[rustfmt::skip]
    let table = [
        (json!(["==", subject, "b"]),                                      "b"),
        (json!(["!=", subject, "b"]),                                      "acde"),
        (json!(["<", subject, "b"]),                                       "a"),
        (json!(["<=", subject, "b"]),                                      "ab"),
        (json!([">", subject, "b"]),                                       "cde"),
        (json!([">=", subject, "b"]),                                      "bcde"),
        (json!(["in", subject, ["b", "x"]]),                               "b"),
        (json!(["between", subject, "b", "d"]),                            "bcd"),
        (json!(["like", subject, "_"]),                                    "abcde"),
        (json!(["contains", subject, "B"]),                                "b"),
        (json!(["startswith", subject, "B"]),                              "b"),
        (json!(["isnull", subject]),                                       ""),
        (json!(["and", [">", subject, "a"], ["<", subject, "c"]]),         "b"),
        (json!(["or", ["==", subject, "a"], ["==", subject, "e"]]),        "ae"),
        (json!(["not", ["==", subject, "b"]]),                             "acde"),
    ];
    for (filter, want) in table {
        check(&server, filter, want).await;
    }
}

#[on_both]
async fn a_property_leads_into_json_by_dots() {
    let server = five().await;
    check(&server, json!(["==", ["property", "recipients.name"], "C"]), "c").await;
}

#[on_both]
async fn a_literal_may_be_written_as_const() {
    let server = five().await;
    check(&server, json!(["==", ["property", "subject"], ["const", "c"]]), "c").await;
}

#[on_both]
async fn a_list_contains_a_value() {
    let server = five().await;
    check(&server, json!(["contains", ["property", "to"], "all@b.test"]), "abcde").await;
    check(&server, json!(["contains", ["property", "to"], "all@b"]), "").await;
}

/// `not` around `not`, so many levels in all.
fn deep(levels: u32) -> Json {
    let innermost = json!(["==", ["property", "recipients.name"], "C"]);
    (1..levels).fold(innermost, |inner, _| json!(["not", inner]))
}

/// A filter of so many conditions.
fn wide(conditions: usize) -> Json {
    let one = json!(["==", ["property", "subject"], "c"]);
    json!(std::iter::once(json!("or")).chain(vec![one; conditions]).collect::<Vec<_>>())
}

#[on_both]
async fn depth_count_and_size_are_bounded() {
    let server = five().await;
    check(&server, deep(32), "abde").await;
    check(&server, wide(500), "c").await;
    let long = |bytes: usize| json!(["==", ["property", "subject"], "x".repeat(bytes)]);
    for (why, beyond) in [("depth", deep(34)), ("count", wide(1_100)), ("size", long(70_000))] {
        let refused = server.send("QUERY", MESSAGES, &json!({"filter": beyond})).await.expect(422);
        let place = refused["errors"][0]["property"].as_str().unwrap();
        assert!(place.starts_with("filter"), "{why}: {refused}");
    }
}

/// `any` within `any`, so many levels in all, each with so many alternatives beside it.
fn deep_in_lists(levels: u32, alternatives: usize) -> Json {
    let other = json!(["==", ["property", "name"], "nobody"]);
    let innermost = json!(["==", ["property", "name"], "C"]);
    let deep = (2..levels / 2).fold(innermost, |inner, _| {
        let beside = vec![other.clone(); alternatives];
        let any = json!(["any", ["property", "within"], inner]);
        json!([vec![json!("or"), any], beside].concat())
    });
    json!(["any", ["property", "recipients"], deep])
}

/// However SQLite was built, a filter is answered or refused with a reason.
#[on_both]
async fn filters_that_lead_into_lists_at_each_level_are_answered_or_refused_with_a_reason() {
    let server = five().await;
    let far = json!(["property", format!("recipients{}", ".a".repeat(15))]);
    let all = (1..32).fold(json!(["isnull", ["property", "a"]]), |inner, _| {
        json!(["any", ["property", "a"], inner])
    });
    let lists = json!(["any", ["property", "recipients"], all[2]]);
    for answered in [json!(["==", far, "x"]), lists, deep_in_lists(32, 1)] {
        check(&server, answered, "").await;
    }
    let deepest = deep_in_lists(32, 30);
    if TestDatabase::present() == TestDatabase::Postgres {
        return check(&server, deepest, "").await;
    }
    let refused = server.send("QUERY", MESSAGES, &json!({"filter": deepest})).await.expect(422);
    let problem = &refused["errors"][0];
    assert_eq!(problem["property"], "filter");
    assert!(problem["reason"].as_str().unwrap().contains("nests deeper"), "{problem}");
}

#[on_both]
async fn a_value_is_never_a_part_of_the_sql() {
    let server = five().await;
    for hostile in ["' OR 1=1 --", "\" OR 1=1 --", "\\' OR 1=1 --", "$1", "?1", "%", "\u{feff}'"] {
        check(&server, json!(["==", ["property", "subject"], hostile]), "").await;
        check(&server, json!(["==", ["property", "recipients.name"], hostile]), "").await;
        check(&server, json!(["in", ["property", "subject"], [hostile]]), "").await;
    }
}

#[on_both]
async fn a_name_is_looked_up_in_the_class() {
    let server = five().await;
    for hostile in ["nope", "\"subject\"", "subject\" OR 1=1 --", "domain", "rowid", ""] {
        let refused = filtered(&server, &json!(["==", ["property", hostile], "x"])).await;
        assert_eq!(refused.expect(422)["errors"][0]["property"], "filter[1]", "{hostile}");
    }
}
