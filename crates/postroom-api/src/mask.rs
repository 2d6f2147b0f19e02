//! The parameter `mask`: which fields of an entity are shown.

use postroom_model::Class;
use postroom_model::Invalid;
use serde_json::Map;
use serde_json::Value as Json;

/// How many fields a mask may name.
const FIELDS_MAX: usize = 256;
/// How deep a dotted field may go.
const DEPTH_MAX: usize = 16;

/// The fields that are shown, each as its path of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask(Vec<Vec<String>>);

impl Mask {
    /// Reads a list of fields, separated by commas. A dot leads into JSON: `id,recipients.address`.
    ///
    /// # Errors
    ///
    /// The field that the class does not have, or that is not shown.
    pub(crate) fn parse(class: &Class, text: &str) -> Result<Self, Invalid> {
        let mut fields = vec![];
        let names = text.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let path: Vec<String> = name.split('.').map(str::to_owned).collect();
            let first = path.first().map(String::as_str).unwrap_or_default();
            let shown = match class.property(first) {
                Some(property) => !property.is_file() && !property.write_only(),
                None => matches!(first, "id" | "version"),
            };
            if !shown {
                let reason = format!("{} shows no property `{first}`", class.classname);
                return Err(Invalid::new("mask", reason));
            }
            fields.push(path);
        }
        if fields.len() > FIELDS_MAX || fields.iter().any(|path| path.len() > DEPTH_MAX) {
            let reason = format!("names at most {FIELDS_MAX} fields, {DEPTH_MAX} names deep");
            return Err(Invalid::new("mask", reason));
        }
        Ok(Self(fields))
    }

    /// The properties of which at least a part is shown.
    #[must_use]
    pub(crate) fn properties(&self) -> Vec<String> {
        self.0.iter().filter_map(|path| path.first().cloned()).collect()
    }

    /// The shown part of an entity, in the order of the entity.
    #[must_use]
    pub(crate) fn apply(&self, entity: &Json) -> Json {
        let paths: Vec<&[String]> = self.0.iter().map(Vec::as_slice).collect();
        narrow(entity, &paths)
    }
}

fn narrow(value: &Json, paths: &[&[String]]) -> Json {
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    match value {
        Json::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let below: Vec<&[String]> = paths
                    .iter()
                    .filter_map(|path| path.split_first())
                    .filter(|(first, _)| *first == name)
                    .map(|(_, rest)| rest)
                    .collect();
                if !below.is_empty() {
                    kept.insert(name.clone(), narrow(value, &below));
                }
            }
            Json::Object(kept)
        }
        Json::Array(values) => values.iter().map(|value| narrow(value, paths)).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_shown() {
        let messages = builtin::classes().unwrap().remove(3);
        let entity = json!({
            "id": "x", "subject": "s", "to": ["a"], "version": 1,
            "recipients": [{"kind": "to", "address": "a"}, {"kind": "cc", "address": "b"}],
        });
        #[rustfmt::skip]
        let table = [
            ("subject,id",                 json!({"id": "x", "subject": "s"})),
            ("recipients.address",         json!({"recipients": [{"address": "a"}, {"address": "b"}]})),
            ("recipients.kind,recipients", json!({"recipients": entity["recipients"]})),
            ("headers.x,version",          json!({"version": 1})),
            ("subject.deeper",             json!({"subject": null})),
            ("",                           json!({})),
        ];
        for (mask, want) in table {
            let mask = Mask::parse(&messages, mask).unwrap();
            assert_eq!(mask.apply(&entity), want);
        }
    }

    #[test]
    fn what_is_never_shown_cannot_be_named() {
        let classes = builtin::classes().unwrap();
        for (class, mask) in [(1, "password"), (3, "rawMessage"), (3, "id,nope"), (3, ".")] {
            let invalid = Mask::parse(&classes[class], mask).unwrap_err();
            assert_eq!(invalid.property, "mask", "{mask}");
        }
    }
}
