//! Turn: how long one folder may keep the connection.

use crate::account::Account;
use postroom_watch::Watcher;
use std::sync::Arc;
use tokio::time::Instant;

/// How many portions a folder may take while others wait.
const PORTIONS_MAX: u32 = 5;

/// The turn of one folder at its account's connection.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// The configuration. When it changes, the turn ends at once.
    pub setup: &'a Watcher<Arc<Account>>,
    /// When something else of the account is due.
    pub others_due: Instant,
}

impl Turn<'_> {
    /// Whether it is over after so many portions.
    #[must_use]
    pub(crate) fn is_over(&self, portions: u32) -> bool {
        // Without a sender, this task is about to be stopped.
        self.setup.has_changed().unwrap_or(true)
            || portions >= PORTIONS_MAX && self.others_due <= Instant::now()
    }
}
