//! Pace: how fast the server accepts the account's mail.
//!
//! A reply about a limit pauses the account: shortly at first, and twice as long each time the next
//! message gets such a reply too. After a pause, a gap between messages remains, so that a server
//! that accepts one message a second gets one a second. The gap shrinks while all goes well.

use crate::backoff;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause, and the first gap between messages.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause. A limit of an hour or a day is tested this often.
const LONGEST: Duration = backoff::PAUSE_LONGEST;
/// The longest gap between messages.
const SPACE_MAX: Duration = Duration::from_secs(60);
/// A shorter gap counts as none.
const SPACE_MIN: Duration = Duration::from_millis(100);
/// After so many messages without a limit, the gap shrinks.
const GOOD_RUN: u32 = 20;

/// What is known of the pace of one server.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    space: Duration,
    last: Option<Instant>,
    limits: u32,
    good: u32,
}

impl Pace {
    /// Notes an accepted message.
    pub(crate) fn accepted(&mut self, now: Instant) {
        self.last = Some(now);
        self.limits = 0;
        self.good += 1;
        if self.good >= GOOD_RUN {
            self.good = 0;
            self.space = self.space.mul_f64(0.7);
            if self.space < SPACE_MIN {
                self.space = Duration::ZERO;
            }
        }
    }

    /// Notes a reply about a limit. Gives how long nothing is sent.
    pub(crate) fn limited(&mut self) -> Duration {
        if self.limits == 0 {
            self.space = self.space.mul_f64(1.25).clamp(FIRST, SPACE_MAX);
        }
        self.suspected()
    }

    /// Notes a reply that may be about a limit. Gives how long nothing is sent. No gap remains
    /// afterwards, because the reply may be about something else.
    pub(crate) fn suspected(&mut self) -> Duration {
        self.good = 0;
        self.limits += 1;
        let doublings = self.limits.saturating_sub(1).min(16);
        FIRST.saturating_mul(1 << doublings).max(self.space).min(LONGEST)
    }

    /// When the next message may be sent. `None`: now.
    #[must_use]
    pub(crate) fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.last.map(|last| last + self.space).filter(|ready| *ready > now)
    }

    /// Whether messages are sent one at a time.
    #[must_use]
    pub(crate) fn is_slow(&self) -> bool {
        !self.space.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends to a server that takes a message when the last one is `every` ago; gives the seconds
    /// that it takes, and how many bodies were in vain.
    fn send(count: u32, every: f64) -> (f64, u32) {
        let start = Instant::now();
        let (mut now, mut free, mut refused, mut sent) = (start, start, 0, 0);
        let mut pace = Pace::default();
        while sent < count {
            if let Some(ready) = pace.ready_at(now) {
                now = ready;
            }
            now += Duration::from_millis(5);
            if now >= free {
                free = now + Duration::from_secs_f64(every);
                pace.accepted(now);
                sent += 1;
            } else {
                refused += 1;
                now += pace.limited();
            }
        }
        (now.duration_since(start).as_secs_f64(), refused)
    }

    #[test]
    fn the_pace_is_that_of_the_server() {
        #[rustfmt::skip]
        let table = [
            // messages, seconds between, at most seconds, at most bodies in vain
            (30,         1.0,             36.0,            5),
            (300,        1.0,             370.0,           40),
            (1000,       0.0,             6.0,             0),
            (20,         10.0,            320.0,           60),
        ];
        for (count, every, seconds_max, refused_max) in table {
            let (seconds, refused) = send(count, every);
            assert!(seconds <= seconds_max, "{count} every {every} s took {seconds} s");
            assert!(refused <= refused_max, "{count} every {every} s: {refused} in vain");
        }
    }

    #[test]
    fn pauses_grow_while_nothing_is_taken() {
        let mut pace = Pace::default();
        let pauses: Vec<_> = (0..12).map(|_| pace.limited().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        pace.accepted(Instant::now());
        assert_eq!(pace.limited().as_secs(), 1);
        let mut pace = Pace::default();
        let pauses: Vec<_> = (0..3).map(|_| pace.suspected().as_secs()).collect();
        assert_eq!((pauses, pace.is_slow()), (vec![1, 2, 4], false));
    }
}
