//! How long the feed keeps changes, and how many.

use std::ops::RangeInclusive;

/// A day in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// A setting of the feed has a number out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} takes {from} to {to}, and {number} is not among them")]
pub struct RetentionOutOfRange {
    /// The key in the configuration file, and the argument.
    setting: &'static str,
    from: u64,
    to: u64,
    number: u64,
}

/// How long the feed keeps changes, and how many at most. Whichever limit comes first holds.
///
/// Settings take numbers within [`Self::DAYS`] and [`Self::CHANGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedRetention {
    /// In milliseconds.
    pub(crate) for_ms: i64,
    /// In rows.
    pub(crate) changes: i64,
}

impl FeedRetention {
    /// The days that a change may be kept: from one day to ten years.
    pub const DAYS: RangeInclusive<u64> = 1..=3_650;
    /// How many changes may be kept. With fewer, changes would be gone before readers get to them.
    pub const CHANGES: RangeInclusive<u64> = 1_000..=1_000_000_000;

    /// Keeps all changes.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { for_ms: i64::MAX, changes: i64::MAX }
    }

    /// Keeps changes for so many days, and so many changes at most. `None`: the default.
    ///
    /// # Errors
    ///
    /// [`RetentionOutOfRange`] for a number out of its range.
    pub fn new(days: Option<u64>, changes: Option<u64>) -> Result<Self, RetentionOutOfRange> {
        let default = Self::default();
        let within = |number: u64, range: RangeInclusive<u64>, setting| {
            let small = i64::try_from(number).ok().filter(|_| range.contains(&number));
            let (from, to) = range.into_inner();
            small.ok_or(RetentionOutOfRange { setting, from, to, number })
        };
        let days = days.map(|days| within(days, Self::DAYS, "feed_days (--feed-days)"));
        let changes =
            changes.map(|count| within(count, Self::CHANGES, "feed_changes (--feed-changes)"));
        Ok(Self {
            for_ms: days.transpose()?.map_or(default.for_ms, |days| days * DAY_MS),
            changes: changes.transpose()?.unwrap_or(default.changes),
        })
    }
}

impl Default for FeedRetention {
    /// 7 days, and 10,000,000 changes at most.
    fn default() -> Self {
        Self { for_ms: 7 * DAY_MS, changes: 10_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_its_range_is_refused_by_name() {
        let kept = |days, changes| FeedRetention::new(days, changes);
        assert_eq!(kept(None, None).unwrap(), FeedRetention::default());
        let largest = kept(Some(3_650), Some(1_000_000_000)).unwrap();
        assert_eq!(largest, FeedRetention { for_ms: 3_650 * DAY_MS, changes: 1_000_000_000 });
        let table = [
            (Some(0), None, "feed_days (--feed-days) takes 1 to 3650, and 0 is not"),
            (Some(u64::MAX), None, "feed_days"),
            (None, Some(999), "feed_changes (--feed-changes) takes 1000 to 1000000000, and 999 is"),
            (None, Some(u64::MAX), "feed_changes"),
        ];
        for (days, changes, said) in table {
            let error = kept(days, changes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
