//! What servers do that is allowed, or nearly: nothing is lost, repeated or wrong by it.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxState;
use postroom_sandbox::When;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

fn quick() -> Json {
    json!({"after_read_timeout": 0.1, "survey_interval": 1.0})
}

/// The server has no such thing to tell of a mailbox.
fn without(sandbox: &Sandbox, code: &str) -> [RuleId; 3] {
    [ImapCommand::Select, ImapCommand::Examine, ImapCommand::Status].map(|command| {
        always(sandbox, Point::ImapCommand(command), Action::Without(code.to_owned()))
    })
}

fn subjects(messages: &[Json]) -> Vec<&str> {
    let mut subjects: Vec<_> = messages.iter().filter_map(|m| m["subject"].as_str()).collect();
    subjects.sort_unstable();
    subjects
}

#[on_both(flavor = "multi_thread")]
async fn news_are_found_where_no_uidnext_tells_of_them() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    without(&sandbox, "UIDNEXT");
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    for (count, subject) in (1..).zip(["a", "b", "c"]) {
        sandbox.deliver(ANNA, "INBOX", mail(subject)).unwrap();
        assert_eq!(messages(&postroom, &folder, count).await.len(), count);
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_uidvalidity_that_comes_and_goes_neither_loses_nor_repeats() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    sandbox.deliver(ANNA, "INBOX", mail("a")).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    let path = format!("email/Folders/{folder}");
    for (count, subject) in (2..).zip(["b", "c", "d", "e"]) {
        let rules = (count % 2 == 0).then(|| without(&sandbox, "UIDVALIDITY"));
        sandbox.deliver(ANNA, "INBOX", mail(subject)).unwrap();
        let proven = |folder: &Json| {
            let is_told = folder["uidValidity"].as_u64().is_some_and(|told| told > 0);
            (folder["storedCount"] == count && is_told == rules.is_none()).then_some(())
        };
        until(&postroom, &path, "the folder to be proven again", proven).await;
        for rule in rules.into_iter().flatten() {
            sandbox.unscript(rule);
        }
    }
    let found = messages(&postroom, &folder, 5).await;
    assert_eq!(subjects(&found), ["a", "b", "c", "d", "e"]);
}

#[on_both(flavor = "multi_thread")]
async fn each_poll_selects_again_as_some_servers_tell_of_news_only_then() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let polled = |state: &SandboxState| {
        state.transcript().filter(|line| line.command == "EXAMINE").count() > 3
    };
    sandbox.wait_for(polled, PATIENCE).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn the_time_of_a_message_is_told_by_whoever_knows_it() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let absurd = ["NIL", "\"00-Jan-0000 00:00:00 +0000\"", "\"01-Jan-1970 00:00:00 +0000\""];
    let date = "Date: Wed, 04 Nov 2026 10:00:00 +0000\r\n";
    let received = "Received: from a by b; Tue, 03 Nov 2026 10:00:00 +0000\r\n";
    let headers = [format!("{received}{date}"), date.to_owned(), "Date: soon\r\n".to_owned()];
    for (uid, absurd) in (1..).zip(absurd) {
        let raw = [headers[uid - 1].as_bytes(), &mail("x")].concat();
        sandbox.deliver(ANNA, "INBOX", raw).unwrap();
        let fault = Action::Message(MessageFault::InternalDate(absurd.to_owned()));
        always(&sandbox, Point::ImapMessage(Some(uid.try_into().unwrap())), fault);
    }
    sandbox.deliver(ANNA, "INBOX", [date.as_bytes(), &mail("x")].concat()).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 4).await;
    let sources: Vec<_> = found.iter().map(|message| &message["dateTimeSource"]).collect();
    assert_eq!(sources, ["received", "date", "arrival", "internalDate"]);
    let time = |at: usize| found[at]["dateTime"].as_str().unwrap();
    assert!(time(0).starts_with("2026-11-03T10:00:00"), "{}", time(0));
    assert!(time(1).starts_with("2026-11-04T10:00:00"), "{}", time(1));
    assert!(found[..3].iter().all(|message| message["internalDate"].is_null()));
}

#[on_both(flavor = "multi_thread")]
async fn what_cannot_be_selected_is_no_folder_and_what_is_gone_says_so() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
    let ghosts = b"* LIST (\\Noselect) \"/\" Ghost\r\n* LIST (\\NonExistent) \"/\" Gone\r\n\
                   * LIST () \"/\" Passing\r\n";
    let rule =
        always(&sandbox, Point::ImapCommand(ImapCommand::List), Action::Before(ghosts.to_vec()));
    let passing = id(&postroom.folder(&account, "Passing").await.unwrap());
    let folders = postroom.get("email/Folders?limit=100").await.unwrap();
    let names: Vec<_> = folders.as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert!(!names.iter().any(|name| *name == "Ghost" || *name == "Gone"), "{names:?}");
    sandbox.unscript(rule);
    let path = format!("email/Folders/{passing}");
    let told = |folder: &Json| folder["statusText"].as_str().map(str::to_owned);
    let text = until(&postroom, &path, "the folder to be gone", told).await;
    assert!(text.contains("no longer"), "{text}");
    sandbox.deliver(ANNA, "INBOX", mail("a")).unwrap();
    messages(&postroom, &inbox, 1).await;
}

