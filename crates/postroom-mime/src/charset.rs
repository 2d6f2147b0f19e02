//! Charsets: from the bytes of a text to UTF-8, whole or piece by piece.
//!
//! Labels mean what browsers make of them (`iso-8859-1` is windows-1252, `gb2312` is GBK), and the
//! names that mail uses besides are known. What a text declares is believed as long as its bytes
//! allow it; undeclared or wrong, the bytes decide: UTF-8, ISO-2022-JP, then what they look like.
//! Nothing is refused: what cannot be decoded becomes U+FFFD.
//!
//! Standards: the WHATWG's Encoding Standard; RFC 2152 (UTF-7), 1557, 1843, 1922.

use crate::charset::pages::PAGES;
use crate::defect::Defect;
use encoding_rs::Encoding;
use encoding_rs::ISO_2022_JP;
use encoding_rs::UTF_8;

mod decoder;
mod detection;
mod label;
mod pages;
mod shifted;
mod utf7;

pub use crate::charset::decoder::Decoder;
pub use crate::charset::detection::Detection;

/// A charset that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// One that browsers know.
    Whatwg(&'static Encoding),
    /// A single-byte code page: its place in the list of pages.
    Page(usize),
    /// UTF-7 (RFC 2152).
    Utf7,
    /// ISO-2022-KR (RFC 1557).
    Iso2022Kr,
    /// ISO-2022-CN, its GB 2312 part (RFC 1922).
    Iso2022Cn,
    /// HZ (RFC 1843).
    Hz,
    /// UTF-32, big-endian unless it says otherwise.
    Utf32 {
        /// Whether the low byte comes first.
        little_endian: bool,
    },
}

/// A text that was decoded.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The charset that it was in; `None` if it was UTF-8 or ASCII.
    pub charset: Option<Charset>,
    /// What was wrong with it.
    pub defect: Option<Defect>,
}

impl Charset {
    /// The charset of a label; `None` if it is unknown, or says that it is not known.
    #[must_use]
    pub fn for_label(label: &str) -> Option<Self> {
        label::resolve(label)
    }

    /// A label that stands for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whatwg(encoding) => encoding.name(),
            Self::Page(page) => {
                let name = PAGES.get(page).and_then(|(names, _)| names.first());
                name.copied().unwrap_or("us-ascii")
            }
            Self::Utf7 => "utf-7",
            Self::Iso2022Kr => "iso-2022-kr",
            Self::Iso2022Cn => "iso-2022-cn",
            Self::Hz => "hz-gb-2312",
            Self::Utf32 { little_endian: true } => "utf-32le",
            Self::Utf32 { little_endian: false } => "utf-32be",
        }
    }

    /// Whether it is UTF-8.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        self == Self::Whatwg(UTF_8)
    }

    /// Begins to decode.
    #[must_use]
    pub fn decoder(self) -> Decoder {
        Decoder::new(self)
    }

    /// Decodes what is in memory; tells whether all of it was in this charset.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> (String, bool) {
        let needs_state = [ISO_2022_JP, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE];
        let is_stateful = matches!(self, Self::Whatwg(encoding) if needs_state.contains(&encoding));
        if let Self::Whatwg(encoding) = self
            && !is_stateful
        {
            let (text, malformed) = encoding.decode_without_bom_handling(bytes);
            return (text.into_owned(), !malformed);
        }
        let mut decoder = self.decoder();
        let mut text = decoder.push(bytes);
        text.push_str(&decoder.finish());
        (text, !decoder.is_malformed())
    }
}

/// Begins to decode bytes of the charset that `label` names, as UTF-8 if it is unknown.
#[must_use]
pub fn decoder(label: &str) -> Decoder {
    Charset::for_label(label).unwrap_or(Charset::Whatwg(UTF_8)).decoder()
}

