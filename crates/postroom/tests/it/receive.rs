//! Receiving from a real Dovecot.

use crate::world::*;
use postroom_testkit::DatabaseLoop;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::KillLoop;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use postroom_testkit::require;
use postroom_testkit::sample;
use postroom_testkit::sha256;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

fn dovecot() -> Option<Dovecot> {
    require(&[Need::Dovecot]).then(|| Dovecot::start(&DovecotOptions::default()).unwrap())
}

/// Each stored message has exactly the bytes that FETCH gives.
async fn compare(postroom: &Postroom, dovecot: &Dovecot, user: &str, folder: &str) {
    let digests = dovecot.digests(user, "INBOX").unwrap();
    let stored = messages(postroom, folder, digests.len()).await;
    assert_eq!(stored.len(), digests.len());
    for message in stored {
        let uid = u32::try_from(message["uid"].as_u64().unwrap()).unwrap();
        let raw = postroom.bytes(&format!("email/Messages/{}/rawMessage", id(&message))).await;
        assert_eq!(sha256(&raw.unwrap()), digests[&uid], "UID {uid}");
        assert_eq!(message["messageState"], "received");
    }
}

#[on_both(flavor = "multi_thread")]
async fn messages_arrive_byte_for_byte_over_each_kind_of_connection() {
    let Some(dovecot) = dovecot() else { return };
    let postroom = postroom(&dovecot.ca_pem());
    let kinds = [
        ("none", dovecot.imap_port()),
        ("starttls", dovecot.imap_port()),
        ("tls", dovecot.imaps_port()),
    ];
    for (security, port) in kinds {
        let user = format!("{security}@test.test");
        let sizes = [200, 5000, 300_000, 3_000_000];
        let mails = (0..20).map(|n| sample(n, sizes[n as usize % sizes.len()]));
        dovecot.fill(&user, "INBOX", mails).unwrap();
        let profile = json!({
            "name": security, "imapHost": "localhost", "imapPort": port, "imapSecurity": security,
        });
        let account = json!({"address": user, "password": Dovecot::PASSWORD});
        let account = account_of(&postroom, profile, account).await;
        let folder = enable(&postroom, &account, "INBOX", json!({})).await;
        compare(&postroom, &dovecot, &user, &folder).await;
        let path = format!("email/Folders/{folder}");
        let proof = until(&postroom, &path, "the proof", |folder| {
            (folder["storedCount"] == 20).then(|| folder.clone())
        });
        let proof = proof.await;
        assert_eq!((&proof["serverCount"], &proof["pendingCount"]), (&json!(20), &json!(0)));
        assert!(proof["lastProofAt"].is_string());
        let flags = dovecot.fetch(&user, "INBOX").unwrap();
        assert!(flags.values().all(|mail| !mail.flags.iter().any(|flag| flag == "\\Seen")));
    }
}

#[on_both(flavor = "multi_thread")]
async fn enabling_and_disabling_take_effect_at_once() {
    let Some(dovecot) = dovecot() else { return };
    let postroom = postroom("");
    let user = "switch@test.test";
    dovecot.fill(user, "INBOX", [sample(1, 500)]).unwrap();
    dovecot.fill(user, "Other", [sample(3, 500)]).unwrap();
    let options = json!({"after_read_timeout": 0.2});
    let account = postroom.account_create(&dovecot, user, &options).await.unwrap();
    postroom.folder(&account, "INBOX").await.unwrap();
    let begun = Instant::now();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "a poll does not wait for its interval");
    let other = enable(&postroom, &account, "Other", json!({})).await;
    messages(&postroom, &other, 1).await;
    let disabled = json!({"enabled": false});
    postroom.patch(&format!("email/Folders/{folder}"), &disabled).await.unwrap();
    let polled = async || {
        postroom.get(&format!("email/Folders/{folder}")).await.unwrap()["lastPollAt"].clone()
    };
    // Polls end: the other folder has ten, and this one has none.
    let mut last = polled().await;
    loop {
        polls(&postroom, &other, 10).await;
        let now = polled().await;
        if now == last {
            break;
        }
        last = now;
        assert!(begun.elapsed() < PATIENCE, "a folder that is disabled is polled");
    }
    dovecot.append(user, "INBOX", &sample(2, 500)).unwrap();
    enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 2).await;
}

#[on_both(flavor = "multi_thread")]
async fn polls_that_find_nothing_write_nothing() {
    let Some(dovecot) = dovecot() else { return };
    // One of its own, because all its databases share one log.
    let is_postgres = TestDatabase::present() == TestDatabase::Postgres;
    let server = is_postgres.then(|| {
        let extra = "autovacuum = off".to_owned();
        Postgres::start(&PostgresOptions { extra, ..PostgresOptions::default() }).unwrap()
    });
    let mut start = PostroomOptions::default();
    if let Some(server) = &server {
        server.database_create("idle").await.unwrap();
        start.database = Some(server.url("idle"));
    }
    let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    let user = "idle@test.test";
    dovecot.fill(user, "INBOX", [sample(1, 500)]).unwrap();
    let options = json!({"after_read_timeout": 0.1});
    let account = postroom.account_create(&dovecot, user, &options).await.unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    let written = async || {
        if let Some(server) = &server {
            return (server.log_position().await.unwrap(), None);
        }
        let log = std::fs::metadata(postroom.data_directory().join("postroom.db-wal")).unwrap();
        (log.len(), log.modified().ok())
    };
    polls(&postroom, &folder, 2).await;
    let begun = Instant::now();
    loop {
        let before = written().await;
        polls(&postroom, &folder, 5).await;
        // Once a minute there is something to write, and the times of polls go with it.
        if written().await == before {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "polls that find nothing write");
    }
}

