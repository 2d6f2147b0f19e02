//! A second source, in memory and with a numbering of its own, goes the whole way to the store.

use crate::account::Account;
use crate::error::Error;
use crate::receive::Left;
use crate::receive::known::Known;
use crate::receive::mailbox::MonitoredMailbox;
use crate::receive::receive;
use crate::receive::turn::Turn;
use crate::renamed::Examined;
use crate::settings::Dialing;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::source::contract::Deletion;
use crate::source::contract::ListRange;
use crate::source::contract::ListedMailbox;
use crate::source::contract::ListedMailboxes;
use crate::source::contract::MailboxAccess;
use crate::source::contract::MessageStream;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::Source;
use crate::source::listing::MailboxListing;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use crate::survey::survey;
use bytes::Bytes;
use postroom_imap::MailboxName;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Query;
use postroom_model::builtin;
use postroom_model::validate;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Clock;
use postroom_store::EntityPlace;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::NewEntity;
use postroom_store::SourceKey;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A message of more bytes is given in chunks.
const CHUNKS_FROM: usize = 1000;
/// How many messages one request takes.
const REQUEST_MAX: usize = 2;

/// A message as the source keeps it: its name is a text, which never reaches the engine.
#[derive(Debug, Clone)]
struct Kept {
    name: String,
    bytes: Bytes,
    is_seen: bool,
}

/// One mailbox in memory.
#[derive(Debug)]
struct MemorySource {
    mailbox: MailboxName,
    kept: Vec<Kept>,
    /// The numbers that were given to the names.
    numbers: BTreeMap<String, u64>,
    /// It is replaced when the numbers are given anew.
    numbering: u64,
    access: Option<MailboxAccess>,
    requests: u32,
}

struct MemoryMessages(VecDeque<MessageEvent>);

impl MemorySource {
    fn new() -> Self {
        Self {
            mailbox: MailboxName::from_display("letters"),
            kept: vec![],
            numbers: BTreeMap::new(),
            numbering: 1,
            access: None,
            requests: 0,
        }
    }

    fn put(&mut self, name: &str, text: &str) {
        let bytes = format!("Message-ID: <{name}@x.test>\r\nSubject: {name}\r\n\r\n{text}\r\n");
        self.kept.push(Kept { name: name.to_owned(), bytes: bytes.into(), is_seen: false });
    }

    fn remove(&mut self, name: &str) {
        self.kept.retain(|kept| kept.name != name);
    }

    /// Forgets all numbers. The next ones are others.
    fn renumber(&mut self) {
        self.numbers.clear();
        self.numbering += 1;
    }

    fn names(&self) -> Vec<&str> {
        self.kept.iter().map(|kept| kept.name.as_str()).collect()
    }

    fn next_number(&self) -> u64 {
        let given = self.numbers.values().max().copied();
        given.unwrap_or(100 * self.numbering) + 7
    }

    /// Numbers what is new, in the order in which it is found.
    fn number(&mut self) {
        for kept in self.kept.clone() {
            let next = self.next_number();
            self.numbers.entry(kept.name).or_insert(next);
        }
    }

    fn key(&self, kept: &Kept) -> SourceKey {
        SourceKey::of_uid(self.numbers[&kept.name])
    }

    fn given(&self, kept: &Kept, scope: FetchScope<Infallible>) -> Vec<MessageEvent> {
        let end = kept.bytes.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
        let mut message = SourceMessage {
            key: self.key(kept),
            flags: if kept.is_seen { vec!["\\Seen".to_owned()] } else { vec![] },
            internal_date_ms: Some(1_748_736_000_000),
            size_bytes: Some(kept.bytes.len() as u64),
            ..SourceMessage::default()
        };
        match scope {
            FetchScope::Whole | FetchScope::UpTo(_) if kept.bytes.len() > CHUNKS_FROM => {
                message.body = SourceBody::Streamed;
                let chunks = kept.bytes.chunks(300).map(Bytes::copy_from_slice);
                let mut events = vec![MessageEvent::Begin];
                events.extend(chunks.map(MessageEvent::Chunk));
                events.push(MessageEvent::Message(message));
                return events;
            }
            FetchScope::Whole | FetchScope::UpTo(_) => {
                message.body = SourceBody::Bytes(kept.bytes.clone());
            }
            FetchScope::Header | FetchScope::Witness => {
                message.header = Some(kept.bytes.slice(..end + 4));
            }
            FetchScope::Sizes => {}
            FetchScope::Form(never) => match never {},
        }
        vec![MessageEvent::Message(message)]
    }
}

