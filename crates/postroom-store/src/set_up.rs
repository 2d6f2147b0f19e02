//! Sets up the tables of this version, and checks the key.

use crate::database::Database;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::MasterKey;
use crate::schema;
use postroom_model::Class;

/// The text that is encrypted with the key, to recognise the key.
const KEY_CHECK: &str = "postroom";

/// Reads one row.
pub async fn read_one(database: &dyn Database, sql: &'static str) -> Result<Option<Row>, Error> {
    Ok(database.read(Statement::new(sql)).await?.into_iter().next())
}

/// Makes the tables, or brings them to the present version, and checks the key.
pub async fn set_up(
    database: &dyn Database,
    key: &MasterKey,
    classes: &[Class],
) -> Result<(), Error> {
    let dialect = database.dialect();
    database.write(vec![schema::meta_table(dialect)], Room::Reserve).await?;
    let version = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'schema'";
    let found = read_one(database, version).await?.and_then(|row| row.whole(0)).unwrap_or(0);
    if found > schema::VERSION {
        return Err(Error::Newer { found, known: schema::VERSION });
    }
    if found > 0 {
        check_key(database, key).await?;
    } else {
        let check = key.seal(KEY_CHECK, KEY_CHECK);
        let put = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ('key', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
        database.write(vec![Statement::new(put).bind(check)], Room::Free).await?;
    }
    for (version, mut step) in schema::steps_from(dialect, found) {
        let put = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('schema', $1)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        step.push(Statement::new(put).bind(version));
        database.write(step, Room::Free).await?;
    }
    for class in classes {
        let columns = Statement::new(dialect.columns()).bind(class.classname.as_str());
        let rows = database.read(columns).await?;
        let present: Vec<_> =
            rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect();
        database.write(schema::class_table(dialect, class, &present), Room::Reserve).await?;
    }
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

async fn check_key(database: &dyn Database, key: &MasterKey) -> Result<(), Error> {
    let check = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = 'key'";
    let row = read_one(database, check).await?.ok_or(Error::Damaged { what: "a key check" })?;
    let sealed = row.bytes(0).unwrap_or_default();
    key.open(KEY_CHECK, sealed).map(drop).map_err(|_| Error::KeyDiffers)
}
