//! The steps of a verification, each with its time, its result and what a person can do.

use crate::account::ServerKind;
use postroom_net::DialSteps;
use postroom_net::Error;
use postroom_net::Security;
use postroom_net::SeenCertificate;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyPhase {
    /// The lookup of the host.
    Dns,
    /// The connection.
    Tcp,
    /// The handshake of TLS, with the certificate.
    Tls,
    /// The first words of the server.
    Greeting,
    /// The login.
    Login,
    /// The list of the mailboxes.
    List,
}

impl VerifyPhase {
    const OF_IMAP: [Self; 6] =
        [Self::Dns, Self::Tcp, Self::Tls, Self::Greeting, Self::Login, Self::List];
    const OF_SMTP: [Self; 5] = [Self::Dns, Self::Tcp, Self::Tls, Self::Greeting, Self::Login];

    fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Login => "login",
            Self::List => "list",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyResult {
    /// It succeeded.
    Ok,
    /// It failed.
    Failed,
    /// It was not tried, because an earlier step failed or the account does not need it.
    Skipped,
}

/// One step.
#[derive(Debug, Clone)]
pub struct VerifyStep {
    /// Which server.
    pub server: ServerKind,
    /// What was tried.
    pub phase: VerifyPhase,
    /// How it ended.
    pub result: VerifyResult,
    /// How long it took.
    pub took: Duration,
    /// What was found, or why it failed.
    pub detail: String,
    /// What a person can do. Empty: nothing needs to be done.
    pub advice: &'static str,
    /// What the certificate of the server says, in the step of TLS.
    pub certificate: Option<Json>,
}

impl VerifyStep {
    /// The step as clients see it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let server = match self.server {
            ServerKind::Imap => "imap",
            ServerKind::Smtp => "smtp",
        };
        let result = match self.result {
            VerifyResult::Ok => "ok",
            VerifyResult::Failed => "failed",
            VerifyResult::Skipped => "skipped",
        };
        let text = |text: &str| if text.is_empty() { Json::Null } else { json!(text) };
        json!({
            "server": server,
            "step": self.phase.word(),
            "result": result,
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "detail": text(&self.detail),
            "advice": text(self.advice),
            "certificate": self.certificate,
        })
    }
}

/// The steps at one server, while they are made.
pub(crate) struct StepList {
    server: ServerKind,
    security: Security,
    began: Instant,
    certificate: Option<Json>,
    steps: Vec<VerifyStep>,
}

impl StepList {
    pub(crate) fn new(server: ServerKind, security: Security) -> Self {
        let (began, certificate, steps) = (Instant::now(), None, vec![]);
        Self { server, security, began, certificate, steps }
    }

    /// Takes over what the dialer did.
    pub(crate) fn dialed(&mut self, done: &DialSteps) {
        self.certificate = done.certificate.as_ref().map(shown);
        if let Some(lookup) = &done.lookup {
            let addresses: Vec<_> = lookup.found.iter().map(ToString::to_string).collect();
            self.push(VerifyPhase::Dns, lookup.took, addresses.join(", "));
        }
        if let Some(connected) = &done.connected {
            let detail = format!("connected to {}", connected.found);
            self.push(VerifyPhase::Tcp, connected.took, detail);
        }
        if let Some(secured) = &done.secured {
            self.push(VerifyPhase::Tls, secured.took, secured.found.to_owned());
        }
        if self.security == Security::None && done.connected.is_some() {
            let detail = "the security is none, so everybody on the way can read the password";
            self.skip(VerifyPhase::Tls, detail.to_owned());
        }
    }

    /// The step that an error of the dialer is about.
    pub(crate) fn phase_of(&self, error: &Error) -> VerifyPhase {
        match error {
            Error::Lookup { .. } | Error::NotPublic { .. } | Error::NotAllowed { .. } => {
                VerifyPhase::Dns
            }
            Error::Certificate { .. }
            | Error::Handshake { .. }
            | Error::Name { .. }
            | Error::Trust { .. } => VerifyPhase::Tls,
            Error::Connect { .. } | Error::Proxy { .. } | Error::ProxyLogin { .. } => {
                VerifyPhase::Tcp
            }
            Error::Timeout { .. } if !self.has(VerifyPhase::Dns) => VerifyPhase::Dns,
            Error::Timeout { .. } if !self.has(VerifyPhase::Tcp) => VerifyPhase::Tcp,
            Error::Timeout { .. } => VerifyPhase::Tls,
        }
    }

    /// A step that succeeded. It took the time since the one before.
    pub(crate) fn done(&mut self, phase: VerifyPhase, detail: String) {
        let took = self.since_last();
        self.push(phase, took, detail);
    }

    /// A step that is not needed.
    pub(crate) fn skip(&mut self, phase: VerifyPhase, detail: String) {
        self.add(phase, VerifyResult::Skipped, Duration::ZERO, detail);
    }

    /// A step that failed. The steps behind it are skipped.
    pub(crate) fn fail(
        mut self,
        phase: VerifyPhase,
        detail: String,
        advice: &'static str,
    ) -> Vec<VerifyStep> {
        let took = self.since_last();
        self.add(phase, VerifyResult::Failed, took, detail);
        if let Some(last) = self.steps.last_mut() {
            last.advice = advice;
        }
        self.finish()
    }

    /// All steps. Those that were not made are skipped.
    pub(crate) fn finish(mut self) -> Vec<VerifyStep> {
        let all: &[_] = match self.server {
            ServerKind::Imap => &VerifyPhase::OF_IMAP,
            ServerKind::Smtp => &VerifyPhase::OF_SMTP,
        };
        for phase in all {
            if !self.has(*phase) {
                self.skip(*phase, "an earlier step failed".to_owned());
            }
        }
        let place = |step: &VerifyStep| all.iter().position(|phase| *phase == step.phase);
        self.steps.sort_by_key(place);
        self.steps
    }

    fn has(&self, phase: VerifyPhase) -> bool {
        self.steps.iter().any(|step| step.phase == phase)
    }

    fn since_last(&self) -> Duration {
        let before: Duration = self.steps.iter().map(|step| step.took).sum();
        self.began.elapsed().saturating_sub(before)
    }

    fn push(&mut self, phase: VerifyPhase, took: Duration, detail: String) {
        self.add(phase, VerifyResult::Ok, took, detail);
    }

    fn add(&mut self, phase: VerifyPhase, result: VerifyResult, took: Duration, detail: String) {
        let certificate = if phase == VerifyPhase::Tls { self.certificate.take() } else { None };
        let server = self.server;
        self.steps.push(VerifyStep {
            server,
            phase,
            result,
            took,
            detail,
            advice: "",
            certificate,
        });
    }
}

/// What a certificate says, with the fingerprint that a profile can name.
fn shown(seen: &SeenCertificate) -> Json {
    json!({
        "fingerprint": seen.fingerprint,
        "subject": seen.facts.subject,
        "issuer": seen.facts.issuer,
        "notBefore": seen.facts.not_before,
        "notAfter": seen.facts.not_after,
        "names": seen.facts.names,
    })
}
