//! How many requests a token may send in each second.
//!
//! A token that was quiet may send those of one second at once. Each request takes its share of a
//! second, and a token that is ahead of the time by a whole second must wait.

use crate::problem::Problem;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use postroom_model::Domain;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How many tokens are remembered before those that may send all of a second are forgotten.
const TOKENS_KEPT: usize = 1000;
/// What the requests of a token have to fit into.
const SECOND: Duration = Duration::from_secs(1);

/// A token that sends requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RatedToken {
    /// Its domain.
    pub domain: Domain,
    /// Its name.
    pub name: String,
}

/// Until when each token has used its share of the time.
#[derive(Debug, Default)]
pub struct Rates {
    used: Mutex<HashMap<RatedToken, Instant>>,
    /// How many requests a token may send in each second. 0: any number.
    per_second: AtomicU32,
}

impl Rates {
    /// Takes the share of one request, if there is a limit.
    ///
    /// # Errors
    ///
    /// 429 with `Retry-After` when the token has sent too many.
    pub(crate) fn take(&self, token: RatedToken) -> Result<(), Problem> {
        let per_second = NonZeroU32::new(self.per_second.load(Ordering::Relaxed));
        let Some(per_second) = per_second else { return Ok(()) };
        match self.wait(token, per_second, Instant::now()) {
            Some(wait) => Err(too_many(per_second, wait)),
            None => Ok(()),
        }
    }

    /// From now on a token may send so many requests in each second. `None`: any number.
    pub(crate) fn limit(&self, per_second: Option<NonZeroU32>) {
        self.per_second.store(per_second.map_or(0, NonZeroU32::get), Ordering::Relaxed);
    }

    /// How long a token must wait before its next request. `None`: the request is taken.
    fn wait(&self, token: RatedToken, per_second: NonZeroU32, now: Instant) -> Option<Duration> {
        let mut tokens = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_KEPT {
            tokens.retain(|_, used| *used > now);
        }
        let share = SECOND / per_second.get();
        let used = tokens.entry(token).or_insert(now);
        let next = (*used).max(now) + share;
        let ahead = next.saturating_duration_since(now);
        if ahead > SECOND {
            return Some(ahead - SECOND);
        }
        *used = next;
        None
    }
}

fn too_many(per_second: NonZeroU32, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    let detail = format!(
        "this token may send {per_second} requests in a second; send it again in {seconds} s"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> RatedToken {
        RatedToken { domain: Domain::default_domain(), name: name.to_owned() }
    }

    #[test]
    fn a_token_has_so_many_requests_in_a_second() {
        let (rates, start) = (Rates::default(), Instant::now());
        let ten = NonZeroU32::new(10).unwrap();
        let sent = |name: &str, millis: u64| {
            rates.wait(token(name), ten, start + Duration::from_millis(millis))
        };
        for _ in 0..10 {
            assert_eq!(sent("one", 0), None);
        }
        assert_eq!(sent("one", 0), Some(Duration::from_millis(100)));
        assert_eq!(sent("another", 0), None);
        // Refused requests cost nothing, and each tenth of a second brings one.
        assert_eq!(sent("one", 99), Some(Duration::from_millis(1)));
        assert_eq!(sent("one", 100), None);
        assert_eq!(sent("one", 100), Some(Duration::from_millis(100)));
        let all = (0..100).filter(|_| sent("one", 60_000).is_none()).count();
        assert_eq!(all, 10);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (rates, start, ten) = (Rates::default(), Instant::now(), NonZeroU32::new(10).unwrap());
        for number in 0..100_000 {
            let now = start + Duration::from_millis(number);
            assert_eq!(rates.wait(token(&number.to_string()), ten, now), None);
        }
        assert!(rates.used.lock().unwrap().len() <= TOKENS_KEPT);
    }
}
