//! The clock by which things expire: the believed time of a group, kept over restarts.
//!
//! Only the leader of a group deletes what has expired, so only the leader keeps the time.

use crate::believed_time::BelievedTime;
use crate::believed_time::ExpiryClock;
use crate::believed_time::TimeStep;
use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use postroom_model::Timestamp;
use tokio::time::Instant;

/// How often it is stored. A process that is killed loses so much of it.
const STORED_EVERY_MS: i64 = 600_000;

impl Store {
    /// The time by which things expire, in milliseconds since 1970. It is never later than the
    /// clock. It is earlier if the clock shows more than Postroom can explain, and servers have not
    /// confirmed that yet.
    ///
    /// # Errors
    ///
    /// When this process does not lead, or the store fails.
    pub async fn expiry_now_ms(&self) -> Result<i64, Error> {
        let epoch = self.epoch()?;
        let mut held = self.inner.times.expiry.lock().await;
        if held.epoch != Some(epoch) {
            let time = self.expiry_time_read().await?;
            *held = ExpiryClock { epoch: Some(epoch), at: None, time, stored_ms: None };
        }
        let ran = held
            .at
            .replace(Instant::now())
            .map_or(0, |at| i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX));
        let clock_ms = self.clock().now_ms();
        let mut time = held.time.unwrap_or(BelievedTime::of_clock(clock_ms));
        self.inner.times.seen.add_to(&mut time);
        let step = time.go_on(clock_ms, ran);
        self.inner.times.seen.watch(&time, step);
        held.time = Some(time);
        self.inner.times.dated.learn(clock_ms, time.at_ms);
        tell(step, clock_ms);
        let is_recent =
            |stored_ms: i64| (0..STORED_EVERY_MS).contains(&time.at_ms.saturating_sub(stored_ms));
        if step != TimeStep::On {
            held.stored_ms = None;
        }
        if !held.stored_ms.is_some_and(is_recent) {
            match self.expiry_time_write(time).await {
                Ok(()) => held.stored_ms = Some(time.at_ms),
                // What has expired makes room.
                Err(Error::Full) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(time.at_ms)
    }

    /// The time that messages are dated with, in milliseconds since 1970. It is what the clock
    /// shows, unless that is behind what was known by more than two days.
    #[must_use]
    pub fn dating_ms(&self) -> i64 {
        self.inner.times.dated.now_ms(self.clock().now_ms())
    }

    /// A server has dated a new message, in milliseconds since 1970. This shows whether the clock
    /// can be believed.
    pub fn date_seen(&self, dated_ms: i64) {
        self.inner.times.seen.note(dated_ms);
        self.inner.times.dated.witness(dated_ms, self.clock().now_ms());
    }

    /// Believes the clock as it is now. For those who know the time, as a simulation does. Nothing
    /// happens if this process does not lead.
    pub async fn clock_believe(&self) {
        let Some(lease) = self.inner.lease() else {
            return;
        };
        let mut held = self.inner.times.expiry.lock().await;
        let time = BelievedTime::of_clock(self.clock().now_ms());
        *held = ExpiryClock {
            epoch: Some(lease.epoch),
            at: Some(Instant::now()),
            time: Some(time),
            stored_ms: None,
        };
        self.inner.times.seen.watch(&time, TimeStep::Believed);
        self.inner.times.dated.believe(time.at_ms);
    }

    /// The key under which `meta` has the time of the group.
    fn expiry_time_name(&self) -> String {
        format!("expiry time of {}", self.inner.member().group())
    }

    /// The latest time of all groups, because a process that leads another group than before knows
    /// no more about its clock than it did.
    async fn expiry_time_read(&self) -> Result<Option<BelievedTime>, Error> {
        // The names end in the number of the group, and `:` comes behind all digits.
        let sql = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" >= $1 AND \"name\" < $2";
        let all = Statement::new(sql).bind("expiry time of ").bind("expiry time of :");
        let rows = self.read(all).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let times = rows.iter().filter_map(|row| BelievedTime::from_bytes(row.bytes(0)?));
        Ok(Some(times.max_by_key(|time| time.at_ms).unwrap_or_else(|| {
            tracing::warn!("the time by which things expire cannot be read: the clock is doubted");
            BelievedTime::of_clock(0)
        })))
    }

    async fn expiry_time_write(&self, time: BelievedTime) -> Result<(), Error> {
        let sql = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ($1, $2)
            ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
        let noted = Statement::new(sql).bind(self.expiry_time_name()).bind(time.to_bytes());
        self.write_at_need(vec![noted, self.inner.times.dated.kept()]).await.map(drop)
    }
}

/// Writes into the log what has become of the time.
fn tell(step: TimeStep, clock_ms: i64) {
    let clock = Timestamp::from_ms(clock_ms);
    match step {
        TimeStep::On => {}
        TimeStep::Ahead(_) => tracing::warn!(
            %clock,
            "the clock is ahead by more than the time for which Postroom has run: what has expired \
             by that is not deleted until mail servers date new messages alike and Postroom has \
             run for a day, or for a week if no mail comes. If the clock is wrong, set it right"
        ),
        TimeStep::Believed => {
            tracing::info!(%clock, "the clock is believed again: what has expired is deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Work;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use crate::node_details::NodeDetails;
    use postroom_model::Instance;
    use postroom_testkit::on_both;
    use std::sync::Arc;

    const DAY_MS: i64 = 86_400_000;

    #[on_both]
    async fn the_time_by_which_things_expire_follows_no_jump_and_outlives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let begin_ms = 20_000 * DAY_MS;
        time.set(begin_ms);
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        assert_eq!(store.expiry_now_ms().await.unwrap(), begin_ms, "the first clock is believed");
        let is_about = |ms: i64| (begin_ms..begin_ms + DAY_MS / 24).contains(&ms);
        time.set(begin_ms + 365 * DAY_MS);
        assert!(is_about(store.expiry_now_ms().await.unwrap()), "it jumps");
        store.give_up().await.unwrap();
        let other = Instance { group: 7, ..Instance::named("a") };
        store.take_place(other, NodeDetails::default()).await.unwrap();
        let again = store.lead().await.unwrap();
        let now_ms = again.expiry_now_ms().await.unwrap();
        assert!(is_about(now_ms), "another group is no evidence: {now_ms}");
        drop(again);
        store.close().await.unwrap();
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        assert!(is_about(store.expiry_now_ms().await.unwrap()), "a start is no evidence");
        time.set(begin_ms - 400 * DAY_MS);
        assert!(is_about(store.dating_ms()), "no message is dated so far back");
        time.set(begin_ms - DAY_MS);
        assert_eq!(store.dating_ms(), begin_ms - DAY_MS);
        assert_eq!(store.expiry_now_ms().await.unwrap(), begin_ms - DAY_MS, "it goes back");
        time.set(begin_ms);
        store.clock_believe().await;
        assert_eq!(store.expiry_now_ms().await.unwrap(), begin_ms);
    }
}
