//! What a group of RTF changes and its end restores, and tables of the format.

/// What the RTF was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RtfOrigin {
    /// HTML (`\fromhtml1`).
    Html,
    /// Plain text (`\fromtext`).
    Text,
    /// Nothing else: it was written as RTF.
    #[default]
    Plain,
}

/// Where the characters of a group go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Into the body.
    Body,
    /// Into the body, if it is HTML (`\*\htmltag`).
    HtmlTag,
    /// Into the table of fonts.
    Fonts,
    /// Nowhere.
    Skipped,
}

/// The state of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupState {
    /// Where its characters go.
    pub destination: Destination,
    /// Whether the characters are for readers of RTF alone (`\htmlrtf`).
    pub only_rtf: bool,
    /// The chosen font.
    pub font: Option<i32>,
    /// How many characters stand in for a `\u` (`\uc`).
    pub stand_ins: u32,
}

impl Default for GroupState {
    fn default() -> Self {
        Self { destination: Destination::Body, only_rtf: false, font: None, stand_ins: 1 }
    }
}

/// Returns the code page of a font's `\fcharset`. `None` for the default one.
pub(crate) fn code_page_of_charset(charset: i32) -> Option<u32> {
    Some(match charset {
        0 | 2 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}

/// Tells whether a word begins a destination that is not part of the body, without `\*` before it.
pub(crate) fn is_skipped_destination(word: &[u8]) -> bool {
    matches!(
        word,
        b"colortbl"
            | b"stylesheet"
            | b"info"
            | b"pict"
            | b"object"
            | b"header"
            | b"headerl"
            | b"headerr"
            | b"headerf"
            | b"footer"
            | b"footerl"
            | b"footerr"
            | b"footerf"
            | b"footnote"
            | b"filetbl"
            | b"fldinst"
            | b"mhtmltag"
            | b"nonshppict"
            | b"listtable"
            | b"listoverridetable"
            | b"rsidtbl"
            | b"generator"
            | b"xe"
            | b"tc"
    )
}
