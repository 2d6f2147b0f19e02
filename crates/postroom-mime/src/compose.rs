//! Composition: from the fields of a message to be sent to its bytes.
//!
//! ```text
//!   Draft ─► check ─► header ─► mixed( alternative( text, related( html, inlines ), .. ), files )
//! ```
//!
//! Levels with a single part are left out. The result is a list of [`ComposedPiece`]s: ready bytes,
//! and places for the content of files, which is inserted as base64 lines ([`Base64Lines`]). So
//! writing a message with large attachments needs the memory of one buffer.
//!
//! Guarantees:
//!
//! - The same draft gives the same bytes. The composer uses no clock and no random numbers.
//! - Every line ends in CRLF and has at most 998 octets, encoded lines at most 76 characters.
//! - The bytes are ASCII, unless [`Composed::needs_smtp_utf8`].
//! - No value of the draft can start a header field or end a line, because CR, LF and NUL are
//!   refused.
//! - A draft has no field for blind copies, so they cannot be written.
//!
//! Standards: RFC 5322, 2045 to 2047, 2231, 2183, 2387, 2392, 6532.

use std::io;

use bytes::Bytes;
use postroom_model::Invalid;

use crate::compose::base64_lines::base64_lines_size_bytes;
use crate::compose::structure::DraftWriter;

mod base64_lines;
mod body;
mod check;
mod field;
mod file;
mod header;
mod mailbox;
mod parameter;
mod structure;
mod structured;
mod word;

pub use crate::compose::base64_lines::Base64Lines;
pub use crate::compose::header::is_reserved;
pub use crate::compose::header::message_id;
pub use crate::compose::mailbox::{Address, WireAddress, wire_address};
pub use crate::compose::structured::problem as field_problem;

/// A message to be composed. The caller provides times and identifiers.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The author (`From`).
    pub from: Address,
    /// Who sends for the author, when it is another (`Sender`).
    pub sender: Option<Address>,
    /// Where answers shall go (`Reply-To`).
    pub reply_to: Vec<Address>,
    /// The recipients (`To`). When `cc` is empty too, `undisclosed-recipients:;` is written.
    pub to: Vec<Address>,
    /// Who gets a copy (`Cc`).
    pub cc: Vec<Address>,
    /// The subject. Empty means no field.
    pub subject: String,
    /// The plain text body. CR, LF and CRLF all end a line.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Files that the HTML refers to as `cid:`; attachments when there is no HTML. One that is a
    /// calendar is an alternative to the bodies (RFC 6047 §2.4).
    pub inlines: Vec<DraftFile>,
    /// Files beside the bodies.
    pub attachments: Vec<DraftFile>,
    /// The Message-ID, with or without angle brackets.
    pub message_id: String,
    /// Message-IDs that this message answers. Ids that a header field cannot hold (not printable
    /// ASCII, over 900 octets) are left out here and in `references`, because an answer with worse
    /// threading is better than none.
    pub in_reply_to: Vec<String>,
    /// Message-IDs of the thread, oldest first.
    pub references: Vec<String>,
    /// When it was written: Unix time in milliseconds. Written in whole seconds of UTC.
    pub date_ms: i64,
    /// Further header fields, name and decoded value, in this order.
    pub headers: Vec<(String, String)>,
    /// Whether addresses that are not ASCII are written as names without an address, for a server
    /// without SMTPUTF8 (RFC 6857 §3.1.7); the author's address cannot be.
    pub ascii_addresses: bool,
}

/// A file of a message.
#[derive(Debug, Clone)]
pub struct DraftFile {
    /// The file name, any characters but CR, LF and NUL. Empty means none.
    pub name: String,
    /// The media type, with parameters if any. Empty means `application/octet-stream`.
    pub media_type: String,
    /// The Content-ID by which the HTML refers to the file (`cid:`, RFC 2392), with or without
    /// angle brackets.
    pub content_id: Option<String>,
    /// What is in it.
    pub content: FileContent,
}

/// Where the content of a file is.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// Here.
    Bytes(Bytes),
    /// Elsewhere. The caller inserts it when the message is written.
    Elsewhere {
        /// Its exact size in bytes.
        size_bytes: u64,
    },
}

impl FileContent {
    /// Returns the size in bytes, before any encoding.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Elsewhere { size_bytes } => *size_bytes,
        }
    }
}

/// Names one file of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAt {
    /// The file at this index of [`Draft::inlines`].
    Inline(usize),
    /// The file at this index of [`Draft::attachments`].
    Attachment(usize),
}

