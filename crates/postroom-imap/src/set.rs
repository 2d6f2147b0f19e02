//! Sets of UIDs, as commands name them and ESEARCH answers them.
//!
//! Standards: RFC 3501 §9 (`sequence-set`), RFC 4731 §3.1.

use crate::token::uid;
use std::fmt;
use std::ops::RangeInclusive;

/// A set of UIDs, ascending and without overlap; QQ's servers refuse descending ones.
///
/// Zero is no UID and never a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UidSet {
    ranges: Vec<(u64, u64)>,
}

impl UidSet {
    /// The set of these UIDs, in any order, repeated or not.
    #[must_use]
    pub fn from_uids(uids: &[u64]) -> Self {
        Self::from_ranges(uids.iter().map(|uid| (*uid, *uid)).collect())
    }

    /// All UIDs from one to another, both inclusive.
    #[must_use]
    pub fn from_range(range: RangeInclusive<u64>) -> Self {
        Self::from_ranges(vec![range.into_inner()])
    }

    fn from_ranges(mut given: Vec<(u64, u64)>) -> Self {
        given.retain_mut(|(first, last)| {
            *first = (*first).max(1);
            first <= last
        });
        if !given.is_sorted() {
            given.sort_unstable();
        }
        let mut ranges: Vec<(u64, u64)> = vec![];
        for (first, last) in given {
            match ranges.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => ranges.push((first, last)),
            }
        }
        ranges.shrink_to_fit();
        Self { ranges }
    }

    /// Reads a set that a server wrote. Ranges may come in any order, and either end first. Numbers
    /// that are not UIDs, and `*`, are skipped and counted.
    pub(crate) fn parse_lenient(text: &[u8]) -> (Self, u64) {
        let mut unusable = 0;
        let mut ranges = vec![];
        for piece in text.split(|byte| *byte == b',').filter(|piece| !piece.is_empty()) {
            let mut ends = piece.splitn(2, |byte| *byte == b':').map(|end| uid(end.trim_ascii()));
            let first = ends.next().flatten();
            match (first, ends.next().unwrap_or(first)) {
                (Some(first), Some(last)) => ranges.push((first.min(last), first.max(last))),
                _ => unusable += 1,
            }
        }
        (Self::from_ranges(ranges), unusable)
    }

    /// Whether the UID is a member.
    #[must_use]
    pub fn contains(&self, uid: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= uid);
        let range = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        range.is_some_and(|(_, last)| uid <= *last)
    }

    /// How many UIDs the set has.
    #[must_use]
    pub fn count(&self) -> u64 {
        let members = |(first, last): &(u64, u64)| (last - first).saturating_add(1);
        self.ranges.iter().map(members).fold(0, u64::saturating_add)
    }

    /// Whether the set has no UID. Such a set cannot be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The UIDs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The same UIDs as several sets, each at most `octets_max` long when written. A set of one
    /// range is never split, however small the limit.
    #[must_use]
    pub fn split(&self, octets_max: usize) -> Vec<Self> {
        let mut sets: Vec<Self> = vec![];
        let mut octets = 0;
        for (first, last) in &self.ranges {
            let more = written_octets(*first, *last);
            match sets.last_mut() {
                Some(set) if octets + 1 + more <= octets_max => {
                    set.ranges.push((*first, *last));
                    octets += 1 + more;
                }
                Some(_) | None => {
                    sets.push(Self { ranges: vec![(*first, *last)] });
                    octets = more;
                }
            }
        }
        sets
    }
}

fn written_octets(first: u64, last: u64) -> usize {
    let digits = |number: u64| number.checked_ilog10().map_or(1, |log| log as usize + 1);
    if first == last { digits(first) } else { digits(first) + 1 + digits(last) }
}

impl fmt::Display for UidSet {
    /// Writes the set as a command carries it: `1:3,7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn sets_are_written_short_and_ascending() {
        #[rustfmt::skip]
        let table: &[(&[u64], &str)] = &[
            (&[],                      ""),
            (&[5],                     "5"),
            (&[3, 1, 2, 2],            "1:3"),
            (&[1, 2, 3, 7, 9, 10],     "1:3,7,9:10"),
            (&[0, 1],                  "1"),
            (&[5_000_000_000, 4_999_999_999], "4999999999:5000000000"),
        ];
        for (uids, text) in table {
            assert_eq!(UidSet::from_uids(uids).to_string(), *text);
        }
        let all = UidSet::from_range(0..=u64::MAX);
        assert_eq!((all.to_string().as_str(), all.count()), ("1:18446744073709551615", u64::MAX));
        assert!(UidSet::from_range(RangeInclusive::new(5, 4)).is_empty());
    }

    #[test]
    fn servers_write_sets_as_they_like() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"1:3,5",       "1:3,5"),
            (b"5,3:1",       "1:3,5"),
            (b"1:2,2:4",     "1:4"),
            (b"",            ""),
            (b"x,7,*,1:*",   "7"),
            (b"99999999999", "99999999999"),
            (b"99999999999999999999", ""),
        ];
        for (bytes, text) in table {
            assert_eq!(UidSet::parse_lenient(bytes).0.to_string(), *text);
        }
    }

    proptest! {
        #[test]
        fn a_set_is_its_members(uids in prop::collection::vec(0_u64..200, 0..80)) {
            let set = UidSet::from_uids(&uids);
            let want: BTreeSet<u64> = uids.iter().copied().filter(|uid| *uid > 0).collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), want.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count(), want.len() as u64);
            for uid in 0..200 {
                prop_assert_eq!(set.contains(uid), want.contains(&uid));
            }
            prop_assert_eq!(UidSet::parse_lenient(set.to_string().as_bytes()), (set, 0));
        }

        #[test]
        fn a_split_set_keeps_its_members(
            uids in prop::collection::vec(1_u64..100_000, 1..300),
            octets_max in 12_usize..200,
        ) {
            let set = UidSet::from_uids(&uids);
            let parts = set.split(octets_max);
            let joined: Vec<u64> = parts.iter().flat_map(|part| part.iter().collect::<Vec<_>>()).collect();
            prop_assert_eq!(joined, set.iter().collect::<Vec<_>>());
            for part in parts {
                prop_assert!(part.to_string().len() <= octets_max);
            }
        }
    }
}
