//! `GET /rest/v1/openapi.json`: this interface as OpenAPI 3.1, with the classes as they are now.
//!
//! ```text
//!   operations.json, fields.json, problems.json, shapes.json ─┐
//!   classes ──► schemas ──► bodies ──────────────────────────┴─► document
//! ```
//! It needs a token as the classes do, because it shows what businesses have added to them.
//!
//! Standards: OpenAPI 3.1, JSON Schema 2020-12.

mod tables;

mod schemas;

mod bodies;

mod document;

use crate::app::App;
use crate::caller::Caller;
use crate::described::DescribedClasses;
use crate::described::Description;
use crate::download;
use crate::etag;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use postroom_store::Classes;

#[cfg(test)]
pub(crate) use document::document;

/// The names of the header fields of requests, and those of answers, in lower case.
#[cfg(test)]
pub(crate) fn described_headers() -> (Vec<String>, Vec<String>) {
    let fields = tables::DescriptionTables::read().unwrap().fields;
    let sent = fields.parameters.values().filter(|field| field["in"] == "header");
    let sent = sent.map(|field| field["name"].as_str().unwrap().to_ascii_lowercase());
    (sent.collect(), fields.headers.keys().map(|name| name.to_ascii_lowercase()).collect())
}

/// Where the description is.
pub(crate) const OPENAPI: &str = "/rest/v1/openapi.json";

/// `GET` of the description.
///
/// # Errors
///
/// 422 for any parameter.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let classes = app.store.classes().of(caller.domain());
    let (of, work) = (DescribedClasses::of(&classes), app.store.work());
    let description = app.described.of(of, work, move || described(&classes)).await?;
    if etag::is_known(&headers, &description.tag)? {
        return Ok(view::not_modified(&description.tag));
    }
    let json = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, json)], description.bytes).into_response();
    response.headers_mut().extend(etag::header(&description.tag).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

fn described(classes: &Classes) -> Result<Description, Problem> {
    let document = document::document(classes);
    let document = document.map_err(|error| Problem::fault(error.to_string()))?;
    let bytes = Bytes::from(document.to_string());
    Ok(Description { of: DescribedClasses::of(classes), tag: download::tag_of(&bytes), bytes })
}
