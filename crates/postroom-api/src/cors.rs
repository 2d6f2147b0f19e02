//! Lets pages of other origins use the interface, where the configuration names them.
//!
//! Without it a browser shows no answer to a page of another origin. Cookies are never allowed,
//! because a token is what opens. What a browser may not do, any other client still can: this
//! protects nobody by itself.
//!
//! Standards: CORS of the Fetch standard (§3.2).

use crate::design;
use crate::origins::Origins;
use crate::problem::Problem;
use crate::verb;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;

/// How long a browser may remember what is allowed, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
/// What an answer to a browser depends on.
const VARIES: HeaderValue = HeaderValue::from_static("origin");
/// The header fields that a page may send.
const TAKEN: HeaderValue = HeaderValue::from_static(
    "authorization, claim-token, content-disposition, content-encoding, content-id, content-type, \
     idempotency-key, if-match, if-none-match, if-range, last-event-id, range, x-request-id",
);
/// The header fields that a page may read.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "accept-encoding, accept-ranges, allow, content-disposition, content-encoding, content-range, \
     etag, link, location, retry-after, vary, www-authenticate, x-limit, x-request-id, \
     x-total-count",
);
/// Answers what a browser asks before a request, and tells it what a page may read.
pub(crate) async fn allow(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    if origins.is_empty() {
        return next.run(request).await;
    }
    let (headers, allowed) = (request.headers(), origins.allowed(request.headers()));
    let is_preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&allowed, is_preflight) {
        (_, false) => next.run(request).await,
        (Some(_), true) => preflight(),
        (None, true) => {
            let detail =
                "pages of this origin may not use the interface; --cors-origin allows them";
            Problem::new(StatusCode::FORBIDDEN, "other-origin", detail).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, VARIES);
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
    response
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let common = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", design::SYNC];
    let methods: Vec<_> = common.into_iter().chain(verb::own_methods()).collect();
    let methods = HeaderValue::from_str(&methods.join(", "));
    headers.extend(methods.ok().map(|methods| (header::ACCESS_CONTROL_ALLOW_METHODS, methods)));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::described_headers;

    #[test]
    fn a_page_may_use_every_described_header_field() {
        let named = |value: &HeaderValue| -> Vec<String> {
            value.to_str().unwrap().split(", ").map(str::to_owned).collect()
        };
        let (mut taken, mut shown) = described_headers();
        taken.retain(|name| !named(&TAKEN).contains(name));
        shown.retain(|name| !named(&SHOWN).contains(name));
        assert_eq!((taken, shown), (vec![], vec![]));
    }
}
