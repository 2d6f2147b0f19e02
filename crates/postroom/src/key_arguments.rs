//! The arguments that say where the master key comes from, and those that replace it.

use crate::database_arguments::DatabaseArguments;
use clap::Args;
use std::path::PathBuf;

/// Where the master key comes from. If nothing is given, it is in the environment or in the data
/// directory.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MasterKeyArguments {
    /// A file with the master key, which opens the passwords, instead of POSTROOM_MASTER_KEY.
    #[arg(long, value_name = "FILE", conflicts_with = "master_key_command")]
    pub master_key_file: Option<PathBuf>,
    /// A command whose standard output is the master key, such as that of a key store. `sh` runs it
    /// at the start, and it has 30 seconds.
    #[arg(long, value_name = "COMMAND")]
    pub master_key_command: Option<String>,
}

/// Arguments of `postroom rotate-key`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RotateKeyArguments {
    /// The data directory. Without --new-key-file, its file `key` is replaced by a new one, while
    /// Postroom is stopped.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A file with the new key. It is made with a new key if it is missing. From now on this key
    /// and the present one are accepted.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["finish", "cancel"])]
    pub new_key_file: Option<PathBuf>,
    /// Accept only the new key from now on. It is the one of --master-key-file or the directory.
    #[arg(long, conflicts_with = "cancel")]
    pub finish: bool,
    /// Accept only the former key from now on. It is the one of --master-key-file or the directory.
    #[arg(long)]
    pub cancel: bool,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
    /// Where the data is, if it is not in the directory.
    #[command(flatten)]
    pub database: DatabaseArguments,
}
