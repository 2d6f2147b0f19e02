//! Verifies a store: every row of an entity, every reference, what domains added to the classes,
//! every file with its content, every chunk, the ledger against the messages, and the queue.
//!
//! It reads everything once, in parts, and changes nothing. For each content it takes about 40
//! bytes of memory.

use crate::chunk;
use crate::chunk::BlobId;
use crate::chunk::CHUNK_BYTES;
use crate::chunk::CHUNKS_MAX;
use crate::chunk::OBJECT_READ_CHUNKS;
use crate::columns;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::schema;
use crate::sending;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::MessageDirection;
use postroom_model::standing::ARRIVAL;
use std::collections::HashMap;

/// How many rows are read at once.
const AT_ONCE: usize = 256;
/// How many bytes of chunks are read at once.
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// How much was verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Entities of all classes.
    pub entities: u64,
    /// Files, with originals and the parts of them.
    pub files: u64,
    /// Chunks of contents.
    pub chunks: u64,
    /// Chunks in objects that were not read, because this process was told to leave objects alone.
    pub chunks_left_alone: u64,
    /// Receipts of the ledger.
    pub receipts: u64,
    /// How many things are damaged.
    pub damaged: u64,
}

/// A verification that is under way.
struct Verification<'a, F> {
    store: &'a Store,
    /// Gets a line for each damaged thing.
    tell: F,
    verified: Verified,
}

impl Store {
    /// Verifies everything that is stored. `tell` gets a line for whatever is damaged or missing.
    /// Nobody may change the store meanwhile.
    ///
    /// # Errors
    ///
    /// When the store fails otherwise than by damage.
    pub async fn verify(&self, tell: impl FnMut(&str)) -> Result<Verified, Error> {
        let mut verification = Verification { store: self, tell, verified: Verified::default() };
        verification.structure().await?;
        let classes: Vec<Class> = self.classes().iter().map(|class| (**class).clone()).collect();
        for class in &classes {
            verification.entities(class).await?;
            verification.references(class, &classes).await?;
            verification.claims(class).await?;
        }
        verification.added().await?;
        let sizes = verification.chunks().await?;
        verification.files(&sizes).await?;
        verification.ledger().await?;
        verification.queue(&sizes).await?;
        verification.words().await?;
        Ok(verification.verified)
    }
}

