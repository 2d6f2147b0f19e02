//! The fields of messages as they arrive: what each kind of malformed field still says. Tables of
//! single addresses, dates, words and parameters stand beside the code that reads them.

use postroom_mime::Defect;
use postroom_mime::Message;

/// Decomposes a message with one field and a body.
fn parse(field: &[u8]) -> Message {
    let mut raw = field.to_vec();
    raw.extend_from_slice(b"\r\nMIME-Version: 1.0\r\n\r\nbody\r\n");
    postroom_mime::parse(&raw)
}

#[test]
fn subjects_are_one_line_of_text() {
    #[rustfmt::skip]
    let table: &[(&[u8], Option<&str>, Option<Defect>)] = &[
        (b"Subject: one",                                        Some("one"), None),
        (b"SUBJECT:one",                                         Some("one"), None),
        (b"Subject: one\r\n two\r\n\tthree",                     Some("one two three"), None),
        (b"Subject:\r\n one",                                    Some("one"), None),
        (b"Subject:",                                            None, None),
        (b"Subject: =?utf-8?B?w6Q=?=\r\n =?utf-8?Q?=C3=B6?= b",  Some("\u{e4}\u{f6} b"), None),
        (b"Subject: =?iso-2022-jp?B?GyRCRnwbKEI=?=\r\n =?iso-2022-jp?B?GyRCS1wbKEI=?=", Some("日本"), None),
        (b"Subject: \"=?utf-8?Q?=C3=A4?=\"",                     Some("\"ä\""), None),
        (b"Subject: =?utf-8?Q?=C3?= =?utf-8?Q?=A4?=",            Some("ä"), None),
        (b"Subject: =?utf-8?B?w6Q?=",                            Some("ä"), None),
        (b"Subject: =?utf-8?Q?open",                             Some("=?utf-8?Q?open"), Some(Defect::EncodedWordMalformed)),
        ("Subject: ä".as_bytes(),                                Some("ä"), None),
        (b"Subject: gr\xFCn und blau",                           Some("grün und blau"), Some(Defect::HeaderRawBytes)),
        (b"Subject: =?koi8-r?Q?\xF0\xD2\xC9\xD7=C5=D4?=",          Some("Привет"), Some(Defect::HeaderRawBytes)),
        (b"Subject: a\0b",                                       Some("ab"), Some(Defect::Nul)),
    ];
    for (field, want, defect) in table {
        let message = parse(field);
        assert_eq!(message.subject.as_deref(), *want, "{}", field.escape_ascii());
        let unusual = [Defect::EncodedWordMalformed, Defect::HeaderRawBytes, Defect::Nul];
        let found = message.defects.iter().copied().find(|found| unusual.contains(found));
        assert_eq!(found, *defect, "{}", field.escape_ascii());
    }
}

#[test]
fn bytes_in_the_header_are_in_the_charset_of_the_body() {
    let raw = b"Subject: \xF0\xD2\xC9\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n\xF0\r\n";
    let message = postroom_mime::parse(raw);
    assert_eq!(message.subject.as_deref(), Some("При"));
    assert!(message.defects.contains(&Defect::HeaderRawBytes));
}

#[test]
fn people_are_found_in_each_field() {
    let message = parse(
        b"From: Anna <a@b.example>, c@d.example\r\nSender: (S) s@b.example\r\n\
        Reply-To: \"Bee, R\" <r@b.example>\r\nTo: team: one@b.example, two@b.example;\r\n\
        To: three@b.example\r\nCc: undisclosed-recipients:;\r\nBcc: nobody there, b@b.example",
    );
    let show = |list: &[postroom_mime::Address]| -> Vec<String> {
        let shown = |who: &postroom_mime::Address| match &who.name {
            Some(name) => format!("{name} <{}>", who.address),
            None => who.address.clone(),
        };
        list.iter().map(shown).collect()
    };
    assert_eq!(show(&message.from), ["Anna <a@b.example>", "c@d.example"]);
    assert_eq!(show(message.sender.as_slice()), ["S <s@b.example>"]);
    assert_eq!(show(&message.reply_to), ["Bee, R <r@b.example>"]);
    assert_eq!(show(&message.to), ["one@b.example", "two@b.example", "three@b.example"]);
    assert_eq!(show(&message.cc), [""; 0]);
    assert_eq!(show(&message.bcc), ["nobody there <>", "b@b.example"]);
    assert_eq!(show(&parse(b"From: Mail Delivery System").from), ["Mail Delivery System <>"]);
}

