//! Records received messages: entities, files, originals, receipts and feed in one transaction.

use crate::blob::Content;
use crate::database::Statement;
use crate::entity_row::EntityRow;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::file::FileOwner;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::former_receipt::FormerReceipt;
use crate::former_receipt::linked;
use crate::held_message::HeldMessage;
use crate::integrity::folder_must_be;
use crate::limits;
use crate::object::SIDE_BY_SIDE;
use crate::origin::MailboxEpoch;
use crate::origin::epoch_must_last;
use crate::receipt::ServerAction;
use crate::source_key::SourceKey;
use crate::store::Store;
use crate::witness::Witness;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::MessageEntityId;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files::RAW_MESSAGE;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// A received message to be recorded.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
    /// Its key.
    pub key: SourceKey,
    /// Its entity, a row of `email/Messages`.
    pub row: EntityRow,
    /// Its files, without the original.
    pub files: Vec<NewFile>,
    /// The original. `None`: it is not kept, and no file is a part of it.
    pub original: Option<Content>,
    /// A hash of its bytes, to recognise it in another epoch of the mailbox.
    pub hash: [u8; 16],
    /// The facts that the server told about it.
    pub witness: Witness,
    /// The Message-ID of the message that it reports about. `None`: it is no report, or names none.
    pub reported: Option<String>,
    /// The server-side action that follows. `None`: nothing is changed at the server.
    pub action: Option<ServerAction>,
}

/// Messages of one mailbox that are recorded together.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// The tenant.
    pub domain: Domain,
    /// The epoch of the mailbox.
    pub epoch: MailboxEpoch,
    /// The messages.
    pub messages: Vec<ReceivedMessage>,
    /// Whether a message whose bytes were recorded in a former epoch is linked to that record, and
    /// not stored again.
    pub relink: bool,
}

/// The result of recording messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// All messages are durable that are not held.
    Done {
        /// How many messages are new.
        stored: u64,
        /// How many were recorded before, or were linked to a record of a former epoch.
        repeated: u64,
        /// Those whose large contents S3 does not take now. Nothing of them was recorded.
        held: Vec<HeldMessage>,
    },
    /// The folder does not exist any more. Nothing was stored.
    FolderGone,
}

