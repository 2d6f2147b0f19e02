//! Checks what a client sends against the class: names, types, ranges. Each problem names its
//! property. Nothing is guessed, and no unknown property is silently dropped.

use crate::address;
use crate::class::Class;
use crate::client_id;
use crate::entity::Entity;
use crate::fingerprint;
use crate::id::EntityId;
use crate::invalid::Invalid;
use crate::limits::ANY_BYTES_MAX;
use crate::limits::MULTI_REFERENCES_MAX;
use crate::limits::MULTI_VALUES_MAX;
use crate::limits::PROBLEMS_MAX;
use crate::limits::STRING_BYTES_MAX;
use crate::news::EventName;
use crate::oauth;
use crate::options;
use crate::property::DataType;
use crate::property::Property;
use crate::proxy::ProfileProxy;
use crate::timestamp::NotATimestamp;
use crate::timestamp::Timestamp;
use crate::webhook;
use crate::zero;
use serde_json::Map;
use serde_json::Value as Json;
use std::sync::LazyLock;

/// What is wrong with a name that no event has.
static NO_EVENT: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<_> = EventName::all().map(|event| event.to_string()).collect();
    format!("is the name of no event: there is {}", names.join(", "))
});

/// What a client sends for a new entity, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedEntity {
    /// The id that the client chose. `None`: the store makes one.
    pub id: Option<EntityId>,
    /// The values in canonical form, with defaults. Unset properties are absent.
    pub properties: Map<String, Json>,
}

/// Checks the JSON of a new entity. File properties are not part of it.
///
/// # Errors
///
/// Every problem, in the order of the properties sent. Missing properties come last.
pub fn create(class: &Class, json: &Json) -> Result<CheckedEntity, Vec<Invalid>> {
    let sent = object(json)?;
    let mut problems = vec![];
    let mut properties = Map::new();
    let mut id = None;
    for (name, value) in sent {
        if problems.len() > PROBLEMS_MAX {
            return Err(problems);
        }
        match (name.as_str(), class.property(name)) {
            ("id", None) if value.is_null() => {}
            ("id", None) => match value.as_str().and_then(|text| text.parse::<EntityId>().ok()) {
                Some(given) if !given.is_nil() => id = Some(given),
                _ => problems.push(Invalid::new("id", "takes a UUID that is not all zeros")),
            },
            ("version" | "seq", None) => {
                problems.push(Invalid::new(name, "is set by Postroom alone"));
            }
            (_, None) => problems.push(unknown(class, name)),
            (_, Some(property)) if property.read_only() && !value.is_null() => {
                problems.push(Invalid::new(name, "is set by Postroom alone"));
            }
            (_, Some(property)) => {
                keep(property, value, &mut properties, &mut problems);
            }
        }
    }
    for property in class.columns() {
        if !properties.contains_key(&property.name) && !property.default.is_null() {
            properties.insert(property.name.clone(), property.default.clone());
        }
        let missing = property.required && !properties.contains_key(&property.name);
        if missing && !problems.iter().any(|problem| problem.property == property.name) {
            problems.push(Invalid::new(&property.name, "is required"));
        }
    }
    if problems.is_empty() { Ok(CheckedEntity { id, properties }) } else { Err(problems) }
}

