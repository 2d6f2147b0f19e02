//! Cursors: the position of a page in an order, for `after` and `Link: rel="next"`.
//!
//! A cursor holds the order, and the values of the last entity of the page in this order. The next
//! page begins after them. So entities that are created or deleted meanwhile neither shift nor
//! repeat others. In an ascending order, unset values come first, as in the store.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Order;
use postroom_model::filter;
use postroom_model::filter::Comparison;
use postroom_model::filter::Literal;
use postroom_model::filter::Operand;
use postroom_model::steps;
use serde_json::Value as Json;
use serde_json::json;

/// The cursor after `entity`.
#[must_use]
pub(crate) fn behind(order: &[Order], entity: &Entity) -> String {
    let key = |order: &Order| json!([sign(order), value(entity, &order.property)]);
    let keys: Vec<Json> = steps(order).iter().map(key).collect();
    URL_SAFE_NO_PAD.encode(Json::Array(keys).to_string())
}

/// The position of the cursor: the values of the complete order of its entity.
///
/// # Errors
///
/// The text is not a cursor, or a cursor of another order.
pub(crate) fn position(
    class: &Class,
    order: &[Order],
    cursor: &str,
) -> Result<Vec<Literal>, Invalid> {
    Ok(keys(class, order, cursor)?.into_iter().map(|key| key.literal).collect())
}

/// The filter of the entities after the cursor.
///
/// # Errors
///
/// As [`position`].
pub(crate) fn filter(class: &Class, order: &[Order], cursor: &str) -> Result<Filter, Invalid> {
    let mut same = vec![];
    let mut one_of = vec![];
    for key in keys(class, order, cursor)? {
        if let Some(beyond) = key.beyond() {
            let mut all = same.clone();
            all.push(beyond);
            one_of.push(Filter::And(all));
        }
        same.push(key.same());
    }
    Ok(Filter::Or(one_of))
}

fn keys(class: &Class, order: &[Order], cursor: &str) -> Result<Vec<Key>, Invalid> {
    let other = || {
        Invalid::new(
            "after",
            "is not a cursor of this list and order; take it from the \
                                 header `Link`",
        )
    };
    let json = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| other())?;
    let said: Vec<(String, Json)> = serde_json::from_slice(&json).map_err(|_| other())?;
    let order = steps(order);
    if said.len() != order.len() {
        return Err(other());
    }
    let read = |(order, (signed, value)): (&Order, (String, Json))| {
        let key = Key::read(class, order, &value).filter(|_| signed == sign(order));
        key.ok_or_else(other)
    };
    order.iter().zip(said).map(read).collect()
}

fn sign(order: &Order) -> String {
    let sign = if order.descending { "-" } else { "+" };
    format!("{sign}{}", order.property)
}

fn value(entity: &Entity, property: &str) -> Json {
    match property {
        "id" => Json::String(entity.id.to_string()),
        "version" => Json::from(entity.version),
        "seq" => Json::from(entity.seq),
        name => entity.get(name).clone(),
    }
}

/// One property of the order, with the value of the last entity.
struct Key {
    operand: Operand,
    literal: Literal,
    descending: bool,
}

impl Key {
    fn read(class: &Class, order: &Order, value: &Json) -> Option<Self> {
        let equal = json!(["==", ["property", order.property], ["const", value]]);
        let Filter::Compare(operand, _, literal) = filter::parse(class, &equal).ok()? else {
            return None;
        };
        Some(Self { operand, literal, descending: order.descending })
    }

    fn unset(&self) -> Filter {
        Filter::IsNull(self.operand.clone())
    }

    fn same(&self) -> Filter {
        if self.literal == Literal::Null {
            return self.unset();
        }
        Filter::Compare(self.operand.clone(), Comparison::Equal, self.literal.clone())
    }

    /// The filter of the entities after it. `None`: there can be none.
    fn beyond(&self) -> Option<Filter> {
        let compare =
            |comparison| Filter::Compare(self.operand.clone(), comparison, self.literal.clone());
        match (self.literal == Literal::Null, self.descending) {
            (true, true) => None,
            (true, false) => Some(Filter::Not(Box::new(self.unset()))),
            (false, false) => Some(compare(Comparison::Greater)),
            (false, true) => Some(Filter::Or(vec![compare(Comparison::Less), self.unset()])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::EntityId;
    use postroom_model::builtin;
    use postroom_model::parse_order;

    fn message(values: Json) -> Entity {
        Entity::new(EntityId::nil(), values.as_object().unwrap().clone())
    }

    #[test]
    fn a_cursor_is_read_back_as_a_filter() {
        let messages = builtin::classes().unwrap().remove(3);
        let entity = message(json!({"dateTime": "2026-11-23T10:00:00.000Z", "subject": "s"}));
        #[rustfmt::skip]
        let table = [
            // order, conditions joined by `or`
            ("",                      1),
            ("dateTime",              2),
            ("-dateTime,subject",     3),
            ("size,-id",              2),
            ("-size",                 1), // Unset and descending: only the id can go on.
            ("id,dateTime",           1),
        ];
        for (text, count) in table {
            let order = parse_order(&messages, text).unwrap();
            let cursor = behind(&order, &entity);
            let Filter::Or(conditions) = filter(&messages, &order, &cursor).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(conditions.len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let messages = builtin::classes().unwrap().remove(3);
        let order = parse_order(&messages, "-dateTime").unwrap();
        let other = behind(&parse_order(&messages, "dateTime").unwrap(), &message(json!({})));
        let odd = URL_SAFE_NO_PAD.encode("[[\"-dateTime\",{\"a\":1}],[\"+id\",\"x\"]]");
        for cursor in ["", "x", "!!", "W10", other.as_str(), odd.as_str()] {
            let refused = filter(&messages, &order, cursor).unwrap_err();
            assert_eq!(refused.property, "after", "{cursor}");
        }
    }
}