impl Source for MemorySource {
    type Form = Infallible;
    type Messages<'a> = MemoryMessages;

    fn requests(keys: &[SourceKey]) -> Vec<Vec<SourceKey>> {
        keys.chunks(REQUEST_MAX).map(<[SourceKey]>::to_vec).collect()
    }

    async fn survey(&mut self) -> Result<ListedMailboxes, Error> {
        let listed = ListedMailbox {
            name: self.mailbox.clone(),
            display: "letters".to_owned(),
            delimiter: None,
            attributes: vec![],
            special_use: None,
            is_selectable: true,
        };
        Ok(ListedMailboxes { listed: vec![listed], over_count: 0, is_whole: true })
    }

    async fn open(
        &mut self,
        mailbox: &MailboxName,
        access: MailboxAccess,
    ) -> Result<OpenedMailbox, Error> {
        assert_eq!(*mailbox, self.mailbox);
        self.access = Some(access);
        self.number();
        Ok(OpenedMailbox {
            uid_validity: self.numbering,
            uid_next: Some(self.next_number()),
            mailbox_id: None,
            count: Some(self.kept.len() as u64),
        })
    }

    async fn list(&mut self, range: ListRange<'_>) -> Result<MailboxListing, Error> {
        let mut keys: Vec<_> = self.kept.iter().map(|kept| self.key(kept)).collect();
        keys.sort_unstable();
        if let ListRange::Among(some) = range {
            keys.retain(|key| some.contains(key));
        }
        let counted = Some(self.kept.len() as u64);
        Ok(MailboxListing { keys, unusable: 0, counted })
    }

    async fn fetch(
        &mut self,
        keys: &[SourceKey],
        scope: FetchScope<Infallible>,
    ) -> Result<MemoryMessages, Error> {
        assert!(keys.len() <= REQUEST_MAX, "{keys:?}");
        self.requests += 1;
        let wanted = self.kept.iter().filter(|kept| keys.contains(&self.key(kept)));
        Ok(MemoryMessages(wanted.flat_map(|kept| self.given(kept, scope)).collect()))
    }

    fn other_forms(&self, _place: Option<u32>) -> Vec<Infallible> {
        vec![]
    }

