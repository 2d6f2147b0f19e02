//! What a store does as an owner of the database, and as the leader of its group.

use crate::chunk::BlobId;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::lease::Lease;
use crate::lease::Member;
use crate::lease::Presence;
use crate::lease::number;
use crate::lease::numbers;
use crate::lease::present;
use crate::lease::until;
use crate::modifier::Modifier;
use crate::node_details::NodeDetails;
use crate::store::Inner;
use crate::store::Store;
use postroom_model::Instance;
use postroom_watch::Watched;
use std::sync::Arc;
use std::sync::PoisonError;

/// How many ids of blobs an owner takes at once.
const BLOBS_AT_ONCE: i64 = 1 << 16;

impl Inner {
    /// Which process this is now, and what it tells of itself.
    pub(crate) fn presence(&self) -> Presence {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which process this is now.
    pub(crate) fn member(&self) -> Member {
        self.presence().member
    }

    pub(crate) fn set_presence(&self, instance: Instance, details: NodeDetails) {
        let mut present = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        present.member.instance = instance;
        present.details = details;
    }
}

impl Store {
    /// Takes the next epoch of the group, and returns the store that the engine of this process
    /// uses. The process that led the group before can write nothing more with its engine.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn lead(&self) -> Result<Self, Error> {
        let batch = vec![Lease::awaits_all(), self.take_lease()];
        let taken = self.inner.database.write(batch, Room::Reserve).await?;
        Ok(self.leading(number(&taken)?))
    }

