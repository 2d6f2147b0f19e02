//! Sets up the tables of this version, and checks the key.

use crate::columns;
use crate::columns::quoted;
use crate::database::Database;
use crate::database::Lock;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::MasterKey;
use crate::schema;
use crate::shared_column::with_shared;
use crate::wrapped_key;
use postroom_model::Class;

/// What those lock who change tables.
pub(crate) const TABLES: &str = "tables";

/// The text that is encrypted with the key, to recognise the key.
const KEY_CHECK: &str = "postroom";

/// Reads one row.
pub(crate) async fn read_one(
    database: &dyn Database,
    sql: &'static str,
) -> Result<Option<Row>, Error> {
    Ok(database.read(Statement::new(sql)).await?.into_iter().next())
}

/// Makes the internal tables, or brings them to the present version, and checks the key.
pub(crate) async fn set_up(database: &dyn Database, key: &MasterKey) -> Result<(), Error> {
    database.write(vec![schema::meta_table(database.dialect())], Room::Reserve).await?;
    let begun = version(database).await?;
    while !step(database, key, begun).await? {}
    Ok(())
}

/// Upgrades the rows of class tables that earlier versions wrote.
pub(crate) async fn renew(database: &dyn Database, classes: &[Class]) -> Result<(), Error> {
    received(database).await?;
    references(database, classes).await?;
    match database.write(vec![schema::one_folder_each()], Room::Reserve).await {
        Ok(_) => {}
        // A person must decide which of the two to delete, because both have mail.
        Err(Error::Condition(Failed::OneFolder)) => tracing::warn!(
            "an account has two folders for one mailbox, made by an earlier version: their mail \
             is stored twice. Delete one of the two"
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The version of the tables. 0: there are none.
async fn version(database: &dyn Database) -> Result<i64, Error> {
    let version = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'schema'";
    Ok(read_one(database, version).await?.and_then(|row| row.whole(0)).unwrap_or(0))
}

/// Takes the next step of the schema. `true`: there is no further step. Several processes may do so
/// at the same time, and each step is taken by one of them. `begun` is the version that was found
/// first.
async fn step(database: &dyn Database, key: &MasterKey, begun: i64) -> Result<bool, Error> {
    let found = version(database).await?;
    if found > schema::VERSION {
        check_version(database).await?;
    }
    if found > 0 {
        check_key(database, key, found).await?;
    }
    let Some((version, statements)) =
        schema::steps_from(database.dialect(), found).into_iter().next()
    else {
        return Ok(true);
    };
    let still = "SELECT 1 WHERE $1 =
        COALESCE((SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'schema'), 0)";
    let still = Statement::new(still).bind(found);
    let mut batch = vec![still.assert(Failed::OtherClasses, Lock::Name(TABLES))];
    if found == 0 {
        batch.push(key_check(key));
    }
    batch.extend(statements);
    if begun > 0 && version == schema::DOMAIN_KEYS {
        batch.push(wrapped_key::sealed_by_master());
    }
    let put = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('schema', $1)
        ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
    batch.push(Statement::new(put).bind(version));
    let oldest = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('oldest schema', $1)
        ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
    batch.push(Statement::new(oldest).bind(schema::OLDEST.min(version)));
    none_faster(database.write(batch, Room::Free).await).map(|_| false)
}

/// Checks that this program can use the tables of the present version. A newer program may have
/// changed them while this one runs.
///
/// # Errors
///
/// [`Error::Newer`] if it cannot.
pub(crate) async fn check_version(database: &dyn Database) -> Result<(), Error> {
    let sql =
        "SELECT \"name\", \"number\" FROM \"meta\" WHERE \"name\" IN ('schema', 'oldest schema')";
    let rows = database.read(Statement::new(sql)).await?;
    let number = |name: &str| {
        let row = rows.iter().find(|row| row.text(0) == Some(name));
        row.and_then(|row| row.whole(1))
    };
    let (found, known) = (number("schema").unwrap_or(0), schema::VERSION);
    // Versions before this number existed take no newer tables.
    let oldest = number("oldest schema").unwrap_or(found);
    match found > known && oldest > known {
        true => Err(Error::Newer { found, known }),
        false => Ok(()),
    }
}

/// `false`: another process took the same step first.
fn none_faster<T>(done: Result<T, Error>) -> Result<bool, Error> {
    match done {
        Ok(_) => Ok(true),
        Err(Error::Condition(Failed::OtherClasses)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Marks the received messages of earlier versions as such
/// ([`postroom_model::standing::was_received`]), once. Those versions did it for messages that were
/// decomposed, and not for those that could not be had.
async fn received(database: &dyn Database) -> Result<(), Error> {
    let done = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'received are marked'";
    if read_one(database, done).await?.is_some() {
        return Ok(());
    }
    let noted = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('received are marked', 1)
        ON CONFLICT (\"name\") DO NOTHING";
    let batch = vec![schema::received_are_marked(), Statement::new(noted)];
    database.write(batch, Room::Reserve).await.map(drop)
}

/// Adds the references that the database checks to the tables of an earlier version. If an entity
/// refers to nothing, this is logged, and its table gets no reference. The conditions of batches
/// still enforce the rule for everything that is written from now on.
async fn references(database: &dyn Database, classes: &[Class]) -> Result<(), Error> {
    let dialect = database.dialect();
    for class in classes.iter().filter(|class| class.is_built_in()) {
        let wanted = class.columns().filter_map(|p| Some((p, schema::refers_to(classes, p)?)));
        let kept = Statement::new(dialect.references()).bind(class.table().as_ref());
        let kept = database.read(kept).await?;
        let is_kept = |name: &str| kept.iter().any(|row| row.text(0) == Some(name));
        let wanted: Vec<_> = wanted.filter(|(property, _)| !is_kept(&property.name)).collect();
        let mut orphans = 0;
        for (property, to) in &wanted {
            let (table, name) = (quoted(&class.table()), quoted(&property.name));
            let sql = format!(
                "SELECT COUNT(*) FROM {table} WHERE {name} IS NULL OR {name} NOT IN
                 (SELECT \"id\" FROM {})",
                quoted(&to.table())
            );
            let rows = database.read(Statement::new(sql)).await?;
            let count = rows.first().and_then(|row| row.whole(0)).unwrap_or(0);
            if count > 0 {
                tracing::warn!(
                    count,
                    "entities of {} refer by `{}` to an entity of {} that does not exist; an \
                     earlier version deleted it. Nothing works for them: delete them, or give them \
                     another `{}`",
                    class.classname,
                    property.name,
                    to.classname,
                    property.name
                );
            }
            orphans += count;
        }
        if wanted.is_empty() {
            continue;
        }
        let columns = columns::of_table(database, &class.table()).await?;
        let class = &with_shared(class, &columns);
        let anew = schema::class_table_anew(dialect, classes, class);
        match if orphans > 0 { Ok(vec![]) } else { database.write(anew, Room::Free).await } {
            Ok(done) if !done.is_empty() => {}
            // What refers to this table must stay as it is too, or this one could not follow later.
            Ok(_) | Err(Error::Full) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The statement that notes which master key the database is made with.
pub(crate) fn key_check(key: &MasterKey) -> Statement {
    let put = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ('key', $1)
        ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
    Statement::new(put).bind(key.seal(KEY_CHECK, KEY_CHECK))
}

/// Checks that the master key is one that the database accepts. Before there is a root key, it is
/// the one that the database was made with.
async fn check_key(database: &dyn Database, key: &MasterKey, version: i64) -> Result<(), Error> {
    if version >= schema::DOMAIN_KEYS {
        let known = wrapped_key::masters(database).await?;
        if known.iter().any(|known| known.mark == key.mark()) {
            return Ok(());
        }
        if !known.is_empty() {
            return Err(wrapped_key::differs(key, &known));
        }
    }
    let check = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = 'key'";
    let row = read_one(database, check).await?.ok_or(Error::Damaged { what: "a key check" })?;
    let sealed = row.bytes(0).unwrap_or_default();
    key.open(KEY_CHECK, sealed).map(drop).map_err(|_| Error::KeyDiffers {
        given: key.mark().to_string(),
        known: "the one that its secrets are sealed with".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use crate::Work;
    use crate::fixture::store_in;
    use crate::store::Store;
    use postroom_model::EntityId;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::FOLDERS;
    use postroom_model::builtin::MESSAGES;
    use postroom_model::builtin::PROFILES;
    use postroom_model::standing::TIME_SOURCE;
    use postroom_testkit::on_both;
    use std::path::Path;

    async fn open(directory: &Path) -> Store {
        store_in(directory, Clock::system(), Work::Threads).await
    }

    async fn kept(store: &Store, class: &'static str) -> usize {
        let sql = store.inner.database.dialect().references();
        store.read(Statement::new(sql).bind(class)).await.unwrap().len()
    }

    fn row(class: &str, column: &str, id: u128, to: u128) -> Statement {
        let sql = format!(
            "INSERT INTO \"{class}\" (\"domain\", \"id\", \"version\", \"{column}\")
             VALUES ('default', $1, 1, $2)"
        );
        Statement::new(sql).bind(EntityId::from_u128(id)).bind(EntityId::from_u128(to))
    }

    /// The database as an earlier version made it.
    fn without_references(directory: &Path) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(directory.join(crate::DATABASE_FILE)).unwrap();
        let older = "PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = REPLACE(REPLACE(sql,
              ' REFERENCES \"email/Profiles\" (\"id\")', ''),
              ' REFERENCES \"email/Accounts\" (\"id\")', '');
            PRAGMA writable_schema = RESET";
        database.execute_batch(older).unwrap();
        database
    }

    #[on_both]
    async fn the_database_keeps_what_is_referred_to() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        refer(&store).await;
        for (class, count) in [(PROFILES, 0), (ACCOUNTS, 1), (FOLDERS, 1)] {
            assert_eq!(kept(&store, class).await, count, "{class}");
        }
    }

    /// Three rows that refer to one another, and none that refers to nothing.
    async fn refer(store: &Store) {
        let profile = "INSERT INTO \"email/Profiles\" (\"domain\", \"id\", \"version\")
            VALUES ('default', $1, 1)";
        let profile = Statement::new(profile).bind(EntityId::from_u128(1));
        store.write(vec![profile, row(ACCOUNTS, "profile_id", 2, 1)]).await.unwrap();
        let gone = Statement::new("DELETE FROM \"email/Profiles\"");
        for broken in [gone, row(FOLDERS, "account_id", 3, 9)] {
            let refused = store.write(vec![broken]).await;
            assert!(matches!(refused, Err(Error::Condition(Failed::Referred))), "{refused:?}");
        }
        store.write(vec![row(FOLDERS, "account_id", 3, 2)]).await.unwrap();
    }

    // SQLite alone: there were no such versions with another database.
    #[tokio::test]
    async fn a_database_of_an_earlier_version_keeps_what_is_referred_to_too() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        refer(&store).await;
        store.close().await.unwrap();
        drop(without_references(directory.path()));
        let store = open(directory.path()).await;
        for (class, count) in [(PROFILES, 0), (ACCOUNTS, 1), (FOLDERS, 1)] {
            assert_eq!(kept(&store, class).await, count, "{class}");
        }
        let both = "SELECT (SELECT COUNT(*) FROM \"email/Accounts\")
            + (SELECT COUNT(*) FROM \"email/Folders\" WHERE \"end of row\" IS NOT NULL)";
        let rows = store.read(Statement::new(both)).await.unwrap();
        assert_eq!(rows.first().and_then(|row| row.whole(0)), Some(2));
        let again = store.write(vec![Statement::new("DELETE FROM \"email/Profiles\"")]).await;
        assert!(matches!(again, Err(Error::Condition(Failed::Referred))), "{again:?}");
    }

    // SQLite alone: there were no such versions with another database.
    #[tokio::test]
    async fn what_refers_to_nothing_stops_no_start() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).await.close().await.unwrap();
        let orphan = "INSERT INTO \"email/Accounts\" (\"domain\", \"id\", \"version\",
            \"profile_id\") VALUES ('default', zeroblob(16), 1, x'01')";
        without_references(directory.path()).execute_batch(orphan).unwrap();
        let store = open(directory.path()).await;
        assert_eq!((kept(&store, ACCOUNTS).await, kept(&store, FOLDERS).await), (0, 0));
        let gone = Statement::new("DELETE FROM \"email/Accounts\"").must_change(Failed::Stale);
        store.write(vec![gone]).await.unwrap();
        store.close().await.unwrap();
        let store = open(directory.path()).await;
        assert_eq!((kept(&store, ACCOUNTS).await, kept(&store, FOLDERS).await), (1, 1));
    }

    #[on_both]
    async fn what_an_earlier_version_received_is_marked_as_received() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let messages = [("in", Some(7), None), ("in", None, None), ("in", Some(8), Some("date"))];
        for (id, (direction, uid, source)) in (1..).zip(messages) {
            let sql = "INSERT INTO \"email/Messages\" (\"domain\", \"id\", \"version\",
                \"messageDirection\", \"uid\", \"dateTimeSource\")
                VALUES ('default', $1, 1, $2, $3, $4)";
            let row = Statement::new(sql).bind(EntityId::from_u128(id)).bind(direction);
            store.write(vec![row.bind(uid).bind(source)]).await.unwrap();
        }
        let forget = "DELETE FROM \"meta\" WHERE \"name\" = 'received are marked'";
        store.write(vec![Statement::new(forget)]).await.unwrap();
        store.close().await.unwrap();
        let store = open(directory.path()).await;
        let mut all = store.all(MESSAGES).await.unwrap();
        all.sort_by_key(|(_, message)| message.id);
        let received: Vec<_> = all
            .iter()
            .map(|(_, message)| postroom_model::standing::was_received(message))
            .collect();
        assert_eq!(received, [true, false, true]);
        assert_eq!(all[2].1.text(TIME_SOURCE), Some("date"));
    }
}
