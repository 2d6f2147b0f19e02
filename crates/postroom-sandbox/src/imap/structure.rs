//! The parts of a message as byte ranges: as much of MIME as BODYSTRUCTURE and `BODY[1.2]` need.
//!
//! Standards: RFC 5322 §2.2 (fields), RFC 2045 §5 (Content-Type), RFC 2046 §5.1 (boundaries).

use crate::imap::token::as_text;
use std::ops::Range;

/// Deeper parts are not looked into.
const DEPTH_MAX: usize = 20;
/// More parts of one multipart are not looked at.
const PARTS_MAX: usize = 1000;

/// One header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderField<'a> {
    /// As it is written.
    pub name: &'a [u8],
    /// Behind the colon, still folded.
    pub value: &'a [u8],
    /// All of its lines, with their ends.
    pub raw: &'a [u8],
}

impl HeaderField<'_> {
    /// The value on one line, without spaces around it.
    pub(crate) fn unfolded(&self) -> Vec<u8> {
        let flat: Vec<u8> =
            self.value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        flat.trim_ascii().to_vec()
    }
}

/// A message or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyPart {
    /// Where its header is, with the empty line.
    pub header: Range<usize>,
    /// Where its body is.
    pub body: Range<usize>,
    /// Type and subtype in upper case, and parameters.
    pub content_type: Parameterized,
    /// The parts of a multipart, or the one message in a message/rfc822.
    pub children: Vec<BodyPart>,
}

/// A field value with parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parameterized {
    /// What stands before the first semicolon, in upper case.
    pub value: String,
    /// Names in upper case, with values.
    pub parameters: Vec<(String, String)>,
}

/// The length of the header at the start of `bytes`, with the empty line that ends it.
pub(crate) fn header_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    at
}

/// The fields of a header; lines that are none are skipped.
pub(crate) fn fields(header: &[u8]) -> Vec<HeaderField<'_>> {
    let mut fields = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let (raw, after) = rest.split_at_checked(folded_bytes(rest)).unwrap_or((rest, b""));
        rest = after;
        let Some(colon) = raw.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if let Some((name, value)) = raw.split_at_checked(colon) {
            let value = value.strip_prefix(b":").unwrap_or(value);
            fields.push(HeaderField { name: name.trim_ascii_end(), value, raw });
        }
    }
    fields
}

/// The length of the first line with the lines that continue it.
fn folded_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if at > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            break;
        }
        at += line.len();
    }
    at
}

/// The first field of a name, on one line.
pub(crate) fn field(header: &[u8], name: &str) -> Option<Vec<u8>> {
    let found = fields(header).into_iter().find(|f| f.name.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|field| field.unfolded())
}

/// Takes a message into its parts.
pub(crate) fn parse(message: &[u8]) -> BodyPart {
    part(message, 0..message.len(), b"TEXT/PLAIN", 0)
}

fn part(message: &[u8], at: Range<usize>, default_type: &[u8], depth: usize) -> BodyPart {
    let bytes = message.get(at.clone()).unwrap_or_default();
    let header_end = at.start + header_bytes(bytes);
    let (header, body) = (at.start..header_end, header_end..at.end);
    let value = field(message.get(header.clone()).unwrap_or_default(), "Content-Type");
    let mut content_type = parameterized(value.as_deref().unwrap_or(default_type));
    if !content_type.value.contains('/') {
        content_type = parameterized(b"TEXT/PLAIN");
    }
    let mut children = Vec::new();
    if depth < DEPTH_MAX {
        if let Some(subtype) = content_type.value.strip_prefix("MULTIPART/") {
            let default: &[u8] =
                if subtype == "DIGEST" { b"MESSAGE/RFC822" } else { b"TEXT/PLAIN" };
            if let Some(boundary) = content_type.parameter("BOUNDARY") {
                let ranges = between(message, body.clone(), boundary.as_bytes());
                children.extend(ranges.into_iter().map(|at| part(message, at, default, depth + 1)));
            }
        } else if content_type.value == "MESSAGE/RFC822" {
            children.push(part(message, body.clone(), b"TEXT/PLAIN", depth + 1));
        }
    }
    BodyPart { header, body, content_type, children }
}

