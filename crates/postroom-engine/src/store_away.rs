//! The database of ours: whether it is away, and when it is back. Its failure is no failure of an
//! account, so accounts go on as soon as it answers.

use crate::error::Error;
use crate::shared::Shared;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two questions whether the database is back.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer to answer counts as away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// When an account goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GoesOn {
    /// At this moment.
    At(Instant),
    /// When the database is back.
    WithStore,
}

impl GoesOn {
    /// After this time.
    pub(crate) fn later(delay: Duration) -> Self {
        Self::At(Instant::now() + delay)
    }

    /// When an account goes on after this error: with the database if that is away.
    pub(crate) async fn after(error: &Error, shared: &Shared) -> Option<Self> {
        (error.is_of_database() && !answers(shared).await).then_some(Self::WithStore)
    }

    /// Waits for it.
    pub(crate) async fn wait(self, shared: &Shared) {
        match self {
            Self::At(moment) => tokio::time::sleep_until(moment).await,
            Self::WithStore => back(shared).await,
        }
    }
}

async fn answers(shared: &Shared) -> bool {
    let check = tokio::time::timeout(ANSWERS_WITHIN, shared.store.check());
    matches!(check.await, Ok(Ok(())))
}

/// Waits until the database answers. One of those who wait asks it, however many they are.
async fn back(shared: &Shared) {
    let _asks = shared.asks_store.lock().await;
    while !answers(shared).await {
        tokio::time::sleep(ASKED_EVERY).await;
    }
}
