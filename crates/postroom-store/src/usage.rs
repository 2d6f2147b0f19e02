//! How much domains with limits have: it is counted once when a limit is set, and then each day.
//!
//! ```text
//!   limit is set ─► row of `usage`, from which on each batch counts ─► what was there before is
//!                                                                      counted in one query
//! ```
//! The query sees the entities and the row at one moment. So what was there before is what it
//! counts, without what batches have counted until that moment.
//!
//! Reads and writes `usage`.

use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::domain_limit::DomainLimit;
use crate::error::Error;
use crate::failed::Failed;
use crate::living_domain::ERASURE;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;

/// How old a count may be before all is counted again: a day.
const COUNTED_FOR_MS: i64 = 86_400_000;
const DAMAGED: Error = Error::Damaged { what: "the usage of a domain" };

/// The statements that begin to count, for a batch that gives a domain these values. It waits for
/// running batches that make or delete something.
pub(crate) fn begin(class: &Class, domain: &Entity, values: &Map<String, Json>) -> Vec<Statement> {
    let Some(name) = domain.text(names::NAME).filter(|_| is_counted(class, values)) else {
        return vec![];
    };
    let alone = Statement::new("SELECT 1").assert(Failed::Stale, Lock::Name(ERASURE));
    let sql = "INSERT INTO \"usage\" (\"domain\", \"messages\", \"bytes\") VALUES ($1, 0, 0)
        ON CONFLICT (\"domain\") DO NOTHING";
    vec![alone, Statement::new(sql).bind(name)]
}

/// Whether these values set a limit of a domain that is counted in `usage`.
fn is_counted(class: &Class, values: &Map<String, Json>) -> bool {
    let is_set = |limit: DomainLimit| values.get(limit.property()).is_some_and(Json::is_number);
    class.classname == DOMAINS
        && [DomainLimit::Messages, DomainLimit::Bytes].into_iter().any(is_set)
}

impl Store {
    /// Counts what domains have that got a limit, soon.
    pub(crate) fn usage_soon(&self, class: &Class, values: &Map<String, Json>) {
        if !is_counted(class, values) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.usage_count().await {
                tracing::warn!(%error, "what a domain has was not counted; it is tried again");
            }
        });
    }

    /// Counts what domains have whose count is missing or old.
    ///
    /// # Errors
    ///
    /// When the store fails; a later call counts.
    pub async fn usage_count(&self) -> Result<(), Error> {
        let now_ms = self.clock().now_ms();
        let sql = "SELECT \"domain\" FROM \"usage\" WHERE \"counted\" IS NULL OR \"counted\" < $1";
        let old = Value::Moment(now_ms - COUNTED_FOR_MS);
        for row in self.read(Statement::new(sql).bind(old)).await? {
            let domain = row.text(0).ok_or(DAMAGED)?;
            let sql = "SELECT (SELECT COUNT(*) FROM \"email/Messages\" WHERE \"domain\" = $1)
                  - \"messages\",
                  (SELECT CAST(COALESCE(SUM(f.\"size\"), 0) AS BIGINT)
                   FROM \"email/Messages\" m JOIN \"file\" f ON f.\"entity\" = m.\"id\"
                   WHERE m.\"domain\" = $1
                     AND (f.\"offset\" IS NULL OR f.\"property\" = 'rawMessage')) - \"bytes\"
                FROM \"usage\" WHERE \"domain\" = $1";
            let rows = self.read(Statement::new(sql).bind(domain)).await?;
            let Some(before) = rows.first() else {
                continue;
            };
            let sql = "UPDATE \"usage\" SET \"messages_before\" = $2, \"bytes_before\" = $3,
                \"counted\" = $4 WHERE \"domain\" = $1";
            let count = Statement::new(sql).bind(domain).bind(before.whole(0).ok_or(DAMAGED)?);
            let count = count.bind(before.whole(1).ok_or(DAMAGED)?).bind(Value::Moment(now_ms));
            self.write_at_need(vec![count]).await?;
        }
        Ok(())
    }

    /// An error of a batch that made something in these domains, with the limit that it tells.
    pub(crate) async fn limit_told(&self, error: Error, domains: Vec<Domain>) -> Error {
        let Error::Condition(Failed::Limit { limit, max: None }) = error else {
            return error;
        };
        for domain in domains {
            let sql = format!(
                "SELECT \"{}\" FROM \"iam/Domains\"
                 WHERE \"domain\" = 'master' AND \"name\" = $1",
                limit.property()
            );
            match self.read(Statement::new(sql).bind(domain.as_str())).await {
                Ok(rows) => {
                    let max = rows.first().and_then(|row| row.whole(0));
                    return Error::Condition(Failed::Limit { limit, max });
                }
                Err(error) => tracing::warn!(%error, "the limit of a domain was not read"),
            }
        }
        Error::Condition(Failed::Limit { limit, max: None })
    }
}
