//! The schemas of a class, and examples of its entities.
//!
//! ```text
//!   email.Messages          an entity as answers show it
//!   email.Messages-Row      the same, or what `mask`, `flat` and `aggregate` make of it
//!   email.Messages-New      what POST and PUT take
//!   email.Messages-Change   what PATCH takes
//! ```
//! Names of classes have no minus sign, so these names are never those of other classes.

use postroom_model::CLAIM_FIELDS;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Property;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// An id in examples.
pub(crate) const ID: &str = "0192d000-0000-7000-8000-00000000abcd";

/// Example values of properties, by name. Others have one by their type.
const EXAMPLES: &str = include_str!("examples.json");

/// What the schema of a class is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaUse {
    /// A whole entity in an answer.
    Whole,
    /// An entity, or a part of it, in an answer.
    Row,
    /// A new entity, or a replacement.
    New,
    /// A change.
    Change,
}

impl SchemaUse {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Whole, Self::Row, Self::New, Self::Change];

    fn suffix(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Row => "-Row",
            Self::New => "-New",
            Self::Change => "-Change",
        }
    }
}

/// The name of a schema of a class in the components.
#[must_use]
pub(crate) fn name(class: &Class, purpose: SchemaUse) -> String {
    format!("{}{}", class.classname.replace('/', "."), purpose.suffix())
}

/// A reference to a schema of a class.
#[must_use]
pub(crate) fn reference(class: &Class, purpose: SchemaUse) -> Json {
    json!({"$ref": format!("#/components/schemas/{}", name(class, purpose))})
}

/// A schema of a class.
#[must_use]
pub(crate) fn schema(class: &Class, purpose: SchemaUse) -> Json {
    match purpose {
        SchemaUse::Whole | SchemaUse::Row => shown(class, purpose),
        SchemaUse::New | SchemaUse::Change => sent(class, purpose),
    }
}

fn shown(class: &Class, purpose: SchemaUse) -> Json {
    let is_row = purpose == SchemaUse::Row;
    let mut properties = Map::new();
    properties.insert("id".to_owned(), json!({"type": "string", "format": "uuid"}));
    for property in class.columns().filter(|property| !property.write_only()) {
        let mut value = shown_value(property);
        if is_row && property.data_type == DataType::Entity {
            value = json!({"description": property.caption});
        }
        properties.insert(property.name.clone(), value);
    }
    for name in ["version", "seq"] {
        properties.insert(name.to_owned(), json!({"type": "integer", "format": "int64"}));
    }
    let has_files = class.properties.iter().any(Property::is_file);
    if is_row && has_files && !properties.contains_key("files") {
        let file = json!({"$ref": "#/components/schemas/FileOfEntity"});
        properties.insert("files".to_owned(), json!({"type": "array", "items": file}));
    }
    if is_row {
        let moment = json!({"type": ["string", "null"], "format": "date-time"});
        let values = [json!({"type": ["string", "null"]}), moment, json!({"type": "integer"})];
        properties.extend(CLAIM_FIELDS.into_iter().map(str::to_owned).zip(values));
    }
    let required: Vec<_> = properties.keys().cloned().collect();
    let mut schema = json!({
        "type": "object", "description": class.description,
        "properties": properties,
    });
    if let (false, Some(members)) = (is_row, schema.as_object_mut()) {
        members.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The schema of a value in answers. What came from a mail server has no limits.
fn shown_value(property: &Property) -> Json {
    let one = of_type(property, !property.multi);
    described(property, if property.multi { json!({"type": "array", "items": one}) } else { one })
}

fn sent(class: &Class, purpose: SchemaUse) -> Json {
    let (mut properties, mut required) = (Map::new(), vec![]);
    let is_new = purpose == SchemaUse::New;
    if is_new {
        properties.insert("id".to_owned(), json!({"type": ["string", "null"], "format": "uuid"}));
    }
    for property in class.columns().filter(|property| !property.read_only()) {
        let must_be = is_new && property.required && property.default.is_null();
        if must_be {
            required.push(property.name.clone());
        }
        properties.insert(property.name.clone(), sent_value(property, !must_be));
    }
    let files = class.properties.iter().filter(|property| is_new && property.is_file());
    for property in files {
        let file = json!({"$ref": "#/components/schemas/NewFile"});
        let value = match property.multi {
            true => json!({"type": ["array", "null"], "items": file}),
            false => json!({"anyOf": [{"type": "string"}, file, {"type": "null"}]}),
        };
        let name = property.alias().unwrap_or(&property.name);
        properties.insert(name.to_owned(), described(property, value));
    }
    json!({
        "type": "object", "description": class.description,
        "properties": properties, "required": required, "additionalProperties": false,
    })
}

/// The schema of a value in requests, with its limits.
fn sent_value(property: &Property, is_nullable: bool) -> Json {
    let mut one = of_type(property, is_nullable && !property.multi);
    let limits = [("minimum", "minimum"), ("maximum", "maximum"), ("max_length", "maxLength")];
    if let Some(members) = one.as_object_mut() {
        let bound = |name| property.bound(name);
        let bounds = limits.into_iter().filter_map(|(name, said)| Some((said, bound(name)?)));
        members.extend(bounds.map(|(said, bound)| (said.to_owned(), Json::from(bound))));
        if property.write_only() {
            members.insert("writeOnly".to_owned(), Json::from(true));
        }
    }
    if !property.multi {
        return described(property, one);
    }
    let kind = if is_nullable { json!(["array", "null"]) } else { json!("array") };
    described(property, json!({"type": kind, "items": one}))
}

fn of_type(property: &Property, is_nullable: bool) -> Json {
    let (kind, mut schema) = match property.data_type {
        DataType::String => ("string", json!({})),
        DataType::Boolean => ("boolean", json!({})),
        DataType::Integer => ("integer", json!({"format": "int32"})),
        DataType::Long | DataType::Increment => ("integer", json!({"format": "int64"})),
        DataType::Float => ("number", json!({"format": "double"})),
        DataType::Datetime => ("string", json!({"format": "date-time"})),
        DataType::Date => ("string", json!({"format": "date"})),
        DataType::Time => ("string", json!({"pattern": "^[0-9]{2}:[0-9]{2}"})),
        DataType::Uuid | DataType::Entity => ("string", json!({"format": "uuid"})),
        DataType::Enum => {
            let words = json!({"type": "string", "enum": property.items});
            return match is_nullable {
                true => json!({"anyOf": [words, {"type": "null"}]}),
                false => words,
            };
        }
        DataType::Any | DataType::Attachment => return json!({}),
    };
    if let Some(members) = schema.as_object_mut() {
        let kind = if is_nullable { json!([kind, "null"]) } else { json!(kind) };
        members.insert("type".to_owned(), kind);
    }
    schema
}

fn described(property: &Property, mut schema: Json) -> Json {
    if let (false, Some(members)) = (property.caption.is_empty(), schema.as_object_mut()) {
        members.insert("description".to_owned(), Json::from(property.caption.as_str()));
    }
    schema
}

/// The parameters of a list that are properties: each is an equality.
pub(crate) fn equalities(class: &Class) -> impl Iterator<Item = Json> {
    let is_compared =
        |property: &&Property| !property.write_only() && property.data_type != DataType::Any;
    class.columns().filter(is_compared).map(|property| {
        json!({
            "name": property.name, "in": "query", "required": false,
            "description": format!("Equal to this. `null`: unset. {}", property.caption),
            "schema": {"type": "string"}, "example": text_of(&example_of(property)),
        })
    })
}

/// A value as a parameter.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(list) => list.first().map(text_of).unwrap_or_default(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => value.to_string(),
    }
}

