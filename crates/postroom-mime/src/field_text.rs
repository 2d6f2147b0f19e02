//! The text of header fields: bytes, folded lines and encoded words made into one line of text.
//!
//! Bytes outside ASCII declare nothing: they are UTF-8 if they can be, else in the charset of the
//! body, else what they look like.
//!
//! Standards: RFC 5322 §2.2.3, RFC 2047, RFC 6532.

use crate::charset;
use crate::charset::Charset;
use crate::charset::Detection;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoded_word;
use std::borrow::Cow;

/// What is needed to read the fields of one message.
#[derive(Debug)]
pub struct FieldText<'a> {
    /// The charset of the body.
    pub fallback: Option<Charset>,
    /// How many encoded words may still be decoded.
    pub words_left: usize,
    /// Finds out the charset of bytes.
    pub detection: Detection,
    /// What was met.
    pub defects: &'a mut Defects,
}

impl FieldText<'_> {
    /// The text of an unstructured field, as a person reads it.
    pub fn unstructured(&mut self, value: &[u8]) -> String {
        let text = self.unfolded(value);
        self.words(text)
    }

    /// The text with its encoded words as they are written.
    pub fn unfolded(&mut self, value: &[u8]) -> String {
        let value = value.trim_ascii();
        if let Some(text) = plain(value) {
            return text.to_owned();
        }
        let text = match std::str::from_utf8(value) {
            Ok(text) if memchr::memchr(0x1B, value).is_none() => Cow::Borrowed(text),
            Ok(_) => Cow::Owned(self.raw(value)),
            Err(_) => {
                self.defects.note(Defect::HeaderRawBytes);
                Cow::Owned(self.raw(value))
            }
        };
        if memchr::memchr3(b'\r', b'\n', b'\0', text.as_bytes()).is_none() {
            return text.into_owned();
        }
        if memchr::memchr(b'\0', text.as_bytes()).is_some() {
            self.defects.note(Defect::Nul);
        }
        unfold(&text)
    }

    fn raw(&mut self, value: &[u8]) -> String {
        charset::decode_raw(value, self.fallback, &mut self.detection)
    }

    /// Decodes the encoded words of a text.
    pub fn words(&mut self, text: String) -> String {
        if encoded_word::begins(&text).is_some() {
            encoded_word::decode(&text, &mut self.words_left, self.defects)
        } else {
            text
        }
    }
}

/// The text of most fields, which is as it is written: ASCII in one line, without control
/// characters but tabs.
fn plain(value: &[u8]) -> Option<&str> {
    // All bytes are looked at, many at once.
    let is_other = |byte: u8| (byte.wrapping_sub(b' ') > b'~' - b' ') & (byte != b'\t');
    let others = value.iter().fold(0, |others, byte| others | u8::from(is_other(*byte)));
    if others == 0 { std::str::from_utf8(value).ok() } else { None }
}

/// Joins folded lines: an end of line with the blanks behind it is one blank. NUL is left out.
fn unfold(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'\r', b'\n', b'\0', rest.as_bytes()) {
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        line.push_str(piece);
        if after.starts_with('\0') {
            rest = after.strip_prefix('\0').unwrap_or(after);
        } else {
            line.push(' ');
            let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | b'\0');
            let blanks = after.bytes().take_while(is_blank).count();
            rest = after.get(blanks..).unwrap_or_default();
        }
    }
    line.push_str(rest);
    line
}
