//! What became of former classes and properties: it is emptied in small steps, so that others can
//! write in between, and then given up.
//!
//! A row of the table `retired` names a table, a column of a class table, or a property of files.
//! It is written in the transaction that takes the class or property away. So after a crash the
//! work goes on.

use crate::chunk;
use crate::chunk::BlobId;
use crate::class_index::OWN_INDEX;
use crate::class_index::OwnIndex;
use crate::class_index::own_indexes;
use crate::class_tables::column_emptied;
use crate::class_tables::rows_deleted;
use crate::columns;
use crate::columns::quoted;
use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use postroom_model::EntityId;

/// How many rows are emptied at once.
const STEP: u32 = 500;
/// A column of a table with at most so many rows is dropped, which may write the table anew. In a
/// greater one it stays, empty.
const DROPPED_ROWS_MAX: i64 = 10_000;

impl Store {
    /// Begins the work that a change of the classes leaves: indexes, and what is to be emptied.
    pub(crate) fn classes_settle_soon(&self) {
        let store = Self { lease: None, ..self.clone() };
        tokio::spawn(async move { store.classes_settle().await });
    }

    /// Does what changes of the classes left to do. What fails is done by the next sweep.
    pub(crate) async fn classes_settle(&self) {
        let _one_settles = self.inner.settling.lock().await;
        if let Err(error) = self.indexes_settle().await {
            tracing::error!(%error, "the indexes of a class were not made; it is tried again");
        }
        if let Err(error) = self.retired_empty().await {
            tracing::error!(
                %error,
                "the values of a removed property or class were not deleted; it is tried again"
            );
        }
    }

    /// Whether the indexes are there that the classes ask for, and nothing is left to be emptied.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn classes_are_settled(&self) -> Result<bool, Error> {
        let left = Statement::new("SELECT 1 FROM \"retired\" LIMIT 1");
        let (_, missing) = self.indexes_differ().await?;
        Ok(missing.is_empty() && self.read(left).await?.is_empty())
    }

    /// The names of indexes that no class asks for, and those that are missing.
    async fn indexes_differ(&self) -> Result<(Vec<String>, Vec<OwnIndex>), Error> {
        let names = Statement::new(self.inner.database.dialect().indexes()).bind(OWN_INDEX);
        let rows = self.read(names).await?;
        let present: Vec<_> = rows.iter().filter_map(|row| row.text(0)).collect();
        let classes = self.classes();
        let wanted: Vec<_> = classes.iter().flat_map(|class| own_indexes(class)).collect();
        let is_wanted = |name: &str| wanted.iter().any(|index| index.name == name);
        let unwanted = present.iter().filter(|name| !is_wanted(name));
        let unwanted: Vec<_> = unwanted.map(|name| (*name).to_owned()).collect();
        let is_missing = |index: &OwnIndex| !present.contains(&index.name.as_str());
        Ok((unwanted, wanted.into_iter().filter(is_missing).collect()))
    }

    async fn indexes_settle(&self) -> Result<(), Error> {
        let (unwanted, missing) = self.indexes_differ().await?;
        for name in unwanted {
            let gone = Statement::new(format!("DROP INDEX IF EXISTS {}", quoted(&name)));
            self.write_at_need(vec![gone]).await?;
        }
        for index in missing {
            self.inner.database.index(&quoted(&index.name), &index.on).await?;
        }
        Ok(())
    }

    /// Empties what is retired. What fails does not keep the rest from being emptied.
    async fn retired_empty(&self) -> Result<(), Error> {
        let all = Statement::new("SELECT \"table\", \"column\" FROM \"retired\"");
        let mut emptied = Ok(());
        for row in self.read(all).await? {
            let name = |column| row.text(column).unwrap_or_default();
            let done = match (name(0), name(1)) {
                ("file", property) => self.files_emptied(property).await,
                (table, "") => self.table_emptied(table).await,
                (table, column) => self.column_emptied(table, column).await,
            };
            emptied = emptied.and(done);
        }
        emptied
    }

    async fn files_emptied(&self, property: &str) -> Result<(), Error> {
        loop {
            let some = "SELECT \"entity\", \"name\", \"blob\" FROM \"file\" WHERE \"property\" = $1
                AND \"property\" NOT IN ('file', 'html', 'inlines', 'rawMessage') LIMIT $2";
            let rows = self.read(Statement::new(some).bind(property).bind(STEP)).await?;
            let mut batch = vec![];
            for row in &rows {
                const DAMAGED: Error = Error::Damaged { what: "a file" };
                let entity = row.id(0).ok_or(DAMAGED)?;
                let blob = row.whole(2).ok_or(DAMAGED)?;
                let gone = "DELETE FROM \"file\" WHERE \"entity\" = $1 AND \"property\" = $2
                    AND \"name\" = $3";
                let gone = Statement::new(gone).bind(entity).bind(property);
                batch.push(gone.bind(row.text(1).unwrap_or_default()));
                batch.push(chunk::delete(BlobId(blob)));
            }
            if rows.is_empty() {
                batch.push(done("file", property));
                return self.write_at_need(batch).await.map(drop);
            }
            self.write_at_need(batch).await?;
        }
    }

    async fn table_emptied(&self, table: &str) -> Result<(), Error> {
        // A move leaves such a table behind.
        if columns::of_table(self.inner.database.as_ref(), table).await?.is_empty() {
            return self.write_at_need(vec![done(table, "")]).await.map(drop);
        }
        loop {
            let deleted = self.write_at_need(vec![rows_deleted(table, STEP)]).await?;
            if deleted.first().is_none_or(|outcome| outcome.changed == 0) {
                let gone = Statement::new(format!("DROP TABLE IF EXISTS {}", quoted(table)));
                return self.write_at_need(vec![gone, done(table, "")]).await.map(drop);
            }
        }
    }

    async fn column_emptied(&self, table: &str, column: &str) -> Result<(), Error> {
        let (mut behind, mut count) = (EntityId::nil(), 0_i64);
        // Its class may have been deleted since, with its table.
        let present = columns::of_table(self.inner.database.as_ref(), table).await?;
        if present.iter().all(|name| name != column) {
            return self.write_at_need(vec![done(table, column)]).await.map(drop);
        }
        loop {
            let some = format!(
                "SELECT \"id\" FROM {} WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2",
                quoted(table)
            );
            let rows = self.read(Statement::new(some).bind(behind).bind(STEP)).await?;
            let Some(last) = rows.last() else {
                break;
            };
            count += i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let last = last.id(0).ok_or(Error::Damaged { what: "an entity" })?;
            self.write_at_need(vec![column_emptied(table, column, [behind, last])]).await?;
            behind = last;
        }
        let mut batch = vec![done(table, column)];
        if count <= DROPPED_ROWS_MAX {
            let gone = format!("ALTER TABLE {} DROP COLUMN {}", quoted(table), quoted(column));
            batch.push(Statement::new(gone));
        }
        self.write_at_need(batch).await.map(drop)
    }
}

/// The statement that forgets what is empty.
fn done(table: &str, column: &str) -> Statement {
    let sql = "DELETE FROM \"retired\" WHERE \"table\" = $1 AND \"column\" = $2";
    Statement::new(sql).bind(table).bind(column)
}
