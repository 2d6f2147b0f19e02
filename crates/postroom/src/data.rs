//! The data directory: the store and its key.

use anyhow::Context;
use postroom_model::builtin;
use postroom_store::MasterKey;
use postroom_store::Store;
use postroom_store::StoreConfig;
use secrecy::SecretString;
use std::path::Path;

/// How many threads read the database.
const READERS: usize = 4;

/// Opens the store of a data directory, with the key that was given or the one kept there.
pub async fn open(data: &Path, master_key: Option<&SecretString>) -> anyhow::Result<Store> {
    let key = match master_key {
        Some(given) => MasterKey::from_hex(given).context("POSTROOM_MASTER_KEY")?,
        None => MasterKey::in_directory(data).context("key file")?,
    };
    let classes = builtin::classes().context("built-in classes")?;
    let config = StoreConfig { directory: data.to_owned(), key, classes, readers: READERS };
    Store::open(&config).await.context("store")
}
