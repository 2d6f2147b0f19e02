//! Suspects: sets of messages during which the connection ended. One message of such a set, not the
//! network, may have ended it, and nobody knows which.
//!
//! ```text
//!   the connection ended    the first one that did not come alone, the others in halves,
//!                           each set on whatever connection there is then
//!   it ended for one alone  once more; then this message is known to end connections
//! ```
//! Servers answer in order, so the first missing message most likely ended the connection.

use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// How often the connection may end while a message is asked for alone.
const ENDS_MAX: u32 = 2;

/// The sets to ask for after all others.
#[derive(Debug, Default)]
pub(crate) struct SuspectSets {
    /// The first one is next.
    sets: VecDeque<Vec<SourceKey>>,
    /// How often the connection ended while a message was asked for alone.
    ends: BTreeMap<SourceKey, u32>,
}

impl SuspectSets {
    /// From now on, there are these sets. What is known about messages that end connections is
    /// kept.
    pub(crate) fn replace(&mut self, sets: impl Iterator<Item = Vec<SourceKey>>) {
        self.sets = sets.collect();
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Takes the next one.
    pub(crate) fn pop(&mut self) -> Option<Vec<SourceKey>> {
        self.sets.pop_front()
    }

    /// Takes the first one that has such a message.
    pub(crate) fn pop_first(&mut self, has: impl Fn(SourceKey) -> bool) -> Option<Vec<SourceKey>> {
        let at = self.sets.iter().position(|set| set.iter().any(|key| has(*key)))?;
        self.sets.remove(at)
    }

    /// Adds a set.
    pub(crate) fn add(&mut self, set: Vec<SourceKey>) {
        self.sets.push_back(set);
    }

    /// Adds halves of a set.
    pub(crate) fn halve(&mut self, set: &[SourceKey]) {
        let halves = set.chunks(set.len().div_ceil(2).max(1)).map(<[SourceKey]>::to_vec);
        self.sets.extend(halves);
    }

    /// Notes that the connection ended before the rest of a set arrived. Returns the key of a
    /// message that ended it repeatedly. That message is in no set afterwards.
    pub(crate) fn ended(&mut self, rest: &[SourceKey]) -> Option<SourceKey> {
        let (first, others) = rest.split_first()?;
        if others.is_empty() {
            let ends = self.ends.entry(*first).or_default();
            *ends += 1;
            if *ends >= ENDS_MAX {
                return Some(*first);
            }
        }
        self.halve(others);
        self.sets.push_back(vec![*first]);
        None
    }

    /// A message is to be asked for alone.
    pub(crate) fn single_out(&mut self, key: SourceKey) {
        self.ends.entry(key).or_default();
    }

    /// Whether a message is to be asked for alone.
    #[must_use]
    pub(crate) fn is_singled_out(&self, key: SourceKey) -> bool {
        self.ends.contains_key(&key)
    }

    /// Notes that a message ends no connection.
    pub(crate) fn came(&mut self, key: SourceKey) {
        self.ends.remove(&key);
    }

    /// The messages of all sets.
    #[must_use]
    pub(crate) fn keys(&self) -> BTreeSet<SourceKey> {
        self.sets.iter().flatten().copied().collect()
    }

    /// The parts of the sets that are among these keys.
    pub(crate) fn among(&self, keys: &[SourceKey]) -> impl Iterator<Item = Vec<SourceKey>> {
        let keys: BTreeSet<SourceKey> = keys.iter().copied().collect();
        let among = move |key: &SourceKey| keys.contains(key);
        let part =
            move |set: &Vec<SourceKey>| set.iter().copied().filter(|key| among(key)).collect();
        let sets = self.sets.iter().map(part);
        sets.filter(|set: &Vec<_>| !set.is_empty())
    }

    /// Takes these messages out of the sets. What is known about messages that end connections is
    /// kept.
    pub(crate) fn leave_out(&mut self, keys: &[SourceKey]) {
        let keys: BTreeSet<_> = keys.iter().collect();
        self.sets.iter_mut().for_each(|set| set.retain(|key| !keys.contains(key)));
        self.sets.retain(|set| !set.is_empty());
    }
}
