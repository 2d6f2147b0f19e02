//! A server gives UIDs again, counts and lists differently, or gives less than all of a message:
//! no mail is lost, and none is deleted that is not stored.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Mailbox;
use postroom_sandbox::MailboxIds;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::When;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const MOMENT_MS: i64 = 1_790_000_000_000;

fn quick() -> Json {
    json!({"after_read_timeout": 0.1, "retry_first": 0.1})
}

/// Puts another mailbox in the place of INBOX: the same UIDVALIDITY, and UIDs from 1 on.
fn replace(sandbox: &Sandbox, subjects: &[&str]) {
    sandbox.edit(|state| {
        let inbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        *inbox = Mailbox::new(7);
        for subject in subjects {
            inbox.append(mail(subject).into(), vec![], MOMENT_MS);
        }
    });
}

fn subjects(messages: &[Json]) -> Vec<&str> {
    let mut subjects: Vec<_> = messages.iter().filter_map(|m| m["subject"].as_str()).collect();
    subjects.sort_unstable();
    subjects
}

fn left(sandbox: &Sandbox) -> usize {
    sandbox.messages(ANNA, "INBOX").len()
}

async fn proven(postroom: &postroom_testkit::Postroom, folder: &str, stored: u64) {
    let path = format!("email/Folders/{folder}");
    let is_proven = |folder: &Json| {
        (folder["storedCount"] == stored && folder["lastProofAt"].is_string()).then_some(())
    };
    until(postroom, &path, "the proof", is_proven).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_mailbox_restored_from_its_backup_loses_no_new_mail_under_old_uids() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    replace(&sandbox, &["old1", "old2", "old3", "old4"]);
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 4).await;
    replace(&sandbox, &["old1", "old2", "new1"]);
    let found = messages(&postroom, &folder, 5).await;
    assert_eq!(subjects(&found), ["new1", "old1", "old2", "old3", "old4"]);
    proven(&postroom, &folder, 3).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_mailbox_that_looks_the_same_and_has_other_messages_is_noticed() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    replace(&sandbox, &["a", "b", "c"]);
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 3).await;
    proven(&postroom, &folder, 3).await;
    // The same numbers, sizes and dates.
    replace(&sandbox, &["x", "y", "z"]);
    let found = messages(&postroom, &folder, 6).await;
    assert_eq!(subjects(&found), ["a", "b", "c", "x", "y", "z"]);
}

#[on_both(flavor = "multi_thread")]
async fn an_open_deletion_takes_no_message_that_has_the_uid_now() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    replace(&sandbox, &["a", "b"]);
    let store =
        always(&sandbox, Point::ImapCommand(ImapCommand::Store), Action::End(Ending::Close));
    let more = json!({"deleteOnServer": true});
    let folder = enable(&postroom, &account, "INBOX", more).await;
    messages(&postroom, &folder, 2).await;
    sandbox.wait_for(|state| state.acted_count(store) > 0, PATIENCE).await.unwrap();
    replace(&sandbox, &["c", "d"]);
    sandbox.unscript(store);
    let found = messages(&postroom, &folder, 4).await;
    assert_eq!(subjects(&found), ["a", "b", "c", "d"], "what is deleted is stored");
    sandbox
        .wait_for(|state| state.mailbox(ANNA, "INBOX").unwrap().is_empty(), PATIENCE)
        .await
        .unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn a_uid_that_was_deleted_and_is_given_again_is_another_message() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    replace(&sandbox, &["first"]);
    let more = json!({"deleteOnServer": true});
    let folder = enable(&postroom, &account, "INBOX", more).await;
    messages(&postroom, &folder, 1).await;
    sandbox
        .wait_for(|state| state.mailbox(ANNA, "INBOX").unwrap().is_empty(), PATIENCE)
        .await
        .unwrap();
    proven(&postroom, &folder, 0).await;
    replace(&sandbox, &["second"]);
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["first", "second"]);
}

