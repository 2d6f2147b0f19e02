//! What is read of the leaves of a message, and what it is read with.

use crate::charset::Detection;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::limits::ParserLimits;
use crate::message::Container;
use crate::message::PartSource;
use crate::message::Protection;
use crate::whole_text::TextPlace;
use std::borrow::Cow;

/// The bodies and files of a message, before files get their names.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// The plain text, if there is a part for it.
    pub text: Option<String>,
    /// Where the text is. `None` if it is not one part of the message as it stands there.
    pub text_place: Option<TextPlace>,
    /// The html as text.
    pub html: Option<String>,
    /// The html as a file. `None` when several parts were joined.
    pub html_source: Option<(PartSource, u64)>,
    /// Content-Location of the html: what relative addresses in it mean.
    pub html_location: Option<String>,
    /// Whether a part of plain text says something.
    pub has_text: bool,
    /// Whether a part of html shows something. One that shows nothing does not hide the text.
    pub has_html: bool,
    /// Whether any of the text was made of html.
    pub is_derived: bool,
    /// How S/MIME protects it.
    pub security: Option<Protection>,
    /// All other leaves.
    pub files: Vec<FileLeaf>,
}

/// A leaf that is a file.
#[derive(Debug)]
pub(crate) struct FileLeaf {
    /// Its name, as it is declared.
    pub declared_name: Option<String>,
    /// What it is to be named after.
    pub name: Option<String>,
    /// The media type.
    pub media_type: Cow<'static, str>,
    /// Content-ID.
    pub content_id: Option<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// Where its bytes are.
    pub source: PartSource,
    /// How many there are, decoded.
    pub size_bytes: u64,
    /// What it was taken out of.
    pub container: Option<Container>,
}

/// Reads the leaves of a message.
pub(crate) struct BodyReader<'a, S> {
    /// The message.
    pub source: &'a mut S,
    /// The limits.
    pub limits: &'a ParserLimits,
    /// Finds out charsets.
    pub detection: Detection,
    /// What was met.
    pub defects: &'a mut Defects,
    /// What was read.
    pub bodies: Bodies,
    /// Whether each part belongs to the text of the message. This is known before the parts are
    /// read.
    pub has_text: bool,
    /// The same of the html.
    pub has_html: bool,
    /// How many signed messages enclose it.
    pub depth: usize,
}

/// Adds a piece to a body, in a line of its own.
pub(crate) fn push(
    body: &mut Option<String>,
    piece: &str,
    bytes_max: usize,
    defects: &mut Defects,
) {
    let body = body.get_or_insert_default();
    if !body.is_empty() && !piece.is_empty() && !body.ends_with('\n') {
        body.push('\n');
    }
    let room = bytes_max.saturating_sub(body.len());
    if piece.len() > room {
        defects.note(Defect::TextOver);
    }
    body.push_str(piece.get(..piece.floor_char_boundary(room)).unwrap_or_default());
}
