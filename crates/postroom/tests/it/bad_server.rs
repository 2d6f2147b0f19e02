//! One message, one folder, one server that is bad: all others go on.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::SandboxState;
use postroom_sandbox::When;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

fn quick() -> Json {
    json!({"after_read_timeout": 0.1})
}

fn in_mailbox(sandbox: &Sandbox, mailbox: &str, on: Point, act: Action) {
    sandbox.script(Rule { on, when: When::For(mailbox.to_owned()), act });
}

fn count(state: &SandboxState, command: &str) -> usize {
    state.transcript().filter(|line| line.command == command).count()
}

/// Waits until the status text of a folder or account tells of something; gives it.
async fn told(postroom: &postroom_testkit::Postroom, path: &str, what: &str) -> String {
    let says = |entity: &Json| {
        let text = entity["statusText"].as_str().filter(|text| text.contains(what))?;
        Some(text.to_owned())
    };
    until(postroom, path, what, says).await
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_ends_every_connection_costs_no_other_message_and_no_other_folder() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for number in 0..30 {
        sandbox.deliver(ANNA, "Drafts", mail(&format!("n{number}"))).unwrap();
    }
    sandbox.deliver(ANNA, "INBOX", mail("one")).unwrap();
    let bad = Point::ImapMessage(Some(7));
    in_mailbox(&sandbox, "Drafts", bad, Action::End(Ending::Close));
    let drafts = enable(&postroom, &account, "Drafts", json!({})).await;
    let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &inbox, 1).await;
    let found = messages(&postroom, &drafts, 29).await;
    assert!(found.iter().all(|message| message["uid"] != 7));
    let path = format!("email/Folders/{drafts}");
    let pending = |folder: &Json| (folder["pendingCount"] == 1).then(|| folder.clone());
    let shown = until(&postroom, &path, "one pending", pending).await;
    assert_eq!((&shown["serverCount"], &shown["storedCount"]), (&json!(30), &json!(29)));
    let text = shown["statusText"].as_str().unwrap();
    assert!(text.contains("UID 7: the connection ends when it is fetched"), "{text}");
    // The folder and the others go on.
    sandbox.deliver(ANNA, "Drafts", mail("later")).unwrap();
    sandbox.deliver(ANNA, "INBOX", mail("two")).unwrap();
    messages(&postroom, &drafts, 30).await;
    messages(&postroom, &inbox, 2).await;
}

#[on_both(flavor = "multi_thread")]
async fn what_is_refused_is_asked_for_in_halves_whatever_the_refusal_is_called() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for number in 0..12 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    let act = Action::tagged("NO [SERVERBUG] internal error");
    let fetch = Point::ImapCommand(ImapCommand::Fetch);
    sandbox.script(Rule { on: fetch, when: When::First(2), act });
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 12).await;
    let transcript = sandbox.transcript();
    let fetches = transcript.iter().filter(|line| line.command == "UID FETCH");
    let connections: std::collections::HashSet<_> = fetches.map(|line| line.connection).collect();
    assert_eq!(connections.len(), 1, "a refusal ends no connection");
}

