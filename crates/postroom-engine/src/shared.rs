//! What the loops of all accounts share: the store, the settings, and budgets.

use crate::settings::Settings;
use postroom_store::Store;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What all accounts share.
#[derive(Debug)]
pub struct Shared {
    /// The store.
    pub store: Store,
    /// The settings.
    pub settings: Settings,
    /// One permit for each decomposition.
    pub decompositions: Semaphore,
    /// One permit for each byte of arriving messages in memory.
    pub bytes_in_flight: Arc<Semaphore>,
    /// One permit for each connection in the making.
    pub connects: Semaphore,
}
