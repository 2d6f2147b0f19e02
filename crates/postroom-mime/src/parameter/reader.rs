//! The pieces of a value with parameters, as they are written.
//!
//! Time is linear: what has no end is searched for it once.

use crate::encoded_word;
use std::borrow::Cow;

/// A piece of a parameter as it is written.
pub(crate) struct ParameterPiece<'a> {
    /// In any case, without asterisks.
    pub name: &'a [u8],
    /// The number of a continuation.
    pub section: Option<u32>,
    /// Whether it is percent-encoded.
    pub is_extended: bool,
    /// Without quotes.
    pub value: Cow<'a, [u8]>,
    /// Whether a semicolon introduces it, and its quote is closed.
    pub is_sound: bool,
}

/// Reads a value from its front.
pub(crate) struct ParameterReader<'a> {
    rest: &'a [u8],
    /// Whether no quote in the rest ends a parameter: known once, so that time stays linear.
    quotes_end: bool,
    /// Whether a comment in the rest is not closed.
    comments_end: bool,
}

impl<'a> ParameterReader<'a> {
    /// Begins to read.
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: value, quotes_end: false, comments_end: false }
    }

    /// Whether no semicolon stands where the head ends.
    pub(crate) fn is_loose(&mut self) -> bool {
        self.blanks();
        self.rest.first().is_some_and(|byte| *byte != b';')
    }

    /// What stands before the parameters, without comments.
    pub(crate) fn head(&mut self) -> Cow<'a, [u8]> {
        self.blanks();
        let is_end = |byte: &u8| {
            matches!(byte, b';' | b'(' | b'"' | b',' | b':') || byte.is_ascii_whitespace()
        };
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let mut head = Cow::Borrowed(self.take(end));
        // Blanks around the slash.
        self.blanks();
        let mut is_open = head.ends_with(b"/");
        if !is_open && self.rest.first() == Some(&b'/') {
            head.to_mut().extend(self.take(1));
            self.blanks();
            is_open = true;
        }
        if is_open {
            let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
            head.to_mut().extend(self.take(end));
        } else if head.is_empty() && self.rest.first() == Some(&b'"') {
            self.take(1);
            head = self.quoted().0;
        }
        head
    }

    /// The next piece of a parameter.
    pub(crate) fn piece(&mut self) -> Option<ParameterPiece<'a>> {
        let mut is_introduced = false;
        loop {
            is_introduced |= self.separators();
            if self.rest.is_empty() {
                return None;
            }
            let name = self.name();
            self.blanks();
            let is_usual = match self.rest.first() {
                Some(b'=') => true,
                // For an equals sign.
                Some(b':') => false,
                // A word without a value.
                Some(_) | None => {
                    is_introduced = false;
                    continue;
                }
            };
            self.take(1);
            self.blanks();
            let (name, section, is_extended) = split_name(name);
            if self.rest.starts_with(b"3D\"") {
                // An equals sign that was escaped as quoted-printable does it.
                self.take(2);
            }
            let (value, is_closed) = match self.rest.first() {
                Some(b'"') => {
                    self.take(1);
                    self.quoted()
                }
                _ => (self.unquoted(Until::of(name)), true),
            };
            let is_sound = is_introduced && is_closed && is_usual;
            return Some(ParameterPiece { name, section, is_extended, value, is_sound });
        }
    }

    /// The name of a parameter. Blanks may stand before its asterisks.
    fn name(&mut self) -> &'a [u8] {
        let whole = self.rest;
        let is_end =
            |byte: &u8| matches!(byte, b'=' | b';' | b'(' | b':') || byte.is_ascii_whitespace();
        let end = |text: &[u8]| text.iter().position(is_end).unwrap_or(text.len());
        let name = self.take(end(self.rest));
        let behind = self.rest.trim_ascii_start();
        if name.is_empty() || !behind.starts_with(b"*") {
            return name;
        }
        self.rest = behind;
        self.take(end(behind));
        whole.get(..whole.len() - self.rest.len()).unwrap_or(name)
    }

    /// A quoted value, behind its opening quote. The closing one is that which ends the parameter:
    /// names with quotes in them occur. Tells whether there is one.
    fn quoted(&mut self) -> (Cow<'a, [u8]>, bool) {
        let rest = self.rest;
        if let Some(end) = rest.iter().position(|byte| is_marked(*byte))
            && rest.get(end) == Some(&b'"')
            && self.closes(end + 1)
        {
            self.take(end + 1);
            return (Cow::Borrowed(rest.get(..end).unwrap_or_default()), true);
        }
        self.quoted_with_marks()
    }

    /// The same, with escapes, quotes or ends of lines in it.
    fn quoted_with_marks(&mut self) -> (Cow<'a, [u8]>, bool) {
        let mut value = Vec::new();
        let (mut at, mut first) = (0, None);
        while let Some(&byte) = self.rest.get(at) {
            if self.quotes_end && first.is_some() {
                break;
            }
            let next = self.rest.get(at + 1);
            match byte {
                b'\\' if matches!(next, Some(b'"' | b'\\')) => {
                    value.extend(next);
                    at += 1;
                }
                b'"' if self.closes(at + 1) => {
                    self.take(at + 1);
                    return (Cow::Owned(value), true);
                }
                b'"' if let Some(length) = self.next_word(at + 1) => at += length,
                b'"' => {
                    first.get_or_insert((at, value.len()));
                    value.push(byte);
                }
                b'\r' | b'\n' => {}
                _ => {
                    let rest = self.rest.get(at..).unwrap_or_default();
                    let count = rest.iter().skip(1).take_while(|byte| !is_marked(**byte)).count();
                    value.extend_from_slice(rest.get(..=count).unwrap_or_default());
                    at += count;
                }
            }
            at += 1;
        }
        // Not closed: up to the first quote, else to the next parameter.
        self.quotes_end = true;
        if let Some((at, length)) = first {
            self.take(at + 1);
            value.truncate(length);
            return (Cow::Owned(value), true);
        }
        (self.unquoted(Until::SemicolonOrQuote), false)
    }

    /// How many bytes there are from `at` to an encoded word that stands in quotes of its own
    /// behind blanks. `None` if there is none.
    fn next_word(&self, at: usize) -> Option<usize> {
        let rest = self.rest.get(at..)?;
        let is_blank = |byte: &&u8| byte.is_ascii_whitespace();
        let blanks = rest.iter().take(BLANKS_MAX).take_while(is_blank).count();
        let behind = rest.get(blanks..)?.strip_prefix(b"\"=?")?;
        (blanks > 0 && !behind.is_empty()).then_some(blanks + 1)
    }

    /// Whether a quote that stands before `at` ends a parameter.
    fn closes(&self, at: usize) -> bool {
        let rest = self.rest.get(at..).unwrap_or_default();
        let blanks =
            rest.iter().take(BLANKS_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
        match rest.get(blanks) {
            None | Some(b';' | b'(' | b',') => true,
            Some(_) => blanks > 0 && begins_parameter(rest.get(blanks..).unwrap_or_default()),
        }
    }

    /// An unquoted value.
    fn unquoted(&mut self, until: Until) -> Cow<'a, [u8]> {
        let is_end = |byte: &u8| match until {
            Until::Semicolon | Until::SemicolonOrQuote => *byte == b';',
            Until::BlankOrComment => matches!(byte, b';' | b'(') || byte.is_ascii_whitespace(),
        };
        // What stands in an encoded word does not end it.
        let word = word_bytes(self.rest);
        let behind = self.rest.get(word..).unwrap_or_default();
        let end = behind.iter().position(is_end).unwrap_or(behind.len());
        let mut value = self.take(word + end).trim_ascii();
        if matches!(until, Until::Semicolon) && value.ends_with(b")") {
            // A comment behind a boundary. One that is glued on belongs to it.
            let comment = memchr::memmem::rfind(value, b" (");
            value = value.get(..comment.unwrap_or(value.len())).unwrap_or(value).trim_ascii_end();
        }
        if !matches!(until, Until::Semicolon) {
            value = value.strip_suffix(b"\"").unwrap_or(value);
        }
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if value.iter().any(is_line_end) {
            value.iter().copied().filter(|byte| !is_line_end(byte)).collect()
        } else {
            Cow::Borrowed(value)
        }
    }

    fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'(') {
                return;
            }
            self.comment();
        }
    }

    /// Leaves out what stands between parameters; tells whether a semicolon was there.
    fn separators(&mut self) -> bool {
        let mut has_semicolon = false;
        loop {
            self.blanks();
            match self.rest {
                [byte @ (b';' | b',' | b'=' | b'"' | b':'), after @ ..] => {
                    has_semicolon |= *byte == b';';
                    self.rest = after;
                }
                _ => return has_semicolon,
            }
        }
    }

    /// Leaves out a comment. One that is not closed is none.
    fn comment(&mut self) {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(byte) = self.rest.get(at).filter(|_| !self.comments_end) {
            match byte {
                b'\\' => at += 1,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        self.comments_end |= depth > 0;
        self.take(if depth == 0 && at > 0 { at } else { 1 });
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }
}

/// What ends an unquoted value.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// A semicolon: all else belongs to a boundary.
    Semicolon,
    /// A semicolon, with a stray quote before it: names have blanks in them.
    SemicolonOrQuote,
    /// A semicolon, a blank or a comment, with a stray quote before it.
    BlankOrComment,
}

