//! A process that is killed after any number of its statements.

use postroom_store::Answer;
use postroom_store::Clock;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::Failed;
use postroom_store::Outcome;
use postroom_store::Room;
use postroom_store::Statement;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// More statements than any work has.
const ALL: usize = 1_000_000;

/// After how many statements processes are killed in this run: `step` more each time, from one of
/// the first `step` on. With `EVERY_KILL` in the environment, after every number of statements.
pub fn moments(step: usize) -> impl Iterator<Item = usize> {
    let step = if std::env::var_os("EVERY_KILL").is_some() { 1 } else { step };
    let first = 1 + Clock::system().below(step);
    (first..).step_by(step)
}

/// A database that does so many statements and then no more, as for a process that was killed.
#[derive(Debug)]
pub struct Killed {
    database: Arc<dyn Database>,
    left: AtomicUsize,
}

impl Killed {
    /// A database that does everything so far.
    pub fn of(database: Arc<dyn Database>) -> Arc<Self> {
        Arc::new(Self { database, left: AtomicUsize::new(ALL) })
    }

    /// The process is killed after so many statements from now on.
    pub fn after(&self, statements: usize) {
        self.left.store(statements, Ordering::SeqCst);
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// The batch as far as it comes: its transaction ends where the process does.
    fn cut(&self, mut batch: Vec<Statement>) -> Vec<Statement> {
        let count = batch.len();
        let rest = |left: usize| Some(left.saturating_sub(count));
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest).unwrap();
        if left <= count {
            batch.truncate(left);
            let end = Statement::new("UPDATE \"meta\" SET \"number\" = 0 WHERE \"name\" = 'end'");
            batch.push(end.must_change(Failed::Deposed));
        }
        batch
    }
}

impl DatabaseFront for Killed {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        self.database.write(self.cut(batch), room)
    }

    fn close(&self) {}
}
