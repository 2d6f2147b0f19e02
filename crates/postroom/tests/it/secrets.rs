//! Secrets appear nowhere: not in the log at its most verbose, not in the data directory, not in
//! what the API answers.

use crate::world::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;

const PASSWORD: &str = "canary-5d2c-password";
const REFUSED: &str = "canary-8f1e-refused";

/// A secret as it is, and what of it stands in Base64 (of SASL, RFC 4616) wherever it begins there.
fn forms(secret: &str) -> Vec<String> {
    let encoded = (0..3).map(|before| {
        let encoded = BASE64_STANDARD.encode([&b"\0\0"[..before], secret.as_bytes()].concat());
        // The first characters share bits with what stands before, the last with what follows.
        encoded[4..encoded.len() - 4].to_owned()
    });
    encoded.chain([secret.to_owned()]).collect()
}

fn assert_absent(place: &str, bytes: &[u8]) {
    // What is no text is replaced, which hides no secret: they are ASCII.
    let text = String::from_utf8_lossy(bytes);
    for secret in [PASSWORD, REFUSED, Postroom::TOKEN] {
        for form in forms(secret) {
            assert!(!text.contains(&form), "{place} has {form}, of {secret}");
        }
    }
}

fn assert_absent_below(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_absent_below(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert_absent(&path.display().to_string(), &bytes);
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn secrets_are_in_no_log_no_file_and_no_answer() {
    let users = vec![(ANNA.to_owned(), PASSWORD.to_owned())];
    let sandbox =
        Sandbox::start(SandboxConfig { users, ..SandboxConfig::default() }).await.unwrap();
    let environment = vec![("RUST_LOG".to_owned(), "trace".to_owned())];
    let trust_ca_pem = sandbox.ca_pem().to_owned();
    let options = PostroomOptions { trust_ca_pem, environment, ..PostroomOptions::default() };
    let mut postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap();
    let profile = json!({
        "name": "sandbox", "options": {"after_read_timeout": 0.1},
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let good = json!({"address": ANNA, "password": PASSWORD});
    let good = account_of(&postroom, profile.clone(), good).await;
    let mut refused = Vec::new();
    for (name, other) in [("password", "smtpPassword"), ("smtpPassword", "password")] {
        let account = json!({"address": ANNA, name: REFUSED, other: PASSWORD});
        refused.push(account_of(&postroom, profile.clone(), account).await);
    }
    let folder = enable(&postroom, &good, "INBOX", json!({})).await;
    let sent = postroom.post("email/Messages", &outgoing(&good, "hello")).await.unwrap();
    assert_eq!(settled(&postroom, &id(&sent)).await["messageState"], "sent");
    messages(&postroom, &folder, 1).await;
    for account in &refused {
        let told = |account: &Json| account["statusText"].as_str().map(|_| ());
        let path = format!("email/Accounts/{account}");
        until(&postroom, &path, "what is wrong", told).await;
        let wrong = json!({"password": [REFUSED]});
        let answer = postroom.patch(&path, &wrong).await.unwrap_err();
        assert_absent("an error", format!("{answer:#}").as_bytes());
    }
    for list in ["Profiles", "Accounts", "Folders", "Messages"] {
        let answer = postroom.bytes(&format!("email/{list}")).await.unwrap();
        assert!(answer.len() > 2, "{list} is empty");
        assert_absent(list, &answer);
    }
    postroom.stop().unwrap();
    assert!(postroom.log().contains("TRACE"), "the log is not at its most verbose");
    assert_absent("the log", postroom.log().as_bytes());
    assert_absent_below(&postroom.data_directory());
    let stored = TestDatabase::stored_bytes(&postroom.data_directory()).unwrap();
    assert!(stored.windows(5).any(|word| word == b"hello"), "all of it was read");
    assert_absent("what is stored", &stored);
}

#[test]
fn a_secret_is_found_within_sasl() {
    for login in ["a", "ab", "abc"] {
        let plain = BASE64_STANDARD.encode(format!("\0{login}\0{PASSWORD}"));
        assert!(forms(PASSWORD).iter().any(|form| plain.contains(form)), "{plain}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn no_core_dump_is_written_and_the_key_may_come_from_a_credential() {
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("postroom.master-key"), "5".repeat(64) + "\n").unwrap();
    let directory = credentials.path().to_str().unwrap().to_owned();
    let start = PostroomOptions {
        environment: vec![("CREDENTIALS_DIRECTORY".to_owned(), directory)],
        ..PostroomOptions::default()
    };
    let mut postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    let process = format!("/proc/{}", postroom.id().unwrap());
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // What is not dumpable belongs to root in /proc, whoever runs it; for root itself this says
    // nothing, the limit above does.
    assert!(!postroom.data_directory().join("key").exists(), "the credential is the key");
    postroom.stop().unwrap();
    // A clean stop leaves one whole file.
    assert!(!postroom.data_directory().join("postroom.db-wal").exists());
}
