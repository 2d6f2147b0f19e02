//! Whether a body is written in the encoding that its header declares.

use crate::content::Content;
use crate::header::LineEnd;

/// Whether the body that begins with `start`, or is `start` as a whole, may be in its encoding. Of
/// one whose name is well written, the first line may be another that was added on the way.
pub fn may_be_written(content: &Content, start: &[u8], is_whole: bool, line_end: LineEnd) -> bool {
    let encoding = content.encoding;
    if content.is_misspelt {
        return encoding.fits(start, is_whole);
    }
    let start = start.trim_ascii();
    let first = first_line(start, line_end);
    let rest = start.get(first.len()..).unwrap_or_default();
    encoding.fits(first, false) || (!rest.is_empty() && encoding.fits(rest, false))
}

/// Whether the first line of a body may be base64.
pub fn begins_in_base64(body: &[u8], line_end: LineEnd) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    first_line(body, line_end).trim_ascii().iter().all(is_base64)
}

/// The first line, with its end.
fn first_line(bytes: &[u8], line_end: LineEnd) -> &[u8] {
    let end = memchr::memchr(line_end.0, bytes).map_or(bytes.len(), |end| end + 1);
    bytes.get(..end).unwrap_or(bytes)
}
