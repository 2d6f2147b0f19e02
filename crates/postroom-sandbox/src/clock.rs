//! The time of day, for INTERNALDATE (RFC 3501 §2.3.3): that of the machine, or handed in.

use std::sync::Arc;

/// Gives the time of day, in milliseconds since 1970-01-01T00:00:00Z.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clock of the machine.
pub(crate) fn system() -> NowMs {
    Arc::new(|| jiff::Timestamp::now().as_millisecond())
}
