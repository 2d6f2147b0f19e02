//! Logging in for sending without sending the password, at servers that are played by hand.
#![expect(clippy::unwrap_used, reason = "tests")]

use postroom_model::options::MechanismChoice;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::Trust;
use postroom_smtp::Error;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpOptions;
use postroom_smtp::SmtpVerdict;
use postroom_testkit::ScramServer;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

const OFFER: &str = "250-mx.test\r\n250 AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\r\n";
/// `v=` and a signature of zeros.
const ZEROS: &str = "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBPQ==";

/// A server that is played by hand.
struct Played {
    stream: BufReader<TcpStream>,
}

impl Played {
    async fn take(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }

    /// Plays SCRAM up to the client's proof, and gives the server's last message.
    async fn scram(&mut self, password: &str) -> Option<String> {
        let line = self.take().await;
        let first = line.strip_prefix("AUTH SCRAM-SHA-256 ").unwrap();
        let server = ScramServer::begin(password, first).unwrap();
        self.say(&format!("334 {}", server.first())).await;
        server.last(&self.take().await).unwrap()
    }
}

/// Logs in at a server that `play` plays, behind EHLO.
async fn log_in(
    mechanism: MechanismChoice,
    offer: &str,
    play: impl AsyncFnOnce(&mut Played),
) -> Result<(), Error> {
    log_in_with(SmtpOptions { mechanism, ..SmtpOptions::default() }, offer, play).await
}

/// The same with options, which know what earlier connections found out.
async fn log_in_with(
    options: SmtpOptions,
    offer: &str,
    play: impl AsyncFnOnce(&mut Played),
) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut played = Played { stream };
        played.say("220 mx.test").await;
        played.take().await;
        played.stream.get_mut().write_all(offer.as_bytes()).await.unwrap();
        play(&mut played).await;
        played
    };
    let client = async {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, security: Security::None };
        let mut connection = SmtpConnection::open(&dialer, &endpoint, &options).await.unwrap();
        let secret = Secret::Password("hush".into());
        let logged_in = connection.login(&Credentials { login: "anna".to_owned(), secret }).await;
        assert_eq!(connection.is_reusable(), logged_in.is_ok());
        logged_in
    };
    let (mut played, logged_in) = tokio::join!(server, client);
    assert_eq!(played.take().await, "", "nothing more is sent");
    logged_in
}

#[tokio::test]
async fn scram_goes_before_plain_and_the_server_proves_itself() {
    let play = async |server: &mut Played| {
        let last = server.scram("hush").await.unwrap();
        server.say(&format!("334 {last}")).await;
        assert_eq!(server.take().await, "");
        server.say("235 2.7.0 in").await;
    };
    log_in(MechanismChoice::Best, OFFER, play).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_left_at_once() {
    let impostor = async |server: &mut Played| {
        assert!(server.scram("other").await.is_none());
        server.say(&format!("334 {ZEROS}")).await;
    };
    let error = log_in(MechanismChoice::Best, OFFER, impostor).await.unwrap_err();
    assert!(error.to_string().contains("did not prove that it knows the password"), "{error}");
    assert_eq!(error.verdict(), SmtpVerdict::Credentials);
    let silent = async |server: &mut Played| {
        server.scram("other").await;
        server.say("235 in").await;
    };
    let error = log_in(MechanismChoice::Best, OFFER, silent).await.unwrap_err();
    assert!(error.to_string().contains("accepted the login but did not prove"), "{error}");
}

#[tokio::test]
async fn plain_follows_what_fails_before_our_proof_and_nothing_what_fails_after_it() {
    for no in ["535 5.7.8 no secret for SCRAM", "504 5.5.4 not that one", "501 what?"] {
        let play = async |server: &mut Played| {
            assert!(server.take().await.starts_with("AUTH SCRAM-SHA-256 biws"));
            server.say(no).await;
            assert_eq!(server.take().await, "AUTH PLAIN AGFubmEAaHVzaA==");
            server.say("235 in").await;
        };
        log_in(MechanismChoice::Best, OFFER, play).await.unwrap();
    }
    let refused = async |server: &mut Played| {
        assert!(server.scram("other").await.is_none());
        server.say("535 5.7.8 wrong").await;
    };
    let error = log_in(MechanismChoice::Best, OFFER, refused).await.unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error}");
    let busy = async |server: &mut Played| {
        server.take().await;
        server.say("454 4.7.0 Temporary authentication failure").await;
    };
    let error = log_in(MechanismChoice::Best, OFFER, busy).await.unwrap_err();
    assert_eq!(error.verdict(), SmtpVerdict::Postpone);
}

#[tokio::test]
async fn who_cuts_connections_after_our_proof_in_clear_text_is_not_sent_the_password() {
    let options = SmtpOptions::default();
    for _ in 0..3 {
        let cut = async |server: &mut Played| {
            assert!(server.scram("other").await.is_none());
            server.stream.get_mut().shutdown().await.unwrap();
        };
        log_in_with(options.clone(), OFFER, cut).await.unwrap_err();
    }
    // Before the proof, it is the mechanism that the server does not know. But a network ends one
    // connection by chance.
    for _ in 0..2 {
        let cut = async |server: &mut Played| {
            assert!(server.take().await.starts_with("AUTH SCRAM-SHA-256 "));
            server.stream.get_mut().shutdown().await.unwrap();
        };
        log_in_with(options.clone(), OFFER, cut).await.unwrap_err();
    }
    let play = async |server: &mut Played| {
        assert_eq!(server.take().await, "AUTH PLAIN AGFubmEAaHVzaA==");
        server.say("235 in").await;
    };
    log_in_with(options, OFFER, play).await.unwrap();
}

#[tokio::test]
async fn cram_md5_is_used_where_it_was_chosen() {
    let play = async |server: &mut Played| {
        assert_eq!(server.take().await, "AUTH CRAM-MD5");
        // The challenge is `hi`. `anna ` and its digest follow.
        server.say("334 aGk=").await;
        let answer = server.take().await;
        assert_eq!(answer, "YW5uYSBiZGJlMTc4MzgwNzgyZThlYWFjMDE0MjhiZGQwZDEyMw==");
        server.say("235 in").await;
    };
    log_in(MechanismChoice::CramMd5, OFFER, play).await.unwrap();
}

#[tokio::test]
async fn a_mechanism_that_was_chosen_and_is_not_offered_is_told() {
    let play = async |_: &mut Played| {};
    let offer = "250-mx.test\r\n250 AUTH PLAIN\r\n";
    let error = log_in(MechanismChoice::Scram, offer, play).await.unwrap_err();
    let want = "the option `mechanism` names a way to log in that the server does not offer: set \
                it to `best` (it offers: PLAIN)";
    assert_eq!(error.to_string(), want);
}
