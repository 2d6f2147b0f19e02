//! Base64 as it arrives.
//!
//! Characters outside the alphabet are skipped. Padding ends the text, unless the next line is
//! base64 again, as when several encodings follow each other. So text that mailing lists append to
//! a base64 body is dropped. A line that begins with `--` also ends the text: a delimiter of a
//! closed multipart, a footer, or the end of an armour.
//!
//! Some programs write the URL-safe alphabet, with `-` for `+` and `_` for `/`. The first line that
//! holds one of them shows it, if no `+` or `/` came before and the line is long or makes whole
//! groups with it. Otherwise they are skipped as other characters are. A line of such a text may
//! begin with `--` or `__`, and its width shows that it is text.
//!
//! Standards: RFC 2045 §6.8, RFC 4648 §5.

use crate::transfer::base64::alphabet::groups;
use crate::transfer::base64::alphabet::is_mark;
use crate::transfer::base64::alphabet::value;

mod alphabet;

/// How many bytes are counted at once.
const COUNT_BYTES: usize = 128;
/// One character in so many may be none of base64 where a body is looked at.
const OTHERS_RATIO: usize = 20;
/// How many characters of a line decide whether it is base64.
const LOOK_CHARS: usize = 80;
/// How much of a line is gathered to see what its `-` and `_` are (RFC 5322 §2.1.1).
const LINE_BYTES_MAX: usize = 998;
/// A line in base64 that is as long as this is hardly anything else, whatever its length.
pub(crate) const LINE_BYTES_MIN: usize = 20;

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
    alphabet: Alphabet,
    /// How many bytes of the first line there are, until it ends.
    line_bytes: usize,
    /// How many bytes the first line has. 0 until it has ended.
    width_bytes: usize,
    /// Whether a character of the alphabet was there.
    has_text: bool,
    malformed: bool,
}

/// Where in its line the next byte is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LinePosition {
    #[default]
    Start,
    /// Behind a `-` or `_` that begins it and is not decoded yet.
    Mark(u8),
    Within,
}

/// What the last two characters of the alphabet are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Alphabet {
    /// None of them came yet.
    #[default]
    Unknown,
    /// `+` and `/`.
    Standard,
    /// `-` and `_`.
    Url,
}

/// Where the text is with regard to its padding.
#[derive(Debug, Clone, Default)]
enum PaddingState {
    #[default]
    Nothing,
    /// Padding ended the text; the next line so far.
    Padding(Vec<u8>),
    /// A line whose `-` or `_` are not understood yet, from the first of them on.
    Marks(Vec<u8>),
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
                PaddingState::Marks(_) => self.gather(body, content),
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
            let is_marked = matches!(self.line, LinePosition::Mark(_));
            let is_open = self.pads == 0 && matches!(self.after, PaddingState::Nothing);
            if is_text && is_open && !is_marked {
                self.observe(piece);
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
        if let PaddingState::Marks(line) = &mut self.after {
            let line = std::mem::take(line);
            self.decide_marks(&line, content);
        }
        if let LinePosition::Mark(mark) = self.line {
            self.character(mark, content);
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
        while let Some(&byte) = body.first() {
            if let LinePosition::Mark(mark) = self.line {
                self.second(mark, byte, content);
                if !matches!(self.after, PaddingState::Nothing) {
                    break;
                }
            }
            let before = body;
            if self.count == 0 && self.pads == 0 {
                body = groups(body, content);
            }
            if body.len() < before.len() {
                self.observe(before.get(..before.len() - body.len()).unwrap_or_default());
                (self.line, self.has_text) = (LinePosition::Within, true);
                continue;
            }
            self.observe(&[byte]);
            body = body.get(1..).unwrap_or_default();
            let is_start = self.line == LinePosition::Start;
            self.line = match byte {
                b'\r' | b'\n' => LinePosition::Start,
                b'-' if is_start => LinePosition::Mark(byte),
                b'_' if is_start && self.alphabet != Alphabet::Standard => LinePosition::Mark(byte),
                _ => LinePosition::Within,
            };
            if self.line != LinePosition::Within {
                continue;
            }
            if is_mark(byte) && self.alphabet == Alphabet::Unknown {
                self.after = PaddingState::Marks(vec![byte]);
                break;
            }
            if self.character(byte, content) {
                self.after = PaddingState::Padding(Vec::new());
                break;
            }
        }
        body
    }

    /// Decides with the second byte of a line what the mark is that begins it.
    fn second(&mut self, mark: u8, second: u8, content: &mut Vec<u8>) {
        self.line = LinePosition::Within;
        let is_twice = second == mark;
        if is_twice && mark == b'-' && self.alphabet != Alphabet::Url {
            self.malformed = true;
            self.after = if self.has_text { PaddingState::End } else { PaddingState::Armour };
        } else if is_twice || self.alphabet == Alphabet::Unknown {
            self.after = PaddingState::Marks(vec![mark]);
        } else {
            self.character(mark, content);
        }
    }

    /// Takes note of the alphabet and of the width of the first line.
    fn observe(&mut self, text: &[u8]) {
        if self.alphabet == Alphabet::Unknown && memchr::memchr2(b'+', b'/', text).is_some() {
            self.alphabet = Alphabet::Standard;
        }
        let mut rest = text;
        while self.width_bytes == 0 {
            let end = memchr::memchr2(b'\r', b'\n', rest);
            self.line_bytes += end.unwrap_or(rest.len());
            let Some(end) = end else { return };
            self.width_bytes = std::mem::take(&mut self.line_bytes);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }

    /// Gathers a line with marks; returns the rest.
    fn gather<'a>(&mut self, body: &'a [u8], content: &mut Vec<u8>) -> &'a [u8] {
        let PaddingState::Marks(line) = &mut self.after else {
            return body;
        };
        let end = memchr::memchr2(b'\r', b'\n', body).unwrap_or(body.len());
        let length = end.min((LINE_BYTES_MAX + 1).saturating_sub(line.len()));
        let (piece, rest) = body.split_at_checked(length).unwrap_or((body, &[]));
        line.extend_from_slice(piece);
        let is_ended = !rest.is_empty() || line.len() > LINE_BYTES_MAX;
        let line = is_ended.then(|| std::mem::take(line));
        self.observe(piece);
        if let Some(line) = line {
            self.decide_marks(&line, content);
        }
        rest
    }

