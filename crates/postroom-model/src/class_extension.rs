//! What a domain adds to a class that all domains have.
//!
//! ```text
//!   the class of all domains ─┐
//!   the extension ────────────┴─► the class as the domain has it
//! ```
//! An extension keeps only what differs, twice: as the domain has it, and as all domains had it
//! when it was written. So what the domain changed is known when the class of all is changed later.

use crate::class::Class;
use crate::class_merge::merged;
use crate::domain::Domain;
use crate::invalid::Invalid;
use crate::property::DataType;
use crate::property::Property;

/// The opts of a class that a domain may have otherwise.
const OPTS: [&str; 5] = ["title", "comment", "lookup_properties", "max_mask", "max_limit"];
/// What the names of the classes begin with that a domain may extend, if they are built in.
const EXTENDED: &str = "email/";

/// What a domain adds to a class of all domains.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// The class as the domain has it. Of its properties, those that differ.
    pub stored: Class,
    /// The class as all domains had it. Of its properties, those of the same names.
    pub base: Class,
}

impl Extension {
    /// What differs between a class of all domains and the same one as a domain has it.
    #[must_use]
    pub fn of(all: &Class, class: &Class) -> Self {
        let differs = |name: &str| all.property(name) != class.property(name);
        let only = |class: &Class| {
            let properties = class.properties.iter().filter(|one| differs(&one.name));
            Class { properties: properties.cloned().collect(), ..class.clone() }
        };
        Self { stored: only(class), base: only(all) }
    }

    /// Whether the domain has the class as all domains have it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let texts = |class: &Class| [class.name.clone(), class.description.clone()];
        self.stored.properties.is_empty()
            && texts(&self.stored) == texts(&self.base)
            && self.stored.opts == self.base.opts
    }

    /// The class as the domain has it, from the present class of all domains. Its revision is the
    /// later one of both.
    #[must_use]
    pub fn applied(&self, all: &Class, domain: &Domain) -> Class {
        Class {
            domain: Some(domain.clone()),
            version: all.version,
            revision: all.revision.max(self.stored.revision),
            fixed: all.fixed,
            ..merged(&self.stored, &self.base, all).class
        }
    }

    /// The properties that the domain added.
    pub fn own(&self) -> impl Iterator<Item = &Property> {
        self.stored.properties.iter().filter(|property| property.column.is_some())
    }
}

