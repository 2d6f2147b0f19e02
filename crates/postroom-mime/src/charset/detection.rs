//! Detects the charset of bytes that declare none, or a wrong one.
//!
//! Detection is slow, a few megabytes a second. So each message has a budget of bytes. Beyond the
//! budget, the charset that was found last counts for the rest.

use crate::charset::known::Charset;
use crate::charset::known::of_escapes;
use chardetng::EncodingDetector;
use encoding_rs::GB18030;
use encoding_rs::GBK;
use encoding_rs::UTF_8;
use encoding_rs::WINDOWS_1252;

/// How many bytes of one text tell whether it is a text at all.
const SAMPLE_BYTES_MAX: usize = 16 << 10;
/// How many bytes in words outside ASCII are looked at in one text.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// How many such bytes are looked at in the texts of one message together.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// How many are looked at in one field by itself: a name of a file, an identifier.
const FIELD_BYTES_MAX: usize = 256;
/// In pieces of which size long words are looked at. One outside ASCII must fill the sample: the
/// next one might begin within a character.
const PIECE_BYTES: usize = TEXT_BYTES_MAX;
/// After how many pieces that are no UTF-8 it is given up, if there was hardly any.
const WRONG_MAX: usize = 256;
/// Under another label each stray byte needs more than so many characters of UTF-8 beside it.
const STRAY_MAX: usize = 4;
/// A field with so many bytes outside ASCII tells its charset by itself.
const OWN_BYTES_MIN: usize = 24;
/// How many characters outside ASCII stand side by side in words of Latin letters.
const LATIN_RUN_MAX: usize = 2;
/// How many control characters a text may hold, however short it is.
const CONTROLS_MAX: usize = 4;

/// What charsets were found out so far, and how many bytes may still be looked at.
#[derive(Debug, Clone)]
pub struct Detection {
    left: usize,
    last: Option<Charset>,
    /// What the lines of a header are in, looked at together.
    header: Option<Charset>,
}

impl Default for Detection {
    /// The budget of one message.
    fn default() -> Self {
        Self { left: MESSAGE_BYTES_MAX, last: None, header: None }
    }
}

impl Detection {
    /// The budget of one field by itself.
    #[must_use]
    pub fn of_field() -> Self {
        Self { left: FIELD_BYTES_MAX, last: None, header: None }
    }

    /// Finds out the charset of bytes that are no valid UTF-8 as a whole, or hold escapes.
    pub fn of(&mut self, text: &[u8]) -> Charset {
        let bytes = text.get(..SAMPLE_BYTES_MAX).unwrap_or(text);
        if let Some(charset) = of_escapes(bytes) {
            return charset;
        }
        if is_damaged_utf8(text) {
            return Charset::Whatwg(UTF_8);
        }
        if is_binary(bytes) {
            return Charset::Whatwg(WINDOWS_1252);
        }
        if self.left == 0 {
            // Without its end: a sample may be cut within a character.
            let fits = |charset: &Charset| {
                let mut decoder = charset.decoder();
                decoder.push(bytes);
                !decoder.is_malformed()
            };
            return self.last.filter(fits).unwrap_or(Charset::Whatwg(WINDOWS_1252));
        }
        let found = self.guess(text);
        self.last = Some(found);
        found
    }

    /// Looks at the lines of a header together: a name or a short subject by itself tells little.
    pub fn learn(&mut self, header: &[u8]) {
        let is_raw = |line: &&[u8]| {
            std::str::from_utf8(line).is_err()
                && !is_mostly_utf8(line)
                && memchr::memmem::find(line, b"=?").is_none()
        };
        let mut lines = vec![];
        for line in header.split_inclusive(|byte| *byte == b'\n').filter(is_raw) {
            lines.extend_from_slice(line);
            if lines.len() > SAMPLE_BYTES_MAX {
                break;
            }
        }
        if !lines.is_empty() {
            self.header = Some(self.of(&lines));
        }
    }

    /// Finds out the charset of a field: a short one is in that of the header it stands in.
    pub(crate) fn of_raw(&mut self, field: &[u8]) -> Charset {
        let is_short = field.iter().filter(|byte| !byte.is_ascii()).count() < OWN_BYTES_MIN;
        let fits = |charset: &Charset| charset.decode(field).1;
        match self.header.filter(|_| is_short).filter(fits) {
            Some(charset) => charset,
            None => self.of(field),
        }
    }

