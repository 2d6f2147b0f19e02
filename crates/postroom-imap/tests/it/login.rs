//! Logging in, and what servers leave out.

use crate::peer::Peer;
use crate::peer::connect;
use crate::peer::connect_with;
use crate::peer::credentials;
use crate::peer::options;
use postroom_imap::Error;
use postroom_imap::ImapConnection;
use postroom_imap::ImapVerdict;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_net::Credentials;
use postroom_net::Secret;
use tokio::io::DuplexStream;

#[tokio::test(start_paused = true)]
async fn plain_goes_with_the_command_and_id_follows() {
    let (mut connection, mut peer) = connect("AUTH=PLAIN SASL-IR").await;
    let server = async {
        let said = "OK [CAPABILITY IMAP4rev1 ID UIDPLUS] in";
        let line = peer.complete("AUTHENTICATE", "", said).await;
        assert_eq!(line, "AUTHENTICATE PLAIN AGFubmEAc2VjcmV0");
        let line = peer.answer("ID", "* ID NIL\r\n").await;
        assert!(line.starts_with("ID (\"name\" \"Postroom\" \"version\" "), "{line}");
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
    assert!(connection.capabilities().has("UIDPLUS"));
    assert!(!connection.capabilities().has("AUTH=PLAIN"), "capabilities before the login are void");
}

#[tokio::test(start_paused = true)]
async fn plain_waits_where_it_must_and_capabilities_are_asked_for() {
    let (mut connection, mut peer) = connect("AUTH=PLAIN").await;
    let server = async {
        assert!(peer.take_command().await.ends_with("AUTHENTICATE PLAIN"));
        peer.send(b"+ \r\n").await;
        assert_eq!(peer.take_command().await, "AGFubmEAc2VjcmV0");
        peer.send(b"P1 OK in\r\n").await;
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 MOVE\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
    assert_eq!(connection.capabilities().to_string(), "IMAP4REV1 MOVE");
}

#[tokio::test(start_paused = true)]
async fn login_stands_in_for_a_broken_plain() {
    let (mut connection, mut peer) = connect("AUTH=PLAIN SASL-IR").await;
    let server = async {
        peer.complete("AUTHENTICATE", "", "BAD Too many arguments").await;
        let line = peer.answer("LOGIN", "* CAPABILITY X\r\n").await;
        assert_eq!(line, "LOGIN \"anna\" \"secret\"");
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
}

/// Two connections that end by the first command, and a third one.
async fn after_two_ends(capabilities: &str) -> (ImapConnection, Peer<DuplexStream>) {
    let options = options();
    for end in ["", "* BYE what?\r\n"] {
        let (mut connection, mut peer) = connect_with(capabilities, &options).await;
        let server = async {
            peer.take_command().await;
            peer.send(end.as_bytes()).await;
            drop(peer);
        };
        let client = async {
            if capabilities.contains("AUTH") {
                connection.login(&credentials()).await.map(drop)
            } else if capabilities.contains("LIST") {
                connection.list().await.map(drop)
            } else {
                connection.search("ALL").await.map(drop)
            }
        };
        let ((), result) = tokio::join!(server, client);
        assert!(!result.unwrap_err().leaves_connection_open());
    }
    connect_with(capabilities, &options).await
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_two_connections_is_left_out_of_the_next_one() {
    let credentials = credentials();
    let (mut connection, mut peer) = after_two_ends("AUTH=PLAIN SASL-IR").await;
    let server = peer.answer("LOGIN", "* CAPABILITY X\r\n");
    let (_, result) = tokio::join!(server, connection.login(&credentials));
    result.unwrap();
    let (mut connection, mut peer) = after_two_ends("ESEARCH").await;
    let server = peer.answer("UID SEARCH ALL", "* SEARCH 1 2\r\n");
    let (_, result) = tokio::join!(server, connection.uid_search("ALL"));
    assert_eq!(result.unwrap(), [1, 2]);
    let (mut connection, mut peer) = after_two_ends("LIST-EXTENDED SPECIAL-USE").await;
    let server = peer.answer("LIST \"\" \"*\"", "* LIST () \"/\" INBOX\r\n");
    let (line, result) = tokio::join!(server, connection.list());
    assert_eq!(line, "LIST \"\" \"*\"");
    assert_eq!(result.unwrap().listed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_ends_connections_is_kept_where_there_is_no_other() {
    let credentials = credentials();
    let (mut connection, mut peer) = after_two_ends("AUTH=PLAIN SASL-IR LOGINDISABLED").await;
    let server = peer.answer("AUTHENTICATE PLAIN", "* CAPABILITY X\r\n");
    let (_, result) = tokio::join!(server, connection.login(&credentials));
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn login_is_tried_once_where_the_mechanism_is_refused() {
    for no in ["NO Unsupported authentication mechanism", "NO [CANNOT] no PLAIN today"] {
        let (mut connection, mut peer) = connect("AUTH=PLAIN SASL-IR").await;
        let server = async {
            peer.complete("AUTHENTICATE", "", no).await;
            peer.complete("LOGIN", "", "NO neither").await;
        };
        let client = async { connection.login(&credentials()).await.unwrap_err() };
        let ((), error) = tokio::join!(server, client);
        assert_eq!(error.to_string(), "LOGIN was answered NO: neither");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_is_not_asked_to_log_in_again() {
    let (mut connection, mut peer) = connect("AUTH=PLAIN SASL-IR").await;
    let no = "NO [UNAVAILABLE] Temporary authentication failure";
    let server = async { peer.complete("AUTHENTICATE", "", no).await };
    let client = async { connection.login(&credentials()).await.unwrap_err() };
    let (_, error) = tokio::join!(server, client);
    assert_eq!(error.verdict(), ImapVerdict::RetryLater { after: None });
}

#[tokio::test(start_paused = true)]
async fn what_does_not_speak_imap_is_quoted_at_once() {
    for (greeting, said) in [
        (&b"220 mx.example ESMTP Postfix\r\n"[..], "220 mx.example ESMTP Postfix"),
        (b"+OK POP3 ready\r\n", "+OK POP3 ready"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"\x15\x03\x01\x00\x02", "\\x15\\x03\\x01\\x00\\x02"),
    ] {
        let (stream, mut peer) = Peer::new();
        peer.send(greeting).await;
        let error = ImapConnection::over(stream, &options()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "this is not an IMAP server; it says \"{said}\": check host, port and security"
            )
        );
        assert_eq!(error.verdict(), ImapVerdict::Protocol);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_needs_escapes_goes_as_a_literal_and_then_quoted() {
    let (mut connection, mut peer) = connect("LITERAL+").await;
    let server = async {
        assert_eq!(peer.take_command().await, "P1 EXAMINE {7+}");
        assert_eq!(peer.take_command().await, "a \"b\" c");
        peer.send(b"P1 NO no such mailbox\r\n").await;
        let line = peer.answer("EXAMINE", "* 3 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n").await;
        assert_eq!(line, r#"EXAMINE "a \"b\" c""#);
    };
    let name = MailboxName::from_bytes(b"a \"b\" c");
    let client = async { connection.select(&name, Mode::Examine).await.unwrap() };
    let ((), selected) = tokio::join!(server, client);
    assert_eq!(selected.exists, Some(3));
}

#[tokio::test(start_paused = true)]
async fn inbox_is_found_however_the_server_spells_it() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.complete("EXAMINE \"INBOX\"", "", "NO [NONEXISTENT] no such mailbox").await;
        peer.answer("LIST", "* LIST () \"/\" Inbox\r\n").await;
        peer.answer("EXAMINE \"Inbox\"", "* 2 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n").await;
    };
    let client = async { connection.select(&MailboxName::inbox(), Mode::Examine).await.unwrap() };
    let ((), selected) = tokio::join!(server, client);
    assert_eq!(selected.exists, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_examine_does_not_open_is_opened_by_select() {
    let opened = "* 2 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n";
    for refusal in ["BAD unknown command", "NO permission denied"] {
        let (mut connection, mut peer) = connect("").await;
        let server = async {
            for _ in 0..2 {
                peer.complete("EXAMINE", "", refusal).await;
                peer.answer("SELECT", opened).await;
            }
            // It is known by now.
            peer.answer("SELECT", opened).await;
            peer.complete("SELECT", "", "NO you may only read it").await;
            peer.answer("EXAMINE", opened).await;
            peer.answer("EXAMINE", opened).await;
        };
        let name = MailboxName::from_bytes(b"Work");
        let client = async {
            for is_open in [true, true, true, false, false] {
                let selected = connection.select(&name, Mode::Examine).await.unwrap();
                assert_eq!((selected.is_open_for_changes, selected.read_only), (is_open, !is_open));
            }
        };
        tokio::join!(server, client);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_no_command_opens_is_refused_in_the_words_about_the_first() {
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.complete("EXAMINE", "", "NO not this one").await;
        peer.complete("SELECT", "", "NO nor so").await;
        // Nothing is there to be opened, or the server is busy.
        peer.complete("EXAMINE", "", "NO [NONEXISTENT] no such mailbox").await;
        peer.complete("EXAMINE", "", "NO [INUSE] later").await;
        peer.answer("EXAMINE", "* 2 EXISTS\r\n* OK [UIDVALIDITY 9] v\r\n").await;
    };
    let name = MailboxName::from_bytes(b"Work");
    let client = async {
        for words in ["not this one", "no such mailbox", "later"] {
            let error = connection.select(&name, Mode::Examine).await.unwrap_err();
            assert_eq!(error.to_string(), format!("EXAMINE was answered NO: {words}"));
        }
        connection.select(&name, Mode::Examine).await.unwrap()
    };
    let ((), selected) = tokio::join!(server, client);
    assert!(!selected.is_open_for_changes);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_is_asked_for_in_plainer_forms() {
    let (mut connection, mut peer) = connect("LIST-EXTENDED SPECIAL-USE").await;
    let server = async {
        peer.complete("LIST \"\" \"*\" RETURN (SPECIAL-USE)", "", "NO what?").await;
        peer.complete("LIST \"\" \"*\"", "", "NO too wild").await;
        peer.answer("LIST \"\" \"%\"", "* LIST () \"/\" Sent\r\n").await;
        peer.answer("LIST \"\" \"INBOX\"", "").await;
        peer.answer("STATUS \"INBOX\"", "* STATUS INBOX (MESSAGES 1)\r\n").await;
    };
    let client = async { connection.list().await.unwrap().listed };
    let ((), listed) = tokio::join!(server, client);
    let names: Vec<_> = listed.iter().map(|listed| listed.display.as_str()).collect();
    assert_eq!(names, ["INBOX", "Sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_search_by_ranges_that_is_refused_is_asked_for_plainly() {
    let (mut connection, mut peer) = connect("ESEARCH").await;
    let server = async {
        peer.complete("UID SEARCH RETURN (ALL) ALL", "", "NO server internal error").await;
        peer.answer("UID SEARCH ALL", "* SEARCH 1 2\r\n").await;
    };
    let client = async { connection.uid_search("ALL").await.unwrap() };
    assert_eq!(tokio::join!(server, client).1, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_and_not_tried_again() {
    let (mut connection, mut peer) = connect("AUTH=PLAIN SASL-IR").await;
    let server = async {
        let no = "NO [AUTHENTICATIONFAILED] Authentication failed.";
        peer.complete("AUTHENTICATE", "", no).await;
    };
    let client = async { connection.login(&credentials()).await.unwrap_err() };
    let ((), error) = tokio::join!(server, client);
    assert_eq!(error.verdict(), ImapVerdict::Credentials);
    assert_eq!(error.to_string(), "AUTHENTICATE was answered NO: Authentication failed.");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_password_that_the_server_echoes_is_not_shown() {
    for (offers, command, echo, shown) in [
        ("", "LOGIN", "BAD unknown: LOGIN anna secret", "LOGIN was answered BAD: (not shown)"),
        (
            "AUTH=PLAIN SASL-IR LOGINDISABLED",
            "AUTHENTICATE",
            "NO what is AGFubmEAc2VjcmV0?",
            "AUTHENTICATE was answered NO: (not shown)",
        ),
    ] {
        let (mut connection, mut peer) = connect(offers).await;
        let server = async { peer.complete(command, "", echo).await };
        let client = async { connection.login(&credentials()).await.unwrap_err() };
        let (_, error) = tokio::join!(server, client);
        assert_eq!(error.to_string(), shown);
        assert_eq!(error.verdict(), ImapVerdict::Credentials);
    }
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.take_command().await;
        peer.send(b"* BYE no LOGIN with secret\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap_err() };
    let ((), error) = tokio::join!(server, client);
    assert_eq!(error.to_string(), "the server ended the session: (not shown)");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_token_is_heard_out() {
    let (mut connection, mut peer) = connect("AUTH=XOAUTH2 SASL-IR").await;
    let server = async {
        let line = peer.take_command().await;
        assert!(
            line.starts_with("P1 AUTHENTICATE XOAUTH2 dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHRva2VuAQE=")
        );
        peer.send(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n").await;
        assert_eq!(peer.take_command().await, "");
        peer.send(b"P1 NO invalid credentials\r\n").await;
    };
    let secret = Secret::OAuth2("token".into());
    let credentials = Credentials { login: "anna".to_owned(), secret };
    let client = async { connection.login(&credentials).await.unwrap_err() };
    let ((), error) = tokio::join!(server, client);
    assert_eq!(error.verdict(), ImapVerdict::Credentials);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_never_sent_as_a_password() {
    let (mut connection, _peer) = connect("AUTH=PLAIN SASL-IR").await;
    let secret = Secret::OAuth2("token".into());
    let credentials = Credentials { login: "anna".to_owned(), secret };
    let error = connection.login(&credentials).await.unwrap_err();
    assert_eq!(error.verdict(), ImapVerdict::Credentials);
}

#[tokio::test(start_paused = true)]
async fn a_search_falls_back_to_the_long_form() {
    let (mut connection, mut peer) = connect("ESEARCH").await;
    let server = async {
        peer.complete("UID SEARCH RETURN (ALL) ALL", "", "BAD what?").await;
        peer.answer("UID SEARCH ALL", "* SEARCH 5 3\r\n* SEARCH 3 4\r\n").await;
        peer.answer("UID SEARCH RETURN (ALL) UID 7", "* ESEARCH (TAG \"P3\") UID ALL 9,1:3\r\n")
            .await;
        peer.answer("UID SEARCH RETURN (ALL) UID 8", "* ESEARCH (TAG \"P4\") UID\r\n").await;
    };
    let client = async {
        assert_eq!(connection.uid_search("ALL").await.unwrap(), [3, 4, 5]);
        assert_eq!(connection.uid_search("UID 7").await.unwrap(), [1, 2, 3, 9]);
        assert!(connection.uid_search("UID 8").await.unwrap().is_empty());
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_finds_what_cannot_be_falls_back_and_leaves_the_connection_open() {
    let (mut connection, mut peer) = connect("ESEARCH").await;
    let server = async {
        let endless = "* ESEARCH (TAG \"P1\") UID ALL 1:4294967295\r\n";
        peer.answer("UID SEARCH RETURN (ALL) ALL", endless).await;
        peer.answer("UID SEARCH ALL", "* SEARCH 3 7\r\n").await;
        peer.answer("UID SEARCH RETURN (ALL) ALL", endless).await;
        peer.answer("UID SEARCH ALL", endless).await;
        peer.answer("NOOP", "").await;
    };
    let client = async {
        assert_eq!(connection.uid_search("ALL").await.unwrap(), [3, 7]);
        let error = connection.uid_search("ALL").await.unwrap_err();
        assert!(matches!(error, Error::TooManyFound { .. }), "{error:?}");
        assert!(error.leaves_connection_open());
        connection.noop().await.unwrap();
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_to_know_the_client_is_told_though_it_does_not_offer_id() {
    const UNSAFE: &str = "NO SELECT Unsafe Login. Please contact kefu@mail.example for help";
    let (mut connection, mut peer) = connect("").await;
    let server = async {
        peer.answer("LOGIN", "* CAPABILITY IMAP4rev1\r\n").await;
        peer.complete("EXAMINE", "", UNSAFE).await;
        let line = peer.answer("ID", "").await;
        assert!(line.starts_with("ID (\"name\" \"Postroom\""), "{line}");
        peer.answer("EXAMINE", "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n").await;
        // It is told once in a connection.
        peer.complete("EXAMINE", "", UNSAFE).await;
        peer.answer("NOOP", "").await;
    };
    let client = async {
        connection.login(&credentials()).await.unwrap();
        let inbox = MailboxName::inbox();
        let selected = connection.select(&inbox, Mode::Examine).await.unwrap();
        assert_eq!(selected.exists, Some(3));
        let error = connection.select(&inbox, Mode::Examine).await.unwrap_err();
        assert!(error.to_string().contains("Unsafe Login"), "{error}");
        connection.noop().await.unwrap();
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_list_falls_back_to_the_plain_form() {
    let (mut connection, mut peer) = connect("LIST-EXTENDED SPECIAL-USE NAMESPACE").await;
    let server = async {
        peer.complete("LIST \"\" \"*\" RETURN (SPECIAL-USE)", "", "BAD what?").await;
        let listed = "* LIST () \"/\" b\r\n* LIST (\\Sent) \"/\" a\r\n* LIST () \"/\" Inbox\r\n* LIST () \"/\" INBOX\r\n";
        assert_eq!(peer.answer("LIST", listed).await, "LIST \"\" \"*\"");
        peer.complete("NAMESPACE", "", "BAD what?").await;
    };
    let client = async {
        let listed = connection.list().await.unwrap().listed;
        let names: Vec<_> = listed.iter().map(|listed| listed.display.as_str()).collect();
        assert_eq!(names, ["INBOX", "a", "b"]);
        assert_eq!(listed[1].special_use.as_deref(), Some("\\Sent"));
        assert_eq!(connection.namespace().await.unwrap(), None);
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_only_when_it_is_asked_for() {
    let (mut connection, mut peer) = connect("UIDPLUS").await;
    let server = async {
        assert!(peer.take_command().await.ends_with("APPEND \"INBOX\" () {3}"));
        peer.send(b"P1 NO [OVERQUOTA] full\r\n").await;
        assert!(peer.take_command().await.ends_with("APPEND \"INBOX\" () {3}"));
        peer.send(b"+ go on\r\n").await;
        assert_eq!(peer.take_command().await, "a");
        assert_eq!(peer.take_command().await, "");
        peer.send(b"P2 OK [APPENDUID 7 12] done\r\n").await;
    };
    let client = async {
        let inbox = MailboxName::inbox();
        let body = bytes::Bytes::from_static(b"a\r\n");
        let refused = connection.append(&inbox, &[], None, body.clone()).await.unwrap_err();
        assert_eq!(refused.verdict(), ImapVerdict::Refused);
        let appended = connection.append(&inbox, &[], None, body).await.unwrap();
        assert_eq!(appended, Some((7, 12)));
    };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_compact_search_is_as_long_as_it_likes() {
    let (mut connection, mut peer) = connect("ESEARCH").await;
    let want: Vec<u64> = (0..200_000).map(|n| 1 + n * 3).collect();
    let set: Vec<String> = want.iter().map(u64::to_string).collect();
    let line = format!("* ESEARCH (TAG \"P1\") UID ALL {}\r\n", set.join(","));
    assert!(line.len() > 1 << 20);
    let server = async { peer.answer("UID SEARCH", &line).await };
    let client = async { connection.uid_search("ALL").await.unwrap() };
    let (_, found) = tokio::join!(server, client);
    assert_eq!(found, want);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_said_is_asked_for_in_the_plain_form() {
    let (mut connection, mut peer) = connect("ESEARCH LIST-EXTENDED SPECIAL-USE").await;
    let server = async {
        assert!(peer.answer("UID SEARCH", "").await.contains("RETURN"));
        assert_eq!(peer.answer("UID SEARCH", "* SEARCH 4 7\r\n").await, "UID SEARCH ALL");
        assert!(peer.answer("LIST", "").await.contains("RETURN"));
        let listed = "* LIST () \"/\" INBOX\r\n";
        assert_eq!(peer.answer("LIST", listed).await, "LIST \"\" \"*\"");
    };
    let client = async {
        assert_eq!(connection.uid_search("ALL").await.unwrap(), [4, 7]);
        assert_eq!(connection.list().await.unwrap().listed.len(), 1);
    };
    tokio::join!(server, client);
}
