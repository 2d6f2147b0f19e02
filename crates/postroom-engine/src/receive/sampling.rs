//! Samples of keys: not all messages of a mailbox are looked at each time.

use postroom_store::Clock;
use postroom_store::SourceKey;
use std::collections::BTreeSet;

/// A sample of many ascending keys: the newest ones, which a restored server gives again first, and
/// some of the others, different ones each time.
#[must_use]
pub(crate) fn sample(
    clock: &Clock,
    keys: &[SourceKey],
    newest: usize,
    others: usize,
) -> Vec<SourceKey> {
    let (older, last) = keys.split_at(keys.len().saturating_sub(newest));
    let mut chosen: BTreeSet<SourceKey> = last.iter().copied().collect();
    for _ in 0..others.min(older.len()) {
        chosen.extend(older.get(clock.below(older.len())));
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(uids: &[u64]) -> Vec<SourceKey> {
        uids.iter().copied().map(SourceKey::of_uid).collect()
    }

    #[test]
    fn a_sample_has_the_newest_and_no_more_than_asked() {
        let uids = keys(&(1..=1000).collect::<Vec<_>>());
        let some = sample(&Clock::system(), &uids, 4, 4);
        assert!(some.is_sorted() && (5..=8).contains(&some.len()), "{some:?}");
        assert!((997..=1000).all(|uid| some.contains(&SourceKey::of_uid(uid))), "{some:?}");
        assert_eq!(sample(&Clock::system(), &keys(&[3, 5]), 4, 4), keys(&[3, 5]));
        assert!(sample(&Clock::system(), &[], 4, 4).is_empty());
    }
}
