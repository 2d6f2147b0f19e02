//! The classes and their tables at a start: the built-in classes with the changes of clients, and
//! the classes of clients.

use crate::class_tables::TableChange;
use crate::class_tables::Tables;
use crate::classes;
use crate::classes::Classes;
use crate::classes::KeptClass;
use crate::classes::KeptClasses;
use crate::database::Database;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::RenamedProperty;
use postroom_model::inherit;
use postroom_model::merged;
use serde_json::Value as Json;

/// What is needed to begin with the classes of a store.
pub(crate) struct Begin<'a> {
    pub database: &'a dyn Database,
    /// The classes that are built in.
    pub built_in: &'a [Class],
    /// The time of day (RFC 3339).
    pub now: &'a str,
}

/// A class after the start, and the properties that the start has renamed.
struct StartedClass {
    kept: KeptClass,
    renamed: Vec<RenamedProperty>,
}

impl Begin<'_> {
    /// Makes the tables, and returns the snapshot of the classes. The version grows only if a
    /// definition differs from that in the database.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] for definitions that cannot be used; when the database fails.
    pub(crate) async fn begin(&self) -> Result<Classes, Error> {
        classes::check(self.built_in)?;
        loop {
            let KeptClasses { version, classes: former, extensions } =
                match classes::kept(self.database).await? {
                    Some(found) => found,
                    None => {
                        let none =
                            "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('classes', 0)
                        ON CONFLICT (\"name\") DO NOTHING";
                        self.database.write(vec![Statement::new(none)], Room::Reserve).await?;
                        KeptClasses { version: 0, classes: vec![], extensions: vec![] }
                    }
                };
            let begun = self.begun(&former, version + 1);
            let next: Vec<_> = begun.iter().map(|begun| begun.kept.clone()).collect();
            let is_same = next == former;
            let mut batch = match is_same {
                true => vec![classes::are_of(version)],
                false => classes::keep(version, &next)?,
            };
            batch.extend(self.tables(&former, &begun, version + 1).await?);
            match self.database.write(batch, Room::Reserve).await {
                // Another process changed the classes first: try again.
                Err(Error::Condition(Failed::OtherClasses)) => continue,
                done => done?,
            };
            let classes: Vec<_> = next.into_iter().map(|kept| kept.class).collect();
            return Ok(Classes::new(
                if is_same { version } else { version + 1 },
                &classes,
                extensions,
            ));
        }
    }

    /// The classes from now on. The built-in classes come first.
    fn begun(&self, former: &[KeptClass], version: i64) -> Vec<StartedClass> {
        let built_in = self.built_in.iter().map(|now| {
            let Some(found) = former.iter().find(|kept| kept.class.id == now.id) else {
                let mut class =
                    Class { fixed: now.properties.len(), revision: version, ..now.clone() };
                for name in ["ct", "lwt"] {
                    class.ext.insert(name.to_owned(), Json::from(self.now));
                }
                let kept = KeptClass { class, base: Some(now.clone()) };
                return StartedClass { kept, renamed: vec![] };
            };
            // An earlier version had no base, because clients could not change classes.
            let base = found.base.as_ref().unwrap_or(&found.class);
            let change = merged(&found.class, base, now);
            let mut class = change.class;
            class.revision = found.class.revision;
            for name in ["ct", "lwt"] {
                class.ext.entry(name).or_insert_with(|| Json::from(self.now));
            }
            if class != found.class {
                class.revision = version;
            }
            for renamed in &change.renamed {
                tracing::warn!(
                    class = class.classname,
                    from = renamed.from,
                    to = renamed.to,
                    "a property of yours has another name now, because this version of Postroom \
                     has one of this name built in; its values are kept"
                );
            }
            StartedClass {
                kept: KeptClass { class, base: Some(now.clone()) },
                renamed: change.renamed,
            }
        });
        let is_built_in = |kept: &&KeptClass| self.built_in.iter().any(|b| b.id == kept.class.id);
        let others = former.iter().filter(|kept| !is_built_in(kept)).cloned();
        let others = others.map(|kept| StartedClass { kept, renamed: vec![] });
        let mut begun: Vec<_> = built_in.chain(others).collect();
        // If a class has changed, the classes that inherit from it have changed too.
        let former = whole(former.iter().map(|kept| &kept.class));
        let next = whole(begun.iter().map(|begun| &begun.kept.class));
        for (StartedClass { kept, .. }, next) in begun.iter_mut().zip(&next) {
            let before = former.iter().find(|before| before.id == next.id);
            if before.is_some_and(|before| before.properties != next.properties) {
                kept.class.revision = version;
            }
        }
        begun
    }

    async fn tables(
        &self,
        former: &[KeptClass],
        begun: &[StartedClass],
        version: i64,
    ) -> Result<Vec<Statement>, Error> {
        let former = whole(former.iter().map(|kept| &kept.class));
        let next = whole(begun.iter().map(|begun| &begun.kept.class));
        let mut tables = Tables::new(self.database, &next, version);
        for (class, begun) in next.iter().zip(begun) {
            let before = former.iter().find(|former| former.id == class.id);
            let change = TableChange { before, after: class, renamed: &begun.renamed };
            tables.change(&change).await?;
        }
        Ok(tables.batch)
    }
}

/// The classes with the properties that they inherit.
fn whole<'a>(classes: impl Iterator<Item = &'a Class>) -> Vec<Class> {
    inherit(&classes.cloned().collect::<Vec<_>>())
}
