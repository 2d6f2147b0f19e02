//! The text of header fields: bytes, folded lines and encoded words made into one line of text.
//!
//! Bytes outside ASCII declare nothing: they are UTF-8 if they can be, else in the charset of the
//! body, else what they look like.
//!
//! Standards: RFC 5322 §2.2.3, RFC 2047, RFC 6532.

use crate::charset;
use crate::charset::Charset;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoded_word;

/// What is needed to read the fields of one message.
#[derive(Debug)]
pub struct FieldText<'a> {
    /// The charset of the body.
    pub fallback: Option<Charset>,
    /// How many encoded words may still be decoded.
    pub words_left: usize,
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
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        if value.iter().all(is_plain) {
            return std::str::from_utf8(value).unwrap_or_default().to_owned();
        }
        let is_utf8 = std::str::from_utf8(value).is_ok();
        if !is_utf8 {
            self.defects.note(Defect::HeaderRawBytes);
        }
        let text = charset::decode_raw(value, self.fallback);
        if memchr::memchr3(b'\r', b'\n', b'\0', text.as_bytes()).is_none() {
            return text;
        }
        if text.contains('\0') {
            self.defects.note(Defect::Nul);
        }
        unfold(&text)
    }

    /// Decodes the encoded words of a text.
    pub fn words(&mut self, text: String) -> String {
        if text.contains("=?") {
            encoded_word::decode(&text, &mut self.words_left, self.defects)
        } else {
            text
        }
    }
}

/// Joins folded lines: an end of line with the blanks behind it is one blank.
fn unfold(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut chars = text.chars().filter(|char| *char != '\0').peekable();
    while let Some(char) = chars.next() {
        if matches!(char, '\r' | '\n') {
            while chars.next_if(|char| matches!(char, '\r' | '\n' | ' ' | '\t')).is_some() {}
            line.push(' ');
        } else {
            line.push(char);
        }
    }
    line
}
