//! The sender of one account: prepares what waits, sends what is due, in the order of `dateTime`.
//!
//! It owns the account's SMTP connection, and keeps it for a while between messages. It is not
//! dropped between a final dot and its answer: stopping waits for it, within a bound.

use crate::account::Account;
use crate::backoff;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::chain;
use crate::report::needs_a_person;
use crate::send::prepare;
use crate::send::settle;
use crate::send::settle::Verdict;
use crate::send::transmit;
use crate::shared::Shared;
use postroom_smtp::Connection;
use postroom_smtp::Options;
use postroom_store::Claimed;
use postroom_store::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an unused connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// How many deliveries are claimed at once.
const CLAIM: u32 = 20;
/// The queue is looked at again at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Sends for one account until `stop`.
pub async fn run(
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    mut setup: watch::Receiver<Arc<Account>>,
    stop: CancellationToken,
) {
    let mut queue = shared.store.watch_outgoing();
    let mut sender = Sender { reporter, shared, connection: None, failures: 0, is_probed: false };
    let mut is_recovered = false;
    while !stop.is_cancelled() {
        queue.borrow_and_update();
        let account = Arc::clone(&setup.borrow_and_update());
        if !is_recovered {
            is_recovered = sender.recover(&account).await;
        }
        let wait = match sender.work(&account, &stop).await {
            Ok(next) => next,
            Err(error) => sender.failed(&error).await,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = queue.changed(), if sender.failures == 0 => {}
            changed = setup.changed() => {
                sender.close().await;
                sender.failures = 0;
                sender.is_probed = false;
                if changed.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep_until(wait) => {}
        }
    }
    sender.close().await;
}

struct Sender {
    shared: Arc<Shared>,
    reporter: Arc<Reporter>,
    connection: Option<(Connection, Instant)>,
    failures: u32,
    /// Whether a connection was made since the account was last changed.
    is_probed: bool,
}

impl Sender {
    /// Reports what is wrong with the account's server, and says when to try again.
    async fn failed(&mut self, error: &Error) -> Instant {
        self.connection = None;
        self.failures += 1;
        let settings = &self.shared.settings;
        let (first, longest) = if needs_a_person(error) {
            (settings.credentials_probe / 10, settings.credentials_probe)
        } else {
            (settings.reconnect_first, settings.reconnect_longest)
        };
        let advice = if needs_a_person(error) { "; check login and password" } else { "" };
        self.reporter.sending(Some(format!("{}{advice}", chain(error)))).await;
        Instant::now() + backoff::delay(self.failures, first, longest)
    }

    /// Takes up what an earlier sender of the account left, in this process or one before it.
    async fn recover(&self, account: &Account) -> bool {
        let recovered = self.shared.store.delivery_recover(account.id).await;
        if let Err(error) = &recovered {
            tracing::error!(account = %account.id, %error, "the queue was not taken up");
        }
        recovered.is_ok()
    }

    /// Does what is to be done now; says when there is something to do again.
    async fn work(
        &mut self,
        account: &Account,
        stop: &CancellationToken,
    ) -> Result<Instant, Error> {
        prepare::prepare_all(&self.shared, account).await?;
        self.settle_doubts(account).await?;
        if !self.is_probed {
            // What is wrong with the server is to be known before the first message.
            let connection = self.connection(account).await?;
            self.connection = Some((connection, Instant::now()));
        }
        loop {
            let store = self.shared.store.clone();
            let claimed = store.delivery_claim(account.id, clock::now_ms(), CLAIM).await?;
            if claimed.is_empty() {
                break;
            }
            self.send_all(account, claimed, stop).await?;
            if stop.is_cancelled() {
                break;
            }
        }
        self.next(account).await
    }

    /// Sends what was claimed; what is not begun when something fails is given back.
    async fn send_all(
        &mut self,
        account: &Account,
        claimed: Vec<Claimed>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut claimed = claimed.into_iter();
        let mut result = Ok(());
        for delivery in claimed.by_ref() {
            if stop.is_cancelled() {
                self.shared.store.delivery_release(delivery.message).await?;
                break;
            }
            result = self.send(account, delivery).await;
            if result.is_err() {
                break;
            }
        }
        for left in claimed {
            self.shared.store.delivery_release(left.message).await?;
        }
        result
    }

    async fn send(&mut self, account: &Account, delivery: Claimed) -> Result<(), Error> {
        let mut connection = match self.connection(account).await {
            Ok(connection) => connection,
            Err(error) => return self.no_connection(account, delivery, error).await,
        };
        transmit::transmit(&self.shared, account, &mut connection, delivery).await?;
        if connection.is_reusable() {
            self.connection = Some((connection, Instant::now()));
        }
        Ok(())
    }

    /// No session: the delivery waits; the attempt counts unless a person has to act first.
    async fn no_connection(
        &mut self,
        account: &Account,
        delivery: Claimed,
        error: Error,
    ) -> Result<(), Error> {
        if needs_a_person(&error) {
            self.shared.store.delivery_release(delivery.message).await?;
            return Err(error);
        }
        let tried = transmit::tried(&delivery);
        let verdict = settle::later(chain(&error), tried, &account.options);
        let ended = matches!(verdict, Verdict::Error { .. });
        transmit::settle_as(&self.shared, account, delivery, verdict).await?;
        // The others wait for the server too, unless this one has just been given up.
        if ended { Ok(()) } else { Err(error) }
    }

    /// The connection at hand when it is still good, else a new one.
    async fn connection(&mut self, account: &Account) -> Result<Connection, Error> {
        if let Some((mut connection, since)) = self.connection.take() {
            let fresh = since.elapsed() < Duration::from_secs(1);
            if fresh || (since.elapsed() < KEEP_IDLE && connection.is_alive().await) {
                return Ok(connection);
            }
        }
        // An account without SMTP has no sender.
        let server = account.smtp.as_ref().ok_or(Error::NoPassword)?;
        let settings = &self.shared.settings;
        let options = Options { ehlo_name: settings.ehlo_name.clone(), ..Options::default() };
        let _turn = self.shared.turn(&server.endpoint).await;
        let mut connection = Connection::open(&settings.dialer, &server.endpoint, &options).await?;
        if let Some(credentials) = &server.credentials
            && connection.capabilities().offers_auth()
        {
            connection.login(credentials).await?;
        }
        self.failures = 0;
        self.is_probed = true;
        self.reporter.sending(None).await;
        Ok(connection)
    }

    /// Settles what was after its final dot when an earlier process ended.
    async fn settle_doubts(&mut self, account: &Account) -> Result<(), Error> {
        for claimed in self.shared.store.delivery_in_doubt(account.id).await? {
            let reason = "Postroom was stopped before the answer came".to_owned();
            let verdict = transmit::in_doubt(reason, transmit::tried(&claimed), account);
            transmit::settle_as(&self.shared, account, claimed, verdict).await?;
        }
        Ok(())
    }

    async fn next(&mut self, account: &Account) -> Result<Instant, Error> {
        let now_ms = clock::now_ms();
        let due_ms = self.shared.store.delivery_next_due(account.id).await?;
        let wait = due_ms.map_or(LOOK_AGAIN, |due_ms| {
            Duration::from_millis(u64::try_from(due_ms - now_ms).unwrap_or(0)).min(LOOK_AGAIN)
        });
        if self.connection.as_ref().is_some_and(|(_, since)| since.elapsed() >= KEEP_IDLE) {
            self.close().await;
        }
        let idle = self.connection.as_ref().map(|(_, since)| *since + KEEP_IDLE);
        let next = Instant::now() + wait;
        Ok(idle.map_or(next, |idle| next.min(idle)))
    }

    async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            connection.quit().await;
        }
    }
}
