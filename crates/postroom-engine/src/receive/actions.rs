//! Server-side actions: what to change at the server once a message is durable.
//!
//! An action is recorded in the transaction that records the message. A deletion stays on the list
//! until a listing lacks the message. So a crash, a lost answer, or a server that says OK and does
//! nothing loses no message and hides none. Before a deletion, the facts about the message are
//! compared with the recorded ones. If the configuration of the folder changes, its open actions
//! are dropped. A refusal delays only the actions, not the mail. In a copy of the data, of which
//! sending is suspended, the actions stay open until somebody resumes.

use crate::account::Folder;
use crate::counted::counted;
use crate::error::Error;
use crate::journal;
use crate::receive::action_state::ServerActions;
use crate::receive::action_state::demanded;
use crate::receive::evidence::Evidence;
use crate::receive::halving::Halving;
use crate::receive::halving::RefusedMessages;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::identity::Over;
use crate::shared::Shared;
use crate::source::contract::Deletion;
use crate::source::contract::Source;
use crate::source::listing::MailboxListing;
use crate::source_error::SourceFailure;
use postroom_model::options;
use postroom_store::MailboxEpoch;
use postroom_store::ServerAction;
use postroom_store::SourceKey;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The actions that are carried out.
const OPEN: [ServerAction; 3] =
    [ServerAction::Seen, ServerAction::Delete, ServerAction::DeleteAcknowledged];
/// How many actions are read at once.
const PORTION: u32 = 100;
/// So many connections in a row must end, because a network ends any of them by chance. Then the
/// actions wait, so that mail is received meanwhile.
const ENDED_MIN: u32 = 2;

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
    evidence: &mut Evidence,
) -> Result<Option<Over>, Error> {
    actions.settle_doubts(&shared.store, at.epoch).await?;
    let (tried, stuck) = (std::mem::take(&mut actions.tried), std::mem::take(&mut actions.stuck));
    let waits = actions.due.is_some_and(|due| due > Instant::now());
    let has_progressed = false;
    let mut job = ActionRun { shared, source, at, evidence, tried, stuck, waits, has_progressed };
    let result = job.all().await;
    let waits = job.waits;
    if job.has_progressed {
        actions.ended = 0;
    }
    (actions.tried, actions.stuck) = (job.tried, job.stuck);
    if let (true, Ok(ActionResult { are_open: true, .. })) = (waits, &result) {
        return Ok(None);
    }
    match result {
        Ok(ActionResult { over: Some(over), .. }) => Ok(Some(over)),
        Ok(ActionResult { are_open, trouble: Some(trouble), .. }) => {
            actions.are_open = are_open;
            actions.refused(&shared.clock, trouble);
            Ok(None)
        }
        Ok(ActionResult { are_open, .. }) => {
            actions.carried_out(are_open);
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
    evidence: &'a mut Evidence,
    tried: BTreeSet<SourceKey>,
    stuck: RefusedMessages,
    /// Whether the server is not asked for anything yet. What is gone is settled nevertheless.
    waits: bool,
    /// Whether the source has done some of what it was asked for.
    has_progressed: bool,
}

impl<S: Source> ActionRun<'_, S> {
    async fn all(&mut self) -> Result<ActionResult, Error> {
        let mut done = ActionResult::default();
        let (epoch, mut after) = (self.at.epoch, SourceKey::FIRST);
        if !is_still_demanded(self.at.folder, ServerAction::AwaitAcknowledged) {
            self.shared.store.action_drop_waiting(epoch).await?;
        }
        loop {
            let open = self.shared.store.action_list(epoch, after, PORTION).await?;
            let Some((last, _)) = open.actions.last() else {
                return Ok(done);
            };
            (after, self.waits) = (*last, self.waits || open.are_suspended);
            for action in OPEN {
                let of = |(key, is): &(SourceKey, ServerAction)| (*is == action).then_some(*key);
                let keys: Vec<_> = open.actions.iter().filter_map(of).collect();
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
            self.stuck.settled(keys);
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
            self.stuck.settled(&unlisted);
        }
        let is_free = |key: &SourceKey| !self.stuck.has(*key);
        let takes_all = self.stuck.are_due();
        // What is not compared is not deleted. Once it is described, the actions are open again.
        let listed = if action.deletes() { self.evidence.free(&listed) } else { listed };
        done.are_open |= (action.deletes() || self.waits) && listed.iter().any(is_free);
        let listed: Vec<_> = listed.into_iter().filter(|key| takes_all || is_free(key)).collect();
        match action {
            _ if listed.is_empty() || self.waits => {}
            ServerAction::Seen => {
                let mut halving = self.stuck.sets(&self.shared.clock, &listed, S::requests);
                let result = self.mark_seen(&mut halving).await;
                self.stuck.note(&self.shared.clock, halving);
                result?;
            }
            ServerAction::Delete | ServerAction::DeleteAcknowledged => {
                self.delete(&listed, done).await?;
            }
            ServerAction::AwaitAcknowledged => {}
        }
        Ok(())
    }

    async fn mark_seen(&mut self, halving: &mut Halving) -> Result<(), Error> {
        while let Some(set) = halving.next() {
            match self.source.mark_seen(&set).await {
                Ok(()) => {
                    halving.accepted(&set);
                    self.has_progressed = true;
                    self.shared.store.action_done(self.at.epoch, &set).await?;
                    self.stuck.settled(&set);
                }
                Err(error) => halving.refused(set, error)?,
            }
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
            evidence: self.evidence,
            unloaded: &[],
        };
        let look = check.look(keys, Care::All).await?;
        if look.over.is_some() {
            done.over = look.over;
            return Ok(());
        }
        // The folder says by itself which messages are set apart.
        let unsure = self.evidence.free(keys).iter().filter(|key| !look.same.contains(key)).count();
        if unsure > 0 {
            done.trouble = Some(format!(
                "the server does not show now that it has {} as it is stored here, so nothing of \
                 it was deleted there; Postroom tries again later",
                counted(unsure as u64, "stored message")
            ));
        }
        let mut halving = self.stuck.sets(&self.shared.clock, &look.same, S::requests);
        let result = self.delete_sets(&look.same, &mut halving, done).await;
        self.stuck.note(&self.shared.clock, halving);
        result
    }

    /// Deletes messages. `same` has all those that may be deleted now.
    async fn delete_sets(
        &mut self,
        same: &[SourceKey],
        halving: &mut Halving,
        done: &mut ActionResult,
    ) -> Result<(), Error> {
        // A part of a refused set may be marked already.
        let earlier: BTreeSet<_> = self.tried.iter().chain(same).copied().collect();
        while let Some(set) = halving.next() {
            let deletion = match self.source.delete(&set, &earlier).await {
                Ok(deletion) => deletion,
                Err(error) => {
                    halving.refused(set, error)?;
                    continue;
                }
            };
            halving.accepted(&set);
            self.has_progressed = true;
            match deletion {
                Deletion::Agreed(agreed) if agreed.is_empty() => {}
                Deletion::Agreed(agreed) => {
                    journal::deleted(self.at.folder, &agreed);
                    self.stuck.settled(&agreed);
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
                is_unfound: false,
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
