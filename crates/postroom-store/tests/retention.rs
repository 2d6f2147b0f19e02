//! What expires, and what becomes of the messages of an account that is deleted with them.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;
#[path = "opened/queued.rs"]
mod queued;

use directory::open as open_store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::Operation;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_store::*;
use postroom_testkit::on_both;
use queued::object;
use queued::prepared;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;

/// The moment before which messages expire.
const BEFORE_MS: i64 = 1_700_000_000_000;

struct World {
    directory: TempDir,
    store: Store,
    domain: Domain,
    class: Arc<Class>,
    account: AccountId,
    folder: FolderId,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open_store(directory.path(), "7").await.unwrap();
        let (domain, class) = (Domain::default_domain(), store.builtin(builtin::MESSAGES).unwrap());
        let profile = json!({"name": "p", "smtpHost": "smtp.b.test"});
        let profile = create(&store, builtin::PROFILES, profile).await;
        let account =
            json!({"profile_id": profile.to_string(), "address": "a@b.test", "enabled": true});
        let account = create(&store, builtin::ACCOUNTS, account).await;
        let folder = json!({"account_id": account.to_string(), "title": "a@b.test/INBOX"});
        let folder = FolderId::of(create(&store, builtin::FOLDERS, folder).await);
        Self { directory, store, domain, class, account: AccountId::of(account), folder }
    }

    /// Receives a message that is older or younger than the moment by so many milliseconds.
    async fn received(&self, uid: u64, age_ms: i64, values: Json) -> EntityId {
        self.received_with(uid, age_ms, values, None).await
    }

    async fn received_with(
        &self,
        uid: u64,
        age_ms: i64,
        values: Json,
        action: Option<ServerAction>,
    ) -> EntityId {
        let mut all = object(json!({
            "messageDirection": "in", "messageState": "received", "uid": uid,
            "dateTimeSource": "internalDate", "account_id": self.account.to_string(),
            "folder_id": self.folder.to_string(),
            "dateTime": Timestamp::from_ms(BEFORE_MS - age_ms).to_string(),
        }));
        all.extend(object(values));
        let entity = Entity::new(Clock::system().new_id(), all);
        let message = ReceivedMessage {
            key: SourceKey::of_uid(uid),
            row: self.store.entity_row(&Domain::default_domain(), &self.class, &entity).unwrap(),
            files: vec![],
            original: Some(Content::prepare(b"Subject: s\r\n\r\n")),
            hash: [7; 16],
            witness: Witness::default(),
            reported: None,
            action,
        };
        let (domain, epoch) = (self.domain.clone(), self.epoch());
        let batch = ReceiveBatch { domain, epoch, messages: vec![message], relink: false };
        self.store.receive_commit(batch).await.unwrap();
        entity.id
    }

    /// The changes behind a number, once readers may pass the last one, which is of this entity.
    async fn told(&self, after: i64, last: EntityId) -> Vec<FeedRow> {
        loop {
            let feed = self.store.feed_list(&self.domain, after, 1000).await.unwrap();
            if feed.last().is_some_and(|row| row.entity == last) {
                return feed;
            }
        }
    }

    fn epoch(&self) -> MailboxEpoch {
        MailboxEpoch { folder: self.folder, number: 1 }
    }

    async fn expired(&self, of: Expiring, behind: Option<Expired>, limit: u32) -> Vec<Expired> {
        let page = ExpiryPage {
            domain: &self.domain,
            class: &self.class,
            of,
            property: "dateTime",
            before_ms: BEFORE_MS,
            behind,
            limit,
        };
        self.store.expired_list(page).await.unwrap()
    }

    async fn expire(&self, id: EntityId) -> bool {
        let place = EntityPlace::new(&self.domain, &self.class, id);
        self.store.entity_expire(place, "dateTime", BEFORE_MS).await.unwrap()
    }

    async fn is_there(&self, id: EntityId) -> bool {
        self.store.entity_get(&self.domain, &self.class, id).await.unwrap().is_some()
    }

    async fn draft(&self, values: Json) -> EntityId {
        let mut all = object(json!({
            "messageDirection": "out", "account_id": self.account.to_string(),
            "to": ["c@d.example"], "dateTime": Timestamp::from_ms(BEFORE_MS - 1).to_string(),
        }));
        all.extend(object(values));
        create(&self.store, builtin::MESSAGES, Json::Object(all)).await
    }

    /// Puts a message into the queue.
    async fn queue(&self, id: EntityId) {
        let message = self.store.entity_get(&self.domain, &self.class, id).await.unwrap().unwrap();
        let prepared = prepared(self.account, json!({"preview": "p", "recipients": []}));
        let end = self.store.delivery_prepare(&self.domain, &message, prepared).await.unwrap();
        assert_eq!(end, PrepareEnd::Queued);
    }

    async fn claim(&self) -> Vec<Claimed> {
        let due = DueAt { now_ms: i64::MAX, latest_ms: i64::MAX };
        self.store.delivery_claim(self.account, due, 9).await.unwrap()
    }

    async fn delete_account(&self) {
        let class = self.store.builtin(builtin::ACCOUNTS).unwrap();
        let place = EntityPlace::new(&self.domain, &class, self.account.into());
        let deleted = self.store.account_delete_whole(place, DeleteTerms::default()).await.unwrap();
        assert!(matches!(deleted, Updated::Done(_)));
    }
}

