//! Decides when to try a refused login again.
//!
//! A login that the server accepted before is tried again within the hour, because most such
//! refusals are temporary. A login that was never accepted is tried a few times and then rarely, so
//! that the server does not lock the account.

use crate::settings::Settings;
use std::time::Duration;

/// After so many refusals in a row, a login that was never accepted is tried only at long
/// intervals.
const REFUSALS_MAX: u32 = 3;

/// How often in a row a login was refused.
#[derive(Debug)]
pub(crate) struct Refusals {
    count: u32,
    /// Whether the server took this login before.
    was_let_in: bool,
}

impl Refusals {
    /// No refusal so far.
    #[must_use]
    pub(crate) fn new(was_let_in: bool) -> Self {
        Self { count: 0, was_let_in }
    }

    /// Whether the server took this login before.
    #[must_use]
    pub(crate) fn was_let_in(&self) -> bool {
        self.was_let_in
    }

    /// Notes that the server accepted the login.
    pub(crate) fn let_in(&mut self) {
        self.was_let_in = true;
    }

    /// Attempts begin anew.
    pub(crate) fn forgive(&mut self) {
        self.count = 0;
    }

    /// Notes a refusal. Gives the delay before the next attempt. `usual` is the delay after other
    /// failures.
    pub(crate) fn refused(&mut self, settings: &Settings, usual: Duration) -> Duration {
        self.count = self.count.saturating_add(1);
        if !self.was_let_in {
            return if self.count < REFUSALS_MAX { usual } else { settings.credentials_probe };
        }
        settings.relogin_after(self.count)
    }

    /// What a person should know and do. It follows the server's reply.
    #[must_use]
    pub(crate) fn advice(&self, is_wrong_login: bool) -> &'static str {
        match (is_wrong_login, self.was_let_in) {
            (false, _) => "",
            (true, true) => "; this login was accepted before",
            (true, false) if self.count < REFUSALS_MAX => "; check login and password",
            (true, false) => {
                "; check login and password; it is not tried again soon, so that the provider does \
                 not lock the account"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Dialing;
    use postroom_net::Dialer;
    use postroom_net::Trust;

    fn delays(mut refusals: Refusals, count: usize) -> Vec<u64> {
        let dialer = Dialer::new(&Trust::default()).unwrap();
        let settings = Settings::new(Dialing { dialer, ehlo_name: String::new() }, "".into());
        let mut refused = || refusals.refused(&settings, Duration::from_secs(2)).as_secs();
        std::iter::repeat_with(&mut refused).take(count).collect()
    }

    #[test]
    fn a_login_that_was_good_is_tried_again_within_minutes() {
        assert_eq!(delays(Refusals::new(true), 6), [30, 60, 300, 900, 900, 900]);
    }

    #[test]
    fn a_login_that_never_was_good_is_tried_rarely_after_a_few_times() {
        assert_eq!(delays(Refusals::new(false), 4), [2, 2, 3600, 3600]);
    }
}
