//! Files in the JSON of a new entity: `{"html": "<p>…", "attachments": [{"name", "contentType",
//! "contentId", "content": base64}]}`.

use crate::attributes;
use base64::DecodeError;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use postroom_model::Class;
use postroom_model::Invalid;
use postroom_model::PROBLEMS_MAX;
use postroom_model::Property;
use serde_json::Map;
use serde_json::Value as Json;

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file that the JSON of an entity encloses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enclosed {
    /// The property that it belongs to.
    pub property: String,
    /// Its place in the JSON, for error texts.
    pub place: String,
    /// Its name. `None`: a single file without a name.
    pub name: Option<String>,
    /// Its media type, if given.
    pub media_type: Option<String>,
    /// Its content id, without angle brackets.
    pub content_id: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Takes the files out of the JSON of a new entity. The values stay in it.
///
/// # Errors
///
/// Every problem found, with its place: `attachments[2].content`.
pub(crate) fn take(class: &Class, json: &mut Json) -> Result<Vec<Enclosed>, Vec<Invalid>> {
    let Some(members) = json.as_object_mut() else {
        return Ok(vec![]);
    };
    let mut reader = EnclosedReader::default();
    let names: Vec<String> = members.keys().cloned().collect();
    for name in names {
        let Some(property) = class.file_property(&name) else {
            continue;
        };
        match members.shift_remove(&name) {
            None | Some(Json::Null) => {}
            Some(Json::Array(list)) if property.multi => {
                for (at, file) in list.iter().enumerate() {
                    reader.file(property, format!("{name}[{at}]"), file);
                }
            }
            Some(_) if property.multi => {
                reader.refuse(name, "takes a list of {name, contentType, contentId, content}");
            }
            Some(Json::String(text)) => reader.text(property, name, text),
            Some(file) => reader.file(property, name, &file),
        }
    }
    if reader.problems.is_empty() { Ok(reader.files) } else { Err(reader.problems) }
}

#[derive(Default)]
struct EnclosedReader {
    files: Vec<Enclosed>,
    problems: Vec<Invalid>,
}

impl EnclosedReader {
    fn refuse(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        if self.problems.len() <= PROBLEMS_MAX {
            self.problems.push(Invalid::new(place, reason));
        }
    }

    /// A single file given as its text: `"html": "<p>…"`.
    fn text(&mut self, property: &Property, place: String, text: String) {
        self.files.push(Enclosed {
            property: property.name.clone(),
            place,
            name: None,
            media_type: None,
            content_id: None,
            bytes: text.into_bytes(),
        });
    }

    fn file(&mut self, property: &Property, place: String, json: &Json) {
        let Some(members) = json.as_object() else {
            return self.refuse(place, "takes {name, contentType, contentId, content}");
        };
        for name in members.keys() {
            if !matches!(name.as_str(), "name" | "contentType" | "contentId" | "content") {
                let reason = "no such field; there are name, contentType, contentId and content";
                self.refuse(format!("{place}.{name}"), reason);
            }
        }
        let name = self.string(members, &place, "name");
        if name.is_none() && property.multi && members.get("name").is_none_or(Json::is_null) {
            self.refuse(format!("{place}.name"), "is required");
        }
        if let Some(problem) = name.as_deref().and_then(attributes::name_problem) {
            self.refuse(format!("{place}.name"), problem);
        }
        let media_type = self.string(members, &place, "contentType");
        if let Some(problem) = media_type.as_deref().and_then(attributes::media_type_problem) {
            self.refuse(format!("{place}.contentType"), problem);
        }
        let content_id = self.string(members, &place, "contentId");
        let content_id = content_id.map(|text| attributes::content_id(&text)).transpose();
        let content_id = content_id.unwrap_or_else(|problem| {
            self.refuse(format!("{place}.contentId"), problem);
            None
        });
        let bytes = self.content(members, &place);
        let property = property.name.clone();
        self.files.push(Enclosed { property, place, name, media_type, content_id, bytes });
    }

    fn string(&mut self, members: &Map<String, Json>, place: &str, name: &str) -> Option<String> {
        match members.get(name) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                self.refuse(format!("{place}.{name}"), "takes a string");
                None
            }
        }
    }

    fn content(&mut self, members: &Map<String, Json>, place: &str) -> Vec<u8> {
        let Some(text) = members.get("content").and_then(Json::as_str) else {
            self.refuse(format!("{place}.content"), "takes the bytes of the file in base64");
            return vec![];
        };
        let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            BASE64.decode(dense)
        } else {
            BASE64.decode(text)
        };
        decoded.unwrap_or_else(|error| {
            self.refuse(format!("{place}.content"), not_base64(error));
            vec![]
        })
    }
}

