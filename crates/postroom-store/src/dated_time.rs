//! The time that messages are dated with.
//!
//! ```text
//!   the clock ──► is it behind what was known by more than two days? ──► no:  the clock
//!                                                                        yes: what was known, and
//!                                                                             the time since then
//! ```
//! A message that a wrong clock dates years ago would expire when the clock is right again. So a
//! clock that has gone back that far is not believed until Postroom has run with it for a day,
//! in which somebody can see the warning. A smaller error deletes nothing that is not old.

use crate::believed_time::DatesSeen;
use crate::believed_time::ExpiryClock;
use crate::clock::Clock;
use crate::database::Database;
use crate::database::Statement;
use crate::error::Error;
use crate::set_up::read_one;
use postroom_model::Timestamp;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// A clock that is behind by more than this is doubted. In milliseconds.
const DOUBTED_MS: i64 = 2 * 86_400_000;
/// A server whose date differs by less than this agrees with the clock. In milliseconds.
const AGREES_MS: u64 = 3_600_000;
/// How long Postroom runs with such a clock until it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(86_400);

/// What is known of the time of day.
#[derive(Debug)]
pub(crate) struct KnownTimes {
    /// The time by which things expire.
    pub expiry: tokio::sync::Mutex<ExpiryClock>,
    /// How servers have dated new messages.
    pub seen: DatesSeen,
    /// The time that messages are dated with.
    pub dated: DatedTime,
}

impl KnownTimes {
    /// What the database knows, and what is known of any clock.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub(crate) async fn begin(database: &dyn Database, clock: &Clock) -> Result<Self, Error> {
        let sql = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'known time'";
        let kept = read_one(database, sql).await?.and_then(|row| row.whole(0));
        let dated = DatedTime::of(kept.unwrap_or(0).max(clock.least_ms()));
        Ok(Self { expiry: tokio::sync::Mutex::default(), seen: DatesSeen::default(), dated })
    }
}

/// The time of day that messages are dated with.
#[derive(Debug)]
pub(crate) struct DatedTime(Mutex<KnownTime>);

/// A time that has been.
#[derive(Debug, Clone, Copy)]
struct KnownTime {
    /// The time, in milliseconds since 1970.
    at_ms: i64,
    /// When that was.
    at: Instant,
    /// Since when the clock is behind it. `None`: it is not.
    doubted: Option<Instant>,
}

impl KnownTime {
    fn of(at_ms: i64) -> Self {
        Self { at_ms, at: Instant::now(), doubted: None }
    }

    fn now_ms(&self) -> i64 {
        let ran = i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.at_ms.saturating_add(ran)
    }

    fn is_doubted(&self, clock_ms: i64) -> bool {
        clock_ms < self.now_ms().saturating_sub(DOUBTED_MS)
    }
}

impl DatedTime {
    /// It was this late already, in milliseconds since 1970.
    fn of(at_ms: i64) -> Self {
        Self(Mutex::new(KnownTime::of(at_ms)))
    }

    /// The time, when the clock shows this.
    pub(crate) fn now_ms(&self, clock_ms: i64) -> i64 {
        let known = self.known();
        if known.is_doubted(clock_ms) { known.now_ms() } else { clock_ms }
    }

    /// Learns what the clock shows, and the time that is believed, which may be earlier. A doubted
    /// clock is believed when it has shown that for long enough.
    pub(crate) fn learn(&self, clock_ms: i64, believed_ms: i64) {
        let mut known = self.known();
        if !known.is_doubted(clock_ms) {
            known.doubted = None;
            if !known.is_doubted(believed_ms) {
                *known = KnownTime::of(believed_ms);
            }
            return;
        }
        let known_ms = known.now_ms();
        let since = *known.doubted.get_or_insert_with(|| {
            tracing::warn!(
                clock = %Timestamp::from_ms(clock_ms),
                known = %Timestamp::from_ms(known_ms),
                "the clock is behind what was known: new mail is dated by what was known, for a \
                 day at most; correct the clock"
            );
            Instant::now()
        });
        if since.elapsed() >= BELIEVED_AFTER {
            *known = KnownTime::of(clock_ms);
        }
    }

    /// Learns how a server has dated a new message. If it agrees with a clock that is doubted, the
    /// clock is right, and what was known is not.
    pub(crate) fn witness(&self, dated_ms: i64, clock_ms: i64) {
        let mut known = self.known();
        if known.is_doubted(clock_ms) && dated_ms.abs_diff(clock_ms) < AGREES_MS {
            tracing::info!("a mail server dates messages as the clock does: it is believed");
            *known = KnownTime::of(clock_ms);
        }
    }

    /// Believes this time, for those who know it.
    pub(crate) fn believe(&self, at_ms: i64) {
        *self.known() = KnownTime::of(at_ms);
    }

    fn known(&self) -> MutexGuard<'_, KnownTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement that keeps what is known.
    pub(crate) fn kept(&self) -> Statement {
        let sql = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('known time', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        Statement::new(sql).bind(self.known().now_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const BEGIN_MS: i64 = 20_000 * DAY_MS;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_far_behind_is_believed_after_a_day() {
        let time = DatedTime::of(0);
        let hour = Duration::from_secs(3_600);
        time.learn(BEGIN_MS, BEGIN_MS);
        tokio::time::advance(hour).await;
        assert_eq!(time.now_ms(BEGIN_MS + 400 * DAY_MS), BEGIN_MS + 400 * DAY_MS, "it is ahead");
        let behind_ms = BEGIN_MS - 400 * DAY_MS;
        assert_eq!(time.now_ms(behind_ms), BEGIN_MS + DAY_MS / 24, "an hour has passed");
        assert_eq!(time.now_ms(BEGIN_MS - DAY_MS), BEGIN_MS - DAY_MS, "that deletes nothing");
        for _ in 0..24 {
            time.learn(behind_ms, behind_ms);
            assert_eq!(time.now_ms(BEGIN_MS), BEGIN_MS, "it is right again");
            assert!(time.now_ms(behind_ms) > BEGIN_MS);
            tokio::time::advance(hour).await;
        }
        time.learn(behind_ms, behind_ms);
        assert_eq!(time.now_ms(behind_ms), behind_ms, "a day has passed");
        let earlier_ms = behind_ms - 400 * DAY_MS;
        time.witness(behind_ms, earlier_ms);
        assert!(time.now_ms(earlier_ms) > earlier_ms, "the server has another time");
        time.witness(earlier_ms - 1_000, earlier_ms);
        assert_eq!(time.now_ms(earlier_ms), earlier_ms, "the server agrees");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_right_again_is_not_behind_though_what_expires_waits() {
        let time = DatedTime::of(BEGIN_MS);
        let behind_ms = BEGIN_MS - 400 * DAY_MS;
        time.learn(behind_ms, behind_ms);
        for hour in 0..48 {
            time.learn(BEGIN_MS + hour * DAY_MS / 24, behind_ms);
            tokio::time::advance(Duration::from_secs(3_600)).await;
        }
        assert!(time.now_ms(behind_ms) >= BEGIN_MS + 2 * DAY_MS, "the next jump is doubted too");
    }
}
