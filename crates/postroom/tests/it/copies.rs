//! Copies of a PostgreSQL database that its own tools made: they send nothing by themselves.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxState;
use postroom_sandbox::StoredMessage;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::require;
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use tokio::net::TcpSocket;

/// A Postroom on the data in a directory and a database.
fn on(within: &Path, database: &str, sandbox: &Sandbox) -> Postroom {
    let options = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        data_within: Some(within.to_owned()),
        database: Some(database.to_owned()),
        ..PostroomOptions::default()
    };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

/// Whether it says that sending is suspended, and that it knows why.
async fn is_suspended(postroom: &Postroom) -> bool {
    let sending = postroom.get("/rest/v1/sending").await.unwrap();
    let queue = postroom.get("/healthz").await.unwrap()["queue"].clone();
    assert_eq!(sending["suspended"], queue["suspended"]);
    let because = sending["because"].as_str().unwrap_or_default();
    assert_eq!(queue["suspendedBecause"].as_str().unwrap_or_default(), because);
    let is_suspended = sending["suspended"] == true;
    assert_eq!(because.contains("tools of its server"), is_suspended, "{because}");
    is_suspended
}

// SQLite alone: it has a PostgreSQL of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_was_restored_by_other_means_sends_nothing_that_was_sent_since() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    for name in ["all", "copy"] {
        server.database_create(name).await.unwrap();
    }
    let (all, copy) = (server.url("all"), server.url("copy"));
    let place = tempfile::tempdir().unwrap();
    let options = PostroomOptions {
        data_within: Some(place.path().to_owned()),
        database: Some(all.clone()),
        ..PostroomOptions::default()
    };
    let quickly = json!({"after_read_timeout": 0.2});
    let (sandbox, mut postroom, receives) = sandbox_with(quickly, options).await;
    // Nobody listens on this port, so the message waits until the dump is made.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let profile = json!({"name": "p", "smtpHost": "localhost", "smtpPort": port});
    let options = json!({"retry_first": 1, "retry_longest": 1});
    let account = json!({"address": ANNA, "password": "secret", "options": options});
    let account = account_of(&postroom, profile, account).await;
    let sent = id(&postroom.post("email/Messages", &outgoing(&account, "once")).await.unwrap());
    let folder = enable(&postroom, &receives, "INBOX", json!({"deleteOnServer": true})).await;
    polls(&postroom, &folder, 1).await;
    let dump = server.dump("all").unwrap();
    let profile = postroom.get(&format!("email/Accounts/{account}")).await.unwrap();
    let profile = format!("email/Profiles/{}", profile["profile_id"].as_str().unwrap());
    let right = json!({"smtpPort": sandbox.smtps().port()});
    postroom.patch(&profile, &right).await.unwrap();
    assert_eq!(settled(&postroom, &sent).await["messageState"], "sent");
    postroom.stop().unwrap();

    // The database itself is used as before.
    let mut postroom = on(place.path(), &all, &sandbox);
    assert!(!is_suspended(&postroom).await);
    postroom.stop().unwrap();

    // In another database, and in place of what was there.
    server.fill("copy", &dump, &[]).unwrap();
    server.fill("all", &dump, &["--clean"]).unwrap();
    for (database, count) in [(&copy, 1), (&all, 2)] {
        let mut postroom = on(place.path(), database, &sandbox);
        assert!(is_suspended(&postroom).await);
        // It receives, and the mail stays at the server.
        sandbox.deliver(ANNA, "INBOX", &b"Subject: new\r\n\r\nHello\r\n"[..]).unwrap();
        messages(&postroom, &folder, count).await;
        stays_until_resumed(&postroom, &folder).await;
        // The message that was sent may be there too.
        let there = sandbox.messages(ANNA, "INBOX");
        let is_new = |message: &&StoredMessage| message.bytes.starts_with(b"Subject: new");
        assert_eq!(there.iter().filter(is_new).count(), count);
        postroom.patch(&profile, &right).await.unwrap();
        until(&postroom, &format!("email/Messages/{sent}"), "the reason why it waits", |message| {
            let text = message["errorText"].as_str().unwrap_or_default();
            text.contains("sending:resume").then_some(())
        })
        .await;
        assert_eq!(sandbox.accepted().len(), 1, "it was sent once");
        postroom.stop().unwrap();
        // The next start does not let it go.
        let mut postroom = on(place.path(), database, &sandbox);
        assert!(is_suspended(&postroom).await);
        postroom.stop().unwrap();
    }

    // Somebody says that the rest may go, and it holds from then on.
    let mut postroom = on(place.path(), &copy, &sandbox);
    let resume = postroom.request(Method::POST, "/rest/v1/sending:resume", None).await.unwrap();
    assert_eq!(resume.json::<serde_json::Value>().await.unwrap(), json!({"suspended": false}));
    assert_eq!(settled(&postroom, &sent).await["messageState"], "sent");
    let is_empty = |state: &SandboxState| state.mailbox(ANNA, "INBOX").unwrap().is_empty();
    sandbox.wait_for(is_empty, PATIENCE).await.unwrap();
    postroom.stop().unwrap();
    assert!(!is_suspended(&on(place.path(), &copy, &sandbox)).await);
}
