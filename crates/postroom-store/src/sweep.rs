//! The sweep, once a minute: it removes expired data, and writes times that are only in memory.

use crate::error::Error;
use crate::store::Inner;
use crate::store::Store;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two sweeps.
const SWEEP: Duration = Duration::from_secs(60);
/// The time between two sweeps while the disk is full.
const SWEEP_FULL: Duration = Duration::from_secs(2);
/// The time between two looks at S3 while it does not work.
const OBJECTS_AGAIN: Duration = Duration::from_secs(10);
/// The time between two comparisons of the bucket with the rows.
const OBJECTS_LISTED: Duration = Duration::from_secs(6 * 3600);
/// An object that no row names is removed at this age. So whoever restores an older state of the
/// database has this time to return to the newer one.
const OBJECTS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a batch that refers to content may run after nothing else holds the content.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

impl Store {
    /// Sweeps once a minute, as long as the store exists.
    pub(crate) async fn sweep_on(inner: Weak<Inner>) {
        loop {
            let is_full = inner.upgrade().is_some_and(|inner| inner.database.is_full());
            tokio::time::sleep(if is_full { SWEEP_FULL } else { SWEEP }).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let lease = inner.lease();
            let store = Self { lease, ..Self::of_inner(inner) };
            store.sweep().await;
        }
    }

    /// Removes objects once a minute, and compares the bucket with the rows every six hours. If S3
    /// does not work, it is looked at more often, so that who waits for it need not try. This runs
    /// beside the sweep, because S3 may take long, and the sweep must renew the row of this
    /// process in time.
    pub(crate) async fn objects_on(inner: Weak<Inner>) {
        let mut listed: Option<Instant> = None;
        loop {
            for _ in 0..SWEEP.as_secs() / OBJECTS_AGAIN.as_secs() {
                tokio::time::sleep(OBJECTS_AGAIN).await;
                let Some(store) = inner.upgrade().map(Self::of_inner) else {
                    return;
                };
                if store.objects_trouble().is_some() {
                    // It notes the answer.
                    let _ = store.objects_reached().await;
                }
            }
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let lease = inner.lease();
            let store = Self { lease, ..Self::of_inner(inner) };
            if let Err(error) = store.objects_remove().await {
                tracing::warn!(%error, "objects of deleted contents were not removed: tried again");
            }
            if store.lease.is_none() || listed.is_some_and(|at| at.elapsed() < OBJECTS_LISTED) {
                continue;
            }
            match store.objects_sweep(OBJECTS_KEPT).await {
                Ok(()) => listed = Some(Instant::now()),
                Err(error) => tracing::warn!(
                    %error,
                    "the bucket was not compared with the contents: tried again"
                ),
            }
        }
    }

    /// Sweeps once. Data that does not belong to a single process is removed only by the leader.
    pub(crate) async fn sweep(&self) {
        let own = Self { lease: None, ..self.clone() };
        if self.inner.database.is_full() {
            // It notes whether there is space again, also where nobody writes.
            let _ = self.check().await;
        }
        if let Err(error) = self.renew().await {
            tracing::error!(%error, "this process did not say that it is still there");
        }
        if let Err(error) = self.keys_forget().await {
            tracing::warn!(%error, "keys of domains that were erased were not forgotten");
        }
        if self.lease.is_some() && !self.is_deposed() {
            // On a full disk, they stay in memory, and the try shows whether there is space again.
            match self.poll_times_write().await {
                Ok(_) | Err(Error::Full) => {}
                Err(error) => tracing::warn!(
                    %error,
                    "the times of polls were not written; they are tried again"
                ),
            }
            if let Err(error) = self.feed_trim().await {
                tracing::error!(%error, "the change feed was not trimmed");
            }
            if let Err(error) = self.purge().await {
                tracing::error!(%error, "messages of a deleted account were not deleted");
            }
            self.erase_on().await;
            if let Err(error) = self.usage_count().await {
                tracing::error!(%error, "what domains with limits have was not counted");
            }
            if let Err(error) = self.once_trim().await {
                tracing::error!(%error, "old keys of clients were not thrown away");
            }
            if let Err(error) = self.claims_trim().await {
                tracing::error!(%error, "claims that ended long ago were not thrown away");
            }
            if let Err(error) = self.audit_trim().await {
                tracing::error!(%error, "old entries of the audit were not thrown away");
            }
            if let Err(error) = self.job_trim().await {
                tracing::error!(%error, "jobs that ended long ago were not thrown away");
            }
        }
        if let Err(error) = own.token_uses_write().await {
            tracing::warn!(%error, "the times at which tokens were used were not written");
        }
        if let Err(error) = own.session_uses_write().await {
            tracing::warn!(%error, "the times at which sessions were used were not written");
        }
        own.notices_write().await;
        let swept = own.blob_sweep_abandoned(ABANDONED_AFTER).await;
        if let Err(error) = swept.and(own.blob_sweep().await) {
            tracing::error!(%error, "contents that nothing refers to were not thrown away");
        }
        if let Err(error) = own.classes_refresh().await {
            tracing::error!(%error, "the classes were not read again");
        }
        own.classes_settle_on().await;
        own.tidy().await;
    }

    /// Writes the times that are only in memory, before the process ends.
    pub(crate) async fn sweep_last(&self) {
        let own = Self { lease: None, ..self.clone() };
        if let Err(error) = own.token_uses_write().await {
            tracing::warn!(%error, "the times at which tokens were last used were not written");
        }
        own.notices_write().await;
        let leader = Self { lease: self.inner.lease(), ..self.clone() };
        if leader.lease.is_none() || leader.is_deposed() {
            return;
        }
        if let Err(error) = leader.poll_times_write().await {
            tracing::warn!(%error, "the times of the last polls were not written");
        }
    }

