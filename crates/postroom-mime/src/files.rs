//! Opens files inside other files, names files without a name, and finds the files that the html
//! refers to.

use crate::body::Bodies;
use crate::body::FileLeaf;
use crate::charset::Detection;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::field_text::FieldText;
use crate::header;
use crate::header::LineEnd;
use crate::header::Scan;
use crate::html;
use crate::leaf;
use crate::limits::ParserLimits;
use crate::message::Container;
use crate::message::PartSource;
use crate::plain;
use crate::source;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::tnef;
use crate::transfer::TransferEncoding;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

/// How much of an attached message is read to find its subject.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// What TNEF begins with.
const TNEF_SIGNATURE: [u8; 4] = [0x78, 0x9F, 0x3E, 0x22];
/// How many messages are looked into for that.
const MESSAGES_MAX: usize = 200;

/// Opens TNEF. Its files become files of the message, and the original stays. Its bodies are used
/// if the message has none of its own.
///
/// # Errors
///
/// Those of the message's file.
pub(crate) fn open_tnef<S: ByteSource>(
    source: &mut S,
    limits: &ParserLimits,
    bodies: &mut Bodies,
    defects: &mut Defects,
) -> io::Result<()> {
    let mut opened = vec![];
    let mut left = limits.open_bytes_max as u64;
    for file in &bodies.files {
        if !is_tnef(source, file)? {
            continue;
        }
        if file.size_bytes > left {
            defects.note(Defect::OpenOver);
            continue;
        }
        left -= file.size_bytes;
        match tnef::open(&leaf::content_at(source, &file.source, limits.open_bytes_max)?) {
            Some(found) => opened.push(found),
            None => defects.note(Defect::TnefMalformed),
        }
    }
    for found in opened {
        if !found.defects.is_empty() {
            defects.note(Defect::TnefMalformed);
        }
        show_tnef(found.text, found.html, limits.text_bytes_max, bodies, defects);
        let rtf = found
            .rtf
            .map(|rtf| of_tnef(Some("body.rtf".to_owned()), Cow::Borrowed("application/rtf"), rtf));
        bodies.files.extend(rtf);
        for attachment in found.attachments {
            let declared = attachment.media_type.map(|declared| declared.to_ascii_lowercase());
            let media_type = match declared.filter(|declared| declared.contains('/')) {
                Some(declared) => Cow::Owned(declared),
                None => Cow::Borrowed("application/octet-stream"),
            };
            let mut file = of_tnef(attachment.name, media_type, attachment.content);
            file.content_id = attachment.content_id;
            file.location = attachment.content_location;
            bodies.files.push(file);
        }
    }
    Ok(())
}

/// Whether a file is TNEF: by its type or name, or, whatever it is called, by its first bytes.
fn is_tnef<S: ByteSource>(source: &mut S, file: &FileLeaf) -> io::Result<bool> {
    let is_told = matches!(&*file.media_type, "application/ms-tnef" | "application/vnd.ms-tnef")
        || file.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"));
    if is_told || !file.media_type.starts_with("application/") {
        return Ok(is_told);
    }
    Ok(leaf::content_at(source, &file.source, TNEF_SIGNATURE.len())?.starts_with(&TNEF_SIGNATURE))
}

/// Uses the bodies of TNEF: the text if the message has no other, the html if it has none. A
/// different text of the message is often a footer, so it is kept as well.
fn show_tnef(
    text: Option<String>,
    html: Option<String>,
    bytes_max: usize,
    bodies: &mut Bodies,
    defects: &mut Defects,
) {
    let is_blank = |body: &Option<String>| body.as_ref().is_none_or(|body| body.trim().is_empty());
    if !is_blank(&bodies.html) {
        return;
    }
    let text = text.map(|text| plain::plain(text, bytes_max, defects));
    let is_said = is_blank(&bodies.text)
        || text.as_deref().is_none_or(|text| {
            bodies
                .text
                .as_deref()
                .is_some_and(|own| start(own, usize::MAX).contains(&start(text, 60)))
        });
    let own = bodies.text.take();
    bodies.text_place = bodies.text_place.take().filter(|_| text.is_none());
    bodies.text = match (text, own) {
        (Some(text), own) if is_blank(&own) => Some(text),
        (Some(text), Some(own)) if !is_said => Some(format!("{}\n{own}", text.trim_end())),
        (_, own) => own,
    };
    bodies.has_text = !is_blank(&bodies.text);
    if let Some(html) = html {
        let size_bytes = html.len() as u64;
        bodies.html_source = Some((PartSource::Bytes(html.clone().into_bytes()), size_bytes));
        bodies.html = Some(plain::plain(html, bytes_max, defects));
    }
}

