//! `/rest/v1/sending`: whether sending is suspended, as it is in a copy of the data until
//! `:resume`.

use crate::app::App;
use crate::caller::Caller;
use crate::caller::administrates;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::RightAction;
use postroom_model::builtin::MESSAGES;
use serde_json::json;

/// The path.
pub(crate) const SENDING: &str = "/rest/v1/sending";
/// The path that resumes sending.
pub(crate) const RESUME: &str = "/rest/v1/sending:resume";

/// `GET`: `suspended` says whether messages wait until somebody resumes, and `because` why.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(&[RightAction::Read], MESSAGES)?;
    parameters::of(&uri, &[])?;
    answer(&app).await
}

/// `POST …:resume`: resumes sending for all domains. If sending is not suspended, this changes
/// nothing.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let store = caller.store(&app);
    let bearer = caller.may(&[RightAction::Operate], MESSAGES)?;
    bearer.rights.check_whole(RightAction::Operate, MESSAGES)?;
    administrates(&bearer.domain, "sending belongs")?;
    parameters::of(&uri, &[])?;
    store.sending_resume().await?;
    answer(&app).await
}

async fn answer(app: &App) -> Result<Response, Problem> {
    let shown = match app.store.sending_suspended().await? {
        Some(why) => json!({"suspended": true, "because": why.as_str()}),
        None => json!({"suspended": false}),
    };
    Ok(Json(shown).into_response())
}
