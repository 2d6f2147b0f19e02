//! Mail of an IMAP server that lists, gives or numbers its messages badly.

use crate::world::ANNA;
use crate::world::PASSWORD;
use crate::world::World;
use postroom_engine::Supervisor;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MailboxIds;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::When;
use postroom_store::NewsPage;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const SEARCH: Point = Point::ImapCommand(ImapCommand::Search);
const FETCH: Point = Point::ImapCommand(ImapCommand::Fetch);
const EXAMINE: Point = Point::ImapCommand(ImapCommand::Examine);
const SELECT: Point = Point::ImapCommand(ImapCommand::Select);

/// A server with messages of these subjects.
async fn with(subjects: &[&str]) -> World {
    let world = World::new().await;
    for subject in subjects {
        deliver(&world, subject);
    }
    world
}

fn deliver(world: &World, subject: &str) {
    let mail = format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
    world.sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
}

/// An account that receives from it. Gives the folder.
async fn receiving(world: &World, folder: serde_json::Value) -> (Supervisor, EntityId) {
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    let folder = world.monitor("INBOX", folder).await;
    (engine, folder)
}

fn script(world: &World, on: Point, when: When, act: Action) -> RuleId {
    world.sandbox.script(Rule { on, when, act })
}

fn says(entity: &Entity, text: &str) -> bool {
    entity.text("statusText").is_some_and(|said| said.contains(text))
}

/// Waits until the folder is proven complete with so many stored messages.
async fn until_proven(world: &World, folder: EntityId, stored: i64) -> Entity {
    let is_proven = |it: &Entity| {
        let count = it.number("storedCount") == Some(stored);
        count && it.text("lastProofAt").is_some() && it.text("statusText").is_none()
    };
    world.until(FOLDERS, folder, is_proven).await
}

