//! A real server, on a pipe and by TCP, TLS and STARTTLS.

use crate::peer::options;
use bytes::Bytes;
use postroom_imap::Body;
use postroom_imap::Error;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::FlagChange;
use postroom_imap::ImapConnection;
use postroom_imap::ImapVerdict;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::UidSet;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::Trust;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::require;

const MESSAGE: &[u8] = b"Subject: hi\r\n\r\nhi\r\n";

struct Server {
    dovecot: Dovecot,
    dialer: Dialer,
}

impl Server {
    fn start() -> Self {
        let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
        let extra_ca_pem = dovecot.ca_pem().into_bytes();
        let dialer = Dialer::new(&Trust { system: false, extra_ca_pem }).unwrap();
        Self { dovecot, dialer }
    }

    async fn connect(&self, security: Security) -> ImapConnection {
        let port = match security {
            Security::Tls => self.dovecot.imaps_port(),
            Security::StartTls | Security::None => self.dovecot.imap_port(),
        };
        let endpoint = Endpoint { host: "localhost".to_owned(), port, security };
        ImapConnection::open(&self.dialer, &endpoint, &options()).await.unwrap()
    }

    async fn log_in(&self, user: &str) -> ImapConnection {
        let mut connection = self.connect(Security::None).await;
        connection.login(&credentials(user, Dovecot::PASSWORD)).await.unwrap();
        connection
    }
}

fn credentials(user: &str, password: &str) -> Credentials {
    let secret = Secret::Password(password.into());
    Credentials { login: user.to_owned(), secret }
}

async fn fetch(connection: &mut ImapConnection, set: &UidSet, items: FetchItems) -> Vec<Fetched> {
    let mut fetch = connection.uid_fetch(set, items).await.unwrap();
    let mut messages = vec![];
    while let Some(event) = fetch.next().await.unwrap() {
        match event {
            FetchEvent::Message(message) => messages.push(message),
            FetchEvent::BodyStart { .. } | FetchEvent::Chunk(_) | FetchEvent::BodyEnd => {}
        }
    }
    messages
}

#[tokio::test]
async fn each_security_leads_to_the_same_mailbox() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let server = Server::start();
    for security in [Security::None, Security::StartTls, Security::Tls] {
        let mut connection = server.connect(security).await;
        let wrong = connection.login(&credentials("anna@demo.test", "wrong")).await.unwrap_err();
        assert_eq!(wrong.verdict(), ImapVerdict::Credentials, "{wrong}");
        let right = credentials("anna@demo.test", Dovecot::PASSWORD);
        connection.login(&right).await.unwrap();
        assert!(connection.capabilities().has("UIDPLUS"));
        let inbox = MailboxName::inbox();
        let appended = connection.append(&inbox, &[], None, Bytes::from_static(MESSAGE)).await;
        assert!(appended.unwrap().is_some());
        connection.logout().await.unwrap();
    }
    let mut connection = server.log_in("anna@demo.test").await;
    let selected = connection.select(&MailboxName::inbox(), Mode::Examine).await.unwrap();
    assert_eq!((selected.exists, selected.read_only), (Some(3), true));
}

