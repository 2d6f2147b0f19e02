//! New entities: from JSON, a JSON list, or a form with files.

use crate::account;
use crate::app::Asked;
use crate::body;
use crate::body::Sent;
use crate::enclosed;
use crate::etag;
use crate::exact;
use crate::folder;
use crate::form;
use crate::form::Form;
use crate::form::FormDisposition;
use crate::json::Document;
use crate::made_secrets::MadeSecrets;
use crate::media_type::MediaType;
use crate::once;
use crate::problem::Problem;
use crate::upload;
use crate::upload::Said;
use crate::view;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use postroom_engine::carried;
use postroom_engine::posted;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::MessageDirection;
use postroom_model::MessageState;
use postroom_model::PROBLEMS_MAX;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files::HTML;
use postroom_model::client;
use postroom_model::validate;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::NewEntity;
use postroom_store::NewFile;
use postroom_store::Once;
use postroom_store::Terms;
use serde_json::Value as Json;
use std::collections::HashSet;

/// The part of a form that holds the JSON.
const JSON_PART: &str = "message";

/// `POST` of a collection: creates one entity, or all entities of a list or none. With an
/// `Idempotency-Key`, a repeated request creates nothing again.
///
/// # Errors
///
/// 422 with everything that is wrong, in a list with its index; errors of reading and storing.
pub(crate) async fn create(asked: Asked, body: Body) -> Result<Response, Problem> {
    let same_login = account::same_login_of_new(&asked)?;
    let is_form = MediaType::of(&asked.headers).is_some_and(|media_type| media_type.is_form());
    let mut contents = blake3::Hasher::new();
    let (sent, files) = if is_form {
        from_form(&asked, body, &mut contents).await?
    } else {
        (body::json(&asked.headers, body, &asked.app).await?, vec![])
    };
    // The share is held until everything is created.
    let Sent { document: Document { json, digest, rounded }, share: _share } = sent;
    exact::check(&asked.class, &rounded)?;
    if is_form && json.is_array() {
        return Err(Invalid::new(JSON_PART, "takes one entity; a list cannot have files").into());
    }
    let once = once::of(&asked, digest, &files, contents.finalize())?;
    let (is_list, brings_ids) = (json.is_array(), brings_ids(&json));
    let created = match &once {
        Some(once) => once::before(&asked, once).await?,
        None => None,
    };
    if let Some(created) = &created {
        MadeSecrets::refuse_repeat(&asked.class, &json, created)?;
    }
    let mut made = MadeSecrets::default();
    let created = match created {
        Some(created) => created,
        None => {
            let mut new = if let Json::Array(list) = json {
                all(&asked, list).await?
            } else {
                vec![entity(&asked, json, files).await?]
            };
            made = MadeSecrets::give(&asked.class, &mut new);
            let terms = Terms { once: once.as_ref(), same_login, brings_ids };
            store(&asked, new, terms).await?
        }
    };
    if is_list {
        let list = view::created_list(&asked.class, &created, &made);
        return Ok((StatusCode::CREATED, list).into_response());
    }
    let created = created.first().ok_or_else(|| Problem::fault("nothing was created"))?;
    Ok(view::created(&asked.class, created, &made))
}

/// Whether the client chose the id of something that it creates.
fn brings_ids(json: &Json) -> bool {
    let has_id = |json: &Json| json.get("id").is_some_and(|id| !id.is_null());
    json.as_array().map_or_else(|| has_id(json), |list| list.iter().any(has_id))
}