#[on_both(flavor = "multi_thread")]
async fn the_actions_of_a_folder_are_carried_out_at_the_server() {
    let Some(dovecot) = dovecot() else { return };
    let postroom = postroom("");
    let options = json!({"after_read_timeout": 0.2});
    let mails = || (0..5).map(|n| sample(n, 900));
    for (user, more) in [
        ("delete@test.test", json!({"deleteOnServer": true})),
        ("seen@test.test", json!({"options": {"keep_unseen": false}})),
        ("new@test.test", json!({"options": {"load_existing": false}})),
        ("bare@test.test", json!({"options": {"store_raw_as_file": false}})),
    ] {
        dovecot.fill(user, "INBOX", mails()).unwrap();
        let account = postroom.account_create(&dovecot, user, &options).await.unwrap();
        let folder = enable(&postroom, &account, "INBOX", more).await;
        let path = format!("email/Folders/{folder}");
        let read = |folder: &serde_json::Value| folder["lastProofAt"].is_string().then_some(());
        until(&postroom, &path, "the first reading", read).await;
        match user {
            "delete@test.test" => {
                messages(&postroom, &folder, 5).await;
                let gone = async || Ok(dovecot.fetch(user, "INBOX")?.is_empty().then_some(()));
                postroom_testkit::wait_until("deleting", PATIENCE, gone).await.unwrap();
            }
            "seen@test.test" => {
                let seen = async || {
                    let all = dovecot.fetch(user, "INBOX")?;
                    let seen = |mail: &postroom_testkit::FetchedMessage| {
                        mail.flags.iter().any(|flag| flag == "\\Seen")
                    };
                    Ok(all.values().all(seen).then_some(()))
                };
                postroom_testkit::wait_until("marking", PATIENCE, seen).await.unwrap();
            }
            "new@test.test" => {
                dovecot.append(user, "INBOX", &mail("after")).unwrap();
                let found = messages(&postroom, &folder, 1).await;
                assert_eq!(found.len(), 1);
                assert_eq!(found[0]["subject"], "after");
            }
            _ => {
                let found = messages(&postroom, &folder, 5).await;
                let path = format!("email/Messages/{}/rawMessage", id(&found[0]));
                assert!(postroom.bytes(&path).await.is_err(), "the original is not kept");
            }
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_kill_at_any_moment_neither_loses_nor_repeats() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let kill_loop = KillLoop { count: 1500, kills: 8, kind: 't', seed: 1 };
    kill_loop.run(Path::new(env!("CARGO_BIN_EXE_postroom"))).await.unwrap();
}

// PostgreSQL alone: there is no server of SQLite that could fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_at_any_moment_neither_loses_nor_repeats() {
    if !require(&[Need::Dovecot, Need::Postfix, Need::Postgres]) {
        return;
    }
    let plan = DatabaseLoop {
        count: 1000,
        sent: 30,
        kills: 5,
        restarts: 4,
        cut_offs: 4,
        kind: 't',
        seed: 1,
    };
    let result = plan.run(Path::new(env!("CARGO_BIN_EXE_postroom"))).await.unwrap();
    assert!(result.connections_ended > 0 && result.sent > result.uncertain, "{result:?}");
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_that_a_client_made_says_what_it_waits_for() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    // After the survey nothing looks for mailboxes for minutes.
    postroom.folder(&account, "INBOX").await.unwrap();
    let made = async |values: Json| {
        let mut folder = json!({"account_id": account});
        folder.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        postroom.post("email/Folders", &folder).await.unwrap()
    };
    let unfound = |folder: &Json| {
        let text = folder["statusText"].as_str()?;
        text.starts_with("no mailbox of this name has been found").then_some(())
    };
    let late = made(json!({"name": "Late"})).await;
    let titled = made(json!({"title": "Outgoing"})).await;
    assert!(unfound(&late).is_some() && unfound(&titled).is_some(), "{late} {titled}");
    let own = made(json!({"title": "Out", "mode": "sendOnly"})).await;
    assert_eq!(own["statusText"], Json::Null);
    let path = |folder: &Json| format!("email/Folders/{}", id(folder));
    let sends = json!({"mode": "sendOnly"});
    let changed = postroom.patch(&path(&titled), &sends).await.unwrap();
    assert_eq!(changed["statusText"], Json::Null);
    // It is still not there, and then it is.
    postroom.post(&format!("email/Accounts/{account}:try"), &json!({})).await.unwrap();
    until(&postroom, &path(&late), "the text", unfound).await;
    sandbox.create_mailbox(ANNA, "Late").unwrap();
    postroom.post(&format!("email/Accounts/{account}:try"), &json!({})).await.unwrap();
    let found = |folder: &Json| {
        (folder["mailbox"] == "Late" && folder["statusText"].is_null()).then_some(())
    };
    until(&postroom, &path(&late), "the mailbox", found).await;
}
