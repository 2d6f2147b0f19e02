//! Backups: the whole state in one file, made while mail flows, restored and verified.

use crate::people;
use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxState;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use tokio::net::TcpSocket;

const MAIL: &[u8] =
    b"From: Ben <ben@demo.test>\r\nTo: anna@demo.test\r\nSubject: kept\r\n\r\nHello\r\n";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.env_remove("POSTROOM_MASTER_KEY").args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// A Postroom on data that is there, beside the same mail server.
fn postroom_on(within: &Path, sandbox: &Sandbox) -> Postroom {
    let options = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        data_within: Some(within.to_owned()),
        ..PostroomOptions::default()
    };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

// SQLite alone: PostgreSQL has backups of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_mail_flows_and_sends_nothing_until_somebody_says_so() {
    let (sandbox, mut postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let stored = messages(&postroom, &folder, 1).await;
    let deletes = json!({"deleteOnServer": true});
    postroom.patch(&format!("email/Folders/{folder}"), &deletes).await.unwrap();
    // Nobody listens on this port, so the message waits.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let profile = json!({"name": "p", "smtpHost": "localhost", "smtpPort": port});
    let sends =
        account_of(&postroom, profile, json!({"address": ANNA, "password": "secret"})).await;
    let waiting =
        id(&postroom.post("email/Messages", &outgoing(&sends, "in doubt")).await.unwrap());
    let codes = people::with_second_factor(&postroom, "anna").await;

    let place = tempfile::tempdir().unwrap();
    let (file, data) = (place.path().join("all.backup"), place.path().join("data"));
    let running = postroom.data_directory();
    let backup = ["backup", "--data", text(&running), "--to", text(&file)];
    let made = run(&backup);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    let again = run(&backup);
    assert!(said(&again).contains("is there already"), "{}", said(&again));
    let running = run(&["verify", "--data", text(&running)]);
    assert!(said(&running).contains("stop Postroom first"), "{}", said(&running));
    postroom.stop().unwrap();

    let restore = ["restore", "--from", text(&file), "--data", text(&data)];
    let restored = run(&restore);
    assert!(restored.status.success(), "{}", said(&restored));
    let told = said(&restored);
    assert!(told.contains(&waiting) && told.contains("in doubt"), "{told}");
    let again = run(&restore);
    assert!(said(&again).contains("nothing is overwritten"), "{}", said(&again));
    let verified = run(&["verify", "--data", text(&data)]);
    assert!(verified.status.success(), "{}", said(&verified));

    let postroom = postroom_on(place.path(), &sandbox);
    let raw = format!("email/Messages/{}/rawMessage", id(&stored[0]));
    assert_eq!(postroom.bytes(&raw).await.unwrap(), MAIL);
    people::needs_code(&postroom, "anna", &codes[0]).await;
    let profile = postroom.get(&format!("email/Accounts/{sends}")).await.unwrap();
    let profile = profile["profile_id"].as_str().unwrap().to_owned();
    let right = json!({"smtpPort": sandbox.smtps().port()});
    postroom.patch(&format!("email/Profiles/{profile}"), &right).await.unwrap();
    let held = format!("email/Messages/{waiting}");
    until(&postroom, &held, "the reason why it waits", |message| {
        let text = message["errorText"].as_str().unwrap_or_default();
        text.contains("sending:resume").then_some(())
    })
    .await;
    assert_eq!(postroom.get("/healthz").await.unwrap()["queue"]["suspended"], true);
    assert!(sandbox.accepted().is_empty(), "nothing is sent from a restored backup");
    // New mail is received as before, and nothing is loaded twice. It stays at the server.
    sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    assert_eq!(messages(&postroom, &folder, 2).await.len(), 2);
    stays_until_resumed(&postroom, &folder).await;
    assert_eq!(sandbox.messages(ANNA, "INBOX").len(), 2);
    let resume = postroom.request(Method::POST, "/rest/v1/sending:resume", None).await.unwrap();
    assert_eq!(resume.json::<serde_json::Value>().await.unwrap(), json!({"suspended": false}));
    assert_eq!(settled(&postroom, &waiting).await["messageState"], "sent");
    let is_deleted = |state: &SandboxState| state.mailbox(ANNA, "INBOX").unwrap().len() == 1;
    sandbox.wait_for(is_deleted, PATIENCE).await.unwrap();
}

