//! A second source, in memory and with a numbering of its own, goes the whole way to the store.

mod memory;

use crate::account::Account;
use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::fixture;
use crate::fixture::create;
use crate::receive::Left;
use crate::receive::identity::Over;
use crate::receive::known::Known;
use crate::receive::news::LateMessage;
use crate::receive::receive;
use crate::receive::receive_one;
use crate::receive::turn::Turn;
use crate::receive::watch;
use crate::receiver;
use crate::renamed::Examined;
use crate::report::Reporter;
use crate::report::chain;
use crate::shared::Shared;
use crate::source::contract::MailboxAccess;
use crate::source_error::SourceFailure;
use crate::survey::survey;
use crate::tests::memory::MemorySource;
use postroom_model::ClaimToken;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_store::EntityPlace;
use postroom_store::Failed;
use postroom_store::MailboxEpoch;
use postroom_store::SourceKey;
use postroom_store::WantedClaim;
use postroom_watch::Watched;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A store, an account, and the source of its mail.
struct World {
    shared: Arc<Shared>,
    source: MemorySource,
    known: Known,
    trouble: Arc<fixture::DatabaseTrouble>,
    _directory: tempfile::TempDir,
}

impl World {
    /// With one folder that is monitored.
    async fn new(folder: Json) -> Self {
        let (directory, shared, trouble) = fixture::shared_with_trouble().await;
        let profile = json!({"name": "x", "imapHost": "mail.test", "imapPort": 143});
        let profile = create(&shared.store, builtin::PROFILES, profile).await;
        let account = json!({"address": "anna@x.test", "profile_id": profile.to_string()});
        create(&shared.store, builtin::ACCOUNTS, account).await;
        let (source, known) = (MemorySource::new(), Known::default());
        let mut world = Self { shared, source, known, trouble, _directory: directory };
        let read = world.account().await;
        let mut examined = Examined::default();
        survey(&world.shared, &read, &mut world.source, &mut examined).await.unwrap();
        world.change(folder).await;
        world
    }

    async fn account(&self) -> Account {
        Account::from_row(&self.shared.store.account_list().await.unwrap().remove(0))
    }

    async fn list(&self, class: &'static str) -> Vec<Entity> {
        let class = self.shared.store.builtin(class).unwrap();
        let query = Query { limit: 1000, ..Query::default() };
        self.shared.store.entity_list(&Domain::default_domain(), &class, &query).await.unwrap()
    }

    /// Changes the folder.
    async fn change(&self, values: Json) {
        let folder = self.list(builtin::FOLDERS).await.remove(0);
        let class = self.shared.store.builtin(builtin::FOLDERS).unwrap();
        let domain = Domain::default_domain();
        let place = EntityPlace::new(&domain, &class, folder.id);
        self.shared.store.entity_update(place, values.as_object().unwrap(), None).await.unwrap();
    }

    async fn folder(&self) -> Entity {
        self.list(builtin::FOLDERS).await.remove(0)
    }

    /// Gives the folder a turn.
    async fn receive(&mut self) {
        self.try_receive().await.unwrap();
    }

    /// The same, if it ends without an error.
    async fn try_receive(&mut self) -> Result<(), Error> {
        let account = Arc::new(self.account().await);
        let folder = account.monitored().next().unwrap();
        let owner = Watched::new(Arc::clone(&account));
        let setup = owner.subscribe();
        let others_due = Instant::now() + Duration::from_secs(3600);
        let turn = Turn { setup: &setup, others_due, looks_again: others_due };
        let mailbox = MonitoredMailbox { account: &account, folder };
        // What ends an epoch in the midst of a turn makes another turn necessary.
        for _ in 0..3 {
            let left =
                receive(&self.shared, mailbox, &mut self.source, &mut self.known, &turn).await;
            if left? != Left::More {
                return Ok(());
            }
        }
        panic!("there is no end of it");
    }

    /// The subjects and sizes of what is stored.
    async fn stored(&self) -> Vec<String> {
        let messages = self.list(builtin::MESSAGES).await;
        let mut subjects: Vec<_> =
            messages.iter().map(|one| one.text("subject").unwrap().to_owned()).collect();
        subjects.sort_unstable();
        subjects
    }

