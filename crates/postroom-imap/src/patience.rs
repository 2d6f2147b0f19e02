//! How long to wait for one answer. Only time in which we are ready to read counts: a slow reader
//! of ours is no fault of the server.

use std::time::Duration;

/// How long to wait while one thing comes in.
#[derive(Debug)]
pub(crate) struct Patience {
    silence: Duration,
    whole: Duration,
    bytes_per_second_min: u64,
    waited: Duration,
    /// What is left of it. What comes in adds to it, but never beyond `whole`: a burst is no
    /// leave to trickle afterwards.
    left: Duration,
}

impl Patience {
    /// Bounded as a whole, however much comes in.
    pub(crate) fn whole(silence: Duration, whole: Duration) -> Self {
        let silence = silence.min(whole);
        let waited = Duration::ZERO;
        Self { silence, whole, bytes_per_second_min: u64::MAX, waited, left: whole }
    }

    /// Extended by what comes in.
    pub(crate) fn by_rate(silence: Duration, bytes_per_second_min: u64) -> Self {
        let bytes_per_second_min = bytes_per_second_min.max(1);
        let waited = Duration::ZERO;
        Self { silence, whole: silence, bytes_per_second_min, waited, left: silence }
    }

    /// Begins anew: a response came in whole.
    pub(crate) fn renew(&mut self) {
        (self.waited, self.left) = (Duration::ZERO, self.whole);
    }

    /// Notes what was waited.
    pub(crate) fn spend(&mut self, waited: Duration) {
        self.waited += waited;
        self.left = self.left.saturating_sub(waited);
    }

    /// Notes what came in.
    pub(crate) fn earn(&mut self, received: u64) {
        let nanoseconds = received.saturating_mul(1_000_000_000) / self.bytes_per_second_min;
        self.left = (self.left + Duration::from_nanos(nanoseconds)).min(self.whole);
    }

    /// How long was waited since the beginning.
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
        let mut whole = Patience::whole(SECOND * 2, SECOND * 5);
        let mut by_rate = Patience::by_rate(SECOND * 2, 100);
        for patience in [&mut whole, &mut by_rate] {
            assert_eq!(patience.left(), SECOND * 2);
            patience.spend(SECOND);
            patience.earn(1);
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
