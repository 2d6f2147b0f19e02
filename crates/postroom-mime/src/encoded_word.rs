//! Encoded words: text outside ASCII in header fields.
//!
//! The decoder accepts encoded words within quotes and words, with blanks inside, with base64 that
//! is cut within a group or lacks padding, and with characters that are split between two words.
//! Text that is not an encoded word stays as it is. Time is linear.
//!
//! Standards: RFC 2047, RFC 2231 §5 (language suffix).

use crate::charset;
use crate::charset::Charset;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::transfer::TransferEncoding;
use crate::transfer::hex;
use std::ops::Range;

/// A longer name of a charset is none.
const CHARSET_BYTES_MAX: usize = 64;

/// One encoded word in a text.
struct EncodedWord<'a> {
    charset: &'a str,
    is_base64: bool,
    content: &'a str,
    /// Where it ends.
    end: usize,
}

/// Words side by side in one charset, joined before they are decoded: characters may be split.
#[derive(Default)]
struct Run<'a> {
    /// The charset of its words. `None` if there is none.
    charset: Option<&'a str>,
    bytes: Vec<u8>,
    /// Base64 that does not end with a whole group.
    base64: Vec<u8>,
    /// Where in it the words after the first begin.
    cuts: Vec<usize>,
}

/// Where `=?` stands for the first time: an encoded word may begin there.
#[must_use]
pub fn begins(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = |mark: usize| mark.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b'='));
    match bytes {
        // No search: words stand side by side, or with a blank between them.
        [b'=', b'?', ..] => Some(0),
        [_, b'=', b'?', ..] => Some(1),
        _ => memchr::memchr_iter(b'?', bytes).find_map(start),
    }
}

/// Encodes the bytes outside ASCII in words of the "Q" encoding, as they should have been: they are
/// in the charset of their word. Everything else stays.
#[must_use]
pub fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for word in quoted_contents(bytes) {
        escaped.extend_from_slice(bytes.get(copied..word.start).unwrap_or_default());
        for byte in bytes.get(word.clone()).unwrap_or_default() {
            match byte {
                0x80.. => escaped.extend([b'=', digit(byte >> 4), digit(byte & 0xF)]),
                _ => escaped.push(*byte),
            }
        }
        copied = word.end;
    }
    escaped.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    escaped
}

/// Where the contents of words of the "Q" encoding are.
fn quoted_contents(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut ends = memchr::memmem::find_iter(bytes, b"?=").peekable();
    memchr::memmem::find_iter(bytes, b"=?").filter_map(move |start| {
        let word = bytes.get(start..)?;
        let content = start + front(word).filter(|(_, is_base64)| !is_base64)?.0;
        while ends.next_if(|end| *end < content).is_some() {}
        let end = *ends.peek()?;
        let inner = bytes.get(content..end)?;
        memchr::memmem::find(inner, b"=?").is_none().then_some(content..end)
    })
}

/// Where the content of the word at the front of bytes begins, and whether it is in base64.
#[must_use]
pub fn front(bytes: &[u8]) -> Option<(usize, bool)> {
    let rest = bytes.strip_prefix(b"=?")?;
    let mark = rest.iter().take(CHARSET_BYTES_MAX + 1).position(|byte| *byte == b'?')?;
    let is_none = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
    if rest.iter().take(mark).any(is_none) {
        return None;
    }
    match rest.get(mark..mark + 3)? {
        [_, b'B' | b'b', b'?'] => Some((mark + 5, true)),
        [_, b'Q' | b'q', b'?'] => Some((mark + 5, false)),
        _ => None,
    }
}

