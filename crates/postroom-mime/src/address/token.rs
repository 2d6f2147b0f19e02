//! The tokens of a list of addresses.

use crate::encoded_word;

/// A piece of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AddressToken<'a> {
    /// A comma, or a semicolon in its place.
    Comma,
    /// The end of a group's name.
    Colon {
        /// Whether no blank stands before it.
        is_glued: bool,
    },
    /// What stands between angle brackets.
    Angle(&'a str),
    /// A comment, without its outer parentheses.
    Comment(&'a str),
    /// A word: characters without blanks, an encoded word, or what stands in quotes.
    Word {
        /// The word; of a quoted one, what stands between the quotes.
        text: &'a str,
        /// Whether it was quoted.
        is_quoted: bool,
        /// Whether no blank stands before it.
        is_glued: bool,
    },
}

/// Reads tokens from the front of a text.
pub(crate) struct AddressTokens<'a> {
    text: &'a str,
    at: usize,
    /// Whether no quote, no closing parenthesis is left: each is searched in vain once.
    quotes_end: bool,
    comments_end: bool,
    /// Where the next closing angle bracket is, as far as it was searched.
    angle: usize,
    /// Where the next end of an encoded word (`?=`) is, as far as it was searched.
    encoded: usize,
}

impl<'a> AddressTokens<'a> {
    /// Begins to read.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, quotes_end: false, comments_end: false, angle: 0, encoded: 0 }
    }

    /// Where the text goes on.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next token.
    pub(crate) fn next_token(&mut self) -> Option<AddressToken<'a>> {
        let rest = self.text.get(self.at..)?;
        let trimmed = rest.trim_start();
        let is_glued = trimmed.len() == rest.len() && self.at > 0;
        self.at += rest.len() - trimmed.len();
        let first = *trimmed.as_bytes().first()?;
        match first {
            b',' | b';' => self.step(AddressToken::Comma),
            b':' => self.step(AddressToken::Colon { is_glued }),
            b'>' => {
                self.at += 1;
                self.next_token_after_stray()
            }
            b'<' => Some(self.angle()),
            b'(' if !self.comments_end => self.comment(),
            b'"' if !self.quotes_end => self.quoted(is_glued),
            _ => Some(self.word(is_glued)),
        }
    }

    fn step(&mut self, token: AddressToken<'a>) -> Option<AddressToken<'a>> {
        self.at += 1;
        Some(token)
    }

    /// Leaves out closing brackets that close nothing.
    fn next_token_after_stray(&mut self) -> Option<AddressToken<'a>> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start_matches(['>', ' ', '\t']).len();
        let rest = self.text.get(self.at..)?;
        match rest.as_bytes().first()? {
            b',' | b';' => self.step(AddressToken::Comma),
            b':' => self.step(AddressToken::Colon { is_glued: false }),
            b'<' => Some(self.angle()),
            b'(' if !self.comments_end => self.comment(),
            b'"' if !self.quotes_end => self.quoted(false),
            _ => Some(self.word(false)),
        }
    }

    /// What stands in angle brackets. Without a closing one, as far as a separator, or a blank
    /// behind an address. Of several that open the last one counts: what stands behind the others
    /// is a name.
    fn angle(&mut self) -> AddressToken<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.trim_start_matches(['<', ' ', '\t']);
        let start = self.text.len() - rest.len();
        let quoted = quoted_end(rest);
        let behind = rest.get(quoted..).unwrap_or_default();
        if self.angle < start + quoted {
            self.angle = behind.find('>').map_or(usize::MAX, |end| start + quoted + end);
        }
        let closed = (self.angle != usize::MAX).then(|| self.angle - start - quoted);
        let is_inner = |end: &usize| behind.get(..*end).is_some_and(|inner| !inner.contains('<'));
        let end = quoted + closed.filter(is_inner).unwrap_or_else(|| unclosed_end(behind));
        let inner = rest.get(..end).unwrap_or_default();
        match rest.as_bytes().get(end) {
            Some(b'<') if !inner.contains('@') => {
                self.at = start + end;
                AddressToken::Word { text: inner, is_quoted: false, is_glued: false }
            }
            closing => {
                self.at = start + end + usize::from(closing == Some(&b'>'));
                AddressToken::Angle(inner)
            }
        }
    }

    fn comment(&mut self) -> Option<AddressToken<'a>> {
        let rest = self.text.get(self.at..)?;
        let (mut depth, mut skip) = (0_usize, false);
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                _ if skip => skip = false,
                b'\\' => skip = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at += at + 1;
                return Some(AddressToken::Comment(rest.get(1..at)?));
            }
        }
        self.comments_end = true;
        Some(self.word(false))
    }

    fn quoted(&mut self, is_glued: bool) -> Option<AddressToken<'a>> {
        let rest = self.text.get(self.at + 1..)?;
        if let Some(at) = closing_quote(rest.as_bytes()) {
            self.at += at + 2;
            return Some(AddressToken::Word { text: rest.get(..at)?, is_quoted: true, is_glued });
        }
        // A quote that nothing closes is a character like any other.
        self.quotes_end = true;
        Some(self.word(is_glued))
    }

    /// Characters up to a blank or a separator. An encoded word is taken as a whole, and so is an
    /// address literal.
    fn word(&mut self, is_glued: bool) -> AddressToken<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = match rest.as_bytes().first() {
            Some(b'=') => self.encoded_word_end(rest),
            Some(b'[') => literal_end(rest),
            _ => None,
        };
        let end = end.unwrap_or_else(|| self.word_end(rest));
        self.at += end;
        AddressToken::Word { text: rest.get(..end).unwrap_or_default(), is_quoted: false, is_glued }
    }

    /// Where the encoded word at the front of `rest` ends, which is what is left of the text.
    fn encoded_word_end(&mut self, rest: &str) -> Option<usize> {
        let content = self.at + encoded_word::front(rest.as_bytes())?.0;
        if self.encoded < content {
            let bytes = self.text.as_bytes();
            let is_end = |mark: &usize| bytes.get(content + mark + 1) == Some(&b'=');
            let end = memchr::memchr_iter(b'?', bytes.get(content..)?).find(is_end);
            self.encoded = end.map_or(usize::MAX, |end| content + end);
        }
        let end = self.encoded.checked_add(2)?;
        if self.encoded - content > WORD_BYTES_MAX {
            return None;
        }
        // Another word begins before: this one is not closed.
        let inner = self.text.get(content..self.encoded)?;
        encoded_word::begins(inner).is_none().then_some(end - self.at)
    }

    /// Where the word at the front of `rest` ends, which has one character at least.
    fn word_end(&self, rest: &str) -> usize {
        let mut end = 0;
        loop {
            // Most characters are told by their byte alone.
            let bytes = rest.as_bytes().get(end..).unwrap_or_default();
            end += bytes.iter().position(|byte| !is_usual(*byte)).unwrap_or(bytes.len());
            let Some(char) = rest.get(end..).and_then(|rest| rest.chars().next()) else {
                return rest.len();
            };
            let is_separator = match char {
                ',' | ';' | ':' | '<' | '>' => true,
                '(' => !self.comments_end,
                '"' => !self.quotes_end,
                '[' => rest.get(..end).is_some_and(|start| start.ends_with('@')),
                _ => char.is_whitespace(),
            };
            if is_separator && end > 0 {
                return end;
            }
            end += char.len_utf8();
        }
    }
}

