//! Fetches new messages, in portions limited by count and bytes.
//!
//! A portion is handed on as soon as it is full, or when the server pauses, so that a slow server
//! holds no memory that others need. [`crate::receive::plan`] decides how refused sets, and sets
//! during which the connection ended, are retried. So one bad message never affects another.

use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use crate::receive::header;
use crate::receive::incomplete;
use crate::receive::incomplete::Notice;
use crate::receive::intake::IncompleteMessage;
use crate::receive::intake::Intake;
use crate::receive::intake::too_big;
use crate::receive::intake::why_incomplete;
use crate::receive::plan::FetchPlan;
use crate::receive::plan::SET_OCTETS_MAX;
use crate::receive::single;
use crate::receive::single::FetchForm;
use crate::receive::single::Single;
use crate::receive::turn::Turn;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::ImapConnection;
use postroom_imap::ImapVerdict;
use postroom_imap::UidSet;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;
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
pub struct FetchOutcome {
    /// The messages that could not be fetched, whatever the result is.
    pub missed: Vec<MissedMessage>,
    /// How many messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// What ended it early. Complete messages that arrived before were handed on.
    pub result: Result<(), Error>,
}

/// Fetches the UIDs of the plan and hands the messages on, until none is left or the turn is over.
pub async fn fetch(
    intake: Intake<'_>,
    connection: &mut ImapConnection,
    plan: &mut FetchPlan,
    turn: &Turn<'_>,
) -> FetchOutcome {
    let mut fetching = Fetching { connection, plan, intake, refused: 0, singles: 0 };
    let mut result = fetching.all(turn).await;
    let flushed = fetching.intake.collector.flush().await;
    if result.is_ok() {
        result = flushed;
    }
    FetchOutcome { missed: fetching.intake.missed, withheld: fetching.intake.withheld, result }
}

/// A running fetch.
struct Fetching<'a, 'b> {
    connection: &'a mut ImapConnection,
    plan: &'a mut FetchPlan,
    intake: Intake<'b>,
    /// How many messages were asked for in other forms.
    singles: u32,
    /// How many messages in a row were refused.
    refused: u32,
}

/// What arrived of one set.
#[derive(Default)]
struct Got {
    uids: BTreeSet<u64>,
    bytes: u64,
}

