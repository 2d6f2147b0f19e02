//! The journal: one line of the log for each thing that happens to a message.
//!
//! The line shows why a mail did not arrive or leave. It can be found by the address of the
//! account, by Message-ID, or by the id of the message. A line is written after its event is
//! durable. Texts of servers and messages are in fields, which the log escapes.

use crate::account::Account;
use crate::account::Folder;
use postroom_imap::UidSet;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_store::Claimed;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;
use postroom_store::Verdict;
use serde_json::Value as Json;

/// How much of a text of a message or a server a line shows.
const TEXT_BYTES_MAX: usize = 1024;

/// The data for the line of a received message. It is kept until the entity is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Its id in the data model.
    pub id: MessageEntityId,
    uid: u64,
    message_id: Option<String>,
    from: Option<String>,
    size_bytes: u64,
    /// Why it could not be decomposed.
    raw_reason: Option<String>,
}

impl Arrival {
    /// The data for the line of an entity.
    #[must_use]
    pub(crate) fn of(entity: &Entity) -> Self {
        let text = |name: &str| entity.text(name).map(|text| short(text).to_owned());
        let is_raw = MessageState::Raw.is_of(entity);
        Self {
            id: MessageEntityId::of(entity.id),
            uid: number(entity, "uid"),
            message_id: text(names::MESSAGE_ID),
            from: text(names::FROM),
            size_bytes: number(entity, "size"),
            raw_reason: text(names::ERROR_TEXT).filter(|_| is_raw),
        }
    }
}

/// The beginning of a text that others wrote, so that they cannot make a line of the log long.
#[must_use]
pub(crate) fn short(text: &str) -> &str {
    text.split_at(text.floor_char_boundary(TEXT_BYTES_MAX)).0
}

fn number(entity: &Entity, name: &str) -> u64 {
    entity.number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

/// A message of the folder is recorded.
pub(crate) fn received(account: &Account, folder: &Folder, arrival: &Arrival) {
    let Arrival { id, uid, message_id, from, size_bytes, raw_reason } = arrival;
    let message_id = message_id.as_deref().unwrap_or("-");
    let (account, folder) = (short(&account.address), short(&folder.title));
    let from = from.as_deref().unwrap_or("-");
    match raw_reason {
        None => tracing::info!(
            account, folder, message_id, %id, uid, from, size_bytes, "message received"
        ),
        Some(reason) => tracing::warn!(
            account, folder, message_id, %id, uid, from, size_bytes, reason,
            "message received, but it cannot be decomposed: only its original is stored, in state \
             `raw`"
        ),
    }
}

/// Messages of a renumbered mailbox were recognised as stored ones.
pub(crate) fn recognized(account: &Account, folder: &Folder, count: u64) {
    let (account, folder) = (short(&account.address), short(&folder.title));
    tracing::info!(
        account,
        folder,
        count,
        "messages are known already, so they are not stored again"
    );
}

/// The server agreed to delete messages, because they are stored here.
pub(crate) fn deleted(folder: &Folder, keys: &[SourceKey]) {
    let uids: Vec<u64> = keys.iter().map(|key| key.uid()).collect();
    let (folder, uids) = (short(&folder.title), UidSet::from_uids(&uids).to_string());
    let uids = short(&uids);
    tracing::info!(folder, uids, "messages deleted at the server, because they are stored here");
}

/// A message that the server listed could not be loaded.
pub(crate) fn missed(account: &Account, folder: &Folder, missed: &MissedMessage) {
    let (account, folder) = (short(&account.address), short(&folder.title));
    let MissedMessage { key, reason, is_too_big, .. } = missed;
    let uid = key.uid();
    let reason = short(reason);
    if *is_too_big {
        let code = ErrorCode::TooBig.as_str();
        tracing::warn!(
            account,
            folder,
            uid,
            code,
            reason,
            "message not loaded: it is larger than `message_bytes_max`; it stays at the server, \
             and only its header is stored"
        );
    } else {
        tracing::warn!(
            account,
            folder,
            uid,
            code = "not_given",
            reason,
            "message not received yet: it will be fetched again later"
        );
    }
}

/// The data for the lines of an outgoing message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// The address of its account. `None` when the account is gone.
    pub account: Option<&'a str>,
    /// Its id in the data model.
    pub id: MessageEntityId,
    /// Its Message-ID. `None` before it was composed for the first time.
    pub message_id: Option<&'a str>,
}

impl<'a> Outgoing<'a> {
    /// The data of an entity that is not in the queue.
    #[must_use]
    pub(crate) fn of(account: Option<&'a Account>, message: &'a Entity) -> Self {
        let account = account.map(|account| account.address.as_str());
        Self {
            account,
            id: MessageEntityId::of(message.id),
            message_id: message.text(names::MESSAGE_ID).map(short),
        }
    }

