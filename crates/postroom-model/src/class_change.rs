//! From a class to another definition of it: the steps for its table, what stored values must be
//! for that, and what is refused whatever is stored.

use crate::builtin;
use crate::class::Class;
use crate::fold::fold;
use crate::id::ClassId;
use crate::invalid::Invalid;
use crate::property::DataType;
use crate::property::Property;
use serde_json::Value as Json;

/// A property that has another name from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedProperty {
    /// Its former name.
    pub from: String,
    /// Its name.
    pub to: String,
}

/// The former name of the property that has this name. `None`: it is new, because the property that
/// had the name has another one now.
pub(crate) fn former_name<'a>(renamed: &'a [RenamedProperty], name: &'a str) -> Option<&'a str> {
    match renamed.iter().find(|renamed| renamed.to == name) {
        Some(renamed) => Some(&renamed.from),
        None => renamed.iter().all(|renamed| renamed.from != name).then_some(name),
    }
}

/// One step from a definition to another.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassStep<'a> {
    /// A new property.
    Add(&'a Property),
    /// A property that is no more, with its values.
    Remove(&'a Property),
    /// A property that stays. Its name may be another.
    Change {
        /// As it was.
        before: &'a Property,
        /// As it will be.
        after: &'a Property,
    },
}

impl ClassStep<'_> {
    /// The name of the property before the step. `None`: it is new.
    #[must_use]
    pub fn former(&self) -> Option<&str> {
        match self {
            Self::Add(_) => None,
            Self::Remove(property) | Self::Change { before: property, .. } => Some(&property.name),
        }
    }
}

/// What every stored value of a property must be, or there must be none.
#[derive(Debug, Clone, PartialEq)]
pub enum Demand {
    /// Every entity has a value.
    Filled,
    /// No entity has a value.
    Unset,
    /// No entity has one of these.
    NoneOf(Vec<String>),
    /// Each value is one of these.
    Among(Vec<String>),
    /// Each number is at least this.
    AtLeast(i64),
    /// Each number is at most this.
    AtMost(i64),
    /// Each text has at most so many octets.
    BytesMax(i64),
    /// Each value is the id of an entity of the class of this id.
    RefersTo(ClassId),
}

/// The steps from a definition to another.
#[must_use]
pub fn class_steps<'a>(
    before: &'a Class,
    after: &'a Class,
    renamed: &[RenamedProperty],
) -> Vec<ClassStep<'a>> {
    let former = |property: &'a Property| {
        former_name(renamed, &property.name).and_then(|name| before.property(name))
    };
    let mut steps = vec![];
    for property in &before.properties {
        let is_it = |former: &Property| former.name == property.name;
        let stays = after.properties.iter().any(|after| former(after).is_some_and(is_it));
        if !stays {
            steps.push(ClassStep::Remove(property));
        }
    }
    for property in &after.properties {
        steps.push(match former(property) {
            Some(before) => ClassStep::Change { before, after: property },
            None => ClassStep::Add(property),
        });
    }
    steps.retain(|step| !matches!(step, ClassStep::Change { before, after } if before == after));
    steps
}

impl Class {
    /// What is refused of the steps to another definition, whatever is stored. `base`: the class as
    /// it is built in, if it is.
    #[must_use]
    pub fn refused(
        &self,
        after: &Self,
        renamed: &[RenamedProperty],
        base: Option<&Self>,
    ) -> Vec<Invalid> {
        let mut problems = vec![];
        let fixed = self.properties.get(..self.fixed).unwrap_or_default();
        for (at, RenamedProperty { from, to }) in renamed.iter().enumerate() {
            let place = format!("properties.{to}");
            let twin = renamed.iter().take(at).find(|other| other.from == *from);
            let same = |property: &&Property| property.name.eq_ignore_ascii_case(to);
            let other = self.properties.iter().find(same).filter(|other| other.name != *from);
            if self.property(from).is_none() {
                let reason = format!("there is no property `{from}` to rename");
                problems.push(Invalid::new(place, reason));
            } else if let Some(twin) = twin {
                let reason =
                    format!("`{from}` is renamed to `{}` already: it has one name", twin.to);
                problems.push(Invalid::new(place, reason));
            } else if let Some(other) = other {
                let reason = format!("there is a property `{}` already", other.name);
                problems.push(Invalid::new(place, reason));
            }
        }
        for step in class_steps(self, after, renamed) {
            match step {
                ClassStep::Add(property) => {
                    problems.extend(add_problem(property, base.is_some()));
                }
                ClassStep::Remove(property) if fixed.contains(property) => {
                    let place = format!("properties.{}", property.name);
                    problems.push(Invalid::new(place, fixed_reason(base, "removed")));
                }
                ClassStep::Remove(_) => {}
                ClassStep::Change { before, after } => {
                    let base = base.and_then(|base| base.property(&before.name));
                    let is_fixed = fixed.contains(before);
                    problems.extend(change_problems(before, after, base, is_fixed));
                }
            }
        }
        if let Some(base) = base {
            for name in ["partition_property", "partition_interval"] {
                if after.opts.get(name) != base.opts.get(name) {
                    let reason = "is built in and cannot be changed";
                    problems.push(Invalid::new(format!("opts.{name}"), reason));
                }
            }
        }
        problems
    }
}

