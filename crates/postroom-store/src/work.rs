//! Where work runs that takes long: on threads, or inline where a simulation wants to have the
//! same history each time.

use tokio::task::JoinHandle;

/// Where work runs that takes long. Whoever opens the store says so, for the engine too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// On threads beside those of the runtime.
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
