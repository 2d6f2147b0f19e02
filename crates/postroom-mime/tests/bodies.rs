//! Bodies and files of messages as they arrive: charsets, encodings, what is shown and what is a
//! file. Tables of single charsets, encodings and formats stand beside the code that reads them.

#![expect(clippy::unwrap_used, reason = "tests")]

use postroom_mime::BodyKind;
use postroom_mime::Container;
use postroom_mime::Defect;
use postroom_mime::Message;
use postroom_mime::Protection;
use postroom_mime::TextSource;

fn parse(raw: &[u8]) -> Message {
    postroom_mime::parse(raw)
}

/// A message of one part with these fields and this body.
fn single(fields: &str, body: &[u8]) -> Message {
    let mut raw = format!("From: a@b.example\r\n{fields}\r\n\r\n").into_bytes();
    raw.extend_from_slice(body);
    parse(&raw)
}

/// A multipart of this kind with these parts.
fn multipart(kind: &str, parts: &[&str]) -> (Vec<u8>, Message) {
    let mut raw = format!("From: a@b.example\nContent-Type: multipart/{kind}; boundary=b\n\n");
    for part in parts {
        raw.push_str(&format!("--b\n{part}\n"));
    }
    raw.push_str("--b--\n");
    let message = parse(raw.as_bytes());
    (raw.into_bytes(), message)
}

fn names(parts: &[postroom_mime::Part]) -> Vec<&str> {
    parts.iter().map(|part| part.name.as_str()).collect()
}

#[test]
fn an_encoding_is_believed_if_the_body_may_be_written_so() {
    for (encoding, body, want, defect) in [
        ("\"base64\"", "Z3LDvG4=", "gr\u{fc}n", None),
        ("base64;", "Plain text.", "Plain text.", Some(Defect::TransferEncodingUnknown)),
        ("base64", "Plain text.", "Plain text.", Some(Defect::TransferEncodingUnknown)),
        (
            "base64",
            "Hi, this is a text.\r\n\r\nAnna\r\n",
            "Hi, this is a text.\n\nAnna\n",
            Some(Defect::TransferEncodingUnknown),
        ),
        ("base64", "Z3LDvG4", "gr\u{fc}n", None),
        ("base64", "Z3LD vG4=", "gr\u{fc}n", None),
        (
            "base64",
            "YWFhYWFhYWFhYWFhYWFhYWFh\r\nYQ==\r\n--\r\nA footer, of http://lists.example",
            "aaaaaaaaaaaaaaaaaaa",
            None,
        ),
        // Line breaks stand anywhere.
        ("base64", "UmVwb3J0cyBhcmUgaW\r\n4gdGhlIG9mZmljZQ==", "Reports are in the office", None),
        (
            "base64",
            "UmVwb3J0cy\r\nBhcmUgaW4g\r\ndGhlIG9mZm\r\nljZQ==",
            "Reports are in the office",
            None,
        ),
        ("base64", "Z\r\n3\r\nL\r\nD\r\nv\r\nG\r\n4\r\n=\r\n", "gr\u{fc}n", None),
        ("base64", "Z3L\r\nDvG\r\n4=", "gr\u{fc}n", None),
        ("base64", "Z3LDv\r\nG4uZ3\r\nLDvG4=\r\n", "gr\u{fc}n.gr\u{fc}n", None),
        ("base64", "Z\r\n3LDvG\r\n4=", "gr\u{fc}n", None),
        ("base64", "Z3LDv\r\nG4=\r\n____\r\nA list, of x", "gr\u{fc}n", None),
        ("base64", "Y\r\nQ\r\n=\r\n=\r\n", "a", None),
        ("base64", "Hello\r\nAnna", "Hello\nAnna", Some(Defect::TransferEncodingUnknown)),
        (
            "base64",
            "Reports\r\nare in\r\nthe office",
            "Reports\nare in\nthe office",
            Some(Defect::TransferEncodingUnknown),
        ),
        // A line of dashes ends it, or stands before it.
        ("base64", "Z3LDvG4u\r\n--==in--\r\n", "gr\u{fc}n.", None),
        ("base64", "-----BEGIN X-----\r\nZ3LDvG4u\r\nYQ==\r\n-----END X-----", "gr\u{fc}n.a", None),
        ("base64", "-- Anna\r\n", "-- Anna\n", Some(Defect::TransferEncodingUnknown)),
        ("quoted printable", "gr=C3=BCn", "gr\u{fc}n", None),
        ("quoted printable", "a = b", "a = b", Some(Defect::TransferEncodingUnknown)),
    ] {
        let fields = format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
        );
        let message = single(&fields, body.as_bytes());
        assert_eq!(message.text.as_deref(), Some(want), "{encoding}");
        let has = message.defects.contains(&Defect::TransferEncodingUnknown);
        assert_eq!(has, defect.is_some(), "{encoding}");
    }
}

