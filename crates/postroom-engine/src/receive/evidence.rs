//! Evidence: what a source shows of recorded messages, and what it does not.
//!
//! A message whose facts cannot be had proves nothing: neither that the mailbox was renumbered, nor
//! that the message may be deleted. If the source refuses such a message, is silent or ends the
//! connection because of it, the message is set apart, as one is whose bytes cannot be fetched
//! ([`crate::receive::halving`]). The others are compared without it, and mail goes on being
//! received. Messages that are set apart are asked for again when nothing else is to be done.

use crate::error::Error;
use crate::receive::halving::Halving;
use crate::receive::halving::RefusedMessages;
use crate::receive::witness;
use crate::receive::witness::Facts;
use crate::receive::witness::Seen;
use crate::receive::witness::Unsteady;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use postroom_store::Clock;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the folder says of messages that are set apart.
const SHOWS_NOT: &str = "the server does not show what it has of messages that are stored here";
const GOES_ON: &str = "they stay here and at the server, other mail is received, and Postroom asks \
    again later; have them repaired at the server";

/// What is known of the evidence that a source gives of a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Which facts are no evidence.
    pub unsteady: Unsteady,
    /// The messages that the source does not describe.
    apart: RefusedMessages,
    /// How long the last whole answer took. The caller takes it.
    answered: Option<Duration>,
}

impl Evidence {
    /// What is known where the keys mean other messages: in another epoch, or in another mailbox of
    /// the source.
    #[must_use]
    pub(crate) fn of_other_keys(&self) -> Self {
        Self { unsteady: self.unsteady, ..Self::default() }
    }

    /// Those of the messages that are not set apart.
    #[must_use]
    pub(crate) fn free(&self, keys: &[SourceKey]) -> Vec<SourceKey> {
        self.apart.free(keys)
    }

    /// Fetches the facts about these messages, ascending. Those that the source skips or refuses to
    /// describe, and those that are set apart, are missing from the result.
    ///
    /// # Errors
    ///
    /// What ended the connection. The messages of which one may have ended it are set apart.
    pub(crate) async fn ask<S: Source>(
        &mut self,
        clock: &Clock,
        source: &mut S,
        keys: &[SourceKey],
        facts: Facts,
    ) -> Result<BTreeMap<SourceKey, Seen>, Error> {
        let mut halving = Halving::of(S::requests(&self.free(keys)));
        let (mut seen, began) = (BTreeMap::new(), Instant::now());
        let result = witness::ask_sets(source, &mut halving, facts, &mut seen).await;
        if result.is_ok() && !seen.is_empty() {
            self.answered = Some(began.elapsed());
        }
        self.apart.note(clock, halving);
        result.map(|()| seen)
    }

    /// How long the last whole answer took. `None`: there was none since this was asked last.
    pub(crate) fn take_answered(&mut self) -> Option<Duration> {
        self.answered.take()
    }

    /// Asks again about messages that are set apart, if it is time. Gives whether some of them are
    /// described now.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub(crate) async fn ask_again<S: Source>(
        &mut self,
        clock: &Clock,
        source: &mut S,
    ) -> Result<bool, Error> {
        let mut halving = self.apart.again(clock);
        let mut seen = BTreeMap::new();
        let result = witness::ask_sets(source, &mut halving, Facts::All, &mut seen).await;
        // One that is not in the answer has gone, or the next comparison misses it.
        let described: Vec<_> = seen.into_keys().chain(halving.done().iter().copied()).collect();
        self.apart.settled(&described);
        self.apart.note(clock, halving);
        result.map(|()| !described.is_empty())
    }

    /// Notes that a message could not be compared by its bytes. If the connection ended, the
    /// message is set apart.
    pub(crate) fn failed(&mut self, clock: &Clock, key: SourceKey, error: &Error) {
        match error.source_failure() {
            Some(SourceFailure::Ended | SourceFailure::Silent) => {
                let mut halving = Halving::default();
                halving.ended(vec![key], error);
                self.apart.note(clock, halving);
            }
            Some(SourceFailure::Refused { .. }) | None => {}
        }
    }

    /// Forgets messages that are no longer listed.
    pub(crate) fn keep_listed(&mut self, listed: &[SourceKey]) {
        self.apart.keep_listed(listed);
    }

    /// What the folder says. `None`: nothing is known to be set apart.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        self.apart.trouble(SHOWS_NOT, GOES_ON)
    }
}
