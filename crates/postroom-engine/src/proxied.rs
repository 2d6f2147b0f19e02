//! The proxy of an account, as its profile has it.

use crate::account::Account;
use crate::settings::OutgoingPolicy;
use postroom_model::proxy::ProfileProxy;
use postroom_model::proxy::ProxyAddress;
use postroom_model::proxy::ProxyScheme;
use postroom_net::Dialer;
use postroom_net::Proxy;
use postroom_net::ProxyLogin;
use postroom_net::ProxyProtocol;
use postroom_store::Store;
use std::sync::Arc;

/// The same dialer, through the proxy of an account, or that of the configuration if the account
/// says nothing.
///
/// # Errors
///
/// The password of the proxy cannot be had.
pub(crate) async fn through_proxy(
    dialer: Dialer,
    outgoing: &OutgoingPolicy,
    store: &Store,
    account: &Account,
) -> Result<Dialer, postroom_net::Error> {
    Ok(match (&account.proxy, &outgoing.proxy) {
        (ProfileProxy::Own(at), _) => dialer.through(own_proxy(at, store, account).await?),
        (ProfileProxy::Configured, Some(proxy)) => dialer.through(Arc::clone(proxy)),
        (ProfileProxy::Configured, None) | (ProfileProxy::Direct, _) => dialer,
    })
}

async fn own_proxy(
    at: &ProxyAddress,
    store: &Store,
    account: &Account,
) -> Result<Proxy, postroom_net::Error> {
    let protocol = match at.scheme {
        ProxyScheme::Socks5 => ProxyProtocol::Socks5,
        ProxyScheme::Http => ProxyProtocol::HttpConnect,
    };
    let (host, port) = (at.host.clone(), at.port);
    let is_everywhere_allowed = false;
    let Some(name) = account.proxy_login.clone() else {
        return Ok(Proxy { protocol, host, port, login: None, is_everywhere_allowed });
    };
    let unusable = |reason: String| postroom_net::Error::ProxyLogin { reason };
    let sealed = match &account.proxy_password {
        Some(sealed) => Some(sealed.clone()),
        None => {
            let stored = store.proxy_password(account.profile).await;
            stored.map_err(|error| unusable(error.to_string()))?
        }
    };
    let sealed = sealed.ok_or_else(|| unusable("set `proxyPassword`".to_owned()))?;
    let password = sealed
        .open()
        .map_err(|_| unusable("it cannot be decrypted: save `proxyPassword` again".to_owned()))?;
    let login = Some(ProxyLogin { name, password });
    Ok(Proxy { protocol, host, port, login, is_everywhere_allowed })
}
