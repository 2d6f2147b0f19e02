//! `postroom rotate-key`: another master key takes the place of the one that is in use.
//!
//! ```text
//!   the key is in the directory:  key.next ─► both accepted ─► key.next becomes key ─► it alone
//!   the nodes get it elsewhere:   --new-key-file: both accepted ─► restart each node ─► --finish
//! ```
//! Each step can be repeated, so an interrupted command goes on where it ended.

use crate::data;
use crate::data::Contents;
use crate::key_arguments::RotateKeyArguments;
use crate::key_command;
use crate::logging;
use crate::logging::say;
use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::KeyFiles;
use postroom_store::KeyMark;
use postroom_store::MasterKey;
use postroom_store::Store;
use secrecy::SecretString;
use tracing::level_filters::LevelFilter;

const STOP: &str = "stop Postroom first. While nodes run on PostgreSQL, use --new-key-file";

/// Runs the command.
pub(crate) async fn run(arguments: RotateKeyArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let given = key_command::master_key(&arguments.key).await?;
    if arguments.finish || arguments.cancel {
        return end(&arguments, given.as_ref()).await;
    }
    match &arguments.new_key_file {
        Some(file) => {
            let next = MasterKey::in_file(file).context("--new-key-file")?;
            let store = opened(&arguments, given.as_ref()).await?;
            let accepted = accept(&store, &next).await;
            store.close().await?;
            accepted?;
            say(&format!(
                "two keys are accepted now: the one in use, and the one in {} ({}). Give it to \
                 each node and start the node again, one after the other. Then: postroom \
                 rotate-key --finish, with the new key",
                file.display(),
                next.mark()
            ));
            Ok(())
        }
        None => in_directory(&arguments, given.as_ref()).await,
    }
}

/// Opens the store, also while other nodes use it.
async fn opened(
    arguments: &RotateKeyArguments,
    given: Option<&SecretString>,
) -> anyhow::Result<Store> {
    let RotateKeyArguments { data, database, .. } = arguments;
    match &database.database {
        Some(_) => data::open_beside(data, database, given, Contents::LeftAlone).await,
        None => {
            let stopped =
                data::open_stopped(data, database, given, STOP, Contents::LeftAlone).await?;
            Ok(stopped.store)
        }
    }
}

/// Lets the database accept another key.
async fn accept(store: &Store, next: &MasterKey) -> anyhow::Result<()> {
    let resealed = match store.master_accept(next).await {
        Err(Error::Condition(Failed::OtherKey)) => {
            let known = marks(store).await?;
            bail!(
                "the database accepts two keys already, {known}, and the new one is {}: end that \
                 change first, with --finish and its new key, or with --cancel and its former one",
                next.mark()
            );
        }
        done => done?,
    };
    if resealed.secrets > 0 {
        say(&format!(
            "{} secrets of an earlier version are sealed with the keys of their domains now",
            resealed.secrets
        ));
    }
    ensure!(
        resealed.damaged == 0,
        "{} secrets are damaged, and the log names them: set them again first, because no key will \
         open them later",
        resealed.damaged
    );
    Ok(())
}

async fn marks(store: &Store) -> anyhow::Result<String> {
    let known = store.master_keys().await?;
    let marks: Vec<_> = known.iter().map(|kept| kept.mark.to_string()).collect();
    Ok(marks.join(" and "))
}

/// Makes a new key in the data directory, and gives it the place of the present one.
async fn in_directory(
    arguments: &RotateKeyArguments,
    given: Option<&SecretString>,
) -> anyhow::Result<()> {
    ensure!(
        given.is_none(),
        "the master key is given to Postroom from elsewhere: give the new one with --new-key-file"
    );
    let RotateKeyArguments { data, database, .. } = arguments;
    let files = KeyFiles(data);
    let open = || data::open_stopped(data, database, None, STOP, Contents::LeftAlone);
    let stopped = open().await?;
    let known = stopped.store.master_keys().await?;
    let own = data::key_there(data, None)?.mark();
    let is_replaced = known.len() > 1 && known.last().is_some_and(|newest| newest.mark == own);
    // Otherwise the former command ended after it had replaced the file.
    if !is_replaced || files.has_next() {
        let next = files.next().context("the new key")?;
        let accepted = accept(&stopped.store, &next).await;
        stopped.store.close().await?;
        accepted?;
        drop(stopped.lock);
        files.replace()?;
        let stopped = open().await?;
        return alone(stopped.store, next.mark()).await;
    }
    alone(stopped.store, own).await
}

/// Accepts the key of a store alone.
async fn alone(store: Store, mark: KeyMark) -> anyhow::Result<()> {
    let done = store.master_alone().await;
    store.close().await?;
    done?;
    say(&format!(
        "the key {mark} is the only one that is accepted now. Backups that were made before need \
         the former key, unless they have it in them"
    ));
    Ok(())
}

/// Ends a change of the key: with the new key, or with the former one.
async fn end(arguments: &RotateKeyArguments, given: Option<&SecretString>) -> anyhow::Result<()> {
    let own = data::key_there(&arguments.data, given)?.mark();
    let store = opened(arguments, given).await?;
    let known = store.master_keys().await?;
    let wanted = if arguments.finish { known.last() } else { known.first() };
    if known.len() > 1 && wanted.is_some_and(|wanted| wanted.mark != own) {
        store.close().await?;
        let (which, otherwise) = match arguments.finish {
            true => ("the former one; --finish needs the new one", "--cancel gives the new one up"),
            false => ("the new one; --cancel needs the former one", "--finish keeps the new one"),
        };
        bail!("the key {own} that was given is {which}, and {otherwise}. Nothing was changed");
    }
    alone(store, own).await
}
