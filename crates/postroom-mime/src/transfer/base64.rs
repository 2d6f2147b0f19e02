//! Base64 as it arrives.
//!
//! Characters outside the alphabet are skipped. Padding ends the text, unless the next line is
//! base64 again, as when several encodings follow each other. So text that mailing lists append to
//! a base64 body is dropped. A line that begins with `--` also ends the text: a delimiter of a
//! closed multipart, a footer, or the end of an armour.
//!
//! Standards: RFC 2045 §6.8.

/// What a byte is worth; [`NONE`] outside the alphabet.
const VALUES: [u8; 256] = values();
const NONE: u8 = 0xFF;
/// How many groups are decoded at once: a line.
const GROUPS_MAX: usize = 32;
/// How many bytes are counted at once.
const COUNT_BYTES: usize = 128;
/// One character in so many may be none of base64 where a body is looked at.
const OTHERS_RATIO: usize = 20;
/// How many characters of a line decide whether it is base64.
const LOOK_CHARS: usize = 80;
/// A line in base64 that is as long as this is hardly anything else, whatever its length.
pub(crate) const LINE_BYTES_MIN: usize = 20;

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < 64 {
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        {
            values[alphabet[at] as usize] = at as u8;
        }
        at += 1;
    }
    values
}

/// What a character is worth, 0 to 63. `None` outside the alphabet.
fn value(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).copied().filter(|value| *value != NONE)
}

/// A base64 text that is being decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base64 {
    /// Bits of the group of four that is not complete.
    bits: u32,
    /// How many characters of it there are, 0 to 3.
    count: u8,
    /// How many padding characters of the group were seen.
    pads: u8,
    after: PaddingState,
    line: LinePosition,
    /// Whether a character of the alphabet was there.
    has_text: bool,
    malformed: bool,
}

/// Where in its line the next byte is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LinePosition {
    #[default]
    Start,
    /// Behind a `-` that begins it.
    Dash,
    Within,
}

/// Where the text is with regard to its padding.
#[derive(Debug, Clone, Default)]
enum PaddingState {
    #[default]
    Nothing,
    /// Padding ended the text; the next line so far.
    Padding(Vec<u8>),
    /// A line before the text is passed over.
    Armour,
    /// What follows is not base64.
    End,
}

/// Whether a body that begins with `start` may be base64: of its characters but for a few, up to
/// padding or an empty line, and no character beyond a group.
pub(crate) fn fits(start: &[u8], is_whole: bool) -> bool {
    let line_end = if memchr::memchr(b'\n', start).is_some() { b'\n' } else { b'\r' };
    let (mut chars, mut others) = (0, 0);
    for line in start.trim_ascii().split(|byte| *byte == line_end).map(<[u8]>::trim_ascii) {
        let count = line.iter().filter(|byte| value(**byte).is_some() || **byte == b'=').count();
        chars += count;
        others += line.len() - count;
        if line.is_empty() || line.ends_with(b"=") {
            break;
        }
    }
    others * OTHERS_RATIO <= chars && (!is_whole || others > 0 || chars % 4 != 1)
}

impl Base64 {
    /// Decodes the next bytes.
    pub(crate) fn push(&mut self, mut body: &[u8], content: &mut Vec<u8>) {
        content.reserve(body.len() / 4 * 3 + 3);
        while !body.is_empty() {
            body = match &self.after {
                PaddingState::Nothing => self.text(body, content),
                PaddingState::Padding(_) => self.look(body, content),
                PaddingState::Armour => self.pass(body),
                PaddingState::End => return,
            };
        }
    }

    /// Takes the next bytes; returns how many bytes they make. After that, `finish` tells how many
    /// more there are, but not which.
    pub(crate) fn count(&mut self, body: &[u8], scratch: &mut Vec<u8>) -> u64 {
        let mut size_bytes = 0;
        for piece in body.chunks(COUNT_BYTES) {
            let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let is_character =
                |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            // One byte holds these sums: they are made for many bytes at once.
            let characters: u8 = piece.iter().map(|byte| u8::from(is_character(byte))).sum();
            let line_ends: u8 = piece.iter().map(|byte| u8::from(is_line_end(byte))).sum();
            let is_text = usize::from(characters) + usize::from(line_ends) == piece.len();
            if is_text && self.pads == 0 && matches!(self.after, PaddingState::Nothing) {
                let characters = self.count + characters;
                size_bytes += u64::from(characters / 4 * 3);
                self.count = characters % 4;
                self.has_text |= characters > 0;
                self.line = if piece.last().is_some_and(is_line_end) {
                    LinePosition::Start
                } else {
                    LinePosition::Within
                };
            } else {
                scratch.clear();
                self.push(piece, scratch);
                size_bytes += scratch.len() as u64;
            }
        }
        size_bytes
    }

    /// Decodes what is left of an incomplete group.
    pub(crate) fn finish(&mut self, content: &mut Vec<u8>) {
        if let PaddingState::Padding(line) = &mut self.after {
            let line = std::mem::take(line);
            self.decide(&line, content);
        }
        self.malformed |= self.count != 0;
        self.flush(content);
    }

