//! JSON of clients. It is limited before it is parsed, and parsed strictly.
//!
//! A small text can become a large tree, because each value needs a hundred bytes or more.
//! Therefore depth and number of values are counted in the text before parsing, which needs no
//! memory. A name that occurs twice in one object is refused, because one of the two values would
//! be lost.
//!
//! Standards: RFC 8259 (§4 names, §8.1 byte order mark).

use crate::exact;
use crate::problem::Problem;
use axum::http::StatusCode;
use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Number;
use serde_json::Value as Json;
use std::fmt;

/// How deep arrays and objects may nest.
pub(crate) const DEPTH_MAX: usize = 64;
/// How many values one text may hold, including the names of members.
pub(crate) const VALUES_MAX: usize = 500_000;
/// About how many bytes of memory a value takes.
pub(crate) const VALUE_BYTES: usize = 160;
/// How much of a name is quoted.
const QUOTED_CHARS: usize = 100;

/// A parsed JSON text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// Its value.
    pub json: Json,
    /// A hash of it that does not depend on the order of members.
    pub digest: blake3::Hash,
    /// Where it has a number that is not kept as it is written, at most some of them.
    pub rounded: Vec<String>,
}

/// Counts the values of a JSON text. `what` names its container in errors.
///
/// # Errors
///
/// 400 when it is empty or nested too deep, 413 when it has too many values.
pub(crate) fn count(what: &str, bytes: &[u8]) -> Result<usize, Problem> {
    let bytes = without_mark(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::malformed(format!("{what} is empty; it takes JSON")));
    }
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            let detail = format!("{what} is nested deeper than {DEPTH_MAX} levels");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-json", detail));
        }
        if values > VALUES_MAX {
            let detail = format!("{what} has more than {VALUES_MAX} values; send it in parts");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
        }
    }
    Ok(values)
}

/// Parses a JSON text that was counted.
///
/// # Errors
///
/// 400 with line and column when it is no JSON, or an object has a name twice.
pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Document, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(without_mark(bytes));
    let json = Strict.deserialize(&mut reader);
    let json = json.and_then(|json| reader.end().map(|()| json));
    let json = json.map_err(|error| match str::from_utf8(bytes) {
        Ok(_) => Problem::not_json(what, &error),
        Err(odd) => {
            let detail = format!("{what} is not UTF-8, from byte {} on", odd.valid_up_to());
            Problem::new(StatusCode::BAD_REQUEST, "invalid-json", detail)
        }
    })?;
    let mut hasher = blake3::Hasher::new();
    digest(&json, &mut hasher);
    Ok(Document { json, digest: hasher.finalize(), rounded: exact::rounded(bytes) })
}

/// The bytes without a byte order mark, which some programs write.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Hashes a value: each with its kind and length, members in the order of their names.
fn digest(json: &Json, hasher: &mut blake3::Hasher) {
    let mut text = |kind: &[u8], text: &str| {
        hasher.update(kind).update(&text.len().to_le_bytes()).update(text.as_bytes());
    };
    match json {
        Json::Null => text(b"n", ""),
        Json::Bool(value) => text(b"b", if *value { "1" } else { "0" }),
        Json::Number(number) => text(b"d", &number.to_string()),
        Json::String(value) => text(b"s", value),
        Json::Array(values) => {
            hasher.update(b"a").update(&values.len().to_le_bytes());
            for value in values {
                digest(value, hasher);
            }
        }
        Json::Object(members) => {
            hasher.update(b"o").update(&members.len().to_le_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                hasher.update(&name.len().to_le_bytes()).update(name.as_bytes());
                digest(value, hasher);
            }
        }
    }
}

/// Reads any JSON, and refuses a name that is given twice.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        let number = Number::from_f64(value);
        number.map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut list = vec![];
        while let Some(value) = values.next_element_seed(Self)? {
            list.push(value);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(QUOTED_CHARS).collect();
                return Err(A::Error::custom(format!("the name {name:?} occurs twice")));
            }
            object.insert(name, members.next_value_seed(Self)?);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Document, String> {
        let shown = |problem: Problem| problem.to_json()["detail"].as_str().unwrap().to_owned();
        count("it", text.as_bytes()).map_err(shown)?;
        parse("it", text.as_bytes()).map_err(shown)
    }

    #[test]
    fn json_is_read_as_it_is() {
        let text = r#"{"a": [null, true, -5, 18446744073709551615, 1.5, "x\u00e9"], "b": {}}"#;
        let want: Json = serde_json::from_str(text).unwrap();
        assert_eq!(read(text).unwrap().json, want);
        assert_eq!(read("\u{feff}{\"a\": 1}").unwrap().json, json!({"a": 1}));
        let deep = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
        assert!(read(&deep).is_ok());
    }

    #[test]
    fn what_is_odd_is_refused() {
        let many = format!("[{}1]", "1,".repeat(VALUES_MAX));
        #[rustfmt::skip]
        let table = [
            (r#"{"a": 1, "b": {"c": 1, "\u0063": 2}}"#.to_owned(), "it is not valid JSON: the name \"c\" occurs twice at line 1 column 3"),
            (" \n".to_owned(),                                     "it is empty"),
            ("\u{feff}".to_owned(),                                "it is empty"),
            ("{} x".to_owned(),                                    "trailing characters"),
            ("[1e400]".to_owned(),                                 "number out of range"),
            (r#""\ud800""#.to_owned(),                             "line 1 column"),
            ("[".repeat(DEPTH_MAX + 1),                            "deeper than 64 levels"),
            (r#"{"a":"#.repeat(DEPTH_MAX + 1),                     "deeper than 64 levels"),
            (many,                                                 "more than 500000 values"),
            (r#""[[[[,,,,\"""#.repeat(2),                          "line 1 column"),
        ];
        for (text, want) in table {
            let found = read(&text).unwrap_err();
            assert!(found.contains(want), "{found}, not {want}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_told() {
        for (bytes, at) in [(b"\xff\xfe{\0}\0".as_slice(), 0), (b"{\"a\":\"gr\xfcn\"}", 8)] {
            let problem = parse("it", bytes).unwrap_err().to_json();
            assert_eq!(problem["detail"], format!("it is not UTF-8, from byte {at} on"));
        }
    }

    #[test]
    fn the_digest_is_blind_to_the_order_of_members_alone() {
        let same = |a: &str, b: &str| read(a).unwrap().digest == read(b).unwrap().digest;
        assert!(same(
            r#"{"a":1,"b":{"c":[1,2],"d":null}}"#,
            r#"{ "b":{"d":null,"c":[1,2]}, "a":1 }"#
        ));
        #[rustfmt::skip]
        let table = [
            ("[1,2]", "[2,1]"), ("[[1],2]", "[[1,2]]"), ("\"1\"", "1"), ("null", "\"\""), ("[]", "{}"),
            (r#"{"a":"b"}"#, r#"{"b":"a"}"#), (r#"["ab",""]"#, r#"["a","b"]"#), ("true", "false"),
        ];
        for (a, b) in table {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
