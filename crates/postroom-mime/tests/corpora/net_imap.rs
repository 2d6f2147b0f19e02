//! The one message of an open corpus beside the repository of which both the header and what a
//! server makes of it are there.
//!
//! All else in that corpus is responses of servers: a matter of the IMAP client.

use std::fs;

use postroom_mime::{Address, parse};

use crate::place::find;

const EXAMPLES: &str = "net-imap/test/net/imap/fixtures/\
    response_parser/rfc3501_examples.yml";

/// The values of a key behind the envelope's beginning, in order.
fn values<'a>(envelope: &'a str, key: &str) -> Vec<&'a str> {
    let of_key = |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix(':');
    envelope.lines().filter_map(of_key).map(|value| value.trim().trim_matches('"')).collect()
}

#[test]
fn a_header_is_what_the_envelope_says() {
    let Some(path) = find(EXAMPLES) else { return };
    let examples = fs::read_to_string(path).unwrap();
    let (_, header) = examples.split_once("BODY[HEADER] {342}\n").unwrap();
    let lines = header.lines().map(|line| line.trim().strip_prefix("# S:").unwrap().trim());
    let lines: Vec<_> = lines.take_while(|line| *line != ")").collect();
    let message = parse(lines.join("\r\n").as_bytes());

    let (_, envelope) = examples.split_once("ENVELOPE: !ruby").unwrap();
    let (envelope, _) = envelope.split_once("BODY:").unwrap();
    let [from] = message.from.as_slice() else { panic!("{:?}", message.from) };
    // What a server gives for `Sender` and `Reply-To` that are missing.
    let people = [from, from, from].into_iter().chain(&message.to).chain(&message.cc);
    let people: Vec<&Address> = people.collect();
    let addresses: Vec<_> = people.iter().map(|who| who.address.split_once('@').unwrap()).collect();
    let want = values(envelope, "mailbox").into_iter().zip(values(envelope, "host"));
    assert_eq!(addresses, want.collect::<Vec<_>>());
    let names: Vec<_> = people.iter().map(|who| who.name.as_deref().unwrap_or_default()).collect();
    let starts = envelope.replace("- !ruby/struct:Net::IMAP::Address\n", "");
    assert_eq!(names, values(&starts, "name"));
    assert_eq!(message.subject.as_deref(), values(envelope, "subject").first().copied());
    let id = message.message_id.unwrap();
    assert_eq!(format!("<{id}>"), *values(envelope, "message_id").first().unwrap());
    assert_eq!(message.date_ms, Some(837_595_405_000));
}
