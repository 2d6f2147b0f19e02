//! Worn connections: when a connection that stands is given up for a fresh one.
//!
//! A server can show on a connection the mailbox as it was when the connection began. Courier
//! refuses, on every connection that was made before, a Maildir that was put back from a backup;
//! on a connection that is made afterwards it opens it.

use crate::error::Error;
use crate::polls::Visit;
use crate::report::leaves_others;
use crate::settings::Settings;
use crate::source_error::SourceFailure;
use std::time::Duration;
use tokio::time::Instant;

/// After so many rounds without new mail, the connection is made again, because some servers show
/// on a connection only the mail that was there when it began.
const QUIET_ROUNDS_MAX: u32 = 15;

/// The result of one round of polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// How many folders were polled without an error.
    pub polled: usize,
    /// Whether something was recorded.
    pub has_progressed: bool,
    /// Whether the server refused to show a folder.
    pub was_refused: bool,
}

/// How long a connection may stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WearLimits {
    /// The maximum age of a connection.
    pub age: Duration,
    /// The least time between two connections that are made because of a refusal.
    pub renewals_apart: Duration,
}

impl WearLimits {
    /// The limits that these settings give.
    #[must_use]
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { age: settings.connection_longest, renewals_apart: settings.reconnect_longest }
    }
}

/// Whether a connection was idle before what it is asked for now.
///
/// Some servers and proxies let an idle session die, still answer NOOP, and refuse or end what
/// comes next. What went well before is then asked for on a new connection before anybody is told.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    was_idle: bool,
    is_stale: bool,
}

impl Rest {
    /// The connection was idle, and has served nothing since.
    pub(crate) fn begin(&mut self) {
        self.was_idle = true;
    }

    /// It has served something.
    pub(crate) fn served(&mut self) {
        self.was_idle = false;
    }

    /// Whether an error may come from the connection alone; `before` is the last visit for the same
    /// purpose. Then the connection is stale.
    pub(crate) fn blames(&mut self, before: Option<&Visit>, error: &Error) -> bool {
        let has_ended = matches!(error.source_failure(), Some(SourceFailure::Ended));
        let is_of_connection = has_ended || leaves_others(error);
        let is_stale = self.was_idle && is_of_connection && before.is_some_and(Visit::went_well);
        self.is_stale |= is_stale;
        is_stale
    }

    /// Whether the connection is stale.
    #[must_use]
    pub(crate) const fn is_stale(&self) -> bool {
        self.is_stale
    }
}

/// What one connection went through since it was made.
#[derive(Debug)]
pub(crate) struct Wear {
    born: Instant,
    quiet_rounds: u32,
    rounds: u32,
    was_refused: bool,
}

impl Wear {
    /// The wear of a connection that was made just now.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self { born: now, quiet_rounds: 0, rounds: 0, was_refused: false }
    }

    /// Counts a round.
    pub(crate) fn add(&mut self, round: Round) {
        let is_quiet = !round.has_progressed;
        let quiet = u32::from(round.polled > 0);
        self.quiet_rounds = if is_quiet { self.quiet_rounds + quiet } else { 0 };
        // What is refused on the first round is refused on a fresh connection too.
        self.was_refused = round.was_refused && self.rounds > 0;
        self.rounds = self.rounds.saturating_add(u32::from(round.polled > 0 || round.was_refused));
    }

    /// Whether a fresh connection is to be made. `renewed` is when one was last made because of a
    /// refusal, so that a lasting refusal costs few logins.
    #[must_use]
    pub(crate) fn is_over(
        &self,
        limits: WearLimits,
        renewed: &mut Option<Instant>,
        now: Instant,
    ) -> bool {
        if self.quiet_rounds >= QUIET_ROUNDS_MAX || now.duration_since(self.born) >= limits.age {
            return true;
        }
        let was_long_ago = |at: Instant| now.duration_since(at) >= limits.renewals_apart;
        let is_renewed = self.was_refused && renewed.is_none_or(was_long_ago);
        if is_renewed {
            *renewed = Some(now);
        }
        is_renewed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Round = Round { polled: 1, has_progressed: false, was_refused: false };
    const NEWS: Round = Round { has_progressed: true, ..GOOD };
    const REFUSED: Round = Round { polled: 0, was_refused: true, ..GOOD };
    const NONE: Round = Round { polled: 0, ..GOOD };

    const LIMITS: WearLimits =
        WearLimits { age: Duration::from_secs(3600), renewals_apart: Duration::from_secs(300) };

    fn wear(rounds: &[Round]) -> Wear {
        let mut wear = Wear::new(Instant::now());
        rounds.iter().for_each(|round| wear.add(*round));
        wear
    }

    /// Whether a connection is over right after these rounds.
    fn is_over(rounds: &[Round]) -> bool {
        wear(rounds).is_over(LIMITS, &mut None, Instant::now())
    }

    #[test]
    fn a_folder_that_is_refused_on_an_old_connection_is_asked_for_on_a_fresh_one() {
        let table: &[(&[Round], bool)] = &[
            (&[], false),
            (&[GOOD, GOOD], false),
            (&[GOOD, REFUSED], true),
            (&[NONE, GOOD, NONE, REFUSED], true),
            // The connection was fresh.
            (&[REFUSED], false),
            (&[NONE, REFUSED], false),
            // The next poll, on the same connection.
            (&[REFUSED, REFUSED], true),
            (&[GOOD, REFUSED, GOOD], false),
        ];
        for (rounds, want) in table {
            assert_eq!(is_over(rounds), *want, "{rounds:?}");
        }
    }

    #[test]
    fn a_lasting_refusal_costs_few_logins() {
        let (start, mut renewed, wear) = (Instant::now(), None, wear(&[GOOD, REFUSED]));
        let mut renews =
            |second: &u64| wear.is_over(LIMITS, &mut renewed, start + Duration::from_secs(*second));
        let renewals: Vec<u64> = (0..900).filter(&mut renews).collect();
        assert_eq!(renewals, [0, 300, 600]);
    }

    #[test]
    fn a_connection_that_shows_no_new_mail_or_is_old_is_over() {
        assert!(is_over(&[GOOD; 15]));
        assert!(!is_over(&[GOOD; 14]));
        assert!(!is_over(&[[GOOD; 10], [NEWS; 10]].concat()));
        assert!(!is_over(&[NONE; 99]));
        let wear = wear(&[]);
        assert!(wear.is_over(LIMITS, &mut None, wear.born + LIMITS.age));
    }
}
