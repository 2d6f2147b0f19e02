//! The receive path: from a mailbox at the source of an account to committed messages. See
//! `docs/receive.md`.
//!
//! ```text
//!   watch ──► fetch ──► decompose ──► commit ──► actions
//!   what is   portions  fields and    one trans-  mark, delete: only for what is
//!   new?      of bytes  parts (CPU)   action each durable, and recorded with it
//! ```
//! There is no queue, because the server keeps the mail, and the ledger says which of it is
//! recorded. A portion is fetched while the one before is decomposed, and the one before that
//! committed. Nothing before `commit` shows the message to a client. `commit` has no effect the
//! second time for the same folder, epoch and source key.

pub(crate) mod plan;

pub(crate) mod incomplete;

pub(crate) mod single;

mod header;

pub(crate) mod witness;

pub(crate) mod identity;

pub(crate) mod turn;

pub(crate) mod decompose;

pub(crate) mod actions;

pub(crate) mod news;

pub(crate) mod opening;

pub(crate) mod known;

pub(crate) mod watch;

mod collector;

pub(crate) mod intake;

pub(crate) mod prove;

pub(crate) mod fetch;

pub(crate) mod commit;

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use actions::OpenListing;
use collector::Collector;
use collector::Portion;
use identity::differs;
use intake::Intake;
use known::Known;
use news::LateMessage;
use plan::FetchPlan;
use postroom_store::MissedMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use turn::Turn;

/// Takes one message through the same path, on a connection that nothing else uses. Gives whether
/// it is recorded. A message that the server does not return stays pending, with the reason.
///
/// # Errors
///
/// Errors of the store.
pub(crate) async fn receive_one<S: Source>(
    shared: &Arc<Shared>,
    mailbox: MonitoredMailbox<'_>,
    source: &mut S,
    late: &LateMessage,
    turn: &Turn<'_>,
) -> Result<bool, Error> {
    let (count, missed) = match fetch_one(shared, mailbox, source, late, turn).await {
        Ok(fetched) => fetched,
        Err(error) if error.source_failure().is_some() => {
            let reason = format!("it was fetched on a connection of its own, and {error}");
            (0, vec![MissedMessage::pending(late.key, reason)])
        }
        Err(error) => return Err(error),
    };
    commit::record_missed(shared, mailbox, &late.news, &missed).await?;
    Ok(count > 0 || missed.iter().any(|missed| missed.is_too_big))
}

/// Fetches and commits one message. Gives how many are durable, and what could not be fetched.
async fn fetch_one<S: Source>(
    shared: &Arc<Shared>,
    mailbox: MonitoredMailbox<'_>,
    source: &mut S,
    late: &LateMessage,
    turn: &Turn<'_>,
) -> Result<(u64, Vec<MissedMessage>), Error> {
    let (key, news, mut count) = (late.key, &*late.news, 0);
    let opened = source.open(&mailbox.folder.mailbox, news.access).await?;
    if differs(news.mailbox_id.as_ref(), opened.mailbox_id.as_ref()) {
        let reason = "on a connection of its own another mailbox had this name".to_owned();
        return Ok((0, vec![MissedMessage::pending(key, reason)]));
    }
    if opened.uid_validity != news.uid_validity {
        let reason = "on a connection of its own the mailbox had another UIDVALIDITY".to_owned();
        return Ok((0, vec![MissedMessage::pending(key, reason)]));
    }
    let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
    let mut plan = FetchPlan::default();
    plan.fill([key].into(), &[], &[]);
    let collector =
        Collector::new(shared, mailbox.account.id, mailbox.folder, news.uid_validity, sender);
    let fetched = fetch::fetch(Intake::new(collector, news), source, &mut plan, turn);
    let committed = commit::commit(shared, mailbox, news, &mut count, receiver);
    let (fetched, committed) = tokio::join!(fetched, committed);
    committed?;
    if count == 0 && fetched.missed.is_empty() {
        fetched.result?;
    }
    Ok((count, fetched.missed))
}

/// How many portions may be between fetch and commit.
const PORTIONS_IN_FLIGHT: usize = 2;

/// When a folder needs its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
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
pub(crate) async fn receive<S: Source>(
    shared: &Arc<Shared>,
    mailbox: MonitoredMailbox<'_>,
    source: &mut S,
    known: &mut Known,
    turn: &Turn<'_>,
) -> Result<Left, Error> {
    let Some(news) = watch::watch(shared, mailbox, source, known).await? else {
        return Ok(Left::Nothing);
    };
    let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
    let mut count = 0;
    let collector =
        Collector::new(shared, mailbox.account.id, mailbox.folder, news.uid_validity, sender);
    let fetched = fetch::fetch(Intake::new(collector, &news), source, &mut known.plan, turn);
    let committed = commit::commit(shared, mailbox, &news, &mut count, receiver);
    // Both run to their end, so that messages that were fetched before the connection broke are
    // committed.
    let (fetched, committed) = tokio::join!(fetched, committed);
    known.recorded += count;
    known.withheld += fetched.withheld;
    let failure = fetched.result.as_ref().err().and_then(Error::source_failure);
    let stalls = failure == Some(SourceFailure::Silent);
    known.has_progressed |= count > 0 || !fetched.missed.is_empty() && !stalls;
    let folder = mailbox.folder;
    let late = |key| LateMessage { folder: folder.id, key, news: Arc::clone(&news) };
    known.alone.extend(known.plan.take_alone().into_iter().map(late));
    let recorded = match committed {
        Ok(()) => commit::record_missed(shared, mailbox, &news, &fetched.missed).await,
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        known.look_anew();
        return Err(error);
    }
    known.actions.are_open = true;
    fetched.result?;
    let at = OpenListing { folder, epoch: news.epoch, listing: &news.listing };
    let (actions, unsteady) = (&mut known.actions, &mut known.unsteady);
    let carried_out = actions::carry_out(shared, source, at, actions, unsteady).await;
    if let Ok(Some(over)) = carried_out {
        known.over = Some(over);
        known.look_anew();
        return Ok(Left::More);
    }
    // Said once, when all that it tells of is known.
    let is_more = !known.plan.is_empty();
    if is_more {
        prove::tell_progress(shared, mailbox, &news, known).await?;
    } else {
        known.news = None;
        prove::prove(shared, mailbox, &news, known).await?;
    }
    carried_out?;
    Ok(match known.rarely(&shared.clock) {
        _ if is_more => Left::More,
        Some(delay) => Left::Rarely(delay),
        None => Left::Nothing,
    })
}
