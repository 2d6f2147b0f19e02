//! A list of large entities. It is read and sent part by part, so that only one part is in memory.
//!
//! Each part continues after the last entity of the part before, up to the last entity of the page.
//! So entities that are created or deleted meanwhile neither shift nor repeat others. The same
//! holds between pages.

use crate::app::Asked;
use crate::cursor;
use crate::listing::ListRequest;
use crate::mask::Mask;
use crate::view;
use axum::body::Body;
use futures_util::stream;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Order;
use postroom_model::Query;
use postroom_store::Error;
use postroom_store::ListPart;
use postroom_store::Store;
use std::sync::Arc;

/// The JSON of a list. It begins with the part `first` and ends with `last`, or when nothing is
/// left. If reading fails, the connection is cut, so that no client mistakes a part for the whole.
///
/// # Errors
///
/// No cursor can be made for `last`.
pub(crate) fn body(
    asked: &Asked,
    listing: &ListRequest,
    first: ListPart,
    last: Option<&Entity>,
) -> Result<Body, Invalid> {
    let mut query = Query { limit: u32::MAX, offset: 0, ..listing.query.clone() };
    if let Some(last) = last {
        let behind = behind(&asked.class, &query.order, last)?;
        query = query.and(Filter::Not(Box::new(behind)));
    }
    let rest = Rest {
        store: asked.app.store.clone(),
        domain: asked.domain.clone(),
        class: Arc::clone(&asked.class),
        query,
        mask: listing.mask.clone(),
        bytes_max: asked.app.limits.list_part_bytes_max,
    };
    let shown = stream::try_unfold(Some((rest, Next::First(first))), |state| async {
        let Some((rest, next)) = state else {
            return Ok(None);
        };
        match rest.show(next).await {
            Ok((text, next)) => Ok(Some((text, next.map(|next| (rest, next))))),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a list broke off");
                Err(error)
            }
        }
    });
    Ok(Body::from_stream(shown))
}

/// The next part.
enum Next {
    /// The first part, which is read already.
    First(ListPart),
    /// The entities that match this filter.
    Behind(Filter),
}

/// How a list is read.
struct Rest {
    store: Store,
    domain: Domain,
    class: Arc<Class>,
    /// The query of the whole page.
    query: Query,
    mask: Option<Mask>,
    bytes_max: usize,
}

impl Rest {
    /// The text of a part, and what follows it.
    async fn show(&self, next: Next) -> Result<(String, Option<Next>), Error> {
        let (front, part) = match next {
            Next::First(part) => ("[", part),
            Next::Behind(filter) => {
                let query = self.query.clone().and(filter);
                let (domain, class) = (&self.domain, self.class.as_ref());
                (",", self.store.entity_part(domain, class, &query, self.bytes_max).await?)
            }
        };
        let last = part.entities.last().filter(|_| part.is_cut);
        let next = last.map(|last| behind(&self.class, &self.query.order, last)).transpose();
        let next = next.map_err(|_| Error::Damaged { what: "the order of a list" })?;
        let front = if part.entities.is_empty() { "" } else { front };
        let end = if next.is_some() { "" } else { "]" };
        let elements = view::elements(&self.class, part.entities, self.mask.as_ref());
        Ok(([front, &elements, end].concat(), next.map(Next::Behind)))
    }
}

fn behind(class: &Class, order: &[Order], entity: &Entity) -> Result<Filter, Invalid> {
    cursor::filter(class, order, &cursor::behind(order, entity))
}
