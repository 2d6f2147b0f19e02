//! Finds out in which transfer encoding a body is written, where the header does not tell, or tells
//! something else.
//!
//! A declared encoding is believed as long as the body may be written in it. If fields contradict
//! each other, or a name is unknown, the encoding counts in which the body decodes cleanly. One
//! that no field names needs a body that can hardly be anything else.
//!
//! Standards: RFC 2045 §6.

use crate::charset;
use crate::content::ContentFields;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoding_field::Declared;
use crate::header::Header;
use crate::header::LineEnd;
use crate::source::ByteSource;
use crate::structure::entity::MimeEntity;
use crate::transfer::LINE_BYTES_MIN;
use crate::transfer::SAMPLE_BYTES;
use crate::transfer::TransferEncoding;
use crate::transfer::is_surely_quoted_printable;
use std::io;

/// So many lines of one width, which is at least [`WIDTH_MIN`], are base64 however short they are.
const WRAPPED_MIN: usize = 3;
/// Words of a text are shorter.
const WIDTH_MIN: usize = 8;
/// So many lines of one width are base64 whatever that is.
const COLUMN_MIN: usize = 16;
/// One character of so many may be damaged.
const DAMAGE_RATIO: usize = 20;
/// One character of so many may be of the URL-safe alphabet alone.
const MARK_RATIO: usize = 8;
/// So many characters are base64 by no chance if they make text.
const SURE_TEXT_MIN: usize = 16;
/// Lines of a file that are as long as this are base64 by no chance.
const SURE_WIDTH_MIN: usize = 60;

/// The beginning of a body.
#[derive(Clone, Copy)]
struct BodySample<'a> {
    bytes: &'a [u8],
    /// Whether it is all of the body.
    is_whole: bool,
    line_end: LineEnd,
}

/// Where the body behind a header begins. A line before the blank line belongs to the body, unless
/// the text after the blank line is base64 and the line is not. If the first line is not written as
/// the header declares, the encoding is left open.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn body_start<S: ByteSource>(
    source: &mut S,
    header: &Header,
    content: &mut ContentFields,
    line_end: LineEnd,
) -> io::Result<u64> {
    if content.encoding == TransferEncoding::Identity {
        return Ok(header.body);
    }
    let start = sample(source.window(header.body, SAMPLE_BYTES)?);
    let is_base64 = content.encoding == TransferEncoding::Base64;
    if let Some(behind) = header.behind_blank.filter(|_| is_base64)
        && !begins_in_base64(start, line_end)
    {
        let start = sample(source.window(behind, SAMPLE_BYTES)?);
        return Ok(if begins_in_base64(start, line_end) { behind } else { header.body });
    }
    let is_other = match lines(start, line_end).next() {
        Some(first) if is_base64 => !is_text(content) && !is_base64_line(first),
        Some(first) => first.len() >= SURE_TEXT_MIN && is_base64_line(first),
        None => false,
    };
    if is_other && !content.is_multipart() {
        content.encodings.open();
    }
    Ok(header.body)
}

/// The beginning of a body, as far as it tells how it is written.
pub(crate) fn sample(window: &[u8]) -> &[u8] {
    window.get(..SAMPLE_BYTES).unwrap_or(window)
}

/// Finds out the encodings that are open, and those of texts in base64. A body that is in none of
/// them stays as it is.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn check<S: ByteSource>(
    source: &mut S,
    entities: &mut [MimeEntity],
    line_end: LineEnd,
    defects: &mut Defects,
) -> io::Result<()> {
    for entity in entities {
        let content = &mut entity.content;
        let is_asked = content.encodings.is_open()
            || (content.encoding == TransferEncoding::Base64 && is_text(content));
        if !is_asked || entity.has_parts {
            continue;
        }
        let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
        let window = source.window(entity.body.start, length.min(SAMPLE_BYTES))?;
        let bytes = window.get(..length.min(SAMPLE_BYTES)).unwrap_or(window);
        let sample = BodySample { bytes, is_whole: length <= SAMPLE_BYTES, line_end };
        let found = sample.encoding(content);
        if found != content.encoding {
            content.encoding = found;
            defects.note(Defect::TransferEncodingUnknown);
        }
        if found == TransferEncoding::Identity && bytes.trim_ascii_start().starts_with(b"begin ") {
            content.file_encoding.get_or_insert(Declared::Uuencode);
        }
    }
    Ok(())
}

