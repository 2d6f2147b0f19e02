//! `PATCH` and `DELETE` of a collection, and `CLEAR`, as jobs.

use crate::bulk::count;
use crate::bulk::drafts;
use crate::bulk::patch;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_engine::bulk;
use postroom_model::builtin::MESSAGES;
use postroom_store::Job;
use postroom_store::JobKind;
use postroom_store::Modifier;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

const CLASSES: &str = "/rest/v1/design/classes";
const TICKETS: &str = "crm/Tickets";

async fn next(server: &Server) -> Option<Job> {
    server.store.job_next(&[JobKind::Patch, JobKind::Delete], None).await.unwrap()
}

/// Runs all jobs to their ends.
async fn work(server: &Server) {
    while let Some(job) = next(server).await {
        bulk::work(&server.store, &job).await.unwrap();
    }
}

/// `CLEAR` as a job, whose path is given.
async fn clear(server: &Server, class: &str, confirm: u64) -> String {
    let path = format!("{class}?confirm={confirm}");
    let request = server.request("CLEAR", &path).header("idempotency-key", "c");
    let cleared = answer(request).await;
    cleared.expect(202);
    cleared.header("location").to_owned()
}

/// `PATCH` as a job, whose path is given.
async fn change(server: &Server, class: &str, filter: &Json, body: &Json) -> String {
    let request = server.request("PATCH", class).query(&[("filter", filter.to_string())]);
    let changed = answer(request.header("idempotency-key", "p").json(body)).await;
    changed.expect(202);
    changed.header("location").to_owned()
}

/// The counts of a job: `[total, done, changed, failed]`.
async fn counts(server: &Server, place: &str) -> Json {
    let job = server.get(place).await.expect(200);
    json!([job["total"], job["done"], job["changed"], job["failed"]])
}

