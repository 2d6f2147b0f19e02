//! What the loops of all accounts share: the store, the settings, and budgets.

use crate::error::Error;
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

impl Shared {
    /// Makes the budgets, and an empty spool directory.
    ///
    /// # Errors
    ///
    /// When the spool directory cannot be made.
    pub fn new(store: Store, settings: Settings) -> Result<Arc<Self>, Error> {
        let spool = &settings.spool_directory;
        if spool.exists() {
            std::fs::remove_dir_all(spool).map_err(Error::Spool)?;
        }
        std::fs::create_dir_all(spool).map_err(Error::Spool)?;
        Ok(Arc::new(Self {
            decompositions: Semaphore::new(settings.decompositions_max.max(1)),
            bytes_in_flight: Arc::new(Semaphore::new(settings.bytes_in_flight_max)),
            connects: Semaphore::new(settings.connects_max.max(1)),
            store,
            settings,
        }))
    }
}
