//! The session, fed with scripted bytes.

use super::*;
use crate::command::Mode;
use crate::encoder::NameForm;
use crate::items::FetchItems;
use crate::limits::ImapLimits;
use crate::set::UidSet;
use proptest::prelude::*;

/// A fetch in which much is odd, as one server could send it.
const ODD_FETCH: &[u8] = b"* 5 EXISTS\r\n\
    * 1 FETCH (UID 11 FLAGS (\\Seen) BODY[] {12}\r\nSubject: a\r\n)\r\n\
    \r\n\
    * OK still here {5}\r\n\
    * 2 FETCH (FLAGS (\\Seen))\r\n\
    X9 OK another's\r\n\
    + idling\r\n\
    * XFOO {4}\r\nab\r\n (\r\n\
    * 3 FETCH (UID 12 BODY[] {30}\r\n012345678901234567890123456789 FLAGS ())\r\n\
    * 4 FETCH (UID 13 BODY[] {2}\r\nab\r\n)\r\n\
    * 5 FETCH (BODY[] NIL UID 14)\r\n\
    * 6 FETCH (UID 15 BODY[] {99}\r\n\
    0123456789012345678901234567890123456789012345678901234567890123456789\
    01234567890123456789012345678)\r\n\
    \0\0* 7 FETCH (UID 16 BODY[] {3}\r\nab)\r\n\
    * 8 FETCH (UID 17 BODY[] \"q\")\r\n\
    P1 OK [X (y)] done\r\n";

fn session(change: impl FnOnce(&mut ImapLimits)) -> Session {
    let mut options = ImapOptions::default();
    change(&mut options.limits);
    Session::new(Arc::new(options))
}

fn fetching(change: impl FnOnce(&mut ImapLimits)) -> Session {
    let mut session = session(change);
    let set = UidSet::from_range(1..=100);
    session.start(Command::uid_fetch(&set, FetchItems::Message).unwrap());
    while session.take_output().is_some() {}
    session
}

/// Everything that comes out, chunks joined, in one line each.
fn events(session: &mut Session, reads: &[&[u8]]) -> Vec<String> {
    let (mut buffer, mut shown, mut chunks) = (BytesMut::new(), vec![], vec![]);
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match session.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(SessionEvent::Chunk(chunk))) => chunks.extend_from_slice(&chunk),
                Ok(Some(event)) => {
                    if event == SessionEvent::BodyEnd {
                        shown.push(format!("chunks {}", chunks.escape_ascii()));
                        chunks.clear();
                    }
                    shown.push(show(&event));
                }
                Err(error) => {
                    shown.push(error.to_string());
                    return shown;
                }
            }
        }
    }
    shown
}

fn show(event: &SessionEvent) -> String {
    if let SessionEvent::Response(Response::Fetch(fetched)) = event {
        let uid = fetched.uid.unwrap_or(0);
        return match &fetched.body {
            Body::Bytes(bytes) => format!("{uid} {}", bytes.escape_ascii()),
            body @ (Body::Missing
            | Body::Nil
            | Body::Streamed
            | Body::TooBig { .. }
            | Body::WrongSize
            | Body::Contradictory) => format!("{uid} {body:?}"),
        };
    }
    if let SessionEvent::Completed(completion) = event {
        return format!("completed {:?}", completion.result);
    }
    format!("{event:?}")
}

fn small(limits: &mut ImapLimits) {
    limits.literal_in_memory_bytes = 20;
    limits.literal_bytes_max = 50;
}

#[test]
fn a_mailbox_that_is_numbered_anew_while_it_is_open_ends_the_session() {
    let select = || {
        let capabilities = Capabilities::default();
        Command::select(&capabilities, b"INBOX", Mode::Examine, NameForm::Safe).unwrap()
    };
    let mut session = session(small);
    session.start(select());
    let opened = events(&mut session, &[b"* OK [UIDVALIDITY 7] x\r\nP1 OK done\r\n"]);
    assert_eq!(opened.last().unwrap(), "completed Ok(())");
    // The same one, and none.
    assert_eq!(events(&mut session, &[b"* OK [UIDVALIDITY 7] x\r\n"]).len(), 1);
    assert_eq!(events(&mut session, &[b"* OK [UIDVALIDITY] x\r\n"]).len(), 1);
    // Another mailbox has another one.
    session.start(select());
    let opened = events(&mut session, &[b"* OK [UIDVALIDITY 8] x\r\nP2 OK done\r\n"]);
    assert_eq!(opened.last().unwrap(), "completed Ok(())");
    let want = "the server changed UIDVALIDITY of the open mailbox from 8 to 9";
    assert_eq!(events(&mut session, &[b"* OK [UIDVALIDITY 9] x\r\n"]), [want]);
}

