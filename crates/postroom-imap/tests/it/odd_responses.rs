//! Odd responses: every one is framed, and the connection goes on.

use bytes::BytesMut;
use postroom_imap::Command;
use postroom_imap::FetchItems;
use postroom_imap::ImapOptions;
use postroom_imap::Response;
use postroom_imap::Session;
use postroom_imap::SessionEvent;
use postroom_imap::UidSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Runs odd bytes through a session that fetches; after them, the command still completes.
fn check(why: &str, odd: &[u8]) {
    for split in [odd.len(), 1] {
        let mut session = Session::new(Arc::new(ImapOptions::default()));
        let set = UidSet::from_range(1..=9);
        session.start(Command::uid_fetch(&set, FetchItems::Message).unwrap());
        while session.take_output().is_some() {}
        let after = b"* 77 EXISTS\r\nP1 OK done\r\n";
        let (mut buffer, mut events) = (BytesMut::new(), vec![]);
        for read in odd.chunks(split.max(1)).chain([after.as_slice()]) {
            buffer.extend_from_slice(read);
            loop {
                match session.receive(&mut buffer) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) if odd.starts_with(b"* BYE") => {
                        assert!(error.to_string().starts_with("the server ended"));
                        return;
                    }
                    Err(error) => panic!("{why}: {error}"),
                }
            }
        }
        assert!(
            events.contains(&SessionEvent::Response(Response::Exists(77))),
            "{why}: {events:?}"
        );
        assert!(matches!(events.last(), Some(SessionEvent::Completed(_))), "{why}: {events:?}");
        assert!(buffer.is_empty(), "{why}");
    }
}

#[test]
fn what_servers_were_seen_to_send() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8])] = &[
        ("nothing",                       b""),
        ("blank lines",                   b"\r\n\r\n\n"),
        ("a line feed alone",             b"* 3 EXISTS\n"),
        ("a carriage return too many",    b"* 3 EXISTS\r\r\n"),
        ("NULs before a response",        b"\0\0\0* 3 EXISTS\r\n"),
        ("no tag, no star",               b"hello\r\n"),
        ("a star alone",                  b"*\r\n* \r\n"),
        ("another's tag",                 b"A000 OK done\r\nP OK\r\nP11 OK\r\n"),
        ("continuations that none asked", b"+\r\n+ \r\n+ idling\r\n+ {3}\r\n"),
        ("a code without its bracket",    b"* OK [ALERT look here\r\n"),
        ("a code alone",                  b"* [COPYUID 1 2 3]\r\n"),
        ("a text that ends like a literal", b"* OK see {12}\r\n* NO {3+}\r\nX OK {5}\r\n"),
        ("text in Latin-1",               b"* OK d\xE9j\xE0\r\n"),
        ("unbalanced parentheses",        b"* 1 FETCH (UID 1 FLAGS (\\Seen)\r\n* 2 FETCH UID 2)))\r\n"),
        ("an unended string",             b"* LIST () \"/\" \"abc\r\n"),
        ("an escape at the end",          b"* LIST () \"/\" \"abc\\\r\n"),
        ("an unended section",            b"* 1 FETCH (BODY[HEADER.FIELDS (A B) UID 3)\r\n"),
        ("a blank line after a literal",  b"* 1 FETCH (UID 1 BODY[] {1}\r\na\r\n)\r\n"),
        ("a blank line, then items",      b"* 1 FETCH (BODY[] {1}\r\na\r\n UID 1)\r\n"),
        ("no parenthesis after a literal", b"* 1 FETCH (UID 1 BODY[] {1}\r\na\r\n"),
        ("literals in a row",             b"* 1 FETCH (A {1}\r\na B {0}\r\n C ~{2+}\r\n\0\xFF)\r\n"),
        ("a literal in an unknown response", b"* XFOO {3}\r\na\nb {2}\r\n)(\r\n"),
        ("a literal that looks like responses", b"* 1 FETCH (UID 1 BODY[] {26}\r\nP1 OK x\r\n* BYE\r\nP1 NO\r\n a)\r\n"),
        ("numbers out of range",          b"* 99999999999999999999 EXISTS\r\n* -1 EXISTS\r\n* 1 FETCH (UID -1 RFC822.SIZE 1e99)\r\n"),
        ("empty lists",                   b"* FLAGS ()\r\n* NAMESPACE () () ()\r\n* SEARCH\r\n* ESEARCH\r\n* LIST () NIL \"\"\r\n"),
        ("a bad date",                    b"* 1 FETCH (UID 1 INTERNALDATE \"00-Jan-0000 00:00:00 +0000\")\r\n"),
        ("the end of the session",        b"* BYE [UNAVAILABLE] see you\r\n* BYE\r\n"),
    ];
    for (why, odd) in table {
        check(why, odd);
    }
    check("nesting", &[&b"* X "[..], &b"(".repeat(60_000), b"\r\n"].concat());
}

/// A list that lies beside the repository on some machines: `name TAB bytes` in each line.
#[test]
fn the_list_of_odd_responses_is_framed_whole() {
    let list =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/imap-odd-responses.txt");
    let Ok(list) = fs::read_to_string(Path::new(list)) else {
        let line = "SKIPPED the_list_of_odd_responses_is_framed_whole: needs the list of them\n";
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        return;
    };
    let mut count = 0;
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let (why, escaped) = line.split_once('\t').unwrap();
        check(why, &unescaped(escaped));
        count += 1;
    }
    assert!(count >= 100, "only {count} responses");
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (vec![], text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    bytes
}
