//! What a message shows and what it carries: its leaves sorted into text, html and files.
//!
//! ```text
//!   leaves ──► text/plain, text/html, not an attachment ──► text, html (joined in order)
//!         └──► all else ──► files ──► referred to by the html? inlines : attachments
//!                             └──► TNEF is opened; encoded files come out of the texts
//! ```
//!
//! Nothing is lost: what is not shown is a file.
//!
//! Standards: RFC 2046, 2183, 2387, 2392, 2557, 3676.

use crate::charset;
use crate::charset::Charset;
use crate::charset::Detection;
use crate::content::Content;
use crate::content::Disposition;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::flowed;
use crate::html;
use crate::leaf;
use crate::limits::Limits;
use crate::message::Container;
use crate::message::PartSource;
use crate::plain;
use crate::source::Source;
use crate::structure::Entity;
use crate::structure::Structure;
use crate::uuencode;
use encoding_rs::UTF_8;
use std::borrow::Cow;
use std::io;

mod encoded;

/// How much of a part tells whether it is blank.
const BLANK_BYTES_MAX: usize = 1 << 10;

/// The bodies and files of a message, before files get their names.
#[derive(Debug, Default)]
pub struct Bodies {
    /// The plain text, if there is a part for it.
    pub text: Option<String>,
    /// The html as text.
    pub html: Option<String>,
    /// The html as a file; `None` when several parts were joined.
    pub html_source: Option<(PartSource, u64)>,
    /// Content-Location of the html: what relative addresses in it mean.
    pub html_location: Option<String>,
    /// Whether the text stands behind the html and is no alternative to it: a footer, often.
    pub is_behind_html: bool,
    /// All other leaves.
    pub files: Vec<File>,
}

/// A leaf that is a file.
#[derive(Debug)]
pub struct File {
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

/// What is read into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Text,
    Html,
}

/// Reads the leaves of a message.
pub struct Reader<'a, S> {
    /// The message.
    pub source: &'a mut S,
    /// The limits.
    pub limits: &'a Limits,
    /// Finds out charsets.
    pub detection: Detection,
    /// What was met.
    pub defects: &'a mut Defects,
    /// What was read.
    pub bodies: Bodies,
}

