//! The rows of objects, and their removal.
//!
//! ```text
//!   unfinished.object ──► object ──► object gone ──► removed from the bucket
//!        │  written first   │ names it    │ in the batch that deletes what named it
//!        └──────────────────┴─────────────┘
//! ```
//! From before its first byte is written until it is removed, the name of an object is in one of
//! these tables. So if the bucket lists an object, and a later look at the tables does not find its
//! name, nobody is writing it.

use crate::chunk;
use crate::chunk::BlobId;
use crate::chunk::OBJECT_READ_BYTES;
use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::object_place::objects_place;
use crate::objects::ListedObject;
use crate::objects::Object;
use crate::objects_state::ObjectsTrouble;
use crate::store::Store;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

/// How many objects are removed, or compared with rows, in one step.
const AT_ONCE: usize = 200;
/// How many requests to S3 run beside each other.
pub(crate) const SIDE_BY_SIDE: usize = 8;

/// The statement that records a complete object.
pub(crate) fn insert(blob: BlobId, object: &Object) -> Statement {
    let sql = "INSERT INTO \"object\" (\"blob\", \"name\", \"length\", \"hash\")
        VALUES ($1, $2, $3, $4)";
    Statement::new(sql)
        .bind(blob.0)
        .bind(object.name.as_str())
        .bind(i64::try_from(object.length_bytes).unwrap_or(i64::MAX))
        .bind(object.hash.to_vec())
}

/// The statement that lists the object of an unfinished blob for removal.
pub(crate) fn unfinished_gone(blob: BlobId) -> Statement {
    let sql = "INSERT INTO \"object gone\" (\"name\")
        SELECT \"object\" FROM \"unfinished\" WHERE \"blob\" = $1 AND \"object\" IS NOT NULL";
    Statement::new(sql).bind(blob.0)
}

/// The objects of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptObjects {
    /// Where they are, as `s3://BUCKET/PREFIX`.
    pub place: String,
    /// How many there are.
    pub count: u64,
    /// How many bytes they have there.
    pub size_bytes: u64,
}