impl<F: FnMut(&str)> Verification<'_, F> {
    fn damaged(&mut self, what: &str) {
        self.verified.damaged += 1;
        (self.tell)(what);
    }

    /// Lets the database verify its pages, if it can.
    async fn structure(&mut self) -> Result<(), Error> {
        let Some(sql) = self.store.inner.database.dialect().structure() else {
            return Ok(());
        };
        match self.store.read(Statement::new(sql)).await {
            Ok(rows) => {
                let texts = rows.iter().filter_map(|row| row.text(0));
                for text in texts.filter(|text| *text != "ok") {
                    self.damaged(&format!("the file of the database: {text}"));
                }
                Ok(())
            }
            Err(error @ Error::Damaged { .. }) => {
                self.damaged(&format!("the file of the database: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn entities(&mut self, class: &Class) -> Result<(), Error> {
        let sql = format!("{} WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2", Store::select(class));
        let mut behind = EntityId::nil();
        loop {
            let page = Statement::new(sql.clone()).bind(behind).bind(AT_ONCE as u64);
            let rows = match self.store.read(page.at_most(BYTES_AT_ONCE)).await {
                Ok(rows) => rows,
                Err(Error::Damaged { .. }) => {
                    let name = &class.classname;
                    self.damaged(&format!("{name}: what follows {behind} cannot be read"));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Some(last) = rows.last().and_then(|row| row.id(1)) else {
                return Ok(());
            };
            for row in &rows {
                self.verified.entities += 1;
                if columns::to_entity(class, row).is_err() {
                    let id = row.id(1).map(|id| id.to_string()).unwrap_or_default();
                    self.damaged(&format!("{}/{id}: its row is damaged", class.classname));
                }
            }
            behind = last;
        }
    }

    /// Checks that the targets of required references exist. Other targets may have been deleted.
    async fn references(&mut self, class: &Class, classes: &[Class]) -> Result<(), Error> {
        for property in class.columns() {
            let Some(target) = schema::refers_to(classes, property) else {
                continue;
            };
            let (table, column) = (quoted(&class.table()), quoted(&property.name));
            let sql = format!(
                "SELECT e.\"id\" FROM {table} e WHERE NOT EXISTS
                   (SELECT 1 FROM {} t WHERE t.\"id\" = e.{column})",
                quoted(&target.table())
            );
            for row in self.store.read(Statement::new(sql)).await? {
                let id = row.id(0).map(|id| id.to_string()).unwrap_or_default();
                let (name, property) = (&class.classname, &property.name);
                self.damaged(&format!("{name}/{id}: `{property}` refers to nothing"));
            }
        }
        Ok(())
    }

    /// Checks what domains added to the classes for themselves.
    async fn added(&mut self) -> Result<(), Error> {
        let Self { store, tell, verified } = self;
        let damaged = |what: &str| {
            verified.damaged += 1;
            tell(what);
        };
        store.verify_added(damaged).await
    }

    /// Checks that the entities of work claims exist.
    async fn claims(&mut self, class: &Class) -> Result<(), Error> {
        let sql = format!(
            "SELECT w.\"entity\" FROM \"work claim\" w WHERE w.\"class\" = $1 AND NOT EXISTS
               (SELECT 1 FROM {} t WHERE t.\"id\" = w.\"entity\" AND t.\"domain\" = w.\"domain\")",
            quoted(&class.table())
        );
        let claims = Statement::new(sql).bind(class.classname.as_str());
        for row in self.store.read(claims).await? {
            let id = row.id(0).map(|id| id.to_string()).unwrap_or_default();
            self.damaged(&format!("{}/{id}: a claim of what is missing", class.classname));
        }
        Ok(())
    }

    /// Checks that every chunk matches its checksum and can be decompressed. Returns the size of
    /// each content in bytes.
    async fn chunks(&mut self) -> Result<HashMap<i64, u64>, Error> {
        let sql = "SELECT \"codec\", \"bytes\", \"sum\", \"id\" FROM \"chunk\"
            WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2";
        let (mut sizes, mut behind) = (HashMap::<i64, u64>::new(), -1);
        loop {
            let page = Statement::new(sql).bind(behind).bind(AT_ONCE as u64);
            let rows = self.store.read(page.at_most(BYTES_AT_ONCE)).await?;
            let Some(last) = rows.last().and_then(|row| row.whole(3)) else {
                return Ok(sizes);
            };
            let mut rows = rows;
            while !rows.is_empty() {
                let some = rows.drain(..rows.len().min(OBJECT_READ_CHUNKS)).collect();
                self.some_chunks(some, &mut sizes).await?;
            }
            behind = last;
        }
    }

    async fn some_chunks(
        &mut self,
        rows: Vec<Row>,
        sizes: &mut HashMap<i64, u64>,
    ) -> Result<(), Error> {
        let places: Vec<_> = rows.iter().map(chunk::location).collect();
        let left_alone = self.store.inner.objects.own.is_none();
        let rows = if left_alone { rows } else { self.store.chunks_resolved(rows).await? };
        for (row, place) in rows.iter().zip(places) {
            self.verified.chunks += 1;
            let id = row.whole(3).unwrap_or(0);
            let (blob, number) = (id / CHUNKS_MAX, id % CHUNKS_MAX);
            let plain_bytes = match place.filter(|_| left_alone) {
                Some(place) => {
                    self.verified.chunks_left_alone += 1;
                    Ok(place.plain_bytes)
                }
                None => {
                    chunk::plain(row, self.store.inner.unsummed).map(|bytes| bytes.len() as u64)
                }
            };
            match plain_bytes {
                // If a chunk is missing in between, the size stays too small.
                Ok(plain_bytes) => {
                    let size = sizes.entry(blob).or_default();
                    if *size == number.unsigned_abs() * CHUNK_BYTES as u64 {
                        *size += plain_bytes;
                    }
                }
                Err(_) => {
                    let of = match place {
                        Some(place) => self.of_object(place.blob).await?,
                        None => String::new(),
                    };
                    self.damaged(&format!("content {blob}: chunk {number} is damaged{of}"));
                }
            }
        }
        Ok(())
    }

    /// The words for a damaged chunk that is in an object.
    async fn of_object(&self, blob: BlobId) -> Result<String, Error> {
        let name = self.store.object_named(blob).await?;
        let own = self.store.inner.objects.own.as_ref();
        Ok(match name.zip(own) {
            Some((name, own)) => {
                let place = own.objects.place();
                format!(", or its object is missing: {name} in {place}")
            }
            None => ", or its object is missing".to_owned(),
        })
    }

    /// Checks that every file belongs to an entity, also of a class that is being deleted, and that
    /// its content exists. Files of removed properties are left out, because they are being
    /// deleted.
    async fn files(&mut self, sizes: &HashMap<i64, u64>) -> Result<(), Error> {
        let (present, deleted) = (self.store.classes(), self.store.deleted_classes().await?);
        let tables = present.iter().map(|class| class.table().into_owned());
        let tables = tables.chain(deleted.into_iter().map(|class| class.table));
        let owners = tables.map(|table| {
            let table = quoted(&table);
            format!("EXISTS (SELECT 1 FROM {table} e WHERE e.\"id\" = f.\"entity\")")
        });
        let owners = owners.collect::<Vec<_>>().join(" OR ");
        let sql = format!(
            "SELECT f.\"entity\", f.\"property\", f.\"name\", f.\"blob\", f.\"size\",
               f.\"offset\", f.\"length\", CASE WHEN {owners} THEN 1 ELSE 0 END
             FROM \"file\" f WHERE (f.\"entity\", f.\"property\", f.\"name\") > ($1, $2, $3)
               AND NOT EXISTS (SELECT 1 FROM \"retired\" r
                 WHERE r.\"table\" = 'file' AND r.\"column\" = f.\"property\")
             ORDER BY f.\"entity\", f.\"property\", f.\"name\" LIMIT $4"
        );
        let mut behind = (EntityId::nil(), String::new(), String::new());
        loop {
            let (entity, property, name) = behind.clone();
            let page = Statement::new(sql.clone()).bind(entity).bind(property).bind(name);
            let rows = self.store.read(page.bind(AT_ONCE as u64)).await?;
            let Some(last) = rows.last().and_then(key_of) else {
                return Ok(());
            };
            for row in &rows {
                self.verified.files += 1;
                if let Some(what) = wrong_with(row, sizes) {
                    let (entity, property, name) = key_of(row).unwrap_or_default();
                    self.damaged(&format!("file {entity}/{property}/{name}: {what}"));
                }
            }
            behind = last;
        }
    }

    /// Every received message of a folder that is there has a receipt.
    async fn ledger(&mut self) -> Result<(), Error> {
        let count = self.store.read(Statement::new("SELECT COUNT(*) FROM \"receipt\"")).await?;
        let count = count.first().and_then(|row| row.whole(0)).unwrap_or(0);
        self.verified.receipts = count.unsigned_abs();
        let sql = format!(
            "SELECT m.\"id\" FROM \"email/Messages\" m
             JOIN \"email/Folders\" f ON f.\"id\" = m.\"folder_id\"
             WHERE {} AND m.\"dateTimeSource\" = $1
               AND m.\"id\" NOT IN
                 (SELECT \"message\" FROM \"receipt\" WHERE \"message\" IS NOT NULL)",
            sending::in_direction("m.", MessageDirection::In)
        );
        for row in self.store.read(Statement::new(sql).bind(ARRIVAL)).await? {
            let id = row.id(0).map(|id| id.to_string()).unwrap_or_default();
            self.damaged(&format!("email/Messages/{id}: it was received, and has no receipt"));
        }
        Ok(())
    }

    /// Every delivery has its message and its composed bytes.
    async fn queue(&mut self, sizes: &HashMap<i64, u64>) -> Result<(), Error> {
        let sql = "SELECT d.\"message\", d.\"blob\", d.\"size\",
              CASE WHEN EXISTS (SELECT 1 FROM \"email/Messages\" m WHERE m.\"id\" = d.\"message\")
                THEN 1 ELSE 0 END
            FROM \"delivery\" d";
        for row in self.store.read(Statement::new(sql)).await? {
            let id = row.id(0).map(|id| id.to_string()).unwrap_or_default();
            if row.whole(3) != Some(1) {
                self.damaged(&format!("delivery {id}: its message is missing"));
            } else if row.whole(1).and_then(|blob| sizes.get(&blob).copied())
                != row.whole(2).map(i64::unsigned_abs)
            {
                self.damaged(&format!("delivery {id}: its composed bytes are missing or damaged"));
            }
        }
        Ok(())
    }

    /// No words are kept of a message that is not there.
    async fn words(&mut self) -> Result<(), Error> {
        let sql = "SELECT f.\"id\" FROM \"full text\" f WHERE NOT EXISTS
            (SELECT 1 FROM \"email/Messages\" m WHERE m.\"id\" = f.\"id\")";
        for row in self.store.read(Statement::new(sql)).await? {
            let id = row.id(0).map(|id| id.to_string()).unwrap_or_default();
            self.damaged(&format!("email/Messages/{id}: its words are kept, and it is deleted"));
        }
        Ok(())
    }
}

fn key_of(row: &Row) -> Option<(EntityId, String, String)> {
    Some((row.id(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned()))
}

/// What is wrong with a file. `None`: nothing.
fn wrong_with(row: &Row, sizes: &HashMap<i64, u64>) -> Option<&'static str> {
    let number = |column| row.whole(column).map(i64::unsigned_abs);
    let stored = row.whole(3).and_then(|blob| sizes.get(&blob).copied());
    let needed = match (number(5), number(6)) {
        (Some(offset), Some(length)) => Some(offset.saturating_add(length)),
        _ => number(4),
    };
    if row.whole(7) != Some(1) {
        return Some("it belongs to no entity");
    }
    (stored < needed || needed.is_none()).then_some("its content is missing or damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_testkit::on_both;

    #[on_both]
    async fn files_of_a_removed_class_are_no_damage_while_they_are_deleted() {
        let (_directory, store) = store().await;
        let file = "INSERT INTO \"file\" (\"domain\", \"entity\", \"property\", \"name\",
              \"position\", \"media_type\", \"size\", \"blob\")
            VALUES ('default', $1, 'retired property 7 1', 'a.pdf', 0, 'application/pdf', 1, 99)";
        store.write(vec![Statement::new(file).bind(EntityId::from_u128(7))]).await.unwrap();
        let mut told = vec![];
        let verified = store.verify(|what| told.push(what.to_owned())).await.unwrap();
        assert_eq!((verified.files, verified.damaged), (1, 1));
        assert!(told[0].ends_with("a.pdf: it belongs to no entity"), "{told:?}");
        let retired = "INSERT INTO \"retired\" (\"table\", \"column\")
            VALUES ('file', 'retired property 7 1')";
        store.write(vec![Statement::new(retired)]).await.unwrap();
        let verified = store.verify(|what| panic!("{what}")).await.unwrap();
        assert_eq!((verified.files, verified.damaged), (0, 0));
    }
}
