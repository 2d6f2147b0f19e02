//! `/rest/v1/nodes`: the processes that share the database, and which of them is active.

use crate::app::App;
use crate::caller::AnyToken;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::InstanceRest;
use postroom_store::NodeRow;
use serde_json::Value;
use serde_json::json;

/// The path.
pub(crate) const NODES: &str = "/rest/v1/nodes";

/// `GET`: all nodes, by group and order. `self` is true for the node that answers.
///
/// # Errors
///
/// 422 for any parameter; when the store fails.
pub(crate) async fn list(
    State(app): State<App>,
    _: AnyToken,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let nodes: Vec<_> = app.store.nodes().await?.iter().map(shown).collect();
    Ok(Json(nodes).into_response())
}

fn shown(node: &NodeRow) -> Value {
    let group = node.group.as_ref().and_then(|group| group.parse::<u64>().ok());
    json!({
        "name": node.name, "group": group, "order": node.order, "role": node.role,
        "state": node.state.as_str(), "since": node.since.map(|at| at.to_string()),
        "epoch": node.epoch, "version": node.version,
        "lastSeenAt": node.seen.map(|at| at.to_string()), "lagMs": node.lag_ms,
        "keyMark": node.key.map(|key| key.to_string()),
        "rests": node.details.rest.map(InstanceRest::as_str), "iface": node.details.iface,
        "addresses": node.details.addresses, "configVersion": node.details.configuration,
        "statusText": node.details.status_text,
        "self": node.is_own,
    })
}
