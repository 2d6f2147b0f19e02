//! Deliveries: the queue of outgoing messages.
//!
//! ```text
//!   (message becomes `sending`) ─ prepare ─► due ─ claim ─► claimed ─ dot_sent ─► dot-sent
//!                           a client's change ▼▲               │                    │
//!                                           void               │                    │
//!                                             ▲─ settle: later, release ◄───────────┤
//!                              settle: sent, error ─► (the row goes)  ◄─────────────┘
//! ```
//! `messageState` is what clients see. The row of this table is how far the engine has got. Every
//! step changes the message only while its state is still `sending`, so that a state that somebody
//! else set stays. A claimed message is not composed again. A due message is composed again after a
//! client's change, and its attempt count is kept. The table `delivered` lists the recipients that
//! have the message, whatever clients write.

use crate::chunk::BlobId;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delivered;
use crate::error::Error;
use crate::failed::Failed;
use crate::outcome;
use crate::queue;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::state;
use postroom_model::state::Step;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// A delivery that was claimed for one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The tenant.
    pub domain: Domain,
    /// The message.
    pub message: MessageEntityId,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Attempts so far, the present one included.
    pub attempts: u32,
    /// How long it has waited between attempts, in milliseconds. The planned waits count, so that a
    /// clock jump adds nothing.
    pub waited_ms: i64,
    /// The reverse path of its envelope.
    pub reverse_path: String,
    /// Whether it needs SMTPUTF8.
    pub smtp_utf8: bool,
    /// Its bytes.
    pub blob: BlobId,
    /// How many.
    pub size_bytes: u64,
    /// Its recipients, as the message's property has them.
    pub recipients: Vec<Json>,
}

/// When a delivery counts as due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueAt {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// The latest time to which an attempt can be postponed from now on.
    pub latest_ms: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// The server accepted it for every recipient.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// It is tried again.
    Later {
        /// When, in milliseconds since 1970.
        next_attempt_ms: i64,
        /// Why not now, in words.
        reason: String,
        /// How long it waits until then, in milliseconds.
        waits_ms: i64,
        /// Whether the attempt counts.
        counts: bool,
    },
    /// It ends without success.
    Error {
        /// Why, as a stable word.
        code: String,
        /// Why, in words.
        reason: String,
    },
}

impl Store {
    /// Claims due deliveries of an account, in the order of `dateTime`, each for one attempt. A
    /// delivery that waits until after `latest_ms` is due too, because the clock was set back,
    /// unless the client set this time.
    ///
    /// # Errors
    ///
    /// When the store fails; then none is taken.
    pub async fn delivery_claim(
        &self,
        account: AccountId,
        due: DueAt,
        limit: u32,
    ) -> Result<Vec<Claimed>, Error> {
        let condition = "d.\"account\" = $1 AND d.\"phase\" = 'due'
            AND (d.\"due\" <= $2 OR (d.\"due\" > $3 AND NOT d.\"planned\"))
            AND m.\"messageState\" = 'sending'";
        let epoch = self.epoch()?;
        let DueAt { now_ms, latest_ms } = due;
        let values = vec![account.into(), now_ms.into(), latest_ms.into(), limit.into()];
        let due = self.deliveries(condition, values, "LIMIT $4").await?;
        let claim = |claimed: &Claimed| {
            let sql = "UPDATE \"delivery\" SET \"phase\" = 'claimed', \"attempts\" = $3,
                  \"planned\" = FALSE, \"epoch\" = $4
                WHERE \"message\" = $1 AND \"phase\" = 'due' AND \"blob\" = $2";
            let claim = Statement::new(sql).bind(claimed.message).bind(claimed.blob.0);
            claim.bind(claimed.attempts + 1).bind(epoch)
        };
        if due.is_empty() {
            return Ok(due);
        }
        let taken = self.write(due.iter().map(claim).collect()).await?;
        // What was changed in between is not due any more.
        let taken = due.into_iter().zip(taken).filter(|(_, outcome)| outcome.changed > 0);
        let attempt = |claimed: Claimed| Claimed { attempts: claimed.attempts + 1, ..claimed };
        Ok(taken.map(|(claimed, _)| attempt(claimed)).collect())
    }

    /// Deliveries whose final dot went out before an earlier process ended.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_outcome_unknown(
        &self,
        account: AccountId,
    ) -> Result<Vec<Claimed>, Error> {
        let condition = "d.\"account\" = $1 AND d.\"phase\" = 'in-doubt'";
        self.deliveries(condition, vec![account.into()], "").await
    }

