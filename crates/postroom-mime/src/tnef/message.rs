//! One message in TNEF, read from its attributes; embedded messages are left for later.

use crate::tnef::attribute::{Attributes, Level};
use crate::tnef::cursor::Cursor;
use crate::tnef::mapi::{BINARY, MapiProperties, MapiProperty, OBJECT, STRING8, UNICODE};
use crate::tnef::{TnefDefect, code_page};

/// What was found of a message; all borrowed from the stream.
#[derive(Debug, Default)]
pub(crate) struct TnefMessage<'a> {
    /// Code page of strings.
    pub code_page: Option<u32>,
    /// Code page of the HTML (`PR_INTERNET_CPID`).
    pub internet_code_page: Option<u32>,
    /// `attSubject` or `PR_SUBJECT`.
    pub subject: Option<TnefText<'a>>,
    /// Name of the sender.
    pub from_name: Option<TnefText<'a>>,
    /// Address of the sender, which may be an X.500 one.
    pub from_address: Option<TnefText<'a>>,
    /// The Message-ID.
    pub message_id: Option<TnefText<'a>>,
    /// When it was sent, as a Windows file time.
    pub sent: Option<u64>,
    /// Plain text.
    pub text: Option<TnefText<'a>>,
    /// HTML.
    pub html: Option<TnefText<'a>>,
    /// Compressed RTF.
    pub rtf: Option<&'a [u8]>,
    /// Recipients: kind (1 to, 2 cc, 3 bcc), name, address.
    pub recipients: Vec<TnefRecipient<'a>>,
    /// Attachments.
    pub attachments: Vec<FoundFile<'a>>,
    /// What was malformed.
    pub defects: Vec<TnefDefect>,
}

/// A recipient of a message.
#[derive(Debug, Default)]
pub(crate) struct TnefRecipient<'a> {
    /// 1 to, 2 cc, 3 bcc.
    pub kind: u32,
    /// Display name.
    pub name: Option<TnefText<'a>>,
    /// Address, which may be an X.500 one.
    pub address: Option<TnefText<'a>>,
}

/// What was found of an attachment.
#[derive(Debug, Default)]
pub(crate) struct FoundFile<'a> {
    /// `PR_ATTACH_LONG_FILENAME`.
    pub name_long: Option<TnefText<'a>>,
    /// `PR_ATTACH_FILENAME`.
    pub name_short: Option<TnefText<'a>>,
    /// `attAttachTransportFilename`.
    pub name_transport: Option<TnefText<'a>>,
    /// `attAttachTitle`.
    pub title: Option<TnefText<'a>>,
    /// `PR_DISPLAY_NAME`.
    pub name_display: Option<TnefText<'a>>,
    /// `PR_ATTACH_MIME_TAG`.
    pub media_type: Option<TnefText<'a>>,
    /// `PR_ATTACH_CONTENT_ID`.
    pub content_id: Option<TnefText<'a>>,
    /// `PR_ATTACH_CONTENT_LOCATION`.
    pub content_location: Option<TnefText<'a>>,
    /// `PR_ATTACHMENT_HIDDEN`.
    pub hidden: bool,
    /// The content: `attAttachData` or `PR_ATTACH_DATA_BIN`.
    pub content: Option<&'a [u8]>,
    /// The content as an object, behind the name of its interface.
    pub object: Option<&'a [u8]>,
    /// The message that the object is.
    pub message: Option<&'a [u8]>,
}

