//! News: the changes of a domain in their order, each with the entity before and after it.
//!
//! A row of the feed has only the values that its change replaced. So the present entity is read,
//! and its changes are undone one after the other, from the last one back to the wanted ones. The
//! rows of some changes have the whole entity. Undoing begins at the next such change, so an entity
//! that changes all the time costs a reader no more than others.

use crate::classes::Classes;
use crate::database::Statement;
use crate::error::Error;
use crate::feed::FeedPart;
use crate::feed::FeedRow;
use crate::seq;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Operation;
use postroom_model::Property;
use postroom_model::Query;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// How many entities one query asks for.
const AT_ONCE: usize = 500;
/// How many bytes of the feed, and of entities, a page has. The last change may exceed this.
const BYTES_MAX: usize = 1 << 20;

/// One change, with the entity before and after it. Its files are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityNews {
    /// What happened.
    pub row: FeedRow,
    /// The entity before the change. `None`: it did not exist, or it was deleted since.
    pub before: Option<Entity>,
    /// The entity after the change. `None`: it was deleted, by this change or since.
    pub after: Option<Entity>,
}

/// The changes after a number.
#[derive(Debug, Clone, PartialEq)]
pub enum NewsPage {
    /// The changes, in their order.
    News {
        /// The changes.
        news: Arc<[EntityNews]>,
        /// The next page begins after this number.
        next: i64,
        /// Whether there may be more changes already.
        is_full: bool,
    },
    /// Some of the changes are no longer kept.
    Trimmed {
        /// The changes after this number are kept.
        oldest: i64,
    },
    /// No change has the number yet, or it is of the original of this copy: it is of other data.
    Unknown {
        /// The greatest number after which a reader can continue now.
        newest: i64,
    },
}

/// The part of the feed that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedBounds {
    /// The changes after this number are kept.
    pub oldest: i64,
    /// All changes that become visible from now on have greater numbers.
    pub newest: i64,
    /// No change has got a greater number yet. It is above `newest` while a transaction runs that
    /// is older than a change.
    pub given: i64,
}

