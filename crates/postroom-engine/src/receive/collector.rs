//! Collects messages into portions, limited by count and bytes, and starts their decomposition.

use crate::account::Folder;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::SpoolPlace;
use crate::pulse::Pulse;
use crate::receive::action_state;
use crate::receive::decompose::Arrived;
use crate::receive::decompose::Decomposed;
use crate::receive::decompose::Recording;
use crate::receive::decompose::decompose;
use crate::shared::Shared;
use postroom_model::AccountId;
use postroom_model::CountKey;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::MESSAGES;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::ServerAction;
use postroom_store::SourceKey;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A portion that is being decomposed: messages that are decomposed and committed together.
pub(crate) type Portion = JoinHandle<Result<DecomposedPortion, Error>>;

/// A portion after decomposition, with its share of the memory.
#[derive(Debug)]
pub(crate) struct DecomposedPortion {
    /// The messages, in the order of their arrival.
    pub messages: Vec<Decomposed>,
    /// Their share of `Shared::bytes_in_flight`. It is given back after the commit.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// Whose mail it is.
#[derive(Clone, Copy)]
pub(crate) struct MailOf<'a> {
    /// The tenant.
    pub domain: &'a Domain,
    /// The account.
    pub account: AccountId,
}

/// Collects messages into portions and starts their decomposition.
pub(crate) struct Collector<'a> {
    shared: &'a Arc<Shared>,
    recording: Recording,
    /// The largest message that is kept.
    pub message_bytes_max: u64,
    /// How many messages a portion has at most.
    pub count_max: usize,
    /// A portion is handed on as soon as it has this many bytes.
    pub bytes_max: usize,
    sender: mpsc::Sender<Portion>,
    messages: Vec<Arrived>,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    /// How many portions were handed on.
    pub portions: u32,
}

