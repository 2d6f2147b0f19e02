//! The connections of one account to where its mail is, which its receiver owns.
//!
//! ```text
//!   work      surveys, polls, fetches, acts              one
//!   suspects  one late message, while the work goes on   one
//! ```
//! Each purpose has one place, so that an account never takes more of its server's connections than
//! it has purposes. What a server says unasked reaches the receiver from each connection.

use crate::account::Account;
use crate::error::Error;
use crate::shared::Shared;
use crate::source::contract::Connector;
use crate::source::contract::Source;
use crate::source::contract::Waits;
use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All that the account does, one thing after another.
    Work(Waits),
    /// Messages that hold up others. Each is waited for.
    Suspects,
}

/// The connections of one account.
#[derive(Debug)]
pub(crate) struct ConnectionPool<C> {
    connector: C,
    shared: Arc<Shared>,
    work: Arc<Semaphore>,
    suspects: Arc<Semaphore>,
    /// The alerts of connections that the receiver does not hold itself.
    alerts: Mutex<Vec<String>>,
}

/// A connection in its place. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct PooledConnection<S> {
    source: S,
    _place: Option<OwnedSemaphorePermit>,
}

impl<C: Connector> ConnectionPool<C> {
    /// Without a connection.
    #[must_use]
    pub(crate) fn new(connector: C, shared: &Arc<Shared>) -> Arc<Self> {
        let place = || Arc::new(Semaphore::new(1));
        let (shared, alerts) = (Arc::clone(shared), Mutex::default());
        Arc::new(Self { connector, shared, work: place(), suspects: place(), alerts })
    }

    /// What all accounts share.
    #[must_use]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Connects and logs in, once the former connection of the same purpose is closed.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub(crate) async fn open(
        &self,
        account: &Account,
        purpose: Purpose,
    ) -> Result<PooledConnection<C::Source>, Error> {
        let (places, waits) = match purpose {
            Purpose::Work(waits) => (&self.work, waits),
            Purpose::Suspects => (&self.suspects, Waits::Long),
        };
        // The semaphore is never closed.
        let place = Arc::clone(places).acquire_owned().await.ok();
        let source = self.connector.connect(&self.shared, account, waits).await?;
        Ok(PooledConnection { source, _place: place })
    }

    /// Keeps what the server has said on a connection that is not the receiver's.
    pub(crate) fn hear(&self, source: &mut C::Source) {
        self.alerts().extend(source.heard().alerts);
    }

    /// Takes what was kept.
    #[must_use]
    pub(crate) fn take_alerts(&self) -> Vec<String> {
        std::mem::take(&mut *self.alerts())
    }

    fn alerts(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> PooledConnection<S> {
    /// Takes leave and closes the connection.
    pub(crate) async fn log_out(self) {
        self.source.log_out().await;
    }
}

impl<S> Deref for PooledConnection<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.source
    }
}

impl<S> DerefMut for PooledConnection<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.source
    }
}
