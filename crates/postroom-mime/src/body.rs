//! Sorts the leaves of a message into text, html and files.
//!
//! ```text
//!   leaves ──► plan: shown? ──► text, html: each holds all that is shown, in order
//!         └──► all else ──► files ──► referred to by the html? inlines : attachments
//!                             └──► TNEF, signed S/MIME are opened; encoded files come out of texts
//! ```
//!
//! Nothing is lost, because every leaf that is not shown is a file.
//!
//! Standards: RFC 2046, 2183, 2387, 2392, 2557, 3676.

use crate::body::plan::LeafPlace;
use crate::body::plan::Role;
use crate::body::plan::ShownAs;
use crate::body::reader::push;
use crate::charset;
use crate::charset::Charset;
use crate::content::ContentFields;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::flowed;
use crate::html;
use crate::leaf;
use crate::message::PartSource;
use crate::plain;
use crate::source;
use crate::source::ByteSource;
use crate::structure::MimeEntity;
use crate::structure::Structure;
use crate::transfer::SAMPLE_BYTES;
use crate::transfer::TransferEncoding;
use crate::transfer::is_other_than_quoted_printable;
use crate::uuencode;
use crate::whole_text::TextPlace;
use encoding_rs::UTF_8;
use std::io;

mod encoded;
mod plan;
mod reader;
mod secured;

pub(crate) use crate::body::reader::Bodies;
pub(crate) use crate::body::reader::BodyReader;
pub(crate) use crate::body::reader::FileLeaf;

/// How much of a part tells whether it is blank.
const BLANK_BYTES_MAX: usize = 1 << 10;

/// What the contents of files that are no text begin with.
const BINARY: [&[u8]; 5] = [b"\x89PNG\r\n", b"\xFF\xD8\xFF", b"GIF89a", b"%PDF-1.", b"PK\x03\x04"];

/// The html of a leaf, decoded.
struct ReadHtml {
    text: String,
    /// The charset that it was in. `None` if it was UTF-8 or ASCII.
    charset: Option<Charset>,
    /// The size of the decoded leaf in bytes. `None` if it was read only in part.
    size_bytes: Option<u64>,
}

/// The content of a leaf, decoded.
struct LeafContent {
    bytes: Vec<u8>,
    /// How many bytes there are. `None` if it was cut.
    size_bytes: Option<u64>,
    /// Whether it is not written in the encoding that it declares.
    is_other: bool,
}