    /// The ids of what is stored.
    async fn stored_ids(&self) -> BTreeSet<EntityId> {
        self.list(builtin::MESSAGES).await.iter().map(|one| one.id).collect()
    }

    /// How many messages are recorded in the epoch of now.
    async fn recorded(&self) -> usize {
        self.shared.store.ledger(self.epoch().await).await.unwrap().recorded.len()
    }

    /// The epoch of now.
    async fn epoch(&self) -> MailboxEpoch {
        let folder = self.account().await.folders[0].id;
        self.shared.store.origin(folder).await.unwrap().epoch.unwrap()
    }

    /// Makes all that waits due, as a client does.
    async fn try_now(&self) {
        let (domain, account) = (Domain::default_domain(), self.account().await.id);
        self.shared.store.account_try(&domain, account).await.unwrap();
    }
}

#[tokio::test]
async fn another_source_is_received_and_recognised_under_other_numbers() {
    let mut world = World::new(json!({"enabled": true})).await;
    for (name, text) in [("a", "one"), ("b", "two"), ("c", &"long ".repeat(1000))] {
        world.source.mailbox().put(name, text);
    }
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c"]);
    assert_eq!(world.source.mailbox().access, Some(MailboxAccess::Read));
    let folder = world.folder().await;
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
    assert_eq!(folder.get("storedCount"), &json!(3), "{folder:?}");
    let long = world.list(builtin::MESSAGES).await;
    let long = long.iter().find(|one| one.text("subject") == Some("c")).unwrap();
    assert!(long.text("text").unwrap().contains(&"long ".repeat(900)), "its chunks are whole");
    // Nothing new: nothing is fetched but facts about what is there.
    let requests = world.source.mailbox().requests;
    world.receive().await;
    assert_eq!(world.source.mailbox().requests, requests + 2, "three facts by two at a time");
    // Other numbers: nothing is stored twice, and what came meanwhile is.
    world.source.mailbox().renumber();
    world.source.mailbox().put("d", "four");
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c", "d"]);
    assert_eq!(world.recorded().await, 4);
    assert_eq!(world.folder().await.get("uidValidity"), &json!(2));
}

#[tokio::test]
async fn a_message_that_another_source_deletes_stays_here_and_its_number_is_no_other_message() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "one");
    world.source.mailbox().put("b", "two");
    world.receive().await;
    world.source.mailbox().remove("a");
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b"]);
    let folder = world.folder().await;
    assert_eq!(folder.get("serverCount"), &json!(1), "{folder:?}");
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
    // The number of one message stands for another, and the numbering is said to be the same.
    let before = world.source.mailbox().numbers.remove("b").unwrap();
    world.source.mailbox().remove("b");
    world.source.mailbox().put("c", "three, which is longer");
    world.source.mailbox().numbers.insert("c".to_owned(), before);
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c"]);
    assert_eq!(world.recorded().await, 1, "in an epoch of its own");
}

#[tokio::test]
async fn another_source_deletes_and_marks_what_is_stored_and_nothing_else() {
    let options = json!({"keep_unseen": false});
    let mut world = World::new(json!({"enabled": true, "options": options})).await;
    for name in ["a", "b", "c"] {
        world.source.mailbox().put(name, "text");
    }
    world.receive().await;
    assert!(world.source.mailbox().kept.iter().all(|kept| kept.is_seen));
    // What was stored before stays.
    world.change(json!({"deleteOnServer": true})).await;
    for name in ["d", "e", "f"] {
        world.source.mailbox().put(name, "text");
    }
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a", "b", "c"]);
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c", "d", "e", "f"]);
    let folder = world.folder().await;
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
}

