//! A message that is embedded in TNEF, as a message that every reader knows.

use bytes::Bytes;

use crate::compose;
use crate::compose::{Address, Draft, DraftFile, FileContent};
use crate::tnef::message::{TnefMessage, TnefRecipient};
use crate::tnef::{Attachment, Tnef};

/// Stands for an address that is none of the internet (X.500, or missing).
const NO_ADDRESS: &str = "unknown@tnef.invalid";

/// Composes an embedded message. `number` tells it from the others of its stream.
pub(crate) fn compose(tnef: Tnef, found: &TnefMessage<'_>, number: usize) -> Option<Vec<u8>> {
    let (name, address) = &tnef.from;
    let from = to_address(name.as_deref(), address.as_deref());
    let has_html = tnef.html.is_some();
    let (inlines, mut attachments): (Vec<_>, Vec<_>) = tnef
        .attachments
        .into_iter()
        .map(file)
        .partition(|file| has_html && file.content_id.is_some());
    if let Some(rtf) = tnef.rtf {
        attachments.push(DraftFile {
            name: "message.rtf".to_owned(),
            media_type: "application/rtf".to_owned(),
            content_id: None,
            content: FileContent::Bytes(Bytes::from(rtf)),
        });
    }
    let mut draft = Draft {
        from,
        to: recipients(found, |kind| kind != 2 && kind != 3),
        cc: recipients(found, |kind| kind == 2),
        subject: flat(tnef.subject.as_deref().unwrap_or_default()),
        text: tnef.text,
        html: tnef.html,
        inlines,
        attachments,
        message_id: flat(tnef.message_id.as_deref().unwrap_or_default()),
        date_ms: tnef.sent_ms.unwrap_or(0),
        ..Draft::default()
    };
    compose::compose_bytes(&draft).ok().or_else(|| {
        draft.message_id = format!("embedded-{number}@tnef.invalid");
        compose::compose_bytes(&draft).ok()
    })
}

/// Names the file for an embedded message.
pub(crate) fn name(tnef: &Tnef, name: Option<&str>) -> String {
    let name = tnef.subject.as_deref().or(name).unwrap_or("message");
    format!("{name}.eml")
}

fn recipients(found: &TnefMessage<'_>, fits: impl Fn(u32) -> bool) -> Vec<Address> {
    let line = |recipient: &TnefRecipient<'_>| {
        let name = recipient.name.and_then(|name| name.line(found.code_page));
        let address = recipient.address.and_then(|address| address.line(found.code_page));
        to_address(name.as_deref(), address.as_deref())
    };
    found.recipients.iter().filter(|recipient| fits(recipient.kind)).map(line).collect()
}

fn to_address(name: Option<&str>, address: Option<&str>) -> Address {
    let sound = address
        .filter(|address| compose::wire_address(address).is_ok_and(|wire| !wire.needs_smtp_utf8));
    Address { name: name.map(flat), address: sound.unwrap_or(NO_ADDRESS).to_owned() }
}

fn file(file: Attachment) -> DraftFile {
    let media_type = file.media_type.as_deref().unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"/!#$&-^_.+".contains(&byte);
    let sound =
        essence.bytes().all(fit) && essence.split('/').filter(|half| !half.is_empty()).count() == 2;
    let named = |byte: u8| byte.is_ascii_graphic() && !b"<>".contains(&byte);
    let content_id = file.content_id.as_deref().map(flat);
    DraftFile {
        name: flat(file.name.as_deref().unwrap_or_default()),
        media_type: if sound { essence.to_owned() } else { String::new() },
        content_id: content_id.filter(|id| id.bytes().all(named)),
        content: FileContent::Bytes(Bytes::from(file.content)),
    }
}

/// Makes one line of a text.
fn flat(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}