impl<S: ByteSource> BodyReader<'_, S> {
    /// Sorts the leaves of a message.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(crate) fn read(&mut self, structure: &Structure) -> io::Result<()> {
        let roles = plan::roles(&structure.entities);
        let places = roles.iter().filter_map(|role| match role {
            Role::Body(place) => Some(place),
            Role::Nothing | Role::File => None,
        });
        for place in places {
            self.has_text |= place.shown == ShownAs::Text && place.in_text;
            self.has_html |= place.shown == ShownAs::Html && place.in_html;
        }
        for (at, (entity, role)) in structure.entities.iter().zip(&roles).enumerate() {
            match role {
                Role::Nothing => {}
                Role::Body(_) if self.is_outdone(structure, &roles, at)? => {}
                Role::Body(place) => self.text(entity, *place)?,
                Role::File => {
                    self.file(entity)?;
                    self.secured(entity)?;
                }
            }
        }
        if self.bodies.has_text && !self.bodies.has_html {
            (self.bodies.html, self.bodies.html_source) = (None, None);
        }
        Ok(())
    }

    /// Whether the next part is a better alternative. Of alternatives, the last one that is
    /// understood counts (RFC 2046 §5.1.4). Parts with names, without a type, blank parts, and
    /// parts with others between them are not alternatives.
    fn is_outdone(&mut self, structure: &Structure, roles: &[Role], at: usize) -> io::Result<bool> {
        let Some([one, next]) = structure.entities.get(at..at + 2) else {
            return Ok(false);
        };
        let are_alike = match roles.get(at..at + 2) {
            Some([Role::Body(one), Role::Body(next)]) => one.shown == next.shown,
            _ => false,
        };
        let is_plain = |entity: &MimeEntity| {
            let content = &entity.content;
            content.is_typed && !content.is_multipart() && content.name().is_none()
        };
        if !is_alternative(structure, one)
            || one.parent != next.parent
            || !are_alike
            || !is_plain(one)
            || !is_plain(next)
        {
            return Ok(false);
        }
        let (start, _) =
            leaf::content(self.source, next, BLANK_BYTES_MAX, &mut Defects::default())?;
        Ok(!start.trim_ascii().is_empty())
    }

    /// Adds a leaf to the bodies. Content that is not text is a file, whatever its type says.
    fn text(&mut self, entity: &MimeEntity, place: LeafPlace) -> io::Result<()> {
        let shown = place.shown;
        let have = match shown {
            ShownAs::Text => self.bodies.text.as_ref(),
            ShownAs::Html => self.bodies.html.as_ref(),
        };
        let max = self.limits.text_bytes_max.saturating_sub(have.map_or(0, String::len));
        let (content, size_bytes) = match self.content(entity, shown, max)? {
            LeafContent { is_other: true, .. } => return self.text(&as_it_is(entity), place),
            LeafContent { bytes, size_bytes, .. } => (bytes, size_bytes),
        };
        if BINARY.iter().any(|start| content.starts_with(start)) {
            return self.file(entity);
        }
        let is_cut = size_bytes.is_none();
        let files_before = self.bodies.files.len();
        let content = match shown {
            ShownAs::Text => self.encoded_files(&entity.content, content, is_cut),
            ShownAs::Html => content,
        };
        let declared = declared(&entity.content, shown, &content);
        let decoded = charset::decode(content, declared.as_deref(), &mut self.detection);
        match decoded.defect {
            // The cut may have split a character.
            Some(Defect::CharsetWrong) if is_cut => {}
            Some(defect) => self.defects.note(defect),
            None => {}
        }
        let mut text = plain::plain(decoded.text, max, self.defects);
        if let (ShownAs::Text, Some(del_sp)) = (shown, entity.content.flowed) {
            text = flowed::unflow(&text, del_sp);
        }
        match shown {
            ShownAs::Text => {
                if place.in_text {
                    let is_whole = self.bodies.files.len() == files_before;
                    self.locate_text(entity, decoded.charset, is_whole);
                }
                self.add_text(text, place);
            }
            ShownAs::Html => {
                let html = ReadHtml { text, charset: decoded.charset, size_bytes };
                self.add_html(entity, html, place)?;
            }
        }
        Ok(())
    }

    /// Adds plain text, to the html too if that shows it beside its own.
    fn add_text(&mut self, text: String, place: LeafPlace) {
        let max = self.limits.text_bytes_max;
        let is_filled = !text.trim().is_empty();
        if place.in_html && self.has_html && is_filled {
            let html = html::of_text(&text);
            // A long one stays as it is.
            if self.bodies.html.as_ref().map_or(0, String::len) + html.len() < max {
                self.bodies.html_source = None;
                push(&mut self.bodies.html, &html, max, self.defects);
            } else {
                self.defects.note(Defect::TextOver);
            }
        }
        if place.in_text {
            self.bodies.has_text |= is_filled;
            add(&mut self.bodies.text, text, max, self.defects);
        }
    }

    /// Adds html, to the text too if that shows it beside its own.
    fn add_html(
        &mut self,
        entity: &MimeEntity,
        html: ReadHtml,
        place: LeafPlace,
    ) -> io::Result<()> {
        let max = self.limits.text_bytes_max;
        if place.in_text && self.has_text {
            let text = html::text(&html.text, max);
            self.bodies.is_derived |= !text.trim().is_empty();
            self.bodies.text_place = None;
            push(&mut self.bodies.text, &text, max, self.defects);
        }
        if place.in_html {
            let has_html = self.bodies.has_html || !self.has_text || !html::is_blank(&html.text);
            self.bodies.has_html = has_html;
            self.locate_html(entity, &html)?;
            add(&mut self.bodies.html, html.text, max, self.defects);
        }
        Ok(())
    }

    /// The content of a text, of which `max` bytes are shown. It is read further where files stand
    /// in it.
    fn content(
        &mut self,
        entity: &MimeEntity,
        shown: ShownAs,
        max: usize,
    ) -> io::Result<LeafContent> {
        let mut defects = Defects::default();
        let mut read = leaf::content(self.source, entity, max, &mut defects)?;
        if defects.has(Defect::QuotedPrintableMalformed) && self.is_other(entity)? {
            self.defects.note(Defect::TransferEncodingUnknown);
            return Ok(LeafContent { bytes: vec![], size_bytes: None, is_other: true });
        }
        let open_max = self.limits.open_bytes_max;
        let (begin, size_bytes) = &read;
        let has_file = size_bytes.is_none() && uuencode::BEGIN.find(begin).is_some();
        if shown == ShownAs::Text && has_file && max < open_max {
            defects = Defects::default();
            read = leaf::content(self.source, entity, open_max, &mut defects)?;
        }
        defects.into_list().into_iter().for_each(|defect| self.defects.note(defect));
        let (bytes, size_bytes) = read;
        Ok(LeafContent { bytes, size_bytes, is_other: false })
    }

    /// Whether a part is not quoted-printable though it says so, as far as its beginning tells.
    fn is_other(&mut self, entity: &MimeEntity) -> io::Result<bool> {
        let start = source::read(self.source, &entity.body, SAMPLE_BYTES)?;
        Ok(is_other_than_quoted_printable(&start))
    }

    /// Notes where the html is. Several parts are joined in memory, because together they are not
    /// one range of the message.
    fn locate_html(&mut self, entity: &MimeEntity, html: &ReadHtml) -> io::Result<()> {
        if self.bodies.html.is_some() {
            self.bodies.html_source = None;
            return Ok(());
        }
        self.bodies.html_location.clone_from(&entity.content.location);
        let is_cut = html.size_bytes.is_none();
        let size_bytes = match html.size_bytes {
            Some(size_bytes) => size_bytes,
            None => leaf::size_bytes(self.source, entity, self.defects)?,
        };
        // The rest was not checked, so it may not be UTF-8.
        let unknown = is_cut.then_some(Charset::Whatwg(UTF_8));
        let charset = html.charset.or(unknown).map(|charset| charset.name().to_owned());
        self.bodies.html_source = Some((range(entity, charset), size_bytes));
        Ok(())
    }

    /// Notes where the text is. `is_whole`: no file was taken out of it.
    fn locate_text(&mut self, entity: &MimeEntity, charset: Option<Charset>, is_whole: bool) {
        let is_only = self.bodies.text.is_none() && is_whole;
        self.bodies.text_place = is_only.then(|| TextPlace {
            offset: entity.body.start,
            length: entity.body.end.saturating_sub(entity.body.start),
            encoding: entity.content.encoding,
            charset: charset.map(|charset| charset.name().to_owned()),
            flowed: entity.content.flowed,
        });
    }

    /// Adds a leaf to the files.
    fn file(&mut self, entity: &MimeEntity) -> io::Result<()> {
        let content = &entity.content;
        if let Some(encoding) = content.file_encoding
            && self.encoded_part(entity, encoding)?
        {
            return Ok(());
        }
        let size_bytes = leaf::size_bytes(self.source, entity, self.defects)?;
        let charset = content.charset.clone().filter(|_| content.media_type.starts_with("text/"));
        self.bodies.files.push(FileLeaf {
            declared_name: content.name().map(str::to_owned),
            name: content.name().map(str::to_owned),
            media_type: content.media_type.clone(),
            content_id: content.content_id.clone(),
            location: content.location.clone(),
            source: range(entity, charset),
            size_bytes,
            container: None,
        });
        Ok(())
    }
}

