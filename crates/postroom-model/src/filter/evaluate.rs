//! Whether an entity is as a filter says, without a database.
//!
//! It agrees with both databases: a property test of the store compares all three. It does not know
//! the names of files, which `match` looks at too.

use crate::entity::Entity;
use crate::filter::condition::Comparison;
use crate::filter::condition::Filter;
use crate::filter::condition::Items;
use crate::filter::condition::Literal;
use crate::filter::condition::Operand;
use crate::filter::condition::Subject;
use crate::filter::condition::Through;
use crate::fold::fold;
use crate::id::EntityId;
use crate::like::Effort;
use crate::like::Pattern;
use crate::timestamp::Timestamp;
use crate::words::indexed_words;
use serde_json::Value as Json;
use std::cmp::Ordering;

/// Finds the entity of the same domain that a reference leads to; `None` when there is none.
pub type FindReferred<'a> = &'a dyn Fn(&Through, EntityId) -> Option<Entity>;

/// Whether an entity is as a filter of its class says.
#[must_use]
pub fn matches(filter: &Filter, entity: &Entity, referred: FindReferred<'_>) -> bool {
    Here { entity, item: &Json::Null, referred }.is(filter)
}

/// What names mean.
#[derive(Clone, Copy)]
struct Here<'a> {
    entity: &'a Entity,
    item: &'a Json,
    referred: FindReferred<'a>,
}

impl Here<'_> {
    fn is(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Compare(operand, comparison, literal) => {
                self.with(operand, |value| compares(value, *comparison, literal))
            }
            Filter::In(operand, literals) => self.with(operand, |value| {
                literals.iter().any(|literal| compares(value, Comparison::Equal, literal))
            }),
            Filter::Between(operand, low, high) => self.with(operand, |value| {
                compares(value, Comparison::GreaterOrEqual, low)
                    && compares(value, Comparison::LessOrEqual, high)
            }),
            Filter::Like(operand, pattern) => self.with_text(operand, |text| {
                let pattern = Pattern::new(&fold(pattern));
                pattern.matches(&fold(text), &mut Effort::new(&|| false)) == Ok(true)
            }),
            Filter::StartsWith(operand, start) => {
                self.with_text(operand, |text| fold(text).starts_with(&fold(start)))
            }
            Filter::Contains(operand, Literal::Text(piece)) if !operand.multi => {
                self.with_text(operand, |text| fold(text).contains(&fold(piece)))
            }
            Filter::Contains(operand, literal) => self.with(operand, |value| {
                let items = value.as_array().into_iter().flatten();
                items.into_iter().any(|item| compares(item, Comparison::Equal, literal))
            }),
            Filter::IsNull(operand) => self.with(operand, |value| {
                value.is_null() || (operand.multi && value.as_array().is_some_and(Vec::is_empty))
            }),
            Filter::Match(query) => query.matches(&indexed_words(self.entity, &[])),
            Filter::Some(items, wanted) => self.some(items, wanted),
            Filter::Refers(reference, wanted) => {
                let id = self.entity.reference(&reference.property);
                let found = id.and_then(|id| (self.referred)(reference, id));
                found.is_some_and(|entity| matches(wanted, &entity, self.referred))
            }
            Filter::And(all) => all.iter().all(|one| self.is(one)),
            Filter::Or(any) => any.iter().any(|one| self.is(one)),
            Filter::Not(one) => !self.is(one),
        }
    }

    fn with(&self, operand: &Operand, is: impl FnOnce(&Json) -> bool) -> bool {
        self.value(&operand.subject, is)
    }

    fn with_text(&self, operand: &Operand, is: impl FnOnce(&str) -> bool) -> bool {
        self.with(operand, |value| value.as_str().is_some_and(is))
    }

    fn value<T>(&self, subject: &Subject, take: impl FnOnce(&Json) -> T) -> T {
        match subject {
            Subject::Item => take(self.item),
            Subject::Property(name) if name == "id" => {
                take(&Json::String(self.entity.id.to_string()))
            }
            Subject::Property(name) if name == "version" => take(&Json::from(self.entity.version)),
            Subject::Property(name) if name == "seq" => take(&Json::from(self.entity.seq)),
            Subject::Property(name) | Subject::Own { name, .. } => take(self.entity.get(name)),
        }
    }

    fn some(&self, items: &Items, wanted: &Filter) -> bool {
        self.value(&items.of, |json| {
            any(json, &items.path, &|item| Here { item, ..*self }.is(wanted))
        })
    }
}

/// Whether one of the values that a path leads to is as wanted.
fn any(json: &Json, path: &[String], is: &dyn Fn(&Json) -> bool) -> bool {
    let item = |item: &Json| match path.split_first() {
        None => is(item),
        Some((name, path)) => item.get(name).is_some_and(|member| any(member, path, is)),
    };
    match json {
        Json::Null => false,
        Json::Array(items) => items.iter().any(item),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => item(json),
    }
}

fn compares(value: &Json, comparison: Comparison, literal: &Literal) -> bool {
    let order = order(value, literal);
    match comparison {
        Comparison::Equal if *literal == Literal::Null => value.is_null(),
        Comparison::NotEqual if *literal == Literal::Null => !value.is_null(),
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// How a value stands to a literal; `None` when they are not of one type.
fn order(value: &Json, literal: &Literal) -> Option<Ordering> {
    match literal {
        Literal::Null => None,
        Literal::Boolean(flag) => Some(value.as_bool()?.cmp(flag)),
        Literal::Whole(number) => whole_order(value, *number),
        Literal::Float(number) => value.as_f64()?.partial_cmp(number),
        Literal::Text(text) => Some(value.as_str()?.cmp(text)),
        Literal::Moment(ms) => {
            let moment = Timestamp::parse(value.as_str()?).ok()?;
            Some(moment.as_ms().cmp(ms))
        }
        Literal::Id(id) => Some(value.as_str()?.parse::<EntityId>().ok()?.cmp(id)),
    }
}

/// A number beside a whole one, without loss.
fn whole_order(value: &Json, number: i64) -> Option<Ordering> {
    if let Some(whole) = value.as_i64() {
        return Some(whole.cmp(&number));
    }
    let value = value.as_f64()?;
    // Floating point numbers with a fraction are small enough for the others to be exact.
    #[expect(clippy::cast_possible_truncation, reason = "what is too large is cut to the bounds")]
    let floor = value.floor() as i64;
    let beyond = value >= 9_223_372_036_854_775_808.0;
    let order = if beyond { Ordering::Greater } else { floor.cmp(&number) };
    Some(order.then(if value > value.floor() { Ordering::Greater } else { Ordering::Equal }))
}
