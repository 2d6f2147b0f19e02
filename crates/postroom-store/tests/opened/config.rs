//! What the tests open a store with.

use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::Database;
use postroom_store::Error;
use postroom_store::FeedRetention;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::ObjectsAccess;
use postroom_store::PostgresConfig;
use postroom_store::PostgresDatabase;
use postroom_store::SqliteDirectory;
use postroom_store::StoreConfig;
use postroom_store::Work;
use postroom_testkit::TestDatabase;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;

/// The database of `directory`, of the kind that the present test runs on.
pub async fn database(directory: &Path) -> Result<Arc<dyn Database>, Error> {
    match TestDatabase::postgres_url(directory).unwrap() {
        Some(url) => PostgresDatabase::open(PostgresConfig::parse(&url)?).await,
        None => SqliteDirectory::open(directory, 2, Clock::system()),
    }
}

/// What a store is opened with: the built-in classes and a key of this digit.
pub fn config(digit: &str) -> StoreConfig {
    StoreConfig {
        key: MasterKey::from_hex(&SecretString::from(digit.repeat(64))).unwrap(),
        classes: builtin::classes().unwrap(),
        clock: Clock::system(),
        work: Work::Threads,
        member: Member::alone(),
        objects: ObjectsAccess::None,
        feed: FeedRetention::default(),
    }
}
