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

const RARELY: &str = "it is not tried again soon, so that the provider does not lock the account";

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

    /// What a person should know and do. It follows the server's reply, by whose words `known`
    /// helps.
    #[must_use]
    pub(crate) fn advice(&self, known: Option<&str>) -> String {
        let usual = (!self.was_let_in).then_some("check login and password");
        let was_good = self.was_let_in.then_some("this login was accepted before");
        let is_rare = !self.was_let_in && self.count >= REFUSALS_MAX;
        let parts = [known.or(usual), was_good, is_rare.then_some(RARELY)];
        parts.into_iter().flatten().map(|part| format!("; {part}")).collect()
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
    fn what_the_server_says_decides_what_to_do() {
        let mut never = Refusals::new(false);
        assert_eq!(never.advice(None), "; check login and password");
        assert_eq!(never.advice(Some("unlock it")), "; unlock it");
        never.count = REFUSALS_MAX;
        assert_eq!(never.advice(Some("unlock it")), format!("; unlock it; {RARELY}"));
        let good = Refusals::new(true);
        assert_eq!(good.advice(None), "; this login was accepted before");
        let both = "; unlock it; this login was accepted before";
        assert_eq!(good.advice(Some("unlock it")), both);
    }

    #[test]
    fn a_login_that_never_was_good_is_tried_rarely_after_a_few_times() {
        assert_eq!(delays(Refusals::new(false), 4), [2, 2, 3600, 3600]);
    }
}
