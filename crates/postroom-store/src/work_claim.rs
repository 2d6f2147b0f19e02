//! Work claims: a client takes entities of any class for its work, each until a moment.
//!
//! ```text
//!                 claim                     acknowledge
//!   free ───────────────────► claimed ───────────────────► free, acknowledged, counted from 0
//!    ▲                        │ │  ▲ extend
//!    │ at `until`             │ └──┘
//!    └────────────────────────┘  give back: `until` is another moment, and nobody has it
//! ```
//! A claim has a row of its own, keyed by class and entity, so that every class has claims, and a
//! claim changes no row with many indexes and no version. An entity is free if it has no row, or
//! one whose `until` has passed. So a claim that expires needs no writing.
//!
//! A claim first reads which entities match and are free, in the order of the query, as a list
//! does. Then one statement takes them by their ids, and asks once more whether each is free and
//! matches. So a filter that looks at much never holds up those who write, and nothing is taken
//! twice. Claims of one process that run at once do not choose the same entities
//! (`crate::being_claimed`). On PostgreSQL the statement skips what others hold.

use crate::claim_row::ClaimStep;
use crate::claim_row::ClaimThen;
use crate::claim_row::IS_HELD;
use crate::claim_row::of_claim;
use crate::columns::quoted;
use crate::condition::Conditions;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_list;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::once;
use crate::once::Once;
use crate::page;
use crate::store::Store;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Query;
use postroom_model::RightAction;
use postroom_model::Timestamp;

/// How often entities are looked for when all that were chosen were taken by others meanwhile.
const ROUNDS_MAX: usize = 20;

/// A claim of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkClaim {
    /// The entity.
    pub entity: EntityId,
    /// What its worker shows to end or extend it.
    pub token: ClaimToken,
    /// Its worker.
    pub by: String,
    /// When it expires.
    pub until: Timestamp,
    /// How often the entity was claimed since it was acknowledged last, or ever. At least 1.
    pub claims: u64,
}

/// What a worker wants to claim.
#[derive(Debug, Clone, Copy)]
pub struct WantedClaim<'a> {
    /// Which entities, in which order, how many. It has no cursor.
    pub query: &'a Query,
    /// The token of the claims.
    pub token: ClaimToken,
    /// The worker.
    pub by: &'a str,
    /// How long each is claimed, in milliseconds.
    pub lease_ms: i64,
    /// Claims only when nothing was claimed under this key before.
    pub once: Option<&'a Once>,
}

/// Entities of which one statement claims those that it can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChosenToClaim<'a> {
    /// The entities.
    pub entities: &'a [EntityId],
    /// How often they must have been claimed before. `None`: any number of times.
    pub before: Option<i64>,
}

/// The state of a claim for whoever shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The claim is there, whether it has expired or not.
    Held,
    /// It was acknowledged under this token.
    Acknowledged,
    /// The entity has no claim of this token.
    Lost,
}

impl Store {
    /// Claims entities that match and are free, at most as many as the query says, in its order.
    /// There may be fewer than match where others claim at the same moment, but not none.
    ///
    /// # Errors
    ///
    /// [`Failed::KeyUsed`] when something was claimed under the key before.
    pub async fn work_claim(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: WantedClaim<'_>,
    ) -> Result<Vec<WorkClaim>, Error> {
        let mut once = wanted.once;
        for _ in 0..ROUNDS_MAX {
            let count = usize::try_from(wanted.query.limit).unwrap_or(usize::MAX);
            let free = self.claimable(domain, class, wanted.query).await?;
            if free.is_empty() {
                break;
            }
            let chosen = self.inner.being_claimed.choose(&free, count);
            if chosen.entities().is_empty() {
                // Others chose them since it was known how many are chosen: look further.
                continue;
            }
            let wanted = WantedClaim { once, ..wanted };
            let claimed = self.claim_chosen(domain, class, wanted, chosen.entities()).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            // The key is kept by now. Others were faster with all that was chosen.
            once = None;
        }
        if let Some(once) = once {
            // The same request on another connection may have claimed something.
            let keys = [wanted.token.to_string()];
            self.write(vec![once::keep_ids(self, domain, class, once, &keys)]).await?;
        }
        Ok(vec![])
    }

