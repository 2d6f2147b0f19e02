//! What a client may make of an entity, whatever way it comes in: REST, a console, an import.
//!
//! Pure functions over the entity as it is stored. The store calls them for what it is about to
//! write, and writes it only while the entity is still the one that they saw: so nothing passes
//! them by. A client's JSON is checked before that, in `validate`.

use crate::builtin::DOMAINS;
use crate::builtin::FOLDERS;
use crate::builtin::MESSAGES;
use crate::builtin::OAUTH_APPS;
use crate::builtin::TOKENS;
use crate::builtin::USERS;
use crate::builtin::WEBHOOKS;
use crate::builtin::files;
use crate::builtin::names;
use crate::class::Class;
use crate::direction::MessageDirection;
use crate::domain::Domain;
use crate::entity::Entity;
use crate::invalid::Invalid;
use crate::oauth;
use crate::property::DataType;
use crate::property::Property;
use crate::right_holder;
use crate::standing;
use crate::standing::Standing;
use crate::state;
use crate::state::MessageState;
use crate::timestamp::Timestamp;
use crate::webhook;
use serde_json::Map;
use serde_json::Value as Json;
use uuid::Uuid;

/// The property with the state of a message.
const STATE: &str = "messageState";
/// The property with the recipients, their names and results.
const RECIPIENTS: &str = "recipients";

/// What is wrong with a new entity of a client.
#[must_use]
pub fn create_problems(class: &Class, new: &Entity) -> Vec<Invalid> {
    // What is hashed is given by Postroom before: `validate` refuses it in the JSON of a client.
    let is_ours = |p: &&Property| p.read_only() && !p.hashed() && !new.get(&p.name).is_null();
    let own = class.columns().filter(is_ours);
    let mut problems: Vec<_> = own.map(|property| only_ours(&property.name)).collect();
    problems.extend(type_problems(class, &new.properties));
    problems.extend(of_any(class, new));
    if class.classname == MESSAGES {
        problems.extend(state_problem(None, new));
    }
    if class.classname == USERS {
        problems.extend(right_holder::factor_problem(None, &new.properties));
    }
    let name = new.text(names::NAME).filter(|_| class.classname == DOMAINS);
    if name.is_some_and(|name| Domain::of_the_start().iter().any(|one| one.as_str() == name)) {
        problems.push(Invalid::new(names::NAME, "is that of a domain that exists from the start"));
    }
    problems
}

