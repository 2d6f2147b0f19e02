//! What `opts` of a class and of a property may say.

use crate::class::Class;
use crate::class::OF_EVERY_ENTITY;
use crate::class::StorageMode;
use crate::invalid::Invalid;
use crate::limits::CLASS_TEXT_BYTES_MAX;
use crate::limits::INDEX_BYTES_MAX;
use crate::limits::INDEX_PROPERTIES_MAX;
use crate::limits::INDEXES_MAX;
use crate::limits::LIST_LIMIT_MAX;
use crate::property::DataType;
use crate::property::Property;
use serde_json::Value as Json;

/// The opts of a class.
const OF_CLASS: [&str; 12] = [
    "title",
    "comment",
    "lookup_properties",
    "max_limit",
    "max_mask",
    "partition_property",
    "partition_interval",
    "expires_mode",
    "expires_ts_property",
    "expires_after",
    "check_required_fill_defaults",
    INDEXES,
];
/// The opts of a property of a client. Those that are built in have more.
const OF_PROPERTY: [&str; 7] =
    ["single_line", "minimum", "maximum", "max_length", "max_bytes", "format", "alias"];
/// The formats of a string.
const FORMATS: [&str; 4] = ["address", "host", "fingerprints", "filled"];
/// The intervals of partitions.
const INTERVALS: [&str; 4] = ["day", "week", "month", "year"];
/// How a class tells when its entities expire.
const EXPIRES: [&str; 3] = ["none", "create", "custom"];
/// The greatest length that a client may give a string or JSON, in octets.
const LENGTH_MAX: i64 = 16 * 1024 * 1024;
/// The opt with the indexes of a class.
const INDEXES: &str = "indexes";

/// When the entities of a class expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry<'a> {
    /// The property with the moment.
    pub property: &'a str,
    /// How many seconds after it.
    pub after_seconds: i64,
}

impl Class {
    /// When its entities expire. `None`: never.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry<'_>> {
        let text = |name: &str| self.opts.get(name).and_then(Json::as_str);
        let after = self.opts.get("expires_after").and_then(Json::as_i64);
        match text("expires_mode") {
            Some("create") => {
                Some(Expiry { property: text("partition_property")?, after_seconds: after? })
            }
            Some("custom") => Some(Expiry {
                property: text("expires_ts_property")?,
                after_seconds: after.unwrap_or(0),
            }),
            Some(_) | None => None,
        }
    }

    /// The indexes that clients ask for: lists of names of properties.
    #[must_use]
    pub fn indexes(&self) -> Vec<Vec<&str>> {
        let lists = self.opts.get(INDEXES).and_then(Json::as_array);
        lists.into_iter().flatten().filter_map(names_of).collect()
    }

    /// What is wrong with its opts and with those of its own properties.
    #[must_use]
    pub(crate) fn opts_problems(&self) -> Vec<Invalid> {
        let mut problems = vec![];
        for (name, value) in &self.opts {
            if let Err(reason) = self.opt_problem(name, value) {
                problems.push(Invalid::new(format!("opts.{name}"), reason));
            }
        }
        for (at, property) in self.properties.iter().enumerate().skip(self.fixed) {
            for (name, value) in &property.opts {
                if let Err(reason) = property_opt_problem(property, name, value) {
                    let place = format!("properties[{at}].opts.{name}");
                    problems.push(Invalid::new(place, reason));
                }
            }
        }
        problems.extend(self.expiry_problem());
        problems.extend(self.index_problems());
        if self.storage_mode == StorageMode::History
            && !self.opts.contains_key("partition_property")
        {
            let reason = "is missing: it names the property, with the data type `datetime`, by \
                          which entities of the storage mode `history` are kept";
            problems.push(Invalid::new("opts.partition_property", reason));
        }
        problems
    }

    fn opt_problem(&self, name: &str, value: &Json) -> Result<(), String> {
        match name {
            "title" | "comment" => {
                let fits = value.as_str().is_some_and(|text| text.len() <= CLASS_TEXT_BYTES_MAX);
                fits.then_some(()).ok_or_else(|| "takes a short text".to_owned())
            }
            "max_limit" => within(value, 1, i64::from(LIST_LIMIT_MAX)),
            "lookup_properties" | "max_mask" => {
                let names = names_of(value).ok_or("takes a list of names of properties")?;
                let is_there = |name: &str| {
                    self.property(name).is_some_and(|property| !property.write_only())
                        || OF_EVERY_ENTITY.contains(&name)
                };
                match names.iter().find(|name| !is_there(name)) {
                    Some(name) => Err(format!("there is no property `{name}` to name")),
                    None => Ok(()),
                }
            }
            "partition_property" | "expires_ts_property" => {
                let property = value.as_str().and_then(|name| self.property(name));
                let is_moment = property.is_some_and(|property| {
                    property.data_type == DataType::Datetime && !property.multi
                });
                let reason = "is the name of no property with the data type `datetime`";
                is_moment.then_some(()).ok_or_else(|| reason.to_owned())
            }
            "partition_interval" => one_of(value, &INTERVALS),
            "expires_mode" => one_of(value, &EXPIRES),
            "expires_after" => within(value, 1, i64::MAX),
            "check_required_fill_defaults" => {
                value.is_boolean().then_some(()).ok_or_else(|| "takes true or false".to_owned())
            }
            INDEXES => {
                let lists = value.as_array().ok_or("takes a list of lists of property names")?;
                let are_names = lists.iter().all(|list| names_of(list).is_some());
                are_names
                    .then_some(())
                    .ok_or_else(|| "takes a list of lists of property names".to_owned())
            }
            _ => Err(format!("there is no such key; there are {}", OF_CLASS.join(", "))),
        }
    }

    /// What is missing where `expires_mode` says that entities expire.
    fn expiry_problem(&self) -> Option<Invalid> {
        let mode = self.opts.get("expires_mode").and_then(Json::as_str)?;
        if mode == "none" {
            return None;
        }
        if self.storage_mode != StorageMode::History {
            let reason = "stands only with the storage mode `history`";
            return Some(Invalid::new("opts.expires_mode", reason));
        }
        let (name, reason) = match mode {
            "create" => (
                "expires_after",
                "is missing: with the expires_mode `create`, entities expire so many seconds after \
                 their partition_property",
            ),
            _ => (
                "expires_ts_property",
                "is missing: with the expires_mode `custom`, it names the property with the moment",
            ),
        };
        (!self.opts.contains_key(name)).then(|| Invalid::new(format!("opts.{name}"), reason))
    }

    fn index_problems(&self) -> Vec<Invalid> {
        let mut problems = vec![];
        let mut wrong = |place: String, reason: String| problems.push(Invalid::new(place, reason));
        let indexes = self.indexes();
        if indexes.len() > INDEXES_MAX {
            wrong("opts.indexes".to_owned(), format!("a class has at most {INDEXES_MAX} indexes"));
        }
        for (at, names) in indexes.iter().enumerate() {
            let place = format!("opts.indexes[{at}]");
            if names.is_empty() || names.len() > INDEX_PROPERTIES_MAX {
                let reason = format!("an index has 1 to {INDEX_PROPERTIES_MAX} properties");
                wrong(place, reason);
                continue;
            }
            if indexes.iter().take(at).any(|other| other == names) {
                wrong(place, "is there twice".to_owned());
                continue;
            }
            let mut bytes = 0;
            for (position, name) in names.iter().enumerate() {
                let place = format!("{place}[{position}]");
                match self.property(name) {
                    None => wrong(place, format!("there is no property `{name}`")),
                    Some(_) if names.iter().take(position).any(|other| other == name) => {
                        wrong(place, format!("`{name}` is there twice"));
                    }
                    Some(property) => match property.index_bytes() {
                        Ok(more) => bytes += more,
                        Err(reason) => wrong(place, format!("`{name}` {reason}")),
                    },
                }
            }
            if bytes > INDEX_BYTES_MAX {
                let reason = format!(
                    "its values have up to {bytes} bytes together, and an index takes \
                     {INDEX_BYTES_MAX}: lower the max_length of its strings"
                );
                wrong(place, reason);
            }
        }
        problems
    }
}