impl Store {
    /// Records messages in one transaction: entities, files, originals, receipts and feed. Messages
    /// with a receipt are skipped.
    ///
    /// # Errors
    ///
    /// When the store fails, or [`Failed::EpochOver`]. Then nothing is stored.
    pub async fn receive_commit(&self, mut batch: ReceiveBatch) -> Result<ReceiveOutcome, Error> {
        let class = self.builtin_of(&batch.domain, MESSAGES)?;
        let at = batch.epoch;
        let keys = range(batch.messages.iter().map(|message| message.key));
        let ledger = self.ledger_part(at, keys).await?;
        let has_bytes = |key: SourceKey| {
            ledger.has(key) && ledger.pending(key).is_none() && ledger.oversized(key).is_none()
        };
        let recognisable = batch.messages.iter();
        let recognisable = recognisable.filter(|one| batch.relink && !has_bytes(one.key));
        let recognised = self.recognised(at, &recognisable.collect::<Vec<_>>()).await?;
        let is_new = |message: &ReceivedMessage| {
            !has_bytes(message.key) && !recognised.contains_key(&message.key)
        };
        let new = batch.messages.iter_mut().filter(|message| is_new(message));
        let held = Box::pin(self.make_ready(&batch.domain, &class, new.collect())).await?;
        batch.messages.retain(|message| held.iter().all(|held| held.key != message.key));
        let records = self.records(&batch.domain, &class);
        let mut statements = vec![folder_must_be(&batch.domain, at.folder), epoch_must_last(at)];
        // The rows of new messages depend on nothing else in the batch, so they may be grouped.
        let mut new_rows = vec![];
        let (mut stored, mut repeated) = (0, 0);
        for message in batch.messages {
            if has_bytes(message.key) {
                repeated += 1;
                continue;
            }
            let known = recognised.get(&message.key).copied();
            let by_header = ledger.oversized(message.key).map(|oversized| oversized.message);
            let new = MessageEntityId::of(message.row.id);
            let id = known.map(|known| known.message).or(by_header).unwrap_or(new);
            let action = demanded(message.action, known);
            statements.push(receipt(at, id, Receipt { action, ..Receipt::of(&message) }));
            if let Some(FormerReceipt { number, key, .. }) = known {
                statements.push(linked(MailboxEpoch { number, ..at }, key, at));
                // The message of the former epoch takes the place of the one with the header alone.
                if let Some(header) = by_header.filter(|header| *header != id) {
                    statements.extend(limits::forget(&batch.domain, header));
                    statements.extend(records.delete_any(header.into()));
                }
                repeated += 1;
                continue;
            }
            stored += 1;
            let ReceivedMessage { row, files, original, .. } = message;
            let mut properties: Vec<_> = files.iter().map(|file| file.property.clone()).collect();
            properties.extend(original.as_ref().map(|_| RAW_MESSAGE.to_owned()));
            let files = self.received_files(&batch.domain, id, files, original).await?;
            if by_header.is_some() {
                statements.extend(self.complete(&batch.domain, id, row, &properties).await?);
                statements.extend(files);
            } else if records.counts() {
                // Each row takes a number from a counter, so the order of statements matters.
                statements.extend(records.create(row));
                statements.extend(files);
            } else {
                new_rows.extend(records.create(row));
                new_rows.extend(files);
            }
        }
        statements.extend(by_table(new_rows));
        match self.write(statements).await {
            Ok(_) => Ok(ReceiveOutcome::Done { stored, repeated, held }),
            Err(Error::Condition(Failed::NoFolder)) => Ok(ReceiveOutcome::FolderGone),
            Err(error) => Err(error),
        }
    }