/// Decodes a text whose charset may be declared, wrong or missing.
#[must_use]
pub fn decode(bytes: Vec<u8>, declared: Option<&str>, detection: &mut Detection) -> Text {
    let is_open = declared.is_none_or(label::is_ascii);
    let charset = declared.filter(|_| !is_open).and_then(Charset::for_label);
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if takes_utf8(charset, &text) => {
            let defect = (is_open && !text.is_ascii()).then_some(Defect::CharsetMissing);
            let unknown = (!is_open && charset.is_none()).then_some(Defect::CharsetUnknown);
            let text = match text.strip_prefix('\u{FEFF}') {
                Some(rest) => rest.to_owned(),
                None => text,
            };
            return Text { text, charset: None, defect: unknown.or(defect) };
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    match charset.filter(|charset| !charset.is_utf8()) {
        Some(charset) => decode_declared(&bytes, charset),
        None => {
            let defect = match charset {
                None if is_open => Defect::CharsetMissing,
                None => Defect::CharsetUnknown,
                Some(_) => Defect::CharsetWrong,
            };
            let charset = match charset {
                Some(_) if detection::has_utf8(&bytes) => Charset::Whatwg(UTF_8),
                Some(_) | None => detection.of(&bytes),
            };
            let (text, _) = charset.decode(&bytes);
            Text { text, charset: Some(charset), defect: Some(defect) }
        }
    }
}

/// Whether bytes that are valid UTF-8 are to be taken as such.
fn takes_utf8(charset: Option<Charset>, text: &str) -> bool {
    match charset {
        // A byte order mark says more than a label.
        _ if text.starts_with('\u{FEFF}') => true,
        None => !has_escapes(text.as_bytes()),
        Some(Charset::Whatwg(encoding)) if encoding == UTF_8 => true,
        Some(Charset::Whatwg(encoding)) => encoding.is_ascii_compatible() && text.is_ascii(),
        Some(Charset::Page(_)) => text.is_ascii(),
        Some(
            Charset::Utf7
            | Charset::Iso2022Kr
            | Charset::Iso2022Cn
            | Charset::Hz
            | Charset::Utf32 { .. },
        ) => false,
    }
}

fn decode_declared(bytes: &[u8], charset: Charset) -> Text {
    let (text, is_clean) = charset.decode(bytes);
    if is_clean {
        return Text { text, charset: Some(charset), defect: None };
    }
    let defect = Some(Defect::CharsetWrong);
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.is_ascii()
    {
        return Text { text: text.to_owned(), charset: None, defect };
    }
    Text { text, charset: Some(charset), defect }
}

/// Whether the bytes switch character sets as ISO-2022-JP does.
fn has_escapes(bytes: &[u8]) -> bool {
    memchr::memchr(0x1B, bytes).is_some()
        && memchr::memmem::find_iter(bytes, b"\x1B$")
            .any(|at| matches!(bytes.get(at + 2), Some(b'@' | b'B')))
}

/// Decodes bytes of a header, which declare nothing: UTF-8, then `fallback` (the charset of the
/// body) if the bytes are in it, then what they look like.
#[must_use]
pub fn decode_raw(bytes: &[u8], fallback: Option<Charset>, detection: &mut Detection) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !has_escapes(bytes)
    {
        return text.to_owned();
    }
    let usable = fallback.filter(|charset| !charset.is_utf8());
    if let Some(charset) = usable {
        let (text, is_clean) = charset.decode(bytes);
        if is_clean {
            return text;
        }
    }
    detection.of(bytes).decode(bytes).0
}

/// The charset of a label in a header field; ASCII is as good as none, for bytes outside it.
#[must_use]
pub fn named(label: &str) -> Option<Charset> {
    (!label::is_ascii(label)).then(|| Charset::for_label(label))?
}

/// Decodes bytes that name their charset, as an encoded word or an extended parameter does. An
/// unknown charset is taken for a missing one.
#[must_use]
pub fn decode_named(bytes: &[u8], charset: Option<Charset>) -> String {
    match charset {
        Some(Charset::Whatwg(encoding)) if encoding == UTF_8 => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => Detection::of_field().of(bytes).decode(bytes).0,
        },
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

#[cfg(test)]
mod tests;
