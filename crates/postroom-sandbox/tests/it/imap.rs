//! Every IMAP command.

use crate::client::ANNA;
use crate::client::BEN;
use crate::client::Client;
use crate::client::PATIENCE;
use crate::client::sandbox;
use crate::client::sandbox_with;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::Certificate;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::StoredMessage;
use std::time::Duration;

const MAIL: &[u8] = b"Subject: one\r\nFrom: ben@demo.test\r\n\r\n\x00\xff .\r\n..\r\nno end";

fn uids(messages: &[StoredMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.uid).collect()
}

#[tokio::test]
async fn a_client_logs_in_and_out() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.imap()).await;
    let greeting = client.line().await;
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
    assert!(client.command("SELECT INBOX").await.starts_with("BAD"));
    let wrong = client.command(&format!("LOGIN {ANNA} wrong")).await;
    assert!(wrong.starts_with("NO [AUTHENTICATIONFAILED]"), "{wrong}");
    assert!(client.ok("CAPABILITY").await.contains("STARTTLS"));
    assert!(client.ok("ID (\"name\" \"x\")").await.contains("* ID (\"name\""));
    client.send("x LOGIN {14+}\r\nanna@demo.test {6+}\r\nsecret\r\n").await;
    assert!(client.until_tagged("x").await.starts_with("OK [CAPABILITY"));
    assert!(!client.ok("CAPABILITY").await.contains("STARTTLS"));
    assert!(client.ok("NAMESPACE").await.contains("* NAMESPACE ((\"\" \"/\")) NIL NIL"));
    assert!(client.ok("NOOP").await.starts_with("OK"));
    assert!(client.command("FROB").await.starts_with("BAD"));
    assert!(client.command("FETCH 1 UID").await.starts_with("BAD"));
    assert!(client.ok("LOGOUT").await.contains("* BYE"));
    assert_eq!(client.rest().await.0, "");
}

#[tokio::test]
async fn sasl_plain_with_and_without_an_initial_response() {
    let sandbox = sandbox().await;
    let answer = "AGFubmFAZGVtby50ZXN0AHNlY3JldA=="; // \0anna@demo.test\0secret
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    client.ok(&format!("AUTHENTICATE PLAIN {answer}")).await;
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    assert!(client.command("AUTHENTICATE X").await.starts_with("NO"));
    let tag = client.begin("AUTHENTICATE PLAIN").await;
    assert_eq!(client.line().await, "+ \r\n");
    client.send("*\r\n").await;
    assert!(client.until_tagged(&tag).await.starts_with("BAD"));
    let tag = client.begin("AUTHENTICATE PLAIN").await;
    client.line().await;
    client.send(format!("{answer}\r\n")).await;
    assert!(client.until_tagged(&tag).await.starts_with("OK"));
    let texts: Vec<String> = sandbox.transcript().into_iter().map(|line| line.text).collect();
    assert_eq!(texts[0], "a1 AUTHENTICATE PLAIN ***");
    assert!(texts.iter().all(|text| !text.contains(answer)), "{texts:?}");
}

#[tokio::test]
async fn mailboxes_are_made_named_and_listed() {
    let sandbox = sandbox().await;
    sandbox.create_mailbox(ANNA, "Ärger/Büro").unwrap();
    let mut client = Client::imap(&sandbox, ANNA).await;
    let all = client.ok("LIST \"\" \"*\"").await;
    assert!(all.contains("* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\r\n"), "{all}");
    assert!(all.contains("\"&AMQ-rger/B&APw-ro\"\r\n"), "{all}");
    assert!(client.ok("LIST \"\" \"\"").await.contains("(\\Noselect) \"/\" \"\""));
    assert!(!client.ok("LIST \"\" %").await.contains("rger"));
    let special = client.ok("LIST (SPECIAL-USE) \"\" \"*\" RETURN (SPECIAL-USE)").await;
    assert!(special.contains("\\Drafts") && !special.contains("INBOX"), "{special}");
    client.ok("CREATE a/").await;
    client.ok("CREATE a/b").await;
    assert!(client.command("CREATE a").await.starts_with("NO [ALREADYEXISTS]"));
    assert!(client.ok("LIST \"\" a").await.contains("(\\HasChildren) \"/\" \"a\""));
    client.ok("RENAME a c").await;
    assert!(sandbox.mailboxes(ANNA).contains(&"c/b".to_owned()));
    client.ok("UNSUBSCRIBE c").await;
    let subscribed = client.ok("LSUB \"\" \"*\"").await;
    assert!(subscribed.contains("* LSUB") && !subscribed.contains("\"c\"\r\n"), "{subscribed}");
    client.ok("DELETE c").await;
    assert!(client.command("DELETE c").await.starts_with("NO [NONEXISTENT]"));
    assert!(client.command("DELETE INBOX").await.starts_with("NO"));
    sandbox.deliver(ANNA, "inbox", MAIL).unwrap();
    sandbox.set_uid_validity(ANNA, "INBOX", 0).unwrap();
    let status = client.ok("STATUS inbox (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)").await;
    let want = "* STATUS \"INBOX\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 0 UNSEEN 1 RECENT 0)\r\n";
    assert!(status.contains(want), "{status}");
    assert!(client.command("STATUS none (MESSAGES)").await.starts_with("NO"));
}

