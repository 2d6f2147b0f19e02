//! The parameter `mask`: which fields of an entity are shown.
//!
//! A dot leads into JSON (`recipients.address`), into the entity that a property refers to
//! (`account_id.address`), and into the descriptions of the files (`files.name`). The state of the
//! work claim of an entity has names too.

use crate::class::Class;
use crate::class::OF_EVERY_ENTITY;
use crate::invalid::Invalid;
use crate::property::DataType;
use crate::property::Property;
use serde_json::Map;
use serde_json::Value as Json;
use std::sync::Arc;

/// The field with the descriptions of all files of an entity.
pub const FILES: &str = "files";
/// The fields with the state of the work claim of an entity. No property has such a name.
pub const CLAIM_FIELDS: [&str; 3] = ["claimedBy", "claimedUntil", "claims"];
/// The fields of the description of a file.
const FILE_FIELDS: [&str; 5] = ["property", "name", "size", "contentType", "contentId"];
/// How many fields a mask may name.
const FIELDS_MAX: usize = 256;
/// How deep a dotted field may go.
const DEPTH_MAX: usize = 16;
/// How many references a dotted field may follow, because each is a query more.
const REFERENCES_MAX: usize = 3;

/// The fields that are shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mask {
    /// Each as its path of names. The path of a reference ends with its property.
    paths: Vec<Vec<String>>,
    /// The references whose entities are shown.
    references: Vec<MaskedReference>,
    /// Whether the files are shown.
    has_files: bool,
    /// Whether the state of the work claim is shown, at least a part of it.
    has_claim: bool,
}

/// A property that shows the entity to which it refers.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskedReference {
    /// The property.
    pub property: String,
    /// The class of the other entity.
    pub class: Arc<Class>,
    /// What of the other entity is shown.
    pub mask: Mask,
}

