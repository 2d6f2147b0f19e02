//! Claims that change what they take: the claim of an entity and its change are one transaction,
//! both or neither.

use crate::being_claimed::Chosen;
use crate::database::Statement;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::once;
use crate::store::Store;
use crate::work_claim::ChosenToClaim;
use crate::work_claim::WantedClaim;
use crate::work_claim::WorkClaim;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Timestamp;

/// Entities that a claim has chosen. Other claims of this process choose others until it is
/// dropped.
#[derive(Debug)]
pub struct ChosenEntities(Chosen);

/// A claim of one entity, for the batch that changes the entity
/// ([`ChangeTerms`](crate::ChangeTerms)).
#[derive(Debug, Clone)]
pub struct TakenClaim {
    /// The claim, as it is when the batch is committed.
    pub claim: WorkClaim,
    pub(crate) statement: Statement,
}

impl ChosenEntities {
    /// The entities, in the order of the query. There are none if others chose all that are free.
    #[must_use]
    pub fn entities(&self) -> &[EntityId] {
        self.0.entities()
    }
}

impl Store {
    /// Keeps the key of a claim before anything is claimed under it. A repeated request then gets
    /// what its worker still has.
    ///
    /// # Errors
    ///
    /// [`Failed::KeyUsed`] when something was claimed under the key before.
    pub async fn claim_keep(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: WantedClaim<'_>,
    ) -> Result<(), Error> {
        let Some(once) = wanted.once else {
            return Ok(());
        };
        let keys = [wanted.token.to_string()];
        self.write(vec![once::keep_ids(self, domain, class, once, &keys)]).await.map(drop)
    }

    /// Chooses entities that match and are free, at most as many as the query says, in its order.
    /// `None`: there are none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn claim_choose(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: WantedClaim<'_>,
    ) -> Result<Option<ChosenEntities>, Error> {
        let count = usize::try_from(wanted.query.limit).unwrap_or(usize::MAX);
        let free = self.claimable(domain, class, wanted.query).await?;
        let chosen = || ChosenEntities(self.inner.being_claimed.choose(&free, count));
        Ok((!free.is_empty()).then(chosen))
    }

    /// The claim of an entity, which counts as one more than it was claimed before. Its batch fails
    /// with [`Failed::ClaimLost`] if the entity does not match, is not free, or was claimed
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn claim_taking(
        &self,
        place: EntityPlace<'_>,
        wanted: WantedClaim<'_>,
    ) -> Result<TakenClaim, Error> {
        let sql = "SELECT \"claims\" FROM \"work claim\" WHERE \"class\" = $1 AND \"entity\" = $2
            AND \"domain\" = $3";
        let before = Statement::new(sql).bind(place.class.classname.as_str()).bind(place.id);
        let before = self.read(before.bind(place.domain.as_str())).await?;
        let before = before.first().and_then(|row| row.whole(0)).unwrap_or(0);
        let until = self.clock().now_ms().saturating_add(wanted.lease_ms);
        let claim = WorkClaim {
            entity: place.id,
            token: wanted.token,
            by: wanted.by.to_owned(),
            until: Timestamp::from_ms(until),
            claims: u64::try_from(before).unwrap_or(0).saturating_add(1),
        };
        let one = ChosenToClaim { entities: &[place.id], before: Some(before) };
        let statement = self.claiming(place.domain, place.class, wanted, one);
        Ok(TakenClaim { claim, statement: statement.must_change(Failed::ClaimLost) })
    }

    /// Takes a claim without a change of its entity.
    ///
    /// # Errors
    ///
    /// [`Failed::ClaimLost`].
    pub async fn claim_take(&self, taken: &TakenClaim) -> Result<(), Error> {
        self.write(vec![taken.statement.clone()]).await.map(drop)
    }
}
