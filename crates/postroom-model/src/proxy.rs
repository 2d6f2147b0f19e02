//! The proxy of a profile: `socks5://host:port` or `http://host:port`.

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// SOCKS5.
    Socks5,
    /// HTTP CONNECT.
    Http,
}

/// The value of `proxy` that stands for no proxy, also where the configuration has one for all.
const DIRECT: &str = "direct";

/// How the servers of a profile are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProfileProxy {
    /// As the configuration says.
    #[default]
    Configured,
    /// Without a proxy.
    Direct,
    /// By this one.
    Own(ProxyAddress),
}

impl ProfileProxy {
    /// Reads the value of `proxy` of a profile. `None`: it has none.
    ///
    /// # Errors
    ///
    /// What it takes instead, for people.
    pub fn parse(text: Option<&str>) -> Result<Self, &'static str> {
        match text {
            None => Ok(Self::Configured),
            Some(DIRECT) => Ok(Self::Direct),
            Some(text) => ProxyAddress::parse(text).map(Self::Own),
        }
    }
}

/// Where a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    /// How it is spoken to.
    pub scheme: ProxyScheme,
    /// The name of the host, or its IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl ProxyAddress {
    /// Reads the value of `proxy`.
    ///
    /// # Errors
    ///
    /// What it takes instead, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "takes socks5://host:port or http://host:port";
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => ProxyScheme::Socks5,
            "http" => ProxyScheme::Http,
            _ => return Err("begins with neither socks5:// nor http://"),
        };
        if rest.contains('@') {
            return Err("has a login: give it in `proxyLogin` and `proxyPassword`, which is kept \
                        encrypted");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or(FORM)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("has a port that is none")?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            None if is_name(host) => host,
            Some(_) | None => return Err("has no host, or one that is none"),
        };
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

fn is_name(host: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let name = host.strip_suffix('.').unwrap_or(host);
    name.split('.').all(|label| !label.is_empty() && label.chars().all(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_of_one_of_two_schemes_without_a_login() {
        let of =
            |scheme, host: &str, port| Ok(ProxyAddress { scheme, host: host.to_owned(), port });
        #[rustfmt::skip]
        let table = [
            ("socks5://proxy.test:1080",    of(ProxyScheme::Socks5, "proxy.test", 1080)),
            ("SOCKS5H://proxy.test:1080/",  of(ProxyScheme::Socks5, "proxy.test", 1080)),
            ("http://192.0.2.1:3128",       of(ProxyScheme::Http, "192.0.2.1", 3128)),
            ("http://[2001:db8::1]:3128",   of(ProxyScheme::Http, "2001:db8::1", 3128)),
            ("proxy.test:1080",             Err("takes socks5://host:port or http://host:port")),
            ("http://proxy.test",           Err("takes socks5://host:port or http://host:port")),
            ("https://proxy.test:443",      Err("begins with neither socks5:// nor http://")),
            ("http://proxy.test:0",         Err("has a port that is none")),
            ("http://proxy.test:99999",     Err("has a port that is none")),
            ("http://:3128",                Err("has no host, or one that is none")),
            ("http://[x]:3128",             Err("has no host, or one that is none")),
            ("http://a b:3128",             Err("has no host, or one that is none")),
        ];
        for (text, want) in table {
            assert_eq!(ProxyAddress::parse(text), want, "{text}");
        }
        assert_eq!(ProfileProxy::parse(None), Ok(ProfileProxy::Configured));
        assert_eq!(ProfileProxy::parse(Some("direct")), Ok(ProfileProxy::Direct));
        let own = ProxyAddress::parse("http://proxy.test:3128").unwrap();
        let read = ProfileProxy::parse(Some("http://proxy.test:3128"));
        assert_eq!(read, Ok(ProfileProxy::Own(own)));
        let login = ProxyAddress::parse("http://anna:hush@proxy.test:3128").unwrap_err();
        assert!(login.starts_with("has a login"));
    }
}
