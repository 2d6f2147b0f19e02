//! Turn: how long one folder may keep the connection.

use crate::account::Account;
use crate::account::Folder;
use postroom_model::options;
use postroom_watch::Watcher;
use std::sync::Arc;
use tokio::time::Instant;

/// How many portions a folder may fetch while others wait.
const PORTIONS_MAX: u32 = 5;

/// The turn of one folder at its account's connection.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// The configuration. When it changes, the turn ends at once.
    pub setup: &'a Watcher<Arc<Account>>,
    /// When another folder or the survey of the account is due.
    pub others_due: Instant,
    /// When this folder looks for mail that has come meanwhile.
    pub looks_again: Instant,
}

impl<'a> Turn<'a> {
    /// The turn of a folder that begins now.
    #[must_use]
    pub(crate) fn of(
        setup: &'a Watcher<Arc<Account>>,
        folder: &Folder,
        others_due: Instant,
    ) -> Self {
        let interval = folder.options.duration(&options::AFTER_READ_TIMEOUT);
        Self { setup, others_due, looks_again: Instant::now() + interval }
    }

    /// Whether the turn is over after so many portions.
    #[must_use]
    pub(crate) fn is_over(&self, portions: u32) -> bool {
        // Without a sender, this task is about to be stopped.
        let now = Instant::now();
        self.setup.has_changed().unwrap_or(true)
            || portions >= PORTIONS_MAX && self.others_due <= now
            || portions > 0 && self.looks_again <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use postroom_watch::Watched;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_when_others_wait_new_mail_may_be_there_or_the_configuration_changes() {
        let owner = Watched::new(Arc::new(fixture::account(&["INBOX"])));
        let mut setup = owner.subscribe();
        setup.borrow_and_update();
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let is_over = |setup: &Watcher<Arc<Account>>, portions, others_due| {
            Turn { setup, others_due, looks_again: later }.is_over(portions)
        };
        let looks = |portions| {
            Turn { setup: &setup, others_due: later, looks_again: now }.is_over(portions)
        };
        assert!(looks(1), "the folder looks for new mail");
        assert!(!looks(0), "each turn gets on");
        assert!(!is_over(&setup, PORTIONS_MAX - 1, now));
        assert!(is_over(&setup, PORTIONS_MAX, now));
        assert!(!is_over(&setup, 1_000, later), "nothing else is due");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(is_over(&setup, 1_000, later));
        owner.send_replace(Arc::new(fixture::account(&["INBOX"])));
        assert!(is_over(&setup, 0, later), "at once");
        setup.borrow_and_update();
        assert!(!is_over(&setup, 0, later));
        drop(owner);
        assert!(is_over(&setup, 0, later), "the task is about to be stopped");
    }
}
