//! Simulated time: it passes only when nothing has anything to do, and the time of day jumps.

use postroom_store::TimeAndChance;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// When each simulation begins: 2025-06-01.
const BEGIN_MS: i64 = 1_748_736_000_000;

/// How far the time of day may be ahead. The feed keeps its rows for a day longer.
const AHEAD_MS_MAX: i64 = 6 * 86_400_000;

/// The time of a simulation, and the chance that its engine has.
#[derive(Debug)]
pub struct SimulatedTime(Mutex<ClockState>);

#[derive(Debug)]
struct ClockState {
    /// How much time had passed when the present process began.
    before: Duration,
    /// When the present process began, by the clock of its runtime.
    began: Option<Instant>,
    /// How far the time of day is off.
    off_ms: i64,
    chance: fastrand::Rng,
}

impl SimulatedTime {
    /// The time of a simulation that has not begun.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        Self(Mutex::new(ClockState { before: Duration::ZERO, began: None, off_ms: 0, chance }))
    }

    /// A process begins; called on its runtime.
    pub fn process_begins(&self) {
        self.inner().began = Some(Instant::now());
    }

    /// The process ends; called on its runtime.
    pub fn process_ends(&self) {
        let mut inner = self.inner();
        inner.before = passed(&inner);
        inner.began = None;
    }

    /// How much time has passed since the simulation began.
    #[must_use]
    pub fn passed(&self) -> Duration {
        passed(&self.inner())
    }

    /// The time of day that the servers have, which never jumps.
    #[must_use]
    pub fn server_ms(&self) -> i64 {
        BEGIN_MS + ms(self.passed())
    }

    /// The time of day of the engine jumps, and is never too far ahead.
    pub fn jump(&self, ms: i64) {
        let mut inner = self.inner();
        inner.off_ms = inner.off_ms.saturating_add(ms).min(AHEAD_MS_MAX);
    }

    /// Whether the time of day of the engine can jump so far.
    #[must_use]
    pub fn can_jump(&self, ms: i64) -> bool {
        self.inner().off_ms.saturating_add(ms) <= AHEAD_MS_MAX
    }

    fn inner(&self) -> MutexGuard<'_, ClockState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn passed(inner: &ClockState) -> Duration {
    inner.before + inner.began.map_or(Duration::ZERO, |began| began.elapsed())
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

impl TimeAndChance for SimulatedTime {
    fn now_ms(&self) -> i64 {
        let inner = self.inner();
        BEGIN_MS + ms(passed(&inner)) + inner.off_ms
    }

    fn random(&self) -> u64 {
        self.inner().chance.u64(..)
    }
}
