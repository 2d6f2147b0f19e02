//! Removes the rows of the feed that are too old or too many.
//!
//! ```text
//!   each sweep ─► Postroom has run for so much longer ─► a mark, if it is time
//!                                                     ─► rows before an old mark go
//!                                                     ─► once an hour, rows beyond the count go
//! ```
//! Only the leader of a group trims, and each group has marks of its own (`crate::feed_marks`).

use crate::database::Statement;
use crate::error::Error;
use crate::feed_marks::FeedCount;
use crate::feed_marks::FeedMarks;
use crate::feed_marks::LastTrim;
use crate::feed_retention::FeedRetention;
use crate::store::Store;
use postroom_model::Domain;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How often all rows are counted: each hour.
const COUNTED_EVERY_MS: i64 = 3_600_000;
/// How long counting them may take.
const COUNT_WITHIN: Duration = Duration::from_secs(600);
/// How often it is stored how long Postroom has run. A process that is killed loses so much of it.
const STORED_EVERY_MS: i64 = 600_000;
/// The most that counts as run between two sweeps. If there was none for longer, the process was
/// stopped, or the database could not be reached.
const BETWEEN_MAX: Duration = Duration::from_secs(300);
/// How many rows one batch removes at most, so that others can write in between.
const TRIMMED_AT_ONCE: i64 = 5_000;

