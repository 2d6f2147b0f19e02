//! The data directory: the store, or the lock beside a PostgreSQL database, and the key.

use crate::blobs::BlobsAccess;
use crate::database_arguments::DatabaseAccess;
use crate::database_arguments::DatabaseArguments;
use crate::dialing;
use crate::secrets;
use anyhow::Context;
use anyhow::ensure;
use postroom_model::builtin;
use postroom_net::Dialer;
use postroom_store::ByteLink;
use postroom_store::Clock;
use postroom_store::DATABASE_FILE;
use postroom_store::Database;
use postroom_store::DirectoryLock;
use postroom_store::FeedRetention;
use postroom_store::KEY_FILE;
use postroom_store::MasterKey;
use postroom_store::Member;
use postroom_store::Objects;
use postroom_store::ObjectsAccess;
use postroom_store::PostgresConfig;
use postroom_store::PostgresDatabase;
use postroom_store::Secure;
use postroom_store::Securing;
use postroom_store::SqliteDirectory;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Work;
use postroom_store::is_filled;
use postroom_store::nobody_uses;
use postroom_store::objects_place;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// Where the large contents of a database are.
pub(crate) enum Contents<'a> {
    /// In the database.
    InDatabase,
    /// In this bucket.
    At(Objects),
    /// Where the database says, and this is how it is reached.
    Known(&'a BlobsAccess, Option<&'a Path>),
    /// Nobody asks for them.
    LeftAlone,
}

impl Contents<'_> {
    async fn access(self, database: &dyn Database) -> anyhow::Result<ObjectsAccess> {
        let (access, trust_ca) = match self {
            Self::InDatabase => return Ok(ObjectsAccess::None),
            Self::At(objects) => return Ok(ObjectsAccess::At(objects)),
            Self::LeftAlone => return Ok(ObjectsAccess::LeftAlone),
            Self::Known(access, trust_ca) => (access, trust_ca),
        };
        Ok(match objects_place(database).await? {
            Some(place) => ObjectsAccess::At(access.objects(&place, None, trust_ca)?),
            None => ObjectsAccess::None,
        })
    }
}

/// What opens a store.
pub(crate) struct OpenedBy {
    /// Which process it is.
    pub member: Member,
    /// What the feed keeps.
    pub feed: FeedRetention,
}

impl OpenedBy {
    /// A command that ends by itself. It removes no changes from the feed, because the settings are
    /// those of `serve`.
    pub(crate) fn command() -> Self {
        Self { member: Member::alone(), feed: FeedRetention::unlimited() }
    }
}

/// How many threads read the database.
const READERS: usize = 4;

/// The directory within a data directory in which `restore` works, until all of it is there.
pub(crate) const RESTORING: &str = "restoring";

/// Makes the data directory if it is missing. Only its owner can read it.
pub(crate) fn make(data: &Path) -> anyhow::Result<()> {
    check_restored(data)?;
    make_directory(data)
}

/// Whether a restore into a data directory has begun and was not finished.
pub(crate) fn is_half_restored(data: &Path) -> bool {
    data.join(RESTORING).exists() && !data.join(DATABASE_FILE).exists()
}

/// Checks that a data directory is not half a restored one, which would look like a new, empty one.
pub(crate) fn check_restored(data: &Path) -> anyhow::Result<()> {
    ensure!(
        !is_half_restored(data),
        "the restore into {0} is not finished, so the data of the backup is not there. If no \
         restore runs any more, give the same `postroom restore` again: it starts anew. Or delete \
         {0} and restore into another directory",
        data.display()
    );
    Ok(())
}

/// The same for a directory into which a backup is restored.
pub(crate) fn make_directory(data: &Path) -> anyhow::Result<()> {
    let at = || format!("data directory {}", data.display());
    if data.is_dir() {
        return check_private(data);
    }
    ensure!(
        !data.exists(),
        "data directory {}: this is a file, not a directory; choose another with --data",
        data.display()
    );
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(at)
}

