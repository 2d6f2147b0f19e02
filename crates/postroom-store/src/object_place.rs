//! The place of the objects of a database, which is recorded in the database.
//!
//! A database has an id, with which the names of its objects begin. A restored copy gets another
//! id, so that neither database removes objects of the other.

use crate::clock::Clock;
use crate::columns;
use crate::database::Database;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::in_use;
use crate::object_id::ID;
use crate::objects::Objects;
use crate::objects::ObjectsAccess;

/// The row of `meta` with the place of the objects.
const PLACE: &str = "objects place";

/// The objects of a database that is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectsHeld {
    /// Where they are written and read. `None`: there are none, or they are left alone.
    pub own: Option<OwnObjects>,
    /// Whether the database may have objects.
    pub may_be: bool,
}

/// Where this database writes its objects.
#[derive(Debug, Clone)]
pub(crate) struct OwnObjects {
    pub objects: Objects,
    /// The first part of the names of its objects.
    pub id: String,
}

/// Where the objects of a database are, as `s3://BUCKET/PREFIX`. `None`: it has none.
///
/// # Errors
///
/// When the database does not work.
pub async fn objects_place(database: &dyn Database) -> Result<Option<String>, Error> {
    match columns::of_table(database, "meta").await?.is_empty() {
        true => Ok(None),
        false => text(database, PLACE).await,
    }
}

async fn text(database: &dyn Database, name: &'static str) -> Result<Option<String>, Error> {
    let sql = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = $1";
    let rows = database.read(Statement::new(sql).bind(name)).await?;
    let bytes = rows.first().and_then(|row| row.bytes(0)).map(<[u8]>::to_vec);
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| Error::Damaged { what: "the place of the contents" })
}

/// Records another place, if nothing was ever stored in the former one, and no process uses that.
/// Returns whether it did.
async fn moved_on(database: &dyn Database, former: &str, place: &str) -> Result<bool, Error> {
    let named = "SELECT 1 FROM \"object\" UNION ALL SELECT 1 FROM \"object gone\" LIMIT 1";
    if !database.read(Statement::new(named)).await?.is_empty() {
        return Ok(false);
    }
    if !database.is_first() {
        in_use::unused(database).await?;
    }
    let put = "UPDATE \"meta\" SET \"bytes\" = $2 WHERE \"name\" = $1 AND \"bytes\" = $3
        AND NOT EXISTS (SELECT 1 FROM \"object\") AND NOT EXISTS (SELECT 1 FROM \"object gone\")";
    let bytes = |place: &str| place.as_bytes().to_vec();
    let put = Statement::new(put).bind(PLACE).bind(bytes(place)).bind(bytes(former));
    let put = database.write(vec![put], Room::Reserve).await?;
    if put.first().is_none_or(|put| put.changed == 0) {
        return Ok(false);
    }
    tracing::info!(former, place, "large contents go to another place: the former one has none");
    Ok(true)
}

/// Checks that a process uses the place that the database has recorded. If it has none, the place
/// of this process is recorded.
pub(crate) async fn settle(
    database: &dyn Database,
    access: &ObjectsAccess,
    clock: &Clock,
) -> Result<ObjectsHeld, Error> {
    let known = objects_place(database).await?;
    let objects = match (access, &known) {
        (ObjectsAccess::LeftAlone, _) => {
            return Ok(ObjectsHeld { own: None, may_be: known.is_some() });
        }
        (ObjectsAccess::None, None) => return Ok(ObjectsHeld::default()),
        (ObjectsAccess::None, Some(known)) => {
            return Err(Error::OtherObjects { known: known.clone(), given: None });
        }
        (ObjectsAccess::At(objects), _) => objects,
    };
    let put = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ($1, $2)
        ON CONFLICT (\"name\") DO NOTHING";
    let put = |name: &'static str, text: &str| {
        Statement::new(put).bind(name).bind(text.as_bytes().to_vec())
    };
    // A process that was started without objects would delete contents and leave their objects.
    if known.is_none() && !database.is_first() {
        in_use::unused(database).await?;
    }
    if text(database, ID).await?.is_none() {
        let id = clock.new_id().to_string();
        database.write(vec![put(PLACE, objects.place()), put(ID, &id)], Room::Reserve).await?;
    }
    let known = objects_place(database).await?.unwrap_or_default();
    if known != objects.place() && !moved_on(database, &known, objects.place()).await? {
        return Err(Error::OtherObjects { known, given: Some(objects.place().to_owned()) });
    }
    let id = text(database, ID).await?;
    let id = id.ok_or(Error::Damaged { what: "the place of the contents" })?;
    Ok(ObjectsHeld { own: Some(OwnObjects { objects: objects.clone(), id }), may_be: true })
}
