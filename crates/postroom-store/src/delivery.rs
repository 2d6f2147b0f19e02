//! Deliveries: the queue of outgoing messages.
//!
//! Clients see `messageState`. A row of the table `delivery` says how far the engine has got: its
//! [`DeliveryPhase`]. [`DeliveryStep`] has the table of the steps between phases. A step changes
//! the message only while its state is still `sending`, so a state that somebody else set stays.
//! A claimed message is composed again only if the server cannot take its bytes. A due message is
//! composed again after a client's change, and its attempt count is kept. The table `delivered`
//! lists the recipients that have the message, whatever clients write.

use crate::chunk::BlobId;
use crate::columns::END;
use crate::columns::END_MARK;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delivered;
use crate::error::Error;
use crate::failed::Failed;
use crate::phase::DeliveryPhase;
use crate::phase::DeliveryStep;
use crate::queue;
use crate::record::ATTEMPTS;
use crate::sending;
use crate::store::Store;
use crate::verdict::Verdict;
use crate::verdict::changes;
use crate::verdict::told;
use crate::verdict::whole_ms;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::ErrorCode;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::RecipientState;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
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
    /// How long it has waited between attempts, in milliseconds. This is the sum of the planned
    /// waits, so a jump of the clock adds nothing.
    pub waited_ms: i64,
    /// The reverse path of its envelope.
    pub reverse_path: String,
    /// Whether it needs SMTPUTF8.
    pub smtp_utf8: bool,
    /// The blob with its composed bytes.
    pub blob: BlobId,
    /// How many bytes these are.
    pub size_bytes: u64,
    /// Its recipients, as the property `recipients` has them.
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

impl Store {
    /// Claims due deliveries of an account, in the order of `dateTime`, each for one attempt.
    /// Nothing is due while the account may not send. A delivery that waits until after `latest_ms`
    /// is due too, unless the client set that time: no wait is so long, so the clock was set back.
    ///
    /// # Errors
    ///
    /// When the store fails. Then none is taken.
    pub async fn delivery_claim(
        &self,
        account: AccountId,
        due: DueAt,
        limit: u32,
    ) -> Result<Vec<Claimed>, Error> {
        let condition = format!(
            "d.\"account\" = $1 AND {}
             AND (d.\"due\" <= $2 OR (d.\"due\" > $3 AND NOT d.\"planned\")) AND {} AND {}",
            DeliveryPhase::Due.is_of("d."),
            sending::is_sending("m."),
            sending::may_leave("d")
        );
        let its = format!(
            "\"message\" = $1 AND \"blob\" = $2 AND {}",
            sending::may_leave("\"delivery\"")
        );
        let epoch = self.epoch()?;
        let DueAt { now_ms, latest_ms } = due;
        let values = vec![account.into(), now_ms.into(), latest_ms.into()];
        let due = self.deliveries(&condition, values, Some(limit)).await?;
        let claim = |claimed: &Claimed| {
            let set = ", \"attempts\" = $3, \"planned\" = FALSE, \"epoch\" = $4";
            let claim = DeliveryStep::Claim.taken_with(set, &its);
            let claim = claim.bind(claimed.message).bind(claimed.blob.0);
            claim.bind(claimed.attempts + 1).bind(epoch)
        };
        if due.is_empty() {
            return Ok(due);
        }
        let taken = self.write(due.iter().map(claim).collect()).await?;
        // A delivery that changed in between is not due any more.
        let taken = due.into_iter().zip(taken).filter(|(_, outcome)| outcome.changed > 0);
        let attempt = |claimed: Claimed| Claimed { attempts: claimed.attempts + 1, ..claimed };
        Ok(taken.map(|(claimed, _)| attempt(claimed)).collect())
    }

    /// The deliveries of an account whose final dot was sent by a sender that ended before it
    /// recorded the answer.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_outcome_unknown(
        &self,
        account: AccountId,
    ) -> Result<Vec<Claimed>, Error> {
        let condition = format!("d.\"account\" = $1 AND {}", DeliveryPhase::InDoubt.is_of("d."));
        self.deliveries(&condition, vec![account.into()], None).await
    }

