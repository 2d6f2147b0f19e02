//! Logging in without sending the password.

use crate::peer::Peer;
use crate::peer::connect;
use crate::peer::connect_with;
use crate::peer::credentials;
use crate::peer::options;
use postroom_imap::ImapConnection;
use postroom_imap::ImapOptions;
use postroom_imap::ImapVerdict;
use postroom_model::options::MechanismChoice;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::Trust;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::ScramServer;
use postroom_testkit::require;
use postroom_testkit::wait_until;
use std::time::Duration;
use tokio::io::DuplexStream;

const OFFER: &str = "AUTH=PLAIN AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256 SASL-IR";

fn chosen(mechanism: MechanismChoice) -> ImapOptions {
    ImapOptions { mechanism, ..options() }
}

/// Plays SCRAM up to the client's proof, and gives the server's last message.
async fn play(peer: &mut Peer<DuplexStream>, password: &str) -> Option<String> {
    let line = peer.take_command().await;
    let first = line.strip_prefix("P1 AUTHENTICATE SCRAM-SHA-256 ").unwrap();
    let server = ScramServer::begin(password, first).unwrap();
    peer.send(format!("+ {}\r\n", server.first()).as_bytes()).await;
    let proof = peer.take_command().await;
    server.last(&proof).unwrap()
}