#[tokio::test]
async fn a_message_is_fetched_byte_for_byte() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.deliver(ANNA, "INBOX", MAIL).unwrap(), 1);
    let mut client = Client::imap(&sandbox, ANNA).await;
    let opened = client.ok("EXAMINE INBOX").await;
    assert!(opened.contains("* 1 EXISTS\r\n") && opened.contains("[UIDNEXT 2]"), "{opened}");
    assert!(opened.contains("OK [READ-ONLY]"), "{opened}");
    let tag = client.begin("UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[])").await;
    let line = client.line().await;
    let size = MAIL.len();
    let want = format!("* 1 FETCH (UID 1 FLAGS () RFC822.SIZE {size} BODY[] {{{size}}}\r\n");
    assert_eq!(line, want);
    assert_eq!(client.bytes(size).await, MAIL);
    assert_eq!(client.line().await, ")\r\n");
    client.until_tagged(&tag).await;

    client.ok("FETCH 1 BODY[HEADER]").await;
    assert!(!sandbox.messages(ANNA, "INBOX")[0].has_flag("\\Seen"), "opened by EXAMINE");
    client.ok("SELECT INBOX").await;
    client.ok("FETCH 1 BODY.PEEK[HEADER]").await;
    assert!(!sandbox.messages(ANNA, "INBOX")[0].has_flag("\\Seen"), "PEEK");
    let seen = client.ok("FETCH 1 BODY[HEADER]").await;
    assert!(seen.starts_with("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"), "{seen}");
    assert!(sandbox.messages(ANNA, "INBOX")[0].has_flag("\\Seen"));
    assert!(client.ok("UID FETCH 7 (FLAGS)").await.starts_with("OK"));
    assert!(client.ok("UID FETCH 7:* (FLAGS)").await.starts_with("* 1 FETCH (UID 1 "));
}

#[tokio::test]
async fn messages_are_appended() {
    let config = SandboxConfig { message_bytes_max: 1000, ..SandboxConfig::default() };
    let sandbox = sandbox_with(config).await;
    let mut client = Client::imap(&sandbox, ANNA).await;
    let tag = client.begin("APPEND INBOX (\\Seen $X) \"01-Feb-2024 10:00:00 +0000\" {5}").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("a\r\n\x00b\r\n").await;
    let said = client.until_tagged(&tag).await;
    assert!(said.contains("OK [APPENDUID 17") && said.contains(" 1] "), "{said}");
    let stored = &sandbox.messages(ANNA, "INBOX")[0];
    assert_eq!(
        (&stored.bytes[..], stored.internal_date_ms),
        (&b"a\r\n\x00b"[..], 1_706_781_600_000)
    );
    assert_eq!(stored.flags, ["\\Seen", "$X"]);

    client.send("b APPEND \"Sent\" {3+}\r\nabc\r\nc NOOP\r\n").await;
    assert!(client.until_tagged("b").await.contains("[APPENDUID"));
    assert!(client.until_tagged("c").await.starts_with("OK"));
    client.send("d APPEND None {3+}\r\nabc\r\n").await;
    assert!(client.until_tagged("d").await.starts_with("NO [TRYCREATE]"));
    assert!(client.command("APPEND Sent {1001}").await.starts_with("NO [TOOBIG]"));
    let big = format!("e APPEND Sent {{1001+}}\r\n{}\r\n", "x".repeat(1001));
    client.send(big).await;
    assert!(client.until_tagged("e").await.starts_with("NO [TOOBIG]"));
    client.ok("NOOP").await;
    assert_eq!(sandbox.messages(ANNA, "Sent").len(), 1);
}