/// What stands between the lines with the boundary, each without its last line end.
fn between(message: &[u8], body: Range<usize>, boundary: &[u8]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let (mut start, mut at) = (None, body.start);
    let bytes = message.get(body).unwrap_or_default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line_start = at;
        at += line.len();
        let Some(behind) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary))
        else {
            continue;
        };
        let last = behind.trim_ascii_end() == b"--";
        if !last && !behind.trim_ascii().is_empty() {
            continue;
        }
        if let Some(start) = start {
            ranges.push(start..without_line_end(message, start, line_start));
        }
        start = Some(at);
        if last || ranges.len() == PARTS_MAX {
            return ranges;
        }
    }
    // A multipart without its last boundary ends where it ends.
    ranges.extend(start.map(|start| start..at));
    ranges
}

fn without_line_end(message: &[u8], start: usize, end: usize) -> usize {
    let bytes = message.get(start..end).unwrap_or_default();
    let kept = bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes);
    start + kept.len()
}

/// Reads `value; name=value; name="value"`.
pub(crate) fn parameterized(text: &[u8]) -> Parameterized {
    let mut pieces = split_outside_quotes(text, b';').into_iter();
    let value = pieces.next().unwrap_or_default().to_ascii_uppercase();
    let parameters = pieces.filter_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        Some((name.trim().to_ascii_uppercase(), unquoted(value.trim())))
    });
    Parameterized { value: value.trim().to_owned(), parameters: parameters.collect() }
}

impl Parameterized {
    /// The parameter of a name in upper case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(own, _)| own == name)?;
        Some(&found.1)
    }
}

/// Splits at each `separator` that is not inside a quoted string.
pub(crate) fn split_outside_quotes(text: &[u8], separator: u8) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), Vec::new());
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        if *byte == separator && !quoted {
            pieces.push(as_text(&piece));
            piece.clear();
            continue;
        }
        piece.push(*byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    pieces.push(as_text(&piece));
    pieces
}

/// The text of a quoted string; any other text as it stands.
pub(crate) fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.next() } else { None };
        plain.push(escaped.unwrap_or(character));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &[u8] =
        b"Subject: a\r\n b\r\nContent-Type: multipart/mixed; boundary=\"x;y\"\r\n\r\n\
        before\r\n--x;y\r\n\r\none\r\n--x;y\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: in\r\n\r\ntwo\r\n--x;y--\r\nafter\r\n";

    #[test]
    fn a_multipart_has_its_parts() {
        let whole = parse(NESTED);
        let text = |range: &Range<usize>| NESTED.get(range.clone()).unwrap();
        assert_eq!(whole.content_type.value, "MULTIPART/MIXED");
        let [one, two] = whole.children.as_slice() else { panic!("{whole:?}") };
        assert_eq!((text(&one.header), text(&one.body)), (&b"\r\n"[..], &b"one"[..]));
        assert_eq!(two.content_type.value, "MESSAGE/RFC822");
        assert_eq!(text(&two.children[0].header), b"Subject: in\r\n\r\n");
        assert_eq!(text(&two.children[0].body), b"two");
    }

    #[test]
    fn fields_are_unfolded() {
        assert_eq!(field(NESTED, "subject").unwrap(), b"a b");
        assert_eq!(fields(b"junk\r\nA : b\r\n c\r\n\r\n")[0].raw, b"A : b\r\n c\r\n");
        assert_eq!(fields(b"junk\r\nA : b\r\n")[0].name, b"A");
        assert_eq!(header_bytes(b"\r\nbody"), 2);
        assert_eq!(header_bytes(b"no end"), 6);
    }

    #[test]
    fn a_multipart_without_end_ends_where_it_ends() {
        let cut = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntw";
        let whole = parse(cut);
        let bodies: Vec<_> = whole.children.iter().map(|part| &cut[part.body.clone()]).collect();
        assert_eq!(bodies, [b"one".as_slice(), b"tw"]);
    }
}
