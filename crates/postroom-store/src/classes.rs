//! The classes as one snapshot, which a request or a batch takes once.
//!
//! The database keeps the definitions, their version, and the revision of each: the version with
//! which it changed last. A batch that changes entities asserts the revisions of the classes that
//! it was built with. If one of them has changed since, the batch fails with
//! [`Failed::OtherClasses`], nothing of it is done, and this process reads the classes again. So
//! whoever repeats the work builds it on the present ones. A row of an entity is read with the
//! revision of its class.
//!
//! Of a built-in class the database also keeps how it was built in (`base`), so that a later
//! release knows what clients changed. A class with a parent is kept without what it inherits.

use crate::database::ClassRevision;
use crate::database::Database;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::inherit;
use std::ops::Deref;
use std::sync::Arc;

/// The name of the lock of batches that change entities, and of the batch that changes classes.
pub(crate) const CLASSES: &str = "classes";
const DAMAGED: Error = Error::Damaged { what: "a class" };

/// The classes of one version. Clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    version: i64,
    list: Arc<[Arc<Class>]>,
}

impl Classes {
    /// The classes of a version, each without what it inherits.
    pub(crate) fn new(version: i64, classes: &[Class]) -> Self {
        let of_version = |class| Arc::new(Class { version, ..class });
        Self { version, list: inherit(classes).into_iter().map(of_version).collect() }
    }

    /// Their version. It grows with each change of a class.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The class of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Class>> {
        self.list.iter().find(|class| class.classname == name)
    }

    /// The classes as a domain has them. It is cheap, and the same for the classes of a domain.
    #[must_use]
    pub fn of(&self, _domain: &Domain) -> Self {
        self.clone()
    }

    /// Each class without what it inherits.
    pub(crate) fn own(&self) -> Vec<Class> {
        self.list.iter().map(|class| own(class)).collect()
    }
}

impl Deref for Classes {
    type Target = [Arc<Class>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

/// A class without what it inherits.
pub(crate) fn own(class: &Class) -> Class {
    match class.parent_id {
        Some(_) => Class { properties: class.own().to_vec(), fixed: 0, ..class.clone() },
        None => class.clone(),
    }
}

/// A class as the database keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptClass {
    /// The class, without what it inherits.
    pub class: Class,
    /// How it was built in when it was written. `None`: a client made it.
    pub base: Option<Class>,
}

/// The condition that the classes have this version.
pub(crate) fn are_of(version: i64) -> Statement {
    let sql = "SELECT 1 FROM \"meta\" WHERE \"name\" = 'classes' AND \"number\" = $1";
    Statement::new(sql).bind(version).assert(Failed::OtherClasses, Lock::Shared(CLASSES))
}

/// The condition that the class exists and has not changed.
pub(crate) fn is_of(class: &ClassRevision) -> Statement {
    let sql = "SELECT 1 FROM \"class\" WHERE \"name\" = $1 AND \"revision\" = $2";
    let is_so = Statement::new(sql).bind(class.classname.as_str()).bind(class.revision);
    is_so.assert(Failed::OtherClasses, Lock::Shared(CLASSES))
}

/// The version of the classes, and their definitions in the database. `None`: the database is new.
pub(crate) async fn kept(database: &dyn Database) -> Result<Option<(i64, Vec<KeptClass>)>, Error> {
    // One statement, so that version and definitions are those of one moment.
    let sql = "SELECT m.\"number\", c.\"definition\", c.\"base\", c.\"revision\" FROM \"meta\" m
        LEFT JOIN \"class\" c ON TRUE WHERE m.\"name\" = 'classes' ORDER BY c.\"position\"";
    let rows = database.read(Statement::new(sql)).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let version = first.whole(0).ok_or(DAMAGED)?;
    let there = rows.iter().filter(|row| row.text(1).is_some());
    let classes = there.map(from_row).collect::<Result<_, _>>()?;
    Ok(Some((version, classes)))
}

fn from_row(row: &Row) -> Result<KeptClass, Error> {
    let read = |column| row.text(column).map(serde_json::from_str::<Class>).transpose();
    let class = read(1).map_err(|_| DAMAGED)?.ok_or(DAMAGED)?;
    let base = read(2).map_err(|_| DAMAGED)?;
    let base = base.map(|base| Class { fixed: base.properties.len(), ..base });
    let fixed = base.as_ref().map_or(0, |base| base.fixed);
    let revision = row.whole(3).ok_or(DAMAGED)?;
    Ok(KeptClass { class: Class { revision, fixed, ..class }, base })
}

/// The classes of the database. `None`: the database is new.
pub(crate) async fn read(database: &dyn Database) -> Result<Option<Classes>, Error> {
    let found = kept(database).await?;
    Ok(found.map(|(version, kept)| {
        let classes: Vec<_> = kept.into_iter().map(|kept| kept.class).collect();
        Classes::new(version, &classes)
    }))
}

/// The statements that make these the classes of the database. The batch fails if their version is
/// not `former` any more.
pub(crate) fn keep(former: i64, classes: &[KeptClass]) -> Result<Vec<Statement>, Error> {
    let next = "UPDATE \"meta\" SET \"number\" = \"number\" + 1
        WHERE \"name\" = 'classes' AND \"number\" = $1";
    let next = Statement::new(next).bind(former).must_change(Failed::OtherClasses);
    let alone = Statement::new("SELECT 1").assert(Failed::OtherClasses, Lock::Name(CLASSES));
    let mut batch = vec![alone, next, Statement::new("DELETE FROM \"class\"")];
    for (position, KeptClass { class, base }) in (0_i64..).zip(classes) {
        let text = |class| serde_json::to_string(class).map_err(|_| DAMAGED);
        let put = "INSERT INTO \"class\"
            (\"name\", \"position\", \"definition\", \"base\", \"revision\")
            VALUES ($1, $2, $3, $4, $5)";
        let put = Statement::new(put).bind(class.classname.as_str()).bind(position);
        let put = put.bind(text(class)?).bind(base.as_ref().map(text).transpose()?);
        batch.push(put.bind(class.revision));
    }
    Ok(batch)
}

/// Checks the definitions of classes. Each has the properties that it inherits.
///
/// # Errors
///
/// [`Failed::Invalid`] with the place of each problem.
pub(crate) fn check(classes: &[Class]) -> Result<(), Error> {
    let problems = Class::check_all(classes);
    if problems.is_empty() { Ok(()) } else { Err(Error::Condition(Failed::Invalid { problems })) }
}
