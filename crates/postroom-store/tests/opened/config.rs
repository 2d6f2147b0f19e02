//! How the tests open a store.

use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::MasterKey;
use postroom_store::StoreConfig;
use postroom_store::Work;
use secrecy::SecretString;
use std::path::Path;

/// A store in `directory`, with the four classes and a key of this digit.
pub fn config(directory: &Path, digit: &str) -> StoreConfig {
    StoreConfig {
        directory: directory.to_owned(),
        key: MasterKey::from_hex(&SecretString::from(digit.repeat(64))).unwrap(),
        classes: builtin::classes().unwrap(),
        clock: Clock::system(),
        work: Work::Threads,
        readers: 2,
    }
}
