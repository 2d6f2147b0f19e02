//! What the header of a part says about its content: the fields `Content-*`.
//!
//! If a field is repeated, the first usable one counts. What it leaves open is taken from the
//! others. A missing or malformed type means `text/plain` (RFC 2045 §5.2), or `message/rfc822`
//! within a digest. A boundary that another field or another type names is kept, because the body
//! may be a multipart all the same.
//!
//! Standards: RFC 2045, 2183, 2392, 2557.

use crate::charset;
use crate::charset::Detection;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoding_field::Declared;
use crate::encoding_field::DeclaredEncodings;
use crate::field_text::FieldText;
use crate::parameter::Parameters;
use crate::transfer::TransferEncoding;
use std::borrow::Cow;

/// A longer boundary delimits nothing.
const BOUNDARY_BYTES_MAX: usize = 256 << 10;
/// How much is kept of an identifier.
const ID_BYTES_MAX: usize = 8 << 10;

/// How a part is to be presented (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is shown.
    Inline,
    /// It is a file.
    Attachment,
    /// Something that is not known.
    Other,
}

/// A multipart that the fields name, although their type is another one.
#[derive(Debug, Clone)]
pub(crate) struct OtherMultipart {
    /// Its media type.
    pub media_type: Cow<'static, str>,
    /// Its boundary.
    pub boundary: Vec<u8>,
    /// Whether a field has this type.
    pub is_declared: bool,
}

/// The description of the content of a part.
#[derive(Debug, Clone, Default)]
pub struct ContentFields {
    /// The media type, lower case, without parameters.
    pub media_type: Cow<'static, str>,
    /// Whether a field says so.
    pub is_typed: bool,
    /// The parameter `charset`.
    pub charset: Option<String>,
    /// The boundary of a multipart.
    pub boundary: Option<Vec<u8>>,
    /// Whether the text is flowed (RFC 3676), and then whether `DelSp` is set.
    pub flowed: Option<bool>,
    /// `protocol` or `smime-type` of what may be S/MIME.
    pub security_type: Option<String>,
    /// How the content is written.
    pub encoding: TransferEncoding,
    /// What the fields say about that.
    pub encodings: DeclaredEncodings,
    /// Whether the whole body is one encoded file, uuencode or yEnc.
    pub file_encoding: Option<Declared>,
    /// How the part is to be presented.
    pub disposition: Option<Disposition>,
    /// `filename` of the disposition, decoded.
    pub file_name: Option<String>,
    /// `name` of the type, decoded.
    pub type_name: Option<String>,
    /// Content-ID without its angle brackets.
    pub content_id: Option<String>,
    /// Content-Location.
    pub location: Option<String>,
    /// The parameter `start` of `multipart/related` (RFC 2387 §3.2), without angle brackets.
    pub start: Option<String>,
    /// What the body may be, if the type is no multipart.
    other: Option<Box<OtherMultipart>>,
    has_disposition: bool,
    /// The name that a repeated type or disposition has.
    later_name: Option<String>,
    is_malformed: bool,
}

impl ContentFields {
    /// The content of a part without any field.
    #[must_use]
    pub fn new(is_digest: bool) -> Self {
        let media_type = if is_digest { "message/rfc822" } else { "text/plain" };
        Self { media_type: Cow::Borrowed(media_type), ..Self::default() }
    }

    /// The content of a part that is not looked into.
    #[must_use]
    pub fn opaque() -> Self {
        let media_type = Cow::Borrowed("application/octet-stream");
        Self { media_type, disposition: Some(Disposition::Attachment), ..Self::default() }
    }

    /// Whether a field says what it is.
    pub(crate) fn has_type(&self) -> bool {
        self.is_typed && !self.is_malformed
    }

    /// Whether it is a multipart.
    #[must_use]
    pub(crate) fn is_multipart(&self) -> bool {
        self.media_type.starts_with("multipart/")
    }

    /// The multipart that the body may be, though the type is another one.
    pub(crate) fn other_multipart(&self) -> Option<&OtherMultipart> {
        self.other.as_deref().filter(|_| !self.is_multipart())
    }

    /// Makes a multipart of it, because the body is one.
    pub(crate) fn become_multipart(&mut self, media_type: Cow<'static, str>, boundary: Vec<u8>) {
        (self.media_type, self.boundary) = (media_type, Some(boundary));
    }

