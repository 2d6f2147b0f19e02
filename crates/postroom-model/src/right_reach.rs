//! The reach of rights: the entities of each class with which an action is allowed, where these are
//! not all.
//!
//! ```text
//!   rights with filters + classes ──► RightReach ──► the store adds it to what it reads and writes
//! ```
//! Several rights for one action reach all that one of them reaches. A filter that does not fit its
//! class, because that was changed since, reaches nothing.

use crate::class::Class;
use crate::entity::Entity;
use crate::filter::Filter;
use crate::filter::matches;
use crate::id::ClassId;
use crate::invalid::Invalid;
use crate::right_action::RightAction;
use crate::rights::FILTER;
use crate::rights::GrantedRight;
use crate::rights::Rights;
use crate::wanted::wanted_filter;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which entities rights reach. What it does not have is reached as a whole, if the rights allow
/// the action at all.
#[derive(Debug, Clone, PartialEq)]
pub struct RightReach {
    of_class: BTreeMap<String, ClassReach>,
    rights: Rights,
}

/// Which entities of a class rights reach.
#[derive(Debug, Clone, PartialEq)]
struct ClassReach {
    /// The class. `None`: there is none of that name now.
    id: Option<ClassId>,
    /// For each action that does not reach all.
    of_action: Vec<(RightAction, Filter)>,
}

impl RightReach {
    /// The reach of rights. `None`: they read all entities of all classes, but for those that say
    /// who may do what, and reach all entities of the classes that they name.
    #[must_use]
    pub fn of(rights: &Rights, classes: &[Arc<Class>]) -> Option<Self> {
        let Rights::Granted(all) = rights else {
            return None;
        };
        let mut of_class = BTreeMap::new();
        for name in all.iter().filter(|right| right.filter.is_some()).flat_map(|it| &it.classes) {
            let class = classes.iter().find(|class| class.classname == *name);
            let reader = GrantReader { class, classes };
            let reach = |action| Some((action, reach(all, action, name, reader)?));
            let of_action: Vec<_> = RightAction::ALL.into_iter().filter_map(reach).collect();
            if !of_action.is_empty() {
                let id = class.map(|class| class.id);
                of_class.insert(name.clone(), ClassReach { id, of_action });
            }
        }
        let is_all = of_class.is_empty() && rights.reads_all();
        (!is_all).then(|| Self { of_class, rights: rights.clone() })
    }

    /// The rights, as [`Rights::to_json`] writes them.
    #[must_use]
    pub fn rights(&self) -> Json {
        self.rights.to_json().unwrap_or_default()
    }

    /// Whether some entities of a class may be read.
    #[must_use]
    pub fn reads(&self, classname: &str) -> bool {
        self.rights.reads(classname)
    }

    /// The entities of a class with which an action is allowed. `None`: all.
    #[must_use]
    pub fn filter(&self, action: RightAction, classname: &str) -> Option<&Filter> {
        of(self.of_class.get(classname)?, action)
    }

    /// Whether some action reaches only some entities of a class.
    #[must_use]
    pub fn bounds(&self, classname: &str) -> bool {
        self.of_class.contains_key(classname)
    }

    /// Whether an action with an entity is allowed, as far as the entity decides that.
    #[must_use]
    pub fn reaches(&self, action: RightAction, classname: &str, entity: &Entity) -> bool {
        let filter = self.filter(action, classname);
        filter.is_none_or(|filter| matches(filter, entity, &|_, _| None))
    }

    /// The filter of a client as it is answered: entities that it may not read are none, also where
    /// a reference leads to them. `action` is what is done with those that match.
    #[must_use]
    pub fn within(
        &self,
        action: RightAction,
        classname: &str,
        asked: Option<&Filter>,
    ) -> Option<Filter> {
        let mut all = vec![];
        all.extend(asked.map(|asked| self.seen(asked.clone())));
        for action in [RightAction::Read, action] {
            let filter = self.filter(action, classname);
            all.extend(filter.filter(|filter| !all.contains(filter)).cloned());
        }
        all.into_iter().reduce(Filter::and)
    }

