//! The ledger: which messages of which mailbox are recorded.
//!
//! A receipt is written in the transaction that stores the message, and stays after the message is
//! deleted. A receipt without a message is pending: the server listed the message, but it could not
//! be fetched yet. A receipt keeps the facts about the message, so that another message under the
//! same UID is noticed.

use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::origin::Life;
use crate::store::Store;
use postroom_model::MessageEntityId;
use std::ops::RangeInclusive;

/// How many UIDs one query names: SQL knows no list as a value.
const UIDS_MAX: usize = 500;

/// The server-side action for a recorded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAction {
    /// Mark it `\Seen`.
    Seen,
    /// Delete it.
    Delete,
}

impl ServerAction {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Seen => 1,
            Self::Delete => 2,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        [Self::Seen, Self::Delete].into_iter().find(|action| action.number() == number)
    }
}

/// Cheap facts about a message, to recognise it. `None`: the server did not give the fact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Witness {
    /// RFC822.SIZE.
    pub size_bytes: Option<u64>,
    /// INTERNALDATE in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// A hash of the field Message-ID.
    pub message_id: Option<i64>,
}

/// A recorded message, as it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its UID.
    pub uid: u64,
    /// What the server said of it.
    pub witness: Witness,
    /// The hash of its bytes; `None` where they were not had.
    pub hash: Option<[u8; 16]>,
}

/// A receipt without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The UID.
    pub uid: u64,
    /// Why it could not be had, in words.
    pub reason: String,
    /// How often it was tried. With a hash: how often exactly these bytes arrived.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970.
    pub next_attempt_ms: i64,
    /// The hash of bytes that came, but cannot be all of the message.
    pub hash: Option<[u8; 16]>,
}

/// A message of which only the header is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Its UID.
    pub uid: u64,
    /// How many bytes it has, where that is known.
    pub size_bytes: Option<u64>,
    /// The message in state `error`.
    pub message: MessageEntityId,
    /// Whether somebody asked for all of it, however large it is.
    pub is_requested: bool,
}

impl Oversized {
    /// Whether it is loaded now that messages may have so many bytes, without being asked for.
    #[must_use]
    pub(crate) fn fits(&self, bytes_max: u64) -> bool {
        !self.is_requested && self.size_bytes.is_some_and(|size_bytes| size_bytes <= bytes_max)
    }
}

/// The records of one epoch of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The UIDs with a receipt, pending ones too, ascending.
    pub recorded: Vec<u64>,
    /// The pending ones, ascending.
    pub pending: Vec<Pending>,
    /// Those that we deleted at the server, and that it no longer listed then, ascending.
    pub gone: Vec<u64>,
    /// Those that are there by their headers alone, ascending: they were too large.
    pub oversized: Vec<Oversized>,
    /// UIDs up to this one are not loaded.
    pub baseline: u64,
    /// Whether there are receipts of former lives: what is known by its bytes is linked.
    pub has_former: bool,
}

impl Ledger {
    /// Whether a UID has a receipt.
    #[must_use]
    pub fn has(&self, uid: u64) -> bool {
        self.recorded.binary_search(&uid).is_ok()
    }

    /// Whether a UID is that of a message that we deleted at the server.
    #[must_use]
    pub fn is_gone(&self, uid: u64) -> bool {
        self.gone.binary_search(&uid).is_ok()
    }

    /// What is there of a message by its header alone.
    #[must_use]
    pub fn oversized(&self, uid: u64) -> Option<&Oversized> {
        let at = self.oversized.binary_search_by_key(&uid, |oversized| oversized.uid).ok()?;
        self.oversized.get(at)
    }

    /// Whether a message is to be fetched again at this time: a pending one whose delay is over, or
    /// one that fits now that messages may have so many bytes.
    #[must_use]
    pub fn is_due(&self, uid: u64, now_ms: i64, bytes_max: u64) -> bool {
        self.pending(uid).is_some_and(|pending| pending.next_attempt_ms <= now_ms)
            || self.oversized(uid).is_some_and(|oversized| oversized.fits(bytes_max))
    }