#[tokio::test]
async fn an_action_that_was_withdrawn_is_not_carried_out() {
    let mut world = World::new(json!({"enabled": true, "deleteOnServer": true})).await;
    world.source.mailbox().put("a", "one");
    world.source.mailbox().is_kept = true;
    world.receive().await;
    let folder = world.folder().await;
    assert_eq!(folder.text("statusText"), Some("nothing is deleted today"), "{folder:?}");
    world.source.mailbox().is_kept = false;
    for values in [json!({"deleteOnServer": false}), json!({"deleteOnServer": true})] {
        world.change(values).await;
        // As after a restart: nothing waits because of the failure.
        world.known = Known::default();
        world.receive().await;
        assert_eq!(world.source.mailbox().names(), ["a"], "it was stored before");
    }
}

impl World {
    /// Claims the messages of these subjects and acknowledges them.
    async fn acknowledge(&self, subjects: &[&str]) {
        let (store, domain) = (&self.shared.store, Domain::default_domain());
        let class = store.builtin(builtin::MESSAGES).unwrap();
        let token = ClaimToken::of(store.clock().new_id());
        for message in self.list(builtin::MESSAGES).await {
            if !subjects.contains(&message.text("subject").unwrap()) {
                continue;
            }
            let query = Query::filtered(Filter::of_ids(&[message.id]), 1);
            let (by, lease_ms) = ("worker", 60_000);
            let wanted = WantedClaim { query: &query, token, by, lease_ms, once: None };
            assert_eq!(store.work_claim(&domain, &class, wanted).await.unwrap().len(), 1);
            let place = EntityPlace::new(&domain, &class, message.id);
            store.claim_acknowledge(place, token).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_message_is_deleted_at_the_server_after_a_client_has_acknowledged_it() {
    let options = json!({"delete_after": "acknowledged"});
    let folder = json!({"enabled": true, "deleteOnServer": true, "options": options});
    let mut world = World::new(folder).await;
    for name in ["a", "b", "c"] {
        world.source.mailbox().put(name, "text");
    }
    world.receive().await;
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a", "b", "c"], "nobody has acknowledged any");
    world.acknowledge(&["b"]).await;
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a", "c"]);
    // The server does not delete it now.
    world.source.mailbox().is_kept = true;
    world.acknowledge(&["c"]).await;
    world.receive().await;
    world.source.mailbox().is_kept = false;
    // As after a kill: nothing is known but what is stored.
    world.known = Known::default();
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a"]);
    // What waited before another configuration stays, whoever acknowledges it.
    for options in [json!({}), json!({"delete_after": "acknowledged"})] {
        world.change(json!({"options": options})).await;
        world.receive().await;
    }
    world.acknowledge(&["a"]).await;
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a"]);
    assert_eq!(world.stored().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_was_to_be_deleted_without_an_acknowledgement_stays_once_it_needs_one() {
    let mut world = World::new(json!({"enabled": true, "deleteOnServer": true})).await;
    world.source.mailbox().put("a", "text");
    world.source.mailbox().is_kept = true;
    world.receive().await;
    world.source.mailbox().is_kept = false;
    world.change(json!({"options": {"delete_after": "acknowledged"}})).await;
    world.known = Known::default();
    world.receive().await;
    assert_eq!(world.source.mailbox().names(), ["a"]);
}

#[tokio::test]
async fn a_message_that_another_source_refuses_stays_pending_and_costs_no_other() {
    let mut world = World::new(json!({"enabled": true})).await;
    for name in ["a", "b", "c", "d", "e"] {
        world.source.mailbox().put(name, "text");
    }
    let refused = SourceFailure::Refused { is_about_account: false, is_lasting: false };
    world.source.mailbox().bad = Some(("b", refused));
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "c", "d", "e"]);
    let folder = world.folder().await;
    assert_eq!(folder.get("pendingCount"), &json!(1), "{folder:?}");
    let text = folder.text("statusText").unwrap_or_default();
    assert!(text.contains("the page is torn"), "{text}");
}

#[tokio::test]
async fn a_stored_message_under_a_number_that_was_never_fetched_is_not_stored_again() {
    // It comes in the first portion or in a later one, and the other message was stored before this
    // poll or in it.
    for (others, is_before) in [(0, true), (9, true), (9, false)] {
        let options = json!({"portion_limit": 2});
        let mut world = World::new(json!({"enabled": true, "options": options})).await;
        world.source.mailbox().put("a", "one");
        if is_before {
            world.receive().await;
        }
        let first = world.stored_ids().await;
        let names: Vec<_> = (0..others).map(|number| format!("other {number}")).collect();
        names.iter().for_each(|name| world.source.mailbox().put(name, "text"));
        world.source.mailbox().put("b", "two");
        world.source.mailbox().swapped = Some(["a", "b"]);
        world.receive().await;
        assert_eq!(world.source.mailbox().swapped, None);
        let mut want = vec!["a".to_owned(), "b".to_owned()];
        want.extend(names);
        want.sort_unstable();
        assert_eq!(world.stored().await, want);
        assert_eq!(world.recorded().await, 2 + others);
        assert!(world.stored_ids().await.is_superset(&first), "it is the entity that it was");
        let folder = world.folder().await;
        assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
    }
}

#[tokio::test]
async fn each_copy_of_a_message_is_stored() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "one");
    world.receive().await;
    world.source.mailbox().copy("a", "beside it");
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "a"]);
    for name in ["third", "fourth", "fifth"] {
        world.source.mailbox().copy("a", name);
    }
    world.receive().await;
    assert_eq!(world.stored().await, ["a"; 5]);
    // It is moved away and back: nothing shows that it is the same.
    world.source.mailbox().remove("a");
    world.source.mailbox().copy("fifth", "back");
    world.receive().await;
    assert_eq!(world.stored().await, ["a"; 6]);
    // All of them under other numbers are as many as before.
    world.source.mailbox().renumber();
    world.receive().await;
    assert_eq!((world.stored().await.len(), world.recorded().await), (6, 5));
}

