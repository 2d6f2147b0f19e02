//! `/rest/v1/autoconfig?address=…`: the servers of an address, as values of a profile and of an
//! account. The table in the binary comes first, and asks nobody. Beyond it others are asked, if
//! the configuration allows it.

use crate::app::App;
use crate::caller::AnyToken;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::ServersFound;
use postroom_model::Invalid;
use postroom_model::address;
use postroom_model::autoconfig::by_domain;
use postroom_model::autoconfig_server::FoundMail;
use serde_json::Value;
use serde_json::json;

/// The path.
pub(crate) const AUTOCONFIG: &str = "/rest/v1/autoconfig";
/// The parameter with the address.
const ADDRESS: &str = "address";
/// The parameter that lets the database of Thunderbird be asked too.
const ISP_DATABASE: &str = "ispDatabase";
/// What a person can do where nothing helps.
const ADVICE: &str = "ask its operator for the names of the IMAP and SMTP servers, and try them \
                      with VERIFY";
/// Why nobody was asked.
const OFF: &str = "the table of providers does not have the domain of this address, and nobody \
                   else is asked, because --autoconfig-lookups and outgoing.autoconfigLookups of \
                   /rest/v1/config are off";
/// The same, where the node has no engine.
const NO_ENGINE: &str = "the table of providers does not have the domain of this address, and \
                         this node has no engine now, so it asks nobody else: ask the active one, \
                         which /rest/v1/nodes names";

/// What is asked for.
struct AskedAddress {
    address: String,
    isp_database: bool,
}

/// `GET`: the servers of an address.
///
/// # Errors
///
/// 404 if there are none; 422 without an address, or for other parameters.
pub(crate) async fn show(
    State(app): State<App>,
    AnyToken { domain }: AnyToken,
    uri: Uri,
) -> Result<Response, Problem> {
    let AskedAddress { address, isp_database } = asked(&uri)?;
    let search = app.node.server_search();
    let is_allowed = search.as_ref().is_some_and(postroom_engine::ServerSearch::is_allowed);
    if let Some(known) = by_domain(&address) {
        let result = ServersFound { found: known, tried: vec![] };
        return shown(&result, &address, is_allowed).ok_or_else(|| nothing(&result));
    }
    let Some(search) = search else {
        return Err(Problem::not_found(format!("{NO_ENGINE}, or {ADVICE}")));
    };
    let result = search.search(&domain, &address, isp_database).await;
    let result = result.ok_or_else(|| Problem::not_found(format!("{OFF}: {ADVICE}")))?;
    shown(&result, &address, true).ok_or_else(|| nothing(&result))
}

fn asked(uri: &Uri) -> Result<AskedAddress, Problem> {
    let sent = parameters::of(uri, &[ADDRESS, ISP_DATABASE])?;
    let value = |name: &str| sent.iter().find(|(of, _)| of == name).map(|(_, text)| text.as_str());
    let address = value(ADDRESS).unwrap_or_default();
    if address.is_empty() {
        return Err(Invalid::new(ADDRESS, "is required: ?address=anna@mail.example").into());
    }
    if let Some(problem) = address::problem(address) {
        return Err(Invalid::new(ADDRESS, problem).into());
    }
    let isp_database = match value(ISP_DATABASE) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Invalid::new(ISP_DATABASE, "takes true or false").into()),
    };
    Ok(AskedAddress { address: address.to_owned(), isp_database })
}

/// The answer. `None`: there is no server.
fn shown(result: &ServersFound, address: &str, is_allowed: bool) -> Option<Response> {
    let ServersFound { found, tried } = result;
    let mut answer = found.to_json(address)?;
    let tried: Vec<Value> =
        tried.iter().map(|it| json!({"source": it.by.as_str(), "result": it.result})).collect();
    if let Some(members) = answer.as_object_mut() {
        members.insert("missing".to_owned(), json!(missing(found)));
        members.insert("lookups".to_owned(), json!({"allowed": is_allowed, "tried": tried}));
    }
    Some(Json(answer).into_response())
}

/// Which servers were not found.
fn missing(found: &FoundMail) -> Vec<&'static str> {
    let both = [("imap", &found.imap), ("smtp", &found.smtp)];
    both.into_iter().filter(|(_, server)| server.is_none()).map(|(name, _)| name).collect()
}

fn nothing(result: &ServersFound) -> Problem {
    let tried: Vec<_> =
        result.tried.iter().map(|it| format!("{}: {}", it.by.as_str(), it.result)).collect();
    let tried = tried.join("; ");
    Problem::not_found(format!("no servers were found for this address ({tried}): {ADVICE}"))
}
