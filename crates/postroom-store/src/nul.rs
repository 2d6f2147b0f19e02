//! Replaces U+0000 in texts, because PostgreSQL cannot store it, and every database must be able to
//! store what another one stores.
//!
//! A client that sends U+0000 is refused. In texts of servers and messages, U+FFFD replaces it.

use memchr::memchr;
use memchr::memmem;

/// What replaces U+0000.
const REPLACEMENT: &str = "\u{FFFD}";

/// A text with U+FFFD for each U+0000.
#[must_use]
pub(crate) fn without_nul(text: String) -> String {
    match memchr(0, text.as_bytes()) {
        Some(_) => text.replace('\0', REPLACEMENT),
        None => text,
    }
}

/// JSON with U+FFFD for each U+0000 in its texts.
#[must_use]
pub(crate) fn json_without_nul(json: String) -> String {
    const ESCAPED: &str = "\\u0000";
    if memmem::find(json.as_bytes(), ESCAPED.as_bytes()).is_none() {
        return json;
    }
    let (mut clean, mut rest) = (String::with_capacity(json.len()), json.as_str());
    while let Some((before, behind)) = rest.split_once('\\') {
        clean.push_str(before);
        // What follows a backslash belongs to it, so that an escaped one begins no other escape.
        let length = behind.chars().next().map_or(0, char::len_utf8);
        let (escaped, after) = behind.split_at_checked(length).unwrap_or((behind, ""));
        rest = match behind.strip_prefix("u0000") {
            Some(after) => {
                clean.push_str(REPLACEMENT);
                after
            }
            None => {
                clean.push('\\');
                clean.push_str(escaped);
                after
            }
        };
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    #[test]
    fn nul_is_replaced_and_what_only_looks_like_it_is_not() {
        assert_eq!(without_nul("a\0b\0".to_owned()), "a\u{FFFD}b\u{FFFD}");
        for (text, want) in [
            ("a\0", "a\u{FFFD}"),
            ("\\u0000", "\\u0000"),
            ("\\\0", "\\\u{FFFD}"),
            ("\"\0\"", "\"\u{FFFD}\""),
            ("\u{1}0000", "\u{1}0000"),
        ] {
            let clean = json_without_nul(json!([text, {text: 1}]).to_string());
            assert_eq!(serde_json::from_str::<Value>(&clean).unwrap(), json!([want, {want: 1}]));
        }
    }

    proptest! {
        #[test]
        fn json_stays_what_it_is_but_for_nul(text in "[\\\\u0\\x00\"a]{0,12}") {
            let clean = json_without_nul(Value::from(text.as_str()).to_string());
            let read: Value = serde_json::from_str(&clean).unwrap();
            let want = without_nul(text);
            prop_assert_eq!(read.as_str(), Some(want.as_str()));
        }
    }
}
