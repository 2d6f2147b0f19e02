//! What is stored is deleted at an IMAP server, and nothing else is, whatever the server does.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::When;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const STORE: Point = Point::ImapCommand(ImapCommand::Store);
const EXPUNGE: Point = Point::ImapCommand(ImapCommand::Expunge);

/// An account whose server lacks these capabilities. It has a message that is stored before the
/// folder deletes anything. Gives the folder.
async fn with_one_kept(without: &[&str]) -> (World, Supervisor, EntityId) {
    let world = World::new().await;
    let lacking = without.iter().map(|name| (*name).to_owned());
    world.sandbox.edit(|state| state.imap_capabilities.without.extend(lacking));
    deliver(&world, "kept");
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({})).await;
    world.until_messages(1).await;
    world.change(FOLDERS, folder, json!({"deleteOnServer": true})).await;
    (world, engine, folder)
}

fn deliver(world: &World, subject: &str) -> u32 {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap()
}

/// The UIDs that the server has.
fn uids(world: &World) -> Vec<u32> {
    world.sandbox.messages(ANNA, "INBOX").iter().map(|message| message.uid).collect()
}

/// Waits until the server has these UIDs.
async fn until_left(world: &World, want: &[u32]) {
    let left = |state: &postroom_sandbox::SandboxState| {
        state.mailbox(ANNA, "INBOX").unwrap().messages().map(|one| one.uid).eq(want.iter().copied())
    };
    world.sandbox.wait_for(left, Duration::from_secs(7200)).await.unwrap();
}

/// Waits until the folder says this.
async fn until_says(world: &World, folder: EntityId, text: &str) {
    let says = |it: &postroom_model::Entity| {
        let said = it.text("statusText").unwrap_or_default();
        if text.is_empty() { said.is_empty() } else { said.contains(text) }
    };
    world.until(FOLDERS, folder, says).await;
}

fn script(world: &World, on: Point, when: When, act: Action) -> RuleId {
    world.sandbox.script(Rule { on, when, act })
}

fn mark(world: &World, uid: u32, flags: &[&str]) {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().set_flags(uid, flags));
}

fn commands(world: &World, command: &str) -> usize {
    world.sandbox.transcript().iter().filter(|line| line.text.contains(command)).count()
}

