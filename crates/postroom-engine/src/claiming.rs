//! Claims of clients: a worker takes entities that match a filter, with a change of its own, and
//! those that were claimed too often get another change instead.
//!
//! The claims are durable before anything is changed. So whoever has the answer has the entities,
//! and if the process is killed in between, they are free again when the claims expire. That is why
//! an entity must match the filter after the change of its worker: otherwise nobody would get it
//! again. After the change of those that were claimed too often it must not match.

use crate::posted;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
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
const AT_ONCE: usize = 16;
/// How often a change is tried when others change the same entity meanwhile.
const TRIES_MAX: usize = 20;
/// How many bytes of JSON the entities of one answer have, and one entity more.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

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
        let (mut given, mut bytes, mut once) = (vec![], 0, self.once);
        loop {
            let given_count = u32::try_from(given.len()).unwrap_or(u32::MAX);
            let limit = self.query.limit.saturating_sub(given_count);
            let query = Query { limit, ..self.query.clone() };
            let (by, lease_ms) = (self.by, self.lease_ms);
            let wanted = WantedClaim { query: &query, token, by, lease_ms, once };
            let claims = match limit {
                0 => vec![],
                _ => self.store.work_claim(self.domain, self.class, wanted).await?,
            };
            once = None;
            if claims.is_empty() {
                return Ok(given);
            }
            let before = given.len();
            let settled = self.settle(&claims, &mut given, &mut bytes).await;
            let is_full = bytes > ANSWER_BYTES_MAX;
            // Claims that the answer does not have are no claims.
            let is_given = |claim: &&WorkClaim| {
                settled.is_ok() && given.iter().skip(before).any(|one| one.claim == **claim)
            };
            let undone: Vec<_> = match (&settled, is_full) {
                (Ok(()), false) => vec![],
                (Ok(()), true) => claims.iter().filter(|claim| !is_given(claim)).cloned().collect(),
                (Err(_), _) => {
                    let earlier = given.drain(..).map(|one| one.claim);
                    earlier.chain(claims.iter().cloned()).collect()
                }
            };
            if !undone.is_empty() {
                let key = self.once.filter(|_| settled.is_err());
                self.store.claims_undo(self.domain, self.class, &undone, key).await?;
            }
            settled?;
            // What remains was claimed too often, or is gone: there may be others.
            if is_full || given.len() - before == claims.len() {
                return Ok(given);
            }
        }
    }

    /// Changes what was claimed, and adds what its worker gets to `given`.
    async fn settle(
        &self,
        claims: &[WorkClaim],
        given: &mut Vec<ClaimedEntity>,
        bytes: &mut usize,
    ) -> Result<(), Error> {
        for some in claims.chunks(AT_ONCE) {
            let mut all = vec![];
            for claim in some {
                all.push(Box::pin(self.one(claim)));
            }
            let all: Vec<_> = stream::iter(all).buffered(AT_ONCE).try_collect().await?;
            for (claim, entity) in some.iter().zip(all) {
                let Some(entity) = entity else { continue };
                *bytes += Json::Object(entity.properties.clone()).to_string().len();
                given.push(ClaimedEntity { entity, claim: claim.clone() });
            }
            if *bytes > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Changes one entity that was claimed. `None`: its worker does not get it.
    async fn one(&self, claim: &WorkClaim) -> Result<Option<Entity>, Error> {
        let dead = self.dead_letter.filter(|dead| claim.claims > dead.claims_max);
        for _ in 0..TRIES_MAX {
            let tried = match dead {
                Some(dead) => self.attempt(claim, Some(dead.set), ClaimThen::Forgotten).await,
                None => self.attempt(claim, self.set, ClaimThen::Stays).await,
            };
            match tried {
                Ok(Updated::Done(entity)) => return Ok(Some(entity).filter(|_| dead.is_none())),
                Ok(Updated::Missing) | Err(Error::Condition(Failed::ClaimLost)) => return Ok(None),
                // It was changed meanwhile: look again.
                Ok(Updated::Stale { .. }) => {}
                Err(Error::Condition(Failed::OtherClasses)) => self.store.classes_refresh().await?,
                Err(error) => return Err(of_entity(claim.entity, error)),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    async fn attempt(
        &self,
        claim: &WorkClaim,
        set: Option<&Json>,
        then: ClaimThen,
    ) -> Result<Updated, Error> {
        let store = self.store;
        let class = store.class(&self.class.classname);
        let class = class.ok_or(Error::Condition(Failed::OtherClasses))?;
        let place = EntityPlace::new(self.domain, &class, claim.entity);
        let Some(current) = store.entity_get(self.domain, &class, claim.entity).await? else {
            return Ok(Updated::Missing);
        };
        let changes = match set {
            Some(set) => posted::changes(store, place, &current, set).await?,
            None => Map::new(),
        };
        self.check(&client::after(&current, &changes), then)?;
        if changes.is_empty() {
            if then == ClaimThen::Forgotten {
                store.claim_forget(place, claim.token).await?;
            }
            return Ok(Updated::Done(current));
        }
        let step = ClaimStep { token: claim.token, then };
        let if_version = Some(current.version);
        let terms = ChangeTerms { if_version, claim: Some(step), ..ChangeTerms::default() };
        store.entity_update_on(place, &changes, terms).await
    }

    /// Checks that the filter of the queue lets through what is to be claimed again, and nothing
    /// else. A filter that looks into other entities is not checked, because they may change.
    fn check(&self, after: &Entity, then: ClaimThen) -> Result<(), Error> {
        let filter = self.query.filter.as_ref();
        if filter.is_some_and(Filter::refers) {
            return Ok(());
        }
        let is_match = filter.is_none_or(|filter| filter::matches(filter, after, &|_, _| None));
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

/// An error of the change of an entity, with its id.
fn of_entity(id: EntityId, error: Error) -> Error {
    let Error::Condition(Failed::Invalid { problems }) = error else {
        return error;
    };
    let of = |problem: Invalid| {
        Invalid::new(problem.property, format!("{} (of the entity {id})", problem.reason))
    };
    let problems = problems.into_iter().map(of).collect();
    Error::Condition(Failed::Invalid { problems })
}
