//! Compares the values that two databases return for the same row.

use crate::database::Value;
use serde_json::Value as Json;

/// Whether two databases return the same value. A database that lacks a kind of values represents
/// it by another kind, and the two are compared by their meaning.
pub(crate) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Json(one) | Value::Text(one), Value::Json(other))
        | (Value::Json(one), Value::Text(other)) => {
            let read = |text: &str| serde_json::from_str::<Json>(text).ok();
            one == other || read(one).zip(read(other)).is_some_and(|(a, b)| is_equal_json(&a, &b))
        }
        (Value::Id(id), Value::Bytes(bytes)) | (Value::Bytes(bytes), Value::Id(id)) => {
            bytes.as_slice() == id.as_bytes()
        }
        (Value::Float(one), Value::Whole(other)) | (Value::Whole(other), Value::Float(one)) => {
            #[expect(clippy::cast_precision_loss, reason = "as a database compares the two")]
            let other = *other as f64;
            one.total_cmp(&other).is_eq()
        }
        (one, other) => {
            let whole = |value: &Value| match value {
                Value::Boolean(flag) => Some(i64::from(*flag)),
                Value::Whole(number) | Value::Moment(number) => Some(*number),
                Value::Null
                | Value::Float(_)
                | Value::Text(_)
                | Value::Json(_)
                | Value::Bytes(_)
                | Value::Id(_) => None,
            };
            one == other || whole(one).zip(whole(other)).is_some_and(|(one, other)| one == other)
        }
    }
}

/// The same for JSON: a database may write 1e2 as 100.
fn is_equal_json(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_equal_json(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            let mut all = one.iter();
            one.len() == other.len()
                && all.all(|(name, value)| {
                    other.get(name).is_some_and(|other| is_equal_json(value, other))
                })
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::EntityId;

    #[test]
    fn what_two_databases_give_of_one_value_is_equal() {
        let json = |text: &str| Value::Json(text.to_owned());
        let text = |text: &str| Value::Text(text.to_owned());
        let id = EntityId::from_u128(7);
        for (one, other, want) in [
            (Value::Whole(1), Value::Boolean(true), true),
            (Value::Whole(0), Value::Boolean(true), false),
            (Value::Whole(5), Value::Moment(5), true),
            (Value::Whole(2), Value::Float(2.0), true),
            (Value::Whole(2), Value::Float(2.5), false),
            (Value::Bytes(id.as_bytes().to_vec()), Value::Id(id), true),
            (Value::Bytes(vec![0; 16]), Value::Id(id), false),
            (text("{\"b\":1e2,\"a\":[null]}"), json("{\"a\": [null], \"b\": 100}"), true),
            (text("{\"a\":[null]}"), json("{\"a\": []}"), false),
            (text("{\"a\":1}"), json("{\"b\": 1}"), false),
            (text("1.0"), text("1"), false),
            (Value::Null, Value::Whole(0), false),
            (Value::Null, Value::Null, true),
        ] {
            assert_eq!(is_equal(&one, &other), want, "{one:?} {other:?}");
            assert_eq!(is_equal(&other, &one), want, "{other:?} {one:?}");
        }
    }
}
