//! The caller: the token, its domain, and what it may do there.
//!
//! A browser may show the token of a session in a cookie. Then the request must come from a page of
//! our own, unless it only reads: other sites must not use the session of a person.
//!
//! Standards: RFC 6750, RFC 6265 (cookies), Fetch metadata.

use crate::app::App;
use crate::asking::AuditedRequest;
use crate::asking::WhoAsks;
use crate::connections::Seat;
use crate::lockout::ShownToken;
use crate::problem::Problem;
use crate::rates::RatedToken;
use axum::extract::ConnectInfo;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::MissingRight;
use postroom_model::RightAction;
use postroom_model::Rights;
use postroom_store::Bearer;
use postroom_store::Classes;
use postroom_store::Listener;
use postroom_store::Store;
use postroom_store::Topic;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whether the browser speaks https, with this process or with a trusted proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsHttps(pub bool);

/// The challenge to a client whose token is not known.
const UNKNOWN_TOKEN: &str = "Bearer realm=\"postroom\", error=\"invalid_token\"";
/// Why a token is refused that nobody holds.
const NOT_KNOWN: &str = "the token is not known: it is misspelt, or was replaced, disabled or \
                         deleted, or has ended. Send another one, or sign in again";
/// The cookie with the token of a session.
pub(crate) const COOKIE: &str = "postroom-session";
/// The path of the WebSocket.
pub(crate) const WEB_SOCKET: &str = "/ws";
/// How often a long request looks whether its token has expired.
const LOOKED_WITHIN: Duration = Duration::from_secs(15);

/// An authorised caller. A function that takes one cannot be reached without a good token.
///
/// It gives the bearer, and so the domain, only for what a request does: [`Self::may`]. So no
/// handler can leave out the check of rights.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    bearer: Bearer,
    asking: AuditedRequest,
}

/// A caller of what every token may see: it depends on no rights.
#[derive(Debug)]
pub(crate) struct AnyToken {
    /// The domain of the token.
    pub domain: Domain,
}

impl Caller {
    /// The bearer, if it may do this with entities of a class.
    ///
    /// # Errors
    ///
    /// 403 with the right that is missing.
    pub(crate) fn may(self, actions: &[RightAction], classname: &str) -> Result<Bearer, Problem> {
        for action in actions {
            self.bearer.rights.check(*action, classname)?;
        }
        Ok(self.bearer)
    }

    /// The bearer, if it may read entities of some class. The answer must leave out all others.
    ///
    /// # Errors
    ///
    /// 403 if it may read none.
    pub(crate) fn reads_some(self, classes: &Classes) -> Result<Bearer, Problem> {
        if readable(&self.bearer.rights, &classes.of(&self.bearer.domain)).is_empty() {
            let detail = "this token lacks the right `read` for any class";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(self.bearer)
    }

    /// The domain of the bearer.
    #[must_use]
    pub(crate) fn domain(&self) -> &Domain {
        &self.bearer.domain
    }

    /// The bearer, for a handler that checks the rights when it knows the class.
    #[must_use]
    pub(crate) fn unchecked(self) -> Bearer {
        self.bearer
    }

    /// The store for what the caller does. The feed and the audit name it.
    #[must_use]
    pub(crate) fn store(&self, app: &App) -> Store {
        self.asking.store(app, &self.bearer)
    }
}

/// The classes whose entities may be read. Filters and masks can look through no others.
#[must_use]
pub(crate) fn readable(rights: &Rights, classes: &[Arc<Class>]) -> Vec<Arc<Class>> {
    classes.iter().filter(|class| rights.reads(&class.classname)).cloned().collect()
}

/// Checks that a domain may change what belongs to all domains.
///
/// # Errors
///
/// 403 for every domain but `default` and `master`.
pub(crate) fn administrates(domain: &Domain, what: &str) -> Result<(), Problem> {
    if Domain::of_the_start().contains(domain) {
        return Ok(());
    }
    let detail = format!(
        "{what} to all domains: only tokens of the domains `default` and `master` may do this"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

impl FromRequestParts<App> for AnyToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, app)
            .await
            .map(|caller| Self { domain: caller.bearer.domain })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = &bearer(&parts.headers)?;
        of_own_page(parts)?;
        Self::known(parts, app, token).await
    }
}

impl Caller {
    /// The holder of a token that a request shows.
    ///
    /// # Errors
    ///
    /// 401 when nobody holds it; 403 when its domain is suspended; 429 when its source has shown
    /// too many wrong ones, or the token is used too often.
    pub(crate) async fn known(parts: &Parts, app: &App, token: &str) -> Result<Self, Problem> {
        let asking = AuditedRequest::of(&parts.extensions);
        asking.is_by(WhoAsks::Stranger);
        let shown = ShownToken { source: source(parts), token };
        if let Some(wait) = app.lockout.refused(shown, Instant::now()) {
            return Err(locked_out(wait.as_secs() + 1));
        }
        if let Some(found) = app.store.token_verify(token).await? {
            app.lockout.accepted(shown, Instant::now());
            asking.is_by(WhoAsks::Bearer(Box::new(found.clone())));
            asking.used(&app.store, &found).await;
            let rated = RatedToken { domain: found.domain.clone(), name: found.name.clone() };
            if let Some(seat) = parts.extensions.get::<Arc<Seat>>() {
                seat.connection.is_of(&rated);
            }
            app.rates.take(rated)?;
            if found.is_suspended {
                return Err(suspended());
            }
            return Ok(Self { bearer: found, asking });
        }
        if let Some(wait) = app.lockout.failed(shown, Instant::now()) {
            return Err(locked_out(wait.as_secs() + 1));
        }
        Err(Problem::unauthenticated(UNKNOWN_TOKEN, NOT_KNOWN))
    }
}