/// A stretch of a composed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComposedPiece {
    /// Bytes as they are sent.
    Bytes(Vec<u8>),
    /// The content of a file belongs here, through [`Base64Lines`].
    File {
        /// Which file.
        at: FileAt,
        /// The size of its content in bytes, before the encoding.
        size_bytes: u64,
    },
}

/// A composed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// The message from its first byte to its last.
    pub pieces: Vec<ComposedPiece>,
    /// Whether the header holds an address whose local part is not ASCII: the message can only be
    /// sent with SMTPUTF8 (RFC 6531).
    pub needs_smtp_utf8: bool,
}

impl Composed {
    /// Returns the exact size of the message in bytes, as for SIZE (RFC 1870).
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let size = |piece: &ComposedPiece| match piece {
            ComposedPiece::Bytes(bytes) => bytes.len() as u64,
            ComposedPiece::File { size_bytes, .. } => base64_lines_size_bytes(*size_bytes),
        };
        self.pieces.iter().map(size).sum()
    }

    /// Writes the message. `open` is asked for each content that is [`FileContent::Elsewhere`].
    ///
    /// # Errors
    ///
    /// Errors of `out`, `open` or a reader; [`io::ErrorKind::InvalidInput`] if `draft` is not the
    /// draft that this was composed from, or a content does not have its announced size.
    pub(crate) fn write_to<'a>(
        &self,
        draft: &Draft,
        out: &mut impl io::Write,
        mut open: impl FnMut(FileAt) -> io::Result<Box<dyn io::Read + 'a>>,
    ) -> io::Result<()> {
        for piece in &self.pieces {
            let (at, size_bytes) = match piece {
                ComposedPiece::Bytes(bytes) => {
                    out.write_all(bytes)?;
                    continue;
                }
                ComposedPiece::File { at, size_bytes } => (*at, *size_bytes),
            };
            let written = match draft.file(at).map(|file| &file.content) {
                Some(FileContent::Bytes(bytes)) => write_content(bytes.as_ref(), out)?,
                Some(FileContent::Elsewhere { .. }) => write_content(open(at)?, out)?,
                None => return Err(io::ErrorKind::InvalidInput.into()),
            };
            if written != size_bytes {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        Ok(())
    }
}

impl Draft {
    /// Returns a file of this draft.
    #[must_use]
    pub fn file(&self, at: FileAt) -> Option<&DraftFile> {
        match at {
            FileAt::Inline(index) => self.inlines.get(index),
            FileAt::Attachment(index) => self.attachments.get(index),
        }
    }
}

/// Composes `draft`.
///
/// # Errors
///
/// The first property, in the order of the header, that cannot be sent as it is, and why.
pub fn compose(draft: &Draft) -> Result<Composed, Invalid> {
    check::draft(draft)?;
    let mut writer = DraftWriter::default();
    let needs_smtp_utf8 = header::write(draft, writer.bytes())?;
    structure::write(draft, &mut writer)?;
    Ok(Composed { pieces: writer.finish(), needs_smtp_utf8 })
}

/// Composes `draft`, all of whose contents are [`FileContent::Bytes`], in memory.
///
/// # Errors
///
/// As [`compose`]; also a content that is not here.
pub fn compose_bytes(draft: &Draft) -> Result<Vec<u8>, Invalid> {
    let composed = compose(draft)?;
    let mut bytes = Vec::with_capacity(usize::try_from(composed.size_bytes()).unwrap_or(0));
    composed
        .write_to(draft, &mut bytes, |_| Err(io::ErrorKind::NotFound.into()))
        .map_err(|_| Invalid::new("attachments", "the content is not here"))?;
    Ok(bytes)
}

/// Copies a content as base64 lines; returns how many bytes it had.
fn write_content(mut content: impl io::Read, out: &mut impl io::Write) -> io::Result<u64> {
    const READ_BYTES: usize = 48 * 1024;
    let mut lines = Base64Lines::default();
    let mut raw = vec![0; READ_BYTES];
    let mut encoded = Vec::with_capacity(READ_BYTES * 3 / 2);
    let mut count = 0;
    loop {
        let read = match content.read(&mut raw) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines.push(raw.get(..read).unwrap_or_default(), &mut encoded);
        out.write_all(&encoded)?;
        encoded.clear();
        count += read as u64;
    }
    lines.finish(&mut encoded);
    out.write_all(&encoded)?;
    Ok(count)
}

#[cfg(test)]
mod tests;