// SQLite alone: PostgreSQL has backups of its own.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_never_backed_up() {
    let (sandbox, mut postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    postroom.stop().unwrap();
    let (data, place) = (postroom.data_directory(), tempfile::tempdir().unwrap());
    let verify = || run(&["verify", "--data", text(&data)]);
    assert!(verify().status.success(), "{}", said(&verify()));

    let file = data.join("postroom.db");
    let sound = fs::read(&file).unwrap();
    let at = sound.windows(MAIL.len()).position(|window| window == MAIL);
    let mut damaged = sound.clone();
    damaged[at.unwrap() + 30] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let found = verify();
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(said(&found).contains("chunk 0 is damaged"), "{}", said(&found));
    let to = place.path().join("all.backup");
    let refused = run(&["backup", "--data", text(&data), "--to", text(&to)]);
    assert!(said(&refused).contains("no backup was made"), "{}", said(&refused));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

// SQLite alone: PostgreSQL has backups of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_the_key_needs_it_when_it_is_restored() {
    let mut postroom = postroom("");
    postroom.post("email/Profiles", &json!({"name": "p", "smtpHost": "localhost"})).await.unwrap();
    postroom.stop().unwrap();
    let (data, place) = (postroom.data_directory(), tempfile::tempdir().unwrap());
    let key = fs::read_to_string(data.join("key")).unwrap();
    let file = place.path().join("all.backup");
    let backup = ["backup", "--data", text(&data), "--to", text(&file), "--without-key"];
    let made = run(&backup);
    assert!(made.status.success(), "{}", said(&made));
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(64).any(|window| window == key.trim().as_bytes()), "the key is in it");

    let restored = place.path().join("data");
    let restore = ["restore", "--from", text(&file), "--data", text(&restored)];
    let refused = run(&restore);
    assert!(said(&refused).contains("--master-key-file"), "{}", said(&refused));
    let key_file = data.join("key");
    let done = run(&[&restore[..], &["--master-key-file", text(&key_file)]].concat());
    assert!(done.status.success(), "{}", said(&done));
    assert!(!restored.join("key").exists(), "who keeps the key elsewhere wants it there");
    let no_backup = place.path().join("no.backup");
    fs::write(&no_backup, "no database").unwrap();
    let other = place.path().join("other");
    let refused = run(&["restore", "--from", text(&no_backup), "--data", text(&other)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!other.join("postroom.db").exists());
}

// SQLite alone: PostgreSQL has backups of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_command_left_is_refused_and_done_again() {
    let mut postroom = postroom("");
    postroom.post("email/Profiles", &json!({"name": "p", "smtpHost": "localhost"})).await.unwrap();
    postroom.stop().unwrap();
    let (data, place) = (postroom.data_directory(), tempfile::tempdir().unwrap());
    let (file, partial) =
        (place.path().join("all.backup"), place.path().join("all.backup.partial"));
    // A backup was killed.
    fs::create_dir(&partial).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(partial.join("postroom.db"), "half").unwrap();
    let made = run(&["backup", "--data", text(&data), "--to", text(&file)]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(!partial.exists(), "it is replaced");

    // A restore was killed before the key had its place, and after that.
    let half = place.path().join("half");
    let key = fs::read(data.join("key")).unwrap();
    let restore = ["restore", "--from", text(&file), "--data", text(&half)];
    for has_key in [false, true] {
        fs::create_dir_all(half.join("restoring")).unwrap();
        fs::set_permissions(&half, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(half.join("restoring/postroom.db"), "half").unwrap();
        if has_key {
            fs::write(half.join("key"), &key).unwrap();
        }
        let before = fs::read_dir(&half).unwrap().count();
        let url = format!("sqlite:{}", text(&half));
        let other = format!("sqlite:{}", text(&place.path().join("other")));
        let to = text(&place.path().join("none")).to_owned();
        let serve = ["serve", "--data", text(&half), "--listen", "127.0.0.1:0", "--end-with-stdin"];
        let commands: [&[&str]; 7] = [
            &serve,
            &["verify", "--data", text(&half)],
            &["redecompose", "--data", text(&half)],
            &["rotate-key", "--data", text(&half)],
            &["backup", "--data", text(&half), "--to", &to],
            &["move", "--from", &url, "--to", &other],
            &["move", "--from", &format!("sqlite:{}", text(&data)), "--to", &url],
        ];
        for command in commands {
            let refused = run(command);
            let told = said(&refused);
            assert!(!refused.status.success(), "{command:?}: {told}");
            assert!(told.contains("is not finished"), "{command:?}: {told}");
            assert!(told.contains("give the same `postroom restore` again"), "{told}");
        }
        assert_eq!(fs::read_dir(&half).unwrap().count(), before, "nothing is made in it");
        let restored = run(&restore);
        assert!(restored.status.success(), "{}", said(&restored));
        assert!(!half.join("restoring").exists());
        let verified = run(&["verify", "--data", text(&half)]);
        assert!(verified.status.success(), "{}", said(&verified));
        fs::remove_dir_all(&half).unwrap();
    }

    // A key that is not that of the backup is kept.
    fs::create_dir_all(half.join("restoring")).unwrap();
    fs::set_permissions(&half, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(half.join("key"), "7".repeat(64)).unwrap();
    let refused = run(&restore);
    assert!(said(&refused).contains("key is there already"), "{}", said(&refused));
    assert_eq!(fs::read_to_string(half.join("key")).unwrap(), "7".repeat(64));
}
