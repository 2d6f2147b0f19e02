//! Literals of filters: each takes the type of what it is compared with.

use crate::filter::condition::Literal;
use crate::filter::name::NamedValue;
use crate::limits::FILTER_LITERAL_BYTES_MAX;
use crate::property::DataType;
use crate::property::Property;
use crate::timestamp::Timestamp;
use crate::validate;
use serde_json::Value as Json;

/// A literal that is compared with what a target leads to.
pub(super) fn literal(target: &NamedValue, json: &Json) -> Result<Literal, String> {
    let value = constant(json);
    if value.is_null() {
        return Ok(Literal::Null);
    }
    if let Some(text) = value.as_str() {
        check_text(text)?;
    }
    let unfit = || {
        let kinds = "is compared with a string, number or boolean";
        format!("`{}` {kinds}", target.name)
    };
    let Some(property) = &target.typed else {
        return inside(value).ok_or_else(unfit);
    };
    let canonical = by_type(property, &target.name, value)?;
    // The items of a list are JSON, whatever their type is.
    let is_item = property.multi;
    let literal = if is_item { inside(&canonical) } else { typed(property.data_type, &canonical) };
    literal.ok_or_else(unfit)
}

/// The canonical form of a literal. The limits of stored values do not apply to literals.
fn by_type(property: &Property, name: &str, value: &Json) -> Result<Json, String> {
    let mut loose = property.clone();
    loose.opts.clear();
    validate::scalar(&loose, value).map_err(|reason| format!("`{name}` {reason}"))
}

fn typed(data_type: DataType, value: &Json) -> Option<Literal> {
    match data_type {
        DataType::Boolean => value.as_bool().map(Literal::Boolean),
        DataType::Integer | DataType::Long | DataType::Increment => {
            value.as_i64().map(Literal::Whole)
        }
        DataType::Float => value.as_f64().map(Literal::Float),
        DataType::Datetime => {
            let moment = value.as_str().and_then(|text| Timestamp::parse(text).ok());
            moment.map(|moment| Literal::Moment(moment.as_ms()))
        }
        DataType::Uuid | DataType::Entity => {
            value.as_str().and_then(|text| text.parse().ok()).map(Literal::Id)
        }
        DataType::String | DataType::Enum | DataType::Date | DataType::Time => {
            value.as_str().map(|text| Literal::Text(text.to_owned()))
        }
        DataType::Any | DataType::Attachment => None,
    }
}

/// A literal that is compared with a value inside JSON. It keeps its own type.
pub(super) fn inside(value: &Json) -> Option<Literal> {
    match value {
        Json::Bool(value) => Some(Literal::Boolean(*value)),
        Json::Number(number) => {
            number.as_i64().map(Literal::Whole).or_else(|| number.as_f64().map(Literal::Float))
        }
        Json::String(text) => Some(Literal::Text(text.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A literal, or the literal inside `["const", literal]`.
pub(super) fn constant(json: &Json) -> &Json {
    match json.as_array().map(Vec::as_slice) {
        Some([word, value]) if word == "const" => value,
        _ => json,
    }
}

/// A text that is looked for.
pub(super) fn text_of(operator: &str, json: &Json) -> Result<String, String> {
    let text = constant(json).as_str().ok_or_else(|| format!("{operator}: takes a string"))?;
    check_text(text)?;
    Ok(text.to_owned())
}

/// Checks a text that values are compared with. It must not contain a NUL, because no value does,
/// and databases end a text there.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    if text.len() > FILTER_LITERAL_BYTES_MAX {
        return Err(format!("a literal has at most {FILTER_LITERAL_BYTES_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("a literal has a NUL character".to_owned());
    }
    Ok(())
}
