//! Messages that are not loaded, because they were in the mailbox when its folder was enabled.
//!
//! In another epoch of the mailbox they have other keys, and must not be loaded either. So what
//! recognises the newest of them is noted with the origin of the folder.

use crate::source_key::SourceKey;
use crate::witness::Witness;

/// A message that is not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnloadedMessage {
    /// Its key. [`SourceKey::FIRST`]: it was not found in this epoch.
    pub key: SourceKey,
    /// The facts that the server told about it.
    pub witness: Witness,
}

/// The messages of a mailbox that are not loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unloaded {
    /// How many there are.
    pub count: u64,
    /// Whether they were in an earlier epoch of the mailbox.
    pub is_later: bool,
    /// The newest ones, or all of them.
    pub newest: Vec<UnloadedMessage>,
}

/// How many bytes the note of a message has: key, which facts there are, size, date, Message-ID.
const NOTE_BYTES: usize = 33;
/// How many bytes come before them: the count, and whether they were in an earlier epoch.
const HEAD_BYTES: usize = 9;

impl Unloaded {
    /// Whether all of them are noted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.newest.len() as u64 >= self.count
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + NOTE_BYTES * self.newest.len());
        bytes.extend(self.count.to_be_bytes());
        bytes.push(u8::from(self.is_later));
        for UnloadedMessage { key, witness } in &self.newest {
            let Witness { size_bytes, internal_date_ms, message_id } = witness;
            let is_there = [size_bytes.is_some(), internal_date_ms.is_some(), message_id.is_some()];
            let flags = is_there.iter().fold(0, |flags, is| flags << 1 | u8::from(*is));
            bytes.extend(key.number().to_be_bytes());
            bytes.push(flags);
            bytes.extend(size_bytes.unwrap_or_default().to_be_bytes());
            bytes.extend(internal_date_ms.unwrap_or_default().to_be_bytes());
            bytes.extend(message_id.unwrap_or_default().to_be_bytes());
        }
        bytes
    }

    /// `None`: the bytes are damaged.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, notes) = bytes.split_at_checked(HEAD_BYTES)?;
        let (is_later, count) = head.split_last()?;
        let newest = notes.chunks(NOTE_BYTES).map(note_of).collect::<Option<_>>()?;
        let count = u64::from_be_bytes(count.try_into().ok()?);
        Some(Self { count, is_later: *is_later == 1, newest })
    }

    /// The keys of those above the baseline, as they are stored.
    pub(crate) fn keys_above(&self, baseline: u64) -> Vec<u8> {
        let above = self.newest.iter().map(|one| one.key).filter(|key| key.uid() > baseline);
        let mut keys: Vec<_> = above.collect();
        keys.sort_unstable();
        keys.into_iter().flat_map(|key| key.number().to_be_bytes()).collect()
    }
}

fn note_of(bytes: &[u8]) -> Option<UnloadedMessage> {
    let whole = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let flags = *bytes.get(8)?;
    let is_there = |bit: u8| flags & bit != 0;
    let size_bytes = u64::try_from(whole(9)?).ok()?;
    Some(UnloadedMessage {
        key: SourceKey::of_stored(whole(0)?)?,
        witness: Witness {
            size_bytes: is_there(4).then_some(size_bytes),
            internal_date_ms: Some(whole(17)?).filter(|_| is_there(2)),
            message_id: Some(whole(25)?).filter(|_| is_there(1)),
        },
    })
}

/// The keys that [`Unloaded::keys_above`] has given.
pub(crate) fn keys_of_bytes(bytes: &[u8]) -> Vec<SourceKey> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().filter_map(|number| SourceKey::of_stored(i64::from_be_bytes(*number))).collect()
}

/// What an epoch begins with, for the columns `unloaded` and `unloaded_keys`.
pub(crate) fn columns(unloaded: Option<&Unloaded>, baseline: u64) -> [Option<Vec<u8>>; 2] {
    let keys = unloaded.map(|unloaded| unloaded.keys_above(baseline));
    [unloaded.map(Unloaded::to_bytes), keys.filter(|keys| !keys.is_empty())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again_and_damaged_notes_are_none() {
        let note = |uid, size_bytes, internal_date_ms, message_id| UnloadedMessage {
            key: SourceKey::of_uid(uid),
            witness: Witness { size_bytes, internal_date_ms, message_id },
        };
        let newest = vec![
            note(7, Some(5), Some(-6), Some(-7)),
            note(0, None, None, Some(i64::MAX)),
            note(3, Some(0), None, None),
        ];
        let all = Unloaded { count: 9, is_later: true, newest };
        let bytes = all.to_bytes();
        assert_eq!(Unloaded::of_bytes(&bytes), Some(all.clone()));
        assert_eq!(Unloaded::of_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Unloaded::of_bytes(&[]), None);
        assert!(!all.is_whole() && Unloaded::default().is_whole());
        let above = |baseline| keys_of_bytes(&all.keys_above(baseline));
        assert_eq!(above(0), [3, 7].map(SourceKey::of_uid));
        assert_eq!(above(7), []);
    }
}
