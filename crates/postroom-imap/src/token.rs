//! Splits the text of one response into words, strings and parentheses. Any bytes can be split.
//!
//! ```text
//!   * 1 FETCH (UID 5 BODY[] {3}    abc       )
//!   └────────── Text ─────────┘ └ Literal ┘ Text      ──►  Atom Atom Atom Open Atom ..
//! ```
//!
//! There is no recursion: [`skip_list`] counts the nesting, so it may be of any depth.

use bytes::Bytes;
use std::borrow::Cow;

/// A piece of a response, as it was framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Text without line ends and without the `{n}` that announces a literal.
    Text(Bytes),
    /// A literal that was kept.
    Literal(Bytes),
    /// A literal that was handed on while it arrived.
    Streamed,
    /// A literal that was larger than a message may be, with its announced size.
    TooBig(u64),
    /// A literal that was skipped.
    Skipped,
}

/// A word, a string or a parenthesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// Anything bare, with the brackets of `BODY[..]`.
    Atom(&'a [u8]),
    /// A quoted string, unescaped.
    Quoted(Cow<'a, [u8]>),
    /// A kept literal.
    Literal(&'a Bytes),
    /// See [`Segment::Streamed`].
    Streamed,
    /// See [`Segment::TooBig`].
    TooBig(u64),
    /// See [`Segment::Skipped`].
    Skipped,
}

impl<'a> Token<'a> {
    /// The bytes of an atom, a quoted string or a kept literal; `None` for the others and for NIL.
    pub(crate) fn string(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(atom) if atom.eq_ignore_ascii_case(b"NIL") => None,
            Self::Atom(atom) => Some(atom),
            Self::Quoted(quoted) => Some(quoted),
            Self::Literal(literal) => Some(literal),
            Self::Open | Self::Close | Self::Streamed | Self::TooBig(_) | Self::Skipped => None,
        }
    }

    /// The bytes of an atom.
    pub(crate) fn atom(&self) -> Option<&'a [u8]> {
        if let Self::Atom(atom) = self { Some(atom) } else { None }
    }

    /// Whether this is the atom NIL.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::Atom(atom) if atom.eq_ignore_ascii_case(b"NIL"))
    }
}

/// The tokens of one response.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    later: std::slice::Iter<'a, Segment>,
}

impl<'a> Tokens<'a> {
    /// Starts at the first segment.
    pub(crate) fn new(segments: &'a [Segment]) -> Self {
        Self { text: &[], later: segments.iter() }
    }

    /// The text up to the next literal, without blanks around it.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = std::mem::take(&mut self.text);
        rest.trim_ascii()
    }

    /// The first byte of the next token, where it is text.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            self.text = self.text.trim_ascii_start();
            if let Some(byte) = self.text.first() {
                return Some(*byte);
            }
            match self.later.as_slice().first() {
                Some(Segment::Text(text)) => {
                    self.later.next();
                    self.text = text;
                }
                Some(
                    Segment::Literal(_) | Segment::Streamed | Segment::TooBig(_) | Segment::Skipped,
                )
                | None => return None,
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (token, rest) = self.text.split_at(length.min(self.text.len()));
        self.text = rest;
        token
    }

    fn quoted(&mut self) -> Token<'a> {
        self.take(1);
        match memchr::memchr2(b'"', b'\\', self.text) {
            Some(at) if self.text.get(at) == Some(&b'"') => {
                let string = self.take(at);
                self.take(1);
                Token::Quoted(Cow::Borrowed(string))
            }
            // A string without an end extends to the end of the text.
            None => Token::Quoted(Cow::Borrowed(self.take(usize::MAX))),
            Some(_) => {
                let mut string = vec![];
                while let Some(at) = memchr::memchr2(b'"', b'\\', self.text) {
                    string.extend_from_slice(self.take(at));
                    if self.take(1) == b"\"" {
                        return Token::Quoted(Cow::Owned(string));
                    }
                    string.extend_from_slice(self.take(1));
                }
                string.extend_from_slice(self.take(usize::MAX));
                Token::Quoted(Cow::Owned(string))
            }
        }
    }

    fn atom(&mut self) -> Token<'a> {
        let mut end = 0;
        let mut bytes = self.text.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b' ' | b'(' | b')' | b'\t' => break,
                b'[' if has_section(self.text.get(..end).unwrap_or_default()) => {
                    let inside = bytes.as_slice();
                    let length = memchr::memchr(b']', inside).map_or(inside.len(), |at| at + 1);
                    end += 1 + length;
                    bytes = self.text.get(end..).unwrap_or_default().iter();
                }
                _ => end += 1,
            }
        }
        Token::Atom(self.take(end))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        match self.peek() {
            Some(b'(') => {
                self.take(1);
                Some(Token::Open)
            }
            Some(b')') => {
                self.take(1);
                Some(Token::Close)
            }
            Some(b'"') => Some(self.quoted()),
            Some(_) => Some(self.atom()),
            None => match self.later.next()? {
                Segment::Literal(literal) => Some(Token::Literal(literal)),
                Segment::Streamed => Some(Token::Streamed),
                Segment::TooBig(size) => Some(Token::TooBig(*size)),
                Segment::Skipped => Some(Token::Skipped),
                // `peek` has consumed all text.
                Segment::Text(_) => None,
            },
        }
    }
}

