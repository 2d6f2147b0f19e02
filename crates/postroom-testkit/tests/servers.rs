//! The servers start side by side, take mail, hand it out, and are gone afterwards.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::Postfix;
use postroom_testkit::PostfixOptions;
use postroom_testkit::require;
use postroom_testkit::sample;
use postroom_testkit::wait_until;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const USER: &str = "anna@demo.test";

#[test]
fn filled_messages_come_back_in_order_with_crlf() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    let messages: Vec<Vec<u8>> = (0..20).map(|number| sample(number, 3000)).collect();
    assert_eq!(dovecot.fill(USER, "INBOX", &messages).unwrap(), 20);
    assert_eq!(dovecot.fill(USER, "Archive", ["Subject: kept\r\n\r\nhere\r\n"]).unwrap(), 1);
    dovecot.append(USER, "INBOX", b"Subject: last\r\n\r\nand least\r\n").unwrap();

    let inbox = dovecot.fetch(USER, "INBOX").unwrap();
    assert_eq!(inbox.keys().copied().collect::<Vec<_>>(), (1..=21).collect::<Vec<_>>());
    for (delivered, message) in inbox.values().zip(&messages) {
        let with_crlf = String::from_utf8_lossy(message).replace('\n', "\r\n");
        assert_eq!(String::from_utf8_lossy(&delivered.bytes), with_crlf);
    }
    assert_eq!(inbox[&21].bytes, b"Subject: last\r\n\r\nand least\r\n");
    let archive = dovecot.fetch(USER, "Archive").unwrap();
    assert_eq!(archive[&1].bytes, b"Subject: kept\r\n\r\nhere\r\n");
}

#[test]
fn a_corpus_is_the_same_for_two_servers_at_once() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let [one, two] = [(); 2].map(|()| {
        let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
        dovecot.fill_corpus('t', USER, 50).unwrap();
        dovecot
    });
    let digests = one.digests(USER, "INBOX").unwrap();
    assert_eq!(digests.len(), 50);
    assert_eq!(digests, two.digests(USER, "INBOX").unwrap());
    assert!(one.doveadm(&["mailbox", "list", "-u", USER]).unwrap().contains("Sent"));
}

#[test]
fn a_stopped_server_leaves_nothing_behind() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    let port = dovecot.imap_port();
    drop(dovecot);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn mail_given_to_postfix_arrives_in_dovecot() {
    if !require(&[Need::Dovecot, Need::Postfix]) {
        return;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    let postfix = Postfix::start(&dovecot, &PostfixOptions::default()).unwrap();
    let other = Postfix::start(&dovecot, &PostfixOptions { auth: true, ..Default::default() });
    let other = other.unwrap();

    let mut smtp = Smtp::open(postfix.smtp_port());
    let offers = smtp.say("EHLO client.test");
    assert!(offers.contains("STARTTLS") && offers.contains("SMTPUTF8"), "{offers}");
    assert!(smtp.say("MAIL FROM:<ben@demo.test>").starts_with("250"));
    assert!(smtp.say("RCPT TO:<nobody@demo.test>").starts_with("550 5.1.1"));
    assert!(smtp.say("RCPT TO:<later@demo.test>").starts_with("451 4.2.0"));
    assert!(smtp.say("RCPT TO:<eve@elsewhere.example>").starts_with("554 5.7.1"));
    assert!(smtp.say("RCPT TO:<anna@demo.test>").starts_with("250"));
    assert!(smtp.say("DATA").starts_with("354"));
    assert!(smtp.say("Subject: hello\r\n\r\nby post\r\n.").starts_with("250"));

    let arrived = wait_until("the message", Duration::from_secs(30), async || {
        let inbox = dovecot.fetch(USER, "INBOX")?;
        Ok(inbox.into_values().next())
    });
    let arrived = arrived.await.expect("it is delivered by LMTP");
    let text = String::from_utf8(arrived.bytes).unwrap();
    assert!(text.contains("\r\nSubject: hello\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nby post\r\n"), "{text}");
    let empty = wait_until("an empty queue", Duration::from_secs(30), async || {
        Ok((postfix.queued_count() == 0).then_some(()))
    });
    empty.await.unwrap();

    let mut smtp = Smtp::open(other.smtp_port());
    assert!(smtp.say("EHLO client.test").contains("AUTH PLAIN LOGIN"));
    assert!(smtp.say("MAIL FROM:<ben@demo.test>").starts_with("250"));
    assert!(smtp.say("RCPT TO:<anna@demo.test>").starts_with("554 5.7.1"));
    // "\0anna@demo.test\0" and the password, in base64.
    let login = "AGFubmFAZGVtby50ZXN0AHNlY3JldC1vZi10aGUtdGVzdHM=";
    assert!(smtp.say("RSET").starts_with("250"));
    assert!(smtp.say(&format!("AUTH PLAIN {login}")).starts_with("235"));
}

/// The smallest SMTP client.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut smtp = Self(BufReader::new(stream));
        smtp.reply();
        smtp
    }

    fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "closed after {reply}");
            reply += &line;
            if line.as_bytes()[3] == b' ' {
                return reply;
            }
        }
    }
}
