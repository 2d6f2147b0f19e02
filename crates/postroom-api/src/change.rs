//! Changes of one entity: `PATCH`, `PUT`, `DELETE`. Each changes only the version that was checked.

use crate::account;
use crate::account::MessagesFate;
use crate::app::Asked;
use crate::body;
use crate::claim_token;
use crate::create;
use crate::etag;
use crate::exact;
use crate::folder;
use crate::once;
use crate::problem::Problem;
use crate::same_files;
use crate::view;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::posted;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::RightAction;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_store::ChangeTerms;
use postroom_store::ClaimState;
use postroom_store::ClaimStep;
use postroom_store::ClaimThen;
use postroom_store::DeleteTerms;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Once;
use postroom_store::Updated;
use serde_json::Map;
use serde_json::Value as Json;

/// How many times a change is tried if others change the same entity meanwhile.
const TRIES_MAX: usize = 20;

/// `PATCH` of an entity: changes the properties that are sent. The others stay.
///
/// # Errors
///
/// 404, 412 for another version, 422 with everything that is wrong, 409 for a message that is being
/// sent at this moment.
pub(crate) async fn patch(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    account::same_login(&asked)?;
    let sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::check(&asked.class, &sent.document.rounded)?;
    let claim = claim_token::shown(&asked.headers)?;
    let terms = ApplyTerms { once: None, claim, read: None };
    apply(&asked, id, &sent.document.json, terms).await
}

/// `PUT` of an entity: properties that are not sent get their default. Secrets stay, because a
/// client cannot send back what no answer shows. An unknown id is created. A PUT of a message that
/// repeats the last one changes nothing, whatever became of the message since.
///
/// # Errors
///
/// As [`patch`], and as creating does.
pub(crate) async fn put(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    account::same_login(&asked)?;
    let mut sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::check(&asked.class, &sent.document.rounded)?;
    let once = once::of_put(&asked.class, id, &sent.document.json, sent.document.digest);
    for _ in 0..TRIES_MAX {
        let found = asked.app.store.entity_get(&asked.domain, &asked.class, id).await?;
        if let Some(current) = found {
            if let Some(once) = &once
                && once::is_repeated(&asked, once).await?
            {
                etag::check(&asked.headers, current.version)?;
                return Ok(view::entity(&asked.class, &current));
            }
            let json = &mut sent.document.json;
            same_files::check(&asked, id, json).await?;
            if let Some(members) = json.as_object_mut() {
                fill(&asked.class, members);
            }
            let terms = ApplyTerms { once: once.as_ref(), claim: None, read: Some(current) };
            return apply(&asked, id, json, terms).await;
        }
        let json = sent.document.json.clone();
        if let Some(created) = create::put(&asked, id, json, once.as_ref()).await? {
            return Ok(created);
        }
    }
    Err(too_busy())
}

/// `DELETE` of an entity.
///
/// # Errors
///
/// 404, 412 for another version, 409 if something still refers to it.
pub(crate) async fn delete(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    let fate = account::fate_of_messages(&asked)?;
    if fate == MessagesFate::Deleted {
        asked.rights.check_whole(RightAction::Delete, MESSAGES)?;
    }
    let store = &asked.app.store;
    for _ in 0..TRIES_MAX {
        let current = find(&asked, id).await?;
        let conditional = etag::check(&asked.headers, current.version)?;
        let place = EntityPlace::new(&asked.domain, &asked.class, id);
        let terms = DeleteTerms { if_version: Some(current.version), read: Some(&current) };
        let gone = match fate {
            MessagesFate::Kept => store.entity_delete_on(place, terms).await?,
            MessagesFate::Deleted => store.account_delete_whole(place, terms).await?,
        };
        match gone {
            Updated::Done(_) => return Ok(StatusCode::NO_CONTENT.into_response()),
            Updated::Missing => return Err(missing(&asked.class)),
            Updated::Stale { version } if conditional => return Err(Problem::stale(version)),
            Updated::Stale { .. } => {}
        }
    }
    Err(too_busy())
}

