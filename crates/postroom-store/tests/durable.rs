//! What is durable: backups that are whole, damage that is seen, deletions that leave nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;

use directory::open as open_store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::MessageEntityId;
use postroom_model::ProfileId;
use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::EntityPlace;
use postroom_store::*;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

const CANARY: &str = "canary-4711-words-of-a-private-mail";

async fn open(directory: &Path) -> Store {
    open_store(directory, "a").await.unwrap()
}

fn domain() -> Domain {
    Domain::default_domain()
}

async fn create(store: &Store, class: &str, values: Json) -> Result<Entity, Error> {
    let entity = Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone());
    let new = NewEntity { entity, files: vec![] };
    let class = store.class(class).unwrap();
    Ok(store.entity_create(&domain(), &class, vec![new]).await?.remove(0))
}

async fn profile(store: &Store, name: &str) -> ProfileId {
    ProfileId::of(create(store, builtin::PROFILES, json!({"name": name})).await.unwrap().id)
}

async fn account(store: &Store, profile: ProfileId) -> Result<EntityId, Error> {
    let values = json!({"profile_id": profile.to_string(), "address": format!("{profile}@b.test")});
    Ok(create(store, builtin::ACCOUNTS, values).await?.id)
}

/// A message with a file of these bytes.
async fn message(store: &Store, subject: &str, bytes: &[u8]) -> EntityId {
    let values = json!({"subject": subject, "messageDirection": "out", "text": subject});
    let entity = Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone());
    let id = entity.id;
    let file = NewFile {
        property: "file".to_owned(),
        name: "a.bin".to_owned(),
        media_type: "application/octet-stream".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(bytes)),
    };
    let class = store.class(builtin::MESSAGES).unwrap();
    let new = NewEntity { entity, files: vec![file] };
    store.entity_create(&domain(), &class, vec![new]).await.unwrap();
    id
}

async fn delete(store: &Store, class: &str, id: EntityId) -> Result<Updated, Error> {
    let class = store.class(class).unwrap();
    store.entity_delete(EntityPlace::new(&domain(), &class, id), None).await
}

async fn file_bytes(store: &Store, message: MessageEntityId) -> Result<Vec<u8>, Error> {
    let file = store.file_list(&domain(), message.into(), "file").await?.remove(0);
    let FileSource::Blob(blob) = file.source else { unreachable!("a file of its own") };
    let mut reader = store.blob_read(blob, 0..file.size_bytes);
    let mut all = vec![];
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Bytes that no compression makes smaller.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[0]
    };
    (0..count).map(step).collect()
}

/// A copy of the database alone, as careless hands make it.
fn copy_of_the_database(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(from.join(DATABASE_FILE), copy.path().join(DATABASE_FILE)).unwrap();
    copy
}

fn count_in_files(directory: &Path, needle: &str) -> usize {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let count = |path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(needle.len()).filter(|window| *window == needle.as_bytes()).count()
    };
    files.map(count).sum()
}

// SQLite alone: it is about its file.
#[tokio::test]
async fn after_a_clean_stop_one_file_holds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let message = message(&store, "kept", b"bytes").await;
    store.close().await.unwrap();
    assert!(!directory.path().join("postroom.db-wal").exists());
    let copy = copy_of_the_database(directory.path());
    let restored = open(copy.path()).await;
    assert_eq!(file_bytes(&restored, MessageEntityId::of(message)).await.unwrap(), b"bytes");
}

// SQLite alone: it is about its files.
#[tokio::test]
async fn a_database_copied_without_its_log_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    message(&store, "kept", b"bytes").await;
    let copy = copy_of_the_database(directory.path());
    let refused = open_store(copy.path(), "a").await.unwrap_err();
    assert!(matches!(refused, Error::WalMissing { .. }), "{refused}");
    assert!(refused.to_string().contains("Copy the whole data directory"), "{refused}");
    // With the log it is whole; and so is what SQLite itself copies.
    fs::copy(directory.path().join("postroom.db-wal"), copy.path().join("postroom.db-wal"))
        .unwrap();
    drop(open(copy.path()).await);
    let backup = tempfile::tempdir().unwrap();
    let from = rusqlite::Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    from.execute("VACUUM INTO ?1", [backup.path().join(DATABASE_FILE).to_str()]).unwrap();
    drop(open(backup.path()).await);
}

// SQLite alone: it is about its files.
#[tokio::test]
async fn a_log_of_another_moment_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let copy = copy_of_the_database(directory.path());
    // More than the log holds before it is written back, twice.
    for seed in 0..40 {
        message(&store, "much", &noise(seed, 4_000_000)).await;
    }
    let log = "postroom.db-wal";
    fs::copy(directory.path().join(log), copy.path().join(log)).unwrap();
    let refused = open_store(copy.path(), "a").await.unwrap_err();
    assert!(matches!(refused, Error::WalForeign { .. }), "{refused}");
}

