//! Moves: all data from SQLite into PostgreSQL and back, interrupted and gone on with.

use crate::people;
use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::require;
use serde_json::Value as Json;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

const COUNT: usize = 60;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.env_remove("POSTROOM_MASTER_KEY").args(arguments);
    command
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn done(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn refused(arguments: &[&str], why: &str) {
    let output = command(arguments).output().unwrap();
    assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
}

fn on(within: &Path, database: Option<&str>, sandbox: &Sandbox) -> Postroom {
    let options = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        data_within: Some(within.to_owned()),
        database: database.map(str::to_owned),
        ..PostroomOptions::default()
    };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

/// All messages of a folder, and the original of the first, but for what the present time changes.
async fn all(postroom: &Postroom, folder: &str, count: usize) -> (Vec<Json>, Vec<u8>) {
    let messages = messages(postroom, folder, count).await;
    let original = format!("email/Messages/{}/rawMessage", id(&messages[0]));
    let original = postroom.bytes(&original).await.unwrap();
    (messages, original)
}

// SQLite alone: it moves to a PostgreSQL of its own, and back.
#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_to_another_database_and_back() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    for name in ["all", "other"] {
        server.database_create(name).await.unwrap();
    }
    let (url, other) = (server.url("all"), server.url("other"));
    let place = tempfile::tempdir().unwrap();
    let (sandbox, mut first, account) = sandbox_with(
        json!({"after_read_timeout": 0.2}),
        PostroomOptions {
            data_within: Some(place.path().to_owned()),
            ..PostroomOptions::default()
        },
    )
    .await;
    let own = json!({"properties": [{"name": "ticketId", "data_type": "string"}]});
    first.patch("/rest/v1/design/classes/email%2FMessages", &own).await.unwrap();
    for number in 0..COUNT {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("mail {number}"))).unwrap();
    }
    let folder = enable(&first, &account, "INBOX", json!({})).await;
    let messages = messages(&first, &folder, COUNT).await;
    let ticket = format!("email/Messages/{}", id(&messages[7]));
    first.patch(&ticket, &json!({"ticketId": "T-7 привет"})).await.unwrap();
    let before = all(&first, &folder, COUNT).await;
    let codes = people::with_second_factor(&first, "anna").await;
    let data = first.data_directory();
    let data = data.to_str().unwrap();
    let from = format!("sqlite:{data}");
    let to = ["move", "--from", &from, "--to", &url];
    refused(&to, "in use by another process");
    first.stop().unwrap();

    // It is killed while it moves, and the same command goes on.
    let mut killed = command(&to).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    let reached = lines.map_while(Result::ok).find(|line| line.contains("file: moving"));
    assert!(reached.is_some(), "it ended before");
    killed.kill().unwrap();
    killed.wait().unwrap();
    refused(&["verify", "--data", data], "is being moved");
    refused(&["verify", "--data", data, "--database", &url], "is not complete");
    let told = done(&to);
    assert!(told.contains("equal in both"), "{told}");
    refused(&["move", "--from", &from, "--to", &other], "was moved to another database");
    refused(&["verify", "--data", data], "was moved to another database");
    refused(&["move", "--from", &url, "--data", data, "--to", &url], "the same place");
    done(&["verify", "--data", data, "--database", &url]);
    done(&["redecompose", "--data", data, "--database", &url]);

    // The password of the account and the ledger are there: new mail comes, and nothing twice.
    let mut second = on(place.path(), Some(&url), &sandbox);
    assert_eq!(all(&second, &folder, COUNT).await, before);
    people::needs_code(&second, "anna", &codes[0]).await;
    refused(&["verify", "--data", data, "--database", &url], "stop Postroom");
    sandbox.deliver(ANNA, "INBOX", mail("one more")).unwrap();
    let after = all(&second, &folder, COUNT + 1).await;
    assert_eq!(after.0.len(), COUNT + 1);
    // On PostgreSQL this number is ahead of the last change.
    let read = second.get("/rest/v1/events?after=now").await.unwrap()["next"].clone();
    second.stop().unwrap();

    let back = tempfile::tempdir().unwrap();
    let directory = back.path().join("data");
    let there = format!("sqlite:{}", directory.display());
    refused(&["move", "--from", &url, "--data", data, "--to", &from], "data of its own");
    done(&["move", "--from", &url, "--data", data, "--to", &there]);
    done(&["verify", "--data", directory.to_str().unwrap()]);
    let third = on(back.path(), None, &sandbox);
    assert_eq!(all(&third, &folder, COUNT + 1).await, after);
    people::needs_code(&third, "anna", &codes[1]).await;
    let goes_on = third.get(&format!("/rest/v1/events?after={read}")).await.unwrap();
    let mut told = goes_on["events"].as_array().unwrap().iter();
    assert!(told.all(|event| event["seq"].as_i64() > read.as_i64()), "whoever has read goes on");
}