async fn create(store: &Store, class: &str, values: Json) -> EntityId {
    let class = store.class(class).unwrap();
    let entity = Entity::new(Clock::system().new_id(), object(values));
    let id = entity.id;
    let new = NewEntity { entity, files: vec![] };
    store.entity_create(&Domain::default_domain(), &class, vec![new]).await.unwrap();
    id
}

#[on_both]
async fn what_has_expired_is_found_page_by_page() {
    let world = World::new().await;
    let mut old = vec![];
    for uid in 1..=5 {
        // Two of each moment.
        old.push(world.received(uid, 10 - i64::try_from(uid).unwrap() / 2, json!({})).await);
    }
    world.received(6, 0, json!({})).await;
    world.received(7, -1, json!({})).await;
    world.received(8, 1, json!({"dateTime": null})).await;
    let loose = world.draft(json!({})).await;
    let (mut found, mut behind) = (vec![], None);
    loop {
        let page = world.expired(Expiring::Folder(world.folder), behind, 2).await;
        behind = page.last().copied();
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(|expired| expired.id));
    }
    assert_eq!(found, old);
    let of_account = world.expired(Expiring::Account(world.account), None, 9).await;
    assert_eq!(of_account.iter().map(|one| one.id).collect::<Vec<_>>(), [loose]);
    assert_eq!(world.expired(Expiring::All, None, 9).await.len(), 6);
    let domains = world.store.domain_list(&world.class).await.unwrap();
    assert_eq!(domains.as_slice(), std::slice::from_ref(&world.domain));
    let other = Domain::new("other").unwrap();
    let page = ExpiryPage {
        domain: &other,
        class: &world.class,
        of: Expiring::All,
        property: "dateTime",
        before_ms: BEFORE_MS,
        behind: None,
        limit: 9,
    };
    assert_eq!(world.store.expired_list(page).await.unwrap(), []);
}

#[on_both]
async fn an_expired_message_is_deleted_with_its_files_and_its_receipt_stays() {
    let world = World::new().await;
    let id = world.received(1, 1, json!({})).await;
    let files = world.store.file_list_all(&world.domain, id).await.unwrap();
    let last = world.told(0, id).await.last().unwrap().seq;
    assert!(world.expire(id).await);
    assert!(!world.is_there(id).await);
    let FileSource::Part { blob, .. } = files[0].source else { unreachable!() };
    assert!(world.store.blob_read(blob, 0..1).next().await.is_err(), "its bytes are gone");
    let told = world.told(last, id).await;
    assert_eq!(
        told.iter().map(|row| (row.entity, row.operation)).collect::<Vec<_>>(),
        [(id, Operation::Delete)]
    );
    let ledger = world.store.ledger(world.epoch()).await.unwrap();
    assert_eq!(ledger.recorded, [SourceKey::of_uid(1)]);
    assert!(!world.expire(id).await, "once");
}

