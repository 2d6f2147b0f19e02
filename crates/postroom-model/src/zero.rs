//! Zero has no sign. `-0.0` is a number of its own in the columns of one database and in the JSON
//! of the other, so it is taken for `0.0` before it is stored.

use serde_json::Value as Json;

/// A value in which no zero has a sign.
#[must_use]
pub(crate) fn without_sign(json: Json) -> Json {
    match json {
        Json::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => Json::from(0.0),
        Json::Array(values) => values.into_iter().map(without_sign).collect(),
        Json::Object(members) => {
            members.into_iter().map(|(name, value)| (name, without_sign(value))).collect()
        }
        other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zero_has_a_sign_and_nothing_else_changes() {
        for (sent, want) in [
            ("-0.0", "0.0"),
            ("-0", "0.0"),
            ("-0e7", "0.0"),
            ("0", "0"),
            ("0.0", "0.0"),
            ("-0.5", "-0.5"),
            (r#"{"a":[-0.0,1,{"b":-0.0}],"c":"-0.0"}"#, r#"{"a":[0.0,1,{"b":0.0}],"c":"-0.0"}"#),
        ] {
            let json: Json = serde_json::from_str(sent).unwrap();
            assert_eq!(without_sign(json).to_string(), want, "{sent}");
        }
    }
}
