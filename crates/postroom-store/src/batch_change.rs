//! The change to which statements of a batch belong.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// One change that a batch makes, to which several of its statements belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BatchChange(u64);

impl BatchChange {
    /// A change to which no statement belongs yet.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
