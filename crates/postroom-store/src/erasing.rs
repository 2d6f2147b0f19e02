//! The steps in which a domain is erased (`crate::erasure`).
//!
//! Each entity is deleted in a batch of its own that also counts it, so the receipt is right
//! whenever a process ends, and others can write in between. A few batches run at once. Each batch
//! locks the rows that it counts in, so that two who erase the same domain count nothing twice. A
//! message that is being sent is deleted by a later call, when its outcome is recorded.
//!
//! Reads and writes `erasure` and `erased`.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::class_deleted;
use crate::classes;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Outcome;
use crate::database::Statement;
use crate::database::Value;
use crate::delete_terms::DeleteTerms;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::integrity;
use crate::living_domain::ERASURE;
use crate::moved_table;
use crate::store::Store;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use serde_json::json;
use std::sync::Arc;

/// How many ids are read together.
const PAGE: u32 = 200;
/// How many entities are deleted at the same time, so that a database can commit them together.
/// Each of these counts in a row of its own, because a row is locked until a batch is committed.
const AT_ONCE: u8 = 8;
/// How many rows are deleted together.
const ROWS_AT_ONCE: i64 = 1_000;
/// The classes that are erased first: nobody logs in, nothing is sent and nothing is told any more.
const FIRST: [&str; 4] = [TOKENS, USERS, WEBHOOKS, ACCOUNTS];
const DAMAGED: Error = Error::Damaged { what: "the erasure of a domain" };

