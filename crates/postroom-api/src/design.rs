//! `/rest/v1/design/classes`: the classes.

use crate::app::App;
use crate::caller::Caller;
use crate::parameters;
use crate::percent;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;

/// Where the classes are.
pub(crate) const CLASSES: &str = "/rest/v1/design/classes";

/// `GET` of all classes.
///
/// # Errors
///
/// 422 for parameters.
pub(crate) async fn list(State(app): State<App>, _: Caller, uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let classes = app.store.classes();
    let classes: Vec<_> = classes.iter().map(AsRef::as_ref).collect();
    Ok(Json(classes).into_response())
}

/// `GET` of one class, by its name (with slashes) or its id.
///
/// # Errors
///
/// 404 when there is none.
pub(crate) async fn show(State(app): State<App>, _: Caller, uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let name = uri.path().strip_prefix(CLASSES).and_then(|path| path.strip_prefix('/'));
    let name = name.and_then(percent::decode).unwrap_or_default();
    let id = name.parse().ok();
    let classes = app.store.classes();
    let class = classes.iter().find(|class| class.classname == name || Some(class.id) == id);
    match class {
        Some(class) => Ok(Json(class.as_ref()).into_response()),
        None => Err(Problem::not_found("no class of that name or id")),
    }
}
