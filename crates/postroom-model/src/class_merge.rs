//! The classes of a store at a start: those that are built in, with what clients made of them.
//!
//! A store keeps each built-in class twice: as it is, and as it was built in when it was written.
//! So what clients changed is known when a later release has it built in otherwise: that stays, and
//! the rest is as the release says.

use crate::class::Class;
use crate::class_change::RenamedProperty;
use crate::class_form::ClassChange;
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
            // Earlier versions took defaults that are refused now.
            if property.default_refused().is_none() {
                property.default = changed(&stored.default, &base.default, &property.default);
            }
            let own = stored.items.iter().filter(|item| !base.items.contains(item));
            let new = own.filter(|item| !now_has(now, &property.name, item)).cloned();
            property.items.extend(new.collect::<Vec<_>>());
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

fn is_taken(class: &Class, name: &str) -> bool {
    class.properties.iter().any(|one| one.name.eq_ignore_ascii_case(name))
}

fn now_has(now: &Class, property: &str, item: &String) -> bool {
    now.property(property).is_some_and(|property| property.items.contains(item))
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
}
