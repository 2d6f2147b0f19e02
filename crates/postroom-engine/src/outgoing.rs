//! What a message needs before it can be sent, and what it is made of.

use postroom_mime::compose::is_reserved;
use postroom_mime::compose::message_id;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::address;
use postroom_model::builtin::COMPOSED;
use serde_json::Value as Json;
use std::collections::HashSet;

/// How many recipients a message may have.
pub const RECIPIENTS_MAX: usize = 10_000;

/// The kinds of recipients, each the name of a property with addresses.
const KINDS: [&str; 3] = ["to", "cc", "bcc"];

/// One recipient of an outgoing message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// `to`, `cc` or `bcc`.
    pub kind: &'static str,
    /// The display name; `None` for a bare address.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

/// The message with the properties that it is composed of alone: a property that is read here and
/// not listed there is not found, and so no change of it can be overlooked.
#[must_use]
pub fn composed_of(message: &Entity) -> Entity {
    let mut message = message.clone();
    message.properties.retain(|name, _| COMPOSED.contains(&name.as_str()));
    message
}

/// Checks a message that is to be sent: direction, account, recipients, addresses.
///
/// # Errors
///
/// Every problem found, each with its property.
pub fn check(message: &Entity) -> Result<(), Vec<Invalid>> {
    let mut problems = vec![];
    if message.text("messageDirection") != Some("out") {
        problems.push(Invalid::new("messageDirection", "must be `out` for a message to be sent"));
    }
    if message.reference("account_id").is_none() {
        let reason = "is required for a message to be sent (or a folder_id of the account)";
        problems.push(Invalid::new("account_id", reason));
    }
    match recipients(message) {
        Ok(recipients) if recipients.is_empty() => {
            problems.push(Invalid::new("to", "names no recipient; nor does cc, bcc or recipients"));
        }
        Ok(recipients) if recipients.len() > RECIPIENTS_MAX => {
            problems.push(Invalid::new("to", format!("has more than {RECIPIENTS_MAX} recipients")));
        }
        Ok(_) => {}
        Err(invalid) => problems.extend(invalid),
    }
    if let Some(from) = message.text("from").filter(|from| !from.is_empty()) {
        problems.extend(address::problem(from).map(|problem| Invalid::new("from", problem)));
    }
    for (at, reply_to) in message.texts("replyTo").enumerate() {
        let problem = address::problem(reply_to);
        problems.extend(problem.map(|p| Invalid::new(format!("replyTo[{at}]"), p)));
    }
    let message_id_given = message.text("messageId").filter(|id| !id.is_empty());
    if message_id_given.is_some_and(|id| message_id(id).is_none()) {
        let reason = "is no message id: ASCII such as id@host, without blanks";
        problems.push(Invalid::new("messageId", reason));
    }
    problems.extend(header_problems(message.get("headers")));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The recipients of a message, each address once: those of `recipients` with their names first,
/// then what `to`, `cc` and `bcc` add.
///
/// # Errors
///
/// Every recipient that mail cannot be sent to.
pub fn recipients(message: &Entity) -> Result<Vec<Recipient>, Vec<Invalid>> {
    let mut found = Found::default();
    let listed = message.get("recipients").as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, item) in listed.iter().enumerate() {
        let place = format!("recipients[{at}]");
        let kind = match item.get("kind") {
            None | Some(Json::Null) => Some("to"),
            Some(kind) => KINDS.into_iter().find(|known| kind == known),
        };
        let address = item.get("address").and_then(Json::as_str);
        match (kind, address) {
            (None, _) => found.refuse(format!("{place}.kind"), "takes to, cc or bcc"),
            (Some(_), None) => found.refuse(format!("{place}.address"), "is required"),
            (Some(kind), Some(address)) => {
                let name = item.get("name").and_then(Json::as_str).map(str::to_owned);
                if name.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
                    found.refuse(format!("{place}.name"), "has a control character");
                }
                found.add(format!("{place}.address"), kind, name, address);
            }
        }
    }
    for kind in KINDS {
        for (at, address) in message.texts(kind).enumerate() {
            found.add(format!("{kind}[{at}]"), kind, None, address);
        }
    }
    if found.problems.is_empty() { Ok(found.recipients) } else { Err(found.problems) }
}

#[derive(Default)]
struct Found {
    recipients: Vec<Recipient>,
    known: HashSet<String>,
    problems: Vec<Invalid>,
}