/// Checks the JSON of a change to `current`. The result holds the changes. `null` sets the default
/// if there is one; otherwise it unsets the property.
///
/// A client may repeat the value of a property that it may not set, so that it can send an entity
/// back as it read it.
///
/// # Errors
///
/// Every problem found, in the order of the properties sent.
pub fn change(
    class: &Class,
    json: &Json,
    current: &Entity,
) -> Result<Map<String, Json>, Vec<Invalid>> {
    let mut problems = vec![];
    let mut changes = Map::new();
    for (name, value) in object(json)? {
        if problems.len() > PROBLEMS_MAX {
            return Err(problems);
        }
        let property = class.property(name);
        match (name.as_str(), property) {
            ("id", None)
                if value.as_str().and_then(|text| text.parse().ok()) == Some(current.id) => {}
            ("version", None) if value.as_i64() == Some(current.version) => {}
            // What was read may be sent again, though the processor reported something meanwhile.
            ("seq", None) if value.is_i64() => {}
            ("id" | "version" | "seq", None) => {
                problems.push(Invalid::new(name, "cannot be changed"));
            }
            _ if class.file_property(name).is_some() => {
                let reason = format!(
                    "is a file, and PATCH changes no files: PUT, POST or DELETE it at …/ID/{name}, \
                     and leave `{name}` out"
                );
                problems.push(Invalid::new(name, reason));
            }
            (_, None) => problems.push(unknown(class, name)),
            // The stored value may come from a mail server and need not be valid.
            (_, Some(property)) if same(property, value, current) => {}
            (_, Some(property)) if property.read_only() => {
                problems.push(Invalid::new(name, "is set by Postroom alone"));
            }
            (_, Some(property)) => {
                keep(property, value, &mut changes, &mut problems);
                if value.is_null() && property.required && property.default.is_null() {
                    problems.push(Invalid::new(name, "is required"));
                } else if value.is_null() {
                    changes.insert(name.clone(), property.default.clone());
                }
            }
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// Whether a value equals the one that answers show. An empty list equals an unset one. A secret is
/// never equal.
fn same(property: &Property, value: &Json, current: &Entity) -> bool {
    let present = current.get(&property.name);
    let empty_list = property.multi && value.as_array().is_some_and(Vec::is_empty);
    !property.write_only() && (value == present || (present.is_null() && empty_list))
}

/// Checks the value of a property and gives the canonical form: times in UTC with milliseconds, ids
/// in lower case.
///
/// # Errors
///
/// The property, or the item of its list, and what is accepted instead.
pub fn value(property: &Property, value: &Json) -> Result<Json, Invalid> {
    let name = &property.name;
    if !property.multi {
        return scalar(property, value).map_err(|reason| Invalid::new(name, reason));
    }
    let Some(list) = value.as_array() else {
        let reason = format!("takes a list; each value {}", takes(property));
        return Err(Invalid::new(name, reason));
    };
    let is_reference = property.data_type == DataType::Entity;
    let count_max = if is_reference { MULTI_REFERENCES_MAX } else { MULTI_VALUES_MAX };
    if list.len() > count_max {
        return Err(Invalid::new(name, format!("takes at most {count_max} values")));
    }
    let checked = list.iter().enumerate().map(|(at, value)| {
        scalar(property, value).map_err(|reason| Invalid::new(format!("{name}[{at}]"), reason))
    });
    checked.collect::<Result<Vec<_>, _>>().map(Json::Array)
}

/// Checks one value that is not a list.
///
/// # Errors
///
/// What the property accepts instead.
pub(crate) fn scalar(property: &Property, value: &Json) -> Result<Json, String> {
    let canonical = match property.data_type {
        DataType::String => return string(property, value),
        DataType::Any => return any(property, value),
        DataType::Attachment => {
            return Err(format!("is a file: PUT or POST it at …/ID/{}", property.name));
        }
        DataType::Boolean => value.as_bool().map(Json::from),
        DataType::Integer => whole(property, value, i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Long | DataType::Increment => whole(property, value, i64::MIN, i64::MAX),
        DataType::Float => value.as_f64().map(|number| zero::without_sign(number.into())),
        DataType::Datetime => {
            let moment =
                value.as_str().map(|text| Timestamp::parse(text).map_err(|e| e.to_string()));
            moment.transpose()?.map(|moment| Json::String(moment.to_string()))
        }
        DataType::Date => {
            let day = value.as_str().filter(|text| is_made_of(text, '-'));
            let day = day.and_then(|text| text.parse::<jiff::civil::Date>().ok());
            day.map(|day| Json::String(day.to_string()))
        }
        DataType::Time => {
            let time = value.as_str().filter(|text| is_made_of(text, ':') && !is_leap(text));
            let time = time.and_then(|text| text.parse::<jiff::civil::Time>().ok());
            time.map(|time| Json::String(time.to_string()))
        }
        DataType::Uuid | DataType::Entity => {
            let id = value.as_str().and_then(|text| text.parse::<EntityId>().ok());
            id.map(|id| Json::String(id.to_string()))
        }
        DataType::Enum => {
            let known = |word: &str| property.items.iter().any(|item| item == word);
            value.as_str().filter(|word| known(word)).map(Json::from)
        }
    };
    canonical.ok_or_else(|| takes(property))
}

/// Whether a text is of digits, this character, and a point. So nothing of it, as the offset of a
/// time, is left out in silence.
fn is_made_of(text: &str, separator: char) -> bool {
    text.chars().all(|one| one.is_ascii_digit() || one == separator || one == '.')
}

/// Whether a time of day is a leap second, which no other minute has.
fn is_leap(text: &str) -> bool {
    text.split(':').nth(2).is_some_and(|seconds| seconds.starts_with("60"))
}

fn object(json: &Json) -> Result<&Map<String, Json>, Vec<Invalid>> {
    json.as_object().ok_or_else(|| vec![Invalid::new("", "takes a JSON object of properties")])
}

fn unknown(class: &Class, name: &str) -> Invalid {
    let name = if name.is_empty() { "\"\"" } else { name };
    Invalid::new(name, format!("no such property in {}", class.classname))
}

fn keep(
    property: &Property,
    sent: &Json,
    properties: &mut Map<String, Json>,
    problems: &mut Vec<Invalid>,
) {
    if sent.is_null() {
        return;
    }
    if property.data_type == DataType::Any && property.opt_text("options").is_some() {
        problems.extend(options::problems(&property.name, sent));
    }
    match value(property, sent) {
        Ok(canonical) => {
            properties.insert(property.name.clone(), canonical);
        }
        Err(invalid) => problems.push(invalid),
    }
}

/// A list of names as the text with commas that the property has. `None`: it is none, or the
/// property takes none.
fn names_of(property: &Property, value: &Json) -> Option<String> {
    let list = value.as_array().filter(|_| property.opt_text("format") == Some("names"))?;
    let names: Option<Vec<_>> = list.iter().map(Json::as_str).collect();
    Some(names?.join(","))
}

fn string(property: &Property, value: &Json) -> Result<Json, String> {
    let names = names_of(property, value);
    let Some(text) = names.as_deref().or(value.as_str()) else {
        return Err(takes(property));
    };
    let bound = property.bound("max_length").and_then(|bound| usize::try_from(bound).ok());
    let bytes_max = bound.unwrap_or(STRING_BYTES_MAX);
    if text.len() > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    if text.contains('\0') {
        return Err("has a NUL character".to_owned());
    }
    if property.single_line() && text.chars().any(|char| char.is_control() && char != '\t') {
        return Err("has a control character (a line break, for example)".to_owned());
    }
    if let Some(problem) =
        property.opt_text("format").and_then(|format| format_problem(format, text))
    {
        return Err(problem.to_owned());
    }
    Ok(Json::String(text.to_owned()))
}

/// Why a text does not have the form that `format` names.
fn format_problem(format: &str, text: &str) -> Option<&'static str> {
    match format {
        "address" => address::problem(text),
        "host" if text.is_empty() => Some("is empty; use null for none"),
        "host" if text.parse::<std::net::IpAddr>().is_ok() => None,
        "host" => {
            let is_part = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_');
            let is_label = |label: &str| {
                !label.is_empty() && label.chars().all(is_part) && label.trim_matches('-') == label
            };
            let name = text.strip_suffix('.').unwrap_or(text);
            let problem = "takes the name of a host or its IP address, without scheme and port";
            (!name.split('.').all(is_label)).then_some(problem)
        }
        "proxy" => ProfileProxy::parse(Some(text)).err(),
        "fingerprints" => fingerprint::parse(text).err(),
        "webhook_url" => webhook::Url::parse(text).err(),
        "webhook_secret" => webhook::secret_problem(text),
        "oauth_url" => oauth::url_problem(text),
        "tenant" => oauth::tenant_problem(text),
        "private_key" => oauth::private_key_problem(text),
        "event" => EventName::from_text(text).is_none().then_some(NO_EVENT.as_str()),
        "filled" => text.trim().is_empty().then_some("is empty"),
        _ => None,
    }
}

fn any(property: &Property, value: &Json) -> Result<Json, String> {
    let bound = property.bound("max_bytes").and_then(|bound| usize::try_from(bound).ok());
    let bytes_max = bound.unwrap_or(ANY_BYTES_MAX);
    if value.to_string().len() > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes of JSON"));
    }
    if has_nul(value) {
        return Err("has a NUL character".to_owned());
    }
    if property.opt_text("format") == Some("client_id") {
        client_id::parse(value)?;
    }
    Ok(zero::without_sign(value.clone()))
}

fn has_nul(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => text.contains('\0'),
        Json::Array(values) => values.iter().any(has_nul),
        Json::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
    }
}

fn whole(property: &Property, value: &Json, minimum: i64, maximum: i64) -> Option<Json> {
    let low = property.bound("minimum").unwrap_or(minimum);
    let high = property.bound("maximum").unwrap_or(maximum);
    let number = value.as_i64().or_else(|| whole_of_float(value.as_f64()?));
    number.filter(|number| (low..=high).contains(number)).map(Json::from)
}

/// The whole number that a number such as `1.0` is, which some languages write. `None`: it is none,
/// or so great that others are written in the same way.
fn whole_of_float(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
    let whole = number as i64;
    (number.fract() == 0.0 && number.abs() < EXACT_MAX).then_some(whole)
}

/// What a property accepts, for people.
fn takes(property: &Property) -> String {
    let range = |minimum: i64, maximum: i64| {
        let low = property.bound("minimum").unwrap_or(minimum);
        let high = property.bound("maximum").unwrap_or(maximum);
        format!("takes a whole number from {low} to {high}")
    };
    match property.data_type {
        DataType::String if property.opt_text("format") == Some("names") => {
            "takes names with commas between them, or a list of names".to_owned()
        }
        DataType::String => "takes a string".to_owned(),
        DataType::Boolean => "takes true or false".to_owned(),
        DataType::Integer => range(i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Long | DataType::Increment => range(i64::MIN, i64::MAX),
        DataType::Float => "takes a number".to_owned(),
        DataType::Datetime => NotATimestamp::Form.to_string(),
        DataType::Date => "takes a day: 2026-11-23".to_owned(),
        DataType::Time => "takes a time of day: 10:00:00".to_owned(),
        DataType::Uuid => "takes a UUID".to_owned(),
        DataType::Entity => "takes the id (a UUID) of an entity".to_owned(),
        DataType::Enum => format!("takes one of {}", property.items.join(", ")),
        DataType::Any => "takes any JSON".to_owned(),
        DataType::Attachment => "is a file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use serde_json::json;

    fn refused(classname: &str, sent: &Json) -> Vec<String> {
        let classes = builtin::classes().unwrap();
        let class = classes.iter().find(|class| class.classname == classname).unwrap();
        let problems = create(class, sent).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_zero_that_is_sent_has_no_sign() {
        let sent: Json = serde_json::from_str(r#"[-0.0, {"a": -0.0}]"#).unwrap();
        let (zero, nested) = (&sent[0], &sent[1]);
        let of = |data_type, value: &Json| {
            let single = value_of(&Property::plain("p", data_type), value);
            let many = Property { multi: true, ..Property::plain("p", data_type) };
            (single, value_of(&many, &json!([value])))
        };
        assert_eq!(of(DataType::Float, zero), ("0.0".to_owned(), "[0.0]".to_owned()));
        assert_eq!(of(DataType::Long, zero), ("0".to_owned(), "[0]".to_owned()));
        assert_eq!(of(DataType::Any, nested).0, r#"{"a":0.0}"#);
    }

    fn value_of(property: &Property, sent: &Json) -> String {
        value(property, sent).unwrap().to_string()
    }

    #[test]
    fn each_problem_names_its_property() {
        #[rustfmt::skip]
        let table = [
            (builtin::PROFILES, json!({"name": "p", "imapHots": "x"}), "imapHots: no such property in email/Profiles"),
            (builtin::PROFILES, json!({"imapHost": "x"}),              "name: is required"),
            (builtin::PROFILES, json!({"name": 5}),                    "name: takes a string"),
            (builtin::PROFILES, json!({"name": "p", "imapPort": 70000}), "imapPort: takes a whole number from 1 to 65535"),
            (builtin::PROFILES, json!({"name": "p", "imapSecurity": "ssl"}), "imapSecurity: takes one of tls, starttls, none"),
            (builtin::PROFILES, json!({"name": "p\r\nx"}),             "name: has a control character (a line break, for example)"),
            (builtin::PROFILES, json!({"name": "p", "id": "7"}),       "id: takes a UUID that is not all zeros"),
            (builtin::PROFILES, json!({"name": " "}),                  "name: is empty"),
            (builtin::PROFILES, json!({"name": "p", "imapHost": "imaps://x:993"}), "imapHost: takes the name of a host or its IP address, without scheme and port"),
            (builtin::PROFILES, json!({"name": "p", "imapHost": "a..b"}), "imapHost: takes the name of a host or its IP address, without scheme and port"),
            (builtin::PROFILES, json!({"name": "p", "imapHost": "-a.b"}), "imapHost: takes the name of a host or its IP address, without scheme and port"),
            (builtin::PROFILES, json!({"name": "p", "": 5}),           "\"\": no such property in email/Profiles"),
            (builtin::PROFILES, json!({"name": "p", "id": "00000000-0000-0000-0000-000000000000"}), "id: takes a UUID that is not all zeros"),
            (builtin::ACCOUNTS, json!({"address": "a@b.test", "profile_id": "018f0000-0000-7000-8000-000000000000", "password": ""}), "password: is empty"),
            (builtin::FOLDERS,  json!({"account_id": "018f0000-0000-7000-8000-000000000000", "name": ""}), "name: is empty"),
            (builtin::PROFILES, json!({"name": "p", "smtpHost": ""}),  "smtpHost: is empty; use null for none"),
            (builtin::ACCOUNTS, json!({"address": "anna", "profile_id": "018f0000-0000-7000-8000-000000000000"}), "address: has no '@': an address is local-part@domain"),
            (builtin::ACCOUNTS, json!({"address": "a@b.test", "profile_id": "x"}), "profile_id: takes the id (a UUID) of an entity"),
            (builtin::FOLDERS,  json!({"account_id": "018f0000-0000-7000-8000-000000000000", "uidNext": 5}), "uidNext: is set by Postroom alone"),
            (builtin::MESSAGES, json!({"messageDirection": "out", "to": "a@b.test"}), "to: takes a list; each value takes a string"),
            (builtin::MESSAGES, json!({"messageDirection": "out", "to": ["a", 5]}), "to[1]: takes a string"),
            (builtin::MESSAGES, json!({"messageDirection": "out", "html": "<p>"}), "html: is a file: PUT or POST it at …/ID/html"),
            (builtin::MESSAGES, json!({"messageDirection": "out", "dateTime": "now"}), "dateTime: takes a time as in RFC 3339, with an offset: 2026-11-23T10:00:00.000Z"),
            (builtin::MESSAGES, json!({"messageDirection": "out", "dateTime": "-000001-01-01T00:00:00Z"}), "dateTime: takes a time from 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z"),
            (builtin::MESSAGES, json!([]), "takes a JSON object of properties"),
        ];
        for (class, sent, want) in table {
            assert_eq!(refused(class, &sent), [want], "{sent}");
        }
        let options = json!({"name": "p", "options": {"after_read_timeout": 30000}});
        assert!(refused(builtin::PROFILES, &options)[0].starts_with("options.after_read_timeout"));
    }

    #[test]
    fn a_mask_is_a_text_or_a_list_of_names() {
        let classes = crate::builtin::classes().unwrap();
        let class = classes.iter().find(|class| class.classname == "email/Webhooks").unwrap();
        let kept = |mask: Json| {
            let sent = json!({"url": "https://a.test", "mask": mask});
            let checked = create(class, &sent).map_err(|problems| problems[0].to_string())?;
            Ok::<_, String>(checked.properties["mask"].clone())
        };
        assert_eq!(kept(json!("id,to")), Ok(json!("id,to")));
        assert_eq!(kept(json!(["id", "to"])), Ok(json!("id,to")));
        let takes = "mask: takes names with commas between them, or a list of names";
        for odd in [json!(["id", 5]), json!({"id": 1}), json!(7)] {
            assert_eq!(kept(odd), Err(takes.to_owned()));
        }
    }

    #[test]
    fn nothing_of_a_day_or_a_time_of_day_is_left_out_in_silence() {
        let mut property = builtin::classes().unwrap()[0].property("name").unwrap().clone();
        let mut takes = |data_type, text: &str| {
            property.data_type = data_type;
            scalar(&property, &json!(text)).is_ok()
        };
        for good in ["12:00:00", "23:59:59.999", "03:04"] {
            assert!(takes(DataType::Time, good), "{good}");
        }
        for bad in ["12:00:00+01:00", "12:00:00Z", "23:59:60", "2026-01-02T12:00:00", "25:00:00"] {
            assert!(!takes(DataType::Time, bad), "{bad}");
        }
        assert!(takes(DataType::Date, "2026-01-02"));
        for bad in ["2026-01-02T03:04:05", "2026-01-02[UTC]", "2026-02-30", "2026-1-2"] {
            assert!(!takes(DataType::Date, bad), "{bad}");
        }
    }

    #[test]
    fn a_new_entity_gets_its_defaults() {
        let classes = builtin::classes().unwrap();
        let draft = create(&classes[0], &json!({"name": "p", "imapHost": null})).unwrap();
        for host in
            ["a.b.test", "a.b.test.", "localhost", "::1", "10.0.0.1", "my_host", "bücher.test"]
        {
            let profile = json!({"name": "p", "imapHost": host});
            assert!(create(&classes[0], &profile).is_ok(), "{host}");
        }
        assert_eq!(draft.properties["imapSecurity"], "tls");
        assert!(!draft.properties.contains_key("imapHost"));
        assert_eq!(draft.id, None);
    }

    #[test]
    fn an_entity_that_was_read_can_be_sent_back() {
        let classes = builtin::classes().unwrap();
        let values = json!({"account_id": "018f0000-0000-7000-8000-000000000000", "uidNext": 5});
        let folder = Entity::new(EntityId::nil(), values.as_object().unwrap().clone());
        let mut shown = folder.to_json(&classes[2]);
        shown["enabled"] = json!(true);
        let changes = change(&classes[2], &shown, &folder).unwrap();
        assert_eq!(changes, *json!({"enabled": true}).as_object().unwrap());
        shown["uidNext"] = json!(6);
        let problems = change(&classes[2], &shown, &folder).unwrap_err();
        assert_eq!(problems[0].to_string(), "uidNext: is set by Postroom alone");
        let problems = change(&classes[2], &json!({"account_id": null}), &folder).unwrap_err();
        assert_eq!(problems[0].to_string(), "account_id: is required");
        let mut folder = folder;
        folder
            .properties
            .extend(json!({"name": "INBOX", "enabled": true}).as_object().unwrap().clone());
        let changes =
            change(&classes[2], &json!({"enabled": null, "name": null}), &folder).unwrap();
        assert_eq!((&changes["enabled"], &changes["name"]), (&json!(false), &Json::Null));
    }

    #[test]
    fn what_mail_brought_can_be_sent_back_however_odd() {
        let messages = builtin::classes().unwrap().remove(3);
        let odd =
            json!({"messageDirection": "in", "text": "a\u{0}b", "headers": [["a\u{0}", "b"]]});
        let message = Entity::new(EntityId::nil(), odd.as_object().unwrap().clone());
        assert_eq!(change(&messages, &message.to_json(&messages), &message), Ok(Map::new()));
        for name in ["text", "headers"] {
            let sent = json!({name: ["b\u{0}"]});
            assert!(change(&messages, &sent, &message).is_err(), "{name}");
        }
    }

    #[test]
    fn values_take_their_canonical_form() {
        let classes = builtin::classes().unwrap();
        let moment = classes[3].property("dateTime").unwrap();
        let given = json!("2026-11-23T12:00:00+02:00");
        assert_eq!(value(moment, &given).unwrap(), json!("2026-11-23T10:00:00.000Z"));
    }
}
