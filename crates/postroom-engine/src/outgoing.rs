//! What a message needs before it can be sent, and the properties that it is composed of.

use postroom_mime::Defects;
use postroom_mime::compose;
use postroom_mime::compose::is_reserved;
use postroom_mime::compose::message_id;
use postroom_mime::compose::wire_address;
use postroom_mime::encoded_word;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::MessageDirection;
use postroom_model::RecipientState;
use postroom_model::Timestamp;
use postroom_model::address;
use postroom_model::builtin::COMPOSED;
use postroom_model::builtin::names;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;

/// The beginning of 1900, in milliseconds since 1970.
const DATE_MS_MIN: i64 = -2_208_988_800_000;
/// How many encoded words of one name are decoded.
const WORDS_MAX: usize = 100;
/// How many recipients a message may have.
pub const RECIPIENTS_MAX: usize = 10_000;

/// The kinds of recipients, each the name of a property with addresses.
const KINDS: [&str; 3] = ["to", "cc", "bcc"];

/// The members of an entry of `recipients`. The last two are the result of sending.
const ROW: [&str; 5] = ["kind", "name", "address", "state", "reply"];

/// The properties that place a message in a thread.
pub const THREAD: [&str; 2] = ["inReplyTo", "references"];
/// The reason for refusing a text that is not a message id.
const NO_MESSAGE_ID: &str = "is not a message id (RFC 5322 §3.6.4): give one id without blanks, \
                             such as id@host, or several with angle brackets around each";
/// What separates words. No id that Postroom shows of a received message has it.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// One recipient of an outgoing message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// `to`, `cc` or `bcc`.
    pub kind: &'static str,
    /// The display name. `None` for a bare address.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

impl Recipient {
    /// Its entry in the property `recipients`.
    #[must_use]
    pub fn row(&self, state: RecipientState, reply: Option<&str>) -> Json {
        json!({
            "kind": self.kind, "name": self.name, "address": self.address, "state": state,
            "reply": reply,
        })
    }
}

