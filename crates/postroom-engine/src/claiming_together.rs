//! Claims without a change of the worker: one transaction claims several entities. Those that were
//! claimed too often, and are changed instead, make room for others in a further round.

use crate::claiming::ANSWER_BYTES_MAX;
use crate::claiming::AT_ONCE;
use crate::claiming::ClaimedEntity;
use crate::claiming::Claiming;
use crate::claiming::DeadLetter;
use crate::claiming::TRIES_MAX;
use crate::claiming::of_entity;
use crate::posted;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use postroom_model::ClaimToken;
use postroom_model::Entity;
use postroom_model::client;
use postroom_store::ChangeTerms;
use postroom_store::ClaimStep;
use postroom_store::ClaimThen;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Once;
use postroom_store::Updated;
use postroom_store::WantedClaim;
use postroom_store::WorkClaim;
use serde_json::Map;
use serde_json::Value as Json;

/// What the rounds have claimed so far.
struct Rounds<'a> {
    given: Vec<ClaimedEntity>,
    bytes: usize,
    /// The key that is not written yet.
    once: Option<&'a Once>,
}

impl Claiming<'_> {
    /// Claims entities until there are enough, or no more are free. If a round fails, nothing is
    /// claimed.
    pub(crate) async fn run_together(
        &self,
        token: ClaimToken,
    ) -> Result<Vec<ClaimedEntity>, Error> {
        let mut rounds = Rounds { given: vec![], bytes: 0, once: self.once };
        let mut done = Ok(true);
        while matches!(done, Ok(true)) {
            done = self.claim_round(token, &mut rounds).await;
        }
        if let Err(error) = done {
            let key = self.once.filter(|_| rounds.once.is_none());
            let undone: Vec<_> = rounds.given.into_iter().map(|one| one.claim).collect();
            if key.is_some() || !undone.is_empty() {
                self.store.claims_undo(self.domain, self.class, &undone, key).await?;
            }
            return Err(error);
        }
        Ok(rounds.given)
    }

    /// Claims what is still wanted. Gives whether there may be more. If it fails, its own claims
    /// are given back.
    async fn claim_round(&self, token: ClaimToken, rounds: &mut Rounds<'_>) -> Result<bool, Error> {
        let before = rounds.given.len();
        let query = self.rest(before);
        if query.limit == 0 {
            return Ok(false);
        }
        let wanted = WantedClaim { once: rounds.once, ..self.wanted(&query, token) };
        let claims = self.store.work_claim(self.domain, self.class, wanted).await?;
        rounds.once = None;
        if claims.is_empty() {
            return Ok(false);
        }
        let settled = self.settle(&claims, &mut rounds.given, &mut rounds.bytes).await;
        if settled.is_err() {
            rounds.given.truncate(before);
        }
        let is_full = rounds.bytes > ANSWER_BYTES_MAX;
        if is_full || settled.is_err() {
            // Claims that the answer does not have are no claims.
            let given = rounds.given.get(before..).unwrap_or_default();
            let is_given = |claim: &&WorkClaim| given.iter().any(|one| one.claim == **claim);
            let undone: Vec<_> = claims.iter().filter(|claim| !is_given(claim)).cloned().collect();
            self.store.claims_undo(self.domain, self.class, &undone, None).await?;
        }
        settled?;
        // What remains was claimed too often, or is gone: there may be others.
        Ok(!is_full && rounds.given.len() - before < claims.len())
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
            match self.attempt(claim, dead).await {
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
        dead: Option<DeadLetter<'_>>,
    ) -> Result<Updated, Error> {
        let (store, set) = (self.store, dead.map(|dead| dead.set));
        let then = if dead.is_some() { ClaimThen::Forgotten } else { ClaimThen::Stays };
        let class = store.class_of(self.domain, &self.class.classname);
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
        let (if_version, read) = (Some(current.version), Some(&current));
        let terms = ChangeTerms { if_version, read, claim: Some(step), ..ChangeTerms::default() };
        store.entity_update_on(place, &changes, terms).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use postroom_model::Domain;
    use postroom_model::Query;
    use postroom_model::builtin::PROFILES;
    use postroom_model::filter;
    use serde_json::json;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn a_round_that_fails_gives_back_what_earlier_ones_claimed() {
        let (_directory, shared, trouble) = fixture::shared_with_trouble().await;
        let (store, domain) = (&shared.store, Domain::default_domain());
        let mut ids = vec![];
        for _ in 0..3 {
            ids.push(fixture::create(store, PROFILES, json!({"name": "new"})).await);
        }
        let class = store.builtin(PROFILES).unwrap();
        let filter = filter::parse(&class, &json!(["==", ["property", "name"], "new"])).unwrap();
        let query = Query { filter: Some(filter), limit: 2, ..Query::default() };
        let dead = json!({"name": "dead"});
        let claiming = Claiming {
            store,
            domain: &domain,
            class: &class,
            query: &query,
            by: "worker",
            lease_ms: 60_000,
            set: None,
            dead_letter: Some(DeadLetter { claims_max: 1, set: &dead }),
            once: None,
        };
        // The first one was claimed before, so it makes room for another in a second round.
        let one = Query { limit: 1, ..query.clone() };
        let former = Claiming { query: &one, ..claiming }.run().await.unwrap().remove(0);
        let place = EntityPlace::new(&domain, &class, former.entity.id);
        store.claim_give_back(place, former.claim.token, 0).await.unwrap();
        // Two batches of the first round are written: the claims, and what becomes of the first.
        trouble.fails_after.store(2, Ordering::Relaxed);
        let failed = claiming.run().await;
        assert!(failed.is_err(), "{failed:?}");
        let listed = store.claim_page(&domain, &class, &ids).await.unwrap();
        assert!(listed.values().all(|claim| claim.by.is_none()), "{listed:?}");
        // Nothing keeps the others from the next worker, and their claims do not count.
        let given = claiming.run().await.unwrap();
        assert_eq!(given.len(), 2);
        assert!(given.iter().all(|one| one.claim.claims == 1), "{given:?}");
    }
}