#[tokio::test]
async fn messages_are_searched() {
    let sandbox = sandbox().await;
    for at in 0..5 {
        let mail = format!("Subject: number {at}\r\nMessage-ID: <{at}@demo.test>\r\n\r\nx\r\n");
        sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
    }
    let expunge = |state: &mut postroom_sandbox::SandboxState| {
        state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(2);
        state.mailbox_mut(ANNA, "INBOX").unwrap().set_flags(3, vec!["\\Seen".to_owned()]);
    };
    sandbox.edit(expunge);
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    for (command, want) in [
        ("UID SEARCH ALL", "* SEARCH 1 3 4 5\r\n"),
        ("SEARCH ALL", "* SEARCH 1 2 3 4\r\n"),
        ("UID SEARCH UID 2:4 UNSEEN", "* SEARCH 4\r\n"),
        ("UID SEARCH HEADER Message-ID <3@demo.test>", "* SEARCH 4\r\n"),
        ("UID SEARCH CHARSET UTF-8 SUBJECT \"number 2\"", "* SEARCH 3\r\n"),
        ("UID SEARCH DELETED", "* SEARCH\r\n"),
        ("UID SEARCH RETURN () ALL", "* ESEARCH (TAG \"%\") UID ALL 1,3:5\r\n"),
        (
            "UID SEARCH RETURN (MIN MAX COUNT) ALL",
            "* ESEARCH (TAG \"%\") UID MIN 1 MAX 5 COUNT 4\r\n",
        ),
        ("UID SEARCH RETURN (ALL) DELETED", "* ESEARCH (TAG \"%\") UID\r\n"),
    ] {
        let tag = client.begin(command).await;
        let said = client.until_tagged(&tag).await;
        assert!(said.starts_with(&want.replace('%', &tag)), "{command}: {said}");
    }
    client.send("l UID SEARCH TEXT {8}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("number 4\r\n").await;
    assert!(client.until_tagged("l").await.starts_with("* SEARCH 5\r\n"));
    let no = client.command("SEARCH CHARSET KOI8-R ALL").await;
    assert!(no.starts_with("NO [BADCHARSET"), "{no}");
}

#[tokio::test]
async fn flags_copies_and_expunge() {
    let sandbox = sandbox().await;
    for _ in 0..5 {
        sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    }
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    let said = client.ok("UID STORE 2:3 +FLAGS (\\Deleted $Done)").await;
    assert!(said.starts_with("* 2 FETCH (UID 2 FLAGS (\\Deleted $Done))\r\n* 3 FETCH"), "{said}");
    assert!(client.ok("STORE 4 +FLAGS.SILENT \\Deleted").await.starts_with("OK"));
    client.ok("STORE 3 -FLAGS.SILENT ($DONE)").await;
    assert_eq!(sandbox.messages(ANNA, "INBOX")[2].flags, ["\\Deleted"]);
    let said = client.ok("UID EXPUNGE 3").await;
    assert!(said.starts_with("* 3 EXPUNGE\r\nOK"), "{said}");
    let said = client.ok("EXPUNGE").await;
    assert!(said.starts_with("* 2 EXPUNGE\r\n* 2 EXPUNGE\r\nOK"), "{said}");
    assert_eq!(uids(&sandbox.messages(ANNA, "INBOX")), [1, 5]);

    let said = client.ok("COPY 1:2 Archive").await;
    assert!(said.contains("[COPYUID ") && said.contains(" 1,5 1:2] "), "{said}");
    let said = client.ok("UID MOVE 5 Archive").await;
    assert!(said.contains("* OK [COPYUID") && said.contains("* 2 EXPUNGE\r\n"), "{said}");
    assert_eq!(uids(&sandbox.messages(ANNA, "Archive")), [1, 2, 3]);
    assert!(client.command("UID COPY 1 None").await.starts_with("NO [TRYCREATE]"));
    client.ok("STORE 1 FLAGS (\\Deleted)").await;
    client.ok("CHECK").await;
    client.ok("UNSELECT").await;
    assert_eq!(sandbox.messages(ANNA, "INBOX").len(), 1);
    client.ok("EXAMINE INBOX").await;
    assert!(client.command("STORE 1 FLAGS ()").await.starts_with("NO [READ-ONLY]"));
    assert!(client.command("EXPUNGE").await.starts_with("NO [READ-ONLY]"));
    client.ok("CLOSE").await;
    client.ok("SELECT INBOX").await;
    client.ok("CLOSE").await;
    assert!(sandbox.messages(ANNA, "INBOX").is_empty());
    assert!(client.command("FETCH 1 UID").await.starts_with("BAD"));
}

#[tokio::test]
async fn what_others_do_is_told() {
    let sandbox = sandbox().await;
    sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    let tag = client.begin("IDLE").await;
    assert_eq!(client.line().await, "+ idling\r\n");
    let idling = |state: &postroom_sandbox::SandboxState| state.connections().any(|one| one.idling);
    sandbox.wait_for(idling, PATIENCE).await.unwrap();
    sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    assert_eq!(client.line().await, "* 2 EXISTS\r\n");
    assert_eq!(client.line().await, "* 0 RECENT\r\n");
    sandbox.edit(|state| state.say(ANNA, "* OK still here\r\n")).unwrap();
    assert_eq!(client.line().await, "* OK still here\r\n");
    sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(1));
    assert_eq!(client.line().await, "* 1 EXPUNGE\r\n");
    let mut other = Client::imap(&sandbox, ANNA).await;
    other.ok("SELECT INBOX").await;
    other.ok("UID STORE 2 +FLAGS (\\Seen)").await;
    assert_eq!(client.line().await, "* 1 FETCH (UID 2 FLAGS (\\Seen))\r\n");
    client.send("DONE\r\n").await;
    assert!(client.until_tagged(&tag).await.starts_with("OK"));
    other.ok("STORE 1 -FLAGS.SILENT (\\Seen)").await;
    assert!(client.ok("NOOP").await.starts_with("* 1 FETCH (UID 2 FLAGS ())\r\n"));
    assert!(client.ok("NOOP").await.starts_with("OK"));
}

