//! Faults at chosen points, with the sandbox.

use crate::world::*;
use postroom_model::EntityId;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::SandboxState;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_store::Statement;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

fn quick() -> Json {
    json!({"after_read_timeout": 0.1, "retry_first": 0.1})
}

#[on_both(flavor = "multi_thread")]
async fn a_connection_lost_within_a_message_costs_nothing() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for number in 0..30 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    for (uid, ending) in [(5, Ending::Close), (17, Ending::Reset)] {
        let act = Action::EndAfter { bytes: 90, ending };
        sandbox.script(Rule { on: Point::ImapMessage(Some(uid)), when: When::Nth(1), act });
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 30).await;
    let subjects: Vec<_> =
        found.iter().map(|m| m["subject"].as_str().unwrap().to_owned()).collect();
    let want: Vec<_> = (0..30).map(|number| format!("n{number}")).collect();
    assert_eq!(subjects, want);
}

#[on_both(flavor = "multi_thread")]
async fn one_bad_message_stops_no_other_and_is_not_passed_over_in_silence() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for number in 0..6 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    for (uid, fault) in [(2, MessageFault::Omit), (4, MessageFault::BodyNil)] {
        let act = Action::Message(fault);
        sandbox.script(Rule { on: Point::ImapMessage(Some(uid)), when: When::Always, act });
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 4).await;
    assert_eq!(found.len(), 4);
    let path = format!("email/Folders/{folder}");
    let pending = |folder: &Json| (folder["pendingCount"] == 2).then(|| folder.clone());
    let shown = until(&postroom, &path, "two pending", pending).await;
    assert_eq!((&shown["serverCount"], &shown["storedCount"]), (&json!(6), &json!(4)));
    let text = shown["statusText"].as_str().unwrap();
    assert!(text.contains("UID 2") && text.contains("UID 4: the server gave NIL"), "{text}");
}