impl Store {
    /// The part of the feed that can be read.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn feed_bounds(&self) -> Result<FeedBounds, Error> {
        let dialect = self.inner.database.dialect();
        let sql = format!(
            "SELECT COALESCE((SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'feed trimmed'), 0),
             {}, {}",
            seq::last_settled(dialect),
            seq::last_given(dialect)
        );
        let rows = self.read(Statement::new(sql)).await?;
        let bounds = rows.first().and_then(|row| {
            let (oldest, newest, given) = (row.whole(0)?, row.whole(1)?, row.whole(2)?);
            Some(FeedBounds { oldest, newest, given })
        });
        bounds.ok_or(Error::Damaged { what: "the numbers of the feed" })
    }

    /// The changes of a domain after a number, at most `limit`, and fewer if they are large.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn news(&self, domain: &Domain, after: i64, limit: u32) -> Result<NewsPage, Error> {
        // Before the rows are read, so that `next` skips no change that was not visible yet.
        let FeedBounds { newest, given, .. } = self.feed_bounds().await?;
        if after > given || self.inner.feed_gaps.iter().any(|gap| gap.has(after)) {
            return Ok(NewsPage::Unknown { newest });
        }
        let FeedPart { mut rows, is_full } =
            self.feed_part(domain, after..=newest, limit, BYTES_MAX).await?;
        // After the rows are read, because rows that were trimmed meanwhile may be missing.
        let FeedBounds { oldest, .. } = self.feed_bounds().await?;
        if after < oldest {
            return Ok(NewsPage::Trimmed { oldest });
        }
        let StatesNow { states, known } = self.as_they_are(domain, &rows).await?;
        let is_full = is_full || known < rows.len();
        rows.truncate(known);
        let last = rows.last().map_or(after, |row| row.seq);
        let next = if is_full { last } else { newest.max(last) };
        let states = self.as_they_were(domain, states, last).await?;
        Ok(NewsPage::News { news: told(&self.classes().of(domain), states, rows), next, is_full })
    }

    /// The entities of these changes as they are now.
    async fn as_they_are(&self, domain: &Domain, rows: &[FeedRow]) -> Result<StatesNow, Error> {
        let mut wanted: BTreeMap<&str, BTreeSet<EntityId>> = BTreeMap::new();
        for row in rows {
            wanted.entry(&row.class).or_default().insert(row.entity);
        }
        let (mut states, mut unread) = (States::new(), HashSet::new());
        for (name, ids) in wanted {
            // A class that was deleted since has no entities.
            let Some(class) = self.class_of(domain, name) else {
                continue;
            };
            let ids: Vec<_> = ids.into_iter().collect();
            // The entity of the first change is always read, so that the reader makes progress.
            let first = rows.first().filter(|row| row.class == name).map(|row| row.entity);
            for ids in ids.chunks(AT_ONCE) {
                let query = Query::filtered(Filter::of_ids(ids), u32::MAX);
                let part = self.entity_part(domain, &class, &query, BYTES_MAX).await?;
                let read_to = part.entities.last().map(|entity| entity.id);
                let is_unread = |id: &&EntityId| part.is_cut && Some(**id) > read_to;
                unread.extend(ids.iter().filter(is_unread).map(|id| (name.to_owned(), *id)));
                let mut read = part.entities;
                if let Some(first) = first.filter(|id| unread.remove(&(name.to_owned(), *id))) {
                    read.extend(self.entity_get(domain, &class, first).await?);
                }
                states.extend(read.into_iter().map(|one| ((name.to_owned(), one.id), one)));
            }
        }
        let is_unread = |row: &FeedRow| unread.contains(&(row.class.clone(), row.entity));
        let known = rows.iter().position(is_unread).unwrap_or(rows.len());
        let told: HashSet<_> = rows.iter().take(known).map(key).collect();
        states.retain(|key, _| told.contains(key));
        Ok(StatesNow { states, known })
    }

    /// The same entities as they were after the change with the number `last`.
    async fn as_they_were(
        &self,
        domain: &Domain,
        mut states: States,
        last: i64,
    ) -> Result<States, Error> {
        let mut changed: BTreeMap<String, Vec<EntityId>> = BTreeMap::new();
        for ((class, id), entity) in &states {
            if entity.seq > last {
                changed.entry(class.clone()).or_default().push(*id);
            }
        }
        for (class, ids) in changed {
            for ids in ids.chunks(AT_ONCE) {
                let wholes = self.feed_wholes(domain, &class, ids, last).await?;
                let (far, near): (Vec<_>, Vec<_>) =
                    ids.iter().copied().partition(|id| wholes.contains_key(id));
                if !near.is_empty() {
                    let since = self.feed_of(domain, &near, last).await?;
                    undo_all(&mut states, &class, &since);
                }
                for id in far {
                    let whole = wholes.get(&id).copied().unwrap_or(last);
                    let since = self.feed_between(domain, id, last, whole).await?;
                    if let Some(state) = states.get_mut(&(class.clone(), id)) {
                        // This change sets all values, so the present ones do not matter.
                        state.seq = whole;
                    }
                    undo_all(&mut states, &class, &since);
                }
            }
        }
        Ok(states)
    }
}

/// The entities of some changes.
struct StatesNow {
    states: States,
    /// For how many changes, from the first one on, the entity was read. There was no room for the
    /// others.
    known: usize,
}

/// Entities by class and id.
type States = HashMap<(String, EntityId), Entity>;

fn key(row: &FeedRow) -> (String, EntityId) {
    (row.class.clone(), row.entity)
}

/// The changes with the entities before and after them. `states` has the entities after the last
/// change.
fn told(classes: &Classes, mut states: States, rows: Vec<FeedRow>) -> Arc<[EntityNews]> {
    let one = |row: FeedRow| {
        let class = classes.iter().find(|class| class.classname == row.class);
        let without_files = |mut entity: Entity| {
            let is_file = |name: &str| class?.property(name).map(Property::is_file);
            entity.properties.retain(|name, _| is_file(name) != Some(true));
            entity
        };
        let (before, after) = undo(&mut states, &row);
        let after = after.map(|after| Entity { seq: row.seq, ..after });
        EntityNews { before: before.map(without_files), after: after.map(without_files), row }
    };
    let mut news: Vec<_> = rows.into_iter().rev().map(one).collect();
    news.reverse();
    news.into()
}

/// Undoes the changes of a class, the last one first. Rows of other classes are ignored, because
/// their entities may have the same ids.
fn undo_all(states: &mut States, class: &str, rows: &[FeedRow]) {
    for row in rows.iter().rev().filter(|row| row.class == class) {
        undo(states, row);
    }
}

/// Undoes a change of an entity. Returns the entity before and after the change.
fn undo(states: &mut States, row: &FeedRow) -> (Option<Entity>, Option<Entity>) {
    let key = key(row);
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
