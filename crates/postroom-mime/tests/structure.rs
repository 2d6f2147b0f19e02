//! The structure of messages, well formed and not: which parts there are, and what is malformed.

#![expect(clippy::unwrap_used, reason = "tests")]

use postroom_mime::Defect;
use postroom_mime::Defects;
use postroom_mime::Message;
use postroom_mime::ParserLimits;
use postroom_mime::Slice;
use postroom_mime::structure;
use std::io::Cursor;

/// Text, html and files of a message, a line for each.
fn show(message: &Message, raw: &[u8]) -> Vec<String> {
    let text = message.text.iter().map(|text| format!("text {}", text.trim_end()));
    let html = message.html_text.iter().map(|html| format!("html {}", html.trim_end()));
    let files = message.attachments.iter().chain(&message.inlines);
    let files = files.map(|part| {
        let content = part.decode(raw).escape_ascii().to_string();
        format!("{} {} {content}", part.media_type, part.name)
    });
    text.chain(html).chain(files).collect()
}

/// Decomposes a message as a whole and by windows of a file; both must agree.
fn parse(raw: &[u8]) -> Message {
    let message = postroom_mime::parse(raw);
    let windows = postroom_mime::parse_reader(Cursor::new(raw), &ParserLimits::default()).unwrap();
    assert_eq!(format!("{message:?}"), format!("{windows:?}"));
    message
}

fn check(why: &str, raw: &[u8], want: &[&str], defect: Option<Defect>) {
    let message = parse(raw);
    assert_eq!(show(&message, raw), want, "{why}");
    // Of the test messages only `From` is there.
    let usual = [Defect::DateMissing, Defect::MessageIdMissing];
    let defects: Vec<_> = message.defects.iter().filter(|found| !usual.contains(found)).collect();
    match defect {
        Some(defect) => assert!(defects.contains(&&defect), "{why}: {defects:?}"),
        None => assert!(defects.is_empty(), "{why}: {defects:?}"),
    }
    // Ends of lines make no difference.
    if !raw.contains(&b'\r') {
        let lines: Vec<_> = raw.split(|byte| *byte == b'\n').collect();
        let crlf = lines.join(b"\r\n".as_slice());
        assert_eq!(show(&parse(&crlf), &crlf).len(), want.len(), "{why}, with CRLF");
    }
}

/// A multipart of the boundary `b` with this body.
fn multipart(body: &str) -> Vec<u8> {
    format!("From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n{body}").into_bytes()
}

