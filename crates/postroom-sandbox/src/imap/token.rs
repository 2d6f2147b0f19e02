//! Commands as tokens (RFC 3501 §9): words, strings, parentheses.
//!
//! A word takes what stands in brackets with it, so `BODY.PEEK[HEADER.FIELDS (To)]<0.9>` is one.

use bytes::Bytes;

/// A part of a command as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandSegment {
    /// A line, or the piece of it up to a literal; without `{n}` and line end.
    Line(Vec<u8>),
    /// A literal.
    Literal(Bytes),
}

/// A token of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandToken {
    /// `(`
    Open,
    /// `)`
    Close,
    /// An atom, a number, a set, a flag, a fetch item.
    Word(Vec<u8>),
    /// A quoted string or a literal.
    Text(Bytes),
}

/// What is wrong with a command: the text of the BAD response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

/// Takes a command into tokens.
///
/// # Errors
///
/// [`Malformed`] if a quoted string has no end.
pub(crate) fn tokens(segments: &[CommandSegment]) -> Result<Vec<CommandToken>, Malformed> {
    let mut tokens = Vec::new();
    for segment in segments {
        match segment {
            CommandSegment::Literal(bytes) => tokens.push(CommandToken::Text(bytes.clone())),
            CommandSegment::Line(line) => line_tokens(line, &mut tokens)?,
        }
    }
    Ok(tokens)
}

fn line_tokens(line: &[u8], tokens: &mut Vec<CommandToken>) -> Result<(), Malformed> {
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b' ' => {}
            b'(' => tokens.push(CommandToken::Open),
            b')' => tokens.push(CommandToken::Close),
            b'"' => {
                let (text, after) = quoted(tail)?;
                tokens.push(CommandToken::Text(text.into()));
                rest = after;
            }
            _ => {
                let (word, after) = word(line, line.len() - tail.len() - 1);
                tokens.push(CommandToken::Word(word.to_vec()));
                rest = after;
            }
        }
    }
    Ok(())
}

fn quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let mut text = Vec::new();
    loop {
        match rest {
            [] => return Err(Malformed("a quoted string has no end")),
            [b'"', after @ ..] => return Ok((text, after)),
            [b'\\', escaped, after @ ..] => {
                text.push(*escaped);
                rest = after;
            }
            [byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
        }
    }
}

/// The word that begins at `start` of the line, and what follows it.
fn word(line: &[u8], start: usize) -> (&[u8], &[u8]) {
    let from = line.get(start..).unwrap_or_default();
    let mut end = 0;
    while let Some(byte) = from.get(end) {
        let behind = from.get(end..).unwrap_or_default();
        match byte {
            b' ' | b'(' | b')' | b'"' => break,
            b'[' => end += behind.iter().position(|byte| *byte == b']').unwrap_or(0) + 1,
            _ => end += 1,
        }
    }
    from.split_at_checked(end).unwrap_or((from, b""))
}

/// The tokens that are still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments<'a> {
    rest: &'a [CommandToken],
}