/// Decodes the encoded words of a text. `left` is how many may still be decoded.
#[must_use]
pub fn decode(text: &str, left: &mut usize, defects: &mut Defects) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut run = Run::default();
    let (mut copied, mut from) = (0, 0);
    let mut ends = WordEnds { text, next: 0 };
    while let Some(found) = text.get(from..).and_then(begins) {
        let start = from + found;
        let Some(word) = word(text, start, run.charset, &mut ends) else {
            from = start + 2;
            continue;
        };
        if *left == 0 {
            defects.note(Defect::EncodedWordsOver);
            break;
        }
        *left -= 1;
        let between = text.get(copied..start).unwrap_or_default();
        let is_joined =
            run.charset.is_some() && (between == " " || between.chars().all(char::is_whitespace));
        let is_open = |open: &str| open == word.charset || open.eq_ignore_ascii_case(word.charset);
        let continues = run.charset.is_some_and(is_open);
        if !(is_joined && continues) {
            run.flush(&mut decoded);
        }
        if !is_joined {
            decoded.push_str(between);
        }
        run.push(&word);
        (copied, from) = (word.end, word.end);
    }
    run.flush(&mut decoded);
    let rest = text.get(copied..).unwrap_or_default();
    if begins(rest).is_some() {
        defects.note(Defect::EncodedWordMalformed);
    }
    decoded.push_str(rest);
    decoded
}

/// The ends `?=` of words, each searched once.
struct WordEnds<'a> {
    text: &'a str,
    next: usize,
}

impl WordEnds<'_> {
    /// The first end at or behind `at`.
    fn behind(&mut self, at: usize) -> Option<usize> {
        if self.next < at {
            let rest = self.text.get(at..)?;
            let is_end = |mark: &usize| rest.as_bytes().get(mark + 1) == Some(&b'=');
            let end = memchr::memchr_iter(b'?', rest.as_bytes()).find(is_end);
            self.next = end.map_or(usize::MAX, |end| at + end);
        }
        (self.next != usize::MAX).then_some(self.next)
    }
}

/// Reads the word at `start`, which begins with `=?`. Its charset is `open` more often than not.
fn word<'a>(
    text: &'a str,
    start: usize,
    open: Option<&'a str>,
    ends: &mut WordEnds<'a>,
) -> Option<EncodedWord<'a>> {
    let rest = text.get(start + 2..)?;
    let is_open = |open: &&str| rest.strip_prefix(open).is_some_and(|after| after.starts_with('?'));
    let (charset, mark) = match open.filter(is_open) {
        Some(open) => (open, open.len()),
        None => label(rest)?,
    };
    let is_base64 = match rest.as_bytes().get(mark..mark + 3)? {
        [_, b'B' | b'b', b'?'] => true,
        [_, b'Q' | b'q', b'?'] => false,
        _ => return None,
    };
    let content = start + 2 + mark + 3;
    let end = ends.behind(content)?;
    let content = text.get(content..end)?;
    if begins(content).is_some() {
        return None;
    }
    Some(EncodedWord { charset, is_base64, content, end: end + 2 })
}

/// The name of a charset at the front of `rest` without its language, and where it ends.
fn label(rest: &str) -> Option<(&str, usize)> {
    let mark = rest.bytes().take(CHARSET_BYTES_MAX + 1).position(|byte| byte == b'?')?;
    let label = rest.get(..mark)?;
    if label.contains(|char: char| char.is_whitespace() || char == '=') {
        return None;
    }
    Some((label.split('*').next().unwrap_or(label), mark))
}

impl<'a> Run<'a> {
    fn push(&mut self, word: &EncodedWord<'a>) {
        self.charset.get_or_insert(word.charset);
        if !word.is_base64 {
            self.end_base64();
            quoted(word.content.as_bytes(), &mut self.bytes);
            return;
        }
        let is_character = |byte: &u8| byte.is_ascii() && !byte.is_ascii_whitespace();
        if !self.base64.is_empty() {
            self.cuts.push(self.base64.len());
        }
        self.base64.extend(word.content.bytes().filter(is_character));
        if self.base64.len().is_multiple_of(4) || self.base64.ends_with(b"=") {
            self.end_base64();
        }
    }

    /// Decodes base64 of several words, joined. If that gives garbage and the single words do not,
    /// because their padding is missing, each word is decoded separately.
    fn end_base64(&mut self) {
        if self.base64.is_empty() {
            return;
        }
        let joined = TransferEncoding::Base64.decode(&self.base64);
        let apart = (!self.cuts.is_empty() && !self.is_sound(&joined)).then(|| self.apart());
        match apart.filter(|apart| self.is_sound(apart)) {
            Some(apart) => self.bytes.extend(apart),
            None => self.bytes.extend(joined),
        }
        self.base64.clear();
        self.cuts.clear();
    }

