//! Every fault of the SMTP server.

use crate::client::ANNA;
use crate::client::BEN;
use crate::client::Client;
use crate::client::PATIENCE;
use crate::client::sandbox;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;

fn always(sandbox: &Sandbox, on: Point, act: Action) -> RuleId {
    sandbox.script(Rule { on, when: When::Always, act })
}

/// Up to the reply to DATA.
async fn until_data(client: &mut Client) -> String {
    client.reply("MAIL FROM:<a@far.example>").await;
    client.reply(&format!("RCPT TO:<{ANNA}>")).await;
    client.reply("DATA").await
}

/// Sends a message whose last bytes are the dot.
async fn send_message(client: &mut Client) {
    assert!(until_data(client).await.starts_with("354"));
    client.send("Subject: x\r\n\r\nhello\r\n.\r\n").await;
}

#[tokio::test]
async fn each_command_is_answered_otherwise() {
    let sandbox = sandbox().await;
    for (name, line) in [
        (SmtpCommand::Ehlo, "EHLO x"),
        (SmtpCommand::StartTls, "STARTTLS"),
        (SmtpCommand::Auth, "AUTH PLAIN AGEAYg=="),
        (SmtpCommand::Mail, "MAIL FROM:<a@far.example>"),
        (SmtpCommand::Rcpt, "RCPT TO:<a@far.example>"),
        (SmtpCommand::Data, "DATA"),
        (SmtpCommand::Rset, "RSET"),
        (SmtpCommand::Noop, "NOOP"),
        (SmtpCommand::Vrfy, "VRFY x"),
        (SmtpCommand::Quit, "QUIT"),
    ] {
        let rule = always(&sandbox, Point::SmtpCommand(name), Action::line("451 4.3.0 not now"));
        let mut client = Client::connect(sandbox.smtp()).await;
        client.line().await;
        assert_eq!(client.reply(line).await, "451 4.3.0 not now\r\n", "{name:?}");
        sandbox.unscript(rule);
        assert!(client.reply("NOOP").await.starts_with("250"), "{name:?}");
    }
    let rule = always(&sandbox, Point::SmtpGreeting, Action::farewell("554 5.3.2 go away"));
    assert_eq!(Client::connect(sandbox.smtp()).await.rest().await.0, "554 5.3.2 go away\r\n");
    sandbox.unscript(rule);
}

#[tokio::test]
async fn one_recipient_is_refused_and_not_recorded() {
    let sandbox = sandbox().await;
    sandbox.script(Rule {
        on: Point::SmtpCommand(SmtpCommand::Rcpt),
        when: When::NthFor(1, BEN.to_owned()),
        act: Action::line("450 4.2.1 greylisted"),
    });
    let mut client = Client::smtp(&sandbox).await;
    client.reply("MAIL FROM:<a@far.example>").await;
    assert!(client.reply(&format!("RCPT TO:<{ANNA}>")).await.starts_with("250"));
    assert!(client.reply(&format!("RCPT TO:<{BEN}>")).await.starts_with("450 4.2.1"));
    client.reply("DATA").await;
    assert!(client.reply("x\r\n.").await.starts_with("250"));
    assert_eq!(sandbox.accepted()[0].forward_paths, [ANNA]);
    client.reply("MAIL FROM:<a@far.example>").await;
    assert!(client.reply(&format!("RCPT TO:<{BEN}>")).await.starts_with("250"));
}

#[tokio::test]
async fn a_positive_reply_is_given_after_doing_it() {
    let sandbox = sandbox().await;
    let odd = b"250-queued\r\n250 as 7F\r\n".to_vec();
    always(&sandbox, Point::SmtpDot, Action::Reply(odd));
    always(&sandbox, Point::SmtpCommand(SmtpCommand::Rcpt), Action::line("251 will forward"));
    let mut client = Client::smtp(&sandbox).await;
    send_message(&mut client).await;
    assert_eq!(client.next_reply().await, "250-queued\r\n250 as 7F\r\n");
    assert_eq!(sandbox.accepted().len(), 1);
}

