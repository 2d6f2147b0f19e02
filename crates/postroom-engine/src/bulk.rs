//! Changes and deletions of many entities for clients. Each entity is changed by itself, by the
//! rules of a change of one, and only while it matches the filter.
//!
//! A request changes a few entities at once. More are a job, which continues after a restart. If a
//! client changes the classes meanwhile, the remaining entities are changed by the new classes.

use crate::error::Error as EngineError;
use crate::posted;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::JobId;
use postroom_model::Rights;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_store::BulkWork;
use postroom_store::ChangeTerms;
use postroom_store::DeleteTerms;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Job;
use postroom_store::JobKind;
use postroom_store::JobStep;
use postroom_store::Store;
use postroom_store::Updated;
use serde_json::Value as Json;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// How many entities are changed at once, so that one commit serves several.
const AT_ONCE: usize = 8;
/// How many entities of a job are read at once.
const PAGE: u32 = 200;
/// How often a change is tried when others change the same entity meanwhile.
const TRIES_MAX: usize = 20;
/// How often one after another the classes may be changed before anything was done.
const ROUNDS_MAX: usize = 20;
/// How many reasons are kept of those that were not changed.
const REASONS_MAX: usize = 100;

/// What a client asked for: the action, and the entities that it is about.
#[derive(Debug, Clone, Copy)]
pub struct Bulk<'a> {
    /// The store that has the entities.
    pub store: &'a Store,
    /// The tenant.
    pub domain: &'a Domain,
    /// The name of the class.
    pub classname: &'a str,
    /// An entity must match it at the moment of its change. `None`: any does.
    pub filter: Option<&'a Json>,
    /// The action.
    pub work: &'a BulkWork,
    /// The job whose progress is recorded with each entity. `None`: a request does it.
    pub job: Option<JobId>,
}

/// The result of the action.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many entities were looked at.
    pub done: u64,
    /// How many of them were changed or deleted.
    pub changed: u64,
    /// How many entities could not be changed or deleted.
    pub failed: u64,
    /// Why the first of these entities could not be changed.
    pub reasons: Vec<(EntityId, String)>,
    /// Why the action ended before all entities were looked at.
    pub broken: Option<Error>,
}

impl Tally {
    fn refuse(&mut self, id: EntityId, why: String) {
        self.failed += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push((id, why));
        }
    }
}

/// The class and the filter as they are at a moment.
struct Aim {
    class: Arc<Class>,
    filter: Option<Filter>,
}

/// The result for one entity.
enum Became {
    Changed,
    /// The entity has the values already, no longer matches, or is no longer listed in the job.
    Same,
    /// The rules do not allow the change.
    Refused(String),
    /// A client changed the classes, so the entity has to be looked at again.
    Open,
    /// The store failed with another entity, so nothing was done.
    Left,
}

/// The action on one entity.
type EntityWork<'a> = Pin<Box<dyn Future<Output = (EntityId, Result<Became, Error>)> + Send + 'a>>;

