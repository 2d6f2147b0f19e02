//! Fetch: asks for what is new, in portions bounded by count and bytes.
//!
//! A portion goes on to decomposition as soon as it is full, or when the server lets us wait: a
//! slow server holds no memory that others need. What is refused, or ends the connection, is asked
//! for again as [`crate::receive::asks`] has it, so that one bad message costs no other.

use crate::account::Account;
use crate::account::Folder;
use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use crate::receive::Portion;
use crate::receive::asks::Asks;
use crate::receive::asks::SET_OCTETS_MAX;
use crate::receive::collector::Collector;
use crate::receive::decompose::Arrived;
use crate::receive::turn::Turn;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::UidSet;
use postroom_imap::Verdict;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a portion that is not full waits for the next message.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many messages are refused in a row before the rest of the mailbox is left for later.
const REFUSED_MAX: u32 = 10;

/// A message that the server announced but did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its UID.
    pub uid: u32,
    /// Why, in words.
    pub reason: String,
    /// Whether it will never be had: larger than the limit.
    pub forever: bool,
}

/// How fetching went.
#[derive(Debug)]
pub struct Outcome {
    /// What could not be had, whatever the result is.
    pub missed: Vec<Missed>,
    /// What ended it early; whole messages that came before were handed on.
    pub result: Result<(), Error>,
}

