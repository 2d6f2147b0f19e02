//! Many accounts at once, and some whose servers say nothing.

use crate::world::*;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::on_both;
use postroom_testkit::require;
use postroom_testkit::sample;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;

const ACCOUNTS: usize = 64;
/// More than connections could ever be in the making at once.
const SILENT: usize = 40;

#[on_both(flavor = "multi_thread")]
async fn silent_servers_keep_no_account_of_another_server_waiting() {
    let (sandbox, postroom, _) = sandbox(json!({})).await;
    let held = Arc::new(Mutex::new(vec![]));
    for number in 0..SILENT {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let held = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok(connection) = silent.accept().await {
                held.lock().await.push(connection);
            }
        });
        for address in [format!("a{number}@silent.test"), format!("b{number}@silent.test")] {
            let profile = json!({
                "name": "silent", "imapHost": "127.0.0.1", "imapPort": port, "imapSecurity": "none",
            });
            account_of(&postroom, profile, json!({"address": address, "password": "x"})).await;
        }
    }
    let many = async || Ok((held.lock().await.len() >= SILENT).then_some(()));
    postroom_testkit::wait_until("silent connections", PATIENCE, many).await.unwrap();
    let begun = Instant::now();
    sandbox.add_user("good@demo.test", "secret");
    sandbox.deliver("good@demo.test", "INBOX", mail("one")).unwrap();
    let profile = json!({
        "name": "good", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
    });
    let account = json!({"address": "good@demo.test", "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    // A silent server is given up after 30 seconds.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[on_both(flavor = "multi_thread")]
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
