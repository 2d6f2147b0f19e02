//! Asks: what is still to be asked for in one mailbox, and in which sets.
//!
//! ```text
//!   fresh ──► a set ──► came                      settled
//!                  ├──► refused                   again in halves, at once, down to one
//!                  └──► the connection ended      again on a later connection, after all others:
//!                                                 the rest in halves, and the first of it alone
//!                  └──► nothing came for long     the same, but the first of it waits for a
//!                                                 connection of its own
//! ```
//! Servers answer in order, so the first that did not come is the likeliest to have ended the
//! connection. A message that ends it twice, asked for alone, is given up for now. One for which
//! the server let us wait is asked for where nothing waits behind it ([`crate::alone`]).

use postroom_imap::UidSet;
use std::collections::HashMap;
use std::collections::VecDeque;

/// How many octets a UID set may have in one command; some servers take no longer lines.
pub const SET_OCTETS_MAX: usize = 900;
/// How many messages are asked for before anything is known of their size.
const FIRST_COUNT_MAX: usize = 50;
/// How often the connection may end while a message is asked for alone.
const ENDS_MAX: u32 = 2;

/// What became of a message on a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is recorded.
    Came,
    /// It is to be asked for there again.
    Missed,
    /// There was no such connection: when it is due again it is asked for as others are, alone.
    NotAsked,
}

/// What is still to be asked for.
#[derive(Debug, Default)]
pub struct Asks {
    /// Not asked for so far, ascending.
    fresh: VecDeque<u64>,
    /// Refused: the last one is asked for next.
    halves: Vec<Vec<u64>>,
    /// The connection ended while they were asked for: the first one is next, after all others.
    suspects: VecDeque<Vec<u64>>,
    /// How often the connection ended while a UID was asked for alone.
    ends: HashMap<u64, u32>,
    /// For which UIDs the server let us wait, and whether they are on their way to a connection
    /// of their own.
    stalled: HashMap<u64, bool>,
    /// Those that are to be handed to a connection of their own.
    alone: Vec<u64>,
    /// How many bytes a message has, on average of the last set.
    average_bytes: Option<u64>,
}

impl Asks {
    /// Takes what is new, ascending, and what is tried again. What is known of messages that
    /// end connections is kept.
    pub fn fill(&mut self, fresh: VecDeque<u64>, again: &[u64]) {
        let (stalled, again): (Vec<u64>, Vec<u64>) =
            again.iter().partition(|uid| self.stalled.contains_key(uid));
        for uid in stalled {
            if self.stalled.insert(uid, true) == Some(false) {
                self.alone.push(uid);
            }
        }
        let (alone, together): (Vec<u64>, Vec<u64>) =
            again.iter().partition(|uid| self.ends.contains_key(uid));
        let together = together.chunks(FIRST_COUNT_MAX).map(<[u64]>::to_vec);
        self.suspects = together.chain(alone.into_iter().map(|uid| vec![uid])).collect();
        self.fresh = fresh;
        self.halves.clear();
    }

