//! How the application asks the REST interface: as any other client does, with the token of the
//! person who signed in. Nothing here has a right of its own.

use crate::asking::AuditedRequest;
use crate::caller::IsHttps;
use crate::parameters;
use crate::problem::Problem;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use serde_json::Value as Json;
use std::net::SocketAddr;
use tower::Service;

/// How many bytes of an answer are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The cookie with the token.
const COOKIE: &str = "postroom";

/// The REST interface for those who are within it.
#[derive(Debug, Clone)]
pub(crate) struct RestWithin(pub Router);

/// A person who uses the application.
pub(crate) struct ConsoleClient {
    rest: RestWithin,
    token: String,
    peer: Option<ConnectInfo<SocketAddr>>,
    asking: AuditedRequest,
}

/// A problem, with the id of the field that has it. Empty: no field has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldProblem {
    /// The id of the field.
    pub field: String,
    /// Where it is, and why.
    pub text: String,
}

/// What the REST interface answered.
#[derive(Debug)]
pub(crate) struct RestAnswer {
    /// The status.
    pub status: StatusCode,
    /// The version that the ETag names. Empty: there is none.
    pub version: String,
    /// Where the next page of a list begins, for `after`. Empty: there is none.
    pub next: String,
    /// The body.
    pub json: Json,
}

impl RestAnswer {
    /// What was wrong with an entity, each with the name of its property.
    #[must_use]
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let errors = self.json.get("errors").and_then(Json::as_array);
        let text = |error: &Json, name| {
            error.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let one = |error: &Json| FieldProblem {
            field: text(error, "property"),
            text: format!("{}: {}", text(error, "property"), text(error, "reason")),
        };
        match errors {
            Some(errors) => errors.iter().map(one).collect(),
            None => vec![FieldProblem { field: String::new(), text: self.detail() }],
        }
    }

    /// Why it was refused, for people.
    #[must_use]
    pub(crate) fn detail(&self) -> String {
        self.json.get("detail").and_then(Json::as_str).unwrap_or("it was refused").to_owned()
    }
}

impl ConsoleClient {
    /// The person of a request. `None`: nobody has signed in.
    #[must_use]
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        Self::with(parts, token_in(&parts.headers)?)
    }

    /// A person who has sent this token.
    #[must_use]
    pub(crate) fn with(parts: &Parts, token: String) -> Option<Self> {
        let rest = parts.extensions.get::<RestWithin>()?.clone();
        let asking = AuditedRequest::of(&parts.extensions);
        Some(Self { rest, token, peer: parts.extensions.get().copied(), asking })
    }

    /// GET of a path.
    ///
    /// # Errors
    ///
    /// When the answer is not JSON, or too large.
    pub(crate) async fn get(&self, path: &str) -> Result<RestAnswer, Problem> {
        self.send(Method::GET, path, None, None).await
    }

    /// A request with a body. `version` is for `If-Match`.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        version: Option<&str>,
        body: Option<&Json>,
    ) -> Result<RestAnswer, Problem> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let mut request =
            request.body(body).map_err(|error| Problem::malformed(error.to_string()))?;
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        request.extensions_mut().insert(self.asking.clone());
        let mut rest = self.rest.0.clone();
        let response = match rest.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| Problem::fault(error.to_string()))?;
        let json = if bytes.is_empty() { Ok(Json::Null) } else { serde_json::from_slice(&bytes) };
        let tag = parts.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let link = parts.headers.get(header::LINK).and_then(|link| link.to_str().ok());
        Ok(RestAnswer {
            status: parts.status,
            version: tag.unwrap_or_default().trim_matches('"').to_owned(),
            next: link.and_then(behind).unwrap_or_default(),
            json: json.map_err(|error| Problem::fault(error.to_string()))?,
        })
    }
}

/// The `after` of the address in a header field `Link`.
fn behind(link: &str) -> Option<String> {
    let address = link.strip_prefix('<')?.split_once('>')?.0;
    let pairs = parameters::all(&address.parse().ok()?).ok()?;
    pairs.into_iter().find(|(name, _)| name == "after").map(|(_, after)| after)
}

/// The token in the cookie of a request.
fn token_in(headers: &HeaderMap) -> Option<String> {
    let fields =
        headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut cookies = fields.flat_map(|field| field.split(';')).map(str::trim);
    let value = cookies.find_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='))?;
    let token = crate::percent::decode(value)?;
    (!token.is_empty()).then_some(token)
}

/// The value of `Set-Cookie` that keeps a token until the browser is closed. Scripts and other
/// sites cannot use it. If the browser speaks https, it never sends it in the clear. `None` as
/// token: it is forgotten.
#[must_use]
pub(crate) fn cookie(parts: &Parts, token: Option<&str>) -> Option<HeaderValue> {
    let is_https = parts.extensions.get::<IsHttps>().is_some_and(|it| it.0);
    let secure = if is_https { "; Secure" } else { "" };
    let (value, age) = match token {
        Some(token) => (crate::percent::encode(token), ""),
        None => (String::new(), "; Max-Age=0"),
    };
    let terms = format!("Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    HeaderValue::from_str(&format!("{COOKIE}={value}; {terms}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::is_of_own_page;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_token_survives_its_cookie() {
        let token = "a;b=\"c\" ü";
        let mut parts = Request::new(()).into_parts().0;
        parts.extensions.insert(IsHttps(true));
        let secure = cookie(&parts, Some(token)).unwrap();
        assert!(secure.to_str().unwrap().ends_with("; SameSite=Strict; Secure"), "{secure:?}");
        parts.extensions.insert(IsHttps(false));
        let set = cookie(&parts, Some(token)).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
        let sent = format!("other=1; {}", set.split(';').next().unwrap());
        assert_eq!(token_in(&headers(&[("cookie", &sent)])).as_deref(), Some(token));
        let none = cookie(&parts, None).unwrap();
        let none = none.to_str().unwrap().split(';').next().unwrap();
        assert_eq!(token_in(&headers(&[("cookie", none)])), None);
    }

    #[test]
    fn forms_of_other_pages_are_known() {
        #[rustfmt::skip]
        let table = [
            (&[("host", "a.test")][..],                                                     true),
            (&[("host", "a.test"), ("origin", "https://a.test")],                           true),
            (&[("host", "a.test"), ("origin", "https://b.test")],                           false),
            (&[("host", "a.test"), ("origin", "null")],                                     false),
            (&[("host", "a.test"), ("sec-fetch-site", "cross-site")],                       false),
            (&[("host", "a.test"), ("sec-fetch-site", "same-site")],                        false),
            // A proxy has changed Host.
            (&[("host", "127.0.0.1:1"), ("origin", "https://a.test"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (sent, want) in table {
            assert_eq!(is_of_own_page(&headers(sent)), want, "{sent:?}");
        }
    }
}
