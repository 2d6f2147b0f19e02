//! Messages as they are written.

use proptest::prelude::*;

use super::*;

fn draft() -> Draft {
    Draft {
        from: address("Anna Berg", "anna@demo.test"),
        to: vec![address("", "bob@demo.test")],
        subject: "Hello".to_owned(),
        message_id: "1@demo.test".to_owned(),
        date_ms: 1_785_000_000_123,
        ..Draft::default()
    }
}

fn address(name: &str, address: &str) -> Address {
    Address {
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        address: address.to_owned(),
    }
}

fn file(name: &str, media_type: &str, content: &[u8]) -> DraftFile {
    DraftFile {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        content_id: None,
        content: FileContent::Bytes(Bytes::copy_from_slice(content)),
    }
}

fn text(draft: &Draft) -> String {
    String::from_utf8(compose_bytes(draft).unwrap()).unwrap()
}

/// The structure of a message: each line that tells a media type, boundaries left out.
fn media_types(message: &str) -> Vec<&str> {
    let types = message.lines().filter_map(|line| line.strip_prefix("Content-Type: "));
    types.map(|value| value.split(';').next().unwrap()).collect()
}

#[test]
fn a_text_and_nothing_else() {
    let mut draft = draft();
    draft.text = Some("Hi Bob,\nall good?".to_owned());
    let want = "From: Anna Berg <anna@demo.test>\r\n\
        To: bob@demo.test\r\n\
        Subject: Hello\r\n\
        Date: Sat, 25 Jul 2026 17:20:00 +0000\r\n\
        Message-ID: <1@demo.test>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 7bit\r\n\
        \r\n\
        Hi Bob,\r\nall good?\r\n";
    assert_eq!(text(&draft), want);
}

#[test]
fn all_levels_and_none_too_many() {
    let mut draft = draft();
    draft.text = Some("t".to_owned());
    draft.html = Some("<img src='cid:p'>".to_owned());
    let mut picture = file("p.png", "image/png", b"png");
    picture.content_id = Some("p".to_owned());
    draft.inlines = vec![picture];
    draft.attachments = vec![file("a.pdf", "application/pdf", b"pdf")];
    #[rustfmt::skip]
    let all = [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html",
        "image/png", "application/pdf",
    ];
    assert_eq!(media_types(&text(&draft)), all);
    draft.attachments.clear();
    assert_eq!(media_types(&text(&draft)), all[1..6]);
    draft.text = None;
    assert_eq!(media_types(&text(&draft)), all[3..6]);
    draft.html = None;
    assert_eq!(media_types(&text(&draft)), ["image/png"]);
    draft.text = Some("t".to_owned());
    assert_eq!(media_types(&text(&draft)), ["multipart/mixed", "text/plain", "image/png"]);
    draft.inlines.clear();
    draft.html = Some("h".to_owned());
    assert_eq!(media_types(&text(&draft)), ["multipart/alternative", "text/plain", "text/html"]);
    draft.text = None;
    assert_eq!(media_types(&text(&draft)), ["text/html"]);
    draft.html = None;
    assert_eq!(media_types(&text(&draft)), ["text/plain"]);
}

#[test]
fn a_calendar_among_the_inlines_is_an_alternative_with_its_method() {
    let mut draft = draft();
    draft.text = Some("Meeting".to_owned());
    let invitation = file("i.ics", "text/calendar; method=REQUEST", b"BEGIN:VCALENDAR");
    draft.inlines = vec![invitation.clone()];
    let got = text(&draft);
    assert_eq!(media_types(&got), ["multipart/alternative", "text/plain", "text/calendar"]);
    assert!(got.contains("text/calendar; method=\"REQUEST\"; charset=\"utf-8\""), "{got}");
    assert!(!got.contains("Content-Disposition"), "{got}");
    draft.html = Some("<p>Meeting</p>".to_owned());
    draft.attachments = vec![invitation];
    let got = text(&draft);
    #[rustfmt::skip]
    let all = [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/calendar",
        "text/calendar",
    ];
    assert_eq!(media_types(&got), all);
    assert!(got.contains("filename=\"i.ics\""), "{got}");
    draft.text = None;
    draft.html = None;
    draft.attachments.clear();
    assert_eq!(media_types(&text(&draft)), ["text/calendar"]);
}

#[test]
fn no_blanks_make_a_line_too_long() {
    let mut draft = draft();
    for blanks in [10, 59, 60, 61, 900, 1200, 5000] {
        let blank = " ".repeat(blanks);
        draft.subject = format!("a{blank}b{blank}{}", "c".repeat(800));
        draft.headers = vec![("X-Note".to_owned(), draft.subject.clone())];
        draft.from.name = Some(draft.subject.clone());
        let text = text(&draft);
        assert!(text.split("\r\n").all(|line| line.len() <= 998), "{blanks}");
    }
}

#[test]
fn without_visible_recipients_the_group_stands_for_them() {
    let mut draft = draft();
    draft.to.clear();
    assert!(text(&draft).contains("\r\nTo: undisclosed-recipients:;\r\n"));
}

