//! Keeps the SMTP connection of one account between messages.

use crate::account::Account;
use crate::error::Error;
use crate::report::Reporter;
use crate::send::connect;
use crate::shared::Shared;
use postroom_smtp::SmtpConnection;
use postroom_watch::Watcher;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an unused connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// Within this time after its last use, a connection is used without a NOOP.
const FRESH: Duration = Duration::from_secs(1);

/// The kept connection, and how to open a new one.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    setup: Watcher<Arc<Account>>,
    stop: CancellationToken,
    connection: Option<(SmtpConnection, Instant)>,
    is_probed: bool,
    in_turn: bool,
}

/// A connection that is ready for a message.
pub(crate) struct Ready {
    /// The connection.
    pub connection: SmtpConnection,
    /// Whether it is new.
    pub is_new: bool,
}

impl Kept {
    /// None yet.
    pub(crate) fn new(
        shared: Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: Watcher<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        let (connection, is_probed, in_turn) = (None, false, false);
        Self { shared, reporter, setup, stop, connection, is_probed, in_turn }
    }

    /// Whether a connection was made since the last change or trouble of the account.
    pub(crate) fn is_probed(&self) -> bool {
        self.is_probed
    }

    /// The kept connection if it is still alive, otherwise a new one.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub(crate) async fn take(&mut self, account: &Account) -> Result<Ready, Error> {
        if let Some((mut connection, since)) = self.connection.take() {
            let is_fresh = since.elapsed() < FRESH;
            if is_fresh || (since.elapsed() < KEEP_IDLE && connection.is_alive().await) {
                return Ok(Ready { connection, is_new: false });
            }
        }
        Ok(Ready { connection: self.open(account).await?, is_new: true })
    }

    /// A new connection, unless the account changes meanwhile.
    ///
    /// # Errors
    ///
    /// When there is none, or the server does not take the login.
    pub(crate) async fn open(&mut self, account: &Account) -> Result<SmtpConnection, Error> {
        let superseded = async {
            tokio::select! {
                biased;
                () = connect::server_changed(self.setup.clone(), account) => {}
                () = self.stop.cancelled() => {}
            }
        };
        let opening = connect::open(&self.shared, &self.reporter, account);
        let mut connection = tokio::select! {
            biased;
            opened = opening => opened?,
            () = superseded => return Err(Error::Superseded),
        };
        if self.in_turn {
            connection.in_turn();
        }
        self.is_probed = true;
        Ok(connection)
    }

    /// Keeps a connection for the next message, if it can take one.
    pub(crate) fn keep(&mut self, connection: SmtpConnection) {
        if connection.is_reusable() {
            self.connection = Some((connection, Instant::now()));
        }
    }

    /// From now on, sends each command only after the answer to the one before, because answers to
    /// pipelined commands did not match.
    pub(crate) fn speak_in_turn(&mut self) {
        self.in_turn = true;
    }

    /// Drops the connection after trouble. The next connection is a new one and is tested first.
    pub(crate) fn lose(&mut self) {
        self.connection = None;
        self.is_probed = false;
    }

    /// Closes a connection that was idle for long. Otherwise gives when that will be the case.
    pub(crate) async fn close_idle(&mut self) -> Option<Instant> {
        let until = self.connection.as_ref().map(|(_, since)| *since + KEEP_IDLE)?;
        if until > Instant::now() {
            return Some(until);
        }
        self.close().await;
        None
    }

    /// Sends QUIT and closes the connection.
    pub(crate) async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            connection.quit().await;
        }
    }

    /// Forgets the former server.
    pub(crate) async fn forget(&mut self) {
        self.close().await;
        self.is_probed = false;
        self.in_turn = false;
    }
}