#[test]
fn charsets_are_believed_as_far_as_the_bytes_allow() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &str, Option<Defect>)] = &[
        ("; charset=utf-8",              "grün".as_bytes(),              "grün", None),
        ("; charset=iso-8859-1",         b"\x93gr\xFCn\x94",             "“grün”", None),
        ("; charset=gb2312",             b"\xD6\xD0\x87\xE5",            "中囧", None),
        ("; charset=ks_c_5601-1987",     b"\xC7\xD1\xB1\xDB",            "한글", None),
        ("; charset=cp932",              b"\x93\xFA\x96\x7B",            "日本", None),
        ("; charset=unicode-1-1-utf-7",  b"+ZeVnLIqe-",                  "日本語", None),
        ("; charset=iso-2022-jp-ms",     b"\x1B$BF|K\\\x1B(B",           "日本", None),
        ("; charset=us-ascii",           "grün".as_bytes(),              "grün", Some(Defect::CharsetMissing)),
        ("",                             b"Die B\xE4ume sind gr\xFCn",   "Die Bäume sind grün", Some(Defect::CharsetMissing)),
        ("",                             b"\x1B$BF|K\\\x1B(B",           "日本", Some(Defect::CharsetMissing)),
        ("; charset=utf-8",              b"Die B\xE4ume sind gr\xFCn",   "Die Bäume sind grün", Some(Defect::CharsetWrong)),
        // A gateway's footer in another one.
        ("; charset=utf-8",              b"gr\xC3\xBC\xC3\x9Fe sch\xC3\xB6n M\xFCller & S\xF6hne, Stra\xDFe", "grüße schön Müller & Söhne, Straße", Some(Defect::CharsetWrong)),
        ("; charset=iso-8859-1",         "\u{FEFF}grün".as_bytes(),      "grün", None),
        ("; charset=shift_jis",          "日本語テスト".as_bytes(),        "日本語テスト", Some(Defect::CharsetWrong)),
        ("; charset=x-nothing",          "grün".as_bytes(),              "grün", Some(Defect::CharsetUnknown)),
    ];
    for (charset, body, want, defect) in table {
        let message = single(&format!("Content-Type: text/plain{charset}"), body);
        assert_eq!(message.text.as_deref(), Some(*want), "{charset}");
        let unusual = [Defect::CharsetMissing, Defect::CharsetWrong, Defect::CharsetUnknown];
        let found = message.defects.iter().copied().find(|found| unusual.contains(found));
        assert_eq!(found, *defect, "{charset} {}", body.escape_ascii());
    }
    let html = b"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>\xF0\xD2\xC9";
    let message = single("Content-Type: text/html", html);
    assert!(message.html_text.unwrap().ends_with("При"));
}

#[test]
fn texts_are_decoded_and_flowed() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str)] = &[
        ("Content-Transfer-Encoding: quoted-printable", "one=\r\ntwo=20\r\n=3D=",       "onetwo \n="),
        ("Content-Transfer-Encoding: base64",           "b25l\r\n\r\nLCB0d28",           "one, two"),
        ("Content-Transfer-Encoding: \"BASE64\" (x);",  "b25l",                          "one"),
        ("Content-Transfer-Encoding: zip",              "b25l",                          "b25l"),
        ("Content-Type: text/plain; format=flowed",     "one \r\ntwo\r\n>a \r\n-- \r\nb", "one two\n>a \n-- \nb"),
        ("Content-Type: text/plain; format=flowed; DelSp=yes", "one \r\ntwo\r\n",        "onetwo\n"),
        ("Content-Type: text/plain>",                   "one",                           "one"),
        ("Content-Type: text",                          "one",                           "one"),
        ("Content-Type: =?x?=; charset=utf-8",          "one",                           "one"),
    ];
    for (field, body, want) in table {
        let message = single(field, body.as_bytes());
        assert_eq!(message.text.as_deref(), Some(*want), "{field}");
        assert_eq!(message.attachments, [], "{field}");
    }
}

