//! The rules of messages: what a client may change of a message and its files, in which state.
//!
//! The store refuses changes of a message that is being sent at this moment. Before that, a client
//! may change it, and it is composed again. These are pure functions. The table of states is
//! `postroom_model::state`. Which property may change is in `postroom_model::standing`. What a
//! message needs before it is sent is in `postroom_engine::outgoing`.

use crate::problem::Problem;
use postroom_engine::outgoing;
use postroom_engine::outgoing::THREAD;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::MessageState;
use postroom_model::Standing;
use postroom_model::builtin::files;
use postroom_model::standing;
use postroom_model::state;
use postroom_store::Clock;
use serde_json::Map;
use serde_json::Value as Json;

/// The property with the state of a message.
const STATE: &str = "messageState";
/// The property with the recipients, their names and results.
const RECIPIENTS: &str = "recipients";

/// Checks a message as the client wants it: its state and, if it is to be sent, everything that
/// sending needs. `before` is the stored message. `None`: a new one.
///
/// # Errors
///
/// Every problem found, each with its property.
pub fn check(before: Option<&Entity>, after: &Entity) -> Result<(), Vec<Invalid>> {
    let mut problems = vec![];
    let from = before.and_then(|message| message.text(STATE));
    let to = after.text(STATE);
    let is_out = after.text("messageDirection") == Some("out");
    let given = before.and_then(standing::given);
    problems.extend(state::client_problem(from, to, is_out, given).map(|p| Invalid::new(STATE, p)));
    problems.extend(before.map(|before| standing::problems(before, after)).unwrap_or_default());
    if to == Some(MessageState::Sending.as_str()) && problems.is_empty() {
        problems.extend(outgoing::check(after).err().into_iter().flatten());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Whether a change asks to send a waiting message at once.
#[must_use]
pub fn hurries(before: &Entity, changes: &Map<String, Json>) -> bool {
    let sending = Some(MessageState::Sending.as_str());
    before.text(STATE) == sending
        && changes.get(STATE).and_then(Json::as_str) == sending
        && !before.get("nextAttemptAt").is_null()
}

/// Brings the message ids of an outgoing message into the stored form: one for each item, without
/// angle brackets. A text that is not a message id stays, and is refused when the message is sent.
pub fn plain_ids(values: &mut Map<String, Json>) {
    for name in THREAD {
        let Some(texts) = values.get(name).and_then(Json::as_array) else {
            continue;
        };
        let ids = texts.iter().map(|text| text.as_str().and_then(outgoing::message_ids));
        let ids: Option<Vec<_>> = ids.collect();
        if let Some(ids) = ids {
            values.insert(name.to_owned(), ids.concat().into());
        }
    }
}

/// The properties that are known as soon as a message is to be sent: its Message-ID, and its type
/// by its bodies. `from` is the address of its account.
#[must_use]
pub fn announced(clock: &Clock, message: &Entity, has_html: bool, from: &str) -> Map<String, Json> {
    let text = |name: &str| message.text(name).filter(|text| !text.is_empty());
    let kind = outgoing::message_type(text("text").is_some(), has_html);
    let mut known = Map::from_iter([("messageType".to_owned(), kind.into())]);
    if text("messageId").is_none() {
        let id = outgoing::new_message_id(text("from").unwrap_or(from), clock.new_id());
        known.insert("messageId".to_owned(), id.into());
    }
    known
}

/// Adds what a client's change implies. A message that is sent again, or at once, loses its error.
/// An address that is removed from `to`, `cc` or `bcc` is also removed from `recipients`.
pub fn complete(before: &Entity, changes: &mut Map<String, Json>) {
    let sending = MessageState::Sending.as_str();
    let again = changes.get(STATE).and_then(Json::as_str) == Some(sending);
    if again {
        for name in ["errorText", "errorCode", "nextAttemptAt"] {
            changes.insert(name.to_owned(), Json::Null);
        }
    }
    let listed = before.get(RECIPIENTS).as_array();
    let Some(listed) = listed.filter(|_| !changes.contains_key(RECIPIENTS)) else {
        return;
    };
    let stays = |recipient: &&Json| {
        let kind = recipient.get("kind").and_then(Json::as_str).unwrap_or("to");
        let Some(now) = changes.get(kind) else {
            return true;
        };
        let address = recipient.get("address");
        now.as_array().is_some_and(|list| list.iter().any(|one| Some(one) == address))
    };
    let left: Vec<_> = listed.iter().filter(stays).cloned().collect();
    if left.len() < listed.len() {
        changes.insert(RECIPIENTS.to_owned(), Json::Array(left));
    }
}

/// Checks whether the files of a property may be changed.
///
/// # Errors
///
/// 409 with the reason.
pub fn check_files(message: &Entity, property: &str) -> Result<(), Problem> {
    let reason = match Standing::of(message) {
        Standing::Received => {
            "the files of a received message cannot be changed, because they are \
                               parts of its original"
        }
        Standing::Sent => "the files cannot be changed, because the message was sent with them",
        Standing::Queued | Standing::Failed | Standing::Draft => {
            let is_out = message.text("messageDirection") == Some("out");
            if property != files::RAW_MESSAGE || !is_out {
                return Ok(());
            }
            "the original of an outgoing message cannot be changed, because Postroom makes it from \
             the properties: change those"
        }
    };
    Err(Problem::conflict("read-only", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn message(values: &Json) -> Entity {
        let mut all = json!({
            "messageDirection": "out", "account_id": "018f0000-0000-7000-8000-000000000000",
            "to": ["a@b.test"],
        });
        let members = all.as_object_mut().unwrap();
        members.extend(values.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        Entity::new(Uuid::nil(), members.clone())
    }

    #[test]
    fn what_may_become_of_a_message() {
        let sending = json!({"messageState": "sending"});
        let received = json!({"messageState": "received", "messageDirection": "in", "uid": 5});
        #[rustfmt::skip]
        let table = [
            (None,                                   sending.clone(),                                          ""),
            (None,                                   json!({"messageState": "sending", "to": []}),             "to: names no"),
            (None,                                   json!({"messageState": "sending", "account_id": null}),   "account_id: is required"),
            (None,                                   json!({"messageState": "sending", "messageDirection": "in"}), "messageState: `sending` needs"),
            (None,                                   json!({"messageState": "sent"}),                          "messageState: only Postroom"),
            (None,                                   json!({"to": ["nobody"]}),                                ""),
            (Some(json!({"to": []})),                sending.clone(),                                          ""),
            (Some(json!({})),                        json!({"messageState": "sending", "from": "x"}),          "from: has no '@'"),
            (Some(json!({"messageState": "error"})), sending.clone(),                                          ""),
            (Some(json!({"messageState": "sent"})),  sending.clone(),                                          "messageState: only a message without state"),
            (Some(received.clone()),                 json!({"messageState": "sending", "uid": 5}),             "messageState: only a message without state"),
            (Some(received.clone()),                 json!({"messageState": "received", "uid": 5}),            "messageDirection: cannot be changed because it follows"),
            (Some(received),                         json!({"messageState": "done", "messageDirection": "in", "uid": 5}), ""),
            (Some(sending.clone()),                  json!({"messageState": "sending", "subject": "new"}),     ""),
            (Some(sending.clone()),                  json!({"messageState": "sending", "to": ["nobody"]}),     "to[0]: has no '@'"),
            (Some(sending.clone()),                  json!({"messageState": "handled"}),                       "messageState: the message is being sent"),
            (Some(sending),                          json!({"to": ["nobody"]}),                                ""),
        ];
        for (before, after, want) in table {
            let before = before.map(|values| message(&values));
            let found = check(before.as_ref(), &message(&after)).err().unwrap_or_default();
            let found = found.first().map(ToString::to_string).unwrap_or_default();
            assert!(found.starts_with(want), "{found:?}, not {want:?} for {after}");
            assert_eq!(found.is_empty(), want.is_empty(), "{found:?} for {after}");
        }
    }

    #[test]
    fn a_message_that_is_sent_again_forgets_its_error() {
        let before = message(&json!({"messageState": "error", "errorCode": "refused"}));
        let mut changes = Map::from_iter([("messageState".to_owned(), json!("sending"))]);
        complete(&before, &mut changes);
        assert_eq!(changes["errorCode"], Json::Null);
        let mut changes = Map::from_iter([("subject".to_owned(), json!("s"))]);
        complete(&before, &mut changes);
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn a_message_that_waits_is_hurried_by_sending_it_again() {
        let waits = json!({"messageState": "sending", "nextAttemptAt": "2026-01-01T00:00:00.000Z"});
        let change = |json: Json| json.as_object().unwrap().clone();
        #[rustfmt::skip]
        let table = [
            (waits.clone(),                        json!({"messageState": "sending"}), true),
            (waits.clone(),                        json!({"subject": "s"}),            false),
            (waits,                                json!({"messageState": null}),      false),
            (json!({"messageState": "sending"}),   json!({"messageState": "sending"}), false),
            (json!({"messageState": "error"}),     json!({"messageState": "sending"}), false),
        ];
        for (before, sent, want) in table {
            assert_eq!(hurries(&message(&before), &change(sent.clone())), want, "{sent}");
        }
    }

    #[test]
    fn message_ids_are_kept_without_brackets() {
        let mut values = json!({
            "inReplyTo": ["<a@b>"], "references": ["<a@b> <c@d>", "e@f"], "subject": "<x@y>",
        });
        plain_ids(values.as_object_mut().unwrap());
        let want = json!({
            "inReplyTo": ["a@b"], "references": ["a@b", "c@d", "e@f"], "subject": "<x@y>",
        });
        assert_eq!(values, want);
        let mut values = json!({"references": ["<a@b>", "no id"], "inReplyTo": null});
        let before = values.clone();
        plain_ids(values.as_object_mut().unwrap());
        assert_eq!(values, before, "it is refused when it is sent");
    }

    #[test]
    fn what_is_to_be_sent_has_its_id_and_its_type_at_once() {
        let known = |values: Json, html| {
            announced(&Clock::system(), &message(&values), html, "me@own.test")
        };
        let text = known(json!({"text": "t"}), false);
        assert_eq!(text["messageType"], "text");
        assert!(text["messageId"].as_str().unwrap().ends_with("@own.test"));
        let other = known(json!({"from": "x@else.test", "text": "t"}), true);
        assert_eq!(other["messageType"], "alternative");
        assert!(other["messageId"].as_str().unwrap().ends_with("@else.test"));
        let own = known(json!({"messageId": "a@b"}), true);
        assert_eq!((&own["messageType"], own.get("messageId")), (&json!("html"), None));
    }

    #[test]
    fn who_is_taken_out_of_a_list_is_no_recipient_any_more() {
        let who = |kind: &str, address: &str| json!({"kind": kind, "address": address});
        let (a, b, c) = (who("to", "a@b.test"), who("to", "b@b.test"), who("cc", "c@b.test"));
        let before = message(&json!({"recipients": [a, b, c]}));
        #[rustfmt::skip]
        let table = [
            (json!({"to": ["b@b.test", "d@b.test"]}),        Some(json!([b, c]))),
            (json!({"to": ["a@b.test", "b@b.test"]}),        None),
            (json!({"cc": null}),                            Some(json!([a, b]))),
            (json!({"bcc": ["x@b.test"]}),                   None),
            (json!({"to": [], "recipients": [c]}),           Some(json!([c]))),
        ];
        for (sent, want) in table {
            let mut changes = sent.as_object().unwrap().clone();
            complete(&before, &mut changes);
            assert_eq!(changes.get("recipients"), want.as_ref(), "{sent}");
        }
    }

    #[test]
    fn what_was_sent_does_not_change() {
        let sent = json!({"messageState": "sent", "sentAt": "2026-01-01T00:00:00.000Z"});
        let with = |name: &str, value: Json| {
            let mut after = sent.clone();
            after[name] = value;
            check(Some(&message(&sent)), &message(&after)).err().unwrap_or_default()
        };
        assert_eq!(with("subject", json!("new"))[0].property, "subject");
        assert_eq!(with("to", json!(["x@b.test"]))[0].property, "to");
        assert_eq!(with("messageState", json!("handled")), []);
        assert_eq!(with("size", json!(5)), []);
    }

    #[test]
    fn files_of_what_was_received_or_is_sent_stay() {
        #[rustfmt::skip]
        let table = [
            (json!({}),                                                 "file",       true),
            (json!({"messageState": "error"}),                          "html",       true),
            (json!({"messageState": "handled"}),                        "inlines",    true),
            (json!({"messageDirection": "in"}),                         "rawMessage", true),
            (json!({}),                                                 "rawMessage", false),
            (json!({"messageState": "sending"}),                        "file",       true),
            (json!({"messageState": "sending"}),                        "rawMessage", false),
            (json!({"messageState": "sent"}),                           "file",       false),
            (json!({"messageState": "received"}),                       "file",       false),
            (json!({"messageState": "raw"}),                            "rawMessage", false),
            (json!({"messageState": "handled", "uid": 7}),              "file",       false),
        ];
        for (values, property, allowed) in table {
            assert_eq!(check_files(&message(&values), property).is_ok(), allowed, "{values}");
        }
    }
}