impl<'a> Arguments<'a> {
    /// Reads these tokens.
    pub(crate) fn new(tokens: &'a [CommandToken]) -> Self {
        Self { rest: tokens }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next token.
    pub(crate) fn token(&mut self) -> Option<&'a CommandToken> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Whether a parenthesis opens next.
    pub(crate) fn opens(&self) -> bool {
        self.rest.first() == Some(&CommandToken::Open)
    }

    /// The next word.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if there is none.
    pub(crate) fn word(&mut self) -> Result<String, Malformed> {
        match self.token() {
            Some(CommandToken::Word(word)) => Ok(as_text(word)),
            Some(CommandToken::Open | CommandToken::Close | CommandToken::Text(_)) | None => {
                Err(Malformed("a word is missing"))
            }
        }
    }

    /// The next word in upper case if it is that and not something else; does not move on.
    pub(crate) fn keyword(&self) -> Option<String> {
        match self.rest.first() {
            Some(CommandToken::Word(word)) => Some(as_text(word).to_ascii_uppercase()),
            Some(CommandToken::Open | CommandToken::Close | CommandToken::Text(_)) | None => None,
        }
    }

    /// The next string or word (`astring`).
    ///
    /// # Errors
    ///
    /// [`Malformed`] if there is none.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        match self.token() {
            Some(CommandToken::Word(bytes)) => Ok(as_text(bytes)),
            Some(CommandToken::Text(bytes)) => Ok(as_text(bytes)),
            Some(CommandToken::Open | CommandToken::Close) | None => {
                Err(Malformed("a string is missing"))
            }
        }
    }

    /// What stands in the parentheses that come next.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if none opens, or it is not closed.
    pub(crate) fn list(&mut self) -> Result<Arguments<'a>, Malformed> {
        if self.token() != Some(&CommandToken::Open) {
            return Err(Malformed("a list is missing"));
        }
        let mut depth = 0_usize;
        for (at, token) in self.rest.iter().enumerate() {
            match token {
                CommandToken::Open => depth += 1,
                CommandToken::Close if depth == 0 => {
                    let (inside, after) = self.rest.split_at_checked(at).unwrap_or_default();
                    self.rest = after.split_first().map_or(&[], |(_, rest)| rest);
                    return Ok(Arguments { rest: inside });
                }
                CommandToken::Close => depth -= 1,
                CommandToken::Word(_) | CommandToken::Text(_) => {}
            }
        }
        Err(Malformed("a list has no end"))
    }

    /// What stands in the parentheses that come next, or all that is left if none open.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the parentheses are not closed.
    pub(crate) fn list_or_rest(&mut self) -> Result<Arguments<'a>, Malformed> {
        if self.opens() { self.list() } else { Ok(Self { rest: std::mem::take(&mut self.rest) }) }
    }

    /// All that is left, as strings.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if there is a list among it.
    pub(crate) fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let mut texts = Vec::new();
        while !self.is_empty() {
            texts.push(self.text()?);
        }
        Ok(texts)
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if something is.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("too many arguments")) }
    }
}

/// Bytes as text; what is not UTF-8 is escaped, and so names nothing.
pub(crate) fn as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// A string as the server sends it: quoted if it can be, else a literal (RFC 3501 §4.3).
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    const QUOTED_BYTES_MAX: usize = 1000;
    if bytes.len() > QUOTED_BYTES_MAX || !bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return [format!("{{{}}}\r\n", bytes.len()).as_bytes(), bytes].concat();
    }
    let mut text = vec![b'"'];
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[u8]) -> Result<Vec<CommandToken>, Malformed> {
        tokens(&[CommandSegment::Line(line.to_vec())])
    }

    fn word(text: &str) -> CommandToken {
        CommandToken::Word(text.into())
    }

    #[test]
    fn a_line_is_taken_into_tokens() {
        let fetch = "BODY.PEEK[HEADER.FIELDS (To \"x\")]<0.9>";
        let want =
            vec![word("1:*"), CommandToken::Open, word("UID"), word(fetch), CommandToken::Close];
        assert_eq!(of(format!("1:* (UID {fetch})").as_bytes()), Ok(want));
        let want = vec![CommandToken::Text(Bytes::from_static(b"a\"\\b")), word("x[y")];
        assert_eq!(of(b"\"a\\\"\\\\b\" x[y"), Ok(want));
        assert_eq!(of(b"[Gmail]/All"), Ok(vec![word("[Gmail]/All")]));
        assert_eq!(of(b""), Ok(vec![]));
        assert!(of(b"\"open").is_err() && of(b"\"open\\").is_err());
    }

    #[test]
    fn lists_nest() {
        let tokens = of(b"(a (b) c) d").unwrap();
        let mut arguments = Arguments::new(&tokens);
        let mut inside = arguments.list().unwrap();
        assert_eq!(inside.text().unwrap(), "a");
        assert_eq!(inside.list().unwrap().texts().unwrap(), ["b"]);
        assert_eq!(inside.texts().unwrap(), ["c"]);
        assert_eq!(arguments.texts().unwrap(), ["d"]);
        assert!(Arguments::new(&of(b"(a").unwrap()).list().is_err());
    }

    #[test]
    fn strings_are_quoted_or_literals() {
        assert_eq!(string(b"a \"b\\"), b"\"a \\\"b\\\\\"");
        assert_eq!(string("ü".as_bytes()), "{2}\r\nü".as_bytes());
        assert_eq!(string(b"a\r\nb"), b"{4}\r\na\r\nb");
    }
}
