//! The store as its callers use it, on a real database in a temporary directory.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;

use directory::open as open_store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::Query;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::filter;
use postroom_model::parse_order;
use postroom_store::Clock;
use postroom_store::DueAt;
use postroom_store::EntityPlace;
use postroom_store::JobKind;
use postroom_store::MissedAt;
use postroom_store::SourceKey;
use postroom_store::Verdict;
use postroom_store::*;
use postroom_testkit::on_both;
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Fixture {
    directory: TempDir,
    store: Store,
    domain: Domain,
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let store = open_store(directory.path(), "a").await.unwrap();
    Fixture { directory, store, domain: Domain::default_domain() }
}

impl Fixture {
    fn class(&self, name: &str) -> Arc<Class> {
        self.store.class(name).unwrap()
    }

    async fn create(&self, class: &str, values: Json) -> Entity {
        let entity = Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone());
        let new = NewEntity { entity, files: vec![] };
        let class = self.class(class);
        self.store.entity_create(&self.domain, &class, vec![new]).await.unwrap().remove(0)
    }

    /// An account with one folder.
    async fn account(&self) -> (AccountId, FolderId) {
        let profile =
            self.create(builtin::PROFILES, json!({"name": "p", "smtpHost": "smtp.b.test"}));
        let profile = profile.await.id;
        let account = json!({
            "profile_id": profile.to_string(), "address": "a@b.test", "enabled": true, "password": "hush-7391",
        });
        let account = AccountId::of(self.create(builtin::ACCOUNTS, account).await.id);
        let folder = json!({"account_id": account.to_string(), "title": "a@b.test/INBOX"});
        (account, FolderId::of(self.create(builtin::FOLDERS, folder).await.id))
    }

    /// What an account has to send at this moment, at most nine.
    async fn claim(&self, account: AccountId, now_ms: i64, latest_ms: i64) -> Vec<Claimed> {
        let due = DueAt { now_ms, latest_ms };
        self.store.delivery_claim(account, due, 9).await.unwrap()
    }

    async fn get(&self, class: &str, id: EntityId) -> Entity {
        self.store.entity_get(&self.domain, &self.class(class), id).await.unwrap().unwrap()
    }

    async fn list(&self, filter: Json) -> Vec<Json> {
        let class = self.class(builtin::MESSAGES);
        let filter = filter::parse(&class, &filter).unwrap();
        let order = parse_order(&class, "subject").unwrap();
        let query = Query { filter: Some(filter), order, ..Query::default() };
        let found = self.store.entity_list(&self.domain, &class, &query).await.unwrap();
        assert_eq!(
            self.store.entity_count(&self.domain, &class, &query).await.unwrap(),
            found.len() as u64
        );
        found.iter().map(|entity| entity.get("subject").clone()).collect()
    }

    async fn receive(
        &self,
        folder: FolderId,
        number: i64,
        messages: Vec<ReceivedMessage>,
    ) -> ReceiveOutcome {
        let domain = self.domain.clone();
        let epoch = MailboxEpoch { folder, number };
        let relink = self.store.ledger(epoch).await.unwrap().has_former;
        let batch = ReceiveBatch { domain, epoch, messages, relink };
        self.store.receive_commit(batch).await.unwrap()
    }

    async fn read(&self, file: &FileRow) -> Vec<u8> {
        let (blob, range) = match file.source {
            FileSource::Blob(blob) => (blob, 0..file.size_bytes),
            FileSource::Part { blob, offset, length, .. } => (blob, offset..offset + length),
        };
        let mut reader = self.store.blob_read(blob, range);
        let mut all = vec![];
        while let Some(piece) = reader.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    }

    fn received(&self, uid: u64, bytes: &[u8]) -> ReceivedMessage {
        let values = json!({
            "messageDirection": "in", "messageState": "received", "uid": uid,
            "dateTimeSource": "arrival",
        });
        let mut hash = [0; 16];
        hash[..bytes.len().min(16)].copy_from_slice(&bytes[..bytes.len().min(16)]);
        let content = NewContent::Part {
            offset: 0,
            length: 2,
            size_bytes: 2,
            transfer_encoding: "7bit".to_owned(),
            charset: None,
        };
        let file = NewFile {
            property: "file".to_owned(),
            name: "a.txt".to_owned(),
            media_type: "text/plain".to_owned(),
            content_id: None,
            content,
        };
        ReceivedMessage {
            key: SourceKey::of_uid(uid),
            row: self
                .store
                .entity_row(
                    &self.domain,
                    &self.store.builtin(builtin::MESSAGES).unwrap(),
                    &Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone()),
                )
                .unwrap(),
            files: vec![file],
            original: Some(Content::prepare(bytes)),
            hash,
            witness: Witness { size_bytes: Some(bytes.len() as u64), ..Witness::default() },
            reported: None,
            action: (uid == 1).then_some(ServerAction::Delete),
        }
    }
}

const fn done(stored: u64, repeated: u64) -> ReceiveOutcome {
    ReceiveOutcome::Done { stored, repeated, held: vec![] }
}

fn keys<const N: usize>(uids: [u64; N]) -> [SourceKey; N] {
    uids.map(SourceKey::of_uid)
}

// SQLite alone: several processes may share a PostgreSQL.
#[tokio::test]
async fn a_second_process_is_refused() {
    let Fixture { directory, store, .. } = fixture().await;
    let again = open_store(directory.path(), "a").await.unwrap_err();
    assert!(matches!(again, Error::Locked { .. }), "{again}");
    drop(store);
    open_store(directory.path(), "a").await.unwrap();
}

/// An epoch of a mailbox from which everything is loaded.
const BEGUN: Beginning<'static> = Beginning {
    login: "a@x.test",
    uid_validity: 7,
    mailbox_id: None,
    baseline: 0,
    unloaded: None,
    former: None,
};

#[on_both]
async fn another_key_is_refused() {
    let Fixture { directory, store, .. } = fixture().await;
    drop(store);
    let other = open_store(directory.path(), "b").await.unwrap_err();
    assert!(matches!(other, Error::KeyDiffers { .. }), "{other}");
    open_store(directory.path(), "a").await.unwrap();
}

#[on_both]
async fn what_was_answered_is_there_after_a_restart() {
    let Fixture { directory, store, domain } = fixture().await;
    let class = store.class(builtin::PROFILES).unwrap();
    let entity =
        Entity::new(Clock::system().new_id(), json!({"name": "p"}).as_object().unwrap().clone());
    let new = NewEntity { entity: entity.clone(), files: vec![] };
    let answered = store.entity_create(&domain, &class, vec![new]).await.unwrap().remove(0);
    assert_eq!(answered, Entity { seq: answered.seq, ..entity });
    drop(store);
    let store = open_store(directory.path(), "a").await.unwrap();
    let id = answered.id;
    assert_eq!(store.entity_get(&domain, &class, id).await.unwrap(), Some(answered.clone()));
    let values = json!({"name": "q"});
    let place = EntityPlace::new(&domain, &class, id);
    let values = values.as_object().unwrap();
    let Updated::Done(after) = store.entity_update(place, values, None).await.unwrap() else {
        panic!("it is there");
    };
    assert!(after.seq > answered.seq);
    assert_eq!(store.entity_get(&domain, &class, id).await.unwrap(), Some(after));
}

#[on_both]
async fn secrets_are_encrypted_and_come_back_for_the_engine_alone() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    assert!(fixture.get(builtin::ACCOUNTS, account.into()).await.get("password").is_null());
    let rows = fixture.store.account_list().await.unwrap();
    assert_eq!(
        rows[0].secrets.password.as_ref().unwrap().open().unwrap().expose_secret(),
        "hush-7391"
    );
    assert_eq!(rows[0].folders.len(), 1);
    for file in std::fs::read_dir(fixture.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"hush-7391"));
    }
}

#[on_both]
async fn filters_find_what_they_say() {
    let fixture = fixture().await;
    let values = [
        json!({"subject": "a", "uid": 1, "to": ["x@b.test"], "messageState": "received",
               "dateTime": "2026-01-01T00:00:00Z", "headers": {"n": 1}}),
        json!({"subject": "b", "uid": 2, "to": ["x@b.test", "y@b.test"], "messageState": "raw"}),
        json!({"subject": "C c"}),
    ];
    let (_, folder) = fixture.account().await;
    let class = fixture.class(builtin::MESSAGES);
    for mut value in values {
        value["messageDirection"] = json!("in");
        let Some(uid) = value["uid"].as_u64() else {
            fixture.create(builtin::MESSAGES, value).await;
            continue;
        };
        let entity = Entity::new(Clock::system().new_id(), value.as_object().unwrap().clone());
        let row = fixture.store.entity_row(&fixture.domain, &class, &entity).unwrap();
        let message = ReceivedMessage { row, ..fixture.received(uid, &[uid.to_le_bytes()[0]; 16]) };
        fixture.receive(folder, 1, vec![message]).await;
    }
    let p = |name: &str| json!(["property", name]);
    #[rustfmt::skip]
    let table = [
        (json!(["==", p("subject"), "a"]), vec!["a"]),
        (json!(["!=", p("messageState"), "raw"]), vec!["C c", "a"]),
        (json!(["==", p("messageState"), null]), vec!["C c"]),
        (json!(["!=", p("messageState"), null]), vec!["a", "b"]),
        (json!([">", p("uid"), 1]), vec!["b"]),
        (json!(["<=", p("uid"), 2]), vec!["a", "b"]),
        (json!(["not", ["<=", p("uid"), 1]]), vec!["C c", "b"]),
        (json!(["in", p("uid"), [1, 2, 9]]), vec!["a", "b"]),
        (json!(["in", p("uid"), [null]]), vec!["C c"]),
        (json!(["in", p("uid"), []]), vec![]),
        (json!(["between", p("uid"), 2, 3]), vec!["b"]),
        (json!(["isnull", p("uid")]), vec!["C c"]),
        (json!(["contains", p("to"), "y@b.test"]), vec!["b"]),
        (json!(["contains", p("subject"), "c"]), vec!["C c"]),
        (json!(["startswith", p("subject"), "C"]), vec!["C c"]),
        (json!(["like", p("subject"), "c%"]), vec!["C c"]),
        (json!(["==", p("dateTime"), "2026-01-01T01:00:00+01:00"]), vec!["a"]),
        (json!(["==", p("headers.n"), 1]), vec!["a"]),
        (json!(["and", ["==", p("subject"), "a"], ["==", p("uid"), 2]]), vec![]),
        (json!(["or", ["==", p("subject"), "a"], ["==", p("uid"), 2]]), vec!["a", "b"]),
        (json!(["and"]), vec!["C c", "a", "b"]),
        (json!(["or"]), vec![]),
        (json!(["==", p("subject"), "a' OR '1'='1"]), vec![]),
    ];
    for (filter, want) in table {
        assert_eq!(fixture.list(filter.clone()).await, want, "{filter}");
    }
}

