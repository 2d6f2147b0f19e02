//! What a client says of a file: its name, media type and content id.
//!
//! A name is text for people and never a path: the store keeps files by number. Those that could
//! mislead the programs of whoever gets the file are refused all the same.

use crate::media_type::MediaType;

/// How many bytes a file name may have.
const NAME_BYTES_MAX: usize = 255;
/// What a control character is refused with.
const CONTROL: &str = "has a control character (a line break, for example)";
/// How many bytes a content id may have.
const CONTENT_ID_BYTES_MAX: usize = 255;

/// What keeps a text from being a file name; `None` when nothing does.
#[must_use]
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Some("is no file name");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return Some(CONTROL);
    }
    if name.contains(['/', '\\']) {
        return Some("has a slash; a file name is no path");
    }
    None
}

/// What keeps a text from being a media type; `None` when nothing does.
#[must_use]
pub fn media_type_problem(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some(CONTROL);
    }
    match MediaType::parse(text) {
        None => Some("is no media type; one is type/subtype"),
        Some(media_type) if media_type.essence.starts_with("multipart/") => {
            Some("is the media type of a whole with parts, not of a file")
        }
        Some(_) => None,
    }
}

/// A content id without angle brackets (RFC 2392), or what is wrong with it.
///
/// # Errors
///
/// When it is empty, too long, or has a character that cannot stand in one.
pub fn content_id(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    if !is_content_id(inner) {
        return Err("is no content id: 1 to 255 printable characters of ASCII but < > and space");
    }
    Ok(inner.to_owned())
}

/// The content id of an inline file that brought none: its name, when it can be one, so that
/// `cid:logo.png` finds `logo.png`.
#[must_use]
pub fn content_id_from_name(name: &str) -> Option<String> {
    is_content_id(name).then(|| name.to_owned())
}

fn is_content_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>');
    (1..=CONTENT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mislead_are_refused() {
        for good in ["a.txt", "Ünïcödé 📎.pdf", ".hidden", "a..b", "CON", "a'b\"c;d", "%2e%2e"]
        {
            assert_eq!(name_problem(good), None, "{good}");
        }
        let long = "ä".repeat(128);
        for bad in ["", ".", "..", "../x", "a\\b", "a\r\nb", "a\0", "\u{85}", long.as_str()] {
            assert!(name_problem(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn content_ids_lose_their_brackets() {
        assert_eq!(content_id(" <a@b.test> ").unwrap(), "a@b.test");
        for bad in ["", "<>", "a b", "a>b", "ä", "a\r\nb"] {
            assert!(content_id(bad).is_err(), "{bad:?}");
        }
        assert_eq!(content_id_from_name("logo.png").unwrap(), "logo.png");
        assert_eq!(content_id_from_name("my logo.png"), None);
    }

    #[test]
    fn a_file_is_no_multipart() {
        assert_eq!(media_type_problem("text/plain; charset=utf-8"), None);
        for bad in
            ["", "text", "multipart/mixed; boundary=x", "a/b\r\nX: y", "a/b; c=\"d\r\nX: y\""]
        {
            assert!(media_type_problem(bad).is_some(), "{bad:?}");
        }
    }
}
