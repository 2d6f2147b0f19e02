//! The boundaries of the multiparts that are open, and which of them a line delimits.
//!
//! A delimiter is a whole line: `--`, the boundary, perhaps `--`, then blanks. So the longest
//! boundary that a line could mean is the one it means, and boundaries may be prefixes of others.
//! The innermost multipart with a boundary owns its delimiters.
//!
//! Standards: RFC 2046 §5.1.1.

use std::hash::BuildHasher;
use std::hash::RandomState;

/// Blanks behind a boundary that still make it a delimiter.
const BLANKS_MAX: usize = 256;

/// The open boundaries, outermost first.
#[derive(Debug, Default)]
pub struct Boundaries {
    open: Vec<Vec<u8>>,
    /// A hash of each, looked at before the bytes.
    hashes: Vec<u64>,
    /// The longest boundary from the outermost to each.
    longest: Vec<usize>,
    hasher: RandomState,
}

/// What a line delimits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter {
    /// The place of the boundary, 0 for the outermost.
    pub level: usize,
    /// Whether it closes the multipart.
    pub is_close: bool,
    /// Whether something but blanks follows the boundary.
    pub has_junk: bool,
}

impl Boundaries {
    /// Opens a multipart.
    pub fn push(&mut self, boundary: Vec<u8>) {
        self.hashes.push(self.hasher.hash_one(boundary.as_slice()));
        self.longest.push(boundary.len().max(self.longest.last().copied().unwrap_or(0)));
        self.open.push(boundary);
    }

    /// Closes multiparts until `count` are open.
    pub fn truncate(&mut self, count: usize) {
        self.open.truncate(count);
        self.hashes.truncate(count);
        self.longest.truncate(count);
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// How many bytes of a line decide what it delimits.
    pub fn line_bytes_max(&self) -> usize {
        self.longest.last().copied().unwrap_or(0) + 4 + BLANKS_MAX
    }

    /// What a line delimits. The line begins with `--`; its end may be there.
    pub fn find(&self, line: &[u8]) -> Option<Delimiter> {
        let content = line.strip_prefix(b"--")?;
        if content.len() > self.line_bytes_max() {
            return None;
        }
        let content = content.trim_ascii_end();
        if let Some(level) = self.level(content) {
            return Some(Delimiter { level, is_close: false, has_junk: false });
        }
        let close = content.strip_suffix(b"--").and_then(|boundary| self.level(boundary));
        if let Some(level) = close {
            return Some(Delimiter { level, is_close: true, has_junk: false });
        }
        self.with_junk(content)
    }

    fn level(&self, boundary: &[u8]) -> Option<usize> {
        let longest = self.longest.last()?;
        if boundary.len() > *longest {
            return None;
        }
        let hash = self.hasher.hash_one(boundary);
        let is_it = |(at, found): (usize, &u64)| {
            let is_it = *found == hash && self.open.get(at).is_some_and(|open| open == boundary);
            is_it.then_some(at)
        };
        self.hashes.iter().enumerate().rev().find_map(is_it)
    }

    /// A close delimiter with text behind it, of the innermost multipart: some gateways put their
    /// footers there without starting a line.
    fn with_junk(&self, content: &[u8]) -> Option<Delimiter> {
        let innermost = self.open.last().filter(|boundary| !boundary.is_empty())?;
        let rest = content.strip_prefix(innermost.as_slice())?.strip_prefix(b"--")?;
        let level = self.open.len() - 1;
        let is_junk = rest.first().is_some_and(|byte| byte.is_ascii_whitespace());
        is_junk.then_some(Delimiter { level, is_close: true, has_junk: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(open: &[&str], line: &[u8], want: Option<(usize, bool)>) {
        let mut boundaries = Boundaries::default();
        for boundary in open {
            boundaries.push(boundary.as_bytes().to_vec());
        }
        let got = boundaries.find(line).map(|found| (found.level, found.is_close));
        assert_eq!(got, want, "{open:?} {}", line.escape_ascii());
    }

    /// Open boundaries, a line, and which of them it is, and whether the last of its kind.
    type Case = (&'static [&'static str], &'static [u8], Option<(usize, bool)>);

    #[test]
    fn a_line_delimits_the_boundary_that_it_holds_as_a_whole() {
        #[rustfmt::skip]
        let table: &[Case] = &[
            (&["a"],           b"--a\r\n",     Some((0, false))),
            (&["a"],           b"--a--\r\n",   Some((0, true))),
            (&["a"],           b"--a-- \t\n",  Some((0, true))),
            (&["a"],           b"--ab\r\n",    None),
            (&["a"],           b"-- a\r\n",    None),
            (&["a", "ab"],     b"--ab",        Some((1, false))),
            (&["ab", "a"],     b"--ab",        Some((0, false))),
            (&["a", "a--"],    b"--a--",       Some((1, false))),
            (&["a", "a", "a"], b"--a",         Some((2, false))),
            (&["a"],           b"--a text",    None),
            (&["a"],           b"--a-- text",  Some((0, true))),
            (&[],              b"--a",         None),
        ];
        for (open, line, want) in table {
            check(open, line, *want);
        }
    }
}
