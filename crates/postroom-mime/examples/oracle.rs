//! Decompositions as JSON lines, in the form in which independent parsers are compared with ours.
//!
//! `oracle FILE-OR-DIRECTORY..` writes one line per message; mbox files are split. The comparison
//! has conventions of its own, and this is where they are applied: bodies are those of the parts
//! alone (no files taken out of them, nothing out of `winmail.dat`, no text of a multipart that
//! nothing delimits, no html made of text or text of html; texts with names and all parts of
//! `multipart/related` are bodies, other texts files), and files are those that are parts and no
//! multiparts, with the names that the message gives. Where our rules contradict the others on
//! purpose, theirs are applied: labels of charsets of single bytes are believed though the text is
//! UTF-8, a byte order mark hides the first field, and only boundaries that are declared delimit
//! parts.

#![expect(clippy::print_stdout, reason = "the lines are what it is for")]

use postroom_mime::Address;
use postroom_mime::Defect;
use postroom_mime::Defects;
use postroom_mime::Disposition;
use postroom_mime::Message;
use postroom_mime::ParserLimits;
use postroom_mime::Part;
use postroom_mime::PartSource;
use postroom_mime::Slice;
use postroom_mime::charset;
use postroom_mime::charset::Charset;
use postroom_mime::charset::Detection;
use postroom_mime::structure;
use postroom_mime::structure::MimeEntity;
use postroom_mime::unflow;
use serde_json::Value as Json;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::io::Cursor;
use std::path::Path;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    files.reverse();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let mut entries = fs::read_dir(&path)?
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()?;
            entries.sort();
            files.extend(entries.into_iter().rev());
            continue;
        }
        let bytes = fs::read(&path)?;
        let messages = split_mbox(&bytes);
        for (at, message) in messages.iter().enumerate() {
            let id = if messages.len() > 1 {
                format!("{}#{at}", path.display())
            } else {
                path.display().to_string()
            };
            println!("{}", line(&id, message, &path));
        }
    }
    Ok(())
}

fn line(id: &str, raw: &[u8], path: &Path) -> Json {
    let sha256 = hex(raw);
    let raw = behind_mark(raw);
    let limits = ParserLimits { boundary_passes_max: 0, ..ParserLimits::default() };
    let message = postroom_mime::parse_reader(Cursor::new(raw), &limits).unwrap_or_default();
    let structure = structure::scan(&mut Slice(raw), &limits, &mut Defects::default()).ok();
    let entities = structure.map(|structure| structure.entities).unwrap_or_default();
    let (texts, htmls) = bodies(&message, raw, &entities);
    let parts = message.attachments.iter().chain(&message.inlines);
    let mut attachments: Vec<Json> =
        parts.filter(|part| is_file(part, &entities)).map(|part| file(part, raw)).collect();
    attachments.extend(others(&message, raw, &entities));
    let defects: Vec<_> = message.defects.iter().map(|defect| defect.as_str()).collect();
    json!({
        "id": id,
        "file": path.file_name().map(|name| name.to_string_lossy()),
        "sha256": sha256,
        "subject": message.subject,
        "from": addresses(&message.from),
        "to": addresses(&message.to),
        "cc": addresses(&message.cc),
        "date": message.date_ms.map(|ms| ms.div_euclid(1000)),
        "message_id": message.message_id,
        "texts": texts,
        "htmls": htmls,
        "attachments": attachments,
        "defects": defects,
        "raw_reason": message.raw_reason,
    })
}

/// The message without a field that a byte order mark stands before.
fn behind_mark(raw: &[u8]) -> &[u8] {
    let Some(rest) = raw.strip_prefix(b"\xEF\xBB\xBF") else { return raw };
    let is_end = |at: &usize| {
        rest.get(*at) == Some(&b'\n') && !matches!(rest.get(at + 1), Some(b' ' | b'\t'))
    };
    (0..rest.len()).find(is_end).and_then(|end| rest.get(end + 1..)).unwrap_or(raw)
}

/// A text as its label says, where the charset has single bytes.
fn as_labelled(bytes: Vec<u8>, label: Option<&str>) -> String {
    let charset = label.and_then(charset::named).filter(|charset| match charset {
        Charset::Whatwg(encoding) => encoding.is_single_byte(),
        Charset::Page(_) => true,
        Charset::Utf7
        | Charset::Iso2022Kr
        | Charset::Iso2022Cn
        | Charset::Hz
        | Charset::Utf32 { .. } => false,
    });
    match charset {
        Some(charset) => charset.decode(&bytes).0,
        None => charset::decode(bytes, label, &mut Detection::default()).text,
    }
}

/// Whether a part counts: nothing out of another part, unless that is nothing but this file, and no
/// multipart that has no parts.
fn is_file(part: &Part, entities: &[MimeEntity]) -> bool {
    let is_alone = |entity: &MimeEntity| {
        entity.content.file_encoding.is_some()
            && entity.content.name() == part.declared_name.as_deref()
    };
    let is_body = |entity: &MimeEntity| is_at(entity, part) && is_body(entity);
    (part.container.is_none() || entities.iter().any(is_alone))
        && !entities.iter().any(is_body)
        && !part.media_type.starts_with("multipart/")
}

/// Whether an entity is a body by the conventions of the comparison.
fn is_body(entity: &MimeEntity) -> bool {
    let content = &entity.content;
    matches!(&*content.media_type, "text/plain" | "text/html")
        && content.disposition != Some(Disposition::Attachment)
}

fn is_at(entity: &MimeEntity, part: &Part) -> bool {
    match &part.source {
        PartSource::Range { offset, .. } => *offset == entity.body.start,
        PartSource::Bytes(_) => false,
    }
}

