//! How long a request waits for the server. A server that stands still answers nothing and ends no
//! connection, and its host still acknowledges what is sent.

use crate::error::Error;
use crate::postgres::failing::Failing;
use std::time::Duration;
use tokio::time::Instant;

/// How long the work of a query may take beyond its own limit, which the server keeps.
const BEYOND_LIMIT: Duration = Duration::from_secs(10);
/// The least speed at which the bytes of a batch count as being sent.
const BYTES_PER_SECOND: usize = 256 * 1024;

/// How long a request waits for the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerPatience {
    /// How long it waits in all. `None`: as long as the server needs.
    within: Option<Duration>,
    begun: Instant,
}

impl AnswerPatience {
    /// The patience of a request that begins now.
    pub(crate) fn new(within: Option<Duration>) -> Self {
        Self { within, begun: Instant::now() }
    }

    /// The patience of a query. `limit` is its own. The server ends it then.
    pub(crate) fn of_query(within: Option<Duration>, limit: Option<Duration>) -> Self {
        let longer = |within| limit.map_or(within, |limit| limit + BEYOND_LIMIT.min(within));
        Self::new(within.map(longer))
    }

    /// The patience of a batch of so many bytes.
    pub(crate) fn of_batch(within: Option<Duration>, size_bytes: usize) -> Self {
        let sending = Duration::from_secs((size_bytes / BYTES_PER_SECOND) as u64);
        Self::new(within.map(|within| within + sending))
    }

    /// The same for the next step, from now on.
    pub(crate) fn renewed(self) -> Self {
        Self::new(self.within)
    }

    /// The result of some work. `None`: it took longer.
    pub(crate) async fn wait<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.within {
            None => Some(work.await),
            Some(within) => tokio::time::timeout_at(self.begun + within, work).await.ok(),
        }
    }

    /// Why the server is given up.
    pub(crate) fn over(self) -> Error {
        let seconds = self.within.unwrap_or_default().as_secs_f64();
        Error::Unreachable { reason: format!("its server has not answered for {seconds:.0} s") }
    }

    /// The result of some work, before COMMIT is sent.
    pub(crate) async fn undone<T>(
        self,
        work: impl Future<Output = Result<T, Failing>>,
    ) -> Result<T, Failing> {
        // It would not be answered sooner if it were tried again.
        self.wait(work).await.unwrap_or_else(|| Err(Failing::StoodStill(self.over())))
    }
}
