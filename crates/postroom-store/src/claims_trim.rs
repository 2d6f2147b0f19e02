//! Removes work claims that were acknowledged long ago.

use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::store::Store;

/// How long it is known that a claim was acknowledged: as long as the key of a client.
const KNOWN_MS: i64 = 25 * 3_600_000;
/// How many rows one batch removes at most.
const TRIMMED_AT_ONCE: i64 = 5_000;

impl Store {
    /// Removes the rows of claims that were acknowledged long ago, in bounded steps.
    pub(crate) async fn claims_trim(&self) -> Result<(), Error> {
        let before_ms = self.expiry_now_ms().await?.saturating_sub(KNOWN_MS);
        loop {
            let sql = "SELECT \"acknowledged\" FROM \"work claim\" WHERE \"acknowledged\" < $1
                ORDER BY \"acknowledged\" LIMIT 1 OFFSET $2";
            let step = Statement::new(sql).bind(Value::Moment(before_ms)).bind(TRIMMED_AT_ONCE);
            let step_ms = self.read(step).await?.first().and_then(|row| row.whole(0));
            let old = "DELETE FROM \"work claim\" WHERE \"acknowledged\" < $1";
            let until = Value::Moment(step_ms.map_or(before_ms, |ms| ms.saturating_add(1)));
            self.write_at_need(vec![Statement::new(old).bind_all([until])]).await?;
            if step_ms.is_none() {
                return Ok(());
            }
        }
    }
}
