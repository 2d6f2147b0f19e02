//! Finds the report among the parts of a message, and the Message-ID of the message that it is
//! about.
//!
//! The report is a part of a `multipart/report`. Lists and gateways put it into another frame, or
//! leave it without one. Then it counts if it says what became of a recipient and is no file that
//! somebody attached. A report within an attached message is about another message. The message
//! that it is about stands behind it, with its content or without. If the report and that header
//! name different messages, none is named.
//!
//! Standards: RFC 6522, RFC 3464, RFC 8098.

use crate::charset;
use crate::charset::Detection;
use crate::content::Disposition;
use crate::defect::Defects;
use crate::header;
use crate::header::LineEnd;
use crate::header::Scan;
use crate::headers::Headers;
use crate::leaf;
use crate::limits::ParserLimits;
use crate::message::PartSource;
use crate::report::MessageIds;
use crate::report::Report;
use crate::report::ReportKind;
use crate::source;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::structure::MimeEntity;
use std::io;

/// How much of a report is read.
const REPORT_BYTES_MAX: usize = 256 << 10;
/// How much of the header of the returned message is read.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// The report of a message whose own header fields are `headers`. `None`: it is none.
///
/// # Errors
///
/// Those of the source.
pub(crate) fn find<S: ByteSource>(
    source: &mut S,
    entities: &[MimeEntity],
    headers: &Headers,
    limits: &ParserLimits,
) -> io::Result<Option<Report>> {
    for is_framed in [true, false] {
        for (at, entity) in entities.iter().enumerate() {
            let Some(kind) = kind(entity) else { continue };
            let holder = entity.parent.and_then(|parent| entities.get(parent));
            let is_here =
                holder.is_some_and(|holder| holder.content.media_type == "multipart/report");
            if is_here != is_framed || (!is_framed && is_file(entity) && !is_automatic(headers)) {
                continue;
            }
            let bytes = content(source, entity, REPORT_BYTES_MAX)?;
            let text = charset::decode(bytes, Some("utf-8"), &mut Detection::default()).text;
            let mut report = Report::read(kind, &text);
            if !is_framed && !report.tells() {
                continue;
            }
            if let Some(returned) = returned(entities, at) {
                let start = content(source, returned, HEADER_BYTES_MAX)?;
                let mut ids = MessageIds::default();
                report.message_id.iter().for_each(|id| ids.add(id));
                message_ids(&start, limits, &mut ids)?;
                report.message_id = ids.one();
            }
            return Ok(Some(report));
        }
    }
    Ok(None)
}

/// Which report a part is by its type.
fn kind(entity: &MimeEntity) -> Option<ReportKind> {
    match &*entity.content.media_type {
        "message/delivery-status" | "message/global-delivery-status" => {
            Some(ReportKind::DeliveryStatus)
        }
        "message/disposition-notification" | "message/global-disposition-notification" => {
            Some(ReportKind::DispositionNotification)
        }
        _ => None,
    }
}

/// Whether a part is a file, as that of a report is which a person passes on.
fn is_file(entity: &MimeEntity) -> bool {
    let content = &entity.content;
    content.disposition == Some(Disposition::Attachment) || content.name().is_some()
}

/// Whether a message says that no person wrote it (RFC 3834 §5, RFC 5321 §4.5.5).
fn is_automatic(headers: &Headers) -> bool {
    headers.iter().any(|(name, value)| {
        let value = value.trim();
        let is_answer = || !value.is_empty() && !word(value).eq_ignore_ascii_case("no");
        (name.eq_ignore_ascii_case("return-path") && value == "<>")
            || (name.eq_ignore_ascii_case("auto-submitted") && is_answer())
    })
}

/// The first word of a value that parameters and comments may follow.
fn word(value: &str) -> &str {
    value.split([';', '(', ' ']).next().unwrap_or_default()
}

/// The message that the report at `at` is about: behind it in its multipart, or else in the
/// nearest one around it.
fn returned(entities: &[MimeEntity], at: usize) -> Option<&MimeEntity> {
    let mut holder = entities.get(at)?.parent;
    while let Some(place) = holder {
        let mut behind = entities.iter().skip(at + 1);
        let found = behind.find(|other| other.parent == Some(place) && is_returned(other));
        if found.is_some() {
            return found;
        }
        holder = entities.get(place)?.parent;
    }
    None
}

/// Whether a part is the message that a report is about, or its header.
fn is_returned(entity: &MimeEntity) -> bool {
    matches!(
        &*entity.content.media_type,
        "message/rfc822"
            | "message/global"
            | "message/global-headers"
            | "message/partial"
            | "message/rfc822-headers"
            | "text/rfc822-headers"
            | "text/rfc822-header"
            | "text/rfc822"
    )
}

/// The beginning of the content of a part, decoded.
fn content<S: ByteSource>(source: &mut S, entity: &MimeEntity, max: usize) -> io::Result<Vec<u8>> {
    let place = PartSource::Range {
        offset: entity.body.start,
        length: entity.body.end.saturating_sub(entity.body.start),
        encoding: entity.content.encoding,
        charset: None,
    };
    let mut bytes = leaf::content_at(source, &place, max)?;
    bytes.truncate(max);
    Ok(bytes)
}

/// Adds the Message-ID of a message of which `start` is the beginning.
fn message_ids(start: &[u8], limits: &ParserLimits, ids: &mut MessageIds) -> io::Result<()> {
    let mut defects = Defects::default();
    let scan = Scan { start: 0, line_end: LineEnd::detect(start), is_root: true, limits };
    let header = header::scan(&mut Slice(start), scan, |_| false, &mut defects)?;
    for field in &header.fields {
        let bytes = |range| source::read(&mut Slice(start), range, HEADER_BYTES_MAX);
        if bytes(&field.name)?.trim_ascii().eq_ignore_ascii_case(b"message-id") {
            ids.add(std::str::from_utf8(&bytes(&field.value)?).unwrap_or_default());
        }
    }
    Ok(())
}
