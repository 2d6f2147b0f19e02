//! Enders: recipients of waiting messages at whom the server ended the session, or fell silent.
//!
//! Such a recipient must not keep the message from the others, so a later attempt names it after
//! them, in a transaction of its own. What is noted is only a guess, because the end may have had
//! another reason. A wrong one costs a transaction. It is kept in memory, because an attempt finds
//! it out again.

use postroom_model::MessageEntityId;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// How many messages are remembered.
const MESSAGES_MAX: usize = 10_000;

/// How many times the session ended at a recipient, by the place of its entry.
type Ends = HashMap<usize, u32>;

/// The enders of all messages.
#[derive(Debug, Default)]
pub(crate) struct Enders(Mutex<HashMap<MessageEntityId, Ends>>);

/// The recipients that an attempt still has to name.
#[derive(Debug)]
pub(crate) struct ToName {
    places: Vec<usize>,
    ends: Ends,
}

impl Enders {
    /// The recipients of an attempt, in the order in which they are named: the enders last, and
    /// those last at whom the session ended most often.
    #[must_use]
    pub(crate) fn order(&self, of: MessageEntityId, mut places: Vec<usize>) -> ToName {
        let ends = self.all().get(&of).cloned().unwrap_or_default();
        places.sort_by_key(|place| ends.get(place).copied().unwrap_or(0));
        ToName { places, ends }
    }

    /// Notes that the session ended at some of the recipients.
    pub(crate) fn note(&self, of: MessageEntityId, places: impl IntoIterator<Item = usize>) {
        let mut all = self.all();
        if all.len() >= MESSAGES_MAX && !all.contains_key(&of) {
            all.clear();
        }
        let ends = all.entry(of).or_default();
        for place in places {
            *ends.entry(place).or_default() += 1;
        }
    }

    /// Forgets a message that does not wait any more.
    pub(crate) fn forget(&self, of: MessageEntityId) {
        self.all().remove(&of);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<MessageEntityId, Ends>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ToName {
    /// Those that the next transaction names, at most `count_max`. Empty: all were named.
    pub(crate) fn next(&mut self, count_max: usize) -> Vec<usize> {
        let usual = self.places.iter().take_while(|place| !self.is_ender(**place)).count();
        let count = if usual == 0 { 1 } else { usual.min(count_max) };
        self.places.drain(..count.min(self.places.len())).collect()
    }

    /// Whether the session ended at this recipient before.
    #[must_use]
    pub(crate) fn is_ender(&self, place: usize) -> bool {
        self.ends.contains_key(&place)
    }

    /// Names these before all others.
    pub(crate) fn put_first(&mut self, places: Vec<usize>) {
        self.places.splice(0..0, places);
    }

    /// Leaves out those that `keep` does not accept.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&usize) -> bool) {
        self.places.retain(keep);
    }

    /// Those that are not named yet.
    #[must_use]
    pub(crate) fn places(&self) -> &[usize] {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(enders: &Enders, of: MessageEntityId, count_max: usize) -> Vec<Vec<usize>> {
        let mut to_name = enders.order(of, vec![0, 1, 2, 3]);
        std::iter::repeat_with(|| to_name.next(count_max)).take_while(|it| !it.is_empty()).collect()
    }

    #[test]
    fn enders_are_named_last_and_alone() {
        let (enders, message) = (Enders::default(), MessageEntityId::from_u128(1));
        assert_eq!(groups(&enders, message, 3), [vec![0, 1, 2], vec![3]]);
        enders.note(message, [0, 2]);
        assert_eq!(groups(&enders, message, 9), [vec![1, 3], vec![0], vec![2]]);
        assert_eq!(groups(&enders, message, 1), [[1], [3], [0], [2]]);
        // So that a wrong guess is not kept waiting by the right one.
        enders.note(message, [0]);
        assert_eq!(groups(&enders, message, 9), [vec![1, 3], vec![2], vec![0]]);
        let other = MessageEntityId::from_u128(2);
        assert_eq!(groups(&enders, other, 9), [[0, 1, 2, 3]]);
        enders.forget(message);
        assert_eq!(groups(&enders, message, 9), [[0, 1, 2, 3]]);
    }

    #[test]
    fn only_so_many_messages_are_remembered() {
        let enders = Enders::default();
        for number in 0..2 * MESSAGES_MAX as u128 {
            enders.note(MessageEntityId::from_u128(number), [0]);
        }
        assert!(enders.all().len() <= MESSAGES_MAX);
    }
}
