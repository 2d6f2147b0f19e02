//! What the pages of the application have in common: how forms are read, and how pages are
//! answered.

use crate::app::App;
use crate::body;
use crate::caller;
use crate::console_client::ConsoleClient;
use crate::console_client::RestAnswer;
use crate::console_form;
use crate::console_page;
use crate::parameters;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::FromRequest;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;

/// What a page may load, and where its forms lead.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);
/// How many bytes a form may have.
const FORM_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The page that says why the interface refused. `None`: it did not. Who has no good token any more
/// signs in again.
pub(crate) fn refused(answer: &RestAnswer) -> Option<Response> {
    if answer.status.is_success() {
        return None;
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        let page = console_page::sign_in(Some("the session has ended: sign in again"));
        return Some(html(answer.status, page));
    }
    let told = console_page::told(&answer.detail(), true);
    let hint = match answer.status {
        StatusCode::FORBIDDEN => "<p>This page is for administrators of the installation.</p>\n",
        _ => "",
    };
    let content = format!("<h1>Refused</h1>\n{told}{hint}");
    Some(html(answer.status, console_page::page("Refused", true, &content)))
}

/// Reads a form that one of our pages has sent.
///
/// # Errors
///
/// 403 for a form of another page, 400 for one that is not well formed, 413 for a large one.
pub(crate) async fn form(
    app: &App,
    request: Request,
) -> Result<(Parts, Vec<(String, String)>), Problem> {
    let (parts, body) = request.into_parts();
    if !caller::is_of_own_page(&parts.headers) {
        let detail = "this form was not sent by a page of Postroom, so nothing was changed: open \
                      the page again, and send it from there";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    parameters::of(&parts.uri, &[])?;
    let (bytes, _share) = body::whole(&parts.headers, body, FORM_BYTES_MAX, app).await?;
    let odd = || Problem::malformed("takes a form: name=value&…, percent-encoded UTF-8");
    let text = String::from_utf8(bytes).map_err(|_| odd())?;
    let sent = console_form::pairs(&text).ok_or_else(odd)?;
    Ok((parts, sent))
}

/// The person who looks at a page. Whoever has not signed in is led to do so.
pub(crate) struct SignedIn(pub ConsoleClient);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parameters::of(&parts.uri, &[]).map_err(Problem::into_response)?;
        ConsoleClient::of(parts).map(Self).ok_or_else(|| to("/", None))
    }
}

/// A form that such a person has sent.
pub(crate) struct SignedForm {
    /// The person.
    pub client: ConsoleClient,
    /// The fields.
    pub sent: Vec<(String, String)>,
}

impl FromRequest<App> for SignedForm {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (parts, sent) = form(app, request).await.map_err(Problem::into_response)?;
        let client = ConsoleClient::of(&parts).ok_or_else(|| to("/", None))?;
        Ok(Self { client, sent })
    }
}

/// A field of a form. Empty: it was not sent.
pub(crate) fn field<'a>(sent: &'a [(String, String)], name: &str) -> &'a str {
    sent.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Leads to another page.
pub(crate) fn to(path: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = Redirect::to(path).into_response();
    response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    safe(response)
}

/// A page.
pub(crate) fn html(status: StatusCode, page: String) -> Response {
    let media_type = HeaderValue::from_static("text/html; charset=utf-8");
    safe((status, [(header::CONTENT_TYPE, media_type)], Body::from(page)).into_response())
}

/// An answer that loads nothing from elsewhere, and that nobody keeps.
pub(crate) fn safe(mut response: Response) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
