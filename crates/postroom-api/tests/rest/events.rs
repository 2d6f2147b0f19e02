//! The feed: what happened, in its order, as an answer and as a stream.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::Stoppable;
use crate::server::answer;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const EVENTS: &str = "/rest/v1/events";

async fn events(server: &Server, query: &[(&str, &str)]) -> Json {
    answer(server.request("GET", EVENTS).query(query)).await.expect(200)
}

/// The events behind a number, as soon as there are so many.
async fn behind(server: &Server, after: &str, count: usize, more: &[(&str, &str)]) -> Vec<Json> {
    let (mut all, mut after) = (vec![], after.to_owned());
    while all.len() < count {
        let query = [&[("after", after.as_str()), ("wait", "60")], more].concat();
        let page = events(server, &query).await;
        all.extend(page["events"].as_array().unwrap().iter().cloned());
        after = page["next"].to_string();
    }
    all
}

fn names(events: &[Json]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[on_both]
async fn events_tell_what_happened_and_what_was_before() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let all = behind(&server, "first", 4, &[]).await;
    let want = ["profile.created", "account.created", "folder.created", "message.received"];
    assert_eq!(names(&all), want);
    let seqs: Vec<_> = all.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted() && seqs[0] > 0, "{seqs:?}");
    let shown = server.get(&format!("{MESSAGES}/{message}")).await.expect(200);
    assert_eq!(all[3]["entity"], shown);
    assert_eq!(all[3]["seq"], shown["seq"]);
    assert_eq!(all[3]["entity0"], Json::Null);
    assert_eq!((&all[3]["class"], &all[3]["operation"]), (&json!(MESSAGES), &json!("create")));
    assert_eq!(all[0]["modifier"], json!({"type": "client", "id": "admin"}));
    let answered = server.get(&format!("{EVENTS}?after=first")).await;
    assert!(!String::from_utf8_lossy(&answered.bytes).contains("canary"), "a password is shown");
    // A change has both, and two changes are told one after the other.
    let path = format!("{MESSAGES}/{message}");
    for subject in ["one", "two"] {
        server
            .send(
                "PATCH",
                &format!("{PROFILES}/{}", all[0]["id"].as_str().unwrap()),
                &json!({"name": subject}),
            )
            .await
            .expect(200);
    }
    let changes = behind(&server, &seqs[3].to_string(), 2, &[]).await;
    let pairs: Vec<_> =
        changes.iter().map(|e| (&e["entity0"]["name"], &e["entity"]["name"])).collect();
    assert_eq!(pairs, [(&json!("p"), &json!("one")), (&json!("one"), &json!("two"))]);
    assert_eq!(changes[0]["entity"]["version"], 2);
    assert_eq!(changes[0]["entity0"]["version"], 1);
    // What is deleted is told by its id alone, in the events before too.
    answer(server.request("DELETE", &path)).await.expect(204);
    let last = changes[1]["seq"].to_string();
    let gone = behind(&server, &last, 1, &[]).await;
    assert_eq!(names(&gone), ["message.deleted"]);
    assert_eq!((&gone[0]["id"], &gone[0]["entity0"]), (&json!(message), &Json::Null));
    let again = behind(&server, &seqs[2].to_string(), 1, &[("class", MESSAGES)]).await;
    assert_eq!(again[0]["entity"], Json::Null);
    // Another domain sees nothing of it.
    let other =
        server.anonymous("GET", EVENTS).bearer_auth(OTHER_TOKEN).query(&[("after", "first")]);
    assert_eq!(answer(other).await.expect(200)["events"], json!([]));
}

#[on_both]
async fn a_filter_tells_what_its_reader_sees() {
    let server = Server::start().await;
    let filter = r#"["startswith", ["property", "name"], "a"]"#;
    let query = [("class", PROFILES), ("filter", filter), ("mask", "name")];
    let profile = server.create(PROFILES, &json!({"name": "b"})).await;
    let path = format!("{PROFILES}/{profile}");
    for name in ["a1", "a2", "c", "d"] {
        server.send("PATCH", &path, &json!({"name": name})).await.expect(200);
    }
    let seen = behind(&server, "first", 3, &query).await;
    let told: Vec<_> = seen.iter().map(|e| (&e["operation"], &e["entity"])).collect();
    let (create, change, delete) = (json!("create"), json!("change"), json!("delete"));
    let named = |name: &str| json!({"name": name});
    let (first, second, third) = (named("a1"), named("a2"), named("c"));
    assert_eq!(told, [(&create, &first), (&change, &second), (&delete, &third)]);
    let only = [&query[..], &[("operation", "change,delete")]].concat();
    assert_eq!(behind(&server, "first", 2, &only).await, seen[1..]);
    let by_name = behind(&server, "first", 1, &[("event", "profile.created")]).await;
    assert_eq!(by_name.len(), 1);
    // A page ends with its limit, and the next goes on behind it.
    let page = events(&server, &[("after", "first"), ("limit", "2")]).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    assert_eq!(page["next"], page["events"][1]["seq"]);
}