fn fixed_reason(base: Option<&Class>, done: &str) -> String {
    match base {
        Some(_) => format!("is built in and cannot be {done}, because Postroom works with it"),
        None => format!("is inherited and cannot be {done} here: change the class of `parent_id`"),
    }
}

fn add_problem(property: &Property, is_built_in: bool) -> Option<Invalid> {
    // Received mail and surveyed folders come without it.
    let lacks = is_built_in && property.required && property.default.is_null();
    let place = format!("properties.{}.default", property.name);
    let reason = "is missing: a required property of a built-in class has a default, because \
                  Postroom makes entities of the class too, and knows no other value";
    lacks.then(|| Invalid::new(place, reason))
}

/// What is refused of the change of one property, whatever is stored.
fn change_problems(
    before: &Property,
    after: &Property,
    base: Option<&Property>,
    is_fixed: bool,
) -> Vec<Invalid> {
    let place = |name: &str| format!("properties.{}.{name}", after.name);
    let Some(base) = base.filter(|_| is_fixed) else {
        if is_fixed {
            let reason = fixed_reason(None, "changed");
            return vec![Invalid::new(format!("properties.{}", before.name), reason)];
        }
        let mut problems = vec![];
        if let Err(reason) = demands(before, after) {
            problems.push(Invalid::new(place("data_type"), reason));
        }
        return problems;
    };
    let mut problems = vec![];
    let mut built_in = |name: &str, is_same: bool| {
        if !is_same {
            let reason = "is built in and cannot be changed, because Postroom works with it";
            problems.push(Invalid::new(place(name), reason));
        }
    };
    built_in("name", before.name == after.name);
    built_in("data_type", before.data_type == after.data_type);
    built_in("multi", before.multi == after.multi);
    built_in("required", before.required == after.required);
    built_in("idclass", before.idclass == after.idclass);
    built_in("opts", before.opts == after.opts);
    if let Some(reason) = base.default_refused().filter(|_| before.default != after.default) {
        problems.push(Invalid::new(place("default"), reason));
    }
    let added = after.items.iter().find(|item| !before.items.contains(item));
    if let (Some(item), Some(reason)) = (added, closed_reason(base)) {
        problems.push(Invalid::new(place("items"), format!("takes no `{item}`: {reason}")));
    }
    problems.extend(
        items_like_built_in(base, before, after).map(|reason| Invalid::new(place("items"), reason)),
    );
    let lost = base.items.iter().find(|item| !after.items.contains(item));
    if let Some(item) = lost {
        let reason = format!("`{item}` is built in and cannot be removed: Postroom works with it");
        problems.push(Invalid::new(place("items"), reason));
    }
    problems
}

impl Property {
    /// Why a built-in property takes no default of a client. `None`: it takes one.
    pub(crate) fn default_refused(&self) -> Option<&'static str> {
        if self.read_only() {
            Some("is built in and cannot be changed, because Postroom works with it")
        } else if self.write_only() {
            Some("is refused: everybody who reads the class would see this secret")
        } else if builtin::NULL_OBEYED.contains(&self.name.as_str()) {
            Some(
                "is refused: Postroom obeys null of this property, and null would set the default. \
                 Send the value with each entity",
            )
        } else {
            None
        }
    }
}

/// What is wrong with new items of a built-in enum that differ from its own by case alone: a client
/// that mistypes `sending` would wait for ever.
fn items_like_built_in<'a>(
    base: &'a Property,
    before: &'a Property,
    after: &'a Property,
) -> impl Iterator<Item = String> + 'a {
    let new = after.items.iter().filter(|item| !before.items.contains(item));
    new.filter_map(|item| {
        let is_like = |built_in: &&String| *built_in != item && fold(built_in) == fold(item);
        let built_in = base.items.iter().find(is_like)?;
        Some(format!("`{item}` differs from the built-in `{built_in}` by case alone"))
    })
}

/// Why a built-in enum takes no items of extensions. `None`: it takes them.
fn closed_reason(base: &Property) -> Option<&'static str> {
    if base.data_type != DataType::Enum {
        None
    } else if builtin::OBEYED.contains(&base.name.as_str()) {
        Some(
            "Postroom obeys the values of this property, and would not know what another one \
             means. Add a property of your own",
        )
    } else if base.read_only() {
        Some("only Postroom sets this property, so nobody could use it")
    } else {
        None
    }
}

