//! Halving: of a set of messages that a server refuses to change, it finds those that it refuses.
//!
//! A server refuses a whole set because of one message, or because it takes one message at a time.
//! So a refused set is halved, until the refused messages are known. They are asked for again
//! later, and the others are not kept waiting.

use crate::backoff;
use crate::error::Error;
use crate::receive::identity;
use crate::source_error::SourceFailure;
use postroom_store::Clock;
use postroom_store::SourceKey;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How many messages are refused in a row before the rest is left for later.
const REFUSED_MAX: usize = 10;
/// How many refused messages are asked for again at a time.
const AGAIN_MAX: usize = 8;
/// How many of them the text names.
const NAMED_MAX: usize = 3;
/// How long refused messages wait.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Sets of messages to be changed, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Halving {
    /// The sets that are to be asked for, the next one last.
    sets: Vec<Vec<SourceKey>>,
    /// The messages that were refused alone.
    refused: Vec<SourceKey>,
    in_a_row: usize,
    /// Why.
    why: String,
}

impl Halving {
    /// Sets that each fit into one request.
    #[must_use]
    pub(crate) fn of(mut sets: Vec<Vec<SourceKey>>) -> Self {
        sets.reverse();
        Self { sets, ..Self::default() }
    }

    /// The next set to ask for.
    pub(crate) fn next(&mut self) -> Option<Vec<SourceKey>> {
        self.sets.pop()
    }

    /// The source has done what it was asked for.
    pub(crate) fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// The source has answered with an error.
    ///
    /// # Errors
    ///
    /// The same error, if it is about more than the messages of the set.
    pub(crate) fn refused(&mut self, mut set: Vec<SourceKey>, error: Error) -> Result<(), Error> {
        let about_set = SourceFailure::Refused { is_about_account: false, is_lasting: false };
        let failure = error.source_failure().map(|failure| match failure {
            SourceFailure::Refused { is_about_account, .. } => {
                SourceFailure::Refused { is_about_account, is_lasting: false }
            }
            SourceFailure::Silent | SourceFailure::Ended => failure,
        });
        if failure != Some(about_set) {
            return Err(error);
        }
        if set.len() > 1 {
            let second = set.split_off(set.len() / 2);
            self.sets.extend([second, set]);
            return Ok(());
        }
        self.why = error.to_string();
        self.refused.append(&mut set);
        self.in_a_row += 1;
        if self.in_a_row >= REFUSED_MAX { Err(error) } else { Ok(()) }
    }
}

/// The messages of a folder that the server refuses to change, although it changes others.
#[derive(Debug, Default)]
pub(crate) struct RefusedMessages {
    keys: BTreeSet<SourceKey>,
    /// Why, in the words of the server.
    why: String,
    failures: u32,
    due: Option<Instant>,
}

impl RefusedMessages {
    /// Whether some of them are to be asked for again now.
    #[must_use]
    pub(crate) fn are_due(&self) -> bool {
        !self.keys.is_empty() && self.due.is_none_or(|due| due <= Instant::now())
    }

    /// The sets to ask for: those of the other messages, and a few refused ones if it is time.
    pub(crate) fn sets(
        &self,
        clock: &Clock,
        keys: &[SourceKey],
        requests: impl Fn(&[SourceKey]) -> Vec<Vec<SourceKey>>,
    ) -> Halving {
        let (stuck, free): (Vec<SourceKey>, Vec<_>) =
            keys.iter().partition(|key| self.keys.contains(key));
        let mut sets = if free.is_empty() { vec![] } else { requests(&free) };
        if self.are_due() {
            let again = identity::sample(clock, &stuck, 0, AGAIN_MAX);
            sets.extend(again.into_iter().map(|key| vec![key]));
        }
        Halving::of(sets)
    }

    /// Whether it is one of them.
    #[must_use]
    pub(crate) fn has(&self, key: SourceKey) -> bool {
        self.keys.contains(&key)
    }

    /// Takes note of messages that were refused.
    pub(crate) fn note(&mut self, clock: &Clock, halving: Halving) {
        if halving.refused.is_empty() {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(clock, self.failures, RETRY_FIRST, RETRY_LONGEST);
        self.due = Some(Instant::now() + delay);
        self.why = halving.why;
        self.keys.extend(halving.refused);
    }

    /// Takes note of messages that are changed or gone.
    pub(crate) fn settled(&mut self, keys: &[SourceKey]) {
        for key in keys {
            if self.keys.remove(key) {
                self.failures = 0;
            }
        }
    }

    /// What the folder says of them. `None`: there are none.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        let named: Vec<_> =
            self.keys.iter().take(NAMED_MAX).map(|key| key.uid().to_string()).collect();
        let more = match self.keys.len().saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!named.is_empty()).then(|| {
            format!(
                "the server refuses to mark or delete messages that are stored here \
                 (UID {}{more}): {}; they stay at the server, and Postroom tries again later",
                named.join(", "),
                self.why
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source_error::SourceError;
    use crate::source_error::SourceMeaning;

    fn refusal(is_about_account: bool) -> Error {
        let failure = SourceFailure::Refused { is_about_account, is_lasting: true };
        let meaning = SourceMeaning { failure, remedy: None, advice: None, wait: None };
        Error::Source(SourceError::new(std::io::Error::other("locked"), meaning))
    }

    fn keys(uids: impl IntoIterator<Item = u64>) -> Vec<SourceKey> {
        uids.into_iter().map(SourceKey::of_uid).collect()
    }

    /// What is refused of the messages up to `last` if `locked` are, and how often was asked.
    fn refused(last: u64, locked: &[u64]) -> (Vec<SourceKey>, u32, bool) {
        let locked = keys(locked.iter().copied());
        let (mut halving, mut asked) = (Halving::of(vec![keys(1..=last)]), 0);
        while let Some(set) = halving.next() {
            asked += 1;
            if !set.iter().any(|key| locked.contains(key)) {
                halving.accepted();
            } else if halving.refused(set, refusal(false)).is_err() {
                return (halving.refused, asked, false);
            }
        }
        (halving.refused, asked, true)
    }

    #[test]
    fn the_refused_messages_are_found_and_a_server_that_refuses_all_is_not_asked_for_each() {
        assert_eq!(refused(5, &[3]), (keys([3]), 5, true));
        assert_eq!(refused(100, &[]), (vec![], 1, true));
        let (found, asked, is_whole) = refused(100, &[7, 8, 60]);
        assert_eq!((found, is_whole), (keys([7, 8, 60]), true));
        assert!(asked < 32, "{asked}");
        let (found, asked, is_whole) = refused(100, &(1..=100).collect::<Vec<_>>());
        assert_eq!((found, is_whole), (keys(1..=10), false));
        assert!(asked < 32, "{asked}");
        assert!(Halving::default().refused(keys([1, 2]), refusal(true)).is_err());
    }
}
