//! Wake-ups for senders. Each account has its own, so that a change of a message wakes only one
//! sender.

use postroom_model::AccountId;
use postroom_model::Entity;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::watch;

/// Who is woken when an outgoing message was changed by a client.
#[derive(Debug)]
pub struct Wakes {
    accounts: Mutex<HashMap<AccountId, watch::Sender<u64>>>,
    all: watch::Sender<u64>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { accounts: Mutex::default(), all: watch::Sender::new(0) }
    }
}

impl Wakes {
    /// Wakes for the messages of one account.
    pub fn of(&self, account: AccountId) -> watch::Receiver<u64> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whom nobody listens to any more.
        accounts.retain(|_, sender| sender.receiver_count() > 0);
        accounts.entry(account).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Wakes for the messages of all accounts.
    pub fn of_all(&self) -> watch::Receiver<u64> {
        self.all.subscribe()
    }

    /// Wakes the sender of a changed message's account. Received messages wake nobody.
    pub fn changed(&self, message: &Entity) {
        if message.text("messageDirection") != Some("out") {
            return;
        }
        wake(&self.all);
        let account = message.reference("account_id");
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = account.and_then(|account| accounts.get(&AccountId::of(account))) {
            wake(sender);
        }
    }
}

fn wake(sender: &watch::Sender<u64>) {
    sender.send_modify(|count| *count = count.wrapping_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_of_one_message_wakes_one_sender() {
        let wakes = Wakes::default();
        let (one, other) = (AccountId::from_u128(1), AccountId::from_u128(2));
        let (mut first, mut second, mut all) = (wakes.of(one), wakes.of(other), wakes.of_all());
        let message = |direction: &str| {
            let values = json!({"account_id": one.to_string(), "messageDirection": direction});
            Entity::new(postroom_model::EntityId::from_u128(3), values.as_object().unwrap().clone())
        };
        let mut woken = || {
            [&mut first, &mut second, &mut all].map(|watch| {
                let has_changed = watch.has_changed().unwrap();
                watch.borrow_and_update();
                has_changed
            })
        };
        wakes.changed(&message("in"));
        assert_eq!(woken(), [false; 3]);
        wakes.changed(&message("out"));
        assert_eq!(woken(), [true, false, true]);
    }
}
