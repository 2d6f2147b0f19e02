//! The document: the tables and the classes joined.

use crate::openapi::bodies;
use crate::openapi::schemas;
use crate::openapi::schemas::SchemaUse;
use crate::openapi::tables::DescribedOperation;
use crate::openapi::tables::DescriptionTables;
use crate::openapi::tables::Gives;
use crate::openapi::tables::ProblemStatus;
use crate::openapi::tables::Spot;
use crate::place::DOMAIN_TOKENS;
use crate::place::WEBHOOK_TEST;
use crate::verb;
use axum::http::StatusCode;
use postroom_model::Class;
use postroom_model::EventName;
use postroom_model::Property;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::WEBHOOKS;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// The problems of all operations.
const ALWAYS: [u16; 12] = [400, 401, 403, 404, 405, 414, 422, 429, 431, 500, 501, 503];
/// The problems of operations with a body.
const WITH_BODY: [u16; 3] = [408, 413, 415];
/// Where the classes are.
const MODEL: &str = "/rest/v1/model";

/// Where an operation is, once for each class and property.
struct Located<'a> {
    path: String,
    class: Option<&'a Class>,
    property: Option<&'a Property>,
}

/// The description of the interface with these classes.
///
/// # Errors
///
/// When a table is not well formed.
pub(crate) fn document(classes: &[Arc<Class>]) -> serde_json::Result<Json> {
    let tables = DescriptionTables::read()?;
    let mut paths: Map<String, Json> = Map::new();
    for operation in &tables.operations {
        for located in places(operation, classes) {
            let (method, path) = match operation.twin() {
                Some(word) => ("post".to_owned(), format!("{}:{word}", located.path)),
                None => (operation.method.to_ascii_lowercase(), located.path.clone()),
            };
            let described = described(operation, &located, &tables);
            if let Some(methods) = paths.entry(path).or_insert_with(|| json!({})).as_object_mut() {
                methods.insert(method, described);
            }
        }
    }
    let tag =
        |class: &Arc<Class>| json!({"name": class.classname, "description": class.description});
    let tags: Vec<_> = classes.iter().map(tag).chain([json!({"name": OTHER})]).collect();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postroom", "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT, "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": tags,
        "paths": paths,
        "components": components(&tables, classes),
    }))
}

const ABOUT: &str = "Mail between mail servers and a data model. HEAD is taken where GET is. A \
                     verb of our own, such as CLEAR, is a method, and has a twin for clients that \
                     know only the common methods: POST with the verb behind a colon. The twins \
                     are described here. Properties and classes that you add are here at once. \
                     Answers are compressed if `Accept-Encoding` asks for it, and bodies of \
                     requests may have the Content-Encoding zstd or gzip.";

/// The tag of what is at no class.
const OTHER: &str = "Postroom";

