//! `CLAIM`, `NACK` and the acknowledging `PATCH`: workers share the entities of a class.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_store::WordsLeft;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const TASKS: &str = "crm/Tasks";
const CLASSES: &str = "/rest/v1/design/classes";

/// A server with a class of tasks, and tasks in these states.
async fn tasks(states: &[&str]) -> Server {
    let server = Server::start().await;
    let class = json!({
        "classname": TASKS,
        "properties": [
            {"name": "state", "data_type": "string"}, {"name": "rank", "data_type": "long"},
            {"name": "worker", "data_type": "string"},
        ],
        "opts": {"indexes": [["state"]]},
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    for (rank, state) in states.iter().enumerate() {
        server.create(TASKS, &json!({"state": state, "rank": rank})).await;
    }
    server
}

fn new() -> Json {
    json!(["==", ["property", "state"], "new"])
}

/// New tasks, and those that a worker began.
fn open() -> Json {
    json!(["in", ["property", "state"], ["new", "begun"]])
}

async fn claim(server: &Server, body: &Json) -> Vec<Json> {
    let claimed = server.send("CLAIM", TASKS, body).await.expect(200);
    claimed.as_array().unwrap().clone()
}

fn ranks(claimed: &[Json]) -> Vec<i64> {
    claimed.iter().map(|one| one["rank"].as_i64().unwrap()).collect()
}

/// A request about an entity that was claimed, with the token.
async fn with_token(server: &Server, method: &str, claimed: &Json, body: &Json) -> Answer {
    let path = format!("{TASKS}/{}", claimed["id"].as_str().unwrap());
    let request = server.request(method, &path);
    let request = request.header("Claim-Token", claimed["claimToken"].as_str().unwrap());
    answer(request.json(body)).await
}

/// Claims one task until it is free.
async fn wait_for(server: &Server, body: &Json) -> Json {
    loop {
        if let Some(claimed) = claim(server, body).await.into_iter().next() {
            return claimed;
        }
    }
}

#[on_both]
async fn each_worker_gets_other_entities_in_their_order() {
    let server = tasks(&["new", "done", "new", "new"]).await;
    let body = json!({"filter": new(), "order": "-rank", "limit": 2, "lease": 60,
                      "claimedBy": "worker-1"});
    let first = claim(&server, &body).await;
    assert_eq!(ranks(&first), [3, 2]);
    let one = &first[0];
    assert_eq!((&one["claimedBy"], &one["claims"]), (&json!("worker-1"), &json!(1)));
    assert!(one["claimedUntil"].as_str().unwrap().ends_with('Z'), "{one}");
    // The twin, in the name of the token.
    let twin = json!({"filter": new(), "limit": 9, "lease": 60});
    let second = server.send("POST", &format!("{TASKS}:claim"), &twin).await.expect(200);
    assert_eq!(ranks(second.as_array().unwrap()), [0]);
    assert_eq!(second[0]["claimedBy"], "admin");
    assert_eq!(claim(&server, &twin).await, Vec::<Json>::new());
    // A claim changes nothing of the entity: its version, and the feed, are as they were.
    let path = format!("{TASKS}/{}", one["id"].as_str().unwrap());
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["version"], &shown["seq"]), (&one["version"], &one["seq"]));
}

