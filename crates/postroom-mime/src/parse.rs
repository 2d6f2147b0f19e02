//! Decomposition: from the bytes of a message to its fields, bodies and files.
//!
//! ```text
//!   bytes ──► structure ──► fields (charset of the body known)
//!                 └───────► bodies and files ──► TNEF ──► inlines, names ──► preview, security
//! ```
//!
//! Its only errors are those of a file. Messages in memory and in files take the same path.

use crate::body::Bodies;
use crate::body::BodyReader;
use crate::body::FileLeaf;
use crate::calendar;
use crate::charset;
use crate::charset::Charset;
use crate::charset::Detection;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoded_multipart;
use crate::field_text::FieldText;
use crate::fields;
use crate::file_name::FileNames;
use crate::files;
use crate::html;
use crate::leaf;
use crate::limits::ParserLimits;
use crate::message::BodyKind;
use crate::message::Message;
use crate::message::Part;
use crate::message::PartSource;
use crate::preview;
use crate::reported;
use crate::security;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::source::Windows;
use crate::structure;
use crate::structure::Structure;
use std::borrow::Cow;
use std::io;
use std::io::Read;
use std::io::Seek;

/// The version of the parser. It grows with each release in which the same bytes give another
/// result.
pub const PARSER_VERSION: u32 = 6;

/// How much html is read for a preview.
const PREVIEW_HTML_BYTES: usize = 4 << 10;

/// Decomposes a message in memory, with the usual limits.
#[must_use]
pub fn parse(message: &[u8]) -> Message {
    // Memory cannot fail.
    parse_source(&mut Slice(message), &ParserLimits::default()).unwrap_or_default()
}

/// Decomposes a message in a file, of which only windows are in memory.
///
/// # Errors
///
/// Those of the file.
pub fn parse_reader(message: impl Read + Seek, limits: &ParserLimits) -> io::Result<Message> {
    parse_source(&mut Windows::new(message)?, limits)
}

/// Decomposes a message of any source.
///
/// # Errors
///
/// Those of the source.
pub(crate) fn parse_source<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
) -> io::Result<Message> {
    parse_within(source, limits, 0)
}

/// The same, of a message out of which `depth` encoded multiparts were opened.
fn parse_within<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
    depth: usize,
) -> io::Result<Message> {
    let mut defects = Defects::default();
    let structure = structure::scan(source, limits, &mut defects)?;
    let entities = &structure.entities;
    let mut met = Defects::default();
    if let Some(opened) = encoded_multipart::open(source, entities, limits, depth, &mut met)? {
        let mut message = parse_within(&mut Slice(&opened.bytes), limits, depth + 1)?;
        opened.place(&mut message)?;
        let is_new = |defect: &Defect| !message.defects.contains(defect);
        let met: Vec<_> = met.into_list().into_iter().filter(is_new).collect();
        message.defects.extend(met);
        return Ok(message);
    }
    met.into_list().into_iter().for_each(|defect| defects.note(defect));
    decompose(source, limits, &structure, defects)
}

/// The message of this structure.
fn decompose<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
    structure: &Structure,
    mut defects: Defects,
) -> io::Result<Message> {
    let mut message = Message { parser_version: PARSER_VERSION, ..Message::default() };
    let mut text = FieldText {
        fallback: body_charset(structure),
        words_left: limits.encoded_words_max,
        detection: Detection::default(),
        defects: &mut defects,
    };
    if structure.fields.is_empty() {
        text.defects.note(Defect::HeaderMissing);
        message.raw_reason = Some("the message has no header field".to_owned());
    } else {
        fields::read(source, &structure.fields, &mut text, &mut message)?;
        fields::bound(&mut message, limits.addresses_max, &mut defects);
    }
    let mut reader = BodyReader {
        source,
        limits,
        detection: Detection::default(),
        defects: &mut defects,
        bodies: Bodies::default(),
        has_text: false,
        has_html: false,
        depth: 0,
    };
    reader.read(structure)?;
    let mut bodies = reader.bodies;
    files::open_tnef(source, limits, &mut bodies, &mut defects)?;
    files::name_messages(source, &mut bodies)?;
    message.calendar = calendar_of(source, limits, &bodies)?;
    message.report = reported::find(source, &structure.entities, &message.headers, limits)?;
    let found = security::recognise(&structure.entities, bodies.text.as_deref());
    message.security = security::stronger(found, bodies.security);
    show(bodies, limits, &mut message);
    message.defects = defects.into_list();
    Ok(message)
}

