//! `/rest/v1/model/<class>/<id>/<property>` and below: the files of an entity.

use crate::app::Asked;
use crate::body::Incoming;
use crate::change;
use crate::download::download;
use crate::etag;
use crate::form;
use crate::form::Form;
use crate::form::FormDisposition;
use crate::media_type::MediaType;
use crate::message_html;
use crate::parameters;
use crate::problem::Problem;
use crate::upload;
use crate::upload::Said;
use crate::view;
use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use postroom_model::client;
use postroom_store::EntityPlace;
use postroom_store::Failed;
use postroom_store::FileRow;
use postroom_store::NewFile;
use postroom_store::Replace;

/// Where a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilePlace<'a> {
    /// The entity.
    pub entity: EntityId,
    /// The property.
    pub property: &'a str,
    /// The name within a list. `None`: the only file of its property.
    pub name: Option<&'a str>,
}

/// `GET` of a list of files: the description of each.
///
/// # Errors
///
/// 404 when the entity is not there.
pub(crate) async fn list(asked: Asked, id: EntityId, property: &str) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    change::find(&asked, id).await?;
    let rows = rows(&asked, id, property).await?;
    Ok(Json(rows.iter().map(view::file).collect::<Vec<_>>()).into_response())
}

/// `GET` of a file: its bytes.
///
/// # Errors
///
/// 404 when it is not there, 412 for another content, 416 for a range that it does not have.
pub(crate) async fn show(asked: Asked, at: FilePlace<'_>) -> Result<Response, Problem> {
    if is_html(&asked, &at)
        && let Some(shown) = message_html::show(&asked, at.entity).await?
    {
        return Ok(shown);
    }
    let as_attachment = as_attachment(&asked, &at)?;
    let file = find(&asked, at).await?.ok_or_else(missing)?;
    download(&asked.app.store, &file, &asked.headers, as_attachment).await
}

/// `POST` to a list of files: a form whose parts are the files, all added or none.
///
/// # Errors
///
/// 409 for a name that exists or files that cannot be changed, 415 for a body that is not a form.
pub(crate) async fn add(
    asked: Asked,
    id: EntityId,
    property: &str,
    body: Body,
) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let property = writable(&asked, id, property).await?;
    if !MediaType::of(&asked.headers).is_some_and(|media_type| media_type.is_form()) {
        return Err(Problem::unsupported("takes multipart/form-data with the files"));
    }
    let app = &asked.app;
    let mut form = Form::open(&asked.headers, body, &app.limits).await?;
    let mut files: Vec<NewFile> = vec![];
    while let Some(field) = form.next().await? {
        let disposition = FormDisposition::of(&field)?;
        let said = Said::by(&field, disposition, format!("files[{}]", files.len()));
        let pieces = form::bytes(field);
        let file = upload::take(&app.store, &app.limits, &property, said, pieces).await?;
        if files.iter().any(|other| other.name == file.name) {
            let detail = format!("the form has two files of the name `{}`", file.name);
            return Err(Problem::conflict("exists", detail));
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(Invalid::new("files", "the form has no file").into());
    }
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let place = EntityPlace::new(&asked.domain, asked.class.as_ref(), id);
    app.store.file_add(place, files, &Replace::Nothing).await?;
    let rows = rows(&asked, id, &property.name).await?;
    let added = rows.iter().filter(|row| names.contains(&row.name)).map(view::file);
    Ok((StatusCode::CREATED, Json(added.collect::<Vec<_>>())).into_response())
}

/// `PUT` of a file: its content is the body, or the first part of a form. 201 if the file is new,
/// otherwise 200.
///
/// # Errors
///
/// 409 for files that do not change, 412 for another content, 413, 415 and 422 for the content.
pub(crate) async fn put(asked: Asked, at: FilePlace<'_>, body: Body) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let FilePlace { entity: id, property, name } = at;
    let property = writable(&asked, id, property).await?;
    let present = find(&asked, at).await?;
    check_condition(&asked.headers, present.as_ref())?;
    // A single file keeps its name unless a form gives another one.
    let kept = present.as_ref().map(|row| row.name.clone());
    let named = |said: Said| Said { name: name.map(str::to_owned).or(said.name).or(kept), ..said };
    let app = &asked.app;
    let file = if MediaType::of(&asked.headers).is_some_and(|media_type| media_type.is_form()) {
        let mut form = Form::open(&asked.headers, body, &app.limits).await?;
        let field = form.next().await?;
        let field = field.ok_or_else(|| Invalid::new("files", "the form has no file"))?;
        let disposition = FormDisposition::of(&field)?;
        let said = named(Said::by(&field, disposition, String::new()));
        let pieces = form::bytes(field);
        upload::take(&app.store, &app.limits, &property, said, pieces).await?
    } else {
        let incoming =
            Incoming::new(&asked.headers, body, app.limits.upload_bytes_max, &app.limits)?;
        let said = named(said_by(&asked.headers));
        let pieces = incoming.pieces().map(|piece| piece.map_err(Problem::from)).boxed();
        upload::take(&app.store, &app.limits, &property, said, pieces).await?
    };
    let place = EntityPlace::new(&asked.domain, asked.class.as_ref(), id);
    let name = file.name.clone();
    let replace = if is_conditional(&asked.headers) {
        Replace::Seen(present.as_ref().map(FileRow::etag))
    } else {
        Replace::Any
    };
    app.store.file_add(place, vec![file], &replace).await?;
    let place = FilePlace { entity: id, property: &property.name, name: Some(&name) };
    let row = find(&asked, place).await?.ok_or_else(missing)?;
    let status = if present.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(view::file(&row))).into_response())
}