/// What the stored values must be for a change of a property.
///
/// # Errors
///
/// Why it is refused whatever is stored.
pub fn demands(before: &Property, after: &Property) -> Result<Vec<Demand>, String> {
    use DataType::*;
    let mut demands = vec![];
    if before.is_file() != after.is_file() {
        let reason = "files and values do not become each other: add another property";
        return Err(reason.to_owned());
    }
    if (before.data_type == Increment) != (after.data_type == Increment) {
        return Err("an increment stays one: add another property".to_owned());
    }
    // A file is the first one of a list by itself. A value becomes no list, nor a list a value.
    let stays = before.multi == after.multi || (after.is_file() && after.multi);
    if !stays {
        demands.push(Demand::Unset);
    } else if before.data_type != after.data_type {
        demands.extend(of_types(before, after));
    }
    if after.required && !before.required {
        demands.push(Demand::Filled);
    }
    if before.data_type == Enum && after.data_type == Enum {
        let lost = before.items.iter().filter(|item| !after.items.contains(item));
        let lost: Vec<_> = lost.cloned().collect();
        if !lost.is_empty() {
            demands.push(Demand::NoneOf(lost));
        }
    }
    if after.data_type == Entity && (before.idclass != after.idclass || before.data_type != Entity)
    {
        demands.push(after.idclass.map_or(Demand::Unset, Demand::RefersTo));
    }
    demands.extend(narrowed(before, after));
    Ok(met(demands, before.multi || after.multi))
}

/// What the stored values must be for another data type. A list stays one, with the items that it
/// has.
fn of_types(before: &Property, after: &Property) -> Vec<Demand> {
    use DataType::*;
    let is_list = before.multi;
    match (before.data_type, after.data_type) {
        (Integer, Long | Float) | (Enum | Date | Time, String) | (Entity, Uuid) => vec![],
        (Integer | Long, String) if !is_list => vec![],
        // Greater ones have no exact floating point number.
        (Long, Float) => vec![Demand::AtLeast(-(1 << 53)), Demand::AtMost(1 << 53)],
        (Long, Integer) => {
            vec![Demand::AtLeast(i64::from(i32::MIN)), Demand::AtMost(i64::from(i32::MAX))]
        }
        (String, Enum) => vec![Demand::Among(after.items.clone())],
        // That each refers to an entity is demanded too.
        (Uuid, Entity) => vec![],
        (_, _) => vec![Demand::Unset],
    }
}

/// The demands, each of which can be asked of the stored values. Values of another type cannot be
/// compared with what is wanted now, and the items of lists are not looked at: then there must be
/// none.
fn met(mut demands: Vec<Demand>, is_list: bool) -> Vec<Demand> {
    let is_of_values = |demand: &Demand| match demand {
        Demand::Filled | Demand::Unset => false,
        Demand::NoneOf(_)
        | Demand::Among(_)
        | Demand::AtLeast(_)
        | Demand::AtMost(_)
        | Demand::BytesMax(_)
        | Demand::RefersTo(_) => true,
    };
    let must_be_unset = demands.contains(&Demand::Unset);
    if must_be_unset || (is_list && demands.iter().any(is_of_values)) {
        demands.retain(|demand| *demand == Demand::Filled);
        demands.push(Demand::Unset);
    }
    demands
}

/// What the stored values must be for narrower opts.
fn narrowed(before: &Property, after: &Property) -> Vec<Demand> {
    let mut demands = vec![];
    let mut narrower =
        |name: &str, is_narrower: fn(i64, i64) -> bool, demand: fn(i64) -> Demand| {
            let Some(bound) = after.bound(name) else {
                return;
            };
            if before.bound(name).is_none_or(|former| is_narrower(bound, former)) {
                demands.push(demand(bound));
            }
        };
    narrower("minimum", |new, former| new > former, Demand::AtLeast);
    narrower("maximum", |new, former| new < former, Demand::AtMost);
    narrower("max_length", |new, former| new < former, Demand::BytesMax);
    narrower("max_bytes", |new, former| new < former, |_| Demand::Unset);
    for name in ["single_line", "format"] {
        let new = after.opts.get(name).filter(|value| **value != Json::Bool(false));
        if new.is_some() && new != before.opts.get(name) {
            demands.push(Demand::Unset);
        }
    }
    demands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class_form::patched;
    use serde_json::json;

    #[test]
    fn an_item_that_differs_from_a_built_in_one_by_case_alone_is_refused() {
        let mut classes = builtin::classes().unwrap().into_iter();
        let before = classes.find(|class| class.classname == builtin::MESSAGES).unwrap();
        for (item, like) in [
            ("Sending", Some("sending")),
            ("SENT", Some("sent")),
            ("ſent", Some("sent")),
            ("resending", None),
            ("sending", None),
        ] {
            let state = json!({"name": "messageState", "items": [item]});
            let change = patched(&before, &json!({"properties": [state]})).unwrap();
            let problems = before.refused(&change.class, &change.renamed, Some(&before));
            let want = like.map(|like| {
                let reason = format!("`{item}` differs from the built-in `{like}` by case alone");
                Invalid::new("properties.messageState.items", reason)
            });
            assert_eq!(problems, Vec::from_iter(want), "{item}");
        }
        // An own state of another version of Postroom stays as it is.
        let mut with = before.clone();
        let state = with.properties.iter_mut().find(|one| one.name == "messageState").unwrap();
        state.items.push("Sending".to_owned());
        let change = patched(&with, &json!({"description": "x"})).unwrap();
        assert_eq!(with.refused(&change.class, &change.renamed, Some(&before)), vec![]);
    }
}
