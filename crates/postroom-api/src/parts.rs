//! A list of any size. It is read and sent part by part, so that only one part is in memory.
//!
//! Each part continues after the last entity of the part before. A page ends with its last entity,
//! and an export when nothing is left. So entities that are created or deleted meanwhile neither
//! shift nor repeat others. The same holds between pages.
//!
//! If reading fails in the middle, the connection is cut, so that no client mistakes a part for the
//! whole.

use crate::cursor;
use crate::format::Format;
use crate::rows::Rows;
use axum::body::Body;
use futures_util::stream;
use postroom_model::Entity;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Query;
use postroom_model::filter::Literal;
use postroom_store::Error;
use postroom_store::ListPart;

/// How a list is read.
#[derive(Debug)]
pub(crate) struct ListParts {
    /// Which columns of each entity are shown.
    pub rows: Rows,
    /// The names of the columns, each as its path.
    pub columns: Vec<Vec<String>>,
    /// The format in which the list is written.
    pub format: Format,
    /// The query of the whole list.
    pub query: Query,
    /// About how many bytes a part has, counted as they are stored.
    pub bytes_max: usize,
}

/// The next part.
enum Next {
    /// The first part, which is read already.
    First(ListPart),
    /// The entities after this position of the order, at most so many.
    After(Vec<Literal>, u32),
}

impl ListParts {
    /// Ends the list with this entity, whatever the limit of the query is.
    ///
    /// # Errors
    ///
    /// No cursor can be made for it.
    pub(crate) fn up_to(mut self, last: &Entity) -> Result<Self, Invalid> {
        let order = &self.query.order;
        let behind = cursor::filter(&self.rows.class, order, &cursor::behind(order, last))?;
        self.query = Query { limit: u32::MAX, ..self.query };
        self.query = self.query.and(Filter::Not(Box::new(behind)));
        Ok(self)
    }

    /// The text of the list, which begins with the part `first`.
    ///
    /// # Errors
    ///
    /// When the store fails before anything is sent.
    pub(crate) async fn body(self, first: ListPart) -> Result<Body, Error> {
        let (text, next) = self.show(Next::First(first)).await?;
        let Some(next) = next else {
            return Ok(Body::from(text));
        };
        let rest = stream::try_unfold(Some((self, next)), |state| async {
            let Some((parts, next)) = state else {
                return Ok(None);
            };
            match parts.show(next).await {
                Ok((text, next)) => Ok(Some((text, next.map(|next| (parts, next))))),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a list broke off");
                    Err(error)
                }
            }
        });
        let first = stream::once(async move { Ok::<_, Error>(text) });
        Ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)))
    }

    /// The text of a part, and what follows it.
    async fn show(&self, next: Next) -> Result<(String, Option<Next>), Error> {
        let (mut text, part, limit) = match next {
            Next::First(part) => (self.format.front(&self.columns), part, self.query.limit),
            Next::After(position, limit) => {
                let after = Some(position);
                let query = Query { limit, offset: 0, after, ..self.query.clone() };
                let (domain, class) = (&self.rows.domain, self.rows.class.as_ref());
                let part =
                    self.rows.store.entity_part(domain, class, &query, self.bytes_max).await?;
                let between = if part.entities.is_empty() { "" } else { self.format.between() };
                (between.to_owned(), part, limit)
            }
        };
        let count = u32::try_from(part.entities.len()).unwrap_or(u32::MAX);
        let last = part.entities.last().filter(|_| part.is_cut);
        let (class, order) = (&self.rows.class, &self.query.order);
        let position = |last| cursor::position(class, order, &cursor::behind(order, last));
        let next = last.map(position).transpose();
        let next = next.map_err(|_| Error::Damaged { what: "the order of a list" })?;
        let companions = self.rows.companions(&part.entities).await?;
        // Each is dropped as soon as it is written, because some are large.
        for (at, entity) in part.entities.into_iter().enumerate() {
            if at > 0 {
                text.push_str(self.format.between());
            }
            let row = self.rows.row(&entity, &companions);
            text.push_str(&self.format.row(&row, &self.columns));
        }
        let left = limit.saturating_sub(count);
        let next = next.filter(|_| left > 0).map(|position| Next::After(position, left));
        if next.is_none() {
            text.push_str(self.format.end());
        }
        Ok((text, next))
    }
}