/// The places of an operation.
fn places<'a>(operation: &DescribedOperation, classes: &'a [Arc<Class>]) -> Vec<Located<'a>> {
    if let Spot::Path(path) = &operation.at {
        return vec![Located { path: path.clone(), class: None, property: None }];
    }
    let mut places = vec![];
    for class in classes {
        let root = format!("{MODEL}/{}", class.classname);
        let mut add = |path: String, property: Option<&'a Property>| {
            places.push(Located { path, class: Some(class.as_ref()), property });
        };
        let files = |multi: bool| {
            let of_kind = move |property: &&Property| property.is_file() && property.multi == multi;
            class.properties.iter().filter(of_kind)
        };
        // What nobody may do with any right is not described.
        let has_verb = |of_entity| match operation.twin() {
            Some(_) => verb::is_own(class, of_entity, &operation.method),
            None => operation.method == "GET" || !verb::is_only_read(class),
        };
        match &operation.at {
            Spot::Collection if has_verb(false) => add(root, None),
            Spot::Entity if has_verb(true) => add(format!("{root}/{{id}}"), None),
            Spot::Text if class.classname == MESSAGES => add(format!("{root}/{{id}}/text"), None),
            Spot::WebhookTest if class.classname == WEBHOOKS => {
                add(format!("{root}/{{id}}/{WEBHOOK_TEST}"), None);
            }
            // What is made is a token.
            Spot::DomainTokens if class.classname == TOKENS => {
                add(format!("{MODEL}/{DOMAINS}/{{id}}/{DOMAIN_TOKENS}"), None);
            }
            Spot::FileList | Spot::FileOfList => {
                let below = if operation.at == Spot::FileList { "" } else { "/{file}" };
                for property in files(true) {
                    let name = bodies::shown_name(property);
                    add(format!("{root}/{{id}}/{name}{below}"), Some(property));
                }
            }
            Spot::File => {
                for property in files(false) {
                    let name = bodies::shown_name(property);
                    add(format!("{root}/{{id}}/{name}"), Some(property));
                }
            }
            Spot::Path(_)
            | Spot::Collection
            | Spot::Entity
            | Spot::Text
            | Spot::WebhookTest
            | Spot::DomainTokens => {}
        }
    }
    places
}

fn described(operation: &DescribedOperation, at: &Located<'_>, tables: &DescriptionTables) -> Json {
    let mut id = vec![];
    id.extend(at.class.map(|class| class.classname.replace('/', "_")));
    id.extend(at.property.map(|property| bodies::shown_name(property).to_owned()));
    id.extend((operation.at == Spot::Text).then(|| "text".to_owned()));
    id.extend((operation.at == Spot::DomainTokens).then(|| "of_domain".to_owned()));
    id.extend((operation.at == Spot::WebhookTest).then(|| WEBHOOK_TEST.to_owned()));
    id.push(operation.id.clone());
    let mut described = json!({
        "operationId": id.join("_"),
        "summary": operation.says,
        "tags": [at.class.map_or(OTHER, |class| class.classname.as_str())],
        "parameters": parameters(operation, at, tables),
        "responses": responses(operation, at, tables),
    });
    let Some(members) = described.as_object_mut() else {
        return described;
    };
    if operation.twin().is_some() {
        let says = format!("The twin of the method {}.", operation.method);
        members.insert("description".to_owned(), json!(says));
    }
    if let Some(sends) = &operation.sends {
        let content = bodies::content(sends, tables, at.class);
        let required = !operation.may_be_empty;
        members.insert("requestBody".to_owned(), json!({"required": required, "content": content}));
    }
    if operation.open {
        members.insert("security".to_owned(), json!([{}, {"token": []}]));
    }
    described
}

fn parameters(
    operation: &DescribedOperation,
    at: &Located<'_>,
    tables: &DescriptionTables,
) -> Vec<Json> {
    let in_path = at.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let by_time = |class: &Class| class.opts.contains_key("partition_property");
    let is_kept = |name: &&str| *name != "interval" || at.class.is_some_and(by_time);
    let more = at.class.into_iter().flat_map(|class| {
        let of_property =
            at.property.map(|property| format!("{}/{}", class.classname, property.name));
        let names = [Some(class.classname.clone()), of_property].into_iter().flatten();
        names.filter_map(|name| operation.more.get(&name)).flatten()
    });
    let named = operation.parameters.iter().chain(more).map(String::as_str).filter(is_kept);
    let reference = |name| json!({"$ref": format!("#/components/parameters/{name}")});
    let mut all: Vec<_> = in_path.chain(named).map(reference).collect();
    if let Some(class) =
        at.class.filter(|_| operation.at == Spot::Collection && operation.id == "list")
    {
        let is_parameter = |json: &Json| {
            let name = json.get("name").and_then(Json::as_str);
            name.is_some_and(|name| tables.fields.parameters.contains_key(name))
        };
        all.extend(schemas::equalities(class).filter(|json| !is_parameter(json)));
    }
    all
}

