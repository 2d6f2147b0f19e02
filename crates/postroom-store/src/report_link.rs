//! Links a report to the message that it is about.
//!
//! The link needs a witness: the Message-ID of exactly one message that the same account has sent,
//! or has tried to send. Otherwise there is no link. Nothing is guessed from addresses or subjects,
//! because anybody can write a report.

use crate::database::Statement;
use crate::database::Value;
use crate::entity_row::EntityRow;
use crate::error::Error;
use crate::sending;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::MessageDirection;
use postroom_model::MessageState;
use postroom_model::builtin::names;

impl Store {
    /// Writes into the row of a report which message it is about. `message_id`: that of the
    /// message.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn report_link(
        &self,
        domain: &Domain,
        class: &Class,
        row: &mut EntityRow,
        message_id: &str,
    ) -> Result<(), Error> {
        let place = |name: &str| class.columns().position(|property| property.name == name);
        let account = place(names::ACCOUNT_ID).and_then(|at| row.values.get(at));
        let link = place(names::REPORTED_MESSAGE_ID);
        let (Some(Value::Id(account)), Some(link)) = (account, link) else {
            return Ok(());
        };
        if let Some(found) = self.reported_message(domain, *account, message_id).await?
            && let Some(value) = row.values.get_mut(link)
        {
            *value = Value::Id(found);
        }
        Ok(())
    }

    /// The one message of an account with this Message-ID that it has sent, or tried to send.
    async fn reported_message(
        &self,
        domain: &Domain,
        account: EntityId,
        message_id: &str,
    ) -> Result<Option<EntityId>, Error> {
        // Few messages have the same Message-ID.
        let in_domain = self.inner.database.dialect().unindexed("\"domain\"");
        let states = [MessageState::Sent, MessageState::Sending, MessageState::Error];
        let states = states.map(|state| sending::in_state("", state)).join(" OR ");
        let sql = format!(
            "SELECT \"id\" FROM \"email/Messages\"
             WHERE {in_domain} = $1 AND \"messageId\" = $2 AND \"account_id\" = $3
               AND {} AND ({states}) LIMIT 2",
            sending::in_direction("", MessageDirection::Out)
        );
        let found = Statement::new(sql).bind(domain.as_str()).bind(message_id).bind(account);
        let rows = self.read(found).await?;
        let [row] = rows.as_slice() else {
            return Ok(None);
        };
        Ok(row.id(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_model::Entity;
    use postroom_model::builtin::MESSAGES;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;

    /// A message that is stored. Returns its id.
    async fn stored(store: &Store, domain: &Domain, values: Json) -> EntityId {
        let class = store.builtin(MESSAGES).unwrap();
        let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
        let row = store.entity_row(domain, &class, &entity).unwrap();
        store.write(store.records(domain, &class).create(row)).await.unwrap();
        entity.id
    }

    #[on_both]
    async fn a_report_is_linked_to_the_one_message_of_its_account_that_was_sent_and_to_no_other() {
        let (_directory, store) = store().await;
        let class = store.builtin(MESSAGES).unwrap();
        let domain = Domain::default_domain();
        let (own, other) = (store.clock().new_id(), store.clock().new_id());
        let sent = |id: &str, account: EntityId, state: &str, direction: &str| {
            json!({
                "messageId": id, "account_id": account.to_string(), "messageState": state,
                "messageDirection": direction,
            })
        };
        let one = stored(&store, &domain, sent("one@x.test", own, "sent", "out")).await;
        let tried = stored(&store, &domain, sent("tried@x.test", own, "error", "out")).await;
        let draft = json!({
            "messageId": "draft@x.test", "account_id": own.to_string(), "messageDirection": "out",
        });
        stored(&store, &domain, draft).await;
        stored(&store, &domain, sent("came@x.test", own, "received", "in")).await;
        stored(&store, &domain, sent("foreign@x.test", other, "sent", "out")).await;
        let elsewhere = Domain::new("elsewhere.test").unwrap();
        stored(&store, &elsewhere, sent("far@x.test", own, "sent", "out")).await;
        for _ in 0..2 {
            stored(&store, &domain, sent("twice@x.test", own, "sent", "out")).await;
        }
        let table = [
            ("one@x.test", Some(one)),
            ("tried@x.test", Some(tried)),
            ("draft@x.test", None),
            ("came@x.test", None),
            ("foreign@x.test", None),
            ("far@x.test", None),
            ("twice@x.test", None),
            ("unknown@x.test", None),
        ];
        for (message_id, want) in table {
            let report = json!({"account_id": own.to_string(), "messageDirection": "in"});
            let report = report.as_object().unwrap().clone();
            let report = Entity::new(store.clock().new_id(), report);
            let mut row = store.entity_row(&domain, &class, &report).unwrap();
            store.report_link(&domain, &class, &mut row, message_id).await.unwrap();
            store.write(store.records(&domain, &class).create(row)).await.unwrap();
            let kept = store.entity_get(&domain, &class, report.id).await.unwrap().unwrap();
            assert_eq!(kept.reference(names::REPORTED_MESSAGE_ID), want, "{message_id}");
        }
    }
}
