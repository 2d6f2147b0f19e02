//! `/rest/v1/jobs`: work in the background, and the verb that starts a job, `REDECOMPOSE` on a
//! collection.

use crate::app::App;
use crate::app::Asked;
use crate::body;
use crate::caller::Caller;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::JobId;
use postroom_model::RightAction;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_store::Bearer;
use postroom_store::Job;

/// The path of the jobs.
pub(crate) const JOBS: &str = "/rest/v1/jobs";
/// How many jobs are listed, the newest first.
const LIST_MAX: u32 = 100;

/// `REDECOMPOSE` of the messages: parses stored messages again, those of the parameter `filter` or
/// all. Answers 202 with the job, which shows the progress.
///
/// # Errors
///
/// 400 and 422 for a wrong filter; 400 for a body, because the filter is a parameter.
pub(crate) async fn redecompose(asked: Asked, body: Body) -> Result<Response, Problem> {
    // The engine parses messages for all alike, so it does not look at rights.
    asked.rights.check_whole(RightAction::Operate, &asked.class.classname)?;
    let pairs = parameters::of(&asked.uri, &["filter"])?;
    let why = "takes no body: the filter is the parameter `filter`";
    body::none(&asked.headers, body, &asked.app, why).await?;
    let mut wanted = None;
    for (_, text) in pairs {
        let json = parameters::filter(&text)?;
        let classes = asked.classes();
        wanted = Some((filter::parse(Names::among(&asked.class, &classes), &json)?, json));
    }
    let store = &asked.app.store;
    let job = store.job_create(&asked.domain, asked.class.as_ref(), wanted).await?;
    Ok(accepted(&job))
}

/// 202 with the job, and where it is.
#[must_use]
pub(crate) fn accepted(job: &Job) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(job.to_json())).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("{JOBS}/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// `GET` of the jobs, the newest first.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let bearer = caller.reads_some(&app.store.classes())?;
    let mut jobs = app.store.job_list(&bearer.domain, LIST_MAX).await?;
    jobs.retain(|job| is_seen(&bearer, job));
    Ok(Json(jobs.iter().map(Job::to_json).collect::<Vec<_>>()).into_response())
}

/// `GET` of a job: its progress.
///
/// # Errors
///
/// 404 when there is none of that id.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let bearer = caller.reads_some(&app.store.classes())?;
    Ok(Json(find(&app, &bearer, &id).await?.to_json()).into_response())
}

/// `DELETE` of a job: stops and removes it. Its finished work stays.
///
/// # Errors
///
/// 404 when there is none of that id.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let bearer = caller.reads_some(&app.store.classes())?;
    let job = find(&app, &bearer, &id).await?;
    bearer.rights.check(RightAction::Operate, &job.class)?;
    if app.store.job_delete(&bearer.domain, job.id).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(missing())
}

/// A job of a class that the bearer may read, or 404.
async fn find(app: &App, bearer: &Bearer, id: &str) -> Result<Job, Problem> {
    let job = app.store.job_get(&bearer.domain, id_of(id)?).await?;
    job.filter(|job| is_seen(bearer, job)).ok_or_else(missing)
}

/// Whether the bearer sees a job: one about a class of which it may read all entities, or its own.
fn is_seen(bearer: &Bearer, job: &Job) -> bool {
    let reads_all = || bearer.rights.check_whole(RightAction::Read, &job.class).is_ok();
    let is_own = job.modifier.as_ref() == Some(&bearer.name);
    reads_all() || is_own && bearer.rights.reads(&job.class)
}

fn id_of(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| missing())
}

fn missing() -> Problem {
    Problem::not_found("there is no job of this id")
}
