//! What is composed is what is parsed: fields, bodies, file names and bytes, in all scripts.
#![expect(clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use postroom_mime::compose::{Address, Draft, DraftFile, FileContent, compose_bytes};
use postroom_mime::{Message, Part, parse};
use proptest::prelude::*;

/// Words as people write them, and as they should not.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![9 => word(), 1 => Just("=?utf-8?Q?a?=".to_owned())];
    proptest::collection::vec(word, 1..12).prop_map(|words| words.join(" "))
}

/// File names. One that looks like an encoded word is taken for one by every reader that knows the
/// senders who write names so.
fn names() -> impl Strategy<Value = String> {
    proptest::collection::vec(word(), 1..12)
        .prop_map(|words| words.join(" "))
        .prop_filter("an encoded word", |name| !name.contains("=?"))
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{1,12}",
        "[а-яё]{1,12}",
        "[一-鿋ぁ-ん]{1,12}",
        "[\u{627}-\u{64a}]{1,12}",
        "[äöüßéàçñøå]{1,8}",
        "[🦀🎉😀👩]{1,4}",
        "[!-/:-@\\[-`{-~]{1,6}",
        Just("a".repeat(90)),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    const ADDRESSES: [&str; 5] =
        ["a@b.test", "x.y+z@mail.example", "o'neil@h.test", "\"a b\"@c.test", "info@bücher.test"];
    let name = proptest::option::of(words());
    (name, proptest::sample::select(&ADDRESSES[..]))
        .prop_map(|(name, address)| Address { name, address: address.to_owned() })
}

fn file(content_id: Option<String>) -> impl Strategy<Value = DraftFile> {
    const MEDIA_TYPES: [&str; 3] = ["image/png", "application/pdf", "application/octet-stream"];
    (
        names(),
        proptest::sample::select(&MEDIA_TYPES[..]),
        proptest::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(move |(name, media_type, content)| DraftFile {
            name,
            media_type: media_type.to_owned(),
            content_id: content_id.clone(),
            content: FileContent::Bytes(Bytes::from(content)),
        })
}

fn body() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        words(),
        Just(String::new()),
        Just("From me".to_owned()),
        Just(".".to_owned()),
        Just("--=_x".to_owned()),
        Just("trailing ".to_owned()),
        Just("long ".repeat(300)),
    ];
    proptest::collection::vec(line, 1..8).prop_map(|lines| lines.join("\n") + "\n.")
}

prop_compose! {
    fn draft()(
        from in address(),
        lists in proptest::collection::vec(proptest::collection::vec(address(), 0..5), 3),
        subject in words(),
        text in proptest::option::of(body()),
        html in proptest::option::of(body()),
        inline in file(Some("pic@demo.test".to_owned())),
        attachments in proptest::collection::vec(file(None), 0..4),
        header in words(),
        date_s in 0..4_000_000_000_i64,
    ) -> Draft {
        let html = html.map(|html| format!("<img src=\"cid:pic@demo.test\"><p>{html}"));
        Draft {
            from,
            sender: None,
            reply_to: lists[0].clone(),
            to: lists[1].clone(),
            cc: lists[2].clone(),
            subject,
            text,
            inlines: html.iter().map(|_| inline.clone()).collect(),
            html,
            attachments,
            message_id: "1@demo.test".to_owned(),
            in_reply_to: vec!["0@demo.test".to_owned()],
            references: vec!["00@demo.test".to_owned(), "0@demo.test".to_owned()],
            date_ms: date_s * 1000,
            headers: vec![("X-Note".to_owned(), header)],
            ascii_addresses: false,
        }
    }
}

fn unix(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Checks that `parts` are `files`: names, types, identifiers and bytes.
fn check_files(raw: &[u8], parts: &[Part], files: &[DraftFile]) -> Result<(), TestCaseError> {
    prop_assert_eq!(parts.len(), files.len());
    for (part, file) in parts.iter().zip(files) {
        prop_assert_eq!(part.declared_name.as_deref(), Some(file.name.as_str()));
        prop_assert_eq!(&part.media_type, &file.media_type);
        prop_assert_eq!(&part.content_id, &file.content_id);
        let FileContent::Bytes(content) = &file.content else {
            continue;
        };
        prop_assert_eq!(part.size_bytes, content.len() as u64);
        prop_assert!(part.decode(raw) == content[..]);
    }
    Ok(())
}

fn check(raw: &[u8], message: &Message, draft: &Draft) -> Result<(), TestCaseError> {
    prop_assert_eq!(&message.defects, &[]);
    prop_assert_eq!(&message.from, std::slice::from_ref(&draft.from));
    prop_assert_eq!(&message.reply_to, &draft.reply_to);
    prop_assert_eq!(&message.to, &draft.to);
    prop_assert_eq!(&message.cc, &draft.cc);
    prop_assert_eq!(message.subject.as_ref(), Some(&draft.subject));
    prop_assert_eq!(message.message_id.as_ref(), Some(&draft.message_id));
    prop_assert_eq!(&message.in_reply_to, &draft.in_reply_to);
    prop_assert_eq!(&message.references, &draft.references);
    prop_assert_eq!(message.date_ms, Some(draft.date_ms));
    let (name, value) = &draft.headers[0];
    prop_assert!(message.headers.iter().any(|field| field == (name.as_str(), value.as_str())));
    let text = message.text.as_deref().map(|text| unix(text.trim_end_matches('\n')));
    let has_files = !draft.attachments.is_empty();
    if draft.text.is_some() || draft.html.is_some() || has_files {
        prop_assert_eq!(&text, &draft.text);
    }
    let html = message.html_text.as_deref().map(|html| unix(html.trim_end()));
    prop_assert_eq!(&html, &draft.html);
    check_files(raw, &message.attachments, &draft.attachments)?;
    check_files(raw, &message.inlines, &draft.inlines)
}

proptest! {
    #[test]
    fn what_is_composed_is_what_is_parsed(draft in draft()) {
        let raw = compose_bytes(&draft).unwrap();
        check(&raw, &parse(&raw), &draft)?;
    }
}