/// The kind of a multipart and its parts; the kind of the message, its text and its files.
type Case<'a> = (&'a str, &'a [&'a str], BodyKind, &'a str, &'a [&'a str]);

const NAMED: &str =
    "Content-Type: text/plain\nContent-Disposition: inline; filename=log.txt\n\nlog";
const PAGE: &str = "Content-Type: text/html; name=page.html\n\n<p>page";
const AMP: &str = "Content-Type: text/x-amp-html\n\n<p>amp";

#[test]
fn text_and_html_are_told_from_files() {
    let (text, html) = ("\none", "Content-Type: text/html\n\n<p>one</p>");
    let two = "Content-Type: text/plain\nContent-Disposition: inline\n\ntwo";
    let file = "Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment\n\nthree";
    let other = "Content-Type: text/html\nContent-Disposition: inline\n\n<p>two</p>";
    let page = "Content-Type: text/html\nContent-Disposition: attachment\n\n<p>three</p>";
    let odd = "Content-Type: application/pdf\nContent-Disposition: odd\n\nPDF";
    #[rustfmt::skip]
    let table: &[Case] = &[
        ("alternative", &[text, html],              BodyKind::Alternative, "one",      &[]),
        ("mixed",       &[text, two],               BodyKind::Text,        "one\ntwo", &[]),
        ("mixed",       &[text, file, two],         BodyKind::Text,        "one\ntwo", &["a.txt"]),
        ("mixed",       &[html, other, page],       BodyKind::Html,        "",         &["text.html"]),
        ("mixed",       &[file, file],              BodyKind::Undefined,   "",         &["a.txt", "a (2).txt"]),
        ("mixed",       &[text, odd, odd],          BodyKind::Text,        "one",      &["attachment.pdf", "attachment (2).pdf"]),
        ("x-odd",       &[text, html],              BodyKind::Alternative, "one\none\n", &[]),
        // A text with a name is a file beside one without, unless it comes first and has no disposition.
        ("mixed",       &[text, NAMED, PAGE],       BodyKind::Text,        "one",      &["log.txt", "page.html"]),
        ("mixed",       &[PAGE, text],              BodyKind::Alternative, "page\none", &[]),
        ("mixed",       &[NAMED, text],             BodyKind::Text,        "one",      &["log.txt"]),
        ("mixed",       &[PAGE, text, PAGE],        BodyKind::Alternative, "page\none", &["page.html"]),
        ("mixed",       &["Content-Type: text/plain; name=a.pdf\n\nx", text], BodyKind::Text, "one", &["a.pdf"]),
        ("mixed",       &[NAMED],                   BodyKind::Text,        "log",      &[]),
        ("mixed",       &[NAMED, PAGE],             BodyKind::Text,        "log",      &["page.html"]),
        ("mixed",       &["Content-Type: text/plain; name=a.png\n\nx"], BodyKind::Undefined, "", &["a.png"]),
        ("alternative", &[text, PAGE],              BodyKind::Alternative, "one",      &[]),
        ("mixed",       &[text, "Content-Type: text/plain\n\nGIF89a."], BodyKind::Text, "one", &["text.txt"]),
        // Of related parts only the root is shown.
        ("related",     &[html, other],             BodyKind::Html,        "",         &["text.html"]),
        ("related",     &["Content-Type: image/png\n\nx", html], BodyKind::Html, "",  &["image.png"]),
        // The data of a file of a Macintosh is the file.
        ("appledouble", &["Content-Type: application/applefile; name=a\n\nx", "Content-Type: text/plain; name=a\n\ny"], BodyKind::Undefined, "", &["a"]),
        ("appledouble", &["Content-Type: application/applefile; name=a\n\nx"], BodyKind::Undefined, "", &["a"]),
        // Other texts are shown where nothing else is.
        ("mixed",       &["Content-Type: text/markdown\n\none", odd], BodyKind::Text, "one", &["attachment.pdf"]),
        ("mixed",       &[text, "Content-Type: text/markdown\n\ntwo"], BodyKind::Text, "one", &["text.md"]),
        ("mixed",       &["Content-Type: text/vcard\n\ntwo"], BodyKind::Undefined, "", &["text.vcf"]),
        // Alternatives that nobody shows are none.
        ("alternative", &[text, AMP, html],         BodyKind::Alternative, "one",      &[]),
        ("mixed",       &[text, AMP],               BodyKind::Text,        "one",      &["text.txt"]),
        ("alternative", &[AMP],                     BodyKind::Undefined,   "",         &["text.txt"]),
    ];
    for (kind, parts, want_kind, want_text, want_files) in table {
        let (_, message) = multipart(kind, parts);
        assert_eq!(message.kind, *want_kind, "{kind} {parts:?}");
        assert_eq!(message.text.as_deref().unwrap_or_default(), *want_text, "{kind} {parts:?}");
        assert_eq!(names(&message.attachments), *want_files, "{kind} {parts:?}");
    }
    let (_, message) = multipart("mixed", &[html, other]);
    assert_eq!(message.html_text.as_deref(), Some("<p>one</p>\n<p>two</p>"));
    assert_eq!(message.preview.as_deref(), Some("one two"));
    let preview = single("X: y", b"\r\n one\r\n\r\ntwo\tthree\r\n").preview;
    assert_eq!(preview.as_deref(), Some("one two three"));
    // Both bodies have all that is shown.
    let html = "Content-Type: text/html\n\n<p>html";
    let (_, message) = multipart("mixed", &[html, "Content-Type: text/plain\n\nfooter"]);
    assert_eq!(message.preview.as_deref(), Some("html footer"));
    let (_, message) = multipart("alternative", &[html, "Content-Type: text/plain\n\ntext"]);
    assert_eq!(message.preview.as_deref(), Some("text"));
}

#[test]
fn inlines_are_what_the_html_refers_to() {
    let image = |field: &str| format!("Content-Type: image/png\n{field}\n\nPNG");
    let html = "Content-Type: text/html\nContent-Location: http://a.example/x/page.html\n\n\
        <img src=\"CID:i@b.example\"><p style='background: url(cid:j%40b.example)'>\
        <img src=k.png><img src='http://a.example/l.png'>";
    let images = [
        image("Content-ID: <i@b.example>"),
        image("Content-ID: <j@b.example>"),
        image("Content-Location: http://a.example/x/k.png"),
        image("Content-Location: http://a.example/l.png"),
        image("Content-ID: <m@b.example>\nContent-Disposition: inline; filename=m.png"),
    ];
    let mut parts = vec![html];
    parts.extend(images.iter().map(String::as_str));
    let (_, message) = multipart("related", &parts);
    assert_eq!(message.inlines.len(), 4, "{:?}", message.inlines);
    assert_eq!(names(&message.attachments), ["m.png"]);
}

#[test]
fn attached_messages_are_named_after_their_subjects() {
    let inner = "Content-Type: message/rfc822\n\nSubject: =?utf-8?Q?gr=C3=BCn/blau?=\n\none";
    let named = "Content-Type: message/rfc822; name=a.eml\n\nSubject: b\n\ntwo";
    let bare = "Content-Type: message/rfc822\n\n\nthree";
    let encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n\
        U3ViamVjdDogYwoKZm91cg==";
    let (raw, message) = multipart("mixed", &[inner, named, bare, encoded]);
    let want = ["grün_blau.eml", "a.eml", "message.eml", "c.eml"];
    assert_eq!(names(&message.attachments), want);
    let last = message.attachments.last().unwrap();
    assert_eq!(last.decode(&raw), b"Subject: c\n\nfour");
    assert_eq!(message.text, None);
}

#[test]
fn encoded_files_come_out_of_texts() {
    let uuencoded = b"one\r\nbegin 644 a.txt\r\n#86)C\r\n`\r\nend\r\ntwo\r\n";
    let yenc =
        b"one\r\n=ybegin line=128 size=3 name=a.txt\r\n\x8b\x8c\x8d\r\n=yend size=3\r\ntwo\r\n";
    for (body, container) in [(&uuencoded[..], Container::Uuencode), (&yenc[..], Container::Yenc)] {
        let message = single("Subject: s", body);
        assert_eq!(names(&message.attachments), ["a.txt"]);
        let file = message.attachments.first().unwrap();
        assert_eq!((file.container, file.decode(b"")), (Some(container), b"abc".to_vec()));
        assert_eq!(message.text.as_deref(), Some("one\ntwo\n"));
    }
    // A text that speaks of them stays as it is.
    for quoted in
        ["one\n=ybegin line=128 size=9 name=a.txt\ntwo\n", "one\nbegin 644 a.txt\n#86)C\ntwo\n"]
    {
        assert_eq!(single("X: y", quoted.as_bytes()).text.as_deref(), Some(quoted));
    }
    let whole = "Content-Type: image/png; name=b.png\r\nContent-Transfer-Encoding: x-uuencode";
    let message = single(whole, b"begin 644 a.txt\r\n#86)C\r\n`\r\nend\r\n");
    assert_eq!(names(&message.attachments), ["b.png"]);
    assert_eq!(message.attachments.first().unwrap().decode(b""), b"abc");
}

#[test]
fn tnef_is_opened_and_stays() {
    let attribute = |level: u8, id: u32, content: &[u8]| {
        let mut bytes = vec![level];
        bytes.extend(id.to_le_bytes());
        bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(content);
        let sum = content.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        bytes.extend(sum.to_le_bytes());
        bytes
    };
    let mut tnef = vec![0x78, 0x9F, 0x3E, 0x22, 1, 0];
    tnef.extend(attribute(1, 0x0002_800C, b"one\0"));
    tnef.extend(attribute(2, 0x0006_9002, &[0; 14]));
    tnef.extend(attribute(2, 0x0001_8010, b"a.txt\0"));
    tnef.extend(attribute(2, 0x0006_800F, b"abc"));
    for (field, body, damaged) in [
        ("Content-Type: application/ms-tnef; name=winmail.dat", tnef.as_slice(), false),
        ("Content-Type: application/octet-stream; name=WinMail.dat", &tnef, false),
        ("Content-Type: application/ms-tnef; name=winmail.dat", b"no tnef", true),
    ] {
        let message = single(field, body);
        assert_eq!(message.defects.contains(&Defect::TnefMalformed), damaged, "{field}");
        let want = if damaged { 1 } else { 2 };
        assert_eq!(message.attachments.len(), want, "{field}");
        assert!(
            names(&message.attachments).iter().any(|name| name.to_lowercase() == "winmail.dat")
        );
        if let Some(file) = message.attachments.iter().find(|file| file.container.is_some()) {
            assert_eq!((file.name.as_str(), file.container), ("a.txt", Some(Container::Tnef)));
            assert_eq!(file.decode(b""), b"abc");
            assert_eq!(message.text.as_deref(), Some("one"));
        }
    }
}

/// An attribute of TNEF.
fn attribute(level: u8, id: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let sum = content.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    [&[level], id.to_le_bytes().as_slice(), &length, content, &sum.to_le_bytes()].concat()
}

/// A list of one property of TNEF.
fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    let one = 1_u32.to_le_bytes();
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    let (kind, id) = (kind.to_le_bytes(), id.to_le_bytes());
    [&one, kind.as_slice(), &id, &one, &length, value, &padding].concat()
}

