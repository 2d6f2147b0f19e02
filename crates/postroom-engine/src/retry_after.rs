//! When a server asks to come back.
//!
//! Standards: RFC 9110 §10.2.3 (Retry-After).

use postroom_model::Timestamp;
use std::time::Duration;

/// The field Retry-After.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    /// So long after the answer.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Seconds, or a time in the form of HTTP.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().parse() {
            Ok(seconds) => Some(Self::In(Duration::from_secs(seconds))),
            Err(_) => Timestamp::parse_http(text).map(Self::At),
        }
    }

    /// How long to wait from `now` on.
    pub(crate) fn pause(self, now: Timestamp) -> Duration {
        match self {
            Self::In(pause) => pause,
            Self::At(at) => {
                let left = at.as_ms().saturating_sub(now.as_ms());
                Duration::from_millis(u64::try_from(left).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let now = Timestamp::parse("2026-11-29T10:00:00Z").unwrap();
        let pause = |text: &str| RetryAfter::parse(text).map(|one| one.pause(now).as_secs());
        #[rustfmt::skip]
        let table = [
            ("120",                           Some(120)),
            ("Sun, 29 Nov 2026 10:01:00 GMT", Some(60)),
            ("Sun, 29 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon",                          None),
            ("-5",                            None),
            ("",                              None),
        ];
        for (text, want) in table {
            assert_eq!(pause(text), want, "{text}");
        }
    }
}