impl Store {
    /// From now on the feed keeps so much. What is beyond that is removed at the next sweep.
    pub fn feed_keep(&self, retention: FeedRetention) {
        *self.inner.feed.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Removes the rows that are too old or too many, in bounded steps.
    pub(crate) async fn feed_trim(&self) -> Result<(), Error> {
        let mut trim = self.inner.last_trim.lock().await;
        let since = trim.at.replace(Instant::now()).filter(|_| trim.epoch == self.epoch().ok());
        let since = since.map_or(Duration::ZERO, |at| at.elapsed().min(BETWEEN_MAX));
        self.feed_trim_after(&mut trim, since).await
    }

    /// The same, after Postroom has run for so much longer.
    pub(crate) async fn feed_trim_after(
        &self,
        trim: &mut LastTrim,
        since: Duration,
    ) -> Result<(), Error> {
        let epoch = self.epoch()?;
        let kept = *self.inner.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if trim.epoch != Some(epoch) {
            let marks = self.marks_read().await?;
            let (stored_ms, at) = (marks.ran_ms(), trim.at);
            *trim = LastTrim { epoch: Some(epoch), marks, at, stored_ms, counted: None };
        }
        trim.marks.run(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let mut is_changed = trim.marks.ran_ms() - trim.stored_ms >= STORED_EVERY_MS;
        if trim.marks.is_due(kept.for_ms) {
            // Readers may pass this number, so no change at or before it is still to come.
            trim.marks.mark(self.feed_bounds().await?.newest);
            is_changed = true;
        }
        if let Some(old) = trim.marks.old(kept.for_ms) {
            while self.trim_before(old).await? {}
            trim.marks.forget(old);
            is_changed = true;
        }
        if is_changed {
            self.marks_write(&trim.marks).await?;
            trim.stored_ms = trim.marks.ran_ms();
        }
        let ran_ms = trim.marks.ran_ms();
        let is_counted = |counted: FeedCount| {
            counted.kept == kept.changes && ran_ms - counted.ran_ms < COUNTED_EVERY_MS
        };
        if !trim.counted.is_some_and(is_counted) {
            self.trim_to(kept.changes).await?;
            trim.counted = Some(FeedCount { ran_ms, kept: kept.changes });
        }
        Ok(())
    }

    /// The key under which `meta` has the marks of the group.
    fn marks_name(&self) -> String {
        format!("feed marks of {}", self.inner.member().group())
    }

    async fn marks_read(&self) -> Result<FeedMarks, Error> {
        let sql = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = $1";
        let rows = self.read(Statement::new(sql).bind(self.marks_name())).await?;
        let Some(bytes) = rows.first().and_then(|row| row.bytes(0)) else {
            return Ok(FeedMarks::default());
        };
        Ok(FeedMarks::from_bytes(bytes).unwrap_or_else(|| {
            tracing::warn!(
                "it cannot be read how long the feed has kept its changes: it keeps them for that \
                 time from now on"
            );
            FeedMarks::default()
        }))
    }

    async fn marks_write(&self, marks: &FeedMarks) -> Result<(), Error> {
        let sql = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ($1, $2)
            ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
        let noted = Statement::new(sql).bind(self.marks_name()).bind(marks.to_bytes());
        self.write_at_need(vec![noted]).await.map(drop)
    }

    /// Removes some of the rows up to a number. `true`: there may be more.
    async fn trim_before(&self, old: i64) -> Result<bool, Error> {
        let oldest = "SELECT \"seq\" FROM \"change\" WHERE \"seq\" <= $1 ORDER BY \"seq\" LIMIT $2";
        let oldest = self.read(Statement::new(oldest).bind(old).bind(TRIMMED_AT_ONCE)).await?;
        let Some(last) = oldest.last().and_then(|row| row.whole(0)) else {
            return Ok(false);
        };
        self.trim_until(last).await?;
        Ok(i64::try_from(oldest.len()) == Ok(TRIMMED_AT_ONCE))
    }

    /// Removes all but so many rows.
    pub(crate) async fn trim_to(&self, retained: i64) -> Result<(), Error> {
        let count = Statement::new("SELECT COUNT(*) FROM \"change\"").within(COUNT_WITHIN);
        let count = self.read(count).await?;
        let count = count.first().and_then(|row| row.whole(0)).unwrap_or(0);
        let mut surplus = count - retained;
        while surplus > 0 {
            let step = surplus.min(TRIMMED_AT_ONCE);
            let last = "SELECT \"seq\" FROM \"change\" ORDER BY \"seq\" LIMIT 1 OFFSET $1";
            let last = self.read(Statement::new(last).bind(step - 1)).await?;
            let Some(last) = last.first().and_then(|row| row.whole(0)) else {
                return Ok(());
            };
            self.trim_until(last).await?;
            surplus -= step;
        }
        Ok(())
    }

    /// Removes the rows of a domain among the next ones behind a number. The last statement of
    /// `count` counts them. It is bound to both bounds and the domain, in this order. Returns the
    /// last number that was looked at. `None`: there are no more.
    pub(crate) async fn feed_erase(
        &self,
        domain: &Domain,
        behind: i64,
        mut count: Vec<Statement>,
    ) -> Result<Option<i64>, Error> {
        let next = "SELECT \"seq\" FROM \"change\" WHERE \"seq\" > $1 ORDER BY \"seq\" LIMIT $2";
        let next = self.read(Statement::new(next).bind(behind).bind(TRIMMED_AT_ONCE)).await?;
        let Some(last) = next.last().and_then(|row| row.whole(0)) else {
            return Ok(None);
        };
        let gone =
            "DELETE FROM \"change\" WHERE \"seq\" > $1 AND \"seq\" <= $2 AND \"domain\" = $3";
        let gone = Statement::new(gone).bind(behind).bind(last).bind(domain.as_str());
        if let Some(counts) = count.pop() {
            count.push(counts.bind(behind).bind(last).bind(domain.as_str()));
        }
        count.push(gone);
        self.write_at_need(count).await?;
        Ok(Some(last))
    }

    /// Removes the rows up to a number, and records that number, so that readers learn what they
    /// can no longer read. If another process has removed more, its number stays.
    async fn trim_until(&self, last: i64) -> Result<(), Error> {
        let noted = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('feed trimmed', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"
            WHERE \"meta\".\"number\" < excluded.\"number\"";
        let gone = "DELETE FROM \"change\" WHERE \"seq\" <= $1";
        let batch = [noted, gone].map(|sql| Statement::new(sql).bind(last));
        self.write_at_need(batch.into()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Time;
    use crate::fixture::feed_settled;
    use crate::fixture::store;
    use crate::fixture::store_keeping;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_secs(3600);
    const HOUR_MS: i64 = 3_600_000;

    async fn create(store: &Store, name: &str) {
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let values = json!({"name": name}).as_object().unwrap().clone();
        let entity = Entity::new(store.clock().new_id(), values);
        let row = store.entity_row(&domain, &class, &entity).unwrap();
        store.write(store.records(&domain, &class).create(row)).await.unwrap();
        feed_settled(store, 0).await;
    }

    /// The hours of the clock at which the changes that are left were made, after Postroom has run
    /// for so much longer.
    async fn left(store: &Store, since: Duration) -> Vec<i64> {
        store.feed_trim_after(&mut *store.inner.last_trim.lock().await, since).await.unwrap();
        let feed = store.feed_list(&Domain::default_domain(), 0, 100).await.unwrap();
        feed.iter().map(|row| row.at.as_ms() / HOUR_MS).collect()
    }

    #[on_both]
    async fn changes_are_kept_as_long_and_as_many_as_is_configured_whatever_the_clock_shows() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let kept = FeedRetention { for_ms: 24 * HOUR_MS, changes: 3 };
        let store = store_keeping(directory.path(), time.clock(), kept).await;
        for hour in [100, 101, 102] {
            time.set(hour * HOUR_MS);
            create(&store, "p").await;
            left(&store, HOUR).await;
        }
        time.set(1000 * HOUR_MS);
        assert_eq!(left(&store, Duration::ZERO).await, [100, 101, 102], "the clock jumps");
        assert_eq!(left(&store, HOUR * 21).await, [100, 101, 102], "they are there for 21 hours");
        store.close().await.unwrap();
        let store = store_keeping(directory.path(), time.clock(), kept).await;
        time.set(2000 * HOUR_MS);
        assert_eq!(left(&store, Duration::ZERO).await, [100, 101, 102], "a start shows nothing");
        time.set(50 * HOUR_MS);
        assert_eq!(left(&store, HOUR).await, [101, 102], "the first one is there for a day");
        assert_eq!(left(&store, HOUR).await, [102], "also while the clock shows another time");
        for _ in 0..3 {
            create(&store, "p").await;
        }
        assert_eq!(left(&store, HOUR / 2).await, [102, 50, 50, 50], "they are not counted yet");
        assert_eq!(left(&store, HOUR / 2).await, [50, 50, 50], "there are three at most");
        store.feed_keep(FeedRetention { changes: 1, ..kept });
        assert_eq!(left(&store, Duration::ZERO).await, [50], "another retention holds at once");
    }

    #[on_both]
    async fn the_newest_rows_stay() {
        let (_directory, store) = store().await;
        for name in ["a", "b", "c", "d", "e"] {
            create(&store, name).await;
        }
        let domain = Domain::default_domain();
        let all = feed_settled(&store, 0).await;
        store.feed_trim().await.unwrap();
        assert_eq!(store.feed_list(&domain, 0, 100).await.unwrap(), all, "few rows stay");
        store.trim_to(2).await.unwrap();
        assert_eq!(store.feed_list(&domain, 0, 100).await.unwrap(), all[3..]);
        // The next number is greater also when no row is left.
        assert!(!store.trim_before(i64::MAX).await.unwrap());
        assert_eq!(store.feed_list(&domain, 0, 100).await.unwrap(), []);
    }
}