#[test]
fn tnef_beside_a_text_keeps_its_html_and_inlines() {
    let tnef = [
        vec![0x78, 0x9F, 0x3E, 0x22, 1, 0],
        attribute(1, 0x0002_800C, b"one\r\ntwo\0"),
        attribute(1, 0x0006_9003, &property(0x0102, 0x1013, b"<img src='cid:i'><p>one")),
        attribute(2, 0x0006_9002, &[0; 14]),
        attribute(2, 0x0001_8010, b"i.png\0"),
        attribute(2, 0x0006_800F, b"abc"),
        attribute(2, 0x0006_9005, &property(0x001E, 0x3712, b"i\0")),
    ]
    .concat();
    let tnef = |name: &str| {
        let kind = format!("Content-Type: application/octet-stream; name={name}");
        format!("{kind}\nContent-Transfer-Encoding: base64\n\n{}", base64(&tnef))
    };
    #[rustfmt::skip]
    let table: &[(&[&str], &str, &str)] = &[
        (&["\none\ntwo", &tnef("winmail.dat")],  "one\ntwo",          "<img src='cid:i'><p>one"),
        (&["\none\ntwo", &tnef("att0001.bin")],  "one\ntwo",          "<img src='cid:i'><p>one"),
        (&[&tnef("winmail.dat")],                "one\ntwo",          "<img src='cid:i'><p>one"),
        (&[&tnef("winmail.dat"), "\n-- \nlist"], "one\ntwo\n-- \nlist", "<img src='cid:i'><p>one"),
    ];
    for (parts, text, html) in table {
        let (_, message) = multipart("mixed", parts);
        assert_eq!(message.text.as_deref(), Some(*text), "{parts:?}");
        assert_eq!(message.html_text.as_deref(), Some(*html), "{parts:?}");
        assert_eq!(names(&message.inlines), ["i.png"], "{parts:?}");
        assert_eq!(message.attachments.len(), 1, "{parts:?}");
    }
}

