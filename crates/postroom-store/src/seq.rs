//! The numbers of changes.
//!
//! An entity has the number (`seq`) of its last change, and a row of the feed has the number of its
//! change. A reader that has seen a number never misses a change with a smaller number:
//!
//! - SQLite commits one batch after the other, so the next number is in `meta`.
//! - On PostgreSQL several transactions run at once. A number begins with that of its transaction.
//!   A reader stops before the numbers of transactions that may still run
//!   ([`Dialect::seq_settled`]). So no transaction waits for another, and no number is given twice.
//!   If a transaction with a greater number has changed the entity first, or deleted a former one
//!   of its id, the batch is run again under a new number. So the changes of an entity have
//!   ascending numbers.
//!
//! Each statement that takes a number is built with its place in the batch as its last value,
//! which [`numbered`] puts there when the batch is written.

use crate::batch_change::BatchChange;
use crate::database::Database;
use crate::database::Dialect;
use crate::database::Lock;
use crate::database::Room;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use postroom_model::EntityId;
use std::collections::HashMap;

/// The column with the number, in class tables and in the feed.
pub(crate) const SEQ: &str = "seq";

/// How many changes a batch may have. Their places take 16 bits of the number.
pub(crate) const CHANGES_MAX: i64 = (1 << 16) - 1;

/// The SQL of the last number, where the database counts the numbers that it gives.
const COUNTED: &str = "(SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'seq')";

/// The condition that a reader may go past the number of a row. It begins with `AND`. It is empty
/// if it always holds. A reader without it would miss changes with smaller numbers that become
/// visible later.
pub(crate) fn settled(dialect: &dyn Dialect) -> String {
    let below = dialect.seq_settled();
    below.map(|below| format!(" AND \"{SEQ}\" < {below}")).unwrap_or_default()
}

/// The condition that a new entity, whose id was perhaps used before, has no later change, such as
/// its deletion. It comes behind what stores the entity, because that waits for a deletion that is
/// not committed. If it does not hold, the batch is run again under a later number. `None`: it
/// always holds.
pub(crate) fn is_last(dialect: &dyn Dialect, id: EntityId) -> Option<Statement> {
    dialect.seq_settled()?;
    let own = dialect.seq(&CHANGES_MAX.to_string());
    let sql = format!(
        "SELECT 1 WHERE NOT EXISTS
           (SELECT 1 FROM \"change\" WHERE \"entity\" = $1 AND \"{SEQ}\" > {own})"
    );
    Some(Statement::new(sql).bind(id).assert(Failed::Stale, Lock::Found))
}

/// Numbers the changes of a batch, and adds the statement that advances the database's counter, if
/// it has one. Returns whether the batch has changes.
///
/// # Errors
///
/// [`Failed::Crowded`] for more than [`CHANGES_MAX`] changes.
pub(crate) fn numbered(dialect: &dyn Dialect, batch: &mut Vec<Statement>) -> Result<bool, Error> {
    let mut places: HashMap<BatchChange, i64> = HashMap::new();
    let mut count = 0;
    for statement in batch.iter_mut() {
        let Some(change) = statement.change else {
            continue;
        };
        let place = *places.entry(change).or_insert_with(|| {
            count += 1;
            count
        });
        statement.values.push(Value::Whole(place));
    }
    if count > CHANGES_MAX {
        return Err(Error::Condition(Failed::Crowded));
    }
    if count > 0 {
        let counted = dialect.seq_counted().map(|sql| Statement::new(sql).bind(count));
        batch.extend(counted);
    }
    Ok(count > 0)
}

/// Makes the next numbers greater than all existing ones, because another database may have given
/// those before a move or a restore.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn raise(database: &dyn Database) -> Result<(), Error> {
    let there = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ('seq', 0)
        ON CONFLICT (\"name\") DO NOTHING";
    let last = "(SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\")";
    let batch = vec![Statement::new(there), Statement::new(raised(database, last))];
    database.write(batch, Room::Reserve).await.map(drop)
}

/// Makes the next numbers of a database greater than those that readers of another one, which
/// nobody uses any more, were told.
///
/// # Errors
///
/// When one of them fails.
pub(crate) async fn go_on(from: &dyn Database, to: &dyn Database) -> Result<(), Error> {
    let sql = raised(to, "CAST($1 AS BIGINT)");
    let raise = Statement::new(sql).bind(told(from).await?);
    to.write(vec![raise], Room::Reserve).await.map(drop)
}

fn raised(database: &dyn Database, last: &str) -> String {
    let next = database.dialect().seq_raised(last);
    format!(
        "UPDATE \"meta\" SET \"number\" = {next} WHERE \"name\" = 'seq' AND \"number\" < {next}"
    )
}

/// The number behind which all changes come that become visible from now on. It may be far beyond
/// the last change. Readers are not told it ([`last_settled`]).
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn settled_to(database: &dyn Database) -> Result<i64, Error> {
    let below = database.dialect().seq_settled();
    let last = below.map_or_else(|| COUNTED.to_owned(), |below| format!("{below} - 1"));
    number(database, &last).await
}

/// The greatest number that readers of a database may have been told.
async fn told(database: &dyn Database) -> Result<i64, Error> {
    number(database, &last_given(database.dialect())).await
}

/// The SQL of the greatest number that a reader may be told: all changes that become visible later
/// have greater ones.
///
/// On PostgreSQL, it is not beyond the greatest number that a change has taken. If the server
/// crashes, it gives the numbers of transactions that were not committed a second time, and a
/// reader that was told such a number would miss the changes that have it then. What is visible is
/// durable, and with it all smaller numbers.
pub(crate) fn last_settled(dialect: &dyn Dialect) -> String {
    let Some(below) = dialect.seq_settled() else {
        return COUNTED.to_owned();
    };
    let kept = "SELECT MAX(\"seq\") FROM \"change\"";
    let trimmed = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'feed trimmed'";
    format!("LEAST({below} - 1, GREATEST(COALESCE(({kept}), 0), COALESCE(({trimmed}), 0)))")
}

/// The SQL of the greatest number that a change may have.
pub(crate) fn last_given(dialect: &dyn Dialect) -> String {
    dialect.seq_given().map_or_else(|| COUNTED.to_owned(), |below| format!("{below} - 1"))
}

async fn number(database: &dyn Database, sql: &str) -> Result<i64, Error> {
    let rows = database.read(Statement::new(format!("SELECT {sql}"))).await?;
    let number = rows.first().and_then(|row| row.whole(0));
    number.ok_or(Error::Damaged { what: "the numbers of the feed" })
}