#[tokio::test]
async fn a_message_under_a_number_below_all_others_is_the_stored_one() {
    let mut world = World::new(json!({"enabled": true})).await;
    for name in ["a", "b"] {
        world.source.mailbox().put(name, "text");
    }
    world.receive().await;
    let before = world.stored_ids().await;
    world.source.mailbox().numbers.insert("a".to_owned(), 50);
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b"]);
    assert_eq!((world.stored_ids().await, world.recorded().await), (before, 2));
    // Other bytes under such a number are a message that was not there before.
    world.source.mailbox().put("c", "new");
    world.source.mailbox().numbers.insert("c".to_owned(), 60);
    world.receive().await;
    assert_eq!(
        (world.stored().await, world.recorded().await),
        (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 3)
    );
    // A number that was there is no such number: the message was fetched late.
    let refused = SourceFailure::Refused { is_about_account: false, is_lasting: false };
    world.source.mailbox().put("d", "late");
    world.source.mailbox().bad = Some(("d", refused));
    world.receive().await;
    world.source.mailbox().bad = None;
    world.source.mailbox().copy("d", "e");
    world.receive().await;
    world.source.mailbox().remove("e");
    world.known.retry_ms = Some(0);
    world.try_now().await;
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c", "d", "d"], "each of two copies is stored");
}

#[tokio::test]
async fn two_messages_that_change_their_numbers_in_a_quiet_mailbox_are_noticed() {
    let mut world = World::new(json!({"enabled": true})).await;
    for (name, text) in [("a", "one"), ("b", "two and more")] {
        world.source.mailbox().put(name, text);
    }
    world.receive().await;
    let (before, epoch) = (world.stored_ids().await, world.epoch().await);
    world.receive().await;
    assert_eq!(world.epoch().await, epoch, "nothing has changed");
    world.source.mailbox().swap(["a", "b"]);
    world.receive().await;
    assert_ne!(world.epoch().await, epoch, "neither the count nor the next number tells of it");
    assert_eq!((world.stored_ids().await, world.recorded().await), (before, 2));
}

#[tokio::test]
async fn an_empty_list_of_mailboxes_is_a_fault_of_the_source_and_changes_no_folder() {
    let mut world = World::new(json!({"enabled": true})).await;
    let before = world.folder().await;
    world.source.mailbox().is_unlisted = true;
    let account = world.account().await;
    let mut examined = Examined::default();
    let surveyed = survey(&world.shared, &account, &mut world.source, &mut examined).await;
    assert!(matches!(surveyed, Err(Error::NoMailbox)));
    assert_eq!(world.folder().await, before);
}