#[test]
fn delimiters_are_found_as_they_arrive() {
    let file = "Content-Type: image/png\n\nPNG";
    let (text, png) = ("text one", "image/png image.png PNG");
    let inner = "Content-Type: multipart/alternative; boundary=c\n\n--c\n\none";
    let prefix = "Content-Type: multipart/alternative; boundary=bb\n\n--bb\n\none";
    let same = "Content-Type: multipart/alternative; boundary=b\n\n--b\n\none";
    let unclosed = Some(Defect::BoundaryUnclosed);
    #[rustfmt::skip]
    let table: &[(&str, String, &[&str], Option<Defect>)] = &[
        ("well formed",           format!("pre\n--b\n\none\n--b\n{file}\n--b--\nepilogue\n"), &[text, png], None),
        ("blanks at the end",     format!("--b \t\n\none\n--b\t\n{file}\n--b-- \n"),  &[text, png], None),
        ("not closed",            format!("--b\n\none\n--b\n{file}\n"),              &[text, "image/png image.png PNG\\n"], unclosed),
        ("cut in a part",         format!("--b\n\none\n--b\n{file}"),                &[text, png], unclosed),
        ("cut in a delimiter",    "--b\n\none\n--".to_owned(),                       &["text one\n--"], unclosed),
        ("cut in a header",       "--b\n\none\n--b\nContent-Type: image/png".to_owned(), &[text, "image/png image.png "], unclosed),
        ("text behind it",        "--b\n\none\n--b two\nthree\n--b--\n".to_owned(),  &["text one\n--b two\nthree"], None),
        ("text behind it, then a field", format!("--b\n\none\n--b two\n{file}\n--b--\n"), &[text, png], Some(Defect::BoundaryJunk)),
        ("text behind the first", format!("--b two\nContent-Type: text/plain\n\none\n--b \n{file}\n--b--\n"), &[text, png], Some(Defect::BoundaryJunk)),
        ("text behind the outer", format!("--b\n{inner}\n--b two\n{file}\n--b--\n"), &[text, png], Some(Defect::BoundaryJunk)),
        ("text behind a prefix",  format!("--b\n{prefix}\n--bb--\n--b two\n{file}\n--b--\n"), &[text, png], Some(Defect::BoundaryJunk)),
        ("text behind the last",  format!("--b\n\none\n--b\n{file}\n--b-- bye\nepilogue"), &[text, png], Some(Defect::BoundaryJunk)),
        ("in the middle of a line", "--b\n\none --b\ntwo\n--b--\n".to_owned(),       &["text one --b\ntwo"], None),
        ("a longer word",         "--b\n\none\n--bc\ntwo\n--b--\n".to_owned(),       &["text one\n--bc\ntwo"], None),
        ("closed twice",          format!("--b\n\none\n--b--\n--b\n{file}\n--b--\n"), &[text], Some(Defect::PartsBehindEnd)),
        ("an epilogue with its name", "--b\n\none\n--b--\n--b\nbye\n".to_owned(), &[text], None),
        ("inner not closed",      format!("--b\n{inner}\n--b\n{file}\n--b--\n"),      &[text, png], Some(Defect::BoundaryCrossed)),
        ("outer a prefix of inner", format!("--b\n{prefix}\n--bb--\n--b\n{file}\n--b--\n"), &[text, png], None),
        ("inner like outer",      format!("--b\n{same}\n--b--\n--b\n{file}\n--b--\n"), &[text, png], None),
        ("nothing delimited",     "only text\n".to_owned(),                          &["text only text"], Some(Defect::BoundaryUnused)),
        ("nothing there",         String::new(),                                     &[], Some(Defect::BoundaryUnused)),
        ("empty parts",           format!("--b\n--b\n\n--b\n{file}\n--b--\n"),        &["text ", png], None),
        ("no header, no blank line", format!("--b\none\n--b\n{file}\n--b--\n"),       &[text, png], None),
        ("no blank line, encoded", "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\nb25l\n\n--b--\n".to_owned(), &["image/png image.png one"], Some(Defect::HeaderUnterminated)),
        ("no blank line, quoted", "--b\nContent-Transfer-Encoding: quoted-printable\none\n\ntwo\n--b--\n".to_owned(), &["text one\n\ntwo"], Some(Defect::HeaderUnterminated)),
        ("text that is no base64", "--b\nContent-Transfer-Encoding: base64\nHello, this is\n\na text.\n--b--\n".to_owned(), &["text Hello, this is\n\na text."], Some(Defect::HeaderUnterminated)),
        ("a line before the blank one", "--b\nContent-Transfer-Encoding: base64\nfolded badly\n\nb25l\n--b--\n".to_owned(), &["text one"], Some(Defect::HeaderUnterminated)),
        ("a header cut by it",    format!("--b\nContent-Type: text/plain\n--b\n{file}\n--b--\n"), &["text ", png], Some(Defect::HeaderUnterminated)),
    ];
    for (why, body, want, defect) in table {
        check(why, &multipart(body), want, *defect);
    }
}

