//! `serve --standby`: waits until the process that has the data directory is gone.
//!
//! The directory is on the same host, or on a disk that both hosts lock. Nothing of it is touched
//! before the lock is ours, and nothing listens.

use crate::data;
use anyhow::Context;
use postroom_store::DirectoryLock;
use postroom_store::Error;
use std::path::Path;
use std::time::Duration;

/// How often the lock is tried.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until nobody has the lock of a data directory. Another process may take it before the
/// caller does.
pub(crate) async fn wait(data: &Path) -> anyhow::Result<()> {
    data::make(data)?;
    let mut is_told = false;
    loop {
        match DirectoryLock::take(data) {
            Ok(_unlocked) => return Ok(()),
            Err(Error::Locked { .. }) => {}
            Err(error) => return Err(error).context("store"),
        }
        if !is_told {
            is_told = true;
            let data = data.display().to_string();
            tracing::info!(data, "standing by: another process uses this data directory");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a start failed because another process has taken the directory meanwhile.
pub(crate) fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Locked { .. }))
}
