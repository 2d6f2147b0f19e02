//! The dialer: makes connections, and knows which certificates to trust.

use crate::cause::cause;
use crate::dial_log::DialLog;
use crate::dial_log::DialStep;
use crate::dial_manner::DialManner;
use crate::endpoint::Endpoint;
use crate::endpoint::Security;
use crate::error::Error;
use crate::network::Network;
use crate::proxy::Proxy;
use crate::reach::HostReach;
use crate::reach::ReachRules;
use crate::stream::Stream;
use crate::trust::Trust;
use crate::trust::Verifier;
use crate::trust::reason_of;
use postroom_model::AddressRules;
use postroom_model::fingerprint;
use rustls::AlertDescription;
use rustls::ClientConfig;
use rustls::ProtocolVersion;
use rustls::version::TLS12;
use rustls::version::TLS13;
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the lookup and TCP may take, and how long the TLS handshake after them.
const DEADLINE: Duration = Duration::from_secs(30);
/// For how many sets of rules TLS is kept; with more it is set up anew.
const RULES_MAX: usize = 1000;

type Fingerprint = [u8; fingerprint::OCTETS];

/// The oldest version of TLS that is used. The TLS library has none that is older.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TlsMinimum {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What TLS demands of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct TlsRules {
    /// The fingerprints that a certificate may have. Empty: any trusted certificate.
    fingerprints: Vec<Fingerprint>,
    minimum: TlsMinimum,
}

/// Makes connections. Clones share everything.
#[derive(Clone)]
pub struct Dialer {
    verifier: Verifier,
    rules: TlsRules,
    tls: Arc<ClientConfig>,
    /// What was set up before, by the rules.
    by_rules: Arc<Mutex<HashMap<TlsRules, Arc<ClientConfig>>>>,
    deadline: Duration,
    /// What connects in place of TCP.
    network: Option<Arc<dyn Network>>,
    /// How it reaches hosts by TCP.
    reach: HostReach,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Dialer {
    /// A dialer that trusts these certificates.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] when `extra_ca_pem` holds no certificate, or one that cannot be used.
    pub fn new(trust: &Trust) -> Result<Self, Error> {
        let verifier = Verifier::new(trust)?;
        Ok(Self {
            tls: tls(&verifier, &TlsRules::default())?,
            rules: TlsRules::default(),
            verifier,
            by_rules: Arc::default(),
            deadline: DEADLINE,
            network: None,
            reach: HostReach::default(),
        })
    }

    /// A dialer that accepts only certificates with one of these SHA-256 fingerprints, whoever
    /// signed them. If there are no fingerprints, nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] when TLS cannot be set up.
    pub fn pinned(&self, fingerprints: &[[u8; fingerprint::OCTETS]]) -> Result<Self, Error> {
        self.under(TlsRules { fingerprints: fingerprints.to_vec(), ..self.rules.clone() })
    }

    /// A dialer that accepts no version of TLS below this one.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] when TLS cannot be set up.
    pub fn tls_from(&self, minimum: TlsMinimum) -> Result<Self, Error> {
        self.under(TlsRules { minimum, ..self.rules.clone() })
    }

    fn under(&self, rules: TlsRules) -> Result<Self, Error> {
        if rules == self.rules {
            return Ok(self.clone());
        }
        let mut all = self.by_rules.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&rules).cloned();
        let tls = match known {
            Some(known) => known,
            None => {
                let tls = tls(&self.verifier, &rules)?;
                if all.len() >= RULES_MAX {
                    all.clear();
                }
                all.insert(rules.clone(), Arc::clone(&tls));
                tls
            }
        };
        drop(all);
        Ok(Self { rules, tls, ..self.clone() })
    }

    /// The same with another deadline for making a connection.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same over a network in memory in place of TCP.
    #[must_use]
    pub fn over(mut self, network: Arc<dyn Network>) -> Self {
        self.network = Some(network);
        self
    }

    /// The same for addresses of the public internet alone. Others are refused after the lookup,
    /// so no name leads to them. `advice` says what a person can do about it.
    #[must_use]
    pub fn public_only(mut self, advice: &'static str) -> Self {
        self.reach.public_only = Some(advice);
        self
    }