impl Mask {
    /// Reads a list of fields, separated by commas. `classes` are those to which references lead.
    ///
    /// # Errors
    ///
    /// The field that the class does not have, or that is not shown.
    pub fn parse(class: &Class, classes: &[Arc<Class>], text: &str) -> Result<Self, Invalid> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let paths: Vec<Vec<String>> =
            names.map(|name| name.split('.').map(str::to_owned).collect()).collect();
        let invalid = |reason| Invalid::new("mask", reason);
        if paths.len() > FIELDS_MAX || paths.iter().any(|path| path.len() > DEPTH_MAX) {
            let reason = format!("names at most {FIELDS_MAX} fields, {DEPTH_MAX} names deep");
            return Err(invalid(reason));
        }
        Self::of(class, classes, &paths, REFERENCES_MAX).map_err(invalid)
    }

    fn of(
        class: &Class,
        classes: &[Arc<Class>],
        paths: &[Vec<String>],
        references_max: usize,
    ) -> Result<Self, String> {
        let mut mask = Self::default();
        let mut referred: Vec<(&Property, Vec<Vec<String>>)> = vec![];
        for path in paths {
            let Some((first, deeper)) = path.split_first() else {
                continue;
            };
            let property = class.property(first);
            let is_shown = match property {
                Some(property) => !property.is_file() && !property.write_only(),
                None if first == FILES => class.properties.iter().any(Property::is_file),
                None => {
                    let name = first.as_str();
                    OF_EVERY_ENTITY.contains(&name) || CLAIM_FIELDS.contains(&name)
                }
            };
            if !is_shown {
                return Err(format!("{} shows no property `{first}`", class.classname));
            }
            if let Some(problem) = deeper_problem(first, property, deeper) {
                return Err(problem);
            }
            mask.has_files |= property.is_none() && first == FILES;
            mask.has_claim |= property.is_none() && CLAIM_FIELDS.contains(&first.as_str());
            let refers = |property: &&Property| property.data_type == DataType::Entity;
            match property.filter(refers).filter(|_| !deeper.is_empty()) {
                None => mask.paths.push(path.clone()),
                Some(property) => {
                    let at = referred.iter().position(|(other, _)| other.name == property.name);
                    let at = at.unwrap_or(referred.len());
                    if at == referred.len() {
                        referred.push((property, vec![]));
                        mask.paths.push(vec![first.clone()]);
                    }
                    referred.get_mut(at).into_iter().for_each(|(_, all)| all.push(deeper.to_vec()));
                }
            }
        }
        for (property, mut below) in referred {
            let name = &property.name;
            let other = classes.iter().find(|other| Some(other.id) == property.idclass);
            let other =
                other.filter(|_| references_max > 0).ok_or_else(|| match references_max {
                    0 => format!("follows at most {REFERENCES_MAX} references"),
                    _ => format!(
                        "`{name}` leads to entities of another class, which this token may not \
                         read: name `{name}` alone"
                    ),
                })?;
            // With the property itself, the id of the other entity is shown too.
            if paths.iter().any(|path| path.len() == 1 && path.first() == Some(name)) {
                below.insert(0, vec!["id".to_owned()]);
            }
            let below = Self::of(other, classes, &below, references_max - 1)
                .map_err(|reason| format!("{name}: {reason}"))?;
            let class = Arc::clone(other);
            mask.references.push(MaskedReference { property: name.clone(), class, mask: below });
        }
        Ok(mask)
    }

    /// The properties of which at least a part is shown.
    #[must_use]
    pub fn properties(&self) -> Vec<String> {
        self.paths.iter().filter_map(|path| path.first().cloned()).collect()
    }

    /// The references whose entities are shown.
    #[must_use]
    pub fn references(&self) -> &[MaskedReference] {
        &self.references
    }

    /// Whether the files are shown.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.has_files
    }

    /// Whether a part of the state of the work claim is shown.
    #[must_use]
    pub fn has_claim(&self) -> bool {
        self.has_claim
    }

    /// The fields with those of the other entities, in the order in which they were asked for.
    #[must_use]
    pub fn columns(&self) -> Vec<Vec<String>> {
        let mut columns: Vec<Vec<String>> = vec![];
        for path in &self.paths {
            let name = path.first().filter(|_| path.len() == 1);
            let reference = self.references.iter().find(|one| Some(&one.property) == name);
            let below = match reference {
                Some(reference) => reference.mask.columns(),
                None => vec![vec![]],
            };
            for rest in below {
                let column = [path.as_slice(), &rest].concat();
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        columns
    }

    /// The shown part of an entity, in the order of the entity.
    #[must_use]
    pub fn apply(&self, entity: &Json) -> Json {
        let paths: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
        narrow(entity, &paths)
    }
}

/// What is wrong with the names behind the first one of a field. `property`: the property of that
/// name. `None`: the name is one that no property has.
fn deeper_problem(first: &str, property: Option<&Property>, deeper: &[String]) -> Option<String> {
    let next = deeper.first()?;
    let whole = format!("{first}.{}", deeper.join("."));
    if deeper.iter().any(String::is_empty) {
        return Some(format!("`{whole}` has a dot without a name behind it"));
    }
    let is_scalar = match property.map(|property| property.data_type) {
        Some(DataType::Any | DataType::Entity) => false,
        None if first == FILES => {
            if deeper.len() == 1 && FILE_FIELDS.contains(&next.as_str()) {
                return None;
            }
            let fields = FILE_FIELDS.join(", ");
            return Some(format!("`{whole}` names nothing: the fields of a file are {fields}"));
        }
        Some(
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
            | DataType::Attachment,
        )
        | None => true,
    };
    is_scalar.then(|| {
        format!("`{first}` has no members, so `{whole}` names nothing: name `{first}` alone")
    })
}

fn narrow(value: &Json, paths: &[&[String]]) -> Json {
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    match value {
        Json::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let below: Vec<&[String]> = paths
                    .iter()
                    .filter_map(|path| path.split_first())
                    .filter(|(first, _)| *first == name)
                    .map(|(_, rest)| rest)
                    .collect();
                if !below.is_empty() {
                    kept.insert(name.clone(), narrow(value, &below));
                }
            }
            Json::Object(kept)
        }
        Json::Array(values) => values.iter().map(|value| narrow(value, paths)).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_shown() {
        let messages = builtin::classes().unwrap().remove(3);
        let entity = json!({
            "id": "x", "subject": "s", "to": ["a"], "version": 1,
            "recipients": [{"kind": "to", "address": "a"}, {"kind": "cc", "address": "b"}],
        });
        #[rustfmt::skip]
        let table = [
            ("subject,id",                 json!({"id": "x", "subject": "s"})),
            ("recipients.address",         json!({"recipients": [{"address": "a"}, {"address": "b"}]})),
            ("recipients.kind,recipients", json!({"recipients": entity["recipients"]})),
            ("headers.x,version",          json!({"version": 1})),
            ("",                           json!({})),
        ];
        for (mask, want) in table {
            let mask = Mask::parse(&messages, &[], mask).unwrap();
            assert_eq!(mask.apply(&entity), want);
        }
    }

    #[test]
    fn what_is_never_shown_cannot_be_named() {
        let classes = builtin::classes().unwrap();
        for (class, mask) in [(1, "password"), (3, "rawMessage"), (3, "id,nope"), (3, ".")] {
            let invalid = Mask::parse(&classes[class], &[], mask).unwrap_err();
            assert_eq!(invalid.property, "mask", "{mask}");
        }
    }

    #[test]
    fn a_dot_leads_nowhere_in_what_has_no_members() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        #[rustfmt::skip]
        let table = [
            ("subject.x",                    "`subject` has no members, so `subject.x` names nothing"),
            ("to.x",                         "`to` has no members"),
            ("id.x",                         "`id` has no members"),
            ("claimedBy.x",                  "`claimedBy` has no members"),
            ("account_id.profile_id.name.x", "account_id: profile_id: `name` has no members"),
            ("files.nope",                   "`files.nope` names nothing: the fields of a file are property, name"),
            ("files.name.x",                 "`files.name.x` names nothing"),
            ("recipients.",                  "`recipients.` has a dot without a name behind it"),
            ("recipients..x",                "`recipients..x` has a dot without a name behind it"),
        ];
        for (text, want) in table {
            let invalid = Mask::parse(&classes[3], &classes, text).unwrap_err();
            assert!(invalid.reason.starts_with(want), "{text}: {}", invalid.reason);
        }
        for text in ["headers.x.y", "recipients.reply.code", "files.contentId"] {
            Mask::parse(&classes[3], &classes, text).unwrap();
        }
    }

    #[test]
    fn a_dot_leads_into_the_entity_that_a_property_refers_to() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let columns = |text: &str| {
            let mask =
                Mask::parse(&classes[3], &classes, text).map_err(|invalid| invalid.reason)?;
            let columns = mask.columns().into_iter().map(|path| path.join("."));
            Ok::<_, String>(columns.collect::<Vec<_>>().join(","))
        };
        #[rustfmt::skip]
        let table = [
            ("id,account_id.address,subject",            Ok("id,account_id.address,subject")),
            ("account_id.address,account_id.name",       Ok("account_id.address,account_id.name")),
            ("account_id.address,account_id",            Ok("account_id.id,account_id.address")),
            ("account_id",                               Ok("account_id")),
            ("folder_id.account_id.profile_id.name",     Ok("folder_id.account_id.profile_id.name")),
            ("files,files.name",                         Ok("files,files.name")),
            ("account_id.password",                      Err("shows no property `password`")),
            ("account_id.nope",                          Err("shows no property `nope`")),
            ("account_id.files",                         Err("shows no property `files`")),
        ];
        for (text, want) in table {
            match (columns(text), want) {
                (Ok(found), Ok(want)) => assert_eq!(found, want, "{text}"),
                (Err(found), Err(want)) => assert!(found.contains(want), "{text}: {found}"),
                (found, want) => panic!("{text}: {found:?} {want:?}"),
            }
        }
    }
}
