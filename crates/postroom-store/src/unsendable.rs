//! Messages that end as `error` before they are tried.

use crate::delivered;
use crate::error::Error;
use crate::queue;
use crate::store::Store;
use crate::verdict::Verdict;
use crate::verdict::changes;
use crate::verdict::told;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use serde_json::Value as Json;

/// Why a message ends before it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Unsendable<'a> {
    /// The kind of error.
    pub code: ErrorCode,
    /// Why, in words for people.
    pub reason: &'a str,
    /// Gives the recipients of a message, in the form of its property `recipients`.
    pub recipients: fn(&Entity) -> Vec<Json>,
}

impl Store {
    /// Ends a message that cannot be put in the queue as `error`. Each recipient gets its state.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_refuse(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        unsendable: Unsendable<'_>,
    ) -> Result<(), Error> {
        let Unsendable { code, reason, recipients } = unsendable;
        let verdict = Verdict::Error { code, reason: reason.to_owned() };
        let class = self.builtin_of(domain, MESSAGES)?;
        let current = self.entity_get(domain, &class, message.into()).await?;
        let mut recipients = current.as_ref().map(recipients).unwrap_or_default();
        let delivered = self.delivery_delivered(message).await?;
        recipients.iter_mut().for_each(|recipient| delivered::mark(recipient, &delivered));
        let verdict = self.at_last(message, &verdict, &mut recipients).await?;
        let verdict = told(verdict, &recipients);
        let mut changes = changes(&verdict, Timestamp::from_ms(self.clock().now_ms()))?;
        if !recipients.is_empty() {
            changes.insert(names::RECIPIENTS.to_owned(), Json::Array(recipients));
        }
        let queue = vec![queue::leave(message)];
        self.settle(domain, message, &changes, queue).await
    }
}
