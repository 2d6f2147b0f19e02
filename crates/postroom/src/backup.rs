//! `postroom backup`, `restore` and `verify`: all data in one file, and back.
//!
//! ```text
//!   backup:   data ──► FILE.partial/postroom.db ──► verified, marked ──► FILE
//!   restore:  FILE ──► DIR/restoring/postroom.db ──► verified ──► DIR/postroom.db, DIR/key
//! ```
//! A file or a data directory gets its name when all of it is there, so an interrupted command
//! leaves nothing that looks whole. Every command refuses a data directory in which a restore was
//! interrupted, and the same restore starts anew.

use crate::cli::BackupArguments;
use crate::cli::RestoreArguments;
use crate::cli::VerifyArguments;
use crate::data;
use crate::data::Contents;
use crate::data::OpenedBy;
use crate::key_command;
use crate::logging;
use crate::logging::say;
use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use postroom_store::Clock;
use postroom_store::DATABASE_FILE;
use postroom_store::KEY_FILE;
use postroom_store::MasterKey;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::backup_key;
use postroom_store::copy_database;
use secrecy::SecretString;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// How many of the messages in `sending` are listed.
const LISTED: u32 = 1_000;

/// Copies a data directory into one file.
pub(crate) async fn backup(arguments: BackupArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let BackupArguments { data, to, without_key, database, key } = arguments;
    ensure!(
        database.is_none(),
        "PostgreSQL has tools of its own: `pg_dump --format=custom --file {} DATABASE`, which may \
         run at any time. Keep the file `key` of the data directory beside it. After pg_restore, \
         `postroom restore --database` makes the copy usable",
        to.display()
    );
    check_there(&data)?;
    ensure!(!to.exists(), "{} is there already; give the backup another name", to.display());
    let key = key_command::master_key(&key).await?;
    let key = data::key_of(&data, key.as_ref())?;
    let mut partial = OsString::from(&to);
    partial.push(".partial");
    let work = WorkDirectory::make(PathBuf::from(partial))?;
    copy_database(&data, &work.path).context("copying the database")?;
    let store = data::open_with(&work.path, key, OpenedBy::command(), Contents::LeftAlone).await?;
    check_sound(&store).await.context("the data that was copied; no backup was made")?;
    store.backup_mark(!without_key).await?;
    let outside = store.objects_kept().await?;
    store.close().await?;
    work.hand_over(DATABASE_FILE, &to)?;
    let with = if without_key { "without the key" } else { "with the key" };
    match outside {
        Some(kept) => say(&format!(
            "{} holds all data, {with}, but not the {} contents ({} bytes) at {}: they stay there, \
             and were not verified. Keep what is deleted there as long as this backup, with \
             versions of the bucket",
            to.display(),
            kept.count,
            kept.size_bytes,
            kept.place
        )),
        None => say(&format!("{} holds all data, {with}", to.display())),
    }
    Ok(())
}

/// Makes a data directory of a backup.
pub(crate) async fn restore(arguments: RestoreArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let RestoreArguments { from, data, send, take_objects, key, database } = arguments;
    let Some(from) = from else {
        let key = key_command::master_key(&key).await?;
        let otherwise = "stop Postroom first";
        let contents = Contents::LeftAlone;
        let stopped =
            data::open_stopped(&data, &database, key.as_ref(), otherwise, contents).await?;
        return made_ready(stopped.store, send, take_objects).await;
    };
    ensure!(from.is_file(), "{} is not there: --from takes the file of a backup", from.display());
    // An interrupted restore may have written the key already.
    let is_begun = data::is_half_restored(&data);
    check_absent(&data.join(DATABASE_FILE))?;
    if !is_begun {
        check_absent(&data.join(KEY_FILE))?;
    }
    data::make_directory(&data)?;
    let work = WorkDirectory::make(data.join(data::RESTORING))?;
    std::fs::copy(&from, work.path.join(DATABASE_FILE))
        .with_context(|| format!("copying {}", from.display()))?;
    let carried = {
        let database = SqliteDirectory::open(&work.path, 1, Clock::system()).context("backup")?;
        let carried = backup_key(database.as_ref()).await.with_context(|| {
            format!("{} is not a backup that `postroom backup` made", from.display())
        })?;
        database.close();
        carried
    };
    let given = key_command::master_key(&key).await?;
    let (key, is_own) = match (carried, given) {
        (Some(key), _) => (key, true),
        (None, Some(key)) => (key, false),
        (None, None) => bail!(
            "{} was made without the key: give the key with --master-key-file, or in \
             POSTROOM_MASTER_KEY",
            from.display()
        ),
    };
    if is_begun && is_own {
        check_own_key(&data, &key)?;
    }
    let store =
        data::open(&work.path, Some(&key), OpenedBy::command(), Contents::LeftAlone).await?;
    check_sound(&store).await.context("the backup; nothing was restored")?;
    store.restored(take_objects).await?;
    if send {
        store.sending_resume().await?;
    }
    tell_sending(&store, send).await?;
    tell_objects(&store, take_objects).await?;
    store.close().await?;
    if is_own {
        data::write_secret(&work.path.join(KEY_FILE), &key)?;
        work.hand_over(KEY_FILE, &data.join(KEY_FILE))?;
    }
    work.hand_over(DATABASE_FILE, &data.join(DATABASE_FILE))?;
    say(&format!("{} holds what was in {}", data.display(), from.display()));
    Ok(())
}