    /// A filter whose references lead only to entities that may be read.
    fn seen(&self, filter: Filter) -> Filter {
        let each = |all: Vec<Filter>| all.into_iter().map(|one| self.seen(one)).collect();
        match filter {
            Filter::Refers(reference, wanted) => {
                let wanted = self.seen(*wanted);
                let class = self.of_class.values().find(|one| one.id == Some(reference.class));
                let readable = class.and_then(|class| of(class, RightAction::Read)).cloned();
                let wanted = match readable {
                    Some(readable) => wanted.and(readable),
                    None => wanted,
                };
                Filter::Refers(reference, Box::new(wanted))
            }
            Filter::Some(items, wanted) => Filter::Some(items, Box::new(self.seen(*wanted))),
            Filter::Not(one) => Filter::Not(Box::new(self.seen(*one))),
            Filter::And(all) => Filter::And(each(all)),
            Filter::Or(any) => Filter::Or(each(any)),
            Filter::Compare(..)
            | Filter::In(..)
            | Filter::Between(..)
            | Filter::Like(..)
            | Filter::Contains(..)
            | Filter::StartsWith(..)
            | Filter::Match(_)
            | Filter::IsNull(_) => filter,
        }
    }
}

fn of(class: &ClassReach, action: RightAction) -> Option<&Filter> {
    class.of_action.iter().find(|(of, _)| *of == action).map(|(_, filter)| filter)
}

/// The entities with which an action is allowed by one of these rights. `None`: all, or by none of
/// the rights, which is refused as a whole.
fn reach(
    rights: &[GrantedRight],
    action: RightAction,
    classname: &str,
    reader: GrantReader<'_>,
) -> Option<Filter> {
    let mut any = vec![];
    for right in rights.iter().filter(|right| right.has(action, classname)) {
        let json = right.filter.as_ref()?;
        any.push(reader.read(json).unwrap_or(Filter::Or(vec![])));
    }
    (!any.is_empty()).then(|| if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
}

/// Reads the filters of rights.
#[derive(Clone, Copy)]
struct GrantReader<'a> {
    /// The class of the entities. `None`: there is none.
    class: Option<&'a Arc<Class>>,
    /// All classes.
    classes: &'a [Arc<Class>],
}

impl GrantReader<'_> {
    /// The filter of a right. It looks at the entity alone, because the events of a class know
    /// nothing of others.
    fn read(self, json: &Json) -> Result<Filter, Invalid> {
        let unknown = || Invalid::new("", "there is no such class");
        wanted_filter(self.class.ok_or_else(unknown)?, self.classes, json)
    }
}

