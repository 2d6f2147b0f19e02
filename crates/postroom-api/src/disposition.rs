//! The header field `Content-Disposition`: the name under which a download is saved.
//!
//! Standards: RFC 6266, RFC 8187.

use crate::percent;
use axum::http::HeaderValue;

/// `attachment` with the file's name: once in ASCII for old clients, once as it is.
#[must_use]
pub(crate) fn attachment(name: &str) -> HeaderValue {
    let safe = |char: char| match char {
        '"' | '\\' | '%' | '/' | ':' => '_',
        ' '..='~' => char,
        _ => '_',
    };
    let ascii: String = name.chars().map(safe).collect();
    let mut value = format!("attachment; filename=\"{ascii}\"");
    if ascii != name {
        value.push_str("; filename*=UTF-8''");
        value.push_str(&percent::encode(name));
    }
    // Everything above is printable ASCII.
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_kind() {
        #[rustfmt::skip]
        let table = [
            ("a.txt",         "attachment; filename=\"a.txt\""),
            ("Grün 1.pdf",    "attachment; filename=\"Gr_n 1.pdf\"; filename*=UTF-8''Gr%C3%BCn%201.pdf"),
            ("a\"b\\c",       "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
            ("x\r\nY: z",     "attachment; filename=\"x__Y_ z\"; filename*=UTF-8''x%0D%0AY%3A%20z"),
            ("../../etc",     "attachment; filename=\".._.._etc\"; filename*=UTF-8''..%2F..%2Fetc"),
            ("",              "attachment; filename=\"\""),
        ];
        for (name, want) in table {
            assert_eq!(attachment(name), want);
        }
    }
}
