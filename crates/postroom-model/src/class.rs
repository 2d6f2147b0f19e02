//! A class: the properties of one kind of entity.

use crate::domain::Domain;
use crate::id::ClassId;
use crate::limits::LIST_LIMIT_MAX;
use crate::property::DataType;
use crate::property::Property;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value as Json;
use std::borrow::Cow;

/// How the entities of a class are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageMode {
    /// A dictionary: few entities that are read often.
    Category,
    /// Many entities, partitioned by the property `opts.partition_property`.
    History,
}

/// A class, in the very form that `/rest/v1/design/classes` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The id by which `idclass` of other classes refers to it.
    pub id: ClassId,
    /// The name in paths, with slashes: `email/Messages`.
    pub classname: String,
    /// The title, for people.
    pub name: String,
    /// What its entities are.
    pub description: String,
    /// The class that this one extends.
    pub parent_id: Option<ClassId>,
    /// How its entities are kept.
    pub storage_mode: StorageMode,
    /// Its properties, in the order in which they are shown.
    pub properties: Vec<Property>,
    /// `title`, `lookup_properties`, `max_limit`, `partition_property`, `partition_interval`.
    pub opts: Map<String, Json>,
    /// Values of extensions.
    pub ext: Map<String, Json>,
    /// The version of the classes of the store that it is one of; 0 outside of a store.
    #[serde(skip)]
    pub version: i64,
    /// The version of the classes with which it changed last. It is the ETag.
    #[serde(skip)]
    pub revision: i64,
    /// How many of its first properties are not its own, but built in or those of its parent.
    #[serde(skip)]
    pub fixed: usize,
    /// The domain that has it so. `None`: it is as the domains have it that add nothing to it.
    #[serde(skip)]
    pub domain: Option<Domain>,
}

impl Class {
    /// The property of that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// The properties that clients added. They come after all others.
    #[must_use]
    pub fn own(&self) -> &[Property] {
        self.properties.get(self.fixed..).unwrap_or_default()
    }

    /// Whether Postroom has it built in.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.parent_id.is_none() && self.fixed > 0
    }

    /// The name of its table. No internal table has a slash in its name.
    #[must_use]
    pub fn table(&self) -> Cow<'_, str> {
        match self.classname.contains('/') {
            true => Cow::Borrowed(&self.classname),
            false => Cow::Owned(format!("/{}", self.classname)),
        }
    }

    /// The class as clients see it, with `id`, `version` and `seq`, which every entity has, as
    /// properties.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let [id, version, seq] = of_every_entity();
        let properties =
            [id].into_iter().chain(self.properties.iter().cloned()).chain([version, seq]);
        serde_json::json!({
            "id": self.id, "classname": self.classname, "name": self.name,
            "description": self.description, "parent_id": self.parent_id,
            "storage_mode": self.storage_mode, "properties": properties.collect::<Vec<_>>(),
            "opts": self.opts, "ext": self.ext,
        })
    }

    /// The file property that a path segment names, by its name or by its alias. `attachments` is
    /// the alias of `file` of `email/Messages`.
    #[must_use]
    pub fn file_property(&self, segment: &str) -> Option<&Property> {
        self.properties.iter().find(|property| {
            property.is_file() && (property.name == segment || property.alias() == Some(segment))
        })
    }

    /// The properties in an entity's JSON and in its table: all except files.
    pub fn columns(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|property| property.data_type != DataType::Attachment)
    }

    /// The maximum number of entities in the answer to a list.
    #[must_use]
    pub fn limit_max(&self) -> u32 {
        let limit = self.opts.get("max_limit").and_then(Json::as_u64);
        limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(LIST_LIMIT_MAX)
    }
}

/// The names of what every entity has beside the properties of its class.
pub const OF_EVERY_ENTITY: [&str; 3] = ["id", "version", "seq"];

/// What every entity has beside the properties of its class: [`OF_EVERY_ENTITY`].
#[must_use]
pub(crate) fn of_every_entity() -> [Property; 3] {
    let property = |name: &str, data_type, caption: &str| Property {
        caption: caption.to_owned(),
        ..Property::plain(name, data_type)
    };
    let id = property("id", DataType::Uuid, "The id. A client may choose that of a new entity.");
    let numbered = |name: &str, caption: &str| {
        let mut number = property(name, DataType::Long, caption);
        number.opts.insert("read_only".to_owned(), Json::Bool(true));
        number
    };
    let version = numbered("version", "Grows with each change of a client. It is the ETag.");
    let seq = numbered(
        "seq",
        "The number of the last change. Changes become visible in the order of their numbers.",
    );
    [id, version, seq]
}

/// The parent of a class, its parent, and so on.
pub fn ancestors<'a>(class: &Class, classes: &'a [Class]) -> impl Iterator<Item = &'a Class> {
    let of = |id: Option<ClassId>| classes.iter().find(|class| Some(class.id) == id);
    let all = std::iter::successors(of(class.parent_id), move |class| of(class.parent_id));
    // Definitions that refer to each other in a circle are refused, so it ends earlier.
    all.take(classes.len())
}

/// The classes with the properties that they inherit. What has a parent has its own properties
/// only before.
#[must_use]
pub fn inherit(classes: &[Class]) -> Vec<Class> {
    let whole = |class: &Class| {
        let mut inherited = vec![];
        for parent in ancestors(class, classes) {
            inherited.splice(0..0, parent.properties.iter().cloned());
        }
        let fixed = class.fixed.max(inherited.len());
        inherited.extend(class.properties.iter().cloned());
        Class { properties: inherited, fixed, ..class.clone() }
    };
    classes.iter().map(whole).collect()
}
