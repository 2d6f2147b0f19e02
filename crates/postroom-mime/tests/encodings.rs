//! Transfer encodings that the fields of a part do not tell: unknown, misspelt, contradicting each
//! other, or not that of the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroom_mime::Defect;
use postroom_mime::Message;

/// A text that looks different in each encoding.
const TEXT: &str = "Gr\u{fc}\u{df}e aus M\u{fc}nchen, das Wetter ist sch\u{f6}n = gut.\r\n\
                    Eine zweite Zeile, die so lang ist, dass sie umbrochen werden muss.\r\n";
/// The same in quoted-printable.
const QUOTED: &str = "Gr=C3=BC=C3=9Fe aus M=C3=BCnchen, das Wetter ist sch=C3=B6n =3D gut.\r\n\
                      Eine zweite Zeile, die so lang ist, dass sie umbrochen =\r\nwerden muss.\r\n";

fn base64(content: &[u8]) -> String {
    let lines: Vec<_> = content.chunks(57).map(|line| STANDARD.encode(line)).collect();
    lines.join("\r\n") + "\r\n"
}

/// The fields `Content-Transfer-Encoding` of these values.
fn fields(values: &[&str]) -> String {
    let field = |value: &&str| format!("Content-Transfer-Encoding: {value}\r\n");
    values.iter().map(field).collect()
}

fn text(media_type: &str, values: &[&str], body: &str) -> Message {
    let head = "From: a@b.example\r\n";
    let fields = fields(values);
    let raw = format!("{head}Content-Type: {media_type}; charset=utf-8\r\n{fields}\r\n{body}");
    postroom_mime::parse(raw.as_bytes())
}

/// The content of a file with these fields.
fn file(values: &[&str], body: &[u8]) -> Vec<u8> {
    let fields = fields(values);
    let head = format!(
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nhi\r\n--b\r\n\
         Content-Type: application/pdf; name=a.pdf\r\n{fields}\r\n"
    );
    let raw = [head.as_bytes(), body, b"\r\n--b--\r\n"].concat();
    let message = postroom_mime::parse(&raw);
    assert_eq!(message.attachments.len(), 1, "{values:?}");
    assert_eq!(message.text.as_deref(), Some("hi"), "{values:?}");
    message.attachments.first().map(|file| file.decode(&raw)).unwrap_or_default()
}

/// What fields may say about a body in base64.
const OVER_BASE64: [&[&str]; 23] = [
    &["base64"],
    &["7bit", "base64"],
    &["base64", "7bit"],
    &["8bit", "base64"],
    &["base64", "binary"],
    &["base64", "base64"],
    &["quoted-printable", "base64"],
    &["base64", "quoted-printable"],
    &["x-unknown", "base64"],
    &["base64", "x-unknown"],
    &["7bit base64"],
    &["8bit; base64"],
    &["quoted-printable, base64"],
    &["base64;"],
    &["Base64."],
    &["b64"],
    &["=?us-ascii?Q?base64?="],
    &["x-unknown"],
    &["8-bit"],
    &["utf-8"],
    &["text/plain"],
    &["x-uuencode"],
    &["quoted-printable"],
];

#[test]
fn base64_is_found_under_any_name_but_that_of_no_encoding() {
    let content: Vec<u8> = b"%PDF-1.4\n".iter().copied().chain(0..=255).collect();
    for values in OVER_BASE64 {
        let message = text("text/plain", values, &base64(TEXT.as_bytes()));
        assert_eq!(message.text, Some(TEXT.replace("\r\n", "\n")), "{values:?}");
        let message = text("text/html", values, &base64(b"<p>A page\r\n"));
        assert_eq!(message.html_text.as_deref(), Some("<p>A page\n"), "{values:?}");
        assert_eq!(file(values, base64(&content).as_bytes()), content, "{values:?}");
    }
    // It says that nothing is encoded.
    for values in [&["7bit"][..], &["8bit"], &["binary", "7bit"], &["8bit; charset=utf-8"], &[]] {
        let body = base64(TEXT.as_bytes());
        let message = text("text/plain", values, &body);
        assert_eq!(message.text, Some(body.replace("\r\n", "\n")), "{values:?}");
        assert_eq!(file(values, body.as_bytes()), body.as_bytes(), "{values:?}");
    }
}

