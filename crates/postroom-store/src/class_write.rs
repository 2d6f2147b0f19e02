//! Changes of classes by clients. Each is one transaction with definitions, tables and version.
//!
//! ```text
//!   check the definition ─► check the stored values ─► one batch ─► bell
//!                           (before the batch, which      └─► then in steps: indexes are made,
//!                           asserts the same of entities      removed values and the entities
//!                           that changed since)               of deleted classes are deleted
//! ```
//! The stored values are checked before the batch, because that may take long and must not keep
//! others from writing.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::class_deleted;
use crate::class_demand::Demands;
use crate::class_tables::TableChange;
use crate::class_tables::Tables;
use crate::class_tables::is_retired;
use crate::class_tables::retired_of;
use crate::classes;
use crate::classes::Classes;
use crate::classes::KeptClass;
use crate::columns::quoted;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::foreign_key;
use crate::foreign_key::ForeignKey;
use crate::seq;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::ClassChange;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::RenamedProperty;
use postroom_model::Timestamp;
use postroom_model::ancestors;
use postroom_model::builtin::AUDIT;
use postroom_model::class_steps;
use postroom_model::inherit;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How often the making of indexes is ended while tables are changed.
const INDEXING_PAUSE: Duration = Duration::from_millis(250);

/// The class names of clients cannot begin with these, because later versions may have such
/// classes.
const TAKEN: [&str; 2] = ["email", "iam"];

impl Store {
    /// The class as it is built in. `None`: a client made it.
    #[must_use]
    pub(crate) fn class_built_in(&self, id: ClassId) -> Option<&Class> {
        self.inner.built_in.iter().find(|class| class.id == id)
    }

    /// Makes a class, with its table.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] with the place of each problem; [`Failed::Exists`] for its name or id;
    /// [`Failed::BeingDeleted`] while the entities of a former class of its name or id are deleted;
    /// [`Failed::OtherClasses`] when the classes are no longer `former`.
    pub async fn class_create(&self, former: &Classes, class: Class) -> Result<Classes, Error> {
        let same = |other: &&Arc<Class>| {
            other.id == class.id || other.classname.eq_ignore_ascii_case(&class.classname)
        };
        if let Some(other) = former.iter().find(same) {
            let what = format!("the class {} ({})", other.classname, other.id);
            return Err(Error::Condition(Failed::Exists { what }));
        }
        let first = class.classname.split('/').next().unwrap_or_default();
        if TAKEN.iter().any(|taken| first.eq_ignore_ascii_case(taken)) {
            let reason = format!("begins with `{first}/`, which is for classes of Postroom");
            return Err(invalid(vec![Invalid::new("classname", reason)]));
        }
        if class.parent_id.is_some_and(|parent| self.class_built_in(parent).is_some()) {
            let reason = "is a class that is built in: what inherits from it would be taken for \
                          mail or an account, and never be sent or received. Refer to it by a \
                          property of the type `entity`";
            return Err(invalid(vec![Invalid::new("parent_id", reason)]));
        }
        let mut class = self.written(class, former.version() + 1);
        class.ext.insert("ct".to_owned(), class.ext.get("lwt").cloned().unwrap_or_default());
        let (id, is_gone) = (class.id, class_deleted::is_gone(&class));
        let mut next = former.own();
        next.push(class);
        self.checked(&next, id)?;
        self.replace(former, next, None, vec![is_gone]).await
    }

    /// Changes a class. `confirm` is how many values the client agrees to lose.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] with the place of each problem, also if stored values prevent the
    /// change; [`Failed::Unconfirmed`]; [`Failed::OtherClasses`] when the classes are no longer
    /// `former`.
    pub async fn class_change(
        &self,
        former: &Classes,
        change: ClassChange,
        confirm: Option<u64>,
    ) -> Result<Classes, Error> {
        let ClassChange { class, renamed } = change;
        let before = former.iter().find(|former| former.id == class.id);
        let before = before.ok_or(Error::Condition(Failed::OtherClasses))?;
        if before.classname == AUDIT {
            let reason = "is written by Postroom alone, and is the same everywhere: keep what is \
                          yours in a class of your own";
            return Err(invalid(vec![Invalid::new("classname", reason)]));
        }
        let problems = before.refused(&class, &renamed, self.class_built_in(class.id));
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
        let id = class.id;
        let class = classes::own(&self.written(class, former.version() + 1));
        let mut next = former.own();
        if let Some(present) = next.iter_mut().find(|present| present.id == id) {
            *present = class;
        }
        let whole = self.checked(&next, id)?;
        added_by_domains(former, before, &whole)?;
        let mut demands = Demands::begin(self, former, None).await?;
        for after in whole.iter().filter(|after| descends(after, id, &whole)) {
            let before = former.iter().find(|former| former.id == after.id);
            for step in before.map(|b| class_steps(b, after, &renamed)).unwrap_or_default() {
                demands.take(after, &step, &whole)?;
            }
        }
        demands.check().await?;
        demands.confirmed(confirm)?;
        let asserts = demands.asserts();
        self.replace(former, next, Some((id, &renamed)), asserts).await
    }

