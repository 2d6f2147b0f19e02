//! A source in memory that calls its messages by texts and numbers them itself.

use crate::account::Account;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Connector;
use crate::source::contract::Deletion;
use crate::source::contract::ListRange;
use crate::source::contract::ListedMailbox;
use crate::source::contract::ListedMailboxes;
use crate::source::contract::MailboxAccess;
use crate::source::contract::MessageStream;
use crate::source::contract::OpenedMailbox;
use crate::source::contract::SaidUnasked;
use crate::source::contract::Source;
use crate::source::contract::Waits;
use crate::source::listing::MailboxListing;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceBody;
use crate::source::message::SourceMessage;
use crate::source_error::Remedy;
use crate::source_error::SourceError;
use crate::source_error::SourceFailure;
use crate::source_error::SourceMeaning;
use bytes::Bytes;
use postroom_imap::MailboxName;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use tokio::sync::Notify;

/// A message of more bytes is given in chunks.
const CHUNKS_FROM: usize = 1000;
/// How many messages one request takes.
const REQUEST_MAX: usize = 2;

/// A message as the source keeps it: its name is a text, which never reaches the engine.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    name: String,
    bytes: Bytes,
    pub is_seen: bool,
}

/// One mailbox in memory.
#[derive(Debug)]
pub(crate) struct MemoryMailbox {
    mailbox: MailboxName,
    pub kept: Vec<Kept>,
    /// The numbers that were given to the names.
    pub numbers: BTreeMap<String, u64>,
    /// It is replaced when the numbers are given anew.
    numbering: u64,
    pub access: Option<MailboxAccess>,
    pub requests: u32,
    /// How many connections to it were made.
    pub connections: u32,
    /// What its connection says next.
    heard: SaidUnasked,
    /// Whether its connection has ended.
    pub is_cut: bool,
    /// Whether it keeps what it is to delete, and says so.
    pub is_kept: bool,
    /// The message that is not given, and what that means.
    pub bad: Option<(&'static str, SourceFailure)>,
    /// The message that is listed, and of which nothing is given.
    pub hidden: Option<&'static str>,
    /// Messages that get the numbers of each other when that of the second is asked for.
    pub swapped: Option<[&'static str; 2]>,
    /// Whether the list of mailboxes lacks it.
    pub is_unlisted: bool,
    /// Whether it refuses the login.
    pub is_locked: bool,
}

/// An error of the source.
fn error(text: &str, failure: SourceFailure, remedy: Option<Remedy>) -> Error {
    let meaning = SourceMeaning { failure, remedy, advice: None, wait: None };
    Error::Source(SourceError::new(io::Error::other(text.to_owned()), meaning))
}

/// A connection to a mailbox in memory. Clones are of the same mailbox.
#[derive(Debug, Clone)]
pub(crate) struct MemorySource {
    mailbox: Arc<Mutex<MemoryMailbox>>,
    says: Arc<Notify>,
}

pub(crate) struct MemoryMessages(VecDeque<MessageEvent>);

impl MemorySource {
    pub(crate) fn new() -> Self {
        Self { mailbox: Arc::new(Mutex::new(MemoryMailbox::new())), says: Arc::default() }
    }

    pub(crate) fn mailbox(&self) -> MutexGuard<'_, MemoryMailbox> {
        self.mailbox.lock().unwrap()
    }

    /// Says without being asked that there is more.
    pub(crate) fn say(&self, alert: &str) {
        let mut mailbox = self.mailbox();
        let alerts = vec![alert.to_owned()];
        mailbox.heard = SaidUnasked { grown: vec![mailbox.mailbox.clone()], alerts };
        self.says.notify_one();
    }
}

impl MemoryMailbox {
    fn new() -> Self {
        Self {
            mailbox: MailboxName::from_display("letters"),
            kept: vec![],
            numbers: BTreeMap::new(),
            numbering: 1,
            access: None,
            requests: 0,
            connections: 0,
            heard: SaidUnasked::default(),
            is_cut: false,
            is_kept: false,
            bad: None,
            hidden: None,
            swapped: None,
            is_unlisted: false,
            is_locked: false,
        }
    }

    pub(crate) fn put(&mut self, name: &str, text: &str) {
        let bytes = format!("Message-ID: <{name}@x.test>\r\nSubject: {name}\r\n\r\n{text}\r\n");
        self.kept.push(Kept { name: name.to_owned(), bytes: bytes.into(), is_seen: false });
    }

    /// Puts a copy of a message beside it.
    pub(crate) fn copy(&mut self, of: &str, name: &str) {
        let kept = self.kept.iter().find(|kept| kept.name == of).unwrap().clone();
        self.kept.push(Kept { name: name.to_owned(), ..kept });
    }

    /// The index is made anew: two messages get the numbers of each other.
    pub(crate) fn swap(&mut self, [one, other]: [&str; 2]) {
        let (first, second) = (self.numbers[one], self.numbers[other]);
        self.numbers.insert(one.to_owned(), second);
        self.numbers.insert(other.to_owned(), first);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.kept.retain(|kept| kept.name != name);
    }

