//! Reads a filter from its JSON.

use crate::class::Class;
use crate::filter::condition::Comparison;
use crate::filter::condition::Filter;
use crate::filter::condition::Literal;
use crate::filter::condition::Operand;
use crate::id::EntityId;
use crate::invalid::Invalid;
use crate::limits::FILTER_DEPTH_MAX;
use crate::limits::FILTER_IN_VALUES_MAX;
use crate::limits::FILTER_LITERAL_BYTES_MAX;
use crate::limits::FILTER_NODES_MAX;
use crate::property::DataType;
use crate::property::Property;
use crate::timestamp::Timestamp;
use crate::validate;
use serde_json::Value as Json;

/// Reads a filter for entities of `class`.
///
/// # Errors
///
/// Which operator or operand is wrong, and what is accepted.
pub fn parse(class: &Class, json: &Json) -> Result<Filter, Invalid> {
    let mut reader = FilterReader { class, nodes: 0 };
    reader.filter(json, 0).map_err(|reason| Invalid::new("filter", reason))
}

/// The filter of a plain parameter `name=text`. The text is read as the property's type.
///
/// For a list property, it matches if the list contains the value. The text `null` matches unset
/// properties.
///
/// # Errors
///
/// The class has no such property, or the text is not a value of it.
pub fn equality(class: &Class, name: &str, text: &str) -> Result<Filter, Invalid> {
    let reader = FilterReader { class, nodes: 0 };
    let operand = reader.property(name).map_err(|_| {
        let reason = format!("no such parameter, and no such property in {}", class.classname);
        Invalid::new(name, reason)
    })?;
    if text == "null" {
        return Ok(Filter::IsNull(operand));
    }
    if operand.data_type == DataType::Any {
        return inside_equality(operand, text).map_err(|reason| Invalid::new(name, reason));
    }
    let json = match operand.data_type {
        DataType::Boolean | DataType::Integer | DataType::Long | DataType::Increment => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::from(text))
        }
        DataType::Float => text.parse::<f64>().map_or_else(|_| Json::from(text), Json::from),
        DataType::String
        | DataType::Datetime
        | DataType::Date
        | DataType::Time
        | DataType::Uuid
        | DataType::Entity
        | DataType::Enum
        | DataType::Any
        | DataType::Attachment => Json::from(text),
    };
    let literal = reader.literal(&operand, &json).map_err(|reason| Invalid::new(name, reason))?;
    if operand.multi {
        return Ok(Filter::Contains(operand, literal));
    }
    Ok(Filter::Compare(operand, Comparison::Equal, literal))
}

/// The filter of a plain parameter on a value inside JSON. It matches the text itself, and the
/// number or boolean that the text spells.
fn inside_equality(operand: Operand, text: &str) -> Result<Filter, String> {
    if operand.path.is_empty() {
        return Err(holds_json(&operand));
    }
    check_text(text)?;
    let said = serde_json::from_str(text).ok().as_ref().and_then(inside);
    let both = std::iter::once(Literal::Text(text.to_owned())).chain(said);
    Ok(Filter::In(operand, both.collect()))
}

fn holds_json(operand: &Operand) -> String {
    format!("`{0}` holds JSON: name a value inside, {0}.name", operand.property)
}

struct FilterReader<'a> {
    class: &'a Class,
    nodes: usize,
}

