//! The ledger: which messages of which mailbox are recorded.
//!
//! A receipt is written in the transaction that stores the message, and stays after the message is
//! deleted. A receipt without a message is pending: the server listed the message, but it could not
//! be fetched yet. A receipt keeps the facts about the message, so that another message under the
//! same key is noticed.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::origin::MailboxEpoch;
use crate::sending::IS_SUSPENDED;
use crate::source_key::SourceKey;
use crate::store::Store;
use crate::unloaded;
use postroom_model::MessageEntityId;
use std::ops::RangeInclusive;

/// The server-side action for a recorded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAction {
    /// Mark it `\Seen`.
    Seen,
    /// Delete it.
    Delete,
    /// Nothing yet. Once a client has acknowledged a work claim of the message, it is deleted.
    AwaitAcknowledged,
    /// Delete it, because a client has acknowledged a work claim of the message.
    DeleteAcknowledged,
}

impl ServerAction {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Seen => 1,
            Self::Delete => 2,
            Self::AwaitAcknowledged => 3,
            Self::DeleteAcknowledged => 4,
        }
    }

    /// Whether the message is deleted at the server in the end.
    #[must_use]
    pub fn deletes(self) -> bool {
        match self {
            Self::Seen => false,
            Self::Delete | Self::AwaitAcknowledged | Self::DeleteAcknowledged => true,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        let all = [Self::Seen, Self::Delete, Self::AwaitAcknowledged, Self::DeleteAcknowledged];
        all.into_iter().find(|action| action.number() == number)
    }
}

/// Some of the open actions of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenActions {
    /// The actions, in the order of keys.
    pub actions: Vec<(SourceKey, ServerAction)>,
    /// Whether none of them may be carried out now, because the database is a copy of which nobody
    /// has said that the original does not use the mail servers any more.
    pub are_suspended: bool,
}

/// A receipt without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its key.
    pub key: SourceKey,
    /// Why it could not be fetched, in words for people.
    pub reason: String,
    /// How often it was tried. With a hash: how often exactly these bytes arrived.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970.
    pub next_attempt_ms: i64,
    /// The hash of bytes that arrived, but cannot be the whole message.
    pub hash: Option<[u8; 16]>,
}

/// A message of which only the header is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Its key.
    pub key: SourceKey,
    /// How many bytes it has, where that is known.
    pub size_bytes: Option<u64>,
    /// The message in state `error`.
    pub message: MessageEntityId,
    /// When a client asked for all of it, however large it is, in milliseconds since 1970. `None`:
    /// nobody did.
    pub requested_ms: Option<i64>,
    /// A hash of its fields Message-ID, Date, From and Subject. `None`: it is not known.
    pub message_id: Option<i64>,
}

impl Oversized {
    /// Whether a client asked for all of it.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested_ms.is_some()
    }

    /// Whether it is fetched if messages may have so many bytes, although no client asked for it.
    #[must_use]
    pub fn fits(&self, bytes_max: u64) -> bool {
        !self.is_requested() && self.size_bytes.is_some_and(|size_bytes| size_bytes <= bytes_max)
    }
}

/// The records of one epoch of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The messages with a receipt, pending ones too, ascending.
    pub recorded: Vec<SourceKey>,
    /// The pending ones, ascending.
    pub pending: Vec<Pending>,
    /// The messages that Postroom deleted at the server, once it no longer listed them, ascending.
    pub gone: Vec<SourceKey>,
    /// The messages of which only the header is stored, because they were too large, ascending.
    pub oversized: Vec<Oversized>,
    /// Messages up to this one are not loaded.
    pub baseline: SourceKey,
    /// Messages above the baseline that are not loaded either, ascending.
    pub unloaded: Vec<SourceKey>,
    /// Whether there are messages of former epochs that were not recognised in a later one so far.
    pub has_former: bool,
    /// Whether a message was pending since the folder was last proven complete without one.
    pub was_pending: bool,
}

impl Ledger {
    /// Whether a message is to be loaded.
    #[must_use]
    pub fn is_loaded(&self, key: SourceKey) -> bool {
        key > self.baseline && self.unloaded.binary_search(&key).is_err()
    }

