//! News: the changes of a domain in their order, each with the entity before and after it.
//!
//! A row of the feed has only what its change replaced. So the present entity is read, and its
//! changes are undone one after the other, from its last change back to those that are wanted.

use crate::database::Statement;
use crate::error::Error;
use crate::feed::FeedRow;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Operation;
use postroom_model::Query;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// How many entities one query asks for.
const AT_ONCE: usize = 500;

/// One change, with the entity before and after it.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityNews {
    /// What happened.
    pub row: FeedRow,
    /// The entity before. `None`: it was not there, or it has been deleted since.
    pub before: Option<Entity>,
    /// The entity after. `None`: it is gone, by this change or since.
    pub after: Option<Entity>,
}

/// The changes after a number.
#[derive(Debug, Clone, PartialEq)]
pub enum NewsPage {
    /// These, in their order.
    News {
        /// The changes.
        news: Vec<EntityNews>,
        /// The number to go on behind.
        next: i64,
        /// Whether there are more.
        is_full: bool,
    },
    /// Some of them are no longer kept.
    Trimmed {
        /// What is kept is behind this number.
        oldest: i64,
    },
    /// The feed has not come to this number. It is that of another database.
    Unknown {
        /// The greatest number that can be gone on behind.
        newest: i64,
    },
}

/// From where to where the feed can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedBounds {
    /// What is kept is behind this number.
    pub oldest: i64,
    /// Whatever becomes visible from now on is behind this number.
    pub newest: i64,
}

impl Store {
    /// From where to where the feed can be read.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn feed_bounds(&self) -> Result<FeedBounds, Error> {
        let newest = match self.inner.database.dialect().seq_settled() {
            Some(below) => format!("{below} - 1"),
            None => "(SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'seq')".to_owned(),
        };
        let sql = format!(
            "SELECT COALESCE((SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'feed trimmed'), 0),
             {newest}"
        );
        let rows = self.read(Statement::new(sql)).await?;
        let bounds = rows
            .first()
            .and_then(|row| Some(FeedBounds { oldest: row.whole(0)?, newest: row.whole(1)? }));
        bounds.ok_or(Error::Damaged { what: "the numbers of the feed" })
    }

    /// The changes of a domain behind a number, `limit` at most.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn news(&self, domain: &Domain, after: i64, limit: u32) -> Result<NewsPage, Error> {
        // Before the rows, so that `next` is not behind one that was not visible yet.
        let FeedBounds { newest, .. } = self.feed_bounds().await?;
        if after > newest {
            return Ok(NewsPage::Unknown { newest });
        }
        let rows = self.feed_list(domain, after, limit).await?;
        // After the rows, because what is trimmed meanwhile may be missing.
        let FeedBounds { oldest, .. } = self.feed_bounds().await?;
        if after < oldest {
            return Ok(NewsPage::Trimmed { oldest });
        }
        let is_full = rows.len() as u64 == u64::from(limit);
        let last = rows.last().map_or(after, |row| row.seq);
        let next = if is_full { last } else { newest.max(last) };
        Ok(NewsPage::News { news: self.with_states(domain, rows).await?, next, is_full })
    }

    /// The changes with the entities before and after them.
    async fn with_states(
        &self,
        domain: &Domain,
        rows: Vec<FeedRow>,
    ) -> Result<Vec<EntityNews>, Error> {
        let Some(last) = rows.last().map(|row| row.seq) else {
            return Ok(vec![]);
        };
        let mut states = self.as_they_are(domain, &rows).await?;
        let changed_since = states.values().filter(|entity| entity.seq > last);
        let changed_since: Vec<_> = changed_since.map(|entity| entity.id).collect();
        let mut since = vec![];
        for ids in changed_since.chunks(AT_ONCE) {
            since.extend(self.feed_of(domain, ids, last).await?);
        }
        for row in since.iter().rev() {
            undo(&mut states, row);
        }
        let told = rows.into_iter().rev().map(|row| {
            let (before, after) = undo(&mut states, &row);
            EntityNews { before, after: after.map(|after| Entity { seq: row.seq, ..after }), row }
        });
        let mut news: Vec<_> = told.collect();
        news.reverse();
        Ok(news)
    }

    /// The entities of these changes as they are now.
    async fn as_they_are(&self, domain: &Domain, rows: &[FeedRow]) -> Result<States, Error> {
        let mut wanted: BTreeMap<&str, BTreeSet<EntityId>> = BTreeMap::new();
        for row in rows {
            wanted.entry(&row.class).or_default().insert(row.entity);
        }
        let mut states = States::new();
        for (name, ids) in wanted {
            // A class that was deleted since has no entities.
            let Some(class) = self.class(name) else {
                continue;
            };
            let ids: Vec<_> = ids.into_iter().collect();
            for ids in ids.chunks(AT_ONCE) {
                let query = Query::filtered(Filter::of_ids(ids), u32::MAX);
                for entity in self.entity_list(domain, &class, &query).await? {
                    states.insert((name.to_owned(), entity.id), entity);
                }
            }
        }
        Ok(states)
    }
}

/// Entities by class and id.
type States = HashMap<(String, EntityId), Entity>;

/// Takes an entity back to where it was before a change. Gives it before and after.
fn undo(states: &mut States, row: &FeedRow) -> (Option<Entity>, Option<Entity>) {
    let key = (row.class.clone(), row.entity);
    let Some(after) = states.remove(&key) else {
        return (None, None);
    };
    // A change that came after the entity was read is not in it.
    if row.seq > after.seq {
        states.insert(key, after);
        return (None, None);
    }
    // It was deleted after it was read: what the change replaced is no longer kept.
    if row.operation == Operation::Change && row.replaced.is_none() {
        return (None, None);
    }
    let before = row.undo(after.clone());
    states.extend(before.clone().map(|before| (key, before)));
    (before, Some(after))
}
