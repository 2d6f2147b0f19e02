//! The address on which REST listens.

use anyhow::anyhow;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// Why the address cannot be used, and what to do.
pub(crate) fn cannot_listen(listen: &str, error: std::io::Error) -> anyhow::Error {
    let table = [
        (ErrorKind::AddrInUse, "another process uses this port; choose another with --listen"),
        (ErrorKind::InvalidInput, "--listen takes HOST:PORT, such as 127.0.0.1:8025"),
        (
            ErrorKind::AddrNotAvailable,
            "this host does not have this address; choose another with --listen",
        ),
        (
            ErrorKind::PermissionDenied,
            "ports below 1024 need a privilege; choose another with --listen",
        ),
    ];
    match table.iter().find(|(kind, _)| *kind == error.kind()) {
        Some((_, advice)) => anyhow!("cannot listen on {listen}: {advice}"),
        None => anyhow::Error::new(error).context(format!("cannot listen on {listen}")),
    }
}

/// Whether other hosts can reach an address that we listen on.
pub(crate) fn is_beyond_this_host(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_known() {
        for near in ["127.0.0.1:80", "127.9.9.9:1", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(!is_beyond_this_host(near.parse().unwrap()), "{near}");
        }
        for far in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[fe80::1]:80"] {
            assert!(is_beyond_this_host(far.parse().unwrap()), "{far}");
        }
    }
}
