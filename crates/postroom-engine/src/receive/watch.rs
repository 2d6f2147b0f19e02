//! Watch: what is in the mailbox that the ledger does not have?
//!
//! The answer is a set difference, never a count or a high-water mark: the UIDs that the server
//! lists, without those that have a receipt. So nothing is passed over, whatever was interrupted,
//! and when the difference is empty the folder is proven complete. What was found is remembered
//! until it is fetched: a folder that goes on where its last turn ended asks for no list again.

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::receive::asks::Asks;
use crate::receive::baseline::baseline;
use crate::receive::wishes;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::Mode;
use postroom_imap::Selected;
use postroom_model::Timestamp;
use postroom_store::FolderReport;
use postroom_store::Ledger;
use postroom_store::clock;
use std::sync::Arc;

/// What is remembered of a folder between two calls.
#[derive(Debug, Default)]
pub struct Known {
    /// What the mailbox looked like when the folder was last proven complete.
    proven: Option<Glance>,
    /// When the next pending message is asked for again, in milliseconds since 1970.
    retry_ms: Option<i64>,
    /// Whether there may be wishes that are not fulfilled.
    pub has_wishes: bool,
    /// What the last look at the mailbox has found, until all of it is fetched.
    pub news: Option<Arc<News>>,
    /// What of it is still to be asked for.
    pub asks: Asks,
    /// How many messages of it are recorded.
    pub recorded: u64,
    /// Whether something was recorded; for the caller to take.
    pub has_progressed: bool,
    /// The UIDVALIDITY of all this.
    uid_validity: Option<u32>,
}

impl Known {
    /// The next look is no glance: something is to be said of the folder anew.
    pub fn look_closely(&mut self) {
        self.proven = None;
    }

