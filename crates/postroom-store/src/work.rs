//! Where long work runs: on threads, or inline in a simulation, so that a seed always gives the
//! same history.

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How many hashes of passwords are made at once, because each takes much memory.
const HASHES_AT_ONCE: usize = 2;

/// The turns of those who make hashes of passwords.
#[derive(Debug)]
pub(crate) struct HashTurns(pub Semaphore);

impl Default for HashTurns {
    fn default() -> Self {
        Self(Semaphore::new(HASHES_AT_ONCE))
    }
}

/// Where long work runs. Whoever opens the store decides this, for the engine too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// On threads of their own, so that the runtime's tasks are not delayed.
    Threads,
    /// As a task of the runtime, which does nothing else meanwhile. With a runtime of one thread
    /// whose time is paused, no time passes while it runs.
    Inline,
}

impl Work {
    /// Runs `work`. Dropping the handle does not stop it.
    pub fn spawn<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Self::Threads => tokio::task::spawn_blocking(work),
            Self::Inline => tokio::spawn(async move { work() }),
        }
    }
}
