//! The ledger: which messages of which mailbox are recorded.
//!
//! A receipt is written in the transaction that keeps the message, and survives the deletion of
//! the message. One without a message is pending: announced by the server, not to be had yet.

use crate::blob::Content;
use crate::clock;
use crate::columns::quoted;
use crate::database::Statement;
use crate::error::Error;
use crate::feed;
use crate::feed::Operation;
use crate::file;
use crate::file::NewFile;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Timestamp;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use serde_json::Map;
use serde_json::json;
use std::collections::HashMap;
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
    fn number(self) -> i64 {
        match self {
            Self::Seen => 1,
            Self::Delete => 2,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        [Self::Seen, Self::Delete]
            .into_iter()
            .find(|wish| wish.number() == number)
    }
}

/// A received message to be recorded.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
    /// Its UID.
    pub uid: u32,
    /// Its entity.
    pub entity: Entity,
    /// Its files but for the original.
    pub files: Vec<NewFile>,
    /// The original; `None` when it is not to be kept (then no file is a part of it).
    pub original: Option<Content>,
    /// A hash of its bytes, to know them again under another UIDVALIDITY.
    pub hash: [u8; 16],
    /// What is wished of the server afterwards.
    pub wish: Option<Wish>,
}

/// Messages of one mailbox that are recorded together.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// The tenant.
    pub domain: Domain,
    /// The folder.
    pub folder: Uuid,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// The messages.
    pub messages: Vec<ReceivedMessage>,
    /// Whether what is known by its bytes under another UIDVALIDITY is linked, not kept again.
    pub relink: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// All is durable.
    Done {
        /// How many messages are new.
        stored: u64,
        /// How many were recorded before, or were linked.
        repeated: u64,
    },
    /// The folder is no longer there; nothing was kept.
    FolderGone,
}

