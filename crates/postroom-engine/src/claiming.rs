//! Claims of clients: a worker takes entities that match a filter, with a change of its own, and
//! those that were claimed too often get another change instead.
//!
//! ```text
//!   without `set`   one transaction claims several; those that were claimed too often are changed
//!                   (`claiming_together`)
//!   with `set`      one transaction for each entity claims and changes it
//! ```
//! So whoever has the answer has the entities, and nobody sees an entity that is changed and not
//! claimed, or claimed and not changed. An entity must match the filter after the change of its
//! worker: otherwise nobody would get it again when the claim expires. After the change of those
//! that were claimed too often it must not match.

use crate::posted;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Query;
use postroom_model::client;
use postroom_model::filter;
use postroom_store::ChangeTerms;
use postroom_store::ClaimStep;
use postroom_store::ClaimThen;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Once;
use postroom_store::Store;
use postroom_store::Updated;
use postroom_store::WantedClaim;
use postroom_store::WorkClaim;
use serde_json::Map;
use serde_json::Value as Json;
use std::sync::Arc;

/// How many entities are changed at once, so that one commit serves several.
pub(crate) const AT_ONCE: usize = 16;
/// How often a change is tried when others change the same entity meanwhile.
pub(crate) const TRIES_MAX: usize = 20;
/// How many bytes of JSON the entities of one answer have, and one entity more.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct Claiming<'a> {
    /// The store, as the one who changes the entities.
    pub store: &'a Store,
    /// The tenant.
    pub domain: &'a Domain,
    /// The class, as the query was read.
    pub class: &'a Arc<Class>,
    /// Which entities, in which order, how many.
    pub query: &'a Query,
    /// The worker.
    pub by: &'a str,
    /// How long each is claimed, in milliseconds.
    pub lease_ms: i64,
    /// What is changed of each.
    pub set: Option<&'a Json>,
    /// What becomes of those that were claimed too often.
    pub dead_letter: Option<DeadLetter<'a>>,
    /// Claims only when nothing was claimed under this key before.
    pub once: Option<&'a Once>,
}

/// What becomes of entities that were claimed too often.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// How often an entity is given to a worker.
    pub claims_max: u64,
    /// What is changed instead when its turn comes once more.
    pub set: &'a Json,
}

/// An entity with its claim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedEntity {
    /// The entity, after the change.
    pub entity: Entity,
    /// Its claim.
    pub claim: WorkClaim,
}

