//! Classes as clients send them: `POST` makes one, `PATCH` adds to one, `PUT` replaces one.
//!
//! Unknown keys are errors that name them. `PATCH` takes nothing away: it adds properties and
//! items, and changes what it names of others. In its properties `renamed_from` renames one, and
//! `removed` removes it. `PUT` removes what it does not name.

use crate::class::Class;
use crate::class::StorageMode;
use crate::class::of_every_entity;
use crate::class_change::RenamedProperty;
use crate::class_change::former_name;
use crate::class_members::Members;
use crate::id::ClassId;
use crate::invalid::Invalid;
use crate::property::DataType;
use crate::property::Property;
use crate::validate;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::HashSet;

/// The keys of a class.
const OF_CLASS: [&str; 9] = [
    "id",
    "classname",
    "name",
    "description",
    "parent_id",
    "storage_mode",
    "properties",
    "opts",
    "ext",
];
/// The keys of a property.
const OF_PROPERTY: [&str; 9] =
    ["name", "data_type", "multi", "required", "default", "idclass", "items", "caption", "opts"];
/// The key of a property that has another name from now on.
const RENAMED_FROM: &str = "renamed_from";
/// The key of a property that a PATCH removes.
const REMOVED: &str = "removed";
/// The length of the strings in an index, in octets, where the client gives none.
const INDEXED_LENGTH: i64 = 500;

/// A class as a client wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassChange {
    /// The class.
    pub class: Class,
    /// The properties that have other names now.
    pub renamed: Vec<RenamedProperty>,
}

/// A new class, by the body of a `POST`. `new_id` is its id, unless the client chooses one.
///
/// # Errors
///
/// Every problem of its form, each with its place.
pub fn created(json: &Json, new_id: ClassId) -> Result<Class, Vec<Invalid>> {
    let mut read = Members::of(json, "", &OF_CLASS)?;
    let class = Class {
        id: read.member("id", "a UUID").unwrap_or(new_id),
        classname: read.text("classname").unwrap_or_default(),
        name: read.text("name").unwrap_or_default(),
        description: read.text("description").unwrap_or_default(),
        parent_id: read.member("parent_id", "the id of a class").flatten(),
        storage_mode: read.mode().unwrap_or(StorageMode::Category),
        properties: vec![],
        opts: read.object("opts").unwrap_or_default(),
        ext: Map::new(),
        version: 0,
        revision: 0,
        fixed: 0,
        domain: None,
    };
    if class.classname.is_empty() && read.problems.is_empty() {
        read.wrong("classname", "is missing: the name of the class in paths");
    }
    if class.id.is_nil() {
        read.wrong("id", "takes a UUID that is not all zeros");
    }
    if read.object("ext").is_some_and(|ext| !ext.is_empty()) {
        read.wrong("ext", "is set by Postroom alone");
    }
    let mut change = ClassChange { class, renamed: vec![] };
    for (place, sent) in read.properties() {
        match property(&sent, &place, &[]) {
            Ok(found) if is_of_every_entity(&found) => {}
            Ok(found) => change.class.properties.push(found),
            Err(problems) => read.problems.extend(problems),
        }
    }
    limit_indexed(&mut change.class);
    read.done(change.class)
}

/// A class with what the body of a `PATCH` adds and changes.
///
/// # Errors
///
/// Every problem of its form, each with its place.
pub fn patched(class: &Class, json: &Json) -> Result<ClassChange, Vec<Invalid>> {
    let mut read = Members::of(json, "", &OF_CLASS)?;
    let mut change = begun(&mut read, class);
    for (name, value) in read.object("opts").unwrap_or_default() {
        if value.is_null() {
            change.class.opts.shift_remove(&name);
        } else {
            change.class.opts.insert(name, value);
        }
    }
    let mut names = HashSet::new();
    for (place, sent) in read.properties() {
        // One that is removed may be made again.
        let is_removed = sent.get(REMOVED) == Some(&Json::Bool(true));
        let name = sent.get("name").and_then(Json::as_str).filter(|_| !is_removed);
        if let Some(name) = name.filter(|name| !names.insert((*name).to_owned())) {
            let reason = format!("`{name}` is named twice: send all of a property once");
            read.problems.push(Invalid::new(format!("{place}.name"), reason));
        } else if let Err(problems) = change.patch(&sent, &place) {
            read.problems.extend(problems);
        }
    }
    limit_indexed(&mut change.class);
    change.keep_columns(class);
    read.done(change)
}

