//! What a function of ours may do before it looks at the clock: SQLite itself cannot interrupt it.

use std::fmt;

/// How many bytes are looked at between two questions whether the time is up.
const QUESTION_BYTES: usize = 64 << 10;

/// The time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeIsUp;

/// The work of one call.
pub struct Effort<'a> {
    is_over: &'a dyn Fn() -> bool,
    unasked_bytes: usize,
}

impl fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effort").field("unasked_bytes", &self.unasked_bytes).finish_non_exhaustive()
    }
}

impl<'a> Effort<'a> {
    /// Begins. `is_over` says whether the time is up.
    pub fn new(is_over: &'a dyn Fn() -> bool) -> Self {
        Self { is_over, unasked_bytes: 0 }
    }

    /// Notes that so many bytes are looked at.
    pub fn spend(&mut self, bytes: usize) -> Result<(), TimeIsUp> {
        self.unasked_bytes = self.unasked_bytes.saturating_add(bytes);
        if self.unasked_bytes >= QUESTION_BYTES {
            self.unasked_bytes = 0;
            if (self.is_over)() {
                return Err(TimeIsUp);
            }
        }
        Ok(())
    }
}
