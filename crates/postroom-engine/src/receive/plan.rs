//! The fetch plan of one mailbox: which messages to fetch next, in which sets.
//!
//! ```text
//!   fresh ──► a set ──► came                      settled
//!                  ├──► refused                   again in halves, at once, down to one
//!                  └──► the connection ended      again on a later connection, after all others:
//!                                                 the rest in halves, and the first of it alone
//!                  └──► nothing came for long     the same, but the first of it waits for a
//!                                                 connection of its own
//! ```
//! Mail that comes while older mail is still loaded does not wait for it: it has a lane of its own,
//! which goes first. What is to be asked for again of it, or what a client asked for, takes turns
//! with the older mail.
//!
//! A message that ends the connection twice when it is fetched alone stays pending
//! ([`crate::receive::suspects`]). A message for which the server was silent is fetched on another
//! connection ([`crate::alone`]).

use crate::receive::suspects::SuspectSets;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// How many messages are fetched before their average size is known.
const FIRST_COUNT_MAX: usize = 50;

/// The result of fetching a message on a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchedAlone {
    /// It is recorded.
    Came,
    /// It was not recorded. When it is due again, a connection of its own fetches it once more.
    Missed,
    /// There was no such connection. When the message is due again, the main connection fetches it
    /// alone.
    NotAsked,
}

/// Which messages are still to be fetched, and how.
#[derive(Debug, Default)]
pub(crate) struct FetchPlan {
    /// What came while the fresh ones were loaded, each time that the mailbox was listed. The last
    /// one is next.
    live: Vec<VecDeque<SourceKey>>,
    /// Messages from this one on came while the fresh ones were loaded.
    live_from: Option<SourceKey>,
    /// The messages that a client asked for.
    asked_for: BTreeSet<SourceKey>,
    /// Whether a set came since the connection ended, or since one of the suspects had its turn.
    has_come: bool,
    /// Not fetched so far, ascending.
    fresh: VecDeque<SourceKey>,
    /// The halves of refused sets, and sets that were put back. The last one is next.
    halves: Vec<Vec<SourceKey>>,
    /// Sets during which the connection ended, and pending messages. The first one is next, after
    /// all other sets.
    suspects: SuspectSets,
    /// The messages for which the server was silent, and whether each is being fetched on a
    /// connection of its own.
    stalled: BTreeMap<SourceKey, bool>,
    /// The messages to hand to a connection of their own.
    alone: Vec<SourceKey>,
    /// How many bytes a message has, on average of the last set.
    average_bytes: Option<u64>,
}

impl FetchPlan {
    /// Begins with the result of a poll. `fresh` has the new keys, ascending, `again` the keys to
    /// retry, and `singly` the keys to fetch one by one. What is known about messages that end
    /// connections is kept.
    pub(crate) fn fill(
        &mut self,
        fresh: VecDeque<SourceKey>,
        again: &[SourceKey],
        singly: &[SourceKey],
    ) {
        let again = again.iter().filter(|key| !singly.contains(key)).chain(singly);
        let again = self.not_stalled(again.copied());
        let (alone, together): (Vec<SourceKey>, Vec<SourceKey>) = again
            .iter()
            .partition(|key| self.suspects.is_singled_out(**key) || singly.contains(key));
        let together = together.chunks(FIRST_COUNT_MAX).map(<[SourceKey]>::to_vec);
        self.suspects.replace(together.chain(alone.into_iter().map(|key| vec![key])));
        self.asked_for = singly.iter().copied().collect();
        self.fresh = fresh;
        self.live.clear();
        self.live_from = None;
        self.halves.clear();
    }

    /// Those of the messages for which the server was not silent. The others are fetched on a
    /// connection of their own.
    fn not_stalled(&mut self, keys: impl Iterator<Item = SourceKey>) -> Vec<SourceKey> {
        let (stalled, others): (Vec<SourceKey>, Vec<SourceKey>) =
            keys.partition(|key| self.stalled.contains_key(key));
        for key in stalled {
            if self.stalled.insert(key, true) == Some(false) {
                self.alone.push(key);
            }
        }
        others
    }

    /// Puts the fresh keys from this one on before all others, because they came while the others
    /// were loaded. Gives whether there are others that they go before.
    pub(crate) fn goes_on_from(&mut self, first_live: SourceKey) -> bool {
        let at = self.fresh.partition_point(|key| *key < first_live);
        if at > 0 {
            self.live = vec![self.fresh.split_off(at)];
            self.live_from = Some(first_live);
        }
        at > 0
    }