#[test]
fn boundaries_are_read_as_they_are_written() {
    let body = |boundary: &str| format!("--{boundary}\n\none\n--{boundary}--\nno more\n");
    let all = |boundary: &str| format!("text {}", body(boundary).trim_end());
    #[rustfmt::skip]
    let table: &[(&str, &str, String, Option<Defect>)] = &[
        ("; boundary=\"b c\"",               "b c",   "text one".to_owned(), None),
        ("; boundary=b c; x=y",              "b c",   "text one".to_owned(), None),
        ("; boundary=b_(c)",                 "b_(c)", "text one".to_owned(), None),
        (";\n\tBOUNDARY = b ",               "b",     "text one".to_owned(), None),
        ("; x=y;; boundary=b;",              "b",     "text one".to_owned(), None),
        ("; boundary=b; boundary=c",         "b",     "text one".to_owned(), None),
        ("; boundary*0=b; boundary*1=c",     "bc",    "text one".to_owned(), None),
        // What the header does not tell, the body does.
        ("",                                 "b",     "text one".to_owned(), Some(Defect::BoundaryMissing)),
        ("; boundary=",                      "b",     "text one".to_owned(), Some(Defect::BoundaryMissing)),
        (" boundary=b",                      "b",     "text one".to_owned(), Some(Defect::BoundaryMissing)),
        ("; x=y\n boundary=b",               "b",     "text one".to_owned(), Some(Defect::BoundaryMissing)),
        ("; boundary=\"b; x=y",              "b",     "text one".to_owned(), Some(Defect::BoundaryMissing)),
        ("; boundary=b\"; x=y",              "b",     "text one".to_owned(), Some(Defect::BoundaryUnused)),
        (";\nboundary=\"b\"",                "b",     "text one".to_owned(), Some(Defect::HeaderJunk)),
        ("; boundary=yy8",                   "zz9",   "text one".to_owned(), Some(Defect::BoundaryUnused)),
        ("; boundary=ABC",                   "abc",   "text one".to_owned(), Some(Defect::BoundaryUnused)),
        // Nothing that it could be.
        ("; boundary=yy8",                   "---",   all("---"), Some(Defect::BoundaryUnused)),
        // Of several fields and kinds the one that can be used.
        ("; boundary=gone\nContent-Type: multipart/mixed; boundary=b", "b", "text one".to_owned(), Some(Defect::FieldRepeated)),
        ("\nContent-Type: multipart/alternative; boundary=b", "b", "text one".to_owned(), Some(Defect::FieldRepeated)),
        ("/mixed; boundary=b",               "b",     "text one".to_owned(), Some(Defect::MediaTypeMalformed)),
        ("/; boundary=b",                    "b",     "text one".to_owned(), Some(Defect::MediaTypeMalformed)),
    ];
    for (parameter, boundary, want, defect) in table {
        let head = {
            let kind =
                if parameter.starts_with('/') { "multipart/multipart" } else { "multipart/mixed" };
            format!("From: a@b.example\nContent-Type: {kind}{parameter}\n\n")
        };
        check(parameter, format!("{head}{}", body(boundary)).as_bytes(), &[want], *defect);
    }
}

#[test]
fn a_boundary_that_nothing_has_is_told_by_the_body_at_each_depth() {
    let inner = "Content-Type: multipart/alternative; boundary=gone\n\n--c\n\none\n--c\n\
        Content-Type: text/html\n\n<p>one\n--c--";
    let file = "Content-Type: image/png\n\nPNG";
    let body = format!("--x\n{inner}\n--x\n{file}\n--x--\n");
    let want = ["text one", "html <p>one", "image/png image.png PNG"];
    check("both", &multipart(&body), &want, Some(Defect::BoundaryUnused));
    let body = format!("--b\n{inner}\n--b\n{file}\n--b--\n");
    check("the inner one", &multipart(&body), &want, Some(Defect::BoundaryUnused));
}

#[test]
fn a_body_that_is_a_multipart_is_one_whatever_its_type_says() {
    let file = "Content-Type: image/png\n\nPNG";
    let parts = format!("--b\n\none\n--b\n{file}\n--b--\n");
    let want: &[&str] = &["text one", "image/png image.png PNG"];
    #[rustfmt::skip]
    let table = [
        ("Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n", Defect::FieldRepeated),
        ("Content-Type: image/png\nContent-Type: multipart/mixed; boundary=b\n",  Defect::FieldRepeated),
        ("Content-Type: text/plain; boundary=b\n",                                Defect::MultipartUndeclared),
        ("Content-Type: mime/multipart; boundary=b\n",                            Defect::MultipartUndeclared),
        ("Content-Type: application/octet-stream; boundary=b\n",                  Defect::MultipartUndeclared),
        ("",                                                                      Defect::MultipartUndeclared),
    ];
    for (fields, defect) in table {
        let raw = format!("From: a@b.example\n{fields}\n{parts}");
        check(fields, raw.as_bytes(), want, Some(defect));
    }
    let typed = "--b\nContent-Type: text/plain\n\none\n";
    let raw = format!("From: a@b.example\n\n\n{typed}--b\n{file}");
    check("not closed", raw.as_bytes(), want, Some(Defect::MultipartUndeclared));
    // A text that only quotes one stays a text, and so does what the other field does not delimit.
    let quoted = format!("See:\n{parts}");
    let quoted_text = format!("text {}", quoted.trim_end());
    let parts_text = format!("text {}", parts.trim_end());
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, Option<Defect>)] = &[
        ("", &quoted, &quoted_text, None),
        ("Content-Type: text/plain\n", &parts, &parts_text, None),
        ("Content-Type: text/plain; boundary=b\n", &quoted, &quoted_text, None),
        ("Content-Type: text/plain; boundary=c\n", &parts, &parts_text, None),
        ("Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=c\n", &parts, &parts_text, Some(Defect::FieldRepeated)),
        ("", "--b\n\none\n--b--\n", "text --b\n\none\n--b--", None),
    ];
    for (fields, body, want, defect) in table {
        let raw = format!("From: a@b.example\n{fields}\n{body}");
        check(fields, raw.as_bytes(), &[want], *defect);
    }
}

