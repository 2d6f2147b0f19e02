//! Charsets: from the bytes of a text to UTF-8, whole or piece by piece.
//!
//! Labels mean what they mean to browsers (`iso-8859-1` is windows-1252, `gb2312` is GBK), and
//! further names that mail uses are known. The declared charset counts if the bytes are valid in
//! it. If it is missing or wrong, the bytes decide: UTF-8, ISO-2022-JP, then the most likely
//! charset. Valid UTF-8 is UTF-8 whatever its label says, and stray bytes in it are windows-1252.
//! Nothing is refused; bytes that cannot be decoded become U+FFFD. Time is linear.
//!
//! Standards: the WHATWG's Encoding Standard; RFC 2152 (UTF-7), 1557, 1843, 1922.

use crate::charset::known::of_escapes;
use crate::defect::Defect;
use encoding_rs::UTF_8;

mod decoder;
mod detection;
mod known;
mod label;
mod pages;
mod shifted;
mod utf7;
mod utf8;
mod wide;

pub use crate::charset::decoder::Decoder;
pub use crate::charset::detection::Detection;
pub use crate::charset::known::Charset;

/// How much of a text with a label is searched for escapes.
const SAMPLE_BYTES_MAX: usize = 4 << 10;
/// How many characters may be UTF-8 by chance.
const CHANCES_MAX: usize = 2;

/// A text that was decoded.
#[derive(Debug, Clone)]
pub struct DecodedText {
    /// The text.
    pub text: String,
    /// The charset that it was in; `None` if it was UTF-8 or ASCII.
    pub charset: Option<Charset>,
    /// What was wrong with it.
    pub defect: Option<Defect>,
}

/// Begins to decode bytes of the charset that `label` names, as UTF-8 if it is unknown.
#[must_use]
pub fn decoder(label: &str) -> Decoder {
    Charset::for_label(label).unwrap_or(Charset::Whatwg(UTF_8)).decoder()
}

/// Decodes a text whose charset may be declared, wrong or missing.
#[must_use]
pub fn decode(bytes: Vec<u8>, declared: Option<&str>, detection: &mut Detection) -> DecodedText {
    let is_open = declared.is_none_or(label::is_ascii);
    let charset = declared.filter(|_| !is_open).and_then(Charset::for_label);
    if let Some(wide) = wide::of(&bytes).filter(|_| charset.is_none_or(|it| !it.is_utf32())) {
        let (text, is_clean) = wide.decode(&bytes);
        let defect = match charset {
            None => Some(Defect::CharsetMissing),
            Some(charset) if charset.is_utf16() && is_clean => None,
            Some(_) => Some(Defect::CharsetWrong),
        };
        return DecodedText { text, charset: Some(wide), defect };
    }
    if let Some(found) = escaped_under(charset, bytes.get(..SAMPLE_BYTES_MAX).unwrap_or(&bytes))
        && bytes.is_ascii()
    {
        let (text, _) = found.decode(&bytes);
        return DecodedText { text, charset: Some(found), defect: Some(Defect::CharsetWrong) };
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if takes_utf8(charset, &text) => {
            let defect = match charset {
                None if is_open => (!text.is_ascii()).then_some(Defect::CharsetMissing),
                None => Some(Defect::CharsetUnknown),
                Some(charset) if charset.is_utf8() || text.is_ascii() => None,
                Some(_) if text.starts_with('\u{FEFF}') => None,
                Some(_) => Some(Defect::CharsetWrong),
            };
            let text = match text.strip_prefix('\u{FEFF}') {
                Some(rest) => rest.to_owned(),
                None => text,
            };
            return DecodedText { text, charset: None, defect };
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let (found, defect) = match charset {
        None if is_open => (detection.of(&bytes), Defect::CharsetMissing),
        None => (detection.of(&bytes), Defect::CharsetUnknown),
        Some(charset) if charset.is_utf8() => {
            (detection::of_wrong_utf8(&bytes, detection), Defect::CharsetWrong)
        }
        Some(charset) if charset.cannot_hold(&bytes) => {
            (detection.of(&bytes), Defect::CharsetWrong)
        }
        Some(charset) if charset.is_single_byte() && detection::is_nearly_utf8(&bytes) => {
            (Charset::Whatwg(UTF_8), Defect::CharsetWrong)
        }
        Some(charset) if charset.is_wide() && wide::cannot_be(&bytes) => {
            (detection.of(&bytes), Defect::CharsetWrong)
        }
        Some(charset) => return decode_declared(&bytes, charset),
    };
    let (text, _) = found.decode(&bytes);
    DecodedText { text, charset: Some(found), defect: Some(defect) }
}

/// The charset with escapes that bytes are in under the label of one that has none.
fn escaped_under(charset: Option<Charset>, bytes: &[u8]) -> Option<Charset> {
    let has_none = |charset: &Charset| charset.is_utf8() || charset.is_single_byte();
    charset.filter(has_none).and_then(|_| of_escapes(bytes))
}

/// Whether bytes that are valid UTF-8 are to be taken as such.
fn takes_utf8(charset: Option<Charset>, text: &str) -> bool {
    match charset {
        // A byte order mark says more than a label.
        _ if text.starts_with('\u{FEFF}') => true,
        None => of_escapes(text.as_bytes()).is_none(),
        Some(Charset::Whatwg(encoding)) if encoding == UTF_8 => true,
        Some(charset) if charset.is_single_byte() => !is_chance(text),
        Some(Charset::Whatwg(encoding)) if encoding.is_ascii_compatible() => {
            text.is_ascii() || has_many_wide(text)
        }
        Some(charset) if charset.is_wide() => wide::cannot_be(text.as_bytes()),
        Some(_) => false,
    }
}

/// Whether text under the label of a charset of single bytes is UTF-8 by chance: one or two capital
/// letters, each with a mark behind it (`FERMÉ…`). Letters outside ASCII that are UTF-8 begin with
/// `Â` or `Ã`, or are of more bytes.
fn is_chance(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let is_mark = |char: char| {
        let mut bytes = [0; 4];
        char.encode_utf8(&mut bytes);
        let [lead, next, ..] = bytes;
        let is_behind =
            matches!(next, 0x85 | 0x91..=0x94 | 0x96 | 0x97 | 0x99 | 0xA9 | 0xAE | 0xBB);
        char.len_utf8() == 2 && lead > 0xC3 && is_behind
    };
    let mut wide = text.chars().filter(|char| !char.is_ascii());
    wide.by_ref().take(CHANCES_MAX).all(is_mark) && wide.next().is_none()
}

/// Whether text under the label of a charset of double bytes is UTF-8 by no chance.
fn has_many_wide(text: &str) -> bool {
    text.chars().filter(|char| char.len_utf8() > 2).nth(CHANCES_MAX).is_some()
}

fn decode_declared(bytes: &[u8], charset: Charset) -> DecodedText {
    let (text, is_clean) = charset.decode(bytes);
    if is_clean {
        return DecodedText { text, charset: Some(charset), defect: None };
    }
    let defect = Some(Defect::CharsetWrong);
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.is_ascii()
    {
        return DecodedText { text: text.to_owned(), charset: None, defect };
    }
    DecodedText { text, charset: Some(charset), defect }
}

/// Decodes bytes of a header, which have no declared charset. The order is: UTF-8, even if it is
/// damaged; `fallback` (the charset of the body), if the bytes are valid in it; then the most
/// likely charset. All bytes are valid in a charset for Latin letters, so such a charset counts
/// only if the bytes look like Latin words.
#[must_use]
pub fn decode_raw(bytes: &[u8], fallback: Option<Charset>, detection: &mut Detection) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let Some(charset) = of_escapes(bytes) else { return text.to_owned() };
        // No label counts more: under another one the escapes would be shown.
        return charset.decode(bytes).0;
    }
    if detection::is_mostly_utf8(bytes) {
        return Charset::Whatwg(UTF_8).decode(bytes).0;
    }
    let usable = fallback.filter(|charset| !charset.is_utf8());
    let is_believed = |charset: Charset| !charset.is_latin() || detection::may_be_latin(bytes);
    if let Some(charset) = usable.filter(|charset| is_believed(*charset)) {
        let (text, is_clean) = charset.decode(bytes);
        if is_clean {
            return text;
        }
    }
    let found = detection.of_raw(bytes);
    // Nothing speaks against the label.
    let found = usable.filter(|label| label.is_latin() && found.is_latin()).unwrap_or(found);
    found.decode(bytes).0
}

