//! Guesses the boundary of a multipart from its body, if the header names none or one that delimits
//! nothing, and finds multiparts that the header does not declare.
//!
//! Reasons are a field that was folded without a blank, a boundary that a gateway rewrote, or an
//! unclosed quote. The parts still exist, and are of no use as one text. A line counts as a
//! delimiter if a `Content-*` field follows it, or if its close delimiter comes later.
//!
//! A body of another type is a multipart if lines of it delimit parts with a boundary that a
//! repeated Content-Type names. If a type that is no multipart names the boundary, or nothing does,
//! the body must begin with the delimiter, because a text may quote a multipart.

use crate::content::Disposition;
use crate::content::OtherMultipart;
use crate::source::ByteSource;
use crate::structure::entity::MimeEntity;
use std::borrow::Cow;
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
    found: BTreeMap<u64, Guess>,
    passes: usize,
}

/// What a body is.
#[derive(Debug)]
struct Guess {
    boundary: Vec<u8>,
    /// Its media type, if the header declares no multipart.
    media_type: Option<Cow<'static, str>>,
}

impl Guessed {
    /// The boundary of the multipart whose header begins at `start`.
    pub(crate) fn boundary(&self, start: u64) -> Option<&Vec<u8>> {
        self.found.get(&start).map(|guess| &guess.boundary)
    }

    /// What the part whose header begins at `start` is, if the header does not declare it.
    pub(crate) fn media_type(&self, start: u64) -> Option<Cow<'static, str>> {
        self.found.get(&start).and_then(|guess| guess.media_type.clone())
    }

    /// Looks into the multiparts in which no part was found, and into the parts that may be
    /// multiparts; returns whether one tells its boundary.
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
            let content = &entity.content;
            let is_asked = content.is_multipart() || may_be_multipart(entity);
            let is_asked = is_asked
                && !entity.has_parts
                && !entity.is_opaque
                && !entity.body.is_empty()
                && !self.found.contains_key(&entity.header.start);
            if !is_asked {
                continue;
            }
            let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
            let length = length.min(BODY_BYTES_MAX);
            let window = source.window(entity.body.start, length)?;
            let body = window.get(..length).unwrap_or(window);
            let guess = match content.other_multipart() {
                _ if content.is_multipart() => boundary(body)
                    .map(|boundary| Guess { boundary: boundary.to_vec(), media_type: None }),
                Some(other) => delimited(body, other),
                None => untyped(body),
            };
            if let Some(guess) = guess {
                self.found.insert(entity.header.start, guess);
                has_learnt = true;
            }
        }
        self.passes += 1;
        Ok(has_learnt)
    }
}

/// Whether a part that is no multipart by its type is looked into: one with another boundary, or a
/// message without a type.
fn may_be_multipart(entity: &MimeEntity) -> bool {
    let content = &entity.content;
    let is_file = content.disposition == Some(Disposition::Attachment) || content.name().is_some();
    match content.other_multipart() {
        Some(other) => {
            other.is_declared || !(is_file || content.media_type.starts_with("message/"))
        }
        None => entity.parent.is_none() && !content.is_typed && !content.is_multipart(),
    }
}

/// The multipart that a body is, if its lines have the boundary of another field or type.
fn delimited(body: &[u8], other: &OtherMultipart) -> Option<Guess> {
    let name = other.boundary.trim_ascii_end();
    let is_first = first_boundary(body) == Some(name);
    let mut lines = dashed(body).filter(|(found, _)| *found == name).take(LINES_MAX);
    let mut is_delimiter =
        || lines.any(|(_, behind)| begins_with_content(behind) || is_closed(name, behind));
    let is_found = match other.is_declared {
        true => is_first || is_delimiter(),
        false => is_first && is_delimiter(),
    };
    is_found.then(|| Guess {
        boundary: other.boundary.clone(),
        media_type: Some(other.media_type.clone()),
    })
}

/// The multipart that a body without a type is: it begins with a delimiter, and has fields about
/// the content behind one and an end, or such fields twice.
fn untyped(body: &[u8]) -> Option<Guess> {
    let name = first_boundary(body).filter(|name| is_boundary(name))?;
    let lines = dashed(body).filter(|(found, _)| *found == name).take(LINES_MAX);
    let count = lines.filter(|(_, behind)| begins_with_content(behind)).count();
    let is_found = count > 1 || (count == 1 && is_closed(name, body));
    let media_type = Some(Cow::Borrowed("multipart/mixed"));
    is_found.then(|| Guess { boundary: name.to_vec(), media_type })
}

/// What stands behind the two hyphens with which the first line that is not blank begins.
fn first_boundary(body: &[u8]) -> Option<&[u8]> {
    let (line, _) = next_line(body.trim_ascii_start());
    line.strip_prefix(b"--")
}

/// The lines of a body that begin with two hyphens, without these, and what follows each.
fn dashed(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let is_line_start = move |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| body.get(before));
        before.is_none_or(|byte| matches!(byte, b'\r' | b'\n'))
    };
    let starts = memchr::memmem::find_iter(body, b"--").filter(is_line_start);
    starts.map(move |at| next_line(body.get(at + 2..).unwrap_or_default()))
}

/// Whether a part with this boundary stands behind the end of its multipart, before a delimiter of
/// one that is open.
pub(super) fn has_part(epilogue: &[u8], name: &[u8], is_open: impl Fn(&[u8]) -> bool) -> bool {
    let mut lines = dashed(epilogue)
        .take(LINES_MAX)
        .take_while(|(found, _)| !is_open(&[b"--", *found].concat()));
    lines.any(|(found, behind)| found == name && begins_with_content(behind))
}

/// The boundary that the delimiters of a body have.
fn boundary(body: &[u8]) -> Option<&[u8]> {
    let mut lines = dashed(body).filter(|(name, _)| is_boundary(name)).take(LINES_MAX);
    let is_it =
        |(name, behind): &(&[u8], &[u8])| begins_with_content(behind) || is_closed(name, behind);
    lines.find(is_it).map(|(name, _)| name)
}

/// Whether lines of a body delimit parts: with this boundary, or, without one, with any.
pub(crate) fn shows_parts(body: &[u8], declared: Option<&[u8]>) -> bool {
    let Some(declared) = declared else { return boundary(body).is_some() };
    dashed(body).any(|(name, _)| name == declared.trim_ascii_end())
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
