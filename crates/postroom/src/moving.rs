//! `postroom move`: all data from one database into another.
//!
//! The key stays where it is when the data goes into PostgreSQL, and goes along when the data goes
//! into a data directory.

use crate::cli::MoveArguments;
use crate::data;
use crate::key_command;
use crate::logging;
use crate::logging::say;
use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_store::Clock;
use postroom_store::DATABASE_FILE;
use postroom_store::Database;
use postroom_store::DirectoryLock;
use postroom_store::KEY_FILE;
use postroom_store::MasterKey;
use postroom_store::Move;
use postroom_store::PostgresDatabase;
use postroom_store::SqliteDirectory;
use postroom_store::move_cancel;
use postroom_store::objects_place;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

/// A place of data.
#[derive(Debug, PartialEq, Eq)]
enum MoveEnd {
    Sqlite(PathBuf),
    Postgres(String),
}

impl MoveEnd {
    fn of(text: &str) -> anyhow::Result<Self> {
        if let Some(directory) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(directory.into()));
        }
        let is_postgres = ["postgresql:", "postgres:"].iter().any(|form| text.starts_with(form));
        // It may have a password, so it is not repeated.
        ensure!(is_postgres, "a place is sqlite:DIR or postgresql://user@host:port/database");
        Ok(Self::Postgres(text.to_owned()))
    }

    async fn open(&self, arguments: &MoveArguments) -> anyhow::Result<Arc<dyn Database>> {
        match self {
            Self::Sqlite(directory) => {
                let opened = SqliteDirectory::open(directory, 1, Clock::system());
                opened.with_context(|| format!("{}: stop Postroom first", directory.display()))
            }
            Self::Postgres(address) => {
                let config = data::postgres_of(address, &arguments.access)?;
                PostgresDatabase::open(config).await.context("PostgreSQL")
            }
        }
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: MoveArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let from = MoveEnd::of(&arguments.from).context("--from")?;
    if let MoveEnd::Sqlite(directory) = &from {
        data::check_restored(directory)?;
        let file = directory.join(DATABASE_FILE);
        ensure!(file.is_file(), "--from: {} holds no data", directory.display());
    }
    let Some(to) = &arguments.to else {
        let database = from.open(&arguments).await.context("--from")?;
        move_cancel(database.as_ref()).await?;
        database.close();
        say("the move is given up: the data is used where it is. What has arrived at the other \
             place cannot be used; throw it away");
        return Ok(());
    };
    let to = MoveEnd::of(to).context("--to")?;
    ensure!(from != to, "--from and --to are the same place: --to takes one that is empty");
    let given = key_command::master_key(&arguments.key).await?;
    let (key, key_directory) = key_of(&from, arguments.data.as_deref(), given.as_ref())?;
    // While the data is in PostgreSQL, a Postroom that uses it has locked the directory of its key.
    let lock = match (&from, &key_directory) {
        (MoveEnd::Postgres(_), Some(directory)) if to != MoveEnd::Sqlite(directory.clone()) => {
            Some(DirectoryLock::take(directory).context("stop Postroom first")?)
        }
        _ => None,
    };
    if let MoveEnd::Sqlite(directory) = &to {
        data::make(directory)?;
        take_key(directory, key_directory.as_deref())?;
    }
    let source = from.open(&arguments).await.context("--from")?;
    let target = to.open(&arguments).await.context("--to")?;
    let now = Timestamp::from_ms(Clock::system().now_ms()).to_string();
    let built_in = builtin::classes().context("built-in classes")?;
    let all = Move {
        from: source.as_ref(),
        to: target.as_ref(),
        key: &key,
        built_in: &built_in,
        now: &now,
    };
    let moved = all.run(say).await;
    let objects = objects_place(target.as_ref()).await;
    for database in [source, target] {
        tokio::task::spawn_blocking(move || database.close()).await?;
    }
    drop(lock);
    let moved = moved?;
    say(&format!("moved: {} tables, {} rows, equal in both", moved.tables, moved.rows));
    if let Some(place) = objects? {
        say(&format!("the large contents stay at {place}: serve with --blobs {place}"));
    }
    tell_what_follows(&from, &to, key_directory.as_deref());
    Ok(())
}

/// Says how the data is used from now on, and what became of the former place.
fn tell_what_follows(from: &MoveEnd, to: &MoveEnd, key_directory: Option<&Path>) {
    say(&match (to, key_directory) {
        (MoveEnd::Sqlite(directory), _) => {
            format!("from now on: postroom serve --data {}", directory.display())
        }
        (MoveEnd::Postgres(address), Some(directory)) => format!(
            "from now on: postroom serve --data {} --database {}. The key stays in the directory: \
             without it, the database is of no use",
            directory.display(),
            without_password(address)
        ),
        (MoveEnd::Postgres(address), None) => format!(
            "from now on: postroom serve --database {}, with the same key",
            without_password(address)
        ),
    });
    if let MoveEnd::Sqlite(directory) = from {
        say(&format!(
            "{} still has all data of before. Postroom uses it no more: delete it when you need \
             no way back",
            directory.join(DATABASE_FILE).display()
        ));
    }
}

/// The address of a database as it may be shown: without a password, and without parameters, which
/// may have one. If it is not clear where a password is, nothing but the scheme is shown.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgresql", address));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('?').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        None if rest.contains('@') => format!("{scheme}://…"),
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// The key of the data, and the directory that has it; `None`: the key was given.
fn key_of(
    from: &MoveEnd,
    data: Option<&Path>,
    given: Option<&SecretString>,
) -> anyhow::Result<(MasterKey, Option<PathBuf>)> {
    let directory = match (from, data) {
        (MoveEnd::Sqlite(directory), _) => Some(directory.as_path()),
        (MoveEnd::Postgres(_), data) => data,
    };
    if given.is_some() {
        let key = data::key_of(directory.unwrap_or_else(|| Path::new(".")), given)?;
        return Ok((key, None));
    }
    let Some(directory) = directory else {
        bail!("give the data directory that has the key with --data");
    };
    Ok((data::key_there(directory, None)?, Some(directory.to_owned())))
}

/// Puts the key into the directory of the data. One that is there already must be the same.
fn take_key(directory: &Path, from: Option<&Path>) -> anyhow::Result<()> {
    let Some(from) = from else {
        return Ok(());
    };
    let read = |file: &Path| {
        let text = std::fs::read_to_string(file);
        let text = text.map(|text| SecretString::from(text.trim()));
        text.with_context(|| format!("reading {}", file.display()))
    };
    let (own, there) = (from.join(KEY_FILE), directory.join(KEY_FILE));
    let key = read(&own)?;
    if !there.exists() {
        return data::write_secret(&there, &key);
    }
    let is_same = read(&there)?.expose_secret() == key.expose_secret();
    ensure!(is_same, "{} is the key of other data: move into another place", there.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        #[rustfmt::skip]
        let table = [
            ("postgresql://u:p@w@db.example:5432/a?password=x", "postgresql://u@db.example:5432/a"),
            ("postgres://u@db/a",                               "postgres://u@db/a"),
            ("postgresql://db/a?password=x",                    "postgresql://db/a"),
            ("postgresql://u:p?w@db/a",                         "postgresql://…"),
            ("postgresql://db/a?password=x@y",                  "postgresql://…"),
        ];
        for (address, want) in table {
            assert_eq!(without_password(address), want);
        }
    }
}
