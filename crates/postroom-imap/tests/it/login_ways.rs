//! What happened at a way to log in is known to the next connections.

use crate::peer::Peer;
use crate::peer::connect_with;
use crate::peer::credentials;
use crate::peer::options;
use postroom_imap::Error;
use postroom_imap::ImapOptions;
use postroom_imap::ImapVerdict;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_testkit::ScramServer;
use std::time::Duration;
use tokio::io::DuplexStream;

const OFFER: &str = "AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR";

/// What a server does when somebody logs in.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// It answers, and keeps the connection.
    Answer(&'static str),
    /// It answers, or says nothing, and closes.
    Close(&'static str),
    /// It says nothing more.
    Silence,
}

/// The way in which a command logs in, without secrets.
fn way(command: &str) -> String {
    let words = command.split(' ').skip(1).take_while(|word| !word.starts_with('"'));
    words.take(2).collect::<Vec<_>>().join(" ")
}

/// Logs in on a new connection. Gives the way that the server was asked first, and what came of it.
async fn log_in(
    offer: &str,
    options: &ImapOptions,
    credentials: &Credentials,
    deed: impl Fn(&str) -> Deed,
) -> (String, Result<(), Error>) {
    let (mut connection, mut peer) = connect_with(offer, options).await;
    let server = async move {
        let way = way(&peer.take_command().await);
        match deed(&way) {
            Deed::Answer(said) => peer.send(said.as_bytes()).await,
            Deed::Close(said) => {
                peer.send(said.as_bytes()).await;
                return (way, None);
            }
            Deed::Silence => {}
        }
        (way, Some(peer))
    };
    let client = connection.login(credentials);
    let ((way, _peer), result) = tokio::join!(server, client);
    (way, result)
}

const LET_IN: Deed = Deed::Answer("P1 OK [CAPABILITY IMAP4rev1] in\r\n");

/// The way of each of several connections to a server that lets nobody in but by LOGIN.
async fn ways(offer: &str, count: usize, deed: Deed) -> Vec<String> {
    let options = options();
    let mut ways = vec![];
    for _ in 0..count {
        let deed = |way: &str| if way == "LOGIN" { LET_IN } else { deed };
        let (way, result) = log_in(offer, &options, &credentials(), deed).await;
        assert_eq!(result.is_ok(), way == "LOGIN", "{way}: {result:?}");
        ways.push(way);
    }
    ways
}

const SCRAM: &str = "AUTHENTICATE SCRAM-SHA-256";
const PLAIN: &str = "AUTHENTICATE PLAIN";

#[tokio::test(start_paused = true)]
async fn a_way_to_log_in_that_ends_the_connection_is_followed_by_the_next_one() {
    for said in ["P1 NO not by this\r\n", "P1 NO no\r\n* BYE bye\r\n", "P1 BAD what?\r\n"] {
        let ways = ways(OFFER, 4, Deed::Close(said)).await;
        // What succeeded is the first from then on.
        assert_eq!(ways, [SCRAM, PLAIN, "LOGIN", "LOGIN"], "{said}");
    }
    // A network ends a connection by chance.
    for deed in
        [Deed::Close(""), Deed::Close("* BYE bye\r\n"), Deed::Close("+ \r\n"), Deed::Silence]
    {
        let ways = ways("AUTH=PLAIN SASL-IR", 4, deed).await;
        assert_eq!(ways, [PLAIN, PLAIN, "LOGIN", "LOGIN"], "{deed:?}");
    }
    for deed in [Deed::Close(""), Deed::Silence] {
        let ways = ways(OFFER, 6, deed).await;
        assert_eq!(ways, [SCRAM, SCRAM, PLAIN, PLAIN, "LOGIN", "LOGIN"], "{deed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_costs_one_attempt_each_time_and_is_told_as_such() {
    let no = "P1 NO [AUTHENTICATIONFAILED] wrong\r\n";
    for deed in [Deed::Answer(no), Deed::Close(no)] {
        let options = options();
        let mut ways = vec![];
        for _ in 0..4 {
            let got = log_in("AUTH=PLAIN SASL-IR", &options, &credentials(), |_| deed).await;
            let error = got.1.unwrap_err();
            assert_eq!(error.verdict(), ImapVerdict::Credentials, "{error}");
            assert!(error.to_string().ends_with("was answered NO: wrong"), "{error}");
            ways.push(got.0);
        }
        assert_eq!(ways, [PLAIN, "LOGIN", PLAIN, "LOGIN"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_ends_the_session_is_the_reason() {
    let deed = Deed::Close("P1 NO wrong\r\n* BYE bye\r\n");
    let (_, result) = log_in(OFFER, &options(), &credentials(), |_| deed).await;
    assert_eq!(result.unwrap_err().to_string(), "AUTHENTICATE was answered NO: wrong");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_leaves_no_way_out() {
    let options = options();
    for said in ["P1 NO [UNAVAILABLE] later\r\n", "* BYE Too many connections\r\n"].repeat(2) {
        let deed = Deed::Close(said);
        let (way, result) = log_in(OFFER, &options, &credentials(), |_| deed).await;
        let later = ImapVerdict::RetryLater { after: None };
        assert_eq!((way.as_str(), result.unwrap_err().verdict()), (SCRAM, later));
    }
}

#[tokio::test(start_paused = true)]
async fn two_ends_with_an_answer_between_them_are_not_in_a_row() {
    let options = options();
    let busy = Deed::Close("P1 NO [UNAVAILABLE] later\r\n");
    for deed in [Deed::Close(""), busy, Deed::Silence, Deed::Close("")] {
        let (way, result) = log_in(OFFER, &options, &credentials(), |_| deed).await;
        assert_eq!(way, SCRAM, "{result:?}");
    }
    assert_eq!(log_in(OFFER, &options, &credentials(), |_| LET_IN).await.0, PLAIN);
}

#[tokio::test(start_paused = true)]
async fn where_plain_is_all_there_is_its_plainer_form_follows() {
    let deed = |way: &str| if way == PLAIN { Deed::Close("P1 BAD what?\r\n") } else { LET_IN };
    let (options, offer) = (options(), "AUTH=PLAIN SASL-IR LOGINDISABLED");
    log_in(offer, &options, &credentials(), deed).await.1.unwrap_err();
    let (mut connection, mut peer) = connect_with(offer, &options).await;
    let server = async { plain_asked(&mut peer, "AGFubmEAc2VjcmV0").await };
    let credentials = credentials();
    let (line, result) = tokio::join!(server, connection.login(&credentials));
    result.unwrap();
    assert_eq!(line, "P1 AUTHENTICATE PLAIN");
}

/// Takes a login whose response waits.
async fn plain_asked(peer: &mut Peer<DuplexStream>, response: &str) -> String {
    let line = peer.take_command().await;
    peer.send(b"+ \r\n").await;
    assert_eq!(peer.take_command().await, response);
    peer.send(b"P1 OK [CAPABILITY IMAP4rev1] in\r\n").await;
    line
}

#[tokio::test(start_paused = true)]
async fn a_token_that_may_not_go_with_the_command_waits_on_the_next_connection() {
    let secret = Secret::OAuth2("token".into());
    let token = Credentials { login: "anna".to_owned(), secret };
    let (options, offer) = (options(), "AUTH=XOAUTH2 SASL-IR");
    let deed = Deed::Close("P1 BAD what?\r\n");
    let (_, result) = log_in(offer, &options, &token, |_| deed).await;
    assert_eq!(result.unwrap_err().to_string(), "AUTHENTICATE was answered BAD: what?");
    let (mut connection, mut peer) = connect_with(offer, &options).await;
    let server = async { plain_asked(&mut peer, "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHRva2VuAQE=").await };
    let (line, result) = tokio::join!(server, connection.login(&token));
    result.unwrap();
    assert_eq!(line, "P1 AUTHENTICATE XOAUTH2");
}

#[tokio::test(start_paused = true)]
async fn in_clear_text_no_password_follows_a_proof_that_ended_the_connection() {
    let options = options();
    for _ in 0..3 {
        let (mut connection, mut peer) = connect_with(OFFER, &options).await;
        let server = async move {
            let line = peer.take_command().await;
            let first = line.strip_prefix("P1 AUTHENTICATE SCRAM-SHA-256 ").unwrap();
            let server = ScramServer::begin("other", first).unwrap();
            peer.send(format!("+ {}\r\n", server.first()).as_bytes()).await;
            assert!(server.last(&peer.take_command().await).unwrap().is_none());
        };
        let credentials = credentials();
        let (_, result) = tokio::join!(server, connection.login(&credentials));
        result.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_later_the_strongest_way_is_tried_again() {
    let options = options();
    let deed = |way: &str| if way == SCRAM { Deed::Close("P1 NO no\r\n") } else { LET_IN };
    for want in [SCRAM, PLAIN, PLAIN] {
        assert_eq!(log_in(OFFER, &options, &credentials(), deed).await.0, want);
    }
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(log_in(OFFER, &options, &credentials(), deed).await.0, SCRAM);
}