/// Fetches what is to be asked for and hands it on, until nothing is left or the turn is over.
pub async fn fetch(
    shared: &Arc<Shared>,
    (account, folder): (&Account, &Folder),
    connection: &mut Connection,
    (asks, turn): (&mut Asks, &Turn<'_>),
    (uid_validity, sender): (u32, mpsc::Sender<Portion>),
) -> Outcome {
    let collector = Collector::new(shared, (account.id, folder), uid_validity, sender);
    let mut fetching = Fetching { connection, asks, collector, missed: vec![], refused: 0 };
    let mut result = fetching.all(turn).await;
    let flushed = fetching.collector.flush().await;
    if result.is_ok() {
        result = flushed;
    }
    Outcome { missed: fetching.missed, result }
}

/// A fetch on its way.
struct Fetching<'a, 'b> {
    connection: &'a mut Connection,
    asks: &'a mut Asks,
    collector: Collector<'b>,
    missed: Vec<Missed>,
    /// How many messages in a row were refused.
    refused: u32,
}

/// What came of one set.
#[derive(Default)]
struct Got {
    uids: HashSet<u32>,
    bytes: u64,
}

impl Fetching<'_, '_> {
    async fn all(&mut self, turn: &Turn<'_>) -> Result<(), Error> {
        let (count_max, bytes_max) = (self.collector.count_max, self.collector.bytes_max);
        while !turn.is_over(self.collector.portions) {
            let Some(uids) = self.asks.next(count_max, bytes_max) else {
                return Ok(());
            };
            let mut got = Got::default();
            let result = self.set(&UidSet::from_uids(&uids), &mut got).await;
            let rest: Vec<u32> = uids.into_iter().filter(|uid| !got.uids.contains(uid)).collect();
            if !got.uids.is_empty() {
                self.refused = 0;
            }
            self.asks.came(got.uids.into_iter(), got.bytes);
            match result {
                Ok(()) => self.not_given(rest).await?,
                Err(Error::Imap(error)) => self.rest_of(rest, error)?,
                Err(error) => {
                    self.asks.put_back(rest);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Decides what becomes of the rest of a set; gives the error when nothing more is to be
    /// asked for now.
    fn rest_of(&mut self, rest: Vec<u32>, error: postroom_imap::Error) -> Result<(), Error> {
        if !error.leaves_connection_open() {
            if let Some(uid) = self.asks.ended(&rest) {
                let reason = format!("the connection ends when it is asked for: {error}");
                self.missed.push(Missed { uid, reason, forever: false });
            }
            return Err(error.into());
        }
        match error.verdict() {
            // The server speaks of us, not of a message.
            Verdict::Credentials | Verdict::RetryLater { after: Some(_) } => {
                self.asks.put_back(rest);
                return Err(error.into());
            }
            Verdict::Retry
            | Verdict::RetryLater { after: None }
            | Verdict::Refused
            | Verdict::Protocol => {}
        }
        if let Some(uid) = self.asks.refused(rest) {
            self.missed.push(Missed { uid, reason: error.to_string(), forever: false });
            self.refused += 1;
        }
        if self.refused >= REFUSED_MAX { Err(error.into()) } else { Ok(()) }
    }

    /// Of what FETCH passed over: what is still there counts as missed, the rest was expunged.
    async fn not_given(&mut self, uids: Vec<u32>) -> Result<(), Error> {
        if uids.is_empty() {
            return Ok(());
        }
        let mut still_there = HashSet::new();
        let mut result = Ok(());
        for set in UidSet::from_uids(&uids).split(SET_OCTETS_MAX) {
            match self.connection.uid_search(&format!("UID {set}")).await {
                Ok(listed) => still_there.extend(listed),
                // When they are gone, the next proof forgets them.
                Err(error) => {
                    still_there.extend(set.iter());
                    if !error.leaves_connection_open() {
                        result = Err(error.into());
                    }
                }
            }
        }
        let missed = |uid| {
            let reason = "the server lists the message but does not give it".to_owned();
            Missed { uid, reason, forever: false }
        };
        self.missed.extend(uids.into_iter().filter(|uid| still_there.contains(uid)).map(missed));
        result
    }

    async fn set(&mut self, asked: &UidSet, got: &mut Got) -> Result<(), Error> {
        let mut fetch = self.connection.uid_fetch(asked, FetchItems::Message).await?;
        let collector = &mut self.collector;
        let mut spool: Option<Spool> = None;
        loop {
            let event = match tokio::time::timeout(PATIENCE, fetch.next()).await {
                Ok(event) => event?,
                Err(_) => {
                    collector.flush().await?;
                    fetch.next().await?
                }
            };
            match event {
                None => return Ok(()),
                Some(FetchEvent::BodyStart { .. }) => {
                    // A large message may take its time: no memory waits for it.
                    collector.flush().await?;
                    let directory = collector.spool_directory();
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
                    match body(&message, spool).await? {
                        Ok(body) if body.size_bytes() > collector.message_bytes_max => {
                            got.uids.insert(uid);
                            self.missed.push(Missed { uid, ..too_big(body.size_bytes()) });
                        }
                        Ok(body) => {
                            got.uids.insert(uid);
                            got.bytes += body.size_bytes();
                            collector.add(arrived(message, uid, body)).await?;
                        }
                        Err(Some(miss)) => {
                            got.uids.insert(uid);
                            self.missed.push(Missed { uid, ..miss });
                        }
                        // Flags alone, told without being asked.
                        Err(None) => {}
                    }
                }
            }
        }
    }
}

fn arrived(message: Fetched, uid: u32, original: Original) -> Arrived {
    Arrived { uid, flags: message.flags, internal_date_ms: message.internal_date_ms, original }
}

/// What is said of a message that is too large; it is never asked for again.
fn too_big(size_bytes: u64) -> Missed {
    let reason = format!("the message has {size_bytes} bytes, more than message_bytes_max");
    Missed { uid: 0, reason, forever: true }
}

/// The bytes of a message; else why there are none (`None`: the response was about something else).
async fn body(
    message: &Fetched,
    spool: Option<Spool>,
) -> Result<Result<Original, Option<Missed>>, Error> {
    let miss = |reason: String, forever| Some(Missed { uid: 0, reason, forever });
    Ok(match &message.body {
        postroom_imap::Body::Bytes(bytes) => Ok(Original::Memory(bytes.clone())),
        postroom_imap::Body::Streamed => match spool {
            Some(spool) => Ok(spool.finish().await.map_err(Error::Spool)?),
            None => Err(None),
        },
        postroom_imap::Body::TooBig { size_bytes } => Err(Some(too_big(*size_bytes))),
        postroom_imap::Body::WrongSize => {
            Err(miss("the server gave another size than it announced".to_owned(), false))
        }
        postroom_imap::Body::Nil => Err(miss("the server gave NIL for its body".to_owned(), false)),
        postroom_imap::Body::Missing => Err(None),
    })
}
