//! Transfer encodings: from the bytes of a body to those of its content, piece by piece.
//!
//! Nothing is refused, and bytes that cannot be decoded stay as they are. Memory does not depend on
//! the input.
//!
//! Standards: RFC 2045 §6.

use crate::transfer::base64::Base64;
use crate::transfer::quoted_printable::QuotedPrintable;

mod base64;
mod quoted_printable;

pub(crate) use crate::transfer::quoted_printable::hex;

/// How much of a body tells whether it is written in an encoding.
pub(crate) const SAMPLE_BYTES: usize = 4 << 10;
/// A line in base64 that is as long as this is hardly anything else.
pub(crate) const LINE_BYTES_MIN: usize = base64::LINE_BYTES_MIN;

/// How the content of a part is written down in the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TransferEncoding {
    /// As it is (`7bit`, `8bit`, `binary`, or nothing that is known).
    #[default]
    Identity,
    /// `base64` (RFC 2045 §6.8).
    Base64,
    /// `quoted-printable` (RFC 2045 §6.7).
    QuotedPrintable,
}

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
    /// Something else; the content stays as it is.
    Unknown,
}

impl TransferEncoding {
    /// The encoding of a name, any case; unknown names mean [`TransferEncoding::Identity`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match Declared::from_value(name.as_bytes()) {
            Declared::Known(encoding) | Declared::Misspelt(encoding) => encoding,
            Declared::Uuencode | Declared::Yenc | Declared::Unknown => Self::Identity,
        }
    }

    /// The name, as RFC 2045 writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "binary",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
        }
    }

    /// Begins to decode.
    #[must_use]
    pub fn decoder(self) -> TransferDecoder {
        TransferDecoder(match self {
            Self::Identity => DecoderState::Identity,
            Self::Base64 => DecoderState::Base64(Base64::default()),
            Self::QuotedPrintable => DecoderState::QuotedPrintable(QuotedPrintable::default()),
        })
    }

    /// Whether a body that begins with `start`, or is `start` as a whole, may be written so.
    #[must_use]
    pub fn fits(self, start: &[u8], is_whole: bool) -> bool {
        match self {
            Self::Identity => true,
            Self::Base64 => base64::fits(start, is_whole),
            Self::QuotedPrintable => quoted_printable::fits(start),
        }
    }

    /// Decodes what is in memory.
    #[must_use]
    pub fn decode(self, body: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut decoder = self.decoder();
        decoder.push(body, &mut content);
        decoder.finish(&mut content);
        content
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

impl Declared {
    /// Reads the value of a field, with comments, quotes and the misspellings that occur.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Self {
        let value = behind_comment(value.trim_ascii());
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let name = value.iter().skip_while(|byte| !is_name(byte)).take_while(|byte| is_name(byte));
        // Longer names than these are none.
        let name: Vec<u8> = name.take(24).map(u8::to_ascii_lowercase).collect();
        // What may follow is a comment.
        let rest = value.get(name.len()..).unwrap_or_default().trim_ascii_start();
        let is_first =
            value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&name));
        let is_bare = is_first && (rest.is_empty() || rest.starts_with(b"("));
        match name.as_slice() {
            b"base64" if is_bare => Self::Known(TransferEncoding::Base64),
            b"quoted-printable" if is_bare => Self::Known(TransferEncoding::QuotedPrintable),
            b"base64" | b"base-64" | b"base" | b"b" | b"x-base64" => {
                Self::Misspelt(TransferEncoding::Base64)
            }
            b"quoted-printable" | b"quoted" | b"quotedprintable" | b"quoted_printable"
            | b"quoted-printeable" | b"q" | b"qp" => {
                Self::Misspelt(TransferEncoding::QuotedPrintable)
            }
            b"7bit" | b"8bit" | b"binary" | b"7-bit" | b"8-bit" | b"7" | b"8" | b"none" | b"" => {
                Self::Known(TransferEncoding::Identity)
            }
            b"x-uuencode" | b"x-uue" | b"uuencode" | b"uue" | b"x-uuencoded" => Self::Uuencode,
            b"x-yencode" | b"x-yenc" | b"yenc" => Self::Yenc,
            _ => Self::Unknown,
        }
    }
}

/// Undoes a transfer encoding, piece by piece.
#[derive(Debug, Clone)]
pub struct TransferDecoder(DecoderState);

#[derive(Debug, Clone)]
enum DecoderState {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl TransferDecoder {
    /// Decodes the next bytes and appends the content to `content`.
    pub fn push(&mut self, body: &[u8], content: &mut Vec<u8>) {
        match &mut self.0 {
            DecoderState::Identity => content.extend_from_slice(body),
            DecoderState::Base64(decoder) => decoder.push(body, content),
            DecoderState::QuotedPrintable(decoder) => decoder.push(body, content),
        }
    }

    /// Takes the next bytes, and tells how many bytes of content they make. `scratch` is room
    /// for what must be decoded to know.
    pub fn count(&mut self, body: &[u8], scratch: &mut Vec<u8>) -> u64 {
        if let DecoderState::Base64(decoder) = &mut self.0 {
            return decoder.count(body, scratch);
        }
        scratch.clear();
        self.push(body, scratch);
        scratch.len() as u64
    }

    /// Appends what was held back: call once, after the last bytes.
    pub fn finish(&mut self, content: &mut Vec<u8>) {
        match &mut self.0 {
            DecoderState::Identity => {}
            DecoderState::Base64(decoder) => decoder.finish(content),
            DecoderState::QuotedPrintable(decoder) => decoder.finish(content),
        }
    }

    /// Whether something was met that does not belong into the encoding.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        match &self.0 {
            DecoderState::Identity => false,
            DecoderState::Base64(decoder) => decoder.is_malformed(),
            DecoderState::QuotedPrintable(decoder) => decoder.is_malformed(),
        }
    }
}

#[cfg(test)]
mod tests;