/// An example of an entity.
#[must_use]
pub(crate) fn example(class: &Class, purpose: SchemaUse) -> Json {
    let mut shown = Map::new();
    match purpose {
        SchemaUse::Whole | SchemaUse::Row => {
            shown.insert("id".to_owned(), json!(ID));
            for property in class.columns().filter(|property| !property.write_only()) {
                shown.insert(property.name.clone(), example_of(property));
            }
            shown.insert("version".to_owned(), json!(3));
            shown.insert("seq".to_owned(), json!(124));
        }
        SchemaUse::New => {
            let is_shown = |p: &&Property| p.required || of_name(p).is_some();
            let wanted = class.columns().filter(|p| !p.read_only()).filter(is_shown);
            shown.extend(wanted.map(|property| (property.name.clone(), example_of(property))));
        }
        SchemaUse::Change => {
            let wanted = class.columns().find(|property| !property.read_only());
            shown.extend(wanted.map(|property| (property.name.clone(), example_of(property))));
        }
    }
    Json::Object(shown)
}

/// The example of the table, if it is of the property's type.
fn of_name(property: &Property) -> Option<Json> {
    let examples: Map<String, Json> = serde_json::from_str(EXAMPLES).ok()?;
    let value = examples.get(&property.name)?.clone();
    postroom_model::validate::value(property, &value).ok().map(|_| value)
}

fn example_of(property: &Property) -> Json {
    if let Some(value) = of_name(property) {
        return value;
    }
    let one = match property.data_type {
        DataType::String => json!("some text"),
        DataType::Boolean => json!(true),
        DataType::Integer | DataType::Long | DataType::Increment => {
            json!(property.bound("minimum").unwrap_or(1))
        }
        DataType::Float => json!(0.5),
        DataType::Datetime => json!("2026-11-23T10:00:00.000Z"),
        DataType::Date => json!("2026-11-23"),
        DataType::Time => json!("10:00:00"),
        DataType::Uuid | DataType::Entity => json!(ID),
        DataType::Enum => json!(property.items.first()),
        DataType::Any => json!({}),
        DataType::Attachment => Json::Null,
    };
    if property.multi { json!([one]) } else { one }
}