    /// Whether a message has a receipt.
    #[must_use]
    pub fn has(&self, key: SourceKey) -> bool {
        self.recorded.binary_search(&key).is_ok()
    }

    /// Whether a message has a receipt that is not pending.
    #[must_use]
    pub fn is_stored(&self, key: SourceKey) -> bool {
        self.has(key) && self.pending(key).is_none()
    }

    /// Whether a key is that of a message that Postroom deleted at the server.
    #[must_use]
    pub fn is_gone(&self, key: SourceKey) -> bool {
        self.gone.binary_search(&key).is_ok()
    }

    /// The entry of a message of which only the header is stored.
    #[must_use]
    pub fn oversized(&self, key: SourceKey) -> Option<&Oversized> {
        let at = self.oversized.binary_search_by_key(&key, |oversized| oversized.key).ok()?;
        self.oversized.get(at)
    }

    /// Whether a message is to be fetched again: it is pending and its delay is over, or it was too
    /// large and fits if messages may have `bytes_max` bytes.
    #[must_use]
    pub fn is_due(&self, key: SourceKey, now_ms: i64, bytes_max: u64) -> bool {
        self.pending(key).is_some_and(|pending| pending.next_attempt_ms <= now_ms)
            || self.oversized(key).is_some_and(|oversized| oversized.fits(bytes_max))
    }

    /// Whether a client has asked for all of a message, however large it is.
    #[must_use]
    pub fn is_requested(&self, key: SourceKey) -> bool {
        self.oversized(key).is_some_and(Oversized::is_requested)
    }

    /// The pending receipt of a message.
    #[must_use]
    pub fn pending(&self, key: SourceKey) -> Option<&Pending> {
        let at = self.pending.binary_search_by_key(&key, |pending| pending.key).ok()?;
        self.pending.get(at)
    }
}