    /// The name of the file, as it is declared.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.file_name.as_deref().or(self.type_name.as_deref())
    }

    /// Takes a field.
    pub fn field(&mut self, name: &[u8], value: &[u8], defects: &mut Defects) {
        // The fields are recognised by their lengths, which all differ.
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            10 if is("content-id") => self.id(value, defects),
            12 if is("content-type") => self.media_type(value, defects),
            16 if is("content-location") => self.place(value, defects),
            19 if is("content-disposition") => self.disposition(value, defects),
            25 if is("content-transfer-encoding") => self.encoding(value, defects),
            _ => {}
        }
    }

    /// Ends the fields. A file without a valid media type is not a text.
    pub fn end(&mut self) {
        // With a name, what is shown would be a file.
        let is_shown = self.is_multipart() || self.media_type.starts_with("text/");
        let is_file = !is_shown || self.disposition == Some(Disposition::Attachment);
        if self.name().is_none() && is_file {
            self.type_name = self.later_name.take();
        }
        let is_file = self.disposition == Some(Disposition::Attachment) || self.name().is_some();
        if self.is_malformed && is_file {
            self.media_type = Cow::Borrowed("application/octet-stream");
        }
    }

    fn media_type(&mut self, value: &[u8], defects: &mut Defects) {
        if self.is_typed {
            defects.note(Defect::FieldRepeated);
            let is_usable = !self.is_malformed && (!self.is_multipart() || self.boundary.is_some());
            if is_usable {
                self.more_of_type(&Parameters::parse(value));
            }
            if is_usable || value.trim_ascii().is_empty() {
                return;
            }
        }
        self.is_typed = true;
        let parameters = Parameters::parse(value);
        self.is_malformed = false;
        let written = media_type(&parameters.head);
        let may_be_multipart =
            written.as_ref().is_none_or(|written| written.starts_with("multipart/"));
        let boundary = may_be_multipart.then(|| boundary(&parameters)).flatten();
        self.media_type = written.unwrap_or_else(|| {
            defects.note(Defect::MediaTypeMalformed);
            self.is_malformed = boundary.is_none();
            match boundary {
                Some(_) => Cow::Borrowed(multipart(&parameters.head)),
                // RFC 2045 §5.2: what is no media type is text/plain.
                None => Cow::Borrowed("text/plain"),
            }
        });
        self.charset = parameters.token("charset");
        self.type_name = file_name(&parameters, ["name", "filename"], self.charset.as_deref());
        if self.media_type.starts_with("text/") {
            let is = |name, value| {
                parameters
                    .token(name)
                    .is_some_and(|found: String| found.eq_ignore_ascii_case(value))
            };
            self.flowed = is("format", "flowed").then(|| is("delsp", "yes"));
        }
        self.boundary = boundary.map(<[u8]>::to_vec);
        if self.boundary.is_none() {
            self.other_type(&parameters);
        }
        if let Some(encoding) = parameters.bytes("content-transfer-encoding") {
            // A field of its own, whose line was joined with this one.
            self.encoding(encoding, defects);
        }
        if self.media_type == "multipart/related" {
            self.start = parameters.token("start").map(|start| bare_id(&start).to_owned());
        }
        let is_application = self.media_type.starts_with("application/");
        let security = || parameters.token("protocol").or_else(|| parameters.token("smime-type"));
        let security = is_application.then(security).flatten();
        self.security_type = security.map(|value| value.to_ascii_lowercase());
    }

    /// Takes what a repeated type says and the first one does not.
    fn more_of_type(&mut self, parameters: &Parameters<'_>) {
        self.other_type(parameters);
        let is_same =
            media_type(&parameters.head).is_some_and(|written| written == self.media_type);
        if is_same && self.charset.is_none() {
            self.charset = parameters.token("charset");
        }
        let name = || file_name(parameters, ["name", "filename"], self.charset.as_deref());
        self.later_name = self.later_name.take().or_else(name);
    }

    /// Keeps the first boundary of a type that does not count.
    fn other_type(&mut self, parameters: &Parameters<'_>) {
        if self.is_multipart() || self.other.is_some() {
            return;
        }
        let Some(boundary) = boundary(parameters) else { return };
        let written = media_type(&parameters.head).filter(|kind| kind.starts_with("multipart/"));
        let is_declared = written.is_some();
        let media_type = written.unwrap_or_else(|| Cow::Borrowed(multipart(&parameters.head)));
        let boundary = boundary.to_vec();
        self.other = Some(Box::new(OtherMultipart { media_type, boundary, is_declared }));
    }

    fn id(&mut self, value: &[u8], defects: &mut Defects) {
        if self.content_id.is_none() {
            self.content_id = text(value, defects).map(|id| bare_id(&id).to_owned());
        }
    }

    fn place(&mut self, value: &[u8], defects: &mut Defects) {
        if self.location.is_none() {
            self.location = text(value, defects);
        }
    }

    fn encoding(&mut self, value: &[u8], defects: &mut Defects) {
        if self.encodings.field() {
            defects.note(Defect::FieldRepeated);
        }
        let value = value.trim_ascii();
        if value.is_empty() {
            return;
        }
        for declared in Declared::all(value) {
            self.encodings.add(declared);
            match declared {
                Declared::Known(_) | Declared::Misspelt(_) => {}
                Declared::Uuencode | Declared::Yenc => {
                    self.file_encoding.get_or_insert(declared);
                }
                Declared::Unknown => defects.note(Defect::TransferEncodingUnknown),
            }
        }
        self.encoding = self.encodings.first();
    }

    fn disposition(&mut self, value: &[u8], defects: &mut Defects) {
        let parameters = Parameters::parse(value);
        let name = file_name(&parameters, ["filename", "name"], self.charset.as_deref());
        if self.has_disposition {
            defects.note(Defect::FieldRepeated);
            self.later_name = self.later_name.take().or(name);
            if self.disposition.is_some() {
                return;
            }
        } else {
            self.file_name = name;
        }
        self.has_disposition = !value.trim_ascii().is_empty();
        let is = |word: &[u8]| parameters.head.eq_ignore_ascii_case(word);
        self.disposition = match parameters.head.len() {
            0 => None,
            6 if is(b"inline") => Some(Disposition::Inline),
            10 if is(b"attachment") => Some(Disposition::Attachment),
            _ => Some(Disposition::Other),
        };
    }
}