/// Flips one bit of these stored bytes, while nobody has the database.
async fn flip(directory: &Path, bytes: &[u8]) {
    if TestDatabase::present() == TestDatabase::Postgres {
        let at = "position($1 IN \"bytes\") - 1";
        let sql = format!(
            "UPDATE \"chunk\" SET \"bytes\" = set_byte(\"bytes\", {at},
               get_byte(\"bytes\", {at}) # 4) WHERE position($1 IN \"bytes\") > 0"
        );
        let flip = Statement::new(sql).bind(bytes.to_vec()).must_change(Failed::Stale);
        let database = opened::database(directory).await.unwrap();
        database.write(vec![flip], Room::Free).await.unwrap();
        return database.close();
    }
    let (at, file) = place_of(directory, bytes);
    let first = bytes.first().unwrap();
    file.write_all_at(&[first ^ 4], at).unwrap();
}

#[on_both]
async fn damaged_bytes_are_refused_and_said_by_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let bytes = noise(1, 600_000);
    let message = message(&store, "damaged", &bytes).await;
    store.close().await.unwrap();
    flip(directory.path(), &bytes[5_000..5_032]).await;
    let store = open(directory.path()).await;
    assert_eq!(store.damage().await.unwrap(), None);
    let read = file_bytes(&store, MessageEntityId::of(message)).await;
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
    assert!(store.damage().await.unwrap().unwrap().contains("bytes of messages"));
    // With the message the damage is gone.
    delete(&store, builtin::MESSAGES, message).await.unwrap();
    assert_eq!(store.damage().await.unwrap(), None);
}

/// A message whose row reaches over several pages, `lost@rows.test` on the last one.
async fn long_row(store: &Store) -> EntityId {
    let values = json!({
        "subject": "a long row", "messageDirection": "in", "text": "word ".repeat(8_000),
        "messageId": "lost@rows.test",
    });
    create(store, builtin::MESSAGES, values).await.unwrap().id
}

/// Where these bytes stand in the database's file, and the file.
fn place_of(directory: &Path, bytes: &[u8]) -> (u64, fs::File) {
    let path = directory.join(DATABASE_FILE);
    let whole = fs::read(&path).unwrap();
    // From the end: indexes that have it too were made first.
    let at = whole.windows(bytes.len()).rposition(|window| window == bytes).unwrap();
    (at as u64, fs::OpenOptions::new().write(true).open(&path).unwrap())
}

/// Overwrites the page that has this place.
fn zero_page(file: &fs::File, at: u64) {
    const PAGE: u64 = 8192;
    file.write_all_at(&[0; PAGE as usize], at / PAGE * PAGE).unwrap();
}

// SQLite alone: pages of PostgreSQL have checksums of their own, and its columns their types.
#[tokio::test]
async fn rows_that_nobody_wrote_so_are_refused_and_said() {
    for kind in ["page of zeros", "no UTF-8", "no number"] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let id = long_row(&store).await;
        let other = message(&store, "sound", b"sound").await;
        store.close().await.unwrap();
        let (at, file) = match kind {
            "no UTF-8" => place_of(directory.path(), b"a long row"),
            _ => place_of(directory.path(), b"lost@rows.test"),
        };
        match kind {
            "page of zeros" => zero_page(&file, at),
            "no UTF-8" => file.write_all_at(b"\xFF", at).unwrap(),
            _ => rusqlite::Connection::open(directory.path().join(DATABASE_FILE))
                .unwrap()
                .execute_batch("UPDATE \"email/Messages\" SET \"size\" = 'many'")
                .unwrap(),
        }
        let store = open(directory.path()).await;
        assert_eq!(store.damage().await.unwrap(), None);
        let class = store.class(builtin::MESSAGES).unwrap();
        let read = store.entity_get(&domain(), &class, id).await;
        assert!(matches!(read, Err(Error::Damaged { .. })), "{kind}: {read:?}");
        assert!(store.damage().await.unwrap().is_some(), "{kind}");
        if kind != "no number" {
            assert!(store.entity_get(&domain(), &class, other).await.unwrap().is_some());
        }
    }
}