#[tokio::test]
async fn tls_at_once_and_by_starttls() {
    let sandbox = sandbox().await;
    let mut client = Client::connect_tls(sandbox.imaps(), sandbox.ca_pem()).await;
    assert!(!client.line().await.contains("STARTTLS"));
    client.ok(&format!("LOGIN {ANNA} secret")).await;

    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    let tag = client.begin("STARTTLS").await;
    assert!(client.until_tagged(&tag).await.starts_with("OK"));
    let mut client = client.start_tls(sandbox.ca_pem()).await.unwrap();
    assert!(!client.ok("CAPABILITY").await.contains("STARTTLS"));
    client.ok(&format!("LOGIN {BEN} secret")).await;
    assert!(sandbox.transcript().iter().any(|line| line.tls && line.command == "LOGIN"));
}

#[tokio::test]
async fn what_came_in_plain_is_forgotten_at_the_handshake() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    client.send("s STARTTLS\r\nevil NOOP\r\n").await;
    assert!(client.until_tagged("s").await.starts_with("OK"));
    let mut client = client.start_tls(sandbox.ca_pem()).await.unwrap();
    assert!(client.ok("NOOP").await.starts_with("OK"));
    assert!(!sandbox.transcript().iter().any(|line| line.text.starts_with("evil")));
}

#[tokio::test]
async fn bad_certificates_are_bad_in_their_way() {
    let sandbox = sandbox().await;
    for (certificate, want) in [
        (Certificate::Expired, "Expired"),
        (Certificate::WrongName, "NotValidForName"),
        (Certificate::Untrusted, "UnknownIssuer"),
    ] {
        sandbox.edit(|state| state.certificate = certificate);
        let client = Client::connect(sandbox.imaps()).await;
        let Err(error) = client.start_tls(sandbox.ca_pem()).await else {
            panic!("{certificate:?}")
        };
        assert!(format!("{error:?}").contains(want), "{certificate:?}: {error:?}");
    }
    sandbox.edit(|state| state.certificate = Certificate::Good);
    Client::connect_tls(sandbox.imaps(), sandbox.ca_pem()).await.line().await;
}