impl Store {
    /// The objects of this database. `None`: it has no place for objects.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn objects_kept(&self) -> Result<Option<KeptObjects>, Error> {
        let Some(place) = objects_place(self.inner.database.as_ref()).await? else {
            return Ok(None);
        };
        let all = "SELECT COUNT(*), CAST(COALESCE(SUM(\"length\"), 0) AS BIGINT)
            FROM \"object\"";
        let rows = self.read(Statement::new(all)).await?;
        let number = |at| rows.first().and_then(|row| row.whole(at)).unwrap_or(0).unsigned_abs();
        Ok(Some(KeptObjects { place, count: number(0), size_bytes: number(1) }))
    }

    /// The statements that delete a blob, and list its object for removal.
    pub(crate) fn blob_delete(&self, blob: BlobId) -> Vec<Statement> {
        let chunks = chunk::delete(blob);
        if !self.inner.objects.may_be {
            return vec![chunks];
        }
        let gone = "INSERT INTO \"object gone\" (\"name\")
            SELECT \"name\" FROM \"object\" WHERE \"blob\" = $1";
        let row = "DELETE FROM \"object\" WHERE \"blob\" = $1";
        vec![Statement::new(gone).bind(blob.0), Statement::new(row).bind(blob.0), chunks]
    }

    /// A new name for the object of a blob.
    pub(crate) fn object_name(&self, id: &str, blob: BlobId) -> String {
        format!("{id}/{}/{}-{}", self.inner.owner, blob.0, self.clock().new_id())
    }

    /// Reads the bytes of chunks that are in objects. If a part of an object is missing, it is
    /// missing in the chunks too, so that their checksums do not match. This takes at most
    /// [`OBJECT_READ_BYTES`] of memory for each 16 rows.
    pub(crate) async fn chunks_resolved(&self, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
        if !rows.iter().any(|row| chunk::location(row).is_some()) {
            return Ok(rows);
        }
        let mut resolved = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let Some(first) = chunk::location(&row) else {
                resolved.push(row);
                continue;
            };
            let mut group = vec![row];
            let mut end = first.end;
            while let Some(next) = rows.peek().and_then(chunk::location) {
                let follows = next.blob == first.blob && next.start == end;
                if !follows || next.end - first.start > OBJECT_READ_BYTES {
                    break;
                }
                end = next.end;
                group.extend(rows.next());
            }
            let bytes = self.object_bytes(first.blob, first.start..end).await?.unwrap_or_default();
            resolved.extend(group.into_iter().map(|row| chunk::resolved(row, first.start, &bytes)));
        }
        Ok(resolved)
    }

    async fn object_bytes(
        &self,
        blob: BlobId,
        range: std::ops::Range<u64>,
    ) -> Result<Option<bytes::Bytes>, Error> {
        let Some(name) = self.object_named(blob).await? else {
            return Ok(None);
        };
        match &self.inner.objects.own {
            Some(own) => Box::pin(own.objects.read(&name, range)).await,
            None => Err(Error::ObjectsLeftAlone),
        }
    }

    /// The name of the object of a blob. `None`: it has none.
    pub(crate) async fn object_named(&self, blob: BlobId) -> Result<Option<String>, Error> {
        let sql = "SELECT \"name\" FROM \"object\" WHERE \"blob\" = $1";
        let found = self.read(Statement::new(sql).bind(blob.0)).await?;
        Ok(found.first().and_then(|row| row.text(0)).map(str::to_owned))
    }

    /// Looks whether the place of objects can be reached and is there. Where there is none, nothing
    /// is wrong.
    ///
    /// # Errors
    ///
    /// What S3 answers, in words.
    pub async fn objects_reached(&self) -> Result<(), Error> {
        let Some(own) = &self.inner.objects.own else {
            return Ok(());
        };
        let mut listed = pin!(own.objects.list(&own.id));
        listed.next().await.transpose().map(drop)
    }

    /// What is wrong with the place of large contents. `None`: nothing is known to be, or there is
    /// no such place.
    #[must_use]
    pub fn objects_trouble(&self) -> Option<ObjectsTrouble> {
        self.inner.objects.own.as_ref()?.objects.trouble()
    }

    /// Removes the objects that are listed for removal, in steps. Only the leader does so. Objects
    /// with the id of another database are only taken off the list: this database is a copy, and
    /// the other one may still have these objects.
    pub(crate) async fn objects_remove(&self) -> Result<(), Error> {
        let Some(own) = self.inner.objects.own.as_ref().filter(|_| self.leads()) else {
            return Ok(());
        };
        let own_start = format!("{}/", own.id);
        loop {
            let some = "SELECT \"name\" FROM \"object gone\" ORDER BY \"name\" LIMIT $1";
            let rows = self.read(Statement::new(some).bind(AT_ONCE as u64)).await?;
            let names: Vec<&str> = rows.iter().filter_map(|row| row.text(0)).collect();
            if names.is_empty() {
                return Ok(());
            }
            let mut removals = vec![];
            for name in names.iter().filter(|name| name.starts_with(&own_start)) {
                removals.push(own.objects.remove(name));
            }
            futures_util::stream::iter(removals)
                .buffer_unordered(SIDE_BY_SIDE)
                .try_collect::<()>()
                .await?;
            let done = format!(
                "DELETE FROM \"object gone\" WHERE \"name\" IN ({})",
                places(1, names.len())
            );
            let done = Statement::new(done).bind_all(names.iter().map(|name| (*name).into()));
            self.write_at_need(vec![done]).await?;
        }
    }

    /// Lists for removal the objects of the bucket that no row names, if they are older than
    /// `older` and their writer has ended. Such an object is left if a process ended while it
    /// wrote, and S3 completed the object later.
    pub(crate) async fn objects_sweep(&self, older: Duration) -> Result<(), Error> {
        let Some(own) = self.inner.objects.own.as_ref().filter(|_| self.leads()) else {
            return Ok(());
        };
        let older_ms = i64::try_from(older.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.expiry_now_ms().await?.saturating_sub(older_ms);
        let old = own
            .objects
            .list(&own.id)
            .try_filter(|found| std::future::ready(found.written_ms <= before_ms));
        let mut parts = std::pin::pin!(old.try_chunks(AT_ONCE));
        while let Some(part) = parts.next().await {
            let part = part.map_err(|stopped| stopped.1)?;
            self.objects_unnamed(&part).await?;
        }
        Ok(())
    }

    /// Lists for removal the objects of a part of the bucket's listing that no row names.
    async fn objects_unnamed(&self, part: &[ListedObject]) -> Result<(), Error> {
        let places = places(1, part.len());
        let named = format!(
            "SELECT \"name\" FROM \"object\" WHERE \"name\" IN ({places})
             UNION ALL SELECT \"object\" FROM \"unfinished\" WHERE \"object\" IN ({places})
             UNION ALL SELECT \"name\" FROM \"object gone\" WHERE \"name\" IN ({places})"
        );
        let names = part.iter().map(|found| found.name.as_str().into());
        let named = self.read(Statement::new(named).bind_all(names)).await?;
        let named: HashSet<&str> = named.iter().filter_map(|row| row.text(0)).collect();
        let owners = self.read(Statement::new("SELECT \"id\" FROM \"owner\"")).await?;
        let owners: HashSet<i64> = owners.iter().filter_map(|row| row.whole(0)).collect();
        let has_ended = |name: &str| {
            let owner = name.split('/').nth(1).and_then(|owner| owner.parse().ok());
            owner.is_some_and(|owner| !owners.contains(&owner))
        };
        let unnamed = part.iter().map(|found| found.name.as_str());
        let unnamed = unnamed.filter(|name| !named.contains(name) && has_ended(name));
        let sql = "INSERT INTO \"object gone\" (\"name\") VALUES ($1)
            ON CONFLICT (\"name\") DO NOTHING";
        let gone: Vec<_> = unnamed.map(|name| Statement::new(sql).bind(name)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        tracing::info!(count = gone.len(), "objects that no content refers to are removed");
        self.write_at_need(gone).await.map(drop)
    }

    /// Whether this store may act for its group.
    fn leads(&self) -> bool {
        self.lease.is_some() && !self.is_deposed()
    }
}

#[cfg(test)]
mod tests;
