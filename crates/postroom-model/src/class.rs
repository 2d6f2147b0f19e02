//! A class: the properties of one kind of entity.

use crate::limits::LIST_LIMIT_MAX;
use crate::property::DataType;
use crate::property::Property;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value as Json;
use uuid::Uuid;

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
    pub id: Uuid,
    /// The name in paths, with slashes: `email/Messages`.
    pub classname: String,
    /// The title, for people.
    pub name: String,
    /// What its entities are.
    pub description: String,
    /// The class that this one extends.
    pub parent_id: Option<Uuid>,
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
}

impl Class {
    /// The property of that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
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