#[test]
fn calendars_are_files_and_summarised() {
    let event = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:u@b.example\n\
        DTSTART:20261123T100000Z\nDTEND:20261123T110000Z\nORGANIZER;CN=Anna:mailto:a@b.example\n\
        ATTENDEE;PARTSTAT=ACCEPTED:mailto:c@d.example\nEND:VEVENT\nEND:VCALENDAR";
    let part = format!("Content-Type: text/calendar; method=REQUEST\n\n{event}");
    let (_, message) = multipart("alternative", &["\none", &part]);
    assert_eq!(names(&message.attachments).len(), 1);
    let calendar = format!("{:?}", message.calendar.unwrap());
    // Under other types its name tells it.
    for field in ["application/octet-stream; name=invite.ics", "text/plain; name=\"a.ICS\""] {
        let part = format!("Content-Type: {field}\n\n{event}");
        assert!(multipart("mixed", &["\none", &part]).1.calendar.is_some(), "{field}");
    }
    for want in ["REQUEST", "u@b.example", "a@b.example", "c@d.example"] {
        assert!(calendar.to_uppercase().contains(&want.to_uppercase()), "{want}: {calendar}");
    }
}

#[test]
fn signatures_and_encryption_are_recognised() {
    let (signed, encrypted, opaque) =
        (Some(Protection::Signed), Some(Protection::Encrypted), Some(Protection::Opaque));
    let smime = "Content-Type: application/pkcs7-mime; name=smime.p7m; smime-type=";
    #[rustfmt::skip]
    let table: &[(String, Option<Protection>)] = &[
        ("Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=b\n\n--b\n\none\n--b--\n".to_owned(), signed),
        ("Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n--b\n\none\n--b--\n".to_owned(), encrypted),
        (format!("{smime}enveloped-data\n\nx"),   encrypted),
        (format!("{smime}signed-data\n\nx"),      opaque),
        (format!("{smime}certs-only\n\nx"),       None),
        ("X: y\n\n-----BEGIN PGP SIGNED MESSAGE-----\n\none\n-----BEGIN PGP SIGNATURE-----\n".to_owned(), signed),
        ("X: y\n\n-----BEGIN PGP MESSAGE-----\n".to_owned(), encrypted),
        ("X: y\n\none\n".to_owned(),              None),
    ];
    for (raw, want) in table {
        assert_eq!(parse(raw.as_bytes()).security, *want, "{raw}");
    }
    // What is signed is decomposed.
    let part = "Content-Type: application/pkcs7-signature; name=smime.p7s\n\nx";
    let (_, message) = multipart("signed", &["\none", part]);
    assert_eq!(message.text.as_deref(), Some("one"));
    assert_eq!(names(&message.attachments), ["smime.p7s"]);
}

