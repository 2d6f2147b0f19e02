//! The content of one leaf, its transfer encoding undone.

use crate::defect::Defect;
use crate::defect::Defects;
use crate::message::PartSource;
use crate::source;
use crate::source::ByteSource;
use crate::structure::MimeEntity;
use crate::transfer::TransferEncoding;
use std::io;

/// How much is decoded at once.
const PIECE_BYTES: usize = 32 << 10;

/// At most `max` bytes of the content of a leaf, and its size unless it was cut.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn content<S: ByteSource>(
    source: &mut S,
    entity: &MimeEntity,
    max: usize,
    defects: &mut Defects,
) -> io::Result<(Vec<u8>, Option<u64>)> {
    let mut decoder = entity.content.encoding.decoder();
    let body_bytes = usize::try_from(entity.body.end - entity.body.start).unwrap_or(max);
    let mut content = Vec::with_capacity(body_bytes.min(max));
    let mut is_cut = false;
    source::pieces(source, &entity.body, |piece| {
        for piece in piece.chunks(PIECE_BYTES) {
            decoder.push(piece, &mut content);
            // A character more than the limit, so that what is cut is known to be.
            is_cut = content.len() > max.saturating_add(4);
            if is_cut {
                return false;
            }
        }
        true
    })?;
    if is_cut {
        defects.note(Defect::TextOver);
        content.truncate(max);
        return Ok((content, None));
    }
    decoder.finish(&mut content);
    if decoder.is_malformed() {
        malformed(entity.content.encoding, defects);
    }
    let size_bytes = content.len() as u64;
    Ok((content, Some(size_bytes)))
}

/// The content of a file, decoded, at most `max` bytes of it or a little more.
///
/// # Errors
///
/// Those of the message's file.
pub(crate) fn content_at<S: ByteSource>(
    source: &mut S,
    place: &PartSource,
    max: usize,
) -> io::Result<Vec<u8>> {
    let (offset, length, encoding) = match place {
        PartSource::Bytes(bytes) => return Ok(bytes.clone()),
        PartSource::Range { offset, length, encoding, .. } => (*offset, *length, *encoding),
    };
    let mut decoder = encoding.decoder();
    let mut content = Vec::new();
    let mut is_whole = true;
    source::pieces(source, &(offset..offset + length), |piece| {
        for piece in piece.chunks(max.clamp(1, 32 << 10)) {
            decoder.push(piece, &mut content);
            is_whole = content.len() <= max;
            if !is_whole {
                break;
            }
        }
        is_whole
    })?;
    if is_whole {
        decoder.finish(&mut content);
    }
    Ok(content)
}

/// How many bytes the content of a leaf has.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn size_bytes<S: ByteSource>(
    source: &mut S,
    entity: &MimeEntity,
    defects: &mut Defects,
) -> io::Result<u64> {
    let encoding = entity.content.encoding;
    if encoding == TransferEncoding::Identity {
        return Ok(entity.body.end.saturating_sub(entity.body.start));
    }
    let mut decoder = encoding.decoder();
    let (mut scratch, mut size_bytes) = (Vec::new(), 0);
    source::pieces(source, &entity.body, |piece| {
        for piece in piece.chunks(PIECE_BYTES) {
            size_bytes += decoder.count(piece, &mut scratch);
        }
        true
    })?;
    scratch.clear();
    decoder.finish(&mut scratch);
    if decoder.is_malformed() {
        malformed(encoding, defects);
    }
    Ok(size_bytes + scratch.len() as u64)
}

fn malformed(encoding: TransferEncoding, defects: &mut Defects) {
    match encoding {
        TransferEncoding::Base64 => defects.note(Defect::Base64Malformed),
        TransferEncoding::QuotedPrintable => defects.note(Defect::QuotedPrintableMalformed),
        TransferEncoding::Identity => {}
    }
}
