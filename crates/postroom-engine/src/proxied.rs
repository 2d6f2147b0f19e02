//! The proxy of an account, as its profile has it.

use crate::account::Account;
use postroom_model::proxy::ProxyScheme;
use postroom_net::Dialer;
use postroom_net::Proxy;
use postroom_net::ProxyLogin;
use postroom_net::ProxyProtocol;
use postroom_store::Store;

/// The same dialer, through the proxy of an account if it has one.
///
/// # Errors
///
/// The password of the proxy cannot be had.
pub(crate) async fn through_proxy(
    dialer: Dialer,
    store: &Store,
    account: &Account,
) -> Result<Dialer, postroom_net::Error> {
    Ok(match proxy_of(store, account).await? {
        Some(proxy) => dialer.through(proxy),
        None => dialer,
    })
}

async fn proxy_of(store: &Store, account: &Account) -> Result<Option<Proxy>, postroom_net::Error> {
    let Some(at) = &account.proxy else {
        return Ok(None);
    };
    let protocol = match at.scheme {
        ProxyScheme::Socks5 => ProxyProtocol::Socks5,
        ProxyScheme::Http => ProxyProtocol::HttpConnect,
    };
    let (host, port) = (at.host.clone(), at.port);
    let Some(name) = account.proxy_login.clone() else {
        return Ok(Some(Proxy { protocol, host, port, login: None }));
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
    Ok(Some(Proxy { protocol, host, port, login: Some(ProxyLogin { name, password }) }))
}
