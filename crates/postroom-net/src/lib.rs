//! Connections: name lookup, TCP, TLS, and the words of SASL.
//!
//! ```text
//!   Dialer ──connect──► Stream (plain or TLS) ──start_tls──► Stream (TLS)
//!     └─ Network, where a simulation hands one in: connections in memory
//! ```
//! Certificates are always verified. Each error says what is wrong and what a person can do.

#![warn(unreachable_pub)]

mod cause;

mod error;

mod endpoint;

mod credentials;

pub mod bearer;

mod network;

mod stream;

mod sasl_error;

pub mod sasl;

mod public;

mod certificate;

mod proxy;

mod dial_log;

mod trust;

mod reach;

mod dial_manner;

mod dialer;

mod dns;

mod certificate_end;

mod certificates;

pub use cause::cause;
pub use certificate::CertificateFacts;
pub use certificates::CertificateError;
pub use certificates::Certificates;
pub use credentials::Credentials;
pub use credentials::Secret;
pub use dial_log::DialLog;
pub use dial_log::DialStep;
pub use dial_log::DialSteps;
pub use dial_log::SeenCertificate;
pub use dial_manner::DialManner;
pub use dialer::Dialer;
pub use dialer::TlsMinimum;
pub use dns::DnsClient;
pub use dns::DnsError;
pub use dns::MxRecord;
pub use endpoint::Endpoint;
pub use endpoint::Security;
pub use error::Error;
pub use network::Dialed;
pub use network::Network;
pub use proxy::Proxy;
pub use proxy::ProxyLogin;
pub use proxy::ProxyProtocol;
pub use sasl_error::SaslError;
pub use stream::ChannelBinding;
pub use stream::Stream;
pub use trust::Trust;
