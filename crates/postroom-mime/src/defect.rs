//! Defects: what is malformed in a message, as stable codes.
//!
//! Malformed mail is never an error. The parser notes the defect and goes on.

/// One malformation, or one limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Defect {
    /// There is no header field at all.
    HeaderMissing,
    /// The header is not ended by a blank line: a body, a delimiter or the end cuts it.
    HeaderUnterminated,
    /// Some lines of the header are not fields. They are skipped.
    HeaderJunk,
    /// Blank lines stand before the first header field.
    BlankFirstLine,
    /// The first line is the `From ` line of an mbox file.
    MboxLine,
    /// A field name is followed by blanks before its colon (obsolete, RFC 5322 §4.5).
    BlankBeforeColon,
    /// A field that may occur once is repeated; the first one counts.
    FieldRepeated,
    /// The header is larger than what is kept of it.
    HeaderBytesOver,
    /// There are more header fields than are kept.
    HeaderFieldsOver,
    /// There are more addresses than are kept.
    AddressesOver,
    /// Bytes outside ASCII stand in the header and are not UTF-8.
    HeaderRawBytes,
    /// Lines end in a bare CR.
    BareCr,
    /// NUL bytes stand in a text or in the header.
    Nul,
    /// A `multipart` names no boundary.
    BoundaryMissing,
    /// The boundary of a `multipart` delimits nothing.
    BoundaryUnused,
    /// A `multipart` is not closed.
    BoundaryUnclosed,
    /// Something follows the boundary on a delimiter line.
    BoundaryJunk,
    /// Parts stand behind the close delimiter of their `multipart`. They are not read.
    PartsBehindEnd,
    /// The header declares no `multipart`, and the body is one.
    MultipartUndeclared,
    /// A delimiter closes parts within parts that were not closed themselves.
    BoundaryCrossed,
    /// Parts lie deeper than the limit. What is deeper stays opaque.
    DepthOver,
    /// There are more parts than the limit; the last holds the rest.
    PartsOver,
    /// A media type is no `type/subtype`.
    MediaTypeMalformed,
    /// A transfer encoding is unknown, or the body is not written in the one that is declared.
    TransferEncodingUnknown,
    /// A `multipart` declares an encoding that is not allowed for it (RFC 2045 §6.4).
    TransferEncodingComposite,
    /// Base64 holds characters that do not belong in it, or ends too early.
    Base64Malformed,
    /// Quoted-printable has an invalid escape.
    QuotedPrintableMalformed,
    /// A charset is unknown.
    CharsetUnknown,
    /// A text holds bytes that its charset does not know.
    CharsetWrong,
    /// A text declares no charset and is not ASCII.
    CharsetMissing,
    /// An encoded word is malformed (RFC 2047).
    EncodedWordMalformed,
    /// There are more encoded words than are decoded.
    EncodedWordsOver,
    /// An address is malformed.
    AddressMalformed,
    /// `Date` is missing.
    DateMissing,
    /// `Date` is not a date, or is an impossible one.
    DateMalformed,
    /// `Message-ID` is missing.
    MessageIdMissing,
    /// `From` is missing.
    FromMissing,
    /// A text is longer than what is kept of it.
    TextOver,
    /// TNEF is damaged.
    TnefMalformed,
    /// An encoded file within a text is damaged.
    EncodedFileMalformed,
    /// The content of a part is too large to be opened.
    OpenOver,
}

impl Defect {
    /// The word for it, as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
            Self::HeaderUnterminated => "header_unterminated",
            Self::HeaderJunk => "header_junk",
            Self::BlankFirstLine => "blank_first_line",
            Self::MboxLine => "mbox_line",
            Self::BlankBeforeColon => "blank_before_colon",
            Self::FieldRepeated => "field_repeated",
            Self::HeaderBytesOver => "header_bytes_over",
            Self::HeaderFieldsOver => "header_fields_over",
            Self::AddressesOver => "addresses_over",
            Self::HeaderRawBytes => "header_raw_bytes",
            Self::BareCr => "bare_cr",
            Self::Nul => "nul",
            Self::BoundaryMissing => "boundary_missing",
            Self::BoundaryUnused => "boundary_unused",
            Self::BoundaryUnclosed => "boundary_unclosed",
            Self::BoundaryJunk => "boundary_junk",
            Self::PartsBehindEnd => "parts_behind_end",
            Self::MultipartUndeclared => "multipart_undeclared",
            Self::BoundaryCrossed => "boundary_crossed",
            Self::DepthOver => "depth_over",
            Self::PartsOver => "parts_over",
            Self::MediaTypeMalformed => "media_type_malformed",
            Self::TransferEncodingUnknown => "transfer_encoding_unknown",
            Self::TransferEncodingComposite => "transfer_encoding_composite",
            Self::Base64Malformed => "base64_malformed",
            Self::QuotedPrintableMalformed => "quoted_printable_malformed",
            Self::CharsetUnknown => "charset_unknown",
            Self::CharsetWrong => "charset_wrong",
            Self::CharsetMissing => "charset_missing",
            Self::EncodedWordMalformed => "encoded_word_malformed",
            Self::EncodedWordsOver => "encoded_words_over",
            Self::AddressMalformed => "address_malformed",
            Self::DateMissing => "date_missing",
            Self::DateMalformed => "date_malformed",
            Self::MessageIdMissing => "message_id_missing",
            Self::FromMissing => "from_missing",
            Self::TextOver => "text_over",
            Self::TnefMalformed => "tnef_malformed",
            Self::EncodedFileMalformed => "encoded_file_malformed",
            Self::OpenOver => "open_over",
        }
    }
}

/// The defects of one message, each once, in the order in which they were met.
#[derive(Debug, Clone, Default)]
pub struct Defects(Vec<Defect>);

impl Defects {
    /// Notes a defect.
    pub fn note(&mut self, defect: Defect) {
        if !self.0.contains(&defect) {
            self.0.push(defect);
        }
    }

    /// Whether a defect was noted.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.0.contains(&defect)
    }

    /// The list.
    #[must_use]
    pub fn into_list(self) -> Vec<Defect> {
        self.0
    }
}
