//! Halving: of a set of messages that a server refuses to change or to describe, it finds those
//! that it refuses.
//!
//! A server refuses a whole set because of one message, or because it takes one message at a time.
//! So a refused set is halved, until the refused messages are known. If the connection ends, or the
//! server falls silent, the set is split too, and its parts are asked for on later connections
//! ([`crate::receive::suspects`]). The refused messages are asked for again later, and the others
//! are not kept waiting.

use crate::backoff;
use crate::error::Error;
use crate::receive::sampling::sample;
use crate::receive::suspects::SuspectSets;
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
/// How long messages wait of which one ended the connection, where nobody waits for them.
const SUSPECTS_WAIT: Duration = Duration::from_secs(20);

/// Sets of messages to be changed or described, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Halving {
    /// The sets that are to be asked for, the next one last.
    sets: Vec<Vec<SourceKey>>,
    /// The messages for which the source has done what it was asked for.
    done: Vec<SourceKey>,
    /// The messages that were refused alone.
    refused: Vec<SourceKey>,
    in_a_row: usize,
    /// The messages during which the connection ended.
    ended: Vec<SourceKey>,
    /// Why, in the words of the last error.
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
    pub(crate) fn accepted(&mut self, set: &[SourceKey]) {
        self.in_a_row = 0;
        self.done.extend(set);
    }

    /// The messages of the sets for which it has done so.
    #[must_use]
    pub(crate) fn done(&self) -> &[SourceKey] {
        &self.done
    }

    /// The source has answered with an error. `set`: the messages that it is about.
    ///
    /// # Errors
    ///
    /// The same error, if nothing more can be asked now.
    pub(crate) fn refused(&mut self, mut set: Vec<SourceKey>, error: Error) -> Result<(), Error> {
        match error.source_failure() {
            Some(SourceFailure::Refused { is_about_account: false, .. }) => {}
            Some(SourceFailure::Silent | SourceFailure::Ended) => {
                self.ended(set, &error);
                return Err(error);
            }
            Some(SourceFailure::Refused { is_about_account: true, .. }) | None => {
                return Err(error);
            }
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

    /// The connection ended while this set was asked for.
    pub(crate) fn ended(&mut self, set: Vec<SourceKey>, error: &Error) {
        self.why = error.to_string();
        self.ended = set;
    }
}

/// The messages of a folder that the server refuses to change, or to describe, although it does so
/// with others.
#[derive(Debug, Default)]
pub(crate) struct RefusedMessages {
    keys: BTreeSet<SourceKey>,
    /// Why, in the words of the server.
    why: String,
    failures: u32,
    due: Option<Instant>,
    /// The messages of which one may end the connection.
    suspects: SuspectSets,
    suspects_due: Option<Instant>,
}

impl RefusedMessages {
    /// Whether some of them are to be asked for again now.
    #[must_use]
    pub(crate) fn are_due(&self) -> bool {
        !self.keys.is_empty() && self.due.is_none_or(|due| due <= Instant::now())
    }

    /// The sets to ask for: those of the other messages, those during which the connection ended
    /// before, and a few refused ones if it is time.
    pub(crate) fn sets(
        &self,
        clock: &Clock,
        keys: &[SourceKey],
        requests: impl Fn(&[SourceKey]) -> Vec<Vec<SourceKey>>,
    ) -> Halving {
        let free = self.free(keys);
        let mut sets = if free.is_empty() { vec![] } else { requests(&free) };
        sets.extend(self.suspects.among(keys));
        if self.are_due() {
            let stuck: Vec<_> = keys.iter().copied().filter(|key| self.has(*key)).collect();
            let again = sample(clock, &stuck, 0, AGAIN_MAX);
            sets.extend(again.into_iter().map(|key| vec![key]));
        }
        Halving::of(sets)
    }

    /// Those of the messages that are neither refused nor suspected.
    #[must_use]
    pub(crate) fn free(&self, keys: &[SourceKey]) -> Vec<SourceKey> {
        let suspects = self.suspects.keys();
        let is_free = |key: &SourceKey| !self.has(*key) && !suspects.contains(key);
        keys.iter().copied().filter(is_free).collect()
    }

    /// The sets of suspected messages.
    pub(crate) fn suspected(&self) -> Halving {
        let suspects: Vec<_> = self.suspects.keys().into_iter().collect();
        Halving::of(self.suspects.among(&suspects).collect())
    }

    /// The sets of refused and suspected messages for which it is time.
    pub(crate) fn again(&self, clock: &Clock) -> Halving {
        let mut sets = vec![];
        if self.suspects_due.is_none_or(|due| due <= Instant::now()) {
            let suspects: Vec<_> = self.suspects.keys().into_iter().collect();
            sets.extend(self.suspects.among(&suspects));
        }
        if self.are_due() {
            let refused: Vec<_> = self.keys.iter().copied().collect();
            let again = sample(clock, &refused, 0, AGAIN_MAX);
            sets.extend(again.into_iter().map(|key| vec![key]));
        }
        Halving::of(sets)
    }

    /// Whether it is one of them.
    #[must_use]
    pub(crate) fn has(&self, key: SourceKey) -> bool {
        self.keys.contains(&key)
    }

    /// Takes note of messages that were refused, and of those during which the connection ended.
    pub(crate) fn note(&mut self, clock: &Clock, halving: Halving) {
        let Halving { mut refused, ended, why, .. } = halving;
        self.suspects.leave_out(&refused);
        self.suspects.leave_out(&ended);
        if !ended.is_empty() {
            self.suspects_due = Some(Instant::now() + SUSPECTS_WAIT);
        }
        refused.extend(self.suspects.ended(&ended));
        if refused.is_empty() {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(clock, self.failures, RETRY_FIRST, RETRY_LONGEST);
        self.due = Some(Instant::now() + delay);
        self.why = why;
        self.keys.extend(refused);
    }

    /// Takes note of messages that are changed, described or gone.
    pub(crate) fn settled(&mut self, keys: &[SourceKey]) {
        self.suspects.leave_out(keys);
        for key in keys {
            self.suspects.came(*key);
            if self.keys.remove(key) {
                self.failures = 0;
            }
        }
    }

    /// Forgets messages that are not among the listed ones, ascending.
    pub(crate) fn keep_listed(&mut self, listed: &[SourceKey]) {
        let is_gone = |key: &SourceKey| listed.binary_search(key).is_err();
        let known = self.keys.iter().copied().chain(self.suspects.keys());
        let gone: Vec<_> = known.filter(is_gone).collect();
        self.settled(&gone);
    }

    /// What the folder says of them: what the server `refuses` and what `follows`. `None`: there
    /// are none.
    #[must_use]
    pub(crate) fn trouble(&self, refuses: &str, follows: &str) -> Option<String> {
        let named: Vec<_> =
            self.keys.iter().take(NAMED_MAX).map(|key| key.uid().to_string()).collect();
        let more = match self.keys.len().saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!named.is_empty())
            .then(|| format!("{refuses} (UID {}{more}): {}; {follows}", named.join(", "), self.why))
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
                halving.accepted(&set);
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

    fn end() -> Error {
        let meaning =
            SourceMeaning { failure: SourceFailure::Ended, remedy: None, advice: None, wait: None };
        Error::Source(SourceError::new(std::io::Error::other("closed"), meaning))
    }

    /// One connection: each set that has `bad` ends it.
    fn connection(known: &mut RefusedMessages, last: u64, bad: u64) -> Vec<u64> {
        let (clock, all) = (Clock::system(), keys(1..=last));
        let all: Vec<_> = all.into_iter().filter(|key| !known.has(*key)).collect();
        let mut halving = known.sets(&clock, &all, |keys| vec![keys.to_vec()]);
        let mut done = vec![];
        while let Some(set) = halving.next() {
            if set.contains(&SourceKey::of_uid(bad)) {
                assert!(halving.refused(set, end()).is_err());
                break;
            }
            done.extend(set.iter().map(|key| key.uid()));
            known.settled(&set);
        }
        known.note(&clock, halving);
        done
    }

    #[test]
    fn a_message_that_ends_each_connection_is_found_and_the_others_are_done() {
        let mut known = RefusedMessages::default();
        let mut done = BTreeSet::new();
        let mut connections = 0;
        while !known.has(SourceKey::of_uid(3)) {
            done.extend(connection(&mut known, 8, 3));
            connections += 1;
            assert!(connections < 9, "{known:?}");
        }
        assert_eq!(done.into_iter().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7, 8]);
        assert_eq!(known.trouble("no", "x").unwrap(), "no (UID 3): closed; x");
        assert!(known.free(&keys(1..=4)) == keys([1, 2, 4]) && known.suspects.is_empty());
        // One end of a connection proves nothing.
        let mut known = RefusedMessages::default();
        assert!(connection(&mut known, 1, 1).is_empty() && known.trouble("no", "x").is_none());
        assert_eq!(connection(&mut known, 1, 0), [1]);
        assert!(connection(&mut known, 1, 1).is_empty() && known.trouble("no", "x").is_none());
    }
}