/// A class as the body of a `PUT` describes it. What it has from elsewhere, built in or inherited,
/// may be left out of an inheriting class, and not of a built-in one.
///
/// # Errors
///
/// Every problem of its form, each with its place.
pub fn replaced(class: &Class, json: &Json) -> Result<ClassChange, Vec<Invalid>> {
    let mut read = Members::of(json, "", &OF_CLASS)?;
    let mut change = begun(&mut read, class);
    change.class.name = read.text("name").unwrap_or_default();
    change.class.description = read.text("description").unwrap_or_default();
    change.class.opts = read.object("opts").unwrap_or_default();
    let (mut fixed, mut own) = (vec![], vec![]);
    for (place, sent) in read.properties() {
        match property(&sent, &place, &[RENAMED_FROM]) {
            Ok(found) if is_of_every_entity(&found) => {}
            Ok(found) => {
                let of = class.properties.iter().take(class.fixed);
                let is_fixed = of.clone().any(|property| property.name == found.name);
                if let Err(problem) = change.rename(&sent, &found.name, &place) {
                    read.problems.push(problem);
                }
                if is_fixed { fixed.push(found) } else { own.push(found) }
            }
            Err(problems) => read.problems.extend(problems),
        }
    }
    if class.parent_id.is_some() {
        let of = class.properties.iter().take(class.fixed);
        let missing = of.filter(|one| !fixed.iter().any(|property| property.name == one.name));
        let missing: Vec<_> = missing.cloned().collect();
        fixed.extend(missing);
    }
    // Those that are built in or inherited keep their order.
    let place = |name: &str| class.properties.iter().position(|property| property.name == name);
    fixed.sort_by_key(|property| place(&property.name));
    change.class.fixed = fixed.len();
    change.class.properties = fixed.into_iter().chain(own).collect();
    limit_indexed(&mut change.class);
    change.keep_columns(class);
    read.done(change)
}

/// The problems of a class, with its properties at the places where the client sent them. One that
/// it did not send is named. `properties`: those that the client may send, as the class has them.
/// `inherited`: how many others are before them.
#[must_use]
pub fn as_sent(
    problems: Vec<Invalid>,
    properties: &[Property],
    inherited: usize,
    sent: &Json,
) -> Vec<Invalid> {
    let list = sent.get("properties").and_then(Json::as_array);
    let list: Vec<_> = list.into_iter().flatten().map(|one| one.get("name")).collect();
    let of = |mut problem: Invalid| {
        let place = problem.property.strip_prefix("properties[").and_then(|at| at.split_once(']'));
        let Some((at, rest)) = place else {
            return problem;
        };
        let at = at.parse::<usize>().ok().and_then(|at| at.checked_sub(inherited));
        let Some(property) = at.and_then(|at| properties.get(at)) else {
            return problem;
        };
        let is_it = |name: &Option<&Json>| name.and_then(Json::as_str) == Some(&property.name);
        // Of two with the same name, the later one is wrong.
        problem.property = match list.iter().rposition(is_it) {
            Some(at) => format!("properties[{at}]{rest}"),
            None => format!("properties.{}{rest}", property.name),
        };
        problem
    };
    problems.into_iter().map(of).collect()
}

