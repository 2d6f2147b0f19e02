//! `TRY` of an account: tries its servers at once.

use crate::app::Asked;
use crate::change;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::AccountId;
use postroom_model::EntityId;
use postroom_store::TryRequest;

/// Records the request and answers 202 with the account. `state` and `statusText` show the result.
///
/// # Errors
///
/// 404 when the domain has no account of that id; 409 when it is disabled; 422 for parameters.
pub(crate) async fn try_now(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let tried = asked.app.store.account_try(&asked.domain, AccountId::of(id)).await?;
    if tried == TryRequest::Disabled {
        let detail = "the account is disabled, so nothing is tried; set `enabled` first";
        return Err(Problem::conflict("disabled", detail));
    }
    let account = change::find(&asked, id).await?;
    Ok((StatusCode::ACCEPTED, view::entity(&asked.class, &account)).into_response())
}
