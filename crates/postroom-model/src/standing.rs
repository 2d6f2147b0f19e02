//! The standing of a message, and which of its properties a client may change then.
//!
//! | stands   | a client may change                | because |
//! |----------|------------------------------------|---------|
//! | draft    | all                                | nobody has seen it |
//! | queued   | all but `messageDirection`         | it is composed anew |
//! | failed   | all but `messageDirection`         | it may be sent again |
//! | sent     | `messageState`, `folder_id`        | the rest is what was sent |
//! | received | `messageState`                     | the rest follows from its original |
//!
//! A client never changes a property that only Postroom sets. It may always change properties of
//! extensions.

use crate::builtin::COMPOSED;
use crate::builtin::names;
use crate::direction::MessageDirection;
use crate::entity::Entity;
use crate::error_code::ErrorCode;
use crate::invalid::Invalid;
use crate::state::MessageState;

/// The properties that a client may set although no message is composed of them.
const OTHERS: [&str; 2] = ["folder_id", "messageType"];

/// The property that says where the time of a received message comes from.
pub const TIME_SOURCE: &str = "dateTimeSource";
/// Its value for a message whose time is that of its arrival here.
pub const ARRIVAL: &str = "arrival";

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It was neither received nor queued, or it was withdrawn.
    Draft,
    /// It is queued to be sent.
    Queued,
    /// It could not be sent.
    Failed,
    /// It was sent.
    Sent,
    /// A server gave or listed it.
    Received,
}

impl Standing {
    /// The standing of a message, whatever state the business logic gave it.
    #[must_use]
    pub fn of(message: &Entity) -> Self {
        let state = MessageState::of(message);
        if was_received(message) {
            return Self::Received;
        }
        match state {
            Some(MessageState::Received | MessageState::Raw) => Self::Received,
            Some(MessageState::Sent) => Self::Sent,
            _ if !message.get(names::SENT_AT).is_null() => Self::Sent,
            Some(MessageState::Sending) => Self::Queued,
            Some(MessageState::Error) => Self::Failed,
            None => Self::Draft,
        }
    }

    /// Whether a client may change a property here.
    #[must_use]
    pub(crate) fn may_change(self, property: &str) -> bool {
        let known = COMPOSED.contains(&property) || OTHERS.contains(&property);
        match self {
            _ if !known || property == "messageState" => true,
            Self::Draft => true,
            Self::Queued | Self::Failed => property != "messageDirection",
            Self::Sent => property == "folder_id",
            Self::Received => false,
        }
    }

    /// Why a client may not change the property, and what it may do.
    fn reason(self) -> &'static str {
        match self {
            Self::Draft => "does not change",
            Self::Queued | Self::Failed => {
                "cannot be changed once the message was set to `sending`; create a new message"
            }
            Self::Sent => {
                "cannot be changed because the message was sent; only messageState and folder_id \
                 can"
            }
            Self::Received => {
                "cannot be changed because it follows from the received message; only messageState \
                 can"
            }
        }
    }
}

/// Whether a source of mail gave or listed the message. A client may write a message of the same
/// direction, but only the batch that records a receipt sets where the time of a message comes
/// from. It says so of every source, whatever the source calls its messages, and longer than the
/// receipt, which ends with its folder.
#[must_use]
pub fn was_received(message: &Entity) -> bool {
    MessageDirection::In.is_of(message) && !message.get(TIME_SOURCE).is_null()
}

/// The changes that a client may not make, each with its property.
#[must_use]
pub fn problems(before: &Entity, after: &Entity) -> Vec<Invalid> {
    let standing = Standing::of(before);
    let names = COMPOSED.into_iter().chain(OTHERS);
    let changed = names.filter(|name| before.get(name) != after.get(name));
    let refused = changed.filter(|name| !standing.may_change(name));
    refused.map(|name| Invalid::new(name, standing.reason())).collect()
}

