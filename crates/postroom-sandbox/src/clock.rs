//! The time of day, read here and nowhere else in the crate: for INTERNALDATE (RFC 3501 §2.3.3).

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