#[on_both]
async fn a_stale_version_changes_nothing() {
    let fixture = fixture().await;
    let class = fixture.class(builtin::PROFILES);
    let id = fixture.create(builtin::PROFILES, json!({"name": "p"})).await.id;
    let at = EntityPlace::new(&fixture.domain, &class, id);
    let name = |name: &str| json!({"name": name}).as_object().unwrap().clone();
    let first = fixture.store.entity_update(at, &name("q"), Some(1)).await.unwrap();
    assert!(matches!(first, Updated::Done(entity) if entity.version == 2));
    let second = fixture.store.entity_update(at, &name("r"), Some(1)).await.unwrap();
    assert_eq!(second, Updated::Stale { version: 2 });
    let deleted = fixture.store.entity_delete(at, Some(1)).await.unwrap();
    assert_eq!(deleted, Updated::Stale { version: 2 });
    assert!(matches!(fixture.store.entity_delete(at, Some(2)).await.unwrap(), Updated::Done(_)));
    assert_eq!(fixture.store.entity_delete(at, None).await.unwrap(), Updated::Missing);
}

#[on_both]
async fn what_a_caller_has_read_is_read_again_if_it_has_changed_since() {
    let fixture = fixture().await;
    let class = fixture.class(builtin::PROFILES);
    let first = fixture.create(builtin::PROFILES, json!({"name": "p"})).await;
    let at = EntityPlace::new(&fixture.domain, &class, first.id);
    let change = |value: Json| value.as_object().unwrap().clone();
    let (host, name) = (change(json!({"imapHost": "one.test"})), change(json!({"name": "q"})));
    let terms = ChangeTerms { read: Some(&first), ..ChangeTerms::default() };
    let store = &fixture.store;
    let done = async |changes, terms| match store.entity_update_on(at, changes, terms).await {
        Ok(Updated::Done(entity)) => entity,
        other => panic!("{other:?}"),
    };
    assert_eq!(done(&host, terms).await.version, 2);
    let merged = done(&name, terms).await;
    assert_eq!((merged.version, merged.text("imapHost")), (3, Some("one.test")));
    let of_first = ChangeTerms { if_version: Some(1), ..terms };
    let stale = store.entity_update_on(at, &host, of_first).await.unwrap();
    assert_eq!(stale, Updated::Stale { version: 3 });
    // Otherwise the answer shows what the caller has read.
    let mut read = merged.clone();
    read.properties.insert("imapHost".to_owned(), "as.read.test".into());
    let terms = ChangeTerms { read: Some(&read), ..terms };
    let changed = done(&change(json!({"name": "r"})), terms).await;
    assert_eq!((changed.version, changed.text("imapHost")), (4, Some("as.read.test")));
    fixture.store.entity_delete(at, None).await.unwrap();
    let missing = store.entity_update_on(at, &host, terms).await.unwrap();
    assert_eq!(missing, Updated::Missing);
}

#[on_both]
async fn a_deletion_reads_again_what_has_changed_since_its_caller_has_read_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let change = json!({"name": "q"}).as_object().unwrap().clone();
    for class in [builtin::PROFILES, builtin::ACCOUNTS] {
        let first = if class == builtin::PROFILES {
            fixture.create(class, json!({"name": "p"})).await
        } else {
            fixture.get(class, fixture.account().await.0.into()).await
        };
        let class = fixture.class(class);
        let at = EntityPlace::new(&fixture.domain, &class, first.id);
        let delete = async |if_version| {
            let terms = DeleteTerms { if_version, read: Some(&first) };
            match class.classname == builtin::PROFILES {
                true => store.entity_delete_on(at, terms).await.unwrap(),
                false => store.account_delete_whole(at, terms).await.unwrap(),
            }
        };
        store.entity_update(at, &change, None).await.unwrap();
        let version = fixture.get(&class.classname, first.id).await.version;
        assert_eq!(version, first.version + 1);
        assert_eq!(delete(Some(first.version)).await, Updated::Stale { version });
        let Updated::Done(gone) = delete(None).await else { panic!("not deleted") };
        assert_eq!((gone.version, gone.text("name")), (version, Some("q")));
        assert_eq!(delete(Some(first.version)).await, Updated::Missing);
    }
}

/// What is being sent is neither changed nor deleted. But who has read an older version is told so.
#[on_both]
async fn who_has_read_an_older_version_is_told_so_before_anything_else() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let first = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &first).await);
    assert_eq!(fixture.claim(account, 5, 9_000).await.len(), 1);
    let version = fixture.get(builtin::MESSAGES, first.id).await.version;
    assert!(version > first.version);
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, first.id);
    let change = json!({"subject": "t"}).as_object().unwrap().clone();
    let (store, read) = (&fixture.store, Some(&first));
    for (if_version, is_stale) in [(Some(first.version), true), (None, false)] {
        let terms = ChangeTerms { if_version, read, ..ChangeTerms::default() };
        let changed = store.entity_update_on(at, &change, terms).await;
        let deleted = store.entity_delete_on(at, DeleteTerms { if_version, read }).await;
        for what in [changed, deleted] {
            match what {
                Ok(stale) if is_stale => assert_eq!(stale, Updated::Stale { version }),
                Err(Error::Condition(Failed::Sending)) if !is_stale => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[on_both]
async fn of_many_changes_at_once_none_is_lost() {
    let fixture = fixture().await;
    let class = fixture.class(builtin::PROFILES);
    let id = fixture.create(builtin::PROFILES, json!({"name": "p"})).await.id;
    let changes = (0..8).map(|at| {
        let (store, domain, class) = (fixture.store.clone(), fixture.domain.clone(), class.clone());
        tokio::spawn(async move {
            let value = json!({"imapPort": at + 1}).as_object().unwrap().clone();
            store.entity_update(EntityPlace::new(&domain, &class, id), &value, None).await.unwrap()
        })
    });
    for change in changes.collect::<Vec<_>>() {
        assert!(matches!(change.await.unwrap(), Updated::Done(_)));
    }
    assert_eq!(fixture.get(builtin::PROFILES, id).await.version, 9);
}

#[on_both]
async fn references_must_exist_and_are_protected() {
    let fixture = fixture().await;
    let class = fixture.class(builtin::ACCOUNTS);
    let values = json!({"profile_id": EntityId::nil().to_string(), "address": "a@b.test"});
    let entity = Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone());
    let new = NewEntity { entity, files: vec![] };
    let refused = fixture.store.entity_create(&fixture.domain, &class, vec![new]).await;
    assert!(
        matches!(refused, Err(Error::Condition(Failed::Reference { property })) if property == "profile_id")
    );

    let (account, folder) = fixture.account().await;
    fixture.receive(folder, 7, vec![fixture.received(1, b"one")]).await;
    let profile =
        fixture.get(builtin::ACCOUNTS, account.into()).await.reference("profile_id").unwrap();
    let profiles = fixture.class(builtin::PROFILES);
    let used = fixture
        .store
        .entity_delete(EntityPlace::new(&fixture.domain, &profiles, profile), None)
        .await;
    assert!(
        matches!(used, Err(Error::Condition(Failed::InUse { by })) if by == "the account a@b.test")
    );

    fixture
        .store
        .entity_delete(EntityPlace::new(&fixture.domain, &class, account.into()), None)
        .await
        .unwrap();
    assert!(fixture.store.account_list().await.unwrap().is_empty());
    assert!(
        fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap().recorded.is_empty()
    );
    assert_eq!(fixture.list(json!(["and"])).await.len(), 1, "messages stay");
    let gone = fixture.receive(folder, 7, vec![fixture.received(2, b"two")]).await;
    assert_eq!(gone, ReceiveOutcome::FolderGone);
}

#[on_both]
async fn another_domain_sees_nothing() {
    let fixture = fixture().await;
    let id = fixture.create(builtin::PROFILES, json!({"name": "p"})).await.id;
    let class = fixture.class(builtin::PROFILES);
    let other = Domain::new("other").unwrap();
    assert_eq!(fixture.store.entity_get(&other, &class, id).await.unwrap(), None);
    let change = json!({"name": "q"}).as_object().unwrap().clone();
    let changed = fixture
        .store
        .entity_update(EntityPlace::new(&other, &class, id), &change, None)
        .await
        .unwrap();
    assert_eq!(changed, Updated::Missing);
    let all = fixture.store.entity_list(&other, &class, &Query::default()).await.unwrap();
    assert!(all.is_empty());
}

#[on_both]
async fn a_uid_is_recorded_once_with_its_files() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let bytes = vec![b'x'; 700_000];
    let first = fixture.received(2, &bytes);
    let id = first.row.id;
    let both = vec![fixture.received(1, b"one"), first];
    assert_eq!(fixture.receive(folder, 7, both).await, done(2, 0));
    assert_eq!(fixture.receive(folder, 7, vec![fixture.received(2, b"again")]).await, done(0, 1));
    let ledger = fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap();
    assert_eq!(ledger.recorded, keys([1, 2]));
    let raw = fixture.store.file_list(&fixture.domain, id, "rawMessage").await.unwrap();
    assert_eq!(fixture.read(&raw[0]).await, bytes);
    let part = fixture.store.file_list(&fixture.domain, id, "file").await.unwrap();
    assert_eq!(fixture.read(&part[0]).await, b"xx");
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, id);
    let kept = fixture.store.file_delete(at, "file", "a.txt", None).await;
    assert!(
        matches!(kept, Err(Error::Condition(Failed::ReadOnly { .. }))),
        "a part of the original stays"
    );
    fixture.store.entity_delete(at, None).await.unwrap();
    assert_eq!(
        fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap().recorded,
        keys([1, 2]),
        "receipts stay"
    );
    assert!(fixture.store.file_list(&fixture.domain, id, "file").await.unwrap().is_empty());
}

#[on_both]
async fn after_a_change_of_uidvalidity_equal_bytes_are_linked_one_to_one() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let first = vec![
        fixture.received(1, b"same"),
        fixture.received(2, b"same"),
        fixture.received(3, b"other"),
    ];
    assert_eq!(fixture.receive(folder, 7, first).await, done(3, 0));
    let second = vec![
        fixture.received(10, b"same"),
        fixture.received(11, b"same"),
        fixture.received(12, b"same"),
        fixture.received(13, b"new"),
    ];
    assert_eq!(fixture.receive(folder, 8, second).await, done(2, 2));
    let back = vec![
        fixture.received(20, b"same"),
        fixture.received(21, b"other"),
        fixture.received(22, b"new"),
    ];
    assert_eq!(fixture.receive(folder, 9, back).await, done(0, 3));
    let former = fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap();
    assert_eq!(former.recorded.len(), 3, "receipts stay, because their epoch may come back");
    assert_eq!(fixture.list(json!(["and"])).await.len(), 5);
}

