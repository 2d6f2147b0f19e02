//! The clock gives the time of day, new ids and random numbers. Whoever opens the store chooses it.
//!
//! The product uses [`Clock::system`]. A simulation passes a time of day and random numbers of its
//! own, so that the same seed gives the same history. Code does not wait with this clock, but with
//! tokio's timers, which tests can pause.

use postroom_model::ClassId;
use postroom_model::EntityId;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use uuid::Builder;
use uuid::Uuid;

/// What a clock reads.
pub trait TimeAndChance: Send + Sync + fmt::Debug {
    /// The time of day, in milliseconds since 1970. It may jump, forwards and backwards.
    fn now_ms(&self) -> i64;

    /// A random number.
    fn random(&self) -> u64;
}

/// The time of day, new ids and chance. Clones share what they read.
#[derive(Debug, Clone)]
pub struct Clock(ClockKind);

#[derive(Debug, Clone)]
enum ClockKind {
    System,
    HandedIn { source: Arc<dyn TimeAndChance>, last: Arc<Mutex<Last>> },
}

/// The last id of a clock that was handed in.
#[derive(Debug, Default)]
struct Last {
    ms: u64,
    count: u16,
}

/// When this was written (2026-11-30), in milliseconds since 1970. A machine's clock that shows
/// less is behind.
const WRITTEN_MS: i64 = 1_795_996_800_000;

/// How many ids have the same millisecond. Further ids get the next millisecond.
const COUNT_MAX: u16 = 0xfff;

impl Clock {
    /// The clock and the chance of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self(ClockKind::System)
    }

    /// A clock that reads `source`.
    #[must_use]
    pub fn of(source: Arc<dyn TimeAndChance>) -> Self {
        Self(ClockKind::HandedIn { source, last: Arc::default() })
    }

    /// Now, in milliseconds since 1970. 0 if the machine's clock is before 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            ClockKind::System => system_ms(),
            ClockKind::HandedIn { source, .. } => source.now_ms(),
        }
    }

    /// A time that has certainly been, in milliseconds since 1970. 0: none is known, because the
    /// clock was handed in.
    pub(crate) fn least_ms(&self) -> i64 {
        match &self.0 {
            ClockKind::System => WRITTEN_MS,
            ClockKind::HandedIn { .. } => 0,
        }
    }

    /// A new id: a UUID of version 7, which grows with time (RFC 9562 §5.7).
    #[must_use]
    pub fn new_id(&self) -> EntityId {
        EntityId::from_u128(self.new_uuid().as_u128())
    }

    /// The same for a class.
    #[must_use]
    pub fn new_class_id(&self) -> ClassId {
        ClassId::from_u128(self.new_uuid().as_u128())
    }

    fn new_uuid(&self) -> Uuid {
        let ClockKind::HandedIn { source, last } = &self.0 else {
            return Uuid::now_v7();
        };
        let now_ms = u64::try_from(source.now_ms()).unwrap_or(0);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms > last.ms {
            *last = Last { ms: now_ms, count: 0 };
        } else if last.count < COUNT_MAX {
            last.count += 1;
        } else {
            *last = Last { ms: last.ms + 1, count: 0 };
        }
        let mut random = [0; 10];
        let (count, chance) = random.split_at_mut(2);
        count.copy_from_slice(&last.count.to_be_bytes());
        chance.copy_from_slice(&source.random().to_be_bytes());
        Builder::from_unix_timestamp_millis(last.ms, &random).into_uuid()
    }

    /// A random number: at least 0, below 1.
    #[must_use]
    pub fn part(&self) -> f64 {
        // 53 bits are what a double holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let part = (self.random() >> 11) as f64 / (1_u64 << 53) as f64;
        part
    }

    /// A random number below `count`. 0 if `count` is 0.
    #[must_use]
    pub fn below(&self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let number = self.random().checked_rem(count).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }

    fn random(&self) -> u64 {
        match &self.0 {
            ClockKind::System => fastrand::u64(..),
            ClockKind::HandedIn { source, .. } => source.random(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the time of day")]
fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicI64;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    #[derive(Debug)]
    struct Handed {
        ms: AtomicI64,
        random: AtomicU64,
    }

    impl TimeAndChance for Handed {
        fn now_ms(&self) -> i64 {
            self.ms.load(Ordering::Relaxed)
        }

        fn random(&self) -> u64 {
            self.random.fetch_add(u64::MAX / 10, Ordering::Relaxed)
        }
    }

    fn handed(ms: i64) -> (Arc<Handed>, Clock) {
        let source = Arc::new(Handed { ms: AtomicI64::new(ms), random: AtomicU64::new(0) });
        (Arc::clone(&source), Clock::of(source))
    }

    #[test]
    fn ids_of_a_clock_that_was_handed_in_are_the_same_each_time_and_grow_whatever_it_shows() {
        let ids = || {
            let (source, clock) = handed(1000);
            let mut ids: Vec<_> = (0..5000).map(|_| clock.new_id()).collect();
            source.ms.store(5, Ordering::Relaxed);
            ids.push(clock.new_id());
            source.ms.store(9000, Ordering::Relaxed);
            ids.push(clock.new_id());
            ids
        };
        let first = ids();
        assert_eq!(first, ids());
        assert!(first.is_sorted_by(|one, next| one < next));
        assert!(first.iter().all(|id| id.uuid().get_version_num() == 7));
    }

    #[test]
    fn chance_stays_within_its_bounds() {
        for clock in [Clock::system(), handed(0).1] {
            let parts: Vec<_> = (0..20).map(|_| clock.part()).collect();
            assert!(parts.iter().all(|part| (0.0..1.0).contains(part)), "{parts:?}");
            assert!(parts.iter().any(|part| *part > 0.5) && parts.iter().any(|part| *part < 0.5));
            assert!((0..20).all(|_| clock.below(3) < 3));
            assert_eq!(clock.below(0), 0);
        }
    }
}
