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

pub(crate) mod sampling;

mod listed_keys;

mod suspects;

pub(crate) mod plan;

mod halving;

pub(crate) mod incomplete;

pub(crate) mod single;

pub(crate) mod witness;

pub(crate) mod evidence;

mod header;

pub(crate) mod unloaded;

pub(crate) mod identity;

pub(crate) mod turn;

pub(crate) mod decompose;

pub(crate) mod action_state;

pub(crate) mod actions;

pub(crate) mod news;

pub(crate) mod opening;

pub(crate) mod known;

pub(crate) mod returned;

mod swapped;

mod beginning;

mod found;

pub(crate) mod watch;

mod collector;

pub(crate) mod intake;

pub(crate) mod prove;

pub(crate) mod fetch;

pub(crate) mod repeats;

pub(crate) mod commit;

use crate::account::MonitoredMailbox;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Source;
use crate::source_error::SourceFailure;
use actions::OpenListing;
use collector::Collector;
use collector::MailOf;
use collector::Portion;
use commit::Committing;
use evidence::Evidence;
use fetch::FetchOutcome;
use identity::Over;
use identity::differs;
use intake::Intake;
use known::Known;
use news::LateMessage;
use plan::FetchPlan;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;
use repeats::RecordedBytes;
use repeats::RepeatCheck;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use turn::Turn;

/// The result of taking one message through the same path.
#[derive(Debug, Default)]
pub(crate) struct ReceivedAlone {
    /// Whether it is recorded.
    pub is_recorded: bool,
    /// Why the epoch of the mailbox is over, if it turned out to be.
    pub over: Option<Over>,
}

/// Takes one message through the same path, on a connection that nothing else uses. A message that
/// the server does not return stays pending, with the reason.
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
) -> Result<ReceivedAlone, Error> {
    let fetched = match fetch_one(shared, mailbox, source, late, turn).await {
        Ok(fetched) => fetched,
        Err(error) if error.source_failure().is_some() => {
            let reason = format!("it was fetched on a connection of its own, and {error}");
            FetchedOne::missed(late.key, reason)
        }
        Err(error) => return Err(error),
    };
    let FetchedOne { count, missed, over } = fetched;
    commit::record_missed(shared, mailbox, &late.news, &missed).await?;
    let is_recorded = count > 0 || missed.iter().any(|missed| missed.is_too_big);
    Ok(ReceivedAlone { is_recorded, over })
}

/// What became of one message.
#[derive(Default)]
struct FetchedOne {
    /// How often it is durable now.
    count: u64,
    /// What could not be fetched.
    missed: Vec<MissedMessage>,
    /// Why the epoch of the mailbox is over.
    over: Option<Over>,
}

impl FetchedOne {
    fn missed(key: SourceKey, reason: String) -> Self {
        Self { missed: vec![MissedMessage::pending(key, reason)], ..Self::default() }
    }
}