    /// Decodes each word by itself.
    fn apart(&self) -> Vec<u8> {
        let mut bytes = vec![];
        let mut start = 0;
        for &end in self.cuts.iter().chain([&self.base64.len()]) {
            let word = self.base64.get(start..end).unwrap_or_default();
            bytes.extend(TransferEncoding::Base64.decode(word));
            start = end;
        }
        bytes
    }

    /// Whether bytes of the run may be text: UTF-8 is valid but for a character that is split at
    /// either end, and nothing holds control characters.
    fn is_sound(&self, bytes: &[u8]) -> bool {
        let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n' | 0x1B);
        let is_utf8 = self.charset.and_then(Charset::for_label).is_some_and(Charset::is_utf8);
        let rest = bytes.iter().take(3).take_while(|byte| (0x80..0xC0).contains(*byte)).count();
        let whole = bytes.get(rest..).unwrap_or_default();
        let is_valid = match std::str::from_utf8(whole) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        !bytes.iter().any(is_control) && (is_valid || !is_utf8)
    }

    /// Ends the run: its text goes to `decoded`.
    fn flush(&mut self, decoded: &mut String) {
        let Some(label) = self.charset.take() else { return };
        self.end_base64();
        let charset = charset::named(label);
        let is_plain = memchr::memchr2(0x1B, b'\0', &self.bytes).is_none();
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if is_plain && charset.is_some_and(Charset::is_utf8) => append(text, decoded),
            Ok(_) | Err(_) => append(&charset::decode_named(&self.bytes, charset), decoded),
        }
        self.bytes.clear();
    }
}

/// Appends a text as one line, because a line end in a field would begin another field when it is
/// written again. A byte order mark before it is no text.
fn append(text: &str, line: &mut String) {
    let plain = |char: char| match char {
        '\r' | '\n' => Some(' '),
        '\0' => None,
        other => Some(other),
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if memchr::memchr3(b'\r', b'\n', b'\0', text.as_bytes()).is_none() {
        line.push_str(text);
    } else {
        line.extend(text.chars().filter_map(plain));
    }
}

/// Decodes the "Q" encoding (RFC 2047 §4.2).
fn quoted(content: &[u8], bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + content.len(), 0);
    let mut places = bytes.get_mut(start..).unwrap_or_default().iter_mut();
    let mut rest = content.iter();
    // No search in bulk: escapes stand close together where there are any.
    while let Some(byte) = rest.next()
        && let Some(place) = places.next()
    {
        *place = match (byte, rest.as_slice()) {
            (b'_', _) => b' ',
            (b'=', [high, low, after @ ..]) => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => {
                    rest = after.iter();
                    high << 4 | low
                }
                None => b'=',
            },
            (byte, _) => *byte,
        };
    }
    let unused = places.len();
    bytes.truncate(bytes.len() - unused);
}

