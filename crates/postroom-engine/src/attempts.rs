//! Attempts: when an account connects again after a failure, and what it says meanwhile.

use crate::backoff;
use crate::error::Error;
use crate::refusals::Refusals;
use crate::report::State;
use crate::report::Trouble;
use crate::report::advice;
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
    /// Whether the account was connected before, with these or other servers and logins.
    was_connected: bool,
    /// Whether a refusal was doubted since the last complete round.
    has_doubted: bool,
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
    /// No attempt so far. `was_let_in`: the server took this login before. `was_connected`: the
    /// account was connected before, as it is or as it was.
    #[must_use]
    pub(crate) fn new(was_let_in: bool, was_connected: bool) -> Self {
        let refusals = Refusals::new(was_let_in);
        Self { failures: 0, refusals, was_connected, has_doubted: false }
    }

    /// The delays begin anew.
    pub(crate) fn forgive(&mut self) {
        (self.failures, self.has_doubted) = (0, false);
        self.refusals.forgive();
    }

    /// Whether another connection is made at once, before anybody is told: the source took the
    /// login, and refused what follows as if it had not. A busy server does so now and then.
    pub(crate) fn doubts(&mut self, error: &Error) -> bool {
        error.blames_login_afterwards() && !std::mem::replace(&mut self.has_doubted, true)
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

    /// Whether the account was connected before, with these or other servers and logins.
    #[must_use]
    pub(crate) fn was_connected(&self) -> bool {
        self.was_connected || self.refusals.was_let_in()
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
        let never = match (ever, self.was_connected) {
            (true, _) => "",
            (false, true) => "not connected since the account was changed: ",
            (false, false) => "never connected so far: ",
        };
        // The source of the login says itself whether a person is needed.
        let passes = ever || matches!(error, Error::Credentials(_));
        let mut state = if passes { State::Degraded } else { State::Failed };
        let mut text = format!("{never}{}", chain(error));
        if needs_a_person(error) {
            state = State::Failed;
            delay = self.refusals.refused(settings, delay);
            if is_wrong_login(error) {
                text.push_str(&self.refusals.advice(advice(error)));
            }
        }
        delay = delay.max(hint(error));
        let next_ms = Some(clock.now_ms().saturating_add(backoff::ms(delay)));
        FailedAttempt { state, trouble: Trouble { text, next_ms }, delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialError;
    use crate::fixture;
    use std::io;

    /// An error of the disk of ours.
    fn ours() -> Error {
        Error::Spool(io::Error::other("x"))
    }

    fn not_now(after: Option<Duration>) -> Error {
        let reason = "the token server is down".to_owned();
        CredentialError::Temporary { reason, after }.into()
    }

    #[tokio::test]
    async fn a_failure_is_told_by_what_was_reached_before() {
        let (_directory, shared) = fixture::shared().await;
        #[rustfmt::skip]
        let table = [
            // Was let in before, has surveyed, the error, the state, the beginning of the text.
            (false, false, not_now(None),               State::Degraded, "never connected so far: the login"),
            (true,  false, not_now(None),               State::Degraded, "the login"),
            (false, true,  not_now(None),               State::Degraded, "the login"),
            (true,  true,  CredentialError::Missing.into(), State::Failed, "the account has no password"),
        ];
        for (was_let_in, has_surveyed, error, state, text) in table {
            let failed =
                Attempts::new(was_let_in, was_let_in).failed(&shared, &error, has_surveyed);
            assert_eq!(failed.state, state, "{error}");
            assert!(failed.trouble.text.starts_with(text), "{}", failed.trouble.text);
            let now_ms = shared.clock.now_ms();
            let next_ms = failed.trouble.next_ms.unwrap();
            assert!((now_ms..now_ms + 31_000).contains(&next_ms), "{error}");
        }
    }

    #[tokio::test]
    async fn an_account_that_was_connected_before_it_was_changed_says_so() {
        let (_directory, shared) = fixture::shared().await;
        for (was_connected, begins) in [(true, "not connected since"), (false, "never connected")] {
            let failed =
                Attempts::new(false, was_connected).failed(&shared, &Error::Unheard, false);
            assert_eq!(failed.state, State::Failed);
            assert!(failed.trouble.text.starts_with(begins), "{}", failed.trouble.text);
        }
    }

    #[tokio::test]
    async fn delays_grow_until_something_goes_well_and_are_short_for_trouble_of_ours() {
        let (_directory, shared) = fixture::shared().await;
        let delay_s = |attempts: &mut Attempts, error: &Error, times: u32| {
            let last = (0..times).map(|_| attempts.failed(&shared, error, true).delay).last();
            last.unwrap().as_secs_f64()
        };
        let mut attempts = Attempts::new(true, true);
        assert!(attempts.went_well());
        let longest = delay_s(&mut attempts, &not_now(None), 20);
        assert!((270.0..=330.0).contains(&longest), "{longest}");
        assert!(!attempts.went_well());
        for begins_anew in [Attempts::forgive, Attempts::has_progressed] {
            begins_anew(&mut attempts);
            let first = delay_s(&mut attempts, &not_now(None), 1);
            assert!((1.8..=2.2).contains(&first), "{first}");
            delay_s(&mut attempts, &not_now(None), 9);
        }
        // Room on our disk may come back at any moment.
        let ours = delay_s(&mut attempts, &ours(), 1);
        assert!((27.0..=33.0).contains(&ours), "{ours}");
        // Who says when to ask again is not asked before.
        let hinted = delay_s(&mut attempts, &not_now(Some(Duration::from_secs(1_000))), 1);
        assert!(hinted >= 1_000.0, "{hinted}");
    }
}
