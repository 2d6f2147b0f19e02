//! The write-ahead log: when it is written back, and how a copy without it is recognised.
//!
//! Most new data is in `postroom.db-wal` and not yet in `postroom.db`. A copy of `postroom.db`
//! alone looks like an intact database that is older or empty. So the row `wal` of `meta` has a
//! number that is odd in the file as long as the log has more, and even for a reader of both:
//!
//! ```text
//!   commit 2n+1 ─► checkpoint: the file holds 2n+1 ─► commit 2n+2, first in the new log ─► …
//! ```
//! A clean stop leaves an even number in the file, and no log. So does the backup command of
//! SQLite. Each checkpoint has numbers of its own, even if it does not complete because the disk is
//! full or somebody reads. A new log begins only after a complete checkpoint, and the row `wal
//! whole` has the number of the last complete one. So a log belongs to a file if the number in the
//! file is between `wal whole` and `wal`, as they are in the log.

use crate::error::Error;
use crate::sqlite::statement;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;

/// The row of `meta` with the number.
const NUMBER: &str = "wal";
/// The row of `meta` with the number of the last complete checkpoint.
const WHOLE: &str = "wal whole";
/// The log is written back at the latest when it has so many bytes of pages.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A reserve that lacks no more than this part has room for a log of [`BYTES_MAX`].
const PART_LACKING: u64 = 64;
/// After an incomplete checkpoint, the next one follows at the latest after this part of the pages.
const PART_AGAIN: i32 = 2;
/// The log is long when no more than this part of the pages is left until it is too long.
const PART_LEFT: i32 = 4;
/// How many free pages are given back in one transaction, which may move as many into the log.
const STEP_PAGES: i32 = 256;
/// The bytes that the log adds to each page.
const HEADER_BYTES: u64 = 24;

/// How much a checkpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// Writes back the pages that no reader prevents from being written.
    Passive,
    /// Also empties the log, if nobody reads it.
    Truncate,
}

/// What the writer knows of the log.
#[derive(Debug)]
pub(super) struct Wal {
    /// The number that was committed last. It is even.
    number: i64,
    /// The number of the last complete checkpoint. The file has this number or a later one.
    whole: i64,
    /// How many bytes a page has.
    page_bytes: u64,
    /// The log is too long when it has so many pages.
    at_pages: i32,
    /// The same after a complete checkpoint.
    pages_max: i32,
    /// How many pages the log had after the last commit.
    logged: Arc<AtomicI32>,
    /// How many pages it had at most since it was emptied. Its file still has them.
    longest: Arc<AtomicI32>,
}

/// Refuses a database whose log is missing, before SQLite makes a new one.
///
/// # Errors
///
/// [`Error::WalMissing`].
pub(super) fn before_open(file: &Path) -> Result<Option<i64>, Error> {
    // First, because the number of the file may change as long as there is a log.
    let has_log = log_of(file).exists();
    let number = number_in_file(file);
    match number {
        Some(number) if number % 2 != 0 && !has_log => {
            Err(Error::WalMissing { path: file.to_owned() })
        }
        number => Ok(number),
    }
}

/// The file of the log.
fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// The number in the file itself, whatever the log says. `None`: it is not known, because a
/// version without numbers wrote it, or because half of a log is in it. 0: the file has no table.
fn number_in_file(file: &Path) -> Option<i64> {
    let path = std::path::absolute(file).ok()?;
    let mut uri = String::from("file:");
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).ok()?;
    let tables = "SELECT COUNT(*) FROM \"sqlite_master\"";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).ok()?;
    match tables {
        // No log was written back to it yet.
        0 => Some(0),
        // A file without such a row was never written by a version that has it.
        _ => number(&connection, NUMBER).ok().flatten(),
    }
}

fn number(connection: &Connection, name: &str) -> Result<Option<i64>, rusqlite::Error> {
    let sql = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = ?1";
    connection.query_row(sql, [name], |row| row.get(0)).optional()
}

