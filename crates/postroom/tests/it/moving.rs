//! Moves: all data from SQLite into PostgreSQL and back, interrupted and gone on with.

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
    refused(&["verify", "--data", data, "--database", &url], "stop Postroom");
    sandbox.deliver(ANNA, "INBOX", mail("one more")).unwrap();
    let after = all(&second, &folder, COUNT + 1).await;
    assert_eq!(after.0.len(), COUNT + 1);
    second.stop().unwrap();

    let back = tempfile::tempdir().unwrap();
    let directory = back.path().join("data");
    let there = format!("sqlite:{}", directory.display());
    refused(&["move", "--from", &url, "--data", data, "--to", &from], "data of its own");
    done(&["move", "--from", &url, "--data", data, "--to", &there]);
    done(&["verify", "--data", directory.to_str().unwrap()]);
    let third = on(back.path(), None, &sandbox);
    assert_eq!(all(&third, &folder, COUNT + 1).await, after);
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
    first.stop().unwrap();
    let data = first.data_directory();
    let data = data.to_str().unwrap();
    done(&["restore", "--database", &url, "--data", data]);
    let second = on(place.path(), Some(&url), &sandbox);
    assert_eq!(second.get("/rest/v1/sending").await.unwrap()["suspended"], json!(true));
}
