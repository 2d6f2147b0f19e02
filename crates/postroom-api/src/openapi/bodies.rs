//! The bodies of requests and answers, each with an example.

use crate::openapi::schemas;
use crate::openapi::schemas::SchemaUse;
use crate::openapi::tables::DescribedBody;
use crate::openapi::tables::DescriptionTables;
use postroom_model::Class;
use postroom_model::Property;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";

/// The body, by media type. `class` is that of the operation, if it is at a class.
#[must_use]
pub(crate) fn content(
    content: &DescribedBody,
    tables: &DescriptionTables,
    class: Option<&Class>,
) -> Json {
    let of = |purpose| class.map(|class| schemas::reference(class, purpose)).unwrap_or_default();
    let entity = |purpose| class.map(|class| schemas::example(class, purpose)).unwrap_or_default();
    let one = |purpose| json!({JSON: {"schema": of(purpose), "example": entity(purpose)}});
    match content {
        DescribedBody::Of(shape) => {
            json!({JSON: {"schema": reference(shape), "example": tables.example(shape)}})
        }
        DescribedBody::ListOf(shape) => {
            json!({JSON: {"schema": list(reference(shape)), "example": [tables.example(shape)]}})
        }
        DescribedBody::Rows => json!({
            JSON: {"schema": list(of(SchemaUse::Row)), "example": [entity(SchemaUse::Row)]},
            "application/x-ndjson": text("{\"id\":\"…\"}\n"),
            "text/csv": text("id,version\r\n…,3\r\n"),
        }),
        DescribedBody::Row => one(SchemaUse::Row),
        DescribedBody::Whole => one(SchemaUse::Whole),
        DescribedBody::Created => {
            json!({JSON: several(of(SchemaUse::Whole), entity(SchemaUse::Whole))})
        }
        DescribedBody::New => {
            let mut both = json!({JSON: several(of(SchemaUse::New), entity(SchemaUse::New))});
            let form = class.and_then(|class| form_of(class, of(SchemaUse::New)));
            let example = json!({"message": entity(SchemaUse::New)});
            if let (Some(schema), Some(members)) = (form, both.as_object_mut()) {
                members.insert(FORM.to_owned(), json!({"schema": schema, "example": example}));
            }
            both
        }
        DescribedBody::Replacement => one(SchemaUse::New),
        DescribedBody::Change => one(SchemaUse::Change),
        DescribedBody::FileBytes => json!({
            "application/octet-stream": binary(),
            FORM: form(json!({"file": binary_schema()}), json!({"file": "…"})),
        }),
        DescribedBody::Form => json!({
            FORM: form(json!({"files": list(binary_schema())}), json!({"files": ["…"]})),
        }),
        // Generators of clients know octets alone, though a file has its own type.
        DescribedBody::Bytes => json!({"application/octet-stream": binary(), "*/*": binary()}),
        DescribedBody::Text => json!({"text/plain": text("Dear Ben, here it is.")}),
        DescribedBody::Page => json!({"text/html": text("<!doctype html>…")}),
        DescribedBody::News => {
            let stream = "id: 124\nevent: message.received\ndata: {\"seq\":124}\n\n";
            json!({
                JSON: {"schema": reference("Events"), "example": tables.example("Events")},
                "text/event-stream": text(stream),
            })
        }
    }
}

fn reference(shape: &str) -> Json {
    json!({"$ref": format!("#/components/schemas/{shape}")})
}

fn list(of: Json) -> Json {
    json!({"type": "array", "items": of})
}

fn text(example: &str) -> Json {
    json!({"schema": {"type": "string"}, "example": example})
}

fn binary_schema() -> Json {
    json!({"type": "string", "format": "binary"})
}

fn binary() -> Json {
    json!({"schema": binary_schema(), "example": "…"})
}

fn form(properties: Json, example: Json) -> Json {
    let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    let schema = json!({"type": "object", "required": required, "properties": properties});
    json!({"schema": schema, "example": example})
}

/// One, or a list.
fn several(of: Json, example: Json) -> Json {
    json!({
        "schema": {"anyOf": [of, list(of.clone())]},
        "examples": {"one": {"value": example}, "list": {"value": [example]}},
    })
}

/// A form with an entity and its files. `None`: the class has no files.
fn form_of(class: &Class, entity: Json) -> Option<Json> {
    let mut properties = Map::from_iter([("message".to_owned(), entity)]);
    for property in class.properties.iter().filter(|property| property.is_file()) {
        let name = shown_name(property).to_owned();
        properties.insert(name, list(binary_schema()));
    }
    let required = ["message"];
    let schema = json!({"type": "object", "required": required, "properties": properties});
    (class.properties.iter().any(Property::is_file)).then_some(schema)
}

/// The name of a property in paths and forms.
#[must_use]
pub(crate) fn shown_name(property: &Property) -> &str {
    property.alias().unwrap_or(&property.name)
}