async fn all(asked: &Asked, list: Vec<Json>) -> Result<Vec<NewEntity>, Problem> {
    let count_max = asked.app.limits.create_count_max;
    if list.len() > count_max {
        return Err(Invalid::new("", format!("creates at most {count_max} at once")).into());
    }
    let mut all = vec![];
    let mut problems = vec![];
    for (at, one) in list.into_iter().enumerate() {
        match entity(asked, one, vec![]).await {
            Ok(new) => all.push(new),
            Err(problem) => problems.extend(problem.within(&format!("[{at}]"))?),
        }
        if problems.len() > PROBLEMS_MAX {
            break;
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(Problem::invalid(problems)) }
}

/// Creates the entity with an id that the client chose, for `PUT`. `None`: it exists by now.
///
/// # Errors
///
/// As [`create`]; 412 when another version was to be replaced.
pub(crate) async fn put(
    asked: &Asked,
    id: EntityId,
    mut json: Json,
    once: Option<&Once>,
) -> Result<Option<Response>, Problem> {
    let same_login = account::same_login(asked)?;
    if asked.headers.contains_key(header::IF_MATCH) {
        etag::matches(&asked.headers, None)?;
        let detail = "If-Match names a version, but there is no entity of this id";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail));
    }
    if let Some(members) = json.as_object_mut() {
        let path = Json::String(id.to_string());
        let same = |sent: &Json| sent.as_str().and_then(|text| text.parse().ok()) == Some(id);
        if members.get("id").is_some_and(|sent| !sent.is_null() && !same(sent)) {
            return Err(Invalid::new("id", "is not the one of the path").into());
        }
        members.insert("id".to_owned(), path);
    }
    let mut new = vec![entity(asked, json, vec![]).await?];
    let made = MadeSecrets::give(&asked.class, &mut new);
    match store(asked, new, Terms { once, same_login, brings_ids: true }).await {
        Ok(created) => {
            let created = created.first().ok_or_else(|| Problem::fault("nothing was created"))?;
            Ok(Some(view::created(&asked.class, created, &made)))
        }
        Err(_) if change_is_possible(asked, id).await? => Ok(None),
        Err(problem) => Err(problem),
    }
}

async fn change_is_possible(asked: &Asked, id: EntityId) -> Result<bool, Problem> {
    Ok(asked.app.store.entity_get(&asked.domain, &asked.class, id).await?.is_some())
}