#[on_both]
async fn what_could_not_be_had_is_pending_until_it_is() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let miss = |uid, is_too_big| {
        let missed = MissedMessage::pending(SourceKey::of_uid(uid), "NIL".to_owned());
        MissedMessage { is_too_big, ..missed }
    };
    let misses = [miss(4, false), miss(5, true)];
    let who =
        |epoch, uid_validity| MissedAt { domain: &fixture.domain, account, epoch, uid_validity };
    fixture
        .store
        .receive_missed(who(MailboxEpoch { folder, number: 7 }, 7), &misses, |_| 60_000)
        .await
        .unwrap();
    fixture
        .store
        .receive_missed(who(MailboxEpoch { folder, number: 7 }, 7), &misses[..1], |_| 60_000)
        .await
        .unwrap();
    let ledger = fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap();
    assert_eq!(ledger.recorded, keys([4, 5]));
    assert_eq!((ledger.pending[0].key.uid(), ledger.pending[0].attempts), (4, 2));
    assert_eq!(fixture.list(json!(["==", ["property", "errorCode"], "too_big"])).await.len(), 1);
    assert_eq!(fixture.receive(folder, 7, vec![fixture.received(4, b"four")]).await, done(1, 0));
    assert!(
        fixture.store.ledger(MailboxEpoch { folder, number: 7 }).await.unwrap().pending.is_empty()
    );
}

#[on_both]
async fn bytes_are_known_by_the_messages_that_are_stored_with_them_in_the_same_epoch() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let store = &fixture.store;
    let (former, epoch) = (MailboxEpoch { folder, number: 6 }, MailboxEpoch { folder, number: 7 });
    let hash = |bytes: &[u8]| fixture.received(9, bytes).hash;
    fixture.receive(folder, 6, vec![fixture.received(1, b"former")]).await;
    for (uid, bytes) in [(9, &b"one"[..]), (3, b"one"), (4, b"two")] {
        let (domain, messages) = (fixture.domain.clone(), vec![fixture.received(uid, bytes)]);
        let batch = ReceiveBatch { domain, epoch, messages, relink: false };
        assert_eq!(store.receive_commit(batch).await.unwrap(), done(1, 0));
    }
    let miss = |uid, is_too_big| {
        let missed = MissedMessage::pending(SourceKey::of_uid(uid), "NIL".to_owned());
        MissedMessage { is_too_big, hash: Some(hash(b"three")), ..missed }
    };
    let at = MissedAt { domain: &fixture.domain, account, epoch, uid_validity: 7 };
    store.receive_missed(at, &[miss(5, false), miss(6, true)], |_| 60_000).await.unwrap();
    // What identifies a message that is too large is its header.
    let mut remembered = store.remembered(epoch, &keys([3, 6])).await.unwrap();
    remembered.sort_unstable_by_key(|one| one.key);
    let is = remembered.iter().map(|one| (one.is_oversized, one.hash, one.header_hash));
    let is: Vec<_> = is.collect();
    assert_eq!(is, [(false, Some(hash(b"one")), None), (true, None, Some(hash(b"three")))]);
    let mut hashes = store.recorded_hashes(epoch).await.unwrap();
    hashes.sort_unstable();
    assert_eq!(hashes, [hash(b"one"), hash(b"one"), hash(b"two")]);
    let asked = [hash(b"one"), hash(b"former"), hash(b"three")];
    let known = |uid, bytes| RecordedKey { hash: hash(bytes), key: SourceKey::of_uid(uid) };
    let found = store.recorded_keys(epoch, &asked).await.unwrap();
    assert_eq!(found, [known(3, b"one"), known(9, b"one")]);
    let found = store.recorded_keys(former, &asked).await.unwrap();
    assert_eq!(found, [known(1, b"former")]);
}

async fn open_actions(store: &Store, epoch: MailboxEpoch) -> Vec<(SourceKey, ServerAction)> {
    store.action_list(epoch, SourceKey::FIRST, 10).await.unwrap().actions
}

#[on_both]
async fn actions_stay_until_they_are_done() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    fixture
        .receive(folder, 7, vec![fixture.received(1, b"one"), fixture.received(2, b"two")])
        .await;
    let (store, epoch) = (&fixture.store, MailboxEpoch { folder, number: 7 });
    assert_eq!(open_actions(store, epoch).await, [(SourceKey::of_uid(1), ServerAction::Delete)]);
    store.action_done(epoch, &keys([1])).await.unwrap();
    assert_eq!(open_actions(store, epoch).await, []);
}

#[on_both]
async fn the_actions_of_a_copy_stay_open_and_are_suspended_until_somebody_resumes() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    fixture.receive(folder, 7, vec![fixture.received(1, b"one")]).await;
    let (store, epoch) = (&fixture.store, MailboxEpoch { folder, number: 7 });
    let are_suspended = async || {
        let open = store.action_list(epoch, SourceKey::FIRST, 10).await.unwrap();
        assert_eq!(open.actions, [(SourceKey::of_uid(1), ServerAction::Delete)]);
        open.are_suspended
    };
    assert!(!are_suspended().await);
    store.backup_mark(false).await.unwrap();
    assert!(are_suspended().await);
    store.sending_resume().await.unwrap();
    assert!(!are_suspended().await);
}

#[on_both]
async fn a_new_epoch_of_a_mailbox_voids_what_was_to_be_done_in_the_former() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let begin = |uid_validity| Beginning {
        login: "a@x.test",
        uid_validity,
        mailbox_id: None,
        baseline: 0,
        unloaded: None,
        former: None,
    };
    let store = &fixture.store;
    assert_eq!(store.origin(folder).await.unwrap().epoch, None);
    let first = store.epoch_begin(folder, begin(1_764_000_000_000)).await.unwrap();
    fixture.receive(folder, first.number, vec![fixture.received(1, b"one")]).await;
    let miss = MissedMessage::pending(SourceKey::of_uid(2), "NIL".to_owned());
    let who =
        |epoch, uid_validity| MissedAt { domain: &fixture.domain, account, epoch, uid_validity };
    store.receive_missed(who(first, 1), &[miss], |_| 60_000).await.unwrap();
    assert_eq!(open_actions(store, first).await, [(SourceKey::of_uid(1), ServerAction::Delete)]);
    let second = store.epoch_begin(folder, begin(1_764_000_999_999)).await.unwrap();
    let back = store.epoch_begin(folder, begin(1_764_000_000_000)).await.unwrap();
    assert!(first != second && second != back && first != back);
    assert_eq!(open_actions(store, first).await, []);
    assert_eq!(
        store.ledger(first).await.unwrap().recorded,
        keys([1]),
        "what is pending is forgotten"
    );
    let ledger = store.ledger(back).await.unwrap();
    assert!(ledger.recorded.is_empty() && ledger.has_former);
    let noted = store.origin(folder).await.unwrap();
    assert_eq!((noted.epoch, noted.uid_validity), (Some(back), Some(1_764_000_000_000)));
}

#[on_both]
async fn while_a_message_is_pending_later_proofs_do_not_say_that_all_messages_were_stored() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let (store, domain) = (&fixture.store, &fixture.domain);
    let first = store.epoch_begin(folder, BEGUN).await.unwrap();
    let prove = async |ms: i64| {
        let now = Some(Timestamp::from_ms(ms));
        let times = PollTimes { poll: now, proof: now };
        let report = FolderReport { times, ..FolderReport::default() };
        store.folder_report(domain, folder, &report).await.unwrap();
    };
    let miss = async |epoch| {
        let miss = MissedMessage::pending(SourceKey::of_uid(2), "NIL".to_owned());
        let at = MissedAt { domain, account, epoch, uid_validity: 7 };
        store.receive_missed(at, &[miss], |_| 60_000).await.unwrap();
    };
    let all_stored = async || store.origin(folder).await.unwrap().all_stored_ms;
    miss(first).await;
    prove(1_000).await;
    assert_eq!(all_stored().await, None, "it was never proven before");
    assert!(store.ledger(first).await.unwrap().was_pending);
    store.pending_ended(folder).await.unwrap();
    assert!(!store.ledger(first).await.unwrap().was_pending);
    assert_eq!(all_stored().await, Some(1_000));
    miss(first).await;
    prove(2_000).await;
    miss(first).await;
    assert_eq!(all_stored().await, Some(1_000));
    // In another epoch, it may be pending again.
    let second = store.epoch_begin(folder, BEGUN).await.unwrap();
    prove(3_000).await;
    assert_eq!(all_stored().await, Some(1_000), "it is not stored yet");
    miss(second).await;
    assert_eq!(all_stored().await, Some(1_000));
    store.pending_ended(folder).await.unwrap();
    assert_eq!(all_stored().await, Some(3_000));
}

#[on_both]
async fn in_a_new_epoch_only_messages_that_had_an_action_have_it_again() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let received = |uid, bytes: &[u8], action| {
        let witness = Witness { internal_date_ms: Some(1_000), ..Witness::default() };
        ReceivedMessage { action, witness, ..fixture.received(uid, bytes) }
    };
    let first = store.epoch_begin(folder, BEGUN).await.unwrap();
    let messages = vec![
        received(1, b"before", None),
        received(2, b"open", Some(ServerAction::Delete)),
        received(3, b"gone", Some(ServerAction::Delete)),
        received(4, b"dropped", Some(ServerAction::Delete)),
    ];
    fixture.receive(folder, first.number, messages).await;
    store.action_gone(first, &keys([3])).await.unwrap();
    store.action_done(first, &keys([4])).await.unwrap();
    // Twice, because an epoch may end before anything of it is received.
    store.epoch_begin(folder, BEGUN).await.unwrap();
    let last = store.epoch_begin(folder, BEGUN).await.unwrap();
    let mut uid = 0;
    let again = [&b"before"[..], b"open", b"gone", b"dropped", b"new"].map(|bytes| {
        uid += 1;
        received(uid, bytes, Some(ServerAction::Delete))
    });
    assert_eq!(fixture.receive(folder, last.number, again.into()).await, done(1, 4));
    let deleted = [
        (SourceKey::of_uid(2), ServerAction::Delete),
        (SourceKey::of_uid(3), ServerAction::Delete),
        (SourceKey::of_uid(5), ServerAction::Delete),
    ];
    assert_eq!(open_actions(store, last).await, deleted);
}

