//! Limits of the parser. Beyond them, the rest is not parsed, and a defect says so.

/// How much of a message is parsed. The bytes themselves are never cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParserLimits {
    /// How deeply parts may be nested. A deeper `multipart` stays one opaque part.
    pub depth_max: usize,
    /// How many parts are parsed. The last one then holds the rest of the message.
    pub parts_max: usize,
    /// How often boundaries are guessed from the bodies of a message. 0: only declared boundaries
    /// count.
    pub boundary_passes_max: usize,
    /// How many bytes of the message's header fields are kept.
    pub header_bytes_max: usize,
    /// How many header fields of one part are kept.
    pub header_fields_max: usize,
    /// How many addresses of one kind of field (`To`, for example) are kept; the fields stay whole.
    pub addresses_max: usize,
    /// How many encoded words are decoded in one message; later ones stay as they are written.
    pub encoded_words_max: usize,
    /// How many bytes (UTF-8) of `text`, and as many of `html_text`, are kept.
    pub text_bytes_max: usize,
    /// How many bytes are opened in memory for what lies inside a part: TNEF, uuencode, yEnc,
    /// calendars.
    pub open_bytes_max: usize,
    /// How many characters the preview has.
    pub preview_chars_max: usize,
}

impl Default for ParserLimits {
    fn default() -> Self {
        Self {
            depth_max: 200,
            parts_max: 10_000,
            boundary_passes_max: 4,
            header_bytes_max: 1 << 20,
            header_fields_max: 10_000,
            addresses_max: 10_000,
            encoded_words_max: 20_000,
            text_bytes_max: 4 << 20,
            open_bytes_max: 8 << 20,
            preview_chars_max: 250,
        }
    }
}
