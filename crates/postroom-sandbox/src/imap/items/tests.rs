//! Items, as they are asked for and as they are sent.

use super::*;
use crate::imap::token::CommandSegment;
use crate::imap::token::tokens;

const MESSAGE: &[u8] = b"Subject: hi\r\nTo: a@b.test\r\n\r\nbody\r\n";

const NESTED: &[u8] = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: 1\r\n\r\none\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
    --c\r\n\r\ntwo\r\n--c--\r\n--b--\r\n";

fn fetch(items: &str, bytes: &[u8], fault: Option<&MessageFault>) -> String {
    let line = tokens(&[CommandSegment::Line(items.into())]).unwrap();
    let items = parse(&mut Arguments::new(&line)).unwrap();
    let message = StoredMessage {
        uid: 7,
        flags: vec!["\\Seen".to_owned(), "$Later".to_owned()],
        internal_date_ms: 1_706_781_600_000,
        bytes: Bytes::copy_from_slice(bytes),
        flags_changed: (0, 0),
    };
    let pieces = response(&items, 1, &message, fault).unwrap_or_default();
    String::from_utf8(pieces.concat()).unwrap()
}

#[test]
fn each_item_has_its_form() {
    for (items, want) in [
        ("(UID FLAGS)", "UID 7 FLAGS (\\Seen $Later)"),
        ("RFC822.SIZE", "RFC822.SIZE 35"),
        ("INTERNALDATE", "INTERNALDATE \"01-Feb-2024 10:00:00 +0000\""),
        ("BODY.PEEK[]", "BODY[] {35}\r\nSubject: hi\r\nTo: a@b.test\r\n\r\nbody\r\n"),
        ("BODY[TEXT]", "BODY[TEXT] {6}\r\nbody\r\n"),
        ("BODY[HEADER]", "BODY[HEADER] {29}\r\nSubject: hi\r\nTo: a@b.test\r\n\r\n"),
        ("BODY[]<30.3>", "BODY[]<30> {3}\r\nody"),
        ("BODY[]<34.9>", "BODY[]<34> {1}\r\n\n"),
        ("BODY[]<99.9>", "BODY[]<99> {0}\r\n"),
        ("BODY[HEADER.FIELDS (to)]", "BODY[HEADER.FIELDS (to)] {16}\r\nTo: a@b.test\r\n\r\n"),
        (
            "BODY[HEADER.FIELDS.NOT (\"to\")]",
            "BODY[HEADER.FIELDS.NOT (\"to\")] {15}\r\nSubject: hi\r\n\r\n",
        ),
        ("BODY[1]", "BODY[1] {6}\r\nbody\r\n"),
        ("BODY[2]", "BODY[2] NIL"),
        ("RFC822.TEXT", "RFC822.TEXT {6}\r\nbody\r\n"),
        ("BODY", "BODY (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 6 1)"),
    ] {
        assert_eq!(fetch(items, MESSAGE, None), format!("* 1 FETCH ({want})\r\n"), "{items}");
    }
}

#[test]
fn parts_are_found_by_their_numbers() {
    for (items, want) in [
        ("BODY[1]", "BODY[1] {3}\r\none"),
        ("BODY[1.MIME]", "BODY[1.MIME] {8}\r\nX: 1\r\n\r\n"),
        ("BODY[1.TEXT]", "BODY[1.TEXT] NIL"),
        (
            "BODY[2.HEADER.FIELDS (Subject)]",
            "BODY[2.HEADER.FIELDS (Subject)] {15}\r\nSubject: in\r\n\r\n",
        ),
        ("BODY[2.1]", "BODY[2.1] {3}\r\ntwo"),
        ("BODY[3]", "BODY[3] NIL"),
        ("BODY[0]", "BODY[0] NIL"),
    ] {
        assert_eq!(fetch(items, NESTED, None), format!("* 1 FETCH ({want})\r\n"), "{items}");
    }
}

#[test]
fn each_fault_changes_one_thing() {
    for (fault, want) in [
        (MessageFault::BodyNil, "UID 7 RFC822.SIZE 3 BODY[] NIL"),
        (MessageFault::BodyMissing, "UID 7 RFC822.SIZE 3"),
        (MessageFault::Body(b"x".to_vec()), "UID 7 RFC822.SIZE 3 BODY[] {1}\r\nx"),
        (MessageFault::LiteralOffBy(2), "UID 7 RFC822.SIZE 3 BODY[] {5}\r\nabc"),
        (MessageFault::LiteralOffBy(-9), "UID 7 RFC822.SIZE 3 BODY[] {0}\r\nabc"),
        (MessageFault::SizeOffBy(-1), "UID 7 RFC822.SIZE 2 BODY[] {3}\r\nabc"),
        (MessageFault::UidMissing, "RFC822.SIZE 3 BODY[] {3}\r\nabc"),
        (MessageFault::Uid(9), "UID 9 RFC822.SIZE 3 BODY[] {3}\r\nabc"),
    ] {
        let got = fetch("(UID RFC822.SIZE BODY.PEEK[])", b"abc", Some(&fault));
        assert_eq!(got, format!("* 1 FETCH ({want})\r\n"), "{fault:?}");
    }
    assert_eq!(fetch("UID", b"abc", Some(&MessageFault::Omit)), "");
    let flags = MessageFault::Flags("NIL".to_owned());
    assert_eq!(fetch("FLAGS", b"", Some(&flags)), "* 1 FETCH (FLAGS NIL)\r\n");
    let date = MessageFault::InternalDate("NIL".to_owned());
    assert_eq!(fetch("INTERNALDATE", b"", Some(&date)), "* 1 FETCH (INTERNALDATE NIL)\r\n");
}

#[test]
fn what_is_no_item_is_malformed() {
    for items in ["BODY[", "BODY[X]", "BODY[MIME]", "BODY[]<1>", "FOO[]", "FOO", "()"] {
        let line = tokens(&[CommandSegment::Line(items.into())]).unwrap();
        assert!(parse(&mut Arguments::new(&line)).is_err(), "{items}");
    }
}
