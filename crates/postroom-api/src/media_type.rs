//! Media types of requests and answers.
//!
//! Standards: RFC 9110 §8.3, RFC 6838 §4.2.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;

/// The type of bytes of an unknown kind.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The media type of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MediaType {
    /// `type/subtype`, in lower case.
    pub essence: String,
    /// The parameter `charset`, in lower case.
    pub charset: Option<String>,
}

impl MediaType {
    /// Reads a media type. `None`: it is malformed.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_name(kind) || !is_name(subtype) {
            return None;
        }
        let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
        let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        let charset = charset.map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
        Some(Self { essence, charset })
    }

    /// The media type of a request. `None`: it has none.
    #[must_use]
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let field = headers.get(header::CONTENT_TYPE)?;
        let unknown = Self { essence: OCTETS.to_owned(), charset: None };
        Some(field.to_str().ok().and_then(Self::parse).unwrap_or(unknown))
    }

    /// Whether it is JSON.
    #[must_use]
    pub(crate) fn is_json(&self) -> bool {
        self.essence == "application/json"
            || (self.essence.starts_with("application/") && self.essence.ends_with("+json"))
    }

    /// Whether it is a form with files.
    #[must_use]
    pub(crate) fn is_form(&self) -> bool {
        self.essence == "multipart/form-data"
    }

    /// Whether its charset is UTF-8 or not given.
    #[must_use]
    pub(crate) fn is_utf8(&self) -> bool {
        let charset = self.charset.as_deref();
        charset.is_none_or(|charset| matches!(charset, "utf-8" | "utf8" | "us-ascii"))
    }
}

/// The value of `Content-Type` for a stored file. A malformed type becomes
/// `application/octet-stream`.
#[must_use]
pub(crate) fn shown(stored: &str, charset: Option<&str>) -> HeaderValue {
    let octets = HeaderValue::from_static(OCTETS);
    let Some(media_type) = MediaType::parse(stored) else {
        return octets;
    };
    let charset = charset.filter(|charset| is_name(charset));
    let value = match charset {
        Some(charset) => format!("{}; charset={charset}", media_type.essence),
        None => media_type.essence,
    };
    HeaderValue::from_str(&value).unwrap_or(octets)
}

/// Whether a text is valid as a type, subtype or charset.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+:".contains(&byte);
    !text.is_empty() && text.len() <= 127 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_media_types() {
        let json = MediaType::parse("Application/JSON; Charset=\"UTF-8\"").unwrap();
        assert_eq!(json.essence, "application/json");
        assert!(json.is_json() && json.is_utf8());
        assert!(MediaType::parse("application/merge-patch+json").unwrap().is_json());
        assert!(!MediaType::parse("text/html;charset=windows-1251").unwrap().is_utf8());
        assert!(MediaType::parse("multipart/form-data; boundary=x").unwrap().is_form());
        for bad in ["", "text", "text/", "/html", "text/ht ml", "text/html\r\nX: y", "a/b/c"] {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_stored_can_always_be_shown() {
        #[rustfmt::skip]
        let table = [
            ("text/html",       Some("utf-8"),   "text/html; charset=utf-8"),
            ("TEXT/Plain",      Some("x\r\ny"),  "text/plain"),
            ("image/png; a=b",  None,            "image/png"),
            ("no\r\nheader: x", None,            OCTETS),
            ("",                None,            OCTETS),
        ];
        for (stored, charset, want) in table {
            assert_eq!(shown(stored, charset), want);
        }
    }
}