#[test]
fn names_are_harmless_and_unique() {
    let file = |name: &str| {
        format!(
            "Content-Type: application/x\nContent-Disposition: attachment; filename=\"{name}\"\n\nx"
        )
    };
    let files = ["../../a.txt", "C:\\dir\\a.txt", "A.TXT", "nul", "", "a/b:c.txt"].map(file);
    let parts: Vec<_> = files.iter().map(String::as_str).collect();
    let (_, message) = multipart("mixed", &parts);
    let want = ["a.txt", "a (2).txt", "A (3).TXT", "_nul", "attachment", "a_b_c.txt"];
    assert_eq!(names(&message.attachments), want);
}

#[test]
fn of_alternatives_the_last_of_each_kind_counts() {
    const PLAIN: &str = "Content-Type: text/plain\n\nplain";
    const BETTER: &str = "Content-Type: text/plain\n\nbetter";
    const EMPTY: &str = "Content-Type: text/plain\n\n";
    const HTML: &str = "Content-Type: text/html\n\n<p>html";
    const BLANK: &str = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nIAo=";
    const BROKEN: &str = "Content-Type: multipart/related\n\nbroken";
    #[rustfmt::skip]
    let table: &[(&str, &[&str], Option<&str>, BodyKind)] = &[
        ("alternative", &[PLAIN, HTML],                Some("plain"),           BodyKind::Alternative),
        ("alternative", &[HTML, PLAIN],                Some("plain"),           BodyKind::Alternative),
        ("alternative", &[PLAIN, BETTER, HTML, HTML],  Some("better"),          BodyKind::Alternative),
        ("alternative", &[PLAIN, EMPTY],               Some("plain"),           BodyKind::Text),
        ("alternative", &[PLAIN, BLANK],               Some("plain\n \n"),      BodyKind::Text),
        ("alternative", &[PLAIN, BROKEN],              Some("plain\nbroken"),   BodyKind::Text),
        ("alternative", &[PLAIN, HTML, BETTER],        Some("plain\nbetter"),   BodyKind::Alternative),
        ("alternative", &[PLAIN, "\nuntyped"],         Some("plain\nuntyped"),  BodyKind::Text),
        ("mixed",       &[PLAIN, BETTER],              Some("plain\nbetter"),   BodyKind::Text),
    ];
    for (kind, parts, text, want) in table {
        let (_, message) = multipart(kind, parts);
        assert_eq!(message.text.as_deref(), *text, "{kind} {parts:?}");
        assert_eq!(message.kind, *want, "{kind} {parts:?}");
        assert!(message.attachments.is_empty());
        if kind == &"alternative" && parts.contains(&HTML) {
            assert_eq!(message.html_text.as_deref(), Some("<p>html"));
        }
    }
}

/// What a message of these parts has as text and as html, and where the text is from.
#[test]
fn an_alternative_without_a_type_is_html_if_it_begins_so() {
    let quoted = "Content-Transfer-Encoding: quoted-printable\n\n<html>one=20html</html>";
    #[rustfmt::skip]
    let table: &[(&[&str], &str, Option<&str>)] = &[
        (&["\none", "\n<html>one</html>"],                "one", Some("<html>one</html>")),
        (&["\none", "Content-Type:\n\n<p>one"],           "one", Some("<p>one")),
        (&["\none", quoted],                              "one", Some("<html>one html</html>")),
        (&["\n<!-- a --><p>one", "Content-Type: text/plain\n\none"], "one", Some("<!-- a --><p>one")),
        (&["\none", "\n<anna@a.example> wrote"],          "one\n<anna@a.example> wrote", None),
    ];
    for (parts, text, html) in table {
        let (_, message) = multipart("alternative", parts);
        assert_eq!(message.text.as_deref(), Some(*text), "{parts:?}");
        assert_eq!(message.html_text.as_deref(), *html, "{parts:?}");
    }
    let (_, message) = multipart("alternative", &["\none", "Content-Type: text\\html\n\none <i>"]);
    assert_eq!(message.html_text.as_deref(), Some("one <i>"));
    // Beside others, and alone, a part without a type is plain text.
    let (_, message) = multipart("mixed", &["\none", "\n<p>two"]);
    assert_eq!(message.text.as_deref(), Some("one\n<p>two"));
    assert_eq!(single("Subject: a", b"<html>one").html_text, None);
}

