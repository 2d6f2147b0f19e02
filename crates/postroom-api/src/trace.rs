//! The frame of every request: gives it an id, logs errors, and confines a panic to this request.

use crate::asking::AuditedRequest;
use crate::problem::Fault;
use crate::problem::Problem;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::FutureExt;
use postroom_store::Clock;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use tokio::time::Instant;

/// The header field that names the request in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest part of a path that is logged.
const PATH_BYTES_MAX: usize = 512;

/// How many characters the id of a client may have.
const ID_CHARS_MAX: usize = 128;

/// Gives the request an id, or keeps that of the client, and logs the request and its faults under
/// this id. The client sees only the id of a fault.
///
/// Parameters are not logged, because filters contain addresses and words of messages.
pub(crate) async fn trace(
    State(clock): State<Clock>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = id_of(request.headers()).unwrap_or_else(|| clock.new_id().to_string());
    let method = request.method().clone();
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let path = request.uri().path();
    let path = path.get(..PATH_BYTES_MAX).unwrap_or(path).to_owned();
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let client = client.map(|ConnectInfo(client)| tracing::field::display(client.ip()));
    let source = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let source = source.map(|ConnectInfo(client)| client.ip());
    request.extensions_mut().insert(AuditedRequest::new(source, &id));
    let begun = Instant::now();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered
        .unwrap_or_else(|_| Problem::fault("a fault of its own ended the request").into_response());
    let status = response.status();
    let fault = response.extensions_mut().remove::<Fault>();
    if let Some(Fault { cause, is_hidden }) = fault {
        let (status, duration_ms) = (status.as_u16(), milliseconds(begun));
        tracing::error!(
            request = id, client, %method, path, status, duration_ms, cause, "request failed"
        );
        if is_hidden {
            response = Problem::fault("").of_request(&id).into_response();
        }
    } else {
        let (status, duration_ms) = (status.as_u16(), milliseconds(begun));
        let bytes = size_of(&response);
        tracing::info!(request = id, client, %method, path, status, duration_ms, bytes, "request");
    }
    let fields = response.headers_mut();
    // A browser must not take what mail or a client wrote into JSON for a page.
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What has an ETag is worth asking for again. Nobody keeps the rest, such as a new token.
    let is_kept = is_read && fields.contains_key(header::ETAG);
    let caching = if is_kept { "private, no-cache" } else { "no-store" };
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
    if let Ok(value) = HeaderValue::from_str(&id) {
        fields.insert(REQUEST_ID, value);
    }
    response
}

/// The id that a client gives its request, or a proxy before it, if it can stand in a log as it is.
fn id_of(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.:/+=@".contains(char);
    let is_short = (1..=ID_CHARS_MAX).contains(&id.len());
    (is_short && id.chars().all(is_plain)).then(|| id.to_owned())
}

/// How many bytes the body has. `None`: it is made while it is sent.
fn size_of(response: &Response) -> Option<u64> {
    let said = response.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|field| field.to_str().ok()?.parse().ok());
    said.or_else(|| response.body().size_hint().exact())
}

/// From `begun` until the answer begins, to the microsecond.
fn milliseconds(begun: Instant) -> f64 {
    let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware;
    use axum::routing::get;
    use tower::Service;

    async fn asked(path: &str) -> (StatusCode, String, serde_json::Value) {
        let fault = || async { Problem::fault("the disk at /secret is gone") };
        let full = || async {
            let status = StatusCode::INSUFFICIENT_STORAGE;
            Problem::later(status, "the disk is full", "the disk at /secret is full")
        };
        let mut router: Router = Router::new()
            .route("/panic", get(|| async { panic!("a secret") }.map(|never: ()| never)))
            .route("/fault", get(fault))
            .route("/full", get(full))
            .route("/damaged", get(|| async { Problem::damaged("a file") }))
            .layer(middleware::from_fn_with_state(Clock::system(), trace));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.call(request).await.unwrap();
        let (status, id) = (response.status(), response.headers()["x-request-id"].clone());
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let json = serde_json::from_slice(&bytes).unwrap();
        (status, id.to_str().unwrap().to_owned(), json)
    }

    #[tokio::test]
    async fn a_fault_shows_its_request_id_and_nothing_else() {
        for path in ["/fault", "/panic"] {
            let (status, id, body) = asked(path).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
            assert!(body["detail"].as_str().unwrap().ends_with(&id), "{body}");
            assert!(!body.to_string().contains("secret"), "{body}");
        }
        let (status, _, body) = asked("/full").await;
        assert_eq!(
            (status, &body["detail"]),
            (StatusCode::INSUFFICIENT_STORAGE, &"the disk is full".into())
        );
        let (status, _, body) = asked("/damaged").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body["detail"].as_str().unwrap().starts_with("a file: "), "{body}");
    }
}
