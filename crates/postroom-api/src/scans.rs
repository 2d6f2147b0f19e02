//! Scans: a token whose lists take too long must wait.
//!
//! A token may have one slow list running all the time. Each slow list adds the time that the
//! database worked for it to what the token owes, and each second pays one second of it. If a token
//! owes too much, its lists are refused until enough is paid. Waiting for a turn costs nothing.
//! Single entities and changes are never refused.

use crate::limits::Limits;
use crate::problem::Problem;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use postroom_store::ScanMeter;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// What tokens owe.
#[derive(Debug, Default)]
pub struct Scans {
    tokens: Mutex<HashMap<String, Owed>>,
}

/// The client that lists, and the limits for it.
#[derive(Debug, Clone)]
pub(crate) struct ListedBy {
    /// The domain and the name of the token.
    pub token: String,
    /// The limits of the interface.
    pub limits: Arc<Limits>,
    /// Measures what the database does for the request.
    pub meter: ScanMeter,
}

/// How much time a token owes, and when this was computed.
#[derive(Debug, Clone, Copy)]
struct Owed {
    time: Duration,
    at: Instant,
}

impl Owed {
    fn left(self, now: Instant) -> Duration {
        self.time.saturating_sub(now.saturating_duration_since(self.at))
    }
}

/// A list that is being made. It counts also if its client goes away.
struct RunningList<'a> {
    scans: &'a Scans,
    token: &'a str,
    slow_from: Duration,
    meter: &'a ScanMeter,
    /// What was measured before the list.
    before: Duration,
}

impl Drop for RunningList<'_> {
    fn drop(&mut self) {
        let took = self.meter.taken().saturating_sub(self.before);
        if took >= self.slow_from {
            self.scans.add(self.token, took, Instant::now());
        }
    }
}

impl Scans {
    /// Makes a list for a token, unless the token owes too much.
    ///
    /// # Errors
    ///
    /// 429 with `Retry-After`; those of the list.
    pub(crate) async fn list<T>(
        &self,
        ListedBy { token, limits, meter }: &ListedBy,
        list: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        if let Some(wait) = self.wait(token, limits.slow_lists_max, Instant::now()) {
            return Err(too_many(wait.as_secs() + 1));
        }
        let (slow_from, before) = (limits.slow_list_from, meter.taken());
        let _running = RunningList { scans: self, token, slow_from, meter, before };
        list.await
    }

    /// How long a token must wait. `None`: not at all.
    fn wait(&self, token: &str, owed_max: Duration, now: Instant) -> Option<Duration> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let left = tokens.get(token)?.left(now);
        left.checked_sub(owed_max).filter(|wait| !wait.is_zero())
    }

    fn add(&self, token: &str, took: Duration, now: Instant) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, owed| !owed.left(now).is_zero());
        let left = tokens.get(token).map_or(Duration::ZERO, |owed| owed.left(now));
        tokens.insert(token.to_owned(), Owed { time: left + took, at: now });
    }
}

fn too_many(seconds: u64) -> Problem {
    let detail = format!(
        "the lists of this token take too much time from others; list again in {seconds} s, and \
         filter by `folder_id`, `account_id`, `messageState`, `messageId` or an index of your own"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-scans", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_list_after_the_other_is_never_refused_and_two_at_once_are() {
        let (scans, start, max) = (Scans::default(), Instant::now(), Duration::from_secs(60));
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in (0..600).step_by(20) {
            assert_eq!(scans.wait("one", max, at(second)), None, "{second}");
            scans.add("one", Duration::from_secs(20), at(second + 20));
        }
        let two = |second| {
            scans.add("two", Duration::from_secs(20), at(second));
            scans.add("two", Duration::from_secs(20), at(second));
            scans.wait("two", max, at(second))
        };
        assert_eq!([two(620), two(640)], [None, None]);
        // 40 s each time, of which 20 s are paid until the next.
        assert_eq!(two(660), Some(Duration::from_secs(20)));
        assert_eq!(scans.wait("two", max, at(679)), Some(Duration::from_secs(1)));
        assert_eq!(scans.wait("two", max, at(680)), None);
        assert_eq!(scans.wait("another", max, at(660)), None);
        // Whoever owes nothing is forgotten.
        scans.add("another", Duration::from_secs(1), at(2000));
        assert_eq!(scans.tokens.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_waits_for_its_turn_costs_nothing() {
        let (scans, meter) = (Scans::default(), ScanMeter::default());
        let by = ListedBy { token: "one".to_owned(), limits: Arc::default(), meter };
        for _ in 0..10 {
            let list = async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                Ok(())
            };
            scans.list(&by, list).await.unwrap();
        }
        assert!(scans.tokens.lock().unwrap().is_empty());
    }
}