/// What is wrong with the filters of the rights of a token. The rights are those of
/// [`Rights::of_token`].
#[must_use]
pub fn right_problems(rights: &Rights, classes: &[Arc<Class>]) -> Vec<Invalid> {
    let Rights::Granted(all) = rights else {
        return vec![];
    };
    let mut problems = vec![];
    for (at, right) in all.iter().enumerate() {
        let Some(json) = &right.filter else { continue };
        for name in &right.classes {
            let place = format!("rights[{at}]");
            let class = classes.iter().find(|class| class.classname == *name);
            if let Err(invalid) = (GrantReader { class, classes }).read(json) {
                let reason = format!("{} (for {name})", invalid.reason);
                let below = invalid.property.strip_prefix(FILTER).unwrap_or(&invalid.property);
                problems.push(Invalid::new(format!("{place}.{FILTER}{below}"), reason));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::builtin::ACCOUNTS;
    use crate::builtin::FOLDERS;
    use crate::builtin::MESSAGES;
    use crate::filter;
    use crate::filter::Names;
    use crate::id::EntityId;
    use serde_json::json;

    fn classes() -> Vec<Arc<Class>> {
        builtin::classes().unwrap().into_iter().map(Arc::new).collect()
    }

    fn rights(json: &Json) -> Rights {
        Rights::from_json(json).unwrap()
    }

    fn state(word: &str) -> Json {
        json!(["==", ["property", "messageState"], word])
    }

    fn right(actions: &[&str], classname: &str, filter: Json) -> Json {
        json!({"actions": actions, "classes": [classname], "filter": filter})
    }

    fn message(state: &str) -> Entity {
        let values = json!({"messageState": state});
        Entity::new(EntityId::from_u128(1), values.as_object().unwrap().clone())
    }

    #[test]
    fn an_action_reaches_what_one_of_its_rights_reaches() {
        let of = |all: Json| RightReach::of(&rights(&all), &classes());
        let read = right(&["read"], MESSAGES, state("sent"));
        let all = json!({"actions": ["read", "change"], "classes": ["*"]});
        assert_eq!(of(json!([all])), None);
        let mail = of(json!([{"actions": ["read"], "classes": ["email/*"]}])).unwrap();
        assert!(mail.reads(MESSAGES) && !mail.reads("crm/Deal") && !mail.bounds(MESSAGES));
        assert_eq!(of(json!([read, all])), None, "a right without a filter reaches all");
        let both = right(&["read", "change"], MESSAGES, state("error"));
        let reach = of(json!([read, both])).unwrap();
        use RightAction::{Change, Delete, Read};
        #[rustfmt::skip]
        let table = [
            // state     read   change
            ("sent",     true,  false),
            ("error",    true,  true),
            ("received", false, false),
        ];
        for (word, may_read, may_change) in table {
            assert_eq!(reach.reaches(Read, MESSAGES, &message(word)), may_read, "{word}");
            assert_eq!(reach.reaches(Change, MESSAGES, &message(word)), may_change, "{word}");
        }
        // Nobody may do it at all, which is refused before.
        assert_eq!(reach.filter(Delete, MESSAGES), None);
        assert_eq!(reach.filter(Read, FOLDERS), None);
        assert_eq!(rights(&reach.rights()), rights(&json!([read, both])));
    }

    #[test]
    fn a_filter_that_does_not_fit_any_more_reaches_nothing() {
        let gone = right(&["read"], MESSAGES, json!(["==", ["property", "gone"], 1]));
        let reach = RightReach::of(&rights(&json!([gone])), &classes()).unwrap();
        assert!(!reach.reaches(RightAction::Read, MESSAGES, &message("sent")));
        let other = right(&["read"], "crm/Deal", state("sent"));
        let reach = RightReach::of(&rights(&json!([other])), &classes()).unwrap();
        assert!(!reach.reaches(RightAction::Read, "crm/Deal", &message("sent")));
    }

    #[test]
    fn the_filters_of_rights_are_those_of_their_classes() {
        #[rustfmt::skip]
        let table = [
            (MESSAGES, state("sent"),                                    ""),
            (MESSAGES, state("flown"),                                   "rights[0].filter"),
            (MESSAGES, json!(["==", ["property", "gone"], 1]),           "rights[0].filter"),
            (MESSAGES, json!(["match", "words"]),                        "rights[0].filter"),
            (MESSAGES, json!(["==", ["property", "account_id.name"], 1]), "rights[0].filter"),
            (MESSAGES, json!([]),                                        "rights[0].filter"),
            ("crm/No", state("sent"),                                    "rights[0].filter"),
        ];
        for (classname, filter, want) in table {
            let rights = rights(&json!([right(&["read"], classname, filter.clone())]));
            let problems = right_problems(&rights, &classes());
            let found = problems.first().map(|one| one.property.clone()).unwrap_or_default();
            assert!(found.starts_with(want) && found.is_empty() == want.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_nothing_that_a_reference_leads_to() {
        let mine = json!(["==", ["property", "name"], "mine"]);
        let granted = json!([
            right(&["read"], ACCOUNTS, mine),
            right(&["read", "change"], MESSAGES, state("sent")),
        ]);
        let classes = classes();
        let reach = RightReach::of(&rights(&granted), &classes).unwrap();
        let messages = classes.iter().find(|class| class.classname == MESSAGES).unwrap();
        let names = Names::among(messages, &classes);
        let asked = json!(["not", ["==", ["property", "account_id.address"], "a@b.test"]]);
        let asked = filter::parse(names, &asked).unwrap();
        let within = reach.within(RightAction::Read, MESSAGES, Some(&asked)).unwrap();
        let account = |name: &str| {
            let values = json!({"name": name, "address": "a@b.test"});
            Entity::new(EntityId::from_u128(2), values.as_object().unwrap().clone())
        };
        let mut message = message("sent");
        message.properties.insert("account_id".to_owned(), json!(EntityId::from_u128(2)));
        for (name, want) in [("mine", false), ("other", true)] {
            let found = matches(&within, &message, &|_, _| Some(account(name)));
            assert_eq!(found, want, "the address of {name} is known to its reader alone");
        }
        let none = reach.within(RightAction::Change, MESSAGES, None);
        assert_eq!(none.as_ref(), reach.filter(RightAction::Change, MESSAGES));
        assert_eq!(reach.within(RightAction::Read, FOLDERS, None), None);
    }
}