impl Found {
    fn add(&mut self, place: String, kind: &'static str, name: Option<String>, address: &str) {
        let address = address.trim();
        if let Some(problem) = address::problem(address) {
            self.refuse(place, problem);
        } else if self.known.insert(address::mailbox(address)) {
            self.recipients.push(Recipient { kind, name, address: address.to_owned() });
        }
    }

    fn refuse(&mut self, place: String, reason: &str) {
        self.problems.push(Invalid::new(place, reason));
    }
}

/// Checks header fields to add: a list of `[name, value]`, none of those that Postroom writes.
fn header_problems(headers: &Json) -> Vec<Invalid> {
    if headers.is_null() {
        return vec![];
    }
    let Some(list) = headers.as_array() else {
        return vec![Invalid::new("headers", "takes a list of [name, value]")];
    };
    let problem = |(at, field): (usize, &Json)| {
        let reason = match field.as_array().map(Vec::as_slice) {
            Some([Json::String(name), Json::String(value)]) => field_problem(name, value)?,
            _ => "takes [name, value]",
        };
        Some(Invalid::new(format!("headers[{at}]"), reason))
    };
    list.iter().enumerate().filter_map(problem).collect()
}

fn field_problem(name: &str, value: &str) -> Option<&'static str> {
    let well_formed = |byte: u8| (33..=126).contains(&byte) && byte != b':';
    if name.is_empty() || name.len() > 76 || !name.bytes().all(well_formed) {
        return Some("has a name that no header field can have (RFC 5322 §2.2)");
    }
    if value.chars().any(|char| char.is_control() && char != '\t') {
        return Some("has a value with a control character (a line break, for example)");
    }
    is_reserved(name).then_some("is a field that Postroom writes from other properties")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(values: Json) -> Entity {
        let mut all = json!({
            "messageDirection": "out", "account_id": "018f0000-0000-7000-8000-000000000000",
        });
        let members = all.as_object_mut().unwrap();
        members.extend(values.as_object().unwrap().clone());
        Entity::new(uuid::Uuid::nil(), members.clone())
    }

    #[test]
    fn each_problem_names_its_property() {
        #[rustfmt::skip]
        let table = [
            (json!({}), "to: names no recipient"),
            (json!({"to": ["a@b.test"], "messageDirection": "in"}), "messageDirection: must be"),
            (json!({"to": ["a@b.test"], "account_id": null}), "account_id: is required"),
            (json!({"to": ["a@b.test", "nobody"]}), "to[1]: has no '@'"),
            (json!({"cc": ["a@b.test\r\nBcc: x@y.test"]}), "cc[0]: has a control character"),
            (json!({"recipients": [{"kind": "too", "address": "a@b.test"}]}), "recipients[0].kind: takes"),
            (json!({"recipients": [{"kind": "to"}]}), "recipients[0].address: is required"),
            (json!({"recipients": [{"address": "a@b.test", "name": "A\r\nB"}]}), "recipients[0].name: has a control"),
            (json!({"to": ["a@b.test"], "from": "me"}), "from: has no '@'"),
            (json!({"to": ["a@b.test"], "replyTo": ["x"]}), "replyTo[0]: has no '@'"),
            (json!({"to": ["a@b.test"], "messageId": "a b@x"}), "messageId: is no message id"),
            (json!({"to": ["a@b.test"], "headers": [["X-A", "b\r\nc"]]}), "headers[0]: has a value with"),
            (json!({"to": ["a@b.test"], "headers": [["Subject", "x"]]}), "headers[0]: is a field that"),
            (json!({"to": ["a@b.test"], "headers": [["X A", "x"]]}), "headers[0]: has a name"),
            (json!({"to": ["a@b.test"], "headers": {"X": "x"}}), "headers: takes a list"),
        ];
        for (values, want) in table {
            let problems = check(&message(values.clone())).unwrap_err();
            let found = problems[0].to_string();
            assert!(found.starts_with(want), "{found} for {values}");
        }
    }

    #[test]
    fn each_address_is_sent_to_once() {
        let message = message(json!({
            "recipients": [{"kind": "cc", "name": "Ben", "address": "ben@b.test"}],
            "to": ["anna@b.test", "ben@B.test", "\"ben\"@b.test"],
            "bcc": ["anna@b.test", "eve@b.test"],
        }));
        let found = recipients(&message).unwrap();
        let found: Vec<_> = found.iter().map(|r| (r.kind, r.address.as_str())).collect();
        assert_eq!(found, [("cc", "ben@b.test"), ("to", "anna@b.test"), ("bcc", "eve@b.test")]);
        assert_eq!(check(&message), Ok(()));
    }
}
