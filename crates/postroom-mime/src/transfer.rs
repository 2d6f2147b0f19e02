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
pub(crate) use crate::transfer::quoted_printable::is_other as is_other_than_quoted_printable;
pub(crate) use crate::transfer::quoted_printable::is_sure as is_surely_quoted_printable;

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

impl TransferEncoding {
    /// The encoding of a name, any case; unknown names mean [`TransferEncoding::Identity`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let is = |encoding: Self| name.trim().eq_ignore_ascii_case(encoding.as_str());
        let all = [Self::Base64, Self::QuotedPrintable];
        all.into_iter().find(|encoding| is(*encoding)).unwrap_or_default()
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
