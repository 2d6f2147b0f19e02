//! `/healthz`: whether this process can do its work. No token is needed, and nothing is told.

use crate::app::App;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_store::Error;
use serde_json::json;
use std::time::Duration;

/// How long the store may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// `GET`: 200 when the store answers.
///
/// # Errors
///
/// 503 when it does not, or not in time; 507 when the disk is full.
pub async fn show(State(app): State<App>, uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let detail = "the store does not answer";
    match tokio::time::timeout(ANSWER_WITHIN, app.store.check()).await {
        Ok(Ok(())) => Ok(Json(json!({"status": "ok"})).into_response()),
        Ok(Err(Error::Full)) => Err(Error::Full.into()),
        Ok(Err(error)) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(Problem::later(status, detail, error.to_string()))
        }
        Err(_) => Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, "deadline")),
    }
}
