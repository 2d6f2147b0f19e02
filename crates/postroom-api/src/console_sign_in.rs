//! How people sign in to the application: as a user by login and password, or with a token. Both
//! begin a session, and the browser keeps the token of that.

use crate::console_answer::field;
use crate::console_client::ConsoleClient;
use crate::problem::Problem;
use crate::session::SECOND_FACTOR;
use crate::session::SESSIONS;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::Value as Json;
use serde_json::json;

/// Why nobody signs in.
pub(crate) struct Unknown {
    /// The status of the page that says so.
    pub status: StatusCode,
    /// The reason, for people.
    pub detail: String,
    /// Whether the password is right, and a code is missing or wrong.
    pub is_of_code: bool,
}

/// The token of a new session of who signs in.
///
/// # Errors
///
/// When the interface cannot be asked.
pub(crate) async fn session_of(
    parts: &Parts,
    sent: &[(String, String)],
) -> Result<Result<String, Unknown>, Problem> {
    let client = |token: String| {
        let fault = || Problem::fault("the interface is not within reach");
        ConsoleClient::with(parts, token).ok_or_else(fault)
    };
    let (login, token) = (field(sent, "login"), field(sent, "token").trim());
    let wanted = match (login.is_empty(), token.is_empty()) {
        (false, _) => {
            let domain = field(sent, "domain").trim();
            let code = Some(field(sent, "code").trim()).filter(|code| !code.is_empty());
            json!({"domain": domain, "login": login, "pwd": field(sent, "pwd"), "code": code})
        }
        (true, false) => json!({"token": token}),
        (true, true) => {
            let detail = "enter a login and a password, or a token".to_owned();
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(Err(Unknown { status, detail, is_of_code: false }));
        }
    };
    let begun = client(String::new())?.send(Method::POST, SESSIONS, None, Some(&wanted)).await?;
    let token = begun.json.get("token").and_then(Json::as_str).map(str::to_owned);
    let Some(token) = token.filter(|_| begun.status.is_success()) else {
        let kind = begun.json.get("type").and_then(Json::as_str).unwrap_or_default();
        let is_of_code = kind.rsplit(':').next() == Some(SECOND_FACTOR);
        return Ok(Err(Unknown { status: begun.status, detail: begun.detail(), is_of_code }));
    };
    let client = client(token.clone())?;
    let asked = client.get("/rest/v1/config/trimmed").await?;
    if !asked.status.is_success() {
        // It is of no use here, so nobody keeps it.
        client.send(Method::DELETE, SESSIONS, None, None).await?;
        let (status, detail) = (asked.status, asked.detail());
        return Ok(Err(Unknown { status, detail, is_of_code: false }));
    }
    Ok(Ok(token))
}

/// Ends the session of who signs out.
///
/// # Errors
///
/// When the interface cannot be asked.
pub(crate) async fn end(parts: &Parts) -> Result<(), Problem> {
    if let Some(client) = ConsoleClient::of(parts) {
        client.send(Method::DELETE, SESSIONS, None, None).await?;
    }
    Ok(())
}
