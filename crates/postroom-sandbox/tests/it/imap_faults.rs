//! Every fault of the IMAP server.

use crate::client::ANNA;
use crate::client::BEN;
use crate::client::Client;
use crate::client::PATIENCE;
use crate::client::sandbox;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::When;
use std::time::Duration;

fn always(sandbox: &Sandbox, on: Point, act: Action) -> RuleId {
    sandbox.script(Rule { on, when: When::Always, act })
}

fn command(name: ImapCommand) -> Point {
    Point::ImapCommand(name)
}

async fn selected(sandbox: &Sandbox) -> Client {
    let mut client = Client::imap(sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    client
}

#[tokio::test]
async fn a_reply_stands_in_for_the_nth_command() {
    let sandbox = sandbox().await;
    let rule = sandbox.script(Rule {
        on: command(ImapCommand::Select),
        when: When::Nth(2),
        act: Action::tagged("NO [UNAVAILABLE] not now"),
    });
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.ok("SELECT INBOX").await;
    assert_eq!(client.command("SELECT INBOX").await, "NO [UNAVAILABLE] not now\r\n");
    client.ok("SELECT INBOX").await;
    assert_eq!(sandbox.acted_count(rule), 1);
    assert!(sandbox.unscript(rule) && !sandbox.unscript(rule));
}

#[tokio::test]
async fn a_rule_for_one_mailbox_leaves_the_others_alone() {
    let sandbox = sandbox().await;
    for (on, act) in [
        (command(ImapCommand::Examine), Action::tagged("NO [INUSE] busy")),
        (Point::ImapMessage(None), Action::Message(MessageFault::Omit)),
    ] {
        sandbox.script(Rule { on, when: When::For("Drafts".to_owned()), act });
    }
    for mailbox in ["INBOX", "Drafts"] {
        sandbox.deliver(ANNA, mailbox, "Subject: a\r\n\r\n").unwrap();
    }
    let mut client = Client::imap(&sandbox, ANNA).await;
    assert_eq!(client.command("EXAMINE drafts").await, "NO [INUSE] busy\r\n");
    client.ok("EXAMINE INBOX").await;
    assert!(client.ok("FETCH 1 UID").await.contains("FETCH"));
    client.ok("SELECT Drafts").await;
    assert!(!client.ok("FETCH 1 UID").await.contains("FETCH"));
}

#[tokio::test]
async fn a_rule_for_one_user_leaves_the_others_alone() {
    let sandbox = sandbox().await;
    sandbox.script(Rule {
        on: command(ImapCommand::Login),
        when: When::For(BEN.to_owned()),
        act: Action::tagged("NO [AUTHENTICATIONFAILED] blocked"),
    });
    Client::imap(&sandbox, ANNA).await;
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    assert!(client.command(&format!("LOGIN {BEN} secret")).await.contains("blocked"));
}

#[tokio::test]
async fn before_after_and_after_being_done() {
    let sandbox = sandbox().await;
    let noop = command(ImapCommand::Noop);
    let before = always(&sandbox, noop, Action::Before(b"* 9 EXPUNGE\r\n".to_vec()));
    let mut client = Client::imap(&sandbox, ANNA).await;
    assert!(client.ok("NOOP").await.starts_with("* 9 EXPUNGE\r\nOK"));
    sandbox.unscript(before);
    let after = always(&sandbox, noop, Action::After(b"* OK late\r\n".to_vec()));
    client.ok("NOOP").await;
    assert_eq!(client.line().await, "* OK late\r\n");
    sandbox.unscript(after);

    let done = Point::ImapDone(ImapCommand::Create);
    always(&sandbox, done, Action::tagged("BAD or not"));
    assert!(client.command("CREATE New").await.starts_with("BAD or not"));
    assert!(sandbox.mailboxes(ANNA).contains(&"New".to_owned()), "it is done");
    always(&sandbox, command(ImapCommand::Delete), Action::tagged("NO"));
    client.command("DELETE New").await;
    assert!(sandbox.mailboxes(ANNA).contains(&"New".to_owned()), "it is not done");
    always(&sandbox, command(ImapCommand::List), Action::farewell("* BYE enough"));
    client.begin("LIST \"\" *").await;
    assert_eq!(client.rest().await.0, "* BYE enough\r\n");
}

#[tokio::test]
async fn connections_end_where_the_rule_says() {
    let sandbox = sandbox().await;
    for point in [Point::ImapConnect, Point::ImapGreeting] {
        let rule = always(&sandbox, point, Action::End(Ending::Close));
        assert_eq!(Client::connect(sandbox.imap()).await.rest().await.0, "", "{point:?}");
        sandbox.unscript(rule);
    }
    let rule = always(&sandbox, Point::ImapTls, Action::End(Ending::Close));
    let client = Client::connect(sandbox.imaps()).await;
    assert!(client.start_tls(sandbox.ca_pem()).await.is_err());
    sandbox.unscript(rule);

    let mut client = selected(&sandbox).await;
    always(&sandbox, command(ImapCommand::Noop), Action::End(Ending::Reset));
    client.begin("NOOP").await;
    let (rest, end) = client.rest().await;
    assert_eq!((rest.as_str(), end.unwrap_err().kind()), ("", std::io::ErrorKind::ConnectionReset));

    sandbox.unscript_all();
    let mut client = selected(&sandbox).await;
    let done = Point::ImapDone(ImapCommand::Search);
    always(&sandbox, done, Action::End(Ending::Close));
    client.begin("SEARCH ALL").await;
    assert_eq!(client.rest().await.0, "* SEARCH\r\n");
}

#[tokio::test]
async fn a_literal_is_cut_in_the_middle() {
    let sandbox = sandbox().await;
    let mail = "Subject: x\r\n\r\n".to_owned() + &"y".repeat(200_000);
    for _ in 0..3 {
        sandbox.deliver(ANNA, "INBOX", mail.clone().into_bytes()).unwrap();
    }
    for (ending, want) in [(Ending::Close, true), (Ending::Reset, false)] {
        let act = Action::EndAfter { bytes: 100_000, ending };
        let rule = always(&sandbox, Point::ImapMessage(Some(2)), act);
        let mut client = selected(&sandbox).await;
        client.begin("UID FETCH 1:* (UID BODY.PEEK[])").await;
        let (rest, end) = client.rest().await;
        let head = "* 1 FETCH (UID 1 BODY[] {200014}\r\n".len();
        let whole = head + 200_014 + ")\r\n".len() + 100_000;
        // A reset takes what is still on its way along with it.
        assert!(rest.len() == whole || (!want && rest.len() < whole), "{ending:?}");
        assert_eq!(end.is_ok(), want, "{ending:?}");
        sandbox.unscript(rule);
    }
}

#[tokio::test]
async fn a_stalled_connection_stays_open_until_the_client_leaves() {
    let sandbox = sandbox().await;
    let rule = always(&sandbox, command(ImapCommand::Noop), Action::End(Ending::Stall));
    let mut client = Client::imap(&sandbox, ANNA).await;
    client.send("x NOOP\r\ny NOOP\r\n").await;
    sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await.unwrap();
    client.send("z NOOP\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(50), client.line()).await.is_err());
    assert_eq!(sandbox.look(|state| state.connections().count()), 1);
    drop(client);
    sandbox.wait_for(|state| state.connections().count() == 0, PATIENCE).await.unwrap();

    let rule = always(&sandbox, Point::ImapTls, Action::End(Ending::Stall));
    let client = Client::connect(sandbox.imaps()).await;
    sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await.unwrap();
    drop(client);
    sandbox.wait_for(|state| state.connections().count() == 0, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn hold_lets_a_test_change_things_in_between() {
    let sandbox = sandbox().await;
    for _ in 0..2 {
        sandbox.deliver(ANNA, "INBOX", "Subject: x\r\n\r\n").unwrap();
    }
    let mut client = selected(&sandbox).await;
    let rule = always(&sandbox, Point::ImapMessage(Some(1)), Action::Hold);
    let tag = client.begin("UID FETCH 1:* (UID)").await;
    sandbox.wait_for(|state| state.acted_count(rule) == 1, PATIENCE).await.unwrap();
    sandbox.edit(|state| {
        let inbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        inbox.expunge(2);
        inbox.set_uid_validity(7);
    });
    sandbox.unscript(rule);
    let said = client.until_tagged(&tag).await;
    assert_eq!(said, "* 1 FETCH (UID 1)\r\n* 2 EXPUNGE\r\nOK fetched\r\n");
    assert!(client.ok("SELECT INBOX").await.contains("[UIDVALIDITY 7]"));
}

#[tokio::test]
async fn each_message_fault_is_served() {
    let sandbox = sandbox().await;
    for _ in 0..2 {
        sandbox.deliver(ANNA, "INBOX", "abc").unwrap();
    }
    let mut client = selected(&sandbox).await;
    for (fault, want) in [
        (MessageFault::Omit, ""),
        (MessageFault::BodyNil, "* 1 FETCH (UID 1 RFC822.SIZE 3 BODY[] NIL)\r\n"),
        (MessageFault::BodyMissing, "* 1 FETCH (UID 1 RFC822.SIZE 3)\r\n"),
        (MessageFault::LiteralOffBy(1), "* 1 FETCH (UID 1 RFC822.SIZE 3 BODY[] {4}\r\nabc)\r\n"),
        (MessageFault::LiteralOffBy(-1), "* 1 FETCH (UID 1 RFC822.SIZE 3 BODY[] {2}\r\nabc)\r\n"),
        (MessageFault::SizeOffBy(9), "* 1 FETCH (UID 1 RFC822.SIZE 12 BODY[] {3}\r\nabc)\r\n"),
        (MessageFault::UidMissing, "* 1 FETCH (RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\n"),
    ] {
        let rule = always(&sandbox, Point::ImapMessage(Some(1)), Action::Message(fault.clone()));
        let said = client.ok("UID FETCH 1:2 (UID RFC822.SIZE BODY.PEEK[])").await;
        let second = "* 2 FETCH (UID 2 RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\nOK fetched\r\n";
        assert_eq!(said, format!("{want}{second}"), "{fault:?}");
        sandbox.unscript(rule);
    }
    let refused = Action::Message(MessageFault::Refused("[SERVERBUG] unreadable".to_owned()));
    let rule = always(&sandbox, Point::ImapMessage(Some(1)), refused);
    assert_eq!(client.command("UID FETCH 1:2 UID").await, "NO [SERVERBUG] unreadable\r\n");
    sandbox.unscript(rule);
    let junk = Action::Before(b"* 1 FETCH (FLAGS (\\Seen))\r\n* JUNK\r\n".to_vec());
    always(&sandbox, Point::ImapMessage(None), junk);
    assert_eq!(client.ok("FETCH 1:2 UID").await.matches("* JUNK\r\n").count(), 2);
}

#[tokio::test]
async fn codes_and_items_are_left_out() {
    let sandbox = sandbox().await;
    let mut client = Client::imap(&sandbox, ANNA).await;
    let without = |name: &str| Action::Without(name.to_owned());
    always(&sandbox, command(ImapCommand::Select), without("UIDNEXT"));
    let opened = client.ok("SELECT INBOX").await;
    assert!(!opened.contains("UIDNEXT") && opened.contains("UIDVALIDITY"), "{opened}");
    always(&sandbox, command(ImapCommand::Status), without("UIDVALIDITY"));
    let status = client.ok("STATUS INBOX (UIDNEXT UIDVALIDITY)").await;
    assert!(status.starts_with("* STATUS \"INBOX\" (UIDNEXT 1)\r\n"), "{status}");
}

#[tokio::test]
async fn endless_answers_go_on_until_the_client_leaves() {
    let sandbox = sandbox().await;
    let lines = "* 1 EXISTS\r\n".repeat(1000);
    for (act, want) in [
        (Action::endless_line("* OK "), "* OK xxxxxxxxxxxxxxxxx".to_owned()),
        (Action::endless_lines("* 1 EXISTS"), lines),
        (
            Action::endless_literal(4_294_967_295),
            "* 1 FETCH (BODY[] {4294967295}\r\nxxxx".to_owned(),
        ),
    ] {
        let rule = always(&sandbox, command(ImapCommand::Noop), act.clone());
        let mut client = Client::imap(&sandbox, ANNA).await;
        client.begin("NOOP").await;
        let start = client.bytes(1_000_000).await;
        assert!(start.starts_with(want.as_bytes()), "{act:?}");
        drop(client);
        sandbox.wait_for(|state| state.connections().count() == 0, PATIENCE).await.unwrap();
        sandbox.unscript(rule);
    }
}

#[tokio::test]
async fn slow_means_piece_by_piece() {
    let sandbox = sandbox().await;
    let act = Action::Slow { bytes: 1, every: Duration::from_millis(1) };
    always(&sandbox, Point::ImapGreeting, act);
    let started = tokio::time::Instant::now();
    let greeting = Client::connect(sandbox.imap()).await.line().await;
    assert!(greeting.starts_with("* OK ") && greeting.len() > 40);
    assert!(started.elapsed() >= Duration::from_millis(40), "{:?}", started.elapsed());
    sandbox.unscript_all();
    always(&sandbox, command(ImapCommand::Noop), Action::Delay(Duration::from_millis(20)));
    let mut client = Client::imap(&sandbox, ANNA).await;
    let started = tokio::time::Instant::now();
    client.ok("NOOP").await;
    assert!(started.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn plain_text_is_injected_at_starttls() {
    let sandbox = sandbox().await;
    let starttls = command(ImapCommand::StartTls);
    let rule = always(&sandbox, starttls, Action::After(b"* CAPABILITY EVIL\r\n".to_vec()));
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    client.begin("STARTTLS").await;
    assert!(client.line().await.contains("OK"));
    assert_eq!(client.line().await, "* CAPABILITY EVIL\r\n");
    client.start_tls(sandbox.ca_pem()).await.unwrap().ok("CAPABILITY").await;
    sandbox.unscript(rule);

    always(&sandbox, Point::ImapTls, Action::line("* surprise"));
    let mut client = Client::connect(sandbox.imap()).await;
    client.line().await;
    client.begin("STARTTLS").await;
    client.line().await;
    assert_eq!(client.line().await, "* surprise\r\n");
}

#[tokio::test]
async fn greetings_and_continuations_can_be_replaced() {
    let sandbox = sandbox().await;
    let rule = always(&sandbox, Point::ImapGreeting, Action::line("* PREAUTH welcome back"));
    let mut client = Client::connect(sandbox.imap()).await;
    assert_eq!(client.line().await, "* PREAUTH welcome back\r\n");
    sandbox.unscript(rule);
    let rule = always(&sandbox, Point::ImapGreeting, Action::farewell("* BYE full"));
    assert_eq!(Client::connect(sandbox.imap()).await.rest().await.0, "* BYE full\r\n");
    sandbox.unscript(rule);
    always(&sandbox, Point::ImapContinue, Action::tagged("NO [OVERQUOTA] full"));
    let mut client = Client::imap(&sandbox, ANNA).await;
    assert_eq!(client.command("APPEND INBOX {3}").await, "NO [OVERQUOTA] full\r\n");
    client.ok("NOOP").await;
}

#[tokio::test]
async fn uid_validity_and_numbers_change() {
    let sandbox = sandbox().await;
    for _ in 0..3 {
        sandbox.deliver(ANNA, "INBOX", "x").unwrap();
    }
    sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().renumber(5, 100));
    let mut client = selected(&sandbox).await;
    assert!(client.ok("UID SEARCH ALL").await.contains("* SEARCH 100 101 102\r\n"));
    sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().set_uid_next(0));
    let opened = client.ok("SELECT INBOX").await;
    assert!(opened.contains("[UIDVALIDITY 5]") && opened.contains("[UIDNEXT 0]"), "{opened}");
}
