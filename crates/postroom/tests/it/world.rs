//! What the stories share: a Postroom, accounts, and waiting for conditions.

use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::When;
use postroom_store::Database;
use postroom_store::PostgresConfig;
use postroom_store::PostgresDatabase;
use postroom_store::Room;
use postroom_store::Statement;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::TestDatabase;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a condition may take to hold.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The user of a sandbox.
pub const ANNA: &str = "anna@demo.test";

/// Starts the binary under test, which trusts an authority.
pub fn postroom(ca_pem: &str) -> Postroom {
    let options = PostroomOptions { trust_ca_pem: ca_pem.to_owned(), ..PostroomOptions::default() };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

/// Starts a sandbox that knows anna, and a Postroom with her account and options.
pub async fn sandbox(options: Json) -> (Sandbox, Postroom, String) {
    sandbox_with(options, PostroomOptions::default()).await
}

/// The same with a Postroom that is started in another way.
pub async fn sandbox_with(options: Json, start: PostroomOptions) -> (Sandbox, Postroom, String) {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let start = PostroomOptions { trust_ca_pem: sandbox.ca_pem().to_owned(), ..start };
    let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    let profile = json!({
        "name": "sandbox", "options": options,
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret", "fromDisplayName": "Anna"});
    let account = account_of(&postroom, profile, account).await;
    (sandbox, postroom, account)
}

/// The database of a Postroom, where it is a PostgreSQL.
pub async fn postgres(postroom: &Postroom) -> Option<Arc<dyn Database>> {
    let url = TestDatabase::postgres_url(&postroom.data_directory()).unwrap()?;
    Some(PostgresDatabase::open(PostgresConfig::parse(&url).unwrap()).await.unwrap())
}

/// The database of a Postroom, where it is a SQLite.
pub fn sqlite(postroom: &Postroom) -> rusqlite::Connection {
    let file = postroom.data_directory().join("postroom.db");
    let database = rusqlite::Connection::open(file).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database
}

/// Changes the database of a Postroom by hand, with the statements for its kind.
pub async fn execute(postroom: &Postroom, for_sqlite: &[&str], for_postgres: &[&str]) {
    match postgres(postroom).await {
        Some(database) => {
            let batch = for_postgres.iter().map(|one| Statement::new((*one).to_owned())).collect();
            database.write(batch, Room::Free).await.unwrap();
        }
        None => sqlite(postroom).execute_batch(&for_sqlite.join(";")).unwrap(),
    }
}

/// From now on `act` happens at a point.
pub fn always(sandbox: &Sandbox, on: Point, act: Action) -> RuleId {
    sandbox.script(Rule { on, when: When::Always, act })
}

/// Creates a profile and an account of it; gives the id of the account.
pub async fn account_of(postroom: &Postroom, profile: Json, mut account: Json) -> String {
    let profile = postroom.post("email/Profiles", &profile).await.unwrap();
    account["profile_id"] = profile["id"].clone();
    // Several accounts of one login, where a test wants them.
    id(&postroom.post("email/Accounts?duplicate=allow", &account).await.unwrap())
}

/// Enables a mailbox of an account once it was surveyed; gives the id of the folder.
pub async fn enable(postroom: &Postroom, account: &str, mailbox: &str, mut more: Json) -> String {
    let folder = id(&postroom.folder(account, mailbox).await.unwrap());
    more["enabled"] = json!(true);
    postroom.patch(&format!("email/Folders/{folder}"), &more).await.unwrap();
    folder
}

/// Waits until `path` answers what `wanted` looks for.
pub async fn until<T>(
    postroom: &Postroom,
    path: &str,
    what: &str,
    wanted: impl Fn(&Json) -> Option<T>,
) -> T {
    let found = wait_until(what, PATIENCE, async || Ok(wanted(&postroom.get(path).await?)));
    match found.await {
        Ok(found) => found,
        Err(error) => {
            panic!("{error:#}: {:#}\n{}", postroom.get(path).await.unwrap(), postroom.log())
        }
    }
}

/// Waits until a folder has at least so many messages; gives them by UID.
pub async fn messages(postroom: &Postroom, folder: &str, count: usize) -> Vec<Json> {
    let path = format!("email/Messages?folder_id={folder}&order=uid&limit=1000");
    let enough = |json: &Json| json.as_array().filter(|list| list.len() >= count).cloned();
    until(postroom, &path, &format!("{count} messages"), enough).await
}

/// Waits until a folder was polled so many times from now on.
pub async fn polls(postroom: &Postroom, folder: &str, count: usize) {
    let path = format!("email/Folders/{folder}");
    let mut last = postroom.get(&path).await.unwrap()["lastPollAt"].clone();
    for number in 1..=count {
        let newer = |folder: &Json| {
            let now = &folder["lastPollAt"];
            (*now != last).then(|| now.clone())
        };
        last = until(postroom, &path, &format!("poll {number}"), newer).await;
    }
}

/// Waits until a folder says that its mail stays at the server until sending is resumed, and until
/// it was polled once more.
pub async fn stays_until_resumed(postroom: &Postroom, folder: &str) {
    until(postroom, &format!("email/Folders/{folder}"), "why the mail stays", |folder| {
        let text = folder["statusText"].as_str().unwrap_or_default();
        text.contains("that waits for POST /rest/v1/sending:resume").then_some(())
    })
    .await;
    polls(postroom, folder, 1).await;
}

/// Waits until a message is no longer `sending`; gives it.
pub async fn settled(postroom: &Postroom, message: &str) -> Json {
    let path = format!("email/Messages/{message}");
    let ended = |json: &Json| (json["messageState"] != "sending").then(|| json.clone());
    until(postroom, &path, "the end of sending", ended).await
}

/// A text message to be sent to anna.
pub fn outgoing(account: &str, subject: &str) -> Json {
    json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": [ANNA], "subject": subject, "text": "Hello.\n",
    })
}

/// The id of an entity.
pub fn id(entity: &Json) -> String {
    entity["id"].as_str().unwrap().to_owned()
}

/// A small message with a subject.
pub fn mail(subject: &str) -> Vec<u8> {
    format!("From: ben@demo.test\r\nTo: anna@demo.test\r\nSubject: {subject}\r\n\r\nHello.\r\n")
        .into_bytes()
}