    /// Looks anew for what is to be fetched: what was recorded is not known.
    pub fn look_anew(&mut self) {
        self.news = None;
        self.proven = None;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glance {
    uid_validity: u32,
    exists: u32,
    uid_next: u32,
}

/// What a look at the mailbox has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// UIDVALIDITY of the mailbox; 0 when the server has none.
    pub uid_validity: u32,
    /// UIDNEXT, when the server gave it.
    pub uid_next: Option<u32>,
    /// Every UID that the server listed, ascending.
    pub listed: Vec<u32>,
    /// How many of them were recorded by then.
    pub recorded: u64,
    /// Whether the mailbox had another UIDVALIDITY before: what is known by its bytes is linked,
    /// not stored again.
    pub relink: bool,
}

/// Selects the mailbox and looks for news; `None` when a glance shows that there are none. What a
/// former look has found and was not fetched yet counts as news.
///
/// # Errors
///
/// What ended the connection, the server's refusal of the mailbox, or the store.
pub async fn watch(
    shared: &Shared,
    (account, folder): (&Account, &Folder),
    connection: &mut Connection,
    known: &mut Known,
) -> Result<Option<Arc<News>>, Error> {
    let changes = wishes::wished(folder).is_some();
    let mode = if changes { Mode::Select } else { Mode::Examine };
    let selected = connection.select(&folder.mailbox, mode).await?;
    let uid_validity = selected.uid_validity.unwrap_or(0);
    if known.uid_validity != Some(uid_validity) {
        *known = Known { uid_validity: Some(uid_validity), has_wishes: true, ..Known::default() };
    }
    if let Some(news) = &known.news {
        return Ok(Some(Arc::clone(news)));
    }
    let now_ms = clock::now_ms();
    let glance = glance(&selected);
    let retry = known.retry_ms.is_some_and(|at_ms| at_ms <= now_ms);
    if glance.is_some() && glance == known.proven && !retry && !known.has_wishes {
        let report = FolderReport {
            last_poll_at: Some(Timestamp::from_ms(now_ms)),
            ..FolderReport::default()
        };
        shared.store.folder_report(&account.domain, folder.id, &report).await?;
        return Ok(None);
    }
    let listed = list(connection, &selected).await?;
    let ledger = ledger_of((account, folder), (shared, connection), uid_validity, &listed).await?;
    Ok(Some(found(known, listed, &ledger, &selected)))
}

/// The ledger of a mailbox, its baseline set when it is read for the first time: under this
/// UIDVALIDITY, or at this server.
async fn ledger_of(
    (account, folder): (&Account, &Folder),
    (shared, connection): (&Shared, &mut Connection),
    uid_validity: u32,
    listed: &[u32],
) -> Result<Ledger, Error> {
    let store = &shared.store;
    let (origin, noted) = (account.mailbox_origin(), store.origin(folder.id).await?);
    let has_moved = noted.as_ref().is_some_and(|noted| *noted != origin);
    let mut ledger = store.ledger(folder.id, uid_validity).await?;
    if has_moved {
        let last_proof_ms = ledger.last_proof_ms;
        let had_other_validity = ledger.had_other_validity || !ledger.recorded.is_empty();
        ledger = Ledger {
            is_new: true,
            is_changed: true,
            had_other_validity,
            last_proof_ms,
            ..Ledger::default()
        };
    }
    if ledger.is_new {
        ledger.baseline = baseline(folder, &ledger, listed, connection).await?;
    }
    if noted.is_none() {
        store.origin_note(folder.id, &origin).await?;
    }
    if has_moved {
        store.origin_move(folder.id, &origin, (uid_validity, ledger.baseline)).await?;
    } else if ledger.is_new {
        store.folder_baseline(folder.id, uid_validity, ledger.baseline).await?;
    }
    Ok(ledger)
}

fn glance(selected: &Selected) -> Option<Glance> {
    let uid_validity = selected.uid_validity.unwrap_or(0);
    selected.uid_next.map(|uid_next| Glance { uid_validity, exists: selected.exists, uid_next })
}

/// All UIDs of the mailbox.
async fn list(connection: &mut Connection, selected: &Selected) -> Result<Vec<u32>, Error> {
    if selected.exists == 0 {
        return Ok(vec![]);
    }
    let listed = connection.uid_search("ALL").await?;
    if listed.is_empty() {
        // An empty answer to that would prove the folder complete.
        return Err(Error::Unlisted { count: selected.exists });
    }
    Ok(listed)
}

/// Remembers what is to be fetched.
fn found(known: &mut Known, listed: Vec<u32>, ledger: &Ledger, selected: &Selected) -> Arc<News> {
    let now_ms = clock::now_ms();
    let counted = listed.iter().copied().filter(|uid| *uid > ledger.baseline);
    let is_due = |uid: &u32| ledger.pending(*uid).is_some_and(|p| p.next_attempt_ms <= now_ms);
    let fresh = counted.clone().filter(|uid| !ledger.has(*uid)).collect();
    let again: Vec<u32> = counted.clone().filter(is_due).collect();
    let is_recorded = |uid: &u32| ledger.has(*uid) && ledger.pending(*uid).is_none();
    let recorded = counted.filter(is_recorded).count() as u64;
    known.asks.fill(fresh, &again);
    known.recorded = 0;
    let news = Arc::new(News {
        uid_validity: selected.uid_validity.unwrap_or(0),
        uid_next: selected.uid_next,
        relink: ledger.had_other_validity,
        recorded,
        listed,
    });
    known.news = Some(Arc::clone(&news));
    news
}

/// Compares what the server listed with what is recorded now, and says so in the folder. Pending
/// receipts of what is no longer listed are forgotten.
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
    let is_listed = |uid: u32| news.listed.binary_search(&uid).is_ok();
    let (pending, gone): (Vec<_>, Vec<_>) =
        ledger.pending.iter().partition(|pending| is_listed(pending.uid));
    if !gone.is_empty() {
        let gone: Vec<u32> = gone.iter().map(|pending| pending.uid).collect();
        shared.store.pending_forget((folder.id, news.uid_validity), &gone).await?;
    }
    let pending: Vec<_> = pending.into_iter().filter(|p| p.uid > ledger.baseline).collect();
    let counted = news.listed.iter().filter(|uid| **uid > ledger.baseline);
    let has_receipt = counted.clone().filter(|uid| ledger.has(**uid)).count();
    let complete = counted.count() == has_receipt;
    let now = Timestamp::from_ms(clock::now_ms());
    let status = match (complete, pending.as_slice()) {
        (true, []) => String::new(),
        (true, pending) => pending_text(pending),
        (false, _) => STILL_TO_BE_LOADED.to_owned(),
    };
    let report = FolderReport {
        uid_validity: Some(news.uid_validity),
        uid_next: news.uid_next,
        server_count: Some(news.listed.len() as u64),
        stored_count: Some(has_receipt.saturating_sub(pending.len()) as u64),
        pending_count: Some(pending.len() as u64),
        last_poll_at: Some(now),
        last_proof_at: complete.then_some(now),
        status_text: Some(status),
    };
    shared.store.folder_report(&account.domain, folder.id, &report).await?;
    let exists = u32::try_from(news.listed.len()).unwrap_or(u32::MAX);
    let uid_validity = news.uid_validity;
    let glance = news.uid_next.map(|uid_next| Glance { uid_validity, exists, uid_next });
    known.proven = glance.filter(|_| complete);
    known.retry_ms = pending.iter().map(|pending| pending.next_attempt_ms).min();
    Ok(())
}

/// What a folder says while a load goes on.
const STILL_TO_BE_LOADED: &str = "some messages are still to be loaded";

/// Says in the folder how far a load has come.
///
/// # Errors
///
/// When the store does not answer.
pub async fn tell_progress(
    shared: &Shared,
    (account, folder): (&Account, &Folder),
    news: &News,
    known: &Known,
) -> Result<(), Error> {
    let report = FolderReport {
        uid_validity: Some(news.uid_validity),
        server_count: Some(news.listed.len() as u64),
        stored_count: Some(news.recorded + known.recorded),
        last_poll_at: Some(Timestamp::from_ms(clock::now_ms())),
        status_text: Some(STILL_TO_BE_LOADED.to_owned()),
        ..FolderReport::default()
    };
    shared.store.folder_report(&account.domain, folder.id, &report).await?;
    Ok(())
}

fn pending_text(pending: &[&postroom_store::Pending]) -> String {
    let shown: Vec<_> =
        pending.iter().take(3).map(|p| format!("UID {}: {}", p.uid, p.reason)).collect();
    let more = if pending.len() > 3 {
        format!(" (and {} more)", pending.len() - 3)
    } else {
        String::new()
    };
    format!("not to be had yet, tried again later: {}{more}", shown.join("; "))
}