/// The tables without entities that have rows of a domain, and what deletes some of them: those of
/// the domain $1, at most $2.
const OTHERS: [Other; 13] = [
    Other {
        table: "session",
        delete: "DELETE FROM \"session\" WHERE \"hash\" IN
           (SELECT \"hash\" FROM \"session\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "token",
        delete: "DELETE FROM \"token\" WHERE \"hash\" IN
           (SELECT \"hash\" FROM \"token\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "once",
        delete: "DELETE FROM \"once\" WHERE (\"domain\", \"class\", \"key\") IN
           (SELECT \"domain\", \"class\", \"key\" FROM \"once\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "job",
        delete: "DELETE FROM \"job\" WHERE \"id\" IN
           (SELECT \"id\" FROM \"job\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "work claim",
        delete: "DELETE FROM \"work claim\" WHERE (\"class\", \"entity\") IN
           (SELECT \"class\", \"entity\" FROM \"work claim\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "consent",
        delete: "DELETE FROM \"consent\" WHERE (\"account\", \"slot\") IN
           (SELECT \"account\", \"slot\" FROM \"consent\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "device consent",
        delete: "DELETE FROM \"device consent\" WHERE (\"account\", \"slot\") IN
           (SELECT \"account\", \"slot\" FROM \"device consent\" WHERE \"domain\" = $1
            LIMIT $2)",
    },
    Other {
        table: "purge",
        delete: "DELETE FROM \"purge\" WHERE \"account\" IN
           (SELECT \"account\" FROM \"purge\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "counter",
        delete: "DELETE FROM \"counter\" WHERE (\"domain\", \"class\", \"property\") IN
           (SELECT \"domain\", \"class\", \"property\" FROM \"counter\"
            WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: classes::OF_DOMAINS,
        delete: "DELETE FROM \"domain class\" WHERE (\"domain\", \"name\") IN
           (SELECT \"domain\", \"name\" FROM \"domain class\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "retired value",
        delete: "DELETE FROM \"retired value\" WHERE (\"domain\", \"table\", \"column\") IN
           (SELECT \"domain\", \"table\", \"column\" FROM \"retired value\"
            WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "usage",
        delete: "DELETE FROM \"usage\" WHERE \"domain\" IN
           (SELECT \"domain\" FROM \"usage\" WHERE \"domain\" = $1 LIMIT $2)",
    },
    Other {
        table: "data key",
        delete: "DELETE FROM \"data key\" WHERE \"number\" IN
           (SELECT \"number\" FROM \"data key\" WHERE \"domain\" = $1 LIMIT $2)",
    },
];
/// The entities of jobs of a domain.
const JOB_ENTITIES: &str = "DELETE FROM \"job entity\" WHERE (\"job\", \"entity\") IN
   (SELECT e.\"job\", e.\"entity\" FROM \"job\" j JOIN \"job entity\" e ON e.\"job\" = j.\"id\"
    WHERE j.\"domain\" = $1 LIMIT $2)";
/// The tables whose rows go with the entities of a domain.
const WITH_ENTITIES: [&str; 2] = ["file", "delivery"];

/// A table without entities.
struct Other {
    table: &'static str,
    delete: &'static str,
}

/// A domain that is being erased.
struct Erased {
    id: EntityId,
    domain: Domain,
}

impl Erased {
    /// The condition that it goes on, for a batch that counts in its row.
    fn goes_on(&self) -> Statement {
        let sql = "SELECT 1 FROM \"erasure\" WHERE \"id\" = $1 AND \"ended\" IS NULL";
        Statement::new(sql).bind(self.id).assert(Failed::Stale, Lock::row(ERASURE, self.id))
    }

    /// The statements that count an entity which is deleted in the same batch, and the folders that
    /// are deleted with an account. `part`: in which of its rows.
    fn counted(&self, class: &Class, id: EntityId, part: u32) -> Vec<Statement> {
        let count = "ON CONFLICT (\"erasure\", \"class\", \"part\") DO UPDATE SET
            \"entities\" = \"erased\".\"entities\" + excluded.\"entities\",
            \"bytes\" = \"erased\".\"bytes\" + excluded.\"bytes\"";
        let into =
            "INSERT INTO \"erased\" (\"erasure\", \"class\", \"part\", \"entities\", \"bytes\")";
        let own = format!(
            "{into} SELECT $1, $2, $4, 1, CAST(COALESCE(SUM(\"size\"), 0) AS BIGINT)
             FROM \"file\" WHERE \"entity\" = $3 {count}"
        );
        let of = |sql: String, class: &str| {
            Statement::new(sql).bind(self.id).bind(class).bind(id).bind(part)
        };
        let folders = (class.classname == ACCOUNTS).then(|| {
            let folders = format!(
                "{into} SELECT $1, $2, $4, COUNT(*), 0
                 FROM \"email/Folders\" WHERE \"account_id\" = $3 {count}"
            );
            of(folders, FOLDERS)
        });
        [of(own, &class.classname)].into_iter().chain(folders).collect()
    }
}

/// What a pass over the entities did.
#[derive(Default)]
struct Pass {
    /// How many entities it erased.
    gone: u64,
    /// How many it left to a later pass.
    left: u64,
}

impl Store {
    /// Begins to erase what is to be erased.
    pub(crate) fn erase_soon(&self) {
        // Nobody else does the steps, so the audit does not tell of them.
        let store = Self { lease: self.inner.lease(), ..Self::of_inner(Arc::clone(&self.inner)) };
        tokio::spawn(async move { store.erase_on().await });
    }

    /// Goes on with the erasure of domains.
    pub(crate) async fn erase_on(&self) {
        if let Err(error) = self.erase().await {
            tracing::warn!(%error, "a domain was not erased as a whole; it is tried again");
        }
    }

    /// Erases what is left of the domains that are to be erased. What is being sent at this moment
    /// is left to a later call.
    ///
    /// # Errors
    ///
    /// When the store fails; a later call goes on.
    pub async fn erase(&self) -> Result<(), Error> {
        let sql = "SELECT \"id\", \"domain\" FROM \"erasure\" WHERE \"ended\" IS NULL";
        for row in self.read(Statement::new(sql)).await? {
            let domain = row.text(1).and_then(|name| Domain::new(name).ok()).ok_or(DAMAGED)?;
            let erased = Erased { id: row.id(0).ok_or(DAMAGED)?, domain };
            match self.erase_domain(&erased).await {
                // Another process has ended it.
                Ok(()) | Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn erase_domain(&self, erased: &Erased) -> Result<(), Error> {
        loop {
            let Pass { gone, left } = self.erase_entities(erased).await?;
            if left == 0 {
                break;
            }
            // What referred to something is gone by now, so the next pass erases more.
            if gone == 0 {
                let domain = erased.domain.as_str();
                tracing::info!(domain, left, "some of a domain is erased later: it is in use");
                return Ok(());
            }
        }
        // Their deletions are told in the feed, which is erased then.
        self.deleted_empty().await?;
        self.erase_others(erased).await?;
        self.erase_end(erased).await
    }

    /// Erases the entities of all classes.
    async fn erase_entities(&self, erased: &Erased) -> Result<Pass, Error> {
        let classes = self.classes();
        let all: Vec<Class> = classes.iter().map(|class| (**class).clone()).collect();
        let first = FIRST.iter().filter_map(|name| classes.get(name).cloned());
        // Then those that refer to others before those to which they refer.
        let rest = moved_table::in_order(&all).into_iter().rev().map(|moved| moved.class);
        let rest = rest.filter(|class| !FIRST.contains(&class.classname.as_str()));
        let order = first.chain(rest.map(|class| Arc::new(class.clone())));
        let mut pass = Pass::default();
        for class in order {
            self.erase_class(erased, &class, &mut pass).await?;
        }
        Ok(pass)
    }

    /// Erases the entities of a class, the newest first, because they refer to older ones.
    async fn erase_class(
        &self,
        erased: &Erased,
        class: &Class,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        let table = quoted(&class.table());
        let mut before = None;
        loop {
            let which = if before.is_some() { "AND \"id\" < $3" } else { "" };
            let sql = format!(
                "SELECT \"id\" FROM {table} WHERE \"domain\" = $1 {which}
                 ORDER BY \"id\" DESC LIMIT $2"
            );
            let page = Statement::new(sql).bind(erased.domain.as_str()).bind(PAGE);
            let rows = self.read(page.bind_all(before.map(Value::Id))).await?;
            before = rows.last().and_then(|row| row.id(0));
            if before.is_none() {
                return Ok(());
            }
            let parts = (0..u32::from(AT_ONCE)).cycle();
            let ids = rows.iter().filter_map(|row| row.id(0)).zip(parts);
            let ids: Vec<_> =
                ids.map(|(id, part)| self.erase_one(erased, class, id, part)).collect();
            let mut deletions = stream::iter(ids).buffered(usize::from(AT_ONCE));
            while let Some(is_gone) = deletions.next().await {
                match is_gone? {
                    true => pass.gone += 1,
                    false => pass.left += 1,
                }
            }
        }
    }

    /// Erases an entity. `false`: it is being sent, or something that is erased later refers to it.
    async fn erase_one(
        &self,
        erased: &Erased,
        class: &Class,
        id: EntityId,
        part: u32,
    ) -> Result<bool, Error> {
        let place = EntityPlace::new(&erased.domain, class, id);
        let (terms, rules) = (DeleteTerms::default(), erased.counted(class, id, part));
        match self.entity_delete_if(place, terms, rules).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(
                Failed::Sending | Failed::Crowded | Failed::InUse { .. } | Failed::Referred,
            )) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Erases what other tables have of a domain, with its changes in the feed.
    async fn erase_others(&self, erased: &Erased) -> Result<(), Error> {
        let bound = |sql| Statement::new(sql).bind(erased.domain.as_str()).bind(ROWS_AT_ONCE);
        while changed(&self.write_at_need(vec![bound(JOB_ENTITIES)]).await?) > 0 {}
        for Other { table, delete } in OTHERS {
            let count = format!(
                "UPDATE \"erasure\" SET \"rows\" = \"rows\" + (SELECT COUNT(*) FROM
                   (SELECT 1 FROM {} WHERE \"domain\" = $1 LIMIT $2) AS \"some\")
                 WHERE \"id\" = $3",
                quoted(table)
            );
            loop {
                let count = Statement::new(count.clone()).bind(erased.domain.as_str());
                let count = count.bind(ROWS_AT_ONCE).bind(erased.id);
                let mut batch = vec![erased.goes_on(), count];
                if table == classes::OF_DOMAINS {
                    batch.extend(classes::forgotten(&erased.domain));
                }
                batch.push(bound(delete));
                if changed(&self.write_at_need(batch).await?) == 0 {
                    break;
                }
            }
        }
        // The next domain of this name has no part of them.
        self.classes_refresh().await?;
        self.inner.database.ring(Topic::Classes);
        let mut behind = Some(0);
        while let Some(from) = behind {
            let sql =
                "UPDATE \"erasure\" SET \"rows\" = \"rows\" + (SELECT COUNT(*) FROM \"change\"
                WHERE \"seq\" > $2 AND \"seq\" <= $3 AND \"domain\" = $4) WHERE \"id\" = $1";
            let count = vec![erased.goes_on(), Statement::new(sql).bind(erased.id)];
            behind = self.feed_erase(&erased.domain, from, count).await?;
        }
        Ok(())
    }

    /// Takes the domain itself away, if nothing is left of it. Otherwise a later call does it.
    async fn erase_end(&self, erased: &Erased) -> Result<(), Error> {
        let (master, class) = (Domain::master(), self.builtin(DOMAINS)?);
        let Some(entity) = self.entity_get(&master, &class, erased.id).await? else {
            return Err(Error::Condition(Failed::Stale));
        };
        let empty = |table: &str| {
            let table = quoted(table);
            let sql =
                format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE \"domain\" = $1)");
            let empty = Statement::new(sql).bind(erased.domain.as_str());
            empty.assert(Failed::InUse { by: table.clone() }, Lock::Name(ERASURE))
        };
        let classes = self.classes();
        let mut batch = vec![integrity::alone(&master, &class, erased.id), erased.goes_on()];
        batch.extend(classes.iter().map(|class| empty(&class.table())));
        batch.extend(OTHERS.iter().map(|other| empty(other.table)));
        batch.extend(WITH_ENTITIES.into_iter().map(empty));
        let by = "a class that is being deleted".to_owned();
        let lock = Lock::Name(ERASURE);
        batch.push(class_deleted::no_others(&[], Failed::InUse { by }, lock));
        batch.extend(self.records(&master, &class).delete(&entity));
        let ended = "UPDATE \"erasure\" SET \"ended\" = $2 WHERE \"id\" = $1";
        let now = Value::Moment(self.clock().now_ms());
        batch.push(Statement::new(ended).bind(erased.id).bind(now));
        let entry = AuditEntry::of(AuditEvent::Erased).at(&class.classname, erased.id);
        let entry = entry.with(json!({"domain": erased.domain.as_str()}));
        batch.extend(self.audited_for_all(&entry));
        self.write_at_need(batch).await?;
        self.changed(&class, &entity);
        self.inner.database.ring(Topic::Tokens);
        tracing::info!(domain = erased.domain.as_str(), "a domain is erased with all that it had");
        Ok(())
    }
}

/// How many rows the last statement of a batch changed.
fn changed(outcomes: &[Outcome]) -> usize {
    outcomes.last().map_or(0, |outcome| outcome.changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Content;
    use crate::entity::NewEntity;
    use crate::file::NewContent;
    use crate::file::NewFile;
    use crate::fixture::Two;
    use crate::fixture::store;
    use crate::fixture::store_at;
    use postroom_model::Entity;
    use postroom_model::builtin::MESSAGES;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::S3;
    use postroom_testkit::TestDatabase;
    use postroom_testkit::on_both;
    use serde_json::Value as Json;
    use serde_json::json;

    fn acme() -> Domain {
        Domain::new("acme").unwrap()
    }

    fn new(store: &Store, values: &Json) -> NewEntity {
        let values = values.as_object().unwrap().clone();
        NewEntity { entity: Entity::new(store.clock().new_id(), values), files: vec![] }
    }

    async fn domain(store: &Store) -> Entity {
        let (master, class) = (Domain::master(), store.builtin(DOMAINS).unwrap());
        let new = vec![new(store, &json!({"name": "acme"}))];
        store.entity_create(&master, &class, new).await.unwrap().remove(0)
    }

    async fn ended(store: &Store) {
        while store.erasures(None).await.unwrap()[0].ended.is_none() {
            store.erase().await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    // PostgreSQL alone: SQLite runs one batch after the other.
    #[tokio::test]
    async fn a_batch_that_makes_something_is_waited_for() {
        TestDatabase::Postgres.run(waited_for).await;
    }

    async fn waited_for() {
        let (_directory, store) = store().await;
        let entity = domain(&store).await;
        let (acme, class) = (acme(), store.builtin(PROFILES).unwrap());
        let records = store.records(&acme, &class);
        let profile = new(&store, &json!({"name": "p"})).entity;
        let mut made = records.create(store.entity_row(&acme, &class, &profile).unwrap());
        // It ends when somebody waits for it, or after two seconds if nobody does.
        let waits = "DO $$ BEGIN FOR n IN 1..200 LOOP
               PERFORM pg_sleep(0.01);
               EXIT WHEN EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
             END LOOP; END $$";
        made.push(Statement::new(waits));
        let begun = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event = 'PgSleep'";
        let making = {
            let store = store.clone();
            tokio::spawn(async move { store.write(made).await })
        };
        while store.read(Statement::new(begun)).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        store.erasure_begin(&entity).await.unwrap();
        ended(&store).await;
        making.await.unwrap().unwrap();
        assert!(store.entity_get(&acme, &class, profile.id).await.unwrap().is_none());
        let receipt = store.erasures(None).await.unwrap().remove(0);
        assert_eq!(receipt.classes[0].entities, 1);
    }

    #[on_both]
    async fn the_objects_of_a_domain_are_removed_and_no_others() {
        let (directory, s3) = (tempfile::tempdir().unwrap(), S3::start().await.unwrap());
        let store = store_at(directory.path(), &s3, "s3://mail/post").await.unwrap();
        let entity = domain(&store).await;
        let class = store.builtin(MESSAGES).unwrap();
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(20_000).collect();
        for domain in [acme(), Domain::default_domain()] {
            let file = NewFile {
                property: "file".to_owned(),
                name: "a".to_owned(),
                media_type: "a/b".to_owned(),
                content_id: None,
                content: NewContent::Own(Content::prepare(&noise)),
            };
            let made = new(&store, &json!({"messageDirection": "out"}));
            let made = NewEntity { files: vec![file], ..made };
            store.entity_create(&domain, &class, vec![made]).await.unwrap();
        }
        assert_eq!(s3.objects().unwrap().len(), 2);
        store.erasure_begin(&entity).await.unwrap();
        ended(&store).await;
        store.objects_remove().await.unwrap();
        assert_eq!(s3.objects().unwrap().len(), 1);
        let receipt = store.erasures(None).await.unwrap().remove(0);
        assert_eq!((receipt.classes[0].entities, receipt.classes[0].bytes), (1, 20_000));
    }

    #[on_both]
    async fn other_processes_forget_the_keys_of_a_domain() {
        let Two { one, other, .. } = &Two::open().await;
        let (acme, entity) = (acme(), domain(one).await);
        let class = one.builtin(PROFILES).unwrap();
        let secret = || new(one, &json!({"name": "p", "proxyPassword": "hush"}));
        for domain in [&acme, &Domain::default_domain()] {
            one.entity_create(domain, &class, vec![secret()]).await.unwrap();
        }
        let sql = "SELECT \"proxyPassword\" FROM \"email/Profiles\"";
        let rows = other.read(Statement::new(sql)).await.unwrap();
        other.keys_learn(&rows).await.unwrap();
        assert_eq!(other.inner.keys.numbers_stored().len(), 2);
        one.erasure_begin(&entity).await.unwrap();
        assert_eq!(one.inner.keys.numbers_stored().len(), 1);
        other.sweep().await;
        assert_eq!(other.inner.keys.numbers_stored(), one.inner.keys.numbers_stored());
    }
}
