//! Waiting deliveries, which no sender is sending now.
//!
//! Their sender has ended or has no connection, or their account has no sender. None of them stays
//! claimed, and each message says why it waits.

use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delivery::Claimed;
use crate::error::Error;
use crate::phase::DeliveryPhase;
use crate::phase::DeliveryStep;
use crate::queue;
use crate::sending;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// How many messages get the reason why they wait in one batch.
const AT_ONCE: u32 = 100;
/// Before every time that PostgreSQL takes, in milliseconds since 1970.
const BEGIN_MS: i64 = -62_167_219_200_001;

/// A message in state `sending` whose account has no sender, or had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphaned {
    /// The tenant.
    pub domain: Domain,
    /// The message.
    pub message: MessageEntityId,
    /// Its Message-ID, once it has been composed.
    pub message_id: Option<String>,
    /// The address of its account, when that is there.
    pub address: Option<String>,
    /// Why.
    pub why: Why,
}

/// What due messages wait for.
#[derive(Debug, Clone, Copy)]
pub struct Wait<'a> {
    /// The messages that are due at this time wait. In milliseconds since 1970.
    pub now_ms: i64,
    /// Until when they wait. `None`: it is not known.
    pub until: Option<Timestamp>,
    /// Why they wait, in words for people.
    pub reason: &'a str,
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its account is gone.
    NoAccount,
    /// Its account has no server that sends.
    NoServer,
    /// Its account is disabled.
    Disabled,
    /// It waited for its account, which is enabled now.
    Enabled,
}

impl Store {
    /// When the next delivery of an account is due, in milliseconds since 1970. `None`: there is
    /// none. A delivery that waits until after `latest_ms` counts as due at 0, as for
    /// [`Store::delivery_claim`].
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_next_due(
        &self,
        account: AccountId,
        latest_ms: i64,
    ) -> Result<Option<i64>, Error> {
        let of = format!("\"account\" = $1 AND {}", DeliveryPhase::Due.is_of(""));
        let sql = format!(
            "SELECT MIN(\"due\") FROM (
               SELECT MIN(\"due\") AS \"due\" FROM \"delivery\" WHERE {of}
               UNION ALL SELECT $3 AS \"due\" WHERE EXISTS (SELECT 1 FROM \"delivery\"
                 WHERE {of} AND \"due\" > $2 AND NOT \"planned\")) AS \"all\""
        );
        let next = Statement::new(sql).bind(account).bind(latest_ms).bind(0);
        let rows = self.read(next).await?;
        Ok(rows.first().and_then(|row| row.whole(0)))
    }

    /// Says in a message why it still waits for the answer to its present attempt.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_explain(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        reason: &str,
    ) -> Result<(), Error> {
        let mut changes = Map::new();
        changes.insert(names::ERROR_TEXT.to_owned(), json!(reason));
        self.settle(domain, message, &changes, vec![]).await
    }