impl FilterReader<'_> {
    fn filter(&mut self, json: &Json, depth: usize) -> Result<Filter, String> {
        self.nodes += 1;
        if depth > FILTER_DEPTH_MAX || self.nodes > FILTER_NODES_MAX {
            return Err(format!(
                "is too large: at most {FILTER_DEPTH_MAX} levels and {FILTER_NODES_MAX} conditions"
            ));
        }
        let Some((operator, operands)) = json.as_array().and_then(|list| list.split_first()) else {
            return Err("takes a list that begins with an operator: [\"==\", …]".to_owned());
        };
        let Some(operator) = operator.as_str() else {
            return Err("takes a list that begins with an operator: [\"==\", …]".to_owned());
        };
        match operator {
            "and" => self.all(operands, depth).map(Filter::And),
            "or" => self.all(operands, depth).map(Filter::Or),
            "not" => {
                let [one] = exactly(operator, operands)?;
                Ok(Filter::Not(Box::new(self.filter(one, depth + 1)?)))
            }
            _ => self.condition(operator, operands),
        }
    }

    fn all(&mut self, operands: &[Json], depth: usize) -> Result<Vec<Filter>, String> {
        operands.iter().map(|operand| self.filter(operand, depth + 1)).collect()
    }

    fn condition(&mut self, operator: &str, operands: &[Json]) -> Result<Filter, String> {
        match operator {
            "==" | "!=" | "<" | "<=" | ">" | ">=" => self.compare(operator, operands),
            "in" => {
                let [left, list] = exactly(operator, operands)?;
                self.one_of(left, list)
            }
            "between" => {
                let [left, low, high] = exactly(operator, operands)?;
                let left = self.scalar_operand(left)?;
                let (low, high) = (self.literal(&left, low)?, self.literal(&left, high)?);
                if [&low, &high].contains(&&Literal::Null) {
                    return Err("between: null cannot be compared by size".to_owned());
                }
                Ok(Filter::Between(left, low, high))
            }
            "like" | "startswith" => {
                let [left, text] = exactly(operator, operands)?;
                let left = self.text_operand(operator, left)?;
                let text = text_of(operator, text)?;
                let like = operator == "like";
                Ok(if like { Filter::Like(left, text) } else { Filter::StartsWith(left, text) })
            }
            "contains" => {
                let [left, value] = exactly(operator, operands)?;
                let left = self.operand(left)?;
                if !left.multi && !is_text(&left) {
                    return Err(format!(
                        "contains: `{}` is neither a list nor text",
                        left.property
                    ));
                }
                let value = self.literal(&left, value)?;
                if value == Literal::Null {
                    return Err("contains: takes a value; use isnull to find unset \
                                properties"
                        .to_owned());
                }
                Ok(Filter::Contains(left, value))
            }
            "isnull" => {
                let [left] = exactly(operator, operands)?;
                Ok(Filter::IsNull(self.operand(left)?))
            }
            _ => Err(format!(
                "has no operator `{operator}`; there are == != < <= > >= in between like contains \
                 startswith isnull and or not"
            )),
        }
    }

    fn compare(&mut self, operator: &str, operands: &[Json]) -> Result<Filter, String> {
        let [left, right] = exactly(operator, operands)?;
        let (left, right, turned) = if is_property(left) || !is_property(right) {
            (left, right, false)
        } else {
            (right, left, true)
        };
        let operand = self.scalar_operand(left)?;
        let literal = self.literal(&operand, right)?;
        let comparison = match (operator, turned) {
            ("==", _) => Comparison::Equal,
            ("!=", _) => Comparison::NotEqual,
            ("<", false) | (">", true) => Comparison::Less,
            ("<=", false) | (">=", true) => Comparison::LessOrEqual,
            (">", false) | ("<", true) => Comparison::Greater,
            _ => Comparison::GreaterOrEqual,
        };
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if ordered && matches!(literal, Literal::Null | Literal::Boolean(_)) {
            return Err(format!("{operator}: this value cannot be compared by size"));
        }
        Ok(Filter::Compare(operand, comparison, literal))
    }

    fn one_of(&mut self, left: &Json, list: &Json) -> Result<Filter, String> {
        let left = self.scalar_operand(left)?;
        let list = constant(list).as_array();
        let Some(list) = list.filter(|list| list.len() <= FILTER_IN_VALUES_MAX) else {
            return Err(format!("in: takes a list of at most {FILTER_IN_VALUES_MAX} values"));
        };
        let values: Result<_, _> = list.iter().map(|value| self.literal(&left, value)).collect();
        Ok(Filter::In(left, values?))
    }

    fn scalar_operand(&self, json: &Json) -> Result<Operand, String> {
        let operand = self.operand(json)?;
        if operand.multi {
            return Err(format!("`{}` is a list: use contains or isnull", operand.property));
        }
        if operand.data_type == DataType::Any && operand.path.is_empty() {
            return Err(holds_json(&operand));
        }
        Ok(operand)
    }

    fn text_operand(&self, operator: &str, json: &Json) -> Result<Operand, String> {
        let operand = self.scalar_operand(json)?;
        if is_text(&operand) {
            return Ok(operand);
        }
        Err(format!("{operator}: `{}` is no text", operand.property))
    }

    fn operand(&self, json: &Json) -> Result<Operand, String> {
        let name = match json.as_array().map(Vec::as_slice) {
            Some([word, name]) if word == "property" => name.as_str(),
            _ => None,
        };
        name.map_or_else(
            || Err("takes a property first: [\"property\", \"name\"]".to_owned()),
            |name| self.property(name),
        )
    }

    fn property(&self, dotted: &str) -> Result<Operand, String> {
        let own = |data_type| Operand {
            property: dotted.to_owned(),
            path: vec![],
            data_type,
            multi: false,
        };
        match dotted {
            "id" => return Ok(own(DataType::Uuid)),
            "version" => return Ok(own(DataType::Long)),
            _ => {}
        }
        if dotted.contains('\0') {
            return Err("the name of a property has a NUL character".to_owned());
        }
        let mut path = dotted.split('.');
        let name = path.next().unwrap_or_default();
        let path: Vec<String> = path.map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(format!("`{dotted}` has an empty name after a dot"));
        }
        let Some(property) = self.class.property(name) else {
            return Err(format!("{} has no property `{name}`", self.class.classname));
        };
        if property.is_file() || property.write_only() {
            return Err(format!("`{name}` cannot be filtered by"));
        }
        if !path.is_empty() && property.data_type != DataType::Any {
            return Err(format!("`{name}` holds no JSON, so `{dotted}` names nothing"));
        }
        let Property { data_type, multi, .. } = *property;
        Ok(Operand { property: name.to_owned(), path, data_type, multi })
    }

    fn literal(&self, operand: &Operand, json: &Json) -> Result<Literal, String> {
        let value = constant(json);
        if value.is_null() {
            return Ok(Literal::Null);
        }
        if let Some(text) = value.as_str() {
            check_text(text)?;
        }
        if operand.data_type == DataType::Any {
            return inside(value).ok_or_else(|| {
                format!("`{}` is compared with a string, number or boolean", operand.property)
            });
        }
        let canonical = match (operand.property.as_str(), self.class.property(&operand.property)) {
            (_, Some(property)) => by_type(property, value)?,
            ("version", None) if value.as_i64().is_none() => {
                return Err("`version` takes a whole number".to_owned());
            }
            ("version", None) => value.clone(),
            (_, None) => match value.as_str().and_then(|text| text.parse::<EntityId>().ok()) {
                Some(id) => return Ok(Literal::Id(id)),
                None => return Err("`id` takes a UUID".to_owned()),
            },
        };
        typed(operand.data_type, &canonical)
            .ok_or_else(|| format!("`{}` is not compared with this value", operand.property))
    }
}

