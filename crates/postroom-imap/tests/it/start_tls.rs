//! STARTTLS under attack: credentials are never sent in the clear, and nothing that came in the
//! clear is used under TLS.

use crate::peer::Peer;
use crate::peer::options;
use postroom_imap::Error;
use postroom_imap::ImapConnection;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::Trust;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// Opens a connection with STARTTLS to a server that is played by `server`.
async fn open<F>(server: impl FnOnce(Peer<TcpStream>) -> F) -> Error
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, security: Security::StartTls };
    let dialer = Dialer::new(&Trust::default()).unwrap().with_deadline(Duration::from_secs(2));
    let options = options();
    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        server(Peer::on(stream)).await;
    };
    let (opened, ()) = tokio::join!(ImapConnection::open(&dialer, &endpoint, &options), served);
    opened.unwrap_err()
}

fn reason(error: &Error) -> &'static str {
    let Error::StartTls { reason } = error else {
        panic!("{error:?}");
    };
    reason
}

#[tokio::test]
async fn bytes_that_come_with_the_ok_are_an_attack() {
    let error = open(async |mut peer| {
        peer.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n").await;
        peer.complete("STARTTLS", "", "OK go on\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN").await;
        assert!(peer.is_closed().await, "nothing more is sent");
    });
    assert_eq!(reason(&error.await), "bytes came in the clear after the server's OK");
}

#[tokio::test]
async fn bytes_that_come_after_the_ok_are_no_handshake() {
    let error = open(async |mut peer| {
        peer.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n").await;
        peer.answer("STARTTLS", "").await;
        peer.try_send(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n").await;
    });
    let error = error.await;
    assert!(matches!(error, Error::Connect(_) | Error::StartTls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_greeting_that_forbids_starttls_is_refused() {
    let error = open(async |mut peer| {
        peer.send(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] come in\r\n").await;
        assert!(peer.is_closed().await, "nothing is sent");
    });
    assert_eq!(reason(&error.await), "the server greets with PREAUTH");
}

#[tokio::test]
async fn a_stripped_starttls_is_refused() {
    let error = open(async |mut peer| {
        peer.send(b"* OK hi\r\n").await;
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n").await;
        assert!(peer.is_closed().await, "nothing more is sent");
    });
    assert_eq!(reason(&error.await), "the server does not offer STARTTLS");
}

#[tokio::test]
async fn a_refused_starttls_is_the_end() {
    for completion in ["NO not now", "BAD what?"] {
        let error = open(async move |mut peer: Peer<TcpStream>| {
            peer.send(b"* OK [CAPABILITY STARTTLS] hi\r\n").await;
            peer.complete("STARTTLS", "", completion).await;
            assert!(peer.is_closed().await, "nothing more is sent");
        });
        assert_eq!(reason(&error.await), "the server refuses STARTTLS");
    }
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_at_its_deadline() {
    let error = open(async |mut peer| {
        peer.send(b"* OK [CAPABILITY STARTTLS] hi\r\n").await;
        peer.answer("STARTTLS", "").await;
        while !peer.is_closed().await {}
    });
    let error = error.await;
    let Error::Connect(error) = error else {
        panic!("{error:?}");
    };
    assert!(matches!(error, postroom_net::Error::Timeout { .. }), "{error}");
}
