//! Encoded words: text outside ASCII in header fields.
//!
//! Taken as they are found: within quotes and words, with blanks in them, with base64 that is cut
//! in
//! the middle of a group, with characters that are split between two words. What is no encoded word
//! stays as it is written. Time is linear.
//!
//! Standards: RFC 2047, RFC 2231 §5 (language suffix).

use crate::charset;
use crate::charset::Charset;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::transfer::TransferEncoding;

/// A longer name of a charset is none.
const CHARSET_BYTES_MAX: usize = 64;

/// One encoded word in a text.
struct Word<'a> {
    charset: &'a str,
    is_base64: bool,
    content: &'a str,
    /// Where it ends.
    end: usize,
}

/// Words side by side in one charset, joined before they are decoded: characters may be split.
struct Run<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
    /// Base64 that does not end with a whole group.
    base64: Vec<u8>,
}

/// Where `=?` stands for the first time: an encoded word may begin there.
#[must_use]
pub fn begins(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = |mark: usize| mark.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b'='));
    memchr::memchr_iter(b'?', bytes).find_map(start)
}

/// Decodes the encoded words of a text. `left` is how many may still be decoded.
#[must_use]
pub fn decode(text: &str, left: &mut usize, defects: &mut Defects) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut run: Option<Run<'_>> = None;
    let (mut copied, mut from) = (0, 0);
    let mut ends = Ends { text, next: 0 };
    while let Some(found) = text.get(from..).and_then(begins) {
        let start = from + found;
        let Some(word) = word(text, start, &mut ends) else {
            from = start + 2;
            continue;
        };
        if *left == 0 {
            defects.note(Defect::EncodedWordsOver);
            break;
        }
        *left -= 1;
        let between = text.get(copied..start).unwrap_or_default();
        let is_joined = run.is_some() && between.chars().all(char::is_whitespace);
        let continues = is_joined
            && run.as_ref().is_some_and(|run| run.charset.eq_ignore_ascii_case(word.charset));
        if !continues {
            flush(run.take(), &mut decoded);
        }
        if !is_joined {
            decoded.push_str(between);
        }
        let run =
            run.get_or_insert_with(|| Run { charset: word.charset, bytes: vec![], base64: vec![] });
        run.push(&word);
        (copied, from) = (word.end, word.end);
    }
    flush(run, &mut decoded);
    let rest = text.get(copied..).unwrap_or_default();
    if begins(rest).is_some() {
        defects.note(Defect::EncodedWordMalformed);
    }
    decoded.push_str(rest);
    decoded
}

/// The ends `?=` of words, each searched once.
struct Ends<'a> {
    text: &'a str,
    next: usize,
}

impl Ends<'_> {
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

/// Reads the word at `start`, which begins with `=?`.
fn word<'a>(text: &'a str, start: usize, ends: &mut Ends<'a>) -> Option<Word<'a>> {
    let rest = text.get(start + 2..)?;
    let mark = rest.bytes().take(CHARSET_BYTES_MAX + 1).position(|byte| byte == b'?')?;
    let charset = rest.get(..mark)?;
    if charset.contains(|char: char| char.is_whitespace() || char == '=') {
        return None;
    }
    let is_base64 = match rest.as_bytes().get(mark + 1)? {
        b'B' | b'b' => true,
        b'Q' | b'q' => false,
        _ => return None,
    };
    if rest.as_bytes().get(mark + 2) != Some(&b'?') {
        return None;
    }
    let content = start + 2 + mark + 3;
    let end = ends.behind(content)?;
    let content = text.get(content..end)?;
    if begins(content).is_some() {
        return None;
    }
    let charset = charset.split('*').next().unwrap_or(charset);
    Some(Word { charset, is_base64, content, end: end + 2 })
}

impl Run<'_> {
    fn push(&mut self, word: &Word<'_>) {
        if !word.is_base64 {
            self.end_base64();
            quoted(word.content, &mut self.bytes);
            return;
        }
        let is_character = |byte: &u8| byte.is_ascii() && !byte.is_ascii_whitespace();
        self.base64.extend(word.content.bytes().filter(is_character));
        if self.base64.len().is_multiple_of(4) || self.base64.ends_with(b"=") {
            self.end_base64();
        }
    }

    fn end_base64(&mut self) {
        if self.base64.is_empty() {
            return;
        }
        let mut decoder = TransferEncoding::Base64.decoder();
        decoder.push(&self.base64, &mut self.bytes);
        decoder.finish(&mut self.bytes);
        self.base64.clear();
    }
}

fn flush(run: Option<Run<'_>>, decoded: &mut String) {
    let Some(mut run) = run else { return };
    run.end_base64();
    let text = charset::decode_named(&run.bytes, Charset::for_label(run.charset));
    // Line ends in a field would be a field of their own when it is written again.
    let plain = |char: char| match char {
        '\r' | '\n' => Some(' '),
        '\0' => None,
        other => Some(other),
    };
    if memchr::memchr3(b'\r', b'\n', b'\0', text.as_bytes()).is_none() {
        decoded.push_str(&text);
    } else {
        decoded.extend(text.chars().filter_map(plain));
    }
}

/// Decodes the "Q" encoding (RFC 2047 §4.2).
fn quoted(content: &str, bytes: &mut Vec<u8>) {
    let mut rest = content.as_bytes();
    bytes.reserve(rest.len());
    // Escapes stand close together where there are any: no search in bulk.
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'=' | b'_')) {
        let (plain, marked) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        bytes.extend_from_slice(plain);
        let after = marked.get(1..).unwrap_or_default();
        let escaped = match marked {
            [b'=', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        rest = match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                after.get(2..).unwrap_or_default()
            }
            None => {
                bytes.push(if marked.starts_with(b"_") { b' ' } else { b'=' });
                after
            }
        };
    }
    bytes.extend_from_slice(rest);
}

/// The value of a hexadecimal digit.
#[must_use]
pub fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
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
            // A character that is split between two words, in Q and in B.
            ("=?utf-8?Q?gr=C3?= =?UTF-8?Q?=BCn?=",            "grün"),
            ("=?utf-8?B?Z3LD?= =?utf-8?B?vG4=?=",             "grün"),
            // Base64 cut within a group, without padding, with blanks.
            ("=?utf-8?B?Z3LDv?= =?utf-8?B?G4?=",              "grün"),
            ("=?utf-8?B?Z3LD vG4?=",                          "grün"),
            ("=?utf-8?B?Z3LDvG4?=",                           "grün"),
            ("=?iso-2022-jp?B?GyRCRnwbKEI=?= =?iso-2022-jp?B?GyRCS1wbKEI=?=", "日本"),
            ("\"=?utf-8?Q?gr=C3=BCn?=\"",                     "\"grün\""),
            ("a=?utf-8?Q?b?=c",                               "abc"),
            ("=?utf-8*de?Q?gr=C3=BCn?=",                      "grün"),
            ("=?utf-8?Q?a b?=",                               "a b"),
            ("=?utf-8?Q?a?b?=",                               "a?b"),
            ("=?utf-8?Q?=XY=?=",                              "=XY="),
            ("=?x-nothing?Q?gr=C3=BCn?=",                     "grün"),
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

    proptest! {
        #[test]
        fn any_text(text in "(=\\?|\\?=|utf-8|\\?|[QqBb]|=|\\PC|[a-z ]){0,60}") {
            let _ = decode(&text, &mut 100, &mut Defects::default());
        }
    }
}
