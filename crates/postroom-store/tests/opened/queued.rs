//! A message as the tests put it into the queue.

use postroom_model::AccountId;
use postroom_store::Content;
use postroom_store::Prepared;
use serde_json::Map;
use serde_json::Value as Json;

/// What is sent for an account as soon as possible. `changes`: what becomes of its row.
pub fn prepared(account: AccountId, changes: Json) -> Prepared {
    Prepared {
        account,
        due_ms: 0,
        reverse_path: "a@b.test".to_owned(),
        smtp_utf8: false,
        content: Content::prepare(b"Subject: s\r\n\r\n"),
        changes: object(changes),
        replaces_claimed: false,
    }
}

/// The members of an object.
pub fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}
