//! Guesses the boundary of a multipart from its body, if the header names none or one that delimits
//! nothing.
//!
//! Reasons are a field that was folded without a blank, a boundary that a gateway rewrote, or an
//! unclosed quote. The parts still exist, and are of no use as one text. A line counts as a
//! delimiter if a `Content-*` field follows it, or if its close delimiter comes later.

use crate::source::ByteSource;
use crate::structure::entity::MimeEntity;
use std::collections::BTreeMap;
use std::io;

/// How much of a body is searched.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How many lines of a body are looked at that could be delimiters.
const LINES_MAX: usize = 16;
/// Longer than any boundary that software makes; RFC 2046 §5.1.1 allows 70.
const BOUNDARY_BYTES_MAX: usize = 200;

/// What was guessed, by the place of the multipart's header.
#[derive(Debug, Default)]
pub(crate) struct Guessed {
    boundaries: BTreeMap<u64, Vec<u8>>,
    passes: usize,
}

impl Guessed {
    /// The boundary of the multipart whose header begins at `start`.
    pub(crate) fn boundary(&self, start: u64) -> Option<&Vec<u8>> {
        self.boundaries.get(&start)
    }

    /// Looks into the multiparts in which no part was found; returns whether one tells its
    /// boundary.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) fn learn<S: ByteSource>(
        &mut self,
        source: &mut S,
        entities: &[MimeEntity],
        passes_max: usize,
    ) -> io::Result<bool> {
        if self.passes >= passes_max {
            return Ok(false);
        }
        let mut has_learnt = false;
        for entity in entities {
            let is_asked = entity.content.is_multipart()
                && !entity.has_parts
                && !entity.is_opaque
                && !entity.body.is_empty()
                && !self.boundaries.contains_key(&entity.header.start);
            if !is_asked {
                continue;
            }
            let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
            let length = length.min(BODY_BYTES_MAX);
            let window = source.window(entity.body.start, length)?;
            if let Some(boundary) = boundary(window.get(..length).unwrap_or(window)) {
                self.boundaries.insert(entity.header.start, boundary.to_vec());
                has_learnt = true;
            }
        }
        self.passes += 1;
        Ok(has_learnt)
    }
}

/// The boundary that the delimiters of a body have.
fn boundary(body: &[u8]) -> Option<&[u8]> {
    let is_line_start = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| body.get(before));
        before.is_none_or(|byte| matches!(byte, b'\r' | b'\n'))
    };
    let starts = memchr::memmem::find_iter(body, b"--").filter(is_line_start);
    let lines = starts.map(|at| next_line(body.get(at + 2..).unwrap_or_default()));
    let mut lines = lines.filter(|(name, _)| is_boundary(name)).take(LINES_MAX);
    let is_it =
        |(name, behind): &(&[u8], &[u8])| begins_with_content(behind) || is_closed(name, behind);
    lines.find(is_it).map(|(name, _)| name)
}

/// The next line without blanks at its end, and what follows it.
fn next_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    let (line, behind) = text.split_at_checked(end).unwrap_or((text, &[]));
    let behind = match behind {
        [b'\r', b'\n', behind @ ..] | [_, behind @ ..] => behind,
        [] => behind,
    };
    (line.trim_ascii_end(), behind)
}

/// Whether a line without its dashes can be a boundary: no rule, no signature, no armour of PGP.
fn is_boundary(name: &[u8]) -> bool {
    name.len() <= BOUNDARY_BYTES_MAX
        && !name.ends_with(b"--")
        && !name.starts_with(b" ")
        && name.iter().any(u8::is_ascii_alphanumeric)
        && name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// Whether a field about the content stands first.
fn begins_with_content(text: &[u8]) -> bool {
    let (line, _) = next_line(text);
    let is_content = line.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    is_content && line.contains(&b':')
}

/// Whether a close delimiter follows.
fn is_closed(name: &[u8], behind: &[u8]) -> bool {
    let close = [b"--", name, b"--"].concat();
    memchr::memmem::find_iter(behind, &close).any(|at| {
        let before = at.checked_sub(1).and_then(|before| behind.get(before));
        let is_start = before.is_none_or(|byte| matches!(byte, b'\r' | b'\n'));
        let (rest, _) = next_line(behind.get(at + close.len()..).unwrap_or_default());
        is_start && rest.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_what_delimits_its_parts() {
        #[rustfmt::skip]
        let table: &[(&str, Option<&str>)] = &[
            ("--b\nContent-Type: text/plain\n\none",           Some("b")),
            ("pre\r\n--b \r\n\r\none\r\n--b--\r\n",        Some("b")),
            ("-- \nAnna\n--b c\n\none\n--b c--",               Some("b c")),
            ("--b\n\none\n--b--x\n",                           None),
            ("--b\n\none x --b--\n",                            None),
            ("--b\n\none\n--b\n\ntwo\n",                      None),
            ("-----BEGIN PGP MESSAGE-----\n\nx",                None),
            ("-----\nContent-Type: text/plain\n-----\n",       None),
            ("",                                                None),
        ];
        for (body, want) in table {
            let got = boundary(body.as_bytes()).map(|name| String::from_utf8_lossy(name));
            assert_eq!(got.as_deref(), *want, "{body:?}");
        }
    }
}
