//! Commit: one transaction for each portion, with messages, files, ledger and feed together.

use crate::account::Account;
use crate::account::MonitoredMailbox;
use crate::backoff;
use crate::error::Error;
use crate::journal;
use crate::journal::Arrival;
use crate::receive::collector::Portion;
use crate::receive::decompose::Decomposed;
use crate::receive::news::News;
use crate::receive::repeats::RecordedBytes;
use crate::receive::repeats::Repeat;
use crate::shared::Shared;
use postroom_model::builtin::MESSAGES;
use postroom_model::options;
use postroom_store::Content;
use postroom_store::MissedAt;
use postroom_store::MissedMessage;
use postroom_store::ReceiveBatch;
use postroom_store::ReceiveOutcome;
use postroom_store::SourceKey;
use std::fs::File;
use std::io;
use std::io::Read;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

/// The longest delay before a pending message is fetched again.
const RETRY_LONGEST: Duration = Duration::from_secs(86_400);
/// How much of a spool file is read at once.
const SPOOL_PIECE_BYTES: u64 = 256 * 1024;

/// Commits what is fetched of one mailbox.
pub(crate) struct Committing<'a> {
    shared: &'a Shared,
    mailbox: MonitoredMailbox<'a>,
    news: &'a News,
    bytes: &'a mut RecordedBytes,
    /// How many messages are durable.
    pub count: u64,
    /// How many of them are new.
    pub stored: u64,
    /// The messages that were not recorded, because their bytes are recorded already.
    pub repeats: Vec<Repeat>,
    /// The messages that were not recorded, because S3 does not take their contents now.
    pub held: Vec<MissedMessage>,
    /// A key under which another message came than the one whose header is stored. Nothing of it
    /// is recorded.
    pub other: Option<SourceKey>,
}

impl<'a> Committing<'a> {
    /// A run that has committed nothing yet.
    pub(crate) fn new(
        shared: &'a Shared,
        mailbox: MonitoredMailbox<'a>,
        news: &'a News,
        bytes: &'a mut RecordedBytes,
    ) -> Self {
        let (repeats, held) = (vec![], vec![]);
        Self { shared, mailbox, news, bytes, count: 0, stored: 0, repeats, held, other: None }
    }

    /// Commits portions in the order in which they were fetched, until there are no more.
    ///
    /// # Errors
    ///
    /// Errors of the store. Then nothing after the last complete portion is recorded.
    pub(crate) async fn all(&mut self, mut portions: mpsc::Receiver<Portion>) -> Result<(), Error> {
        while let Some(portion) = portions.recv().await {
            let portion = portion.await.map_err(Error::Fault)??;
            self.portion(portion.messages).await?;
            drop(portion.permit);
        }
        Ok(())
    }

    /// Sets a message apart for which S3 has no place now, so that others go on.
    fn hold(&mut self, key: SourceKey, reason: &str) {
        let reason = format!("it stays at its server, because {reason}");
        self.held.push(MissedMessage::held(key, reason));
    }

