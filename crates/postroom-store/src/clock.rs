//! The wall clock and new ids: the one place that reads the time of day.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// Now, in milliseconds since 1970; 0 when the clock stands before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the time of day")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A new id: a UUID of version 7, which grows with time (RFC 9562 §5.7).
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
