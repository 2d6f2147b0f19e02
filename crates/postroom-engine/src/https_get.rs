//! Gets a small file by HTTPS from a host that somebody else has named.
//!
//! All requests go where the rules of the configuration let mail go, and through its proxy. A
//! redirect is followed to HTTPS alone, and of these addresses to those of the public internet
//! alone, because the other side chose it.
//!
//! Standards: RFC 9110 §15.4 (redirects).

use crate::http_exchange;
use crate::http_exchange::ExchangeError;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header;
use postroom_model::webhook::Url;
use postroom_net::Dialer;
use postroom_net::DnsClient;
use postroom_net::Endpoint;
use postroom_net::Security;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

/// How long a file may take, with all redirects.
const FILE_WITHIN: Duration = Duration::from_secs(12);
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 3;
/// Why an address that a redirect leads to is refused.
const REDIRECT_ADVICE: &str = "a redirect may not lead there";

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    /// The host has no address.
    #[error("{host} does not exist")]
    NoHost {
        /// The host.
        host: String,
    },
    /// The host is at an address that may not be reached.
    #[error(transparent)]
    Refused(postroom_net::Error),
    /// The DNS gives no answer.
    #[error(transparent)]
    Dns(postroom_net::DnsError),
    /// The other side gives no answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// It has no such file.
    #[error("{host} answers {status}")]
    Status {
        /// The host.
        host: String,
        /// The status of HTTP.
        status: u16,
    },
    /// A redirect leads to something else than HTTPS.
    #[error("{host} redirects to something that is no HTTPS")]
    Redirect {
        /// The host.
        host: String,
    },
    /// There are too many redirects.
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    /// It took too long.
    #[error("no file within 12 seconds")]
    Timeout,
}

/// What a file is got with.
#[derive(Debug, Clone)]
pub(crate) struct FileWay {
    /// Where it may lead, and by which proxy.
    pub dialer: Dialer,
    /// What looks hosts up. `None`: the dialer does it, or its proxy.
    pub dns: Option<DnsClient>,
}

/// Gets a file. Its length is bounded.
///
/// # Errors
///
/// Why there is none.
pub(crate) async fn file(way: &FileWay, url: Url) -> Result<Vec<u8>, GetError> {
    let got = Box::pin(followed(way.clone(), url));
    timeout(FILE_WITHIN, got).await.map_err(|_| GetError::Timeout)?
}

async fn followed(mut way: FileWay, mut url: Url) -> Result<Vec<u8>, GetError> {
    for _ in 0..=REDIRECTS_MAX {
        let answer = one(&way, &url).await?;
        let host = url.host.clone();
        match (answer.status, answer.location) {
            (200, _) => return Ok(answer.body),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                url = target(&url, &location).ok_or(GetError::Redirect { host })?;
                way.dialer = way.dialer.public_only(REDIRECT_ADVICE);
            }
            (status, _) => return Err(GetError::Status { host, status }),
        }
    }
    Err(GetError::Redirects)
}

/// Where a redirect leads. `None`: to no HTTPS.
fn target(from: &Url, location: &str) -> Option<Url> {
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let whole =
        if is_path { format!("https://{}{location}", from.authority) } else { location.to_owned() };
    Url::parse(&whole).ok().filter(|url| url.is_tls)
}

async fn one(way: &FileWay, url: &Url) -> Result<http_exchange::FormAnswer, GetError> {
    let mut last = GetError::NoHost { host: url.host.clone() };
    let request = Request::get(&url.path)
        .header(header::HOST, &url.authority)
        .header(header::USER_AGENT, http_exchange::USER_AGENT)
        .body(Full::new(Bytes::new()))
        .map_err(ExchangeError::Unsendable)?;
    for host in hosts(way, url).await? {
        let endpoint = Endpoint { host, port: url.port, security: Security::None };
        match way.dialer.connect(&endpoint).await {
            Ok(plain) => {
                let secure = way.dialer.secure(&url.host, plain).await;
                let secure = secure.map_err(ExchangeError::Connect)?;
                return Ok(http_exchange::over(secure, request).await?);
            }
            Err(error) => last = GetError::Exchange(ExchangeError::Connect(error)),
        }
    }
    Err(last)
}

/// What to connect to: the addresses of the host that may be reached, or its name.
async fn hosts(FileWay { dialer, dns }: &FileWay, url: &Url) -> Result<Vec<String>, GetError> {
    let host = &url.host;
    let Some(dns) = dns.as_ref().filter(|_| !dialer.leaves_names_to_proxy()) else {
        return Ok(vec![host.clone()]);
    };
    let found = dns.addresses(host).await.map_err(GetError::Dns)?;
    let found = found.into_iter().map(|address| SocketAddr::new(address, url.port)).collect();
    // The dialer checks it too. A connection that is not by TCP has no such check.
    let permitted = dialer.permitted(host, found).map_err(GetError::Refused)?;
    Ok(permitted.into_iter().map(|address| address.ip().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_https_alone() {
        let from = Url::parse("https://a.test:8443/x").unwrap();
        #[rustfmt::skip]
        let table = [
            ("/y?z",                Some("a.test:8443/y?z")),
            ("https://b.test/y",    Some("b.test/y")),
            ("http://b.test/y",     None),
            ("//b.test/y",          None),
            ("y",                   None),
            ("file:///etc/passwd",  None),
            ("",                    None),
        ];
        for (location, want) in table {
            let got = target(&from, location).map(|url| format!("{}{}", url.authority, url.path));
            assert_eq!(got.as_deref(), want, "{location}");
        }
    }
}
