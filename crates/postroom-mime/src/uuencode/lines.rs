//! The lines of a text, with their places.

/// Splits a text at LF, CRLF and CR, from a place on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// Begins at the offset `at` of `text`.
    pub(crate) fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// Returns the offset of the next line.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at_checked(end)?;
        let end_bytes = match tail {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            [_, ..] => 1,
        };
        self.at += end + end_bytes;
        Some(line)
    }
}
