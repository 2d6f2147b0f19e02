//! A decomposed message.

use crate::calendar::Calendar;
use crate::compose::Address;
use crate::defect::Defect;
use crate::headers::Headers;
use crate::html;
use crate::report::Report;
use crate::source;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::source::Windows;
use crate::transfer::TransferEncoding;
use crate::whole_text::TextPlace;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;

/// A decomposed message. If it is malformed, this is everything that could be read.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The authors (`From`). An address may be empty when the field has only a name.
    pub from: Vec<Address>,
    /// Who sent it for the authors (`Sender`).
    pub sender: Option<Address>,
    /// Where answers shall go (`Reply-To`).
    pub reply_to: Vec<Address>,
    /// The recipients (`To`), without the names of groups.
    pub to: Vec<Address>,
    /// Who gets a copy (`Cc`).
    pub cc: Vec<Address>,
    /// Who gets a blind copy (`Bcc`).
    pub bcc: Vec<Address>,
    /// The subject. `None` if the field is missing or empty.
    pub subject: Option<String>,
    /// When it was written (`Date`), Unix time in milliseconds. `None` if missing or absurd.
    pub date_ms: Option<i64>,
    /// When the last hop got it (the topmost `Received`), Unix time in milliseconds.
    pub received_ms: Option<i64>,
    /// The Message-ID, without angle brackets.
    pub message_id: Option<String>,
    /// The Message-IDs that it answers, without angle brackets.
    pub in_reply_to: Vec<String>,
    /// The Message-IDs of its thread, without angle brackets.
    pub references: Vec<String>,
    /// All header fields in order: names as written, values decoded.
    pub headers: Headers,
    /// The plain text body, with LF as line end and limited by
    /// [`crate::ParserLimits::text_bytes_max`]. Parts that exist only as html are included as text.
    pub text: Option<String>,
    /// Whether any of `text` was made of html.
    pub is_text_derived: bool,
    /// Where `text` is in the message, if it is one part and nothing was taken out of it.
    pub text_place: Option<TextPlace>,
    /// The html body as a file.
    pub html: Option<Part>,
    /// The html body as text, bounded as `text` is.
    pub html_text: Option<String>,
    /// The beginning of what it says, in one line.
    pub preview: Option<String>,
    /// Which bodies there are.
    pub kind: BodyKind,
    /// The files that the html does not refer to.
    pub attachments: Vec<Part>,
    /// The files that the html refers to.
    pub inlines: Vec<Part>,
    /// What is malformed, each once.
    pub defects: Vec<Defect>,
    /// The event of its first calendar part.
    pub calendar: Option<Calendar>,
    /// What it says about a message that was sent. `None`: it is no report.
    pub report: Option<Report>,
    /// Whether it is signed or encrypted.
    pub security: Option<Protection>,
    /// Why the message cannot be decomposed. The other fields then hold what could be read all the
    /// same.
    pub raw_reason: Option<String>,
    /// The version of the parser, [`crate::PARSER_VERSION`].
    pub parser_version: u32,
}

/// Which bodies a message has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyKind {
    /// Plain text alone.
    Text,
    /// Html alone.
    Html,
    /// Both.
    Alternative,
    /// None.
    #[default]
    Undefined,
}

/// How a message is protected. Nothing is verified or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It carries a signature beside its content, which is decomposed.
    Signed,
    /// Its content is encrypted.
    Encrypted,
    /// Its content is inside its signature. It is opened and decomposed if it can be read.
    Opaque,
}

/// Where the plain text of a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextSource {
    /// Parts of plain text.
    Part,
    /// The html, where no plain text part exists.
    Html,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// A name that is harmless and unique within the message.
    pub name: String,
    /// The name that the message gives, decoded and nothing else; never a path on a disk.
    pub declared_name: Option<String>,
    /// The media type, lower case, without parameters.
    pub media_type: Cow<'static, str>,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// How many bytes it has when its transfer encoding is undone.
    pub size_bytes: u64,
    /// Where its bytes are.
    pub source: PartSource,
    /// The container that it was taken out of, if it is not a part itself.
    pub container: Option<Container>,
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartSource {
    /// In the message, in its transfer encoding.
    Range {
        /// The first byte.
        offset: u64,
        /// How many bytes, as they are written.
        length: u64,
        /// How they are written.
        encoding: TransferEncoding,
        /// The charset of a text, unless it is UTF-8 or ASCII.
        charset: Option<String>,
    },
    /// In memory, because it was opened, or joined from several parts.
    Bytes(Vec<u8>),
}

/// What holds files that are no parts of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// `winmail.dat`.
    Tnef,
    /// A text with uuencode in it.
    Uuencode,
    /// A text with yEnc in it.
    Yenc,
    /// A signed message of S/MIME.
    Cms,
}

impl Message {
    /// The text of the message, at most `bytes_max` bytes, and its source. The text of an html-only
    /// message comes from the html.
    #[must_use]
    pub fn shown_text(&self, bytes_max: usize) -> Option<(Cow<'_, str>, TextSource)> {
        let own = self.text.as_deref().filter(|text| !text.trim().is_empty());
        let source = if self.is_text_derived { TextSource::Html } else { TextSource::Part };
        let (text, source) = match (own, self.html_text.as_deref()) {
            (None, Some(html)) => (Cow::Owned(html::text(html, bytes_max)), TextSource::Html),
            (own, _) => (Cow::Borrowed(own.or(self.text.as_deref())?), source),
        };
        let end = text.floor_char_boundary(bytes_max);
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Cow::Owned(text)
            }
        };
        Some((text, source))
    }
}

impl TextSource {
    /// The word for it, as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Html => "html",
        }
    }
}

impl BodyKind {
    /// The word for it, as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::Alternative => "alternative",
            Self::Undefined => "undefined",
        }
    }
}

impl Protection {
    /// The word for it, as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Encrypted => "encrypted",
            Self::Opaque => "opaque",
        }
    }
}

impl Part {
    /// The bytes of the part, of a message in memory; its charset is left as it is.
    #[must_use]
    pub fn decode(&self, message: &[u8]) -> Vec<u8> {
        // Memory cannot fail.
        self.read(&mut Slice(message)).unwrap_or_default()
    }

    /// The bytes of the part, of a message in a file.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn decode_from(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read(&mut Windows::new(File::open(path)?)?)
    }

    fn read<S: ByteSource>(&self, message: &mut S) -> io::Result<Vec<u8>> {
        let (offset, length, encoding) = match &self.source {
            PartSource::Bytes(bytes) => return Ok(bytes.clone()),
            PartSource::Range { offset, length, encoding, .. } => (*offset, *length, *encoding),
        };
        let mut content = Vec::new();
        let mut decoder = encoding.decoder();
        source::pieces(message, &(offset..offset.saturating_add(length)), |piece| {
            decoder.push(piece, &mut content);
            true
        })?;
        decoder.finish(&mut content);
        Ok(content)
    }
}
