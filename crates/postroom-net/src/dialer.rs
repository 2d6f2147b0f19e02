//! The dialer: makes connections, and knows which certificates to trust.

use crate::endpoint::Endpoint;
use crate::endpoint::Security;
use crate::error::Error;
use crate::stream::Stream;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long making a connection may take, from the lookup to the end of the TLS handshake.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long an address may take when there are others to try.
const PER_ADDRESS: Duration = Duration::from_secs(10);
/// An idle connection is probed after this time, so that a dead peer is noticed.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Which certificates to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Those that the system trusts.
    pub system: bool,
    /// Authorities beside them: certificates in PEM; empty for none.
    pub extra_ca_pem: Vec<u8>,
}

/// Makes connections. Clones share everything.
#[derive(Clone)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    deadline: Duration,
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
        let mut roots = RootCertStore::empty();
        if trust.system {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "a certificate of the system is not read");
            }
            roots.add_parsable_certificates(found.certs);
        }
        if !trust.extra_ca_pem.is_empty() {
            add_extra(&mut roots, &trust.extra_ca_pem)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Trust { reason: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config), deadline: DEADLINE })
    }

    /// The same with another deadline for making a connection.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Connects: looks the host up, tries its addresses in turn, and makes TLS at once where
    /// [`Security::Tls`] asks for it.
    ///
    /// # Errors
    ///
    /// Each way in which this can fail has its own; see [`Error`].
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, Error> {
        let slow =
            |phase| Error::Timeout { host: endpoint.host.clone(), port: endpoint.port, phase };
        let plain =
            timeout(self.deadline, tcp(endpoint)).await.map_err(|_| slow("connecting"))??;
        let plain = Stream::Plain(plain);
        match endpoint.security {
            Security::Tls => {
                let handshake = self.handshake(plain, endpoint.bare_host());
                timeout(self.deadline, handshake).await.map_err(|_| slow("TLS handshake"))?
            }
            Security::StartTls | Security::None => Ok(plain),
        }
    }

    /// Makes TLS on a plain connection, after STARTTLS. Nothing that was read before may be used
    /// after it: the caller makes sure that it has read nothing more than the answer to STARTTLS.
    ///
    /// # Errors
    ///
    /// When the handshake fails, or takes too long.
    pub async fn start_tls(&self, plain: Stream, host: &str) -> Result<Stream, Error> {
        let port = match &plain {
            Stream::Plain(tcp) => tcp.peer_addr().map_or(0, |address| address.port()),
            Stream::Tls(_) => 0,
        };
        let handshake = self.handshake(plain, host);
        timeout(self.deadline, handshake).await.map_err(|_| Error::Timeout {
            host: host.to_owned(),
            port,
            phase: "TLS handshake",
        })?
    }

    async fn handshake(&self, plain: Stream, host: &str) -> Result<Stream, Error> {
        let Stream::Plain(tcp) = plain else {
            return Ok(plain);
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Name { host: host.to_owned() })?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        match Box::pin(connector.connect(name, tcp)).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(source) => Err(refused(host, source)),
        }
    }
}

fn add_extra(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), Error> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| Error::Trust { reason: format!("not PEM: {error}") })?;
        roots.add(certificate).map_err(|error| Error::Trust { reason: error.to_string() })?;
        count += 1;
    }
    if count == 0 {
        let reason = "the file holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned();
        return Err(Error::Trust { reason });
    }
    Ok(())
}

async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let host = endpoint.bare_host();
    let lookup = |source| Error::Lookup { host: endpoint.host.clone(), source };
    let found = tokio::net::lookup_host((host, endpoint.port)).await.map_err(lookup)?;
    let addresses: Vec<SocketAddr> = found.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    let count = addresses.len();
    for (at, address) in addresses.into_iter().enumerate() {
        let patience = if at + 1 == count { DEADLINE } else { PER_ADDRESS };
        match timeout(patience, dial(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(Error::Connect { host: endpoint.host.clone(), port: endpoint.port, source: last })
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Says what is wrong with a certificate and what to do, or that TLS failed in another way.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of a library, which grows")]
fn refused(host: &str, source: io::Error) -> Error {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(problem)) = inner else {
        return Error::Handshake { host: host.to_owned(), source };
    };
    let reason = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; the server needs a new one (or this clock is wrong)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (or this clock is wrong)".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name; use the host name that the certificate is for".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted; add the issuer with --trust-ca if it is your own".to_owned()
        }
        CertificateError::BadSignature => {
            "it is signed by another key than its issuer's; was the authority made anew?".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        other => format!("{other:?}; if it signs itself, add it with --trust-ca"),
    };
    Error::Certificate { host: host.to_owned(), reason }
}
