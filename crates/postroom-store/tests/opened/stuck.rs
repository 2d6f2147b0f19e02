//! A process that deletes so many entities of deleted classes, and then none. It deletes the values
//! of removed properties, and forgets their columns, in such steps too.

use postroom_store::Answer;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::Error;
use postroom_store::Outcome;
use postroom_store::Room;
use postroom_store::Statement;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// A database that does so many steps of the deletion of entities and values, as for a process that is killed
/// then. It does everything else.
#[derive(Debug)]
pub struct Stuck {
    database: Arc<dyn Database>,
    left: AtomicUsize,
    refused: AtomicUsize,
    told: Arc<Mutex<Vec<usize>>>,
}

impl Stuck {
    /// A database that does so many steps.
    pub fn after(database: Arc<dyn Database>, steps: usize) -> Arc<Self> {
        let (left, refused) = (AtomicUsize::new(steps), AtomicUsize::new(0));
        Arc::new(Self { database, left, refused, told: Arc::default() })
    }

    /// How many deletions each batch told that told some.
    pub fn told(&self) -> Vec<usize> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until it has done its steps, and refused one.
    pub async fn reached(&self) {
        while self.refused.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl DatabaseFront for Stuck {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn write(&self, batch: Vec<Statement>, room: Room) -> Answer<Vec<Outcome>> {
        let begins = [
            "UPDATE \"deleted class\"",
            "DELETE FROM \"deleted class\"",
            "DELETE FROM \"retired\" WHERE \"table\" = $1 AND \"column\"",
        ];
        let is_step = batch.iter().any(|one| begins.iter().any(|begin| one.sql.starts_with(begin)));
        let less = |left: usize| left.checked_sub(1);
        if is_step && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err(Error::Full) });
        }
        let at = batch.iter().position(|one| one.sql.contains("ROW_NUMBER()"));
        let (written, told) = (self.database.write(batch, room), Arc::clone(&self.told));
        Box::pin(async move {
            let outcomes = written.await?;
            if let Some(at) = at {
                told.lock().unwrap().push(outcomes[at].changed);
            }
            Ok(outcomes)
        })
    }

    fn close(&self) {}
}
