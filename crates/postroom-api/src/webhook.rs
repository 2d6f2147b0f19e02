//! Webhooks: `POST …/<id>/test`, a ping to the receiver.

use crate::app::Asked;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::EntityId;
use postroom_model::WebhookId;

/// `POST`: sends a ping to the receiver, and returns what the receiver answered.
///
/// # Errors
///
/// 404 when the domain has no webhook of that id; 409 without an engine; 422 for parameters.
pub(crate) async fn test(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let Some(tester) = asked.app.node.webhook_tester() else {
        let detail = "this node has no engine now, so it sends nothing: ask the active one, which \
                      /rest/v1/nodes names";
        return Err(Problem::conflict("no-engine", detail));
    };
    let ping = tester.ping(&asked.domain, WebhookId::of(id)).await?;
    let ping = ping.ok_or_else(|| Problem::not_found("there is no webhook of this id"))?;
    Ok(Json(ping.to_json()).into_response())
}