/// The hexadecimal digit of a value up to 15.
fn digit(value: u8) -> u8 {
    let digit = char::from_digit(u32::from(value), 16).unwrap_or('0');
    u8::try_from(digit.to_ascii_uppercase()).unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, want: &str) {
        let got = decode(text, &mut 100, &mut Defects::default());
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn encoded_words_are_decoded_as_they_arrive() {
        #[rustfmt::skip]
        let table = [
            ("=?utf-8?Q?gr=C3=BCn_und?= blau",                "grün und blau"),
            ("=?ISO-8859-1?q?a?= =?ISO-8859-1?q?b?=",         "ab"),
            ("=?utf-8?q?a?=  b  =?utf-8?q?c?=",               "a  b  c"),
            ("=?utf-8?B?77u/SGFsbG8=?=",                      "Hallo"),
            ("Re: =?utf-8?Q?=EF=BB=BFHallo?=",                "Re: Hallo"),
            // A character that is split between two words, in Q and in B.
            ("=?utf-8?Q?gr=C3?= =?UTF-8?Q?=BCn?=",            "grün"),
            ("=?utf-8?B?Z3LD?= =?utf-8?B?vG4=?=",             "grün"),
            // Base64 cut within a group, without padding, with blanks.
            ("=?utf-8?B?Z3LDv?= =?utf-8?B?G4?=",              "grün"),
            ("=?utf-8?B?Z3LD vG4?=",                          "grün"),
            ("=?utf-8?B?Z3LDvG4?=",                           "grün"),
            // Padding left out in the first of two.
            ("=?utf-8?B?YQ?= =?utf-8?B?Yg?=",                 "ab"),
            ("=?utf-8?B?YWI?= =?utf-8?B?Y2Q=?=",              "abcd"),
            ("=?utf-8?B?YW?= =?utf-8?B?I=?=",                 "ab"),
            ("=?utf-8?B?MTI?= =?utf-8?B?z?=",                 "123"),
            ("=?utf-8?B?YWIgMTI?= =?utf-8?B?zNDUgNz?= =?utf-8?B?ggMA==?=", "ab 12345 78 0"),
            ("=?utf-8?B?Z3LDvA?= =?utf-8?B?bg?= =?utf-8?B?IQ==?=", "grün!"),
            ("=?iso-8859-1?B?4A?= =?iso-8859-1?B?4Q?=",       "àá"),
            ("=?iso-2022-jp?B?GyRCRnwbKEI=?= =?iso-2022-jp?B?GyRCS1wbKEI=?=", "日本"),
            ("\"=?utf-8?Q?gr=C3=BCn?=\"",                     "\"grün\""),
            ("a=?utf-8?Q?b?=c",                               "abc"),
            ("=?utf-8*de?Q?gr=C3=BCn?=",                      "grün"),
            ("=?utf-8?Q?a b?=",                               "a b"),
            ("=?utf-8?Q?a?b?=",                               "a?b"),
            ("=?utf-8?Q?=XY=?=",                              "=XY="),
            ("=?utf-8?Q?gr=C3=BCner_Frö?= =?utf-8?Q?sch?=",   "grüner Frösch"),
            ("=?x-nothing?Q?gr=C3=BCn?=",                     "grün"),
            ("=?us-ascii?Q?gr=C3=BCn?=",                      "grün"),
            ("=?utf-8?Q?a=0D=0AX: b?=",                       "a  X: b"),
            ("=?utf-8?X?a?=",                                 "=?utf-8?X?a?="),
            ("=?utf-8?Q?a",                                   "=?utf-8?Q?a"),
            ("=?utf-8?Q?a =?utf-8?Q?b?=",                     "=?utf-8?Q?a b"),
            ("=?=?=?",                                        "=?=?=?"),
        ];
        for (text, want) in table {
            check(text, want);
        }
    }

    #[test]
    fn beyond_the_limit_words_stay_as_they_are() {
        let mut defects = Defects::default();
        assert_eq!(decode("=?utf-8?q?a?= =?utf-8?q?b?=", &mut 1, &mut defects), "a =?utf-8?q?b?=");
        assert!(defects.has(Defect::EncodedWordsOver));
    }

    #[test]
    fn raw_bytes_in_words_are_encoded() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"\xFC =?koi8-r?Q?\xF0=D2\xC9?= \xFC",    r"\xfc =?koi8-r?Q?=F0=D2=C9?= \xfc"),
            (b"=?a?q?\xFC?==?b?Q?\xFC?=\xFC",           r"=?a?q?=FC?==?b?Q?=FC?=\xfc"),
            (b"=?a?B?\xFC?= =?a?X?\xFC?=",           r"=?a?B?\xfc?= =?a?X?\xfc?="),
            (b"=?a?Q?=?b?Q?\xFC?= =?a?Q?open \xFC",     r"=?a?Q?=?b?Q?=FC?= =?a?Q?open \xfc"),
            (b"=?=?Q?Q?\xFC?= =?a b?Q?\xFC?=",           r"=?=?Q?Q?=FC?= =?a b?Q?\xfc?="),
            (b"=?a?Q?open \xFC =?a?B?eA==?=",           r"=?a?Q?open \xfc =?a?B?eA==?="),
        ];
        for (bytes, want) in table {
            assert_eq!(escape(bytes).escape_ascii().to_string(), *want);
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "(=\\?|\\?=|utf-8|\\?|[QqBb]|=|\\PC|[a-z ]){0,60}") {
            let _ = decode(&text, &mut 100, &mut Defects::default());
        }
    }
}