    /// Recovers the deliveries that an earlier sender of an account has left. Claimed deliveries
    /// become due again. The outcome of deliveries whose final dot was sent becomes unknown. No
    /// other sender of the account may be running. `None`: of all accounts, but only deliveries
    /// that were claimed before this process became the leader.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_recover(&self, account: Option<AccountId>) -> Result<(), Error> {
        let latest = self.epoch()? - i64::from(account.is_none());
        let of = if account.is_some() { " AND \"account\" = $2" } else { "" };
        let whose = format!("COALESCE(\"epoch\", 0) <= $1{of}");
        let steps = [DeliveryStep::Requeue, DeliveryStep::LoseAnswer];
        let batch =
            steps.map(|step| step.taken(&whose).bind(latest).bind_all(account.map(Value::from)));
        self.write_at_need(batch.into()).await.map(drop)
    }

    /// The accounts with deliveries of unknown outcome. Deleted accounts are included.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_outcome_unknown_accounts(&self) -> Result<Vec<AccountId>, Error> {
        let unknown = DeliveryPhase::InDoubt.is_of("");
        let sql = format!("SELECT DISTINCT \"account\" FROM \"delivery\" WHERE {unknown}");
        Ok(self
            .read(Statement::new(sql))
            .await?
            .iter()
            .filter_map(|row| row.id(0).map(AccountId::of))
            .collect())
    }

    /// Makes tried deliveries of an account due now, because its server has changed.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_hasten(&self, account: AccountId, now_ms: i64) -> Result<(), Error> {
        let sql = format!(
            "UPDATE \"delivery\" SET \"due\" = $2
             WHERE \"account\" = $1 AND {} AND NOT \"planned\" AND \"due\" > $2",
            DeliveryPhase::Due.is_of("")
        );
        self.write(vec![Statement::new(sql).bind(account).bind(now_ms)]).await.map(drop)
    }

    /// Adds a wait to the waited time of the deliveries of an account that are due at `now_ms`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_waited(
        &self,
        account: AccountId,
        now_ms: i64,
        waits_ms: i64,
    ) -> Result<(), Error> {
        let sql = format!(
            "UPDATE \"delivery\" SET \"waited\" = \"waited\" + $3
             WHERE \"account\" = $1 AND {} AND \"due\" <= $2",
            DeliveryPhase::Due.is_of("")
        );
        let waited = Statement::new(sql).bind(account).bind(now_ms).bind(waits_ms);
        self.write(vec![waited]).await.map(drop)
    }

    /// Deliveries of an account that are due at `now_ms` and have waited for `waited_ms` or longer.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_overdue(
        &self,
        account: AccountId,
        now_ms: i64,
        waited_ms: i64,
    ) -> Result<Vec<Claimed>, Error> {
        let condition = format!(
            "d.\"account\" = $1 AND {} AND d.\"due\" <= $2 AND d.\"waited\" >= $3",
            DeliveryPhase::Due.is_of("d.")
        );
        let values = vec![account.into(), now_ms.into(), waited_ms.into()];
        self.deliveries(&condition, values, Some(AT_ONCE)).await
    }

    /// Writes into the due messages of an account why they wait, and until when. Messages that
    /// already say so are not changed. `told` is called for each changed message, with its
    /// Message-ID.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_wait(
        &self,
        account: AccountId,
        wait: Wait<'_>,
        told: impl Fn(MessageEntityId, Option<&str>),
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT d.\"domain\", d.\"message\", m.\"messageId\", d.\"order\"
             FROM \"delivery\" AS d {} JOIN \"email/Messages\" m ON m.\"id\" = d.\"message\"
             WHERE d.\"account\" = $1 AND {} AND d.\"due\" <= $2
               AND {} AND COALESCE(m.\"errorText\", '') <> $3
               AND (d.\"order\", d.\"message\") > ($4, $5)
             ORDER BY d.\"order\", d.\"message\" LIMIT $6",
            self.inner.database.dialect().by_index(queue::IN_ORDER),
            DeliveryPhase::Due.is_of("d."),
            sending::is_sending("m.")
        );
        let Wait { now_ms, until, reason } = wait;
        let waits = text(reason, ErrorCode::Postponed, until);
        let mut behind = [Value::Moment(BEGIN_MS), Value::Id(EntityId::nil())];
        loop {
            let due = Statement::new(sql.clone()).bind(account).bind(now_ms).bind(reason);
            let rows = self.read(due.bind_all(behind.clone()).bind(AT_ONCE)).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            behind = [last.value(3).clone(), last.value(1).clone()];
            for row in rows {
                let (domain, message) = place(&row)?;
                match self.settle(&domain, message, &waits, vec![]).await {
                    Ok(()) => told(message, row.text(2)),
                    // Its row is damaged, and stays as it is. The others wait too.
                    Err(Error::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Messages in state `sending` whose account has no sender, and messages that say so although
    /// their account has one again. It gives a page, and as many more as the caller has `left` as
    /// they are.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_orphaned(&self, left: usize) -> Result<Vec<Orphaned>, Error> {
        let sending = self.inner.database.dialect().by_index(sending::INDEX);
        let is_sending = sending::is_in_index("m.");
        let is_free = DeliveryStep::Leave.is_possible("d.");
        let sql = format!(
            "SELECT * FROM (
              SELECT m.\"domain\", m.\"id\", a.\"id\" IS NULL AS \"gone\",
                p.\"id\" IS NULL OR TRIM(COALESCE(p.\"smtpHost\", '')) = '' AS \"mute\",
                COALESCE(a.\"enabled\", $1) AS \"enabled\",
                COALESCE(m.\"errorCode\", '') = $2 AS \"told\",
                m.\"messageId\", a.\"address\"
              FROM \"email/Messages\" AS m {sending}
              LEFT JOIN \"email/Accounts\" a ON a.\"id\" = m.\"account_id\"
              LEFT JOIN \"email/Profiles\" p ON p.\"id\" = a.\"profile_id\"
              WHERE {is_sending}
                AND NOT EXISTS (SELECT 1 FROM \"delivery\" d WHERE d.\"message\" = m.\"id\"
                  AND NOT {is_free})) AS \"waiting\"
            WHERE \"gone\" OR \"mute\" OR \"enabled\" = \"told\" LIMIT $3"
        );
        let limit = AT_ONCE.saturating_add(u32::try_from(left).unwrap_or(u32::MAX));
        let sql =
            Statement::new(sql).bind(false).bind(ErrorCode::AccountDisabled.as_str()).bind(limit);
        let orphaned = |row: &Row| {
            let (domain, message) = place(row)?;
            let is = |column| row.whole(column) == Some(1);
            let why = match (is(2), is(3), is(4)) {
                (true, _, _) => Why::NoAccount,
                (false, true, _) => Why::NoServer,
                (false, false, false) => Why::Disabled,
                (false, false, true) => Why::Enabled,
            };
            let own = |column| row.text(column).map(str::to_owned);
            Ok(Orphaned { domain, message, message_id: own(6), address: own(7), why })
        };
        self.read(sql).await?.iter().map(orphaned).collect()
    }

    /// Writes into a message that it waits for its account to be enabled. `reason` is `None` if it
    /// no longer waits.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_disabled(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let says = match reason {
            Some(reason) => text(reason, ErrorCode::AccountDisabled, None),
            None => text(None, None, None),
        };
        self.settle(domain, message, &says, vec![]).await
    }
}

/// Why a message waits.
fn text<'a>(
    reason: impl Into<Option<&'a str>>,
    code: impl Into<Option<ErrorCode>>,
    until: Option<Timestamp>,
) -> Map<String, Json> {
    let (reason, code) = (reason.into(), code.into());
    let until = until.map(|until| until.to_string());
    let changes = json!({"errorText": reason, "errorCode": code, "nextAttemptAt": until});
    changes.as_object().cloned().unwrap_or_default()
}

fn place(row: &Row) -> Result<(Domain, MessageEntityId), Error> {
    let domain = row.text(0).and_then(|name| Domain::new(name).ok());
    let place = domain.zip(row.id(1).map(MessageEntityId::of));
    place.ok_or(Error::Damaged { what: "a message in the queue" })
}