    /// Forgets all: the UIDs mean other messages now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.halves.is_empty() && self.suspects.is_empty()
    }

    /// The set to ask for next: at most so many messages, and about so many bytes.
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

    /// Notes what came of a set: so many messages, so many bytes.
    pub fn came(&mut self, uids: impl Iterator<Item = u64>, bytes: u64) {
        let mut count = 0;
        for uid in uids {
            self.ends.remove(&uid);
            count += 1;
        }
        self.average_bytes = bytes.checked_div(count).or(self.average_bytes);
    }

    /// A set, or the rest of it, was refused: it is asked for again in halves. Gives a message
    /// that was refused alone.
    pub fn refused(&mut self, mut rest: Vec<u64>) -> Option<u64> {
        if let [uid] = rest.as_slice() {
            return Some(*uid);
        }
        let later = rest.split_off(rest.len() / 2);
        self.halves.extend([later, rest].into_iter().filter(|half| !half.is_empty()));
        None
    }

    /// The connection ended before the rest of a set came. Gives a message that does so again and
    /// again.
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

    /// The server let us wait for the rest of a set: the first of it waits for a connection of its
    /// own from now on, and is given.
    pub fn stalled(&mut self, rest: &[u64]) -> Option<u64> {
        let (first, others) = rest.split_first()?;
        self.suspect(others);
        if self.stalled.insert(*first, true) != Some(true) {
            self.alone.push(*first);
        }
        Some(*first)
    }

    /// The messages that are to be handed to a connection of their own, each once.
    pub fn take_alone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.alone)
    }

    /// Whether a message is on its way to a connection of its own, or is asked for there.
    #[must_use]
    pub fn is_alone(&self, uid: u64) -> bool {
        self.stalled.get(&uid) == Some(&true)
    }

    /// A message was asked for on a connection of its own.
    pub fn back(&mut self, uid: u64, asked: Asked) {
        match asked {
            Asked::Came => drop(self.stalled.remove(&uid)),
            Asked::Missed => drop(self.stalled.insert(uid, false)),
            Asked::NotAsked => {
                self.stalled.remove(&uid);
                self.ends.entry(uid).or_default();
            }
        }
    }

    fn suspect(&mut self, others: &[u64]) {
        let halves = others.chunks(others.len().div_ceil(2).max(1)).map(<[u64]>::to_vec);
        self.suspects.extend(halves);
    }

    /// A set could not be asked for, for a reason of our own: it is next again.
    pub fn put_back(&mut self, rest: Vec<u64>) {
        if !rest.is_empty() {
            self.halves.push(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(asks: &mut Asks) -> Vec<Vec<u64>> {
        std::iter::from_fn(|| asks.next(4, usize::MAX)).collect()
    }

    #[test]
    fn what_is_refused_comes_next_in_halves_and_what_ends_connections_last() {
        let mut asks = Asks::default();
        asks.fill((1..=9).collect(), &[]);
        assert_eq!(asks.next(4, usize::MAX), Some(vec![1, 2, 3, 4]));
        assert_eq!(asks.ended(&[2, 3, 4]), None);
        assert_eq!(asks.next(4, usize::MAX), Some(vec![5, 6, 7, 8]));
        assert_eq!(asks.refused(vec![5, 6, 7, 8]), None);
        let want: [&[u64]; 6] = [&[5, 6], &[7, 8], &[9], &[3], &[4], &[2]];
        assert_eq!(all(&mut asks), want);
        assert!(asks.is_empty());
    }

    #[test]
    fn a_message_that_ends_two_connections_alone_is_given_up_and_later_at_once() {
        let mut asks = Asks::default();
        asks.fill([7].into(), &[]);
        assert_eq!((asks.ended(&[7]), asks.ended(&[7])), (None, Some(7)));
        asks.fill([8].into(), &[5, 6, 7]);
        let want: [&[u64]; 3] = [&[8], &[5, 6], &[7]];
        assert_eq!(all(&mut asks), want);
        assert_eq!(asks.ended(&[7]), Some(7));
        asks.came([7].into_iter(), 10);
        assert_eq!(asks.ended(&[7]), None);
    }

    #[test]
    fn what_lets_us_wait_waits_for_a_connection_of_its_own_and_the_others_do_not() {
        let mut asks = Asks::default();
        asks.fill((1..=6).collect(), &[]);
        assert_eq!(asks.next(9, usize::MAX).unwrap().len(), 6);
        assert_eq!(asks.stalled(&[3, 4, 5, 6]), Some(3));
        assert_eq!((asks.take_alone(), asks.take_alone()), (vec![3], vec![]));
        let want: [&[u64]; 2] = [&[4, 5], &[6]];
        assert_eq!(all(&mut asks), want);
        // It is not asked for twice at the same time.
        asks.fill([7].into(), &[3]);
        assert_eq!((asks.take_alone(), all(&mut asks)), (vec![], vec![vec![7]]));
        asks.back(3, Asked::Missed);
        asks.fill([].into(), &[3]);
        assert_eq!((asks.take_alone(), all(&mut asks)), (vec![3], vec![]));
        // Where there is no other connection it has its turn as the last on this one.
        asks.back(3, Asked::NotAsked);
        asks.fill([8].into(), &[1, 2, 3]);
        let want: [&[u64]; 3] = [&[8], &[1, 2], &[3]];
        assert_eq!(
            (asks.take_alone(), all(&mut asks).as_slice()),
            (vec![], &want.map(<[u64]>::to_vec)[..])
        );
        assert_eq!(asks.stalled(&[3]), Some(3));
        asks.back(3, Asked::Came);
        asks.fill([].into(), &[3]);
        assert_eq!(all(&mut asks), [[3]]);
    }

    #[test]
    fn sets_are_bounded_by_count_bytes_and_octets() {
        let mut asks = Asks::default();
        let sparse = (0..2000).map(|n| 4_000_000_000 + n * 2);
        asks.fill(sparse.collect(), &[]);
        let first = asks.next(200, 8000).unwrap();
        assert_eq!(first.len(), 50);
        asks.came(first.into_iter(), 50 * 4000);
        assert_eq!(asks.next(200, 8000).unwrap().len(), 2);
        asks.came([1].into_iter(), 10);
        let mut count = 0;
        while let Some(set) = asks.next(200, usize::MAX) {
            assert!(UidSet::from_uids(&set).to_string().len() <= SET_OCTETS_MAX);
            count += set.len();
        }
        assert_eq!(count, 2000 - 52);
    }
}
