//! UTF-7.
//!
//! Standards: RFC 2152.

/// A text that is being decoded.
#[derive(Default)]
pub(crate) struct Utf7 {
    /// Bits of a UTF-16 unit that is not complete. `None` outside of base64.
    bits: Option<(u32, u32)>,
    /// Whether base64 has just begun: `+-` is a plus sign.
    is_new: bool,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

impl Utf7 {
    /// Decodes the next bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8], last: bool, malformed: &mut bool) -> String {
        let mut text = String::with_capacity(bytes.len());
        for &byte in bytes {
            match self.bits {
                None if byte == b'+' => {
                    self.bits = Some((0, 0));
                    self.is_new = true;
                }
                None => plain(byte, &mut text, malformed),
                Some((bits, count)) => match value(byte) {
                    Some(value) => self.digit(bits << 6 | value, count + 6, &mut text, malformed),
                    None => {
                        self.end(&mut text, malformed);
                        match byte {
                            b'-' if self.is_new => text.push('+'),
                            b'-' => {}
                            _ => plain(byte, &mut text, malformed),
                        }
                    }
                },
            }
        }
        if last {
            self.end(&mut text, malformed);
        }
        text
    }

    fn digit(&mut self, bits: u32, count: u32, text: &mut String, malformed: &mut bool) {
        self.is_new = false;
        if count < 16 {
            self.bits = Some((bits, count));
            return;
        }
        let rest = count - 16;
        let [.., a, b] = (bits >> rest).to_be_bytes();
        self.bits = Some((bits & ((1 << rest) - 1), rest));
        let unit = u16::from_be_bytes([a, b]);
        let is_high = (0xD800..0xDC00).contains(&unit);
        let units = [self.high.take().filter(|_| !is_high), (!is_high).then_some(unit)];
        if is_high {
            self.high = Some(unit);
            return;
        }
        for char in char::decode_utf16(units.into_iter().flatten()) {
            *malformed |= char.is_err();
            text.push(char.unwrap_or('\u{FFFD}'));
        }
    }

    fn end(&mut self, text: &mut String, malformed: &mut bool) {
        self.bits = None;
        if self.high.take().is_some() {
            *malformed = true;
            text.push('\u{FFFD}');
        }
    }
}

fn plain(byte: u8, text: &mut String, malformed: &mut bool) {
    *malformed |= !byte.is_ascii();
    text.push(if byte.is_ascii() { char::from(byte) } else { '\u{FFFD}' });
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
