//! Records received messages: entities, files, originals, receipts and feed in one transaction.

use crate::blob::Content;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::file::FileOwner;
use crate::file::NewFile;
use crate::integrity::folder_must_be;
use crate::origin::Life;
use crate::receipt::ServerAction;
use crate::receipt::Witness;
use crate::record::EntityRow;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::MessageEntityId;
use postroom_model::builtin::MESSAGES;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// How many hashes one query names: SQL knows no list as a value.
const HASHES_MAX: usize = 200;

/// A receipt of a former life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormerReceipt {
    pub generation: i64,
    pub uid: i64,
    pub message: MessageEntityId,
    /// Whether a server-side action was recorded with it, and not dropped since.
    pub had_action: bool,
}

/// Receipts of former lives by hash.
type Former = HashMap<[u8; 16], Vec<FormerReceipt>>;

/// A received message to be recorded.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
    /// Its UID.
    pub uid: u64,
    /// Its entity, a row of `email/Messages`.
    pub row: EntityRow,
    /// Its files but for the original.
    pub files: Vec<NewFile>,
    /// The original; `None` when it is not to be kept (then no file is a part of it).
    pub original: Option<Content>,
    /// A hash of its bytes, to recognise it in another epoch of the mailbox.
    pub hash: [u8; 16],
    /// What the server said of it.
    pub witness: Witness,
    /// The server-side action afterwards.
    pub action: Option<ServerAction>,
}

/// Messages of one mailbox that are recorded together.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// The tenant.
    pub domain: Domain,
    /// The life of the mailbox.
    pub life: Life,
    /// The messages.
    pub messages: Vec<ReceivedMessage>,
    /// Whether messages with bytes from a former epoch are linked, not stored again.
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