#[on_both(flavor = "multi_thread")]
async fn less_than_all_of_a_message_is_asked_for_again_and_never_a_reason_to_delete() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let long = [&mail("long")[..], &b"x".repeat(4000)].concat();
    sandbox.deliver(ANNA, "INBOX", long.clone()).unwrap();
    let empty = Action::Message(MessageFault::Body(vec![]));
    let rule = always(&sandbox, Point::ImapMessage(Some(1)), empty);
    let more = json!({"deleteOnServer": true});
    let folder = enable(&postroom, &account, "INBOX", more).await;
    let path = format!("email/Folders/{folder}");
    let pending = |folder: &Json| {
        let text = folder["statusText"].as_str()?;
        (folder["pendingCount"] == 1 && text.contains("returned 0 of")).then_some(())
    };
    until(&postroom, &path, "the pending message", pending).await;
    assert_eq!(left(&sandbox), 1);
    sandbox.unscript(rule);
    let found = messages(&postroom, &folder, 1).await;
    assert_eq!(found[0]["size"], long.len());
    sandbox
        .wait_for(|state| state.mailbox(ANNA, "INBOX").unwrap().is_empty(), PATIENCE)
        .await
        .unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn a_size_that_is_wrong_for_good_delays_a_message_and_keeps_it_at_the_server() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    sandbox.deliver(ANNA, "INBOX", mail("short")).unwrap();
    let wrong = Action::Message(MessageFault::SizeOffBy(20_000));
    always(&sandbox, Point::ImapMessage(Some(1)), wrong);
    let more = json!({"deleteOnServer": true});
    let folder = enable(&postroom, &account, "INBOX", more).await;
    messages(&postroom, &folder, 1).await;
    proven(&postroom, &folder, 1).await;
    assert_eq!(left(&sandbox), 1);
    assert!(sandbox.transcript().iter().all(|line| line.command != "UID EXPUNGE"));
}

#[on_both(flavor = "multi_thread")]
async fn without_uidplus_a_message_is_deleted_unless_somebody_else_has_marked_one() {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let without = vec!["UIDPLUS".to_owned(), "IMAP4rev2".to_owned(), "ESEARCH".to_owned()];
    let imap_capabilities = CapabilityChanges { without, ..CapabilityChanges::default() };
    let config = SandboxConfig { users, imap_capabilities, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    let profile = json!({
        "name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port(), "options": quick(),
    });
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    sandbox.deliver(ANNA, "INBOX", mail("one")).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({"deleteOnServer": true})).await;
    messages(&postroom, &folder, 1).await;
    sandbox
        .wait_for(|state| state.mailbox(ANNA, "INBOX").unwrap().is_empty(), PATIENCE)
        .await
        .unwrap();
    let marked = "marked by somebody else";
    let rule = Rule {
        on: Point::ImapCommand(ImapCommand::Search),
        when: When::Always,
        act: Action::Reply(b"* SEARCH 2 3 9\r\n{tag} OK done\r\n".to_vec()),
    };
    sandbox.deliver(ANNA, "INBOX", mail(marked)).unwrap();
    sandbox.script(rule);
    let path = format!("email/Folders/{folder}");
    let says = |folder: &Json| folder["statusText"].as_str()?.contains("UIDPLUS").then_some(());
    until(&postroom, &path, "the reason", says).await;
    assert_eq!(left(&sandbox), 1);
}

/// A folder of the mailbox `Orders` in which one message is stored.
async fn orders() -> (Sandbox, Postroom, String) {
    let (sandbox, postroom, account) = orders_of(MailboxIds::Right).await;
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    (sandbox, postroom, folder)
}

/// The same at a server that tells MAILBOXID in another way; with the account.
async fn orders_of(mailbox_ids: MailboxIds) -> (Sandbox, Postroom, String) {
    let (sandbox, postroom, account) =
        sandbox(json!({"after_read_timeout": 0.1, "survey_interval": 1})).await;
    sandbox.edit(|state| state.mailbox_ids = mailbox_ids);
    sandbox.create_mailbox(ANNA, "Orders").unwrap();
    sandbox.deliver(ANNA, "Orders", mail("one")).unwrap();
    let folder = enable(&postroom, &account, "Orders", json!({})).await;
    messages(&postroom, &folder, 1).await;
    (sandbox, postroom, account)
}

