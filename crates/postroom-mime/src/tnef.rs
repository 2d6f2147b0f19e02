//! TNEF, which some servers send as `winmail.dat`: a message of Outlook in one part.
//!
//! ```text
//!   stream ──► attribute ──► message ──► Tnef: bodies, attachments
//!                 mapi ────────┘  │  lzfu ──► rtf ──► html or text
//!                                 └──► embedded messages, composed as message/rfc822
//! ```
//!
//! Malformed input is not an error. Everything readable is read, and [`Tnef::defects`] says what
//! was wrong. There is no recursion, and every length is compared with the available bytes.
//!
//! Standards: MS-OXTNEF, MS-OXRTFCP, MS-OXRTFEX.

use crate::tnef::message::TnefMessage;

mod attribute;
mod code_page;
mod cursor;
mod embedded;
mod lzfu;
mod mapi;
mod message;
mod rtf;

/// A message that was packed as TNEF.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tnef {
    /// The subject.
    pub subject: Option<String>,
    /// The sender: name and address. The address may not be an internet address.
    pub from: (Option<String>, Option<String>),
    /// The Message-ID as it was written.
    pub message_id: Option<String>,
    /// When it was sent: Unix time in milliseconds.
    pub sent_ms: Option<i64>,
    /// The plain text.
    pub text: Option<String>,
    /// The HTML, decoded. A charset that it names no longer applies.
    pub html: Option<String>,
    /// The RTF, when neither HTML nor text was beside it or in it.
    pub rtf: Option<Vec<u8>>,
    /// The attachments in their order.
    pub attachments: Vec<Attachment>,
    /// What was malformed.
    pub defects: Vec<TnefDefect>,
}

/// A file that was packed as TNEF.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The best of the names that it has; not made harmless.
    pub name: Option<String>,
    /// The media type, if it has one; `message/rfc822` for an embedded message, which is composed.
    pub media_type: Option<String>,
    /// The Content-ID without angle brackets, by which the HTML refers to it.
    pub content_id: Option<String>,
    /// The Content-Location, by which the HTML refers to it.
    pub content_location: Option<String>,
    /// Whether Outlook would not list it: it is shown in the body.
    pub is_hidden: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// What is malformed in TNEF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TnefDefect {
    /// An attribute is cut off or its checksum is wrong.
    Checksum,
    /// There is something behind the last attribute.
    TrailingBytes,
    /// A list of properties is cut off or makes no sense.
    Properties,
    /// There are more attachments or recipients than are read.
    Count,
    /// Messages are embedded deeper than is read; the deeper ones stay as they are.
    Depth,
}

/// How much RTF of a stream is read, decompressed.
const RTF_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How deep messages are embedded in messages: three levels are opened.
const DEPTH_MAX: usize = 3;
/// How many messages are opened in all.
const MESSAGES_MAX: usize = 200;

/// Opens a TNEF stream. `None` if it is none. Embedded messages become attachments of type
/// `message/rfc822`.
#[must_use]
pub fn open(bytes: &[u8]) -> Option<Tnef> {
    let mut rtf_left = RTF_BYTES_MAX;
    let mut opened = vec![OpenedMessage::new(message::read(bytes)?, None, 0, &mut rtf_left)];
    let mut next = 0;
    while let Some(at) = opened.get(next) {
        let children: Vec<_> = if at.depth < DEPTH_MAX { at.embedded(next) } else { vec![] };
        for (place, found) in children {
            if opened.len() < MESSAGES_MAX {
                let depth = opened.get(place.0).map_or(0, |parent| parent.depth) + 1;
                opened.push(OpenedMessage::new(found, Some(place), depth, &mut rtf_left));
            }
        }
        next += 1;
    }
    // Children come behind their parents, so going backwards finishes each before it is needed.
    while let Some(last) = opened.pop() {
        let Some((parent, file)) = last.place else {
            return Some(last.tnef);
        };
        let number = opened.len();
        if let Some(parent) = opened.get_mut(parent) {
            parent.put(file, last.tnef, &last.found, number);
        }
    }
    None
}

/// A message on the way from found to read.
struct OpenedMessage<'a> {
    tnef: Tnef,
    found: TnefMessage<'a>,
    /// Which message holds it, as which attachment.
    place: Option<(usize, usize)>,
    depth: usize,
}

