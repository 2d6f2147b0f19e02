//! `FETCH` of a message: loads a message that was too large to be loaded.

use crate::app::Asked;
use crate::change;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::EntityId;
use postroom_model::MESSAGE_BYTES_LIMIT;
use postroom_model::MessageEntityId;
use postroom_store::LoadRequest;

/// Records the request and answers 202 with the message. The message becomes `received` when it is
/// loaded. If it cannot be loaded, its `errorText` says why.
///
/// # Errors
///
/// 404 when the domain has no message of that id; 409 when there is nothing to be loaded, or nobody
/// to load it; 422 for parameters.
pub(crate) async fn fetch(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let message = MessageEntityId::of(id);
    let request =
        asked.app.store.message_request(&asked.domain, message, MESSAGE_BYTES_LIMIT).await?;
    if let LoadRequest::Refused(why) = request {
        return Err(Problem::conflict("not-loadable", why.to_string()));
    }
    let message = change::find(&asked, id).await?;
    Ok((StatusCode::ACCEPTED, view::entity(&asked.class, &message)).into_response())
}
