//! News: what happened to an entity, in the words of those who use mail.

use crate::builtin;
use crate::builtin::names;
use crate::entity::Entity;
use crate::state::MessageState;
use serde_json::Value as Json;
use std::fmt;

/// How the `statusText` of a folder begins whose mailbox is no longer at the server.
pub const MAILBOX_GONE: &str = "the server no longer has this mailbox;";

/// What happened to an entity. The numbers are those of the subscription events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is gone.
    Delete,
    /// It is new.
    Create,
    /// It has other values.
    Change,
}

impl Operation {
    /// The number in events.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Delete => 0,
            Self::Create => 1,
            Self::Change => 2,
        }
    }

    /// The operation of that number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Delete, Self::Create, Self::Change].into_iter().find(|one| one.number() == number)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Create => "create",
            Self::Change => "change",
        }
    }

    /// What a reader sees who knows of an entity only while a filter lets it through. `None`: the
    /// reader sees nothing.
    #[must_use]
    pub fn seen(before: bool, after: bool) -> Option<Self> {
        match (before, after) {
            (false, true) => Some(Self::Create),
            (true, true) => Some(Self::Change),
            (true, false) => Some(Self::Delete),
            (false, false) => None,
        }
    }
}

/// A change of an entity of a class.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// The name of the class.
    pub class: &'a str,
    /// What happened.
    pub operation: Operation,
    /// The entity before. `None`: it was not there, or is no longer known.
    pub before: Option<&'a Entity>,
    /// The entity after. `None`: it is gone, or is no longer known.
    pub after: Option<&'a Entity>,
}

/// What happened, for those who do not want to think in rows. In JSON it is `message.received` and
/// the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName {
    of: &'static str,
    what: &'static str,
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.of, self.what)
    }
}

/// What an event is about, as its name begins.
const SUBJECTS: [&str; 6] = ["profile", "account", "folder", "message", "webhook", "entity"];
/// What can happen to everything.
const TO_ALL: [&str; 3] = ["created", "changed", "deleted"];
/// What else can happen, by what it happens to.
const TO_SOME: [(&str, &[&str]); 4] = [
    ("account", &["ready", "degraded", "needsPerson"]),
    ("folder", &["found", "gone", "renumbered"]),
    ("message", &["received", "raw", "bounced", "sent", "failed", "postponed"]),
    ("webhook", &["disabled"]),
];

impl EventName {
    /// All names, in the order of the documents.
    pub fn all() -> impl Iterator<Item = Self> {
        let to_all = SUBJECTS.into_iter().flat_map(|of| TO_ALL.map(|what| Self { of, what }));
        let of_some = |(of, all): (&'static str, &'static [&'static str])| {
            all.iter().map(move |what| Self { of, what })
        };
        to_all.chain(TO_SOME.into_iter().flat_map(of_some))
    }

    /// Whether it can happen to entities of a class.
    #[must_use]
    pub fn is_of(self, class: &str) -> bool {
        self.of == subject(class)
    }

    /// The event of that name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::all().find(|event| event.to_string() == text)
    }
}

/// What the events of a class are about.
fn subject(class: &str) -> &'static str {
    match class {
        builtin::PROFILES => "profile",
        builtin::ACCOUNTS => "account",
        builtin::FOLDERS => "folder",
        builtin::MESSAGES => "message",
        builtin::WEBHOOKS => "webhook",
        _ => "entity",
    }
}

