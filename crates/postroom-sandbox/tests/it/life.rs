//! Start, stop, and what a test looks at.

use crate::client::ANNA;
use crate::client::Client;
use crate::client::PATIENCE;
use crate::client::sandbox;
use postroom_sandbox::Error;
use postroom_sandbox::Protocol;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::demo_mail;
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn stop_closes_everything() {
    let sandbox = sandbox().await;
    let addresses = [sandbox.imap(), sandbox.imaps(), sandbox.smtp(), sandbox.smtps()];
    let client = Client::imap(&sandbox, ANNA).await;
    sandbox.stop().await;
    assert_eq!(client.rest().await.0, "");
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn drop_closes_everything() {
    let sandbox = sandbox().await;
    let client = Client::imap(&sandbox, ANNA).await;
    drop(sandbox);
    assert_eq!(client.rest().await.0, "");
}

#[tokio::test]
async fn hang_up_closes_what_is_open_and_serves_what_comes() {
    let sandbox = sandbox().await;
    let client = Client::imap(&sandbox, ANNA).await;
    sandbox.hang_up();
    assert_eq!(client.rest().await.0, "");
    sandbox.wait_for(|state| state.connections().count() == 0, PATIENCE).await.unwrap();
    Client::imap(&sandbox, ANNA).await.ok("NOOP").await;
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let first = sandbox().await;
    let config = SandboxConfig { smtp_port: first.smtp().port(), ..SandboxConfig::default() };
    let second = Sandbox::start(config).await.err().unwrap();
    assert!(matches!(second, Error::Listen { address, .. } if address == first.smtp()));
}

#[tokio::test]
async fn the_transcript_has_every_line_without_secrets() {
    let sandbox = sandbox().await;
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    client.ok("uid search all").await;
    client.send("p NOOP\r\nq NOOP\r\n").await;
    client.until_tagged("q").await;
    let mut smtp = Client::smtp(&sandbox).await;
    smtp.reply("AUTH PLAIN AGFubmFAZGVtby50ZXN0AHNlY3JldA==").await;
    let lines: Vec<(String, String, bool)> = sandbox
        .transcript()
        .into_iter()
        .map(|line| (line.command, line.text, line.pipelined))
        .collect();
    let want = [
        ("LOGIN", "a1 LOGIN ***", false),
        ("SELECT", "a2 SELECT INBOX", false),
        ("UID SEARCH", "a3 uid search all", false),
        ("NOOP", "p NOOP", false),
        ("NOOP", "q NOOP", true),
        ("EHLO", "EHLO client.test", false),
        ("AUTH", "AUTH PLAIN ***", false),
    ];
    let want = want.map(|(command, text, early)| (command.to_owned(), text.to_owned(), early));
    assert_eq!(lines, want);
    let users: Vec<Option<String>> =
        sandbox.transcript().into_iter().map(|line| line.user).collect();
    assert_eq!(users[..2], [None, Some(ANNA.to_owned())]);
    assert_eq!(sandbox.transcript()[5].protocol, Protocol::Smtp);
    sandbox.transcript_clear();
    assert!(sandbox.transcript().is_empty());
}

#[tokio::test]
async fn wait_for_sees_changes_and_gives_up() {
    let sandbox = std::sync::Arc::new(sandbox().await);
    let other = std::sync::Arc::clone(&sandbox);
    let waits = tokio::spawn(async move {
        let arrived = |state: &postroom_sandbox::SandboxState| {
            state.mailbox(ANNA, "INBOX").is_ok_and(|mailbox| !mailbox.is_empty())
        };
        other.wait_for(arrived, PATIENCE).await
    });
    sandbox.deliver(ANNA, "INBOX", "x").unwrap();
    waits.await.unwrap().unwrap();
    let never = sandbox.wait_for(|_| false, Duration::from_millis(10)).await;
    assert!(matches!(never, Err(Error::Deadline { .. })));
    assert!(matches!(sandbox.deliver("x@y.test", "INBOX", "x"), Err(Error::NoUser { .. })));
    assert!(matches!(sandbox.deliver(ANNA, "None", "x"), Err(Error::NoMailbox { .. })));
    assert!(matches!(sandbox.create_mailbox(ANNA, "Sent"), Err(Error::MailboxExists { .. })));
    assert!(sandbox.messages(ANNA, "None").is_empty());
}

#[tokio::test]
async fn the_demo_mail_can_be_fetched() {
    let sandbox = sandbox().await;
    for message in demo_mail::messages() {
        sandbox.deliver(ANNA, "INBOX", message).unwrap();
    }
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    let said = client.ok("FETCH 1:* (BODYSTRUCTURE ENVELOPE)").await;
    assert!(said.contains("\"IMAGE\" \"PNG\"") && said.contains("\"CSV\""), "{said}");
    assert_eq!(said.matches(" FETCH (").count(), 4, "{said}");
}
