//! The values of properties that a domain removed from a class of all domains.
//!
//! Other domains use the same column, so only rows of the domain are emptied, in small steps.

//!
//! Several processes may do the same work at once, and the domain may give the column to another
//! property as soon as one of them is done. So each step asserts that the values are still to be
//! deleted, under the lock of those who change classes. The version that removed the property tells
//! it from a later one of the same column.

use crate::class_tables;
use crate::classes::CLASSES;
use crate::columns;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Statement;
use crate::emptying_step::EmptyingStep;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::EntityId;

/// A column whose values of a domain are to be deleted.
#[derive(Debug, Clone)]
pub(crate) struct RetiredValue {
    /// The name of the domain.
    pub domain: String,
    /// The table of the column.
    pub table: String,
    /// The column.
    pub column: String,
    /// The version of the classes that removed the property.
    pub revision: i64,
}

impl RetiredValue {
    fn bound(&self, sql: &'static str) -> Statement {
        let bound = Statement::new(sql).bind(self.domain.as_str()).bind(self.table.as_str());
        bound.bind(self.column.as_str()).bind(self.revision)
    }

    /// The statement that notes that a domain has removed the property of the column.
    pub(crate) fn noted(&self) -> Statement {
        self.bound(
            "INSERT INTO \"retired value\" (\"domain\", \"table\", \"column\", \"revision\")
             VALUES ($1, $2, $3, $4)",
        )
    }

    /// The condition that the values are still to be deleted. Until the batch is committed, nobody
    /// gives the column to another property.
    fn is_left(&self) -> Statement {
        let is_left = self.bound(
            "SELECT 1 FROM \"retired value\" WHERE \"domain\" = $1 AND \"table\" = $2
               AND \"column\" = $3 AND \"revision\" = $4",
        );
        is_left.assert(Failed::OtherClasses, Lock::Shared(CLASSES))
    }

    /// The statement that forgets what is empty.
    fn done(&self) -> Statement {
        self.bound(
            "DELETE FROM \"retired value\" WHERE \"domain\" = $1 AND \"table\" = $2
               AND \"column\" = $3 AND \"revision\" = $4",
        )
    }
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
        for retired in self.values_retired().await? {
            self.values_emptied(&retired).await?;
        }
        Ok(())
    }

    async fn values_retired(&self) -> Result<Vec<RetiredValue>, Error> {
        let all = "SELECT \"domain\", \"table\", \"column\", \"revision\" FROM \"retired value\"";
        let rows = self.read(Statement::new(all)).await?;
        let retired = rows.iter().map(|row| {
            let name = |column| row.text(column).unwrap_or_default().to_owned();
            let revision = row.whole(3).ok_or(Error::Damaged { what: "a removed property" })?;
            let (domain, table, column) = (name(0), name(1), name(2));
            Ok(RetiredValue { domain, table, column, revision })
        });
        retired.collect()
    }

    /// Deletes the values of a removed property. It ends early if another process has done so.
    async fn values_emptied(&self, retired: &RetiredValue) -> Result<(), Error> {
        let RetiredValue { domain, table, column, .. } = retired;
        let present = columns::of_table(self.inner.database.as_ref(), table).await?;
        if !present.contains(column) {
            return self.write_at_need(vec![retired.done()]).await.map(drop);
        }
        let some = format!(
            "SELECT \"id\" FROM {} WHERE \"domain\" = $1 AND \"id\" > $2
             ORDER BY \"id\" LIMIT $3",
            quoted(table)
        );
        let mut behind = EntityId::nil();
        let mut step = EmptyingStep::first();
        loop {
            let page = Statement::new(some.clone()).bind(domain.as_str());
            let rows = self.read(page.bind(behind).bind(step.begin())).await?;
            let Some(last) = rows.last() else {
                return self.write_at_need(vec![retired.done()]).await.map(drop);
            };
            let last = last.id(0).ok_or(Error::Damaged { what: "an entity" })?;
            let unset = class_tables::values_unset(domain, table, column, [behind, last]);
            match self.write_at_need(vec![retired.is_left(), unset]).await {
                Ok(_) => {}
                // The column may have values of another property since.
                Err(Error::Condition(Failed::OtherClasses)) => return Ok(()),
                Err(error) => return Err(error),
            }
            behind = last;
            step.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::NewEntity;
    use crate::fixture::store;
    use postroom_model::Class;
    use postroom_model::Entity;
    use postroom_model::builtin::PROFILES;
    use postroom_model::patched;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;
    use std::sync::Arc;

    async fn extend(store: &Store, domain: &Domain, property: Json) -> Arc<Class> {
        let former = store.classes();
        let class = former.of(domain).get(PROFILES).unwrap().extended();
        let confirm = property.get("removed").map(|_| 1);
        let change = patched(&class, &json!({"properties": [property]})).unwrap();
        let classes = store.class_extend(domain, &former, change, confirm).await.unwrap();
        Arc::clone(classes.of(domain).get(PROFILES).unwrap())
    }

    async fn create(store: &Store, domain: &Domain, class: &Class, values: Json) -> EntityId {
        let id = store.clock().new_id();
        let entity = Entity::new(id, values.as_object().unwrap().clone());
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create(domain, class, new).await.unwrap();
        id
    }

    #[on_both]
    async fn who_is_late_deletes_no_values_of_a_later_property_of_the_column() {
        let (_directory, store) = store().await;
        let acme = Domain::new("acme").unwrap();
        let note = json!({"name": "note", "data_type": "string"});
        let class = extend(&store, &acme, note.clone()).await;
        create(&store, &acme, &class, json!({"name": "p", "note": "goes"})).await;
        let settling = store.inner.settling.lock().await;
        extend(&store, &acme, json!({"name": "note", "removed": true})).await;
        // As another process has it that is in the middle of the same work.
        let late = store.values_retired().await.unwrap().remove(0);
        drop(settling);
        store.classes_settle().await;
        assert!(!store.values_are_left().await.unwrap());

        let memo = json!({"name": "memo", "data_type": "string"});
        let class = extend(&store, &acme, memo).await;
        assert_eq!(class.property("memo").unwrap().column(), late.column);
        let id = create(&store, &acme, &class, json!({"name": "q", "memo": "stays"})).await;
        store.values_emptied(&late).await.unwrap();
        let got = store.entity_get(&acme, &class, id).await.unwrap().unwrap();
        assert_eq!(got.get("memo"), &json!("stays"));

        // Nor does it forget that the values of the later one are to be deleted.
        let settling = store.inner.settling.lock().await;
        extend(&store, &acme, json!({"name": "memo", "removed": true})).await;
        store.write_at_need(vec![late.done()]).await.unwrap();
        assert!(store.values_are_left().await.unwrap());
        // And it leaves them to those who know of the later one.
        store.values_emptied(&late).await.unwrap();
        let column = quoted(&late.column);
        let sql = format!("SELECT 1 FROM \"email/Profiles\" WHERE {column} IS NOT NULL");
        assert_eq!(store.read(Statement::new(sql)).await.unwrap().len(), 1);
        drop(settling);
        store.classes_settle().await;
        let class = extend(&store, &acme, note).await;
        assert_eq!(class.property("note").unwrap().column(), late.column);
        let got = store.entity_get(&acme, &class, id).await.unwrap().unwrap();
        assert_eq!(got.get("note"), &Json::Null);
    }
}
