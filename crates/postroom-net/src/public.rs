//! Which addresses belong to the public internet.
//!
//! Standards: RFC 6890 (the registries of special addresses), RFC 6052 §2.1 (IPv4 addresses within
//! IPv6 ones).

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// Networks of IPv4 that are not public: their first address and the length of the prefix.
const SPECIAL: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by the customers of a provider.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Groups, then all that is reserved, with the address of all.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Whether an address is one of the public internet, not of this host, this network, or a special
/// purpose. An address of IPv4 within one of IPv6 counts as what it is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_within = |(network, length): (Ipv4Addr, u32)| {
        let mask = u32::MAX << (32 - length);
        address.to_bits() & mask == network.to_bits()
    };
    !SPECIAL.into_iter().any(is_within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // A translator takes it to the address of IPv4 at its end.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            let [.., a, b, c, d] = address.octets();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocols and tunnels, documentation, 6to4, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Only these are given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        #[rustfmt::skip]
        let table = [
            ("8.8.8.8",                 true),
            ("100.63.255.255",          true),
            ("100.128.0.0",             true),
            ("172.15.0.1",              true),
            ("172.32.0.1",              true),
            ("223.255.255.255",         true),
            ("0.0.0.0",                 false),
            ("0.1.2.3",                 false),
            ("10.1.2.3",                false),
            ("100.64.0.1",              false),
            ("100.127.255.255",         false),
            ("127.0.0.1",               false),
            ("127.9.9.9",               false),
            ("169.254.169.254",         false),
            ("172.16.0.1",              false),
            ("172.31.255.255",          false),
            ("192.0.0.1",               false),
            ("192.168.1.1",             false),
            ("198.19.0.1",              false),
            ("224.0.0.1",               false),
            ("255.255.255.255",         false),
            ("2a00:1450:4001::1",       true),
            ("2606:4700::1",            true),
            ("::",                      false),
            ("::1",                     false),
            ("::ffff:127.0.0.1",        false),
            ("::ffff:10.0.0.1",         false),
            ("::ffff:8.8.8.8",          true),
            ("::7f00:1",                false),
            ("64:ff9b::7f00:1",         false),
            ("64:ff9b::a9fe:a9fe",      false),
            ("64:ff9b::808:808",        true),
            ("64:ff9b:1::808:808",      false),
            ("2001::1",                 false),
            ("2001:db8::1",             false),
            ("2002:7f00:1::1",          false),
            ("3fff::1",                 false),
            ("fc00::1",                 false),
            ("fd12:3456::1",            false),
            ("fe80::1",                 false),
            ("fec0::1",                 false),
            ("ff02::1",                 false),
            ("100::1",                  false),
        ];
        for (address, want) in table {
            assert_eq!(is_public(address.parse().unwrap()), want, "{address}");
        }
    }
}