    async fn mark_seen(&mut self, keys: &[SourceKey]) -> Result<(), Error> {
        assert_eq!(self.access, Some(MailboxAccess::Change));
        for at in 0..self.kept.len() {
            let is_one = keys.contains(&self.key(&self.kept[at]));
            self.kept[at].is_seen |= is_one;
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        keys: &[SourceKey],
        _earlier: &BTreeSet<SourceKey>,
    ) -> Result<Deletion, Error> {
        assert_eq!(self.access, Some(MailboxAccess::Change));
        assert!(keys.len() <= REQUEST_MAX, "{keys:?}");
        let numbers = self.numbers.clone();
        self.kept.retain(|kept| !keys.contains(&SourceKey::of_uid(numbers[&kept.name])));
        Ok(Deletion::Agreed(keys.to_vec()))
    }
}

impl MessageStream for MemoryMessages {
    async fn next(&mut self) -> Result<Option<MessageEvent>, Error> {
        Ok(self.0.pop_front())
    }
}

/// A store, an account, and the source of its mail.
struct World {
    shared: Arc<Shared>,
    source: MemorySource,
    known: Known,
    _directory: tempfile::TempDir,
}

impl World {
    /// With one folder that is monitored.
    async fn new(folder: Json) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let key = MasterKey::in_directory(directory.path()).unwrap();
        let database = SqliteDirectory::open(directory.path(), 1, clock.clone()).unwrap();
        let classes = builtin::classes().unwrap();
        let config =
            StoreConfig { key, classes, clock, work: Work::Threads, member: Member::alone() };
        let store = Store::open(database, &config).await.unwrap();
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let dialing = Dialing { dialer, ehlo_name: "x.test".to_owned() };
        let settings = Settings::new(dialing, directory.path().join("spool"));
        let shared = Shared::new(store, settings).await.unwrap();
        let profile = json!({"name": "x", "imapHost": "mail.test", "imapPort": 143});
        let profile = create(&shared, builtin::PROFILES, profile).await;
        let account = json!({"address": "anna@x.test", "profile_id": profile.to_string()});
        create(&shared, builtin::ACCOUNTS, account).await;
        let (source, known) = (MemorySource::new(), Known::default());
        let mut world = Self { shared, source, known, _directory: directory };
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
        let account = Arc::new(self.account().await);
        let folder = account.monitored().next().unwrap();
        let (_sender, setup) = watch::channel(Arc::clone(&account));
        let others_due = Instant::now() + Duration::from_secs(3600);
        let turn = Turn { setup: &setup, others_due };
        let mailbox = MonitoredMailbox { account: &account, folder };
        // What ends an epoch in the midst of a turn makes another turn necessary.
        for _ in 0..3 {
            let left =
                receive(&self.shared, mailbox, &mut self.source, &mut self.known, &turn).await;
            if left.unwrap() != Left::More {
                return;
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

    /// How many messages are recorded in the epoch of now.
    async fn recorded(&self) -> usize {
        let folder = self.account().await.folders[0].id;
        let origin = self.shared.store.origin(folder).await.unwrap();
        self.shared.store.ledger(origin.epoch.unwrap()).await.unwrap().recorded.len()
    }
}

async fn create(shared: &Shared, class: &'static str, values: Json) -> EntityId {
    let class = shared.store.builtin(class).unwrap();
    let checked = validate::create(&class, &values).unwrap();
    let id = shared.store.clock().new_id();
    let new = NewEntity { entity: Entity::new(id, checked.properties), files: vec![] };
    shared.store.entity_create(&Domain::default_domain(), &class, vec![new]).await.unwrap();
    id
}

#[tokio::test]
async fn another_source_is_received_and_recognised_under_other_numbers() {
    let mut world = World::new(json!({"enabled": true})).await;
    for (name, text) in [("a", "one"), ("b", "two"), ("c", &"long ".repeat(1000))] {
        world.source.put(name, text);
    }
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c"]);
    assert_eq!(world.source.access, Some(MailboxAccess::Read));
    let folder = world.folder().await;
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
    assert_eq!(folder.get("storedCount"), &json!(3), "{folder:?}");
    let long = world.list(builtin::MESSAGES).await;
    let long = long.iter().find(|one| one.text("subject") == Some("c")).unwrap();
    assert!(long.text("text").unwrap().contains(&"long ".repeat(900)), "its chunks are whole");
    // Nothing new: nothing is fetched but facts about what is there.
    let requests = world.source.requests;
    world.receive().await;
    assert_eq!(world.source.requests, requests + 2, "three facts by two at a time");
    // Other numbers: nothing is stored twice, and what came meanwhile is.
    world.source.renumber();
    world.source.put("d", "four");
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c", "d"]);
    assert_eq!(world.recorded().await, 4);
    assert_eq!(world.folder().await.get("uidValidity"), &json!(2));
}

#[tokio::test]
async fn a_message_that_another_source_deletes_stays_here_and_its_number_is_no_other_message() {
    let mut world = World::new(json!({"enabled": true})).await;
    world.source.put("a", "one");
    world.source.put("b", "two");
    world.receive().await;
    world.source.remove("a");
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b"]);
    let folder = world.folder().await;
    assert_eq!(folder.get("serverCount"), &json!(1), "{folder:?}");
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
    // The number of one message stands for another, and the numbering is said to be the same.
    let before = world.source.numbers.remove("b").unwrap();
    world.source.remove("b");
    world.source.put("c", "three, which is longer");
    world.source.numbers.insert("c".to_owned(), before);
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c"]);
    assert_eq!(world.recorded().await, 1, "in an epoch of its own");
}

#[tokio::test]
async fn another_source_deletes_and_marks_what_is_stored_and_nothing_else() {
    let options = json!({"keep_unseen": false});
    let mut world = World::new(json!({"enabled": true, "options": options})).await;
    for name in ["a", "b", "c"] {
        world.source.put(name, "text");
    }
    world.receive().await;
    assert!(world.source.kept.iter().all(|kept| kept.is_seen));
    // What was stored before stays.
    world.change(json!({"deleteOnServer": true})).await;
    for name in ["d", "e", "f"] {
        world.source.put(name, "text");
    }
    world.receive().await;
    assert_eq!(world.source.names(), ["a", "b", "c"]);
    world.receive().await;
    assert_eq!(world.stored().await, ["a", "b", "c", "d", "e", "f"]);
    let folder = world.folder().await;
    assert_eq!(folder.text("statusText").unwrap_or_default(), "", "{folder:?}");
}