#[on_both]
async fn what_is_not_settled_does_not_expire() {
    let world = World::new().await;
    let acting = world.received_with(1, 1, json!({}), Some(ServerAction::Delete)).await;
    let young = world.received(2, 0, json!({})).await;
    let sending = world.draft(json!({"messageState": "sending"})).await;
    let uncertain =
        world.received(3, 1, json!({"messageState": "error", "errorCode": "uncertain"})).await;
    for (id, what) in
        [(acting, "acting"), (young, "young"), (sending, "sending"), (uncertain, "uncertain")]
    {
        assert!(!world.expire(id).await, "{what}");
        assert!(world.is_there(id).await, "{what}");
    }
    // The action is done, and the other messages of any state expire.
    world.store.action_done(world.epoch(), &[SourceKey::of_uid(1)]).await.unwrap();
    let raw = world.received(4, 1, json!({"messageState": "raw"})).await;
    let failed =
        world.received(5, 1, json!({"messageState": "error", "errorCode": "refused"})).await;
    let draft = world.draft(json!({})).await;
    for id in [acting, raw, failed, draft] {
        assert!(world.expire(id).await);
    }
    // A message that is being sent is not touched, whatever a client says of it.
    world.queue(sending).await;
    assert_eq!(world.claim().await.len(), 1);
    assert!(!world.expire(sending).await);
}

#[on_both]
async fn an_account_is_deleted_with_its_messages() {
    let world = World::new().await;
    let mut own = vec![];
    for uid in 1..=10 {
        own.push(world.received(uid, 1, json!({})).await);
    }
    let queued = world.draft(json!({"messageState": "sending"})).await;
    world.queue(queued).await;
    own.push(queued);
    let other = create(&world.store, builtin::MESSAGES, json!({"messageDirection": "out"})).await;
    world.delete_account().await;
    world.store.purge().await.unwrap();
    for id in own {
        assert!(!world.is_there(id).await);
    }
    assert!(world.is_there(other).await);
    assert_eq!(world.claim().await.len(), 0);
}

#[on_both]
async fn a_message_of_a_deleted_account_that_is_being_sent_is_deleted_later() {
    let world = World::new().await;
    let sending = world.draft(json!({"messageState": "sending"})).await;
    world.queue(sending).await;
    let claimed = world.claim().await.remove(0);
    let received = world.received(1, 1, json!({})).await;
    world.delete_account().await;
    world.store.purge().await.unwrap();
    assert!(!world.is_there(received).await);
    assert!(world.is_there(sending).await, "it is being sent");
    // The next process goes on.
    assert!(world.store.delivery_release(claimed.message).await.is_ok());
    world.store.close().await.unwrap();
    let store = open_store(world.directory.path(), "7").await.unwrap();
    store.purge().await.unwrap();
    let world = World { store, ..world };
    assert!(!world.is_there(sending).await);
}

#[on_both]
async fn messages_of_an_account_that_is_there_again_stay() {
    let world = World::new().await;
    let sending = world.draft(json!({"messageState": "sending"})).await;
    world.queue(sending).await;
    let claimed = world.claim().await.remove(0);
    world.delete_account().await;
    world.store.purge().await.unwrap();
    let profile = create(&world.store, builtin::PROFILES, json!({"name": "p"})).await;
    let class = world.store.builtin(builtin::ACCOUNTS).unwrap();
    let values =
        object(json!({"profile_id": profile.to_string(), "address": "a@b.test", "enabled": true}));
    let entity = Entity::new(world.account.into(), values);
    let new = NewEntity { entity, files: vec![] };
    world.store.entity_create(&world.domain, &class, vec![new]).await.unwrap();
    assert!(world.store.delivery_release(claimed.message).await.is_ok());
    let again = world.draft(json!({})).await;
    world.store.purge().await.unwrap();
    world.store.purge().await.unwrap();
    assert!(world.is_there(again).await);
}