    fn guess(&mut self, text: &[u8]) -> Charset {
        let mut detector = EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
        // Words in ASCII say nothing, nor do lines of them.
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.is_ascii());
        let words = lines.flat_map(|line| line.split_inclusive(|byte| *byte == b' '));
        let pieces = words.flat_map(|word| word.chunks(PIECE_BYTES));
        let mut wanted = TEXT_BYTES_MAX.min(self.left);
        for piece in pieces.filter(|piece| !piece.is_ascii()) {
            let piece = piece.get(..wanted).unwrap_or(piece);
            detector.feed(piece, false);
            wanted -= piece.len();
            self.left -= piece.len();
            if wanted == 0 {
                break;
            }
        }
        // A sample may end within a character. A text may not.
        if wanted > 0 {
            detector.feed(&[], true);
        }
        let found = detector.guess(None, chardetng::Utf8Detection::Deny);
        Charset::Whatwg(if found == GBK { GB18030 } else { found })
    }
}

/// Whether bytes are UTF-8 but for a few: other charsets hardly ever look like it.
fn is_damaged_utf8(bytes: &[u8]) -> bool {
    // No longer UTF-8, whatever follows.
    let is_none =
        |right, wrong, left| is_other(right, wrong) || (wrong > 1 && right + left / 2 <= 2 * wrong);
    let (right, wrong) = utf8_counts(bytes, is_none);
    right > 2 * wrong || (wrong <= 1 && right > 0)
}

/// Whether there are not fewer characters of UTF-8 outside ASCII than other pieces: a raw header
/// has no label that could decide.
pub(crate) fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (right, wrong) = utf8_counts(bytes, |right, wrong, _| is_other(right, wrong));
    right > 0 && right >= wrong
}

/// Whether bytes under the label of a charset of single bytes are UTF-8 but for a few. In nearly
/// all UTF-8 outside ASCII there are bytes that lead letters or marks of Latin and Cyrillic.
pub(crate) fn is_nearly_utf8(bytes: &[u8]) -> bool {
    if memchr::memchr3(0xC3, 0xD0, 0xE2, bytes).is_none() {
        return false;
    }
    let (right, wrong) = utf8_counts(bytes, |right, wrong, _| wrong > STRAY_MAX && right < wrong);
    right >= STRAY_MAX && right > STRAY_MAX * wrong
}

/// What bytes are that are said to be UTF-8 and are not as a whole. Where there is UTF-8 among
/// them, not less than other bytes outside ASCII, these are stray. A gateway may have added more.
pub(crate) fn of_wrong_utf8(bytes: &[u8], detection: &mut Detection) -> Charset {
    let utf8 = Charset::Whatwg(UTF_8);
    let (right, wrong) = utf8_counts(bytes, |right, wrong, _| is_other(right, wrong));
    if right > 0 && right >= wrong {
        return utf8;
    }
    let found = detection.of(bytes);
    // Stray bytes are taken as that anyway, and what is UTF-8 stays so.
    if found == Charset::Whatwg(WINDOWS_1252) && right > 0 { utf8 } else { found }
}

/// Whether so many pieces were wrong that the whole is in another charset.
fn is_other(right: usize, wrong: usize) -> bool {
    wrong > WRONG_MAX && right < wrong / 8
}

/// Whether bytes of a header may be words in Latin letters: those outside ASCII stand alone or in
/// pairs, and are no more than the letters among them.
pub(crate) fn may_be_latin(bytes: &[u8]) -> bool {
    let longest = bytes.split(u8::is_ascii).map(<[u8]>::len).max().unwrap_or(0);
    let wide = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    longest <= LATIN_RUN_MAX && (wide <= letters || wide <= LATIN_RUN_MAX)
}

/// How many characters of UTF-8 outside ASCII there are, and how many pieces that are none, until
/// `is_enough` of both and of the bytes that are left.
fn utf8_counts(bytes: &[u8], is_enough: impl Fn(usize, usize, usize) -> bool) -> (usize, usize) {
    let (mut right, mut wrong, mut left) = (0, 0, bytes.len());
    for chunk in bytes.utf8_chunks() {
        // Each character outside ASCII has one byte that leads it.
        right += count(chunk.valid().as_bytes(), |byte| byte >= 0xC0);
        wrong += usize::from(!chunk.invalid().is_empty());
        left -= chunk.valid().len() + chunk.invalid().len();
        if is_enough(right, wrong, left) {
            break;
        }
    }
    (right, wrong)
}

/// Whether bytes are no text: many are control characters that texts do not hold.
fn is_binary(bytes: &[u8]) -> bool {
    let is_control = |byte: u8| {
        (byte < b' ')
            & !(matches!(byte, b'\t' | b'\n' | b'\r') | matches!(byte, 0x0C | 0x0E | 0x0F | 0x1B))
    };
    let controls = count(bytes, is_control);
    controls > CONTROLS_MAX && controls > bytes.len() / 32
}

/// How many bytes `is_it` holds for. One byte holds the sum of each piece: the sums are made for
/// many bytes at once.
fn count(bytes: &[u8], is_it: impl Fn(u8) -> bool) -> usize {
    let sum = |piece: &[u8]| piece.iter().map(|byte| u8::from(is_it(*byte))).sum::<u8>();
    bytes.chunks(128).map(|piece| usize::from(sum(piece))).sum()
}
