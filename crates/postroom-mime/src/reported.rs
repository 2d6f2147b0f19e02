//! Finds the report among the parts of a message, and the Message-ID of the message that it is
//! about.
//!
//! The report is a part of a `multipart/report`. The message that it is about stands behind it,
//! with its content or without. If the report and that header name different messages, none is
//! named.
//!
//! Standards: RFC 6522, RFC 3464, RFC 8098.

use crate::charset;
use crate::charset::Detection;
use crate::defect::Defects;
use crate::header;
use crate::header::LineEnd;
use crate::header::Scan;
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

/// The report of a message. `None`: it is none.
///
/// # Errors
///
/// Those of the source.
pub(crate) fn find<S: ByteSource>(
    source: &mut S,
    entities: &[MimeEntity],
    limits: &ParserLimits,
) -> io::Result<Option<Report>> {
    let found = entities.iter().enumerate().find_map(|(at, entity)| {
        let kind = match &*entity.content.media_type {
            "message/delivery-status" | "message/global-delivery-status" => {
                ReportKind::DeliveryStatus
            }
            "message/disposition-notification" | "message/global-disposition-notification" => {
                ReportKind::DispositionNotification
            }
            _ => return None,
        };
        let holder = entities.get(entity.parent?)?;
        (&*holder.content.media_type == "multipart/report").then_some((at, entity, kind))
    });
    let Some((at, entity, kind)) = found else {
        return Ok(None);
    };
    let bytes = content(source, entity, REPORT_BYTES_MAX)?;
    let text = charset::decode(bytes, Some("utf-8"), &mut Detection::default()).text;
    let mut report = Report::read(kind, &text);
    let behind = entities.iter().skip(at + 1);
    let mut returned = behind.filter(|other| other.parent == entity.parent && is_returned(other));
    if let Some(returned) = returned.next() {
        let start = content(source, returned, HEADER_BYTES_MAX)?;
        let mut ids = MessageIds::default();
        report.message_id.iter().for_each(|id| ids.add(id));
        message_ids(&start, limits, &mut ids)?;
        report.message_id = ids.one();
    }
    Ok(Some(report))
}

/// Whether a part is the message that a report is about, or its header.
fn is_returned(entity: &MimeEntity) -> bool {
    matches!(
        &*entity.content.media_type,
        "message/rfc822"
            | "message/global"
            | "message/global-headers"
            | "message/partial"
            | "text/rfc822-headers"
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