/// Starts a move and kills it when it says this.
fn killed_at(arguments: &[&str], reached: &str) {
    let mut killed = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(reached)), "it ended before");
    killed.kill().unwrap();
    killed.wait().unwrap();
}

/// A PostgreSQL of its own with two empty databases, by their addresses. `None`: there is none here.
async fn two_databases() -> Option<(Postgres, [String; 2])> {
    if !require(&[Need::Postgres]) {
        return None;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    for name in ["one", "other"] {
        server.database_create(name).await.unwrap();
    }
    let addresses = ["one", "other"].map(|name| server.url(name));
    Some((server, addresses))
}

/// Classes whose entities must refer to one another, in a circle and to their own class.
// SQLite alone: it moves to a PostgreSQL of its own, and from one to another.
#[tokio::test(flavor = "multi_thread")]
async fn what_refers_in_a_circle_moves_from_postgresql_to_postgresql() {
    let Some((_server, [first_url, second_url])) = two_databases().await else { return };
    let place = tempfile::tempdir().unwrap();
    let options = PostroomOptions {
        data_within: Some(place.path().to_owned()),
        database: Some(first_url.clone()),
        ..PostroomOptions::default()
    };
    let (sandbox, mut first, _) = sandbox_with(json!({}), options).await;
    let before = referring(&first).await;
    first.stop().unwrap();
    let data = first.data_directory();
    let data = data.to_str().unwrap();
    let on_second = ["move", "--from", &first_url, "--data", data, "--to", &second_url];
    killed_at(&on_second, "email/Profiles: moving");
    refused(&["verify", "--data", data, "--database", &second_url], "is not complete");
    done(&on_second);
    done(&["verify", "--data", data, "--database", &second_url]);
    refused(&on_second, "was moved to another database");
    let mut second = on(place.path(), Some(&second_url), &sandbox);
    assert_eq!(listed(&second).await, before);
    let kept = second.delete(&format!("crm/Ends/{}", id(&before[1]))).await;
    assert!(kept.is_err(), "the database keeps what is referred to, as before");
    let sending = second.get("/rest/v1/sending").await.unwrap();
    assert_eq!(sending["suspended"], false, "what `move` copied is no copy beside the former");
    second.stop().unwrap();

    let back = tempfile::tempdir().unwrap();
    let directory = back.path().join("data");
    let there = format!("sqlite:{}", directory.display());
    done(&["move", "--from", &second_url, "--data", data, "--to", &there]);
    done(&["verify", "--data", directory.to_str().unwrap()]);
    let third = on(back.path(), None, &sandbox);
    assert_eq!(listed(&third).await, before);
}

/// Makes such classes with entities, and gives these.
async fn referring(postroom: &Postroom) -> Vec<Json> {
    const CLASSES: &str = "/rest/v1/design/classes";
    let mut ids = vec![];
    // The first class is to refer to the second, which is made later.
    for name in ["crm/Tops", "crm/Ends"] {
        let class = json!({"classname": name, "name": name, "storage_mode": "category",
            "properties": [{"name": "title", "data_type": "string"},
                           {"name": "gone", "data_type": "string"}]});
        let made = postroom.post(CLASSES, &class).await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let refers = |name: &str, to: &str, required: bool| json!({"name": name, "data_type": "entity", "idclass": to, "required": required});
    // The database keeps what the first refers to, because it is empty when it gets the property.
    let top = json!({"properties": [refers("end_id", &ids[1], true),
                                    refers("own_id", &ids[0], false)]});
    postroom.patch(&format!("{CLASSES}/{}", ids[0]), &top).await.unwrap();
    let end = json!({"properties": [refers("top_id", &ids[0], false)]});
    postroom.patch(&format!("{CLASSES}/{}", ids[1]), &end).await.unwrap();
    let end = postroom.post("crm/Ends", &json!({"title": "b"})).await.unwrap();
    let top = json!({"title": "a", "gone": "x", "end_id": id(&end)});
    let top = postroom.post("crm/Tops", &top).await.unwrap();
    let own = json!({"own_id": id(&top)});
    postroom.patch(&format!("crm/Tops/{}", id(&top)), &own).await.unwrap();
    let end = format!("crm/Ends/{}", id(&end));
    postroom.patch(&end, &json!({"top_id": id(&top)})).await.unwrap();
    // Now each must have the other, and itself.
    let must = json!({"properties": [refers("own_id", &ids[0], true)]});
    postroom.patch(&format!("{CLASSES}/{}", ids[0]), &must).await.unwrap();
    let must = json!({"properties": [refers("top_id", &ids[0], true)]});
    postroom.patch(&format!("{CLASSES}/{}", ids[1]), &must).await.unwrap();
    listed(postroom).await
}

async fn listed(postroom: &Postroom) -> Vec<Json> {
    let mut all = vec![];
    for name in ["crm/Tops", "crm/Ends"] {
        all.extend(postroom.get(name).await.unwrap().as_array().unwrap().clone());
    }
    all
}

// SQLite alone: it begins to move to a PostgreSQL of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_given_up_leaves_the_data_where_it_was() {
    let Some((_server, [left, empty])) = two_databases().await else { return };
    let place = tempfile::tempdir().unwrap();
    let options = PostroomOptions {
        data_within: Some(place.path().to_owned()),
        ..PostroomOptions::default()
    };
    let (sandbox, mut first, account) = sandbox_with(json!({}), options).await;
    sandbox.deliver(ANNA, "INBOX", mail("one")).unwrap();
    let folder = enable(&first, &account, "INBOX", json!({})).await;
    let before = all(&first, &folder, 1).await;
    let data = first.data_directory();
    let data = data.to_str().unwrap();
    let from = format!("sqlite:{data}");
    let cancel = ["move", "--from", &from, "--cancel"];
    refused(&cancel, "in use by another process");
    first.stop().unwrap();
    refused(&cancel, "no move from this database was begun");
    refused(&["move", "--from", &from], "--to");
    let to_left = ["move", "--from", &from, "--to", &left];
    killed_at(&to_left, "email/Messages: moving");
    refused(&["verify", "--data", data], "is being moved");
    let told = done(&cancel);
    assert!(told.contains("the data is used where it is"), "{told}");
    refused(&cancel, "no move from this database was begun");

    // It is used as before, and what has arrived is not.
    let mut second = on(place.path(), None, &sandbox);
    assert_eq!(all(&second, &folder, 1).await, before);
    sandbox.deliver(ANNA, "INBOX", mail("two")).unwrap();
    let later = all(&second, &folder, 2).await;
    second.stop().unwrap();
    refused(&["verify", "--data", data, "--database", &left], "is not complete");
    refused(&to_left, "give an empty one");
    done(&["verify", "--data", data]);

    done(&["move", "--from", &from, "--to", &empty]);
    refused(&cancel, "was moved to another database");
    let third = on(place.path(), Some(&empty), &sandbox);
    assert_eq!(all(&third, &folder, 2).await, later);
}

/// A database that `pg_restore` has filled sends nothing until somebody says so.
// SQLite alone: it has a PostgreSQL of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_postgresql_database_sends_nothing_by_itself() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.database_create("all").await.unwrap();
    let url = server.url("all");
    let place = tempfile::tempdir().unwrap();
    let options = PostroomOptions {
        data_within: Some(place.path().to_owned()),
        database: Some(url.clone()),
        ..PostroomOptions::default()
    };
    let (sandbox, mut first, _) = sandbox_with(json!({}), options).await;
    let data = first.data_directory();
    // A dump of a Postroom that runs says so, but nobody uses the copy.
    let copy_of_key = tempfile::tempdir().unwrap();
    std::fs::copy(data.join("key"), copy_of_key.path().join("key")).unwrap();
    let key_at = copy_of_key.path().to_str().unwrap();
    let dump = server.dump("all").unwrap();
    server.database_create("copy").await.unwrap();
    server.database_create("nothing").await.unwrap();
    server.fill("copy", &dump, &["--no-owner"]).unwrap();
    let (copy, nothing) = (server.url("copy"), server.url("nothing"));
    refused(&["verify", "--database", &url, "--data", key_at], "a process uses this database");
    refused(&["verify", "--database", &nothing, "--data", key_at], "no data in this database");
    // The key may be elsewhere, and the directory is made.
    let (made, key_file) = (copy_of_key.path().join("made"), format!("{key_at}/key"));
    let made = made.to_str().unwrap();
    let key = ["--master-key-file", &key_file];
    done(&[&["restore", "--database", &copy, "--data", made], &key[..]].concat());
    done(&["verify", "--database", &copy, "--data", key_at]);
    first.stop().unwrap();
    let data = data.to_str().unwrap();
    done(&["restore", "--database", &url, "--data", data]);
    let second = on(place.path(), Some(&url), &sandbox);
    assert_eq!(second.get("/rest/v1/sending").await.unwrap()["suspended"], json!(true));
}
