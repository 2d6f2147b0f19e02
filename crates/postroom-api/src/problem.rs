//! Problems: the answers to requests that fail.
//!
//! Every refusal has this type, so that all look alike. A failure of the store or the engine
//! becomes a fault: the client sees a request id, and the log has the same id and the causes.
//!
//! Standards: RFC 9457 (problem details), RFC 9110 §15 (status codes).

use axum::Json;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::chain;
use postroom_model::Invalid;
use postroom_model::PROBLEMS_MAX;
use postroom_model::json_problem;
use serde_json::json;

/// The kind of a problem that arose because the classes were changed at the same moment.
const OTHER_CLASSES: &str = "other-classes";
/// How many problems the detail lists.
const DETAILED: usize = 10;

/// A refusal, as `application/problem+json`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    errors: Vec<Invalid>,
    headers: Vec<(HeaderName, HeaderValue)>,
    fault: Option<Fault>,
}

/// The cause, for the log. The response carries it to where it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// The cause.
    pub cause: Box<str>,
    /// Whether the client gets only the id of the request, and no other detail.
    pub is_hidden: bool,
}

impl Problem {
    /// A refusal with a stable code for programs and a sentence for people.
    #[must_use]
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), errors: vec![], headers: vec![], fault: None }
    }

    /// 400: the request is not well formed.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 400: the body is not JSON.
    #[must_use]
    pub fn not_json(what: &str, error: &serde_json::Error) -> Self {
        let detail = format!("{what} is not valid JSON: {}", json_problem(error));
        Self::new(StatusCode::BAD_REQUEST, "invalid-json", detail)
    }

    /// 401: no token, or an unknown one.
    #[must_use]
    pub fn unauthenticated(challenge: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// The same with another code for programs.
    #[must_use]
    pub(crate) fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// 503: the classes were changed at the same moment.
    pub(crate) fn of_other_classes(text: &str) -> Self {
        Self { kind: OTHER_CLASSES, ..Self::later(StatusCode::SERVICE_UNAVAILABLE, text, text) }
    }

    /// 404: it does not exist, or belongs to another domain.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 405: the path exists, but not for this method.
    #[must_use]
    pub fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("this path accepts only {allow}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
        problem.headers.extend(HeaderValue::from_str(allow).ok().map(|it| (header::ALLOW, it)));
        problem
    }

    /// 409: an existing entity, or the state, does not allow it.
    #[must_use]
    pub fn conflict(kind: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, detail)
    }

    /// 412: the entity has changed since the client read it.
    #[must_use]
    pub fn stale(version: i64) -> Self {
        let detail = format!("the entity has changed: its ETag is \"{version}\" now");
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", detail)
    }

    /// 413: more than `bytes_max`.
    #[must_use]
    pub fn too_large(what: &str, bytes_max: u64) -> Self {
        let detail = format!("{what} is larger than {bytes_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// 415: a body of another media type.
    #[must_use]
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    }

    /// The same, with the places in a list where it is so. Without places it stays as it is.
    #[must_use]
    pub fn at(self, places: Vec<Invalid>) -> Self {
        Self { errors: places.into_iter().take(PROBLEMS_MAX).collect(), ..self }
    }

    /// 422: well formed, but not allowed by the class or its rules.
    #[must_use]
    pub fn invalid(mut errors: Vec<Invalid>) -> Self {
        if errors.len() > PROBLEMS_MAX {
            errors.truncate(PROBLEMS_MAX);
            errors.push(Invalid::new(
                "",
                format!("there are more problems; only the first {PROBLEMS_MAX} are listed"),
            ));
        }
        let mut detail: Vec<_> = errors.iter().take(DETAILED).map(ToString::to_string).collect();
        if errors.len() > DETAILED {
            detail.push(format!("and {} more, in `errors`", errors.len() - DETAILED));
        }
        let detail = detail.join("; ");
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        problem.errors = errors;
        problem
    }

    /// 500: a fault of Postroom. `cause` goes only to the log.
    #[must_use]
    pub fn fault(cause: impl Into<String>) -> Self {
        let fault = Some(Fault { cause: cause.into().into(), is_hidden: true });
        Self { fault, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "") }
    }

    /// 500: stored data was damaged on the disk. `what` says what cannot be read.
    #[must_use]
    pub fn damaged(what: &str) -> Self {
        let detail = format!(
            "{what}: the disk returned other bytes than were written, so they are not served; \
             check the disk, and restore the data directory from a backup"
        );
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", detail).caused_by(what)
    }

    /// 503 or 507: it may work later. `cause` goes only to the log.
    #[must_use]
    pub fn later(status: StatusCode, detail: &str, cause: impl Into<String>) -> Self {
        Self::unavailable(status, detail).caused_by(cause)
    }

    /// The same as a fault that the log has with its cause.
    fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.fault = Some(Fault { cause: cause.into().into(), is_hidden: false });
        self
    }

    /// 503: this node does not do it now, which is no fault. So the log has it as any other answer.
    #[must_use]
    pub(crate) fn not_here(detail: &str) -> Self {
        Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    fn unavailable(status: StatusCode, detail: &str) -> Self {
        let soon = HeaderValue::from_static("5");
        Self::new(status, "unavailable", detail).with(header::RETRY_AFTER, soon)
    }

    /// Adds what is wrong in detail: properties, or ids, with the reason of each.
    #[must_use]
    pub(crate) fn about(mut self, errors: Vec<Invalid>) -> Self {
        self.errors = errors;
        self
    }

    /// The same problem, with a detail that begins with what was done before it.
    #[must_use]
    pub(crate) fn preceded_by(mut self, done: &str) -> Self {
        let dot = if self.detail.is_empty() { "" } else { "; " };
        self.detail = format!("{done}{dot}{}", self.detail);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds the request id under which the log has more. If there is no other detail, the client
    /// sees only this.
    #[must_use]
    pub fn of_request(mut self, id: &str) -> Self {
        let place = format!("the log has more under request id {id}");
        self.detail =
            if self.detail.is_empty() { place } else { format!("{}; {place}", self.detail) };
        self
    }

    /// The problems of the properties, as items of a list at `place`.
    ///
    /// # Errors
    ///
    /// Gives the problem back if it is not about properties.
    pub fn within(self, place: &str) -> Result<Vec<Invalid>, Self> {
        if self.errors.is_empty() {
            return Err(self);
        }
        let at = |error: Invalid| {
            let dot = if error.property.is_empty() { "" } else { "." };
            Invalid::new(format!("{place}{dot}{}", error.property), error.reason)
        };
        Ok(self.errors.into_iter().map(at).collect())
    }

    /// The same with other places, if it has some.
    #[must_use]
    pub fn placed(self, place: impl Fn(&str) -> String) -> Self {
        if self.errors.is_empty() {
            return self;
        }
        let at = |error: Invalid| Invalid::new(place(&error.property), error.reason);
        Self::invalid(self.errors.into_iter().map(at).collect())
    }

    /// The JSON for the client.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let message = if self.detail.is_empty() { title } else { &self.detail };
        let mut body = json!({
            "type": format!("urn:postroom:problem:{}", self.kind),
            "title": title,
            "status": self.status.as_u16(),
            "detail": message,
            "error_code": 1000 + self.status.as_u16(),
            "error_message": message,
        });
        if let (false, Some(members)) = (self.errors.is_empty(), body.as_object_mut()) {
            let errors = self.errors.iter();
            let errors = errors.map(|e| json!({"property": e.property, "reason": e.reason}));
            members.insert("errors".to_owned(), errors.collect());
        }
        body
    }

    /// Whether the classes were changed at the same moment.
    pub(crate) fn is_of_other_classes(&self) -> bool {
        self.kind == OTHER_CLASSES
    }

    /// Whether it may be because another process has changed the classes.
    pub(crate) fn may_be_of_former_classes(&self) -> bool {
        [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY].contains(&self.status)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Vec<Invalid>> for Problem {
    fn from(errors: Vec<Invalid>) -> Self {
        Self::invalid(errors)
    }
}

impl From<Invalid> for Problem {
    fn from(error: Invalid) -> Self {
        Self::invalid(vec![error])
    }
}

impl From<postroom_store::Error> for Problem {
    fn from(error: postroom_store::Error) -> Self {
        use postroom_store::DAMAGED_OBJECT;
        use postroom_store::Error;
        let text = error.to_string();
        match error {
            Error::Condition(failed) => failed.into(),
            Error::Damaged { what: DAMAGED_OBJECT } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", text)
                    .caused_by(DAMAGED_OBJECT)
            }
            Error::Damaged { .. } | Error::SecretKeyGone => Self::damaged(&text),
            Error::TooSlow => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-slow", text),
            Error::TooDeep => Invalid::new("filter", text).into(),
            Error::Full => Self::later(StatusCode::INSUFFICIENT_STORAGE, &text, text.as_str()),
            // Without `Retry-After`: a client that repeats it blindly may do it twice.
            Error::OutcomeUnknown => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "outcome-unknown", text)
                    .caused_by("outcome unknown")
            }
            Error::Crowded
            | Error::Closed
            | Error::NotLeading
            | Error::Unreachable { .. }
            | Error::NotLetIn { .. }
            | Error::Objects { .. } => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, &text, text.as_str())
            }
            Error::Database(_)
            | Error::WalMissing { .. }
            | Error::WalForeign { .. }
            | Error::Locked { .. }
            | Error::File { .. }
            | Error::IllegalStep(_)
            | Error::WrongType { .. }
            | Error::DatabaseAddress { .. }
            | Error::ObjectsLeftAlone
            | Error::ObjectsConfig { .. }
            | Error::OtherObjects { .. }
            | Error::KeyForm
            | Error::KeyMissing { .. }
            | Error::KeyDiffers { .. }
            | Error::MasterInUse { .. }
            | Error::SecretNewer
            | Error::Moved { .. }
            | Error::Newer { .. } => Self::fault(chain(&error)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, media_type, Json(self.to_json())).into_response();
        response.headers_mut().extend(self.headers.into_iter().map(|(name, it)| (Some(name), it)));
        if let Some(fault) = self.fault {
            response.extensions_mut().insert(fault);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shown(problem: Problem) -> (Response<()>, serde_json::Value) {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn only_what_was_surely_not_done_is_to_be_repeated() {
        let retried = |error: postroom_store::Error| {
            let problem = Problem::from(error);
            let is_told = problem.headers.iter().any(|(name, _)| *name == header::RETRY_AFTER);
            (problem.status().as_u16(), is_told)
        };
        let reason = "refused".to_owned();
        assert_eq!(retried(postroom_store::Error::Unreachable { reason }), (503, true));
        let (place, reason) = ("s3://mail".to_owned(), "refused".to_owned());
        assert_eq!(retried(postroom_store::Error::Objects { place, reason }), (503, true));
        assert_eq!(retried(postroom_store::Error::OutcomeUnknown), (504, false));
    }

    #[tokio::test]
    async fn every_problem_has_the_same_form() {
        let invalid = vec![Invalid::new("to[1]", "has no '@'")];
        let bad: Result<serde_json::Value, _> = serde_json::from_str("{\n \"a\": }");
        #[rustfmt::skip]
        let table = [
            (Problem::malformed("odd"),                         400, "malformed",              "odd"),
            (Problem::not_json("the body", &bad.unwrap_err()),  400, "invalid-json",           "the body is not valid JSON: expected value at line 2 column 7"),
            (Problem::unauthenticated("Bearer", "who?"),        401, "unauthenticated",        "who?"),
            (Problem::not_found("gone"),                        404, "not-found",              "gone"),
            (Problem::method_not_allowed("GET, PUT"),           405, "method-not-allowed",     "this path accepts only GET, PUT"),
            (Problem::conflict("exists", "twice"),              409, "exists",                 "twice"),
            (Problem::stale(4),                                 412, "stale",                  "the entity has changed: its ETag is \"4\" now"),
            (Problem::too_large("the body", 5),                 413, "too-large",              "the body is larger than 5 bytes"),
            (Problem::unsupported("takes JSON"),                415, "unsupported-media-type", "takes JSON"),
            (Problem::invalid(invalid),                         422, "invalid",                "to[1]: has no '@'"),
            (Problem::fault("secret path").of_request("7"),     500, "fault",                  "the log has more under request id 7"),
        ];
        for (problem, status, kind, detail) in table {
            let (response, body) = shown(problem).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(body["type"], format!("urn:postroom:problem:{kind}"));
            assert_eq!(body["status"], status);
            assert_eq!(body["error_code"], 1000 + status);
            assert_eq!(body["detail"], detail);
            assert_eq!(body["error_message"], detail);
            assert!(body["title"].is_string());
            assert_eq!(body.get("errors").is_some(), status == 422);
            assert!(!body.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn many_problems_are_a_short_answer() {
        let long = "x".repeat(100_000);
        let many = (0..5000).map(|at| Invalid::new(format!("{long}{at}"), long.clone())).collect();
        let text = Problem::invalid(many).to_json().to_string();
        assert!(text.len() < 200_000, "{}", text.len());
        let few = (0..12).map(|at| Invalid::new(format!("p{at}"), "odd")).collect();
        let json = Problem::invalid(few).to_json();
        assert!(json["detail"].as_str().unwrap().ends_with("p9: odd; and 2 more, in `errors`"));
        assert_eq!(json["errors"].as_array().unwrap().len(), 12);
    }

    #[tokio::test]
    async fn an_invalid_property_is_named() {
        let (_, body) = shown(Invalid::new("name", "is required").into()).await;
        assert_eq!(body["errors"], json!([{"property": "name", "reason": "is required"}]));
    }
}
