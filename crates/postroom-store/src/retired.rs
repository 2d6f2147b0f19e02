//! Deletes the data of removed classes and properties, in small steps, so that others can write in
//! between.
//!
//! A row of the table `retired` names a table, a column of a class table, or a property of files.
//! It is written in the transaction that removes the class or property. So the work continues after
//! a crash.

use crate::chunk::BlobId;
use crate::class_index::OWN_INDEX;
use crate::class_index::OwnIndex;
use crate::class_index::own_indexes;
use crate::class_tables::RETIRED;
use crate::class_tables::column_emptied;
use crate::class_tables::is_retired;
use crate::class_tables::renamed;
use crate::class_tables::rows_deleted;
use crate::columns;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::emptying_step::EmptyingStep;
use crate::error::Error;
use crate::failed::Failed;
use crate::foreign_key;
use crate::foreign_key::ForeignKey;
use crate::store::Store;
use postroom_model::EntityId;

/// A column of a table with at most so many rows, and so many bytes in them, is dropped, which may
/// write the table anew. In a greater one it stays, empty. A column with a foreign key is always
/// dropped, because the table to which it refers could not go.
const DROPPED_ROWS_MAX: i64 = 10_000;
const DROPPED_BYTES_MAX: i64 = 8 << 20;

/// How often indexes are tried, because the classes change or others lock the table meanwhile.
const INDEX_ATTEMPTS: usize = 3;

impl Store {
    /// Begins the work that follows a change of the classes: indexes are made, and removed data is
    /// deleted.
    pub(crate) fn classes_settle_soon(&self) {
        let store = Self { lease: None, ..self.clone() };
        tokio::spawn(async move { store.classes_settle().await });
    }

    /// Does the work that follows changes of the classes. If it fails, the next sweep tries again.
    pub(crate) async fn classes_settle(&self) {
        self.definitions_settle().await;
        // Others make indexes meanwhile.
        if let Err(error) = self.deleted_empty().await {
            tracing::error!(
                %error,
                "the entities of a deleted class were not deleted; it is tried again"
            );
        }
    }

    /// The same without waiting for the entities of deleted classes, which may take minutes.
    pub(crate) async fn classes_settle_on(&self) {
        self.definitions_settle().await;
        let is_done = self.deleted_classes().await.is_ok_and(|all| all.is_empty());
        if !is_done {
            self.classes_settle_soon();
        }
    }

    async fn definitions_settle(&self) {
        let _one_settles = self.inner.settling.lock().await;
        if let Err(error) = self.indexes_settle().await {
            tracing::error!(%error, "the indexes of a class were not made; it is tried again");
        }
        let emptied = self.retired_empty().await;
        if let Err(error) = emptied.and(self.values_empty().await) {
            tracing::error!(
                %error,
                "the values of a removed property or class were not deleted; it is tried again"
            );
        }
    }