#[on_both(flavor = "multi_thread")]
async fn what_changes_while_a_mailbox_is_fetched_is_noticed() {
    type Change = fn(&mut SandboxState);
    let comes_and_goes: Change = |state| {
        state.deliver(ANNA, "INBOX", mail("new")).unwrap();
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        assert!([5, 8].into_iter().all(|uid| mailbox.expunge(uid).is_some()));
    };
    let is_renumbered: Change =
        |state| state.mailbox_mut(ANNA, "INBOX").unwrap().renumber(77, 1000);
    let gone = ["n4", "n7"];
    for (change, count) in [(comes_and_goes, 11 - gone.len()), (is_renumbered, 10)] {
        let (sandbox, postroom, account) = sandbox(quick()).await;
        for number in 0..10 {
            sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
        }
        let (on, act) = (Point::ImapMessage(Some(3)), Action::Hold);
        let hold = sandbox.script(Rule { on, when: When::Nth(1), act });
        let folder = enable(&postroom, &account, "INBOX", json!({})).await;
        sandbox.wait_for(|state| state.acted_count(hold) > 0, PATIENCE).await.unwrap();
        sandbox.edit(change);
        sandbox.unscript(hold);
        let path = format!("email/Folders/{folder}");
        let proven = |folder: &Json| {
            let counts = [&folder["serverCount"], &folder["storedCount"]];
            (counts.iter().all(|told| **told == count) && folder["lastProofAt"].is_string())
                .then_some(())
        };
        until(&postroom, &path, "the folder to be proven", proven).await;
        let found = messages(&postroom, &folder, count).await;
        let mut want: Vec<_> = (0..10).map(|number| format!("n{number}")).collect();
        if count < 10 {
            want.retain(|subject| !gone.contains(&subject.as_str()));
            want.insert(0, "new".to_owned());
        }
        want.sort_unstable();
        assert_eq!(subjects(&found), want);
    }
}

/// Whatever a server says in one answer beside the bytes must agree with them. Otherwise the message
/// waits, and is not deleted there.
#[on_both(flavor = "multi_thread")]
async fn a_message_that_an_answer_contradicts_is_neither_taken_nor_deleted() {
    let other = String::from_utf8(mail("another")).unwrap();
    let contradictions = [
        "* 1 FETCH (UID 1 RFC822.SIZE 999999)\r\n".to_owned(),
        format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{other})\r\n", other.len()),
        format!("* 1 FETCH (UID 1 BODY[] {{{0}}}\r\n{other} BODY[] {{3}}\r\nabc)\r\n", other.len()),
    ];
    for contradiction in contradictions {
        let options = json!({"after_read_timeout": 0.1, "retry_first": 0.1});
        let (sandbox, postroom, account) = sandbox(options).await;
        sandbox.deliver(ANNA, "INBOX", mail("real")).unwrap();
        let before = Action::Before(contradiction.clone().into_bytes());
        let rule = always(&sandbox, Point::ImapCommand(ImapCommand::Fetch), before);
        let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
        let path = format!("email/Folders/{folder}");
        let waits = |folder: &Json| {
            let text = folder["statusText"].as_str().unwrap_or_default();
            (text.contains("UID 1") && text.contains("contradicts itself")).then_some(())
        };
        until(&postroom, &path, "the message to wait", waits).await;
        let uids = |state: &SandboxState| state.mailbox(ANNA, "INBOX").unwrap().messages().count();
        assert_eq!(sandbox.look(uids), 1, "{contradiction}");
        sandbox.unscript(rule);
        let found = messages(&postroom, &folder, 1).await;
        assert_eq!(subjects(&found), ["real"], "{contradiction}");
        sandbox.wait_for(move |state| uids(state) == 0, PATIENCE).await.unwrap();
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_message_is_asked_for_alone_where_an_item_beside_it_is_refused() {
    for refused in ["RFC822.SIZE", "INTERNALDATE", "BODY.PEEK[]"] {
        let (sandbox, postroom, account) = sandbox(quick()).await;
        let bad = Action::Reply(b"{tag} BAD no such item\r\n".to_vec());
        let (on, when) = (Point::ImapCommand(ImapCommand::Fetch), When::For(refused.to_owned()));
        sandbox.script(Rule { on, when, act: bad });
        for subject in ["a", "b"] {
            sandbox.deliver(ANNA, "INBOX", mail(subject)).unwrap();
        }
        let folder = enable(&postroom, &account, "INBOX", json!({})).await;
        let found = messages(&postroom, &folder, 2).await;
        assert_eq!(subjects(&found), ["a", "b"], "{refused}");
        sandbox.deliver(ANNA, "INBOX", mail("c")).unwrap();
        let found = messages(&postroom, &folder, 3).await;
        assert_eq!(subjects(&found), ["a", "b", "c"], "{refused}");
    }
}