#[test]
fn quoted_printable_is_found_under_any_name_but_that_of_no_encoding() {
    let table: [&[&str]; 16] = [
        &["quoted-printable"],
        &["7bit", "quoted-printable"],
        &["quoted-printable", "8bit"],
        &["quoted-printable", "base64"],
        &["base64", "quoted-printable"],
        &["x-unknown", "quoted-printable"],
        &["7bit quoted-printable"],
        &["quoted_printable"],
        &["quoted printable"],
        &["quoted-print"],
        &["quote-printable"],
        &["quoted-printable;"],
        &["x-unknown"],
        &["utf-8"],
        &["base64"],
        &["base64;"],
    ];
    // All of its characters are those of base64.
    let dense = "=E5=85=B3=E4=BA=8E=E6=8F=90=E5=8D=87=E4=BC=81=E4=B8=9A=E6=9C=8D=E5=8A=A1=E6=\r\n\
                 =B0=B4=E5=B9=B3=E7=9A=84=E9=80=9A=E7=9F=A5\r\n";
    for values in table {
        let message = text("text/plain", values, QUOTED);
        assert_eq!(message.text, Some(TEXT.replace("\r\n", "\n")), "{values:?}");
        let message = text("text/html", values, "<p class=3D\"a\">A page=\r\n.</p>\r\n");
        let want = "<p class=\"a\">A page.</p>\n";
        assert_eq!(message.html_text.as_deref(), Some(want), "{values:?}");
        let message = text("text/plain", values, dense);
        let want = "\u{5173}\u{4e8e}\u{63d0}\u{5347}\u{4f01}\u{4e1a}\u{670d}\u{52a1}";
        assert!(
            message.text.as_deref().unwrap().starts_with(want),
            "{values:?} {:?}",
            message.text
        );
    }
    let message = text("text/plain", &["7bit"], QUOTED);
    assert_eq!(message.text, Some(QUOTED.replace("\r\n", "\n")));
}

#[test]
fn what_is_not_encoded_stays_as_it_is_under_any_name() {
    let table: [&[&str]; 14] = [
        &["7bit", "quoted-printable"],
        &["quoted-printable", "7bit"],
        &["base64", "8bit"],
        &["8bit", "base64"],
        &["x-unknown"],
        &["8-bit"],
        &["base64"],
        &["base64;"],
        &["quoted_printable"],
        &["base64", "quoted-printable"],
        &["x-unknown", "base64"],
        &["uuencode"],
        &["utf-8"],
        &[],
    ];
    let bodies = [
        "Plain text: a = b, and http://a.example/?id=zz&q=12\r\nThe end.\r\n",
        "Hello\r\nYou\r\n",
        "See http://a.example/?year=2026&key=fade\r\nOr ====\r\n",
        "Verkaufsabteilung\r\n",
        "Gr\u{fc}n, a = b.\r\n",
        "",
    ];
    for values in table {
        for body in bodies {
            let message = text("text/plain", values, body);
            assert_eq!(message.text, Some(body.replace("\r\n", "\n")), "{values:?}");
        }
        let pdf = b"%PDF-1.4\r\n1 0 obj << /Length 10 >>\r\nstream \xE2\xE3\xCF\xD3 = \x01\x02";
        assert_eq!(file(values, pdf), pdf, "{values:?}");
    }
}