async fn tickets(server: &Server, count: u64) {
    let class = json!({
        "classname": TICKETS, "name": "Tickets", "storage_mode": "category",
        "properties": [
            {"name": "number", "data_type": "long"}, {"name": "title", "data_type": "string"},
        ],
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    let tickets: Vec<_> =
        (0..count).map(|number| json!({"number": number, "title": "old"})).collect();
    server.send("POST", TICKETS, &json!(tickets)).await.expect(201);
}

async fn design(server: &Server, change: &Json) {
    server.send("PATCH", &format!("{CLASSES}/{TICKETS}"), change).await.expect(200);
}

#[on_both]
async fn many_entities_are_a_job() {
    let server = Server::start().await;
    drafts(&server, 1001).await;
    let filter = json!(["startswith", ["property", "subject"], "s"]);
    let asked = patch(&server, &filter, &json!({"replyTo": ["r@b.test"]})).await;
    let place = asked.header("location").to_owned();
    let job = asked.expect(202);
    assert_eq!((&job["kind"], &job["state"]), (&json!("patch"), &json!("open")));
    assert_eq!(counts(&server, &place).await, json!([1001, 0, 0, 0]));
    // What comes later, or no longer matches, is left alone.
    drafts(&server, 1).await;
    let id = server.get(&format!("{MESSAGES}?limit=1")).await.expect(200)[0]["id"].clone();
    let path = format!("{MESSAGES}/{}", id.as_str().unwrap());
    server.send("PATCH", &path, &json!({"subject": "other"})).await.expect(200);
    let job = next(&server).await.unwrap();
    work(&server).await;
    let done = server.get(&place).await.expect(200);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(counts(&server, &place).await, json!([1001, 1001, 1000, 0]));
    assert_eq!(count(&server, "&replyTo=r@b.test").await, 1000);
    // Done again, as after a crash, it does nothing.
    bulk::work(&server.store, &job).await.unwrap();
    assert_eq!(server.get(&place).await.expect(200), done);
    // Another domain does not see it.
    let other = server.anonymous("GET", &place).bearer_auth(OTHER_TOKEN);
    answer(other).await.expect(404);
    let clear = answer(server.request("CLEAR", &format!("{MESSAGES}?confirm=1002"))).await;
    assert_eq!(clear.expect(202)["kind"], "delete");
    work(&server).await;
    assert_eq!(count(&server, "").await, 0);
    let changes = 1002 + 1 + 1000 + 1002;
    let feed = server.feed(0, changes).await;
    assert_eq!(feed.len(), changes);
    let client = Some(Modifier::Client("admin".into()));
    assert!(feed.iter().all(|row| row.modifier == client), "who asked for the job changed it");
}

#[on_both]
async fn changes_that_make_others_match_come_to_an_end() {
    let server = Server::start().await;
    drafts(&server, 20).await;
    let filter = json!(["startswith", ["property", "subject"], "s"]);
    let place = change(&server, MESSAGES, &filter, &json!({"subject": "s again"})).await;
    work(&server).await;
    assert_eq!(counts(&server, &place).await, json!([20, 20, 20, 0]));
    let versions = server.get(&format!("{MESSAGES}?aggregate=max(version)")).await.expect(200);
    assert_eq!(versions[0]["max(version)"], 2);
}

#[on_both]
async fn a_job_that_is_taken_away_does_no_more() {
    let server = Server::start().await;
    drafts(&server, 20).await;
    let place = clear(&server, MESSAGES, 20).await;
    let job = next(&server).await.unwrap();
    answer(server.request("DELETE", &place)).await.expect(204);
    bulk::work(&server.store, &job).await.unwrap();
    assert_eq!(count(&server, "").await, 20);
    let again = server.request("CLEAR", &format!("{MESSAGES}?confirm=20"));
    answer(again.header("idempotency-key", "c")).await.expect(410);
}

#[on_both]
async fn a_repeated_key_makes_one_job() {
    let server = Server::start().await;
    drafts(&server, 2).await;
    let clear = |path: &str| {
        let path = format!("{MESSAGES}{path}");
        answer(server.request("CLEAR", &path).header("idempotency-key", "k"))
    };
    let (first, second) = tokio::join!(clear("?confirm=2"), clear("?confirm=2"));
    let (first, second) = (first.expect(202), second.expect(202));
    assert_eq!(first["id"], second["id"]);
    work(&server).await;
    drafts(&server, 2).await;
    let again = clear("?confirm=2").await.expect(202);
    assert_eq!((&again["id"], &again["state"]), (&first["id"], &json!("done")));
    assert!(next(&server).await.is_none());
    assert_eq!(count(&server, "").await, 2);
    assert!(clear("?confirm=3").await.expect(422)["type"].as_str().unwrap().ends_with("reused"));
}

/// Runs a job, and drops it after so many of its waits, as a kill does.
async fn work_for(server: &Server, job: &Job, waits: usize) -> bool {
    let mut work = pin!(bulk::work(&server.store, job));
    let mut left = waits;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => {
            done.unwrap();
            Poll::Ready(true)
        }
        Poll::Pending if left == 0 => Poll::Ready(false),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[on_both(flavor = "multi_thread")]
async fn a_job_that_is_killed_anywhere_changes_each_entity_once() {
    let server = Server::start().await;
    drafts(&server, 150).await;
    let filter = json!(["startswith", ["property", "subject"], "s"]);
    let place = change(&server, MESSAGES, &filter, &json!({"subject": "s again"})).await;
    let job = next(&server).await.unwrap();
    let mut kills = 0;
    while !work_for(&server, &job, kills % 17).await {
        kills += 1;
    }
    assert!(kills > 5, "{kills}");
    assert_eq!(counts(&server, &place).await, json!([150, 150, 150, 0]));
    let place = clear(&server, MESSAGES, 150).await;
    // These were not confirmed.
    drafts(&server, 7).await;
    let job = next(&server).await.unwrap();
    let mut kills = 0;
    while !work_for(&server, &job, kills % 17).await {
        kills += 1;
    }
    assert_eq!(counts(&server, &place).await, json!([150, 150, 150, 0]));
    assert_eq!(count(&server, "").await, 7);
    let changes = 150 + 150 + 7 + 150;
    let feed = server.feed(0, changes).await;
    assert_eq!(feed.len(), changes);
    let told: HashSet<_> =
        feed.iter().map(|row| format!("{:?} {}", row.operation, row.entity)).collect();
    assert_eq!(told.len(), feed.len());
}

#[on_both]
async fn an_entity_that_is_made_again_under_its_id_was_not_confirmed() {
    let server = Server::start().await;
    tickets(&server, 3).await;
    let list = server.get(&format!("{TICKETS}?order=number")).await.expect(200);
    let ids: Vec<_> = (0..3).map(|at| list[at]["id"].as_str().unwrap().to_owned()).collect();
    let place = clear(&server, TICKETS, 3).await;
    for id in &ids[..2] {
        answer(server.request("DELETE", &format!("{TICKETS}/{id}"))).await.expect(204);
    }
    let (put, posted) = (json!({"title": "new"}), json!({"id": ids[1], "title": "new"}));
    server.send("PUT", &format!("{TICKETS}/{}", ids[0]), &put).await.expect(201);
    server.send("POST", TICKETS, &json!([posted])).await.expect(201);
    work(&server).await;
    let left = server.get(&format!("{TICKETS}?mask=title&order=id")).await.expect(200);
    assert_eq!(left, json!([{"title": "new"}, {"title": "new"}]));
    assert_eq!(counts(&server, &place).await, json!([3, 3, 1, 0]));
}

#[on_both]
async fn a_job_obeys_classes_that_change_meanwhile() {
    let server = Server::start().await;
    tickets(&server, 300).await;
    let filter = json!(["<", ["property", "number"], 250]);
    let place = change(&server, TICKETS, &filter, &json!({"title": "new"})).await;
    let job = next(&server).await.unwrap();
    assert!(!work_for(&server, &job, 30).await);
    // The job does not notice.
    let added = json!({"name": "note", "data_type": "string", "default": "n"});
    design(&server, &json!({"properties": [added]})).await;
    assert!(!work_for(&server, &job, 30).await);
    // The filter no longer fits.
    design(&server, &json!({"properties": [{"name": "no", "renamed_from": "number"}]})).await;
    work(&server).await;
    let ended = server.get(&place).await.expect(200);
    assert_eq!(ended["state"], "done", "{ended}");
    assert!(ended["errorText"].as_str().unwrap().contains("number"), "{ended}");
    let changed = ended["changed"].as_u64().unwrap();
    assert_eq!(changed + ended["failed"].as_u64().unwrap(), 250, "{ended}");
    let new = server.get(&format!("{TICKETS}?aggregate=count&title=new")).await.expect(200);
    assert_eq!(new[0]["count"], changed);
}

#[on_both]
async fn a_job_of_a_class_that_is_deleted_says_so() {
    let server = Server::start().await;
    tickets(&server, 3).await;
    let place = clear(&server, TICKETS, 3).await;
    let path = format!("{CLASSES}/{TICKETS}?confirm=3");
    answer(server.request("DELETE", &path)).await.expect(204);
    work(&server).await;
    let ended = server.get(&place).await.expect(200);
    assert!(ended["errorText"].as_str().unwrap().contains("was deleted"), "{ended}");
    assert_eq!(counts(&server, &place).await, json!([3, 3, 0, 3]));
}

#[on_both(flavor = "multi_thread")]
async fn classes_that_change_all_the_time_keep_no_request_from_its_end() {
    let server = Server::start().await;
    tickets(&server, 400).await;
    let filter = json!(["startswith", ["property", "title"], "old"]).to_string();
    let request = async |title: &str| {
        let request = server.request("PATCH", TICKETS).query(&[("filter", &filter)]);
        answer(request.json(&json!({"title": title}))).await.expect(200)
    };
    let designs = async || {
        for round in 0..8 {
            let note = json!({"name": format!("note{round}"), "data_type": "string"});
            design(&server, &json!({"properties": [note]})).await;
        }
    };
    let (changed, ()) = tokio::join!(request("old 2"), designs());
    assert_eq!(changed, json!({"done": 400, "changed": 400, "failed": 0}));
}

#[on_both]
async fn what_the_rules_forbid_is_counted_and_named() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    drafts(&server, 4).await;
    let place = change(&server, MESSAGES, &json!(["and"]), &json!({"subject": "new"})).await;
    work(&server).await;
    assert_eq!(counts(&server, &place).await, json!([5, 5, 4, 1]));
    let why = server.get(&place).await.expect(200)["errorText"].as_str().unwrap().to_owned();
    assert!(why.starts_with(&received) && why.contains("subject"), "{why}");
}

#[on_both]
async fn a_process_that_no_longer_leads_does_nothing_of_a_job() {
    let server = Server::start().await;
    drafts(&server, 20).await;
    let place = clear(&server, MESSAGES, 20).await;
    let job = next(&server).await.unwrap();
    let former = server.store.lead().await.unwrap();
    let leader = server.store.lead().await.unwrap();
    bulk::work(&former, &job).await.unwrap_err();
    assert_eq!(counts(&server, &place).await, json!([20, 0, 0, 0]));
    assert_eq!(count(&server, "").await, 20);
    bulk::work(&leader, &job).await.unwrap();
    assert_eq!(counts(&server, &place).await, json!([20, 20, 20, 0]));
}
