//! Connections of a receiver: how they end, and when they are made anew.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Sandbox;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

fn count(sandbox: &Sandbox, command: &str) -> usize {
    sandbox.look(|state| state.transcript().filter(|line| line.command == command).count())
}

fn in_state(state: &'static str) -> impl Fn(&Json) -> Option<Json> {
    move |account| (account["state"] == state).then(|| account.clone())
}

#[on_both(flavor = "multi_thread")]
async fn a_refusal_of_a_login_that_was_good_says_when_it_is_tried_again_and_who_asks_is_served() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.1})).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let path = format!("email/Accounts/{account}");
    until(&postroom, &path, "the account to be ready", in_state("ready")).await;
    for request in ["try", "password", "profile"] {
        let no = Action::tagged("NO [AUTHENTICATIONFAILED] Authentication failed.");
        // A refused way to log in is followed by another one at the next attempt.
        let ways = [ImapCommand::Authenticate, ImapCommand::Login];
        let rules = ways.map(|way| always(&sandbox, Point::ImapCommand(way), no.clone()));
        sandbox.hang_up();
        let failed = until(&postroom, &path, "the refusal", in_state("failed")).await;
        let text = failed["statusText"].as_str().unwrap();
        assert!(text.contains("accepted before; the next try is at 20"), "{text}");
        for rule in rules {
            sandbox.unscript(rule);
        }
        match request {
            "try" => drop(postroom.post(&format!("{path}:try"), &json!({})).await.unwrap()),
            "password" => {
                drop(postroom.patch(&path, &json!({"password": "secret"})).await.unwrap());
            }
            _ => {
                let profile = failed["profile_id"].as_str().unwrap();
                let change = json!({"name": "saved again"});
                postroom.patch(&format!("email/Profiles/{profile}"), &change).await.unwrap();
            }
        }
        // Without the request it would take 30 seconds.
        until(&postroom, &path, "the account to be ready", in_state("ready")).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_connection_that_the_server_ends_between_polls_is_made_anew_without_a_word() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.3})).await;
    let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
    sandbox.deliver(ANNA, "INBOX", mail("first")).unwrap();
    messages(&postroom, &inbox, 1).await;
    let path = format!("email/Accounts/{account}");
    until(&postroom, &path, "the account to be ready", in_state("ready")).await;
    for round in 0..5 {
        sandbox.hang_up();
        // The next end comes after the end of a poll, and so between two of them.
        let folder = format!("email/Folders/{inbox}");
        let before = postroom.get(&folder).await.unwrap()["lastPollAt"].clone();
        let polled = |folder: &Json| (folder["lastPollAt"] != before).then_some(());
        until(&postroom, &folder, "a poll", polled).await;
        let shown = postroom.get(&path).await.unwrap();
        assert_eq!(shown["state"], "ready", "round {round}: {}", shown["statusText"]);
    }
    assert!(!postroom.log().contains("account has trouble"), "{}", postroom.log());
    sandbox.deliver(ANNA, "INBOX", mail("second")).unwrap();
    messages(&postroom, &inbox, 2).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_connection_without_news_is_made_anew_and_asked_before_each_poll() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.1})).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let logins = count(&sandbox, "AUTHENTICATE");
    let renewed = async || Ok((count(&sandbox, "AUTHENTICATE") > logins + 1).then_some(()));
    postroom_testkit::wait_until("two more logins", PATIENCE, renewed).await.unwrap();
    let (polls, asked) = (count(&sandbox, "EXAMINE"), count(&sandbox, "NOOP"));
    assert!(asked * 2 > polls, "{asked} NOOP for {polls} polls");
}

#[on_both(flavor = "multi_thread")]
async fn the_deadlines_of_the_profile_hold() {
    let options = json!({"after_read_timeout": 0.1, "greeting_timeout": 1});
    let (sandbox, postroom, account) = sandbox(options).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let path = format!("email/Accounts/{account}");
    until(&postroom, &path, "the account to be ready", in_state("ready")).await;
    always(&sandbox, Point::ImapGreeting, Action::Hold);
    sandbox.hang_up();
    let told = |account: &Json| {
        let text = account["statusText"].as_str()?;
        text.contains("did not answer the greeting within 1 seconds").then_some(())
    };
    until(&postroom, &path, "the deadline", told).await;
}

#[on_both(flavor = "multi_thread")]
async fn an_account_that_never_was_let_in_says_so() {
    let postroom = postroom("");
    let profile = json!({"name": "p", "imapHost": "localhost", "imapPort": 1});
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    let path = format!("email/Accounts/{account}");
    let failed = until(&postroom, &path, "the failure", in_state("failed")).await;
    let text = failed["statusText"].as_str().unwrap();
    assert!(text.starts_with("never connected so far: "), "{text}");
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_that_is_refused_on_an_old_connection_is_asked_for_on_a_fresh_one() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.1})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    sandbox.deliver(ANNA, "INBOX", mail("before")).unwrap();
    messages(&postroom, &folder, 1).await;
    let examine = Point::ImapCommand(ImapCommand::Examine);
    let logins = count(&sandbox, "AUTHENTICATE");
    let refused = always(&sandbox, examine, Action::tagged("NO Unable to open this mailbox"));
    let renewed = async || Ok((count(&sandbox, "AUTHENTICATE") > logins).then_some(()));
    postroom_testkit::wait_until("another login", PATIENCE, renewed).await.unwrap();
    sandbox.unscript(refused);
    sandbox.deliver(ANNA, "INBOX", mail("after")).unwrap();
    messages(&postroom, &folder, 2).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_disabled_account_is_not_tried_and_says_so() {
    let (_sandbox, postroom, account) = sandbox(json!({})).await;
    let path = format!("email/Accounts/{account}");
    postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
    let tried = postroom.request(reqwest::Method::POST, &format!("{path}:try"), None).await;
    let tried = tried.unwrap();
    assert_eq!(tried.status().as_u16(), 409);
    let problem: serde_json::Value = tried.json().await.unwrap();
    assert_eq!(problem["type"], "urn:postroom:problem:disabled");
}

#[on_both(flavor = "multi_thread")]
async fn who_tries_an_account_has_its_mailboxes_listed_again() {
    let (sandbox, postroom, account) = sandbox(json!({"survey_interval": 7200.0})).await;
    let folders = format!("email/Folders?account_id={account}");
    until(&postroom, &folders, "the first survey", |found| found.get(0).map(|_| ())).await;
    sandbox.edit(|state| state.create_mailbox(ANNA, "Later").map(drop)).unwrap();
    postroom.post(&format!("email/Accounts/{account}:try"), &json!({})).await.unwrap();
    let later = format!("{folders}&name=Later");
    until(&postroom, &later, "the new mailbox", |found| found.get(0).map(|_| ())).await;
}