    /// The deliveries of which a condition holds, in the order of `dateTime`, at most `limit`.
    /// `None`: all. If the row of a message is damaged, its delivery is left out, because its
    /// result could not be recorded.
    pub(crate) async fn deliveries(
        &self,
        condition: &str,
        values: Vec<Value>,
        limit: Option<u32>,
    ) -> Result<Vec<Claimed>, Error> {
        // Only as many are read as are asked for, however many wait.
        let in_order = self.inner.database.dialect().by_index(queue::IN_ORDER);
        let ends = limit.map(|_| format!("LIMIT ${}", values.len() + 1)).unwrap_or_default();
        let sql = format!(
            "SELECT d.\"message\", d.\"attempts\", d.\"waited\", d.\"reverse_path\",
               d.\"smtp_utf8\", d.\"blob\", d.\"size\", m.\"recipients\", d.\"domain\",
               m.\"messageId\", m.{}
             FROM \"delivery\" AS d {in_order}
             JOIN \"email/Messages\" m ON m.\"id\" = d.\"message\"
             WHERE {condition} ORDER BY d.\"order\", d.\"message\" {ends}",
            quoted(END)
        );
        let mut limit_of_rows = limit;
        let mut found = loop {
            let query = Statement::new(sql.clone()).bind_all(values.clone());
            let rows = self.read(query.bind_all(limit_of_rows.map(Value::from))).await?;
            let found: Vec<_> = rows.iter().filter_map(|row| self.claimed_of(row)).collect();
            let damaged = u32::try_from(rows.len() - found.len()).unwrap_or(u32::MAX);
            let most = limit.map(|limit| limit.saturating_add(damaged));
            if most == limit_of_rows || limit_of_rows.is_some_and(|it| rows.len() < it as usize) {
                break found;
            }
            limit_of_rows = most;
        };
        for claimed in &mut found {
            let delivered = self.delivery_delivered(claimed.message).await?;
            for recipient in &mut claimed.recipients {
                delivered::mark(recipient, &delivered);
            }
        }
        Ok(found)
    }

    /// The delivery of a row. `None`: it or its message is damaged. The log names it.
    fn claimed_of(&self, row: &Row) -> Option<Claimed> {
        let claimed = from_row(row).filter(|_| row.whole(10) == Some(END_MARK));
        if claimed.is_none() {
            self.inner.database.found_damaged(&Error::Damaged { what: "a delivery" });
            self.inner.damaged_rows.name(MESSAGES, row.id(0));
        }
        claimed
    }

    /// Makes a claimed delivery due again. The attempt does not count, because it was not made.
    ///
    /// # Errors
    ///
    /// When the delivery is not claimed, or the store fails.
    pub async fn delivery_release(&self, message: MessageEntityId) -> Result<(), Error> {
        let set = ", \"attempts\" = \"attempts\" - 1";
        let released = DeliveryStep::Release.taken_with(set, "\"message\" = $1").bind(message);
        let released = released.must_change(Failed::NotQueued);
        self.write_at_need(vec![released]).await.map(drop)
    }

