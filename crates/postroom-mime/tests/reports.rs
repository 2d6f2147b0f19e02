//! Reports about messages that were sent, in the forms in which servers and readers write them.

use postroom_mime::Report;
use postroom_mime::ReportKind;
use postroom_mime::parse;

/// A report with these parts, each with its header.
fn report(holder: &str, parts: &[&str]) -> Option<Report> {
    let mut raw = format!(
        "From: MAILER-DAEMON@mx.example\r\nTo: anna@b.example\r\nSubject: Undelivered\r\n\
         MIME-Version: 1.0\r\nContent-Type: {holder}; boundary=\"=_b\"\r\n\r\n"
    );
    for part in parts {
        raw.push_str(&format!("--=_b\r\n{part}\r\n"));
    }
    raw.push_str("--=_b--\r\n");
    parse(raw.as_bytes()).report
}

const REPORT: &str = "multipart/report; report-type=delivery-status";
const TEXT: &str = "Content-Type: text/plain\r\n\r\nI am sorry.\r\n";
const STATUS: &str = "Content-Type: message/delivery-status\r\n\r\n\
    Reporting-MTA: dns; mx.example\r\n\r\n\
    Final-Recipient: rfc822; ben@c.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
    Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n";
const WHOLE: &str = "Content-Type: message/rfc822\r\n\r\n\
    From: anna@b.example\r\nMessage-ID: <one@b.example>\r\nSubject: hello\r\n\r\n\
    Message-ID: <body@b.example>\r\n";
const HEADERS: &str = "Content-Type: text/rfc822-headers\r\n\r\n\
    Received: from b.example\r\nMESSAGE-ID:\r\n <one@b.example>\r\nSubject: hello\r\n";

#[test]
fn a_bounce_names_the_message_of_its_returned_header() {
    for returned in [WHOLE, HEADERS] {
        let report = report(REPORT, &[TEXT, STATUS, returned]).unwrap();
        assert_eq!(report.kind, ReportKind::DeliveryStatus);
        assert_eq!(report.reporter.as_deref(), Some("mx.example"));
        assert_eq!(report.message_id.as_deref(), Some("one@b.example"), "{returned}");
        let [recipient] = report.recipients.as_slice() else {
            unreachable!("{report:?}");
        };
        assert_eq!(recipient.address.as_deref(), Some("ben@c.example"));
        assert_eq!(recipient.action.as_deref(), Some("failed"));
        assert_eq!(recipient.diagnostic.as_deref(), Some("550 5.1.1 no such user"));
    }
}

#[test]
fn a_transfer_encoding_is_undone() {
    let status = "Content-Type: message/global-delivery-status; charset=utf-8\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n\
        UmVwb3J0aW5nLU1UQTogZG5zOyBteA0KDQpGaW5hbC1SZWNpcGllbnQ6IHV0Zi04OyBiw6RAeC5l\r\n\
        eGFtcGxlDQpBY3Rpb246IGZhaWxlZA0K\r\n";
    let returned = "Content-Type: message/global-headers\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nMessage-ID: <one=40b.example>\r\n";
    let report = report(REPORT, &[TEXT, status, returned]).unwrap();
    assert_eq!(report.recipients.first().unwrap().address.as_deref(), Some("bä@x.example"));
    assert_eq!(report.message_id.as_deref(), Some("one@b.example"));
}

#[test]
fn a_reader_tells_what_became_of_the_message() {
    let holder = "multipart/report; report-type=disposition-notification";
    let told = "Content-Type: message/disposition-notification\r\n\r\n\
        Reporting-UA: mua.example; Reader\r\nFinal-Recipient: rfc822;ben@c.example\r\n\
        Original-Message-ID: <one@b.example>\r\n\
        Disposition: manual-action/MDN-sent-manually; displayed\r\n";
    let parts = [TEXT, told];
    let found = report(holder, &parts).unwrap();
    assert_eq!(found.kind, ReportKind::DispositionNotification);
    assert_eq!(found.message_id.as_deref(), Some("one@b.example"));
    assert_eq!(found.recipients.first().unwrap().action.as_deref(), Some("displayed"));
    // The same message stands behind it, or another one.
    assert_eq!(report(holder, &[TEXT, told, WHOLE]).unwrap().message_id, found.message_id);
    let other = WHOLE.replace("one@", "two@");
    assert_eq!(report(holder, &[TEXT, told, &other]).unwrap().message_id, None);
}

#[test]
fn what_is_ambiguous_or_missing_names_no_message() {
    let twice = HEADERS.replace("Subject", "Message-ID: <two@b.example>\r\nSubject");
    let none = HEADERS.replace("MESSAGE-ID", "X-Message-ID");
    let before = [WHOLE, STATUS];
    let foreign = "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\
        Content-Type: message/rfc822\r\n\r\nMessage-ID: <one@b.example>\r\n\r\n--c--\r\n";
    for parts in [&[STATUS, &twice][..], &[STATUS, &none], &[STATUS], &before, &[STATUS, foreign]] {
        let report = report(REPORT, parts).unwrap();
        assert_eq!((report.message_id, report.recipients.len()), (None, 1), "{parts:?}");
    }
}

