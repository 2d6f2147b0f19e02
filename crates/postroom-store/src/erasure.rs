//! Domains that are erased with all that is their own, and the receipts of that.
//!
//! ```text
//!   erasure_begin: suspended, the key of its secrets is erased, nothing new is made in it
//!      ──► `erasing`, in steps: entities with their files ─► rows of other tables ─► feed
//!      ──► the domain itself goes in the batch that checks that nothing is left: the receipt stays
//! ```
//! A row of the table `erasure` names the domain. It is written with the first step, so the work
//! continues after a crash.
//!
//! Reads and writes `erasure`. Reads `erased`.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::integrity;
use crate::living_domain::ERASURE;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::json;
use std::collections::HashSet;

/// How many erasures are listed, the newest first.
const LISTED: u32 = 1_000;
const DAMAGED: Error = Error::Damaged { what: "the erasure of a domain" };

/// The erasure of a domain, and its receipt when it has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// The id that the entity of the domain had.
    pub id: EntityId,
    /// The domain.
    pub domain: Domain,
    /// What it was called.
    pub title: Option<String>,
    /// The name of the token of whoever asked for it.
    pub by: String,
    /// When it began.
    pub begun: Timestamp,
    /// When nothing was left. `None`: it goes on.
    pub ended: Option<Timestamp>,
    /// What was erased so far, by class.
    pub classes: Vec<ErasedClass>,
    /// How many rows of other tables were erased so far: changes, jobs, keys and claims.
    pub rows: u64,
}

/// What was erased of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedClass {
    /// The class.
    pub class: String,
    /// How many entities.
    pub entities: u64,
    /// How many bytes their files had, with originals.
    pub bytes: u64,
}

impl Store {
    /// The erasures of domains, the newest first: receipts, and those that go on. At most 1,000.
    /// `id`: of this domain alone.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn erasures(&self, id: Option<EntityId>) -> Result<Vec<Erasure>, Error> {
        let which = if id.is_some() { "WHERE \"id\" = $2" } else { "" };
        let some = format!("FROM \"erasure\" {which} ORDER BY \"begun\" DESC, \"id\" LIMIT $1");
        let id = id.map(Value::Id);
        let sql = format!(
            "SELECT \"id\", \"domain\", \"title\", \"by\", \"begun\", \"ended\", \"rows\" {some}"
        );
        let rows = self.read(Statement::new(sql).bind(LISTED).bind_all(id.clone())).await?;
        let mut all = vec![];
        for row in rows {
            all.push(erasure_of(&row).ok_or(DAMAGED)?);
        }
        let sql = format!(
            "SELECT \"erasure\", \"class\", CAST(SUM(\"entities\") AS BIGINT),
               CAST(SUM(\"bytes\") AS BIGINT)
             FROM \"erased\" WHERE \"erasure\" IN (SELECT \"id\" {some})
             GROUP BY \"erasure\", \"class\" HAVING SUM(\"entities\") > 0 ORDER BY \"class\""
        );
        for row in self.read(Statement::new(sql).bind(LISTED).bind_all(id)).await? {
            let class = erased_class(&row).ok_or(DAMAGED)?;
            let of = all.iter_mut().find(|erasure: &&mut Erasure| row.id(0) == Some(erasure.id));
            if let Some(erasure) = of {
                erasure.classes.push(class);
            }
        }
        Ok(all)
    }

    /// Begins to erase a domain with all that is its own. From now on its tokens are refused, and
    /// nothing is made in it. `domain` is its entity as it was read.
    ///
    /// # Errors
    ///
    /// [`Failed::Stale`] if it was changed meanwhile; [`Failed::DomainErased`] if it is being
    /// erased already; when the store fails.
    pub async fn erasure_begin(&self, domain: &Entity) -> Result<(), Error> {
        let (master, class) = (Domain::master(), self.builtin(DOMAINS)?);
        let name = domain.text(names::NAME).ok_or(DAMAGED)?;
        let suspended = Map::from_iter([(names::SUSPENDED.to_owned(), json!(true))]);
        let mut batch = vec![integrity::alone(&master, &class, domain.id)];
        // It waits for all who make something in a domain. Those after it see that it is erased.
        let none = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"erasure\" WHERE \"id\" = $1)";
        let none = Statement::new(none).bind(domain.id);
        batch.push(none.assert(Failed::DomainErased, Lock::Name(ERASURE)));
        batch.extend(self.records(&master, &class).change(domain, &suspended, Map::new())?);
        let begin =
            "INSERT INTO \"erasure\" (\"id\", \"domain\", \"title\", \"by\", \"begun\", \"rows\")
            VALUES ($1, $2, $3, $4, $5, 0)";
        let begin = Statement::new(begin).bind(domain.id).bind(name);
        let begin =
            begin.bind(domain.text(names::TITLE)).bind(self.modifier.id().unwrap_or_default());
        batch.push(begin.bind(Value::Moment(self.clock().now_ms())));
        let key = Statement::new("DELETE FROM \"data key\" WHERE \"domain\" = $1");
        batch.push(key.bind(name));
        let entry = AuditEntry::of(AuditEvent::Erase).at(&class.classname, domain.id);
        batch.extend(self.audited_for_all(&entry.with(json!({"domain": name}))));
        self.write_at_need(batch).await?;
        self.changed(&class, domain);
        self.inner.database.ring(Topic::Tokens);
        self.inner.keys.forget_domain(&Domain::new(name).map_err(|_| DAMAGED)?);
        self.erase_soon();
        Ok(())
    }

    /// Forgets the keys that another process has erased.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn keys_forget(&self) -> Result<(), Error> {
        let mut erased = self.inner.keys.numbers_stored();
        let rows = self.read(Statement::new("SELECT \"number\" FROM \"data key\"")).await?;
        let present: HashSet<_> = rows.iter().filter_map(|row| row.whole(0)).collect();
        erased.retain(|number| !present.contains(&number.0));
        self.inner.keys.forget(&erased);
        Ok(())
    }
}

/// The erasure of a row, without its classes.
fn erasure_of(row: &Row) -> Option<Erasure> {
    Some(Erasure {
        id: row.id(0)?,
        domain: Domain::new(row.text(1)?).ok()?,
        title: row.text(2).map(str::to_owned),
        by: row.text(3)?.to_owned(),
        begun: Timestamp::from_ms(row.whole(4)?),
        ended: row.whole(5).map(Timestamp::from_ms),
        classes: vec![],
        rows: u64::try_from(row.whole(6)?).ok()?,
    })
}

/// A row of the id of an erasure, the class, the entities and the bytes.
fn erased_class(row: &Row) -> Option<ErasedClass> {
    Some(ErasedClass {
        class: row.text(1)?.to_owned(),
        entities: u64::try_from(row.whole(2)?).ok()?,
        bytes: u64::try_from(row.whole(3)?).ok()?,
    })
}
