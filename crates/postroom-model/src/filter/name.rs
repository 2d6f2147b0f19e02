//! Names in filters: a property, a path into JSON, a way through references.

use crate::builtin::MESSAGES;
use crate::class::Class;
use crate::class::of_every_entity;
use crate::filter::condition::Filter;
use crate::filter::condition::Items;
use crate::filter::condition::Operand;
use crate::filter::condition::Subject;
use crate::filter::condition::Through;
use crate::limits::FILTER_PATH_NAMES_MAX;
use crate::limits::FILTER_REFERENCES_MAX;
use crate::property::DataType;
use crate::property::Property;
use std::sync::Arc;

/// The class whose entities are filtered, and those that its references lead to.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    class: &'a Class,
    classes: &'a [Arc<Class>],
}

impl<'a> Names<'a> {
    /// Names that lead through references to `classes`.
    #[must_use]
    pub fn among(class: &'a Class, classes: &'a [Arc<Class>]) -> Self {
        Self { class, classes }
    }

    pub(super) fn scope(self) -> Scope<'a> {
        Scope::Class(self)
    }

    /// The class whose entities are filtered.
    pub(super) fn class(self) -> &'a Class {
        self.class
    }
}

/// Names that lead through no reference.
impl<'a> From<&'a Class> for Names<'a> {
    fn from(class: &'a Class) -> Self {
        Self { class, classes: &[] }
    }
}

/// Names that lead through no reference.
impl<'a> From<&'a Arc<Class>> for Names<'a> {
    fn from(class: &'a Arc<Class>) -> Self {
        Self { class, classes: &[] }
    }
}

/// What names mean at one place of a filter.
#[derive(Debug, Clone)]
pub(super) enum Scope<'a> {
    /// Properties of a class.
    Class(Names<'a>),
    /// Members of the items of a list of JSON.
    Json,
    /// The items of a list property, which have no members.
    Items(Box<Property>),
}

impl Scope<'_> {
    /// Fails where `match` has nothing to look at.
    pub(super) fn must_have_full_text(&self) -> Result<(), String> {
        match self {
            Self::Class(names) if names.class.classname == MESSAGES => Ok(()),
            Self::Class(_) => {
                Err(format!("match: only {MESSAGES} have a full text; use like or contains"))
            }
            Self::Json | Self::Items(_) => {
                Err("match: looks at a message as a whole, never at an item".to_owned())
            }
        }
    }
}

/// What a name means, and how to come there.
#[derive(Debug, Clone)]
pub(super) struct NamedValue {
    /// The name as it was sent.
    pub name: String,
    /// The references that lead to the entity, the first one first.
    pub references: Vec<Through>,
    /// What leads into JSON.
    pub items: Option<Items>,
    /// What is compared at the end.
    pub operand: Operand,
    /// The property whose type literals have. `None`: they have their own type, as in JSON.
    pub typed: Option<Property>,
}

impl NamedValue {
    /// Whether it is a property of the entity itself, or the item itself.
    pub(super) fn is_direct(&self) -> bool {
        self.references.is_empty() && self.items.is_none()
    }

    /// Whether it is JSON as a whole, or a list of it.
    pub(super) fn is_json(&self) -> bool {
        self.operand.data_type == DataType::Any && self.items.is_none()
    }

    /// How many steps lead there.
    pub(super) fn steps(&self) -> usize {
        self.references.len() + self.items.as_ref().map_or(0, |items| items.path.len())
    }

    /// Whether its values are texts, or may be.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.operand.data_type, DataType::String | DataType::Enum | DataType::Any)
    }

    /// The values inside, each of which is compared by itself: those of a list, or of JSON.
    pub(super) fn unpacked(mut self) -> Self {
        if self.items.is_none() {
            let of = std::mem::replace(&mut self.operand.subject, Subject::Item);
            self.items = Some(Items { of, path: vec![] });
            self.operand.multi = false;
        }
        self
    }

    /// The condition that a value that it leads to is as `wanted` says.
    pub(super) fn leads_to(self, wanted: impl FnOnce(Operand) -> Filter) -> Filter {
        let mut filter = wanted(self.operand);
        if let Some(items) = self.items {
            filter = Filter::Some(items, Box::new(filter));
        }
        for reference in self.references.into_iter().rev() {
            filter = Filter::Refers(reference, Box::new(filter));
        }
        filter
    }

    /// The condition that it leads to no value.
    pub(super) fn unset(self) -> Filter {
        if self.is_direct() {
            return Filter::IsNull(self.operand);
        }
        Filter::Not(Box::new(self.set()))
    }

    /// The condition that it leads to a value.
    pub(super) fn set(self) -> Filter {
        self.leads_to(|operand| Filter::Not(Box::new(Filter::IsNull(operand))))
    }
}