    /// Deletes a class of a client with all its entities. `confirm` is how many entities the client
    /// agrees to lose. The class is gone when this returns. If it had more than 500 entities, they
    /// are deleted afterwards, in steps.
    ///
    /// # Errors
    ///
    /// [`Failed::InUse`] while other classes refer to it, also by a removed property whose values
    /// are still being deleted, and for a built-in class;
    /// [`Failed::Unconfirmed`]; [`Failed::OtherClasses`] when the classes are no longer `former`.
    pub async fn class_delete(
        &self,
        former: &Classes,
        id: ClassId,
        confirm: Option<u64>,
    ) -> Result<Classes, Error> {
        let class = former.iter().find(|class| class.id == id);
        let class = class.ok_or(Error::Condition(Failed::OtherClasses))?;
        if self.class_built_in(id).is_some() {
            let by = "Postroom: the class is built in".to_owned();
            return Err(Error::Condition(Failed::InUse { by }));
        }
        let of_domain = || "a property that a domain added for itself".to_owned();
        let mut by = user_of(class, former).or_else(|| former.is_referred(id).then(of_domain));
        if by.is_none() {
            by = self.former_user_of(class).await?;
        }
        if let Some(by) = by {
            return Err(Error::Condition(Failed::InUse { by }));
        }
        let mut demands = Demands::begin(self, former, None).await?;
        demands.count_entities(class).await?;
        demands.confirmed(confirm)?;
        let asserts = demands.asserts();
        let mut next = former.own();
        next.retain(|other| other.id != id);
        let classes = self.replace(former, next, None, asserts).await?;
        Box::pin(self.deleted_at_once(id, confirm.unwrap_or(0))).await;
        Ok(classes)
    }

    /// The property whose column still refers to the table of a class, though the property is
    /// removed, or does not refer to the class any more. The tables of classes that are being
    /// deleted go before it, so their columns do not count.
    async fn former_user_of(&self, class: &Class) -> Result<Option<String>, Error> {
        let database = self.inner.database.as_ref();
        let mut keys = foreign_key::all(database).await?;
        keys.retain(|key| key.target == class.table());
        let deleted = if keys.is_empty() { vec![] } else { self.deleted_classes().await? };
        keys.retain(|key| deleted.iter().all(|deleted| deleted.table != key.table));
        let Some(ForeignKey { table, column, .. }) = keys.first() else {
            return Ok(None);
        };
        let name = table.trim_start_matches('/');
        let is_going = is_retired(column) || retired_of(database, table).await?.contains(column);
        Ok(Some(if is_going {
            format!(
                "a removed property of {name}, whose values are still being deleted: try again, or \
                 wait with SYNC of the classes"
            )
        } else {
            // An earlier version kept the column when the property was changed.
            format!(
                "the column of the property {column} of {name}, which referred to it before: \
                 remove the property, and add it again after SYNC of the classes"
            )
        }))
    }

    /// The class with the time and the version of this change.
    pub(crate) fn written(&self, mut class: Class, version: i64) -> Class {
        let now = Timestamp::from_ms(self.clock().now_ms()).to_string();
        class.ext.insert("lwt".to_owned(), Json::from(now));
        class.revision = version;
        class
    }