/// The entity, or 404.
///
/// # Errors
///
/// 404 when the domain has none of that id.
pub(crate) async fn find(asked: &Asked, id: EntityId) -> Result<Entity, Problem> {
    let found = asked.app.store.entity_get(&asked.domain, &asked.class, id).await?;
    found.ok_or_else(|| missing(&asked.class))
}

/// The terms of a change.
struct ApplyTerms<'a> {
    /// The key of a PUT.
    once: Option<&'a Once>,
    /// The token of the work claim that the change acknowledges.
    claim: Option<ClaimToken>,
    /// The entity as it was read. It is read again only if it has changed since.
    read: Option<Entity>,
}

/// Whether the claim was acknowledged before, because this request repeats an earlier one.
///
/// # Errors
///
/// 412 if the claim was not acknowledged and is no longer held.
async fn is_acknowledged(
    asked: &Asked,
    place: EntityPlace<'_>,
    token: ClaimToken,
) -> Result<bool, Problem> {
    match asked.app.store.claim_state(place, token).await? {
        ClaimState::Acknowledged => Ok(true),
        ClaimState::Held => Ok(false),
        ClaimState::Lost => Err(Failed::ClaimLost.into()),
    }
}

async fn apply(
    asked: &Asked,
    id: EntityId,
    sent: &Json,
    ApplyTerms { once, claim, mut read }: ApplyTerms<'_>,
) -> Result<Response, Problem> {
    let (class, same_login) = (&asked.class, account::same_login(asked)?);
    for _ in 0..TRIES_MAX {
        let current = match read.take() {
            Some(read) => read,
            None => find(asked, id).await?,
        };
        let place = EntityPlace::new(&asked.domain, class.as_ref(), id);
        if let Some(token) = claim
            && is_acknowledged(asked, place, token).await?
        {
            return Ok(view::entity(class, &current));
        }
        let conditional = etag::check(&asked.headers, current.version)?;
        let changes = posted::changes(&asked.app.store, place, &current, sent).await?;
        if class.classname == FOLDERS && names_mailbox(&changes) {
            folder::check(asked, &client::after(&current, &changes)).await?;
        }
        if changes.is_empty() {
            if let Some(token) = claim {
                asked.app.store.claim_acknowledge(place, token).await?;
            }
            return Ok(view::entity(class, &current));
        }
        let (if_version, read) = (Some(current.version), Some(&current));
        let claim = claim.map(|token| ClaimStep { token, then: ClaimThen::Acknowledged });
        let terms =
            ChangeTerms { if_version, read, same_login, once, claim, ..ChangeTerms::default() };
        let updated = asked.app.store.entity_update_on(place, &changes, terms).await;
        if matches!(updated, Err(Error::Condition(Failed::SameLogin))) {
            return Err(account::twin(asked, &[client::after(&current, &changes)]).await);
        }
        match updated? {
            Updated::Done(entity) => return Ok(view::entity(class, &entity)),
            Updated::Missing => return Err(missing(class)),
            Updated::Stale { version } if conditional => return Err(Problem::stale(version)),
            // The entity was changed meanwhile, so the checks may no longer hold.
            Updated::Stale { .. } => {}
        }
    }
    Err(too_busy())
}

/// Whether a change of a folder changes its mailbox.
fn names_mailbox(changes: &Map<String, Json>) -> bool {
    ["account_id", "name", "title"].into_iter().any(|name| changes.contains_key(name))
}

/// Adds the properties that a replacement leaves out, unset or with their default. A user keeps the
/// second factor, as other secrets stay.
fn fill(class: &Class, members: &mut Map<String, Json>) {
    let stays = |name: &str| class.classname == USERS && name == names::SECOND_FACTOR;
    let settable = class.columns().filter(|p| !p.read_only() && !p.write_only());
    let settable = settable.filter(|property| !stays(&property.name));
    for property in settable {
        if !members.contains_key(&property.name) {
            members.insert(property.name.clone(), property.default.clone());
        }
    }
}

/// The problem that there is no entity of an id.
pub(crate) fn missing(class: &Class) -> Problem {
    Problem::not_found(format!("{} has no entity of this id", class.classname))
}

fn too_busy() -> Problem {
    Problem::conflict(
        "busy",
        "too many clients change this entity at the same time; nothing was \
                       changed: try again",
    )
}
