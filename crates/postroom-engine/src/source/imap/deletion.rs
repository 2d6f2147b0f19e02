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
    let marked = match deleting.mark(&set_of(keys)).await? {
        Ok(marked) => marked,
        Err(trouble) => return Ok(Deletion::Distrusted(trouble)),
    };
    if marked.is_empty() {
        return Ok(Deletion::Agreed(vec![]));
    }
    Ok(match deleting.expunge(&marked).await? {
        None => Deletion::Agreed(keys_of(marked)),
        Some(trouble) => Deletion::Kept(trouble),
    })
}

/// A running deletion.
struct Deleting<'a> {
    connection: &'a mut ImapConnection,
    /// The messages that were deleted before. Some may still exist, marked as deleted.
    earlier: &'a BTreeSet<SourceKey>,
}

impl Deleting<'_> {
    /// Marks messages. Returns those that the server reports as marked, or the reason why nothing
    /// must be deleted there.
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

    /// Asks which of these messages are marked, for servers that do not report it after STORE.
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

    /// Removes marked messages, or returns the reason why they stay.
    async fn expunge(&mut self, uids: &[u64]) -> Result<Option<String>, Error> {
        let capabilities = self.connection.capabilities();
        if capabilities.has("UIDPLUS") || capabilities.has("IMAP4REV2") {
            self.connection.uid_expunge(&UidSet::from_uids(uids)).await?;
            return Ok(None);
        }
        // A bare EXPUNGE removes every marked message.
        let found = self.connection.search("DELETED").await?;
        let is_mine =
            |uid: &u64| uids.contains(uid) || self.earlier.contains(&SourceKey::of_uid(*uid));
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