/// A part whose content is not encoded.
fn as_it_is(entity: &MimeEntity) -> MimeEntity {
    let mut entity = entity.clone();
    entity.content.encoding = TransferEncoding::Identity;
    entity
}

/// Whether a part is an alternative to others.
fn is_alternative(structure: &Structure, entity: &MimeEntity) -> bool {
    let holder = entity.parent.and_then(|parent| structure.entities.get(parent));
    holder.is_some_and(|holder| holder.content.media_type == "multipart/alternative")
}

/// Adds a piece to a body as [`push`] does, without a copy if it is all there is.
fn add(body: &mut Option<String>, piece: String, bytes_max: usize, defects: &mut Defects) {
    match body {
        Some(_) => push(body, &piece, bytes_max, defects),
        None => *body = Some(piece),
    }
}

/// The charset that a text declares. Html that is not UTF-8 may name its charset itself. Html is
/// never read as UTF-7, because markup could hide in it.
fn declared(part: &ContentFields, shown: ShownAs, content: &[u8]) -> Option<String> {
    let is_plain = |label: &String| match Charset::for_label(label) {
        Some(Charset::Utf7 | Charset::Utf32 { .. }) => false,
        Some(Charset::Whatwg(encoding)) => encoding.is_ascii_compatible() || part.charset.is_some(),
        Some(Charset::Page(_) | Charset::Iso2022Kr | Charset::Iso2022Cn | Charset::Hz) | None => {
            true
        }
    };
    match shown {
        ShownAs::Text => part.charset.clone(),
        ShownAs::Html if part.charset.is_some() => part.charset.clone().filter(is_plain),
        ShownAs::Html if std::str::from_utf8(content).is_ok() => None,
        ShownAs::Html => html::charset(content).filter(is_plain),
    }
}

fn range(entity: &MimeEntity, charset: Option<String>) -> PartSource {
    PartSource::Range {
        offset: entity.body.start,
        length: entity.body.end.saturating_sub(entity.body.start),
        encoding: entity.content.encoding,
        charset,
    }
}
