//! The messages that are being sent now, so that a stop can say what it waits for.

use postroom_model::MessageEntityId;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The messages under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// The address of the account, by the id of the message.
    messages: Mutex<BTreeMap<MessageEntityId, String>>,
}

/// One message is under way for as long as this lives.
#[derive(Debug)]
pub struct OnItsWay<'a> {
    under_way: &'a UnderWay,
    message: MessageEntityId,
}

impl UnderWay {
    /// Notes that a message is being sent.
    pub fn enter(&self, account: &str, message: MessageEntityId) -> OnItsWay<'_> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.insert(message, account.to_owned());
        OnItsWay { under_way: self, message }
    }

    /// All messages under way, each with the address of its account, in the order of the addresses.
    #[must_use]
    pub fn list(&self) -> Vec<(String, MessageEntityId)> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            messages.iter().map(|(id, account)| (account.clone(), *id)).collect();
        list.sort_unstable();
        list
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        let mut messages = self.under_way.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.remove(&self.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_listed_until_it_ends() {
        let under_way = UnderWay::default();
        let (one, other) = (MessageEntityId::from_u128(1), MessageEntityId::from_u128(2));
        let first = under_way.enter("b@x.test", one);
        let second = under_way.enter("a@x.test", other);
        assert_eq!(
            under_way.list(),
            [("a@x.test".to_owned(), other), ("b@x.test".to_owned(), one)]
        );
        drop((first, second));
        assert_eq!(under_way.list(), []);
    }
}
