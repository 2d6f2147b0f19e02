//! Why there is no connection, in words that a person can act on.

use std::io;
use std::net::IpAddr;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of the host has no address.
    #[error("the host {host} has no address: check the name, and the resolver of this host")]
    Lookup {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The host is not on the public internet, and only such hosts are wanted.
    #[error("{}, which is no address of the public internet: {advice}", named(.host, *.address))]
    NotPublic {
        /// The host.
        host: String,
        /// Its first address.
        address: IpAddr,
        /// What to do.
        advice: &'static str,
    },
    /// The configuration allows no address of the host.
    #[error("{host} is {address}, which the configuration does not allow: {advice}")]
    NotAllowed {
        /// The host.
        host: String,
        /// Its first address.
        address: IpAddr,
        /// What to do.
        advice: &'static str,
    },
    /// No address of the host accepts the connection.
    #[error("{host} does not accept connections on port {port}: check host, port and firewall")]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why, of the last address tried.
        source: io::Error,
    },
    /// The login at the proxy cannot be had.
    #[error("the password at the proxy of the profile cannot be had: {reason}")]
    ProxyLogin {
        /// Why, and what to do.
        reason: String,
    },
    /// The proxy does not make the connection.
    #[error("the proxy {proxy} does not connect to {host}:{port}: {reason}")]
    Proxy {
        /// The proxy, with its port.
        proxy: String,
        /// The host of the mail server.
        host: String,
        /// Its port.
        port: u16,
        /// Why, and what to do.
        reason: String,
    },
    /// It took too long.
    #[error("{host}:{port} did not answer in time ({phase}): check port, security and firewall")]
    Timeout {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What was waited for.
        phase: &'static str,
    },
    /// The certificate of the server was refused.
    #[error("the certificate of {host} is not accepted: {reason}")]
    Certificate {
        /// The host.
        host: String,
        /// Why, and what to do.
        reason: String,
    },
    /// TLS failed.
    #[error("TLS with {host} failed: {reason}")]
    Handshake {
        /// The host.
        host: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No certificate can be made for this host name.
    #[error(
        "{host} is not a host name or IP address that a certificate can be issued for: check \
             the host"
    )]
    Name {
        /// The host.
        host: String,
    },
    /// The certificates to trust cannot be used.
    #[error("the certificates to trust cannot be used: {reason}")]
    Trust {
        /// Why, and what to do.
        reason: String,
    },
}

/// The host and its address, once if the host is the address.
fn named(host: &str, address: IpAddr) -> String {
    match host.trim_matches(['[', ']']).parse() == Ok(address) {
        true => address.to_string(),
        false => format!("{host} is {address}"),
    }
}
