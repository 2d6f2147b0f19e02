//! The connections to a server, and how many of them each kind of request may use.

use crate::bell::Bell;
use crate::error::Error;
use crate::postgres::config::CONNECTIONS;
use crate::postgres::config::PostgresConfig;
use crate::postgres::failing::Failing;
use crate::postgres::session::PostgresSession;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

/// The time between two checks whether a batch is still being written.
const CLOSE_PAUSE: Duration = Duration::from_millis(5);

/// How many batches may be written at once.
const WRITERS: usize = CONNECTIONS / 2;
/// How many queries without a time limit may run at once.
const POINTS: usize = CONNECTIONS / 4;
/// How many queries of clients may run at once.
const LISTS: usize = CONNECTIONS / 8;
/// How many queries of clients that look into texts or JSON may run at once.
const SEARCHES: usize = CONNECTIONS - WRITERS - POINTS - LISTS;

/// The kinds of requests. No kind waits for a connection that another kind uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionUse {
    /// A batch.
    Write,
    /// A query without a time limit: a query of the engine, or for a single entity.
    Point,
    /// A query of a client with a time limit.
    List,
    /// A query of a client that looks into texts or JSON, with a time limit.
    Search,
}

/// The connections.
pub(crate) struct Sessions {
    config: PostgresConfig,
    idle: Mutex<Vec<PostgresSession>>,
    write: Semaphore,
    point: Semaphore,
    list: Semaphore,
    search: Semaphore,
    /// Whether the last attempt to connect failed.
    is_lost: AtomicBool,
    pub bell: Bell,
}

/// A connection in use. Dropping it closes it, unless it is given back.
pub(crate) struct Used<'a> {
    pub connection: PostgresSession,
    sessions: &'a Sessions,
    _permit: SemaphorePermit<'a>,
}

impl Sessions {
    /// Makes no connection yet.
    pub(crate) fn new(config: PostgresConfig) -> Self {
        Self {
            config,
            idle: Mutex::default(),
            write: Semaphore::new(WRITERS),
            point: Semaphore::new(POINTS),
            list: Semaphore::new(LISTS),
            search: Semaphore::new(SEARCHES),
            is_lost: AtomicBool::new(false),
            bell: Bell::default(),
        }
    }

    /// A connection for a request.
    pub(crate) async fn get(&self, lane: SessionUse) -> Result<Used<'_>, Error> {
        let lane = match lane {
            SessionUse::Write => &self.write,
            SessionUse::Point => &self.point,
            SessionUse::List => &self.list,
            SessionUse::Search => &self.search,
        };
        let permit = lane.acquire().await.map_err(|_| Error::Closed)?;
        let mut connection = match self.idle_one() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.driving.is_idle = false;
        Ok(Used { connection, sessions: self, _permit: permit })
    }

    fn idle_one(&self) -> Option<PostgresSession> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.client.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> Result<PostgresSession, Error> {
        let connected = PostgresSession::open(&self.config, Box::new(|_| {})).await;
        match &connected {
            Ok(_) => self.found(),
            Err(error) => self.lost(error),
        }
        connected
    }

    /// Notes that the database stood still, if an answer says so.
    pub(crate) fn look_at<T>(&self, answer: &Result<T, Failing>) {
        if let Err(Failing::StoodStill(error)) = answer {
            self.lost(error);
        }
    }

    /// Notes that the server cannot be reached, and logs it once.
    pub(crate) fn lost(&self, error: &Error) {
        self.forget_idle();
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %error,
                "no mail is received, stored or sent until the database is there again; new mail \
                 stays at its server"
            );
        }
    }

    fn found(&self) {
        if self.is_lost.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is there again: mail is stored and sent again");
        }
    }

    /// Where the server is.
    pub(crate) fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// Closes the idle connections.
    pub(crate) fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes no more requests, and waits for the batches that are being written, at most `within`.
    pub(crate) fn close(&self, within: Duration) {
        for lane in [&self.write, &self.point, &self.list, &self.search] {
            lane.close();
        }
        let mut waited = Duration::ZERO;
        while self.write.available_permits() < WRITERS && waited < within {
            std::thread::sleep(CLOSE_PAUSE);
            waited += CLOSE_PAUSE;
        }
        self.forget_idle();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.write.is_closed()
    }
}

impl Used<'_> {
    /// Gives the connection back. No request must be running on it.
    pub(crate) fn give_back(mut self) {
        self.connection.driving.is_idle = true;
        let is_usable = !self.connection.is_spoilt && !self.connection.client.is_closed();
        if is_usable && !self.sessions.is_closed() {
            let mut idle = self.sessions.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(self.connection);
        }
    }
}