impl Changed<'_> {
    /// What happened.
    #[must_use]
    pub fn event(&self) -> EventName {
        let of = subject(self.class);
        let what = match self.class {
            builtin::ACCOUNTS => self.of_account(),
            builtin::FOLDERS => self.of_folder(),
            builtin::MESSAGES => self.of_message(),
            builtin::WEBHOOKS => self.of_webhook(),
            _ => None,
        };
        let plain = match self.operation {
            Operation::Create => "created",
            Operation::Change => "changed",
            Operation::Delete => "deleted",
        };
        EventName { of, what: what.unwrap_or(plain) }
    }

    fn of_account(&self) -> Option<&'static str> {
        let after = self.became(names::STATE)?;
        [("ready", "ready"), ("degraded", "degraded"), ("failed", "needsPerson")]
            .into_iter()
            .find_map(|(state, what)| (after == state).then_some(what))
    }

    fn of_folder(&self) -> Option<&'static str> {
        let after = self.after?;
        // Clients make folders too, but the name of the mailbox is of a survey alone.
        if self.operation == Operation::Create {
            return after.text(names::MAILBOX).map(|_| "found");
        }
        if self.became(names::STATUS_TEXT).is_some_and(|text| text.starts_with(MAILBOX_GONE)) {
            return Some("gone");
        }
        let number = |entity: &Entity| entity.number(names::UID_VALIDITY);
        let (was, is) = (self.before.and_then(number)?, number(after)?);
        (was != is).then_some("renumbered")
    }

    fn of_message(&self) -> Option<&'static str> {
        let state = |entity: Option<&Entity>| entity.and_then(MessageState::of);
        match (state(self.before), state(self.after)?) {
            (Some(was), is) if was == is => {
                let attempts = |entity: Option<&Entity>| entity?.number(names::ATTEMPTS);
                let is_later = is == MessageState::Sending
                    && attempts(self.after) > attempts(self.before)
                    && !self.after?.get(names::NEXT_ATTEMPT_AT).is_null();
                is_later.then_some("postponed")
            }
            // What was decomposed again was received before.
            (Some(MessageState::Received | MessageState::Raw), MessageState::Received) => None,
            (Some(MessageState::Received | MessageState::Raw), MessageState::Raw) => None,
            (_, MessageState::Received) if self.after.is_some_and(is_bounce) => Some("bounced"),
            (_, MessageState::Received) => Some("received"),
            (_, MessageState::Raw) => Some("raw"),
            (_, MessageState::Sent) => Some("sent"),
            (_, MessageState::Error) => Some("failed"),
            (_, MessageState::Sending) => None,
        }
    }

    /// Clients disable webhooks too, but the reason is of Postroom alone.
    fn of_webhook(&self) -> Option<&'static str> {
        let enabled = |entity: Option<&Entity>| entity?.get(names::ENABLED).as_bool();
        let is_disabled = enabled(self.before)? && !enabled(self.after)?;
        (is_disabled && self.after?.text(names::STATUS_TEXT).is_some()).then_some("disabled")
    }

    /// The text that a property has now and did not have before.
    fn became(&self, name: &str) -> Option<&str> {
        let text = self.after?.text(name)?;
        (self.before.and_then(|before| before.text(name)) != Some(text)).then_some(text)
    }
}

