//! Entity tags: `If-Match`, `If-None-Match`.
//!
//! Standards: RFC 9110 §8.8.3, §13.1.

use crate::problem::Problem;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use postroom_model::QUOTED_CHARS_MAX;
use postroom_store::FileRow;

/// The tag of an entity: its version.
#[must_use]
pub(crate) fn of_version(version: i64) -> String {
    format!("\"{version}\"")
}

/// The tag of a file: its content.
#[must_use]
pub(crate) fn of_file(file: &FileRow) -> String {
    format!("\"{}\"", file.etag())
}

/// The tag as the value of a header field. `None`: it has bytes that a header field cannot have.
#[must_use]
pub(crate) fn header(tag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(tag).ok()
}

/// Checks `If-Match` and `If-None-Match` against the present version. Gives whether the client sent
/// `If-Match`.
///
/// # Errors
///
/// 412 if `If-Match` names only other versions, or `If-None-Match` names this one; 400 for a
/// malformed field.
pub(crate) fn check(headers: &HeaderMap, version: i64) -> Result<bool, Problem> {
    if is_known(headers, &of_version(version))? {
        let detail = "If-None-Match: the entity exists already";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail));
    }
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(false);
    }
    let tag = of_version(version);
    if matches(headers, Some(&tag))? { Ok(true) } else { Err(Problem::stale(version)) }
}

/// Whether `If-Match` names the tag. `None` as tag: nothing exists.
///
/// # Errors
///
/// 400 when the field is malformed.
pub(crate) fn matches(headers: &HeaderMap, tag: Option<&str>) -> Result<bool, Problem> {
    let sent = tags(headers, &header::IF_MATCH)?;
    Ok(tag.is_some_and(|tag| sent.iter().any(|sent| *sent == "*" || *sent == tag)))
}

/// Whether `If-None-Match` names the tag, so that the client already has the content.
///
/// # Errors
///
/// 400 when the field is malformed.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> Result<bool, Problem> {
    let weak = |sent: &str| sent.strip_prefix("W/").unwrap_or(sent) == tag;
    Ok(tags(headers, &header::IF_NONE_MATCH)?.iter().any(|sent| *sent == "*" || weak(sent)))
}

/// The tags of a field.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Vec<&'a str>, Problem> {
    let mut tags = vec![];
    for field in headers.get_all(name) {
        let mut rest = field.to_str().map_err(|_| malformed(name, "bytes beyond ASCII"))?.trim();
        if rest.is_empty() {
            return Err(malformed(name, "nothing"));
        }
        while !rest.is_empty() {
            let (tag, behind) = first(rest).ok_or_else(|| malformed(name, rest))?;
            tags.push(tag);
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if behind.is_empty() => behind,
                None => return Err(malformed(name, rest)),
            };
        }
    }
    Ok(tags)
}

/// The tag at the beginning of a text, and the rest of the text.
fn first(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('*') {
        return text.split_at_checked(1);
    }
    let front = if text.starts_with("W/") { 2 } else { 0 };
    let quoted = text.get(front..)?.strip_prefix('"')?;
    let end = front + 1 + quoted.find('"')? + 1;
    text.split_at_checked(end)
}

fn malformed(name: &HeaderName, found: &str) -> Problem {
    let found: String = found.chars().take(QUOTED_CHARS_MAX).collect();
    let field = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    let detail = format!(
        "{field} takes * or entity tags in quotes, as ETag shows them: \"2\"; it has {found}"
    );
    Problem::malformed(detail)
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
        for stale in ["\"2\"", "W/\"3\"", "\"1\",\"2\"", "\"3,\""] {
            let refused = check(&sent(header::IF_MATCH, stale), 3).unwrap_err();
            assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED, "{stale}");
        }
        for (none, allowed) in [("*", false), ("\"3\"", false), ("\"2\"", true)] {
            assert_eq!(check(&sent(header::IF_NONE_MATCH, none), 3).is_ok(), allowed, "{none}");
        }
        for malformed in ["3", "", "\"3", "3\"", "\"3\" \"4\"", "w/\"3\"", ",", "'3'"] {
            let refused = check(&sent(header::IF_MATCH, malformed), 3).unwrap_err();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{malformed}");
            let detail = refused.to_json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("in quotes") && detail.ends_with(malformed), "{detail}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for known in ["\"3\"", "W/\"3\"", "*", "\"9\",\"3\""] {
            assert!(is_known(&sent(header::IF_NONE_MATCH, known), "\"3\"").unwrap(), "{known}");
        }
        assert!(!is_known(&sent(header::IF_NONE_MATCH, "\"4\""), "\"3\"").unwrap());
        assert!(!is_known(&HeaderMap::new(), "\"3\"").unwrap());
        assert!(is_known(&sent(header::IF_NONE_MATCH, "3"), "\"3\"").is_err());
    }
}
