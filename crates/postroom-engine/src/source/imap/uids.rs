//! Keys of messages as UIDs.

use postroom_imap::UidSet;
use postroom_store::SourceKey;

/// How many octets a UID set may have in one command, because some servers refuse longer lines.
const SET_OCTETS_MAX: usize = 900;

/// The UIDs of these keys.
#[must_use]
pub(crate) fn uids_of(keys: &[SourceKey]) -> Vec<u64> {
    keys.iter().map(|key| key.uid()).collect()
}

/// The keys of these UIDs.
#[must_use]
pub(crate) fn keys_of(uids: impl IntoIterator<Item = u64>) -> Vec<SourceKey> {
    uids.into_iter().map(SourceKey::of_uid).collect()
}

/// The set of the UIDs of these keys.
#[must_use]
pub(crate) fn set_of(keys: &[SourceKey]) -> UidSet {
    UidSet::from_uids(&uids_of(keys))
}

/// The UIDs of these keys, in sets that are each short enough for one command.
pub(crate) fn sets_of(keys: &[SourceKey]) -> impl Iterator<Item = UidSet> {
    set_of(keys).split(SET_OCTETS_MAX).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_a_request_is_short_enough_for_a_command() {
        let sparse = keys_of((0..2000).map(|n| 4_000_000_000 + n * 2));
        let sets: Vec<_> = sets_of(&sparse).collect();
        assert!(sets.iter().all(|set| set.to_string().len() <= SET_OCTETS_MAX));
        assert_eq!(sets.iter().map(UidSet::count).sum::<u64>(), 2000);
        assert_eq!(sets_of(&keys_of(1..=50_000)).count(), 1);
    }
}
