//! `/healthz`, and `/readyz` for programs that expect this name: whether this process can work. It
//! checks that the store answers, the disk has room, and the engine runs. It needs no token.
//! Without a token, it shows nothing else. If large contents alone have no place, `/healthz` says
//! so by its status, and `/readyz` by its words, because all else goes on.

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
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_store::Error;
use postroom_store::ObjectsTrouble;
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

/// What it means if large mail cannot be spooled, or large contents cannot be reached.
const SPOOL_FULL: &str = "large messages stay at their servers, because the disk of the spool \
                          directory is full; other mail goes on";
const SPOOL_UNUSABLE: &str = "large messages stay at their servers, because the spool directory \
                              cannot be written; other mail goes on";
const OBJECTS_AWAY: &str = "large contents can be neither stored nor read, and mail with such \
                            contents waits; other mail goes on";

/// How long the store may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why large contents have no place now.
struct HeldUp {
    status: StatusCode,
    /// What happens to mail.
    text: &'static str,
    /// The same with its cause, for those who show a token.
    told: String,
}

impl HeldUp {
    /// `None`: they have one.
    fn now(app: &App) -> Option<Self> {
        if let Some(trouble) = app.node.spool_trouble() {
            let (status, text) = if trouble.is_full {
                (StatusCode::INSUFFICIENT_STORAGE, SPOOL_FULL)
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, SPOOL_UNUSABLE)
            };
            return Some(Self::of(app, status, text, &trouble.text, trouble.lasts));
        }
        let ObjectsTrouble { place, reason, lasts, .. } = app.store.objects_trouble()?;
        let cause = format!("{place}: {reason}");
        Some(Self::of(app, StatusCode::SERVICE_UNAVAILABLE, OBJECTS_AWAY, &cause, lasts))
    }

    fn of(app: &App, status: StatusCode, text: &'static str, cause: &str, lasts: Duration) -> Self {
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let since = Timestamp::from_ms(app.store.clock().now_ms().saturating_sub(lasts_ms));
        Self { status, text, told: format!("{text} (since {since}: {cause})") }
    }
}

/// `GET`: 200 if everything works. With a token it also shows the accounts by state, the messages
/// that are listed and not stored, and the queue.
///
/// # Errors
///
/// 503 when the store does not answer in time, the engine does not work, or large contents have no
/// place; 507 when the disk, or that of the spool directory, is full; 401 for a token that is not
/// known.
pub(crate) async fn show(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    parameters::of(&parts.uri, &[])?;
    let Checked { shown, is_known } = checked(&app, parts).await?;
    if let Some(HeldUp { status, text, told }) = HeldUp::now(&app) {
        return Err(Problem::later(status, if is_known { &told } else { text }, told.as_str()));
    }
    Ok(Json(Value::Object(shown)).into_response())
}

/// `GET`: the same for a load balancer. `can` lists what this node does: `rest`, and `mail` while
/// it receives and sends. `rests` says why it may not receive and send, and `heldUp` why large mail
/// waits. With `for`, a node that does not do that is not ready.
///
/// # Errors
///
/// As [`show`], but for large contents without a place; 503 when it does not do what `for` names.
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
    let Checked { mut shown, is_known } = checked(&app, parts).await?;
    if let Some(HeldUp { text, told, .. }) = HeldUp::now(&app) {
        shown.insert("heldUp".to_owned(), json!(if is_known { &told } else { text }));
    }
    let can = if is_active { vec![REST, MAIL] } else { vec![REST] };
    shown.insert("can".to_owned(), json!(can));
    if let Some(rest) = app.node.rest() {
        shown.insert("rests".to_owned(), json!(rest.as_str()));
    }
    Ok(Json(Value::Object(shown)).into_response())
}

/// What a check found.
struct Checked {
    /// What there is to show.
    shown: Map<String, Value>,
    /// Whether the request has a token.
    is_known: bool,
}

/// Checks that everything works.
async fn checked(app: &App, mut parts: Parts) -> Result<Checked, Problem> {
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
    let is_known = caller.is_some();
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
    Ok(Checked { shown, is_known })
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
