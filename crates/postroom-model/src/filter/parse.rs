//! Reads a filter from its JSON.

use crate::filter::condition::Comparison;
use crate::filter::condition::Filter;
use crate::filter::condition::Literal;
use crate::filter::literal::check_text;
use crate::filter::literal::constant;
use crate::filter::literal::inside;
use crate::filter::literal::literal;
use crate::filter::literal::text_of;
use crate::filter::name;
use crate::filter::name::NamedValue;
use crate::filter::name::Names;
use crate::filter::name::Scope;
use crate::invalid::Invalid;
use crate::limits::FILTER_DEPTH_MAX;
use crate::limits::FILTER_IN_VALUES_MAX;
use crate::limits::FILTER_MATCHES_MAX;
use crate::limits::FILTER_NODES_MAX;
use crate::limits::FILTER_VALUES_MAX;
use crate::match_query::MatchQuery;
use crate::property::DataType;
use serde_json::Value as Json;

/// Reads a filter for the entities of a class.
///
/// # Errors
///
/// The place in the filter, which operator or operand is wrong there, and what is accepted.
pub fn parse<'a>(names: impl Into<Names<'a>>, json: &Json) -> Result<Filter, Invalid> {
    let mut reader = FilterReader::new(names.into());
    let read = reader.filter(json);
    read.map_err(|reason| Invalid::new(reader.place(), reason))
}

/// The filter of a plain parameter `name=text`. The text is read as the property's type.
///
/// For a list property, it matches if the list contains the value. The text `null` matches unset
/// properties.
///
/// # Errors
///
/// The class has no such property, or the text is not a value of it.
pub fn equality<'a>(
    names: impl Into<Names<'a>>,
    name: &str,
    text: &str,
) -> Result<Filter, Invalid> {
    let names = names.into();
    let class = names.class();
    let target = name::named(&names.scope(), name).map_err(|reason| {
        let is_own = name.split('.').next().is_some_and(|name| class.property(name).is_some());
        let unknown = || format!("no such parameter, and no such property in {}", class.classname);
        Invalid::new(name, if is_own { reason } else { unknown() })
    })?;
    if text == "null" {
        return Ok(target.unset());
    }
    read_equality(target, text).map_err(|reason| Invalid::new(name, reason))
}

fn read_equality(target: NamedValue, text: &str) -> Result<Filter, String> {
    let json = match target.operand.data_type {
        // It is the text itself, and the number or boolean that the text spells.
        DataType::Any if target.is_json() => return Err(holds_json(&target)),
        DataType::Any => {
            check_text(text)?;
            let said = serde_json::from_str(text).ok().as_ref().and_then(inside);
            let both = std::iter::once(Literal::Text(text.to_owned())).chain(said).collect();
            return Ok(target.leads_to(|operand| Filter::In(operand, both)));
        }
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
        | DataType::Attachment => Json::from(text),
    };
    let literal = literal(&target, &json)?;
    Ok(target.leads_to(|operand| match operand.multi {
        true => Filter::Contains(operand, literal),
        false => Filter::Compare(operand, Comparison::Equal, literal),
    }))
}

fn holds_json(target: &NamedValue) -> String {
    format!("`{0}` holds JSON: name a value inside, {0}.name", target.name)
}

struct FilterReader<'a> {
    scope: Scope<'a>,
    /// Where it reads: the positions in the lists, from the outermost on.
    place: Vec<usize>,
    nodes: usize,
    values: usize,
    matches: usize,
}

impl<'a> FilterReader<'a> {
    fn new(names: Names<'a>) -> Self {
        Self { scope: names.scope(), place: vec![], nodes: 0, values: 0, matches: 0 }
    }

    /// The place in the filter as an error names it: `filter[1][2]`.
    fn place(&self) -> String {
        let steps = self.place.iter().map(|at| format!("[{at}]"));
        std::iter::once("filter".to_owned()).chain(steps).collect()
    }

    /// Reads what stands at a position of the list. If that fails, the place stays.
    fn at<T>(
        &mut self,
        position: usize,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        self.place.push(position);
        let value = read(self)?;
        self.place.pop();
        Ok(value)
    }

    /// Counts a condition. The steps that lead to what it is about count too.
    fn count(&mut self) -> Result<(), String> {
        self.nodes += 1;
        // Operands stand one level below their operator.
        if self.place.len() > FILTER_DEPTH_MAX || self.nodes > FILTER_NODES_MAX {
            return Err(format!(
                "is too large: at most {FILTER_DEPTH_MAX} levels, and {FILTER_NODES_MAX} \
                 conditions and names behind dots"
            ));
        }
        Ok(())
    }

    fn filter(&mut self, json: &Json) -> Result<Filter, String> {
        self.count()?;
        let list = json.as_array().and_then(|list| list.split_first());
        let Some((Json::String(operator), operands)) = list else {
            return Err("takes a list that begins with an operator: [\"==\", …]".to_owned());
        };
        match operator.as_str() {
            "and" => self.each(operands).map(Filter::And),
            "or" => self.each(operands).map(Filter::Or),
            "not" => {
                let [one] = exactly(operator, operands)?;
                Ok(Filter::Not(Box::new(self.at(1, |reader| reader.filter(one))?)))
            }
            "any" => self.some(operator, operands),
            // All are as it says when none is not.
            "all" => {
                let some = self.some(operator, operands)?;
                Ok(Filter::Not(Box::new(some)))
            }
            _ => self.condition(operator, operands),
        }
    }