    /// Forgets all numbers. The next ones are others.
    pub(crate) fn renumber(&mut self) {
        self.numbers.clear();
        self.numbering += 1;
    }

    pub(crate) fn names(&self) -> Vec<&str> {
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

impl Connector for MemorySource {
    type Source = Self;

    async fn connect(&self, _: &Shared, _: &Account, _: Waits) -> Result<Self, Error> {
        let mut mailbox = self.mailbox();
        mailbox.connections += 1;
        mailbox.is_cut = false;
        if mailbox.is_locked {
            return Err(error("the door is locked", SourceFailure::Ended, Some(Remedy::Login)));
        }
        Ok(self.clone())
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
            name: self.mailbox().mailbox.clone(),
            display: "letters".to_owned(),
            delimiter: None,
            attributes: vec![],
            special_use: None,
            is_selectable: true,
        };
        let listed = if self.mailbox().is_unlisted { vec![] } else { vec![listed] };
        Ok(ListedMailboxes { listed, over_count: 0, is_whole: true })
    }

    async fn open(
        &mut self,
        mailbox: &MailboxName,
        access: MailboxAccess,
    ) -> Result<OpenedMailbox, Error> {
        let mut open = self.mailbox();
        assert_eq!(*mailbox, open.mailbox);
        open.access = Some(access);
        open.number();
        Ok(OpenedMailbox {
            uid_validity: open.numbering,
            uid_next: Some(open.next_number()),
            mailbox_id: None,
            count: Some(open.kept.len() as u64),
        })
    }

    async fn list(&mut self, range: ListRange<'_>) -> Result<MailboxListing, Error> {
        let open = self.mailbox();
        if open.is_cut {
            return Err(error("the line is cut", SourceFailure::Ended, None));
        }
        let mut keys: Vec<_> = open.kept.iter().map(|kept| open.key(kept)).collect();
        keys.sort_unstable();
        if let ListRange::Among(some) = range {
            keys.retain(|key| some.contains(key));
        }
        let counted = Some(open.kept.len() as u64);
        Ok(MailboxListing { keys, counted, ..MailboxListing::default() })
    }

    async fn fetch(
        &mut self,
        keys: &[SourceKey],
        scope: FetchScope<Infallible>,
    ) -> Result<MemoryMessages, Error> {
        assert!(keys.len() <= REQUEST_MAX, "{keys:?}");
        let mut open = self.mailbox();
        open.requests += 1;
        if let (FetchScope::Whole, Some(two @ [_, second])) = (scope, open.swapped)
            && keys.contains(&SourceKey::of_uid(open.numbers[second]))
        {
            open.swapped = None;
            open.swap(two);
        }
        let is_bad =
            |name| open.kept.iter().any(|it| it.name == name && keys.contains(&open.key(it)));
        if let (Some((name, failure)), FetchScope::Whole) = (open.bad, scope)
            && is_bad(name)
        {
            return Err(error("the page is torn", failure, None));
        }
        let is_hidden = |kept: &Kept| open.hidden == Some(kept.name.as_str());
        let given = open.kept.iter().filter(|kept| !is_hidden(kept));
        let wanted = given.filter(|kept| keys.contains(&open.key(kept)));
        Ok(MemoryMessages(wanted.flat_map(|kept| open.given(kept, scope)).collect()))
    }

    fn other_forms(&self, _place: Option<u32>, _is_refused: bool) -> Vec<Infallible> {
        vec![]
    }

    async fn mark_seen(&mut self, keys: &[SourceKey]) -> Result<(), Error> {
        let mut open = self.mailbox();
        assert_eq!(open.access, Some(MailboxAccess::Change));
        for at in 0..open.kept.len() {
            let is_one = keys.contains(&open.key(&open.kept[at]));
            open.kept[at].is_seen |= is_one;
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        keys: &[SourceKey],
        _earlier: &BTreeSet<SourceKey>,
    ) -> Result<Deletion, Error> {
        let mut open = self.mailbox();
        assert_eq!(open.access, Some(MailboxAccess::Change));
        assert!(keys.len() <= REQUEST_MAX, "{keys:?}");
        if open.is_kept {
            return Ok(Deletion::Kept("nothing is deleted today".to_owned()));
        }
        let numbers = open.numbers.clone();
        open.kept.retain(|kept| !keys.contains(&SourceKey::of_uid(numbers[&kept.name])));
        Ok(Deletion::Agreed(keys.to_vec()))
    }

    async fn listen(&mut self) {
        self.says.notified().await;
    }

    fn heard(&mut self) -> SaidUnasked {
        std::mem::take(&mut self.mailbox().heard)
    }

    async fn is_alive(&mut self) -> Result<bool, Error> {
        Ok(!self.mailbox().is_cut)
    }

    async fn log_out(self) {}
}

impl MessageStream for MemoryMessages {
    async fn next(&mut self) -> Result<Option<MessageEvent>, Error> {
        Ok(self.0.pop_front())
    }
}