#[test]
fn line_breaks_are_refused_by_name_of_the_property() {
    type Spoil = fn(&mut Draft, String);
    let table: [(&str, Spoil); 16] = [
        ("from.name", |d, s| d.from.name = Some(s)),
        ("from.address", |d, s| d.from.address = s),
        ("sender.address", |d, s| d.sender = Some(address("", &s))),
        ("replyTo[0].address", |d, s| d.reply_to = vec![address("", &s)]),
        ("to[1].name", |d, s| d.to.push(address(&s, "x@y.test"))),
        ("cc[0].address", |d, s| d.cc = vec![address("", &s)]),
        ("subject", |d, s| d.subject = s),
        ("messageId", |d, s| d.message_id = s),
        ("inReplyTo[0]", |d, s| d.in_reply_to = vec![s]),
        ("references[0]", |d, s| d.references = vec![s]),
        ("headers[0].name", |d, s| d.headers = vec![(s, String::new())]),
        ("headers[0].value", |d, s| d.headers = vec![("X".to_owned(), s)]),
        ("attachments[0].name", |d, s| d.attachments = vec![file(&s, "", b"")]),
        ("attachments[0].contentType", |d, s| d.attachments = vec![file("", &s, b"")]),
        ("inlines[0].name", |d, s| d.inlines = vec![file(&s, "", b"")]),
        ("inlines[0].contentId", |d, s| {
            let mut file = file("", "", b"");
            file.content_id = Some(s);
            d.inlines = vec![file];
        }),
    ];
    for (property, spoil) in table {
        for evil in ["a\r\nBcc: x@y.test", "a\nb", "a\rb", "a\0b", "\"a\r\nRCPT\"@y.test"] {
            let mut draft = draft();
            spoil(&mut draft, evil.to_owned());
            let invalid = compose(&draft).unwrap_err();
            assert_eq!(invalid.property, property);
        }
    }
}

#[test]
fn what_else_is_refused() {
    type Spoil = fn(&mut Draft);
    let table: [(&str, Spoil); 9] = [
        ("from.address", |d| d.from.address.clear()),
        ("to[0].address", |d| d.to[0].address = "Bob <b@c.test>".to_owned()),
        ("messageId", |d| d.message_id.clear()),
        ("messageId", |d| d.message_id = "a b".to_owned()),
        ("dateTime", |d| d.date_ms = i64::MAX),
        ("headers[0].name", |d| d.headers = vec![("Bcc".to_owned(), "x".to_owned())]),
        ("headers[0].name", |d| d.headers = vec![("content-type".to_owned(), "x".to_owned())]),
        ("headers[0].name", |d| d.headers = vec![("A B".to_owned(), "x".to_owned())]),
        ("attachments[0].contentType", |d| d.attachments = vec![file("a", "b", b"")]),
    ];
    for (property, spoil) in table {
        let mut draft = draft();
        spoil(&mut draft);
        assert_eq!(compose(&draft).unwrap_err().property, property);
    }
}

#[test]
fn content_fields_that_do_not_say_how_a_message_is_built_are_a_clients() {
    let mut draft = draft();
    draft.headers = vec![("Content-Language".to_owned(), "de, en".to_owned())];
    let got = text(&draft);
    assert!(got.contains("\r\nContent-Language: de, en\r\n"), "{got}");
}

#[test]
fn an_attached_message_is_not_encoded_or_goes_as_a_file() {
    let mut draft = draft();
    draft.attachments = vec![file("m.eml", "message/rfc822", b"Subject: x\r\n\r\nbody\r\n")];
    let plain = text(&draft);
    assert!(plain.contains("message/rfc822") && plain.ends_with("\r\n\r\nbody\r\n"), "{plain}");
    draft.attachments = vec![file("m.eml", "message/rfc822", b"Subject: x\n\n\xE9\n")];
    let coded = text(&draft);
    assert!(coded.contains("application/octet-stream") && coded.contains("base64"), "{coded}");
    draft.text = Some(String::new());
    draft.attachments = vec![file("a", "", b"")];
    let own = compose_bytes(&draft).unwrap();
    draft.attachments = vec![file("m.eml", "message/rfc822", &own)];
    assert!(text(&draft).contains("m.eml\"\r\nContent-Transfer-Encoding: base64"));
    draft.message_id = "2@demo.test".to_owned();
    assert!(text(&draft).contains("m.eml\"\r\nContent-Transfer-Encoding: 7bit"));
}

#[test]
fn addresses_that_are_not_ascii_need_smtp_utf8() {
    let mut draft = draft();
    draft.to = vec![address("Jürgen", "info@bücher.test")];
    let composed = compose(&draft).unwrap();
    assert!(!composed.needs_smtp_utf8 && text(&draft).contains("<info@xn--bcher-kva.test>"));
    draft.cc = vec![address("", "jürgen@bücher.test")];
    assert!(compose(&draft).unwrap().needs_smtp_utf8);
    assert!(text(&draft).contains("Cc: jürgen@xn--bcher-kva.test\r\n"));
}

