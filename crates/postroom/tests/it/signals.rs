//! Signals: SIGHUP reads settings again, SIGTERM says what it waits for.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Protocol;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::SandboxState;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;

async fn logged(postroom: &Postroom, words: &str) {
    let found =
        wait_until(words, PATIENCE, async || Ok(postroom.log().contains(words).then_some(())));
    if let Err(error) = found.await {
        panic!("{error:#}\n{}", postroom.log());
    }
}

fn state<'a>(wanted: &'a str) -> impl Fn(&Json) -> Option<()> + 'a {
    move |account| (account["state"] == wanted).then_some(())
}

#[on_both(flavor = "multi_thread")]
async fn a_hangup_reads_the_certificates_again_and_ends_nothing() {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let (former, sandbox) =
        (Sandbox::start(config.clone()).await.unwrap(), Sandbox::start(config).await.unwrap());
    let postroom = postroom(former.ca_pem());
    let profile = json!({
        "name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = account_of(&postroom, profile, json!({"address": ANNA, "password": "secret"}));
    let account = format!("email/Accounts/{}", account.await);
    until(&postroom, &account, "the failure", state("failed")).await;
    // What is wrong changes nothing, and is told.
    std::fs::write(postroom.trust_ca_file(), "no certificate").unwrap();
    postroom.signal("HUP").unwrap();
    logged(&postroom, "SIGHUP: the new settings are wrong").await;
    std::fs::write(postroom.trust_ca_file(), sandbox.ca_pem()).unwrap();
    postroom.signal("HUP").unwrap();
    logged(&postroom, "SIGHUP: settings were read again").await;
    until(&postroom, &account, "the account to be ready", state("ready")).await;
    // What is connected is connected anew: its certificate may be trusted no longer.
    let imap = |state: &SandboxState| {
        let imap = state.connections().filter(|one| one.protocol == Protocol::Imap);
        imap.map(|one| one.id).collect::<Vec<_>>()
    };
    let folder = enable(&postroom, account.rsplit('/').next().unwrap(), "INBOX", json!({})).await;
    let polled = |folder: &Json| folder["lastProofAt"].is_string().then_some(());
    until(&postroom, &format!("email/Folders/{folder}"), "the first poll", polled).await;
    let before = sandbox.look(imap);
    postroom.signal("HUP").unwrap();
    let anew = |state: &SandboxState| imap(state).iter().any(|id| !before.contains(id));
    sandbox.wait_for(anew, PATIENCE).await.unwrap();
    // An account that worked does not say that it was never connected.
    std::fs::write(postroom.trust_ca_file(), former.ca_pem()).unwrap();
    postroom.signal("HUP").unwrap();
    let refused = |account: &Json| {
        let text = account["statusText"].as_str().unwrap_or_default();
        text.contains("certificate").then(|| text.to_owned())
    };
    let text = until(&postroom, &account, "the certificate to be refused", refused).await;
    assert!(!text.contains("never connected"), "{text}");
}

#[on_both(flavor = "multi_thread")]
async fn a_hangup_takes_the_token_that_its_file_holds_now() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, Postroom::TOKEN).unwrap();
    let arguments = vec!["--admin-token-file".to_owned(), file.to_str().unwrap().to_owned()];
    let start = PostroomOptions { arguments, ..PostroomOptions::default() };
    let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    assert_eq!(status(&postroom, Postroom::TOKEN).await, 200);
    // A file that is no good leaves the former token.
    std::fs::write(&file, "short").unwrap();
    postroom.signal("HUP").unwrap();
    logged(&postroom, "the administrator's token is the former one").await;
    assert_eq!(status(&postroom, Postroom::TOKEN).await, 200);
    let other = "another-token-of-the-tests-9876543210";
    std::fs::write(&file, other).unwrap();
    postroom.signal("HUP").unwrap();
    logged(&postroom, "the new administrator's token holds").await;
    assert_eq!(
        (status(&postroom, other).await, status(&postroom, Postroom::TOKEN).await),
        (200, 401)
    );
    assert!(!postroom.log().contains(other));
}

/// How a request with this token is answered.
async fn status(postroom: &Postroom, token: &str) -> u16 {
    let url = format!("{}/rest/v1/model/email/Profiles", postroom.url());
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[on_both(flavor = "multi_thread")]
async fn a_stop_says_which_message_it_waits_for_and_lets_it_end() {
    let (sandbox, mut postroom, account) = sandbox(json!({})).await;
    let hold = always(&sandbox, Point::SmtpDot, Action::Hold);
    let message = id(&postroom.post("email/Messages", &outgoing(&account, "slow")).await.unwrap());
    sandbox.wait_for(|state| state.acted_count(hold) == 1, PATIENCE).await.unwrap();
    postroom.signal("TERM").unwrap();
    logged(&postroom, "waiting for the server to take a message").await;
    let log = postroom.log();
    let line = log.lines().find(|line| line.contains("waiting for the server")).unwrap();
    for part in [ANNA, &message, "seconds=20", "a second signal ends at once"] {
        assert!(line.contains(part), "{line}");
    }
    sandbox.unscript(hold);
    assert_eq!(postroom.ended().await.unwrap().code(), Some(0));
    assert_eq!(sandbox.accepted().len(), 1);
    postroom.restart().unwrap();
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
}

#[on_both(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_says_what_that_means() {
    let (sandbox, mut postroom, account) = sandbox(json!({})).await;
    let hold = always(&sandbox, Point::SmtpDot, Action::Hold);
    postroom.post("email/Messages", &outgoing(&account, "slow")).await.unwrap();
    sandbox.wait_for(|state| state.acted_count(hold) == 1, PATIENCE).await.unwrap();
    postroom.signal("TERM").unwrap();
    logged(&postroom, "waiting for the server to take a message").await;
    postroom.signal("INT").unwrap();
    assert_eq!(postroom.ended().await.unwrap().code(), Some(1));
    logged(&postroom, "settled at the next start").await;
}
