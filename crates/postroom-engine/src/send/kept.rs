//! Kept: the SMTP connection of one account, from message to message.

use crate::account::Account;
use crate::error::Error;
use crate::report::Reporter;
use crate::send::connect;
use crate::shared::Shared;
use postroom_smtp::SmtpConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an unused connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// So shortly after its last use a connection is not asked whether it is there.
const FRESH: Duration = Duration::from_secs(1);

/// The connection at hand, and how to have a new one.
pub struct Kept {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    setup: watch::Receiver<Arc<Account>>,
    stop: CancellationToken,
    connection: Option<(SmtpConnection, Instant)>,
    is_probed: bool,
    in_turn: bool,
}

/// A connection that is ready for a message.
pub struct Ready {
    /// The connection.
    pub connection: SmtpConnection,
    /// Whether it was made just now.
    pub is_new: bool,
}

impl Kept {
    /// None yet.
    pub fn new(
        shared: Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: watch::Receiver<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        let (connection, is_probed, in_turn) = (None, false, false);
        Self { shared, reporter, setup, stop, connection, is_probed, in_turn }
    }

    /// Whether a connection was made since the account was last changed, or in trouble.
    pub fn is_probed(&self) -> bool {
        self.is_probed
    }

    /// The connection at hand when it is still good, else a new one.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn take(&mut self, account: &Account) -> Result<Ready, Error> {
        if let Some((mut connection, since)) = self.connection.take() {
            let is_fresh = since.elapsed() < FRESH;
            if is_fresh || (since.elapsed() < KEEP_IDLE && connection.is_alive().await) {
                return Ok(Ready { connection, is_new: false });
            }
        }
        Ok(Ready { connection: self.open(account).await?, is_new: true })
    }

    /// A new connection, unless the account is changed meanwhile.
    ///
    /// # Errors
    ///
    /// When there is none, or the server does not take the login.
    pub async fn open(&mut self, account: &Account) -> Result<SmtpConnection, Error> {
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
    pub fn keep(&mut self, connection: SmtpConnection) {
        if connection.is_reusable() {
            self.connection = Some((connection, Instant::now()));
        }
    }

    /// From now on each command waits for the answer to the one before: answers to many at once
    /// came out of step.
    pub fn speak_in_turn(&mut self) {
        self.in_turn = true;
    }

    /// Something is wrong: the next connection is a new one, and a probe.
    pub fn lose(&mut self) {
        self.connection = None;
        self.is_probed = false;
    }

    /// Says goodbye when the connection was idle for long; else gives when it will have been.
    pub async fn close_idle(&mut self) -> Option<Instant> {
        let until = self.connection.as_ref().map(|(_, since)| *since + KEEP_IDLE)?;
        if until > Instant::now() {
            return Some(until);
        }
        self.close().await;
        None
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            connection.quit().await;
        }
    }

    /// Another server: nothing that is known of the former one holds.
    pub async fn forget(&mut self) {
        self.close().await;
        self.is_probed = false;
        self.in_turn = false;
    }
}