#[tokio::test]
async fn before_the_message_is_accepted_and_after() {
    let sandbox = sandbox().await;
    for (point, act, said, count) in [
        (Point::SmtpDot, Action::line("554 5.6.0 no"), "554 5.6.0 no\r\n", 0),
        (Point::SmtpDot, Action::farewell("421 4.3.0 bye"), "421 4.3.0 bye\r\n", 0),
        (Point::SmtpDot, Action::End(Ending::Close), "", 0),
        (Point::SmtpDot, Action::End(Ending::Reset), "", 0),
        (Point::SmtpAccepted, Action::End(Ending::Close), "", 1),
        (Point::SmtpAccepted, Action::End(Ending::Reset), "", 2),
        (Point::SmtpAccepted, Action::EndAfter { bytes: 2, ending: Ending::Close }, "25", 3),
        (Point::SmtpAccepted, Action::line("451 4.3.0 or so"), "451 4.3.0 or so\r\n", 4),
    ] {
        let rule = always(&sandbox, point, act.clone());
        let mut client = Client::smtp(&sandbox).await;
        send_message(&mut client).await;
        if said.ends_with('\n') {
            assert_eq!(client.next_reply().await, said, "{point:?} {act:?}");
        } else {
            let (rest, end) = client.rest().await;
            assert_eq!(rest, said, "{point:?} {act:?}");
            assert_eq!(end.is_err(), act == Action::End(Ending::Reset), "{point:?} {act:?}");
        }
        assert_eq!(sandbox.accepted().len(), count, "{point:?} {act:?}");
        assert_eq!(sandbox.messages(ANNA, "INBOX").len(), count, "{point:?} {act:?}");
        sandbox.unscript(rule);
    }
}

#[tokio::test]
async fn the_connection_breaks_in_the_middle_of_the_message() {
    let sandbox = sandbox().await;
    let end = Action::End(Ending::Close);
    let rule = always(&sandbox, Point::SmtpContent(100_000), end);
    let mut client = Client::smtp(&sandbox).await;
    send_message(&mut client).await;
    assert!(client.next_reply().await.starts_with("250"), "a short message is not concerned");
    assert!(until_data(&mut client).await.starts_with("354"));
    client.send("x".repeat(100_000)).await;
    sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await.unwrap();
    assert_eq!(client.rest().await.0, "");
    assert_eq!(sandbox.accepted().len(), 1);

    always(&sandbox, Point::SmtpContent(10), Action::line("421 4.4.2 too slow"));
    let mut client = Client::smtp(&sandbox).await;
    assert!(until_data(&mut client).await.starts_with("354"));
    client.send("x".repeat(10)).await;
    assert_eq!(client.next_reply().await, "421 4.4.2 too slow\r\n");
}

#[tokio::test]
async fn a_stall_after_the_dot() {
    let sandbox = sandbox().await;
    let rule = always(&sandbox, Point::SmtpAccepted, Action::End(Ending::Stall));
    let mut client = Client::smtp(&sandbox).await;
    send_message(&mut client).await;
    sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await.unwrap();
    assert_eq!(sandbox.accepted().len(), 1);
    drop(client);
    sandbox.wait_for(|state| state.connections().count() == 0, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn odd_replies() {
    let sandbox = sandbox().await;
    let noop = Point::SmtpCommand(SmtpCommand::Noop);
    let rule = always(&sandbox, noop, Action::endless_lines("250-more"));
    let mut client = Client::smtp(&sandbox).await;
    client.send("NOOP\r\n").await;
    assert!(client.bytes(1_000_000).await.starts_with(&b"250-more\r\n".repeat(1000)));
    sandbox.unscript(rule);
    let starttls = Point::SmtpCommand(SmtpCommand::StartTls);
    always(&sandbox, starttls, Action::After(b"250 injected\r\n".to_vec()));
    let mut client = Client::smtp(&sandbox).await;
    client.send("STARTTLS\r\n").await;
    assert!(client.next_reply().await.starts_with("220"));
    assert_eq!(client.line().await, "250 injected\r\n");
    assert!(
        client.start_tls(sandbox.ca_pem()).await.unwrap().reply("EHLO x").await.starts_with("250")
    );
}
