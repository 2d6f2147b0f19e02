//! Entity tags: `If-Match`, `If-None-Match`.
//!
//! Standards: RFC 9110 §8.8.3, §13.1.

use crate::problem::Problem;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use postroom_store::FileRow;

/// The tag of an entity: its version.
#[must_use]
pub fn of_version(version: i64) -> String {
    format!("\"{version}\"")
}

/// The tag of a file: its content.
#[must_use]
pub fn of_file(file: &FileRow) -> String {
    format!("\"{}\"", file.etag())
}

/// The tag as the value of a header field; `None` when it has bytes that none may have.
#[must_use]
pub fn header(tag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(tag).ok()
}

/// Checks `If-Match` against the present version. Gives whether the client sent the field.
///
/// # Errors
///
/// 412 when the field names other versions only.
pub fn check(headers: &HeaderMap, version: i64) -> Result<bool, Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(false);
    }
    let tag = of_version(version);
    if matches(headers, Some(&tag)) { Ok(true) } else { Err(Problem::stale(version)) }
}

/// Whether `If-Match` names the tag; `None` when nothing is there that it could name.
#[must_use]
pub fn matches(headers: &HeaderMap, tag: Option<&str>) -> bool {
    let mut sent = tags(headers, &header::IF_MATCH);
    tag.is_some_and(|tag| sent.any(|sent| sent == "*" || sent == tag))
}

/// Whether `If-None-Match` names the tag: the client has it already.
#[must_use]
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let weak = |sent: &str| sent.strip_prefix("W/").unwrap_or(sent) == tag;
    tags(headers, &header::IF_NONE_MATCH).any(|sent| sent == "*" || weak(sent))
}

/// The tags of a field. A comma inside a tag splits it; none of ours has one.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let fields = headers.get_all(name).into_iter();
    let fields = fields.filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_match_compares_strongly() {
        assert!(!check(&HeaderMap::new(), 3).unwrap());
        for good in ["\"3\"", "*", "\"2\", \"3\""] {
            assert!(check(&sent(header::IF_MATCH, good), 3).unwrap(), "{good}");
        }
        for bad in ["\"2\"", "W/\"3\"", "3", ""] {
            assert!(check(&sent(header::IF_MATCH, bad), 3).is_err(), "{bad}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for known in ["\"3\"", "W/\"3\"", "*", "\"9\",\"3\""] {
            assert!(is_known(&sent(header::IF_NONE_MATCH, known), "\"3\""), "{known}");
        }
        assert!(!is_known(&sent(header::IF_NONE_MATCH, "\"4\""), "\"3\""));
        assert!(!is_known(&HeaderMap::new(), "\"3\""));
    }
}
