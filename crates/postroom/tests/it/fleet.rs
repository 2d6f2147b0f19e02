//! Many accounts at once, and one whose server says nothing.

use crate::world::*;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::require;
use postroom_testkit::sample;
use serde_json::json;
use tokio::net::TcpListener;

const ACCOUNTS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_accounts_are_not_delayed_by_a_silent_one() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    let postroom = postroom("");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = vec![];
        while let Ok(connection) = silent.accept().await {
            held.push(connection);
        }
    });
    let profile = json!({"name": "silent", "imapHost": "127.0.0.1", "imapPort": port, "imapSecurity": "none"});
    let account = json!({"address": "silent@test.test", "password": "x"});
    let silent = account_of(&postroom, profile, account).await;
    let options = json!({"after_read_timeout": 0.5});
    let mut accounts = vec![];
    for number in 0..ACCOUNTS {
        let user = format!("user{number}@test.test");
        dovecot.fill(&user, "INBOX", (0..5).map(|n| sample(n, 2000))).unwrap();
        accounts.push(postroom.account_create(&dovecot, &user, &options).await.unwrap());
    }
    let mut folders = vec![];
    for account in &accounts {
        folders.push(enable(&postroom, account, "INBOX", json!({})).await);
    }
    for (number, folder) in folders.iter().enumerate() {
        messages(&postroom, folder, 5).await;
        dovecot.append(&format!("user{number}@test.test"), "INBOX", &mail("live")).unwrap();
    }
    for folder in &folders {
        assert_eq!(messages(&postroom, folder, 6).await.len(), 6);
    }
    let silent = postroom.get(&format!("email/Accounts/{silent}")).await.unwrap();
    assert_ne!(silent["state"], "ready");
}
