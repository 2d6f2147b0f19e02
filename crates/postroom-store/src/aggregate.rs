//! Sums over a collection, computed by the database.
//!
//! A sum of whole numbers may have more than 64 bits, where databases fail or round. So the upper
//! and the lower halves are summed apart.

use crate::columns::kind;
use crate::columns::quoted;
use crate::columns::to_json;
use crate::database::ColumnKind;
use crate::database::Row;
use crate::database::Value;
use crate::entity_list::asked;
use crate::error::Error;
use crate::page;
use crate::store::Store;
use postroom_model::Aggregate;
use postroom_model::Class;
use postroom_model::Computed;
use postroom_model::Domain;
use postroom_model::Filter;
use postroom_model::Function;
use postroom_model::Property;
use postroom_model::RightAction;
use serde_json::Map;
use serde_json::Value as Json;

const DAMAGED: Error = Error::Damaged { what: "a sum" };

/// Which groups of entities are asked for.
#[derive(Debug, Clone, Copy)]
pub struct WantedGroups<'a> {
    /// The properties by which entities are grouped, and the values to compute for each group.
    pub aggregate: &'a Aggregate,
    /// How many groups are returned at most.
    pub limit: u32,
}

impl Store {
    /// The groups of the entities that match a filter, at most `limit`, in the order of the grouped
    /// properties. Each group has the values of these properties and the computed values.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_aggregate(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<&Filter>,
        wanted: WantedGroups<'_>,
    ) -> Result<Vec<Map<String, Json>>, Error> {
        let WantedGroups { aggregate, limit } = wanted;
        let filter = self.filter_within(RightAction::Read, class, filter);
        let filter = filter.as_deref();
        let mut conditions = self.conditions(domain);
        let dialect = self.inner.database.dialect();
        let rows = page::matching(dialect, &mut conditions, class, filter);
        let limit = conditions.bind(Value::Whole(i64::from(limit)));
        let group: Vec<_> = aggregate.group.iter().map(|one| quoted(one.column())).collect();
        let columns = group.iter().cloned().chain(aggregate.computed.iter().map(columns_of));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let ascending = dialect.ascending();
        // With a filter, an index of its properties is worth more than one in the order of groups.
        let by = |one: &String| if filter.is_some() { dialect.unindexed(one) } else { one.clone() };
        let by: Vec<_> = group.iter().map(by).collect();
        let order: Vec<_> = by.iter().map(|one| format!("{one} {ascending}")).collect();
        let grouped = match group.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {} ORDER BY {}", by.join(", "), order.join(", ")),
        };
        let sql = format!("SELECT {columns} {rows}{grouped} LIMIT {limit}");
        let rows = self.read(asked(sql, conditions, class, filter)).await?;
        rows.iter().map(|row| group_of(aggregate, row)).collect()
    }
}

/// The columns from which a value is computed.
fn columns_of(computed: &Computed) -> String {
    let Some(property) = &computed.property else {
        return "COUNT(*)".to_owned();
    };
    let column = quoted(property.column());
    match computed.function {
        Function::Count => format!("COUNT({column})"),
        Function::Min => format!("MIN({column})"),
        Function::Max => format!("MAX({column})"),
        Function::Sum | Function::Avg if is_float(property) => {
            format!("COUNT({column}), SUM({column})")
        }
        Function::Sum | Function::Avg => format!(
            "COUNT({column}), CAST(SUM({column} >> 32) AS BIGINT), \
             CAST(SUM({column} & 4294967295) AS BIGINT)"
        ),
    }
}

fn is_float(property: &Property) -> bool {
    kind(property) == ColumnKind::Float
}

fn group_of(aggregate: &Aggregate, row: &Row) -> Result<Map<String, Json>, Error> {
    let mut group = Map::new();
    let mut at = 0;
    for property in &aggregate.group {
        group.insert(property.name.clone(), value_of(property, row, at)?);
        at += 1;
    }
    for computed in &aggregate.computed {
        let (value, columns) = computed_of(computed, row, at)?;
        group.insert(computed.name.clone(), value);
        at += columns;
    }
    Ok(group)
}

/// A value, and how many columns it takes.
fn computed_of(computed: &Computed, row: &Row, at: usize) -> Result<(Json, usize), Error> {
    let count = |at| row.whole(at).ok_or(DAMAGED);
    match (computed.function, &computed.property) {
        (Function::Count, _) | (_, None) => Ok((Json::from(count(at)?), 1)),
        (Function::Min | Function::Max, Some(property)) => Ok((value_of(property, row, at)?, 1)),
        (function @ (Function::Sum | Function::Avg), Some(property)) => {
            let columns = if is_float(property) { 2 } else { 3 };
            let count = count(at)?;
            if count == 0 {
                return Ok((Json::Null, columns));
            }
            let mean = function == Function::Avg;
            if is_float(property) {
                let sum = row.float(at + 1).ok_or(DAMAGED)?;
                #[expect(clippy::cast_precision_loss, reason = "a mean is rounded anyway")]
                let value = if mean { sum / count as f64 } else { sum };
                return Ok((Json::from(value), columns));
            }
            let half = |at| row.whole(at).map(i128::from).ok_or(DAMAGED);
            let sum = (half(at + 1)? << 32) + half(at + 2)?;
            Ok((if mean { mean_of(sum, count) } else { number(sum) }, columns))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean is rounded anyway")]
fn mean_of(sum: i128, count: i64) -> Json {
    Json::from(sum as f64 / count as f64)
}

/// A whole number; rounded if it has more than 64 bits.
#[expect(clippy::cast_precision_loss, reason = "JSON has no exact form for it")]
fn number(sum: i128) -> Json {
    i64::try_from(sum).map_or_else(|_| Json::from(sum as f64), Json::from)
}

fn value_of(property: &Property, row: &Row, at: usize) -> Result<Json, Error> {
    if *row.value(at) == Value::Null {
        return Ok(Json::Null);
    }
    to_json(property, row, at).ok_or(DAMAGED)
}