#[test]
fn html_that_shows_nothing_does_not_hide_the_text() {
    const TEXT: &str = "Content-Type: text/plain\n\none";
    let blank = [
        "",
        "\n\n",
        "&nbsp;",
        "<html><head><title>A</title><style>p{a:b}</style></head><body><p>&nbsp;</p></body></html>",
    ];
    for markup in blank {
        let html = format!("Content-Type: text/html\n\n{markup}");
        for parts in [[TEXT, &html], [&html, TEXT]] {
            let (_, message) = multipart("alternative", &parts);
            assert_eq!(message.text.as_deref(), Some("one"), "{markup}");
            assert!(message.html.is_none() && message.html_text.is_none(), "{markup}");
            assert_eq!(message.kind, BodyKind::Text, "{markup}");
            assert_eq!(names(&message.attachments), <[&str; 0]>::default(), "{markup}");
        }
        // What stands beside the alternative is in the text. In the html it would be alone.
        let inner = format!(
            "Content-Type: multipart/alternative; boundary=c\n\n--c\n{TEXT}\n--c\n{html}\n--c--"
        );
        let footer = "Content-Type: text/plain\n\na footer";
        let (_, message) = multipart("mixed", &[&inner, footer]);
        assert_eq!(message.text.as_deref(), Some("one\na footer"), "{markup}");
        assert!(message.html.is_none(), "{markup}");
    }
    // An image is something, and so is html without a text beside it.
    let image = "Content-Type: text/html\n\n<img src=\"cid:a\">";
    assert!(multipart("alternative", &[TEXT, image]).1.html.is_some());
    let blank_text = "Content-Type: text/plain\n\n ";
    let blank_html = "Content-Type: text/html\n\n<p>";
    assert!(multipart("alternative", &[blank_text, blank_html]).1.html.is_some());
}

fn bodies(kind: &str, parts: &[&str]) -> (String, String, TextSource) {
    let (_, message) = multipart(kind, parts);
    let (text, source) = message.shown_text(1_000).unwrap();
    (text.into_owned(), message.html_text.clone().unwrap_or_default(), source)
}

#[test]
fn what_stands_beside_alternatives_is_in_both_bodies() {
    const TEXT: &str = "Content-Type: text/plain\n\na & b";
    const HTML: &str = "Content-Type: text/html\n\n<p>html</p>";
    let inner = |kind: &str, parts: &[&str]| {
        let parts: String = parts.iter().map(|part| format!("--c\n{part}\n")).collect();
        format!("Content-Type: multipart/{kind}; boundary=c\n\n{parts}--c--")
    };
    let both = inner("alternative", &["Content-Type: text/plain\n\none", HTML]);
    let lone = inner("alternative", &[HTML]);
    let page = inner("mixed", &[HTML, TEXT]);
    let (derived, part) = (TextSource::Html, TextSource::Part);
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str, &str, TextSource)] = &[
        ("mixed",       &[HTML, TEXT],   "html\na & b", "<p>html</p>\n<p>a &amp; b</p>\n", derived),
        ("mixed",       &[TEXT, &both],  "a & b\none",  "<p>a &amp; b</p>\n<p>html</p>",   part),
        ("mixed",       &[&both, TEXT],  "one\na & b",  "<p>html</p>\n<p>a &amp; b</p>\n", part),
        ("mixed",       &[TEXT, &lone],  "a & b\nhtml\n", "<p>a &amp; b</p>\n<p>html</p>", derived),
        ("alternative", &[TEXT, &page],  "a & b",       "<p>html</p>\n<p>a &amp; b</p>\n", part),
        ("alternative", &[TEXT, HTML],   "a & b",       "<p>html</p>",                     part),
        ("mixed",       &[HTML],         "html\n",      "<p>html</p>",                     derived),
        ("mixed",       &[TEXT],         "a & b",       "",                                part),
    ];
    for (kind, parts, text, html, source) in table {
        let want = ((*text).to_owned(), (*html).to_owned(), *source);
        assert_eq!(bodies(kind, parts), want, "{kind} {parts:?}");
    }
}

/// A signed message of S/MIME that holds `content`.
fn opaque(content: &[u8]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    };
    let oid = |last: u8| vec![6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, last];
    let content = element(0xA0, &element(4, content));
    let content = element(0x30, &[oid(1), content].concat());
    let signed = [vec![2, 1, 1], element(0x31, b""), content].concat();
    element(0x30, &[oid(2), element(0xA0, &element(0x30, &signed))].concat())
}