#[tokio::test]
async fn what_is_not_offered_is_not_done() {
    let lacks = [
        "UIDPLUS",
        "ESEARCH",
        "IDLE",
        "MOVE",
        "ID",
        "NAMESPACE",
        "UNSELECT",
        "LITERAL+",
        "OBJECTID",
    ];
    let mut without: Vec<String> = lacks.iter().map(|name| (*name).to_owned()).collect();
    without.extend(["STARTTLS".to_owned(), "SPECIAL-USE".to_owned(), "SASL-IR".to_owned()]);
    let imap_capabilities = CapabilityChanges { without, with: vec!["XFOO".to_owned()] };
    let sandbox =
        sandbox_with(SandboxConfig { imap_capabilities, ..SandboxConfig::default() }).await;
    let mut client = Client::connect(sandbox.imap()).await;
    let greeting = client.line().await;
    assert!(greeting.contains("IMAP4rev1 CHILDREN AUTH=PLAIN XFOO]"), "{greeting}");
    assert!(client.command("STARTTLS").await.starts_with("BAD"));
    assert!(client.command("AUTHENTICATE PLAIN AGEAYg==").await.starts_with("BAD"));
    client.ok(&format!("LOGIN {ANNA} secret")).await;
    client.ok("SELECT INBOX").await;
    for command in [
        "UID EXPUNGE 1",
        "UID SEARCH RETURN (ALL) ALL",
        "IDLE",
        "UID MOVE 1 Sent",
        "ID NIL",
        "NAMESPACE",
        "UNSELECT",
    ] {
        assert!(client.command(command).await.starts_with("BAD"), "{command}");
    }
    client.send("p APPEND INBOX {3+}\r\nabc\r\n").await;
    assert!(client.until_tagged("p").await.starts_with("BAD"));
    let tag = client.begin("APPEND INBOX {3}").await;
    client.line().await;
    client.send("abc\r\n").await;
    let said = client.until_tagged(&tag).await;
    assert!(said.ends_with("OK appended\r\n"), "{said}");
    assert!(!client.ok("LIST \"\" *").await.contains("\\Sent"));
}

#[tokio::test]
async fn passwords_only_under_tls_if_so_configured() {
    let config = SandboxConfig { login_needs_tls: true, ..SandboxConfig::default() };
    let sandbox = sandbox_with(config).await;
    let mut client = Client::connect(sandbox.imap()).await;
    assert!(client.line().await.contains("LOGINDISABLED"));
    assert!(client.command(&format!("LOGIN {ANNA} secret")).await.starts_with("NO"));
    assert!(client.command("AUTHENTICATE PLAIN").await.starts_with("NO"));
    let mut client = Client::connect_tls(sandbox.imaps(), sandbox.ca_pem()).await;
    assert!(!client.line().await.contains("LOGINDISABLED"));
    client.ok(&format!("LOGIN {ANNA} secret")).await;
}

#[tokio::test]
async fn bad_lines_are_answered_and_do_no_harm() {
    let sandbox = sandbox().await;
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.send("\r\n").await;
    assert!(client.line().await.starts_with("* BAD"));
    client.send(format!("x {}\r\n", "y".repeat(100_000))).await;
    assert!(client.line().await.starts_with("* BAD line too long"));
    client.send(b"x \xff\xfe \"open\r\n").await;
    assert!(client.line().await.starts_with("x BAD"));
    assert!(client.command("LOGIN a {99999999999999999999999}").await.starts_with("NO"));
    client.ok("NOOP").await;
}

/// Sixty-four users at once, one of them with ten thousand messages.
#[tokio::test(flavor = "multi_thread")]
async fn many_users_and_a_large_mailbox() {
    const COUNT: usize = 10_000;
    let sandbox = std::sync::Arc::new(sandbox().await);
    let body = "Subject: many\r\n\r\n".to_owned() + &"line of text\r\n".repeat(100);
    sandbox.edit(|state| {
        for _ in 0..COUNT {
            state.deliver(ANNA, "INBOX", body.clone().into_bytes()).unwrap();
        }
        for user in 0..64 {
            let user = format!("user{user}@demo.test");
            state.add_user(&user, "secret");
            state.deliver(&user, "INBOX", body.clone().into_bytes()).unwrap();
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for user in 0..64 {
        let sandbox = std::sync::Arc::clone(&sandbox);
        tasks.spawn(async move {
            let mut client = Client::imap(&sandbox, &format!("user{user}@demo.test")).await;
            client.ok("SELECT INBOX").await;
            assert!(client.ok("UID FETCH 1:* (UID BODY.PEEK[])").await.contains("line of text"));
        });
    }
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    let started = tokio::time::Instant::now();
    client.send("f UID FETCH 1:* (UID BODY.PEEK[])\r\n").await;
    let mut messages = 0;
    loop {
        let line = client.line().await;
        messages += usize::from(line.starts_with("* "));
        if line.starts_with("f ") {
            break;
        }
    }
    assert_eq!(messages, COUNT);
    println!("{COUNT} messages of {} bytes in {:?}", body.len(), started.elapsed());
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    client.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
    client.send("e EXPUNGE\r\n").await;
    client.until_tagged("e").await;
    assert!(sandbox.messages(ANNA, "INBOX").is_empty());
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}