async fn store(
    asked: &Asked,
    new: Vec<NewEntity>,
    terms: Terms<'_>,
) -> Result<Vec<Entity>, Problem> {
    let (domain, class) = (&asked.domain, asked.class.as_ref());
    let ids: Vec<_> = new.iter().map(|new| new.entity.id).collect();
    let accounts: Vec<_> = match class.classname.as_ref() {
        ACCOUNTS => new.iter().map(|new| new.entity.clone()).collect(),
        _ => vec![],
    };
    match (asked.app.store.entity_create_on(domain, class, new, terms).await, terms.once) {
        (Ok(Some(created)), _) => Ok(created),
        // The same request on another connection was faster.
        (Ok(None), Some(once)) => {
            let before = once::before(asked, once).await?;
            before.ok_or_else(|| Problem::fault("a key vanished"))
        }
        (Ok(None), None) => Err(Problem::fault("nothing was created")),
        (Err(Error::Condition(Failed::SameLogin)), _) => Err(account::twin(asked, &accounts).await),
        (Err(error @ Error::Condition(Failed::Exists { .. })), _) if ids.len() > 1 => {
            let places = existing(asked, &ids).await?;
            Err(Problem::from(error).at(places))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// The places in a list of new entities whose ids entities of the domain have already.
async fn existing(asked: &Asked, ids: &[EntityId]) -> Result<Vec<Invalid>, Problem> {
    let of_ids = Filter::of_ids(ids);
    let store = &asked.app.store;
    let found = store.entity_ids(&asked.domain, &asked.class, Some(&of_ids), ids.len()).await?;
    let found: HashSet<_> = found.into_iter().collect();
    let taken = ids.iter().enumerate().filter(|(_, id)| found.contains(*id));
    let place = |(at, id): (usize, &EntityId)| {
        Invalid::new(format!("[{at}].id"), format!("{id} is the id of an entity that exists"))
    };
    Ok(taken.map(place).collect())
}

/// Reads a form. The part `message` is JSON. Every other part is a file of the property with the
/// part's name. The contents of the files go into the hash.
async fn from_form(
    asked: &Asked,
    body: Body,
    contents: &mut blake3::Hasher,
) -> Result<(Sent, Vec<NewFile>), Problem> {
    let (class, app) = (&asked.class, &asked.app);
    let mut form = Form::open(&asked.headers, body, &app.limits).await?;
    let (mut json, mut files) = (None, vec![]);
    while let Some(mut field) = form.next().await? {
        let disposition = FormDisposition::of(&field)?;
        let name = disposition.name.clone().unwrap_or_default();
        if name == JSON_PART && json.is_none() {
            let mut bytes = vec![];
            while let Some(piece) = field.next().await {
                let piece = piece.map_err(|_| Problem::malformed("the form ended too early"))?;
                bytes.extend_from_slice(&piece);
                if bytes.len() as u64 > app.limits.json_bytes_max {
                    return Err(Problem::too_large("the JSON", app.limits.json_bytes_max));
                }
            }
            json = Some(body::parse_json("the part `message`", bytes, app).await?);
        } else if let Some(property) = class.file_property(&name) {
            let said = Said::by(&field, disposition, name);
            let hashed = |piece: &Result<Bytes, Problem>| {
                contents.update(piece.as_deref().unwrap_or_default());
            };
            let pieces = form::bytes(field).inspect(hashed);
            files.push(upload::take(&app.store, &app.limits, property, said, pieces).await?);
        } else {
            let reason = format!(
                "no such part; there are `{JSON_PART}` (JSON, once) and the properties of {} that \
                 hold files",
                class.classname
            );
            return Err(Invalid::new(name, reason).into());
        }
    }
    let json = json.ok_or_else(|| Invalid::new(JSON_PART, "the form has no such part"))?;
    Ok((json, files))
}

/// Checks the JSON of one entity and takes its files into the store.
async fn entity(
    asked: &Asked,
    mut json: Json,
    mut files: Vec<NewFile>,
) -> Result<NewEntity, Problem> {
    let (class, app) = (&asked.class, &asked.app);
    let enclosed = enclosed::take(class, &mut json);
    let draft = validate::create(class, &carried::by_fields(class, &json));
    let (enclosed, draft) = match (enclosed, draft) {
        (Ok(enclosed), Ok(draft)) => (enclosed, draft),
        (enclosed, draft) => {
            let problems = enclosed.err().into_iter().chain(draft.err());
            return Err(Problem::invalid(problems.flatten().collect()));
        }
    };
    let id = draft.id.unwrap_or_else(|| app.store.clock().new_id());
    let mut entity = Entity::new(id, draft.properties);
    if class.classname == MESSAGES {
        if MessageDirection::Out.is_of(&entity) {
            posted::plain_ids(&mut entity.properties);
        }
        app.store.message_placed(&asked.domain, &mut entity, None).await?;
        posted::check(class, None, &entity)?;
    }
    if class.classname == FOLDERS {
        folder::check(asked, &entity).await?;
    }
    if enclosed.len() > app.limits.files_count_max {
        return Err(Invalid::new("", "has too many files").into());
    }
    for file in enclosed {
        if let Some(property) = class.property(&file.property) {
            files.push(upload::take_enclosed(&app.store, &app.limits, property, file).await?);
        }
    }
    check_files(asked, &entity, &files)?;
    if class.classname == MESSAGES && MessageState::Sending.is_of(&entity) {
        let has_html = files.iter().any(|file| file.property == HTML);
        let from = posted::account_address(&app.store, &asked.domain, &entity).await?;
        entity.properties.extend(posted::announced(app.store.clock(), &entity, has_html, &from));
    }
    Ok(NewEntity { entity, files })
}

/// The name of a property for clients: its alias, if it has one.
fn shown_name(asked: &Asked, property: &str) -> String {
    let alias = asked.class.property(property).and_then(|property| property.alias());
    alias.unwrap_or(property).to_owned()
}

/// Checks that no two files have the same place.
fn check_files(asked: &Asked, entity: &Entity, files: &[NewFile]) -> Result<(), Problem> {
    let mut known = HashSet::new();
    for file in files {
        let property = asked.class.property(&file.property);
        let multi = property.is_some_and(|property| property.multi);
        if !known.insert((&file.property, multi.then_some(&file.name))) {
            let reason = if multi {
                format!("has two files of the name `{}`", file.name)
            } else {
                "takes one file, not two".to_owned()
            };
            return Err(Invalid::new(shown_name(asked, &file.property), reason).into());
        }
        if let Some(reason) = client::file_problem(&asked.class, entity, &file.property) {
            return Err(Failed::ReadOnly { reason }.into());
        }
    }
    Ok(())
}