    /// Adds messages that came while the others were loaded, ascending. They are next.
    pub(crate) fn came_live(&mut self, keys: VecDeque<SourceKey>) {
        if let Some(first) = keys.front().copied() {
            // A listing may have lacked older messages, which are no measure.
            let is_above = self.fresh.back().is_none_or(|last| *last < first);
            self.live_from = self.live_from.or(is_above.then_some(first));
            self.live.push(keys);
        }
    }

    /// Whether a message came while others were loaded.
    #[must_use]
    pub(crate) fn is_live(&self, key: SourceKey) -> bool {
        self.live_from.is_some_and(|from| from <= key)
    }

    /// Adds messages to be asked for again while others are loaded, if they came meanwhile. Those
    /// that are planned already stay where they are.
    pub(crate) fn again_live(&mut self, again: &[SourceKey]) {
        let planned: BTreeSet<_> = self.halves.iter().flatten().copied().collect();
        let planned: BTreeSet<_> = &planned | &self.suspects.keys();
        let live = again.iter().filter(|key| self.is_live(**key) && !planned.contains(key));
        let live: Vec<_> = live.copied().collect();
        for key in self.not_stalled(live.into_iter()) {
            self.suspects.add(vec![key]);
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        let is_none_fresh = self.live.iter().all(VecDeque::is_empty) && self.fresh.is_empty();
        is_none_fresh && self.halves.is_empty() && self.suspects.is_empty()
    }

    /// The next set. It has at most `count_max` messages and about `bytes_max` bytes, and `fits`
    /// says that it fits into one request.
    pub(crate) fn next(
        &mut self,
        count_max: usize,
        bytes_max: usize,
        fits: impl Fn(&[SourceKey]) -> bool,
    ) -> Option<Vec<SourceKey>> {
        let by_bytes = match self.average_bytes {
            None => FIRST_COUNT_MAX,
            Some(average) => bytes_max / usize::try_from(average.max(1)).unwrap_or(usize::MAX),
        };
        let mut set = self.next_set(count_max.min(by_bytes).max(1))?;
        while set.len() > 1 && !fits(&set) {
            let later = set.split_off(set.len() / 2);
            self.halves.push(later);
        }
        Some(set)
    }

    fn next_set(&mut self, count_max: usize) -> Option<Vec<SourceKey>> {
        let first = |keys: &mut VecDeque<SourceKey>| {
            keys.drain(..count_max.min(keys.len())).collect::<Vec<_>>()
        };
        self.live.retain(|keys| !keys.is_empty());
        if let Some(live) = self.live.last_mut() {
            return Some(first(live));
        }
        if let Some(half) = self.halves.pop() {
            return Some(half);
        }
        if self.fresh.is_empty() {
            return self.suspects.pop();
        }
        let (from, asked_for) = (self.live_from, &self.asked_for);
        let is_early = |key| from.is_some_and(|from| from <= key) || asked_for.contains(&key);
        if std::mem::take(&mut self.has_come)
            && let Some(set) = self.suspects.pop_first(is_early)
        {
            return Some(set);
        }
        Some(first(&mut self.fresh))
    }

    /// Notes which messages of a set arrived, and their bytes.
    pub(crate) fn came(&mut self, keys: impl Iterator<Item = SourceKey>, bytes: u64) {
        let mut count = 0;
        for key in keys {
            self.suspects.came(key);
            count += 1;
        }
        self.has_come |= count > 0;
        self.average_bytes = bytes.checked_div(count).or(self.average_bytes);
    }

    /// Notes that a set, or the rest of it, was refused, and splits it into halves. If it is a
    /// single message, nothing is planned for it, and its key is returned.
    pub(crate) fn refused(&mut self, mut rest: Vec<SourceKey>) -> Option<SourceKey> {
        if let [key] = rest.as_slice() {
            return Some(*key);
        }
        let later = rest.split_off(rest.len() / 2);
        self.halves.extend([later, rest].into_iter().filter(|half| !half.is_empty()));
        None
    }

    /// Notes that the connection ended before the rest of a set arrived. Returns the key of a
    /// message that ended it repeatedly. Nothing more is planned for that message.
    pub(crate) fn ended(&mut self, rest: &[SourceKey]) -> Option<SourceKey> {
        self.has_come = false;
        self.suspects.ended(rest)
    }

    /// Notes that the server fell silent before the rest of a set arrived. The first message of the
    /// rest is fetched on a connection of its own. Its key is returned.
    pub(crate) fn stalled(&mut self, rest: &[SourceKey]) -> Option<SourceKey> {
        self.has_come = false;
        let (first, others) = rest.split_first()?;
        self.suspects.halve(others);
        if self.stalled.insert(*first, true) != Some(true) {
            self.alone.push(*first);
        }
        Some(*first)
    }

    /// Takes the messages to fetch on a connection of their own. Each is given once.
    pub(crate) fn take_alone(&mut self) -> Vec<SourceKey> {
        std::mem::take(&mut self.alone)
    }

    /// Whether a message is being fetched, or will be, on a connection of its own.
    #[must_use]
    pub(crate) fn is_alone(&self, key: SourceKey) -> bool {
        self.stalled.get(&key) == Some(&true)
    }

    /// Notes the result of fetching a message on a connection of its own.
    pub(crate) fn back(&mut self, key: SourceKey, asked: FetchedAlone) {
        match asked {
            FetchedAlone::Came => drop(self.stalled.remove(&key)),
            FetchedAlone::Missed => drop(self.stalled.insert(key, false)),
            FetchedAlone::NotAsked => {
                self.stalled.remove(&key);
                self.suspects.single_out(key);
            }
        }
    }

    /// Puts back a set that was not fetched for a reason that is not the server's. It is next.
    pub(crate) fn put_back(&mut self, rest: Vec<SourceKey>) {
        if !rest.is_empty() {
            self.halves.push(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> SourceKey {
        SourceKey::of_uid(number)
    }

    fn keys(numbers: &[u64]) -> Vec<SourceKey> {
        numbers.iter().copied().map(key).collect()
    }

    fn numbers(keys: Vec<SourceKey>) -> Vec<u64> {
        keys.into_iter().map(SourceKey::uid).collect()
    }

    fn fill(plan: &mut FetchPlan, fresh: &[u64], again: &[u64], singly: &[u64]) {
        plan.fill(keys(fresh).into(), &keys(again), &keys(singly));
    }

    fn next(plan: &mut FetchPlan, count_max: usize) -> Option<Vec<u64>> {
        plan.next(count_max, usize::MAX, |_| true).map(numbers)
    }

    fn ended(plan: &mut FetchPlan, rest: &[u64]) -> Option<u64> {
        plan.ended(&keys(rest)).map(SourceKey::uid)
    }

    fn stalled(plan: &mut FetchPlan, rest: &[u64]) -> Option<u64> {
        plan.stalled(&keys(rest)).map(SourceKey::uid)
    }

    fn alone(plan: &mut FetchPlan) -> Vec<u64> {
        numbers(plan.take_alone())
    }

    fn all(plan: &mut FetchPlan) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| next(plan, 4)).collect()
    }

    #[test]
    fn what_is_refused_comes_next_in_halves_and_what_ends_connections_last() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[], &[]);
        assert_eq!(next(&mut plan, 4), Some(vec![1, 2, 3, 4]));
        assert_eq!(ended(&mut plan, &[2, 3, 4]), None);
        assert_eq!(next(&mut plan, 4), Some(vec![5, 6, 7, 8]));
        assert_eq!(plan.refused(keys(&[5, 6, 7, 8])), None);
        let want: [&[u64]; 6] = [&[5, 6], &[7, 8], &[9], &[3], &[4], &[2]];
        assert_eq!(all(&mut plan), want);
        assert!(plan.is_empty());
    }

