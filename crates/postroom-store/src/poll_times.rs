//! The times at which folders were last polled and last proven complete.
//!
//! A poll that finds nothing new must write nothing, because thousands of folders are polled twice
//! a minute. So these times are kept in memory, and readers see them at once. They are written once
//! a minute, all together. Only the first time of a folder is written at once, because it says that
//! there was one. A process that is killed loses the times of its last minute.

use crate::database::Value;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::Property;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_model::oauth::TOKEN_TIMES;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Properties with times only. A change of only these writes no row of the feed.
pub(crate) const OF_TIME: [&str; 2] = ["lastPollAt", "lastProofAt"];

/// The times of one folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PollTimes {
    /// When it was last polled.
    pub poll: Option<Timestamp>,
    /// When it was last proven complete.
    pub proof: Option<Timestamp>,
}

/// The times that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(Mutex<HashMap<FolderId, PollTimes>>);

/// Whether a new value of a property is news if Postroom itself sets it. Times that change all the
/// time are none, and secrets are never told.
pub(crate) fn is_told(class: &Class, name: &str) -> bool {
    let is_secret = class.property(name).is_some_and(Property::write_only);
    !is_secret && !OF_TIME.contains(&name) && !TOKEN_TIMES.contains(&name)
}

impl PollTimes {
    /// The columns of the known times, with their values.
    pub(crate) fn columns(self) -> Vec<(&'static str, Value)> {
        let all = OF_TIME.into_iter().zip([self.poll, self.proof]);
        all.filter_map(|(name, time)| Some((name, Value::Moment(time?.as_ms())))).collect()
    }

    /// The times of `self`, and those of `earlier` that `self` does not have.
    fn or(self, earlier: Self) -> Self {
        Self { poll: self.poll.or(earlier.poll), proof: self.proof.or(earlier.proof) }
    }
}

impl Unwritten {
    /// Notes the times of a folder. A time that is `None` stays as it is.
    pub(crate) fn note(&self, folder: FolderId, times: PollTimes) {
        if times != PollTimes::default() {
            let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let present = unwritten.entry(folder).or_default();
            *present = times.or(*present);
        }
    }

    /// The times of a folder that are not written yet.
    pub(crate) fn of(&self, folder: FolderId) -> PollTimes {
        let unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.get(&folder).copied().unwrap_or_default()
    }

    /// Puts the noted times into a folder that was read. Properties that were not read stay unset.
    pub(crate) fn show(&self, folder: &mut Entity) {
        let times = self.of(FolderId::of(folder.id));
        let shown = [(names::LAST_POLL_AT, times.poll), (names::LAST_PROOF_AT, times.proof)];
        for (name, time) in shown {
            if let (Some(time), Some(value)) = (time, folder.properties.get_mut(name)) {
                *value = json!(time.to_string());
            }
        }
    }

    /// The times of all folders that have some.
    pub(crate) fn all(&self) -> Vec<(FolderId, PollTimes)> {
        let unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.iter().map(|(folder, times)| (*folder, *times)).collect()
    }

    /// Forgets all times.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets times that were written, unless later ones came meanwhile.
    pub(crate) fn forget(&self, written: &[(FolderId, PollTimes)]) {
        let mut unwritten = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (folder, times) in written {
            if unwritten.get(folder) == Some(times) {
                unwritten.remove(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::EntityId;
    use serde_json::Map;

    fn times(poll: i64, proof: Option<i64>) -> PollTimes {
        PollTimes { poll: Some(Timestamp::from_ms(poll)), proof: proof.map(Timestamp::from_ms) }
    }

    #[test]
    fn later_times_stay_when_earlier_ones_were_written() {
        let (unwritten, folder) = (Unwritten::default(), FolderId::of(EntityId::from_u128(7)));
        unwritten.note(folder, times(1_000, Some(1_000)));
        let written = unwritten.all();
        unwritten.note(folder, times(2_000, None));
        unwritten.forget(&written);
        assert_eq!(unwritten.of(folder), times(2_000, Some(1_000)));
        unwritten.forget(&unwritten.all());
        assert_eq!(unwritten.all(), []);
    }

    #[test]
    fn what_was_not_read_is_not_shown() {
        let (unwritten, id) = (Unwritten::default(), EntityId::from_u128(7));
        unwritten.note(FolderId::of(id), times(1_000, Some(1_000)));
        let mut values = Map::new();
        values.insert(names::LAST_POLL_AT.to_owned(), json!("1970-01-01T00:00:00.000Z"));
        let mut folder = Entity::new(id, values);
        unwritten.show(&mut folder);
        assert_eq!(folder.text(names::LAST_POLL_AT), Some("1970-01-01T00:00:01.000Z"));
        assert!(folder.get(names::LAST_PROOF_AT).is_null());
    }
}