impl Property {
    /// How many octets a value takes in an index at the most.
    fn index_bytes(&self) -> Result<i64, &'static str> {
        if self.multi {
            return Err("holds a list, which no index takes");
        }
        if self.write_only() {
            return Err("is a secret, which no index takes");
        }
        match self.data_type {
            DataType::Any => Err("holds JSON, which no index takes"),
            DataType::Attachment => Err("is a file, which no index takes"),
            DataType::String => self.bound("max_length").ok_or(
                "has no opts.max_length, and an index takes only values of a limited length",
            ),
            DataType::Enum => Ok(255),
            DataType::Boolean
            | DataType::Integer
            | DataType::Long
            | DataType::Float
            | DataType::Increment
            | DataType::Datetime
            | DataType::Date
            | DataType::Time
            | DataType::Uuid
            | DataType::Entity => Ok(36),
        }
    }
}

fn property_opt_problem(property: &Property, name: &str, value: &Json) -> Result<(), String> {
    let of = |types: &[DataType]| {
        let is_of = types.contains(&property.data_type);
        is_of.then_some(()).ok_or_else(|| "does not stand with this data type".to_owned())
    };
    match name {
        "single_line" => {
            of(&[DataType::String])?;
            value.is_boolean().then_some(()).ok_or_else(|| "takes true or false".to_owned())
        }
        "minimum" | "maximum" => {
            of(&[DataType::Integer, DataType::Long])?;
            within(value, i64::MIN, i64::MAX)?;
            match (property.bound("minimum"), property.bound("maximum")) {
                (Some(low), Some(high)) if low > high => {
                    Err(format!("no number is from {low} to {high}"))
                }
                _ => Ok(()),
            }
        }
        "max_length" => of(&[DataType::String]).and_then(|()| within(value, 1, LENGTH_MAX)),
        "max_bytes" => of(&[DataType::Any]).and_then(|()| within(value, 1, LENGTH_MAX)),
        "format" => of(&[DataType::String]).and_then(|()| one_of(value, &FORMATS)),
        // `check` looks at the name itself.
        "alias" => of(&[DataType::Attachment]).and_then(|()| {
            value.is_string().then_some(()).ok_or_else(|| "takes a name".to_owned())
        }),
        _ => Err(format!("there is no such key; there are {}", OF_PROPERTY.join(", "))),
    }
}

fn within(value: &Json, low: i64, high: i64) -> Result<(), String> {
    let is_within = value.as_i64().is_some_and(|number| (low..=high).contains(&number));
    is_within.then_some(()).ok_or_else(|| format!("takes a whole number from {low} to {high}"))
}

fn one_of(value: &Json, words: &[&str]) -> Result<(), String> {
    let is_one = value.as_str().is_some_and(|word| words.contains(&word));
    is_one.then_some(()).ok_or_else(|| format!("takes one of {}", words.join(", ")))
}

fn names_of(list: &Json) -> Option<Vec<&str>> {
    list.as_array()?.iter().map(Json::as_str).collect()
}
