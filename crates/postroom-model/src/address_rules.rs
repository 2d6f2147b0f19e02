//! Networks of addresses, as `10.0.0.0/8`, `fd00::/8` or `192.0.2.7`, and lists of them that allow
//! or deny.
//!
//! Standards: RFC 4632 (CIDR), RFC 4291 §2.3, RFC 6052 §2.1 and RFC 3056 §2 (addresses of IPv4
//! within those of IPv6).

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A network by its address and the length of its prefix. It has only addresses of its own family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u32,
}

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is neither an address nor a network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8")]
pub struct NoSubnet;

impl FromStr for Subnet {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoSubnet)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |prefix: &&str| prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            Some(prefix) => Some(prefix).filter(is_number).and_then(|prefix| prefix.parse().ok()),
            None => Some(longest),
        };
        let prefix = prefix.filter(|prefix| *prefix <= longest).ok_or(NoSubnet)?;
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Subnet {
    /// Whether it has this address.
    #[must_use]
    pub fn has(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What a list of allowed networks has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AllowedSubnet {
    /// The addresses of the public internet: the word `public`.
    Public,
    /// A network.
    One(Subnet),
}

impl FromStr for AllowedSubnet {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        if text == "public" { Ok(Self::Public) } else { text.parse().map(Self::One) }
    }
}

/// Which addresses may be reached.
///
/// A denied network is never reached. If there is a list of allowed ones, nothing else is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// What may be reached. `None`: everything that is not denied.
    pub allowed: Option<Vec<AllowedSubnet>>,
    /// What may not be reached.
    pub denied: Vec<Subnet>,
}

impl AddressRules {
    /// Whether they refuse no address.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allowed.is_none() && self.denied.is_empty()
    }

    /// Whether an address may be reached. `is_public` says whether one belongs to the public
    /// internet. An address of IPv4 within one of IPv6 is looked for too: none is a way around a
    /// denied network.
    #[must_use]
    pub fn allow(&self, address: IpAddr, is_public: impl Fn(IpAddr) -> bool) -> bool {
        let address = address.to_canonical();
        let inner = inner(address).map(IpAddr::V4);
        let is_denied = |address| self.denied.iter().any(|network| network.has(address));
        if is_denied(address) || inner.is_some_and(is_denied) {
            return false;
        }
        let Some(allowed) = &self.allowed else { return true };
        allowed.iter().any(|one| match one {
            AllowedSubnet::Public => is_public(address),
            AllowedSubnet::One(network) => network.has(address),
        })
    }
}

/// The address of IPv4 to which a translator or a tunnel takes one of IPv6.
fn inner(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let [.., a, b, c, d] = address.octets();
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_and_has_its_addresses() {
        #[rustfmt::skip]
        let table = [
            ("10.0.0.0/8",      "10.255.0.1",       true),
            ("10.0.0.0/8",      "11.0.0.1",         false),
            ("10.9.9.9/8",      "10.0.0.1",         true),
            ("192.0.2.7",       "192.0.2.7",        true),
            ("192.0.2.7",       "192.0.2.6",        false),
            ("0.0.0.0/0",       "255.255.255.255",  true),
            ("0.0.0.0/0",       "::1",              false),
            ("::/0",            "::1",              true),
            ("fd00::/8",        "fd12::1",          true),
            ("fd00::/8",        "fe80::1",          false),
            ("2001:db8::/127",  "2001:db8::1",      true),
            ("2001:db8::/127",  "2001:db8::2",      false),
        ];
        for (network, address, want) in table {
            let read: Subnet = network.parse().unwrap();
            assert_eq!(read.has(address.parse().unwrap()), want, "{network} {address}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for odd in ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "a/8", "public"]
        {
            assert_eq!(odd.parse::<Subnet>(), Err(NoSubnet), "{odd}");
        }
        assert_eq!("public".parse(), Ok(AllowedSubnet::Public));
    }

    #[test]
    fn denied_wins_and_a_list_of_allowed_ones_closes_the_rest() {
        let rules = |allowed: Option<&[&str]>, denied: &[&str]| AddressRules {
            allowed: allowed.map(|all| all.iter().map(|one| one.parse().unwrap()).collect()),
            denied: denied.iter().map(|one| one.parse().unwrap()).collect(),
        };
        // Whatever begins with 8 is public in this test.
        let is_public = |address: IpAddr| address.to_string().starts_with('8');
        let private = rules(None, &["10.0.0.0/8"]);
        let strict = rules(Some(&["public", "10.1.0.0/16", "64:ff9b::/96"]), &["10.1.9.0/24"]);
        #[rustfmt::skip]
        let table = [
            (&private, "10.1.2.3",              false),
            (&private, "11.1.2.3",              true),
            (&private, "::ffff:10.1.2.3",       false),
            (&private, "64:ff9b::a01:203",      false),
            (&private, "2002:a01:203::1",       false),
            (&private, "::a01:203",             false),
            (&private, "2002:b01:203::1",       true),
            (&private, "::1",                   true),
            (&strict,  "8.8.8.8",               true),
            (&strict,  "::ffff:8.8.8.8",        true),
            (&strict,  "10.1.2.3",              true),
            (&strict,  "10.1.9.3",              false),
            (&strict,  "64:ff9b::a01:903",      false),
            (&strict,  "64:ff9b::a01:203",      true),
            (&strict,  "10.2.0.1",              false),
            (&strict,  "127.0.0.1",             false),
        ];
        for (rules, address, want) in table {
            assert_eq!(rules.allow(address.parse().unwrap(), is_public), want, "{address}");
        }
        assert!(AddressRules::default().is_open() && !private.is_open() && !strict.is_open());
    }
}
