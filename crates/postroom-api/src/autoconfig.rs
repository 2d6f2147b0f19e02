//! `/rest/v1/autoconfig?address=…`: the servers of a well-known provider, as values of a profile.
//! It comes from a table in the binary, so nobody outside learns of the address.

use crate::caller::AnyToken;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Invalid;
use postroom_model::address;
use postroom_model::autoconfig::provider_of;
use serde_json::json;

/// The path.
pub(crate) const AUTOCONFIG: &str = "/rest/v1/autoconfig";
/// The parameter with the address.
const ADDRESS: &str = "address";

/// `GET`: the provider of an address.
///
/// # Errors
///
/// 404 if the table does not have it; 422 without an address, or for other parameters.
pub(crate) async fn show(_: AnyToken, uri: Uri) -> Result<Response, Problem> {
    let sent = parameters::of(&uri, &[ADDRESS])?;
    let sent = sent.into_iter().next().map(|(_, address)| address).unwrap_or_default();
    if sent.is_empty() {
        return Err(Invalid::new(ADDRESS, "is required: ?address=anna@mail.example").into());
    }
    if let Some(problem) = address::problem(&sent) {
        return Err(Invalid::new(ADDRESS, problem).into());
    }
    let provider = provider_of(&sent).map_err(|error| Problem::fault(error.to_string()))?;
    let provider = provider.ok_or_else(|| {
        Problem::not_found(
            "the table of providers does not have the domain of this address: ask its operator for \
             the names of the IMAP and SMTP servers, and try them with VERIFY",
        )
    })?;
    Ok(Json(json!({
        "provider": provider.name,
        "profile": {
            "name": provider.name,
            "imapHost": provider.imap_host,
            "imapSecurity": "tls",
            "smtpHost": provider.smtp_host,
            "smtpSecurity": provider.smtp_security,
            "auth": provider.auth,
        },
        "note": provider.note,
    }))
    .into_response())
}
