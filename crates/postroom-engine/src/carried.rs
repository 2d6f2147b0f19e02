//! What a client sends of a message, as header fields can carry it.
//!
//! A received message may show values that no header field can carry: control characters out of
//! encoded words, and odd message ids. An answer copies them. What cannot be written is left out of
//! what the client sends, whichever way it comes in. A line break becomes a blank, so that no value
//! begins a header line. NUL stays, and is refused.

use crate::outgoing::BLANKS;
use crate::outgoing::THREAD;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use std::borrow::Cow;

/// The properties of one line of text.
const LINES: [&str; 2] = [names::SUBJECT, names::FROM_DISPLAY_NAME];

/// What a client sends, without what no header field can carry. Other classes stay as they are.
#[must_use]
pub fn by_fields<'a>(class: &Class, sent: &'a Json) -> Cow<'a, Json> {
    let Some(members) = sent.as_object().filter(|_| class.classname == MESSAGES) else {
        return Cow::Borrowed(sent);
    };
    let named = LINES.iter().chain(&THREAD).chain(&[names::RECIPIENTS, names::HEADERS]);
    let carried = named.filter_map(|name| {
        let value = members.get(*name)?;
        let carried = match *name {
            names::RECIPIENTS => items(value, recipient),
            names::HEADERS => items(value, field),
            name if THREAD.contains(&name) => ids(class, name, value),
            _ => line(value),
        };
        Some(((*name).to_owned(), carried?))
    });
    let carried: Map<String, Json> = carried.collect();
    if carried.is_empty() {
        return Cow::Borrowed(sent);
    }
    let mut members = members.clone();
    members.extend(carried);
    Cow::Owned(Json::Object(members))
}

/// The same of a change. What is as it is stays out of it, so that a client can send back what it
/// was shown.
#[must_use]
pub(crate) fn change<'a>(class: &Class, current: &Entity, sent: &'a Json) -> Cow<'a, Json> {
    let mut carried = by_fields(class, sent);
    if let Cow::Owned(Json::Object(members)) = &mut carried {
        let is_shown = |name: &str| sent.get(name) == Some(current.get(name));
        members.retain(|name, _| !is_shown(name));
    }
    carried
}

/// A text in one line, without control characters other than tabs. `None`: it stays as it is.
fn line(value: &Json) -> Option<Json> {
    let text = value.as_str()?;
    let is_odd = |char: char| char.is_control() && char != '\t';
    if !text.contains(is_odd) || text.contains('\0') {
        return None;
    }
    let lines = text.split(['\r', '\n']).map(|line| line.replace(is_odd, ""));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    Some(Json::String(lines.join(" ")))
}

/// A list whose items are changed. `None`: none is.
fn items(value: &Json, change: impl Fn(&Json) -> Option<Json>) -> Option<Json> {
    let list = value.as_array()?;
    let changed: Vec<_> = list.iter().map(&change).collect();
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let each = list.iter().zip(changed).map(|(item, changed)| changed.unwrap_or(item.clone()));
    Some(each.collect())
}

/// An entry of `recipients`, of which the name is such a text.
fn recipient(row: &Json) -> Option<Json> {
    let name = line(row.get("name")?)?;
    let mut row = row.clone();
    row.as_object_mut()?.insert("name".to_owned(), name);
    Some(row)
}

/// An entry of `headers`, of which the value is such a text.
fn field(field: &Json) -> Option<Json> {
    let [name, value] = field.as_array()?.as_slice() else { return None };
    Some(Json::Array(vec![name.clone(), line(value)?]))
}

/// A list without the message ids that are longer than their property allows or have a control
/// character. A text of several words stays, and is refused if it is no list of ids.
fn ids(class: &Class, name: &str, value: &Json) -> Option<Json> {
    let list = value.as_array()?;
    let bound = class.property(name)?.bound("max_length")?.try_into().ok();
    let is_long = |id: &str| bound.is_some_and(|max: usize| id.len() > max);
    let is_odd = |id: &str| is_long(id) || id.contains(char::is_control);
    let is_carried = |id: &&Json| id.as_str().is_none_or(|id| id.contains(BLANKS) || !is_odd(id));
    let carried: Vec<_> = list.iter().filter(is_carried).cloned().collect();
    (carried.len() < list.len()).then_some(Json::Array(carried))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin::ACCOUNTS;
    use serde_json::json;

    fn check(sent: Json, want: Option<Json>) {
        let classes = postroom_model::builtin::classes().unwrap();
        let of = |name: &str| classes.iter().find(|class| class.classname == name).unwrap();
        let got = by_fields(of(MESSAGES), &sent);
        assert_eq!(matches!(got, Cow::Owned(_)), want.is_some(), "{sent}");
        assert_eq!(*got, want.unwrap_or(sent.clone()));
        assert_eq!(*by_fields(of(ACCOUNTS), &sent), sent);
    }

    #[test]
    fn lines_lose_control_characters_and_keep_nul_to_be_refused() {
        let table = [
            ("a\u{7}b", Some("ab")),
            ("a\r\nBcc: x@y.test", Some("a Bcc: x@y.test")),
            ("\r\na\r\n\u{1}\n", Some("a")),
            ("a\u{9b}\tb\u{7f}", Some("a\tb")),
            ("\u{1b}", Some("")),
            ("a\tb", None),
            ("a\u{7}\0b", None),
            ("gr\u{fc}n \u{2028}", None),
            ("", None),
        ];
        for (text, want) in table {
            for name in LINES {
                check(
                    json!({name: text, "text": text}),
                    want.map(|want| json!({name: want, "text": text})),
                );
            }
            let row = |name: &str| json!({"recipients": [{"name": "b"}, 5, {"name": name, "address": text}]});
            let row_of = |name: &str| {
                let mut row = row(name);
                row["recipients"][2]["address"] = json!(text);
                row
            };
            check(row(text), want.map(row_of));
            let field =
                |value: &str| json!({"headers": [["X-A", value], ["X-B"], {}, ["X-C", "c"]]});
            check(field(text), want.map(field));
        }
        for other in [json!({"subject": 5, "headers": "x\n", "recipients": null}), json!([1])] {
            check(other, None);
        }
    }

    #[test]
    fn ids_that_no_field_can_carry_are_left_out_and_line_breaks_stay_to_be_refused() {
        let sent =
            json!({"inReplyTo": ["a\u{1}b@c"], "references": ["a@b", "\u{9b}", "x\r\nY: z"]});
        let want = json!({"inReplyTo": [], "references": ["a@b", "x\r\nY: z"]});
        check(sent, Some(want));
        let long = ["x".repeat(998), "x".repeat(999)];
        check(json!({"references": long}), Some(json!({"references": [long[0]]})));
        check(json!({"references": ["a@b", 5, "\u{e4}"]}), None);
    }
}
