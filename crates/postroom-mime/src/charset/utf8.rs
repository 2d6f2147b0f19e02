//! UTF-8, in which single bytes may be something else.
//!
//! Valid UTF-8 is kept. Stray bytes in it are windows-1252, because a gateway, a form or a template
//! added them. A character that is cut off at the end becomes U+FFFD, unless it is a single byte
//! after ASCII, which is more likely a letter in windows-1252.

use std::borrow::Cow;

/// The characters of the bytes 0x80 to 0x9F in windows-1252. Those above are the same in Unicode.
const LOW: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
];

/// A text that is being decoded.
#[derive(Default)]
pub(crate) struct Utf8Decoder {
    /// The beginning of a character.
    held: Vec<u8>,
    /// Whether the last character was outside ASCII.
    is_wide: bool,
}

impl Utf8Decoder {
    /// Decodes the next bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8], last: bool, malformed: &mut bool) -> String {
        let bytes = if self.held.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            self.held.extend_from_slice(bytes);
            Cow::Owned(std::mem::take(&mut self.held))
        };
        if let Ok(text) = std::str::from_utf8(&bytes) {
            self.note(text);
            return text.to_owned();
        }
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
        let mut left = bytes.len();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            self.note(chunk.valid());
            let stray = chunk.invalid();
            left -= chunk.valid().len() + stray.len();
            if left == 0 && is_cut(stray) {
                if !last {
                    self.held = stray.to_vec();
                    return text;
                }
                text.push(self.cut(stray));
            } else {
                text.extend(stray.iter().map(|byte| windows_1252(*byte)));
                self.is_wide |= !stray.is_empty();
            }
            *malformed |= !stray.is_empty();
        }
        text
    }

    fn note(&mut self, valid: &str) {
        if let Some(last) = valid.as_bytes().last() {
            self.is_wide = !last.is_ascii();
        }
    }

    /// The beginning of a character at the very end. `Â` and `Ã` hardly ever end a word.
    fn cut(&self, stray: &[u8]) -> char {
        match stray {
            [byte @ 0xC4..=0xFF] if !self.is_wide => windows_1252(*byte),
            _ => '\u{FFFD}',
        }
    }
}

/// Whether bytes are the beginning of a character.
fn is_cut(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn windows_1252(byte: u8) -> char {
    let low = byte.checked_sub(0x80).and_then(|at| LOW.get(usize::from(at)));
    low.copied().unwrap_or(char::from(byte))
}
