//! The supervisor obeys each change of the configuration, account by account.

use crate::world::ANNA;
use crate::world::BEN;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Redial;
use postroom_engine::Settings;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Protocol;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use postroom_store::EntityPlace;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn is(account: &Entity, state: &str) -> bool {
    account.text("state") == Some(state)
}

/// How many IMAP connections of a user are open.
fn connections(world: &World, user: &str) -> usize {
    world.sandbox.look(|state| {
        let of_user = state.connections().filter(|one| one.user.as_deref() == Some(user));
        of_user.filter(|one| one.protocol == Protocol::Imap).count()
    })
}

async fn until_connections(world: &World, user: &str, count: usize) {
    let began = Instant::now();
    while connections(world, user) != count {
        assert!(began.elapsed() < Duration::from_secs(600), "{}", connections(world, user));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An account of this user that monitors its INBOX. Gives it and the folder.
async fn monitored(world: &World, user: &str) -> (EntityId, EntityId) {
    let account = world.account(json!({"address": user, "password": PASSWORD})).await;
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    let of_account = |it: &&Entity| {
        let is_own = it.text("account_id") == Some(account.to_string().as_str());
        is_own && it.text("name") == Some("INBOX")
    };
    let folder = world.list(FOLDERS).await.iter().find(of_account).unwrap().id;
    world.change(FOLDERS, folder, json!({"enabled": true})).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    (account, folder)
}

fn deliver(world: &World, user: &str, subject: &str) {
    let mail = format!("Subject: {subject}\r\n\r\nHello.\r\n").into_bytes();
    world.sandbox.deliver(user, "INBOX", mail).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_stops_when_it_is_disabled_and_starts_when_it_is_enabled_again() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (anna, _) = monitored(&world, ANNA).await;
    let (ben, _) = monitored(&world, BEN).await;
    world.change(ACCOUNTS, anna, json!({"enabled": false})).await;
    world.until(ACCOUNTS, anna, |it| is(it, "disabled")).await;
    until_connections(&world, ANNA, 0).await;
    for user in [ANNA, BEN] {
        deliver(&world, user, user);
    }
    world.until_messages(1).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.subjects().await, [BEN], "the other account goes on");
    assert!(is(&world.until(ACCOUNTS, ben, |_| true).await, "ready"));
    world.change(ACCOUNTS, anna, json!({"enabled": true})).await;
    world.until_messages(2).await;
    assert_eq!(world.subjects().await, [ANNA, BEN]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_deleted_leaves_its_server() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (anna, _) = monitored(&world, ANNA).await;
    until_connections(&world, ANNA, 1).await;
    let (class, domain) = (world.store.builtin(ACCOUNTS).unwrap(), Domain::default_domain());
    let place = EntityPlace::new(&domain, &class, anna);
    world.store.entity_delete(place, None).await.unwrap();
    until_connections(&world, ANNA, 0).await;
    deliver(&world, ANNA, "late");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.list(MESSAGES).await.is_empty());
    assert_eq!(engine.watch_health()(), None);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_no_longer_monitored_closes_the_connection_until_it_is_again() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (_, folder) = monitored(&world, ANNA).await;
    world.change(FOLDERS, folder, json!({"enabled": false})).await;
    until_connections(&world, ANNA, 0).await;
    deliver(&world, ANNA, "a");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.list(MESSAGES).await.is_empty());
    world.change(FOLDERS, folder, json!({"enabled": true})).await;
    world.until_messages(1).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_concern_the_server_keeps_the_connection() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (anna, folder) = monitored(&world, ANNA).await;
    let logins = || {
        let lines = world.sandbox.transcript();
        lines.iter().filter(|line| line.command == "AUTHENTICATE").count()
    };
    let before = logins();
    let changes = [
        (ACCOUNTS, anna, json!({"fromDisplayName": "Anna"})),
        (FOLDERS, folder, json!({"options": {"portion_limit": 7}})),
        (FOLDERS, folder, json!({"deleteOnServer": true})),
    ];
    for (class, id, values) in changes {
        world.change(class, id, values).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(logins(), before);
    // A larger limit of messages is one of the connection.
    let larger = json!({"options": {"message_bytes_max": 200 << 20}});
    world.change(FOLDERS, folder, larger).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((logins(), connections(&world, ANNA)), (before + 1, 1));
    // Others are to be dialled in another way.
    let Settings { dialing, outgoing, .. } = world.settings();
    engine.dial_by(Redial { dialing, outgoing });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((logins(), connections(&world, ANNA)), (before + 2, 1));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_loses_one_of_its_servers_goes_on_with_the_other() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (anna, _) = monitored(&world, ANNA).await;
    let profile = world.list(PROFILES).await.remove(0).id;
    world.change(PROFILES, profile, json!({"imapHost": null})).await;
    until_connections(&world, ANNA, 0).await;
    let message = json!({
        "account_id": anna.to_string(), "messageDirection": "out", "messageState": "sending",
        "to": [BEN], "subject": "S", "text": "Hello.\n",
    });
    let message = world.create(MESSAGES, message).await;
    world.until(MESSAGES, message, |it| it.text("messageState") == Some("sent")).await;
    let hosts = json!({"imapHost": "mail.test", "smtpHost": null});
    world.change(PROFILES, profile, hosts).await;
    deliver(&world, ANNA, "b");
    world.until_messages(2).await;
    world.until(ACCOUNTS, anna, |it| is(it, "ready")).await;
    // Without any server, a person has to act.
    world.change(PROFILES, profile, json!({"imapHost": null})).await;
    let says = |it: &Entity| it.text("statusText").is_some_and(|text| text.contains("smtpHost"));
    let lost = world.until(ACCOUNTS, anna, says).await;
    assert!(is(&lost, "failed"), "{lost:?}");
    world.change(PROFILES, profile, json!({"imapHost": "mail.test"})).await;
    world.until(ACCOUNTS, anna, |it| is(it, "ready") && it.text("statusText").is_none()).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn trouble_with_a_server_is_over_when_the_account_has_no_such_server_any_more() {
    let world = World::new().await;
    let down = Rule {
        on: Point::ImapGreeting,
        when: When::Always,
        act: Action::farewell("* BYE the cellar is under water"),
    };
    world.sandbox.script(down);
    let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let said = |it: &Entity| it.text("statusText").is_some_and(|said| said.contains("the cellar"));
    world.until(ACCOUNTS, account, said).await;
    let profile = world.list(PROFILES).await.remove(0).id;
    world.change(PROFILES, profile, json!({"imapHost": null})).await;
    let is_well = |it: &Entity| is(it, "ready") && it.text("statusText").is_none();
    world.until(ACCOUNTS, account, is_well).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_system_account_gets_a_folder_for_its_outgoing_mail_once() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let values = json!({"address": ANNA, "password": PASSWORD, "isSystem": true});
    let account = world.account(values).await;
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    for enabled in [false, true] {
        world.change(ACCOUNTS, account, json!({"enabled": enabled})).await;
        let state = if enabled { "ready" } else { "disabled" };
        world.until(ACCOUNTS, account, |it| is(it, state)).await;
    }
    let folders = world.list(FOLDERS).await;
    let boxes = folders.iter().filter(|it| it.text("name") == Some("Virtual_System_Send_Box"));
    let boxes: Vec<_> = boxes.collect();
    assert_eq!(boxes.len(), 1, "{boxes:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_stopped_leaves_nothing_open_and_another_one_goes_on() {
    let world = World::new().await;
    let engine = world.start(world.settings()).await;
    let (_, folder) = monitored(&world, ANNA).await;
    deliver(&world, ANNA, "a");
    world.until_messages(1).await;
    let health = engine.watch_health();
    assert_eq!(health(), None);
    engine.stop().await;
    assert_eq!(health().as_deref(), Some("the engine has stopped: restart Postroom"));
    until_connections(&world, ANNA, 0).await;
    deliver(&world, ANNA, "b");
    let next = world.start(world.settings()).await;
    world.until_messages(2).await;
    world.until(FOLDERS, folder, |it| it.number("storedCount") == Some(2)).await;
    assert_eq!(world.subjects().await, ["a", "b"]);
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_folder_for_a_mailbox_that_is_missing_keeps_saying_what_to_do() {
    const UNFOUND: &str = "no mailbox of this name has been found at the server yet";
    let world = World::new().await;
    let account = world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    world.until(ACCOUNTS, account, |it| is(it, "ready")).await;
    let folder = json!({"account_id": account.to_string(), "name": "Lat", "enabled": true});
    let folder = world.create(FOLDERS, folder).await;
    let says = |it: &Entity, text: &str| it.text("statusText").unwrap_or_default().contains(text);
    let is_tried = |it: &Entity| says(it, "the next try is at");
    let tried = world.until(FOLDERS, folder, is_tried).await;
    assert!(says(&tried, UNFOUND), "{tried:?}");
    assert_eq!(tried.text("title"), Some("anna@demo.test/Lat"));
    world.change(FOLDERS, folder, json!({"name": "Late"})).await;
    let corrected = world.until(FOLDERS, folder, is_tried).await;
    assert!(says(&corrected, UNFOUND), "{corrected:?}");
    assert_eq!(corrected.text("title"), Some("anna@demo.test/Late"));
    world.sandbox.create_mailbox(ANNA, "Late").unwrap();
    let is_found = |it: &Entity| it.text("lastProofAt").is_some() && it.text("mailbox").is_some();
    let found = world.until(FOLDERS, folder, is_found).await;
    assert_eq!(found.text("statusText"), None, "{found:?}");
    // Once it was there, it is another trouble.
    world.change(FOLDERS, folder, json!({"title": "mine"})).await;
    world.sandbox.delete_mailbox(ANNA, "Late").unwrap();
    let gone = world.until(FOLDERS, folder, |it| it.text("statusText").is_some()).await;
    assert!(!says(&gone, UNFOUND), "{gone:?}");
    assert_eq!(gone.text("title"), Some("mine"));
    engine.stop().await;
}
