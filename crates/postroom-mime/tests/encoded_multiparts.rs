//! Multiparts that are written in a transfer encoding as a whole.

#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroom_mime::Defect;
use postroom_mime::Message;
use postroom_mime::ParserLimits;
use postroom_mime::Part;
use postroom_mime::PartSource;
use std::io::Cursor;

/// Parts of a multipart of the boundary `b`: text in Latin-1, html, a file.
const PARTS: &str = "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=FCn\r\n\
    --b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>gr=FCn\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    YWJj\r\n--b--\r\n";

/// Files of a multipart of the boundary `b`.
const FILES: &str = "--b\r\nContent-Type: text/csv; charset=iso-8859-1\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=FCn\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    YWJj\r\n--b--\r\n";

/// Decomposes a message as a whole and by windows of a file; both must agree.
fn parse(raw: &[u8]) -> Message {
    let message = postroom_mime::parse(raw);
    let windows = postroom_mime::parse_reader(Cursor::new(raw), &ParserLimits::default()).unwrap();
    assert_eq!(format!("{message:?}"), format!("{windows:?}"));
    message
}

/// The lines of base64.
fn base64(body: &str) -> String {
    let code = STANDARD.encode(body);
    let lines = code.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
    lines.map(|line| format!("{line}\r\n")).collect()
}

/// Quoted-printable in which each `=` and each hyphen is escaped.
fn quoted(body: &str) -> String {
    body.replace('=', "=3D").replace('-', "=2D")
}

