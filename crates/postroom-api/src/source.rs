//! The source of a request: how clients are told apart.

use std::net::IpAddr;
use std::net::Ipv6Addr;

/// The network that counts as one source: an IPv4 address, or the first 64 bits of IPv6.
#[must_use]
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}