    /// The statement that takes the next epoch, and returns it. The epochs of all groups are one
    /// row of numbers, because deliveries are recovered by them.
    pub(crate) fn take_lease(&self) -> Statement {
        let (database, member) = (&*self.inner.database, self.inner.member());
        let (now, until) = (database.dialect().now(), until(database));
        let sql = format!(
            "INSERT INTO \"lease\"
               (\"group\", \"holder\", \"epoch\", \"until\", \"seat\", \"since\")
               VALUES ($1, $2, 1 + COALESCE((SELECT MAX(\"epoch\") FROM \"lease\"), 0), {until}, $3,
                 {now})
             ON CONFLICT (\"group\") DO UPDATE SET \"holder\" = excluded.\"holder\",
               \"epoch\" = excluded.\"epoch\", \"until\" = excluded.\"until\",
               \"seat\" = excluded.\"seat\", \"since\" = excluded.\"since\"
             RETURNING \"epoch\""
        );
        let take = Statement::new(sql).bind(member.group()).bind(self.inner.owner);
        take.bind(member.seat)
    }

    /// The store that leads in an epoch.
    pub(crate) fn leading(&self, epoch: i64) -> Self {
        let group = self.inner.member().group();
        let lease = Arc::new(Lease { group, epoch, is_over: Watched::new(false) });
        self.inner.set_lease(Some(&lease));
        let modifier = Modifier::Engine;
        Self { modifier, lease: Some(lease), ..Self::of_inner(Arc::clone(&self.inner)) }
    }

    /// The epoch in which this store leads.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeading`] if [`Self::lead`] did not return this store.
    pub(crate) fn epoch(&self) -> Result<i64, Error> {
        self.lease.as_ref().map(|lease| lease.epoch).ok_or(Error::NotLeading)
    }

    /// Whether another process has taken over from the engine that uses this store.
    #[must_use]
    pub fn is_deposed(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| *lease.is_over.borrow())
    }

    /// Waits until another process takes over from the engine that uses this store.
    pub async fn deposed(&self) {
        let Some(lease) = &self.lease else {
            return std::future::pending().await;
        };
        // The sender lives as long as this store, so waiting cannot fail.
        let _ = lease.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Renews the row and the lease of this process, and deletes the rows of owners that have
    /// expired.
    pub(crate) async fn renew(&self) -> Result<(), Error> {
        let database = &*self.inner.database;
        let mut batch = vec![self.present()];
        let lease = self.lease.as_ref().filter(|_| !self.is_deposed());
        batch.extend(lease.map(|lease| lease.good_until(&until(database))));
        let ended = format!("DELETE FROM \"owner\" WHERE \"until\" < {}", database.dialect().now());
        batch.push(Statement::new(ended));
        let lease = lease.cloned();
        Self { lease, ..self.clone() }.write_at_need(batch).await.map(drop)
    }

    /// The statement that renews the row of this process.
    pub(crate) fn present(&self) -> Statement {
        let key = self.inner.keys.opened().master.mark();
        present(&*self.inner.database, self.inner.owner, &self.inner.presence(), key)
    }

    /// Deletes the row of this process and ends its lease, so that others need not wait for it.
    pub(crate) async fn resign(&self) -> Result<(), Error> {
        let gone = "DELETE FROM \"owner\" WHERE \"id\" = $1";
        let mut batch = vec![Statement::new(gone).bind(self.inner.owner)];
        let now = self.inner.database.dialect().now();
        batch.extend(self.inner.lease().map(|lease| lease.good_until(now)));
        self.inner.database.write(batch, Room::Reserve).await.map(drop)
    }

    /// A new id for a blob. No id is ever given twice.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn blob_id(&self) -> Result<BlobId, Error> {
        let blobs = &self.inner.blobs;
        if let Some(id) = blobs.next() {
            return Ok(id);
        }
        let _one_refills = self.inner.blobs_refill.lock().await;
        if let Some(id) = blobs.next() {
            return Ok(id);
        }
        let take = vec![numbers("blobs", BLOBS_AT_ONCE)];
        let last = number(&self.inner.database.write(take, Room::Free).await?)?;
        blobs.refill(last - BLOBS_AT_ONCE + 1..last + 1);
        blobs.next().ok_or(Error::Damaged { what: "a counter" })
    }
}

impl Inner {
    /// The right of the engine of this process to write. `None`: it does not lead so far.
    pub(crate) fn lease(&self) -> Option<Arc<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the engine of this process leads. `None`: it does not lead any more.
    pub(crate) fn set_lease(&self, lease: Option<&Arc<Lease>>) {
        let mut present = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        *present = lease.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::HEARD_WITHIN;
    use crate::bell::Listener;
    use crate::bell::Topic;
    use crate::blob::Content;
    use crate::database::Value;
    use crate::entity::NewEntity;
    use crate::failed::Failed;
    use crate::fixture::Frozen;
    use crate::fixture::Two;
    use crate::fixture::store_in;
    use crate::job::JobKind;
    use postroom_model::AccountId;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::builtin::MESSAGES;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use secrecy::SecretString;
    use serde_json::json;
    use std::collections::HashSet;
    use std::time::Duration;
    use tokio::time::Instant;

    const MINUTE_MS: i64 = 60_000;
    /// How long a lease is valid.
    const LEASE_MS: i64 = 10_000;
    /// More than is held back before it is written ahead.
    const LARGE_BYTES: usize = 5 << 20;

    async fn number_of(store: &Store, sql: &'static str) -> i64 {
        store.read(Statement::new(sql)).await.unwrap()[0].whole(0).unwrap()
    }

    async fn chunks(store: &Store) -> i64 {
        number_of(store, "SELECT COUNT(*) FROM \"chunk\"").await
    }

    async fn write_nothing(store: &Store) -> Result<(), Error> {
        store.write(vec![Statement::new("DELETE FROM \"once\"")]).await.map(drop)
    }

    fn is_deposed(done: &Result<(), Error>) -> bool {
        matches!(done, Err(Error::Condition(Failed::Deposed)))
    }

    #[on_both]
    async fn who_takes_the_next_epoch_deposes_the_one_before_at_its_next_batch() {
        let two = Two::open().await;
        let former = two.one.lead().await.unwrap();
        write_nothing(&former).await.unwrap();
        let leader = two.other.lead().await.unwrap();
        assert_eq!((former.epoch().unwrap(), leader.epoch().unwrap()), (1, 2));
        assert!(!former.is_deposed(), "nobody has told it yet");
        assert!(is_deposed(&write_nothing(&former).await));
        assert!(is_deposed(&former.write_at_need(vec![former.present()]).await.map(drop)));
        tokio::time::timeout(Duration::from_secs(60), former.deposed()).await.unwrap();
        assert!(former.is_deposed() && !leader.is_deposed());
        write_nothing(&leader).await.unwrap();
        // Clients of the former one go on.
        for store in [&two.one, &two.one.of_client("admin")] {
            write_nothing(store).await.unwrap();
        }
    }

    #[on_both]
    async fn what_the_assert_finds_is_not_told_to_the_caller() {
        let two = Two::open().await;
        let leader = two.one.lead().await.unwrap();
        let batch = || vec![numbers("x", 3), numbers("y", 5)];
        let done = leader.write(batch()).await.unwrap();
        assert_eq!(done.len(), 2);
        assert_eq!((number(&done[..1]).unwrap(), number(&done).unwrap()), (3, 5));
        assert_eq!(leader.write(vec![]).await.unwrap(), []);
    }

    #[on_both]
    async fn the_epochs_of_all_groups_are_one_row_of_numbers() {
        let two = Two::open().await;
        let other = "INSERT INTO \"lease\" (\"group\", \"holder\", \"epoch\", \"until\")
            VALUES ('another', 7, 9, $1)";
        let other = Statement::new(other).bind(Value::Moment(0));
        two.other.write(vec![other]).await.unwrap();
        let leader = two.one.lead().await.unwrap();
        assert_eq!(leader.epoch().unwrap(), 10);
        write_nothing(&leader).await.unwrap();
        let epoch = "SELECT \"epoch\" FROM \"lease\" WHERE \"group\" = 'another'";
        assert_eq!(number_of(&leader, epoch).await, 9);
    }

    #[on_both]
    async fn owners_and_leaders_are_renewed_by_the_clock_of_the_database_and_forgotten_after() {
        let two = Two::open().await;
        let leader = two.one.lead().await.unwrap();
        let until = "SELECT \"until\" FROM \"lease\"";
        let first = number_of(&leader, until).await;
        assert_eq!(first, 1_000_000 + LEASE_MS);
        two.set_time(1_000_000 + MINUTE_MS).await;
        leader.sweep().await;
        assert_eq!(number_of(&leader, until).await, first + MINUTE_MS);
        let owners = "SELECT COUNT(*) FROM \"owner\"";
        assert_eq!(number_of(&leader, owners).await, 2);
        two.set_time(1_000_000 + 4 * MINUTE_MS).await;
        leader.sweep().await;
        assert_eq!(number_of(&leader, owners).await, 1, "the other one has not said that it is");
        two.other.renew().await.unwrap();
        assert_eq!(number_of(&leader, owners).await, 2, "it was only late");
        // A deposed one does not renew the lease of another.
        let next = two.other.lead().await.unwrap();
        write_nothing(&leader).await.unwrap_err();
        two.set_time(1_000_000 + 5 * MINUTE_MS).await;
        leader.sweep().await;
        assert_eq!(number_of(&next, until).await, 1_000_000 + 4 * MINUTE_MS + LEASE_MS);
        leader.resign().await.unwrap();
        assert_eq!(number_of(&next, until).await, 1_000_000 + 4 * MINUTE_MS + LEASE_MS);
        next.resign().await.unwrap();
        assert_eq!(number_of(&next, until).await, 1_000_000 + 5 * MINUTE_MS);
        assert_eq!(number_of(&next, owners).await, 0);
    }

    #[on_both]
    async fn no_sweep_takes_what_another_living_owner_writes_and_each_takes_what_a_dead_one_wrote()
    {
        let two = Two::open().await;
        let mut writers = vec![];
        for store in [&two.one, &two.other] {
            let mut writer = store.blob_writer();
            writer.write(&vec![7; LARGE_BYTES]).await.unwrap();
            writers.push(writer);
        }
        let both = chunks(&two.one).await;
        for store in [&two.one, &two.other, &two.one.lead().await.unwrap()] {
            store.sweep().await;
        }
        assert_eq!(chunks(&two.one).await, both);
        // One of them falls silent, as a process does that is stopped.
        two.set_time(1_000_000 + 4 * MINUTE_MS).await;
        two.one.sweep().await;
        assert_eq!(chunks(&two.one).await, both / 2);
        let mut late = writers.pop().unwrap();
        let refused = late.write(&vec![8; LARGE_BYTES]).await;
        assert!(matches!(refused, Err(Error::Condition(Failed::Finished))), "{refused:?}");
        assert_eq!(chunks(&two.one).await, both / 2, "nothing is left of what it wrote late");
        let content = writers.pop().unwrap().finish().await.unwrap();
        let (_, batch) = content.statements(&two.one).await.unwrap();
        two.one.write(batch).await.unwrap();
        two.other.sweep().await;
        assert!(chunks(&two.one).await >= both / 2, "finished content stays");
        // It writes again, and is there again.
        let mut again = two.other.blob_writer();
        again.write(&vec![9; LARGE_BYTES]).await.unwrap();
        let now = chunks(&two.one).await;
        two.one.sweep().await;
        assert_eq!(chunks(&two.one).await, now);
    }

    // SQLite alone: where others can have the database, they may still write.
    #[tokio::test]
    async fn at_a_start_whatever_earlier_processes_wrote_ahead_is_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let clock = || crate::Clock::system();
        let store = store_in(directory.path(), clock(), crate::Work::Threads).await;
        let mut writer = store.blob_writer();
        writer.write(&vec![7; LARGE_BYTES]).await.unwrap();
        assert!(chunks(&store).await > 0);
        // It is killed: nobody says that it ends.
        store.inner.database.close();
        drop((writer, store));
        let store = store_in(directory.path(), clock(), crate::Work::Threads).await;
        assert_eq!(store.epoch().unwrap(), 2);
        assert_eq!(chunks(&store).await, 0);
        assert_eq!(number_of(&store, "SELECT COUNT(*) FROM \"owner\"").await, 1);
    }

    #[on_both]
    async fn two_owners_never_give_out_the_same_id_of_a_blob() {
        let two = Two::open().await;
        let mut ids = HashSet::new();
        for round in 0..4 {
            for store in [&two.one, &two.other] {
                for _ in 0..10 {
                    assert!(ids.insert(store.blob_id().await.unwrap()));
                }
                // As if all of the range was given out, in every second round.
                if round % 2 == 0 {
                    store.inner.blobs.refill(0..0);
                }
            }
        }
        let least = ids.iter().map(|id| id.0).min().unwrap();
        assert!(least > 1_000_000, "behind those that an earlier version took from its clock");
        let many = (0..100).map(|at| {
            let store = [&two.one, &two.other][at % 2].clone();
            store.inner.blobs.refill(0..0);
            tokio::spawn(async move { store.blob_id().await.unwrap() })
        });
        for id in many.collect::<Vec<_>>() {
            assert!(ids.insert(id.await.unwrap()));
        }
    }

    /// Longer than it takes until a ring counts as heard.
    const MINUTE: Duration = HEARD_WITHIN.saturating_add(Duration::from_secs(1));
    /// How long a ring may take to another process.
    const RING: Duration = Duration::from_secs(10);

    /// Waits until just these have rung since they were asked before.
    async fn heard(listeners: &mut [Listener], expected: &[bool]) {
        let begun = Instant::now();
        let rung = |all: &[Listener]| all.iter().map(Listener::has_rung).collect::<Vec<_>>();
        while rung(listeners) != expected && begun.elapsed() < RING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(rung(listeners), expected);
        listeners.iter_mut().for_each(Listener::catch_up);
    }

    #[on_both]
    async fn what_is_written_through_one_store_is_heard_through_the_other() {
        let two = Two::open().await;
        let domain = Domain::default_domain();
        let (account, another) = (AccountId::from_u128(1), AccountId::from_u128(2));
        let topics = [
            Topic::Configuration,
            Topic::Outgoing(account),
            Topic::Outgoing(another),
            Topic::AnyOutgoing,
            Topic::Jobs,
            Topic::Tokens,
        ];
        let mut listeners = topics.map(|topic| two.other.listen(topic));
        let message = |direction: &str, state: Option<&str>| {
            let values = json!({"account_id": account.to_string(), "messageDirection": direction,
                                "messageState": state});
            Entity::new(two.one.clock().new_id(), values.as_object().unwrap().clone())
        };
        let messages = two.one.builtin(MESSAGES).unwrap();
        for (direction, state) in [("in", Some("received")), ("out", None), ("out", Some("sent"))] {
            two.one.changed(&messages, &message(direction, state));
        }
        heard(&mut listeners, &[false; 6]).await;
        two.one.changed(&messages, &message("out", Some("sending")));
        heard(&mut listeners, &[false, true, false, true, false, false]).await;
        let profiles = two.one.builtin(PROFILES).unwrap();
        let values = json!({"name": "p"}).as_object().unwrap().clone();
        let entity = Entity::new(two.one.clock().new_id(), values);
        let new = vec![NewEntity { entity, files: vec![] }];
        two.one.entity_create(&domain, &profiles, new).await.unwrap();
        heard(&mut listeners, &[true, false, false, false, false, false]).await;
        let job = two.one.job_create(&domain, &messages, None).await.unwrap();
        heard(&mut listeners, &[false, false, false, false, true, false]).await;
        assert_eq!(two.other.job_next(&[JobKind::Redecompose], None).await.unwrap(), Some(job));
        two.one.token_set(&domain, "a", &SecretString::from("one")).await.unwrap();
        heard(&mut listeners, &[false, false, false, false, false, true]).await;
    }

    #[on_both]
    async fn what_nobody_could_tell_is_found_within_a_minute() {
        let two = Two::open_unheard().await;
        let time = Frozen::begin();
        let messages = two.one.builtin(MESSAGES).unwrap();
        let mut listener = two.other.listen(Topic::Jobs);
        let job = two.one.job_create(&Domain::default_domain(), &messages, None).await.unwrap();
        assert!(!listener.has_rung());
        let mut rung = Box::pin(listener.rung());
        for (passed, is_found) in [(Duration::ZERO, false), (MINUTE, true)] {
            time.pass(passed).await;
            let found = tokio::select! {
                biased;
                _ = &mut rung => true,
                () = std::future::ready(()) => false,
            };
            assert_eq!(found, is_found);
        }
        assert_eq!(two.other.job_next(&[JobKind::Redecompose], None).await.unwrap(), Some(job));
    }

    #[on_both]
    async fn a_token_that_another_process_takes_away_is_refused() {
        let domain = Domain::default_domain();
        let [first, second] = ["first", "second"].map(SecretString::from);
        for is_heard in [true, false] {
            let two = if is_heard { Two::open().await } else { Two::open_unheard().await };
            two.one.token_set(&domain, "admin", &first).await.unwrap();
            assert!(two.other.token_verify("first").await.unwrap().is_some());
            two.one.token_set(&domain, "admin", &second).await.unwrap();
            assert_eq!(two.one.token_verify("first").await.unwrap(), None);
            if is_heard {
                let begun = Instant::now();
                while two.other.token_verify("first").await.unwrap().is_some() {
                    assert!(begun.elapsed() < RING);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            } else {
                assert!(two.other.token_verify("first").await.unwrap().is_some());
                let time = Frozen::begin();
                time.pass(MINUTE).await;
                assert!(two.other.token_verify("first").await.unwrap().is_none());
            }
            assert!(two.other.token_verify("second").await.unwrap().is_some());
        }
    }

    #[on_both]
    async fn small_content_needs_no_mark() {
        let two = Two::open().await;
        let (_, batch) = Content::prepare(b"small").statements(&two.one).await.unwrap();
        assert_eq!(batch.len(), 1);
    }
}
