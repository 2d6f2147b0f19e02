//! Prepared messages: what enters the queue of outgoing messages.
//!
//! The composed bytes, the row of the queue and the changes of the message are committed together.
//! If a client changed the message meanwhile, it is composed again.

use crate::blob::Content;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::file::FileOwner;
use crate::file::NewFile;
use crate::integrity::account_must_be;
use crate::phase::DeliveryPhase;
use crate::phase::DeliveryStep;
use crate::sending;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::MessageDirection;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use serde_json::Map;
use serde_json::Value as Json;

/// Puts a composed message into the queue, or replaces the bytes that were composed before. If the
/// client set a time in the future, the waited time starts again at zero. `$11` is subtracted from
/// the attempts of an existing row.
const PREPARE: &str =
    "INSERT INTO \"delivery\" AS d (\"message\", \"domain\", \"account\", {phase},
      \"order\", \"due\", \"planned\", \"attempts\", \"reverse_path\", \"smtp_utf8\",
      \"blob\", \"size\") VALUES ($1, $2, $3, {due}, $4, $5, $6, 0, $7, $8, $9, $10)
    ON CONFLICT (\"message\") DO UPDATE SET {phase} = {due},
      \"account\" = excluded.\"account\", \"order\" = excluded.\"order\",
      \"due\" = excluded.\"due\", \"planned\" = excluded.\"planned\",
      \"reverse_path\" = excluded.\"reverse_path\",
      \"smtp_utf8\" = excluded.\"smtp_utf8\", \"blob\" = excluded.\"blob\",
      \"size\" = excluded.\"size\", \"attempts\" = d.\"attempts\" - $11,
      \"waited\" = CASE WHEN excluded.\"planned\" THEN 0 ELSE d.\"waited\" END
    WHERE {possible}";

/// A composed message to be put in the queue.
#[derive(Debug)]
pub struct Prepared {
    /// The account that sends it.
    pub account: AccountId,
    /// Its place in the order, and when it is due, in milliseconds since 1970.
    pub due_ms: i64,
    /// The reverse path of its envelope.
    pub reverse_path: String,
    /// Whether it needs SMTPUTF8.
    pub smtp_utf8: bool,
    /// Its bytes.
    pub content: Content,
    /// What composition adds to the properties of the message.
    pub changes: Map<String, Json>,
    /// Whether it replaces the bytes of a claimed delivery, because the server cannot accept them.
    /// Otherwise there is no delivery yet, or its bytes were discarded.
    pub replaces_claimed: bool,
}

/// What became of a message that was to be put into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrepareEnd {
    /// It is in the queue.
    Queued,
    /// It was changed since it was read, or somebody else has put it into the queue.
    Overtaken,
    /// Its account is gone.
    NoAccount,
}