/// Why a text is not base64.
fn not_base64(error: DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(at, byte) => {
            let character = byte.escape_ascii();
            format!("is not base64: it has `{character}` at character {at}")
        }
        DecodeError::InvalidLength(_) => "is not base64: it is cut off".to_owned(),
        DecodeError::InvalidLastSymbol { .. } | DecodeError::InvalidPadding => {
            "is not base64: its end is cut off or damaged".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;
    use serde_json::json;

    fn taken(mut json: Json) -> (Json, Result<Vec<Enclosed>, Vec<String>>) {
        let messages = builtin::classes().unwrap().remove(3);
        let files = take(&messages, &mut json);
        let texts = |list: Vec<Invalid>| list.iter().map(ToString::to_string).collect();
        (json, files.map_err(texts))
    }

    #[test]
    fn files_are_taken_out_of_the_json() {
        let (left, files) = taken(json!({
            "subject": "s", "html": "<p>ü", "inlines": null,
            "attachments": [{"name": "a.txt", "content": "aGk="}],
            "file": [{"name": "b.txt", "contentType": "text/plain", "contentId": "<c@d>", "content": "a\nGk"}],
        }));
        assert_eq!(left, json!({"subject": "s"}));
        let files = files.unwrap();
        let shown: Vec<_> = files
            .iter()
            .map(|f| (f.property.as_str(), f.name.as_deref(), f.bytes.as_slice()))
            .collect();
        assert_eq!(
            shown,
            [
                ("html", None, "<p>ü".as_bytes()),
                ("file", Some("a.txt"), b"hi"),
                ("file", Some("b.txt"), b"hi"),
            ]
        );
        assert_eq!(files[2].content_id.as_deref(), Some("c@d"));
    }

    #[test]
    fn each_problem_names_its_place() {
        #[rustfmt::skip]
        let table = [
            (json!({"attachments": {}}),                                     "attachments: takes a list"),
            (json!({"attachments": ["x"]}),                                  "attachments[0]: takes {name"),
            (json!({"inlines": [{"content": ""}]}),                          "inlines[0].name: is required"),
            (json!({"inlines": [{"name": 5, "content": ""}]}),               "inlines[0].name: takes a string"),
            (json!({"inlines": [{"name": "a/b", "content": ""}]}),           "inlines[0].name: has a slash"),
            (json!({"inlines": [{"name": "a\r\nb", "content": ""}]}),        "inlines[0].name: has a control"),
            (json!({"file": [{"name": "a"}]}),                               "file[0].content: takes the bytes"),
            (json!({"file": [{"name": "a", "content": "%"}]}),               "file[0].content: is not base64"),
            (json!({"file": [{"name": "a", "content": "", "x": 1}]}),        "file[0].x: no such field"),
            (json!({"file": [{"name": "a", "content": "", "contentType": "x"}]}), "file[0].contentType: is not a media type"),
            (json!({"file": [{"name": "a", "content": "", "contentId": "a b"}]}), "file[0].contentId: is not a content id"),
            (json!({"html": 5}),                                             "html: takes {name"),
            (json!({"html": {"content": 5}}),                                "html.content: takes the bytes"),
        ];
        for (json, want) in table {
            let problems = taken(json.clone()).1.unwrap_err();
            assert!(problems[0].starts_with(want), "{problems:?} for {json}");
        }
    }
}