/// A message that the server announced but that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Its UID.
    pub uid: u32,
    /// Why, in words.
    pub reason: String,
    /// Why, as a stable word.
    pub code: String,
    /// Whether it never can be had: then it becomes a message in state `error`.
    pub forever: bool,
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
        let at = self
            .pending
            .binary_search_by_key(&uid, |pending| pending.uid)
            .ok()?;
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
        let sql = "SELECT \"uid\", \"message\" IS NULL, \"reason\", \"attempts\", \"next_attempt\"
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"uid_validity\" = $2 ORDER BY \"uid\"";
        let rows = self
            .read(Statement::new(sql).bind(folder).bind(uid_validity))
            .await?;
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
                    attempts: row
                        .whole(3)
                        .and_then(|n| u32::try_from(n).ok())
                        .unwrap_or(0),
                    next_attempt_ms: row.whole(4).unwrap_or(0),
                });
            }
        }
        let sql = "SELECT \"uidValidity\", \"uidBaseline\",
              EXISTS (SELECT 1 FROM \"receipt\" WHERE \"folder\" = $1 AND \"uid_validity\" <> $2)
            FROM \"email/Folders\" WHERE \"id\" = $1";
        let rows = self
            .read(Statement::new(sql).bind(folder).bind(uid_validity))
            .await?;
        if let Some(row) = rows.first() {
            ledger.is_new = row.whole(0) != Some(i64::from(uid_validity));
            let baseline = row.whole(1).filter(|_| !ledger.is_new);
            ledger.baseline = baseline
                .and_then(|uid| u32::try_from(uid).ok())
                .unwrap_or(0);
            ledger.had_other_validity = row.whole(2) == Some(1);
        }
        Ok(ledger)
    }

    /// Records messages: entities, files, original, receipts, feed, in one transaction. What has a
    /// receipt already is passed over.
    ///
    /// # Errors
    ///
    /// When the store fails; then nothing of it is kept.
    pub async fn receive_commit(&self, batch: ReceiveBatch) -> Result<ReceiveOutcome, Error> {
        let class = self.builtin(MESSAGES)?;
        let ledger = self.ledger(batch.folder, batch.uid_validity).await?;
        let mut former = if batch.relink {
            self.receipts_by_hash(batch.folder, batch.uid_validity)
                .await?
        } else {
            HashMap::new()
        };
        let at = (batch.folder, batch.uid_validity);
        let mut statements = vec![folder_must_be(&batch.domain, batch.folder)];
        let (mut stored, mut repeated) = (0, 0);
        for message in batch.messages {
            let pending = ledger.pending(message.uid).is_some();
            if ledger.has(message.uid) && !pending {
                repeated += 1;
                continue;
            }
            let known = former.get_mut(&message.hash).and_then(Vec::pop);
            let id = known.as_ref().map_or(message.entity.id, |(_, _, id)| *id);
            let tail = (message.hash, message.wish);
            statements.push(receipt(at, (message.uid, id), tail));
            if let Some((validity, uid, _)) = known {
                statements.push(relinked((batch.folder, validity, uid), batch.uid_validity));
                repeated += 1;
                continue;
            }
            stored += 1;
            statements.push(self.insert(&batch.domain, &class, &message.entity));
            statements.extend(self.received_files(&batch.domain, message)?);
            statements.push(feed::row(
                &batch.domain,
                &class,
                (id, Operation::Create),
                None,
            ));
        }
        match self.write(statements).await {
            Ok(_) => Ok(ReceiveOutcome::Done { stored, repeated }),
            Err(Error::Condition { statement: 0 }) => Ok(ReceiveOutcome::FolderGone),
            Err(error) => Err(error),
        }
    }

    fn received_files(
        &self,
        domain: &Domain,
        message: ReceivedMessage,
    ) -> Result<Vec<Statement>, Error> {
        let mut statements = vec![];
        let mut blob = None;
        let at = (domain, message.entity.id);
        if let Some(original) = message.original {
            let size_bytes = original.size_bytes;
            let (id, chunks) = original.statements(self);
            statements.extend(chunks);
            blob = Some(id);
            let file = NewFile::original(size_bytes);
            statements.extend(file::insert(self, at, (file, 0), blob)?);
        }
        for (position, file) in (0..).zip(message.files) {
            statements.extend(file::insert(self, at, (file, position), blob)?);
        }
        Ok(statements)
    }

    /// Receipts of a folder under other UIDVALIDITYs that this one has not used, by hash: each is
    /// linked once, so that two equal messages stay two.
    async fn receipts_by_hash(
        &self,
        folder: Uuid,
        uid_validity: u32,
    ) -> Result<HashMap<[u8; 16], Vec<(i64, i64, Uuid)>>, Error> {
        let sql = "SELECT \"hash\", \"uid_validity\", \"uid\", \"message\" FROM \"receipt\"
            WHERE \"folder\" = $1 AND \"uid_validity\" <> $2 AND \"message\" IS NOT NULL
              AND \"relinked\" IS NULL ORDER BY \"uid\" DESC";
        let rows = self
            .read(Statement::new(sql).bind(folder).bind(uid_validity))
            .await?;
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let hash = row.bytes(0).and_then(|hash| hash.try_into().ok());
            if let (Some(hash), Some(validity), Some(uid), Some(id)) =
                (hash, row.whole(1), row.whole(2), row.id(3))
            {
                found.entry(hash).or_default().push((validity, uid, id));
            }
        }
        Ok(found)
    }

    /// Records what could not be had: pending, to be tried again after `delay_ms` of its attempts
    /// so far (the present one included); what never can be had as a message in state `error`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn receive_missed(
        &self,
        (domain, account): (&Domain, Uuid),
        (folder, uid_validity): (Uuid, u32),
        misses: &[Miss],
        delay_ms: impl Fn(u32) -> i64,
    ) -> Result<(), Error> {
        let class = self.builtin(MESSAGES)?;
        let ledger = self.ledger(folder, uid_validity).await?;
        let now_ms = clock::now_ms();
        let mut batch = vec![folder_must_be(domain, folder)];
        for miss in misses {
            let attempts = ledger
                .pending(miss.uid)
                .map_or(0, |pending| pending.attempts)
                + 1;
            if !miss.forever {
                let next = now_ms + delay_ms(attempts);
                batch.push(pending_receipt(
                    (folder, uid_validity),
                    miss,
                    (attempts, next),
                ));
                continue;
            }
            let id = clock::new_id();
            let values = json!({
                "account_id": account.to_string(), "folder_id": folder.to_string(),
                "dateTime": Timestamp::from_ms(now_ms).to_string(), "messageDirection": "in",
                "messageType": "undefined", "messageState": "error", "errorText": miss.reason,
                "errorCode": miss.code, "uidValidity": uid_validity, "uid": miss.uid,
            });
            let values = values.as_object().cloned().unwrap_or_else(Map::new);
            batch.push(receipt(
                (folder, uid_validity),
                (miss.uid, id),
                ([0; 16], None),
            ));
            batch.push(self.insert(domain, &class, &Entity::new(id, values)));
            batch.push(feed::row(domain, &class, (id, Operation::Create), None));
        }
        match self.write(batch).await {
            Ok(_) | Err(Error::Condition { statement: 0 }) => Ok(()),
            Err(error) => Err(error),
        }
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
        let statement = Statement::new(sql)
            .bind(folder)
            .bind(uid_validity)
            .bind(limit);
        let wish = |row: crate::database::Row| {
            let uid = u32::try_from(row.whole(0)?).ok()?;
            Some((uid, Wish::from_number(row.whole(1)?)?))
        };
        Ok(self
            .read(statement)
            .await?
            .into_iter()
            .filter_map(wish)
            .collect())
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
            Statement::new(sql)
                .bind(folder)
                .bind(uid_validity)
                .bind(*uid)
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
        let statement = Statement::new(sql)
            .bind(folder)
            .bind(uid_validity)
            .bind(baseline);
        self.write(vec![statement]).await.map(drop)
    }
}