#[tokio::test]
async fn messages_come_as_they_went_and_change_only_when_told() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let server = Server::start();
    let mut connection = server.log_in("anna@demo.test").await;
    let inbox = MailboxName::inbox();
    let long = [MESSAGE, "é line\r\n".repeat(300_000).as_bytes()].concat();
    let flags = ["\\Flagged".to_owned()];
    let date_ms = Some(1_577_836_800_000);
    let bytes = Bytes::from(long.clone());
    connection.append(&inbox, &flags, date_ms, bytes).await.unwrap();
    for _ in 0..50 {
        connection.append(&inbox, &[], None, Bytes::from_static(MESSAGE)).await.unwrap();
    }
    let selected = connection.select(&inbox, Mode::Select).await.unwrap();
    assert_eq!(
        (selected.exists, selected.uid_next, selected.read_only),
        (Some(51), Some(52), false)
    );
    assert!(selected.uid_validity.is_some() && !selected.flags.is_empty());
    let uids = connection.uid_search("ALL").await.unwrap();
    assert_eq!(uids, (1..=51).collect::<Vec<_>>());

    let all = UidSet::from_uids(&uids);
    let messages = fetch(&mut connection, &all, FetchItems::Message).await;
    let [first, others @ ..] = messages.as_slice() else {
        panic!("no messages");
    };
    assert_eq!((first.uid, &first.body), (Some(1), &Body::Streamed));
    assert_eq!((first.internal_date_ms, first.size_bytes), (date_ms, Some(long.len() as u64)));
    assert_eq!(
        first.flags.iter().filter(|flag| *flag != "\\Recent").collect::<Vec<_>>(),
        ["\\Flagged"]
    );
    assert!(others.iter().all(|message| message.body == Body::Bytes(Bytes::from_static(MESSAGE))));
    assert_eq!(others.len(), 50);
    assert_eq!(connection.uid_search("UNSEEN").await.unwrap().len(), 51, "\\Seen is not set");

    let some = UidSet::from_range(10..=20);
    connection.uid_store(&some, &FlagChange::add_silent("\\Deleted")).await.unwrap();
    connection.uid_expunge(&UidSet::from_range(15..=51)).await.unwrap();
    let status = connection.status(&inbox).await.unwrap();
    assert_eq!((status.messages, status.uid_next), (Some(45), Some(52)));
    let flags = fetch(&mut connection, &all, FetchItems::Flags).await;
    let deleted = |message: &&Fetched| message.flags.contains(&"\\Deleted".to_owned());
    assert_eq!((flags.len(), flags.iter().filter(deleted).count()), (45, 5));
    let sizes = fetch(&mut connection, &UidSet::from_uids(&[1]), FetchItems::Sizes).await;
    assert_eq!(sizes[0].size_bytes, Some(long.len() as u64));
    connection.noop().await.unwrap();
    connection.logout().await.unwrap();
}

#[tokio::test]
async fn mailboxes_have_the_names_that_people_gave_them() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let server = Server::start();
    let mut connection = server.log_in("anna@demo.test").await;
    for name in ["Entwürfe & Co", "\"quoted\"", "日本語"] {
        let encoded = MailboxName::from_display(name);
        let encoded = std::str::from_utf8(encoded.as_bytes()).unwrap().to_owned();
        let created =
            server.dovecot.doveadm(&["mailbox", "create", "-u", "anna@demo.test", "-7", &encoded]);
        if created.is_err() {
            server.dovecot.doveadm(&["mailbox", "create", "-u", "anna@demo.test", name]).unwrap();
        }
    }
    let listed = connection.list().await.unwrap().listed;
    for name in ["INBOX", "Entwürfe & Co", "\"quoted\"", "日本語"] {
        let found = listed.iter().find(|listed| listed.display == name).expect(name);
        let selected = connection.select(&found.name, Mode::Select).await.unwrap();
        assert_eq!(selected.exists, Some(0), "{name}");
        assert!(found.delimiter.is_some());
    }
    let namespaces = connection.namespace().await.unwrap().unwrap();
    assert_eq!(namespaces.personal.len(), 1);
    let missing = connection.select(&MailboxName::from_display("nowhere"), Mode::Select).await;
    assert_eq!(missing.unwrap_err().verdict(), ImapVerdict::Refused);
    connection.noop().await.unwrap();
}

#[tokio::test]
async fn a_killed_session_is_noticed() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let server = Server::start();
    let mut connection = server.log_in("anna@demo.test").await;
    server.dovecot.doveadm(&["kick", "anna@demo.test"]).unwrap();
    let mut ended = connection.noop().await;
    while ended.is_ok() {
        ended = connection.noop().await;
    }
    assert!(matches!(ended, Err(Error::Bye { .. } | Error::Closed { .. } | Error::Lost { .. })));
}