/// Checks that no other user can read the data directory.
fn check_private(data: &Path) -> anyhow::Result<()> {
    let metadata = data.metadata().with_context(|| format!("data directory {}", data.display()))?;
    let mode = metadata.permissions().mode() & 0o7777;
    ensure!(
        mode & 0o077 == 0,
        "the data directory {0} is open to other users of this machine (mode {mode:04o}), and it \
         holds all mail and the key to the passwords. Nothing was changed. Close it, then start \
         again: chmod 700 {0} (in a unit of systemd: StateDirectoryMode=0700)",
        data.display()
    );
    Ok(())
}

/// Writes a secret to a file that only its owner can read. An existing file is replaced.
pub(crate) fn write_secret(file: &Path, secret: &SecretString) -> anyhow::Result<()> {
    let at = || format!("writing {}", file.display());
    if file.exists() {
        std::fs::remove_file(file).with_context(at)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut opened =
        options.write(true).create_new(true).mode(0o600).open(file).with_context(at)?;
    writeln!(opened, "{}", secret.expose_secret()).with_context(at)?;
    opened.sync_all().with_context(at)
}

/// Makes links to the server of the database secure, as those to mail servers.
#[derive(Debug)]
struct SecureByDialer(Dialer);

impl Secure for SecureByDialer {
    fn secure(&self, host: &str, link: Box<dyn ByteLink>) -> Securing {
        let (dialer, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let secure = dialer.secure(&host, link).await.map_err(io::Error::other)?;
            Ok(Box::new(secure) as Box<dyn ByteLink>)
        })
    }
}

/// A PostgreSQL database from its address. A password that is given apart replaces the one in it.
pub(crate) fn postgres(
    address: &str,
    password: Option<&SecretString>,
    dialer: &Dialer,
) -> anyhow::Result<PostgresConfig> {
    let config = PostgresConfig::parse(address).context("--database")?;
    let config = config.with_tls(Arc::new(SecureByDialer(dialer.clone())));
    Ok(match password {
        Some(password) => config.with_password(password),
        None => config,
    })
}

/// Opens the store in a PostgreSQL database, with the given key or the one in the directory. The
/// lock of the directory is to be kept as long as the store is used.
pub(crate) async fn open_postgres(
    data: &Path,
    config: PostgresConfig,
    master_key: Option<&SecretString>,
    by: OpenedBy,
    contents: Contents<'_>,
) -> anyhow::Result<(Store, DirectoryLock)> {
    let lock = DirectoryLock::take(data).context("store")?;
    if data.join(DATABASE_FILE).exists() {
        tracing::warn!(
            file = %data.join(DATABASE_FILE).display(),
            "the mail in this file is not used, because --database names another database"
        );
    }
    let by = OpenedBy { member: Member { seat: lock.seat(), ..by.member }, ..by };
    let database = PostgresDatabase::open(config).await.context("--database")?;
    let has_key = master_key.is_some() || data.join(KEY_FILE).exists();
    // A new key would open nothing there.
    ensure!(
        has_key || !is_filled(database.as_ref()).await.context("--database")?,
        "the data of this database needs its key, and {} has none: copy the file `key` of the data \
         directory with which it was used before, or give it with --master-key-file",
        data.display()
    );
    let key = key_of(data, master_key)?;
    Ok((open_in(database, key, by, contents).await?, lock))
}

/// Opens the store of a data directory for one process, with the given key or the one in the
/// directory.
pub(crate) async fn open(
    data: &Path,
    master_key: Option<&SecretString>,
    by: OpenedBy,
    contents: Contents<'_>,
) -> anyhow::Result<Store> {
    // The key comes first, because none is made beside a database.
    open_with(data, key_of(data, master_key)?, by, contents).await
}

/// The same with this key.
pub(crate) async fn open_with(
    data: &Path,
    key: MasterKey,
    by: OpenedBy,
    contents: Contents<'_>,
) -> anyhow::Result<Store> {
    let database = SqliteDirectory::open(data, READERS, Clock::system()).context("store")?;
    open_in(database, key, by, contents).await
}