impl Class {
    /// Whether every domain may add to the class for itself.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.is_built_in() && self.classname.starts_with(EXTENDED)
    }

    /// The class as a domain changes it: all is fixed but the properties that the domain added.
    #[must_use]
    pub fn extended(&self) -> Self {
        let fixed = self.properties.iter().take_while(|property| property.column.is_none());
        Self { fixed: fixed.count(), ..self.clone() }
    }

    /// What is refused of another definition by a domain. `all`: the class as all domains have it.
    #[must_use]
    pub fn extension_problems(&self, all: &Self) -> Vec<Invalid> {
        let mut problems = vec![];
        let mut wrong = |place: String, reason: &str| problems.push(Invalid::new(place, reason));
        if !all.is_extended() {
            let reason = "is a class that only tokens of the domains `default` and `master` \
                          change. A domain extends the built-in classes whose names begin with \
                          `email/`";
            wrong("classname".to_owned(), reason);
        }
        for name in self.opts.keys().chain(all.opts.keys()) {
            if !OPTS.contains(&name.as_str()) && self.opts.get(name) != all.opts.get(name) {
                wrong(format!("opts.{name}"), "is the same for all domains");
            }
        }
        for property in self.properties.iter().skip(all.properties.len()) {
            let place = |key: &str| format!("properties.{}.{key}", property.name);
            if matches!(property.data_type, DataType::Increment | DataType::Attachment) {
                let reason = "is not for a property that a domain adds to a class of all domains: \
                              increments and files are added by those who administer the classes";
                wrong(place("data_type"), reason);
            }
            if property.required {
                let reason = "is refused: Postroom makes entities of this class too, and those \
                              that are there have no value";
                wrong(place("required"), reason);
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::class_change::ClassStep;
    use crate::class_change::class_steps;
    use crate::class_form::patched;
    use crate::class_form::replaced;
    use serde_json::json;

    fn messages() -> Class {
        let class = builtin::classes().unwrap().remove(3);
        Class { fixed: class.properties.len(), ..class }
    }

    fn acme() -> Domain {
        Domain::new("acme").unwrap()
    }

    /// The extension by the body of a PATCH. Each property that it adds has a column.
    fn extension(all: &Class, body: &serde_json::Value) -> Extension {
        let mut class = patched(&all.extended(), body).unwrap().class;
        for property in class.properties.iter_mut().skip(all.properties.len()) {
            property.column = Some(format!("own {}", property.name));
        }
        Extension::of(all, &class)
    }

    #[test]
    fn an_extension_keeps_what_differs_and_gives_the_class_of_the_domain() {
        let all = messages();
        let body = json!({"name": "Mails", "properties": [
            {"name": "ticketId", "data_type": "string"},
            {"name": "messageState", "items": ["processed"]},
            {"name": "subject", "caption": "What it is about"},
        ]});
        let extension = extension(&all, &body);
        assert_eq!((extension.stored.properties.len(), extension.base.properties.len()), (3, 2));
        let class = extension.applied(&all, &acme());
        assert_eq!(class.domain, Some(acme()));
        assert_eq!((class.name.as_str(), class.fixed), ("Mails", all.properties.len()));
        assert_eq!(class.property("ticketId").unwrap().column(), "own ticketId");
        assert!(class.property("messageState").unwrap().items.contains(&"processed".to_owned()));
        assert_eq!(class.property("subject").unwrap().caption, "What it is about");
        assert!(!extension.is_empty());
        for class in [
            all.clone(),
            // Who changed it, and when, is not what a domain adds.
            Class { revision: 7, ext: class.ext.clone(), domain: Some(acme()), ..all.clone() },
        ] {
            assert!(Extension::of(&all, &class).is_empty());
        }
        let described = Class { description: "Ours".to_owned(), ..all.clone() };
        assert!(!Extension::of(&all, &described).is_empty());
        let mut titled = all.clone();
        titled.opts.insert("title".to_owned(), json!("Ours"));
        assert!(!Extension::of(&all, &titled).is_empty());
        assert_eq!(
            Extension::of(&all, &class),
            Extension {
                stored: Class { domain: Some(acme()), ..extension.stored.clone() },
                ..extension
            }
        );
    }

    #[test]
    fn what_all_domains_get_later_is_there_beside_what_the_domain_has() {
        let all = messages();
        let body = json!({"properties": [{"name": "ticketId", "data_type": "string"},
            {"name": "messageState", "items": ["processed"]}]});
        let extension = extension(&all, &body);
        let later = json!({"properties": [{"name": "TicketID", "data_type": "long"},
            {"name": "messageState", "items": ["archived"], "caption": "State"}]});
        let later = patched(&all, &later).unwrap().class;
        let class = extension.applied(&later, &acme());
        let state = class.property("messageState").unwrap();
        assert!(state.items.ends_with(&["archived".to_owned(), "processed".to_owned()]));
        assert_eq!(state.caption, "State");
        assert_eq!(class.property("TicketID").unwrap().column, None);
        // Both are there, and the values of the domain stay where they were.
        assert_eq!(class.property("own_ticketId").unwrap().column(), "own ticketId");
    }

    #[test]
    fn what_a_domain_may_not_change_is_named() {
        let all = messages();
        let table = [
            (json!({"opts": {"indexes": [["subject"]]}}), "opts.indexes"),
            (json!({"opts": {"max_limit": 5}}), ""),
            (
                json!({"properties": [{"name": "n", "data_type": "increment"}]}),
                "properties.n.data_type",
            ),
            (
                json!({"properties": [{"name": "f", "data_type": "attachment"}]}),
                "properties.f.data_type",
            ),
            (
                json!({"properties": [{"name": "r", "data_type": "long", "required": true,
                "default": 1}]}),
                "properties.r.required",
            ),
        ];
        for (body, place) in table {
            let after = patched(&all.extended(), &body).unwrap().class;
            let problems = after.extension_problems(&all);
            let places: Vec<_> = problems.iter().map(|one| one.property.as_str()).collect();
            assert_eq!(places.join(" "), place, "{body}");
        }
        let tokens = builtin::classes().unwrap();
        let tokens = tokens.iter().find(|class| class.classname == builtin::TOKENS).unwrap();
        let tokens = Class { fixed: tokens.properties.len(), ..tokens.clone() };
        assert_eq!(tokens.extension_problems(&tokens)[0].property, "classname");
    }

    #[test]
    fn a_new_property_under_the_former_name_of_another_has_a_column_of_its_own() {
        let all = messages();
        let body = json!({"properties": [{"name": "note", "data_type": "string"}]});
        let before = extension(&all, &body).applied(&all, &acme()).extended();
        let both = json!([
            {"name": "remark", "data_type": "string", "renamed_from": "note"},
            {"name": "note", "data_type": "string"},
        ]);
        let mut whole = serde_json::to_value(&before.properties).unwrap();
        let list = whole.as_array_mut().unwrap();
        list.pop();
        list.extend(both.as_array().unwrap().iter().cloned());
        for change in [
            patched(&before, &json!({"properties": both})).unwrap(),
            replaced(&before, &json!({"properties": whole, "opts": before.opts})).unwrap(),
        ] {
            let column = |name: &str| change.class.property(name).unwrap().column.as_deref();
            assert_eq!((column("remark"), column("note")), (Some("own note"), None));
            let steps = class_steps(&before, &change.class, &change.renamed);
            let named = |step: &ClassStep<'_>| match step {
                ClassStep::Add(property) => format!("add {}", property.name),
                ClassStep::Remove(property) => format!("remove {}", property.name),
                ClassStep::Change { before, after } => format!("{} to {}", before.name, after.name),
            };
            let steps: Vec<_> = steps.iter().map(named).collect();
            assert_eq!(steps, ["note to remark", "add note"]);
            assert_eq!(before.refused(&change.class, &change.renamed, Some(&all)), vec![]);
        }
    }

    #[test]
    fn a_property_is_renamed_to_one_name() {
        let all = messages();
        let body = json!({"properties": [{"name": "note", "data_type": "string"}]});
        let before = extension(&all, &body).applied(&all, &acme()).extended();
        let body = json!({"properties": [
            {"name": "remark", "data_type": "string", "renamed_from": "note"},
            {"name": "memo", "data_type": "string", "renamed_from": "note"},
        ]});
        let change = patched(&before, &body).unwrap();
        let problems = before.refused(&change.class, &change.renamed, Some(&all));
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let reason = "properties.memo: `note` is renamed to `remark` already: it has one name";
        assert_eq!(problems, [reason]);
    }
}