impl Until {
    fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            8 if is(b"boundary") => Self::Semicolon,
            8 if is(b"filename") => Self::SemicolonOrQuote,
            4 if is(b"name") => Self::SemicolonOrQuote,
            _ => Self::BlankOrComment,
        }
    }
}

/// A longer encoded word is none.
const WORD_BYTES_MAX: usize = 1 << 10;
/// How many blanks may stand between two parameters.
const BLANKS_MAX: usize = 64;

/// Whether `rest` begins with a name and an equals sign.
fn begins_parameter(rest: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*' | b'_');
    let name = rest.iter().take(BLANKS_MAX).take_while(|byte| is_name(byte)).count();
    name > 0 && rest.get(name) == Some(&b'=')
}

/// How many bytes the encoded word at the front has. 0 if there is none.
fn word_bytes(rest: &[u8]) -> usize {
    let Some((content, _)) = encoded_word::front(rest) else { return 0 };
    let behind = rest.get(content..).unwrap_or_default();
    let behind = behind.get(..WORD_BYTES_MAX).unwrap_or(behind);
    memchr::memmem::find(behind, b"?=").map_or(0, |end| content + end + 2)
}

/// Whether a byte means something in a quoted value.
fn is_marked(byte: u8) -> bool {
    matches!(byte, b'\\' | b'"' | b'\r' | b'\n')
}

/// Splits `name*3*` into its parts.
fn split_name<'a>(name: &'a [u8]) -> (&'a [u8], Option<u32>, bool) {
    if memchr::memchr(b'*', name).is_none() {
        return (name, None, false);
    }
    let (base, is_extended) = match name.strip_suffix(b"*") {
        Some(base) => (base, true),
        None => (name, false),
    };
    let section = memchr::memrchr(b'*', base).and_then(|at| {
        let number = std::str::from_utf8(base.get(at + 1..)?).ok()?;
        Some((base.get(..at)?, number.parse().ok()?))
    });
    let bare = |name: &[u8]| name.iter().rposition(|byte| !is_star_or_blank(*byte));
    let trimmed =
        |name: &'a [u8]| name.get(..bare(name).map_or(0, |last| last + 1)).unwrap_or(name);
    match section {
        Some((base, number)) => (trimmed(base), Some(number), is_extended),
        None => (trimmed(base), None, is_extended),
    }
}

fn is_star_or_blank(byte: u8) -> bool {
    byte == b'*' || byte.is_ascii_whitespace()
}
