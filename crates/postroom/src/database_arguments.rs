//! The arguments of commands that work on data which may be in PostgreSQL.

use clap::Args;
use std::path::PathBuf;

/// Where a command finds a PostgreSQL database.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArguments {
    /// The PostgreSQL database that Postroom is run with: postgresql://user@host:port/database.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// How it is connected to.
    #[command(flatten)]
    pub access: DatabaseAccess,
}

/// How a command connects to a PostgreSQL database.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseAccess {
    /// A file with the password of the database's user, instead of POSTROOM_DATABASE_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust in addition to those of the system.
    #[arg(long, value_name = "FILE")]
    pub trust_ca: Option<PathBuf>,
}
