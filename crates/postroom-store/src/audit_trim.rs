//! Removes the entries of the audit that are too old.
//!
//! The ids of the entries ascend with time, so the oldest ones are the first of the table.

use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use postroom_model::EntityId;
use std::sync::atomic::Ordering;

const DAY_MS: i64 = 24 * 3_600_000;
/// How many days entries are kept, if nothing else is configured.
const DAYS_DEFAULT: u64 = 400;
/// How many rows one batch removes at most, so that others can write in between.
const TRIMMED_AT_ONCE: i64 = 5_000;

impl Store {
    /// From now on the audit keeps entries for so many days. `None`: for 400. What is older is
    /// removed at the next sweep. A store that was not told so removes nothing.
    pub fn audit_keep(&self, days: Option<u64>) {
        let days = i64::try_from(days.unwrap_or(DAYS_DEFAULT)).unwrap_or(i64::MAX);
        self.inner.audit_kept_ms.store(days.saturating_mul(DAY_MS), Ordering::Relaxed);
    }

    /// Removes the entries that are too old, in bounded steps.
    pub(crate) async fn audit_trim(&self) -> Result<(), Error> {
        let kept_ms = self.inner.audit_kept_ms.load(Ordering::Relaxed);
        let before_ms = self.expiry_now_ms().await?.saturating_sub(kept_ms);
        let Ok(before_ms) = u128::try_from(before_ms) else {
            return Ok(());
        };
        let sql = "DELETE FROM \"iam/Audit\" WHERE \"id\" IN
            (SELECT \"id\" FROM \"iam/Audit\" WHERE \"id\" < $1 ORDER BY \"id\" LIMIT $2)";
        loop {
            let old = Statement::new(sql).bind(EntityId::from_u128(before_ms << 80));
            let gone = self.write_at_need(vec![old.bind(TRIMMED_AT_ONCE)]).await?;
            let gone = gone.first().map_or(0, |gone| gone.changed);
            if i64::try_from(gone) != Ok(TRIMMED_AT_ONCE) {
                return Ok(());
            }
        }
    }
}

/// The statement that deletes the entries of a domain that is deleted without other entities.
pub(crate) fn gone(domain: &str) -> Statement {
    Statement::new("DELETE FROM \"iam/Audit\" WHERE \"domain\" = $1").bind(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::audit_event::AuditEvent;
    use crate::audit_notice::AuditNotice;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use postroom_testkit::on_both;
    use std::sync::Arc;

    #[on_both]
    async fn entries_are_kept_for_their_days_and_not_longer() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let days = async || {
            let sql = "SELECT \"at\" FROM \"iam/Audit\" ORDER BY \"id\"";
            let rows = store.read(Statement::new(sql)).await.unwrap();
            rows.iter().filter_map(|row| Some(row.whole(0)? / DAY_MS)).collect::<Vec<_>>()
        };
        for day in [0, 1, 2, 3] {
            time.set(day * DAY_MS);
            let (event, origin) = (AuditEvent::TokenRefused, Default::default());
            let (bearer, domain, login) = (None, None, None);
            store.audit_notice(AuditNotice { event, bearer, domain, login, origin }).await;
        }
        store.audit_trim().await.unwrap();
        assert_eq!(days().await, [0, 1, 2, 3], "nobody has said how long");
        store.audit_keep(Some(2));
        store.audit_trim().await.unwrap();
        assert_eq!(days().await, [1, 2, 3]);
    }
}