    /// Whether a client has asked for all of a message, however large it is.
    #[must_use]
    pub fn is_requested(&self, uid: u64) -> bool {
        self.oversized(uid).is_some_and(|oversized| oversized.is_requested)
    }

    /// The pending receipt of a UID.
    #[must_use]
    pub fn pending(&self, uid: u64) -> Option<&Pending> {
        let at = self.pending.binary_search_by_key(&uid, |pending| pending.uid).ok()?;
        self.pending.get(at)
    }
}

impl Store {
    /// What is recorded of a life of a mailbox.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn ledger(&self, life: Life) -> Result<Ledger, Error> {
        let mut ledger = self.ledger_part(life, 0..=u64::MAX).await?;
        let sql = "SELECT \"uidBaseline\",
              EXISTS (SELECT 1 FROM \"receipt\" WHERE \"folder\" = $1 AND \"generation\" <> $2)
            FROM \"email/Folders\" WHERE \"id\" = $1";
        let statement = Statement::new(sql).bind(life.folder).bind(life.generation);
        if let Some(row) = self.read(statement).await?.first() {
            ledger.baseline = row.whole(0).and_then(|uid| u64::try_from(uid).ok()).unwrap_or(0);
            ledger.has_former = row.whole(1) == Some(1);
        }
        Ok(ledger)
    }

    /// Only the receipts of a range of UIDs. A portion needs no more, however long the ledger is.
    pub(crate) async fn ledger_part(
        &self,
        life: Life,
        uids: RangeInclusive<u64>,
    ) -> Result<Ledger, Error> {
        let sql = "SELECT \"uid\", \"message\" IS NULL, \"reason\", \"attempts\", \"next_attempt\",
              \"gone\", CASE WHEN \"message\" IS NULL THEN \"hash\" END,
              \"message\", \"size\", CASE WHEN \"reason\" IS NOT NULL THEN EXISTS (SELECT 1
                FROM \"email/Messages\" m WHERE m.\"id\" = \"receipt\".\"message\") END
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"generation\" = $2
              AND \"uid\" BETWEEN $3 AND $4 ORDER BY \"uid\"";
        let (first, last) = uids.into_inner();
        let statement = Statement::new(sql).bind(life.folder).bind(life.generation);
        let rows = self.read(statement.bind(first).bind(last)).await?;
        let mut ledger = Ledger::default();
        for row in rows {
            let Some(uid) = row.whole(0).and_then(|uid| u64::try_from(uid).ok()) else {
                continue;
            };
            ledger.recorded.push(uid);
            if row.whole(5) == Some(1) {
                ledger.gone.push(uid);
            }
            // A client may have deleted the message.
            if let (Some(message), Some(1)) = (row.id(7), row.whole(9)) {
                let size_bytes = row.whole(8).and_then(|size| u64::try_from(size).ok());
                let is_requested = row.whole(4).is_some();
                let message = MessageEntityId::of(message);
                ledger.oversized.push(Oversized { uid, size_bytes, message, is_requested });
            }
            if row.whole(1) == Some(1) {
                ledger.pending.push(Pending {
                    uid,
                    reason: row.text(2).unwrap_or_default().to_owned(),
                    attempts: row.whole(3).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
                    next_attempt_ms: row.whole(4).unwrap_or(0),
                    hash: row.bytes(6).and_then(|hash| hash.try_into().ok()),
                });
            }
        }
        Ok(ledger)
    }