/// A part that lies in a multipart of its own.
fn framed(holder: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--c\r\n{part}\r\n")).collect();
    format!("Content-Type: {holder}; boundary=c\r\n\r\n{parts}--c--\r\n")
}

#[test]
fn a_report_counts_in_whatever_frame_it_arrives() {
    let mdn = "Content-Type: message/disposition-notification\r\n\r\n\
        Final-Recipient: rfc822;ben@c.example\r\nDisposition: a/b; displayed\r\n";
    let inline = STATUS.replacen("\r\n", "\r\nContent-Disposition: inline\r\n", 1);
    let other_name = HEADERS.replace("text/rfc822-headers", "message/rfc822-headers");
    let apart = framed(REPORT, &[TEXT, STATUS]);
    let (mixed, related) = ("multipart/mixed", "multipart/related");
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        ("mixed in its place",           mixed,              &[TEXT, STATUS, WHOLE]),
        ("with the header alone",        mixed,              &[TEXT, STATUS, HEADERS]),
        ("another one in its place",     related,            &[TEXT, STATUS, WHOLE]),
        ("shown within the message",     mixed,              &[TEXT, &inline, WHOLE]),
        ("of a reader",                  mixed,              &[TEXT, mdn, HEADERS]),
        ("no parameter",                 "multipart/report", &[TEXT, STATUS, HEADERS]),
        ("behind a footer",              mixed,              &[TEXT, TEXT, STATUS, TEXT, WHOLE]),
        ("a list around it",             mixed,              &[&framed(REPORT, &[STATUS, HEADERS]), TEXT]),
        ("a list around a mixed one",    mixed,              &[&framed(mixed, &[TEXT, STATUS, WHOLE]), TEXT]),
        ("the message beside its frame", mixed,              &[&apart, WHOLE]),
        ("another type of the header",   REPORT,             &[TEXT, STATUS, &other_name]),
    ];
    for (why, holder, parts) in table {
        let found = report(holder, parts).unwrap_or_else(|| unreachable!("{why}"));
        assert_eq!(found.message_id.as_deref(), Some("one@b.example"), "{why}");
        assert_eq!(found.recipients[0].address.as_deref(), Some("ben@c.example"), "{why}");
    }
}

#[test]
fn a_report_without_parts_or_boundary_is_read() {
    let alone = parse(format!("From: MAILER-DAEMON@mx.example\r\n{STATUS}").as_bytes());
    assert_eq!(alone.report.unwrap().recipients.len(), 1);
    // Nothing says what delimits the parts.
    let raw = format!(
        "From: a@b.example\r\nContent-Type: multipart/report\r\n\r\n\
         --x\r\n{TEXT}\r\n--x\r\n{STATUS}\r\n--x\r\n{HEADERS}\r\n--x--\r\n"
    );
    let bare = parse(raw.as_bytes()).report.unwrap();
    assert_eq!(bare.message_id.as_deref(), Some("one@b.example"));
}

#[test]
fn what_a_person_passes_on_is_no_report() {
    let bounce = framed(REPORT, &[TEXT, STATUS, HEADERS]);
    let forwarded = format!("Content-Type: message/rfc822\r\n\r\n{bounce}");
    let file =
        STATUS.replacen("\r\n", "\r\nContent-Disposition: attachment; filename=details.txt\r\n", 1);
    let named = STATUS.replacen("delivery-status", "delivery-status; name=details.txt", 1);
    let untold = "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n";
    let unnamed = "Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n";
    let mixed = "multipart/mixed";
    for parts in [
        [TEXT, &forwarded],
        [&file, WHOLE],
        [&named, WHOLE],
        [untold, WHOLE],
        [unnamed, WHOLE],
        [TEXT, WHOLE],
    ] {
        assert_eq!(report(mixed, &parts), None, "{parts:?}");
    }
    assert_eq!(report("multipart/digest", &[&format!("\r\n{bounce}")]), None);
    assert_eq!(report(REPORT, &[TEXT, WHOLE]), None);
    // A gateway makes files of what a server has written.
    for (field, want) in [
        ("Return-Path: <>", true),
        ("Auto-Submitted: auto-replied (failure)", true),
        ("Return-Path: <anna@b.example>", false),
        ("Auto-Submitted: no", false),
        ("Auto-Submitted:", false),
    ] {
        let holder = format!("multipart/mixed; boundary=\"=_b\"\r\n{field}\r\nX-Type: x");
        let found = report(&holder, &[TEXT, &file, WHOLE]);
        assert_eq!(found.is_some(), want, "{field}");
        assert!(found.is_none_or(|found| found.message_id.is_some()), "{field}");
    }
}

#[test]
fn a_report_in_its_own_frame_goes_before_another() {
    let other = STATUS.replace("ben@", "other@");
    let found = report("multipart/mixed", &[&other, &framed(REPORT, &[STATUS, HEADERS])]).unwrap();
    assert_eq!(found.recipients[0].address.as_deref(), Some("ben@c.example"));
}
