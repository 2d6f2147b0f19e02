//! The classes of a store at a start: those that are built in, with what clients made of them.
//!
//! A store keeps each built-in class twice: as it is, and as it was built in when it was written.
//! So what clients changed is known when a later release has it built in otherwise: that stays, and
//! the rest is as the release says.

use crate::class::Class;
use crate::class_change::RenamedProperty;
use crate::class_form::ClassChange;
use crate::property::DataType;
use crate::property::Property;
use crate::validate;
use serde_json::Map;
use serde_json::Value as Json;

/// A built-in class with what clients made of it. `stored`: the class as it is. `base`: how it was
/// built in then. `now`: how it is built in now. A property
/// of a client whose name is built in now gets another name.
#[must_use]
pub fn merged(stored: &Class, base: &Class, now: &Class) -> ClassChange {
    let mut class = now.clone();
    class.name = changed(&stored.name, &base.name, &now.name);
    class.description = changed(&stored.description, &base.description, &now.description);
    class.opts = opts(&stored.opts, &base.opts, &now.opts);
    class.ext.clone_from(&stored.ext);
    for property in &mut class.properties {
        let (stored, base) = (stored.property(&property.name), base.property(&property.name));
        if let (Some(stored), Some(base)) = (stored, base) {
            property.caption = changed(&stored.caption, &base.caption, &property.caption);
            keep_values(property, stored, base);
        }
    }
    class.fixed = now.properties.len();
    let mut renamed = vec![];
    let own = stored.properties.iter().filter(|property| base.property(&property.name).is_none());
    for property in own {
        let mut property = property.clone();
        if is_taken(&class, &property.name) {
            let from = property.name.clone();
            while is_taken(&class, &property.name) {
                property.name = format!("own_{}", property.name);
            }
            renamed.push(RenamedProperty { from, to: property.name.clone() });
        }
        class.properties.push(property);
    }
    ClassChange { class, renamed }
}

/// Gives a property the items and the default of the stored one, as far as it takes them as it is
/// now. An entity that gets a default which its property does not take could not be stored.
fn keep_values(property: &mut Property, stored: &Property, base: &Property) {
    let kind = |property: &Property| (property.data_type, property.multi, property.idclass);
    if kind(property) != kind(stored) {
        return;
    }
    if property.data_type == DataType::Enum {
        let own = stored.items.iter().filter(|item| !base.items.contains(item));
        let new = own.filter(|item| !property.items.contains(item)).cloned();
        let new: Vec<_> = new.collect();
        property.items.extend(new);
    }
    let default = changed(&stored.default, &base.default, &property.default);
    let is_taken = default.is_null() || validate::value(property, &default).is_ok();
    // Earlier versions took defaults that are refused now.
    if is_taken && property.default_refused().is_none() {
        property.default = default;
    }
}

fn is_taken(class: &Class, name: &str) -> bool {
    class.properties.iter().any(|one| one.name.eq_ignore_ascii_case(name))
}

fn changed<T: PartialEq + Clone>(stored: &T, base: &T, now: &T) -> T {
    if stored == base { now.clone() } else { stored.clone() }
}

fn opts(
    stored: &Map<String, Json>,
    base: &Map<String, Json>,
    now: &Map<String, Json>,
) -> Map<String, Json> {
    let mut opts = now.clone();
    for name in stored.keys().chain(base.keys()) {
        let (stored, base) = (stored.get(name), base.get(name));
        if stored != base {
            match stored {
                Some(value) => opts.insert(name.clone(), value.clone()),
                None => opts.shift_remove(name),
            };
        }
    }
    opts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::class_form::created;
    use crate::id::ClassId;
    use serde_json::json;

    #[test]
    fn a_default_that_is_refused_now_ends_with_the_next_start_and_others_stay() {
        for (class, name, default, stays) in [
            (builtin::MESSAGES, "messageState", json!("sending"), false),
            (builtin::MESSAGES, "messageType", json!("text"), true),
            (builtin::ACCOUNTS, "password", json!("secret"), false),
            (builtin::PROFILES, "imapSecurity", json!("starttls"), true),
        ] {
            let classes = builtin::classes().unwrap();
            let base = classes.iter().find(|one| one.classname == class).unwrap();
            let mut stored = base.clone();
            let property = stored.properties.iter_mut().find(|one| one.name == name).unwrap();
            property.default = default.clone();
            let found = merged(&stored, base, base).class;
            let want = if stays { &default } else { &Json::Null };
            assert_eq!(&found.property(name).unwrap().default, want, "{name}");
        }
    }

    #[test]
    fn what_was_added_to_a_property_ends_when_the_property_does_not_take_it_any_more() {
        let base = json!({"data_type": "enum", "items": ["a", "b"], "default": "a"});
        let stored = json!({"data_type": "enum", "items": ["a", "b", "own"], "default": "own"});
        let plain = json!({"data_type": "string"});
        let (text, list) = (json!({"data_type": "string", "default": "texts"}), json!(["l"]));
        let short = json!({"data_type": "string", "opts": {"max_length": 3}, "default": "all"});
        let long = json!({"data_type": "long"});
        let seven = json!({"data_type": "long", "default": 7});
        let both = json!({"data_type": "enum", "items": ["own", "b"]});
        let b = json!({"data_type": "enum", "items": ["a", "b"], "default": "b"});
        let without = json!({"data_type": "enum", "items": ["a"], "default": "a"});
        let many = json!({"data_type": "string", "multi": true, "default": list});
        let high = json!({"data_type": "long", "opts": {"minimum": 8}});
        #[rustfmt::skip]
        let table = [
            // base    stored   now       items wanted          default wanted
            (&base,    &stored, &base,    vec!["a", "b", "own"], json!("own")),
            (&base,    &stored, &without, vec!["a", "own"],      json!("own")),
            (&base,    &stored, &both,    vec!["own", "b"],      json!("own")),
            (&base,    &stored, &plain,   vec![],                Json::Null),
            (&base,    &stored, &text,    vec![],                json!("texts")),
            (&base,    &b,      &without, vec!["a"],             json!("a")),
            (&plain,   &text,   &plain,   vec![],                json!("texts")),
            (&plain,   &text,   &short,   vec![],                json!("all")),
            (&plain,   &text,   &long,    vec![],                Json::Null),
            (&plain,   &text,   &many,    vec![],                json!(["l"])),
            (&plain,   &many,   &plain,   vec![],                Json::Null),
            (&long,    &seven,  &long,    vec![],                json!(7)),
            (&long,    &seven,  &high,    vec![],                Json::Null),
            // The same words, and so a default that another type takes too.
            (&plain,   &text,   &json!({"data_type": "any"}), vec![], Json::Null),
        ];
        for (base, stored, now, items, default) in table {
            let class = |members: &Json| {
                let mut property = members.clone();
                property["name"] = json!("p");
                let class = json!({"classname": "crm/Tickets", "properties": [property]});
                created(&class, ClassId::from_u128(1)).unwrap()
            };
            let found = merged(&class(stored), &class(base), &class(now)).class;
            let property = found.property("p").unwrap();
            assert_eq!(property.items, items, "{stored} {now}");
            assert_eq!(property.default, default, "{stored} {now}");
            let problems = found.check(std::slice::from_ref(&found));
            assert_eq!(problems, vec![], "{stored} {now}");
        }
    }
}