    /// Recorded messages of these UIDs, as they are known again; pending ones are left out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remembered(&self, life: Life, uids: &[u64]) -> Result<Vec<Remembered>, Error> {
        let mut found = vec![];
        for uids in uids.chunks(UIDS_MAX) {
            let places: Vec<_> = (3..).take(uids.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT \"uid\", \"size\", \"internal_date\", \"message_id\", \"hash\", \"reason\"
                FROM \"receipt\" WHERE \"folder\" = $1 AND \"generation\" = $2
                  AND \"message\" IS NOT NULL AND \"uid\" IN ({})",
                places.join(", ")
            );
            let statement = Statement::new(sql).bind(life.folder).bind(life.generation);
            let values = uids.iter().map(|uid| Value::from(*uid));
            let rows = self.read(statement.bind_all(values)).await?;
            found.extend(rows.iter().filter_map(remembered_of));
        }
        Ok(found)
    }

    /// The newest recorded messages of a life that were not deleted at the server by us, as they
    /// are known again, at most so many.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remembered_newest(
        &self,
        life: Life,
        limit: usize,
    ) -> Result<Vec<Remembered>, Error> {
        let sql =
            "SELECT \"uid\", \"size\", \"internal_date\", \"message_id\", \"hash\", \"reason\"
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"generation\" = $2
              AND \"message\" IS NOT NULL AND \"gone\" IS NULL ORDER BY \"uid\" DESC LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = Statement::new(sql).bind(life.folder).bind(life.generation).bind(limit);
        Ok(self.read(statement).await?.iter().filter_map(remembered_of).collect())
    }

    /// Forgets pending receipts: the server no longer has the messages.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn pending_forget(&self, life: Life, uids: &[u64]) -> Result<(), Error> {
        let forget = |uid: &u64| {
            let sql = "DELETE FROM \"receipt\" WHERE \"folder\" = $1 AND \"generation\" = $2
                AND \"uid\" = $3 AND \"message\" IS NULL";
            Statement::new(sql).bind(life.folder).bind(life.generation).bind(*uid)
        };
        self.write(uids.iter().map(forget).collect()).await.map(drop)
    }

    /// The open actions of a folder, by UID, from the first one after `after`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_list(
        &self,
        life: Life,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ServerAction)>, Error> {
        let sql = "SELECT \"uid\", \"wish\" FROM \"receipt\" WHERE \"folder\" = $1
            AND \"generation\" = $2 AND \"wish\" > 0 AND \"uid\" > $3
            ORDER BY \"uid\" LIMIT $4";
        let statement = Statement::new(sql).bind(life.folder).bind(life.generation);
        let action = |row: Row| {
            let uid = u64::try_from(row.whole(0)?).ok()?;
            Some((uid, ServerAction::from_number(row.whole(1)?)?))
        };
        let rows = self.read(statement.bind(after).bind(limit)).await?;
        Ok(rows.into_iter().filter_map(action).collect())
    }

    /// Removes actions from the list, because they are done or dropped.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_done(&self, life: Life, uids: &[u64]) -> Result<(), Error> {
        self.each(life, uids, "\"wish\" = NULL").await
    }

    /// Notes that the server no longer lists messages that were to be deleted there.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn action_gone(&self, life: Life, uids: &[u64]) -> Result<(), Error> {
        self.each(life, uids, "\"wish\" = NULL, \"gone\" = 1").await
    }

    async fn each(&self, life: Life, uids: &[u64], set: &str) -> Result<(), Error> {
        let change = |uid: &u64| {
            let sql = format!(
                "UPDATE \"receipt\" SET {set}
                WHERE \"folder\" = $1 AND \"generation\" = $2 AND \"uid\" = $3"
            );
            Statement::new(sql).bind(life.folder).bind(life.generation).bind(*uid)
        };
        self.write(uids.iter().map(change).collect()).await.map(drop)
    }
}

fn remembered_of(row: &Row) -> Option<Remembered> {
    let hash: Option<[u8; 16]> = row.bytes(4).and_then(|hash| hash.try_into().ok());
    Some(Remembered {
        uid: row.whole(0).and_then(|uid| u64::try_from(uid).ok())?,
        witness: Witness {
            size_bytes: row.whole(1).and_then(|size| u64::try_from(size).ok()),
            internal_date_ms: row.whole(2),
            message_id: row.whole(3),
        },
        hash: hash.filter(|hash| *hash != [0; 16] && row.text(5).is_none()),
    })
}