fn lines(world: &World, text: &str) -> usize {
    world.sandbox.transcript().iter().filter(|line| line.text.contains(text)).count()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_is_asked_for_in_each_other_form() {
    // Each form is one more FETCH of the message. After all of them it waits.
    let fault = || Action::Message(MessageFault::BodyNil);
    for (faults, form) in [(1, "BODY.PEEK[]<0."), (2, " FETCH 2 ("), (3, " RFC822)")] {
        let world = with(&["a", "b", "c"]).await;
        script(&world, Point::ImapMessage(Some(2)), When::First(faults), fault());
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 3).await;
        assert_eq!(world.subjects().await, ["a", "b", "c"]);
        let last = world.sandbox.transcript();
        let last = last.iter().rev().find(|line| line.text.contains(form));
        assert!(last.is_some(), "{faults}: {:?}", world.sandbox.transcript());
        engine.stop().await;
    }
    let world = with(&["a", "b", "c"]).await;
    let rule = script(&world, Point::ImapMessage(Some(2)), When::Always, fault());
    let (engine, folder) = receiving(&world, json!({})).await;
    let waits = "UID 2: the server gave NIL for its body";
    let told = world.until(FOLDERS, folder, |it| says(it, waits)).await;
    assert_eq!((told.number("pendingCount"), told.number("storedCount")), (Some(1), Some(2)));
    assert_eq!(world.subjects().await, ["a", "c"]);
    world.sandbox.unscript(rule);
    until_proven(&world, folder, 3).await;
    assert_eq!(world.subjects().await, ["a", "b", "c"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_one_message_leaves_the_others_and_is_named() {
    let body = MessageFault::Body(b"Subject: short\r\n\r\n".to_vec());
    #[rustfmt::skip]
    let table = [
        (MessageFault::Omit,              "UID 2: the server returns no body"),
        (MessageFault::BodyMissing,       "UID 2: the server returns no body"),
        (MessageFault::UidMissing,        "UID 2: the server returns no body"),
        (MessageFault::Uid(77),           "UID 2: the server returns no body"),
        (body,                            "UID 2: the server returned 18 of "),
    ];
    for (fault, want) in table {
        let world = with(&["a", "b-has-a-longer-subject", "c"]).await;
        let act = Action::Message(fault.clone());
        let rule = script(&world, Point::ImapMessage(Some(2)), When::Always, act);
        let (engine, folder) = receiving(&world, json!({})).await;
        let told = world.until(FOLDERS, folder, |it| says(it, want)).await;
        assert_eq!(told.number("storedCount"), Some(2), "{fault:?}");
        world.sandbox.unscript(rule);
        until_proven(&world, folder, 3).await;
        engine.stop().await;
    }
}

/// What a server does to the bytes of a message.
type BytesChange = fn(&[u8]) -> Vec<u8>;

/// The bytes of the second message, changed.
fn second(world: &World, change: BytesChange) -> Vec<u8> {
    change(&world.sandbox.messages(ANNA, "INBOX")[1].bytes)
}

#[tokio::test(start_paused = true)]
async fn bytes_that_may_lack_some_are_asked_for_again_before_they_are_recorded() {
    let table: [BytesChange; 4] = [
        |whole| whole[..whole.len() - 3].to_vec(),
        |whole| whole[..whole.len() * 85 / 100].to_vec(),
        |whole| whole[whole.len() / 5..].to_vec(),
        |whole| vec![0; whole.len()],
    ];
    for (row, change) in table.iter().enumerate() {
        for times in [1, 2] {
            let world = with(&["a", "b-has-a-longer-subject", "c"]).await;
            let act = Action::Message(MessageFault::Body(second(&world, *change)));
            script(&world, Point::ImapMessage(Some(2)), When::First(times), act);
            let (engine, folder) = receiving(&world, json!({})).await;
            until_proven(&world, folder, 3).await;
            // The same bytes twice are the message, as far as anybody knows.
            let of_second = |it: &Entity| it.text("subject") == Some("b-has-a-longer-subject");
            let is_whole = |it: &Entity| of_second(it) && it.number("size") == Some(88);
            let has_whole = world.list(MESSAGES).await.iter().any(is_whole);
            assert_eq!(has_whole, times == 1, "row {row}");
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_sizes_are_wrong_is_not_asked_twice_for_everything() {
    let subjects = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let world = with(&subjects).await;
    let act = Action::Message(MessageFault::SizeOffBy(10));
    script(&world, Point::ImapMessage(None), When::Always, act);
    let (engine, folder) = receiving(&world, json!({})).await;
    until_proven(&world, folder, 8).await;
    assert_eq!(world.subjects().await, subjects);
    // One command for all, and one for each of three.
    assert_eq!(lines(&world, "BODY.PEEK[]"), 4);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn odd_facts_about_a_message_do_not_keep_it_from_being_stored() {
    for fault in [
        MessageFault::SizeOffBy(10),
        MessageFault::SizeOffBy(-10),
        MessageFault::InternalDate("NIL".to_owned()),
        MessageFault::InternalDate("\"00-Jan-0000 00:00:00 +0000\"".to_owned()),
        MessageFault::Flags("(\\Odd \\*)".to_owned()),
    ] {
        let world = with(&["a", "b"]).await;
        let act = Action::Message(fault.clone());
        script(&world, Point::ImapMessage(Some(2)), When::Always, act);
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 2).await;
        let messages = world.list(MESSAGES).await;
        assert_eq!(messages.len(), 2, "{fault:?}");
        assert!(messages.iter().all(|it| it.text("dateTime").is_some()), "{fault:?}");
        // The same facts at the next polls are no reason to store it again.
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(world.list(MESSAGES).await.len(), 2, "{fault:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_listed_by_fetch_where_search_is_refused_or_too_short() {
    for act in [
        Action::tagged("NO search is broken"),
        Action::tagged("BAD what"),
        Action::Reply(b"* SEARCH 2\r\n{tag} OK\r\n".to_vec()),
        Action::Reply(b"{tag} OK\r\n".to_vec()),
    ] {
        let world = with(&["a", "b", "c"]).await;
        script(&world, SEARCH, When::Always, act.clone());
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 3).await;
        assert_eq!(world.subjects().await, ["a", "b", "c"], "{act:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_whose_place_the_list_has_another_number_is_found_by_fetch() {
    let world = with(&["a", "b", "c"]).await;
    // Each other search asks whether UID 4 is there. The count of both lists is right.
    for nth in (1..100).step_by(2) {
        let phantom = Action::Reply(b"* SEARCH 1 2 4\r\n{tag} OK\r\n".to_vec());
        script(&world, SEARCH, When::Nth(nth), phantom);
    }
    let (engine, folder) = receiving(&world, json!({})).await;
    until_proven(&world, folder, 3).await;
    assert_eq!(world.subjects().await, ["a", "b", "c"]);
    engine.stop().await;
}

/// SEARCH says the same, however it is asked.
#[tokio::test(start_paused = true)]
async fn a_number_that_search_insists_on_neither_hides_a_message_nor_proves_the_mailbox() {
    // UID 9 is not below UIDNEXT. UID 3 was a message once.
    for found in ["1 2 9", "1 2 3"] {
        let world = with(&["a", "b", "c", "d"]).await;
        world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(3));
        let found = Action::Reply(format!("* SEARCH {found}\r\n{{tag}} OK\r\n").into_bytes());
        script(&world, SEARCH, When::Always, found.clone());
        let (engine, folder) = receiving(&world, json!({})).await;
        let is_proven = |it: &Entity| {
            let is_proven = it.text("lastProofAt").is_some();
            assert!(!is_proven || it.number("storedCount") == Some(3), "{found:?}: {it:?}");
            is_proven
        };
        world.until(FOLDERS, folder, is_proven).await;
        let proven = until_proven(&world, folder, 3).await;
        assert_eq!(proven.number("pendingCount"), Some(0), "{proven:?}");
        assert_eq!(world.subjects().await, ["a", "b", "d"], "{found:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_counted_and_not_listed_is_told_and_costs_no_other_folder() {
    let world = with(&["a"]).await;
    world.sandbox.deliver(ANNA, "Archive", b"Subject: z\r\n\r\nz".to_vec()).unwrap();
    let inbox = || When::For("INBOX".to_owned());
    script(&world, SEARCH, inbox(), Action::Reply(b"* SEARCH\r\n{tag} OK\r\n".to_vec()));
    script(&world, FETCH, inbox(), Action::tagged("NO not now"));
    let (engine, folder) = receiving(&world, json!({})).await;
    let archive = world.monitor("Archive", json!({})).await;
    until_proven(&world, archive, 1).await;
    let wanted = "the server counts 1 message but lists none of them";
    world.until(FOLDERS, folder, |it| says(it, wanted)).await;
    let account = world.list(ACCOUNTS).await.remove(0).id;
    let account = world.until(ACCOUNTS, account, |it| says(it, wanted)).await;
    assert_eq!(account.text("state"), Some("degraded"));
    world.sandbox.unscript_all();
    until_proven(&world, folder, 1).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_dies_in_a_pause_is_replaced_before_anybody_is_told() {
    for act in [
        Action::End(Ending::Close),
        Action::Reply(b"* BYE idle for too long\r\n".to_vec()),
        Action::tagged("NO the session has expired"),
        Action::tagged("BAD User is authenticated but not connected."),
        Action::tagged("BAD server busy, try again"),
    ] {
        let world = with(&["a"]).await;
        let rule = script(&world, EXAMINE, When::Nth(2), act.clone());
        // No other command opens the mailbox then.
        script(&world, SELECT, When::Always, act.clone());
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 1).await;
        assert_eq!(world.sandbox.acted_count(rule), 0, "{act:?}");
        world.sandbox.transcript_clear();
        deliver(&world, "b");
        until_proven(&world, folder, 2).await;
        assert_eq!(
            (world.sandbox.acted_count(rule), lines(&world, "AUTHENTICATE")),
            (1, 1),
            "{act:?}"
        );
        let domain = Domain::default_domain();
        let NewsPage::News { news, .. } = world.store.news(&domain, 0, 1000).await.unwrap() else {
            panic!("no news");
        };
        let states = news.iter().filter_map(|one| one.after.as_ref()?.text("state"));
        assert_eq!(states.filter(|state| *state == "degraded").count(), 0, "{act:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_gets_no_mailbox_once_is_tried_anew_at_once_and_told_if_that_stays() {
    const LIST: Point = Point::ImapCommand(ImapCommand::List);
    let words = "User is authenticated but not connected.";
    for on in [EXAMINE, LIST] {
        let world = with(&["a"]).await;
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 1).await;
        engine.stop().await;
        deliver(&world, "b");
        // The first round of a new process.
        let bad = Action::tagged(&format!("BAD {words}"));
        let rule = script(&world, on, When::Nth(1), bad.clone());
        let (engine, began) = (world.start(world.settings()).await, Instant::now());
        let has_both = |it: &Entity| it.number("storedCount") == Some(2);
        world.until(FOLDERS, folder, has_both).await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert_eq!(world.sandbox.acted_count(rule), 1);
        let account = world.list(ACCOUNTS).await.remove(0).id;
        world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
        assert!(!told_so_far(&world).await.contains("licence"));
        let rule = script(&world, EXAMINE, When::Always, bad);
        let told = world.until(ACCOUNTS, account, |it| says(it, words)).await;
        assert_eq!(told.text("state"), Some("failed"));
        for part in ["this passes if the server was busy", "has a licence", "accepted before"] {
            assert!(says(&told, part), "{told:?}");
        }
        assert!(world.sandbox.acted_count(rule) >= 2, "it was tried anew before");
        world.sandbox.unscript(rule);
        world.until(ACCOUNTS, account, |it| it.text("state") == Some("ready")).await;
        engine.stop().await;
    }
}

/// All that accounts have said so far.
async fn told_so_far(world: &World) -> String {
    let domain = Domain::default_domain();
    let NewsPage::News { news, .. } = world.store.news(&domain, 0, 1000).await.unwrap() else {
        panic!("no news");
    };
    let said = news.iter().filter_map(|one| one.after.as_ref()?.text("statusText"));
    said.collect::<Vec<_>>().join("; ")
}

#[tokio::test(start_paused = true)]
async fn a_search_that_answers_sequence_numbers_costs_no_mail() {
    let world = with(&["a", "b", "c", "d"]).await;
    for uid in [1, 3] {
        let mailbox = |state: &mut postroom_sandbox::SandboxState| {
            state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(uid)
        };
        world.sandbox.edit(mailbox).unwrap();
    }
    let numbers = Action::Reply(b"* SEARCH 1 2\r\n{tag} OK\r\n".to_vec());
    let rule = script(&world, SEARCH, When::Always, numbers);
    let (engine, folder) = receiving(&world, json!({})).await;
    let proven = until_proven(&world, folder, 2).await;
    assert_eq!(proven.number("pendingCount"), Some(0), "{proven:?}");
    assert_eq!(world.subjects().await, ["b", "d"]);
    deliver(&world, "e");
    world.sandbox.unscript(rule);
    let numbers = Action::Reply(b"* SEARCH 1 2 3\r\n{tag} OK\r\n".to_vec());
    script(&world, SEARCH, When::Always, numbers);
    until_proven(&world, folder, 3).await;
    assert_eq!(world.subjects().await, ["b", "d", "e"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mailboxes_whose_names_cannot_be_told_apart_as_they_are_shown_are_told_apart() {
    let world = with(&[]).await;
    let list = "* LIST () \"/\" INBOX\r\n* LIST () \"/\" {3}\r\na\x01b\r\n\
                * LIST () \"/\" {3}\r\na\x02b\r\n* LIST () \"/\" \"Q&A x\"\r\n\
                * LIST () \"/\" \"Q&-A x\"\r\n* LIST () \"/\" Work\r\n{tag} OK done\r\n";
    script(
        &world,
        Point::ImapCommand(ImapCommand::List),
        When::Always,
        Action::Reply(list.as_bytes().to_vec()),
    );
    let (engine, _) = receiving(&world, json!({})).await;
    let mut names: Vec<_> = vec![];
    while names.len() < 6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let folders = world.list(FOLDERS).await;
        names = folders
            .iter()
            .map(|it| {
                (
                    it.text("mailbox").unwrap_or_default().to_owned(),
                    it.text("name").unwrap().to_owned(),
                )
            })
            .collect();
    }
    names.sort();
    let names: Vec<_> = names.iter().map(|(mailbox, name)| (&**mailbox, &**name)).collect();
    assert_eq!(
        names,
        [
            ("INBOX", "INBOX"),
            ("Q&-A x", "Q&A x"),
            ("Q&A x", "Q&A x (Q&A x)"),
            ("Work", "Work"),
            ("a%01b", "a\u{FFFD}b (a%01b)"),
            ("a%02b", "a\u{FFFD}b (a%02b)"),
        ]
    );
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn renumbered_messages_are_recognised_and_new_ones_are_stored() {
    let world = with(&["a", "b", "c"]).await;
    let (engine, folder) = receiving(&world, json!({})).await;
    until_proven(&world, folder, 3).await;
    let before: Vec<_> = world.list(MESSAGES).await.iter().map(|one| one.id).collect();
    // In turn: another UIDVALIDITY, other UIDs, a backup of before.
    let backup = world.sandbox.look(|state| state.mailbox(ANNA, "INBOX").unwrap().clone());
    let changes: [&dyn Fn(&mut postroom_sandbox::Mailbox); 3] = [
        &|mailbox| mailbox.set_uid_validity(7),
        &|mailbox| mailbox.renumber(8, 1000),
        &|mailbox| mailbox.restore(&backup),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        world.sandbox.edit(|state| change(state.mailbox_mut(ANNA, "INBOX").unwrap()));
        deliver(&world, &format!("new {at}"));
        world.until_messages(4 + at).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(world.subjects().await, ["a", "b", "c", "new 0", "new 1", "new 2"]);
    let after: Vec<_> = world.list(MESSAGES).await.iter().map(|one| one.id).collect();
    assert!(before.iter().all(|id| after.contains(id)), "they are the entities that they were");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_mail_that_comes_after_the_folder_was_enabled_is_loaded_where_it_is_so_wanted() {
    let world = World::new().await;
    let long_ago_ms = world.store.clock().now_ms() - 10 * 86_400_000;
    for subject in ["old 1", "old 2"] {
        let mail = format!("Subject: {subject}\r\n\r\nHello.\r\n").into_bytes();
        let put = |mailbox: &mut postroom_sandbox::Mailbox| {
            mailbox.append(mail.into(), vec![], long_ago_ms);
        };
        world.sandbox.edit(|state| put(state.mailbox_mut(ANNA, "INBOX").unwrap()));
    }
    let options = json!({"options": {"load_existing": false}});
    let (engine, folder) = receiving(&world, options).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    deliver(&world, "new 1");
    world.until_messages(1).await;
    // In another epoch too: what came since the last proof, by day, and nothing that was stored.
    let renumber = |mailbox: &mut postroom_sandbox::Mailbox| mailbox.renumber(9, 500);
    world.sandbox.edit(|state| renumber(state.mailbox_mut(ANNA, "INBOX").unwrap()));
    deliver(&world, "new 2");
    world.until_messages(2).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.subjects().await, ["new 1", "new 2"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_days_is_loaded_in_a_later_epoch_too_where_old_mail_is_not() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    let bring = |subject: &str, days_ago: i64| {
        let mail =
            format!("Message-ID: <{subject}@x.test>\r\nSubject: {subject}\r\n\r\nHello.\r\n");
        let at_ms = world.store.clock().now_ms() - days_ago * 86_400_000;
        let put = |mailbox: &mut postroom_sandbox::Mailbox| {
            mailbox.append(mail.into_bytes().into(), vec![], at_ms)
        };
        world.sandbox.edit(|state| put(state.mailbox_mut(ANNA, "INBOX").unwrap()))
    };
    bring("old", 10);
    let options = json!({"options": {"load_existing": false, "after_read_timeout": 600}});
    let (engine, folder) = receiving(&world, options).await;
    world.until(FOLDERS, folder, |it| it.text("lastProofAt").is_some()).await;
    let cut = Action::End(Ending::Close);
    let uid = bring("waits", 0);
    script(&world, Point::ImapMessage(Some(uid)), When::Always, cut);
    let pending = format!("UID {uid}: the connection ends when it is fetched");
    let is_pending = |it: &Entity| it.number("pendingCount") == Some(1);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.until(FOLDERS, folder, |it| says(it, &pending) && is_pending(it)).await;
    // A later proof, while it is pending.
    tokio::time::advance(DAY * 3).await;
    bring("later", 0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.until(FOLDERS, folder, |it| it.number("storedCount") == Some(1) && is_pending(it)).await;
    // It is pending in the next epoch too.
    script(&world, Point::ImapMessage(Some(501)), When::Always, Action::End(Ending::Close));
    let renumber = |uid_validity, uid_first| {
        let renumber = |it: &mut postroom_sandbox::Mailbox| it.renumber(uid_validity, uid_first);
        world.sandbox.edit(|state| renumber(state.mailbox_mut(ANNA, "INBOX").unwrap()));
    };
    renumber(9, 500);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let is_next = |it: &Entity| it.number("uidValidity") == Some(9) && is_pending(it);
    world.until(FOLDERS, folder, is_next).await;
    renumber(10, 700);
    world.until_messages(2).await;
    assert_eq!(world.subjects().await, ["later", "waits"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_ends_each_connection_keeps_none_of_the_others_back() {
    let world = with(&["a", "b", "c", "d", "e"]).await;
    let cut = Action::End(Ending::Close);
    let rule = script(&world, Point::ImapMessage(Some(3)), When::Always, cut);
    let (engine, folder) = receiving(&world, json!({})).await;
    world.until_messages(4).await;
    assert_eq!(world.subjects().await, ["a", "b", "d", "e"]);
    let pending = "UID 3: the connection ends when it is fetched";
    world.until(FOLDERS, folder, |it| says(it, pending)).await;
    deliver(&world, "f");
    world.until_messages(5).await;
    world.sandbox.unscript(rule);
    until_proven(&world, folder, 6).await;
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_connection_at_the_list_of_mailboxes_delays_no_mail() {
    let world = with(&["first"]).await;
    let (engine, folder) = receiving(&world, json!({"options": {"after_read_timeout": 30}})).await;
    until_proven(&world, folder, 1).await;
    let list = Point::ImapCommand(ImapCommand::List);
    script(&world, list, When::Always, Action::End(Ending::Close));
    // Each time long after the last mail, and at another moment between two attempts.
    for number in 0..12 {
        tokio::time::sleep(Duration::from_secs(1200 + 37 * number)).await;
        deliver(&world, &format!("mail {number}"));
        let began = Instant::now();
        world.until_messages(2 + usize::try_from(number).unwrap()).await;
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(45), "mail {number} waits for {waited:?}");
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_large_message_is_there_by_its_header_alone_and_says_what_to_do() {
    let world = with(&["small"]).await;
    let large = format!("Subject: large\r\n\r\n{}", "x".repeat(5000));
    world.sandbox.deliver(ANNA, "INBOX", large.into_bytes()).unwrap();
    let options = json!({"options": {"message_bytes_max": 2048}});
    let (engine, folder) = receiving(&world, options).await;
    world.until_messages(2).await;
    let messages = world.list(MESSAGES).await;
    let large = messages.iter().find(|one| one.text("subject") == Some("large")).unwrap();
    let is_told = (large.text("messageState"), large.text("errorCode"));
    assert_eq!(is_told, (Some("error"), Some("too_big")));
    let why = large.text("errorText").unwrap();
    assert!(why.contains("5018 bytes, more than `message_bytes_max`"), "{why}");
    assert!(large.get("text").is_null(), "only the header was fetched");
    assert_eq!(lines(&world, "BODY.PEEK[HEADER]"), 1);
    // With a larger limit it comes as a whole, and is the message that it was.
    world.change(FOLDERS, folder, json!({"options": {"message_bytes_max": 1_000_000}})).await;
    let is_whole = |it: &Entity| it.text("messageState") == Some("received");
    let whole = world.until(MESSAGES, large.id, is_whole).await;
    assert!(whole.text("text").is_some() && whole.get("errorCode").is_null(), "{whole:?}");
    assert_eq!(world.list(MESSAGES).await.len(), 2);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_refused_for_a_while_says_so_and_is_read_afterwards() {
    let world = with(&["a"]).await;
    let refusal = Action::tagged("NO [UNAVAILABLE] the disk is away");
    let rule = script(&world, EXAMINE, When::For("INBOX".to_owned()), refusal);
    let (engine, folder) = receiving(&world, json!({})).await;
    let told = world.until(FOLDERS, folder, |it| says(it, "the disk is away")).await;
    assert!(says(&told, "the next try is at"), "{told:?}");
    world.sandbox.unscript(rule);
    until_proven(&world, folder, 1).await;
    engine.stop().await;
}

/// Where nothing is to be changed in it.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_only_one_of_the_two_commands_opens_is_received() {
    for (refused, other) in [(EXAMINE, "SELECT "), (SELECT, "EXAMINE ")] {
        for text in ["NO permission denied", "BAD unknown command"] {
            let world = with(&["a"]).await;
            let rule = script(&world, refused, When::Always, Action::tagged(text));
            let (engine, folder) = receiving(&world, json!({})).await;
            until_proven(&world, folder, 1).await;
            for count in 2..5 {
                deliver(&world, "b");
                until_proven(&world, folder, count).await;
            }
            // The command that works is remembered, also for later connections.
            world.sandbox.hang_up();
            deliver(&world, "c");
            until_proven(&world, folder, 5).await;
            assert!(world.sandbox.acted_count(rule) <= 2, "{text}");
            assert!(lines(&world, other) >= 5, "{text}");
            assert_eq!(lines(&world, "STORE"), 0);
            engine.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailboxid_that_a_server_makes_up_ends_no_epoch() {
    for ids in [MailboxIds::NewEachTime, MailboxIds::AllTheSame, MailboxIds::WrongInStatus] {
        let world = with(&["a", "b"]).await;
        let (engine, folder) = receiving(&world, json!({})).await;
        until_proven(&world, folder, 2).await;
        world.sandbox.edit(|state| state.mailbox_ids = ids);
        tokio::time::sleep(Duration::from_secs(300)).await;
        deliver(&world, "c");
        world.until_messages(3).await;
        // Each message was fetched once: no epoch began anew, again and again.
        let fetches = lines(&world, "BODY.PEEK[])");
        assert!(fetches <= 3, "{ids:?}: {fetches} fetches");
        assert_eq!(world.subjects().await, ["a", "b", "c"], "{ids:?}");
        engine.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_mailbox_under_the_same_name_is_read_anew() {
    let world = with(&["a", "b"]).await;
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    world.sandbox.deliver(ANNA, "Work", b"Subject: old\r\n\r\nHello.\r\n".to_vec()).unwrap();
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    world.monitor("Work", json!({})).await;
    world.until_messages(1).await;
    // It has the UIDVALIDITY, the UID and the size of the one before.
    let before = world.sandbox.look(|state| state.mailbox(ANNA, "Work").unwrap().uid_validity());
    world.sandbox.delete_mailbox(ANNA, "Work").unwrap();
    world.sandbox.create_mailbox(ANNA, "Work").unwrap();
    world.sandbox.set_uid_validity(ANNA, "Work", before).unwrap();
    world.sandbox.deliver(ANNA, "Work", b"Subject: new\r\n\r\nHello.\r\n".to_vec()).unwrap();
    world.until_messages(2).await;
    assert_eq!(world.subjects().await, ["new", "old"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_when_another_goes_is_found_although_uidnext_and_the_count_stay() {
    let world = with(&["a", "b", "c"]).await;
    let (engine, folder) = receiving(&world, json!({})).await;
    until_proven(&world, folder, 3).await;
    let mail = b"Message-ID: <d@x.test>\r\nSubject: d\r\n\r\nHello.\r\n";
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        let uid_next = mailbox.uid_next();
        mailbox.expunge(2).unwrap();
        mailbox.append(mail.to_vec().into(), vec![], 0);
        mailbox.set_uid_next(uid_next);
    });
    let begun = tokio::time::Instant::now();
    world.until_messages(4).await;
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    assert_eq!(world.subjects().await, ["a", "b", "c", "d"]);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn mail_under_the_uid_of_a_recorded_message_that_had_gone_is_found_at_once() {
    let subjects: Vec<_> = (10..50).map(|number| format!("old {number}")).collect();
    let world = with(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (engine, folder) = receiving(&world, json!({})).await;
    until_proven(&world, folder, 40).await;
    // Another client deletes it.
    world.sandbox.edit(|state| state.mailbox_mut(ANNA, "INBOX").unwrap().expunge(15));
    world.until(FOLDERS, folder, |it| it.number("serverCount") == Some(39)).await;
    deliver(&world, "new");
    world.sandbox.edit(|state| {
        let mailbox = state.mailbox_mut(ANNA, "INBOX").unwrap();
        assert!(mailbox.give_uid(41, 15));
        mailbox.set_uid_next(41);
    });
    let began = Instant::now();
    world.until_messages(41).await;
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(world.subjects().await[0], "new");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_years_behind_dates_no_message_so() {
    let world = with(&["a", "b"]).await;
    for (number, date) in [(1, "NIL"), (2, "\"01-Jun-2025 00:10:00 +0000\"")] {
        let act = Action::Message(MessageFault::InternalDate(date.to_owned()));
        script(&world, Point::ImapMessage(Some(number)), When::Always, act);
    }
    world.account(json!({"address": ANNA, "password": PASSWORD})).await;
    let engine = world.start(world.settings()).await;
    // It looks at the time when it begins.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.set_clock_wrong(-3_650 * 86_400_000);
    let folder = world.monitor("INBOX", json!({})).await;
    until_proven(&world, folder, 2).await;
    let mut messages = world.list(MESSAGES).await;
    messages.sort_by_key(|it| it.number("uid"));
    let dated = |it: &Entity| {
        let date_time = it.text("dateTime").unwrap_or_default().get(..10).map(str::to_owned);
        (date_time.unwrap_or_default(), it.text("dateTimeSource").map(str::to_owned))
    };
    let dated: Vec<_> = messages.iter().map(dated).collect();
    let at = |source: &str| ("2025-06-01".to_owned(), Some(source.to_owned()));
    assert_eq!(dated, [at("arrival"), at("internalDate")]);
    engine.stop().await;
}
