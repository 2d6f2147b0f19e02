//! Checks what a client says about a file: name, media type and content id.
//!
//! A name is text for people and never a path, because the store keeps files by number. Names that
//! could mislead the recipient's programs are refused all the same.

use crate::media_type::MediaType;

/// How many bytes a file name may have.
const NAME_BYTES_MAX: usize = 255;
/// The reason for refusing a control character.
const CONTROL: &str = "has a control character (a line break, for example)";
/// How many bytes a content id may have.
const CONTENT_ID_BYTES_MAX: usize = 255;

/// Why a text is not a file name. `None`: it is one.
#[must_use]
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Some("is not a file name");
    }
    if name.len() > NAME_BYTES_MAX {
        return Some("is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return Some(CONTROL);
    }
    if name.contains(['/', '\\']) {
        return Some("has a slash; a file name is not a path");
    }
    None
}

/// Why a text is not a media type. `None`: it is one.
#[must_use]
pub(crate) fn media_type_problem(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some(CONTROL);
    }
    match MediaType::parse(text) {
        None => Some("is not a media type: use type/subtype"),
        Some(media_type) if media_type.essence.starts_with("multipart/") => {
            Some("is a media type with parts, which a file cannot have")
        }
        Some(_) => None,
    }
}

/// A content id without angle brackets (RFC 2392), or what is wrong with it.
///
/// # Errors
///
/// It is empty, too long, or has a character that is not allowed.
pub(crate) fn content_id(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    if !is_content_id(inner) {
        return Err("is not a content id: use 1 to 255 printable ASCII characters except < > and \
                    space");
    }
    Ok(inner.to_owned())
}

/// The content id of an inline file without one: its name, if that is a valid content id. So
/// `cid:logo.png` finds `logo.png`.
#[must_use]
pub(crate) fn content_id_from_name(name: &str) -> Option<String> {
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