impl BodySample<'_> {
    /// The encoding in which the body is written.
    fn encoding(self, content: &ContentFields) -> TransferEncoding {
        use TransferEncoding::Base64;
        use TransferEncoding::QuotedPrintable;
        let may_be_base64 =
            || self.may_be_base64(content) || (!is_text(content) && self.is_mostly_base64());
        if (content.encodings.has(Base64) && may_be_base64()) || self.is_surely_base64(content) {
            return Base64;
        }
        let is_named = content.encodings.has(QuotedPrintable);
        if (is_named && QuotedPrintable.fits(self.bytes, self.is_whole))
            || is_surely_quoted_printable(self.bytes)
        {
            return QuotedPrintable;
        }
        TransferEncoding::Identity
    }

    /// Whether the body may be in base64, which is declared: if its first line is, or if most of it
    /// is, because lines may have been added on the way.
    fn may_be_base64(self, content: &ContentFields) -> bool {
        // As the decoder does, which begins behind an armour and ends at one.
        let is_dashes = |line: &&[u8]| line.starts_with(b"--");
        let lines = || {
            let lines = lines(self.bytes, self.line_end).skip_while(is_dashes);
            lines.take_while(move |line| !is_dashes(line))
        };
        match lines().next() {
            Some(first) if first.len() >= LINE_BYTES_MIN && is_base64(first, false) => return true,
            Some(_) if is_wrapped(lines()) => return true,
            Some(_) if is_whole_base64(lines(), self.is_whole) => return self.is_no_word(content),
            Some(_) => {}
            None => return self.bytes.trim_ascii().is_empty(),
        }
        let mut lines = lines().peekable();
        let (mut written_bytes, mut other_bytes) = (0, 0);
        while let Some(line) = lines.next() {
            // The last one may lack its padding, or its end.
            if is_base64(line, lines.peek().is_none()) {
                written_bytes += line.len();
            } else {
                other_bytes += line.len();
            }
        }
        written_bytes >= other_bytes && (other_bytes > 0 || self.is_no_word(content))
    }

    /// Whether characters of base64 in short lines are no words of a text, which would make none if
    /// they were decoded.
    fn is_no_word(self, content: &ContentFields) -> bool {
        let is_padded = self.bytes.trim_ascii_end().ends_with(b"=");
        is_padded || !is_text(content) || self.makes_text(content)
    }

    /// Whether the bytes of a file are characters of base64 but for a few: words have blanks and
    /// marks.
    fn is_mostly_base64(self) -> bool {
        let chars = self.bytes.iter().filter(|byte| is_character(byte)).count();
        let ends = self.bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
        let others = self.bytes.len() - chars - ends;
        others <= 1 || others * DAMAGE_RATIO <= chars
    }

    /// Whether the body is in base64 though nothing says so: lines of one width, which are long, or
    /// make text.
    fn is_surely_base64(self, content: &ContentFields) -> bool {
        let mut lines = lines(self.bytes, self.line_end).peekable();
        let width = lines.peek().map_or(0, |first| first.len());
        let mut count = 0;
        while let Some(line) = lines.next() {
            let is_last = lines.peek().is_none();
            let is_wide = line.len() == width || (is_last && line.len() < width);
            if !is_wide || !is_base64_line(line) || (!is_last && line.ends_with(b"=")) {
                return false;
            }
            count += line.len();
        }
        let is_grouped = !self.is_whole || count.is_multiple_of(4);
        is_grouped
            && if is_text(content) {
                count >= SURE_TEXT_MIN && self.makes_text(content)
            } else {
                width >= SURE_WIDTH_MIN
            }
    }

    /// Whether the body makes text if it is decoded as base64.
    fn makes_text(self, content: &ContentFields) -> bool {
        let decoded = TransferEncoding::Base64.decode(self.bytes);
        let is_control = |byte: &u8| *byte < b' ' && !b"\t\r\n\x0C\x0E\x0F\x1B".contains(byte);
        let has_other = content.charset.as_deref().and_then(charset::named);
        let is_text = match std::str::from_utf8(&decoded) {
            Ok(_) => true,
            Err(error) => {
                error.error_len().is_none() || has_other.is_some_and(|charset| !charset.is_utf8())
            }
        };
        is_text && !decoded.iter().any(is_control)
    }
}