/// Whether a `[` after this begins a section, which may contain blanks and parentheses (RFC 3501
/// §7.4.2, RFC 3516 §4.3). Elsewhere it is an ordinary character, as in `[Gmail]`.
fn has_section(before: &[u8]) -> bool {
    [&b"BODY"[..], b"BODY.PEEK", b"BINARY", b"BINARY.SIZE", b"BINARY.PEEK"]
        .iter()
        .any(|name| before.eq_ignore_ascii_case(name))
}

/// Skips the rest of a list whose `(` was consumed.
pub(crate) fn skip_list(tokens: &mut Tokens<'_>) {
    let mut depth = 1_u32;
    for token in tokens.by_ref() {
        match token {
            Token::Open => depth = depth.saturating_add(1),
            Token::Close => depth -= 1,
            Token::Atom(_)
            | Token::Quoted(_)
            | Token::Literal(_)
            | Token::Streamed
            | Token::TooBig(_)
            | Token::Skipped => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// The strings of a list whose `(` was consumed. Inner lists and NIL are skipped.
pub(crate) fn strings(tokens: &mut Tokens<'_>) -> Vec<String> {
    let mut strings = vec![];
    while let Some(token) = tokens.next() {
        match token {
            Token::Close => break,
            Token::Open => skip_list(tokens),
            Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) => {
                strings.extend(token.string().map(readable));
            }
            Token::Streamed | Token::TooBig(_) | Token::Skipped => {}
        }
    }
    strings
}

/// Whether more parentheses are opened than closed.
pub(crate) fn is_open(segments: &[Segment]) -> bool {
    let mut depth = 0_i64;
    for token in Tokens::new(segments) {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            Token::Atom(_)
            | Token::Quoted(_)
            | Token::Literal(_)
            | Token::Streamed
            | Token::TooBig(_)
            | Token::Skipped => {}
        }
    }
    depth > 0
}

/// Reads a number in any form that servers write: `23`, `-1`, `9.3736e+06`, or more digits than
/// fit.
///
/// A number that is too large becomes `u64::MAX`. A negative number, and a text that is not a
/// number, is `None`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if let [b'0'..=b'9', ..] = text
        && text.iter().all(u8::is_ascii_digit)
    {
        let digit = |number: u64, byte: &u8| {
            number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))
        };
        return Some(text.iter().fold(0, digit));
    }
    if text.len() > 32 || !text.first()?.is_ascii_digit() {
        return None;
    }
    // QUIRK(mail.ru): numbers as floating point, https://github.com/jstedfast/MailKit/issues/1838
    let float: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    format!("{float:.0}").parse().ok()
}

/// As [`number`], clamped to the 63 bits that the size of a message may have (RFC 9051 §9,
/// `number64`). Whoever announces more can neither send nor store it.
pub(crate) fn size(text: &[u8]) -> Option<u64> {
    number(text).map(|size_bytes| size_bytes.min(i64::MAX.unsigned_abs()))
}

