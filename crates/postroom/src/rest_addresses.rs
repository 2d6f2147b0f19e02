//! Where REST listens: on the address that the arguments give, or on those of the network interface
//! that the configuration names for this instance, at the same port.
//!
//! If that interface is not there, REST stays reachable where the arguments say, and this says so.

use crate::interfaces::Interfaces;
use crate::listen_address::is_beyond_this_host;
use postroom_api::RestListeners;
use std::net::SocketAddr;

/// Where REST listens.
#[derive(Debug)]
pub(crate) struct RestAddresses {
    listeners: RestListeners,
    /// What the arguments give.
    given: SocketAddr,
    /// Whether clients speak TLS there.
    is_secure: bool,
    /// What was wrong at the last look.
    problem: Option<String>,
}

impl RestAddresses {
    /// It listens on what the arguments give.
    pub(crate) fn new(listeners: RestListeners, given: SocketAddr, is_secure: bool) -> Self {
        Self { listeners, given, is_secure, problem: None }
    }

    /// Where it listens now.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Where REST is, for people: its first address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", self.all().first().unwrap_or(&self.given))
    }

    /// Listens where it should now. Returns what is wrong, and what to do.
    pub(crate) fn listen(&mut self, iface: Option<&str>, host: &Interfaces) -> Option<String> {
        let found = iface.map(|name| host.addresses_of(name)).transpose();
        let (wanted, missing) = match found {
            Ok(None) => (vec![self.given], None),
            Ok(Some(found)) => {
                let port = self.given.port();
                (found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(), None)
            }
            Err(missing) => (vec![self.given], Some(missing)),
        };
        let before = self.all();
        let refused = self.listeners.replace(&wanted).err();
        let now = self.all();
        let listed =
            |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if now != before {
            let (before, now) = (listed(&before), listed(&now));
            tracing::info!(before, now, "REST listens elsewhere than before");
            self.warn_of_plain();
        }
        let problem = match (missing, refused) {
            (None, None) => None,
            (Some(missing), None) => Some(format!(
                "{missing}, but the configuration names it: REST listens on {} as the arguments \
                 say; correct `iface` with PATCH /rest/v1/config",
                listed(&now)
            )),
            (missing, Some(error)) => Some(format!(
                "{}REST cannot listen on {} ({error}): it listens on {}, and this is tried again",
                missing.map(|missing| format!("{missing}; ")).unwrap_or_default(),
                listed(&wanted),
                listed(&now)
            )),
        };
        if problem != self.problem {
            match &problem {
                Some(problem) => tracing::error!("{problem}"),
                None => tracing::info!("REST listens where the configuration says"),
            }
            self.problem.clone_from(&problem);
        }
        problem
    }

    /// Warns if other hosts can reach it without TLS.
    pub(crate) fn warn_of_plain(&self) {
        let far = self.all().into_iter().find(|address| is_beyond_this_host(*address));
        if let Some(address) = far.filter(|_| !self.is_secure) {
            tracing::warn!(
                %address,
                "other hosts can reach REST without TLS, so tokens and mail can be read on the \
                 way: give --tls-cert and --tls-key, listen on loopback behind a proxy that speaks \
                 TLS, or use a private network"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn opened() -> (RestAddresses, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let given = listener.local_addr().unwrap();
        (RestAddresses::new(listener.into(), given, false), given)
    }

    #[tokio::test]
    async fn an_interface_decides_and_one_that_vanishes_leaves_it_reachable() {
        let (mut rest, given) = opened().await;
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), given.port());
        let host = |ips: &[&str]| Interfaces::of("web0", ips);
        assert_eq!(rest.listen(None, &host(&[])), None);
        assert_eq!(rest.all(), [given]);
        assert_eq!(rest.listen(Some("web0"), &host(&["127.0.0.2", "127.0.0.3"])), None);
        assert_eq!(rest.all(), [at("127.0.0.2"), at("127.0.0.3")]);
        // Another address of it, none, and no interface.
        assert_eq!(rest.listen(Some("web0"), &host(&["127.0.0.4"])), None);
        assert_eq!(rest.all(), [at("127.0.0.4")]);
        let problem = rest.listen(Some("web0"), &host(&[])).unwrap();
        assert!(problem.contains("`web0` of this host has no address"), "{problem}");
        assert_eq!(rest.all(), [given]);
        let problem = rest.listen(Some("web1"), &host(&["127.0.0.4"])).unwrap();
        assert!(problem.contains("no network interface `web1` (it has web0)"), "{problem}");
        assert!(problem.contains(&format!("listens on {given} as the arguments say")), "{problem}");
        assert_eq!(rest.listen(Some("web0"), &host(&["127.0.0.4"])), None);
        assert_eq!(rest.all(), [at("127.0.0.4")]);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told_and_tried_again() {
        let (mut rest, given) = opened().await;
        let other = TcpListener::bind(("127.0.0.5", given.port())).await.unwrap();
        let host = Interfaces::of("web0", &["127.0.0.5"]);
        let problem = rest.listen(Some("web0"), &host).unwrap();
        assert!(problem.contains("cannot listen on 127.0.0.5"), "{problem}");
        assert_eq!(rest.all(), [given]);
        drop(other);
        assert_eq!(rest.listen(Some("web0"), &host), None);
        assert_eq!(rest.all()[0].ip().to_string(), "127.0.0.5");
    }
}