fn responses(operation: &DescribedOperation, at: &Located<'_>, tables: &DescriptionTables) -> Json {
    let mut responses = Map::new();
    for gives in &operation.gives {
        responses.insert(gives.status.to_string(), answer(gives, at, tables));
    }
    let with_body = WITH_BODY.iter().filter(|_| operation.sends.is_some());
    let mut problems: Vec<_> = ALWAYS.iter().chain(with_body).chain(&operation.problems).collect();
    problems.sort();
    problems.dedup();
    for status in problems {
        let reference = format!("#/components/responses/{}", problem_name(*status));
        responses.insert(status.to_string(), json!({"$ref": reference}));
    }
    Json::Object(responses)
}

fn answer(gives: &Gives, at: &Located<'_>, tables: &DescriptionTables) -> Json {
    let coded = ["Content-Encoding", "Vary"].into_iter().filter(|_| gives.content.is_some());
    let names: Vec<_> = gives.headers.iter().cloned().chain(coded.map(str::to_owned)).collect();
    let mut answer = json!({"description": gives.says, "headers": headers(&names)});
    if let (Some(content), Some(members)) = (&gives.content, answer.as_object_mut()) {
        let content = bodies::content(content, tables, at.class);
        members.insert("content".to_owned(), content);
    }
    answer
}

/// References to header fields. All answers have the id of the request.
fn headers(names: &[String]) -> Map<String, Json> {
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    let all = ["X-Request-Id"].into_iter().chain(names.iter().map(String::as_str));
    all.map(|name| (name.to_owned(), reference(name))).collect()
}

fn problem_name(status: u16) -> String {
    format!("Problem{status}")
}

fn components(tables: &DescriptionTables, classes: &[Arc<Class>]) -> Json {
    let shape = |(name, shape): (&String, &Json)| {
        let schema = shape.get("schema").cloned().unwrap_or_default();
        (name.clone(), schema)
    };
    let mut schemas: Map<String, Json> = tables.shapes.iter().map(shape).collect();
    let mut listed = |shape: &str, property: &str, words: Json| {
        let place = format!("/properties/{property}");
        let found = schemas.get_mut(shape).and_then(|schema| schema.pointer_mut(&place));
        let found = found.and_then(Json::as_object_mut);
        found.into_iter().for_each(|all| drop(all.insert("enum".to_owned(), words.clone())));
    };
    listed("Problem", "type", problem_types(tables));
    listed("Event", "event", EventName::all().map(|name| name.to_string()).collect());
    for class in classes {
        for purpose in SchemaUse::ALL {
            schemas.insert(schemas::name(class, purpose), schemas::schema(class, purpose));
        }
    }
    let response = |row: &ProblemStatus| (problem_name(row.status), problem_response(row));
    let responses: Map<String, Json> = tables.problems.iter().map(response).collect();
    json!({
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "parameters": tables.fields.parameters,
        "headers": tables.fields.headers,
        "responses": responses,
        "schemas": schemas,
    })
}

fn problem_types(tables: &DescriptionTables) -> Json {
    let kinds = tables.problems.iter().flat_map(|row| row.kinds.keys());
    let mut types: Vec<_> = kinds.map(|kind| format!("urn:postroom:problem:{kind}")).collect();
    types.sort();
    types.dedup();
    json!(types)
}

fn problem_response(row: &ProblemStatus) -> Json {
    let title = StatusCode::from_u16(row.status).ok();
    let title = title.and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let example = |(kind, detail): (&String, &Json)| {
        let value = json!({
            "type": format!("urn:postroom:problem:{kind}"), "title": title, "status": row.status,
            "detail": detail, "error_code": 1000 + row.status, "error_message": detail,
        });
        (kind.clone(), json!({"value": value}))
    };
    let examples: Map<String, Json> = row.kinds.iter().map(example).collect();
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({
        "description": row.says,
        "headers": headers(&row.headers),
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    })
}