    fn each(&mut self, operands: &[Json]) -> Result<Vec<Filter>, String> {
        let operands = operands.iter().zip(1..);
        operands.map(|(one, at)| self.at(at, |reader| reader.filter(one))).collect()
    }

    /// `any`: one of the items is as the condition says. For `all`: one of them is not.
    fn some(&mut self, operator: &str, operands: &[Json]) -> Result<Filter, String> {
        let [list, condition] = exactly(operator, operands)?;
        let (list, scope) = self.at(1, |reader| {
            let target = reader.target(list)?;
            let scope = match &target.typed {
                None => Scope::Json,
                Some(property) if target.operand.multi => Scope::Items(Box::new(property.clone())),
                Some(_) => return Err(format!("{operator}: `{}` is no list", target.name)),
            };
            Ok((target, scope))
        })?;
        let outside = std::mem::replace(&mut self.scope, scope);
        let wanted = self.at(2, |reader| reader.filter(condition))?;
        self.scope = outside;
        let is_all = operator == "all";
        let wanted = if is_all { Filter::Not(Box::new(wanted)) } else { wanted };
        Ok(list.unpacked().leads_to(|_| wanted))
    }

    fn condition(&mut self, operator: &str, operands: &[Json]) -> Result<Filter, String> {
        match operator {
            "==" | "!=" | "<" | "<=" | ">" | ">=" => self.compare(operator, operands),
            "in" => self.one_of(operands),
            "between" => {
                let [left, low, high] = exactly(operator, operands)?;
                let left = self.at(1, |reader| reader.scalar(left))?;
                let low = self.at(2, |_| sized(operator, &left, low))?;
                let high = self.at(3, |_| sized(operator, &left, high))?;
                Ok(left.leads_to(|operand| Filter::Between(operand, low, high)))
            }
            "like" | "startswith" => {
                let [left, text] = exactly(operator, operands)?;
                let left = self.at(1, |reader| {
                    let target = reader.scalar(left)?;
                    let problem = || format!("{operator}: `{}` is no text", target.name);
                    if target.is_text() { Ok(target) } else { Err(problem()) }
                })?;
                let text = self.at(2, |_| text_of(operator, text))?;
                Ok(left.leads_to(|operand| match operator {
                    "like" => Filter::Like(operand, text),
                    _ => Filter::StartsWith(operand, text),
                }))
            }
            "contains" => self.contains(operands),
            "match" => self.full_text(operands),
            "isnull" => {
                let [left] = exactly(operator, operands)?;
                Ok(self.at(1, |reader| reader.target(left))?.unset())
            }
            _ => Err(format!(
                "has no operator `{operator}`; there are == != < <= > >= in between like contains \
                 startswith match isnull any all and or not"
            )),
        }
    }

    fn compare(&mut self, operator: &str, operands: &[Json]) -> Result<Filter, String> {
        let [left, right] = exactly(operator, operands)?;
        let is_turned = !is_target(left) && is_target(right);
        let ((left, at), (right, other)) =
            if is_turned { ((right, 2), (left, 1)) } else { ((left, 1), (right, 2)) };
        let target = self.at(at, |reader| reader.scalar(left))?;
        let comparison = match (operator, is_turned) {
            ("==", _) => Comparison::Equal,
            ("!=", _) => Comparison::NotEqual,
            ("<", false) | (">", true) => Comparison::Less,
            ("<=", false) | (">=", true) => Comparison::LessOrEqual,
            (">", false) | ("<", true) => Comparison::Greater,
            _ => Comparison::GreaterOrEqual,
        };
        let is_ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let read = if is_ordered { sized } else { of_any_size };
        let literal = self.at(other, |_| read(operator, &target, right))?;
        Ok(compared(target, comparison, literal))
    }

    fn one_of(&mut self, operands: &[Json]) -> Result<Filter, String> {
        let [left, list] = exactly("in", operands)?;
        let target = self.at(1, |reader| reader.scalar(left))?;
        let mut literals = self.at(2, |reader| {
            let list = constant(list).as_array();
            let Some(list) = list.filter(|list| list.len() <= FILTER_IN_VALUES_MAX) else {
                return Err(format!("in: takes a list of at most {FILTER_IN_VALUES_MAX} values"));
            };
            reader.values += list.len();
            if reader.values > FILTER_VALUES_MAX {
                return Err(format!("in: all lists together have at most {FILTER_VALUES_MAX}"));
            }
            let values = list.iter().zip(0..);
            let values = values.map(|(value, at)| reader.at(at, |_| literal(&target, value)));
            values.collect::<Result<Vec<_>, _>>()
        })?;
        if target.is_direct() || !literals.contains(&Literal::Null) {
            return Ok(target.leads_to(|operand| Filter::In(operand, literals)));
        }
        literals.retain(|literal| *literal != Literal::Null);
        let is_unset = target.clone().unset();
        Ok(Filter::Or(vec![is_unset, target.leads_to(|operand| Filter::In(operand, literals))]))
    }

