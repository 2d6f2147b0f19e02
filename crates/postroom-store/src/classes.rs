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
//! release knows what clients changed. A class with a parent is kept without what it inherits. What
//! a domain adds to a class for itself is kept apart (`domain class`), and merged when it is read.

use crate::database::ClassRevision;
use crate::database::Database;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::Domain;
use postroom_model::Extension;
use postroom_model::inherit;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::OnceLock;

/// The name of the lock of batches that change entities, and of the batch that changes classes.
pub(crate) const CLASSES: &str = "classes";
/// The table that has what domains add to the classes.
pub(crate) const OF_DOMAINS: &str = "domain class";
const DAMAGED: Error = Error::Damaged { what: "a class" };

/// The classes of one version, as all domains have them or as one has them. Clones share them.
#[derive(Debug, Clone)]
pub struct Classes {
    version: i64,
    list: Arc<[Arc<Class>]>,
    /// The domain that has them so. `None`: they are as the domains have them that add nothing.
    domain: Option<Domain>,
    extended: Arc<Extended>,
}

/// The classes of all domains, and what domains add to them.
#[derive(Debug)]
struct Extended {
    all: Arc<[Arc<Class>]>,
    domains: BTreeMap<Domain, OfDomain>,
}

/// What one domain adds.
#[derive(Debug, Default)]
struct OfDomain {
    extensions: Vec<Extension>,
    /// The classes as the domain has them, once somebody has asked for them.
    list: OnceLock<Arc<[Arc<Class>]>>,
}

/// What one domain adds to one class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptExtension {
    pub domain: Domain,
    pub extension: Extension,
}

