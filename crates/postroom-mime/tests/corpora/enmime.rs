//! Messages of an open corpus beside the repository that are the expected results of its composer:
//! what they hold is known.

use postroom_mime::Message;
use std::fs;

use crate::place::find;

/// What a message holds, a line for each thing. Addresses are shown by their names alone.
fn show(message: &Message, raw: &[u8]) -> Vec<String> {
    let subject = message.subject.iter().map(|subject| format!("subject {subject}"));
    let addresses = message.from.iter().chain(&message.to);
    let names = addresses.filter_map(|who| Some(format!("name {}", who.name.as_deref()?)));
    let text = message.text.iter().map(|text| format!("text {}", text.trim()));
    let html = message.html_text.iter().map(|html| format!("html {}", html.trim()));
    let files = message.attachments.iter().map(|part| {
        let content = part.decode(raw);
        let shown = str::from_utf8(&content).unwrap_or_else(|_| {
            let is_each_byte = content.iter().copied().eq((0..=255).cycle().take(content.len()));
            if is_each_byte { "each byte" } else { "others" }
        });
        format!("file {} {:?} {shown}", part.media_type, part.declared_name)
    });
    let all = subject.chain(names).chain(text).chain(html).chain(files);
    all.map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn composed_messages_hold_what_was_composed() {
    let Some(corpus) = find("enmime/testdata/encode") else { return };
    let html = "html <!DOCTYPE html><html><body><h1>My First Heading</h1>\
        <p>My first paragraph éà.</p></body></html>";
    let zip = "file application/zip Some(\"árvíztűrő \\\"x\\\" tükörfúrógép.zip\") ZIPZIPZIP";
    let plain = "text This is a test of a plain text part.\n\nAnother line.";
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("build-qp-addr-headers.golden",
            &["subject RFC 2047", "name Olle Järnefors", "name Patrik Fältström",
                "name Keld Jørn Simonsen", "text"]),
        ("nocontent-with-children.golden",       &["text Plain text part", "html <div>HTML part</div>"]),
        ("parser-raw-content-html-option-false.raw.golden", &["subject Test subject", html]),
        ("parser-raw-content-html-option-true.raw.golden",  &["subject Test subject", html]),
        ("parser-raw-content-html-option.raw",   &["subject Test subject", html]),
        ("parser-raw-content-text-option-false.raw.golden",
            &["subject Test subject", "text 添付ファイル名テスト"]),
        ("parser-raw-content-text-option-true.raw.golden",
            &["subject Test subject", "text 添付ファイル名テスト"]),
        ("parser-raw-content-text-option.raw",   &["subject Test subject", "text 添付ファイル名テスト"]),
        ("part-bin-content.golden",              &["file image/jpeg None each byte"]),
        ("part-bin-header.golden",               &["subject ¡Hola, señor!", plain]),
        ("part-content-only-qp.golden",          &["text ☆ No header, only content."]),
        ("part-content-only.golden",             &["text No header, only content."]),
        ("part-default-headers.golden",          &["file application/zip Some(\"stuff.zip\") ZIPZIPZIP"]),
        ("part-empty.golden",                    &["text"]),
        ("part-file-mod-date.golden",            &["text ¡Hola, señor! Welcome to MIME"]),
        ("part-header-only-default-encoding.golden", &["text"]),
        ("part-header-only.golden",              &["text"]),
        ("part-message-rfc822.golden",           &["file message/rfc822 None each byte"]),
        ("part-plain.golden",                    &[plain]),
        ("part-quotable-content.golden",         &["text Hello="]),
        ("part-quoted-content.golden",           &["text ¡Hola, señor! Welcome to MIME"]),
        ("part-quoted-headers.golden",           &[zip]),
        ("part-quoted-printable-headers.golden", &[zip]),
        ("part-with-children.golden",            &["text Plain text part", "html <div>HTML part</div>"]),
        ("utf8-to.raw.golden",
            &["subject test utf8 to", "name Weiß", "name Jøhn Døe", "text This is a test mailing"]),
    ];
    for (name, want) in table {
        let raw = fs::read(corpus.join(name)).unwrap();
        assert_eq!(show(&postroom_mime::parse(&raw), &raw), *want, "{name}");
    }
    assert_eq!(fs::read_dir(&corpus).unwrap().count(), table.len());
}