/// A store that a command opened, and the lock that goes with it.
pub(crate) struct Stopped {
    /// The store.
    pub store: Store,
    /// The lock of the directory, if the data is not in it.
    pub lock: Option<DirectoryLock>,
}

/// Opens a store for a command that needs Postroom to be stopped. `otherwise` says what to do while
/// it runs.
pub(crate) async fn open_stopped(
    data: &Path,
    arguments: &DatabaseArguments,
    master_key: Option<&SecretString>,
    otherwise: &'static str,
    contents: Contents<'_>,
) -> anyhow::Result<Stopped> {
    check_restored(data)?;
    let Some(address) = &arguments.database else {
        ensure!(
            data.join(DATABASE_FILE).is_file(),
            "{} holds no data; if it is in PostgreSQL, give --database",
            data.display()
        );
        let opened = open(data, master_key, OpenedBy::command(), contents).await;
        let store =
            opened.map_err(|error| match error.downcast_ref::<postroom_store::Error>() {
                Some(postroom_store::Error::Locked { .. }) => error.context(otherwise),
                Some(_) | None => error,
            })?;
        return Ok(Stopped { store, lock: None });
    };
    let config = postgres_of(address, &arguments.access)?;
    let key = key_there(data, master_key)?;
    if !data.exists() {
        make(data)?;
    }
    let lock = DirectoryLock::take(data).context(otherwise)?;
    let database = PostgresDatabase::open(config).await.context("--database")?;
    nobody_uses(database.as_ref()).await?;
    let store = open_in(database, key, OpenedBy::command(), contents).await?;
    Ok(Stopped { store, lock: Some(lock) })
}

/// Opens a store in PostgreSQL for a command that may run beside other processes.
pub(crate) async fn open_beside(
    data: &Path,
    arguments: &DatabaseArguments,
    master_key: Option<&SecretString>,
    contents: Contents<'_>,
) -> anyhow::Result<Store> {
    let address = arguments
        .database
        .as_deref()
        .context("give the address of the database with --database")?;
    let config = postgres_of(address, &arguments.access)?;
    let key = key_there(data, master_key)?;
    let database = PostgresDatabase::open(config).await.context("--database")?;
    open_in(database, key, OpenedBy::command(), contents).await
}

/// The PostgreSQL database at an address, as the arguments of a command connect to it.
pub(crate) fn postgres_of(
    address: &str,
    access: &DatabaseAccess,
) -> anyhow::Result<PostgresConfig> {
    let password = secrets::DATABASE_PASSWORD.read(access.database_password_file.as_deref())?;
    let dialer = dialing::of(access.trust_ca.as_deref(), &[], None)?.dialer;
    postgres(address, password.as_ref(), &dialer)
}

/// The given key, or the one that is in the directory. None is made.
pub(crate) fn key_there(
    data: &Path,
    master_key: Option<&SecretString>,
) -> anyhow::Result<MasterKey> {
    check_restored(data)?;
    ensure!(
        master_key.is_some() || data.join(KEY_FILE).is_file(),
        "{} has no file `key`, and the data cannot be used without it",
        data.display()
    );
    key_of(data, master_key)
}

/// The given key, or the one in the directory.
pub(crate) fn key_of(data: &Path, master_key: Option<&SecretString>) -> anyhow::Result<MasterKey> {
    match master_key {
        Some(given) => MasterKey::from_hex(given).context("master key"),
        None => MasterKey::in_directory(data).context("key file"),
    }
}

async fn open_in(
    database: Arc<dyn Database>,
    key: MasterKey,
    by: OpenedBy,
    contents: Contents<'_>,
) -> anyhow::Result<Store> {
    let objects = contents.access(database.as_ref()).await?;
    let classes = builtin::classes().context("built-in classes")?;
    let clock = Clock::system();
    let OpenedBy { member, feed } = by;
    let config = StoreConfig { key, classes, clock, work: Work::Threads, member, objects, feed };
    Store::open(database, &config).await.context("store")
}