    /// The data of a delivery.
    #[must_use]
    pub(crate) fn claimed(account: Option<&'a Account>, claimed: &'a Claimed) -> Self {
        let account = account.map(|account| account.address.as_str());
        Self { account, id: claimed.message, message_id: claimed.message_id.as_deref().map(short) }
    }
}

/// An attempt to send ended, and its result is recorded.
pub(crate) fn settled(
    account: Option<&Account>,
    claimed: &Claimed,
    verdict: &Verdict,
    at: Timestamp,
) {
    let Outgoing { account, id, message_id } = Outgoing::claimed(account, claimed);
    let (account, message_id) = (account.unwrap_or("-"), message_id.unwrap_or("-"));
    let (attempt, recipients) = (claimed.attempts, claimed.recipients.len());
    match verdict {
        Verdict::Sent => {
            let reply = short(reply(&claimed.recipients));
            tracing::info!(account, message_id, %id, recipients, attempt, reply, "message sent");
        }
        Verdict::Later { reason, .. } => {
            let reason = short(reason);
            let next_attempt = verdict.next_attempt(at).map(|next| next.to_string());
            tracing::warn!(
                account, message_id, %id, recipients, attempt, reason, next_attempt,
                "message postponed: it will be tried again"
            );
        }
        Verdict::Error { code, reason } => {
            let code = code.as_str();
            let reason = short(reason);
            tracing::warn!(
                account, message_id, %id, recipients, attempt, code, reason,
                "message not sent: it is in state `error` now"
            );
        }
    }
}

/// A message is not tried now, because of its account.
pub(crate) fn waits(outgoing: Outgoing<'_>, reason: &str) {
    let Outgoing { account, id, message_id } = outgoing;
    let (account, message_id) = (account.unwrap_or("-"), message_id.unwrap_or("-"));
    let reason = short(reason);
    tracing::warn!(account, message_id, %id, reason, "message waits: it stays in `sending`");
}

/// A function that writes this line for a message of the account.
pub(crate) fn waiting<'a>(
    account: &'a Account,
    reason: &'a str,
) -> impl Fn(MessageEntityId, Option<&str>) + 'a {
    let account = Some(account.address.as_str());
    move |id, message_id| waits(Outgoing { account, id, message_id }, reason)
}

/// A message ended as `error` without an attempt.
pub(crate) fn refused(outgoing: Outgoing<'_>, code: ErrorCode, reason: &str) {
    let Outgoing { account, id, message_id } = outgoing;
    let (account, message_id) = (account.unwrap_or("-"), message_id.unwrap_or("-"));
    let (code, reason) = (code.as_str(), short(reason));
    tracing::warn!(
        account, message_id, %id, code, reason, "message not sent: it is in state `error` now"
    );
}

/// The server's reply when it accepted the message. It is that of the last recipient, because one
/// reply to the data is for all recipients of a transaction.
fn reply(recipients: &[Json]) -> &str {
    let reply = recipients.last().and_then(|recipient| recipient.get("reply"));
    reply.and_then(Json::as_str).unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_line_of_a_message_names_what_people_search_for() {
        let entity = |state: &str| {
            let values = json!({
                "messageState": state, "uid": 7, "messageId": "a@b.test", "from": "ben@demo.test",
                "size": 1234, "errorText": "why",
            });
            Entity::new(postroom_model::EntityId::nil(), values.as_object().cloned().unwrap())
        };
        let arrival = Arrival::of(&entity("received"));
        assert_eq!((arrival.uid, arrival.size_bytes), (7, 1234));
        assert_eq!(arrival.message_id.as_deref(), Some("a@b.test"));
        assert_eq!((arrival.from.as_deref(), arrival.raw_reason), (Some("ben@demo.test"), None));
        assert_eq!(Arrival::of(&entity("raw")).raw_reason.as_deref(), Some("why"));
    }

    #[test]
    fn a_line_is_not_as_long_as_others_like() {
        let long = "ü".repeat(1_000_000);
        assert_eq!(short(&long), "ü".repeat(512));
        assert_eq!((short(""), short("a")), ("", "a"));
    }

    #[test]
    fn the_reply_is_the_one_to_the_data() {
        let recipients = [json!({"reply": "250 first"}), json!({"reply": "250 2.0.0 as 4F"})];
        assert_eq!(reply(&recipients), "250 2.0.0 as 4F");
        assert_eq!((reply(&[]), reply(&[json!({})])), ("-", "-"));
    }
}