    /// Links reports to what they are about, and writes the contents that become objects, several
    /// at the same time. Gives the messages whose contents S3 does not take.
    async fn make_ready(
        &self,
        domain: &Domain,
        class: &Class,
        mut messages: Vec<&mut ReceivedMessage>,
    ) -> Result<Vec<HeldMessage>, Error> {
        for message in &mut messages {
            if let Some(reported) = &message.reported {
                self.report_link(domain, class, &mut message.row, reported).await?;
            }
        }
        if self.inner.objects.own.is_none() {
            return Ok(vec![]);
        }
        let contents = messages.into_iter().flat_map(|message| {
            let files = message.files.iter_mut().filter_map(|file| match &mut file.content {
                NewContent::Own(content) => Some(content),
                NewContent::Part { .. } => None,
            });
            let key = message.key;
            message.original.iter_mut().chain(files).map(move |content| (key, content))
        });
        let put = async |(key, content): (SourceKey, &mut Content)| {
            (key, content.put_received_away(self).await)
        };
        let contents: Vec<_> = contents.map(put).collect();
        let mut written = stream::iter(contents).buffer_unordered(SIDE_BY_SIDE);
        let mut held: Vec<HeldMessage> = vec![];
        while let Some((key, written)) = written.next().await {
            match written {
                Ok(()) => {}
                Err(error @ Error::Objects { .. }) => {
                    if held.iter().all(|held| held.key != key) {
                        held.push(HeldMessage { key, reason: error.to_string() });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    async fn received_files(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        files: Vec<NewFile>,
        original: Option<Content>,
    ) -> Result<Vec<Statement>, Error> {
        let owner = FileOwner { domain, entity: message.into(), class: None };
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

    /// The receipts of former epochs that messages are recognised by. Each is taken once, so that
    /// two equal messages stay two.
    async fn recognised(
        &self,
        epoch: MailboxEpoch,
        messages: &[&ReceivedMessage],
    ) -> Result<HashMap<SourceKey, FormerReceipt>, Error> {
        let hashes: BTreeSet<_> = messages.iter().map(|message| message.hash).collect();
        let hashes: Vec<_> = hashes.into_iter().collect();
        let mut former = self.receipts_by_hash(epoch, &hashes).await?;
        let known = messages.iter().filter_map(|message| {
            let known = former.take(&message.hash, message.witness.internal_date_ms)?;
            Some((message.key, known))
        });
        Ok(known.collect())
    }
}

/// The server-side action of a message that may be known from a former epoch. A message that was
/// stored while the folder asked for no action stays as it is at the server.
fn demanded(action: Option<ServerAction>, known: Option<FormerReceipt>) -> Option<ServerAction> {
    let action = action.filter(|_| known.is_none_or(|known| known.had_action));
    match action {
        Some(ServerAction::AwaitAcknowledged) if known.is_some_and(|one| one.was_acknowledged) => {
            Some(ServerAction::DeleteAcknowledged)
        }
        action => action,
    }
}

/// Puts statements with equal SQL next to each other, so that a database may run them as one.
fn by_table(statements: Vec<Statement>) -> Vec<Statement> {
    let mut groups: Vec<Vec<Statement>> = vec![];
    for statement in statements {
        match groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|one| one.sql == statement.sql))
        {
            Some(group) => group.push(statement),
            None => groups.push(vec![statement]),
        }
    }
    groups.into_iter().flatten().collect()
}

/// The range from the least to the greatest key.
pub(crate) fn range(keys: impl Iterator<Item = SourceKey> + Clone) -> RangeInclusive<SourceKey> {
    keys.clone().min().unwrap_or_default()..=keys.max().unwrap_or_default()
}

/// The columns of a receipt, without its epoch and message.
#[derive(Default)]
pub(crate) struct Receipt {
    pub key: SourceKey,
    pub hash: [u8; 16],
    pub witness: Witness,
    pub action: Option<ServerAction>,
    /// Why only the header of the message is stored. `None`: the whole message is stored.
    pub reason: Option<String>,
}

impl Receipt {
    fn of(message: &ReceivedMessage) -> Self {
        let ReceivedMessage { key, hash, witness, action, .. } = *message;
        Self { key, hash, witness, action, reason: None }
    }
}

pub(crate) fn receipt(epoch: MailboxEpoch, message: MessageEntityId, says: Receipt) -> Statement {
    // A pending receipt is completed. If the receipt has a message, this changes nothing, and the
    // batch fails, so that a key is never recorded twice.
    let sql = "INSERT INTO \"receipt\" (\"folder\", \"epoch\", \"key\", \"message\", \"hash\",
           \"wish\", \"size\", \"internal_date\", \"message_id\", \"reason\", \"uid_validity\")
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
             (SELECT \"uid_validity\" FROM \"origin\" WHERE \"folder\" = $1))
         ON CONFLICT (\"folder\", \"epoch\", \"key\") DO UPDATE SET
           \"message\" = excluded.\"message\", \"hash\" = excluded.\"hash\",
           \"wish\" = excluded.\"wish\", \"size\" = excluded.\"size\",
           \"internal_date\" = excluded.\"internal_date\",
           \"message_id\" = excluded.\"message_id\", \"reason\" = excluded.\"reason\",
           \"uid_validity\" = excluded.\"uid_validity\", \"next_attempt\" = NULL
         WHERE \"receipt\".\"message\" IS NULL OR \"receipt\".\"reason\" IS NOT NULL";
    let Receipt { key, hash, witness, action, reason } = says;
    Statement::new(sql)
        .bind(epoch.folder)
        .bind(epoch.number)
        .bind(key.number())
        .bind(message)
        .bind(hash.to_vec())
        .bind(action.map(ServerAction::number))
        .bind(witness.size_bytes)
        .bind(witness.internal_date_ms)
        .bind(witness.message_id)
        .bind(reason)
        .must_change(Failed::Recorded)
}
