//! The lock-out: a source that sends wrong tokens again and again is not listened to for a while.
//!
//! A token that has worked from the same source goes on working, so that one client with a wrong
//! token does not lock out its neighbours behind the same address. What is remembered of a token
//! is a keyed hash, and it only decides whether the token is looked at, never whether it is right.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// So many failures within [`WINDOW`] lock a source out.
const FAILURES_MAX: usize = 5;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(180);
/// How long a source is locked out.
const LOCKED: Duration = Duration::from_secs(180);
/// How many sources are remembered; beyond, those seen longest ago are forgotten.
const SOURCES_MAX: usize = 10_000;
/// How many tokens of one source are remembered as good.
const TOKENS_MAX: usize = 64;

/// Who failed lately, and what has worked.
#[derive(Debug, Default)]
pub struct Lockout {
    sources: Mutex<HashMap<IpAddr, Source>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Source {
    seen: Instant,
    failures: VecDeque<Instant>,
    locked_until: Option<Instant>,
    good: VecDeque<u64>,
}

impl Lockout {
    /// How long the source still has to wait before this token is looked at; `None` when it may.
    #[must_use]
    pub fn wait(&self, source: IpAddr, token: &str, now: Instant) -> Option<Duration> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let source = sources.get(&network(source))?;
        let left = source.locked_until?.checked_duration_since(now)?;
        let good = source.good.contains(&self.hasher.hash_one(token));
        (!good && !left.is_zero()).then_some(left)
    }

    /// Notes a wrong token.
    pub fn failed(&self, source: IpAddr, now: Instant) {
        self.with(source, now, |source| {
            source.failures.push_back(now);
            source.failures.retain(|at| now.saturating_duration_since(*at) < WINDOW);
            if source.failures.len() >= FAILURES_MAX {
                source.failures.clear();
                source.locked_until = Some(now + LOCKED);
            }
        });
    }

    /// Notes a good token.
    pub fn worked(&self, source: IpAddr, token: &str, now: Instant) {
        let hash = self.hasher.hash_one(token);
        self.with(source, now, |source| {
            if !source.good.contains(&hash) {
                source.good.push_back(hash);
                if source.good.len() > TOKENS_MAX {
                    source.good.pop_front();
                }
            }
        });
    }

    fn with(&self, source: IpAddr, now: Instant, change: impl FnOnce(&mut Source)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(source);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&key) {
            forget(&mut sources, now);
        }
        let entry = sources.entry(key).or_insert_with(|| Source {
            seen: now,
            failures: VecDeque::new(),
            locked_until: None,
            good: VecDeque::new(),
        });
        entry.seen = now;
        change(entry);
    }
}

/// Forgets the older half of the sources, but none that is locked out while others can go.
fn forget(sources: &mut HashMap<IpAddr, Source>, now: Instant) {
    let rank = |source: &Source| (source.locked_until.is_some_and(|at| at > now), source.seen);
    let mut ranks: Vec<_> = sources.values().map(rank).collect();
    let middle = ranks.len() / 2;
    let (_, median, _) = ranks.select_nth_unstable(middle);
    let median = *median;
    sources.retain(|_, source| rank(source) > median);
}

/// The network that counts as one source: an IPv4 address, or the first 64 bits of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn five_failures_in_three_minutes_lock_a_source_out() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..4 {
            lockout.failed(HERE, at(second));
        }
        assert_eq!(lockout.wait(HERE, "x", at(4)), None);
        lockout.failed(HERE, at(4));
        assert_eq!(lockout.wait(HERE, "x", at(4)), Some(LOCKED));
        assert_eq!(
            lockout.wait("::ffff:127.0.0.1".parse().unwrap(), "x", at(5)),
            Some(LOCKED - Duration::from_secs(1))
        );
        assert_eq!(lockout.wait("127.0.0.2".parse().unwrap(), "x", at(5)), None);
        assert_eq!(lockout.wait(HERE, "x", at(4 + 180)), None);
    }

    #[test]
    fn old_failures_do_not_count() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for step in 0..20 {
            let now = start + Duration::from_secs(step * 46);
            lockout.failed(HERE, now);
            assert_eq!(lockout.wait(HERE, "x", now), None, "{step}");
        }
    }

    #[test]
    fn a_token_that_has_worked_goes_on_working() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        lockout.worked(HERE, "good", now);
        for _ in 0..5 {
            lockout.failed(HERE, now);
        }
        assert_eq!(lockout.wait(HERE, "good", now), None);
        assert_eq!(lockout.wait(HERE, "guess", now), Some(LOCKED));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..5 {
            lockout.failed(HERE, now);
        }
        for number in 0..30_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number | 0x0A00_0000));
            lockout.failed(address, now + Duration::from_millis(u64::from(number)));
        }
        assert!(lockout.sources.lock().unwrap().len() <= SOURCES_MAX);
        assert!(lockout.wait(HERE, "x", now + Duration::from_secs(60)).is_some());
    }
}
