//! Entities of the classes: create, read, list, change, delete.

use crate::columns;
use crate::columns::quoted;
use crate::condition::Conditions;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delivery;
use crate::error::Error;
use crate::feed;
use crate::feed::Operation;
use crate::file;
use crate::file::NewFile;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Query;
use postroom_model::builtin;
use serde_json::Map;
use serde_json::Value as Json;
use uuid::Uuid;

/// An entity to be kept, with its files.
#[derive(Debug, Clone)]
pub struct NewEntity {
    /// The entity.
    pub entity: Entity,
    /// Its files; parts of an original are not among them.
    pub files: Vec<NewFile>,
}

/// How a change or a deletion went.
#[derive(Debug, Clone, PartialEq)]
pub enum Updated {
    /// It was done; this is the entity as it is now, or as it was before it was deleted.
    Done(Entity),
    /// There is no such entity in the domain.
    Missing,
    /// The entity has another version by now.
    Stale {
        /// Its version.
        version: i64,
    },
}

/// How often a change is tried again when others change the same entity.
const ATTEMPTS: usize = 20;

impl Store {
    /// Keeps new entities with their files, all or none.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] for an id or file name that is there already, [`Error::Reference`] for a
    /// property that refers to nothing.
    pub async fn entity_create(
        &self,
        domain: &Domain,
        class: &Class,
        new: Vec<NewEntity>,
    ) -> Result<Vec<Entity>, Error> {
        let mut batch = vec![];
        let mut entities = vec![];
        for NewEntity { entity, files } in new {
            self.check_references(domain, class, &entity.properties)
                .await?;
            batch.push(self.insert(domain, class, &entity));
            let mut counts = std::collections::HashMap::new();
            for new_file in files {
                let position: &mut i64 = counts.entry(new_file.property.clone()).or_default();
                let at = (new_file, *position);
                *position += 1;
                batch.extend(file::insert(self, (domain, entity.id), at, None)?);
            }
            batch.push(feed::row(
                domain,
                class,
                (entity.id, Operation::Create),
                None,
            ));
            entities.push(entity);
        }
        match self.write(batch).await {
            Err(Error::Exists { what }) => Err(Error::Exists {
                what: taken(&what).to_owned(),
            }),
            Err(error) => Err(error),
            Ok(_) => {
                self.changed(class);
                Ok(entities)
            }
        }
    }

    /// The statement that inserts an entity.
    pub(crate) fn insert(&self, domain: &Domain, class: &Class, entity: &Entity) -> Statement {
        let columns = class.columns();
        let values = columns.map(|property| {
            let json = entity.get(&property.name);
            columns::to_value(&self.inner.key, class, entity.id, (property, json))
        });
        Statement::new(self.inner.inserts(class))
            .bind(domain.as_str())
            .bind(entity.id)
            .bind(entity.version)
            .bind_all(values)
    }