#[tokio::test]
async fn a_copy_waits_while_the_source_does_not_show_the_other_one_and_is_stored_in_the_end() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "one");
    world.receive().await;
    world.source.mailbox().copy("a", "beside it");
    world.source.mailbox().hidden = Some("a");
    world.receive().await;
    assert_eq!(world.stored().await, ["a"]);
    let folder = world.folder().await;
    assert_eq!(folder.get("pendingCount"), &json!(1), "{folder:?}");
    let text = folder.text("statusText").unwrap_or_default();
    assert!(text.contains("the same bytes as UID"), "{text}");
    for tries in 2..=4 {
        let ledger = world.shared.store.ledger(world.epoch().await).await.unwrap();
        assert_eq!(ledger.pending[0].attempts, tries - 1);
        world.try_now().await;
        world.known = Known::default();
        world.receive().await;
    }
    assert_eq!(world.stored().await, ["a", "a"]);
}

#[tokio::test]
async fn a_late_message_of_an_epoch_that_is_over_is_not_recorded_beside_the_same_one_of_the_next() {
    let mut world = World::new(json!({"enabled": true})).await;
    for name in ["a", "b"] {
        world.source.mailbox().put(name, "text");
    }
    world.receive().await;
    world.source.mailbox().put("c", "late");
    let account = Arc::new(world.account().await);
    let folder = account.monitored().next().unwrap();
    let mailbox = MonitoredMailbox { account: &account, folder };
    let mut known = Known::default();
    let news = watch::watch(&world.shared, mailbox, &mut world.source, &mut known).await;
    let news = news.unwrap().unwrap();
    let key = SourceKey::of_uid(world.source.mailbox().numbers["c"]);
    let late = LateMessage { folder: folder.id, key, news };
    // Meanwhile the index is made anew, and all messages are received in another epoch.
    world.source.mailbox().swap(["a", "b"]);
    world.receive().await;
    assert_eq!((world.stored().await.len(), world.recorded().await), (3, 3));
    let owner = Watched::new(Arc::clone(&account));
    let setup = owner.subscribe();
    let later = Instant::now() + Duration::from_secs(3600);
    let turn = Turn { setup: &setup, others_due: later, looks_again: later };
    let done = receive_one(&world.shared, mailbox, &mut world.source, &late, &turn).await;
    let over = Failed::EpochOver.to_string();
    assert!(done.is_err_and(|error| chain(&error).contains(&over)), "it says why");
    assert_eq!(world.stored().await, ["a", "b", "c"]);
    assert_eq!(world.recorded().await, 3);
}

#[tokio::test]
async fn a_late_message_is_not_fetched_while_the_configuration_has_changed_and_stays_pending() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "late");
    let account = Arc::new(world.account().await);
    let folder = account.monitored().next().unwrap();
    let mailbox = MonitoredMailbox { account: &account, folder };
    let news = watch::watch(&world.shared, mailbox, &mut world.source, &mut world.known).await;
    let key = SourceKey::of_uid(world.source.mailbox().numbers["a"]);
    let late = LateMessage { folder: folder.id, key, news: news.unwrap().unwrap() };
    let owner = Watched::new(Arc::clone(&account));
    let setup = owner.subscribe();
    owner.send_replace(Arc::clone(&account));
    let later = Instant::now() + Duration::from_secs(3600);
    let turn = Turn { setup: &setup, others_due: later, looks_again: later };
    let done = receive_one(&world.shared, mailbox, &mut world.source, &late, &turn).await;
    assert!(!done.unwrap().is_recorded);
    // It comes in the next turn.
    world.known = Known::default();
    world.receive().await;
    assert_eq!(world.stored().await, ["a"]);
}

