//! The query of a list: which entities, in which order, how many.

use crate::class::Class;
use crate::class::OF_EVERY_ENTITY;
use crate::filter::Filter;
use crate::filter::Literal;
use crate::invalid::Invalid;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::limits::ORDER_VALUE_BYTES_MAX;
use crate::property::DataType;
use crate::property::Property;

/// How many properties an order may name.
pub(crate) const ORDER_COUNT_MAX: usize = 8;

/// One step of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The property to sort by, or `id` or `version`.
    pub property: String,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// The query of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which entities; `None` for all.
    pub filter: Option<Filter>,
    /// The order. Ties are ordered by `id`. So is everything if the order is empty.
    pub order: Vec<Order>,
    /// The list begins after the entity with these values of [`Self::steps`]. `None`: with the
    /// first.
    pub after: Option<Vec<Literal>>,
    /// How many at the most.
    pub limit: u32,
    /// How many to skip first.
    pub offset: u64,
    /// Which properties are read, in addition to those of the order. `None`: all.
    pub shown: Option<Vec<String>>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: None,
            order: vec![],
            after: None,
            limit: LIST_LIMIT_DEFAULT,
            offset: 0,
            shown: None,
        }
    }
}

impl Query {
    /// Whether a property is read.
    #[must_use]
    pub fn shows(&self, property: &str) -> bool {
        let Some(shown) = &self.shown else {
            return true;
        };
        shown.iter().any(|shown| shown == property)
            || self.order.iter().any(|order| order.property == property)
    }

    /// The order with `id` at its end, so that no two entities are equal. `id` has the direction
    /// of the step before it, so that an index serves both. Whatever follows `id` has no effect.
    #[must_use]
    pub fn steps(&self) -> Vec<Order> {
        steps(&self.order)
    }

    /// The same query, restricted to entities that also match `filter`.
    #[must_use]
    pub fn and(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter.take() {
            Some(first) => first.and(filter),
            None => filter,
        });
        self
    }

    /// Everything that matches `filter`, up to `limit`.
    #[must_use]
    pub fn filtered(filter: Filter, limit: u32) -> Self {
        Self { filter: Some(filter), limit, ..Self::default() }
    }
}

/// The order of which [`Query::steps`] speaks.
#[must_use]
pub fn steps(order: &[Order]) -> Vec<Order> {
    let mut steps: Vec<Order> = order.to_vec();
    if let Some(at) = steps.iter().position(|step| step.property == "id") {
        steps.truncate(at + 1);
    } else {
        let descending = steps.last().is_some_and(|step| step.descending);
        steps.push(Order { property: "id".to_owned(), descending });
    }
    steps
}

/// Reads the parameter `order`: names separated by commas, `-` before a name for descending.
///
/// # Errors
///
/// The name that cannot be sorted by.
pub fn parse_order(class: &Class, text: &str) -> Result<Vec<Order>, Invalid> {
    let mut order = vec![];
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, descending) = match item.strip_prefix('-') {
            Some(name) => (name, true),
            None => (item.strip_prefix('+').unwrap_or(item), false),
        };
        let problem = match class.property(name) {
            Some(property) => unsortable(property),
            None if OF_EVERY_ENTITY.contains(&name) => None,
            None => Some(format!("{} has no property `{name}` to sort by", class.classname)),
        };
        if let Some(reason) = problem {
            return Err(Invalid::new("order", reason));
        }
        order.push(Order { property: name.to_owned(), descending });
    }
    if order.len() > ORDER_COUNT_MAX {
        let reason = format!("names at most {ORDER_COUNT_MAX} properties");
        return Err(Invalid::new("order", reason));
    }
    Ok(order)
}

/// Why a property gives no order. `None`: it does.
fn unsortable(property: &Property) -> Option<String> {
    let length = property.bound("max_length").and_then(|max| usize::try_from(max).ok());
    // A request contains the cursor, and the cursor contains the value of the last entity. So long
    // values are excluded.
    let is_long = length.is_some_and(|length| length > ORDER_VALUE_BYTES_MAX);
    let long = || format!("may have values of more than {ORDER_VALUE_BYTES_MAX} bytes");
    let why = if property.write_only() {
        "is never shown".to_owned()
    } else if property.is_file() {
        "holds files".to_owned()
    } else if property.multi {
        "is a list".to_owned()
    } else if property.data_type == DataType::Any {
        "has values of any type".to_owned()
    } else {
        is_long.then(long)?
    };
    Some(format!("`{}` cannot be sorted by: it {why}", property.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    #[test]
    fn an_order_is_a_list_of_names() {
        let messages = builtin::classes().unwrap().remove(3);
        let order = parse_order(&messages, "-dateTime, subject,id").unwrap();
        let names: Vec<_> = order.iter().map(|o| (o.property.as_str(), o.descending)).collect();
        assert_eq!(names, [("dateTime", true), ("subject", false), ("id", false)]);
        for (bad, why) in [
            ("nope", "has no property `nope`"),
            ("--dateTime", "has no property `-dateTime`"),
            ("to", "`to` cannot be sorted by: it is a list"),
            ("headers", "it has values of any type"),
            ("text", "it may have values of more than"),
            ("rawMessage", "it holds files"),
        ] {
            let problem = parse_order(&messages, bad).unwrap_err();
            assert!(problem.reason.contains(why), "{bad}: {}", problem.reason);
        }
    }
}
