//! Messages composed of any fields: what is not refused is fit for the wire.
//!
//! The input is split at `|` into the fields of a draft.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::compose::{Address, FileContent, Draft, DraftFile, compose, compose_bytes};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut fields = text.split('|').map(str::to_owned);
    let mut field = || fields.next().unwrap_or_default();
    let file = |name: String, media_type: String, content: String| DraftFile {
        content_id: Some(media_type.clone()).filter(|id| id.len() % 2 == 1),
        name,
        media_type,
        content: FileContent::Bytes(content.into_bytes().into()),
    };
    let mut draft = Draft {
        from: Address { name: Some(field()), address: field() },
        to: vec![Address { name: Some(field()), address: field() }],
        subject: field(),
        text: Some(field()).filter(|text| !text.starts_with('-')),
        html: Some(field()).filter(|html| !html.is_empty()),
        message_id: field(),
        references: vec![field()],
        headers: vec![(field(), field())],
        attachments: vec![file(field(), field(), field())],
        inlines: vec![file(field(), field(), field())],
        ..Draft::default()
    };
    draft.inlines.retain(|file| !file.name.is_empty());
    draft.attachments.retain(|file| !file.name.is_empty());
    let Ok(composed) = compose(&draft) else {
        return;
    };
    let message = compose_bytes(&draft).expect("what composes once composes twice");
    assert_eq!(composed.size_bytes(), message.len() as u64);
    let message = String::from_utf8(message).expect("UTF-8");
    assert!(composed.needs_smtp_utf8 || message.is_ascii());
    assert!(message.ends_with("\r\n"));
    assert!(!message.replace("\r\n", "").contains(['\r', '\n', '\0']));
    assert!(message.split("\r\n").all(|line| line.len() <= 998));
    let header = message.split("\r\n\r\n").next().unwrap_or_default();
    assert!(!header.to_ascii_lowercase().contains("\nbcc:"));
});
