//! Entities of the classes: create, read, list, change, delete.

use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::domain_row;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::file::FileOwner;
use crate::file::NewFile;
use crate::integrity;
use crate::job;
use crate::login;
use crate::login::SameLogin;
use crate::once;
use crate::once::Once;
use crate::seq;
use crate::store::Store;
use crate::surveyed;
use crate::usage;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::RightAction;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_model::oauth::tokens_implied;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::collections::HashSet;

/// A new entity with its files.
#[derive(Debug, Clone)]
pub struct NewEntity {
    /// The entity.
    pub entity: Entity,
    /// Its files. None of them is a part of an original.
    pub files: Vec<NewFile>,
}

/// The conditions of a client for new entities.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Creates them only if nothing was created under this key before.
    pub once: Option<&'a Once>,
    /// Whether a new account may have the login of another one.
    pub same_login: SameLogin,
    /// Whether the client chose ids, which may be those of deleted entities.
    pub brings_ids: bool,
}

impl Store {
    /// Stores new entities with their files, all or none.
    ///
    /// # Errors
    ///
    /// [`Failed::Exists`] for an id or file name that is there already, [`Failed::Reference`] for a
    /// property that refers to nothing, [`Failed::OneFolder`], [`Failed::Invalid`] for what a
    /// client may not make.
    pub async fn entity_create(
        &self,
        domain: &Domain,
        class: &Class,
        new: Vec<NewEntity>,
    ) -> Result<Vec<Entity>, Error> {
        let created = self.entity_create_on(domain, class, new, Terms::default()).await?;
        // Without a key nothing was created before.
        created.ok_or(Error::Damaged { what: "a key of a client" })
    }

    /// The same under conditions of the client. `None`: something was created under its key before.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_create`]; [`Failed::SameLogin`] for a second account of one login,
    /// [`Failed::IdUsed`] for the id of a message that was deleted within 24 hours of its creation.
    pub async fn entity_create_on(
        &self,
        domain: &Domain,
        class: &Class,
        new: Vec<NewEntity>,
        Terms { once, same_login, brings_ids }: Terms<'_>,
    ) -> Result<Option<Vec<Entity>>, Error> {
        let mut new = new;
        for NewEntity { entity, files } in &mut new {
            self.placed(domain, class, entity).await?;
            let mut problems = client::create_problems(class, entity);
            let of_files: Vec<_> = files.iter().map(|file| file.property.as_str()).collect();
            problems.extend(client::files_problems(class, &of_files));
            problems.extend(self.wanted_problems(domain, class, entity));
            problems.extend(self.given_in_vain(domain, class, entity));
            problems.extend(self.born_expired(class, entity));
            problems.extend(domain_row::place_problem(domain, class));
            if !problems.is_empty() {
                return Err(Error::Condition(Failed::Invalid { problems }));
            }
            self.imply(class, entity);
            self.hash_password(class, &mut entity.properties).await?;
            let mut problems =
                files.iter().filter_map(|f| client::file_problem(class, entity, &f.property));
            if let Some(reason) = problems.next() {
                return Err(Error::Condition(Failed::ReadOnly { reason }));
            }
        }
        let references =
            new.iter().flat_map(|new| self.references(domain, class, None, &new.entity.properties));
        let references: BTreeSet<_> = references.collect();
        let entities: Vec<_> = new.iter().map(|new| new.entity.clone()).collect();
        // The batch checks that references exist, because they may have been deleted since they
        // were checked.
        let mut batch: Vec<_> =
            references.iter().map(|reference| self.is_there(domain, reference)).collect();
        batch.extend(once.map(|once| once::keep(self, domain, class, once, &entities)));
        for NewEntity { entity, files } in new {
            batch.extend(integrity::one_folder(domain, class, &entity));
            batch.extend(integrity::one_account(domain, class, &entity));
            batch.extend(usage::begin(class, &entity, &entity.properties));
            batch.extend(
                self.records(domain, class).create(self.entity_row(domain, class, &entity)?),
            );
            let mut counts = std::collections::HashMap::new();
            for new_file in files {
                let position: &mut i64 = counts.entry(new_file.property.clone()).or_default();
                let at = *position;
                *position += 1;
                let owner = FileOwner { domain, entity: entity.id, class: Some(class) };
                batch.extend(file::insert(self, owner, new_file, at, None).await?);
            }
        }
        if brings_ids {
            batch.extend(self.of_given_ids(domain, class, &entities));
        }
        if same_login == SameLogin::Refused {
            batch.extend(entities.iter().filter_map(|e| login::rule(class, e.id, &e.properties)));
        }
        match self.write_numbered(batch).await {
            Err(Error::Condition(Failed::KeyUsed)) => Ok(None),
            Err(error) => Err(error),
            Ok(before) => {
                let mut entities = entities;
                for (seq, entity) in (before + 1..).zip(&mut entities) {
                    entity.seq = seq;
                    self.changed(class, entity);
                    self.usage_soon(class, &entity.properties);
                    self.count_up(domain, class, entity).await?;
                }
                Ok(Some(entities))
            }
        }
    }

