//! The settings of the engine, which are given once at start.

use crate::credentials::CredentialSource;
use crate::error::Error;
use postroom_net::Dialer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct Dialing {
    /// Makes connections, and knows which certificates to trust.
    pub dialer: Dialer,
    /// The name that EHLO gives: a host name or an address literal (RFC 5321 §4.1.4).
    pub ehlo_name: String,
}

/// Which addresses may be reached. It is checked at each connection, after the lookup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutgoingPolicy {
    /// Whether accounts may reach mail servers at addresses of the public internet alone.
    pub mail_to_public_only: bool,
    /// Whether webhooks may reach addresses that are not of the public internet.
    pub webhooks_to_private_addresses: bool,
}

/// How connections are made from now on, and where they may lead.
#[derive(Debug, Clone)]
pub struct Redial {
    /// How they are made.
    pub dialing: Dialing,
    /// Which addresses may be reached.
    pub outgoing: OutgoingPolicy,
}

/// How connections are made now. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CurrentDialing(Arc<RwLock<Arc<Dialing>>>);

impl CurrentDialing {
    /// At first in this way.
    #[must_use]
    pub(crate) fn new(dialing: Dialing) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(dialing))))
    }

    /// How connections are made now.
    #[must_use]
    pub(crate) fn now(&self) -> Arc<Dialing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on connections are made in another way.
    pub(crate) fn set(&self, dialing: Dialing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(dialing);
    }
}

/// Settings of the whole engine. Settings that differ by account are options of the data model.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How connections are made at first. It can be changed while the engine runs.
    pub dialing: Dialing,
    /// The directory for messages that are too large for memory, while they arrive. It is emptied
    /// at start.
    pub spool_directory: PathBuf,
    /// How many portions are decomposed at once, over all accounts.
    pub decompositions_max: usize,
    /// How many bytes of arriving messages may be in memory at once, over all accounts.
    pub bytes_in_flight_max: usize,
    /// A message larger than this goes through the spool directory.
    pub in_memory_bytes_max: usize,
    /// How many connections to one server (host and port) may be opened at the same time, over all
    /// accounts.
    pub connects_per_server_max: usize,
    /// The delay before a failed connection is tried again. It doubles with each failure.
    pub reconnect_first: Duration,
    /// The longest delay between two attempts to connect.
    pub reconnect_longest: Duration,
    /// The delay between attempts after the server refused the password several times.
    pub credentials_probe: Duration,
    /// The delays after the server refused a login that it accepted before: the first, the second
    /// and so on. The last one is repeated.
    pub relogin: [Duration; 4],
    /// Where logins come from. `None`: from the store.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// How long it may take to give one.
    pub credentials_timeout: Duration,
    /// The maximum age of a connection, because some servers show stale data on old ones.
    pub connection_longest: Duration,
    /// How long a stop waits for messages after their final dot.
    pub stop_within: Duration,
    /// Which addresses may be reached at first. It can be changed while the engine runs.
    pub outgoing: OutgoingPolicy,
    /// The first delay after a request of a webhook has failed.
    pub webhook_retry_first: Duration,
    /// The longest one.
    pub webhook_retry_longest: Duration,
}

impl Settings {
    /// Makes an empty spool directory.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn spool_begin(&self) -> Result<(), Error> {
        let spool = &self.spool_directory;
        if spool.exists() {
            std::fs::remove_dir_all(spool).map_err(Error::Spool)?;
        }
        std::fs::create_dir_all(spool).map_err(Error::Spool)
    }

    /// Usual settings.
    #[must_use]
    pub fn new(dialing: Dialing, spool_directory: PathBuf) -> Self {
        Self {
            dialing,
            spool_directory,
            decompositions_max: std::thread::available_parallelism().map_or(2, usize::from),
            bytes_in_flight_max: 64 * 1024 * 1024,
            in_memory_bytes_max: 1024 * 1024,
            connects_per_server_max: 8,
            reconnect_first: Duration::from_secs(2),
            reconnect_longest: Duration::from_secs(300),
            credentials_probe: Duration::from_secs(3600),
            relogin: [30, 60, 300, 900].map(Duration::from_secs),
            credentials: None,
            credentials_timeout: Duration::from_secs(60),
            connection_longest: Duration::from_secs(3600),
            stop_within: Duration::from_secs(20),
            outgoing: OutgoingPolicy::default(),
            webhook_retry_first: Duration::from_secs(5),
            webhook_retry_longest: Duration::from_secs(3600),
        }
    }
}
