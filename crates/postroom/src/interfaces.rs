//! The network interfaces of this host.

use nix::ifaddrs::getifaddrs;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv6Addr;

/// The network interfaces of a host, with their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interfaces(BTreeMap<String, Vec<IpAddr>>);

impl Interfaces {
    /// Those that this host has now.
    pub(crate) fn of_host() -> std::io::Result<Self> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for entry in getifaddrs()? {
            let addresses = all.entry(entry.interface_name).or_default();
            let Some(address) = entry.address else { continue };
            let v4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
            let v6 = address.as_sockaddr_in6().map(|found| IpAddr::V6(found.ip()));
            addresses.extend(v4.or(v6));
        }
        Ok(Self(all))
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The addresses of one that other hosts can use without the name of an interface of their own
    /// (not link-local, RFC 4291 §2.5.6).
    ///
    /// # Errors
    ///
    /// When there is no such interface, or it has no such address.
    pub(crate) fn addresses_of(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let Some(all) = self.0.get(name) else {
            let names = self.names().join(", ");
            return Err(format!("this host has no network interface `{name}` (it has {names})"));
        };
        let is_usable = |address: &&IpAddr| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !Ipv6Addr::is_unicast_link_local(v6),
        };
        let usable: Vec<_> = all.iter().filter(is_usable).copied().collect();
        if usable.is_empty() {
            return Err(format!("the network interface `{name}` of this host has no address"));
        }
        Ok(usable)
    }
}

#[cfg(test)]
impl Interfaces {
    /// A host with this one.
    pub(crate) fn of(name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self(BTreeMap::from([(name.to_owned(), addresses)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_loopback() {
        let addresses = Interfaces::of_host().unwrap().addresses_of("lo").unwrap();
        assert!(addresses.contains(&"127.0.0.1".parse().unwrap()), "{addresses:?}");
    }

    #[test]
    fn what_cannot_be_listened_on_is_named() {
        let link_local = "fe80::1".parse().unwrap();
        let own = "fd00::2".parse().unwrap();
        let all = [("lo", vec![]), ("eth0", vec![link_local, own]), ("eth1", vec![link_local])];
        let all = Interfaces(all.into_iter().map(|(name, at)| (name.to_owned(), at)).collect());
        assert_eq!(all.addresses_of("eth0").unwrap(), [own]);
        let told = |name| all.addresses_of(name).unwrap_err();
        let none = "this host has no network interface `eth9` (it has eth0, eth1, lo)";
        assert_eq!(told("eth9"), none);
        assert_eq!(told("eth1"), "the network interface `eth1` of this host has no address");
    }
}
