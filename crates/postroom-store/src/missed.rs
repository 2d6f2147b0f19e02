//! Records messages that could not be fetched: as pending, or as messages in state `error`.

use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::former_receipt::FormerReceipt;
use crate::former_receipt::relinked;
use crate::integrity::folder_must_be;
use crate::origin::MailboxEpoch;
use crate::origin::epoch_must_last;
use crate::origin::pending_began;
use crate::oversized;
use crate::receive::Receipt;
use crate::receive::range;
use crate::receive::receipt;
use crate::source_key::SourceKey;
use crate::store::Store;
use crate::witness::Witness;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::MessageDirection;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::standing::ARRIVAL;
use postroom_model::standing::TIME_SOURCE;
use postroom_model::state;
use postroom_model::state::Step;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;

/// How long a message waits at most for which Postroom has no place. The place may be there again
/// at any time, and each try fetches the whole message.
const HELD_MS_MAX: i64 = 5 * 60 * 1000;

/// A message that the server listed, but that could not be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissedMessage {
    /// Its key.
    pub key: SourceKey,
    /// Why, in words for people.
    pub reason: String,
    /// Whether it is larger than the limit, so that it is not fetched again. It then becomes a
    /// message in state `error`.
    pub is_too_big: bool,
    /// Of a message that is too large, the hash of its header. Otherwise the hash of bytes that
    /// arrived, but cannot be the whole message. If they differ from the bytes of the attempt
    /// before, attempts are counted anew.
    pub hash: Option<[u8; 16]>,
    /// How many bytes it has, if it is too large.
    pub size_bytes: Option<u64>,
    /// The facts that the server told about it, if it is too large.
    pub witness: Witness,
    /// The values from its header, for the message in state `error`.
    pub values: Map<String, Json>,
    /// Whether the server gives it, and Postroom has no place for it now.
    pub is_held: bool,
}

/// Where messages could not be fetched.
#[derive(Debug, Clone, Copy)]
pub struct MissedAt<'a> {
    /// The tenant.
    pub domain: &'a Domain,
    /// The account.
    pub account: AccountId,
    /// The epoch of the mailbox.
    pub epoch: MailboxEpoch,
    /// Its UIDVALIDITY. 0: the server has none.
    pub uid_validity: u64,
}

impl Store {
    /// Records messages that could not be fetched.
    ///
    /// - A message that is too large becomes a message in state `error`.
    /// - If its header is stored already, the reason becomes its `errorText`, unless it is still
    ///   too large and no client has asked for it.
    /// - Any other message is pending. `delay_ms` gives the time until it is retried, from the
    ///   number of attempts including this one. A message that is held waits for five
    ///   minutes at most.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn receive_missed(
        &self,
        at: MissedAt<'_>,
        misses: &[MissedMessage],
        delay_ms: impl Fn(u32) -> i64,
    ) -> Result<(), Error> {
        let MissedAt { domain, account, epoch, uid_validity } = at;
        let class = self.builtin_of(domain, MESSAGES)?;
        let ledger = self.ledger_part(epoch, range(misses.iter().map(|miss| miss.key))).await?;
        let hashes: BTreeSet<_> =
            misses.iter().filter(|miss| miss.is_too_big).filter_map(|miss| miss.hash).collect();
        let hashes: Vec<_> = hashes.into_iter().collect();
        let mut former = self.receipts_by_hash(epoch, &hashes).await?;
        let now_ms = self.clock().now_ms();
        let mut batch = vec![folder_must_be(domain, epoch.folder), epoch_must_last(epoch)];
        if misses.iter().any(|miss| !miss.is_too_big) {
            batch.push(pending_began(epoch.folder, &self.origin(epoch.folder).await?));
        }
        for miss in misses {
            if let Some(oversized) = ledger.oversized(miss.key) {
                if oversized.is_requested() || !miss.is_too_big {
                    self.request_failed(domain, epoch, oversized, &miss.reason).await?;
                }
                continue;
            }
            if !miss.is_too_big {
                let former = ledger.pending(miss.key).filter(|former| former.hash == miss.hash);
                let attempts = former.map_or(0, |pending| pending.attempts) + 1;
                let delay_ms = delay_ms(attempts);
                let delay_ms_max = if miss.is_held { HELD_MS_MAX } else { delay_ms };
                let next = now_ms + delay_ms.min(delay_ms_max);
                batch.push(pending_receipt(epoch, miss, attempts, next));
                continue;
            }
            let date = miss.witness.internal_date_ms;
            let known = miss.hash.and_then(|hash| former.take(&hash, date));
            if let Some(FormerReceipt { number, key, message, .. }) = known {
                let former = MailboxEpoch { number, ..epoch };
                batch.push(receipt(epoch, message, miss.receipt()));
                batch.push(oversized::request_moved(former, key, epoch, miss.key));
                batch.push(relinked(former, key));
                continue;
            }
            let id = MessageEntityId::of(self.clock().new_id());
            let state = state::after(None, Step::Miss)?;
            let known = json!({
                "account_id": account.to_string(), "folder_id": epoch.folder.to_string(),
                "dateTime": Timestamp::from_ms(self.dating_ms()).to_string(),
                "messageDirection": MessageDirection::In, "messageType": "undefined",
                "messageState": state, "errorText": miss.reason,
                "errorCode": ErrorCode::TooBig, TIME_SOURCE: ARRIVAL, "uidValidity": uid_validity,
                "uid": miss.key.uid(), "size": miss.size_bytes,
            });
            let mut values = miss.values.clone();
            values.extend(known.as_object().cloned().unwrap_or_default());
            batch.push(receipt(epoch, id, miss.receipt()));
            let row = self.entity_row(domain, &class, &Entity::new(id.into(), values))?;
            batch.extend(self.records(domain, &class).create(row));
        }
        match self.write(batch).await {
            Ok(_) | Err(Error::Condition(Failed::NoFolder | Failed::EpochOver)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl MissedMessage {
    /// A message for which Postroom has no place now.
    #[must_use]
    pub fn held(key: SourceKey, reason: String) -> Self {
        Self { is_held: true, ..Self::pending(key, reason) }
    }

    /// A message that is retried later.
    #[must_use]
    pub fn pending(key: SourceKey, reason: String) -> Self {
        Self { key, reason, ..Self::default() }
    }

    fn receipt(&self) -> Receipt {
        Receipt {
            key: self.key,
            hash: self.hash.unwrap_or_default(),
            witness: Witness {
                size_bytes: self.witness.size_bytes.or(self.size_bytes),
                ..self.witness
            },
            reason: Some(ErrorCode::TooBig.to_string()),
            action: None,
        }
    }
}

fn pending_receipt(
    epoch: MailboxEpoch,
    miss: &MissedMessage,
    attempts: u32,
    next_ms: i64,
) -> Statement {
    let sql = "INSERT INTO \"receipt\" (\"folder\", \"epoch\", \"key\", \"reason\",
           \"attempts\", \"next_attempt\", \"hash\") VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (\"folder\", \"epoch\", \"key\") DO UPDATE SET
           \"reason\" = excluded.\"reason\", \"attempts\" = excluded.\"attempts\",
           \"next_attempt\" = excluded.\"next_attempt\", \"hash\" = excluded.\"hash\"
         WHERE \"receipt\".\"message\" IS NULL";
    Statement::new(sql)
        .bind(epoch.folder)
        .bind(epoch.number)
        .bind(miss.key.number())
        .bind(miss.reason.as_str())
        .bind(attempts)
        .bind(next_ms)
        .bind(miss.hash.map(|hash| hash.to_vec()))
}
