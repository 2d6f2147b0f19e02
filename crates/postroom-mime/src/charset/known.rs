//! The charsets that can be decoded, and what is known of each.

use crate::charset::pages::PAGES;
use encoding_rs::Encoding;
use encoding_rs::ISO_2022_JP;
use encoding_rs::UTF_8;

/// Charsets for Latin letters in which all bytes are valid, so that valid bytes prove nothing.
const LATIN: [&Encoding; 13] = [
    encoding_rs::WINDOWS_1252,
    encoding_rs::WINDOWS_1250,
    encoding_rs::WINDOWS_1254,
    encoding_rs::WINDOWS_1257,
    encoding_rs::ISO_8859_2,
    encoding_rs::ISO_8859_3,
    encoding_rs::ISO_8859_4,
    encoding_rs::ISO_8859_10,
    encoding_rs::ISO_8859_13,
    encoding_rs::ISO_8859_14,
    encoding_rs::ISO_8859_15,
    encoding_rs::ISO_8859_16,
    encoding_rs::MACINTOSH,
];

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

impl Charset {
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

    pub(crate) fn is_single_byte(self) -> bool {
        match self {
            Self::Whatwg(encoding) => encoding.is_single_byte(),
            Self::Page(_) => true,
            Self::Utf7 | Self::Iso2022Kr | Self::Iso2022Cn | Self::Hz | Self::Utf32 { .. } => false,
        }
    }

    /// Whether it is one of the two orders of UTF-16.
    pub(crate) fn is_utf16(self) -> bool {
        let is_it = |encoding| [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&encoding);
        matches!(self, Self::Whatwg(encoding) if is_it(encoding))
    }

    pub(crate) fn is_utf32(self) -> bool {
        matches!(self, Self::Utf32 { .. })
    }

    /// Whether each of its characters has two bytes or more.
    pub(crate) fn is_wide(self) -> bool {
        self.is_utf16() || self.is_utf32()
    }

    pub(crate) fn is_latin(self) -> bool {
        matches!(self, Self::Whatwg(encoding) if LATIN.contains(&encoding))
    }

    /// Whether it is a 7-bit charset although the bytes have eight bits and no shift sequences.
    /// Then the bytes are in another charset.
    pub(crate) fn cannot_hold(self, bytes: &[u8]) -> bool {
        let shifts: &[u8] = match self {
            Self::Whatwg(encoding) if encoding == ISO_2022_JP => b"\x1B",
            Self::Iso2022Kr | Self::Iso2022Cn => b"\x1B\x0E",
            Self::Hz => b"~",
            Self::Utf7 => b"+",
            Self::Whatwg(_) | Self::Page(_) | Self::Utf32 { .. } => return false,
        };
        !bytes.is_ascii()
            && std::str::from_utf8(bytes).is_err()
            && !shifts.iter().any(|shift| memchr::memchr(*shift, bytes).is_some())
    }
}

/// The charset whose escapes switch character sets in the bytes, which are ASCII otherwise.
pub(crate) fn of_escapes(bytes: &[u8]) -> Option<Charset> {
    let mut escapes = memchr::memchr_iter(0x1B, bytes);
    let found = escapes.find_map(|at| match bytes.get(at + 1..at + 4)? {
        [b'$', b'@' | b'B', _] | [b'(', b'I', _] => Some(Charset::Whatwg(ISO_2022_JP)),
        b"$)C" => Some(Charset::Iso2022Kr),
        b"$)A" => Some(Charset::Iso2022Cn),
        _ => None,
    });
    found.filter(|_| bytes.is_ascii())
}
