//! Requests: verbs, conditions, what is repeated, news.

use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const DESIGN: &str = "/rest/v1/design/classes";

#[on_both]
async fn post_answers_201_with_the_entity_and_its_location() {
    let server = Server::start().await;
    let created = server.send("POST", PROFILES, &json!({"name": "p"})).await;
    let entity = created.expect(201);
    let location = created.header("location");
    assert_eq!(server.get(location).await.expect(200), entity);
}

#[on_both]
async fn post_of_a_list_creates_all_or_none() {
    let server = Server::start().await;
    let count = async || server.get(PROFILES).await.expect(200).as_array().unwrap().len();
    server.send("POST", PROFILES, &json!([{"name": "a"}, {"name": 5}])).await.expect(422);
    assert_eq!(count().await, 0);
    server.send("POST", PROFILES, &json!([{"name": "a"}, {"name": "b"}])).await.expect(201);
    assert_eq!(count().await, 2);
}

#[on_both]
async fn put_replaces_the_whole_entity_and_patch_a_part() {
    let server = Server::start().await;
    let new = json!({"name": "p", "imapHost": "i.test"});
    let path = format!("{PROFILES}/{}", server.create(PROFILES, &new).await);
    let patched = server.send("PATCH", &path, &json!({"name": "q"})).await.expect(200);
    assert_eq!((&patched["name"], &patched["imapHost"]), (&json!("q"), &json!("i.test")));
    let put = server.send("PUT", &path, &json!({"name": "r"})).await.expect(200);
    assert_eq!((&put["name"], &put["imapHost"]), (&json!("r"), &json!(null)));
}

#[on_both]
async fn what_is_posted_with_the_same_idempotency_key_is_created_once() {
    let server = Server::start().await;
    let post = async || {
        let request = server.request("POST", PROFILES).header("Idempotency-Key", "k");
        answer(request.json(&json!({"name": "p"}))).await.expect(201)
    };
    assert_eq!(post().await, post().await);
    assert_eq!(server.get(PROFILES).await.expect(200).as_array().unwrap().len(), 1);
}

#[on_both]
async fn a_stale_if_match_is_412() {
    let server = Server::start().await;
    let path = format!("{PROFILES}/{}", server.create(PROFILES, &json!({"name": "p"})).await);
    server.send("PATCH", &path, &json!({"name": "q"})).await.expect(200);
    let with = |method: &str, tag: &str| {
        let request = server.request(method, &path).header("If-Match", tag);
        answer(if method == "PATCH" { request.json(&json!({"name": "r"})) } else { request })
    };
    for method in ["PATCH", "DELETE"] {
        with(method, "\"1\"").await.expect(412);
    }
    with("PATCH", "\"2\"").await.expect(200);
    with("DELETE", "\"3\"").await.expect(204);
}

#[on_both]
async fn of_several_workers_one_gets_the_message() {
    let server = Server::start().await;
    let more = json!({"properties": [{"name": "worker", "data_type": "string"}]});
    server.send("PATCH", &format!("{DESIGN}/{MESSAGES}"), &more).await.expect(200);
    let path =
        format!("{MESSAGES}/{}", server.create(MESSAGES, &json!({"messageDirection": "in"})).await);
    let take = |worker: usize| {
        let request = server.request("PATCH", &path).header("If-Match", "\"1\"");
        answer(request.json(&json!({"worker": worker.to_string()})))
    };
    let answers = futures_util::future::join_all((0..8).map(take)).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

#[on_both]
async fn a_slash_at_the_end_lists_the_collections_below() {
    let server = Server::start().await;
    let below = server.get("email/").await.expect(200);
    let names: Vec<_> = below.as_array().unwrap().iter().map(|child| &child["classname"]).collect();
    let expected = ["Accounts", "Folders", "Messages", "OAuthApps", "Profiles", "Webhooks"];
    assert_eq!(json!(names), json!(expected.map(|name| format!("email/{name}"))));
}

/// What a verb answers, and what its twin answers. Each takes the same way.
async fn twins(server: &Server, path: &str, verb: &str, body: &Json) -> [(u16, Json); 2] {
    let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
    let twin = format!("{path}:{}?{parameters}", verb.to_lowercase());
    let mut answers = vec![];
    for (method, path) in [(verb, format!("{path}?{parameters}")), ("POST", twin)] {
        let path = path.trim_end_matches('?');
        let request = server.request(method, path);
        let answered = answer(if body.is_null() { request } else { request.json(body) }).await;
        answers.push((answered.status, answered.json()));
    }
    answers.try_into().unwrap()
}

#[on_both]
async fn query_lists_by_a_body() {
    let server = Server::start().await;
    server.create(PROFILES, &json!({"name": "p"})).await;
    for (status, list) in twins(&server, PROFILES, "QUERY", &json!({"name": "p"})).await {
        assert_eq!((status, &list[0]["name"]), (200, &json!("p")));
    }
}

#[on_both]
async fn lookup_finds_an_id_by_a_key() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "p"})).await;
    for (status, found) in twins(&server, &format!("{PROFILES}?key=p"), "LOOKUP", &Json::Null).await
    {
        assert_eq!((status, &found["id"], &found["property"]), (200, &json!(id), &json!("name")));
    }
}