impl Store {
    /// What is recorded of an epoch of a mailbox.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn ledger(&self, epoch: MailboxEpoch) -> Result<Ledger, Error> {
        let mut ledger = self.ledger_part(epoch, SourceKey::FIRST..=SourceKey::LAST).await?;
        let sql = "SELECT \"uidBaseline\",
              EXISTS (SELECT 1 FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" <> $2
                AND \"linked\" IS NULL),
              EXISTS (SELECT 1 FROM \"origin\" WHERE \"folder\" = $1
                AND \"proof_before_pending\" IS NOT NULL),
              (SELECT \"unloaded_keys\" FROM \"origin\" WHERE \"folder\" = $1)
            FROM \"email/Folders\" WHERE \"id\" = $1";
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        if let Some(row) = self.read(statement).await?.first() {
            ledger.baseline = row.whole(0).and_then(SourceKey::of_stored).unwrap_or_default();
            ledger.has_former = row.whole(1) == Some(1);
            ledger.was_pending = row.whole(2) == Some(1);
            ledger.unloaded = row.bytes(3).map(unloaded::keys_of_bytes).unwrap_or_default();
        }
        Ok(ledger)
    }

    /// The receipts of a range of keys, without baseline and former epochs. A portion needs no
    /// more, however long the ledger is.
    pub(crate) async fn ledger_part(
        &self,
        epoch: MailboxEpoch,
        keys: RangeInclusive<SourceKey>,
    ) -> Result<Ledger, Error> {
        let sql = "SELECT \"key\", \"message\" IS NULL, \"reason\", \"attempts\", \"next_attempt\",
              \"gone\", CASE WHEN \"message\" IS NULL THEN \"hash\" END,
              \"message\", \"size\", CASE WHEN \"reason\" IS NOT NULL THEN EXISTS (SELECT 1
                FROM \"email/Messages\" m WHERE m.\"id\" = \"receipt\".\"message\") END,
              \"message_id\"
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
              AND \"key\" BETWEEN $3 AND $4 ORDER BY \"key\"";
        let (first, last) = keys.into_inner();
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        let rows = self.read(statement.bind(first.number()).bind(last.number())).await?;
        let mut ledger = Ledger::default();
        for row in rows {
            let Some(key) = row.whole(0).and_then(SourceKey::of_stored) else {
                continue;
            };
            ledger.recorded.push(key);
            if row.whole(5) == Some(1) {
                ledger.gone.push(key);
            }
            // If a client has deleted the message, it does not count as oversized.
            if let (Some(message), Some(1)) = (row.id(7), row.whole(9)) {
                let size_bytes = row.whole(8).and_then(|size| u64::try_from(size).ok());
                let requested_ms = row.whole(4);
                let message = MessageEntityId::of(message);
                let message_id = row.whole(10);
                ledger.oversized.push(Oversized {
                    key,
                    size_bytes,
                    message,
                    requested_ms,
                    message_id,
                });
            }
            if row.whole(1) == Some(1) {
                ledger.pending.push(Pending {
                    key,
                    reason: row.text(2).unwrap_or_default().to_owned(),
                    attempts: row.whole(3).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
                    next_attempt_ms: row.whole(4).unwrap_or(0),
                    hash: row.bytes(6).and_then(|hash| hash.try_into().ok()),
                });
            }
        }
        Ok(ledger)
    }

    /// Deletes pending receipts, because the server no longer has the messages.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn pending_forget(
        &self,
        epoch: MailboxEpoch,
        keys: &[SourceKey],
    ) -> Result<(), Error> {
        let forget = |key: &SourceKey| {
            let sql = "DELETE FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
                AND \"key\" = $3 AND \"message\" IS NULL";
            Statement::new(sql).bind(epoch.folder).bind(epoch.number).bind(key.number())
        };
        self.write(keys.iter().map(forget).collect()).await.map(drop)
    }

    /// The open actions of a folder after the key `after`, in the order of keys, at most `limit`,
    /// and whether they are suspended. Deletions that wait for an acknowledgement are left out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_list(
        &self,
        epoch: MailboxEpoch,
        after: SourceKey,
        limit: u32,
    ) -> Result<OpenActions, Error> {
        let sql = format!(
            "SELECT \"key\", \"wish\", {IS_SUSPENDED}
             FROM \"receipt\" WHERE \"folder\" = $1
               AND \"epoch\" = $2 AND \"wish\" IN (1, 2, 4) AND \"key\" > $3
             ORDER BY \"key\" LIMIT $4"
        );
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        let action = |row: Row| {
            let key = SourceKey::of_stored(row.whole(0)?)?;
            Some((key, ServerAction::from_number(row.whole(1)?)?))
        };
        let rows = self.read(statement.bind(after.number()).bind(limit)).await?;
        let are_suspended = rows.first().is_some_and(|row| row.whole(2) == Some(1));
        let actions = rows.into_iter().filter_map(action).collect();
        Ok(OpenActions { actions, are_suspended })
    }

    /// Drops the deletions that wait for an acknowledgement.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_drop_waiting(&self, epoch: MailboxEpoch) -> Result<(), Error> {
        const WAITING: &str = "\"folder\" = $1 AND \"epoch\" = $2 AND \"wish\" = 3";
        let of = |sql: String| Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        let waiting = of(format!("SELECT 1 FROM \"receipt\" WHERE {WAITING} LIMIT 1"));
        if self.read(waiting).await?.is_empty() {
            return Ok(());
        }
        let dropped = of(format!("UPDATE \"receipt\" SET \"wish\" = NULL WHERE {WAITING}"));
        self.write(vec![dropped]).await.map(drop)
    }

    /// Removes actions from the list, because they are done or dropped.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_done(&self, epoch: MailboxEpoch, keys: &[SourceKey]) -> Result<(), Error> {
        self.each(epoch, keys, "\"wish\" = NULL").await
    }

    /// Notes that the server no longer lists messages that were to be deleted there.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_gone(&self, epoch: MailboxEpoch, keys: &[SourceKey]) -> Result<(), Error> {
        self.each(epoch, keys, "\"wish\" = NULL, \"gone\" = 1").await
    }

    async fn each(&self, epoch: MailboxEpoch, keys: &[SourceKey], set: &str) -> Result<(), Error> {
        let change = |key: &SourceKey| {
            let sql = format!(
                "UPDATE \"receipt\" SET {set}
                WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" = $3"
            );
            Statement::new(sql).bind(epoch.folder).bind(epoch.number).bind(key.number())
        };
        self.write(keys.iter().map(change).collect()).await.map(drop)
    }
}
