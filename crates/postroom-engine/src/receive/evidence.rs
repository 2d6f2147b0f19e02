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
use postroom_imap::MailboxName;
use postroom_store::Clock;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What the folder says of messages that are set apart.
const SHOWS_NOT: &str = "the server does not show what it has of messages that are stored here";
const GOES_ON: &str = "they stay here and at the server, other mail is received, and Postroom asks \
    again later; have them repaired at the server";

/// Of so many mailboxes the evidence is kept.
const MAILBOXES_MAX: usize = 100;

/// What is known of the evidence that a source gives of mailboxes other than the one that is
/// received from: those of other names, and those of the same name under other UIDVALIDITY. It is
/// kept until the next look, because a message that ends the connection is found in several.
#[derive(Debug, Default)]
pub(crate) struct EvidenceElsewhere {
    of: BTreeMap<(MailboxName, u64), Evidence>,
}

impl EvidenceElsewhere {
    /// What is known of the evidence of a mailbox. `like`: that of the same source elsewhere.
    pub(crate) fn of(
        &mut self,
        mailbox: &MailboxName,
        uid_validity: u64,
        like: Unsteady,
    ) -> &mut Evidence {
        let key = (mailbox.clone(), uid_validity);
        if self.of.len() >= MAILBOXES_MAX && !self.of.contains_key(&key) {
            self.of.clear();
        }
        let of = self.of.entry(key).or_default();
        of.unsteady = of.unsteady.or(like);
        of
    }

    /// Takes what is known of the evidence of a mailbox.
    pub(crate) fn take(&mut self, mailbox: &MailboxName, uid_validity: u64) -> Option<Evidence> {
        self.of.remove(&(mailbox.clone(), uid_validity))
    }

    /// Keeps what is known of the evidence of a mailbox.
    pub(crate) fn keep(&mut self, mailbox: &MailboxName, uid_validity: u64, evidence: Evidence) {
        *self.of(mailbox, uid_validity, Unsteady::default()) = evidence;
    }
}

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

    /// Asks for the messages of which one has ended the connection, in smaller sets, until it is
    /// known which one it is. Until then, what is left might show nothing.
    ///
    /// # Errors
    ///
    /// What ended the connection. The next time, smaller sets are asked for.
    pub(crate) async fn ask_suspects<S: Source>(
        &mut self,
        clock: &Clock,
        source: &mut S,
    ) -> Result<(), Error> {
        let suspected = self.apart.suspected();
        self.ask_apart(clock, source, suspected).await.map(drop)
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
        let again = self.apart.again(clock);
        self.ask_apart(clock, source, again).await
    }

    async fn ask_apart<S: Source>(
        &mut self,
        clock: &Clock,
        source: &mut S,
        mut halving: Halving,
    ) -> Result<bool, Error> {
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