    /// Deliveries that fulfil a condition, in the order of `dateTime`.
    pub(crate) async fn deliveries(
        &self,
        condition: &'static str,
        values: Vec<Value>,
        limit: &'static str,
    ) -> Result<Vec<Claimed>, Error> {
        let sql = format!(
            "SELECT d.\"message\", d.\"attempts\", d.\"waited\", d.\"reverse_path\",
               d.\"smtp_utf8\", d.\"blob\", d.\"size\", m.\"recipients\", d.\"domain\",
               m.\"messageId\"
             FROM \"delivery\" d JOIN \"email/Messages\" m ON m.\"id\" = d.\"message\"
             WHERE {condition} ORDER BY d.\"order\", d.\"message\" {limit}"
        );
        let mut found = vec![];
        for row in self.read(Statement::new(sql).bind_all(values)).await? {
            let mut claimed = from_row(&row).ok_or(Error::Damaged { what: "a delivery" })?;
            let delivered = self.delivery_delivered(claimed.message).await?;
            for recipient in &mut claimed.recipients {
                delivered::mark(recipient, &delivered);
            }
            found.push(claimed);
        }
        Ok(found)
    }

    /// Records durably that the final dot is sent now. `false`: the message may no longer be sent.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_dot_sent(&self, message: MessageEntityId) -> Result<bool, Error> {
        let sql = "UPDATE \"delivery\" SET \"phase\" = 'dot-sent'
            WHERE \"message\" = $1 AND \"phase\" = 'claimed' AND EXISTS (
              SELECT 1 FROM \"email/Messages\" WHERE \"id\" = $1 AND \"messageState\" = 'sending')";
        let dot_sent = Statement::new(sql).bind(message).must_change(Failed::NotSending);
        match self.write(vec![dot_sent]).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::NotSending)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a claimed delivery back: no attempt was made.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_release(&self, message: MessageEntityId) -> Result<(), Error> {
        let sql = "UPDATE \"delivery\" SET \"phase\" = 'due', \"attempts\" = \"attempts\" - 1
            WHERE \"message\" = $1 AND \"phase\" = 'claimed'";
        self.write_at_need(vec![Statement::new(sql).bind(message)]).await.map(drop)
    }

    /// Records the result of an attempt and of each recipient, in the queue and the message. Gives
    /// what was recorded, because a message with an unknown outcome ends as `uncertain`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_settle(
        &self,
        claimed: &Claimed,
        settlement: &Settlement,
    ) -> Result<Settlement, Error> {
        let mut recipients = claimed.recipients.clone();
        let settlement = self.at_last(claimed.message, settlement, &mut recipients).await?;
        let settlement = told(settlement, &recipients);
        let mut changes = changes(&settlement)?;
        let counts = !matches!(settlement, Settlement::Later { counts: false, .. });
        let attempts = claimed.attempts - u32::from(!counts && claimed.attempts > 0);
        changes.insert("attempts".to_owned(), json!(attempts));
        changes.insert("recipients".to_owned(), json!(recipients));
        let gone = "DELETE FROM \"delivery\" WHERE \"message\" = $1";
        let gone = Statement::new(gone).bind(claimed.message);
        let mut queue = match &settlement {
            Settlement::Sent { .. } => vec![queue::forget_delivered(claimed.message), gone],
            Settlement::Error { .. } => vec![gone],
            Settlement::Later { next_attempt_ms, waits_ms, .. } => {
                let sql = "UPDATE \"delivery\" SET \"phase\" = 'due', \"due\" = $2,
                      \"waited\" = \"waited\" + $3, \"attempts\" = $4
                    WHERE \"message\" = $1";
                let later = Statement::new(sql).bind(claimed.message).bind(*next_attempt_ms);
                vec![later.bind(*waits_ms).bind(attempts)]
            }
        };
        if !matches!(settlement, Settlement::Sent { .. }) {
            queue.extend(self.newly_delivered(claimed.message, &claimed.recipients).await?);
        }
        self.settle(&claimed.domain, claimed.message, &changes, queue).await?;
        Ok(settlement)
    }

    /// Decides how a message ends. A message that may have reached a recipient never ends as
    /// refused or given up. Each recipient that does not have it gets a reason.
    pub(crate) async fn at_last(
        &self,
        message: MessageEntityId,
        settlement: &Settlement,
        recipients: &mut [Json],
    ) -> Result<Settlement, Error> {
        let Settlement::Error { code, reason } = settlement else {
            return Ok(settlement.clone());
        };
        let delivered = self.delivery_delivered(message).await?;
        let mut unknown = 0;
        for recipient in recipients {
            let may_have =
                delivered::address_of(recipient).is_some_and(|at| delivered.may_have(at));
            let state = recipient["state"].as_str().unwrap_or("waiting").to_owned();
            if (may_have && state != "sent") || state == "uncertain" {
                unknown += 1;
                put(recipient, "uncertain", reason);
            } else if matches!(state.as_str(), "waiting" | "deferred") {
                let ends = if code == "refused" { "refused" } else { "failed" };
                let not_tried = "not tried: the answer for other recipients is not known";
                put(recipient, ends, if code == "uncertain" { not_tried } else { reason });
            }
        }
        if unknown == 0 || code == "uncertain" {
            return Ok(settlement.clone());
        }
        let reason = format!(
            "an earlier attempt ended without an answer, so the server may have the message; \
             since then: {reason}"
        );
        Ok(Settlement::Error { code: "uncertain".to_owned(), reason })
    }

    /// Changes the message while it is `sending`, and the queue in the same transaction.
    pub(crate) async fn settle(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        changes: &Map<String, Json>,
        queue: Vec<Statement>,
    ) -> Result<(), Error> {
        let class = self.builtin(MESSAGES)?;
        loop {
            let current = self.entity_get(domain, &class, message.into()).await?;
            let current = current.filter(|now| now.text("messageState") == Some("sending"));
            let mut batch = match &current {
                Some(current) => {
                    self.records(domain, &class).change(current, changes, Map::new()).into()
                }
                None => vec![],
            };
            batch.extend(queue.iter().cloned());
            match self.write_at_need(batch).await {
                Ok(_) => return Ok(()),
                // Somebody changed the message in between: look again.
                Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The settlement with a reason that says who has the message.
pub fn told(settlement: Settlement, recipients: &[Json]) -> Settlement {
    match settlement {
        Settlement::Sent { at } => Settlement::Sent { at },
        Settlement::Later { next_attempt_ms, reason, waits_ms, counts } => {
            let reason = outcome::with_addresses(reason, recipients, "not yet to");
            Settlement::Later { next_attempt_ms, reason, waits_ms, counts }
        }
        Settlement::Error { code, reason } => {
            let reason = outcome::with_addresses(reason, recipients, "not to");
            Settlement::Error { code, reason }
        }
    }
}

/// Gives a recipient a state, and a reply when it has none yet.
fn put(recipient: &mut Json, state: &str, reply: &str) {
    if let Some(row) = recipient.as_object_mut() {
        row.insert("state".to_owned(), json!(state));
        if row.get("reply").is_none_or(Json::is_null) {
            row.insert("reply".to_owned(), json!(reply));
        }
    }
}

/// The state of a message in state `sending` after a step.
fn after(step: Step) -> Result<&'static str, Error> {
    Ok(state::after(Some(MessageState::Sending), step)?.as_str())
}

/// What a settlement changes in the properties of its message.
///
/// # Errors
///
/// When a message in state `sending` cannot take that step.
pub fn changes(settlement: &Settlement) -> Result<Map<String, Json>, Error> {
    let moment = |ms: i64| Timestamp::from_ms(ms).to_string();
    let changes = match settlement {
        Settlement::Sent { at } => json!({
            "messageState": after(Step::Accept)?, "sentAt": at.to_string(), "nextAttemptAt": null,
            "errorText": null, "errorCode": null,
        }),
        Settlement::Later { next_attempt_ms, reason, .. } => json!({
            "nextAttemptAt": moment(*next_attempt_ms), "errorText": reason,
            "errorCode": "postponed",
        }),
        Settlement::Error { code, reason } => json!({
            "messageState": after(Step::Refuse)?, "errorCode": code, "errorText": reason,
            "nextAttemptAt": null,
        }),
    };
    Ok(changes.as_object().cloned().unwrap_or_default())
}

fn from_row(row: &Row) -> Option<Claimed> {
    let recipients = row.text(7).and_then(|text| serde_json::from_str(text).ok());
    Some(Claimed {
        domain: Domain::new(row.text(8)?).ok()?,
        message: MessageEntityId::of(row.id(0)?),
        message_id: row.text(9).map(str::to_owned),
        attempts: u32::try_from(row.whole(1)?).ok()?,
        waited_ms: row.whole(2)?,
        reverse_path: row.text(3)?.to_owned(),
        smtp_utf8: row.whole(4)? != 0,
        blob: BlobId(row.whole(5)?),
        size_bytes: u64::try_from(row.whole(6)?).ok()?,
        recipients: recipients.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_a_queued_message_cannot_take_is_an_error_and_no_null() {
        assert_eq!(after(Step::Accept).unwrap(), "sent");
        assert_eq!(after(Step::Refuse).unwrap(), "error");
        // Withdrawn, it would have no state at all.
        for step in [Step::Withdraw, Step::Decompose, Step::Keep, Step::Miss] {
            assert!(matches!(after(step), Err(Error::IllegalStep(_))), "{step:?}");
        }
    }
}
