//! The values of properties that a domain removed from a class of all domains.
//!
//! Other domains use the same column, so only rows of the domain are emptied, in small steps.

use crate::class_tables;
use crate::columns;
use crate::columns::quoted;
use crate::database::Statement;
use crate::error::Error;
use crate::retired::EmptyingStep;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::EntityId;

/// The statement that notes that a domain has removed the property of a column.
pub(crate) fn noted(domain: &Domain, table: &str, column: &str) -> Statement {
    let sql = "INSERT INTO \"retired value\" (\"domain\", \"table\", \"column\")
        VALUES ($1, $2, $3)";
    Statement::new(sql).bind(domain.as_str()).bind(table).bind(column)
}

/// The columns of a table that still have values of removed properties of a domain.
pub(crate) async fn columns(
    store: &Store,
    domain: &Domain,
    table: &str,
) -> Result<Vec<String>, Error> {
    let sql = "SELECT \"column\" FROM \"retired value\" WHERE \"domain\" = $1 AND \"table\" = $2";
    let rows = store.read(Statement::new(sql).bind(domain.as_str()).bind(table)).await?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

impl Store {
    /// Whether values of removed properties of domains are left.
    pub(crate) async fn values_are_left(&self) -> Result<bool, Error> {
        let left = Statement::new("SELECT 1 FROM \"retired value\" LIMIT 1");
        Ok(!self.read(left).await?.is_empty())
    }

    /// Deletes the values of removed properties of domains.
    pub(crate) async fn values_empty(&self) -> Result<(), Error> {
        let all = "SELECT \"domain\", \"table\", \"column\" FROM \"retired value\"";
        for row in self.read(Statement::new(all)).await? {
            let name = |column| row.text(column).unwrap_or_default();
            self.values_emptied([name(0), name(1), name(2)]).await?;
        }
        Ok(())
    }

    async fn values_emptied(&self, [domain, table, column]: [&str; 3]) -> Result<(), Error> {
        let done = "DELETE FROM \"retired value\"
            WHERE \"domain\" = $1 AND \"table\" = $2 AND \"column\" = $3";
        let done = Statement::new(done).bind(domain).bind(table).bind(column);
        let present = columns::of_table(self.inner.database.as_ref(), table).await?;
        if present.iter().all(|name| name != column) {
            return self.write_at_need(vec![done]).await.map(drop);
        }
        let some = format!(
            "SELECT \"id\" FROM {} WHERE \"domain\" = $1 AND \"id\" > $2
             ORDER BY \"id\" LIMIT $3",
            quoted(table)
        );
        let mut behind = EntityId::nil();
        let mut step = EmptyingStep::first();
        loop {
            let page = Statement::new(some.clone()).bind(domain).bind(behind).bind(step.begin());
            let rows = self.read(page).await?;
            let Some(last) = rows.last() else {
                return self.write_at_need(vec![done]).await.map(drop);
            };
            let last = last.id(0).ok_or(Error::Damaged { what: "an entity" })?;
            let unset = class_tables::values_unset(domain, table, column, [behind, last]);
            self.write_at_need(vec![unset]).await?;
            behind = last;
            step.end();
        }
    }
}
