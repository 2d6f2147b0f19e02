//! Views: the JSON of entities and files in answers.

use crate::etag;
use crate::mask::Mask;
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
pub(crate) fn entity(class: &Class, entity: &Entity, mask: Option<&Mask>) -> Response {
    let mut response = Json(fields(class, entity, mask)).into_response();
    if let Some(tag) = etag::header(&etag::of_version(entity.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A list of entities.
#[must_use]
pub(crate) fn entities(class: &Class, entities: Vec<Entity>, mask: Option<&Mask>) -> Response {
    list(Body::from(["[", &elements(class, entities, mask), "]"].concat()))
}

/// A list with this body as its JSON.
#[must_use]
pub(crate) fn list(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The elements of a list. Each is dropped as soon as it is written, because some are large.
#[must_use]
pub(crate) fn elements(class: &Class, entities: Vec<Entity>, mask: Option<&Mask>) -> String {
    let mut elements = String::new();
    for entity in entities {
        if !elements.is_empty() {
            elements.push(',');
        }
        elements.push_str(&fields(class, &entity, mask).to_string());
    }
    elements
}

/// A new entity: 201 with its `Location`.
#[must_use]
pub(crate) fn created(class: &Class, created: &Entity) -> Response {
    let mut response = entity(class, created, None);
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

fn fields(class: &Class, entity: &Entity, mask: Option<&Mask>) -> Value {
    let whole = entity.to_json(class);
    match mask {
        Some(mask) => mask.apply(&whole),
        None => whole,
    }
}
