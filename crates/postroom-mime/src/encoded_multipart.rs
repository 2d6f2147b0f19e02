//! Multiparts whose body is written in a transfer encoding as a whole, which RFC 2045 §6.4 forbids
//! and some senders do.
//!
//! ```text
//!   message ──► encoded body shows no delimiter, decoded it does ──► the same message with the
//!               body decoded ──► its parts, those in the decoded body with their bytes
//! ```
//! Standards: RFC 2045 §6.4.

use crate::charset;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::leaf;
use crate::limits::ParserLimits;
use crate::message::Message;
use crate::message::PartSource;
use crate::source;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::structure;
use crate::structure::MimeEntity;
use crate::structure::Structure;
use crate::structure::shows_parts;
use crate::transfer::TransferEncoding;
use std::borrow::Cow;
use std::io;
use std::ops::Range;

/// How deep encoded multiparts are opened in one another.
const DEPTH_MAX: usize = 3;
/// How much of a body is looked at before all of it.
const START_BYTES: usize = 64 << 10;

/// A message in which the bodies of encoded multiparts are decoded.
#[derive(Debug)]
pub(crate) struct DecodedMessage {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What was decoded, in order.
    pieces: Vec<DecodedPiece>,
}

#[derive(Debug)]
struct DecodedPiece {
    /// Where the body is in the message.
    written: Range<u64>,
    /// Where it is in the opened message.
    opened: Range<u64>,
}

/// The message with its encoded multiparts decoded. `None`: there is none, or the message is too
/// large. `depth`: how many lie around it.
///
/// # Errors
///
/// Those of the source.
pub(crate) fn open<S: ByteSource>(
    source: &mut S,
    entities: &[MimeEntity],
    limits: &ParserLimits,
    depth: usize,
    defects: &mut Defects,
) -> io::Result<Option<DecodedMessage>> {
    let is_encoded = |entity: &&MimeEntity| {
        entity.content.is_multipart()
            && entity.content.encoding != TransferEncoding::Identity
            && !entity.is_opaque
            && !entity.body.is_empty()
    };
    let max = limits.open_bytes_max;
    let mut opened = DecodedMessage { bytes: vec![], pieces: vec![] };
    let mut at = 0;
    for entity in entities.iter().filter(is_encoded) {
        // A part of one that is decoded is found in what that becomes.
        if entity.body.start < at {
            continue;
        }
        if depth >= DEPTH_MAX || source.size_bytes() > max as u64 {
            if !entity.has_parts {
                defects.note(Defect::OpenOver);
            }
            continue;
        }
        let Some(content) = decoded(source, entity, max, defects)? else { continue };
        opened.bytes.extend(source::read(source, &(at..entity.body.start), max)?);
        let start = opened.bytes.len() as u64;
        opened.bytes.extend(content);
        let end = opened.bytes.len() as u64;
        opened.pieces.push(DecodedPiece { written: entity.body.clone(), opened: start..end });
        at = entity.body.end;
    }
    if opened.pieces.is_empty() {
        return Ok(None);
    }
    opened.bytes.extend(source::read(source, &(at..source.size_bytes()), max)?);
    Ok(Some(opened))
}

/// The structure of a message in memory, with its encoded multiparts decoded in its bytes.
///
/// # Errors
///
/// None: memory cannot fail.
pub(crate) fn scan<'a>(
    message: &'a [u8],
    limits: &ParserLimits,
    defects: &mut Defects,
) -> io::Result<(Cow<'a, [u8]>, Structure)> {
    let mut message = Cow::Borrowed(message);
    let mut depth = 0;
    loop {
        let mut met = defects.clone();
        let mut source = Slice(&message);
        let structure = structure::scan(&mut source, limits, &mut met)?;
        let Some(opened) = open(&mut source, &structure.entities, limits, depth, defects)? else {
            met.into_list().into_iter().for_each(|defect| defects.note(defect));
            return Ok((message, structure));
        };
        message = Cow::Owned(opened.bytes);
        depth += 1;
    }
}

/// The decoded body of a multipart, if parts show there and not as it is written.
fn decoded<S: ByteSource>(
    source: &mut S,
    entity: &MimeEntity,
    max: usize,
    defects: &mut Defects,
) -> io::Result<Option<Vec<u8>>> {
    let declared = entity.content.boundary.as_deref();
    let shows = |body: &[u8]| declared.is_some_and(|name| shows_parts(body, Some(name)));
    let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
    // Most show it at once, and bodies lie in one another.
    for length in [length.min(START_BYTES), length] {
        let window = source.window(entity.body.start, length)?;
        if shows(window.get(..length).unwrap_or(window)) {
            return Ok(None);
        }
    }
    let mut met = Defects::default();
    let (content, _) = leaf::content(source, entity, max, &mut met)?;
    // A boundary that is only guessed counts where nothing else was found.
    let is_multipart = shows(&content) || (!entity.has_parts && shows_parts(&content, None));
    if is_multipart {
        met.into_list().into_iter().for_each(|defect| defects.note(defect));
    }
    Ok(is_multipart.then_some(content))
}

impl DecodedMessage {
    /// Brings the places in `message`, which was made of the opened message, to those in the
    /// original. What has no place there gets its bytes.
    ///
    /// # Errors
    ///
    /// None: memory cannot fail.
    pub(crate) fn place(&self, message: &mut Message) -> io::Result<()> {
        message.text_place = message.text_place.take().and_then(|mut place| {
            place.offset = self.original(place.offset, place.length)?;
            Some(place)
        });
        if let Some(html) = &mut message.html {
            let charset = match &html.source {
                PartSource::Range { charset, .. } => charset.clone(),
                PartSource::Bytes(_) => None,
            };
            self.place_part(&mut html.source)?;
            if let (PartSource::Bytes(bytes), Some(charset)) = (&mut html.source, charset) {
                // What is in memory is UTF-8.
                let mut decoder = charset::decoder(&charset);
                let mut text = decoder.push(bytes);
                text.push_str(&decoder.finish());
                *bytes = text.into_bytes();
                html.size_bytes = bytes.len() as u64;
            }
        }
        for part in message.inlines.iter_mut().chain(&mut message.attachments) {
            self.place_part(&mut part.source)?;
        }
        Ok(())
    }

    fn place_part(&self, place: &mut PartSource) -> io::Result<()> {
        let PartSource::Range { offset, length, .. } = place else { return Ok(()) };
        if let Some(original) = self.original(*offset, *length) {
            *offset = original;
            return Ok(());
        }
        *place = PartSource::Bytes(leaf::content_at(&mut Slice(&self.bytes), place, usize::MAX)?);
        Ok(())
    }

    /// Where a range of the opened message begins in the original. `None`: it is not there.
    fn original(&self, offset: u64, length: u64) -> Option<u64> {
        let end = offset.saturating_add(length);
        let is_within =
            |piece: &DecodedPiece| piece.opened.start < end && offset < piece.opened.end;
        if self.pieces.iter().any(is_within) {
            return None;
        }
        let before = self.pieces.iter().rfind(|piece| piece.opened.end <= offset);
        Some(before.map_or(offset, |piece| piece.written.end + (offset - piece.opened.end)))
    }
}
