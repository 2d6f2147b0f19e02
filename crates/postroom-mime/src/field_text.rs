//! The text of header fields: bytes, folded lines and encoded words made into one line of text.
//!
//! Bytes outside ASCII have no declared charset. They are read as UTF-8 if they are valid,
//! otherwise in the charset of the body, otherwise in the most likely charset. Within encoded words
//! they are in the charset of the word.
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
    pub(crate) fn unstructured(&mut self, value: &[u8]) -> String {
        let mut line = String::new();
        self.append(value, &mut line);
        line
    }

    /// Appends the text of an unstructured field; tells whether it may differ from what is
    /// unfolded, as something like an encoded word stands there.
    pub fn append(&mut self, value: &[u8], line: &mut String) -> bool {
        let start = line.len();
        self.unfold(value, line);
        self.decode_words(start, line)
    }

    /// The same for a value that is [`plain`], and may have words in it.
    pub(crate) fn append_plain(&mut self, value: &str, may_have: bool, line: &mut String) -> bool {
        let start = line.len();
        unfold(value.trim_ascii(), line);
        may_have && self.decode_words(start, line)
    }

    fn decode_words(&mut self, start: usize, line: &mut String) -> bool {
        let text = line.get(start..).unwrap_or_default();
        if encoded_word::begins(text).is_none() {
            return false;
        }
        let decoded = encoded_word::decode(text, &mut self.words_left, self.defects);
        line.truncate(start);
        line.push_str(&decoded);
        true
    }

    /// The text with its encoded words as they are written.
    pub fn unfolded(&mut self, value: &[u8]) -> String {
        let mut line = String::new();
        self.unfold(value, &mut line);
        line
    }

    fn unfold(&mut self, value: &[u8], line: &mut String) {
        let value = value.trim_ascii();
        let mut text = match plain(value) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.raw(value)),
        };
        if memchr::memchr(b'\0', text.as_bytes()).is_some() {
            self.defects.note(Defect::Nul);
            text = Cow::Owned(text.replace('\0', ""));
        }
        unfold(&text, line);
    }

    fn raw(&mut self, value: &[u8]) -> String {
        if std::str::from_utf8(value).is_ok() {
            return charset::decode_raw(value, self.fallback, &mut self.detection);
        }
        self.defects.note(Defect::HeaderRawBytes);
        charset::decode_raw(&encoded_word::escape(value), self.fallback, &mut self.detection)
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

/// Bytes that are text without a second look: UTF-8 without NUL and without escapes.
#[must_use]
pub(crate) fn plain(bytes: &[u8]) -> Option<&str> {
    if memchr::memchr2(0x1B, b'\0', bytes).is_some() {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// Appends folded lines as one: an end of line with the blanks behind it is one blank.
fn unfold(text: &str, line: &mut String) {
    line.reserve(text.len());
    // A byte order mark before it is no text.
    let mut rest = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest.as_bytes()) {
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        line.push_str(piece);
        line.push(' ');
        let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n' | b' ' | b'\t');
        let blanks = after.bytes().take_while(is_blank).count();
        rest = after.get(blanks..).unwrap_or_default();
    }
    line.push_str(rest);
}