    /// Records the result of an attempt, and that of each recipient, in the queue and the message.
    /// `at` is when the attempt ended. Returns the recorded verdict, which differs from `verdict`
    /// if a recipient may have the message: it then ends as `uncertain`. `None`: nothing was
    /// recorded, because a client changed or withdrew the message before an attempt, or because the
    /// result is recorded already.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_settle(
        &self,
        claimed: &Claimed,
        verdict: &Verdict,
        at: Timestamp,
    ) -> Result<Option<Verdict>, Error> {
        let mut recipients = claimed.recipients.clone();
        let verdict = self.at_last(claimed.message, verdict, &mut recipients).await?;
        let verdict = told(verdict, &recipients);
        let mut changes = changes(&verdict, at)?;
        let counts = !matches!(verdict, Verdict::Later { counts: false, .. });
        let attempts = claimed.attempts - u32::from(!counts && claimed.attempts > 0);
        changes.insert(names::ATTEMPTS.to_owned(), json!(attempts));
        changes.insert(names::RECIPIENTS.to_owned(), json!(recipients));
        let its = "\"message\" = $1";
        let end = DeliveryStep::End.taken(its).bind(claimed.message);
        let mut queue = match &verdict {
            // The server has the message, whatever the queue says.
            Verdict::Sent => vec![queue::forget_delivered(claimed.message), end],
            Verdict::Error { .. } => vec![end.must_change(Failed::NotQueued)],
            Verdict::Later { after, .. } => {
                let set = ", \"due\" = $2, \"waited\" = \"waited\" + $3, \"attempts\" = $4";
                let next_ms = verdict.next_attempt(at).map(Timestamp::as_ms);
                let later = DeliveryStep::Postpone.taken_with(set, its).bind(claimed.message);
                let later = later.bind(next_ms).bind(whole_ms(*after)).bind(attempts);
                vec![later.must_change(Failed::NotQueued)]
            }
        };
        if verdict != Verdict::Sent {
            queue.extend(self.newly_delivered(claimed.message, &claimed.recipients).await?);
        }
        match self.settle(&claimed.domain, claimed.message, &changes, queue).await {
            Ok(()) => Ok(Some(verdict)),
            Err(Error::Condition(Failed::NotQueued)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Decides how a message ends. A message that may have reached a recipient never ends as
    /// refused or given up. Each recipient that does not have it gets a reason.
    pub(crate) async fn at_last(
        &self,
        message: MessageEntityId,
        verdict: &Verdict,
        recipients: &mut [Json],
    ) -> Result<Verdict, Error> {
        let Verdict::Error { code, reason } = verdict else {
            return Ok(verdict.clone());
        };
        let delivered = self.delivery_delivered(message).await?;
        let mut unknown = 0;
        for recipient in recipients {
            let may_have =
                delivered::address_of(recipient).is_some_and(|at| delivered.may_have(at));
            match RecipientState::of(recipient).unwrap_or(RecipientState::Waiting) {
                RecipientState::Sent => {}
                state if may_have || state == RecipientState::Uncertain => {
                    unknown += 1;
                    put(recipient, RecipientState::Uncertain, reason);
                }
                RecipientState::Waiting | RecipientState::Deferred => {
                    let not_tried = "not tried: the answer for other recipients is not known";
                    let is_uncertain = *code == ErrorCode::Uncertain;
                    let reply = if is_uncertain { not_tried } else { reason };
                    put(recipient, RecipientState::Failed, reply);
                }
                RecipientState::Refused | RecipientState::Uncertain | RecipientState::Failed => {}
            }
        }
        if unknown == 0 || *code == ErrorCode::Uncertain {
            return Ok(verdict.clone());
        }
        let reason = format!(
            "an earlier attempt ended without an answer, so the server may have the message; \
             since then: {reason}"
        );
        Ok(Verdict::Error { code: ErrorCode::Uncertain, reason })
    }

    /// Changes the queue and, in the same transaction, the message if it is still `sending`.
    pub(crate) async fn settle(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        changes: &Map<String, Json>,
        queue: Vec<Statement>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let class = self.builtin_of(domain, MESSAGES)?;
            let current = self.entity_get(domain, &class, message.into()).await?;
            let current = current.filter(|now| MessageState::Sending.is_of(now));
            let mut batch = match &current {
                Some(current) => {
                    self.records(domain, &class).change(current, changes, Map::new())?
                }
                None => vec![],
            };
            batch.extend(queue.iter().cloned());
            match self.write_at_need(batch).await {
                Ok(_) => return Ok(()),
                // Somebody changed the message or the classes in between: look again.
                Err(Error::Condition(Failed::Stale | Failed::OtherClasses)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }
}

/// Gives a recipient a state, and a reply if it has none.
fn put(recipient: &mut Json, state: RecipientState, reply: &str) {
    state.put(recipient);
    if let Some(row) = recipient.as_object_mut()
        && row.get("reply").is_none_or(Json::is_null)
    {
        row.insert("reply".to_owned(), json!(reply));
    }
}

fn from_row(row: &Row) -> Option<Claimed> {
    let recipients = row.text(7).map(|text| serde_json::from_str(text).ok());
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
        recipients: recipients.unwrap_or(Some(vec![]))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectsAccess;
    use crate::database::Answer;
    use crate::database::Database;
    use crate::database::Outcome;
    use crate::database::Room;
    use crate::database_front::DatabaseFront;
    use crate::fixture::StoreBehind;
    use crate::fixture::open_behind;
    use postroom_testkit::on_both;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    /// A database where somebody else changes everything first, once that is wished.
    #[derive(Debug)]
    struct Crowded {
        database: Arc<dyn Database>,
        /// How many batches failed. 0: none is to fail.
        failed: Arc<AtomicUsize>,
    }

    impl DatabaseFront for Crowded {
        fn behind(&self) -> &dyn Database {
            self.database.as_ref()
        }

        fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
            if self.failed.load(Ordering::Relaxed) == 0 {
                return self.database.write(batch, room);
            }
            self.failed.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err(Error::Condition(Failed::Stale)) })
        }
    }

    #[on_both]
    async fn a_result_that_others_keep_from_being_recorded_is_given_back_after_some_attempts() {
        let failed = Arc::new(AtomicUsize::new(0));
        let front = |database| -> (Arc<dyn Database>, ()) {
            (Arc::new(Crowded { database, failed: Arc::clone(&failed) }), ())
        };
        let StoreBehind { directory: _directory, store, .. } =
            open_behind(front, ObjectsAccess::None).await;
        failed.store(1, Ordering::Relaxed);
        let message = MessageEntityId::of(store.clock().new_id());
        let (domain, nothing) = (Domain::default_domain(), Map::new());
        let settled = store.settle(&domain, message, &nothing, vec![]);
        let settled = tokio::time::timeout(std::time::Duration::from_secs(60), settled).await;
        let error = settled.expect("it ends").unwrap_err();
        assert!(matches!(error, Error::Condition(Failed::Crowded)), "{error}");
        assert_eq!(failed.load(Ordering::Relaxed), 1 + ATTEMPTS);
    }
}
