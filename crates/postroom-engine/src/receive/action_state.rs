//! What is known of the server-side actions of a folder between two polls.

use crate::account::Folder;
use crate::backoff;
use crate::error::Error;
use crate::receive::halving::RefusedMessages;
use postroom_model::DeleteAfter;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::MailboxEpoch;
use postroom_store::ServerAction;
use postroom_store::SourceKey;
use postroom_store::Store;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How long actions wait after one failed.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// What is said of single messages.
const REFUSES: &str = "the server refuses to mark or delete messages that are stored here";
const STAY: &str = "they stay at the server, and Postroom tries again later";

/// The action for messages of a folder that are recorded from now on.
#[must_use]
pub(crate) fn demanded(folder: &Folder) -> Option<ServerAction> {
    if folder.delete_on_server {
        Some(match folder.options.delete_after() {
            DeleteAfter::Stored => ServerAction::Delete,
            DeleteAfter::Acknowledged => ServerAction::AwaitAcknowledged,
        })
    } else if folder.options.flag(&options::KEEP_UNSEEN) {
        None
    } else {
        Some(ServerAction::Seen)
    }
}

/// The state of the actions of a folder.
#[derive(Debug, Default)]
pub(crate) struct ServerActions {
    /// Whether some may be open.
    pub are_open: bool,
    /// The action that the folder demanded when they were looked at last.
    pub demanded: Option<ServerAction>,
    /// Why they cannot be carried out, for people.
    pub trouble: Option<String>,
    /// The messages that the server refuses to change, although it changes others.
    pub stuck: RefusedMessages,
    /// Deletions that the server answered with OK.
    pub tried: BTreeSet<SourceKey>,
    /// Recorded messages that are not certainly what the server has, so they are not deleted there.
    doubted: BTreeSet<SourceKey>,
    /// How often in a row they failed.
    pub failures: u32,
    /// How often in a row the connection ended while they were carried out.
    pub ended: u32,
    /// When they are carried out next. `None`: at the next poll.
    pub due: Option<Instant>,
    /// The epoch that all of this is about. `None`: no epoch has begun.
    pub epoch: Option<MailboxEpoch>,
}

impl ServerActions {
    /// A state in which some actions of the epoch may be open.
    #[must_use]
    pub(crate) fn open(epoch: Option<MailboxEpoch>) -> Self {
        Self { are_open: true, epoch, ..Self::default() }
    }

    /// Some actions of the epoch may be open. What is known of the same epoch stays known: which
    /// messages must not be deleted, and when the server is asked again.
    pub(crate) fn open_again(&mut self, epoch: Option<MailboxEpoch>) {
        if self.epoch == epoch {
            self.are_open = true;
        } else {
            *self = Self::open(epoch);
        }
    }

    /// Whether there is something to be done now.
    #[must_use]
    pub(crate) fn are_due(&self) -> bool {
        let is_any = self.are_open || self.stuck.are_due();
        is_any && self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Why some cannot be carried out, for people.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = String> {
        self.trouble.clone().into_iter().chain(self.stuck.trouble(REFUSES, STAY))
    }

    /// Looks whether some have become open since: clients have acknowledged messages, or the folder
    /// demands something else.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn look(
        &mut self,
        store: &Store,
        folder: &Folder,
        epoch: MailboxEpoch,
    ) -> Result<(), Error> {
        let demanded = demanded(folder);
        if self.demanded != demanded {
            self.demanded = demanded;
            self.are_open = true;
        }
        let waits = demanded == Some(ServerAction::AwaitAcknowledged);
        if waits && !self.are_open {
            let open = store.action_list(epoch, SourceKey::FIRST, 1).await?;
            self.are_open = !open.actions.is_empty();
        }
        Ok(())
    }

    /// Takes note of recorded messages that are not certainly what the server has.
    pub(crate) fn doubt(&mut self, keys: Vec<SourceKey>) {
        self.doubted.extend(keys);
    }

    /// Stores that these messages must not be deleted.
    ///
    /// # Errors
    ///
    /// When the store fails. Then the messages are still known here.
    pub(crate) async fn settle_doubts(
        &mut self,
        store: &Store,
        epoch: MailboxEpoch,
    ) -> Result<(), Error> {
        if !self.doubted.is_empty() {
            let doubted: Vec<_> = self.doubted.iter().copied().collect();
            store.action_done(epoch, &doubted).await?;
            self.doubted.clear();
        }
        Ok(())
    }

    /// Notes that they were carried out. What is known of single messages stays known.
    pub(crate) fn carried_out(&mut self, are_open: bool) {
        let Self { tried, stuck, demanded, epoch, .. } = std::mem::take(self);
        *self = Self { are_open, tried, stuck, demanded, epoch, ..Self::default() };
    }

    /// Notes that they cannot be carried out now.
    pub(crate) fn refused(&mut self, clock: &Clock, trouble: String) {
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(clock, self.failures, RETRY_FIRST, RETRY_LONGEST);
        self.due = Some(Instant::now() + delay);
        self.trouble = Some(trouble);
    }
}
