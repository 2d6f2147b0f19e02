//! Which bytes are recorded in an epoch of a mailbox. This shows that the server lists a stored
//! message under another key.
//!
//! There is no index of the hashes. Hashes have no order, so with an index, each received message
//! would write a page that nothing else touches.

use crate::columns::places;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::former_receipt::HASHES_MAX;
use crate::origin::MailboxEpoch;
use crate::source_key::SourceKey;
use crate::store::Store;

/// The key under which bytes are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedKey {
    /// The hash of the bytes.
    pub hash: [u8; 16],
    /// The key.
    pub key: SourceKey,
}

impl Store {
    /// The hashes of all messages that are recorded in an epoch with all their bytes.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn recorded_hashes(&self, epoch: MailboxEpoch) -> Result<Vec<[u8; 16]>, Error> {
        let sql = "SELECT \"hash\" FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
              AND \"message\" IS NOT NULL AND \"reason\" IS NULL";
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        let rows = self.read(statement).await?;
        Ok(rows.iter().filter_map(|row| row.bytes(0)?.try_into().ok()).collect())
    }

    /// The keys under which bytes with these hashes are recorded in an epoch. It reads all receipts
    /// of the epoch.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn recorded_keys(
        &self,
        epoch: MailboxEpoch,
        hashes: &[[u8; 16]],
    ) -> Result<Vec<RecordedKey>, Error> {
        let mut found = vec![];
        for hashes in hashes.chunks(HASHES_MAX) {
            let sql = format!(
                "SELECT \"hash\", \"key\" FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
                  AND \"message\" IS NOT NULL AND \"reason\" IS NULL
                  AND \"hash\" IN ({}) ORDER BY \"key\"",
                places(3, hashes.len())
            );
            let values = hashes.iter().map(|hash| Value::from(hash.to_vec()));
            let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
            for row in self.read(statement.bind_all(values)).await? {
                let hash = row.bytes(0).and_then(|hash| hash.try_into().ok());
                let key = row.whole(1).and_then(SourceKey::of_stored);
                found.extend(hash.zip(key).map(|(hash, key)| RecordedKey { hash, key }));
            }
        }
        Ok(found)
    }
}
