//! The boundaries of the multiparts that are open, and which of them a line delimits.
//!
//! A delimiter is a whole line: `--`, the boundary, perhaps `--`, then blanks. So a line always
//! means the longest matching boundary, and one boundary may be a prefix of another. If several
//! multiparts have the same boundary, the innermost owns the delimiter. Behind a blank, other text
//! may follow the boundary if the next line is a field about the content. Blanks at the end of a
//! boundary are not allowed. If they occur, the first delimiter shows whether they count.
//!
//! Standards: RFC 2046 §5.1.1.

use crate::header::LineEnd;
use std::hash::BuildHasher;
use std::hash::RandomState;

/// Blanks behind a boundary that still make it a delimiter.
const BLANKS_MAX: usize = 256;
/// What the next line begins with where other text follows a boundary.
const CONTENT: &[u8] = b"content-";

/// So many are told apart by their bytes, more by their hashes.
const FEW: usize = 4;

/// The open boundaries, outermost first.
#[derive(Debug, Default)]
pub(crate) struct Boundaries {
    open: Vec<Boundary>,
    /// A hash of each but the first [`FEW`], looked at before the bytes.
    hashes: Vec<u64>,
    hasher: RandomState,
}

/// One boundary.
#[derive(Debug)]
struct Boundary {
    /// Without blanks at its end.
    name: Vec<u8>,
    /// The blanks at its end.
    blanks: Vec<u8>,
    /// Whether its delimiters have been seen to have these blanks.
    needs_blanks: bool,
    /// How many bytes the longest boundary from the outermost to this one has.
    longest_bytes: usize,
}

/// What a line delimits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delimiter {
    /// The place of the boundary, 0 for the outermost.
    pub level: usize,
    /// Whether it closes the multipart.
    pub is_close: bool,
    /// Whether something but blanks follows the boundary.
    pub has_junk: bool,
    /// Whether the blanks at the end of the boundary stand in the line.
    pub has_blanks: bool,
}

impl Boundaries {
    /// Opens a multipart.
    pub(crate) fn push(&mut self, mut boundary: Vec<u8>) {
        let name_bytes = boundary.trim_ascii_end().len();
        let longest_bytes = boundary.len().max(self.longest_bytes());
        let blanks = boundary.split_off(name_bytes);
        if self.open.len() >= FEW {
            self.hashes.push(self.hasher.hash_one(boundary.as_slice()));
        }
        self.open.push(Boundary { name: boundary, blanks, needs_blanks: false, longest_bytes });
    }

    /// Takes note of a delimiter that was found.
    pub(crate) fn learn(&mut self, delimiter: Delimiter) {
        if let Some(boundary) = self.open.get_mut(delimiter.level) {
            boundary.needs_blanks |= delimiter.has_blanks;
        }
    }

