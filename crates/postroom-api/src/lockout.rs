//! The lock-out: a source that sends many wrong tokens is refused for a while.
//!
//! ```text
//!   5 wrong tokens of a source                     its further wrong tokens get 429
//!   5 different ones that begin alike, of a source   whatever begins so gets 429, unlooked at
//! ```
//! So nobody can go on guessing the rest of a token whose beginning has become known. Nobody locks
//! others out: a good token is accepted from any other source, from the same source if it begins
//! otherwise, and where it was accepted lately. The length of a token protects against guessing all
//! of it. Comparing a token costs less than the request itself, because its hash is in memory.

use crate::source::network;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How many failures within [`WINDOW`] lock a source out.
const FAILURES_MAX: usize = 5;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(180);
/// How long a source is locked out.
const LOCKED: Duration = Duration::from_secs(180);
/// How many sources, and beginnings of tokens from them, are remembered. Beyond that, those seen
/// longest ago are forgotten.
const SOURCES_MAX: usize = 20_000;
/// How many characters the beginning of a token has.
const BEGINNING_CHARS: usize = 8;

/// A token, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownToken<'a> {
    /// The address of the client.
    pub source: IpAddr,
    /// The token.
    pub token: &'a str,
}

/// The sources that failed lately.
#[derive(Debug, Default)]
pub struct Lockout {
    hasher: RandomState,
    sources: Mutex<HashMap<WatchedSource, Suspicion>>,
}

/// What is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WatchedSource {
    source: IpAddr,
    /// The hash of the beginning of its tokens. `None`: whatever comes from there.
    beginning: Option<u64>,
}

#[derive(Debug)]
struct Suspicion {
    seen: Instant,
    failures: VecDeque<FailedToken>,
    locked_until: Option<Instant>,
    /// The hash of the last token of this beginning that was accepted from there.
    accepted: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct FailedToken {
    hash: u64,
    at: Instant,
}

impl Suspicion {
    fn locked_for(&self, now: Instant) -> Option<Duration> {
        let left = self.locked_until.map(|until| until.saturating_duration_since(now));
        left.filter(|left| !left.is_zero())
    }

    /// Notes a failure. Gives how long it was locked out before.
    fn fail(&mut self, failed: FailedToken) -> Option<Duration> {
        if let Some(left) = self.locked_for(failed.at) {
            return Some(left);
        }
        self.failures.push_back(failed);
        self.failures.retain(|one| failed.at.saturating_duration_since(one.at) < WINDOW);
        if self.failures.len() >= FAILURES_MAX {
            self.failures.clear();
            self.locked_until = Some(failed.at + LOCKED);
        }
        None
    }
}

impl Lockout {
    /// Whether a login with its password is not even looked at, and for how long. `None`: it is.
    ///
    /// The login that was accepted from there lately is looked at although others have locked its
    /// source out. So each guess at it counts even then, because the answer to the right password
    /// would tell it otherwise. A login that is locked out itself is looked at in no case.
    pub(crate) fn refused_login(&self, shown: ShownToken<'_>, now: Instant) -> Option<Duration> {
        let all = WatchedSource { source: network(shown.source), beginning: None };
        let (own, by_others) = {
            let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let own = sources.get(&self.beginning(shown));
            let is_accepted = own.and_then(|it| it.accepted) == Some(self.hash(shown.token));
            let locked = sources.get(&all).and_then(|suspicion| suspicion.locked_for(now));
            (own.and_then(|it| it.locked_for(now)), locked.filter(|_| !is_accepted))
        };
        if own.is_none() && by_others.is_some() {
            self.failed_once(shown, now);
        }
        own.or(by_others)
    }

    /// Whether a token is not even looked at, and for how long. `None`: it is.
    pub(crate) fn refused(&self, shown: ShownToken<'_>, now: Instant) -> Option<Duration> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let suspicion = sources.get(&self.beginning(shown))?;
        let is_accepted = suspicion.accepted == Some(self.hash(shown.token));
        suspicion.locked_for(now).filter(|_| !is_accepted)
    }

    /// Notes a good token.
    pub(crate) fn accepted(&self, shown: ShownToken<'_>, now: Instant) {
        let hash = self.hash(shown.token);
        self.with(self.beginning(shown), now, |suspicion| suspicion.accepted = Some(hash));
    }

    /// Notes a wrong token. Gives how long its source is locked out. `None`: it is not.
    pub(crate) fn failed(&self, shown: ShownToken<'_>, now: Instant) -> Option<Duration> {
        self.failed_once(shown, now);
        let failed = FailedToken { hash: self.hash(shown.token), at: now };
        let all = WatchedSource { source: network(shown.source), beginning: None };
        self.with(all, now, |suspicion| suspicion.fail(failed))
    }