/// In doubt a message is stored once more, because a double is better than a loss.
#[on_both]
async fn a_message_that_was_deleted_at_the_server_is_recognised_only_with_its_date() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let received = |uid, bytes: &[u8], internal_date_ms| {
        let witness = Witness { internal_date_ms, ..Witness::default() };
        let action = Some(ServerAction::Delete);
        ReceivedMessage { action, witness, ..fixture.received(uid, bytes) }
    };
    #[rustfmt::skip]
    let table = [
        // Its date then and now, whether it is known again: after it has gone, while it was to be
        // deleted, and after that was dropped.
        (Some(1), Some(1), [true,  true,  true]),
        (Some(1), Some(2), [false, false, true]),
        (Some(1), None,    [false, true,  true]),
        (None,    Some(1), [false, true,  true]),
        (None,    None,    [false, true,  true]),
    ];
    let all = [&b"gone"[..], b"open", b"kept"];
    for (row, (then, now, want)) in table.into_iter().enumerate() {
        for (at, (bytes, is_known)) in all.into_iter().zip(want).enumerate() {
            let bytes = [bytes, &[b'0' + u8::try_from(row).unwrap()]].concat();
            let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
            fixture.receive(folder, epoch.number, vec![received(1, &bytes, then)]).await;
            match at {
                0 => store.action_gone(epoch, &keys([1])).await.unwrap(),
                1 => {}
                _ => store.action_done(epoch, &keys([1])).await.unwrap(),
            }
            let next = store.epoch_begin(folder, BEGUN).await.unwrap();
            let again = vec![received(1, &bytes, now)];
            let want = if is_known { done(0, 1) } else { done(1, 0) };
            assert_eq!(fixture.receive(folder, next.number, again).await, want, "{row} {at}");
        }
    }
    // One that is still there is preferred to one that has gone.
    let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
    let two = vec![received(1, b"two", Some(1)), received(2, b"two", Some(2))];
    fixture.receive(folder, epoch.number, two).await;
    store.action_gone(epoch, &keys([1])).await.unwrap();
    let next = store.epoch_begin(folder, BEGUN).await.unwrap();
    let again = vec![received(1, b"two", Some(2)), received(2, b"two", Some(3))];
    assert_eq!(fixture.receive(folder, next.number, again).await, done(1, 1));
    // The one with the date comes first, so that the other is left for a message of any date.
    let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
    let kept = ReceivedMessage { action: None, ..received(1, b"pair", Some(1)) };
    fixture.receive(folder, epoch.number, vec![kept, received(2, b"pair", Some(2))]).await;
    store.action_gone(epoch, &keys([2])).await.unwrap();
    let next = store.epoch_begin(folder, BEGUN).await.unwrap();
    let again = vec![received(1, b"pair", Some(2)), received(2, b"pair", Some(3))];
    assert_eq!(fixture.receive(folder, next.number, again).await, done(0, 2));
}

#[on_both]
async fn what_was_not_to_be_deleted_or_not_yet_is_recognised_with_any_date() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let received = |bytes: &str, date_ms, action| {
        let witness = Witness { internal_date_ms: Some(date_ms), ..Witness::default() };
        ReceivedMessage { action, witness, ..fixture.received(1, bytes.as_bytes()) }
    };
    let table = [
        (None, true),
        (Some(ServerAction::Seen), true),
        (Some(ServerAction::AwaitAcknowledged), true),
        (Some(ServerAction::Delete), false),
        (Some(ServerAction::DeleteAcknowledged), false),
    ];
    for (action, is_known) in table {
        let bytes = format!("{action:?}");
        let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
        fixture.receive(folder, epoch.number, vec![received(&bytes, 1, action)]).await;
        let next = store.epoch_begin(folder, BEGUN).await.unwrap();
        let want = if is_known { done(0, 1) } else { done(1, 0) };
        let again = vec![received(&bytes, 2, None)];
        assert_eq!(fixture.receive(folder, next.number, again).await, want, "{action:?}");
    }
}

#[on_both]
async fn an_epoch_that_comes_back_has_its_receipts_and_no_message_is_linked_twice() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let delete = |uid, bytes: &[u8]| {
        let message = fixture.received(uid, bytes);
        ReceivedMessage { action: Some(ServerAction::Delete), ..message }
    };
    let begin = |uid_validity, former| Beginning { uid_validity, former, ..BEGUN };
    let first = store.epoch_begin(folder, begin(7, None)).await.unwrap();
    fixture.receive(folder, first.number, vec![delete(1, b"same"), delete(2, b"same")]).await;
    let second = store.epoch_begin(folder, begin(8, None)).await.unwrap();
    assert_eq!(store.former_epochs(folder, 8).await.unwrap(), [], "it is the present one");
    let again = vec![delete(11, b"same"), delete(12, b"same"), delete(13, b"same")];
    assert_eq!(fixture.receive(folder, second.number, again).await, done(1, 2));
    assert!(!store.ledger(second).await.unwrap().has_former, "all are linked");
    assert_eq!(store.former_epochs(folder, 7).await.unwrap(), [first]);
    let listed = keys([1, 2, 5]);
    let returned = ReturnedEpoch { epoch: first, listed: &listed };
    let back = store.epoch_begin(folder, begin(7, Some(returned))).await.unwrap();
    assert!(back.number > second.number);
    assert_eq!(store.former_epochs(folder, 7).await.unwrap(), []);
    assert_eq!(store.ledger(back).await.unwrap().recorded, keys([1, 2]));
    let open = open_actions(store, back).await;
    let delete_again = [1, 2].map(|uid| (SourceKey::of_uid(uid), ServerAction::Delete));
    assert_eq!(open, delete_again);
    // The third of the other epoch is recognised, and the fourth is new.
    let more = vec![delete(3, b"same"), delete(4, b"same")];
    assert_eq!(fixture.receive(folder, back.number, more).await, done(1, 1));
    assert_eq!(fixture.list(json!(["and"])).await.len(), 4);
    assert_eq!(store.former_epochs(folder, 8).await.unwrap(), [second]);
}

#[on_both]
async fn what_an_epoch_that_comes_back_does_not_list_is_known_by_its_bytes_under_any_key() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let begin = |uid_validity, former| Beginning { uid_validity, former, ..BEGUN };
    let message = |(uid, bytes): (u64, &str)| fixture.received(uid, bytes.as_bytes());
    let all = |messages: &[(u64, &str)]| messages.iter().copied().map(message).collect();
    let texts = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")];
    let first = store.epoch_begin(folder, begin(7, None)).await.unwrap();
    fixture.receive(folder, first.number, all(&texts)).await;
    // In the second epoch, one of them has another key, and one is not there.
    let second = store.epoch_begin(folder, begin(7, None)).await.unwrap();
    let texts = [(1, "a"), (9, "b"), (3, "c"), (5, "e"), (6, "f")];
    assert_eq!(fixture.receive(folder, second.number, all(&texts)).await, done(1, 4));
    // The first is back, and another key has changed.
    let listed = keys([1, 3, 5, 6, 9, 10]);
    let returned = ReturnedEpoch { epoch: first, listed: &listed };
    let back = store.epoch_begin(folder, begin(7, Some(returned))).await.unwrap();
    assert_eq!(store.ledger(back).await.unwrap().recorded, keys([1, 3, 5]));
    let more = all(&[(6, "f"), (9, "b"), (10, "d")]);
    assert_eq!(fixture.receive(folder, back.number, more).await, done(0, 3));
    assert_eq!(fixture.list(json!(["and"])).await.len(), 6);
}

#[on_both]
async fn of_very_many_epochs_the_receipts_of_a_few_are_kept() {
    let fixture = fixture().await;
    let (_, folder) = fixture.account().await;
    let store = &fixture.store;
    let begin = |uid_validity| Beginning { uid_validity, ..BEGUN };
    // The first message is gone from the mailbox, and recognised if it comes back.
    let first = store.epoch_begin(folder, begin(1)).await.unwrap();
    let messages = vec![fixture.received(1, b"gone"), fixture.received(2, b"there")];
    fixture.receive(folder, first.number, messages).await;
    let mut last = first;
    for uid_validity in 2..20 {
        last = store.epoch_begin(folder, begin(uid_validity)).await.unwrap();
        let again = vec![fixture.received(2, b"there")];
        assert_eq!(fixture.receive(folder, last.number, again).await, done(0, 1));
    }
    let mut kept = vec![];
    for uid_validity in 1..20 {
        kept.extend(store.former_epochs(folder, uid_validity).await.unwrap());
    }
    assert_eq!(kept.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), [1, 16, 17, 18]);
    assert_eq!(store.ledger(first).await.unwrap().recorded, keys([1]));
    let back = vec![fixture.received(1, b"gone")];
    assert_eq!(fixture.receive(folder, last.number, back).await, done(0, 1));
}

#[on_both]
async fn what_is_written_ahead_and_not_referred_to_is_thrown_away() {
    let Fixture { directory, store, domain } = fixture().await;
    let mut writer = store.blob_writer();
    let noise: Vec<u8> =
        (0..6_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    writer.write(&noise).await.unwrap();
    let abandoned = writer.finish().await.unwrap();
    drop((abandoned, store));
    let store = open_store(directory.path(), "a").await.unwrap();
    let fixture = Fixture { directory, store, domain };
    let id = fixture.create(builtin::MESSAGES, json!({"messageDirection": "out"})).await.id;
    let mut writer = fixture.store.blob_writer();
    for piece in noise.chunks(99_991) {
        writer.write(piece).await.unwrap();
    }
    let file = NewFile {
        property: "file".to_owned(),
        name: "noise".to_owned(),
        media_type: "x/y".to_owned(),
        content_id: None,
        content: NewContent::Own(writer.finish().await.unwrap()),
    };
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, id);
    fixture.store.file_add(at, vec![file.clone()], &Replace::Nothing).await.unwrap();
    let twice = fixture.store.file_add(at, vec![file], &Replace::Nothing).await;
    assert!(matches!(twice, Err(Error::Condition(Failed::Exists { .. }))));
    let files = fixture.store.file_list(&fixture.domain, id, "file").await.unwrap();
    assert!(fixture.read(&files[0]).await == noise);
    let FileSource::Blob(blob) = files[0].source else { panic!("not a blob") };
    let mut reader = fixture.store.blob_read(blob, 300_000..300_010);
    assert_eq!(reader.next().await.unwrap().unwrap(), noise[300_000..300_010]);
    assert_eq!(reader.next().await.unwrap(), None);
    assert_eq!(fixture.get(builtin::MESSAGES, id).await.version, 2);
}

impl Fixture {
    async fn outgoing(&self, account: AccountId, subject: &str) -> Entity {
        let values = json!({
            "account_id": account.to_string(), "messageDirection": "out", "messageState": "sending",
            "subject": subject, "to": ["x@b.test"],
        });
        self.create(builtin::MESSAGES, values).await
    }

    async fn prepare(&self, account: AccountId, message: &Entity) -> bool {
        self.prepare_for(account, message, 5).await
    }