    /// The same for the addresses that these rules allow. Others are refused after the lookup, so
    /// no name leads to them. `advice` says what a person can do about it.
    #[must_use]
    pub fn allowed(mut self, rules: &Arc<AddressRules>, advice: &'static str) -> Self {
        let rules = Arc::clone(rules);
        self.reach.rules = (!rules.is_open()).then_some(ReachRules { rules, advice });
        self
    }

    /// What its connections have in common: where they may lead, and by which proxy.
    #[must_use]
    pub fn manner(&self) -> DialManner {
        DialManner {
            is_public_only: self.reach.public_only.is_some(),
            rules: self.reach.rules.as_ref().map(|one| Arc::clone(&one.rules)),
            proxy: self.reach.proxy.clone(),
        }
    }

    /// The same through a proxy.
    #[must_use]
    pub fn through(mut self, proxy: impl Into<Arc<Proxy>>) -> Self {
        self.reach.proxy = Some(proxy.into());
        self
    }

    /// What it reaches hosts by.
    pub(crate) fn reach(&self) -> &HostReach {
        &self.reach
    }

    /// Whether its connections go through a proxy.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.reach.proxy.is_some()
    }

    /// Whether a proxy looks names up for it.
    #[must_use]
    pub fn leaves_names_to_proxy(&self) -> bool {
        self.reach.proxy.is_some() && !self.reach.is_restricted()
    }

    /// Those of the addresses of a host that it may connect to, for who has looked them up. None of
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::NotPublic`] or [`Error::NotAllowed`] if it has addresses and none may be.
    pub fn permitted(
        &self,
        host: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Error> {
        self.reach.permitted(host, addresses)
    }

    /// The same, which notes what it does. It is meant for one connection.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] when TLS cannot be set up.
    pub fn noting(&self, log: &DialLog) -> Result<Self, Error> {
        let verifier = self.verifier.noting(log);
        let tls = tls(&verifier, &self.rules)?;
        let reach = HostReach { log: Some(log.clone()), ..self.reach.clone() };
        Ok(Self { verifier, tls, reach, ..self.clone() })
    }

    /// Makes a link to a server of that name secure, which somebody else has connected.
    ///
    /// # Errors
    ///
    /// [`Error::Name`], and what TLS and certificates fail with.
    pub async fn secure<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        host: &str,
        link: S,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Error> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Name { host: host.to_owned() })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let connected = Box::pin(connector.connect(name, link)).await;
        connected.map_err(|source| refused(host, &source, self.rules.minimum))
    }

    /// Connects: looks the host up, tries its addresses in turn, and starts TLS at once for
    /// [`Security::Tls`].
    ///
    /// # Errors
    ///
    /// Each failure has its own variant of [`Error`].
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, Error> {
        let slow =
            |phase| Error::Timeout { host: endpoint.host.clone(), port: endpoint.port, phase };
        let plain = timeout(self.deadline, self.plain(endpoint))
            .await
            .map_err(|_| slow("connecting"))??;
        match endpoint.security {
            Security::Tls => {
                let handshake = self.handshake(plain, endpoint.bare_host());
                timeout(self.deadline, handshake).await.map_err(|_| slow("TLS handshake"))?
            }
            Security::StartTls | Security::None => Ok(plain),
        }
    }

    /// Starts TLS on a plain connection, after STARTTLS. The caller must have read nothing beyond
    /// the answer to STARTTLS, because bytes in clear text must not be used after it.
    ///
    /// # Errors
    ///
    /// When the handshake fails, or takes too long.
    pub async fn start_tls(&self, plain: Stream, host: &str) -> Result<Stream, Error> {
        let port = match &plain {
            Stream::Plain(tcp) => tcp.peer_addr().map_or(0, |address| address.port()),
            Stream::Tls(_) | Stream::Memory(_) => 0,
        };
        let handshake = self.handshake(plain, host);
        timeout(self.deadline, handshake).await.map_err(|_| Error::Timeout {
            host: host.to_owned(),
            port,
            phase: "TLS handshake",
        })?
    }

    /// A connection in the clear.
    async fn plain(&self, endpoint: &Endpoint) -> Result<Stream, Error> {
        let Some(network) = &self.network else {
            return self.reach.plain(endpoint).await.map(Stream::Plain);
        };
        let dialed = network.dial(endpoint.bare_host(), endpoint.port).await;
        dialed.map(Stream::Memory).map_err(|source| Error::Connect {
            host: endpoint.host.clone(),
            port: endpoint.port,
            source,
        })
    }

    async fn handshake(&self, plain: Stream, host: &str) -> Result<Stream, Error> {
        let tcp = match plain {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(_) => return Ok(plain),
            Stream::Memory(_) => {
                let reason = "a network in memory has no TLS: set the security to none".to_owned();
                return Err(Error::Handshake { host: host.to_owned(), reason });
            }
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Name { host: host.to_owned() })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let began = Instant::now();
        match Box::pin(connector.connect(name, tcp)).await {
            Ok(stream) => {
                let version = match stream.get_ref().1.protocol_version() {
                    Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    _ => "TLS 1.2",
                };
                self.reach.note(|steps| steps.secured = Some(DialStep::since(began, version)));
                Ok(Stream::Tls(Box::new(stream)))
            }
            Err(source) => Err(refused(host, &source, self.rules.minimum)),
        }
    }
}

fn tls(verifier: &Verifier, rules: &TlsRules) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[_] = match rules.minimum {
        TlsMinimum::V1_2 => &[&TLS13, &TLS12],
        TlsMinimum::V1_3 => &[&TLS13],
    };
    let verifier = verifier.pinned(&rules.fingerprints);
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| Error::Trust { reason: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why TLS failed, and what to do.
fn refused(host: &str, source: &io::Error, minimum: TlsMinimum) -> Error {
    let host = host.to_owned();
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(reason) = inner.and_then(reason_of) {
        return Error::Certificate { host, reason };
    }
    let reason = match minimum {
        TlsMinimum::V1_3 if inner.is_some_and(is_of_version) => "the server does not support TLS \
             1.3, which `tlsMinimum` of the profile demands; set it to 1.2, or its operator has to \
             update the server"
            .to_owned(),
        TlsMinimum::V1_2 | TlsMinimum::V1_3 => handshake_problem(inner, source),
    };
    Error::Handshake { host, reason }
}

fn is_of_version(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity,
        ) | rustls::Error::PeerIncompatible(_)
    )
}

fn handshake_problem(inner: Option<&rustls::Error>, source: &io::Error) -> String {
    match inner {
        Some(error) if is_of_version(error) => {
            "the server supports only outdated TLS (older than TLS 1.2, or with ciphers that are \
              no longer safe); its operator has to update it"
                .to_owned()
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "the other side does not speak TLS; is the security setting right for this port?"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            "the server's certificate cannot be read; its operator has to replace it".to_owned()
        }
        Some(rustls::Error::AlertReceived(_)) => {
            "the server refused TLS; is the security setting right for this port?".to_owned()
        }
        _ if source.kind() == io::ErrorKind::UnexpectedEof => "the server closed the connection; \
             is the security setting right for this port?"
            .to_owned(),
        _ => format!("{}; is the security setting right for this port?", cause(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_set_up_once_for_each_set_of_rules() {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let tls = |pins: &[Fingerprint]| dialer.clone().pinned(pins).unwrap().tls;
        assert!(Arc::ptr_eq(&tls(&[[1; 32]]), &tls(&[[1; 32]])));
        assert!(!Arc::ptr_eq(&tls(&[[1; 32]]), &tls(&[[2; 32]])));
        assert!(Arc::ptr_eq(&tls(&[]), &dialer.tls));
        let newer = dialer.tls_from(TlsMinimum::V1_3).unwrap();
        assert!(!Arc::ptr_eq(&newer.tls, &dialer.tls));
        let both = newer.pinned(&[[1; 32]]).unwrap();
        assert_eq!((both.rules.minimum, both.rules.fingerprints.len()), (TlsMinimum::V1_3, 1));
    }
}
