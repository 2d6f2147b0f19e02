//! Changes and deletions of many entities, and the jobs for more of them than one request may have.
//!
//! The entities of a job are listed when it is created. So it never touches more entities than were
//! counted then, and it ends even if its changes make other entities match. Each entity is changed
//! in one batch with the progress of the job, so it is changed exactly once.

use crate::bell::Topic;
use crate::change::Updated;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delete_terms::DeleteTerms;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::job;
use crate::job::Job;
use crate::job::JobKind;
use crate::job::JobStep;
use crate::once;
use crate::once::Once;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::JobId;
use postroom_model::Query;
use postroom_model::RightAction;
use postroom_model::filter::Literal;
use serde_json::Value as Json;

/// How many ids are read at once.
const IDS_AT_ONCE: u32 = 10_000;
/// How many ids one statement writes.
const IDS_WRITTEN: usize = 500;

/// What is done with many entities.
#[derive(Debug, Clone, PartialEq)]
pub enum BulkWork {
    /// They are changed. The JSON has the changes, as a client sent them.
    Patch(Json),
    /// They are deleted.
    Delete,
}

/// A job for many entities.
#[derive(Debug)]
pub struct BulkOrder<'a> {
    /// The filter, as it was sent. Each entity must still match it when its turn comes.
    pub filter: Option<Json>,
    /// What is done.
    pub work: BulkWork,
    /// The entities.
    pub entities: &'a [EntityId],
    /// Creates the job only if nothing was created under this key before.
    pub once: Option<&'a Once>,
}