/// A message of this type, in this encoding.
fn message(media_type: &str, encoding: &str, body: &str) -> Vec<u8> {
    format!(
        "From: a@b.example\r\nSubject: s\r\nContent-Type: {media_type}\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn files(message: &Message) -> Vec<&Part> {
    message.attachments.iter().chain(&message.inlines).collect()
}

#[test]
fn the_parts_of_an_encoded_multipart_are_found() {
    let kind = "multipart/alternative; boundary=b";
    // Quoted-printable leaves hyphens as they are: the boundary shows, though not the declared one.
    let sign = PARTS.replace("--b", "--=_b");
    let twice = format!("--c\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let twice = format!("{twice}{}--c--\r\n", base64(PARTS));
    let within = twice.replace("--c", "--=_c").replace('=', "=3D");
    #[rustfmt::skip]
    let table = [
        ("base64",           message(kind, "base64", &base64(PARTS))),
        ("with a preamble",  message(kind, "base64", &base64(&format!("Hello\r\n{PARTS}bye\r\n")))),
        ("LF within",        message(kind, "base64", &base64(&PARTS.replace("\r\n", "\n")))),
        ("misspelt",         message(kind, "base-64", &base64(PARTS))),
        ("no boundary",      message("multipart/alternative", "base64", &base64(PARTS))),
        ("another boundary", message("multipart/alternative; boundary=x", "base64", &base64(PARTS))),
        ("quoted-printable", message(kind, "quoted-printable", &quoted(PARTS))),
        ("only = quoted",    message("multipart/alternative; boundary=\"=_b\"", "quoted-printable", &sign.replace('=', "=3D"))),
        ("twice",            message("multipart/alternative; boundary=c", "base64", &base64(&twice))),
        ("one in the other", message("multipart/alternative; boundary=\"=_c\"", "quoted-printable", &within)),
        ("as it is",         message(kind, "base64", PARTS)),
        ("as it is, quoted", message(kind, "quoted-printable", PARTS)),
    ];
    for (why, raw) in table {
        let message = parse(&raw);
        assert_eq!(message.text.as_deref().map(str::trim), Some("grün"), "{why}");
        assert_eq!(message.html_text.as_deref().map(str::trim), Some("<p>grün"), "{why}");
        let [file] = files(&message)[..] else { unreachable!("{why}: {message:?}") };
        assert_eq!((file.name.as_str(), file.size_bytes), ("a.pdf", 3), "{why}");
        assert_eq!(file.decode(&raw), b"abc", "{why}");
        let html = message.html.as_ref().unwrap();
        let bytes = html.decode(&raw);
        let is_latin = matches!(html.source, PartSource::Range { .. });
        let want: &[u8] = if is_latin { b"<p>gr\xFCn" } else { "<p>grün".as_bytes() };
        assert_eq!((bytes.as_slice(), html.size_bytes), (want, want.len() as u64), "{why}");
        assert_eq!(is_latin, why.starts_with("as it is"), "{why}");
        assert!(message.defects.contains(&Defect::TransferEncodingComposite), "{why}");
        assert_eq!(message.preview.as_deref(), Some("grün"), "{why}");
    }
}

#[test]
fn what_lies_around_keeps_its_place() {
    let file = "Content-Type: image/png; name=c.png\r\n\r\nPNG";
    let inner = format!(
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        base64(FILES)
    );
    let text = "Content-Type: text/plain\r\n\r\none";
    let parts: String = [file, &inner, &file.replace("c.png", "d.png"), &inner, text]
        .map(|part| format!("--o\r\n{part}\r\n"))
        .concat();
    let raw = format!(
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n{parts}--o--\r\n"
    );
    let raw = raw.as_bytes();
    let message = parse(raw);
    let got: Vec<_> = files(&message)
        .into_iter()
        .map(|file| {
            (file.name.as_str(), file.decode(raw), matches!(file.source, PartSource::Range { .. }))
        })
        .collect();
    let (png, csv, pdf) = (b"PNG".to_vec(), b"gr\xFCn".to_vec(), b"abc".to_vec());
    let want = [
        ("c.png", png.clone(), true),
        ("text.csv", csv.clone(), false),
        ("a.pdf", pdf.clone(), false),
        ("d.png", png, true),
        ("text (2).csv", csv, false),
        ("a (2).pdf", pdf, false),
    ];
    assert_eq!(got, want);
    // The text is one part of the message, and has its place there.
    let place = message.text_place.unwrap();
    let from = usize::try_from(place.offset).unwrap();
    assert_eq!(&raw[from..from + usize::try_from(place.length).unwrap()], b"one");
}

#[test]
fn a_report_is_read_within_one_and_an_attached_message_stays_a_file() {
    let report = "--b\r\nContent-Type: message/delivery-status\r\n\r\n\
        Final-Recipient: rfc822; ben@c.example\r\nAction: failed\r\n\
        --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <one@b.example>\r\n--b--\r\n";
    let raw = message("multipart/report; boundary=b", "base64", &base64(report));
    let report = parse(&raw).report.unwrap();
    assert_eq!(report.message_id.as_deref(), Some("one@b.example"));
    let attached = message("multipart/mixed; boundary=b", "base64", &base64(PARTS));
    let attached = String::from_utf8(attached).unwrap();
    for (encoding, body) in [("base64", base64(&attached)), ("quoted-printable", quoted(&attached))]
    {
        let raw = message("message/rfc822", encoding, &body);
        let message = parse(&raw);
        let [file] = files(&message)[..] else { unreachable!("{message:?}") };
        assert_eq!(file.name, "s.eml");
        assert_eq!(file.decode(&raw), attached.as_bytes());
    }
}

#[test]
fn what_is_no_multipart_when_it_is_decoded_stays_as_it_is() {
    for body in [base64("Dear Anna,\r\n-- \r\nBen\r\n"), "no base64 at all\r\n".to_owned()] {
        let raw = message("multipart/mixed; boundary=b", "base64", &body);
        let message = parse(&raw);
        assert!(message.text.is_some() && files(&message).is_empty(), "{message:?}");
        assert!(!message.defects.contains(&Defect::OpenOver));
    }
}

#[test]
fn encoded_multiparts_are_opened_within_limits() {
    let nested = |depth: usize| {
        (0..depth).fold(PARTS.to_owned(), |inner, _| {
            format!(
                "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
                base64(&inner)
            )
        })
    };
    for (depth, is_over) in [(2, false), (3, true)] {
        let raw = message("multipart/mixed; boundary=b", "base64", &base64(&nested(depth)));
        let message = parse(&raw);
        assert_eq!(files(&message).is_empty(), is_over, "{depth}");
        assert_eq!(message.defects.contains(&Defect::OpenOver), is_over, "{depth}");
    }
    let raw = message("multipart/mixed; boundary=b", "base64", &base64(PARTS));
    let plain = message("multipart/mixed; boundary=b", "base64", PARTS);
    for (raw, over, is_over) in [(&raw, 0, false), (&raw, 1, true), (&plain, 1, false)] {
        let limits = ParserLimits { open_bytes_max: raw.len() - over, ..ParserLimits::default() };
        let message = postroom_mime::parse_reader(Cursor::new(raw), &limits).unwrap();
        assert_eq!(files(&message).is_empty(), is_over);
        assert_eq!(message.defects.contains(&Defect::OpenOver), is_over);
    }
}
