//! The ledger: which messages of which mailbox are recorded.
//!
//! A receipt is written in the transaction that keeps the message, and survives the deletion of
//! the message. One without a message is pending: announced by the server, not to be had yet.

use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// What is wished of the server for a message that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Mark it `\Seen`.
    Seen,
    /// Delete it.
    Delete,
}

impl Wish {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Seen => 1,
            Self::Delete => 2,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        [Self::Seen, Self::Delete].into_iter().find(|wish| wish.number() == number)
    }
}

/// A receipt without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The UID.
    pub uid: u32,
    /// Why it could not be had, in words.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970.
    pub next_attempt_ms: i64,
}

/// What is recorded of one mailbox under one UIDVALIDITY.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The UIDs with a receipt, pending ones too, ascending.
    pub recorded: Vec<u32>,
    /// The pending ones, ascending.
    pub pending: Vec<Pending>,
    /// UIDs up to this one are not loaded.
    pub baseline: u32,
    /// Whether the folder was never read under this UIDVALIDITY.
    pub is_new: bool,
    /// Whether there are receipts under another UIDVALIDITY.
    pub had_other_validity: bool,
    /// Whether the folder was read before, under another UIDVALIDITY.
    pub is_changed: bool,
    /// When the folder was last proven complete, in milliseconds since 1970; `None`: never.
    pub last_proof_ms: Option<i64>,
}

impl Ledger {
    /// Whether a UID has a receipt.
    #[must_use]
    pub fn has(&self, uid: u32) -> bool {
        self.recorded.binary_search(&uid).is_ok()
    }

    /// The pending receipt of a UID.
    #[must_use]
    pub fn pending(&self, uid: u32) -> Option<&Pending> {
        let at = self.pending.binary_search_by_key(&uid, |pending| pending.uid).ok()?;
        self.pending.get(at)
    }
}

impl Store {
    /// What is recorded of a folder under a UIDVALIDITY.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn ledger(&self, folder: Uuid, uid_validity: u32) -> Result<Ledger, Error> {
        let mut ledger = self.ledger_part((folder, uid_validity), 0..=u32::MAX).await?;
        let sql = "SELECT \"uidValidity\", \"uidBaseline\",
              EXISTS (SELECT 1 FROM \"receipt\" WHERE \"folder\" = $1 AND \"uid_validity\" <> $2),
              \"lastProofAt\"
            FROM \"email/Folders\" WHERE \"id\" = $1";
        let rows = self.read(Statement::new(sql).bind(folder).bind(uid_validity)).await?;
        if let Some(row) = rows.first() {
            ledger.is_new = row.whole(0) != Some(i64::from(uid_validity));
            ledger.is_changed = ledger.is_new && row.whole(0).is_some();
            let baseline = row.whole(1).filter(|_| !ledger.is_new);
            ledger.baseline = baseline.and_then(|uid| u32::try_from(uid).ok()).unwrap_or(0);
            ledger.had_other_validity = row.whole(2) == Some(1);
            ledger.last_proof_ms = row.whole(3);
        }
        Ok(ledger)
    }

    /// The receipts alone, of a range of UIDs: what one portion needs, however long the ledger is.
    pub(crate) async fn ledger_part(
        &self,
        (folder, uid_validity): (Uuid, u32),
        uids: RangeInclusive<u32>,
    ) -> Result<Ledger, Error> {
        let sql = "SELECT \"uid\", \"message\" IS NULL, \"reason\", \"attempts\", \"next_attempt\"
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"uid_validity\" = $2
              AND \"uid\" BETWEEN $3 AND $4 ORDER BY \"uid\"";
        let (first, last) = uids.into_inner();
        let statement = Statement::new(sql).bind(folder).bind(uid_validity).bind(first).bind(last);
        let rows = self.read(statement).await?;
        let mut ledger = Ledger::default();
        for row in rows {
            let Some(uid) = row.whole(0).and_then(|uid| u32::try_from(uid).ok()) else {
                continue;
            };
            ledger.recorded.push(uid);
            if row.whole(1) == Some(1) {
                ledger.pending.push(Pending {
                    uid,
                    reason: row.text(2).unwrap_or_default().to_owned(),
                    attempts: row.whole(3).and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
                    next_attempt_ms: row.whole(4).unwrap_or(0),
                });
            }
        }
        Ok(ledger)
    }

    /// Forgets pending receipts: the server no longer has the messages.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn pending_forget(
        &self,
        (folder, uid_validity): (Uuid, u32),
        uids: &[u32],
    ) -> Result<(), Error> {
        let forget = |uid: &u32| {
            let sql = "DELETE FROM \"receipt\" WHERE \"folder\" = $1 AND \"uid_validity\" = $2
                AND \"uid\" = $3 AND \"message\" IS NULL";
            Statement::new(sql).bind(folder).bind(uid_validity).bind(*uid)
        };
        self.write(uids.iter().map(forget).collect()).await.map(drop)
    }

    /// Wishes of a folder that are not fulfilled yet, by UID.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn wish_list(
        &self,
        folder: Uuid,
        uid_validity: u32,
        limit: u32,
    ) -> Result<Vec<(u32, Wish)>, Error> {
        let sql = "SELECT \"uid\", \"wish\" FROM \"receipt\" WHERE \"folder\" = $1
            AND \"uid_validity\" = $2 AND \"wish\" IS NOT NULL ORDER BY \"uid\" LIMIT $3";
        let statement = Statement::new(sql).bind(folder).bind(uid_validity).bind(limit);
        let wish = |row: crate::database::Row| {
            let uid = u32::try_from(row.whole(0)?).ok()?;
            Some((uid, Wish::from_number(row.whole(1)?)?))
        };
        Ok(self.read(statement).await?.into_iter().filter_map(wish).collect())
    }

    /// Takes fulfilled wishes off the list.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn wish_done(
        &self,
        folder: Uuid,
        uid_validity: u32,
        uids: &[u32],
    ) -> Result<(), Error> {
        let done = |uid: &u32| {
            let sql = "UPDATE \"receipt\" SET \"wish\" = NULL
                WHERE \"folder\" = $1 AND \"uid_validity\" = $2 AND \"uid\" = $3";
            Statement::new(sql).bind(folder).bind(uid_validity).bind(*uid)
        };
        self.write(uids.iter().map(done).collect()).await.map(drop)
    }

    /// Sets from which UID on a folder is loaded under a UIDVALIDITY that is new to it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folder_baseline(
        &self,
        folder: Uuid,
        uid_validity: u32,
        baseline: u32,
    ) -> Result<(), Error> {
        let sql = "UPDATE \"email/Folders\" SET \"uidValidity\" = $2, \"uidBaseline\" = $3
            WHERE \"id\" = $1";
        let statement = Statement::new(sql).bind(folder).bind(uid_validity).bind(baseline);
        self.write(vec![statement]).await.map(drop)
    }
}
