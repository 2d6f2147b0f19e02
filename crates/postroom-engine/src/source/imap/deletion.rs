//! Deletes messages: marks them, and expunges only those that the server reports as marked.

use crate::counted::counted;
use crate::error::Error;
use crate::source::contract::Deletion;
use crate::source::imap::uids::keys_of;
use crate::source::imap::uids::set_of;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::FlagChange;
use postroom_imap::ImapConnection;
use postroom_imap::UidSet;
use postroom_store::SourceKey;
use std::collections::BTreeSet;

const DELETED: &str = "\\Deleted";
/// Why nothing is expunged where STORE had no effect.
const MARKS_NOTHING: &str = "the server says OK when it is to mark stored messages as deleted, and \
                             marks none; they stay there, and Postroom tries again later";

/// Marks and expunges messages.
///
/// # Errors
///
/// What ended the connection, or the server's refusal.
pub(crate) async fn delete(
    connection: &mut ImapConnection,
    keys: &[SourceKey],
    earlier: &BTreeSet<SourceKey>,
) -> Result<Deletion, Error> {
    let mut deleting = Deleting { connection, earlier };
    let set = set_of(keys);
    let all: Vec<u64> = set.iter().collect();
    // A bare EXPUNGE removes every marked message, so it is known before anything is marked whether
    // somebody else has marked some.
    let mut before = None;
    if !deleting.has_uid_expunge() {
        let marks = deleting.marks(&all).await?;
        if let Some(trouble) = marks.trouble(&[]) {
            return Ok(Deletion::Kept(trouble));
        }
        before = Some(marks.mine);
    }
    let marked = match deleting.mark(&set).await? {
        StoredMarks::Marked(marked) => marked,
        StoredMarks::None => return Ok(Deletion::Kept(MARKS_NOTHING.to_owned())),
        StoredMarks::Wrong(trouble) => return Ok(Deletion::Distrusted(trouble)),
    };
    if marked.is_empty() {
        return Ok(Deletion::Agreed(vec![]));
    }
    if let Some(before) = before {
        let marks = deleting.marks(&all).await?;
        if let Some(trouble) = marks.trouble(&marked) {
            let new: Vec<u64> = marked.into_iter().filter(|uid| !before.contains(uid)).collect();
            deleting.unmark(&new).await?;
            return Ok(Deletion::Kept(trouble));
        }
        deleting.connection.expunge().await?;
    } else {
        deleting.connection.uid_expunge(&UidSet::from_uids(&marked)).await?;
    }
    Ok(Deletion::Agreed(keys_of(marked)))
}

/// What a STORE has marked.
enum StoredMarks {
    /// These messages. The others are gone.
    Marked(Vec<u64>),
    /// Nothing, although the messages are there and the server says OK.
    None,
    /// Other messages, so that nothing must be deleted, for this reason.
    Wrong(String),
}

/// Which messages of the mailbox are marked as deleted.
struct Marks {
    /// Messages that Postroom deletes, or has deleted.
    mine: BTreeSet<u64>,
    /// How many others.
    others: usize,
    /// Whether the server names what cannot be a message.
    is_odd: bool,
}

impl Marks {
    /// Why a bare EXPUNGE must not follow, if so. `marked`: the messages that were marked for it.
    fn trouble(&self, marked: &[u64]) -> Option<String> {
        if self.others > 0 {
            return Some(format!(
                "the server keeps stored messages that are to be deleted, because it lacks \
                 UIDPLUS, and an expunge would also remove {} that somebody else marked as \
                 deleted: expunge the mailbox with another program",
                counted(self.others as u64, "message")
            ));
        }
        let lacks = self.is_odd || marked.iter().any(|uid| !self.mine.contains(uid));
        lacks.then(|| {
            "the server does not list the stored messages that it marked as deleted, so Postroom \
             expunges nothing there; it tries again later"
                .to_owned()
        })
    }
}