#[on_both]
async fn entities_are_claimed_by_what_the_domain_added_to_their_class() {
    let server = Server::start().await;
    let send = async |method: &str, path: &str, body: &Json| {
        answer(server.anonymous(method, path).bearer_auth(OTHER_TOKEN).json(body)).await
    };
    let added = json!({"properties": [
        {"name": "ticketId", "data_type": "long"},
        {"name": "messageState", "items": ["filed"]},
    ]});
    send("PATCH", &format!("{CLASSES}/{MESSAGES}"), &added).await.expect(200);
    for ticket in [Json::Null, json!(3), json!(8), json!(7)] {
        let values = json!({"messageDirection": "in", "ticketId": ticket});
        send("POST", MESSAGES, &values).await.expect(201);
    }
    let body = json!({"filter": [">", ["property", "ticketId"], 5], "order": "-ticketId",
                      "limit": 1, "lease": 60});
    let claim = async || send("CLAIM", MESSAGES, &body).await.expect(200);
    let first = claim().await;
    assert_eq!(first[0]["ticketId"], 8, "{first}");
    let path = format!("{MESSAGES}/{}", first[0]["id"].as_str().unwrap());
    let done = server.anonymous("PATCH", &path).bearer_auth(OTHER_TOKEN);
    let done = done.header("Claim-Token", first[0]["claimToken"].as_str().unwrap());
    let done = answer(done.json(&json!({"ticketId": 1, "messageState": "filed"}))).await;
    let done = done.expect(200);
    assert_eq!((&done["ticketId"], &done["messageState"]), (&json!(1), &json!("filed")));
    assert_eq!(claim().await[0]["ticketId"], 7);
    assert_eq!(claim().await, json!([]));
    server.send("CLAIM", MESSAGES, &body).await.expect(422);
}

#[on_both]
async fn a_patch_with_the_token_ends_the_claim_and_may_be_repeated() {
    let server = tasks(&["new"]).await;
    let body = json!({"filter": new(), "lease": 60});
    let one = claim(&server, &body).await.remove(0);
    let done = json!({"state": "done"});
    let after = with_token(&server, "PATCH", &one, &done).await.expect(200);
    assert_eq!(after["state"], "done");
    let again = with_token(&server, "PATCH", &one, &done).await.expect(200);
    assert_eq!(again, after, "a repeated acknowledgement changes nothing");
    let late = with_token(&server, "NACK", &one, &json!({})).await.expect(412);
    assert!(late["type"].as_str().unwrap().ends_with("claim-lost"), "{late}");
    assert_eq!(claim(&server, &body).await, Vec::<Json>::new());
    // It is new once more, and counted from the beginning. Nothing is changed by an empty body.
    let path = format!("{TASKS}/{}", one["id"].as_str().unwrap());
    server.send("PATCH", &path, &json!({"state": "new"})).await.expect(200);
    let two = claim(&server, &body).await.remove(0);
    assert_eq!(two["claims"], 1);
    let same = with_token(&server, "PATCH", &two, &json!({})).await.expect(200);
    assert_eq!(same["version"], two["version"]);
    assert_eq!(claim(&server, &body).await.len(), 1, "it still matches");
}

#[on_both]
async fn who_has_an_entity_is_shown_if_the_mask_asks_for_it() {
    let server = tasks(&["new", "new"]).await;
    let body = json!({"filter": new(), "order": "rank", "lease": 600, "claimedBy": "w"});
    let mine = claim(&server, &body).await.remove(0);
    let mask = "mask=rank,claimedBy,claimedUntil,claims";
    let none = json!({"rank": 1, "claimedBy": null, "claimedUntil": null, "claims": 0});
    let had =
        json!({"rank": 0, "claimedBy": "w", "claimedUntil": mine["claimedUntil"], "claims": 1});
    let list = server.get(&format!("{TASKS}?order=rank&{mask}")).await.expect(200);
    assert_eq!(list, json!([had, none]));
    let path = format!("{TASKS}/{}", mine["id"].as_str().unwrap());
    let one = || async { server.get(&format!("{path}?{mask}")).await.expect(200) };
    assert_eq!(one().await, had);
    assert!(server.get(&path).await.expect(200).get("claims").is_none());
    // Given back for later, it was claimed once, and nobody has it.
    with_token(&server, "NACK", &mine, &json!({"delay": 600})).await.expect(204);
    let back = json!({"rank": 0, "claimedBy": null, "claimedUntil": null, "claims": 1});
    assert_eq!(one().await, back);
    // Acknowledged, the count begins anew.
    let other = claim(&server, &body).await.remove(0);
    with_token(&server, "PATCH", &other, &json!({})).await.expect(200);
    let list = server.get(&format!("{TASKS}?order=rank&{mask}")).await.expect(200);
    assert_eq!(list, json!([back, none]));
    // The token is nobody else's, and a claim is no event.
    let refused = server.get(&format!("{TASKS}?mask=claimToken")).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("claimToken"), "{refused}");
    let events = format!("/rest/v1/events?after=now&class={TASKS}&mask=claims");
    let refused = answer(server.request("GET", &events)).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("no event"), "{refused}");
}

