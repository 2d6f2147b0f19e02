//! The lock-out: a source that sends many wrong tokens is refused for a while.
//!
//! It applies only to wrong tokens. A good token is always accepted, so that nobody can lock out
//! others who share an address. The length of a token protects against guessing. Comparing a token
//! costs less than the request itself, because its hash is in memory.

use crate::source::network;
use std::collections::HashMap;
use std::collections::VecDeque;
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
/// How many sources are remembered. If there are more, the sources seen longest ago are forgotten.
const SOURCES_MAX: usize = 10_000;

/// The sources that failed lately.
#[derive(Debug, Default)]
pub struct Lockout {
    sources: Mutex<HashMap<IpAddr, FailedLogins>>,
}

#[derive(Debug)]
struct FailedLogins {
    seen: Instant,
    failures: VecDeque<Instant>,
    locked_until: Option<Instant>,
}

impl Lockout {
    /// Notes a wrong token. Gives how long the source is locked out. `None`: it is not.
    pub fn failed(&self, source: IpAddr, now: Instant) -> Option<Duration> {
        self.with(source, now, |source| {
            let left = source.locked_until.map(|until| until.saturating_duration_since(now));
            if let Some(left) = left.filter(|left| !left.is_zero()) {
                return Some(left);
            }
            source.failures.push_back(now);
            source.failures.retain(|at| now.saturating_duration_since(*at) < WINDOW);
            if source.failures.len() >= FAILURES_MAX {
                source.failures.clear();
                source.locked_until = Some(now + LOCKED);
            }
            None
        })
    }

    fn with<T>(
        &self,
        source: IpAddr,
        now: Instant,
        change: impl FnOnce(&mut FailedLogins) -> T,
    ) -> T {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(source);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&key) {
            forget(&mut sources, now);
        }
        let entry = sources.entry(key).or_insert_with(|| FailedLogins {
            seen: now,
            failures: VecDeque::new(),
            locked_until: None,
        });
        entry.seen = now;
        change(entry)
    }
}

/// Forgets the older half of the sources. Sources that are locked out are forgotten last.
fn forget(sources: &mut HashMap<IpAddr, FailedLogins>, now: Instant) {
    let rank =
        |source: &FailedLogins| (source.locked_until.is_some_and(|at| at > now), source.seen);
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

    #[test]
    fn five_failures_in_three_minutes_lock_a_source_out() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..5 {
            assert_eq!(lockout.failed(HERE, at(second)), None);
        }
        assert_eq!(lockout.failed(HERE, at(4)), Some(LOCKED));
        assert_eq!(
            lockout.failed("::ffff:127.0.0.1".parse().unwrap(), at(5)),
            Some(LOCKED - Duration::from_secs(1))
        );
        assert_eq!(lockout.failed("127.0.0.2".parse().unwrap(), at(5)), None);
        // Further failures do not make it longer.
        assert_eq!(lockout.failed(HERE, at(4 + 180)), None);
    }

    #[test]
    fn old_failures_do_not_count() {
        let (lockout, start) = (Lockout::default(), Instant::now());
        for step in 0..20 {
            let now = start + Duration::from_secs(step * 46);
            assert_eq!(lockout.failed(HERE, now), None, "{step}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(lockout.failed(HERE, now), None);
        }
        for number in 0..30_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number | 0x0A00_0000));
            let _ = lockout.failed(address, now + Duration::from_millis(u64::from(number)));
        }
        assert!(lockout.sources.lock().unwrap().len() <= SOURCES_MAX);
        assert!(lockout.failed(HERE, now + Duration::from_secs(60)).is_some());
    }
}