/// Whether a message reports that a message of the same account could not be delivered.
fn is_bounce(message: &Entity) -> bool {
    let recipients = message.get(names::REPORT).get("recipients").and_then(Json::as_array);
    let is_failed =
        |recipient: &Json| recipient.get("action").and_then(Json::as_str) == Some("failed");
    message.reference(names::REPORTED_MESSAGE_ID).is_some()
        && message.text(names::REPORT_TYPE) == Some("delivery-status")
        && recipients.is_some_and(|all| all.iter().any(is_failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EntityId;
    use serde_json::json;

    fn entity(json: &Json) -> Option<Entity> {
        json.as_object().map(|values| Entity::new(EntityId::nil(), values.clone()))
    }

    #[test]
    fn what_happened_has_a_name() {
        use builtin::ACCOUNTS;
        use builtin::FOLDERS;
        use builtin::MESSAGES;
        use builtin::PROFILES;
        use builtin::WEBHOOKS;
        let gone = format!("{MAILBOX_GONE} so it is");
        let report = |action: &str, is_linked: bool| {
            json!({
                "messageState": "received", "reportType": "delivery-status",
                "report": {"recipients": [{"action": "relayed"}, {"action": action}]},
                "reportedMessage_id": is_linked.then(|| EntityId::nil().to_string()),
            })
        };
        let none = Json::Null;
        #[rustfmt::skip]
        let table = [
            (PROFILES, none.clone(),                       json!({}),                            "profile.created"),
            (PROFILES, json!({}),                          json!({}),                            "profile.changed"),
            (PROFILES, json!({}),                          none.clone(),                         "profile.deleted"),
            ("crm/Tickets", json!({}),                     json!({}),                            "entity.changed"),
            (ACCOUNTS, json!({}),                          json!({"state": "ready"}),            "account.ready"),
            (ACCOUNTS, json!({"state": "ready"}),          json!({"state": "degraded"}),         "account.degraded"),
            (ACCOUNTS, json!({"state": "degraded"}),       json!({"state": "failed"}),           "account.needsPerson"),
            (ACCOUNTS, json!({"state": "failed"}),         json!({"state": "failed", "x": 1}),   "account.changed"),
            (ACCOUNTS, json!({"state": "ready"}),          json!({"state": "disabled"}),         "account.changed"),
            (FOLDERS,  none.clone(),                       json!({"mailbox": "INBOX"}),          "folder.found"),
            (FOLDERS,  none.clone(),                       json!({"name": "INBOX"}),             "folder.created"),
            (FOLDERS,  json!({}),                          json!({"statusText": gone}),          "folder.gone"),
            (FOLDERS,  json!({"statusText": gone}),        json!({"statusText": gone, "x": 1}),  "folder.changed"),
            (FOLDERS,  json!({"uidValidity": 1}),          json!({"uidValidity": 2}),            "folder.renumbered"),
            (FOLDERS,  json!({}),                          json!({"uidValidity": 2}),            "folder.changed"),
            (WEBHOOKS, json!({"enabled": true}),           json!({"enabled": false, "statusText": "x"}), "webhook.disabled"),
            (WEBHOOKS, json!({"enabled": true}),           json!({"enabled": false}),            "webhook.changed"),
            (MESSAGES, none.clone(),                       json!({"messageState": "received"}),  "message.received"),
            (MESSAGES, json!({"messageState": "error"}),   json!({"messageState": "received"}),  "message.received"),
            (MESSAGES, json!({"messageState": "raw"}),     json!({"messageState": "received"}),  "message.changed"),
            (MESSAGES, none.clone(),                       json!({"messageState": "raw"}),       "message.raw"),
            (MESSAGES, none.clone(),                       report("failed", true),               "message.bounced"),
            (MESSAGES, none.clone(),                       report("failed", false),              "message.received"),
            (MESSAGES, none.clone(),                       report("delayed", true),              "message.received"),
            (MESSAGES, none.clone(),                       json!({"messageState": "sending"}),   "message.created"),
            (MESSAGES, none.clone(),                       json!({}),                            "message.created"),
            (MESSAGES, json!({"messageState": "sending"}), json!({"messageState": "sent"}),      "message.sent"),
            (MESSAGES, json!({"messageState": "sending"}), json!({"messageState": "error"}),     "message.failed"),
            (MESSAGES, none.clone(),                       json!({"messageState": "error"}),     "message.failed"),
            (MESSAGES, json!({"messageState": "sending"}), json!({"messageState": "sending", "attempts": 1, "nextAttemptAt": "x"}), "message.postponed"),
            (MESSAGES, json!({"messageState": "sending"}), json!({"messageState": "sending", "subject": "s"}), "message.changed"),
            (MESSAGES, json!({"messageState": "received"}), json!({"messageState": "done"}),     "message.changed"),
            (MESSAGES, json!({"messageState": "sent"}),    none,                                 "message.deleted"),
        ];
        for (class, before, after, want) in table {
            let (before, after) = (entity(&before), entity(&after));
            let operation = Operation::seen(before.is_some(), after.is_some()).unwrap();
            let changed =
                Changed { class, operation, before: before.as_ref(), after: after.as_ref() };
            assert_eq!(changed.event().to_string(), want, "{changed:?}");
            assert_eq!(EventName::from_text(want), Some(changed.event()));
        }
        assert_eq!(EventName::from_text("message.eaten"), None);
    }
}
