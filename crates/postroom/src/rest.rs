//! How `serve` offers REST: the certificate of its listener, and what clients may do.

use crate::secrets;
use anyhow::Context;
use anyhow::bail;
use clap::Args;
use postroom_api::Limits;
use postroom_api::Origins;
use postroom_api::TrustedProxies;
use postroom_net::Certificates;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// How REST is offered.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct RestArguments {
    /// A file with the certificate of REST, and those between it and its authority (PEM). REST is
    /// https then. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// A file with the key of that certificate (PEM, without a password).
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// An origin (scheme, host and port) whose pages may use REST in a browser; may be repeated. *
    /// stands for all (default: none).
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Vec<String>,
    /// A proxy before REST, or a network of proxies, whose X-Forwarded-For names the client; may be
    /// repeated (default: none, and that field is ignored).
    #[arg(long, value_name = "ADDRESS")]
    pub trusted_proxy: Vec<String>,
    /// How many requests a token may send in each second, 1 or more (default: any number).
    #[arg(long, value_name = "COUNT")]
    pub requests_per_second: Option<NonZeroU32>,
}

impl RestArguments {
    /// These, and those of the configuration file where an argument is missing.
    pub(crate) fn or(self, file: Self) -> Self {
        let either = |own: Vec<String>, file| if own.is_empty() { file } else { own };
        Self {
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            cors_origin: either(self.cors_origin, file.cors_origin),
            trusted_proxy: either(self.trusted_proxy, file.trusted_proxy),
            requests_per_second: self.requests_per_second.or(file.requests_per_second),
        }
    }

    /// What clients may send.
    pub(crate) fn limits(&self) -> Limits {
        Limits { requests_per_second: self.requests_per_second, ..Limits::default() }
    }

    /// The origins whose pages may use REST.
    pub(crate) fn origins(&self) -> anyhow::Result<Origins> {
        Origins::new(&self.cors_origin).context("cors_origin (--cors-origin)")
    }

    /// The proxies whose word about the address of a client is taken.
    pub(crate) fn proxies(&self) -> anyhow::Result<TrustedProxies> {
        TrustedProxies::new(&self.trusted_proxy).context("trusted_proxy (--trusted-proxy)")
    }

    /// The certificate of the listener. `None`: it speaks no TLS.
    pub(crate) fn certificates(&self) -> anyhow::Result<Option<Certificates>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                secrets::warn_if_open("--tls-key", key);
                let opened = Certificates::open(certificate, key);
                Ok(Some(opened.context("certificate of REST (--tls-cert, --tls-key)")?))
            }
            (None, None) => Ok(None),
            (Some(_), None) => bail!("--tls-cert needs the key of the certificate: --tls-key FILE"),
            (None, Some(_)) => bail!("--tls-key needs its certificate: --tls-cert FILE"),
        }
    }
}