/// Where the quoted local part at the front of a text ends; 0 if there is none.
fn quoted_end(rest: &str) -> usize {
    let inner = rest.strip_prefix('"').map(str::as_bytes).unwrap_or_default();
    let within = inner.get(..WORD_BYTES_MAX).unwrap_or(inner);
    closing_quote(within).map_or(0, |end| end + 2)
}

/// Where the quote stands that closes what is quoted. A backslash takes its meaning.
fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut skip = false;
    quoted.iter().position(|byte| {
        let is_escaped = std::mem::take(&mut skip);
        skip = !is_escaped && *byte == b'\\';
        !is_escaped && *byte == b'"'
    })
}

/// Where an address ends whose bracket is not closed.
fn unclosed_end(rest: &str) -> usize {
    let mut has_at = false;
    let is_end = |char: char| {
        has_at |= char == '@';
        matches!(char, ',' | ';' | '<') || (has_at && char.is_whitespace())
    };
    rest.find(is_end).unwrap_or(rest.len())
}

/// Whether a byte belongs to a word wherever it stands.
fn is_usual(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b',' | b';' | b':' | b'<' | b'>' | b'(' | b'"' | b'[')
}

/// How long an encoded word with blanks and commas in it may be.
const WORD_BYTES_MAX: usize = 1_000;

/// The end of the address literal (`[..]`) at the front of a text.
fn literal_end(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('[')?;
    let within = inner.as_bytes().get(..WORD_BYTES_MAX).unwrap_or(inner.as_bytes());
    let end = memchr::memchr(b']', within)?;
    inner.get(..end)?.bytes().all(|byte| byte.is_ascii_graphic()).then_some(end + 2)
}