#[tokio::test]
async fn an_epoch_of_which_nobody_knows_whether_it_began_begins_once() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "one");
    world.receive().await;
    let first = world.epoch().await;
    world.source.mailbox().renumber();
    world.trouble.loses_answer.store(true, Ordering::Relaxed);
    assert!(world.try_receive().await.is_err(), "the answer was lost");
    let second = world.epoch().await;
    assert_eq!(second.number, first.number + 1, "it began all the same");
    // The end of the first epoch is found again, and is not the end of the second.
    world.known.end(first, Over::Back { key: SourceKey::of_uid(1) });
    world.receive().await;
    assert_eq!(world.epoch().await, second);
    assert_eq!((world.stored().await.len(), world.recorded().await), (1, 1));
}

#[tokio::test]
async fn the_end_of_an_epoch_is_remembered_until_the_next_one_begins() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.mailbox().put("a", "one");
    world.receive().await;
    let first = world.epoch().await;
    world.known.end(first, Over::Back { key: SourceKey::of_uid(1) });
    world.source.mailbox().is_cut = true;
    assert!(world.try_receive().await.is_err(), "the connection has ended");
    world.source.mailbox().is_cut = false;
    world.receive().await;
    assert_eq!(world.epoch().await.number, first.number + 1);
    world.receive().await;
    assert_eq!(world.epoch().await.number, first.number + 1, "once");
}

/// Waits until so many messages are stored.
async fn wait_for_stored(world: &World, count: usize) {
    let all = async {
        while world.stored().await.len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("they are received");
}

/// Waits until the account shows a text.
async fn wait_for_text(world: &World, text: &str) {
    let is_shown = async || {
        let account = world.list(builtin::ACCOUNTS).await.remove(0);
        account.text("statusText").is_some_and(|shown| shown.contains(text))
    };
    let shown = async {
        while !is_shown().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shown).await.expect("it is shown");
}

#[tokio::test]
async fn the_task_of_an_account_works_hears_and_connects_again_with_another_source() {
    let options = json!({"after_read_timeout": 3600});
    let world = World::new(json!({"enabled": true, "options": options})).await;
    world.source.mailbox().put("a", "one");
    let account = Arc::new(world.account().await);
    let reporter = Arc::new(Reporter::new(&world.shared.store, &account));
    let owner = Watched::new(account);
    let setup = owner.subscribe();
    let (connector, shared) = (world.source.clone(), Arc::clone(&world.shared));
    let task = tokio::spawn(receiver::run(connector, shared, reporter, setup));
    wait_for_stored(&world, 1).await;
    // The next poll is due in an hour, unless the source says that there is more.
    world.source.mailbox().put("b", "two");
    world.source.say("the cellar is under water");
    wait_for_stored(&world, 2).await;
    assert_eq!(world.source.mailbox().connections, 1);
    wait_for_text(&world, "the cellar is under water").await;
    world.source.mailbox().is_cut = true;
    world.source.mailbox().put("c", "three");
    world.source.say("the cellar is dry");
    wait_for_stored(&world, 3).await;
    assert_eq!(world.source.mailbox().connections, 2);
    drop(owner);
    task.await.unwrap();
}

#[tokio::test]
async fn what_ends_connections_of_another_source_and_its_refused_login_have_their_meaning() {
    let world = World::new(json!({"enabled": true})).await;
    for name in ["a", "b", "c"] {
        world.source.mailbox().put(name, "text");
    }
    world.source.mailbox().bad = Some(("a", SourceFailure::Ended));
    let account = Arc::new(world.account().await);
    let reporter = Arc::new(Reporter::new(&world.shared.store, &account));
    let setup = Watched::new(account);
    let (connector, shared) = (world.source.clone(), Arc::clone(&world.shared));
    let task = tokio::spawn(receiver::run(connector, shared, reporter, setup.subscribe()));
    wait_for_stored(&world, 2).await;
    assert_eq!(world.stored().await, ["b", "c"], "the bad one comes last, and alone");
    world.source.mailbox().is_locked = true;
    world.source.mailbox().is_cut = true;
    world.source.say("");
    wait_for_text(&world, "the door is locked; check login and password").await;
    let account = world.list(builtin::ACCOUNTS).await.remove(0);
    assert_eq!(account.text("state"), Some("failed"));
    drop(setup);
    task.await.unwrap();
}
