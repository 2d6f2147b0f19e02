//! A database that records the statements that a store sends to it.

use crate::database::Answer;
use crate::database::Database;
use crate::database::Outcome;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database_front::DatabaseFront;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

/// A place in the sources of this crate where a statement is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file, below `src`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl Place {
    /// The place where a statement was made. `None`: a test made it.
    pub(super) fn of(statement: &Statement) -> Option<Self> {
        let file = statement.made_at.file().replace('\\', "/");
        let (_, file) = file.rsplit_once("postroom-store/src/")?;
        let is_test = file.starts_with("tests") || file == "fixture.rs";
        let line = statement.made_at.line();
        (!is_test).then(|| Self { file: file.to_owned(), line })
    }
}

/// The statements that were sent, by the place where each was made and by its SQL.
pub(super) type Recorded = BTreeMap<Place, BTreeMap<String, Statement>>;

/// A database that records the statements that are sent to it.
#[derive(Debug)]
pub(super) struct Recording {
    database: Arc<dyn Database>,
    recorded: Arc<Mutex<Recorded>>,
}

impl Recording {
    /// The recording database, and its records.
    pub(super) fn of(database: Arc<dyn Database>) -> (Arc<dyn Database>, Arc<Mutex<Recorded>>) {
        let recorded = Arc::<Mutex<Recorded>>::default();
        (Arc::new(Self { database, recorded: Arc::clone(&recorded) }), recorded)
    }

    fn record(&self, statement: &Statement) {
        if let Some(place) = Place::of(statement) {
            let mut recorded = self.recorded.lock().unwrap();
            let of_place = recorded.entry(place).or_default();
            // One set of values suffices for a plan.
            of_place.entry(statement.sql.to_string()).or_insert_with(|| statement.clone());
        }
    }
}

impl DatabaseFront for Recording {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        self.record(&statement);
        self.database.read(statement)
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        batch.iter().for_each(|statement| self.record(statement));
        self.database.write(batch, room)
    }
}
