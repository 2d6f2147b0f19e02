//! The parts of a message, from the outermost in (RFC 2046 §5.1, RFC 2387).

use postroom_model::Invalid;

use crate::compose::file::Transfer;
use crate::compose::{ComposedPiece, Draft, FileAt, FileContent, body, file};

/// Collects the pieces of a message.
#[derive(Debug, Default)]
pub(crate) struct DraftWriter {
    pieces: Vec<ComposedPiece>,
    bytes: Vec<u8>,
}

impl DraftWriter {
    /// Returns the end of the message so far, to append to.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn content(&mut self, at: FileAt, size_bytes: u64) {
        self.pieces.push(ComposedPiece::Bytes(std::mem::take(&mut self.bytes)));
        self.pieces.push(ComposedPiece::File { at, size_bytes });
    }

    /// Ends the message with a line end.
    pub(crate) fn finish(mut self) -> Vec<ComposedPiece> {
        if !self.bytes.ends_with(b"\r\n") {
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.pieces.push(ComposedPiece::Bytes(self.bytes));
        self.pieces
    }
}

/// A multipart that is being written.
struct Multipart {
    boundary: String,
}

impl Multipart {
    /// Begins a multipart. `level` tells the boundaries of one message apart.
    ///
    /// `=_` cannot occur in base64 or quoted-printable, and what is sent as it is has been searched
    /// for it, so no content can hold the boundary.
    fn begin(writer: &mut DraftWriter, draft: &Draft, level: &str, media_type: &str) -> Self {
        let boundary = format!("{}{level}", boundary_stem(draft));
        let header = format!("Content-Type: {media_type};\r\n boundary=\"{boundary}\"\r\n");
        writer.bytes.extend_from_slice(header.as_bytes());
        Self { boundary }
    }

    fn part(&self, writer: &mut DraftWriter) {
        let delimiter = format!("\r\n--{}\r\n", self.boundary);
        writer.bytes.extend_from_slice(delimiter.as_bytes());
    }

    fn end(self, writer: &mut DraftWriter) {
        let delimiter = format!("\r\n--{}--\r\n", self.boundary);
        writer.bytes.extend_from_slice(delimiter.as_bytes());
    }
}

/// Writes the fields of the content and the content.
pub(crate) fn write(draft: &Draft, writer: &mut DraftWriter) -> Result<(), Invalid> {
    let parts = Parts::of(draft);
    let has_body = draft.text.is_some() || draft.html.is_some() || !parts.calendars.is_empty();
    match parts.files.as_slice() {
        [] => bodies(draft, &parts, writer),
        [only] if !has_body => write_file(draft, *only, writer),
        [..] => {
            let mixed = Multipart::begin(writer, draft, "m", "multipart/mixed");
            if has_body {
                mixed.part(writer);
                bodies(draft, &parts, writer)?;
            }
            for at in &parts.files {
                mixed.part(writer);
                write_file(draft, *at, writer)?;
            }
            mixed.end(writer);
            Ok(())
        }
    }
}

/// Where the files of a draft stand in the message.
#[derive(Debug, Default)]
struct Parts {
    /// Alternatives to the bodies.
    calendars: Vec<FileAt>,
    /// Beside the HTML.
    inlines: Vec<FileAt>,
    /// Beside the bodies.
    files: Vec<FileAt>,
}

impl Parts {
    fn of(draft: &Draft) -> Self {
        let mut parts = Self::default();
        for (index, inline) in draft.inlines.iter().enumerate() {
            let place = if file::is_calendar(inline) {
                &mut parts.calendars
            } else if draft.html.is_some() {
                &mut parts.inlines
            } else {
                &mut parts.files
            };
            place.push(FileAt::Inline(index));
        }
        parts.files.extend((0..draft.attachments.len()).map(FileAt::Attachment));
        parts
    }
}

/// Writes the bodies. An empty text if there are none.
fn bodies(draft: &Draft, parts: &Parts, writer: &mut DraftWriter) -> Result<(), Invalid> {
    let texts = usize::from(draft.text.is_some()) + usize::from(draft.html.is_some());
    match (texts + parts.calendars.len(), parts.calendars.as_slice(), &draft.html) {
        (0, _, _) => write_text("plain", "", writer),
        (1, [only], _) => write_file(draft, *only, writer)?,
        (1, _, Some(html)) => related(draft, html, &parts.inlines, writer)?,
        (1, _, None) => write_text("plain", draft.text.as_deref().unwrap_or_default(), writer),
        (_, calendars, html) => {
            let alternative = Multipart::begin(writer, draft, "a", "multipart/alternative");
            if let Some(text) = &draft.text {
                alternative.part(writer);
                write_text("plain", text, writer);
            }
            if let Some(html) = html {
                alternative.part(writer);
                related(draft, html, &parts.inlines, writer)?;
            }
            for at in calendars {
                alternative.part(writer);
                write_file(draft, *at, writer)?;
            }
            alternative.end(writer);
        }
    }
    Ok(())
}

/// Writes the HTML with what it refers to.
fn related(
    draft: &Draft,
    html: &str,
    inlines: &[FileAt],
    writer: &mut DraftWriter,
) -> Result<(), Invalid> {
    if inlines.is_empty() {
        write_text("html", html, writer);
        return Ok(());
    }
    let media_type = "multipart/related; type=\"text/html\"";
    let related = Multipart::begin(writer, draft, "r", media_type);
    related.part(writer);
    write_text("html", html, writer);
    for at in inlines {
        related.part(writer);
        write_file(draft, *at, writer)?;
    }
    related.end(writer);
    Ok(())
}

fn write_text(subtype: &str, text: &str, writer: &mut DraftWriter) {
    let encoded = body::encode(text);
    let header = format!(
        "Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {}\r\n\r\n",
        encoded.encoding
    );
    writer.bytes.extend_from_slice(header.as_bytes());
    writer.bytes.extend_from_slice(&encoded.body);
}

fn write_file(draft: &Draft, at: FileAt, writer: &mut DraftWriter) -> Result<(), Invalid> {
    let Some(file) = draft.file(at) else {
        return Ok(());
    };
    let transfer =
        file::write_header(file, at, &format!("--{}", boundary_stem(draft)), &mut writer.bytes)?;
    writer.bytes.extend_from_slice(b"\r\n");
    match (transfer, &file.content) {
        (Transfer::SevenBit, FileContent::Bytes(bytes)) => writer.bytes.extend_from_slice(bytes),
        (Transfer::SevenBit | Transfer::Base64, content) => {
            writer.content(at, content.size_bytes());
        }
    }
    Ok(())
}

/// Returns what the boundaries of a message begin with, made of its Message-ID (FNV-1a): they
/// differ from message to message and are the same for the same draft.
fn boundary_stem(draft: &Draft) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = draft.message_id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("=_{seed:016x}_")
}
