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

#[test]
fn only_a_part_of_a_report_is_one() {
    assert_eq!(report("multipart/mixed", &[TEXT, STATUS, WHOLE]), None);
    assert_eq!(report(REPORT, &[TEXT, WHOLE]), None);
    // Somebody forwards a bounce.
    let forwarded = format!(
        "Content-Type: message/rfc822\r\n\r\nContent-Type: {REPORT}; boundary=c\r\n\r\n\
         --c\r\n{STATUS}\r\n--c\r\n{HEADERS}\r\n--c--\r\n"
    );
    assert_eq!(report("multipart/mixed", &[TEXT, &forwarded]), None);
    // A list has put a report into its own frame.
    let framed = format!(
        "Content-Type: {REPORT}; boundary=c\r\n\r\n--c\r\n{STATUS}\r\n--c\r\n{HEADERS}\r\n--c--\r\n"
    );
    let found = report("multipart/mixed", &[&framed, TEXT]).unwrap();
    assert_eq!(found.message_id.as_deref(), Some("one@b.example"));
}
