//! Quoted-printable as it arrives.
//!
//! Escapes in either case; blanks between `=` and the end of a line are dropped with it; an `=` that
//! escapes nothing stands for itself; at the end of the body it is dropped.
//!
//! Standards: RFC 2045 §6.7.

/// How many blanks may stand between `=` and the end of its line.
const BLANKS_MAX: usize = 256;

/// A quoted-printable text that is being decoded.
#[derive(Debug, Clone, Default)]
pub struct QuotedPrintable {
    /// An escape that is not complete: `=` and what followed.
    held: Vec<u8>,
    malformed: bool,
}

impl QuotedPrintable {
    /// Decodes the next bytes.
    pub fn push(&mut self, mut body: &[u8], content: &mut Vec<u8>) {
        while let Some(&byte) = body.first() {
            if self.held.is_empty() {
                let plain = memchr::memchr(b'=', body).unwrap_or(body.len());
                let (plain, rest) = body.split_at_checked(plain).unwrap_or_default();
                content.extend_from_slice(plain);
                body = self.escapes(rest, content);
            } else if self.escape(byte, content) {
                body = body.get(1..).unwrap_or_default();
            }
        }
    }

    /// Decodes what was held back.
    pub fn finish(&mut self, content: &mut Vec<u8>) {
        if self.held.get(1).is_some_and(u8::is_ascii_hexdigit) {
            content.extend_from_slice(&self.held);
            self.malformed = true;
        }
        self.held.clear();
    }

    /// Whether an escape was none.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Decodes escapes that stand one behind the other; returns what follows. What is not plain is
    /// left to [`Self::escape`].
    fn escapes<'a>(&mut self, mut body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        loop {
            match body {
                [b'=', b'\r', b'\n', rest @ ..] | [b'=', b'\n', rest @ ..] => body = rest,
                [b'=', high, low, rest @ ..] => {
                    let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
                        break;
                    };
                    content.push(high << 4 | low);
                    body = rest;
                }
                _ => break,
            }
        }
        let [b'=', rest @ ..] = body else { return body };
        self.held.push(b'=');
        rest
    }

    /// Takes the next byte of an escape; returns whether it belongs to it.
    fn escape(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        let belongs = match (self.held.as_slice(), byte) {
            ([_], _) if hex(byte).is_some() => {
                self.held.push(byte);
                return true;
            }
            ([_, high], _) if hex(*high).is_some() => match hex(byte) {
                Some(low) => {
                    content.push(hex(*high).unwrap_or(0) << 4 | low);
                    self.held.clear();
                    return true;
                }
                None => false,
            },
            ([.., b'\r'], b'\n') => {
                self.held.clear();
                return true;
            }
            ([.., b'\r'], _) => {
                // A bare CR ends a line too.
                self.held.clear();
                return false;
            }
            (_, b'\n') => {
                self.held.clear();
                return true;
            }
            (_, b'\r' | b' ' | b'\t') => self.held.len() < BLANKS_MAX,
            _ => false,
        };
        if belongs {
            self.held.push(byte);
        } else {
            self.malformed = true;
            content.append(&mut self.held);
        }
        belongs
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
