//! Questions to the DNS: the records that say where a domain has its mail servers.
//!
//! The resolver is that of the system, or a server that an argument names. If there is a proxy for
//! all connections, that server is asked by TCP through it, and the resolver of the system is not
//! asked. Each question has a deadline, and a bounded number of answers.
//!
//! Standards: RFC 1035, RFC 2782 (SRV).

use crate::dialer::Dialer;
use crate::endpoint::Endpoint;
use crate::endpoint::Security;
use crate::proxy::Proxy;
use crate::reach::HostReach;
use hickory_resolver::Resolver;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::runtime::TokioHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::runtime::TokioTime;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::proto::rr::RData;
use postroom_model::autoconfig_server::SrvRecord;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How long the answer to one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many records of an answer are read.
const RECORDS_MAX: usize = 32;

/// Why there is no answer. That a name does not exist is an answer.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The resolver of the system cannot be used.
    #[error("the resolver of the system cannot be used: name one with --dns-server")]
    NoResolver(#[source] Box<NetError>),
    /// All connections go through a proxy, and no server is named that can be asked through it.
    #[error(
        "the DNS is not asked, because the configuration has a proxy: name a DNS server with \
         --dns-server, which is asked by TCP through the proxy"
    )]
    NotPastProxy,
    /// The server gives no answer that can be read.
    #[error("the DNS gives no answer for {name}: check the name, and the resolver of this host")]
    NoAnswer {
        /// What was asked for.
        name: String,
        /// Why.
        #[source]
        source: Box<NetError>,
    },
    /// It took too long.
    #[error(
        "the DNS gives no answer for {name} within 5 seconds: check the resolver of this host, or \
         name another one with --dns-server"
    )]
    Timeout {
        /// What was asked for.
        name: String,
    },
}

/// An MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MxRecord {
    /// The lowest one comes first.
    pub preference: u16,
    /// The host, without a dot at its end. Empty: the domain takes no mail (RFC 7505).
    pub exchange: String,
}

/// Asks the DNS. Clones share everything.
#[derive(Clone)]
pub struct DnsClient(Resolver<DnsRuntime>);

impl fmt::Debug for DnsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DnsClient")
    }
}

impl DnsClient {
    /// One that asks this server, through the proxy of the dialer if it has one. `None`: those of
    /// the system. The rules of the dialer do not count, because whoever runs Postroom has named
    /// the server.
    ///
    /// # Errors
    ///
    /// The resolver of the system cannot be used, or would be asked past the proxy.
    pub fn new(server: Option<SocketAddr>, dialer: &Dialer) -> Result<Self, DnsError> {
        let unusable = |error: NetError| DnsError::NoResolver(Box::new(error));
        let proxy = dialer.reach().proxy.clone();
        let is_proxied = proxy.is_some();
        let runtime = DnsRuntime { direct: TokioRuntimeProvider::default(), proxy };
        let mut builder = match server {
            Some(at) => {
                let mut ways = vec![ConnectionConfig::tcp()];
                if !is_proxied {
                    ways.insert(0, ConnectionConfig::udp());
                }
                for way in &mut ways {
                    way.port = at.port();
                }
                let server = NameServerConfig::new(at.ip(), true, ways);
                let config = ResolverConfig::from_name_servers(vec![server]);
                Resolver::builder_with_config(config, runtime)
            }
            None if is_proxied => return Err(DnsError::NotPastProxy),
            None => Resolver::builder(runtime).map_err(unusable)?,
        };
        let options = builder.options_mut();
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.cache_size = 0;
        if server.is_some() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        builder.build().map(Self).map_err(unusable)
    }

    /// The SRV records of a name.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, DnsError> {
        let found = self.answer(name, self.0.srv_lookup(whole(name))).await?;
        let found = found.map(|found| {
            let records = found.answers().iter().filter_map(|record| {
                let RData::SRV(srv) = &record.data else { return None };
                Some(SrvRecord {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                })
            });
            records.take(RECORDS_MAX).collect()
        });
        Ok(found.unwrap_or_default())
    }

    /// The MX records of a domain, the first one first.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn mx(&self, domain: &str) -> Result<Vec<MxRecord>, DnsError> {
        let found = self.answer(domain, self.0.mx_lookup(whole(domain))).await?;
        let found = found.map(|found| {
            let records = found.answers().iter().filter_map(|record| {
                let RData::MX(mx) = &record.data else { return None };
                let exchange = mx.exchange.to_ascii();
                Some(MxRecord {
                    preference: mx.preference,
                    exchange: exchange.trim_end_matches('.').to_ascii_lowercase(),
                })
            });
            let mut records: Vec<_> = records.take(RECORDS_MAX).collect();
            records.sort_by(|one, two| {
                (one.preference, &one.exchange).cmp(&(two.preference, &two.exchange))
            });
            records
        });
        Ok(found.unwrap_or_default())
    }

    /// The addresses of a host. None: it does not exist.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let found = self.answer(host, self.0.lookup_ip(whole(host))).await?;
        Ok(found.map(|found| found.iter().take(RECORDS_MAX).collect()).unwrap_or_default())
    }

    /// An answer. `None`: there are no such records.
    async fn answer<T>(
        &self,
        name: &str,
        question: impl Future<Output = Result<T, NetError>>,
    ) -> Result<Option<T>, DnsError> {
        let name = name.to_owned();
        match timeout(ANSWER_WITHIN, Box::pin(question)).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) if error.is_nx_domain() || error.is_no_records_found() => Ok(None),
            Ok(Err(source)) => Err(DnsError::NoAnswer { name, source: Box::new(source) }),
            Err(_) => Err(DnsError::Timeout { name }),
        }
    }
}

/// How the resolver connects: by TCP through the proxy, if there is one.
#[derive(Clone)]
struct DnsRuntime {
    direct: TokioRuntimeProvider,
    proxy: Option<Arc<Proxy>>,
}

impl RuntimeProvider for DnsRuntime {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.direct.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        own: Option<SocketAddr>,
        within: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let Some(proxy) = self.proxy.clone() else {
            return self.direct.connect_tcp(server, own, within);
        };
        Box::pin(async move {
            let reach = HostReach { proxy: Some(proxy), ..HostReach::default() };
            let (host, port) = (server.ip().to_string(), server.port());
            let endpoint = Endpoint { host, port, security: Security::None };
            let connected =
                timeout(within.unwrap_or(ANSWER_WITHIN), reach.plain(&endpoint)).await?;
            connected.map(AsyncIoTokioAsStd).map_err(io::Error::other)
        })
    }

    fn bind_udp(
        &self,
        own: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        if self.proxy.is_none() {
            return self.direct.bind_udp(own, server);
        }
        // No way of the configuration leads here.
        Box::pin(async { Err(io::Error::other("a proxy does not take questions by UDP")) })
    }
}

/// A name that no search domain of the system is added to.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
