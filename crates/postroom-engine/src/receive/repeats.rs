//! Repeats: fetched messages whose bytes are recorded under another key of the same epoch, or came
//! under another key of the same portion.
//!
//! Two equal messages in a mailbox are two messages. But a server that rebuilt its index after the
//! listing may give a recorded message under a key that was never fetched. So a repeat is not
//! recorded until the server shows what the earlier key is now:
//!
//! ```text
//!   the recorded message    it is a copy: it is fetched again and recorded
//!   another message         the epoch is over: all messages are fetched again, and as many of them
//!                           as are known by their bytes are linked, and not stored again
//!   it does not show it     it stays pending; if the same bytes came often enough, it is recorded,
//!                           because a message that is stored twice is better than a lost one
//! ```
//! An earlier key that the server does not list shows nothing by itself. Then the message was moved
//! away and back, or sent twice, and it is recorded. But such a message gets a key above all others
//! ([`News::is_too_low`]). If its key is below them, it is the recorded one under another key, and
//! the epoch is over.

use crate::error::Error;
use crate::receive::decompose::Decomposed;
use crate::receive::evidence::Evidence;
use crate::receive::fetch::FetchOutcome;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::identity::Look;
use crate::receive::identity::Over;
use crate::receive::news::News;
use crate::receive::plan::FetchPlan;
use crate::shared::Shared;
use crate::source::contract::Source;
use postroom_store::MissedMessage;
use postroom_store::ReceivedMessage;
use postroom_store::SourceKey;
use postroom_store::Store;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

/// How often the same bytes must come before they are recorded although the server does not show
/// the message that has them too.
const TRIES_MIN: u32 = 4;

/// A fetched message that is not recorded, because its bytes are recorded already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// Its key.
    pub key: SourceKey,
    /// The hash of its bytes.
    pub hash: [u8; 16],
    /// The listed keys under which these bytes are recorded. Empty: they are recorded under keys
    /// that are not listed any more, and this key is too low for a new message.
    earlier: Vec<SourceKey>,
}

/// The hashes of the recorded bytes.
#[derive(Debug, Default)]
enum Hashes {
    /// The hashes were not needed yet.
    #[default]
    Unread,
    /// One portion was looked up in the store. For more, it is faster to have them in memory.
    AskedOnce,
    /// The beginnings of all hashes.
    Read(HashSet<u64>),
}

/// What is known of the bytes that are recorded in an epoch, while messages are fetched.
#[derive(Debug, Default)]
pub(crate) struct RecordedBytes {
    hashes: Hashes,
    /// The messages that are copies of others, with their hashes.
    copies: BTreeMap<SourceKey, [u8; 16]>,
}

impl RecordedBytes {
    /// What is known after a poll.
    #[must_use]
    pub(crate) fn of(news: &News) -> Self {
        let hashes = if news.recorded == 0 { Hashes::Read(HashSet::new()) } else { Hashes::Unread };
        Self { hashes, copies: BTreeMap::new() }
    }

    /// Forgets the hashes, because something else has recorded messages.
    pub(crate) fn forget(&mut self) {
        self.hashes = Hashes::Unread;
    }

    /// The messages of a portion that are repeats. Of equal ones within it, the first is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn repeats(
        &mut self,
        store: &Store,
        news: &News,
        decomposed: &[Decomposed],
    ) -> Result<Vec<Repeat>, Error> {
        if matches!(self.hashes, Hashes::AskedOnce) {
            let all = store.recorded_hashes(news.epoch).await?;
            self.hashes = Hashes::Read(all.iter().map(beginning).collect());
        }
        let may_be_known = |hash: &[u8; 16]| match &self.hashes {
            Hashes::Read(hashes) => hashes.contains(&beginning(hash)),
            Hashes::Unread | Hashes::AskedOnce => true,
        };
        let is_settled = |message: &ReceivedMessage| {
            self.copies.get(&message.key) == Some(&message.hash)
                || came_often(news, message)
                // It is there by its header, so it does not become one more message.
                || news.oversized.contains_key(&message.key)
        };
        let messages: Vec<_> = decomposed.iter().map(|one| &one.message).collect();
        let is_known = |message: &&&ReceivedMessage| may_be_known(&message.hash);
        let asked = messages.iter().filter(is_known).filter(|message| !is_settled(message));
        let hashes: BTreeSet<_> = asked.map(|message| message.hash).collect();
        if matches!(self.hashes, Hashes::Unread) {
            self.hashes = Hashes::AskedOnce;
        }
        let hashes: Vec<_> = hashes.into_iter().collect();
        let known = match hashes.as_slice() {
            [] => vec![],
            hashes => store.recorded_keys(news.epoch, hashes).await?,
        };
        let is_listed = |key: SourceKey| news.listing.keys.binary_search(&key).is_ok();
        // The messages that are recorded with this portion, by their bytes.
        let mut firsts: HashMap<[u8; 16], SourceKey> = HashMap::new();
        let mut repeats = vec![];
        for message in messages {
            let (key, hash) = (message.key, message.hash);
            let same = known.iter().filter(|known| known.hash == hash);
            let keys = same.map(|known| known.key).filter(|one| *one != key);
            let (mut earlier, gone): (Vec<_>, Vec<_>) = keys.partition(|one| is_listed(*one));
            earlier.extend(firsts.get(&hash).filter(|first| !earlier.contains(first)));
            let is_repeat = !earlier.is_empty() || !gone.is_empty() && news.is_too_low(key);
            if is_repeat && !is_settled(message) {
                repeats.push(Repeat { key, hash, earlier });
            } else {
                firsts.entry(hash).or_insert(key);
            }
        }
        Ok(repeats)
    }

    /// Notes that messages are recorded.
    pub(crate) fn recorded(&mut self, hashes: &[[u8; 16]]) {
        if let Hashes::Read(known) = &mut self.hashes {
            known.extend(hashes.iter().map(beginning));
        }
    }
}

