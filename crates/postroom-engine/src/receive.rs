//! The receive path: from a mailbox at the account's IMAP server to committed messages.
//!
//! ```text
//!   watch ──► fetch ──► decompose ──► commit ──► wishes
//!   what is   portions  fields and    one trans-  \Deleted, \Seen: only for what
//!   new?      of bytes  parts (CPU)   action each is durable, and recorded with it
//! ```
//! There is no queue: the server keeps the mail, and the ledger says what of it is recorded. A
//! portion is fetched while the one before it is decomposed and the one before that committed.
//! Nothing before `commit` has an effect that anyone can see, and `commit` does nothing the second
//! time for the same (folder, UIDVALIDITY, UID).

pub mod watch;

pub mod fetch;

pub mod decompose;

pub mod commit;

pub mod wishes;

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::shared::Shared;
use commit::Committed;
use postroom_imap::Connection;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use watch::Known;

/// How many portions may be between fetch and commit.
const PORTIONS_IN_FLIGHT: usize = 2;

/// A portion that is being decomposed.
type Portion = JoinHandle<Result<fetch::Ready, Error>>;

/// Takes what is new in one folder through the whole path.
///
/// # Errors
///
/// What ended the connection, or what the store could not do. What was committed until then stays,
/// and the next call goes on from there.
pub async fn receive(
    shared: &Arc<Shared>,
    account: &Account,
    folder: &Folder,
    connection: &mut Connection,
    known: &mut Known,
) -> Result<Committed, Error> {
    let Some(news) = watch::watch(shared, account, folder, connection, known).await? else {
        return Ok(Committed::default());
    };
    let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
    let fetched = fetch::fetch(shared, (account, folder), connection, (&news, sender));
    let committed = commit::commit(shared, (account, folder), &news, receiver);
    // Both run to their end: what was fetched before a connection broke is committed all the same.
    let (fetched, committed) = tokio::join!(fetched, committed);
    let committed = committed?;
    let missed = fetched?;
    commit::record_missed(shared, (account, folder), &news, &missed).await?;
    wishes::fulfil(shared, folder, connection, news.uid_validity).await?;
    watch::prove(shared, (account, folder), &news, known).await?;
    Ok(committed)
}
