//! The field `Content-Transfer-Encoding` as it arrives: misspelt, unknown, with several names in
//! it, or repeated with another value. What the fields of a part say together may be open. Then the
//! body decides.
//!
//! Standards: RFC 2045 §6.1.

use crate::transfer::TransferEncoding;

/// How many words of a value are looked at.
const WORDS_MAX: usize = 8;
/// Longer names than these are none.
const NAME_BYTES_MAX: usize = 24;

/// What a field `Content-Transfer-Encoding` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// One of the encodings that are decoded here.
    Known(TransferEncoding),
    /// Probably one of them, but misspelt. It counts if the body is encoded in this way.
    Misspelt(TransferEncoding),
    /// `x-uuencode` and its other names.
    Uuencode,
    /// `x-yencode`.
    Yenc,
    /// Something else.
    Unknown,
}

/// What all fields of a part say about its transfer encoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeclaredEncodings {
    /// The first one that is named.
    first: Option<TransferEncoding>,
    has_base64: bool,
    has_quoted_printable: bool,
    has_field: bool,
    is_open: bool,
}

impl DeclaredEncodings {
    /// Takes note of a field; returns whether there was one before.
    pub(crate) fn field(&mut self) -> bool {
        std::mem::replace(&mut self.has_field, true)
    }

    /// Adds what a field says.
    pub(crate) fn add(&mut self, declared: Declared) {
        match declared {
            Declared::Known(encoding) => self.name(encoding),
            Declared::Misspelt(encoding) => {
                self.name(encoding);
                self.is_open = true;
            }
            Declared::Uuencode | Declared::Yenc | Declared::Unknown => self.is_open = true,
        }
    }

    fn name(&mut self, encoding: TransferEncoding) {
        self.is_open |= *self.first.get_or_insert(encoding) != encoding;
        self.has_base64 |= encoding == TransferEncoding::Base64;
        self.has_quoted_printable |= encoding == TransferEncoding::QuotedPrintable;
    }

    /// The first encoding that is named. What names none is written as it is.
    #[must_use]
    pub fn first(self) -> TransferEncoding {
        self.first.unwrap_or_default()
    }

    /// Whether a field names this encoding.
    #[must_use]
    pub fn has(self, encoding: TransferEncoding) -> bool {
        match encoding {
            TransferEncoding::Identity => true,
            TransferEncoding::Base64 => self.has_base64,
            TransferEncoding::QuotedPrintable => self.has_quoted_printable,
        }
    }

    /// Whether the body decides: a name is misspelt or unknown, or names contradict each other.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.is_open
    }

    /// Leaves it to the body, whose beginning is not written so.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }
}

/// The text after a comment at the beginning of a value. If there is none, the whole value.
fn behind_comment(value: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let end = value.iter().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let behind = end.filter(|end| *end > 0).and_then(|end| value.get(end + 1..));
    behind.map(<[u8]>::trim_ascii).filter(|behind| !behind.is_empty()).unwrap_or(value)
}