#[on_both]
async fn an_expired_claim_is_lost_when_another_worker_has_the_entity() {
    let server = tasks(&["new"]).await;
    let body = json!({"filter": new(), "lease": 1});
    let first = claim(&server, &body).await.remove(0);
    let second = wait_for(&server, &json!({"filter": new(), "lease": 60})).await;
    assert_eq!((&second["id"], &second["claims"]), (&first["id"], &json!(2)));
    for (method, sent) in [
        ("PATCH", json!({"state": "done"})),
        ("PATCH", json!({})),
        ("NACK", json!({})),
        ("CLAIM", json!({"lease": 60})),
    ] {
        let lost = with_token(&server, method, &first, &sent).await.expect(412);
        let said = lost["detail"].as_str().unwrap();
        assert!(said.contains("another worker has claimed it. Nothing was changed"), "{lost}");
    }
    let path = format!("{TASKS}/{}", first["id"].as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200)["version"], first["version"]);
    with_token(&server, "PATCH", &second, &json!({"state": "done"})).await.expect(200);
}

#[on_both]
async fn a_worker_extends_its_claim_and_gives_it_back() {
    let server = tasks(&["new"]).await;
    let body = json!({"filter": new(), "lease": 60});
    let one = claim(&server, &body).await.remove(0);
    let longer = with_token(&server, "CLAIM", &one, &json!({"lease": 3600})).await.expect(200);
    let until = |one: &Json| one["claimedUntil"].as_str().unwrap().to_owned();
    assert!(until(&longer) > until(&one), "{longer}");
    assert_eq!((&longer["claims"], &longer["claimToken"]), (&json!(1), &one["claimToken"]));
    assert_eq!(with_token(&server, "NACK", &one, &json!({})).await.status, 204);
    let two = claim(&server, &body).await.remove(0);
    assert_eq!(two["claims"], 2);
    let path = format!("{TASKS}/{}:nack", two["id"].as_str().unwrap());
    let twin =
        server.request("POST", &path).header("Claim-Token", two["claimToken"].as_str().unwrap());
    assert_eq!(answer(twin.json(&json!({"delay": 600}))).await.status, 204);
    assert_eq!(claim(&server, &body).await, Vec::<Json>::new(), "it is kept back");
}

#[on_both]
async fn a_worker_gives_back_without_a_body_and_it_is_free_at_once() {
    let server = tasks(&["new"]).await;
    let body = json!({"filter": new(), "lease": 60});
    for (method, twin) in [("NACK", ""), ("POST", ":nack")] {
        let one = claim(&server, &body).await.remove(0);
        let path = format!("{TASKS}/{}{twin}", one["id"].as_str().unwrap());
        let token = one["claimToken"].as_str().unwrap();
        let bare = server.request(method, &path).header("Claim-Token", token);
        assert_eq!(answer(bare).await.status, 204, "{method}");
    }
    assert_eq!(claim(&server, &body).await.len(), 1);
}

#[on_both]
async fn a_repeated_claim_answers_in_the_order_of_the_request() {
    let server = tasks(&["new", "new", "new", "new", "new"]).await;
    for (order, want) in [("-rank", [4, 3]), ("rank", [0, 1])] {
        let body = json!({"filter": new(), "order": order, "limit": 2, "lease": 60});
        for _ in 0..3 {
            let request = server.request("CLAIM", TASKS).header("Idempotency-Key", order);
            let claimed = answer(request.json(&body)).await.expect(200);
            assert_eq!(ranks(claimed.as_array().unwrap()), want, "{order}");
        }
    }
}

