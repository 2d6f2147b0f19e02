//! How connections to mail servers are made: whom they trust, and how this host names itself.

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use postroom_engine::Dialing;
use postroom_model::Configuration;
use postroom_model::ConfiguredProxy;
use postroom_model::proxy::ProxyAddress;
use postroom_model::proxy::ProxyScheme;
use postroom_net::Dialer;
use postroom_net::Proxy;
use postroom_net::ProxyLogin;
use postroom_net::ProxyProtocol;
use postroom_net::Trust;
use postroom_store::Store;
use std::path::Path;
use std::sync::Arc;

/// How connections are made, with the certificates that the file has now, and these in PEM.
pub(crate) fn of(
    trust_ca: Option<&Path>,
    authorities: &[&str],
    ehlo_name: Option<&str>,
) -> anyhow::Result<Dialing> {
    let mut trust = trust(trust_ca)?;
    for pem in authorities {
        trust.extra_ca_pem.push(b'\n');
        trust.extra_ca_pem.extend_from_slice(pem.as_bytes());
    }
    let dialer = Dialer::new(&trust).context("certificates to trust")?;
    let ehlo_name = match ehlo_name {
        Some(given) => checked_name(given)?,
        None => host_name(),
    };
    Ok(Dialing { dialer, ehlo_name })
}

/// The proxy for all connections that the configuration names.
///
/// # Errors
///
/// When its password cannot be decrypted.
pub(crate) fn proxy_for_all(
    store: &Store,
    configuration: &Configuration,
) -> anyhow::Result<Option<Arc<Proxy>>> {
    let Some(ConfiguredProxy { address, login }) = configuration.proxy() else {
        return Ok(None);
    };
    let password = store.configured_proxy_password(configuration);
    let password = password.context("outgoing.proxyPassword cannot be decrypted: send it again")?;
    let login = login.zip(password).map(|(name, password)| ProxyLogin { name, password });
    let protocol = match address.scheme {
        ProxyScheme::Socks5 => ProxyProtocol::Socks5,
        ProxyScheme::Http => ProxyProtocol::HttpConnect,
    };
    let ProxyAddress { host, port, .. } = address;
    Ok(Some(Arc::new(Proxy { protocol, host, port, login, is_everywhere_allowed: true })))
}

fn trust(ca_file: Option<&Path>) -> anyhow::Result<Trust> {
    let extra_ca_pem = match ca_file {
        Some(path) => {
            let read = std::fs::read(path);
            let pem = read.with_context(|| format!("certificates to trust: {}", path.display()))?;
            ensure!(
                !pem.is_empty(),
                "certificates to trust: {} is empty; it takes certificates in PEM",
                path.display()
            );
            pem
        }
        None => vec![],
    };
    Ok(Trust { system: true, extra_ca_pem })
}

/// The given name of this host, if it is valid: a domain, or an address literal (RFC 5321 §4.1.3).
fn checked_name(given: &str) -> anyhow::Result<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-.:[]".contains(char);
    if given.is_empty() || !given.chars().all(is_part) {
        bail!("--ehlo-name takes the name of a host, or its address in brackets; not `{given}`");
    }
    Ok(given.to_owned())
}

/// The name of this host from the kernel, or `localhost` if it has none.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
