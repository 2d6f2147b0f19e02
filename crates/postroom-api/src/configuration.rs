//! `/rest/v1/config`: the configuration of all instances, which lives in the database.
//!
//! ```text
//!   /rest/v1/config               whole; PATCH changes it, ?dryRun=true only checks
//!   /rest/v1/config/trimmed       without hosts, ports, secrets and parameters
//!   /rest/v1/config/versions      who changed it, and when
//!   /rest/v1/config/versions/7    a version, and what it changed
//!   /rest/v1/config:rollback      a former version as the next one
//! ```
//! It belongs to all domains. Only tokens of the administrative domains see or change it. Rights
//! call it `iam/Configuration`: the role `admin` may change it, and a right can read it.
//!
//! Standards: RFC 7396 (merge patch).

use crate::app::App;
use crate::body;
use crate::caller::Caller;
use crate::caller::administrates;
use crate::etag;
use crate::exact;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Configuration;
use postroom_model::Difference;
use postroom_model::HostInterfaces;
use postroom_model::Invalid;
use postroom_model::RightAction;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Bearer;
use postroom_store::ConfigurationVersion;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::KeptConfiguration;
use postroom_store::NextConfiguration;
use postroom_store::NodeRow;
use postroom_store::NodeState;
use serde_json::Value;
use serde_json::json;

/// The whole configuration.
pub(crate) const CONFIG: &str = "/rest/v1/config";
/// The verb that brings back a former version.
pub(crate) const ROLLBACK: &str = "/rest/v1/config:rollback";
/// What the application shows.
pub(crate) const TRIMMED: &str = "/rest/v1/config/trimmed";
/// The versions.
pub(crate) const VERSIONS: &str = "/rest/v1/config/versions";
/// One of them.
pub(crate) const VERSION: &str = "/rest/v1/config/versions/{version}";

/// What rights call the configuration, which is no class.
const CONFIGURATION: &str = "iam/Configuration";
/// The parameter for a change that is only checked.
const DRY_RUN: &str = "dryRun";
/// How many versions are listed if the client does not say.
const LIST_DEFAULT: u32 = 100;
/// How many versions are listed at most.
const LIST_MAX: u32 = 1000;
/// How many times a change is tried if others change the configuration meanwhile.
const TRIES_MAX: usize = 20;

/// `GET` of the whole configuration. Its secrets are masked.
///
/// # Errors
///
/// 403 for another domain.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let kept = present(&app, caller, &uri).await?;
    answer(&headers, kept.number(), kept.configuration.shown())
}

/// `GET` of what the application shows.
///
/// # Errors
///
/// 403 for another domain.
pub(crate) async fn trimmed(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let kept = present(&app, caller, &uri).await?;
    answer(&headers, kept.number(), kept.configuration.trimmed())
}

/// `PATCH` of the configuration, as a merge patch.
///
/// # Errors
///
/// 403 for another domain, 412 for a stale `If-Match`, 422 with each place that is wrong.
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let app = app.through(caller.store(&app));
    let bearer = administers(caller, &[RightAction::Change])?;
    let is_dry = is_dry(&uri)?;
    let sent = body::json(&headers, body, &app).await?;
    exact::refuse(&sent.document.rounded)?;
    let changing = Changing { app: &app, bearer: &bearer, headers: &headers, is_dry };
    for _ in 0..TRIES_MAX {
        let kept = app.store.configuration().await?;
        let next = kept.configuration.patched(&sent.document.json)?;
        if let Some(answered) = changing.write(&kept, &next, None).await? {
            return Ok(answered);
        }
    }
    Err(crowded())
}

/// `POST …:rollback` of `{"version": 7}`: writes a former version as the next one.
///
/// # Errors
///
/// 403 for another domain, 404 if the version is not kept, 412 for a stale `If-Match`, 422 if this
/// release no longer takes that version.
pub(crate) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let app = app.through(caller.store(&app));
    let bearer = administers(caller, &[RightAction::Change])?;
    let is_dry = is_dry(&uri)?;
    let sent = body::json(&headers, body, &app).await?;
    let number = wanted(&sent.document.json)?;
    let former = match number {
        0 => Configuration::default(),
        number => version_of(&app, number).await?.configuration,
    };
    former.checked()?;
    let changing = Changing { app: &app, bearer: &bearer, headers: &headers, is_dry };
    for _ in 0..TRIES_MAX {
        let kept = app.store.configuration().await?;
        if let Some(answered) = changing.write(&kept, &former, Some(number)).await? {
            return Ok(answered);
        }
    }
    Err(crowded())
}

/// `GET` of the versions, the newest first.
///
/// # Errors
///
/// 403 for another domain, 422 for a `limit` out of its range.
pub(crate) async fn versions(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    administers(caller, &[RightAction::Read])?;
    let sent = parameters::of(&uri, &["limit"])?;
    let limit = match sent.first() {
        Some((_, text)) => text.parse().ok().filter(|limit| (1..=LIST_MAX).contains(limit)),
        None => Some(LIST_DEFAULT),
    };
    let odd = || Invalid::new("limit", format!("takes a whole number from 1 to {LIST_MAX}"));
    let all = app.store.configuration_list(limit.ok_or_else(odd)?).await?;
    let all: Vec<_> = all.iter().map(ConfigurationVersion::to_json).collect();
    Ok(Json(all).into_response())
}