/// Parts that are files by the conventions, and shown or left out by us.
fn others(message: &Message, raw: &[u8], entities: &[MimeEntity]) -> Vec<Json> {
    let parts = || message.attachments.iter().chain(&message.inlines);
    let is_other = |entity: &&MimeEntity| {
        let kind = &*entity.content.media_type;
        let is_text = kind.starts_with("text/") && !matches!(kind, "text/plain" | "text/html");
        (is_text || kind == "application/applefile")
            && !entity.has_parts
            && !parts().any(|part| is_at(entity, part))
    };
    let shown = |entity: &MimeEntity| {
        let range =
            usize::try_from(entity.body.start).ok().zip(usize::try_from(entity.body.end).ok());
        let body = range.and_then(|(start, end)| raw.get(start..end)).unwrap_or_default();
        let bytes = entity.content.encoding.decode(body);
        json!({
            "filename": entity.content.name(),
            "content_type": entity.content.media_type,
            "size": bytes.len(),
            "sha256": hex(&normal(&entity.content.media_type, bytes)),
        })
    };
    entities.iter().filter(is_other).map(shown).collect()
}

fn addresses(list: &[Address]) -> Json {
    let real = list.iter().filter(|address| !address.address.is_empty());
    let shown = |who: &Address| {
        let name = who.name.as_deref().unwrap_or_default();
        json!({"name": name, "address": who.address})
    };
    real.map(shown).collect()
}

fn file(part: &Part, raw: &[u8]) -> Json {
    let bytes = part.decode(raw);
    json!({
        "filename": part.declared_name,
        "content_type": part.media_type,
        "size": part.size_bytes,
        "sha256": hex(&normal(&part.media_type, bytes)),
    })
}

/// Texts and embedded messages are compared with LF and without line ends at the end.
fn normal(media_type: &str, bytes: Vec<u8>) -> Vec<u8> {
    if !media_type.starts_with("text/") && !media_type.starts_with("message/") {
        return bytes;
    }
    let mut lines = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.into_iter().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
            lines.push(b'\n');
        } else {
            lines.push(byte);
        }
    }
    while lines.last() == Some(&b'\n') {
        lines.pop();
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether an alternative has several parts of one kind: the comparison joins them.
fn has_twins(entities: &[MimeEntity]) -> bool {
    let holder = |entity: &MimeEntity| {
        let parent = entity.parent?;
        let media_type = &entities.get(parent)?.content.media_type;
        (media_type == "multipart/alternative").then_some(parent)
    };
    let mut known = HashSet::new();
    entities.iter().any(|entity| match holder(entity) {
        Some(parent) => !known.insert((parent, &*entity.content.media_type)),
        None => false,
    })
}

/// The bodies of the message, or those of its parts alone where the two differ.
fn bodies(message: &Message, raw: &[u8], entities: &[MimeEntity]) -> (Vec<String>, Vec<String>) {
    let is_opened =
        message.attachments.iter().chain(&message.inlines).any(|part| part.container.is_some());
    let conventions =
        [Defect::BoundaryMissing, Defect::BoundaryUnused, Defect::CharsetWrong, Defect::TextOver];
    let is_odd = message.defects.iter().any(|defect| conventions.contains(defect));
    let is_joined = message.is_text_derived
        || message.html.as_ref().is_some_and(|html| matches!(html.source, PartSource::Bytes(_)));
    let shown = entities.iter().filter(|entity| !entity.has_parts && is_body(entity));
    let is_other = shown.clone().any(|entity| entity.content.name().is_some())
        || (shown.count() == 0 && message.text.is_some());
    if !is_opened && !is_odd && !is_joined && !is_other && !has_twins(entities) {
        return (
            message.text.clone().into_iter().collect(),
            message.html_text.clone().into_iter().collect(),
        );
    }
    let (mut texts, mut htmls) = (vec![], vec![]);
    for entity in entities.iter().filter(|entity| !entity.has_parts) {
        let content = &entity.content;
        let range =
            usize::try_from(entity.body.start).ok().zip(usize::try_from(entity.body.end).ok());
        let body = range.and_then(|(start, end)| raw.get(start..end)).unwrap_or_default();
        let decode = || as_labelled(content.encoding.decode(body), content.charset.as_deref());
        match content.media_type.as_ref() {
            _ if content.disposition == Some(Disposition::Attachment) => {}
            "text/plain" => {
                let text = decode().replace("\r\n", "\n");
                texts.push(content.flowed.map_or(text.clone(), |del_sp| unflow(&text, del_sp)));
            }
            "text/html" => htmls.push(decode()),
            _ => {}
        }
    }
    (texts, htmls)
}

/// The messages of an mbox file: each begins behind a line `From ..` with a year in it, at the
/// beginning or after an empty line. What is no mbox file is one message.
fn split_mbox(bytes: &[u8]) -> Vec<&[u8]> {
    if !bytes.starts_with(b"From ") {
        return vec![bytes];
    }
    let mut starts = vec![];
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..end).unwrap_or_default();
        let before = bytes.get(..at).unwrap_or_default();
        let is_apart =
            before.is_empty() || before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n");
        if is_apart && line.starts_with(b"From ") && line.ends_with(b"\n") && has_year(line) {
            starts.push(at..at + end);
        }
        at += end;
    }
    if starts.len() < 2 {
        return vec![bytes];
    }
    let ends = starts.iter().skip(1).map(|next| next.start).chain([bytes.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| bytes.get(start.end..end)).collect()
}

fn has_year(line: &[u8]) -> bool {
    let is_year = |four: &[u8]| {
        (four.starts_with(b"19") || four.starts_with(b"20")) && four.iter().all(u8::is_ascii_digit)
    };
    line.get(8..).unwrap_or_default().windows(4).take(200).any(is_year)
}