#[on_both]
async fn what_was_claimed_too_often_is_put_aside() {
    let server = tasks(&["new", "new"]).await;
    let body = json!({"filter": new(), "order": "rank", "limit": 1, "lease": 60, "claims_max": 2,
                      "dead_letter": {"state": "dead"}});
    for claims in 1..=2 {
        let one = claim(&server, &body).await.remove(0);
        assert_eq!((&one["rank"], &one["claims"]), (&json!(0), &json!(claims)));
        assert_eq!(with_token(&server, "NACK", &one, &json!({})).await.status, 204);
    }
    // The worker gets the next one in its place.
    assert_eq!(ranks(&claim(&server, &body).await), [1]);
    let dead = server.get(&format!("{TASKS}?state=dead")).await.expect(200);
    assert_eq!(ranks(dead.as_array().unwrap()), [0]);
    // Somebody wants it tried again: it is counted from the beginning.
    let path = format!("{TASKS}/{}", dead[0]["id"].as_str().unwrap());
    server.send("PATCH", &path, &json!({"state": "new"})).await.expect(200);
    assert_eq!(claim(&server, &body).await[0]["claims"], 1);
    let stays = json!({"filter": new(), "lease": 60, "claims_max": 1,
                       "dead_letter": {"worker": "nobody"}});
    server.create(TASKS, &json!({"state": "new", "rank": 7})).await;
    let one = claim(&server, &stays).await.remove(0);
    assert_eq!(with_token(&server, "NACK", &one, &json!({})).await.status, 204);
    let refused = server.send("CLAIM", TASKS, &stays).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("dead_letter: leaves"), "{refused}");
    assert_eq!(claim(&server, &json!({"filter": new(), "lease": 60})).await[0]["claims"], 2);
}

#[on_both]
async fn a_claim_sets_a_state_that_the_filter_still_matches() {
    let server = tasks(&["new"]).await;
    let begun = json!({"filter": open(), "lease": 60, "set": {"state": "begun", "worker": "w"}});
    let lost = json!({"filter": new(), "lease": 60, "set": {"state": "begun"}});
    let refused = server.send("CLAIM", TASKS, &lost).await.expect(422);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("nobody would get it again"), "{refused}");
    // Nothing was claimed, and it was not counted.
    let one = claim(&server, &begun).await.remove(0);
    assert_eq!(
        (&one["state"], &one["worker"], &one["claims"]),
        (&json!("begun"), &json!("w"), &json!(1))
    );
    let path = format!("{TASKS}/{}", one["id"].as_str().unwrap());
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["state"], &shown["version"]), (&json!("begun"), &one["version"]));
    assert_eq!(claim(&server, &begun).await, Vec::<Json>::new());
}

#[on_both]
async fn a_key_claims_once() {
    let server = tasks(&["new", "new", "new"]).await;
    let body = json!({"filter": new(), "limit": 2, "lease": 60});
    let keyed = async |body: &Json| {
        let request = server.request("CLAIM", TASKS).header("Idempotency-Key", "k1");
        answer(request.json(body)).await
    };
    let first = keyed(&body).await.expect(200);
    assert_eq!(keyed(&body).await.expect(200), first);
    assert_eq!(first.as_array().unwrap().len(), 2);
    keyed(&json!({"filter": new(), "limit": 1, "lease": 60})).await.expect(422);
    with_token(&server, "PATCH", &first[0], &json!({"state": "done"})).await.expect(200);
    assert_eq!(keyed(&body).await.expect(200), json!([first[1]]), "what the worker still has");
    let posts = (0..8).map(|_| async {
        let request = server.request("CLAIM", TASKS).header("Idempotency-Key", "k2");
        answer(request.json(&body)).await.expect(200)
    });
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
    assert_eq!(answers[0].as_array().unwrap().len(), 1);
}