impl Wal {
    /// Takes over the log of a database that was just opened. `in_file` is the number that
    /// [`before_open`] found.
    ///
    /// # Errors
    ///
    /// [`Error::WalForeign`] for a log that does not belong to the file.
    pub(super) fn of(
        connection: &mut Connection,
        file: &Path,
        in_file: Option<i64>,
    ) -> Result<Self, Error> {
        let meta = "SELECT 1 FROM \"sqlite_master\" WHERE \"name\" = 'meta'";
        let meta = connection.query_row(meta, [], |_| Ok(())).optional();
        let (number, whole) = match meta.map_err(statement::failed)? {
            Some(()) => (
                number(connection, NUMBER).map_err(statement::failed)?,
                number(connection, WHOLE).map_err(statement::failed)?,
            ),
            None => (None, None),
        };
        // Earlier versions had no such row. Their numbers differed by 2 at most.
        let whole = whole.or(number.map(|number| number - 2)).unwrap_or(0);
        let number = number.unwrap_or(0);
        if in_file.is_some_and(|in_file| !(whole..=number).contains(&in_file)) {
            return Err(Error::WalForeign { path: file.to_owned() });
        }
        let (logged, longest) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
        let (count, count_max) = (Arc::clone(&logged), Arc::clone(&longest));
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            count.store(pages, Ordering::Relaxed);
            count_max.fetch_max(pages, Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(statement::failed)?;
        let page_bytes = connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0));
        let page_bytes = page_bytes.map_err(statement::failed)?.into();
        let pages_max = pages_of(BYTES_MAX, page_bytes);
        let number = number + number % 2;
        Ok(Self { number, whole, page_bytes, at_pages: pages_max, pages_max, logged, longest })
    }

    /// Limits the log so that a reserve of this size suffices to write it back, because the content
    /// of the log needs the same space again in the file. [`BYTES_MAX`] fit a large reserve.
    #[must_use]
    pub(super) fn at_most(mut self, reserve_bytes: Option<u64>) -> Self {
        let fits = BYTES_MAX - BYTES_MAX / PART_LACKING;
        if let Some(bytes) = reserve_bytes.filter(|bytes| *bytes < fits) {
            // The other half is for a large message, which may make the log longer than that.
            self.pages_max = pages_of(bytes / 2, self.page_bytes + HEADER_BYTES).max(1);
            self.at_pages = self.pages_max;
        }
        self
    }

    /// The number of pages at which the next checkpoint follows an incomplete one.
    fn again(&self) -> i32 {
        self.pages().saturating_add((self.pages_max / PART_AGAIN).max(1))
    }

    /// How many free pages are given back at once: on a small disk, a part of the log.
    pub(super) fn step_pages(&self) -> i64 {
        STEP_PAGES.min(self.pages_max / 4).max(1).into()
    }

    /// How many bytes its pages have.
    pub(super) fn size_bytes(&self) -> u64 {
        u64::try_from(self.pages()).unwrap_or(0).saturating_mul(self.page_bytes)
    }

    /// How many pages it has.
    pub(super) fn pages(&self) -> i32 {
        self.logged.load(Ordering::Relaxed)
    }

    /// How many pages it had at most since it was emptied.
    pub(super) fn longest_pages(&self) -> i32 {
        self.longest.load(Ordering::Relaxed)
    }

    /// Whether it must be written back before anything else is committed.
    pub(super) fn is_too_long(&self) -> bool {
        self.pages() >= self.at_pages
    }

    /// Whether it will be too long soon.
    pub(super) fn is_long(&self) -> bool {
        self.pages() >= self.at_pages.saturating_sub(self.pages_max / PART_LEFT)
    }

    /// Lets it become longer before it is too long.
    pub(super) fn put_off(&mut self) {
        self.at_pages = self.again();
    }

    /// Writes the log back. The number that gets into the file is odd, because the log has more.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub(super) fn checkpoint(
        &mut self,
        connection: &Connection,
        how: Checkpoint,
    ) -> Result<(), Error> {
        let longest = Arc::clone(&self.longest);
        let marked = self.mark(connection, || {
            let is_whole = run(connection, how)?;
            if is_whole && how == Checkpoint::Truncate {
                longest.store(0, Ordering::Relaxed);
            }
            Ok(is_whole)
        });
        match &marked {
            Ok(true) => self.at_pages = self.pages_max,
            Ok(false) | Err(_) => self.put_off(),
        }
        marked.map(drop)
    }

    /// Commits an odd number, does something with the log, and commits an even number. `act` says
    /// whether all of the log was written back, and so does the result.
    ///
    /// # Errors
    ///
    /// When the database cannot be written, or `act` fails.
    pub(super) fn mark(
        &mut self,
        connection: &Connection,
        act: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let attempt = self.number + 1;
        self.put(connection, attempt)?;
        let is_whole = act();
        // If not all was, some pages may have been, and this number with them.
        if matches!(is_whole, Ok(true)) {
            self.whole = attempt;
        }
        self.number = attempt + 1;
        self.put(connection, self.number)?;
        is_whole
    }

    /// Writes all of the log into the file, and empties it.
    pub(super) fn close(self, connection: &Connection) -> Result<(), Error> {
        run(connection, Checkpoint::Truncate).map(drop)
    }

    fn put(&self, connection: &Connection, number: i64) -> Result<(), Error> {
        let sql = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES (?1, ?2), (?3, ?4)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        let mut put = connection.prepare_cached(sql).map_err(statement::failed)?;
        put.execute((NUMBER, number, WHOLE, self.whole)).map(drop).map_err(statement::failed)
    }
}

