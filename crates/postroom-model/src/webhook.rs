//! The forms of a webhook: its URL, its secrets, and the header fields of its requests.
//!
//! Standards: RFC 3986 §3 (URL), RFC 9110 §5 (header fields), and Standard Webhooks (`whsec_`).

use crate::builtin::names;
use crate::entity::Entity;
use crate::invalid::Invalid;
use serde_json::Value as Json;
use std::fmt;

/// How a secret begins.
pub const SECRET_PREFIX: &str = "whsec_";
/// How many bytes a secret has behind its prefix, before Base64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How many header fields a webhook has at most.
const HEADERS_MAX: usize = 32;
/// What requests have by themselves.
const OURS: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// How the fields of the signature begin.
const SIGNATURE: &str = "webhook-";

/// Where a webhook sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub is_tls: bool,
    /// The name of the host, or its IP address; IPv6 in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The host with the port, as the field `Host` has it.
    pub authority: String,
    /// The path with the query. It begins with a slash.
    pub path: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// What it must be instead, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "takes a URL: https://host/path";
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a space or a character beyond ASCII: write it percent-encoded, and \
                        the host as xn--…");
        }
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("begins with neither https:// nor http://"),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(FORM)?;
        if authority.contains('@') {
            return Err("has a login: give it in `headers`, which are kept encrypted");
        }
        let after_host = match authority.find(']') {
            Some(end) => end + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at_checked(after_host).ok_or(FORM)?;
        let port = match port {
            "" if is_tls => 443,
            "" => 80,
            port => {
                let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
                port.filter(|port| *port > 0).ok_or("has a port that is none")?
            }
        };
        if !is_host(host) {
            return Err("has no host, or one that is none");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let authority = authority.to_owned();
        Ok(Self { is_tls, host: host.to_owned(), port, authority, path })
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let name = host.strip_suffix('.').unwrap_or(host);
    name.split('.').all(|label| !label.is_empty() && label.chars().all(is_part))
}

/// Why a text is no secret of a webhook. `None`: it is one.
#[must_use]
pub fn secret_problem(text: &str) -> Option<&'static str> {
    const FORM: &str = "takes whsec_ and from 24 to 64 random bytes in Base64";
    let Some(encoded) = text.strip_prefix(SECRET_PREFIX) else {
        return Some(FORM);
    };
    let bare = encoded.trim_end_matches('=');
    let padding = encoded.len() - bare.len();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let fits = encoded.len().is_multiple_of(4)
        && padding <= 2
        && bare.bytes().all(is_base64)
        && has_no_rest(bare)
        && SECRET_BYTES.contains(&(bare.len() * 3 / 4));
    (!fits).then_some(FORM)
}

/// Whether the last character has no bits beyond the last byte, which readers refuse.
fn has_no_rest(bare: &str) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let unused = match bare.len() % 4 {
        2 => 16,
        3 => 4,
        _ => 1,
    };
    let last = bare.bytes().last();
    let at = last.and_then(|last| ALPHABET.iter().position(|one| *one == last));
    at.is_some_and(|at| at % unused == 0)
}

