//! Whether a body is written in the encoding that its header declares.

use crate::content::Content;
use crate::header::LineEnd;

/// A line in base64 that is as long as this is hardly anything else.
const LINE_BYTES_MIN: usize = 20;
/// One character of so many may be damaged.
const DAMAGE_RATIO: usize = 20;

/// Whether the body that begins with `start`, or is `start` as a whole, may be in its encoding.
///
/// A text whose encoding is well written is in base64 if its first line is, or most of it: lines
/// may have been added on the way.
pub fn may_be_written(content: &Content, start: &[u8], is_whole: bool, line_end: LineEnd) -> bool {
    if content.is_misspelt {
        return content.encoding.fits(start, is_whole);
    }
    let mut lines = lines(start, line_end).peekable();
    if lines.peek().is_some_and(|first| first.len() >= LINE_BYTES_MIN && is_base64(first, false)) {
        return true;
    }
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

/// Whether the first line of a body is base64.
pub fn begins_in_base64(body: &[u8], line_end: LineEnd) -> bool {
    lines(body, line_end).next().is_some_and(|line| is_base64(line, false))
}

/// Lines that are not blank.
fn lines(body: &[u8], line_end: LineEnd) -> impl Iterator<Item = &[u8]> {
    let lines = body.split(move |byte| *byte == line_end.0).map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty())
}

/// Whether a line is made of whole groups, perhaps with blanks between them, or of other bytes by
/// damage alone.
fn is_base64(line: &[u8], is_cut: bool) -> bool {
    let is_character = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let others = line.iter().filter(|byte| !is_character(byte)).count();
    let is_damaged = others > 0 && !line.contains(&b' ') && others * DAMAGE_RATIO <= line.len();
    let mut groups = line.split(|byte| matches!(byte, b' ' | b'\t'));
    is_damaged
        || groups.all(|groups| {
            (is_cut || groups.len().is_multiple_of(4)) && groups.iter().all(is_character)
        })
}
