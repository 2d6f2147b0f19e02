//! The change feed: one row for each change of an entity, in the transaction of the change.
//!
//! A row holds only the values that the change replaced, so the row of a new entity has a few
//! bytes. To get the state after any change, undo the later changes of the present row
//! ([`FeedRow::undo`]). Only the id of a deleted entity is kept. How long rows are kept, and how
//! many, is configured (`crate::feed_retention`, `crate::feed_trim`).
//!
//! Only `record` writes rows, in the batch that changes the entity.

use crate::batch_change::BatchChange;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::modifier::Modifier;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::Timestamp;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// The key under which `replaced` has the former version of the entity. It is not a property.
pub(crate) const VERSION: &str = "version";

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
    /// When it happened.
    pub at: Timestamp,
    /// The replaced values by property. Null: the property was unset. If the version grew, the
    /// former `version` is included. A file property has the list of its former files, without
    /// their content. `None`: the entity was new, or it was deleted by this change or later.
    pub replaced: Option<Map<String, Json>>,
    /// Whether `replaced` has all values of the entity.
    pub is_whole: bool,
    /// Who changed it. `None` in rows of an earlier version.
    pub modifier: Option<Modifier>,
}

/// A part of the feed.
pub(crate) struct FeedPart {
    pub rows: Vec<FeedRow>,
    /// Whether there may be more.
    pub is_full: bool,
}

/// A change that gets a row in the feed.
pub(crate) struct ToldChange {
    /// The change in its batch.
    pub change: BatchChange,
    /// The entity.
    pub id: EntityId,
    /// What happens to it.
    pub operation: Operation,
    /// What the change replaces.
    pub replaced: Option<Map<String, Json>>,
    /// Whether these are all values of the entity.
    pub is_whole: bool,
}

impl ToldChange {
    /// A change that replaces nothing.
    pub(crate) fn of(change: BatchChange, id: EntityId, operation: Operation) -> Self {
        Self { change, id, operation, replaced: None, is_whole: false }
    }

    /// The same, which replaces values.
    pub(crate) fn replacing(self, replaced: Map<String, Json>, is_whole: bool) -> Self {
        Self { replaced: Some(replaced), is_whole, ..self }
    }
}

impl FeedRow {
    /// The entity as it was before this change. `after` is the entity as it was after it. `None`:
    /// the change created the entity.
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
            is_whole: row.whole(8) == Some(1),
            modifier: Modifier::from_columns(row.text(6), row.text(7)),
        })
    }
}

impl Store {
    /// The statement that writes the row of a change.
    pub(crate) fn feed_row(&self, domain: &Domain, class: &Class, told: ToldChange) -> Statement {
        self.row_in(format!("{INSERT} VALUES ({})", self.row_values()), domain, class, told)
    }

    /// The same, if the entity is there.
    pub(crate) fn feed_row_if_there(
        &self,
        domain: &Domain,
        class: &Class,
        told: ToldChange,
    ) -> Statement {
        let sql = format!(
            "{INSERT} SELECT {} FROM {} WHERE \"id\" = $3 AND \"domain\" = $1",
            self.row_values(),
            quoted(&class.table())
        );
        self.row_in(sql, domain, class, told)
    }

    /// The statement with this SQL, which contains [`Self::row_values`].
    fn row_in(&self, sql: String, domain: &Domain, class: &Class, told: ToldChange) -> Statement {
        let replaced = told.replaced.map(|replaced| Json::Object(replaced).to_string());
        Statement::new(sql)
            .bind(domain.as_str())
            .bind(class.classname.as_str())
            .bind(told.id)
            .bind(told.operation.number())
            .bind(self.clock().now_ms())
            .bind(replaced)
            .bind(self.modifier.kind())
            .bind(self.modifier.id())
            .bind(told.is_whole)
            .of_change(told.change)
    }

    fn row_values(&self) -> String {
        let seq = self.inner.database.dialect().seq("$10");
        format!("$1, $2, $3, $4, $5, $6, $7, $8, $9, {seq}")
    }