    async fn prepare_for(&self, account: AccountId, message: &Entity, due_ms: i64) -> bool {
        let prepared = Prepared {
            account,
            due_ms,
            reverse_path: "a@b.test".to_owned(),
            smtp_utf8: false,
            content: Content::prepare(b"From: a@b.test\r\n\r\nhi\r\n"),
            changes: json!({"recipients": [{"address": "x@b.test"}]}).as_object().unwrap().clone(),
            replaces_claimed: false,
        };
        let end = self.store.delivery_prepare(&self.domain, message, prepared).await.unwrap();
        end == PrepareEnd::Queued
    }
}

const DELAY: Duration = Duration::from_millis(40);

fn later() -> Verdict {
    Verdict::Later { after: DELAY, reason: "451".to_owned(), counts: true }
}

/// When an attempt ended whose next attempt is due at this time.
fn ended(next_attempt_ms: i64) -> Timestamp {
    Timestamp::from_ms(next_attempt_ms - 40)
}

#[on_both]
async fn a_delivery_goes_from_due_to_sent() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    let waiting = fixture.store.delivery_unprepared(&fixture.domain, account, 9).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(fixture.prepare(account, &waiting[0]).await);
    assert!(
        fixture.store.delivery_unprepared(&fixture.domain, account, 9).await.unwrap().is_empty()
    );
    assert!(fixture.claim(account, 4, 9_000).await.is_empty(), "not due yet");
    let mut claimed = fixture.claim(account, 5, 9_000).await;
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 1));
    assert!(fixture.claim(account, 5, 9_000).await.is_empty());

    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let change = json!({"subject": "t"}).as_object().unwrap().clone();
    let busy = fixture.store.entity_update(at, &change, None).await;
    assert!(
        matches!(busy, Err(Error::Condition(Failed::Sending))),
        "claimed messages are not changed"
    );
    let busy = fixture.store.entity_delete(at, None).await;
    assert!(matches!(busy, Err(Error::Condition(Failed::Sending))));

    fixture.store.delivery_settle(&claimed[0], &later(), ended(50)).await.unwrap();
    assert_eq!(fixture.store.delivery_next_due(account, 9_000).await.unwrap(), Some(50));
    claimed = fixture.claim(account, 50, 9_000).await;
    assert_eq!(claimed[0].attempts, 2);
    let before_dot =
        fixture.store.delivery_dot_sent(MessageEntityId::of(message.id), 1, &[0]).await;
    assert_eq!(before_dot.unwrap(), BeforeDot::Send);
    let at = Timestamp::from_ms(60);
    fixture.store.delivery_settle(&claimed[0], &Verdict::Sent, at).await.unwrap();
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert_eq!(message.text("messageState"), Some("sent"));
    assert_eq!(message.number("attempts"), Some(2));
    assert!(message.get("nextAttemptAt").is_null() && message.get("errorText").is_null());
    let raw = fixture.store.file_list(&fixture.domain, message.id, "rawMessage").await.unwrap();
    assert_eq!(fixture.read(&raw[0]).await, b"From: a@b.test\r\n\r\nhi\r\n");
}

#[on_both]
async fn a_delivery_that_is_given_back_has_not_been_tried() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let due = DueAt { now_ms: 9, latest_ms: 90 };
    for _ in 0..3 {
        let claimed = fixture.store.delivery_claim(account, due, 9).await.unwrap();
        let attempts: Vec<_> = claimed.iter().map(|claimed| claimed.attempts).collect();
        assert_eq!(attempts, [1]);
        fixture.store.delivery_release(MessageEntityId::of(message.id)).await.unwrap();
    }
}

#[on_both]
async fn a_step_that_a_delivery_cannot_take_is_refused_and_changes_nothing() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    let id = MessageEntityId::of(message.id);
    let is_refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Condition(Failed::NotQueued))), "{result:?}");
    };
    is_refused(fixture.store.delivery_release(id).await);
    assert!(fixture.prepare(account, &message).await);
    // It is due: nobody has claimed it, so there is no attempt to give back, and none to continue.
    is_refused(fixture.store.delivery_release(id).await);
    assert_eq!(fixture.store.delivery_dot_sent(id, 1, &[0]).await.unwrap(), BeforeDot::Withdrawn);
    let has_it = [json!({"address": "x@b.test", "state": "sent", "reply": "250"})];
    is_refused(fixture.store.delivery_part(id, &has_it).await);
    let delivered = fixture.store.delivery_delivered(id).await.unwrap();
    assert!(delivered.has("x@b.test"), "the server has the message, whatever the queue says");
    let claimed = fixture.claim(account, 9, 9_000).await;
    assert_eq!((claimed.len(), claimed[0].attempts), (1, 1));
    assert_eq!(fixture.store.delivery_dot_sent(id, 1, &[0]).await.unwrap(), BeforeDot::Send);
    // After the final dot it is no longer untried.
    is_refused(fixture.store.delivery_release(id).await);
    assert!(
        fixture.store.delivery_settle(&claimed[0], &later(), ended(50)).await.unwrap().is_some()
    );
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let change = json!({"subject": "t"}).as_object().unwrap().clone();
    fixture.store.entity_update(at, &change, None).await.unwrap();
    // A client changed it: the verdict is about bytes that are discarded.
    let changed = fixture.get(builtin::MESSAGES, message.id).await;
    let gave_up = Verdict::Error { code: ErrorCode::GaveUp, reason: "given up".to_owned() };
    for verdict in [gave_up, later()] {
        let settled = fixture.store.delivery_settle(&claimed[0], &verdict, ended(90)).await;
        assert_eq!(settled.unwrap(), None);
        assert_eq!(fixture.get(builtin::MESSAGES, message.id).await, changed);
    }
    assert_eq!(fixture.store.delivery_next_due(account, 9_000).await.unwrap(), None);
}

#[on_both]
async fn a_message_that_was_changed_or_withdrawn_is_not_sent_as_it_was() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let change = |json: Json| json.as_object().unwrap().clone();
    fixture.store.entity_update(at, &change(json!({"subject": "t"})), None).await.unwrap();
    assert!(!fixture.prepare(account, &message).await, "composed from an older version");
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert!(fixture.prepare(account, &message).await);
    fixture.store.entity_update(at, &change(json!({"subject": "u"})), None).await.unwrap();
    assert!(fixture.claim(account, 9, 9_000).await.is_empty());
    let again = fixture.store.delivery_unprepared(&fixture.domain, account, 9).await.unwrap();
    assert_eq!(again.len(), 1, "it is composed anew");
    assert!(fixture.prepare(account, &again[0]).await);
    fixture.store.entity_update(at, &change(json!({"messageState": null})), None).await.unwrap();
    assert!(fixture.claim(account, 9, 9_000).await.is_empty());
}

#[on_both]
async fn a_message_leaves_only_while_its_account_may_send() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let profile = fixture.get(builtin::ACCOUNTS, account.into()).await;
    let profile = profile.reference("profile_id").unwrap();
    let change = async |class: &str, id: EntityId, values: Json| {
        let class = fixture.class(class);
        let at = EntityPlace::new(&fixture.domain, &class, id);
        fixture.store.entity_update(at, values.as_object().unwrap(), None).await.unwrap();
    };
    let message = fixture.outgoing(account, "s").await;
    let id = MessageEntityId::of(message.id);
    assert!(fixture.prepare(account, &message).await);
    let (accounts, profiles) = (builtin::ACCOUNTS, builtin::PROFILES);
    let account_id: EntityId = account.into();
    let table = [
        (accounts, account_id, json!({"enabled": false}), json!({"enabled": true})),
        (profiles, profile, json!({"smtpHost": null}), json!({"smtpHost": "smtp.b.test"})),
        (profiles, profile, json!({"smtpHost": " "}), json!({"smtpHost": "smtp.b.test"})),
    ];
    for (class, of, off, on) in table {
        change(class, of, off.clone()).await;
        assert!(fixture.claim(account, 9, 9_000).await.is_empty(), "{off}");
        change(class, of, on.clone()).await;
        // Between the claim and the dot it counts too.
        assert_eq!(fixture.claim(account, 9, 9_000).await.len(), 1, "{off}");
        change(class, of, off.clone()).await;
        let before_dot = fixture.store.delivery_dot_sent(id, 1, &[0]).await.unwrap();
        assert_eq!(before_dot, BeforeDot::Stopped, "{off}");
        // It was not tried, so it is given back.
        fixture.store.delivery_release(id).await.unwrap();
        change(class, of, on).await;
    }
    assert_eq!(fixture.claim(account, 9, 9_000).await.len(), 1);
    assert_eq!(fixture.store.delivery_dot_sent(id, 1, &[0]).await.unwrap(), BeforeDot::Send);
}

#[on_both]
async fn a_restart_makes_claims_due_again_and_outcomes_after_dots_unknown() {
    let Fixture { directory, store, domain } = fixture().await;
    let fixture = Fixture { directory, store, domain };
    let (account, _) = fixture.account().await;
    for subject in ["s", "t"] {
        let message = fixture.outgoing(account, subject).await;
        assert!(fixture.prepare(account, &message).await);
    }
    let claimed = fixture.claim(account, 9, 9_000).await;
    fixture.store.delivery_dot_sent(claimed[1].message, 1, &[0]).await.unwrap();
    fixture.store.delivery_recover(Some(account)).await.unwrap();
    let unknown = fixture.store.delivery_outcome_unknown(account).await.unwrap();
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].message, claimed[1].message);
    let due = fixture.claim(account, 9, 9_000).await;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].message, claimed[0].message);
}

#[on_both]
async fn a_change_keeps_attempts_and_who_has_the_message() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let mut claimed = fixture.claim(account, 9, 9_000).await;
    claimed[0].recipients = vec![json!({"address": "x@b.test", "state": "sent", "reply": "250"})];
    fixture.store.delivery_settle(&claimed[0], &later(), ended(50)).await.unwrap();
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let change = |json: Json| json.as_object().unwrap().clone();
    fixture.store.entity_update(at, &change(json!({"messageType": "text"})), None).await.unwrap();
    assert_eq!(fixture.store.delivery_next_due(account, 9_000).await.unwrap(), Some(50));
    let other = change(json!({"subject": "u", "recipients": null}));
    fixture.store.entity_update(at, &other, None).await.unwrap();
    assert_eq!(fixture.store.delivery_next_due(account, 9_000).await.unwrap(), None);
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 60, 9_000).await;
    assert_eq!((claimed[0].attempts, claimed[0].waited_ms), (2, 40));
    assert_eq!(claimed[0].recipients[0]["state"], "sent");
    let delivered =
        fixture.store.delivery_delivered(MessageEntityId::of(message.id)).await.unwrap();
    assert!(delivered.has("x@B.test"), "however it is spelt");
}