/// The item itself, `["item"]`.
pub(super) fn item(scope: &Scope<'_>) -> Result<NamedValue, String> {
    let (data_type, typed) = match scope {
        Scope::Class(_) => {
            return Err("[\"item\"] is known only in the condition of any and all".to_owned());
        }
        Scope::Json => (DataType::Any, None),
        Scope::Items(property) => (property.data_type, Some(property.as_ref().clone())),
    };
    let operand = Operand { subject: Subject::Item, data_type, multi: false };
    let name = "item".to_owned();
    // An item is compared as it is, so that there are no further items to look into.
    Ok(NamedValue { name, references: vec![], items: None, operand, typed })
}

/// What a dotted name means.
pub(super) fn named(scope: &Scope<'_>, dotted: &str) -> Result<NamedValue, String> {
    if let Some(odd) = dotted.chars().find(|char| char.is_control() || matches!(char, '"' | '\\')) {
        let odd = if odd == '\0' { "a NUL character".to_owned() } else { format!("{odd:?}") };
        return Err(format!("the name of a property has {odd}"));
    }
    let names: Vec<&str> = dotted.split('.').collect();
    if names.iter().any(|name| name.is_empty()) {
        return Err(format!("`{dotted}` has an empty name before or after a dot"));
    }
    if names.len() > FILTER_PATH_NAMES_MAX {
        return Err(format!("a path has at most {FILTER_PATH_NAMES_MAX} names"));
    }
    match scope {
        Scope::Class(Names { class, classes }) => {
            Way { dotted, classes, references: vec![] }.of(class, &names)
        }
        Scope::Json => Ok(inside(dotted, vec![], Subject::Item, &names)),
        Scope::Items(list) => Err(format!(
            "the items of `{}` have no members: name the item itself, [\"item\"]",
            list.name
        )),
    }
}

fn inside(dotted: &str, references: Vec<Through>, of: Subject, path: &[&str]) -> NamedValue {
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    let operand = Operand { subject: Subject::Item, data_type: DataType::Any, multi: false };
    let items = Some(Items { of, path });
    NamedValue { name: dotted.to_owned(), references, items, operand, typed: None }
}

/// The way that a dotted name leads.
struct Way<'a> {
    dotted: &'a str,
    classes: &'a [Arc<Class>],
    references: Vec<Through>,
}

impl<'a> Way<'a> {
    fn of(mut self, class: &Class, names: &[&str]) -> Result<NamedValue, String> {
        let Some((name, path)) = names.split_first() else {
            return Err("names no property".to_owned());
        };
        let Some(property) = known(class, name) else {
            return Err(format!(
                "{} has no property `{name}`; there are {}",
                class.classname,
                filtered(class).join(", ")
            ));
        };
        if property.is_file() || property.write_only() {
            return Err(format!("`{name}` cannot be filtered by"));
        }
        let of = match property.column.clone() {
            Some(column) => Subject::Own { name: property.name.clone(), column },
            None => Subject::Property(property.name.clone()),
        };
        if path.is_empty() {
            let Property { data_type, multi, .. } = property;
            let operand = Operand { subject: of, data_type, multi };
            let typed = (data_type != DataType::Any).then_some(property);
            let name = self.dotted.to_owned();
            return Ok(NamedValue {
                name,
                references: self.references,
                items: None,
                operand,
                typed,
            });
        }
        match property.data_type {
            DataType::Any => Ok(inside(self.dotted, self.references, of, path)),
            DataType::Entity if !property.multi => {
                let referred = self.refer(&property)?;
                self.of(referred, path)
            }
            DataType::Entity => {
                Err(format!("`{name}` is a list of references: a filter leads through single ones"))
            }
            DataType::String
            | DataType::Boolean
            | DataType::Integer
            | DataType::Long
            | DataType::Float
            | DataType::Increment
            | DataType::Datetime
            | DataType::Date
            | DataType::Time
            | DataType::Uuid
            | DataType::Enum
            | DataType::Attachment => {
                Err(format!("`{name}` holds no JSON, so `{}` names nothing", self.dotted))
            }
        }
    }

    /// Goes on to the class that a property refers to.
    fn refer(&mut self, property: &Property) -> Result<&'a Class, String> {
        if self.references.len() == FILTER_REFERENCES_MAX {
            return Err(format!(
                "`{}` leads through more than {FILTER_REFERENCES_MAX} references",
                self.dotted
            ));
        }
        let referred = |class: &&Arc<Class>| property.idclass == Some(class.id);
        let Some(class) = self.classes.iter().find(referred) else {
            return Err(format!(
                "`{}` leads to entities of another class, which this token may not read",
                property.name
            ));
        };
        let (name, table) = (property.name.clone(), class.table().into_owned());
        let column = property.column().to_owned();
        self.references.push(Through { property: name, column, class: class.id, table });
        Ok(class)
    }
}

/// The property of that name; what every entity has too.
fn known(class: &Class, name: &str) -> Option<Property> {
    let own = class.property(name).cloned();
    own.or_else(|| of_every_entity().into_iter().find(|property| property.name == name))
}

/// The names that filters know.
fn filtered(class: &Class) -> Vec<&str> {
    let columns = class.columns().filter(|property| !property.write_only());
    let names = columns.map(|property| property.name.as_str());
    ["id"].into_iter().chain(names).chain(["version", "seq"]).collect()
}