    /// The statements that new entities need in addition because a client chose their ids.
    fn of_given_ids(&self, domain: &Domain, class: &Class, new: &[Entity]) -> Vec<Statement> {
        let dialect = self.inner.database.dialect();
        let unlisted = new.iter().map(|entity| job::unlist(entity.id));
        let used = |entity: &Entity| once::keep_own_id(self, domain, class, entity.id);
        let is_last = |entity: &Entity| seq::is_last(dialect, entity.id);
        let (used, last) = (new.iter().filter_map(used), new.iter().filter_map(is_last));
        unlisted.chain(used).chain(last).collect()
    }

    /// Sets the properties of a new entity that follow from others to which it refers.
    async fn placed(
        &self,
        domain: &Domain,
        class: &Class,
        entity: &mut Entity,
    ) -> Result<(), Error> {
        match class.classname.as_str() {
            MESSAGES => self.message_placed(domain, entity, None).await,
            FOLDERS => self.folder_titled(domain, entity).await,
            _ => Ok(()),
        }
    }

    /// Sets the properties of a new entity that follow from who makes it and from the others.
    fn imply(&self, class: &Class, entity: &mut Entity) {
        let is_noted = class.property(names::CREATED_BY).is_some_and(Property::read_only);
        if let Some(name) = self.modifier.id().filter(|_| is_noted) {
            entity.properties.insert(names::CREATED_BY.to_owned(), json!(name));
        }
        if class.classname == ACCOUNTS {
            let (none, sent) = (Entity::new(entity.id, Map::new()), &mut entity.properties);
            tokens_implied(&none, sent, Timestamp::from_ms(self.clock().now_ms()));
            sent.retain(|_, value| !value.is_null());
        }
        if class.classname == FOLDERS && surveyed::is_unfound(entity) {
            entity.properties.insert(names::STATUS_TEXT.to_owned(), json!(surveyed::UNFOUND));
        }
    }

    /// Adds to a new entity the increments that the database gave it.
    async fn count_up(
        &self,
        domain: &Domain,
        class: &Class,
        entity: &mut Entity,
    ) -> Result<(), Error> {
        let counted = class.columns().filter(|property| property.data_type == DataType::Increment);
        let counted: Vec<_> = counted.map(|property| property.name.clone()).collect();
        if counted.is_empty() {
            return Ok(());
        }
        let kept = self.entity_get(domain, class, entity.id).await?;
        for name in counted {
            let number = kept.as_ref().map(|kept| kept.get(&name).clone());
            entity.properties.insert(name, number.unwrap_or_default());
        }
        Ok(())
    }