/// The charset of the first text that declares one other than ASCII. Bytes of the header may be in
/// it.
fn body_charset(structure: &Structure) -> Option<Charset> {
    let texts =
        structure.entities.iter().filter(|entity| entity.content.media_type.starts_with("text/"));
    texts.filter_map(|entity| entity.content.charset.as_deref()).find_map(charset::named)
}

/// The first calendar among the files, or the text if it is one.
fn calendar_of<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
    bodies: &Bodies,
) -> io::Result<Option<calendar::Calendar>> {
    let mut detection = Detection::default();
    for file in bodies.files.iter().filter(|file| is_calendar(file)) {
        let content = leaf::content_at(source, &file.source, limits.open_bytes_max)?;
        let label = match &file.source {
            PartSource::Range { charset, .. } => charset.clone(),
            PartSource::Bytes(_) => None,
        };
        let text = charset::decode(content, label.as_deref(), &mut detection).text;
        if let Some(found) = calendar::summarise(&text) {
            return Ok(Some(found));
        }
    }
    Ok(bodies.text.as_deref().and_then(calendar::summarise))
}

/// Whether a file says that it is a calendar, by its type or its name.
fn is_calendar(file: &FileLeaf) -> bool {
    let is_type = matches!(
        &*file.media_type,
        "text/calendar"
            | "application/ics"
            | "text/x-vcalendar"
            | "application/calendar"
            | "text/x-icalendar"
            | "application/x-ics"
    );
    let name = file.name.as_deref().map(|name| name.trim_end().to_ascii_lowercase());
    let is_named = |end: &str| name.as_deref().is_some_and(|name| name.ends_with(end));
    is_type || [".ics", ".vcs", ".ical", ".ifb"].iter().any(|end| is_named(end))
}

/// Gives the bodies and files their places in the message.
fn show(bodies: Bodies, limits: &ParserLimits, message: &mut Message) {
    let referred = files::referred(&bodies);
    let Bodies { text, text_place, html, html_source, has_text, is_derived, files, .. } = bodies;
    message.text_place = text_place;
    let mut names = FileNames::default();
    if let Some(html) = &html {
        let joined = || (PartSource::Bytes(html.clone().into_bytes()), html.len() as u64);
        let (source, size_bytes) = html_source.unwrap_or_else(joined);
        message.html = Some(Part {
            name: "message.html".to_owned(),
            declared_name: None,
            media_type: Cow::Borrowed("text/html"),
            content_id: None,
            location: None,
            size_bytes,
            source,
            container: None,
        });
    }
    for (file, is_inline) in files.into_iter().zip(referred) {
        let part = Part {
            name: names.name(file.name.as_deref(), &file.media_type),
            declared_name: file.declared_name,
            media_type: file.media_type,
            content_id: file.content_id,
            location: file.location,
            size_bytes: file.size_bytes,
            source: file.source,
            container: file.container,
        };
        if is_inline {
            message.inlines.push(part);
        } else {
            message.attachments.push(part);
        }
    }
    message.kind = match (has_text, html.is_some()) {
        (true, true) => BodyKind::Alternative,
        (false, true) => BodyKind::Html,
        (true, false) => BodyKind::Text,
        (false, false) if text.is_some() => BodyKind::Text,
        (false, false) => BodyKind::Undefined,
    };
    let of_text = || preview::preview(text.as_deref()?, limits.preview_chars_max);
    let of_html = || {
        let shown = html::text(html.as_deref()?, PREVIEW_HTML_BYTES);
        preview::preview(&shown, limits.preview_chars_max)
    };
    message.preview = of_text().or_else(of_html);
    message.is_text_derived = is_derived;
    message.text = text;
    message.html_text = html;
}
