//! Servers that cannot be used: the account says what is wrong and what to do.

use crate::world::*;
use postroom_sandbox::Certificate;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use tokio::net::TcpListener;

async fn sandbox_with(certificate: Certificate) -> Sandbox {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    Sandbox::start(SandboxConfig { users, certificate, ..SandboxConfig::default() }).await.unwrap()
}

fn failed(account: &Json) -> Option<String> {
    let text = account["statusText"].as_str()?;
    (account["state"] == "failed").then(|| text.to_owned())
}

#[on_both(flavor = "multi_thread")]
async fn the_account_says_what_is_wrong_with_its_server() {
    let good = sandbox_with(Certificate::Good).await;
    let expired = sandbox_with(Certificate::Expired).await;
    let misnamed = sandbox_with(Certificate::WrongName).await;
    let untrusted = sandbox_with(Certificate::Untrusted).await;
    let authorities = [good.ca_pem(), expired.ca_pem(), misnamed.ca_pem()].concat();
    let postroom = postroom(&authorities);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = closed.local_addr().unwrap().port();
    drop(closed);
    let tls = |sandbox: &Sandbox| sandbox.imaps().port();
    #[rustfmt::skip]
    let table = [
        ("localhost", refusing,         "tls",      "secret", "localhost does not accept connections on port"),
        ("no-such.invalid", 993,        "tls",      "secret", "no-such.invalid has no address: check the name"),
        ("localhost", tls(&good),       "tls",      "wrong",  "AUTHENTICATE was answered NO"),
        ("localhost", tls(&expired),    "tls",      "secret", "it has expired"),
        ("localhost", tls(&misnamed),   "tls",      "secret", "it is for another name"),
        ("localhost", tls(&untrusted),  "tls",      "secret", "--trust-ca"),
        ("localhost", good.imap().port(), "tls",    "secret", "is the security setting right for this port"),
    ];
    for (host, port, security, password, want) in table {
        let profile =
            json!({"name": "p", "imapHost": host, "imapPort": port, "imapSecurity": security});
        let account = json!({"address": ANNA, "password": password});
        let account = account_of(&postroom, profile, account).await;
        let path = format!("email/Accounts/{account}");
        let text = until(&postroom, &path, want, failed).await;
        assert!(text.contains(want), "{text}, not {want}");
        assert!(text.contains("; the next try is at 20"), "{text}");
        assert!(!text.contains("os error") && !text.contains("http"), "{text}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_mended_account_works_at_once() {
    let sandbox = sandbox_with(Certificate::Good).await;
    let postroom = postroom(sandbox.ca_pem());
    let port = sandbox.imaps().port();
    let profile = json!({"name": "p", "imapHost": "localhost", "imapPort": port});
    let account =
        account_of(&postroom, profile, json!({"address": ANNA, "password": "wrong"})).await;
    let path = format!("email/Accounts/{account}");
    until(&postroom, &path, "the failure", failed).await;
    postroom.patch(&path, &json!({"password": "secret"})).await.unwrap();
    let ready = |account: &Json| (account["state"] == "ready").then(|| account.clone());
    let account = until(&postroom, &path, "the account to be ready", ready).await;
    assert_eq!(account["statusText"], Json::Null);
    assert!(account["lastConnectedAt"].is_string());
    postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
    let disabled = |account: &Json| (account["state"] == "disabled").then_some(());
    until(&postroom, &path, "the account to be disabled", disabled).await;
}

#[on_both(flavor = "multi_thread")]
async fn trouble_with_sending_is_known_before_the_first_message_and_ends_with_it() {
    let sandbox = sandbox_with(Certificate::Good).await;
    let postroom = postroom(sandbox.ca_pem());
    let profile = json!({
        "name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret", "smtpPassword": "wrong"});
    let account = account_of(&postroom, profile, account).await;
    let path = format!("email/Accounts/{account}");
    let degraded = |account: &Json| {
        let text = account["statusText"].as_str()?;
        (account["state"] == "degraded").then(|| text.to_owned())
    };
    let text = until(&postroom, &path, "the account to be degraded", degraded).await;
    assert!(text.starts_with("sending: the server refuses this login and password"), "{text}");
    let waiting = postroom.post("email/Messages", &outgoing(&account, "waits")).await.unwrap();
    postroom.patch(&path, &json!({"smtpPassword": null})).await.unwrap();
    let sent = settled(&postroom, &id(&waiting)).await;
    assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &path, "the account to be ready", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_system_account_has_a_box_that_never_touches_imap() {
    let sandbox = sandbox_with(Certificate::Good).await;
    let postroom = postroom(sandbox.ca_pem());
    let profile = json!({
        "name": "p", "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret", "isSystem": true});
    let account = account_of(&postroom, profile, account).await;
    let folder = postroom.folder(&account, "Virtual_System_Send_Box").await.unwrap();
    assert_eq!((&folder["mode"], &folder["enabled"]), (&json!("sendOnly"), &json!(true)));
    let mut message = outgoing(&account, "from the system");
    message["folder_id"] = folder["id"].clone();
    message.as_object_mut().unwrap().remove("account_id");
    let sent = postroom.post("email/Messages", &message).await.unwrap();
    assert_eq!(settled(&postroom, &id(&sent)).await["messageState"], "sent");
    assert!(!sandbox.transcript().iter().any(|line| line.text.contains("LOGIN")));
}