#[on_both]
async fn a_withdrawn_message_waits_for_nothing_and_begins_anew() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 9, 9_000).await;
    fixture.store.delivery_settle(&claimed[0], &later(), ended(50)).await.unwrap();
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let change = |json: Json| json.as_object().unwrap().clone();
    let withdrawn = change(json!({"messageState": null}));
    fixture.store.entity_update(at, &withdrawn, None).await.unwrap();
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert!(message.get("nextAttemptAt").is_null() && message.get("errorText").is_null());
    let again = change(json!({"messageState": "sending"}));
    fixture.store.entity_update(at, &again, None).await.unwrap();
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 9, 9_000).await;
    assert_eq!(claimed[0].attempts, 1);
}

#[on_both]
async fn a_clock_that_was_set_back_delays_nothing_for_long() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 9, 90).await;
    fixture.store.delivery_settle(&claimed[0], &later(), ended(5_000)).await.unwrap();
    assert_eq!(fixture.claim(account, 9, 9_000).await, []);
    assert_eq!(fixture.store.delivery_next_due(account, 90).await.unwrap(), Some(0));
    assert_eq!(fixture.claim(account, 9, 90).await.len(), 1);
}

#[on_both]
async fn a_time_that_the_client_set_is_waited_for_whatever_was_tried_before() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 9, 90).await;
    fixture.store.delivery_settle(&claimed[0], &later(), ended(50)).await.unwrap();
    let class = fixture.class(builtin::MESSAGES);
    let at = EntityPlace::new(&fixture.domain, &class, message.id);
    let in_two_days = Clock::system().now_ms() + 2 * 86_400_000;
    let moved = json!({"dateTime": Timestamp::from_ms(in_two_days).to_string()});
    fixture.store.entity_update(at, moved.as_object().unwrap(), None).await.unwrap();
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert!(fixture.prepare_for(account, &message, in_two_days).await);
    let now = DueAt { now_ms: 100, latest_ms: 200 };
    assert_eq!(fixture.store.delivery_claim(account, now, 9).await.unwrap(), []);
    assert_eq!(fixture.store.delivery_next_due(account, 200).await.unwrap(), Some(in_two_days));
    fixture.store.delivery_hasten(account, 100).await.unwrap();
    assert_eq!(fixture.store.delivery_claim(account, now, 9).await.unwrap(), []);
    // Its time has come once: from then on its times are our own.
    let due = DueAt { now_ms: in_two_days, latest_ms: in_two_days + 90 };
    let claimed = fixture.store.delivery_claim(account, due, 9).await.unwrap();
    assert_eq!((claimed[0].attempts, claimed[0].waited_ms), (2, 0));
    fixture.store.delivery_settle(&claimed[0], &later(), ended(in_two_days + 50)).await.unwrap();
    assert_eq!(fixture.store.delivery_claim(account, now, 9).await.unwrap().len(), 1);
}

#[on_both]
async fn an_outcome_that_was_once_unknown_ends_as_sent_or_uncertain() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let row = |state: &str| json!({"address": "x@b.test", "state": state, "reply": "554 x"});
    let error = |code| Verdict::Error { code, reason: "554 x".to_owned() };
    for code in [ErrorCode::Refused, ErrorCode::GaveUp, ErrorCode::Invalid] {
        let message = fixture.outgoing(account, code.as_str()).await;
        assert!(fixture.prepare(account, &message).await);
        let mut claimed = fixture.claim(account, 9, 90).await;
        claimed[0].recipients = vec![row("uncertain")];
        fixture.store.delivery_settle(&claimed[0], &later(), ended(5)).await.unwrap();
        if code == ErrorCode::Invalid {
            let id = MessageEntityId::of(message.id);
            let recipients = |_: &Entity| vec![json!({"address": "x@b.test", "state": "waiting"})];
            let refusal = Unsendable { code: ErrorCode::Invalid, reason: "x", recipients };
            fixture.store.delivery_refuse(&fixture.domain, id, refusal).await.unwrap();
        } else {
            let mut claimed = fixture.claim(account, 9, 90).await;
            claimed[0].recipients = vec![row("refused")];
            fixture.store.delivery_settle(&claimed[0], &error(code), ended(5)).await.unwrap();
        }
        let message = fixture.get(builtin::MESSAGES, message.id).await;
        assert_eq!(message.text("errorCode"), Some("uncertain"), "{code}");
        assert_eq!(message.get("recipients")[0]["state"], "uncertain");
    }
    // Without an unknown outcome, each recipient says how it ended. One that the server did not
    // answer has failed, whatever was refused.
    let message = fixture.outgoing(account, "plain").await;
    assert!(fixture.prepare(account, &message).await);
    let claimed = fixture.claim(account, 9, 90).await;
    fixture.store.delivery_settle(&claimed[0], &error(ErrorCode::Refused), ended(5)).await.unwrap();
    let message = fixture.get(builtin::MESSAGES, message.id).await;
    assert_eq!(message.text("errorCode"), Some("refused"));
    assert_eq!(message.get("recipients")[0]["state"], "failed");
    assert_eq!(message.get("recipients")[0]["reply"], "554 x");
}

#[on_both]
async fn an_attempt_that_does_not_count_is_not_counted() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    for waited_ms in [0, 40] {
        let claimed = fixture.claim(account, 9, 90).await;
        assert_eq!((claimed[0].attempts, claimed[0].waited_ms), (1, waited_ms));
        let reason = "421".to_owned();
        let limit = Verdict::Later { after: DELAY, reason, counts: false };
        fixture.store.delivery_settle(&claimed[0], &limit, ended(5)).await.unwrap();
    }
    assert_eq!(fixture.get(builtin::MESSAGES, message.id).await.number("attempts"), Some(0));
    assert_eq!(fixture.store.delivery_overdue(account, 9, 81).await.unwrap(), []);
    fixture.store.delivery_waited(account, 9, 1).await.unwrap();
    assert_eq!(fixture.store.delivery_overdue(account, 9, 81).await.unwrap().len(), 1);
}

#[on_both]
async fn a_damaged_row_keeps_no_other_from_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let database = opened::database(directory.path()).await.unwrap();
    let store = Store::open(Arc::clone(&database), &opened::config("a")).await.unwrap();
    let store = store.lead().await.unwrap();
    let fixture = Fixture { directory, store, domain: Domain::default_domain() };
    let store = &fixture.store;
    let spoil = async |class: &str, id: EntityId| {
        let sql = format!("UPDATE \"{class}\" SET \"end of row\" = 0 WHERE \"id\" = $1");
        let spoil = vec![Statement::new(sql).bind(id)];
        assert_eq!(database.write(spoil, Room::Free).await.unwrap()[0].changed, 1);
    };
    let (account, folder) = fixture.account().await;
    let (other, _) = fixture.account().await;
    // Waiting messages, and those that are due: the first ones are damaged.
    let (mut waiting, mut due) = (vec![], vec![]);
    for _ in 0..4 {
        waiting.push(fixture.outgoing(account, "waiting").await.id);
        let message = fixture.outgoing(account, "due").await;
        assert!(fixture.prepare(account, &message).await);
        due.push(message.id);
    }
    for id in [waiting[0], waiting[1], due[0], due[1]] {
        spoil(builtin::MESSAGES, id).await;
    }
    let left = store.delivery_unprepared(&fixture.domain, account, 1).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [waiting[2]]);
    let left = store.delivery_unprepared(&fixture.domain, account, 9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [waiting[2], waiting[3]]);
    let at = DueAt { now_ms: 9, latest_ms: 90 };
    for id in [due[2], due[3]] {
        let claimed = store.delivery_claim(account, at, 1).await.unwrap();
        let claimed: Vec<EntityId> = claimed.iter().map(|one| one.message.into()).collect();
        assert_eq!(claimed, [id]);
    }
    assert_eq!(store.delivery_claim(account, at, 1).await.unwrap(), []);
    // Received messages that are parsed again.
    let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
    let messages = vec![fixture.received(1, b"one"), fixture.received(2, b"two")];
    fixture.receive(folder, epoch.number, messages).await;
    let class = fixture.class(builtin::MESSAGES);
    let page = OriginalPage { filter: None, behind: None, limit: 9 };
    let before = store.original_list(&fixture.domain, &class, page).await.unwrap();
    spoil(builtin::MESSAGES, before[0].id).await;
    let after = store.original_list(&fixture.domain, &class, page).await.unwrap();
    let read: Vec<_> = after.iter().map(|one| (one.id, one.message.is_some())).collect();
    assert_eq!(read, [(before[0].id, false), (before[1].id, true)]);
    // Accounts: nothing is done for the damaged one.
    spoil(builtin::ACCOUNTS, other.into()).await;
    let accounts = store.account_list().await.unwrap();
    assert_eq!(accounts.iter().map(|row| row.account.id).collect::<Vec<_>>(), [account.into()]);
    // Webhooks: the other one is told.
    let mut hooks = vec![];
    for _ in 0..2 {
        let hook = json!({"url": "https://receiver.test/", "enabled": true});
        hooks.push(fixture.create(builtin::WEBHOOKS, hook).await.id);
    }
    spoil(builtin::WEBHOOKS, hooks[0]).await;
    let told = store.webhook_list_enabled().await.unwrap();
    assert_eq!(told.iter().map(|one| one.webhook.id).collect::<Vec<_>>(), [hooks[1]]);
    assert!(store.damage().await.unwrap().is_some());
}

#[on_both]
async fn messages_of_accounts_that_are_gone_or_disabled_are_found() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let message = fixture.outgoing(account, "s").await;
    assert!(fixture.prepare(account, &message).await);
    let why = async || {
        let found = fixture.store.delivery_orphaned(0).await.unwrap();
        found.iter().map(|orphaned| orphaned.why).collect::<Vec<_>>()
    };
    let accounts = fixture.class(builtin::ACCOUNTS);
    let profile =
        fixture.get(builtin::ACCOUNTS, account.into()).await.reference("profile_id").unwrap();
    let profiles = fixture.class(builtin::PROFILES);
    let at = EntityPlace::new(&fixture.domain, &profiles, profile);
    let mut host = json!({"smtpHost": null}).as_object().unwrap().clone();
    fixture.store.entity_update(at, &host, None).await.unwrap();
    assert_eq!(why().await, [Why::NoServer]);
    host.insert("smtpHost".to_owned(), json!("b.test"));
    fixture.store.entity_update(at, &host, None).await.unwrap();
    let at = EntityPlace::new(&fixture.domain, &accounts, account.into());
    let mut enabled = json!({"enabled": true}).as_object().unwrap().clone();
    fixture.store.entity_update(at, &enabled, None).await.unwrap();
    assert_eq!(why().await, []);
    enabled.insert("enabled".to_owned(), json!(false));
    fixture.store.entity_update(at, &enabled, None).await.unwrap();
    assert_eq!(why().await, [Why::Disabled]);
    fixture
        .store
        .delivery_disabled(&fixture.domain, MessageEntityId::of(message.id), Some("off"))
        .await
        .unwrap();
    assert_eq!(why().await, []);
    assert!(matches!(fixture.store.entity_delete(at, None).await, Ok(Updated::Done(_))));
    assert_eq!(why().await, [Why::NoAccount]);
}

