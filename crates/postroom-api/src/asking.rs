//! Who asks, and where from, as the audit tells it.
//!
//! ```text
//!   trace ─► AuditedRequest ─► who asks: the caller, a login ─► tell: was it refused?
//! ```

use crate::app::App;
use crate::source::network;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Extensions;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use postroom_model::Domain;
use postroom_store::AuditEvent;
use postroom_store::AuditNotice;
use postroom_store::Bearer;
use postroom_store::RequestOrigin;
use postroom_store::Store;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Tells in the audit that a request was refused.
pub(crate) async fn tell(State(store): State<Store>, request: Request, next: Next) -> Response {
    let asking = AuditedRequest::of(request.extensions());
    let response = next.run(request).await;
    if let Some(refusal) = asking.refusal(response.status()) {
        store.audit_notice(refusal).await;
    }
    response
}

/// Who asks, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) enum WhoAsks {
    /// Nothing is shown, or nothing that says who it is.
    #[default]
    Nobody,
    /// Somebody has shown a token that is not known, or not looked at.
    Stranger,
    /// Somebody wants to sign in.
    Login(Domain, String),
    /// Somebody wants to sign in, knows the password, and sent no code.
    LoginWithoutCode(Domain, String),
    /// Somebody has a token.
    Bearer(Box<Bearer>),
}

/// A request, as far as the audit tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditedRequest {
    source: Option<IpAddr>,
    request: Option<Arc<str>>,
    who: Arc<Mutex<WhoAsks>>,
}

impl AuditedRequest {
    /// A request from an address, with its id in the log.
    pub(crate) fn new(source: Option<IpAddr>, request: &str) -> Self {
        Self { source, request: Some(request.into()), who: Arc::default() }
    }

    /// What the frame of the request noted. A request that did not go through it has nothing.
    #[must_use]
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Notes who asks.
    pub(crate) fn is_by(&self, who: WhoAsks) {
        *self.who.lock().unwrap_or_else(PoisonError::into_inner) = who;
    }

    /// Where the request comes from.
    #[must_use]
    pub(crate) fn origin(&self) -> RequestOrigin {
        let source = self.source.map(|source| source.to_canonical().to_string());
        RequestOrigin { source, request: self.request.as_deref().map(str::to_owned) }
    }

    /// The same, with the network of an address of IPv6: who has that has as many addresses as it
    /// likes.
    fn origin_network(&self) -> RequestOrigin {
        let source = self.source.map(|source| network(source).to_string());
        RequestOrigin { source, ..self.origin() }
    }

    /// The store for what this request does as its bearer.
    #[must_use]
    pub(crate) fn store(&self, app: &App, bearer: &Bearer) -> Store {
        app.store.of_bearer(bearer, self.origin())
    }

    /// Tells that a token was used, if it was not used from there on this day.
    pub(crate) async fn used(&self, store: &Store, bearer: &Bearer) {
        if bearer.user.is_none() {
            let (event, bearer) = (AuditEvent::TokenUse, Some(bearer.clone()));
            let origin = self.origin_network();
            let notice = AuditNotice { event, bearer, domain: None, login: None, origin };
            store.audit_notice(notice).await;
        }
    }

    /// What the audit tells of an answer with this status. `None`: nothing was refused.
    #[must_use]
    pub(crate) fn refusal(&self, status: StatusCode) -> Option<AuditNotice> {
        let who = self.who.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (event, bearer, login) = match (status, who) {
            (StatusCode::FORBIDDEN, WhoAsks::Bearer(bearer)) => {
                (AuditEvent::Refused, Some(*bearer), None)
            }
            (StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS, WhoAsks::Stranger) => {
                (AuditEvent::TokenRefused, None, None)
            }
            (StatusCode::UNAUTHORIZED, WhoAsks::Login(domain, login)) => {
                (AuditEvent::LoginRefused, None, Some((domain, login)))
            }
            (StatusCode::UNAUTHORIZED, WhoAsks::LoginWithoutCode(domain, login)) => {
                (AuditEvent::LoginCodeAsked, None, Some((domain, login)))
            }
            (StatusCode::TOO_MANY_REQUESTS, WhoAsks::Login(domain, login)) => {
                (AuditEvent::LoginLockedOut, None, Some((domain, login)))
            }
            _ => return None,
        };
        let (domain, login) = login.unzip();
        let origin = self.origin_network();
        Some(AuditNotice { event, bearer, domain, login, origin })
    }
}