#[on_both(flavor = "multi_thread")]
async fn what_is_given_wrongly_once_arrives_whole_and_once() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let faults = [
        MessageFault::Omit,
        MessageFault::BodyNil,
        MessageFault::BodyMissing,
        MessageFault::LiteralOffBy(7),
        MessageFault::LiteralOffBy(-7),
        MessageFault::SizeOffBy(1000),
        MessageFault::SizeOffBy(-20),
        MessageFault::UidMissing,
        MessageFault::Uid(4711),
        MessageFault::Flags("NIL".to_owned()),
    ];
    let count = 2 * faults.len();
    for number in 0..count {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    let mut rules = vec![];
    for (uid, fault) in (1..).step_by(2).zip(faults) {
        let (on, act) = (Point::ImapMessage(Some(uid)), Action::Message(fault));
        rules.push(sandbox.script(Rule { on, when: When::Nth(1), act }));
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, count).await;
    let path = format!("email/Folders/{folder}");
    let well = |folder: &Json| {
        (folder["pendingCount"] == 0 && folder["statusText"].is_null()).then_some(())
    };
    until(&postroom, &path, "nothing to be pending", well).await;
    assert!(rules.into_iter().all(|rule| sandbox.acted_count(rule) == 1));
    let subjects: Vec<_> = found.iter().map(|m| m["subject"].as_str().unwrap()).collect();
    let want: Vec<_> = (0..count).map(|number| format!("n{number}")).collect();
    assert_eq!(subjects, want);
    for (number, message) in found.iter().enumerate() {
        let path = format!("email/Messages/{}/rawMessage", id(message));
        assert_eq!(postroom.bytes(&path).await.unwrap(), mail(&format!("n{number}")));
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_is_too_large_ends_as_an_error() {
    let bound = json!({"message_bytes_max": 5000});
    // The nearest level holds, the folder's before that of the profile.
    for (profile, folder) in [(bound.clone(), json!({})), (json!({}), bound)] {
        let (sandbox, postroom, account) = sandbox(profile).await;
        let large = [mail("large"), b"x".repeat(6000)].concat();
        sandbox.deliver(ANNA, "INBOX", large).unwrap();
        sandbox.deliver(ANNA, "INBOX", mail("small")).unwrap();
        let folder = enable(&postroom, &account, "INBOX", json!({"options": folder})).await;
        let found = messages(&postroom, &folder, 2).await;
        let mut states: Vec<_> =
            found.iter().map(|m| (m["messageState"].clone(), m["errorCode"].clone())).collect();
        states.sort_by_key(|(state, _)| state.to_string());
        assert_eq!(states, [(json!("error"), json!("too_big")), (json!("received"), Json::Null)]);
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_change_of_uidvalidity_neither_loses_nor_repeats() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for _ in 0..3 {
        sandbox.deliver(ANNA, "INBOX", mail("same")).unwrap();
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 3).await;
    for (round, validity) in [77_u32, 5].into_iter().enumerate() {
        sandbox.set_uid_validity(ANNA, "INBOX", validity).unwrap();
        sandbox.deliver(ANNA, "INBOX", mail("new")).unwrap();
        let path = format!("email/Folders/{folder}");
        let count = 4 + round;
        let proven = |folder: &Json| {
            let now = folder["uidValidity"] == validity && folder["storedCount"] == count;
            now.then_some(())
        };
        until(&postroom, &path, "the folder to be proven again", proven).await;
        assert_eq!(messages(&postroom, &folder, count).await.len(), count);
    }
}

#[on_both(flavor = "multi_thread")]
async fn nothing_is_deleted_before_it_is_recorded() {
    let (sandbox, mut postroom, account) = sandbox(quick()).await;
    sandbox.deliver(ANNA, "INBOX", mail("keep me")).unwrap();
    let hold = Rule {
        on: Point::ImapCommand(ImapCommand::Store),
        when: When::Nth(1),
        act: Action::End(Ending::Stall),
    };
    let hold = sandbox.script(hold);
    let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
    sandbox.wait_for(|state| state.acted_count(hold) > 0, PATIENCE).await.unwrap();
    // The server has heard STORE: the message must be durable by now.
    postroom.kill().unwrap();
    postroom.restart().unwrap();
    let found = messages(&postroom, &folder, 1).await;
    assert_eq!(found[0]["subject"], "keep me");
    let gone = |state: &SandboxState| {
        state.mailbox(ANNA, "INBOX").is_ok_and(|mailbox| mailbox.messages().next().is_none())
    };
    sandbox.wait_for(gone, PATIENCE).await.unwrap();
    assert_eq!(messages(&postroom, &folder, 1).await.len(), 1);
    assert!(!sandbox.transcript().iter().any(|line| line.text.ends_with(" EXPUNGE")));
}

#[on_both(flavor = "multi_thread")]
async fn what_a_server_answers_decides_what_becomes_of_a_message() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let drop = |_: ()| Action::End(Ending::Close);
    #[rustfmt::skip]
    let table = [
        (Point::SmtpCommand(SmtpCommand::Mail), Action::line("451 4.3.0 later"),   "sent",  Json::Null),
        (Point::SmtpCommand(SmtpCommand::Mail), Action::line("550 5.4.5 limit"),   "sent",  Json::Null),
        (Point::SmtpCommand(SmtpCommand::Rcpt), Action::line("450 4.2.1 grey"),    "sent",  Json::Null),
        (Point::SmtpCommand(SmtpCommand::Rcpt), Action::line("552 5.3.4 too big"), "error", json!("refused")),
        (Point::SmtpCommand(SmtpCommand::Rcpt), Action::line("550 5.1.1 nobody"),  "error", json!("refused")),
        (Point::SmtpCommand(SmtpCommand::Data), drop(()),                          "sent",  Json::Null),
        (Point::SmtpDot,                        Action::line("452 4.3.1 full"),    "sent",  Json::Null),
        (Point::SmtpDot,                        Action::line("550 5.4.5 limit"),   "sent",  Json::Null),
        (Point::SmtpDot,                        Action::line("554 5.7.1 spam"),    "error", json!("refused")),
        (Point::SmtpAccepted,                   drop(()),                          "error", json!("uncertain")),
    ];
    for (number, (on, act, state, code)) in table.into_iter().enumerate() {
        let rule = sandbox.script(Rule { on, when: When::Nth(1), act });
        let subject = format!("case {number}");
        let sent = postroom.post("email/Messages", &outgoing(&account, &subject)).await.unwrap();
        let sent = settled(&postroom, &id(&sent)).await;
        assert_eq!(
            (&sent["messageState"], &sent["errorCode"]),
            (&json!(state), &code),
            "{on:?}: {sent:#}"
        );
        assert_eq!(sandbox.acted_count(rule), 1, "{on:?}");
        sandbox.unscript(rule);
        let accepted = sandbox.accepted();
        let copies = accepted.iter().filter(|mail| {
            String::from_utf8_lossy(&mail.bytes).contains(&format!("Subject: {subject}\r\n"))
        });
        let want = usize::from(state == "sent" || code == "uncertain");
        assert_eq!(copies.count(), want, "{on:?}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_ended_is_sent_again_under_the_same_message_id() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let act = Action::line("550 5.1.1 nobody");
    sandbox.script(Rule { on: Point::SmtpCommand(SmtpCommand::Rcpt), when: When::Nth(1), act });
    let sent = postroom.post("email/Messages", &outgoing(&account, "again")).await.unwrap();
    let failed = settled(&postroom, &id(&sent)).await;
    assert_eq!(failed["messageState"], "error");
    let path = format!("email/Messages/{}", id(&sent));
    postroom.patch(&path, &json!({"messageState": "sending"})).await.unwrap();
    let sent = settled(&postroom, &id(&sent)).await;
    assert_eq!((&sent["messageState"], &sent["errorText"]), (&json!("sent"), &Json::Null));
    assert_eq!(sent["messageId"], failed["messageId"]);
    assert_eq!(sandbox.accepted().len(), 1);
}

#[on_both(flavor = "multi_thread")]
async fn messages_leave_in_the_order_of_their_time_and_not_before_it() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let dated = |(subject, day): (&str, &str)| {
        let mut message = outgoing(&account, subject);
        message["dateTime"] = json!(format!("2026-01-{day}T00:00:00Z"));
        message
    };
    // A list is created all at once: the sender sees all three together.
    let list: Vec<Json> =
        [("third", "03"), ("first", "01"), ("second", "02")].into_iter().map(dated).collect();
    postroom.post("email/Messages", &json!(list)).await.unwrap();
    let mut future = outgoing(&account, "never");
    future["dateTime"] = json!("2099-01-01T00:00:00Z");
    let future = postroom.post("email/Messages", &future).await.unwrap();
    let three = |state: &SandboxState| state.accepted().len() == 3;
    sandbox.wait_for(three, PATIENCE).await.unwrap();
    let accepted = sandbox.accepted();
    let subject = |mail: &postroom_sandbox::AcceptedMail| {
        let text = String::from_utf8_lossy(&mail.bytes).into_owned();
        text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
    };
    let order: Vec<_> = accepted.iter().map(subject).collect();
    assert_eq!(order, ["first", "second", "third"]);
    let future = postroom.get(&format!("email/Messages/{}", id(&future))).await.unwrap();
    assert_eq!(future["messageState"], "sending");
}

/// The values that `statusText` of an entity had, one after the other, with the one that it has now.
///
/// A row of the feed can tell the whole entity. Such a row repeats the text if it did not change.
async fn texts_so_far(postroom: &Postroom, path: &str, entity: &str) -> Vec<Option<String>> {
    let entity: EntityId = entity.parse().unwrap();
    let mut texts: Vec<Option<String>> = match postgres(postroom).await {
        Some(database) => {
            let sql = "SELECT replaced ->> 'statusText' FROM change
                WHERE entity = $1 AND replaced -> 'statusText' IS NOT NULL ORDER BY seq";
            let rows = database.read(Statement::new(sql).bind(entity)).await.unwrap();
            rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
        }
        None => {
            let sql = "SELECT json_extract(replaced, '$.statusText') FROM change
                WHERE entity = ?1 AND json_type(replaced, '$.statusText') IS NOT NULL ORDER BY seq";
            let database = sqlite(postroom);
            let mut changes = database.prepare(sql).unwrap();
            let changes =
                changes.query_map([entity.as_bytes().as_slice()], |row| row.get(0)).unwrap();
            changes.map(Result::unwrap).collect()
        }
    };
    let now = postroom.get(path).await.unwrap();
    texts.push(now["statusText"].as_str().map(str::to_owned));
    texts.dedup();
    texts
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_whose_marks_are_refused_says_so_once_a_turn() {
    let (sandbox, mut postroom, account) = sandbox(quick()).await;
    let no = Action::Reply(b"{tag} NO not permitted\r\n".to_vec());
    always(&sandbox, Point::ImapCommand(ImapCommand::Store), no);
    let marks = json!({"options": {"keep_unseen": false}});
    let folder = enable(&postroom, &account, "INBOX", marks).await;
    let path = format!("email/Folders/{folder}");
    for number in 1..=4 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
        let refused = |folder: &Json| {
            let text = folder["statusText"].as_str()?;
            let stored = folder["storedCount"] == number;
            (stored && text.contains("refuses to mark or delete")).then_some(())
        };
        until(&postroom, &path, "the folder to say that marks are refused", refused).await;
        // Another process knows nothing of what the server refused.
        postroom.kill().unwrap();
        postroom.restart().unwrap();
    }
    let texts = texts_so_far(&postroom, &path, &folder).await;
    assert_eq!(texts.len(), 5, "it begins, and then names one message more each time: {texts:?}");
    assert_eq!((&texts[0], texts.iter().flatten().count()), (&None, 4), "{texts:?}");
}
