//! The clock of the database as a function of SQL. The database has the clock of its process.

use crate::clock::Clock;
use crate::error::Error;
use crate::sqlite::statement;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

/// The time of day, in milliseconds since 1970.
pub(crate) const NOW: &str = "postroom_now()";

/// Gives a connection the function.
///
/// # Errors
///
/// When the database does not take it.
pub(crate) fn teach(connection: &Connection, clock: Clock) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let name = NOW.trim_end_matches("()");
    let defined = connection.create_scalar_function(name, 0, flags, move |_| Ok(clock.now_ms()));
    defined.map_err(statement::failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Time;
    use std::sync::Arc;

    #[test]
    fn the_database_has_the_clock_that_was_handed_in_whenever_it_is_asked() {
        let time = Arc::new(Time::default());
        let connection = Connection::open_in_memory().unwrap();
        teach(&connection, time.clock()).unwrap();
        let mut now = connection.prepare(&format!("SELECT {NOW} + 1")).unwrap();
        for now_ms in [5, 7, 6] {
            time.set(now_ms);
            let said: i64 = now.query_row([], |row| row.get(0)).unwrap();
            assert_eq!(said, now_ms + 1);
        }
    }
}
