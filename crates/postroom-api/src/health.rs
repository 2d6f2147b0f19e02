//! `/healthz`, and `/readyz` for programs that expect this name: whether this process can work. It
//! checks that the store answers, the disk has room, and the engine runs. It needs no token.
//! Without a token, it shows nothing else.

use crate::app::App;
use crate::caller::AnyToken;
use crate::caller::Caller;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::InstanceRest;
use postroom_model::Invalid;
use postroom_model::RightAction;
use postroom_model::Rights;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_store::Error;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// The parameter that names what a node must do.
const FOR: &str = "for";
/// It answers requests.
const REST: &str = "rest";
/// It receives and sends.
const MAIL: &str = "mail";

/// Why a node does not receive and send that rests, and what to do.
const NOT_NAMED: &str = "this node waits: the section `roles` of the configuration does not name \
                         its instance; add it with PATCH /rest/v1/config";
const DISABLED: &str = "this node rests: its role in the configuration has `enabled: false`; set \
                        it to true with PATCH /rest/v1/config";

/// How long the store may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// `GET`: 200 if everything works. With a token it also shows the accounts by state, the messages
/// that are listed and not stored, and the queue.
///
/// # Errors
///
/// 503 when the store does not answer in time or the engine does not work, 507 when the disk is
/// full; 401 for a token that is not known.
pub(crate) async fn show(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    Ok(Json(Value::Object(checked(&app, parts).await?)).into_response())
}

/// `GET`: the same for a load balancer. `can` lists what this node does: `rest`, and `mail` while
/// it receives and sends. `rests` says why it may not receive and send. With `for`, a node that
/// does not do that is not ready.
///
/// # Errors
///
/// As [`show`]; 503 when it does not do what `for` names.
pub(crate) async fn ready(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let wanted = parameters::of(&parts.uri, &[FOR])?;
    let is_active = app.node.is_active();
    if let Some((_, wanted)) = wanted.first() {
        match wanted.as_str() {
            REST => {}
            MAIL if is_active => {}
            MAIL => {
                let detail = match app.node.rest() {
                    Some(InstanceRest::NotNamed) => NOT_NAMED,
                    Some(InstanceRest::Disabled) => DISABLED,
                    None => "this node does not receive and send mail now",
                };
                // A load balancer asks this all the time, and the answer is no fault.
                return Err(Problem::not_here(detail));
            }
            _ => return Err(Invalid::new(FOR, format!("takes {REST} or {MAIL}")).into()),
        }
    }
    let mut shown = checked(&app, parts).await?;
    let can = if is_active { vec![REST, MAIL] } else { vec![REST] };
    shown.insert("can".to_owned(), json!(can));
    if let Some(rest) = app.node.rest() {
        shown.insert("rests".to_owned(), json!(rest.as_str()));
    }
    Ok(Json(Value::Object(shown)).into_response())
}

/// Checks that everything works. Returns what there is to show.
async fn checked(app: &App, mut parts: Parts) -> Result<Map<String, Value>, Problem> {
    let caller = if parts.headers.contains_key(header::AUTHORIZATION) {
        Some(Caller::from_request_parts(&mut parts, app).await?)
    } else {
        None
    };
    let detail = "the store does not answer";
    let checked = async {
        let _looking = app.looking.lock().await;
        app.store.check().await
    };
    match tokio::time::timeout(ANSWER_WITHIN, checked).await {
        Ok(Ok(())) => {}
        Ok(Err(Error::Full)) => return Err(Error::Full.into()),
        Ok(Err(error)) => return Err(unavailable(detail, error.to_string())),
        Err(_) => return Err(unavailable(detail, "deadline".to_owned())),
    }
    if let Some(problem) = app.engine.problem() {
        let told = if caller.is_some() { problem.as_str() } else { "the engine does not work" };
        return Err(unavailable(told, problem.clone()));
    }
    let mut shown = Map::from_iter([("status".to_owned(), json!("ok"))]);
    // The overview counts accounts and messages.
    let counts = [ACCOUNTS, MESSAGES];
    let bearer = caller.map(Caller::unchecked);
    if let Some(bearer) = bearer.filter(|it| reads_all(&it.rights, &counts)) {
        match app.store.overview(&bearer.domain).await {
            Ok(overview) => shown.extend(overview.as_object().cloned().unwrap_or_default()),
            // The check below reports it.
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // This is not an error of the process, because a restart would not help.
    if let Some(damage) = app.store.damage().await? {
        shown.insert("status".to_owned(), json!("damaged"));
        shown.insert("damage".to_owned(), json!(damage));
    }
    Ok(shown)
}

/// Whether all entities of some classes may be read.
fn reads_all(rights: &Rights, classes: &[&str]) -> bool {
    classes.iter().all(|class| rights.check_whole(RightAction::Read, class).is_ok())
}

/// `GET`: 200 as long as the process answers at all, whatever the store and the engine do.
///
/// # Errors
///
/// 422 for any parameter.
pub(crate) async fn alive(uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    Ok(Json(json!({"status": "ok"})).into_response())
}

/// `GET`: the version of Postroom.
///
/// # Errors
///
/// 422 for any parameter.
pub(crate) async fn version(_: AnyToken, uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    Ok(Json(json!({"version": env!("CARGO_PKG_VERSION")})).into_response())
}

fn unavailable(detail: &str, cause: String) -> Problem {
    Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, cause)
}
