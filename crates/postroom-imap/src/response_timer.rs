//! How long to wait for one answer. Only the time in which we are ready to read counts, because the
//! server is not at fault if our own code reads slowly.

use std::time::Duration;

/// How long to wait while one response arrives.
#[derive(Debug)]
pub(crate) struct ResponseTimer {
    silence: Duration,
    whole: Duration,
    bytes_per_second_min: u64,
    waited: Duration,
    /// The time that is left. Octets that arrive add to it, but never beyond `whole`. So a server
    /// that sent a burst may not trickle afterwards.
    left: Duration,
}

impl ResponseTimer {
    /// Limited as a whole, however much arrives.
    pub(crate) fn whole(silence: Duration, whole: Duration) -> Self {
        let silence = silence.min(whole);
        let waited = Duration::ZERO;
        Self { silence, whole, bytes_per_second_min: u64::MAX, waited, left: whole }
    }

    /// Extended by each octet that arrives.
    pub(crate) fn by_rate(silence: Duration, bytes_per_second_min: u64) -> Self {
        let bytes_per_second_min = bytes_per_second_min.max(1);
        let waited = Duration::ZERO;
        Self { silence, whole: silence, bytes_per_second_min, waited, left: silence }
    }

    /// Starts again, because a whole response has arrived.
    pub(crate) fn renew(&mut self) {
        (self.waited, self.left) = (Duration::ZERO, self.whole);
    }

    /// Subtracts the time that was waited.
    pub(crate) fn spend(&mut self, waited: Duration) {
        self.waited += waited;
        self.left = self.left.saturating_sub(waited);
    }

    /// Adds time for the octets that arrived.
    pub(crate) fn earn(&mut self, received: u64) {
        let nanoseconds = received.saturating_mul(1_000_000_000) / self.bytes_per_second_min;
        self.left = (self.left + Duration::from_nanos(nanoseconds)).min(self.whole);
    }

    /// The time waited since the beginning.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// How long the next wait may be.
    pub(crate) fn left(&self) -> Duration {
        self.silence.min(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trickle_ends_but_a_stream_does_not() {
        let mut whole = ResponseTimer::whole(SECOND * 2, SECOND * 5);
        let mut by_rate = ResponseTimer::by_rate(SECOND * 2, 100);
        for timer in [&mut whole, &mut by_rate] {
            assert_eq!(timer.left(), SECOND * 2);
            timer.spend(SECOND);
            timer.earn(1);
        }
        assert_eq!((whole.left(), by_rate.left()), (SECOND * 2, SECOND + SECOND / 100));
        by_rate.earn(1000);
        assert_eq!(by_rate.left(), SECOND * 2);
        by_rate.spend(SECOND * 11);
        assert_eq!(by_rate.left(), Duration::ZERO);
        by_rate.renew();
        assert_eq!(by_rate.left(), SECOND * 2);
        whole.spend(SECOND * 10);
        assert_eq!(whole.left(), Duration::ZERO);
    }
}
