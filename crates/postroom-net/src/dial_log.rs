//! What a dialer did for one connection, step by step, for people who want to know why there is
//! none.

use crate::certificate::CertificateFacts;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// What a step found, and how long that took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialStep<T> {
    /// How long it took.
    pub took: Duration,
    /// What it found.
    pub found: T,
}

impl<T> DialStep<T> {
    pub(crate) fn since(began: Instant, found: T) -> Self {
        Self { took: began.elapsed(), found }
    }
}

/// A certificate that a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCertificate {
    /// Its SHA-256 fingerprint, as a profile takes it.
    pub fingerprint: String,
    /// What it says of itself.
    pub facts: CertificateFacts,
}

/// The steps that were done. A step that failed, or was not reached, is absent.
#[derive(Debug, Clone, Default)]
pub struct DialSteps {
    /// The addresses of the host.
    pub lookup: Option<DialStep<Vec<IpAddr>>>,
    /// The address that took the connection.
    pub connected: Option<DialStep<SocketAddr>>,
    /// The certificate that the server showed, whether it was accepted or not.
    pub certificate: Option<SeenCertificate>,
    /// The version of TLS, such as `TLS 1.3`.
    pub secured: Option<DialStep<&'static str>>,
}

/// A record that a dialer writes. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct DialLog(Arc<Mutex<DialSteps>>);

impl DialLog {
    /// What was done so far.
    #[must_use]
    pub fn steps(&self) -> DialSteps {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, note: impl FnOnce(&mut DialSteps)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