impl Classes {
    /// The classes of a version, each without what it inherits, and what domains add to them.
    pub(crate) fn new(version: i64, classes: &[Class], extensions: Vec<KeptExtension>) -> Self {
        let of_version = |class| Arc::new(Class { version, ..class });
        let list: Arc<[_]> = inherit(classes).into_iter().map(of_version).collect();
        let mut domains: BTreeMap<Domain, OfDomain> = BTreeMap::new();
        for KeptExtension { domain, extension } in extensions {
            domains.entry(domain).or_default().extensions.push(extension);
        }
        let extended = Arc::new(Extended { all: Arc::clone(&list), domains });
        Self { version, list, domain: None, extended }
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
    pub fn of(&self, domain: &Domain) -> Self {
        let all = &self.extended.all;
        let (list, domain) = match self.extended.domains.get(domain) {
            Some(of) => (Arc::clone(of.list(domain, all)), Some(domain.clone())),
            None => (Arc::clone(all), None),
        };
        Self { list, domain, ..self.clone() }
    }

    /// The classes as the domains have them that add nothing.
    pub(crate) fn of_all(&self) -> Self {
        Self { list: Arc::clone(&self.extended.all), domain: None, ..self.clone() }
    }

    /// The domain that has them so. `None`: they are as the domains have them that add nothing.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// What domains add to the classes.
    pub(crate) fn extensions(&self) -> Vec<KeptExtension> {
        let of = |(domain, of): (&Domain, &OfDomain)| {
            let domain = domain.clone();
            let kept = |extension: &Extension| KeptExtension {
                domain: domain.clone(),
                extension: extension.clone(),
            };
            of.extensions.iter().map(kept).collect::<Vec<_>>()
        };
        self.extended.domains.iter().flat_map(of).collect()
    }

    /// The next version, with what a domain adds to a class from then on.
    pub(crate) fn extended(&self, domain: &Domain, extension: Extension) -> Self {
        let mut extensions = self.extensions();
        let id = extension.stored.id;
        extensions.retain(|one| one.domain != *domain || one.extension.stored.id != id);
        extensions.push(KeptExtension { domain: domain.clone(), extension });
        Self::new(self.version + 1, &self.of_all().own(), extensions)
    }

    /// Whether a domain added a property of this name, in any case, to a class.
    pub(crate) fn is_added(&self, class: ClassId, name: &str) -> bool {
        let all = self.extended.domains.values().flat_map(|of| &of.extensions);
        let mut own = all.filter(|one| one.stored.id == class).flat_map(Extension::own);
        own.any(|property| property.name.eq_ignore_ascii_case(name))
    }

    /// Whether a property that a domain added refers to a class.
    pub(crate) fn is_referred(&self, class: ClassId) -> bool {
        let all = self.extended.domains.values().flat_map(|of| &of.extensions);
        all.flat_map(Extension::own).any(|property| property.idclass == Some(class))
    }

    /// Each class without what it inherits.
    pub(crate) fn own(&self) -> Vec<Class> {
        self.list.iter().map(|class| own(class)).collect()
    }
}

impl OfDomain {
    fn list(&self, domain: &Domain, all: &Arc<[Arc<Class>]>) -> &Arc<[Arc<Class>]> {
        self.list.get_or_init(|| {
            let class = |class: &Arc<Class>| {
                let extension = self.extensions.iter().find(|one| one.stored.id == class.id);
                match extension {
                    Some(extension) => Arc::new(extension.applied(class, domain)),
                    None => Arc::clone(class),
                }
            };
            all.iter().map(class).collect()
        })
    }
}

impl PartialEq for Classes {
    fn eq(&self, other: &Self) -> bool {
        (self.version, &self.list) == (other.version, &other.list)
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
    let revision = revision("$1", class.domain.as_ref().map(|_| "$3"));
    let is_so = Statement::new(format!("SELECT 1 WHERE {revision} = $2"));
    let is_so = is_so.bind(class.classname.as_str()).bind(class.revision);
    let is_so = is_so.bind_all(class.domain.as_ref().map(|domain| Value::from(domain.as_str())));
    is_so.assert(Failed::OtherClasses, Lock::Shared(CLASSES))
}

/// The present revision of a class as SQL: of the class as all domains have it, or of what a domain
/// has.
pub(crate) fn revision(name: &str, domain: Option<&str>) -> String {
    let all = format!("SELECT \"revision\" FROM \"class\" WHERE \"name\" = {name}");
    let Some(domain) = domain else {
        return format!("({all})");
    };
    format!(
        "(SELECT MAX(\"revision\") FROM ({all} UNION ALL SELECT \"revision\"
            FROM \"domain class\" WHERE \"domain\" = {domain} AND \"name\" = {name}) AS \"both\")"
    )
}

/// What the database has of the classes.
pub(crate) struct KeptClasses {
    pub version: i64,
    pub classes: Vec<KeptClass>,
    pub extensions: Vec<KeptExtension>,
}

/// The classes in the database. `None`: the database is new.
pub(crate) async fn kept(database: &dyn Database) -> Result<Option<KeptClasses>, Error> {
    // One statement, so that version and definitions are those of one moment.
    let sql = "SELECT m.\"number\", c.\"definition\", c.\"base\", c.\"revision\",
          c.\"domain\", c.\"columns\" FROM \"meta\" m
        LEFT JOIN (SELECT '' AS \"domain\", \"name\", \"position\", \"definition\", \"base\",
               \"revision\", NULL AS \"columns\" FROM \"class\"
             UNION ALL SELECT \"domain\", \"name\", 0, \"definition\", \"base\", \"revision\",
               \"columns\" FROM \"domain class\") AS c ON TRUE
        WHERE m.\"name\" = 'classes' ORDER BY c.\"domain\", c.\"position\", c.\"name\"";
    let rows = database.read(Statement::new(sql)).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let version = first.whole(0).ok_or(DAMAGED)?;
    let (mut classes, mut extensions) = (vec![], vec![]);
    for row in rows.iter().filter(|row| row.text(1).is_some()) {
        match row.text(4).unwrap_or_default() {
            "" => classes.push(from_row(row)?),
            domain => extensions.push(extension(domain, row)?),
        }
    }
    Ok(Some(KeptClasses { version, classes, extensions }))
}

fn extension(domain: &str, row: &Row) -> Result<KeptExtension, Error> {
    let domain = Domain::new(domain).map_err(|_| DAMAGED)?;
    let class = |column| row.text(column).and_then(|text| serde_json::from_str::<Class>(text).ok());
    let (mut stored, base) = (class(1).ok_or(DAMAGED)?, class(2).ok_or(DAMAGED)?);
    stored.revision = row.whole(3).ok_or(DAMAGED)?;
    let columns = row.text(5).map(serde_json::from_str::<BTreeMap<String, String>>);
    let mut columns = columns.and_then(Result::ok).ok_or(DAMAGED)?;
    for property in &mut stored.properties {
        property.column = columns.remove(&property.name);
    }
    Ok(KeptExtension { domain, extension: Extension { stored, base } })
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
    Ok(found.map(|KeptClasses { version, classes, extensions }| {
        let classes: Vec<_> = classes.into_iter().map(|kept| kept.class).collect();
        Classes::new(version, &classes, extensions)
    }))
}

/// The statements that begin a change of the classes. The batch fails if their version is not
/// `former` any more.
pub(crate) fn next(former: i64) -> [Statement; 2] {
    let next = "UPDATE \"meta\" SET \"number\" = \"number\" + 1
        WHERE \"name\" = 'classes' AND \"number\" = $1";
    let next = Statement::new(next).bind(former).must_change(Failed::OtherClasses);
    let alone = Statement::new("SELECT 1").assert(Failed::OtherClasses, Lock::Name(CLASSES));
    [alone, next]
}

/// The statements that begin to forget what a domain adds to the classes, if it adds something.
pub(crate) fn forgotten(domain: &Domain) -> [Statement; 2] {
    let next = "UPDATE \"meta\" SET \"number\" = \"number\" + 1 WHERE \"name\" = 'classes'
        AND EXISTS (SELECT 1 FROM \"domain class\" WHERE \"domain\" = $1)";
    let next = Statement::new(next).bind(domain.as_str());
    let alone = Statement::new("SELECT 1").assert(Failed::OtherClasses, Lock::Name(CLASSES));
    [alone, next]
}

/// The statement that keeps what a domain adds to a class. It is kept also if it is nothing any
/// more, so that the revision of the class never falls back to a former one.
pub(crate) fn keep_extension(domain: &Domain, extension: &Extension) -> Result<Statement, Error> {
    let Extension { stored, base } = extension;
    let text = |class| serde_json::to_string(class).map_err(|_| DAMAGED);
    let columns = extension.own().map(|property| (property.name.as_str(), property.column()));
    let columns = serde_json::to_string(&columns.collect::<BTreeMap<_, _>>());
    let put = "INSERT INTO \"domain class\"
        (\"domain\", \"name\", \"definition\", \"base\", \"columns\", \"revision\", \"adds\")
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (\"domain\", \"name\") DO UPDATE SET
          \"definition\" = excluded.\"definition\", \"base\" = excluded.\"base\",
          \"columns\" = excluded.\"columns\", \"revision\" = excluded.\"revision\",
          \"adds\" = excluded.\"adds\"";
    let put = Statement::new(put).bind(domain.as_str()).bind(stored.classname.as_str());
    let put = put.bind(Value::Json(text(stored)?)).bind(Value::Json(text(base)?));
    let put = put.bind(Value::Json(columns.map_err(|_| DAMAGED)?)).bind(stored.revision);
    Ok(put.bind(!extension.is_empty()))
}

/// The statements that make these the classes of the database. The batch fails if their version is
/// not `former` any more.
pub(crate) fn keep(former: i64, classes: &[KeptClass]) -> Result<Vec<Statement>, Error> {
    let mut batch = next(former).to_vec();
    batch.push(Statement::new("DELETE FROM \"class\""));
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