/// A client's change of an entity with what it implies.
///
/// # Errors
///
/// Every change that the client may not make, each with its property.
pub fn changed(
    class: &Class,
    before: &Entity,
    sent: &Map<String, Json>,
) -> Result<Map<String, Json>, Vec<Invalid>> {
    let is_ours = |name: &str| class.property(name).is_some_and(Property::read_only);
    let mut changes = sent.clone();
    changes.retain(|name, _| !is_ours(name));
    if class.classname == MESSAGES {
        message_implied(before, &mut changes);
    }
    // What is implied may be sent too: it comes to the same.
    let same = |name: &str, value: &Json| changes.get(name).unwrap_or(before.get(name)) == value;
    let ours = sent.iter().filter(|(name, value)| is_ours(name) && !same(name, value));
    let mut problems: Vec<_> = ours.map(|(name, _)| only_ours(name)).collect();
    problems.extend(type_problems(class, &changes));
    let after = after(before, &changes);
    problems.extend(of_any(class, &after));
    if class.classname == MESSAGES {
        problems.extend(state_problem(Some(before), &after));
        problems.extend(standing::problems(before, &after));
    }
    if class.classname == DOMAINS && changes.contains_key(names::NAME) {
        let reason =
            "never changes, because all that the domain has is known by it: change `title`";
        problems.push(Invalid::new(names::NAME, reason));
    }
    if class.classname == USERS {
        problems.extend(right_holder::factor_problem(Some(before), &changes));
    }
    if class.classname == WEBHOOKS && changes.get(names::SECRET).is_some_and(Json::is_null) {
        let reason = "cannot be unset, because each request is signed; give another one";
        problems.push(Invalid::new(names::SECRET, reason));
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// An entity with changes applied; its version stays.
#[must_use]
pub fn after(current: &Entity, changes: &Map<String, Json>) -> Entity {
    let mut after = current.clone();
    after.apply(changes);
    after
}

/// Why the files of a property may not be changed; `None` when they may.
#[must_use]
pub fn file_problem(class: &Class, entity: &Entity, property: &str) -> Option<&'static str> {
    // The files of properties that clients added are theirs, whatever becomes of the message.
    let is_built_in = property == files::RAW_MESSAGE || files::COMPOSED.contains(&property);
    if class.classname != MESSAGES || !is_built_in {
        return None;
    }
    match Standing::of(entity) {
        Standing::Received => Some(
            "the files of a received message cannot be changed, because they are parts of its \
             original",
        ),
        Standing::Sent => {
            Some("the files cannot be changed, because the message was sent with them")
        }
        Standing::Queued | Standing::Failed | Standing::Draft => {
            let is_out = MessageDirection::Out.is_of(entity);
            (property == files::RAW_MESSAGE && is_out).then_some(
                "the original of an outgoing message cannot be changed, because Postroom makes it \
                 from the properties: change those",
            )
        }
    }
}

/// Whether a change asks to send a waiting message at once.
#[must_use]
pub fn hurries(before: &Entity, changes: &Map<String, Json>) -> bool {
    let sending = Some(MessageState::Sending.as_str());
    before.text(STATE) == sending
        && changes.get(STATE).and_then(Json::as_str) == sending
        && !before.get(names::NEXT_ATTEMPT_AT).is_null()
}

/// What is wrong with files of these properties as those of one new entity.
#[must_use]
pub fn files_problems(class: &Class, properties: &[&str]) -> Vec<Invalid> {
    let is_list = |name: &str| class.property(name).is_none_or(|property| property.multi);
    let is_second = |at: usize, name: &str| properties.iter().take(at).any(|one| *one == name);
    let second = properties.iter().enumerate();
    let second = second.filter(|(at, name)| !is_list(name) && is_second(*at, name));
    second.map(|(_, name)| Invalid::new(*name, "takes one file, not two")).collect()
}

fn only_ours(name: &str) -> Invalid {
    Invalid::new(name, "is set by Postroom alone")
}

/// The values that no column of their property could hold: they would be stored as unset.
fn type_problems(class: &Class, values: &Map<String, Json>) -> Vec<Invalid> {
    let wrong = |(name, value): (&String, &Json)| {
        let Some(property) = class.property(name) else {
            return Some(Invalid::new(name, format!("no such property in {}", class.classname)));
        };
        let fits = value.is_null()
            || match value.as_array().filter(|_| property.multi) {
                Some(list) => list.iter().all(|one| is_of(property.data_type, one)),
                None => !property.multi && is_of(property.data_type, value),
            };
        (!fits).then(|| Invalid::new(name, "has a value of another type"))
    };
    values.iter().filter_map(wrong).collect()
}

fn is_of(data_type: DataType, value: &Json) -> bool {
    match data_type {
        DataType::String | DataType::Enum | DataType::Date | DataType::Time => value.is_string(),
        DataType::Boolean => value.is_boolean(),
        DataType::Integer | DataType::Long | DataType::Increment => value.is_i64(),
        DataType::Float => value.is_number(),
        DataType::Datetime => value.as_str().is_some_and(|text| Timestamp::parse(text).is_ok()),
        DataType::Uuid | DataType::Entity => {
            value.as_str().is_some_and(|text| text.parse::<Uuid>().is_ok())
        }
        DataType::Any => true,
        DataType::Attachment => false,
    }
}

/// What is wrong with an entity, new or changed.
fn of_any(class: &Class, entity: &Entity) -> Vec<Invalid> {
    let missing = |p: &&Property| p.required && entity.get(&p.name).is_null();
    let missing = class.columns().filter(missing);
    let mut problems: Vec<_> = missing.map(|p| Invalid::new(&p.name, "is required")).collect();
    let is_nameless = entity.get(names::NAME).is_null() && entity.get(names::TITLE).is_null();
    if class.classname == FOLDERS && is_nameless {
        problems.push(Invalid::new("name", "is required, or a title"));
    }
    if class.classname == WEBHOOKS {
        problems.extend(webhook::problems(entity));
    }
    if class.classname == OAUTH_APPS {
        problems.extend(oauth::problems(entity));
    }
    if class.classname == DOMAINS {
        let name = entity.text(names::NAME).unwrap_or_default();
        let problem = Domain::new(name).err().map(|problem| problem.to_string());
        problems.extend(problem.map(|problem| Invalid::new(names::NAME, problem)));
    }
    if class.classname == TOKENS {
        problems.extend(right_holder::token_problems(entity));
    }
    if class.classname == USERS {
        problems.extend(right_holder::user_problems(entity));
    }
    problems
}

/// Why a message may not have this state.
fn state_problem(before: Option<&Entity>, after: &Entity) -> Option<Invalid> {
    let from = before.and_then(|message| message.text(STATE));
    let is_out = MessageDirection::Out.is_of(after);
    let given = before.and_then(standing::given);
    let problem = state::client_problem(from, after.text(STATE), is_out, given);
    problem.map(|problem| Invalid::new(STATE, problem))
}

/// What a change of a message implies. A message that is sent again, or at once, loses
/// its error, and one that is withdrawn waits for nothing.
/// An address that is removed from `to`, `cc` or `bcc` is also removed from `recipients`.
fn message_implied(before: &Entity, changes: &mut Map<String, Json>) {
    let sending = MessageState::Sending.as_str();
    let again = changes.get(STATE).and_then(Json::as_str) == Some(sending);
    let withdrawn =
        before.text(STATE) == Some(sending) && changes.get(STATE).is_some_and(Json::is_null);
    if again || withdrawn {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::id::EntityId;
    use serde_json::json;

    fn class(at: usize) -> Class {
        builtin::classes().unwrap().remove(at)
    }

    fn message(values: &Json) -> Entity {
        let mut all = json!({
            "messageDirection": "out", "account_id": "018f0000-0000-7000-8000-000000000000",
            "to": ["a@b.test"],
        });
        let members = all.as_object_mut().unwrap();
        members.extend(values.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        Entity::new(EntityId::nil(), members.clone())
    }

    #[test]
    fn a_message_that_is_sent_again_forgets_its_error() {
        let before = message(&json!({"messageState": "error", "errorCode": "refused"}));
        let mut changes = Map::from_iter([("messageState".to_owned(), json!("sending"))]);
        message_implied(&before, &mut changes);
        assert_eq!(changes["errorCode"], Json::Null);
        let mut changes = Map::from_iter([("subject".to_owned(), json!("s"))]);
        message_implied(&before, &mut changes);
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
            message_implied(&before, &mut changes);
            assert_eq!(changes.get("recipients"), want.as_ref(), "{sent}");
        }
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
            (json!({"messageState": "received"}),                       "scan",       true),
            (json!({"messageState": "sent"}),                           "scan",       true),
            (json!({"messageState": "handled", "messageDirection": "in", "dateTimeSource": "date"}), "file", false),
        ];
        for (values, property, allowed) in table {
            assert_eq!(
                file_problem(&class(3), &message(&values), property).is_none(),
                allowed,
                "{values}"
            );
        }
    }

    #[test]
    fn what_only_postroom_sets_no_client_sets() {
        let new = message(&json!({"errorText": "mine", "size": 5}));
        let problems = create_problems(&class(3), &new);
        let names: Vec<_> = problems.iter().map(|problem| problem.property.as_str()).collect();
        assert_eq!(names, ["errorText", "size"]);
        let before = message(&json!({"messageState": "error", "errorText": "theirs"}));
        let sent = |values: Json| changed(&class(3), &before, values.as_object().unwrap());
        assert_eq!(sent(json!({"size": 5})).unwrap_err()[0].property, "size");
        assert_eq!(sent(json!({"errorText": "theirs"})), Ok(Map::new()));
        let again = json!({"messageState": "sending", "errorText": null});
        assert_eq!(sent(again.clone()).unwrap()["errorText"], Json::Null, "as it is implied");
        let again = json!({"messageState": "sending", "errorText": "theirs"});
        assert_eq!(sent(again).unwrap_err()[0].property, "errorText");
    }

    #[test]
    fn a_value_of_another_type_is_refused_and_not_lost() {
        #[rustfmt::skip]
        let table = [
            (json!({"subject": 5}),                     "subject"),
            (json!({"to": "a@b.test"}),                 "to"),
            (json!({"to": ["a@b.test", 5]}),            "to"),
            (json!({"dateTime": "yesterday"}),          "dateTime"),
            (json!({"folder_id": "none"}),              "folder_id"),
            (json!({"file": "a"}),                      "file"),
            (json!({"unknown": 1}),                     "unknown"),
            (json!({"recipients": {"any": [1, null]}}), ""),
            (json!({"dateTime": "2026-01-01T00:00:00Z", "subject": "s", "text": null}), ""),
        ];
        for (values, want) in table {
            let created = create_problems(&class(3), &message(&values));
            let values = values.as_object().unwrap();
            let changed = changed(&class(3), &message(&json!({})), values).err();
            for problems in [created, changed.unwrap_or_default()] {
                let found = problems.first().map_or("", |problem| problem.property.as_str());
                assert_eq!(found, want, "{values:?}: {problems:?}");
            }
        }
    }

    #[test]
    fn a_property_of_one_file_takes_one() {
        let problems = |names: &[&str]| files_problems(&class(3), names).len();
        assert_eq!(problems(&["file", "html", "file", "inlines"]), 0);
        assert_eq!(problems(&["html", "file", "html"]), 1);
    }

    #[test]
    fn what_is_required_stays() {
        let folder = Entity::new(EntityId::nil(), Map::new());
        let problems = create_problems(&class(2), &folder);
        let names: Vec<_> = problems.iter().map(|problem| problem.property.as_str()).collect();
        assert_eq!(names, ["account_id", "name"]);
        let values = json!({"account_id": EntityId::nil().to_string(), "title": "t"});
        let folder = Entity::new(EntityId::nil(), values.as_object().unwrap().clone());
        assert!(create_problems(&class(2), &folder).is_empty());
        let sent = Map::from_iter([("title".to_owned(), Json::Null)]);
        assert_eq!(changed(&class(2), &folder, &sent).unwrap_err()[0].property, "name");
    }

    #[test]
    fn steps_between_states_are_kept() {
        let sending = json!({"messageState": "sending"});
        #[rustfmt::skip]
        let table = [
            (json!({}),                                            sending.clone(),                   ""),
            (json!({"messageState": "error"}),                     sending.clone(),                   ""),
            (json!({"messageState": "sent"}),                      sending.clone(),                   "messageState"),
            (json!({"messageState": "received", "messageDirection": "in", "dateTimeSource": "date"}),        sending.clone(),                   "messageState"),
            (json!({"messageState": "received", "messageDirection": "in", "dateTimeSource": "date"}),        json!({"subject": "s"}),           "subject"),
            (json!({"messageState": "received", "messageDirection": "in", "dateTimeSource": "date"}),        json!({"messageState": "done"}),   ""),
            (sending.clone(),                                      json!({"subject": "s"}),           ""),
            (sending.clone(),                                      json!({"messageState": "done"}),   "messageState"),
            (sending.clone(),                                      json!({"messageDirection": "in"}), "messageDirection"),
            (json!({"messageState": "sent", "sentAt": "x"}),       json!({"subject": "s"}),           "subject"),
        ];
        for (before, sent, want) in table {
            let found = changed(&class(3), &message(&before), sent.as_object().unwrap());
            let found = found.err().unwrap_or_default();
            let property = found.first().map_or("", |problem| problem.property.as_str());
            assert_eq!(property, want, "{sent} of {before}: {found:?}");
        }
    }
}