fn is_of_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl Declared {
    /// Reads the value of a field, with comments, quotes and the misspellings that occur.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Self {
        let value = behind_comment(value.trim_ascii());
        let name =
            value.iter().skip_while(|byte| !is_of_name(byte)).take_while(|byte| is_of_name(byte));
        let name: Vec<u8> = name.take(NAME_BYTES_MAX).map(u8::to_ascii_lowercase).collect();
        // What may follow is a comment.
        let rest = value.get(name.len()..).unwrap_or_default().trim_ascii_start();
        let is_first =
            value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&name));
        let is_bare = is_first && (rest.is_empty() || rest.starts_with(b"("));
        match name.as_slice() {
            b"base64" if is_bare => Self::Known(TransferEncoding::Base64),
            b"quoted-printable" if is_bare => Self::Known(TransferEncoding::QuotedPrintable),
            b"base64" | b"base-64" | b"base_64" | b"base" | b"b" | b"b64" | b"x-base64" => {
                Self::Misspelt(TransferEncoding::Base64)
            }
            b"quoted-printable" | b"quoted" | b"quotedprintable" | b"quoted_printable"
            | b"quoted-printeable" | b"q" | b"qp" => {
                Self::Misspelt(TransferEncoding::QuotedPrintable)
            }
            b"7bit" | b"8bit" | b"binary" | b"" => Self::Known(TransferEncoding::Identity),
            b"7-bit" | b"8-bit" | b"7bits" | b"8bits" | b"7" | b"8" | b"none" => {
                Self::Misspelt(TransferEncoding::Identity)
            }
            b"x-uuencode" | b"x-uue" | b"uuencode" | b"uue" | b"x-uuencoded" => Self::Uuencode,
            b"x-yencode" | b"x-yenc" | b"yenc" => Self::Yenc,
            _ => Self::Unknown,
        }
    }

    /// What a value says: first of all its first word, and then other words of it that name an
    /// encoding.
    pub(crate) fn all(value: &[u8]) -> impl Iterator<Item = Self> {
        let first = Self::from_value(value);
        // A name alone, as in nearly all mail, and what has comments, is read above.
        let is_list = value.iter().any(|byte| !is_of_name(byte)) && !value.contains(&b'(');
        let words = value.split(|byte| !is_of_name(byte)).filter(|word| !word.is_empty());
        let others = words.skip(1).take(WORDS_MAX).filter(move |_| is_list).map(Self::from_value);
        let is_named = |declared: &Self| matches!(declared, Self::Known(_));
        std::iter::once(first).chain(others.filter(is_named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_encodings_are_found_in_what_mail_writes() {
        let table: &[(&[u8], Declared)] = &[
            (b"Base64", Declared::Known(TransferEncoding::Base64)),
            (b" base64 (a comment)", Declared::Known(TransferEncoding::Base64)),
            (b" \"base64\" (a comment);", Declared::Misspelt(TransferEncoding::Base64)),
            (b"base64;", Declared::Misspelt(TransferEncoding::Base64)),
            (b"quoted printable", Declared::Misspelt(TransferEncoding::QuotedPrintable)),
            (b"QUOTED-PRINTABLE", Declared::Known(TransferEncoding::QuotedPrintable)),
            (b"8bit", Declared::Known(TransferEncoding::Identity)),
            (b"", Declared::Known(TransferEncoding::Identity)),
            (b"x-uuencode", Declared::Uuencode),
            (b"zip", Declared::Unknown),
        ];
        for (value, want) in table {
            assert_eq!(Declared::from_value(value), *want, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn what_names_no_encoding_or_several_is_open() {
        use TransferEncoding::Base64;
        use TransferEncoding::Identity;
        use TransferEncoding::QuotedPrintable;
        #[rustfmt::skip]
        let table: &[(&[&str], TransferEncoding, bool)] = &[
            (&[],                                     Identity,        false),
            (&["base64"],                             Base64,          false),
            (&[" Quoted-Printable (why)"],            QuotedPrintable, false),
            (&["(7bit) base64"],                      Base64,          false),
            (&["base64 (not 7bit)"],                  Base64,          false),
            (&["7bit"],                               Identity,        false),
            (&["8-bit"],                              Identity,        true),
            (&["base64", "BASE64"],                   Base64,          false),
            (&["7bit", "8bit"],                       Identity,        false),
            (&["base64;"],                            Base64,          true),
            (&["quoted_printable"],                   QuotedPrintable, true),
            (&["x-unknown"],                          Identity,        true),
            (&["x-unknown", "base64"],                Base64,          true),
            (&["x-uuencode"],                         Identity,        true),
            (&["7bit", "base64"],                     Identity,        true),
            (&["base64", "7bit"],                     Base64,          true),
            (&["7bit, base64"],                       Identity,        true),
            (&["8bit; charset=utf-8"],                Identity,        false),
        ];
        for (values, want, is_open) in table {
            let mut said = DeclaredEncodings::default();
            for value in *values {
                Declared::all(value.trim().as_bytes()).for_each(|declared| said.add(declared));
            }
            assert_eq!((said.first(), said.is_open()), (*want, *is_open), "{values:?}");
        }
    }
}
