//! How long the database worked for the queries of one request. Waiting for a turn is no work.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// Measures the work of queries with a limit of time. Clones measure together.
#[derive(Debug, Clone, Default)]
pub struct ScanMeter(Arc<Mutex<Scanned>>);

#[derive(Debug, Default)]
struct Scanned {
    ended: Duration,
    /// When the query began that runs now.
    running: Option<Instant>,
}

/// A query that runs. If it is dropped, it was given up, and does not count.
pub(crate) struct RunningScan(ScanMeter);

impl ScanMeter {
    /// The work so far, with that of a query that still runs.
    #[must_use]
    pub fn taken(&self) -> Duration {
        let scanned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scanned.ended + scanned.running.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// A query begins to run.
    pub(crate) fn begin(&self) -> RunningScan {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).running = Some(Instant::now());
        RunningScan(self.clone())
    }
}

impl RunningScan {
    /// The query has ended, and counts.
    pub(crate) fn end(self) {
        let mut scanned = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = scanned.running.take() {
            scanned.ended += begun.elapsed();
        }
    }
}

impl Drop for RunningScan {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_run_counts_and_what_was_given_up_does_not() {
        let (meter, second) = (ScanMeter::default(), Duration::from_secs(1));
        tokio::time::advance(second * 100).await;
        let running = meter.begin();
        tokio::time::advance(second * 3).await;
        assert_eq!(meter.taken(), second * 3, "its client may go away now");
        running.end();
        let running = meter.begin();
        tokio::time::advance(second * 20).await;
        drop(running);
        assert_eq!(meter.taken(), second * 3);
    }
}
