//! How the tests open the store of a directory.

use crate::opened::config;
use crate::opened::database;
use postroom_store::Error;
use postroom_store::Store;
use std::path::Path;

/// The store of `directory`, with the built-in classes and a key of this digit.
pub async fn open(directory: &Path, digit: &str) -> Result<Store, Error> {
    let database = database(directory).await?;
    Store::open(database, &config(digit)).await?.lead().await
}
