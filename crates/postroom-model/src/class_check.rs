//! What a class definition must be, so that tables, paths and filters can be made of it.

use crate::class::Class;
use crate::id::ClassId;
use crate::invalid::Invalid;
use crate::limits::CLASS_TEXT_BYTES_MAX;
use crate::limits::CLASSES_MAX;
use crate::limits::CLASSNAME_CHARS_MAX;
use crate::limits::ITEM_BYTES_MAX;
use crate::limits::ITEMS_MAX;
use crate::limits::NAME_CHARS_MAX;
use crate::limits::PROPERTIES_MAX;
use crate::property::DataType;
use crate::property::Property;
use crate::validate;
use std::collections::HashMap;
use std::collections::HashSet;

/// What no property may be called, in any case: what every entity has, what answers show beside the
/// properties, and what databases call columns of their own.
const RESERVED: [&str; 18] = [
    "id",
    "version",
    "domain",
    "files",
    "ext",
    "rowid",
    "oid",
    "ctid",
    "xmin",
    "xmax",
    "cmin",
    "cmax",
    "tableoid",
    "seq",
    "claimtoken",
    "claimedby",
    "claimeduntil",
    "claims",
];

impl Class {
    /// What is wrong with the definition beside the other `classes`, which may include it. Each
    /// problem names its place, such as `properties[3].items`.
    #[must_use]
    pub fn check(&self, classes: &[Self]) -> Vec<Invalid> {
        let mut problems = vec![];
        let segments: Vec<_> = self.classname.split('/').collect();
        if !segments.iter().all(|segment| is_name(segment)) {
            let reason = format!("is one or more parts with `/` between them, and each {NAME}");
            problems.push(Invalid::new("classname", reason));
        } else if self.classname.len() > CLASSNAME_CHARS_MAX {
            let reason = format!("has at most {CLASSNAME_CHARS_MAX} characters");
            problems.push(Invalid::new("classname", reason));
        }
        let others = classes.iter().filter(|other| other.id != self.id);
        let same = |other: &&Self| other.classname.eq_ignore_ascii_case(&self.classname);
        if let Some(other) = others.clone().find(same) {
            let reason = format!("another class is called `{}`", other.classname);
            problems.push(Invalid::new("classname", reason));
        }
        if let Some(parent) = self.parent_id
            && let Some(reason) = self.parent_problem(parent, classes)
        {
            problems.push(Invalid::new("parent_id", reason));
        }
        // Each domain has its own limit beside that of what all domains have.
        let own = self.properties.iter().filter(|property| property.column.is_some()).count();
        if own.max(self.properties.len() - own) > PROPERTIES_MAX {
            let reason = format!("a class has at most {PROPERTIES_MAX} properties");
            problems.push(Invalid::new("properties", reason));
        }
        let mut names = HashMap::new();
        for (at, property) in self.properties.iter().enumerate() {
            let place = format!("properties[{at}]");
            self.check_name(property, &place, &mut names, &mut problems);
            check_property(property, &place, &mut problems);
            let is_known = |id| id == self.id || classes.iter().any(|class| class.id == id);
            let is_reference = property.data_type == DataType::Entity;
            let reason = match property.idclass {
                None if is_reference => "is missing: it is the id of the class that is referred to",
                Some(_) if !is_reference => "stands only with the data type `entity`",
                Some(id) if !is_known(id) => "is the id of no class",
                None | Some(_) => continue,
            };
            problems.push(Invalid::new(format!("{place}.idclass"), reason));
        }
        problems.extend(self.text_problems());
        problems.extend(self.opts_problems());
        problems
    }

    /// What is wrong with all classes of a store.
    #[must_use]
    pub fn check_all(classes: &[Self]) -> Vec<Invalid> {
        let mut problems = vec![];
        if classes.len() > CLASSES_MAX {
            let reason = format!("there are at most {CLASSES_MAX} classes");
            problems.push(Invalid::new("", reason));
        }
        let mut ids = HashSet::new();
        for class in classes {
            let within = |problem: Invalid| {
                let place = format!("{}: {}", class.classname, problem.property);
                Invalid::new(place, problem.reason)
            };
            problems.extend(class.check(classes).into_iter().map(within));
            if !ids.insert(class.id) {
                let place = format!("{}: id", class.classname);
                problems.push(Invalid::new(place, "another class has this id"));
            }
        }
        problems
    }