#[tokio::test(start_paused = true)]
async fn scram_goes_before_plain_and_the_server_proves_itself() {
    let (mut connection, mut peer) = connect(OFFER).await;
    let server = async {
        let last = play(&mut peer, "secret").await.unwrap();
        peer.send(format!("+ {last}\r\n").as_bytes()).await;
        assert_eq!(peer.take_command().await, "");
        peer.send(b"P1 OK [CAPABILITY IMAP4rev1] in\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn scram_waits_where_it_must() {
    let (mut connection, mut peer) = connect("AUTH=SCRAM-SHA-256").await;
    let server = async {
        assert_eq!(peer.take_command().await, "P1 AUTHENTICATE SCRAM-SHA-256");
        peer.send(b"+ \r\n").await;
        let first = peer.take_command().await;
        let server = ScramServer::begin("secret", &first).unwrap();
        peer.send(format!("+ {}\r\n", server.first()).as_bytes()).await;
        let last = server.last(&peer.take_command().await).unwrap().unwrap();
        peer.send(format!("+ {last}\r\n").as_bytes()).await;
        assert_eq!(peer.take_command().await, "");
        peer.send(b"P1 OK [CAPABILITY IMAP4rev1] in\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_prove_itself_is_left_at_once() {
    for (password, is_silent, words) in [
        // It knows another password, or none.
        ("other", false, "did not prove that it knows the password"),
        ("secret", true, "accepted the login but did not prove"),
    ] {
        let (mut connection, mut peer) = connect(OFFER).await;
        let server = async {
            let last = play(&mut peer, password).await;
            if is_silent {
                return peer.send(b"P1 OK in\r\n").await;
            }
            assert!(last.is_none());
            // `v=` and a signature of zeros.
            let zeros = "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPQ==";
            peer.send(format!("+ {zeros}\r\n").as_bytes()).await;
            assert_eq!(peer.take_command().await, "*");
            peer.send(b"P1 BAD canceled\r\n").await;
        };
        let client = async { connection.login(&credentials()).await.unwrap_err() };
        let ((), error) = tokio::join!(server, client);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.verdict(), ImapVerdict::Credentials);
        assert!(peer.is_closed().await, "neither PLAIN nor LOGIN follows");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_fails_before_our_proof_gives_way_to_plain() {
    for no in ["NO [AUTHENTICATIONFAILED] no secret for SCRAM", "BAD what?"] {
        let (mut connection, mut peer) = connect(OFFER).await;
        let server = async {
            let line = peer.complete("AUTHENTICATE SCRAM", "", no).await;
            assert!(line.starts_with("AUTHENTICATE SCRAM-SHA-256 biws"), "{line}");
            let line = peer.answer("AUTHENTICATE", "* CAPABILITY X\r\n").await;
            assert_eq!(line, "AUTHENTICATE PLAIN AGFubmEAc2VjcmV0");
        };
        let client = async { connection.login(&credentials()).await.unwrap() };
        tokio::join!(server, client);
    }
}

#[tokio::test(start_paused = true)]
async fn in_clear_text_no_password_follows_a_proof_that_was_refused() {
    let (mut connection, mut peer) = connect(OFFER).await;
    let server = async {
        assert!(play(&mut peer, "other").await.is_none());
        peer.send(b"P1 NO [AUTHENTICATIONFAILED] wrong\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap_err() };
    let ((), error) = tokio::join!(server, client);
    assert_eq!(error.to_string(), "AUTHENTICATE was answered NO: wrong");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_not_asked_by_another_mechanism() {
    let (mut connection, mut peer) = connect(OFFER).await;
    let no = "NO [UNAVAILABLE] Temporary authentication failure";
    let server = async { peer.complete("AUTHENTICATE", "", no).await };
    let client = async { connection.login(&credentials()).await.unwrap_err() };
    let (_, error) = tokio::join!(server, client);
    assert_eq!(error.verdict(), ImapVerdict::RetryLater { after: None });
}

#[tokio::test(start_paused = true)]
async fn cram_md5_is_used_where_it_was_chosen() {
    let options = chosen(MechanismChoice::CramMd5);
    let (mut connection, mut peer) = connect_with(OFFER, &options).await;
    let server = async {
        assert_eq!(peer.take_command().await, "P1 AUTHENTICATE CRAM-MD5");
        // The challenge is `hi`. `anna ` and its digest follow.
        peer.send(b"+ aGk=\r\n").await;
        let answer = peer.take_command().await;
        assert_eq!(answer, "YW5uYSBlMzY3NGJkYTc5NTkwYjgxNjllZjA0YTFlZjk1YmYxZA==");
        peer.send(b"P1 OK [CAPABILITY IMAP4rev1] in\r\n").await;
    };
    let client = async { connection.login(&credentials()).await.unwrap() };
    tokio::join!(server, client);
}

#[tokio::test(start_paused = true)]
async fn a_mechanism_that_was_chosen_and_is_not_offered_is_told() {
    let options = chosen(MechanismChoice::Scram);
    let (mut connection, _peer) = connect_with("AUTH=PLAIN", &options).await;
    let error = connection.login(&credentials()).await.unwrap_err().to_string();
    assert!(error.contains("the option `mechanism` names one that it does not offer"), "{error}");
}

#[tokio::test]
async fn a_real_server_lets_us_in_by_scram_whatever_the_security() {
    if !require(&[Need::Dovecot]) {
        return;
    }
    let extra = "auth_mechanisms = plain login cram-md5 scram-sha-256\n".to_owned();
    let dovecot = Dovecot::start(&DovecotOptions { extra, ..DovecotOptions::default() }).unwrap();
    let extra_ca_pem = dovecot.ca_pem().into_bytes();
    let dialer = Dialer::new(&Trust { system: false, extra_ca_pem }).unwrap();
    let log_in = async |user: &str, security, mechanism, password: &str| {
        let port = match security {
            Security::Tls => dovecot.imaps_port(),
            Security::StartTls | Security::None => dovecot.imap_port(),
        };
        let endpoint = Endpoint { host: "localhost".to_owned(), port, security };
        let opened = ImapConnection::open(&dialer, &endpoint, &chosen(mechanism)).await;
        let credentials =
            Credentials { login: user.to_owned(), secret: Secret::Password(password.into()) };
        opened.unwrap().login(&credentials).await
    };
    let (best, scram) = (MechanismChoice::Best, MechanismChoice::Scram);
    #[rustfmt::skip]
    let table = [
        ("a@demo.test", Security::Tls,      best,                     "SCRAM-SHA-256"),
        ("b@demo.test", Security::StartTls, best,                     "SCRAM-SHA-256"),
        ("c@demo.test", Security::None,     scram,                    "SCRAM-SHA-256"),
        ("d@demo.test", Security::Tls,      MechanismChoice::Plain,   "PLAIN"),
        ("e@demo.test", Security::Tls,      MechanismChoice::CramMd5, "CRAM-MD5"),
    ];
    for (user, security, mechanism, want) in table {
        log_in(user, security, mechanism, Dovecot::PASSWORD).await.unwrap();
        let line = format!("Login: user=<{user}>, method={want},");
        let is_logged = async || Ok(dovecot.log().contains(&line).then_some(()));
        wait_until("the login is logged", Duration::from_secs(30), is_logged).await.unwrap();
    }
    for security in [Security::Tls, Security::None] {
        let error = log_in("a@demo.test", security, best, "wrong").await.unwrap_err();
        assert_eq!(error.verdict(), ImapVerdict::Credentials, "{error}");
    }
}
