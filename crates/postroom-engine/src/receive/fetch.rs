//! Fetches new messages, in portions limited by count and bytes.
//!
//! A portion is handed on as soon as it is full, or when the server pauses, so that a slow server
//! holds no memory that others need. [`crate::receive::plan`] decides how refused sets, and sets
//! during which the connection ended, are retried. So one bad message never affects another.

use crate::error::Error;
use crate::original::Original;
use crate::receive::header;
use crate::receive::incomplete;
use crate::receive::incomplete::Notice;
use crate::receive::intake::DOUBTFUL;
use crate::receive::intake::IncompleteMessage;
use crate::receive::intake::Intake;
use crate::receive::intake::Wholeness;
use crate::receive::intake::wholeness;
use crate::receive::plan::FetchPlan;
use crate::receive::single;
use crate::receive::single::Single;
use crate::receive::turn::Turn;
use crate::source::answer_so_far::AnswerSoFar;
use crate::source::answer_so_far::AnswerStep;
use crate::source::contract::ListRange;
use crate::source::contract::MessageStream;
use crate::source::contract::Source;
use crate::source::joining::EventJoin;
use crate::source::message::FetchScope;
use crate::source::message::MessageEvent;
use crate::source::message::SourceMessage;
use crate::source_error::SourceFailure;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a portion that is not full waits for the next message.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many messages are refused in a row before the rest of the mailbox is left for later.
const REFUSED_MAX: u32 = 10;
/// For how many messages other forms are tried in one turn, because each needs a few round trips.
const SINGLES_MAX: u32 = 20;
/// How often the same bytes must arrive before they count as the whole message in spite of another
/// announced size.
const SAME_MIN: u32 = 4;

/// The result of fetching.
#[derive(Debug)]
pub(crate) struct FetchOutcome {
    /// The messages that could not be fetched, whatever the result is.
    pub missed: Vec<MissedMessage>,
    /// How many messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// The messages whose bytes were handed on before the server contradicted them in the same
    /// answer. They must not be deleted there.
    pub doubted: Vec<SourceKey>,
    /// Whether the server skipped a listed message, so that the list may have it in the place of
    /// another one.
    pub has_skipped: bool,
    /// The error that ended the fetch early. Complete messages that arrived before were handed on.
    pub result: Result<(), Error>,
}

/// Fetches the messages of the plan and hands them on, until none is left or the turn is over.
pub(crate) async fn fetch<S: Source>(
    intake: Intake<'_>,
    source: &mut S,
    plan: &mut FetchPlan,
    turn: &Turn<'_>,
) -> FetchOutcome {
    let (refused, singles, is_over, has_skipped) = (0, 0, false, false);
    let mut fetching = Fetching { source, plan, intake, refused, singles, is_over, has_skipped };
    let mut result = fetching.all(turn).await;
    let flushed = fetching.intake.collector.flush().await;
    if result.is_ok() {
        result = flushed;
    }
    let has_skipped = fetching.has_skipped;
    let Intake { missed, withheld, doubted, .. } = fetching.intake;
    FetchOutcome { missed, withheld, doubted, has_skipped, result }
}

/// A running fetch.
struct Fetching<'a, 'b, S> {
    source: &'a mut S,
    plan: &'a mut FetchPlan,
    intake: Intake<'b>,
    /// How many messages were asked for in other forms.
    singles: u32,
    /// Whether the rest is left for the next turn.
    is_over: bool,
    /// How many messages in a row were refused.
    refused: u32,
    /// Whether a listed message was skipped.
    has_skipped: bool,
}

/// A message that the source refuses to give, though it is asked for alone.
struct RefusedMessage {
    key: SourceKey,
    error: Error,
}

/// What arrived of one set.
#[derive(Default)]
struct Got {
    /// The messages whose bytes came, or the reason why there are none.
    keys: BTreeSet<SourceKey>,
    bytes: u64,
    told: BTreeMap<SourceKey, AnswerSoFar>,
}

