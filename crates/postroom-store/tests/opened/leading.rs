//! A store that leads, beside the database that it shares with the test.

use crate::opened::config;
use crate::opened::database;
use postroom_store::Database;
use postroom_store::Store;
use std::sync::Arc;
use tempfile::TempDir;

/// The store of a directory of its own, with its database.
pub async fn leading() -> (TempDir, Arc<dyn Database>, Store) {
    let directory = tempfile::tempdir().unwrap();
    let database = database(directory.path()).await.unwrap();
    let store = Store::open(Arc::clone(&database), &config("a")).await.unwrap();
    let store = store.lead().await.unwrap();
    (directory, database, store)
}