impl Store {
    /// A message of a domain with this Message-ID. Received messages come before sent ones, and
    /// messages of the account before others. `None`: there is none, or its row is damaged.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn message_of_id(
        &self,
        domain: &Domain,
        account: AccountId,
        message_id: &str,
    ) -> Result<Option<Entity>, Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        // Few messages have the same Message-ID.
        let in_domain = self.inner.database.dialect().unindexed("\"domain\"");
        for direction in [MessageDirection::In, MessageDirection::Out] {
            let sql = format!(
                "{} WHERE {in_domain} = $1 AND \"messageId\" = $2 AND {}
                 ORDER BY \"account_id\" <> $3, \"id\" LIMIT 1",
                Self::select(&class),
                sending::in_direction("", direction)
            );
            let statement = Statement::new(sql).bind(domain.as_str()).bind(message_id);
            let rows = self.read(statement.bind(account)).await?;
            if let Some(row) = rows.first() {
                return self.readable(&class, row);
            }
        }
        Ok(None)
    }

    /// Outgoing messages of an account in state `sending` that are not in the queue, oldest first.
    /// A message whose row is damaged is left out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_unprepared(
        &self,
        domain: &Domain,
        account: AccountId,
        limit: u32,
    ) -> Result<Vec<Entity>, Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let sql = self.unprepared(&class);
        let statement = Statement::new(sql).bind(account).bind(domain.as_str());
        self.first_readable(&class, statement, limit).await
    }

    /// The query for messages to be composed. It reads only messages that are to be sent, however
    /// many others there are.
    fn unprepared(&self, class: &Class) -> String {
        format!(
            "{} {} WHERE \"account_id\" = $1 AND {} AND \"domain\" = $2
             AND NOT EXISTS (
               SELECT 1 FROM \"delivery\" WHERE \"message\" = \"id\" AND NOT {})
             ORDER BY \"dateTime\", \"id\" LIMIT $3",
            Self::select(class),
            self.inner.database.dialect().by_index(sending::INDEX),
            sending::is_in_index(""),
            DeliveryPhase::Void.is_of("")
        )
    }

    /// Puts a composed message into the queue, and makes its bytes the original of the message, in
    /// one transaction.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_prepare(
        &self,
        domain: &Domain,
        message: &Entity,
        prepared: Prepared,
    ) -> Result<PrepareEnd, Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let originals = self.file_list(domain, message.id, files::RAW_MESSAGE).await?;
        let former = file::former_of(files::RAW_MESSAGE, &originals);
        let mut batch = vec![account_must_be(domain, prepared.account)];
        batch.extend(self.records(domain, &class).change(message, &prepared.changes, former)?);
        for original in &originals {
            batch.extend(file::take_away(self, message.id, original));
        }
        let size_bytes = prepared.content.size_bytes;
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let (blob, chunks) = prepared.content.statements(self).await?;
        batch.extend(chunks);
        let original = NewFile::original(size_bytes);
        let owner = FileOwner { domain, entity: message.id, class: None };
        batch.extend(file::insert(self, owner, original, 0, Some(blob)).await?);
        let (step, uncounted) = match prepared.replaces_claimed {
            true => (DeliveryStep::Recompose, 1),
            false => (DeliveryStep::Compose, 0),
        };
        let row = step
            .inserted(PREPARE)
            .bind(message.id)
            .bind(domain.as_str())
            .bind(prepared.account)
            .bind(prepared.due_ms)
            .bind(prepared.due_ms)
            .bind(prepared.due_ms > self.clock().now_ms())
            .bind(prepared.reverse_path)
            .bind(prepared.smtp_utf8)
            .bind(blob.0)
            .bind(size)
            .bind(uncounted);
        batch.push(row.must_change(Failed::Queued));
        match self.write(batch).await {
            Ok(_) => Ok(PrepareEnd::Queued),
            Err(Error::Condition(Failed::Stale | Failed::Queued)) => Ok(PrepareEnd::Overtaken),
            Err(Error::Condition(Failed::NoAccount)) => Ok(PrepareEnd::NoAccount),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use rusqlite::StatementStatus;
    use serde_json::json;

    // SQLite alone: the steps are those of its machine.
    #[tokio::test]
    async fn looking_for_what_is_to_be_sent_costs_nothing_for_all_the_rest() {
        let (directory, store) = store().await;
        let class = store.builtin(MESSAGES).unwrap();
        let (domain, account) = (Domain::default_domain(), AccountId::from_u128(7));
        let row = |number: u32, direction: &str, state: &str| {
            let values = json!({
                "account_id": account.to_string(), "messageDirection": direction,
                "messageState": state, "subject": number.to_string(),
                "dateTime": "2026-01-01T00:00:00.000Z",
            });
            let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
            store
                .records(&domain, &class)
                .create(store.entity_row(&domain, &class, &entity).unwrap())
        };
        let others = (0..3000).map(|n| row(n, "in", "received"));
        let sent = (0..3000).map(|n| row(n, "out", "sent"));
        store
            .write(others.chain(sent).chain([row(0, "out", "sending")]).flatten().collect())
            .await
            .unwrap();
        let file = directory.path().join(crate::DATABASE_FILE);
        let database = rusqlite::Connection::open(file).unwrap();
        let mut query = database.prepare(&store.unprepared(&class)).unwrap();
        query.raw_bind_parameter(1, account.entity().as_bytes().as_slice()).unwrap();
        query.raw_bind_parameter(2, domain.as_str()).unwrap();
        query.raw_bind_parameter(3, 100).unwrap();
        let mut rows = query.raw_query();
        let mut found = 0;
        while rows.next().unwrap().is_some() {
            found += 1;
        }
        drop(rows);
        assert_eq!(found, 1);
        assert_eq!(query.get_status(StatementStatus::FullscanStep), 0);
        assert_eq!(query.get_status(StatementStatus::Sort), 0);
        let steps = query.get_status(StatementStatus::VmStep);
        assert!(steps < 500, "{steps} steps");
    }
}