#[on_both]
async fn a_token_of_another_domain_claims_nothing_here() {
    let server = tasks(&["new"]).await;
    server.create(PROFILES, &json!({"name": "p"})).await;
    let of_other = async |method: &str, path: &str, token: &str, body: &Json| {
        let request = server.anonymous(method, path).bearer_auth(OTHER_TOKEN);
        answer(request.header("Claim-Token", token).json(body)).await
    };
    let request = server.anonymous("CLAIM", PROFILES).bearer_auth(OTHER_TOKEN);
    assert_eq!(answer(request.json(&json!({"lease": 60}))).await.expect(200), json!([]));
    let claimed = server.send("CLAIM", PROFILES, &json!({"lease": 60})).await.expect(200);
    let (id, token) = (claimed[0]["id"].as_str().unwrap(), claimed[0]["claimToken"].as_str());
    let path = format!("{PROFILES}/{id}");
    for (method, body) in
        [("PATCH", json!({"name": "x"})), ("NACK", json!({})), ("CLAIM", json!({"lease": 9}))]
    {
        of_other(method, &path, token.unwrap(), &body).await.expect(404);
    }
    answer(server.anonymous("CLAIM", PROFILES).json(&json!({"lease": 60}))).await.expect(401);
    // The password of an account is no state of a queue.
    let secret = json!({"lease": 60, "set": {"password": "canary"}});
    let refused = server.send("CLAIM", "email/Accounts", &secret).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "set.password");
}

#[on_both]
async fn what_is_wrong_in_a_claim_is_named() {
    let server = tasks(&["new"]).await;
    #[rustfmt::skip]
    let table = [
        (json!({}),                                           "lease: is missing"),
        (json!([]),                                           "takes an object"),
        (json!({"lease": 0}),                                 "lease: takes seconds, from 1 to 86400"),
        (json!({"lease": 60_000_000}),                        "lease: takes seconds"),
        (json!({"lease": "60"}),                              "lease: takes seconds"),
        (json!({"lease": 60, "limit": 0}),                    "limit: takes 1 to 1000"),
        (json!({"lease": 60, "limit": 1.5}),                  "limit: takes 1 to 1000"),
        (json!({"lease": 60, "filter": ["==", 1]}),           "filter"),
        (json!({"lease": 60, "order": "nope"}),               "order"),
        (json!({"lease": 60, "order": 7}),                    "order: takes names"),
        (json!({"lease": 60, "sets": {}}),                    "sets: no such member"),
        (json!({"lease": 60, "set": []}),                     "set: takes an object"),
        (json!({"lease": 60, "set": {"nope": 1}}),            "set.nope"),
        (json!({"lease": 60, "set": {"rank": "x"}}),          "set.rank"),
        (json!({"lease": 60, "claimedBy": ""}),               "claimedBy: takes the name"),
        (json!({"lease": 60, "claims_max": 3}),               "claims_max: goes with `dead_letter`"),
        (json!({"lease": 60, "dead_letter": {}}),             "dead_letter: goes with `claims_max`"),
        (json!({"lease": 60, "claims_max": 0}),               "claims_max: takes 1 to 1000"),
        (json!({"lease": 60, "claims_max": 1, "dead_letter": {"state": "dead"}}), "needs a `filter`"),
    ];
    for (body, said) in table {
        let refused = server.send("CLAIM", TASKS, &body).await.expect(422);
        assert!(refused["detail"].as_str().unwrap().contains(said), "{body}: {refused}");
    }
    server.send("CLAIM", &format!("{TASKS}?limit=1"), &json!({"lease": 60})).await.expect(422);
    let one = claim(&server, &json!({"lease": 60})).await.remove(0);
    let path = format!("{TASKS}/{}", one["id"].as_str().unwrap());
    for (method, body) in [("NACK", json!({})), ("CLAIM", json!({"lease": 60}))] {
        server.send(method, &path, &body).await.expect(428);
    }
    for (method, body, said) in [
        ("NACK", json!({"delay": -1}), "delay: takes seconds, from 0 to 604800"),
        ("NACK", json!({"lease": 1}), "lease: no such member"),
        ("CLAIM", json!({}), "lease: is missing"),
        ("CLAIM", json!({"lease": 60, "limit": 1}), "limit: no such member"),
    ] {
        let refused = with_token(&server, method, &one, &body).await.expect(422);
        assert!(refused["detail"].as_str().unwrap().contains(said), "{body}: {refused}");
    }
    let odd = server.request("NACK", &path).header("Claim-Token", "nope");
    answer(odd.json(&json!({}))).await.expect(400);
    // Where a token has no meaning it is refused, not ignored.
    for method in ["GET", "DELETE"] {
        let request = server.request(method, &path).header("Claim-Token", "x");
        answer(request).await.expect(400);
    }
    let put = server.request("PUT", &path).header("Claim-Token", "x");
    answer(put.json(&json!({"state": "x"}))).await.expect(400);
    let many = server.request("PATCH", &format!("{TASKS}?filter={}", new()));
    answer(many.header("Claim-Token", "x").json(&json!({"state": "x"}))).await.expect(400);
}