    /// Goes on with a line with marks. In a URL-safe text the line begins with two of them: it is a
    /// delimiter or a rule, which ends the text, unless its width shows that it is text.
    fn decide_marks(&mut self, line: &[u8], content: &mut Vec<u8>) {
        let line = line.trim_ascii_end();
        let chars = line.strip_suffix(b"=").unwrap_or(line);
        let chars = chars.strip_suffix(b"=").unwrap_or(chars);
        let is_url = |byte: &u8| value(*byte).is_some() || is_mark(*byte);
        let is_rule = self.count == 0 && !chars.iter().any(u8::is_ascii_alphanumeric);
        let is_text = chars.iter().all(is_url) && !is_rule;
        let left = (usize::from(self.count) + line.len()) % 4;
        let is_group = left == 0 || (left != 1 && chars.len() == line.len());
        let is_long = line.len() > LINE_BYTES_MAX;
        let is_sure = is_group || line.len() >= LINE_BYTES_MIN;
        let is_last = if line.starts_with(b"--") { left == 0 } else { is_group };
        let is_last = is_last && line.len() < self.width_bytes && !line.ends_with(b"--");
        self.malformed = true;
        self.after = PaddingState::Nothing;
        match self.alphabet {
            Alphabet::Unknown if is_text && is_sure => self.alphabet = Alphabet::Url,
            Alphabet::Unknown | Alphabet::Standard => {}
            Alphabet::Url if is_text && (is_last || is_long || line.len() == self.width_bytes) => {}
            Alphabet::Url => self.after = PaddingState::End,
        }
        if matches!(self.after, PaddingState::Nothing) {
            let end = line.iter().position(|byte| self.character(*byte, content));
            if let Some(end) = end {
                self.after = PaddingState::Padding(Vec::new());
                self.look(line.get(end + 1..).unwrap_or_default(), content);
            }
        }
    }

    /// Passes over the rest of a line; returns what follows it.
    fn pass<'a>(&mut self, body: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr::memchr2(b'\r', b'\n', body) else {
            return &[];
        };
        (self.after, self.line) = (PaddingState::Nothing, LinePosition::Start);
        self.line_bytes = 0;
        body.get(end..).unwrap_or_default()
    }

    /// Takes one character; returns whether padding ended the text.
    fn character(&mut self, byte: u8, content: &mut Vec<u8>) -> bool {
        if let Some(value) = value(byte).or_else(|| self.mark(byte)) {
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

    /// What `-` and `_` are worth in a URL-safe text.
    fn mark(&self, byte: u8) -> Option<u8> {
        let worth = if byte == b'-' { 62 } else { 63 };
        (is_mark(byte) && self.alphabet == Alphabet::Url).then_some(worth)
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
        let is_rule = line.starts_with(b"--") || line.starts_with(b"__");
        let is_url = self.alphabet == Alphabet::Url && !is_rule;
        let is_character = |byte: u8| value(byte).is_some() || (is_url && is_mark(byte));
        let is_base64 = line.iter().all(|byte| is_character(*byte) || *byte == b'=');
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