/// `DELETE` of a file.
///
/// # Errors
///
/// 404 when it is not there, 409 for files that do not change, 412 for another content.
pub(crate) async fn delete(asked: Asked, at: FilePlace<'_>) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let FilePlace { entity: id, property, .. } = at;
    let file = find(&asked, at).await?.ok_or_else(missing)?;
    writable(&asked, id, property).await?;
    check_condition(&asked.headers, Some(&file))?;
    let place = EntityPlace::new(&asked.domain, asked.class.as_ref(), id);
    let seen = is_conditional(&asked.headers).then(|| file.etag());
    if asked.app.store.file_delete(place, property, &file.name, seen.as_deref()).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(missing())
}

/// The property, if the entity exists and its files may be changed.
async fn writable(asked: &Asked, id: EntityId, property: &str) -> Result<Property, Problem> {
    let entity = change::find(asked, id).await?;
    if let Some(reason) = client::file_problem(&asked.class, &entity, property) {
        return Err(Failed::ReadOnly { reason }.into());
    }
    asked.class.property(property).cloned().ok_or_else(missing)
}

async fn rows(asked: &Asked, id: EntityId, property: &str) -> Result<Vec<FileRow>, Problem> {
    let place = EntityPlace::new(&asked.domain, asked.class.as_ref(), id);
    Ok(asked.app.store.file_list_of(place, property).await?)
}

/// The file at a place. Without a name, the only file of its property.
async fn find(asked: &Asked, place: FilePlace<'_>) -> Result<Option<FileRow>, Problem> {
    let rows = rows(asked, place.entity, place.property).await?;
    Ok(rows.into_iter().find(|row| place.name.is_none_or(|name| row.name == name)))
}

/// What the header fields say about a file whose bytes are the body.
fn said_by(headers: &HeaderMap) -> Said {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let text = |name: &str| text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    // Clients such as curl send this type for a body without a given type.
    let media_type =
        text("content-type").filter(|text| text != "application/x-www-form-urlencoded");
    Said { place: String::new(), name: None, media_type, content_id: text("content-id") }
}

/// Checks `If-Match` against the present content.
fn check_match(headers: &HeaderMap, present: Option<&FileRow>) -> Result<(), Problem> {
    let tag = present.map(etag::of_file);
    if headers.contains_key(header::IF_MATCH) && !etag::matches(headers, tag.as_deref())? {
        return Err(stale("the file was changed meanwhile: read it again"));
    }
    Ok(())
}

/// Whether the client wants to change only certain content.
fn is_conditional(headers: &HeaderMap) -> bool {
    [header::IF_MATCH, header::IF_NONE_MATCH].iter().any(|name| headers.contains_key(name))
}

/// Checks `If-Match` and `If-None-Match: *` before a change of the content.
fn check_condition(headers: &HeaderMap, present: Option<&FileRow>) -> Result<(), Problem> {
    check_match(headers, present)?;
    let tag = present.map(etag::of_file);
    if etag::is_known(headers, tag.as_deref().unwrap_or_default())? && tag.is_some() {
        return Err(stale("the file exists already"));
    }
    Ok(())
}

fn stale(detail: &str) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail)
}

/// Whether `?attachment=true` is asked for.
fn as_attachment(asked: &Asked, at: &FilePlace<'_>) -> Result<bool, Problem> {
    let names: &[&str] =
        if is_html(asked, at) { &message_html::PARAMETERS } else { &["attachment"] };
    let pairs = parameters::of(&asked.uri, names)?;
    let said = pairs.iter().find(|(name, _)| name == "attachment");
    Ok(said.map_or(Ok(false), |(name, value)| parameters::flag(name, value))?)
}

/// Whether it is the html of a message.
fn is_html(asked: &Asked, at: &FilePlace<'_>) -> bool {
    asked.class.classname == MESSAGES && at.property == files::HTML
}

fn missing() -> Problem {
    Problem::not_found("there is no such file")
}