// SQLite alone: there were no such versions with another database.
#[tokio::test]
async fn rows_of_an_earlier_version_are_read_and_marked_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let id = long_row(&store).await;
    store.close().await.unwrap();
    let database = rusqlite::Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    database.execute_batch("ALTER TABLE \"email/Messages\" DROP COLUMN \"end of row\"").unwrap();
    drop(database);
    let store = open(directory.path()).await;
    let class = store.class(builtin::MESSAGES).unwrap();
    let read = store.entity_get(&domain(), &class, id).await.unwrap().unwrap();
    assert_eq!(read.get("messageId"), &json!("lost@rows.test"));
    let change = json!({"subject": "changed"}).as_object().unwrap().clone();
    store.entity_update(EntityPlace::new(&domain(), &class, id), &change, None).await.unwrap();
    assert_eq!(store.entity_get(&domain(), &class, id).await.unwrap().unwrap().version, 2);
    store.close().await.unwrap();
    // Its mark is on the last page now.
    let (at, file) = place_of(directory.path(), b"lost@rows.test");
    zero_page(&file, at);
    let store = open(directory.path()).await;
    let read = store.entity_get(&domain(), &class, id).await;
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
}

// SQLite alone: PostgreSQL gives space back by itself, and keeps deleted rows until then.
#[tokio::test]
async fn nothing_of_deleted_mail_stays_and_its_space_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let kept = message(&store, "kept", b"kept").await;
    let class = store.class(builtin::MESSAGES).unwrap();
    let mut ids = vec![];
    for seed in 0..12 {
        let id = message(&store, CANARY, &[noise(seed, 400_000), CANARY.into()].concat()).await;
        let change = json!({"subject": "changed"}).as_object().unwrap().clone();
        store.entity_update(EntityPlace::new(&domain(), &class, id), &change, None).await.unwrap();
        ids.push(id);
    }
    store.close().await.unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let full_bytes = fs::metadata(&path).unwrap().len();
    assert!(count_in_files(directory.path(), CANARY) > 0);
    let store = open(directory.path()).await;
    for id in ids {
        delete(&store, builtin::MESSAGES, id).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(count_in_files(directory.path(), CANARY), 0);
    // At the start space is given back, and so it is every minute.
    let store = open(directory.path()).await;
    store.clone().close().await.unwrap();
    let left_bytes = fs::metadata(&path).unwrap().len();
    assert!(left_bytes < full_bytes / 2, "{left_bytes} of {full_bytes}");
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(file_bytes(&store, MessageEntityId::of(kept)).await.unwrap(), b"kept");
}

// SQLite alone: there were no such versions with another database.
#[tokio::test]
async fn a_database_of_an_earlier_version_gives_back_space_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let kept = message(&store, "kept", b"kept").await;
    store.close().await.unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    drop(database);
    let store = open(directory.path()).await;
    assert_eq!(file_bytes(&store, MessageEntityId::of(kept)).await.unwrap(), b"kept");
    store.close().await.unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let mode: i64 = database.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, 2);
    assert!(!directory.path().join("postroom.new").exists());
}

#[on_both]
async fn two_folders_of_one_mailbox_are_one_whatever_the_case_of_inbox() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let account = account(&store, profile(&store, "p").await).await.unwrap();
    let folder = |name: &str| {
        let values = json!({"account_id": account.to_string(), "name": name, "title": name});
        create(&store, builtin::FOLDERS, values)
    };
    folder("INBOX").await.unwrap();
    for twice in ["inbox", "Inbox", "INBOX"] {
        let refused = folder(twice).await;
        assert!(matches!(refused, Err(Error::Condition(Failed::OneFolder))), "{refused:?}");
    }
    for other in ["INBOX/x", "inbox/x", "Work", "work"] {
        folder(other).await.unwrap();
    }
    // Many at the same moment: one of them is first.
    let all = futures_of(8, || folder("Same")).await;
    assert_eq!(all.iter().filter(|made| made.is_ok()).count(), 1);
}

/// Several of the same at once.
async fn futures_of<F: Future>(count: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut all: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = vec![];
    std::future::poll_fn(|context| {
        all.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[on_both]
async fn an_account_always_has_its_profile() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for round in 0..30 {
        let profile = profile(&store, &format!("p{round}")).await;
        let (made, gone) = tokio::join!(
            account(&store, ProfileId::of(profile.into())),
            delete(&store, builtin::PROFILES, profile.into())
        );
        match (&made, &gone) {
            (Ok(_), Err(Error::Condition(Failed::InUse { .. })))
            | (Err(Error::Condition(Failed::Reference { .. })), Ok(Updated::Done(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[on_both]
async fn old_duplicates_do_not_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let account = account(&store, profile(&store, "p").await).await.unwrap();
    for name in ["a", "b"] {
        let values = json!({"account_id": account.to_string(), "name": name});
        create(&store, builtin::FOLDERS, values).await.unwrap();
    }
    store.close().await.unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let same =
        ["DROP INDEX \"email/Folders one each\"", "UPDATE \"email/Folders\" SET \"mailbox\" = 'a'"];
    database.write(same.map(Statement::new).into(), Room::Free).await.unwrap();
    database.close();
    drop(database);
    let store = open(directory.path()).await;
    assert_eq!(store.account_list().await.unwrap()[0].folders.len(), 2);
}
