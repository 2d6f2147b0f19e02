//! Mail is received and sent.

use crate::blob::Content;
use crate::delivery::Claimed;
use crate::delivery::DueAt;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::missed::MissedAt;
use crate::missed::MissedMessage;
use crate::origin::Beginning;
use crate::origin::MailboxEpoch;
use crate::origin::ReturnedEpoch;
use crate::prepared::PrepareEnd;
use crate::prepared::Prepared;
use crate::receipt::ServerAction;
use crate::receive::ReceiveBatch;
use crate::receive::ReceivedMessage;
use crate::source_key::SourceKey;
use crate::tests::life::world::World;
use crate::tests::life::world::object;
use crate::unloaded::Unloaded;
use crate::unsendable::Unsendable;
use crate::verdict::Verdict;
use crate::waiting::Wait;
use crate::witness::Witness;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::MailboxId;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

const BYTES: &[u8] = b"Subject: s\r\n\r\n";

fn keys<const N: usize>(uids: [u64; N]) -> [SourceKey; N] {
    uids.map(SourceKey::of_uid)
}

/// The hash of the message of a UID.
fn hash(uid: u64) -> [u8; 16] {
    u128::from(uid).to_be_bytes()
}

fn received(world: &World, uid: u64) -> ReceivedMessage {
    let values = json!({
        "messageDirection": "in", "messageState": "received", "uid": uid,
        "dateTimeSource": "arrival", "folder_id": world.folder.to_string(),
        "account_id": world.account.to_string(), "dateTime": "2020-01-01T00:00:00Z",
        "messageId": format!("{uid}@life.test"),
    });
    let entity = Entity::new(world.store.clock().new_id(), object(&values));
    let part = NewContent::Part {
        offset: 0,
        length: 2,
        size_bytes: 2,
        transfer_encoding: "7bit".to_owned(),
        charset: None,
    };
    let file = |name: &str, content| NewFile {
        property: "file".to_owned(),
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        content_id: None,
        content,
    };
    let own = NewContent::Own(Content::prepare(b"own"));
    ReceivedMessage {
        key: SourceKey::of_uid(uid),
        row: world.store.entity_row(&world.domain, &world.class(MESSAGES), &entity).unwrap(),
        files: vec![file("a.txt", part), file("b.txt", own)],
        original: Some(Content::prepare(BYTES)),
        hash: hash(uid),
        witness: Witness::default(),
        reported: (uid == 2).then(|| "s@b.test".to_owned()),
        action: match uid % 2 {
            1 => Some(ServerAction::Delete),
            _ => (uid == 2).then_some(ServerAction::AwaitAcknowledged),
        },
    }
}

async fn commit(world: &World, epoch: MailboxEpoch, uids: &[u64]) {
    let messages = uids.iter().map(|uid| received(world, *uid)).collect();
    let domain = world.domain.clone();
    let batch = ReceiveBatch { domain, epoch, messages, relink: epoch.number > 1 };
    world.store.receive_commit(batch).await.unwrap();
}

async fn miss(world: &World, epoch: MailboxEpoch, misses: &[MissedMessage]) {
    let (domain, account) = (&world.domain, world.account);
    let at = MissedAt { domain, account, epoch, uid_validity: 7 };
    world.store.receive_missed(at, misses, |_| 1_000).await.unwrap();
}

fn too_big(uid: u64) -> MissedMessage {
    MissedMessage {
        key: SourceKey::of_uid(uid),
        reason: "large".to_owned(),
        is_too_big: true,
        hash: Some(hash(uid)),
        size_bytes: Some(10),
        witness: Witness::default(),
        values: object(&json!({"size": 10})),
        is_held: false,
    }
}