/// Characters that are not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TnefText<'a> {
    /// In the code page.
    Narrow(&'a [u8]),
    /// In UTF-16.
    Wide(&'a [u8]),
}

impl TnefText<'_> {
    /// Decodes the text up to its first NUL, without white space around it. `None` if it is empty.
    pub(crate) fn line(self, code_page: Option<u32>) -> Option<String> {
        let text = self.decode(code_page);
        let line = text.split('\0').next().unwrap_or_default().trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// Decodes the text, without the NULs at its end. `None` if it is empty.
    pub(crate) fn body(self, code_page: Option<u32>) -> Option<String> {
        let mut text = self.decode(code_page);
        text.truncate(text.trim_end_matches('\0').len());
        (!text.is_empty()).then_some(text)
    }

    fn decode(self, code_page: Option<u32>) -> String {
        match self {
            TnefText::Narrow(bytes) => code_page::decode(bytes, code_page),
            TnefText::Wide(bytes) => code_page::decode_utf16(bytes),
        }
    }
}

/// `IID_IMessage`: what the object of an embedded message begins with.
const MESSAGE_INTERFACE: [u8; 16] = [7, 3, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
/// Attachments, and recipients, beyond this count are left out.
const COUNT_MAX: usize = 10_000;

/// Reads a stream. `None` if it is not TNEF.
pub(crate) fn read(bytes: &[u8]) -> Option<TnefMessage<'_>> {
    let mut attributes = Attributes::open(bytes)?;
    let mut found = TnefMessage::default();
    for attribute in attributes.by_ref() {
        if !attribute.is_sound {
            found.defect(TnefDefect::Checksum);
        }
        match attribute.level {
            Level::Message => found.message_attribute(attribute.id, attribute.value),
            Level::Attachment => found.attachment_attribute(attribute.id, attribute.value),
        }
    }
    if attributes.rest().iter().any(|byte| *byte != 0) {
        found.defect(TnefDefect::TrailingBytes);
    }
    Some(found)
}

impl<'a> TnefMessage<'a> {
    fn defect(&mut self, defect: TnefDefect) {
        if !self.defects.contains(&defect) {
            self.defects.push(defect);
        }
    }

    fn message_attribute(&mut self, id: u16, value: &'a [u8]) {
        let narrow = TnefText::Narrow(value);
        match id {
            0x8004 => self.subject = self.subject.or(Some(narrow)),
            0x800c => self.text = self.text.or(Some(narrow)),
            0x9003 => self.properties(value),
            0x9004 => self.recipients(value),
            0x9007 => {
                let number = value.get(..4).and_then(|head| head.try_into().ok());
                self.code_page = number.map(u32::from_le_bytes).or(self.code_page);
            }
            _ => {}
        }
    }

    fn properties(&mut self, value: &'a [u8]) {
        let mut properties = MapiProperties::new(value);
        for property in properties.by_ref() {
            self.property(property);
        }
        if !properties.is_done() {
            self.defect(TnefDefect::Properties);
        }
    }

    fn property(&mut self, property: MapiProperty<'a>) {
        let text = text(property);
        match property.id {
            0x0037 => self.subject = text.or(self.subject),
            0x0c1a => self.from_name = self.from_name.or(text),
            0x0042 => self.from_name = text.or(self.from_name),
            0x0c1f | 0x0065 => self.from_address = self.from_address.or(text),
            0x5d01 | 0x5d02 => self.from_address = text.or(self.from_address),
            0x0039 => self.sent = number(property.value).or(self.sent),
            0x0e06 | 0x3007 => self.sent = self.sent.or(number(property.value)),
            0x1000 => self.text = text.or(self.text),
            0x1009 => self.rtf = self.rtf.or(Some(property.value)),
            0x1013 => self.html = text.or(Some(TnefText::Narrow(property.value))),
            0x1035 => self.message_id = text,
            0x3fde => self.internet_code_page = short(property.value),
            0x3ffd => self.code_page = self.code_page.or(short(property.value)),
            _ => {}
        }
    }

    fn recipients(&mut self, value: &'a [u8]) {
        let mut cursor = Cursor::new(value);
        let mut left = cursor.u32().unwrap_or(0);
        // A row takes four octets at least, so a count that lies ends with the octets.
        while left > 0 && cursor.rest().len() >= 4 {
            left -= 1;
            if self.recipients.len() == COUNT_MAX {
                self.defect(TnefDefect::Count);
                return;
            }
            let mut properties = MapiProperties::at(cursor);
            let mut recipient = TnefRecipient::default();
            for property in properties.by_ref() {
                let text = text(property);
                match property.id {
                    0x0c15 => recipient.kind = short(property.value).unwrap_or(0),
                    0x3001 => recipient.name = text,
                    0x3003 => recipient.address = recipient.address.or(text),
                    0x39fe => recipient.address = text.or(recipient.address),
                    _ => {}
                }
            }
            if !properties.is_done() {
                self.defect(TnefDefect::Properties);
                return;
            }
            cursor = properties.into_cursor();
            if recipient.name.is_some() || recipient.address.is_some() {
                self.recipients.push(recipient);
            }
        }
    }

    fn attachment_attribute(&mut self, id: u16, value: &'a [u8]) {
        const REND_DATA: u16 = 0x9002;
        let full = self.attachments.len() >= COUNT_MAX;
        if id == REND_DATA || self.attachments.is_empty() {
            if full {
                self.defect(TnefDefect::Count);
                return;
            }
            self.attachments.push(FoundFile::default());
        }
        let mut whole = true;
        if let Some(file) = self.attachments.last_mut() {
            match id {
                0x800f => file.content = file.content.or(Some(value)),
                0x8010 => file.title = file.title.or(Some(TnefText::Narrow(value))),
                0x9001 => file.name_transport = Some(TnefText::Narrow(value)),
                0x9005 => whole = file.properties(value),
                _ => {}
            }
        }
        if !whole {
            self.defect(TnefDefect::Properties);
        }
    }
}

impl<'a> FoundFile<'a> {
    /// Reads the properties; tells whether all could be read.
    fn properties(&mut self, value: &'a [u8]) -> bool {
        let mut properties = MapiProperties::new(value);
        for property in properties.by_ref() {
            let text = text(property);
            match property.id {
                0x3001 => self.name_display = text,
                0x3701 => self.content(property),
                0x3704 => self.name_short = text,
                0x3707 => self.name_long = text,
                0x370e => self.media_type = text,
                0x3712 => self.content_id = text,
                0x3713 => self.content_location = text,
                0x7ffe => self.hidden = property.value.first() == Some(&1),
                _ => {}
            }
        }
        properties.is_done()
    }

    fn content(&mut self, property: MapiProperty<'a>) {
        if property.kind != OBJECT {
            self.content = Some(property.value);
        } else if let Some((interface, object)) = property.value.split_first_chunk::<16>() {
            self.object = Some(object);
            if *interface == MESSAGE_INTERFACE {
                self.message = Some(object);
            }
        }
    }
}

fn text(property: MapiProperty<'_>) -> Option<TnefText<'_>> {
    match property.kind {
        STRING8 => Some(TnefText::Narrow(property.value)),
        UNICODE => Some(TnefText::Wide(property.value)),
        BINARY => None,
        _ => None,
    }
}

fn short(value: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(value.get(..4)?.try_into().ok()?))
}

fn number(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.get(..8)?.try_into().ok()?))
}
