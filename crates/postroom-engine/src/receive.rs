//! The receive path: from a mailbox at the IMAP server of an account to committed messages. See
//! `docs/receive.md`.
//!
//! ```text
//!   watch ──► fetch ──► decompose ──► commit ──► wishes
//!   what is   portions  fields and    one trans-  \Deleted, \Seen: only for what
//!   new?      of bytes  parts (CPU)   action each is durable, and recorded with it
//! ```
//! There is no queue, because the server keeps the mail, and the ledger says which of it is
//! recorded. A portion is fetched while the one before is decomposed, and the one before that
//! committed. Nothing before `commit` shows the message to a client. `commit` has no effect the
//! second time for the same folder, epoch and UID.

pub(crate) mod asks;

pub(crate) mod doubt;

pub(crate) mod single;

pub(crate) mod witness;

pub(crate) mod identity;

pub(crate) mod listing;

pub(crate) mod turn;

pub(crate) mod decompose;

pub(crate) mod wishes;

pub(crate) mod baseline;

pub(crate) mod watch;

mod collector;

pub(crate) mod intake;

pub(crate) mod prove;

pub(crate) mod fetch;

pub(crate) mod commit;

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::shared::Shared;
use asks::Asks;
use intake::Missed;
use postroom_imap::ImapConnection;
use postroom_imap::Mode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use turn::Turn;
use watch::Known;
use watch::News;
use wishes::At;

/// Takes one message through the same path, on a connection that nothing else uses. Gives whether
/// it is recorded. A message that the server does not return stays pending, with the reason.
///
/// # Errors
///
/// Errors of the store.
pub async fn receive_one(
    shared: &Arc<Shared>,
    who: (&Account, &Folder),
    connection: &mut ImapConnection,
    (uid, news): (u64, &News),
    turn: &Turn<'_>,
) -> Result<bool, Error> {
    let mut count = 0;
    let asked = fetch_one(shared, who, connection, (uid, news, &mut count), turn).await;
    let missed = match asked {
        Ok(missed) => missed,
        Err(Error::Imap(error)) => {
            let reason = format!("it was fetched on a connection of its own, and {error}");
            vec![Missed::pending(uid, reason)]
        }
        Err(error) => return Err(error),
    };
    commit::record_missed(shared, who, news, &missed).await?;
    Ok(count > 0 || missed.iter().any(|missed| missed.forever))
}

async fn fetch_one(
    shared: &Arc<Shared>,
    who: (&Account, &Folder),
    connection: &mut ImapConnection,
    (uid, news, count): (u64, &News, &mut u64),
    turn: &Turn<'_>,
) -> Result<Vec<Missed>, Error> {
    let mode = if news.examined { Mode::Examine } else { Mode::Select };
    let selected = connection.select(&who.1.mailbox, mode).await?;
    if selected.uid_validity.unwrap_or(0) != news.uid_validity {
        let reason = "on a connection of its own the mailbox had another UIDVALIDITY".to_owned();
        return Ok(vec![Missed::pending(uid, reason)]);
    }
    let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
    let mut asks = Asks::default();
    asks.fill([uid].into(), &[], &[]);
    let fetched = fetch::fetch(shared, who, connection, (&mut asks, turn), (news, sender));
    let committed = commit::commit(shared, who, (news, &mut *count), receiver);
    let (fetched, committed) = tokio::join!(fetched, committed);
    committed?;
    if *count == 0 && fetched.missed.is_empty() {
        fetched.result?;
    }
    Ok(fetched.missed)
}

/// How many portions may be between fetch and commit.
const PORTIONS_IN_FLIGHT: usize = 2;

/// A portion that is being decomposed.
type Portion = JoinHandle<Result<collector::Ready, Error>>;

/// When a folder needs its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Every listed message is recorded or pending.
    Nothing,
    /// There is more to be fetched.
    More,
    /// Nothing, and the folder is not polled for this long.
    Rarely(Duration),
}

/// Takes the new messages of one folder through the whole path, until none is left or its turn is
/// over.
///
/// # Errors
///
/// What ended the connection, or errors of the store. Committed messages stay, and the next call
/// continues after them.
pub async fn receive(
    shared: &Arc<Shared>,
    (account, folder): (&Account, &Folder),
    connection: &mut ImapConnection,
    known: &mut Known,
    turn: &Turn<'_>,
) -> Result<Left, Error> {
    let who = (account, folder);
    let Some(news) = watch::watch(shared, who, connection, known).await? else {
        return Ok(Left::Nothing);
    };
    let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
    let mut count = 0;
    let fetched = fetch::fetch(shared, who, connection, (&mut known.asks, turn), (&news, sender));
    let committed = commit::commit(shared, who, (&news, &mut count), receiver);
    // Both run to their end, so that messages that were fetched before the connection broke are
    // committed.
    let (fetched, committed) = tokio::join!(fetched, committed);
    known.recorded += count;
    known.withheld += fetched.withheld;
    let stalls = matches!(fetched.result, Err(Error::Imap(postroom_imap::Error::Stalled { .. })));
    known.has_progressed |= count > 0 || !fetched.missed.is_empty() && !stalls;
    let alone = known.asks.take_alone().into_iter().map(|uid| (uid, Arc::clone(&news)));
    known.alone.extend(alone);
    let recorded = match committed {
        Ok(()) => commit::record_missed(shared, who, &news, &fetched.missed).await,
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        known.look_anew();
        return Err(error);
    }
    known.wishes.are_open = true;
    fetched.result?;
    let at = At { folder, life: news.life, listing: &news.listing };
    let fulfilled = (&mut known.wishes, &mut known.unsteady);
    let fulfilled = wishes::fulfil(shared, connection, at, fulfilled).await;
    if let Ok(Some(over)) = fulfilled {
        known.over = Some(over);
        known.look_anew();
        return Ok(Left::More);
    }
    // Said once, when all that it tells of is known.
    let is_more = !known.asks.is_empty();
    if is_more {
        prove::tell_progress(shared, who, &news, known).await?;
    } else {
        known.news = None;
        prove::prove(shared, who, &news, known).await?;
    }
    fulfilled?;
    Ok(match known.rarely(&shared.clock) {
        _ if is_more => Left::More,
        Some(delay) => Left::Rarely(delay),
        None => Left::Nothing,
    })
}
