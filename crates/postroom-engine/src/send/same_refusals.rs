//! Same refusals: several messages that were refused for good in the same words.
//!
//! A server may tell a limit of the account in words that nobody knows. Then each message of the
//! queue would be refused by itself. If no message was accepted meanwhile, the same words for three
//! of them are most probably about the account. The guess may be wrong, so it only makes messages
//! wait. It is forgotten after some accepted messages, unless one of those had waited for it: that
//! shows that the words pass. All is kept in memory, because later refusals find it out again.

use postroom_model::MessageEntityId;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// So many messages with the same words show that these are about the account.
const MESSAGES_MIN: usize = 3;
/// After so many accepted messages without these words, they are about their message again.
const FORGET_AFTER: u32 = 20;
/// How many wordings are remembered.
const WORDINGS_MAX: usize = 100;
/// How many waiting messages are remembered.
const WAITING_MAX: usize = 1000;

/// What is believed of a wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// It is about its message.
    OfMessage,
    /// It is most probably about the account.
    Guessed,
    /// It is about the account: a message that waited for it was accepted.
    Known,
}

/// A wording that is held to be about the account.
#[derive(Debug, Default)]
struct OfAccount {
    is_known: bool,
    accepted_since: u32,
}

/// The refusals for good of one account.
#[derive(Debug, Default)]
pub(crate) struct SameRefusals {
    /// The messages with each wording since a message was last accepted.
    since_accepted: BTreeMap<String, BTreeSet<MessageEntityId>>,
    of_account: BTreeMap<String, OfAccount>,
    /// The last wording for each message that waits.
    waiting: BTreeMap<MessageEntityId, String>,
}

impl SameRefusals {
    /// Notes that a message was refused for good. Gives what is believed of the wording.
    pub(crate) fn refused(&mut self, message: MessageEntityId, wording: &str) -> Wording {
        if let Some(known) = self.of_account.get_mut(wording) {
            known.accepted_since = 0;
            let believed = if known.is_known { Wording::Known } else { Wording::Guessed };
            self.waits(message, wording);
            return believed;
        }
        if self.since_accepted.len() >= WORDINGS_MAX {
            self.since_accepted.clear();
        }
        let messages = self.since_accepted.entry(wording.to_owned()).or_default();
        messages.insert(message);
        if messages.len() < MESSAGES_MIN {
            return Wording::OfMessage;
        }
        self.waits(message, wording);
        self.believe(wording.to_owned());
        Wording::Guessed
    }

    /// Notes that a message was accepted.
    pub(crate) fn accepted(&mut self, message: MessageEntityId) {
        self.since_accepted.clear();
        if let Some(wording) = self.waiting.remove(&message) {
            self.believe(wording).is_known = true;
        }
        self.of_account.retain(|_, wording| {
            wording.accepted_since += 1;
            wording.is_known || wording.accepted_since < FORGET_AFTER
        });
    }

    fn waits(&mut self, message: MessageEntityId, wording: &str) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(message, wording.to_owned());
        }
    }

    fn believe(&mut self, wording: String) -> &mut OfAccount {
        if self.of_account.len() >= WORDINGS_MAX {
            self.of_account.clear();
        }
        self.of_account.entry(wording).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u128) -> MessageEntityId {
        MessageEntityId::from_u128(number)
    }

    #[test]
    fn it_takes_three_messages_with_the_same_words_and_none_accepted_between() {
        let mut refusals = SameRefusals::default();
        #[rustfmt::skip]
        let table = [
            // message, words, what is believed
            (1, "a", Wording::OfMessage),
            (1, "a", Wording::OfMessage),
            (2, "a", Wording::OfMessage),
            (3, "b", Wording::OfMessage),
            (4, "a", Wording::Guessed),
            (4, "a", Wording::Guessed),
            (5, "b", Wording::OfMessage),
        ];
        for (number, words, want) in table {
            assert_eq!(refusals.refused(message(number), words), want, "{number} {words}");
        }
        let mut refusals = SameRefusals::default();
        for number in 1..=9 {
            assert_eq!(refusals.refused(message(number), "a"), Wording::OfMessage);
            if number % 2 == 0 {
                refusals.accepted(message(100));
            }
        }
    }

    #[test]
    fn a_guess_is_forgotten_and_what_has_passed_is_known() {
        let mut refusals = SameRefusals::default();
        let guessed = |refusals: &mut SameRefusals| {
            (1..=3).map(|number| refusals.refused(message(number), "a")).last()
        };
        assert_eq!(guessed(&mut refusals), Some(Wording::Guessed));
        for _ in 1..FORGET_AFTER {
            refusals.accepted(message(100));
        }
        assert_eq!(refusals.refused(message(4), "a"), Wording::Guessed);
        for _ in 0..FORGET_AFTER {
            refusals.accepted(message(100));
        }
        assert_eq!(refusals.refused(message(5), "a"), Wording::OfMessage);
        // One that was refused by itself may have been changed since.
        refusals.accepted(message(1));
        assert_eq!(refusals.refused(message(5), "a"), Wording::OfMessage);
        refusals.accepted(message(4));
        for _ in 0..FORGET_AFTER {
            refusals.accepted(message(100));
        }
        assert_eq!(refusals.refused(message(6), "a"), Wording::Known);
        assert_eq!(refusals.refused(message(6), "b"), Wording::OfMessage);
    }

    #[test]
    fn only_so_much_is_remembered() {
        let mut refusals = SameRefusals::default();
        for number in 0..2 * WAITING_MAX as u128 {
            for words in ["a".to_owned(), format!("{number}")] {
                refusals.refused(message(number), &words);
            }
            if number % 3 == 0 {
                refusals.accepted(message(number));
            }
        }
        assert!(refusals.waiting.len() <= WAITING_MAX);
        assert!(refusals.of_account.len() <= WORDINGS_MAX);
        assert!(refusals.since_accepted.len() <= WORDINGS_MAX);
    }
}