    /// The entities that match and are free, as many as the query asks for and as others choose at
    /// this moment.
    pub(crate) async fn claimable(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<Vec<EntityId>, Error> {
        let query = self.query_within(RightAction::Claim, class, query);
        let others = u32::try_from(self.inner.being_claimed.count()).unwrap_or(u32::MAX);
        let query = Query {
            limit: query.limit.saturating_add(others),
            shown: Some(vec![]),
            after: None,
            offset: 0,
            ..query.into_owned()
        };
        let mut conditions = self.conditions(domain);
        let is_free = is_free(&mut conditions, class, self.clock().now_ms());
        conditions.also = format!(" AND {is_free}");
        let select = Self::select_some(class, |property| query.shows(property));
        let dialect = self.inner.database.dialect();
        let sql = page::page(dialect, &mut conditions, class, &select, &query);
        let asked = entity_list::asked(sql, conditions, class, query.filter.as_ref());
        let rows = self.read(asked).await?;
        rows.iter().map(|row| Ok(self.entity_of(class, row)?.id)).collect()
    }

    /// Claims those of a few entities that are still free and match.
    async fn claim_chosen(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: WantedClaim<'_>,
        chosen: &[EntityId],
    ) -> Result<Vec<WorkClaim>, Error> {
        let WantedClaim { token, by, lease_ms, once, .. } = wanted;
        let until = Timestamp::from_ms(self.clock().now_ms().saturating_add(lease_ms));
        let free = ChosenToClaim { entities: chosen, before: None };
        let claim = self.claiming(domain, class, wanted, free);
        let keys = [token.to_string()];
        let keep = once.map(|once| once::keep_ids(self, domain, class, once, &keys));
        let outcomes = self.write(keep.into_iter().chain([claim]).collect()).await?;
        let rows = outcomes.last().map(|outcome| outcome.rows.as_slice()).unwrap_or_default();
        let claim = |row: &Row| {
            let (entity, claims) = (row.id(0)?, u64::try_from(row.whole(1)?).ok()?);
            Some(WorkClaim { entity, token, by: by.to_owned(), until, claims })
        };
        let claims: Option<Vec<_>> = rows.iter().map(claim).collect();
        let mut claims = claims.ok_or(Error::Damaged { what: "a claim" })?;
        let place = |claim: &WorkClaim| chosen.iter().position(|id| *id == claim.entity);
        claims.sort_by_cached_key(place);
        Ok(claims)
    }

    /// The statement that claims those of a few entities that are still free and match.
    pub(crate) fn claiming(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: WantedClaim<'_>,
        chosen: ChosenToClaim<'_>,
    ) -> Statement {
        let ChosenToClaim { entities, before } = chosen;
        let WantedClaim { query, token, by, lease_ms, .. } = wanted;
        let filter = self.filter_within(RightAction::Claim, class, query.filter.as_ref());
        let (dialect, now_ms) = (self.inner.database.dialect(), self.clock().now_ms());
        let until = Timestamp::from_ms(now_ms.saturating_add(lease_ms));
        let mut conditions = self.conditions(domain);
        let mut bind = |value: Value| conditions.bind(value);
        let values = [
            bind(Value::Text(class.classname.clone())),
            bind(Value::Id(token.into())),
            bind(by.into()),
            bind(Value::Moment(until.as_ms())),
        ];
        let [name, token_place, by_place, until_place] = values;
        let now = bind(Value::Moment(now_ms));
        let rows = page::matching(dialect, &mut conditions, class, filter.as_deref());
        let is_free = is_free(&mut conditions, class, now_ms);
        let ids: Vec<_> = entities.iter().map(|id| conditions.bind(Value::Id(*id))).collect();
        let (ids, skipping) = (ids.join(", "), dialect.skipping_locked());
        let before = before.map(|before| conditions.bind(Value::Whole(before)));
        let counted = before.map(|before| format!(" AND \"work claim\".\"claims\" = {before}"));
        let counted = counted.unwrap_or_default();
        let sql = format!(
            "INSERT INTO \"work claim\"
               (\"class\", \"entity\", \"domain\", \"token\", \"by\", \"until\", \"claims\")
             SELECT {name}, e.\"id\", $1, {token_place}, {by_place}, {until_place}, 1
               FROM (SELECT \"id\" {rows} AND {is_free} AND \"id\" IN ({ids}){skipping}) AS e
              WHERE 1=1
             ON CONFLICT (\"class\", \"entity\") DO UPDATE SET \"token\" = excluded.\"token\",
               \"by\" = excluded.\"by\", \"until\" = excluded.\"until\", \"acknowledged\" = NULL,
               \"claims\" = \"work claim\".\"claims\" + 1
              WHERE \"work claim\".\"until\" <= {now}{counted}
             RETURNING \"entity\", \"claims\""
        );
        Statement::new(sql).bind_all(conditions.values).of_class(class)
    }

    /// The claims under a token that are neither ended nor taken by others, by the ids of the
    /// entities.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn claims_under(
        &self,
        domain: &Domain,
        class: &Class,
        token: ClaimToken,
    ) -> Result<Vec<WorkClaim>, Error> {
        let sql = "SELECT \"entity\", \"claims\", \"by\", \"until\" FROM \"work claim\"
            WHERE \"token\" = $1 AND \"class\" = $2 AND \"domain\" = $3
              AND \"acknowledged\" IS NULL ORDER BY \"entity\"";
        let select = Statement::new(sql).bind(Value::Id(token.into()));
        let select = select.bind(class.classname.as_str()).bind(domain.as_str());
        let rows = self.read(select).await?;
        let claim = |row: &Row| {
            let (entity, until) = (row.id(0)?, Timestamp::from_ms(row.whole(3)?));
            let (by, claims) = (row.text(2)?.to_owned(), u64::try_from(row.whole(1)?).ok()?);
            Some(WorkClaim { entity, token, by, until, claims })
        };
        let claims: Option<Vec<_>> = rows.iter().map(claim).collect();
        claims.ok_or(Error::Damaged { what: "a claim" })
    }

    /// What a token is worth at an entity.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn claim_state(
        &self,
        place: EntityPlace<'_>,
        token: ClaimToken,
    ) -> Result<ClaimState, Error> {
        let sql = "SELECT \"acknowledged\" FROM \"work claim\"
            WHERE \"class\" = $1 AND \"entity\" = $2 AND \"domain\" = $3 AND \"token\" = $4";
        let rows = self.read(of_claim(sql, place, token)).await?;
        Ok(match rows.first() {
            None => ClaimState::Lost,
            Some(row) if row.whole(0).is_some() => ClaimState::Acknowledged,
            Some(_) => ClaimState::Held,
        })
    }

    /// The work is done, and the entity stays as it is.
    ///
    /// # Errors
    ///
    /// [`Failed::ClaimLost`].
    pub async fn claim_acknowledge(
        &self,
        place: EntityPlace<'_>,
        token: ClaimToken,
    ) -> Result<(), Error> {
        let step = ClaimStep { token, then: ClaimThen::Acknowledged };
        self.write(step.statements(place, self.clock().now_ms())).await.map(drop)
    }

    /// Nobody could do the work, and the entity stays as it is.
    ///
    /// # Errors
    ///
    /// [`Failed::ClaimLost`].
    pub async fn claim_forget(
        &self,
        place: EntityPlace<'_>,
        token: ClaimToken,
    ) -> Result<(), Error> {
        let step = ClaimStep { token, then: ClaimThen::Forgotten };
        self.write(step.statements(place, self.clock().now_ms())).await.map(drop)
    }

    /// Gives an entity back: it is free again after so many milliseconds.
    ///
    /// # Errors
    ///
    /// [`Failed::ClaimLost`].
    pub async fn claim_give_back(
        &self,
        place: EntityPlace<'_>,
        token: ClaimToken,
        delay_ms: i64,
    ) -> Result<(), Error> {
        let sql = format!(
            "UPDATE \"work claim\" SET \"token\" = NULL, \"by\" = NULL, \"until\" = $5
             WHERE {IS_HELD}"
        );
        let until = self.clock().now_ms().saturating_add(delay_ms);
        let back = of_claim(sql, place, token).bind(Value::Moment(until));
        self.write(vec![back.must_change(Failed::ClaimLost)]).await.map(drop)
    }

    /// Gives entities back as if they had not been claimed, and forgets the key.
    ///
    /// # Errors
    ///
    /// When the store fails. Then they are free when their claims expire.
    pub async fn claims_undo(
        &self,
        domain: &Domain,
        class: &Class,
        claims: &[WorkClaim],
        once: Option<&Once>,
    ) -> Result<(), Error> {
        let sql = format!(
            "UPDATE \"work claim\" SET \"token\" = NULL, \"by\" = NULL, \"until\" = $5,
               \"claims\" = \"claims\" - 1 WHERE {IS_HELD}"
        );
        let now_ms = self.clock().now_ms();
        let undo = |claim: &WorkClaim| {
            let place = EntityPlace::new(domain, class, claim.entity);
            of_claim(sql.clone(), place, claim.token).bind(Value::Moment(now_ms))
        };
        let undone = claims.iter().map(undo);
        let forget = once.map(|once| once::forget(domain, class, once));
        self.write_at_need(undone.chain(forget).collect()).await.map(drop)
    }

    /// Lets a claim last for so many milliseconds from now on.
    ///
    /// # Errors
    ///
    /// [`Failed::ClaimLost`].
    pub async fn claim_extend(
        &self,
        place: EntityPlace<'_>,
        token: ClaimToken,
        lease_ms: i64,
    ) -> Result<WorkClaim, Error> {
        let until = Timestamp::from_ms(self.clock().now_ms().saturating_add(lease_ms));
        let sql = format!(
            "UPDATE \"work claim\" SET \"until\" = $5 WHERE {IS_HELD}
             RETURNING \"claims\", \"by\""
        );
        let extend = of_claim(sql, place, token).bind(Value::Moment(until.as_ms()));
        let outcomes = self.write(vec![extend.must_change(Failed::ClaimLost)]).await?;
        let row = outcomes.first().and_then(|outcome| outcome.rows.first());
        let claim = row.and_then(|row| {
            let (claims, by) = (u64::try_from(row.whole(0)?).ok()?, row.text(1)?.to_owned());
            Some(WorkClaim { entity: place.id, token, by, until, claims })
        });
        claim.ok_or(Error::Damaged { what: "a claim" })
    }
}

/// The condition that an entity of the class has no claim that lasts. It is a value for each row
/// and no join, so that databases look each entity up by the key of its claim.
fn is_free(conditions: &mut Conditions<'_>, class: &Class, now_ms: i64) -> String {
    let name = conditions.bind(Value::Text(class.classname.clone()));
    let now = conditions.bind(Value::Moment(now_ms));
    let table = quoted(&class.table());
    format!(
        "COALESCE((SELECT w.\"until\" <= {now} FROM \"work claim\" w
           WHERE w.\"class\" = {name} AND w.\"entity\" = {table}.\"id\"), 1=1)"
    )
}