    /// Notes a failure of what begins so. A client that repeats what was good once guesses nothing.
    fn failed_once(&self, shown: ShownToken<'_>, now: Instant) {
        let failed = FailedToken { hash: self.hash(shown.token), at: now };
        self.with(self.beginning(shown), now, |suspicion| {
            let is_known = suspicion.failures.iter().any(|one| one.hash == failed.hash);
            if !is_known {
                suspicion.fail(failed);
            }
        });
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    fn beginning(&self, shown: ShownToken<'_>) -> WatchedSource {
        let end = shown.token.char_indices().nth(BEGINNING_CHARS).map(|(at, _)| at);
        let beginning = end.and_then(|end| shown.token.get(..end)).unwrap_or(shown.token);
        WatchedSource { source: network(shown.source), beginning: Some(self.hash(beginning)) }
    }

    fn with<T>(
        &self,
        watched: WatchedSource,
        now: Instant,
        change: impl FnOnce(&mut Suspicion) -> T,
    ) -> T {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&watched) {
            forget(&mut sources, now);
        }
        let entry = sources.entry(watched).or_insert_with(|| Suspicion {
            seen: now,
            failures: VecDeque::new(),
            locked_until: None,
            accepted: None,
        });
        entry.seen = now;
        change(entry)
    }
}

/// Forgets the older half. Those that are locked out or have a good token are forgotten last.
fn forget(sources: &mut HashMap<WatchedSource, Suspicion>, now: Instant) {
    let rank = |one: &Suspicion| {
        (one.locked_until.is_some_and(|at| at > now) || one.accepted.is_some(), one.seen)
    };
    let mut ranks: Vec<_> = sources.values().map(rank).collect();
    let middle = ranks.len() / 2;
    let (_, median, _) = ranks.select_nth_unstable(middle);
    let median = *median;
    sources.retain(|_, source| rank(source) > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn from(source: IpAddr, token: &str) -> ShownToken<'_> {
        ShownToken { source, token }
    }

    #[test]
    fn five_failures_in_three_minutes_lock_a_source_out() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let failed = |source: &str, now| lockout.failed(from(source.parse().unwrap(), "x"), now);
        for second in 0..5 {
            assert_eq!(failed("127.0.0.1", at(second)), None);
        }
        assert_eq!(failed("127.0.0.1", at(4)), Some(LOCKED));
        assert_eq!(failed("::ffff:127.0.0.1", at(5)), Some(LOCKED - Duration::from_secs(1)));
        assert_eq!(failed("127.0.0.2", at(5)), None);
        // Further failures do not make it longer.
        assert_eq!(failed("127.0.0.1", at(4 + 180)), None);
    }

    #[test]
    fn rare_failures_are_forgiven() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for step in 0..20 {
            let now = start + Duration::from_secs(step * 46);
            assert_eq!(lockout.failed(from(HERE, "x"), now), None, "{step}");
        }
    }

    #[test]
    fn the_rest_of_a_known_beginning_cannot_be_guessed() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        let (good, other) = (from(HERE, "secret-7-and-more"), from(HERE, "another-token"));
        lockout.accepted(other, now);
        for guess in 0..5 {
            assert_eq!(lockout.refused(good, now), None, "{guess}");
            lockout.failed(from(HERE, &format!("secret-7{guess}")), now);
        }
        // Not even the right guess is told.
        assert_eq!(lockout.refused(good, now), Some(LOCKED));
        for fine in [from(THERE, good.token), other, from(HERE, "a-third-token"), from(HERE, "")] {
            assert_eq!(lockout.refused(fine, now), None, "{fine:?}");
        }
        assert_eq!(lockout.refused(good, now + LOCKED), None);
    }

    #[test]
    fn a_token_that_was_accepted_lately_is_not_locked_out() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        let (good, guess) = (from(HERE, "secret-7-and-more"), from(HERE, "secret-7-and-less"));
        lockout.accepted(good, now);
        for number in 0..5 {
            lockout.failed(from(HERE, &format!("secret-7{number}")), now);
        }
        assert_eq!((lockout.refused(good, now), lockout.refused(guess, now)), (None, Some(LOCKED)));
    }

    #[test]
    fn guesses_at_a_login_count_where_its_source_is_locked_out() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        let good = from(HERE, "anna....the-password");
        lockout.accepted(good, now);
        for number in 0..5 {
            lockout.failed(from(HERE, &format!("ben{number}.....")), now);
        }
        assert_eq!(lockout.refused_login(good, now), None);
        for number in 0..5 {
            let guess = format!("anna....{number}");
            assert_eq!(lockout.refused_login(from(HERE, &guess), now), Some(LOCKED));
        }
        // The right password says nothing more than a wrong one.
        assert_eq!(lockout.refused_login(good, now), Some(LOCKED));
        assert_eq!(lockout.refused_login(from(THERE, good.token), now), None);
        assert_eq!(lockout.refused_login(good, now + LOCKED), None);
    }

    #[test]
    fn whoever_repeats_a_former_token_locks_no_other_out() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..100 {
            lockout.failed(from(HERE, "company-the-former-one"), now);
        }
        assert_eq!(lockout.refused(from(HERE, "company-the-new-one"), now), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for number in 0..5 {
            assert_eq!(lockout.failed(from(HERE, &format!("beginning{number}")), now), None);
        }
        for number in 0..1_000_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number | 0x0A00_0000));
            let later = now + Duration::from_micros(u64::from(number));
            let _ = lockout.failed(from(address, "x"), later);
        }
        assert!(lockout.sources.lock().unwrap().len() <= SOURCES_MAX);
        assert!(lockout.failed(from(HERE, "x"), now + Duration::from_secs(60)).is_some());
        assert!(lockout.refused(from(HERE, "beginnings"), now + Duration::from_secs(60)).is_some());
    }
}
