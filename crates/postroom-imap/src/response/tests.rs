//! Tables of responses, ordinary and odd.

use super::*;
use crate::frame::Frame;
use crate::frame::Framer;
use crate::frame::LiteralUse;
use crate::frame::TextEnd;
use crate::limits::ImapLimits;
use bytes::Bytes;
use bytes::BytesMut;

/// Frames one response, all literals whole, and reads it.
fn read(bytes: &[u8]) -> Response {
    let (mut buffer, mut framer, mut segments) = (BytesMut::from(bytes), Framer::new(), vec![]);
    while let Some(frame) = framer.next(&mut buffer, &ImapLimits::default()).unwrap() {
        match frame {
            Frame::Text(text, after) => {
                segments.push(Segment::Text(text));
                if let TextEnd::Literal(size) = after {
                    framer.deliver(LiteralUse::Whole(usize::try_from(size).unwrap()));
                }
            }
            Frame::Literal(literal) => segments.push(Segment::Literal(literal)),
            Frame::Chunk(_) | Frame::LiteralEnd => panic!("nothing streams here"),
        }
    }
    assert!(buffer.is_empty(), "{}", bytes.escape_ascii());
    parse(&segments)
}

fn fetched(bytes: &[u8]) -> Fetched {
    let Response::Fetch(fetched) = read(bytes) else {
        panic!("{}", bytes.escape_ascii());
    };
    fetched
}

#[test]
fn messages_are_read_whatever_stands_around_their_items() {
    let all = b"* 12 FETCH (UID 5 FLAGS (\\Seen $X) INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" \
                RFC822.SIZE 3 BODY[] {3}\r\na\r\n)\r\n";
    let want = Fetched {
        uid: Some(5),
        flags: vec!["\\Seen".to_owned(), "$X".to_owned()],
        internal_date_ms: Some(1_577_836_800_000),
        size_bytes: Some(3),
        header: None,
        body: Body::Bytes(Bytes::from_static(b"a\r\n")),
        is_called_part: false,
    };
    assert_eq!(fetched(all), want);
    #[rustfmt::skip]
    let table: &[(&str, &[u8], Option<u64>, Body)] = &[
        ("after the body",      b"* 1 FETCH (BODY[] {2}\r\nab UID 5)\r\n", Some(5), Body::Bytes(Bytes::from_static(b"ab"))),
        ("origin octet",        b"* 1 FETCH (body[]<0> {2}\r\nab UID 5)\r\n", Some(5), Body::Bytes(Bytes::from_static(b"ab"))),
        ("literal8",            b"* 1 FETCH (BINARY[] ~{2}\r\n\0b UID 5)\r\n", Some(5), Body::Bytes(Bytes::from_static(b"\0b"))),
        ("quoted",              b"* 1 FETCH (UID 5 BODY[] \"a\\\"b\")\r\n", Some(5), Body::Bytes(Bytes::from_static(b"a\"b"))),
        ("empty",               b"* 1 FETCH (UID 5 BODY[] {0}\r\n)\r\n", Some(5), Body::Bytes(Bytes::new())),
        ("NIL",                 b"* 1 FETCH (UID 5 BODY[] NIL)\r\n", Some(5), Body::Nil),
        ("a part, not all",     b"* 1 FETCH (UID 5 BODY[1] {2}\r\nab)\r\n", Some(5), Body::Missing),
        ("a header field",      b"* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT \"X\")] {2}\r\nab UID 5)\r\n", Some(5), Body::Missing),
        ("only flags",          b"* 1 FETCH (FLAGS ())\r\n", None, Body::Missing),
        ("UID zero",            b"* 1 FETCH (UID 0)\r\n", None, Body::Missing),
        ("UID as a string",     b"* 1 FETCH (UID \"5\")\r\n", Some(5), Body::Missing),
        ("no value",            b"* 1 FETCH (FLAGS UID 5)\r\n", Some(5), Body::Missing),
        ("no value at the end", b"* 1 FETCH (UID 5 FLAGS)\r\n", Some(5), Body::Missing),
        ("unknown item",        b"* 1 FETCH (X-A (b (c UID 7)) UID 5 Y-B NIL)\r\n", Some(5), Body::Missing),
        ("an envelope",         b"* 1 FETCH (ENVELOPE (\"d\" {2}\r\n)( NIL) UID 5)\r\n", Some(5), Body::Missing),
        ("blanks",              b"*  1 FETCH ( FLAGS (\\Seen)  UID 5 ) \r\n", Some(5), Body::Missing),
        ("never closed",        b"* 1 FETCH (UID 5\n", Some(5), Body::Missing),
        ("second body",         b"* 1 FETCH (UID 5 BODY[] {1}\r\na BODY[] {1}\r\nb)\r\n", Some(5), Body::Contradictory),
        ("the same body twice", b"* 1 FETCH (UID 5 BODY[] {1}\r\na RFC822 {1}\r\na)\r\n", Some(5), Body::Bytes(Bytes::from_static(b"a"))),
        ("NIL and a body",      b"* 1 FETCH (UID 5 BODY[] NIL BODY[] {1}\r\na)\r\n", Some(5), Body::Contradictory),
        ("two UIDs",            b"* 1 FETCH (UID 5 BODY[] {1}\r\na UID 6)\r\n", None, Body::Bytes(Bytes::from_static(b"a"))),
        ("the same UID twice",  b"* 1 FETCH (UID 5 BODY[] {1}\r\na UID 5)\r\n", Some(5), Body::Bytes(Bytes::from_static(b"a"))),
        ("two sizes",           b"* 1 FETCH (RFC822.SIZE 9 UID 5 BODY[] {1}\r\na RFC822.SIZE 1)\r\n", Some(5), Body::Contradictory),
    ];
    for (why, bytes, uid, body) in table {
        let fetched = fetched(bytes);
        assert_eq!((fetched.uid, &fetched.body), (*uid, body), "{why}");
    }
    for (name, is_called_part) in [("BODY[]", false), ("BODY[]<0>", true), ("RFC822", false)] {
        let bytes = format!("* 1 FETCH (UID 5 {name} {{2}}\r\nab)\r\n").into_bytes();
        assert_eq!(fetched(&bytes).is_called_part, is_called_part, "{name}");
    }
    let fields = b"* 1 FETCH (UID 5 BODY[HEADER.FIELDS (MESSAGE-ID)] {2}\r\nab)\r\n";
    assert_eq!(fetched(fields).header.as_deref(), Some(&b"ab"[..]));
}