/// As [`number`], clamped to 32 bits.
pub(crate) fn number_u32(text: &[u8]) -> Option<u32> {
    number(text).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// The greatest number that is accepted as a UID or UIDVALIDITY: the greatest that a database can
/// hold. Servers that count in milliseconds exceed the 32 bits of RFC 3501 §2.3.1.1, and two of
/// their numbers must not become equal.
const UID_MAX: u64 = i64::MAX.unsigned_abs();

/// Reads a UID or a UIDVALIDITY of any size that can be stored. `None` for zero and for anything
/// else.
pub(crate) fn uid(text: &[u8]) -> Option<u64> {
    number(text).filter(|uid| (1..=UID_MAX).contains(uid))
}

/// The octets as text: UTF-8, else Latin-1; control characters become blanks.
pub(crate) fn readable(bytes: &[u8]) -> String {
    let mut text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    if text.chars().any(char::is_control) {
        text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], want: &str) {
        let segments = [Segment::Text(Bytes::copy_from_slice(text))];
        let show = |token: Token<'_>| match &token {
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::Quoted(string) => format!("<{}>", string.escape_ascii()),
            Token::Atom(atom) => atom.escape_ascii().to_string(),
            Token::Literal(_) | Token::Streamed | Token::TooBig(_) | Token::Skipped => {
                panic!("there is only text")
            }
        };
        let got: Vec<_> = Tokens::new(&segments).map(show).collect();
        assert_eq!(got.join("|"), want, "{}", text.escape_ascii());
    }

    #[test]
    fn any_text_has_tokens() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"* 1 FETCH (UID 5)",            "*|1|FETCH|(|UID|5|)"),
            (b"a  b \t c ",                   "a|b|c"),
            (b"(a(b)c)",                      "(|a|(|b|)|c|)"),
            (b"\"a b\" \"\" \"c",             "<a b>|<>|<c>"),
            (b"\"a\\\"b\\\\c\\n\"x",          "<a\\\"b\\\\cn>|x"),
            (b"\"a\\",                        "<a>"),
            (b"BODY[HEADER.FIELDS (A \"B\")] x", "BODY[HEADER.FIELDS (A \\\"B\\\")]|x"),
            (b"body[]<0> NIL",                "body[]<0>|NIL"),
            (b"BODY[1",                       "BODY[1"),
            (b"([foo] INBOX.[Gmail] a]b)",    "(|[foo]|INBOX.[Gmail]|a]b|)"),
            (b"\xE9 \x00",                    "\\xe9|\\x00"),
            (b"",                             ""),
            (b")))(",                         ")|)|)|("),
        ];
        for (text, want) in table {
            check(text, want);
        }
    }

    #[test]
    fn numbers_of_servers() {
        #[rustfmt::skip]
        let table: &[(&[u8], Option<u64>)] = &[
            (b"23",                    Some(23)),
            (b"0",                     Some(0)),
            (b"5000000000",            Some(5_000_000_000)),
            (b"99999999999999999999",  Some(u64::MAX)),
            (b"9.3736e+06",            Some(9_373_600)),
            (b"1e400",                 None),
            (b"-1",                    None),
            (b"+5",                    None),
            (b"5x",                    None),
            (b"",                      None),
        ];
        for (text, want) in table {
            assert_eq!(number(text), *want, "{}", text.escape_ascii());
        }
        assert_eq!(number_u32(b"4294967297"), Some(u32::MAX));
        assert_eq!(size(b"18446744073709551615"), Some(i64::MAX.unsigned_abs()));
        assert_eq!((uid(b"0"), uid(b"7")), (None, Some(7)));
        assert_eq!(uid(b"1764000000000"), Some(1_764_000_000_000), "beyond 32 bits");
        assert_eq!(uid(b"9223372036854775807"), Some(UID_MAX));
        assert_eq!(uid(b"9223372036854775808"), None, "two of these would become one");
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = [b"(".repeat(500_000), b")".repeat(499_999)].concat();
        let segments = [Segment::Text(Bytes::from(deep))];
        let mut tokens = Tokens::new(&segments);
        assert_eq!(tokens.next(), Some(Token::Open));
        skip_list(&mut tokens);
        assert_eq!(tokens.next(), None);
        assert!(is_open(&segments));
    }
}
