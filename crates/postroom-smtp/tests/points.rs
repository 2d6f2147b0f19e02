//! What becomes of a message when the server answers, falls silent or goes away at each point of
//! the protocol: the verdict for each stands in one table.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::Trust;
use postroom_smtp::BrokenOff;
use postroom_smtp::Envelope;
use postroom_smtp::Error;
use postroom_smtp::SmtpConnection;
use postroom_smtp::SmtpDeadlines;
use postroom_smtp::SmtpOptions;
use postroom_smtp::SmtpVerdict;
use postroom_smtp::TransactionReplies;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What the server does at a point.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Answers so, instead of what it usually does.
    Say(&'static str),
    /// Answers so, and after a moment says the rest.
    SayAndThen(&'static str, &'static str),
    /// Answers so, and closes the connection.
    SayAndDrop(&'static str),
    /// Closes the connection.
    Drop,
    /// Says nothing any more.
    Stall,
}

/// A server that does one thing differently at one point, and keeps what it was told.
struct Server {
    port: u16,
    told: Arc<Mutex<Vec<String>>>,
    /// Whether it has acted within the body, or said the rest of an answer.
    acted: Arc<Notify>,
}

const EHLO: &str =
    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n";
const NO_PIPELINING: &str = "250-mx.test\r\n250 SIZE 1000\r\n";

impl Server {
    async fn start(point: &'static str, act: Act) -> Self {
        Self::start_with(vec![(point, act)]).await
    }

    async fn start_with(acts: Vec<(&'static str, Act)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(vec![]));
        let acted = Arc::new(Notify::new());
        let (heard, tell) = (Arc::clone(&told), Arc::clone(&acted));
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            // The client may be gone at any time.
            let _ = serve(socket, &acts, (&heard, &tell)).await;
            tell.notify_one();
        });
        Self { port, told, acted }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    async fn open(&self) -> Result<SmtpConnection, Error> {
        self.open_as("client.test").await
    }

    async fn open_as(&self, name: &str) -> Result<SmtpConnection, Error> {
        let short = Duration::from_millis(200);
        let deadlines = SmtpDeadlines {
            command: short,
            data: short,
            block: short,
            dot: short,
            courtesy: short,
        };
        let options =
            SmtpOptions { ehlo_name: name.to_owned(), deadlines, ..SmtpOptions::default() };
        let host = "127.0.0.1".to_owned();
        let endpoint = Endpoint { host, port: self.port, security: Security::None };
        let dialer = Dialer::new(&Trust::default()).unwrap();
        SmtpConnection::open(&dialer, &endpoint, &options).await
    }
}

async fn serve(
    socket: tokio::net::TcpStream,
    acts: &[(&str, Act)],
    (heard, acted): (&Mutex<Vec<String>>, &Notify),
) -> std::io::Result<()> {
    // What is said later must not wait for an acknowledgement.
    socket.set_nodelay(true)?;
    let (reading, mut writing) = socket.into_split();
    let mut lines = BufReader::new(reading).lines();
    let mut in_data = false;
    let mut at = "greeting".to_owned();
    loop {
        let usual = match at.as_str() {
            "greeting" => "220 mx.test\r\n",
            "EHLO" => EHLO,
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            "AUTH" => "235 ok\r\n",
            "body" => "",
            _ => "250 ok\r\n",
        };
        let act = acts.iter().find(|(point, _)| at == *point).map(|(_, act)| *act);
        let answer = act.unwrap_or(Act::Say(usual));
        match answer {
            Act::Say(text) => {
                in_data |= at == "DATA" && text.starts_with("354");
                writing.write_all(text.as_bytes()).await?;
                if act.is_some() && at == "body" {
                    acted.notify_one();
                }
            }
            Act::SayAndThen(text, rest) => {
                writing.write_all(text.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                writing.write_all(rest.as_bytes()).await?;
                acted.notify_one();
            }
            Act::SayAndDrop(text) => return writing.write_all(text.as_bytes()).await,
            Act::Drop => return Ok(()),
            Act::Stall => std::future::pending().await,
        }
        let Some(line) = lines.next_line().await? else {
            return Ok(());
        };
        at = match (in_data, line.as_str()) {
            (true, ".") => "dot".to_owned(),
            (true, _) => "body".to_owned(),
            (false, "RCPT TO:<two@b.test>") => "RCPT two".to_owned(),
            (false, line) => line.split(' ').next().unwrap_or_default().to_owned(),
        };
        in_data &= at != "dot";
        heard.lock().unwrap().push(line);
    }
}

fn envelope() -> Envelope {
    Envelope {
        reverse_path: "a@b.test".to_owned(),
        forward_paths: vec!["one@b.test".to_owned(), "two@b.test".to_owned()],
        smtp_utf8: false,
        eight_bit: false,
        size_bytes: 20,
    }
}

async fn send(connection: &mut SmtpConnection) -> Result<TransactionReplies, Error> {
    let mut body = Some(Bytes::from_static(b"Subject: x\r\n\r\n.\r\nbye\r\n"));
    connection.send(&envelope(), &mut body, async |_| Ok(())).await.map_err(|broken| broken.error)
}

/// Opens, sends, and says how it ended: the codes of the recipients and of the data, or the verdict.
async fn attempt(server: &Server, point: &str) -> String {
    let ended = match server.open().await {
        // What happens within the body happens before the dot goes out.
        Ok(mut connection) if point == "body" => {
            let mut body = Some(Bytes::from_static(b"x\r\n"));
            let acted = async |_: &[postroom_smtp::RecipientReply]| {
                server.acted.notified().await;
                Ok(())
            };
            connection.send(&envelope(), &mut body, acted).await.map_err(|broken| broken.error)
        }
        Ok(mut connection) => send(&mut connection).await,
        Err(error) => Err(error),
    };
    outcome(ended)
}

fn outcome(ended: Result<TransactionReplies, Error>) -> String {
    match ended {
        Ok(outcome) => {
            let codes: Vec<_> =
                outcome.recipients.iter().map(|r| r.reply.code.to_string()).collect();
            format!("{} {:?}", codes.join(","), outcome.data.map(|reply| reply.code))
        }
        Err(error) => format!("{:?}", error.verdict()),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn what_becomes_of_a_message_at_each_point() {
    use Act::*;
    let flood: &'static str = "wait\r\n".repeat(20_000).leak();
    #[rustfmt::skip]
    let table = [
        ("nowhere",  Stall,               "250,250 Some(250)"),
        ("greeting", Say("554 no\r\n"),   "Refuse"),
        ("greeting", Say("421 no\r\n"),   "Postpone"),
        ("greeting", Say("hello\r\n"),    "Postpone"),
        ("greeting", Drop,                "Postpone"),
        ("greeting", Stall,               "Postpone"),
        ("EHLO",     Say("500 what\r\n"), "250,250 Some(250)"),
        ("EHLO",     Say(NO_PIPELINING),  "250,250 Some(250)"),
        ("EHLO",     Say("421 no\r\n"),   "Postpone"),
        ("EHLO",     Drop,                "Postpone"),
        ("MAIL",     Say("451 x\r\n"),    "Postpone"),
        ("MAIL",     Say("550 x\r\n"),    "Refuse"),
        ("MAIL",     SayAndDrop("550 x\r\n"), "Refuse"),
        ("MAIL",     Say("530 x\r\n"),    "Credentials"),
        ("MAIL",     Drop,                "Postpone"),
        ("MAIL",     Stall,               "Postpone"),
        ("RCPT two", Say("450 x\r\n"),    "250,450 Some(250)"),
        ("RCPT two", Say("550 x\r\n"),    "250,550 Some(250)"),
        ("RCPT two", Say("421 x\r\n"),    "Postpone"),
        ("RCPT two", Drop,                "Postpone"),
        // A refusal of all holds although the session ends with it, also in the other form.
        ("RCPT",     SayAndDrop("550 x\r\n550 y\r\n"), "550,550 None"),
        ("RCPT",     Say("550 x\r\n550 y\r\n421 z\r\n"), "550,550 None"),
        ("RCPT",     SayAndDrop("550 x\r\n450 y\r\n"), "550,450 None"),
        ("RCPT",     SayAndDrop("550 x\r\n250 y\r\n"), "Postpone"),
        // Answers that are out of step refuse nobody.
        ("MAIL",     Say("250 ok\r\n250 ok\r\n"), "Postpone"),
        ("RCPT two", Say("250 ok\r\n550 x\r\n"), "Postpone"),
        ("RCPT two", Stall,               "Postpone"),
        ("DATA",     Say("451 x\r\n"),    "250,250 Some(451)"),
        ("DATA",     Say("554 x\r\n"),    "250,250 Some(554)"),
        ("DATA",     Say("250 ok\r\n"),   "Postpone"),
        ("DATA",     Say("250 ok\r\n250 ok\r\n"), "Postpone"),
        // Any 3yz asks for the message, but for the challenge of a login.
        ("DATA",     Say("399 x\r\n"),    "250,250 Some(250)"),
        ("DATA",     Say("350 x\r\n"),    "250,250 Some(250)"),
        ("DATA",     Say("334 x\r\n"),    "Postpone"),
        ("DATA",     Say("354 go\r\n250 ok\r\n"), "Postpone"),
        ("DATA",     Say("354 go\r\n354 go\r\n"), "Postpone"),
        ("DATA",     Say("354 go\r\n552 x\r\n"), "250,250 Some(552)"),
        ("DATA",     Say("421 x\r\n"),    "Postpone"),
        ("DATA",     Drop,                "Postpone"),
        ("DATA",     Stall,               "Postpone"),
        ("body",     Say("250 ok\r\n"),   "Postpone"),
        ("body",     Say("552 x\r\n"),    "250,250 Some(552)"),
        ("body",     Drop,                "Postpone"),
        // Where no reply is due, whole lines that are none are no answer. The beginning of one is.
        ("DATA",     Say("354 go\r\n\r\n"), "250,250 Some(250)"),
        ("DATA",     Say("354 go\r\n150 wait\r\n\r\n"), "250,250 Some(250)"),
        ("DATA",     Say("354 go\r\n\r\n552 x\r\n"), "250,250 Some(552)"),
        ("body",     Say("\r\n"),         "250,250 Some(250)"),
        ("body",     Say("150 wait\r\nscanning\r\n"), "250,250 Some(250)"),
        ("body",     Say(flood),          "Postpone"),
        ("body",     Say("150 wait\r\n2"), "Postpone"),
        ("body",     Say("\r\n250 ok\r\n"), "Postpone"),
        ("EHLO",     Say("250-mx.test\r\n250 PIPELINING\r\n\r\n"), "250,250 Some(250)"),
        ("EHLO",     Say("250 mx.test\r\n\r\n150 wait\r\n"), "250,250 Some(250)"),
        ("EHLO",     Say("250 mx.test\r\n\r\n250 ok\r\n"), "Postpone"),
        ("dot",      Say("451 x\r\n"),    "250,250 Some(451)"),
        ("dot",      Say("554 x\r\n"),    "250,250 Some(554)"),
        // Whatever shows its class is an answer (RFC 5321 §4.2).
        ("MAIL",     Say("571 x\r\n"),    "Refuse"),
        ("RCPT two", Say("571 x\r\n"),    "250,571 Some(250)"),
        ("RCPT two", Say("5.1.1 x\r\n"),  "250,500 Some(250)"),
        ("RCPT two", Say("\r\n550 x\r\n"), "250,550 Some(250)"),
        ("RCPT",     Say("550-x\r\n"),    "550,250 Some(250)"),
        ("RCPT two", Say("550-x\r\n"),    "250,550 Some(250)"),
        // Any 2yz accepts (RFC 5321 §4.2.1).
        ("RCPT two", Say("251 x\r\n"),    "250,251 Some(250)"),
        ("RCPT two", Say("252 x\r\n"),    "250,252 Some(250)"),
        ("dot",      Say("251 x\r\n"),    "250,250 Some(251)"),
        ("dot",      Say("254 x\r\n"),    "250,250 Some(254)"),
        ("dot",      Say("299 x\r\n"),    "250,250 Some(299)"),
        ("dot",      Say("571 x\r\n"),    "250,250 Some(571)"),
        ("dot",      Say("471 x\r\n"),    "250,250 Some(471)"),
        ("dot",      Say("554-x\r\nsee the policy\r\n554 x\r\n"), "250,250 Some(554)"),
        ("dot",      Say("550-x\r\n554 x\r\n"), "250,250 Some(554)"),
        // An answer that contradicts itself, or that is to another command, says nothing certain.
        ("dot",      Say("250-x\r\n451 x\r\n"), "OutcomeUnknown"),
        ("dot",      Say("550-x\r\n250 x\r\n"), "OutcomeUnknown"),
        ("dot",      Say("221 bye\r\n"), "OutcomeUnknown"),
        ("dot",      Say("220 mx ESMTP\r\n"), "OutcomeUnknown"),
        ("dot",      Say("235 welcome\r\n"), "OutcomeUnknown"),
        ("dot",      Say("334 x\r\n"),    "OutcomeUnknown"),
        ("dot",      Say("350 x\r\n"),    "OutcomeUnknown"),
        ("dot",      Say("252 x\r\n"),    "250,250 Some(252)"),
        ("dot",      Say("554-x\r\n"),    "250,250 Some(554)"),
        ("dot",      SayAndDrop("554-x\r\n"), "250,250 Some(554)"),
        ("dot",      SayAndDrop("554 x"), "250,250 Some(554)"),
        ("dot",      SayAndDrop("250 x"), "250,250 Some(250)"),
        // What ends within a code is no answer, and contradicts one of another class.
        // What begins to accept may refuse in the end, so it accepts nothing without its end.
        ("dot",      SayAndDrop("250-x\r\n"), "OutcomeUnknown"),
        ("dot",      SayAndDrop("250-x\r\n2"), "OutcomeUnknown"),
        ("dot",      SayAndDrop("250-x"), "OutcomeUnknown"),
        ("dot",      Say("250-x\r\n"),    "OutcomeUnknown"),
        ("dot",      SayAndDrop("250-x\r\n5"), "OutcomeUnknown"),
        ("dot",      Say("250-x\r\n250 y\r\n"), "250,250 Some(250)"),
        ("dot",      SayAndDrop("4"),     "OutcomeUnknown"),
        ("dot",      SayAndDrop("55"),    "OutcomeUnknown"),
        ("dot",      Say("5.7.1 x\r\n"),  "250,250 Some(500)"),
        ("dot",      Say("4.7.1 x\r\n"),  "250,250 Some(400)"),
        ("dot",      Say("blocked\r\n550 x\r\n"), "250,250 Some(550)"),
        ("dot",      Say("354 x\r\n"),    "OutcomeUnknown"),
        ("dot",      Say("what\r\n"),     "OutcomeUnknown"),
        ("dot",      Drop,                "OutcomeUnknown"),
        ("dot",      Stall,               "OutcomeUnknown"),
    ];
    for (point, act, want) in table {
        let server = Server::start(point, act).await;
        let got = attempt(&server, point).await;
        assert_eq!(got, want, "{act:?} at {point}");
    }
}

#[tokio::test]
async fn an_answer_whose_lines_contradict_each_other_neither_accepts_nor_refuses() {
    use Act::*;
    #[rustfmt::skip]
    let table = [
        // Commands that go together.
        (false, "MAIL",     Say("250-ok\r\n550 x\r\n"), "Postpone"),
        (false, "RCPT two", Say("250-ok\r\n550 x\r\n"), "Postpone"),
        (false, "RCPT two", Say("550-x\r\n250 ok\r\n"), "Postpone"),
        (false, "DATA",     Say("354-go\r\n550 x\r\n"), "250,250 Some(550)"),
        // One after the other. Nothing is sent while it is not clear to whom.
        (true,  "MAIL",     Say("250-ok\r\n550 x\r\n"), "Postpone"),
        (true,  "RCPT two", Say("250-ok\r\n550 x\r\n"), "250,550 None"),
        (true,  "RCPT two", Say("550-x\r\n250 ok\r\n"), "250,550 None"),
        (true,  "RCPT",     Say("250-ok\r\n450 x\r\n"), "450,250 None"),
        (true,  "RCPT two", Say("450-x\r\n550 x\r\n"), "250,450 Some(250)"),
        (true,  "RCPT two", Say("550-x\r\n450 x\r\n"), "250,450 Some(250)"),
        (true,  "DATA",     Say("354-go\r\n550 x\r\n"), "250,250 Some(550)"),
    ];
    for (in_turn, point, act, want) in table {
        let server = Server::start(point, act).await;
        let mut connection = server.open().await.unwrap();
        if in_turn {
            connection.in_turn();
        }
        let sent = send(&mut connection).await;
        if let Ok(replies) = &sent {
            let replies = replies.recipients.iter().map(|it| &it.reply).chain(&replies.data);
            assert!(!replies.clone().any(postroom_smtp::Reply::is_permanent), "{act:?} at {point}");
        }
        assert_eq!(outcome(sent), want, "{act:?} at {point}");
        let told = server.told();
        assert_eq!(told.iter().any(|line| line == "."), want.ends_with("Some(250)"), "{told:?}");
        if want.ends_with("None") {
            assert_eq!(told.last().unwrap(), "RSET");
            assert!(connection.is_reusable(), "{act:?} at {point}");
        }
    }
    let server = Server::start("AUTH", Say("235-ok\r\n535 wrong\r\n")).await;
    let error = server.open().await.unwrap().login(&anna()).await.unwrap_err();
    assert_eq!(error.verdict(), SmtpVerdict::Postpone, "{error}");
}

#[tokio::test]
async fn a_refusal_together_with_the_acceptance_leaves_the_outcome_unknown() {
    for (said, want) in [
        ("250 x\r\n421 bye\r\n", "250,250 Some(250)"),
        ("250 x\r\n250 y\r\n", "250,250 Some(250)"),
        ("250 x\r\n550 y\r\n", "OutcomeUnknown"),
        ("250 x\r\n\r\n550 y\r\n", "OutcomeUnknown"),
        ("250 x\r\n\r\n", "250,250 Some(250)"),
    ] {
        let server = Server::start("dot", Act::Say(said)).await;
        assert_eq!(attempt(&server, "dot").await, want, "{said:?}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_reply_after_one_is_not_waited_for_and_costs_no_connection() {
    let server = Server::start_with(vec![
        ("AUTH", Act::Say("235 ok\r\n\r\n")),
        ("dot", Act::Say("250 ok\r\n\r\n150 wait\r\n")),
    ])
    .await;
    let mut connection = server.open().await.unwrap();
    connection.login(&anna()).await.unwrap();
    for _ in 0..3 {
        let outcome = send(&mut connection).await.unwrap();
        assert_eq!(outcome.data.map(|reply| reply.code), Some(250));
        // A wait for the rest would leave it out of step.
        assert!(connection.is_reusable());
    }
    assert!(connection.is_alive().await);
}

/// A reply of so many lines.
fn long(code: u16, count: usize) -> &'static str {
    let lines = format!("{code}-x\r\n").repeat(count - 1);
    format!("{lines}{code} end\r\n").leak()
}

#[tokio::test]
async fn the_rest_of_a_long_reply_is_no_answer_to_the_next_command() {
    #[rustfmt::skip]
    let table = [
        ("MAIL",     long(250, 300),    "250,250 Some(250)"),
        ("RCPT two", long(250, 300),    "250,250 Some(250)"),
        ("RCPT two", long(550, 5000),   "250,550 Some(250)"),
        ("DATA",     long(354, 300),    "250,250 Some(250)"),
        ("dot",      long(250, 300),    "250,250 Some(250)"),
        ("dot",      long(554, 300),    "250,250 Some(554)"),
        // More is not read.
        ("MAIL",     long(550, 20_000), "Postpone"),
        ("RCPT two", long(550, 20_000), "Postpone"),
        ("dot",      long(554, 20_000), "250,250 Some(554)"),
        ("dot",      long(250, 20_000), "OutcomeUnknown"),
    ];
    for (point, said, want) in table {
        for in_turn in [false, true] {
            let server = Server::start(point, Act::Say(said)).await;
            let mut connection = server.open().await.unwrap();
            if in_turn {
                connection.in_turn();
            }
            let sent = send(&mut connection).await;
            if let Err(error) = &sent {
                let (name, _) = point.split_once(' ').unwrap_or((point, ""));
                let name = if name == "dot" { "end of data" } else { name };
                let why = format!("its reply to {name} has more than 10000 lines");
                assert!(error.to_string().contains(&why), "{error}");
            }
            assert_eq!(outcome(sent), want, "{point} {in_turn}");
            assert_eq!(connection.is_reusable(), said.len() < 100_000, "{point} {in_turn}");
        }
    }
}

#[tokio::test]
async fn a_server_that_says_too_much_of_what_it_offers_is_told_so() {
    let server = Server::start("EHLO", Act::Say(long(250, 300))).await;
    let text = server.open().await.unwrap_err().to_string();
    assert!(text.contains("its reply to EHLO has more than 200 lines"), "{text}");
}

#[tokio::test]
async fn a_port_that_says_nothing_in_the_clear_may_want_tls() {
    let error = Server::start("greeting", Act::Stall).await.open().await.unwrap_err();
    assert!(error.to_string().contains("does this port want smtpSecurity `tls`?"), "{error}");
}

#[tokio::test]
async fn no_commands_go_together_through_a_device_that_hides_the_greeting() {
    for (greeting, is_pipelined) in [("220 mx ***\r\n", true), ("220 *****2**0*\r\n", false)] {
        let server = Server::start("greeting", Act::Say(greeting)).await;
        let mut connection = server.open().await.unwrap();
        assert_eq!(connection.extensions().pipelining, is_pipelined, "{greeting}");
        send(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_reply_among_commands_that_went_together_is_shown() {
    for point in ["MAIL", "RCPT two"] {
        for said in ["abc hello\r\n", "150 wait\r\n"] {
            let server = Server::start(point, Act::Say(said)).await;
            let error = send(&mut server.open().await.unwrap()).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("it said `{}`", said.trim_end())), "{point}: {text}");
            // The reply to DATA shows that no other reply follows.
            assert!(text.contains("`354 go on` came too early"), "{point}: {text}");
            assert_eq!(format!("{:?}", error.verdict()), "Postpone");
        }
    }
}

#[tokio::test]
async fn what_is_no_reply_is_shown() {
    for point in ["greeting", "dot"] {
        let server = Server::start(point, Act::Say("HTTP/1.1 400 Bad Request\r\n")).await;
        let error = match server.open().await {
            Ok(mut connection) => send(&mut connection).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("HTTP/1.1 400 Bad Request"), "{error}");
    }
}

#[tokio::test]
async fn a_reply_without_its_end_keeps_nobody_from_the_message() {
    let server = Server::start("RCPT two", Act::Say("550-nobody\r\n")).await;
    let mut connection = server.open().await.unwrap();
    connection.in_turn();
    let outcome = send(&mut connection).await.unwrap();
    let codes: Vec<_> = outcome.recipients.iter().map(|r| r.reply.code).collect();
    assert_eq!((codes, outcome.data.map(|reply| reply.code)), (vec![250, 550], Some(250)));
    // Its end may still come, and would be taken for the answer to something else.
    assert!(!connection.is_reusable());
    // So what comes later is not skipped, even if it is no reply by itself.
    let acts = vec![("RCPT two", Act::Say("550-nobody\r\n")), ("body", Act::Say("here\r\n"))];
    let server = Server::start_with(acts).await;
    let mut connection = server.open().await.unwrap();
    connection.in_turn();
    let acted = async |_: &[postroom_smtp::RecipientReply]| {
        server.acted.notified().await;
        Ok(())
    };
    let mut body = Some(Bytes::from_static(b"x\r\n"));
    let error = connection.send(&envelope(), &mut body, acted).await.unwrap_err().error;
    assert_eq!(error.verdict(), SmtpVerdict::Postpone);
    assert!(!server.told().iter().any(|line| line == "."), "{:?}", server.told());
}

#[tokio::test]
async fn a_line_without_end_shows_its_class() {
    let long: &'static str = format!("554 5.7.1 {}\r\n", "x".repeat(100_000)).leak();
    let server = Server::start("dot", Act::Say(long)).await;
    let mut connection = server.open().await.unwrap();
    let outcome = send(&mut connection).await.unwrap();
    assert_eq!(outcome.data.map(|reply| reply.code), Some(554));
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn what_the_server_says_unasked_is_no_answer() {
    let server = Server::start("dot", Act::Say("250 ok\r\n")).await;
    let mut connection = server.open().await.unwrap();
    send(&mut connection).await.unwrap();
    assert!(connection.is_reusable());
    let server = Server::start("dot", Act::Say("554 one\r\n554 two\r\n")).await;
    let mut connection = server.open().await.unwrap();
    send(&mut connection).await.unwrap();
    let error = send(&mut connection).await.unwrap_err();
    assert!(error.was_stale() || !connection.is_reusable(), "{error}");
}

#[tokio::test]
async fn a_connection_on_which_something_was_said_unasked_is_not_alive() {
    for late in ["250 late\r\n", "2", "450 late\r\n", "421 bye\r\n", "what\r\n250 late\r\n"] {
        let server = Server::start("dot", Act::SayAndThen("250 ok\r\n", late)).await;
        let mut connection = server.open().await.unwrap();
        send(&mut connection).await.unwrap();
        server.acted.notified().await;
        assert!(!connection.is_alive().await && !connection.is_reusable(), "{late}");
        assert_eq!(server.told().last().unwrap(), ".", "{late}: it is not even asked");
    }
    let server = Server::start("NOOP", Act::Say("250 ok\r\n250 ok\r\n")).await;
    let mut connection = server.open().await.unwrap();
    assert!(!connection.is_alive().await && !connection.is_reusable());
}

#[tokio::test]
async fn the_bytes_are_those_of_the_message_and_the_connection_is_used_again() {
    let server = Server::start("nowhere", Act::Stall).await;
    let mut connection = server.open().await.unwrap();
    send(&mut connection).await.unwrap();
    assert!(connection.is_reusable());
    assert!(connection.is_alive().await);
    send(&mut connection).await.unwrap();
    connection.quit().await;
    let told = server.told();
    assert_eq!(told.first().unwrap(), "EHLO client.test");
    let mail = told.iter().filter(|line| *line == "MAIL FROM:<a@b.test> SIZE=20").count();
    assert_eq!(mail, 2);
    let body: Vec<_> = told.iter().skip_while(|line| *line != "DATA").skip(1).take(5).collect();
    assert_eq!(body, ["Subject: x", "", "..", "bye", "."]);
}

#[tokio::test]
async fn when_nobody_is_accepted_nothing_is_sent() {
    let server = Server::start("RCPT", Act::Say("550 5.1.1 no\r\n")).await;
    let mut connection = server.open().await.unwrap();
    let mut envelope = envelope();
    envelope.forward_paths.truncate(1);
    let mut body = Some(Bytes::from_static(b"secret\r\n"));
    let outcome = connection.send(&envelope, &mut body, async |_| Ok(())).await.unwrap();
    assert_eq!(outcome.data, None);
    assert_eq!(outcome.recipients.first().unwrap().reply.enhanced, Some((5, 1, 1)));
    assert!(connection.is_reusable());
    assert!(!server.told().iter().any(|line| line == "secret"));
}

#[tokio::test]
async fn many_recipients_do_not_fill_both_ways_at_once() {
    let long: &'static str = format!("250 {}\r\n", "x".repeat(3000)).leak();
    let server = Server::start("RCPT", Act::Say(long)).await;
    let mut connection = server.open().await.unwrap();
    let paths = (0..2000).map(|at| format!("{at}-{}@b.test", "y".repeat(800)));
    let envelope = Envelope { forward_paths: paths.collect(), ..envelope() };
    let mut body = Some(Bytes::from_static(b"x\r\n"));
    let outcome = connection.send(&envelope, &mut body, async |_| Ok(())).await.unwrap();
    assert_eq!((outcome.recipients.len(), outcome.data.map(|reply| reply.code)), (2000, Some(250)));
    assert!(connection.is_reusable());
}

#[tokio::test]
async fn what_recipients_were_answered_before_the_session_ended_is_kept() {
    for said in [Act::SayAndDrop("550 5.1.1 no\r\n"), Act::Say("550 5.1.1 no\r\n421 bye\r\n")] {
        for in_turn in [false, true] {
            let server = Server::start("RCPT two", said).await;
            let mut connection = server.open().await.unwrap();
            if in_turn {
                connection.in_turn();
            }
            let mut body = Some(Bytes::from_static(b"x\r\n"));
            let sent = connection.send(&envelope(), &mut body, async |_| Ok(())).await;
            let BrokenOff { error, recipients } = sent.unwrap_err();
            let codes: Vec<_> = recipients.iter().map(|it| it.reply.code).collect();
            assert_eq!(codes, [250, 550], "{said:?} {in_turn}");
            assert!(error.ended_at_recipients() && error.was_stale(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn who_was_refused_is_known_also_if_the_outcome_for_the_others_is_not() {
    for said in [Act::Drop, Act::Say("354 what\r\n"), Act::Stall] {
        for in_turn in [false, true] {
            let server =
                Server::start_with(vec![("RCPT two", Act::Say("550 5.1.1 no\r\n")), ("dot", said)])
                    .await;
            let mut connection = server.open().await.unwrap();
            if in_turn {
                connection.in_turn();
            }
            let mut body = Some(Bytes::from_static(b"x\r\n"));
            let codes = |replies: &[postroom_smtp::RecipientReply]| -> Vec<_> {
                replies.iter().map(|it| it.reply.code).collect()
            };
            let mut before = vec![];
            let before_dot = async |replies: &[postroom_smtp::RecipientReply]| {
                before = codes(replies);
                Ok(())
            };
            let sent = connection.send(&envelope(), &mut body, before_dot).await;
            let BrokenOff { error, recipients } = sent.unwrap_err();
            assert_eq!(error.verdict(), SmtpVerdict::OutcomeUnknown, "{said:?}");
            assert_eq!((codes(&recipients), before), (vec![250, 550], vec![250, 550]), "{said:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_message_is_heard() {
    let server = Server::start("body", Act::SayAndDrop("552 5.3.4 too big\r\n")).await;
    let mut connection = server.open().await.unwrap();
    let mut body = Some(Bytes::from(b"x\r\n".repeat(8_000_000)));
    let outcome = connection.send(&envelope(), &mut body, async |_| Ok(())).await.unwrap();
    assert_eq!(outcome.data.map(|reply| reply.code), Some(552));
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn a_login_that_rcpt_wants_is_no_fault_of_the_message() {
    let server = Server::start("RCPT", Act::Say("530 5.7.0 log in\r\n")).await;
    let mut connection = server.open().await.unwrap();
    let forward_paths = vec!["one@b.test".to_owned()];
    let envelope = Envelope { forward_paths, ..envelope() };
    let mut body = Some(Bytes::from_static(b"x\r\n"));
    let error = connection.send(&envelope, &mut body, async |_| Ok(())).await.unwrap_err().error;
    assert_eq!(error.verdict(), SmtpVerdict::Credentials);
    assert!(connection.is_reusable());
}

#[tokio::test]
async fn a_withdrawn_message_gets_no_final_dot() {
    let server = Server::start("nowhere", Act::Stall).await;
    let mut connection = server.open().await.unwrap();
    let mut body = Some(Bytes::from_static(b"x\r\n"));
    let withdrawn = async |_: &[postroom_smtp::RecipientReply]| Err("withdrawn".to_owned());
    let error = connection.send(&envelope(), &mut body, withdrawn).await.unwrap_err().error;
    assert_eq!(error.verdict(), SmtpVerdict::Postpone);
    assert!(!connection.is_reusable());
    assert!(!server.told().iter().any(|line| line == "."));
}

#[tokio::test]
async fn what_the_server_cannot_take_is_refused_before_a_word() {
    let server = Server::start("nowhere", Act::Stall).await;
    let mut connection = server.open().await.unwrap();
    let broken = [
        Envelope { size_bytes: 1001, ..envelope() },
        Envelope { smtp_utf8: true, ..envelope() },
        Envelope { forward_paths: vec![], ..envelope() },
        Envelope { reverse_path: "a@b.test>\r\nRCPT TO:<x@y.test".to_owned(), ..envelope() },
        Envelope { forward_paths: vec!["jürgen@b.test".to_owned()], ..envelope() },
    ];
    for envelope in broken {
        let mut body = Some(Bytes::from_static(b"x\r\n"));
        let error =
            connection.send(&envelope, &mut body, async |_| Ok(())).await.unwrap_err().error;
        assert_eq!(error.verdict(), SmtpVerdict::Refuse, "{error}");
    }
    assert_eq!(server.told(), ["EHLO client.test"]);
    send(&mut connection).await.unwrap();
}

fn anna() -> Credentials {
    let secret = Secret::Password(SecretString::from("hush"));
    Credentials { login: "anna".to_owned(), secret }
}

#[tokio::test]
async fn a_login_that_is_not_taken_is_no_fault_of_the_message() {
    let credentials = anna();
    for (reply, want) in
        [("535 no\r\n", SmtpVerdict::Credentials), ("454 later\r\n", SmtpVerdict::Postpone)]
    {
        let server = Server::start("AUTH", Act::Say(reply)).await;
        let mut connection = server.open().await.unwrap();
        let error = connection.login(&credentials).await.unwrap_err();
        assert_eq!(error.verdict(), want);
        assert!(!format!("{error:?}").contains("hush"));
    }
    let server = Server::start("nowhere", Act::Stall).await;
    server.open().await.unwrap().login(&credentials).await.unwrap();
    assert_eq!(server.told().last().unwrap(), "AUTH PLAIN AGFubmEAaHVzaA==");
}

#[tokio::test]
async fn no_error_shows_a_secret_that_the_server_echoes() {
    for reply in [
        "500 Command unrecognized: \"AGFubmEAaHVzaA==\"\r\n",
        "535 hush is no password\r\n",
        "421 AUTH PLAIN AGFubmEAaHVzaA\r\n",
    ] {
        let server = Server::start("AUTH", Act::Say(reply)).await;
        let mut connection = server.open().await.unwrap();
        let error = connection.login(&anna()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("(not shown)"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("AGFubmEAaHVzaA"), "{shown}");
    }
}

#[tokio::test]
async fn another_form_and_mechanism_is_tried_where_one_is_not_taken() {
    let (plain, login) = ("AUTH PLAIN AGFubmEAaHVzaA==", "AUTH LOGIN");
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 5] = [
        ("504 5.5.4 not that one\r\n",  &[plain, login]),
        ("502 not implemented\r\n",     &[plain, login]),
        ("500 what\r\n",                &[plain, "AUTH PLAIN", login]),
        ("501 too many arguments\r\n",  &[plain, "AUTH PLAIN", login]),
        ("535 wrong\r\n",               &[plain]),
    ];
    for (reply, want) in table {
        let server = Server::start("AUTH", Act::Say(reply)).await;
        let mut connection = server.open().await.unwrap();
        let error = connection.login(&anna()).await.unwrap_err();
        assert_eq!(error.verdict(), SmtpVerdict::Credentials, "{reply}");
        let told = server.told();
        let auth: Vec<_> = told.iter().filter(|line| line.starts_with("AUTH")).collect();
        assert_eq!(auth, want, "{reply}");
    }
}

#[tokio::test]
async fn an_initial_response_that_was_overlooked_is_sent_again() {
    let server = Server::start("AUTH", Act::Say("334 \r\n")).await;
    let mut connection = server.open().await.unwrap();
    connection.login(&anna()).await.unwrap();
    assert_eq!(server.told().last().unwrap(), "AGFubmEAaHVzaA==");
}

#[tokio::test]
async fn a_name_that_nobody_knows_or_likes_gives_way_to_our_address() {
    let server = Server::start("nowhere", Act::Stall).await;
    let mut connection = server.open_as("my_host").await.unwrap();
    assert_eq!(server.told(), ["EHLO [127.0.0.1]"]);
    send(&mut connection).await.unwrap();
    let server = Server::start("EHLO", Act::Say("501 5.5.2 who?\r\n")).await;
    server.open().await.unwrap();
    assert_eq!(server.told(), ["EHLO client.test", "EHLO [127.0.0.1]", "HELO [127.0.0.1]"]);
}

#[tokio::test]
async fn a_server_that_refuses_ehlo_and_leaves_has_told_the_reason() {
    for name in ["client.test", "my_host"] {
        let server = Server::start("EHLO", Act::SayAndDrop("554 5.7.1 blocked\r\n")).await;
        let told = server.open_as(name).await.unwrap_err().to_string();
        assert_eq!(told, "the server answered EHLO with 554 5.7.1 blocked");
    }
}

/// A server that answers STARTTLS and sends something more before the handshake, or offers none.
async fn starttls(ehlo: &'static str, answer: &'static str) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let (reading, mut writing) = socket.into_split();
        let mut lines = BufReader::new(reading).lines();
        writing.write_all(b"220 mx.test\r\n").await.unwrap();
        lines.next_line().await.unwrap();
        writing.write_all(ehlo.as_bytes()).await.unwrap();
        if let Ok(Some(_)) = lines.next_line().await {
            let _ = writing.write_all(answer.as_bytes()).await;
            let _ = lines.next_line().await;
        }
    });
    let host = "localhost".to_owned();
    let endpoint = Endpoint { host, port, security: Security::StartTls };
    let dialer = Dialer::new(&Trust::default()).unwrap();
    SmtpConnection::open(&dialer, &endpoint, &SmtpOptions::default()).await.unwrap_err()
}

#[tokio::test]
async fn starttls_is_neither_stripped_nor_injected_into() {
    let stripped = starttls("250 mx.test\r\n", "").await;
    assert!(matches!(stripped, Error::Unsupported { .. }), "{stripped}");
    let offered = "250-mx.test\r\n250 STARTTLS\r\n";
    let injected = starttls(offered, "220 go\r\n250 AUTH PLAIN\r\n").await;
    assert!(matches!(injected, Error::Protocol { .. }), "{injected}");
    let refused = starttls(offered, "454 not now\r\n").await;
    assert_eq!(refused.verdict(), SmtpVerdict::Postpone);
    let no_tls = starttls(offered, "220 go\r\n").await;
    assert!(matches!(no_tls, Error::Connect(_)), "{no_tls}");
}