/// Waits until a folder says that its mailbox is gone.
async fn gone(postroom: &Postroom, folder: &str) {
    let says = |folder: &Json| {
        let text = folder["statusText"].as_str()?;
        text.contains("if the mailbox has another name now, enable").then_some(())
    };
    until(postroom, &format!("email/Folders/{folder}"), "that the mailbox is gone", says).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_follows_its_mailbox_to_another_name() {
    let (sandbox, postroom, folder) = orders().await;
    sandbox.edit(|state| state.rename_mailbox(ANNA, "Orders", "Orders 2026").unwrap());
    sandbox.deliver(ANNA, "Orders 2026", mail("two")).unwrap();
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["one", "two"]);
    let shown = postroom.get(&format!("email/Folders/{folder}")).await.unwrap();
    assert_eq!(shown["name"], "Orders 2026");
}

#[on_both(flavor = "multi_thread")]
async fn a_renamed_mailbox_is_followed_by_its_mailboxid_though_it_is_renumbered() {
    let (sandbox, postroom, folder) = orders().await;
    sandbox.edit(|state| {
        state.mailbox_ids = MailboxIds::WrongInStatus;
        state.rename_mailbox(ANNA, "Orders", "Orders 2026").unwrap();
        state.mailbox_mut(ANNA, "Orders 2026").unwrap().renumber(77, 40);
    });
    sandbox.deliver(ANNA, "Orders 2026", mail("two")).unwrap();
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["one", "two"], "the recorded one is known again");
    let shown = postroom.get(&format!("email/Folders/{folder}")).await.unwrap();
    assert_eq!((&shown["name"], &shown["uidValidity"]), (&json!("Orders 2026"), &json!(77)));
}

#[on_both(flavor = "multi_thread")]
async fn a_mailboxid_that_several_mailboxes_have_is_no_evidence() {
    let (sandbox, postroom, account) = orders_of(MailboxIds::AllTheSame).await;
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    sandbox.edit(|state| state.delete_mailbox(ANNA, "Orders").unwrap());
    gone(&postroom, &folder).await;
    // The only one that was not examined before.
    sandbox.create_mailbox(ANNA, "Bills").unwrap();
    let other = id(&postroom.folder(&account, "Bills").await.unwrap());
    assert_ne!(other, folder);
    // Messages are evidence all the same.
    sandbox.create_mailbox(ANNA, "Orders").unwrap();
    sandbox.deliver(ANNA, "Orders", mail("two")).unwrap();
    messages(&postroom, &folder, 2).await;
    sandbox.edit(|state| state.rename_mailbox(ANNA, "Orders", "Orders 2026").unwrap());
    sandbox.deliver(ANNA, "Orders 2026", mail("three")).unwrap();
    messages(&postroom, &folder, 3).await;
}

/// Two messages that size, date and the usual fields do not tell apart.
fn twins() -> [Vec<u8>; 2] {
    ["one body", "or other"].map(|body| [&mail("twin")[..], body.as_bytes()].concat())
}

#[on_both(flavor = "multi_thread")]
async fn another_mailboxid_under_the_same_name_and_uidvalidity_is_another_mailbox() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let [first, second] = twins();
    let replace = |bytes: Vec<u8>, mailbox_id: &str| {
        sandbox.edit(|state| {
            let inbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
            *inbox = Mailbox::new(7);
            inbox.mailbox_id = Some(mailbox_id.to_owned());
            inbox.append(bytes.into(), vec![], MOMENT_MS);
        });
    };
    replace(first, "F1");
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 1).await;
    replace(second, "F2");
    messages(&postroom, &folder, 2).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_mailboxid_that_is_another_one_each_time_fetches_nothing_again() {
    let (sandbox, postroom, account) = orders_of(MailboxIds::NewEachTime).await;
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    for count in 2..=4 {
        sandbox.deliver(ANNA, "Orders", mail("more")).unwrap();
        messages(&postroom, &folder, count).await;
    }
    let lines = sandbox.transcript();
    let bodies: Vec<_> = lines.iter().filter(|line| line.text.contains("BODY.PEEK[]")).collect();
    let again = bodies.iter().filter(|line| !line.text.contains("FETCH 1 "));
    let again: Vec<_> = again.filter(|line| line.text.contains("FETCH 1")).collect();
    assert!(again.is_empty(), "{again:#?}");
}

