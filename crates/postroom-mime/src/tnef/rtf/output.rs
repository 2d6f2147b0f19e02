//! The characters of a body, decoded as they come in.

use crate::tnef::code_page;

/// Collects a body from bytes in changing code pages and from characters.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    /// Bytes that are not decoded yet: a character may have two of them, in two tokens.
    bytes: Vec<u8>,
    code_page: Option<u32>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

impl Output {
    /// Appends bytes of a code page.
    pub(crate) fn bytes(&mut self, bytes: &[u8], code_page: Option<u32>) {
        if bytes.is_empty() {
            return;
        }
        if self.code_page != code_page {
            self.flush();
            self.code_page = code_page;
        }
        self.half();
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a character.
    pub(crate) fn char(&mut self, char: char) {
        self.half();
        self.flush();
        self.text.push(char);
    }

    /// Appends a unit of UTF-16.
    pub(crate) fn unit(&mut self, unit: u16) {
        self.flush();
        let units = [self.high.take(), Some(unit)];
        for char in char::decode_utf16(units.into_iter().flatten()) {
            match char {
                Ok(char) => self.text.push(char),
                Err(error) => {
                    let unit = error.unpaired_surrogate();
                    if (0xd800..0xdc00).contains(&unit) {
                        self.half();
                        self.high = Some(unit);
                    } else {
                        self.text.push(char::REPLACEMENT_CHARACTER);
                    }
                }
            }
        }
    }

    /// Returns the body.
    pub(crate) fn finish(mut self) -> String {
        self.half();
        self.flush();
        self.text
    }

    /// Gives up waiting for the second half of a pair.
    fn half(&mut self) {
        if self.high.take().is_some() {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.text.push_str(&code_page::decode(&self.bytes, self.code_page.or(Some(1252))));
            self.bytes.clear();
        }
    }
}