    #[test]
    fn a_message_that_ends_two_connections_alone_is_given_up_and_later_at_once() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[7], &[], &[]);
        assert_eq!((ended(&mut plan, &[7]), ended(&mut plan, &[7])), (None, Some(7)));
        fill(&mut plan, &[8], &[5, 6, 7], &[]);
        let want: [&[u64]; 3] = [&[8], &[5, 6], &[7]];
        assert_eq!(all(&mut plan), want);
        assert_eq!(ended(&mut plan, &[7]), Some(7));
        plan.came([key(7)].into_iter(), 10);
        assert_eq!(ended(&mut plan, &[7]), None);
    }

    #[test]
    fn what_lets_us_wait_waits_for_a_connection_of_its_own_and_the_others_do_not() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[1, 2, 3, 4, 5, 6], &[], &[]);
        assert_eq!(next(&mut plan, 9).unwrap().len(), 6);
        assert_eq!(stalled(&mut plan, &[3, 4, 5, 6]), Some(3));
        assert_eq!((alone(&mut plan), alone(&mut plan)), (vec![3], vec![]));
        let want: [&[u64]; 2] = [&[4, 5], &[6]];
        assert_eq!(all(&mut plan), want);
        // It is not asked for twice at the same time.
        fill(&mut plan, &[7], &[3], &[]);
        assert_eq!((alone(&mut plan), all(&mut plan)), (vec![], vec![vec![7]]));
        plan.back(key(3), FetchedAlone::Missed);
        fill(&mut plan, &[], &[3], &[]);
        assert_eq!((alone(&mut plan), all(&mut plan)), (vec![3], vec![]));
        // Where there is no other connection it has its turn as the last on this one.
        plan.back(key(3), FetchedAlone::NotAsked);
        fill(&mut plan, &[8], &[1, 2, 3], &[]);
        let want: [&[u64]; 3] = [&[8], &[1, 2], &[3]];
        assert_eq!(
            (alone(&mut plan), all(&mut plan).as_slice()),
            (vec![], &want.map(<[u64]>::to_vec)[..])
        );
        assert_eq!(stalled(&mut plan, &[3]), Some(3));
        plan.back(key(3), FetchedAlone::Came);
        fill(&mut plan, &[], &[3], &[]);
        assert_eq!(all(&mut plan), [[3]]);
    }

    #[test]
    fn what_comes_during_a_load_goes_before_the_rest_of_it_and_loses_nothing() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[], &[]);
        assert_eq!(next(&mut plan, 4), Some(vec![1, 2, 3, 4]));
        assert_eq!(plan.refused(keys(&[1, 2, 3, 4])), None);
        assert_eq!(next(&mut plan, 4), Some(vec![1, 2]));
        plan.came_live(keys(&[10, 11, 12, 13, 14]).into());
        assert!(!plan.is_empty());
        let want: [&[u64]; 5] = [&[10, 11, 12, 13], &[14], &[3, 4], &[5, 6, 7, 8], &[9]];
        assert_eq!(all(&mut plan), want);
        assert!(plan.is_empty());
        // After a start: what came since the load began, which 7 was not there at.
        fill(&mut plan, &[5, 6, 7, 8], &[], &[]);
        assert!(plan.goes_on_from(key(7)));
        let want: [&[u64]; 2] = [&[7, 8], &[5, 6]];
        assert_eq!(all(&mut plan), want);
        fill(&mut plan, &[7, 8], &[], &[]);
        assert!(!plan.goes_on_from(key(7)), "this load begins now");
        assert_eq!(all(&mut plan), [[7, 8]]);
    }

    #[test]
    fn what_came_last_during_a_load_is_next_and_what_fails_of_it_takes_turns_with_the_load() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[1, 2, 3, 4, 5, 6], &[], &[]);
        plan.came_live(keys(&[10, 11, 12]).into());
        plan.came_live(keys(&[13]).into());
        let came = |plan: &mut FetchPlan, uids: &[u64]| {
            assert_eq!(next(plan, 2).as_deref(), Some(uids));
            plan.came(keys(uids).into_iter(), 10);
        };
        came(&mut plan, &[13]);
        assert_eq!(next(&mut plan, 2), Some(vec![10, 11]));
        assert_eq!(ended(&mut plan, &[10, 11]), None);
        came(&mut plan, &[12]);
        came(&mut plan, &[11]);
        assert_eq!(next(&mut plan, 2), Some(vec![10]));
        assert_eq!(ended(&mut plan, &[10]), None);
        // The connection may end for it again, so others come in between.
        came(&mut plan, &[1, 2]);
        assert_eq!(next(&mut plan, 2), Some(vec![10]));
        assert_eq!(ended(&mut plan, &[10]), Some(10));
        // Later it is asked for again. Older ones wait until all are loaded.
        plan.again_live(&keys(&[2, 10]));
        plan.again_live(&keys(&[2, 10]));
        came(&mut plan, &[3, 4]);
        let want: [&[u64]; 2] = [&[10], &[5, 6]];
        assert_eq!(all(&mut plan), want);
    }

    #[test]
    fn what_was_asked_for_by_somebody_is_a_set_of_its_own() {
        let mut plan = FetchPlan::default();
        fill(&mut plan, &[9], &[1, 2, 3], &[2, 5]);
        let want: [&[u64]; 4] = [&[9], &[1, 3], &[2], &[5]];
        assert_eq!(all(&mut plan), want);
    }

    #[test]
    fn sets_are_bounded_by_count_bytes_and_what_fits_into_one_request() {
        let mut plan = FetchPlan::default();
        let fits = |keys: &[SourceKey]| keys.len() <= 90;
        plan.fill((0..2000).map(key).collect(), &[], &[]);
        let first = plan.next(200, 8000, fits).unwrap();
        assert_eq!(first.len(), 50);
        plan.came(first.into_iter(), 50 * 4000);
        assert_eq!(plan.next(200, 8000, fits).unwrap().len(), 2);
        plan.came([key(1)].into_iter(), 10);
        let mut count = 0;
        while let Some(set) = plan.next(200, usize::MAX, fits) {
            assert!(fits(&set), "{}", set.len());
            count += set.len();
        }
        assert_eq!(count, 2000 - 52);
    }
}