impl Claiming<'_> {
    /// Claims them. The answer ends early when it is large.
    ///
    /// # Errors
    ///
    /// [`Failed::KeyUsed`] when something was claimed under the key before; [`Failed::Invalid`] for
    /// a change that the rules do not allow. Then nothing is claimed.
    pub async fn run(&self) -> Result<Vec<ClaimedEntity>, Error> {
        let token = ClaimToken::of(self.store.clock().new_id());
        if self.set.is_some() {
            return self.run_changing(token).await;
        }
        self.run_together(token).await
    }

    /// The query for what is still wanted.
    pub(crate) fn rest(&self, given_count: usize) -> Query {
        let given_count = u32::try_from(given_count).unwrap_or(u32::MAX);
        Query { limit: self.query.limit.saturating_sub(given_count), ..self.query.clone() }
    }

    pub(crate) fn wanted<'a>(&'a self, query: &'a Query, token: ClaimToken) -> WantedClaim<'a> {
        WantedClaim { query, token, by: self.by, lease_ms: self.lease_ms, once: self.once }
    }

    /// Claims each entity in the transaction that changes it.
    async fn run_changing(&self, token: ClaimToken) -> Result<Vec<ClaimedEntity>, Error> {
        let (store, domain, class) = (self.store, self.domain, self.class);
        store.claim_keep(domain, class, self.wanted(self.query, token)).await?;
        let mut given = vec![];
        let taken = self.take_all(token, &mut given).await;
        if taken.is_err() {
            let undone: Vec<_> = given.drain(..).map(|one| one.claim).collect();
            store.claims_undo(domain, class, &undone, self.once).await?;
        }
        taken.map(|()| given)
    }

    /// Takes entities until there are enough, or no more are free. Adds them to `given`.
    async fn take_all(
        &self,
        token: ClaimToken,
        given: &mut Vec<ClaimedEntity>,
    ) -> Result<(), Error> {
        let (mut bytes, mut vain) = (0, 0);
        while vain < TRIES_MAX {
            let query = self.rest(given.len());
            if query.limit == 0 {
                break;
            }
            let wanted = self.wanted(&query, token);
            let Some(chosen) = self.store.claim_choose(self.domain, self.class, wanted).await?
            else {
                break;
            };
            vain += 1;
            for some in chosen.entities().chunks(AT_ONCE) {
                let mut all = vec![];
                for id in some {
                    all.push(Box::pin(self.take(*id, token)));
                }
                // All of them end, so that what was taken is known also if one fails.
                let all: Vec<_> = stream::iter(all).buffered(AT_ONCE).collect().await;
                let mut failed = None;
                for taken in all {
                    match taken {
                        Ok(Taken::Given(one)) => {
                            bytes += Json::Object(one.entity.properties.clone()).to_string().len();
                            given.push(*one);
                            vain = 0;
                        }
                        Ok(Taken::PutAside) => vain = 0,
                        Ok(Taken::Lost) => {}
                        Err(error) => failed = Some(error),
                    }
                }
                if let Some(error) = failed {
                    return Err(error);
                }
                if bytes > ANSWER_BYTES_MAX {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes and changes one entity.
    async fn take(&self, id: EntityId, token: ClaimToken) -> Result<Taken, Error> {
        for _ in 0..TRIES_MAX {
            match self.attempt_taking(id, token).await {
                // It was changed meanwhile: look again.
                Ok(None) => {}
                Ok(Some(taken)) => return Ok(taken),
                Err(Error::Condition(Failed::ClaimLost)) => return Ok(Taken::Lost),
                Err(Error::Condition(Failed::OtherClasses)) => self.store.classes_refresh().await?,
                Err(error) => return Err(of_entity(id, error)),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// `None`: the entity was changed meanwhile.
    async fn attempt_taking(
        &self,
        id: EntityId,
        token: ClaimToken,
    ) -> Result<Option<Taken>, Error> {
        let store = self.store;
        let class = store.class_of(self.domain, &self.class.classname);
        let class = class.ok_or(Error::Condition(Failed::OtherClasses))?;
        let place = EntityPlace::new(self.domain, &class, id);
        let taken = store.claim_taking(place, self.wanted(self.query, token)).await?;
        let Some(current) = store.entity_get(self.domain, &class, id).await? else {
            return Ok(Some(Taken::Lost));
        };
        if self.lets_through(&current) == Some(false) {
            return Ok(Some(Taken::Lost));
        }
        let dead = self.dead_letter.filter(|dead| taken.claim.claims > dead.claims_max);
        let set = dead.map(|dead| dead.set).or(self.set);
        let then = if dead.is_some() { ClaimThen::Forgotten } else { ClaimThen::Stays };
        let changes = match set {
            Some(set) => posted::changes(store, place, &current, set).await?,
            None => Map::new(),
        };
        self.check(&client::after(&current, &changes), then)?;
        let entity = if changes.is_empty() {
            store.claim_take(&taken).await?;
            if dead.is_some() {
                store.claim_forget(place, token).await?;
            }
            current
        } else {
            let claim = dead.map(|_| ClaimStep { token, then });
            let (if_version, takes) = (Some(current.version), Some(&taken));
            let read = Some(&current);
            let terms = ChangeTerms { if_version, read, takes, claim, ..ChangeTerms::default() };
            match store.entity_update_on(place, &changes, terms).await? {
                Updated::Done(entity) => entity,
                Updated::Missing => return Ok(Some(Taken::Lost)),
                Updated::Stale { .. } => return Ok(None),
            }
        };
        let given = || Taken::Given(Box::new(ClaimedEntity { entity, claim: taken.claim }));
        Ok(Some(if dead.is_some() { Taken::PutAside } else { given() }))
    }

    /// Whether the filter matches an entity. `None`: it looks into other entities, so nobody knows.
    fn lets_through(&self, entity: &Entity) -> Option<bool> {
        let filter = self.query.filter.as_ref();
        if filter.is_some_and(Filter::refers) {
            return None;
        }
        Some(filter.is_none_or(|filter| filter::matches(filter, entity, &|_, _| None)))
    }

    /// Checks that the filter of the queue lets through what is to be claimed again, and nothing
    /// else. A filter that looks into other entities is not checked, because they may change.
    pub(crate) fn check(&self, after: &Entity, then: ClaimThen) -> Result<(), Error> {
        let Some(is_match) = self.lets_through(after) else {
            return Ok(());
        };
        let (name, reason) = match then {
            ClaimThen::Stays if self.set.is_some() && !is_match => (
                "set",
                "makes the entity one that the filter does not match, so nobody would get it again \
                 when the claim expires. Let the filter match it before and after",
            ),
            ClaimThen::Forgotten if is_match => (
                "dead_letter",
                "leaves the entity one that the filter matches, so it would be claimed again",
            ),
            ClaimThen::Stays | ClaimThen::Forgotten | ClaimThen::Acknowledged => return Ok(()),
        };
        let problems = vec![Invalid::new(name, reason)];
        Err(Error::Condition(Failed::Invalid { problems }))
    }
}

/// What became of an entity that was to be taken.
enum Taken {
    /// Its worker has it.
    Given(Box<ClaimedEntity>),
    /// It was claimed too often, and is changed so that nobody gets it.
    PutAside,
    /// Others were faster, or it does not match any more.
    Lost,
}

/// An error of the change of an entity, with its id.
pub(crate) fn of_entity(id: EntityId, error: Error) -> Error {
    let Error::Condition(Failed::Invalid { problems }) = error else {
        return error;
    };
    let of = |problem: Invalid| {
        Invalid::new(problem.property, format!("{} (of the entity {id})", problem.reason))
    };
    let problems = problems.into_iter().map(of).collect();
    Error::Condition(Failed::Invalid { problems })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use postroom_model::builtin::PROFILES;
    use serde_json::json;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn an_entity_is_claimed_and_changed_or_neither_whenever_the_process_ends() {
        for batches in 0..4 {
            let (_directory, shared, trouble) = fixture::shared_with_trouble().await;
            let (store, domain) = (&shared.store, Domain::default_domain());
            for _ in 0..2 {
                fixture::create(store, PROFILES, json!({"name": "new"})).await;
            }
            let class = store.builtin(PROFILES).unwrap();
            let query = Query { limit: 2, ..Query::default() };
            let set = json!({"name": "begun"});
            let claiming = Claiming {
                store,
                domain: &domain,
                class: &class,
                query: &query,
                by: "worker",
                lease_ms: 60_000,
                set: Some(&set),
                dead_letter: None,
                once: None,
            };
            trouble.batches_left.store(batches, Ordering::Relaxed);
            let claimed = claiming.run().await;
            trouble.batches_left.store(u64::MAX, Ordering::Relaxed);
            assert_eq!(claimed.is_ok(), batches >= 2);
            let all = Query { limit: 10, ..Query::default() };
            let all = store.entity_list(&domain, &class, &all).await.unwrap();
            let ids: Vec<_> = all.iter().map(|one| one.id).collect();
            let listed = store.claim_page(&domain, &class, &ids).await.unwrap();
            for one in &all {
                let is_claimed = listed.get(&one.id).is_some_and(|claim| claim.by.is_some());
                let is_changed = one.text("name") == Some("begun");
                assert_eq!(is_claimed, is_changed, "after {batches} batches: {one:?}");
            }
        }
    }
}
