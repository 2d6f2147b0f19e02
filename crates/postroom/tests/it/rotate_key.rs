//! The master key is replaced: while Postroom is stopped, and node by node while it runs.

use crate::people;
use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

fn rotate(postroom: &Postroom, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.env_remove("POSTROOM_MASTER_KEY");
    command.arg("rotate-key").arg("--data").arg(postroom.data_directory());
    if let Some(url) = TestDatabase::postgres_url(&postroom.data_directory()).unwrap() {
        command.args(["--database", &url]);
    }
    command.args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[track_caller]
fn done(output: &Output, what: &str) {
    assert!(output.status.success() && said(output).contains(what), "{}", said(output));
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    assert!(!output.status.success() && said(output).contains(why), "{}", said(output));
}

fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap()
}

#[on_both(flavor = "multi_thread")]
async fn a_new_key_takes_the_place_of_the_one_in_the_directory() {
    let (sandbox, mut postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    sandbox.deliver(ANNA, "INBOX", mail("before")).unwrap();
    messages(&postroom, &folder, 1).await;
    refused(&rotate(&postroom, &[]), "stop Postroom first");
    let user = json!({"login": "anna", "role": "reader", "password": "correct horse battery"});
    postroom.post("iam/Users", &user).await.unwrap();
    let sign_in = async |url: &str| {
        let sent = json!({"login": "anna", "pwd": "correct horse battery"});
        let url = format!("{url}/rest/v1/iam/sessions");
        let begun = reqwest::Client::new().post(url).json(&sent).send().await.unwrap();
        let begun: Json = begun.json().await.unwrap();
        begun["token"].as_str().unwrap().to_owned()
    };
    let session = sign_in(postroom.url()).await;
    let codes = people::with_second_factor(&postroom, "ben").await;
    let data = postroom.data_directory();
    let former = read(&data, "key");
    postroom.stop().unwrap();
    done(&rotate(&postroom, &[]), "the only one that is accepted now");
    let now = read(&data, "key");
    assert_ne!(former, now);
    assert!(!data.join("key.next").exists());
    // The password is opened with the new key.
    postroom.restart().unwrap();
    sandbox.deliver(ANNA, "INBOX", mail("after")).unwrap();
    messages(&postroom, &folder, 2).await;
    // So are those of users with their second factors, and who had signed in goes on.
    sign_in(postroom.url()).await;
    people::needs_code(&postroom, "ben", &codes[0]).await;
    let profiles = format!("{}/rest/v1/model/email/Profiles", postroom.url());
    let asked = reqwest::Client::new().get(profiles).bearer_auth(&session).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    postroom.stop().unwrap();
    fs::write(data.join("key"), &former).unwrap();
    let error = format!("{:#}", postroom.restart().unwrap_err());
    assert!(error.contains("postroom rotate-key"), "{error}");
    fs::write(data.join("key"), &now).unwrap();
    // A former command was interrupted after it had made the key, and this one goes on with it.
    fs::write(data.join("key.next"), "7".repeat(64)).unwrap();
    done(&rotate(&postroom, &[]), "the only one that is accepted now");
    assert_eq!(read(&data, "key"), "7".repeat(64));
    postroom.restart().unwrap();
    for log in [former.trim(), now.trim()] {
        assert!(!postroom.log().contains(log));
    }
}

/// The marks of the keys of the nodes that are there, in order of their names.
async fn marks(postroom: &Postroom) -> Vec<String> {
    let nodes = postroom.get("/rest/v1/nodes").await.unwrap();
    let there = |node: &&Json| node["state"] != "lost";
    let nodes = nodes.as_array().unwrap().iter().filter(there);
    nodes.map(|node| node["keyMark"].as_str().unwrap().to_owned()).collect()
}

#[on_both(flavor = "multi_thread")]
async fn nodes_get_a_new_key_one_after_the_other_while_both_are_accepted() {
    let place = tempfile::tempdir().unwrap();
    let [own, next] = ["own", "next"].map(|name| place.path().join(name));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    fs::write(&own, "1".repeat(64)).unwrap();
    // The key is what a command writes.
    let given = vec!["--master-key-command".to_owned(), format!("cat {}", own.display())];
    let start = PostroomOptions { arguments: given, ..PostroomOptions::default() };
    let (sandbox, mut postroom, account) =
        sandbox_with(json!({"after_read_timeout": 0.2}), start).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    assert!(!postroom.data_directory().join("key").exists());
    let is_shared = TestDatabase::present() == TestDatabase::Postgres;
    let former = marks(&postroom).await;
    let [own_file, next_file] = [&own, &next].map(|path| text(path));
    let with = ["--master-key-file", &own_file];
    let accept = [&with[..], &["--new-key-file", &next_file]].concat();
    if !is_shared {
        refused(&rotate(&postroom, &accept), "stop Postroom first");
        postroom.stop().unwrap();
    }
    for _ in 0..2 {
        done(&rotate(&postroom, &accept), "two keys are accepted now");
    }
    assert_eq!(read(place.path(), "next").trim().len(), 64);
    refused(&rotate(&postroom, &[&with[..], &["--finish"]].concat()), "--finish needs the new one");
    let with_next = ["--master-key-file", &next_file];
    let finish = [&with_next[..], &["--finish"]].concat();
    if is_shared {
        // The node runs, and still has the former key.
        refused(&rotate(&postroom, &finish), "still on the other key: ");
        postroom.stop().unwrap();
    }
    postroom.restart().unwrap();
    assert!(postroom.log().contains("two master keys"), "{}", postroom.log());
    assert_eq!(marks(&postroom).await, former);
    postroom.stop().unwrap();
    fs::copy(&next, &own).unwrap();
    postroom.restart().unwrap();
    assert_ne!(marks(&postroom).await, former);
    sandbox.deliver(ANNA, "INBOX", mail("while both are accepted")).unwrap();
    messages(&postroom, &folder, 1).await;
    if !is_shared {
        postroom.stop().unwrap();
    }
    done(&rotate(&postroom, &finish), "the only one that is accepted now");
    if is_shared {
        postroom.stop().unwrap();
    }
    postroom.restart().unwrap();
    sandbox.deliver(ANNA, "INBOX", mail("after")).unwrap();
    messages(&postroom, &folder, 2).await;
    postroom.stop().unwrap();
    fs::write(&own, "1".repeat(64)).unwrap();
    let error = format!("{:#}", postroom.restart().unwrap_err());
    assert!(error.contains("postroom rotate-key"), "{error}");
}