/// The first characters of a text without its blanks.
fn start(text: &str, chars_max: usize) -> String {
    text.chars().filter(|char| !char.is_whitespace()).take(chars_max).collect()
}

fn of_tnef(name: Option<String>, media_type: Cow<'static, str>, bytes: Vec<u8>) -> FileLeaf {
    FileLeaf {
        declared_name: name.clone(),
        name,
        media_type,
        content_id: None,
        location: None,
        size_bytes: bytes.len() as u64,
        source: PartSource::Bytes(bytes),
        container: Some(Container::Tnef),
    }
}

/// Names attached messages after their subjects.
///
/// # Errors
///
/// Those of the message's file.
pub(crate) fn name_messages<S: ByteSource>(source: &mut S, bodies: &mut Bodies) -> io::Result<()> {
    let is_unnamed = |file: &&mut FileLeaf| {
        file.name.is_none() && matches!(&*file.media_type, "message/rfc822" | "message/global")
    };
    for file in bodies.files.iter_mut().filter(is_unnamed).take(MESSAGES_MAX) {
        let subject = match &file.source {
            // Its bytes are as they stand in the message.
            PartSource::Range { offset, length, encoding: TransferEncoding::Identity, .. } => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX).min(HEADER_BYTES_MAX);
                let window = source.window(*offset, length)?;
                subject(window.get(..length).unwrap_or(window))?
            }
            PartSource::Range { .. } | PartSource::Bytes(_) => {
                subject(&leaf::content_at(source, &file.source, HEADER_BYTES_MAX)?)?
            }
        };
        if let Some(subject) = subject {
            file.name = Some(format!("{}.eml", subject.trim_end_matches('.')));
        }
    }
    Ok(())
}

/// The subject of a message of which `start` is the beginning.
fn subject(start: &[u8]) -> io::Result<Option<String>> {
    let limits = ParserLimits::default();
    let mut defects = Defects::default();
    let scan = Scan { start: 0, line_end: LineEnd::detect(start), is_root: true, limits: &limits };
    let header = header::scan(&mut Slice(start), scan, |_| false, &mut defects)?;
    let bytes =
        |range: &std::ops::Range<u64>| source::read(&mut Slice(start), range, HEADER_BYTES_MAX);
    for field in &header.fields {
        let name_bytes = field.name.end - field.name.start;
        if name_bytes == 7 && bytes(&field.name)?.eq_ignore_ascii_case(b"subject") {
            let mut text = FieldText {
                fallback: None,
                words_left: 1_000,
                detection: Detection::of_field(),
                defects: &mut defects,
            };
            let subject = text.unstructured(&bytes(&field.value)?);
            return Ok((!subject.is_empty()).then_some(subject));
        }
    }
    Ok(None)
}

/// For each file, whether the html refers to it: by Content-ID, or by Content-Location, literally
/// or relative to the location of the html.
#[must_use]
pub(crate) fn referred(bodies: &Bodies) -> Vec<bool> {
    let mut referred = vec![false; bodies.files.len()];
    let mut by_id: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_location: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, file) in bodies.files.iter().enumerate() {
        if let Some(id) = &file.content_id {
            by_id.entry(id).or_default().push(at);
        }
        if let Some(location) = &file.location {
            by_location.entry(location.trim()).or_default().push(at);
        }
    }
    let Some(html) =
        bodies.html.as_deref().filter(|_| !by_id.is_empty() || !by_location.is_empty())
    else {
        return referred;
    };
    let base = bodies.html_location.as_deref().and_then(|base| Some(base.rsplit_once('/')?.0));
    html::references(html, |url| {
        let found = match url.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("cid:")) {
            Some(_) => {
                let id = url.get(4..).unwrap_or_default().trim();
                by_id.get(id).or_else(|| by_id.get(unpercent(id).as_str()))
            }
            None if by_location.is_empty() => None,
            None => {
                let resolved = base.map(|base| format!("{base}/{url}")).unwrap_or_default();
                let found = by_location.get(url).or_else(|| by_location.get(resolved.as_str()));
                found.or_else(|| by_location.get(unpercent(url).as_str()))
            }
        };
        for at in found.into_iter().flatten() {
            if let Some(referred) = referred.get_mut(*at) {
                *referred = true;
            }
        }
    });
    referred
}

/// An address without percent encoding.
fn unpercent(url: &str) -> String {
    let mut bytes = Vec::with_capacity(url.len());
    crate::parameter::percent(url.as_bytes(), &mut bytes);
    crate::charset::decode_raw(&bytes, None, &mut Detection::of_field())
}
