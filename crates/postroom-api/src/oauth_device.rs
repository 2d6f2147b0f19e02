//! `/rest/v1/oauth/device`: the owner of a mailbox consents on another device.
//!
//! ```text
//!   software ──► POST: a code, and where the owner types it
//!            ──► GET:  whether the owner has decided, until it is not `pending`
//! ```
//! Postroom itself asks the provider until then. Any node answers GET.
//!
//! Standards: RFC 8628.

use crate::app::App;
use crate::caller::Caller;
use crate::oauth;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::RightAction;
use postroom_model::builtin::ACCOUNTS;
use postroom_store::Bearer;
use serde_json::json;

/// Why this node asks for no consent on another device.
const NO_ENGINE: &str = "this node has no engine now, so it asks no provider for \
                         tokens: ask the active one, which /rest/v1/nodes names";

/// Why the GET finds nothing.
const NONE: &str = "no consent on another device was begun for these tokens of the account: POST \
                    here begins one";

/// `POST …/device?account=ID`: begins a consent. With `slot=smtp`, it is for the tokens of the SMTP
/// server.
///
/// # Errors
///
/// 403 for a token that may not change accounts; 404 for an account that is not there; 409 without
/// an engine, for an account without an app, or an app without what it needs; 422 for other
/// parameters; 502 for a provider that gives no codes.
pub(crate) async fn start(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    // The tokens of the account are changed in the end.
    let Bearer { domain, rights, .. } = caller.may(&[RightAction::Change], ACCOUNTS)?;
    let (account, slot) = oauth::asked(&uri)?;
    oauth::reached(&app.store.clone().within(&domain, &rights), &domain, account).await?;
    let devices = app.node.device_consents();
    let devices = devices.ok_or_else(|| Problem::conflict("no-engine", NO_ENGINE))?;
    let page = devices.start(&domain, account, slot).await.map_err(oauth::problem)?;
    let shown = json!({
        "userCode": page.user_code,
        "verificationUri": page.verification_uri,
        "verificationUriComplete": page.verification_uri_complete,
        "expiresAt": page.expires_at.to_string(),
        "interval": page.interval.as_secs(),
    });
    Ok((oauth::NOT_KEPT, Json(shown)).into_response())
}

/// `GET …/device?account=ID`: how the last one of these tokens is.
///
/// # Errors
///
/// 403 for a token that may not read accounts; 404 for an account that is not there, or if none
/// was begun; 422 for other parameters.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let Bearer { domain, rights, .. } = caller.may(&[RightAction::Read], ACCOUNTS)?;
    let (account, slot) = oauth::asked(&uri)?;
    oauth::readable(&app.store.clone().within(&domain, &rights), &domain, account).await?;
    let seen = app.store.device_seen(&domain, account, slot).await?;
    let seen = seen.ok_or_else(|| Problem::not_found(NONE.to_owned()))?;
    let shown = json!({
        "state": seen.state.as_str(),
        "detail": seen.detail,
        "expiresAt": seen.until.to_string(),
    });
    Ok((oauth::NOT_KEPT, Json(shown)).into_response())
}