impl<'a> OpenedMessage<'a> {
    fn new(
        found: TnefMessage<'a>,
        place: Option<(usize, usize)>,
        depth: usize,
        rtf_left: &mut usize,
    ) -> Self {
        let mut tnef = read(&found, rtf_left);
        if depth == DEPTH_MAX && found.attachments.iter().any(|file| file.message.is_some()) {
            tnef.defects.push(TnefDefect::Depth);
        }
        Self { tnef, found, place, depth }
    }

    /// Reads the messages that are embedded in this one, which is at `index`.
    fn embedded(&self, index: usize) -> Vec<((usize, usize), TnefMessage<'a>)> {
        let files = self.found.attachments.iter().enumerate();
        files.filter_map(|(at, file)| Some(((index, at), message::read(file.message?)?))).collect()
    }

    /// Makes a message of what the attachment at `file` holds; if none can be made, it stays.
    fn put(&mut self, file: usize, embedded: Tnef, found: &TnefMessage<'_>, number: usize) {
        for defect in &embedded.defects {
            if !self.tnef.defects.contains(defect) {
                self.tnef.defects.push(*defect);
            }
        }
        let Some(file) = self.tnef.attachments.get_mut(file) else {
            return;
        };
        let name = embedded::name(&embedded, file.name.as_deref());
        if let Some(bytes) = embedded::compose(embedded, found, number) {
            file.name = Some(name);
            file.media_type = Some("message/rfc822".to_owned());
            file.content = bytes;
        }
    }
}

/// Decodes what was found.
fn read(found: &TnefMessage<'_>, rtf_left: &mut usize) -> Tnef {
    let code_page = found.code_page;
    let line = |text: Option<message::TnefText<'_>>| text.and_then(|text| text.line(code_page));
    let mut tnef = Tnef {
        subject: line(found.subject),
        from: (line(found.from_name), line(found.from_address)),
        message_id: line(found.message_id),
        sent_ms: found.sent.and_then(unix_ms),
        text: found.text.and_then(|text| text.body(code_page)),
        html: found.html.and_then(|html| html.body(found.internet_code_page)),
        rtf: None,
        attachments: found.attachments.iter().map(|file| attachment(file, code_page)).collect(),
        defects: found.defects.clone(),
    };
    if let Some(rtf) = found.rtf
        && tnef.html.is_none()
    {
        body_of_rtf(rtf, rtf_left, &mut tnef);
    }
    tnef
}

/// Takes the body out of compressed RTF.
fn body_of_rtf(rtf: &[u8], rtf_left: &mut usize, tnef: &mut Tnef) {
    let Some(rtf) = lzfu::decompress(rtf, *rtf_left) else {
        return;
    };
    *rtf_left = rtf_left.saturating_sub(rtf.len());
    match rtf::read(&rtf) {
        Some(rtf::RtfBody::Html(html)) if !html.trim().is_empty() => tnef.html = Some(html),
        Some(rtf::RtfBody::Text(text)) if tnef.text.is_none() && !text.trim().is_empty() => {
            tnef.text = Some(text);
        }
        Some(rtf::RtfBody::Html(_) | rtf::RtfBody::Text(_)) | None => {}
    }
    if tnef.html.is_none() && tnef.text.is_none() && !rtf.is_empty() {
        tnef.rtf = Some(rtf);
    }
}

fn attachment(file: &message::FoundFile<'_>, code_page: Option<u32>) -> Attachment {
    let line = |text: Option<message::TnefText<'_>>| text.and_then(|text| text.line(code_page));
    let name = line(file.name_long)
        .or_else(|| line(file.name_transport))
        .or_else(|| line(file.name_short))
        .or_else(|| line(file.title))
        .or_else(|| line(file.name_display));
    let content_id = line(file.content_id);
    let content = file.content.or(file.object).unwrap_or_default();
    Attachment {
        name,
        media_type: line(file.media_type).filter(|media_type| media_type.contains('/')),
        content_id: content_id.map(|id| id.trim_matches(['<', '>']).to_owned()),
        content_location: line(file.content_location),
        is_hidden: file.hidden,
        content: content.to_vec(),
    }
}

/// Converts a Windows file time, which counts 100 ns from the year 1601.
fn unix_ms(file_time: u64) -> Option<i64> {
    const EPOCH_MS: i64 = 11_644_473_600_000;
    let ms = i64::try_from(file_time / 10_000).ok()?;
    (ms > 0).then_some(ms - EPOCH_MS)
}

#[cfg(test)]
mod tests;
