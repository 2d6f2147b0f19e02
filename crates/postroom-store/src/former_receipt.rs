//! Receipts of former epochs, by which messages are recognised in the present one.
//!
//! The bytes of a message identify it. If Postroom deleted that message at the server, they do not
//! suffice, because a new message may have the same bytes.

use crate::columns::places;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::origin::MailboxEpoch;
use crate::source_key::SourceKey;
use crate::store::Store;
use postroom_model::MessageEntityId;
use std::collections::HashMap;

/// How many hashes one query names, each with a placeholder of its own.
pub(crate) const HASHES_MAX: usize = 200;

/// A receipt of a former epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormerReceipt {
    pub number: i64,
    pub key: SourceKey,
    pub message: MessageEntityId,
    /// Whether a server-side action was recorded with it, and not dropped since.
    pub had_action: bool,
    /// Whether a client had acknowledged it, so that it was to be deleted at the server.
    pub was_acknowledged: bool,
    /// INTERNALDATE, in milliseconds since 1970.
    internal_date_ms: Option<i64>,
    /// Whether Postroom deleted it at the server.
    deletion: FormerDeletion,
}

/// How far the deletion of a message at the server had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormerDeletion {
    /// It was not to be deleted, or not yet.
    None,
    /// The server may have been asked to delete it.
    Open,
    /// The server did not list it any more.
    Gone,
}

impl FormerReceipt {
    /// Whether a message with the same bytes and this INTERNALDATE is the one of the receipt. In
    /// doubt it is not: then it is stored once more, and no mail is lost.
    ///
    /// A message that Postroom deleted is there again only if the server was restored from a
    /// backup, which keeps INTERNALDATE. A new message may have the same bytes.
    fn is_of(&self, internal_date_ms: Option<i64>) -> bool {
        let is_dated = self.is_dated(internal_date_ms);
        match self.deletion {
            FormerDeletion::None => true,
            FormerDeletion::Open => is_dated != Some(false),
            FormerDeletion::Gone => is_dated == Some(true),
        }
    }

    /// Whether it has this INTERNALDATE. `None`: one of the two is not known.
    fn is_dated(&self, internal_date_ms: Option<i64>) -> Option<bool> {
        Some(self.internal_date_ms? == internal_date_ms?)
    }
}

/// Receipts of former epochs by hash.
#[derive(Debug, Default)]
pub(crate) struct FormerReceipts(HashMap<[u8; 16], Vec<FormerReceipt>>);

impl FormerReceipts {
    /// Takes the receipt of a message with these bytes. One with its INTERNALDATE comes first.
    pub(crate) fn take(
        &mut self,
        hash: &[u8; 16],
        internal_date_ms: Option<i64>,
    ) -> Option<FormerReceipt> {
        let found = self.0.get_mut(hash)?;
        let is_dated = |one: &FormerReceipt| one.is_dated(internal_date_ms) == Some(true);
        let dated = found.iter().rposition(is_dated);
        let at = dated.or_else(|| found.iter().rposition(|one| one.is_of(internal_date_ms)))?;
        Some(found.remove(at))
    }
}

impl Store {
    /// The receipts of a folder from former epochs, by hash, whose messages have no receipt in a
    /// later one.
    pub(crate) async fn receipts_by_hash(
        &self,
        epoch: MailboxEpoch,
        hashes: &[[u8; 16]],
    ) -> Result<FormerReceipts, Error> {
        let mut found = FormerReceipts::default();
        for hashes in hashes.chunks(HASHES_MAX) {
            self.receipts_of_hashes(epoch, hashes, &mut found).await?;
        }
        Ok(found)
    }

    async fn receipts_of_hashes(
        &self,
        epoch: MailboxEpoch,
        hashes: &[[u8; 16]],
        found: &mut FormerReceipts,
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT \"hash\", \"epoch\", \"key\", \"message\",
              CASE WHEN \"wish\" IS NULL AND \"gone\" IS NULL THEN 0
                WHEN \"wish\" IN (4, -4) THEN 2 ELSE 1 END,
              \"internal_date\", \"gone\", \"wish\" IN (2, 4, -2, -4)
            FROM \"receipt\"
            WHERE \"folder\" = $1 AND \"epoch\" <> $2 AND \"message\" IS NOT NULL
              AND \"linked\" IS NULL AND \"hash\" IN ({}) ORDER BY \"key\" DESC",
            places(3, hashes.len())
        );
        let hashes = hashes.iter().map(|hash| Value::from(hash.to_vec()));
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number).bind_all(hashes);
        for row in self.read(statement).await? {
            let hash = row.bytes(0).and_then(|hash| hash.try_into().ok());
            if let (Some(hash), Some(number), Some(key), Some(id)) =
                (hash, row.whole(1), row.whole(2).and_then(SourceKey::of_stored), row.id(3))
            {
                let (message, had_action) = (MessageEntityId::of(id), row.whole(4) != Some(0));
                let deletion = match (row.whole(6), row.whole(7)) {
                    (Some(1), _) => FormerDeletion::Gone,
                    (_, Some(1)) => FormerDeletion::Open,
                    (_, _) => FormerDeletion::None,
                };
                found.0.entry(hash).or_default().push(FormerReceipt {
                    number,
                    key,
                    message,
                    had_action,
                    was_acknowledged: row.whole(4) == Some(2),
                    internal_date_ms: row.whole(5),
                    deletion,
                });
            }
        }
        Ok(())
    }
}

/// The statement that notes that the message of a former epoch has a receipt of the present epoch
/// now. The former receipt stays, because its epoch may come back.
pub(crate) fn linked(former: MailboxEpoch, key: SourceKey, present: MailboxEpoch) -> Statement {
    let sql = "UPDATE \"receipt\" SET \"linked\" = $4
        WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" = $3 AND \"linked\" IS NULL";
    let linked = Statement::new(sql).bind(former.folder).bind(former.number).bind(key.number());
    linked.bind(present.number).must_change(Failed::Relinked)
}

/// The statement that deletes a receipt of a former epoch, because its message, of which only the
/// header is stored, has a receipt of the present epoch now.
pub(crate) fn relinked(former: MailboxEpoch, key: SourceKey) -> Statement {
    let sql = "DELETE FROM \"receipt\"
        WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" = $3";
    let gone = Statement::new(sql).bind(former.folder).bind(former.number).bind(key.number());
    gone.must_change(Failed::Relinked)
}
