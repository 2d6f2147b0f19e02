//! Marks in the feed: how long its changes have been there.
//!
//! The time of day may jump, and a row that was removed does not come back. So the age of a change
//! is not taken from its time. The feed is marked from time to time: a mark has the number of the
//! newest change, and how long Postroom had run by then. A change at or before a mark has been
//! there since the mark, for as long as Postroom has run since. Time in which it does not run does
//! not count, because nobody can read the feed then.

use std::collections::VecDeque;
use tokio::time::Instant;

/// In how many parts the time for which changes are kept is divided by marks.
const MARKS: i64 = 64;
/// The bytes of a number.
const NUMBER_BYTES: usize = size_of::<i64>();

/// What a leader remembers between two times at which it removes rows.
#[derive(Debug, Default)]
pub(crate) struct LastTrim {
    /// The epoch in which it leads. `None`: it has read nothing so far.
    pub epoch: Option<i64>,
    /// The marks.
    pub marks: FeedMarks,
    /// When it was.
    pub at: Option<Instant>,
    /// How long Postroom had run when that was stored last, in milliseconds.
    pub stored_ms: i64,
    /// The last count of the rows. `None`: they were not counted.
    pub counted: Option<FeedCount>,
}

/// A count of all rows of the feed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedCount {
    /// How long Postroom had run, in milliseconds.
    pub ran_ms: i64,
    /// How many rows were to be kept.
    pub kept: i64,
}

/// A moment in the life of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FeedMark {
    /// How long Postroom had run, in milliseconds.
    ran_ms: i64,
    /// The newest change of then.
    seq: i64,
}

/// The marks of a feed, and how long Postroom has run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FeedMarks {
    ran_ms: i64,
    /// The oldest first.
    marks: VecDeque<FeedMark>,
}

impl FeedMarks {
    /// How long Postroom has run, in milliseconds.
    pub(crate) fn ran_ms(&self) -> i64 {
        self.ran_ms
    }

    /// Postroom has run for so much longer.
    pub(crate) fn run(&mut self, ms: i64) {
        self.ran_ms = self.ran_ms.saturating_add(ms.max(0));
    }

    /// Whether it is time for a mark, where changes are kept for `for_ms`.
    pub(crate) fn is_due(&self, for_ms: i64) -> bool {
        let last = self.marks.back();
        last.is_none_or(|last| self.ran_ms.saturating_sub(last.ran_ms) >= for_ms / MARKS)
    }

    /// Marks the newest change.
    pub(crate) fn mark(&mut self, seq: i64) {
        self.marks.push_back(FeedMark { ran_ms: self.ran_ms, seq });
    }

    /// The newest change that has been there for `for_ms`. `None`: there is none.
    pub(crate) fn old(&self, for_ms: i64) -> Option<i64> {
        let is_old = |mark: &&FeedMark| self.ran_ms.saturating_sub(mark.ran_ms) >= for_ms;
        self.marks.iter().take_while(is_old).last().map(|mark| mark.seq)
    }

    /// Removes the marks at and before a change.
    pub(crate) fn forget(&mut self, seq: i64) {
        self.marks.retain(|mark| mark.seq > seq);
    }

    /// As it is stored: the time, then each mark with its time and its change.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let marks = self.marks.iter().flat_map(|mark| [mark.ran_ms, mark.seq]);
        [self.ran_ms].into_iter().chain(marks).flat_map(i64::to_be_bytes).collect()
    }

    /// What [`Self::to_bytes`] gave. `None`: these are other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<NUMBER_BYTES>() else {
            return None;
        };
        let mut numbers = numbers.iter().map(|number| i64::from_be_bytes(*number));
        let ran_ms = numbers.next()?;
        let mut marks = VecDeque::new();
        while let Some(of_mark) = numbers.next() {
            marks.push_back(FeedMark { ran_ms: of_mark, seq: numbers.next()? });
        }
        let ascend = marks
            .iter()
            .zip(marks.iter().skip(1))
            .all(|(one, next)| one.ran_ms <= next.ran_ms && one.seq <= next.seq);
        let is_past = marks.back().is_none_or(|last| last.ran_ms <= ran_ms);
        (ascend && is_past).then_some(Self { ran_ms, marks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_old_once_postroom_has_run_for_so_long_since_a_mark_behind_it() {
        let mut marks = FeedMarks::default();
        assert!(marks.is_due(640) && marks.old(640).is_none());
        marks.mark(5);
        for ms in [4, 5] {
            marks.run(ms);
            assert!(!marks.is_due(640));
        }
        marks.run(1);
        assert!(marks.is_due(640));
        marks.mark(9);
        marks.run(629);
        assert_eq!(marks.old(640), None);
        marks.run(-1_000_000);
        marks.run(1);
        assert_eq!(marks.old(640), Some(5));
        marks.run(10);
        assert_eq!(marks.old(640), Some(9));
        assert_eq!(marks.old(i64::MAX), None);
        marks.forget(5);
        assert_eq!((marks.old(640), marks.marks.len()), (Some(9), 1));
    }

    #[test]
    fn marks_are_stored_and_other_bytes_are_none() {
        let mut marks = FeedMarks::default();
        for seq in [3, 3, 70] {
            marks.run(100);
            marks.mark(seq);
        }
        let bytes = marks.to_bytes();
        assert_eq!(FeedMarks::from_bytes(&bytes), Some(marks));
        assert_eq!(
            FeedMarks::from_bytes(&FeedMarks::default().to_bytes()),
            Some(FeedMarks::default())
        );
        let number = |at: usize, number: i64| {
            let mut bytes = bytes.clone();
            bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let table = [
            ("nothing", vec![]),
            ("half a number", bytes[..12].to_vec()),
            ("half a mark", bytes[..32].to_vec()),
            ("a mark of the future", number(0, 299)),
            ("marks that go back in time", number(1, 201)),
            ("changes that go back", number(2, 4)),
        ];
        for (why, bytes) in table {
            assert_eq!(FeedMarks::from_bytes(&bytes), None, "{why}");
        }
    }
}
