//! `delete_after: acknowledged`: mail stays at a real Dovecot until a client has acknowledged it.

use crate::world::*;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use postroom_testkit::require;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;

const USER: &str = "work@test.test";

/// Claims the next message behind a UID, and acknowledges it. Gives its UID.
async fn work(postroom: &Postroom, after: u64) -> u64 {
    let filter = json!([">", ["property", "uid"], after]);
    let claim = json!({"filter": filter, "order": "uid", "lease": 600});
    let claimed = postroom.post("email/Messages:claim", &claim).await.unwrap();
    let [message] = claimed.as_array().unwrap().as_slice() else { panic!("{claimed}") };
    let url = format!("{}/rest/v1/model/email/Messages/{}", postroom.url(), id(message));
    let acknowledge = reqwest::Client::new().patch(url).bearer_auth(Postroom::TOKEN);
    let acknowledge = acknowledge.header("Claim-Token", message["claimToken"].as_str().unwrap());
    let answer = acknowledge.json(&json!({})).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    message["uid"].as_u64().unwrap()
}

/// Waits until the mailbox has these messages.
async fn has(dovecot: &Dovecot, uids: &BTreeSet<u64>) {
    let there = async || {
        let all = dovecot.fetch(USER, "INBOX")?;
        let all: BTreeSet<_> = all.keys().map(|uid| u64::from(*uid)).collect();
        assert!(all.is_superset(uids), "{all:?} lacks some of {uids:?}");
        Ok((all == *uids).then_some(()))
    };
    postroom_testkit::wait_until("deleting", PATIENCE, there).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn mail_is_deleted_at_dovecot_after_it_was_acknowledged_also_by_a_process_that_is_killed() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    for subject in ["one", "two", "three", "four"] {
        dovecot.append(USER, "INBOX", &mail(subject)).unwrap();
    }
    let mut postroom = postroom("");
    let options = json!({"after_read_timeout": 0.2, "delete_after": "acknowledged"});
    let account = postroom.account_create(&dovecot, USER, &options).await.unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
    let stored = messages(&postroom, &folder, 4).await;
    let mut uids: BTreeSet<_> = stored.iter().map(|one| one["uid"].as_u64().unwrap()).collect();
    let path = format!("email/Folders/{folder}");
    let proven = |folder: &Json| folder["lastProofAt"].is_string().then_some(());
    until(&postroom, &path, "the proof", proven).await;
    polls(&postroom, &folder, 3).await;
    has(&dovecot, &uids).await;
    let mut last = work(&postroom, 0).await;
    uids.remove(&last);
    has(&dovecot, &uids).await;
    for _ in 0..2 {
        last = work(&postroom, last).await;
        uids.remove(&last);
        postroom.kill().unwrap();
        postroom.restart().unwrap();
        has(&dovecot, &uids).await;
    }
    // What nobody has acknowledged stays, and so does all that is stored here.
    assert_eq!(uids.len(), 1);
    assert_eq!(messages(&postroom, &folder, 4).await.len(), 4);
}