impl Fetching<'_, '_> {
    async fn all(&mut self, turn: &Turn<'_>) -> Result<(), Error> {
        let (count_max, bytes_max) =
            (self.intake.collector.count_max, self.intake.collector.bytes_max);
        while !turn.is_over(self.intake.collector.portions) {
            let Some(uids) = self.plan.next(count_max, bytes_max) else {
                return Ok(());
            };
            let mut got = Got::default();
            let result = self.set(&UidSet::from_uids(&uids), &mut got).await;
            let rest: Vec<u64> = uids.into_iter().filter(|uid| !got.uids.contains(uid)).collect();
            if !got.uids.is_empty() {
                self.refused = 0;
            }
            self.plan.came(got.uids.into_iter(), got.bytes);
            match result {
                Ok(()) => {
                    self.not_given(rest).await?;
                    self.resolve().await?;
                    self.headers().await?;
                }
                Err(Error::Imap(error)) => self.rest_of(rest, error)?,
                Err(error) => {
                    self.plan.put_back(rest);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Decides about the rest of a set. Gives the error if nothing more is to be fetched now.
    fn rest_of(&mut self, rest: Vec<u64>, error: postroom_imap::Error) -> Result<(), Error> {
        if !error.leaves_connection_open() {
            if matches!(error, postroom_imap::Error::Stalled { .. }) {
                let reason = format!("{error}; the message is fetched on a connection of its own");
                let suspect = self.plan.stalled(&rest);
                self.intake.missed.extend(
                    suspect.map(|uid| MissedMessage::pending(SourceKey::of_uid(uid), reason)),
                );
            } else if let Some(uid) = self.plan.ended(&rest) {
                let reason = format!("the connection ends when it is fetched: {error}");
                self.intake.missed.push(MissedMessage::pending(SourceKey::of_uid(uid), reason));
            }
            return Err(error.into());
        }
        match error.verdict() {
            // The reply is about the account, not about a message.
            ImapVerdict::Credentials | ImapVerdict::RetryLater { after: Some(_) } => {
                self.plan.put_back(rest);
                return Err(error.into());
            }
            ImapVerdict::Retry
            | ImapVerdict::RetryLater { after: None }
            | ImapVerdict::Refused
            | ImapVerdict::Protocol => {}
        }
        if let Some(uid) = self.plan.refused(rest) {
            self.intake
                .missed
                .push(MissedMessage::pending(SourceKey::of_uid(uid), error.to_string()));
            self.refused += 1;
        }
        if self.refused >= REFUSED_MAX { Err(error.into()) } else { Ok(()) }
    }

    /// Handles messages that FETCH skipped. Those that still exist count as missed. The others were
    /// expunged.
    async fn not_given(&mut self, uids: Vec<u64>) -> Result<(), Error> {
        if uids.is_empty() {
            return Ok(());
        }
        let mut still_there = BTreeSet::new();
        let mut result = Ok(());
        for set in UidSet::from_uids(&uids).split(SET_OCTETS_MAX) {
            match self.connection.uid_search(&format!("UID {set}")).await {
                Ok(listed) => still_there.extend(listed),
                // If they are gone, the next proof removes them.
                Err(error) => {
                    still_there.extend(set.iter());
                    if !error.leaves_connection_open() {
                        result = Err(error.into());
                    }
                }
            }
        }
        let incomplete = |uid| {
            let reason = "the server lists this message but returns no body".to_owned();
            IncompleteMessage { uid, reason, came: None }
        };
        self.intake
            .incomplete
            .extend(uids.into_iter().filter(|uid| still_there.contains(uid)).map(incomplete));
        if result.is_err() {
            self.intake.give_up_incomplete();
        }
        result
    }

    /// Fetches messages that did not arrive as a whole in other forms.
    async fn resolve(&mut self) -> Result<(), Error> {
        while let Some(incomplete) = self.intake.incomplete.pop() {
            if self.singles >= SINGLES_MAX {
                self.intake.incomplete.push(incomplete);
                self.intake.give_up_incomplete();
                return Ok(());
            }
            self.singles += 1;
            let uid = incomplete.uid;
            if let Err(error) = self.resolve_one(incomplete).await {
                let reason = format!("the connection ends when it is fetched: {error}");
                self.intake.missed.push(MissedMessage::pending(SourceKey::of_uid(uid), reason));
                self.intake.give_up_incomplete();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Fetches the headers of messages that are too large.
    async fn headers(&mut self) -> Result<(), Error> {
        let clock = self.intake.collector.clock();
        for missed in self.intake.missed.iter_mut().filter(|missed| missed.is_too_big) {
            if missed.hash.is_none() {
                header::add(self.connection, missed, clock).await?;
            }
        }
        Ok(())
    }

    async fn resolve_one(&mut self, incomplete: IncompleteMessage) -> Result<(), Error> {
        let IncompleteMessage { uid, mut reason, mut came } = incomplete;
        for form in self.forms(uid) {
            let directory = self.intake.collector.spool_directory().to_owned();
            match single::ask(self.connection, uid, form, &directory).await? {
                Single::Missed(why) if came.is_none() => reason = why,
                Single::Missed(_) => {}
                Single::Given(message, original) => match why_incomplete(&message, &original)? {
                    None => return self.intake.take(message, uid, original, true).await,
                    Some(why) => {
                        let best = came.as_ref().map_or(0, |(_, best)| best.size_bytes());
                        if came.is_none() || original.size_bytes() > best {
                            (reason, came) = (why, Some((message, original)));
                        }
                    }
                },
            }
        }
        let Some((message, original)) = came else {
            self.intake.missed.push(MissedMessage::pending(SourceKey::of_uid(uid), reason));
            return Ok(());
        };
        let hash = original.hash().map_err(Error::Spool)?;
        let before = self.intake.news.pending.get(&uid).filter(|before| before.hash == Some(hash));
        let times = before.map_or(0, |before| before.attempts) + 1;
        let notice = incomplete::notice(&original).map_err(Error::Spool)?;
        if times >= SAME_MIN && original.size_bytes() > 0 && notice != Some(Notice::Known) {
            // The announced size is wrong, or the message quotes a notice. These bytes are the
            // whole message.
            return self.intake.take(message, uid, original, false).await;
        }
        self.intake.missed.push(MissedMessage {
            hash: Some(hash),
            ..MissedMessage::pending(SourceKey::of_uid(uid), reason)
        });
        Ok(())
    }

    /// The other forms in which a message can be asked for.
    fn forms(&self, uid: u64) -> Vec<FetchForm> {
        if self.intake.bytes_max(uid) > self.intake.collector.message_bytes_max {
            // They are for messages of the usual sizes.
            return vec![];
        }
        let listing = &self.intake.news.listing;
        let at = listing.uids.binary_search(&uid).ok().filter(|_| listing.is_whole());
        let sequence = at.and_then(|at| u32::try_from(at + 1).ok()).map(FetchForm::Sequence);
        let old = self.intake.news.examined.then_some(FetchForm::Old);
        [Some(FetchForm::Partial), sequence, old].into_iter().flatten().collect()
    }

    /// What is asked for: all of each message, and of one that somebody asked for whatever its size
    /// is. Such a one is a set of its own.
    fn items(&self, asked: &UidSet) -> FetchItems {
        let bytes_max = asked.iter().map(|uid| self.intake.bytes_max(uid)).min();
        let usual = self.intake.collector.message_bytes_max;
        let larger = bytes_max.filter(|bytes_max| *bytes_max > usual);
        larger.map_or(FetchItems::Message, FetchItems::MessageUpTo)
    }

    async fn set(&mut self, asked: &UidSet, got: &mut Got) -> Result<(), Error> {
        let mut fetch = self.connection.uid_fetch(asked, self.items(asked)).await?;
        let mut spool: Option<Spool> = None;
        loop {
            let event = match tokio::time::timeout(PATIENCE, fetch.next()).await {
                Ok(event) => event?,
                Err(_) => {
                    self.intake.collector.flush().await?;
                    fetch.next().await?
                }
            };
            match event {
                None => return Ok(()),
                Some(FetchEvent::BodyStart { .. }) => {
                    // A large message may take long, so the portion is handed on first to free its
                    // memory.
                    self.intake.collector.flush().await?;
                    let directory = self.intake.collector.spool_directory();
                    spool = Some(Spool::create(directory).map_err(Error::Spool)?);
                }
                Some(FetchEvent::Chunk(bytes)) => {
                    if let Some(spool) = &mut spool {
                        spool.write(&bytes).await.map_err(Error::Spool)?;
                    }
                }
                Some(FetchEvent::BodyEnd) => {}
                Some(FetchEvent::Message(message)) => {
                    let spool = spool.take();
                    let Some(uid) = message.uid.filter(|uid| asked.contains(*uid)) else {
                        continue;
                    };
                    if got.uids.contains(&uid) {
                        continue;
                    }
                    let bytes_max = self.intake.bytes_max(uid);
                    match body(&message, spool, bytes_max).await? {
                        Ok(body) => {
                            got.uids.insert(uid);
                            got.bytes += body.size_bytes();
                            self.intake.come(message, uid, body).await?;
                        }
                        Err(Some(miss)) if miss.is_too_big => {
                            got.uids.insert(uid);
                            self.intake
                                .missed
                                .push(MissedMessage { key: SourceKey::of_uid(uid), ..miss });
                        }
                        Err(Some(MissedMessage { reason, .. })) => {
                            got.uids.insert(uid);
                            self.intake.incomplete.push(IncompleteMessage {
                                uid,
                                reason,
                                came: None,
                            });
                        }
                        // Only flags, which the server sent unasked.
                        Err(None) => {}
                    }
                }
            }
        }
    }
}

/// The bytes of a message, or why there are none. `None`: the response was about something else.
async fn body(
    message: &Fetched,
    spool: Option<Spool>,
    bytes_max: u64,
) -> Result<Result<Original, Option<MissedMessage>>, Error> {
    let miss = |reason: &str| Some(MissedMessage::pending(SourceKey::default(), reason.to_owned()));
    Ok(match &message.body {
        postroom_imap::Body::Bytes(bytes) => Ok(Original::Memory(bytes.clone())),
        postroom_imap::Body::Streamed => match spool {
            Some(spool) => Ok(spool.finish().await.map_err(Error::Spool)?),
            None => Err(None),
        },
        postroom_imap::Body::TooBig { size_bytes } => Err(Some(too_big(*size_bytes, bytes_max))),
        postroom_imap::Body::WrongSize => {
            Err(miss("the server gave another size than it announced"))
        }
        postroom_imap::Body::Nil => Err(miss("the server gave NIL for its body")),
        postroom_imap::Body::Missing => Err(None),
    })
}
