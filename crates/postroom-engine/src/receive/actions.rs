//! Server-side actions: what to change at the server once a message is durable.
//!
//! An action is recorded in the transaction that records the message. A deletion stays on the list
//! until a listing lacks the message. So a crash, a lost answer, or a server that says OK and does
//! nothing loses no message and hides none. Before a deletion, the facts about the message are
//! compared with the recorded ones. If the configuration of the folder changes, its open actions
//! are dropped. A refusal delays only the actions, not the mail.

use crate::account::Folder;
use crate::backoff;
use crate::counted::counted;
use crate::error::Error;
use crate::journal;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::identity::Over;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use crate::source::contract::Deletion;
use crate::source::contract::Source;
use crate::source::listing::MailboxListing;
use crate::source_error::SourceFailure;
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

/// The actions that are carried out.
const OPEN: [ServerAction; 3] =
    [ServerAction::Seen, ServerAction::Delete, ServerAction::DeleteAcknowledged];
/// How many actions are read at once.
const PORTION: u32 = 100;
/// How long actions wait after one failed.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// So many connections in a row must end, because a network ends any of them by chance. Then the
/// actions wait, so that mail is received meanwhile.
const ENDED_MIN: u32 = 2;

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
    demanded: Option<ServerAction>,
    /// Why they cannot be carried out, for people.
    pub trouble: Option<String>,
    /// Deletions that the server answered with OK.
    tried: BTreeSet<SourceKey>,
    /// Recorded messages that are not certainly what the server has, so they are not deleted there.
    doubted: BTreeSet<SourceKey>,
    failures: u32,
    /// How often in a row the connection ended while they were carried out.
    ended: u32,
    due: Option<Instant>,
    /// The epoch that all of this is about. `None`: no epoch has begun.
    epoch: Option<MailboxEpoch>,
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
        self.are_open && self.due.is_none_or(|due| due <= Instant::now())
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
            self.are_open = !store.action_list(epoch, SourceKey::FIRST, 1).await?.is_empty();
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

    fn refused(&mut self, clock: &Clock, trouble: String) {
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(clock, self.failures, RETRY_FIRST, RETRY_LONGEST);
        self.due = Some(Instant::now() + delay);
        self.trouble = Some(trouble);
    }
}

/// The open mailbox, and its newest listing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenListing<'a> {
    /// The folder.
    pub folder: &'a Folder,
    /// The epoch of its mailbox.
    pub epoch: MailboxEpoch,
    /// The messages that the source lists in the mailbox.
    pub listing: &'a MailboxListing,
}

/// Carries out the recorded actions of one folder. If a message to be deleted turns out to be
/// another one, it stops and gives why the epoch of the mailbox is over.
///
/// # Errors
///
/// What ended the connection, or the store.
pub(crate) async fn carry_out<S: Source>(
    shared: &Shared,
    source: &mut S,
    at: OpenListing<'_>,
    actions: &mut ServerActions,
    unsteady: &mut Unsteady,
) -> Result<Option<Over>, Error> {
    actions.settle_doubts(&shared.store, at.epoch).await?;
    if actions.due.is_some_and(|due| due > Instant::now()) {
        return Ok(None);
    }
    let mut job =
        ActionRun { shared, source, at, unsteady, tried: std::mem::take(&mut actions.tried) };
    let result = job.all().await;
    actions.tried = job.tried;
    match result {
        Ok(ActionResult { over: Some(over), .. }) => Ok(Some(over)),
        Ok(ActionResult { are_open, trouble: Some(trouble), .. }) => {
            actions.are_open = are_open;
            actions.refused(&shared.clock, trouble);
            Ok(None)
        }
        Ok(ActionResult { are_open, .. }) => {
            let tried = std::mem::take(&mut actions.tried);
            let (demanded, epoch) = (actions.demanded, actions.epoch);
            *actions =
                ServerActions { are_open, tried, demanded, epoch, ..ServerActions::default() };
            Ok(None)
        }
        Err(error) if error.is_refusal() => {
            actions.refused(&shared.clock, format!(
                "the server refuses to mark or delete messages that are stored here: {error}; they \
                 stay at the server, and Postroom tries again later"
            ));
            Ok(None)
        }
        Err(error) => {
            if matches!(error.source_failure(), Some(SourceFailure::Ended)) {
                actions.ended = actions.ended.saturating_add(1);
            }
            if actions.ended >= ENDED_MIN {
                actions.refused(&shared.clock, format!(
                    "the connection ends when stored messages are marked or deleted at the server: \
                     {error}; they stay at the server, and Postroom tries again later"
                ));
            }
            Err(error)
        }
    }
}

#[derive(Default)]
struct ActionResult {
    are_open: bool,
    trouble: Option<String>,
    over: Option<Over>,
}

struct ActionRun<'a, S> {
    shared: &'a Shared,
    source: &'a mut S,
    at: OpenListing<'a>,
    unsteady: &'a mut Unsteady,
    tried: BTreeSet<SourceKey>,
}

