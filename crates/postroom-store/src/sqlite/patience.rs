//! The time limit of a connection that reads. SQLite asks from time to time whether to continue,
//! and so do the functions that Postroom adds to it.

use crate::error::Error;
use crate::sqlite::statement;
use crate::sqlite::texts;
use crate::sqlite::texts::IsOver;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How many instructions of SQLite's machine run between two such questions. There are few, because
/// one instruction may read a long text. A question only reads the clock.
const INSTRUCTIONS: i32 = 500;

/// The time at which the present statement is interrupted.
#[derive(Debug)]
pub(crate) struct Patience {
    start: Instant,
    /// Milliseconds since the start.
    until_ms: Arc<AtomicU64>,
}

impl Patience {
    /// Watches a connection. If `ending` is set, all its queries are interrupted.
    pub(crate) fn of(connection: &mut Connection, ending: Arc<AtomicBool>) -> Result<Self, Error> {
        let (start, until_ms) = (Instant::now(), Arc::new(AtomicU64::new(u64::MAX)));
        let until = Arc::clone(&until_ms);
        let is_over: IsOver = Arc::new(move || {
            ms(start.elapsed()) > until.load(Ordering::Relaxed) || ending.load(Ordering::Relaxed)
        });
        texts::teach(connection, &is_over)?;
        let watch = move || is_over();
        connection.progress_handler(INSTRUCTIONS, Some(watch)).map_err(statement::failed)?;
        Ok(Self { start, until_ms })
    }

    /// Notes that a statement begins, and how long it may take. `None`: there is no limit.
    pub(crate) fn begin(&self, within: Option<Duration>) {
        let until = within.map_or(u64::MAX, |within| ms(self.start.elapsed() + within));
        self.until_ms.store(until, Ordering::Relaxed);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::database::Statement;
    use crate::sqlite::Sqlite;
    use crate::sqlite::access::Access;

    #[tokio::test]
    async fn what_never_ends_is_ended_and_the_next_one_is_not() {
        const ENDLESS: &str = "WITH RECURSIVE \"n\" (\"x\") AS \
            (SELECT 1 UNION ALL SELECT \"x\" + 1 FROM \"n\") SELECT COUNT(*) FROM \"n\"";
        const LONG: &str = "WITH RECURSIVE \"n\" (\"x\") AS \
            (SELECT 1 UNION ALL SELECT \"x\" + 1 FROM \"n\" WHERE \"x\" < 100000) \
            SELECT COUNT(*) FROM \"n\"";
        let directory = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&directory.path().join("db"), 1, &Clock::system()).unwrap();
        for _ in 0..2 {
            let endless = Statement::new(ENDLESS).within(Duration::from_millis(20));
            assert!(matches!(database.read(endless).await, Err(Error::TooSlow)));
            let rows = database.read(Statement::new(LONG)).await.unwrap();
            assert_eq!(rows[0].whole(0), Some(100_000));
        }
    }
}