#[tokio::test(start_paused = true)]
async fn only_what_was_stored_since_is_deleted_and_not_what_somebody_else_marked() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    mark(&world, 1, &["\\Deleted"]);
    for subject in ["a", "b"] {
        deliver(&world, subject);
    }
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    assert_eq!(world.subjects().await, ["a", "b", "kept"]);
    assert!(world.sandbox.messages(ANNA, "INBOX")[0].has_flag("\\Deleted"), "its mark stays");
    assert_eq!(commands(&world, " EXPUNGE"), commands(&world, "UID EXPUNGE"), "never a bare one");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_uidplus_expunges_unless_somebody_else_has_marked_messages() {
    let (world, engine, folder) = with_one_kept(&["UIDPLUS"]).await;
    let first = deliver(&world, "a");
    until_left(&world, &[1]).await;
    assert_eq!(commands(&world, "UID EXPUNGE"), 0);
    mark(&world, 1, &["\\Deleted"]);
    let second = deliver(&world, "b");
    let marks = commands(&world, "STORE");
    until_says(&world, folder, "it lacks UIDPLUS").await;
    assert_eq!(uids(&world), [1, second], "{first}");
    // Nothing is marked that is not expunged: another program would expunge it.
    assert_eq!(commands(&world, "STORE"), marks);
    assert!(!world.sandbox.messages(ANNA, "INBOX")[1].has_flag("\\Deleted"));
    // The other program takes its mark back.
    mark(&world, 1, &["\\Seen"]);
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    assert_eq!(world.subjects().await, ["a", "b", "kept"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_marks_another_message_is_not_trusted_with_an_expunge() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let other = b"* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n{tag} OK done\r\n".to_vec();
    script(&world, STORE, When::Nth(1), Action::Reply(other));
    let second = deliver(&world, "a");
    let told = "marked other messages as deleted (UID 1)";
    until_says(&world, folder, told).await;
    assert_eq!((uids(&world), commands(&world, "EXPUNGE")), (vec![1, second], 0));
    assert_eq!(commands(&world, "STORE 1 -FLAGS.SILENT (\\Deleted)"), 1, "the mark is taken back");
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_another_client_stays_where_a_message_of_ours_has_gone() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    // At the moment of STORE, another client marks UID 1 and expunges the message to be deleted.
    let other = b"* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n{tag} OK done\r\n".to_vec();
    script(&world, STORE, When::Nth(1), Action::Reply(other));
    let uid = deliver(&world, "a");
    // It is fetched, compared, and then asked for its flags.
    let nothing = Action::Message(MessageFault::Omit);
    let rule = script(&world, Point::ImapMessage(Some(uid)), When::Nth(3), nothing);
    until_left(&world, &[1]).await;
    assert_eq!(world.sandbox.acted_count(rule), 1);
    until_says(&world, folder, "").await;
    assert_eq!(commands(&world, "-FLAGS"), 0, "the mark stays");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_say_what_it_marked_is_asked() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    // It says only OK: no FETCH response comes for the command.
    let rule = script(&world, STORE, When::Always, Action::tagged("OK done"));
    let uid = deliver(&world, "a");
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) == 1;
    world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(uids(&world), [1, uid], "it is not marked");
    until_says(&world, folder, "and marks none").await;
    let asked = commands(&world, "STORE");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(commands(&world, "STORE"), asked, "it is not asked at each poll");
    mark(&world, uid, &["\\Deleted"]);
    until_left(&world, &[1]).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_ends_each_connection_does_not_keep_mail_waiting() {
    for on in [STORE, EXPUNGE] {
        let (world, engine, folder) = with_one_kept(&[]).await;
        let rule = script(&world, on, When::Always, Action::End(Ending::Close));
        deliver(&world, "a");
        let says = "stored here (UID 2): the server closed the connection during UID ";
        until_says(&world, folder, says).await;
        let (began, count) = (Instant::now(), world.list(MESSAGES).await.len());
        deliver(&world, "b");
        world.until_messages(count + 1).await;
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        world.sandbox.unscript(rule);
        until_left(&world, &[1]).await;
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_ok_and_deletes_nothing_is_noticed_and_asked_again() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let rule = script(&world, EXPUNGE, When::Always, Action::tagged("OK done"));
    let uid = deliver(&world, "a");
    until_says(&world, folder, "the server still has 1 stored message").await;
    assert_eq!(uids(&world), [1, uid]);
    world.sandbox.unscript(rule);
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_to_delete_does_not_keep_mail_waiting() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let refusal = Action::tagged("NO [CANNOT] read-only");
    let rule = script(&world, STORE, When::Always, refusal);
    deliver(&world, "a");
    until_says(&world, folder, "refuses to mark or delete messages").await;
    deliver(&world, "b");
    world.until_messages(3).await;
    let tries = world.sandbox.acted_count(rule);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // The delay doubles, from a minute on, and each message is asked for.
    let more = world.sandbox.acted_count(rule) - tries;
    assert!((4..20).contains(&more), "{more}");
    world.sandbox.unscript(rule);
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_message_that_cannot_be_marked_keeps_no_other_at_the_server() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    // UID 5 is refused, in each set that has it: 2:6, 4:6, 5:6 and 5.
    for nth in [1, 3, 5, 6] {
        let locked = Action::tagged("NO [CANNOT] locked by legal hold");
        script(&world, STORE, When::Nth(nth), locked);
    }
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        for subject in ["a", "b", "c", "d", "e"] {
            let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\n.\r\n");
            mailbox.append(mail.into_bytes().into(), vec![], 1_748_736_000_000);
        }
    });
    until_left(&world, &[1, 5]).await;
    until_says(&world, folder, "stored here (UID 5): ").await;
    // It does not keep later ones there either.
    let began = Instant::now();
    deliver(&world, "f");
    world.until_messages(7).await;
    until_left(&world, &[1, 5]).await;
    assert!(began.elapsed() < Duration::from_secs(55), "{:?}", began.elapsed());
    // It is asked for again, and then it goes.
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_the_silent_form_is_asked_in_the_other_one() {
    let world = World::new().await;
    script(&world, STORE, When::Nth(1), Action::tagged("BAD what is SILENT"));
    deliver(&world, "a");
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({"options": {"keep_unseen": false}})).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    assert!(world.sandbox.messages(ANNA, "INBOX")[0].has_flag("\\Seen"));
    assert_eq!(commands(&world, "+FLAGS (\\Seen)"), 1);
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_can_only_be_read_is_read_and_says_that_its_mail_stays() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let select = Point::ImapCommand(ImapCommand::Select);
    let refusal = Action::tagged("NO [NOPERM] you may only read");
    let rule = script(&world, select, When::Always, refusal);
    let uid = deliver(&world, "a");
    world.until_messages(2).await;
    until_says(&world, folder, "only read the mailbox").await;
    let account = world.list(ACCOUNTS).await.remove(0);
    assert_eq!(account.text("state"), Some("ready"), "{account:?}");
    assert_eq!((commands(&world, "STORE"), uids(&world)), (0, vec![1, uid]));
    // Once it may be changed, what was to be deleted is deleted.
    world.sandbox.unscript(rule);
    until_left(&world, &[1]).await;
    until_says(&world, folder, "").await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_text_about_messages_that_stay_is_taken_back_when_they_have_gone() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let rule = script(&world, EXPUNGE, When::Always, Action::tagged("OK it is done"));
    let uid = deliver(&world, "a");
    until_says(&world, folder, "the server still has 1 stored message").await;
    let tried = world.sandbox.acted_count(rule);
    // Another client removes it before Postroom asks again.
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(uid));
    until_says(&world, folder, "").await;
    assert_eq!(world.sandbox.acted_count(rule), tried);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_got_the_uid_of_one_to_be_deleted_stays() {
    let (world, engine, folder) = with_one_kept(&[]).await;
    let rule = script(&world, STORE, When::Always, Action::tagged("NO not now"));
    let uid = deliver(&world, "a");
    until_says(&world, folder, "refuses to mark or delete messages").await;
    // The index is rebuilt: the UID to be deleted is that of the message that is to be kept.
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().swap(1, uid));
    world.sandbox.unscript(rule);
    tokio::time::sleep(Duration::from_secs(7200)).await;
    let subjects: Vec<_> = world
        .sandbox
        .messages(ANNA, "INBOX")
        .iter()
        .map(|message| String::from_utf8_lossy(&message.bytes).contains("Subject: kept"))
        .collect();
    assert!(subjects.contains(&true), "{subjects:?}");
    assert_eq!(world.subjects().await, ["a", "kept"], "nothing is stored twice");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn messages_are_marked_as_read_once_they_are_stored_where_the_folder_wants_it() {
    let world = World::new().await;
    deliver(&world, "a");
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({})).await;
    world.until_messages(1).await;
    let is_seen = |at: usize| world.sandbox.messages(ANNA, "INBOX")[at].has_flag("\\Seen");
    assert!(!is_seen(0), "as it was");
    world.change(FOLDERS, folder, json!({"options": {"keep_unseen": false}})).await;
    deliver(&world, "b");
    let marked = |state: &postroom_sandbox::SandboxState| {
        let mailbox = state.mailbox(ANNA, "INBOX").unwrap();
        mailbox.message(2).is_some_and(|message| message.has_flag("\\Seen"))
    };
    world.sandbox.wait_for(marked, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(world.subjects().await, ["a", "b"]);
    assert!(!is_seen(0), "it was stored before");
    engine.stop().await;
}

/// Whether the commands show that the mailbox was only read.
fn only_read(world: &World) -> bool {
    [" STORE ", "EXPUNGE", " SELECT "].iter().all(|command| commands(world, command) == 0)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_data_receives_and_changes_nothing_at_the_server_until_somebody_resumes() {
    let deletes = json!({"deleteOnServer": true});
    for values in [deletes, json!({"options": {"keep_unseen": false}})] {
        let is_to_go = values["deleteOnServer"] == true;
        let world = World::new().await;
        world.store.backup_mark(false).await.unwrap();
        deliver(&world, "a");
        world.account(json!({"address": ANNA, "password": PASSWORD})).await;
        let engine = world.start(world.settings()).await;
        let folder = world.monitor("INBOX", values).await;
        until_says(&world, folder, "that waits for POST /rest/v1/sending:resume").await;
        world.until_messages(1).await;
        deliver(&world, "b");
        world.until_messages(2).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(only_read(&world), "{:?}", world.sandbox.transcript());
        assert_eq!(uids(&world), [1, 2]);
        let account = world.list(ACCOUNTS).await.remove(0);
        assert_eq!(account.text("state"), Some("ready"), "{account:?}");
        // What was received meanwhile is not forgotten.
        world.store.sending_resume().await.unwrap();
        let is_done = move |state: &postroom_sandbox::SandboxState| {
            let mailbox = state.mailbox(ANNA, "INBOX").unwrap();
            let mut messages = mailbox.messages();
            if is_to_go {
                messages.next().is_none()
            } else {
                messages.all(|one| one.has_flag("\\Seen"))
            }
        };
        world.sandbox.wait_for(is_done, Duration::from_secs(7200)).await.unwrap();
        until_says(&world, folder, "").await;
        assert_eq!(world.subjects().await, ["a", "b"]);
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_forgets_what_its_folder_no_longer_demands_before_somebody_resumes() {
    let world = World::new().await;
    world.store.backup_mark(false).await.unwrap();
    deliver(&world, "a");
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", json!({"deleteOnServer": true})).await;
    until_says(&world, folder, "sending:resume").await;
    world.until_messages(1).await;
    world.change(FOLDERS, folder, json!({"deleteOnServer": false})).await;
    until_says(&world, folder, "").await;
    world.change(FOLDERS, folder, json!({"deleteOnServer": true})).await;
    until_says(&world, folder, "sending:resume").await;
    world.store.sending_resume().await.unwrap();
    deliver(&world, "b");
    until_left(&world, &[1]).await;
    assert_eq!(world.subjects().await, ["a", "b"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_suspended_during_a_poll_is_not_deleted_by_it() {
    let (world, engine, _) = with_one_kept(&[]).await;
    // The mailbox is open for changes by then.
    let fetch = Point::ImapCommand(ImapCommand::Fetch);
    deliver(&world, "a");
    let rule = script(&world, fetch, When::Nth(1), Action::Hold);
    let acted = |state: &postroom_sandbox::SandboxState| state.acted_count(rule) == 1;
    world.sandbox.wait_for(acted, Duration::from_secs(3600)).await.unwrap();
    world.store.backup_mark(false).await.unwrap();
    world.sandbox.unscript(rule);
    world.until_messages(2).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((commands(&world, " STORE "), uids(&world)), (0, vec![1, 2]));
    world.store.sending_resume().await.unwrap();
    until_left(&world, &[1]).await;
    engine.stop().await;
}

fn append(world: &World, internal_date_ms: i64) {
    world.sandbox.edit(|state| {
        let mail = &b"Message-ID: <a@x.test>\r\nSubject: a\r\n\r\nHello.\r\n"[..];
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        mailbox.append(mail.into(), vec![], internal_date_ms);
    });
}

#[tokio::test(start_paused = true)]
async fn mail_with_the_bytes_of_a_deleted_message_is_stored_when_numbers_begin_anew() {
    const THEN: i64 = 1_748_736_000_000;
    for waits_for_listing in [true, false] {
        // Another message came, or a backup brought the same one back.
        for (date_ms, want) in [(THEN + 60_000, &["a", "a", "kept"][..]), (THEN, &["a", "kept"])] {
            let (world, engine, folder) = with_one_kept(&[]).await;
            append(&world, THEN);
            world.until(FOLDERS, folder, |it| it.number("serverCount") == Some(2)).await;
            until_left(&world, &[1]).await;
            if waits_for_listing {
                world.until(FOLDERS, folder, |it| it.number("serverCount") == Some(1)).await;
            }
            let set = |state: &mut postroom_sandbox::SandboxState| {
                state.mailbox_mut(ANNA, "INBOX").unwrap().set_uid_validity(9);
            };
            world.sandbox.edit(set);
            append(&world, date_ms);
            world.until(FOLDERS, folder, |it| it.number("uidValidity") == Some(9)).await;
            until_left(&world, &[1]).await;
            assert_eq!(world.subjects().await, want, "{waits_for_listing}");
            engine.stop().await;
        }
    }
}
