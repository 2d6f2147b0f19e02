//! A process that is overtaken by another one between two of its reads.

use crate::opened;
use postroom_store::Answer;
use postroom_store::Database;
use postroom_store::DatabaseFront;
use postroom_store::Row;
use postroom_store::Statement;
use postroom_store::Store;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// A database that another process opens (with the key of the digit `a`) just after this one was
/// told that there is no root key.
#[derive(Debug)]
pub struct Overtaken {
    database: Arc<dyn Database>,
    is_over: Arc<AtomicBool>,
}

impl Overtaken {
    pub fn of(database: Arc<dyn Database>) -> Self {
        Self { database, is_over: Arc::default() }
    }
}

impl DatabaseFront for Overtaken {
    fn behind(&self) -> &dyn Database {
        self.database.as_ref()
    }

    fn read(&self, statement: Statement) -> Answer<Vec<Row>> {
        let asks = statement.sql.contains("\"wrapped\" FROM \"root key\"");
        let answer = self.database.read(statement);
        if !asks || self.is_over.swap(true, Ordering::SeqCst) {
            return answer;
        }
        let database = Arc::clone(&self.database);
        Box::pin(async move {
            let told = answer.await?;
            assert!(told.is_empty());
            Store::open(database, &opened::config("a")).await?;
            Ok(told)
        })
    }
}