/// The charset of a label in a header field; ASCII is as good as none, for bytes outside it.
#[must_use]
pub fn named(label: &str) -> Option<Charset> {
    (!label::is_ascii(label)).then(|| Charset::for_label(label))?
}

/// Decodes bytes that name their charset, as an encoded word or an extended parameter does. An
/// unknown charset is taken for a missing one.
#[must_use]
pub(crate) fn decode_named(bytes: &[u8], charset: Option<Charset>) -> String {
    if let Some(wide) = wide::of(bytes).filter(|_| charset.is_none_or(|it| !it.is_utf32())) {
        return wide.decode(bytes).0;
    }
    if let Some(found) = escaped_under(charset, bytes) {
        return found.decode(bytes).0;
    }
    match charset {
        Some(Charset::Whatwg(encoding)) if encoding == UTF_8 => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                let found = detection::of_wrong_utf8(bytes, &mut Detection::of_field());
                found.decode(bytes).0
            }
        },
        Some(charset) if charset.cannot_hold(bytes) => decode_named(bytes, None),
        Some(charset) if charset.is_wide() && wide::cannot_be(bytes) => decode_named(bytes, None),
        Some(charset) if let Some(text) = utf8_under(charset, bytes) => text.to_owned(),
        Some(charset) if charset.is_single_byte() && detection::is_nearly_utf8(bytes) => {
            Charset::Whatwg(UTF_8).decode(bytes).0
        }
        Some(charset) => match charset.decode(bytes) {
            (text, true) => text,
            (text, false) => match std::str::from_utf8(bytes) {
                Ok(utf8) if !utf8.is_ascii() => utf8.to_owned(),
                Ok(_) | Err(_) => text,
            },
        },
        None => decode_raw(bytes, None, &mut Detection::of_field()),
    }
}

/// The text outside ASCII that is UTF-8 though another charset is named.
fn utf8_under(charset: Charset, bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_ascii() && takes_utf8(Some(charset), text)).then_some(text)
}

#[cfg(test)]
mod tests;