    /// Why the class of that id cannot be its parent.
    fn parent_problem(&self, parent: ClassId, classes: &[Self]) -> Option<&'static str> {
        let mut next = Some(parent);
        for _ in 0..=classes.len() {
            let id = next?;
            if id == self.id {
                return Some("is the class itself, or one that extends it");
            }
            let Some(found) = classes.iter().find(|class| class.id == id) else {
                return Some("is the id of no other class");
            };
            next = found.parent_id;
        }
        Some("extends classes that extend each other")
    }

    /// The texts that are too long.
    fn text_problems(&self) -> Vec<Invalid> {
        let own = [("name".to_owned(), &self.name), ("description".to_owned(), &self.description)];
        let captions = self.properties.iter().enumerate();
        let captions = captions.map(|(at, p)| (format!("properties[{at}].caption"), &p.caption));
        let all = own.into_iter().chain(captions);
        let odd = all.filter(|(_, text)| text.len() > CLASS_TEXT_BYTES_MAX || text.contains('\0'));
        let reason = format!("has at most {CLASS_TEXT_BYTES_MAX} bytes, and no NUL character");
        odd.map(|(place, _)| Invalid::new(place, reason.as_str())).collect()
    }

    fn check_name(
        &self,
        property: &Property,
        place: &str,
        names: &mut HashMap<String, String>,
        problems: &mut Vec<Invalid>,
    ) {
        let mut is_free = |name: &str, place: String, problems: &mut Vec<Invalid>| {
            let folded = name.to_ascii_lowercase();
            if !is_name(name) {
                problems.push(Invalid::new(place, NAME));
            } else if RESERVED.contains(&folded.as_str()) {
                problems.push(Invalid::new(place, format!("`{name}` is reserved")));
            } else if let Some(other) = names.get(&folded) {
                let reason = format!(
                    "another property is called `{other}`, and names differ by more than upper \
                     and lower case"
                );
                problems.push(Invalid::new(place, reason));
            } else {
                names.insert(folded, name.to_owned());
            }
        };
        is_free(&property.name, format!("{place}.name"), problems);
        if let Some(alias) = property.alias().filter(|_| property.is_file()) {
            is_free(alias, format!("{place}.opts.alias"), problems);
        }
    }
}

/// What a name does.
const NAME: &str = "begins with a letter, and has at most 63 letters, digits and underscores";

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic())
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
        && name.len() <= NAME_CHARS_MAX
}

