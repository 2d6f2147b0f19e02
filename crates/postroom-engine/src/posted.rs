//! What clients send of entities, checked before the store is asked, and what is known of a message
//! as soon as it is to be sent.
//!
//! The rules are elsewhere: `postroom_model::client` says what a client may change, and the store
//! keeps that; `outgoing` says what a message needs before it is sent.

use crate::carried;
use crate::outgoing;
use crate::outgoing::THREAD;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::MessageDirection;
use postroom_model::MessageState;
use postroom_model::Property;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_model::validate;
use postroom_store::Clock;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Store;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::HashSet;

/// What a client's JSON changes of an entity, with what that implies. It is empty if nothing
/// differs.
///
/// # Errors
///
/// [`Failed::Invalid`] with everything that is wrong, and errors of the store.
pub async fn changes(
    store: &Store,
    place: EntityPlace<'_>,
    current: &Entity,
    sent: &Json,
) -> Result<Map<String, Json>, Error> {
    let class = place.class;
    let sent = &*carried::change(class, current, sent);
    let mut changes = validate::change(class, sent, current).map_err(invalid)?;
    let is_message = class.classname == MESSAGES;
    if is_message && MessageDirection::Out.is_of(current) {
        plain_ids(&mut changes);
    }
    // Setting `sending` again counts as a change: the message is composed again and is due at once.
    let hurries = sent.as_object().is_some_and(|sent| client::hurries(current, sent));
    let is_secret = |name: &str| class.property(name).is_some_and(Property::write_only);
    changes.retain(|name, value| is_secret(name) || value != current.get(name));
    if is_message && hurries {
        changes.insert(names::MESSAGE_STATE.to_owned(), current.get(names::MESSAGE_STATE).clone());
    }
    if is_message {
        message_changes(store, place, current, &mut changes).await?;
    }
    Ok(changes)
}

/// Checks a change of a message as far as the answer can say more than the store would, and adds
/// what it implies.
async fn message_changes(
    store: &Store,
    place: EntityPlace<'_>,
    current: &Entity,
    changes: &mut Map<String, Json>,
) -> Result<(), Error> {
    let EntityPlace { domain, class, id } = place;
    *changes = client::changed(class, current, changes).map_err(invalid)?;
    let mut after = client::after(current, changes);
    store.message_placed(domain, &mut after, Some(current)).await?;
    // If the folder implies an account, that account counts, whatever was sent.
    let account = after.get(names::ACCOUNT_ID);
    if account == current.get(names::ACCOUNT_ID) {
        changes.shift_remove(names::ACCOUNT_ID);
    } else {
        changes.insert(names::ACCOUNT_ID.to_owned(), account.clone());
    }
    check(class, Some(current), &after).map_err(invalid)?;
    let sends = |message: &Entity| MessageState::Sending.is_of(message);
    if sends(&after) && !sends(current) {
        let html = store.file_list(domain, id, files::HTML).await?;
        let from = account_address(store, domain, &after).await?;
        changes.extend(announced(store.clock(), &after, !html.is_empty(), &from));
    }
    Ok(())
}

fn invalid(problems: Vec<Invalid>) -> Error {
    Error::Condition(Failed::Invalid { problems })
}

/// Checks a message as the client wants it, so that the answer names each problem: the store and
/// the engine keep these rules anyway. `before` is the stored message. `None`: a new one.
///
/// # Errors
///
/// Every problem found, each with its property.
pub fn check(class: &Class, before: Option<&Entity>, after: &Entity) -> Result<(), Vec<Invalid>> {
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
pub fn plain_ids(values: &mut Map<String, Json>) {
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
pub async fn account_address(
    store: &Store,
    domain: &Domain,
    message: &Entity,
) -> Result<String, Error> {
    let Some(account) = message.reference(names::ACCOUNT_ID) else {
        return Ok(String::new());
    };
    let class = store.class_of(domain, ACCOUNTS);
    let class = class.ok_or(Error::Damaged { what: "the built-in classes" })?;
    let account = store.entity_get(domain, &class, account).await?;
    let address = account.as_ref().and_then(|account| account.text(names::ADDRESS));
    Ok(address.unwrap_or_default().to_owned())
}

/// The properties that are known as soon as a message is to be sent: its Message-ID, and its type
/// by its bodies. `from` is the address of its account.
#[must_use]
pub fn announced(clock: &Clock, message: &Entity, has_html: bool, from: &str) -> Map<String, Json> {
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