impl Store {
    /// Records messages in one transaction: entities, files, originals, receipts and feed. Messages
    /// with a receipt are skipped.
    ///
    /// # Errors
    ///
    /// When the store fails; then nothing of it is kept.
    pub async fn receive_commit(&self, batch: ReceiveBatch) -> Result<ReceiveOutcome, Error> {
        let class = self.builtin(MESSAGES)?;
        let at = batch.life;
        let uids = range(batch.messages.iter().map(|message| message.uid));
        let ledger = self.ledger_part(at, uids).await?;
        let mut former = if batch.relink {
            let mut hashes: Vec<_> = batch.messages.iter().map(|message| message.hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            self.receipts_by_hash(at, &hashes).await?
        } else {
            HashMap::new()
        };
        let records = self.records(&batch.domain, &class);
        let mut statements = vec![folder_must_be(&batch.domain, at.folder)];
        let (mut stored, mut repeated) = (0, 0);
        for message in batch.messages {
            let pending = ledger.pending(message.uid).is_some();
            let oversized = ledger.oversized(message.uid);
            if ledger.has(message.uid) && !pending && oversized.is_none() {
                repeated += 1;
                continue;
            }
            let known = former.get_mut(&message.hash).and_then(Vec::pop);
            let by_header = oversized.map(|oversized| oversized.message);
            let new = MessageEntityId::of(message.row.id);
            let id = known.map(|known| known.message).or(by_header).unwrap_or(new);
            // What was stored before an action was demanded stays as it is at the server.
            let action = message.action.filter(|_| known.is_none_or(|known| known.had_action));
            statements.push(receipt(at, id, Receipt { action, ..Receipt::of(&message) }));
            if let Some(FormerReceipt { generation, uid, .. }) = known {
                statements.push(relinked(Life { generation, ..at }, uid));
                // It is here as another message.
                if let Some(header) = by_header.filter(|header| *header != id) {
                    statements.extend(records.delete_any(header.into()));
                }
                repeated += 1;
                continue;
            }
            stored += 1;
            let ReceivedMessage { row, files, original, .. } = message;
            match by_header {
                Some(_) => statements.extend(self.complete(&batch.domain, id, row).await?),
                None => statements.extend(records.create(row)),
            }
            statements.extend(self.received_files(&batch.domain, id, files, original).await?);
        }
        match self.write(statements).await {
            Ok(_) => Ok(ReceiveOutcome::Done { stored, repeated }),
            Err(Error::Condition(Failed::NoFolder)) => Ok(ReceiveOutcome::FolderGone),
            Err(error) => Err(error),
        }
    }

    async fn received_files(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        files: Vec<NewFile>,
        original: Option<Content>,
    ) -> Result<Vec<Statement>, Error> {
        let owner = FileOwner { domain, entity: message.into() };
        let mut statements = vec![];
        let mut blob = None;
        if let Some(original) = original {
            let size_bytes = original.size_bytes;
            let (id, chunks) = original.statements(self).await?;
            statements.extend(chunks);
            blob = Some(id);
            let file = NewFile::original(size_bytes);
            statements.extend(file::insert(self, owner, file, 0, blob).await?);
        }
        for (position, file) in (0..).zip(files) {
            statements.extend(file::insert(self, owner, file, position, blob).await?);
        }
        Ok(statements)
    }

    /// The receipts of a folder from former epochs, by hash. Each is linked once and then deleted,
    /// so that two equal messages stay two.
    pub(crate) async fn receipts_by_hash(
        &self,
        life: Life,
        hashes: &[[u8; 16]],
    ) -> Result<Former, Error> {
        let mut found = HashMap::new();
        for hashes in hashes.chunks(HASHES_MAX) {
            self.receipts_of_hashes(life, hashes, &mut found).await?;
        }
        Ok(found)
    }

    async fn receipts_of_hashes(
        &self,
        life: Life,
        hashes: &[[u8; 16]],
        found: &mut Former,
    ) -> Result<(), Error> {
        let places: Vec<_> = (3..).take(hashes.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT \"hash\", \"generation\", \"uid\", \"message\",
              CASE WHEN \"wish\" IS NULL AND \"gone\" IS NULL THEN 0 ELSE 1 END
            FROM \"receipt\"
            WHERE \"folder\" = $1 AND \"generation\" <> $2 AND \"message\" IS NOT NULL
              AND \"hash\" IN ({}) ORDER BY \"uid\" DESC",
            places.join(", ")
        );
        let hashes = hashes.iter().map(|hash| Value::from(hash.to_vec()));
        let statement =
            Statement::new(sql).bind(life.folder).bind(life.generation).bind_all(hashes);
        for row in self.read(statement).await? {
            let hash = row.bytes(0).and_then(|hash| hash.try_into().ok());
            if let (Some(hash), Some(generation), Some(uid), Some(id)) =
                (hash, row.whole(1), row.whole(2), row.id(3))
            {
                let (message, had_action) = (MessageEntityId::of(id), row.whole(4) == Some(1));
                let former = FormerReceipt { generation, uid, message, had_action };
                found.entry(hash).or_default().push(former);
            }
        }
        Ok(())
    }
}

/// From the least to the greatest.
pub(crate) fn range(uids: impl Iterator<Item = u64> + Clone) -> RangeInclusive<u64> {
    uids.clone().min().unwrap_or(0)..=uids.max().unwrap_or(0)
}

/// What a receipt says beside whose message it is.
#[derive(Default)]
pub(crate) struct Receipt {
    pub uid: u64,
    pub hash: [u8; 16],
    pub witness: Witness,
    pub action: Option<ServerAction>,
    /// Why the message is there by its header alone.
    pub reason: Option<String>,
}

impl Receipt {
    fn of(message: &ReceivedMessage) -> Self {
        let ReceivedMessage { uid, hash, witness, action, .. } = *message;
        Self { uid, hash, witness, action, reason: None }
    }
}

pub(crate) fn receipt(life: Life, message: MessageEntityId, says: Receipt) -> Statement {
    // A pending receipt is completed. If the receipt has a message, this changes nothing, and the
    // batch fails, so that a UID is never recorded twice.
    let sql = "INSERT INTO \"receipt\" (\"folder\", \"generation\", \"uid\", \"message\", \"hash\",
           \"wish\", \"size\", \"internal_date\", \"message_id\", \"reason\", \"uid_validity\")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
             (SELECT \"uid_validity\" FROM \"origin\" WHERE \"folder\" = $1))
         ON CONFLICT (\"folder\", \"generation\", \"uid\") DO UPDATE SET
           \"message\" = excluded.\"message\", \"hash\" = excluded.\"hash\",
           \"wish\" = excluded.\"wish\", \"size\" = excluded.\"size\",
           \"internal_date\" = excluded.\"internal_date\",
           \"message_id\" = excluded.\"message_id\", \"reason\" = excluded.\"reason\",
           \"uid_validity\" = excluded.\"uid_validity\", \"next_attempt\" = NULL
         WHERE \"receipt\".\"message\" IS NULL OR \"receipt\".\"reason\" IS NOT NULL";
    let Receipt { uid, hash, witness, action, reason } = says;
    Statement::new(sql)
        .bind(life.folder)
        .bind(life.generation)
        .bind(uid)
        .bind(message)
        .bind(hash.to_vec())
        .bind(action.map(ServerAction::number))
        .bind(witness.size_bytes)
        .bind(witness.internal_date_ms)
        .bind(witness.message_id)
        .bind(reason)
        .must_change(Failed::Recorded)
}

/// The message of a receipt from a former life has one of the present life now.
pub(crate) fn relinked(former: Life, uid: i64) -> Statement {
    let sql = "DELETE FROM \"receipt\"
        WHERE \"folder\" = $1 AND \"generation\" = $2 AND \"uid\" = $3";
    let gone = Statement::new(sql).bind(former.folder).bind(former.generation).bind(uid);
    gone.must_change(Failed::Relinked)
}
