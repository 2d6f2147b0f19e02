//! `/rest/v1/model/<class>` and `/rest/v1/model/<class>/<id>`: reading entities.

use crate::app::Asked;
use crate::change;
use crate::etag;
use crate::listing;
use crate::problem::Problem;
use crate::view;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use postroom_model::Query;
use uuid::Uuid;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// `GET` of a collection: a list, with the way to the next page when there may be one.
///
/// # Errors
///
/// 422 with every parameter that is unknown or wrong.
pub async fn list(asked: Asked) -> Result<Response, Problem> {
    let (store, class) = (&asked.app.store, &asked.class);
    let pairs = listing::parameters(&asked.uri)?;
    let listing = listing::parse(class, &pairs)?;
    let entities = store.entity_list(&asked.domain, class, &listing.query).await?;
    let mut response = view::entities(class, &entities, listing.mask.as_ref());
    let is_full = entities.len() as u64 == u64::from(listing.query.limit);
    if let (true, Some(last)) = (is_full, entities.last()) {
        let next = listing::next_page(asked.uri.path(), &pairs, &listing.query, last);
        if let Ok(link) = HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    if listing.count {
        let counted = Query { filter: listing.counted, ..Query::default() };
        let count = store.entity_count(&asked.domain, class, &counted).await?;
        response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(count));
    }
    Ok(response)
}

/// `GET` of an entity.
///
/// # Errors
///
/// 404 when the domain has none of that id.
pub async fn show(asked: Asked, id: Uuid) -> Result<Response, Problem> {
    let mask = listing::mask_only(&asked.class, &listing::parameters(&asked.uri)?)?;
    let entity = change::find(&asked, id).await?;
    let tag = etag::of_version(entity.version);
    if etag::is_known(&asked.headers, &tag) {
        return Ok(view::not_modified(&tag));
    }
    Ok(view::entity(&asked.class, &entity, mask.as_ref()))
}
