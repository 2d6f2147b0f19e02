//! One property of a class, as `/rest/v1/design/classes` shows it.

use crate::id::ClassId;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value as Json;

/// The type of the values of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Unicode text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits, signed.
    Integer,
    /// A whole number of 64 bits, signed.
    Long,
    /// A number of 64 bits in floating point.
    Float,
    /// A whole number that the store counts up.
    Increment,
    /// A moment (RFC 3339, UTC, milliseconds).
    Datetime,
    /// A day: `2026-11-23`.
    Date,
    /// A time of day: `10:00:00`.
    Time,
    /// A UUID.
    Uuid,
    /// The id of an entity of the class `idclass`.
    Entity,
    /// One of `items`.
    Enum,
    /// Any JSON.
    Any,
    /// A file, or a list of files with `multi`. It has its own endpoint.
    Attachment,
}

/// One property of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// The name in JSON and in filters.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Whether it holds a list.
    #[serde(default)]
    pub multi: bool,
    /// Whether a new entity must have it.
    #[serde(default)]
    pub required: bool,
    /// The value that a new entity gets if the client sends none. `null`: no value.
    #[serde(default)]
    pub default: Json,
    /// The class that an `entity` refers to.
    #[serde(default)]
    pub idclass: Option<ClassId>,
    /// The values of an `enum`.
    #[serde(default)]
    pub items: Vec<String>,
    /// What it means, for people.
    #[serde(default)]
    pub caption: String,
    /// Further rules, by name: `read_only`, `write_only`, `hashed`, `single_line`, `minimum`,
    /// `maximum`, `max_length`, `max_bytes`, `format` (`address`, `host`, `filled`), `alias`,
    /// `options`.
    #[serde(default)]
    pub opts: Map<String, Json>,
    /// The column of its values in the table of the class. `None`: the one of its name. Only a
    /// property that a domain adds to a class of all domains has another one.
    #[serde(skip)]
    pub column: Option<String>,
}

impl Property {
    /// A property with one value, and without a default, a caption and options.
    #[must_use]
    pub fn plain(name: &str, data_type: DataType) -> Self {
        Self {
            name: name.to_owned(),
            data_type,
            multi: false,
            required: false,
            default: Json::Null,
            idclass: None,
            items: vec![],
            caption: String::new(),
            opts: Map::new(),
            column: None,
        }
    }

    /// The column of its values in the table of the class.
    #[must_use]
    pub fn column(&self) -> &str {
        self.column.as_deref().unwrap_or(&self.name)
    }

    /// Whether only Postroom itself sets it.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.flag("read_only") || self.data_type == DataType::Increment
    }

    /// Whether it is a secret: clients can set it, it is stored encrypted, and no answer shows it.
    #[must_use]
    pub fn write_only(&self) -> bool {
        self.flag("write_only")
    }

    /// Whether the store keeps only a hash of it, by which it is found again. Postroom makes it.
    #[must_use]
    pub fn hashed(&self) -> bool {
        self.flag("hashed")
    }

    /// Whether a line break or another control character is refused.
    #[must_use]
    pub(crate) fn single_line(&self) -> bool {
        self.flag("single_line")
    }

    /// Whether it has an endpoint of its own instead of a value in the entity's JSON.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.data_type == DataType::Attachment
    }

    /// The limit `name` of `opts`, if there is one.
    #[must_use]
    pub fn bound(&self, name: &str) -> Option<i64> {
        self.opts.get(name).and_then(Json::as_i64)
    }

    /// The name that clients see instead of its own, if there is one.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        self.opt_text("alias")
    }

    /// The text `name` of `opts`, if there is one.
    #[must_use]
    pub(crate) fn opt_text(&self, name: &str) -> Option<&str> {
        self.opts.get(name).and_then(Json::as_str)
    }

    fn flag(&self, name: &str) -> bool {
        self.opts.get(name) == Some(&Json::Bool(true))
    }
}
