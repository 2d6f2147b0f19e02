//! The proxies whose word about the address of a client is taken.
//!
//! ```text
//!   client 203.0.113.5 ─► proxy 10.0.0.7 ─► Postroom
//!   X-Forwarded-For: 198.51.100.1, 203.0.113.5      anybody can write the first address
//! ```
//! Each proxy adds the address that it was called from at the end. So the list is read from the
//! end, and the first address that is no trusted proxy is the client. What is before it was written
//! by the client itself.

use axum::http::HeaderMap;
use axum::http::HeaderName;
use postroom_model::Subnet;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Something in the list of proxies is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{network}` is neither an address nor a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8"
)]
pub struct NoProxy {
    network: String,
}

/// The proxies. By default none.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Arc<[Subnet]>,
}

impl TrustedProxies {
    /// Trusts what has these addresses, or is in these networks.
    ///
    /// # Errors
    ///
    /// When one of them is neither an address nor a network.
    pub fn new(networks: &[String]) -> Result<Self, NoProxy> {
        let read =
            |network: &String| network.parse().map_err(|_| NoProxy { network: network.clone() });
        let networks: Result<Vec<_>, _> = networks.iter().map(read).collect();
        Ok(Self { networks: networks?.into() })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Whether a trusted proxy says that the client of a request speaks https with it.
    #[must_use]
    pub(crate) fn say_https(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        let said = headers.get(FORWARDED_PROTO).and_then(|field| field.to_str().ok());
        let first = said.and_then(|said| said.split(',').next()).map(str::trim);
        self.trusts(peer.ip().to_canonical())
            && first.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// The address of the client of a request that came from `peer`. Its port is 0 if a proxy told
    /// it.
    #[must_use]
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut client = peer.ip().to_canonical();
        if !self.trusts(client) {
            return peer;
        }
        let lists = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            // Nobody knows who is behind a hop that cannot be read.
            let Some(address) = address(hop.trim()) else {
                break;
            };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        SocketAddr::new(client, 0)
    }
}

/// An address in one of the forms that proxies write, some of them with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn proxies(networks: &[&str]) -> Result<TrustedProxies, NoProxy> {
        let networks: Vec<_> = networks.iter().map(|text| (*text).to_owned()).collect();
        TrustedProxies::new(&networks)
    }

    #[test]
    fn only_a_trusted_proxy_says_that_the_client_speaks_https() {
        let proxies = TrustedProxies::new(&["10.0.0.0/8".to_owned()]).unwrap();
        let says = |peer: &str, scheme: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PROTO, scheme.parse().unwrap());
            proxies.say_https(SocketAddr::new(peer.parse().unwrap(), 1), &headers)
        };
        assert!(says("10.0.0.7", "https") && says("::ffff:10.0.0.7", "HTTPS, http"));
        assert!(!says("10.0.0.7", "http") && !says("192.0.2.1", "https"));
        let peer = SocketAddr::new("10.0.0.7".parse().unwrap(), 1);
        assert!(!proxies.say_https(peer, &HeaderMap::new()));
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        let proxies = proxies(&["10.0.0.0/8", "fd00::/8", "192.0.2.1"]).unwrap();
        #[rustfmt::skip]
        let table: &[(&str, &[&str], &str)] = &[
            // The peer, the header fields, and the client.
            ("203.0.113.5",     &["198.51.100.1"],                    "203.0.113.5"),
            ("10.0.0.7",        &[],                                  "10.0.0.7"),
            ("10.0.0.7",        &["203.0.113.5"],                     "203.0.113.5"),
            ("::ffff:10.0.0.7", &["203.0.113.5"],                     "203.0.113.5"),
            ("10.0.0.7",        &["198.51.100.1, 203.0.113.5"],       "203.0.113.5"),
            ("10.0.0.7",        &["203.0.113.5, 10.9.9.9,192.0.2.1"], "203.0.113.5"),
            ("10.0.0.7",        &["198.51.100.1", "203.0.113.5"],     "203.0.113.5"),
            ("192.0.2.1",       &["203.0.113.5:4711"],                "203.0.113.5"),
            ("192.0.2.2",       &["203.0.113.5"],                     "192.0.2.2"),
            ("fd00::1",         &["[2001:db8::5]:4711"],              "2001:db8::5"),
            ("fd00::1",         &["[2001:db8::5]"],                   "2001:db8::5"),
            ("fd00::1",         &["::ffff:203.0.113.5"],              "203.0.113.5"),
            ("10.0.0.7",        &["203.0.113.5, unknown"],            "10.0.0.7"),
            ("10.0.0.7",        &["203.0.113.5, unknown, 10.0.0.8"],  "10.0.0.8"),
            ("10.0.0.7",        &["\u{e9}"],                          "10.0.0.7"),
            ("10.0.0.7",        &["10.0.0.9, 10.0.0.8"],              "10.0.0.9"),
        ];
        for (peer, fields, want) in table {
            let mut headers = HeaderMap::new();
            for field in *fields {
                headers.append(FORWARDED_FOR, HeaderValue::from_bytes(field.as_bytes()).unwrap());
            }
            let peer = SocketAddr::new(peer.parse().unwrap(), 4000);
            let client = proxies.client(peer, &headers).ip();
            assert_eq!(client, want.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
        }
    }

    #[test]
    fn a_network_is_an_address_or_has_a_prefix() {
        for good in ["0.0.0.0/0", "::/0", "10.0.0.7/32", "::1", "fe80::/10"] {
            assert!(proxies(&[good]).is_ok(), "{good}");
        }
        let anywhere = proxies(&["0.0.0.0/0"]).unwrap();
        assert!(anywhere.trusts("8.8.8.8".parse().unwrap()));
        assert!(!anywhere.trusts("::1".parse().unwrap()));
        for bad in ["", "proxy.example", "10.0.0.0/33", "::/129", "10.0.0.7/", "10.0.0.7:80", "/8"]
        {
            let error = proxies(&["::1", bad]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{bad}` is neither")), "{error}");
        }
    }
}
