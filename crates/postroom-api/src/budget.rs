//! Limits how much JSON is in memory at once, over all requests.
//!
//! Small requests are not limited. A large request waits for its share of the bytes before it is
//! read, and for its share of the values before it is parsed. Shares are always taken in this
//! order, so that no two requests wait for each other.

use crate::problem::Problem;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// Smaller requests are not counted.
pub(crate) const SMALL_BYTES: usize = 64 * 1024;
/// How long a request waits for its share.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How many bytes one permit stands for.
const UNIT_BYTES: usize = 1024;

/// The shares of the requests.
#[derive(Debug)]
pub struct Budget {
    read: Pool,
    parsed: Pool,
}

#[derive(Debug)]
struct Pool {
    units: Arc<Semaphore>,
    units_max: usize,
}

/// A share. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct Share {
    _units: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget with limits for JSON as text and as values.
    #[must_use]
    pub fn new(read_bytes: usize, parsed_bytes: usize) -> Self {
        Self { read: Pool::new(read_bytes), parsed: Pool::new(parsed_bytes) }
    }

    /// A share of the bytes that are read.
    ///
    /// # Errors
    ///
    /// 503 when there is none in time.
    pub async fn to_read(&self, bytes: usize) -> Result<Share, Problem> {
        self.read.share(bytes).await
    }

    /// A share of the memory that values take.
    ///
    /// # Errors
    ///
    /// 503 when there is none in time.
    pub async fn to_parse(&self, bytes: usize) -> Result<Share, Problem> {
        self.parsed.share(bytes).await
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let units_max = (bytes / UNIT_BYTES).max(1);
        Self { units: Arc::new(Semaphore::new(units_max)), units_max }
    }

    async fn share(&self, bytes: usize) -> Result<Share, Problem> {
        if bytes < SMALL_BYTES {
            return Ok(Share::default());
        }
        // A request that is larger than the whole budget takes all of it.
        let units = (bytes / UNIT_BYTES).min(self.units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.units).acquire_many_owned(units);
        match tokio::time::timeout(WAIT_MAX, share).await {
            Ok(Ok(units)) => Ok(Share { _units: Some(units) }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => {
                let detail = "too many large requests are being read at this moment; try again";
                Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, "budget of JSON"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_large_request_waits_for_its_share() {
        let budget = Budget::new(1024 * 1024, 1024 * 1024);
        let first = budget.to_read(900 * 1024).await.unwrap();
        assert!(budget.to_read(1000).await.is_ok(), "a small one takes no part");
        let refused = budget.to_read(200 * 1024).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(budget.to_parse(200 * 1024).await.is_ok());
        let (second, ()) = tokio::join!(budget.to_read(200 * 1024), async { drop(first) });
        drop(second.unwrap());
        assert!(budget.to_read(usize::MAX).await.is_ok());
    }
}