    /// Commits one portion without its repeats and without what has no place.
    async fn portion(&mut self, mut decomposed: Vec<Decomposed>) -> Result<(), Error> {
        let (shared, news) = (self.shared, self.news);
        // What is there of such a message was compared before. The server may have changed since.
        decomposed.retain(|one| {
            let is_other = is_other(news, one);
            self.other = self.other.or(is_other.then_some(one.message.key));
            !is_other
        });
        let repeats = self.bytes.repeats(&shared.store, news, &decomposed).await?;
        decomposed.retain(|one| repeats.iter().all(|repeat| repeat.key != one.message.key));
        self.repeats.extend(repeats);
        if decomposed.is_empty() {
            return Ok(());
        }
        let mut messages = Vec::with_capacity(decomposed.len());
        let mut prepared = Vec::with_capacity(decomposed.len());
        let dates: Vec<_> =
            decomposed.iter().filter_map(|one| one.message.witness.internal_date_ms).collect();
        for Decomposed { mut message, arrival, spool } in decomposed {
            if let Some(spool) = spool {
                match Box::pin(stored(shared, &spool)).await {
                    Ok(original) => message.original = Some(original),
                    Err(Error::Store(error @ postroom_store::Error::Objects { .. })) => {
                        self.hold(message.key, &error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            prepared.push(PreparedArrival { key: message.key, hash: message.hash, arrival });
            messages.push(message);
        }
        if messages.is_empty() {
            return Ok(());
        }
        let batch = ReceiveBatch {
            domain: self.mailbox.account.domain.clone(),
            epoch: news.epoch,
            messages,
            relink: news.relink,
        };
        match Box::pin(shared.store.receive_commit(batch)).await? {
            ReceiveOutcome::Done { stored, repeated, held } => {
                self.count += stored + repeated;
                self.stored += stored;
                prepared.retain(|one| held.iter().all(|held| held.key != one.key));
                held.iter().for_each(|held| self.hold(held.key, &held.reason));
                let recorded = prepared.into_iter().map(|one| (one.hash, one.arrival));
                let (hashes, arrivals): (Vec<_>, Vec<_>) = recorded.unzip();
                self.bytes.recorded(&hashes);
                dates.into_iter().for_each(|dated_ms| shared.store.date_seen(dated_ms));
                tell(shared, self.mailbox, &arrivals, stored, repeated).await;
                Ok(())
            }
            ReceiveOutcome::FolderGone => Err(Error::FolderGone),
        }
    }
}

/// A message that is about to be recorded.
struct PreparedArrival {
    key: SourceKey,
    hash: [u8; 16],
    arrival: Arrival,
}

/// Whether only the header of a message is stored under this key, and another message came.
fn is_other(news: &News, came: &Decomposed) -> bool {
    let stored = news.oversized.get(&came.message.key);
    let message_id = stored.and_then(|stored| stored.message_id);
    message_id.is_some_and(|stored| came.message.witness.message_id != Some(stored))
}

/// Writes the log lines of a portion. If the portion also had known messages, the store is asked
/// which ones are new.
async fn tell(
    shared: &Shared,
    mailbox: MonitoredMailbox<'_>,
    arrivals: &[Arrival],
    stored: u64,
    repeated: u64,
) {
    let MonitoredMailbox { account, folder } = mailbox;
    if repeated > 0 {
        journal::recognized(account, folder, repeated);
    }
    if stored == 0 {
        return;
    }
    for arrival in arrivals {
        if repeated == 0 || is_stored(shared, account, arrival).await {
            journal::received(account, folder, arrival);
        }
    }
}

/// Whether the message became an entity. If the store fails, the line is written.
async fn is_stored(shared: &Shared, account: &Account, arrival: &Arrival) -> bool {
    let Some(class) = shared.store.class_of(&account.domain, MESSAGES) else {
        return true;
    };
    let found = shared.store.entity_get(&account.domain, &class, arrival.id.into()).await;
    !matches!(found, Ok(None))
}

/// Takes the original of a large message from its spool file into the store, piece by piece.
async fn stored(shared: &Shared, spool: &NamedTempFile) -> Result<Content, Error> {
    let mut file = spool.reopen().map_err(Error::Spool)?;
    let mut writer = shared.store.received_writer();
    loop {
        let read = shared.store.work().spawn(move || read_piece(file));
        let (rest, piece) = read.await.map_err(Error::Fault)?.map_err(Error::Spool)?;
        if piece.is_empty() {
            return Ok(writer.finish_ahead().await?);
        }
        writer.write(&piece).await?;
        file = rest;
    }
}

/// The next piece of a file, and the file. The piece is empty at the end.
fn read_piece(file: File) -> io::Result<(File, Vec<u8>)> {
    let mut piece = vec![];
    let mut limited = file.take(SPOOL_PIECE_BYTES);
    limited.read_to_end(&mut piece)?;
    Ok((limited.into_inner(), piece))
}

/// Records the messages that could not be fetched: as pending, to be retried later, or, if they are
/// too large, as messages in state `error`.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn record_missed(
    shared: &Shared,
    mailbox: MonitoredMailbox<'_>,
    news: &News,
    missed: &[MissedMessage],
) -> Result<(), Error> {
    let MonitoredMailbox { account, folder } = mailbox;
    if missed.is_empty() {
        return Ok(());
    }
    let clock = &shared.clock;
    let first = folder.options.duration(&options::RETRY_FIRST);
    let delay = |attempts: u32| backoff::delay(clock, attempts, first, RETRY_LONGEST);
    let delay_ms = |attempts: u32| backoff::ms(delay(attempts));
    let (domain, uid_validity) = (&account.domain, news.uid_validity);
    let at = MissedAt { domain, account: account.id, epoch: news.epoch, uid_validity };
    shared.store.receive_missed(at, missed, delay_ms).await?;
    for one in missed {
        journal::missed(account, folder, one);
    }
    Ok(())
}