impl Store {
    /// The ids of the entities that match a filter, ascending. If there are more than `count_max`,
    /// the list ends after `count_max + 1`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_ids(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<&Filter>,
        count_max: usize,
    ) -> Result<Vec<EntityId>, Error> {
        let mut ids: Vec<EntityId> = vec![];
        let shown = Some(vec![]);
        let mut query = Query { filter: filter.cloned(), shown, ..Query::default() };
        loop {
            let left = (count_max + 1).saturating_sub(ids.len());
            query.limit = IDS_AT_ONCE.min(u32::try_from(left).unwrap_or(u32::MAX));
            query.after = ids.last().map(|last| vec![Literal::Id(*last)]);
            let page = self.entity_list(domain, class, &query).await?;
            ids.extend(page.iter().map(|entity| entity.id));
            if page.len() < query.limit as usize || ids.len() > count_max {
                return Ok(ids);
            }
        }
    }

    /// An entity, if it matches a filter. `None`: it does not, or there is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_matching(
        &self,
        place: EntityPlace<'_>,
        filter: Option<&Filter>,
    ) -> Result<Option<Entity>, Error> {
        let EntityPlace { domain, class, id } = place;
        let filter = self.filter_within(RightAction::Read, class, filter);
        let mut conditions = self.conditions(domain);
        let filter = filter.map(|filter| format!(" AND {}", conditions.filter(&filter)));
        let id = conditions.bind(Value::Id(id));
        let sql = format!(
            "{} WHERE \"id\" = {id} AND \"domain\" = $1{}",
            Self::select(class),
            filter.unwrap_or_default()
        );
        let select = Statement::new(sql).bind_all(conditions.values).of_class(class);
        let rows = self.read(select).await?;
        rows.first().map(|row| self.entity_of(class, row)).transpose()
    }

    /// Stores a new job for many entities.
    ///
    /// # Errors
    ///
    /// [`Failed::KeyUsed`] when something was created under its key before.
    pub async fn bulk_create(
        &self,
        domain: &Domain,
        class: &Class,
        order: BulkOrder<'_>,
    ) -> Result<Job, Error> {
        let BulkOrder { filter, work, entities, once } = order;
        let (kind, changes) = match work {
            BulkWork::Patch(changes) => (JobKind::Patch, Some(changes)),
            BulkWork::Delete => (JobKind::Delete, None),
        };
        let total = entities.len() as u64;
        let job = Job { filter, changes, total, ..self.new_job(domain, class, kind) };
        let ids = [job.id.to_string()];
        let kept = once.map(|once| once::keep_ids(self, domain, class, once, &ids));
        let mut batch: Vec<_> = kept.into_iter().collect();
        batch.push(job::insert(&job));
        for entities in entities.chunks(IDS_WRITTEN) {
            let places = (2..2 + entities.len()).map(|at| format!("($1, ${at})"));
            let sql = format!(
                "INSERT INTO \"job entity\" (\"job\", \"entity\") VALUES {}",
                places.collect::<Vec<_>>().join(", ")
            );
            let ids = entities.iter().map(|id| Value::Id(*id));
            batch.push(Statement::new(sql).bind(job.id).bind_all(ids));
        }
        match kind {
            JobKind::Delete => self.write_at_need(batch).await?,
            JobKind::Patch | JobKind::Redecompose => self.write(batch).await?,
        };
        self.inner.database.ring(Topic::Jobs);
        Ok(job)
    }

    /// The next entities of a job that are not done yet, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn bulk_next(&self, job: JobId, limit: u32) -> Result<Vec<EntityId>, Error> {
        let sql = "SELECT \"entity\" FROM \"job entity\" WHERE \"job\" = $1
             ORDER BY \"entity\" LIMIT $2";
        let rows = self.read(Statement::new(sql).bind(job).bind(limit)).await?;
        let id = |row: &Row| row.id(0).ok_or(Error::Damaged { what: "an entity of a job" });
        rows.iter().map(id).collect()
    }

    /// Deletes an entity, as [`Self::entity_delete`] does, in one batch with the progress of the
    /// job that deletes it.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_delete`]; [`Failed::NoJob`] when the job no longer has the entity.
    pub async fn bulk_delete(
        &self,
        place: EntityPlace<'_>,
        terms: DeleteTerms<'_>,
        step: JobStep<'_>,
    ) -> Result<Updated, Error> {
        let deleted = self.entity_delete_if(place, terms, step.record().into()).await;
        self.with_referrers(place, deleted).await
    }

    /// Records what a job did with an entity that it did not change. `false`: the job no longer has
    /// the entity.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn bulk_record(&self, step: JobStep<'_>) -> Result<bool, Error> {
        match self.write_at_need(step.record().into()).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::NoJob)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a job. `reason` says why entities are left, which count as failed then. Those that were
    /// deleted meanwhile count as done. What it changed is forgotten.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn bulk_end(&self, job: JobId, reason: Option<&str>) -> Result<(), Error> {
        let sql = "UPDATE \"job\" SET \"state\" = 'done', \"done\" = \"total\", \"ended\" = $2,
             \"changes\" = NULL, \"reason\" = COALESCE($3, \"reason\"), \"failed\" = \"failed\" +
               (SELECT COUNT(*) FROM \"job entity\" WHERE \"job entity\".\"job\" = $1)
             WHERE \"id\" = $1 AND \"state\" = 'open'";
        let end = Statement::new(sql).bind(job).bind(self.clock().now_ms()).bind(reason);
        self.write_at_need(vec![end, job::forget_entities(job)]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::entity::NewEntity;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use serde_json::Map;
    use std::sync::Arc;
    use tempfile::TempDir;

    const DAY_MS: i64 = 24 * 3_600_000;

    /// A store whose time the test sets.
    async fn timed() -> (TempDir, Arc<Time>, Store) {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        (directory, time, store)
    }

    #[on_both]
    async fn a_job_is_kept_for_a_month_after_its_end_and_what_it_changed_is_forgotten_at_once() {
        let (_directory, time, store) = timed().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let entities = [EntityId::nil()];
        let order = || BulkOrder {
            filter: None,
            work: BulkWork::Patch(serde_json::json!({"name": "n"})),
            entities: &entities,
            once: None,
        };
        let open = store.bulk_create(&domain, &class, order()).await.unwrap();
        let ended = store.bulk_create(&domain, &class, order()).await.unwrap();
        store.bulk_end(ended.id, Some("so")).await.unwrap();
        let ended = store.job_get(&domain, ended.id).await.unwrap().unwrap();
        assert_eq!((ended.changes, ended.counts.failed), (None, 1));
        for (days, is_kept) in [(29, true), (31, false)] {
            time.set(days * DAY_MS);
            store.clock_believe().await;
            store.sweep().await;
            let kept = store.job_get(&domain, ended.id).await.unwrap();
            assert_eq!(kept.is_some(), is_kept, "after {days} days");
        }
        let next = store.job_next(&[JobKind::Patch], None).await.unwrap();
        assert_eq!(next, Some(open));
    }

    #[on_both]
    async fn ids_are_read_in_pages_up_to_a_bound() {
        let (_directory, _time, store) = timed().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let count = IDS_AT_ONCE as usize + 3;
        let new = |_| {
            let values = Map::from_iter([("name".to_owned(), Json::from("p"))]);
            NewEntity { entity: Entity::new(store.clock().new_id(), values), files: vec![] }
        };
        for part in (0..count).collect::<Vec<_>>().chunks(1000) {
            let new = part.iter().map(new).collect();
            store.entity_create(&domain, &class, new).await.unwrap();
        }
        let all = store.entity_ids(&domain, &class, None, 1_000_000).await.unwrap();
        assert_eq!(all.len(), count);
        assert!(all.is_sorted());
        for (count_max, want) in [(5, 6), (count - 1, count), (count, count), (0, 1)] {
            let ids = store.entity_ids(&domain, &class, None, count_max).await.unwrap();
            assert_eq!(ids, all[..want], "{count_max}");
        }
    }
}
