//! `CLAIM` of a collection: workers share its entities, and each worker gets different ones.
//! `CLAIM` of an entity extends a claim, and `NACK` gives the entity back. A `PATCH` with the token
//! of a claim acknowledges it (`crate::change`).
//!
//! ```text
//!   CLAIM /rest/v1/model/email/Messages
//!   {"filter": ["==", ["property", "messageState"], "received"], "limit": 10, "lease": 60}
//! ```

use crate::app::Asked;
use crate::body;
use crate::change;
use crate::claim_request::BodyMembers;
use crate::claim_request::ClaimRequest;
use crate::claim_token;
use crate::exact;
use crate::once;
use crate::parameters;
use crate::problem::Problem;
use crate::scans::ListedBy;
use crate::scans::Scans;
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::claiming::ClaimedEntity;
use postroom_engine::claiming::Claiming;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::RightAction;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Once;
use serde_json::Value;
use serde_json::json;
use std::collections::HashMap;

/// The client that claims.
pub(crate) struct ClaimedBy<'a> {
    /// The name of its token.
    pub name: &'a str,
    /// Limits slow searches, which count as lists.
    pub scans: &'a Scans,
    /// The client, as `scans` knows it.
    pub listed: ListedBy,
}

/// `CLAIM` of a collection: claims entities for one worker, and returns them.
///
/// # Errors
///
/// 422 with every member that is unknown or wrong, before anything is claimed.
pub(crate) async fn claim(
    asked: Asked,
    by: ClaimedBy<'_>,
    body: Body,
) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    claim_token::none(&asked.headers)?;
    // The share of the memory is held until everything is claimed.
    let sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::refuse(&sent.document.rounded)?;
    let classes = asked.classes();
    let wanted = ClaimRequest::read(&asked.class, &classes, &sent.document.json)?;
    if wanted.set.is_some() || wanted.dead_letter.is_some() {
        asked.rights.check(RightAction::Change, &asked.class.classname)?;
    }
    let once = key(&asked, sent.document.digest)?;
    if let Some(once) = &once
        && let Some(before) = claimed_before(&asked, once, &wanted.query).await?
    {
        return Ok(before);
    }
    let claiming = Claiming {
        store: &asked.app.store,
        domain: &asked.domain,
        class: &asked.class,
        query: &wanted.query,
        by: wanted.by.unwrap_or(by.name),
        lease_ms: wanted.lease_ms,
        set: wanted.set,
        dead_letter: wanted.dead_letter,
        once: once.as_ref(),
    };
    let run = async {
        match claiming.run().await {
            // The same request on another connection has claimed first.
            Err(Error::Condition(Failed::KeyUsed)) => Ok(None),
            claimed => Ok(Some(claimed?)),
        }
    };
    // A filter that searches texts may take long, so it counts as a list.
    let claimed = match wanted.query.filter.as_ref().is_some_and(Filter::searches) {
        true => by.scans.list(&by.listed, run).await?,
        false => run.await?,
    };
    match (claimed, &once) {
        (Some(claimed), _) => Ok(answer(&asked.class, &claimed)),
        (None, Some(once)) => {
            let before = claimed_before(&asked, once, &wanted.query).await?;
            before.ok_or_else(|| Problem::fault("a key vanished"))
        }
        (None, None) => Err(Problem::fault("a key that nobody sent")),
    }
}

/// `CLAIM` of an entity: extends the claim of the token that the request names.
///
/// # Errors
///
/// 412 when the claim has ended; 428 without a token; 422 for a wrong body.
pub(crate) async fn extend(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let token = claim_token::needed(&asked.headers)?;
    let sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::refuse(&sent.document.rounded)?;
    let lease_ms = BodyMembers::of(&sent.document.json, &["lease"], EXTENDED)?.lease_ms()?;
    let entity = change::find(&asked, id).await?;
    let place = EntityPlace::new(&asked.domain, &asked.class, id);
    let claim = asked.app.store.claim_extend(place, token, lease_ms).await?;
    Ok(Json(shown(&asked.class, &ClaimedEntity { entity, claim })).into_response())
}

/// `NACK` of an entity: gives it back, at once or after a delay.
///
/// # Errors
///
/// 412 when the claim has ended; 428 without a token; 422 for a wrong body.
pub(crate) async fn nack(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let token = claim_token::needed(&asked.headers)?;
    let sent = body::json_or_none(&asked.headers, body, &asked.app).await?;
    exact::refuse(&sent.document.rounded)?;
    let delay_ms = BodyMembers::of(&sent.document.json, &["delay"], GIVEN_BACK)?.delay_ms()?;
    change::find(&asked, id).await?;
    let place = EntityPlace::new(&asked.domain, &asked.class, id);
    asked.app.store.claim_give_back(place, token, delay_ms).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The texts for a body that is not an object.
const EXTENDED: &str = "takes an object: {\"lease\": 60}";
const GIVEN_BACK: &str = "takes an object: {} or {\"delay\": 30}";

/// The key of the client, with a hash of the whole request.
fn key(asked: &Asked, digest: blake3::Hash) -> Result<Option<Once>, Problem> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"CLAIM\n");
    hasher.update(digest.as_bytes());
    once::of(asked, hasher.finalize(), &[], blake3::hash(b""))
}

/// The answer with the entities that were claimed under a key before and are still claimed, in the
/// order of the request.
async fn claimed_before(
    asked: &Asked,
    once: &Once,
    query: &Query,
) -> Result<Option<Response>, Problem> {
    let Some(ids) = once::ids_before(asked, once).await? else {
        return Ok(None);
    };
    let token = ids.first().copied().map(ClaimToken::of);
    let token = token.ok_or_else(|| Problem::fault("a key without its claim"))?;
    let (store, class) = (&asked.app.store, &asked.class);
    let mut claims = store.claims_under(&asked.domain, class, token).await?;
    // Others may get what is over, so the worker has it no more.
    let now_ms = store.clock().now_ms();
    claims.retain(|claim| claim.until.as_ms() > now_ms);
    if claims.is_empty() {
        return Ok(Some(answer(class, &[])));
    }
    let ids: Vec<_> = claims.iter().map(|claim| claim.entity).collect();
    let of_ids = Query::filtered(Filter::of_ids(&ids), u32::MAX);
    let query = Query { order: query.order.clone(), ..of_ids };
    let entities = store.entity_list(&asked.domain, class, &query).await?;
    let mut claims: HashMap<_, _> = claims.into_iter().map(|one| (one.entity, one)).collect();
    let claimed = entities.into_iter().filter_map(|entity| {
        let claim = claims.remove(&entity.id)?;
        Some(ClaimedEntity { entity, claim })
    });
    Ok(Some(answer(class, &claimed.collect::<Vec<_>>())))
}

fn answer(class: &Class, claimed: &[ClaimedEntity]) -> Response {
    Json(claimed.iter().map(|one| shown(class, one)).collect::<Vec<_>>()).into_response()
}

/// An entity with its claim, as the answer shows it.
fn shown(class: &Class, ClaimedEntity { entity, claim }: &ClaimedEntity) -> Value {
    let mut shown = entity.to_json(class);
    if let Some(members) = shown.as_object_mut() {
        members.insert("claimToken".to_owned(), json!(claim.token));
        members.insert("claimedBy".to_owned(), json!(claim.by));
        members.insert("claimedUntil".to_owned(), json!(claim.until.to_string()));
        members.insert("claims".to_owned(), json!(claim.claims));
    }
    shown
}