    /// A list has the very value, or a text has it somewhere.
    fn contains(&mut self, operands: &[Json]) -> Result<Filter, String> {
        let [left, value] = exactly("contains", operands)?;
        let target = self.at(1, |reader| {
            let target = reader.target(left)?;
            let problem = || format!("contains: `{}` is neither a list nor text", target.name);
            if target.operand.multi || target.is_text() { Ok(target) } else { Err(problem()) }
        })?;
        // Of JSON, each value inside is asked.
        let is_item = matches!(self.scope, Scope::Json) && target.is_direct();
        let target = if target.is_json() && !is_item { target.unpacked() } else { target };
        let value = self.at(2, |_| {
            let value = literal(&target, value)?;
            if value == Literal::Null {
                let reason = "contains: takes a value; use isnull to find unset properties";
                return Err(reason.to_owned());
            }
            Ok(value)
        })?;
        let is_text = matches!(value, Literal::Text(_));
        Ok(target.leads_to(|operand| match operand.multi || is_text {
            true => Filter::Contains(operand, value),
            false => Filter::Compare(operand, Comparison::Equal, value),
        }))
    }

    /// The message has these words.
    fn full_text(&mut self, operands: &[Json]) -> Result<Filter, String> {
        let [text] = exactly("match", operands)?;
        self.scope.must_have_full_text()?;
        self.matches += 1;
        if self.matches > FILTER_MATCHES_MAX {
            return Err(format!("match: a filter has at most {FILTER_MATCHES_MAX} of them"));
        }
        self.at(1, |_| {
            let text = text_of("match", text)?;
            let query = MatchQuery::parse(&text).map_err(|reason| format!("match: {reason}"))?;
            Ok(Filter::Match(query))
        })
    }

    /// A target that has one value, or several of which each is asked.
    fn scalar(&mut self, json: &Json) -> Result<NamedValue, String> {
        let target = self.target(json)?;
        let is_item = matches!(self.scope, Scope::Json);
        if target.operand.multi {
            return Err(format!("`{}` is a list: use contains, any, all or isnull", target.name));
        }
        if target.is_json() && !is_item {
            return Err(holds_json(&target));
        }
        Ok(target)
    }

    fn target(&mut self, json: &Json) -> Result<NamedValue, String> {
        let target = match json.as_array().map(Vec::as_slice) {
            Some([Json::String(word), Json::String(name)]) if word == "property" => {
                name::named(&self.scope, name)
            }
            Some([Json::String(word)]) if word == "item" => name::item(&self.scope),
            _ => Err("takes a property first: [\"property\", \"name\"]".to_owned()),
        }?;
        self.nodes += target.steps();
        Ok(target)
    }
}

/// A comparison. What leads to several values, or to none, is unequal when no value is equal.
fn compared(target: NamedValue, comparison: Comparison, literal: Literal) -> Filter {
    let is_null = literal == Literal::Null;
    match comparison {
        Comparison::Equal if is_null && !target.is_direct() => target.unset(),
        Comparison::NotEqual if is_null && !target.is_direct() => target.set(),
        Comparison::NotEqual if !target.is_direct() => {
            let equal = |operand| Filter::Compare(operand, Comparison::Equal, literal);
            Filter::Not(Box::new(target.leads_to(equal)))
        }
        Comparison::Equal
        | Comparison::NotEqual
        | Comparison::Less
        | Comparison::LessOrEqual
        | Comparison::Greater
        | Comparison::GreaterOrEqual => {
            target.leads_to(|operand| Filter::Compare(operand, comparison, literal))
        }
    }
}

fn of_any_size(_: &str, target: &NamedValue, json: &Json) -> Result<Literal, String> {
    literal(target, json)
}

/// A literal that others are smaller or greater than.
fn sized(operator: &str, target: &NamedValue, json: &Json) -> Result<Literal, String> {
    let literal = literal(target, json)?;
    let what = match literal {
        Literal::Null => "null",
        Literal::Boolean(_) => "a boolean",
        Literal::Whole(_)
        | Literal::Float(_)
        | Literal::Text(_)
        | Literal::Moment(_)
        | Literal::Id(_) => return Ok(literal),
    };
    Err(format!("{operator}: {what} cannot be compared by size"))
}

fn is_target(json: &Json) -> bool {
    match json.as_array().map(Vec::as_slice) {
        Some([word, _]) => word == "property",
        Some([word]) => word == "item",
        _ => false,
    }
}

fn exactly<'a, const N: usize>(
    operator: &str,
    operands: &'a [Json],
) -> Result<[&'a Json; N], String> {
    let all: Vec<&Json> = operands.iter().collect();
    all.try_into()
        .map_err(|_| format!("{operator}: takes {N} operand{}", if N == 1 { "" } else { "s" }))
}
