//! The recipients that have a message, or may have it, while the whole message is not `sent`.
//!
//! This table decides who does not get the message again, and whose outcome is unknown. The
//! property
//! `recipients` does not decide it, because clients can write it. Recipients are identified by
//! their mailbox, in any spelling of the address.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::phase::DeliveryStep;
use crate::store::Store;
use postroom_model::MessageEntityId;
use postroom_model::RecipientState;
use postroom_model::address;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;

/// How far an earlier attempt got with one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The server's reply, or why the outcome is unknown.
    pub reply: Option<String>,
    /// Whether the outcome is unknown. Otherwise the server has the message.
    pub outcome_unknown: bool,
}

/// The recipients that have a message, or may have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    by_mailbox: HashMap<String, Earlier>,
}

impl Delivered {
    /// The result of earlier attempts for an address. `None`: no server has the message.
    #[must_use]
    pub fn get(&self, address: &str) -> Option<&Earlier> {
        self.by_mailbox.get(&address::mailbox(address))
    }

    /// Whether an address has the message.
    #[must_use]
    pub fn has(&self, address: &str) -> bool {
        self.get(address).is_some_and(|earlier| !earlier.outcome_unknown)
    }

    /// Whether it is unknown if an address has the message.
    #[must_use]
    pub fn may_have(&self, address: &str) -> bool {
        self.get(address).is_some_and(|earlier| earlier.outcome_unknown)
    }
}

impl Store {
    /// The recipients that have a message already, or may have it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_delivered(&self, message: MessageEntityId) -> Result<Delivered, Error> {
        let sql =
            "SELECT \"address\", \"reply\", \"doubt\" FROM \"delivered\" WHERE \"message\" = $1";
        let rows = self.read(Statement::new(sql).bind(message)).await?;
        let earlier = |row: &Row| {
            let outcome_unknown = row.whole(2) != Some(0);
            let reply = row.text(1).map(str::to_owned);
            Some((address::mailbox(row.text(0)?), Earlier { reply, outcome_unknown }))
        };
        Ok(Delivered { by_mailbox: rows.iter().filter_map(earlier).collect() })
    }

    /// Records which recipients have the message after one of several transactions. The attempt
    /// continues.
    ///
    /// # Errors
    ///
    /// When the delivery is in no attempt, or the store fails. If the delivery is in no attempt,
    /// the recipients are recorded nevertheless, because the server has the message.
    pub async fn delivery_part(
        &self,
        message: MessageEntityId,
        recipients: &[Json],
    ) -> Result<(), Error> {
        let delivered = self.newly_delivered(message, recipients).await?;
        let step = DeliveryStep::RecordPart.taken("\"message\" = $1").bind(message);
        let step = step.must_change(Failed::NotQueued);
        let recorded = self.write([delivered.clone(), vec![step]].concat()).await;
        if matches!(recorded, Err(Error::Condition(Failed::NotQueued))) {
            self.write(delivered).await?;
        }
        recorded.map(drop)
    }

    /// The statements that keep which recipients are `sent` or `uncertain` and were not before.
    pub(crate) async fn newly_delivered(
        &self,
        message: MessageEntityId,
        recipients: &[Json],
    ) -> Result<Vec<Statement>, Error> {
        let known = self.delivery_delivered(message).await?;
        let insert = |recipient: &Json| {
            let address = address_of(recipient)?;
            let outcome_unknown = match RecipientState::of(recipient)? {
                RecipientState::Sent if !known.has(address) => false,
                RecipientState::Uncertain if known.get(address).is_none() => true,
                RecipientState::Waiting
                | RecipientState::Deferred
                | RecipientState::Sent
                | RecipientState::Refused
                | RecipientState::Uncertain
                | RecipientState::Failed => return None,
            };
            let sql = "INSERT INTO \"delivered\" (\"message\", \"address\", \"reply\", \"doubt\")
                VALUES ($1, $2, $3, $4) ON CONFLICT (\"message\", \"address\") DO UPDATE
                SET \"reply\" = excluded.\"reply\", \"doubt\" = excluded.\"doubt\"";
            let row = Statement::new(sql).bind(message).bind(address::mailbox(address));
            Some(row.bind(recipient["reply"].as_str()).bind(outcome_unknown))
        };
        Ok(recipients.iter().filter_map(insert).collect())
    }
}

/// The address of a recipient.
pub(crate) fn address_of(recipient: &Json) -> Option<&str> {
    recipient.get("address").and_then(Json::as_str)
}

/// Says of a recipient that it has the message, when it does.
pub(crate) fn mark(recipient: &mut Json, delivered: &Delivered) {
    let earlier = address_of(recipient).and_then(|address| delivered.get(address)).cloned();
    if let Some(Earlier { reply, outcome_unknown: false }) = earlier {
        RecipientState::Sent.put(recipient);
        if let Some(row) = recipient.as_object_mut() {
            row.insert("reply".to_owned(), json!(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_testkit::on_both;

    #[on_both]
    async fn a_recipient_that_has_the_message_has_it_whatever_later_attempts_say() {
        let (_directory, store) = store().await;
        let id = MessageEntityId::of(store.clock().new_id());
        let row = |state: &str, reply: &str| json!({"address": "Ann@B.test", "state": state, "reply": reply});
        // Each: what an attempt says, and what is known after it: whether it is unknown, and why.
        for (state, reply, known) in [
            ("waiting", "0", None),
            ("deferred", "1", None),
            ("refused", "2", None),
            ("failed", "3", None),
            ("uncertain", "4", Some((true, "4"))),
            ("uncertain", "5", Some((true, "4"))),
            ("refused", "6", Some((true, "4"))),
            ("sent", "7", Some((false, "7"))),
            ("sent", "8", Some((false, "7"))),
            ("uncertain", "9", Some((false, "7"))),
            ("refused", "10", Some((false, "7"))),
        ] {
            let batch = store.newly_delivered(id, &[row(state, reply)]).await.unwrap();
            store.write(batch).await.unwrap();
            let delivered = store.delivery_delivered(id).await.unwrap();
            let earlier = delivered.get("Ann@b.test").cloned();
            let earlier = earlier.map(|earlier| (earlier.outcome_unknown, earlier.reply.unwrap()));
            let known = known.map(|(unknown, reply)| (unknown, reply.to_owned()));
            assert_eq!(earlier, known, "after {state} {reply}");
            assert_eq!(delivered.has("Ann@b.test"), known.as_ref().is_some_and(|(no, _)| !no));
            assert_eq!(delivered.may_have("Ann@b.test"), known.is_some_and(|(unknown, _)| unknown));
            assert_eq!(delivered.get("other@b.test"), None);
        }
    }

    #[test]
    fn only_a_recipient_that_has_the_message_is_marked() {
        let earlier =
            |outcome_unknown| Earlier { reply: Some("250 x".to_owned()), outcome_unknown };
        let by_mailbox = [("has@b.test", false), ("may@b.test", true)];
        let by_mailbox =
            by_mailbox.map(|(at, unknown)| (address::mailbox(at), earlier(unknown))).into();
        let delivered = Delivered { by_mailbox };
        let marked = |address: &str| {
            let mut recipient = json!({"address": address, "state": "waiting", "reply": null});
            mark(&mut recipient, &delivered);
            (recipient["state"].as_str().unwrap().to_owned(), recipient["reply"].clone())
        };
        assert_eq!(marked("has@B.test"), ("sent".to_owned(), json!("250 x")));
        for other in ["may@b.test", "none@b.test"] {
            assert_eq!(marked(other), ("waiting".to_owned(), Json::Null), "{other}");
        }
    }
}
