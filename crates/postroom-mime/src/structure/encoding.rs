//! Whether a body is written in the encoding that its header declares.

use crate::content::ContentFields;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::header::LineEnd;
use crate::source::ByteSource;
use crate::structure::entity::MimeEntity;
use crate::transfer::LINE_BYTES_MIN;
use crate::transfer::SAMPLE_BYTES;
use crate::transfer::TransferEncoding;
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

/// Checks bodies with a misspelt encoding, and texts in base64, whose first line may not be base64.
/// A body that is not in the declared encoding stays as it is.
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
        let is_text =
            content.encoding == TransferEncoding::Base64 && content.media_type.starts_with("text/");
        if !(content.is_misspelt || is_text) || entity.has_parts {
            continue;
        }
        let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
        let window = source.window(entity.body.start, length.min(SAMPLE_BYTES))?;
        let start = window.get(..length.min(SAMPLE_BYTES)).unwrap_or(window);
        if !may_be_written(content, start, length <= SAMPLE_BYTES, line_end) {
            content.encoding = TransferEncoding::Identity;
            defects.note(Defect::TransferEncodingUnknown);
        }
    }
    Ok(())
}

/// Whether the body that begins with `start`, or is `start` as a whole, may be in its encoding.
///
/// A text that correctly declares base64 is base64 if its first line is, or if most of it is,
/// because lines may have been added on the way.
fn may_be_written(
    content: &ContentFields,
    start: &[u8],
    is_whole: bool,
    line_end: LineEnd,
) -> bool {
    if content.is_misspelt {
        return content.encoding.fits(start, is_whole);
    }
    // As the decoder does, which begins behind an armour and ends at one.
    let is_dashes = |line: &&[u8]| line.starts_with(b"--");
    let lines =
        || lines(start, line_end).skip_while(is_dashes).take_while(move |line| !is_dashes(line));
    match lines().next() {
        Some(first) if first.len() >= LINE_BYTES_MIN && is_base64(first, false) => return true,
        Some(_) if is_wrapped(lines()) || is_whole_base64(lines(), is_whole) => return true,
        Some(_) => {}
        None => return start.trim_ascii().is_empty(),
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
    written_bytes >= other_bytes
}

/// Whether a body begins with lines of characters of base64 that are all as long as the first one
/// but for the last: line breaks stand anywhere (RFC 2045 §6.8).
fn is_wrapped<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let first = lines.next().unwrap_or_default();
    let is_first = |line: &&[u8]| line.len() == first.len() && line.iter().all(is_character);
    let count_min = if first.len() >= WIDTH_MIN { WRAPPED_MIN } else { COLUMN_MIN };
    let others = lines.take(count_min - 1);
    first.iter().all(is_character) && others.filter(is_first).count() + 1 == count_min
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

fn is_character(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(byte)
}

/// Whether the first line of a body is base64.
pub(crate) fn begins_in_base64(body: &[u8], line_end: LineEnd) -> bool {
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
    let others = line.iter().filter(|byte| !is_character(byte)).count();
    let marks = line.iter().filter(|byte| matches!(byte, b'-' | b'_')).count();
    // The URL-safe alphabet has these two: by chance they are one character of 32.
    let others = if marks * MARK_RATIO <= line.len() { others - marks } else { others };
    let is_damaged = others > 0 && !line.contains(&b' ') && others * DAMAGE_RATIO <= line.len();
    let mut groups = line.split(|byte| matches!(byte, b' ' | b'\t'));
    is_damaged
        || (others == 0 && line.len() >= LINE_BYTES_MIN)
        || groups.all(|groups| {
            (is_cut || groups.len().is_multiple_of(4)) && groups.iter().all(is_character)
        })
}