    /// One entity; `None` when the domain has none of that id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_get(
        &self,
        domain: &Domain,
        class: &Class,
        id: Uuid,
    ) -> Result<Option<Entity>, Error> {
        let row = self.row(domain, class, id).await?;
        row.map(|row| columns::to_entity(class, &row)).transpose()
    }

    async fn row(&self, domain: &Domain, class: &Class, id: Uuid) -> Result<Option<Row>, Error> {
        let sql = format!(
            "{} WHERE \"id\" = $1 AND \"domain\" = $2",
            Self::select(class)
        );
        let rows = self
            .read(Statement::new(sql).bind(id).bind(domain.as_str()))
            .await?;
        Ok(rows.into_iter().next())
    }

    /// The entities that a query asks for. Ties, and everything without an order, go by id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_list(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<Vec<Entity>, Error> {
        let mut conditions = self.conditions(domain);
        let filter = query
            .filter
            .as_ref()
            .map(|filter| conditions.filter(filter));
        let filter = filter
            .map(|filter| format!(" AND {filter}"))
            .unwrap_or_default();
        let step = |order: &postroom_model::Order| {
            let way = if order.descending { "DESC" } else { "ASC" };
            format!("{} {way}, ", quoted(&order.property))
        };
        let order: String = query.order.iter().map(step).collect();
        let limit = conditions.bind(Value::Whole(i64::from(query.limit)));
        let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
        let offset = conditions.bind(Value::Whole(offset));
        let sql = format!(
            "{} WHERE \"domain\" = $1{filter} ORDER BY {order}\"id\" LIMIT {limit} OFFSET {offset}",
            Self::select(class)
        );
        let rows = self
            .read(Statement::new(sql).bind_all(conditions.values))
            .await?;
        rows.iter()
            .map(|row| columns::to_entity(class, row))
            .collect()
    }

    /// How many entities a query asks for, whatever its limit and offset.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_count(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<u64, Error> {
        let mut conditions = self.conditions(domain);
        let filter = query
            .filter
            .as_ref()
            .map(|filter| conditions.filter(filter));
        let filter = filter
            .map(|filter| format!(" AND {filter}"))
            .unwrap_or_default();
        let table = quoted(&class.classname);
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE \"domain\" = $1{filter}");
        let rows = self
            .read(Statement::new(sql).bind_all(conditions.values))
            .await?;
        let count = rows.first().and_then(|row| row.whole(0)).unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn conditions(&self, domain: &Domain) -> Conditions<'_> {
        let values = vec![Value::Text(domain.as_str().to_owned())];
        Conditions::new(self.inner.database.dialect(), values)
    }

    /// Changes properties of one entity; `null` unsets. With `if_version`, only that version.
    ///
    /// # Errors
    ///
    /// [`Error::Reference`] for a property that refers to nothing; [`Error::Busy`] for a message
    /// that is being sent.
    pub async fn entity_update(
        &self,
        (domain, class, id): (&Domain, &Class, Uuid),
        changes: &Map<String, Json>,
        if_version: Option<i64>,
    ) -> Result<Updated, Error> {
        self.check_references(domain, class, changes).await?;
        for _ in 0..ATTEMPTS {
            let Some(current) = self.entity_get(domain, class, id).await? else {
                return Ok(Updated::Missing);
            };
            if if_version.is_some_and(|version| version != current.version) {
                return Ok(Updated::Stale {
                    version: current.version,
                });
            }
            let mut batch = delivery::invalidate(id);
            let free = delivery::none_of(id);
            batch.push(free);
            batch.extend(self.change((domain, class), &current, changes));
            match self.write(batch).await {
                Ok(_) => {
                    self.changed(class);
                    return Ok(Updated::Done(changed(current, class, changes)));
                }
                Err(Error::Condition { statement: 1 }) => {
                    let reason = "the message is being sent just now".to_owned();
                    return Err(Error::Busy { reason });
                }
                // Somebody was faster: look again.
                Err(Error::Condition { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy {
            reason: "the entity is changed by many at once".to_owned(),
        })
    }

    /// The statements of a change; they hold only while the entity has the version of `current`.
    pub(crate) fn change(
        &self,
        (domain, class): (&Domain, &Class),
        current: &Entity,
        changes: &Map<String, Json>,
    ) -> Vec<Statement> {
        let changing = class
            .columns()
            .filter(|property| changes.contains_key(&property.name));
        let mut set = String::new();
        let mut values = vec![];
        let mut replaced = Map::new();
        for property in changing {
            let json = changes.get(&property.name).unwrap_or(&Json::Null);
            set.push_str(&format!(
                ", {} = ${}",
                quoted(&property.name),
                values.len() + 4
            ));
            values.push(columns::to_value(
                &self.inner.key,
                class,
                current.id,
                (property, json),
            ));
            if !property.write_only() {
                replaced.insert(property.name.clone(), current.get(&property.name).clone());
            }
        }
        let sql = format!(
            "UPDATE {} SET \"version\" = \"version\" + 1{set}
             WHERE \"id\" = $1 AND \"domain\" = $2 AND \"version\" = $3",
            quoted(&class.classname)
        );
        let update = Statement::new(sql)
            .bind(current.id)
            .bind(domain.as_str())
            .bind(current.version)
            .bind_all(values)
            .must_change();
        let change = (current.id, Operation::Change);
        vec![update, feed::row(domain, class, change, Some(&replaced))]
    }

    /// Deletes one entity with its files. With an account go its folders and their ledgers, and
    /// what it has in the queue; messages stay.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] for a profile that accounts use; [`Error::Busy`] for a message that is
    /// being sent.
    pub async fn entity_delete(
        &self,
        (domain, class, id): (&Domain, &Class, Uuid),
        if_version: Option<i64>,
    ) -> Result<Updated, Error> {
        let Some(current) = self.entity_get(domain, class, id).await? else {
            return Ok(Updated::Missing);
        };
        if if_version.is_some_and(|version| version != current.version) {
            return Ok(Updated::Stale {
                version: current.version,
            });
        }
        let mut batch = delivery::invalidate(id);
        batch.push(delivery::none_of(id));
        batch.extend(self.dependents(domain, class, id).await?);
        batch.extend(file::delete_all(self, id).await?);
        let table = quoted(&class.classname);
        let gone = format!("DELETE FROM {table} WHERE \"id\" = $1 AND \"version\" = $2");
        batch.push(
            Statement::new(gone)
                .bind(id)
                .bind(current.version)
                .must_change(),
        );
        let change = (id, Operation::Delete);
        batch.push(feed::row(domain, class, change, Some(&current.properties)));
        match self.write(batch).await {
            Ok(_) => {
                self.changed(class);
                Ok(Updated::Done(current))
            }
            Err(Error::Condition { statement: 1 }) => Err(Error::Busy {
                reason: "the message is being sent just now".to_owned(),
            }),
            Err(Error::Condition { .. }) => {
                let now = self.entity_get(domain, class, id).await?;
                Ok(now.map_or(Updated::Missing, |now| Updated::Stale {
                    version: now.version,
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// What goes with an entity, or what keeps it.
    async fn dependents(
        &self,
        domain: &Domain,
        class: &Class,
        id: Uuid,
    ) -> Result<Vec<Statement>, Error> {
        match class.classname.as_str() {
            builtin::PROFILES => {
                let sql =
                    "SELECT \"address\" FROM \"email/Accounts\" WHERE \"profile_id\" = $1 LIMIT 1";
                let rows = self.read(Statement::new(sql).bind(id)).await?;
                match rows.first().and_then(|row| row.text(0)) {
                    Some(address) => Err(Error::InUse {
                        by: format!("the account {address}"),
                    }),
                    None => Ok(vec![]),
                }
            }
            builtin::ACCOUNTS => {
                let folders = self.builtin(builtin::FOLDERS)?;
                let sql = "SELECT \"id\" FROM \"email/Folders\" WHERE \"account_id\" = $1";
                let mut batch = vec![];
                for row in self.read(Statement::new(sql).bind(id)).await? {
                    let Some(folder) = row.id(0) else {
                        continue;
                    };
                    batch.push(receipts_gone(folder));
                    let change = (folder, Operation::Delete);
                    batch.push(feed::row(domain, &folders, change, None));
                }
                let sql = "DELETE FROM \"email/Folders\" WHERE \"account_id\" = $1";
                batch.push(Statement::new(sql).bind(id));
                let sql = "DELETE FROM \"delivery\" WHERE \"account\" = $1 AND \"phase\" = 'due'";
                batch.push(Statement::new(sql).bind(id));
                Ok(batch)
            }
            builtin::FOLDERS => Ok(vec![receipts_gone(id)]),
            _ => Ok(vec![]),
        }
    }

    async fn check_references(
        &self,
        domain: &Domain,
        class: &Class,
        values: &Map<String, Json>,
    ) -> Result<(), Error> {
        for property in class
            .columns()
            .filter(|p| p.data_type == DataType::Entity && !p.multi)
        {
            let id = values.get(&property.name).and_then(Json::as_str);
            let Some(id) = id.and_then(|id| id.parse::<Uuid>().ok()) else {
                continue;
            };
            let target = self
                .classes()
                .iter()
                .find(|class| Some(class.id) == property.idclass);
            let found = match target {
                Some(target) => self.row(domain, target, id).await?.is_some(),
                None => false,
            };
            if !found {
                return Err(Error::Reference {
                    property: property.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// What is there already, from the columns of a violated constraint.
fn taken(columns: &str) -> &'static str {
    if columns.starts_with("file.") {
        "a file of this name"
    } else {
        "an entity of this id"
    }
}

fn receipts_gone(folder: Uuid) -> Statement {
    Statement::new("DELETE FROM \"receipt\" WHERE \"folder\" = $1").bind(folder)
}

/// The entity after a change.
fn changed(mut entity: Entity, class: &Class, changes: &Map<String, Json>) -> Entity {
    entity.version += 1;
    for (name, json) in changes {
        let secret = class
            .property(name)
            .is_some_and(postroom_model::Property::write_only);
        if json.is_null() || secret {
            entity.properties.remove(name);
        } else {
            entity.properties.insert(name.clone(), json.clone());
        }
    }
    entity
}