impl Bulk<'_> {
    /// Carries out the action on these entities.
    pub async fn run(&self, entities: &[EntityId]) -> Tally {
        let (mut tally, mut left) = (Tally::default(), entities.to_vec());
        let mut why = Failed::OtherClasses.to_string();
        for _ in 0..ROUNDS_MAX {
            let aim = match self.aim() {
                Ok(aim) => aim,
                Err(reason) => {
                    why = reason;
                    break;
                }
            };
            left = self.round(&aim, &left, &mut tally).await;
            if left.is_empty() || tally.broken.is_some() {
                return tally;
            }
            if let Err(error) = self.store.classes_refresh().await {
                tally.broken = Some(error);
                return tally;
            }
        }
        for id in left {
            tally.done += 1;
            tally.refuse(id, why.clone());
        }
        tally
    }

    /// The class and the filter as they are now, or why that is not possible.
    fn aim(&self) -> Result<Aim, String> {
        let class = self.store.class_of(self.domain, self.classname);
        let class = class.ok_or_else(|| format!("the class {} was deleted", self.classname))?;
        let classes = self.store.classes().of(self.domain);
        let read = |json| filter::parse(Names::among(&class, &classes), json);
        let filter = self.filter.map(read).transpose();
        let filter = filter
            .map_err(|invalid| format!("the filter does not fit the class any more: {invalid}"))?;
        Ok(Aim { class, filter })
    }

    /// Carries out the action on these entities by the classes of a moment. Gives the entities for
    /// which the classes were changed meanwhile.
    async fn round(&self, aim: &Aim, ids: &[EntityId], tally: &mut Tally) -> Vec<EntityId> {
        let stopped = AtomicBool::new(false);
        let mut all: Vec<EntityWork<'_>> = vec![];
        for id in ids.iter().copied() {
            let stopped = &stopped;
            all.push(Box::pin(async move {
                if stopped.load(Ordering::Relaxed) {
                    return (id, Ok(Became::Left));
                }
                (id, self.one(aim, id).await)
            }));
        }
        let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
        let mut open = vec![];
        // Those that have begun are waited for, so that what they did is counted.
        while let Some((id, became)) = all.next().await {
            match became {
                Ok(Became::Open) => open.push(id),
                Ok(Became::Left) => {}
                Ok(Became::Same) => tally.done += 1,
                Ok(Became::Changed) => {
                    tally.done += 1;
                    tally.changed += 1;
                }
                Ok(Became::Refused(why)) => {
                    tally.done += 1;
                    tally.refuse(id, why);
                }
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    tally.broken.get_or_insert(error);
                }
            }
        }
        open
    }

    /// Carries out the action on one entity. One batch has the change and the progress of the job.
    async fn one(&self, aim: &Aim, id: EntityId) -> Result<Became, Error> {
        let became = self.tried(aim, id).await?;
        let failed = match &became {
            Became::Same => None,
            Became::Refused(why) => Some(why.as_str()),
            Became::Changed | Became::Open | Became::Left => return Ok(became),
        };
        if let Some(job) = self.job {
            // If it was recorded before, or the job was deleted, there is nothing to record.
            self.store.bulk_record(JobStep { job, entity: id, changed: false, failed }).await?;
        }
        Ok(became)
    }

    async fn tried(&self, aim: &Aim, id: EntityId) -> Result<Became, Error> {
        for _ in 0..TRIES_MAX {
            match self.attempt(aim, id).await {
                Ok(Updated::Done(_)) => return Ok(Became::Changed),
                Ok(Updated::Missing) => return Ok(Became::Same),
                // It was changed meanwhile: does it still match?
                Ok(Updated::Stale { .. }) => {}
                Err(error) => return refusal(error),
            }
        }
        Ok(Became::Refused(Failed::Crowded.to_string()))
    }

    /// Changes an entity, if it still matches and differs.
    async fn attempt(&self, aim: &Aim, id: EntityId) -> Result<Updated, Error> {
        let (store, class) = (self.store, aim.class.as_ref());
        let place = EntityPlace::new(self.domain, class, id);
        let Some(current) = store.entity_matching(place, aim.filter.as_ref()).await? else {
            return Ok(Updated::Missing);
        };
        let if_version = Some(current.version);
        let step = self.job.map(|job| JobStep { job, entity: id, changed: true, failed: None });
        let read = Some(&current);
        let terms = DeleteTerms { if_version, read };
        match (self.work, step) {
            (BulkWork::Delete, Some(step)) => store.bulk_delete(place, terms, step).await,
            (BulkWork::Delete, None) => store.entity_delete_on(place, terms).await,
            (BulkWork::Patch(sent), step) => {
                let changes = posted::changes(store, place, &current, sent).await?;
                if changes.is_empty() {
                    return Ok(Updated::Missing);
                }
                let terms = ChangeTerms { if_version, read, step, ..ChangeTerms::default() };
                store.entity_update_on(place, &changes, terms).await
            }
        }
    }
}

/// What an error says of the one entity. It is given back if it is about all.
fn refusal(error: Error) -> Result<Became, Error> {
    if matches!(error, Error::Condition(Failed::OtherClasses)) {
        return Ok(Became::Open);
    }
    if matches!(error, Error::Condition(Failed::NoJob)) {
        return Ok(Became::Same);
    }
    // A job must not stop at one entity for ever. A process that no longer leads records nothing.
    if error.is_about_one() { Ok(Became::Refused(error.to_string())) } else { Err(error) }
}

