//! `DELETE` of a domain with all that it has, and `/rest/v1/erasures`: the receipts.

use crate::app::App;
use crate::app::Asked;
use crate::caller::Caller;
use crate::change;
use crate::etag;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::EntityId;
use postroom_model::RightAction;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::names;
use postroom_store::Erasure;
use postroom_store::Error;
use postroom_store::Failed;
use serde_json::Value;
use serde_json::json;

/// The path of the receipts.
pub(crate) const ERASURES: &str = "/rest/v1/erasures";
/// The parameter that must have the name of the domain.
pub(crate) const CONFIRM: &str = "confirm";
/// How many times it is tried if others change the domain meanwhile.
const TRIES_MAX: usize = 20;

/// The name with which a client confirms that a domain is to be deleted with all that it has.
/// `None`: it did not confirm, or it is no domain.
pub(crate) fn confirmed(asked: &Asked) -> Result<Option<String>, Problem> {
    let is_asked = asked.uri.query().is_some_and(|query| query.contains(CONFIRM));
    if asked.class.classname != DOMAINS || !is_asked {
        return Ok(None);
    }
    Ok(parameters::of(&asked.uri, &[CONFIRM])?.into_iter().next().map(|(_, text)| text))
}

/// Begins to delete a domain with all that it has.
///
/// # Errors
///
/// 404, 412 for another version, 409 if `confirm` is not its name, or it is being deleted already.
pub(crate) async fn begin(asked: Asked, id: EntityId, name: &str) -> Result<Response, Problem> {
    for _ in 0..TRIES_MAX {
        let current = change::find(&asked, id).await?;
        etag::check(&asked.headers, current.version)?;
        if current.text(names::NAME) != Some(name) {
            let detail = "this deletes the domain with all that it has, and nothing was done: \
                          `confirm` must be its name";
            return Err(Problem::conflict("unconfirmed", detail.to_owned()));
        }
        match asked.app.store.erasure_begin(&current).await {
            Ok(()) => {
                let begun = asked.app.store.erasures(Some(id)).await?;
                let body = Json(begun.first().map(shown));
                let location = [(header::LOCATION, ERASURES)];
                return Ok((StatusCode::ACCEPTED, location, body).into_response());
            }
            // Somebody changed it meanwhile: look again.
            Err(Error::Condition(Failed::Stale)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Condition(Failed::Crowded).into())
}

/// `GET` of the erasures of domains, the newest first. Only administrators of the domains see any.
///
/// # Errors
///
/// 403 without the right to read domains; when the store fails.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let bearer = caller.may(&[RightAction::Read], DOMAINS)?;
    if !bearer.administers_domains() {
        return Ok(Json(json!([])).into_response());
    }
    let all = app.store.erasures(None).await?;
    Ok(Json(all.iter().map(shown).collect::<Vec<_>>()).into_response())
}

fn shown(erasure: &Erasure) -> Value {
    let classes = erasure
        .classes
        .iter()
        .map(|of| (of.class.clone(), json!({"entities": of.entities, "bytes": of.bytes})));
    let bytes: u64 = erasure.classes.iter().map(|of| of.bytes).sum();
    json!({
        "id": erasure.id.to_string(), "domain": erasure.domain.as_str(), "title": erasure.title,
        "by": erasure.by, "begunAt": erasure.begun.to_string(),
        "endedAt": erasure.ended.map(|at| at.to_string()),
        "erased": classes.collect::<serde_json::Map<_, _>>(), "bytes": bytes, "rows": erasure.rows,
    })
}
