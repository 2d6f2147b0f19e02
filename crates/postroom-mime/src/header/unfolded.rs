//! Values of fields about the content that go on in a line without a blank before it: a program
//! broke the line and did not fold it.
//!
//! Text may follow a header without a blank line. So the value must be open, empty or with a
//! semicolon at its end, and the line must be what only such a value holds.

use crate::encoding_field::Declared;

/// Parameters of the fields about the content (RFC 2045, 2046, 2183, 2387, 3462, 3676, 8551).
const PARAMETERS: [&str; 20] = [
    "boundary",
    "charset",
    "name",
    "filename",
    "format",
    "delsp",
    "type",
    "start",
    "start-info",
    "protocol",
    "micalg",
    "report-type",
    "smime-type",
    "method",
    "component",
    "size",
    "creation-date",
    "modification-date",
    "read-date",
    "differences",
];
/// The kinds of media (RFC 2046 §4, §5) that the value of a field begins with.
const KINDS: [&str; 7] = ["text", "multipart", "application", "image", "message", "audio", "video"];

/// A field about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentField {
    Type,
    Disposition,
    Encoding,
}

/// A field about the content whose value is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenField {
    field: ContentField,
    is_empty: bool,
}

impl OpenField {
    /// The field that a line begins, if it is one about the content and its value is open.
    pub(super) fn of(line: &[u8], name_bytes: usize, colon: usize) -> Option<Self> {
        let field = match name_bytes {
            12 => ContentField::Type,
            19 => ContentField::Disposition,
            25 => ContentField::Encoding,
            _ => return None,
        };
        let name: &[u8] = match field {
            ContentField::Type => b"content-type",
            ContentField::Disposition => b"content-disposition",
            ContentField::Encoding => b"content-transfer-encoding",
        };
        let is_it = line.get(..name_bytes).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let value = line.get(colon + 1..).filter(|_| is_it)?;
        Self { field, is_empty: true }.behind(value)
    }

    /// The field behind another line of its value, if that leaves it open.
    pub(super) fn behind(self, line: &[u8]) -> Option<Self> {
        match line.trim_ascii() {
            [] => Some(self),
            [.., b';'] if self.field != ContentField::Encoding => {
                Some(Self { is_empty: false, ..self })
            }
            _ => None,
        }
    }

    /// Whether a line without a blank before it belongs to the value.
    pub(super) fn goes_on(self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        match self.field {
            _ if !self.is_empty => is_parameter(line),
            ContentField::Type => is_type(line),
            ContentField::Disposition => is_disposition(line),
            ContentField::Encoding => is_encoding(line),
        }
    }
}

/// Whether a line is a known parameter: `charset=utf-8`, `filename*0="a`.
fn is_parameter(line: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    let length = line.iter().position(|byte| !is_of_name(byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(length).unwrap_or((line, &[]));
    let is_section = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'*' | b' ' | b'\t');
    let behind = rest.iter().find(|byte| !is_section(byte));
    behind == Some(&b'=')
        && PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a line is a media type, alone or with parameters.
fn is_type(line: &[u8]) -> bool {
    let (written, is_alone) = head(line);
    let Some(slash) = memchr::memchr(b'/', written) else { return false };
    let (kind, subtype) = written.split_at_checked(slash).unwrap_or((written, &[]));
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.+_".contains(byte);
    let subtype = subtype.get(1..).unwrap_or_default();
    is_alone
        && KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes()))
        && !subtype.is_empty()
        && subtype.iter().all(is_token)
}

fn is_disposition(line: &[u8]) -> bool {
    let (written, is_alone) = head(line);
    let is = |word: &[u8]| written.eq_ignore_ascii_case(word);
    is_alone && (is(b"inline") || is(b"attachment"))
}

/// Whether a line is the name of a transfer encoding and nothing else.
fn is_encoding(line: &[u8]) -> bool {
    let is_word = line.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    is_word && line.len() > 3 && matches!(Declared::from_value(line), Declared::Known(_))
}

/// What stands before the first semicolon of a line, and whether it is alone or has parameters
/// behind it.
fn head(line: &[u8]) -> (&[u8], bool) {
    let end = memchr::memchr(b';', line).unwrap_or(line.len());
    let (written, behind) = line.split_at_checked(end).unwrap_or((line, &[]));
    let behind = behind.get(1..).unwrap_or_default().trim_ascii_start();
    (written.trim_ascii_end(), behind.is_empty() || is_parameter(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_open_value_holds_goes_on() {
        #[rustfmt::skip]
        let table = [
            // the line before                   the line                             goes on
            ("Content-Type: multipart/mixed;",   "boundary=\"b\"",                    true),
            ("content-type: text/plain; x=y; ",  "CHARSET = utf-8",                    true),
            ("Content-Disposition: attachment;", "filename*0*=utf-8''a",               true),
            ("Content-Type:",                    "multipart/mixed; boundary=\"a:b\"", true),
            ("Content-Type: ",                   "text/plain",                         true),
            ("Content-Type:",                    "text/html;",                         true),
            ("Content-Disposition:",             "attachment; filename=a.txt",         true),
            ("Content-Transfer-Encoding:",       "base64",                             true),
            ("Content-Transfer-Encoding:",       "Quoted-Printable",                   true),
            // Not open, or what a text begins with as well.
            ("Content-Type: multipart/mixed",    "boundary=\"b\"",                    false),
            ("Subject:",                         "text/plain",                         false),
            ("X-Content-Type: a;",               "charset=utf-8",                      false),
            ("Content-Type: text/plain;",        "total=5",                            false),
            ("Content-Type: text/plain;",        "name: Anna",                         false),
            ("Content-Type: text/plain;",        "text/html",                          false),
            ("Content-Type:",                    "text/plain is a type",               false),
            ("Content-Type:",                    "and/or",                             false),
            ("Content-Type:",                    "charset=utf-8",                      false),
            ("Content-Disposition:",             "attachment follows",                 false),
            ("Content-Transfer-Encoding:",       "base64 is not a text",               false),
            ("Content-Transfer-Encoding:",       "QUJD",                               false),
            ("Content-Transfer-Encoding:",       "8",                                  false),
            ("Content-Transfer-Encoding: 7bit;", "charset=utf-8",                      false),
        ];
        for (before, line, want) in table {
            let colon = before.find(':').unwrap();
            let open = OpenField::of(before.as_bytes(), colon, colon);
            let got = open.is_some_and(|open| open.goes_on(line.as_bytes()));
            assert_eq!(got, want, "{before} / {line}");
        }
    }
}
