//! A message as the tests receive it.

use crate::queued::object;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::Content;
use postroom_store::MailboxEpoch;
use postroom_store::ReceiveBatch;
use postroom_store::ReceivedMessage;
use postroom_store::SourceKey;
use postroom_store::Store;
use postroom_store::Witness;
use serde_json::json;

/// A received message of this UID, in the first epoch of its mailbox.
pub fn received(store: &Store, domain: &Domain, folder: FolderId, uid: u64) -> ReceiveBatch {
    let class = store.class(builtin::MESSAGES).unwrap();
    let values = json!({
        "messageDirection": "in", "messageState": "received", "uid": uid,
        "dateTimeSource": "arrival",
        "folder_id": folder.to_string(),
    });
    let entity = Entity::new(Clock::system().new_id(), object(values));
    let message = ReceivedMessage {
        key: SourceKey::of_uid(uid),
        row: store.entity_row(domain, &class, &entity).unwrap(),
        files: vec![],
        original: Some(Content::prepare(b"Subject: s\r\n\r\n")),
        hash: [7; 16],
        witness: Witness::default(),
        reported: None,
        action: None,
    };
    let epoch = MailboxEpoch { folder, number: 1 };
    ReceiveBatch { domain: domain.clone(), epoch, messages: vec![message], relink: false }
}
