//! Forms with files: `multipart/form-data`, part by part while it arrives.
//!
//! Standards: RFC 7578.

use crate::body::BodyError;
use crate::body::Incoming;
use crate::limits::Limits;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequest;
use axum::extract::Multipart;
use axum::extract::Request;
use axum::extract::multipart::Field;
use axum::extract::multipart::MultipartError;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use std::error::Error;

/// A form that is being read.
pub struct Form {
    parts: Multipart,
    left: usize,
}

impl Form {
    /// Begins to read the form of a request.
    ///
    /// # Errors
    ///
    /// 413 when it is too large, 400 when its boundary is missing.
    pub async fn open(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Self, Problem> {
        let incoming = Incoming::new(headers, body, limits.upload_bytes_max, limits)?;
        let mut request = Request::new(Body::from_stream(incoming.pieces()));
        if let Some(media_type) = headers.get(header::CONTENT_TYPE) {
            request.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
        }
        DefaultBodyLimit::disable().apply(&mut request);
        let parts = Multipart::from_request(request, &()).await;
        let parts = parts.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
        Ok(Self { parts, left: limits.files_count_max + 1 })
    }

    /// The next part; `None` at the end. What was not read of the part before is passed over.
    ///
    /// # Errors
    ///
    /// As the body's; 422 when there are too many parts.
    pub async fn next(&mut self) -> Result<Option<Field<'_>>, Problem> {
        let next = self.parts.next_field().await.map_err(|error| problem(&error))?;
        if next.is_some() {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "too-many-files", "the form has too many parts")
            })?;
        }
        Ok(next)
    }
}

/// The bytes of a part.
pub fn bytes(field: Field<'_>) -> impl Stream<Item = Result<Bytes, Problem>> + Send + Unpin {
    field.map(|piece| piece.map_err(|error| problem(&error)))
}

/// What a form's error means to the client: the body's own, when that is its cause.
fn problem(error: &MultipartError) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(body) = error.downcast_ref::<BodyError>() {
            return Problem::from(*body);
        }
        cause = error.source();
    }
    Problem::malformed(format!("the form is not well formed: {error}"))
}
