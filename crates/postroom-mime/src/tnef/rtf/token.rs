//! The tokens of RTF.

use crate::transfer::hex;

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RtfToken<'a> {
    /// `{`
    Open,
    /// `}`
    Close,
    /// `\*`
    Star,
    /// Characters that mean themselves.
    Text(&'a [u8]),
    /// `\'hh`
    Byte(u8),
    /// Any other `\` with a character that is no letter.
    Symbol(u8),
    /// `\word` with its number.
    Word(&'a [u8], Option<i32>),
}

/// Splits RTF into tokens. Line ends mean nothing and are left out.
#[derive(Debug)]
pub(crate) struct RtfTokens<'a> {
    rest: &'a [u8],
}

impl<'a> RtfTokens<'a> {
    /// Begins at the start of `rtf`.
    pub(crate) fn new(rtf: &'a [u8]) -> Self {
        Self { rest: rtf }
    }

    fn control(&mut self) -> Option<RtfToken<'a>> {
        let (first, rest) = self.rest.split_first()?;
        if !first.is_ascii_alphabetic() {
            self.rest = rest;
            return Some(match first {
                b'*' => RtfToken::Star,
                b'\'' => self.byte(),
                symbol => RtfToken::Symbol(*symbol),
            });
        }
        let word = self.take_while(u8::is_ascii_alphabetic);
        let negative =
            self.rest.first() == Some(&b'-') && self.rest.get(1).is_some_and(u8::is_ascii_digit);
        if negative {
            self.skip(1);
        }
        let digits = self.take_while(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let number = number.map(|number: i32| if negative { -number } else { number });
        if self.rest.first() == Some(&b' ') {
            self.skip(1);
        }
        if word == b"bin" {
            self.skip(number.and_then(|count| usize::try_from(count).ok()).unwrap_or(0));
        }
        Some(RtfToken::Word(word, number))
    }

    fn byte(&mut self) -> RtfToken<'a> {
        let digit = |at: usize| self.rest.get(at).copied().and_then(hex);
        match (digit(0), digit(1)) {
            (Some(high), Some(low)) => {
                self.skip(2);
                RtfToken::Byte(high << 4 | low)
            }
            (Some(_) | None, Some(_) | None) => RtfToken::Symbol(b'\''),
        }
    }

    fn take_while(&mut self, fits: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

impl<'a> Iterator for RtfTokens<'a> {
    type Item = RtfToken<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let _line_ends = self.take_while(|byte| matches!(byte, b'\r' | b'\n' | 0));
        match self.rest.first()? {
            b'{' => {
                self.skip(1);
                Some(RtfToken::Open)
            }
            b'}' => {
                self.skip(1);
                Some(RtfToken::Close)
            }
            b'\\' => {
                self.skip(1);
                self.control()
            }
            _ => {
                let text = self
                    .take_while(|byte| !matches!(byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | 0));
                Some(RtfToken::Text(text))
            }
        }
    }
}