#[test]
fn what_a_signature_holds_is_shown() {
    let inner = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--i\r\n\
        Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        YWJj\r\n--i--\r\n";
    let body = opaque(inner);
    for field in [
        "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m",
        "Content-Type: application/x-pkcs7-mime; name=smime.p7m",
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data",
        "Content-Type: application/octet-stream; name=smime.p7m",
        "Content-Type: application/octet-stream",
    ] {
        let message = single(field, &body);
        assert_eq!(message.text.as_deref(), Some("one"), "{field}");
        assert_eq!(message.security, Some(Protection::Opaque), "{field}");
        let pdf = message.attachments.last().unwrap();
        assert_eq!((pdf.name.as_str(), pdf.decode(b"")), ("a.pdf", b"abc".to_vec()), "{field}");
        assert_eq!(message.attachments.len(), 2, "the signature stays: {field}");
    }
    // In base64 as a whole.
    let (head, parts) = std::str::from_utf8(inner).unwrap().split_once("\r\n\r\n").unwrap();
    let field = "Content-Transfer-Encoding: base64";
    let encoded = format!("{head}\r\n{field}\r\n\r\n{}", base64(parts.as_bytes()));
    let message = single("Content-Type: application/pkcs7-mime", &opaque(encoded.as_bytes()));
    assert_eq!(message.text.as_deref(), Some("one"));
    assert_eq!(message.attachments.last().unwrap().decode(b""), b"abc");
    // Signed in turn.
    let twice = [b"Content-Type: application/pkcs7-mime\r\n\r\n".as_slice(), &body].concat();
    let message = single("Content-Type: application/pkcs7-mime", &opaque(&twice));
    assert_eq!(message.text.as_deref(), Some("one"));
    // A signed file is no mail.
    let part = "Content-Type: application/pkcs7-mime; name=contract.pdf.p7m\r\n\
        Content-Transfer-Encoding: base64";
    let raw = format!(
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nsee\r\n--b\r\n{part}\r\n\r\n{}\r\n--b--\r\n",
        base64(&opaque(b"%PDF-1.4"))
    );
    let message = parse(raw.as_bytes());
    assert_eq!((message.security, message.text.as_deref()), (None, Some("see")));
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn html_is_never_in_utf7_where_markup_would_hide() {
    let body = b"<p>Hello +ADw-script+AD4-alert(1)+ADw-/script+AD4-</p>";
    let meta = b"<meta charset=utf-7><p>+ADw-script+AD4-</p>";
    for (charset, body) in [("; charset=utf-7", body.as_slice()), ("", meta.as_slice())] {
        let message = single(&format!("Content-Type: text/html{charset}"), body);
        let html = message.html_text.unwrap();
        assert!(html.contains("+ADw-script+AD4-") && !html.contains("<script"), "{html}");
    }
}

#[test]
fn a_message_in_pieces_or_elsewhere_is_a_file_of_what_is_there() {
    for (kind, parameters, body) in [
        ("message/partial", "; id=\"a@b\"; number=2; total=3", "the second third\r\n"),
        (
            "message/external-body",
            "; access-type=URL; URL=\"http://files.example/a\"",
            "Content-Type: image/gif\r\n\r\n",
        ),
    ] {
        let fields = format!("Content-Type: {kind}{parameters}");
        let raw = format!("From: a@b.example\r\n{fields}\r\n\r\n{body}");
        let message = parse(raw.as_bytes());
        assert_eq!(
            (message.kind, message.raw_reason.as_deref()),
            (BodyKind::Undefined, None),
            "{kind}"
        );
        let [file] = message.attachments.as_slice() else {
            panic!("{kind}: {:?}", message.attachments);
        };
        assert_eq!(file.media_type, kind);
        assert_eq!(file.decode(raw.as_bytes()), body.as_bytes(), "{kind}");
    }
}

#[test]
fn a_file_in_a_long_text_is_whole_or_none() {
    // 45 bytes a line; the text is cut at 4 MiB, and read up to 8 MiB for what lies inside.
    let line = format!("M{}\r\n", "0".repeat(60));
    for (lines, names) in [(100_000, ["a.bin"].as_slice()), (200_000, [].as_slice())] {
        let lines_text = line.repeat(lines);
        let body = format!("See:\r\nbegin 644 a.bin\r\n{lines_text}`\r\nend\r\nBye.\r\n");
        let message = single("Content-Type: text/plain", body.as_bytes());
        assert_eq!(self::names(&message.attachments), names, "{lines}");
        for over in [Defect::TextOver, Defect::OpenOver] {
            assert_eq!(message.defects.contains(&over), names.is_empty(), "{lines} {over:?}");
        }
        assert!(!message.defects.contains(&Defect::EncodedFileMalformed), "{lines}");
        let text = message.text.unwrap();
        if let [file] = message.attachments.as_slice() {
            assert_eq!((file.size_bytes, text.as_str()), (45 * 100_000, "See:\nBye.\n"));
        } else {
            assert_eq!(text.len(), 4 << 20);
        }
    }
}
