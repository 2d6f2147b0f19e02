//! How far full text is behind the messages.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::full_text::LAST;
use crate::full_text_row::FILL;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Operation;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use serde_json::Value as Json;
use serde_json::json;

/// How many changes and messages the report counts at most.
const COUNTED_MAX: i64 = 10_000;

impl Store {
    /// How many messages of a domain are not processed yet, and since when the first of them waits.
    /// Counting ends at 10,000.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn words_lag(&self, domain: &Domain) -> Result<Json, Error> {
        let reached = self.words_reached().await?;
        // Before full text has begun, all messages are left.
        let after = reached.as_ref().map_or(i64::MAX, |reached| reached.seq);
        let changed = "SELECT COUNT(DISTINCT \"entity\"), MIN(\"at\") FROM
            (SELECT \"entity\", \"at\" FROM \"change\" WHERE \"seq\" > $1 AND \"domain\" = $2
               AND \"class\" = $3 AND \"operation\" <> $4 ORDER BY \"seq\" LIMIT $5) \"waiting\"";
        let changed = Statement::new(changed).bind(after).bind(domain.as_str()).bind(MESSAGES);
        let changed = changed.bind(Operation::Delete.number()).bind(COUNTED_MAX);
        let changed = self.read(changed).await?;
        let number = |rows: &[Row], at| rows.first().and_then(|row| row.whole(at));
        let (mut count, mut since) = (number(&changed, 0).unwrap_or(0), number(&changed, 1));
        let is_filling = reached.as_ref().is_none_or(|reached| reached.fill.is_some());
        if is_filling {
            let below = reached.and_then(|reached| reached.fill).unwrap_or(LAST);
            let left = "SELECT COUNT(*) FROM (SELECT 1 FROM \"email/Messages\"
                WHERE \"domain\" = $1 AND \"id\" < $2 LIMIT $3) \"left\"";
            let left = Statement::new(left).bind(domain.as_str()).bind(below).bind(COUNTED_MAX);
            let left = number(&self.read(left).await?, 0).unwrap_or(0);
            let begun = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = $1";
            let begun = number(&self.read(Statement::new(begun).bind(FILL)).await?, 0);
            count = (count + left).min(COUNTED_MAX);
            since = if left > 0 { since.into_iter().chain(begun).min() } else { since };
        }
        let age = since.map(|since| (self.clock().now_ms() - since).max(0) / 1000);
        let oldest = since.map(|ms| Timestamp::from_ms(ms).to_string());
        Ok(json!({"messages": count, "oldest": oldest, "ageSeconds": age, "building": is_filling}))
    }
}
