//! Verifies what domains added to the classes: the columns of their properties, the values, and the
//! entities to which these refer.
//!
//! A reference to what was deleted is no damage. One to an entity of another domain is, because no
//! client could write it, and a domain must not see another.

use crate::columns;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::retired_value;
use crate::shared_column;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::validate;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// How many rows are read at once.
const AT_ONCE: u64 = 256;
/// How many bytes of values are read at once.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// The properties that one domain added to one class.
struct Added<'a> {
    domain: &'a Domain,
    class: &'a Class,
    properties: Vec<&'a Property>,
}

/// To which entity a value refers.
struct AddedReference<'a> {
    from: EntityId,
    property: &'a Property,
    to: EntityId,
}

impl Store {
    /// Verifies the values of all properties that domains added. `tell` gets a line for each
    /// damage.
    ///
    /// # Errors
    ///
    /// When the store fails otherwise than by damage.
    pub(crate) async fn verify_added(&self, mut tell: impl FnMut(&str)) -> Result<(), Error> {
        let (classes, extensions) = (self.classes(), self.classes().extensions());
        // For each table, which domains have values in which column.
        let mut used: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for extension in &extensions {
            let domain = &extension.domain;
            let of_domain = classes.of(domain);
            let id = extension.extension.stored.id;
            let Some(class) = of_domain.iter().find(|class| class.id == id) else {
                continue;
            };
            let present = columns::of_table(self.inner.database.as_ref(), &class.table()).await?;
            let mut emptied = retired_value::columns(self, domain, &class.table()).await?;
            let used = used.entry(class.table().into_owned()).or_default();
            let mut properties = vec![];
            for property in class.properties.iter().filter(|property| property.column.is_some()) {
                let place = format!("{} of the domain {domain}", class.classname);
                let column = property.column();
                if !present.iter().any(|name| name == column) {
                    tell(&format!("{place}: the column of `{}` is missing", property.name));
                } else if emptied.iter().any(|name| name == column) {
                    let name = &property.name;
                    tell(&format!("{place}: the column of `{name}` is that of another property"));
                } else {
                    properties.push(property);
                }
                emptied.push(column.to_owned());
            }
            for column in emptied {
                used.entry(column).or_default().insert(domain.as_str().to_owned());
            }
            let added = Added { domain, class, properties };
            self.verify_values(&added, &mut tell).await?;
        }
        for class in classes.iter() {
            let used = used.remove(class.table().as_ref()).unwrap_or_default();
            self.verify_unused(class, &used, &mut tell).await?;
        }
        Ok(())
    }

    /// Reads the values of a domain, page by page.
    async fn verify_values(
        &self,
        added: &Added<'_>,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Error> {
        let Added { domain, class, properties } = added;
        if properties.is_empty() {
            return Ok(());
        }
        let columns = properties.iter().map(|property| quoted(property.column()));
        let sql = format!(
            "SELECT \"id\", {} FROM {} WHERE \"domain\" = $1 AND \"id\" > $2
             ORDER BY \"id\" LIMIT $3",
            columns.collect::<Vec<_>>().join(", "),
            quoted(&class.table())
        );
        let mut behind = EntityId::nil();
        loop {
            let page = Statement::new(sql.clone()).bind(domain.as_str()).bind(behind).bind(AT_ONCE);
            let rows = self.read(page.at_most(BYTES_AT_ONCE)).await?;
            let Some(last) = rows.last().and_then(|row| row.id(0)) else {
                return Ok(());
            };
            let mut referred = vec![];
            for row in &rows {
                verify_row(added, row, &mut referred, tell);
            }
            self.verify_referred(added, &referred, tell).await?;
            behind = last;
        }
    }