/// A running deletion.
struct Deleting<'a> {
    connection: &'a mut ImapConnection,
    /// The messages that were deleted before. Some may still exist, marked as deleted.
    earlier: &'a BTreeSet<SourceKey>,
}

impl Deleting<'_> {
    /// Marks messages, and asks about those that the server does not report as marked.
    async fn mark(&mut self, set: &UidSet) -> Result<StoredMarks, Error> {
        let told = self.connection.uid_store(set, &FlagChange::add(DELETED)).await?;
        let told = marked(&told);
        let (mut mine, others): (Vec<u64>, Vec<u64>) =
            told.into_iter().partition(|uid| set.contains(*uid));
        let silent: Vec<u64> = set.iter().filter(|uid| !mine.contains(uid)).collect();
        let mut is_any_unmarked = false;
        if !silent.is_empty() {
            let (flagged, existing) = self.flagged(&UidSet::from_uids(&silent)).await?;
            is_any_unmarked = flagged.len() < existing;
            mine.extend(flagged);
        }
        // Another client may mark messages at the same moment, which is its right. So the server is
        // at fault only if it marked others in place of messages that are there.
        if is_any_unmarked && !others.is_empty() {
            self.unmark(&others).await?;
            let others = UidSet::from_uids(&others);
            return Ok(StoredMarks::Wrong(format!(
                "the server marked other messages as deleted (UID {others}) than it was asked to; \
                 Postroom removed these marks, and deletes nothing"
            )));
        }
        let has_none = is_any_unmarked && mine.is_empty();
        Ok(if has_none { StoredMarks::None } else { StoredMarks::Marked(mine) })
    }

    async fn unmark(&mut self, uids: &[u64]) -> Result<(), Error> {
        if !uids.is_empty() {
            let uids = UidSet::from_uids(uids);
            self.connection.uid_store(&uids, &FlagChange::remove_silent(DELETED)).await?;
        }
        Ok(())
    }

    /// Asks which of these messages are marked, for servers that do not report it after STORE. Also
    /// gives how many of them the server shows.
    async fn flagged(&mut self, set: &UidSet) -> Result<(Vec<u64>, usize), Error> {
        let mut fetch = self.connection.uid_fetch(set, FetchItems::Flags).await?;
        let mut told = vec![];
        while let Some(event) = fetch.next().await? {
            if let FetchEvent::Message(message) = event {
                told.push(message);
            }
        }
        let shown: BTreeSet<u64> = told.iter().filter_map(|message| message.uid).collect();
        let existing = shown.iter().filter(|uid| set.contains(**uid)).count();
        Ok((marked(&told).into_iter().filter(|uid| set.contains(*uid)).collect(), existing))
    }

    /// Whether the server expunges the named messages only.
    fn has_uid_expunge(&self) -> bool {
        let capabilities = self.connection.capabilities();
        capabilities.has("UIDPLUS") || capabilities.has("IMAP4REV2")
    }

    /// Asks which messages are marked. `uids`: those that are to be deleted.
    async fn marks(&mut self, uids: &[u64]) -> Result<Marks, Error> {
        let found = self.connection.search("DELETED").await?;
        let is_mine =
            |uid: &u64| uids.contains(uid) || self.earlier.contains(&SourceKey::of_uid(*uid));
        let (mine, others): (BTreeSet<u64>, BTreeSet<u64>) =
            found.uids.iter().partition(|uid| is_mine(uid));
        Ok(Marks { mine, others: others.len(), is_odd: found.unusable > 0 })
    }
}

/// The UIDs of the messages that are reported with `\Deleted`.
fn marked(told: &[Fetched]) -> Vec<u64> {
    let is_marked =
        |message: &&Fetched| message.flags.iter().any(|flag| flag.eq_ignore_ascii_case(DELETED));
    told.iter().filter(is_marked).filter_map(|message| message.uid).collect()
}