fn whole(folders: &[SurveyedFolder]) -> Survey {
    Survey { folders: folders.to_vec(), is_whole: true }
}

#[on_both]
async fn a_survey_of_many_mailboxes_makes_each_folder_once() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let mailbox = |at: usize| {
        // The client's folder of the fixture stands for the first.
        let name = if at == 0 { "INBOX".to_owned() } else { format!("f{at}") };
        SurveyedFolder {
            mailbox: name.clone(),
            title: format!("a@b.test/{name}"),
            name,
            delimiter: "/".to_owned(),
            flags: vec![],
            special_use: None,
        }
    };
    // More than one transaction takes, and then some more.
    for count in [450, 450, 460] {
        let folders: Vec<_> = (0..count).map(mailbox).collect();
        fixture.store.survey_commit(&fixture.domain, account, &whole(&folders)).await.unwrap();
        let row = fixture.store.account_list().await.unwrap().remove(0);
        assert_eq!(row.folders.len(), count);
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_survey_of_many_mailboxes_lets_others_write_in_between() {
    const COUNT: usize = 1000;
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let folders: Vec<_> = (0..COUNT).map(|at| mailbox(&format!("f{at}"))).collect();
    let (store, domain) = (fixture.store.clone(), fixture.domain.clone());
    let survey =
        tokio::spawn(async move { store.survey_commit(&domain, account, &whole(&folders)).await });
    let (mut written, mut counts) = (0, std::collections::BTreeSet::new());
    while !survey.is_finished() {
        fixture.create(builtin::PROFILES, json!({"name": "other"})).await;
        written += 1;
        counts.insert(fixture.store.folders_known(&fixture.domain, account).await.unwrap().len());
    }
    survey.await.unwrap().unwrap();
    assert!(counts.len() > 10, "{counts:?}");
    assert!(written > 60, "{written}");
}

/// A mailbox of the account of the fixture, as a survey finds it.
fn mailbox(name: &str) -> SurveyedFolder {
    SurveyedFolder {
        mailbox: name.to_owned(),
        name: name.to_owned(),
        title: format!("a@b.test/{name}"),
        delimiter: "/".to_owned(),
        flags: vec![],
        special_use: None,
    }
}

/// What is there under this id.
async fn folder_of(fixture: &Fixture, id: FolderId) -> Option<Entity> {
    let class = fixture.class(builtin::FOLDERS);
    fixture.store.entity_get(&fixture.domain, &class, id.into()).await.unwrap()
}

#[on_both]
async fn one_folder_stands_for_a_renamed_mailbox_and_nothing_of_a_client_is_lost() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let names = ["a", "b", "c", "d", "e"];
    // One is there already, made by a client.
    let made = json!({"account_id": account.to_string(), "name": "e"});
    let entity = Entity::new(Clock::system().new_id(), made.as_object().unwrap().clone());
    let new = vec![NewEntity { entity, files: vec![] }];
    let client = fixture.store.of_client("c");
    client.entity_create(&fixture.domain, &fixture.class(builtin::FOLDERS), new).await.unwrap();
    let all: Vec<_> = names.into_iter().map(mailbox).collect();
    fixture.store.survey_commit(&fixture.domain, account, &whole(&all)).await.unwrap();
    let known = fixture.store.folders_known(&fixture.domain, account).await.unwrap();
    let of = |name: &str| {
        let is_it =
            |known: &&MailboxHolder| known.mailbox == FolderMailbox::Surveyed(name.to_owned());
        known.iter().find(is_it).unwrap().folder
    };
    let class = fixture.class(builtin::FOLDERS);
    let place = |id: FolderId| EntityPlace::new(&fixture.domain, class.as_ref(), id.into());
    let change = async |id: FolderId, values: Json| {
        let values = values.as_object().unwrap();
        fixture.store.entity_update(place(id), values, None).await.unwrap();
    };
    change(of("b"), json!({"enabled": true})).await;
    change(of("c"), json!({"options": {"keep_unseen": true}})).await;
    let message = json!({
        "account_id": account.to_string(), "folder_id": of("d").to_string(),
        "messageDirection": "out", "messageState": "draft",
    });
    fixture.create(builtin::MESSAGES, message).await;
    for (name, follows, left) in [
        ("a", true, None),
        ("b", false, Some("b")),
        ("c", true, Some("c (replaced)")),
        ("d", true, Some("d (replaced)")),
        ("e", true, Some("e (replaced)")),
    ] {
        let former = Some(of(name));
        let renamed = Renamed { mailbox: name, name, former };
        let done = fixture.store.folder_follow(&fixture.domain, folder, &renamed).await.unwrap();
        assert_eq!(done, follows, "{name}");
        let shown = folder_of(&fixture, of(name)).await;
        assert_eq!(shown.as_ref().and_then(|shown| shown.text("name")), left, "{name}");
        if follows {
            let has_it = folder_of(&fixture, folder).await.unwrap();
            assert_eq!(has_it.text("mailbox"), Some(name));
            assert!(shown.is_none_or(|shown| shown.get("mailbox").is_null()
                && shown.text("statusText").is_some_and(|text| text.contains("stands for"))));
        }
    }
}

#[on_both]
async fn a_survey_makes_folders_and_says_which_are_gone() {
    let fixture = fixture().await;
    let (account, _) = fixture.account().await;
    let mailbox = |name: &str| SurveyedFolder {
        mailbox: name.to_owned(),
        name: name.to_owned(),
        title: format!("a@b.test/{name}"),
        delimiter: "/".to_owned(),
        flags: vec![],
        special_use: (name == "Sent").then(|| "\\Sent".to_owned()),
    };
    let both = [mailbox("INBOX"), mailbox("Sent")];
    for _ in 0..2 {
        fixture.store.survey_commit(&fixture.domain, account, &whole(&both)).await.unwrap();
    }
    // A list that was cut short says nothing of what it does not name.
    let cut = Survey { is_whole: false, ..whole(&both[..1]) };
    fixture.store.survey_commit(&fixture.domain, account, &cut).await.unwrap();
    let row = fixture.store.account_list().await.unwrap().remove(0);
    assert!(row.folders.iter().all(|folder| folder.get("statusText").is_null()));
    fixture.store.survey_commit(&fixture.domain, account, &whole(&both[..1])).await.unwrap();
    let row = fixture.store.account_list().await.unwrap().remove(0);
    let titles: Vec<_> = row.folders.iter().map(|folder| folder.text("title").unwrap()).collect();
    assert_eq!(titles, ["a@b.test/INBOX", "a@b.test/Sent"]);
    assert!(!row.folders[1].is_set("enabled"));
    // The engine gets those alone that are enabled, and asks for the mailboxes of the others.
    let enabled = row.folders.iter().filter(|folder| folder.is_set("enabled")).count();
    let rows = fixture.store.account_list_enabled_folders().await.unwrap();
    assert_eq!(rows[0].folders.len(), enabled);
    let mailboxes = fixture.store.folders_known(&fixture.domain, account).await.unwrap();
    assert_eq!(mailboxes.len(), row.folders.len());
    assert!(row.folders[1].text("statusText").unwrap().contains("no longer"));
    assert!(row.folders[0].get("statusText").is_null());
    // One that a client made beforehand is taken for the mailbox of its name.
    let made = json!({"account_id": account.to_string(), "name": "Archive", "title": "mine"});
    let made = fixture.create(builtin::FOLDERS, made).await;
    let archive = SurveyedFolder {
        mailbox: "Archive".to_owned(),
        name: "Archive".to_owned(),
        title: "a@b.test/Archive".to_owned(),
        ..both[0].clone()
    };
    fixture.store.survey_commit(&fixture.domain, account, &whole(&[archive])).await.unwrap();
    let row = fixture.store.account_list().await.unwrap().remove(0);
    let named: Vec<_> = row.folders.iter().filter(|f| f.text("name") == Some("Archive")).collect();
    assert_eq!((named.len(), named[0].id), (1, made.id));
    let owner = (account, "a@b.test");
    for _ in 0..2 {
        fixture.store.send_box_ensure(&fixture.domain, owner.0, owner.1, "Box").await.unwrap();
    }
    let row = fixture.store.account_list().await.unwrap().remove(0);
    let boxes: Vec<_> = row.folders.iter().filter(|f| f.text("mode") == Some("sendOnly")).collect();
    assert_eq!(boxes.len(), 1);
}

#[on_both]
async fn tokens_open_their_domain_only() {
    let fixture = fixture().await;
    let token = random_token();
    fixture.store.token_set(&fixture.domain, "admin", &token).await.unwrap();
    assert!(fixture.store.token_exists(&fixture.domain, "admin").await.unwrap());
    let found = fixture.store.token_verify(token.expose_secret()).await.unwrap();
    let found = found.map(|bearer| bearer.domain);
    assert_eq!(found.as_ref(), Some(&fixture.domain));
    assert_eq!(fixture.store.token_verify("wrong").await.unwrap(), None);
    fixture.store.token_set(&fixture.domain, "admin", &random_token()).await.unwrap();
    assert_eq!(fixture.store.token_verify(token.expose_secret()).await.unwrap(), None);
}

