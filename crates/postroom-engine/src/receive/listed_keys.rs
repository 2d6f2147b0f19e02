//! The keys of a listing, as ranges, so that a long one needs little memory.

use postroom_store::SourceKey;
use std::ops::RangeInclusive;

/// The keys of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListedKeys(Vec<RangeInclusive<SourceKey>>);

impl ListedKeys {
    /// Those of `keys`, which are ascending.
    #[must_use]
    pub(crate) fn of(keys: &[SourceKey]) -> Self {
        let mut ranges: Vec<RangeInclusive<SourceKey>> = vec![];
        for key in keys {
            match ranges.last_mut() {
                Some(last) if last.end().uid().saturating_add(1) == key.uid() => {
                    *last = *last.start()..=*key;
                }
                Some(_) | None => ranges.push(*key..=*key),
            }
        }
        Self(ranges)
    }

    /// Whether a key was listed.
    #[must_use]
    pub(crate) fn has(&self, key: SourceKey) -> bool {
        let at = self.0.partition_point(|range| *range.end() < key);
        self.0.get(at).is_some_and(|range| range.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_its_keys_and_no_others() {
        let keys = [1, 2, 3, 7, 9, 10].map(SourceKey::of_uid);
        let listed = ListedKeys::of(&keys);
        assert_eq!(listed.0.len(), 3);
        for uid in 0..12 {
            let key = SourceKey::of_uid(uid);
            assert_eq!(listed.has(key), keys.contains(&key), "{uid}");
        }
        assert!(!ListedKeys::default().has(SourceKey::FIRST));
    }
}
