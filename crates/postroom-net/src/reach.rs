//! TCP connections to hosts: directly, or by a proxy.

use crate::dial_log::DialLog;
use crate::dial_log::DialStep;
use crate::dial_log::DialSteps;
use crate::endpoint::Endpoint;
use crate::endpoint::Security;
use crate::error::Error;
use crate::proxy::Proxy;
use crate::proxy::ProxyTarget;
use crate::public;
use postroom_model::AddressRules;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;

/// How long to try the last address of a host. The dialer gives up earlier.
const LAST_ADDRESS: Duration = Duration::from_secs(30);
/// How long to try one address of a host while others are left.
const PER_ADDRESS: Duration = Duration::from_secs(10);
/// An idle connection is probed after this time, so that a dead peer is noticed.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// How hosts are reached. Nothing is restricted by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostReach {
    /// What it connects through.
    pub proxy: Option<Arc<Proxy>>,
    /// Where it notes what it does.
    pub log: Option<DialLog>,
    /// What to tell about other addresses, if it connects to those of the public internet alone.
    pub public_only: Option<&'static str>,
    /// Which addresses it connects to.
    pub rules: Option<ReachRules>,
}

/// Which addresses may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct ReachRules {
    /// The rules.
    pub rules: Arc<AddressRules>,
    /// What to tell about other addresses.
    pub advice: &'static str,
}

impl HostReach {
    /// A connection in the clear.
    ///
    /// # Errors
    ///
    /// Each failure has its own variant of [`Error`].
    pub(crate) async fn plain(&self, endpoint: &Endpoint) -> Result<TcpStream, Error> {
        match &self.proxy {
            Some(proxy) => self.by_proxy(proxy, endpoint).await,
            None => self.tcp(endpoint).await,
        }
    }

    pub(crate) fn note(&self, note: impl FnOnce(&mut DialSteps)) {
        if let Some(log) = &self.log {
            log.note(note);
        }
    }

    /// Connects to the proxy and asks it for the server. If not all addresses are allowed, both are
    /// looked up here, and the proxy is asked for the address.
    async fn by_proxy(&self, proxy: &Proxy, endpoint: &Endpoint) -> Result<TcpStream, Error> {
        let (host, port) = (endpoint.bare_host(), endpoint.port);
        let target = match (host.parse(), self.is_restricted()) {
            (_, true) => {
                let addresses = self.addresses(&endpoint.host, host, port).await?;
                let first = addresses.first().map(SocketAddr::ip);
                first.map_or_else(|| ProxyTarget::Name(host.to_owned()), ProxyTarget::Address)
            }
            (Ok(address), false) => ProxyTarget::Address(address),
            (Err(_), false) => ProxyTarget::Name(host.to_owned()),
        };
        let security = Security::None;
        let (name, at) = (proxy.host.clone(), proxy.port);
        let proxy_at = Endpoint { host: name, port: at, security };
        let mut stream = if proxy.is_everywhere_allowed {
            let Self { proxy, log, .. } = self.clone();
            Self { proxy, log, public_only: None, rules: None }.tcp(&proxy_at).await?
        } else {
            self.tcp(&proxy_at).await?
        };
        let asked = proxy.ask(&mut stream, &target, port).await;
        asked.map_err(|reason| Error::Proxy {
            proxy: proxy.to_string(),
            host: endpoint.host.clone(),
            port,
            reason,
        })?;
        Ok(stream)
    }

    /// The addresses of a host that may be connected to.
    async fn addresses(
        &self,
        shown: &str,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Error> {
        let lookup = |source| Error::Lookup { host: shown.to_owned(), source };
        let found = tokio::net::lookup_host((host, port)).await.map_err(lookup)?;
        self.permitted(shown, found.collect())
    }

    /// Whether not all addresses may be connected to.
    pub(crate) fn is_restricted(&self) -> bool {
        self.public_only.is_some() || self.rules.is_some()
    }

    /// Those of the addresses of a host that may be connected to. None of none.
    ///
    /// # Errors
    ///
    /// [`Error::NotPublic`] or [`Error::NotAllowed`] if it has addresses and none may be.
    pub(crate) fn permitted(
        &self,
        shown: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Some(advice) = self.public_only
            && let Some(first) = addresses.first().map(SocketAddr::ip)
        {
            addresses.retain(|address| public::is_public(address.ip()));
            if addresses.is_empty() {
                return Err(Error::NotPublic { host: shown.to_owned(), address: first, advice });
            }
        }
        if let Some(ReachRules { rules, advice }) = &self.rules
            && let Some(first) = addresses.first().map(SocketAddr::ip)
        {
            addresses.retain(|address| rules.allow(address.ip(), public::is_public));
            if addresses.is_empty() {
                return Err(Error::NotAllowed { host: shown.to_owned(), address: first, advice });
            }
        }
        Ok(addresses)
    }

    async fn tcp(&self, endpoint: &Endpoint) -> Result<TcpStream, Error> {
        let began = Instant::now();
        let host = endpoint.bare_host();
        let addresses = self.addresses(&endpoint.host, host, endpoint.port).await?;
        let all = addresses.iter().map(SocketAddr::ip).collect();
        self.note(|steps| steps.lookup = Some(DialStep::since(began, all)));
        let began = Instant::now();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        let count = addresses.len();
        for (at, address) in addresses.into_iter().enumerate() {
            let patience = if at + 1 == count { LAST_ADDRESS } else { PER_ADDRESS };
            match timeout(patience, dial(address)).await {
                Ok(Ok(stream)) => {
                    self.note(|steps| steps.connected = Some(DialStep::since(began, address)));
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Error::Connect { host: endpoint.host.clone(), port: endpoint.port, source: last })
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
