//! What is recorded of messages to recognise them.

use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::origin::MailboxEpoch;
use crate::source_key::SourceKey;
use crate::store::Store;
use crate::witness::Witness;

/// How many keys one query names, each with a placeholder of its own.
const KEYS_MAX: usize = 500;

/// What is recorded of a message to recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its key.
    pub key: SourceKey,
    /// The facts that the server told about it.
    pub witness: Witness,
    /// The hash of its bytes. `None`: only its header was fetched, or an earlier version recorded
    /// no hash.
    pub hash: Option<[u8; 16]>,
    /// Whether only its header is stored, because it was too large.
    pub is_oversized: bool,
    /// The hash of its header, if it is too large and the server gave the header.
    pub header_hash: Option<[u8; 16]>,
}

impl Store {
    /// What is recorded to recognise the messages of these keys. Pending messages are left out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remembered(
        &self,
        epoch: MailboxEpoch,
        keys: &[SourceKey],
    ) -> Result<Vec<Remembered>, Error> {
        let mut found = vec![];
        for keys in keys.chunks(KEYS_MAX) {
            let sql = format!(
                "SELECT \"key\", \"size\", \"internal_date\", \"message_id\", \"hash\", \"reason\"
                FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
                  AND \"message\" IS NOT NULL AND \"key\" IN ({})",
                places(3, keys.len())
            );
            let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
            let values = keys.iter().map(|key| Value::from(key.number()));
            let rows = self.read(statement.bind_all(values)).await?;
            found.extend(rows.iter().filter_map(remembered_of));
        }
        Ok(found)
    }

    /// What is recorded to recognise the newest messages of an epoch, at most `limit` of them.
    /// Messages that Postroom deleted at the server are left out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remembered_newest(
        &self,
        epoch: MailboxEpoch,
        limit: usize,
    ) -> Result<Vec<Remembered>, Error> {
        let sql =
            "SELECT \"key\", \"size\", \"internal_date\", \"message_id\", \"hash\", \"reason\"
            FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2
              AND \"message\" IS NOT NULL AND \"gone\" IS NULL ORDER BY \"key\" DESC LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number).bind(limit);
        Ok(self.read(statement).await?.iter().filter_map(remembered_of).collect())
    }
}

fn remembered_of(row: &Row) -> Option<Remembered> {
    let hash: Option<[u8; 16]> = row.bytes(4).and_then(|hash| hash.try_into().ok());
    let hash = hash.filter(|hash| *hash != [0; 16]);
    let is_oversized = row.text(5).is_some();
    Some(Remembered {
        key: row.whole(0).and_then(SourceKey::of_stored)?,
        witness: Witness {
            size_bytes: row.whole(1).and_then(|size| u64::try_from(size).ok()),
            internal_date_ms: row.whole(2),
            message_id: row.whole(3),
        },
        hash: hash.filter(|_| !is_oversized),
        is_oversized,
        header_hash: hash.filter(|_| is_oversized),
    })
}
