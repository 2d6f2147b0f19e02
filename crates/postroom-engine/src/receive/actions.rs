//! Server-side actions: what to change at the server once a message is durable.
//!
//! An action is recorded in the transaction that records the message. A deletion stays on the list
//! until a listing lacks the message. So a crash, a lost answer, or a server that says OK and does
//! nothing loses no message and hides none. Before a deletion, the facts about the UID are compared
//! with the recorded ones. After marking, only messages that the server reports as marked are
//! expunged. If the configuration of the folder changes, its open actions are dropped. A refusal
//! delays only the actions, not the mail.

use crate::account::Folder;
use crate::backoff;
use crate::counted::counted;
use crate::error::Error;
use crate::journal;
use crate::receive::identity::Care;
use crate::receive::identity::IdentityCheck;
use crate::receive::identity::Over;
use crate::receive::listing::MailboxListing;
use crate::receive::plan::SET_OCTETS_MAX;
use crate::receive::witness::Unsteady;
use crate::shared::Shared;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::FlagChange;
use postroom_imap::ImapConnection;
use postroom_imap::UidSet;
use postroom_model::options;
use postroom_store::Clock;
use postroom_store::MailboxEpoch;
use postroom_store::ServerAction;
use postroom_store::SourceKey;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How many actions are read at once.
const PORTION: u32 = 100;
/// How long actions wait after one failed.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LONGEST: Duration = Duration::from_secs(6 * 3600);
const DELETED: &str = "\\Deleted";

/// The action for messages of a folder that are recorded from now on.
#[must_use]
pub fn demanded(folder: &Folder) -> Option<ServerAction> {
    if folder.delete_on_server {
        Some(ServerAction::Delete)
    } else if folder.options.flag(&options::KEEP_UNSEEN) {
        None
    } else {
        Some(ServerAction::Seen)
    }
}

/// The state of the actions of a folder.
#[derive(Debug, Default)]
pub struct ServerActions {
    /// Whether some may be open.
    pub are_open: bool,
    /// Why they cannot be carried out, for people.
    pub trouble: Option<String>,
    /// Deletions that the server answered with OK.
    tried: BTreeSet<u64>,
    failures: u32,
    due: Option<Instant>,
}

impl ServerActions {
    /// A state in which some actions may be open.
    #[must_use]
    pub fn open() -> Self {
        Self { are_open: true, ..Self::default() }
    }

    /// Whether there is something to be done now.
    #[must_use]
    pub fn are_due(&self) -> bool {
        self.are_open && self.due.is_none_or(|due| due <= Instant::now())
    }

    fn refused(&mut self, clock: &Clock, trouble: String) {
        self.failures = self.failures.saturating_add(1);
        let delay = backoff::delay(clock, self.failures, RETRY_FIRST, RETRY_LONGEST);
        self.due = Some(Instant::now() + delay);
        self.trouble = Some(trouble);
    }
}

/// The selected mailbox, and its newest listing.
#[derive(Debug, Clone, Copy)]
pub struct SelectedMailbox<'a> {
    /// The folder.
    pub folder: &'a Folder,
    /// The epoch of its mailbox.
    pub epoch: MailboxEpoch,
    /// What it has.
    pub listing: &'a MailboxListing,
}

