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
    /// A dictionary: few entities, read often.
    Category,
    /// Many entities, partitioned by the property `opts.partition_property`.
    History,
}

/// A class, in the very form that `/rest/v1/design/classes` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The id that `idclass` of other classes refers to.
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
    /// What extensions keep here.
    pub ext: Map<String, Json>,
}

impl Class {
    /// The property of that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// The file property that a segment of a path names: by its own name or by its alias, as
    /// `attachments` for `file` of `email/Messages`.
    #[must_use]
    pub fn file_property(&self, segment: &str) -> Option<&Property> {
        self.properties.iter().find(|property| {
            property.is_file()
                && (property.name == segment || property.text("alias") == Some(segment))
        })
    }

    /// The properties that stand in an entity's JSON and in its table: all but files.
    pub fn columns(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|property| property.data_type != DataType::Attachment)
    }

    /// How many entities a list answers at the most.
    #[must_use]
    pub fn limit_max(&self) -> u32 {
        let limit = self.opts.get("max_limit").and_then(Json::as_u64);
        limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(LIST_LIMIT_MAX)
    }
}
