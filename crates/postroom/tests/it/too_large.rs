//! What could not be loaded is loaded when somebody asks for it, or says why it is not.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Sandbox;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;

/// What is larger than these options allow.
fn large() -> Vec<u8> {
    [mail("large"), b"x".repeat(4000)].concat()
}

/// A folder in which one message is there by its header alone; gives the paths of both.
async fn by_header(more: Json) -> (Sandbox, Postroom, String, String) {
    let mut options = json!({"after_read_timeout": 0.1, "message_bytes_max": 2000});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (sandbox, postroom, account) = sandbox(options).await;
    sandbox.deliver(ANNA, "INBOX", large()).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 1).await;
    assert_eq!(found[0]["errorCode"], "too_big");
    let message = format!("email/Messages/{}", id(&found[0]));
    (sandbox, postroom, message, format!("email/Folders/{folder}"))
}

async fn fetch(postroom: &Postroom, message: &str) -> (u16, Json) {
    let path = format!("{message}:fetch");
    let answer = postroom.request(Method::POST, &path, None).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until a message says why it was not loaded.
async fn told(postroom: &Postroom, message: &str, why: &str) {
    let says = |message: &Json| {
        message["errorText"].as_str().is_some_and(|text| text.contains(why)).then_some(())
    };
    until(postroom, message, why, says).await;
    let message = postroom.get(message).await.unwrap();
    assert_eq!(
        (&message["messageState"], &message["errorCode"], &message["subject"]),
        (&json!("error"), &json!("too_big"), &json!("large"))
    );
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_loaded_when_somebody_asks_for_it() {
    let (sandbox, postroom, message, folder) = by_header(json!({})).await;
    sandbox.deliver(ANNA, "INBOX", mail("small")).unwrap();
    assert_eq!(fetch(&postroom, &message).await.0, 202);
    let received =
        |message: &Json| (message["messageState"] == "received").then(|| message.clone());
    let whole = until(&postroom, &message, "all of the message", received).await;
    assert_eq!((&whole["errorCode"], &whole["errorText"]), (&Json::Null, &Json::Null));
    assert_eq!((&whole["subject"], &whole["size"]), (&json!("large"), &json!(large().len())));
    assert_eq!(postroom.bytes(&format!("{message}/rawMessage")).await.unwrap(), large());
    let stored = |folder: &Json| (folder["storedCount"] == 2).then_some(());
    until(&postroom, &folder, "both to be stored", stored).await;
    assert_eq!(postroom.count("email/Messages").await.unwrap(), 2);
    let (status, problem) = fetch(&postroom, &message).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("messageState is received"), "{detail}");
    // The limit holds for others as before.
    sandbox.deliver(ANNA, "INBOX", large()).unwrap();
    let found = messages(&postroom, folder.trim_start_matches("email/Folders/"), 3).await;
    assert_eq!(found[2]["errorCode"], "too_big");
}

#[on_both(flavor = "multi_thread")]
async fn a_request_waits_for_no_poll() {
    let rarely = json!({"after_read_timeout": 3600.0, "survey_interval": 7200.0});
    let (_sandbox, postroom, message, _) = by_header(rarely).await;
    assert_eq!(fetch(&postroom, &message).await.0, 202);
    let received = |message: &Json| (message["messageState"] == "received").then_some(());
    until(&postroom, &message, "all of the message", received).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_nobody_can_load_says_so_at_once() {
    let (_sandbox, postroom, message, folder) = by_header(json!({})).await;
    postroom.patch(&folder, &json!({"enabled": false})).await.unwrap();
    let (status, problem) = fetch(&postroom, &message).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("INBOX is not enabled"), "{detail}");
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_is_gone_at_the_server_says_so_and_stays() {
    let (sandbox, postroom, message, _) = by_header(json!({})).await;
    sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(1)).unwrap();
    assert_eq!(fetch(&postroom, &message).await.0, 202);
    told(&postroom, &message, "no longer lists it").await;
    sandbox.deliver(ANNA, "INBOX", mail("small")).unwrap();
    let two = |count: &Json| (count.as_array().unwrap().len() == 2).then_some(());
    until(&postroom, "email/Messages", "the next message", two).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_the_server_does_not_give_says_so_and_can_be_asked_for_again() {
    let (sandbox, postroom, message, _) = by_header(json!({})).await;
    let nil = Action::Message(MessageFault::BodyNil);
    let rule = always(&sandbox, Point::ImapMessage(Some(1)), nil);
    assert_eq!(fetch(&postroom, &message).await.0, 202);
    told(&postroom, &message, "could not be loaded").await;
    sandbox.unscript(rule);
    assert_eq!(fetch(&postroom, &message).await.0, 202);
    let received = |message: &Json| (message["messageState"] == "received").then_some(());
    until(&postroom, &message, "all of the message", received).await;
}

#[on_both(flavor = "multi_thread")]
async fn who_tries_an_account_has_its_pending_messages_asked_for_at_once() {
    let (sandbox, postroom, account) =
        sandbox(json!({"after_read_timeout": 0.1, "retry_first": 3600.0})).await;
    sandbox.deliver(ANNA, "INBOX", mail("later")).unwrap();
    let nil = Action::Message(MessageFault::BodyNil);
    let rule = always(&sandbox, Point::ImapMessage(Some(1)), nil);
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let pending = |folder: &Json| (folder["pendingCount"] == 1).then_some(());
    let path = format!("email/Folders/{folder}");
    until(&postroom, &path, "the message to be pending", pending).await;
    sandbox.unscript(rule);
    postroom.post(&format!("email/Accounts/{account}:try"), &json!({})).await.unwrap();
    assert_eq!(messages(&postroom, &folder, 1).await[0]["subject"], "later");
}
