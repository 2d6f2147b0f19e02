//! `/rest/v1/model/<class>` and `/rest/v1/model/<class>/<id>`: reading entities.

use crate::app::Asked;
use crate::change;
use crate::etag;
use crate::format::Format;
use crate::listing;
use crate::parameters;
use crate::parts::ListParts;
use crate::problem::Problem;
use crate::rows::Rows;
use crate::sums;
use crate::view;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Mask;
use postroom_model::Query;
use std::sync::Arc;

/// The header field with the limit of a page, if the client asked for a greater one.
const LIMIT: HeaderName = HeaderName::from_static("x-limit");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// `GET` of a collection: a list, with a link to the next page if there may be one.
///
/// # Errors
///
/// 422 with every parameter that is unknown or wrong.
pub(crate) async fn list(asked: Asked) -> Result<Response, Problem> {
    let pairs = parameters::all(&asked.uri)?;
    listed(asked, &pairs, Following::Parameters).await
}

/// How the next page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    /// With the same parameters in the URL.
    Parameters,
    /// With the same body.
    SameBody,
}

/// The list that the parameters `pairs` describe.
///
/// # Errors
///
/// 422 with every parameter that is unknown or wrong.
pub(crate) async fn listed(
    asked: Asked,
    pairs: &[(String, String)],
    following: Following,
) -> Result<Response, Problem> {
    let (store, class) = (&asked.app.store, &asked.class);
    let mut listing = listing::parse(class, &asked.classes(), pairs)?;
    let format = Format::accepted(&asked.headers);
    if let Some(aggregate) = &listing.aggregate {
        return sums::answer(&asked, listing.counted.as_ref(), aggregate, format).await;
    }
    let is_page = format == Format::Array;
    if !is_page {
        listing.query.limit = listing.limit.unwrap_or(u32::MAX);
    }
    let bytes_max = asked.app.limits.list_part_bytes_max;
    let part = store.entity_part(&asked.domain, class, &listing.query, bytes_max).await?;
    let is_full = part.entities.len() as u64 == u64::from(listing.query.limit);
    let behind = match part.is_cut && is_page {
        true => last_of(&asked, &listing.query).await?,
        false => None,
    };
    let last = behind.as_ref().or(part.entities.last().filter(|_| is_full && is_page));
    let link = last.and_then(|last| {
        let kept = if following == Following::Parameters { pairs } else { &[] };
        let next = listing::next_page(asked.uri.path(), kept, &listing.query, last);
        HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).ok()
    });
    let rows =
        Rows { flat: listing.flat && format != Format::Csv, ..rows(&asked, listing.mask.take()) };
    let columns = rows.columns();
    let query = listing.query.clone();
    let mut parts = ListParts { rows, columns, format, query, bytes_max };
    if let Some(behind) = &behind {
        parts = parts.up_to(behind)?;
    }
    let mut response = view::list(parts.body(part).await?, format);
    response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    if listing.is_capped && is_page {
        response.headers_mut().insert(LIMIT, HeaderValue::from(listing.query.limit));
    }
    if listing.count {
        let counted = Query { filter: listing.counted, ..Query::default() };
        let count = store.entity_count(&asked.domain, class, &counted).await?;
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(count));
    }
    Ok(response)
}

/// How the entities of the asked class are shown.
fn rows(asked: &Asked, mask: Option<Mask>) -> Rows {
    Rows {
        store: asked.app.store.clone(),
        domain: asked.domain.clone(),
        class: Arc::clone(&asked.class),
        mask,
        flat: false,
    }
}

/// The last entity of a full page, with only the values that the order needs.
async fn last_of(asked: &Asked, query: &Query) -> Result<Option<Entity>, Problem> {
    let last = Query {
        limit: 1,
        offset: query.offset.saturating_add(u64::from(query.limit.saturating_sub(1))),
        shown: Some(vec![]),
        ..query.clone()
    };
    let found = asked.app.store.entity_list(&asked.domain, &asked.class, &last).await?;
    Ok(found.into_iter().next())
}

/// `GET` of an entity.
///
/// # Errors
///
/// 404 when the domain has none of that id.
pub(crate) async fn show(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    let pairs = parameters::of(&asked.uri, &["mask"])?;
    let classes = asked.classes();
    let mask = |text: &str| Mask::parse(&asked.class, &classes, text);
    let mask = pairs.first().map(|(_, text)| mask(text)).transpose()?;
    let entity = change::find(&asked, id).await?;
    let tag = etag::of_version(entity.version);
    // The tag is the version of this entity, so it says nothing about other entities in the answer.
    let is_whole = mask.as_ref().is_none_or(|mask| mask.references().is_empty());
    if is_whole && etag::is_known(&asked.headers, &tag)? {
        return Ok(view::not_modified(&tag));
    }
    let rows = rows(&asked, mask);
    let companions = rows.companions(std::slice::from_ref(&entity)).await?;
    Ok(view::row(&entity, rows.row(&entity, &companions)))
}
