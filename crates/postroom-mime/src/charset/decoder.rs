//! Decoding piece by piece.

use crate::charset::known::Charset;
use crate::charset::pages::PAGES;
use crate::charset::shifted::Shifted;
use crate::charset::utf7::Utf7;
use crate::charset::utf8::Utf8Decoder;
use encoding_rs::CoderResult;
use encoding_rs::ISO_2022_JP;
use encoding_rs::UTF_8;

/// How much text is decoded at once.
const PIECE_BYTES_MAX: usize = 8 << 10;

/// Turns bytes of a charset into UTF-8, piece by piece. A byte order mark is left out.
pub struct Decoder {
    state: CharsetState,
    at_start: bool,
    malformed: bool,
}

/// What is kept between two pieces.
enum CharsetState {
    Utf8(Utf8Decoder),
    Whatwg(encoding_rs::Decoder),
    /// ISO-2022-JP: escapes that switch nothing are left out before they reach the decoder.
    Escapes {
        decoder: encoding_rs::Decoder,
        held: Vec<u8>,
    },
    /// The characters of the upper half.
    Page(Vec<char>),
    Utf7(Utf7),
    Shifted(Shifted, encoding_rs::Decoder),
    Utf32 {
        little_endian: bool,
        held: Vec<u8>,
    },
}

impl Charset {
    /// Begins to decode.
    #[must_use]
    pub fn decoder(self) -> Decoder {
        Decoder::new(self)
    }

    /// Decodes what is in memory; tells whether all of it was in this charset.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> (String, bool) {
        let needs_state = [UTF_8, ISO_2022_JP, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE];
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

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("malformed", &self.malformed).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Begins to decode.
    #[must_use]
    pub fn new(charset: Charset) -> Self {
        let shifted = |shifted, encoding: &'static encoding_rs::Encoding| {
            CharsetState::Shifted(shifted, encoding.new_decoder_without_bom_handling())
        };
        let state = match charset {
            Charset::Whatwg(encoding) if encoding == encoding_rs::UTF_8 => {
                CharsetState::Utf8(Utf8Decoder::default())
            }
            Charset::Whatwg(encoding) if encoding == encoding_rs::ISO_2022_JP => {
                let decoder = encoding.new_decoder_without_bom_handling();
                CharsetState::Escapes { decoder, held: vec![] }
            }
            Charset::Whatwg(encoding)
                if encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE =>
            {
                CharsetState::Whatwg(encoding.new_decoder())
            }
            Charset::Whatwg(encoding) => {
                CharsetState::Whatwg(encoding.new_decoder_without_bom_handling())
            }
            Charset::Page(page) => {
                CharsetState::Page(PAGES.get(page).map_or("", |(_, upper)| upper).chars().collect())
            }
            Charset::Utf7 => CharsetState::Utf7(Utf7::default()),
            Charset::Iso2022Kr => shifted(Shifted::iso_2022(), encoding_rs::EUC_KR),
            Charset::Iso2022Cn => shifted(Shifted::iso_2022(), encoding_rs::GBK),
            Charset::Hz => shifted(Shifted::hz(), encoding_rs::GBK),
            Charset::Utf32 { little_endian } => CharsetState::Utf32 { little_endian, held: vec![] },
        };
        Self { state, at_start: true, malformed: false }
    }

    /// Decodes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.decode(bytes, false)
    }

    /// Returns what was held back: call once, after the last bytes.
    pub fn finish(&mut self) -> String {
        self.decode(&[], true)
    }

    /// Whether bytes were met that do not belong into the charset.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    fn decode(&mut self, bytes: &[u8], last: bool) -> String {
        let malformed = &mut self.malformed;
        let mut text = match &mut self.state {
            CharsetState::Utf8(utf8) => utf8.decode(bytes, last, malformed),
            CharsetState::Whatwg(decoder) => whatwg(decoder, bytes, last, malformed),
            CharsetState::Escapes { decoder, held } => {
                whatwg(decoder, &escapes(held, bytes, last), last, malformed)
            }
            CharsetState::Page(upper) => bytes.iter().map(|byte| page(upper, *byte)).collect(),
            CharsetState::Utf7(utf7) => utf7.decode(bytes, last, malformed),
            CharsetState::Shifted(shifted, decoder) => {
                whatwg(decoder, &shifted.decode(bytes, last), last, malformed)
            }
            CharsetState::Utf32 { little_endian, held } => {
                held.extend_from_slice(bytes);
                utf32(held, little_endian, last, malformed)
            }
        };
        *malformed |= matches!(self.state, CharsetState::Page(_)) && text.contains('\u{FFFD}');
        if self.at_start && !text.is_empty() {
            self.at_start = false;
            if text.starts_with('\u{FEFF}') {
                text.remove(0);
            }
        }
        text
    }
}