async fn begin(
    world: &World,
    uid_validity: u64,
    former: Option<ReturnedEpoch<'_>>,
) -> MailboxEpoch {
    let id = MailboxId::parse("F1").unwrap();
    let login = "life@imap.life.test";
    let (mailbox_id, baseline, unloaded) = (Some(&id), 0, None);
    let begun = Beginning { login, uid_validity, mailbox_id, baseline, unloaded, former };
    world.store.epoch_begin(world.folder, begun).await.unwrap()
}

/// Messages are received, some of which are too large, and are then deleted at the server.
pub(super) async fn receive(world: &World) {
    let store = &world.store;
    store.origin_note(world.folder, "life@imap.life.test").await.unwrap();
    let epoch = begin(world, 7, None).await;
    let id = MailboxId::parse("F1").unwrap();
    store.mailbox_id_note(world.folder, &id).await.unwrap();
    store.mailbox_id_folders(world.account, &id).await.unwrap();
    store.unloaded_note(epoch, &Unloaded::default()).await.unwrap();
    assert_eq!(store.unloaded(world.folder).await.unwrap(), Some(Unloaded::default()));
    commit(world, epoch, &[1, 2, 3, 4]).await;
    let lost = |uid| MissedMessage::pending(SourceKey::of_uid(uid), "lost".to_owned());
    miss(world, epoch, &[lost(11), lost(12), too_big(13), too_big(14)]).await;
    store.pending_forget(epoch, &keys([12])).await.unwrap();
    store.pending_ended(world.folder).await.unwrap();
    let ledger = store.ledger(epoch).await.unwrap();
    assert_eq!((ledger.pending.len(), ledger.oversized.len()), (1, 2));
    for oversized in &ledger.oversized {
        store.message_request(&world.domain, oversized.message, 1_000).await.unwrap();
    }
    store.request_failed(&world.domain, epoch, &ledger.oversized[0], "why").await.unwrap();
    // The whole message takes the place of its header.
    commit(world, epoch, &[14]).await;
    store.remembered(epoch, &keys([1, 2])).await.unwrap();
    store.remembered_newest(epoch, 5).await.unwrap();
    store.recorded_hashes(epoch).await.unwrap();
    store.recorded_keys(epoch, &[hash(1), hash(2)]).await.unwrap();
    assert_eq!(store.action_list(epoch, SourceKey::FIRST, 9).await.unwrap().actions.len(), 2);
    store.action_done(epoch, &keys([1])).await.unwrap();
    store.action_drop_waiting(epoch).await.unwrap();
}

/// The mailbox gets a new UIDVALIDITY, so a new epoch begins. Then the former one comes back.
pub(super) async fn epochs(world: &World) {
    let epoch = begin(world, 8, None).await;
    assert!(epoch.number > 1);
    miss(world, epoch, &[too_big(13)]).await;
    commit(world, epoch, &[2, 3, 21]).await;
    world.store.action_gone(epoch, &keys([21])).await.unwrap();
    let former = world.store.former_epochs(world.folder, 7).await.unwrap();
    assert_eq!(former.len(), 1);
    let listed = keys([1, 2, 3, 4]);
    let back = begin(world, 7, Some(ReturnedEpoch { epoch: former[0], listed: &listed })).await;
    assert!(!world.store.ledger(back).await.unwrap().recorded.is_empty());
}

async fn prepare(world: &World, message: &Entity, due_ms: i64) -> bool {
    let prepared = Prepared {
        account: world.account,
        due_ms,
        reverse_path: "life@b.test".to_owned(),
        smtp_utf8: false,
        content: Content::prepare(BYTES),
        changes: object(&json!({"recipients": [{"address": "x@b.test"}], "messageId": "s@b.test"})),
        replaces_claimed: false,
    };
    let end = world.store.delivery_prepare(&world.domain, message, prepared).await.unwrap();
    end == PrepareEnd::Queued
}

async fn claim(world: &World) -> Vec<Claimed> {
    let due = DueAt { now_ms: 9, latest_ms: i64::MAX / 2 };
    world.store.delivery_claim(world.account, due, 9).await.unwrap()
}

