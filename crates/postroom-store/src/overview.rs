//! The overview of a domain: accounts by state, messages that are not received yet, and the queue.

use crate::copied::Suspended;
use crate::database::Statement;
use crate::error::Error;
use crate::sending;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Timestamp;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

impl Store {
    /// The work of a domain, as JSON:
    ///
    /// - `accounts`: the number of accounts by their `state`. Accounts that were never tried are
    ///   `new`.
    /// - `pending`: how many messages are listed at servers but not stored, in how many folders,
    ///   and the oldest time at which one of these folders was last proven complete.
    /// - `queue`: how many messages are due to be sent, since when the oldest of them is due, how
    ///   many are planned for later, and whether and why sending is suspended.
    ///
    /// It reads only messages that are to be sent, and never waits behind queries of clients.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn overview(&self, domain: &Domain) -> Result<Json, Error> {
        let accounts = "SELECT COALESCE(\"state\", 'new'), COUNT(*) FROM \"email/Accounts\"
            WHERE \"domain\" = $1 GROUP BY 1 ORDER BY 1";
        let rows = self.read(Statement::new(accounts).bind(domain.as_str())).await?;
        let count =
            |row: &crate::database::Row| Some((row.text(0)?.to_owned(), Json::from(row.whole(1)?)));
        let accounts: Map<String, Json> = rows.iter().filter_map(count).collect();
        // The sum of whole numbers is another type in some databases.
        let pending = "SELECT CAST(COALESCE(SUM(\"pendingCount\"), 0) AS BIGINT), COUNT(*),
              MIN(\"lastProofAt\")
            FROM \"email/Folders\" WHERE \"domain\" = $1 AND \"enabled\" AND \"pendingCount\" > 0";
        let pending = self.numbers(Statement::new(pending).bind(domain.as_str())).await?;
        let now_ms = self.clock().now_ms();
        let queue = Statement::new(self.due()).bind(domain.as_str()).bind(now_ms);
        let queue = self.numbers(queue).await?;
        let moment = |ms: Option<i64>| ms.map(|ms| Timestamp::from_ms(ms).to_string());
        let at = |numbers: &[Option<i64>], at: usize| numbers.get(at).copied().flatten();
        let oldest_ms = at(&queue, 1).filter(|oldest_ms| *oldest_ms <= now_ms);
        let age = oldest_ms.map(|oldest_ms| (now_ms - oldest_ms) / 1000);
        let suspended = self.sending_suspended().await?;
        Ok(json!({
            "accounts": accounts,
            "pending": {
                "messages": at(&pending, 0), "folders": at(&pending, 1),
                "oldestProofAt": moment(at(&pending, 2)),
            },
            "queue": {
                "messages": at(&queue, 0), "oldest": moment(oldest_ms), "ageSeconds": age,
                "planned": at(&queue, 2), "suspended": suspended.is_some(),
                "suspendedBecause": suspended.map(Suspended::as_str),
            },
            "fullText": self.words_lag(domain).await?,
        }))
    }

    /// The query for messages that are due or planned. It reads only messages that are to be sent.
    fn due(&self) -> String {
        format!(
            "SELECT COUNT(CASE WHEN \"since\" <= $2 THEN 1 END), MIN(\"since\"),
               COUNT(CASE WHEN \"since\" > $2 THEN 1 END)
             FROM (SELECT COALESCE(\"dateTime\", $2) AS \"since\" FROM \"email/Messages\" {}
               WHERE \"domain\" = $1 AND {}) AS \"sending\"",
            self.inner.database.dialect().by_index(sending::INDEX),
            sending::is_in_index("")
        )
    }

    /// The whole numbers of the only row. `None` for NULL.
    async fn numbers(&self, statement: Statement) -> Result<Vec<Option<i64>>, Error> {
        let rows = self.read(statement).await?;
        let row = rows.first().ok_or(Error::Damaged { what: "a count" })?;
        Ok((0..3).map(|at| row.whole(at)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;

    // SQLite alone: the plan is in its words.
    #[tokio::test]
    async fn what_is_due_is_counted_without_a_look_at_all_the_rest() {
        let (_directory, store) = store().await;
        let plan = store.read(Statement::new(format!("EXPLAIN QUERY PLAN {}", store.due())));
        let plan = format!("{:?}", plan.await.unwrap());
        assert!(plan.contains(sending::INDEX), "{plan}");
    }
}