fn check_property(property: &Property, place: &str, problems: &mut Vec<Invalid>) {
    let at = |name: &str| format!("{place}.{name}");
    let is_enum = property.data_type == DataType::Enum;
    let mut items = HashSet::new();
    let mut wrong = |reason: &str| problems.push(Invalid::new(at("items"), reason));
    match property.items.len() {
        0 if is_enum => wrong("an enum has items"),
        1.. if !is_enum => wrong("stand only with the data type `enum`"),
        count if count > ITEMS_MAX => wrong(&format!("an enum has at most {ITEMS_MAX} items")),
        _ => {}
    }
    for (at, item) in property.items.iter().enumerate() {
        let reason = match item.as_str() {
            "" => "is empty",
            item if item.len() > ITEM_BYTES_MAX || item.chars().any(char::is_control) => {
                "is too long, or has a control character"
            }
            item if !items.insert(item) => "is there twice",
            _ => continue,
        };
        problems.push(Invalid::new(format!("{place}.items[{at}]"), reason));
    }
    if property.required && property.is_file() {
        problems.push(Invalid::new(at("required"), "a file cannot be required"));
    }
    if property.data_type == DataType::Increment {
        if property.multi || property.required || !property.default.is_null() {
            let reason = "an increment is counted by Postroom: it holds no list, is not required, \
                          and has no default";
            problems.push(Invalid::new(at("data_type"), reason));
        }
        return;
    }
    if property.default.is_null() {
        return;
    }
    if property.is_file() {
        problems.push(Invalid::new(at("default"), "a file has no default"));
    } else if let Err(problem) = validate::value(property, &property.default) {
        problems.push(Invalid::new(at("default"), problem.reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use proptest::prelude::*;
    use serde_json::Value as Json;
    use serde_json::json;

    const ID: &str = "0195f3a0-0000-7000-8000-0000000000ff";

    /// A class with these properties.
    fn class(properties: Json) -> Class {
        let class = json!({
            "id": ID, "classname": "crm/Tickets", "name": "", "description": "",
            "parent_id": null, "storage_mode": "category", "properties": properties,
            "opts": {}, "ext": {},
        });
        serde_json::from_value(class).unwrap()
    }

    /// What the check says of a class with these properties, beside the built-in ones.
    fn said(properties: Json) -> Vec<String> {
        let problems = class(properties).check(&builtin::classes().unwrap());
        problems.iter().map(|problem| format!("{}: {}", problem.property, problem.reason)).collect()
    }

    #[test]
    fn the_built_in_classes_are_right() {
        assert_eq!(Class::check_all(&builtin::classes().unwrap()), []);
    }

    #[test]
    fn what_is_wrong_with_a_property_is_told_with_its_place() {
        let unknown = "0195f3a0-0000-7000-8000-00000000dead";
        #[rustfmt::skip]
        let table = [
            (json!([{"name": "a", "data_type": "string"}, {"name": "A", "data_type": "long"}]),
                "properties[1].name: another property is called `a`"),
            (json!([{"name": "Version", "data_type": "string"}]), "properties[0].name: `Version` is reserved"),
            (json!([{"name": "id", "data_type": "string"}]),      "properties[0].name: `id` is reserved"),
            (json!([{"name": "", "data_type": "string"}]),        "properties[0].name: begins with a letter"),
            (json!([{"name": "1a", "data_type": "string"}]),      "properties[0].name: begins with a letter"),
            (json!([{"name": "a\"b", "data_type": "string"}]),   "properties[0].name: begins with a letter"),
            (json!([{"name": "ä", "data_type": "string"}]),       "properties[0].name: begins with a letter"),
            (json!([{"name": "a b", "data_type": "string"}]),     "properties[0].name: begins with a letter"),
            (json!([{"name": "a".repeat(64), "data_type": "string"}]), "properties[0].name: begins with a letter"),
            (json!([{"name": "a", "data_type": "enum"}]),         "properties[0].items: an enum has items"),
            (json!([{"name": "a", "data_type": "enum", "items": ["x", "x"]}]), "properties[0].items[1]: is there twice"),
            (json!([{"name": "a", "data_type": "enum", "items": ["x", ""]}]),  "properties[0].items[1]: is empty"),
            (json!([{"name": "a", "data_type": "string", "items": ["x"]}]),    "properties[0].items: stand only"),
            (json!([{"name": "a", "data_type": "entity"}]),       "properties[0].idclass: is missing"),
            (json!([{"name": "a", "data_type": "entity", "idclass": unknown}]), "properties[0].idclass: is the id of no class"),
            (json!([{"name": "a", "data_type": "string", "idclass": ID}]),      "properties[0].idclass: stands only"),
            (json!([{"name": "a", "data_type": "long", "default": "x"}]),       "properties[0].default: "),
            (json!([{"name": "a", "data_type": "enum", "items": ["x"], "default": "y"}]), "properties[0].default: "),
            (json!([{"name": "a", "data_type": "attachment", "default": "y"}]), "properties[0].default: a file"),
            (json!([{"name": "a", "data_type": "attachment", "opts": {"alias": "B"}}, {"name": "b", "data_type": "string"}]),
                "properties[1].name: another property is called `B`"),
        ];
        for (properties, want) in table {
            let found = said(properties.clone());
            assert!(
                matches!(found.as_slice(), [one] if one.starts_with(want)),
                "{want}: {found:?}"
            );
        }
        let own = json!([{"name": "parent", "data_type": "entity", "idclass": ID}]);
        assert_eq!(said(own), Vec::<String>::new(), "an entity may refer to one of its class");
    }

    #[test]
    fn limits_are_kept_to_the_last_one() {
        let many = |count: usize| {
            let property = |at| json!({"name": format!("p{at}"), "data_type": "string"});
            Json::Array((0..count).map(property).collect())
        };
        assert_eq!(said(many(200)), Vec::<String>::new());
        assert_eq!(said(many(201)), ["properties: a class has at most 200 properties"]);
        let items = |count: usize| {
            let items: Vec<_> = (0..count).map(|at| at.to_string()).collect();
            json!([{"name": "a", "data_type": "enum", "items": items}])
        };
        assert_eq!(said(items(1000)), Vec::<String>::new());
        assert_eq!(said(items(1001)), ["properties[0].items: an enum has at most 1000 items"]);
        assert_eq!(
            said(json!([{"name": "a".repeat(63), "data_type": "string"}])),
            Vec::<String>::new()
        );
        let classes = |count: u32| {
            let one = |at: u32| Class {
                id: ClassId::from_u128(u128::from(at) + 1),
                classname: format!("crm/C{at}"),
                ..class(json!([]))
            };
            Class::check_all(&(0..count).map(one).collect::<Vec<_>>())
        };
        assert_eq!(classes(200), []);
        assert_eq!(classes(201), [Invalid::new("", "there are at most 200 classes")]);
    }

    #[test]
    fn a_class_has_a_name_and_an_id_of_its_own() {
        let all = builtin::classes().unwrap();
        let named = |name: &str| Class { classname: name.to_owned(), ..class(json!([])) };
        for name in ["email/messages", "", "crm/", "/crm", "crm//a", "crm/1", "crm/a b", "c:d"] {
            let problems = named(name).check(&all);
            assert!(matches!(problems.as_slice(), [one] if one.property == "classname"), "{name}");
        }
        assert_eq!(named("crm/Tickets/Open_1").check(&all), []);
        let twice = [all[0].clone(), Class { classname: "a/B".to_owned(), ..all[0].clone() }];
        let problems = Class::check_all(&twice);
        assert!(problems.iter().any(|problem| problem.property == "a/B: id"), "{problems:?}");
        let orphan = Class { parent_id: Some(ClassId::nil()), ..class(json!([])) };
        assert_eq!(orphan.check(&all)[0].property, "parent_id");
        let mut history = class(json!([{"name": "at", "data_type": "date"}]));
        history.opts.insert("partition_property".to_owned(), json!("at"));
        assert_eq!(history.check(&all)[0].property, "opts.partition_property");
    }

    proptest! {
        #[test]
        fn a_name_is_as_its_pattern_says(name in "[A-Za-z0-9_ äÄ/.\"-]{0,5}") {
            let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
            let want = begins && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            prop_assert_eq!(is_name(&name), want);
        }
    }
}