#[on_both(flavor = "multi_thread")]
async fn a_renamed_mailbox_that_is_refused_for_now_is_followed_by_a_later_survey() {
    let (sandbox, postroom, folder) = orders().await;
    let refused = Action::tagged("NO [INUSE] try later");
    let rule = always(&sandbox, Point::ImapCommand(ImapCommand::Examine), refused);
    sandbox.edit(|state| state.rename_mailbox(ANNA, "Orders", "Orders 2026").unwrap());
    sandbox.deliver(ANNA, "Orders 2026", mail("two")).unwrap();
    let path = format!("email/Folders/{folder}");
    gone(&postroom, &folder).await;
    let new = postroom.get("email/Folders?name=Orders%202026").await.unwrap();
    assert_eq!(new, json!([]), "it gets no folder before it was compared");
    sandbox.unscript(rule);
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["one", "two"]);
    // The poll that stores the messages ends with the status.
    let well = |folder: &Json| folder["statusText"].is_null().then(|| folder["name"].clone());
    let name = until(&postroom, &path, "that all is well", well).await;
    assert_eq!(name, "Orders 2026");
}

/// Deletes `Bills`, and renames `Orders` to it.
fn put_orders_in_place_of_bills(sandbox: &Sandbox) {
    sandbox.edit(|state| {
        state.delete_mailbox(ANNA, "Bills").unwrap();
        state.rename_mailbox(ANNA, "Orders", "Bills").unwrap();
    });
    sandbox.deliver(ANNA, "Bills", mail("two")).unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_follows_its_mailbox_to_a_name_that_had_an_unused_folder() {
    let (sandbox, postroom, account) = orders_of(MailboxIds::Right).await;
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    sandbox.create_mailbox(ANNA, "Bills").unwrap();
    let unused = id(&postroom.folder(&account, "Bills").await.unwrap());
    put_orders_in_place_of_bills(&sandbox);
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["one", "two"]);
    assert_eq!(id(&postroom.folder(&account, "Bills").await.unwrap()), folder);
    let gone = postroom.get(&format!("email/Folders?id={unused}")).await.unwrap();
    assert_eq!(gone, json!([]), "one folder stands for each mailbox");
}

#[on_both(flavor = "multi_thread")]
async fn a_folder_with_messages_gives_up_its_mailbox_and_stays() {
    let (sandbox, postroom, account) = orders_of(MailboxIds::AllTheSame).await;
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    sandbox.create_mailbox(ANNA, "Bills").unwrap();
    sandbox.deliver(ANNA, "Bills", mail("bill")).unwrap();
    let bills = enable(&postroom, &account, "Bills", json!({})).await;
    messages(&postroom, &bills, 1).await;
    let path = format!("email/Folders/{bills}");
    postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
    put_orders_in_place_of_bills(&sandbox);
    let found = messages(&postroom, &folder, 2).await;
    assert_eq!(subjects(&found), ["one", "two"]);
    let left = postroom.get(&path).await.unwrap();
    assert_eq!((&left["name"], &left["mailbox"]), (&json!("Bills (replaced)"), &Json::Null));
    assert!(left["statusText"].as_str().unwrap().contains("/Bills stands for the mailbox"));
    assert_eq!(subjects(&messages(&postroom, &bills, 1).await), ["bill"]);
    // The next surveys leave it so.
    polls(&postroom, &folder, 12).await;
    let later = postroom.get(&path).await.unwrap();
    assert_eq!((&later["name"], &later["statusText"]), (&left["name"], &left["statusText"]));
}

/// A server that tells no MAILBOXID; the folder of its mailbox `Orders` has so many messages.
async fn orders_without_id(count: usize) -> (Sandbox, Postroom, String) {
    let (sandbox, postroom, account) = orders_of(MailboxIds::Right).await;
    sandbox.edit(|state| {
        state.imap_capabilities.without.push("OBJECTID".to_owned());
        let orders = state.mailbox_mut(ANNA, "Orders").unwrap();
        for number in 2..=count {
            let bytes = mail(&"number".repeat(number));
            orders.append(bytes.into(), vec![], MOMENT_MS);
        }
    });
    let folder = id(&postroom.folder(&account, "Orders").await.unwrap());
    messages(&postroom, &folder, count).await;
    (sandbox, postroom, folder)
}