impl<'a> Collector<'a> {
    /// A collector without messages.
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        of: MailOf<'_>,
        folder: &Folder,
        uid_validity: u64,
        sender: mpsc::Sender<Portion>,
    ) -> Self {
        let options = &folder.options;
        let count = |key: &CountKey| usize::try_from(options.count(key)).unwrap_or(usize::MAX);
        let recording = Recording {
            domain: of.domain.clone(),
            account: of.account,
            folder: folder.id,
            uid_validity,
            keep: Keep::from_options(options),
            action: action_state::demanded(folder),
        };
        Self {
            shared,
            recording,
            message_bytes_max: options.count(&options::MESSAGE_BYTES_MAX),
            count_max: count(&options::PORTION_LIMIT).max(1),
            bytes_max: count(&options::PORTION_BYTES),
            sender,
            messages: vec![],
            bytes: 0,
            permit: None,
            portions: 0,
        }
    }

    /// Whether messages are deleted at the server once they are recorded.
    pub(crate) fn deletes(&self) -> bool {
        self.recording.action.is_some_and(ServerAction::deletes)
    }

    /// The clock of the engine.
    pub(crate) fn clock(&self) -> &'a Clock {
        &self.shared.clock
    }

    /// The health of the engine.
    pub(crate) fn pulse(&self) -> &'a Pulse {
        &self.shared.pulse
    }

    /// Where large messages are kept while they arrive.
    pub(crate) fn spool_place(&self) -> SpoolPlace<'a> {
        SpoolPlace::of(self.shared)
    }

    /// Takes one message. Hands the portion on if it is full.
    ///
    /// # Errors
    ///
    /// [`Error::Unheard`].
    pub(crate) async fn add(&mut self, message: Arrived) -> Result<(), Error> {
        self.shared.lanes.ready(self.recording.account).await;
        let all = usize::try_from(message.original.size_bytes()).unwrap_or(usize::MAX);
        let in_memory = message.original.memory_bytes();
        // Parts that are kept without their original are decoded into memory.
        self.reserve(if self.recording.keep.raw { in_memory } else { all }).await?;
        self.bytes = self.bytes.saturating_add(all);
        self.messages.push(message);
        if self.messages.len() >= self.count_max || self.bytes >= self.bytes_max {
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes a message back, if it was not handed on.
    pub(crate) fn take_back(&mut self, key: SourceKey) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.key != key);
        let sizes = self.messages.iter().map(|message| message.original.size_bytes());
        self.bytes = usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX);
        self.messages.len() < before
    }

    /// Takes a share of the memory. If none is left, the portion is handed on first, because
    /// waiting for memory while holding some could block forever.
    async fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        let all = self.shared.settings.bytes_in_flight_max;
        let permits = u32::try_from(bytes.min(all)).unwrap_or(u32::MAX);
        let semaphore = Arc::clone(&self.shared.bytes_in_flight);
        let permit = match Arc::clone(&semaphore).try_acquire_many_owned(permits) {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.flush().await?;
                // The semaphore is never closed.
                semaphore.acquire_many_owned(permits).await.ok()
            }
        };
        match (&mut self.permit, permit) {
            (Some(held), Some(permit)) => held.merge(permit),
            (held, permit) => *held = permit,
        }
        Ok(())
    }

    /// Hands the portion on.
    ///
    /// # Errors
    ///
    /// [`Error::Unheard`]: the receiver of portions has ended. It reports the reason.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        if self.sender.is_closed() {
            return Err(Error::Unheard);
        }
        if self.messages.is_empty() {
            // Messages that were taken back need no memory any more.
            self.permit = None;
            return Ok(());
        }
        self.portions += 1;
        let messages = std::mem::take(&mut self.messages);
        let permit = self.permit.take();
        self.bytes = 0;
        let (shared, recording) = (Arc::clone(self.shared), self.recording.clone());
        let (store, account) = (shared.store.clone(), recording.account);
        let portion = tokio::spawn(async move {
            let class = store.builtin_of(&recording.domain, MESSAGES)?;
            let work = move || {
                let row = |entity: &Entity| store.entity_row(&recording.domain, &class, entity);
                let decompose =
                    |message| decompose(store.clock(), store.dating_ms(), message, &recording, row);
                messages.into_iter().map(decompose).collect()
            };
            let messages: Result<Vec<_>, Error> =
                shared.lanes.run(account, work).await.map_err(Error::Fault)?;
            Ok(DecomposedPortion { messages: messages?, permit })
        });
        self.sender.send(portion).await.map_err(|_| Error::Unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::original::Spool;
    use crate::settings::Dialing;
    use crate::settings::Settings;
    use postroom_imap::MailboxName;
    use postroom_model::Options;
    use postroom_model::builtin;
    use postroom_net::Dialer;
    use postroom_net::Trust;
    use postroom_store::FeedRetention;
    use postroom_store::MasterKey;
    use postroom_store::ObjectsAccess;
    use postroom_store::SqliteDirectory;
    use postroom_store::Store;
    use postroom_store::StoreConfig;
    use serde_json::json;
    use std::path::Path;

    const LARGE_BYTES: usize = 3_000_000;

    async fn shared(directory: &Path) -> Arc<Shared> {
        let clock = postroom_store::Clock::system();
        // No key is made beside a database.
        let key = MasterKey::in_directory(directory).unwrap();
        let database = SqliteDirectory::open(directory, 1, clock.clone()).unwrap();
        let config = StoreConfig {
            key,
            classes: builtin::classes().unwrap(),
            clock,
            work: postroom_store::Work::Threads,
            member: postroom_store::Member::alone(),
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        let store = Store::open(database, &config).await.unwrap();
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let settings = Settings::new(
            Dialing { dialer, ehlo_name: "x.test".to_owned() },
            directory.join("spool"),
        );
        Shared::new(store, settings).await.unwrap()
    }

    fn folder() -> Folder {
        Folder {
            id: postroom_model::FolderId::nil(),
            mailbox: MailboxName::inbox(),
            title: String::new(),
            monitored: true,
            is_unfound: false,
            delete_on_server: false,
            options: Options::cascade([&json!({"portion_bytes": 8_000_000})]),
        }
    }

    async fn spooled(shared: &Shared, uid: u64) -> Arrived {
        let mut spool = Spool::create(SpoolPlace::of(shared)).unwrap();
        spool.write(vec![b'x'; LARGE_BYTES].into()).await.unwrap();
        let original = spool.finish().await.unwrap();
        Arrived {
            key: postroom_store::SourceKey::of_uid(uid),
            known_as: None,
            flags: vec![],
            internal_date_ms: None,
            size_bytes: None,
            may_be_deleted: true,
            original,
        }
    }

    #[tokio::test]
    async fn a_portion_counts_the_bytes_of_messages_that_are_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let shared = shared(directory.path()).await;
        let (sender, mut receiver) = mpsc::channel(9);
        let of = MailOf { domain: &Domain::default_domain(), account: AccountId::nil() };
        let mut collector = Collector::new(&shared, of, &folder(), 1, sender);
        for uid in 1..=6 {
            collector.add(spooled(&shared, uid).await).await.unwrap();
        }
        drop(collector);
        let mut counts = vec![];
        while let Some(portion) = receiver.recv().await {
            counts.push(portion.await.unwrap().unwrap().messages.len());
        }
        assert_eq!(counts, [3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_back_keeps_no_memory_from_the_next_message() {
        let directory = tempfile::tempdir().unwrap();
        let shared = shared(directory.path()).await;
        let (sender, _receiver) = mpsc::channel(9);
        let mut folder = folder();
        let kept = json!({"store_raw_as_file": false, "portion_bytes": 64 << 20});
        folder.options = Options::cascade([&kept]);
        let of = MailOf { domain: &Domain::default_domain(), account: AccountId::nil() };
        let mut collector = Collector::new(&shared, of, &folder, 1, sender);
        let one = spooled(&shared, 1).await;
        let key = one.key;
        collector.add(one).await.unwrap();
        assert!(collector.take_back(key) && collector.bytes == 0);
        // A message that needs all memory.
        let all = shared.settings.bytes_in_flight_max;
        let reserved =
            tokio::time::timeout(std::time::Duration::from_secs(9), collector.reserve(all));
        assert!(reserved.await.is_ok(), "it waits for what it holds itself");
    }

    #[tokio::test]
    async fn nothing_is_collected_for_a_store_that_takes_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let shared = shared(directory.path()).await;
        let (sender, receiver) = mpsc::channel(9);
        let of = MailOf { domain: &Domain::default_domain(), account: AccountId::nil() };
        let mut collector = Collector::new(&shared, of, &folder(), 1, sender);
        drop(receiver);
        let mut result = Ok(());
        for uid in 1..=3 {
            result = collector.add(spooled(&shared, uid).await).await;
        }
        assert!(matches!(result, Err(Error::Unheard)));
    }
}
