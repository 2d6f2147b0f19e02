//! Fetch: asks for what is new, in portions bounded by count and bytes.
//!
//! A portion goes on to decomposition as soon as it is full, or when the server lets us wait: a
//! slow server holds no memory that others need. What is refused is asked for in halves down to a
//! single message, so that one bad message costs no other.

use crate::account::Account;
use crate::account::Folder;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use crate::receive::Portion;
use crate::receive::decompose::Decomposed;
use crate::receive::decompose::Wanted;
use crate::receive::decompose::decompose;
use crate::receive::watch::News;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::UidSet;
use postroom_imap::Verdict;
use postroom_store::Wish;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;

/// How long a portion that is not full waits for the next message.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many octets a UID set may have in one command; some servers take no longer lines.
const SET_OCTETS_MAX: usize = 900;

/// One message as FETCH gave it.
#[derive(Debug)]
pub struct Arrived {
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: Vec<String>,
    /// INTERNALDATE in milliseconds since 1970, when the server gave a true one.
    pub internal_date_ms: Option<i64>,
    /// Its bytes.
    pub original: Original,
}

/// A portion after decomposition, with its share of the memory.
#[derive(Debug)]
pub struct Ready {
    /// The messages, in the order of their arrival.
    pub messages: Vec<Decomposed>,
    /// What they take of [`Shared::bytes_in_flight`]; given back when they are committed.
    pub permit: Option<OwnedSemaphorePermit>,
}

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

/// Fetches what is new and hands it on; gives what could not be had.
///
/// # Errors
///
/// What ended the connection; whole messages that came before it were handed on.
pub async fn fetch(
    shared: &Arc<Shared>,
    (account, folder): (&Account, &Folder),
    connection: &mut Connection,
    (news, sender): (&News, mpsc::Sender<Portion>),
) -> Result<Vec<Missed>, Error> {
    let portion_limit = usize::try_from(folder.options.count("portion_limit")).unwrap_or(1).max(1);
    let mut collector = Collector::new(shared, (account, folder), news.uid_validity, sender);
    let mut missed = vec![];
    // The last one is asked for next.
    let mut sets: Vec<Vec<u32>> = news.uids.chunks(portion_limit).map(<[u32]>::to_vec).collect();
    sets.reverse();
    while let Some(uids) = sets.pop() {
        let asked = UidSet::from_uids(&uids);
        if asked.to_string().len() > SET_OCTETS_MAX && uids.len() > 1 {
            sets.extend(halves(uids));
            continue;
        }
        let mut got = HashSet::with_capacity(uids.len());
        let result = fetch_set(connection, &asked, &mut collector, (&mut got, &mut missed)).await;
        let rest: Vec<u32> = uids.into_iter().filter(|uid| !got.contains(uid)).collect();
        match result {
            Ok(()) => missed.extend(not_given(connection, rest).await?),
            Err(Error::Imap(error)) if error.verdict() == Verdict::Refused => match rest.as_slice()
            {
                [] => {}
                [uid] => {
                    missed.push(Missed { uid: *uid, reason: error.to_string(), forever: false })
                }
                _ => sets.extend(halves(rest)),
            },
            Err(error) => {
                collector.flush().await;
                return Err(error);
            }
        }
    }
    collector.flush().await;
    Ok(missed)
}

fn halves(mut uids: Vec<u32>) -> [Vec<u32>; 2] {
    let later = uids.split_off(uids.len() / 2);
    [later, uids]
}

/// Of what FETCH passed over: what is still there counts as missed, the rest was expunged.
async fn not_given(connection: &mut Connection, uids: Vec<u32>) -> Result<Vec<Missed>, Error> {
    if uids.is_empty() {
        return Ok(vec![]);
    }
    let listed = connection.uid_search(&format!("UID {}", UidSet::from_uids(&uids))).await?;
    let listed: HashSet<u32> = listed.into_iter().collect();
    let missed = |uid| {
        let reason = "the server lists the message but does not give it".to_owned();
        Missed { uid, reason, forever: false }
    };
    Ok(uids.into_iter().filter(|uid| listed.contains(uid)).map(missed).collect())
}

