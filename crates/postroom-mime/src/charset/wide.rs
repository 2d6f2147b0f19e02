//! Text in units of two bytes (UTF-16), whatever its label says, and text under the label of such a
//! charset that is none.
//!
//! A byte order mark says more than a label. Without one, letters of ASCII show it: half of their
//! bytes are NUL, all in the same places.

use crate::charset::known::Charset;
use encoding_rs::UTF_16BE;
use encoding_rs::UTF_16LE;

/// How much of a text is looked at.
const SAMPLE_BYTES_MAX: usize = 256;
/// So many letters show the order of bytes.
const LETTERS_MIN: usize = 4;
/// So long a text in UTF-16 holds a blank, or bytes that are no ASCII.
const WIDE_BYTES_MIN: usize = 16;

/// The charset of a text that shows that it is in UTF-16.
pub(crate) fn of(bytes: &[u8]) -> Option<Charset> {
    match bytes {
        // UTF-32 begins in the same way.
        [0xFF, 0xFE, 0, 0, ..] => None,
        [0xFF, 0xFE, ..] => marked(Charset::Whatwg(UTF_16LE), bytes),
        [0xFE, 0xFF, ..] => marked(Charset::Whatwg(UTF_16BE), bytes),
        [0, ..] | [_, 0, ..] => of_letters(bytes.get(..SAMPLE_BYTES_MAX).unwrap_or(bytes)),
        _ => None,
    }
}

/// The charset that a mark says, if all of the text is in it.
fn marked(charset: Charset, bytes: &[u8]) -> Option<Charset> {
    let (_, is_clean) = charset.decode(bytes);
    is_clean.then_some(charset)
}

/// The charset of a text without a mark that begins with a letter of ASCII.
fn of_letters(bytes: &[u8]) -> Option<Charset> {
    let (mut low_first, mut high_first, mut others) = (0_usize, 0_usize, 0_usize);
    for unit in bytes.chunks_exact(2) {
        match unit {
            [0, 0] => return None,
            [_, 0] => low_first += 1,
            [0, _] => high_first += 1,
            _ => others += 1,
        }
    }
    let is_order =
        |count: usize, opposite: usize| count >= LETTERS_MIN && opposite == 0 && others <= count;
    match (is_order(low_first, high_first), is_order(high_first, low_first)) {
        (true, _) => Some(Charset::Whatwg(UTF_16LE)),
        (_, true) => Some(Charset::Whatwg(UTF_16BE)),
        (false, false) => None,
    }
}

/// Whether bytes are in no charset of wider units. Text in such units has blanks and ends of lines,
/// which hold NUL, and an even number of bytes.
pub(crate) fn cannot_be(bytes: &[u8]) -> bool {
    let is_long = bytes.len() >= WIDE_BYTES_MIN || bytes.ends_with(b"\n");
    // By chance, half of the bytes are ASCII.
    let is_mostly_ascii =
        || bytes.iter().filter(|byte| !byte.is_ascii()).count() * 4 <= bytes.len();
    memchr::memchr(b'\0', bytes).is_none()
        && (bytes.len() % 2 == 1 || is_long)
        && !matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
        && (std::str::from_utf8(bytes).is_ok() || is_mostly_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_show_whether_they_are_utf16() {
        #[rustfmt::skip]
        let table: &[(&[u8], Option<&str>)] = &[
            (b"\xFF\xFEg\0\xFC\0",              Some("UTF-16LE")),
            (b"\xFE\xFF\0g\0\xFC",              Some("UTF-16BE")),
            (b"\xFF\xFE-N\xFDV",                Some("UTF-16LE")),
            (b"H\0a\0l\0l\0o\0 \0\xFC\0",      Some("UTF-16LE")),
            (b"\0H\0a\0l\0l\0o\0 \0\xFC",      Some("UTF-16BE")),
            (b"H\0a\0l",                        None),
            (b"\xFF\xFE\0\xD8",                 None),
            (b"\xFF\xFE\0\0H\0\0\0",           None),
            (b"H\0\0\0a\0\0\0l\0\0\0l\0\0\0", None),
            (b"H\0a\0l\0l\0 \0\0H\0a",          None),
            (b"a\0text with a NUL behind a letter", None),
            (b"a text",                         None),
            (b"",                               None),
        ];
        for (bytes, want) in table {
            let got = of(bytes).map(Charset::name);
            assert_eq!(got, *want, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn bytes_show_whether_they_are_no_wide_units() {
        #[rustfmt::skip]
        let table: &[(&[u8], bool)] = &[
            (b"plain text, nothing else",   true),
            (b"Gr\xFC\xDFe aus M\xFCnchen", true),
            (b"Hello",                      true),
            (b"Hello!\r\n",                 true),
            ("Привет, как дела".as_bytes(), true),
            (b"OK",                         false),
            (b"-N\xFDV",                    false),
            (b"H\0e\0l\0l\0o\0,\0 \0A\0n\0n\0a\0", false),
            (b"\xFF\xFE-N\xFDV-N\xFDV-N\xFDV-N", false),
        ];
        for (bytes, want) in table {
            assert_eq!(cannot_be(bytes), *want, "{}", bytes.escape_ascii());
        }
    }
}
