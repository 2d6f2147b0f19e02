//! The origins whose pages may use the interface.
//!
//! Standards: RFC 6454 (origins).

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use std::sync::Arc;

/// What stands for all origins.
const ANY: &str = "*";

/// Something in the list of origins is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{origin}` is no origin: it is https://HOST or https://HOST:PORT, without a slash at its end; \
     * stands for all"
)]
pub struct NoOrigin {
    origin: String,
}

/// The origins whose pages may use the interface. By default none.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    listed: Arc<[String]>,
}

impl Origins {
    /// Allows these origins, or all with `*`.
    ///
    /// # Errors
    ///
    /// When one of them has no form that a browser sends.
    pub fn new(origins: &[String]) -> Result<Self, NoOrigin> {
        let listed: Result<Vec<_>, _> = origins.iter().map(|origin| written(origin)).collect();
        Ok(Self { listed: listed?.into() })
    }

    /// Whether no page of another origin may use it.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The value of `Access-Control-Allow-Origin`. `None`: the origin is not allowed.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.listed.iter().any(|one| one == ANY) {
            return Some(HeaderValue::from_static(ANY));
        }
        let is_listed = self.listed.iter().any(|one| one.as_bytes() == origin.as_bytes());
        is_listed.then(|| origin.clone())
    }
}

/// An origin as browsers write it.
fn written(origin: &str) -> Result<String, NoOrigin> {
    let none = || NoOrigin { origin: origin.to_owned() };
    if origin == ANY {
        return Ok(origin.to_owned());
    }
    let lower = origin.to_ascii_lowercase();
    let (scheme, host) = lower.split_once("://").ok_or_else(none)?;
    let is_scheme = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
    let is_host = |char: char| char.is_ascii_alphanumeric() || "-._:[]".contains(char);
    let is_written = !scheme.is_empty() && scheme.chars().all(is_scheme);
    if !is_written || host.is_empty() || !host.chars().all(is_host) {
        return Err(none());
    }
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Ok(lower),
    };
    Ok(lower.strip_suffix(usual).unwrap_or(&lower).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let given = ["https://App.Example:443", "http://localhost:3000", "capacitor://localhost"];
        let origins = Origins::new(&given.map(str::to_owned)).unwrap();
        for (origin, is_allowed) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("capacitor://localhost", true),
            ("http://app.example", false),
            ("https://app.example.evil.test", false),
            ("https://app.example:8443", false),
            ("null", false),
        ] {
            let value = HeaderValue::from_static(origin);
            let headers = HeaderMap::from_iter([(header::ORIGIN, value.clone())]);
            assert_eq!(origins.allowed(&headers), is_allowed.then_some(value), "{origin}");
        }
        for odd in ["", "app.example", "https://", "https://a.example/", "https://u@a.example"] {
            assert!(
                Origins::new(&[odd.to_owned()]).unwrap_err().to_string().contains(odd),
                "{odd}"
            );
        }
    }
}