impl From<MissingRight> for Problem {
    fn from(missing: MissingRight) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", missing.to_string())
    }
}

/// Watches the token of a long request.
pub(crate) struct TokenWatch {
    app: App,
    headers: HeaderMap,
    bearer: Bearer,
    news: Listener,
    /// When it looked last. `None`: it must look.
    looked: Option<Instant>,
}

impl TokenWatch {
    /// Watches the token of a request from now on. `bearer` is its holder.
    pub(crate) fn new(app: &App, headers: HeaderMap, bearer: Bearer) -> Self {
        let (news, looked) = (app.store.listen(Topic::Tokens), Some(Instant::now()));
        Self { app: app.clone(), headers, bearer, news, looked }
    }

    /// Waits until tokens were changed. It also ends once a minute.
    pub(crate) async fn changed(&mut self) {
        self.news.rung().await;
        self.looked = None;
    }

    /// Checks that the token is still valid, and allows what it allowed at the beginning. It looks
    /// when tokens were changed, and from time to time, because a token may expire.
    ///
    /// # Errors
    ///
    /// 401 when it is not; when the store fails.
    pub(crate) async fn check(&mut self) -> Result<(), Problem> {
        let is_recent = self.looked.is_some_and(|looked| looked.elapsed() < LOOKED_WITHIN);
        if is_recent && !self.news.has_rung() {
            return Ok(());
        }
        self.news.catch_up();
        self.looked = Some(Instant::now());
        let found = self.app.store.token_verify(&bearer(&self.headers)?).await?;
        match found {
            Some(found) if found.is_suspended => Err(suspended()),
            Some(found) if found == self.bearer => Ok(()),
            Some(_) => {
                let detail = "the token has other rights by now: connect again";
                Err(Problem::unauthenticated(UNKNOWN_TOKEN, detail))
            }
            None => {
                let detail = "the token was replaced, disabled or deleted, or it has ended: \
                              connect again with another one";
                Err(Problem::unauthenticated(UNKNOWN_TOKEN, detail))
            }
        }
    }
}

fn suspended() -> Problem {
    let detail = "the domain of this token is suspended: ask those who run Postroom";
    Problem::new(StatusCode::FORBIDDEN, "suspended", detail)
}

/// The token of `Authorization: Bearer <token>`, or else of the cookie of a session.
///
/// # Errors
///
/// 401 without one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<String, Problem> {
    let missing = || {
        let detail = "a token is required: Authorization: Bearer <token>";
        Problem::unauthenticated("Bearer realm=\"postroom\"", detail)
    };
    let Some(field) = headers.get(header::AUTHORIZATION) else {
        return cookie(headers).ok_or_else(missing);
    };
    let (scheme, token) =
        field.to_str().ok().and_then(|f| f.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(missing());
    }
    Ok(token.to_owned())
}

/// The token in the cookie of a session.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|text| text.split(';')).filter_map(|it| it.split_once('='));
    let (_, token) = pairs.find(|(name, _)| name.trim() == COOKIE)?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Refuses a request by a cookie that another site has begun. A WebSocket begins with GET, and any
/// page may open one.
///
/// # Errors
///
/// 403.
fn of_own_page(parts: &Parts) -> Result<(), Problem> {
    let by_cookie = !parts.headers.contains_key(header::AUTHORIZATION);
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method);
    let is_safe = reads && parts.uri.path() != WEB_SOCKET;
    if !by_cookie || is_safe || is_of_own_page(&parts.headers) {
        return Ok(());
    }
    let detail = "a page of another site has sent this request with the cookie of a session, so \
                  nothing was done: send it from a page of this address, or with a token in \
                  `Authorization`";
    Err(Problem::new(StatusCode::FORBIDDEN, "other-origin", detail))
}

/// Whether a page of our own has sent a request. A browser says so by `Sec-Fetch-Site`, unless it
/// is old or the page came without TLS. Then it names the origin.
#[must_use]
pub(crate) fn is_of_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|field| field.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = text("host");
    text("origin")
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, at)| Some(at) == host))
}

/// The address of the client. If the server does not know it, all clients are one source.
#[must_use]
pub(crate) fn source(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

fn locked_out(seconds: u64) -> Problem {
    let detail = format!("too many wrong tokens from this address; try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "locked-out", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}