#[test]
fn numbers_that_are_no_uids_are_counted() {
    let found = |uids: &[u64], unusable| Response::Search(uids.to_vec(), unusable);
    assert_eq!(read(b"* SEARCH 0 20 5000000000\r\n"), found(&[20, 5_000_000_000], 1));
    assert_eq!(read(b"* SEARCH 99999999999999999999 x 7\r\n"), found(&[7], 2));
    let set = UidSet::from_uids(&[3, 5_000_000_000]);
    assert_eq!(read(b"* ESEARCH UID ALL 0,3,5000000000,*\r\n"), Response::Esearch(set, 2));
}

#[test]
fn mailboxes_are_listed_in_many_ways() {
    type Row<'a> = (&'a [u8], &'a [u8], Option<char>, Option<&'a str>);
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        (b"* LIST (\\HasNoChildren) \"/\" INBOX\r\n",            b"INBOX", Some('/'), None),
        (b"* LIST (\\Noselect) NIL \"a b\"\r\n",                 b"a b", None, None),
        (b"* LIST (\\Sent) \"\\\\\" \"a\\\"b\"\r\n",             b"a\"b", Some('\\'), Some("\\Sent")),
        (b"* LIST () \".\" {7}\r\na\r\n(b)c\r\n",                b"a\r\n(b)c", Some('.'), None),
        (b"* LIST () \"/\" Sent Items (old)\r\n",                b"Sent Items (old)", Some('/'), None),
        (b"* LIST () \"/\" foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n", b"foo", Some('/'), None),
        (b"* LIST () \".\" INBOX.[Gmail]\r\n",                   b"INBOX.[Gmail]", Some('.'), None),
        (b"* LIST () \"/\" \xC3\xA9\r\n",                        b"\xC3\xA9", Some('/'), None),
        (b"* XLIST (\\Spam \\HasNoChildren) \"/\" x\r\n",        b"x", Some('/'), Some("\\Junk")),
        (b"* LIST () \"/\" 2024\r\n",                            b"2024", Some('/'), None),
        (b"* LIST () \"\" \"\"\r\n",                             b"", None, None),
    ];
    for (bytes, name, delimiter, special_use) in table {
        let Response::List(listed) = read(bytes) else {
            panic!("{}", bytes.escape_ascii());
        };
        assert_eq!(listed.name.as_bytes(), *name);
        assert_eq!((listed.delimiter, listed.special_use.as_deref()), (*delimiter, *special_use));
    }
}