    /// Whether all indexes exist that the classes ask for, and no removed data is left, also of
    /// deleted classes.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn classes_are_settled(&self) -> Result<bool, Error> {
        let left = "SELECT 1 FROM \"retired\" UNION ALL SELECT 1 FROM \"deleted class\" LIMIT 1";
        let left = Statement::new(left);
        let (_, missing) = self.indexes_differ().await?;
        let is_empty = self.read(left).await?.is_empty() && !self.values_are_left().await?;
        Ok(missing.is_empty() && is_empty && self.keys_kept().await?.is_empty())
    }

    /// The names of indexes that no class asks for, and those that are missing.
    async fn indexes_differ(&self) -> Result<(Vec<String>, Vec<OwnIndex>), Error> {
        let names = Statement::new(self.inner.database.dialect().indexes()).bind(OWN_INDEX);
        let rows = self.read(names).await?;
        let present: Vec<_> = rows.iter().filter_map(|row| row.text(0)).collect();
        let classes = self.classes();
        let dialect = self.inner.database.dialect();
        let wanted = classes.iter().flat_map(|class| own_indexes(dialect, class));
        let wanted: Vec<_> = wanted.collect();
        let is_wanted = |name: &str| wanted.iter().any(|index| index.name == name);
        let unwanted = present.iter().filter(|name| !is_wanted(name));
        let unwanted: Vec<_> = unwanted.map(|name| (*name).to_owned()).collect();
        let is_missing = |index: &OwnIndex| !present.contains(&index.name.as_str());
        Ok((unwanted, wanted.into_iter().filter(is_missing).collect()))
    }

    async fn indexes_settle(&self) -> Result<(), Error> {
        let mut settled = Ok(());
        for _ in 0..INDEX_ATTEMPTS {
            let (unwanted, missing) = self.indexes_differ().await?;
            for name in unwanted {
                let gone = Statement::new(format!("DROP INDEX IF EXISTS {}", quoted(&name)));
                self.write_at_need(vec![gone]).await?;
            }
            settled = Ok(());
            for index in missing {
                let made = self.inner.database.index(&quoted(&index.name), &index.on).await;
                settled = settled.and(made);
            }
            if settled.is_ok() {
                return Ok(());
            }
            // A client may have changed or deleted the class meanwhile.
            self.classes_refresh().await?;
        }
        settled
    }

    /// Deletes removed data. If this fails for one table or column, the others are still emptied.
    async fn retired_empty(&self) -> Result<(), Error> {
        let all = Statement::new("SELECT \"table\", \"column\" FROM \"retired\"");
        let mut emptied = Ok(());
        let rows = self.read(all).await?;
        let name = |row: &Row, column| row.text(column).unwrap_or_default().to_owned();
        let mut names: Vec<_> = rows.iter().map(|row| [name(row, 0), name(row, 1)]).collect();
        for ForeignKey { table, column, .. } in self.keys_kept().await? {
            let kept = [table, column];
            if !names.contains(&kept) {
                names.push(kept);
            }
        }
        for [table, column] in &names {
            let done = match (table.as_str(), column.as_str()) {
                ("file", property) => self.files_emptied(property).await,
                (table, "") => self.table_emptied(table).await,
                (table, column) => self.column_emptied(table, column).await,
            };
            // The class may have been deleted meanwhile, with its table. The next sweep finds
            // nothing to empty.
            let is_gone = done.is_err()
                && columns::of_table(self.inner.database.as_ref(), table).await?.is_empty();
            emptied = emptied.and(if is_gone { Ok(()) } else { done });
        }
        emptied
    }

    /// The foreign keys of removed properties. An earlier version emptied the column of a large
    /// table, and kept it with its key.
    async fn keys_kept(&self) -> Result<Vec<ForeignKey>, Error> {
        let mut keys = foreign_key::all(self.inner.database.as_ref()).await?;
        keys.retain(|key| is_retired(&key.column));
        Ok(keys)
    }

    async fn files_emptied(&self, property: &str) -> Result<(), Error> {
        let mut step = EmptyingStep::first();
        loop {
            let some = "SELECT \"entity\", \"name\", \"blob\" FROM \"file\" WHERE \"property\" = $1
                AND \"property\" NOT IN ('file', 'html', 'inlines', 'rawMessage') LIMIT $2";
            let rows = self.read(Statement::new(some).bind(property).bind(step.begin())).await?;
            let mut batch = vec![];
            for row in &rows {
                const DAMAGED: Error = Error::Damaged { what: "a file" };
                let entity = row.id(0).ok_or(DAMAGED)?;
                let blob = row.whole(2).ok_or(DAMAGED)?;
                let gone = "DELETE FROM \"file\" WHERE \"entity\" = $1 AND \"property\" = $2
                    AND \"name\" = $3";
                let gone = Statement::new(gone).bind(entity).bind(property);
                batch.push(gone.bind(row.text(1).unwrap_or_default()));
                batch.extend(self.blob_delete(BlobId(blob)));
            }
            if rows.is_empty() {
                batch.push(done("file", property));
                return self.write_at_need(batch).await.map(drop);
            }
            self.write_at_need(batch).await?;
            step.end();
        }
    }

    /// Empties the table of a class that an earlier version deleted.
    async fn table_emptied(&self, table: &str) -> Result<(), Error> {
        // A move leaves such a table behind.
        if columns::of_table(self.inner.database.as_ref(), table).await?.is_empty() {
            return self.write_at_need(vec![done(table, "")]).await.map(drop);
        }
        let mut step = EmptyingStep::first();
        loop {
            let deleted = self.write_at_need(vec![rows_deleted(table, step.begin())]).await?;
            step.end();
            if deleted.first().is_none_or(|outcome| outcome.changed == 0) {
                let gone = Statement::new(format!("DROP TABLE IF EXISTS {}", quoted(table)));
                return self.write_at_need(vec![gone, done(table, "")]).await.map(drop);
            }
        }
    }

    async fn column_emptied(&self, table: &str, column: &str) -> Result<(), Error> {
        // Its class may have been deleted since, with its table.
        let present = columns::of_table(self.inner.database.as_ref(), table).await?;
        if present.iter().all(|name| name != column) {
            return self.write_at_need(vec![done(table, column)]).await.map(drop);
        }
        let name = format!("{RETIRED}{}", self.clock().new_id().uuid().simple());
        let mut column = column;
        if !is_retired(column) {
            match self.write_at_need(renamed(table, column, &name).into()).await {
                Ok(_) => column = &name,
                // A new property got its name at the same moment, and this column another.
                Err(Error::Condition(Failed::OtherClasses)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let keys = foreign_key::all(self.inner.database.as_ref()).await?;
        let key = keys.iter().find(|key| key.is_of(table, column));
        let is_lost = match key {
            Some(key) => {
                columns::of_table(self.inner.database.as_ref(), &key.target).await?.is_empty()
            }
            None => false,
        };
        // Without the table of the key, SQLite changes no value of the column, but drops it.
        let count = if is_lost { 0 } else { self.column_unset(table, column).await? };
        let is_small = async || {
            let is_short = count <= DROPPED_ROWS_MAX;
            Ok::<_, Error>(is_short && self.table_bytes(table).await? <= DROPPED_BYTES_MAX)
        };
        let mut batch = vec![done(table, column)];
        if key.is_some() || is_small().await? {
            let gone = format!("ALTER TABLE {} DROP COLUMN {}", quoted(table), quoted(column));
            batch.push(Statement::new(gone));
        }
        self.write_at_need(batch).await.map(drop)
    }

    /// Unsets a column in all rows. Returns how many rows the table has.
    async fn column_unset(&self, table: &str, column: &str) -> Result<i64, Error> {
        let (mut behind, mut count) = (EntityId::nil(), 0_i64);
        let mut step = EmptyingStep::first();
        loop {
            let some = format!(
                "SELECT \"id\" FROM {} WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2",
                quoted(table)
            );
            let rows = self.read(Statement::new(some).bind(behind).bind(step.begin())).await?;
            let Some(last) = rows.last() else {
                return Ok(count);
            };
            count += i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let last = last.id(0).ok_or(Error::Damaged { what: "an entity" })?;
            self.write_at_need(vec![column_emptied(table, column, [behind, last])]).await?;
            behind = last;
            step.end();
        }
    }

    /// About how many bytes the rows of a table have.
    async fn table_bytes(&self, table: &str) -> Result<i64, Error> {
        let columns = columns::of_table(self.inner.database.as_ref(), table).await?;
        let size =
            |name: &String| format!("COALESCE(SUM(LENGTH(CAST({} AS TEXT))), 0)", quoted(name));
        let sizes: Vec<_> = columns.iter().map(size).collect();
        let sql = format!("SELECT {} FROM {}", sizes.join(" + "), quoted(table));
        let rows = self.read(Statement::new(sql).searches(true)).await?;
        Ok(rows.first().and_then(|row| row.whole(0)).unwrap_or(i64::MAX))
    }
}

/// The statement that forgets what is empty.
fn done(table: &str, column: &str) -> Statement {
    let sql = "DELETE FROM \"retired\" WHERE \"table\" = $1 AND \"column\" = $2";
    Statement::new(sql).bind(table).bind(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Answer;
    use crate::database::Database;
    use crate::database::Room;
    use crate::database_front::DatabaseFront;
    use crate::fixture::StoreBehind;
    use crate::fixture::open_behind;
    use crate::objects::ObjectsAccess;
    use postroom_testkit::on_both;
    use std::sync::Arc;

    /// A database in which another process deletes a class while its column is emptied.
    #[derive(Debug)]
    struct Deleting(Arc<dyn Database>);

    impl DatabaseFront for Deleting {
        fn behind(&self) -> &dyn Database {
            self.0.as_ref()
        }

        fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
            if !statement.sql.starts_with("SELECT \"id\" FROM \"crm/Gone\"") {
                return self.0.read(statement);
            }
            let database = Arc::clone(&self.0);
            Box::pin(async move {
                let gone = Statement::new("DROP TABLE \"crm/Gone\"");
                database.write(vec![gone], Room::Free).await?;
                database.read(statement).await
            })
        }
    }

    #[on_both]
    async fn a_table_that_goes_while_a_column_is_emptied_is_no_fault() {
        let front = |database| -> (Arc<dyn Database>, ()) { (Arc::new(Deleting(database)), ()) };
        let StoreBehind { directory: _directory, store, .. } =
            open_behind(front, ObjectsAccess::None).await;
        for sql in [
            "CREATE TABLE \"crm/Gone\" (\"id\" TEXT, \"word\" TEXT)",
            "INSERT INTO \"retired\" (\"table\", \"column\") VALUES ('crm/Gone', 'word')",
        ] {
            store.write(vec![Statement::new(sql)]).await.unwrap();
        }
        store.retired_empty().await.unwrap();
        store.retired_empty().await.unwrap();
        let left = Statement::new("SELECT 1 FROM \"retired\"");
        assert!(store.read(left).await.unwrap().is_empty());
    }
}