impl<S: Source> Fetching<'_, '_, S> {
    async fn all(&mut self, turn: &Turn<'_>) -> Result<(), Error> {
        let (count_max, bytes_max) =
            (self.intake.collector.count_max, self.intake.collector.bytes_max);
        while !self.is_over && !turn.is_over(self.intake.collector.portions) {
            let fits = |keys: &[SourceKey]| S::requests(keys).len() <= 1;
            let Some(keys) = self.plan.next(count_max, bytes_max, fits) else {
                return Ok(());
            };
            let mut got = Got::default();
            let result = self.set(&keys, &mut got).await;
            let rest: Vec<_> = keys.into_iter().filter(|key| !got.keys.contains(key)).collect();
            if !got.keys.is_empty() {
                self.refused = 0;
            }
            self.plan.came(got.keys.into_iter(), got.bytes);
            match result {
                Ok(()) => {
                    if !rest.is_empty() || self.intake.asks_singly() {
                        // These questions may take long, and others need the memory.
                        self.intake.collector.flush().await?;
                    }
                    self.not_given(rest).await?;
                    self.resolve().await?;
                    self.headers().await?;
                }
                Err(error) => {
                    if let Some(refused) = self.rest_of(rest, error)? {
                        self.ask_otherwise(refused).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Decides about the rest of a set. Gives the message of it that is refused alone, or the error
    /// if nothing more is to be fetched now.
    fn rest_of(
        &mut self,
        rest: Vec<SourceKey>,
        error: Error,
    ) -> Result<Option<RefusedMessage>, Error> {
        let missed = &mut self.intake.missed;
        match error.source_failure() {
            // Neither error is about a message.
            None | Some(SourceFailure::Refused { is_about_account: true, .. }) => {
                self.plan.put_back(rest);
                return Err(error);
            }
            Some(SourceFailure::Silent) => {
                let reason = format!("{error}; the message is fetched on a connection of its own");
                let suspect = self.plan.stalled(&rest);
                missed.extend(suspect.map(|key| MissedMessage::pending(key, reason)));
                return Err(error);
            }
            Some(SourceFailure::Ended) => {
                let reason = format!("the connection ends when it is fetched: {error}");
                let suspect = self.plan.ended(&rest);
                missed.extend(suspect.map(|key| MissedMessage::pending(key, reason)));
                return Err(error);
            }
            Some(SourceFailure::Refused { is_about_account: false, .. }) => {}
        }
        Ok(self.plan.refused(rest).map(|key| RefusedMessage { key, error }))
    }

    /// Asks for a message that was refused in the usual form in the other forms.
    async fn ask_otherwise(&mut self, refused: RefusedMessage) -> Result<(), Error> {
        let RefusedMessage { key, error } = refused;
        if self.singles >= SINGLES_MAX {
            self.plan.put_back(vec![key]);
            self.is_over = true;
            return Ok(());
        }
        let missed_before = self.intake.missed.len();
        self.intake.incomplete.push(IncompleteMessage::refused(key, error.to_string()));
        self.resolve().await?;
        self.refused = if self.intake.missed.len() == missed_before { 0 } else { self.refused + 1 };
        if self.refused >= REFUSED_MAX { Err(error) } else { Ok(()) }
    }

    /// Handles messages that FETCH skipped. Those that still exist count as missed. The others were
    /// expunged.
    async fn not_given(&mut self, keys: Vec<SourceKey>) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        self.has_skipped = true;
        let mut still_there = BTreeSet::new();
        let mut result = Ok(());
        for some in S::requests(&keys) {
            match self.source.list(ListRange::Among(&some)).await {
                Ok(listed) => still_there.extend(listed.keys),
                // If they are gone, the next proof removes them.
                Err(error) => {
                    still_there.extend(some);
                    if !error.is_refusal() {
                        result = Err(error);
                    }
                }
            }
        }
        let incomplete = |key| {
            let reason = "the server lists this message but returns no body";
            IncompleteMessage::absent(key, reason.to_owned())
        };
        self.intake
            .incomplete
            .extend(keys.into_iter().filter(|key| still_there.contains(key)).map(incomplete));
        if result.is_err() {
            self.intake.give_up_incomplete();
        }
        result
    }

    /// Fetches messages that did not arrive as a whole in other forms.
    async fn resolve(&mut self) -> Result<(), Error> {
        self.intake.incomplete.reverse();
        while let Some(mut incomplete) = self.intake.incomplete.pop() {
            let is_believed = incomplete.is_doubtful && self.intake.believes();
            if let Some((message, original)) = incomplete.came.take_if(|_| is_believed) {
                self.intake.take(message, original, false).await?;
                continue;
            }
            if self.singles >= SINGLES_MAX {
                self.intake.incomplete.push(incomplete);
                self.intake.give_up_incomplete();
                return Ok(());
            }
            self.singles += 1;
            let key = incomplete.key;
            if let Err(error) = self.resolve_one(incomplete).await {
                let reason = format!("the connection ends when it is fetched: {error}");
                self.intake.missed.push(MissedMessage::pending(key, reason));
                self.intake.give_up_incomplete();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Fetches the headers of messages that are too large.
    async fn headers(&mut self) -> Result<(), Error> {
        let clock = self.intake.collector.clock();
        let bytes_max = self.intake.collector.message_bytes_max;
        for missed in self.intake.missed.iter_mut().filter(|missed| missed.is_too_big) {
            if missed.hash.is_none() {
                header::add(self.source, missed, clock, bytes_max).await?;
            }
        }
        Ok(())
    }

    async fn resolve_one(&mut self, incomplete: IncompleteMessage) -> Result<(), Error> {
        let IncompleteMessage { key, mut reason, mut came, is_doubtful, is_refused } = incomplete;
        let forms = self.forms(key, is_refused).into_iter().map(FetchScope::Form);
        // At last, doubtful bytes are asked for in the way that gave them.
        let usual = is_doubtful.then(|| self.scope(&[key]));
        for scope in forms.chain(usual) {
            let place = self.intake.collector.spool_place();
            let (message, original) = match single::ask(self.source, key, scope, place).await? {
                Single::Given(message, original) => (message, original),
                Single::Missed(why) => {
                    if came.is_none() {
                        reason = why;
                    }
                    continue;
                }
                Single::Unspooled(unspooled) => {
                    self.intake.hold(key, unspooled);
                    return Ok(());
                }
            };
            let why = match wholeness(&message, &original)? {
                Wholeness::Whole => return self.intake.take(message, original, true).await,
                Wholeness::Doubtful if is_same(came.as_ref(), &original)? => {
                    self.intake.agreed += 1;
                    return self.intake.take(message, original, false).await;
                }
                Wholeness::Doubtful => DOUBTFUL.to_owned(),
                Wholeness::Incomplete(why) => why,
            };
            let best = came.as_ref().map_or(0, |(_, best)| best.size_bytes());
            if came.is_none() || original.size_bytes() > best {
                (reason, came) = (why, Some((message, original)));
            }
        }
        let Some((message, original)) = came else {
            self.intake.missed.push(MissedMessage::pending(key, reason));
            return Ok(());
        };
        let hash = original.hash().map_err(Error::Spool)?;
        let before = self.intake.news.pending.get(&key).filter(|before| before.hash == Some(hash));
        let times = before.map_or(0, |before| before.attempts) + 1;
        let notice = incomplete::notice(&original).map_err(Error::Spool)?;
        if times >= SAME_MIN && original.size_bytes() > 0 && notice != Some(Notice::Known) {
            // The announced size is wrong, or the message quotes a notice. These bytes are the
            // whole message.
            return self.intake.take(message, original, false).await;
        }
        self.intake
            .missed
            .push(MissedMessage { hash: Some(hash), ..MissedMessage::pending(key, reason) });
        Ok(())
    }

    /// The other forms in which a message can be asked for.
    fn forms(&self, key: SourceKey, is_refused: bool) -> Vec<S::Form> {
        if self.intake.bytes_max(key) > self.intake.collector.message_bytes_max {
            // The other forms are for messages of the usual sizes.
            return vec![];
        }
        let listing = &self.intake.news.listing;
        let at = listing.keys.binary_search(&key).ok().filter(|_| listing.is_whole());
        let place = at.and_then(|at| u32::try_from(at + 1).ok());
        self.source.other_forms(place, is_refused)
    }

    /// The part of each message that is asked for. A message that a client asked for is fetched
    /// whole, whatever its size is, and is a set of its own.
    fn scope(&self, asked: &[SourceKey]) -> FetchScope<S::Form> {
        let bytes_max = asked.iter().map(|key| self.intake.bytes_max(*key)).min();
        let usual = self.intake.collector.message_bytes_max;
        let larger = bytes_max.filter(|bytes_max| *bytes_max > usual);
        larger.map_or(FetchScope::Whole, FetchScope::UpTo)
    }

    async fn set(&mut self, asked: &[SourceKey], got: &mut Got) -> Result<(), Error> {
        let scope = self.scope(asked);
        let mut join = EventJoin::new(self.intake.collector.spool_place());
        let mut messages = self.source.fetch(asked, scope).await?;
        loop {
            let event = match tokio::time::timeout(PATIENCE, messages.next()).await {
                Ok(event) => event?,
                Err(_) => {
                    self.intake.collector.flush().await?;
                    messages.next().await?
                }
            };
            let Some(event) = event else {
                return Ok(());
            };
            if matches!(event, MessageEvent::Begin) {
                // A large message may take long, so the portion is handed on first to free its
                // memory.
                self.intake.collector.flush().await?;
            }
            let Some(joined) = join.take(event).await else {
                continue;
            };
            let key = joined.message.key;
            if asked.binary_search(&key).is_err() {
                continue;
            }
            match got.told.entry(key).or_default().take(joined) {
                AnswerStep::Facts => {}
                AnswerStep::Content(joined) => {
                    got.keys.insert(key);
                    got.bytes += self.intake.come(joined).await?;
                }
                AnswerStep::Contradiction => self.intake.doubt(key),
            }
        }
    }
}

/// Whether the same bytes came before.
fn is_same(came: Option<&(SourceMessage, Original)>, now: &Original) -> Result<bool, Error> {
    let Some((_, before)) = came.filter(|(_, before)| before.size_bytes() == now.size_bytes())
    else {
        return Ok(false);
    };
    Ok(before.hash().map_err(Error::Spool)? == now.hash().map_err(Error::Spool)?)
}
