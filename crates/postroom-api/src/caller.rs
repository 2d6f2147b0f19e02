//! The caller: the bearer token, and its domain.
//!
//! Standards: RFC 6750.

use crate::app::App;
use crate::connections::Seat;
use crate::lockout::ShownToken;
use crate::problem::Problem;
use crate::rates::RatedToken;
use axum::extract::ConnectInfo;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use postroom_model::Domain;
use postroom_store::Bearer;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The challenge to a client whose token is not known.
const UNKNOWN_TOKEN: &str = "Bearer realm=\"postroom\", error=\"invalid_token\"";

/// An authorised caller. A function that takes one cannot be reached without a good token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The domain of the token. The caller sees no other domain.
    pub domain: Domain,
    /// The name of the token. The feed has it in the changes that the caller makes.
    pub name: String,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let shown = ShownToken { source: source(parts), token };
        if let Some(wait) = app.lockout.refused(shown, Instant::now()) {
            return Err(locked_out(wait.as_secs() + 1));
        }
        if let Some(Bearer { domain, name }) = app.store.token_verify(token).await? {
            app.lockout.accepted(shown, Instant::now());
            if let Some(seat) = parts.extensions.get::<Arc<Seat>>() {
                seat.connection.is_known();
            }
            let rated = RatedToken { domain: domain.clone(), name: name.clone() };
            app.rates.take(rated, app.limits.requests_per_second)?;
            return Ok(Self { domain, name });
        }
        if let Some(wait) = app.lockout.failed(shown, Instant::now()) {
            return Err(locked_out(wait.as_secs() + 1));
        }
        Err(Problem::unauthenticated(UNKNOWN_TOKEN, "the token is not known"))
    }
}

/// Checks that the token of a long request is still valid.
///
/// # Errors
///
/// 401 when it no longer is; when the store fails.
pub(crate) async fn is_known(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let known = app.store.token_verify(bearer(headers)?).await?;
    let gone = || Problem::unauthenticated(UNKNOWN_TOKEN, "the token is no longer known");
    known.map(drop).ok_or_else(gone)
}

/// The token of `Authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || {
        let detail = "a token is required: Authorization: Bearer <token>";
        Problem::unauthenticated("Bearer realm=\"postroom\"", detail)
    };
    let field = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) =
        field.to_str().ok().and_then(|f| f.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(missing());
    }
    Ok(token)
}

/// The address of the client. If the server does not know it, all clients are one source.
fn source(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

fn locked_out(seconds: u64) -> Problem {
    let detail = format!("too many wrong tokens from this address; try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "locked-out", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}
