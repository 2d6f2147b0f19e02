//! The header field `Host`: HTTP/1.1 demands exactly one.
//!
//! Standards: RFC 9112 §3.2.

use crate::problem::Problem;
use axum::extract::Request;
use axum::http::Version;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;

/// Refuses an HTTP/1.1 request with no host or several hosts, because a proxy may have read it as
/// another request.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let count = request.headers().get_all(header::HOST).iter().count();
    if request.version() == Version::HTTP_11 && count != 1 {
        let detail = format!("HTTP/1.1 takes one header field Host, not {count}");
        return Problem::malformed(detail).into_response();
    }
    next.run(request).await
}
