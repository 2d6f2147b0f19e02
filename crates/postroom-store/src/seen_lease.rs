//! The lease of another process, as a process that waits sees it.

use std::sync::Mutex;
use tokio::time::Instant;

/// The lease of another process, as a process that waits has seen it last.
pub(crate) type SeenLeases = Mutex<Option<SeenLease>>;

/// The lease of another process, and for how long it has been the same.
#[derive(Debug)]
pub(crate) struct SeenLease {
    /// The lease.
    pub held: HeldLease,
    /// When it was seen first.
    pub since: Instant,
    /// When it was seen last.
    pub last: Instant,
}

/// A lease that is valid by the clock of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldLease {
    /// Its epoch.
    pub epoch: i64,
    /// The time until which it is valid, as a text of the database.
    pub until: String,
}
