//! Delays between attempts. They double each time, with jitter, up to a limit.

use postroom_model::Options;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::DueAt;
use std::time::Duration;

/// No pause of an account is longer that delays a message.
pub(crate) const PAUSE_LONGEST: Duration = Duration::from_secs(900);

/// The delay before attempt `failures + 1`, when `failures` (at least 1) have gone before.
///
/// It doubles from `first` up to `longest`. Up to a tenth is added or subtracted at random, so that
/// many accounts of one server do not return at the same moment.
#[must_use]
pub(crate) fn delay(clock: &Clock, failures: u32, first: Duration, longest: Duration) -> Duration {
    jittered(clock, doubled(failures, first, longest))
}

/// The delay without the random part.
#[must_use]
pub(crate) fn doubled(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    first.saturating_mul(1 << doublings).min(longest)
}

/// The delay, with a random tenth taken off or added.
#[must_use]
pub(crate) fn jittered(clock: &Clock, delay: Duration) -> Duration {
    delay.mul_f64(0.9 + 0.2 * clock.part())
}

/// A duration in milliseconds, as moments are counted.
#[must_use]
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// What is due now, for the deliveries of an account with these options.
#[must_use]
pub(crate) fn due_at(options: &Options, now_ms: i64) -> DueAt {
    DueAt { now_ms, latest_ms: latest_ms(options, now_ms) }
}

/// No retry is later than this, with jitter and pauses. A later one was planned before the clock
/// was set back.
#[must_use]
pub(crate) fn latest_ms(options: &Options, now_ms: i64) -> i64 {
    let longest = options.duration(&options::RETRY_LONGEST).mul_f64(1.25);
    now_ms.saturating_add(ms(longest)).saturating_add(ms(PAUSE_LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let delay = |failures| {
            delay(&Clock::system(), failures, Duration::from_secs(10), Duration::from_secs(60))
                .as_secs_f64()
        };
        for (failures, want) in [(0, 10.0), (1, 10.0), (2, 20.0), (3, 40.0), (4, 60.0), (99, 60.0)]
        {
            let got = delay(failures);
            assert!((want * 0.89..=want * 1.11).contains(&got), "{failures}: {got}");
        }
    }
}