fn is_text(content: &ContentFields) -> bool {
    content.media_type.starts_with("text/")
}

/// Whether a body begins with lines of characters of base64 that are all as long as the first one
/// but for the last: line breaks stand anywhere (RFC 2045 §6.8).
fn is_wrapped<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let first = lines.next().unwrap_or_default();
    let is_first = |line: &&[u8]| line.len() == first.len() && line.iter().all(is_of_alphabet);
    let count_min = if first.len() >= WIDTH_MIN { WRAPPED_MIN } else { COLUMN_MIN };
    let others = lines.take(count_min - 1);
    first.iter().all(is_of_alphabet) && others.filter(is_first).count() + 1 == count_min
}

/// Whether nothing stands in a body that could not be base64, and all of it is whole groups: then
/// the label counts, however the lines are broken. Behind padding anything may stand that was added
/// on the way.
fn is_whole_base64<'a>(lines: impl Iterator<Item = &'a [u8]>, is_whole: bool) -> bool {
    let (mut count, mut is_padded) = (0_usize, false);
    for line in lines {
        let chars = line.strip_suffix(b"=").unwrap_or(line);
        let chars = chars.strip_suffix(b"=").unwrap_or(chars);
        let has_other = chars.iter().any(|byte| *byte == b'=' || !is_character(byte));
        if has_other || (is_padded && !chars.is_empty()) {
            return false;
        }
        count += line.len();
        is_padded |= chars.len() < line.len();
        if is_padded && count.is_multiple_of(4) {
            return true;
        }
    }
    !is_padded && count > 0 && (!is_whole || count.is_multiple_of(4))
}

fn is_of_alphabet(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_character(byte: &u8) -> bool {
    is_of_alphabet(byte) || *byte == b'='
}

/// Whether a line is nothing but characters of base64, with padding at its end alone.
fn is_base64_line(line: &[u8]) -> bool {
    let chars = line.strip_suffix(b"=").unwrap_or(line);
    let chars = chars.strip_suffix(b"=").unwrap_or(chars);
    !chars.is_empty() && chars.iter().all(is_of_alphabet)
}

/// Whether characters are whole groups of base64 with their padding. Escapes of quoted-printable,
/// which are of the same characters, are none.
fn is_groups(chars: &[u8]) -> bool {
    let is_group = |group: &[u8]| {
        let pads = group.iter().rev().take_while(|byte| **byte == b'=').count();
        pads <= 2 && !group.iter().take(group.len() - pads).any(|byte| *byte == b'=')
    };
    chars.chunks(4).all(is_group)
}

/// Whether the first line of a body is base64.
fn begins_in_base64(body: &[u8], line_end: LineEnd) -> bool {
    lines(body, line_end).next().is_some_and(|line| is_base64(line, false))
}

/// Lines that are not blank.
fn lines(body: &[u8], line_end: LineEnd) -> impl Iterator<Item = &[u8]> {
    let lines = body.split(move |byte| *byte == line_end.0).map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty())
}

/// Whether a line is made of whole groups, perhaps with blanks between them, is a long one without,
/// or has other bytes by damage alone.
fn is_base64(line: &[u8], is_cut: bool) -> bool {
    let mut others = line.iter().filter(|byte| !is_character(byte)).count();
    if memchr::memchr(b'=', line).is_some() && !line.split(u8::is_ascii_whitespace).all(is_groups) {
        others += line.iter().filter(|byte| **byte == b'=').count();
    }
    let marks = line.iter().filter(|byte| matches!(byte, b'-' | b'_')).count();
    // The URL-safe alphabet has these two: by chance they are one character of 32.
    let others = if marks * MARK_RATIO <= line.len() { others - marks } else { others };
    let is_damaged = others > 0 && !line.contains(&b' ') && others * DAMAGE_RATIO <= line.len();
    let mut groups = line.split(|byte| matches!(byte, b' ' | b'\t')).peekable();
    is_damaged
        || (others == 0 && line.len() >= LINE_BYTES_MIN)
        || std::iter::from_fn(|| groups.next().map(|group| (group, groups.peek().is_none()))).all(
            |(group, is_last)| {
                ((is_cut && is_last) || group.len().is_multiple_of(4))
                    && group.iter().all(is_character)
                    && is_groups(group)
            },
        )
}
