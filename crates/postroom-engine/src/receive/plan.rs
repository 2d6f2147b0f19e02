//! The fetch plan of one mailbox: which UIDs to fetch next, in which sets.
//!
//! ```text
//!   fresh ──► a set ──► came                      settled
//!                  ├──► refused                   again in halves, at once, down to one
//!                  └──► the connection ended      again on a later connection, after all others:
//!                                                 the rest in halves, and the first of it alone
//!                  └──► nothing came for long     the same, but the first of it waits for a
//!                                                 connection of its own
//! ```
//! Servers answer in order, so the first missing message most likely ended the connection. A
//! message that ends the connection twice when it is fetched alone stays pending. A message for
//! which the server was silent is fetched on another connection ([`crate::alone`]).

use postroom_imap::UidSet;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// How many octets a UID set may have in one command, because some servers accept no longer lines.
pub const SET_OCTETS_MAX: usize = 900;
/// How many messages are fetched before their average size is known.
const FIRST_COUNT_MAX: usize = 50;
/// How often the connection may end while a message is fetched alone.
const ENDS_MAX: u32 = 2;

/// The result of fetching a message on a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchedAlone {
    /// It is recorded.
    Came,
    /// It is to be fetched there again.
    Missed,
    /// There was no such connection. When the message is due again, it is fetched alone on the main
    /// connection.
    NotAsked,
}

/// The UIDs that are still to be fetched.
#[derive(Debug, Default)]
pub struct FetchPlan {
    /// Not fetched so far, ascending.
    fresh: VecDeque<u64>,
    /// Refused sets. The last one is next.
    halves: Vec<Vec<u64>>,
    /// Sets during which the connection ended. The first one is next, after all other sets.
    suspects: VecDeque<Vec<u64>>,
    /// How often the connection ended while a UID was fetched alone.
    ends: BTreeMap<u64, u32>,
    /// The UIDs for which the server was silent, and whether they are being fetched on a connection
    /// of their own.
    stalled: BTreeMap<u64, bool>,
    /// The UIDs to hand to a connection of their own.
    alone: Vec<u64>,
    /// How many bytes a message has, on average of the last set.
    average_bytes: Option<u64>,
}

impl FetchPlan {
    /// Takes the new UIDs, ascending, the UIDs to retry, and those to ask for one by one. Knowledge
    /// of messages that end connections is kept.
    pub fn fill(&mut self, fresh: VecDeque<u64>, again: &[u64], singly: &[u64]) {
        let again = again.iter().filter(|uid| !singly.contains(uid)).chain(singly);
        let (stalled, again): (Vec<u64>, Vec<u64>) =
            again.partition(|uid| self.stalled.contains_key(uid));
        for uid in stalled {
            if self.stalled.insert(uid, true) == Some(false) {
                self.alone.push(uid);
            }
        }
        let (alone, together): (Vec<u64>, Vec<u64>) =
            again.iter().partition(|uid| self.ends.contains_key(uid) || singly.contains(uid));
        let together = together.chunks(FIRST_COUNT_MAX).map(<[u64]>::to_vec);
        self.suspects = together.chain(alone.into_iter().map(|uid| vec![uid])).collect();
        self.fresh = fresh;
        self.halves.clear();
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.halves.is_empty() && self.suspects.is_empty()
    }

    /// The next set: at most `count_max` messages and about `bytes_max` bytes.
    pub fn next(&mut self, count_max: usize, bytes_max: usize) -> Option<Vec<u64>> {
        let by_bytes = match self.average_bytes {
            None => FIRST_COUNT_MAX,
            Some(average) => bytes_max / usize::try_from(average.max(1)).unwrap_or(usize::MAX),
        };
        let count = count_max.min(by_bytes).max(1);
        let mut set = match self.halves.pop() {
            Some(set) => set,
            None if self.fresh.is_empty() => self.suspects.pop_front()?,
            None => self.fresh.drain(..count.min(self.fresh.len())).collect(),
        };
        while set.len() > 1 && UidSet::from_uids(&set).to_string().len() > SET_OCTETS_MAX {
            let later = set.split_off(set.len() / 2);
            self.halves.push(later);
        }
        Some(set)
    }

    /// Notes which messages of a set arrived, and their bytes.
    pub fn came(&mut self, uids: impl Iterator<Item = u64>, bytes: u64) {
        let mut count = 0;
        for uid in uids {
            self.ends.remove(&uid);
            count += 1;
        }
        self.average_bytes = bytes.checked_div(count).or(self.average_bytes);
    }

    /// Notes that a set, or the rest of it, was refused. It is split into halves. Gives a message
    /// that was refused alone.
    pub fn refused(&mut self, mut rest: Vec<u64>) -> Option<u64> {
        if let [uid] = rest.as_slice() {
            return Some(*uid);
        }
        let later = rest.split_off(rest.len() / 2);
        self.halves.extend([later, rest].into_iter().filter(|half| !half.is_empty()));
        None
    }

    /// Notes that the connection ended before the rest of a set arrived. Gives a message that ends
    /// it repeatedly.
    pub fn ended(&mut self, rest: &[u64]) -> Option<u64> {
        let (first, others) = rest.split_first()?;
        if others.is_empty() {
            let ends = self.ends.entry(*first).or_default();
            *ends += 1;
            if *ends >= ENDS_MAX {
                return Some(*first);
            }
        }
        self.suspect(others);
        self.suspects.push_back(vec![*first]);
        None
    }

    /// Notes that the server was silent before the rest of a set. The first message of the rest
    /// goes to a connection of its own, and is given.
    pub fn stalled(&mut self, rest: &[u64]) -> Option<u64> {
        let (first, others) = rest.split_first()?;
        self.suspect(others);
        if self.stalled.insert(*first, true) != Some(true) {
            self.alone.push(*first);
        }
        Some(*first)
    }