/// Writes all of the log into the file without its index, which needs space that a full disk does
/// not have. No other connection may be open.
///
/// # Errors
///
/// As [`before_open`] and [`Wal::of`]; [`Error::Full`] if the file has to grow.
pub(super) fn write_back(file: &Path) -> Result<(), Error> {
    let in_file = before_open(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(statement::failed)?;
    for (name, value) in [("locking_mode", "EXCLUSIVE"), ("journal_mode", "WAL")] {
        connection.pragma_update(None, name, value).map_err(statement::failed)?;
    }
    let wal = Wal::of(&mut connection, file, in_file)?;
    wal.close(&connection)
}

/// How many whole pages there are in so many bytes.
fn pages_of(bytes: u64, page_bytes: u64) -> i32 {
    i32::try_from(bytes / page_bytes.max(1)).unwrap_or(i32::MAX)
}

/// Writes the log back. Returns whether all of it was.
///
/// # Errors
///
/// When the database cannot be written.
pub(super) fn run(connection: &Connection, how: Checkpoint) -> Result<bool, Error> {
    let sql = match how {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let row = connection.query_row(sql, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    let (busy, logged, back) = row.map_err(statement::failed)?;
    Ok(busy == 0 && logged == back)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET_UP: &str = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE \"meta\" (\"name\" TEXT PRIMARY KEY, \"number\" INTEGER)";

    /// A new database that writes its log back only when it is asked to.
    fn with_log(file: &Path) -> Connection {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch(SET_UP).unwrap();
        connection
    }

    #[test]
    fn what_a_checkpoint_wrote_that_did_not_get_to_its_end_belongs_to_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.db");
        let mut connection = with_log(&file);
        let mut wal = Wal::of(&mut connection, &file, None).unwrap();
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        assert_eq!((wal.whole, wal.number, number_in_file(&file)), (1, 2, Some(1)));
        // Somebody reads what was there before, twice, and no page is written back.
        let reader = Connection::open(&file).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM \"meta\"").unwrap();
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        assert_eq!((wal.whole, wal.number, number_in_file(&file)), (1, 6, Some(1)));
        // A full disk ends a checkpoint in the middle: any of its numbers may be in the file.
        for in_file in 1..=6 {
            Wal::of(&mut connection, &file, Some(in_file)).unwrap();
        }
        for in_file in [0, 7] {
            let refused = Wal::of(&mut connection, &file, Some(in_file)).unwrap_err();
            assert!(matches!(refused, Error::WalForeign { .. }), "{in_file}: {refused}");
        }
        reader.execute_batch("COMMIT").unwrap();
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        assert_eq!((wal.whole, wal.number, number_in_file(&file)), (7, 8, Some(7)));
    }

    #[test]
    fn a_file_without_tables_has_no_log_that_was_written_back_to_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, copy) = (directory.path().join("a.db"), directory.path().join("b.db"));
        let mut connection = Connection::open(&file).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        std::fs::copy(&file, &copy).unwrap();
        assert_eq!(before_open(&copy).unwrap(), Some(0));
        connection.execute_batch(SET_UP).unwrap();
        let mut wal = Wal::of(&mut connection, &file, None).unwrap();
        // The first log of a file belongs to it when it has no table yet.
        for _ in 0..2 {
            Wal::of(&mut connection, &file, before_open(&copy).unwrap()).unwrap();
            wal.mark(&connection, || Ok(false)).unwrap();
        }
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        let refused = Wal::of(&mut connection, &file, before_open(&copy).unwrap()).unwrap_err();
        assert!(matches!(refused, Error::WalForeign { .. }), "{refused}");
    }

    #[test]
    fn a_log_is_written_back_without_its_index() {
        let directory = tempfile::tempdir().unwrap();
        let (file, copy) = (directory.path().join("a.db"), directory.path().join("b.db"));
        let mut connection = with_log(&file);
        let mut wal = Wal::of(&mut connection, &file, None).unwrap();
        wal.checkpoint(&connection, Checkpoint::Passive).unwrap();
        connection.execute("INSERT INTO \"meta\" VALUES ('last', 7)", []).unwrap();
        // As after a kill: there is a log, and no index.
        std::fs::copy(&file, &copy).unwrap();
        std::fs::copy(log_of(&file), log_of(&copy)).unwrap();
        assert_eq!(number_in_file(&copy), Some(1));
        write_back(&copy).unwrap();
        assert_eq!(number_in_file(&copy), Some(2), "nothing is left in the log");
        assert!(!directory.path().join("b.db-shm").exists());
        assert!(std::fs::metadata(log_of(&copy)).map_or(true, |log| log.len() == 0));
        let copy = Connection::open(&copy).unwrap();
        assert_eq!(number(&copy, "last").unwrap(), Some(7));
    }

    #[test]
    fn a_log_is_no_longer_than_what_the_reserve_has_room_for() {
        let cases = [
            (8192, None, 8192),
            (8192, Some(64 << 20), 8192),
            (8192, Some(16 << 20), 1021),
            (16_384, None, 4096),
            (16_384, Some(16 << 20), 511),
            (16_384, Some(0), 1),
        ];
        for (page_bytes, reserve_bytes, pages) in cases {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("a.db");
            let mut connection = Connection::open(&file).unwrap();
            connection.pragma_update(None, "page_size", page_bytes).unwrap();
            let wal = Wal::of(&mut connection, &file, None).unwrap().at_most(reserve_bytes);
            assert_eq!((wal.at_pages, wal.pages_max), (pages, pages), "{reserve_bytes:?}");
            assert!(wal.again() <= pages);
        }
    }
}