/// Runs a job to its end, or until it is deleted.
///
/// # Errors
///
/// When the store fails. The job goes on with what is not done.
pub async fn work(store: &Store, job: &Job) -> Result<(), EngineError> {
    let client = match &job.modifier {
        Some(name) => store.on_behalf_of(name),
        None => store.clone(),
    };
    let work = match (job.kind, &job.changes) {
        (JobKind::Delete, _) => BulkWork::Delete,
        (_, Some(changes)) => BulkWork::Patch(changes.clone()),
        (_, None) => {
            let reason = "the job is damaged: what it should change is missing";
            return Ok(store.bulk_end(job.id, Some(reason)).await?);
        }
    };
    let bulk = Bulk {
        store: &client,
        domain: &job.domain,
        classname: &job.class,
        filter: job.filter.as_ref(),
        work: &work,
        job: Some(job.id),
    };
    let mut rounds = 0;
    loop {
        // It has none either if it was deleted.
        let entities = store.bulk_next(job.id, PAGE).await?;
        if entities.is_empty() {
            return Ok(store.bulk_end(job.id, None).await?);
        }
        let aim = match bulk.aim() {
            Ok(aim) => aim,
            Err(reason) => return Ok(store.bulk_end(job.id, Some(&reason)).await?),
        };
        let bounded = match job.rights.as_ref().map(Rights::from_json) {
            None => client.clone(),
            Some(Ok(rights)) => client.clone().within(&job.domain, &rights),
            Some(Err(_)) => {
                let reason =
                    "the job is damaged: the rights of who asked for it are not understood";
                return Ok(store.bulk_end(job.id, Some(reason)).await?);
            }
        };
        let mut tally = Tally::default();
        let bulk = Bulk { store: &bounded, ..bulk };
        let open = bulk.round(&aim, &entities, &mut tally).await;
        if let Some(error) = tally.broken {
            return Err(error.into());
        }
        rounds = if tally.done > 0 { 0 } else { rounds + 1 };
        if rounds > ROUNDS_MAX {
            return Err(Error::Condition(Failed::OtherClasses).into());
        }
        if !open.is_empty() {
            store.classes_refresh().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::fixture::create;
    use crate::jobs;
    use crate::shared::Shared;
    use postroom_model::Query;
    use postroom_model::builtin::MESSAGES;
    use postroom_store::BulkOrder;
    use postroom_store::JobState;
    use serde_json::json;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// Messages of these subjects.
    async fn messages(shared: &Shared, subjects: &[&str]) -> Vec<EntityId> {
        let mut ids = vec![];
        for subject in subjects {
            let message = json!({"messageDirection": "out", "subject": subject});
            ids.push(create(&shared.store, MESSAGES, message).await);
        }
        ids
    }

    /// The subjects of all messages.
    async fn subjects(shared: &Shared) -> Vec<String> {
        let class = shared.store.builtin(MESSAGES).unwrap();
        let (domain, query) = (Domain::default_domain(), Query { limit: 1000, ..Query::default() });
        let found = shared.store.entity_list(&domain, &class, &query).await.unwrap();
        let mut found: Vec<_> =
            found.iter().map(|one| one.text("subject").unwrap().to_owned()).collect();
        found.sort_unstable();
        found
    }

    fn subject_is(subject: &str) -> Json {
        json!(["==", ["property", "subject"], subject])
    }

    async fn run(
        shared: &Shared,
        filter: Option<&Json>,
        work: &BulkWork,
        ids: &[EntityId],
    ) -> Tally {
        let (store, domain) = (&shared.store, &Domain::default_domain());
        Bulk { store, domain, classname: MESSAGES, filter, work, job: None }.run(ids).await
    }

    #[tokio::test]
    async fn each_entity_is_changed_by_itself_and_only_while_it_matches() {
        let (_directory, shared) = fixture::shared().await;
        let mut ids = messages(&shared, &["a", "b", "a"]).await;
        ids.push(EntityId::from_u128(1));
        let work = BulkWork::Patch(json!({"subject": "new"}));
        let tally = run(&shared, Some(&subject_is("a")), &work, &ids).await;
        assert_eq!((tally.done, tally.changed, tally.failed), (4, 2, 0), "{tally:?}");
        assert_eq!(subjects(&shared).await, ["b", "new", "new"]);
        // What is so already is not changed again.
        let tally = run(&shared, None, &work, &ids).await;
        assert_eq!((tally.done, tally.changed), (4, 1), "{tally:?}");
        let tally = run(&shared, Some(&subject_is("old")), &BulkWork::Delete, &ids).await;
        assert_eq!((tally.done, tally.changed), (4, 0), "{tally:?}");
        let tally = run(&shared, None, &BulkWork::Delete, &ids).await;
        assert_eq!((tally.done, tally.changed), (4, 3), "{tally:?}");
        assert!(subjects(&shared).await.is_empty());
    }

    #[tokio::test]
    async fn an_entity_that_the_rules_keep_as_it_is_says_why_and_stops_no_other() {
        let (_directory, shared) = fixture::shared().await;
        let ids = messages(&shared, &["a", "b"]).await;
        let account = json!({"account_id": "018f0000-0000-7000-8000-000000000000"});
        let tally = run(&shared, None, &BulkWork::Patch(account), &ids).await;
        assert_eq!((tally.done, tally.changed, tally.failed), (2, 0, 2), "{tally:?}");
        let refused: Vec<_> = tally.reasons.iter().map(|(id, _)| *id).collect();
        assert!(ids.iter().all(|id| refused.contains(id)), "{tally:?}");
        assert!(tally.reasons.iter().all(|(_, why)| why.contains("account")), "{tally:?}");
        assert!(tally.broken.is_none(), "{tally:?}");
        // A filter of a property that is not there fits none of them.
        let filter = json!(["==", ["property", "gone"], "x"]);
        let tally = run(&shared, Some(&filter), &BulkWork::Delete, &ids).await;
        assert_eq!((tally.done, tally.failed), (2, 2), "{tally:?}");
        assert!(tally.reasons[0].1.starts_with("the filter does not fit the class"), "{tally:?}");
        assert_eq!(subjects(&shared).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_job_does_what_was_listed_and_says_what_came_of_it() {
        let (_directory, shared) = fixture::shared().await;
        let many = vec!["a"; PAGE as usize + 10];
        let ids = messages(&shared, &many).await;
        let (class, domain) = (shared.store.builtin(MESSAGES).unwrap(), Domain::default_domain());
        let order = |work, entities| {
            let filter = Some(subject_is("a"));
            shared.store.bulk_create(
                &domain,
                &class,
                BulkOrder { filter, work, entities, once: None },
            )
        };
        let patch = order(BulkWork::Patch(json!({"subject": "b"})), &ids[..PAGE as usize + 5]);
        let patch = patch.await.unwrap();
        let delete = order(BulkWork::Delete, &ids[..]).await.unwrap();
        // What comes later is not listed.
        messages(&shared, &["a"]).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(jobs::run(Arc::clone(&shared), stop.clone()));
        let ended = async {
            let mut ended = vec![];
            for id in [patch.id, delete.id] {
                loop {
                    let job = shared.store.job_get(&domain, id).await.unwrap().unwrap();
                    if job.state == JobState::Done {
                        ended.push(job.counts);
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            ended
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
        let counts: Vec<_> = ended.iter().map(|one| (one.done, one.changed, one.failed)).collect();
        let (page, all) = (u64::from(PAGE), u64::from(PAGE) + 10);
        assert_eq!(counts, [(page + 5, page + 5, 0), (all, 5, 0)]);
        let left = subjects(&shared).await;
        assert_eq!(left.iter().filter(|subject| *subject == "b").count(), PAGE as usize + 5);
        assert_eq!(left.iter().filter(|subject| *subject == "a").count(), 1);
        stop.cancel();
        running.await.unwrap();
    }
}