#[test]
fn counts_and_sets() {
    let status = |bytes: &[u8]| {
        let Response::Status(name, status) = read(bytes) else {
            panic!("{}", bytes.escape_ascii());
        };
        (name.to_percent_encoded(), status)
    };
    let counts = Status { messages: Some(1), uid_next: Some(2), ..Status::default() };
    let (name, got) = status(b"* STATUS \"a b\" (MESSAGES 1 X (2 3) UIDNEXT 2) \r\n");
    assert_eq!((name.as_str(), got), ("a b", counts));
    let (name, got) = status(b"* STATUS a (b) (MESSAGES 1 UIDNEXT 2)\r\n");
    assert_eq!((name.as_str(), got), ("a (b)", counts));
    assert_eq!(status(b"* STATUS {1}\r\nx ()\r\n").1, Status::default());
    let zero = status(b"* STATUS x (UIDVALIDITY 0 UIDNEXT 0)\r\n").1;
    assert_eq!(zero, Status::default());

    assert_eq!(read(b"* SEARCH 2 84  882 (MODSEQ 9)\r\n"), Response::Search(vec![2, 84, 882], 0));
    assert_eq!(read(b"* SEARCH\r\n"), Response::Search(vec![], 0));
    let esearch = |bytes: &[u8]| {
        let Response::Esearch(set, _) = read(bytes) else {
            panic!("{}", bytes.escape_ascii());
        };
        set.to_string()
    };
    assert_eq!(esearch(b"* ESEARCH (TAG \"P1\") UID COUNT 5 ALL 4:18,21\r\n"), "4:18,21");
    assert_eq!(esearch(b"* ESEARCH (TAG \"P1\") UID\r\n"), "");
    assert_eq!(read(b"* 23 EXISTS \r\n"), Response::Exists(23));
    assert_eq!(read(b"* 99999999999 EXISTS\r\n"), Response::Exists(u32::MAX));
}

#[test]
fn namespaces_have_extensions() {
    let line = b"* NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\" \"X-PARAM\" (\"A\" \"B\"))) NIL ((\"Shared.\" NIL))\r\n";
    let Response::Namespace(namespaces) = read(line) else {
        panic!("no namespaces");
    };
    let namespace = |prefix: &str, delimiter| Namespace { prefix: prefix.into(), delimiter };
    assert_eq!(namespaces.personal, [namespace("", Some('/')), namespace("#mh/", Some('/'))]);
    assert_eq!(namespaces.other_users, []);
    assert_eq!(namespaces.shared, [namespace("Shared.", None)]);
}

#[test]
fn what_is_not_known_is_passed_over() {
    #[rustfmt::skip]
    let table: &[&[u8]] = &[
        b"* XFOO bar baz\r\n",
        b"* 1 FOO\r\n",
        b"* [COPYUID 1 2 3] done\r\n",
        b"*\r\n",
        b"* \r\n",
        b"* LIST\r\n",
        b"* LIST ()\r\n",
        b"* LIST () \"/\"\r\n",
        b"* 1 FETCH\r\n",
        b"* 1 FETCH NIL\r\n",
        b"* FLAGS\r\n",
        b"* STATUS x\r\n",
        b"* VANISHED (EARLIER) 300:310\r\n",
        b"* (((((\r\n",
        b"* \"\r\n",
    ];
    for bytes in table {
        assert_eq!(read(bytes), Response::Other, "{}", bytes.escape_ascii());
    }
}