/// The state that Postroom gave the message. A client may set it again after a state of its own.
/// `None`: Postroom gave none.
#[must_use]
pub fn given(message: &Entity) -> Option<MessageState> {
    let code = message.text(names::ERROR_CODE);
    match Standing::of(message) {
        Standing::Draft => code.map(|_| MessageState::Error),
        Standing::Queued => Some(MessageState::Sending),
        Standing::Failed => Some(MessageState::Error),
        Standing::Sent => Some(MessageState::Sent),
        Standing::Received => Some(match code.map(ErrorCode::from_name) {
            None => MessageState::Received,
            Some(Some(ErrorCode::NotDecomposable)) => MessageState::Raw,
            Some(_) => MessageState::Error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::id::EntityId;
    use serde_json::Value as Json;
    use serde_json::json;

    type Allowed = fn(&str) -> bool;

    fn message(values: &Json) -> Entity {
        let mut values = values.as_object().unwrap().clone();
        values.retain(|_, value| !value.is_null());
        Entity::new(EntityId::nil(), values)
    }

    /// Every property that a client can set at all.
    fn settable() -> Vec<String> {
        let class = builtin::classes().unwrap().remove(3);
        let settable = class.columns().filter(|property| !property.read_only());
        settable.map(|property| property.name.clone()).collect()
    }

    #[test]
    fn every_property_in_every_standing() {
        let all = |_: &str| true;
        let none = |_: &str| false;
        let but_direction = |name: &str| name != "messageDirection";
        let folder = |name: &str| name == "folder_id";
        #[rustfmt::skip]
        let table: [(Json, Standing, Allowed); 15] = [
            (json!({}),                                                    Standing::Draft,    all),
            (json!({"messageState": "handled"}),                           Standing::Draft,    all),
            (json!({"messageDirection": "in"}),                            Standing::Draft,    all),
            (json!({"errorCode": "refused"}),                              Standing::Draft,    all),
            (json!({"messageState": "sending"}),                           Standing::Queued,   but_direction),
            (json!({"messageState": "error"}),                             Standing::Failed,   but_direction),
            (json!({"messageState": "sent"}),                              Standing::Sent,     folder),
            (json!({"messageState": "handled", "sentAt": "2026-01-01T00:00:00.000Z"}), Standing::Sent, folder),
            (json!({"messageState": "received", "messageDirection": "in", "dateTimeSource": "date"}), Standing::Received, none),
            (json!({"messageState": "raw", "messageDirection": "in", "dateTimeSource": "date"}),      Standing::Received, none),
            (json!({"messageState": "error", "messageDirection": "in", "dateTimeSource": "arrival"}), Standing::Received, none),
            (json!({"messageState": "handled", "messageDirection": "in", "dateTimeSource": "date"}),  Standing::Received, none),
            (json!({"messageState": "error", "messageDirection": "in"}),   Standing::Failed,   but_direction),
            (json!({"messageState": "handled", "uid": 5}),                 Standing::Draft,    all),
            (json!({"messageState": "received"}),                          Standing::Received, none),
        ];
        for (values, standing, allowed) in table {
            let before = message(&values);
            assert_eq!(Standing::of(&before), standing, "{values}");
            for name in settable() {
                let mut after = before.clone();
                after.properties.insert(name.clone(), json!("other"));
                let refused = problems(&before, &after);
                let want = name == "messageState" || allowed(&name);
                assert_eq!(refused.is_empty(), want, "{name} of {values}: {refused:?}");
                assert!(refused.iter().all(|problem| problem.property == name), "{refused:?}");
            }
            assert!(standing.may_change("x_of_an_extension"));
        }
    }

    #[test]
    fn the_state_that_postroom_gave_is_known_behind_one_of_a_client() {
        use MessageState::*;
        #[rustfmt::skip]
        let table = [
            (json!({}),                                                None),
            (json!({"errorCode": "refused"}),                          Some(Error)),
            (json!({"sentAt": "2026-01-01T00:00:00.000Z"}),            Some(Sent)),
            (json!({"messageDirection": "in", "dateTimeSource": "date"}), Some(Received)),
            (json!({"messageDirection": "in", "dateTimeSource": "date", "errorCode": "not_decomposable"}), Some(Raw)),
            (json!({"messageDirection": "in", "dateTimeSource": "arrival", "errorCode": "too_big"}), Some(Error)),
        ];
        for (values, want) in table {
            let mut values = values;
            values["messageState"] = json!("handled");
            assert_eq!(given(&message(&values)), want, "{values}");
        }
    }
}