impl ClassChange {
    /// Adds a property, or changes or removes the one of its name.
    fn patch(&mut self, sent: &Map<String, Json>, place: &str) -> Result<(), Vec<Invalid>> {
        let name = sent.get("name").and_then(Json::as_str).unwrap_or_default();
        let properties = &mut self.class.properties;
        if sent.get(REMOVED) == Some(&Json::Bool(true)) {
            if let Some(other) = sent.keys().find(|key| !["name", REMOVED].contains(&key.as_str()))
            {
                let reason = "stands beside `removed`, which only a `name` does";
                return Err(vec![Invalid::new(format!("{place}.{other}"), reason)]);
            }
            let Some(at) = properties.iter().position(|property| property.name == name) else {
                let reason = format!("there is no property `{name}` to remove");
                return Err(vec![Invalid::new(format!("{place}.name"), reason)]);
            };
            properties.remove(at);
            unindex(&mut self.class.opts, name);
            if at < self.class.fixed {
                self.class.fixed -= 1;
            }
            return Ok(());
        }
        self.rename(sent, name, place).map_err(|problem| vec![problem])?;
        let properties = &mut self.class.properties;
        let former = self.renamed.iter().find(|renamed| renamed.to == name);
        let present = former.map_or(name, |renamed| renamed.from.as_str());
        let Some(present) = properties.iter_mut().find(|property| property.name == present) else {
            let found = property(sent, place, &[RENAMED_FROM, REMOVED])?;
            if !is_of_every_entity(&found) {
                properties.push(found);
            }
            return Ok(());
        };
        // What is not sent stays. Items are added, and opts are merged.
        let mut members = members_of(present);
        for (key, value) in sent {
            match (key.as_str(), members.get_mut(key)) {
                ("items", Some(Json::Array(items))) if value.is_array() => {
                    if value.as_array().is_some_and(Vec::is_empty) && !items.is_empty() {
                        let reason = "is empty: items are only added. To remove one, PUT the class \
                                      without it";
                        return Err(vec![Invalid::new(format!("{place}.items"), reason)]);
                    }
                    let known = items.clone();
                    let new = value.as_array().into_iter().flatten();
                    items.extend(new.filter(|item| !known.contains(item)).cloned());
                }
                ("opts", Some(Json::Object(opts))) if value.is_object() => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if value.is_null() {
                            opts.shift_remove(name);
                        } else {
                            opts.insert(name.clone(), value.clone());
                        }
                    }
                }
                _ => {
                    members.insert(key.clone(), value.clone());
                }
            }
        }
        *present = property(&members, place, &[RENAMED_FROM, REMOVED])?;
        Ok(())
    }

    /// Gives the properties of a class that stay the columns that they had.
    fn keep_columns(&mut self, before: &Class) {
        for property in &mut self.class.properties {
            let former = former_name(&self.renamed, &property.name);
            let former = former.and_then(|name| before.property(name));
            property.column = former.and_then(|one| one.column.clone());
        }
    }

    /// Notes that a property has another name.
    fn rename(&mut self, sent: &Map<String, Json>, to: &str, place: &str) -> Result<(), Invalid> {
        let place = format!("{place}.{RENAMED_FROM}");
        let from = match sent.get(RENAMED_FROM) {
            None | Some(Json::Null) => return Ok(()),
            Some(Json::String(from)) => from.clone(),
            Some(_) => return Err(Invalid::new(place, "takes the former name of the property")),
        };
        if from == to {
            return Ok(());
        }
        rename_in(&mut self.class.opts, &from, to);
        self.renamed.push(RenamedProperty { from, to: to.to_owned() });
        Ok(())
    }
}

/// Whether it is one of the two that every entity has, as answers show it.
fn is_of_every_entity(found: &Property) -> bool {
    of_every_entity().contains(found)
}

/// A property, by its JSON. `also`: keys that it may have beside its own.
fn property(
    sent: &Map<String, Json>,
    place: &str,
    also: &[&str],
) -> Result<Property, Vec<Invalid>> {
    let keys: Vec<_> = OF_PROPERTY.iter().chain(also).copied().collect();
    let mut read = Members::of_members(sent, place, &keys);
    let types = "one of string, boolean, integer, long, float, increment, datetime, date, time, \
                 uuid, entity, enum, any, attachment";
    let mut property = Property {
        name: read.text("name").unwrap_or_default(),
        data_type: read.member("data_type", types).unwrap_or(DataType::String),
        multi: read.member("multi", "true or false").unwrap_or(false),
        required: read.member("required", "true or false").unwrap_or(false),
        default: sent.get("default").cloned().unwrap_or_default(),
        idclass: read.member("idclass", "the id or the name of a class").flatten(),
        items: read.member("items", "a list of texts").unwrap_or_default(),
        caption: read.text("caption").unwrap_or_default(),
        opts: read.object("opts").unwrap_or_default(),
        column: None,
    };
    // The check of the class says what is wrong with another one.
    if let Ok(canonical) = validate::value(&property, &property.default) {
        property.default = canonical;
    }
    if !sent.contains_key("name") {
        read.wrong("name", "is missing");
    }
    if !sent.contains_key("data_type") {
        read.wrong("data_type", &format!("is missing: {types}"));
    }
    read.done(property)
}