#[on_both]
async fn many_writers_share_their_commits() {
    let fixture = fixture().await;
    let mut tasks = vec![];
    for at in 0..200 {
        let (store, domain) = (fixture.store.clone(), fixture.domain.clone());
        let class = fixture.class(builtin::PROFILES);
        tasks.push(tokio::spawn(async move {
            let values = json!({"name": format!("p{at}")}).as_object().unwrap().clone();
            let new =
                NewEntity { entity: Entity::new(Clock::system().new_id(), values), files: vec![] };
            store.entity_create(&domain, &class, vec![new]).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let class = fixture.class(builtin::PROFILES);
    let count =
        fixture.store.entity_count(&fixture.domain, &class, &Query::default()).await.unwrap();
    assert_eq!(count, 200);
}

// SQLite alone: there were no such versions with another database.
#[tokio::test]
async fn an_older_schema_is_brought_forward() {
    let fixture = fixture().await;
    let kept = fixture.create(builtin::PROFILES, json!({"name": "kept"})).await;
    let Fixture { directory, store, domain } = fixture;
    drop(store);
    // As the first step left it, before jobs and before a property was added.
    let database = rusqlite::Connection::open(directory.path().join("postroom.db")).unwrap();
    let older = "DROP TABLE \"job\"; DROP TABLE \"job entity\"; DROP TABLE \"once\"; DROP TABLE \"origin\"; DROP INDEX \"receipt unsettled\";
        DROP TABLE \"retired\"; DROP TABLE \"retired value\"; DROP TABLE \"deleted class\"; DROP TABLE \"domain class\"; DROP TABLE \"counter\"; DROP INDEX \"file by property\";
        DROP TABLE \"purge\"; DROP INDEX \"receipt wish of message\"; DROP TABLE \"class\"; DELETE FROM \"meta\" WHERE \"name\" = 'classes';
        DROP TABLE \"work claim\"; DROP TABLE \"consent\"; DROP TABLE \"device consent\"; DROP TABLE \"configuration\"; DROP TABLE \"root key\"; DROP TABLE \"data key\"; DROP TABLE \"session\"; DROP TABLE \"erasure\"; DROP TABLE \"erased\"; DROP TABLE \"usage\"; DROP INDEX \"delivery in order\"; DROP INDEX \"delivery under way\";
        DROP TABLE \"lease\"; DROP TABLE \"owner\"; ALTER TABLE \"delivery\" DROP COLUMN \"epoch\"; ALTER TABLE \"delivery\" DROP COLUMN \"named\";
        ALTER TABLE \"unfinished\" DROP COLUMN \"owner\"; DROP TABLE \"object\"; DROP TABLE \"object gone\"; DROP TABLE \"full text words\"; DROP TABLE \"full text\"; ALTER TABLE \"unfinished\" DROP COLUMN \"object\";
        DELETE FROM \"meta\" WHERE \"name\" IN ('blobs', 'owners');
        ALTER TABLE \"chunk\" DROP COLUMN \"sum\"; DROP INDEX \"change of entity\";
        DROP INDEX \"change whole\"; ALTER TABLE \"change\" DROP COLUMN \"whole\";
        ALTER TABLE \"change\" DROP COLUMN \"modifier_type\";
        ALTER TABLE \"change\" DROP COLUMN \"modifier_id\";
        DELETE FROM \"meta\" WHERE \"name\" = 'chunks without sum';
        ALTER TABLE \"receipt\" DROP COLUMN \"linked\"; ALTER TABLE \"receipt\" DROP COLUMN \"uid_validity\";
        ALTER TABLE \"receipt\" DROP COLUMN \"uid\";
        ALTER TABLE \"receipt\" RENAME COLUMN \"key\" TO \"uid\";
        ALTER TABLE \"receipt\" RENAME COLUMN \"epoch\" TO \"uid_validity\";
        ALTER TABLE \"receipt\" DROP COLUMN \"size\";
        ALTER TABLE \"receipt\" DROP COLUMN \"internal_date\";
        ALTER TABLE \"receipt\" DROP COLUMN \"message_id\";
        ALTER TABLE \"receipt\" DROP COLUMN \"gone\";
        ALTER TABLE \"receipt\" ADD COLUMN \"relinked\" INTEGER;
        UPDATE \"meta\" SET \"number\" = 1 WHERE \"name\" = 'schema';
        DELETE FROM \"meta\" WHERE \"name\" = 'seq';
        DROP INDEX \"email/Profiles changed\";
        ALTER TABLE \"email/Profiles\" DROP COLUMN \"seq\";
        ALTER TABLE \"email/Messages\" DROP COLUMN \"dateTimeSource\";
        ALTER TABLE \"delivery\" DROP COLUMN \"waited\";
        ALTER TABLE \"delivery\" DROP COLUMN \"planned\";
        ALTER TABLE \"delivery\" ADD COLUMN \"first_due\" INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE \"delivered\" DROP COLUMN \"doubt\"";
    database.execute_batch(older).unwrap();
    let folder = FolderId::from_u128(5);
    let insert =
        "INSERT INTO \"receipt\" (\"folder\", \"uid_validity\", \"uid\", \"message\", \"wish\")
        VALUES (?1, 7, ?2, ?1, 2)";
    for uid in [300, 4_294_967_296_i64] {
        let id = 5_u128.to_be_bytes();
        database.execute(insert, rusqlite::params![id, uid]).unwrap();
    }
    drop(database);
    let store = loop {
        // The threads of the first store end by themselves.
        match open_store(directory.path(), "a").await {
            Ok(store) => break store,
            Err(Error::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let class = store.class(builtin::PROFILES).unwrap();
    let unnumbered = Entity { seq: 0, ..kept };
    let id = unnumbered.id;
    assert_eq!(store.entity_get(&domain, &class, id).await.unwrap(), Some(unnumbered));
    let feed = store.feed_list(&domain, 0, 10).await.unwrap();
    assert_eq!((feed.len(), &feed[0].modifier), (1, &None), "nobody noted who it was");
    let messages = store.class(builtin::MESSAGES).unwrap();
    assert!(store.entity_list(&domain, &messages, &Query::default()).await.unwrap().is_empty());
    let job = store.job_create(&domain, &messages, None).await.unwrap();
    assert_eq!(store.job_next(&[JobKind::Redecompose], None).await.unwrap(), Some(job));
    let epoch = MailboxEpoch { folder, number: 7 };
    let both = keys([300, 4_294_967_296]);
    assert_eq!(store.ledger(epoch).await.unwrap().recorded, both);
    let open = both.map(|key| (key, ServerAction::Delete));
    assert_eq!(open_actions(&store, epoch).await, open);
    // Tools that read the database find what they know.
    let database = rusqlite::Connection::open(directory.path().join("postroom.db")).unwrap();
    let sql = "SELECT \"uid\" FROM \"receipt\" WHERE \"uid_validity\" = 7 ORDER BY 1 LIMIT 1";
    assert_eq!(database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 300);
}

#[on_both]
async fn a_message_without_its_account_is_not_set_to_be_sent_and_an_html_is_one() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let draft = json!({
        "account_id": account.to_string(), "messageDirection": "out", "to": ["x@y.test"],
    });
    let draft = fixture.create(builtin::MESSAGES, draft).await.id;
    let class = fixture.class(builtin::MESSAGES);
    let other = json!({"profile_id": fixture.create(builtin::PROFILES, json!({"name": "q"})).await
        .id.to_string(), "address": "other@b.test"});
    let other = fixture.create(builtin::ACCOUNTS, other).await.id;
    let change = |values: Json| {
        let (store, domain, class) = (&fixture.store, &fixture.domain, &class);
        let values = values.as_object().unwrap().clone();
        async move { store.entity_update(EntityPlace::new(domain, class, draft), &values, None).await }
    };
    let moved = json!({"folder_id": folder.to_string(), "account_id": other.to_string()});
    let refused = change(moved.clone()).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::OtherAccount))), "{refused:?}");
    let mut properties = moved.as_object().unwrap().clone();
    properties.insert("messageDirection".to_owned(), json!("out"));
    let new = Entity::new(fixture.store.clock().new_id(), properties);
    let new = vec![NewEntity { entity: new, files: vec![] }];
    let refused = fixture.store.entity_create(&fixture.domain, &class, new).await;
    assert!(matches!(refused, Err(Error::Condition(Failed::OtherAccount))), "{refused:?}");
    let accounts = fixture.class(builtin::ACCOUNTS);
    let at = EntityPlace::new(&fixture.domain, &accounts, account.into());
    fixture.store.entity_delete(at, None).await.unwrap();
    let refused = change(json!({"messageState": "sending"})).await;
    let property = "account_id".to_owned();
    let missing = Failed::Reference { property };
    assert!(matches!(&refused, Err(Error::Condition(failed)) if *failed == missing), "{refused:?}");
    let file = |name: &str| NewFile {
        property: "html".to_owned(),
        name: name.to_owned(),
        media_type: "text/html".to_owned(),
        content_id: None,
        content: NewContent::Own(Content::prepare(b"<p>")),
    };
    let values = json!({"messageDirection": "out"}).as_object().unwrap().clone();
    let entity = Entity::new(Clock::system().new_id(), values);
    let new = NewEntity { entity, files: vec![file("a"), file("b")] };
    let twice = fixture.store.entity_create(&fixture.domain, &class, vec![new]).await;
    assert!(matches!(twice, Err(Error::Condition(Failed::Invalid { .. }))), "{twice:?}");
}

/// Two messages with equal headers that are too large stay two in a new epoch.
#[on_both]
async fn equal_messages_that_are_too_large_are_recognised_in_a_new_epoch() {
    let fixture = fixture().await;
    let (account, folder) = fixture.account().await;
    let store = &fixture.store;
    let hash = fixture.received(9, b"same header").hash;
    let miss = |uid| {
        let missed = MissedMessage::pending(SourceKey::of_uid(uid), "NIL".to_owned());
        MissedMessage { is_too_big: true, hash: Some(hash), ..missed }
    };
    let at = |number: i64| MissedAt {
        domain: &fixture.domain,
        account,
        epoch: MailboxEpoch { folder, number },
        uid_validity: number.unsigned_abs(),
    };
    store.receive_missed(at(6), &[miss(1), miss(2)], |_| 60_000).await.unwrap();
    store.receive_missed(at(7), &[miss(11), miss(12), miss(13)], |_| 60_000).await.unwrap();
    let messages = fixture.class(builtin::MESSAGES);
    let query = Query::default();
    assert_eq!(store.entity_list(&fixture.domain, &messages, &query).await.unwrap().len(), 3);
}

#[on_both]
async fn a_request_for_a_message_that_comes_while_an_earlier_one_fails_is_kept() {
    let fixture = fixture().await;
    let (store, domain) = (&fixture.store, &fixture.domain);
    let profile = json!({"name": "p", "imapHost": "imap.b.test"});
    let profile = fixture.create(builtin::PROFILES, profile).await.id;
    let account = json!({"profile_id": profile.to_string(), "address": "a@b.test", "enabled": true, "password": "x"});
    let account = AccountId::of(fixture.create(builtin::ACCOUNTS, account).await.id);
    let folder =
        json!({"account_id": account.to_string(), "title": "a@b.test/INBOX", "enabled": true});
    let folder = FolderId::of(fixture.create(builtin::FOLDERS, folder).await.id);
    let epoch = store.epoch_begin(folder, BEGUN).await.unwrap();
    let missed = MissedMessage::pending(SourceKey::of_uid(1), "large".to_owned());
    let missed = MissedMessage { is_too_big: true, ..missed };
    let at = MissedAt { domain, account, epoch, uid_validity: 7 };
    store.receive_missed(at, &[missed], |_| 0).await.unwrap();
    let oversized = async || store.ledger(epoch).await.unwrap().oversized[0];
    let ask = async || {
        let before = oversized().await.requested_ms;
        while oversized().await.requested_ms == before {
            let asked = store.message_request(domain, oversized().await.message, 1 << 30);
            assert_eq!(asked.await.unwrap(), LoadRequest::Noted);
        }
    };
    ask().await;
    let tried = oversized().await;
    ask().await;
    store.request_failed(domain, epoch, &tried, "NIL").await.unwrap();
    assert!(oversized().await.is_requested(), "the second was not tried");
    let tried = oversized().await;
    store.request_failed(domain, epoch, &tried, "NIL").await.unwrap();
    assert!(!oversized().await.is_requested());
}
