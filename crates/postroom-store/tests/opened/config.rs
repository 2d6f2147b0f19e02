//! How the tests open a store.

use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::Error;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use secrecy::SecretString;
use std::path::Path;

/// The store in `directory`, with the four classes and a key of this digit.
pub async fn open(directory: &Path, digit: &str) -> Result<Store, Error> {
    let database = SqliteDirectory::open(directory, 2, Clock::system())?;
    Store::open(database, &config(digit)).await?.lead().await
}

/// What a store is opened with: the four classes and a key of this digit.
pub fn config(digit: &str) -> StoreConfig {
    StoreConfig {
        key: MasterKey::from_hex(&SecretString::from(digit.repeat(64))).unwrap(),
        classes: builtin::classes().unwrap(),
        clock: Clock::system(),
        work: Work::Threads,
        member: Member::alone(),
    }
}
