//! The classes as one snapshot, which a request or a batch takes once.
//!
//! The database keeps the definitions and their version. A batch that changes entities asserts the
//! version that it was built with. If another process has changed the classes since, the batch
//! fails with [`Failed::OtherClasses`], nothing of it is done, and this process reads the classes
//! again. So whoever repeats the work builds it on the present ones.

use crate::database::Database;
use crate::database::Lock;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use postroom_model::Class;
use std::ops::Deref;
use std::sync::Arc;

/// What batches lock that change entities, and what replaces the classes.
const CLASSES: &str = "classes";

/// The classes of one version. Clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    version: i64,
    list: Arc<[Arc<Class>]>,
}

impl Classes {
    pub(crate) fn new(version: i64, classes: impl IntoIterator<Item = Class>) -> Self {
        let of_version = |class| Arc::new(Class { version, ..class });
        Self { version, list: classes.into_iter().map(of_version).collect() }
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
}

impl Deref for Classes {
    type Target = [Arc<Class>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

/// Makes a batch fail when the classes have another version.
pub(crate) fn are_of(version: i64) -> Statement {
    let sql = "SELECT 1 FROM \"meta\" WHERE \"name\" = 'classes' AND \"number\" = $1";
    Statement::new(sql).bind(version).assert(Failed::OtherClasses, Lock::Shared(CLASSES))
}

/// The classes as the database has them; `None`: it has none so far.
pub(crate) async fn read(database: &dyn Database) -> Result<Option<Classes>, Error> {
    const DAMAGED: Error = Error::Damaged { what: "a class" };
    // One statement, so that version and definitions are those of one moment.
    let sql = "SELECT m.\"number\", c.\"definition\" FROM \"meta\" m
        LEFT JOIN \"class\" c ON TRUE WHERE m.\"name\" = 'classes' ORDER BY c.\"position\"";
    let rows = database.read(Statement::new(sql)).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let version = first.whole(0).ok_or(DAMAGED)?;
    let mut classes = vec![];
    for text in rows.iter().filter_map(|row| row.text(1)) {
        classes.push(serde_json::from_str(text).map_err(|_| DAMAGED)?);
    }
    Ok(Some(Classes::new(version, classes)))
}

/// The statements that make these the classes of the database, if it still has the version
/// `former`.
fn keep(former: i64, classes: &[Class]) -> Result<Vec<Statement>, Error> {
    let next = "UPDATE \"meta\" SET \"number\" = \"number\" + 1
        WHERE \"name\" = 'classes' AND \"number\" = $1";
    let next = Statement::new(next).bind(former).must_change(Failed::OtherClasses);
    let alone = Statement::new("SELECT 1").assert(Failed::OtherClasses, Lock::Name(CLASSES));
    let mut batch = vec![alone, next, Statement::new("DELETE FROM \"class\"")];
    for (position, class) in (0_i64..).zip(classes) {
        let definition = serde_json::to_string(class);
        let definition = definition.map_err(|_| Error::Damaged { what: "a class" })?;
        let put = "INSERT INTO \"class\" (\"name\", \"position\", \"definition\")
            VALUES ($1, $2, $3)";
        let put = Statement::new(put).bind(class.classname.as_str()).bind(position);
        batch.push(put.bind(definition));
    }
    Ok(batch)
}

/// Makes these the classes of the database in one transaction, with `tables` for their tables, if
/// it still has the version `former`.
///
/// # Errors
///
/// [`Failed::OtherClasses`].
pub(crate) async fn replace(
    database: &dyn Database,
    former: i64,
    classes: &[Class],
    tables: Vec<Statement>,
) -> Result<Classes, Error> {
    let mut batch = keep(former, classes)?;
    batch.extend(tables);
    database.write(batch, Room::Reserve).await?;
    Ok(Classes::new(former + 1, classes.iter().cloned()))
}

/// Refuses definitions that cannot be used.
///
/// # Errors
///
/// [`Failed::Invalid`] with the place of each problem.
pub(crate) fn check(classes: &[Class]) -> Result<(), Error> {
    let problems = Class::check_all(classes);
    if problems.is_empty() { Ok(()) } else { Err(Error::Condition(Failed::Invalid { problems })) }
}

/// The snapshot of a store that is opened with these classes, whose tables are there. The version
/// grows only if the database has others.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn begin(database: &dyn Database, classes: &[Class]) -> Result<Classes, Error> {
    loop {
        let found = match read(database).await? {
            Some(found) => found,
            None => {
                let none = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('classes', 0)
                    ON CONFLICT (\"name\") DO NOTHING";
                database.write(vec![Statement::new(none)], Room::Reserve).await?;
                Classes::new(0, [])
            }
        };
        let given = Classes::new(found.version, classes.iter().cloned());
        if given == found {
            return Ok(found);
        }
        match replace(database, found.version, classes, vec![]).await {
            // Another process was faster: look again.
            Err(Error::Condition(Failed::OtherClasses)) => {}
            done => return done,
        }
    }
}