/// Fetches and commits one message.
async fn fetch_one<S: Source>(
    shared: &Arc<Shared>,
    mailbox: MonitoredMailbox<'_>,
    source: &mut S,
    late: &LateMessage,
    turn: &Turn<'_>,
) -> Result<FetchedOne, Error> {
    let (key, news) = (late.key, &*late.news);
    let opened = source.open(&mailbox.folder.mailbox, news.access).await?;
    if differs(news.mailbox_id.as_ref(), opened.mailbox_id.as_ref()) {
        let reason = "on a connection of its own another mailbox had this name".to_owned();
        return Ok(FetchedOne::missed(key, reason));
    }
    if opened.uid_validity != news.uid_validity {
        let reason = "on a connection of its own the mailbox had another UIDVALIDITY".to_owned();
        return Ok(FetchedOne::missed(key, reason));
    }
    let (mut bytes, mut evidence) = (RecordedBytes::default(), Evidence::default());
    let mut plan = FetchPlan::default();
    plan.fill([key].into(), &[], &[]);
    let mut one = FetchedOne::default();
    // A copy of another message is fetched again once it is known to be one. When the configuration
    // changes, nothing more is fetched, and the message stays pending.
    while !plan.is_empty() && one.over.is_none() && !turn.is_over(0) {
        let (sender, receiver) = mpsc::channel::<Portion>(PORTIONS_IN_FLIGHT);
        let of = MailOf { domain: &mailbox.account.domain, account: mailbox.account.id };
        let collector = Collector::new(shared, of, mailbox.folder, news.uid_validity, sender);
        let fetched = fetch::fetch(Intake::new(collector, news), source, &mut plan, turn);
        let mut committing = Committing::new(shared, mailbox, news, &mut bytes);
        let (mut fetched, committed) = tokio::join!(fetched, committing.all(receiver));
        let Committing { count, repeats, mut held, other, .. } = committing;
        fetched.missed.append(&mut held);
        committed?;
        one.over = other.map(|key| Over::Other { key });
        if !fetched.doubted.is_empty() {
            shared.store.action_done(news.epoch, &fetched.doubted).await?;
        }
        let check = RepeatCheck { shared, source, news, repeats };
        one.count += count;
        let over = check.decide(&mut evidence, &mut bytes, &mut plan, &mut fetched).await?;
        one.over = one.over.or(over);
        one.missed.append(&mut fetched.missed);
        if one.count == 0 && one.missed.is_empty() {
            fetched.result?;
        }
    }
    Ok(one)
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
    let of = MailOf { domain: &mailbox.account.domain, account: mailbox.account.id };
    let collector = Collector::new(shared, of, mailbox.folder, news.uid_validity, sender);
    let fetched = fetch::fetch(Intake::new(collector, &news), source, &mut known.plan, turn);
    let mut committing = Committing::new(shared, mailbox, &news, &mut known.bytes);
    // Both run to their end, so that messages that were fetched before the connection broke are
    // committed.
    let (mut fetched, committed) = tokio::join!(fetched, committing.all(receiver));
    let Committing { count, stored, repeats, mut held, other, .. } = committing;
    fetched.missed.append(&mut held);
    known.took(count, stored);
    known.withheld += fetched.withheld;
    known.actions.doubt(std::mem::take(&mut fetched.doubted));
    // Whatever happens now, these messages must not be deleted at the server.
    let committed = match known.actions.settle_doubts(&shared.store, news.epoch).await {
        Ok(()) => committed,
        Err(error) => committed.and(Err(error)),
    };
    let failure = fetched.result.as_ref().err().and_then(Error::source_failure);
    let stalls = failure == Some(SourceFailure::Silent);
    let has_missed = !fetched.missed.is_empty() && !stalls;
    let folder = mailbox.folder;
    let late = |key| LateMessage { folder: folder.id, key, news: Arc::clone(&news) };
    known.alone.extend(known.plan.take_alone().into_iter().map(late));
    let check = RepeatCheck { shared, source, news: &news, repeats };
    let recorded = match committed {
        Ok(()) if let Some(key) = other => Ok(Some(Over::Other { key })),
        Ok(()) => record_rest(check, mailbox, known, &mut fetched).await,
        Err(error) => Err(error),
    };
    match recorded {
        // If the store does not take what is missed, nothing was achieved, and delays grow.
        Ok(None) => known.has_progressed |= has_missed,
        Ok(Some(over)) => {
            known.end(news.epoch, over);
            return Ok(Left::More);
        }
        Err(error) => {
            known.look_anew();
            return Err(error);
        }
    }
    known.actions.are_open = true;
    // What is not listed may be there, and what is listed may not be all, until another list.
    let news = if fetched.has_skipped { known.contradicted(&news) } else { news };
    fetched.result?;
    let at = OpenListing { folder, epoch: news.epoch, listing: &news.listing };
    let (actions, evidence) = (&mut known.actions, &mut known.evidence);
    let carried_out = if known.opening.trouble().is_some() {
        Ok(None)
    } else {
        actions::carry_out(shared, source, at, actions, evidence).await
    };
    if let Ok(Some(over)) = carried_out {
        known.end(news.epoch, over);
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
    if is_more {
        return Ok(Left::More);
    }
    known.ask_apart(shared, source).await?;
    Ok(known.rarely(&shared.clock).map_or(Left::Nothing, Left::Rarely))
}

/// Decides about the messages that were held back, and records what could not be fetched. Gives why
/// the epoch of the mailbox is over, if it is: then nothing more is recorded in it.
async fn record_rest<S: Source>(
    check: RepeatCheck<'_, S>,
    mailbox: MonitoredMailbox<'_>,
    known: &mut Known,
    fetched: &mut FetchOutcome,
) -> Result<Option<Over>, Error> {
    let (shared, news) = (check.shared, check.news);
    let Known { evidence, bytes, plan, has_missed_live, .. } = known;
    let over = check.decide(evidence, bytes, plan, fetched).await?;
    if over.is_none() {
        commit::record_missed(shared, mailbox, news, &fetched.missed).await?;
        *has_missed_live |= fetched.missed.iter().any(|missed| plan.is_live(missed.key));
    }
    Ok(over)
}