    /// Checks that values refer to no entities of other domains.
    async fn verify_referred(
        &self,
        Added { domain, class, .. }: &Added<'_>,
        referred: &[AddedReference<'_>],
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Error> {
        let classes = self.classes();
        let mut by_target: BTreeMap<Option<ClassId>, Vec<&AddedReference<'_>>> = BTreeMap::new();
        for one in referred {
            by_target.entry(one.property.idclass).or_default().push(one);
        }
        for (target, all) in by_target {
            let Some(target) = classes.iter().find(|class| Some(class.id) == target) else {
                continue;
            };
            for some in all.chunks(AT_ONCE as usize) {
                let sql = format!(
                    "SELECT \"id\" FROM {} WHERE \"domain\" <> $1 AND \"id\" IN ({})",
                    quoted(&target.table()),
                    places(2, some.len())
                );
                let ids = some.iter().map(|one| Value::Id(one.to));
                let others = Statement::new(sql).bind(domain.as_str()).bind_all(ids);
                let others = self.read(others).await?;
                let others: BTreeSet<_> = others.iter().filter_map(|row| row.id(0)).collect();
                for AddedReference { from, property, .. } in
                    some.iter().filter(|one| others.contains(&one.to))
                {
                    tell(&format!(
                        "{}/{from}: `{}` refers to an entity of another domain",
                        class.classname, property.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that no domain has values in a column that none of its properties has: a later one
    /// would show them. `used` has the domains that use each column, or empty it.
    async fn verify_unused(
        &self,
        class: &Class,
        used: &BTreeMap<String, BTreeSet<String>>,
        tell: &mut impl FnMut(&str),
    ) -> Result<(), Error> {
        let present = columns::of_table(self.inner.database.as_ref(), &class.table()).await?;
        for column in present.iter().filter(|column| shared_column::is_shared(column)) {
            let sql = format!(
                "SELECT \"domain\", COUNT(*) FROM {} WHERE {} IS NOT NULL
                 GROUP BY \"domain\" ORDER BY \"domain\"",
                quoted(&class.table()),
                quoted(column)
            );
            for row in self.read(Statement::new(sql)).await? {
                let domain = row.text(0).unwrap_or_default();
                if !used.get(column).is_some_and(|domains| domains.contains(domain)) {
                    let count = row.whole(1).unwrap_or_default();
                    tell(&format!(
                        "{} of the domain {domain}: {count} entities have values of no property \
                         (column `{column}`)",
                        class.classname
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Checks the values of a row: the id, and then those of the properties. `referred` gets the
/// entities to which they refer.
fn verify_row<'a>(
    Added { class, properties, .. }: &Added<'a>,
    row: &Row,
    referred: &mut Vec<AddedReference<'a>>,
    tell: &mut impl FnMut(&str),
) {
    let from = row.id(0).unwrap_or(EntityId::nil());
    for (property, at) in
        properties.iter().zip(1..).filter(|(_, at)| *row.value(*at) != Value::Null)
    {
        let json = columns::to_json(property, row, at);
        let wrong = match &json {
            Some(json) => validate::value(property, json).err().map(|invalid| invalid.reason),
            None => Some("has a value of another kind".to_owned()),
        };
        if let Some(reason) = wrong {
            tell(&format!("{}/{from}: `{}` {reason}", class.classname, property.name));
        } else if property.data_type == DataType::Entity {
            let json = json.unwrap_or_default();
            let all = json.as_array().map_or(std::slice::from_ref(&json), Vec::as_slice);
            let ids = all.iter().filter_map(Json::as_str).filter_map(|id| id.parse().ok());
            referred.extend(ids.map(|to| AddedReference { from, property, to }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::NewEntity;
    use crate::fixture::store;
    use postroom_model::Entity;
    use postroom_model::builtin::PROFILES;
    use postroom_model::patched;
    use postroom_testkit::TestDatabase;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::sync::Arc;

    async fn extend(store: &Store, domain: &Domain, properties: &Json) -> Arc<Class> {
        let former = store.classes();
        let class = former.of(domain).get(PROFILES).unwrap().extended();
        let change = patched(&class, &json!({"properties": properties})).unwrap();
        let lost = properties[0].get("removed").map(|_| 1);
        let classes = store.class_extend(domain, &former, change, lost).await.unwrap();
        Arc::clone(classes.of(domain).get(PROFILES).unwrap())
    }

    async fn create(store: &Store, domain: &Domain, id: u128, values: Json) -> EntityId {
        let class = store.class_of(domain, PROFILES).unwrap();
        let entity = Entity::new(EntityId::from_u128(id), values.as_object().unwrap().clone());
        let id = entity.id;
        store
            .entity_create(domain, &class, vec![NewEntity { entity, files: vec![] }])
            .await
            .unwrap();
        id
    }

    /// What a verification tells.
    async fn verified(store: &Store) -> Vec<String> {
        let mut told = vec![];
        let verified = store.verify(|what| told.push(what.to_owned())).await.unwrap();
        assert_eq!(verified.damaged, told.len() as u64);
        told
    }

    /// A domain with properties of its own, and an entity of another one.
    struct Filled {
        _directory: tempfile::TempDir,
        store: Store,
        acme: Domain,
        class: Arc<Class>,
        stranger: EntityId,
        friend: EntityId,
        /// The entity with values.
        id: EntityId,
    }

    impl Filled {
        async fn new() -> Self {
            let (_directory, store) = store().await;
            let (acme, emca) = (Domain::new("acme").unwrap(), Domain::new("emca").unwrap());
            let profiles = store.builtin(PROFILES).unwrap().id.to_string();
            let properties = json!([
                {"name": "seat", "data_type": "long"},
                {"name": "labels", "data_type": "string", "multi": true},
                {"name": "day", "data_type": "date"},
                {"name": "mood", "data_type": "enum", "items": ["good"]},
                {"name": "friend", "data_type": "entity", "idclass": profiles},
                {"name": "friends", "data_type": "entity", "idclass": profiles, "multi": true},
                {"name": "note", "data_type": "string"},
            ]);
            let class = extend(&store, &acme, &properties).await;
            let stranger = create(&store, &emca, 1, json!({"name": "p"})).await;
            let friend = create(&store, &acme, 2, json!({"name": "p"})).await;
            let values = json!({
                "name": "p", "seat": 7, "labels": ["a"], "day": "2026-11-30", "mood": "good",
                "friend": friend, "friends": [friend], "note": "n",
            });
            let id = create(&store, &acme, 3, values).await;
            assert_eq!(verified(&store).await, Vec::<String>::new());
            Self { _directory, store, acme, class, stranger, friend, id }
        }

        fn column(&self, name: &str) -> String {
            self.class.property(name).unwrap().column().to_owned()
        }

        /// Plants a value in the column of a property.
        async fn set(&self, id: EntityId, name: &str, value: Value) {
            let column = quoted(&self.column(name));
            let sql = format!("UPDATE \"email/Profiles\" SET {column} = $1 WHERE \"id\" = $2");
            let set = Statement::new(sql).bind_all([value]).bind(id);
            self.store.write(vec![set]).await.unwrap();
        }
    }

    #[on_both]
    async fn a_value_that_no_client_could_write_is_told() {
        let filled = Filled::new().await;
        let Filled { store, stranger, friend, id, .. } = &filled;
        let (list, stranger) = (json!([friend, stranger]).to_string(), Value::Id(*stranger));
        let mut table = vec![
            ("labels", Value::Json("{\"a\": 1}".to_owned()), "takes a list"),
            ("day", Value::from("some day"), "a day"),
            ("mood", Value::from("bad"), "good"),
            ("friend", stranger, "refers to an entity of another domain"),
            ("friends", Value::Json(list), "refers to an entity of another domain"),
        ];
        // PostgreSQL takes no such values in the columns.
        if TestDatabase::present() == TestDatabase::Sqlite {
            table.push(("seat", Value::from("seven"), "has a value of another kind"));
            table.push(("labels", Value::from("{"), "has a value of another kind"));
        }
        for (name, value, why) in table {
            let column = quoted(&filled.column(name));
            let sql = format!("SELECT {column} FROM \"email/Profiles\" WHERE \"id\" = $1");
            let before = store.read(Statement::new(sql).bind(*id)).await.unwrap();
            let before = match (before[0].value(0).clone(), name) {
                (Value::Text(text), "labels" | "friends") => Value::Json(text),
                (before, _) => before,
            };
            filled.set(*id, name, value).await;
            let told = verified(store).await;
            let begin = format!("{PROFILES}/{id}: `{name}` ");
            let is_named = told.len() == 1 && told[0].starts_with(&begin);
            assert!(is_named && told[0].contains(why), "{name}: {told:?}");
            filled.set(*id, name, before).await;
        }
        // What it referred to may be deleted.
        filled.set(*id, "friend", Value::Id(EntityId::from_u128(9))).await;
        assert_eq!(verified(store).await, Vec::<String>::new());
    }

    #[on_both]
    async fn values_of_no_property_are_told_unless_they_are_being_deleted() {
        let filled = Filled::new().await;
        let Filled { store, acme, stranger, .. } = &filled;
        filled.set(*stranger, "note", Value::from("n")).await;
        let want = format!(
            "{PROFILES} of the domain emca: 1 entities have values of no property \
             (column `{}`)",
            filled.column("note")
        );
        assert_eq!(verified(store).await, [want]);
        filled.set(*stranger, "note", Value::Null).await;
        let settling = store.inner.settling.lock().await;
        extend(store, acme, &json!([{"name": "note", "removed": true}])).await;
        assert_eq!(verified(store).await, Vec::<String>::new());
        drop(settling);
    }

    #[on_both]
    async fn a_property_whose_column_is_gone_or_of_another_is_told() {
        let filled = Filled::new().await;
        let Filled { store, class, .. } = &filled;
        let day = filled.column("day");
        for (of, why) in [("own nothing", "is missing"), (day.as_str(), "is that of another")] {
            let own = class.properties.iter().filter(|property| property.column.is_some());
            let own = own.map(|property| match property.name.as_str() {
                "mood" => ("mood", of),
                name => (name, property.column()),
            });
            let columns: BTreeMap<_, _> = own.collect();
            let columns = Value::Json(json!(columns).to_string());
            let sql = "UPDATE \"domain class\" SET \"columns\" = $1";
            let next = "UPDATE \"meta\" SET \"number\" = \"number\" + 1
                WHERE \"name\" = 'classes'";
            let damage = vec![Statement::new(sql).bind_all([columns]), Statement::new(next)];
            store.write(damage).await.unwrap();
            store.classes_refresh().await.unwrap();
            let told = verified(store).await;
            let mood = told.iter().find(|what| what.contains("the column of `mood`"));
            assert!(mood.is_some_and(|what| what.contains(why)), "{told:?}");
        }
    }
}