#[on_both]
async fn an_answer_waits_for_the_next_event() {
    let server = Server::start().await;
    let now = events(&server, &[("after", "now")]).await;
    assert_eq!(now["events"], json!([]));
    let next = now["next"].to_string();
    let waits = behind(&server, &next, 1, &[("class", ACCOUNTS)]);
    let happens = server.account();
    let (told, (account, _)) = tokio::join!(waits, happens);
    assert_eq!((told[0]["id"].as_str(), told.len()), (Some(account.as_str()), 1));
}

/// A stream that is read event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event: its id, its name and its data.
    async fn next(&mut self) -> (String, String, Json) {
        loop {
            while let Some((one, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| one.lines().find_map(|line| line.strip_prefix(name));
                let (id, event, data) = (field("id: "), field("event: "), field("data: "));
                let told = data.map(|data| {
                    let data = serde_json::from_str(data).unwrap();
                    (id.unwrap_or_default().to_owned(), event.unwrap().to_owned(), data)
                });
                self.text = rest.to_owned();
                if let Some(told) = told {
                    return told;
                }
            }
            let part = self.response.chunk().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }
}

#[on_both]
async fn a_stream_tells_what_was_and_what_comes() {
    let server = Server::start().await;
    server.create(PROFILES, &json!({"name": "one"})).await;
    let request = server.request("GET", EVENTS).query(&[("after", "first"), ("class", PROFILES)]);
    let mut stream = Stream::open(request).await;
    let (first, name, data) = stream.next().await;
    assert_eq!((name.as_str(), &data["entity"]["name"]), ("profile.created", &json!("one")));
    assert_eq!(data["seq"].to_string(), first);
    server.account().await;
    assert_eq!(stream.next().await.2["entity"]["name"], "p");
    server.create(PROFILES, &json!({"name": "three"})).await;
    assert_eq!(stream.next().await.2["entity"]["name"], "three");
    // A client that comes back goes on behind what it has seen.
    let request = server.request("GET", EVENTS).query(&[("class", PROFILES)]);
    let mut again = Stream::open(request.header("last-event-id", first)).await;
    assert_eq!(again.next().await.2["entity"]["name"], "p");
}

#[on_both]
async fn what_is_wrong_with_a_request_for_events_is_named() {
    let server = Server::start().await;
    server.account().await;
    #[rustfmt::skip]
    let table = [
        ("",                                                        422, "after"),
        ("after=x",                                                 422, "`first` or `now`"),
        ("after=-1",                                                422, "after"),
        ("after=first&limit=0",                                     422, "from 1 to 1000"),
        ("after=first&limit=1001",                                  422, "limit"),
        ("after=first&wait=61",                                     422, "from 0 to 60"),
        ("after=first&wait=nan",                                    422, "wait"),
        ("after=first&class=email/None",                            422, "there is no class"),
        ("after=first&filter=[]",                                   422, "goes with `class`"),
        ("after=first&class=email/Messages&filter={",               400, "not valid JSON"),
        ("after=first&class=email/Messages&mask=nothing",           422, "shows no property"),
        ("after=first&class=email/Messages&mask=account_id.address", 422, "entity alone"),
        ("after=first&class=email/Messages&mask=files",             422, "entity alone"),
        (r#"after=first&class=email/Messages&filter=["==",["property","account_id.address"],"x"]"#, 422, "entity alone"),
        ("after=first&operation=eat",                               422, "create, change or delete"),
        ("after=first&event=message.eaten",                         422, "message.received"),
        ("after=first&subject=x",                                   422, "no such parameter"),
        ("after=first&after=now",                                   422, "twice"),
        ("after=9007199254740991",                                  410, "of other data"),
    ];
    for (query, status, part) in table {
        let answered = server.get(&format!("{EVENTS}?{query}")).await;
        assert_eq!(answered.status, status, "{query}: {:?}", answered.bytes);
        let text = String::from_utf8_lossy(&answered.bytes).into_owned();
        assert!(text.contains(part), "{query}: {text}");
    }
    let odd = server.request("GET", EVENTS).header("accept", "text/event-stream");
    assert_eq!(answer(odd.header("last-event-id", "x")).await.status, 422);
    assert_eq!(answer(server.request("POST", EVENTS)).await.status, 405);
    assert_eq!(answer(server.anonymous("GET", EVENTS)).await.status, 401);
}

#[on_both]
async fn those_who_wait_are_answered_when_postroom_ends() {
    let server = Server::start().await;
    let Stoppable { address, stop, serving } = server.stoppable().await;
    let get = |query: &str| {
        let url = format!("http://{address}{EVENTS}?{query}");
        reqwest::Client::new().get(url).bearer_auth(crate::server::TOKEN)
    };
    let mut stream = Stream::open(get("after=now")).await;
    let waiting = tokio::spawn(get("after=now&wait=60").send());
    server.create(PROFILES, &json!({"name": "one"})).await;
    stream.next().await;
    stop.send(()).unwrap();
    serving.await.unwrap();
    // It was answered, or came too late to be heard.
    drop(waiting.await);
}
