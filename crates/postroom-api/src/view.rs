//! Views: the JSON of entities and files in answers.

use crate::etag;
use crate::format::Format;
use crate::made_secrets::MadeSecrets;
use axum::Json;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_store::FileRow;
use serde_json::Value;
use serde_json::json;

/// One entity with its ETag.
#[must_use]
pub(crate) fn entity(class: &Class, entity: &Entity) -> Response {
    row(entity, entity.to_json(class))
}

/// One entity as `shown`, with its ETag.
#[must_use]
pub(crate) fn row(entity: &Entity, shown: Value) -> Response {
    let mut response = Json(shown).into_response();
    if let Some(tag) = etag::header(&etag::of_version(entity.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A list with this body, in its format.
#[must_use]
pub(crate) fn list(body: Body, format: Format) -> Response {
    let content_type = (header::CONTENT_TYPE, format.content_type());
    ([content_type, (header::VARY, "accept")], body).into_response()
}

/// New entities, in the answer to their creation.
#[must_use]
pub(crate) fn created_list(class: &Class, created: &[Entity], made: &MadeSecrets) -> Response {
    let elements: Vec<_> =
        created.iter().map(|entity| made.shown(class, entity).to_string()).collect();
    list(Body::from(["[", &elements.join(","), "]"].concat()), Format::Array)
}

/// A new entity: 201 with its `Location`.
#[must_use]
pub(crate) fn created(class: &Class, created: &Entity, made: &MadeSecrets) -> Response {
    let mut response = row(created, made.shown(class, created));
    *response.status_mut() = StatusCode::CREATED;
    let place = format!("/rest/v1/model/{}/{}", class.classname, created.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// 304: the client already has it.
#[must_use]
pub(crate) fn not_modified(tag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    if let Some(tag) = etag::header(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The description of a file, without its content.
#[must_use]
pub(crate) fn file(row: &FileRow) -> Value {
    json!({
        "name": row.name,
        "contentType": row.media_type,
        "contentId": row.content_id,
        "size": row.size_bytes,
        "etag": row.etag(),
    })
}