/// The present class with the texts that are sent; notes what cannot change.
fn begun(read: &mut Members<'_>, class: &Class) -> ClassChange {
    let kept: [(&str, Json); 5] = [
        ("id", class.id.to_string().into()),
        ("classname", class.classname.as_str().into()),
        ("parent_id", class.parent_id.map(|id| id.to_string()).into()),
        ("storage_mode", serde_json::to_value(class.storage_mode).unwrap_or_default()),
        ("ext", Json::Object(class.ext.clone())),
    ];
    for (name, present) in kept {
        if read.has_other(name, &present) {
            read.wrong(name, &format!("cannot be changed: it is {present}"));
        }
    }
    let mut class = class.clone();
    class.name = read.text("name").unwrap_or(class.name);
    class.description = read.text("description").unwrap_or(class.description);
    ClassChange { class, renamed: vec![] }
}

/// Gives strings in indexes a length where the client gave none, because an index takes only values
/// of a limited length.
fn limit_indexed(class: &mut Class) {
    let names: Vec<_> = class.indexes().concat().into_iter().map(str::to_owned).collect();
    for property in class.properties.iter_mut().skip(class.fixed) {
        if property.data_type == DataType::String && names.contains(&property.name) {
            let length = || Json::from(INDEXED_LENGTH);
            property.opts.entry("max_length").or_insert_with(length);
        }
    }
}

/// The JSON of a property.
fn members_of(property: &Property) -> Map<String, Json> {
    match serde_json::to_value(property) {
        Ok(Json::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Gives a property its new name in the opts of its class.
fn rename_in(opts: &mut Map<String, Json>, from: &str, to: &str) {
    const NAMING: [&str; 5] =
        ["indexes", "lookup_properties", "max_mask", "partition_property", "expires_ts_property"];
    fn rename(value: &mut Json, from: &str, to: &str) {
        match value {
            Json::String(name) if name == from => to.clone_into(name),
            Json::Array(list) => list.iter_mut().for_each(|value| rename(value, from, to)),
            Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {}
        }
    }
    for name in NAMING {
        if let Some(value) = opts.get_mut(name) {
            rename(value, from, to);
        }
    }
}

/// Takes away the indexes of a property that is removed.
fn unindex(opts: &mut Map<String, Json>, name: &str) {
    if let Some(Json::Array(indexes)) = opts.get_mut("indexes") {
        let names =
            |list: &Json| list.as_array().is_some_and(|list| list.iter().any(|n| n == name));
        indexes.retain(|list| !names(list));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_default_has_the_form_of_the_values_of_its_property() {
        let table = [
            ("float", json!(7), json!(7.0)),
            ("float", json!(-0.0), json!(0.0)),
            ("datetime", json!("2026-01-01T02:00:00+02:00"), json!("2026-01-01T00:00:00.000Z")),
            ("string", json!("x"), json!("x")),
            // The check of the class refuses it.
            ("boolean", json!("yes"), json!("yes")),
            ("boolean", Json::Null, Json::Null),
        ];
        for (data_type, sent, want) in table {
            let property = json!({"name": "a", "data_type": data_type, "default": sent});
            let class = json!({"classname": "a/b", "properties": [property]});
            let class = created(&class, ClassId::from_u128(1)).unwrap();
            assert_eq!(class.property("a").unwrap().default.to_string(), want.to_string());
        }
        let long = json!({"name": "a", "data_type": "long", "default": 7});
        let before = json!({"classname": "a/b", "properties": [long]});
        let before = created(&before, ClassId::from_u128(1)).unwrap();
        let widened = json!({"properties": [{"name": "a", "data_type": "float"}]});
        let after = patched(&before, &widened).unwrap().class;
        assert_eq!(after.property("a").unwrap().default.to_string(), "7.0");
    }
}
