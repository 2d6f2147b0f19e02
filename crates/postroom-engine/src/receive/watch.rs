//! Watch: what is in the mailbox that the ledger does not have?
//!
//! The answer is a set difference, never a count or a high-water mark: the UIDs that the server
//! lists, without those that have a receipt. So nothing is passed over, whatever was interrupted,
//! and when the difference is empty the folder is proven complete.

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::Mode;
use postroom_model::Timestamp;
use postroom_store::FolderReport;
use postroom_store::clock;

/// What is remembered of a folder between two polls, to see at a glance that nothing is new.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Known {
    /// UIDVALIDITY, count and UIDNEXT when the folder was last proven complete.
    proven: Option<Glance>,
    /// Whether the folder brought something at the last poll.
    pub busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glance {
    uid_validity: u32,
    exists: u32,
    uid_next: u32,
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// UIDVALIDITY of the mailbox; 0 when the server has none.
    pub uid_validity: u32,
    /// UIDNEXT, when the server gave it.
    pub uid_next: Option<u32>,
    /// Every UID that the server listed, ascending.
    pub listed: Vec<u32>,
    /// The UIDs to fetch, ascending.
    pub uids: Vec<u32>,
    /// Whether the mailbox had another UIDVALIDITY before: what is known by its bytes is linked,
    /// not stored again.
    pub relink: bool,
}

/// Looks for news; `None` when a glance shows that there are none.
///
/// # Errors
///
/// What ended the connection, the server's refusal of the mailbox, or the store.
pub async fn watch(
    shared: &Shared,
    account: &Account,
    folder: &Folder,
    connection: &mut Connection,
    known: &Known,
) -> Result<Option<News>, Error> {
    let changes = folder.delete_on_server || !folder.options.flag("keep_unseen");
    let mode = if changes { Mode::Select } else { Mode::Examine };
    let selected = connection.select(&folder.mailbox, mode).await?;
    let uid_validity = selected.uid_validity.unwrap_or(0);
    let ledger = shared.store.ledger(folder.id, uid_validity).await?;
    let now_ms = clock::now_ms();
    let glance = selected.uid_next.map(|uid_next| Glance {
        uid_validity,
        exists: selected.exists,
        uid_next,
    });
    let retry = ledger.pending.iter().any(|pending| pending.next_attempt_ms <= now_ms);
    if glance.is_some() && glance == known.proven && !retry {
        let report = FolderReport {
            last_poll_at: Some(Timestamp::from_ms(now_ms)),
            ..FolderReport::default()
        };
        shared.store.folder_report(&account.domain, folder.id, &report).await?;
        return Ok(None);
    }
    let listed = if selected.exists == 0 { vec![] } else { connection.uid_search("ALL").await? };
    let baseline = if ledger.is_new {
        let last = listed.last().copied().unwrap_or(0);
        let baseline = if folder.options.flag("load_existing") { 0 } else { last };
        shared.store.folder_baseline(folder.id, uid_validity, baseline).await?;
        baseline
    } else {
        ledger.baseline
    };
    let due = |uid: &u32| match ledger.pending(*uid) {
        Some(pending) => pending.next_attempt_ms <= now_ms,
        None => !ledger.has(*uid),
    };
    let uids = listed.iter().copied().filter(|uid| *uid > baseline).filter(due).collect();
    let relink = ledger.had_other_validity;
    Ok(Some(News { uid_validity, uid_next: selected.uid_next, listed, uids, relink }))
}

/// Compares what the server listed with what is recorded now, and says so in the folder.
///
/// # Errors
///
/// When the store does not answer.
pub async fn prove(
    shared: &Shared,
    (account, folder): (&Account, &Folder),
    news: &News,
    known: &mut Known,
) -> Result<(), Error> {
    let ledger = shared.store.ledger(folder.id, news.uid_validity).await?;
    let pending =
        ledger.pending.iter().filter(|p| news.listed.binary_search(&p.uid).is_ok()).count();
    let counted = news.listed.iter().filter(|uid| **uid > ledger.baseline);
    let stored = counted.clone().filter(|uid| ledger.has(**uid)).count() - pending;
    let complete = counted.count() == stored + pending;
    let now = Timestamp::from_ms(clock::now_ms());
    let status = match (complete, pending) {
        (true, 0) => String::new(),
        (true, _) => pending_text(&ledger.pending),
        (false, _) => "some messages are still to be loaded".to_owned(),
    };
    let report = FolderReport {
        uid_validity: Some(news.uid_validity),
        uid_next: news.uid_next,
        server_count: Some(news.listed.len() as u64),
        stored_count: Some(stored as u64),
        pending_count: Some(pending as u64),
        last_poll_at: Some(now),
        last_proof_at: complete.then_some(now),
        status_text: Some(status),
    };
    shared.store.folder_report(&account.domain, folder.id, &report).await?;
    let exists = u32::try_from(news.listed.len()).unwrap_or(u32::MAX);
    let uid_validity = news.uid_validity;
    let glance = news.uid_next.map(|uid_next| Glance { uid_validity, exists, uid_next });
    known.proven = glance.filter(|_| complete);
    Ok(())
}

fn pending_text(pending: &[postroom_store::Pending]) -> String {
    let shown: Vec<_> =
        pending.iter().take(3).map(|p| format!("UID {}: {}", p.uid, p.reason)).collect();
    let more = if pending.len() > 3 {
        format!(" (and {} more)", pending.len() - 3)
    } else {
        String::new()
    };
    format!("not to be had yet, tried again later: {}{more}", shown.join("; "))
}
