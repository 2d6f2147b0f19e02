//! The news over a WebSocket.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::Stoppable;
use crate::server::TOKEN;
use crate::server::answer;
use futures_util::SinkExt;
use futures_util::StreamExt;
use postroom_api::Limits;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that speaks to `/ws`.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(server: &Server) -> Self {
        Self::with(server.connect().await, TOKEN).await
    }

    async fn with(stream: TcpStream, token: &str) -> Self {
        let mut request = "ws://postroom.test/ws".into_client_request().unwrap();
        let host = HeaderValue::from_str(&stream.peer_addr().unwrap().to_string()).unwrap();
        request.headers_mut().insert("host", host);
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        Self(client_async(request, stream).await.unwrap().0)
    }

    async fn say(&mut self, message: &Json) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, as its method and members.
    async fn heard(&mut self) -> (String, Json) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            let message = next.unwrap().unwrap().unwrap();
            if !message.is_ping() {
                let pair: Json = serde_json::from_str(message.to_text().unwrap()).unwrap();
                return (pair[0].as_str().unwrap().to_owned(), pair[1].clone());
            }
        }
    }

    /// The answer to a message.
    async fn asks(&mut self, message: &Json) -> (String, Json) {
        self.say(message).await;
        self.heard().await
    }

    /// How the server takes leave.
    async fn farewell(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.0.next().await.unwrap().unwrap() {
                let frame = frame.unwrap();
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

async fn renamed(server: &Server, profile: &str, name: &str) {
    let path = format!("{PROFILES}/{profile}");
    server.send("PATCH", &path, &json!({"name": name})).await.expect(200);
}

#[on_both]
async fn events_are_followed_from_a_number_on() {
    let server = Server::start().await;
    let profile = server.create(PROFILES, &json!({"name": "one"})).await;
    let mut client = Client::open(&server).await;
    let follow = json!(["follow", {"qid": 7, "id": "a", "after": "first", "class": PROFILES,
        "filter": ["==", ["property", "name"], "two"], "mask": ["name"],
        "operation": ["create", "delete"]}]);
    let (method, answered) = client.asks(&follow).await;
    assert_eq!(
        (method.as_str(), &answered["qid"], &answered["id"]),
        ("follow", &json!(7), &json!("a"))
    );
    for name in ["two", "two ", "three", "two"] {
        renamed(&server, &profile, name).await;
    }
    let mut operations = vec![];
    let mut last = Json::Null;
    for _ in 0..3 {
        let (method, told) = client.heard().await;
        assert_eq!((method.as_str(), &told["id"]), ("event", &json!("a")));
        operations.push(told["event"]["operation"].clone());
        last = told["event"].clone();
    }
    assert_eq!(operations, ["create", "delete", "create"]);
    // It is the event that a list of events has.
    let query = [
        ("after", "first"),
        ("class", PROFILES),
        ("mask", "name"),
        ("filter", r#"["==", ["property", "name"], "two"]"#),
    ];
    let listed = answer(server.request("GET", "/rest/v1/events").query(&query)).await.expect(200);
    assert_eq!(listed["events"].as_array().unwrap().last(), Some(&last));
    // From where another stopped, and no longer.
    let next = json!(["follow", {"id": "b", "after": last["seq"]}]);
    assert_eq!(client.asks(&next).await.1["after"], last["seq"]);
    server.create(PROFILES, &json!({"name": "four"})).await;
    let (_, told) = client.heard().await;
    assert_eq!((&told["id"], &told["event"]["event"]), (&json!("b"), &json!("profile.created")));
    for id in ["a", "b"] {
        assert_eq!(client.asks(&json!(["unsubscribe", {"id": id}])).await.0, "unsubscribe");
    }
    assert_eq!(client.asks(&json!(["unsubscribe", {"id": "b"}])).await.0, "error");
}

#[on_both]
async fn a_property_that_a_domain_added_is_known_to_its_streams_and_to_no_others() {
    let server = Server::start().await;
    let send = async |method: &str, path: &str, body: &Json| {
        answer(server.anonymous(method, path).bearer_auth(OTHER_TOKEN).json(body)).await
    };
    let added = json!({"properties": [{"name": "ticketId", "data_type": "long"}]});
    let class = format!("/rest/v1/design/classes/{PROFILES}");
    let follow = json!(["follow", {"id": "a", "after": "first", "class": PROFILES,
        "filter": [">", ["property", "ticketId"], 5], "mask": ["ticketId"]}]);
    let mut client = Client::with(server.connect().await, OTHER_TOKEN).await;
    assert_eq!(client.asks(&follow).await.0, "error");
    send("PATCH", &class, &added).await.expect(200);
    assert_eq!(client.asks(&follow).await.0, "follow");
    let mut made = vec![];
    for ticket in [7, 3] {
        let values = json!({"name": "p", "ticketId": ticket});
        made.push(send("POST", PROFILES, &values).await.expect(201));
    }
    let path = format!("{PROFILES}/{}", made[1]["id"].as_str().unwrap());
    send("PATCH", &path, &json!({"ticketId": 9})).await.expect(200);
    for (operation, ticket) in [("create", 7), ("create", 9)] {
        let (_, told) = client.heard().await;
        assert_eq!(
            (&told["event"]["operation"], &told["event"]["entity"]),
            (&json!(operation), &json!({"ticketId": ticket}))
        );
    }
    let subscribe = json!(["subscribe", {"id": "s", "events": ["modelevents.data_changed"],
        "objects": [PROFILES], "expires": 3600}]);
    assert_eq!(client.asks(&subscribe).await.0, "subscribe");
    send("PATCH", &path, &json!({"ticketId": 2})).await.expect(200);
    let mut heard = vec![client.heard().await, client.heard().await];
    heard.sort_by_key(|(method, _)| method == "event");
    assert_eq!(heard[0].1["entity"]["ticketId"], 2, "{heard:?}");
    assert_eq!(heard[1].1["event"]["operation"], "delete", "{heard:?}");
    let mut stranger = Client::open(&server).await;
    assert_eq!(stranger.asks(&follow).await.0, "error");
}

#[on_both]
async fn changes_are_told_as_the_platform_does() {
    let server = Server::start().await;
    let mut client = Client::open(&server).await;
    let subscribe = |expires: u64| {
        json!(["subscribe", {"qid": "q", "id": "s", "events": ["modelevents.data_changed"],
            "objects": [PROFILES, MESSAGES], "expires": expires}])
    };
    let (method, answered) = client.asks(&subscribe(3600)).await;
    assert_eq!(
        (method.as_str(), answered),
        ("subscribe", json!({"qid": "q", "id": "s", "expires": 3600}))
    );
    let profile = server.create(PROFILES, &json!({"name": "one"})).await;
    renamed(&server, &profile, "two").await;
    answer(server.request("DELETE", &format!("{PROFILES}/{profile}"))).await.expect(204);
    let mut told = vec![];
    for _ in 0..3 {
        let (method, event) = client.heard().await;
        assert_eq!(method, "modelevents.data_changed");
        assert_eq!(
            (&event["id"], &event["eclass"], &event["eid"]),
            (&json!("s"), &json!(PROFILES), &json!(profile))
        );
        assert_eq!(
            (&event["modifier_type"], &event["modifier_id"]),
            (&json!("client"), &json!("admin"))
        );
        told.push(event["operation"].as_i64().unwrap());
    }
    assert_eq!(told, [1, 2, 0]);
    // The same once more renews it, and nothing is told twice.
    assert_eq!(client.asks(&subscribe(1)).await.1["expires"], 1);
    server.create(PROFILES, &json!({"name": "three"})).await;
    let (method, event) = client.heard().await;
    assert_eq!(
        (method.as_str(), &event["entity"]["name"]),
        ("modelevents.data_changed", &json!("three"))
    );
    assert_eq!(client.heard().await, ("expired".to_owned(), json!({"id": "s"})));
    // Another domain hears nothing of it.
    let mut other = Client::with(server.connect().await, OTHER_TOKEN).await;
    other.say(&json!(["follow", {"id": "o", "after": "first"}])).await;
    other.say(&json!(["unsubscribe", {"id": "o"}])).await;
    assert_eq!([other.heard().await.0, other.heard().await.0], ["follow", "unsubscribe"]);
}

#[on_both]
async fn what_is_wrong_with_a_message_is_named() {
    let server = Server::start().await;
    let mut client = Client::open(&server).await;
    #[rustfmt::skip]
    let table = [
        ("{",                                                                  400, "not valid JSON"),
        (r#"["follow"]"#,                                                      400, "[\"method\", {…}]"),
        (r#"["eat", {"id": "a"}]"#,                                            400, "there is follow"),
        (r#"["follow", {"after": 1}]"#,                                        422, "id"),
        (r#"["follow", {"id": "a"}]"#,                                         422, "`first` or `now`"),
        (r#"["follow", {"id": "a", "after": "first", "limit": 3}]"#,           422, "no such member"),
        (r#"["follow", {"id": "a", "after": "x"}]"#,                           422, "after"),
        (r#"["follow", {"id": "a", "after": 1, "class": "x"}]"#,               422, "there is no class"),
        (r#"["follow", {"id": "a", "after": 1, "class": "email/Profiles", "filter": ["==", ["property", "name"], 1e999]}]"#, 400, ""),
        (r#"["follow", {"id": "a", "after": 1, "class": "email/Profiles", "filter": ["x"]}]"#, 422, "filter"),
        (r#"["subscribe", {"id": "a", "objects": ["email/Profiles"]}]"#,       422, "events"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": []}]"#, 422, "objects"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["x"]}]"#, 422, "there is no class"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["email/Profiles", "x"]}]"#, 422, "objects[1]"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["email/Profiles"], "exargs": {"mask": "nope"}}]"#, 422, "exargs.mask"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["email/Profiles"], "exargs": {"filter": ["x"]}}]"#, 422, "exargs.filter"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["email/Profiles"], "expires": 0}]"#, 422, "expires"),
        (r#"["subscribe", {"id": "a", "events": ["modelevents.data_changed"], "objects": ["email/Profiles"], "exargs": {"x": 1}}]"#, 422, "exargs.x"),
        (r#"["unsubscribe", {"id": "a"}]"#,                                    404, "no subscription"),
    ];
    for (message, status, part) in table {
        client.0.send(Message::text(message)).await.unwrap();
        let (method, told) = client.heard().await;
        assert_eq!(
            (method.as_str(), &told["problem"]["status"]),
            ("error", &json!(status)),
            "{message}: {told}"
        );
        assert!(
            told["problem"].to_string().contains(&part.replace('"', "\\\"")),
            "{message}: {told}"
        );
    }
    // A number of other data is told by the subscription that reads it.
    client.say(&json!(["follow", {"id": "z", "after": 9_007_199_254_740_991_i64}])).await;
    assert_eq!(client.heard().await.0, "follow");
    let (method, told) = client.heard().await;
    assert_eq!(
        (method.as_str(), &told["id"], &told["problem"]["status"]),
        ("error", &json!("z"), &json!(410))
    );
    for number in 0..100 {
        let follow = json!(["follow", {"id": number.to_string(), "after": "now"}]);
        assert_eq!(client.asks(&follow).await.0, "follow");
    }
    let (method, told) = client.asks(&json!(["follow", {"id": "more", "after": "now"}])).await;
    assert_eq!((method.as_str(), &told["problem"]["status"]), ("error", &json!(429)));
    client.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(client.farewell().await.0, 1003);
    // No WebSocket, and no token.
    let plain = server.get("/ws").await;
    assert_eq!(plain.status, 400);
    assert!(plain.json()["detail"].as_str().unwrap().contains("WebSockets"));
    assert_eq!(answer(server.anonymous("GET", "/ws")).await.status, 401);
}

#[on_both]
async fn a_client_that_reads_nothing_is_let_go_and_delays_nobody() {
    const COUNT: usize = 60;
    let limits = Limits { read_within: Duration::from_secs(1), ..Limits::default() };
    let server = Server::start_with(limits).await;
    let (mut slow, mut quick) = (Client::open(&server).await, Client::open(&server).await);
    for client in [&mut slow, &mut quick] {
        client.asks(&json!(["follow", {"id": "a", "after": "now"}])).await;
    }
    let text = "x".repeat(400_000);
    for number in 0..COUNT {
        let message =
            json!({"messageDirection": "out", "subject": number.to_string(), "text": text});
        server.create(MESSAGES, &message).await;
        let (_, told) = quick.heard().await;
        assert_eq!(told["event"]["entity"]["subject"], json!(number.to_string()));
    }
    // Some of what was sent to it may be there, and then the connection ends.
    let mut count = 0;
    while let Some(Ok(message)) = slow.0.next().await {
        tokio::time::sleep(Duration::from_millis(if count == 0 { 3000 } else { 0 })).await;
        count += usize::from(message.is_text());
    }
    assert!(count < COUNT, "{count}");
}

#[on_both]
async fn clients_hear_that_postroom_ends() {
    let server = Server::start().await;
    let Stoppable { address, stop, serving } = server.stoppable().await;
    #[expect(clippy::disallowed_methods, reason = "a test of our own listener")]
    let mut client = Client::with(TcpStream::connect(address).await.unwrap(), TOKEN).await;
    client.asks(&json!(["follow", {"id": "a", "after": "now"}])).await;
    stop.send(()).unwrap();
    assert_eq!(client.farewell().await.0, 1001);
    serving.await.unwrap();
}