/// The message with only the properties that it is composed of. So code that reads a property
/// outside [`COMPOSED`] finds nothing, and no change of such a property can be missed.
#[must_use]
pub(crate) fn composed_of(message: &Entity) -> Entity {
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
    if !MessageDirection::Out.is_of(message) {
        problems.push(Invalid::new("messageDirection", "must be `out` for a message to be sent"));
    }
    if message.reference(names::ACCOUNT_ID).is_none() {
        let reason = "is required for a message to be sent (or a folder_id of the account)";
        problems.push(Invalid::new("account_id", reason));
    }
    match recipients(message) {
        Ok(recipients) if recipients.is_empty() => {
            problems.push(Invalid::new(
                "to",
                "names no recipient, and neither do cc, bcc or \
                                        recipients",
            ));
        }
        Ok(recipients) if recipients.len() > RECIPIENTS_MAX => {
            problems.push(Invalid::new("to", format!("has more than {RECIPIENTS_MAX} recipients")));
        }
        Ok(_) => {}
        Err(invalid) => problems.extend(invalid),
    }
    if let Some(from) = message.text(names::FROM).filter(|from| !from.is_empty()) {
        let with_name = "takes an address only; the name goes into `fromDisplayName`";
        let with_name = named(from).map(|_| with_name);
        let problem = with_name.or_else(|| address::problem(from));
        problems.extend(problem.map(|problem| Invalid::new("from", problem)));
    }
    for (at, reply_to) in message.texts(names::REPLY_TO).enumerate() {
        let with_name = named(reply_to).map(|_| "takes an address only, without a name");
        let problem = with_name.or_else(|| address::problem(reply_to));
        problems.extend(problem.map(|p| Invalid::new(format!("replyTo[{at}]"), p)));
    }
    let message_id_given = message.text(names::MESSAGE_ID).filter(|id| !id.is_empty());
    let is_id = |id: &str| message_id(id).is_some_and(|plain| plain.contains('@'));
    if message_id_given.is_some_and(|id| !is_id(id)) {
        let reason = "is not a message id (RFC 5322 §3.6.4): use ASCII such as id@host, without \
                      blanks";
        problems.push(Invalid::new("messageId", reason));
    }
    let date = message.text(names::DATE_TIME).and_then(|text| Timestamp::parse(text).ok());
    if date.is_some_and(|date| date.as_ms() < DATE_MS_MIN) {
        let reason = "is before 1900, which no message can have as its date (RFC 5322 §3.3)";
        problems.push(Invalid::new("dateTime", reason));
    }
    for name in THREAD {
        for (at, text) in message.texts(name).enumerate() {
            let is_wrong = message_ids(text).is_none();
            problems.extend(is_wrong.then(|| Invalid::new(format!("{name}[{at}]"), NO_MESSAGE_ID)));
        }
    }
    problems.extend(header_problems(message.get(names::HEADERS)));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The message ids in a text, without angle brackets: one, or several separated by blanks or
/// commas. Words outside brackets are ignored (RFC 5322 §4.5.4: `Your mail <id@host>`). `None`:
/// there is no id, or something else.
///
/// One word is an id whatever its characters are, because a received message may have such an id.
/// If no header field can carry it, composing leaves it out.
#[must_use]
pub fn message_ids(text: &str) -> Option<Vec<String>> {
    let text = text.trim_matches(BLANKS);
    if text.is_empty() || text.contains('<') || text.contains(BLANKS) {
        return several_ids(text).or_else(|| {
            let is_word = !text.is_empty() && !text.starts_with('<') && !text.contains(BLANKS);
            is_word.then(|| vec![text.to_owned()])
        });
    }
    let parts: Vec<_> = text.split(',').filter(|part| !part.is_empty()).collect();
    // A comma may be part of an id.
    let are_ids = !parts.is_empty() && parts.iter().all(|part| part.contains('@'));
    let ids = if are_ids { parts } else { vec![text] };
    Some(ids.into_iter().map(str::to_owned).collect())
}

/// The message ids in a text of several words, or with angle brackets.
fn several_ids(text: &str) -> Option<Vec<String>> {
    let mut found = vec![];
    let has_brackets = text.contains('<');
    let mut rest = text;
    while !rest.is_empty() {
        let (id, behind) = match rest.strip_prefix('<') {
            Some(inner) => {
                let (id, behind) = inner.split_once('>')?;
                (Some(id), behind)
            }
            None => {
                let end = rest.find([' ', '\t', ',', '<']).unwrap_or(rest.len());
                let (word, behind) = rest.split_at_checked(end)?;
                let is_id = word.contains('@') || !has_brackets;
                (Some(word).filter(|_| is_id), behind)
            }
        };
        if let Some(id) = id {
            let is_bare = !rest.starts_with('<');
            let is_word = !id.is_empty() && !id.contains(BLANKS) && !id.contains(['<', '>']);
            let is_id = is_word && (!is_bare || id.contains('@'));
            found.push(Some(id).filter(|_| is_id)?.to_owned());
        }
        rest = behind.trim_start_matches([' ', '\t', ',']);
    }
    (!found.is_empty()).then_some(found)
}

/// Makes a unique Message-ID with the domain of the author (RFC 5322 §3.6.4).
#[must_use]
pub fn new_message_id(from: &str, id: EntityId) -> String {
    let wire = wire_address(from).map_or_else(|_| from.to_owned(), |wire| wire.address);
    let domain = wire.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    format!("{id}@{domain}")
}

/// The `messageType` of a message with these bodies.
#[must_use]
pub fn message_type(has_text: bool, has_html: bool) -> &'static str {
    match (has_text, has_html) {
        (true, true) => "alternative",
        (true, false) => "text",
        (false, true) => "html",
        (false, false) => "undefined",
    }
}

/// The text of a name in which encoded words may stand (RFC 2047).
#[must_use]
pub fn decoded_words(text: &str) -> String {
    if encoded_word::begins(text).is_none() {
        return text.to_owned();
    }
    let mut words_left = WORDS_MAX;
    encoded_word::decode(text, &mut words_left, &mut Defects::default())
}

/// The recipients of a message, each address once: first those of `recipients` with their names,
/// then the others of `to`, `cc` and `bcc`.
///
/// # Errors
///
/// Every recipient that mail cannot be sent to.
pub fn recipients(message: &Entity) -> Result<Vec<Recipient>, Vec<Invalid>> {
    let found = found(message);
    if found.problems.is_empty() { Ok(found.recipients) } else { Err(found.problems) }
}