#[on_both]
async fn an_entity_that_may_not_be_changed_so_is_named_and_nothing_is_claimed() {
    let server = Server::start().await;
    let draft = json!({"messageDirection": "out", "subject": "s"});
    let id = server.create(MESSAGES, &draft).await;
    let body = json!({"lease": 60, "set": {"messageState": "received"}});
    let refused = server.send("CLAIM", MESSAGES, &body).await.expect(422);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("messageState") && said.contains(&id), "{refused}");
    let body = json!({"lease": 60, "set": {"subject": "t"}});
    let claimed = server.send("CLAIM", MESSAGES, &body).await.expect(200);
    assert_eq!((&claimed[0]["subject"], &claimed[0]["claims"]), (&json!("t"), &json!(1)));
}

#[on_both(flavor = "multi_thread")]
async fn many_workers_get_each_entity_once() {
    const COUNT: i64 = 256;
    let server = tasks(&[]).await;
    let all: Vec<_> = (0..COUNT).map(|rank| json!({"state": "new", "rank": rank})).collect();
    server.send("POST", TASKS, &json!(all)).await.expect(201);
    let body = json!({"filter": open(), "limit": 4, "lease": 600, "set": {"state": "begun"}});
    let work = || async {
        let mut got = vec![];
        loop {
            let claimed = claim(&server, &body).await;
            if claimed.is_empty() {
                return got;
            }
            for one in &claimed {
                with_token(&server, "PATCH", one, &json!({"state": "done"})).await.expect(200);
            }
            got.extend(ranks(&claimed));
        }
    };
    let mut got = futures_util::future::join_all((0..64).map(|_| work())).await.concat();
    got.sort_unstable();
    assert_eq!(got, (0..COUNT).collect::<Vec<_>>());
}

#[on_both]
async fn messages_are_claimed_by_their_words() {
    let server = Server::start().await;
    for subject in ["an offer", "a bill", "another offer"] {
        server.create(MESSAGES, &json!({"messageDirection": "out", "subject": subject})).await;
    }
    while server.store.words_step().await.unwrap() != WordsLeft::Nothing {}
    let body = json!({"filter": ["match", "offer"], "limit": 9, "lease": 60});
    let claimed = server.send("CLAIM", MESSAGES, &body).await.expect(200);
    let subjects: Vec<_> = claimed.as_array().unwrap().iter().map(|one| &one["subject"]).collect();
    assert_eq!(subjects, ["an offer", "another offer"]);
    assert_eq!(server.send("CLAIM", MESSAGES, &body).await.expect(200), json!([]));
}
