//! Classes that change while others are at work, and while what was removed is being deleted.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

const DESIGN: &str = "/rest/v1/design/classes";
const THINGS: &str = "own/Things";
/// How often each is tried.
const ROUNDS: usize = 20;

async fn design(server: &Server, method: &str, path: &str, body: &Json) -> Answer {
    let request = server.request(method, &format!("{DESIGN}{path}"));
    answer(if body.is_null() { request } else { request.json(body) }).await
}

fn things(of_type: &str) -> Json {
    json!({"classname": THINGS, "properties": [{"name": "p", "data_type": of_type}]})
}

/// Adds a property of this type to a class, and removes it with the values that it has by then.
async fn add_and_remove(server: &Server, class: &str, name: &str, of_type: &str) -> Vec<u16> {
    let path = format!("/{class}");
    let added = json!({"properties": [{"name": name, "data_type": of_type}]});
    let mut statuses = vec![design(server, "PATCH", &path, &added).await.status];
    let removed = json!({"properties": [{"name": name, "removed": true}]});
    let mut path_with = path.clone();
    for _ in 0..ROUNDS {
        let answer = design(server, "PATCH", &path_with, &removed).await;
        statuses.push(answer.status);
        if answer.status != 409 {
            break;
        }
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        let count: String = detail.chars().filter(char::is_ascii_digit).collect();
        path_with = format!("{path}?confirm={count}");
    }
    statuses
}

#[on_both]
async fn a_class_that_is_made_again_takes_values_of_its_new_types_on_every_connection() {
    let server = Server::start().await;
    for round in 0..ROUNDS {
        let (of_type, value) = match round % 3 {
            0 => ("string", json!("text")),
            1 => ("uuid", json!("018f0000-0000-7000-8000-00000000000a")),
            _ => ("long", json!(7)),
        };
        design(&server, "POST", "", &things(of_type)).await.expect(201);
        let new = json!({"p": value});
        let post = || server.send("POST", THINGS, &new);
        for created in [post().await, post().await, post().await] {
            let created = created.expect(201);
            assert_eq!(created["p"], value);
            let path = format!("{THINGS}/{}", created["id"].as_str().unwrap());
            assert_eq!(server.get(&path).await.expect(200)["p"], value);
            server.send("PATCH", &path, &json!({"p": null})).await.expect(200);
            assert_eq!(server.get(THINGS).await.status, 200);
        }
        design(&server, "DELETE", &format!("/{THINGS}?confirm=3"), &Json::Null).await.expect(204);
    }
}

#[on_both(flavor = "multi_thread")]
async fn clients_notice_nothing_of_classes_that_change_at_the_same_moment() {
    let server = Server::start().await;
    design(&server, "POST", "", &things("string")).await.expect(201);
    let is_over = AtomicBool::new(false);
    let work = async |class: &str, new: Json, change: Json| {
        let id = server.create(class, &new).await;
        let path = format!("{class}/{id}");
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) || count == 0 {
            server.send("POST", class, &new).await.expect(201);
            server.send("PATCH", &path, &change).await.expect(200);
            server.get(&path).await.expect(200);
            server.get(&format!("{class}?limit=5")).await.expect(200);
            count += 1;
        }
    };
    let designs = async || {
        for round in 0..ROUNDS {
            let types = ["string", "uuid", "datetime", "long", "any"];
            let of = |at: usize| types[(round + at) % types.len()];
            let (one, two, three) = tokio::join!(
                add_and_remove(&server, PROFILES, "q", of(0)),
                add_and_remove(&server, PROFILES, "q", of(1)),
                add_and_remove(&server, THINGS, "q", of(2)),
            );
            for status in [one, two, three].concat() {
                assert!([200, 409, 422].contains(&status), "{status}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(
        designs(),
        work(PROFILES, json!({"name": "a"}), json!({"name": "b"})),
        work(PROFILES, json!({"name": "c"}), json!({"name": "d"})),
        work(THINGS, json!({"p": "a"}), json!({"p": "b"})),
    );
    assert_eq!(server.get("/healthz").await.expect(200)["status"], "ok");
}

#[on_both]
async fn what_was_removed_from_a_class_that_is_deleted_then_keeps_nothing_else_from_being_deleted()
{
    let server = Server::start().await;
    design(&server, "POST", "", &things("string")).await.expect(201);
    server.create(THINGS, &json!({"p": "secret"})).await;
    let (removed, deleted) =
        (json!({"properties": [{"name": "p", "removed": true}]}), format!("/{THINGS}?confirm=1"));
    design(&server, "PATCH", &deleted, &removed).await.expect(200);
    design(&server, "DELETE", &deleted, &Json::Null).await.expect(204);
    // As an earlier version left it, and what others remove afterwards.
    design(&server, "POST", "", &things("string")).await.expect(201);
    server.create(THINGS, &json!({"p": "secret"})).await;
    design(&server, "DELETE", &deleted, &Json::Null).await.expect(204);
    let settled = async {
        while !server.store.classes_are_settled().await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn no_more_values_go_with_a_property_than_the_client_confirmed() {
    let server = Server::start().await;
    for _ in 0..ROUNDS {
        design(&server, "POST", "", &things("string")).await.expect(201);
        // Each writes some values, unless the property is gone before.
        let write = async || {
            for count in 0..ROUNDS as u64 {
                let answer = server.send("POST", THINGS, &json!({"p": "x"})).await;
                if answer.status == 422 {
                    return count;
                }
                answer.expect(201);
            }
            ROUNDS as u64
        };
        let remove = async || {
            let removed = json!({"properties": [{"name": "p", "removed": true}]});
            let mut confirmed: u64 = 0;
            for guessed in [0, 1, 2, 3].into_iter().cycle() {
                let path = format!("/{THINGS}?confirm={confirmed}");
                let answer = design(&server, "PATCH", &path, &removed).await;
                if answer.status == 200 {
                    break;
                }
                let detail = answer.expect(409)["detail"].as_str().unwrap().to_owned();
                confirmed = detail.rsplit('=').next().unwrap().parse().unwrap();
                // What may come meanwhile.
                confirmed += guessed;
            }
            confirmed
        };
        let (confirmed, one, two, three) = tokio::join!(remove(), write(), write(), write());
        assert_eq!(one + two + three, confirmed);
        let gone = format!("/{THINGS}?confirm={confirmed}");
        design(&server, "DELETE", &gone, &Json::Null).await.expect(204);
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_class_is_deleted_as_soon_as_it_is_made_while_its_index_is_being_built() {
    let server = Server::start().await;
    let message = json!({"name": "p", "data_type": "entity", "idclass": "email/Messages"});
    let new = json!({"classname": THINGS, "properties": [message]});
    for round in 0..2 * ROUNDS {
        design(&server, "POST", "", &new).await.expect(201);
        let deleted = design(&server, "DELETE", &format!("/{THINGS}"), &Json::Null).await;
        assert_eq!(deleted.status, 204, "round {round}: {deleted:?}");
    }
}
