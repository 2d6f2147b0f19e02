//! What is done once a minute: expired data is removed, and what waits in memory is written.

use crate::modifier::Modifier;
use crate::store::Inner;
use crate::store::Store;
use std::sync::Weak;
use std::time::Duration;

/// The time between two looks at what may be thrown away.
const SWEEP: Duration = Duration::from_secs(60);
/// The same while the disk is full.
const SWEEP_FULL: Duration = Duration::from_secs(2);
/// How long the batch that refers to content may take after the content is no longer held.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

impl Store {
    /// Sweeps once a minute, as long as somebody has the store.
    pub(crate) async fn sweep_on(inner: Weak<Inner>) {
        loop {
            let is_full = inner.upgrade().is_some_and(|inner| inner.database.is_full());
            tokio::time::sleep(if is_full { SWEEP_FULL } else { SWEEP }).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let lease = inner.lease();
            let store = Self { inner, modifier: Modifier::System, lease };
            store.sweep().await;
        }
    }

    /// Removes expired data. What belongs to all is removed by the leader alone.
    pub(crate) async fn sweep(&self) {
        let own = Self { lease: None, ..self.clone() };
        if let Err(error) = self.renew().await {
            tracing::error!(%error, "this process did not say that it is still there");
        }
        if self.lease.is_some() && !self.is_deposed() {
            if let Err(error) = self.poll_times_write().await {
                tracing::warn!(%error, "the times of polls were not written; they are tried again");
            }
            if let Err(error) = self.feed_trim().await {
                tracing::error!(%error, "the change feed was not trimmed");
            }
            if let Err(error) = self.purge().await {
                tracing::error!(%error, "messages of a deleted account were not deleted");
            }
            if let Err(error) = self.once_trim().await {
                tracing::error!(%error, "old keys of clients were not thrown away");
            }
        }
        let swept = own.blob_sweep_abandoned(ABANDONED_AFTER).await;
        if let Err(error) = swept.and(own.blob_sweep().await) {
            tracing::error!(%error, "contents that nothing refers to were not thrown away");
        }
        if let Err(error) = own.classes_refresh().await {
            tracing::error!(%error, "the classes were not read again");
        }
        own.classes_settle().await;
        own.tidy().await;
    }

    /// Before the end: writes what waits in memory.
    pub(crate) async fn sweep_last(&self) {
        let leader = Self { lease: self.inner.lease(), ..self.clone() };
        if leader.lease.is_none() || leader.is_deposed() {
            return;
        }
        if let Err(error) = leader.poll_times_write().await {
            tracing::warn!(%error, "the times of the last polls were not written");
        }
    }

    /// Gives back the space of deleted data in small steps, so that others can write in between.
    pub(crate) async fn tidy(&self) {
        loop {
            match self.inner.database.tidy().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "the space of deleted mail was not given back; it is tried again"
                    );
                    return;
                }
            }
        }
    }
}