/// The canonical form of a literal. The limits of stored values do not apply to literals.
fn by_type(property: &Property, value: &Json) -> Result<Json, String> {
    let mut loose = property.clone();
    loose.opts.clear();
    validate::scalar(&loose, value).map_err(|reason| format!("`{}` {reason}", property.name))
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
fn inside(value: &Json) -> Option<Literal> {
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
fn constant(json: &Json) -> &Json {
    match json.as_array().map(Vec::as_slice) {
        Some([word, value]) if word == "const" => value,
        _ => json,
    }
}

fn is_property(json: &Json) -> bool {
    matches!(json.as_array().map(Vec::as_slice), Some([word, _]) if word == "property")
}

fn is_text(operand: &Operand) -> bool {
    matches!(operand.data_type, DataType::String | DataType::Enum | DataType::Any)
}

fn text_of(operator: &str, json: &Json) -> Result<String, String> {
    let text = constant(json).as_str().ok_or_else(|| format!("{operator}: takes a string"))?;
    check_text(text)?;
    Ok(text.to_owned())
}

/// Checks a text that values are compared with. It must not contain a NUL, because no value does,
/// and databases end a text there.
fn check_text(text: &str) -> Result<(), String> {
    if text.len() > FILTER_LITERAL_BYTES_MAX {
        return Err(format!("a literal has at most {FILTER_LITERAL_BYTES_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("a literal has a NUL character".to_owned());
    }
    Ok(())
}

fn exactly<'a, const N: usize>(
    operator: &str,
    operands: &'a [Json],
) -> Result<[&'a Json; N], String> {
    let all: Vec<&Json> = operands.iter().collect();
    all.try_into()
        .map_err(|_| format!("{operator}: takes {N} operand{}", if N == 1 { "" } else { "s" }))
}