#[test]
fn markup_under_quoted_printable_is_not_decoded_if_its_equals_signs_are_no_escapes() {
    let markup = "<table width=100 class=\"a\"><a href=\"http://a.example/?id=ab&q=cd\">A</a>\r\n";
    let message = text("text/html", &["quoted-printable"], markup);
    assert_eq!(message.html_text, Some(markup.replace("\r\n", "\n")));
    let mixed = "<p class=3D\"a\">A long line=\r\n, and another=\r\n.=20<hr class=\"b\">";
    let message = text("text/html", &["quoted-printable"], mixed);
    let want = "<p class=\"a\">A long line, and another. <hr class=\"b\">";
    assert_eq!(message.html_text.as_deref(), Some(want));
    // Markup beside text that is written so.
    for (label, written) in [("utf-8", "h=C3=B6h=C3=B6"), ("windows-1252", "h=F6h=F6")] {
        let raw = format!(
            "From: a@b.example\r\nContent-Type: text/html; charset={label}\r\n{}\r\n\
             <body text=\"#000000\" bgcolor=\"#FFFFFF\"><img src=\"a\" alt=\"b\">{written}",
            fields(&["quoted-printable"])
        );
        let html = postroom_mime::parse(raw.as_bytes()).html_text.unwrap();
        assert!(html.ends_with("alt=\"b\">h\u{f6}h\u{f6}"), "{html}");
    }
    let download = message.html.unwrap().decode(
        format!(
            "From: a@b.example\r\nContent-Type: text/html; charset=utf-8\r\n{}\r\n{mixed}",
            fields(&["quoted-printable"])
        )
        .as_bytes(),
    );
    assert_eq!(download, want.as_bytes());
}

#[test]
fn a_body_in_another_encoding_is_a_defect() {
    #[rustfmt::skip]
    let table: &[(&[&str], &[Defect])] = &[
        (&["base64"],                 &[]),
        (&["base64", "base64"],       &[Defect::FieldRepeated]),
        (&["base64", "7bit"],         &[Defect::FieldRepeated]),
        (&["7bit", "base64"],         &[Defect::FieldRepeated, Defect::TransferEncodingUnknown]),
        (&["base64;"],                &[]),
        (&["x-unknown"],              &[Defect::TransferEncodingUnknown]),
        (&["quoted-printable"],       &[Defect::TransferEncodingUnknown]),
    ];
    for (values, want) in table {
        let message = text("text/plain", values, &base64(TEXT.as_bytes()));
        let is_other =
            |defect: &&Defect| !matches!(defect, Defect::DateMissing | Defect::MessageIdMissing);
        let got: Vec<_> = message.defects.iter().filter(is_other).copied().collect();
        assert_eq!(got, *want, "{values:?}");
    }
}

#[test]
fn an_encoding_may_stand_with_the_type() {
    let joined = |field: &str, body: &str| {
        let raw = format!("From: a@b.example\r\nContent-Type: {field}\r\n\r\n{body}");
        postroom_mime::parse(raw.as_bytes()).text
    };
    let (want, base64) = (Some(TEXT.replace("\r\n", "\n")), base64(TEXT.as_bytes()));
    let start = "text/plain; charset=utf-8";
    assert_eq!(joined(&format!("{start}; Content-Transfer-Encoding: base64"), &base64), want);
    assert_eq!(
        joined(&format!("{start} Content-Transfer-Encoding:quoted-printable"), QUOTED),
        want
    );
    let both = format!("{start}; Content-Transfer-Encoding: base64\r\n{}", fields(&["7bit"]));
    assert_eq!(joined(both.trim_end(), &base64), want);
    let plain = joined(&format!("{start}; Content-Transfer-Encoding: base64"), "a text\r\n");
    assert_eq!(plain.as_deref(), Some("a text\n"));
}

#[test]
fn a_file_in_base64_may_be_damaged() {
    assert!(file(&["base64"], b"PGh0*bWw+Cg==\r\n").starts_with(b"<html>"));
    for other in [
        &b"The file was removed.\r\n"[..],
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nDTSTART:20261123T100000Z\r\nEND:VCALENDAR\r\n",
    ] {
        assert_eq!(file(&["base64"], other), other);
    }
}

#[test]
fn a_file_in_uuencode_is_decoded_though_it_says_that_it_is_in_base64() {
    assert_eq!(file(&["base64"], b"begin 644 b.pdf\r\n#0V%T\r\n`\r\nend\r\n"), b"Cat");
}