    /// One entity. `None` when the domain has none of that id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_get(
        &self,
        domain: &Domain,
        class: &Class,
        id: EntityId,
    ) -> Result<Option<Entity>, Error> {
        if self.is_bounded(&class.classname) {
            return self.entity_matching(EntityPlace::new(domain, class, id), None).await;
        }
        let row = self.row(domain, class, id).await?;
        row.map(|row| self.entity_of(class, &row)).transpose()
    }

    async fn row(
        &self,
        domain: &Domain,
        class: &Class,
        id: EntityId,
    ) -> Result<Option<Row>, Error> {
        let sql = format!("{} WHERE \"id\" = $1 AND \"domain\" = $2", Self::select(class));
        let select = Statement::new(sql).bind(id).bind(domain.as_str());
        let rows = self.read(select.of_class(class)).await?;
        Ok(rows.into_iter().next())
    }

    /// The entities to which these values refer. Items of a list that `current` has too are left
    /// out, so that a list may keep items whose targets were deleted.
    fn references(
        &self,
        domain: &Domain,
        class: &Class,
        current: Option<&Entity>,
        values: &Map<String, Json>,
    ) -> Vec<Reference> {
        let classes = self.classes().of(domain);
        let mut references = vec![];
        for property in class.columns().filter(|p| p.data_type == DataType::Entity) {
            let target = classes.iter().find(|class| Some(class.id) == property.idclass);
            let table = target.map(|class| class.table().into_owned()).unwrap_or_default();
            let is_hidden =
                target.is_some_and(|target| !self.may_refer(class, property, &target.classname));
            let mut refer = |name: String, id: &Json| {
                if let Some(id) = id.as_str().and_then(|id| id.parse().ok()) {
                    let table = table.clone();
                    references.push(Reference { property: name, table, id, is_hidden });
                }
            };
            let name = &property.name;
            match values.get(name) {
                Some(Json::Array(list)) => {
                    let known = current.and_then(|current| current.get(name).as_array());
                    let known: HashSet<_> = known.into_iter().flatten().collect();
                    for (at, id) in list.iter().enumerate().filter(|(_, id)| !known.contains(id)) {
                        refer(format!("{name}[{at}]"), id);
                    }
                }
                Some(id) => refer(name.clone(), id),
                None => {}
            }
        }
        references
    }

    /// The conditions that the entities exist to which these values refer, as in
    /// [`Self::references`].
    pub(crate) fn reference_conditions(
        &self,
        domain: &Domain,
        class: &Class,
        current: &Entity,
        values: &Map<String, Json>,
    ) -> Vec<Statement> {
        let references = self.references(domain, class, Some(current), values);
        references.iter().map(|reference| self.is_there(domain, reference)).collect()
    }

    pub(crate) async fn check_references(
        &self,
        domain: &Domain,
        class: &Class,
        current: &Entity,
        values: &Map<String, Json>,
    ) -> Result<(), Error> {
        for reference in self.references(domain, class, Some(current), values) {
            if self.read(self.is_there(domain, &reference)).await?.is_empty() {
                return Err(Error::Condition(reference.missing()));
            }
        }
        Ok(())
    }

    /// The query that finds an entity that another refers to, if the client may read it. In a
    /// batch, it is the condition that it exists.
    fn is_there(&self, domain: &Domain, reference: &Reference) -> Statement {
        let Reference { table, id, is_hidden, .. } = reference;
        let classname = table.strip_prefix('/').unwrap_or(table);
        let mut conditions = self.conditions(domain);
        let filter = self.reached(RightAction::Read, classname);
        let filter = match filter {
            _ if *is_hidden => " AND 1 = 0".to_owned(),
            Some(filter) => format!(" AND {}", conditions.filter(filter)),
            None => String::new(),
        };
        let id = conditions.bind(Value::Id(*id));
        let table = quoted(table);
        let sql = format!("SELECT 1 FROM {table} WHERE \"id\" = {id} AND \"domain\" = $1{filter}");
        let there = Statement::new(sql).bind_all(conditions.values);
        there.assert(reference.missing(), Lock::Found)
    }
}

/// An entity that another refers to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    property: String,
    table: String,
    id: EntityId,
    /// Whether the client may read nothing of the class.
    is_hidden: bool,
}

impl Reference {
    fn missing(&self) -> Failed {
        Failed::Reference { property: self.property.clone() }
    }
}