fn page(upper: &[char], byte: u8) -> char {
    match byte.checked_sub(0x80) {
        Some(at) => upper.get(usize::from(at)).copied().unwrap_or('\u{FFFD}'),
        None => char::from(byte),
    }
}

/// Decodes by way of a small buffer: the room of the whole text would be made ready anew for each
/// byte that is malformed.
fn whatwg(
    decoder: &mut encoding_rs::Decoder,
    mut bytes: &[u8],
    last: bool,
    malformed: &mut bool,
) -> String {
    let room = decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(PIECE_BYTES_MAX);
    let mut piece = "\0".repeat(room.min(PIECE_BYTES_MAX));
    let mut text = String::with_capacity(bytes.len());
    loop {
        let (result, read, written, is_replaced) = decoder.decode_to_str(bytes, &mut piece, last);
        *malformed |= is_replaced;
        text.push_str(piece.get(..written).unwrap_or_default());
        bytes = bytes.get(read..).unwrap_or_default();
        if result == CoderResult::InputEmpty {
            return text;
        }
    }
}

/// Leaves out each escape sequence that is followed by another one: side by side they are in use
/// where words were joined, and the WHATWG's decoder takes them for an attack.
fn escapes(held: &mut Vec<u8>, mut bytes: &[u8], last: bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(held.len() + bytes.len());
    loop {
        if held.is_empty() {
            let escape = memchr::memchr(0x1B, bytes).unwrap_or(bytes.len());
            let (plain, rest) = bytes.split_at_checked(escape).unwrap_or((bytes, &[]));
            kept.extend_from_slice(plain);
            bytes = rest;
        }
        let Some((&byte, rest)) = bytes.split_first() else { break };
        bytes = rest;
        match (held.as_slice(), byte) {
            ([] | [_, _, _, ..], 0x1B) => {
                held.clear();
                held.push(byte);
            }
            ([], _) => kept.push(byte),
            ([0x1B], b'$' | b'(') | ([0x1B, _], b'@'..=b'Z') => held.push(byte),
            _ => {
                kept.append(held);
                if byte == 0x1B {
                    held.push(byte);
                } else {
                    kept.push(byte);
                }
            }
        }
    }
    // An escape back to ASCII at the very end switches nothing either.
    if last && held.len() == 3 {
        held.clear();
    }
    if last {
        kept.append(held);
    }
    kept
}

fn utf32(held: &mut Vec<u8>, little_endian: &mut bool, last: bool, malformed: &mut bool) -> String {
    let mut text = String::with_capacity(held.len() / 4);
    for unit in held.chunks_exact(4) {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(unit);
        if bytes == [0xFF, 0xFE, 0, 0] {
            *little_endian = true;
        }
        let value =
            if *little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        *malformed |= char::from_u32(value).is_none();
        text.push(char::from_u32(value).unwrap_or('\u{FFFD}'));
    }
    held.drain(..held.len() / 4 * 4);
    if last && !held.is_empty() {
        *malformed = true;
        held.clear();
        text.push('\u{FFFD}');
    }
    text
}