fn id(message: &Entity) -> MessageEntityId {
    MessageEntityId::of(message.id)
}

fn state_of(state: &str) -> Json {
    json!({"address": "x@b.test", "state": state, "reply": "250"})
}

/// Messages are sent, postponed, refused and withdrawn.
pub(super) async fn send(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let (sent, refused) = (world.outgoing("sent").await, world.outgoing("refused").await);
    let all = store.delivery_unprepared(domain, world.account, 9).await.unwrap();
    assert_eq!(all.len(), 2);
    for message in &all {
        assert!(prepare(world, message, 5).await);
    }
    store.message_of_id(domain, world.account, "s@b.test").await.unwrap();
    let at = Timestamp::from_ms(10);
    let claimed = claim(world).await;
    let (first, second) = (&claimed[0], &claimed[1]);
    let later =
        Verdict::Later { after: Duration::from_millis(1), reason: "451".to_owned(), counts: true };
    let mut part = first.clone();
    part.recipients = vec![state_of("sent")];
    store.delivery_settle(&part, &later, at).await.unwrap();
    let error = Verdict::Error { code: ErrorCode::Refused, reason: "550".to_owned() };
    store.delivery_settle(second, &error, at).await.unwrap();
    // A client changes what is queued: what was composed is discarded.
    world.update(MESSAGES, &sent, json!({"subject": "changed"})).await;
    let sent = world.get(MESSAGES, &sent).await;
    assert!(prepare(world, &sent, 5).await);
    let [again] = claim(world).await.try_into().unwrap();
    store.delivery_part(again.message, &[state_of("sent")]).await.unwrap();
    store.delivery_delivered(again.message).await.unwrap();
    store.delivery_dot_sent(again.message, 1, &[0]).await.unwrap();
    assert_eq!(store.delivery_named(again.message, 1).await.unwrap(), Some(vec![0]));
    assert_eq!(store.delivery_named(again.message, 2).await.unwrap(), None);
    store.delivery_outcome_unknown(world.account).await.unwrap();
    store.delivery_settle(&again, &Verdict::Sent, at).await.unwrap();
    assert_eq!(world.get(MESSAGES, &sent).await.text("messageState"), Some("sent"));
    let _ = refused;
    let unsendable = world.outgoing("unsendable").await;
    let why =
        Unsendable { code: ErrorCode::Invalid, reason: "why", recipients: |_| vec![json!({})] };
    store.delivery_refuse(domain, id(&unsendable), why).await.unwrap();
    let back = world.outgoing("given back").await;
    assert!(prepare(world, &back, 5).await);
    claim(world).await;
    store.delivery_release(id(&back)).await.unwrap();
    world.update(MESSAGES, &back, json!({"messageState": null})).await;
}

/// Messages wait, and a start recovers the queue.
pub(super) async fn wait(world: &World) {
    let (store, account) = (&world.store, world.account);
    let waits = world.outgoing("waits").await;
    assert!(prepare(world, &waits, 5).await);
    store.delivery_next_due(account, 9).await.unwrap();
    store.delivery_hasten(account, 3).await.unwrap();
    store.delivery_waited(account, 9, 1).await.unwrap();
    store.delivery_overdue(account, 9, 1).await.unwrap();
    let wait = Wait { now_ms: 9, until: None, reason: "the server is down" };
    store.delivery_wait(account, wait, |_, _| ()).await.unwrap();
    claim(world).await;
    store.delivery_recover(None).await.unwrap();
    store.delivery_recover(Some(account)).await.unwrap();
    store.delivery_outcome_unknown_accounts().await.unwrap();
    store.delivery_orphaned(0).await.unwrap();
    store.delivery_disabled(&world.domain, id(&waits), Some("off")).await.unwrap();
    store.delivery_disabled(&world.domain, id(&waits), None).await.unwrap();
}