/// The entries of the recipients of a message that was not tried. Recipients that mail cannot be
/// sent to are left out.
#[must_use]
pub(crate) fn waiting_rows(message: &Entity) -> Vec<Json> {
    found(message)
        .recipients
        .iter()
        .map(|recipient| recipient.row(RecipientState::Waiting, None))
        .collect()
}

fn found(message: &Entity) -> EnvelopeRecipients {
    let mut found = EnvelopeRecipients::default();
    let listed = message.get(names::RECIPIENTS);
    if !listed.is_null() && !listed.is_array() {
        found.refuse("recipients".to_owned(), "takes a list of {kind, name, address}");
    }
    let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, item) in listed.iter().enumerate() {
        let place = format!("recipients[{at}]");
        let Some(members) = item.as_object() else {
            found.refuse(place, "takes {kind, name, address}");
            continue;
        };
        for name in members.keys().filter(|name| !ROW.contains(&name.as_str())) {
            let reason = "no such member; there are kind, name and address";
            found.refuse(format!("{place}.{name}"), reason);
        }
        if !matches!(item.get("name"), None | Some(Json::Null | Json::String(_))) {
            found.refuse(format!("{place}.name"), "takes a string");
        }
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
                if name.as_ref().is_some_and(|name| name.contains(is_control)) {
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
    found
}

#[derive(Default)]
struct EnvelopeRecipients {
    recipients: Vec<Recipient>,
    known: HashSet<String>,
    problems: Vec<Invalid>,
}

impl EnvelopeRecipients {
    fn add(&mut self, place: String, kind: &'static str, name: Option<String>, address: &str) {
        let address = address.trim();
        if let Some(problem) = address_problem(address) {
            self.refuse(place, &problem);
        } else if self.known.insert(address::mailbox(address)) {
            self.recipients.push(Recipient { kind, name, address: address.to_owned() });
        }
    }

    fn refuse(&mut self, place: String, reason: &str) {
        self.problems.push(Invalid::new(place, reason));
    }
}

/// Why mail cannot be sent to an address, and how to write it.
fn address_problem(text: &str) -> Option<String> {
    let problem = address::problem(text)?;
    let mut parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
    let is_address = |part: &str| address::problem(part).is_none() || named(part).is_some();
    if parts.next().is_some_and(|first| first != text && is_address(first)) && parts.all(is_address)
    {
        let reason = "takes one address; further addresses are further items of the list";
        return Some(reason.to_owned());
    }
    let Some((name, address)) = named(text) else {
        return Some(problem.to_owned());
    };
    if name.is_empty() {
        return Some(format!("takes an address without angle brackets: {address}"));
    }
    let row = json!({"name": name, "address": address});
    Some(format!("takes an address only; an address with a name goes into `recipients` as {row}"))
}

/// The name and the address of a text such as `Anna <a@b>` or `<a@b>`.
fn named(text: &str) -> Option<(&str, &str)> {
    let (name, address) = text.trim_end().strip_suffix('>')?.rsplit_once('<')?;
    let (name, address) = (name.trim().trim_matches('"'), address.trim());
    address::problem(address).is_none().then_some((name, address))
}

/// Checks additional header fields: a list of `[name, value]` without the fields that Postroom
/// writes itself.
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
            _ => "takes [name, value]".to_owned(),
        };
        Some(Invalid::new(format!("headers[{at}]"), reason))
    };
    list.iter().enumerate().filter_map(problem).collect()
}

/// Whether a character cannot stand in a line of text.
fn is_control(char: char) -> bool {
    char.is_control() && char != '\t'
}

