//! Charsets of seven bits that shift between ASCII and a double-byte set: ISO-2022-KR, ISO-2022-CN
//! and HZ. They are rewritten to the eight-bit form of the same set.
//!
//! Standards: RFC 1557, RFC 1922 (its GB 2312 part), RFC 1843.

/// A text that is being rewritten.
pub(crate) struct Shifted {
    is_hz: bool,
    is_double: bool,
    /// A sequence that is not complete.
    held: Vec<u8>,
}

impl Shifted {
    /// Shifts by SO and SI, and names its sets by escapes.
    pub(crate) fn iso_2022() -> Self {
        Self { is_hz: false, is_double: false, held: vec![] }
    }

    /// Shifts by `~{` and `~}`.
    pub(crate) fn hz() -> Self {
        Self { is_hz: true, is_double: false, held: vec![] }
    }

    /// Rewrites the next bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.is_hz {
                self.hz_byte(byte, &mut plain);
            } else {
                self.iso_2022_byte(byte, &mut plain);
            }
        }
        if last {
            plain.append(&mut self.held);
        }
        plain
    }

    fn hz_byte(&mut self, byte: u8, plain: &mut Vec<u8>) {
        if self.held.pop().is_some() {
            match byte {
                b'{' => self.is_double = true,
                b'}' => self.is_double = false,
                b'~' => plain.push(b'~'),
                b'\n' => {}
                _ => plain.extend_from_slice(&[b'~', byte]),
            }
        } else if byte == b'~' {
            self.held.push(byte);
        } else {
            self.character(byte, plain);
        }
    }

    fn iso_2022_byte(&mut self, byte: u8, plain: &mut Vec<u8>) {
        match (self.held.as_slice(), byte) {
            ([], 0x1B) => self.held.push(byte),
            ([], 0x0E) => self.is_double = true,
            ([], 0x0F) => self.is_double = false,
            ([], _) => self.character(byte, plain),
            ([_], b'$') | ([_, _], b')' | b'*' | b'+') => self.held.push(byte),
            // The set that is named is the only one that is known.
            ([_, _, _], _) => self.held.clear(),
            _ => {
                plain.append(&mut self.held);
                self.character(byte, plain);
            }
        }
    }

    fn character(&mut self, byte: u8, plain: &mut Vec<u8>) {
        if byte == b'\n' {
            self.is_double = false;
        }
        let is_half = self.is_double && (0x21..=0x7E).contains(&byte);
        plain.push(if is_half { byte | 0x80 } else { byte });
    }
}