/// Makes a batch fail when the folder is not there.
fn folder_must_be(domain: &Domain, folder: Uuid) -> Statement {
    let table = quoted(FOLDERS);
    let sql = format!("UPDATE {table} SET \"id\" = \"id\" WHERE \"id\" = $1 AND \"domain\" = $2");
    Statement::new(sql)
        .bind(folder)
        .bind(domain.as_str())
        .must_change()
}

fn receipt(
    (folder, uid_validity): (Uuid, u32),
    (uid, message): (u32, Uuid),
    (hash, wish): ([u8; 16], Option<Wish>),
) -> Statement {
    // A pending receipt is completed; one with a message makes this change nothing, and the batch
    // fails: the same UID is never recorded twice.
    let sql =
        "INSERT INTO \"receipt\" (\"folder\", \"uid_validity\", \"uid\", \"message\", \"hash\",
           \"wish\") VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (\"folder\", \"uid_validity\", \"uid\") DO UPDATE SET
           \"message\" = excluded.\"message\", \"hash\" = excluded.\"hash\",
           \"wish\" = excluded.\"wish\", \"reason\" = NULL, \"next_attempt\" = NULL
         WHERE \"receipt\".\"message\" IS NULL";
    Statement::new(sql)
        .bind(folder)
        .bind(uid_validity)
        .bind(uid)
        .bind(message)
        .bind(hash.to_vec())
        .bind(wish.map(Wish::number))
        .must_change()
}

fn relinked((folder, validity, uid): (Uuid, i64, i64), to: u32) -> Statement {
    let sql = "UPDATE \"receipt\" SET \"relinked\" = $4
        WHERE \"folder\" = $1 AND \"uid_validity\" = $2 AND \"uid\" = $3 AND \"relinked\" IS NULL";
    Statement::new(sql)
        .bind(folder)
        .bind(validity)
        .bind(uid)
        .bind(to)
        .must_change()
}

fn pending_receipt(
    (folder, uid_validity): (Uuid, u32),
    miss: &Miss,
    (attempts, next_ms): (u32, i64),
) -> Statement {
    let sql = "INSERT INTO \"receipt\" (\"folder\", \"uid_validity\", \"uid\", \"reason\",
           \"attempts\", \"next_attempt\") VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (\"folder\", \"uid_validity\", \"uid\") DO UPDATE SET
           \"reason\" = excluded.\"reason\", \"attempts\" = excluded.\"attempts\",
           \"next_attempt\" = excluded.\"next_attempt\"
         WHERE \"receipt\".\"message\" IS NULL";
    Statement::new(sql)
        .bind(folder)
        .bind(uid_validity)
        .bind(miss.uid)
        .bind(miss.reason.as_str())
        .bind(attempts)
        .bind(next_ms)
}
