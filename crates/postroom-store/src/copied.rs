//! Detects that the tools of a server have copied a database, and suspends sending in the copy.
//!
//! ```text
//!   first start:  meta has no place        ─► it is noted: server, database, table
//!   pg_restore:   meta has the former one  ─► the tables are others than it says
//!   next start:   suspended, the new place is noted
//! ```
//! A dump does not know what was sent after it was made. A restored table always has another number
//! than the dumped one, or another database or server around it. So no file beside the database is
//! needed. Replicas of a server keep all three numbers, so a server that takes over from another
//! one suspends nothing.

use crate::database::Database;
use crate::database::Room;
use crate::database::Statement;
use crate::error::Error;
use crate::feed_gap::FeedGap;
use crate::object_id;

/// The row of `meta` that says where the database was when it was last opened.
pub(crate) const PLACE: &str = "place";
/// The row of `meta` that suspends sending. Its number says why.
const SUSPENDED: &str = "sending suspended";
/// The row of `meta` that has the key in a backup.
pub(crate) const KEY: &str = "backup key";
/// How many numbers of changes a restored database skips at least.
const NUMBERS_SKIPPED: i64 = 1 << 40;
/// The next number is at least so many times the time of day in milliseconds, so a later restore
/// skips more. JSON has these numbers exactly until the year 2255.
const NUMBERS_PER_MS: i64 = 1000;
/// What replaces the number of a server that does not tell it.
const UNKNOWN: &str = "-";

/// Why nothing is sent until somebody resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspended {
    /// This is a backup that `postroom restore` has restored.
    Restored,
    /// The tools of the database's server have copied the database.
    Copied,
}

impl Suspended {
    /// What happened, in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "this is a restored backup",
            Self::Copied => "this database is a copy that the tools of its server made",
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Restored => 1,
            Self::Copied => 2,
        }
    }

    /// The query for the number of what suspends sending.
    pub(crate) fn query() -> Statement {
        Statement::new("SELECT \"number\" FROM \"meta\" WHERE \"name\" = $1").bind(SUSPENDED)
    }

    /// The reason that a number of the query means.
    pub(crate) fn of(number: i64) -> Self {
        if number == Self::Copied.number() { Self::Copied } else { Self::Restored }
    }

    /// The statement that suspends sending.
    pub(crate) fn begin(self) -> Statement {
        let put = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ($1, $2)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        Statement::new(put).bind(SUSPENDED).bind(self.number())
    }

    /// The statement that ends it.
    pub(crate) fn end() -> Statement {
        Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(SUSPENDED)
    }
}

/// The statements that make a copy a database of its own. The key is removed from it. Its next
/// changes get numbers that were never given before, so that a reader who had read further than the
/// copy misses none of them. Such a reader is told that it has read other data.
pub(crate) fn own_life(now_ms: i64) -> Vec<Statement> {
    let key = Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(KEY);
    let by_time = now_ms.saturating_mul(NUMBERS_PER_MS);
    let numbers = "UPDATE \"meta\" SET \"number\" =
          CASE WHEN \"number\" + $1 > $2 THEN \"number\" + $1 ELSE $2 END
        WHERE \"name\" = 'seq'";
    vec![key, FeedGap::begin(), Statement::new(numbers).bind(NUMBERS_SKIPPED).bind(by_time)]
}

/// Suspends sending if the database is a copy, and notes where it is now.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn check(database: &dyn Database, now_ms: i64) -> Result<(), Error> {
    let Some(present) = place(database).await? else {
        return Ok(());
    };
    let former = noted(database).await?;
    if former.as_ref() == Some(&present) {
        return Ok(());
    }
    let note = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ($1, $2)
        ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
    let note = Statement::new(note).bind(PLACE).bind(present.as_bytes().to_vec());
    let is_copy = former.as_ref().is_some_and(|former| !is_same(former, &present));
    let mut batch = vec![];
    if let Some(former) = former.as_ref().filter(|_| is_copy) {
        // They use the original. Whoever noted another place meanwhile uses the copy.
        let owners = "DELETE FROM \"owner\" WHERE EXISTS
            (SELECT 1 FROM \"meta\" WHERE \"name\" = $1 AND \"bytes\" = $2)";
        batch.push(Statement::new(owners).bind(PLACE).bind(former.as_bytes().to_vec()));
    }
    batch.push(note);
    if is_copy {
        batch.push(Suspended::Copied.begin());
        batch.extend(own_life(now_ms));
        batch.extend(object_id::own_name());
    }
    database.write(batch, Room::Reserve).await?;
    if is_copy {
        tracing::warn!(
            former,
            present,
            "{}, which does not know what was sent after it was made, so nothing is sent, and \
             nothing is deleted or marked at mail servers. Withdraw the messages in `sending` that \
             were sent since (messageState null) and stop the original, then let the others go: \
             POST /rest/v1/sending:resume",
            Suspended::Copied.as_str()
        );
    }
    Ok(())
}

/// Whether the tools of a server have made this database, and no process has used it since. Then
/// the processes that it knows use the original.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn is_new_copy(database: &dyn Database) -> Result<bool, Error> {
    let former = noted(database).await?;
    Ok(former.zip(place(database).await?).is_some_and(|(former, now)| !is_same(&former, &now)))
}

/// Where the database was when it was last opened.
async fn noted(database: &dyn Database) -> Result<Option<String>, Error> {
    let noted = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = $1";
    let noted = database.read(Statement::new(noted).bind(PLACE)).await?;
    let noted = noted.first().and_then(|row| row.bytes(0));
    Ok(noted.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// The numbers of the server, the database and the table, with slashes between them. `None`: copies
/// of such a database are recognised otherwise.
async fn place(database: &dyn Database) -> Result<Option<String>, Error> {
    let Some(place) = database.dialect().place() else {
        return Ok(None);
    };
    let rows = database.read(Statement::new(place.tells_server)).await?;
    let tells = rows.first().and_then(|row| row.whole(0)) == Some(1);
    let server = match tells {
        true => database.read(Statement::new(place.server)).await?,
        false => vec![],
    };
    let server = server.first().and_then(|row| row.text(0)).unwrap_or(UNKNOWN);
    let within = database.read(Statement::new(place.within)).await?;
    let within = within.first().and_then(|row| row.text(0));
    let within = within.ok_or(Error::Damaged { what: "the place of the database" })?;
    Ok(Some(format!("{server}/{within}")))
}

/// Whether two texts name the same place. A server without a number equals every server.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |place: &str| {
        let (server, within) = place.split_once('/').unwrap_or((UNKNOWN, place));
        (server.to_owned(), within.to_owned())
    };
    let ((server, within), (other_server, other_within)) = (parts(one), parts(other));
    let is_unknown = server == UNKNOWN || other_server == UNKNOWN;
    within == other_within && (is_unknown || server == other_server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_compared_by_what_is_known() {
        #[rustfmt::skip]
        let table = [
            ("7/5/9", "7/5/9", true),
            ("7/5/9", "8/5/9", false),
            ("7/5/9", "7/6/9", false),
            ("7/5/9", "7/5/10", false),
            ("-/5/9", "7/5/9", true),
            ("7/5/9", "-/5/9", true),
            ("-/5/9", "7/5/8", false),
        ];
        for (one, other, want) in table {
            assert_eq!(is_same(one, other), want, "{one} {other}");
        }
    }
}
