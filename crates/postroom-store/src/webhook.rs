//! The engine's access to webhooks, in all domains.
//!
//! The progress of a webhook changes all the time. So it is written without a row of the feed, for
//! many webhooks at once. That a webhook was disabled has a row of the feed.

use crate::columns::domain;
use crate::columns::secret;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::feed::FeedRow;
use crate::record::ATTEMPTS;
use crate::sealed::Sealed;
use crate::store::Store;
use crate::untold;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::Timestamp;
use postroom_model::WebhookId;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// The progress of how many webhooks is written in one transaction.
const AT_ONCE: usize = 100;

/// A webhook with its secrets, which are sealed until they are used.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    /// The tenant.
    pub domain: Domain,
    /// The webhook.
    pub webhook: Entity,
    /// The secret of its signatures.
    pub secret: Option<Sealed>,
    /// The second secret of its signatures, while secrets are exchanged.
    pub second_secret: Option<Sealed>,
    /// The header fields of its requests, as JSON.
    pub headers: Option<Sealed>,
}

/// How far a webhook has come.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookProgress {
    /// The number of a change of the webhook. One that was created later under the same id is
    /// another webhook.
    pub known: i64,
    /// All changes up to this number are delivered, or not wanted.
    pub cursor: i64,
    /// When the receiver last took a request.
    pub last_delivery_at: Option<Timestamp>,
    /// How old the oldest undelivered event was, in seconds.
    pub lag_seconds: i64,
    /// How many requests have failed since the receiver last took one.
    pub failures: u32,
    /// When the first of these requests failed.
    pub failing_since: Option<Timestamp>,
    /// What is wrong, in words for people. `None`: nothing.
    pub status_text: Option<String>,
    /// The last requests, as a JSON list.
    pub attempts: Json,
}

impl WebhookProgress {
    fn columns(&self) -> Vec<(&'static str, Value)> {
        let moment = |at: Option<Timestamp>| at.map_or(Value::Null, |at| Value::Moment(at.as_ms()));
        vec![
            (names::CURSOR, Value::from(self.cursor)),
            (names::LAST_DELIVERY_AT, moment(self.last_delivery_at)),
            (names::LAG, Value::from(self.lag_seconds)),
            (names::FAILURES, Value::from(i64::from(self.failures))),
            (names::FAILING_SINCE, moment(self.failing_since)),
            (names::STATUS_TEXT, self.status_text.as_deref().map_or(Value::Null, Value::from)),
            (names::LAST_ATTEMPTS, Value::Json(self.attempts.to_string())),
        ]
    }
}

impl Store {
    /// All webhooks that are enabled, of all domains that are not suspended. None while sending is
    /// suspended: a copy of the data would tell the receivers of the original its own news.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn webhook_list_enabled(&self) -> Result<Vec<WebhookRow>, Error> {
        if self.sending_suspended().await?.is_some() {
            return Ok(vec![]);
        }
        let class = self.builtin(WEBHOOKS)?;
        let sql = format!(
            "{} WHERE \"enabled\" AND \"domain\" NOT IN
            (SELECT \"name\" FROM \"iam/Domains\" WHERE \"suspended\")",
            Self::select(&class)
        );
        let rows = self.read(Statement::new(sql).of_class(&*class)).await?;
        self.keys_learn(&rows).await?;
        let mut found = vec![];
        for row in &rows {
            match self.webhook_row(&class, row) {
                Ok(webhook) => found.push(webhook),
                // Its row is damaged. The others go on.
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// One webhook of a domain, enabled or not.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn webhook_find(
        &self,
        domain: &Domain,
        webhook: WebhookId,
    ) -> Result<Option<WebhookRow>, Error> {
        let class = self.builtin(WEBHOOKS)?;
        let sql = format!("{} WHERE \"id\" = $1 AND \"domain\" = $2", Self::select(&class));
        let one = Statement::new(sql).bind(EntityId::from(webhook)).bind(domain.as_str());
        let rows = self.read(one.of_class(&*class)).await?;
        self.keys_learn(&rows).await?;
        rows.first().map(|row| self.webhook_row(&class, row)).transpose()
    }

    fn webhook_row(&self, class: &Class, row: &Row) -> Result<WebhookRow, Error> {
        let of = |name| secret(&self.inner.keys, class, row, name);
        Ok(WebhookRow {
            domain: domain(row)?,
            webhook: self.entity_of(class, row)?,
            secret: of(names::SECRET),
            second_secret: of(names::SECOND_SECRET),
            headers: of(names::HEADERS),
        })
    }

    /// The number of the change that created a webhook, which gets all later changes. If that
    /// change is no longer kept, the number of the oldest kept change of the webhook.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn webhook_begin(&self, domain: &Domain, webhook: &Entity) -> Result<i64, Error> {
        let changes = self.feed_of(domain, &[webhook.id], 0).await?;
        let mut own = changes.iter().filter(|change| change.class == WEBHOOKS);
        let oldest = own.clone().next();
        // One that was deleted before may have had the same id.
        let created = own.rfind(|change| change.operation == Operation::Create);
        Ok(created.or(oldest).map_or(webhook.seq, |change| change.seq))
    }

    /// Whether a webhook was deleted and made again under its id since the change with the number
    /// `seq`, which was one of this id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn webhook_is_another(
        &self,
        domain: &Domain,
        webhook: WebhookId,
        seq: i64,
    ) -> Result<bool, Error> {
        let changes = self.feed_of(domain, &[webhook.into()], seq).await?;
        let is_made =
            |change: &FeedRow| change.class == WEBHOOKS && change.operation == Operation::Create;
        Ok(changes.iter().any(is_made))
    }

    /// Writes the progress of webhooks. Webhooks that were deleted are left out, also if others
    /// were made under their ids.
    ///
    /// # Errors
    ///
    /// When the store fails. The progress of some webhooks may be written then.
    pub async fn webhook_progress_write(
        &self,
        all: &[(WebhookId, WebhookProgress)],
    ) -> Result<(), Error> {
        let class = self.builtin(WEBHOOKS)?;
        for some in all.chunks(AT_ONCE) {
            let statement = |(id, progress): &(WebhookId, WebhookProgress)| {
                untold::set_of(&class, (*id).into(), progress.columns(), progress.known)
            };
            self.write_at_need(some.iter().map(statement).collect()).await?;
        }
        Ok(())
    }

    /// Disables a webhook whose last change has the number `seq`, and writes what is wrong. Returns
    /// `false` if nothing was done, because a client has changed or deleted the webhook meanwhile.
    ///
    /// # Errors
    ///
    /// When the store fails, or many others change the webhook.
    pub async fn webhook_disable(
        &self,
        domain: &Domain,
        id: WebhookId,
        seq: i64,
        progress: &WebhookProgress,
    ) -> Result<bool, Error> {
        let id = EntityId::from(id);
        let mut changes = Map::new();
        changes.insert(names::ENABLED.to_owned(), json!(false));
        changes.insert(names::STATUS_TEXT.to_owned(), json!(progress.status_text));
        for _ in 0..ATTEMPTS {
            let class = self.builtin(WEBHOOKS)?;
            let current = self.entity_get(domain, &class, id).await?;
            let Some(current) = current.filter(|current| current.seq == seq) else {
                return Ok(false);
            };
            let mut batch: Vec<_> =
                self.records(domain, &class).change(&current, &changes, Map::new())?;
            batch.push(untold::set(&class, id, progress.columns()));
            match self.write_at_need(batch).await {
                Ok(_) => {
                    self.changed(&class, &current);
                    return Ok(true);
                }
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale | Failed::OtherClasses)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }
}
