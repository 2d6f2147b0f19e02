//! Servers that go wrong, on a pipe, with paused time: a deadline passes at once.

use crate::peer::Peer;
use crate::peer::connect;
use crate::peer::connect_with;
use crate::peer::credentials;
use crate::peer::options;
use postroom_imap::Body;
use postroom_imap::Error;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_imap::ImapVerdict;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::UidSet;

/// Fetches from a peer; gives what came, and how it ended.
async fn fetched(connection: &mut ImapConnection) -> (Vec<String>, Option<Error>) {
    let mut seen = vec![];
    let set = UidSet::from_range(1..=9);
    let mut fetch = connection.uid_fetch(&set, FetchItems::Message).await.unwrap();
    loop {
        match fetch.next().await {
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
            Ok(Some(FetchEvent::Message(message))) => {
                seen.push(format!("{} {:?}", message.uid.unwrap_or(0), message.body));
            }
            Ok(Some(FetchEvent::BodyStart { size_bytes })) => {
                seen.push(format!("start {size_bytes}"));
            }
            Ok(Some(FetchEvent::Chunk(_))) => {}
            Ok(Some(FetchEvent::BodyEnd)) => seen.push("end".to_owned()),
        }
    }
}

const SMALL: &[u8] = b"* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\n";

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let (stream, _peer) = tokio::io::duplex(1000);
    let error = ImapConnection::over(stream, &options()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server did not answer the greeting within 30 seconds");
    assert_eq!(error.verdict(), ImapVerdict::Retry);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_bye_instead_of_hello() {
    let (stream, mut peer) = Peer::new();
    peer.send(b"* BYE Too many connections\r\n").await;
    let error = ImapConnection::over(stream, &options()).await.unwrap_err();
    assert_eq!(error.verdict(), ImapVerdict::RetryLater { after: None });
}

#[tokio::test(start_paused = true)]
async fn a_stall_ends_at_its_deadline_wherever_it_happens() {
    for said in
        [&b""[..], b"* 1 FE", SMALL, b"* 1 FETCH (UID 1 BODY[] {99}\r\nab", b"X OK\r\n", b"P1"]
    {
        let (mut connection, mut peer) = connect("").await;
        let server = async {
            peer.take_command().await;
            peer.send(said).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = server => {}
            (_, error) = fetched(&mut connection) => {
                assert!(matches!(error, Some(Error::Timeout { command: "UID FETCH", .. })));
            }
        }
        assert!(matches!(connection.noop().await, Err(Error::Ended)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_a_stall() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(b"* 1 FETCH (UID 1 BODY[] {9999}\r\n").await;
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            peer.send(b"x").await;
        }
    };
    tokio::select! {
        () = server => {}
        (_, error) = fetched(&mut connection) => {
            assert!(matches!(error, Some(Error::Timeout { .. })));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_no_leave_to_trickle_afterwards() {
    let mut options = options();
    options.limits.literal_in_memory_bytes = 100;
    let (mut connection, mut peer) = connect_with("", &options).await;
    let server = async {
        peer.take_command().await;
        peer.send(b"* 1 FETCH (UID 1 BODY[] {9999999}\r\n").await;
        peer.send(&[b'x'; 1_000_000]).await;
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(100)).await;
            peer.send(b"x").await;
        }
    };
    tokio::select! {
        () = server => {}
        (seen, error) = fetched(&mut connection) => {
            assert_eq!(seen, ["start 9999999"]);
            assert!(matches!(error, Some(Error::Timeout { .. })), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_brings_only_what_nobody_asked_for_ends() {
    let big = |uid: u32| {
        let body = "x".repeat(30_000);
        format!("* 1 FETCH (UID {uid} BODY[] {{30000}}\r\n{body})\r\n")
    };
    for flood in ["* 1 EXISTS\r\n".repeat(1000), big(77), big(1)] {
        let mut options = options();
        options.limits.answer_bytes_max = 1 << 20;
        options.limits.literal_in_memory_bytes = 10_000;
        let (mut connection, mut peer) = connect_with("", &options).await;
        let server = async {
            peer.take_command().await;
            while peer.try_send(flood.as_bytes()).await {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = server => {}
            (_, error) = fetched(&mut connection) => {
                assert!(matches!(error, Some(Error::Limit { .. })), "{error:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_fetch_of_what_was_asked_for_does_not_end() {
    let mut options = options();
    options.limits.answer_bytes_max = 40_000;
    options.limits.literal_in_memory_bytes = 10_000;
    let (mut connection, mut peer) = connect_with("", &options).await;
    let server = async {
        let body = "x".repeat(30_000);
        let one = |uid| format!("* 1 FETCH (UID {uid} BODY[] {{30000}}\r\n{body})\r\n");
        peer.answer("UID FETCH", &(1..=9).map(one).collect::<String>()).await;
    };
    let (_, (seen, error)) = tokio::join!(server, fetched(&mut connection));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(seen.len(), 27);
}

#[tokio::test(start_paused = true)]
async fn chatter_does_not_keep_a_command_alive() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            peer.send(b"* OK still here\r\n").await;
        }
    };
    tokio::select! {
        () = server => {}
        result = connection.noop() => assert!(matches!(result, Err(Error::Timeout { .. }))),
    }
}

#[tokio::test(start_paused = true)]
async fn whole_messages_before_a_loss_are_delivered() {
    for tail in [&b""[..], b"* 2 FETCH (UID 2 BODY[] {10}\r\nabc"] {
        let (mut connection, mut peer) = connect("").await;
        let server = async move {
            peer.take_command().await;
            peer.send(SMALL).await;
            peer.send(tail).await;
        };
        let ((), (seen, error)) = tokio::join!(server, fetched(&mut connection));
        assert_eq!(seen, ["1 Bytes(b\"ab\")"]);
        assert!(matches!(error, Some(Error::Closed { command: "UID FETCH" })), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bye_ends_the_connection_at_once() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(SMALL).await;
        peer.send(b"* BYE Request is throttled. Suggested Backoff Time: 5000 milliseconds\r\n")
            .await;
    };
    let ((), (seen, error)) = tokio::join!(server, fetched(&mut connection));
    assert_eq!(seen.len(), 1);
    let after = Some(std::time::Duration::from_secs(5));
    assert_eq!(error.unwrap().verdict(), ImapVerdict::RetryLater { after });
    assert!(peer.is_closed().await);
    assert!(matches!(connection.noop().await, Err(Error::Ended)));
}

#[tokio::test(start_paused = true)]
async fn a_bye_between_commands_is_told_by_the_next() {
    let (mut connection, mut peer) = connect("").await;
    peer.send(b"* 3 EXISTS\r\n* BYE idle for too long\r\n").await;
    assert!(peer.is_closed().await);
    assert!(matches!(connection.noop().await, Err(Error::Bye { .. })));
    assert!(matches!(connection.noop().await, Err(Error::Ended)));
}

#[tokio::test(start_paused = true)]
async fn another_tag_completes_nothing() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(b"A1 OK done\r\nP9 OK done\r\n").await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server => {}
        result = connection.noop() => assert!(matches!(result, Err(Error::Timeout { .. }))),
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_line_is_cut() {
    for start in [&b"* 1 FETCH ("[..], b"* OK ", b"+ ", b"x", b"* SEARCH 1"] {
        let (mut connection, mut peer) = connect("").await;
        let server = async {
            peer.take_command().await;
            peer.send(start).await;
            while peer.try_send(&[b'1'; 4096]).await {}
        };
        let ((), (_, error)) = tokio::join!(server, fetched(&mut connection));
        assert!(matches!(error, Some(Error::Limit { .. })), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_literal_is_reported_and_cut() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(b"* 1 FETCH (UID 7 BODY[] {9223372036854775807}\r\n").await;
        while peer.try_send(&[b'a'; 4096]).await {}
    };
    let ((), (seen, error)) = tokio::join!(server, fetched(&mut connection));
    assert_eq!(seen, ["7 TooBig { size_bytes: 9223372036854775807 }"]);
    assert_eq!(error.unwrap().verdict(), ImapVerdict::Protocol);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_streams_and_a_too_large_one_costs_no_other() {
    let mut options = options();
    options.limits.literal_in_memory_bytes = 1000;
    options.limits.literal_bytes_max = 100_000;
    let (mut connection, mut peer) = connect_with("", &options).await;
    let server = async {
        for round in 0..2 {
            peer.take_command().await;
            for (uid, size) in [(1, 1000), (2, 1001), (3, 100_000), (4, 100_001), (5, 0)] {
                peer.send(format!("* 1 FETCH (UID {uid} BODY[] {{{size}}}\r\n").as_bytes()).await;
                peer.send(&vec![b'a'; size]).await;
                peer.send(b")\r\n").await;
            }
            peer.send(format!("P{} OK\r\n", round + 1).as_bytes()).await;
        }
    };
    let client = async {
        for _ in 0..2 {
            let (seen, error) = fetched(&mut connection).await;
            let shown: Vec<_> = seen.iter().map(|seen| seen.get(..14).unwrap_or(seen)).collect();
            let want = [
                "1 Bytes(b\"aaaa",
                "start 1001",
                "end",
                "2 Streamed",
                "start 100000",
                "end",
                "3 Streamed",
                "4 TooBig { siz",
                "5 Bytes(b\"\")",
            ];
            assert_eq!(shown, want);
            assert!(error.is_none());
        }
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_refused_fetch_keeps_what_came_and_the_connection() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(SMALL).await;
        peer.send(b"P1 NO Server error while fetching messages\r\n").await;
        peer.answer("NOOP", "").await;
    };
    let client = async {
        let (seen, error) = fetched(&mut connection).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(error.unwrap().verdict(), ImapVerdict::Refused);
        connection.noop().await.unwrap();
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_given_up_near_its_end_leaves_the_connection_good() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        for _ in 0..1000 {
            peer.send(b"* 1 FETCH (UID 1 BODY[] {1000}\r\n").await;
            peer.send(&[b'a'; 1000]).await;
            peer.send(b")\r\n").await;
        }
        peer.send(b"P1 OK\r\n").await;
        peer.answer("NOOP", "").await;
    };
    let client = async {
        let set = UidSet::from_range(1..=9);
        let mut fetch = connection.uid_fetch(&set, FetchItems::Message).await.unwrap();
        assert!(fetch.next().await.unwrap().is_some());
        drop(fetch);
        connection.noop().await.unwrap();
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_given_up_far_from_its_end_closes_the_connection() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        while peer.try_send(b"* 1 FETCH (UID 1 BODY[] {9}\r\n012345678)\r\n").await {}
    };
    let client = async {
        let set = UidSet::from_range(1..=9);
        let mut fetch = connection.uid_fetch(&set, FetchItems::Message).await.unwrap();
        assert!(fetch.next().await.unwrap().is_some());
        drop(fetch);
        assert!(matches!(connection.noop().await, Err(Error::Ended)));
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_closed_in_whatever_state() {
    let (connection, mut peer) = connect("").await;
    drop(connection);
    assert!(peer.is_closed().await);

    let (mut connection, mut peer) = connect("").await;
    let set = UidSet::from_range(1..=9);
    let fetch = connection.uid_fetch(&set, FetchItems::Message).await.unwrap();
    peer.take_command().await;
    drop(fetch);
    drop(connection);
    assert!(peer.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_caller_left_is_not_taken_for_the_next() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        peer.send(b"* STATUS x (MESSAGES 1)\r\nP1 OK\r\n").await;
        peer.answer("STATUS", "* STATUS y (MESSAGES 2)\r\n").await;
    };
    let client = async {
        let (first, second) = (MailboxName::from_display("x"), MailboxName::from_display("y"));
        let short = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(short, connection.status(&first)).await.is_err());
        assert_eq!(connection.status(&second).await.unwrap().messages, Some(2));
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_wrong_size_is_told_from_the_others() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(b"* 1 FETCH (UID 1 BODY[] {3}\r\nab)\r\n* 2 FETCH (UID 2 BODY[] {2}\r\nab)\r\n")
            .await;
        peer.send(b"* 3 FETCH (UID 3 BODY[] {2}\r\nabc)\r\nP1 OK\r\n").await;
    };
    let ((), (seen, error)) = tokio::join!(server, fetched(&mut connection));
    assert_eq!(seen, ["1 WrongSize", "2 Bytes(b\"ab\")", "3 WrongSize"]);
    assert!(matches!(error, Some(Error::Protocol { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_given_up() {
    let (mut connection, _peer) = connect("LITERAL+").await;
    let body = bytes::Bytes::from(vec![b'a'; 1 << 20]);
    let result = connection.append(&MailboxName::inbox(), &[], None, body).await;
    assert!(matches!(result, Err(Error::Timeout { command: "APPEND", .. })), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn passwords_are_not_sent_where_no_mechanism_is_offered() {
    let (mut connection, mut peer) = connect("LOGINDISABLED").await;
    let error = connection.login(&credentials()).await.unwrap_err();
    assert_eq!(error.verdict(), ImapVerdict::Credentials);
    drop(connection);
    assert!(peer.is_closed().await, "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_without_uid_validity_is_asked_for_by_status() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.answer("SELECT", "* 2 EXISTS\r\n* OK [UIDVALIDITY 0] x\r\n").await;
        peer.answer("STATUS", "* STATUS INBOX (UIDVALIDITY 7)\r\n").await;
    };
    let client = async {
        let selected = connection.select(&MailboxName::inbox(), Mode::Select).await.unwrap();
        assert_eq!((selected.exists, selected.uid_validity), (Some(2), Some(7)));
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn streamed_bodies_are_whole() {
    let mut options = options();
    options.limits.literal_in_memory_bytes = 10;
    let (mut connection, mut peer) = connect_with("", &options).await;
    let body: Vec<u8> = (0..500_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let server = async {
        peer.take_command().await;
        peer.send(format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", body.len()).as_bytes()).await;
        peer.send(&body).await;
        peer.send(b" FLAGS (\\Seen))\r\nP1 OK\r\n").await;
    };
    let client = async {
        let mut got = vec![];
        let set = UidSet::from_range(1..=9);
        let mut fetch = connection.uid_fetch(&set, FetchItems::Message).await.unwrap();
        while let Some(event) = fetch.next().await.unwrap() {
            match event {
                FetchEvent::BodyStart { size_bytes } => assert_eq!(size_bytes, 500_000),
                FetchEvent::Chunk(bytes) => got.extend_from_slice(&bytes),
                FetchEvent::BodyEnd => assert_eq!(got, body),
                FetchEvent::Message(message) => {
                    assert_eq!((message.body, message.flags.len()), (Body::Streamed, 1));
                }
            }
        }
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_before_a_connection_that_is_closed_without_a_word_is_the_reason() {
    let why = "the server ended the session: STATUS was answered NO: the disk is away";
    // It is closed at once, or in answer to the next command, or after something else was said.
    for (asks_again, says_more, wanted) in [
        (false, false, why),
        (true, false, why),
        (true, true, "the server closed the connection during NOOP"),
    ] {
        let (mut connection, mut peer) = connect("").await;
        let inbox = postroom_imap::MailboxName::inbox();
        let server = async {
            peer.complete("STATUS", "", "NO [CANNOT] the disk is away").await;
        };
        let ((), refused) = tokio::join!(server, connection.status(&inbox));
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        let server = async {
            if asks_again {
                peer.take_command().await;
            }
            if says_more {
                peer.send(b"* OK wait\r\n").await;
            }
            drop(peer);
        };
        let ended = if asks_again {
            tokio::join!(server, connection.noop()).1
        } else {
            server.await;
            tokio::task::yield_now().await;
            connection.noop().await
        };
        assert_eq!(ended.unwrap_err().to_string(), wanted);
        assert!(matches!(connection.noop().await, Err(Error::Ended)));
    }
}