    /// Whether characters were skipped, or a group is incomplete.
    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Decodes up to the end of the text or of `body`; returns the rest.
    fn text<'a>(&mut self, mut body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        while !body.is_empty() {
            if self.count == 0 && self.pads == 0 {
                let before = body.len();
                body = groups(body, content);
                if body.len() < before {
                    (self.line, self.has_text) = (LinePosition::Within, true);
                }
            }
            let Some((&byte, rest)) = body.split_first() else {
                break;
            };
            body = rest;
            if matches!(byte, b'\r' | b'\n') {
                self.line = LinePosition::Start;
                continue;
            }
            if byte == b'-' && self.line == LinePosition::Dash {
                self.malformed = true;
                self.after = if self.has_text { PaddingState::End } else { PaddingState::Armour };
                break;
            }
            let is_dash = byte == b'-' && self.line == LinePosition::Start;
            self.line = if is_dash { LinePosition::Dash } else { LinePosition::Within };
            if self.character(byte, content) {
                self.after = PaddingState::Padding(Vec::new());
                break;
            }
        }
        body
    }

    /// Passes over the rest of a line; returns what follows it.
    fn pass<'a>(&mut self, body: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr::memchr2(b'\r', b'\n', body) else {
            return &[];
        };
        (self.after, self.line) = (PaddingState::Nothing, LinePosition::Start);
        body.get(end..).unwrap_or_default()
    }

    /// Takes one character; returns whether padding ended the text.
    fn character(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        if let Some(value) = value(byte) {
            self.has_text = true;
            // Padding in mid-group that did not complete it: skipped, as other clients do.
            self.malformed |= self.pads > 0;
            self.pads = 0;
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 1;
            if self.count == 4 {
                let [_, a, b, c] = self.bits.to_be_bytes();
                content.extend_from_slice(&[a, b, c]);
                (self.bits, self.count) = (0, 0);
            }
            return false;
        }
        if byte != b'=' {
            self.malformed |= !matches!(byte, b'\r' | b'\n' | b' ' | b'\t');
            return false;
        }
        self.pads += 1;
        let ends = self.count >= 2 && self.count + self.pads >= 4;
        if ends {
            self.flush(content);
        } else if self.count < 2 {
            self.malformed = true;
            self.pads = 0;
        }
        ends
    }

    /// Decodes the characters of an incomplete group: two make a byte, three make two.
    fn flush(&mut self, content: &mut Vec<u8>) {
        let [_, a, b, _] = (self.bits << (6 * (4 - u32::from(self.count)))).to_be_bytes();
        match self.count {
            2 => content.push(a),
            3 => content.extend_from_slice(&[a, b]),
            _ => {}
        }
        (self.bits, self.count, self.pads) = (0, 0, 0);
    }

    /// Gathers the line after the padding; returns the rest.
    fn look<'a>(&mut self, body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        let PaddingState::Padding(line) = &mut self.after else {
            return body;
        };
        for (at, &byte) in body.iter().enumerate() {
            let ends = matches!(byte, b'\r' | b'\n');
            if ends && line.is_empty() {
                continue;
            }
            if ends || line.len() >= LOOK_CHARS {
                let line = std::mem::take(line);
                self.decide(&line, content);
                return body.get(at..).unwrap_or_default();
            }
            // Padding beyond what is needed, and blanks at the end of the line.
            if !(line.is_empty() && matches!(byte, b'=' | b' ' | b'\t')) {
                line.push(byte);
            }
        }
        &[]
    }

    /// Goes on with `line` if it is base64, else ends.
    fn decide(&mut self, line: &[u8], content: &mut Vec<u8>) {
        let line = line.trim_ascii_end();
        let is_text = line.len().is_multiple_of(4) || line.len() >= LINE_BYTES_MIN;
        let is_base64 = line.iter().all(|byte| value(*byte).is_some() || *byte == b'=');
        if line.is_empty() {
            return;
        }
        self.malformed = true;
        self.after = if is_text && is_base64 { PaddingState::Nothing } else { PaddingState::End };
        if matches!(self.after, PaddingState::Nothing) {
            let rest = self.text(line, content);
            debug_assert!(rest.len() < LOOK_CHARS);
        }
    }
}

/// What the characters of a group are worth in their places; [`BAD`] is set for what is none.
static GROUP: [[u32; 256]; 4] = [group(18), group(12), group(6), group(0)];
const BAD: u32 = 1 << 24;

const fn group(shift: u32) -> [u32; 256] {
    let values = values();
    let mut group = [BAD; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        if values[at] != NONE {
            group[at] = (values[at] as u32) << shift;
        }
        at += 1;
    }
    group
}

/// Decodes whole groups of four from the front, a line or so; returns what follows them.
fn groups<'a>(body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
    let mut room = [0; GROUPS_MAX * 3];
    let mut done = 0;
    // In pairs, then one that may be left.
    for (pair, room) in body.chunks_exact(8).zip(room.chunks_exact_mut(6)) {
        let &[a, b, c, d, e, f, g, h] = pair else { break };
        let (first, second) = (bits([a, b, c, d]), bits([e, f, g, h]));
        if (first | second) & BAD != 0 {
            break;
        }
        let [_, _, bytes @ ..] = (u64::from(first) << 24 | u64::from(second)).to_be_bytes();
        room.copy_from_slice(&bytes);
        done += 2;
    }
    let left = body.get(done * 4..).unwrap_or_default();
    if let (&[a, b, c, d, ..], Some(room)) = (left, room.get_mut(done * 3..done * 3 + 3)) {
        let bits = bits([a, b, c, d]);
        if bits & BAD == 0 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            room.copy_from_slice(&bytes);
            done += 1;
        }
    }
    content.extend_from_slice(room.get(..done * 3).unwrap_or_default());
    body.get(done * 4..).unwrap_or_default()
}

/// The bits of a group of four, or [`BAD`] if one of them is none of base64.
fn bits(group: [u8; 4]) -> u32 {
    let [a, b, c, d] = group;
    let [first, second, third, fourth] = &GROUP;
    // Always there: the tables have a place for each byte.
    let at = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(BAD);
    at(first, a) | at(second, b) | at(third, c) | at(fourth, d)
}