#[test]
fn of_repeated_fields_about_the_content_the_first_usable_one_counts() {
    #[rustfmt::skip]
    let table = [
        ("Content-Type:\nContent-Type: image/png\n\nPNG",                     "image/png image.png PNG"),
        ("Content-Type: png\nContent-Type: image/png\n\nPNG",                 "image/png image.png PNG"),
        ("Content-Type: image/png\nContent-Type:\n\nPNG",                     "image/png image.png PNG"),
        ("Content-Type: image/png\nContent-Type: text/plain\n\nPNG",          "image/png image.png PNG"),
        ("Content-Transfer-Encoding:\nContent-Transfer-Encoding: base64\n\nb25l", "text one"),
        ("Content-Transfer-Encoding: x\nContent-Transfer-Encoding: base64\n\nb25l", "text one"),
        ("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nb25l", "text one"),
        ("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nnone", "text none"),
    ];
    for (raw, want) in table {
        let raw = format!("From: a@b.example\n{raw}");
        check(&raw, raw.as_bytes(), &[want], Some(Defect::FieldRepeated));
    }
    let twice = "Content-Disposition:\nContent-Disposition: attachment; filename=a.txt";
    let raw = format!("From: a@b.example\n{twice}\n\none");
    check("an empty disposition", raw.as_bytes(), &["text/plain a.txt one"], None);
}