impl<S: Source> Reader<'_, S> {
    /// Sorts the leaves of a message.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn read(&mut self, structure: &Structure) -> io::Result<()> {
        for (at, entity) in structure.entities.iter().enumerate() {
            match shown(entity) {
                _ if entity.has_parts => {}
                Some(_) if self.is_outdone(structure, at)? => {}
                Some(kind) => {
                    if kind == Shown::Text && self.bodies.text.is_none() {
                        self.bodies.is_behind_html =
                            self.bodies.html.is_some() && !is_alternative(structure, entity);
                    }
                    self.text(entity, kind)?;
                }
                None if entity.content.is_multipart() && entity.body.is_empty() => {}
                None => self.file(entity)?,
            }
        }
        Ok(())
    }

    /// Whether the part behind one says the same better: of alternatives the last that is
    /// understood counts (RFC 2046 §5.1.4). Parts that have names or do not say what they are, that
    /// are blank, or have others between them are no alternatives.
    fn is_outdone(&mut self, structure: &Structure, at: usize) -> io::Result<bool> {
        let Some([one, next]) = structure.entities.get(at..at + 2) else {
            return Ok(false);
        };
        let is_plain = |entity: &Entity| {
            let content = &entity.content;
            content.is_typed && !content.is_multipart() && content.name().is_none()
        };
        if !is_alternative(structure, one)
            || one.parent != next.parent
            || shown(one) != shown(next)
            || !is_plain(one)
            || !is_plain(next)
        {
            return Ok(false);
        }
        let (start, _) =
            leaf::content(self.source, next, BLANK_BYTES_MAX, &mut Defects::default())?;
        Ok(!start.trim_ascii().is_empty())
    }

    /// Adds a leaf to a body.
    fn text(&mut self, entity: &Entity, shown: Shown) -> io::Result<()> {
        let have = match shown {
            Shown::Text => self.bodies.text.as_ref(),
            Shown::Html => self.bodies.html.as_ref(),
        };
        let is_first = have.is_none();
        let max = self.limits.text_bytes_max.saturating_sub(have.map_or(0, String::len));
        let (content, size_bytes) = self.content(entity, shown, max)?;
        let is_cut = size_bytes.is_none();
        let content = match shown {
            Shown::Text => self.encoded_files(&entity.content, content, is_cut),
            Shown::Html => content,
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
        match (shown, entity.content.flowed) {
            (Shown::Text, Some(del_sp)) => text = flowed::unflow(&text, del_sp),
            (Shown::Html, _) => self.html(entity, (is_first, decoded.charset), size_bytes)?,
            (Shown::Text, None) => {}
        }
        let body = match shown {
            Shown::Text => &mut self.bodies.text,
            Shown::Html => &mut self.bodies.html,
        };
        match body {
            Some(body) => {
                if !body.is_empty() && !text.is_empty() && !body.ends_with('\n') {
                    body.push('\n');
                }
                body.push_str(&text);
            }
            None => *body = Some(text),
        }
        Ok(())
    }

    /// The content of a text, of which `max` bytes are shown, and its size unless it was cut. It is
    /// read further where files stand in it.
    fn content(
        &mut self,
        entity: &Entity,
        shown: Shown,
        max: usize,
    ) -> io::Result<(Vec<u8>, Option<u64>)> {
        let mut defects = Defects::default();
        let mut read = leaf::content(self.source, entity, max, &mut defects)?;
        let open_max = self.limits.open_bytes_max;
        let (begin, size_bytes) = &read;
        let has_file = size_bytes.is_none() && uuencode::BEGIN.find(begin).is_some();
        if shown == Shown::Text && has_file && max < open_max {
            defects = Defects::default();
            read = leaf::content(self.source, entity, open_max, &mut defects)?;
        }
        defects.into_list().into_iter().for_each(|defect| self.defects.note(defect));
        Ok(read)
    }

    /// Notes where the html is: several parts are joined, so they are no range of the message.
    fn html(
        &mut self,
        entity: &Entity,
        (is_first, charset): (bool, Option<Charset>),
        size_bytes: Option<u64>,
    ) -> io::Result<()> {
        if !is_first {
            self.bodies.html_source = None;
            return Ok(());
        }
        self.bodies.html_location.clone_from(&entity.content.location);
        let is_cut = size_bytes.is_none();
        let size_bytes = match size_bytes {
            Some(size_bytes) => size_bytes,
            None => leaf::size_bytes(self.source, entity, self.defects)?,
        };
        // Of what was not looked at nobody knows whether it is UTF-8 to its end.
        let unknown = is_cut.then_some(Charset::Whatwg(UTF_8));
        let charset = charset.or(unknown).map(|charset| charset.name().to_owned());
        self.bodies.html_source = Some((range(entity, charset), size_bytes));
        Ok(())
    }

    /// Adds a leaf to the files.
    fn file(&mut self, entity: &Entity) -> io::Result<()> {
        let content = &entity.content;
        if let Some(encoding) = content.file_encoding
            && self.encoded_part(entity, encoding)?
        {
            return Ok(());
        }
        let size_bytes = leaf::size_bytes(self.source, entity, self.defects)?;
        let charset = content.charset.clone().filter(|_| content.media_type.starts_with("text/"));
        self.bodies.files.push(File {
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

/// Whether a part is an alternative to others.
fn is_alternative(structure: &Structure, entity: &Entity) -> bool {
    let holder = entity.parent.and_then(|parent| structure.entities.get(parent));
    holder.is_some_and(|holder| holder.content.media_type == "multipart/alternative")
}

/// Which body a leaf belongs to, if any.
fn shown(entity: &Entity) -> Option<Shown> {
    let content = &entity.content;
    if content.disposition == Some(Disposition::Attachment) {
        return None;
    }
    match &*content.media_type {
        "text/plain" => Some(Shown::Text),
        "text/html" => Some(Shown::Html),
        // Nothing delimits its parts: what stands there is all that can be shown.
        _ if content.is_multipart() && !entity.body.is_empty() && !entity.is_opaque => {
            Some(Shown::Text)
        }
        _ => None,
    }
}

/// The charset that a text declares. Html may name it itself, where it is not UTF-8 all the same;
/// it is never in UTF-7, in which markup would hide.
fn declared(part: &Content, shown: Shown, content: &[u8]) -> Option<String> {
    let is_plain = |label: &String| match Charset::for_label(label) {
        Some(Charset::Utf7 | Charset::Utf32 { .. }) => false,
        Some(Charset::Whatwg(encoding)) => encoding.is_ascii_compatible() || part.charset.is_some(),
        Some(Charset::Page(_) | Charset::Iso2022Kr | Charset::Iso2022Cn | Charset::Hz) | None => {
            true
        }
    };
    match shown {
        Shown::Text => part.charset.clone(),
        Shown::Html if part.charset.is_some() => part.charset.clone().filter(is_plain),
        Shown::Html if std::str::from_utf8(content).is_ok() => None,
        Shown::Html => html::charset(content).filter(is_plain),
    }
}

fn range(entity: &Entity, charset: Option<String>) -> PartSource {
    PartSource::Range {
        offset: entity.body.start,
        length: entity.body.end.saturating_sub(entity.body.start),
        encoding: entity.content.encoding,
        charset,
    }
}