#[test]
fn identifiers_that_cannot_be_written_are_left_out() {
    let mut draft = draft();
    draft.in_reply_to = vec!["<日本@x>".to_owned(), "<ok@x>".to_owned()];
    draft.references = (0..80).map(|n| format!("{n}@x.test")).collect();
    draft.references[3] = "x".repeat(901);
    let text = text(&draft);
    assert!(text.contains("In-Reply-To: <ok@x>\r\n"));
    assert!(text.contains("References: <0@x.test>") && text.contains(" <79@x.test>\r\n"));
    assert!(!text.contains("<12@x.test>"));
    assert!(text.lines().all(|line| line.len() <= 76));
}

#[test]
fn the_longest_words_fit_into_lines() {
    let mut draft = draft();
    for chars in [799, 800, 801, 5000] {
        draft.subject = "x".repeat(chars);
        draft.headers = vec![("X".repeat(100), "y".repeat(chars))];
        draft.message_id = "z".repeat(900);
        draft.references = vec![draft.message_id.clone()];
        draft.attachments = vec![file(&"n".repeat(chars), &format!("a/{}", "b".repeat(90)), b"")];
        let text = text(&draft);
        assert!(text.split("\r\n").all(|line| line.len() <= 998), "{text}");
    }
}

#[test]
fn contents_elsewhere_stream_and_sizes_are_exact() {
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n * 7) as u8).collect();
    let mut draft = draft();
    draft.text = Some("see file".to_owned());
    draft.attachments = vec![file("a.bin", "", &content)];
    let here = compose_bytes(&draft).unwrap();
    assert_eq!(compose(&draft).unwrap().size_bytes(), here.len() as u64);
    let size_bytes = content.len() as u64;
    draft.attachments[0].content = FileContent::Elsewhere { size_bytes };
    assert!(compose_bytes(&draft).is_err());
    let composed = compose(&draft).unwrap();
    let mut streamed = vec![];
    let open = |at| {
        assert_eq!(at, FileAt::Attachment(0));
        Ok(Box::new(content.as_slice()) as Box<dyn io::Read>)
    };
    composed.write_to(&draft, &mut streamed, open).unwrap();
    assert!(streamed == here);
    let short = |_| Ok(Box::new(&content[1..]) as Box<dyn io::Read>);
    let error = composed.write_to(&draft, &mut io::sink(), short).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

prop_compose! {
    fn any_file()(
        name in "[^\r\n\0]{0,40}",
        media_type in "|[a-z]{1,9}/[a-z]{1,9}|message/rfc822",
        content_id in proptest::option::of("[!-;=?-~]{1,30}"),
        content in proptest::collection::vec(any::<u8>(), 0..200),
    ) -> DraftFile {
        DraftFile { content_id, ..file(&name, &media_type, &content) }
    }
}

prop_compose! {
    fn any_draft()(
        names in proptest::collection::vec("[^\r\n\0]{0,90}", 4),
        subject in "[^\r\n\0]{0,200}",
        text in proptest::option::of(any::<String>()),
        html in proptest::option::of("\\PC{0,400}"),
        inlines in proptest::collection::vec(any_file(), 0..3),
        attachments in proptest::collection::vec(any_file(), 0..3),
        header in ("[A-Za-z-]{1,90}", "[^\r\n\0]{0,90}"),
        date_ms in any::<i64>(),
    ) -> Draft {
        Draft {
            from: address(&names[0], "a@b.test"),
            to: names[1..].iter().map(|name| address(name, "x.y@bücher.test")).collect(),
            subject, text, html, inlines, attachments,
            headers: vec![header],
            date_ms: date_ms % 100_000_000_000_000,
            ..draft()
        }
    }
}

proptest! {
    #[test]
    fn every_message_is_fit_for_the_wire(draft in any_draft()) {
        let Ok(bytes) = compose_bytes(&draft) else { return Ok(()) };
        prop_assert_eq!(&compose_bytes(&draft).unwrap(), &bytes);
        prop_assert_eq!(compose(&draft).unwrap().size_bytes(), bytes.len() as u64);
        let text = std::str::from_utf8(&bytes).unwrap();
        prop_assert!(text.is_ascii() && text.ends_with("\r\n"));
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
        for line in text.split("\r\n") {
            prop_assert!(line.len() <= 998);
            prop_assert!(!line.contains("=?utf-8?") || line.len() <= 104, "{}", line);
        }
        let header = text.split("\r\n\r\n").next().unwrap_or_default();
        let fields = header.split("\r\n").filter(|line| !line.starts_with(' '));
        let bcc = fields.clone().any(|line| line.to_ascii_lowercase().starts_with("bcc:"));
        prop_assert!(!bcc);
        prop_assert!(header.split("\r\n").all(|line| !line.trim().is_empty()));
    }
}