#[on_both]
async fn clear_empties_a_collection_for_who_knows_how_much_that_is() {
    let server = Server::start().await;
    for _ in 0..2 {
        server.create(PROFILES, &json!({"name": "p"})).await;
    }
    let [unknown, wrong] = ["", "?confirm=1"].map(|how| format!("{PROFILES}{how}"));
    for path in [unknown, wrong] {
        for (status, _) in twins(&server, &path, "CLEAR", &Json::Null).await {
            assert_eq!(status, 409, "{path}");
        }
    }
    let [first, second] =
        twins(&server, &format!("{PROFILES}?confirm=2"), "CLEAR", &Json::Null).await;
    assert_eq!((first.0, &first.1["changed"]), (200, &json!(2)));
    assert_eq!((second.0, &second.1["changed"]), (200, &json!(0)), "nothing is left");
    assert_eq!(server.get(PROFILES).await.expect(200), json!([]));
}

#[on_both]
async fn redecompose_makes_a_job() {
    let server = Server::start().await;
    for (status, job) in twins(&server, MESSAGES, "REDECOMPOSE", &Json::Null).await {
        assert_eq!((status, job["id"].is_string()), (202, true), "{job}");
    }
}

#[on_both]
async fn sync_waits_until_the_classes_are_used() {
    let server = Server::start().await;
    for (status, synced) in twins(&server, DESIGN, "SYNC", &Json::Null).await {
        assert_eq!((status, synced), (200, json!({"version": 1})));
    }
}

#[on_both]
async fn a_parameter_that_nobody_knows_is_422() {
    let server = Server::start().await;
    let path = format!("{PROFILES}/{}", server.create(PROFILES, &json!({"name": "p"})).await);
    for (method, path) in [
        ("GET", PROFILES),
        ("POST", PROFILES),
        ("GET", &path),
        ("PATCH", &path),
        ("PUT", &path),
        ("DELETE", &path),
        ("GET", DESIGN),
        ("GET", "/rest/v1/events"),
    ] {
        let request = server.request(method, &format!("{path}?nope=1"));
        let has_body = ["POST", "PATCH", "PUT"].contains(&method);
        let request = if has_body { request.json(&json!({"name": "q"})) } else { request };
        let refused = answer(request).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], "nope", "{method} {path}");
    }
}

#[on_both]
async fn news_are_told_from_one_cursor_on_and_may_be_filtered() {
    let server = Server::start().await;
    let start = server.get("/rest/v1/events?after=now").await.expect(200)["next"].clone();
    for name in ["a", "b"] {
        server.create(PROFILES, &json!({"name": name})).await;
    }
    let filter = json!(["==", ["property", "name"], "b"]).to_string();
    let request = server.request("GET", "/rest/v1/events").query(&[
        ("after", start.to_string().as_str()),
        ("class", PROFILES),
        ("filter", &filter),
        ("wait", "30"),
    ]);
    let told = answer(request).await.expect(200);
    assert_eq!(told["events"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["events"][0]["entity"]["name"], "b");
}
