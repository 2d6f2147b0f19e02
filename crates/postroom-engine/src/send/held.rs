//! Held: what servers answered, until the store has it. It is written before anything else is done,
//! and told in the log once it is written.

use crate::account::Account;
use crate::error::Error;
use crate::journal;
use crate::shared::Shared;
use postroom_store::Claimed;
use postroom_store::Settlement;

/// Results that the store does not have yet, oldest first.
#[derive(Debug, Default)]
pub struct Held {
    results: Vec<(Claimed, Settlement)>,
}

impl Held {
    /// Takes one more.
    pub fn keep(&mut self, claimed: Claimed, settlement: Settlement) {
        self.results.push((claimed, settlement));
    }

    /// Writes them.
    ///
    /// # Errors
    ///
    /// When the store fails; what it did not take is still held.
    pub async fn write(&mut self, shared: &Shared, account: &Account) -> Result<(), Error> {
        while let Some((claimed, settlement)) = self.results.first() {
            shared.store.delivery_settle(claimed, settlement).await?;
            journal::settled(Some(account), claimed, settlement);
            self.results.remove(0);
        }
        Ok(())
    }
}
