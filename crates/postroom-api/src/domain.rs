//! Domains: who sees them, and `POST …/<id>/tokens`, which makes the first token of one.

use crate::app::Asked;
use crate::change;
use crate::create;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::RightAction;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::names;
use postroom_store::Bearer;

/// The bearer in the domain `master`, which has all domains, if it administers them. Any other sees
/// only its own domain, which has none.
///
/// # Errors
///
/// 403 for others who want to make one.
pub(crate) fn of_master(bearer: Bearer, actions: &[RightAction]) -> Result<Bearer, Problem> {
    if bearer.administers_domains() {
        return Ok(Bearer { domain: Domain::master(), ..bearer });
    }
    if actions.contains(&RightAction::Create) {
        let detail = "only the administrator's token (POSTROOM_ADMIN_TOKEN) makes domains";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(bearer)
}

/// `POST`: makes a token in the domain, and shows its value once.
///
/// # Errors
///
/// 404 when there is no such domain; as creating does.
pub(crate) async fn token(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    let found = change::find(&asked, id).await?;
    let name = found.text(names::NAME).unwrap_or_default();
    let domain = Domain::new(name).map_err(|error| Problem::fault(error.to_string()))?;
    let class = asked.app.store.builtin(TOKENS)?;
    create::create(Asked { domain, class, ..asked }, body).await
}