/// The first parameter of these names that says something; bytes in it may be in the charset of
/// the text.
fn file_name(parameters: &Parameters<'_>, names: [&str; 2], label: Option<&str>) -> Option<String> {
    let mut names = names.into_iter().filter(|name| parameters.bytes(name).is_some());
    names.find_map(|name| parameters.text(name, label.and_then(charset::named)))
}

/// The boundary that a type names. A boundary without a semicolon before it, or with an unclosed
/// quote, is ignored, and the body shows the right one.
fn boundary<'a>(parameters: &'a Parameters<'_>) -> Option<&'a [u8]> {
    let is_boundary = |bytes: &&[u8]| {
        !parameters.is_loose && !bytes.trim_ascii().is_empty() && bytes.len() <= BOUNDARY_BYTES_MAX
    };
    parameters.sound_bytes("boundary").filter(is_boundary)
}

/// The multipart type that a malformed type with a boundary means: the type that it names,
/// otherwise `multipart/mixed`.
fn multipart(head: &[u8]) -> &'static str {
    const KINDS: [(&str, &str); 5] = [
        ("alternative", "multipart/alternative"),
        ("related", "multipart/related"),
        ("signed", "multipart/signed"),
        ("report", "multipart/report"),
        ("digest", "multipart/digest"),
    ];
    let head = head.to_ascii_lowercase();
    let is_named = |kind: &&(&str, &str)| memchr::memmem::find(&head, kind.0.as_bytes()).is_some();
    KINDS.iter().find(is_named).map_or("multipart/mixed", |kind| kind.1)
}

/// The media types of nearly all mail.
const USUAL: [&str; 16] = [
    "text/plain",
    "text/html",
    "multipart/mixed",
    "multipart/alternative",
    "multipart/related",
    "multipart/report",
    "multipart/signed",
    "message/rfc822",
    "message/delivery-status",
    "text/rfc822-headers",
    "text/calendar",
    "application/octet-stream",
    "application/pdf",
    "image/jpeg",
    "image/png",
    "image/gif",
];

/// The media type that is written. `None` if it is no `type/subtype`.
fn media_type(written: &[u8]) -> Option<Cow<'static, str>> {
    let is_written = |usual: &&&str| written.eq_ignore_ascii_case(usual.as_bytes());
    if let Some(usual) = USUAL.iter().find(is_written) {
        return Some(Cow::Borrowed(usual));
    }
    let is_token = |part: &str| {
        let is_special = |byte| {
            matches!(byte, b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\')
                || matches!(byte, b'"' | b'/' | b'[' | b']' | b'?' | b'=')
        };
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !is_special(byte))
    };
    let text = std::str::from_utf8(written).ok()?;
    let is_slash = |char| matches!(char, '/' | '\\');
    let (kind, subtype) = text.split_once(is_slash)?;
    let written = || format!("{kind}/{subtype}").to_ascii_lowercase();
    (is_token(kind) && is_token(subtype)).then(written).map(Cow::Owned)
}

fn text(value: &[u8], defects: &mut Defects) -> Option<String> {
    let value = value.get(..ID_BYTES_MAX).unwrap_or(value);
    let mut field =
        FieldText { fallback: None, words_left: 100, detection: Detection::of_field(), defects };
    let text = field.unstructured(value);
    (!text.is_empty()).then_some(text)
}

/// An identifier without angle brackets and what stands around them.
fn bare_id(text: &str) -> &str {
    let inner = text.split_once('<').map_or(text, |(_, inner)| inner);
    inner.split('>').next().unwrap_or(inner).trim()
}