    /// Closes multiparts until `count` are open.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.open.truncate(count);
        self.hashes.truncate(count.saturating_sub(FEW));
    }

    /// The boundary at a level, without blanks at its end.
    pub(crate) fn name(&self, level: usize) -> Vec<u8> {
        self.open.get(level).map(|boundary| boundary.name.clone()).unwrap_or_default()
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// How many bytes of a line decide what it delimits.
    pub(crate) fn line_bytes_max(&self) -> usize {
        self.longest_bytes() + 4 + BLANKS_MAX
    }

    fn longest_bytes(&self) -> usize {
        self.open.last().map_or(0, |innermost| innermost.longest_bytes)
    }

    /// What a line delimits. The line begins with `--`; its end may be there.
    pub(crate) fn find(&self, line: &[u8]) -> Option<Delimiter> {
        let line = line.strip_prefix(b"--")?;
        if line.len() > self.line_bytes_max() {
            return None;
        }
        let content = line.trim_ascii_end();
        if let Some(delimiter) = self.named(content, line.get(content.len()..)?, false) {
            return Some(delimiter);
        }
        let before_close = content.strip_suffix(b"--");
        let close = before_close.and_then(|before| {
            let name = before.trim_ascii_end();
            self.named(name, before.get(name.len()..)?, true)
        });
        close.or_else(|| self.with_junk(content))
    }

    /// The delimiter of a boundary with what stands behind its name: only blanks.
    fn named(&self, name: &[u8], tail: &[u8], is_close: bool) -> Option<Delimiter> {
        let level = self.level(name)?;
        let boundary = self.open.get(level)?;
        let has_blanks = !boundary.blanks.is_empty() && tail.starts_with(&boundary.blanks);
        // Before the dashes of a close delimiter only the blanks of the boundary may stand.
        let is_it = match is_close {
            true => tail.is_empty() || tail == boundary.blanks,
            false => true,
        };
        let is_it = is_it && (has_blanks || !boundary.needs_blanks);
        is_it.then_some(Delimiter { level, is_close, has_junk: false, has_blanks })
    }

    fn level(&self, name: &[u8]) -> Option<usize> {
        if name.len() > self.longest_bytes() {
            return None;
        }
        let (few, many) = self.open.split_at_checked(FEW).unwrap_or((&self.open, &[]));
        if !many.is_empty() {
            let hash = self.hasher.hash_one(name);
            let mut pairs = self.hashes.iter().zip(many);
            let is_it = |(found, open): (&u64, &Boundary)| *found == hash && open.name == name;
            if let Some(at) = pairs.rposition(is_it) {
                return Some(FEW + at);
            }
        }
        few.iter().rposition(|open| open.name == name)
    }

    /// A delimiter with text behind it, of the innermost multipart or one of the outermost.
    fn with_tail(&self, line: &[u8]) -> Option<Delimiter> {
        let content = line.strip_prefix(b"--")?;
        let has_tail = |open: &Boundary| {
            let rest = content.strip_prefix(open.name.as_slice());
            !open.name.is_empty() && rest.is_some_and(|rest| matches!(rest, [b' ' | b'\t', ..]))
        };
        let few = self.open.get(..FEW).unwrap_or(&self.open);
        let innermost = self.open.last().filter(|open| has_tail(open)).map(|_| self.open.len() - 1);
        let level = innermost.or_else(|| few.iter().rposition(has_tail))?;
        Some(Delimiter { level, is_close: false, has_junk: true, has_blanks: false })
    }

    /// A close delimiter with text behind it, of the innermost multipart: some gateways put their
    /// footers there without starting a line.
    fn with_junk(&self, content: &[u8]) -> Option<Delimiter> {
        let innermost = self.open.last().filter(|boundary| !boundary.name.is_empty())?;
        let rest = content.strip_prefix(innermost.name.as_slice())?.strip_prefix(b"--")?;
        let level = self.open.len() - 1;
        let is_junk = rest.first().is_some_and(|byte| byte.is_ascii_whitespace());
        is_junk.then_some(Delimiter { level, is_close: true, has_junk: true, has_blanks: false })
    }
}

/// The delimiter at the beginning of `rest`, and the length of its line.
pub(crate) fn delimiter_at(
    rest: &[u8],
    boundaries: &Boundaries,
    line_end: LineEnd,
) -> Option<(Delimiter, usize)> {
    let line = rest.get(..boundaries.line_bytes_max() + 2).unwrap_or(rest);
    let length = match memchr::memchr(line_end.0, line) {
        Some(end) => end + 1,
        None if line.len() == rest.len() => rest.len(),
        None => return None,
    };
    let (line, behind) = line.split_at_checked(length)?;
    let is_part =
        || behind.get(..CONTENT.len()).is_some_and(|start| start.eq_ignore_ascii_case(CONTENT));
    let delimiter =
        boundaries.find(line).or_else(|| boundaries.with_tail(line).filter(|_| is_part()))?;
    Some((delimiter, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_the_end_of_a_boundary_count_once_a_delimiter_had_them() {
        let mut boundaries = Boundaries::default();
        boundaries.push(b"b  ".to_vec());
        let is_close = |found: Option<Delimiter>| found.map(|found| found.is_close);
        assert_eq!(is_close(boundaries.find(b"--b\r\n")), Some(false));
        assert_eq!(is_close(boundaries.find(b"--b--\r\n")), Some(true));
        let with_blanks = boundaries.find(b"--b  \r\n").unwrap();
        assert!(with_blanks.has_blanks);
        boundaries.learn(with_blanks);
        assert_eq!(boundaries.find(b"--b \r\n"), None);
        assert_eq!(is_close(boundaries.find(b"--b  \r\n")), Some(false));
        assert_eq!(is_close(boundaries.find(b"--b  --\r\n")), Some(true));
        assert_eq!(boundaries.find(b"--b--\r\n"), None);
    }

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