    /// The changes of a domain after the one with the number `after`, in the order in which they
    /// became visible. No change appears later with a smaller number than one that was listed.
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
        let to = self.feed_bounds().await?.newest;
        Ok(self.feed_part(domain, after..=to, limit, usize::MAX).await?.rows)
    }

    /// The changes behind the start of `span`, up to its end. The list ends after the row with
    /// which it exceeds `bytes_max` bytes.
    ///
    /// The caller has the end from [`Store::feed_bounds`]. To ask the database again here could
    /// give a smaller one, because it looks at what others are doing. Then the changes between
    /// both would be passed over.
    pub(crate) async fn feed_part(
        &self,
        domain: &Domain,
        span: RangeInclusive<i64>,
        limit: u32,
        bytes_max: usize,
    ) -> Result<FeedPart, Error> {
        let (after, to) = span.into_inner();
        let sql = format!(
            "{SELECT} WHERE \"seq\" > $1 AND \"domain\" = $2 AND \"seq\" <= $4
             ORDER BY \"seq\" LIMIT $3"
        );
        let statement = Statement::new(sql).bind(after).bind(domain.as_str()).bind(limit).bind(to);
        let rows = self.read(statement.at_most(bytes_max)).await?;
        let is_full = rows.len() as u64 == u64::from(limit)
            || rows.iter().map(Row::size_bytes).sum::<usize>() > bytes_max;
        let rows: Result<_, _> = rows.iter().map(FeedRow::from_row).collect();
        Ok(FeedPart { rows: rows?, is_full })
    }

    /// The changes of a few entities after the number `after`, the oldest first. Changes that
    /// readers of the feed may not pass yet are included.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn feed_of(
        &self,
        domain: &Domain,
        entities: &[EntityId],
        after: i64,
    ) -> Result<Vec<FeedRow>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"entity\" IN ({}) AND \"seq\" > $1 AND \"domain\" = $2
             ORDER BY \"seq\"",
            places(3, entities.len())
        );
        let statement = Statement::new(sql).bind(after).bind(domain.as_str());
        let statement = statement.bind_all(entities.iter().copied().map(Value::Id));
        self.read(statement).await?.iter().map(FeedRow::from_row).collect()
    }

    /// For each of a few entities, the number of its first change after `after` whose row has the
    /// whole entity. Entities without such a change are left out.
    pub(crate) async fn feed_wholes(
        &self,
        domain: &Domain,
        class: &str,
        entities: &[EntityId],
        after: i64,
    ) -> Result<HashMap<EntityId, i64>, Error> {
        let sql = format!(
            "SELECT \"entity\", MIN(\"seq\") FROM \"change\" WHERE \"entity\" IN ({})
               AND \"seq\" > $1 AND \"whole\" AND \"domain\" = $2 AND \"class\" = $3
             GROUP BY \"entity\"",
            places(4, entities.len())
        );
        let statement = Statement::new(sql).bind(after).bind(domain.as_str()).bind(class);
        let statement = statement.bind_all(entities.iter().copied().map(Value::Id));
        let rows = self.read(statement).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id(0)?, row.whole(1)?))).collect())
    }

    /// The changes of one entity after the number `after`, up to `last`, the oldest first.
    pub(crate) async fn feed_between(
        &self,
        domain: &Domain,
        entity: EntityId,
        after: i64,
        last: i64,
    ) -> Result<Vec<FeedRow>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"entity\" = $1 AND \"domain\" = $2 AND \"seq\" > $3
               AND \"seq\" <= $4 ORDER BY \"seq\""
        );
        let statement = Statement::new(sql).bind(entity).bind(domain.as_str());
        let statement = statement.bind(after).bind(last);
        self.read(statement).await?.iter().map(FeedRow::from_row).collect()
    }
}

const INSERT: &str = "INSERT INTO \"change\" (\"domain\", \"class\", \"entity\", \"operation\", \
    \"at\", \"replaced\", \"modifier_type\", \"modifier_id\", \"whole\", \"seq\")";
const SELECT: &str = "SELECT \"seq\", \"class\", \"entity\", \"operation\", \"at\", \"replaced\", \
    \"modifier_type\", \"modifier_id\", \"whole\" FROM \"change\"";

/// The statement that removes the replaced values of an entity from the feed.
pub(crate) fn forget(class: &Class, entity: EntityId) -> Statement {
    let sql = "UPDATE \"change\" SET \"replaced\" = NULL
        WHERE \"entity\" = $1 AND \"class\" = $2 AND \"replaced\" IS NOT NULL";
    Statement::new(sql).bind(entity).bind(class.classname.as_str())
}