/// Checks that a file is not there.
fn check_absent(file: &Path) -> anyhow::Result<()> {
    ensure!(
        !file.exists(),
        "{} is there already, and nothing is overwritten; give another directory",
        file.display()
    );
    Ok(())
}

/// Checks that the key in a directory, if there is one, is that of the backup: an interrupted
/// restore has written it.
fn check_own_key(data: &Path, key: &SecretString) -> anyhow::Result<()> {
    let file = data.join(KEY_FILE);
    let is_same =
        || anyhow::Ok(MasterKey::from_hex(key)?.mark() == data::key_of(data, None)?.mark());
    if file.exists() && !is_same()? { check_absent(&file) } else { Ok(()) }
}

/// Makes a database that `pg_restore` has filled a restored one.
async fn made_ready(store: Store, send: bool, take_objects: bool) -> anyhow::Result<()> {
    // Whatever happens next, it sends nothing that was sent before.
    store.backup_mark(false).await?;
    store.restored(take_objects).await?;
    check_sound(&store).await.context("the restored database; nothing is sent from it")?;
    if send {
        store.sending_resume().await?;
    }
    tell_sending(&store, send).await?;
    tell_objects(&store, take_objects).await?;
    store.close().await?;
    say("the restored database is ready");
    Ok(())
}

/// Verifies a data directory.
pub(crate) async fn verify(arguments: VerifyArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let VerifyArguments { data, key, database, blobs } = arguments;
    let key = key_command::master_key(&key).await?;
    let otherwise = "stop Postroom first, or make a backup, which is verified";
    let contents = Contents::Known(&blobs, database.access.trust_ca.as_deref());
    let stopped = data::open_stopped(&data, &database, key.as_ref(), otherwise, contents).await?;
    let sound = check_sound(&stopped.store).await;
    stopped.store.close().await?;
    sound
}

fn check_there(data: &Path) -> anyhow::Result<()> {
    data::check_restored(data)?;
    ensure!(data.join(DATABASE_FILE).is_file(), "{} holds no data", data.display());
    Ok(())
}

/// Verifies a store, with a line for each damage.
async fn check_sound(store: &Store) -> anyhow::Result<()> {
    let verified = store.verify(|damage| logging::complain(false, damage)).await?;
    say(&format!(
        "verified: {} entities, {} files, {} chunks of content, {} receipts",
        verified.entities, verified.files, verified.chunks, verified.receipts
    ));
    ensure!(verified.damaged == 0, "damaged: {} places, named above", verified.damaged);
    Ok(())
}

/// Says where large contents are, and whose they are.
async fn tell_objects(store: &Store, take_objects: bool) -> anyhow::Result<()> {
    if let Some(kept) = store.objects_kept().await? {
        let whose = if take_objects {
            "they are this database's from now on, and what it deletes is removed there"
        } else {
            "they are read and never removed, because the database that the backup is of may use \
             them; --take-objects says that it is gone for good"
        };
        say(&format!(
            "{} contents are at {}: {whose}. Start with --blobs {}; `postroom verify` reads them \
             all",
            kept.count, kept.place, kept.place
        ));
    }
    Ok(())
}

/// Says what waits until sending is resumed, and lists what waits to be sent.
async fn tell_sending(store: &Store, send: bool) -> anyhow::Result<()> {
    if !send {
        say(
            "mail is received, but until POST /rest/v1/sending:resume nothing is sent, and nothing \
             is deleted or marked at mail servers, so no mail is taken away from the original",
        );
    }
    let waiting = store.sending_list(LISTED).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let then = if send {
        "will be sent when Postroom starts"
    } else {
        "wait until POST /rest/v1/sending:resume; withdraw those that were sent since \
         (messageState null)"
    };
    say(&format!("messages in `sending` when the backup was made, which {then}:"));
    for message in &waiting {
        let at = message.date_time.map(|at| at.to_string()).unwrap_or_default();
        let subject = message.subject.as_deref().unwrap_or_default();
        say(&format!("  {} {at} {}", message.message, subject.escape_debug()));
    }
    if waiting.len() >= LISTED as usize {
        say("  and more");
    }
    Ok(())
}

/// A directory that is removed when the command ends. The next command removes what an interrupted
/// one left.
struct WorkDirectory {
    path: PathBuf,
}

impl WorkDirectory {
    fn make(path: PathBuf) -> anyhow::Result<Self> {
        if path.exists() {
            // An earlier command was interrupted.
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("removing {}", path.display()))?;
        }
        data::make(&path)?;
        Ok(Self { path })
    }

    /// Gives a file of the directory its place, durably.
    fn hand_over(&self, name: &str, to: &Path) -> anyhow::Result<()> {
        let at = || format!("writing {}", to.display());
        let made = self.path.join(name);
        std::fs::File::open(&made).and_then(|file| file.sync_all()).with_context(at)?;
        std::fs::rename(&made, to).with_context(at)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        std::fs::File::open(parent).and_then(|parent| parent.sync_all()).with_context(at)
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            logging::complain(false, &format!("{} was not removed: {error}", self.path.display()));
        }
    }
}