async fn fetch_set(
    connection: &mut Connection,
    asked: &UidSet,
    collector: &mut Collector<'_>,
    (got, missed): (&mut HashSet<u32>, &mut Vec<Missed>),
) -> Result<(), Error> {
    let mut fetch = connection.uid_fetch(asked, FetchItems::Message).await?;
    let mut spool: Option<Spool> = None;
    loop {
        let event = match tokio::time::timeout(PATIENCE, fetch.next()).await {
            Ok(event) => event?,
            Err(_) => {
                collector.flush().await;
                fetch.next().await?
            }
        };
        match event {
            None => return Ok(()),
            Some(FetchEvent::BodyStart { .. }) => {
                let directory = &collector.shared.settings.spool_directory;
                spool = Some(Spool::create(directory).map_err(Error::Spool)?);
            }
            Some(FetchEvent::Chunk(bytes)) => {
                if let Some(spool) = &mut spool {
                    spool.write(&bytes).await.map_err(Error::Spool)?;
                }
            }
            Some(FetchEvent::BodyEnd) => {}
            Some(FetchEvent::Message(message)) => {
                let Some(uid) = message.uid.filter(|uid| asked.contains(*uid)) else {
                    spool = None;
                    continue;
                };
                if got.contains(&uid) {
                    continue;
                }
                match body(&message, spool.take()).await? {
                    Ok(body) => {
                        got.insert(uid);
                        collector.add(arrived(message, uid, body)).await;
                    }
                    Err(Some(miss)) => {
                        got.insert(uid);
                        missed.push(Missed { uid, ..miss });
                    }
                    // Flags alone, told without being asked.
                    Err(None) => {}
                }
            }
        }
    }
}

fn arrived(message: Fetched, uid: u32, original: Original) -> Arrived {
    Arrived { uid, flags: message.flags, internal_date_ms: message.internal_date_ms, original }
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
        postroom_imap::Body::TooBig { size_bytes } => Err(miss(
            format!("the message has {size_bytes} bytes, more than message_bytes_max"),
            true,
        )),
        postroom_imap::Body::WrongSize => {
            Err(miss("the server gave another size than it announced".to_owned(), false))
        }
        postroom_imap::Body::Nil => Err(miss("the server gave NIL for its body".to_owned(), false)),
        postroom_imap::Body::Missing => Err(None),
    })
}

/// Collects messages into portions and starts their decomposition.
struct Collector<'a> {
    shared: &'a Arc<Shared>,
    wanted: Wanted,
    count_max: usize,
    bytes_max: usize,
    sender: mpsc::Sender<Portion>,
    messages: Vec<Arrived>,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl<'a> Collector<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        (account, folder): (&Account, &Folder),
        uid_validity: u32,
        sender: mpsc::Sender<Portion>,
    ) -> Self {
        let options = &folder.options;
        let count = |name: &str| usize::try_from(options.count(name)).unwrap_or(usize::MAX);
        let wish = if folder.delete_on_server {
            Some(Wish::Delete)
        } else if options.flag("keep_unseen") {
            None
        } else {
            Some(Wish::Seen)
        };
        let wanted = Wanted {
            account: account.id,
            folder: folder.id,
            uid_validity,
            keep: Keep::from_options(options),
            wish,
        };
        Self {
            shared,
            wanted,
            count_max: count("portion_limit").max(1),
            bytes_max: count("portion_bytes"),
            sender,
            messages: vec![],
            bytes: 0,
            permit: None,
        }
    }

    /// Takes one message; hands the portion on when it is full.
    async fn add(&mut self, message: Arrived) {
        let bytes = message.original.memory_bytes();
        self.reserve(bytes).await;
        self.bytes += bytes;
        self.messages.push(message);
        if self.messages.len() >= self.count_max || self.bytes >= self.bytes_max {
            self.flush().await;
        }
    }

    /// Takes a share of the memory. When there is none, the portion goes on first: nobody waits
    /// for memory while holding some that nothing will free.
    async fn reserve(&mut self, bytes: usize) {
        let all = self.shared.settings.bytes_in_flight_max;
        let permits = u32::try_from(bytes.min(all)).unwrap_or(u32::MAX);
        let semaphore = Arc::clone(&self.shared.bytes_in_flight);
        let permit = match Arc::clone(&semaphore).try_acquire_many_owned(permits) {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.flush().await;
                // The semaphore is never closed.
                semaphore.acquire_many_owned(permits).await.ok()
            }
        };
        match (&mut self.permit, permit) {
            (Some(held), Some(permit)) => held.merge(permit),
            (held, permit) => *held = permit,
        }
    }

    /// Hands on what was collected. When nobody takes it any more, the store has failed, and what
    /// reads the other end reports that.
    async fn flush(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let messages = std::mem::take(&mut self.messages);
        let permit = self.permit.take();
        self.bytes = 0;
        let (shared, wanted) = (Arc::clone(self.shared), self.wanted.clone());
        let portion = tokio::spawn(async move {
            let turn = shared.decompositions.acquire().await;
            let work = move || messages.into_iter().map(|m| decompose(m, &wanted)).collect();
            let messages: io::Result<Vec<_>> =
                tokio::task::spawn_blocking(work).await.map_err(Error::Fault)?;
            drop(turn);
            Ok(Ready { messages: messages.map_err(Error::Spool)?, permit })
        });
        let _ = self.sender.send(portion).await;
    }
}