    /// The messages to hand to a connection of their own, each once.
    pub fn take_alone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.alone)
    }

    /// Whether a message is being fetched, or will be, on a connection of its own.
    #[must_use]
    pub fn is_alone(&self, uid: u64) -> bool {
        self.stalled.get(&uid) == Some(&true)
    }

    /// Notes the result of a message on a connection of its own.
    pub fn back(&mut self, uid: u64, asked: FetchedAlone) {
        match asked {
            FetchedAlone::Came => drop(self.stalled.remove(&uid)),
            FetchedAlone::Missed => drop(self.stalled.insert(uid, false)),
            FetchedAlone::NotAsked => {
                self.stalled.remove(&uid);
                self.ends.entry(uid).or_default();
            }
        }
    }

    fn suspect(&mut self, others: &[u64]) {
        let halves = others.chunks(others.len().div_ceil(2).max(1)).map(<[u64]>::to_vec);
        self.suspects.extend(halves);
    }

    /// Puts back a set that could not be fetched for a reason of our own. It is next again.
    pub fn put_back(&mut self, rest: Vec<u64>) {
        if !rest.is_empty() {
            self.halves.push(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(plan: &mut FetchPlan) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| plan.next(4, usize::MAX)).collect()
    }

    #[test]
    fn what_is_refused_comes_next_in_halves_and_what_ends_connections_last() {
        let mut plan = FetchPlan::default();
        plan.fill((1..=9).collect(), &[], &[]);
        assert_eq!(plan.next(4, usize::MAX), Some(vec![1, 2, 3, 4]));
        assert_eq!(plan.ended(&[2, 3, 4]), None);
        assert_eq!(plan.next(4, usize::MAX), Some(vec![5, 6, 7, 8]));
        assert_eq!(plan.refused(vec![5, 6, 7, 8]), None);
        let want: [&[u64]; 6] = [&[5, 6], &[7, 8], &[9], &[3], &[4], &[2]];
        assert_eq!(all(&mut plan), want);
        assert!(plan.is_empty());
    }

    #[test]
    fn a_message_that_ends_two_connections_alone_is_given_up_and_later_at_once() {
        let mut plan = FetchPlan::default();
        plan.fill([7].into(), &[], &[]);
        assert_eq!((plan.ended(&[7]), plan.ended(&[7])), (None, Some(7)));
        plan.fill([8].into(), &[5, 6, 7], &[]);
        let want: [&[u64]; 3] = [&[8], &[5, 6], &[7]];
        assert_eq!(all(&mut plan), want);
        assert_eq!(plan.ended(&[7]), Some(7));
        plan.came([7].into_iter(), 10);
        assert_eq!(plan.ended(&[7]), None);
    }

    #[test]
    fn what_lets_us_wait_waits_for_a_connection_of_its_own_and_the_others_do_not() {
        let mut plan = FetchPlan::default();
        plan.fill((1..=6).collect(), &[], &[]);
        assert_eq!(plan.next(9, usize::MAX).unwrap().len(), 6);
        assert_eq!(plan.stalled(&[3, 4, 5, 6]), Some(3));
        assert_eq!((plan.take_alone(), plan.take_alone()), (vec![3], vec![]));
        let want: [&[u64]; 2] = [&[4, 5], &[6]];
        assert_eq!(all(&mut plan), want);
        // It is not asked for twice at the same time.
        plan.fill([7].into(), &[3], &[]);
        assert_eq!((plan.take_alone(), all(&mut plan)), (vec![], vec![vec![7]]));
        plan.back(3, FetchedAlone::Missed);
        plan.fill([].into(), &[3], &[]);
        assert_eq!((plan.take_alone(), all(&mut plan)), (vec![3], vec![]));
        // Where there is no other connection it has its turn as the last on this one.
        plan.back(3, FetchedAlone::NotAsked);
        plan.fill([8].into(), &[1, 2, 3], &[]);
        let want: [&[u64]; 3] = [&[8], &[1, 2], &[3]];
        assert_eq!(
            (plan.take_alone(), all(&mut plan).as_slice()),
            (vec![], &want.map(<[u64]>::to_vec)[..])
        );
        assert_eq!(plan.stalled(&[3]), Some(3));
        plan.back(3, FetchedAlone::Came);
        plan.fill([].into(), &[3], &[]);
        assert_eq!(all(&mut plan), [[3]]);
    }

    #[test]
    fn what_was_asked_for_by_somebody_is_a_set_of_its_own() {
        let mut plan = FetchPlan::default();
        plan.fill([9].into(), &[1, 2, 3], &[2, 5]);
        let want: [&[u64]; 4] = [&[9], &[1, 3], &[2], &[5]];
        assert_eq!(all(&mut plan), want);
    }

    #[test]
    fn sets_are_bounded_by_count_bytes_and_octets() {
        let mut plan = FetchPlan::default();
        let sparse = (0..2000).map(|n| 4_000_000_000 + n * 2);
        plan.fill(sparse.collect(), &[], &[]);
        let first = plan.next(200, 8000).unwrap();
        assert_eq!(first.len(), 50);
        plan.came(first.into_iter(), 50 * 4000);
        assert_eq!(plan.next(200, 8000).unwrap().len(), 2);
        plan.came([1].into_iter(), 10);
        let mut count = 0;
        while let Some(set) = plan.next(200, usize::MAX) {
            assert!(UidSet::from_uids(&set).to_string().len() <= SET_OCTETS_MAX);
            count += set.len();
        }
        assert_eq!(count, 2000 - 52);
    }
}
