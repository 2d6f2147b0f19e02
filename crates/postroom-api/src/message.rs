//! Messages as clients send them: what is checked before the store is asked, and what is known of
//! a message as soon as it is to be sent.
//!
//! The rules are elsewhere: `postroom_model::client` says what a client may change, and the store
//! keeps that; `postroom_engine::outgoing` says what a message needs before it is sent.

use crate::app::Asked;
use crate::problem::Problem;
use postroom_engine::outgoing;
use postroom_engine::outgoing::THREAD;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::MessageState;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_store::Clock;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::HashSet;

/// Checks a message as the client wants it, so that the answer names each problem: the store and
/// the engine keep these rules anyway. `before` is the stored message. `None`: a new one.
///
/// # Errors
///
/// Every problem found, each with its property.
pub(crate) fn check(
    class: &Class,
    before: Option<&Entity>,
    after: &Entity,
) -> Result<(), Vec<Invalid>> {
    let mut problems = match before {
        None => client::create_problems(class, after),
        Some(_) => vec![],
    };
    let is_sent = MessageState::Sending.is_of(after);
    if is_sent && problems.is_empty() {
        problems.extend(outgoing::check(after).err().into_iter().flatten());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Brings the message ids of an outgoing message into the stored form: one for each item, without
/// angle brackets, each once. A text that is not a message id stays, and is refused when the
/// message is sent.
pub(crate) fn plain_ids(values: &mut Map<String, Json>) {
    for name in THREAD {
        let Some(texts) = values.get(name).and_then(Json::as_array) else {
            continue;
        };
        let ids = texts.iter().map(|text| text.as_str().and_then(outgoing::message_ids));
        let ids: Option<Vec<_>> = ids.collect();
        if let Some(ids) = ids {
            let (mut known, mut ids) = (HashSet::new(), ids.concat());
            ids.retain(|id| known.insert(id.clone()));
            values.insert(name.to_owned(), ids.into());
        }
    }
}

/// The address of the account of a message; empty without one.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn account_address(asked: &Asked, message: &Entity) -> Result<String, Problem> {
    let Some(account) = message.reference(names::ACCOUNT_ID) else {
        return Ok(String::new());
    };
    let store = &asked.app.store;
    let class = store.class(ACCOUNTS);
    let class = class.ok_or_else(|| Problem::fault("a built-in class is missing"))?;
    let account = store.entity_get(&asked.domain, &class, account).await?;
    let address = account.as_ref().and_then(|account| account.text(names::ADDRESS));
    Ok(address.unwrap_or_default().to_owned())
}

/// The properties that are known as soon as a message is to be sent: its Message-ID, and its type
/// by its bodies. `from` is the address of its account.
#[must_use]
pub(crate) fn announced(
    clock: &Clock,
    message: &Entity,
    has_html: bool,
    from: &str,
) -> Map<String, Json> {
    let text = |name: &str| message.text(name).filter(|text| !text.is_empty());
    let kind = outgoing::message_type(text(names::TEXT).is_some(), has_html);
    let mut known = Map::from_iter([("messageType".to_owned(), kind.into())]);
    if text(names::MESSAGE_ID).is_none() {
        let id = outgoing::new_message_id(text(names::FROM).unwrap_or(from), clock.new_id());
        known.insert(names::MESSAGE_ID.to_owned(), id.into());
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::EntityId;
    use serde_json::json;

    fn message(values: &Json) -> Entity {
        Entity::new(EntityId::nil(), values.as_object().unwrap().clone())
    }

    #[test]
    fn message_ids_are_kept_without_brackets() {
        let mut values = json!({
            "inReplyTo": ["<a@b>", "a@b"], "references": ["<a@b> <c@d>", "e@f"], "subject": "<x@y>",
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
}