#[test]
fn dates_that_cannot_be_are_none_and_the_way_of_the_mail_is_known() {
    #[rustfmt::skip]
    let table: &[(&[u8], Option<i64>, Option<Defect>)] = &[
        (b"Date: Mon, 23 Nov 2026 10:00:00 +0100",  Some(1_795_424_400_000), None),
        (b"Date: november 23, 2026 9:00",           Some(1_795_424_400_000), None),
        (b"Date: 23 Nov 26 10:00:00 +100",          Some(1_795_424_400_000), None),
        (b"Date: Mon, 23 Nov 2026 10:00:00 cet",    Some(1_795_424_400_000), None),
        (b"Date: Fri, 31 Dec 9999 23:59:59 +0000",  None, Some(Defect::DateMalformed)),
        (b"Date: Mon, 30 Feb 2026 10:00:00 +0000",  None, Some(Defect::DateMalformed)),
        (b"Date: Mon, 23 Nov 2026 10:00:00 -2400",  None, Some(Defect::DateMalformed)),
        (b"Date:",                                  None, Some(Defect::DateMissing)),
        (b"Date:\r\nDate: 23 Nov 26 10:00:00 +100", Some(1_795_424_400_000), None),
        (b"Subject: s",                             None, Some(Defect::DateMissing)),
    ];
    for (field, want, defect) in table {
        let message = parse(field);
        assert_eq!(message.date_ms, *want, "{}", field.escape_ascii());
        let unusual = [Defect::DateMalformed, Defect::DateMissing];
        let found = message.defects.iter().copied().find(|found| unusual.contains(found));
        assert_eq!(found, *defect, "{}", field.escape_ascii());
    }
    let message = parse(
        b"Received: from a.example by b.example; Mon, 23 Nov 2026 10:00:00 +0100\r\n\
        Received: from c.example by a.example; Mon, 23 Nov 2026 09:00:00 +0100",
    );
    assert_eq!(message.received_ms, Some(1_795_424_400_000));
}

#[test]
fn a_sender_may_have_commas_in_its_name() {
    for name in ["Dr. Anna Bee, M.D., Ph.D.", "Widgets, Gadgets, and More", "Bee, Anna"] {
        let message = parse(format!("From: {name} <a@b.example>").as_bytes());
        let from = message.from.iter().map(|from| (from.name.as_deref(), from.address.as_str()));
        assert_eq!(from.collect::<Vec<_>>(), [(Some(name), "a@b.example")]);
    }
    for two in ["one, Anna <a@b.example>, c@d.example", "Cron <root>, Anna <a@b.example>"] {
        assert_eq!(parse(format!("From: {two}").as_bytes()).from.len(), 2, "{two}");
    }
}

#[test]
fn identifiers_are_bare() {
    let message = parse(
        b"Message-ID: (x) < i@b.example >\r\nIn-Reply-To: Yours of Monday <j@b.example>\r\n\
        References: <h@b.example>\r\n\t<i@b.example><j@b.example>, <k@b.example",
    );
    assert_eq!(message.message_id.as_deref(), Some("i@b.example"));
    assert_eq!(message.in_reply_to, ["j@b.example"]);
    let want = ["h@b.example", "i@b.example", "j@b.example", "k@b.example"];
    assert_eq!(message.references, want);
    assert_eq!(parse(b"Message-ID: i@b.example").message_id.as_deref(), Some("i@b.example"));
    assert_eq!(parse(b"Message-ID: <>").message_id, None);
}