#[on_both(flavor = "multi_thread")]
async fn a_message_beyond_all_bounds_is_recorded_as_too_big() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    for number in 0..3 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    let announced = b"* 2 FETCH (UID 2 BODY[] {4294967000}\r\nhello".to_vec();
    let act = Action::ReplyThenEnd(announced, Ending::Close);
    always(&sandbox, Point::ImapMessage(Some(2)), act);
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 3).await;
    let states: Vec<_> = found.iter().map(|m| (&m["messageState"], &m["errorCode"])).collect();
    let received = (&json!("received"), &Json::Null);
    assert_eq!(states, [received, (&json!("error"), &json!("too_big")), received]);
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_opened_is_trouble_of_its_own() {
    for act in [Action::tagged("NO [INUSE] try again later"), Action::End(Ending::Close)] {
        let (sandbox, postroom, account) = sandbox(quick()).await;
        in_mailbox(&sandbox, "Drafts", Point::ImapCommand(ImapCommand::Examine), act);
        let drafts = enable(&postroom, &account, "Drafts", json!({})).await;
        let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
        told(&postroom, &format!("email/Folders/{drafts}"), "EXAMINE").await;
        for number in 1..=3 {
            sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
            messages(&postroom, &inbox, number).await;
        }
        let account = format!("email/Accounts/{account}");
        let degraded = |account: &Json| (account["state"] == "degraded").then_some(());
        until(&postroom, &account, "the account to be degraded", degraded).await;
        told(&postroom, &account, "Drafts: ").await;
        sandbox.unscript_all();
        sandbox.deliver(ANNA, "Drafts", mail("at last")).unwrap();
        messages(&postroom, &drafts, 1).await;
        let well = |folder: &Json| folder["statusText"].is_null().then_some(());
        until(&postroom, &format!("email/Folders/{drafts}"), "the text to go", well).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_list_that_is_refused_or_empty_leaves_the_folders_as_they_are() {
    let options = json!({"after_read_timeout": 0.1, "survey_interval": 1.0});
    let (sandbox, postroom, account) = sandbox(options).await;
    let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
    let path = format!("email/Accounts/{account}");
    for (number, (act, text)) in (1..).zip([
        (Action::tagged("OK nothing"), "lists no mailbox"),
        (Action::tagged("NO [UNAVAILABLE] later"), "LIST was answered NO"),
    ]) {
        always(&sandbox, Point::ImapCommand(ImapCommand::List), act);
        told(&postroom, &path, text).await;
        sandbox.deliver(ANNA, "INBOX", mail("still")).unwrap();
        messages(&postroom, &inbox, number).await;
        let well = |folder: &Json| folder["statusText"].is_null().then_some(());
        until(&postroom, &format!("email/Folders/{inbox}"), "no text", well).await;
        sandbox.unscript_all();
        let ready = |account: &Json| (account["state"] == "ready").then_some(());
        until(&postroom, &path, "the account to be ready", ready).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_server_that_counts_but_does_not_list_proves_nothing() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    sandbox.deliver(ANNA, "INBOX", mail("one")).unwrap();
    for command in [ImapCommand::Search, ImapCommand::Fetch] {
        always(&sandbox, Point::ImapCommand(command), Action::tagged("OK done"));
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let path = format!("email/Folders/{folder}");
    told(&postroom, &path, "counts 1 message but lists none").await;
    assert_eq!(postroom.get(&path).await.unwrap()["lastProofAt"], Json::Null);
    sandbox.unscript_all();
    messages(&postroom, &folder, 1).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_pending_message_that_is_gone_is_forgotten() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let omit = Action::Message(postroom_sandbox::MessageFault::Omit);
    for uid in [1, 2] {
        sandbox.deliver(ANNA, "INBOX", mail("here today")).unwrap();
        always(&sandbox, Point::ImapMessage(Some(uid)), omit.clone());
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let path = format!("email/Folders/{folder}");
    let pending =
        |count: u64| move |folder: &Json| (folder["pendingCount"] == count).then(|| folder.clone());
    until(&postroom, &path, "two pending", pending(2)).await;
    sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").map(|m| m.expunge(1)).unwrap());
    until(&postroom, &path, "one pending", pending(1)).await;
    let text = |folder: &Json| {
        let text = folder["statusText"].as_str().unwrap_or_default();
        (text.contains("UID 2") && !text.contains("UID 1")).then_some(())
    };
    until(&postroom, &path, "the text without it", text).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_refused_password_is_not_tried_for_each_change_of_a_folder() {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = || SandboxConfig { users: users.clone(), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config()).await.unwrap();
    let good = Sandbox::start(config()).await.unwrap();
    let postroom = postroom(&[sandbox.ca_pem(), good.ca_pem()].concat());
    let profile = |sandbox: &Sandbox| {
        json!({
            "name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
            "options": quick(),
        })
    };
    let user = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile(&good), user.clone()).await;
    let witness = enable(&postroom, &account, "INBOX", json!({})).await;
    let account = account_of(&postroom, profile(&sandbox), user).await;
    let folder = id(&postroom.folder(&account, "INBOX").await.unwrap());
    let path = format!("email/Accounts/{account}");
    postroom.patch(&path, &json!({"password": "wrong"})).await.unwrap();
    let logins = |state: &SandboxState| count(state, "AUTHENTICATE");
    told(&postroom, &path, "not tried again soon").await;
    let before = sandbox.look(logins);
    for number in 0..10 {
        let change = json!({"enabled": number % 2 == 0});
        postroom.patch(&format!("email/Folders/{folder}"), &change).await.unwrap();
        // Time enough for an attempt: the account that is well has two rounds.
        polls(&postroom, &witness, 2).await;
    }
    assert_eq!(sandbox.look(logins), before);
    postroom.patch(&path, &json!({"password": "secret"})).await.unwrap();
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &path, "the account to be ready", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_good_login_alone_does_not_make_attempts_begin_anew() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let act = Action::farewell("{tag} BAD User is authenticated but not connected.");
    let rules = [ImapCommand::List, ImapCommand::Examine]
        .map(|command| always(&sandbox, Point::ImapCommand(command), act.clone()));
    let path = format!("email/Accounts/{account}");
    // Whichever came first, the rules or the first round: from now on it is a login that fails.
    let text = told(&postroom, &path, "authenticated but not connected").await;
    if !text.contains("accepted before") {
        told(&postroom, &path, "not tried again soon").await;
    }
    for rule in rules {
        sandbox.unscript(rule);
    }
    postroom.post(&format!("{path}:try"), &json!({})).await.unwrap();
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &path, "the account to be ready", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_large_load_lets_the_other_folders_have_their_turn_and_ends_when_it_is_disabled() {
    let options = json!({"after_read_timeout": 0.1, "portion_limit": 5});
    let (sandbox, postroom, account) = sandbox(options).await;
    const LARGE: usize = 3000;
    for number in 0..LARGE {
        sandbox.deliver(ANNA, "Archive", mail(&format!("n{number}"))).unwrap();
    }
    let archive = enable(&postroom, &account, "Archive", json!({})).await;
    messages(&postroom, &archive, 1).await;
    let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
    sandbox.deliver(ANNA, "INBOX", mail("quick")).unwrap();
    messages(&postroom, &inbox, 1).await;
    let path = format!("email/Folders/{archive}");
    let stored = async || postroom.get(&path).await.unwrap()["storedCount"].as_u64().unwrap_or(0);
    assert!(stored().await < LARGE as u64, "INBOX had to wait for all of Archive");
    postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
    sandbox.deliver(ANNA, "INBOX", mail("after")).unwrap();
    messages(&postroom, &inbox, 2).await;
    let fetched = sandbox.look(|state| count(state, "UID FETCH"));
    assert!(fetched < LARGE / 5, "disabling ends a load: {fetched}");
    postroom.patch(&path, &json!({"enabled": true})).await.unwrap();
    let complete = |folder: &Json| (folder["storedCount"] == LARGE).then_some(());
    until(&postroom, &path, "the archive to be complete", complete).await;
}

#[on_both(flavor = "multi_thread")]
async fn an_action_that_is_withdrawn_is_not_carried_out() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    sandbox.deliver(ANNA, "INBOX", mail("stays")).unwrap();
    let store = Point::ImapCommand(ImapCommand::Store);
    let refused =
        sandbox.script(Rule { on: store, when: When::Always, act: Action::tagged("NO read-only") });
    let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
    let path = format!("email/Folders/{folder}");
    told(&postroom, &path, "UID STORE was answered NO").await;
    let proven = |folder: &Json| folder["lastProofAt"].is_string().then_some(());
    until(&postroom, &path, "the proof", proven).await;
    postroom.patch(&path, &json!({"deleteOnServer": false})).await.unwrap();
    sandbox.unscript(refused);
    let well = |folder: &Json| folder["statusText"].is_null().then_some(());
    until(&postroom, &path, "the text to go", well).await;
    sandbox.deliver(ANNA, "INBOX", mail("too")).unwrap();
    messages(&postroom, &folder, 2).await;
    // What is to be done at the server is done by the end of a round.
    polls(&postroom, &folder, 3).await;
    assert_eq!(sandbox.messages(ANNA, "INBOX").len(), 2);
}

#[on_both(flavor = "multi_thread")]
async fn without_existing_mail_a_change_of_uidvalidity_passes_over_nothing_new() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let long_ago_ms = 1_500_000_000_000;
    sandbox.edit(|state| {
        let inbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        inbox.append(mail("old").into(), vec![], long_ago_ms)
    });
    let more = json!({"options": {"load_existing": false, "after_read_timeout": 0.1}});
    let folder = enable(&postroom, &account, "INBOX", more).await;
    let path = format!("email/Folders/{folder}");
    let proven = |folder: &Json| folder["lastProofAt"].is_string().then_some(());
    until(&postroom, &path, "the proof", proven).await;
    sandbox.deliver(ANNA, "INBOX", mail("first")).unwrap();
    messages(&postroom, &folder, 1).await;
    sandbox.edit(|state| {
        state.deliver(ANNA, "INBOX", mail("second")).unwrap();
        state.mailbox_mut(ANNA, "INBOX").map(|found| found.set_uid_validity(77)).unwrap();
    });
    let found = messages(&postroom, &folder, 2).await;
    let mut subjects: Vec<_> = found.iter().map(|m| m["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["first", "second"]);
}

#[on_both(flavor = "multi_thread")]
async fn an_account_that_moves_to_another_server_loses_nothing_to_equal_uids() {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = || SandboxConfig { users: users.clone(), ..SandboxConfig::default() };
    let former = Sandbox::start(config()).await.unwrap();
    let present = Sandbox::start(config()).await.unwrap();
    let bring = |sandbox: &Sandbox, subjects: &[&str]| {
        sandbox.set_uid_validity(ANNA, "INBOX", 1).unwrap();
        for subject in subjects {
            sandbox.deliver(ANNA, "INBOX", mail(subject)).unwrap();
        }
    };
    bring(&former, &["a", "b"]);
    bring(&present, &["c", "a", "d"]);
    let postroom = postroom(&[former.ca_pem(), present.ca_pem()].concat());
    let profile = |sandbox: &Sandbox| {
        json!({
            "name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
            "options": {"after_read_timeout": 0.1},
        })
    };
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile(&former), account).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 2).await;
    let moved = postroom.post("email/Profiles", &profile(&present)).await.unwrap();
    let moved = json!({"profile_id": moved["id"]});
    postroom.patch(&format!("email/Accounts/{account}"), &moved).await.unwrap();
    let path = format!("email/Folders/{folder}");
    let proven = |folder: &Json| (folder["storedCount"] == 3).then_some(());
    until(&postroom, &path, "the proof at the other server", proven).await;
    let found = messages(&postroom, &folder, 4).await;
    let mut subjects: Vec<_> = found.iter().map(|m| m["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["a", "b", "c", "d"]);
}

/// Delivers messages to a mailbox of which the second is never given; waits until all others have
/// come, and one that came later too. Gives the folder.
async fn with_one_that_never_answers(
    sandbox: &Sandbox,
    postroom: &postroom_testkit::Postroom,
    account: &str,
) -> String {
    for number in 1..=5 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
    }
    always(sandbox, Point::ImapMessage(Some(2)), Action::Hold);
    let folder = enable(postroom, account, "INBOX", json!({})).await;
    let found = messages(postroom, &folder, 4).await;
    assert!(found.iter().all(|message| message["uid"] != 2));
    sandbox.deliver(ANNA, "INBOX", mail("n6")).unwrap();
    messages(postroom, &folder, 5).await;
    folder
}

#[on_both(flavor = "multi_thread")]
async fn a_message_whose_fetch_never_answers_holds_up_no_other() {
    // Without the connection of its own each wait would be as long as the test may take.
    let options = json!({"after_read_timeout": 0.1, "retry_first": 0.5, "silence_timeout": 16});
    let (sandbox, postroom, account) = sandbox(options).await;
    let folder = with_one_that_never_answers(&sandbox, &postroom, &account).await;
    let path = format!("email/Folders/{folder}");
    told(&postroom, &path, "UID 2: the server sent no message of a FETCH").await;
    told(&postroom, &path, "next try at ").await;
    // As soon as the server gives it, it is there, and the folder complete.
    sandbox.unscript_all();
    messages(&postroom, &folder, 6).await;
    let well = |folder: &Json| folder["statusText"].is_null().then_some(());
    until(&postroom, &path, "the text to go", well).await;
}

#[on_both(flavor = "multi_thread")]
async fn what_is_never_given_alone_either_stays_pending_and_says_so() {
    let options = json!({"after_read_timeout": 0.1, "retry_first": 0.5, "silence_timeout": 4});
    let (sandbox, postroom, account) = sandbox(options).await;
    let folder = with_one_that_never_answers(&sandbox, &postroom, &account).await;
    let path = format!("email/Folders/{folder}");
    told(&postroom, &path, "UID 2: it was fetched on a connection of its own, and").await;
    let asked = |state: &SandboxState| {
        state.transcript().filter(|line| line.text.contains("UID FETCH 2 ")).count()
    };
    sandbox.wait_for(|state| asked(state) > 1, PATIENCE).await.unwrap();
    sandbox.deliver(ANNA, "INBOX", mail("n7")).unwrap();
    messages(&postroom, &folder, 6).await;
}

#[on_both(flavor = "multi_thread")]
async fn after_several_late_messages_the_server_counts_as_slow_and_gets_the_longer_time() {
    // The main connection waits for half a second at first, and then for four.
    let options = json!({"after_read_timeout": 0.1, "retry_first": 0.1, "silence_timeout": 4});
    let (sandbox, postroom, account) = sandbox(options).await;
    always(&sandbox, Point::ImapMessage(None), Action::Delay(Duration::from_millis(800)));
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    for number in 1..=6 {
        sandbox.deliver(ANNA, "INBOX", mail(&format!("n{number}"))).unwrap();
        messages(&postroom, &folder, number).await;
    }
    let asked = |uid: u32| {
        let fetch = format!("UID FETCH {uid} ");
        let is_body = |text: &str| text.contains(&fetch) && text.contains("BODY.PEEK[]");
        sandbox.transcript().iter().filter(|line| is_body(&line.text)).count()
    };
    assert_eq!(asked(1), 2, "on the main connection, and on one of its own");
    assert_eq!(asked(6), 1, "on the main connection");
}

/// What Courier and Exchange give in place of a message that they cannot read, with the size of
/// the notice.
const NOTICES: [&str; 2] = [
    "From: System Administrator <root@localhost>\r\nSubject: message unavailable\r\n\r\n\
     This message is no longer available on the server.\r\n",
    "From: postmaster@demo.test\r\nSubject: Retrieval using the IMAP4 protocol failed for the \
     following message: 7\r\n\r\nThe server couldn't retrieve the following message:\r\n",
];

#[on_both(flavor = "multi_thread")]
async fn a_notice_in_place_of_a_message_is_not_taken_for_the_message_and_never_deletes_it() {
    for notice in NOTICES {
        let options = json!({"after_read_timeout": 0.1, "retry_first": 0.1});
        let (sandbox, postroom, account) = sandbox(options).await;
        let mut bytes = mail("real");
        bytes.resize(notice.len(), b'x');
        sandbox.deliver(ANNA, "INBOX", bytes).unwrap();
        sandbox.deliver(ANNA, "INBOX", mail("other")).unwrap();
        let fault = Action::Message(MessageFault::Body(notice.as_bytes().to_vec()));
        let rule = always(&sandbox, Point::ImapMessage(Some(1)), fault);
        let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
        let path = format!("email/Folders/{folder}");
        told(&postroom, &path, "UID 1: the server cannot read the message").await;
        let found = messages(&postroom, &folder, 1).await;
        assert_eq!((found.len(), &found[0]["subject"]), (1, &json!("other")));
        let left = |state: &SandboxState| {
            let uids = state.mailbox(ANNA, "INBOX").unwrap().messages().map(|m| m.uid);
            uids.collect::<Vec<_>>()
        };
        sandbox.wait_for(|state| left(state) == [1], PATIENCE).await.unwrap();
        // As soon as the server can read it, it is fetched and deleted there.
        sandbox.unscript(rule);
        let found = messages(&postroom, &folder, 2).await;
        assert_eq!((found.len(), &found[0]["subject"]), (2, &json!("real")));
        sandbox.wait_for(|state| left(state).is_empty(), PATIENCE).await.unwrap();
    }
}