fn field_problem(name: &str, value: &str) -> Option<String> {
    let well_formed = |byte: u8| (33..=126).contains(&byte) && byte != b':';
    if name.is_empty() || name.len() > 76 || !name.bytes().all(well_formed) {
        return Some("has a name that no header field can have (RFC 5322 §2.2)".to_owned());
    }
    if value.contains(is_control) {
        return Some("has a value with a control character (a line break, for example)".to_owned());
    }
    if is_reserved(name) {
        return Some("is a field that Postroom writes from other properties".to_owned());
    }
    compose::field_problem(name, value)
        .map(|problem| format!("has a value for {name} that {problem}"))
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
        Entity::new(postroom_model::EntityId::nil(), members.clone())
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
            (json!({"to": ["a@b.test"], "messageId": "a b@x"}), "messageId: is not a message id"),
            (json!({"to": ["a@b.test"], "messageId": "x"}), "messageId: is not a message id"),
            (json!({"to": ["a@b.test"], "messageId": "<x>"}), "messageId: is not a message id"),
            (json!({"to": ["a@b.test"], "dateTime": "1899-12-31T23:59:59.999Z"}), "dateTime: is before 1900"),
            (json!({"to": ["Anna <a@b.test>"]}), "to[0]: takes an address only; an address with a name goes into `recipients` as {\"name\":\"Anna\",\"address\":\"a@b.test\"}"),
            (json!({"to": ["<a@b.test>"]}), "to[0]: takes an address without angle brackets: a@b.test"),
            (json!({"to": ["a@b.test, c@d.test"]}), "to[0]: takes one address; further addresses are further items"),
            (json!({"to": ["a@b.test; C <c@d.test>"]}), "to[0]: takes one address; further addresses are further items"),
            (json!({"to": ["a,b@c.test"]}), "to[0]: has a character before the '@'"),
            (json!({"to": ["a@b.test"], "recipients": "x"}), "recipients: takes a list of {kind, name, address}"),
            (json!({"to": ["a@b.test"], "recipients": ["x"]}), "recipients[0]: takes {kind, name, address}"),
            (json!({"recipients": [{"address": "a@b.test", "nmae": "A"}]}), "recipients[0].nmae: no such member"),
            (json!({"recipients": [{"address": "a@b.test", "name": 5}]}), "recipients[0].name: takes a string"),
            (json!({"to": ["\u{200b}a@b.test"]}), "to[0]: has an invisible character"),
            (json!({"to": ["a@b.test"], "from": "Me <m@b.test>"}), "from: takes an address only; the name goes into `fromDisplayName`"),
            (json!({"to": ["a@b.test"], "inReplyTo": ["Your mail"]}), "inReplyTo[0]: is not a message id"),
            (json!({"to": ["a@b.test"], "references": ["a@b", "no sense"]}), "references[1]: is not a message id"),
            (json!({"to": ["a@b.test"], "headers": [["List-Unsubscribe", "click here"]]}), "headers[0]: has a value for List-Unsubscribe that has `clickhere`, which is not a URL"),
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
    fn message_ids_are_read_from_what_clients_have() {
        #[rustfmt::skip]
        let table: &[(&str, Option<&[&str]>)] = &[
            ("a@b.test",                     Some(&["a@b.test"])),
            ("<a@b.test>",                   Some(&["a@b.test"])),
            (" <a@b.test> <c@d.test>\t",     Some(&["a@b.test", "c@d.test"])),
            ("<a@b.test><c@d.test>",         Some(&["a@b.test", "c@d.test"])),
            ("a@b.test, c@d.test",           Some(&["a@b.test", "c@d.test"])),
            ("<20260101.no-host>",           Some(&["20260101.no-host"])),
            ("20260101.no-host",             Some(&["20260101.no-host"])),
            // As received messages have them.
            ("a,b@x.test",                   Some(&["a,b@x.test"])),
            ("a@b.test,c@d.test",            Some(&["a@b.test", "c@d.test"])),
            ("<a,b@x.test>",                 Some(&["a,b@x.test"])),
            ("a\u{1}b@x.test",               Some(&["a\u{1}b@x.test"])),
            ("a>b@x.test",                   Some(&["a>b@x.test"])),
            ("a><>b",                        Some(&["a><>b"])),
            (",",                            Some(&[","])),
            ("日本@x.test <c@d.test>",       Some(&["日本@x.test", "c@d.test"])),
            ("Your mail of today <c@d.test>", Some(&["c@d.test"])),
            ("Your mail of today",           None),
            ("Your mail <>",                 None),
            ("<a@b.test",                    None),
            ("<a b@c.test>",                 None),
            ("<>",                           None),
            ("日本@x.test",                  Some(&["日本@x.test"])),
            ("<日本@x.test>",                Some(&["日本@x.test"])),
            ("",                             None),
        ];
        for (text, want) in table {
            let want = want.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(message_ids(text), want, "{text:?}");
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