#[test]
fn headers_are_read_as_they_arrive() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &str, Option<Defect>)] = &[
        ("well formed",           b"From: a@b.example\nSubject: s\n\none",            "one", None),
        ("bare CR",               b"From: a@b.example\rSubject: s\r\rone",            "one", Some(Defect::BareCr)),
        ("mixed line ends",       b"From: a@b.example\r\nSubject: s\n\r\none",        "one", None),
        ("NUL",                   b"From: a@b.example\nSubject: s\0\n\no\0ne",        "one", Some(Defect::Nul)),
        ("NUL in a line end",     b"From: a@b.example\nSubject: s\n\no\r\0\nne",     "o\nne", Some(Defect::Nul)),
        ("the line of an mbox",   b"From x Mon Nov 23 10:00:00 2026\nFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::MboxLine)),
        ("the same, quoted",      b">From x Mon Nov 23 10:00:00 2026\nFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::MboxLine)),
        ("blank first line",      b"\n\nFrom: a@b.example\nSubject: s\n\none",        "one", Some(Defect::BlankFirstLine)),
        ("a line that is no field", b"From: a@b.example\nno field\n folded\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("blanks before the colon", b"From : a@b.example\nSubject \t: s\n\none",      "one", Some(Defect::BlankBeforeColon)),
        ("no blank line",         b"From: a@b.example\nSubject: s\none and\ntwo",     "one and\ntwo", Some(Defect::HeaderUnterminated)),
        ("a line of blanks ends it", b"From: a@b.example\nSubject: s\n \none and\nX-Two: two", "one and\nX-Two: two", Some(Defect::HeaderUnterminated)),
        ("a delimiter ends it",   b"From: a@b.example\nSubject: s\nContent-Type: multipart/mixed; boundary=b\njunk\n--b\nContent-Type: text/plain\n\none\n--b--", "one", Some(Defect::HeaderUnterminated)),
        ("a line of blanks in a field", b"From: a@b.example\nSubject:\n \n s\n\none", "one", None),
        ("a byte order mark",     b"\xEF\xBB\xBFFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("one in windows-1252",   b"\xC3\xAF\xC2\xBB\xC2\xBFFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("two of them",           b"\xEF\xBB\xBF\xEF\xBB\xBFFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("one behind a blank line", b"\n\xEF\xBB\xBFFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("a blank of no width",   b"\xE2\x80\x8BFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("one before the subject", b"From: a@b.example\nSubject: \xEF\xBB\xBFs\n\none", "one", None),
        ("one before an mbox line", b"\xEF\xBB\xBFFrom x Mon Nov 23 10:00:00 2026\nFrom: a@b.example\nSubject: s\n\none", "one", Some(Defect::HeaderJunk)),
        ("a name with a blank, last", b"From: a@b.example\nSubject: s\nX-A B/c: one\n two\n\none", "one", Some(Defect::HeaderJunk)),
        ("several of them",       b"From: a@b.example\nSubject: s\nX-A B: one\n\ttwo\nMessage ID: <x@y>\nX Y: z\n\none", "one", Some(Defect::HeaderJunk)),
        ("a sentence with a colon", b"From: a@b.example\nSubject: s\nDear Anna: one\n\ntwo", "Dear Anna: one\n\ntwo", Some(Defect::HeaderUnterminated)),
        ("a name with a blank, then text", b"From: a@b.example\nSubject: s\nX-A B: one\nand two\n\nthree", "X-A B: one\nand two\n\nthree", Some(Defect::HeaderUnterminated)),
        ("a type in a line of its own", b"From: a@b.example\nSubject: s\nContent-Type:\nmultipart/mixed; boundary=\"a:b\"\n\n--a:b\n\none\n--a:b--", "one", Some(Defect::HeaderJunk)),
        ("an encoding in its own", b"From: a@b.example\nSubject: s\nContent-Transfer-Encoding:\nbase64\nContent-Type: text/plain;\ncharset=utf-8;\nformat=fixed\n\nb25l", "one", Some(Defect::HeaderJunk)),
        ("text behind an open value", b"From: a@b.example\nSubject: s\nContent-Type: text/plain;\ntotal=5\n\none", "total=5\n\none", Some(Defect::HeaderUnterminated)),
        ("a field twice",         b"From: a@b.example\nSubject: s\nSubject: t\n\none", "one", Some(Defect::FieldRepeated)),
        ("the other way round",   b"From: a@b.example\nFrom: c@d.example\nSubject: s\n\none", "one", Some(Defect::FieldRepeated)),
    ];
    for (why, raw, want, defect) in table {
        let text = format!("text {want}");
        check(why, raw, &[&text], *defect);
        let message = parse(raw);
        assert_eq!(message.subject.as_deref(), Some("s"), "{why}");
        let from: Vec<_> = message.from.iter().map(|from| from.address.as_str()).collect();
        assert_eq!(from, ["a@b.example"], "{why}");
        assert_eq!(message.raw_reason, None, "{why}");
    }
}

#[test]
fn lines_of_any_length_are_read_as_a_whole() {
    for length in [100, 4_000, 4_090, 4_096, 4_100, 65_500, 65_536, 70_000, 200_000] {
        for before in [10, 4_000, 65_000, 65_600] {
            let (pad, word) = ("p".repeat(before), "w".repeat(length));
            let raw = format!(
                "From: a@b.example\nX-Pad: {pad}\nno field {word}\nSubject: {word}\n {word}\n\
                 X-Last: {word}\n\n{word}",
            );
            let message = parse(raw.as_bytes());
            assert_eq!(message.subject, Some(format!("{word} {word}")), "{before} {length}");
            assert_eq!(message.text.as_ref(), Some(&word), "{before} {length}");
            assert_eq!(message.headers.len(), 4, "{before} {length}");
        }
    }
}

#[test]
fn a_message_without_any_field_is_raw() {
    for raw in
        ["", "\n\n", "one\ntwo\n", "no field here\n\ntext: later\n", "\n\none: two words\nthree"]
    {
        let message = parse(raw.as_bytes());
        let has_field = raw.contains("one: ");
        assert_eq!(message.raw_reason.is_some(), !has_field, "{raw:?}");
        assert_eq!(message.defects.contains(&Defect::HeaderMissing), !has_field, "{raw:?}");
    }
    // What can be read of it is its text.
    assert_eq!(parse(b"one\ntwo\n").text.as_deref(), Some("one\ntwo\n"));
}

#[test]
fn digests_hold_messages_and_encoded_multiparts_are_opened_all_the_same() {
    let digest = "From: a@b.example\nContent-Type: multipart/digest; boundary=b\n\n\
        --b\n\nSubject: inner\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--\n";
    let want = ["text two", "message/rfc822 inner.eml Subject: inner\\n\\none"];
    check("a digest", digest.as_bytes(), &want, None);
    let encoded = "From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\
        Content-Transfer-Encoding: base64\n\n--b\n\none\n--b--\n";
    let defect = Some(Defect::TransferEncodingComposite);
    check("base64 around parts", encoded.as_bytes(), &["text one"], defect);
}

#[test]
fn beyond_the_limits_the_rest_stays_as_it_is() {
    let limits = ParserLimits {
        depth_max: 1,
        parts_max: 3,
        header_bytes_max: 80 << 10,
        header_fields_max: 3,
        encoded_words_max: 1,
        text_bytes_max: 4,
        ..ParserLimits::default()
    };
    let parse =
        |raw: &str| postroom_mime::parse_reader(Cursor::new(raw.to_owned()), &limits).unwrap();
    let check = |raw: &str, defect| {
        let message = parse(raw);
        assert!(message.defects.contains(&defect), "{defect:?}: {:?}", message.defects);
        message
    };
    let inner = "Content-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n";
    let outer = "X: y\nContent-Type: multipart/mixed; boundary=b\n\n";
    let message = check(&format!("{outer}--b\n{inner}\n--b--\n"), Defect::DepthOver);
    assert_eq!(message.attachments.len(), 1);
    let message = check(&format!("{outer}{}", "--b\n\none\n".repeat(9)), Defect::PartsOver);
    assert_eq!(message.attachments.first().map(|part| part.size_bytes), Some(59));
    check(&format!("X: {}\nSubject: s\n\none", "y".repeat(100 << 10)), Defect::HeaderBytesOver);
    let message = check(&format!("{}\none", "X: y\n".repeat(9)), Defect::HeaderFieldsOver);
    assert_eq!(message.headers.len(), 3);
    check("X: y\nSubject: =?utf-8?q?a?= =?utf-8?q?b?=\n\none", Defect::EncodedWordsOver);
    assert_eq!(check("X: y\n\nlonger", Defect::TextOver).text.as_deref(), Some("long"));
}

#[test]
fn what_is_left_in_a_multipart_at_the_limit_is_one_file() {
    let limits = ParserLimits { parts_max: 2, ..ParserLimits::default() };
    let inner = "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nrest\n";
    let raw = multipart(inner);
    let message = postroom_mime::parse_reader(Cursor::new(raw), &limits).unwrap();
    assert!(message.defects.contains(&Defect::PartsOver), "{:?}", message.defects);
    let sizes: Vec<_> = message.attachments.iter().map(|part| part.size_bytes).collect();
    assert_eq!((sizes.as_slice(), message.text), ([6].as_slice(), None));
}

#[test]
fn every_part_lies_within_the_multipart_that_holds_it() {
    let inner = "--b\nContent-Type: multipart/mixed; boundary=c\n\n";
    let innermost = "--c\nContent-Type: multipart/mixed; boundary=d\n\n--d\n\none\n--d--\n";
    for behind in ["--b\n\ntwo\n--b--\n", "\n--b\n\ntwo\n--b--\n", "--b--\n", "--c--\n--b--\n", ""]
    {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = multipart(&format!("{inner}{innermost}{behind}"));
            let raw = String::from_utf8(text).unwrap().replace('\n', line_end).into_bytes();
            let mut defects = Defects::default();
            let limits = ParserLimits::default();
            let found = structure::scan(&mut Slice(&raw), &limits, &mut defects).unwrap();
            assert!(found.entities.len() > 3, "{}", raw.escape_ascii());
            for entity in &found.entities {
                let Some(parent) = entity.parent else { continue };
                let parent = &found.entities[parent];
                assert!(entity.body.end <= parent.body.end, "{}", raw.escape_ascii());
            }
        }
    }
}
