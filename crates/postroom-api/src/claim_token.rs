//! `Claim-Token`: the header field with which a worker proves that it has claimed an entity.

use crate::problem::Problem;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use postroom_model::ClaimToken;

/// The header field.
const FIELD: &str = "claim-token";

/// The token of a request. `None`: it shows none.
///
/// # Errors
///
/// 400 for what is no token, and for several.
pub(crate) fn shown(headers: &HeaderMap) -> Result<Option<ClaimToken>, Problem> {
    let mut fields = headers.get_all(FIELD).into_iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    let token = field.to_str().ok().and_then(|text| text.trim().parse().ok());
    match (token, fields.next()) {
        (Some(token), None) => Ok(Some(token)),
        (None, _) | (_, Some(_)) => {
            let detail = "Claim-Token takes one `claimToken` of the answer to CLAIM";
            Err(Problem::malformed(detail))
        }
    }
}

/// The token of a request that needs one.
///
/// # Errors
///
/// As [`shown`]; 428 without one.
pub(crate) fn needed(headers: &HeaderMap) -> Result<ClaimToken, Problem> {
    shown(headers)?.ok_or_else(|| {
        let detail = "the header field Claim-Token is missing: it has the `claimToken` of the \
                      answer to CLAIM";
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "claim-token-missing", detail)
    })
}

/// Refuses a token in a request that ignores it, because the client expects it to have an effect.
///
/// # Errors
///
/// 400 with a token.
pub(crate) fn none(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(FIELD) {
        false => Ok(()),
        true => Err(Problem::malformed(
            "Claim-Token goes with PATCH, CLAIM and NACK of one entity: acknowledge with a PATCH, \
             then delete or replace it",
        )),
    }
}