#[on_both(flavor = "multi_thread")]
async fn a_mailbox_that_is_renumbered_by_its_renaming_is_followed_by_its_messages() {
    let (sandbox, postroom, folder) = orders_without_id(5).await;
    sandbox.edit(|state| {
        state.rename_mailbox(ANNA, "Orders", "Orders 2026").unwrap();
        state.mailbox_mut(ANNA, "Orders 2026").unwrap().renumber(77, 1000);
    });
    sandbox.deliver(ANNA, "Orders 2026", mail("new")).unwrap();
    let found = messages(&postroom, &folder, 6).await;
    assert_eq!(found.len(), 6, "what is stored is not stored again");
    let shown = postroom.get(&format!("email/Folders/{folder}")).await.unwrap();
    assert_eq!(shown["name"], "Orders 2026");
}

#[on_both(flavor = "multi_thread")]
async fn of_two_mailboxes_with_the_same_messages_none_is_followed() {
    let (sandbox, postroom, folder) = orders_without_id(5).await;
    sandbox.edit(|state| {
        let orders = state.mailbox(ANNA, "Orders").unwrap().clone();
        state.delete_mailbox(ANNA, "Orders").unwrap();
        for (uid_validity, name) in [(77, "Copy"), (78, "Other copy")] {
            let copy = state.create_mailbox(ANNA, name).unwrap();
            *copy = orders.clone();
            copy.renumber(uid_validity, 1000);
        }
    });
    gone(&postroom, &folder).await;
    let path = format!("email/Folders/{folder}");
    assert_eq!(postroom.get(&path).await.unwrap()["name"], "Orders");
}

#[on_both(flavor = "multi_thread")]
async fn a_list_that_was_cut_short_renames_no_folder() {
    let (sandbox, postroom, account) =
        sandbox(json!({"after_read_timeout": 0.1, "survey_interval": 1, "mailboxes_max": 7})).await;
    // With the six that each user has, that makes seven.
    sandbox.create_mailbox(ANNA, "Orders").unwrap();
    sandbox.deliver(ANNA, "Orders", mail("one")).unwrap();
    let folder = enable(&postroom, &account, "Orders", json!({})).await;
    messages(&postroom, &folder, 1).await;
    sandbox.edit(|state| {
        state.rename_mailbox(ANNA, "Orders", "Bills").unwrap();
        state.create_mailbox(ANNA, "Zoo").unwrap();
    });
    let other = id(&postroom.folder(&account, "Bills").await.unwrap());
    assert_ne!(other, folder);
    let shown = postroom.get(&format!("email/Folders/{folder}")).await.unwrap();
    assert_eq!(shown["name"], "Orders");
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_is_too_large_shows_its_header_and_is_loaded_when_the_limit_allows() {
    let limit = |bytes: u64| json!({"after_read_timeout": 0.1, "message_bytes_max": bytes});
    let (sandbox, postroom, account) = sandbox(limit(2000)).await;
    let large = [&mail("large")[..], &b"x".repeat(4000)].concat();
    sandbox.deliver(ANNA, "INBOX", large.clone()).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let found = messages(&postroom, &folder, 1).await;
    assert_eq!(found[0]["errorCode"], "too_big");
    assert_eq!(
        (&found[0]["subject"], &found[0]["from"]),
        (&json!("large"), &json!("ben@demo.test"))
    );
    assert_eq!(found[0]["size"], large.len());
    let by_header = id(&found[0]);
    proven(&postroom, &folder, 0).await;
    let account = postroom.get(&format!("email/Accounts/{account}")).await.unwrap();
    let profile = format!("email/Profiles/{}", account["profile_id"].as_str().unwrap());
    postroom.patch(&profile, &json!({"options": limit(100_000)})).await.unwrap();
    proven(&postroom, &folder, 1).await;
    let found = messages(&postroom, &folder, 1).await;
    assert_eq!((found.len(), id(&found[0])), (1, by_header), "it is the same message");
    assert_eq!(
        (&found[0]["messageState"], &found[0]["size"]),
        (&json!("received"), &json!(large.len()))
    );
}