#[test]
fn names_of_files_are_decoded_whatever_form_they_have() {
    #[rustfmt::skip]
    let table: &[(&[u8], &str)] = &[
        (b"attachment; filename=\"a b.txt\"",                              "a b.txt"),
        (b"attachment; filename=a b.txt",                                  "a b.txt"),
        (b"attachment; filename=\"a;b.txt\"; size=1",                      "a;b.txt"),
        (b"attachment; filename=\"a \"b\".txt\"",                          "a \"b\".txt"),
        (b"attachment; filename*=utf-8''gr%C3%BCn.txt",                    "grün.txt"),
        (b"attachment; filename=gr.txt;\r\n filename*=iso-8859-1'de'gr%FCn.txt", "grün.txt"),
        (b"attachment; filename*0*=utf-8''gr%C3;\r\n filename*1*=%BCn;\r\n filename*2=\".txt\"", "grün.txt"),
        (b"attachment; filename*1=\"n.txt\"; filename*0=\"gru\"",          "grun.txt"),
        (b"attachment; filename=\"=?utf-8?Q?gr=C3=BCn.txt?=\"",            "grün.txt"),
        (b"attachment; filename==?utf-8?Q?gr=C3=BCn.txt?=",                "grün.txt"),
        (b"attachment; filename=\"=?utf-8?Q?gr=C3=BC?=\r\n =?utf-8?Q?n.txt?=\"", "grün.txt"),
        (b"attachment; filename*=\"utf-8''=?utf-8?Q?gr=C3=BCn.txt?=\"",    "grün.txt"),
        ("attachment; filename=\"grün.txt\"".as_bytes(),                   "grün.txt"),
        (b"attachment; filename=\"gr\xFCn.txt\"",                          "grün.txt"),
        (b"attachment; name=\"a.txt\"",                                    "a.txt"),
        (b"attachment; filename*=utf-8'gr%C3%BCn.txt",                     "grün.txt"),
        (b"attachment (a file); filename (its name) = (here) \"a.txt\"",   "a.txt"),
        (b"filename=\"a b.txt\"",                                          "a b.txt"),
        (b"; filename=a.txt",                                              "a.txt"),
        (b"attachment filename=a.txt",                                     "a.txt"),
        (b"attachment; filename=\"ned=?utf-8?Q?=C3=A4?=.txt\"",            "nedä.txt"),
        (b"attachment; filename*=iso-8859-1''gr%C3%BCn.txt",               "grün.txt"),
        (b"attachment",                                                    "of the type.txt"),
    ];
    for (value, want) in table {
        let mut field = b"Content-Type: application/x; name=\"of the type.txt\"\r\n".to_vec();
        field.extend_from_slice(b"Content-Disposition: ");
        field.extend_from_slice(value);
        let message = parse(&field);
        let names: Vec<_> = message.attachments.iter().map(|part| &part.declared_name).collect();
        assert_eq!(names, [&Some((*want).to_owned())], "{}", value.escape_ascii());
    }
}

#[test]
fn the_name_of_a_file_may_stand_with_its_type() {
    let message = parse(b"Content-Type: application/pdf; filename=\"a b.pdf\"");
    let names: Vec<_> = message.attachments.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["a b.pdf"]);
}

#[test]
fn what_the_first_of_two_fields_leaves_open_is_taken_from_the_second() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str)] = &[
        ("Content-Disposition: attachment\r\nContent-Disposition: attachment; filename=a.txt", "a.txt", "application/x"),
        ("Content-Disposition: inline\r\nContent-Disposition: attachment; filename=a.txt", "a.txt", "application/x"),
        ("Content-Disposition: attachment; filename=a.txt\r\nContent-Disposition: attachment; filename=b.txt", "a.txt", "application/x"),
        ("Content-Disposition: filename=a.txt\r\nContent-Disposition: attachment", "a.txt", "application/x"),
        ("Content-Type: application/pdf; name=a.pdf", "a.pdf", "application/x"),
        ("Content-Type: application/x; name=a.pdf\r\nContent-Type: application/pdf; name=b.pdf", "a.pdf", "application/x"),
        ("Content-Disposition: attachment; filename=\"\"; filename=a.txt", "a.txt", "application/x"),
    ];
    for (fields, name, kind) in table {
        let message = parse(format!("Content-Type: application/x\r\n{fields}").as_bytes());
        let file = message.attachments.first().unwrap();
        assert_eq!((&*file.name, &*file.media_type), (*name, *kind), "{fields}");
    }
    // What is shown stays shown.
    let shown = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\
                 Content-Type: text/plain\r\nContent-Disposition: inline\r\n\
                 Content-Disposition: attachment; filename=a.txt\r\n\r\ntwo\r\n--b--\r\n";
    let message = postroom_mime::parse(shown.as_bytes());
    assert_eq!(message.text.as_deref(), Some("one\ntwo"));
    assert!(message.attachments.is_empty());
}

#[test]
fn addresses_are_kept_up_to_the_limit() {
    let list = |count: usize| vec!["a@b.example"; count].join(",");
    for (to, more, kept, is_over) in
        [(10_000, 0, 10_000, false), (10_001, 0, 10_000, true), (6_000, 6_000, 10_000, true)]
    {
        let raw = format!("From: a@b.example\nTo: {}\nTo: {}\n\nx\n", list(to), list(more));
        let message = postroom_mime::parse(raw.as_bytes());
        assert_eq!(message.to.len(), kept, "{to} {more}");
        assert_eq!(message.defects.contains(&Defect::AddressesOver), is_over, "{to} {more}");
        let whole: usize =
            message.headers.iter().map(|(_, value)| value.matches('@').count()).sum();
        assert_eq!(whole, 1 + to + more, "the fields stay whole");
    }
}