/// Carries out the recorded actions of one folder. If a message to be deleted turns out to be
/// another one, it stops and gives why the epoch of the mailbox is over.
///
/// # Errors
///
/// What ended the connection, or the store.
pub async fn carry_out(
    shared: &Shared,
    connection: &mut ImapConnection,
    at: SelectedMailbox<'_>,
    actions: &mut ServerActions,
    unsteady: &mut Unsteady,
) -> Result<Option<Over>, Error> {
    if actions.due.is_some_and(|due| due > Instant::now()) {
        return Ok(None);
    }
    let mut job =
        ActionRun { shared, connection, at, unsteady, tried: std::mem::take(&mut actions.tried) };
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
            *actions = ServerActions { are_open, tried, ..ServerActions::default() };
            Ok(None)
        }
        Err(Error::Imap(error)) if error.leaves_connection_open() => {
            actions.refused(&shared.clock, format!(
                "the server refuses to mark or delete messages that are stored here: {error}; they \
                 stay at the server, and Postroom tries again later"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[derive(Default)]
struct ActionResult {
    are_open: bool,
    trouble: Option<String>,
    over: Option<Over>,
}

struct ActionRun<'a> {
    shared: &'a Shared,
    connection: &'a mut ImapConnection,
    at: SelectedMailbox<'a>,
    unsteady: &'a mut Unsteady,
    tried: BTreeSet<u64>,
}

fn keys(uids: &[u64]) -> Vec<SourceKey> {
    uids.iter().copied().map(SourceKey::of_uid).collect()
}

impl ActionRun<'_> {
    async fn all(&mut self) -> Result<ActionResult, Error> {
        let mut done = ActionResult::default();
        let (epoch, mut after) = (self.at.epoch, SourceKey::FIRST);
        loop {
            let actions = self.shared.store.action_list(epoch, after, PORTION).await?;
            let Some((last, _)) = actions.last() else {
                return Ok(done);
            };
            after = *last;
            for action in [ServerAction::Seen, ServerAction::Delete] {
                let of =
                    |(key, is): &(SourceKey, ServerAction)| (*is == action).then_some(key.uid());
                let uids: Vec<u64> = actions.iter().filter_map(of).collect();
                self.some(action, &uids, &mut done).await?;
                if done.over.is_some() {
                    return Ok(done);
                }
            }
        }
    }

    async fn some(
        &mut self,
        action: ServerAction,
        uids: &[u64],
        done: &mut ActionResult,
    ) -> Result<(), Error> {
        let (store, epoch) = (&self.shared.store, self.at.epoch);
        if uids.is_empty() {
            return Ok(());
        }
        if !is_still_demanded(self.at.folder, action) {
            store.action_done(epoch, &keys(uids)).await?;
            return Ok(());
        }
        let is_listed = |uid: &u64| self.at.listing.uids.binary_search(uid).is_ok();
        let (listed, unlisted): (Vec<u64>, Vec<u64>) = uids.iter().partition(|uid| is_listed(uid));
        if !unlisted.is_empty() && self.at.listing.is_whole() {
            match action {
                ServerAction::Seen => store.action_done(epoch, &keys(&unlisted)).await?,
                ServerAction::Delete => store.action_gone(epoch, &keys(&unlisted)).await?,
            }
            self.tried.retain(|uid| !unlisted.contains(uid));
        }
        done.are_open |= action == ServerAction::Delete && !listed.is_empty();
        match action {
            _ if listed.is_empty() => {}
            ServerAction::Seen => {
                for set in UidSet::from_uids(&listed).split(SET_OCTETS_MAX) {
                    self.connection.uid_store(&set, &FlagChange::add_silent("\\Seen")).await?;
                }
                store.action_done(epoch, &keys(&listed)).await?;
            }
            ServerAction::Delete => self.delete(&listed, done).await?,
        }
        Ok(())
    }

    /// Deletes the messages that are certainly the recorded ones. They stay on the list until they
    /// are gone.
    async fn delete(&mut self, uids: &[u64], done: &mut ActionResult) -> Result<(), Error> {
        let kept = uids.iter().filter(|uid| self.tried.contains(uid)).count();
        if kept > 0 {
            done.trouble = Some(format!(
                "the server still has {} that it was asked to delete; Postroom tries again later",
                counted(kept as u64, "stored message")
            ));
        }
        let check = IdentityCheck {
            shared: self.shared,
            connection: self.connection,
            epoch: self.at.epoch,
            unsteady: self.unsteady,
        };
        let look = check.look(uids, Care::All).await?;
        if look.over.is_some() {
            done.over = look.over;
            return Ok(());
        }
        let unsure = uids.len() - look.same.len();
        if unsure > 0 {
            done.trouble = Some(format!(
                "the server does not show now where {} can be found, so nothing of it was deleted \
                 there; Postroom tries again later",
                counted(unsure as u64, "stored message")
            ));
        }
        for set in UidSet::from_uids(&look.same).split(SET_OCTETS_MAX) {
            match self.mark(&set).await? {
                Ok(marked) if marked.is_empty() => {}
                Ok(marked) => match self.expunge(&marked).await? {
                    None => {
                        journal::deleted(self.at.folder, &UidSet::from_uids(&marked));
                        self.tried.extend(marked);
                    }
                    trouble => done.trouble = trouble,
                },
                Err(trouble) => {
                    done.trouble = Some(trouble);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Marks messages. Gives those that the server reports as marked, or why the server cannot be
    /// trusted.
    async fn mark(&mut self, set: &UidSet) -> Result<Result<Vec<u64>, String>, Error> {
        let told = self.connection.uid_store(set, &FlagChange::add(DELETED)).await?;
        let told = marked(&told);
        let (mut mine, others): (Vec<u64>, Vec<u64>) =
            told.into_iter().partition(|uid| set.contains(*uid));
        let silent: Vec<u64> = set.iter().filter(|uid| !mine.contains(uid)).collect();
        if !silent.is_empty() {
            mine.extend(self.flagged(&UidSet::from_uids(&silent)).await?);
        }
        if (mine.len() as u64) < set.count() && !others.is_empty() {
            let others = UidSet::from_uids(&others);
            self.connection.uid_store(&others, &FlagChange::remove_silent(DELETED)).await?;
            return Ok(Err(format!(
                "the server marked other messages as deleted (UID {others}) than it was asked to; \
                 Postroom removed these marks, and deletes nothing"
            )));
        }
        Ok(Ok(mine))
    }

    /// Which of these are marked, for servers that do not report it by themselves.
    async fn flagged(&mut self, set: &UidSet) -> Result<Vec<u64>, Error> {
        let mut fetch = self.connection.uid_fetch(set, FetchItems::Flags).await?;
        let mut told = vec![];
        while let Some(event) = fetch.next().await? {
            if let FetchEvent::Message(message) = event {
                told.push(message);
            }
        }
        Ok(marked(&told).into_iter().filter(|uid| set.contains(*uid)).collect())
    }

    /// Removes marked messages, or gives why they stay.
    async fn expunge(&mut self, uids: &[u64]) -> Result<Option<String>, Error> {
        let capabilities = self.connection.capabilities();
        if capabilities.has("UIDPLUS") || capabilities.has("IMAP4REV2") {
            self.connection.uid_expunge(&UidSet::from_uids(uids)).await?;
            return Ok(None);
        }
        // A bare EXPUNGE removes every marked message.
        let found = self.connection.search("DELETED").await?;
        let is_mine = |uid: &u64| uids.contains(uid) || self.tried.contains(uid);
        let others = found.uids.iter().filter(|uid| !is_mine(uid)).count();
        if others > 0 || found.unusable > 0 || !uids.iter().all(|uid| found.uids.contains(uid)) {
            return Ok(Some(format!(
                "the server keeps {}, marked as deleted, because it lacks UIDPLUS, and an \
                 expunge would also remove {} that somebody else marked: expunge the mailbox with \
                 another program",
                counted(uids.len() as u64, "stored message"),
                counted(others as u64, "message")
            )));
        }
        self.connection.expunge().await?;
        Ok(None)
    }
}

/// The UIDs of the messages that are reported with `\Deleted`.
fn marked(told: &[Fetched]) -> Vec<u64> {
    let is_marked =
        |message: &&Fetched| message.flags.iter().any(|flag| flag.eq_ignore_ascii_case(DELETED));
    told.iter().filter(is_marked).filter_map(|message| message.uid).collect()
}

/// Whether the folder still demands the action.
fn is_still_demanded(folder: &Folder, action: ServerAction) -> bool {
    match action {
        ServerAction::Seen => !folder.options.flag(&options::KEEP_UNSEEN),
        ServerAction::Delete => folder.delete_on_server,
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
