//! `VERIFY`: tries the servers of an account, stored or not, and says what came of each step.

use crate::app::Asked;
use crate::body;
use crate::body::Sent;
use crate::exact;
use crate::json::Document;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::AccountVerifier;
use postroom_engine::VerifyResult;
use postroom_engine::VerifyStep;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_model::validate;
use serde_json::Value;
use serde_json::json;

/// The member of the body that holds a profile in place of the id of a stored one.
const PROFILE: &str = "profile";
/// Why a profile without servers is refused.
const NO_SERVER: &str = "names no server, so there is nothing to verify, and the account neither \
                         receives nor sends: give it `imapHost`, `smtpHost` or both";

/// `VERIFY` of an account.
///
/// # Errors
///
/// 404 when the domain has no account of that id; 409 without an engine; 422 for parameters.
pub(crate) async fn stored(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let row = asked.app.store.account_find(AccountId::of(id)).await?;
    let row = row.filter(|row| row.domain == asked.domain);
    let row = row.ok_or_else(|| Problem::not_found("there is no account of this id"))?;
    shown(names::PROFILE_ID, &verifier(&asked)?.verify(&row).await)
}

/// `VERIFY` of the collection: an account that is not stored, as the body has it. `profile` is its
/// profile, or `profile_id` the id of a stored one. Nothing of it is stored.
///
/// # Errors
///
/// 409 without an engine; 422 with everything that is wrong with the account.
pub(crate) async fn unsaved(asked: Asked, body: Body) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    // The share is held until the account was tried.
    let Sent { document: Document { json, rounded, .. }, share: _share } =
        body::json(&asked.headers, body, &asked.app).await?;
    exact::check(&asked.class, &rounded)?;
    let (json, profile) = apart(json)?;
    let place = if profile.is_some() { PROFILE } else { names::PROFILE_ID };
    let (store, clock) = (&asked.app.store, asked.app.store.clock());
    let profiles = store.builtin(PROFILES)?;
    let mut problems = vec![];
    let profile = match profile {
        Some(profile) => {
            let checked = checked(&profiles, &profile, clock.new_id());
            checked.map_err(|found| problems.extend(within(found))).ok()
        }
        None => stored_profile(&asked, &profiles, &json, &mut problems).await?,
    };
    let account = checked(&asked.class, &json, clock.new_id());
    let account = account.map_err(|found| problems.extend(found)).ok();
    let hosts = [names::IMAP_HOST, names::SMTP_HOST];
    let has_none = |profile: &Entity| hosts.iter().all(|host| profile.text(host).is_none());
    if profile.as_ref().is_some_and(has_none) {
        problems.push(Invalid::new(place, NO_SERVER));
    }
    let (Some(account), Some(profile), true) = (account, profile, problems.is_empty()) else {
        return Err(Problem::invalid(problems));
    };
    let row = store.account_unsaved(&asked.domain, account, profile)?;
    shown(place, &verifier(&asked)?.verify_unsaved(&row).await)
}

fn verifier(asked: &Asked) -> Result<AccountVerifier, Problem> {
    asked.app.node.account_verifier().ok_or_else(|| {
        let detail = "this node has no engine now, so it connects to no mail server: ask the \
                      active one, which /rest/v1/nodes names";
        Problem::conflict("no-engine", detail)
    })
}

/// The account, and the profile that came with it. The account then refers to a profile that is
/// nowhere else.
fn apart(mut json: Value) -> Result<(Value, Option<Value>), Problem> {
    let Some(members) = json.as_object_mut() else {
        return Err(Invalid::new("", "takes a JSON object: an account with its profile").into());
    };
    let profile = members.remove(PROFILE).filter(|profile| !profile.is_null());
    if profile.is_some() {
        if members.get(names::PROFILE_ID).is_some_and(|id| !id.is_null()) {
            let reason = "is given beside `profile_id`: give one of the two";
            return Err(Invalid::new(PROFILE, reason).into());
        }
        members.insert(names::PROFILE_ID.to_owned(), json!(EntityId::nil().to_string()));
    }
    Ok((json, profile))
}

async fn stored_profile(
    asked: &Asked,
    profiles: &Class,
    json: &Value,
    problems: &mut Vec<Invalid>,
) -> Result<Option<Entity>, Problem> {
    let Some(id) = json.get(names::PROFILE_ID).filter(|id| !id.is_null()) else {
        let reason = "is required, or `profile` with the values of a profile";
        problems.push(Invalid::new(names::PROFILE_ID, reason));
        return Ok(None);
    };
    let Some(id) = id.as_str().and_then(|text| text.parse::<EntityId>().ok()) else {
        // The check of the account says it.
        return Ok(None);
    };
    let found = asked.app.store.entity_get(&asked.domain, profiles, id).await?;
    if found.is_none() {
        problems.push(Invalid::new(names::PROFILE_ID, "there is no profile of this id"));
    }
    Ok(found)
}

fn checked(class: &Class, json: &Value, id: EntityId) -> Result<Entity, Vec<Invalid>> {
    let checked = validate::create(class, json)?;
    let entity = Entity::new(id, checked.properties);
    let problems = client::create_problems(class, &entity);
    if problems.is_empty() { Ok(entity) } else { Err(problems) }
}

/// The problems of the profile, named as the body has them.
fn within(problems: Vec<Invalid>) -> impl Iterator<Item = Invalid> {
    problems.into_iter().map(|problem| {
        let at = match problem.property.as_str() {
            "" => PROFILE.to_owned(),
            property => format!("{PROFILE}.{property}"),
        };
        Invalid::new(at, problem.reason)
    })
}

/// The steps, of which there is one for each server at least. `place` is where the profile is said.
fn shown(place: &str, steps: &[VerifyStep]) -> Result<Response, Problem> {
    if steps.is_empty() {
        return Err(Invalid::new(place, NO_SERVER).into());
    }
    let is_ok = steps.iter().all(|step| step.result != VerifyResult::Failed);
    let steps: Vec<_> = steps.iter().map(VerifyStep::to_json).collect();
    Ok(Json(json!({"ok": is_ok, "steps": steps})).into_response())
}