    /// Gives back the space of deleted data in small steps, so that others can write in between.
    pub(crate) async fn tidy(&self) {
        loop {
            match self.inner.database.tidy().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "the space of deleted mail was not given back; it is tried again"
                    );
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectsAccess;
    use crate::blob::Content;
    use crate::clock::Clock;
    use crate::database::Answer;
    use crate::database::Database;
    use crate::database::Outcome;
    use crate::database::Room;
    use crate::database::Statement;
    use crate::database_front::DatabaseFront;
    use crate::entity::NewEntity;
    use crate::entity_place::EntityPlace;
    use crate::file::NewContent;
    use crate::file::NewFile;
    use crate::fixture::StoreBehind;
    use crate::fixture::open_behind;
    use crate::fixture::store_in;
    use crate::poll_times::PollTimes;
    use crate::work::Work;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::FolderId;
    use postroom_model::Timestamp;
    use postroom_model::builtin::MESSAGES;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    /// How many bytes a page has.
    const PAGE_BYTES: u64 = 8192;
    /// How many pages a step may give back, with a page of the map of pages that they empty.
    const STEP_PAGES: i64 = 256 + 1;

    async fn pages(store: &Store) -> i64 {
        let rows = store.read(Statement::new("PRAGMA page_count")).await.unwrap();
        rows[0].whole(0).unwrap()
    }

    /// Keeps a hundred messages of 200 KB that cannot be compressed, then deletes nine of ten.
    async fn filled(store: &Store) -> i64 {
        let class = store.builtin(MESSAGES).unwrap();
        let domain = Domain::default_domain();
        let mut random = fastrand::Rng::with_seed(7);
        let mut ids = vec![];
        for _ in 0..100 {
            let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(200_000).collect();
            let file = NewFile {
                property: "file".to_owned(),
                name: "a".to_owned(),
                media_type: "a/b".to_owned(),
                content_id: None,
                content: NewContent::Own(Content::prepare(&noise)),
            };
            let values = json!({"messageDirection": "out"}).as_object().unwrap().clone();
            let entity = Entity::new(store.clock().new_id(), values);
            ids.push(entity.id);
            let new = NewEntity { entity, files: vec![file] };
            store.entity_create(&domain, &class, vec![new]).await.unwrap();
        }
        let full = pages(store).await;
        for id in ids.into_iter().skip(10) {
            store.entity_delete(EntityPlace::new(&domain, &class, id), None).await.unwrap();
        }
        full
    }

    /// A database on a disk that is full as long as it is so wished.
    #[derive(Debug)]
    struct FullDisk {
        database: Arc<dyn Database>,
        is_full: Arc<AtomicBool>,
        /// How many batches it was given that write times of polls.
        times: Arc<AtomicUsize>,
    }

    impl DatabaseFront for FullDisk {
        fn behind(&self) -> &dyn Database {
            self.database.as_ref()
        }

        fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
            if batch.iter().any(|statement| statement.sql.contains("\"lastPollAt\" =")) {
                self.times.fetch_add(1, Ordering::Relaxed);
                if self.is_full.load(Ordering::Relaxed) {
                    return Box::pin(async { Err(Error::Full) });
                }
            }
            self.database.write(batch, room)
        }

        fn is_full(&self) -> bool {
            self.is_full.load(Ordering::Relaxed)
        }
    }

    #[on_both]
    async fn times_of_polls_stay_in_memory_while_the_disk_is_full() {
        let (is_full, times) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let front = |database| -> (Arc<dyn Database>, ()) {
            let (is_full, times) = (Arc::clone(&is_full), Arc::clone(&times));
            (Arc::new(FullDisk { database, is_full, times }), ())
        };
        let StoreBehind { directory: _directory, store, .. } =
            open_behind(front, ObjectsAccess::None).await;
        let polled = PollTimes { poll: Some(Timestamp::from_ms(1)), proof: None };
        store.inner.unwritten.note(FolderId::from_u128(7), polled);
        store.sweep().await;
        assert_eq!(times.load(Ordering::Relaxed), 1, "the next try may find space");
        assert!(!store.inner.unwritten.all().is_empty());
        is_full.store(false, Ordering::Relaxed);
        store.sweep().await;
        assert_eq!(times.load(Ordering::Relaxed), 2, "they were not forgotten");
        assert!(store.inner.unwritten.all().is_empty());
    }

    // SQLite alone: PostgreSQL gives space back by itself.
    #[tokio::test]
    async fn space_is_given_back_in_steps_so_that_others_can_write_in_between() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(directory.path(), Clock::system(), Work::Threads).await;
        let full = filled(&store).await;
        let (mut before, mut steps) = (pages(&store).await, 0);
        while store.inner.database.tidy().await.unwrap() {
            let now = pages(&store).await;
            assert!(now < before && before - now <= STEP_PAGES, "{before} {now}");
            before = now;
            steps += 1;
        }
        let left = pages(&store).await;
        assert!(steps > 1 && left < full / 4, "{steps} steps, {left} of {full} pages");
    }

    // SQLite alone: PostgreSQL gives space back by itself.
    #[tokio::test]
    async fn the_file_shrinks_while_the_store_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(directory.path(), Clock::system(), Work::Threads).await;
        let full = filled(&store).await;
        let size = || std::fs::metadata(directory.path().join(crate::DATABASE_FILE)).unwrap().len();
        store.sweep().await;
        let size_bytes = size();
        let left = size_bytes / PAGE_BYTES;
        assert!(left < u64::try_from(full).unwrap() / 4, "{left} of {full} pages");
    }
}