/// `GET` of a version, with what it changed.
///
/// # Errors
///
/// 403 for another domain, 404 if the version is not kept.
pub(crate) async fn version(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    administers(caller, &[RightAction::Read])?;
    parameters::of(&uri, &[])?;
    let number = number.parse().map_err(|_| missing())?;
    let kept = version_of(&app, number).await?;
    let former = match number {
        1 => Some(Configuration::default()),
        number => app.store.configuration_version(number - 1).await?.map(|one| one.configuration),
    };
    // The version before the oldest one is not kept, so nobody knows what the oldest one changed.
    let changes = former.map(|former| kept.configuration.differences(&former));
    let mut shown = kept.version.as_ref().map(ConfigurationVersion::to_json).unwrap_or_default();
    if let Some(members) = shown.as_object_mut() {
        members.insert("config".to_owned(), kept.configuration.shown());
        members.insert("changes".to_owned(), changes.as_deref().map(told).into());
    }
    Ok(Json(shown).into_response())
}

/// A request to change the configuration.
struct Changing<'a> {
    app: &'a App,
    bearer: &'a Bearer,
    headers: &'a HeaderMap,
    is_dry: bool,
}

impl Changing<'_> {
    /// Writes the next version, unless it is the same or only checked. `None`: others have written
    /// one meanwhile.
    async fn write(
        &self,
        kept: &KeptConfiguration,
        next: &Configuration,
        restored: Option<i64>,
    ) -> Result<Option<Response>, Problem> {
        etag::check(self.headers, kept.number())?;
        usable_authorities(next)?;
        let running = running(self.app).await?;
        let unknown = next.unknown_interfaces(&kept.configuration, &running);
        if !unknown.is_empty() {
            return Err(unknown.into());
        }
        let warnings = [next.warnings(), next.not_named(&running)].concat();
        let changes = next.differences(&kept.configuration);
        let (mut number, mut shown) = (kept.number(), next.shown());
        if !self.is_dry && !changes.is_empty() {
            let next = NextConfiguration {
                after: kept.number(),
                domain: &self.bearer.domain,
                author: &self.bearer.name,
                restored,
                configuration: next,
            };
            let written = match self.app.store.configuration_write(next).await {
                Err(Error::Condition(Failed::Stale)) => return Ok(None),
                written => written?,
            };
            (number, shown) = (written.number(), written.configuration.shown());
        }
        let answered = json!({
            "version": number,
            "dryRun": self.is_dry,
            "changes": told(&changes),
            "warnings": reasons(&warnings),
            "config": shown,
        });
        answer(&HeaderMap::new(), number, answered).map(Some)
    }
}

/// The present configuration, for a request without parameters.
async fn present(app: &App, caller: Caller, uri: &Uri) -> Result<KeptConfiguration, Problem> {
    administers(caller, &[RightAction::Read])?;
    parameters::of(uri, &[])?;
    Ok(app.store.configuration().await?)
}

/// JSON with the number of a version as its ETag.
fn answer(headers: &HeaderMap, number: i64, shown: Value) -> Result<Response, Problem> {
    let tag = etag::of_version(number);
    if etag::is_known(headers, &tag)? {
        return Ok(view::not_modified(&tag));
    }
    let mut response = Json(shown).into_response();
    response.headers_mut().extend(etag::header(&tag).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// The bearer, if it may do this with the configuration.
fn administers(caller: Caller, actions: &[RightAction]) -> Result<Bearer, Problem> {
    let bearer = caller.may(actions, CONFIGURATION)?;
    administrates(&bearer.domain, "the configuration belongs")?;
    Ok(bearer)
}

fn is_dry(uri: &Uri) -> Result<bool, Problem> {
    let sent = parameters::of(uri, &[DRY_RUN])?;
    match sent.first().map(|(_, value)| value.as_str()) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Invalid::new(DRY_RUN, "takes true or false").into()),
    }
}

/// The instances that run now, with what they tell of their hosts.
async fn running(app: &App) -> Result<Vec<HostInterfaces>, Problem> {
    let nodes = app.store.nodes().await?.into_iter();
    let there = nodes.filter(|node| node.state != NodeState::Lost && node.group.is_some());
    let host =
        |node: NodeRow| HostInterfaces { instance: node.name, names: node.details.interfaces };
    Ok(there.map(host).collect())
}

/// Checks that the certificates of trusted authorities can be used.
fn usable_authorities(next: &Configuration) -> Result<(), Problem> {
    let authorities = next.authorities();
    let problem = |(at, pem): (usize, &str)| {
        let trust = Trust { system: false, extra_ca_pem: pem.as_bytes().to_vec() };
        let error = Dialer::new(&trust).err()?;
        Some(Invalid::new(format!("trust.authorities[{at}]"), error.to_string()))
    };
    let problems: Vec<_> = authorities.into_iter().enumerate().filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// The number in `{"version": 7}`.
fn wanted(sent: &Value) -> Result<i64, Problem> {
    let odd = || Invalid::new("version", "takes the number of a version: {\"version\": 7}");
    let members = sent.as_object().ok_or_else(odd)?;
    if let Some(other) = members.keys().find(|name| *name != "version") {
        return Err(Invalid::new(other, "no such member; there is version").into());
    }
    let number = members.get("version").and_then(Value::as_i64).filter(|number| *number >= 0);
    Ok(number.ok_or_else(odd)?)
}

async fn version_of(app: &App, number: i64) -> Result<KeptConfiguration, Problem> {
    app.store.configuration_version(number).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::not_found("there is no version of this number; /rest/v1/config/versions lists them")
}

/// The problem if others change the configuration again and again.
fn crowded() -> Problem {
    Problem::conflict("busy", "others change the configuration at the same time; try again")
}

fn told(changes: &[Difference]) -> Vec<Value> {
    let one =
        |one: &Difference| json!({"property": one.place, "before": one.before, "after": one.after});
    changes.iter().map(one).collect()
}

fn reasons(warnings: &[Invalid]) -> Vec<Value> {
    let one = |one: &Invalid| json!({"property": one.property, "reason": one.reason});
    warnings.iter().map(one).collect()
}
