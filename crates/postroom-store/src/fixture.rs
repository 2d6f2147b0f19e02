//! What the tests inside this crate share: a store of its own.

use crate::Clock;
use crate::MasterKey;
use crate::StoreConfig;
use crate::store::Store;
use tempfile::TempDir;

/// A new store, and the directory that it is in for as long as it is kept.
pub async fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let key = MasterKey::in_directory(directory.path()).unwrap();
    let classes = postroom_model::builtin::classes().unwrap();
    let at = directory.path().to_owned();
    let config = StoreConfig {
        directory: at,
        key,
        classes,
        readers: 1,
        clock: Clock::system(),
        work: crate::Work::Threads,
    };
    (directory, Store::open(&config).await.unwrap())
}
