//! Sums over a collection: how many entities, and the least, greatest, sum and mean of a property,
//! for each group of equal values.
//!
//! ```text
//!   aggregate=count,min(dateTime),sum(size)   group=messageState,account_id
//! ```

use crate::class::Class;
use crate::class::of_every_entity;
use crate::invalid::Invalid;
use crate::limits::FILTER_LITERAL_BYTES_MAX;
use crate::property::DataType;
use crate::property::Property;

/// How many sums one request may ask for.
const SUMS_MAX: usize = 32;
/// How many properties a group may have.
const GROUP_PROPERTIES_MAX: usize = 8;

/// What is computed of the entities of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How many there are; of a property, how many have it set.
    Count,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The sum of the values.
    Sum,
    /// The mean of the values.
    Avg,
}

/// One computed value.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// Its name in the answer: as it was asked for, without blanks.
    pub name: String,
    /// What is computed.
    pub function: Function,
    /// Of which property. `None`: of the entities themselves.
    pub property: Option<Property>,
}

/// What is computed of a collection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Aggregate {
    /// The values.
    pub computed: Vec<Computed>,
    /// The properties whose equal values make a group. Empty: all entities are one group.
    pub group: Vec<Property>,
}

/// Reads the parameters `aggregate` and `group`.
///
/// # Errors
///
/// Every function and property that is unknown or does not fit.
pub fn parse_aggregate(
    class: &Class,
    aggregate: &str,
    group: Option<&str>,
) -> Result<Aggregate, Vec<Invalid>> {
    let mut read = Aggregate::default();
    let mut problems = vec![];
    for item in items(aggregate) {
        match computed(class, item) {
            Ok(computed) if read.computed.iter().any(|other| other.name == computed.name) => {
                problems.push(Invalid::new("aggregate", format!("names {item} twice")));
            }
            Ok(computed) => read.computed.push(computed),
            Err(reason) => problems.push(Invalid::new("aggregate", reason)),
        }
    }
    for name in items(group.unwrap_or_default()) {
        match group_property(class, name) {
            Ok(property) if read.group.iter().any(|other| other.name == property.name) => {
                problems.push(Invalid::new("group", format!("names `{name}` twice")));
            }
            Ok(property) => read.group.push(property),
            Err(reason) => problems.push(Invalid::new("group", reason)),
        }
    }
    if read.computed.is_empty() && problems.is_empty() {
        problems.push(Invalid::new("aggregate", "takes functions: count,min(dateTime),sum(size)"));
    }
    if read.computed.len() > SUMS_MAX {
        let reason = format!("names at most {SUMS_MAX} functions");
        problems.push(Invalid::new("aggregate", reason));
    }
    if read.group.len() > GROUP_PROPERTIES_MAX {
        let reason = format!("names at most {GROUP_PROPERTIES_MAX} properties");
        problems.push(Invalid::new("group", reason));
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn computed(class: &Class, item: &str) -> Result<Computed, String> {
    let (word, name) = match item.split_once('(') {
        None => (item, None),
        Some((word, rest)) => {
            let name = rest.strip_suffix(')').ok_or_else(|| format!("`{item}` lacks a bracket"))?;
            (word.trim(), Some(name.trim()))
        }
    };
    let function = match word {
        "count" => Function::Count,
        "min" => Function::Min,
        "max" => Function::Max,
        "sum" => Function::Sum,
        "avg" => Function::Avg,
        _ => return Err(format!("there is no function `{word}`: count, min, max, sum, avg")),
    };
    let Some(name) = name else {
        return match function {
            Function::Count => Ok(Computed { name: "count".to_owned(), function, property: None }),
            Function::Min | Function::Max | Function::Sum | Function::Avg => {
                Err(format!("`{word}` needs a property: {word}(size)"))
            }
        };
    };
    let property = property(class, name)
        .ok_or_else(|| format!("{} shows no property `{name}`", class.classname))?;
    if !function.takes(&property) {
        let kinds = match function {
            Function::Count => "properties that are not lists and hold no files",
            Function::Min | Function::Max => "numbers, moments, days, times and short texts",
            Function::Sum | Function::Avg => "numbers",
        };
        return Err(format!("`{word}` takes {kinds}, not `{name}`"));
    }
    Ok(Computed { name: format!("{word}({name})"), function, property: Some(property) })
}

impl Function {
    fn takes(self, property: &Property) -> bool {
        if property.multi {
            return false;
        }
        let is_number = matches!(
            property.data_type,
            DataType::Integer | DataType::Long | DataType::Increment | DataType::Float
        );
        match self {
            Self::Count => property.data_type != DataType::Attachment,
            Self::Sum | Self::Avg => is_number,
            Self::Min | Self::Max => match property.data_type {
                DataType::Datetime | DataType::Date | DataType::Time => true,
                DataType::String => !is_long(property),
                DataType::Boolean
                | DataType::Uuid
                | DataType::Entity
                | DataType::Enum
                | DataType::Any
                | DataType::Attachment => false,
                DataType::Integer | DataType::Long | DataType::Increment | DataType::Float => true,
            },
        }
    }
}

/// A property that is shown, also `id` and `version`.
fn property(class: &Class, name: &str) -> Option<Property> {
    let own = class.property(name).filter(|property| !property.write_only()).cloned();
    own.or_else(|| of_every_entity().into_iter().find(|property| property.name == name))
}

/// The property of which equal values make a group.
fn group_property(class: &Class, name: &str) -> Result<Property, String> {
    let Some(property) = property(class, name) else {
        return Err(format!("{} has no property `{name}` to group by", class.classname));
    };
    let why = match property.data_type {
        DataType::Attachment => "holds files",
        _ if property.multi => "is a list",
        DataType::Float => "has values that are hardly ever equal",
        DataType::Any => "has values of any type",
        DataType::String if is_long(&property) => "may have long texts",
        DataType::String
        | DataType::Boolean
        | DataType::Integer
        | DataType::Long
        | DataType::Increment
        | DataType::Datetime
        | DataType::Date
        | DataType::Time
        | DataType::Uuid
        | DataType::Entity
        | DataType::Enum => return Ok(property),
    };
    Err(format!("`{name}` cannot be grouped by: it {why}"))
}

/// Whether its texts may be so long that an answer should not hold many of them.
fn is_long(property: &Property) -> bool {
    let length = property.bound("max_length").and_then(|max| usize::try_from(max).ok());
    length.is_some_and(|length| length > FILTER_LITERAL_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    #[test]
    fn functions_and_groups_are_read() {
        let messages = builtin::classes().unwrap().remove(3);
        let read = parse_aggregate(
            &messages,
            "count, min(dateTime),avg( size ),count(subject)",
            Some("messageState,account_id"),
        );
        let read = read.unwrap();
        let names: Vec<_> = read.computed.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["count", "min(dateTime)", "avg(size)", "count(subject)"]);
        let group: Vec<_> = read.group.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(group, ["messageState", "account_id"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let classes = builtin::classes().unwrap();
        #[rustfmt::skip]
        let table = [
            (3, "", None), (3, "nope", None), (3, "min", None), (3, "min(", None), (3, "sum(subject)", None),
            (3, "min(to)", None), (3, "max(account_id)", None), (3, "max(headers)", None), (3, "count(nope)", None),
            (3, "count,count", None), (3, "sum(rawMessage)", None), (3, "max(text)", None), (3, "sum(size", None),
            (1, "count(password)", None), (3, "count", Some("to")), (3, "count", Some("text")), (3, "count", Some("headers")),
            (3, "count", Some("nope")), (1, "count", Some("password")), (3, "count", Some("size,size")),
            (3, "avg(dateTime)", None), (3, "count", Some("account_id.address")),
        ];
        for (class, aggregate, group) in table {
            let read = parse_aggregate(&classes[class], aggregate, group);
            assert!(read.is_err(), "{aggregate} {group:?}");
        }
        let problems = |group| parse_aggregate(&classes[3], "count", Some(group)).unwrap_err();
        let reasons = problems("nope,to,text,headers").into_iter().map(|one| one.reason);
        let wanted = [
            "email/Messages has no property `nope` to group by",
            "`to` cannot be grouped by: it is a list",
            "`text` cannot be grouped by: it may have long texts",
            "`headers` cannot be grouped by: it has values of any type",
        ];
        assert_eq!(reasons.collect::<Vec<_>>(), wanted);
    }
}