impl<S: Source> ActionRun<'_, S> {
    async fn all(&mut self) -> Result<ActionResult, Error> {
        let mut done = ActionResult::default();
        let (epoch, mut after) = (self.at.epoch, SourceKey::FIRST);
        if !is_still_demanded(self.at.folder, ServerAction::AwaitAcknowledged) {
            self.shared.store.action_drop_waiting(epoch).await?;
        }
        loop {
            let actions = self.shared.store.action_list(epoch, after, PORTION).await?;
            let Some((last, _)) = actions.last() else {
                return Ok(done);
            };
            after = *last;
            for action in OPEN {
                let of = |(key, is): &(SourceKey, ServerAction)| (*is == action).then_some(*key);
                let keys: Vec<_> = actions.iter().filter_map(of).collect();
                self.some(action, &keys, &mut done).await?;
                if done.over.is_some() {
                    return Ok(done);
                }
            }
        }
    }

    async fn some(
        &mut self,
        action: ServerAction,
        keys: &[SourceKey],
        done: &mut ActionResult,
    ) -> Result<(), Error> {
        let (store, epoch) = (&self.shared.store, self.at.epoch);
        if keys.is_empty() {
            return Ok(());
        }
        if !is_still_demanded(self.at.folder, action) {
            store.action_done(epoch, keys).await?;
            return Ok(());
        }
        let is_listed = |key: &SourceKey| self.at.listing.keys.binary_search(key).is_ok();
        let (listed, unlisted): (Vec<SourceKey>, Vec<SourceKey>) =
            keys.iter().partition(|key| is_listed(key));
        if !unlisted.is_empty() && self.at.listing.is_whole() {
            match action {
                ServerAction::Seen => store.action_done(epoch, &unlisted).await?,
                ServerAction::Delete | ServerAction::DeleteAcknowledged => {
                    store.action_gone(epoch, &unlisted).await?;
                }
                ServerAction::AwaitAcknowledged => {}
            }
            self.tried.retain(|key| !unlisted.contains(key));
        }
        done.are_open |= action.deletes() && !listed.is_empty();
        match action {
            _ if listed.is_empty() => {}
            ServerAction::Seen => {
                self.source.mark_seen(&listed).await?;
                store.action_done(epoch, &listed).await?;
            }
            ServerAction::Delete | ServerAction::DeleteAcknowledged => {
                self.delete(&listed, done).await?;
            }
            ServerAction::AwaitAcknowledged => {}
        }
        Ok(())
    }

    /// Deletes the messages that are certainly the recorded ones. They stay on the list until they
    /// are gone.
    async fn delete(&mut self, keys: &[SourceKey], done: &mut ActionResult) -> Result<(), Error> {
        let kept = keys.iter().filter(|key| self.tried.contains(key)).count();
        if kept > 0 {
            done.trouble = Some(format!(
                "the server still has {} that it was asked to delete; Postroom tries again later",
                counted(kept as u64, "stored message")
            ));
        }
        let check = IdentityCheck {
            shared: self.shared,
            source: self.source,
            epoch: self.at.epoch,
            unsteady: self.unsteady,
        };
        let look = check.look(keys, Care::All).await?;
        if look.over.is_some() {
            done.over = look.over;
            return Ok(());
        }
        let unsure = keys.len() - look.same.len();
        if unsure > 0 {
            done.trouble = Some(format!(
                "the server does not show now that it has {} as it is stored here, so nothing of \
                 it was deleted there; Postroom tries again later",
                counted(unsure as u64, "stored message")
            ));
        }
        for some in S::requests(&look.same) {
            match self.source.delete(&some, &self.tried).await? {
                Deletion::Agreed(agreed) if agreed.is_empty() => {}
                Deletion::Agreed(agreed) => {
                    journal::deleted(self.at.folder, &agreed);
                    self.tried.extend(agreed);
                }
                Deletion::Kept(trouble) => done.trouble = Some(trouble),
                Deletion::Distrusted(trouble) => {
                    done.trouble = Some(trouble);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Whether the folder still demands the action.
fn is_still_demanded(folder: &Folder, action: ServerAction) -> bool {
    match action {
        ServerAction::Seen => !folder.options.flag(&options::KEEP_UNSEEN),
        // What was to be deleted without an acknowledgement has none.
        ServerAction::Delete => demanded(folder) == Some(ServerAction::Delete),
        ServerAction::AwaitAcknowledged => {
            demanded(folder) == Some(ServerAction::AwaitAcknowledged)
        }
        ServerAction::DeleteAcknowledged => folder.delete_on_server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_imap::MailboxName;
    use postroom_model::FolderId;
    use postroom_model::Options;
    use serde_json::json;

    #[test]
    fn an_action_is_dropped_once_the_folder_does_not_demand_it() {
        let folder = |delete_on_server: bool, keep_unseen: bool| {
            let options = json!({"keep_unseen": keep_unseen});
            Folder {
                id: FolderId::nil(),
                mailbox: MailboxName::from_display("INBOX"),
                title: String::new(),
                monitored: true,
                delete_on_server,
                options: Options::cascade([&options]),
            }
        };
        for on in [true, false] {
            assert_eq!(is_still_demanded(&folder(on, true), ServerAction::Delete), on);
            assert_eq!(is_still_demanded(&folder(false, !on), ServerAction::Seen), on);
        }
    }
}
