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
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_store::Error;
use serde_json::json;
use std::time::Duration;

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
    let (mut parts, _) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    let caller = if parts.headers.contains_key(header::AUTHORIZATION) {
        Some(Caller::from_request_parts(&mut parts, &app).await?)
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
    let mut shown = json!({"status": "ok"});
    // The overview counts accounts and messages.
    let counts = [ACCOUNTS, MESSAGES];
    let bearer = caller.map(Caller::unchecked);
    let bearer = bearer.filter(|bearer| counts.iter().all(|class| bearer.rights.reads(class)));
    if let (Some(bearer), Some(members)) = (bearer, shown.as_object_mut()) {
        match app.store.overview(&bearer.domain).await {
            Ok(overview) => members.extend(overview.as_object().cloned().unwrap_or_default()),
            // The check below reports it.
            Err(Error::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // This is not an error of the process, because a restart would not help.
    if let (Some(damage), Some(members)) = (app.store.damage().await?, shown.as_object_mut()) {
        members.insert("status".to_owned(), json!("damaged"));
        members.insert("damage".to_owned(), json!(damage));
    }
    Ok(Json(shown).into_response())
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