/// The header fields that a client gave, in their order.
///
/// # Errors
///
/// What they must be instead. It names no value, because values are secrets.
pub fn headers(json: &Json) -> Result<Vec<(String, String)>, Invalid> {
    let invalid = |reason: String| Invalid::new(names::HEADERS, reason);
    let Some(members) = json.as_object() else {
        return Err(invalid(r#"takes an object: {"authorization": "Bearer …"}"#.to_owned()));
    };
    if members.len() > HEADERS_MAX {
        return Err(invalid(format!("takes at most {HEADERS_MAX} fields")));
    }
    let mut fields = vec![];
    for (name, value) in members {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(invalid("has a name that no header field can have".to_owned()));
        }
        let lower = name.to_ascii_lowercase();
        if OURS.contains(&lower.as_str()) || lower.starts_with(SIGNATURE) {
            return Err(invalid(format!("names `{name}`, which Postroom sets itself")));
        }
        if fields.iter().any(|(before, _)| *before == lower) {
            return Err(invalid(format!("names `{name}` twice")));
        }
        let is_visible = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
        let value = value.as_str().filter(|value| value.bytes().all(is_visible));
        let value = value
            .ok_or_else(|| invalid(format!("has no text of one line in ASCII for `{name}`")))?;
        fields.push((lower, value.trim().to_owned()));
    }
    Ok(fields)
}

/// What is wrong with a webhook, new or changed, beyond the forms of its values.
#[must_use]
pub fn problems(webhook: &Entity) -> Vec<Invalid> {
    let given = webhook.get(names::HEADERS);
    let given = Some(given).filter(|given| !given.is_null());
    given.and_then(|given| headers(given).err()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_url_is_read_or_refused_with_a_reason() {
        let read = |text: &str| {
            Url::parse(text)
                .map(|url| format!("{} {} {} {}", url.is_tls, url.host, url.port, url.path))
        };
        #[rustfmt::skip]
        let table = [
            ("https://a.test",                 Ok("true a.test 443 /")),
            ("HTTPS://a.test:8443/x?y=1#z",    Ok("true a.test 8443 /x?y=1")),
            ("http://10.0.0.1?q",              Ok("false 10.0.0.1 80 /?q")),
            ("http://[::1]:81/",               Ok("false [::1] 81 /")),
            ("ftp://a.test",                   Err("neither")),
            ("a.test/x",                       Err("takes a URL")),
            ("https://",                       Err("no host")),
            ("https://u:p@a.test/",            Err("login")),
            ("https://a.test:0/",              Err("port")),
            ("https://a.test:99999/",          Err("port")),
            ("https://a..test/",               Err("no host")),
            ("https://[::1/",                  Err("port")),
            ("https://a.test/x y",             Err("space")),
            ("https://a.test/\r\nx",           Err("space")),
            ("https://ä.test/",                Err("beyond ASCII")),
        ];
        for (text, want) in table {
            match (read(text), want) {
                (Ok(read), Ok(want)) => assert_eq!(read, want, "{text}"),
                (Err(reason), Err(want)) => assert!(reason.contains(want), "{text}: {reason}"),
                (read, want) => panic!("{text}: {read:?} {want:?}"),
            }
        }
    }

    #[test]
    fn a_secret_has_its_prefix_and_enough_bytes() {
        let fits = |text: &str| secret_problem(text).is_none();
        assert!(fits(&format!("whsec_{}", "A".repeat(32))));
        assert!(fits(&format!("whsec_{}A==", "A".repeat(33))));
        assert!(fits("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        for wrong in [
            "x".repeat(32),
            format!("whsec_{}", "A".repeat(28)),
            format!("whsec_{}", "A".repeat(92)),
            format!("whsec_{}B==", "A".repeat(33)),
            format!("whsec_{}*", "A".repeat(31)),
            "whsec_".to_owned(),
        ] {
            assert!(!fits(&wrong), "{wrong}");
        }
    }

    #[test]
    fn headers_are_fields_that_postroom_does_not_set() {
        let read = |json: &Json| headers(json).map_err(|invalid| invalid.reason);
        assert_eq!(
            read(&json!({"Authorization": "Bearer x"})),
            Ok(vec![("authorization".to_owned(), "Bearer x".to_owned())])
        );
        for (json, want) in [
            (json!([]), "an object"),
            (json!({"host": "x"}), "sets itself"),
            (json!({"Webhook-Id": "x"}), "sets itself"),
            (json!({"a b": "x"}), "no header field"),
            (json!({"x": "a\r\nb: c"}), "one line"),
            (json!({"x": 7}), "one line"),
            (json!({"x": "1", "X": "2"}), "twice"),
        ] {
            let reason = read(&json).unwrap_err();
            assert!(reason.contains(want), "{json}: {reason}");
        }
    }
}