#[test]
fn an_odd_fetch_is_read_to_its_end() {
    let got = events(&mut fetching(small), &[ODD_FETCH]);
    let got: Vec<_> = got.iter().filter(|line| !line.starts_with("Response")).collect();
    let want = [
        "11 Subject: a\\r\\n",
        "0 Missing",
        "BodyStart { size_bytes: 30 }",
        "chunks 012345678901234567890123456789",
        "BodyEnd",
        "12 Streamed",
        "13 ab",
        "14 Nil",
        "15 TooBig { size_bytes: 99 }",
        "16 WrongSize",
        "17 q",
        "completed Ok(())",
    ];
    // The literal of UID 16 took the closing parenthesis with it.
    assert_eq!(got, want);
}

#[test]
fn how_bytes_are_split_makes_no_difference() {
    let want = events(&mut fetching(small), &[ODD_FETCH]);
    for at in 0..=ODD_FETCH.len() {
        let (first, second) = ODD_FETCH.split_at(at);
        assert_eq!(events(&mut fetching(small), &[first, second]), want, "split at {at}");
    }
    let single: Vec<&[u8]> = ODD_FETCH.chunks(1).collect();
    assert_eq!(events(&mut fetching(small), &single), want);
}

#[test]
fn a_command_waits_for_its_tag() {
    let mut session = session(|_| {});
    assert_eq!(events(&mut session, &[b"* OK [CAPABILITY IMAP4rev1 ID] hi\r\n"]).len(), 1);
    assert!(session.capabilities().has("ID"));
    session.start(Command::noop());
    let others = b"P2 OK x\r\nP11 OK x\r\nP OK x\r\n* P1 OK x\r\np1 OK x\r\nP1OK x\r\nP1 FOO\r\n";
    let completed = |events: &[String]| events.iter().any(|event| event.starts_with("completed"));
    assert!(!completed(&events(&mut session, &[others])));
    assert!(completed(&events(&mut session, &[b"P1 NO\r\n"])));
    assert!(!completed(&events(&mut session, &[b"P1 OK again\r\n"])));
}

#[test]
fn a_part_waits_until_it_is_asked_for() {
    let sent = |session: &mut Session| -> String {
        let mut text = String::new();
        while let Some(Octets::Text(octets)) = session.take_output() {
            text.push_str(&octets.escape_ascii().to_string());
        }
        text
    };
    let name = crate::MailboxName::from_bytes(b"\xC3\xA9");
    let select = || {
        let none = Capabilities::default();
        Command::select(&none, name.as_bytes(), crate::Mode::Select, crate::encoder::NameForm::Safe)
            .unwrap()
    };
    let mut session = session(|_| {});
    session.start(select());
    assert_eq!(sent(&mut session), r"P1 SELECT {2}\r\n");
    assert_eq!(events(&mut session, &[b"+\r\n"]), ["Continue"]);
    assert_eq!(sent(&mut session), r"\xc3\xa9\r\n");
    assert!(events(&mut session, &[b"+ more?\r\n"]).is_empty());
    assert_eq!(events(&mut session, &[b"P1 OK x\r\n"]), ["completed Ok(())"]);

    session.start(select());
    assert_eq!(sent(&mut session), r"P2 SELECT {2}\r\n");
    assert_eq!(events(&mut session, &[b"P2 NO too long\r\n"]), ["completed Err(No)"]);
    assert_eq!(sent(&mut session), "", "what was refused is not sent");
}

#[test]
fn the_first_bye_is_the_end() {
    let mut session = session(|_| {});
    session.start(Command::noop());
    let got = events(&mut session, &[b"* BYE [UNAVAILABLE] down\r\n* BYE again\r\n"]);
    assert_eq!(got, ["the server ended the session: down"]);
}

#[test]
fn a_bye_without_words_has_the_reason_of_the_refusal_before_it() {
    let after = |command: Command, answers: &'static [u8]| {
        let mut session = session(|_| {});
        session.start(command);
        events(&mut session, &[answers]).pop().unwrap()
    };
    let none = Capabilities::default();
    let select = || {
        let (mode, form) = (crate::Mode::Examine, crate::encoder::NameForm::Safe);
        Command::select(&none, b"a", mode, form).unwrap()
    };
    let got = after(select(), b"P1 NO [CANNOT] mailbox is corrupt\r\n* BYE\r\n");
    let want = "the server ended the session: EXAMINE was answered NO: mailbox is corrupt";
    assert_eq!(got, want);
    let got = after(select(), b"P1 NO [CANNOT] mailbox is corrupt\r\n* BYE too many\r\n");
    assert_eq!(got, "the server ended the session: too many");
    let without = "the server ended the session without saying why";
    assert_eq!(after(select(), b"P1 OK done\r\n* BYE \r\n"), without);
    // What it says of a login may have the password in it.
    let login = Command::login(&none, "anna", &"secret".to_owned().into()).unwrap();
    assert_eq!(after(login, b"P1 NO no secret\r\n* BYE\r\n"), without);
}

