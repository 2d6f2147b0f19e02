//! The change feed: one row for each change of an entity, in the transaction of the change.
//!
//! A row holds only the values that the change replaced, so the row of a new entity has a few
//! bytes. To get the state after any change, undo the later changes of the present row
//! ([`FeedRow::undo`]). Only the id of a deleted entity is kept. A row is removed after
//! [`RETAINED`] later ones.
//!
//! Only `record` writes rows, in the batch that changes the entity.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::modifier::Modifier;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use serde_json::Map;
use serde_json::Value as Json;

/// How many rows are kept.
pub(crate) const RETAINED: i64 = 1_000_000;

/// The member of what a change replaced that is the version of the entity, and no property.
pub(crate) const VERSION: &str = "version";

/// What happened to an entity. The numbers are those of the subscription events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is gone.
    Delete,
    /// It is new.
    Create,
    /// It has other values.
    Change,
}

impl Operation {
    /// The number in the row.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Delete => 0,
            Self::Create => 1,
            Self::Change => 2,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        [Self::Delete, Self::Create, Self::Change].into_iter().find(|one| one.number() == number)
    }
}

/// One change of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedRow {
    /// Its place in the feed.
    pub seq: i64,
    /// The name of the class.
    pub class: String,
    /// The entity.
    pub entity: EntityId,
    /// What happened to it.
    pub operation: Operation,
    /// When.
    pub at: Timestamp,
    /// The replaced values by property. Null: the property was unset. If the version grew, the
    /// former `version` is included. A file property has the list of its former files, without
    /// their content. `None`: the entity was new, or was deleted since.
    pub replaced: Option<Map<String, Json>>,
    /// Who changed it. `None` in rows of an earlier version.
    pub modifier: Option<Modifier>,
}

impl FeedRow {
    /// The entity as it was before this change. `after`: as it was after it. `None` before it
    /// was created.
    #[must_use]
    pub fn undo(&self, after: Entity) -> Option<Entity> {
        if self.operation == Operation::Create {
            return None;
        }
        let mut before = after;
        if let Some(replaced) = &self.replaced {
            before.apply(replaced);
        }
        // The version is no property.
        let version = before.properties.remove(VERSION);
        before.version = version.and_then(|version| version.as_i64()).unwrap_or(before.version);
        Some(before)
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a change" };
        let replaced = row.text(5).map(serde_json::from_str).transpose().map_err(|_| DAMAGED)?;
        Ok(Self {
            seq: row.whole(0).ok_or(DAMAGED)?,
            class: row.text(1).ok_or(DAMAGED)?.to_owned(),
            entity: row.id(2).ok_or(DAMAGED)?,
            operation: row.whole(3).and_then(Operation::from_number).ok_or(DAMAGED)?,
            at: Timestamp::from_ms(row.whole(4).ok_or(DAMAGED)?),
            replaced,
            modifier: Modifier::from_columns(row.text(6), row.text(7)),
        })
    }
}

impl Store {
    /// Takes away the rows that are no longer kept.
    pub(crate) async fn feed_trim(&self) -> Result<(), Error> {
        self.write_at_need(vec![trim_to(RETAINED)]).await.map(drop)
    }

    /// The changes of a domain behind the one with the number `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn feed_list(
        &self,
        domain: &Domain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<FeedRow>, Error> {
        let sql =
            format!("{SELECT} WHERE \"seq\" > $1 AND \"domain\" = $2 ORDER BY \"seq\" LIMIT $3");
        let statement = Statement::new(sql).bind(after).bind(domain.as_str()).bind(limit);
        self.read(statement).await?.iter().map(FeedRow::from_row).collect()
    }

    /// The changes of one entity behind the one with the number `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn feed_of(
        &self,
        domain: &Domain,
        entity: EntityId,
        after: i64,
    ) -> Result<Vec<FeedRow>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"entity\" = $1 AND \"seq\" > $2 AND \"domain\" = $3 ORDER BY \"seq\""
        );
        let statement = Statement::new(sql).bind(entity).bind(after).bind(domain.as_str());
        self.read(statement).await?.iter().map(FeedRow::from_row).collect()
    }
}

const SELECT: &str = "SELECT \"seq\", \"class\", \"entity\", \"operation\", \"at\", \"replaced\", \
    \"modifier_type\", \"modifier_id\" FROM \"change\"";

/// The statement that takes away all but so many rows.
fn trim_to(retained: i64) -> Statement {
    Statement::new(
        "DELETE FROM \"change\"
         WHERE \"seq\" <= (SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\") - $1",
    )
    .bind(retained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use serde_json::json;

    #[on_both]
    async fn the_newest_rows_stay() {
        let (_directory, store) = store().await;
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        for name in ["a", "b", "c", "d", "e"] {
            let values = json!({"name": name}).as_object().unwrap().clone();
            let entity = Entity::new(store.clock().new_id(), values);
            let row = store.entity_row(&class, &entity).unwrap();
            store.write(store.records(&domain, &class).create(row)).await.unwrap();
        }
        let all = store.feed_list(&domain, 0, 100).await.unwrap();
        store.feed_trim().await.unwrap();
        assert_eq!(store.feed_list(&domain, 0, 100).await.unwrap(), all, "few rows stay");
        store.write(vec![trim_to(2)]).await.unwrap();
        assert_eq!(store.feed_list(&domain, 0, 100).await.unwrap(), all[3..]);
        assert_eq!(RETAINED, 1_000_000, "as ARCHITECTURE.md and README promise");
    }
}
