//! Attempts: when an account connects again after a failure, and what it says meanwhile.

use crate::backoff;
use crate::error::Error;
use crate::refusals::Refusals;
use crate::report::State;
use crate::report::Trouble;
use crate::report::chain;
use crate::report::hint;
use crate::report::is_wrong_login;
use crate::report::needs_a_person;
use crate::shared::Shared;
use std::time::Duration;

/// The longest delay after our own store or disk failed, because room may come back at any moment.
const OWN_TROUBLE_LONGEST: Duration = Duration::from_secs(30);

/// The attempts of one account to connect and to complete a round.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// How often in a row a connection could not be made, or ended before its first round was
    /// complete.
    failures: u32,
    /// How often in a row the login was refused.
    refusals: Refusals,
}

/// What follows from a failure.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    /// The state of the account.
    pub state: State,
    /// What it says.
    pub trouble: Trouble,
    /// The delay before the next attempt.
    pub delay: Duration,
}

impl Attempts {
    /// None so far.
    #[must_use]
    pub(crate) fn new(was_let_in: bool) -> Self {
        Self { failures: 0, refusals: Refusals::new(was_let_in) }
    }

    /// The delays begin anew.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
        self.refusals.forgive();
    }

    /// Something was recorded since the last failure.
    pub(crate) fn has_progressed(&mut self) {
        self.failures = 0;
    }

    /// The server accepted the login.
    pub(crate) fn let_in(&mut self) {
        self.refusals.let_in();
    }

    /// Whether the server accepted the login before.
    #[must_use]
    pub(crate) fn was_let_in(&self) -> bool {
        self.refusals.was_let_in()
    }

    /// Whether the last attempt did not fail.
    #[must_use]
    pub(crate) fn went_well(&self) -> bool {
        self.failures == 0
    }

    /// Notes a failure. `has_surveyed`: whether this process has seen the account's mailboxes.
    pub(crate) fn failed(
        &mut self,
        shared: &Shared,
        error: &Error,
        has_surveyed: bool,
    ) -> FailedAttempt {
        self.failures = self.failures.saturating_add(1);
        let (settings, clock) = (&shared.settings, &shared.clock);
        let is_ours = matches!(error, Error::Store(_) | Error::Spool(_));
        let bound = if is_ours { OWN_TROUBLE_LONGEST } else { Duration::MAX };
        let longest = bound.min(settings.reconnect_longest);
        let mut delay = backoff::delay(clock, self.failures, settings.reconnect_first, longest);
        let ever = has_surveyed || self.refusals.was_let_in();
        let mut state = if ever { State::Degraded } else { State::Failed };
        let never = if ever { "" } else { "never connected so far: " };
        let mut text = format!("{never}{}", chain(error));
        if needs_a_person(error) {
            state = State::Failed;
            delay = self.refusals.refused(settings, delay);
            text.push_str(self.refusals.advice(is_wrong_login(error)));
        }
        delay = delay.max(hint(error));
        let next_ms = Some(clock.now_ms().saturating_add(backoff::ms(delay)));
        FailedAttempt { state, trouble: Trouble { text, next_ms }, delay }
    }
}