    /// The classes with the properties that they inherit, if they can be used. Problems of the
    /// class `id` name their place in it.
    fn checked(&self, next: &[Class], id: ClassId) -> Result<Vec<Class>, Error> {
        let whole = inherit(next);
        let changed = whole.iter().find(|class| class.id == id);
        let problems = changed.map(|class| class.check(&whole)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
        classes::check(&whole)?;
        Ok(whole)
    }

    /// Makes these the classes of the database in one transaction, with their tables.
    async fn replace(
        &self,
        former: &Classes,
        next: Vec<Class>,
        renamed: Option<(ClassId, &[RenamedProperty])>,
        asserts: Vec<Statement>,
    ) -> Result<Classes, Error> {
        let (version, database) = (former.version() + 1, self.inner.database.as_ref());
        let whole = inherit(&next);
        let (mut tables, mut touched) = (Tables::new(database, &whole, version), vec![]);
        for after in &whole {
            let before = former.iter().find(|former| former.id == after.id);
            if before.is_some_and(|before| is_same(before, after)) {
                continue;
            }
            let of = renamed.filter(|(id, _)| descends(after, *id, &whole));
            let renamed = of.map_or(&[][..], |(_, renamed)| renamed);
            let before = before.map(AsRef::as_ref);
            touched.push(quoted(&after.table()));
            tables.change(&TableChange { before, after, renamed }).await?;
        }
        let mut gone = vec![];
        for class in former.iter().filter(|class| next.iter().all(|next| next.id != class.id)) {
            let renamed_to = tables.drop(class);
            gone.extend(self.class_deleted(class, &renamed_to));
            touched.push(quoted(&class.table()));
        }
        let kept: Vec<_> =
            next.into_iter().map(|class| self.kept(class, version, &whole, former)).collect();
        let mut batch = classes::keep(former.version(), &kept)?;
        batch.extend(asserts);
        batch.extend(gone);
        batch.extend(tables.batch);
        batch.extend(self.designed(former, &kept, version));
        seq::numbered(database.dialect(), &mut batch)?;
        let written = self.write_unindexed(batch, &touched).await;
        self.classes_refresh().await?;
        written?;
        database.ring(Topic::Classes);
        database.ring(Topic::News);
        self.classes_settle_soon();
        let classes: Vec<_> = kept.into_iter().map(|kept| kept.class).collect();
        Ok(Classes::new(version, &classes, former.extensions()))
    }

    /// The statements that tell in the audit which classes are created, changed and deleted.
    fn designed(&self, former: &Classes, kept: &[KeptClass], version: i64) -> Vec<Statement> {
        let told = |classname: &str, operation: &str| {
            let entry = AuditEntry::of(AuditEvent::Design).of_class(classname);
            let details = json!({"operation": operation, "version": version});
            self.audited(&Domain::master(), &entry.with(details))
        };
        let mut all = vec![];
        for KeptClass { class, .. } in kept {
            match former.iter().find(|former| former.id == class.id) {
                None => all.extend(told(&class.classname, "create")),
                Some(_) if class.revision == version => {
                    all.extend(told(&class.classname, "change"));
                }
                Some(_) => {}
            }
        }
        for gone in former.iter().filter(|one| kept.iter().all(|it| it.class.id != one.id)) {
            all.extend(told(&gone.classname, "delete"));
        }
        all
    }

    /// Writes a batch that changes or removes tables. The making of their indexes, which may take
    /// long, is ended meanwhile. So the batch does not wait for it, and nobody for the batch.
    /// What is still wanted is made again afterwards.
    pub(crate) async fn write_unindexed(
        &self,
        batch: Vec<Statement>,
        tables: &[String],
    ) -> Result<Vec<Outcome>, Error> {
        let database = self.inner.database.as_ref();
        let mut written = database.write(batch, Room::Reserve);
        loop {
            for table in tables {
                // Without it, the batch waits until the index is there.
                if let Err(error) = database.indexing_ended(table).await {
                    tracing::warn!(%error, table, "the making of an index is not ended");
                }
            }
            tokio::select! {
                biased;
                done = &mut written => return done,
                () = tokio::time::sleep(INDEXING_PAUSE) => {}
            }
        }
    }

    /// A class as the database has it. A class that inherits from a changed class is changed too.
    fn kept(&self, class: Class, version: i64, whole: &[Class], former: &Classes) -> KeptClass {
        let base = self.class_built_in(class.id).cloned();
        let after = whole.iter().find(|whole| whole.id == class.id);
        let before = former.iter().find(|former| former.id == class.id);
        let is_other = match (before, after) {
            (Some(before), Some(after)) => !is_same(before, after),
            _ => true,
        };
        let revision = if is_other { version } else { class.revision };
        KeptClass { class: Class { revision, version: 0, ..class }, base }
    }
}

/// Refuses new properties of a class whose names some domain uses already. The texts do not tell
/// which one.
fn added_by_domains(former: &Classes, before: &Class, whole: &[Class]) -> Result<(), Error> {
    let after = whole.iter().find(|after| after.id == before.id);
    let new = after.into_iter().flat_map(|after| &after.properties);
    let new = new.filter(|property| before.property(&property.name).is_none());
    let taken = new.filter(|property| former.is_added(before.id, &property.name));
    let problem = |property: &Property| {
        let reason = "cannot be used for this property: choose another name";
        Invalid::new(format!("properties.{}.name", property.name), reason)
    };
    let problems: Vec<_> = taken.map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(invalid(problems)) }
}

/// Whether the definition of a class is the same.
fn is_same(before: &Class, after: &Class) -> bool {
    let plain = |class: &Class| Class { version: 0, revision: 0, ..class.clone() };
    plain(before) == plain(after)
}

/// Whether a class is the one of this id, or inherits from it.
fn descends(class: &Class, id: ClassId, all: &[Class]) -> bool {
    class.id == id || ancestors(class, all).any(|ancestor| ancestor.id == id)
}

/// The class, and its property, that refers to a class.
fn user_of(class: &Class, all: &Classes) -> Option<String> {
    for other in all.iter().filter(|other| other.id != class.id) {
        if other.parent_id == Some(class.id) {
            return Some(format!("the class {}, whose parent it is", other.classname));
        }
        if let Some(property) = other.properties.iter().find(|p| p.idclass == Some(class.id)) {
            return Some(format!("the property {} of {}", property.name, other.classname));
        }
    }
    None
}

pub(crate) fn invalid(problems: Vec<Invalid>) -> Error {
    Error::Condition(Failed::Invalid { problems })
}
