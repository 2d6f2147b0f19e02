//! `Idempotency-Key`: a request that is repeated under one key creates nothing again.

use crate::app::Asked;
use crate::problem::Problem;
use axum::http::StatusCode;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::MessageState;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use postroom_store::NewFile;
use postroom_store::Once;
use serde_json::Value as Json;

/// The header field.
const FIELD: &str = "idempotency-key";
/// How long a key may be.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request, which is one of its token, with a hash of the request: its JSON
/// (`digest`), its files and their contents. `None`: it has no key.
///
/// # Errors
///
/// 400 when it is empty, too long, or not printable ASCII.
pub(crate) fn of(
    asked: &Asked,
    digest: blake3::Hash,
    files: &[NewFile],
    contents: blake3::Hash,
) -> Result<Option<Once>, Problem> {
    let Some(field) = asked.headers.get(FIELD) else {
        return Ok(None);
    };
    let key = field.to_str().ok().map(str::trim);
    let key = key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len())).ok_or_else(|| {
        let detail = format!("Idempotency-Key takes 1 to {KEY_BYTES_MAX} characters of ASCII");
        Problem::malformed(detail)
    })?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(digest.as_bytes());
    hasher.update(contents.as_bytes());
    for file in files {
        let said = [file.property.as_str(), &file.name, &file.media_type];
        hasher.update(said.join("\0").as_bytes());
        hasher.update(&file.size_bytes().to_le_bytes());
    }
    let once = Once { key: key.to_owned(), request: *hasher.finalize().as_bytes() };
    Ok(Some(asked.app.store.once_of(&asked.bearer, &asked.class, once)))
}

/// The key of a PUT of a message. `None`: it is another class. Postroom does not change entities of
/// other classes by itself, so a repeated PUT changes nothing anyway.
#[must_use]
pub(crate) fn of_put(
    class: &Class,
    id: EntityId,
    sent: &Json,
    digest: blake3::Hash,
) -> Option<Once> {
    if class.classname != MESSAGES {
        return None;
    }
    let request = *digest.as_bytes();
    let sends =
        sent.get(names::MESSAGE_STATE).is_some_and(|state| state == MessageState::Sending.as_str());
    Some(if sends { Once::put_sending(id, request) } else { Once::put(id, request) })
}

/// Whether a PUT repeats the last one. One that does not send no longer does, once a client has
/// changed the entity.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn is_repeated(asked: &Asked, put: &Once) -> Result<bool, Problem> {
    let before = asked.app.store.once_find(&asked.domain, &asked.class, &put.key).await?;
    Ok(before.is_some_and(|before| before.request == put.request))
}

/// The ids of what was created under a key before. `None`: nothing was.
///
/// # Errors
///
/// 422 if the key was used for another request.
pub(crate) async fn ids_before(
    asked: &Asked,
    once: &Once,
) -> Result<Option<Vec<EntityId>>, Problem> {
    let found = asked.app.store.once_find(&asked.domain, &asked.class, &once.key).await?;
    let Some(before) = found else {
        return Ok(None);
    };
    if before.request != once.request {
        let detail = "the Idempotency-Key was used for another request within 24 hours";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail));
    }
    Ok(Some(before.entities))
}

/// The entities that were created under a key before, in their present form. `None`: there are
/// none.
///
/// # Errors
///
/// 422 if the key was used for another request, 410 if the entity was deleted since.
pub(crate) async fn before(asked: &Asked, once: &Once) -> Result<Option<Vec<Entity>>, Problem> {
    let store = &asked.app.store;
    let Some(ids) = ids_before(asked, once).await? else {
        return Ok(None);
    };
    let mut entities = vec![];
    for id in ids {
        let found = store.entity_get(&asked.domain, &asked.class, id).await?;
        entities.push(found.ok_or_else(|| {
            let detail = "what the first request created was deleted since, or this token may no \
                          longer read it; use another key to create it again";
            Problem::new(StatusCode::GONE, "gone", detail)
        })?);
    }
    Ok(Some(entities))
}
