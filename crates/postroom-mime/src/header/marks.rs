//! What invisibly stands before the first field of a header: byte order marks and their like.

/// A byte order mark in UTF-8, one that was taken for windows-1252 on the way, and other characters
/// that show nothing: U+200B to U+200F and U+2060.
const MARKS: [&[u8]; 8] = [
    b"\xEF\xBB\xBF",
    b"\xC3\xAF\xC2\xBB\xC2\xBF",
    b"\xE2\x80\x8B",
    b"\xE2\x80\x8C",
    b"\xE2\x80\x8D",
    b"\xE2\x80\x8E",
    b"\xE2\x80\x8F",
    b"\xE2\x81\xA0",
];

/// How many bytes the marks at the beginning have, and the line ends among them where a message may
/// begin with blank lines. 0 if there is no mark.
pub(super) fn length(start: &[u8], may_be_late: bool) -> usize {
    let (mut rest, mut has_mark) = (start, false);
    loop {
        if let Some(after) = MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            (rest, has_mark) = (after, true);
        } else if let ([b'\r' | b'\n', after @ ..], true) = (rest, may_be_late) {
            rest = after;
        } else {
            return if has_mark { start.len() - rest.len() } else { 0 };
        }
    }
}