#[test]
fn a_message_whose_end_nobody_knows_ends_the_session() {
    for tail in ["0UID 5)\r\n", "* 2 FETCH (UID 6)\r\nP1 OK\r\n"] {
        let bytes = [b"* 1 FETCH (UID 5 BODY[] {2}\r\nab", tail.as_bytes()].concat();
        let got = events(&mut fetching(|_| {}), &[&bytes]);
        let broken = "the server broke the protocol: a literal has another size than announced";
        assert_eq!(got, ["5 WrongSize", broken]);
    }
}

#[test]
fn too_large_literals_are_skipped_up_to_a_bound() {
    let skips = |bound| {
        let mut fetching = fetching(|limits| {
            limits.literal_bytes_max = 3;
            limits.skip_bytes_max = bound;
        });
        events(&mut fetching, &[b"* 1 FETCH (UID 5 BODY[] {6}\r\nabcdef)\r\nP1 OK\r\n"])
    };
    let too_big = "5 TooBig { size_bytes: 6 }";
    assert_eq!(skips(6), [too_big, "completed Ok(())"]);
    assert_eq!(skips(5), [too_big, "the server sent more than 5 bytes in a literal"]);
    let mut endless = fetching(|_| {});
    let got = events(&mut endless, &[b"* 1 FETCH (UID 5 BODY[] {18446744073709551615}\r\nab"]);
    assert_eq!(got.first().unwrap(), "5 TooBig { size_bytes: 9223372036854775807 }");
    assert_eq!(got.len(), 2);
}

#[test]
fn strings_that_nobody_asked_for_are_skipped() {
    let mut session = session(|limits| limits.string_bytes_max = 4);
    let bytes =
        b"* 1 FETCH (X {5}\r\nabcde UID 5 BODY[] {3}\r\nabc)\r\n* LIST () \"/\" {5}\r\nabcde\r\n";
    assert_eq!(events(&mut session, &[bytes]), ["5 Missing", "Response(Other)"]);
}

#[test]
fn a_long_search_comes_in_pieces() {
    let numbers: Vec<String> = (1..100_000).map(|uid: u32| uid.to_string()).collect();
    let line = format!("* SEARCH {} (MODSEQ 5)\r\nP1 OK\r\n", numbers.join(" "));
    let mut session = session(|_| {});
    session.start(Command::uid_search("ALL", false).unwrap());
    let (mut buffer, mut uids, mut count) = (BytesMut::new(), vec![], 0);
    for read in line.as_bytes().chunks(1000) {
        buffer.extend_from_slice(read);
        while let Some(event) = session.receive(&mut buffer).unwrap() {
            count += 1;
            if let SessionEvent::Response(Response::Search(found, _)) = event {
                uids.extend(found);
            }
        }
    }
    assert_eq!(uids, (1..100_000).collect::<Vec<_>>());
    assert!(count > 5);
}

#[test]
fn surplus_requests_are_answered_a_few_times() {
    let mut session = session(|_| {});
    let message = secrecy::SecretString::from("aaaa");
    let offers = Capabilities::parse(b"SASL-IR");
    session.start(Command::authenticate(&offers, "XOAUTH2", &message, b"\r\n"));
    let mut sent = 0;
    for _ in 0..20 {
        events(&mut session, &[b"+ eyJzdGF0dXMi\r\n"]);
        while session.take_output().is_some() {
            sent += 1;
        }
    }
    assert_eq!(sent, 2 + SURPLUS_REQUESTS_MAX);
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    #[rustfmt::skip]
    const WORDS: [&[u8]; 30] = [
        b"* ", b"+ ", b"P1 ", b"OK ", b"BYE ", b"FETCH ", b"1 ", b"(", b")", b"UID ", b"BODY[] ",
        b"BODY[", b"{3}\r\n", b"{0}\r\n", b"{99}\r\n", b"~{2+}\r\n", b"{5", b"\r\n", b"\n", b"\r",
        b"\"", b"\\", b"NIL ", b"FLAGS ", b"SEARCH ", b"LIST ", b"\0", b"\xE9", b"abc", b"* 1 FETCH (BODY[] ",
    ];
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_come_out_the_same_however_they_are_split(
        bytes in pieces(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let want = events(&mut fetching(small), &[&bytes]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let reads: Vec<&[u8]> = at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        prop_assert_eq!(events(&mut fetching(small), &reads), want);
    }
}