/// The beginning of a hash. It differs from those of other hashes, but for a chance that costs one
/// look into the store.
fn beginning(hash: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Whether exactly these bytes came so often that they are recorded.
fn came_often(news: &News, message: &ReceivedMessage) -> bool {
    let before = news.pending.get(&message.key);
    let before = before.filter(|before| before.hash == Some(message.hash));
    before.is_some_and(|before| before.attempts + 1 >= TRIES_MIN)
}

/// Repeats to decide about, once the source has nothing else to do.
pub(crate) struct RepeatCheck<'a, S> {
    /// The engine.
    pub shared: &'a Shared,
    /// The source that gave them.
    pub source: &'a mut S,
    /// The poll that found them.
    pub news: &'a News,
    /// The repeats.
    pub repeats: Vec<Repeat>,
}

impl<S: Source> RepeatCheck<'_, S> {
    /// Decides about the repeats. Copies go back into the plan. Gives why the epoch is over, if it
    /// is.
    ///
    /// # Errors
    ///
    /// When the store or the spool directory fails.
    pub(crate) async fn decide(
        self,
        evidence: &mut Evidence,
        bytes: &mut RecordedBytes,
        plan: &mut FetchPlan,
        fetched: &mut FetchOutcome,
    ) -> Result<Option<Over>, Error> {
        let Self { shared, source, news, repeats } = self;
        if repeats.is_empty() {
            return Ok(None);
        }
        if fetched.result.is_err() {
            // Nothing more can be asked. They are fetched again.
            plan.put_back(repeats.iter().map(|repeat| repeat.key).collect());
            return Ok(None);
        }
        if let Some(low) = repeats.iter().find(|repeat| repeat.earlier.is_empty()) {
            return Ok(Some(Over::Low { key: low.key }));
        }
        let earlier: BTreeSet<_> = repeats.iter().flat_map(|one| one.earlier.clone()).collect();
        let earlier: Vec<_> = earlier.into_iter().collect();
        let check = IdentityCheck { shared, source, epoch: news.epoch, evidence, unloaded: &[] };
        let look = match check.look(&earlier, Care::All).await {
            Ok(look) => look,
            Err(error) if error.source_failure().is_some() => {
                fetched.result = Err(error);
                Look::default()
            }
            Err(error) => return Err(error),
        };
        if look.over.is_some() {
            return Ok(look.over);
        }
        let is_shown = |repeat: &Repeat| repeat.earlier.iter().all(|key| look.same.contains(key));
        let (copies, unsure): (Vec<_>, Vec<_>) = repeats.into_iter().partition(is_shown);
        plan.put_back(copies.iter().map(|copy| copy.key).collect());
        bytes.copies.extend(copies.iter().map(|copy| (copy.key, copy.hash)));
        fetched.missed.extend(unsure.into_iter().map(Repeat::pending));
        Ok(None)
    }
}

impl Repeat {
    /// The record of a repeat of which the server does not show whether it is a copy.
    fn pending(self) -> MissedMessage {
        let uids: Vec<_> = self.earlier.iter().map(|key| key.uid().to_string()).collect();
        let reason = format!(
            "it has the same bytes as UID {}, and the server does not show now whether that \
             message is still there; if this does not change, it is stored as a copy",
            uids.join(", ")
        );
        MissedMessage { hash: Some(self.hash), ..MissedMessage::pending(self.key, reason) }
    }
}
